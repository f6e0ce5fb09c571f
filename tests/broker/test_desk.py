"""Consent, caps, self-crossing, cancels: what is refused before anything is sent, and what is written down."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from engine.broker.caps import Pace, collared
from engine.broker.desk import Desk, Fate
from engine.broker.facts import Fact, Kind
from engine.broker.fold import by_client_id, fold, later
from engine.broker.port import NoReply, Report, State, Ticket, client_id, in_order
from engine.broker.simulated import Simulated
from engine.errors import BrokerMismatch, Halted, SendingRefused
from engine.settings import BrokerSettings
from engine.types import Side

SESSION = dt.date(2018, 3, 5)
SETTINGS = BrokerSettings()
CONSENT = BrokerSettings(reported_on=dt.date(2018, 3, 5), account="real")


def ticket(code: str = "600000.SH", side: Side = Side.BUY, shares: int = 100, limit: float | None = 10.0) -> Ticket:
    return Ticket(client_id("me", SESSION, code, side), SESSION, code, side, shares, limit, 10.0)


class Live(Simulated):
    live = True


class Counted(Simulated):
    """Counts what reaches it, with the time."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.times: list[float] = []
        self.asked = 0
        self.clock = None

    def place(self, ticket):
        self.times.append(self.clock.now)
        return super().place(ticket)

    def cancel(self, order_id):
        self.times.append(self.clock.now)
        return super().cancel(order_id)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def desk(broker, settings=SETTINGS):
    facts: list[Fact] = []
    clock = Clock()
    if isinstance(broker, Counted):
        broker.clock = clock
    return Desk(broker, settings, facts.append, clock, clock.sleep), facts, clock


def account(kind=Simulated, trades=lambda ticket: (), **more):
    return kind(trades, {"600000.SH": 5000, "600001.SH": 5000}, 10**8, account="real", **more)


REFUSED = [
    ("no report confirmed", BrokerSettings(), "reported_on is not set"),
    ("confirmed tomorrow", BrokerSettings(reported_on=dt.date(2018, 3, 6), account="real"), "after"),
    ("another account", BrokerSettings(reported_on=dt.date(2018, 1, 1), account="other"), "broker.account = 'other'"),
    ("no account", BrokerSettings(reported_on=dt.date(2018, 1, 1)), "broker.account = ''"),
]


@pytest.mark.parametrize(("settings", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_nothing_is_sent_live_without_consent(settings, said):
    broker = account(Live)
    sender, facts, _ = desk(broker, settings)
    for deed in (lambda: sender.send(SESSION, [ticket()], 1e6), lambda: sender.cancel(SESSION, ["x"])):
        with pytest.raises(SendingRefused, match=said) as error:
            deed()
        assert error.value.exit_code == 5
        assert "\n" not in str(error.value)
    assert not facts
    assert not broker.orders(SESSION)


def test_a_broker_that_does_not_say_whether_it_is_live_is():
    class Silent:
        account = "real"

    sender, facts, _ = desk(Silent())
    with pytest.raises(SendingRefused, match="reported"):
        sender.send(SESSION, [ticket()], 1e6)
    assert not facts


def test_with_consent_a_live_order_goes_out_with_a_worst_price():
    broker = account(Live)
    sender, _, _ = desk(broker, CONSENT)
    (sent,) = sender.send(SESSION, [ticket(limit=None)], 1e6)
    assert sent.ticket.limit == 10.2
    assert sent.fate is Fate.PLACED


@pytest.mark.parametrize(
    ("side", "reference", "limit"),
    [(Side.BUY, 10.0, 10.2), (Side.SELL, 10.0, 9.8), (Side.BUY, 9.99, 10.18), (Side.SELL, 9.99, 9.8)],
)
def test_the_collar_is_rounded_to_the_order_s_own_good(side, reference, limit):
    assert collared(replace(ticket(side=side, limit=None), reference=reference), SETTINGS).limit == limit
    assert collared(replace(ticket(side=side, limit=7.0)), SETTINGS).limit == 7.0


IMPOSSIBLE = [
    ("another session", [replace(ticket(), session=dt.date(2018, 3, 6))], 1e6, "it is for 2018-03-06"),
    ("a fund", [replace(ticket(), code="510300.SH")], 1e6, "no A share"),
    ("no shares", [replace(ticket(), shares=0)], 1e6, "0 shares"),
    ("no price", [replace(ticket(), limit=float("nan"))], 1e6, "must be prices"),
    ("no reference", [replace(ticket(), reference=0.0)], 1e6, "must be prices"),
    ("one id twice", [ticket(), ticket()], 1e6, "two tickets have the id"),
    ("too large", [ticket(shares=100_100)], 1e7, "broker.order_value allows 1,000,000.00"),
    ("no net value", [ticket()], float("nan"), "broker.order_value"),
]


@pytest.mark.parametrize(
    ("tickets", "net_value", "said"), [case[1:] for case in IMPOSSIBLE], ids=[case[0] for case in IMPOSSIBLE]
)
def test_one_impossible_ticket_stops_them_all(tickets, net_value, said):
    broker = account()
    sender, facts, _ = desk(broker)
    with pytest.raises(SendingRefused, match=said):
        sender.send(SESSION, [ticket("600001.SH"), *tickets], net_value)
    assert not facts
    assert not broker.orders(SESSION)


def test_the_value_of_a_day_is_capped():
    broker = account()
    sender, _, _ = desk(broker, BrokerSettings(order_value=1.0, day_value=0.5))
    with pytest.raises(SendingRefused, match=r"day_value allows 500\.00"):
        sender.send(SESSION, [ticket()], 1000)
    assert sender.send(SESSION, [ticket()], 2000)[0].fate is Fate.PLACED


def test_the_messages_of_a_day_are_capped_across_restarts_and_with_orders_by_hand():
    settings = BrokerSettings(messages_per_day=3)
    broker = account()
    sender, facts, _ = desk(broker, settings)
    sender.send(SESSION, [ticket("600001.SH")], 1e6)
    broker.place(replace(ticket("600003.SH"), order_id=""))
    again, more, _ = desk(broker, settings)
    with pytest.raises(SendingRefused, match="messages_per_day allows 3"):
        again.send(SESSION, [ticket("600001.SH"), ticket("600004.SH"), ticket("600005.SH")], 1e6, facts)
    assert not more
    assert len(again.send(SESSION, [ticket("600001.SH"), ticket("600004.SH")], 1e6, facts)) == 2
    with pytest.raises(SendingRefused, match="4 orders and cancels"):
        again.cancel(SESSION, [ticket("600001.SH").order_id], facts + more)


def test_orders_go_out_sells_first_and_no_faster_than_allowed():
    broker = account(Counted)
    sender, _, _ = desk(broker)
    tickets = [ticket(f"6001{n:02d}.SH") for n in range(20)] + [ticket("600000.SH", Side.SELL, 100, None)]
    sent = sender.send(SESSION, tickets, 1e6)
    assert [result.ticket for result in sent] == in_order(tickets) == [tickets[-1], *tickets[:-1]]
    assert [report.order_id for report in broker.orders(SESSION)] == [t.order_id for t in in_order(tickets)]
    for begin in broker.times:
        assert sum(begin <= time < begin + 1 for time in broker.times) <= 5
    assert broker.times[-1] >= 4


def test_the_pace_waits_no_longer_than_it_must():
    clock = Clock()
    pace = Pace(2, clock, clock.sleep)
    times = []
    for _ in range(5):
        pace.wait()
        times.append(clock.now)
    assert times[:2] == [0, 0]
    assert times[4] < 2.1


def test_what_is_intended_is_written_down_before_it_is_sent():
    broker = account()

    def note(fact: Fact) -> None:
        if fact.kind is Kind.INTENT:
            assert not broker.orders(SESSION)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        Desk(broker, SETTINGS, note, Clock(), Clock().sleep).send(SESSION, [ticket()], 1e6)
    assert not broker.orders(SESSION)


def test_facts_go_through_json():
    import json

    fact = Fact(Kind.INTENT, SESSION, "me-1", "limit 10.00")
    assert Fact.of(json.loads(json.dumps(fact.entry()))) == fact


def test_sent_again_is_found_not_placed():
    broker = account()
    sender, facts, _ = desk(broker)
    sender.send(SESSION, [ticket()], 1e6)
    written = len(facts)
    (sent,) = sender.send(SESSION, [ticket()], 1e6, facts)
    assert sent.fate is Fate.PLACED
    assert [fact.kind for fact in facts[written:]] == [Kind.ANSWER]
    assert len(broker.orders(SESSION)) == 1


def test_another_order_under_our_id_stops_everything():
    broker = account()
    broker.place(ticket(shares=300))
    sender, _, _ = desk(broker)
    with pytest.raises(BrokerMismatch, match=r"buy 100 600000\.SH") as error:
        sender.send(SESSION, [ticket(shares=100)], 1e6)
    assert error.value.exit_code == 6


def test_two_orders_under_one_id_stop_everything():
    broker = account(resend_safe=False)
    broker.place(ticket())
    broker.place(ticket())
    sender, _, _ = desk(broker)
    for deed in (lambda: sender.send(SESSION, [ticket()], 1e6), lambda: sender.collect(SESSION)):
        with pytest.raises(BrokerMismatch, match="doubled"):
            deed()


def test_a_silent_broker_halts_and_nothing_is_sent():
    class Mute(Simulated):
        def orders(self, session):
            raise NoReply

    sender, facts, _ = desk(account(Mute))
    with pytest.raises(Halted, match="did not answer 5 times") as error:
        sender.send(SESSION, [ticket()], 1e6)
    assert error.value.exit_code == 5
    assert not facts


def test_a_buy_never_meets_a_sale_of_the_same_account():
    broker = account()
    sell, buy = ticket(side=Side.SELL), ticket()
    sender, facts, _ = desk(broker)
    sent = sender.send(SESSION, [buy, sell], 1e6)
    assert [(result.ticket.side, result.fate) for result in sent] == [
        (Side.SELL, Fate.PLACED),
        (Side.BUY, Fate.WITHHELD),
    ]
    assert sent[1].why == f"{sell.order_id} is live"
    assert facts[-1].kind is Kind.WITHHELD
    assert [report.side for report in broker.orders(SESSION)] == [Side.SELL]
    broker.trade("1001", 100, 10.0)  # when the sale is over the buy may go
    assert [result.fate for result in sender.send(SESSION, [buy, sell], 1e6, facts)] == [Fate.PLACED, Fate.PLACED]


def test_an_order_by_hand_is_not_crossed_either():
    broker = account()
    broker.place(replace(ticket(side=Side.SELL), order_id=""))
    sender, _, _ = desk(broker)
    (sent,) = sender.send(SESSION, [ticket()], 1e6)
    assert (sent.fate, sent.why) == (Fate.WITHHELD, "1001 is live")


def test_an_order_that_may_be_there_is_not_crossed():
    class Deaf(Simulated):
        def place(self, ticket):
            if ticket.side is Side.SELL:
                raise NoReply
            return super().place(ticket)

    sender, _, _ = desk(account(Deaf, resend_safe=False))
    sent = sender.send(SESSION, [ticket(), ticket(side=Side.SELL)], 1e6)
    assert [result.fate for result in sent] == [Fate.UNSURE, Fate.WITHHELD]
    assert "may be there" in sent[1].why


def test_a_cancel_waits_until_the_order_has_lived():
    broker = account(Counted)
    sender, facts, clock = desk(broker)
    sender.send(SESSION, [ticket()], 1e6)
    placed = clock.now
    reports = sender.cancel(SESSION, [ticket().order_id], facts)
    assert reports[ticket().order_id].state is State.CANCELLED
    assert broker.times[-1] - placed >= 10
    restarted, _, clock = desk(broker)
    assert restarted.cancel(SESSION, [ticket().order_id], facts)[ticket().order_id].over
    assert clock.now < 10  # nothing to cancel, nothing to wait for


def test_an_order_that_fills_meanwhile_is_not_cancelled():
    broker = account(Counted)
    sender, facts, clock = desk(broker)
    sender.send(SESSION, [ticket()], 1e6)
    sleep = clock.sleep

    def sleeping(seconds: float) -> None:
        sleep(seconds)
        if not broker.fills(SESSION):
            broker.trade("1001", 100, 10.0)

    sender._sleep = sleeping
    assert sender.cancel(SESSION, [ticket().order_id], facts)[ticket().order_id].state is State.FILLED
    assert Kind.CANCEL not in [fact.kind for fact in facts]


def test_a_cancel_that_never_works_is_told_as_it_is():
    class Deaf(Simulated):
        def cancel(self, order_id):
            return True

    sender, facts, _ = desk(account(Deaf))
    sender.send(SESSION, [ticket()], 1e6)
    assert not sender.cancel(SESSION, [ticket().order_id], facts)[ticket().order_id].over
    assert [fact.kind for fact in facts].count(Kind.CANCEL) == 3
    assert facts[-1].kind is Kind.ALARM
    assert facts[-1].text == "3 cancels to 1 orders"


def test_few_cancels_are_no_alarm():
    broker = account()
    sender, facts, _ = desk(broker)
    tickets = [ticket(f"6001{n:02d}.SH") for n in range(10)]
    sender.send(SESSION, tickets, 1e6)
    sender.cancel(SESSION, [order.order_id for order in tickets[:3]], list(facts))
    assert Kind.ALARM not in [fact.kind for fact in facts]
    sender.cancel(SESSION, [tickets[3].order_id], list(facts))
    assert facts[-1].kind is Kind.ALARM


def test_nobody_s_order_is_not_cancelled():
    sender, facts, _ = desk(account())
    assert sender.cancel(SESSION, ["nobody"]) == {}
    assert not facts


def test_a_rejected_order_is_told_with_the_broker_s_words():
    sender, _, _ = desk(account(refuse=lambda ticket: "no such money"))
    (sent,) = sender.send(SESSION, [ticket()], 1e6)
    assert (sent.fate, sent.why) == (Fate.REJECTED, "no such money")


def test_trades_that_differ_under_one_id_stop_the_collecting():
    class Two(Simulated):
        def fills(self, session):
            (fill,) = super().fills(session)
            return [fill, replace(fill, shares=fill.shares + 100)]

    broker = account(Two)
    broker.place(ticket(shares=300))
    broker.trade("1001", 100, 10.0)
    with pytest.raises(BrokerMismatch, match="told twice"):
        desk(broker)[0].collect(SESSION)


def report(state: State, filled: int = 0, number: str = "1", order_id: str = "me") -> Report:
    return Report(order_id, number, SESSION, "600000.SH", Side.BUY, 300, state, filled)


LATER = [
    ((State.LIVE, 0), (State.LIVE, 100), (State.LIVE, 100)),
    ((State.LIVE, 100), (State.LIVE, 0), (State.LIVE, 100)),
    ((State.CANCELLED, 100), (State.LIVE, 0), (State.CANCELLED, 100)),
    ((State.LIVE, 100), (State.CANCELLED, 0), (State.CANCELLED, 100)),
    ((State.CANCELLED, 0), (State.LIVE, 100), (State.CANCELLED, 100)),
    ((State.CANCELLED, 0), (State.FILLED, 300), (State.FILLED, 300)),
    ((State.FILLED, 300), (State.CANCELLED, 0), (State.FILLED, 300)),
    ((State.WAITING, 0), (State.REJECTED, 0), (State.REJECTED, 0)),
]


@pytest.mark.parametrize(("one", "other", "both"), LATER)
def test_reports_in_any_order_say_the_same(one, other, both):
    together = later(report(*one), report(*other))
    assert (together.state, together.filled) == both
    assert later(together, report(*one)) == together


def test_reports_are_kept_by_the_broker_s_number():
    found = fold({}, [report(State.LIVE), report(State.LIVE, 100), report(State.LIVE, number="2", order_id="")])
    assert {number: entry.filled for number, entry in found.items()} == {"1": 100, "2": 0}
    assert by_client_id(found.values()).keys() == {"me"}
