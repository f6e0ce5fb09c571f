"""The sender: a session's tickets over any broker, each once, whatever becomes of the replies and wherever it dies.

For each ticket, sells first, then buys in their order:

1. Is the broker seen to have it? Then it is placed; nothing is sent.
2. Was it about to be sent before (a fact of an earlier life)? Then it is looked for, several times.
3. Else the intent is written down, durably, and then the order is sent.
4. No answer, or one about another order? Then it is looked for. Only a broker that refuses a second order of one id
   by itself (``resend_safe``) gets it again; with any other the order ends as *unsure*, and is named.

What is unsure is never sent again. If it turns up later, ``collect`` sees it; the reconciliation decides.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from engine.broker.caps import Pace, collared, crosses, require_consent, require_messages, require_within_caps
from engine.broker.facts import Fact, Kind
from engine.broker.fold import by_client_id, fold, union
from engine.broker.port import Broker, Fill, NoReply, Report, State, Ticket, in_order
from engine.errors import BrokerMismatch, Halted
from engine.settings import BrokerSettings
from engine.types import Side

Answer = TypeVar("Answer")


class Fate(StrEnum):
    """What became of sending a ticket."""

    PLACED = "placed"
    REJECTED = "rejected"
    UNSURE = "unsure"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Sent:
    """A ticket after its sending.

    Attributes
    ----------
    ticket : Ticket
        As sent: with the limit it got.
    fate : Fate
        What became of it.
    report : Report or None
        The newest of the broker; None where it is not seen there.
    why : str
        What stood in the way, empty where nothing did.
    """

    ticket: Ticket
    fate: Fate
    report: Report | None = None
    why: str = ""


@dataclass(frozen=True)
class Collected:
    """What the broker has of a session: its orders, ours and others, and each trade once."""

    reports: tuple[Report, ...]
    fills: tuple[Fill, ...]


@dataclass
class _Session:
    """What is known while a session is worked on."""

    day: dt.date
    noted: set[str]
    intents: int
    cancels: int
    reports: dict[str, Report] = field(default_factory=dict)
    unsure: list[Ticket] = field(default_factory=list)

    @property
    def orders(self) -> int:
        """Orders that went out: written down here, or seen at the broker."""
        return max(self.intents, len(self.reports))

    def found(self, order_id: str) -> Report | None:
        return by_client_id(self.reports.values()).get(order_id)


class Desk:
    """Sends, cancels and collects.

    Parameters
    ----------
    broker : Broker
        The account.
    settings : BrokerSettings
        Consent, caps and patience.
    note : callable
        Writes a fact down; it must be on the disk when this returns, for the effect follows.
    clock, sleep : callable
        Seconds of a clock that never goes back, and a way to wait some.
    """

    def __init__(
        self,
        broker: Broker,
        settings: BrokerSettings,
        note: Callable[[Fact], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._broker, self._settings, self._note = broker, settings, note
        self._clock, self._sleep = clock, sleep
        self._pace = Pace(settings.orders_per_second, clock, sleep)
        self._started, self._placed_at = clock(), dict[str, float]()  # an order of an earlier life counts from now

    def send(
        self, session: dt.date, tickets: Sequence[Ticket], net_value: float, facts: Iterable[Fact] = ()
    ) -> list[Sent]:
        """Send a session's tickets; what earlier lives sent is found, not sent again.

        Parameters
        ----------
        session : date
            The session they trade in.
        tickets : sequence of Ticket
            All of the session's, also after a restart.
        net_value : float
            Of the account at the last close, CNY; the caps are shares of it.
        facts : iterable of Fact
            What was written down before.

        Returns
        -------
        list of Sent
            One a ticket, sells first.

        Raises
        ------
        SendingRefused
            No consent, or a cap: nothing of what is missing is sent.
        Halted
            The broker does not say what it has. Start again: what was sent is looked for first.
        BrokerMismatch
            It has two orders of one id, or another order under an id of ours.
        """
        require_consent(self._broker, self._settings, session)
        if getattr(self._broker, "live", True):
            tickets = [collared(ticket, self._settings) for ticket in tickets]
        state = self._begin(session, facts)
        require_within_caps(tickets, session, net_value, self._settings)
        self._refresh(state)
        missing = sum(state.found(ticket.order_id) is None for ticket in tickets)
        require_messages(state.orders + state.cancels + missing, self._settings)
        sent = [self._send(ticket, state) for ticket in in_order(tickets)]
        self._refresh(state)
        return [self._as_it_stands(result, state) for result in sent]

    def cancel(self, session: dt.date, order_ids: Iterable[str], facts: Iterable[Fact] = ()) -> dict[str, Report]:
        """Ask for orders to be cancelled, and believe only what the broker then shows.

        Returns
        -------
        dict of str to Report
            The newest of each order the broker knows; one that is not over is still there in spite of every try.
        """
        require_consent(self._broker, self._settings, session)
        state = self._begin(session, facts)
        self._refresh(state)
        found = {order_id: self._cancel(order_id, state) for order_id in order_ids}
        self._alarm(state)
        return {order_id: report for order_id, report in found.items() if report is not None}

    def collect(self, session: dt.date) -> Collected:
        """Return what the broker has of a session, asked until two answers in a row are equal and agree in themselves.

        An answer that never does is returned as it is: the reconciliation names what is wrong.

        Raises
        ------
        Halted
            The broker does not answer.
        BrokerMismatch
            Two trades have one id, or two orders.
        """
        state = self._begin(session, ())
        fills: dict[str, Fill] = {}
        last: object = None
        for _ in range(self._settings.asks + 1):
            self._refresh(state)
            fills, conflicting = union([*fills.values(), *self._ask(lambda: self._broker.fills(session))])
            if conflicting:
                raise _doubled_trade(conflicting[0])
            by_client_id(state.reports.values())
            now = dict(state.reports), dict(fills)
            if now == last and _agree(state.reports.values(), fills.values()):
                break
            last = now
            self._sleep(self._settings.pause)
        return Collected(tuple(state.reports.values()), tuple(fills.values()))

    def _begin(self, session: dt.date, facts: Iterable[Fact]) -> _Session:
        known = [fact for fact in facts if fact.session == session]
        intents = [fact.order_id for fact in known if fact.kind is Kind.INTENT]
        cancels = sum(fact.kind is Kind.CANCEL for fact in known)
        return _Session(session, set(intents), len(intents), cancels)

    def _send(self, ticket: Ticket, state: _Session) -> Sent:
        before = ticket.order_id in state.noted
        report = self._look(ticket.order_id, state) if before else state.found(ticket.order_id)
        if report is None and before and not self._broker.resend_safe:
            return self._unsure(ticket, state, "an earlier sending left no trace")
        if report is None and (against := self._crossed(ticket, state)):
            self._write(Kind.WITHHELD, ticket.order_id, state, against)
            return Sent(ticket, Fate.WITHHELD, None, against)
        for _ in range(self._settings.sendings if self._broker.resend_safe else 1):
            if report is not None:
                break
            report = self._place(ticket, state)
        if report is None:
            return self._unsure(ticket, state, "no answer came")
        self._require_ours(ticket, report)
        self._write(Kind.ANSWER, ticket.order_id, state, report.state)
        return Sent(ticket, Fate.REJECTED if report.state is State.REJECTED else Fate.PLACED, report, report.message)

    def _place(self, ticket: Ticket, state: _Session) -> Report | None:
        """Send an order once and return what is then known of it."""
        require_messages(state.orders + state.cancels + 1, self._settings)
        self._write(Kind.INTENT, ticket.order_id, state, "" if ticket.limit is None else f"limit {ticket.limit:.2f}")
        state.noted.add(ticket.order_id)
        state.intents += 1
        self._pace.wait()
        self._placed_at[ticket.order_id] = self._clock()
        try:
            answer = self._broker.place(ticket)
        except NoReply:
            answer = None
        if answer is None or answer.order_id != ticket.order_id:  # the answer to an earlier question is none to this
            return self._look(ticket.order_id, state)
        if answer.number:
            state.reports = fold(state.reports, [answer])
        return answer

    def _look(self, order_id: str, state: _Session) -> Report | None:
        """Look for an order several times: an answer may be older than the order."""
        for ask in range(self._settings.asks):
            if ask:
                self._sleep(self._settings.pause)
            self._refresh(state)
            if report := state.found(order_id):
                return report
        return None

    def _unsure(self, ticket: Ticket, state: _Session, why: str) -> Sent:
        state.unsure.append(ticket)
        self._write(Kind.UNSURE, ticket.order_id, state, why)
        return Sent(ticket, Fate.UNSURE, None, why)

    def _crossed(self, ticket: Ticket, state: _Session) -> str:
        """Say what of the same account the order could trade against, empty if nothing."""
        for other in state.unsure:
            if (other.code, other.side is Side.SELL) == (ticket.code, ticket.side is Side.BUY):
                return f"{other.order_id} may be there"
        if crosses(ticket, list(state.reports.values())):
            self._refresh(state)
        against = crosses(ticket, list(state.reports.values()))
        return f"{against.order_id or against.number} is {against.state}" if against else ""

    def _as_it_stands(self, sent: Sent, state: _Session) -> Sent:
        """Bring a result up to what the broker shows at the end; what it shows outranks what it answered."""
        report = state.found(sent.ticket.order_id)
        if report is None or sent.fate is Fate.WITHHELD:
            return sent
        self._require_ours(sent.ticket, report)
        rejected = report.state is State.REJECTED
        return Sent(sent.ticket, Fate.REJECTED if rejected else Fate.PLACED, report, report.message)

    def _require_ours(self, ticket: Ticket, report: Report) -> None:
        if not report.fits(ticket):
            raise BrokerMismatch(
                f"order {ticket.order_id} is another one at the broker",
                f"{ticket.side} {ticket.shares} {ticket.code} for {ticket.session} was intended, it has {report.side} "
                f"{report.shares} {report.code} for {report.session}",
                "Cancel it at the broker, then reconcile.",
            )

    def _cancel(self, order_id: str, state: _Session) -> Report | None:
        report = self._look(order_id, state)
        for _ in range(self._settings.sendings + 1):
            if report is None or report.over:
                break
            if self._waited(order_id, state):
                report = self._until_over(order_id, state, asks=1)
                continue
            require_messages(state.orders + state.cancels + 1, self._settings)
            self._write(Kind.CANCEL, order_id, state, f"filled {report.filled}")
            state.cancels += 1
            self._pace.wait()
            with suppress(NoReply):  # what it answers is not believed either
                self._broker.cancel(order_id)
            report = self._until_over(order_id, state, self._settings.asks)
        return report

    def _until_over(self, order_id: str, state: _Session, asks: int) -> Report | None:
        for ask in range(asks):
            if ask:
                self._sleep(self._settings.pause)
            self._refresh(state)
            report = state.found(order_id)
            if report is not None and report.over:
                break
        return state.found(order_id)

    def _waited(self, order_id: str, state: _Session) -> bool:
        """Wait until an order has lived, and say whether that took time: it may have filled meanwhile."""
        lived = self._clock() - self._placed_at.get(order_id, self._started)
        if lived >= self._settings.minimum_life - 0.001:
            return False
        self._sleep(self._settings.minimum_life - lived)
        return True

    def _alarm(self, state: _Session) -> None:
        if state.cancels > self._settings.cancel_ratio * state.orders:
            self._write(Kind.ALARM, "", state, f"{state.cancels} cancels to {state.orders} orders")

    def _refresh(self, state: _Session) -> None:
        state.reports = fold(state.reports, self._ask(lambda: self._broker.orders(state.day)))

    def _ask(self, question: Callable[[], Sequence[Answer]]) -> Sequence[Answer]:
        """Put a question until it is answered."""
        for ask in range(self._settings.asks):
            if ask:
                self._sleep(self._settings.pause)
            try:
                return question()
            except NoReply:
                continue
        raise Halted(
            "the broker's books cannot be read",
            f"it did not answer {self._settings.asks} times",
            "See to its client and the connection, then start again: what was sent is looked for first.",
        )

    def _write(self, kind: Kind, order_id: str, state: _Session, text: str = "") -> None:
        self._note(Fact(kind, state.day, order_id, str(text)))


def _agree(reports: Iterable[Report], fills: Iterable[Fill]) -> bool:
    """Say whether each of our orders has the fills it says it has."""
    traded: dict[str, int] = {}
    for fill in fills:
        traded[fill.order_id] = traded.get(fill.order_id, 0) + fill.shares
    return all(traded.get(report.order_id, 0) == report.filled for report in reports if report.order_id)


def _doubled_trade(fill: Fill) -> BrokerMismatch:
    return BrokerMismatch(
        f"trade {fill.trade_id} is told twice and differently",
        f"once as {fill.side} {fill.shares} {fill.code} at {fill.price}",
        "Compare it with the broker's statement.",
    )
