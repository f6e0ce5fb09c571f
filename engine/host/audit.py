"""The second book of a backtest (setting ``execution.audit``): an integer fold beside zipline's float ledger."""

from __future__ import annotations

import datetime as dt
from collections import deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pandas as pd

from engine.errors import ProofFailed
from engine.execution.holdings import Holdings
from engine.market.actions import whole_shares
from engine.panels.actions import Action
from engine.panels.reader import Panels
from engine.paper.book import Book, BookError, Deposit, Event, ExDividend, Filled, Left, Opened, Subscribed
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
    capital : float
        CNY at the start.
    """

    def __init__(self, panels: Panels, settings: ExecutionSettings, capital: float) -> None:
        self._panels, self._settings = panels, settings
        self._book = Book(settings.dividend_tax).fold([Deposit(_fen(capital))])
        self._uncharged: deque[Any] = deque()

    def open(self, session: pd.Timestamp) -> None:
        """Begin a session with its corporate actions."""
        day, row = session.date(), self._panels.row(session)
        self._take(Opened(day))
        for action in self._panels.actions.on(row):
            held = self._book.entitled(action.sid)
            if held and (action.cash or action.shares):
                self._take(_ex_dividend(action, self._day(action.pay_row)))
            if held and action.rights and self._settings.rights == "subscribe":
                self._subscribe(action, held)

    def fill(self, transaction: Any) -> None:
        """Note a fill; its costs follow."""
        self._uncharged.append(transaction)

    def charge(self, commission: dict[str, Any]) -> None:
        """Enter the next fill with what it cost: zipline tells all fills of a session, then all costs."""
        transaction = self._uncharged.popleft()
        shares = int(transaction.amount)
        side = Side.BUY if shares > 0 else Side.SELL
        value, fees = _fen(abs(shares) * transaction.price), _fen(commission["cost"])
        self._take(Filled(transaction.asset.sid, side, abs(shares), value, fees))

    def capital(self, amount: float) -> None:
        """Enter a change of capital."""
        self._take(Deposit(_fen(amount)))

    def leave(self, sid: int, cash: Decimal, into: int | None, shares: Decimal) -> None:
        """Enter a delisting."""
        self._take(Left(sid, Fraction(cash), into, Fraction(shares)))

    def close(self, session: pd.Timestamp, portfolio: Any, holdings: Holdings) -> None:
        """Compare cash, shares, what may be sold, and net value.

        Raises
        ------
        ProofFailed
            They differ.
        """
        day = session.date()
        held = {asset.sid: int(position.amount) for asset, position in portfolio.positions.items() if position.amount}
        prices = {asset.sid: _fen(position.last_sale_price) for asset, position in portfolio.positions.items()}
        self._require(day, "shares", self._book.positions(), held)
        ours, theirs = ({sid: count(sid) for sid in held} for count in (self._book.sellable, _sellable(holdings, day)))
        self._require(day, "sellable shares", ours, theirs)
        self._require_fen(day, "cash", self._book.cash, portfolio.cash)
        self._require_fen(day, "net value", self._book.net_value(prices), portfolio.portfolio_value)

    def _subscribe(self, action: Action, held: int) -> None:
        price = Fraction(action.rights_price)
        shares = min(whole_shares(held, action.rights), int(Fraction(self._book.cash, 100) / price))
        first = self._day(action.list_row)
        locked = first if first == dt.date.max else first - dt.timedelta(days=1)
        self._take(Subscribed(action.sid, shares, round(shares * price * 100), locked))

    def _day(self, row: int) -> dt.date:
        days = self._panels.days
        if row >= len(days):
            return dt.date.max
        day: dt.date = days[row].astype(dt.date)
        return day

    def _take(self, event: Event) -> None:
        try:
            self._book.apply(event)
        except BookError as error:
            raise ProofFailed(f"the second book refuses {event}", str(error), _MEND) from None

    def _require(self, day: dt.date, what: str, ours: dict[int, int], theirs: dict[int, int]) -> None:
        if ours != theirs:
            sid = min(sid for sid in {*ours, *theirs} if ours.get(sid) != theirs.get(sid))
            code = self._panels.assets[sid].code_on(day)
            raise ProofFailed(
                f"the two books differ in {what} on {day}",
                f"{code}: {ours.get(sid, 0)} in ours, {theirs.get(sid, 0)} in zipline's",
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


def _sellable(holdings: Holdings, day: dt.date) -> Any:
    return lambda sid: holdings.sellable(sid, day)


def _ex_dividend(action: Action, pay: dt.date) -> ExDividend:
    cash, shares, taxed = (Fraction(value) for value in (action.cash, action.shares, action.taxed_shares))
    return ExDividend(action.sid, action.record, pay, cash, cash + taxed, shares)


def _fen(amount: float) -> int:
    return round(amount * 100)
