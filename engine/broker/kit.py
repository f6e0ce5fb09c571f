"""The test kit of the port: whoever writes an adapter hands in a bench and learns which promise it breaks.

A bench is an account one can play the market, the wire and the account's owner for; ``contract`` makes a fresh one
for each clause. The clauses are the promises of ``engine.broker.port.Broker``, and each says its own when it is
broken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from engine.broker.fold import by_client_id, fold, union
from engine.broker.port import Broker, Fill, NoReply, Report, State, Ticket
from engine.errors import ProofFailed
from engine.types import Side

HELD, SHARES, CASH = "600000.SH", 10_000, 100_000_000
"""What a bench's account begins with: sellable shares of one stock, and fen."""


Answer = TypeVar("Answer")


class Bench(Protocol):
    """An account under test, and everything around it."""

    session: dt.date
    """The session the broker is in."""

    def broker(self) -> Broker:
        """Return a new adapter on the account, as a restarted process would have it."""
        ...

    def trade(self, order_id: str, shares: int, price: float) -> None:
        """Let the market trade so much of an open order."""
        ...

    def refuse_next(self, words: str) -> None:
        """Let the broker reject the next order."""
        ...

    def lose_next_reply(self) -> None:
        """Let the next order be placed and its answer be lost."""
        ...

    def silence(self, silent: bool) -> None:
        """Let the broker answer nothing at all, or speak again."""
        ...

    def by_hand(self, code: str, side: Side, shares: int, limit: float) -> None:
        """Place an order in the account as its owner would, past the adapter."""
        ...

    def received(self) -> list[tuple[str, Side, int, float | None]]:
        """Return code, side, shares and limit of every order that reached the broker, rejected ones too."""
        ...


class Broken(AssertionError):
    """A promise is broken; says how."""


_PATIENCE = 60


class Probe:
    """Asks an adapter patiently: whatever is not answered is asked again, as the contract demands.

    Parameters
    ----------
    bench : Bench
        The account.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, self.broker = bench, bench.broker()
        self._reports: dict[str, Report] = {}

    def ticket(self, tag: str, side: Side = Side.BUY, shares: int = 1000, code: str = HELD) -> Ticket:
        """Return a ticket with a long id."""
        order_id = f"an-account-with-a-rather-long-name-{self.bench.session:%Y%m%d}-{code}-{side[0].upper()}-{tag}"
        return Ticket(order_id, self.bench.session, code, side, shares, 10.0, 10.0)

    def place(self, ticket: Ticket) -> Report:
        """Place an order as the contract allows, and return what the broker's list says of it."""
        for _ in range(_PATIENCE):
            try:
                answer = self.broker.place(ticket)
            except NoReply:
                answer = None
            found = self._seen(ticket.order_id)
            if found is None and answer is not None and answer.state is State.REJECTED:
                found = answer
            if found is not None:
                return found
            if not self.broker.resend_safe:
                break
        raise Broken("an order that was placed is never listed")

    def report(self, order_id: str, wanted: Callable[[Report], bool] = lambda report: True) -> Report:
        """Return the newest report of an order once it is as wanted."""
        found = self._seen(order_id, wanted)
        if found is None:
            raise Broken(f"the list of orders never shows it: {by_client_id(self._reports.values()).get(order_id)}")
        return found

    def listed(self) -> dict[str, Report]:
        """Return all orders of the session, by the broker's number, from several answers."""
        for _ in range(5):
            self._reports = fold(self._reports, self.asked(lambda: self.broker.orders(self.bench.session)))
        return self._reports

    def fills(self, count: int) -> dict[str, Fill]:
        """Return the trades of the session once there are so many."""
        found: dict[str, Fill] = {}
        for _ in range(_PATIENCE):
            told = self.asked(lambda: self.broker.fills(self.bench.session))
            found, conflicting = union([*found.values(), *told])
            if conflicting:
                raise Broken(f"trade {conflicting[0].trade_id} is told in two ways")
            if len(found) >= count:
                break
        if len(found) != count:
            raise Broken(f"{len(found)} trades are told, {count} were made")
        return found

    def asked(self, question: Callable[[], Answer]) -> Answer:
        """Put a question until it is answered."""
        for _ in range(_PATIENCE):
            with suppress(NoReply):
                return question()
        raise Broken("it never answers")

    def _seen(self, order_id: str, wanted: Callable[[Report], bool] = lambda report: True) -> Report | None:
        for _ in range(_PATIENCE):
            self._reports = fold(self._reports, self.asked(lambda: self.broker.orders(self.bench.session)))
            report = by_client_id(self._reports.values()).get(order_id)
            if report is not None and wanted(report):
                return report
        return None


@dataclass(frozen=True)
class Clause:
    """A part of the contract.

    Attributes
    ----------
    name : str
        Short.
    promise : str
        What holds.
    check : callable
        Raises if it does not.
    """

    name: str
    promise: str
    check: Callable[[Probe], None]


_CLAUSES: list[Clause] = []


def _clause(promise: str) -> Callable[[Callable[[Probe], None]], Callable[[Probe], None]]:
    """Make a check a clause of the contract."""

    def kept(check: Callable[[Probe], None]) -> Callable[[Probe], None]:
        _CLAUSES.append(Clause(check.__name__.strip("_"), promise, check))
        return check

    return kept


def _demand(holds: bool, why: str) -> None:
    if not holds:
        raise Broken(why)


@_clause("An order arrives as it was asked for, and is listed once, under our id.")
def _placed_once(probe: Probe) -> None:
    ticket = probe.ticket("once")
    report = probe.place(ticket)
    _demand(report.fits(ticket), f"{ticket} is listed as {report}")
    _demand(not report.over and report.filled == 0, f"it is {report.state} before anything happened")
    _demand(bool(report.number), "it has no number of the broker's")
    wanted = (ticket.code, ticket.side, ticket.shares, ticket.limit)
    _demand(probe.bench.received() == [wanted], f"{wanted} was asked for, {probe.bench.received()} arrived")


@_clause("An order without a limit arrives without one, or is rejected; no price is made up.")
def _market_orders(probe: Probe) -> None:
    ticket = replace(probe.ticket("market"), limit=None)
    report = probe.place(ticket)
    arrived = [order[3] for order in probe.bench.received()]
    _demand(arrived == [None] or (not arrived and report.state is State.REJECTED), f"{arrived} arrived")


@_clause("Placing an id again makes no second order, whatever else the second says.")
def _placed_again(probe: Probe) -> None:
    ticket = probe.ticket("again")
    probe.place(ticket)
    probe.place(ticket)
    probe.place(replace(ticket, shares=ticket.shares + 100))
    _demand(len(probe.bench.received()) == 1, f"{len(probe.bench.received())} orders arrived")
    _demand(probe.report(ticket.order_id).shares == ticket.shares, "the first order was changed by the second")


@_clause("A restarted adapter knows the orders of its earlier life by our id, and makes no second one.")
def _placed_in_another_life(probe: Probe) -> None:
    ticket = probe.ticket("life")
    probe.place(ticket)
    again = Probe(probe.bench)
    _demand(again.report(ticket.order_id).fits(ticket), "it is listed as another")
    again.place(ticket)
    _demand(len(probe.bench.received()) == 1, f"{len(probe.bench.received())} orders arrived")


@_clause("An order whose answer was lost is listed, and not sent again by the adapter itself.")
def _lost_reply(probe: Probe) -> None:
    ticket = probe.ticket("lost")
    probe.bench.lose_next_reply()
    probe.place(ticket)
    probe.place(ticket)
    _demand(len(probe.bench.received()) == 1, f"{len(probe.bench.received())} orders arrived")


@_clause("A trade is told with its order, stock, side, shares and price, and the order counts it.")
def _trades_are_told(probe: Probe) -> None:
    ticket = probe.ticket("trade")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 300, 9.98)
    (fill,) = probe.fills(1).values()
    told = (fill.order_id, fill.session, fill.code, fill.side, fill.shares, fill.price)
    made = (ticket.order_id, ticket.session, ticket.code, ticket.side, 300, 9.98)
    _demand(told == made, f"{told} is told, {made} was made")
    report = probe.report(ticket.order_id, lambda report: report.filled == 300)
    _demand(not report.over, f"an order with 700 of 1000 shares open is {report.state}")


@_clause("Trades are only ever added: what was told once is told again, the same, in every later life.")
def _trades_stay(probe: Probe) -> None:
    ticket = probe.ticket("stay")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 300, 9.98)
    first = probe.fills(1)
    probe.bench.trade(ticket.order_id, 700, 9.98)
    both, later = probe.fills(2), Probe(probe.bench).fills(2)
    _demand(first.items() <= both.items() and both == later, "a trade changed after it was told")
    report = probe.report(ticket.order_id, lambda report: report.over)
    _demand((report.state, report.filled) == (State.FILLED, 1000), f"it is {report.state} with {report.filled}")


@_clause("Two trades that are alike are two.")
def _alike_trades(probe: Probe) -> None:
    ticket = probe.ticket("alike")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 100, 9.98)
    probe.bench.trade(ticket.order_id, 100, 9.98)
    probe.fills(2)


@_clause("A cancelled order is listed as such, with what it traded before; its trades stay.")
def _cancelled(probe: Probe) -> None:
    ticket = probe.ticket("cancel")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 300, 9.98)
    for _ in range(_PATIENCE):
        probe.asked(lambda: probe.broker.cancel(ticket.order_id))
        if any(report.over for report in probe.listed().values()):
            break
    report = probe.report(ticket.order_id, lambda report: report.over and report.filled == 300)
    _demand(report.state is State.CANCELLED, f"it is {report.state}")
    probe.fills(1)


@_clause("Cancelling an order that is filled, or that nobody knows, changes nothing and raises nothing.")
def _cancelled_in_vain(probe: Probe) -> None:
    ticket = probe.ticket("vain")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 1000, 10.0)
    probe.asked(lambda: probe.broker.cancel(ticket.order_id))
    probe.asked(lambda: probe.broker.cancel("nobody-knows"))
    _demand(probe.report(ticket.order_id, lambda report: report.over).state is State.FILLED, "it is no longer filled")
    _demand(len(probe.listed()) == 1, "there are other orders now")


@_clause("A rejected order says so, with the broker's words, and trades nothing.")
def _rejected(probe: Probe) -> None:
    ticket = probe.ticket("reject")
    probe.bench.refuse_next("no such money")
    probe.place(ticket)
    report = probe.report(ticket.order_id, lambda report: report.over)
    _demand(report.state is State.REJECTED and report.filled == 0, f"it is {report.state} with {report.filled}")
    _demand("no such money" in report.message, f"it says {report.message!r}")
    probe.fills(0)


@_clause("A broker that does not answer has not said that there is nothing: every question raises ``NoReply``.")
def _silence_is_not_nothing(probe: Probe) -> None:
    ticket = probe.ticket("silence")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 300, 9.98)
    probe.bench.silence(True)
    session = probe.bench.session
    questions: dict[str, Callable[[], object]] = {
        "orders": lambda: probe.broker.orders(session),
        "fills": lambda: probe.broker.fills(session),
        "positions": probe.broker.positions,
        "cash": probe.broker.cash,
        "place": lambda: probe.broker.place(probe.ticket("unheard")),
    }
    for name, question in questions.items():
        try:
            answer = question()
        except NoReply:
            continue
        raise Broken(f"{name} answers {answer!r}")
    probe.bench.silence(False)
    probe.fills(1)
    _demand(probe.report(ticket.order_id, lambda report: report.filled == 300).fits(ticket), "it is another order now")


@_clause("Orders and trades that did not come from us are listed, without an id of ours.")
def _others_are_shown(probe: Probe) -> None:
    ticket = probe.ticket("ours")
    probe.place(ticket)
    probe.bench.by_hand("000001.SZ", Side.BUY, 200, 11.0)
    for _ in range(_PATIENCE):
        if len(probe.listed()) == 2:
            break
    found = sorted((report.order_id, report.code) for report in probe.listed().values())
    _demand(found == [("", "000001.SZ"), (ticket.order_id, ticket.code)], f"{found} are listed")


@_clause("Shares and cash hold every trade; shares bought today cannot be sold today.")
def _holdings_follow(probe: Probe) -> None:
    buy, sell = probe.ticket("buy", Side.BUY, code="000001.SZ"), probe.ticket("sell", Side.SELL)
    before = probe.asked(probe.broker.positions), probe.asked(probe.broker.cash)
    _demand(before[0].keys() == {HELD} and before[0][HELD].shares == SHARES, f"it begins with {before[0]}")
    _demand(before[0][HELD].sellable == SHARES and before[1] == CASH, f"it begins with {before}")
    for ticket in (sell, buy):
        probe.place(ticket)
        probe.bench.trade(ticket.order_id, 1000, 10.0)
    fees = sum(fill.fees or 0 for fill in probe.fills(2).values())
    held = probe.asked(probe.broker.positions)
    _demand(held[HELD].shares == held[HELD].sellable == SHARES - 1000, f"after a sale of 1000: {held[HELD]}")
    bought = held["000001.SZ"]
    _demand((bought.shares, bought.sellable) == (1000, 0), f"after a purchase of 1000: {bought}")
    _demand(probe.asked(probe.broker.cash) == CASH - fees, "the cash does not hold the trades")


@_clause("A question about another session tells nothing of this one.")
def _other_sessions(probe: Probe) -> None:
    ticket = probe.ticket("session")
    probe.place(ticket)
    probe.bench.trade(ticket.order_id, 300, 9.98)
    another = probe.bench.session - dt.timedelta(days=7)
    _demand(not probe.asked(lambda: probe.broker.orders(another)), "orders of this session are listed for another")
    _demand(not probe.asked(lambda: probe.broker.fills(another)), "trades of this session are told for another")


CLAUSES: tuple[Clause, ...] = tuple(_CLAUSES)


def failures(make_bench: Callable[[], Bench]) -> list[tuple[str, str]]:
    """Return the name of each broken clause and how it is broken; an exception in the adapter breaks it too."""
    found = []
    for clause in CLAUSES:
        try:
            clause.check(Probe(make_bench()))
        except Exception as error:  # the adapter is a stranger's
            found.append((clause.name, f"{type(error).__name__}: {error}"))
    return found


def contract(make_bench: Callable[[], Bench]) -> None:
    """Run every clause, each on a fresh bench.

    Parameters
    ----------
    make_bench : callable
        Makes an account that begins with ``SHARES`` of ``HELD`` and ``CASH``.

    Raises
    ------
    ProofFailed
        Naming the first clause that is broken, and how.
    """
    promises = {clause.name: clause.promise for clause in CLAUSES}
    for name, how in failures(make_bench):
        raise ProofFailed(
            f"the adapter breaks the clause {name}", f"{promises[name]} But {how}", "See engine.broker.port.Broker."
        )
