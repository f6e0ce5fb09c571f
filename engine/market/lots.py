"""Order quantities by board (DOMAIN 1.6)."""

from __future__ import annotations

import datetime as dt

from engine.market.tables import table
from engine.types import Board


def lot(board: Board, day: dt.date) -> tuple[int, int]:
    """Return the smallest quantity of an order and the step above it, in shares."""
    rules = table("lots")
    return int(rules.value(f"{board}.minimum", day)), int(rules.value(f"{board}.step", day))


def maximum(board: Board, day: dt.date) -> int:
    """Return the largest quantity of one order, in shares."""
    return int(table("lots").value(f"{board}.maximum", day))


def buy_quantity(board: Board, shares: int, day: dt.date) -> int:
    """Cut a wish to what may be bought: 0 or a permitted quantity."""
    return _cut(shares, *lot(board, day))


def sell_quantity(board: Board, shares: int, sellable: int, day: dt.date) -> int:
    """Cut a wish to what may be sold: a permitted quantity, or the whole remainder at once.

    Parameters
    ----------
    board : Board
        Where the stock is listed.
    shares : int
        What shall be sold.
    sellable : int
        What may be sold today; an odd remainder goes only together with all of it.
    day : date
        The session of the order.
    """
    if shares >= sellable:
        return sellable
    return _cut(shares, *lot(board, day))


def sessions_until_sellable(day: dt.date) -> int:
    """Return how many sessions after its purchase a share may be sold: 1, the rule called T+1."""
    return int(table("settlement").value("sessions_until_sellable", day))


def _cut(shares: int, minimum: int, step: int) -> int:
    return 0 if shares < minimum else minimum + (shares - minimum) // step * step
