"""When a board trades (DOMAIN 1.7), Shanghai time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from engine.market.tables import table
from engine.types import Board

PHASES = ("opening_call", "morning", "afternoon", "closing_call", "after_hours")


@dataclass(frozen=True)
class Phase:
    """One part of a session, from ``start`` up to ``end``."""

    name: str
    start: dt.time
    end: dt.time


def phases(board: Board, day: dt.date) -> list[Phase]:
    """Return the parts of a board's session in order."""
    found = []
    for name in PHASES:
        text = table("hours").row(f"{board}.{name}", day).text
        if text != "none":
            start, end = (dt.time.fromisoformat(part) for part in text.split("-"))
            found.append(Phase(name, start, end))
    return found
