"""Runs an ``ashare paper`` command over and over, each time in a child that dies, or whose disk fails, a step later.

``python -m tests.faults.dying KIND:START:STEP,... COMMAND ...`` in a folder with ``base/``, the accounts as they were
before; prints a line of JSON for each point, the first of all for the run that nothing happens to. The parent imports
everything and runs nothing, so that a child is a fork and begins at once. ``crowd:COUNT`` lets so many begin together.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy.dialects.sqlite  # noqa: F401  (so that no child has to)

from engine import calendar, settings
from engine.cli.main import main
from tests.accounts import content

WRITES = ("write", "pwrite", "write_bytes")
GROWS = (*WRITES, "mkdir", "create")
CALLS = ("write", "pwrite", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "truncate")
KINDS: dict[str, tuple[str, ...]] = {
    "before": (),
    "torn": WRITES,
    "after": (),
    "full": GROWS,
    "broken": (),
    "flush": ("fsync",),
    "chain": (),
}
"""Ways to fail, with the calls that can fail so; none named: every call."""


class Disk:
    """Counts the durable operations of this process, and fails at one of them.

    Parameters
    ----------
    kind : str
        ``before``, ``torn``, ``after``: the process dies there. ``full``: from there on nothing more can be written.
        ``broken``: from there on nothing works. ``flush``: only that flush fails.
    at : int
        Where, counted from 1; 0: nowhere.
    """

    def __init__(self, kind: str, at: int) -> None:
        self.kind, self.at, self.calls = kind, at, list[str]()
        for name in CALLS:
            setattr(os, name, self._watched(name, getattr(os, name)))
        Path.write_bytes = self._watched("write_bytes", Path.write_bytes)  # type: ignore[method-assign]
        stock_open = os.open
        create = self._watched("create", stock_open)
        os.open = lambda path, flags, *more, **named: (  # type: ignore[assignment]
            create if flags & os.O_CREAT and not os.path.exists(path) else stock_open
        )(path, flags, *more, **named)

    def _watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "write" and args[0] < 3:
                return function(*args, **kwargs)
            self.calls.append(name)
            self._before(name, function, args)
            try:
                return function(*args, **kwargs)
            finally:
                if self._here and self.kind == "after":
                    os._exit(9)

        return call

    @property
    def _here(self) -> bool:
        return len(self.calls) == self.at

    def _before(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        past = self.at and len(self.calls) >= self.at
        if self._here and self.kind in ("before", "torn"):
            self._tear(name, function, args)
            os._exit(9)
        if past and self.kind == "full" and name in GROWS:
            if self._here:
                self._tear(name, function, args)
            raise _refused(errno.ENOSPC, name, args)
        if (past and self.kind == "broken") or (self._here and self.kind == "flush"):
            raise _refused(errno.EIO, name, args)

    def _tear(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self.kind != "before" and name in WRITES:
            function(args[0], args[1][: len(args[1]) // 2], *args[2:])


def _refused(number: int, name: str, args: tuple[Any, ...]) -> OSError:
    """Return what the system would raise: it names a path where it was given one."""
    named = () if name in (*WRITES, "fsync") else (os.fspath(args[0]),)
    return OSError(number, os.strerror(number), *named)


def fork(words: list[str], mark: str, kind: str = "", at: int = 0, gate: int | None = None) -> int:
    """Run a command in a child, perhaps once a pipe is closed; it leaves what it said and did under its mark."""
    Path(f"calls{mark}").unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return pid
    handle = os.open(f"said{mark}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    code, write = 70, Path.write_text
    try:
        disk = Disk(kind, at)
        if gate is not None:
            os.read(gate, 1)
        main(words)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    write(Path(f"calls{mark}"), json.dumps(disk.calls))
    os._exit(code)


def wait(pid: int, mark: str) -> tuple[int, str, list[str]]:
    """Return how a child ended, what it said, and its durable operations if it lived."""
    code, told = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), Path(f"calls{mark}")
    return code, Path(f"said{mark}").read_text(), json.loads(told.read_text()) if told.exists() else []


def run(words: list[str], kind: str = "", at: int = 0) -> tuple[int, str, list[str]]:
    """Run a command in a child and wait for it."""
    return wait(fork(words, "", kind, at), "")


def crowd(words: list[str], count: int) -> list[tuple[int, str, list[str]]]:
    """Run a command in so many children at the same moment."""
    gate, opener = os.pipe()
    children = [fork(words, f"-{at}", gate=gate) for at in range(count)]
    time.sleep(0.5)  # all wait for the pipe by now
    os.write(opener, b"x" * count)
    return [wait(pid, f"-{at}") for at, pid in enumerate(children)]


def files(accounts: Path) -> dict[str, str]:
    """Return every file of the accounts, as text, but for their locks and for when a letter was last tried."""
    found = content(accounts).items()
    return {name: value.decode("latin-1") for name, value in found if not name.endswith("/outbox/state.json")}


def points(kind: str, calls: list[str], start: int, step: int) -> Iterator[int]:
    """Return the places at which a run can fail so."""
    wanted = KINDS[kind]
    found = [at for at, name in enumerate(calls, start=1) if not wanted or name in wanted]
    yield from found[start::step]


def chain(words: list[str], every: int) -> list[int]:
    """Let each run die after so many operations, until one ends or many have died."""
    codes = [9]
    while codes[-1] == 9 and len(codes) < 40:
        codes.append(run(words, "before", every)[0])
    return codes


def go(kinds: list[str], words: list[str]) -> None:
    """Print what becomes of the accounts."""
    accounts = settings.load().accounts

    def restore() -> None:
        shutil.rmtree(accounts, ignore_errors=True)
        shutil.copytree("base", accounts)

    restore()
    code, said, calls = run(words)
    print(json.dumps({"code": code, "said": said, "calls": calls, "files": files(accounts)}), flush=True)
    clean = files(accounts)
    if kinds[0].startswith("crowd:"):
        restore()
        print(json.dumps(crowd(words, int(kinds[0].removeprefix("crowd:")))), flush=True)
        print(json.dumps(files(accounts) == clean), flush=True)
        return
    every = [(kind, at) for kind, start, step in map(_parted, kinds) for at in points(kind, calls, start, step)]
    for kind, at in every:
        restore()
        if kind == "chain":
            codes, again = chain(words, at), run(words)[0]
            point = {"kind": kind, "at": at, "codes": codes, "again": again, "same": files(accounts) == clean}
            print(json.dumps(point), flush=True)
            continue
        code, said, _ = run(words, kind, at)
        left = files(accounts)
        looked, _, wrote = run(["paper", "list"])
        if words[1] != "init":
            looked += run(["paper", "status", "mine", "--json"])[0]
        point = {
            "kind": kind,
            "at": at,
            "call": calls[at - 1],
            "code": code,
            "said": said,
            "looked": looked,
            "wrote": wrote,
        }
        point |= {"untouched": files(accounts) == left, "there": bool(_journal(left))}
        point["again"], point["saying"], _ = run(words)
        found = files(accounts)
        point |= {"same": found == clean, "lines": [json.loads(line)["kind"] for line in _journal(found)]}
        print(json.dumps(point), flush=True)


def _parted(text: str) -> tuple[str, int, int]:
    kind, start, step = text.split(":")
    return kind, int(start), int(step)


def _journal(found: dict[str, str]) -> list[str]:
    return found.get("mine/journal.jsonl", "").splitlines()


if __name__ == "__main__":
    calendar.calendar()
    calendar.sessions()
    with contextlib.suppress(BrokenPipeError):
        go(sys.argv[1].split(","), sys.argv[2:])
