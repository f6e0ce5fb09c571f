"""Which sessions a model may learn from (SPEC 6): no label it uses is known later than it begins to serve.

A model has a name. ``2018-03`` serves the sessions of that month and knows what was known at the close of the last one
before it. ``2018-03-15`` was trained for an event of that session: it knows what was known at its close, and serves
those that follow in the month.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine import calendar
from engine.errors import NotEnoughHistory, OutsideData, UsageError
from engine.settings import ModelSettings

Days = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Interval:
    """Sessions ``first..last``, as rows of the panels."""

    first: int
    last: int


@dataclass(frozen=True)
class Window:
    """What a model is trained and validated on.

    Attributes
    ----------
    name : str
        YYYY-MM, or YYYY-MM-DD of a model that was trained for an event.
    known_until : int
        Row of the last session before the month, or of the event's; every label used is known after its close.
    train, validation : Interval
        Sessions of the decisions.
    label_lag : int
        Sessions from a decision to the close after which its label is known.

    Raises
    ------
    AssertionError
        A training label would be known only after the first validation decision, or a validation label after
        ``known_until``: such a window cannot be made.
    """

    name: str
    known_until: int
    train: Interval
    validation: Interval
    label_lag: int

    def __post_init__(self) -> None:
        assert self.train.first <= self.train.last < self.train.last + self.label_lag < self.validation.first
        assert self.validation.first <= self.validation.last
        assert self.validation.last + self.label_lag <= self.known_until

    @property
    def month(self) -> str:
        """The month it serves sessions of, YYYY-MM."""
        return self.name[:7]


def name_as_of(day: dt.date) -> str:
    """Return the name of the model that knows what was known at the close of a session.

    That of the last session of a month is the next month's: it knows the same.
    """
    following = calendar.sessions()
    following = following[np.searchsorted(following, np.datetime64(day), side="right") :]
    serves = f"{following[0].item() if len(following) else day:%Y-%m}"
    return day.isoformat() if serves == f"{day:%Y-%m}" else serves


def name_of(text: str) -> str:
    """Return the name of a model as somebody wrote it, a month or a day.

    Raises
    ------
    UsageError
        It is neither.
    """
    with contextlib.suppress(ValueError):
        if len(text) == len("2018-03-15"):
            return dt.date.fromisoformat(text).isoformat()
    return next(months(text, text))


def months(start: str, end: str) -> Iterator[str]:
    """Yield the months from one to another, both included.

    Raises
    ------
    UsageError
        One is not written YYYY-MM, or the first comes after the last.
    """
    for text in (start, end):
        if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
            raise UsageError(f"{text!r} is no month", "a month is written YYYY-MM", "Write it so.")
    if start > end:
        raise UsageError(f"the range {start} to {end} is empty", "it ends before it begins", "Swap the two.")
    year, month = map(int, start.split("-"))
    while (text := f"{year:04d}-{month:02d}") <= end:
        yield text
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def window(name: str, days: Days, first_sample: int, label_lag: int, settings: ModelSettings) -> Window:
    """Return the window of a model.

    Parameters
    ----------
    name : str
        YYYY-MM, or YYYY-MM-DD for what was known at the close of that session.
    days : array of datetime64[D]
        The sessions of the panels.
    first_sample : int
        Row of the first session with a universe member.
    label_lag : int
        Sessions from a decision to the close after which its label is known.
    settings : ModelSettings
        Years of training, months of validation, least years.

    Raises
    ------
    OutsideData
        The bundle ends before the month begins, or has no such session.
    NotEnoughHistory
        There are fewer years of samples than the least.
    """
    known_until = _row_before(name, days) if len(name) == len("2018-03") else _row_of(name, days)
    made = _long_enough(name, known_until, days, first_sample, label_lag, settings)
    if made is None:
        raise _too_late(name, known_until, days, first_sample, label_lag, settings)
    return made


def first_trainable(month: str, days: Days, first_sample: int, label_lag: int, settings: ModelSettings) -> str | None:
    """Return the first month from ``month`` on with enough years of samples; None if the data end before it."""
    after_the_last = str((pd.Timestamp(days[-1]) + pd.DateOffset(months=1)).to_period("M"))
    for candidate in months(month, max(month, after_the_last)):
        known_until = int(np.searchsorted(days, np.datetime64(f"{candidate}-01", "D"))) - 1
        if _long_enough(candidate, known_until, days, first_sample, label_lag, settings):
            return candidate
    return None


def _row_before(month: str, days: Days) -> int:
    """Return the row of the last session before a month, or refuse the month the bundle does not reach."""
    begins = np.datetime64(f"{month}-01", "D")
    row = int(np.searchsorted(days, begins)) - 1
    everything = calendar.sessions()
    if row < 0 or days[row] != everything[np.searchsorted(everything, begins) - 1]:
        raise OutsideData(
            f"no model can be trained for {month}",
            f"the bundle holds the sessions {days[0]} to {days[-1]}",
            "Choose months inside it, or import more data and ingest again.",
        )
    return row


def _row_of(day: str, days: Days) -> int:
    """Return the row of a session, or refuse a day that is none of the bundle's."""
    row = int(np.searchsorted(days, np.datetime64(day)))
    if row == len(days) or days[row] != np.datetime64(day):
        raise OutsideData(
            f"no model can be trained as of {day}",
            f"it is no session of the bundle, which holds {days[0]} to {days[-1]}",
            "Choose a session inside it.",
        )
    return row


def _long_enough(
    name: str, known_until: int, days: Days, first_sample: int, label_lag: int, settings: ModelSettings
) -> Window | None:
    """Return the window of a model, None where it would have fewer years of samples than the least."""
    validation = _validation(known_until, days, label_lag, settings)
    last = validation.first - label_lag - 1
    first = max(_row_back(days, last, pd.DateOffset(years=settings.train_years)), first_sample)
    if last < 0 or first > _row_back(days, last, pd.DateOffset(years=settings.minimum_years)):
        return None
    return Window(name, known_until, Interval(first, last), validation, label_lag)


def _validation(known_until: int, days: Days, label_lag: int, settings: ModelSettings) -> Interval:
    last = known_until - label_lag
    return Interval(_row_back(days, last, pd.DateOffset(months=settings.validation_months)), last)


def _too_late(
    name: str, known_until: int, days: Days, first_sample: int, label_lag: int, settings: ModelSettings
) -> NotEnoughHistory:
    """Return the refusal of a model, with the first month that these data can train and the data it would need."""
    month = name[:7]
    years, last = settings.minimum_years, _validation(known_until, days, label_lag, settings).first - label_lag - 1
    until = f" until {days[last]}" if last >= 0 else ""
    possible = first_trainable(month, days, first_sample, label_lag, settings)
    earlier = f"import data from {_needed_from(month, first_sample, label_lag, settings)} or before"
    return NotEnoughHistory(
        f"no model can be trained for {name}",
        f"it learns from at least {years} years of decisions{until}, and these data ({days[0]} to {days[-1]}) allow"
        f" the first decision on {days[first_sample]}",
        f"The first month they can train is {possible}: start there, or {earlier}."
        if possible
        else f"They can train no month: {earlier}.",
    )


def _needed_from(month: str, first_sample: int, label_lag: int, settings: ModelSettings) -> str:
    """Return about when data would have to begin for a month, YYYY-MM: the same sessions before the first sample."""
    everything = calendar.sessions()
    known_until = int(np.searchsorted(everything, np.datetime64(f"{month}-01", "D"))) - 1
    last = _validation(known_until, everything, label_lag, settings).first - label_lag - 1
    first = _row_back(everything, last, pd.DateOffset(years=settings.minimum_years)) - first_sample
    return str(everything[max(first, 0)].astype("datetime64[M]"))


def _row_back(days: Days, row: int, offset: pd.DateOffset) -> int:
    """Return the first session later than the day a calendar offset before a row's, or 0 before all of them."""
    if row < 0:
        return 0
    day: dt.date = (pd.Timestamp(days[row]) - offset).date()
    return int(np.searchsorted(days, np.datetime64(day), side="right"))
