"""Letters on their way to receivers: a lane for each receiver, so that a dead one delays no other, nor us."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from engine.paper.letters import Message


class NotSent(Exception):
    """A receiver did not take a letter.

    Parameters
    ----------
    reason : str
        Why, in words of ours: nothing of an address, and nothing that a server said.
    overloaded : bool
        It asks not to be sent more for now.
    """

    def __init__(self, reason: str, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.overloaded = reason, overloaded


class Channel(Protocol):
    """Somebody who takes letters."""

    @property
    def mark(self) -> str:
        """A short hash that tells it from the others, the same in every process."""

    @property
    def label(self) -> str:
        """What may be shown of it."""

    def send(self, message: Message, seconds: float) -> None:
        """Send a letter, within so many seconds if that can be had; ``NotSent`` if it was not taken."""


@dataclass(frozen=True)
class Outcome:
    """What became of a letter at a receiver; ``problem`` is empty where it was taken."""

    id: str
    mark: str
    problem: str = ""


LATE = "no answer in time"


class Lanes:
    """Sends letters, each receiver's in order, in a thread of its own that is left behind when the time is up.

    Only the caller's thread learns what became of them. What a lane says too late is kept for the next time.

    Parameters
    ----------
    clock : callable
        Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: queue.SimpleQueue[Outcome | _End] = queue.SimpleQueue()
        self._busy: set[str] = set()

    def late(self) -> Iterator[Outcome]:
        """Yield what was said after the last `send` had given up."""
        yield from self._listen(self._clock(), frozenset())

    def send(self, work: Sequence[tuple[Channel, Sequence[Message]]], seconds: float) -> Iterator[Outcome]:
        """Send letters and yield what becomes of them, as it becomes known.

        Parameters
        ----------
        work : sequence of (Channel, sequence of Message)
            Who gets what, in which order. A receiver whose lane still hangs from an earlier call gets nothing.
        seconds : float
            When they are over nothing new is begun and nobody is waited for.
        """
        end = self._clock() + seconds
        idle = [(channel, messages) for channel, messages in work if messages and channel.mark not in self._busy]
        for channel, messages in idle:
            self._busy.add(channel.mark)
            # a daemon: at the end of the process nobody waits for a dead receiver
            threading.Thread(target=self._work, args=(channel, tuple(messages), end), daemon=True).start()
        yield from self._listen(end, {channel.mark for channel, _ in idle})

    def _listen(self, end: float, awaited: AbstractSet[str]) -> Iterator[Outcome]:
        """Yield outcomes until the awaited lanes have ended and nothing is left to hear, or the time is up."""
        while True:
            left = end - self._clock() if awaited & self._busy else 0.0
            try:
                said = self._said.get(timeout=max(0.0, left))
            except queue.Empty:
                return
            if isinstance(said, Outcome):
                yield said
            else:
                self._busy.discard(said.mark)

    def _work(self, channel: Channel, messages: Sequence[Message], end: float) -> None:
        for message in messages:
            left = end - self._clock()
            if left <= 0:
                break
            problem, goes_on = _attempt(channel, message, left)
            self._said.put(Outcome(message.id, channel.mark, problem))
            if not goes_on:
                break
        self._said.put(_End(channel.mark))


@dataclass(frozen=True)
class _End:
    """A lane has ended."""

    mark: str


def _attempt(channel: Channel, message: Message, seconds: float) -> tuple[str, bool]:
    """Try to send a letter; return the problem, if any, and whether the next may be tried."""
    try:
        channel.send(message, seconds)
    except NotSent as refused:
        return refused.reason, not refused.overloaded
    except BaseException as error:  # whatever a plug-in does; its text may hold the address, so only its kind is told
        return f"unexpected {type(error).__name__}", isinstance(error, Exception)
    return "", True


def tell(channels: Sequence[Channel], message: Message, seconds: float) -> dict[str, str]:
    """Send one letter to everybody and return each one's problem by mark, empty where it was taken."""
    problems = {channel.mark: LATE for channel in channels}
    for outcome in Lanes().send([(channel, [message]) for channel in channels], seconds):
        problems[outcome.mark] = outcome.problem
    return problems
