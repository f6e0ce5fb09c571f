"""Information coefficients, quantiles and turnover worked out by hand; the Newey-West error by its formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.model.ic import (
    Coefficients,
    correlation,
    evaluate,
    ic,
    mean_with_interval,
    quantile_returns,
    quantiles,
    rank_autocorrelation,
    rank_ic,
    ranks,
    turnover,
)

NAN = np.nan
UP = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def one(function, scores, returns) -> tuple[float, int]:
    (value,), (n,) = function(np.array([scores], dtype=float), np.array([returns], dtype=float))
    return value, n


@pytest.mark.parametrize(
    ("scores", "returns", "expected", "n"),
    [
        (UP, [1, 2, 3, 5, 4], 0.9, 5),  # 1 - 6 * (1 + 1) / (5 * 24)
        (UP, [5, 4, 3, 2, 1], -1.0, 5),
        ([1, 1, 2, 3, 4], UP, np.sqrt(0.95), 5),  # ranks 1.5 1.5 3 4 5: 9.5 / sqrt(9.5 * 10)
        ([NAN, *UP, 7], [9, 1, 2, 3, 5, 4, NAN], 0.9, 5),  # only names with both, ranked among themselves
        ([np.inf, *UP], [1, 1, 2, 3, 5, 4], 0.9, 5),
        (UP[:4], [1, 2, 3, 4], NAN, 4),
        ([2, 2, 2, 2, 2], UP, NAN, 5),
        (UP, [0.1] * 5, NAN, 5),
        ([], [], NAN, 0),
    ],
)
def test_rank_ic(scores, returns, expected, n):
    value, names = one(rank_ic, scores, returns)
    assert value == pytest.approx(expected, abs=1e-15, nan_ok=True)
    assert names == n


def test_ic():
    assert one(ic, UP, [0, 0, 0, 0, 10])[0] == pytest.approx(20 / np.sqrt(10 * 80), abs=1e-15)
    assert np.isnan(one(ic, [0.1] * 7, [1, 2, 3, 4, 5, 6, 7])[0])  # the mean of seven 0.1 is not 0.1


def test_the_sessions_are_apart():
    values, n = rank_ic(np.array([UP, UP, UP * NAN]), np.array([UP, -UP, UP]))
    np.testing.assert_array_equal(values, [1.0, -1.0, NAN])
    assert n.tolist() == [5, 5, 0]
    assert [part.shape for part in rank_ic(np.empty((0, 5)), np.empty((0, 5)))] == [(0,), (0,)]


def test_very_small_values_still_correlate():
    assert correlation(UP * 1e-200, UP) == pytest.approx(1.0, abs=1e-15)


def test_without_overlap_the_interval_is_the_textbook_s():
    found = mean_with_interval(np.array([1.0, 2, 3, 4, 5, 6]), 0)
    error = np.sqrt(3.5 / 6)  # sample variance 17.5 / 5
    assert found.mean == 3.5
    assert found.n == 6
    assert found.standard_error == pytest.approx(error, abs=1e-14)
    assert found.t == pytest.approx(3.5 / error, abs=1e-13)
    assert (found.low, found.high) == pytest.approx((3.5 - 2.5705818 * error, 3.5 + 2.5705818 * error), abs=1e-6)
    assert found.excludes_zero


def test_newey_west_by_hand():
    """Distances -2.5 to 2.5: squares 17.5, neighbours 8.75, of which half counts twice; times 6/5."""
    found = mean_with_interval(np.array([1.0, 2, 3, 4, 5, 6]), 1)
    assert found.standard_error == pytest.approx(np.sqrt((17.5 + 8.75) / 6 / 6 * 6 / 5), abs=1e-14)


@pytest.mark.parametrize("lag", [4, 19])
def test_newey_west_by_its_formula(lag):
    rng = np.random.default_rng(0)
    series = np.convolve(rng.normal(size=400), np.ones(lag + 1), "valid") / (lag + 1)
    n, away = len(series), series - series.mean()
    covariance = [away[k:] @ away[: n - k] / n for k in range(lag + 1)]
    variance = covariance[0] + 2 * sum((1 - k / (lag + 1)) * covariance[k] for k in range(1, lag + 1))
    found = mean_with_interval(series, lag)
    assert found.standard_error == pytest.approx(np.sqrt(variance / (n - 1)), rel=1e-12)
    assert found.standard_error > 1.5 * series.std() / np.sqrt(n)  # overlap is no independent evidence
    gaps = np.insert(series, [0, 100, n], NAN)
    assert mean_with_interval(gaps, lag) == found


@pytest.mark.parametrize(
    ("series", "lag", "mean", "error", "n"),
    [
        ([], 0, NAN, NAN, 0),
        ([NAN], 0, NAN, NAN, 0),
        ([3.0], 0, 3.0, NAN, 1),
        ([1.0, 2.0, 3.0], 1, 2.0, NAN, 3),  # two windows of two sessions would be four
        ([0.5] * 4, 1, 0.5, 0.0, 4),
    ],
)
def test_a_series_too_short_has_no_interval(series, lag, mean, error, n):
    found = mean_with_interval(np.array(series), lag)
    assert (found.mean, found.standard_error) == pytest.approx((mean, error), nan_ok=True)
    assert found.n == n
    assert np.isnan(found.t)
    assert found.excludes_zero == (error == 0)


def test_an_interval_around_zero_excludes_nothing():
    assert not mean_with_interval(np.array([-1.0, 1.0, -1.0, 1.2]), 0).excludes_zero
    assert mean_with_interval(np.array([-1.0, -1.1, -1.0, -1.2]), 0).excludes_zero


@pytest.mark.parametrize(
    ("scores", "count", "expected"),
    [
        (range(10), 5, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        (range(0, -10, -1), 5, [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]),
        (range(11), 5, [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),  # percentiles end on the values 2, 4, 6, 8, 10
        (range(5), 2, [1, 1, 1, 2, 2]),
        ([NAN, 1, 2, 3, 4, NAN, 5], 5, [0, 1, 2, 3, 4, 0, 5]),
        ([1, 1, 1, 1, 2, 3], 3, [1, 1, 1, 1, 3, 3]),  # ends on 1 and 1.67: nobody is left for the second
        ([7] * 6, 3, [0] * 6),
        ([1, 2, 3, 4], 2, [0] * 4),
        (range(5), 6, [0] * 5),
    ],
)
def test_quantiles(scores, count, expected):
    assert quantiles(np.array([list(scores)], dtype=float), count).tolist() == [expected]


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_quantiles_are_those_of_pandas(count):
    rng = np.random.default_rng(count)
    scores = np.round(rng.normal(size=(200, 83)), 2)  # with ties
    scores[rng.random(scores.shape) < 0.1] = NAN
    found = quantiles(scores, count)
    for row, expected in zip(found, scores, strict=True):
        if (np.isfinite(expected).sum() - 1) % count == 0:
            continue  # a quantile ends right on a value, which pandas' own edge misses by a rounding error
        labels = pd.qcut(pd.Series(expected), count, labels=False)
        np.testing.assert_array_equal(row, labels.fillna(-1).astype(int) + 1)


def test_mean_returns_of_the_quantiles():
    groups = np.array([[1, 1, 2, 2, 0], [1, 1, 0, 0, 0], [0] * 5])
    returns = np.array([[1.0, 3.0, 5.0, NAN, 100.0], [1.0, 2.0, 9.0, 9.0, 9.0], [1.0] * 5])
    np.testing.assert_array_equal(quantile_returns(groups, returns, 2), [[2.0, 5.0], [1.5, NAN], [NAN, NAN]])


def test_turnover_counts_who_is_new():
    groups = np.array([[2, 2, 2, 2, 1], [2, 2, 2, 1, 2], [2, 1, 1, 1, 2], [0] * 5, [2, 2, 2, 2, 1], [2, 2, 2, 2, 1]])
    np.testing.assert_array_equal(turnover(groups, 2), [NAN, 0.25, 0.0, NAN, NAN, 0.0])
    np.testing.assert_array_equal(turnover(groups, 1), [NAN, 1.0, 2 / 3, NAN, NAN, 0.0])
    assert turnover(groups[:0], 2).shape == (0,)


def test_ranks_and_their_autocorrelation():
    scores = np.array([[1.0, 1, 2, 3, 4, NAN], [10, 10, 20, 30, 40, 0], [5, 4, 3, 2, 1, 0], [1, 1, 2, 3, 4, NAN]])
    ranked = ranks(scores)
    np.testing.assert_array_equal(ranked[:2], [[1.5, 1.5, 3, 4, 5, NAN], [2.5, 2.5, 4, 5, 6, 1]])
    found = rank_autocorrelation(ranked, 1)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1.0, abs=1e-15)  # over the five names ranked on both
    assert found[3] == pytest.approx(-np.sqrt(0.95), abs=1e-15)
    np.testing.assert_allclose(rank_autocorrelation(ranked, 3), [NAN, NAN, NAN, 1.0], atol=1e-15)
    assert np.isnan(rank_autocorrelation(ranked, 9)).all()


def test_a_summary_by_hand():
    """Rank ICs 1, 1, -1, 1 over one session: mean a half, sample deviation 1, error a half."""
    returns = np.array([UP, UP, UP[::-1], UP, UP * NAN])
    found = evaluate(np.tile(UP, (5, 1)), {1: returns}, 1, 5)
    told = found.summary()
    (coefficients,) = told["coefficients"]
    assert coefficients["horizon"] == 1
    assert coefficients["ic"] == pytest.approx({"mean": 0.5, "sd": 1.0, "icir": 0.5})
    rank = coefficients["rank_ic"]
    assert (rank["mean"], rank["sd"], rank["icir"], rank["standard_error"], rank["t"]) == pytest.approx(
        (0.5, 1, 0.5, 0.5, 1)
    )
    assert rank["n"] == 4
    assert not rank["excludes_zero"]
    assert told["quantiles"]["returns"] == pytest.approx([2.0, 2.5, 3.0, 3.5, 4.0])
    assert told["quantiles"]["spread"]["mean"] == pytest.approx(2.0)
    assert told["quantiles"]["turnover_top"] == 0.0
    assert told["quantiles"]["rank_autocorrelation"] == pytest.approx({"1": 1.0})
    assert found.coefficients[1].n.tolist() == [5, 5, 5, 5, 0]


def test_nothing_has_a_summary_too():
    nothing = np.full((3, 6), NAN)
    told = evaluate(nothing, {2: nothing}, 2, 5).summary()
    assert told["coefficients"][0]["rank_ic"]["n"] == 0
    assert np.isnan(told["coefficients"][0]["ic"]["mean"])
    assert np.isnan(told["quantiles"]["returns"]).all()


def test_the_lag_of_an_interval_is_the_overlap():
    rng = np.random.default_rng(1)
    daily = rng.normal(size=100)
    told = Coefficients(5, np.full(100, 9), daily, daily).summary()["rank_ic"]
    assert told["standard_error"] == mean_with_interval(daily, 4).standard_error
    assert told["standard_error"] != mean_with_interval(daily, 3).standard_error
