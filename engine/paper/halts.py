"""What stops an account."""

from __future__ import annotations

from dataclasses import dataclass

from engine.types import Side


@dataclass(frozen=True)
class Halt:
    """Why an account takes no orders.

    Attributes
    ----------
    what : str
        ``buys`` or ``all``.
    cause : str
        Who stopped it: ``user`` or ``daily_loss``.
    why : str
        In words.
    """

    what: str
    cause: str
    why: str

    @property
    def sides(self) -> frozenset[Side]:
        """The sides of which no order is taken."""
        return HALTS[self.what]


HALTS = {"buys": frozenset({Side.BUY}), "all": frozenset(Side)}
"""What can be stopped."""
