"""Which board a stock belongs to, by its code."""

from __future__ import annotations

from functools import cache

from engine.errors import BadInput
from engine.market.tables import read_csv
from engine.types import Board

EXCHANGES = {"SH": "SSE", "SZ": "SZSE", "BJ": "BSE"}


@cache
def board_of(ts_code: str) -> Board:
    """Return the board of a code such as ``600519.SH``.

    Raises
    ------
    BadInput
        The code belongs to no A-share board (a B share, a fund, an index, a typing error).
    """
    number, _, suffix = ts_code.partition(".")
    for prefix, at, scope in _prefixes():
        if suffix == at and number.startswith(prefix) and len(number) == 6 and number.isdigit():
            return Board(scope)
    raise BadInput(f"{ts_code!r} is no A share", "no board has this code", "Leave it out, or correct the code.")


def is_a_share(ts_code: str) -> bool:
    """Say whether a code belongs to an A-share board."""
    try:
        board_of(ts_code)
    except BadInput:
        return False
    return True


def exchange_of(ts_code: str) -> str:
    """Return the two letters after the point: ``SH``, ``SZ`` or ``BJ``."""
    return ts_code.rpartition(".")[2]


@cache
def _prefixes() -> tuple[tuple[str, str, str], ...]:
    return tuple((row["prefix"], row["suffix"], row["scope"]) for row in read_csv("boards"))
