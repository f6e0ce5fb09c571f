"""Three accounts of one session, compared: what was intended, what the broker says, what the ledger holds. Pure.

Whatever is unexplained is a difference with a name. There is no list of differences to ignore: with one left, nothing
is traded. What was intended and did not trade is none; it is an order that was not filled.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engine.broker.fold import union
from engine.broker.port import Fill, Holding, Report, State, Ticket
from engine.errors import BrokerMismatch
from engine.types import Side


class Kind(StrEnum):
    """What does not fit."""

    UNKNOWN_ORDER = "unknown_order"
    """The broker has an order nobody intended."""
    DOUBLED_ORDER = "doubled_order"
    """Two orders of one id."""
    ORDER = "order"
    """The broker's order is for another stock, side, session or quantity than the ticket."""
    UNKNOWN_FILL = "unknown_fill"
    """A trade of an order nobody intended."""
    DOUBLED_FILL = "doubled_fill"
    """One trade told twice and differently."""
    WRONG_FILL = "wrong_fill"
    """A trade of another stock, side or session than its order, or of nothing."""
    OVERFILL = "overfill"
    """More was traded than asked for."""
    FILL_AFTER_END = "fill_after_end"
    """More was traded than the broker said when the order was cancelled or rejected."""
    FILLED = "filled"
    """The broker's count of an order is not the sum of its trades."""
    BEYOND_LIMIT = "beyond_limit"
    """A trade worse than the order's limit."""
    POSITION = "position"
    """Broker and ledger hold different quantities of a stock."""
    CASH = "cash"
    """Broker and ledger hold different cash."""


@dataclass(frozen=True)
class Difference:
    """Something unexplained.

    Attributes
    ----------
    kind : Kind
        What does not fit.
    about : str
        The order, trade or code; empty for cash.
    text : str
        Both sides of it, in words.
    """

    kind: Kind
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.about}: {self.text}" if self.about else f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Account:
    """Shares by code, and cash in fen."""

    positions: Mapping[str, int]
    cash: int | None

    @classmethod
    def at_broker(cls, positions: Mapping[str, Holding], cash: int | None) -> Account:
        """Return what a broker says; cash is None where it is not known, and then not compared."""
        return cls({code: holding.shares for code, holding in positions.items()}, cash)


@dataclass(frozen=True)
class Evidence:
    """All that is compared.

    Attributes
    ----------
    session : date
        The session.
    tickets : sequence of Ticket
        What was intended.
    fills : sequence of Fill
        What the broker says was traded.
    ledger : Account
        What is held when these fills are in (see ``booked``).
    broker : Account or None
        What the broker holds; None where nobody can say, and then not compared.
    reports : sequence of Report
        The broker's orders; empty where it gives none, as with trades by hand.
    tolerance : int
        Fen by which cash may differ.
    """

    session: dt.date
    tickets: Sequence[Ticket]
    fills: Sequence[Fill]
    ledger: Account
    broker: Account | None = None
    reports: Sequence[Report] = field(default_factory=tuple)
    tolerance: int = 0


def differences(evidence: Evidence) -> tuple[Difference, ...]:
    """Return everything unexplained, orders first, then trades, then what is held."""
    return (*_of_orders(evidence), *_of_fills(evidence), *_of_holdings(evidence))


def require_agreement(found: Sequence[Difference]) -> None:
    """Refuse to go on while anything is unexplained.

    Raises
    ------
    BrokerMismatch
        Naming the first differences; exit code 6.
    """
    if not found:
        return
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    raise BrokerMismatch(
        "nothing is traded",
        "; ".join(map(str, found[:3])) + more,
        "Compare with the broker's statement, and import what is missing.",
    )


def booked(before: Account, fills: Iterable[Fill], fees_of: Callable[[Fill], int]) -> Account:
    """Return an account with a session's fills in.

    Parameters
    ----------
    before : Account
        At the session's open, after its corporate actions; with cash.
    fills : iterable of Fill
        What was traded, each once.
    fees_of : callable
        From a fill whose fees the broker does not give to what they are, fen. Where it gives them, they count.
    """
    assert before.cash is not None
    positions, cash = Counter(before.positions), before.cash
    for fill in fills:
        sign = 1 if fill.side is Side.BUY else -1
        positions[fill.code] += sign * fill.shares
        cash -= sign * fill.value + (fees_of(fill) if fill.fees is None else fill.fees)
    return Account({code: shares for code, shares in positions.items() if shares}, cash)


def _of_orders(evidence: Evidence) -> Iterator[Difference]:
    tickets = {ticket.order_id: ticket for ticket in evidence.tickets}
    numbers: dict[str, str] = {}
    for report in evidence.reports:
        ticket = tickets.get(report.order_id)
        if ticket is None:
            text = f"{report.side} {report.shares} {report.code}, {report.state}"
            yield Difference(Kind.UNKNOWN_ORDER, report.order_id or report.number, text)
            continue
        if numbers.setdefault(report.order_id, report.number) != report.number:
            text = f"the broker has it as {numbers[report.order_id]} and as {report.number}"
            yield Difference(Kind.DOUBLED_ORDER, report.order_id, text)
        if not report.fits(ticket):
            text = f"{_words(ticket)} was intended, the broker has {_words(report)}"
            yield Difference(Kind.ORDER, report.order_id, text)


def _of_fills(evidence: Evidence) -> Iterator[Difference]:
    tickets = {ticket.order_id: ticket for ticket in evidence.tickets}
    unique, conflicting = union(evidence.fills)
    for fill in conflicting:
        text = f"{_words(unique[fill.trade_id])} at {unique[fill.trade_id].price}, and {_words(fill)} at {fill.price}"
        yield Difference(Kind.DOUBLED_FILL, fill.trade_id, text)
    traded: Counter[str] = Counter()
    for fill in unique.values():
        traded[fill.order_id] += fill.shares
        ticket = tickets.get(fill.order_id)
        if ticket is None:
            yield Difference(Kind.UNKNOWN_FILL, fill.trade_id, f"{_words(fill)} at {fill.price}, of no order of ours")
        else:
            yield from _of_fill(fill, ticket)
    for order_id, shares in traded.items():
        if order_id in tickets and shares > tickets[order_id].shares:
            text = f"{shares} shares traded, {tickets[order_id].shares} asked for"
            yield Difference(Kind.OVERFILL, order_id, text)
    for report in evidence.reports:
        if report.order_id in tickets and traded[report.order_id] != report.filled:
            ended = report.state in (State.CANCELLED, State.REJECTED) and traded[report.order_id] > report.filled
            text = f"{report.state} with {report.filled} shares, its trades make {traded[report.order_id]}"
            yield Difference(Kind.FILL_AFTER_END if ended else Kind.FILLED, report.order_id, text)


def _of_fill(fill: Fill, ticket: Ticket) -> Iterator[Difference]:
    told, asked = (fill.code, fill.side, fill.session), (ticket.code, ticket.side, ticket.session)
    if told != asked or fill.shares <= 0:
        text = f"{_words(fill)} in {fill.session}, its order is to {ticket.side} {ticket.code} in {ticket.session}"
        yield Difference(Kind.WRONG_FILL, fill.trade_id, text)
    elif ticket.limit is not None:
        worse = fill.price - ticket.limit if fill.side is Side.BUY else ticket.limit - fill.price
        if worse > _ROUNDING:
            text = f"{fill.side} at {fill.price}, the limit is {ticket.limit}"
            yield Difference(Kind.BEYOND_LIMIT, fill.trade_id, text)


def _of_holdings(evidence: Evidence) -> Iterator[Difference]:
    broker, ledger = evidence.broker, evidence.ledger
    if broker is None:
        return
    for code in sorted({*broker.positions, *ledger.positions}):
        there, here = broker.positions.get(code, 0), ledger.positions.get(code, 0)
        if there != here:
            yield Difference(Kind.POSITION, code, f"the broker holds {there}, the ledger {here}")
    if broker.cash is not None and ledger.cash is not None and abs(broker.cash - ledger.cash) > evidence.tolerance:
        text = f"the broker holds {broker.cash / 100:,.2f} CNY, the ledger {ledger.cash / 100:,.2f}"
        yield Difference(Kind.CASH, "", text)


_ROUNDING = 0.005
"""CNY: an average of several trades may lie off by half a fen of its amount."""


def _words(of: Ticket | Report | Fill) -> str:
    return f"{of.side} {of.shares} {of.code}"
