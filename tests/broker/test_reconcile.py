"""Intended, broker and ledger compared: each difference by its name, and nothing else by any."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace

import pytest

from engine.broker.port import Fill, Holding, Report, State, Ticket, client_id
from engine.broker.reconcile import Account, Difference, Evidence, Kind, booked, differences, require_agreement
from engine.errors import BrokerMismatch
from engine.types import Side

SESSION = dt.date(2018, 3, 5)
BEFORE = Account({"600000.SH": 500, "600001.SH": 300}, 10_000_00)


def ticket(code: str, side: Side, shares: int, limit: float | None = None) -> Ticket:
    return Ticket(client_id("me", SESSION, code, side), SESSION, code, side, shares, limit, 10.0)


SELL, BUY = ticket("600000.SH", Side.SELL, 500), ticket("000001.SZ", Side.BUY, 800, 10.0)
SOLD = Fill("t1", SELL.order_id, SESSION, "600000.SH", Side.SELL, 500, 10.0, 5.0, 5.0, 0.1)
BOUGHT = Fill("t2", BUY.order_id, SESSION, "000001.SZ", Side.BUY, 300, 9.99, 5.0, 0.0, 0.06)


def report(order: Ticket, state: State, filled: int, number: str) -> Report:
    return Report(order.order_id, number, SESSION, order.code, order.side, order.shares, state, filled)


REPORTS = (report(SELL, State.FILLED, 500, "1"), report(BUY, State.CANCELLED, 300, "2"))
HELD = Account({"600001.SH": 300, "000001.SZ": 300}, 1_000_000 + 500_000 - 1010 - 299_700 - 506)
GOOD = Evidence(SESSION, (SELL, BUY), (SOLD, BOUGHT), HELD, HELD, REPORTS)


def test_by_hand_what_the_fills_make_of_the_account():
    assert booked(BEFORE, (SOLD, BOUGHT), lambda fill: 1 / 0) == HELD
    unknown = replace(BOUGHT, transfer_fee=None)
    assert booked(BEFORE, (SOLD, unknown), lambda fill: 506) == HELD


def test_three_that_agree():
    assert differences(GOOD) == ()
    require_agreement(())
    assert differences(replace(GOOD, fills=(SOLD, BOUGHT, SOLD))) == ()  # told twice, the same
    assert differences(replace(GOOD, tickets=(SELL, BUY, ticket("600009.SH", Side.BUY, 100)))) == ()  # never placed
    assert differences(replace(GOOD, broker=None, reports=())) == ()  # by hand, without a statement


CASES = [
    (
        "an order nobody intended",
        {"reports": (*REPORTS, replace(REPORTS[0], order_id="", number="9"))},
        Kind.UNKNOWN_ORDER,
    ),
    ("an order under a foreign id", {"reports": (*REPORTS, replace(REPORTS[0], order_id="x"))}, Kind.UNKNOWN_ORDER),
    ("an order twice", {"reports": (*REPORTS, replace(REPORTS[0], number="9"))}, Kind.DOUBLED_ORDER),
    ("another quantity", {"reports": (replace(REPORTS[0], shares=600), REPORTS[1])}, Kind.ORDER),
    ("another side", {"reports": (replace(REPORTS[0], side=Side.BUY), REPORTS[1])}, Kind.ORDER),
    ("another session", {"reports": (replace(REPORTS[0], session=dt.date(2018, 3, 6)), REPORTS[1])}, Kind.ORDER),
    ("a trade of no order", {"fills": (SOLD, BOUGHT, replace(SOLD, trade_id="t9", order_id=""))}, Kind.UNKNOWN_FILL),
    ("a trade in two ways", {"fills": (SOLD, BOUGHT, replace(SOLD, price=10.01))}, Kind.DOUBLED_FILL),
    ("a trade on the wrong side", {"fills": (replace(SOLD, side=Side.BUY), BOUGHT)}, Kind.WRONG_FILL),
    ("a trade of another stock", {"fills": (replace(SOLD, code="600001.SH"), BOUGHT)}, Kind.WRONG_FILL),
    ("a trade of another day", {"fills": (replace(SOLD, session=dt.date(2018, 3, 6)), BOUGHT)}, Kind.WRONG_FILL),
    ("a trade of nothing", {"fills": (SOLD, BOUGHT, replace(SOLD, trade_id="t9", shares=0))}, Kind.WRONG_FILL),
    ("too much", {"fills": (replace(SOLD, shares=600), BOUGHT), "reports": ()}, Kind.OVERFILL),
    ("too much in two", {"fills": (SOLD, BOUGHT, replace(SOLD, trade_id="t9")), "reports": ()}, Kind.OVERFILL),
    ("after a cancel", {"fills": (SOLD, BOUGHT, replace(BOUGHT, trade_id="t9"))}, Kind.FILL_AFTER_END),
    (
        "of a rejected order",
        {"reports": (REPORTS[0], replace(REPORTS[1], state=State.REJECTED, filled=0))},
        Kind.FILL_AFTER_END,
    ),
    ("a trade that is missing", {"fills": (SOLD,)}, Kind.FILLED),
    ("a trade too many for an open order", {"reports": (REPORTS[0], report(BUY, State.LIVE, 0, "2"))}, Kind.FILLED),
    ("dearer than the limit", {"fills": (SOLD, replace(BOUGHT, price=10.01))}, Kind.BEYOND_LIMIT),
    ("a position is missing", {"broker": replace(HELD, positions={"600001.SH": 300})}, Kind.POSITION),
    ("another position", {"broker": replace(HELD, positions={**HELD.positions, "000001.SZ": 299})}, Kind.POSITION),
    ("a position too many", {"broker": replace(HELD, positions={**HELD.positions, "600007.SH": 1})}, Kind.POSITION),
    ("a fen", {"broker": replace(HELD, cash=HELD.cash + 1)}, Kind.CASH),
    ("a fen less", {"broker": replace(HELD, cash=HELD.cash - 1)}, Kind.CASH),
]


@pytest.mark.parametrize(("changed", "kind"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_difference_has_its_name_and_stops_trading(changed, kind):
    found = differences(replace(GOOD, **changed))
    assert {difference.kind for difference in found} == {kind}
    with pytest.raises(BrokerMismatch, match=f"nothing is traded: {kind}") as error:
        require_agreement(found)
    assert error.value.exit_code == 6
    assert "\n" not in str(error.value)


def test_every_kind_has_a_case():
    assert {kind for _, _, kind in CASES} == set(Kind)


def test_the_tolerance_is_for_cash_alone():
    near = replace(GOOD, broker=replace(HELD, cash=HELD.cash + 50), tolerance=50)
    assert differences(near) == ()
    assert differences(replace(near, tolerance=49))[0].kind is Kind.CASH
    missing = replace(near, broker=replace(near.broker, positions={}))
    assert {difference.kind for difference in differences(missing)} == {Kind.POSITION}


def test_cash_the_broker_does_not_tell_is_not_compared():
    broker = Account.at_broker({code: Holding(shares, 0) for code, shares in HELD.positions.items()}, None)
    assert differences(replace(GOOD, broker=broker)) == ()


def test_many_differences_are_one_line():
    found = [Difference(Kind.POSITION, f"60000{n}.SH", "x") for n in range(8)]
    with pytest.raises(BrokerMismatch, match="and 5 more"):
        require_agreement(found)


def test_any_single_change_to_what_was_held_is_found():
    rng = random.Random(7)
    for _ in range(300):
        positions = dict(HELD.positions)
        positions[rng.choice(["600001.SH", "000001.SZ", "688001.SH"])] = rng.choice([0, 1, 100, 10**6])
        changed = Account({code: shares for code, shares in positions.items() if shares}, HELD.cash)
        same = dict(changed.positions) == dict(HELD.positions)
        assert (differences(replace(GOOD, broker=changed)) == ()) is same
