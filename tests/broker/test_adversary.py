"""A sender that dies anywhere, over a wire that loses, delays, doubles, reorders and lies: each order and fill once."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest

from engine.broker.adversary import Adversary, Fault
from engine.broker.desk import Collected, Desk, Fate, Sent
from engine.broker.facts import Fact
from engine.broker.port import Ticket, client_id
from engine.broker.reconcile import Account, Evidence, booked, differences
from engine.broker.simulated import Simulated
from engine.errors import Halted
from engine.settings import BrokerSettings
from engine.types import Side
from tests.broker.benches import QmtBench

SESSION = dt.date(2018, 3, 5)
SETTINGS = BrokerSettings(order_value=1.0, day_value=4.0, messages_per_day=5000)
HELD = {f"60000{n}.SH": 3000 for n in range(4)}
CASH = 50_000_000
SEEDS = 320


class Died(BaseException):
    """The process is gone."""


class World:
    """An account, what the market will do with it, a bad wire, a journal that outlives processes."""

    def __init__(self, seed: int, resend_safe: bool = True, in_a_row: int = 3) -> None:
        self.rng = random.Random(seed)
        self.tickets = self._tickets()
        coming = {ticket.order_id: self._executions(ticket) for ticket in self.tickets}
        refused = {ticket.order_id for ticket in self.tickets if self.rng.random() < 0.1}
        self.inner = Simulated(
            lambda ticket: coming[ticket.order_id],
            HELD,
            CASH,
            refuse=lambda ticket: "no" if ticket.order_id in refused else "",
            resend_safe=resend_safe,
        )
        self.adversary = Adversary(self.inner, seed, in_a_row=in_a_row)
        self.journal: list[dict[str, str]] = []
        self.now, self.step, self.dies, self.deaths, self.halts = 0.0, 0, frozenset[int](), 0, 0

    def _tickets(self) -> list[Ticket]:
        found = []
        for n in range(self.rng.randint(2, 5)):
            side = self.rng.choice([Side.BUY, Side.SELL])
            code = f"60000{n}.SH" if side is Side.SELL and n < 4 else f"00000{n + 1}.SZ"
            side = Side.SELL if code in HELD else Side.BUY
            shares = 100 * self.rng.randint(1, 30)
            price = self.rng.choice([None, 10.0])
            found.append(Ticket(client_id("me", SESSION, code, side), SESSION, code, side, shares, price, 10.0))
        return found

    def _executions(self, ticket: Ticket) -> list[tuple[int, float]]:
        left, result = ticket.shares, []
        while left and self.rng.random() < 0.8:
            shares = min(left, 100 * self.rng.randint(1, 15))
            result.append((shares, self.rng.choice([9.98, 10.0]) if ticket.side is Side.BUY else 10.02))
            left -= shares
        return result

    def tick(self) -> None:
        self.step += 1
        if self.step in self.dies:
            self.deaths += 1
            raise Died

    def note(self, fact: Fact) -> None:
        self.tick()
        self.journal.append(fact.entry())
        self.tick()

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def __getattr__(self, name: str):
        """Pass a question on to the broker; the process may die before it, or after it was carried out."""
        value = getattr(self.adversary, name)
        if not callable(value):
            return value

        def question(*arguments):
            self.tick()
            answer = value(*arguments)
            self.tick()
            return answer

        return question

    def desk(self) -> Desk:
        return Desk(self, SETTINGS, self.note, lambda: self.now, self._sleep)

    def facts(self) -> list[Fact]:
        return [Fact.of(entry) for entry in self.journal]

    def lives(self, deed):
        """Do it until a process survives it."""
        while True:
            try:
                return deed(self.desk())
            except Died:
                continue
            except Halted:
                self.halts += 1
                assert self.halts < 1000

    def day(self, cancel: bool) -> tuple[list[Sent], Collected]:
        """Send, perhaps cancel, let the session end, and collect."""
        for _ in range(10):
            sent = self.lives(lambda desk: desk.send(SESSION, self.tickets, 1e6, self.facts()))
            if not self.inner.resend_safe or all(result.fate is not Fate.UNSURE for result in sent):
                break
        if cancel:
            wanted = [result.ticket.order_id for result in sent if result.report][::2]
            told = self.lives(lambda desk: desk.cancel(SESSION, wanted, self.facts()))
            true = {report.order_id: report for report in self.inner.orders(SESSION)}
            for order_id, report in told.items():
                assert not report.over or true[order_id].over
        self.adversary.settle_down()
        self.inner.close()
        return sent, self.lives(lambda desk: desk.collect(SESSION))


def check(world: World, sent: list[Sent], collected: Collected) -> None:
    """Nothing is lost, nothing is doubled, and the three accounts agree."""
    at_broker = Counter(report.order_id for report in world.inner.orders(SESSION))
    assert not [order_id for order_id, count in at_broker.items() if count > 1]
    for result in sent:
        if world.inner.resend_safe:
            assert result.fate in (Fate.PLACED, Fate.REJECTED)
        assert at_broker[result.ticket.order_id] == 1 or result.fate is Fate.UNSURE
    assert {result.ticket.order_id for result in sent} == {ticket.order_id for ticket in world.tickets}
    assert sorted(map(str, collected.fills)) == sorted(map(str, world.inner.fills(SESSION)))
    moved = Counter(HELD)
    for fill in collected.fills:
        moved[fill.code] += fill.shares if fill.side is Side.BUY else -fill.shares
    held = {code: holding.shares for code, holding in world.inner.positions().items()}
    assert {code: shares for code, shares in moved.items() if shares} == held
    ledger = booked(Account(HELD, CASH), collected.fills, lambda fill: 0)
    broker = Account.at_broker(world.inner.positions(), world.inner.cash())
    evidence = Evidence(SESSION, world.tickets, collected.fills, ledger, broker, collected.reports)
    assert differences(evidence) == ()


@pytest.mark.parametrize("resend_safe", [True, False], ids=["refuses doubles", "takes doubles"])
def test_no_order_or_fill_is_lost_or_doubled_wherever_it_dies(resend_safe):
    seen: Counter[Fault] = Counter()
    fates: Counter[Fate] = Counter()
    deaths = steps = 0
    for seed in range(SEEDS):
        world = World(seed, resend_safe, in_a_row=3 + 9 * (seed % 10 == 0))
        world.dies = frozenset(random.Random(seed + 10**6).sample(range(1, 120), 6))
        sent, collected = world.day(cancel=seed % 2 == 0)
        check(world, sent, collected)
        seen += world.adversary.faults
        fates.update(result.fate for result in sent)
        deaths, steps = deaths + world.deaths, steps + world.step
    assert deaths > SEEDS
    assert fates[Fate.PLACED] > SEEDS
    assert (fates[Fate.UNSURE] > 0) is (not resend_safe)
    assert fates[Fate.REJECTED] > 20
    assert min(seen[fault] for fault in Fault if resend_safe or fault is not Fault.DOUBLED_REQUEST) >= 10


def every_step(seeds: range, resend_safe: bool) -> int:
    runs = 0
    for seed in seeds:
        world = World(seed, resend_safe)
        check(world, *world.day(cancel=True))
        for step in range(1, world.step + 1):
            again = World(seed, resend_safe)
            again.dies = frozenset([step])
            check(again, *again.day(cancel=True))
            assert again.deaths == 1
            runs += 1
    return runs


@pytest.mark.parametrize("resend_safe", [True, False], ids=["refuses doubles", "takes doubles"])
def test_a_death_at_every_single_step(resend_safe):
    assert every_step(range(30), resend_safe) > 1500


@pytest.mark.slow
@pytest.mark.parametrize("resend_safe", [True, False], ids=["refuses doubles", "takes doubles"])
def test_a_death_at_every_single_step_of_every_day(resend_safe):
    assert every_step(range(SEEDS), resend_safe) > 50 * SEEDS


class Mortal:
    """An adapter whose process dies at the n-th thing it does: before it, or after it was carried out."""

    def __init__(self, broker, dies: int) -> None:
        self.broker, self.left = broker, dies

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Died

    def __getattr__(self, name: str):
        value = getattr(self.broker, name)
        if not callable(value):
            return value

        def question(*arguments):
            self.tick()
            answer = value(*arguments)
            self.tick()
            return answer

        return question


def qmt_day(bench: QmtBench, dies: int) -> tuple[list[Sent], int]:
    """Send two orders through the QMT adapter, dying once, with every second answer lost."""
    settings = SETTINGS.model_copy(update={"reported_on": SESSION, "account": "8881234567"})
    tickets = [
        Ticket(client_id("me", SESSION, code, side), SESSION, code, side, 100, 10.0, 10.0)
        for code, side in (("000001.SZ", Side.BUY), ("600000.SH", Side.SELL))
    ]
    journal: list[Fact] = []
    mortal = Mortal(bench.broker(), dies)

    def note(fact: Fact) -> None:
        mortal.tick()
        journal.append(fact)
        mortal.tick()

    while True:
        bench.lose_next_reply()
        try:
            sender = Desk(mortal, settings, note, lambda: bench.now, bench._sleep)
            return sender.send(SESSION, tickets, 1e6, journal), mortal.left
        except Died:
            mortal.broker = bench.broker()


def test_through_qmt_no_order_is_doubled_wherever_it_dies(tmp_path, monkeypatch):
    unsure = 0
    for dies in range(1, 200):
        bench = QmtBench(tmp_path / str(dies), monkeypatch)
        sent, left = qmt_day(bench, dies)
        arrived = Counter(order[0] for order in bench.received())
        assert set(arrived.values()) <= {1}
        for result in sent:
            assert arrived[result.ticket.code] == (0 if result.fate is Fate.UNSURE else 1)
            unsure += result.fate is Fate.UNSURE
        if left > 0:
            break
    assert 15 < dies < 199
    assert unsure == 4  # dead after writing the intent down, or just before sending: of each of the two


def test_the_check_has_teeth():
    """A broker that takes doubles, and a sender that simply sends again: some seed shows it."""
    from engine.errors import BrokerMismatch

    caught = 0
    for seed in range(60):
        world = World(seed, resend_safe=False)
        world.adversary.resend_safe = True  # the sender is told it may send again
        try:
            check(world, *world.day(cancel=False))
        except (AssertionError, BrokerMismatch):
            caught += 1
    assert caught > 10
