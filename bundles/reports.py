"""What was known of the reports, and when: from announced rows to a table of states (SPEC 13.6 to 13.9).

A state holds from the session it became known until the next one of the same stock. All items of a state come
from the newest period of which any table is known; an item that period lacks is NaN, never an older one.
Trailing twelve months: year to date + last full year - year to date a year earlier, each as known at the time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.panels.store import REPORT_COLUMNS

NAN = float("nan")
INCOME_ITEMS = ("n_income_attr_p", "revenue", "oper_cost", "comp_type")
BALANCE_ITEMS = ("total_assets", "total_liab", "total_hldr_eqy_exc_min_int", "comp_type")
_FINANCIAL = ("2", "3", "4")
_EPOCH = dt.date(1970, 1, 1)

Items = Mapping[str, float | str | None]


@dataclass(frozen=True)
class Announcement:
    """One table of one report becoming known."""

    sid: int
    known_at: dt.date
    period: dt.date
    items: Items


@dataclass
class Known:
    """What is known of one stock's reports so far."""

    tables: dict[dt.date, dict[str, float | str | None]] = field(default_factory=dict)

    def learn(self, announcement: Announcement) -> None:
        """Take in a table; a later version of an item replaces the earlier one."""
        self.tables.setdefault(announcement.period, {}).update(announcement.items)

    def number(self, period: dt.date, item: str) -> float:
        """Return an item of a period, NaN where it is not known."""
        value = self.tables.get(period, {}).get(item)
        return NAN if value is None else float(value)


@dataclass(frozen=True)
class States:
    """The table of states, ordered by stock and time.

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
    rows: list[tuple[int, dt.date, dict[str, float]]] = []
    announcements = [*_announcements(income, INCOME_ITEMS), *_announcements(balance, BALANCE_ITEMS)]
    announcements.sort(key=lambda one: (one.sid, one.known_at))
    for sid, of_stock in groupby(announcements, key=lambda one: one.sid):
        rows.extend((sid, day, state) for day, state in _states_of(of_stock, sid in financial_sids))
    return States(
        sids=np.array([sid for sid, _, _ in rows], dtype=np.int64),
        known_at=np.array([day for _, day, _ in rows], dtype="datetime64[D]"),
        columns={name: np.array([state[name] for _, _, state in rows], dtype=np.float64) for name in REPORT_COLUMNS},
    )


def _announcements(table: pl.DataFrame, items: tuple[str, ...]) -> Iterator[Announcement]:
    """Yield the consolidated reports; of versions known the same day the original comes last and stands."""
    ordered = table.filter(pl.col("report_type") == "1").sort(
        "sid", "known_at", "end_date", "update_flag", descending=[False, False, False, True], nulls_last=True
    )
    for row in ordered.select("sid", "known_at", "end_date", *items).iter_rows():
        yield Announcement(row[0], row[1], row[2], dict(zip(items, row[3:], strict=True)))


def _states_of(announcements: Iterable[Announcement], financial: bool) -> Iterator[tuple[dt.date, dict[str, float]]]:
    """Yield a stock's states, each with the day it became known."""
    known = Known()
    for day, at_once in groupby(announcements, key=lambda one: one.known_at):
        for announcement in at_once:
            known.learn(announcement)
        yield day, state_of(known, financial)


def state_of(known: Known, financial: bool) -> dict[str, float]:
    """Return the state of a stock, one value a column of ``REPORT_COLUMNS``."""
    period = max(known.tables)
    prior = a_year_before(period)
    profit, equity = "n_income_attr_p", "total_hldr_eqy_exc_min_int"
    comp_type = known.tables[period].get("comp_type")
    return {
        "period_end": float((period - _EPOCH).days),
        "profit_ytd": known.number(period, profit),
        "profit_ytd_prior": known.number(prior, profit),
        "profit_ttm": trailing_year(known, period, profit),
        "equity": known.number(period, equity),
        "equity_prior": known.number(prior, equity),
        "revenue": known.number(period, "revenue"),
        "oper_cost": known.number(period, "oper_cost"),
        "total_assets": known.number(period, "total_assets"),
        "total_liab": known.number(period, "total_liab"),
        "is_financial": float(financial if comp_type is None else comp_type in _FINANCIAL),
    }


def trailing_year(known: Known, period: dt.date, item: str) -> float:
    """Return the trailing twelve months of a year-to-date item, NaN unless all its parts are known."""
    if (period.month, period.day) == (12, 31):
        return known.number(period, item)
    full_year = dt.date(period.year - 1, 12, 31)
    return known.number(period, item) + known.number(full_year, item) - known.number(a_year_before(period), item)


def a_year_before(period: dt.date) -> dt.date:
    """Return the end of the same period a year earlier; a leap day, which ends no quarter, becomes the day before."""
    return period.replace(year=period.year - 1, day=28 if (period.month, period.day) == (2, 29) else period.day)
