"""What holds of information coefficients and quantiles whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from engine.model.ic import ic, mean_with_interval, quantiles, rank_ic

VALUE = st.one_of(st.integers(-20, 20).map(float), st.just(np.nan))
PANEL = st.tuples(st.integers(0, 4), st.integers(0, 30)).flatmap(
    lambda shape: st.tuples(arrays(float, shape, elements=VALUE), arrays(float, shape, elements=VALUE))
)


def same(left, right) -> None:
    np.testing.assert_allclose(left, right, atol=1e-12)


@given(PANEL)
def test_the_rank_ic_sees_only_the_order(panels):
    scores, returns = panels
    found = rank_ic(scores, returns)[0]
    same(rank_ic(scores**3 + scores, np.exp(returns / 5))[0], found)
    same(rank_ic(-scores, returns)[0], -found)
    same(rank_ic(returns, scores)[0], found)


@given(PANEL, st.floats(0.01, 100), st.floats(-100, 100))
def test_the_ic_sees_no_scale(panels, factor, shift):
    scores, returns = panels
    found, n = ic(scores, returns)
    same(ic(scores * factor + shift, returns)[0], found)
    assert (np.abs(found[~np.isnan(found)]) <= 1).all()
    assert (n == (~np.isnan(scores) & ~np.isnan(returns)).sum(axis=1)).all()


@given(PANEL)
def test_the_rank_ic_is_scipy_s(panels):
    scores, returns = panels
    for found, x, y in zip(rank_ic(scores, returns)[0], scores, returns, strict=True):
        both = ~np.isnan(x) & ~np.isnan(y)
        if both.sum() >= 5 and len(set(x[both])) > 1 and len(set(y[both])) > 1:
            assert found == pytest.approx(spearmanr(x[both], y[both]).statistic, abs=1e-12)
        else:
            assert np.isnan(found)


@given(PANEL, st.integers(2, 12))
def test_quantiles_follow_the_order_and_are_of_equal_count(panels, count):
    scores, _ = panels
    for x, groups in zip(scores, quantiles(scores, count), strict=True):
        assert (groups[np.isnan(x)] == 0).all()
        placed = groups > 0
        order = np.argsort(x[placed], kind="stable")
        assert (np.diff(groups[placed][order]) >= 0).all()
        assert all(len(set(groups[x == value])) == 1 for value in x[placed])
        if placed.any() and len(set(x[placed])) == placed.sum():
            sizes = np.bincount(groups[placed], minlength=count + 1)[1:]
            assert sizes.max() - sizes.min() <= 1


@given(arrays(float, st.integers(0, 40), elements=st.integers(-99, 99).map(float)), st.integers(0, 8))
def test_an_interval_holds_its_mean(series, lag):
    found = mean_with_interval(series, lag)
    assert found.n == len(series)
    if not np.isnan(found.low):
        assert found.low <= found.mean <= found.high
    else:
        assert len(series) < 2 * (lag + 1)
