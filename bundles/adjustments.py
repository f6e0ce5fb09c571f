"""zipline's adjustments: bonus shares as splits, and price ratios that follow ``adj_factor``.

For each bar whose factor differs from the bar before, the whole price ratio is ``before / after``. Bonus and
transfer shares with an ex-date in between are splits (they change holdings); what remains of the ratio is
written as a price ratio only, on the ex-date of the cash dividend, or where there is none on the bar itself
(a rights issue). So zipline's adjusted history moves exactly as ``adj_factor``. What a holder gets (cash,
shares, rights, taxes) is no affair of zipline's tables: the ledger carries the actions out itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.databases import database
from engine import calendar

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Adjustments:
    """What zipline's adjustment database will hold, and what the build reports of it.

    Attributes
    ----------
    splits, dividends, mergers : DataFrame
        ``sid``, ``row`` and ``ratio``; ``dividends`` and ``mergers`` are price ratios only.
    unexplained : DataFrame
        Changes of the factor without a plan, of the same columns: suspected rights issues, not taken up.
    without_effect : int
        Plans whose bar shows no change of the factor.
    """

    splits: pl.DataFrame
    dividends: pl.DataFrame
    mergers: pl.DataFrame
    unexplained: pl.DataFrame
    without_effect: int


def plans_of(dividend: pl.DataFrame, rights: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> pl.DataFrame:
    """Return the carried-out plans and the rights issues with an ex-date inside the sessions.

    What happens to a holding: zipline is told the ratios only, our ledger carries the actions out.

    Parameters
    ----------
    dividend, rights : DataFrame
        Of the lake, with a column ``sid``.
    days : array of datetime64[D]
        The sessions.

    Returns
    -------
    DataFrame
        The columns of ``engine.panels.actions.COLUMNS``, in order of the ex-session, then of the stock.
    """
    found = pl.concat([_dividends(dividend, days), _rights(rights, days)], how="diagonal")
    inside = found.filter(pl.col("ex_row").is_between(0, len(days), closed="left"))
    return inside.with_columns(
        pl.max_horizontal("pay_row", "ex_row").alias("pay_row"),
        pl.when(pl.col("rights") > 0).then(pl.max_horizontal("list_row", "ex_row")).otherwise(0).alias("list_row"),
        pl.col(pl.Float64).fill_null(0.0),
    ).sort("ex_row", "sid", maintain_order=True)


def _dividends(dividend: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> pl.DataFrame:
    """Return dividend plans; one that is announced twice, with the same ex-date and amounts, is one plan."""
    done = dividend.filter((pl.col("div_proc") == "实施") & pl.col("ex_date").is_not_null()).select(
        "sid",
        "ex_date",
        pl.coalesce("record_date", pl.col("ex_date").dt.offset_by("-1d")).alias("record"),
        pl.coalesce("pay_date", "ex_date").alias("pay_date"),
        cash=pl.col("cash_div_tax").fill_null(0),
        shares=pl.col("stk_div").fill_null(0),
        bonus=pl.col("stk_bo_rate").fill_null(0),
    )
    done = done.unique(subset=["sid", "ex_date", "cash", "shares"], keep="last", maintain_order=True)
    gives = done.filter((pl.col("cash") > 0) | (pl.col("shares") > 0))
    return gives.select(
        "sid",
        "record",
        "cash",
        "shares",
        ex_row=_rows(days, gives["ex_date"]),
        pay_row=_rows(_with_ahead(days), gives["pay_date"]),
        taxed_shares=pl.min_horizontal("bonus", "shares"),
    )


def _rights(rights: pl.DataFrame, days: npt.NDArray[np.datetime64]) -> pl.DataFrame:
    """Return the rights issues of the user's table."""
    ex_row = _rows(days, rights["ex_date"])
    list_row = _rows(_with_ahead(days), rights["list_date"].fill_null(rights["ex_date"]))
    return rights.select(
        "sid", record="ex_date", ex_row=ex_row, pay_row=ex_row, list_row=list_row, rights="ratio", rights_price="price"
    )


def _with_ahead(days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Return the sessions, and those the calendar knows after them: what is due then has its row today."""
    known = calendar.sessions()
    return np.concatenate([days, known[known > days[-1]].astype(days.dtype)])


def _rows(days: npt.NDArray[np.datetime64], dates: pl.Series) -> pl.Series:
    """Return the row of the first session on or after each date; -1 before the sessions, their number after them."""
    wanted = dates.to_numpy().astype("datetime64[D]")
    return pl.Series(np.where(wanted < days[0], -1, np.searchsorted(days, wanted)), dtype=pl.Int32)


def adjustments(plans: pl.DataFrame, factor: npt.NDArray[np.float64], last_bar: npt.NDArray[np.int32]) -> Adjustments:
    """Match plans with the changes of the factor.

    Parameters
    ----------
    plans : DataFrame
        Of all stocks (``plans_of``).
    factor : array, (sessions, assets)
        Carried adjustment factor.
    last_bar : array, (sessions, assets)
        Row of the last bar so far.
    """
    grows = 1.0 + pl.col("shares")
    bars = _bars_from(last_bar, plans["sid"].to_numpy(), plans["ex_row"].to_numpy())
    waiting = (
        plans.with_columns(row=pl.Series(bars))
        .group_by("sid", "row")
        .agg(
            grows=grows.product(),
            cash_row=pl.col("ex_row").filter(pl.col("cash") > 0).last(),
            plans=pl.len(),
        )
    )
    met = _factor_changes(factor).join(waiting, on=["sid", "row"], how="full", coalesce=True).sort("row", "sid")
    # what the splits of a change leave of it
    left = met.with_columns(ratio=pl.col("ratio").fill_null(1.0) * pl.col("grows").fill_null(1.0))
    columns = ["sid", "row", "ratio"]
    without_cash = left.filter(pl.col("cash_row").is_null(), pl.col("ratio") != 1.0, pl.col("row") >= 0)
    return Adjustments(
        splits=plans.filter(pl.col("shares") > 0).select("sid", row="ex_row", ratio=1.0 / grows),
        dividends=left.filter(pl.col("cash_row").is_not_null()).select("sid", "ratio", row="cash_row").select(columns),
        mergers=without_cash.select(columns),
        unexplained=met.filter(pl.col("plans").is_null()).select(columns),
        without_effect=int(met.filter(pl.col("ratio").is_null())["plans"].sum()),
    )


def _bars_from(
    last_bar: npt.NDArray[np.int32], sids: npt.NDArray[np.int32], rows: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Return the row of each stock's first bar on or after a row, -1 if there is none."""
    found = rows.copy()
    at = np.flatnonzero(last_bar[rows, sids] != rows)  # few: most plans go ex on a bar
    found[at] = -1
    at = at[last_bar[-1, sids[at]] >= rows[at]]
    low, high = rows[at], np.full(len(at), len(last_bar) - 1, dtype=np.int32)
    while (low < high).any():  # the last bar never moves back, so the sessions may be halved
        middle = (low + high) // 2
        reached = last_bar[middle, sids[at]] >= rows[at]
        low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
    found[at] = high
    return found


def _factor_changes(factor: npt.NDArray[np.float64]) -> pl.DataFrame:
    """Return ``sid``, ``row`` and price ratio wherever the factor differs from the row before."""
    none = np.array([], dtype=np.int64)
    found: list[tuple[Array, Array, Array]] = [(none, none, none)]
    for row in range(1, len(factor)):
        before, after = factor[row - 1], factor[row]
        sids = np.flatnonzero((before != after) & ~np.isnan(before))
        if len(sids):
            found.append((sids, np.full(len(sids), row), before[sids] / after[sids]))
    schema = {"sid": pl.Int32, "row": pl.Int32, "ratio": pl.Float64}
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema)


def write_adjustments(path: Path, found: Adjustments, days: npt.NDArray[np.datetime64]) -> None:
    """Write zipline's adjustment database."""
    seconds = days.astype("datetime64[s]").astype(np.int64)
    with database(path, "adjustments") as tables:
        for name, ratios in (("splits", found.splits), ("dividends", found.dividends), ("mergers", found.mergers)):
            at = pl.Series("at", seconds[ratios["row"].to_numpy()])
            rows = ratios.with_row_index("id").select("id", "sid", at, "ratio").iter_rows()
            tables.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", rows)  # noqa: S608
