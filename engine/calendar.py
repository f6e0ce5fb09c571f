"""The exchange's sessions: the XSHG calendar over all it knows, with its look-ups remembered.

The library's calendar begins at a rolling date twenty years back; ours begins in 1990, so that old data
read back tomorrow as they do today. It ends with the last year the library's authors have entered; ours goes on
with what the exchanges have published since, which an import or a sync keeps in ``$ASHARE_HOME/calendar.json``.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from exchange_calendars import get_calendar
from exchange_calendars.calendar_utils import global_calendar_dispatcher
from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar

from engine import clock
from engine.errors import Damaged, OutsideData
from engine.files import read_json, write_json
from engine.settings import home_folder

NAME = "XSHG"
NEAR = dt.timedelta(days=60)
"""How long before the calendar ends a command says so."""

_DAY = dt.timedelta(days=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beyond:
    """What the exchanges have published of days the library does not know.

    Attributes
    ----------
    first, last : date
        Of every day from the first to the last it is known whether it is a session.
    sessions : frozenset of date
        Those that are.
    """

    first: dt.date
    last: dt.date
    sessions: frozenset[dt.date]

    @property
    def days(self) -> dict[dt.date, bool]:
        """Every day, with whether it is a session."""
        every = (self.first + n * _DAY for n in range((self.last - self.first).days + 1))
        return {day: day in self.sessions for day in every}


def library_end() -> dt.date:
    """Return the last day of which the library knows whether it is a session."""
    end: dt.date = XSHGExchangeCalendar.bound_max().date()
    return end


def _file() -> Path:
    return home_folder() / "calendar.json"


@lru_cache(maxsize=1)
def beyond() -> Beyond | None:
    """Return what is known beyond the library; None if nothing is, or if days between the two are not known.

    Raises
    ------
    Damaged
        ``calendar.json`` is none of ours.
    """
    path = _file()
    if not path.is_file():
        return None
    try:
        value = read_json(path)
        first, last = (dt.date.fromisoformat(value[name]) for name in ("first", "last"))
        known = Beyond(first, last, frozenset(map(dt.date.fromisoformat, value["sessions"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(
            f"{path} cannot be read", f"{type(error).__name__}: {error}", "Remove it and run `ashare data sync`."
        ) from None
    return known if known.first <= library_end() + _DAY <= known.last else None


def extend(days: Mapping[dt.date, bool]) -> None:
    """Let the calendar go on beyond the library, as far as every day is known; days the library knows are left out.

    Parameters
    ----------
    days : mapping of date to bool
        Which days are sessions.
    """
    held = beyond()
    known = {**(held.days if held else {}), **days}
    first = last = library_end() + _DAY
    while last in known:
        last += _DAY
    if last == first:
        return
    found = Beyond(
        first, last - _DAY, frozenset(day for day, is_open in known.items() if is_open and first <= day < last)
    )
    if found != held:
        sessions = [str(day) for day in sorted(found.sessions)]
        write_json(_file(), {"first": str(found.first), "last": str(found.last), "sessions": sessions})
        refresh()


def refresh() -> None:
    """Read ``calendar.json`` again, and make the calendar anew when it is next asked for."""
    beyond.cache_clear()
    calendar.cache_clear()
    sessions.cache_clear()
    global_calendar_dispatcher._factory_output_cache.pop(NAME, None)


class AShareCalendar(XSHGExchangeCalendar):
    """XSHG from its first known session to its last; Shenzhen and Beijing keep the same sessions."""

    @classmethod
    def bound_max(cls) -> pd.Timestamp:
        """Return the last day known: the library's, or the last the exchanges have published since."""
        known = beyond()
        return super().bound_max() if known is None else pd.Timestamp(known.last)

    @property
    def adhoc_holidays(self) -> list[pd.Timestamp]:
        """The closed days: the library's, and beyond it those that are no sessions."""
        return self.closed_days()

    @classmethod
    def closed_days(cls) -> list[pd.Timestamp]:
        """Return ``adhoc_holidays``, which need no calendar to be made."""
        known, closed = beyond(), list(cls.precomputed_holidays())
        if known is None:
            return closed
        end = library_end()
        inside = [day for day in closed if day.date() <= end]
        return inside + [pd.Timestamp(day) for day, is_open in known.days.items() if day > end and not is_open]

    @classmethod
    def default_start(cls) -> pd.Timestamp:
        """Return the first date the library knows."""
        return cls.bound_min()

    @classmethod
    def default_end(cls) -> pd.Timestamp:
        """Return the last date that is known."""
        return cls.bound_max()

    def minute_to_session(self, minute: Any, direction: str = "next", _parse: bool = True) -> pd.Timestamp:
        """Return the session of a minute; the engine asks for the same few close minutes again and again."""
        try:
            return self._session_of[minute, direction]
        except (KeyError, AttributeError):
            session = super().minute_to_session(minute, direction, _parse)
            self.__dict__.setdefault("_session_of", {})[minute, direction] = session
            return session

    def sessions_distance(self, start: Any, end: Any, _parse: bool = True) -> int:
        """Count sessions, or say in one line that a date lies outside the calendar."""
        for date in (start, end):
            self._require_inside(pd.Timestamp(date).tz_localize(None))
        return int(super().sessions_distance(start, end, _parse))

    def _require_inside(self, date: pd.Timestamp) -> None:
        if not self.first_session <= date <= self.bound_max():
            raise OutsideData(
                f"{date.date()} is outside the calendar",
                f"{NAME} is known from {self.first_session.date()} to {self.last_session.date()}",
                f"Choose dates inside it. {_LATER}",
            )


_LATER = "For a later year run `ashare data sync` once the exchanges have published it, or upgrade exchange-calendars."


@cache
def _warn_near_the_end() -> None:
    """Say once in a process that the calendar ends soon."""
    end = AShareCalendar.bound_max().date()
    if end - clock.now().date() <= NEAR:
        _log.warning("The calendar ends on %s. %s The exchanges publish a year in the December before.", end, _LATER)


def register() -> None:
    """Make ``get_calendar('XSHG')`` return ours, whoever asks; a second call changes nothing."""
    factories = global_calendar_dispatcher._calendar_factories
    if factories.get(NAME) is not AShareCalendar:
        global_calendar_dispatcher.register_calendar_type(NAME, AShareCalendar, force=True)


@lru_cache(maxsize=1)
def calendar() -> AShareCalendar:
    """Return the calendar, registered."""
    register()
    _warn_near_the_end()
    return get_calendar(NAME, side="right")


@lru_cache(maxsize=1)
def sessions() -> npt.NDArray[np.datetime64]:
    """Return every known session as ``datetime64[D]``, ascending; read-only.

    They are those of ``calendar``, whose opening times nobody may need take a third of a second.
    """
    _warn_near_the_end()
    first, last = (np.datetime64(day.date()) for day in (AShareCalendar.bound_min(), AShareCalendar.bound_max()))
    days = np.arange(first, last + 1)
    closed = np.array(AShareCalendar.closed_days(), dtype="datetime64[D]")
    known = days[np.is_busday(days, holidays=closed)]
    known.setflags(write=False)
    return known


def next_session(day: dt.date) -> dt.date | None:
    """Return the first session after a day; None where the calendar ends before it."""
    known = sessions()
    after = int(np.searchsorted(known, np.datetime64(day), side="right"))
    return known[after].item() if after < len(known) else None
