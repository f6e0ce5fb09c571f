"""``ashare data import``: a folder of Tushare-shaped files into the lake, all of it or nothing.

1. Every endpoint the lake still lacks must have its folder.
2. Each file is read as text or as Parquet, rows of codes that are no A share are left out, its columns turned
   into the types of the schema, and checked.
3. Rows the lake holds already are dropped; changed rows become new versions, known from today.
4. All parts are committed at once.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from bundles.calendars import take_in
from bundles.endpoints import DIGITS, ENDPOINTS, PERIOD, Endpoint, Undated, effective_announcement
from bundles.lake import KNOWN_AT, Append, Lake, Version
from bundles.plans import with_plans
from engine import calendar
from engine.errors import BadInput
from engine.market.boards import is_a_share

_ROW = "__row__"
_ANY_CODE = re.compile(r"[0-9A-Z]{6}\.(SH|SZ|BJ)")
_EIGHT_DIGITS = "^[0-9]{8}$"

Progress = Callable[[str, int, int], None]
"""Told the endpoint at work, how many files of all are done, and how many there are."""


@dataclass
class Imported:
    """What an import did.

    Attributes
    ----------
    version : Version
        The lake afterwards.
    rows : dict of str to int
        New rows by endpoint.
    changed : dict of str to int
        Of these, rows whose key the lake held with other values.
    undated : dict of str to int
        Reports without a usable date, by endpoint.
    left_out : dict of str to int
        Rows of codes that are no A share, by endpoint.
    ignored : list of str
        Folders that are no endpoint of the lake.
    """

    version: Version
    rows: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    undated: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def import_folder(
    folder: Path,
    lake: Lake,
    fetched_at: dt.date,
    undated: Undated,
    label: str = "",
    progress: Progress = lambda *_: None,
) -> Imported:
    """Import a folder.

    Parameters
    ----------
    folder : Path
        One sub-folder an endpoint, holding Parquet or CSV files; the user's own tables may lie beside them.
    lake : Lake
        Where the rows go.
    fetched_at : date
        Today: from when changed rows are known.
    undated : str
        What becomes of reports without a date (setting ``data.undated``).
    label : str
        What the data are, where that must be said.
    progress : callable
        Told about each file.

    Raises
    ------
    BadInput
        The folder, a file, a column, a value, a key or a date is not as it should be. Nothing was changed.
    """
    with lake.append() as append:
        files = _files(folder, append.base)
        result = Imported(append.base, ignored=_ignored(folder))
        done, total = 0, sum(len(paths) for paths in files.values())

        def step(name: str) -> None:
            nonlocal done
            progress(name, done, total)
            done += 1

        for name, paths in files.items():
            held = lake.frame(append.base, name)
            _Intake(ENDPOINTS[name], held, append, fetched_at, undated, result, step).take(paths)
        progress("", total, total)
        result.version = append.commit(label, {"undated": result.undated})
    return result


def _files(folder: Path, base: Version) -> dict[str, list[Path]]:
    """Return the files of each endpoint present; complain about one that is needed and absent."""
    if not folder.is_dir():
        raise BadInput(
            f"{folder} cannot be imported", "it is no folder", "Give a folder with one sub-folder an endpoint."
        )
    found = {name: endpoint_files(folder, name) for name in ENDPOINTS}
    missing = [name for name, spec in ENDPOINTS.items() if spec.required and not found[name] and name not in base.parts]
    if missing:
        needed = ", ".join(name for name, spec in ENDPOINTS.items() if spec.required)
        raise BadInput(
            f"{folder} lacks the endpoint {missing[0]}",
            f"an import into an empty lake needs {needed}",
            f"Put its files (Parquet or CSV) into {folder / missing[0]}.",
        )
    return {name: paths for name, paths in found.items() if paths}


def endpoint_files(folder: Path, name: str) -> list[Path]:
    """Return the files of an endpoint in a folder: those of its sub-folder, else one beside it."""
    inside = [path for path in sorted((folder / name).glob("*")) if path.suffix in {".parquet", ".csv"}]
    beside = [folder / f"{name}{suffix}" for suffix in (".parquet", ".csv")]
    return inside or [path for path in beside if path.is_file()]


def _ignored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in ENDPOINTS)


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV file, the latter as text.

    Raises
    ------
    BadInput
        It is neither.
    """
    try:
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False, null_values=[""])
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(
            f"{path} cannot be read", str(error).splitlines()[0], "Write it again as Parquet or CSV."
        ) from None


def _require_columns(endpoint: Endpoint, raw: pl.DataFrame, path: Path) -> None:
    """Complain about a column that is missing, or of a kind no value can be read from."""
    for name, column in endpoint.schema.columns().items():
        if name not in raw.columns:
            raise BadInput(
                f"{path} has no column {name!r}",
                f"it has {', '.join(raw.columns)}",
                f"Give {endpoint.name} Tushare's own columns.",
            )
        dtype = raw.schema[name]
        if not _can_hold(column, dtype):
            raise BadInput(
                f"{path}: column {name} is of type {dtype}",
                f"{_wanted(column)} belongs there",
                "Write it as plain numbers or text.",
            )


def _can_hold(column: Any, dtype: pl.DataType) -> bool:
    """Say whether values of a type can be read as what a column of the schema wants."""
    if isinstance(column, dy.Float64 | dy.Int64):
        return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Null)
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object)


def _wanted(column: Any) -> str:
    return "a date YYYYMMDD" if isinstance(column, dy.Date) else f"a {column.dtype}"


def _typed(endpoint: Endpoint, raw: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Turn the columns of the schema into its types; say which value cannot be turned."""
    columns = endpoint.schema.columns()
    raw = raw.with_columns(pl.selectors.float().fill_nan(None))  # how pandas says that there is none
    typed = raw.select(_cast(raw, name, column) for name, column in columns.items())
    for name, column in columns.items():
        broken = raw[name].is_not_null() & typed[name].is_null() & ~_no_such_day(raw, name, column)
        if broken.any():
            at = int(broken.arg_max() or 0)
            raise BadInput(
                f"{path}, row {raw[_ROW][at] + 1}: {name} = {raw[name][at]!r}",
                f"{_wanted(column)} belongs there",
                "Correct the value.",
            )
    return typed


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
        if dtype == pl.Date:
            return value
        text = coded(name, dtype)
        # polars would read seven digits as a day too
        return pl.when(text.str.contains(_EIGHT_DIGITS)).then(text.str.strptime(pl.Date, "%Y%m%d", strict=False))
    if isinstance(column, dy.Float64):
        number = (value.str.strip_chars() if dtype == pl.String else value).cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(name)
    if isinstance(column, dy.Int64) and dtype == pl.String:
        return coded(name, dtype).cast(pl.Int64, strict=False)
    if getattr(column, "regex", None) == DIGITS:
        return coded(name, dtype)
    return value.cast(column.dtype, strict=False)


def coded(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return the text of a coded column; what pandas made a number, such as 20180305.0, without its point."""
    value = pl.col(name)
    if dtype.is_float():
        whole = value.cast(pl.Int64, strict=False)
        return pl.when(value == whole).then(whole.cast(pl.String)).otherwise(value.cast(pl.String)).alias(name)
    return value.cast(pl.String, strict=False).str.strip_chars().str.replace(r"^([0-9]+)\.0+$", "$1")


def _failed(endpoint: Endpoint, path: Path, failure: Any) -> BadInput:
    """Say which check failed first: one of a column, then a repeated key, then one between columns."""
    counts = failure.counts()
    rule = min(counts, key=lambda name: ("|" not in name, name != "primary_key"))
    row = failure.details().filter(pl.col(rule) == "invalid").row(0, named=True)
    shown = ", ".join(f"{name} = {row[name]}" for name in endpoint.key)
    if rule == "primary_key":
        return _duplicates(endpoint, path, counts[rule], shown)
    column, _, check = rule.partition("|")
    what = f"{column} = {row[column]} ({check})" if check else rule.replace("_", " ")
    return BadInput(
        f"{path}: {counts[rule]} row(s) fail a check, first {shown}", f"violated: {what}", "Correct or remove them."
    )


def _duplicates(endpoint: Endpoint, path: Path, count: int, shown: str) -> BadInput:
    return BadInput(
        f"{path} has {count} rows with duplicate keys, first {shown}",
        f"{' and '.join(endpoint.key)} name a row of {endpoint.name}",
        "Keep one row a key.",
    )


def _require_sessions(endpoint: Endpoint, rows: pl.DataFrame, path: Path) -> None:
    assert endpoint.session is not None
    known = pl.Series(calendar.sessions())
    outside = rows.filter(~pl.col(endpoint.session).is_in(known.implode()))
    if outside.height:
        day = outside[endpoint.session][0]
        raise BadInput(
            f"{path} holds {endpoint.session} {day}",
            f"the exchange ({calendar.NAME}) had no session that day",
            "Remove these rows; for a later year import its trade_cal, or upgrade exchange-calendars.",
        )


@dataclass
class _Intake:
    """Takes the files of one endpoint in.

    Attributes
    ----------
    endpoint : Endpoint
        Which.
    held : DataFrame
        What the lake holds of it.
    append : Append
        Where new rows are staged.
    fetched_at : date
        Today.
    undated : str
        What becomes of reports without a date.
    result : Imported
        Where rows are counted.
    step : callable
        Told before each file.
    """

    endpoint: Endpoint
    held: pl.DataFrame
    append: Append
    fetched_at: dt.date
    undated: Undated
    result: Imported
    step: Callable[[str], None]

    def take(self, paths: list[Path]) -> None:
        """Check and stage all files."""
        if self.endpoint.repeats:
            self._take_as_one(paths)
        else:
            self._take_each(paths)

    def _take_as_one(self, paths: list[Path]) -> None:
        """Take small tables whose rows must be seen together: repetitions, plans and versions cross files."""
        rows = pl.concat([self._checked(path) for path in paths]).unique(maintain_order=True)
        if self.endpoint.plans:
            rows = with_plans(rows, self.held)
        self._require_unique(rows, paths)
        self._stage(paths[0].stem, rows)

    def _take_each(self, paths: list[Path]) -> None:
        """Take large tables file by file; keys that stand in two files are looked at when all are read."""
        seen = []
        for path in paths:
            rows = self._checked(path)
            if len(paths) > 1:
                seen.append(rows.select(self.endpoint.key).with_columns(content=rows.hash_rows()))
            self._stage(path.stem, rows)
        if not seen:
            return
        keys = pl.concat(seen)
        if keys.select(self.endpoint.key).is_duplicated().any():
            self._require_unique(keys.unique(maintain_order=True), paths)
            self._stage_once(paths[0].stem)

    def _checked(self, path: Path) -> pl.DataFrame:
        """Read one file and return its rows in the types of the schema, every check passed."""
        self.step(self.endpoint.name)
        raw = read_table(path)
        raw = raw.with_columns(pl.lit(None).alias(name) for name in self.endpoint.optional if name not in raw.columns)
        _require_columns(self.endpoint, raw, path)
        rows = _typed(self.endpoint, self._a_shares(raw.with_row_index(_ROW)), path)
        if self.endpoint.repeats:
            rows = rows.unique(maintain_order=True)
        good, failure = self.endpoint.schema.filter(rows)
        if len(failure):
            raise _failed(self.endpoint, path, failure)
        if self.endpoint.name == "trade_cal":
            take_in(good)
        if self.endpoint.session:
            _require_sessions(self.endpoint, good, path)
        return good

    def _a_shares(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Leave out, and count, what the vendor's tables hold beside A shares: B shares, funds, T00018.SH.

        It happens before the checks, for these rows keep other rules. What is no code at all is left to them.
        """
        if not self.endpoint.stocks:
            return raw
        codes = raw["ts_code"].cast(pl.String, strict=False)
        others = [code for code in codes.unique().drop_nulls() if _ANY_CODE.fullmatch(code) and not is_a_share(code)]
        left_out = codes.is_in(others).fill_null(False)
        if left_out.any():
            counts = self.result.left_out
            counts[self.endpoint.name] = counts.get(self.endpoint.name, 0) + int(left_out.sum())
        return raw.filter(~left_out)

    def _require_unique(self, rows: pl.DataFrame, paths: list[Path]) -> None:
        """Complain about a key with two contents."""
        keys = rows.select(self.endpoint.key)
        repeated = keys.filter(keys.is_duplicated())
        if repeated.height:
            shown = ", ".join(f"{name} = {value}" for name, value in repeated.row(0, named=True).items())
            raise _duplicates(self.endpoint, paths[0].parent, repeated.height, shown)

    def _stage_once(self, stem: str) -> None:
        """Stage what was staged again, rows that stand in several files once."""
        rows = self.append.take_back(self.endpoint)
        if rows is not None:
            self.result.rows.pop(self.endpoint.name)
            self.result.changed.pop(self.endpoint.name)
            self._stage(stem, rows.drop(KNOWN_AT).unique(maintain_order=True))

    def _stage(self, stem: str, rows: pl.DataFrame) -> None:
        """Stage the rows the lake does not hold yet."""
        name, result = self.endpoint.name, self.result
        if self.endpoint.keeps_versions:
            lacking = rows.filter(effective_announcement().is_null()).height
            result.undated[name] = result.undated.get(name, 0) + lacking
        rows, changed = self._new(self._with_known(rows))
        if rows.height or name not in self.append.base.parts:
            self.append.add(self.endpoint, stem, rows, self.fetched_at, restates=changed > 0)
            result.rows[name] = result.rows.get(name, 0) + rows.height
            result.changed[name] = result.changed.get(name, 0) + changed

    def _with_known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add the day each row was known; without one it is dropped."""
        known = self.endpoint.known(self.fetched_at, self.undated).alias(KNOWN_AT)
        if not self.endpoint.keeps_versions:
            return rows.with_columns(known)
        # what a version corrects may have come with an earlier import
        both = pl.concat([self.held.select(rows.columns).with_columns(fresh=False), rows.with_columns(fresh=True)])
        return both.with_columns(known).filter("fresh", pl.col(KNOWN_AT).is_not_null()).drop("fresh")

    def _new(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """Return the rows the lake lacks, and how many of them change what it holds; those are known from today."""
        if not self.held.height:
            return rows, 0
        columns = list(self.endpoint.types)
        fresh = rows.join(self.held.select(columns), on=columns, how="anti", nulls_equal=True, maintain_order="left")
        changed = self._changes(fresh)
        late = pl.when(changed).then(pl.max_horizontal(KNOWN_AT, pl.lit(self.fetched_at))).otherwise(KNOWN_AT)
        return fresh.with_columns(late.alias(KNOWN_AT)), int(changed.sum())

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


def endpoint_summary(lake: Lake, version: Version) -> Iterator[tuple[str, int, dt.date | None, dt.date | None]]:
    """Yield each endpoint with its rows and the first and last day they were known."""
    for name in version.parts:
        frame = lake.frame(version, name, [KNOWN_AT])
        yield name, frame.height, frame[KNOWN_AT].min(), frame[KNOWN_AT].max()  # type: ignore[misc]
