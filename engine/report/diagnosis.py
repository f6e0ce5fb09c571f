"""What speaks against a result, in sentences: findings, each with its threshold and what can be done about it.

A share of a profit says nothing where the profit is small or none, so findings about a part of the profit tell what is
left without that part. Figures of a year are left out of runs too short to have any (``SHORT``).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import empyrical
import numpy as np
import polars as pl

from engine import calendar
from engine.report import costs, trades, trust
from engine.report.envelope import read_envelope
from engine.report.opened import Run
from engine.report.review import NO_LIMIT, Judgement
from engine.types import Board, Reason, Side
from engine.words import Say


class Level(StrEnum):
    """How much a finding weighs, the heaviest first."""

    STOP = "stop"
    """The result cannot be believed."""
    WARN = "warn"
    """It may be believed after this was looked at."""
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something a reader of a result should know.

    Attributes
    ----------
    level : Level
        How much it weighs.
    sentence : str
        In English, with named places; the key of its translation.
    values : mapping of str to object
        What fills the places. Text among them is itself a key: names of boards, reasons.
    mend : str
        What can be done, a sentence without places; empty where nothing can.
    """

    level: Level
    sentence: str
    values: Mapping[str, object] = field(default_factory=dict)
    mend: str = ""

    def said(self, say: Say) -> str:
        """Return the sentence in a language, its places filled."""
        words = {name: say(value) if isinstance(value, str) else value for name, value in self.values.items()}
        return say(self.sentence, **words)


Tables = Mapping[str, pl.DataFrame]
Look = Callable[[Run, Judgement, Tables], Finding | None]

SHORT = 60
"""Sessions under which nothing is annualised: a few weeks blown up to a year say nothing of a year."""
BETS = 30
"""Holdings under which the share of winners is known to 18 points at best (two standard errors of a coin)."""
STOCKS = 10
"""Equal stocks under which the luck of a single one is more than a tenth of all that moved the profit."""
FEW = 5
"""Best stocks the profit is looked at without: who finds five winners by luck finds them in most long runs."""
HALF = 0.5
"""Part of the profit beyond which one source is more than all others together."""
TIMES = 2.0
"""Times its share of the stocks that a board must earn: a board that holds most stocks earns most of the profit."""
MONTHS = 6
"""Months under which the best one is most of a result anyhow."""
BEST_DAYS, BEST_SHARE = 10, 0.01
"""Best sessions left out: ten, and one of a hundred at most; of a single year's ten best everything hangs."""
DEAR = 0.05
"""Costs a year beyond which they are as large as what most strategies earn over the index."""
SLIP = 0.001
"""Slippage tried where none was charged: the tick of 0.01 CNY on a stock of 10 CNY, about the spread of a small one."""
SLIPPED = 0.005
"""Loss a year to it from which it is told: half a point, under which no ranking of strategies turns."""
LIMITED = 0.99
"""Part of the buys that a limit of participation must leave, else it is told that there was none."""
DEBT = 0.01
"""Part of the net value by which cash may be below 0: a late tax or a rights issue is less, a buy on credit more."""
BLOCKED = 0.10
"""Part of the orders without a market from which it is told: far above a usual year, where it is one in a hundred."""
WAITED = 0.05
"""The same with an order repeated day after day counted once: beyond it the strategy asks for what is blocked."""
CUT = 0.10
"""Part of the orders cut by volume or cash beyond which the run is no longer the portfolio that was asked for."""
UNBOUGHT = 0.05
"""Part of the new names that cost more than there was money for one lot: one in twenty changes the selection."""
LARGER = 10.0
"""Times the capital up to which a lost return is told: what one desk may grow to."""
KEPT = 0.5
"""Part of the annual return that must be left at a larger capital."""
INVESTED = 0.5
"""Mean exposure under which the run is more cash than stocks."""
TRIALS = 5
"""Trials from which the best one without any skill is more than a standard error above 0."""
GONE = 0.01
"""Part of the starting capital lost in delistings from which it weighs."""
SYNTHETIC = "synthetic"
"""How the label of made-up data begins, in whatever case."""

BOARDS: Mapping[str, str] = {
    Board.SSE_MAIN: "the Shanghai main board",
    Board.SZSE_MAIN: "the Shenzhen main board",
    Board.CHINEXT: "ChiNext",
    Board.STAR: "the STAR market",
    Board.BSE: "the Beijing exchange",
}
WHY: Mapping[str, str] = {
    Reason.SUSPENDED: "the stock was suspended",
    Reason.NOT_LISTED: "the stock was not listed",
    Reason.LIMIT_UP: "the stock was at its upper limit",
    Reason.LIMIT_DOWN: "the stock was at its lower limit",
    Reason.LIMIT_PRICE: "the limit price of the order was not reached",
    Reason.LOT: "it was for less than a lot",
    Reason.ORDER_MAXIMUM: "the largest order the exchange takes left nothing of it",
    Reason.POSITION_CAP: "the cap of a position left no room",
    Reason.CASH: "there was no cash",
    Reason.NOT_SELLABLE: "there was nothing to sell that day (T+1)",
    Reason.PARTICIPATION: "the session's volume was too small for the participation limit",
    Reason.STOP_ORDER: "stop orders are not taken",
    Reason.CANCELLED: "the script cancelled it",
    Reason.HALTED: "the account was halted",
    Reason.RUN_ENDED: "the run ended before it",
}
_NO_MARKET = (Reason.SUSPENDED, Reason.LIMIT_UP, Reason.LIMIT_DOWN)
_ALL_WELL = (
    "Nothing was found against the result. Looked at: trades, profit by stock, month and board, costs, fills, exposure,"
    " length, trials, and the index."
)
_ALL_WELL_WITH_DATA = (
    "Nothing was found against the result. Looked at: trades, profit by stock, month, board and size, costs, fills,"
    " capacity, exposure, length, trials, and the index."
)


def diagnose(run: Run, judgement: Judgement, tables: Tables) -> list[Finding]:
    """Return what speaks against a result, the heaviest first; never nothing.

    Parameters
    ----------
    run : Run
        The run.
    judgement : Judgement
        Of ``engine.report.review.judged``.
    tables : mapping of str to DataFrame
        Of ``engine.report.review.tables``; sizes and capacity are left out where it has none.
    """
    idle = without_order(run.manifest, run.orders) or nothing_filled(run.orders)
    looks = _ALWAYS if idle else (*_ALWAYS, *_TRADED, *(() if run.perf.height < SHORT else _LONG))
    found = [idle, None if idle else fills_turn_it(read_envelope(run.folder))]
    found += [look(run, judgement, tables) for look in looks]
    ranked = sorted((one for one in found if one is not None), key=lambda one: list(Level).index(one.level))
    if any(one.level is not Level.NOTE for one in ranked):
        return ranked
    return [Finding(Level.NOTE, _ALL_WELL_WITH_DATA if "capacity" in tables else _ALL_WELL), *ranked]


def no_order(manifest: Mapping[str, Any], orders: pl.DataFrame, data_start: dt.date | None = None) -> str | None:
    """Return what to tell about a run that placed no order, None if it placed one.

    Parameters
    ----------
    manifest : dict
        Of the run.
    orders : DataFrame
        Of the run.
    data_start : date, optional
        First session of the data; by default ``data_start`` of the manifest, if it has one.
    """
    found = without_order(manifest, orders, data_start)
    return None if found is None else " ".join((found.sentence.format(**found.values), found.mend)).strip()


def without_order(
    manifest: Mapping[str, Any], orders: pl.DataFrame, data_start: dt.date | None = None
) -> Finding | None:
    """Tell that a run placed no order, and the likely cause; parameters as of ``no_order``."""
    if orders.height:
        return None
    least = int(manifest["settings"]["universe"]["minimum_sessions"])
    begins = data_start.isoformat() if data_start else manifest.get("data_start")
    if begins is None:
        return Finding(
            Level.STOP,
            "No order was placed. If the run begins soon after the data do: a stock joins the universe {after}"
            " sessions after its first bar (setting universe.minimum_sessions).",
            {"after": least - 1},
        )
    days = calendar.sessions()
    joins = int(np.searchsorted(days, np.datetime64(begins, "D"))) + least - 1
    if joins >= len(days) or days[joins] <= np.datetime64(manifest["start"], "D"):
        mend = "The strategy asked for none: is its selection empty, does its script order?"
        return Finding(Level.STOP, "No order was placed.", {}, mend)
    return Finding(
        Level.STOP,
        "No order was placed. The likely cause: the data begin {begins}, and a stock joins the universe {after}"
        " sessions after its first bar (setting universe.minimum_sessions), so none is a member before {joins}.",
        {"after": least - 1, "begins": begins, "joins": str(days[joins])},
        "Run later sessions, or import earlier data.",
    )


def nothing_filled(orders: pl.DataFrame) -> Finding | None:
    """Tell that no order traded a share, and why most did not."""
    if not orders.height or (orders["filled"] > 0).any():
        return None
    counts = orders.group_by("reason").len().sort("len", "reason", descending=[True, False])
    reason, count = counts.row(0)
    return Finding(
        Level.STOP,
        "None of the {orders:,} orders traded a share, {count:,} of them because {why}.",
        {"orders": orders.height, "count": count, "why": WHY.get(reason, reason)},
        "`ashare why` tells of one stock and day what became of its orders.",
    )


def labelled(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell the label of the data: made-up data stop, as no figure speaks of a market; any other label is told."""
    label = str(run.manifest.get("data_label", ""))
    if not label:
        return None
    if not label.lower().startswith(SYNTHETIC):
        return Finding(Level.NOTE, "The label of the data: {label}", {"label": label})
    mend = "It shows that the chain works. Import data of the real market before you judge the strategy."
    return Finding(Level.STOP, "The data are made up: {label}", {"label": label}, mend)


def too_short(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a run that is shorter than ``SHORT``; one that ended by itself earlier than it could is as short."""
    if run.perf.height >= SHORT:
        return None
    return Finding(
        Level.STOP,
        "The run has {sessions:,} of the {least} sessions that figures of a year need.",
        {"sessions": run.perf.height, "least": SHORT},
        "Run several years, with rising and falling markets among them.",
    )


def _total(tables: Tables) -> float:
    return _figure(tables, "total return")


def _figure(tables: Tables, name: str, column: str = "measured") -> float:
    return float(tables["figures"].row(by_predicate=pl.col("figure") == name, named=True)[column])


def loss(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a loss that is there before costs too; the threshold is 0, for no cost or fill explains such a loss."""
    rows = {figure: (gross, net) for figure, gross, net, _ in tables["gross_and_net"].iter_rows()}
    (gross, net), total = rows["annual return"], rows["total return"]
    if total[0] > 0 or total[1] > 0:
        return None
    return Finding(
        Level.WARN,
        "The run lost money, and not by its costs: {net:.1%} a year, {gross:.1%} without any cost.",
        {"net": net, "gross": gross},
        "Look at the selection and at what the market did in these years, not at the fills.",
    )


def luck(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell what of the trust gate fails of a gain (``engine.report.trust.verdict`` has the thresholds).

    The track record comes first: where it is too short for one trial, it is for many.
    """
    deflated, record = judgement.verdict.criteria[:2]
    if _total(tables) <= 0 or deflated.passed is not False:
        return None
    values = {"sharpe": judgement.moments.sharpe * math.sqrt(run.year), "confidence": trust.CONFIDENCE}
    if record.passed is False:
        return Finding(
            Level.STOP,
            "A Sharpe ratio of {sharpe:.2f} a year may be luck: it takes {needed:,.0f} sessions to be above 0 with"
            " {confidence:.0%}, and the run has {sessions:,}.",
            values | {"needed": math.ceil(record.threshold), "sessions": run.perf.height},
            "Run more years. A change that lifts the result on the same sessions is one more trial.",
        )
    return Finding(
        Level.STOP,
        "After {trials:,} trials a Sharpe ratio of {sharpe:.2f} a year may be luck: the deflated Sharpe ratio is"
        " {probability:.1%}, and {confidence:.0%} is asked.",
        values | {"trials": judgement.verdict.trials, "probability": deflated.value},
        "Try the strategy, unchanged, on sessions that no trial has seen.",
    )


def overfitted(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a probability of overfitting of a coin's or more (``engine.report.trust.OVERFIT``)."""
    criterion = judgement.verdict.criteria[2]
    if criterion.passed is not False:
        return None
    return Finding(
        Level.STOP,
        "Choosing the best of these trials does not last: the probability of overfitting is {probability:.0%}, and"
        " from {most:.0%} on a coin chooses as well.",
        {"probability": criterion.value, "most": trust.OVERFIT},
        "Choose by a reason and not by the result, or decide on sessions that no trial has seen.",
    )


def many_trials(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell how many trials there were, from ``TRIALS`` on, where ``luck`` has not told it."""
    told = luck(run, judgement, tables)
    if judgement.verdict.trials < TRIALS or (told is not None and "trials" in told.values):
        return None
    return Finding(
        Level.NOTE,
        "{trials:,} trials of this strategy were run on these sessions. The best of so many without any skill has a"
        " Sharpe ratio of {chance:.2f} a year.",
        {"trials": judgement.verdict.trials, "chance": judgement.verdict.chance * math.sqrt(run.year)},
        "Every further trial raises the bar; keep some sessions that are looked at once.",
    )


def few_bets(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell fewer holdings than ``BETS``, or as few stocks that moved the profit as ``STOCKS``.

    The effective number of stocks is the inverse Herfindahl index of the variance of the profit among them: as many
    equal ones would have moved it as much.
    """
    closed = tables["round_trips"].height
    held = run.positions.filter(pl.col("session") == run.perf["session"][-1])["ts_code"].n_unique()
    if closed + held < BETS:
        return Finding(
            Level.WARN,
            "There are {bets} holdings only, {closed} of them closed: one of them more or less can turn the result.",
            {"bets": closed + held, "closed": closed},
            "Run more years, or hold more stocks.",
        )
    moved = effective_stocks(tables["profits"], run.perf, run.manifest["capital"])
    if not moved < STOCKS:
        return None
    return Finding(
        Level.WARN,
        "There are {bets:,} holdings, but the profit moved as if there were {moved:.1f} equal stocks.",
        {"bets": closed + held, "moved": moved},
        "Hold more stocks, or cap a position, and see what is left.",
    )


def effective_stocks(profits: pl.DataFrame, perf: pl.DataFrame, capital: float) -> float:
    """Return how many equal stocks would have moved the profit as much; NaN where nothing moved.

    Parameters
    ----------
    profits : DataFrame
        Of ``engine.report.trades.daily_profit``.
    perf : DataFrame
        Of the run.
    capital : float
        At its start, CNY.
    """
    base = perf.select("session", before=pl.Series(costs.before_trading(perf, capital)))
    moved = ((pl.col("profit") / pl.col("before")) ** 2).sum().alias("moved")
    each = profits.join(base, on="session").group_by("ts_code").agg(moved)["moved"].to_numpy()
    squares = float((each**2).sum())
    return float(each.sum()) ** 2 / squares if squares else math.nan


def few_stocks(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a profit of which the best stock, or the ``FEW`` best of more than ``STOCKS``, made more than ``HALF``."""
    profit = tables["profit_by_stock"]["profit"]
    whole, mend = float(profit.sum()), "Ask whether the rule meant to find these stocks, or met them once."
    if whole <= 0 or len(profit) < 2:
        return None
    values = {"stocks": len(profit), "profit": whole}
    if profit[0] > HALF * whole:
        return Finding(
            Level.WARN,
            "Without {code}, the best of {stocks:,} stocks, the profit is {rest:,.0f} CNY instead of {profit:,.0f}.",
            values | {"code": tables["profit_by_stock"]["ts_code"][0], "rest": whole - float(profit[0])},
            mend,
        )
    best = float(profit[:FEW].sum())
    if len(profit) <= STOCKS or best <= HALF * whole:
        return None
    return Finding(
        Level.WARN,
        "Without its {few} best of {stocks:,} stocks the profit is {rest:,.0f} CNY instead of {profit:,.0f}.",
        values | {"few": FEW, "rest": whole - best},
        mend,
    )


def few_sessions(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a gain that is none without its best month, of ``MONTHS`` or more, or without its best sessions."""
    total, months = _total(tables), tables["months"].filter(pl.col("month") > 0).sort("return", descending=True)
    if total <= 0:
        return None
    if months.height >= MONTHS and total <= (best := float(months["return"][0])):
        return Finding(
            Level.WARN,
            "Without {month} the return is {rest:.1%} instead of {total:.1%}.",
            {"month": "{}-{:02}".format(*months.row(0)[:2]), "rest": (1 + total) / (1 + best) - 1, "total": total},
            "Look at what happened in that month, and whether it can happen again.",
        )
    days = min(BEST_DAYS, int(run.perf.height * BEST_SHARE))
    rest = float(np.prod(1 + np.sort(run.returns)[: run.perf.height - days])) - 1
    if days < 2 or rest > 0:
        return None
    return Finding(
        Level.WARN,
        "Without its {days} best of {sessions:,} sessions the return is {rest:.1%} instead of {total:.1%}.",
        {"days": days, "sessions": run.perf.height, "rest": rest, "total": total},
        "Look at what was held on these days, and whether it could have been bought.",
    )


def one_board(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a board that made more than ``HALF`` of the profit, and ``TIMES`` as much as its share of the stocks."""
    boards = tables["profit_by_board"]
    whole, stocks = float(boards["profit"].sum()), int(boards["stocks"].sum())
    if whole <= 0 or boards.height < 2:
        return None
    best = boards.row(0, named=True)
    part = best["stocks"] / stocks
    if best["profit"] <= max(HALF, TIMES * part) * whole:
        return None
    return Finding(
        Level.WARN,
        "Without {board}, {part:.0%} of the stocks held, the profit is {rest:,.0f} CNY instead of {profit:,.0f}.",
        {"board": BOARDS.get(best["label"], best["label"]), "part": part, "rest": whole - best["profit"]}
        | {"profit": whole},
        "Run the strategy on this board and on the others alone.",
    )


SMALLEST = f"under {trades.SIZES[0]:g} billion CNY"


def smallest_size(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a profit more than ``HALF`` of which the smallest stocks made: they are the hardest to buy and to sell."""
    if "profit_by_size" not in tables:
        return None
    made = dict(tables["profit_by_size"].select("label", "profit").iter_rows())
    whole, small = sum(made.values()), made.get(SMALLEST, 0.0)
    if whole <= 0 or small <= HALF * whole:
        return None
    return Finding(
        Level.WARN,
        "Without the smallest stocks ({size}) the profit is {rest:,.0f} CNY instead of {profit:,.0f}.",
        {"size": SMALLEST, "rest": whole - small, "profit": whole},
        "Raise universe.minimum_total_mv and see what is left; these stocks fell hardest in 2017 and early 2024.",
    )


def costly(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell costs that took the gain, that would if doubled, or that are over ``DEAR`` a year.

    Doubled costs are the usual trial: spread and impact of a real order are mostly as much again as its fees.
    """
    capital, paid = run.manifest["capital"], tables["costs_by_session"]
    free, own, twice = (costs.costs_times(run.perf, paid, capital, run.year, times) for times in (0.0, 1.0, 2.0))
    paid_a_year = float(tables["costs"].filter(cost="all")["a_year"].item())
    turned = float(tables["turnover"].filter(side="one-sided")["times_a_year"].item())
    mend = "Trade less often: selection.every, selection.keep_fraction and selection.maximum_turnover do it."
    if own <= 0 < free:
        sentence = "Costs took the gain: {free:.1%} a year without them, {own:.1%} with them."
        return Finding(Level.WARN, sentence, {"free": free, "own": own}, mend)
    if twice <= 0 < own:
        sentence = "With costs twice as high the annual return is {twice:.1%} instead of {own:.1%}."
        return Finding(Level.WARN, sentence, {"twice": twice, "own": own}, mend)
    if paid_a_year <= DEAR:
        return None
    sentence = "Costs take {paid:.1%} of the net value a year, which is turned over {turned:.1f} times."
    return Finding(Level.WARN, sentence, {"paid": paid_a_year, "turned": turned}, mend)


def no_slippage(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell that no slippage was charged, where ``SLIP`` takes ``SLIPPED`` a year or more; worse if it turns a gain."""
    if run.manifest["settings"]["execution"]["slippage"]:
        return None
    value = (pl.col("filled") * pl.col("price")).fill_nan(0.0).sum().alias("value")
    traded = run.perf.select("session").join(
        run.orders.group_by("session").agg(value), on="session", how="left", maintain_order="left"
    )
    slipped = traded["value"].fill_null(0.0).to_numpy() * SLIP / costs.before_trading(run.perf, run.manifest["capital"])
    own, left = (
        float(empyrical.annual_return(daily, annualization=run.year)) for daily in (run.returns, run.returns - slipped)
    )
    if own - left < SLIPPED:
        return None
    return Finding(
        Level.WARN if left <= 0 < own else Level.NOTE,
        "No slippage was charged; at {slip:.1%} an order the annual return is {left:.1%} instead of {own:.1%}.",
        {"slip": SLIP, "left": left, "own": own},
        "Set execution.slippage to what your orders pay, about half the spread and their impact.",
    )


def no_participation_limit(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell that orders of any size were filled, unless the limit would have left ``LIMITED`` of the buys."""
    if run.manifest["settings"]["execution"]["participation"]:
        return None
    mend = "Set execution.participation, 0.1 say."
    if "capacity" not in tables:
        return Finding(Level.WARN, "Orders were filled whatever the session's volume was.", {}, mend)
    bought = float(tables["capacity"]["bought"][0])
    if bought >= LIMITED:
        return None
    return Finding(
        Level.WARN,
        "Orders were filled whatever the session's volume was; {limit:.0%} of it is enough for {bought:.0%} of the"
        " buys.",
        {"limit": NO_LIMIT, "bought": bought},
        mend,
    )


def optimistic(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell that the bars were read as kindly as they can be: nothing to be expected in the market."""
    if run.manifest["settings"]["execution"]["scenario"] != "optimistic":
        return None
    sentence = "The bars were read optimistically: the better price, twice the volume, turns at the limits."
    return Finding(Level.WARN, sentence, {}, "Judge by the base run and the pessimistic one.")


def fills_turn_it(envelope: Sequence[Mapping[str, Any]]) -> Finding | None:
    """Tell a gain that is a loss in the pessimistic reading of the same bars: what daily bars cannot show decides.

    Parameters
    ----------
    envelope : sequence of dict
        Of ``engine.report.envelope.read_envelope``.
    """
    total = {row["scenario"]: row["total_return"] for row in envelope}
    if not total or not total["pessimistic"] <= 0 < total["base"]:
        return None
    return Finding(
        Level.STOP,
        "With pessimistic fills the return is {worst:.1%} instead of {base:.1%}: fills that daily bars cannot show"
        " decide the result.",
        {"worst": total["pessimistic"], "base": total["base"]},
        "Trade less, or what is traded more, until the pessimistic run gains too.",
    )


def debt(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell cash more than ``DEBT`` of the net value below 0: what was bought with it could not have been bought."""
    owed = -(run.perf["cash"] / run.perf["net_value"]).to_numpy()
    if not owed.max() > DEBT:
        return None
    return Finding(
        Level.STOP,
        "In {sessions:,} sessions cash was below 0, by up to {most:.0%} of the net value: it bought with money that was"
        " not there.",
        {"sessions": int((owed > 0).sum()), "most": float(owed.max())},
        "Set execution.cash_check, or keep more cash for fees.",
    )


def blocked(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell when more than ``BLOCKED`` of the orders met no market; a warning where ``WAITED`` of the wishes did.

    An order that is repeated in session after session is one wish, which waits.
    """
    stuck = run.orders.filter((pl.col("filled") == 0) & pl.col("reason").is_in(_NO_MARKET))
    if stuck.height <= BLOCKED * run.orders.height:
        return None
    lengths = waits(stuck, run.perf["session"])
    wishes = run.orders.height - stuck.height + len(lengths)
    sells = stuck.filter(pl.col("side") == str(Side.SELL)).height
    return Finding(
        Level.WARN if len(lengths) > WAITED * wishes else Level.NOTE,
        "{share:.0%} of the orders met a suspended stock or a price limit, {sells:,} sells and {buys:,} buys. Those of"
        " neighbouring sessions counted once, these are {waits:,} waits, the longest of {longest:,} sessions.",
        {"share": stuck.height / run.orders.height, "sells": sells, "buys": stuck.height - sells}
        | {"waits": len(lengths), "longest": max(lengths)},
        "A holding that nobody buys cannot be sold: hold less of each, and see what these holdings lost meanwhile."
        if sells * 2 > stuck.height
        else "Leave out what was suspended or at its upper limit at the close before.",
    )


def waits(stuck: pl.DataFrame, sessions: pl.Series) -> list[int]:
    """Return how many sessions each wait had: orders of a stock and side in sessions that follow each other.

    Parameters
    ----------
    stuck : DataFrame
        The orders.
    sessions : Series
        Of the run.
    """
    at = pl.DataFrame({"session": sessions}).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    key = ["ts_code", "side"]
    rows = stuck.join(at, on="session").select(*key, "row").unique().sort(*key, "row")
    begins = (pl.col("row").diff().over(key).fill_null(0) != 1).cum_sum().alias("wait")
    return rows.select(begins).group_by("wait").len()["len"].to_list()


def cut_short(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell more than ``CUT`` of the orders cut by the session's volume or by cash, to a part or to nothing."""
    counts = dict(run.orders.group_by("reason").len().iter_rows())
    volume, cash = counts.get(str(Reason.PARTICIPATION), 0), counts.get(str(Reason.CASH), 0)
    if volume + cash <= CUT * run.orders.height:
        return None
    return Finding(
        Level.WARN,
        "{share:.0%} of the orders were cut, {volume:,} by the session's volume and {cash:,} by cash: what was held is"
        " not what the strategy asked for.",
        {"share": (volume + cash) / run.orders.height, "volume": volume, "cash": cash},
        "Less capital or more liquid stocks for the volume; a smaller selection.gross for the cash.",
    )


def too_small(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell more than ``UNBOUGHT`` of the new names for whom the money did not buy a lot.

    A buy of less than a lot on top of a holding is no loss, and not counted.
    """
    buys = run.orders.filter(pl.col("side") == str(Side.BUY))
    failed = buys.filter((pl.col("filled") == 0) & (pl.col("reason") == str(Reason.LOT)))
    new = failed.join(run.positions, on=["session", "ts_code"], how="anti").height
    new += int(run.manifest.get("decisions", {}).get("less_than_a_lot", 0))
    share = new / max(new + int((buys["filled"] > 0).sum()), 1)
    if share <= UNBOUGHT:
        return None
    return Finding(
        Level.WARN,
        "{capital:,.0f} CNY are too little for this many stocks: {share:.0%} of the buys were for less than a lot and"
        " bought nothing.",
        {"capital": run.manifest["capital"], "share": share},
        "Hold fewer names (selection.maximum_names), or begin with more capital.",
    )


def no_capacity(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell the capital, up to ``LARGER`` times the run's, at which less than ``KEPT`` of the annual return is left."""
    if "capacity" not in tables:
        return None
    own = float(tables["capacity"]["annual_return"][0])
    less = tables["capacity"].filter(
        (pl.col("annual_return") < KEPT * own) & (pl.col("capital") <= LARGER * run.manifest["capital"])
    )
    if own <= 0 or less.is_empty():
        return None
    found = less.row(0, named=True)
    return Finding(
        Level.WARN,
        "With {capital:,.0f} CNY only {bought:.0%} of the buys find volume, and the annual return is {left:.1%} at most"
        " instead of {own:.1%}.",
        {"capital": found["capital"], "bought": found["bought"], "left": found["annual_return"], "own": own},
        "Hold more or larger stocks, or keep the capital below.",
    )


def delisted(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell holdings that were delisted; a warning where they lost ``GONE`` of the capital.

    A stock of which nobody entered how it left is worth nothing from then on, which may be too little.
    """
    rows = [row for row in run.manifest.get("written_down", ()) if row[4] != "absorption"]
    if not rows:
        return None
    got = float(run.actions.filter(pl.col("kind") == "delisted")["cash"].sum())
    lost = sum(shares * price for _, _, shares, price, _ in rows) - got
    return Finding(
        Level.WARN if lost > GONE * run.manifest["capital"] else Level.NOTE,
        "{count} holdings were delisted while held and lost {lost:,.0f} CNY of their last value; of {unknown} it is not"
        " known how they left, and they count as worth nothing.",
        {"count": len(rows), "lost": lost, "unknown": sum(row[4] == "unknown" for row in rows)},
        "Enter how they left in delistings.csv; sell what is specially treated (ST) or below 1 CNY in time.",
    )


def mostly_cash(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell a mean exposure under ``INVESTED``, beside the index held at the same exposure.

    The index at the same exposure is held to each close's share in the session after it, the rest earns nothing.
    """
    held = run.perf["gross"].to_numpy()
    if not held.mean() < INVESTED:
        return None
    matched = np.concatenate([[0.0], held[:-1]]) * run.perf["benchmark_return"].to_numpy()
    values = {
        "held": float(held.mean()),
        "matched": float(np.prod(1 + matched)) - 1,
        "own": _total(tables),
        "index": run.manifest["settings"]["labels"]["index"],
    }
    switch = run.manifest.get("switches", {}).get("drawdown", {})
    if switch.get("sessions_on", 0) <= HALF * run.perf.height:
        return Finding(
            Level.WARN,
            "Only {held:.0%} of the net value was invested on average, so its risk is not that of {index} held whole;"
            " {index} at the same exposure returned {matched:.1%}, the run {own:.1%}.",
            values,
            "Compare with the index at the same exposure; look for what kept the cash.",
        )
    return Finding(
        Level.WARN,
        "The drawdown switch was on in {on:,} of {sessions:,} sessions, so only {held:.0%} of the net value was"
        " invested on average; {index} at the same exposure returned {matched:.1%}, the run {own:.1%}.",
        values | {"on": switch["sessions_on"], "sessions": run.perf.height},
        "At a low exposure a drawdown is hardly made good: compare with a run of risk.drawdown_on = 0.",
    )


def beside_index(run: Run, judgement: Judgement, tables: Tables) -> Finding | None:
    """Tell that the index did better, or that the interval (95 %) of what the run did better holds 0.

    Not of a run that was mostly in cash: beside an index held whole that says what the index did, not the strategy.
    """
    if run.perf["gross"].to_numpy().mean() < INVESTED:
        return None
    index = run.perf["benchmark_return"].to_numpy()
    low, high = trust.paired_intervals(run.returns, index, run.year)["annual return"]
    own, of_index = (_figure(tables, "annual return", column) for column in ("measured", "benchmark"))
    if own > of_index and not low <= 0:
        return None
    values: dict[str, object] = {
        "own": own,
        "of_index": of_index,
        "low": low,
        "high": high,
        "confidence": trust.CONFIDENCE,
    }
    values |= {"index": run.manifest["settings"]["labels"]["index"]}
    if own <= of_index:
        return Finding(
            Level.WARN,
            "{index} did better: {of_index:.1%} a year, the run {own:.1%}; the difference lies between {low:+.1%} and"
            " {high:+.1%} with {confidence:.0%}.",
            values,
            "Ask what the strategy has that the index has not, and whether it is worth the trading.",
        )
    return Finding(
        Level.WARN,
        "The run did better than {index}, {own:.1%} a year against {of_index:.1%}, but it may be chance: the difference"
        " lies between {low:+.1%} and {high:+.1%} with {confidence:.0%}.",
        values,
        "More years narrow the interval.",
    )


_ALWAYS: tuple[Look, ...] = (labelled, too_short)
_TRADED: tuple[Look, ...] = (
    overfitted,
    many_trials,
    debt,
    few_bets,
    few_stocks,
    few_sessions,
    one_board,
    smallest_size,
    no_participation_limit,
    optimistic,
    blocked,
    cut_short,
    too_small,
    delisted,
    mostly_cash,
)
_LONG: tuple[Look, ...] = (luck, loss, costly, no_slippage, no_capacity, beside_index)
"""What goes by figures of a year."""
