"""The kit passes what keeps the contract and names the clause of what does not."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace

import pytest

from engine.broker.kit import CLAUSES, Probe, contract, failures
from engine.broker.port import NoReply
from engine.broker.qmt import Qmt
from engine.errors import ProofFailed
from tests.broker.benches import AdversaryBench, QmtBench, SimulatedBench, _Wire


def test_the_simulated_broker_keeps_the_contract():
    contract(SimulatedBench)


@pytest.mark.parametrize("seed", range(12))
def test_a_bad_wire_in_front_of_an_honest_account_keeps_it_too(seed):
    contract(lambda: AdversaryBench(seed))


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.name)
@pytest.mark.parametrize("none_for_empty", [False, True], ids=["lists", "None for nothing"])
def test_the_qmt_adapter_keeps_it_over_a_fake_of_the_library(clause, none_for_empty, tmp_path, monkeypatch):
    bench = QmtBench(tmp_path, monkeypatch)
    bench.fake.none_for_empty = none_for_empty
    clause.check(Probe(bench))


class Sloppy(_Wire):
    """An adapter that breaks one promise, by its name."""

    how = ""

    def place(self, ticket):
        if self.how == "ignores the limit":
            ticket = replace(ticket, limit=None)
        if self.how == "makes up a limit" and ticket.limit is None:
            ticket = replace(ticket, limit=11.0)
        if self.how == "sends again":
            super().place(ticket)
            ticket = replace(ticket, order_id=ticket.order_id + "'")
        if self.how == "hundreds only":
            ticket = replace(ticket, shares=100)
        if self.how == "cuts the id":
            ticket = replace(ticket, order_id=ticket.order_id[:24])
        if self.how == "retries":
            try:
                return super().place(ticket)
            except NoReply:
                super().place(replace(ticket, order_id=ticket.order_id + "'"))
                raise
        return super().place(ticket)

    def cancel(self, order_id):
        if self.how == "never cancels":
            return True
        if self.how == "raises at the unknown" and order_id == "nobody-knows":
            raise KeyError(order_id)
        return super().cancel(order_id)

    def orders(self, session):
        if self.how == "silence is nothing" and self.bench.silent:
            return []
        found = super().orders(self.bench.session if self.how == "any session" else session)
        if self.how == "hides others":
            found = [report for report in found if report.order_id]
        if self.how == "never filled":
            found = [replace(report, filled=0) for report in found]
        if self.how == "no words":
            found = [replace(report, message="") for report in found]
        if self.how == "no numbers":
            found = [replace(report, number="") for report in found]
        return found

    def fills(self, session):
        found = super().fills(session)
        if self.how == "newest trade only":
            found = found[-1:]
        if self.how == "one trade an order":
            found = [replace(fill, trade_id=fill.order_id) for fill in found]
        if self.how == "fresh ids":
            found = [replace(fill, trade_id=f"{fill.trade_id}-{next(self.bench.hand)}") for fill in found]
        if self.how == "average price":
            found = [replace(fill, price=round(fill.price, 1)) for fill in found]
        return found

    def positions(self):
        held = super().positions()
        if self.how == "all is sellable":
            held = {code: replace(holding, sellable=holding.shares) for code, holding in held.items()}
        return held

    def cash(self):
        return super().cash() // 100 if self.how == "cash in yuan" else super().cash()


class Forgetful(_Wire):
    """Knows only orders of its own life."""

    def __init__(self, bench):
        super().__init__(bench)
        self.mine = set()

    def place(self, ticket):
        self.mine.add(ticket.order_id)
        return super().place(ticket)

    def orders(self, session):
        return [r if r.order_id in self.mine else replace(r, order_id="") for r in super().orders(session)]


BREAKS = [
    ("ignores the limit", "placed_once"),
    ("hundreds only", "placed_once"),
    ("cuts the id", "placed_once"),
    ("sends again", "placed_once"),
    ("no numbers", "placed_once"),
    ("makes up a limit", "market_orders"),
    ("retries", "lost_reply"),
    ("average price", "trades_are_told"),
    ("never filled", "trades_are_told"),
    ("fresh ids", "trades_stay"),
    ("newest trade only", "trades_stay"),
    ("one trade an order", "alike_trades"),
    ("never cancels", "cancelled"),
    ("raises at the unknown", "cancelled_in_vain"),
    ("no words", "rejected"),
    ("silence is nothing", "silence_is_not_nothing"),
    ("hides others", "others_are_shown"),
    ("all is sellable", "holdings_follow"),
    ("cash in yuan", "holdings_follow"),
    ("any session", "other_sessions"),
]


@pytest.mark.parametrize(("how", "clause"), BREAKS, ids=[how for how, _ in BREAKS])
def test_an_adapter_that_breaks_a_promise_is_told_which(how, clause, monkeypatch):
    class Bench(SimulatedBench):
        def broker(self):
            adapter = Sloppy(self)
            adapter.how = how
            return adapter

    assert clause in [name for name, _ in failures(Bench)]
    with pytest.raises(ProofFailed, match="the adapter breaks the clause") as error:
        contract(Bench)
    assert error.value.exit_code == 4


def test_an_adapter_that_forgets_is_told():
    class Bench(SimulatedBench):
        def broker(self):
            return Forgetful(self)

    assert "placed_in_another_life" in [name for name, _ in failures(Bench)]


def test_every_clause_catches_somebody():
    caught = {clause for _, clause in BREAKS} | {"placed_in_another_life"}
    assert {clause.name for clause in CLAUSES} - caught == {"placed_again"}  # see the next test


def test_placing_twice_is_caught():
    class Bench(SimulatedBench):
        def __init__(self):
            super().__init__()
            self.inner.resend_safe = False

    assert "placed_again" in [name for name, _ in failures(Bench)]


def test_a_refused_word_of_qmt_is_looked_into(tmp_path, monkeypatch):
    """``order_stock`` says -1 and the order is there all the same."""
    bench = QmtBench(tmp_path, monkeypatch)
    bench.fake.minus_one = True
    probe = Probe(bench)
    ticket = probe.ticket("minus")
    assert not bench.broker().place(ticket).over
    bench.fake.orders.clear()  # as if the client had forgotten it
    with pytest.raises(NoReply):
        bench.broker().place(ticket)
    assert not bench.fake.orders


def test_qmt_waits_between_connections_and_takes_a_new_session_id(tmp_path, monkeypatch):
    bench = QmtBench(tmp_path, monkeypatch)
    broker = bench.broker()
    broker.cash()
    bench.silence(True)
    for _ in range(3):
        with pytest.raises(NoReply):
            broker.cash()
    assert [number for _, number in bench.fake.connections] == [701, 702, 703]
    assert bench.now == 6.0
    bench.silence(False)
    assert broker.cash() == 100_000_000


def test_qmt_without_its_library_says_where_it_comes_from(tmp_path, monkeypatch):
    from engine.errors import UsageError

    for name in ("xtquant", "xtquant.xttrader", "xtquant.xttype"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(UsageError, match="miniQMT") as error:
        Qmt(tmp_path, "1", tmp_path, 1)
    assert "\n" not in str(error.value)


def test_a_damaged_memory_of_qmt_stops_it(tmp_path, monkeypatch):
    from engine.errors import BadInput

    bench = QmtBench(tmp_path, monkeypatch)
    probe = Probe(bench)
    probe.place(probe.ticket("one"))
    (path,) = tmp_path.iterdir()
    for content in (b"{", b"[]", b'{"zabc": "another"}'):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="damaged"):
            bench.broker().orders(bench.session)
        with pytest.raises(BadInput, match="damaged"):
            bench.broker().place(probe.ticket("two"))


def test_short_ids_fit_the_remark_and_differ():
    from engine.broker.port import client_id
    from engine.broker.qmt import short_id
    from engine.types import Side

    days = [dt.date(2018, 1, 1) + dt.timedelta(days=n) for n in range(500)]
    ids = {client_id("acct", day, f"60{n:04d}.SH", side) for n, (day, side) in enumerate(itertools.product(days, Side))}
    short = {short_id(order_id) for order_id in ids}
    assert len(short) == len(ids) == 1000
    assert all(len(name) <= 24 and name.isascii() and name.isalnum() for name in short)
    assert client_id("myacct", dt.date(2018, 3, 5), "600519.SH", Side.BUY) == "myacct-20180305-600519.SH-B"
