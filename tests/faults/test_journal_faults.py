"""A process that dies, or a disk that fails, at any step of an append: the next one leaves the bytes of a quiet run."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.files import disk_failed
from engine.paper.journal import FILE, HEAD, Journal

LINES = 3
STEPS = ("open", "write", "fsync", "replace", "truncate", "unlink")
WAYS = ("before", "torn", "after")
DRIVER = """
import json, os, sys
from pathlib import Path
from engine.paper.journal import Journal

LINES, STEPS, WAYS = json.loads(sys.argv[1])

def die_at(at, way):
    calls = 0
    def counted(function):
        def wrapper(first, *rest, **options):
            nonlocal calls
            calls += 1
            if calls != at:
                return function(first, *rest, **options)
            if way == "torn" and function is true["write"]:
                function(first, rest[0][: len(rest[0]) // 2])
            elif way == "after":
                function(first, *rest, **options)
            os._exit(9)
        return wrapper
    true = {name: getattr(os, name) for name in STEPS}
    true["fsync"] = lambda handle: None  # what a dead process wrote is there without it
    for name in STEPS:
        setattr(os, name, counted(true[name]))

def run(folder, at=0, way="before"):
    pid = os.fork()
    if pid == 0:
        try:
            if at:
                die_at(at, way)
            os.fsync = os.fsync if at else lambda handle: None
            journal = Journal(folder)
            for number in range(len(journal.entries) + 1, LINES + 1):
                journal.append("session", {"number": number, "why": "x" * 200})
            os._exit(0)
        finally:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def found(folder):
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}

root = Path(sys.argv[2])
twice = json.loads(sys.argv[3])
quiet = root / "quiet"
quiet.mkdir()
assert run(quiet) == 0
deaths = 0
for way in WAYS:
    for at in range(1, 1000):
        ended = False
        for again in [(0, "")] + ([(n, w) for n in range(1, 12) for w in WAYS] if twice else []):
            folder = root / f"{way}-{at}-{again[0]}-{again[1]}"
            folder.mkdir()
            first = run(folder, at, way)
            assert first in (0, 9), first
            deaths += first == 9
            ended = ended or first == 0
            if again[0]:
                assert run(folder, *again) in (0, 9)
            assert run(folder) == 0
            assert found(folder) == found(quiet), (way, at, again)
            if ended:
                break
        if ended:
            break
print(deaths)
"""


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_process_that_dies_at_any_step(tmp_path, twice):
    """Once, or again while it mends what the first death left."""
    arguments = [json.dumps([LINES, STEPS, WAYS]), str(tmp_path), json.dumps(twice)]
    done = subprocess.run([sys.executable, "-c", DRIVER, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > (600 if twice else 60)


class Disk:
    """What would be left of a journal's folder if the power went off now, and steps that fail.

    A flush brings to the disk what was written since the last one, whether that one succeeded or not: the system
    forgets what it could not write. A name is on the disk when its folder was flushed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder, self.calls = folder, 0
        self.fail: Callable[[str], int | None] = lambda step: None
        self.look: Callable[[], None] = lambda: None
        self.journal, self.head, self.named = b"", None, False
        self._dirty: list[tuple[int, bytes]] = []
        self._true = {name: getattr(os, name) for name in STEPS} | {"fsync": lambda handle: None}  # it is played here
        for name in STEPS:
            monkeypatch.setattr(os, name, self._step(name))

    def _step(self, name: str) -> Callable[..., object]:
        true = self._true[name]

        def step(first, *rest, **options):
            mine = not isinstance(first, int) or str(self.folder) in os.readlink(f"/proc/self/fd/{first}")
            if not mine or (name == "open" and not rest[0] & os.O_CREAT):
                return true(first, *rest, **options)
            self.calls += 1
            self.look()
            error = self.fail(name)
            if error is not None:
                self._failed(name, first, *rest)
                raise OSError(error, os.strerror(error), *([] if isinstance(first, int) else [str(first)]))
            place = os.fstat(first).st_size if name == "write" else 0
            done = true(first, *rest, **options)
            self._done(name, first, place, *rest)
            return done

        return step

    def _failed(self, name: str, first: object, *rest: object) -> None:
        if name == "write":
            assert isinstance(first, int)
            place = os.fstat(first).st_size
            part = rest[0][: len(rest[0]) // 2]
            self._true["write"](first, part)
            self._dirty.append((place, part))
        elif name == "fsync" and self._is_journal(first):
            self._dirty.clear()

    def _done(self, name: str, first: object, place: int, *rest: object) -> None:
        if name == "write":
            self._dirty.append((place, bytes(rest[0])))
        elif name == "truncate":
            self.journal = self.journal[: rest[0]]
        elif name == "fsync" and self._is_journal(first):
            for at, content in self._dirty:
                self.journal = self.journal[:at].ljust(at, b"\0") + content + self.journal[at + len(content) :]
            self._dirty.clear()
        elif name == "fsync" and os.readlink(f"/proc/self/fd/{first}") == str(self.folder):
            self.named = (self.folder / FILE).exists()
            self.head = (self.folder / HEAD).read_bytes() if (self.folder / HEAD).exists() else None

    def _is_journal(self, handle: object) -> bool:
        return os.readlink(f"/proc/self/fd/{handle}") == str(self.folder / FILE)

    def left(self) -> list[tuple[bytes | None, bytes | None]]:
        """Return what may be left: all that was not flushed is there, or some of it, or none."""
        seen = (self.folder / FILE).read_bytes() if (self.folder / FILE).exists() else None
        journals = [self.journal if self.named else None, seen]
        if seen is not None and self.named and len(seen) > len(self.journal):
            more = len(seen) - len(self.journal)
            journals += [self.journal + b"\0" * more, seen[: -more // 2], seen[:-more] + b"\0" * 9 + seen[-more + 9 :]]
        now = (self.folder / HEAD).read_bytes() if (self.folder / HEAD).exists() else None
        return [(journal, head) for journal in journals for head in {self.head, now}]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def go_on(folder: Path) -> None:
    journal = Journal(folder)
    for number in range(len(journal.entries) + 1, LINES + 1):
        journal.append("session", {"number": number, "why": "x" * 200})


@pytest.fixture
def quiet(tmp_path):
    folder = tmp_path / "quiet"
    folder.mkdir()
    go_on(folder)
    return found(folder)


def found(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def restored(folder: Path, journal: bytes | None, head: bytes | None) -> Path:
    folder.mkdir()
    for name, content in ((FILE, journal), (HEAD, head)):
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def states_of(tmp_path: Path, failing: Callable[[int, str], int | None]) -> tuple[set[object], int]:
    """Append all lines, past the failures, and return what a power failure could have left at every step."""
    folder, left = tmp_path / "live", set[object]()
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, folder)
        disk.look = lambda: left.update(disk.left())
        disk.fail = lambda step: failing(disk.calls, step)
        for _ in range(3):
            try:
                go_on(folder)
            except OSError:
                continue
        assert disk.journal == (folder / FILE).read_bytes()
        assert disk.head == (folder / HEAD).read_bytes()
        return left, disk.calls


def test_the_power_goes_off_at_any_step(tmp_path, quiet):
    left, calls = states_of(tmp_path, lambda at, step: None)
    assert calls > 20
    assert len(left) > 12
    for number, (journal, head) in enumerate(left):
        folder = restored(tmp_path / str(number), journal, head)
        go_on(folder)
        assert found(folder) == quiet


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_a_step_fails_and_then_the_power_goes_off(tmp_path, quiet, kind):
    """After a failed flush the system has the line and the disk does not; nothing may be built upon it."""
    _, calls = states_of(tmp_path, lambda at, step: None)
    for at in range(1, calls + 1):
        root = tmp_path / f"at{at}"
        root.mkdir()
        left, _ = states_of(root, lambda now, step, at=at: kind if now == at else None)
        assert found(root / "live") == quiet
        for number, (journal, head) in enumerate(left):
            folder = restored(root / str(number), journal, head)
            go_on(folder)
            assert found(folder) == quiet, (at, number)


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=["full", "broken", "read-only"])
def test_a_failing_disk_is_told_and_stops_the_journal(tmp_path, quiet, kind):
    steps: list[str] = []
    for at in range(1, 100):
        folder = tmp_path / str(at)
        folder.mkdir()
        failed = require_told(folder, at, kind)
        if failed is None:
            break
        steps.append(failed)
        go_on(folder)
        assert found(folder) == quiet
    assert {*steps} == {"open", "write", "fsync", "replace", "unlink"}
    assert len(steps) > 20


def require_told(folder: Path, at: int, kind: int) -> str | None:
    """Let one step fail, and return its name; None when there are not so many."""
    failed = []

    def fail(step: str) -> int | None:
        if disk.calls != at or failed:
            return None
        failed.append(step)
        return kind

    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, folder)
        disk.fail = fail
        journal = Journal(folder)
        try:
            for number in range(1, LINES + 1):
                journal.append("session", {"number": number, "why": "x" * 200})
        except OSError as error:
            told = disk_failed(error)
        else:
            assert not failed
            return None
        assert told is not None
        assert told.exit_code == 7
        assert str(told).startswith(str(folder))
        assert os.strerror(kind).lower() in str(told)
        before, entries = found(folder), list(journal.entries)
        with pytest.raises(OSError, match="it failed before"):
            journal.append("session", {})
        assert (found(folder), journal.entries) == (before, entries)
    return failed[0]


def test_a_disk_that_stays_full(tmp_path, quiet):
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, tmp_path)
        disk.fail = lambda step: errno.ENOSPC if step == "write" else None
        for _ in range(5):
            with pytest.raises(OSError, match="No space left on device"):
                go_on(tmp_path)
    go_on(tmp_path)
    assert found(tmp_path) == quiet
