"""Drawdowns with dates and ratios that roll, held against quantstats and empyrical."""

from __future__ import annotations

import datetime as dt

import empyrical
import numpy as np
import pandas as pd
import pytest

from engine.report.falls import Fall, falls, rolling

DAYS = [dt.date(2018, 1, 1) + dt.timedelta(days=at) for at in range(400)]


@pytest.mark.parametrize(
    ("daily", "expected"),
    [
        ([0.1, 0.1], []),
        ([-0.1, 0.0], [Fall(None, DAYS[0], None, -0.1, 2)]),
        ([-0.5, 1.0, -0.2], [Fall(None, DAYS[0], DAYS[1], -0.5, 2), Fall(DAYS[1], DAYS[2], None, -0.2, 1)]),
        (
            [0.1, -0.1, -0.1, 0.5, -0.3, 0.5],
            [Fall(DAYS[3], DAYS[4], DAYS[5], -0.3, 2), Fall(DAYS[0], DAYS[2], DAYS[3], -0.19, 3)],
        ),
    ],
)
def test_falls_begin_at_a_peak_and_end_where_it_is_reached_again(daily, expected):
    found = falls(DAYS[: len(daily)], np.array(daily))
    assert [vars(one) | {"depth": pytest.approx(one.depth)} for one in expected] == [vars(one) for one in found]


@pytest.mark.parametrize("seed", range(5))
def test_quantstats_finds_the_same(seed):
    import quantstats.stats as qs

    daily = np.random.default_rng(seed).normal(0.0005, 0.02, 400)
    daily[0] = 0.01  # theirs has no peak before the first session
    series = pd.Series(daily, index=pd.DatetimeIndex(DAYS))
    theirs = qs.drawdown_details(qs.to_drawdown_series(series)).sort_values("max drawdown").head(5)
    found = falls(DAYS, daily)
    assert [one.depth * 100 for one in found] == pytest.approx(theirs["max drawdown"].tolist(), abs=0.01)
    assert [str(one.trough) for one in found] == [str(day)[:10] for day in theirs["valley"]]


@pytest.mark.parametrize("window", [2, 20, 120])
def test_empyrical_rolls_the_same(window):
    rng = np.random.default_rng(1)
    daily, index = rng.normal(0, 0.01, (2, 300))
    sharpe, beta = rolling(daily, index, 243.0, window)
    at = pd.DatetimeIndex(DAYS[:300])
    own, benchmark = pd.Series(daily, at), pd.Series(index, at)
    assert np.isnan(sharpe[: window - 1]).all()
    assert np.isnan(beta[: window - 1]).all()
    theirs = empyrical.roll_sharpe_ratio(own, window, annualization=243)
    np.testing.assert_allclose(sharpe[window - 1 :], theirs, rtol=1e-9)
    np.testing.assert_allclose(beta[window - 1 :], empyrical.roll_beta(own, benchmark, window), rtol=1e-9)


def test_a_run_shorter_than_the_window_has_no_rolling_ratio():
    sharpe, beta = rolling(np.zeros(5), np.zeros(5), 243.0, 6)
    assert np.isnan(sharpe).all()
    assert np.isnan(beta).all()
