"""A judge of fills: the rules of DOMAIN part 1 written down once more, in whole fen.

It shares nothing with the engine but the types an order and its outcome are written in: its dates and rates are
its own, rates are whole ten-millionths, prices are fractions of a fen. ``judge`` says what is illegal about the
outcomes of a session, and what is incomplete: an order that got less than the rules allow, or a reason that is not so.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from engine.execution.costs import Fees
from engine.execution.fills import Bar, Order, Outcome
from engine.types import Board, Reason, Side

WHOLE = 10_000_000
"""Rates are counted in parts of this: 0.00255 % is 255."""

OPENED = {
    Board.SSE_MAIN: dt.date(1990, 12, 19),
    Board.SZSE_MAIN: dt.date(1991, 7, 3),
    Board.CHINEXT: dt.date(2009, 10, 30),
    Board.STAR: dt.date(2019, 7, 22),
    Board.BSE: dt.date(2021, 11, 15),
}
EXCHANGE = {Board.SSE_MAIN: "SH", Board.STAR: "SH", Board.SZSE_MAIN: "SZ", Board.CHINEXT: "SZ", Board.BSE: "BJ"}

# DOMAIN 1.6: smallest buy, step above it, largest order
MINIMUM = {Board.SSE_MAIN: 100, Board.SZSE_MAIN: 100, Board.CHINEXT: 100, Board.STAR: 200, Board.BSE: 100}
STEP = {Board.SSE_MAIN: 100, Board.SZSE_MAIN: 100, Board.CHINEXT: 100, Board.STAR: 1, Board.BSE: 1}
CHINEXT_REFORM = dt.date(2020, 8, 24)

# DOMAIN 1.8
HALF_STAMP = dt.date(2023, 8, 28)
ONE_TRANSFER_FEE = dt.date(2015, 8, 1)
HALF_TRANSFER_FEE = dt.date(2022, 4, 29)
PAR_FEN = 100
SH_PAR_RATE, SZ_OLD_RATE = 3000, 255
REGULATORY_RATE = 200
BSE_HANDLING = ((dt.date(2023, 8, 28), 1250), (dt.date(2022, 12, 1), 2500), (dt.date(2021, 11, 15), 5000))
HANDLING = ((dt.date(2023, 8, 28), 341), (dt.date(2015, 8, 1), 487), (dt.date(2012, 6, 1), 696))

# DOMAIN 1.10: percent for up to a month, up to a year, longer; and what was withheld at payment (财税〔2012〕85号)
BEFORE_2013 = dt.date(2012, 12, 31)
LAST_OF_5_PERCENT = dt.date(2015, 9, 8)


@dataclass(frozen=True)
class Dividend:
    """A dividend: its record date, and ten-thousandths of a CNY a share."""

    record: dt.date
    amount: int


@dataclass
class Parcel:
    """Shares acquired together; they may be sold after ``locked``."""

    acquired: dt.date
    shares: int
    locked: dt.date


@dataclass(frozen=True)
class Account:
    """Terms of the account: rates in ten-millionths, amounts in fen."""

    fill: str = "open"
    participation: Fraction = Fraction(1, 10)
    commission_rate: int = 2500
    commission_minimum: int = 500
    exchange_fees: bool = False
    largest: int | None = None


@dataclass(frozen=True)
class Case:
    """A session: its market, the account before it, and the orders as they were placed."""

    day: dt.date
    account: Account
    cash: int
    bars: dict[int, Bar]
    parcels: dict[int, tuple[Parcel, ...]]
    dividends: dict[int, tuple[Dividend, ...]]
    orders: tuple[Order, ...]


class Fault(StrEnum):
    """What can be wrong with an outcome."""

    SEQUENCE = "sequence"
    QUANTITY = "quantity"
    MARKET_SHUT = "market_shut"
    LIMIT_PRICE = "limit_price"
    PRICE = "price"
    NOT_SELLABLE = "not_sellable"
    LOT = "lot"
    ORDER_MAXIMUM = "order_maximum"
    PARTICIPATION = "participation"
    POSITION_CAP = "position_cap"
    CASH = "cash"
    COMMISSION = "commission"
    STAMP_DUTY = "stamp_duty"
    TRANSFER_FEE = "transfer_fee"
    TAX = "tax"
    INCOMPLETE = "incomplete"
    REASON = "reason"


@dataclass(frozen=True)
class Breach:
    """One thing wrong with one outcome."""

    order_id: str
    fault: Fault
    text: str


@dataclass
class _State:
    """What the session's fills so far have left."""

    case: Case
    cash: int
    parcels: dict[int, list[Parcel]] = field(default_factory=dict)
    taken: Counter[int] = field(default_factory=Counter)

    @classmethod
    def before(cls, case: Case) -> _State:
        parcels = {sid: [replace(parcel) for parcel in own] for sid, own in case.parcels.items()}
        return cls(case, case.cash, parcels)

    def held(self, sid: int) -> int:
        return sum(parcel.shares for parcel in self.parcels.get(sid, []))

    def sellable(self, sid: int) -> int:
        return sum(parcel.shares for parcel in self.parcels.get(sid, []) if parcel.locked < self.case.day)

    def enter(self, order: Order, shares: int, flow: int) -> None:
        """Take a fill in; what is bought is locked today, what is sold left first in, first out."""
        self.cash += flow
        self.taken[order.sid] += shares
        if order.side is Side.BUY:
            self.parcels.setdefault(order.sid, []).append(Parcel(self.case.day, shares, self.case.day))
            return
        for parcel, part in self._first_in(order.sid, shares):
            parcel.shares -= part

    def tax(self, sid: int, shares: int) -> int:
        """Return the dividend tax of a sale in fen."""
        hundredths_of_percent = sum(
            part * dividend.amount * _tax_percent(dividend.record, parcel.acquired, self.case.day)
            for parcel, part in self._first_in(sid, shares)
            for dividend in self.case.dividends.get(sid, ())
            if parcel.acquired <= dividend.record
        )
        return nearest(Fraction(hundredths_of_percent, 100 * 100))

    def _first_in(self, sid: int, shares: int) -> list[tuple[Parcel, int]]:
        parts = []
        for parcel in self.parcels.get(sid, []):
            if parcel.locked < self.case.day:
                part = min(parcel.shares, shares)
                shares -= part
                parts.append((parcel, part))
        return parts


def judge(case: Case, outcomes: Sequence[Outcome]) -> list[Breach]:
    """Return everything that is wrong with the outcomes of a session, in their order."""
    breaches = _sequence(case, outcomes)
    state = _State.before(case)
    for outcome in outcomes:
        breaches += [Breach(outcome.order.order_id, fault, text) for fault, text in _one(state, outcome)]
    return breaches


def _sequence(case: Case, outcomes: Sequence[Outcome]) -> list[Breach]:
    """Every order has one outcome: the sells as they were placed, then the buys."""
    due = [order for side in (Side.SELL, Side.BUY) for order in case.orders if order.side is side]
    if [outcome.order for outcome in outcomes] == due:
        return []
    return [Breach("", Fault.SEQUENCE, f"{[outcome.order.order_id for outcome in outcomes]} is not the order due")]


def _one(state: _State, outcome: Outcome) -> list[tuple[Fault, str]]:
    order, shares = outcome.order, outcome.filled
    if not 0 <= shares <= order.shares or shares != int(shares):
        return [(Fault.QUANTITY, f"{shares} of {order.shares}")]
    if (outcome.reason is Reason.FILLED) != (shares == order.shares):
        return [(Fault.REASON, f"{outcome.reason} with {shares} of {order.shares}")]
    shut = shut_by(order, state.case)
    found = [] if shares else _empty_handed(outcome)
    if shut:
        if shares:
            fault = Fault.LIMIT_PRICE if shut == {Reason.LIMIT_PRICE} else Fault.MARKET_SHUT
            found.append((fault, f"{shares} filled against {shut}"))
        elif outcome.reason not in shut:
            found.append((Fault.REASON, f"{outcome.reason} is not so, {shut} is"))
        return found
    if shares < order.shares:
        found += _completeness(state, outcome)
    if shares:
        found += _fill(state, outcome)
    return found


def _empty_handed(outcome: Outcome) -> list[tuple[Fault, str]]:
    if math.isnan(outcome.price) and outcome.fees == Fees() and outcome.tax == 0:
        return []
    return [(Fault.QUANTITY, "nothing was filled, and it has a price or a cost")]


def _fill(state: _State, outcome: Outcome) -> list[tuple[Fault, str]]:
    order, shares, case = outcome.order, outcome.filled, state.case
    found = [
        (Fault(reason.value), f"{shares} are too many")
        for reason in sorted(forbids(state, order, shares) - {Reason.CASH})
    ]
    exact = shares * deciding_price(case.bars[order.sid], case.account)
    value = round(shares * outcome.price * 100)
    if abs(shares * outcome.price * 100 - value) > 0.01 or abs(value - exact) > Fraction(1, 2):
        found.append((Fault.PRICE, f"{outcome.price} makes {value} fen, due are {float(exact)}"))
    found += _costs(outcome, value, case)
    costs = _fen(outcome.fees.total)
    if order.side is Side.SELL:
        tax = state.tax(order.sid, shares)
        if abs(outcome.tax * 100 - tax) > 1e-4:
            found.append((Fault.TAX, f"{outcome.tax} CNY, due are {tax} fen"))
        flow = value - costs - _fen(outcome.tax)
    else:
        if outcome.tax:
            found.append((Fault.TAX, "a buy pays no dividend tax"))
        flow = -value - costs
    state.enter(order, shares, flow)
    if flow < 0 and state.cash < 0:
        found.append((Fault.CASH, f"{state.cash} fen are left"))
    return found


def _costs(outcome: Outcome, value: int, case: Case) -> list[tuple[Fault, str]]:
    """Compare each fee to the fen, an exact half fen rounded up."""
    found = []
    due = exact_fees(outcome.order, outcome.filled, value, case)
    charged = outcome.fees.commission, outcome.fees.stamp_duty, outcome.fees.transfer_fee
    for fault, exact, amount in zip(_FEES, due, charged, strict=True):
        if abs(amount * 100 - nearest(exact)) > 1e-4:
            found.append((fault, f"{amount} CNY, due are {float(exact)} fen"))
    return found


_FEES = (Fault.COMMISSION, Fault.STAMP_DUTY, Fault.TRANSFER_FEE)


def _completeness(state: _State, outcome: Outcome) -> list[tuple[Fault, str]]:
    """An order that got less could get no more, and its reason is so."""
    order, shares, reason = outcome.order, outcome.filled, outcome.reason
    if order.side is Side.SELL and reason is Reason.CASH:  # all or nothing: a sale is not cut for its own costs
        most = _most_to_sell(state, order)
        unpaid = not shares and most and sale_brings(state, order, most) + state.cash < 0
        return [] if unpaid else [(Fault.REASON, f"{most} would have paid their fees and taxes")]
    more = larger(order, shares, state.sellable(order.sid), state.case.day)
    if more is None:
        # no quantity between the fill and the wish is a lawful one: the wish itself is what is forbidden
        if reason in forbids(state, order, order.shares) | {Reason.LOT}:
            return []
        return [(Fault.REASON, f"{reason} does not forbid {order.shares}")]
    why = forbids(state, order, more)
    if not why:
        return [(Fault.INCOMPLETE, f"{shares} of {order.shares} by {reason}, {more} were possible")]
    return [] if reason in why else [(Fault.REASON, f"{reason} does not forbid {more}, {why} do")]


def larger(order: Order, shares: int, sellable: int, day: dt.date) -> int | None:
    """Return the next lawful quantity above ``shares`` up to the wish, None if there is none."""
    minimum, step = MINIMUM[order.board], STEP[order.board]
    steps = 0 if shares < minimum else (shares - minimum) // step + 1
    lawful = [minimum + steps * step]
    if order.side is Side.SELL and shares < sellable:
        lawful.append(sellable)
    lawful = [quantity for quantity in lawful if quantity <= order.shares]
    return min(lawful, default=None)


def _most_to_sell(state: _State, order: Order) -> int:
    """Return the most that every rule but cash allows a sale, 0 if that is nothing."""
    most, sellable = 0, state.sellable(order.sid)
    room = min(order.shares, sellable, maximum(order.board, state.case.day))
    if state.case.account.participation:
        volume = int(state.case.bars[order.sid].volume)
        room = min(room, math.floor(state.case.account.participation * volume) - state.taken[order.sid])
    minimum, step = MINIMUM[order.board], STEP[order.board]
    if room >= minimum:
        most = minimum + (room - minimum) // step * step
    return sellable if room == sellable else most


def shut_by(order: Order, case: Case) -> set[Reason]:
    """Return why the order cannot trade at all; empty if it can."""
    bar = case.bars[order.sid]
    if not bar.listed or not bar.volume:
        return {
            reason for reason, so in ((Reason.NOT_LISTED, not bar.listed), (Reason.SUSPENDED, not bar.volume)) if so
        }
    price = deciding_price(bar, case.account)
    if order.side is Side.BUY and bar.up_limit and (price >= bar.up_limit or bar.low >= bar.up_limit):
        return {Reason.LIMIT_UP}
    if order.side is Side.SELL and bar.down_limit and (price <= bar.down_limit or bar.high <= bar.down_limit):
        return {Reason.LIMIT_DOWN}
    if order.limit is not None:
        limit = round(order.limit * 100)
        if price > limit if order.side is Side.BUY else price < limit:
            return {Reason.LIMIT_PRICE}
    return set()


def forbids(state: _State, order: Order, shares: int) -> set[Reason]:
    """Return every rule that so many shares would break."""
    case, why = state.case, set()
    bar, account, sellable = case.bars[order.sid], case.account, state.sellable(order.sid)
    minimum, step = MINIMUM[order.board], STEP[order.board]
    in_lots = shares >= minimum and (shares - minimum) % step == 0
    if not in_lots and not (order.side is Side.SELL and shares == sellable):
        why.add(Reason.LOT)
    if shares > maximum(order.board, case.day):
        why.add(Reason.ORDER_MAXIMUM)
    if account.participation and state.taken[order.sid] + shares > account.participation * int(bar.volume):
        why.add(Reason.PARTICIPATION)
    if order.side is Side.SELL:
        if shares > sellable:
            why.add(Reason.NOT_SELLABLE)
        elif sale_brings(state, order, shares) + state.cash < 0:
            why.add(Reason.CASH)
        return why
    price = deciding_price(bar, account)
    if account.largest is not None and (state.held(order.sid) + shares) * price > account.largest:
        why.add(Reason.POSITION_CAP)
    if buy_cost(order, shares, case) > state.cash:
        why.add(Reason.CASH)
    return why


def maximum(board: Board, day: dt.date) -> int:
    """Return the largest limit order of a board (DOMAIN 1.6)."""
    if board is Board.STAR:
        return 100_000
    return 300_000 if board is Board.CHINEXT and day >= CHINEXT_REFORM else 1_000_000


def deciding_price(bar: Bar, account: Account) -> Fraction:
    """Return the price the session's orders trade at, in fen and fractions of it."""
    if account.fill == "vwap":
        average = Fraction(bar.amount) * 100 / Fraction(bar.volume)
        return min(max(average, Fraction(bar.low)), Fraction(bar.high))
    return Fraction(bar.open if account.fill == "open" else bar.close)


def buy_cost(order: Order, shares: int, case: Case) -> int:
    """Return what a buy of so many shares takes out of the account, in fen."""
    value = nearest(shares * deciding_price(case.bars[order.sid], case.account))
    return value + sum(nearest(fee) for fee in exact_fees(order, shares, value, case))


def sale_brings(state: _State, order: Order, shares: int) -> int:
    """Return what a sale of so many shares brings, fees and tax taken off, in fen."""
    value = nearest(shares * deciding_price(state.case.bars[order.sid], state.case.account))
    fees = sum(nearest(fee) for fee in exact_fees(order, shares, value, state.case))
    return value - fees - state.tax(order.sid, shares)


def exact_fees(order: Order, shares: int, value: int, case: Case) -> tuple[Fraction, Fraction, Fraction]:
    """Return commission, stamp duty and transfer fee in fractions of a fen."""
    day, exchange, account = case.day, EXCHANGE[order.board], case.account
    commission = max(value * account.commission_rate, account.commission_minimum * WHOLE)
    if account.exchange_fees:
        handling = BSE_HANDLING if exchange == "BJ" else HANDLING
        commission += value * (next(rate for since, rate in handling if day >= since) + REGULATORY_RATE)
    stamp = value * (5000 if day >= HALF_STAMP else 10_000) if order.side is Side.SELL else 0
    if day >= ONE_TRANSFER_FEE:
        transfer = value * (100 if day >= HALF_TRANSFER_FEE else 200)
    else:
        transfer = shares * PAR_FEN * SH_PAR_RATE if exchange == "SH" else value * SZ_OLD_RATE
    return Fraction(commission, WHOLE), Fraction(stamp, WHOLE), Fraction(transfer, WHOLE)


def lawful_outcome(case: Case, order: Order, shares: int, reason: Reason) -> Outcome:
    """Return a fill with the right price and fees, were the quantity lawful; tax is left at 0."""
    value = nearest(shares * deciding_price(case.bars[order.sid], case.account))
    fees = Fees(*(nearest(fee) / 100 for fee in exact_fees(order, shares, value, case)))
    return Outcome(order, shares, value / 100 / shares, fees, reason)


def nearest(amount: Fraction) -> int:
    """Round half up."""
    return math.floor(amount + Fraction(1, 2))


def _fen(amount: float) -> int:
    return round(amount * 100)


def _tax_percent(record: dt.date, bought: dt.date, sold: dt.date) -> int:
    """Return the percent of a dividend due at the sale beyond what was withheld when it was paid."""
    if record <= BEFORE_2013:
        return 0  # 10 % flat, withheld in full
    if record <= LAST_OF_5_PERCENT:
        month, year, longer = 15, 5, 0  # 20, 10, 5, of which 5 were withheld
    else:
        month, year, longer = 20, 10, 0
    months = (sold.year - bought.year) * 12 + sold.month - bought.month
    if (months, sold.day) <= (1, bought.day):
        return month
    return year if (months, sold.day) <= (12, bought.day) else longer
