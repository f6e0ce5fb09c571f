"""Whatever the orders and the market: no illegal fill, no negative cash, no share sold that was not there."""

from __future__ import annotations

import datetime as dt
import math

from hypothesis import given
from hypothesis import strategies as st

from engine.execution.fills import Bar, Order, Position, Terms, settle
from engine.settings import ExecutionSettings
from engine.types import Board, Reason, Side

DAY = dt.date(2024, 5, 6)
CODES = {Board.SSE_MAIN: "600000.SH", Board.CHINEXT: "300001.SZ", Board.STAR: "688001.SH", Board.BSE: "920001.BJ"}


@st.composite
def bars(draw) -> Bar:
    pre = draw(st.integers(20, 20_000))
    down, up = draw(st.sampled_from([(0, 0), ((pre * 90 + 50) // 100, (pre * 110 + 50) // 100)]))
    price = st.integers(down or max(pre // 2, 1), up or pre * 3)
    opened, close = draw(price), draw(price)
    volume = float(draw(st.one_of(st.just(0), st.integers(1, 2_000_000))))
    amount = volume * (opened + close) / 200
    high, low = max(opened, close), min(opened, close)
    return Bar(opened, high, low, close, up, down, volume, amount, draw(st.booleans()))


@st.composite
def sessions(draw):
    boards = draw(st.lists(st.sampled_from(list(CODES)), min_size=1, max_size=4))
    market = [draw(bars()) for _ in boards]
    held = {sid: draw(st.integers(0, 5000)) for sid in range(len(boards))}
    orders = [
        Order(
            str(n),
            sid,
            CODES[boards[sid]],
            boards[sid],
            draw(st.sampled_from(list(Side))),
            draw(st.integers(1, 20_000)),
        )
        for n, sid in enumerate(draw(st.lists(st.integers(0, len(boards) - 1), max_size=8)))
    ]
    settings = ExecutionSettings(
        fill=draw(st.sampled_from(["open", "close", "vwap"])),
        participation=draw(st.sampled_from([0.0, 0.1])),
        round_fees=draw(st.booleans()),
    )
    return orders, market, draw(st.floats(0, 1e6)), held, settings


@given(sessions())
def test_a_session_is_legal(session):
    orders, market, cash, held, settings = session
    start = cash
    positions = {sid: Position(shares, shares) for sid, shares in held.items()}
    outcomes = list(settle(orders, market.__getitem__, cash, positions, Terms.of(DAY, settings)))
    assert sorted(o.order.order_id for o in outcomes) == sorted(o.order_id for o in orders)
    sold: dict[int, int] = {}
    taken: dict[int, int] = {}
    bought = False
    for outcome in outcomes:
        order, bar = outcome.order, market[outcome.order.sid]
        assert 0 <= outcome.filled <= order.shares
        assert (outcome.reason is Reason.FILLED) == (outcome.filled == order.shares)
        if not outcome.filled:
            assert math.isnan(outcome.price)
            assert outcome.fees.total == 0
            continue
        assert bar.listed
        assert bar.volume > 0
        taken[order.sid] = taken.get(order.sid, 0) + outcome.filled
        fen = outcome.price * 100
        value = outcome.filled * outcome.price
        if order.side is Side.BUY:
            bought = True
            assert not bar.up_limit or fen < bar.up_limit
            minimum, step = {"star": (200, 1), "bse": (100, 1)}.get(str(order.board), (100, 100))
            assert outcome.filled >= minimum
            assert (outcome.filled - minimum) % step == 0
            cash -= value + outcome.fees.total
            assert cash >= -1e-6
        else:
            assert not bought, "sells come first"
            assert not bar.down_limit or fen > bar.down_limit
            sold[order.sid] = sold.get(order.sid, 0) + outcome.filled
            cash += value - outcome.fees.total
    assert all(shares <= held[sid] for sid, shares in sold.items())
    if settings.participation:
        assert all(shares <= market[sid].volume * settings.participation for sid, shares in taken.items())
    if not any(outcome.filled for outcome in outcomes):
        assert cash == start
