"""``ashare data import``: a folder of Tushare-shaped files into the lake, all of it or nothing.

1. Every endpoint the lake still lacks must have its folder.
2. Each file is read as text or as Parquet, its columns turned into the types of the schema, and checked.
3. Rows the lake holds already are dropped; changed rows become new versions, known from today.
4. All parts are committed at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from bundles.endpoints import ENDPOINTS, Endpoint, Undated, effective_announcement
from bundles.lake import KNOWN_AT, Append, Lake, Version
from engine import calendar
from engine.errors import BadInput

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
    ignored : list of str
        Folders that are no endpoint of the lake.
    """

    version: Version
    rows: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    undated: dict[str, int] = field(default_factory=dict)
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
        for name, paths in files.items():
            endpoint = ENDPOINTS[name]
            keys: list[pl.DataFrame] = []
            held = lake.frame(append.base, name)
            for path in paths:
                progress(name, done, total)
                rows = _checked(endpoint, path)
                keys.append(rows.select(endpoint.key))
                _stage(endpoint, path, rows, held, append, fetched_at, undated, result)
                done += 1
            _require_unique(endpoint, paths, keys)
        progress("", total, total)
        result.version = append.commit(label, {"undated": result.undated})
    return result


def _files(folder: Path, base: Version) -> dict[str, list[Path]]:
    """Return the files of each endpoint present; complain about one that is needed and absent."""
    if not folder.is_dir():
        raise BadInput(
            f"{folder} cannot be imported", "it is no folder", "Give a folder with one sub-folder an endpoint."
        )
    found = {name: _endpoint_files(folder, name) for name in ENDPOINTS}
    missing = [name for name, spec in ENDPOINTS.items() if spec.required and not found[name] and name not in base.parts]
    if missing:
        needed = ", ".join(name for name, spec in ENDPOINTS.items() if spec.required)
        raise BadInput(
            f"{folder} lacks the endpoint {missing[0]}",
            f"an import into an empty lake needs {needed}",
            f"Put its files (Parquet or CSV) into {folder / missing[0]}.",
        )
    return {name: paths for name, paths in found.items() if paths}


def _endpoint_files(folder: Path, name: str) -> list[Path]:
    inside = [path for path in sorted((folder / name).glob("*")) if path.suffix in {".parquet", ".csv"}]
    beside = [folder / f"{name}{suffix}" for suffix in (".parquet", ".csv")]
    return inside or [path for path in beside if path.is_file()]


def _ignored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in ENDPOINTS)


def _checked(endpoint: Endpoint, path: Path) -> pl.DataFrame:
    """Read one file and return its rows in the types of the schema, every check passed."""
    rows = _typed(endpoint, _read(path), path)
    if endpoint.repeats:
        rows = rows.unique(maintain_order=True)
    good, failure = endpoint.schema.filter(rows)
    if len(failure):
        raise _failed(endpoint, path, failure)
    if endpoint.session:
        _require_sessions(endpoint, good, path)
    return good


def _read(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False, null_values=[""])
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(
            f"{path} cannot be read", str(error).splitlines()[0], "Write it again as Parquet or CSV."
        ) from None


def _typed(endpoint: Endpoint, raw: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Turn the columns of the schema into its types; say which value cannot be turned."""
    columns = endpoint.schema.columns()
    raw = raw.with_columns(pl.lit(None).alias(name) for name in endpoint.optional if name not in raw.columns)
    for name in columns:
        if name not in raw.columns:
            raise BadInput(
                f"{path} has no column {name!r}",
                f"it has {', '.join(raw.columns)}",
                f"Give {endpoint.name} Tushare's own columns.",
            )
    typed = raw.select(_cast(raw, name, column) for name, column in columns.items())
    for name, column in columns.items():
        broken = raw[name].is_not_null() & typed[name].is_null() & ~_no_such_day(raw[name], column)
        if broken.any():
            line = int(broken.arg_max() or 0)
            wanted = "a date YYYYMMDD" if isinstance(column, dy.Date) else f"a {typed[name].dtype}"
            raise BadInput(
                f"{path}, row {line + 1}: {name} = {raw[name][line]!r}", f"{wanted} belongs there", "Correct the value."
            )
    return typed


def _no_such_day(values: pl.Series, column: Any) -> pl.Series:
    """Return where a vendor's date that may be absent has eight digits but is no day, such as 20110229.

    Such a date counts as absent; a report then counts as undated, and is counted.
    """
    if isinstance(column, dy.Date) and column.nullable and values.dtype == pl.String:
        return values.str.contains(r"^[0-9]{8}$").fill_null(False)
    return pl.repeat(False, len(values), eager=True)


def _cast(raw: pl.DataFrame, name: str, column: Any) -> pl.Expr:
    value, dtype = pl.col(name), raw[name].dtype
    if isinstance(column, dy.Date):
        if dtype == pl.Date:
            return value
        return value.cast(pl.String, strict=False).str.strptime(pl.Date, "%Y%m%d", strict=False)
    if isinstance(column, dy.Float64) and dtype == pl.String:
        number = value.str.strip_chars().cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(name)
    if isinstance(column, dy.Float64):
        number = value.cast(pl.Float64, strict=False).fill_nan(None)
        return pl.when(number.is_finite()).then(number).alias(name)
    return value.cast(column.dtype, strict=False)


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
            "Remove these rows, or upgrade exchange-calendars if the day is in a later year.",
        )


def _require_unique(endpoint: Endpoint, paths: list[Path], keys: list[pl.DataFrame]) -> None:
    """Complain about a key that stands in two files, or, where the vendor repeats rows, with two contents."""
    if len(keys) < 2 and not endpoint.repeats:
        return
    repeated = pl.concat(keys).filter(pl.concat(keys).is_duplicated())
    if repeated.height:
        shown = ", ".join(f"{name} = {value}" for name, value in repeated.row(0, named=True).items())
        raise _duplicates(endpoint, paths[0].parent, repeated.height, shown)


def _stage(
    endpoint: Endpoint,
    path: Path,
    rows: pl.DataFrame,
    held: pl.DataFrame,
    append: Append,
    fetched_at: dt.date,
    undated: Undated,
    result: Imported,
) -> None:
    """Stage the rows of a file the lake does not hold yet."""
    rows = rows.with_columns(endpoint.known(fetched_at, undated).alias(KNOWN_AT))
    if endpoint.keeps_versions:
        lacking = rows.filter(effective_announcement().is_null()).height
        result.undated[endpoint.name] = result.undated.get(endpoint.name, 0) + lacking
        rows = rows.filter(pl.col(KNOWN_AT).is_not_null())
    rows, changed = _new_rows(endpoint, rows, held, fetched_at)
    if rows.height or endpoint.name not in append.base.parts:
        append.add(endpoint, path.stem, rows, fetched_at, restates=changed > 0)
        result.rows[endpoint.name] = result.rows.get(endpoint.name, 0) + rows.height
        result.changed[endpoint.name] = result.changed.get(endpoint.name, 0) + changed


def _new_rows(
    endpoint: Endpoint, rows: pl.DataFrame, held: pl.DataFrame, fetched_at: dt.date
) -> tuple[pl.DataFrame, int]:
    """Return the rows the lake lacks, with how many of them change a key it holds; those are known from today."""
    if not held.height:
        return rows, 0
    columns = list(endpoint.schema.columns())
    fresh = rows.join(held.select(columns), on=columns, how="anti", nulls_equal=True, maintain_order="left")
    marks = fresh.join(
        held.select(endpoint.key).unique().with_columns(held=True),
        on=endpoint.key,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    changed = marks["held"].fill_null(False)
    late = pl.when(changed).then(pl.max_horizontal(KNOWN_AT, pl.lit(fetched_at))).otherwise(KNOWN_AT)
    return fresh.with_columns(late.alias(KNOWN_AT)), int(changed.sum())


def endpoint_summary(lake: Lake, version: Version) -> Iterator[tuple[str, int, dt.date | None, dt.date | None]]:
    """Yield each endpoint with its rows and the first and last day they were known."""
    for name in version.parts:
        frame = lake.frame(version, name, [KNOWN_AT])
        yield name, frame.height, frame[KNOWN_AT].min(), frame[KNOWN_AT].max()  # type: ignore[misc]
