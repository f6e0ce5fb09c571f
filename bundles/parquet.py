"""Reading Parquet that may be broken: whatever polars makes of it, one kind of error comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl


class Unreadable(Exception):
    """A file cannot be read; the text says why."""


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read one file.

    Parameters
    ----------
    path : Path
        The file; no pattern, no folder.
    columns : sequence of str, optional
        Which columns; by default all.

    Raises
    ------
    Unreadable
        It is missing, broken, or lacks a column.
    """
    if not path.is_file():
        raise Unreadable("it is no file" if path.exists() else "it is missing")
    try:
        return pl.read_parquet(path, columns=None if columns is None else list(columns), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:  # a damaged head panics
        raise Unreadable((str(error).splitlines() or [type(error).__name__])[0]) from None
