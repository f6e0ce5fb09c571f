"""One process writes: of many that start together one runs, and whoever only looks never waits, fails or writes."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from engine.errors import Damaged
from engine.paper import journal as journal_module
from engine.paper.account import Account
from engine.paper.journal import FILE, HEAD, Journal
from tests import accounts
from tests.accounts import SCRIPT, SESSIONS, content, say
from tests.faults.test_paper_kill import RUN, finished, made, results, start  # noqa: F401  (made is a fixture)

SLOWLY = """
    import time
    time.sleep(0.4)
"""


@pytest.mark.parametrize("count", [pytest.param(50, marks=pytest.mark.slow), 4])
def test_many_starts_at_the_same_moment(made: Path, count: int) -> None:  # noqa: F811
    accounts.make(SCRIPT + SLOWLY, "slow").rename("base/slow")
    words = [word if word != "mine" else "slow" for word in RUN]
    clean, children, same = results(f"crowd:{count}", *words)
    assert not clean["code"], clean["said"]
    assert same
    assert Counter(code for code, _, _ in children) == {0: 1, 5: count - 1}
    for code, said, calls in children:
        if code:
            line = "Error: the account slow is in use: another process holds its lock. Wait until it ends.\n"
            assert said.endswith(line), said
            assert set(calls) <= {"create", "mkdir"}  # of the empty lock file, and of its folder, which is there


@pytest.mark.parametrize(
    "words", [(*RUN[1:2], "mine", *RUN[3:]), ("halt", "mine"), ("resume", "mine"), ("tickets", "mine")]
)
def test_a_held_lock_stops_all_who_write(made: Path, words: tuple[str, ...]) -> None:  # noqa: F811
    before = content(made)
    with FileLock(made / ".lock"):
        said = say("paper", *words)
        assert (said.code, said.line.startswith("the account mine is in use")) == (5, True)
        for look in (("status", "mine"), ("list",), ("check", "mine", "--now", "2018-03-05T12:00")):
            assert not say("paper", *look).code
    assert content(made) == before


def test_readers_while_a_run_goes_on(made: Path) -> None:  # noqa: F811
    """The journal grows under them; they see whole sessions, never fewer than before."""
    process, seen, stop, failed = start(), [0], threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            try:
                seen.append(len(Account(made, reading=True).now.sessions))
            except Exception as error:
                failed.append(error)
                return

    reader = threading.Thread(target=look)
    reader.start()
    code, said = finished(process)
    stop.set()
    reader.join()
    assert not failed, failed
    assert not code, said
    assert seen == sorted(seen)
    assert len(Account(made, reading=True).now.sessions) == len(SESSIONS)
    assert len(seen) > 50


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return the folder of a journal of three lines."""
    journal = Journal(tmp_path)
    for at in range(3):
        journal.append("note", {"at": at, "text": "x" * 20})
    return tmp_path


def test_a_reader_leaves_a_torn_tail_and_a_late_head_alone(written: Path) -> None:
    """As they are between the moments in which a line, and then the head, are written; only a writer mends them."""
    whole, head = (written / FILE).read_bytes(), (written / HEAD).read_bytes()
    two = whole[: whole[:-1].rindex(b"\n") + 1]
    (written / FILE).write_bytes(two)
    (written / HEAD).unlink()
    with pytest.raises(Damaged):
        Journal(written, reading=True)
    (written / HEAD).write_bytes(head)
    with pytest.raises(Damaged):
        Journal(written, reading=True)  # a line was cut away: nobody takes that for a moment of writing
    (written / FILE).write_bytes(whole)
    late = Journal(written).entries[1]["hash"]
    for length in range(len(two), len(whole) + 1):
        (written / FILE).write_bytes(whole[:length])
        (written / HEAD).write_text(f'{{"hash":"{late}","seq":2}}\n')
        before = content(written)
        assert len(Journal(written, reading=True).entries) == 2  # a line is a fact once the head names it
        assert content(written) == before
    (written / FILE).write_bytes(whole[:-1])
    writer = Journal(written)
    assert len(writer.entries) == 2
    writer.append("note", {"at": 9})
    lines = (written / FILE).read_bytes().splitlines(keepends=True)
    assert (b"".join(lines[:2]), len(lines)) == (two, 3)


@pytest.mark.parametrize("moment", [1, 2])
def test_a_line_that_is_written_while_somebody_reads(
    written: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """After the reader's first look, or after its second: head and lines are of different times."""
    writer, stock, looks = Journal(written), journal_module._content, []

    def content_then_more(path: Path) -> bytes | None:
        found = stock(path)
        looks.append(path.name)
        if len(looks) == moment:
            writer.append("note", {"at": 3})
        return found

    monkeypatch.setattr(journal_module, "_content", content_then_more)
    assert len(Journal(written, reading=True).entries) == 4  # the head has moved: it looks again


def test_a_tail_that_is_cut_and_written_anew_while_somebody_reads(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader gets half of the old tail and half of the new line: the head names neither."""
    whole, stock, looks = (written / FILE).read_bytes(), journal_module._content, []

    def mixed(path: Path) -> bytes | None:
        looks.append(path.name)
        return whole + b'{"torn":"0000"}\n' if len(looks) == 2 else stock(path)

    monkeypatch.setattr(journal_module, "_content", mixed)
    assert len(Journal(written, reading=True).entries) == 3
    assert looks == [HEAD, FILE, HEAD]


def test_damage_is_damage_for_a_reader_too(written: Path) -> None:
    whole = (written / FILE).read_bytes()
    (written / FILE).write_bytes(whole.replace(b"x", b"y", 1))
    with pytest.raises(Damaged, match="line 1 is not what was written"):
        Journal(written, reading=True)
