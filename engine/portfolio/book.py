"""An account as a fold of events in whole fen: pure, and apart from zipline's ledger so that it can check it.

The book is what remains after all events. It works lots, dividends and taxes out itself, in integers and
fractions, and shares no code with ``engine.execution`` and the ledger but the rates of the law.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from engine.market.actions import due_at_sale, withheld_at_payment
from engine.types import Side

Stock = int | str
"""How a stock is named: by any key that stays the same as long as the book lives."""


@dataclass(frozen=True)
class Deposit:
    """Capital put in, or taken out, fen."""

    fen: int


@dataclass(frozen=True)
class Opened:
    """A session begins: from now on, what earlier sessions bought may be sold, and what is due is paid."""

    day: dt.date


@dataclass(frozen=True)
class Filled:
    """A fill: its value and what it cost, fen."""

    stock: Stock
    side: Side
    shares: int
    value: int
    fees: int


@dataclass(frozen=True)
class ExDividend:
    """A stock goes ex: cash (CNY a share, paid on ``pay``) and new shares a share."""

    stock: Stock
    record: dt.date
    pay: dt.date
    cash: Fraction
    taxed: Fraction
    shares: Fraction


@dataclass(frozen=True)
class Subscribed:
    """Rights taken up: shares for so much, fen, sellable after a day."""

    stock: Stock
    shares: int
    fen: int
    locked_until: dt.date


@dataclass(frozen=True)
class Left:
    """A stock left the market for so much cash, CNY a share, and so many shares of another."""

    stock: Stock
    cash: Fraction
    into: Stock | None = None
    shares: Fraction = Fraction(0)


Event = Deposit | Opened | Filled | ExDividend | Subscribed | Left


@dataclass
class _Purchase:
    """Shares bought together, and the dividends on them that are not fully taxed."""

    shares: int
    day: dt.date
    locked: dt.date
    dividends: list[tuple[dt.date, Fraction]] = field(default_factory=list)


class BookError(ValueError):
    """An event cannot be: more sold than may be sold, or cash below zero."""


class Book:
    """Folds events.

    Parameters
    ----------
    dividend_tax : bool
        Whether dividends are taxed by the holding period.

    Attributes
    ----------
    cash : int
        Fen.
    """

    def __init__(self, dividend_tax: bool = True) -> None:
        self.cash = 0
        self.day = dt.date.min
        self._tax = dividend_tax
        self._purchases: dict[Stock, list[_Purchase]] = {}
        self._due: list[tuple[dt.date, int, int]] = []
        self._owed = 0
        self._entitled: dict[Stock, int] = {}

    def apply(self, event: Event) -> None:
        """Take one event in.

        Raises
        ------
        BookError
            The event sells what may not be sold, or spends more than there is.
        """
        match event:
            case Deposit(fen):
                self.cash += fen
            case Opened(day):
                self.day, self._entitled = day, self.positions()
                self._pay()
            case Filled(side=Side.BUY):
                self._spend(event.value + event.fees)
                self._bring(event.stock, event.shares, self.day)
            case Filled():
                self._sell(event)
            case ExDividend():
                self._ex(event)
                self._pay()
            case Subscribed(stock, shares, fen, locked):
                self._spend(fen)
                self._bring(stock, shares, locked)
            case Left():
                self._leave(event)

    def fold(self, events: Iterable[Event]) -> Book:
        """Take events in, in order, and return the book."""
        for event in events:
            self.apply(event)
        return self

    def positions(self) -> dict[Stock, int]:
        """Return the shares of every stock held."""
        return {stock: self.held(stock) for stock in self._purchases}

    def held(self, stock: Stock) -> int:
        """Return the shares held."""
        return sum(purchase.shares for purchase in self._purchases.get(stock, ()))

    def entitled(self, stock: Stock) -> int:
        """Return the shares held when the session began: what its corporate actions go by."""
        return self._entitled.get(stock, 0)

    def sellable(self, stock: Stock) -> int:
        """Return the shares that may be sold in the session."""
        return sum(purchase.shares for purchase in self._purchases.get(stock, ()) if purchase.locked < self.day)

    def net_value(self, prices: Mapping[Stock, int]) -> int:
        """Return cash and holdings at these prices, fen."""
        return self.cash + sum(shares * prices[stock] for stock, shares in self.positions().items())

    def _spend(self, fen: int) -> None:
        if fen > self.cash:
            raise BookError(f"{fen} fen spent, {self.cash} are there")
        self.cash -= fen

    def _bring(self, stock: Stock, shares: int, locked: dt.date) -> None:
        self._purchases.setdefault(stock, []).append(_Purchase(shares, self.day, locked))

    def _sell(self, event: Filled) -> None:
        if event.shares > self.sellable(event.stock):
            raise BookError(f"{event.shares} shares of {event.stock} sold, {self.sellable(event.stock)} may be")
        due, open_shares = Fraction(0), event.shares
        for purchase in self._purchases[event.stock]:
            if purchase.locked < self.day and open_shares:
                taken = min(purchase.shares, open_shares)
                due += taken * self._tax_a_share(purchase)
                purchase.shares -= taken
                open_shares -= taken
        self._purchases[event.stock] = [purchase for purchase in self._purchases[event.stock] if purchase.shares]
        if not self._purchases[event.stock]:
            del self._purchases[event.stock]
        self._spend(event.fees + _half_up(due * 100) - event.value)

    def _tax_a_share(self, purchase: _Purchase) -> Fraction:
        return sum(
            (amount * Fraction(due_at_sale(record, purchase.day, self.day)) for record, amount in purchase.dividends),
            Fraction(0),
        )

    def _ex(self, event: ExDividend) -> None:
        held = self.entitled(event.stock)
        withheld = 0
        if self._tax and held:
            withheld = _half_up(held * event.taxed * Fraction(withheld_at_payment(event.record)) * 100)
            for purchase in self._purchases.get(event.stock, ()):
                if purchase.day <= event.record:
                    purchase.dividends.append((event.record, event.taxed))
        self._due.append((event.pay, _half_up(held * event.cash * 100), withheld))
        new = int(held * event.shares)
        if new:
            self._bring(event.stock, new, self.day - dt.timedelta(days=1))

    def _pay(self) -> None:
        """Enter the dividends that are due, and take the tax withheld from them as far as the cash goes."""
        self.cash += sum(gross for day, gross, _ in self._due if day <= self.day)
        self._owed += sum(withheld for day, _, withheld in self._due if day <= self.day)
        self._due = [entry for entry in self._due if entry[0] > self.day]
        taken = min(self._owed, max(self.cash, 0))
        self.cash, self._owed = self.cash - taken, self._owed - taken

    def _leave(self, event: Left) -> None:
        held = self.held(event.stock)
        self._purchases.pop(event.stock, None)
        self.cash += _half_up(held * event.cash * 100)
        got = int(held * event.shares)
        if event.into is not None and got:
            self._bring(event.into, got, self.day)


def _half_up(fen: Fraction) -> int:
    return int((fen * 2 + 1) // 2)
