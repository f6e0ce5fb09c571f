"""Letters that wait for their receivers: on the disk before anything else, gone from there when all have them.

::

    outbox/
        000001-ACCOUNT-20180305-orders.json     waits
        state.json                              who has which waiting letter, and failed attempts
        sent/                                   what all receivers have
        damaged/                                what was altered on the disk

A process that dies anywhere loses no letter. One that dies after a receiver took a letter and before that is written
down sends it again, under the same id.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from engine.files import fsync_path, write_json
from engine.paper.letters import Message
from engine.paper.sending import LATE, Channel, Lanes, Outcome

AT_ONCE = 15
"""Letters to one receiver within a minute: DingTalk and WeCom take 20, and DingTalk blocks for ten minutes after."""
_MINUTE = 60.0
_LONGEST = 3600.0
"""Seconds between two attempts at most."""
_NAME = re.compile(r"(\d{6,})-([\w.-]+)\.json")
_ID = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Delivery:
    """What a delivery came to.

    Attributes
    ----------
    sent : int
        Letters that all receivers have since this delivery.
    waiting : int
        Letters that somebody still lacks.
    problems : tuple of str
        One line for each receiver that lacks letters, and for each damaged file; nothing of an address is in them.
    """

    sent: int
    waiting: int
    problems: tuple[str, ...] = ()


class _Attempts(BaseModel):
    """How one receiver stands to one letter."""

    has_it: bool = False
    failed: int = 0
    not_before: float = Field(0.0, allow_inf_nan=False)


class _State(BaseModel):
    """Who has what: by letter and receiver; and when each receiver took its last letters."""

    letters: dict[str, dict[str, _Attempts]] = {}
    taken: dict[str, list[float]] = {}

    def of(self, id_: str, mark: str) -> _Attempts:
        """Return how a receiver stands to a letter."""
        return self.letters.setdefault(id_, {}).setdefault(mark, _Attempts())

    def forget(self, ids: Iterable[str], now: float) -> None:
        """Keep only what is about these letters, and about the last minute."""
        self.letters = {id_: self.letters[id_] for id_ in ids if id_ in self.letters}
        recent = {mark: [at for at in times if 0 <= now - at < _MINUTE] for mark, times in self.taken.items()}
        self.taken = {mark: times for mark, times in recent.items() if times}


class Outbox:
    """The letters of an account.

    Parameters
    ----------
    folder : Path
        Where they are; made when the first is put.
    lanes : Lanes
        How they are sent. A service keeps one outbox, so that a receiver that hangs is not asked twice at once.
    """

    def __init__(self, folder: Path, lanes: Lanes | None = None) -> None:
        self._folder = folder
        self._lanes = lanes or Lanes()

    def put(self, message: Message) -> bool:
        """Put a letter in, durably, unless one with its id was ever put in; say whether it was new.

        Raises
        ------
        ValueError
            The id is no file name.
        """
        if not _ID.fullmatch(message.id) or len(message.id.encode()) > 200:
            raise ValueError(f"{message.id!r} cannot be the id of a letter")
        _make(self._folder)
        with FileLock(self._folder / ".putting.lock"):
            for torn in self._folder.glob(".[0-9]*.partial"):
                torn.unlink(missing_ok=True)
            # in this order: one that is moved meanwhile is seen in one of them
            there = [*_letters_in(self._folder), *_letters_in(self._folder / "sent")]
            if any(id_ == message.id for _, id_, _ in there):
                return False
            number = 1 + max((number for number, _, _ in there), default=0)
            write_json(self._folder / f"{number:06d}-{message.id}.json", _sealed(message))
        return True

    def waiting(self) -> list[Message]:
        """Return the letters that wait, in the order they were put in, without damaged ones."""
        return [message for _, message in self._read() if message is not None]

    def deliver(self, channels: Sequence[Channel], now: dt.datetime, seconds: float) -> Delivery:
        """Send what waits to those who lack it, and file away what everybody has.

        Parameters
        ----------
        channels : sequence of Channel
            Everybody who is to have the letters.
        now : datetime
            The present moment: a failed attempt is repeated a minute later at the earliest, then after two, four, ...
        seconds : float
            For everything together. What is not taken then goes on waiting.
        """
        if not self._folder.is_dir():
            return Delivery(0, 0)
        try:
            with FileLock(self._folder / ".delivering.lock", timeout=0):
                return _Round(self._folder, self._lanes, channels, now.timestamp()).deliver(self._read(), seconds)
        except Timeout:
            return Delivery(0, len(self.waiting()), ("waiting: another process is sending them",))

    def _read(self) -> Iterator[tuple[Path, Message | None]]:
        """Yield the waiting files in order with their letters, None where one is damaged."""
        for _, id_, path in sorted(_letters_in(self._folder)):
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # another process has just delivered it
                continue
            except OSError:
                content = b""
            yield path, _unsealed(content, id_)


class _Round:
    """One delivery."""

    def __init__(self, folder: Path, lanes: Lanes, channels: Sequence[Channel], now: float) -> None:
        self._folder, self._lanes, self._channels, self._now = folder, lanes, channels, now
        self._paths: dict[str, Path] = {}
        self._messages: list[Message] = []
        self._problems: list[str] = []
        self._asked: dict[str, list[Message]] = {}
        self._failed: dict[str, str] = {}
        self._sent = 0
        self._state = self._read_state()

    def deliver(self, files: Iterable[tuple[Path, Message | None]], seconds: float) -> Delivery:
        for path, message in files:
            if message is None:
                self._set_aside(path)
            else:
                self._messages.append(message)
                self._paths[message.id] = path
        self._state.forget(self._paths, self._now)
        self._take(self._lanes.late())
        for id_ in list(self._paths):  # those whose last receiver took them just before a crash, or is no more
            self._file_away(id_)
        self._asked = {channel.mark: self._due(channel) for channel in self._channels}
        self._take(self._lanes.send([(channel, self._asked[channel.mark]) for channel in self._channels], seconds))
        self._state.forget(self._paths, self._now)
        if self._messages:
            write_json(self._folder / "state.json", self._state.model_dump())
        self._problems += filter(None, map(self._problem, self._channels))
        if self._paths and not self._channels:
            self._problems.append(f"{len(self._paths)} waiting: no receiver is set up")
        return Delivery(self._sent, len(self._paths), tuple(self._problems))

    def _due(self, channel: Channel) -> list[Message]:
        """Return the letters that a receiver lacks and may be sent now."""
        lacking = [message for message in self._lacking(channel) if self._now >= self._not_before(message, channel)]
        return lacking[: self._room(channel)]

    def _lacking(self, channel: Channel) -> list[Message]:
        waiting = (message for message in self._messages if message.id in self._paths)
        return [message for message in waiting if not self._state.of(message.id, channel.mark).has_it]

    def _not_before(self, message: Message, channel: Channel) -> float:
        at = self._state.of(message.id, channel.mark).not_before
        return at if at <= self._now + _LONGEST else 0.0  # the clock was put back

    def _take(self, outcomes: Iterable[Outcome]) -> None:
        """Write down what became of letters, each before the next is looked at."""
        for outcome in outcomes:
            if outcome.id not in self._paths:
                continue
            attempts = self._state.of(outcome.id, outcome.mark)
            if outcome.problem:
                self._failed[outcome.mark] = outcome.problem
                attempts.failed += 1
                attempts.not_before = self._now + min(_MINUTE * 2.0 ** min(attempts.failed - 1, 10), _LONGEST)
                continue
            attempts.has_it = True
            self._state.taken.setdefault(outcome.mark, []).append(self._now)
            if not self._file_away(outcome.id):
                write_json(self._folder / "state.json", self._state.model_dump())

    def _file_away(self, id_: str) -> bool:
        """Move a letter that every receiver has; say whether that is so."""
        if not self._channels or not all(self._state.of(id_, channel.mark).has_it for channel in self._channels):
            return False
        _move(self._paths.pop(id_), self._folder / "sent")
        self._sent += 1
        return True

    def _set_aside(self, path: Path) -> None:
        _move(path, self._folder / "damaged")
        self._problems.append(f"the letter {path.name} was altered on the disk: it is in {self._folder / 'damaged'}")

    def _read_state(self) -> _State:
        """Return the state; without one that can be read some letters may be sent twice, and none is lost."""
        path = self._folder / "state.json"
        for torn in self._folder.glob(".state.json.*.partial"):
            torn.unlink(missing_ok=True)
        try:
            return _State.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return _State()
        except ValidationError:
            _move(path, self._folder / "damaged")
            self._problems.append(f"{path} was altered on the disk: letters may be sent twice")
            return _State()

    def _problem(self, channel: Channel) -> str:
        """Return why a receiver lacks letters, empty where it has them all."""
        lacking = self._lacking(channel)
        if not lacking:
            return ""
        if channel.mark in self._failed:
            why = self._failed[channel.mark]
        elif any(message in self._asked[channel.mark] for message in lacking):
            why = LATE
        elif self._room(channel):
            why = "an attempt failed just now, the next comes later"
        else:
            why = f"no more than {AT_ONCE} are sent in a minute"
        return f"{channel.label}: {len(lacking)} waiting: {why}"

    def _room(self, channel: Channel) -> int:
        """Return how many letters a receiver may be sent within this minute."""
        return max(0, AT_ONCE - len(self._state.taken.get(channel.mark, ())))


def _letters_in(folder: Path) -> list[tuple[int, str, Path]]:
    """Return number, id and path of the letters of a folder."""
    if not folder.is_dir():
        return []
    found = ((_NAME.fullmatch(entry.name), entry.path) for entry in os.scandir(folder))
    return [(int(match[1]), match[2], Path(path)) for match, path in found if match]


def _sealed(message: Message) -> dict[str, str]:
    """Return a letter as JSON, with a hash that tells whether it was altered."""
    fields = {
        "id": message.id,
        "session": message.session.isoformat(),
        "kind": message.kind,
        "title": message.title,
        "body": message.body,
    }
    return {**fields, "sha256": _hash(fields)}


def _unsealed(content: bytes, id_: str) -> Message | None:
    """Return the letter of a file; None where it is not as it was written."""
    try:
        fields: dict[str, Any] = json.loads(content)
        if fields.pop("sha256") != _hash(fields) or fields["id"] != id_:
            return None
        return Message(**{**fields, "session": dt.date.fromisoformat(fields["session"])})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _hash(fields: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _make(folder: Path) -> None:
    """Make a folder durably."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        fsync_path(folder.parent)


def _move(path: Path, folder: Path) -> None:
    """Move a file into a folder beside it, durably: it is in one of the two whatever happens."""
    _make(folder)
    os.replace(path, folder / path.name)
    fsync_path(folder)
    fsync_path(path.parent)
