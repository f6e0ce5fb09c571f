"""The arithmetic of the factors: pure functions over panels, (sessions, assets) in, fewer sessions out.

Every value is computed from its own window in one fixed order of operations, so a longer chunk of sessions
or more history before it changes no bit of the result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def momentum(prices: Floats, sessions: int) -> Floats:
    """Return ``price_T / price_(T-sessions) - 1``, (rows - sessions, assets); NaN where either is missing."""
    return prices[sessions:] / prices[:-sessions] - 1.0


BLOCK = 128
"""Assets whose windows are computed together: what a pass touches stays in the processor's cache."""


def rolling_mean_sd(prices: Floats, sessions: int) -> tuple[Floats, Floats]:
    """Return mean and population standard deviation of each window, (rows - sessions + 1, assets) each.

    Two passes a window, first the mean, then the squared distances from it: no running sum that drifts.
    A window with a missing price gives NaN.
    """
    shape = len(prices) - sessions + 1, prices.shape[1]
    mean, sd = np.empty(shape), np.empty(shape)
    for first in range(0, shape[1], BLOCK):
        some = slice(first, first + BLOCK)
        mean[:, some], sd[:, some] = _mean_sd(np.ascontiguousarray(prices[:, some]), sessions)
    return mean, sd


def _mean_sd(prices: Floats, sessions: int) -> tuple[Floats, Floats]:
    rows = len(prices) - sessions + 1
    mean = prices[:rows].copy()
    for lag in range(1, sessions):
        mean += prices[lag : lag + rows]
    mean /= sessions
    square, distance = np.zeros_like(mean), np.empty_like(mean)
    for lag in range(sessions):
        np.subtract(prices[lag : lag + rows], mean, out=distance)
        np.multiply(distance, distance, out=distance)
        square += distance
    return mean, np.sqrt(square / sessions)


def all_equal(prices: Floats, sessions: int) -> npt.NDArray[np.bool_]:
    """Return where every price of a window is the same, (rows - sessions + 1, assets)."""
    rows = len(prices) - sessions + 1
    equal = np.ones((rows, prices.shape[1]), dtype=bool)
    for lag in range(1, sessions):
        equal &= prices[lag : lag + rows] == prices[:rows]
    return equal


def bollinger(prices: Floats, sessions: int, deviations: float) -> tuple[Floats, Floats]:
    """Return width and position of the Bollinger band, (rows - sessions + 1, assets) each.

    ``width = (upper - lower) / middle``, ``position = (price - lower) / (upper - lower)``; NaN where all prices
    of the window are equal, for then the band has no width.
    """
    mean, sd = rolling_mean_sd(prices, sessions)
    band = np.where(all_equal(prices, sessions), np.nan, 2 * deviations * sd)
    return band / mean, (prices[sessions - 1 :] - (mean - deviations * sd)) / band


def standardise(values: Floats, members: npt.NDArray[np.bool_], tail: float) -> Floats:
    """Winsorise and z-score each session over its members.

    Parameters
    ----------
    values : array, (sessions, assets)
        NaN = null.
    members : array of bool, (sessions, assets)
        Over whom percentiles, mean and deviation are taken, those with a value.
    tail : float
        Share cut off at either end (percentiles by linear interpolation); 0 cuts nothing.

    Returns
    -------
    array, (sessions, assets)
        For members the z-score (population deviation, of the clipped values), 0 for a null and where the
        deviation is 0; NaN for everybody else.
    """
    out = np.full(values.shape, np.nan)
    for row in range(len(values)):
        ids = np.flatnonzero(members[row])
        out[row, ids] = _z_scores(values[row, ids], tail)
    return out


def _z_scores(values: Floats, tail: float) -> Floats:
    known = ~np.isnan(values)
    x = values[known]
    result = np.zeros(len(values))
    if not len(x):
        return result
    if tail:
        x = np.clip(x, *np.percentile(x, (100 * tail, 100 * (1 - tail))))
    sd = x.std()
    if sd > 0:
        result[known] = (x - x.mean()) / sd
    return result
