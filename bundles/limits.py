"""Price limits as panels: the exchange's own rows, and the rulebook where it has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.panels.limits import RuleLimits

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recorded:
    """The exchange's limits.

    Attributes
    ----------
    up, down : arrays of int, (sessions, assets)
        Fen; 0 = no limit.
    there : array of bool
        Where the exchange has a row.
    """

    up: Array
    down: Array
    there: Array


@dataclass(frozen=True)
class InForce:
    """The limits orders meet.

    Attributes
    ----------
    up, down : arrays of int, (sessions, assets)
        Fen; 0 = no limit.
    corrected : array of int, (cells, 4)
        Row, sid and the exchange's own up and down, where it was one fen off and the rule won.
    by_rule, unknown : int
        Bars without a row of the exchange, and those of them whose rule lacks a price to start from.
    """

    up: Array
    down: Array
    corrected: Array
    by_rule: int
    unknown: int


def in_force(recorded: Recorded, rule: RuleLimits, traded: Array, high: Array, low: Array) -> InForce:
    """Choose the limits in force: the exchange's row, but for one wrong fen that no trade confirms (SPEC 13.17).

    Parameters
    ----------
    recorded : Recorded
        What the exchange says.
    rule : RuleLimits
        What the rulebook says.
    traded : array of bool, (sessions, assets)
        Where there is a bar.
    high, low : arrays of int, (sessions, assets)
        Fen.
    """
    both = traded & recorded.there & rule.known & (rule.up > 0) & (recorded.up > 0)
    apart = np.maximum(abs(recorded.up - rule.up), abs(recorded.down - rule.down))
    wrong = both & (apart == 1) & (high <= rule.up) & (low >= rule.down)
    use_rule = wrong | (traded & ~recorded.there)
    up, down = (np.where(use_rule, a, b) for a, b in ((rule.up, recorded.up), (rule.down, recorded.down)))
    rows, sids = np.nonzero(wrong)
    return InForce(
        up=up,
        down=down,
        corrected=np.column_stack([rows, sids, recorded.up[rows, sids], recorded.down[rows, sids]]),
        by_rule=int((traded & ~recorded.there).sum()),
        unknown=int((traded & ~recorded.there & ~rule.known).sum()),
    )
