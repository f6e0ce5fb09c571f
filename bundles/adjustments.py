"""zipline's adjustments: bonus shares as splits, cash as dividends, and price ratios that follow ``adj_factor``.

For each bar whose factor differs from the bar before, the whole price ratio is ``before / after``. Bonus and
transfer shares with an ex-date in between are splits (they change holdings); what remains of the ratio is
written as a price ratio only, on the ex-date of the cash dividend, or where there is none on the bar itself
(a rights issue, which changes no holding). So zipline's adjusted history moves exactly as ``adj_factor``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from zipline.data.adjustments import SQLiteAdjustmentWriter

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Action:
    """A carried-out dividend plan of one stock, amounts a share.

    Attributes
    ----------
    sid, ex_row, pay_row : int
        The stock, and the rows of the sessions on which it goes ex and pays; a day that is no session
        counts as the next one.
    cash : float
        CNY before tax.
    shares : float
        New shares, bonus and transfer together.
    """

    sid: int
    ex_row: int
    pay_row: int
    cash: float
    shares: float


@dataclass
class Adjustments:
    """What zipline's adjustment database will hold, and what the build reports of it.

    Attributes
    ----------
    splits, dividends, mergers : list of (sid, row, ratio)
        ``dividends`` and ``mergers`` are price ratios only.
    payouts : list of Action
        Cash to pay.
    unexplained : int
        Changes of the factor without a plan: suspected rights issues, not taken up.
    without_effect : int
        Plans whose bar shows no change of the factor.
    """

    splits: list[tuple[int, int, float]] = field(default_factory=list)
    dividends: list[tuple[int, int, float]] = field(default_factory=list)
    mergers: list[tuple[int, int, float]] = field(default_factory=list)
    payouts: list[Action] = field(default_factory=list)
    unexplained: int = 0
    without_effect: int = 0


def actions(dividend: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> list[Action]:
    """Return the carried-out plans with an ex-date inside the sessions.

    Parameters
    ----------
    dividend : DataFrame
        Of the lake, with a column ``sid``.
    days : array of datetime64[D]
        The sessions.
    """
    done = dividend.filter((pl.col("div_proc") == "实施") & pl.col("ex_date").is_not_null())
    columns = done.select(
        "sid",
        "ex_date",
        pl.coalesce("pay_date", "ex_date"),
        pl.col("cash_div_tax").fill_null(0),
        pl.col("stk_div").fill_null(0),
    )
    found = []
    for sid, ex_date, pay_date, cash, shares in columns.unique(maintain_order=True).iter_rows():
        ex_row = int(np.searchsorted(days, np.datetime64(ex_date)))
        pay_row = max(int(np.searchsorted(days, np.datetime64(pay_date))), ex_row)
        if (ex_row > 0 or days[0] == np.datetime64(ex_date)) and ex_row < len(days) and (cash > 0 or shares > 0):
            found.append(Action(sid, ex_row, pay_row, cash, shares))
    return found


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
    result = Adjustments(payouts=[plan for plan in plans if plan.cash > 0])
    waiting: dict[tuple[int, int], list[Action]] = defaultdict(list)
    for plan in plans:
        if plan.shares > 0:
            result.splits.append((plan.sid, plan.ex_row, 1.0 / (1.0 + plan.shares)))
        waiting[plan.sid, _bar_from(last_bar, plan.sid, plan.ex_row)].append(plan)
    for (sid, row), ratio in _factor_changes(factor).items():
        _match(result, sid, row, ratio, waiting.pop((sid, row), []))
    for (sid, row), unmatched in waiting.items():
        result.without_effect += len(unmatched)
        _match(result, sid, row, 1.0, unmatched)
    return result


def _match(result: Adjustments, sid: int, row: int, ratio: float, plans: list[Action]) -> None:
    """Enter what of a price ratio its splits do not explain."""
    for plan in plans:
        ratio *= 1.0 + plan.shares
    with_cash = [plan for plan in plans if plan.cash > 0]
    if with_cash:
        result.dividends.append((sid, with_cash[-1].ex_row, ratio))
    elif ratio != 1.0 and row >= 0:
        result.mergers.append((sid, row, ratio))
    result.unexplained += not plans


def _bar_from(last_bar: npt.NDArray[np.int32], sid: int, row: int) -> int:
    """Return the row of the first bar on or after a row, -1 if there is none."""
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
    seconds = days.astype("datetime64[s]").astype(np.int64)
    with SQLiteAdjustmentWriter(str(path), equity_daily_bar_reader=None, overwrite=True) as writer:
        # the first frame written gives a table its column types, so ours come before zipline's empty ones
        for name, ratios in (("splits", found.splits), ("dividends", found.dividends), ("mergers", found.mergers)):
            writer.write_frame(name, _ratio_frame(ratios, days))
        writer.write_dividend_payouts(_payout_frame(found.payouts, seconds))
        writer.write()


def _ratio_frame(ratios: list[tuple[int, int, float]], days: npt.NDArray[np.datetime64]) -> pd.DataFrame:
    sids, rows, values = _columns(ratios, 3)
    return pd.DataFrame(
        {
            "sid": sids.astype(np.int64),
            "effective_date": days[rows.astype(np.int64)].astype("datetime64[ns]"),
            "ratio": values.astype(np.float64),
        }
    )


def _payout_frame(payouts: list[Action], seconds: Ints) -> pd.DataFrame:
    inside = [plan for plan in payouts if plan.pay_row < len(seconds)]
    ex = seconds[[plan.ex_row for plan in inside]] if inside else np.array([], dtype=np.int64)
    pay = seconds[[plan.pay_row for plan in inside]] if inside else np.array([], dtype=np.int64)
    return pd.DataFrame(
        {
            "sid": np.array([plan.sid for plan in inside], dtype=np.int64),
            "ex_date": ex,
            "declared_date": ex,
            "record_date": ex,
            "pay_date": pay,
            "amount": np.array([plan.cash for plan in inside], dtype=np.float64),
        }
    )


def _columns(rows: list[Any], width: int) -> list[npt.NDArray[Any]]:
    return [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.array([])] * width
