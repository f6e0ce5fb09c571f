"""How far a result can be trusted: what chance, short history, fat tails and many trials leave of a Sharpe ratio.

Sharpe ratios are a session's own here, mean over standard deviation of the daily returns (ddof 1), never annualised;
skewness and kurtosis are the plain moments, 0 and 3 for a normal distribution. Sources:

- Bailey, Lopez de Prado, "The Sharpe ratio efficient frontier", Journal of Risk 15(2), 2012: PSR, MinTRL.
- Bailey, Lopez de Prado, "The deflated Sharpe ratio", Journal of Portfolio Management 40(5), 2014: DSR.
- Bailey, Borwein, Lopez de Prado, Zhu, "The probability of backtest overfitting", Journal of Computational Finance
  20(4), 2017: CSCV, PBO.
- Politis, White, "Automatic block-length selection for the dependent bootstrap", Econometric Reviews 23(1), 2004, as
  corrected by Patton, Politis, White, Econometric Reviews 28(4), 2009.

``arch`` has bootstraps, but takes two seconds of CPU to import; what is needed of it is short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""Of the gate: probability that deflated and plain Sharpe ratio are above what chance gives."""
OVERFIT = 0.5
"""Probability of overfitting from which the choice among the trials says nothing: a coin does as well."""
PARTITIONS = 16
"""Of the sessions in CSCV: 12,870 ways to halve them, as in the paper."""
LEAST_TRIALS = 10
"""Trials under which no probability of overfitting is given: the median of a few ranks is a coin's throw itself."""
LEAST_BLOCK = 10
"""Sessions a partition must have for it."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Moments:
    """What the Sharpe ratio's own error depends on.

    Attributes
    ----------
    n : int
        Sessions.
    sharpe : float
        Of a session; NaN where returns do not vary.
    skew, kurtosis : float
        Of the daily returns; 3 is the kurtosis of a normal distribution.
    """

    n: int
    sharpe: float
    skew: float
    kurtosis: float


def moments(daily: Floats) -> Moments:
    """Return the moments of daily returns, (sessions,)."""
    n = len(daily)
    if n < 2 or not (daily != daily[0]).any():
        return Moments(n, math.nan, math.nan, math.nan)
    apart = daily - daily.mean()
    variance = float((apart**2).mean())
    skew, kurtosis = float((apart**3).mean() / variance**1.5), float((apart**4).mean() / variance**2)
    return Moments(n, float(daily.mean() / daily.std(ddof=1)), skew, kurtosis)


def _scatter(sharpe: float, skew: float, kurtosis: float) -> float:
    """Return n - 1 times the variance of an estimated Sharpe ratio (2012, equation 8); never under that of no skill."""
    return max(1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2, 1e-12)


def probabilistic_sharpe(sharpe: float, benchmark: float, n: int, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark (PSR; 2012, equation 11).

    Parameters
    ----------
    sharpe, benchmark : float
        Of a session; as estimated, and what it is held against.
    n : int
        Sessions.
    skew, kurtosis : float
        Of the daily returns.
    """
    return float(ndtr((sharpe - benchmark) * math.sqrt(max(n - 1, 0)) / math.sqrt(_scatter(sharpe, skew, kurtosis))))


def minimum_track_record(
    sharpe: float, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = CONFIDENCE
) -> float:
    """Return the sessions after which a Sharpe ratio is above a benchmark with a confidence (MinTRL; 2012, eq. 13).

    Infinite for a Sharpe ratio that is not above it. Parameters as of ``probabilistic_sharpe``.
    """
    if not sharpe > benchmark:
        return math.nan if math.isnan(sharpe) else math.inf
    return 1.0 + _scatter(sharpe, skew, kurtosis) * (float(ndtri(confidence)) / (sharpe - benchmark)) ** 2


def expected_maximum(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of some trials without any skill has by chance (2014, equation 1).

    Parameters
    ----------
    trials : int
        How many; one has no best, and 0 is expected of it.
    variance : float
        Of their Sharpe ratios, across the trials.
    """
    if trials < 2:
        return 0.0
    best = (1 - np.euler_gamma) * ndtri(1 - 1 / trials) + np.euler_gamma * ndtri(1 - 1 / (trials * math.e))
    return float(math.sqrt(variance) * best)


def deflated_sharpe(
    sharpe: float, n: int, skew: float, kurtosis: float, trials: int = 1, variance: float = 0.0
) -> float:
    """Return the probability that a Sharpe ratio is above what the best of so many trials has by chance (DSR; 2014).

    The number of trials is that of all distinct ones, not of independent ones: the variance across trials that
    resemble each other is small already, and to lower the number too would count their likeness twice.
    """
    return probabilistic_sharpe(sharpe, expected_maximum(trials, variance), n, skew, kurtosis)


def effective_trials(trials: int, correlation: float) -> float:
    """Return how many independent trials resemble so many with a mean correlation (2014, appendix A.3)."""
    return correlation + (1.0 - correlation) * trials


def mean_correlation(panel: Floats) -> float:
    """Return the mean correlation between trials, in [0, 1]; 0 where there is none to measure.

    Parameters
    ----------
    panel : array, (sessions, trials)
        Daily returns; NaN where a trial has none.
    """
    import pandas as pd

    if panel.shape[1] < 2:
        return 0.0
    pairs = pd.DataFrame(panel).corr(min_periods=LEAST_BLOCK).to_numpy()[np.triu_indices(panel.shape[1], 1)]
    known = pairs[np.isfinite(pairs)]
    return float(np.clip(known.mean(), 0.0, 1.0)) if len(known) else 0.0


@dataclass(frozen=True)
class Overfitting:
    """What cross-validation says of choosing the best of some trials.

    Attributes
    ----------
    probability : float
        Share of the splits in which the best trial of one half is in the lower half of the other (PBO).
    logits : array, (splits,)
        Of its relative rank there; not above 0 where it is overfitted.
    inside, outside : array, (splits,)
        Its Sharpe ratio in the half it was chosen in, and in the other one.
    """

    probability: float
    logits: Floats
    inside: Floats
    outside: Floats

    @property
    def loss(self) -> float:
        """Share of the splits in which it lost outside."""
        return float((self.outside < 0).mean())

    @property
    def slope(self) -> float:
        """Of its Sharpe ratio outside on that inside; below 0, the better inside the worse outside."""
        apart = self.inside - self.inside.mean()
        scatter = float((apart**2).sum())
        return float((apart * self.outside).sum()) / scatter if scatter else math.nan


def overfitting(panel: Floats, partitions: int = PARTITIONS) -> Overfitting:
    """Return the probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

    The sessions are cut into partitions; each half of the partitions is once the sample, the others then the test. A
    trial without any variance in a half has the Sharpe ratio 0 there. Partitions differ by a session at most.

    Parameters
    ----------
    panel : array, (sessions, trials)
        Daily returns of all trials in the same sessions.
    partitions : int
        Even.
    """
    centre = panel.mean(axis=0)  # sums of squares of what lies around it lose no digits
    blocks = np.array_split(panel - centre, partitions)
    sizes = np.array([len(block) for block in blocks], dtype=float)
    sums, squares = (np.array([(block**power).sum(axis=0) for block in blocks]) for power in (1, 2))
    halves = np.zeros((math.comb(partitions, partitions // 2), partitions))
    for row, chosen in enumerate(combinations(range(partitions), partitions // 2)):
        halves[row, list(chosen)] = 1.0
    parts = [_split(half, sizes, sums, squares, centre) for half in _pieces(halves, panel.shape[1])]
    rank, inside, outside = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    share = rank / (panel.shape[1] + 1.0)
    logits = np.log(share / (1.0 - share))
    return Overfitting(float((logits <= 1e-12).mean()), logits, inside, outside)


def _pieces(halves: Floats, trials: int) -> Iterator[Floats]:
    """Yield the splits some at a time: a few megabytes of Sharpe ratios."""
    step = max(1, 1_000_000 // trials)
    for first in range(0, len(halves), step):
        yield halves[first : first + step]


def _split(half: Floats, sizes: Floats, sums: Floats, squares: Floats, centre: Floats) -> tuple[Floats, Floats, Floats]:
    """Return rank outside, Sharpe ratio inside and outside of the best trial inside, for some splits."""
    inside = _sharpes(half @ sizes, half @ sums, half @ squares, centre)
    outside = _sharpes((1 - half) @ sizes, (1 - half) @ sums, (1 - half) @ squares, centre)
    at = np.arange(len(half)), inside.argmax(axis=1)
    there = outside[at]
    below, equal = (outside < there[:, None]).sum(axis=1), (outside == there[:, None]).sum(axis=1)
    return below + (equal + 1) / 2, inside[at], there


def _sharpes(n: Floats, sums: Floats, squares: Floats, centre: Floats) -> Floats:
    count = n[:, None]
    variance = np.maximum(squares - sums**2 / count, 0.0) / (count - 1)
    mean = centre + sums / count
    return np.where(variance > 1e-24, mean / np.sqrt(np.where(variance > 1e-24, variance, 1.0)), 0.0)


def block_length(series: Floats) -> float:
    """Return the block length of a circular bootstrap that suits a series (Politis, White; Patton, Politis, White).

    From the flat-top estimate of the spectrum at 0, with a bandwidth of twice the lag after which five or more
    autocorrelations in a row do not differ from 0. 1 for a series without any dependence.
    """
    n, apart = len(series), series - series.mean()
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    run = max(5, math.ceil(math.sqrt(math.log10(n)))) if n > 1 else 5
    last = min(math.ceil(math.sqrt(n)) + run, n - 1)
    covariances = np.array([apart[lag:] @ apart[: n - lag] / n for lag in range(last + 1)])
    if last <= run or covariances[0] <= 0:
        return 1.0
    small = np.abs(covariances[1:] / covariances[0]) < 2 * math.sqrt(math.log10(n) / n)
    quiet = [lag for lag in range(last - run + 1) if small[lag : lag + run].all()]
    strong = np.flatnonzero(~small)
    bandwidth = 2 * max(quiet[0], 1) if quiet else 2 * int(strong[-1] + 1)
    lags = np.arange(1, min(bandwidth, last) + 1)
    weights = np.minimum(1.0, 2 * (1 - lags / bandwidth)) * covariances[lags]
    spectrum = covariances[0] + 2 * weights.sum()
    slope = 2 * (lags * weights).sum()
    if not spectrum:
        return float(longest)
    length = (2 * slope**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * n ** (1 / 3)
    return float(min(max(length, 1.0), longest))


def blocks(n: int, block: int, resamples: int = RESAMPLES, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return the sessions of each resample, (resamples, n): circular blocks from random starts."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, (resamples, -(-n // block)))
    return (starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, :n] % n


def suited_block(daily: Floats) -> int:
    """Return the length for returns: that of the returns or of their squares, whichever depend for longer.

    Daily returns hardly depend on those before; their size does, and volatility and drawdown with it.
    """
    return math.ceil(max(block_length(daily), block_length(daily**2)))


def _annual_return(growth: Floats, daily: Floats, year: float) -> Floats:
    return np.sign(growth[:, -1]) * np.abs(growth[:, -1]) ** (year / daily.shape[1]) - 1.0


def _drawdown(growth: Floats) -> Floats:
    peaks = np.maximum(np.maximum.accumulate(growth, axis=1), 1.0)
    return np.minimum((growth / peaks - 1.0).min(axis=1), 0.0)


FIGURES: Mapping[str, Callable[[Floats, Floats, float], Floats]] = {
    "annual return": _annual_return,
    "annual volatility": lambda growth, daily, year: daily.std(axis=1, ddof=1) * math.sqrt(year),
    "Sharpe ratio": lambda growth, daily, year: daily.mean(axis=1) / daily.std(axis=1, ddof=1) * math.sqrt(year),
    "maximum drawdown": lambda growth, daily, year: _drawdown(growth),
}
"""From growth and returns, (resamples, sessions) each, and the sessions a year to a figure a resample."""


def intervals(
    daily: Floats, year: float, confidence: float = CONFIDENCE, block: int | None = None, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Return percentile intervals of return, volatility, Sharpe ratio and drawdown by a circular block bootstrap.

    Parameters
    ----------
    daily : array, (sessions,)
        Returns.
    year : float
        Sessions a year.
    confidence : float
        Share of the resamples inside.
    block : int, optional
        Sessions a block; by default ``suited_block``.
    resamples : int
        How many; a fixed seed makes the interval reproducible.
    """
    if len(daily) < 2:
        return dict.fromkeys(FIGURES, (math.nan, math.nan))
    picked = daily[blocks(len(daily), block or suited_block(daily), resamples)]
    growth = np.cumprod(1.0 + picked, axis=1, dtype=np.float64)
    with np.errstate(all="ignore"):
        return {name: _interval(figure(growth, picked, year), confidence) for name, figure in FIGURES.items()}


def paired_intervals(
    one: Floats, other: Floats, year: float, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Return intervals of the differences, one less the other, of two series over the same sessions.

    The same blocks are drawn from both, so that what moves both of them cancels. ``mean difference`` is the mean daily
    difference times the sessions a year; parameters as of ``intervals``.
    """
    at = blocks(len(one), suited_block(one - other), resamples)
    series = [(daily[at], np.cumprod(1.0 + daily[at], axis=1, dtype=np.float64)) for daily in (one, other)]
    with np.errstate(all="ignore"):
        found = {
            name: _interval(np.subtract(*(figure(growth, picked, year) for picked, growth in series)), confidence)
            for name, figure in FIGURES.items()
        }
    return {"mean difference": _interval((one - other)[at].mean(axis=1) * year, confidence)} | found


def _interval(values: npt.NDArray[np.floating[Any]], confidence: float) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(known, (tail, 100 - tail)) if len(known) else (math.nan, math.nan)
    return float(low), float(high)


@dataclass(frozen=True)
class Criterion:
    """One condition of the trust gate.

    Attributes
    ----------
    name : str
        What is measured.
    value, threshold : float
        What was found, and what it is held against.
    passed : bool or None
        None where it could not be computed; then it does not count.
    says : str
        The condition in words.
    """

    name: str
    value: float
    threshold: float
    passed: bool | None
    says: str


@dataclass(frozen=True)
class Verdict:
    """The trust gate of a result.

    Attributes
    ----------
    criteria : tuple of Criterion
        Deflated Sharpe ratio, track record, probability of overfitting.
    trials : int
        Distinct trials counted.
    chance : float
        Sharpe ratio of a session that the best of them has by chance.
    """

    criteria: tuple[Criterion, ...]
    trials: int
    chance: float

    @property
    def passed(self) -> bool:
        """Whether every condition that could be computed holds."""
        return all(one.passed is not False for one in self.criteria)


def verdict(daily: Floats, trials: int = 1, variance: float = 0.0, panel: Floats | None = None) -> Verdict:
    """Return whether a result stands after what chance, many trials and a short history explain.

    Three conditions: a deflated Sharpe ratio of at least 0.95; a history as long as the minimum track record for a
    Sharpe ratio above 0 with 95 %; a probability of overfitting under 0.5, where there are enough trials and sessions.

    Parameters
    ----------
    daily : array, (sessions,)
        Returns of the result.
    trials : int
        Distinct trials it is the best of, itself counted.
    variance : float
        Of their Sharpe ratios (of a session, on this many sessions).
    panel : array, (sessions, trials), optional
        Daily returns of the trials in the sessions they share.
    """
    own = moments(daily)
    deflated = deflated_sharpe(own.sharpe, own.n, own.skew, own.kurtosis, trials, variance)
    needed = minimum_track_record(own.sharpe, 0.0, own.skew, own.kurtosis)
    enough = panel is not None and panel.shape[1] >= LEAST_TRIALS and len(panel) >= PARTITIONS * LEAST_BLOCK
    overfit = overfitting(panel).probability if panel is not None and enough else math.nan
    return Verdict(
        (
            Criterion(
                "deflated Sharpe ratio",
                deflated,
                CONFIDENCE,
                bool(deflated >= CONFIDENCE),
                f"the Sharpe ratio is above the best of {trials} by chance with a probability of {CONFIDENCE:.0%}",
            ),
            Criterion(
                "track record",
                float(own.n),
                needed,
                bool(own.n >= needed),
                f"as many sessions as a Sharpe ratio above 0 with {CONFIDENCE:.0%} needs",
            ),
            Criterion(
                "probability of overfitting",
                overfit,
                OVERFIT,
                bool(overfit < OVERFIT) if enough else None,
                f"the best trial of one half is in the lower half of the other in under {OVERFIT:.0%} of the splits",
            ),
        ),
        trials,
        expected_maximum(trials, variance),
    )
