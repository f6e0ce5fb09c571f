"""``ashare data import``: a folder of Tushare-shaped files into the lake, all of it or nothing.

1. Every endpoint the lake still lacks must have its folder.
2. Each file is read as text or as Parquet, rows of codes that are no A share are left out, its columns turned
   into the types of the schema, and checked.
3. Rows the lake holds already are dropped; changed rows become new versions, known from today.
4. All parts are committed at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from bundles.endpoints import ENDPOINTS, Undated
from bundles.intake import Intake, Source, Taken
from bundles.lake import EMPTY, Lake, Version
from bundles.parquet import Unreadable, read_parquet
from engine.errors import BadInput

Progress = Callable[[str, int, int], None]
"""Told the endpoint at work, how many files of all are done, and how many there are."""


@dataclass
class Imported(Taken):
    """What an import did.

    Attributes
    ----------
    version : Version
        The lake afterwards.
    ignored : list of str
        Folders that are no endpoint of the lake.
    """

    version: Version = EMPTY
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
        result = Imported(version=append.base, ignored=_ignored(folder))
        done, total = 0, sum(len(paths) for paths in files.values())

        def source(name: str, path: Path) -> Source:
            def read() -> pl.DataFrame:
                nonlocal done
                progress(name, done, total)
                done += 1
                return read_table(path)

            return Source(path.stem, str(path), read)

        for name, paths in files.items():
            held = lake.frame(append.base, name)
            intake = Intake(ENDPOINTS[name], held, append, fetched_at, undated, result)
            intake.take([source(name, path) for path in paths])
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
            return pl.read_csv(path, infer_schema=False, null_values=[""], glob=False)
        return read_parquet(path)
    except (Unreadable, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise BadInput(
            f"{path} cannot be read",
            (str(error).splitlines() or [type(error).__name__])[0],
            "Write it again as Parquet or CSV.",
        ) from None
