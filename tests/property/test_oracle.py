"""Random sessions before a judge that shares no code with the engine (``tests/oracle.py``): no illegal outcome."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from engine.execution.costs import Fees, account_commission
from engine.execution.fills import Bar, Order, Outcome, Position, Terms, settle
from engine.execution.holdings import Holdings
from engine.settings import ExecutionSettings
from engine.types import Board, Reason, Side
from tests.oracle import (
    OPENED,
    WHOLE,
    Account,
    Breach,
    Case,
    Dividend,
    Fault,
    Parcel,
    buy_cost,
    judge,
    lawful_outcome,
    shut_by,
)

FIRST, LAST = dt.date(2012, 9, 3), dt.date(2026, 11, 20)
TURNS = [
    dt.date(2012, 9, 3),
    dt.date(2012, 12, 31),
    dt.date(2013, 1, 4),
    dt.date(2015, 7, 31),
    dt.date(2015, 8, 3),
    dt.date(2015, 9, 8),
    dt.date(2015, 9, 9),
    dt.date(2019, 7, 22),
    dt.date(2020, 8, 21),
    dt.date(2020, 8, 24),
    dt.date(2021, 11, 15),
    dt.date(2022, 4, 28),
    dt.date(2022, 4, 29),
    dt.date(2022, 12, 1),
    dt.date(2023, 8, 25),
    dt.date(2023, 8, 28),
    dt.date(2026, 7, 6),
    dt.date(2026, 11, 20),
]
"""Sessions on either side of a change of the law."""

CODES = {
    Board.SSE_MAIN: "600{:03d}.SH",
    Board.SZSE_MAIN: "000{:03d}.SZ",
    Board.CHINEXT: "300{:03d}.SZ",
    Board.STAR: "688{:03d}.SH",
    Board.BSE: "920{:03d}.BJ",
}


# random sessions


def random_cases(seed: int, orders: int) -> Iterator[Case]:
    """Yield random sessions until they hold so many orders."""
    rng = np.random.default_rng(seed)
    while orders > 0:
        case = _case(rng)
        orders -= len(case.orders)
        yield case


def _case(rng: np.random.Generator) -> Case:
    day = _day(rng)
    open_boards = [board for board in Board if OPENED[board] <= day]
    boards = [open_boards[i] for i in rng.integers(len(open_boards), size=rng.integers(1, 5))]
    bars = {sid: _bar(rng, board, day) for sid, board in enumerate(boards)}
    dividends = {sid: _dividends(rng, board, day) for sid, board in enumerate(boards)}
    parcels = {sid: _parcels(rng, board, day) for sid, board in enumerate(boards)}
    account = Account(
        fill=str(rng.choice(["open", "vwap", "close"])),
        participation=Fraction(int(rng.choice([0, 0, 5, 10, 10, 25, 57])), 100),
        commission_rate=int(rng.choice([2500, 2500, 3000, 854])),
        commission_minimum=int(rng.choice([500, 500, 500, 100, 0])),
        exchange_fees=bool(rng.random() < 0.1),
        largest=int(10 ** rng.uniform(5, 10)) if rng.random() < 0.3 else None,
    )
    sids = rng.integers(len(boards), size=rng.integers(1, 11)).tolist()
    placed = tuple(_order(rng, n, sid, boards[sid], bars[sid], parcels[sid], day) for n, sid in enumerate(sids))
    return _with_cash(rng, Case(day, account, 0, bars, parcels, dividends, placed))


def _day(rng: np.random.Generator) -> dt.date:
    if rng.random() < 0.3:
        return TURNS[rng.integers(len(TURNS))]
    day = FIRST + dt.timedelta(days=int(rng.integers((LAST - FIRST).days + 1)))
    return max(day - dt.timedelta(days=max(day.weekday() - 4, 0)), FIRST)


def _bar(rng: np.random.Generator, board: Board, day: dt.date) -> Bar:
    before = int(np.exp(rng.uniform(np.log(30), np.log(50_000))))
    percent = {Board.STAR: 20, Board.BSE: 30, Board.CHINEXT: 20 if day >= dt.date(2020, 8, 24) else 10}.get(board, 10)
    percent = 5 if percent == 10 and rng.random() < 0.1 else percent
    up, down = (before * (100 + percent) + 50) // 100, (before * (100 - percent) + 50) // 100
    lowest, highest = (down, up) if rng.random() < 0.9 else (max(before // 2, 1), before * 3)
    near = np.array([up, up - 1, down, down + 1])
    prices = np.where(rng.random(4) < 0.3, rng.choice(near, 4), rng.integers(lowest, highest + 1, size=4))
    opened, close, high, low = (int(price) for price in prices)
    if rng.random() < 0.08:
        opened = close = high = low = int(rng.choice([up, down]))
    high, low = max(opened, close, high), min(opened, close, low)
    volume = (
        int(np.exp(rng.uniform(0, np.log(3000)))) if rng.random() < 0.15 else 100 * int(10 ** rng.uniform(1.5, 5.5))
    )
    average = rng.choice([low, high]) if rng.random() < 0.2 else rng.uniform(low, high)
    amount = float(max(round(average * volume / 100), 1))
    if (lowest, highest) != (down, up):
        up, down = 0, 0
    listed = bool(rng.random() >= 0.03)
    if rng.random() < 0.05:
        return Bar(0, 0, 0, 0, up, down, 0.0, 0.0, listed)
    return Bar(opened, high, low, close, up, down, float(volume), amount, listed)


def _past(rng: np.random.Generator, board: Board, day: dt.date) -> dt.date:
    """Return a day before the session, often near one month or one year before it."""
    back = int(rng.choice([1, 1, 7, 27, 28, 29, 30, 31, 32, 200, 364, 365, 366, 367, 800, 1500]))
    return max(day - dt.timedelta(days=back), OPENED[board])


def _dividends(rng: np.random.Generator, board: Board, day: dt.date) -> tuple[Dividend, ...]:
    records = sorted(_past(rng, board, day) for _ in range(rng.integers(4)))
    return tuple(Dividend(record, int(rng.integers(1, 20_000))) for record in records if record < day)


def _parcels(rng: np.random.Generator, board: Board, day: dt.date) -> tuple[Parcel, ...]:
    parcels = []
    for acquired in sorted(_past(rng, board, day) for _ in range(rng.integers(4))):
        if acquired < day:
            locked = day + dt.timedelta(days=5) if rng.random() < 0.1 else acquired
            parcels.append(Parcel(acquired, _shares(rng), locked))
    if rng.random() < 0.1:
        parcels.append(Parcel(day, _shares(rng), day))
    return tuple(parcels)


def _shares(rng: np.random.Generator) -> int:
    kind = rng.random()
    if kind < 0.6:
        return 100 * int(np.exp(rng.uniform(0, np.log(300))))
    if kind < 0.9:
        return int(rng.integers(1, 3000))
    return int(10 ** rng.uniform(4.5, 6.5))


def _order(
    rng: np.random.Generator, n: int, sid: int, board: Board, bar: Bar, parcels: tuple[Parcel, ...], day: dt.date
) -> Order:
    side = Side.SELL if rng.random() < 0.5 else Side.BUY
    sellable = sum(parcel.shares for parcel in parcels if parcel.locked < day)
    shares = _shares(rng)
    if side is Side.SELL and sellable and rng.random() < 0.6:
        shares = max(int(sellable + rng.choice([0, 0, 0, 1, -1, -50, 100, -sellable // 2])), 1)
    limit = None
    if bar.volume and rng.random() < 0.25:
        limit = max(int(rng.choice([bar.open, bar.close, bar.low, bar.high]) + rng.integers(-2, 3)), 1) / 100
    return Order(str(n), sid, CODES[board].format(sid), board, side, shares, limit)


def _with_cash(rng: np.random.Generator, case: Case) -> Case:
    """Give the account nothing, little, plenty, or to the fen what some lots of a buy cost."""
    kind = rng.random()
    if kind < 0.05:
        return case
    buys = [order for order in case.orders if order.side is Side.BUY and not shut_by(order, case)]
    if kind < 0.3 and buys:
        order = buys[rng.integers(len(buys))]
        lots = max(order.shares // 100 - int(rng.integers(3)), 2) * 100
        return replace(case, cash=max(buy_cost(order, lots, case) + int(rng.integers(-1, 2)), 0))
    return replace(case, cash=int(10 ** rng.uniform(3, 7) if kind < 0.5 else rng.uniform(7, 11)))


# the engine's answer


def settled(case: Case) -> list[Outcome]:
    """Settle a case as the blotter does."""
    account = case.account
    settings = ExecutionSettings(
        fill=account.fill,
        participation=float(account.participation),
        commission_rate=account.commission_rate / WHOLE,
        commission_minimum=account.commission_minimum / 100,
        exchange_fees=account.exchange_fees,
    )
    holdings = Holdings()
    for sid, parcels in case.parcels.items():
        _enter(holdings, sid, parcels, case.dividends[sid])
    terms = Terms(
        case.day,
        settings,
        lambda order, shares, price: account_commission(shares * price, settings),
        tax=lambda order, shares: float(holdings.tax_on_sale(order.sid, shares, case.day)),
        release=lambda order, shares: holdings.sell(order.sid, shares, case.day),
        largest=None if account.largest is None else account.largest / 100,
    )
    positions = {sid: Position(holdings.held(sid), holdings.sellable(sid, case.day)) for sid in case.bars}
    return list(settle(case.orders, case.bars.__getitem__, case.cash / 100, positions, terms))


def _enter(holdings: Holdings, sid: int, parcels: tuple[Parcel, ...], dividends: tuple[Dividend, ...]) -> None:
    open_dividends = list(dividends)
    for parcel in parcels:
        while open_dividends and open_dividends[0].record < parcel.acquired:
            _entitle(holdings, sid, open_dividends.pop(0))
        holdings.add(sid, parcel.shares, parcel.acquired, parcel.locked)
    for dividend in open_dividends:
        _entitle(holdings, sid, dividend)


def _entitle(holdings: Holdings, sid: int, dividend: Dividend) -> None:
    holdings.entitle(sid, dividend.record, Decimal(dividend.amount) / 10_000)


def census(seed: int, orders: int) -> tuple[list[tuple[Case, Breach]], Counter[str]]:
    """Judge random sessions; return the breaches, and how the orders ended."""
    illegal, ends = [], Counter()
    for case in random_cases(seed, orders):
        outcomes = settled(case)
        for outcome in outcomes:
            cut = "" if outcome.reason is Reason.FILLED else ", cut" if outcome.filled else ", refused"
            ends[f"{outcome.order.side} {outcome.reason}{cut}"] += 1
        illegal.extend((case, breach) for breach in judge(case, outcomes))
    return illegal, ends


@pytest.mark.parametrize("seed", range(5))
def test_five_thousand_orders(seed: int):
    illegal, ends = census(seed, 1000)
    assert not illegal, illegal[0]
    assert ends["buy filled"] > 10
    assert ends["sell filled"] > 10


def test_every_end_occurs():
    ends = census(5, 5000)[1]
    reasons = {key.split()[1].rstrip(",") for key in ends}
    assert reasons == {str(reason) for reason in Reason} - {"stop_order", "cancelled", "halted", "run_ended"}


@pytest.mark.slow
def test_hundred_thousand_orders():
    illegal, ends = census(2026, 100_000)
    print("", *(f"{count:7d} {end}" for end, count in sorted(ends.items())), sep="\n")
    assert not illegal, illegal[0]


# the judge can say no

Change = Callable[[Case, Outcome], Outcome | None]


def _cut_by(reason: Reason) -> Change:
    """Return what fills an order that was cut one step beyond the cut."""

    def change(case: Case, outcome: Outcome) -> Outcome | None:
        order = outcome.order
        more = outcome.filled + (100 if order.board not in (Board.STAR, Board.BSE) else 1)
        if outcome.reason is not reason or not outcome.filled or more > order.shares:
            return None
        end = Reason.FILLED if more == order.shares else reason
        return replace(lawful_outcome(case, order, more, end), tax=outcome.tax)

    return change


def _refused_by(*reasons: Reason) -> Change:
    """Return what fills an order in full that the market refuses."""

    def change(case: Case, outcome: Outcome) -> Outcome | None:
        if outcome.reason not in reasons or outcome.filled:
            return None
        if outcome.reason in (Reason.SUSPENDED, Reason.NOT_LISTED):
            return Outcome(outcome.order, outcome.order.shares, 10.0, Fees(5.0), Reason.FILLED)
        return lawful_outcome(case, outcome.order, outcome.order.shares, Reason.FILLED)

    return change


def _fees(side: Side | None = None, **more: float) -> Change:
    """Return what adds so much to a fee."""

    def change(case: Case, outcome: Outcome) -> Outcome | None:
        if not outcome.filled or side not in (None, outcome.order.side):
            return None
        fees = {name: round(getattr(outcome.fees, name) + amount, 2) for name, amount in more.items()}
        return replace(outcome, fees=replace(outcome.fees, **fees))

    return change


def _other_stamp_duty(case: Case, outcome: Outcome) -> Outcome | None:
    duty = outcome.fees.stamp_duty * (2 if case.day >= dt.date(2023, 8, 28) else 0.5)
    if abs(duty - outcome.fees.stamp_duty) < 0.02:
        return None
    return replace(outcome, fees=replace(outcome.fees, stamp_duty=round(duty, 2)))


def _price(fen: int) -> Change:
    return lambda case, outcome: replace(outcome, price=outcome.price + fen / 100) if outcome.filled else None


def _one_share_more(case: Case, outcome: Outcome) -> Outcome | None:
    order, shares = outcome.order, outcome.filled
    if order.side is Side.SELL or not 0 < shares < order.shares - 1 or order.board in (Board.STAR, Board.BSE):
        return None
    return lawful_outcome(case, order, shares + 1, outcome.reason)


def _more_than_asked(case: Case, outcome: Outcome) -> Outcome | None:
    if outcome.reason is not Reason.FILLED:
        return None
    return lawful_outcome(case, outcome.order, outcome.filled + 100, Reason.FILLED)


def _sold_on_the_day(case: Case, outcome: Outcome) -> Outcome | None:
    order = outcome.order
    today = sum(parcel.shares for parcel in case.parcels[order.sid] if parcel.locked >= case.day)
    if outcome.reason is not Reason.NOT_SELLABLE or order.shares > today:
        return None
    return lawful_outcome(case, order, order.shares, Reason.FILLED)


def _sold_short(case: Case, outcome: Outcome) -> Outcome | None:
    if outcome.reason is not Reason.NOT_SELLABLE or case.parcels[outcome.order.sid]:
        return None
    return lawful_outcome(case, outcome.order, outcome.order.shares, Reason.FILLED)


def _tax(fen: int | None) -> Change:
    def change(case: Case, outcome: Outcome) -> Outcome | None:
        if outcome.tax < 0.01:
            return None
        return replace(outcome, tax=0.0 if fen is None else outcome.tax + fen / 100)

    return change


def _lot_less(case: Case, outcome: Outcome) -> Outcome | None:
    order, less = outcome.order, outcome.filled // 100 * 100 - 100
    if outcome.reason is not Reason.FILLED or less < 200:
        return None
    return lawful_outcome(case, order, less, Reason.PARTICIPATION)


def _nothing(reason: Reason) -> Change:
    def change(case: Case, outcome: Outcome) -> Outcome | None:
        if outcome.reason is not Reason.FILLED or outcome.order.side is Side.SELL:
            return None
        return Outcome(outcome.order, 0, float("nan"), Fees(), reason)

    return change


def _says(reason: Reason, instead_of: Reason) -> Change:
    return lambda case, outcome: replace(outcome, reason=reason) if outcome.reason is instead_of else None


def _says_participation(case: Case, outcome: Outcome) -> Outcome | None:
    if case.account.participation or outcome.reason not in (Reason.CASH, Reason.NOT_SELLABLE):
        return None
    return replace(outcome, reason=Reason.PARTICIPATION)


def _costly_nothing(case: Case, outcome: Outcome) -> Outcome | None:
    return None if outcome.filled else replace(outcome, fees=Fees(5.0))


BUY, SELL = Side.BUY, Side.SELL
BROKEN: list[tuple[str, Fault, Change]] = [
    ("one share more", Fault.LOT, _one_share_more),
    ("more than was asked", Fault.QUANTITY, _more_than_asked),
    ("a fen dearer", Fault.PRICE, _price(1)),
    ("a fen cheaper", Fault.PRICE, _price(-1)),
    ("commission a fen over", Fault.COMMISSION, _fees(commission=0.01)),
    ("no commission", Fault.COMMISSION, _fees(commission=-5.0)),
    ("stamp duty on a buy", Fault.STAMP_DUTY, _fees(BUY, stamp_duty=0.01)),
    ("stamp duty a fen over", Fault.STAMP_DUTY, _fees(SELL, stamp_duty=0.01)),
    ("stamp duty of another year", Fault.STAMP_DUTY, _other_stamp_duty),
    ("transfer fee a fen over", Fault.TRANSFER_FEE, _fees(transfer_fee=0.01)),
    ("bought at limit-up", Fault.MARKET_SHUT, _refused_by(Reason.LIMIT_UP)),
    ("sold at limit-down", Fault.MARKET_SHUT, _refused_by(Reason.LIMIT_DOWN)),
    ("traded in a suspension", Fault.MARKET_SHUT, _refused_by(Reason.SUSPENDED)),
    ("traded unlisted", Fault.MARKET_SHUT, _refused_by(Reason.NOT_LISTED)),
    ("limit price ignored", Fault.LIMIT_PRICE, _refused_by(Reason.LIMIT_PRICE)),
    ("sold on the day of purchase", Fault.NOT_SELLABLE, _sold_on_the_day),
    ("sold short", Fault.NOT_SELLABLE, _sold_short),
    ("a step over what is sellable", Fault.NOT_SELLABLE, _cut_by(Reason.NOT_SELLABLE)),
    ("a step over participation", Fault.PARTICIPATION, _cut_by(Reason.PARTICIPATION)),
    ("a step over the cap", Fault.POSITION_CAP, _cut_by(Reason.POSITION_CAP)),
    ("a step over the cash", Fault.CASH, _cut_by(Reason.CASH)),
    ("a step over the maximum", Fault.ORDER_MAXIMUM, _cut_by(Reason.ORDER_MAXIMUM)),
    ("no dividend tax", Fault.TAX, _tax(None)),
    ("dividend tax a fen over", Fault.TAX, _tax(1)),
    ("cut for nothing", Fault.INCOMPLETE, _lot_less),
    ("refused for no volume", Fault.INCOMPLETE, _nothing(Reason.PARTICIPATION)),
    ("refused at no limit", Fault.INCOMPLETE, _nothing(Reason.LIMIT_UP)),
    ("limit-up called a suspension", Fault.REASON, _says(Reason.SUSPENDED, Reason.LIMIT_UP)),
    ("filled called a cut", Fault.REASON, _says(Reason.LOT, Reason.FILLED)),
    ("a cut called filled", Fault.REASON, _says(Reason.FILLED, Reason.CASH)),
    ("cut by a rule that is off", Fault.REASON, _says_participation),
    ("a refusal that costs", Fault.QUANTITY, _costly_nothing),
]


@pytest.fixture(scope="module")
def lawful() -> list[tuple[Case, list[Outcome]]]:
    """Return random sessions that the judge has nothing against."""
    answered = [(case, settled(case)) for case in random_cases(99, 8000)]
    return [(case, outcomes) for case, outcomes in answered if not judge(case, outcomes)]


@pytest.mark.parametrize(("fault", "change"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_outcome_is_illegal(lawful: list[tuple[Case, list[Outcome]]], fault: Fault, change: Change):
    found = 0
    for case, outcomes in lawful:
        for at, outcome in enumerate(outcomes):
            broken = change(case, outcome)
            if broken is None:
                continue
            breaches = judge(case, [*outcomes[:at], broken, *outcomes[at + 1 :]])
            assert (outcome.order.order_id, fault) in {(breach.order_id, breach.fault) for breach in breaches}
            found += 1
            break
    assert found >= 3


@pytest.mark.parametrize(
    "change",
    [
        lambda outcomes: outcomes[1:],
        lambda outcomes: [*outcomes, outcomes[-1]],
        lambda outcomes: [outcomes[1], outcomes[0], *outcomes[2:]],
        lambda outcomes: sorted(outcomes, key=lambda outcome: outcome.order.side is SELL),
    ],
    ids=["one left out", "one twice", "two swapped", "buys first"],
)
def test_outcomes_out_of_order_are_illegal(lawful: list[tuple[Case, list[Outcome]]], change):
    mixed = [(case, outcomes) for case, outcomes in lawful if {o.order.side for o in outcomes} == {BUY, SELL}]
    assert mixed
    for case, outcomes in mixed:
        assert Fault.SEQUENCE in {breach.fault for breach in judge(case, change(outcomes))}
