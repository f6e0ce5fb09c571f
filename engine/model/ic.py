"""How well scores order the returns that follow: information coefficients, quantiles, turnover (SPEC 13.14).

Pure functions of panels (sessions, assets), NaN = unknown or not looked at; a score is whatever is known after the
close of its session, a factor or an output of the model, and the return stands in the row of the decision. A session
with fewer than ``MINIMUM_NAMES`` names, or with all scores or all returns equal, has no information coefficient: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MINIMUM_NAMES = 5
"""A correlation over fewer names says nothing."""
LEVEL = 0.95
"""Of the intervals."""


def ic(scores: Floats, returns: Floats) -> tuple[Floats, Counts]:
    """Return the information coefficient of each session: Pearson correlation of scores and returns.

    Parameters
    ----------
    scores, returns : array, (sessions, assets)
        Only names with both are looked at.

    Returns
    -------
    coefficients : array, (sessions,)
        NaN where there is none.
    n : array of int, (sessions,)
        Names with both.
    """
    (coefficients,), n = _daily(scores, returns, np.asarray)
    return coefficients, n


def rank_ic(scores: Floats, returns: Floats) -> tuple[Floats, Counts]:
    """Return the rank information coefficient of each session: Spearman correlation, ties at their average rank.

    Parameters and what is returned are those of ``ic``.
    """
    (coefficients,), n = _daily(scores, returns, average_ranks)
    return coefficients, n


def _daily(scores: Floats, returns: Floats, *views: Callable[[Floats], Floats]) -> tuple[Floats, Counts]:
    """Correlate scores and returns of each session under some views of both, (views, sessions)."""
    known = np.isfinite(scores) & np.isfinite(returns)
    n = known.sum(axis=1)
    coefficients = np.full((len(views), len(n)), np.nan)
    for row in np.flatnonzero(n >= MINIMUM_NAMES):
        x, y = scores[row, known[row]], returns[row, known[row]]
        coefficients[:, row] = [correlation(view(x), view(y)) for view in views]
    return coefficients, n


def rank_bounds(x: Floats) -> tuple[Counts, Counts]:
    """Return the lowest and the highest rank of each value of a vector without gaps; they differ for ties."""
    order = np.argsort(x)  # which of equal values comes first makes no difference to their bounds
    ordered = x[order]
    new = np.ones(len(x), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    value = np.empty(len(x), dtype=np.int64)
    if new.all():
        value[order] = np.arange(1, len(x) + 1)
        return value, value
    value[order] = np.cumsum(new) - 1
    start = np.append(np.flatnonzero(new), len(x))
    return start[value] + 1, start[value + 1]


def average_ranks(x: Floats) -> Floats:
    """Return the ranks of a vector without gaps, 1 the lowest, ties at their average."""
    lowest, highest = rank_bounds(x)
    return (lowest + highest) / 2.0


def correlation(x: Floats, y: Floats) -> float:
    """Return the Pearson correlation of two vectors without gaps; NaN where one of them does not vary."""
    if x.min() == x.max() or y.min() == y.max():  # not by the deviation, which rounding may keep above 0
        return np.nan
    x, y = _unit(x), _unit(y)
    return float(np.clip(x @ y, -1.0, 1.0))


def _unit(x: Floats) -> Floats:
    """Return the distances from the mean as a vector of length 1; scaled first, so that no square underflows."""
    x = x - x.mean()
    x = x / np.abs(x).max()
    return x / np.sqrt(x @ x)


class Mean(NamedTuple):
    """A mean with its 95 % interval.

    Attributes
    ----------
    mean, standard_error, t, low, high : float
        NaN where the series is too short.
    n : int
        Sessions in it.
    """

    mean: float
    standard_error: float
    t: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low > 0 or self.high < 0

    def as_dict(self) -> dict[str, float | bool]:
        """Return the fields by name, and whether the interval excludes 0."""
        return {**self._asdict(), "excludes_zero": self.excludes_zero}


def mean_with_interval(series: Floats, lag: int) -> Mean:
    """Return the mean of a daily series with its Newey-West standard error and 95 % interval.

    The t interval of an ordinary least squares fit on a constant, its variance estimated with Bartlett weights and
    the small-sample factor n / (n - 1); lag 0 is the ordinary interval of a mean. Fewer than two windows
    (``2 * (lag + 1)`` sessions) tell nothing of the error: NaN.

    Parameters
    ----------
    series : array, (sessions,)
        A NaN is left out. What remains moves together, which only lengthens the reach of a lag.
    lag : int
        How far the dependence reaches, at least the overlap: horizon - 1 for returns over ``horizon`` sessions.
    """
    known = series[np.isfinite(series)]
    n = len(known)
    mean = float(known.mean()) if n else np.nan
    if n < 2 * (lag + 1):
        return Mean(mean, np.nan, np.nan, np.nan, np.nan, n)
    if known.min() == known.max():
        return Mean(mean, 0.0, np.nan, mean, mean, n)
    from statsmodels.regression.linear_model import OLS

    kind = {"maxlags": lag, "use_correction": True}
    fit = OLS(known, np.ones(n)).fit(cov_type="HAC", cov_kwds=kind, use_t=True)
    low, high = fit.conf_int(1 - LEVEL)[0]
    return Mean(mean, float(fit.bse[0]), float(fit.tvalues[0]), float(low), float(high), n)


def deviation(series: Floats) -> float:
    """Return the sample standard deviation of the known values; NaN with fewer than two."""
    known = series[np.isfinite(series)]
    return float(known.std(ddof=1)) if len(known) > 1 else np.nan


def average(series: Floats) -> float:
    """Return the mean of the known values, NaN without any."""
    known = series[np.isfinite(series)]
    return float(known.mean()) if len(known) else np.nan


def quantiles(scores: Floats, count: int) -> npt.NDArray[np.int16]:
    """Cut each session into quantiles of equal count, 1 the lowest scores.

    A quantile ends where ``pandas.qcut`` ends it: at the interpolated percentile, itself included. Equal scores stay
    together, in the lowest quantile they reach.

    Parameters
    ----------
    scores : array, (sessions, assets)
        NaN = in no quantile.
    count : int
        How many, at least 2.

    Returns
    -------
    array of int16, (sessions, assets)
        1 to ``count``; 0 for names without a score, and on sessions with fewer names than quantiles or
        ``MINIMUM_NAMES``, or with all scores equal.
    """
    groups = np.zeros(scores.shape, dtype=np.int16)
    known = np.isfinite(scores)
    n = known.sum(axis=1)
    for row in np.flatnonzero(n >= max(count, MINIMUM_NAMES)):
        x = scores[row, known[row]]
        if x.min() < x.max():
            below = rank_bounds(x)[0] - 1
            # in whole numbers: the smallest k with below / (n - 1) <= k / count
            groups[row, known[row]] = np.maximum(-(-below * count // (n[row] - 1)), 1)
    return groups


def quantile_returns(groups: npt.NDArray[np.int16], returns: Floats, count: int) -> Floats:
    """Return the mean return of each quantile, (sessions, count); NaN where a session has nobody in it.

    Parameters
    ----------
    groups : array of int, (sessions, assets)
        From ``quantiles``.
    returns : array, (sessions, assets)
        NaN is left out.
    count : int
        Quantiles.
    """
    known = np.isfinite(returns)
    means = np.full((len(groups), count), np.nan)
    for row in range(len(groups)):
        group, value = groups[row, known[row]], returns[row, known[row]]
        names = np.bincount(group, minlength=count + 1)[1:]
        total = np.bincount(group, value, minlength=count + 1)[1:]
        np.divide(total, names, out=means[row], where=names > 0)
    return means


def turnover(groups: npt.NDArray[np.int16], quantile: int) -> Floats:
    """Return the share of a quantile's names that were not in it the session before, (sessions,).

    NaN on the first session, and where it or the session before has nobody in the quantile.
    """
    here = groups == quantile
    shares = np.full(len(groups), np.nan)
    names = here.sum(axis=1)
    stayed = (here[1:] & here[:-1]).sum(axis=1)
    both = (names[1:] > 0) & (names[:-1] > 0)
    np.divide(names[1:] - stayed, names[1:], out=shares[1:], where=both)
    return shares


def ranks(scores: Floats) -> Floats:
    """Return each score's rank on its session, 1 the lowest, ties at their average; NaN where there is no score."""
    ranked = np.full(scores.shape, np.nan)
    for row, known in enumerate(np.isfinite(scores)):
        ranked[row, known] = average_ranks(scores[row, known])
    return ranked


def rank_autocorrelation(ranked: Floats, lag: int) -> Floats:
    """Return the correlation of each session's ranks with those ``lag`` sessions before, (sessions,).

    Parameters
    ----------
    ranked : array, (sessions, assets)
        From ``ranks``. Ranks are those among all names of their own session; correlated are names ranked on both.
    lag : int
        At least 1; the first ``lag`` sessions are NaN.
    """
    found = np.full(len(ranked), np.nan)
    found[lag:] = ic(ranked[lag:], ranked[: max(len(ranked) - lag, 0)])[0]
    return found


@dataclass(frozen=True)
class Coefficients:
    """Information coefficients over one horizon.

    Attributes
    ----------
    horizon : int
        Sessions of the return.
    n : array of int, (sessions,)
        Names with score and return.
    ic, rank_ic : array, (sessions,)
        NaN where there is none.
    """

    horizon: int
    n: Counts
    ic: Floats
    rank_ic: Floats

    def summary(self) -> dict[str, Any]:
        """Return mean, deviation and ratio of both, and the interval of the mean rank IC with lag = the overlap."""
        interval = mean_with_interval(self.rank_ic, self.horizon - 1)
        return {
            "horizon": self.horizon,
            "ic": {"mean": average(self.ic), **_ratio(self.ic)},
            "rank_ic": {**interval.as_dict(), **_ratio(self.rank_ic)},
        }


def _ratio(series: Floats) -> dict[str, float]:
    """Return the deviation of a daily series and its mean as a multiple of it (ICIR)."""
    sd = deviation(series)
    return {"sd": sd, "icir": average(series) / sd if sd > 0 else np.nan}


@dataclass(frozen=True)
class Evaluation:
    """How scores did against the returns that followed.

    Attributes
    ----------
    coefficients : dict of int to Coefficients
        By horizon.
    horizon : int
        Of the quantiles.
    returns : array, (sessions, quantiles)
        Mean return of each quantile, the lowest scores first.
    turnover_bottom, turnover_top : array, (sessions,)
        Of the lowest and the highest quantile.
    autocorrelation : dict of int to array, (sessions,)
        Of the ranks, by lag: 1 and ``horizon``.
    """

    coefficients: Mapping[int, Coefficients]
    horizon: int
    returns: Floats
    turnover_bottom: Floats
    turnover_top: Floats
    autocorrelation: Mapping[int, Floats]

    def summary(self) -> dict[str, Any]:
        """Return the means over the sessions, the spread of top over bottom with lag = the overlap."""
        spread = mean_with_interval(self.returns[:, -1] - self.returns[:, 0], self.horizon - 1)
        return {
            "coefficients": [found.summary() for found in self.coefficients.values()],
            "quantiles": {
                "horizon": self.horizon,
                "returns": [average(column) for column in self.returns.T],
                "spread": spread.as_dict(),
                "turnover_bottom": average(self.turnover_bottom),
                "turnover_top": average(self.turnover_top),
                "rank_autocorrelation": {str(lag): average(found) for lag, found in self.autocorrelation.items()},
            },
        }


def evaluate(scores: Floats, returns: Mapping[int, Floats], horizon: int, count: int) -> Evaluation:
    """Evaluate scores.

    Parameters
    ----------
    scores : array, (sessions, assets)
        NaN = none, or not a member.
    returns : mapping of int to array, (sessions, assets)
        Forward returns by horizon; NaN = no label.
    horizon : int
        Of quantiles, turnover and ranks, one of those of ``returns``; they are of the names with score and return.
    count : int
        Quantiles.
    """
    coefficients = {}
    for sessions, following in returns.items():
        (plain, ranked), n = _daily(scores, following, np.asarray, average_ranks)
        coefficients[sessions] = Coefficients(sessions, n, plain, ranked)
    labelled = np.where(np.isfinite(returns[horizon]), scores, np.nan)
    groups, own_ranks = quantiles(labelled, count), ranks(labelled)
    return Evaluation(
        coefficients=coefficients,
        horizon=horizon,
        returns=quantile_returns(groups, returns[horizon], count),
        turnover_bottom=turnover(groups, 1),
        turnover_top=turnover(groups, count),
        autocorrelation={lag: rank_autocorrelation(own_ranks, lag) for lag in dict.fromkeys((1, horizon))},
    )
