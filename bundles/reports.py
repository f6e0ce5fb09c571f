"""What was known of the reports, and when: from announced rows to a table of states (SPEC 13.6 to 13.9).

A state holds from the session it became known until the next one of the same stock. All items of a state come
from the newest period of which any table is known; an item that period lacks is NaN, never an older one.
Trailing twelve months: year to date + last full year - year to date a year earlier, each as known at the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.panels.store import REPORT_COLUMNS

NAN = float("nan")
INCOME_ITEMS = ("n_income_attr_p", "revenue", "oper_cost", "comp_type")
BALANCE_ITEMS = ("total_assets", "total_liab", "total_hldr_eqy_exc_min_int", "comp_type")
KEY = ("sid", "known_at", "end_date")
_FINANCIAL = ("2", "3", "4")


@dataclass(frozen=True)
class States:
    """The table of states, ordered by time and stock: what becomes known later comes last.

    Attributes
    ----------
    sids : array of int64
        Whose state it is.
    known_at : array of datetime64[D]
        After whose close it holds.
    columns : dict of str to array of float64
        One of ``REPORT_COLUMNS`` each.
    """

    sids: npt.NDArray[np.int64]
    known_at: npt.NDArray[np.datetime64]
    columns: dict[str, npt.NDArray[np.float64]]


def states(income: pl.DataFrame, balance: pl.DataFrame, financial_sids: frozenset[int]) -> States:
    """Build the table of states.

    Parameters
    ----------
    income, balance : DataFrame
        Rows of the lake with a column ``sid``.
    financial_sids : frozenset of int
        Whose industry is banking, broking or insurance; used where ``comp_type`` is null.
    """
    income, balance = announced(income, INCOME_ITEMS), announced(balance, BALANCE_ITEMS)
    begun = _begun(income, balance)
    profit, equity = "n_income_attr_p", "total_hldr_eqy_exc_min_int"
    period = _as_of(
        begun, pl.col("period"), income.drop("comp_type"), balance.drop("comp_type"), _kinds(income, balance)
    )
    prior = _as_of(begun, A_YEAR_BEFORE, income.select(*KEY, profit), balance.select(*KEY, equity))
    full_year = _as_of(begun, LAST_FULL_YEAR, income.select(*KEY, profit))
    ends_year = (begun["period"].dt.month() == 12) & (begun["period"].dt.day() == 31)
    trailing = period[profit] + full_year[profit] - prior[profit]
    financial = begun["sid"].is_in(sorted(financial_sids))
    found = {
        "sid": begun["sid"],
        "known_at": begun["known_at"].cast(pl.Int32),
        "period_end": begun["period"].cast(pl.Int32),
        "profit_ytd": period[profit],
        "profit_ytd_prior": prior[profit],
        "profit_ttm": pl.select(pl.when(ends_year).then(period[profit]).otherwise(trailing)).to_series(),
        "equity": period[equity],
        "equity_prior": prior[equity],
        **{name: period[name] for name in ("revenue", "oper_cost", "total_assets", "total_liab")},
        "is_financial": pl.select(pl.coalesce(period["comp_type"].is_in(_FINANCIAL), financial)).to_series(),
    }
    known_at = begun["known_at"].to_numpy().astype("datetime64[D]")
    by_time = np.argsort(known_at, kind="stable")
    columns = {name: found[name].cast(pl.Float64).fill_null(NAN).to_numpy() for name in REPORT_COLUMNS}
    return States(
        sids=begun["sid"].cast(pl.Int64).to_numpy()[by_time],
        known_at=known_at[by_time],
        columns={name: values[by_time] for name, values in columns.items()},
    )


A_YEAR_BEFORE = pl.col("period").dt.offset_by("-1y")
"""The end of the same period a year earlier; a leap day, which ends no quarter, becomes the day before."""
LAST_FULL_YEAR = pl.date(pl.col("period").dt.year() - 1, 12, 31)


def announced(table: pl.DataFrame, items: tuple[str, ...]) -> pl.DataFrame:
    """Return the consolidated reports by ``KEY``; of versions of one day the original, which stands, comes last."""
    ordered = table.filter(pl.col("report_type") == "1").sort(
        *KEY, "update_flag", descending=[False, False, False, True], nulls_last=True, maintain_order=True
    )
    return ordered.select(*KEY, *items)


def _kinds(income: pl.DataFrame, balance: pl.DataFrame) -> pl.DataFrame:
    """Return ``comp_type``, which both tables have: the one that came last stands, on one day the balance sheet's."""
    return pl.concat([table.select(*KEY, "comp_type") for table in (income, balance)])


def _begun(*tables: pl.DataFrame) -> pl.DataFrame:
    """Return where states begin, whenever a stock announces anything, with the newest period known by then."""
    newest = (
        pl.concat([table.select(KEY) for table in tables]).group_by("sid", "known_at").agg(pl.col("end_date").max())
    )
    return newest.sort("sid", "known_at").select("sid", "known_at", period=pl.col("end_date").cum_max().over("sid"))


def _as_of(begun: pl.DataFrame, period: pl.Expr, *tables: pl.DataFrame) -> pl.DataFrame:
    """Return the items of a period as each state knows them; null where it does not.

    Of rows of one key the last stands.
    """
    wanted = _numbers(begun.select("sid", "known_at", end_date=period))
    found = []
    for table in tables:
        numbers = _numbers(table)
        order = np.argsort(numbers, kind="stable")
        at = np.searchsorted(numbers, wanted, side="right", sorter=order) - 1
        there = at >= 0
        there[there] = numbers[order[at[there]]] >> _BITS == wanted[there] >> _BITS
        rows = np.full(len(at), -1)
        rows[there] = order[at[there]]
        index = pl.Series(rows).replace(-1, None)
        found.append(table.drop(KEY).select(pl.all().gather(index)))
    return pl.concat(found, how="horizontal")


_BITS = 20
"""Of a day, counted from long before 1970, and of a stock."""


def _numbers(keys: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return stock, period and day of becoming known as one number each, ordered by them in this order."""
    days = (keys[name].cast(pl.Int32).to_numpy().astype(np.int64) + (1 << _BITS - 1) for name in KEY[:0:-1])
    end, known = days
    return ((keys["sid"].to_numpy().astype(np.int64) << _BITS | end) << _BITS) | known
