"""The figures of a run: what empyrical defines comes from empyrical, annualised by the exchange's own year."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import empyrical
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from engine import calendar
from engine.types import Side

Floats = npt.NDArray[np.float64]

EXPECTED = {
    "annual return": 0.285,
    "annual volatility": 0.182,
    "Sharpe ratio": 1.57,
    "maximum drawdown": -0.128,
    "win rate": 0.58,
}
"""What the strategy's design expects of 2018 to 2024 (SPEC 12); printed beside what was measured."""
EXPECTED_PERIOD = "2018 to 2024"

RESAMPLES, BLOCK = 1000, 20
"""Of the bootstrap: how many, and of blocks of how many sessions (one label horizon)."""


@dataclass(frozen=True)
class RoundTrip:
    """A holding from the first share to the last.

    Attributes
    ----------
    ts_code : str
        The code in use today.
    opened, closed : date
        Sessions of the first buy and of the end.
    profit : float
        CNY, all fees paid; dividends, which the orders do not show, left out.
    """

    ts_code: str
    opened: object
    closed: object
    profit: float


def returns(net_values: Floats, capital: float, flows: Floats | float = 0.0) -> Floats:
    """Return the daily returns, the first one against the starting capital.

    Parameters
    ----------
    net_values : array, (sessions,)
        At each close, CNY.
    capital : float
        At the start, CNY.
    flows : array, (sessions,), or float
        Capital put in before each session's open, which is no return.
    """
    before = np.concatenate([[capital], net_values[:-1]]) + flows
    return net_values / before - 1.0


def sessions_a_year(first: object, last: object) -> float:
    """Return the mean number of sessions in the calendar years a period touches."""
    start, end = pd.Timestamp(str(first)), pd.Timestamp(str(last))
    days = calendar.sessions()
    inside = (days >= np.datetime64(f"{start.year}-01-01")) & (days <= np.datetime64(f"{end.year}-12-31"))
    return float(inside.sum()) / (end.year - start.year + 1)


def figures(daily: Floats, benchmark: Floats, year: float) -> dict[str, float]:
    """Return the figures of a series of daily returns.

    Parameters
    ----------
    daily, benchmark : array, (sessions,)
        Returns.
    year : float
        Sessions a year.
    """
    with np.errstate(all="ignore"):
        return {
            "total return": float(empyrical.cum_returns_final(daily)),
            "annual return": float(empyrical.annual_return(daily, annualization=year)),
            "annual volatility": float(empyrical.annual_volatility(daily, annualization=year)),
            "Sharpe ratio": float(empyrical.sharpe_ratio(daily, annualization=year)),
            "Sortino ratio": float(empyrical.sortino_ratio(daily, annualization=year)),
            "maximum drawdown": float(empyrical.max_drawdown(daily)),
            "beta": float(empyrical.beta(daily, benchmark)),
            "share of winning sessions": float((daily > 0).mean()),
        }


def interval(daily: Floats, statistic: Callable[[Floats], float], seed: int = 0) -> tuple[float, float]:
    """Return a 95 % interval of a statistic by a circular block bootstrap of the daily returns.

    Blocks keep the dependence of neighbouring sessions; the seed makes the interval reproducible.
    """
    n, rng = len(daily), np.random.default_rng(seed)
    blocks = -(-n // BLOCK)
    starts = rng.integers(0, n, (RESAMPLES, blocks))
    at = (starts[:, :, None] + np.arange(BLOCK)).reshape(RESAMPLES, -1)[:, :n] % n
    with np.errstate(all="ignore"):
        values = np.array([statistic(daily[picked]) for picked in at])
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def round_trips(
    orders: pl.DataFrame,
    positions: pl.DataFrame,
    sessions: Iterable[object],
    renamed: Mapping[str, str] | None = None,
) -> list[RoundTrip]:
    """Return the holdings that were closed.

    Parameters
    ----------
    orders, positions : DataFrame
        Of the run folder.
    sessions : iterable of date
        Of the run; a holding that is still there after the last one is not counted.
    renamed : mapping of str to str, optional
        From an earlier code to today's: a code change ends no holding.
    """
    days = list(sessions)
    today = pl.col("ts_code").replace(renamed or {})
    orders, positions = orders.with_columns(today), positions.with_columns(today)
    held = {(session, code) for session, code in positions.select("session", "ts_code").iter_rows()}
    fills = orders.filter(pl.col("filled") > 0).sort("session", maintain_order=True)
    trips = []
    for (code,), group in fills.group_by("ts_code", maintain_order=True):
        opened, cash = None, 0.0
        for session, rows in group.group_by("session", maintain_order=True):
            opened = opened or session[0]
            cash += sum(_cash_of(row) for row in rows.iter_rows(named=True))
            if (session[0], code) not in held:
                trips.append(RoundTrip(str(code), opened, session[0], cash))
                opened, cash = None, 0.0
        if opened is not None and (days[-1], code) not in held:  # written down after its delisting
            trips.append(RoundTrip(str(code), opened, days[-1], cash))
    return trips


def _cash_of(order: dict[str, object]) -> float:
    fees = float(order["commission"]) + float(order["stamp_duty"]) + float(order["transfer_fee"])  # type: ignore[arg-type]
    value = float(order["filled"]) * float(order["price"])  # type: ignore[arg-type]
    return (value if order["side"] == str(Side.SELL) else -value) - fees


def win_rate(trips: list[RoundTrip]) -> float:
    """Return the share of round trips with a net profit, NaN without any."""
    return sum(trip.profit > 0 for trip in trips) / len(trips) if trips else float("nan")


def monthly(sessions: pl.Series, daily: Floats) -> dict[int, dict[int, float]]:
    """Return compounded returns by year and month; month 0 is the whole year."""
    frame = pl.DataFrame({"session": sessions, "growth": daily + 1.0})
    by_month = frame.group_by(pl.col("session").dt.year().alias("y"), pl.col("session").dt.month().alias("m")).agg(
        pl.col("growth").product()
    )
    table: dict[int, dict[int, float]] = {}
    for year, month, growth in by_month.sort("y", "m").iter_rows():
        row = table.setdefault(year, {0: 0.0})
        row[month] = growth - 1.0
        row[0] = (1.0 + row[0]) * growth - 1.0
    return table


def drawdown(daily: Floats) -> Floats:
    """Return net value against its running maximum, the starting capital included."""
    growth = np.concatenate([[1.0], np.cumprod(1.0 + daily)])
    return (growth / np.maximum.accumulate(growth) - 1.0)[1:]


def traded_value(orders: pl.DataFrame) -> float:
    """Return the value of all fills, CNY."""
    return float((orders["filled"] * orders["price"]).fill_nan(0.0).sum())
