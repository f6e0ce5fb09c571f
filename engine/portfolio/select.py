"""Whom to hold, and one reason for everybody else (SPEC 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.settings import SelectionSettings
from engine.types import Choice

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

_CHOICES = np.array(list(Choice), dtype=object)
_NUMBER = {choice: number for number, choice in enumerate(Choice)}


def places(members: int, settings: SelectionSettings) -> int:
    """Return how many names a universe of this size gives: a fraction of it, at least one, at most so many."""
    return max(1, min(settings.maximum_names, int(np.floor(settings.fraction * members))))


def ranked(codes: Sequence[str] | Sequence[int], scores: Floats) -> Index:
    """Return the members from the highest score to the lowest; ties by code, unknown scores last."""
    return np.lexsort((np.asarray(codes), -scores))


@dataclass(frozen=True)
class Selection:
    """What a rebalance decided about each member of the universe.

    Attributes
    ----------
    order : array of int, (members,)
        Positions from the best to the worst.
    reasons : array of Choice, (members,)
        One a member, in the order of the members.
    """

    order: Index
    reasons: npt.NDArray[np.object_]

    @property
    def chosen(self) -> Index:
        """Positions of whom to hold, best first."""
        held = (self.reasons == Choice.CHOSEN) | (self.reasons == Choice.KEPT)
        best: Index = self.order[held[self.order]]
        return best

    @property
    def ranks(self) -> npt.NDArray[np.int64]:
        """The rank of each member, 1 the best."""
        ranks = np.empty(len(self.order), dtype=np.int64)
        ranks[self.order] = np.arange(1, len(self.order) + 1)
        return ranks


def decide(
    codes: Sequence[str] | Sequence[int],
    scores: Floats,
    at_limit: Bools,
    turnover: Floats,
    settings: SelectionSettings,
    held: Bools | None = None,
    stopped: Bools | None = None,
    barred: Bools | None = None,
) -> Selection:
    """Decide about every member of the universe.

    Parameters
    ----------
    codes : sequence of str or int
        The members: their codes, or numbers in the order of these.
    scores : array of float, (members,)
        What they are ranked by; NaN = none.
    at_limit : array of bool, (members,)
        Whether the close stood at or beyond a price limit.
    turnover : array of float, (members,)
        Turnover of the day in percent, NaN where unknown.
    settings : SelectionSettings
        Fraction, maximum, least turnover, the part that keeps its place.
    held, stopped, barred : array of bool, (members,), optional
        Who is held, who is being sold by a stop, who is on the blacklist; by default nobody.

    Returns
    -------
    Selection
        Names dropped from the top are not replaced; an unknown turnover is dropped.
    """
    n = len(codes)
    nobody = np.zeros(n, dtype=np.bool_)
    if not n:
        return Selection(np.array([], dtype=np.intp), np.array([], dtype=object))
    reasons = np.full(n, _NUMBER[Choice.BELOW_THE_CUT])
    order = ranked(codes, scores)
    top, keepers = _seated(order, nobody if held is None else held, settings)
    reasons[order[: places(n, settings)]] = _NUMBER[Choice.NO_PLACE]
    reasons[top], reasons[keepers] = _NUMBER[Choice.CHOSEN], _NUMBER[Choice.KEPT]
    seated = np.isin(np.arange(n), [*top, *keepers])
    with np.errstate(invalid="ignore"):
        dropped = {  # a later one has the last word
            Choice.TURNOVER: turnover < settings.minimum_turnover,
            Choice.TURNOVER_UNKNOWN: np.isnan(turnover),
            Choice.AT_LIMIT: at_limit,
            Choice.BLACKLISTED: nobody if barred is None else barred,
            Choice.STOPPED: nobody if stopped is None else stopped,
        }
    for reason, who in dropped.items():
        reasons[seated & who] = _NUMBER[reason]
    reasons[np.isnan(scores)] = _NUMBER[Choice.NO_SCORE]
    return Selection(order, _CHOICES[reasons])


def _seated(order: Index, held: Bools, settings: SelectionSettings) -> tuple[Index, Index]:
    """Return who has a place inside the cut, and who keeps one outside it: held names in their zone sit first."""
    seats = places(len(order), settings)
    zone = order[: int(np.floor(settings.keep_fraction * len(order)))]
    sitting = zone[held[zone]][:seats]
    cut = order[:seats]
    inside = cut[np.isin(cut, sitting)]
    outside = sitting[~np.isin(sitting, cut)]
    newcomers = cut[~np.isin(cut, sitting)][: seats - len(sitting)]
    return np.concatenate([inside, newcomers]), outside


def select(
    codes: Sequence[str] | Sequence[int], scores: Floats, at_limit: Bools, turnover: Floats, settings: SelectionSettings
) -> Index:
    """Return the positions of whom to hold, best first; the parameters are those of ``decide``."""
    return decide(codes, scores, at_limit, turnover, settings).chosen
