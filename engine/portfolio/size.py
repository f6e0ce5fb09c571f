"""How much to hold and what to trade for it (SPEC 7)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from engine.settings import SelectionSettings

Name = TypeVar("Name", bound=Hashable)


def weight(names: int, settings: SelectionSettings) -> float:
    """Return the equal weight of each name: the cap, or its part of the gross limit if that is less."""
    return min(settings.cap, settings.gross / names) if names else 0.0


def target_shares(
    chosen: Sequence[Name], prices: Mapping[Name, float], net_value: float, settings: SelectionSettings, lot: int = 100
) -> dict[Name, int]:
    """Return the shares to hold of each chosen name, whole lots, in rank order.

    Parameters
    ----------
    chosen : sequence
        Names, best first.
    prices : mapping
        Close of each, CNY.
    net_value : float
        Of the account at the close, CNY.
    settings : SelectionSettings
        Cap and gross limit.
    lot : int
        Shares a lot.
    """
    each = weight(len(chosen), settings)
    return {name: int(np.floor(each * net_value / prices[name] / lot)) * lot for name in chosen}


def orders(targets: Mapping[Name, int], held: Mapping[Name, int]) -> list[tuple[Name, int]]:
    """Return what to trade, signed shares: sells first, then buys in rank order.

    Parameters
    ----------
    targets : mapping
        Shares wanted, best name first; a name that is held and not among them goes to 0.
    held : mapping
        Shares held.
    """
    wanted = {**{name: 0 for name in held if name not in targets}, **targets}
    changes = [(name, shares - held.get(name, 0)) for name, shares in wanted.items()]
    sells = [change for change in changes if change[1] < 0]
    buys = [change for change in changes if change[1] > 0]
    return sells + buys
