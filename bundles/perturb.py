"""A copy of a lake in which whatever was known after a day is another: the ground of ``ashare prove lookahead``.

A row counts by its ``known_at``. Four tables are read with more care:

- ``trade_cal`` is published in advance and stays.
- A row of ``stock_basic`` known early carries facts of later: the name of today, a delisting. Those are changed.
- ``delistings`` is the user's own table, written down afterwards: its rows count from the day the stock left.
- ``code_changes`` says who is who; a later change is undone where rows are dropped, and stays otherwise.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.endpoints import ENDPOINTS, Endpoint
from bundles.lake import KNOWN_AT, Append, Lake, Version
from engine.errors import UsageError
from engine.market.boards import board_of, is_a_share
from engine.prove.kinds import Kind

PRICES = {
    "daily": ("open", "high", "low", "close", "pre_close"),
    "stk_limit": ("up_limit", "down_limit"),
}
"""Columns that are scaled together and stay whole fen; a bar stays in order that way."""
NEUTRAL = 1.0
"""Stands where a number is taken away and the table must have one: an index, a factor, a price nobody paid."""
FACTOR = (0.5, 2.0)
"""Between what numbers are scaled."""
SHARE = 0.5
"""Of the rows that one kind of change treats in two ways."""
_ORDER = "__order__"
SOON = 60
"""Days after the day within which an invented delisting falls."""


@dataclass(frozen=True)
class Change:
    """What is done to the rows known after a day.

    Attributes
    ----------
    kind : Kind
        What.
    after : date
        Rows known on it, or before, stay as they are.
    seed : int
        Of the factors and of who is swapped with whom.
    """

    kind: Kind
    after: dt.date
    seed: int = 0


def copy_lake(
    source: Lake, target: Lake, change: Change | None = None, stocks: int | None = None, seed: int = 0
) -> dict[str, int]:
    """Copy the newest data of a lake, changed or as they are, into a lake that is empty.

    Parameters
    ----------
    source : Lake
        It is only read.
    target : Lake
        Where the copy goes.
    change : Change, optional
        What is changed on the way; by default nothing.
    stocks : int, optional
        Only so many stocks, drawn by ``seed``; by default all.
    seed : int
        Of that draw.

    Returns
    -------
    dict of str to int
        Rows that are not as they were, by endpoint.

    Raises
    ------
    UsageError
        The target holds something, or nothing of the lake is known after the day.
    """
    if target.root.exists() and any(target.root.iterdir()):
        raise UsageError(f"{target.root} cannot hold the copy", "it is not empty", "Name a new folder.")
    view = source.view()
    chosen = None if stocks is None else _drawn(source, view, stocks, seed)
    changer = None if change is None else _Changer.of(source, view, change, chosen)
    counts: dict[str, int] = {}
    with target.append() as append:
        for endpoint in (ENDPOINTS[name] for name in view.parts):
            for number, rows in enumerate(source.frames(view, endpoint.name)):
                kept = rows if chosen is None or not endpoint.stocks else rows.filter(pl.col("ts_code").is_in(chosen))
                if changer is None:
                    append.add(endpoint, str(number), kept, view.fetched_at)
                else:
                    changed = changer.write(append, endpoint, number, kept, view.fetched_at)
                    counts[endpoint.name] = counts.get(endpoint.name, 0) + changed
        append.commit(view.label, {})
    if change is not None and not counts.get("daily"):
        raise UsageError(f"the lake {source.root} has no bar after {change.after}", "it ends there", _EARLIER)
    return counts


_EARLIER = "Choose an earlier day."


def _drawn(source: Lake, view: Version, stocks: int, seed: int) -> list[str]:
    """Return the codes of some stocks, a stock's other codes with them."""
    known = sorted(code for code in source.frame(view, "stock_basic")["ts_code"] if is_a_share(code))
    rng = np.random.default_rng(seed)
    drawn = set(rng.choice(known, min(stocks, len(known)), replace=False).tolist())
    for old, new in source.frame(view, "code_changes", ["old", "new"]).iter_rows():
        if old in drawn or new in drawn:
            drawn |= {old, new}
    return sorted(drawn)


@dataclass(frozen=True)
class _Changer:
    """A change with what it needs to know of the whole lake."""

    change: Change
    swaps: Mapping[str, str]
    undone: Mapping[str, str]
    left: frozenset[str]

    @classmethod
    def of(cls, lake: Lake, view: Version, change: Change, chosen: Sequence[str] | None) -> _Changer:
        """Read what is needed: who is listed, who changed its code later, who has left."""
        stocks = lake.frame(view, "stock_basic", ["ts_code", "list_date", "delist_date"])
        if chosen is not None:
            stocks = stocks.filter(pl.col("ts_code").is_in(chosen))
        indexes = lake.frame(view, "index_daily", ["ts_code"])["ts_code"].unique()
        left = stocks.filter(pl.col("delist_date") <= change.after)["ts_code"]
        renamed = lake.frame(view, "code_changes").filter(pl.col("date") > change.after)
        there = set(stocks["ts_code"])
        undone = {new: old for old, new in renamed.select("old", "new").iter_rows() if old not in there}
        rng = np.random.default_rng([change.seed, change.after.toordinal()])
        return cls(change, _swaps(stocks, sorted(indexes), change.after, rng), undone, frozenset(left))

    def write(self, append: Append, endpoint: Endpoint, number: int, rows: pl.DataFrame, fetched: dt.date) -> int:
        """Stage a table with the change made, and return how many rows are not as they were."""
        name, kind = endpoint.name, self.change.kind
        rng = np.random.default_rng(
            [
                self.change.seed,
                self.change.after.toordinal(),
                list(Kind).index(kind),
                list(ENDPOINTS).index(name),
                number,
            ]
        )
        if name == "stock_basic":
            changed = self._stocks(rows, rng)
            append.add(endpoint, str(number), changed, fetched)
            return rows.height - _same(rows, changed)
        later = self._later(endpoint, rows)
        if kind == Kind.RESTATED:
            append.add(endpoint, str(number), rows, fetched)
            again = restated(endpoint, rows.filter(~later), rows.filter(later), self.change.after, fetched, rng)
            new = again.height - _same(again, rows)
            if new:
                append.add(endpoint, f"{number}-restated", again.select(rows.columns), fetched, restates=True)
            return new
        placed = rows.with_row_index(_ORDER)
        late = placed.filter(later)
        changed = self._changed(endpoint, late, rng)
        both = pl.concat([placed.filter(~later), changed]).sort(_ORDER)
        append.add(endpoint, str(number), both.drop(_ORDER), fetched)
        return late.height - _same(late.drop(_ORDER), changed.drop(_ORDER))

    def _later(self, endpoint: Endpoint, rows: pl.DataFrame) -> pl.Series:
        """Say which rows were not known on the day."""
        if endpoint.name == "trade_cal":
            return pl.repeat(False, rows.height, eager=True)
        if endpoint.name == "delistings":
            return ~rows["ts_code"].is_in(list(self.left))
        if endpoint.name == "code_changes" and self.change.kind != Kind.DROPPED:
            return pl.repeat(False, rows.height, eager=True)
        return (rows[KNOWN_AT] > self.change.after).fill_null(False)

    def _changed(self, endpoint: Endpoint, late: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """Return the later rows as the change leaves them."""
        if self.change.kind == Kind.DROPPED:
            return late.clear()
        if self.change.kind == Kind.SWAPPED:
            return swapped(late, self.swaps)
        return nulled(endpoint, late, rng) if self.change.kind == Kind.NULLED else scaled(endpoint, late, rng)

    def _stocks(self, rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """Return ``stock_basic`` with other facts of later, and other stocks that were listed later.

        A stock without a listing date is there from its first bar: it counts as known.
        """
        later = (pl.col("list_date") > self.change.after).fill_null(False)
        gone = (pl.col("delist_date") > self.change.after).fill_null(False)
        gone_by_then = (pl.col("delist_date") <= self.change.after).fill_null(False)
        if self.change.kind == Kind.SWAPPED:
            return _with_facts_of_others(swapped(rows.filter(later), self.swaps), rows.filter(~later), self.swaps, gone)
        if self.change.kind in (Kind.DROPPED, Kind.NULLED):
            there = rows.filter(~later) if self.change.kind == Kind.DROPPED else rows
            return there.with_columns(
                pl.col("ts_code").replace(self.undone if self.change.kind == Kind.DROPPED else {}),
                pl.lit(None, dtype=pl.String).alias("name"),
                pl.when(gone).then(None).otherwise("delist_date").alias("delist_date"),
                pl.when(gone).then(pl.lit("L")).otherwise("list_status").alias("list_status"),
            )
        days = pl.Series(rng.integers(1, SOON, rows.height))
        leaves = ~gone_by_then & pl.Series(rng.random(rows.height) < SHARE)
        moved = pl.max_horizontal(pl.lit(self.change.after), "list_date") + pl.duration(days=pl.lit(days))
        return rows.with_columns(
            toggled_name(),
            pl.when(leaves).then(moved).when(gone).then(None).otherwise("delist_date").alias("delist_date"),
            pl.when(leaves)
            .then(pl.lit("D"))
            .when(gone)
            .then(pl.lit("L"))
            .otherwise("list_status")
            .alias("list_status"),
        )


def _same(rows: pl.DataFrame, others: pl.DataFrame) -> int:
    """Count the rows that stand among others as they are."""
    return rows.join(others, on=rows.columns, how="semi", nulls_equal=True).height


def _swaps(stocks: pl.DataFrame, indexes: Sequence[str], after: dt.date, rng: np.random.Generator) -> dict[str, str]:
    """Return whose later rows become whose: a ring through the stocks of one board, early and later ones apart.

    So no key is taken twice, and a bar keeps a price grid and a rulebook it can be under.
    """
    groups: dict[tuple[str, bool], list[str]] = {("index", False): list(indexes)}
    for code, listed in stocks.select("ts_code", "list_date").sort("ts_code").iter_rows():
        if is_a_share(code):
            groups.setdefault((str(board_of(code)), listed is not None and listed > after), []).append(code)
    ring: dict[str, str] = {}
    for codes in groups.values():
        order = rng.permutation(len(codes)).tolist()
        ring |= {codes[one]: codes[next_] for one, next_ in zip(order, order[1:] + order[:1], strict=True)}
    return ring


def swapped(late: pl.DataFrame, swaps: Mapping[str, str]) -> pl.DataFrame:
    """Return rows with the stocks, or indexes, they are of exchanged."""
    if "ts_code" not in late.columns:
        return late
    return late.with_columns(pl.col("ts_code").replace(dict(swaps)))


def _with_facts_of_others(
    late: pl.DataFrame, early: pl.DataFrame, swaps: Mapping[str, str], gone: pl.Expr
) -> pl.DataFrame:
    """Return ``stock_basic`` in which the early stocks have each other's name of today and later delisting."""
    facts = swapped(early, swaps).select(
        "ts_code", "name", later=pl.when(gone).then("delist_date"), left=(pl.col("delist_date").is_not_null() & ~gone)
    )
    given = early.drop("name").join(facts, on="ts_code", how="left", maintain_order="left")
    left = pl.col("delist_date").is_not_null() & ~gone
    shown = given.with_columns(
        pl.when(left).then("delist_date").otherwise("later").alias("delist_date"),
        pl.when(left | pl.col("later").is_not_null()).then(pl.lit("D")).otherwise(pl.lit("L")).alias("list_status"),
    )
    return pl.concat([shown.select(early.columns), late])


def toggled_name() -> pl.Expr:
    """Return names that say special treatment where they did not, and ordinary ones where they did."""
    name = pl.col("name")
    ordinary = name.str.strip_prefix("*").str.strip_prefix("ST")
    return pl.when(name.str.contains("ST")).then(pl.lit("N") + ordinary).otherwise(pl.lit("*ST") + name).alias("name")


def scaled(endpoint: Endpoint, late: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return rows with each number multiplied by a chance factor, the prices of a row by one; names are toggled."""
    together = PRICES.get(endpoint.name, ())
    shared = _factors(late.height, rng)
    columns: list[pl.Expr | pl.Series] = [toggled_name()] if endpoint.name == "namechange" else []
    for name, dtype in endpoint.types.items():
        if name in together:
            columns.append((pl.col(name) * pl.Series(shared)).round(2).clip(lower_bound=0.01).alias(name))
        elif dtype == pl.Float64:
            columns.append((pl.col(name) * pl.Series(_factors(late.height, rng))).alias(name))
    return late.with_columns(columns)


def _factors(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return rng.uniform(*FACTOR, count)


def nulled(endpoint: Endpoint, late: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return rows without their numbers and names; where a table must have a number, a neutral one.

    Of the bars, which have all prices or no trade, half lose their trade and with it all prices.
    """
    if endpoint.name == "daily":
        blank = pl.Series(rng.random(late.height) < SHARE)
        prices: list[Any] = [pl.when(~blank).then(name).alias(name) for name in ("open", "high", "low")]
        rest = [pl.when(blank).then(0.0).otherwise(name).alias(name) for name in ("vol", "amount")]
        close = pl.when(blank).then(NEUTRAL).otherwise("close").alias("close")
        return late.with_columns(*prices, *rest, close, pl.lit(None, dtype=pl.Float64).alias("pre_close"))
    columns = endpoint.schema.columns()
    numbers = [name for name, dtype in endpoint.types.items() if dtype == pl.Float64]
    needed = {name for name in numbers if not columns[name].nullable or endpoint.name == "index_daily"}
    gone = [*(name for name in numbers if name not in needed), *(["name"] if "name" in late.columns else [])]
    return late.with_columns(
        *(pl.lit(None, dtype=late.schema[name]).alias(name) for name in gone),
        *(pl.lit(NEUTRAL).alias(name) for name in needed),
    )


def restated(
    endpoint: Endpoint,
    early: pl.DataFrame,
    late: pl.DataFrame,
    after: dt.date,
    fetched: dt.date,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return rows that come later and say something else of keys that are there.

    Of a table that keeps versions, and with them its past, early rows are restated, with other values: half of them
    under a date of their own, half under the original's, known when they came in. Of another, in which the last
    row stands, only later rows are.
    """
    if not endpoint.keeps_versions:
        return scaled(endpoint, late, rng)
    own = pl.Series(rng.random(early.height) < SHARE)
    announced = after + dt.timedelta(days=1)
    dates = [pl.when(own).then(pl.lit(announced)).otherwise(name).alias(name) for name in ("ann_date", "f_ann_date")]
    known = pl.when(own).then(pl.lit(announced)).otherwise(pl.lit(fetched)).alias(KNOWN_AT)
    again = scaled(endpoint, early, rng).with_columns(*dates, known, pl.lit("1").alias("update_flag"))
    key = [*endpoint.key, KNOWN_AT]
    there = pl.concat([early, late]).select(key)
    return again.unique(key, keep="first", maintain_order=True).join(there, on=key, how="anti", nulls_equal=True)
