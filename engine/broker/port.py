"""The port: what goes to a broker, what comes back, and what a broker must promise.

A broker is asked, never trusted to tell: there are no call-backs here, so that replies which are lost, late,
doubled or out of order can do no more harm than a question that must be put again.

Prices are CNY a share, cash is whole fen, quantities are whole shares.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from engine.types import Side


class NoReply(Exception):
    """The broker did not answer; whether it did what was asked is not known. Never shown to a user."""


class State(StrEnum):
    """Where an order stands at the broker."""

    WAITING = "waiting"
    """The broker has it, the exchange not yet."""
    LIVE = "live"
    """It may trade; part of it may have traded."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    """Nothing more will trade; part of it may have traded."""
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    """The broker's word is none we know: it counts as able to trade."""


OVER = frozenset({State.FILLED, State.CANCELLED, State.REJECTED})
"""States in which nothing more can trade."""


def client_id(account: str, session: dt.date, code: str, side: Side) -> str:
    """Return the id of an account's order: the same order has the same id, however often it is decided.

    There is at most one order for a stock and side in a session, such as ``myacct-20180305-600519.SH-B``.
    """
    return f"{account}-{session:%Y%m%d}-{code}-{side[0].upper()}"


def in_order(tickets: Sequence[Ticket]) -> list[Ticket]:
    """Return sells first, then buys, each in the order they came: what is sold pays for what is bought."""
    return sorted(tickets, key=lambda ticket: ticket.side is Side.BUY)


@dataclass(frozen=True)
class Ticket:
    """An order that shall be placed.

    Attributes
    ----------
    order_id : str
        Ours, see ``client_id``.
    session : date
        The only session it may trade in.
    code : str
        Such as ``600519.SH``.
    side : Side
        Buy or sell.
    shares : int
        How many, positive.
    limit : float or None
        The worst acceptable price, CNY; None for the market's.
    reference : float
        The last close, CNY, after a corporate action the price the exchange made of it.
    """

    order_id: str
    session: dt.date
    code: str
    side: Side
    shares: int
    limit: float | None
    reference: float

    @property
    def value(self) -> float:
        """The most it is expected to be worth, CNY."""
        return self.shares * max(self.limit or 0.0, self.reference)


@dataclass(frozen=True)
class Report:
    """What the broker says of one order in its books.

    Attributes
    ----------
    order_id : str
        Ours; empty for an order that did not come from us.
    number : str
        The broker's own, one an order: two orders under one ``order_id`` have two numbers.
    session, code, side, shares
        As placed.
    state : State
        Where it stands.
    filled : int
        Shares traded so far.
    average_price : float or None
        CNY a share of what was traded.
    message : str
        The broker's words, for people.
    """

    order_id: str
    number: str
    session: dt.date
    code: str
    side: Side
    shares: int
    state: State
    filled: int = 0
    average_price: float | None = None
    message: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more can trade."""
        return self.state in OVER

    def fits(self, ticket: Ticket) -> bool:
        """Say whether it is the order the ticket asked for."""
        asked = (ticket.order_id, ticket.session, ticket.code, ticket.side, ticket.shares)
        return asked == (self.order_id, self.session, self.code, self.side, self.shares)


@dataclass(frozen=True)
class Fill:
    """A trade.

    Attributes
    ----------
    trade_id : str
        One a trade of the account, in all sessions.
    order_id : str
        Of the order, ours; empty for a trade of an order that did not come from us.
    session, code, side
        As traded.
    shares : int
        How many, positive.
    price : float
        CNY a share.
    commission, stamp_duty, transfer_fee : float or None
        CNY; None where the broker does not say.
    """

    trade_id: str
    order_id: str
    session: dt.date
    code: str
    side: Side
    shares: int
    price: float
    commission: float | None = None
    stamp_duty: float | None = None
    transfer_fee: float | None = None

    @property
    def value(self) -> int:
        """What was traded, whole fen."""
        return round(self.shares * self.price * 100)

    @property
    def fees(self) -> int | None:
        """All fees, whole fen; None where the broker does not give each."""
        parts = (self.commission, self.stamp_duty, self.transfer_fee)
        return None if None in parts else sum(round(part * 100) for part in parts if part is not None)


@dataclass(frozen=True)
class Holding:
    """Shares of one stock at the broker: all of them, and those that may be sold today."""

    shares: int
    sellable: int


class Broker(Protocol):
    """An account at a broker. ``engine.broker.kit`` checks each of these promises.

    1. ``place`` with an ``order_id`` the adapter has placed before makes no second order, in this process or a later
       one: it reports the first, or raises ``NoReply``. It never sends an order again by itself.
    2. ``NoReply`` means *not known*: the order may be there, may never come, may come later. Whoever gets it asks
       ``orders``. Every method may raise it, and none answers "nothing" instead.
    3. ``orders`` lists every order of the account in the session, those that did not come from us with an empty
       ``order_id``. It may be late: what it does not list yet is not proof of absence. A state in which nothing more
       can trade is final, and ``filled`` never shrinks; an answer that says otherwise is an old one.
    4. ``fills`` are only ever added: a trade once listed is listed again, the same, under the same ``trade_id``.
    5. What ``cancel`` returns is the broker's word. It counts when ``orders`` shows the order in a final state; it may
       fill while it is being cancelled.
    6. An order, once over, has ``filled`` equal to the sum of its fills when both are asked for again.
    7. ``positions`` and ``cash`` hold the trades that ``fills`` lists. Shares bought today are not sellable.
    """

    @property
    def live(self) -> bool:
        """Whether its orders reach a market."""
        ...

    @property
    def account(self) -> str:
        """The account at the broker."""
        ...

    @property
    def resend_safe(self) -> bool:
        """Whether the broker itself refuses a second order of one client id, also when the first arrives late.

        Only then is an order sent again whose first sending was not answered and is not seen.
        """
        ...

    def place(self, ticket: Ticket) -> Report:
        """Place an order, limit or market as the ticket says.

        Returns
        -------
        Report
            What the broker says of it; ``REJECTED`` with its words where it refuses.

        Raises
        ------
        NoReply
            Not known (promise 2).
        """
        ...

    def cancel(self, order_id: str) -> bool:
        """Ask for an order to be cancelled; False for one that is over or not known. See promise 5."""
        ...

    def orders(self, session: dt.date) -> Sequence[Report]:
        """Return the orders of a session, in any order."""
        ...

    def fills(self, session: dt.date) -> Sequence[Fill]:
        """Return the trades of a session, in any order."""
        ...

    def positions(self) -> Mapping[str, Holding]:
        """Return what is held, by code; a code without shares may be left out."""
        ...

    def cash(self) -> int:
        """Return the account's cash, fen: what is free and what waits for open orders."""
        ...
