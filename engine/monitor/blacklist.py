"""Who is barred for having been wrong too often (SPEC 8). Only matured outcomes count."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.settings import BlacklistSettings
from engine.types import Event


@dataclass(frozen=True)
class Blacklist:
    """Who waits for an outcome, how often each was wrong running, and who is barred until when.

    Attributes
    ----------
    waiting : tuple of (date, tuple of str)
        Session of each rebalance whose outcomes are not known yet, and whom it chose.
    wrong : mapping of str to int
        Times running.
    barred : mapping of str to date
        First day a stock may be bought again.
    """

    waiting: tuple[tuple[dt.date, tuple[str, ...]], ...] = ()
    wrong: Mapping[str, int] = field(default_factory=dict)
    barred: Mapping[str, dt.date] = field(default_factory=dict)

    def chose(self, session: dt.date, codes: Iterable[str]) -> Blacklist:
        """Remember whom a rebalance chose."""
        return Blacklist((*self.waiting, (session, tuple(codes))), self.wrong, self.barred)

    def step(
        self, today: dt.date, matured: Mapping[dt.date, Mapping[str, bool]], settings: BlacklistSettings
    ) -> tuple[Blacklist, list[Event]]:
        """Take in what became known at a close.

        Parameters
        ----------
        today : date
            The session.
        matured : mapping of date to mapping of str to bool
            For each waiting session whose outcomes are known by now: who was labelled, and whether "up". A stock
            without a label could not be bought: it was neither right nor wrong.
        settings : BlacklistSettings
            How often is too often, and for how long: barred on day d, it may be bought again on d + days.
        """
        if not settings.wrong:
            return Blacklist(), []
        wrong, events = dict(self.wrong), []
        barred = {code: until for code, until in self.barred.items() if today < until}
        for session, codes in self.waiting:
            for code in codes:
                up = matured.get(session, {}).get(code)
                if up is None:
                    continue
                wrong[code] = 0 if up else wrong.get(code, 0) + 1
                if wrong[code] >= settings.wrong:
                    barred[code] = today + dt.timedelta(days=settings.days)
                    cause, effect = f"not up, chosen on {session}", f"barred until {barred[code]}"
                    events.append(Event("blacklist", cause, wrong.pop(code), settings.wrong, effect, code))
        waiting = tuple(entry for entry in self.waiting if entry[0] not in matured)
        return Blacklist(waiting, {code: n for code, n in wrong.items() if n}, barred), events

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "waiting": [[session.isoformat(), list(codes)] for session, codes in self.waiting],
            "wrong": dict(self.wrong),
            "barred": {code: day.isoformat() for code, day in self.barred.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Blacklist:
        """Read the state back."""
        day = dt.date.fromisoformat
        return cls(
            tuple((day(session), tuple(codes)) for session, codes in value["waiting"]),
            dict(value["wrong"]),
            {code: day(until) for code, until in value["barred"].items()},
        )
