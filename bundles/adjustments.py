"""zipline's adjustments: bonus shares as splits, and price ratios that follow ``adj_factor``.

For each bar whose factor differs from the bar before, the whole price ratio is ``before / after``. Bonus and
transfer shares with an ex-date in between are splits (they change holdings); what remains of the ratio is
written as a price ratio only, on the ex-date of the cash dividend, or where there is none on the bar itself
(a rights issue). So zipline's adjusted history moves exactly as ``adj_factor``. What a holder gets (cash,
shares, rights, taxes) is no affair of zipline's tables: the ledger carries the actions out itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.databases import database
from engine.panels.actions import Action


@dataclass
class Adjustments:
    """What zipline's adjustment database will hold, and what the build reports of it.

    Attributes
    ----------
    splits, dividends, mergers : list of (sid, row, ratio)
        ``dividends`` and ``mergers`` are price ratios only.
    actions : list of Action
        What happens to a holding: zipline is told the ratios only, our ledger carries the actions out.
    unexplained : list of (sid, row, ratio)
        Changes of the factor without a plan: suspected rights issues, not taken up.
    without_effect : int
        Plans whose bar shows no change of the factor.
    """

    splits: list[tuple[int, int, float]] = field(default_factory=list)
    dividends: list[tuple[int, int, float]] = field(default_factory=list)
    mergers: list[tuple[int, int, float]] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    unexplained: list[tuple[int, int, float]] = field(default_factory=list)
    without_effect: int = 0


def plans_of(dividend: pl.DataFrame, rights: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> list[Action]:
    """Return the carried-out plans and the rights issues with an ex-date inside the sessions.

    Parameters
    ----------
    dividend, rights : DataFrame
        Of the lake, with a column ``sid``.
    days : array of datetime64[D]
        The sessions.
    """
    found = [*_dividends(dividend, days), *_rights(rights, days)]
    return sorted(found, key=lambda action: (action.ex_row, action.sid))


def _dividends(dividend: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> Iterator[Action]:
    """Yield dividend plans; one that is announced twice, with the same ex-date and amounts, is one plan."""
    done = dividend.filter((pl.col("div_proc") == "实施") & pl.col("ex_date").is_not_null()).select(
        "sid",
        "ex_date",
        pl.col("cash_div_tax").fill_null(0),
        pl.col("stk_div").fill_null(0),
        pl.col("stk_bo_rate").fill_null(0),
        pl.coalesce("pay_date", "ex_date").alias("pay_date"),
        pl.coalesce("record_date", pl.col("ex_date").dt.offset_by("-1d")).alias("record_date"),
    )
    key = ["sid", "ex_date", "cash_div_tax", "stk_div"]
    done = done.unique(subset=key, keep="last", maintain_order=True)
    rows = zip(_rows(days, done["ex_date"]), _rows(days, done["pay_date"]), strict=True)
    for (sid, _, cash, shares, bonus, _, record), (ex_row, pay_row) in zip(done.iter_rows(), rows, strict=True):
        if 0 <= ex_row < len(days) and (cash > 0 or shares > 0):
            amounts = _exact(cash), _exact(shares), _exact(min(bonus, shares))
            yield Action(sid, ex_row, record, max(pay_row, ex_row), *amounts)


def _rights(rights: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> Iterator[Action]:
    """Yield the rights issues of the user's table."""
    found = rights.select("sid", "ex_date", "ratio", "price", pl.coalesce("list_date", "ex_date").alias("list_date"))
    rows = zip(_rows(days, found["ex_date"]), _rows(days, found["list_date"]), strict=True)
    for (sid, ex_date, ratio, price, _), (ex_row, list_row) in zip(found.iter_rows(), rows, strict=True):
        if 0 <= ex_row < len(days):
            yield Action(
                sid,
                ex_row,
                ex_date,
                ex_row,
                rights=_exact(ratio),
                rights_price=_exact(price),
                list_row=max(list_row, ex_row),
            )


def _rows(days: npt.NDArray[np.datetime64], dates: pl.Series) -> list[int]:
    """Return the row of the first session on or after each date; -1 before the sessions, their number after them."""
    wanted = dates.to_numpy().astype("datetime64[D]")
    found: list[int] = np.where(wanted < days[0], -1, np.searchsorted(days, wanted)).tolist()
    return found


@cache
def _exact(amount: float) -> Decimal:
    """Return the decimal number that was meant: the shortest one that reads back as the float."""
    return Decimal(repr(float(amount)))


def adjustments(plans: list[Action], factor: npt.NDArray[np.float64], last_bar: npt.NDArray[np.int32]) -> Adjustments:
    """Match plans with the changes of the factor.

    Parameters
    ----------
    plans : list of Action
        Of all stocks.
    factor : array, (sessions, assets)
        Carried adjustment factor.
    last_bar : array, (sessions, assets)
        Row of the last bar so far.
    """
    result = Adjustments(actions=plans)
    waiting: dict[tuple[int, int], list[Action]] = defaultdict(list)
    for plan in plans:
        if plan.shares > 0:
            result.splits.append((plan.sid, plan.ex_row, 1.0 / (1.0 + float(plan.shares))))
        waiting[plan.sid, _bar_from(last_bar, plan.sid, plan.ex_row)].append(plan)
    for (sid, row), ratio in _factor_changes(factor).items():
        _match(result, sid, row, ratio, waiting.pop((sid, row), []))
    for (sid, row), unmatched in waiting.items():
        result.without_effect += len(unmatched)
        _match(result, sid, row, 1.0, unmatched)
    return result


def _match(result: Adjustments, sid: int, row: int, ratio: float, plans: list[Action]) -> None:
    """Enter what of a price ratio its splits do not explain."""
    if not plans:
        result.unexplained.append((sid, row, ratio))
    for plan in plans:
        ratio *= 1.0 + float(plan.shares)
    with_cash = [plan for plan in plans if plan.cash > 0]
    if with_cash:
        result.dividends.append((sid, with_cash[-1].ex_row, ratio))
    elif ratio != 1.0 and row >= 0:
        result.mergers.append((sid, row, ratio))


def _bar_from(last_bar: npt.NDArray[np.int32], sid: int, row: int) -> int:
    """Return the row of the first bar on or after a row, -1 if there is none."""
    if last_bar[row, sid] == row:
        return row  # as nearly always: a whole column is slow to read
    later = np.flatnonzero(last_bar[row:, sid] >= row)
    return row + int(later[0]) if len(later) else -1


def _factor_changes(factor: npt.NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """Return the price ratio of each (sid, row) whose factor differs from the row before."""
    changes: dict[tuple[int, int], float] = {}
    for row in range(1, len(factor)):
        before, after = factor[row - 1], factor[row]
        for sid in np.flatnonzero((before != after) & ~np.isnan(before)).tolist():
            changes[sid, row] = float(before[sid] / after[sid])
    return changes


def write_adjustments(path: Path, found: Adjustments, days: npt.NDArray[np.datetime64]) -> None:
    """Write zipline's adjustment database."""
    seconds = days.astype("datetime64[s]").astype(np.int64).tolist()
    with database(path, "adjustments") as tables:
        for name, ratios in (("splits", found.splits), ("dividends", found.dividends), ("mergers", found.mergers)):
            rows = [(at, sid, seconds[row], ratio) for at, (sid, row, ratio) in enumerate(ratios)]
            tables.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", rows)  # noqa: S608
