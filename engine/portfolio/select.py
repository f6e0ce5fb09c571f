"""Whom to hold (SPEC 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.settings import SelectionSettings

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def places(members: int, settings: SelectionSettings) -> int:
    """Return how many names a universe of this size gives: a fraction of it, at least one, at most so many."""
    return max(1, min(settings.maximum_names, int(np.floor(settings.fraction * members))))


def ranked(codes: Sequence[str] | Sequence[int], scores: Floats) -> Index:
    """Return the members from the highest score to the lowest; ties by code, unknown scores last."""
    return np.lexsort((np.asarray(codes), -scores))


def select(
    codes: Sequence[str] | Sequence[int], scores: Floats, at_limit: Bools, turnover: Floats, settings: SelectionSettings
) -> Index:
    """Return whom to hold, best first.

    Parameters
    ----------
    codes : sequence of str or int
        The members of the universe: their codes, or numbers in the order of these.
    scores : array of float
        What they are ranked by.
    at_limit : array of bool
        Whether the close stood at or beyond a price limit.
    turnover : array of float
        Turnover of the day in percent, NaN where unknown.
    settings : SelectionSettings
        Fraction, maximum, least turnover.

    Returns
    -------
    array of int
        Positions in ``codes``. Names dropped from the top are not replaced; an unknown turnover is dropped.
    """
    if not len(codes):
        return np.array([], dtype=np.intp)
    top = ranked(codes, scores)[: places(len(codes), settings)]
    return top[~at_limit[top] & (turnover[top] >= settings.minimum_turnover)]
