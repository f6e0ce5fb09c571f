"""Who wants to know how far a run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Told = Callable[[int, int], None]
"""Told how many sessions are done, and of how many."""
_told: ContextVar[Told | None] = ContextVar("told", default=None)


@contextmanager
def watched(told: Told) -> Iterator[None]:
    """Let somebody be told of every session of the runs inside the block."""
    before = _told.set(told)
    try:
        yield
    finally:
        _told.reset(before)


def tell(done: int, total: int) -> None:
    """Tell who wants to know."""
    if (told := _told.get()) is not None:
        told(done, total)
