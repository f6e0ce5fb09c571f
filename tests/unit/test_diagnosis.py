"""What the diagnosis of a run says: each finding just under and just over its threshold."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.calendar import sessions
from engine.files import write_json
from engine.report import diagnosis, review, trust
from engine.report.costs import daily_costs, gross_and_net
from engine.report.diagnosis import Level, diagnose, fills_turn_it, no_order
from engine.report.envelope import FILE
from engine.report.opened import Run, open_run
from engine.report.registry import Trials
from engine.report.runs import ACTIONS, ORDERS, PERF, POSITIONS
from engine.settings import Settings
from engine.types import Board, Reason
from engine.words import say_in
from tests.unit.test_tearsheet import a_run, an_order

ALL = sessions()
DAYS: list[dt.date] = ALL[ALL >= np.datetime64("2016-01-04")][:400].tolist()
SAY = say_in("en")


@dataclass
class Case:
    """A run nothing speaks against, and what a test changes of it."""

    run: Run
    judgement: review.Judgement
    tables: dict[str, pl.DataFrame]

    def settings(self, section: str, **values: Any) -> None:
        self.run.manifest["settings"][section] |= values


def order(day: int, side: str, requested: int, filled: int, reason: str = "filled", code: str = "600000.SH"):
    price = 10.0 if filled else math.nan
    return ("x", DAYS[day - 1], DAYS[day], code, side, requested, filled, price, 5.0, 0.0, 0.0, reason)


def orders(*rows: Any) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ORDERS, orient="row")


def a_perf(daily: Any, gross: float = 0.8, index: Any = 0.0) -> pl.DataFrame:
    values = 1e6 * np.cumprod(1 + np.asarray(daily, dtype=float))
    n = len(values)
    columns = {"session": DAYS[:n], "net_value": values, "cash": values * (1 - gross), "gross": np.full(n, gross)}
    columns |= {"benchmark_return": np.zeros(n) + index, "flow": np.zeros(n)}
    return pl.DataFrame(columns, schema=PERF)


def a_judgement(
    deflated: float = 0.99, needed: float = 100.0, overfit: float = math.nan, trials: int = 1
) -> review.Judgement:
    criteria = (
        trust.Criterion("deflated Sharpe ratio", deflated, 0.95, deflated >= 0.95, ""),
        trust.Criterion("track record", 400.0, needed, needed <= 400, ""),
        trust.Criterion("probability of overfitting", overfit, 0.5, None if math.isnan(overfit) else overfit < 0.5, ""),
    )
    own = trust.Moments(400, 0.1, 0.0, 3.0)
    return review.Judgement(
        trust.Verdict(criteria, trials, 0.05), Trials((), Path()), 0.0, float(trials), own, 0.99, {}
    )


def derived(run: Run) -> dict[str, pl.DataFrame]:
    """Return the tables that follow from the returns, as ``review.tables`` has them."""
    paid = daily_costs(run.perf, run.orders, run.actions, 0.0)
    paid = paid.with_columns(all=pl.lit(1.0))
    found = review.tables(run)
    return {name: found[name] for name in ("figures", "months", "turnover")} | {
        "costs_by_session": paid,
        "costs": pl.DataFrame({"cost": ["all"], "a_year": [0.01]}),
        "gross_and_net": gross_and_net(run.perf, paid, 1e6, run.year),
    }


def with_returns(case: Case, daily: Any, gross: float = 0.8, index: Any = 0.0) -> None:
    run = case.run
    manifest = run.manifest | {"sessions": len(daily)}
    case.run = Run(run.folder, manifest, a_perf(daily, gross, index), run.orders, run.positions, run.actions)
    case.tables |= derived(case.run)


STEADY = np.tile([0.003, -0.002], 200) + 0.0005


@pytest.fixture
def case(tmp_path) -> Case:
    made = a_run(tmp_path / "runs" / "run")
    manifest = open_run(made).manifest
    manifest["settings"] = Settings(home=Path("home")).model_dump(mode="json", exclude={"home"})
    manifest["settings"]["execution"]["slippage"] = 0.001
    codes = [f"6000{n:02}.SH" for n in range(20)]
    held = [(DAYS[399], code, 100, 100, 10.0, 10.0) for code in codes]
    positions = pl.DataFrame(held, schema=POSITIONS, orient="row")
    traded = orders(*(order(day, "buy", 100, 100) for day in range(1, 101)))
    actions = pl.DataFrame([], schema=ACTIONS)
    run = Run(made, manifest | {"sessions": 400}, a_perf(STEADY), traded, positions, actions)
    profits = [(day, code, 1000.0) for code in codes for day in DAYS[:2]]
    boards = {"label": [str(Board.SSE_MAIN), str(Board.CHINEXT)], "profit": [500.0, 500.0], "stocks": [10, 10]}
    tables = derived(run) | {
        "profits": pl.DataFrame(profits, schema=["session", "ts_code", "profit"], orient="row"),
        "profit_by_stock": pl.DataFrame({"ts_code": codes, "profit": [100.0] * 20}),
        "profit_by_board": pl.DataFrame(boards),
        "profit_by_size": pl.DataFrame({"label": [diagnosis.SMALLEST, "more"], "profit": [400.0, 600.0]}),
        "round_trips": pl.DataFrame({"ts_code": codes}),
        "capacity": capacity(0.1, 0.1, 0.1),
    }
    return Case(run, a_judgement(), tables)


def capacity(own: float, twice: float, at_fifty: float, bought: float = 1.0) -> pl.DataFrame:
    rows = [(1e6, bought, own), (2e6, 0.9, twice), (5e7, 0.2, at_fifty)]
    return pl.DataFrame(rows, schema=["capital", "bought", "annual_return"], orient="row")


def test_a_run_nothing_speaks_against_says_what_was_looked_at(case):
    (only,) = diagnose(case.run, case.judgement, case.tables)
    assert only.level is Level.NOTE
    assert "Nothing was found against the result" in only.said(SAY)
    assert "capacity" in only.said(SAY)
    del case.tables["capacity"]
    (only,) = diagnose(case.run, case.judgement, case.tables)
    assert "capacity" not in only.said(SAY)


def label(case: Case, text: str) -> None:
    case.run.manifest["data_label"] = text


def length(case: Case, n: int) -> None:
    with_returns(case, STEADY[:n])


def verdict(case: Case, **values: float) -> None:
    case.judgement = a_judgement(**values)  # type: ignore[arg-type]


def bets(case: Case, closed: int) -> None:
    case.tables["round_trips"] = pl.DataFrame({"ts_code": ["x"] * closed})


def of_equal_stocks(case: Case, count: int) -> None:
    rows = [(DAYS[0], f"{n}", -1000.0 if n % 2 else 1000.0) for n in range(count)]
    case.tables["profits"] = pl.DataFrame(rows, schema=["session", "ts_code", "profit"], orient="row")


def best_stocks(case: Case, *profits: float, rest: int = 10, whole: float = 1000.0) -> None:
    others = [(whole - sum(profits)) / rest] * rest
    codes = [f"{n}" for n in range(len(profits) + rest)]
    case.tables["profit_by_stock"] = pl.DataFrame({"ts_code": codes, "profit": [*profits, *others]})


def best_month(case: Case, gain_of_others: float) -> None:
    """Fifteen sessions of January make three per thousand each; the months after it sum up to what is given."""
    daily = np.full(200, gain_of_others / 180)
    daily[:20] = np.repeat([0.003, 0.0], [15, 5])
    with_returns(case, daily)


def best_days(case: Case, gain_of_others: float) -> None:
    """Four sessions of 400 make two percent each, in four months; the others sum up to what is given."""
    daily = np.full(400, gain_of_others / 396)
    daily[[0, 60, 120, 180]] = 0.02
    with_returns(case, daily)


def on_board(case: Case, profit: float, stocks: int) -> None:
    boards = {"label": ["chinext", "sse_main"], "profit": [profit, 1000 - profit], "stocks": [stocks, 100 - stocks]}
    case.tables["profit_by_board"] = pl.DataFrame(boards)


def smallest(case: Case, profit: float) -> None:
    made = {"label": [diagnosis.SMALLEST, "more"], "profit": [profit, 1000 - profit]}
    case.tables["profit_by_size"] = pl.DataFrame(made)


def paid(case: Case, net: float, cost: float, a_year: float = 0.01) -> None:
    """Make so much a session net, after so much of the net value in costs."""
    with_returns(case, np.full(400, net))
    before = pl.Series(np.concatenate([[1e6], case.run.perf["net_value"].to_numpy()[:-1]]))
    case.tables["costs_by_session"] = case.tables["costs_by_session"].with_columns(all=before * cost)
    case.tables["costs"] = pl.DataFrame({"cost": ["all"], "a_year": [a_year]})
    table = gross_and_net(case.run.perf, case.tables["costs_by_session"], 1e6, case.run.year)
    case.tables["gross_and_net"] = table


def traded_each_session(case: Case, shares: int, net: float = 0.0, slippage: float = 0.0) -> None:
    case.run = replace(case.run, orders=orders(*(order(day, "buy", shares, shares) for day in range(1, 400))))
    with_returns(case, np.full(400, net))
    case.settings("execution", slippage=slippage)


def unlimited(case: Case, bought: float) -> None:
    case.settings("execution", participation=0.0)
    case.tables["capacity"] = capacity(0.1, 0.1, 0.1, bought)


def scenario(case: Case, name: str) -> None:
    case.settings("execution", scenario=name)


def cash_of(case: Case, share: float) -> None:
    case.run = replace(case.run, perf=case.run.perf.with_columns(cash=pl.col("net_value") * share))


def ordered(case: Case, filled: int, *rows: Any) -> None:
    case.run = replace(case.run, orders=orders(*(order(1, "buy", 100, 100) for _ in range(filled)), *rows))


def stuck(case: Case, count: int, every: int = 1, side: str = "sell", filled: int = 90) -> None:
    ordered(case, filled, *(order(1 + n * every, side, 100, 0, "suspended") for n in range(count)))


def cut(case: Case, count: int) -> None:
    half = [order(1, "buy", 100, 50, reason) for reason in ("participation", "cash")]
    ordered(case, 100 - count, *(half[n % 2] for n in range(count)))


def lots(case: Case, count: int, decided: int = 0, day: int = 1) -> None:
    case.run.manifest["decisions"] = {"less_than_a_lot": decided}
    ordered(case, 100 - count, *(order(day, "buy", 50, 0, "lot", "600001.SH") for _ in range(count - decided)))


def twice_the_capital(case: Case, left: float, fifty: float = 0.1) -> None:
    case.tables["capacity"] = capacity(0.1, left, fifty)


def gone(case: Case, shares: int, kind: str = "unknown") -> None:
    case.run.manifest["written_down"] = [["2016-02-01", "600001.SH", shares, 1.0, kind]]


def exposed(case: Case, gross: float, on: int = 0, index: float = 0.0) -> None:
    with_returns(case, STEADY, gross, index)
    case.run.manifest["switches"] = {"drawdown": {"times_on": 1, "sessions_on": on, "on_at_the_end": True}}


def index_of(case: Case, daily: float, noise: float = 0.0) -> None:
    moves = np.random.default_rng(1).normal(0, 1, 400)
    with_returns(case, STEADY, 0.8, daily + noise * (moves - moves.mean()))


Change = Callable[[Case], None]
QUIET_AND_LOUD: dict[str, tuple[Any, Change, Change, Level, str]] = {
    "made-up data": (
        diagnosis.labelled,
        lambda case: label(case, ""),
        lambda case: label(case, "Synthetic demo market: no real company."),
        Level.STOP,
        "The data are made up: Synthetic demo market",
    ),
    "another label": (
        diagnosis.labelled,
        lambda case: label(case, ""),
        lambda case: label(case, "of the second vendor"),
        Level.NOTE,
        "of the second vendor",
    ),
    "length": (
        diagnosis.too_short,
        lambda case: length(case, 60),
        lambda case: length(case, 59),
        Level.STOP,
        "59 of the 60 sessions",
    ),
    "loss": (
        diagnosis.loss,
        lambda case: paid(case, -0.0001, 0.0002),
        lambda case: paid(case, -0.0002, 0.0001),
        Level.WARN,
        "-4.8% a year, -2.4% without any cost",
    ),
    "track record": (
        diagnosis.luck,
        lambda case: verdict(case, deflated=0.95, needed=400.0),
        lambda case: verdict(case, deflated=0.949, needed=400.1),
        Level.STOP,
        "takes 401 sessions to be above 0 with 95%, and the run has 400",
    ),
    "deflated": (
        diagnosis.luck,
        lambda case: verdict(case, deflated=0.95, trials=9),
        lambda case: verdict(case, deflated=0.949, trials=9),
        Level.STOP,
        "After 9 trials a Sharpe ratio of 1.56 a year may be luck: the deflated Sharpe ratio is 94.9%",
    ),
    "overfitted": (
        diagnosis.overfitted,
        lambda case: verdict(case, overfit=0.49),
        lambda case: verdict(case, overfit=0.51),
        Level.STOP,
        "the probability of overfitting is 51%",
    ),
    "trials": (
        diagnosis.many_trials,
        lambda case: verdict(case, trials=4),
        lambda case: verdict(case, trials=5),
        Level.NOTE,
        "5 trials of this strategy",
    ),
    "trials told already": (
        diagnosis.many_trials,
        lambda case: verdict(case, trials=5, deflated=0.9),
        lambda case: verdict(case, trials=5, deflated=0.9, needed=500.0),
        Level.NOTE,
        "has a Sharpe ratio of 0.78 a year",
    ),
    "bets": (
        diagnosis.few_bets,
        lambda case: bets(case, 10),
        lambda case: bets(case, 9),
        Level.WARN,
        "There are 29 holdings only, 9 of them closed",
    ),
    "effective stocks": (
        diagnosis.few_bets,
        lambda case: of_equal_stocks(case, 10),
        lambda case: of_equal_stocks(case, 9),
        Level.WARN,
        "40 holdings, but the profit moved as if there were 9.0 equal stocks",
    ),
    "one stock": (
        diagnosis.few_stocks,
        lambda case: best_stocks(case, 490.0, rest=5),
        lambda case: best_stocks(case, 510.0, rest=5),
        Level.WARN,
        "Without 0, the best of 6 stocks, the profit is 490 CNY instead of 1,000",
    ),
    "five stocks": (
        diagnosis.few_stocks,
        lambda case: best_stocks(case, *[99.0] * 5),
        lambda case: best_stocks(case, *[101.0] * 5),
        Level.WARN,
        "Without its 5 best of 15 stocks the profit is 495 CNY instead of 1,000",
    ),
    "five of ten stocks": (
        diagnosis.few_stocks,
        lambda case: best_stocks(case, *[101.0] * 5, rest=5),
        lambda case: best_stocks(case, *[101.0] * 5, rest=6),
        Level.WARN,
        "5 best of 11",
    ),
    "no profit": (
        diagnosis.few_stocks,
        lambda case: best_stocks(case, 600.0, whole=-1.0),
        lambda case: best_stocks(case, 600.0),
        Level.WARN,
        "400 CNY",
    ),
    "one month": (
        diagnosis.few_sessions,
        lambda case: best_month(case, 0.001),
        lambda case: best_month(case, -0.001),
        Level.WARN,
        "Without 2016-01 the return is -0.1% instead of 4.5%",
    ),
    "best sessions": (
        diagnosis.few_sessions,
        lambda case: best_days(case, 0.001),
        lambda case: best_days(case, -0.001),
        Level.WARN,
        "Without its 4 best of 400 sessions the return is -0.1% instead of 8.1%",
    ),
    "one board": (
        diagnosis.one_board,
        lambda case: on_board(case, 500, 20),
        lambda case: on_board(case, 501, 20),
        Level.WARN,
        "Without ChiNext, 20% of the stocks held, the profit is 499 CNY instead of 1,000",
    ),
    "most stocks on a board": (
        diagnosis.one_board,
        lambda case: on_board(case, 800, 40),
        lambda case: on_board(case, 801, 40),
        Level.WARN,
        "199 CNY",
    ),
    "smallest": (
        diagnosis.smallest_size,
        lambda case: smallest(case, 500),
        lambda case: smallest(case, 501),
        Level.WARN,
        "(under 5 billion CNY) the profit is 499 CNY instead of 1,000",
    ),
    "costs took it": (
        diagnosis.costly,
        lambda case: paid(case, 0.0002, 0.0001),
        lambda case: paid(case, -0.0001, 0.0002),
        Level.WARN,
        "Costs took the gain: 2.5% a year without them, -2.4% with them",
    ),
    "costs doubled": (
        diagnosis.costly,
        lambda case: paid(case, 0.0002, 0.0001),
        lambda case: paid(case, 0.0001, 0.0002),
        Level.WARN,
        "twice as high the annual return is -2.4% instead of 2.5%",
    ),
    "dear": (
        diagnosis.costly,
        lambda case: paid(case, 0.001, 0.0001, 0.05),
        lambda case: paid(case, 0.001, 0.0001, 0.051),
        Level.WARN,
        "Costs take 5.1% of the net value a year",
    ),
    "slippage": (
        diagnosis.no_slippage,
        lambda case: traded_each_session(case, 2000),
        lambda case: traded_each_session(case, 2100),
        Level.NOTE,
        "at 0.1% an order the annual return is -0.5% instead of 0.0%",
    ),
    "slippage that turns a gain": (
        diagnosis.no_slippage,
        lambda case: traded_each_session(case, 4000, 0.00003, 0.001),
        lambda case: traded_each_session(case, 4000, 0.00003),
        Level.WARN,
        "-0.2% instead of 0.7%",
    ),
    "participation": (
        diagnosis.no_participation_limit,
        lambda case: unlimited(case, 0.99),
        lambda case: unlimited(case, 0.98),
        Level.WARN,
        "10% of it is enough for 98% of the buys",
    ),
    "optimistic": (
        diagnosis.optimistic,
        lambda case: scenario(case, "base"),
        lambda case: scenario(case, "optimistic"),
        Level.WARN,
        "read optimistically",
    ),
    "debt": (
        diagnosis.debt,
        lambda case: cash_of(case, -0.01),
        lambda case: cash_of(case, -0.011),
        Level.STOP,
        "In 400 sessions cash was below 0, by up to 1%",
    ),
    "blocked": (
        diagnosis.blocked,
        lambda case: stuck(case, 10),
        lambda case: stuck(case, 11),
        Level.NOTE,
        "11% of the orders met a suspended stock or a price limit, 11 sells and 0 buys. Those of neighbouring"
        " sessions counted once, these are 1 waits, the longest of 11 sessions",
    ),
    "blocked again and again": (
        diagnosis.blocked,
        lambda case: stuck(case, 10, 2, "buy"),
        lambda case: stuck(case, 11, 2, "buy"),
        Level.WARN,
        "0 sells and 11 buys. Those of neighbouring sessions counted once, these are 11 waits, the longest of 1",
    ),
    "cut": (
        diagnosis.cut_short,
        lambda case: cut(case, 10),
        lambda case: cut(case, 11),
        Level.WARN,
        "11% of the orders were cut, 6 by the session's volume and 5 by cash",
    ),
    "lots": (
        diagnosis.too_small,
        lambda case: lots(case, 5),
        lambda case: lots(case, 6),
        Level.WARN,
        "1,000,000 CNY are too little for this many stocks: 6% of the buys",
    ),
    "lots decided": (
        diagnosis.too_small,
        lambda case: lots(case, 5, 3),
        lambda case: lots(case, 6, 3),
        Level.WARN,
        "6% of the buys",
    ),
    "lots on top of a holding": (
        diagnosis.too_small,
        lambda case: lots(case, 50, day=399),
        lambda case: lots(case, 50, day=398),
        Level.WARN,
        "50% of the buys",
    ),
    "capacity": (
        diagnosis.no_capacity,
        lambda case: twice_the_capital(case, 0.0501),
        lambda case: twice_the_capital(case, 0.0499),
        Level.WARN,
        "With 2,000,000 CNY only 90% of the buys find volume, and the annual return is 5.0% at most instead of 10.0%",
    ),
    "far capacity": (
        diagnosis.no_capacity,
        lambda case: twice_the_capital(case, 0.06, 0.0),
        lambda case: twice_the_capital(case, 0.04, 0.0),
        Level.WARN,
        "With 2,000,000 CNY",
    ),
    "delisted": (
        diagnosis.delisted,
        lambda case: gone(case, 10_001, "absorption"),
        lambda case: gone(case, 10_001),
        Level.WARN,
        "1 holdings were delisted while held and lost 10,001 CNY of their last value; of 1 it is not",
    ),
    "little delisted": (
        diagnosis.delisted,
        lambda case: None,
        lambda case: gone(case, 10_000, "one_yuan"),
        Level.NOTE,
        "of 0 it is not",
    ),
    "cash": (
        diagnosis.mostly_cash,
        lambda case: exposed(case, 0.51),
        lambda case: exposed(case, 0.49, 200, 0.001),
        Level.WARN,
        "Only 49% of the net value was invested on average, so its risk is not that of 000905.SH held whole;"
        " 000905.SH at the same exposure returned 21.6%, the run 49.0%",
    ),
    "the switch": (
        diagnosis.mostly_cash,
        lambda case: exposed(case, 0.51, 201),
        lambda case: exposed(case, 0.49, 201),
        Level.WARN,
        "The drawdown switch was on in 201 of 400 sessions",
    ),
    "the index": (
        diagnosis.beside_index,
        lambda case: index_of(case, 0.0004),
        lambda case: index_of(case, 0.0011),
        Level.WARN,
        "000905.SH did better: 30.8% a year, the run 27.5%; the difference lies between",
    ),
    "chance": (
        diagnosis.beside_index,
        lambda case: index_of(case, 0.0, 0.001),
        lambda case: index_of(case, 0.0, 0.02),
        Level.WARN,
        "The run did better than 000905.SH",
    ),
}


@pytest.mark.parametrize("name", QUIET_AND_LOUD)
def test_a_finding_begins_at_its_threshold(case, name):
    look, quiet, loud, level, words = QUIET_AND_LOUD[name]
    quiet(case)
    assert look(case.run, case.judgement, case.tables) is None
    loud(case)
    found = look(case.run, case.judgement, case.tables)
    assert found is not None
    assert found.level is level
    assert words in found.said(SAY)
    assert found in diagnose(case.run, case.judgement, case.tables)


def test_every_look_is_taken_and_tried():
    looks = {look for looks in (diagnosis._ALWAYS, diagnosis._TRADED, diagnosis._LONG) for look in looks}
    assert looks == {look for look, *_ in QUIET_AND_LOUD.values()}


def test_the_heaviest_come_first_and_no_all_clear_beside_them(case):
    label(case, "of the second vendor")
    scenario(case, "optimistic")
    verdict(case, overfit=0.6)
    found = diagnose(case.run, case.judgement, case.tables)
    assert [one.level for one in found] == [Level.STOP, Level.WARN, Level.NOTE]
    case.settings("execution", scenario="base")
    verdict(case)
    first, second = diagnose(case.run, case.judgement, case.tables)
    assert "Nothing was found" in first.sentence
    assert "label" in second.sentence


@pytest.mark.parametrize(("pessimistic", "base", "told"), [(0.001, 0.1, 0), (-0.001, 0.1, 1), (-0.2, -0.1, 0)])
def test_an_envelope_that_turns_the_sign_stops(case, pessimistic, base, told):
    rows = [{"scenario": "pessimistic", "total_return": pessimistic}, {"scenario": "base", "total_return": base}]
    assert (fills_turn_it(rows) is not None) is bool(told)
    write_json(case.run.folder / FILE, rows)
    found = [one for one in diagnose(case.run, case.judgement, case.tables) if "pessimistic fills" in one.sentence]
    assert [one.level for one in found] == [Level.STOP] * told


@pytest.mark.parametrize(
    ("data_start", "says"),
    [
        (
            "2017-06-01",
            "The likely cause: the data begin 2017-06-01, and a stock joins the universe 240 sessions",
        ),
        (None, "If the run begins soon after the data do: a stock joins the universe 240 sessions after its first bar"),
        ("2010-01-04", "The strategy asked for none: is its selection empty, does its script order?"),
    ],
)
def test_a_run_without_an_order_says_why_and_no_more(tmp_path, data_start, says):
    run = open_run(a_run(tmp_path / "run", orders=[], **({"data_start": data_start} if data_start else {})))
    told = no_order(run.manifest, run.orders)
    assert told is not None
    assert told.startswith("No order was placed. ")
    assert says in told
    (only,) = diagnose(run, review.judged(run), review.tables(run))
    assert only.level is Level.STOP
    assert f"{only.said(SAY)} {only.mend}".strip() == told
    assert no_order(run.manifest, run.orders, dt.date(2017, 6, 1)).count("2018-05-24") == 1
    assert no_order(run.manifest, orders(order(1, "buy", 100, 0))) is None


def test_orders_that_all_came_to_nothing_name_the_usual_reason(tmp_path):
    placed = [an_order("suspended", 100, 0), an_order("lot", 50, 0), an_order("lot", 50, 0)]
    run = open_run(a_run(tmp_path / "run", orders=placed))
    (only,) = diagnose(run, review.judged(run), review.tables(run))
    assert only.level is Level.STOP
    assert only.said(SAY) == "None of the 3 orders traded a share, 2 of them because it was for less than a lot."


@pytest.mark.parametrize("n", [2, 59, 60, 120])
def test_runs_of_any_length_are_diagnosed(tmp_path, n):
    run = open_run(a_run(tmp_path / "run", length=n))
    found = diagnose(run, review.judged(run), review.tables(run))
    said = [one.said(SAY) for one in found]
    assert any("of the 60 sessions" in one for one in said) is (n < 60)
    assert any("% a year" in one for one in said) is (n >= 60)
    assert not [one for one in said if "nan" in one or "inf" in one or "{" in one]


def test_every_reason_and_board_has_words():
    assert {*diagnosis.WHY, Reason.FILLED} == set(Reason)
    assert set(diagnosis.BOARDS) == set(Board)
