"""Who is listed on the demo market: boards, listing days, special treatment, delistings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.types import Board

Days = npt.NDArray[np.datetime64]

_SHARES = ((Board.SSE_MAIN, 0.36), (Board.SZSE_MAIN, 0.34), (Board.CHINEXT, 0.22), (Board.STAR, 0.08))
_FIRST_CODE = {Board.SSE_MAIN: 600000, Board.SZSE_MAIN: 2000, Board.CHINEXT: 300000, Board.STAR: 688000}
_SUFFIX = {Board.SSE_MAIN: "SH", Board.SZSE_MAIN: "SZ", Board.CHINEXT: "SZ", Board.STAR: "SH"}
DELISTING_SESSIONS = 15
STAR_OPENS = np.datetime64("2019-07-22")
FINANCIAL_EVERY = 40
"""Every so many-th company is a bank."""


@dataclass(frozen=True)
class Company:
    """One listed company.

    Attributes
    ----------
    ts_code, name : str
        Code, and the name without a mark.
    board : Board
        Where it is listed.
    list_row : int
        Session of its first bar; 0 for one that was listed long before.
    listed : datetime64
        Listing day.
    gone_row : int
        Session from which it is delisted, or beyond the last.
    warned : tuple of (int, int)
        Sessions of special treatment, first included, last not.
    financial : bool
        It is a bank.
    """

    ts_code: str
    name: str
    board: Board
    list_row: int
    listed: np.datetime64
    gone_row: int
    warned: tuple[tuple[int, int], ...] = field(default=())
    financial: bool = False

    @property
    def delisting_row(self) -> int:
        """Session its delisting period begins; beyond ``gone_row`` where it has none."""
        ends = [last for _, last in self.warned if last == self.gone_row]
        return ends[0] - DELISTING_SESSIONS if ends else self.gone_row + 1


def companies(n: int, days: Days, rng: np.random.Generator) -> list[Company]:
    """Draw the companies.

    A third lists during the period (STAR not before it opens), a twelfth is specially treated for a year,
    and one in eighty is delisted at the end of such a year.
    """
    open_boards = [pair for pair in _SHARES if pair[0] is not Board.STAR or np.busday_count(STAR_OPENS, days[-1]) > 80]
    boards = [board for board, share in open_boards for _ in range(round(share * n))]
    boards = (boards + [Board.SSE_MAIN] * n)[:n]
    numbers: dict[Board, int] = {}
    return [_company(i, board, _next(numbers, board), days, rng) for i, board in enumerate(boards)]


def _next(numbers: dict[Board, int], board: Board) -> int:
    numbers[board] = numbers.get(board, 0) + 1
    return numbers[board]


def _company(i: int, board: Board, number: int, days: Days, rng: np.random.Generator) -> Company:
    late, troubled, leaves = rng.random(3)
    earliest = int(np.searchsorted(days, STAR_OPENS)) if board is Board.STAR else 40
    row = int(rng.integers(earliest, max(int(len(days) * 0.7), earliest + 60)))
    list_row = row if late < 0.33 or board is Board.STAR else 0
    listed = days[list_row] if list_row else days[0] - np.timedelta64(int(rng.integers(800, 4000)), "D")
    warned, gone = _trouble(list_row, troubled, leaves, days, rng)
    code = f"{_FIRST_CODE[board] + number:06d}.{_SUFFIX[board]}"
    return Company(code, f"演示{i:03d}", board, list_row, listed, gone, warned, i % FINANCIAL_EVERY == 7)


def _trouble(
    list_row: int, troubled: float, leaves: float, days: Days, rng: np.random.Generator
) -> tuple[tuple[tuple[int, int], ...], int]:
    """Return the sessions of special treatment and the session of delisting."""
    never = len(days) + 1
    year = int(rng.integers(2018, 2023))
    begins = int(np.searchsorted(days, np.datetime64(f"{year}-05-06")))
    if troubled >= 1 / 12 or not list_row + 300 <= begins < len(days):
        return (), never
    ends = int(np.searchsorted(days, np.datetime64(f"{year + 1}-05-06")))
    return ((begins, ends),), ends if leaves < 0.15 and ends < len(days) else never
