"""What the model learns: the excess return a decision after T could have earned (SPEC 5, 13.11, 13.12).

``excess_T = exit / adj_open_(T+1) - index_open_(T+1+h) / index_open_(T+1)`` with ``h`` the horizon; the exit price is
the adjusted open of T+1+h, the last adjusted close where that session has no bar, and 0 for a stock delisted by then.
Known after the close of T+1+h. There is none where entry was impossible: no bar on T+1, or opened limit-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from engine.errors import DataNotFit
from engine.panels.reader import Floats, Panels, yuan
from engine.panels.store import LISTED
from engine.settings import LabelSettings

DOWN, FLAT, UP = 0, 1, 2
"""The classes, in the order of the network's outputs."""


class Unlabelled(IntEnum):
    """Why a decision has no label; 0 stands for one that has."""

    SUSPENDED = 1
    """No bar on T+1, though listed."""
    LIMIT_UP = 2
    """Opened limit-up on T+1."""
    NOT_LISTED = 3
    """No bar on T+1, because not listed on it."""
    INCOMPLETE = 4
    """The window is not over: T+1+h is not in the data yet."""


@dataclass(frozen=True)
class Labels:
    """Labels of ``n`` sessions of the panels in a row, by default from the first one on.

    Attributes
    ----------
    excess : array of float64, (n, assets)
        Excess return; NaN where there is no label.
    reasons : array of int8, (n, assets)
        0 where there is a label, else an ``Unlabelled``; all sessions after these are INCOMPLETE.
    total_losses : list of (int, int)
        (row, sid) of labels that end in a delisting.
    """

    excess: Floats
    reasons: npt.NDArray[np.int8]
    total_losses: list[tuple[int, int]]


def lag(settings: LabelSettings) -> int:
    """Return the sessions from a decision to the close after which its label is known."""
    return settings.horizon + 1


def labels(panels: Panels, settings: LabelSettings, first: int = 0, count: int | None = None) -> Labels:
    """Compute the labels of every session whose window is complete, or of ``count`` such sessions from ``first`` on.

    Nothing is read beyond the window of the last of them.

    Raises
    ------
    DataNotFit
        The index has no open on a session that is needed.
    """
    step = lag(settings)
    n = max(len(panels.days) - step - first, 0) if count is None else count
    entry, leave = slice(first + 1, first + n + 1), slice(first + step, first + step + n)
    factor, last_close = panels.field("adj_factor"), panels.field("last_close")
    opens = panels.field("open")
    up_limit = panels.field("up_limit")[entry]
    no_bar, listed = opens[entry] <= 0, (panels.field("status")[entry] & LISTED) > 0
    reasons = np.zeros(no_bar.shape, dtype=np.int8)
    reasons[(up_limit > 0) & (opens[entry] >= up_limit)] = Unlabelled.LIMIT_UP
    reasons[no_bar] = np.where(listed[no_bar], Unlabelled.SUSPENDED, Unlabelled.NOT_LISTED)
    possible = reasons == 0
    bought = yuan(opens[entry]) * factor[entry]
    sold = np.where(opens[leave] > 0, opens[leave], last_close[leave]) / 100.0 * factor[leave]
    delisted = possible & ((panels.field("status")[leave] & LISTED) == 0)
    with np.errstate(invalid="ignore"):
        stock = np.where(delisted, 0.0, sold) / bought - 1.0
    market = _index_returns(panels, settings, first, n)
    excess = np.where(possible, stock - market[:, None], np.nan)
    return Labels(excess, reasons, [(first + int(row), int(sid)) for row, sid in np.argwhere(delisted)])


def _index_returns(panels: Panels, settings: LabelSettings, first: int, n: int) -> Floats:
    opens = panels.index(settings.index, "open")
    if opens is None:
        raise DataNotFit(f"the bundle has no index {settings.index}", "labels are excess returns over it", _IMPORT)
    opens = opens[first : first + n + lag(settings)]
    if np.isnan(opens[1:]).any():
        day = panels.days[first + 1 + int(np.isnan(opens[1:]).argmax())]
        raise DataNotFit(f"index {settings.index} has no open on {day}", "labels are excess returns over it", _IMPORT)
    return opens[lag(settings) : lag(settings) + n] / opens[1 : n + 1] - 1.0


_IMPORT = "Import the missing rows of index_daily and ingest again."


def classes(excess: npt.NDArray[np.floating], settings: LabelSettings) -> npt.NDArray[np.int64]:
    """Return the class of each excess return."""
    return np.where(excess > settings.up, UP, np.where(excess < settings.down, DOWN, FLAT))
