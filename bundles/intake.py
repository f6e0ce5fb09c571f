"""From rows as they came to rows of the lake: typed, checked, with the day each was known, and only what is new.

A folder import and a sync both go through here. They differ in what becomes of a row that fails a check: an import
is refused, a sync holds the row back, with the reason, and goes on.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import dataframely as dy
import polars as pl

from bundles.calendars import take_in
from bundles.endpoints import DIGITS, PERIOD, Endpoint, Undated, effective_announcement
from bundles.lake import KNOWN_AT, Append
from bundles.plans import with_plans
from engine import calendar
from engine.errors import BadInput
from engine.market.boards import is_a_share

_ROW = "__row__"
_ANY_CODE = re.compile(r"[0-9A-Z]{6}\.(SH|SZ|BJ)")
_EIGHT_DIGITS = "^[0-9]{8}$"


@dataclass(frozen=True)
class Source:
    """Rows as they came.

    Attributes
    ----------
    stem : str
        A name for the file of the lake.
    where : str
        Where they came from, for errors.
    read : callable
        Returns them.
    """

    stem: str
    where: str
    read: Callable[[], pl.DataFrame]


@dataclass
class Taken:
    """What was taken in.

    Attributes
    ----------
    rows : dict of str to int
        New rows by endpoint.
    changed : dict of str to int
        Of these, rows whose key the lake held with other values.
    late : dict of str to int
        Of these, rows of a stretch that was asked for before, known only now.
    undated : dict of str to int
        Reports without a usable date, by endpoint.
    left_out : dict of str to int
        Rows of codes that are no A share, by endpoint.
    """

    rows: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    undated: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


SetAside = Callable[[pl.DataFrame, str, str], None]
"""Takes rows that failed a check, its short name, and what is wrong with them."""


def _require_columns(endpoint: Endpoint, raw: pl.DataFrame, where: str) -> None:
    """Complain about a column that is missing, or of a kind no value can be read from."""
    for name, column in endpoint.schema.columns().items():
        if name not in raw.columns:
            raise BadInput(
                f"{where} has no column {name!r}",
                f"it has {', '.join(raw.columns)}",
                f"Give {endpoint.name} Tushare's own columns.",
            )
        dtype = raw.schema[name]
        if not _can_hold(column, dtype):
            raise BadInput(
                f"{where}: column {name} is of type {dtype}",
                f"{_wanted(column)} belongs there",
                "Write it as plain numbers or text.",
            )


def _can_hold(column: Any, dtype: pl.DataType) -> bool:
    """Say whether values of a type can be read as what a column of the schema wants."""
    if isinstance(column, dy.Float64 | dy.Int64):
        return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null)
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object, pl.Duration)


def _shown(values: pl.Series, at: int) -> str:
    """Return a value for an error; a day may be one that Python has not."""
    return values.slice(at, 1).cast(pl.String)[0] if values.dtype.is_temporal() else repr(values[at])


def _wanted(column: Any) -> str:
    return "a date YYYYMMDD" if isinstance(column, dy.Date) else f"a {column.dtype}"


def _no_such_day(raw: pl.DataFrame, name: str, column: Any) -> pl.Series:
    """Return where a vendor's date that may be absent has eight digits but is no day, such as 20110229.

    Such a date counts as absent; a report then counts as undated, and is counted.
    """
    if isinstance(column, dy.Date) and column.nullable and raw.schema[name] != pl.Date:
        return raw.select(coded(name, raw.schema[name]).str.contains(_EIGHT_DIGITS).fill_null(False)).to_series()
    return pl.repeat(False, raw.height, eager=True)


def _cast(raw: pl.DataFrame, name: str, column: Any) -> pl.Expr:
    value, dtype = pl.col(name), raw.schema[name]
    if isinstance(column, dy.Date):
        return _day(name, dtype)
    if isinstance(column, dy.Float64):
        number = (value.str.strip_chars() if dtype == pl.String else value).cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(name)
    if isinstance(column, dy.Int64) and dtype == pl.String:
        return coded(name, dtype).cast(pl.Int64, strict=False)
    if getattr(column, "regex", None) == DIGITS:
        return coded(name, dtype)
    return value.cast(pl.String, strict=False).cast(column.dtype, strict=False)


def _day(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column of days; one before 1900, or beyond what Python counts, is none."""
    day, text = pl.col(name), coded(name, dtype)
    if dtype != pl.Date:
        # polars would read seven digits as a day too
        day = pl.when(text.str.contains(_EIGHT_DIGITS)).then(text.str.strptime(pl.Date, "%Y%m%d", strict=False))
    return pl.when(day.dt.year().is_between(1900, dt.MAXYEAR)).then(day).alias(name)


def coded(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return the text of a coded column; what pandas made a number, such as 20180305.0, without its point."""
    value = pl.col(name)
    if dtype.is_float():
        whole = value.cast(pl.Int64, strict=False)
        return pl.when(value == whole).then(whole.cast(pl.String)).otherwise(value.cast(pl.String)).alias(name)
    return value.cast(pl.String, strict=False).str.strip_chars().str.replace(r"^([0-9]+)\.0+$", "$1")


def _failed(endpoint: Endpoint, where: str, failure: Any) -> tuple[str, BadInput]:
    """Return the check that failed first: one of a column, then a repeated key, then one between columns."""
    counts = failure.counts()
    rule = min(counts, key=lambda name: ("|" not in name, name != "primary_key"))
    row = failure.details().filter(pl.col(rule) == "invalid").row(0, named=True)
    shown = ", ".join(f"{name} = {row[name]}" for name in endpoint.key if name in row)
    if rule == "primary_key":
        return rule, _duplicates(endpoint, where, counts[rule], shown)
    column, _, check = rule.partition("|")
    what = f"{column} = {row[column]} ({check})" if check else rule.replace("_", " ")
    said = f"{where}: {counts[rule]} row(s) fail a check, first {shown}"
    return rule, BadInput(said, f"violated: {what}", "Correct or remove them.")


def _duplicates(endpoint: Endpoint, where: str, count: int, shown: str) -> BadInput:
    return BadInput(
        f"{where} has {count} rows with duplicate keys, first {shown}",
        f"{' and '.join(endpoint.key)} name a row of {endpoint.name}",
        "Keep one row a key.",
    )


@cache
def _is_other(code: str) -> bool:
    """Say whether it is the code of something that is no A share; a sync asks of the same codes table by table."""
    return _ANY_CODE.fullmatch(code) is not None and not is_a_share(code)


@dataclass
class Intake:
    """Takes the rows of one endpoint in.

    Attributes
    ----------
    endpoint : Endpoint
        Which.
    held : DataFrame
        What the lake holds of it: at least every row whose key may come again.
    append : Append
        Where new rows are staged.
    fetched_at : date
        Today.
    undated : str
        What becomes of reports without a date.
    taken : Taken
        Where rows are counted.
    covered : (date, date) or None
        The stretch a vendor was asked for before: rows of it that come only now are known from today.
    set_aside : callable or None
        Takes the rows that fail a check; without it a failure is an error.
    """

    endpoint: Endpoint
    held: pl.DataFrame
    append: Append
    fetched_at: dt.date
    undated: Undated
    taken: Taken
    covered: tuple[dt.date, dt.date] | None = None
    set_aside: SetAside | None = None

    def take(self, sources: Sequence[Source]) -> None:
        """Check and stage all rows."""
        if self.endpoint.repeats:
            self._take_as_one(sources[0].stem, sources[0].where, [self.checked(source) for source in sources])
        else:
            self._take_each(sources)

    def _take_as_one(self, stem: str, where: str, tables: Sequence[pl.DataFrame]) -> None:
        """Stage checked rows of small tables that must be seen together: repetitions, plans, versions cross files."""
        rows = pl.concat(tables).unique(maintain_order=True)
        if self.endpoint.plans:
            rows = with_plans(rows, self.held)
        self._require_unique(rows, where)
        self.stage(stem, rows)

    def _take_each(self, sources: Sequence[Source]) -> None:
        """Take large tables file by file; keys that stand in two files are looked at when all are read."""
        seen = []
        for source in sources:
            rows = self.checked(source)
            if len(sources) > 1:
                seen.append(rows.select(self.endpoint.key).with_columns(content=rows.hash_rows()))
            self.stage(source.stem, rows)
        if not seen:
            return
        keys = pl.concat(seen)
        if keys.select(self.endpoint.key).is_duplicated().any():
            self._require_unique(keys.unique(maintain_order=True), sources[0].where)
            self._stage_once(sources[0].stem)

    def checked(self, source: Source) -> pl.DataFrame:
        """Read one source and return its rows in the types of the schema, every check of a single table passed."""
        raw = source.read()
        raw = raw.with_columns(pl.lit(None).alias(name) for name in self.endpoint.optional if name not in raw.columns)
        _require_columns(self.endpoint, raw, source.where)
        raw = raw.select(list(self.endpoint.schema.columns())).with_row_index(_ROW)  # a column more may have any name
        rows = self._typed(self._a_shares(raw), source.where)
        if self.endpoint.repeats:
            rows = rows.unique(maintain_order=True)
        good, failure = self.endpoint.schema.filter(rows)
        if len(failure):
            rule, error = _failed(self.endpoint, source.where, failure)
            self._fail(failure.invalid(), rule, error)
        if self.endpoint.name == "trade_cal":
            take_in(good)
        return self._of_sessions(good, source.where) if self.endpoint.session else good

    def _fail(self, rows: pl.DataFrame, check: str, error: BadInput) -> None:
        """Set rows aside, or complain."""
        if self.set_aside is None:
            raise error
        self.set_aside(rows, check, error.why)

    def _typed(self, raw: pl.DataFrame, where: str) -> pl.DataFrame:
        """Turn the columns of the schema into its types; a value that cannot be turned fails."""
        columns = self.endpoint.schema.columns()
        raw = raw.with_columns(pl.selectors.float().fill_nan(None))  # how pandas says that there is none
        typed = raw.select(_cast(raw, name, column) for name, column in columns.items())
        for name, column in columns.items():
            broken = raw[name].is_not_null() & typed[name].is_null() & ~_no_such_day(raw, name, column)
            if broken.any():
                at = int(broken.arg_max() or 0)
                error = BadInput(
                    f"{where}, row {raw[_ROW][at] + 1}: {name} = {_shown(raw[name], at)}",
                    f"{_wanted(column)} belongs there",
                    "Correct the value.",
                )
                self._fail(raw.filter(broken).select(list(columns)), name, error)
                raw, typed = raw.filter(~broken), typed.filter(~broken)
        return typed

    def _of_sessions(self, rows: pl.DataFrame, where: str) -> pl.DataFrame:
        """Return the rows of sessions of the exchange; another fails."""
        assert self.endpoint.session is not None
        inside = rows[self.endpoint.session].is_in(pl.Series(calendar.sessions()).implode())
        outside = rows.filter(~inside)
        if not outside.height:
            return rows
        error = BadInput(
            f"{where} holds {self.endpoint.session} {outside[self.endpoint.session][0]}",
            f"the exchange ({calendar.NAME}) had no session that day",
            "Remove these rows; for a later year import its trade_cal, or upgrade exchange-calendars.",
        )
        self._fail(outside, "no session", error)
        return rows.filter(inside)

    def _a_shares(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Leave out, and count, what the vendor's tables hold beside A shares: B shares, funds, T00018.SH.

        It happens before the checks, for these rows keep other rules. What is no code at all is left to them.
        """
        if not self.endpoint.stocks:
            return raw
        codes = raw["ts_code"].cast(pl.String, strict=False)
        others = [code for code in codes.unique().drop_nulls() if _is_other(code)]
        left_out = codes.is_in(others).fill_null(False)
        if left_out.any():
            counts = self.taken.left_out
            counts[self.endpoint.name] = counts.get(self.endpoint.name, 0) + int(left_out.sum())
        return raw.filter(~left_out)

    def _require_unique(self, rows: pl.DataFrame, where: str) -> None:
        """Complain about a key with two contents."""
        keys = rows.select(self.endpoint.key)
        repeated = keys.filter(keys.is_duplicated())
        if repeated.height:
            shown = ", ".join(f"{name} = {value}" for name, value in repeated.row(0, named=True).items())
            raise _duplicates(self.endpoint, where, repeated.height, shown)

    def _stage_once(self, stem: str) -> None:
        """Stage what was staged again, rows that stand in several files once."""
        rows = self.append.take_back(self.endpoint)
        if rows is not None:
            self.taken.rows.pop(self.endpoint.name)
            self.taken.changed.pop(self.endpoint.name)
            self.stage(stem, rows.drop(KNOWN_AT).unique(maintain_order=True))

    def stage(self, stem: str, rows: pl.DataFrame) -> None:
        """Stage the rows the lake does not hold yet."""
        name, taken = self.endpoint.name, self.taken
        known = self._with_known(rows)
        dropped = rows.height - known.height
        rows, changed, late = self._new(known)
        if self.endpoint.keeps_versions:
            lacking = dropped + rows.filter(effective_announcement().is_null()).height
            taken.undated[name] = taken.undated.get(name, 0) + lacking
        if rows.height or name not in self.append.base.parts:
            self.append.add(self.endpoint, stem, rows, self.fetched_at, restates=changed > 0)
            for counts, count in ((taken.rows, rows.height), (taken.changed, changed), (taken.late, late)):
                counts[name] = counts.get(name, 0) + count

    def _with_known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add the day each row was known; without one it is dropped."""
        known = self.endpoint.known(self.fetched_at, self.undated).alias(KNOWN_AT)
        if not self.endpoint.keeps_versions:
            return rows.with_columns(known)
        # what a version corrects may have come with an earlier import
        both = pl.concat([self.held.select(rows.columns).with_columns(fresh=False), rows.with_columns(fresh=True)])
        return both.with_columns(known).filter("fresh", pl.col(KNOWN_AT).is_not_null()).drop("fresh")

    def _new(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
        """Return the rows the lake lacks, how many of them change what it holds, and how many come late.

        Both kinds are known from today.
        """
        if not self.held.height and self.covered is None:
            return rows, 0, 0
        columns = list(self.endpoint.types)
        fresh = rows.join(self.held.select(columns), on=columns, how="anti", nulls_equal=True, maintain_order="left")
        changed = self._changes(fresh)
        late = self._late(fresh) & ~changed
        known = pl.when(changed | late).then(pl.max_horizontal(KNOWN_AT, pl.lit(self.fetched_at))).otherwise(KNOWN_AT)
        return fresh.with_columns(known.alias(KNOWN_AT)), int(changed.sum()), int(late.sum())

    def _late(self, fresh: pl.DataFrame) -> pl.Series:
        """Return which rows belong to a stretch that was asked for before, and were not there then."""
        if self.covered is None:
            return pl.repeat(False, fresh.height, eager=True)
        return fresh[KNOWN_AT].is_between(*self.covered)

    def _changes(self, fresh: pl.DataFrame) -> pl.Series:
        """Return which rows change what the lake holds: the row of their key, or the report of their period.

        A report's items or dates that nobody had before today must not count from an old announcement; only a
        row that repeats a held one under another flag tells nothing new.
        """
        if not self.endpoint.keeps_versions:
            return self._is_held(fresh, list(self.endpoint.key))
        content = [name for name in self.endpoint.types if name != "update_flag"]
        return self._is_held(fresh, list(PERIOD)) & ~self._is_held(fresh, content)

    def _is_held(self, rows: pl.DataFrame, columns: list[str]) -> pl.Series:
        """Return for which rows the lake holds one that is equal in some columns."""
        held = self.held.select(columns).unique().with_columns(held=True)
        joined = rows.select(columns).join(held, on=columns, how="left", nulls_equal=True, maintain_order="left")
        return joined["held"].fill_null(False)
