"""Several dividend plans of one period: which is which, so that a corrected plan restates its own.

The vendor gives a plan no name, and every value of it may be corrected. A plan is therefore known by its place
among those of the same stock, period and state: by ex-date, then by amount.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import polars as pl

from bundles.endpoints import PLAN, PLAN_GROUP

_ORDER = (*PLAN_GROUP, "ex_date", "cash_div_tax", "stk_div", "ann_date", "imp_ann_date", "record_date", "pay_date")

_DAYS = ("ex_date", "record_date", "imp_ann_date", "ann_date")
"""A corrected plan keeps at least one of these days, or"""
_MOVED = 10
"""its ex-date moves by no more days than these."""


def with_plans(rows: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Give each plan of one import its number.

    Parameters
    ----------
    rows : DataFrame
        All rows of the import, exact repetitions dropped.
    held : DataFrame
        What the lake holds. A row it holds unchanged keeps its number, so that an import of fewer rows, or
        of one plan more, moves no other.

    Returns
    -------
    DataFrame
        The rows with the column ``plan``. A row that shares a day with a held plan, or goes ex near it,
        corrects it and takes its number; the others get the lowest free numbers, in order of ex-date (none
        last) and amounts.
    """
    columns = rows.columns
    held = held.join(rows.select(PLAN_GROUP).unique(), on=PLAN_GROUP, how="semi", nulls_equal=True)
    numbers = held.select(*columns, PLAN).unique(columns, keep="first")
    ordered = rows.join(numbers, on=columns, how="left", nulls_equal=True).sort(_ORDER, nulls_last=True)
    taken: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    groups = list(ordered.select(PLAN_GROUP).iter_rows())
    for group, number in zip(groups, ordered[PLAN], strict=True):
        if number is not None:
            taken[group].add(number)
    known = _known_by_day(held)
    plans = []
    for group, row in zip(groups, ordered.iter_rows(named=True), strict=True):
        number = row[PLAN]
        if number is None:
            number = _corrected(known[group], row, taken[group])
            taken[group].add(number)
        plans.append(number)
    return ordered.with_columns(pl.Series(PLAN, plans, dtype=pl.Int64))


def _known_by_day(held: pl.DataFrame) -> dict[tuple[Any, ...], dict[int, set[Any]]]:
    """Return, by group and number, the days a held plan is known by."""
    known: dict[tuple[Any, ...], dict[int, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for row in held.select(*PLAN_GROUP, PLAN, *_DAYS).iter_rows(named=True):
        group = tuple(row[name] for name in PLAN_GROUP)
        known[group][row[PLAN]] |= {(name, row[name]) for name in _DAYS if row[name] is not None}
    return known


def _corrected(known: dict[int, set[Any]], row: dict[str, Any], taken: set[int]) -> int:
    """Return the number of the held plan a row corrects; else a new number."""
    days = {(name, row[name]) for name in _DAYS if row[name] is not None}
    open_plans = [number for number in sorted(known) if number not in taken]
    for number in [
        *(number for number in open_plans if known[number] & days),
        *(number for number in open_plans if _near(known[number], days)),
    ]:
        return number
    return next(free for free in itertools.count() if free not in taken and free not in known)


def _near(known: set[Any], days: set[Any]) -> bool:
    """Say whether two plans could be one whose ex-date moved; two true plans of a period lie months apart."""
    first, second = (next((day for name, day in plan if name == "ex_date"), None) for plan in (known, days))
    return first is None or second is None or abs((first - second).days) <= _MOVED
