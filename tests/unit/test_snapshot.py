"""What zipline knows of an account, written down and put back: exactly, or not at all."""

from __future__ import annotations

import copy
import datetime as dt
import json
import random
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from zipline.assets import Equity, ExchangeInfo
from zipline.finance.transaction import Transaction

from engine.errors import AshareError, Damaged
from engine.execution.blotter import Waiting
from engine.execution.holdings import Lot
from engine.host.ledger import AShareLedger, Payable
from engine.paper.snapshot import Names, ledger_to_json, orders_from_json, orders_to_json, restore_ledger
from engine.report.runs import Diary
from engine.settings import ExecutionSettings
from tests.security.mutations import VALUES, Raw, spoilt_json

CODES = ["600000.SH", "000001.SZ", "300750.SZ", "688981.SH"]
EXCHANGE = ExchangeInfo("XSHG", "XSHG", "CN")
DAYS = pd.DatetimeIndex(["2018-03-05", "2018-03-06", "2018-03-07"])
DAY = dt.date.fromisoformat


def names_of(codes: list[str]) -> Names:
    """Return the names of a bundle whose stocks are numbered in this order."""
    assets = [Equity(sid, EXCHANGE, symbol=code) for sid, code in enumerate(codes)]
    panels = SimpleNamespace(assets=[SimpleNamespace(first_code=code) for code in codes])
    return Names(
        panels,
        SimpleNamespace(retrieve_asset=assets.__getitem__, retrieve_all=lambda sids: [assets[sid] for sid in sids]),
    )


NAMES, LATER = names_of(CODES), names_of(["000000.SZ", *reversed(CODES)])
"""Two bundles: a new stock gives all others new numbers."""


def empty() -> AShareLedger:
    return AShareLedger(DAYS, 1_000_000.0, "daily", SimpleNamespace(), ExecutionSettings(), Diary())


def traded() -> AShareLedger:
    """Return a ledger with purchases at odd prices, a sale, dividends that are due, tax that is owed."""
    ledger, moment = empty(), DAYS[0]
    for code, shares, price in [("600000.SH", 700, 12.3), ("000001.SZ", 100, 0.1 + 0.2), ("600000.SH", 300, 12.1)]:
        asset = NAMES.asset(code)
        ledger.process_transaction(Transaction(asset, shares, moment, price, "a"))
        ledger.process_commission({"asset": asset, "order": SimpleNamespace(amount=shares, dt=moment), "cost": 5.01})
        ledger.holdings.add(asset.sid, shares, DAY("2018-03-05"))
    ledger.holdings.entitle(NAMES.sid("600000.SH"), DAY("2018-03-05"), Decimal("0.0237"))
    ledger.holdings.entitle(NAMES.sid("600000.SH"), DAY("2018-03-06"), Decimal("1E-7"))
    ledger.holdings.sell(NAMES.sid("600000.SH"), 200, DAY("2018-03-06"))
    ledger.process_transaction(Transaction(NAMES.asset("600000.SH"), -200, DAYS[1], 12.0, None))
    ledger.holdings.add(NAMES.sid("300750.SZ"), 10, DAY("2018-03-06"), dt.date.max)
    ledger.owed = [(NAMES.sid("000001.SZ"), Decimal("0.30")), (NAMES.sid("600000.SH"), Decimal("12.00"))]
    for day, code in [("2018-04-02", "600000.SH"), ("2018-03-20", "000001.SZ"), ("2018-04-02", "000001.SZ")]:
        ledger.owe(Payable(DAY(day), NAMES.sid(code), Decimal("23.70"), Decimal("0.00")))
    ledger.portfolio  # noqa: B018 - which brings it up to date
    return ledger


def through(value: object) -> object:
    return json.loads(json.dumps(value))


def test_a_ledger_comes_back_in_every_part():
    ledger, again = traded(), empty()
    restore_ledger(again, through(ledger_to_json(ledger, NAMES)), NAMES)
    assert list(again.holdings.lots()) == list(ledger.holdings.lots())
    assert again.holdings.lots().__next__()[1][0] == Lot(
        DAY("2018-03-05"),
        DAY("2018-03-05"),
        500,
        [(DAY("2018-03-05"), Decimal("0.0237")), (DAY("2018-03-06"), Decimal("1E-7"))],
    )
    assert again.owed == ledger.owed
    assert list(again.payable()) == list(ledger.payable())
    held, kept = again.position_tracker.positions, ledger.position_tracker.positions
    assert list(held) == list(kept)
    for asset, position in kept.items():
        other = held[asset]
        for part in ("amount", "cost_basis", "last_sale_price", "last_sale_date"):
            assert getattr(other, part) == getattr(position, part), part
            assert type(getattr(other, part)) is type(getattr(position, part)), part
    for part in ("cash", "starting_cash", "portfolio_value", "positions_value", "positions_exposure", "pnl", "returns"):
        assert getattr(again.portfolio, part).hex() == float(getattr(ledger.portfolio, part)).hex(), part
    assert again.portfolio.start_date == ledger.portfolio.start_date
    assert {asset.symbol: held.amount for asset, held in again.portfolio.positions.items()} == {
        "600000.SH": 800,
        "000001.SZ": 100,
    }


def test_what_happens_next_is_the_same():
    ledger, again = traded(), empty()
    restore_ledger(again, through(ledger_to_json(ledger, NAMES)), NAMES)
    for one in (ledger, again):
        one._pay(DAY("2018-04-02"))
        one.process_transaction(Transaction(NAMES.asset("600000.SH"), 100, DAYS[2], 12.34, None))
        one.holdings.sell(NAMES.sid("600000.SH"), 500, DAY("2018-03-07"))
    assert ledger_to_json(again, NAMES) == ledger_to_json(ledger, NAMES)


def test_stocks_go_by_their_codes():
    written, again = ledger_to_json(traded(), NAMES), empty()
    restore_ledger(again, through(written), LATER)
    assert ledger_to_json(again, LATER) == written
    assert {sid for sid, _ in again.holdings.lots()} == {LATER.sid(code) for code in CODES[:3]}
    assert [asset.symbol for asset in again.position_tracker.positions] == CODES[:2]
    with pytest.raises(Damaged, match=r"holds or remembers 300750.SZ: the bundle has no such stock"):
        restore_ledger(empty(), written, names_of(CODES[:2]))


def test_a_stock_without_a_sale_and_an_empty_account():
    ledger, again = empty(), empty()
    ledger.position_tracker.update_position(NAMES.asset("600000.SH"), 100, 10.0, None, 9.5)
    written = through(ledger_to_json(ledger, NAMES))
    assert written["positions"] == [["600000.SH", 100, 9.5, 10.0, None]]
    restore_ledger(again, written, NAMES)
    assert ledger_to_json(again, NAMES) == written
    nothing = ledger_to_json(empty(), NAMES)
    restore_ledger(again := empty(), through(nothing), NAMES)
    assert ledger_to_json(again, NAMES) == nothing


def waiting() -> list[Waiting]:
    moment = pd.Timestamp("2018-03-05 07:00", tz="UTC")
    return [
        Waiting("a", NAMES.asset("600000.SH"), 700, 12.3, True, moment, moment, cap=0.02),
        Waiting("b", NAMES.asset("000001.SZ"), -100, None, False, moment, moment, cancelled=True),
    ]


def test_orders_come_back_in_their_order():
    written = through(orders_to_json(waiting(), NAMES))
    assert orders_from_json(written, NAMES) == waiting()
    assert orders_to_json(orders_from_json(written, LATER), LATER) == written
    assert [one.asset.sid for one in orders_from_json(written, LATER)] == [4, 3]
    with pytest.raises(Damaged, match="two orders of one name"):
        orders_from_json([written[0], written[0]], NAMES)


def test_numbers_of_numpy_are_written_as_numbers():
    one = Waiting("a", NAMES.asset("600000.SH"), np.int64(700), np.float32(12.5), np.bool_(True), DAYS[0], DAYS[0])
    (written,) = json.loads(json.dumps(orders_to_json([one], NAMES)))
    assert (written["amount"], written["limit"], written["capped"]) == (700, 12.5, True)


GOOD = ledger_to_json(traded(), NAMES)


def places(value: object, way: tuple[object, ...] = ()):
    """Yield the way to everything in a document."""
    if way:
        yield way
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*way, key))


def spoilt_at(document: object, way: tuple[object, ...], value: object) -> object:
    document = copy.deepcopy(document)
    at = document
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = value
    return document


WRONG = [None, True, 0, 1.5, "", "x", "now", "1e999999999", "NaN", "2018-02-30", "20180305", [], {}, [[]], [None]]


@pytest.mark.parametrize("document", [GOOD, orders_to_json(waiting(), NAMES)], ids=["ledger", "orders"])
def test_a_wrong_value_in_any_place_is_damage_and_changes_nothing(document):
    taken = []
    for way in places(document):
        for wrong in WRONG:
            spoilt = spoilt_at(document, way, wrong)
            ledger = empty()
            try:
                if isinstance(document, dict):
                    restore_ledger(ledger, spoilt, NAMES)
                else:
                    orders_from_json(spoilt, NAMES)
                taken.append((way, wrong))
            except Damaged:
                assert ledger_to_json(ledger, NAMES) == ledger_to_json(empty(), NAMES)
    # only values of the same kind as what was there are taken, and lists that may be empty
    for way, wrong in taken:
        there = document
        for key in way:
            there = there[key]
        same = type(there) is type(wrong) or (there is None or wrong is None)
        assert same, (way, wrong, there)


def test_a_missing_key_is_damage():
    for name in GOOD:
        with pytest.raises(Damaged, match="the ledger of the session before cannot be read back: KeyError"):
            restore_ledger(empty(), {key: value for key, value in GOOD.items() if key != name}, NAMES)
    (order, _) = orders_to_json(waiting(), NAMES)
    for name in order:
        with pytest.raises(Damaged, match="the orders of the session before cannot be read back: KeyError"):
            orders_from_json([{key: value for key, value in order.items() if key != name}], NAMES)


@pytest.mark.parametrize("value", [one for one in VALUES if not isinstance(one, Raw)], ids=lambda one: str(type(one)))
def test_anything_for_a_ledger_is_damage(value):
    with pytest.raises(Damaged):
        restore_ledger(empty(), value, NAMES)
    if value != []:
        with pytest.raises(Damaged):
            orders_from_json(value, NAMES)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_spoilt_states_bring_only_our_errors(count):
    document, taken = {"ledger": GOOD, "orders": orders_to_json(waiting(), NAMES)}, 0
    for seed in range(count):
        try:
            value = json.loads(spoilt_json(random.Random(seed), document))
            parts = value["ledger"], value["orders"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        ledger = empty()
        try:
            restore_ledger(ledger, parts[0], NAMES)
            orders_to_json(orders_from_json(parts[1], NAMES), NAMES)
            json.dumps(ledger_to_json(ledger, NAMES))
            taken += 1
        except AshareError:
            continue
    assert count / 50 < taken < count * 2 / 3
