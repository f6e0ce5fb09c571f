"""Daily price limits in integer fen (DOMAIN 1.2 to 1.4): ordinary sessions, listing days, delisting periods."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.errors import BadInput
from engine.market.tables import read_csv, table
from engine.types import Board, Standing

Fen = npt.NDArray[np.int64]

NO_LIMIT = 0
"""What stands for "no limit" where a limit price in fen is expected."""

_RISK_WARNED = re.compile(r"^[SG]?\*?ST")
_UP_SENTINEL, _DOWN_SENTINEL = 1_000_000, 1


def standing_of(name: str) -> Standing:
    """Return what a stock's name of the day says of it (SPEC 13.5, 13.16)."""
    if "退" in name:
        return Standing.DELISTING_PERIOD
    if _RISK_WARNED.search(name):
        return Standing.RISK_WARNED
    return Standing.SHARE_REFORM if name.startswith("S") else Standing.ORDINARY


def limit_percent(board: Board, standing: Standing, day: dt.date) -> int:
    """Return the limit of an ordinary session in percent of the previous close.

    Parameters
    ----------
    board : Board
        Where the stock is listed.
    standing : Standing
        By its name of the day. Only the main boards ever knew ``SHARE_REFORM``.
    day : date
        The session; for a delisting period the session it began with.
    """
    if standing is Standing.SHARE_REFORM and board not in (Board.SSE_MAIN, Board.SZSE_MAIN):
        standing = Standing.ORDINARY
    return int(table("price_limits").value(f"{board}.{standing}", day))


def tick_floor(exchange: str, standing: Standing, day: dt.date) -> int:
    """Return up to which previous close, in fen, a limit nearer than one fen to it is moved to one fen."""
    scope = Standing.DELISTING_PERIOD if standing is Standing.DELISTING_PERIOD else Standing.ORDINARY
    return int(table("tick_floor").value(f"{exchange}.{scope}", day))


def limit_prices(pre_close: Fen, percent: Fen, floor: Fen) -> tuple[Fen, Fen]:
    """Compute limit-up and limit-down.

    Parameters
    ----------
    pre_close : array of int64
        Previous close, adjusted for corporate actions, in fen.
    percent : array of int64
        Whole percent, of the same shape.
    floor : array of int64
        The largest previous close, in fen, to which the one-tick floor applies.

    Returns
    -------
    (up, down) : arrays of int64
        In fen, rounded half up.
    """
    up, down = _of(pre_close, percent, percent)
    floored = pre_close <= floor
    return (
        np.where(floored, np.maximum(up, pre_close + 1), up),
        np.where(floored, np.minimum(down, pre_close - 1), down),
    )


def _of(base: Fen, up_percent: Fen | int, down_percent: Fen | int) -> tuple[Fen, Fen]:
    return (base * (100 + up_percent) + 50) // 100, (base * (100 - down_percent) + 50) // 100


def free_sessions(board: Board, kind: str, first: dt.date) -> int:
    """Return how many sessions have no limit from the first of a ``listing`` or a ``delisting_period``."""
    return int(table("free_sessions").value(f"{board}.{kind}", first))


def first_day_limits(board: Board, listed: dt.date, issue_price: int) -> tuple[int, int]:
    """Return the limits of a listing day that has some, in fen, from the issue price in fen."""
    band = table("first_day_band")
    up, down = (int(band.value(f"{board}.{side}", listed)) for side in ("up", "down"))
    prices = _of(np.array([issue_price]), up, down)
    return int(prices[0][0]), int(prices[1][0])


@dataclass(frozen=True)
class Session:
    """What decides the limits of one stock in one session.

    Attributes
    ----------
    board : Board
        Where it is listed.
    exchange : str
        ``SH``, ``SZ`` or ``BJ``.
    day : date
        The session.
    standing : Standing
        By its name of the day.
    pre_close : int
        Fen, adjusted for the session's corporate action.
    listed : date or None
        The listing, where the stock came by a public offering.
    since_listing : int
        The how-manieth session it trades since then; 0 where that does not matter any more.
    issue_price : int
        Fen; 0 = unknown.
    entered : date or None
        First session of the delisting period.
    since_entry : int
        The how-manieth session it trades in that period.
    """

    board: Board
    exchange: str
    day: dt.date
    standing: Standing
    pre_close: int
    listed: dt.date | None = None
    since_listing: int = 0
    issue_price: int = 0
    entered: dt.date | None = None
    since_entry: int = 0


def session_limits(session: Session) -> tuple[int, int]:
    """Return (up, down) in fen of one stock in one session, ``NO_LIMIT`` twice where there is none.

    Raises
    ------
    OutsideData
        No rule is known for the day.
    BadInput
        The session's limits hang on an issue price, and it is not known.
    """
    if session.listed and session.since_listing:
        if session.since_listing <= free_sessions(session.board, "listing", session.listed):
            return NO_LIMIT, NO_LIMIT
        if session.since_listing == 1:
            if not session.issue_price:
                raise BadInput(
                    "the limits of a listing day cannot be computed",
                    "they hang on the issue price, which is not known",
                    "Import new_share, or stk_limit.",
                )
            return first_day_limits(session.board, session.listed, session.issue_price)
    day = session.day
    if session.standing is Standing.DELISTING_PERIOD:
        day = session.entered or day
        if 0 < session.since_entry <= free_sessions(session.board, "delisting_period", day):
            return NO_LIMIT, NO_LIMIT
    percent = limit_percent(session.board, session.standing, day)
    floor = tick_floor(session.exchange, session.standing, session.day)
    up, down = limit_prices(np.array([session.pre_close]), np.array([percent]), np.array([floor]))
    return int(up[0]), int(down[0])


def without_sentinels(up: Fen, down: Fen, pre_close: Fen) -> tuple[Fen, Fen]:
    """Turn the vendor's marks of a session without limits into ``NO_LIMIT`` (DOMAIN 1.3)."""
    free = (up >= _UP_SENTINEL) | ((down <= _DOWN_SENTINEL) & (pre_close > 100))
    return np.where(free, NO_LIMIT, up), np.where(free, NO_LIMIT, down)


@cache
def listed_by_swap() -> frozenset[str]:
    """Return the codes whose first day was no public offering: it had no limit, and knows no issue price."""
    return frozenset(row["ts_code"] for row in read_csv("special_listings") if row["kind"] == "share_swap")
