"""Years of random sessions through ``settle`` with lots and float cash as the ledger keeps them, and through the book.

Both must agree to the fen and the share after every step, and every fen of net value must have its cause.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.execution.fills import Bar, Order, Outcome, Position, Terms, settle
from engine.execution.holdings import Holdings
from engine.market.actions import to_fen, whole_shares, withheld_at_payment
from engine.portfolio.book import Book, Deposit, ExDividend, Filled, Left, Opened, Subscribed
from engine.settings import ExecutionSettings
from engine.types import Board, Side

FIRST = dt.date(2012, 9, 3)
OPENED = {Board.CHINEXT: dt.date(2009, 10, 30), Board.STAR: dt.date(2019, 7, 22), Board.BSE: dt.date(2021, 11, 15)}
CODES = {
    Board.SSE_MAIN: "600{:03d}.SH",
    Board.SZSE_MAIN: "000{:03d}.SZ",
    Board.CHINEXT: "300{:03d}.SZ",
    Board.STAR: "688{:03d}.SH",
    Board.BSE: "920{:03d}.BJ",
}
BOARDS = list(Board)
PLACES = st.integers(0, len(BOARDS) - 1)
GAPS = st.sampled_from([1, 1, 1, 3, 10, 28, 29, 30, 31, 32, 180, 365, 366, 800])


@dataclass
class Wish:
    """An order in the making: the stock by its place, the limit in fen from the open."""

    place: int
    side: Side
    shares: int
    limit: int | None


WISHES = st.lists(
    st.builds(
        Wish,
        PLACES,
        st.sampled_from([Side.SELL, Side.BUY]),
        st.one_of(st.integers(1, 3000), st.integers(1, 50).map(lambda lots: lots * 100), st.just(400_000)),
        st.one_of(st.none(), st.integers(-3, 3)),
    ),
    min_size=1,
    max_size=8,
)


@st.composite
def moves(draw: st.DrawFn) -> tuple[int, int, int, bool]:
    """Return open and close in thousandths of the price before, the volume, and whether there are limits."""
    return (
        draw(st.integers(895, 1105)),
        draw(st.integers(895, 1105)),
        draw(st.sampled_from([1_000_000, 9_000, 50_000_000, 50_000_000, 700, 0])),
        draw(st.booleans()),
    )


class Accounts(RuleBasedStateMachine):
    """One account, kept twice."""

    def __init__(self) -> None:
        super().__init__()
        self.day = self.before = FIRST
        self.cash = 0.0
        self.owed = 0
        self.start = 0
        self.holdings, self.book = Holdings(), Book()
        self.payable: list[tuple[dt.date, Decimal, Decimal]] = []
        self.causes: Counter[str] = Counter()
        self.sids = list(range(len(BOARDS)))
        self.prices = {sid: 1000 + 700 * sid for sid in self.sids}
        self.gone_ex: set[int] = set()
        self.entitled: dict[int, int] = {}
        self.placed = 0

    @initialize(
        capital=st.sampled_from([200_000_00, 5_000_00, 30_000_000_00]),
        offset=st.integers(0, 4500),
        lots=st.lists(st.integers(0, 4000), min_size=len(BOARDS), max_size=len(BOARDS)),
    )
    def begin(self, capital: int, offset: int, lots: list[int]) -> None:
        """Put capital in, on some day, and shares bought at the mark without costs."""
        self.day = FIRST + dt.timedelta(days=offset)
        bought = {sid: shares for sid, shares in zip(self.sids, lots, strict=True) if shares and self._listed(sid)}
        value = sum(shares * self.prices[sid] for sid, shares in bought.items())
        self.start, self.cash = capital + value, capital / 100
        self.book.fold([Deposit(capital + value), Opened(self.day)])
        for sid, shares in bought.items():
            self.holdings.add(sid, shares, self.day)
            self.book.apply(Filled(sid, Side.BUY, shares, shares * self.prices[sid], 0))
        self._next_session(1)

    @rule(
        place=PLACES,
        cash=st.integers(0, 20_000),
        tenths=st.sampled_from([0, 0, 1, 3, 10]),
        taxed=st.booleans(),
        delay=st.sampled_from([0, 0, 1, 7, 40]),
    )
    def ex_session(self, place: int, cash: int, tenths: int, taxed: bool, delay: int) -> None:
        """A stock goes ex, once a session: the ledger notes what it owes, and its bonus shares come."""
        sid = self.sids[self._held_place(place)]
        held = self.entitled.get(sid, 0)
        if not held or sid in self.gone_ex or not (cash or tenths):
            return
        self.gone_ex.add(sid)
        amount, shares = Decimal(cash) / 10_000, Decimal(tenths) / 10
        taxable = amount + (shares if taxed else 0)
        self._mark(sid, max(round((self.prices[sid] - float(amount) * 100) / (1 + tenths / 10)), 5))
        pay = self.day + dt.timedelta(days=delay)
        withheld = to_fen(held * taxable * withheld_at_payment(self.before))
        self.payable.append((pay, to_fen(held * amount), withheld))
        self.holdings.entitle(sid, self.before, taxable)
        new = whole_shares(held, shares)
        if new:
            self.holdings.add(sid, new, self.day, locked_until=self.day - dt.timedelta(days=1))
            self.causes["bonus"] += new * self.prices[sid]
        self.book.apply(
            ExDividend(sid, self.before, pay, Fraction(cash, 10_000), Fraction(taxable), Fraction(tenths, 10))
        )
        self._pay()

    @rule(place=PLACES, tenths=st.integers(1, 3), share=st.integers(30, 90), days=st.sampled_from([0, 1, 12]))
    def rights(self, place: int, tenths: int, share: int, days: int) -> None:
        """Rights are taken up as far as the cash goes, and locked until they are listed."""
        sid = self.sids[self._held_place(place)]
        price = max(self.prices[sid] * share // 100, 1)
        affordable = int(Decimal(repr(self.cash)) / (Decimal(price) / 100))
        wanted = whole_shares(self.entitled.get(sid, 0), Decimal(tenths) / 10)
        shares = min(wanted, max(affordable, 0))
        if not shares:
            return
        locked = self.day + dt.timedelta(days=days - 1)
        self._flow(-shares * (price / 100))
        self.holdings.add(sid, shares, self.day, locked_until=locked)
        self.causes["rights"] += shares * (self.prices[sid] - price)
        self.book.apply(Subscribed(sid, shares, shares * price, locked))

    @precondition(lambda self: self.day.day <= 10)
    @rule(place=PLACES, cash=st.sampled_from([0, 0, 1, 12_345]), into=st.one_of(st.none(), PLACES))
    def leave(self, place: int, cash: int, into: int | None) -> None:
        """A stock leaves the market for nothing, for cash, or into another; a new one takes its place."""
        place = self._held_place(place)
        sid, held = self.sids[place], self.holdings.held(self.sids[place])
        successor = None if into is None or into == place else self.sids[into]
        ratio = Decimal("0.37") if successor is not None else Decimal(0)
        if held:
            recovered = to_fen(held * Decimal(cash) / 10_000)
            self._flow(held * (float(recovered) / held))
            self.holdings.clear(sid)
            got = whole_shares(held, ratio)
            if successor is not None:
                self.holdings.add(successor, got, self.day)
                self.causes["delisting"] += got * self.prices[successor]
            self.causes["delisting"] += int(recovered * 100) - held * self.prices[sid]
            self.book.apply(Left(sid, Fraction(cash, 10_000), successor, Fraction(ratio)))
        self.sids[place] = max(self.prices) + 1
        self.prices[self.sids[place]] = 40 + 111 * place

    @rule(
        wishes=WISHES,
        moved=st.lists(moves(), min_size=len(BOARDS), max_size=len(BOARDS)),
        fill=st.sampled_from(["open", "vwap", "close"]),
        capped=st.booleans(),
        sell_all=st.booleans(),
        gap=GAPS,
    )
    def trade(
        self,
        wishes: list[Wish],
        moved: list[tuple[int, int, int, bool]],
        fill: str,
        capped: bool,
        sell_all: bool,
        gap: int,
    ) -> None:
        """Orders meet the session's bars; it closes, and after so many days the next one opens."""
        bars = {self.sids[place]: self._bar(place, *move) for place, move in enumerate(moved)}
        orders = [self._order(wish, bars) for wish in wishes]
        if sell_all:
            orders += [self._order(Wish(place, Side.SELL, 10**7, None), bars) for place in range(len(BOARDS))]
        positions = {sid: Position(self.holdings.held(sid), self.holdings.sellable(sid, self.day)) for sid in self.sids}
        plain = Terms.of(self.day, ExecutionSettings(fill=fill))
        largest = 0.2 * self._net_value() / 100 if capped else None
        terms = Terms(self.day, plain.settings, plain.commission, tax=self._tax, release=self._release, largest=largest)
        for outcome in settle(orders, bars.__getitem__, self.cash, positions, terms):
            if outcome.filled:
                self._enter(outcome)
        for sid, bar in bars.items():
            if bar.volume:
                self._mark(sid, bar.close)
        self.check()
        self._next_session(gap)

    @invariant()
    def the_books_agree(self) -> None:
        """Shares, what may be sold, and cash to the fen are the same in both."""
        assert round(self.cash * 100) == self.book.cash
        assert abs(self.cash * 100 - self.book.cash) < 0.01
        held = {sid: self.holdings.held(sid) for sid in self.prices if self.holdings.held(sid)}
        assert self.book.positions() == held
        for sid, shares in held.items():
            assert self.book.sellable(sid) == self.holdings.sellable(sid, self.day)
            assert 0 <= self.book.sellable(sid) <= shares

    @invariant()
    def cash_is_not_negative(self) -> None:
        """Nothing takes cash below zero; tax that no cash is there for is owed."""
        assert self.book.cash >= 0

    @invariant()
    def every_fen_has_its_cause(self) -> None:
        """Net value is the capital and the sum of what moved it."""
        due = self.start + sum(self.causes.values())
        assert self.book.net_value(self.prices) == due
        assert self._net_value() == due

    def check(self) -> None:
        """Hold the invariants at a close too."""
        self.the_books_agree()
        self.cash_is_not_negative()
        self.every_fen_has_its_cause()

    def _next_session(self, gap: int) -> None:
        """Open a later session: what is due is paid."""
        self.before, self.day = self.day, self.day + dt.timedelta(days=gap)
        self.gone_ex.clear()
        self.entitled = {sid: self.holdings.held(sid) for sid in self.sids}
        self.book.apply(Opened(self.day))
        self._pay()

    def _listed(self, sid: int) -> bool:
        return self.day >= OPENED.get(BOARDS[self.sids.index(sid)], FIRST)

    def _held_place(self, place: int) -> int:
        """Turn to a stock that is held, if there is one."""
        held = [own for own, sid in enumerate(self.sids) if self.holdings.held(sid)]
        return held[place % len(held)] if held else place

    def _order(self, wish: Wish, bars: dict[int, Bar]) -> Order:
        sid, board = self.sids[wish.place], BOARDS[wish.place]
        limit = None if wish.limit is None else max(bars[sid].open + wish.limit, 1) / 100
        self.placed += 1
        return Order(str(self.placed), sid, CODES[board].format(sid % 1000), board, wish.side, wish.shares, limit)

    def _bar(self, place: int, opened: int, close: int, volume: int, limits: bool) -> Bar:
        before = self.prices[self.sids[place]]
        up, down = ((before * 110 + 50) // 100, (before * 90 + 50) // 100) if limits else (0, 0)
        prices = [max(before * price // 1000, 1) for price in (opened, close)]
        if limits:
            prices = [min(max(price, down), up) for price in prices]
        listed = self._listed(self.sids[place])
        if not volume or not listed:
            return Bar(0, 0, 0, 0, up, down, 0.0, 0.0, listed)
        amount = round(volume * (2 * prices[0] + prices[1]) / 300)
        return Bar(prices[0], max(prices), min(prices), prices[1], up, down, float(volume), float(amount), listed)

    def _tax(self, order: Order, shares: int) -> float:
        return float(self.holdings.tax_on_sale(order.sid, shares, self.day))

    def _release(self, order: Order, shares: int) -> None:
        self.holdings.sell(order.sid, shares, self.day)

    def _enter(self, outcome: Outcome) -> None:
        """Take a fill in: cash as zipline's ledger moves it, shares as the blotter enters them."""
        order, shares = outcome.order, outcome.filled
        value, fees, tax = (round(cny * 100) for cny in (shares * outcome.price, outcome.fees.total, outcome.tax))
        signed = shares if order.side is Side.BUY else -shares
        self._flow(-(outcome.price * signed))
        self._flow(-outcome.fees.total)
        if tax:
            self._flow(-outcome.tax)
        if order.side is Side.BUY:
            self.holdings.add(order.sid, shares, self.day)
        self.book.apply(Filled(order.sid, order.side, shares, value, fees))
        self.causes["fill against mark"] += signed * self.prices[order.sid] + (value if signed < 0 else -value)
        self.causes["fees"] -= fees
        self.causes["tax"] -= tax

    def _pay(self) -> None:
        due = [entry for entry in self.payable if entry[0] <= self.day]
        self.payable = [entry for entry in self.payable if entry[0] > self.day]
        for _, gross, withheld in due:
            self._flow(float(gross))
            self.owed += int(withheld * 100)
            self.causes["dividend"] += int(gross * 100)
        taken = min(self.owed, max(round(self.cash * 100), 0))
        self.owed -= taken
        self._flow(-taken / 100)
        self.causes["tax"] -= taken

    def _mark(self, sid: int, price: int) -> None:
        self.causes["price"] += self.holdings.held(sid) * (price - self.prices[sid])
        self.prices[sid] = price

    def _flow(self, cny: float) -> None:
        self.cash += cny

    def _net_value(self) -> int:
        return round(self.cash * 100) + sum(self.holdings.held(sid) * price for sid, price in self.prices.items())


QUICK = settings(
    max_examples=200, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def test_two_books_of_random_sessions() -> None:
    run_state_machine_as_test(Accounts, settings=QUICK)


@pytest.mark.slow
def test_two_books_of_many_random_sessions() -> None:
    run_state_machine_as_test(Accounts, settings=settings(QUICK, max_examples=1000, stateful_step_count=60))
