"""The figures of a run: what empyrical defines comes from empyrical, annualised by the exchange's own year."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

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
        CNY: fills, fees, dividends, their tax, rights, and what a delisting left.
    invested : float
        CNY that went in: buys with their fees, and rights.
    """

    ts_code: str
    opened: dt.date
    closed: dt.date
    profit: float
    invested: float = 0.0


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


def round_trips(
    orders: pl.DataFrame,
    positions: pl.DataFrame,
    actions: pl.DataFrame,
    renamed: Mapping[str, str] | None = None,
) -> list[RoundTrip]:
    """Return the holdings that were closed, with all the cash they cost and brought.

    Parameters
    ----------
    orders, positions, actions : DataFrame
        Of the run folder. A holding that is still there at the end is not counted.
    renamed : mapping of str to str, optional
        From an earlier code to today's: a code change ends no holding.
    """
    names = renamed or {}
    held = {(session, names.get(code, code)) for session, code in positions.select("session", "ts_code").iter_rows()}
    trips: list[RoundTrip] = []
    open_trips: dict[str, RoundTrip] = {}
    for session, entries in _cash_by_session(orders, actions, names):
        absorbed = ""
        for code, kind, cash in entries:
            if kind == "absorbed":  # the entry before it is the stock that was absorbed: its trip goes on
                open_trips[code] = _joined(open_trips.pop(absorbed, None), open_trips.get(code), code, session)
            elif code in open_trips or kind in _OPENING:
                trip = open_trips.get(code) or RoundTrip(code, session, session, 0.0)
                put_in = -cash if kind in _OPENING else 0.0
                open_trips[code] = replace(trip, profit=trip.profit + cash, invested=trip.invested + put_in)
            else:
                _add_late(trips, code, cash)
            absorbed = code
        closed = [code for code in dict.fromkeys(code for code, *_ in entries) if (session, code) not in held]
        trips += [replace(open_trips.pop(code), closed=session) for code in closed if code in open_trips]
    return trips


_OPENING = {"buy", "rights"}


def _cash_by_session(
    orders: pl.DataFrame, actions: pl.DataFrame, names: Mapping[str, str]
) -> Iterator[tuple[dt.date, list[tuple[str, str, float]]]]:
    """Yield each session with its entries in order: code of today, side or kind, cash in CNY."""
    by_session: dict[dt.date, list[tuple[str, str, float]]] = defaultdict(list)
    filled = orders.filter(pl.col("filled") > 0).iter_rows(named=True)
    for row in filled:
        by_session[row["session"]].append((row["ts_code"], row["side"], _cash_of(row)))
    for session, code, kind, cash in actions.select("session", "ts_code", "kind", "cash").iter_rows():
        by_session[session].append((code, kind, cash))
    for session in sorted(by_session):
        yield session, [(names.get(code, code), kind, cash) for code, kind, cash in by_session[session]]


def _joined(absorbed: RoundTrip | None, successor: RoundTrip | None, code: str, session: dt.date) -> RoundTrip:
    """Return one trip of an absorbed holding and what was held of its successor."""
    parts = [trip for trip in (absorbed, successor) if trip is not None]
    opened = min((trip.opened for trip in parts), default=session)
    profit, invested = (sum(getattr(trip, name) for trip in parts) for name in ("profit", "invested"))
    return RoundTrip(code, opened, session, profit, invested)


def _add_late(trips: list[RoundTrip], code: str, cash: float) -> None:
    """Add a dividend that was paid after the holding was closed to the trip that earned it."""
    for at in range(len(trips) - 1, -1, -1):
        if trips[at].ts_code == code:
            trips[at] = replace(trips[at], profit=trips[at].profit + cash)
            return


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
