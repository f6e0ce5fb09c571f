"""Orders against a session's bar: a table of cases to check by hand."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from engine.execution.fills import Bar, Order, Position, Terms, settle
from engine.settings import ExecutionSettings
from engine.types import Board, Reason, Side

DAY = dt.date(2020, 1, 3)
CALM = Bar(
    open=1000, high=1010, low=1000, close=1010, up_limit=1100, down_limit=900, volume=1e6, amount=1.005e7, listed=True
)


def bar(**changes) -> Bar:
    """Return the calm bar with changes; its high and low follow open and close."""
    values = {**CALM.__dict__, **changes}
    ends = values["open"], values["close"]
    return Bar(**{**values, "high": changes.get("high", max(ends)), "low": changes.get("low", min(ends))})


def one(
    order: dict,
    market: Bar = CALM,
    cash: float = 1e6,
    held: int = 0,
    settings: dict | None = None,
    board=Board.SSE_MAIN,
):
    """Settle a single order and return (filled, reason)."""
    given = {"order_id": "1", "sid": 0, "ts_code": "600000.SH", "board": board, **order}
    terms = Terms.of(DAY, ExecutionSettings(**(settings or {})))
    (outcome,) = settle([Order(**given)], lambda sid: market, cash, {0: Position(held, held)}, terms)
    return outcome


BUY, SELL = Side.BUY, Side.SELL
CASES = [
    # name, order, market, cash, held, filled, reason
    ("buy", {"side": BUY, "shares": 1000}, CALM, 1e6, 0, 1000, Reason.FILLED),
    ("sell", {"side": SELL, "shares": 1000}, CALM, 0.0, 1000, 1000, Reason.FILLED),
    ("buy of an odd lot", {"side": BUY, "shares": 50}, CALM, 1e6, 0, 0, Reason.LOT),
    ("buy cut to lots", {"side": BUY, "shares": 1050}, CALM, 1e6, 0, 1000, Reason.LOT),
    ("sell cut to lots", {"side": SELL, "shares": 150}, CALM, 0.0, 350, 100, Reason.LOT),
    ("odd remainder sold whole", {"side": SELL, "shares": 350}, CALM, 0.0, 350, 350, Reason.FILLED),
    ("short", {"side": SELL, "shares": 100}, CALM, 0.0, 0, 0, Reason.NOT_SELLABLE),
    ("sell of more than is held", {"side": SELL, "shares": 500}, CALM, 0.0, 300, 300, Reason.NOT_SELLABLE),
    ("suspended", {"side": BUY, "shares": 100}, bar(volume=0.0, open=0), 1e6, 0, 0, Reason.SUSPENDED),
    ("delisted", {"side": SELL, "shares": 100}, bar(volume=0.0, listed=False), 0.0, 100, 0, Reason.NOT_LISTED),
    ("buy at limit-up", {"side": BUY, "shares": 100}, bar(open=1100), 1e6, 0, 0, Reason.LIMIT_UP),
    ("buy one fen below", {"side": BUY, "shares": 100}, bar(open=1099), 1e6, 0, 100, Reason.FILLED),
    ("sell at limit-up", {"side": SELL, "shares": 100}, bar(open=1100), 0.0, 100, 100, Reason.FILLED),
    ("sell at limit-down", {"side": SELL, "shares": 100}, bar(open=900), 0.0, 100, 0, Reason.LIMIT_DOWN),
    ("sell one fen above", {"side": SELL, "shares": 100}, bar(open=901), 0.0, 100, 100, Reason.FILLED),
    ("buy at limit-down", {"side": BUY, "shares": 100}, bar(open=900), 1e6, 0, 100, Reason.FILLED),
    ("no limit", {"side": BUY, "shares": 100}, bar(open=4400, up_limit=0, down_limit=0), 1e6, 0, 100, Reason.FILLED),
    ("limit price met", {"side": BUY, "shares": 100, "limit": 10.0}, CALM, 1e6, 0, 100, Reason.FILLED),
    ("limit price missed", {"side": BUY, "shares": 100, "limit": 9.99}, CALM, 1e6, 0, 0, Reason.LIMIT_PRICE),
    ("sell limit met", {"side": SELL, "shares": 100, "limit": 10.0}, CALM, 0.0, 100, 100, Reason.FILLED),
    ("sell limit missed", {"side": SELL, "shares": 100, "limit": 10.01}, CALM, 0.0, 100, 0, Reason.LIMIT_PRICE),
    ("a tenth of the volume", {"side": BUY, "shares": 1000}, bar(volume=5000.0), 1e6, 0, 500, Reason.PARTICIPATION),
    ("volume for no lot", {"side": BUY, "shares": 1000}, bar(volume=900.0), 1e6, 0, 0, Reason.PARTICIPATION),
    ("cash for two lots", {"side": BUY, "shares": 1000}, CALM, 2500.0, 0, 200, Reason.CASH),
    ("cash but for the fees", {"side": BUY, "shares": 200}, CALM, 2000.0, 0, 100, Reason.CASH),
    ("cash to the fen", {"side": BUY, "shares": 200}, CALM, 2005.04, 0, 200, Reason.FILLED),
    ("a fen short", {"side": BUY, "shares": 200}, CALM, 2005.03, 0, 100, Reason.CASH),
    ("no cash", {"side": BUY, "shares": 200}, CALM, 0.0, 0, 0, Reason.CASH),
    ("negative cash", {"side": BUY, "shares": 200}, CALM, -5.0, 0, 0, Reason.CASH),
    ("enough cash, odd lot", {"side": BUY, "shares": 250}, CALM, 1e6, 0, 200, Reason.LOT),
]


@pytest.mark.parametrize(
    ("name", "order", "market", "cash", "held", "filled", "reason"), CASES, ids=[c[0] for c in CASES]
)
def test_one_order(name, order, market, cash, held, filled, reason):
    outcome = one(order, market, cash, held)
    assert (outcome.filled, outcome.reason) == (filled, reason)
    assert math.isnan(outcome.price) == (filled == 0)


@pytest.mark.parametrize(
    ("fill", "market", "price"),
    [("open", CALM, 10.0), ("close", CALM, 10.1), ("vwap", CALM, 10.05)],
)
def test_fill_prices(fill, market, price):
    assert one({"side": BUY, "shares": 100}, market, settings={"fill": fill}).price == pytest.approx(price, abs=1e-12)


@pytest.mark.parametrize(
    ("fill", "market", "reason"),
    [
        ("open", bar(open=1100, close=1050), Reason.LIMIT_UP),
        ("close", bar(open=1100, close=1050), Reason.FILLED),
        ("close", bar(open=1050, close=1100), Reason.LIMIT_UP),
        ("vwap", bar(open=1100, close=1100, amount=1.1e7), Reason.LIMIT_UP),
        ("vwap", bar(open=1100, close=1100, low=1090, amount=1.0999e7), Reason.FILLED),
        ("vwap", bar(open=1100, close=1100, amount=1.0999999e7), Reason.LIMIT_UP),  # sealed; the amount is rounded
        ("close", bar(open=1100, close=1100), Reason.LIMIT_UP),
    ],
)
def test_the_price_that_fills_is_the_price_that_is_compared(fill, market, reason):
    assert one({"side": BUY, "shares": 100}, market, settings={"fill": fill}).reason is reason


def test_fees_of_a_sale():
    """1,000 shares at 10.00 on 2020-01-03: 5.00 minimum commission, 0.1 % duty, 0.002 % transfer fee."""
    fees = one({"side": SELL, "shares": 1000}, held=1000).fees
    assert (fees.commission, fees.stamp_duty, fees.transfer_fee) == (5.0, 10.0, 0.2)


def test_fees_not_rounded():
    fees = one({"side": SELL, "shares": 300}, bar(open=1001), held=300, settings={"round_fees": False}).fees
    assert fees.stamp_duty == pytest.approx(3.003)
    assert fees.transfer_fee == pytest.approx(0.06006)


def test_sells_come_first_and_pay_for_buys_in_their_order():
    def order(number: int, sid: int, side: Side, shares: int) -> Order:
        return Order(str(number), sid, f"60000{sid}.SH", Board.SSE_MAIN, side, shares)

    orders = [order(1, 0, BUY, 500), order(2, 1, BUY, 500), order(3, 2, SELL, 700)]
    outcomes = list(
        settle(orders, lambda sid: CALM, 1000.0, {2: Position(700, 700)}, Terms.of(DAY, ExecutionSettings()))
    )
    assert [(o.order.order_id, o.filled, o.reason) for o in outcomes] == [
        ("3", 700, Reason.FILLED),
        ("1", 500, Reason.FILLED),
        ("2", 200, Reason.CASH),
    ]


def test_what_was_bought_in_the_session_is_not_sellable_in_it():
    orders = [
        Order("1", 0, "600000.SH", Board.SSE_MAIN, BUY, 500),
        Order("2", 0, "600000.SH", Board.SSE_MAIN, SELL, 500),
    ]
    outcomes = {
        o.order.order_id: o for o in settle(orders, lambda sid: CALM, 1e6, {}, Terms.of(DAY, ExecutionSettings()))
    }
    assert outcomes["2"].reason is Reason.NOT_SELLABLE
    assert outcomes["1"].filled == 500


def test_two_orders_share_the_volume_of_the_day():
    orders = [Order(str(n), 0, "600000.SH", Board.SSE_MAIN, BUY, 400) for n in range(2)]
    market = bar(volume=6000.0)
    assert [o.filled for o in settle(orders, lambda sid: market, 1e6, {}, Terms.of(DAY, ExecutionSettings()))] == [
        400,
        200,
    ]


def test_slippage_never_leaves_the_limits_and_is_held_against_the_limit_price():
    terms = Terms(DAY, ExecutionSettings(), lambda *_: 5.0, lambda order, price: price * 1.5)
    plain = Order("1", 0, "600000.SH", Board.SSE_MAIN, BUY, 100)
    limited = Order("2", 0, "600000.SH", Board.SSE_MAIN, BUY, 100, limit=10.5)
    outcomes = {o.order.order_id: o for o in settle([plain, limited], lambda sid: CALM, 1e6, {}, terms)}
    assert outcomes["1"].price == 11.0
    assert outcomes["2"].reason is Reason.LIMIT_PRICE


@pytest.mark.parametrize(("shares", "filled", "reason"), [(199, 0, Reason.LOT), (201, 201, Reason.FILLED)])
def test_star_board(shares, filled, reason):
    outcome = one(
        {"side": BUY, "shares": shares, "ts_code": "688001.SH"},
        board=Board.STAR,
        settings={"transfer_fee": 0.0, "stamp_duty": 0.0},
    )
    assert (outcome.filled, outcome.reason) == (filled, reason)
