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
        The rows with the column ``plan``; the others get the lowest free numbers, in order of ex-date (none
        last) and amounts.
    """
    columns = rows.columns
    numbers = held.select(*columns, PLAN).unique(columns, keep="first")
    ordered = rows.join(numbers, on=columns, how="left", nulls_equal=True).sort(_ORDER, nulls_last=True)
    taken: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    groups = list(ordered.select(PLAN_GROUP).iter_rows())
    for group, number in zip(groups, ordered[PLAN], strict=True):
        if number is not None:
            taken[group].add(number)
    plans = []
    for group, held_number in zip(groups, ordered[PLAN], strict=True):
        number = held_number
        if number is None:
            number = next(free for free in itertools.count() if free not in taken[group])
            taken[group].add(number)
        plans.append(number)
    return ordered.with_columns(pl.Series(PLAN, plans, dtype=pl.Int64))
