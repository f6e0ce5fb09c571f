"""Daily price limits in integer fen (DOMAIN 1.2 to 1.4): ordinary sessions of a listed stock."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import numpy.typing as npt

from engine.market.tables import table
from engine.types import Board

Fen = npt.NDArray[np.int64]

NO_LIMIT = 0
"""What stands for "no limit" where a limit price in fen is expected."""

_RISK_WARNED = re.compile(r"^[SG]?\*?ST|退")
_UP_SENTINEL, _DOWN_SENTINEL = 1_000_000, 1


def is_risk_warned(name: str) -> bool:
    """Say whether a stock's name of the day marks special treatment or a delisting period (SPEC 13.5)."""
    return _RISK_WARNED.search(name) is not None


def limit_percent(board: Board, risk_warned: bool, day: dt.date) -> int:
    """Return the limit of an ordinary session in percent of the previous close."""
    scope = f"{board}.{'risk_warned' if risk_warned else 'ordinary'}"
    return int(table("price_limits").value(scope, day))


def has_tick_floor(exchange: str, day: dt.date) -> bool:
    """Say whether a limit nearer than one fen to the previous close is moved to one fen."""
    return bool(table("tick_floor").value(exchange, day))


def limit_prices(pre_close: Fen, percent: Fen, floor: npt.NDArray[np.bool_]) -> tuple[Fen, Fen]:
    """Compute limit-up and limit-down.

    Parameters
    ----------
    pre_close : array of int64
        Previous close, adjusted for corporate actions, in fen.
    percent : array of int64
        Whole percent, of the same shape.
    floor : array of bool
        Where the one-tick floor holds.

    Returns
    -------
    (up, down) : arrays of int64
        In fen, rounded half up.
    """
    up = (pre_close * (100 + percent) + 50) // 100
    down = (pre_close * (100 - percent) + 50) // 100
    return (
        np.where(floor, np.maximum(up, pre_close + 1), up),
        np.where(floor, np.minimum(down, pre_close - 1), down),
    )


def without_sentinels(up: Fen, down: Fen, pre_close: Fen) -> tuple[Fen, Fen]:
    """Turn the vendor's marks of a session without limits into ``NO_LIMIT`` (DOMAIN 1.3)."""
    free = (up >= _UP_SENTINEL) | ((down <= _DOWN_SENTINEL) & (pre_close > 100))
    return np.where(free, NO_LIMIT, up), np.where(free, NO_LIMIT, down)
