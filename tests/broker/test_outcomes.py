"""Real fills as outcomes: the broker's prices and fees, the market's reasons; as ``settle`` has it where they agree."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import pytest

from engine.broker.port import Fill
from engine.errors import BrokerMismatch
from engine.execution.costs import Fees
from engine.execution.fills import Bar, Order, Position, Terms, settle
from engine.execution.outcomes import outcomes
from engine.settings import ExecutionSettings
from engine.types import Board, Reason, Side

SESSION = dt.date(2018, 3, 5)
CALM = Bar(1000, 1010, 990, 1005, 1100, 900, 1e6, 1e7, True)
SETTINGS = ExecutionSettings()
TERMS = Terms.of(SESSION, SETTINGS)


def order(order_id: str, side: Side, shares: int, sid: int = 0, limit: float | None = None) -> Order:
    return Order(order_id, sid, f"60000{sid}.SH", Board.SSE_MAIN, side, shares, limit)


def fill(of: Order, shares: int, price: float, trade_id: str = "t1", fees=(None, None, None)) -> Fill:
    return Fill(trade_id, of.order_id, SESSION, of.ts_code, of.side, shares, price, *fees)


BUY, SELL = order("b", Side.BUY, 500), order("s", Side.SELL, 300, 1)


def test_sells_come_first_and_carry_the_broker_s_price_and_fees():
    fills = [fill(BUY, 500, 10.01, "t1", (5.5, 0.0, 0.05)), fill(SELL, 300, 9.99, "t2", (5.0, 3.0, 0.06))]
    sold, bought = outcomes([BUY, SELL], fills, None, TERMS)
    assert (sold.order, sold.filled, sold.price, sold.fees) == (SELL, 300, 9.99, Fees(5.0, 3.0, 0.06))
    assert (bought.filled, bought.price, bought.fees, bought.reason) == (500, 10.01, Fees(5.5, 0, 0.05), Reason.FILLED)


def test_several_trades_are_one_outcome_worth_the_same_fen():
    fills = [fill(BUY, 100, 10.01, "t1", (5.0, 0.0, 0.02)), fill(BUY, 400, 10.00, "t2", (1.11, 0.0, 0.08))]
    (outcome,) = outcomes([BUY], [*fills, fills[0]], None, TERMS)
    assert outcome.filled == 500
    assert round(outcome.filled * outcome.price * 100) == 500_100
    assert outcome.fees == Fees(6.11, 0.0, 0.1)


def test_fees_nobody_tells_are_those_of_a_simulated_fill():
    told = [fill(SELL, 300, 10.0), fill(BUY, 500, 10.0, "t2")]
    orders = [BUY, SELL]
    simulated = list(settle(orders, lambda sid: CALM, 1e6, {1: Position(300, 300)}, TERMS))
    assert list(outcomes(orders, told, lambda sid: CALM, TERMS)) == simulated


def test_tax_and_lots_as_in_settle():
    released = []
    terms = replace(
        TERMS, tax=lambda order, shares: 0.01 * shares, release=lambda order, n: released.append((order, n))
    )
    sold, bought = outcomes([BUY, SELL], [fill(SELL, 200, 10.0), fill(BUY, 100, 10.0, "t2")], None, terms)
    assert (sold.tax, bought.tax) == (2.0, 0.0)
    assert released == [(SELL, 200)]


@pytest.mark.parametrize(
    ("bar", "limit", "reason"),
    [
        (None, None, Reason.CANCELLED),
        (None, 9.0, Reason.LIMIT_PRICE),
        (CALM, None, Reason.CANCELLED),
        (CALM, 9.0, Reason.LIMIT_PRICE),
        (replace(CALM, volume=0.0), 9.0, Reason.SUSPENDED),
        (replace(CALM, listed=False), None, Reason.NOT_LISTED),
        (replace(CALM, open=1100, low=1100, high=1100, close=1100), None, Reason.LIMIT_UP),
    ],
)
def test_why_nothing_or_less_was_filled(bar, limit, reason):
    wish = replace(BUY, limit=limit)
    bar_of = None if bar is None else lambda sid: bar
    (nothing,) = outcomes([wish], [], bar_of, TERMS)
    assert (nothing.filled, nothing.reason, nothing.fees) == (0, reason, Fees())
    assert math.isnan(nothing.price)
    (less,) = outcomes([wish], [fill(wish, 100, 10.0)], bar_of, TERMS)
    assert (less.filled, less.reason) == (100, reason)


@pytest.mark.parametrize(
    "fills",
    [
        [fill(order("x", Side.BUY, 100), 100, 10.0)],
        [replace(fill(BUY, 100, 10.0), side=Side.SELL)],
        [replace(fill(BUY, 100, 10.0), code="600009.SH")],
        [replace(fill(BUY, 100, 10.0), session=dt.date(2018, 3, 6))],
        [fill(BUY, 600, 10.0)],
        [fill(BUY, 300, 10.0), fill(BUY, 300, 10.0, "t2")],
        [fill(BUY, 300, 10.0), fill(BUY, 200, 10.0)],
    ],
)
def test_what_was_not_reconciled_is_not_booked(fills):
    with pytest.raises(BrokerMismatch, match="cannot be booked"):
        list(outcomes([BUY], fills, None, TERMS))
