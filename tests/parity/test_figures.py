"""The figures of a run beside the libraries that define them."""

from __future__ import annotations

import empyrical
import numpy as np
import pandas as pd
import polars as pl
import pytest

from engine.calendar import sessions
from engine.report import statistics as stats
from engine.report import trades, trust
from tests.unit.test_trades import A, B, actions, order, orders, perf, positions

YEAR = 243.0


@pytest.fixture(scope="module")
def daily() -> pd.Series:
    """Four years of fat-tailed returns on the exchange's own sessions."""
    days = sessions()
    days = days[(days >= np.datetime64("2018-01-02")) & (days <= np.datetime64("2021-12-31"))]
    moves = np.random.default_rng(8).standard_t(4, len(days)) * 0.009 + 0.0006
    return pd.Series(moves, index=pd.DatetimeIndex(days))


def test_figures_are_empyrical_s(daily):
    index = daily * 0.4 + np.random.default_rng(9).normal(0, 0.01, len(daily))
    found = stats.figures(daily.to_numpy(), index.to_numpy(), YEAR)
    defined = {
        "total return": empyrical.cum_returns_final(daily),
        "annual return": empyrical.annual_return(daily, annualization=YEAR),
        "annual volatility": empyrical.annual_volatility(daily, annualization=YEAR),
        "Sharpe ratio": empyrical.sharpe_ratio(daily, annualization=YEAR),
        "Sortino ratio": empyrical.sortino_ratio(daily, annualization=YEAR),
        "maximum drawdown": empyrical.max_drawdown(daily),
        "beta": empyrical.beta(daily, index),
    }
    for name, value in defined.items():
        assert found[name] == pytest.approx(float(value), rel=1e-12), name


def test_months_are_empyrical_s(daily):
    table = stats.monthly(pl.Series(daily.index.date.tolist(), dtype=pl.Date), daily.to_numpy())
    for (year, month), value in empyrical.aggregate_returns(daily, "monthly").items():
        assert table[year][month] == pytest.approx(value)
    for year, value in empyrical.aggregate_returns(daily, "yearly").items():
        assert table[year][0] == pytest.approx(value)


@pytest.fixture(scope="module")
def quantstats():
    """Return quantstats' statistics; the development environment has it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("quantstats.stats")


@pytest.mark.filterwarnings("ignore")
def test_figures_are_quantstats(quantstats, daily):
    found = stats.figures(daily.to_numpy(), daily.to_numpy(), YEAR)
    defined = {
        "total return": quantstats.comp(daily),
        "annual return": quantstats.cagr(daily, periods=YEAR),
        "annual volatility": quantstats.volatility(daily, periods=YEAR),
        "Sharpe ratio": quantstats.sharpe(daily, periods=YEAR),
        "Sortino ratio": quantstats.sortino(daily, periods=YEAR),
        "maximum drawdown": quantstats.max_drawdown(daily),
    }
    for name, value in defined.items():
        assert found[name] == pytest.approx(float(value), rel=1e-9), name
    np.testing.assert_allclose(quantstats.to_drawdown_series(daily), stats.drawdown(daily.to_numpy()), atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_the_probabilistic_sharpe_ratio_is_quantstats_but_for_its_moments(quantstats, daily):
    """quantstats takes pandas' moments, which are corrected for the size of the sample."""
    at = trust.moments(daily.to_numpy())
    as_theirs = trust.probabilistic_sharpe(at.sharpe, 0.0, at.n, daily.skew(), daily.kurtosis() + 3)
    theirs = float(quantstats.probabilistic_sharpe_ratio(daily, periods=YEAR))
    assert theirs == pytest.approx(as_theirs, abs=1e-9)
    ours = trust.probabilistic_sharpe(at.sharpe, 0.0, at.n, at.skew, at.kurtosis)
    assert ours == pytest.approx(theirs, abs=0.001)


def test_the_growth_of_files_for_pyfolio_is_the_net_value(daily):
    """empyrical, which pyfolio is built on, takes stamps with a zone."""
    stamped = daily.tz_localize("UTC")
    assert empyrical.cum_returns(stamped).iloc[-1] == pytest.approx(stats.figures(daily, daily, YEAR)["total return"])


def test_round_trips_lose_nothing_against_a_plain_sum():
    """All is sold at the end: the profits of the trips are the cash that was left."""
    rng = np.random.default_rng(1)
    rows, held, cash = [], {A: 0, B: 0}, {A: 0.0, B: 0.0}
    kept = []
    for at in range(5):
        for code in (A, B):
            shares = int(rng.integers(1, 5)) * 100 if at < 4 and not held[code] else -held[code]
            price = float(rng.integers(900, 1100)) / 100
            if shares:
                rows.append(order(at, code, "buy" if shares > 0 else "sell", abs(shares), price, 5.0))
                cash[code] -= shares * price + 5.0
                held[code] += shares
            if held[code]:
                kept.append((at, code, held[code], price))
    trips = stats.round_trips(orders(*rows), positions(*kept), actions())
    assert not any(held.values())
    assert sum(trip.profit for trip in trips) == pytest.approx(sum(cash.values()))
    frame = trades.trips_frame(trips, perf([1e5] * 5))
    assert len(trips) >= 3
    assert stats.win_rate(trips) == pytest.approx(trades.trip_summary(frame)["win_rate"].item())
