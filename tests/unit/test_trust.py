"""Sharpe ratios held against chance: the papers' own numbers, and what noise makes of the gate."""

from __future__ import annotations

import itertools
import math

import empyrical
import mpmath
import numpy as np
import pytest
from scipy.special import ndtri

from engine.report import statistics as stats
from engine.report import trust

mpmath.mp.dps = 30
MONTHLY = 0.458, 0.0, 24
"""The hedge fund of the paper of 2012: 24 months, Sharpe ratio 0.458 a month (1.585 a year)."""
DAILY = 2.5 / math.sqrt(250), 1250
"""The strategy of the paper of 2014: 1,250 sessions, 250 a year, Sharpe ratio 2.5 and variance 1/2 a year."""
VARIANCE = 0.5 / 250


def normal(z: float) -> mpmath.mpf:
    """The normal distribution by an integral of its density: nothing in common with ``ndtr``."""
    density = lambda x: mpmath.exp(-(x**2) / 2) / mpmath.sqrt(2 * mpmath.pi)  # noqa: E731
    return mpmath.mpf("0.5") + mpmath.quad(density, [0, mpmath.mpf(z)])


def quantile(p: float) -> mpmath.mpf:
    return mpmath.findroot(lambda z: normal(z) - p, 1)


def scatter(sharpe, skew, kurtosis):
    return 1 - skew * mpmath.mpf(sharpe) + (kurtosis - 1) / mpmath.mpf(4) * mpmath.mpf(sharpe) ** 2


@pytest.mark.parametrize(
    ("skew", "kurtosis", "printed", "exact"),
    [(0.0, 3.0, 0.982, 0.981674919091), (-2.448, 10.164, 0.913, 0.913361083861)],
)
def test_the_probabilistic_sharpe_ratio_of_the_paper(skew, kurtosis, printed, exact):
    found = trust.probabilistic_sharpe(*MONTHLY, skew, kurtosis)
    assert round(found, 3) == printed
    assert found == pytest.approx(exact, abs=1e-10)
    z = (0.458 - 0) * mpmath.sqrt(23) / mpmath.sqrt(scatter(0.458, skew, kurtosis))
    assert found == pytest.approx(float(normal(z)), abs=1e-12)


@pytest.mark.parametrize(
    ("a_year", "skew", "kurtosis", "printed", "exact"),
    [
        (252, 0.0, 3.0, 2.73, 2.730984275160),
        (52, 0.0, 3.0, 2.83, 2.828833586945),
        (12, 0.0, 3.0, 3.24, 3.239800696444),
        (12, -0.72, 5.78, 4.99, 4.991258223876),
    ],
)
def test_the_minimum_track_record_of_the_paper(a_year, skew, kurtosis, printed, exact):
    """Years after which a Sharpe ratio of 2 a year is above 1 with 95 %."""
    root = math.sqrt(a_year)
    found = trust.minimum_track_record(2 / root, 1 / root, skew, kurtosis) / a_year
    assert round(found, 2) == printed
    assert found == pytest.approx(exact, abs=1e-9)
    reached = trust.probabilistic_sharpe(2 / root, 1 / root, math.ceil(found * a_year), skew, kurtosis)
    assert reached == pytest.approx(0.95, abs=0.005)
    assert reached >= 0.95


def test_nothing_reaches_a_benchmark_it_is_not_above():
    assert trust.minimum_track_record(0.1, 0.1) == math.inf
    assert math.isnan(trust.minimum_track_record(math.nan))


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "printed", "exact"),
    [
        (100, -3, 10, 0.9004, 0.900396834449),
        (46, -3, 10, 0.9505, 0.950501706876),
        (88, 0, 3, 0.9505, 0.950490816676),
    ],
)
def test_the_deflated_sharpe_ratio_of_the_paper(trials, skew, kurtosis, printed, exact):
    found = trust.deflated_sharpe(*DAILY, skew, kurtosis, trials, VARIANCE)
    assert round(found, 4) == printed
    assert found == pytest.approx(exact, abs=1e-10)
    gamma, e = mpmath.euler, mpmath.e
    chance = (1 - gamma) * quantile(1 - mpmath.mpf(1) / trials) + gamma * quantile(1 - 1 / (trials * e))
    z = (mpmath.mpf(DAILY[0]) - chance * mpmath.sqrt(VARIANCE)) * mpmath.sqrt(1249)
    assert found == pytest.approx(float(normal(z / mpmath.sqrt(scatter(DAILY[0], skew, kurtosis)))), abs=1e-9)


def test_what_the_best_of_some_trials_has_by_chance():
    assert round(trust.expected_maximum(100, VARIANCE), 4) == 0.1132  # printed in the paper of 2014
    assert trust.expected_maximum(100, VARIANCE) == pytest.approx(0.113172001865, abs=1e-10)
    assert trust.expected_maximum(1, VARIANCE) == 0
    drawn = np.random.default_rng(0).standard_normal((4000, 100)).max(axis=1).mean()
    assert trust.expected_maximum(100, 1.0) == pytest.approx(drawn, rel=0.02)


def test_moments_are_those_of_scipy():
    from scipy import stats as scipy_stats

    daily = np.random.default_rng(2).standard_t(4, 700) * 0.01 + 0.001
    found = trust.moments(daily)
    assert found.skew == pytest.approx(scipy_stats.skew(daily))
    assert found.kurtosis == pytest.approx(scipy_stats.kurtosis(daily, fisher=False))
    assert found.sharpe * math.sqrt(243) == pytest.approx(empyrical.sharpe_ratio(daily, annualization=243))
    for flat in (np.zeros(9), np.full(9, 0.01), np.array([0.1])):
        assert math.isnan(trust.moments(flat).sharpe)


def r_normals(seed: int, n: int) -> np.ndarray:
    """What R's ``set.seed(seed); rnorm(n)`` gives: Mersenne twister, R's scrambling of the seed, inversion."""
    state, words = seed, []
    for step in range(675):
        state = (69069 * state + 1) & 0xFFFFFFFF
        if step > 50:
            words.append(state)
    twister = np.random.RandomState()
    twister.set_state(("MT19937", np.array(words, dtype=np.uint32), 624))
    drawn = twister.randint(0, 2**32, size=2 * n, dtype=np.uint32) * 2.3283064365386963e-10
    return ndtri((np.floor(134217728 * drawn[::2]) + drawn[1::2]) / 134217728)


def test_the_published_example_of_the_r_package():
    """The vignette of CRAN's pbo: p_bo 1, 'slope' -0.0030456 (the intercept inside on outside), R2 0.97, p_loss 1."""
    assert r_normals(42, 3) == pytest.approx([1.37095845, -0.56469817, 0.36312841], abs=1e-8)
    trials = r_normals(765, 100 * 2400).reshape(100, 2400).T
    trials *= 1 / math.sqrt(252) / trials.std(axis=0, ddof=1)
    found = trust.overfitting(trials - trials.mean(axis=0) - 0.03 / 252, 8)
    slope, intercept = np.polyfit(found.outside, found.inside, 1)
    rest = ((found.inside - intercept - slope * found.outside) ** 2).sum()
    fit = 1 - rest / ((found.inside - found.inside.mean()) ** 2).sum() * 69 / 68
    assert (found.probability, found.loss) == (1.0, 1.0)
    assert intercept == pytest.approx(-0.0030456, abs=1e-6)
    assert round(fit, 2) == 0.97


def plain_overfitting(panel: np.ndarray, partitions: int) -> tuple[list[float], list[float], list[float]]:
    """The paper's steps, one after the other."""
    parts, logits, inside, outside = np.array_split(panel, partitions), [], [], []
    sharpe = lambda part: part.mean(axis=0) / part.std(axis=0, ddof=1)  # noqa: E731
    for chosen in itertools.combinations(range(partitions), partitions // 2):
        one = sharpe(np.concatenate([parts[at] for at in chosen]))
        other = sharpe(np.concatenate([parts[at] for at in range(partitions) if at not in chosen]))
        best = int(one.argmax())
        share = (sorted(other).index(other[best]) + 1) / (len(other) + 1)
        logits.append(math.log(share / (1 - share)))
        inside.append(one[best])
        outside.append(other[best])
    return logits, inside, outside


@pytest.mark.parametrize(("sessions", "trials", "partitions"), [(120, 7, 6), (101, 12, 8), (64, 3, 4)])
def test_overfitting_against_the_paper_s_steps(sessions, trials, partitions):
    panel = np.random.default_rng(sessions).normal(0.001, 0.01, (sessions, trials))
    found = trust.overfitting(panel, partitions)
    logits, inside, outside = plain_overfitting(panel, partitions)
    np.testing.assert_allclose(found.logits, logits, atol=1e-12)
    np.testing.assert_allclose(found.inside, inside, atol=1e-12)
    np.testing.assert_allclose(found.outside, outside, atol=1e-12)
    assert found.probability == np.mean(np.array(logits) <= 0)
    assert found.slope == pytest.approx(np.polyfit(inside, outside, 1)[0])


def test_a_strategy_with_skill_is_no_overfitting_and_noise_is():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.01, (480, 20))
    skilled = noise.copy()
    skilled[:, 3] += 0.003
    assert trust.overfitting(skilled, 8).probability < 0.01
    drawn = [trust.overfitting(rng.normal(0, 0.01, (480, 20)), 8).probability for _ in range(40)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.1)


def test_trials_that_never_traded_are_no_error():
    panel = np.zeros((160, 3))
    panel[:, 0] = np.random.default_rng(0).normal(0.01, 0.01, 160)
    assert trust.overfitting(panel, 8).probability == 0.0


def autoregressive(phi: float) -> np.ndarray:
    shocks = np.random.default_rng(42).standard_normal(2000)
    series = shocks.copy()
    for at in range(1, 2000):
        series[at] += phi * series[at - 1]
    return series


@pytest.mark.parametrize(
    ("phi", "of_arch", "within"), [(0.0, 2.424290012781127, 1e-9), (0.3, 11.062, 0.07), (0.7, 23.757, 0.07)]
)
def test_block_lengths_are_those_of_arch(phi, of_arch, within):
    """From arch 8.0.0, ``optimal_block_length(series).circular``; its bandwidth begins a lag later than the paper's."""
    assert trust.block_length(autoregressive(phi)) == pytest.approx(of_arch, rel=within)


@pytest.mark.parametrize("series", [np.ones(50), np.ones(1), np.arange(3.0), np.zeros(6), np.array([0.0, 1.0])])
def test_a_block_length_there_is_always(series):
    assert trust.block_length(series) == 1.0


def test_resampled_figures_are_those_of_empyrical():
    daily = np.random.default_rng(6).normal(0.0005, 0.012, 300)
    at = trust.blocks(300, 7, 30)
    found = trust.intervals(daily, 243.0, block=7, resamples=30)
    defined = {
        "annual return": lambda own: empyrical.annual_return(own, annualization=243),
        "annual volatility": lambda own: empyrical.annual_volatility(own, annualization=243),
        "Sharpe ratio": lambda own: empyrical.sharpe_ratio(own, annualization=243),
        "maximum drawdown": empyrical.max_drawdown,
    }
    for name, figure in defined.items():
        expected = np.percentile([figure(daily[row]) for row in at], (2.5, 97.5))
        assert found[name] == pytest.approx(tuple(expected)), name


def test_blocks_are_runs_of_neighbours():
    at = trust.blocks(100, 10, 50, seed=3)
    assert at.shape == (50, 100)
    assert (np.diff(at.reshape(50, 10, 10), axis=2) % 100 == 1).all()
    assert (at == trust.blocks(100, 10, 50, seed=3)).all()


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Normal returns: 95 of 100 intervals hold the true Sharpe ratio, give or take what 200 draws leave open."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(200):
        low, high = trust.intervals(rng.normal(0.001, 0.01, 400), 243.0, block=3, resamples=200)["Sharpe ratio"]
        held += low < 0.1 * math.sqrt(243) < high
    assert 178 <= held <= 198


def test_a_longer_dependence_takes_longer_blocks():
    rng = np.random.default_rng(0)
    size = np.exp(np.repeat(rng.normal(0, 1, 40), 25))
    assert trust.suited_block(rng.normal(0, 1, 1000)) <= 6
    assert trust.suited_block(rng.normal(0, 1, 1000) * size) > 10


def test_what_moves_both_runs_cancels():
    rng = np.random.default_rng(5)
    market = rng.normal(0, 0.02, 500)
    one, other = market + rng.normal(0.0005, 0.001, 500), market + rng.normal(0, 0.001, 500)
    low, high = trust.paired_intervals(one, other, 243.0)["mean difference"]
    assert 0 < low < (one - other).mean() * 243 < high
    alone = trust.intervals(one, 243.0)["annual return"]
    assert high - low < (alone[1] - alone[0]) / 5
    assert trust.paired_intervals(one, one, 243.0)["Sharpe ratio"] == (0.0, 0.0)


def test_the_gate_names_its_conditions():
    rng = np.random.default_rng(1)
    good = rng.normal(0.0015, 0.01, 1000)
    found = trust.verdict(good)
    assert [one.name for one in found.criteria] == [
        "deflated Sharpe ratio",
        "track record",
        "probability of overfitting",
    ]
    assert [one.passed for one in found.criteria] == [True, True, None]
    assert found.passed
    assert found.criteria[1].threshold < 1000 == found.criteria[1].value
    many = trust.verdict(good, 10_000, 0.005)
    assert [one.passed for one in many.criteria] == [False, True, None]
    assert not many.passed
    noise = np.column_stack([good, rng.normal(0, 0.01, (1000, 11))])
    assert trust.verdict(good, 12, 0.001, noise).criteria[2].passed is True
    assert not trust.verdict(-good).passed
    assert not trust.verdict(np.zeros(300)).passed


def best_of_noise(seed: int, common: float) -> tuple[np.ndarray, float]:
    """Return the best of 1,000 strategies of pure noise over four years, and the variance of their Sharpe ratios.

    ``common`` is the correlation of any two of them; tails are fat, as those of stocks are.
    """
    rng = np.random.default_rng(seed)
    shared = rng.standard_t(5, (972, 1)).astype(np.float32) * math.sqrt(common * 3 / 5)
    daily = shared + rng.standard_normal((972, 1000), dtype=np.float32) * math.sqrt(1 - common)
    sharpes = daily.mean(axis=0) / daily.std(axis=0, ddof=1)
    return daily[:, sharpes.argmax()].astype(float) * 0.01, float(sharpes.var(ddof=1))


def passes(draws: int, common: float) -> int:
    """How often the best passes; without the probability of overfitting, which could only lower it."""
    found = (best_of_noise(seed, common) for seed in range(draws))
    return sum(trust.verdict(best, 1000, variance).passed for best, variance in found)


def test_in_two_hundred_draws_of_a_thousand_noises_the_best_passes_in_at_most_ten():
    assert passes(200, 0.0) <= 10
    best, _ = best_of_noise(0, 0.0)
    assert trust.verdict(best).passed  # taken for the only trial it would


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.3, 0.6, 0.9])
def test_where_the_noises_resemble_each_other_no_more_pass_than_the_confidence_allows(common):
    """The likelier they all share their luck, the nearer to one trial's own 5 % it comes."""
    assert passes(1000, common) <= 50


@pytest.mark.parametrize(("year", "sessions"), [(2013, 238), (2018, 243), (2019, 244), (2021, 243), (2024, 242)])
def test_the_year_is_the_calendar_s_own(year, sessions):
    assert stats.sessions_a_year(f"{year}-01-01", f"{year}-12-31") == sessions
