"""What the sender writes down before and after each effect, so that whoever starts again knows where it stood."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a fact tells."""

    INTENT = "intent"
    """The order is about to be sent, for the first time or again."""
    ANSWER = "answer"
    """The broker was seen to have it; ``state`` says how it stood."""
    UNSURE = "unsure"
    """It was sent or about to be, no answer came, and the broker does not show it."""
    WITHHELD = "withheld"
    """It was not sent: it could have traded against an order of the same account."""
    CANCEL = "cancel"
    """A cancel is about to be sent."""
    ALARM = "alarm"
    """The cancel ratio is beyond its threshold."""


@dataclass(frozen=True)
class Fact:
    """One entry.

    Attributes
    ----------
    kind : Kind
        What it tells.
    session : date
        Of the order.
    order_id : str
        Ours; empty for an alarm.
    text : str
        State, cause or figures, for people.
    """

    kind: Kind
    session: dt.date
    order_id: str
    text: str = ""

    def entry(self) -> dict[str, str]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "kind": str(self.kind), "session": self.session.isoformat()}

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Fact:
        """Return what ``entry`` was made of."""
        return cls(
            Kind(entry["kind"]), dt.date.fromisoformat(entry["session"]), str(entry["order_id"]), str(entry["text"])
        )
