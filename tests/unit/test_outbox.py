"""The outbox: nothing lost, each letter at least once under one id, in order, and a dead receiver delays nobody."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.clock import SHANGHAI
from engine.paper.letters import Message
from engine.paper.outbox import AT_ONCE, Delivery, Outbox
from engine.paper.sending import NotSent, tell
from tests.receivers import eventually

NOW = dt.datetime(2018, 3, 5, 18, tzinfo=SHANGHAI)
MINUTE = dt.timedelta(minutes=1)


def letter(n: int, body: str = "买入 600000.SH\n") -> Message:
    return Message(f"mine-{n}-orders", dt.date(2018, 3, 5), "orders", f"[ashare mine] {n}", body)


class Box:
    """A receiver that keeps what it gets, or does as ``act`` says."""

    def __init__(self, mark: str, act=lambda message: None) -> None:
        self.mark, self.label, self.act = mark, f"box {mark}", act
        self.got: list[str] = []

    def send(self, message: Message, seconds: float) -> None:
        assert seconds > 0
        self.act(message)
        self.got.append(message.id)


def refuse(_: Message) -> None:
    raise NotSent("code 310000")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[0-9]*.json"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "account" / "outbox"


def test_letters_are_delivered_in_order_and_filed_away(folder):
    outbox, one, two = Outbox(folder), Box("1"), Box("2")
    for n in (3, 1, 2, 10):
        assert outbox.put(letter(n))
    assert outbox.waiting() == [letter(3), letter(1), letter(2), letter(10)]
    assert outbox.deliver([one, two], NOW, 5.0) == Delivery(4, 0)
    assert one.got == two.got == [letter(n).id for n in (3, 1, 2, 10)]
    assert names(folder) == []
    assert names(folder / "sent")[0] == "000001-mine-3-orders.json"
    assert outbox.deliver([one, two], NOW, 5.0) == Delivery(0, 0)
    assert len(one.got) == 4


def test_a_letter_put_again_changes_nothing(folder):
    outbox, box = Outbox(folder), Box("1")
    assert outbox.put(letter(1))
    before = (folder / "000001-mine-1-orders.json").read_bytes()
    assert not outbox.put(letter(1, "other words"))
    assert not Outbox(folder).put(letter(1))
    assert (folder / "000001-mine-1-orders.json").read_bytes() == before
    outbox.deliver([box], NOW, 5.0)
    assert not outbox.put(letter(1))
    assert outbox.waiting() == []
    assert outbox.put(letter(2))
    assert names(folder) == ["000002-mine-2-orders.json"]


def test_without_a_folder_or_a_receiver_nothing_happens(folder):
    outbox = Outbox(folder)
    assert outbox.deliver([Box("1")], NOW, 5.0) == Delivery(0, 0)
    assert outbox.waiting() == []
    assert not folder.exists()
    outbox.put(letter(1))
    assert outbox.deliver([], NOW, 5.0) == Delivery(0, 1, ("1 waiting: no receiver is set up",))


@pytest.mark.parametrize("bad", ["", "../x", "a/b", ".hidden", "a b", "a\n", "账" * 70])
def test_an_id_that_is_no_file_name_is_refused(folder, bad):
    message = Message(bad, NOW.date(), "orders", "t", "b")
    with pytest.raises(ValueError, match="cannot be the id"):
        Outbox(folder).put(message)
    assert not folder.exists()


def test_an_account_may_have_a_chinese_name(folder):
    message = Message("模拟盘-20180305-orders", NOW.date(), "orders", "t", "b")
    outbox, box = Outbox(folder), Box("1")
    outbox.put(message)
    assert outbox.deliver([box], NOW, 5.0).sent == 1
    assert box.got == [message.id]


def test_the_live_one_gets_a_letter_once_while_the_dead_one_lacks_it(folder):
    live, dead = Box("live"), Box("dead", refuse)
    Outbox(folder).put(letter(1))
    for day in range(5):
        delivery = Outbox(folder).deliver([live, dead], NOW + day * dt.timedelta(days=1), 5.0)
        assert delivery == Delivery(0, 1, ("box dead: 1 waiting: code 310000",))
    assert live.got == [letter(1).id]
    assert json.loads((folder / "state.json").read_text())["letters"]["mine-1-orders"]["dead"]["failed"] == 5
    dead.act = lambda message: None
    assert Outbox(folder).deliver([live, dead], NOW + dt.timedelta(days=9), 5.0) == Delivery(1, 0)
    assert live.got == dead.got == [letter(1).id]


def test_a_receiver_that_is_no_more_holds_nothing_back(folder):
    live, dead = Box("live"), Box("dead", refuse)
    outbox = Outbox(folder)
    outbox.put(letter(1))
    outbox.deliver([live, dead], NOW, 5.0)
    assert outbox.deliver([live], NOW, 5.0) == Delivery(1, 0)
    assert live.got == [letter(1).id]


def test_attempts_keep_their_distance(folder):
    outbox, asked = Outbox(folder), []
    box = Box("1", lambda message: (asked.append(at), refuse(message)))
    outbox.put(letter(1))
    for minute in range(200):
        at = minute
        delivery = outbox.deliver([box], NOW + minute * MINUTE, 5.0)
        assert delivery.waiting == 1
        assert len(delivery.problems) == 1
    assert asked == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    at = -1
    outbox.deliver([box], NOW - dt.timedelta(days=1), 5.0)  # the clock was put back: what it wrote is no reason to wait
    assert asked[-1] == -1


def test_a_letter_that_is_refused_does_not_block_the_next(folder):
    outbox = Outbox(folder)
    box = Box("1", lambda message: refuse(message) if message.id == letter(1).id else None)
    for n in (1, 2, 3):
        outbox.put(letter(n))
    delivery = outbox.deliver([box], NOW, 5.0)
    assert delivery == Delivery(2, 1, ("box 1: 1 waiting: code 310000",))
    assert box.got == [letter(2).id, letter(3).id]


def test_a_receiver_that_is_overloaded_is_left_alone(folder):
    asked = []

    def overloaded(message):
        asked.append(message.id)
        raise NotSent("code 130101", overloaded=True)

    outbox = Outbox(folder)
    for n in (1, 2, 3):
        outbox.put(letter(n))
    delivery = outbox.deliver([Box("1", overloaded)], NOW, 5.0)
    assert delivery.problems == ("box 1: 3 waiting: code 130101",)
    assert asked == [letter(1).id]


def test_no_more_than_a_robot_takes_are_sent_in_a_minute(folder):
    box = Box("1")
    for n in range(40):
        Outbox(folder).put(letter(n))
    sent = [Outbox(folder).deliver([box], NOW + at * MINUTE / 4, 5.0) for at in range(12)]
    assert [delivery.sent for delivery in sent] == [AT_ONCE, 0, 0, 0, AT_ONCE, 0, 0, 0, 10, 0, 0, 0]
    assert sent[1].problems == ("box 1: 25 waiting: no more than 15 are sent in a minute",)
    assert box.got == [letter(n).id for n in range(40)]


def test_what_a_plug_in_raises_is_not_shown(folder):
    def fail(_):
        raise RuntimeError("https://secret")

    outbox = Outbox(folder)
    outbox.put(letter(1))
    assert outbox.deliver([Box("1", fail)], NOW, 5.0).problems == ("box 1: 1 waiting: unexpected RuntimeError",)

    def leave(_):
        raise SystemExit("https://secret")

    assert tell([Box("1", leave)], letter(1), 5.0) == {"1": "unexpected SystemExit"}


# --- time ---------------------------------------------------------------------------------------------------------


def test_a_dead_receiver_delays_neither_us_nor_the_others(folder):
    hangs = threading.Event()
    live, dead = Box("live"), Box("dead", lambda message: hangs.wait(60))
    outbox = Outbox(folder)
    for n in (1, 2):
        outbox.put(letter(n))
    started = time.monotonic()
    delivery = outbox.deliver([dead, live], NOW, 0.3)
    assert 0.3 <= time.monotonic() - started < 10.0
    assert delivery == Delivery(0, 2, ("box dead: 2 waiting: no answer in time",))
    assert live.got == [letter(1).id, letter(2).id]
    # it still hangs: the same process does not ask it a second time beside
    again = outbox.deliver([dead, live], NOW + MINUTE, 5.0)
    assert again.problems == ("box dead: 2 waiting: no answer in time",)
    assert time.monotonic() - started < 20.0
    hangs.set()
    eventually(lambda: dead.got == [letter(1).id])
    # what it took too late is known then, and not sent again
    assert outbox.deliver([dead, live], NOW + 2 * MINUTE, 5.0) == Delivery(2, 0)
    assert dead.got == live.got == [letter(1).id, letter(2).id]


def test_what_a_receiver_has_is_on_the_disk_before_the_others_are_waited_for(folder):
    """Who is killed while a dead receiver keeps it does not send the live one everything again."""
    live, seen = Box("live"), []

    def look(_):
        eventually(lambda: (folder / "state.json").read_text().count('"has_it": true') == 3)
        seen.append(True)
        raise NotSent("dead")

    for n in range(3):
        Outbox(folder).put(letter(n))
    Outbox(folder).deliver([live], NOW, 0.0)  # makes the state file
    Outbox(folder).deliver([live, Box("dead", look)], NOW, 5.0)
    assert seen


def test_the_process_ends_while_a_receiver_hangs(tmp_path):
    script = f"""
import datetime as dt, time
from pathlib import Path
from engine.clock import SHANGHAI
from engine.paper.letters import Message
from engine.paper.outbox import Outbox
class Hangs:
    mark = label = "dead"
    def send(self, message, seconds): time.sleep(60)
outbox = Outbox(Path({str(tmp_path)!r}) / "outbox")
outbox.put(Message("a", dt.date(2018, 3, 5), "orders", "t", "b"))
print(outbox.deliver([Hangs()], dt.datetime(2018, 3, 5, tzinfo=SHANGHAI), 0.2))
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=30, capture_output=True, text=True, check=True)
    assert "no answer in time" in done.stdout
    assert not done.stderr


def test_two_processes_do_not_send_at_once(folder):
    began, goes_on = threading.Event(), threading.Event()
    slow = Box("1", lambda message: (began.set(), goes_on.wait(30)))
    Outbox(folder).put(letter(1))
    first: list[Delivery] = []
    thread = threading.Thread(target=lambda: first.append(Outbox(folder).deliver([slow], NOW, 30.0)))
    thread.start()
    assert began.wait(10)
    other = Outbox(folder)
    assert other.deliver([slow], NOW, 5.0) == Delivery(0, 1, ("waiting: another process is sending them",))
    assert other.put(letter(2))  # putting in waits for nobody
    assert not other.put(letter(1))
    goes_on.set()
    thread.join()
    assert first == [Delivery(1, 0)]
    assert other.deliver([slow], NOW, 5.0) == Delivery(1, 0)
    assert slow.got == [letter(1).id, letter(2).id]


def test_many_who_put_at_once_lose_nothing(folder):
    ids = range(24)
    threads = [threading.Thread(target=Outbox(folder).put, args=(letter(n // 2),)) for n in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(message.id for message in Outbox(folder).waiting()) == sorted({letter(n // 2).id for n in ids})


# --- damage -------------------------------------------------------------------------------------------------------

DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-20],
    "a flipped byte": lambda content: content.replace(b"600000", b"600001"),
    "other bytes": lambda content: b"\xff\x00" * 50,
    "no object": lambda content: b"[1]",
    "deep": lambda content: b"[" * 100_000,
    "another letter": lambda content: json.dumps({"id": "x"}).encode(),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_letter_is_set_aside_and_blocks_nobody(folder, name):
    outbox, box = Outbox(folder), Box("1")
    for n in (1, 2):
        outbox.put(letter(n))
    path = folder / "000001-mine-1-orders.json"
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    assert outbox.waiting() == [letter(2)]
    delivery = outbox.deliver([box], NOW, 5.0)
    assert (delivery.sent, delivery.waiting) == (1, 0)
    (problem,) = delivery.problems
    assert path.name in problem
    assert "damaged" in problem
    assert names(folder / "damaged") == [path.name]
    assert outbox.deliver([box], NOW, 5.0).problems == ()
    assert outbox.put(letter(1))  # whoever makes it again has it sent
    assert outbox.deliver([box], NOW, 5.0).sent == 1
    assert box.got == [letter(2).id, letter(1).id]


def test_a_letter_under_another_name_is_damaged(folder):
    outbox = Outbox(folder)
    outbox.put(letter(1))
    (folder / "000001-mine-1-orders.json").rename(folder / "000001-mine-2-orders.json")
    (folder / "000003-mine-3-orders.json").mkdir()
    assert len(outbox.deliver([Box("1")], NOW, 5.0).problems) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"letters": {"mine-1-orders": 3}}', b'{"taken": {"1": ["x"]}}',
                                     b'{"letters": {"mine-1-orders": {"1": {"not_before": NaN}}}}'])  # fmt: skip
def test_a_damaged_state_costs_only_a_second_copy(folder, content):
    outbox, live, dead = Outbox(folder), Box("live"), Box("dead", refuse)
    outbox.put(letter(1))
    outbox.deliver([live, dead], NOW, 5.0)
    (folder / "state.json").write_bytes(content)
    delivery = outbox.deliver([live, dead], NOW + MINUTE, 5.0)
    assert "state.json was altered on the disk" in delivery.problems[0]
    assert live.got == [letter(1).id] * 2
    assert outbox.deliver([live, dead], NOW + 2 * MINUTE, 5.0).problems[0].startswith("box dead")


# --- death --------------------------------------------------------------------------------------------------------

DRIVER = """
import datetime as dt, os, sys, threading
from pathlib import Path
from engine.clock import SHANGHAI
from engine.paper.letters import Message
from engine.paper.outbox import Outbox

def child(at):
    calls, lock = 0, threading.Lock()
    def counted(function, after):
        def wrapper(*args, **kwargs):
            nonlocal calls
            with lock:
                calls += 1
                dies = calls == at
            if dies and not after:
                os._exit(9)
            try:
                return function(*args, **kwargs)
            finally:
                if dies:
                    os._exit(9)
        return wrapper

    class Box:
        def __init__(self, name):
            self.mark = self.label = name
            self.send = counted(self.take, after)
        def take(self, message, seconds):
            with open(name_of(self.mark), "a") as file:
                file.write(message.id + chr(10))

    after = at % 2 == 1
    at = at // 2
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "write"):
        setattr(os, name, counted(getattr(os, name), after))
    outbox = Outbox(Path("outbox"))
    for n in range(3):
        outbox.put(Message(f"mine-{n}-orders", dt.date(2018, 3, 5), "orders", f"t{n}", "b"))
    delivery = outbox.deliver([Box("one"), Box("two")], dt.datetime(2018, 3, 5, tzinfo=SHANGHAI), 30.0)
    os._exit(0 if delivery.sent >= 0 and delivery.waiting == 0 else 8)

def name_of(mark):
    return f"{mark}.txt"

mode, at, step = sys.argv[1], 2, int(sys.argv[2])
while True:
    if mode == "alone":
        os.mkdir(str(at)); os.chdir(str(at))
    pid = os.fork()
    if pid == 0:
        try:
            child(at)
        finally:
            os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if mode == "alone" and status == 9:
        pid = os.fork()
        if pid == 0:
            try:
                child(10**9)
            finally:
                os._exit(7)
        again = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert again == 0, (at, again)
        os.chdir("..")
    print(status, flush=True)
    if status != 9:
        break
    at += step
"""


def run_driver(folder: Path, mode: str, step: int) -> int:
    """Die at every durable operation and sending, before it and after it, and return how often that was."""
    command = [sys.executable, "-c", DRIVER, mode, str(step)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    *died, last = done.stdout.split()
    assert (done.returncode, last, set(died)) == (0, "0", {"9"}), done.stdout[-300:] + done.stderr
    return len(died)


IDS = [f"mine-{n}-orders" for n in range(3)]


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_a_death_anywhere_loses_no_letter(tmp_path, step):
    deaths = run_driver(tmp_path, "alone", step)
    assert deaths > 60 / step
    doubled = 0
    for at in range(2, 2 + deaths * step, step):
        for mark in ("one", "two"):
            got = Counter((tmp_path / str(at) / f"{mark}.txt").read_text().split())
            assert set(got) == set(IDS), at
            # at most those a receiver had taken before our thread wrote it down
            assert max(got.values()) <= 2
            doubled += sum(got.values()) - len(IDS)
        box = tmp_path / str(at) / "outbox"
        assert names(box / "sent") == [f"{n + 1:06d}-{id_}.json" for n, id_ in enumerate(IDS)], at
        assert not names(box)
        assert not list(box.glob(".*.partial"))
    assert doubled  # it is at least once, and not exactly once


def test_a_process_that_dies_again_and_again_ends_with_every_letter_delivered(tmp_path):
    """Each life goes on where the last one died, a little further each time."""
    assert run_driver(tmp_path, "chained", 1) > 10
    for mark in ("one", "two"):
        assert set((tmp_path / f"{mark}.txt").read_text().split()) == set(IDS)
    assert names(tmp_path / "outbox" / "sent") == [f"{n + 1:06d}-{id_}.json" for n, id_ in enumerate(IDS)]
    for path in (tmp_path / "outbox" / "sent").iterdir():
        assert json.loads(path.read_bytes())["id"] in IDS


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_full_disk_leaves_a_letter_out_or_in(folder, monkeypatch, operation):
    outbox, real = Outbox(folder), getattr(os, operation)
    outbox.put(letter(1))

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, operation, fails)
    with pytest.raises(OSError, match="No space"):
        outbox.put(letter(2))
    monkeypatch.setattr(os, operation, real)
    outbox.put(letter(2))
    assert outbox.waiting() == [letter(1), letter(2)]
