"""A broker in memory: its market trades what it is told to. For paper, tests and as the far end of ``adversary``."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.broker.port import Fill, Holding, Report, State, Ticket
from engine.types import Side

Execution = tuple[int, float]
"""Shares, and CNY a share."""
Charges = tuple[float, float, float]
"""Commission, stamp duty and transfer fee, CNY."""


@dataclass
class _Order:
    """An order in the books, and what the market will still do with it."""

    ticket: Ticket
    report: Report
    coming: deque[Execution]


class Simulated:
    """An account whose fills come from a callable.

    Parameters
    ----------
    trades : callable
        From a ticket to what the market does with it, in order; each step of the market takes one.
    holdings : mapping of str to int
        Shares held before the first session, all sellable.
    cash : int
        Fen.
    charges : callable, optional
        From a ticket, shares and price to the fees; without it none are told and none are taken.
    refuse : callable, optional
        From a ticket to the broker's words of refusal, empty where it takes the order.
    resend_safe : bool
        Whether a second order of one client id is taken for the first. If not, there are two.
    account : str
        Its name.
    """

    live = False

    def __init__(
        self,
        trades: Callable[[Ticket], Sequence[Execution]],
        holdings: Mapping[str, int] | None = None,
        cash: int = 0,
        charges: Callable[[Ticket, int, float], Charges] | None = None,
        refuse: Callable[[Ticket], str] = lambda ticket: "",
        resend_safe: bool = True,
        account: str = "simulated",
    ) -> None:
        self.account, self.resend_safe = account, resend_safe
        self._trades, self._charges, self._refuse = trades, charges, refuse
        self._shares, self._sellable = dict(holdings or {}), dict(holdings or {})
        self._cash = cash
        self._orders: list[_Order] = []
        self._fills: list[Fill] = []

    def place(self, ticket: Ticket) -> Report:
        """Take an order, or refuse it."""
        known = next((order for order in self._orders if order.ticket.order_id == ticket.order_id), None)
        if known is not None and self.resend_safe:
            return known.report
        words = self._refuse(ticket) or self._short(ticket)
        state = State.REJECTED if words else State.LIVE
        number = str(1001 + len(self._orders))
        report = Report(
            ticket.order_id, number, ticket.session, ticket.code, ticket.side, ticket.shares, state, message=words
        )
        self._orders.append(_Order(ticket, report, deque([] if words else self._trades(ticket))))
        return report

    def _short(self, ticket: Ticket) -> str:
        """Say what is missing for an order."""
        if ticket.side is Side.SELL and ticket.shares > self._sellable.get(ticket.code, 0) - self._waiting(ticket.code):
            return "not enough sellable shares"
        return ""

    def _waiting(self, code: str) -> int:
        """Return the shares of a stock that wait in open sales."""
        return sum(
            order.ticket.shares - order.report.filled
            for order in self._orders
            if order.ticket.code == code and order.ticket.side is Side.SELL and not order.report.over
        )

    def cancel(self, order_id: str) -> bool:
        """Cancel what is open of an order."""
        open_orders = [o for o in self._orders if o.ticket.order_id == order_id and not o.report.over]
        for order in open_orders:
            order.report = replace(order.report, state=State.CANCELLED)
        return bool(open_orders)

    def orders(self, session: dt.date) -> list[Report]:
        """Return the orders of a session."""
        return [order.report for order in self._orders if order.ticket.session == session]

    def fills(self, session: dt.date) -> list[Fill]:
        """Return the trades of a session."""
        return [fill for fill in self._fills if fill.session == session]

    def positions(self) -> dict[str, Holding]:
        """Return what is held."""
        return {
            code: Holding(shares, self._sellable.get(code, 0) - self._waiting(code))
            for code, shares in self._shares.items()
            if shares
        }

    def cash(self) -> int:
        """Return the cash, fen."""
        return self._cash

    def step(self) -> bool:
        """Let the market do the next thing with each open order; False if nothing was left to do."""
        moved = False
        for order in self._orders:
            if not order.report.over and order.coming:
                self.trade(order.report.number, *order.coming.popleft())
                moved = True
        return moved

    def trade(self, number: str, shares: int, price: float) -> None:
        """Let the market trade so much of the order with this number."""
        order = next(order for order in self._orders if order.report.number == number)
        ticket, before = order.ticket, order.report
        assert not before.over
        assert 0 < shares <= ticket.shares - before.filled
        charges = self._charges(ticket, shares, price) if self._charges else (None, None, None)
        trade_id = f"{ticket.session:%Y%m%d}-{len(self._fills) + 1}"
        fill = Fill(trade_id, ticket.order_id, ticket.session, ticket.code, ticket.side, shares, price, *charges)
        self._fills.append(fill)
        sign = 1 if ticket.side is Side.BUY else -1
        self._cash -= sign * fill.value + (fill.fees or 0)
        self._shares[ticket.code] = self._shares.get(ticket.code, 0) + sign * shares
        if ticket.side is Side.SELL:
            self._sellable[ticket.code] -= shares
        filled = before.filled + shares
        average = ((before.average_price or 0.0) * before.filled + price * shares) / filled
        state = State.FILLED if filled == ticket.shares else State.LIVE
        order.report = replace(before, state=state, filled=filled, average_price=average)

    def close(self) -> None:
        """End the session: what the market still does it does, what is open lapses, what was bought may be sold."""
        while self.step():
            pass
        for order in self._orders:
            if not order.report.over:
                order.report = replace(order.report, state=State.CANCELLED, message="the day is over")
        self._sellable = dict(self._shares)
