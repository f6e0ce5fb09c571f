"""The arithmetic of the factors against plain references, and its independence of the chunk it is computed in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.pipeline import kernels

RNG = np.random.default_rng(5)
PRICES = 20 * np.exp(np.cumsum(RNG.normal(0, 0.02, (120, 7)), axis=0))
PRICES[:30, 2] = np.nan


def test_momentum_is_a_ratio_of_two_sessions():
    expected = pd.DataFrame(PRICES).pct_change(20, fill_method=None).to_numpy()[20:]
    np.testing.assert_allclose(kernels.momentum(PRICES, 20), expected, rtol=1e-12)


def test_bollinger_against_pandas():
    frame = pd.DataFrame(PRICES)
    mean, sd = frame.rolling(20).mean(), frame.rolling(20).std(ddof=0)
    width, position = kernels.bollinger(PRICES, 20, 2.0)
    np.testing.assert_allclose(width, (4 * sd / mean).to_numpy()[19:], rtol=1e-9)
    np.testing.assert_allclose(position, ((frame - (mean - 2 * sd)) / (4 * sd)).to_numpy()[19:], rtol=1e-9)


def test_the_deviation_does_not_drift_on_a_nearly_constant_window():
    """A running sum would lose these digits; two passes do not."""
    prices = np.full((60, 1), 1e6)
    prices[40:] += np.linspace(0, 1e-3, 20)[:, None]
    _, sd = kernels.rolling_mean_sd(prices, 20)
    exact = np.linspace(0, 1e-3, 20).std()
    assert sd[-1, 0] == pytest.approx(exact, rel=1e-4)


def test_equal_prices_have_no_band_and_nearly_equal_ones_have():
    prices = np.full((20, 2), 10.0)
    prices[3, 1] = 10.01
    width, position = kernels.bollinger(prices, 20, 2.0)
    assert np.isnan(width[0, 0])
    assert np.isnan(position[0, 0])
    assert width[0, 1] > 0


@pytest.mark.parametrize(
    "kernel",
    [
        lambda p: kernels.momentum(p, 20),
        lambda p: kernels.bollinger(p, 20, 2.0)[0],
        lambda p: kernels.bollinger(p, 20, 2.0)[1],
    ],
)
def test_more_history_and_longer_chunks_change_no_bit(kernel):
    whole = kernel(PRICES)
    for start, end in ((0, 50), (30, 80), (55, 120)):
        part = kernel(PRICES[start:end])
        assert part.tobytes() == whole[start : start + len(part)].tobytes()


def naive_standardise(values, members, tail):
    out = np.full(values.shape, np.nan)
    for row in range(len(values)):
        x = pd.Series(values[row][members[row]])
        low, high = x.quantile(tail), x.quantile(1 - tail)
        clipped = x.clip(low, high)
        z = (clipped - clipped.mean()) / clipped.std(ddof=0)
        out[row][members[row]] = z.fillna(0.0)
    return out


@pytest.mark.parametrize("tail", [0.0, 0.01, 0.1])
def test_standardise_against_pandas(tail):
    values = RNG.normal(size=(6, 300)) ** 3
    values[RNG.random(values.shape) < 0.1] = np.nan
    members = RNG.random(values.shape) < 0.7
    np.testing.assert_allclose(
        kernels.standardise(values, members, tail), naive_standardise(values, members, tail), atol=1e-12
    )


def test_standardise_without_values_or_without_spread_gives_zero():
    values = np.array([[1.0, 1.0, np.nan], [np.nan, np.nan, np.nan]])
    members = np.array([[True, True, True], [True, True, False]])
    np.testing.assert_array_equal(kernels.standardise(values, members, 0.01), [[0, 0, 0], [0, 0, np.nan]])
