"""The journal: what it holds is found again, what was altered is refused, what a crash left is mended."""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from engine.errors import Damaged
from engine.paper.journal import FILE, HEAD, Entry, Journal, canonical
from tests.security.mutations import VALUES, Raw, spoilt_bytes, spoilt_json

COUNT = 20


def facts(number: int) -> Entry:
    """Return something of every sort a line can hold."""
    return {
        "session": f"2018-03-{number:02d}",
        "positions": {"600000.SH": 100 * number, "000001.SZ": -number},
        "price": [0.1, 1e-9, 12345.678, -0.0, 10**17 + number],
        "why": '股票 "1"\n\t\x00\u2028',
        "nothing": None,
        "on": number % 2 == 0,
    }


def filled(folder: Path, count: int = COUNT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder)
    for number in range(1, count + 1):
        journal.append("session", facts(number))
    return folder


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Nothing here asks what a power failure leaves: ``tests/faults`` does."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = filled(tmp_path_factory.mktemp("journal"))
    return (folder / FILE).read_bytes(), (folder / HEAD).read_bytes()


def laid(folder: Path, content: bytes, head: bytes | None) -> Path:
    """Write a journal as it might be found."""
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(content)
    (folder / HEAD).unlink(missing_ok=True)
    if head is not None:
        (folder / HEAD).write_bytes(head)
    return folder


def head_of(content: bytes, seq: int) -> bytes:
    entry = json.loads(content.split(b"\n")[seq - 1])
    return canonical({"seq": seq, "hash": entry["hash"]}) + b"\n"


def forged(content: bytes, number: int, **changes: object) -> bytes:
    """Return a line with other facts and the hash that belongs to them."""
    entry = {**json.loads(content.split(b"\n")[number - 1]), **changes}
    del entry["hash"]
    return canonical({**entry, "hash": hashlib.sha256(canonical(entry)).hexdigest()}) + b"\n"


def test_what_was_written_is_read(tmp_path):
    journal = Journal(filled(tmp_path, 0))
    assert (journal.entries, journal.last_hash) == ([], "0" * 64)
    given = [journal.append("session", facts(number)) for number in (1, 2, 3)]
    again = Journal(tmp_path)
    assert given == journal.entries == again.entries
    assert again.last_hash == given[-1]["hash"]
    assert [entry["seq"] for entry in given] == [1, 2, 3]
    assert all(facts(entry["seq"]).items() <= entry.items() for entry in given)
    assert again.append("halted", {})["previous"] == given[-1]["hash"]


def test_an_entry_is_the_same_before_and_after_a_restart(tmp_path):
    entry = Journal(filled(tmp_path, 0)).append("x", {"x": (1, 2), "a": {"z": 1, "m": 3.0}, "c": True})
    (again,) = Journal(tmp_path).entries
    assert json.dumps(entry) == json.dumps(again)  # the order of keys too
    assert list(entry["a"]) == ["m", "z"]


@pytest.mark.parametrize("facts", [{"seq": 3}, {"hash": ""}, {"a": float("nan")}, {"a": "\ud800"}, {"a": {1}}])
def test_what_is_no_line_is_refused_and_nothing_is_written(tmp_path, facts):
    journal = Journal(tmp_path)
    with pytest.raises((ValueError, TypeError)):
        journal.append("x", facts)
    assert not list(tmp_path.iterdir())
    journal.append("x", {})


def test_reading_writes_nothing(tmp_path, whole):
    content, _ = whole
    before = head_of(content, COUNT - 1)
    for found in (content, content[:-30], content[:-1]):
        laid(tmp_path, found, before)
        Journal(tmp_path, reading=True)
        assert ((tmp_path / FILE).read_bytes(), (tmp_path / HEAD).read_bytes()) == (found, before)


@pytest.mark.parametrize("named", [COUNT, COUNT - 1, COUNT - 2])
def test_a_journal_cut_at_any_length(tmp_path, whole, named):
    """Only what the head does not name may be missing; the next append cuts off what is left of it."""
    content, _ = whole
    head = head_of(content, named)
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    first, after = ends[named - 1], ends[min(named, COUNT - 1)]
    line = len(content) - ends[-2]
    for length in {*range(0, first, 197), *range(first - line, len(content) + 1, 2), *ends}:
        laid(tmp_path, content[:length], head)
        if length < first:
            with pytest.raises(Damaged, match=rf"it ends with line \d+, and {named} were written"):
                Journal(tmp_path)
        elif length > after:
            with pytest.raises(Damaged, match=f"names line {named}, and more follows it than a crash can leave"):
                Journal(tmp_path)
        else:
            assert len(Journal(tmp_path).entries) == named
            if length % 60 == 0 or length in ends:
                continue_to_the_end(tmp_path, content)


def continue_to_the_end(folder: Path, content: bytes) -> None:
    journal = Journal(folder)
    for number in range(len(journal.entries) + 1, COUNT + 2):
        journal.append("session", facts(number))
    assert (folder / FILE).read_bytes().startswith(content)
    assert (folder / HEAD).read_bytes() == head_of((folder / FILE).read_bytes(), COUNT + 1)
    assert len(Journal(folder).entries) == COUNT + 1


def flips(length: int, places: range | list[int]) -> list[tuple[int, int]]:
    assert max(places) < length
    return [(at, 1 << random.Random(at).randrange(8)) for at in places]


def require_found(folder: Path, name: str, content: bytes, flipped: list[tuple[int, int]]) -> None:
    for at, bits in flipped:
        (folder / name).write_bytes(content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :])
        with pytest.raises(Damaged):
            Journal(folder)
    (folder / name).write_bytes(content)
    assert len(Journal(folder).entries) == COUNT


def test_a_flipped_byte_is_found(tmp_path, whole):
    laid(tmp_path, *whole)
    content, head = whole
    ends = [at for at, byte in enumerate(content) if byte == ord("\n")]
    places = sorted({*range(0, len(content), 97), *ends, *range(ends[-2] + 1, len(content), 7)})
    require_found(tmp_path, FILE, content, flips(len(content), places))
    require_found(tmp_path, HEAD, head, [(at, 1 << bit) for at in range(len(head)) for bit in range(8)])


@pytest.mark.slow
def test_every_flipped_byte_is_found(tmp_path, whole):
    laid(tmp_path, *whole)
    require_found(tmp_path, FILE, whole[0], flips(len(whole[0]), range(len(whole[0]))))


@pytest.mark.parametrize("step", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_every_byte_of_a_head_matters(tmp_path, step):
    filled(tmp_path, 2)
    head = (tmp_path / HEAD).read_bytes()
    for at in range(len(head)):
        for byte in range(at % step, 256, step):
            if byte != head[at]:
                (tmp_path / HEAD).write_bytes(head[:at] + bytes([byte]) + head[at + 1 :])
                with pytest.raises(Damaged):
                    Journal(tmp_path)
        (tmp_path / HEAD).write_bytes(head[:at])
        with pytest.raises(Damaged):
            Journal(tmp_path)


def test_lines_swapped_doubled_or_taken_away_are_found(tmp_path, whole):
    content, head = whole
    lines = content.splitlines(keepends=True)
    for at in range(COUNT):
        others = [lines[:at] + lines[at + 1 :], [*lines[: at + 1], *lines[at:]], [*lines[:at], b"\n", *lines[at:]]]
        others += [[*lines, lines[at]], [*lines[:at], *lines[at + 1 :], lines[at]] if at < COUNT - 1 else []]
        if at:
            others.append([*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]])
        for other in others:
            laid(tmp_path, b"".join(other), head)
            with pytest.raises(Damaged):
                Journal(tmp_path)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (None, "head.json is missing"),
        (1, "names line 1, and more follows it"),
        (COUNT - 2, "names line 18, and more follows it"),
        (b"", "cannot be read"),
        (b"{}", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"null", "cannot be read"),
        (b'{"seq":20}', "names another line 20"),
        (b'{"hash":"' + b"0" * 64 + b'","seq":0}\n', "cannot be read"),
        (b'{"hash":"","seq":-1}\n', "cannot be read"),
        (b'{"hash":"","seq":true}\n', "cannot be read"),
        (b'{"hash":"","seq":20.0}\n', "cannot be read"),
        (b'{"hash":"","seq":20}\n', "names another line 20"),
        (b'{"seq":21}', "it ends with line 20"),
        (b'{"hash":"","seq":21}\n', "it ends with line 20, and 21 were written"),
        (b'{"hash":[],"seq":' + b"9" * 400 + b"}\n", "it ends with line 20"),
        (b'{"hash":"","seq":' + b"9" * 5000 + b"}\n", "cannot be read"),
        (b"[" * 20_000, "cannot be read"),
    ],
)
def test_a_head_that_does_not_fit(tmp_path, whole, head, why):
    content, _ = whole
    with pytest.raises(Damaged, match=why) as caught:
        Journal(laid(tmp_path, content, head_of(content, head) if isinstance(head, int) else head))
    assert caught.value.exit_code == 3
    assert "Restore the account's folder from a backup" in str(caught.value)


def test_a_first_line_without_a_head_is_what_a_crash_leaves(tmp_path, whole):
    content, _ = whole
    first = content[: content.index(b"\n") + 1]
    for found in (first, first[:-1], first[:9], b""):
        assert Journal(laid(tmp_path, found, None)).entries == []
    continue_to_the_end(tmp_path, content)
    with pytest.raises(Damaged):
        Journal(laid(tmp_path, content[: len(first) * 2 + 9], None))
    with pytest.raises(Damaged, match="it ends with line 0, and 20 were written"):
        Journal(laid(tmp_path, b"", head_of(content, COUNT)))


def test_what_a_disk_makes_of_a_line_that_was_not_flushed(tmp_path, whole):
    """Its length may have reached the disk and its content not, or only the end of it."""
    content, _ = whole
    lines = content.splitlines(keepends=True)
    sound, last, head = b"".join(lines[:-1]), lines[-1], head_of(content, COUNT - 1)
    torn = [
        b"\0" * len(last),
        last[:40] + b"\0" * (len(last) - 40),
        b"\0" * 40 + last[40:],
        last[:40] + b"\0" * 40 + last[80:],
        b"\n" * 40 + last[40:],
        lines[3][:40] + last[40:],
    ]
    for left in torn:
        journal = Journal(laid(tmp_path, sound + left, head))
        assert len(journal.entries) == COUNT - 1
        continue_to_the_end(tmp_path, content)
        with pytest.raises(Damaged):  # the same behind a head that knows the line
            Journal(laid(tmp_path, sound + left, head_of(content, COUNT)))


def test_forged_lines_where_one_may_be_torn(tmp_path, whole):
    content, head = whole
    sound = b"".join(content.splitlines(keepends=True)[:-1])
    for line in (
        forged(content, COUNT, seq=COUNT + 1),
        forged(content, COUNT, previous="0" * 64),
        forged(content, COUNT, kind=3),
        forged(content, 3),
    ):
        for before in (head_of(content, COUNT - 1), head):
            with pytest.raises(Damaged):
                Journal(laid(tmp_path, sound + line, before))
    for more in (b"{", b"\n", b"\0\0"):
        with pytest.raises(Damaged, match="names line 19, and more follows it"):
            Journal(laid(tmp_path, content + more, head_of(content, COUNT - 1)))


def test_another_writer_is_noticed(tmp_path):
    one, other = Journal(filled(tmp_path, 3)), Journal(tmp_path)
    one.append("x", {})
    content = (tmp_path / FILE).read_bytes()
    with pytest.raises(Damaged, match="another process has written to it"):
        other.append("y", {})
    with pytest.raises(OSError, match="it failed before and must be opened again"):
        other.append("y", {})
    assert (tmp_path / FILE).read_bytes() == content
    one.append("x", {})


def test_what_a_dead_process_left_beside_the_head_is_swept(tmp_path):
    filled(tmp_path, 2)
    (tmp_path / f".{HEAD}.99999.partial").write_bytes(b"{")
    Journal(tmp_path).append("x", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [HEAD, FILE]


def test_who_reads_while_another_writes_sees_whole_lines(tmp_path):
    writer = threading.Thread(target=filled, args=(tmp_path, 150))
    writer.start()
    seen = [0]
    while writer.is_alive():
        seen.append(len(Journal(tmp_path, reading=True).entries))
    writer.join()
    assert seen == sorted(seen)
    assert len({*seen}) > 5
    assert len(Journal(tmp_path).entries) == 150


def test_a_folder_that_is_not_there(tmp_path):
    journal = Journal(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        journal.append("x", {})
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        Journal(tmp_path / "folder")


def test_who_reads_does_not_append(tmp_path):
    filled(tmp_path, 2)
    with pytest.raises(AssertionError, match="opened for reading"):
        Journal(tmp_path, reading=True).append("x", {})


def test_a_year_opens_in_a_moment(tmp_path):
    entry = {"orders": [{"order_id": f"{n:032x}", "ts_code": "600000.SH", "limit": 12.34 + n} for n in range(370)]}
    journal = Journal(tmp_path)
    for _ in range(250):
        journal.append("session", entry)
    size = (tmp_path / FILE).stat().st_size
    assert size > 250 * 28_000
    start = time.process_time()
    assert len(Journal(tmp_path).entries) == 250
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_spoilt_journals_bring_only_our_errors(tmp_path, whole, count):
    content, head = whole
    content = b"".join(content.splitlines(keepends=True)[:4])
    finished = [head_of(content, 4), head_of(content, 3), head]
    taken = 0
    for seed in range(count):
        rng = random.Random(seed)
        laid(tmp_path, *spoilt(rng, content, rng.choice(finished)))
        before = (tmp_path / FILE).read_bytes()
        try:
            journal = Journal(tmp_path)
        except Damaged:
            continue
        taken += 1
        assert all(entry["seq"] == at for at, entry in enumerate(journal.entries, start=1))
        assert (tmp_path / FILE).read_bytes() == before
        journal.append("after", {})
        assert Journal(tmp_path).entries == journal.entries
    assert count / 100 < taken < count / 2


def spoilt(rng: random.Random, content: bytes, head: bytes) -> tuple[bytes, bytes | None]:
    """Return a journal and a head with faults: in the bytes, in the structure, or forged with the hashes put right."""
    lines = content.splitlines(keepends=True)
    kind = rng.randrange(5)
    if kind == 0:
        return spoilt_bytes(rng, content), head
    if kind == 1:
        return content, rng.choice([spoilt_bytes(rng, head), spoilt_json(rng, json.loads(head)), None])
    at = rng.randrange(len(lines))
    if kind == 2:
        lines[at] = spoilt_json(rng, json.loads(lines[at])) + b"\n"
    elif kind == 3:
        value = rng.choice([value for value in VALUES if not isinstance(value, Raw)])
        try:
            lines[at] = forged(content, at + 1, **{rng.choice(["kind", "seq", "previous", "x"]): value})
        except ValueError:  # a half of a character
            lines[at] = b"\n"
    else:
        lines[-1] = spoilt_bytes(rng, lines[-1])
    return b"".join(lines), head
