"""The journal of an account: append-only lines, each bound to the one before it; the source of truth.

A line is one JSON object in one fixed form (sorted keys, no blanks)::

    {"hash":"...","kind":"session", ... ,"previous":"...","seq":7}

``hash`` is the SHA-256 of the line without it, ``previous`` the hash of the line before. Beside the journal lies
``head.json`` with the number and hash of the last line that was finished: it tells a line torn by a crash, which is
cut off, from lines that somebody cut away. Only logical facts stand in it, no clock and no process, so that a run that
was interrupted leaves the same bytes as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from engine.errors import Damaged
from engine.files import fsync_path, named, write_json

FILE, HEAD = "journal.jsonl", "head.json"
_ROOT = "0" * 64
_MEND = "Restore the account's folder from a backup; a journal is never repaired by hand."

Entry = dict[str, Any]


def canonical(value: Any) -> bytes:
    """Return the one form of a JSON value.

    Raises
    ------
    ValueError
        It holds a number that JSON has no word for.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


class Journal:
    """An opened journal, its lines verified.

    Parameters
    ----------
    folder : Path
        The account's folder; a journal that is not there is empty.
    reading : bool
        Only read, perhaps while somebody appends: a torn tail is left where it is, nothing is written.

    Attributes
    ----------
    entries : list of dict
        The facts, oldest first.

    Raises
    ------
    Damaged
        A byte was changed, or lines were cut away.
    """

    def __init__(self, folder: Path, reading: bool = False) -> None:
        self._path, self._head = folder / FILE, folder / HEAD
        self._broken, self._reading = False, reading
        self.entries: list[Entry] = []
        try:
            self._read()
        except Damaged:
            if not reading:
                raise
            self.entries.clear()  # perhaps a tail was cut off and a line written while it was read: look again
            self._read()

    @property
    def last_hash(self) -> str:
        """The hash of the last line."""
        return str(self.entries[-1]["hash"]) if self.entries else _ROOT

    def append(self, kind: str, facts: Entry) -> Entry:
        """Write one line and flush it to the disk before anybody can act on it.

        Raises
        ------
        OSError
            The disk failed. The journal takes nothing more: open it again, which cuts a torn line off.
        """
        assert not self._reading, "opened for reading"
        if self._broken:
            raise OSError(f"{self._path} failed before; it must be opened again")
        entry = {**facts, "kind": kind, "seq": len(self.entries) + 1, "previous": self.last_hash}
        entry["hash"] = _hash(entry)
        line = canonical(entry) + b"\n"
        self._broken = True
        fresh = not self._path.exists()
        with named(self._path):
            _write_at_end(self._path, line)
            if fresh:
                fsync_path(self._path.parent)
        self.entries.append(entry)
        self._write_head()
        self._broken = False
        return entry

    def _write_head(self) -> None:
        write_json(self._head, {"seq": len(self.entries), "hash": self.last_hash}, indent=None)

    def _read(self) -> None:
        head, content = _content(self._head), _content(self._path) or b""  # in this order: the head is written last
        whole, torn = content.rpartition(b"\n")[::2]
        lines = whole.split(b"\n") if whole or content[:1] == b"\n" else []
        for number, line in enumerate(lines, start=1):
            self.entries.append(self._checked(line, number))
        finished = self._finished(head)
        if finished > len(self.entries):
            raise self._damaged(f"it ends with line {len(self.entries)}, and {finished} were written")
        if self._reading:
            return
        with named(self._path):
            if torn:
                os.truncate(self._path, len(content) - len(torn))
                fsync_path(self._path)
            if finished < len(self.entries):
                _write_again(self._path, sum(len(line) + 1 for line in lines[:finished]))
        if finished < len(self.entries):
            self._write_head()

    def _checked(self, line: bytes, number: int) -> Entry:
        try:
            entry = json.loads(line)
            given = entry["hash"]
            good = canonical(entry) == line and _hash(entry) == given and entry["seq"] == number
            good = good and entry["previous"] == self.last_hash and isinstance(entry["kind"], str)
        except (ValueError, KeyError, TypeError, RecursionError):
            good = False
        if not good:
            raise self._damaged(f"line {number} is not what was written")
        return dict(entry)

    def _finished(self, content: bytes | None) -> int:
        """Return how many lines were finished, by the head; it must agree with the line it names."""
        if content is None:
            if len(self.entries) > 1:
                raise self._damaged(f"{HEAD} is missing")
            return 0
        try:
            head = json.loads(content)
            seq, digest = head["seq"], head["hash"]
            if not isinstance(seq, int) or isinstance(seq, bool) or seq < 0:
                raise ValueError("no number")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._damaged(f"{HEAD} cannot be read") from None
        if seq <= len(self.entries) and digest != (self.entries[seq - 1]["hash"] if seq else _ROOT):
            raise self._damaged(f"{HEAD} names another line {seq}")
        return seq

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"the journal {self._path} cannot be used", why, _MEND)


def _hash(entry: Entry) -> str:
    return hashlib.sha256(canonical({key: value for key, value in entry.items() if key != "hash"})).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write_at_end(path: Path, line: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while line:  # a full disk takes a part of it first
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_again(path: Path, first: int) -> None:
    """Write what stands there from a byte on once more: after a failed flush the system thinks it is on the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.pwrite(handle, os.pread(handle, os.fstat(handle).st_size - first, first), first)
        os.fsync(handle)
    finally:
        os.close(handle)
