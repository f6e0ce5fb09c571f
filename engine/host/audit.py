"""The second book of a backtest (setting ``execution.audit``): an integer fold beside zipline's float ledger."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pandas as pd

from engine.errors import ProofFailed
from engine.execution.holdings import Holdings
from engine.market.actions import whole_shares
from engine.panels.actions import Action
from engine.panels.reader import Panels
from engine.portfolio.book import Book, BookError, Deposit, Event, ExDividend, Filled, Left, Opened, Stock, Subscribed
from engine.settings import ExecutionSettings
from engine.types import Side

TOLERANCE = 1
"""Fen by which cash and net value may differ: the ledger counts in floats."""


class Audit:
    """Feeds a ``Book`` with what the ledger is told, and compares them at every close.

    Parameters
    ----------
    panels : Panels
        The bundle.
    settings : ExecutionSettings
        Whether dividends are taxed and rights taken up.
    book : Book
        What was before: at the start of a run, the capital and nothing else.

    Attributes
    ----------
    taken : list of Event
        What was entered, in its order; stocks go by their first code.
    """

    def __init__(self, panels: Panels, settings: ExecutionSettings, book: Book) -> None:
        self._panels, self._settings = panels, settings
        self._book, self.taken = book, list[Event]()
        self._uncharged: deque[Any] = deque()

    @classmethod
    def of_run(cls, panels: Panels, settings: ExecutionSettings, capital: float) -> Audit:
        """Return the second book of a run that starts with so much capital, CNY."""
        return cls(panels, settings, Book(settings.dividend_tax).fold([Deposit(to_fen(capital))]))

    def open(self, session: pd.Timestamp) -> None:
        """Begin a session with its corporate actions."""
        day, row = session.date(), self._panels.row(session)
        self._take(Opened(day))
        for action in self._panels.actions.on(row):
            code = self._code(action.sid)
            held = self._book.entitled(code)
            if held and (action.cash or action.shares):
                self._take(_ex_dividend(code, action, self._panels.day_of(action.pay_row)))
            if held and action.rights and self._settings.rights == "subscribe":
                self._subscribe(code, action, held)

    def fill(self, transaction: Any) -> None:
        """Note a fill; its costs follow."""
        self._uncharged.append(transaction)

    def charge(self, commission: dict[str, Any]) -> None:
        """Enter the next fill with what it cost: zipline tells all fills of a session, then all costs."""
        transaction = self._uncharged.popleft()
        shares = int(transaction.amount)
        side = Side.BUY if shares > 0 else Side.SELL
        value, fees = to_fen(abs(shares) * transaction.price), to_fen(commission["cost"])
        self._take(Filled(self._code(transaction.asset.sid), side, abs(shares), value, fees))

    def capital(self, amount: float) -> None:
        """Enter a change of capital."""
        self._take(Deposit(to_fen(amount)))

    def leave(self, sid: int, cash: Decimal, into: int | None, shares: Decimal) -> None:
        """Enter a delisting."""
        absorbing = None if into is None else self._code(into)
        self._take(Left(self._code(sid), Fraction(cash), absorbing, Fraction(shares)))

    def close(self, session: pd.Timestamp, portfolio: Any, holdings: Holdings) -> None:
        """Compare cash, shares, what may be sold, and net value.

        Raises
        ------
        ProofFailed
            They differ.
        """
        day = session.date()
        held = {asset.sid: position for asset, position in portfolio.positions.items() if position.amount}
        codes: dict[int, Stock] = {sid: self._code(sid) for sid in held}
        shares = {codes[sid]: int(position.amount) for sid, position in held.items()}
        prices = {codes[sid]: to_fen(position.last_sale_price) for sid, position in held.items()}
        self._require(day, "shares", self._book.positions(), shares)
        ours = {code: self._book.sellable(code) for code in codes.values()}
        self._require(day, "sellable shares", ours, {codes[sid]: holdings.sellable(sid, day) for sid in held})
        self._require_fen(day, "cash", self._book.cash, portfolio.cash)
        self._require_fen(day, "net value", self._book.net_value(prices), portfolio.portfolio_value)

    def _subscribe(self, code: str, action: Action, held: int) -> None:
        price = Fraction(action.rights_price)
        shares = min(whole_shares(held, action.rights), int(Fraction(self._book.cash, 100) / price))
        first = self._panels.day_of(action.list_row)
        locked = first if first == dt.date.max else first - dt.timedelta(days=1)
        self._take(Subscribed(code, shares, round(shares * price * 100), locked))

    def _code(self, sid: int) -> str:
        return self._panels.assets[sid].first_code

    def _take(self, event: Event) -> None:
        try:
            self._book.apply(event)
        except BookError as error:
            raise ProofFailed(f"the second book refuses {event}", str(error), _MEND) from None
        self.taken.append(event)

    def _require(self, day: dt.date, what: str, ours: Mapping[Stock, int], theirs: Mapping[Stock, int]) -> None:
        if ours != theirs:
            code = min((code for code in {*ours, *theirs} if ours.get(code) != theirs.get(code)), key=str)
            raise ProofFailed(
                f"the two books differ in {what} on {day}",
                f"{code}: {ours.get(code, 0)} in ours, {theirs.get(code, 0)} in zipline's",
                _MEND,
            )

    def _require_fen(self, day: dt.date, what: str, ours: int, theirs: float) -> None:
        if abs(ours - theirs * 100) > TOLERANCE:
            raise ProofFailed(
                f"the two books differ in {what} on {day}",
                f"{ours / 100:.2f} in ours, {theirs:.4f} in zipline's",
                _MEND,
            )


_MEND = "This is a defect of the engine: report it with the run's settings and script."


def _ex_dividend(code: str, action: Action, pay: dt.date) -> ExDividend:
    cash, shares, taxed = (Fraction(value) for value in (action.cash, action.shares, action.taxed_shares))
    return ExDividend(code, action.record, pay, cash, cash + taxed, shares)


def to_fen(amount: float) -> int:
    """Return an amount of CNY in whole fen."""
    return round(amount * 100)
