"""The volatility switch (SPEC 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.settings import RiskSettings
from engine.types import SWITCHED, Event

YEAR = 252
"""Sessions a year, by the design's formula."""


def realised_volatility(closes: npt.NDArray[np.float64], sessions: int) -> float:
    """Return the annualised deviation of the last log returns, in percent.

    Parameters
    ----------
    closes : array, (n,)
        Closes of the index up to the decision's own session, points.
    sessions : int
        How many returns are looked at; their sample deviation is taken.

    Returns
    -------
    float
        NaN with fewer closes than returns + 1, or one that is unknown.
    """
    if len(closes) < sessions + 1:
        return math.nan
    returns = np.diff(np.log(closes[-sessions - 1 :]))
    return float(np.std(returns, ddof=1) * math.sqrt(YEAR) * 100.0)


@dataclass(frozen=True)
class VolatilitySwitch:
    """On while the volatility index is above its threshold.

    Attributes
    ----------
    on : bool
        Whether the gross limit is lowered.
    """

    on: bool = False

    def step(self, index: float, settings: RiskSettings) -> tuple[VolatilitySwitch, list[Event]]:
        """Take in the index of a close, in percent; an unknown one (NaN) changes nothing."""
        threshold = settings.volatility_above
        if not threshold:
            return VolatilitySwitch(), []
        on = self.on if math.isnan(index) else index > threshold
        if on == self.on:
            return self, []
        effect = f"gross limit {settings.volatility_gross:g}" if on else "limit lifted"
        return VolatilitySwitch(on), [Event("volatility", SWITCHED[on], index, threshold, effect)]

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"on": self.on}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> VolatilitySwitch:
        """Read the state back."""
        return cls(bool(value["on"]))
