"""The vendor's ``trade_cal`` and the library's calendar: they agree where both speak, and the first goes on."""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version

import polars as pl

from engine import calendar
from engine.errors import DataNotFit


def require_agreement(trade_cal: pl.DataFrame) -> None:
    """Refuse a ``trade_cal`` that contradicts the library, or itself.

    Parameters
    ----------
    trade_cal : DataFrame
        ``exchange``, ``cal_date`` (date), ``is_open`` (0 or 1); the exchanges keep the same sessions.

    Raises
    ------
    DataNotFit
        A day the library knows is open for one and closed for the other; or, beyond the library, two exchanges
        differ or one opens on a weekend. The first such day is named.
    """
    known = pl.Series(calendar.sessions()).implode()
    rows = trade_cal.select("exchange", "cal_date", open=pl.col("is_open") == 1)
    inside = rows.filter(pl.col("cal_date").is_between(OPENED, calendar.library_end()))
    _refuse(inside.filter(pl.col("open") != pl.col("cal_date").is_in(known)), "the library exchange-calendars")
    later = rows.filter(pl.col("cal_date") > calendar.library_end())
    _refuse(later.filter(pl.col("open").n_unique().over("cal_date") > 1), "another exchange")
    _refuse(later.filter("open", pl.col("cal_date").dt.weekday() > FRIDAY), "the week of every exchange")


OPENED = dt.date(1990, 12, 19)
"""The first session in Shanghai; the library begins some days before."""
FRIDAY = 5


def _refuse(apart: pl.DataFrame, other: str) -> None:
    for row in apart.sort("cal_date").head(1).iter_rows(named=True):
        said, against = ("open", "closed") if row["open"] else ("closed", "open")
        raise DataNotFit(
            f"trade_cal and {other} disagree on {row['cal_date']}",
            f"{row['exchange']} is {said} by trade_cal and {against} by the other "
            f"(exchange-calendars {version('exchange-calendars')})",
            "Correct trade_cal, or upgrade exchange-calendars.",
        )


def take_in(trade_cal: pl.DataFrame) -> None:
    """Let the calendar go on with ``trade_cal`` beyond the library.

    Raises
    ------
    DataNotFit
        It contradicts the library, or itself.
    """
    require_agreement(trade_cal)
    later = trade_cal.filter(pl.col("cal_date") > calendar.library_end())
    calendar.extend({day: is_open == 1 for day, is_open in later.select("cal_date", "is_open").iter_rows()})
