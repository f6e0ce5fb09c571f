"""How much to hold and what to trade for it (SPEC 7)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from engine.settings import SelectionSettings

Name = TypeVar("Name", bound=Hashable)


LOT = 100
"""Shares a lot; what a board counts otherwise is settled at the fill."""


def whole_lots(shares: float) -> int:
    """Round a number of shares down to whole lots."""
    return int(np.floor(shares / LOT)) * LOT


def weight(names: int, settings: SelectionSettings, limit: float | None = None) -> float:
    """Return the equal weight of each name: the cap, or its part of the gross limit in force if that is less."""
    gross = settings.gross if limit is None else limit
    return min(settings.cap, gross / names) if names else 0.0


def target_shares(
    chosen: Sequence[Name],
    prices: Mapping[Name, float],
    net_value: float,
    settings: SelectionSettings,
    limit: float | None = None,
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
    limit : float, optional
        The gross limit in force; by default that of the settings.
    """
    each = weight(len(chosen), settings, limit)
    return {name: whole_lots(each * net_value / prices[name]) for name in chosen}


def scaled(held: Mapping[Name, int], gross: float, limit: float) -> dict[Name, int]:
    """Return the shares left of each holding after a gross exposure is scaled to a limit, in whole lots."""
    return {name: whole_lots(shares * limit / gross) for name, shares in held.items()}


def turned_over(
    targets: Mapping[Name, int],
    held: Mapping[Name, int],
    prices: Mapping[Name, float],
    budget: float,
) -> dict[Name, int]:
    """Cut the buys, in rank order, to a budget in CNY; what is not bought stays as it is held."""
    cut = {}
    for name, wanted in targets.items():
        have = held.get(name, 0)
        more = min(wanted - have, whole_lots(max(budget, 0.0) / prices[name])) if wanted > have else wanted - have
        budget -= max(more, 0) * prices[name]
        cut[name] = have + more
    return cut


def orders(
    targets: Mapping[Name, int], held: Mapping[Name, int], sellable: Mapping[Name, int] | None = None
) -> list[tuple[Name, int]]:
    """Return what to trade, signed shares: sells first, then buys in rank order.

    Parameters
    ----------
    targets : mapping
        Shares wanted, best name first; a name that is held and not among them goes to 0.
    held : mapping
        Shares held.
    sellable : mapping, optional
        How many of them can be sold; by default all.
    """
    sellable = held if sellable is None else sellable
    wanted = {**{name: 0 for name in held if name not in targets}, **targets}
    changes = [(name, max(n - held.get(name, 0), -sellable.get(name, 0))) for name, n in wanted.items()]
    sells = [change for change in changes if change[1] < 0]
    buys = [change for change in changes if change[1] > 0]
    return sells + buys


def asked_again(
    unfilled: Sequence[tuple[Name, int]],
    sellable: Mapping[Name, int],
    prices: Mapping[Name, float],
    room: float,
) -> list[tuple[Name, int]]:
    """Return which orders of yesterday to place again: sells as far as shares are there, then buys as far as room is.

    Parameters
    ----------
    unfilled : sequence
        Names with the signed shares that were not traded, in their order.
    sellable : mapping
        Shares that can be sold of each name.
    prices : mapping
        Last close of each name to buy, CNY.
    room : float
        What may still be bought under the gross limit, CNY.
    """
    sells = [(name, max(shares, -sellable.get(name, 0))) for name, shares in unfilled if shares < 0]
    buys = []
    for name, shares in unfilled:
        if shares > 0:
            fits = min(shares, whole_lots(max(room, 0.0) / prices[name]))
            room -= fits * prices[name]
            buys.append((name, fits))
    return [(name, shares) for name, shares in [*sells, *buys] if shares]
