"""What must hold before an account decides: pure checks of one session's data. Stale or thin data are refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.panels.reader import Panels
from engine.panels.store import LIMIT_RECORDED, LISTED, SUSPENDED, TRADED

BEFORE = 5
"""Sessions whose coverage a session is held against: a table the lake never had is not missed."""
SLACK = 2
"""A side table may be thinner than before by so many times what ``coverage`` lets be missing: who trades changes from
day to day, and a stock that a table never had may come back. In a decade of real data no day lost half as much."""
REPEATED = 0.5
"""Share of the stocks with yesterday's very close, volume and amount from which a day counts as yesterday's again."""


@dataclass(frozen=True)
class Refusal:
    """Why no decision is made on a session."""

    what: str
    why: str
    mend: str


_SYNC = "Run `ashare data sync --build` again later; the vendor may not be ready."


def refusals(panels: Panels, day: dt.date, coverage: float, index: str) -> Iterator[Refusal]:
    """Yield what is wrong with a session's data.

    Parameters
    ----------
    panels : Panels
        They end with the session, or before it where it is missing.
    day : date
        The session.
    coverage : float
        Share of what should be there that must be.
    index : str
        Code of the index that labels and reports need.
    """
    last = panels.days[-1].astype(dt.date)
    if last != day:
        yield Refusal(f"there are no data of {day}", f"the bundle ends with {last}", _SYNC)
        return
    row = len(panels.days) - 1
    yield from _thin(panels, row, coverage)
    yield from _repeated(panels, row)
    for name, there in _TABLES.items():
        before = max((_share(there, panels, at) for at in range(max(row - BEFORE, 0), row)), default=0.0)
        now = _share(there, panels, row)
        if now < (1 - SLACK * (1 - coverage)) * before:
            why = f"{now:.1%} of the stocks that traded have it, {before:.1%} had it before"
            yield Refusal(f"{name} of {day} is thin", why, _SYNC)
    closes = panels.index(index, "close")
    if closes is not None and np.isnan(closes[row]) and not np.isnan(closes[max(row - BEFORE, 0) : row]).all():
        yield Refusal(f"the index {index} has no row of {day}", "the sessions before have one", _SYNC)


def _thin(panels: Panels, row: int, coverage: float) -> Iterator[Refusal]:
    status = panels.field("status")[row]
    expected = int((((status & LISTED) != 0) & ((status & SUSPENDED) == 0)).sum())
    traded = int(((status & TRADED) != 0).sum())
    if traded < coverage * expected:
        why = f"{traded:,} of {expected:,} stocks have a bar, {coverage:.1%} must"
        yield Refusal(f"daily of {panels.days[row]} is thin", why, _SYNC)


def _repeated(panels: Panels, row: int) -> Iterator[Refusal]:
    if not row:
        return
    traded = _traded(panels, row) & _traded(panels, row - 1)
    same = traded.copy()
    for name in ("close", "volume", "amount"):
        values = panels.field(name)
        same &= values[row] == values[row - 1]
    if traded.any() and same.sum() > REPEATED * traded.sum():
        why = f"{same.sum() / traded.sum():.0%} of the stocks have the close, volume and amount of the session before"
        yield Refusal(f"daily of {panels.days[row]} repeats the session before", why, _SYNC)


def _traded(panels: Panels, row: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (panels.field("status")[row] & TRADED) != 0
    return found


_TABLES: dict[str, Callable[[Panels, int], npt.NDArray[Any]]] = {
    "daily_basic": lambda panels, row: ~np.isnan(panels.field("total_mv")[row]),
    "the turnover of daily_basic": lambda panels, row: ~np.isnan(panels.field("turnover_rate")[row]),
    "stk_limit": lambda panels, row: (panels.field("status")[row] & LIMIT_RECORDED) != 0,
}


def _share(there: Callable[[Panels, int], npt.NDArray[Any]], panels: Panels, row: int) -> float:
    traded = _traded(panels, row)
    return float(there(panels, row)[traded].mean()) if traded.any() else 0.0
