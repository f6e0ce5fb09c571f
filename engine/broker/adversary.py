"""A broker one would not wish for: every fault a connection can have, by a seed, over a simulated account.

The account behind it stays honest; what is lost, late, doubled, old or wrong is what comes and goes over the wire.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from engine.broker.port import Fill, Holding, NoReply, Report, Ticket
from engine.broker.simulated import Simulated


class Fault(StrEnum):
    """What goes wrong."""

    LOST_REQUEST = "lost_request"
    LOST_REPLY = "lost_reply"
    """The order is placed, the answer does not come."""
    LATE_REQUEST = "late_request"
    """No answer, and the order arrives some questions later."""
    DOUBLED_REQUEST = "doubled_request"
    """The order arrives twice; only where the broker takes the second for the first."""
    OTHER_REPLY = "other_reply"
    """The answer to an earlier order comes as the answer to this one."""
    NO_ANSWER = "no_answer"
    OLD_ANSWER = "old_answer"
    """What was true some questions ago."""
    REORDERED = "reordered"
    DOUBLED_ANSWER = "doubled_answer"
    CANCEL_IGNORED = "cancel_ignored"
    """The broker says cancelled, and does nothing."""
    CANCEL_DENIED = "cancel_denied"
    """The broker says no, and cancels."""
    CANCEL_LOST = "cancel_lost"
    """Cancelled, and no answer."""


_PLACING = (Fault.LOST_REQUEST, Fault.LOST_REPLY, Fault.LATE_REQUEST, Fault.DOUBLED_REQUEST, Fault.OTHER_REPLY)
_ASKING = (Fault.NO_ANSWER, Fault.OLD_ANSWER, Fault.REORDERED, Fault.DOUBLED_ANSWER)
_CANCELLING = (Fault.CANCEL_IGNORED, Fault.CANCEL_DENIED, Fault.CANCEL_LOST, Fault.NO_ANSWER)
Item = TypeVar("Item", Report, Fill)
Answer = TypeVar("Answer")


class Adversary:
    """Stands between a sender and an honest account.

    Parameters
    ----------
    inner : Simulated
        The account.
    seed : int
        Decides which faults come when; the same seed and questions give the same faults.
    rate : float
        Share of the questions that meet a fault.
    in_a_row : int
        The most questions of a kind that meet one in a row; a wire that never works teaches nothing.

    Attributes
    ----------
    faults : Counter of Fault
        What went wrong so far.
    """

    live = False

    def __init__(self, inner: Simulated, seed: int, rate: float = 0.5, in_a_row: int = 3) -> None:
        self.inner, self.faults = inner, Counter[Fault]()
        self.account, self.resend_safe = inner.account, inner.resend_safe
        self._rng, self._rate, self._in_a_row = random.Random(seed), rate, in_a_row  # noqa: S311 - a test's dice
        self._row: Counter[str] = Counter()
        self._late: list[tuple[int, Ticket]] = []
        self._replies: list[Report] = []
        self._shown: list[tuple[list[Report], list[Fill]]] = []
        self._questions = 0

    def place(self, ticket: Ticket) -> Report:
        """Place an order, perhaps."""
        self._time_passes(ticket.session)
        fault = self._fault("place", _PLACING)
        if fault is Fault.LOST_REQUEST:
            raise NoReply
        if fault is Fault.LATE_REQUEST:
            self._late.append((self._questions + self._rng.randint(1, 12), ticket))
            raise NoReply
        report = self.inner.place(ticket)
        if fault is Fault.DOUBLED_REQUEST and self.resend_safe:
            self.inner.place(ticket)
        self._replies.append(report)
        if fault is Fault.LOST_REPLY:
            raise NoReply
        return self._replies[0] if fault is Fault.OTHER_REPLY else report

    def cancel(self, order_id: str) -> bool:
        """Cancel an order, perhaps."""
        self._time_passes(None)
        fault = self._fault("cancel", _CANCELLING)
        if fault is Fault.NO_ANSWER:
            raise NoReply
        if fault is Fault.CANCEL_IGNORED:
            return True
        done = self.inner.cancel(order_id)
        if fault is Fault.CANCEL_LOST:
            raise NoReply
        return False if fault is Fault.CANCEL_DENIED else done

    def orders(self, session: dt.date) -> list[Report]:
        """Return the orders, or what they were."""
        return self._answered("orders", session, self.inner.orders(session), lambda shown: shown[0])

    def fills(self, session: dt.date) -> list[Fill]:
        """Return the trades, or what they were."""
        return self._answered("fills", session, self.inner.fills(session), lambda shown: shown[1])

    def positions(self) -> Mapping[str, Holding]:
        """Return what is held."""
        return self._plain("positions", self.inner.positions)

    def cash(self) -> int:
        """Return the cash, fen."""
        return self._plain("cash", self.inner.cash)

    def settle_down(self) -> None:
        """Let everything that is under way arrive, and no fault come any more."""
        self._rate = 0.0
        for _, ticket in self._late:
            self.inner.place(ticket)
        self._late = []

    def _plain(self, name: str, answer: Callable[[], Answer]) -> Answer:
        self._time_passes(None)
        if self._fault(name, (Fault.NO_ANSWER,)):
            raise NoReply
        return answer()

    def _answered(
        self,
        name: str,
        session: dt.date,
        now: list[Item],
        shown: Callable[[tuple[list[Report], list[Fill]]], list[Item]],
    ) -> list[Item]:
        """Answer a question about a list; ``now`` was true when it was put."""
        self._time_passes(session)
        fault = self._fault(name, _ASKING)
        if fault is Fault.NO_ANSWER:
            raise NoReply
        if fault is Fault.OLD_ANSWER:
            now = shown(self._rng.choice(self._shown[-8:]))
        if fault is Fault.DOUBLED_ANSWER:
            now = now + now
        if fault is Fault.REORDERED:
            now = self._rng.sample(now, len(now))
        return list(now)

    def _fault(self, name: str, kinds: tuple[Fault, ...]) -> Fault | None:
        if self._row[name] >= self._in_a_row or self._rng.random() >= self._rate:
            self._row[name] = 0
            return None
        self._row[name] += 1
        fault = self._rng.choice(kinds)
        self.faults[fault] += 1
        return fault

    def _time_passes(self, session: dt.date | None) -> None:
        """Let what is late arrive and the market move; remember what could be shown."""
        self._questions += 1
        if session is not None:
            self._shown.append((self.inner.orders(session), self.inner.fills(session)))
        arrived = [ticket for due, ticket in self._late if due <= self._questions]
        self._late = [(due, ticket) for due, ticket in self._late if due > self._questions]
        for ticket in arrived:
            self.inner.place(ticket)
        if self._rng.random() < 0.3:
            self.inner.step()
