"""Daily rank ICs of the factors and of P_up, each on the session its returns are known (SPEC 8, 13.14)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import numpy.typing as npt
from zipline.pipeline import Pipeline

from engine.model.ic import rank_ic
from engine.model.labels import labels, lag
from engine.model.shelf import OUTPUTS, Shelf
from engine.panels.bundle import Bundle
from engine.panels.reader import Panels
from engine.pipeline.factors import NAMES, raw_factors
from engine.pipeline.research import CHUNK, PanelEngine, Result
from engine.pipeline.universe import universe
from engine.settings import Settings

P_UP = "p_up"

Coefficient = tuple[float, int]
"""A rank IC, NaN where there is none, and the names it is of."""


class Signals:
    """Computes the coefficients of one decision session after the other.

    Factors come from the panels and need no memory; P_up is what the run's own models said, so there is none for
    decisions before its first session.

    Parameters
    ----------
    panels : Panels
        The bundle.
    settings : Settings
        Universe, factors, labels.
    shelf : Shelf
        What the models said so far.
    """

    def __init__(self, panels: Panels, settings: Settings, shelf: Shelf) -> None:
        self._panels, self._settings, self._shelf = panels, settings, shelf
        self._engine: PanelEngine | None = None
        self._chunk: Result | None = None

    def matured(self, row: int) -> tuple[int, dict[str, Coefficient]]:
        """Return the decision row whose returns became known at the close of ``row``, and the coefficients by name.

        Over labelled members with a raw value; empty where the decision lies before the first session.
        """
        decided = row - lag(self._settings.labels)
        if decided < 0:
            return decided, {}
        excess = labels(self._panels, self._settings.labels, decided, 1).excess[0]
        chunk = self._covering(decided)
        members = chunk.screen[decided - chunk.first_row]
        returns = np.where(members, excess[chunk.sids], np.nan)
        found = {name: _coefficient(chunk.columns[name][decided - chunk.first_row], returns) for name in NAMES}
        said = self._p_up(self._panels.days[decided].item())
        if said is not None:
            found[P_UP] = _coefficient(said[1], excess[said[0]])
        return decided, found

    def _covering(self, row: int) -> Result:
        """Return the chunk of sessions a row lies in; each of its rows depends on nothing later than itself."""
        chunk = self._chunk
        if chunk is None or not 0 <= row - chunk.first_row < len(chunk.screen):
            if self._engine is None:
                self._engine = PanelEngine(Bundle("", self._panels.folder.parent, self._panels))
            wanted = Pipeline(raw_factors(self._settings.factors), screen=universe(self._settings.universe))
            last = min(row + CHUNK, len(self._panels.days)) - 1
            (chunk,) = self._engine.chunks(wanted, row, last)
            self._chunk = chunk
        return chunk

    def _p_up(self, day: dt.date) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
        if day not in self._shelf.scored:
            return None
        sids, values = self._shelf.scored[day]
        return sids, values[:, OUTPUTS.index(P_UP)].astype(np.float64)


def _coefficient(scores: npt.NDArray[Any], returns: npt.NDArray[np.float64]) -> Coefficient:
    (coefficient,), (n,) = rank_ic(scores[None].astype(np.float64), returns[None])
    return float(coefficient), int(n)
