"""The exchange's sessions: the XSHG calendar over all it knows, with its look-ups remembered.

The library's calendar begins at a rolling date twenty years back; ours begins in 1990, so that old data
read back tomorrow as they do today.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from exchange_calendars import get_calendar
from exchange_calendars.calendar_utils import global_calendar_dispatcher
from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar

from engine.errors import OutsideData

NAME = "XSHG"


class AShareCalendar(XSHGExchangeCalendar):
    """XSHG from its first known session to its last; Shenzhen and Beijing keep the same sessions."""

    @classmethod
    def default_start(cls) -> pd.Timestamp:
        """Return the first date the library knows."""
        return cls.bound_min()

    @classmethod
    def default_end(cls) -> pd.Timestamp:
        """Return the last date the library knows."""
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
                "Choose dates inside it, or upgrade exchange-calendars for a later year.",
            )


def register() -> None:
    """Make ``get_calendar('XSHG')`` return ours, whoever asks; a second call changes nothing."""
    factories = global_calendar_dispatcher._calendar_factories
    if factories.get(NAME) is not AShareCalendar:
        global_calendar_dispatcher.register_calendar_type(NAME, AShareCalendar, force=True)


@lru_cache(maxsize=1)
def calendar() -> AShareCalendar:
    """Return the calendar, registered."""
    register()
    return get_calendar(NAME, side="right")


def sessions() -> npt.NDArray[np.datetime64]:
    """Return every known session as ``datetime64[D]``, ascending."""
    return calendar().sessions.values.astype("datetime64[D]")


def is_session(day: dt.date) -> bool:
    """Say whether the market was open on a day."""
    known = sessions()
    at = int(np.searchsorted(known, np.datetime64(day)))
    return at < len(known) and known[at] == np.datetime64(day)
