"""What an account holds at a close, as the rules of selection and risk see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Holding(NamedTuple):
    """One position.

    Attributes
    ----------
    shares : int
        Held.
    sellable : int
        Of them, in the next session.
    cost : float
        Average a share, fees included, CNY.
    price : float
        Last close, CNY; carried through a suspension.
    """

    shares: int
    sellable: int
    cost: float
    price: float

    @property
    def value(self) -> float:
        """At the last close, CNY."""
        return self.shares * self.price


@dataclass(frozen=True)
class Account:
    """What is held at a close.

    Attributes
    ----------
    net_value : float
        CNY.
    holdings : mapping of str to Holding
        By code.
    """

    net_value: float
    holdings: Mapping[str, Holding]

    @property
    def gross(self) -> float:
        """Value of the holdings as a share of the net value."""
        return sum(holding.value for holding in self.holdings.values()) / self.net_value

    @property
    def shares(self) -> dict[str, int]:
        """Shares held."""
        return {code: holding.shares for code, holding in self.holdings.items()}

    @property
    def sellable(self) -> dict[str, int]:
        """Shares that may be sold in the next session."""
        return {code: holding.sellable for code, holding in self.holdings.items()}
