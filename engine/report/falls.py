"""How a net value fell and rose again, and how its risk moved: drawdowns with dates, rolling ratios."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from engine.report.statistics import drawdown

Floats = npt.NDArray[np.float64]

WINDOW = 120
"""Sessions of the rolling ratios: half a year, under which a Sharpe ratio is noise alone."""


@dataclass(frozen=True)
class Fall:
    """A drawdown from its peak to the new one.

    Attributes
    ----------
    peak, trough : date
        Sessions of the highest net value before it and of the lowest in it; the peak is None where the run fell from
        its first session on.
    recovered : date or None
        Session that reached the peak again, None where none did.
    depth : float
        Below the peak, not above 0.
    sessions : int
        From the peak to the recovery, or to the end.
    """

    peak: dt.date | None
    trough: dt.date
    recovered: dt.date | None
    depth: float
    sessions: int


def falls(sessions: Sequence[dt.date], daily: Floats, most: int = 5) -> list[Fall]:
    """Return the deepest drawdowns, the deepest first.

    Parameters
    ----------
    sessions : sequence of date, (sessions,)
        Of the returns.
    daily : array, (sessions,)
        Returns.
    most : int
        How many at most.
    """
    below = drawdown(daily)
    under = np.concatenate([[False], below < 0, [False]])
    edges = np.flatnonzero(under[1:] != under[:-1])
    spans = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    found = [_fall(sessions, below, first, end) for first, end in spans]
    return sorted(found, key=lambda one: one.depth)[:most]


def _fall(sessions: Sequence[dt.date], below: Floats, first: int, end: int) -> Fall:
    lowest = first + int(below[first:end].argmin())
    ended = end < len(sessions)
    return Fall(
        sessions[first - 1] if first else None,
        sessions[lowest],
        sessions[end] if ended else None,
        float(below[lowest]),
        (end if ended else end - 1) - (first - 1),
    )


def rolling(daily: Floats, benchmark: Floats, year: float, window: int = WINDOW) -> tuple[Floats, Floats]:
    """Return the Sharpe ratio and the beta of the sessions up to each one, (sessions,) each; NaN before the window.

    Parameters
    ----------
    daily, benchmark : array, (sessions,)
        Returns.
    year : float
        Sessions a year.
    window : int
        Sessions of each value.
    """
    sharpe, beta = np.full(len(daily), math.nan), np.full(len(daily), math.nan)
    if len(daily) >= window:
        own, index = sliding_window_view(daily, window), sliding_window_view(benchmark, window)
        apart = index - index.mean(axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            sharpe[window - 1 :] = own.mean(axis=1) / own.std(axis=1, ddof=1) * math.sqrt(year)
            beta[window - 1 :] = (own * apart).sum(axis=1) / (apart**2).sum(axis=1)
    return sharpe, beta
