"""The demo market's bars, session by session: a market, companies with betas, limits, suspensions, dividends.

The planted alpha: the expected return of session t+1 is higher by ``alpha`` for each standard deviation of a
signal known after the close of t, the z-score of ``0.8 z(return on equity) - 0.6 z(20-session return)``.
With ``alpha`` 0 the same draws make a market in which nothing can be predicted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bundles.demo.companies import Company
from engine.market.boards import exchange_of
from engine.market.limits import NO_LIMIT, Session, limit_percent, limit_prices, session_limits, tick_floor
from engine.types import Standing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

QUALITY_WEIGHT, REVERSAL_WEIGHT, REVERSAL_SESSIONS = 0.8, -0.6, 20
_PRICES = ("open", "high", "low", "close", "pre_close", "up", "down")
_FIRST_SESSIONS = 5
"""No board treats more sessions than these after a listing in a way of their own."""


@dataclass(frozen=True)
class Dividend:
    """A plan as it goes ex, amounts a share."""

    company: int
    row: int
    cash: float
    shares: float


@dataclass
class Tape:
    """What happened: (sessions, companies) arrays, prices in fen, 0 where there is no bar.

    Attributes
    ----------
    carried : array of float64
        Last price so far times its factor, CNY-like.
    signal : array of float64
        The planted signal after the close, NaN where it is not defined.
    index : array of float64, (sessions, 2)
        Open and close of the index, points.
    """

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    pre_close: Ints
    up: Ints
    down: Ints
    adj_factor: Floats
    turnover: Floats
    shares: Floats
    carried: Floats
    signal: Floats
    index: Floats
    suspended: Bools
    dividends: list[Dividend]


def tape(
    who: Sequence[Company], days: npt.NDArray[np.datetime64], roe: Floats, alpha: float, rng: np.random.Generator
) -> Tape:
    """Draw the market.

    Parameters
    ----------
    who : sequence of Company
        Who is listed when.
    days : array of datetime64[D]
        The sessions.
    roe : array, (sessions, companies)
        Return on equity known after each close.
    alpha : float
        Expected return of a session for one standard deviation of the signal.
    rng : Generator
        All chance comes from it; the number of draws does not depend on ``alpha``.
    """
    t, n = len(days), len(who)
    market = 0.0002 + 0.011 * rng.standard_t(5, t) / np.sqrt(5 / 3)
    beta, idiosyncratic = rng.uniform(0.7, 1.3, n), rng.uniform(0.014, 0.026, n)
    noise = rng.standard_t(4, (t, n)) / np.sqrt(2) * idiosyncratic
    at_open, beyond = rng.normal(0, 0.004, (t, n)), np.abs(rng.normal(0, 0.006, (2, t, n)))
    turnover = np.exp(rng.normal(np.log(1.9), 0.6, (t, n)))
    result = _empty(t, n)
    result.suspended = _suspensions(who, t, rng)
    plans = _plans(who, days, result.suspended, rng)
    price = np.rint(np.exp(rng.normal(np.log(14), 0.5, n)) * 100).astype(np.int64)
    shares = np.exp(rng.normal(np.log(9e8), 0.5, n))
    factor, pending = np.ones(n), np.zeros(n)
    percent, floor = _rules(who, days)
    special = _special(who, days, result.suspended)
    for row in range(t):
        trades = _trades(who, row) & ~result.suspended[row]
        reference, factor, shares = _go_ex(plans.get(row, []), price, factor, shares, result)
        drift = alpha * np.nan_to_num(result.signal[row - 1]) if row else np.zeros(n)
        move = beta * market[row] + noise[row] + drift + pending
        up, down = limit_prices(reference, percent[row], floor[row])
        for i, session in special.get(row, []):
            at = int(reference[i])
            up[i], down[i] = session_limits(replace(session, pre_close=at, issue_price=at))
        free = up == NO_LIMIT
        up, down = np.where(free, 10**9, up), np.where(free, 1, down)
        wanted = reference * (1 + np.maximum(move, -0.5))
        close = np.clip(np.rint(wanted).astype(np.int64), down, up)
        start = reference * (1 + pending + 0.3 * beta * market[row] + at_open[row])
        opened = np.clip(np.rint(start).astype(np.int64), down, up)
        high = np.minimum(np.rint(np.maximum(opened, close) * (1 + beyond[0, row])).astype(np.int64), up)
        low = np.maximum(np.rint(np.minimum(opened, close) * (1 - beyond[1, row])).astype(np.int64), down)
        left_over = np.clip(wanted / reference - close / reference, -0.15, 0.15)
        pending = np.where(trades, 0.7 * np.where(np.abs(left_over) > 0.003, left_over, 0.0), pending)
        for name, values in (
            ("open", opened),
            ("high", high),
            ("low", low),
            ("close", close),
            ("pre_close", reference),
        ):
            getattr(result, name)[row] = np.where(trades, values, 0)
        result.up[row], result.down[row] = np.where(trades & ~free, up, 0), np.where(trades & ~free, down, 0)
        result.turnover[row] = turnover[row] * (1 + 8 * np.abs(move))
        price = np.where(trades, close, reference)
        result.adj_factor[row], result.shares[row], result.carried[row] = factor, shares, price / 100 * factor
        result.signal[row] = _signal(result.carried, row, roe[row], _trades(who, row))
    result.index = _index(market, at_open.mean(axis=1))
    return result


def _empty(t: int, n: int) -> Tape:
    panels: dict[str, Any] = {name: np.zeros((t, n), dtype=np.int64) for name in _PRICES}
    panels |= {name: np.full((t, n), np.nan) for name in ("adj_factor", "turnover", "shares", "carried", "signal")}
    return Tape(
        **panels,
        index=np.zeros((t, 2)),
        suspended=np.zeros((t, n), dtype=bool),
        dividends=[],
    )


def _trades(who: Sequence[Company], row: int) -> Bools:
    return np.array([company.list_row <= row < company.gone_row for company in who])


def _special(
    who: Sequence[Company], days: npt.NDArray[np.datetime64], suspended: Bools
) -> dict[int, list[tuple[int, Session]]]:
    """Return, by row, the companies in their first sessions or in a delisting period, with what their rule asks."""
    found: dict[int, list[tuple[int, Session]]] = {}
    for i, company in enumerate(who):
        if company.list_row:
            listed = _date(days, company.list_row)
            for count in range(1, _FIRST_SESSIONS + 1):
                row = company.list_row + count - 1
                session = replace(_session(company, days, row), listed=listed, since_listing=count)
                found.setdefault(row, []).append((i, session))
        rows = [row for row in range(company.delisting_row, min(company.gone_row, len(days))) if not suspended[row, i]]
        for count, row in enumerate(rows, 1):
            session = replace(
                _session(company, days, row),
                standing=Standing.DELISTING_PERIOD,
                entered=_date(days, rows[0]),
                since_entry=count,
            )
            found.setdefault(row, []).append((i, session))
    return found


def _session(company: Company, days: npt.NDArray[np.datetime64], row: int) -> Session:
    return Session(company.board, exchange_of(company.ts_code), _date(days, row), Standing.ORDINARY, pre_close=0)


def _date(days: npt.NDArray[np.datetime64], row: int) -> dt.date:
    day: dt.date = days[row].astype(dt.date)
    return day


def _rules(who: Sequence[Company], days: npt.NDArray[np.datetime64]) -> tuple[Ints, Ints]:
    """Return limit in percent and one-tick floor of every session and company, by the rulebook."""
    percent, floor = np.zeros((len(days), len(who)), dtype=np.int64), np.zeros((len(days), len(who)), dtype=np.int64)
    for row, day in enumerate(days.astype(dt.date).tolist()):
        for i, company in enumerate(who):
            if row >= company.list_row:
                warned = any(first <= row < last for first, last in company.warned)
                standing = Standing.RISK_WARNED if warned else Standing.ORDINARY
                percent[row, i] = limit_percent(company.board, standing, day)
                floor[row, i] = tick_floor(exchange_of(company.ts_code), standing, day)
    return percent, floor


def _suspensions(who: Sequence[Company], t: int, rng: np.random.Generator) -> Bools:
    """Draw suspensions: seldom, a fortnight in the mean, never on a listing day."""
    begins, lengths = rng.random((t, len(who))) < 0.0012, rng.geometric(0.1, (t, len(who)))
    suspended = np.zeros((t, len(who)), dtype=bool)
    for row, i in np.argwhere(begins):
        if row > who[i].list_row + 5:
            suspended[row : row + lengths[row, i], i] = True
    return suspended


def _plans(
    who: Sequence[Company], days: npt.NDArray[np.datetime64], suspended: Bools, rng: np.random.Generator
) -> dict[int, list[Dividend]]:
    """Draw the dividend plans: most companies every summer, some with bonus shares; ex on a session with trade."""
    plans: dict[int, list[Dividend]] = {}
    first, last = (int(str(day)[:4]) for day in (days[0], days[-1]))
    for year in range(first, last + 1):
        for i, company in enumerate(who):
            pays, cash, bonus, offset = (
                rng.random(),
                rng.uniform(0.02, 0.35),
                rng.choice([0.2, 0.3, 0.5, 1.0]),
                rng.integers(0, 40),
            )
            splits = rng.random() < 0.12
            row = int(np.searchsorted(days, np.datetime64(f"{year}-05-25"))) + int(offset)
            while row < len(days) and suspended[row, i]:
                row += 1
            if pays < 0.75 and company.list_row + 100 < row < min(len(days), company.gone_row):
                plan = Dividend(i, row, round(float(cash), 2), float(bonus) if splits else 0.0)
                plans.setdefault(row, []).append(plan)
    return plans


def _go_ex(
    plans: list[Dividend], price: Ints, factor: Floats, shares: Floats, result: Tape
) -> tuple[Ints, Floats, Floats]:
    """Return reference prices, factors and shares after the plans of a session."""
    reference, factor, shares = price.copy(), factor.copy(), shares.copy()
    for plan in plans:
        before = price[plan.company]
        cash = min(plan.cash, round(int(before) * 0.0005, 2))  # at most 5 % of the price
        adjusted = (before / 100 - cash) / (1 + plan.shares)
        reference[plan.company] = max(int(np.floor(adjusted * 100 + 0.5)), 1)
        factor[plan.company] *= before / reference[plan.company]
        shares[plan.company] *= 1 + plan.shares
        result.dividends.append(Dividend(plan.company, plan.row, cash, plan.shares))
    return reference, factor, shares


def _signal(carried: Floats, row: int, roe: Floats, listed: Bools) -> Floats:
    """Return the planted signal after a close; the price of a suspended company is its last one."""
    if row < REVERSAL_SESSIONS:
        return np.full(len(roe), np.nan)
    defined = listed & ~np.isnan(roe)
    past = carried[row] / carried[row - REVERSAL_SESSIONS] - 1
    mixed = QUALITY_WEIGHT * _z(roe, defined) + REVERSAL_WEIGHT * _z(past, defined)
    return np.where(defined, _z(mixed, defined), np.nan)


def _z(values: Floats, members: Bools) -> Floats:
    """Return clipped z-scores over the members."""
    known = values[members]
    return np.clip((values - known.mean()) / known.std(), -3, 3)


def _index(market: Floats, at_open: Floats) -> Floats:
    """Return open and close of the index: the market without the companies' own chances."""
    close = 6000 * np.exp(np.cumsum(np.log1p(market)))
    before = np.concatenate([[6000.0], close[:-1]])
    return np.round(np.stack([before * (1 + 0.3 * market + at_open), close], axis=1), 4)
