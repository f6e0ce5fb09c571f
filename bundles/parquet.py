"""Reading Parquet that may be broken: whatever polars makes of it, one kind of error comes out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import polars as pl


class Unreadable(Exception):
    """A file cannot be read; the text says why."""


DAY = "trade_date"


def read_parquet(
    path: Path, columns: Sequence[str] | None = None, between: tuple[dt.date, dt.date] | None = None
) -> pl.DataFrame:
    """Read one file.

    Parameters
    ----------
    path : Path
        The file; no pattern, no folder.
    columns : sequence of str, optional
        Which columns; by default all.
    between : (date, date), optional
        Only rows of these trading days and those between.

    Raises
    ------
    Unreadable
        It is missing, broken, or lacks a column.
    """
    if not path.is_file():
        raise Unreadable("it is no file" if path.exists() else "it is missing")
    try:
        if between is None:
            return pl.read_parquet(path, columns=None if columns is None else list(columns), glob=False)
        # of row groups without these days nothing but the days is decoded
        rows = pl.scan_parquet(path, glob=False).filter(pl.col(DAY).is_between(*between))
        return (rows if columns is None else rows.select(columns)).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:  # a damaged head panics
        raise Unreadable((str(error).splitlines() or [type(error).__name__])[0]) from None
