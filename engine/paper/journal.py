"""The journal of an account: append-only lines, each bound to the one before it; the source of truth.

A line is one JSON object in one fixed form (sorted keys, no blanks)::

    {"hash":"...","kind":"session", ... ,"previous":"...","seq":7}

``hash`` is the SHA-256 of the line without it, ``previous`` the hash of the line before. Beside the journal lies
``head.json`` with the number and hash of the last line that was finished. Only logical facts stand in it, no clock and
no process, so that a run that was interrupted leaves the same bytes as one that was not.

A line is a fact when the head names it; nobody acts on it before. What follows is what a crash left of one append, torn
or whole: it may never have reached the disk, so the next append cuts it off, and what it told is told again. Two lines,
or a line that belongs elsewhere, no crash leaves. Reading changes nothing, so anybody may read while another process
writes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from engine.errors import Damaged
from engine.files import fsync_path, named, write_bytes

FILE, HEAD = "journal.jsonl", "head.json"
_ROOT = "0" * 64
_MEND = "Restore the account's folder from a backup; a journal is never repaired by hand."
_OWN = frozenset({"hash", "kind", "previous", "seq"})
"""What the journal itself says of a line."""
_READS = 10
"""How often to read while another process writes."""

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
        Only read, perhaps while somebody appends. Who means to append must hold the account's lock.

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
        self._path, self._head, self._reading = folder / FILE, folder / HEAD, reading
        self._settled, self._broken = False, False
        self.entries: list[Entry] = []
        head, content = self._files()
        if head is not None and not reading:
            fsync_path(folder)  # the head may be of a process whose last flush failed: now it is there to stay
        self._verify(head, content)
        lines = content.split(b"\n")[: len(self.entries)]
        self._length, self._whole = len(content), sum(len(line) + 1 for line in lines)

    @property
    def last_hash(self) -> str:
        """The hash of the last line."""
        return str(self.entries[-1]["hash"]) if self.entries else _ROOT

    def append(self, kind: str, facts: Entry) -> Entry:
        """Write one line and flush it to the disk before anybody can act on it.

        Returns
        -------
        dict
            The entry as it will be read: what JSON makes the same is the same, and keys are sorted.

        Raises
        ------
        ValueError
            The facts are no JSON, or have a key that is the journal's own.
        OSError
            The disk failed. The journal takes nothing more; opened again, it goes on where it was.
        Damaged
            Another process has written to it.
        """
        assert not self._reading, "opened for reading"
        if self._broken:
            raise OSError(errno.EIO, "it failed before and must be opened again", str(self._path))
        if _OWN & facts.keys():
            raise ValueError(f"{', '.join(sorted(_OWN & facts.keys()))} belong to the journal")
        place = {"kind": kind, "seq": len(self.entries) + 1, "previous": self.last_hash}
        body = {**facts, **place}
        line = canonical({**body, "hash": _hash(body)}) + b"\n"
        self._broken = True
        with named(self._path):
            self._settle()
            self._write(line)
        entry: Entry = json.loads(line)
        write_bytes(self._head, _head_of(entry))
        self.entries.append(entry)
        self._broken = False
        return entry

    def _settle(self) -> None:
        """Cut off what a crash or a failing disk left, before the first line of this process."""
        if self._settled:
            return
        if self._length > self._whole:
            self._require_length()
            os.truncate(self._path, self._whole)
            fsync_path(self._path)
            self._length = self._whole
        for partial in self._head.parent.glob(f".{HEAD}.*.partial"):
            partial.unlink()
        fsync_path(self._head.parent)
        self._settled = True

    def _write(self, line: bytes) -> None:
        fresh = not self._path.exists()
        if not fresh:
            self._require_length()
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            left = line
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        if fresh:
            fsync_path(self._path.parent)
        self._length += len(line)

    def _require_length(self) -> None:
        if self._path.stat().st_size != self._length:
            why = "another process has written to it since it was read"
            raise Damaged(f"the journal {self._path} cannot be written", why, "Run the command again.")

    def _files(self) -> tuple[bytes | None, bytes]:
        """Return head and journal as they were at one moment, even while somebody appends."""
        head = _content(self._head)
        for _ in range(_READS):
            content, before = _content(self._path) or b"", head
            head = _content(self._head)
            if head == before:
                break
        return before, content

    def _verify(self, head: bytes | None, content: bytes) -> None:
        """Enter the lines that the head names; what follows them must be what one append can leave."""
        *lines, torn = content.split(b"\n")
        named = self._named_by(head, lines)
        for line in lines[:named]:
            entry = _read(line)
            if entry is None or not self._follows(entry):
                raise self._damaged(f"line {len(self.entries) + 1} is not what was written")
            self.entries.append(entry)
        if named > len(lines):
            raise self._damaged(f"it ends with line {len(lines)}, and {named} were written")
        if named and head != _head_of(self.entries[-1]):
            raise self._damaged(f"{HEAD} names another line {named}")
        left = [*lines[named:], torn]
        whole = [entry for entry in map(_read, left) if entry is not None]
        alone = left in ([left[0]], [left[0], b""])
        if whole and not (alone and self._follows(whole[0])):
            raise self._damaged(f"{HEAD} names line {named}, and more follows it than a crash can leave")

    def _follows(self, entry: Entry) -> bool:
        """Say whether an entry belongs behind those that are entered."""
        place = (entry.get("seq"), entry.get("previous"))
        return place == (len(self.entries) + 1, self.last_hash) and isinstance(entry.get("kind"), str)

    def _named_by(self, head: bytes | None, lines: list[bytes]) -> int:
        """Return how many lines there are, by the head."""
        if head is None:
            if len(lines) > 1:
                raise self._damaged(f"{HEAD} is missing")
            return 0
        try:
            named = json.loads(head)["seq"]
        except (ValueError, KeyError, TypeError, RecursionError):
            named = None
        if type(named) is not int or named < 1:
            raise self._damaged(f"{HEAD} cannot be read")
        return named

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"the journal {self._path} cannot be used", why, _MEND)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _head_of(entry: Entry) -> bytes:
    return canonical({"seq": entry["seq"], "hash": entry["hash"]}) + b"\n"


def _read(line: bytes) -> Entry | None:
    """Return the entry of a line that is whole in itself, wherever it belongs."""
    try:
        entry = json.loads(line)
        body = {key: value for key, value in entry.items() if key != "hash"}
        whole = entry["hash"] == _hash(body) and canonical(entry) == line
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return entry if whole else None


def _hash(body: Entry) -> str:
    return hashlib.sha256(canonical(body)).hexdigest()
