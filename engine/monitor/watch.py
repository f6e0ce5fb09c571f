"""The IC watch, which asks whether the signal still orders the returns that follow (SPEC 8).

The threshold method is the design's: the mean of the last matured daily rank ICs against a floor. It says nothing of
chance. The sequential test does: it looks at one matured IC out of ``stride`` sessions, so that no two of them share a
day of returns, and bets against "the median is at the floor or above". Under that hypothesis its wealth is a
supermartingale, so the chance that it ever reaches ``1 / rate`` is at most ``rate`` (Ville's inequality), however
often one looks. The wealth is the mean over stakes of ``(1 + stake) ** below * (1 - stake) ** not_below``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine.settings import WatchSettings
from engine.types import RETRAIN, Event

STAKES = tuple(k / 10 for k in range(1, 10))
"""Shares of the wealth that are bet; their mean needs no guess of how bad the signal will get."""


def wealth(below: int, not_below: int) -> float:
    """Return what a unit bet on "below the floor" has become after so many values on either side."""
    exponents = [below * math.log1p(stake) + not_below * math.log1p(-stake) for stake in STAKES]
    return sum(math.exp(min(exponent, 700.0)) for exponent in exponents) / len(STAKES)


@dataclass(frozen=True)
class ICWatch:
    """What the watch remembers.

    Attributes
    ----------
    recent : tuple of float
        The last known daily rank ICs, the newest last.
    quiet : int
        Sessions left in which no further event is raised.
    seen : int
        Sessions since the start, or since the last alarm of the sequential test.
    below, not_below : int
        Values the sequential test has looked at since then.
    """

    recent: tuple[float, ...] = ()
    quiet: int = 0
    seen: int = 0
    below: int = 0
    not_below: int = 0

    def step(self, ic: float, settings: WatchSettings, stride: int) -> tuple[ICWatch, list[Event]]:
        """Take in the rank IC that matured at a close.

        Parameters
        ----------
        ic : float
            NaN where there is none: the session passes, nothing is learnt.
        settings : WatchSettings
            Floor, sessions, cooldown, method, rate of false alarms.
        stride : int
            Sessions from one value of the sequential test to the next, at least the reach of a return.
        """
        if not settings.sessions:
            return ICWatch(), []
        known = not math.isnan(ic)
        looked = known and self.seen % stride == 0
        now = ICWatch(
            (*self.recent, ic)[-settings.sessions :] if known else self.recent,
            max(self.quiet - 1, 0),
            self.seen + 1 if known or self.seen % stride else self.seen,  # the first value waits for one that is known
            self.below + (looked and ic < settings.ic_floor),
            self.not_below + (looked and ic >= settings.ic_floor),
        )
        event = now._alarm(settings)
        if event is None or now.quiet:
            return now, []
        fresh = (now.seen, now.below, now.not_below) if settings.method == "threshold" else (0, 0, 0)
        return ICWatch(now.recent, settings.cooldown, *fresh), [event]

    def _alarm(self, settings: WatchSettings) -> Event | None:
        if settings.method == "sequential":
            now, threshold = wealth(self.below, self.not_below), 1 / settings.false_alarms
            cause = f"sequential test: {self.below} of {self.below + self.not_below} under {settings.ic_floor:g}"
            return Event("watch", cause, now, threshold, RETRAIN) if now >= threshold else None
        if len(self.recent) < settings.sessions:
            return None
        mean = math.fsum(self.recent) / len(self.recent)
        cause = f"mean rank IC of momentum_1m over {settings.sessions} sessions"
        return Event("watch", cause, mean, settings.ic_floor, RETRAIN) if mean < settings.ic_floor else None

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {**self.__dict__, "recent": list(self.recent)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ICWatch:
        """Read the state back."""
        return cls(**{**value, "recent": tuple(value["recent"])})
