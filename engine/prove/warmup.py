"""``ashare prove warmup``: a factor needs no more history than it declares (R6).

A pipeline over a single session reads just the declared window. What a factor gives there must be what it gives, bit
for bit, in a longer chunk that begins at least twice the window earlier, and in one that goes on after the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from zipline.pipeline import Pipeline

from engine.errors import NotEnoughHistory
from engine.panels.bundle import Bundle
from engine.pipeline.factors import FACTORS, FactorSpec, PanelFactor
from engine.pipeline.research import CHUNK, PanelEngine
from engine.settings import Settings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Warmup:
    """What was found of one factor.

    Attributes
    ----------
    name : str
        Which.
    window : int
        Sessions it is registered with.
    read : int
        Sessions its term reads.
    compared : int
        Values compared.
    known : int
        Of these, values that are there.
    first : str
        The first difference; empty if there is none.
    """

    name: str
    window: int
    read: int
    compared: int
    known: int
    first: str

    @property
    def holds(self) -> bool:
        """Say whether the window is enough, and the registered one."""
        return not self.first and self.read == self.window


def chosen_rows(bundle: Bundle, count: int, seed: int) -> list[int]:
    """Choose random sessions with twice the longest window before them.

    Raises
    ------
    NotEnoughHistory
        There are fewer.
    """
    sessions = len(bundle.panels.days)
    first = 2 * max(spec.window for spec in FACTORS)
    if sessions - first < count:
        raise NotEnoughHistory(
            f"{count} sessions cannot be chosen",
            f"the bundle has {sessions}, and a session needs {first} before it",
            "Choose a smaller --count, or import more data.",
        )
    chosen = np.random.default_rng(seed).choice(np.arange(first, sessions), count, replace=False)
    return sorted(chosen.tolist())


def prove(
    bundle: Bundle,
    settings: Settings,
    rows: Sequence[int],
    specs: Sequence[FactorSpec] = FACTORS,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Warmup]:
    """Yield what is found of each factor at some sessions.

    Parameters
    ----------
    bundle : Bundle
        The data.
    settings : Settings
        Of the factors.
    rows : sequence of int
        Sessions, as rows of the panels.
    specs : sequence of FactorSpec
        The factors; by default all that are registered.
    advance : callable
        Called after each factor.
    """
    for spec in specs:
        yield _of_factor(bundle, spec, spec.build(settings.factors), rows)
        advance()


def _of_factor(bundle: Bundle, spec: FactorSpec, term: PanelFactor, rows: Sequence[int]) -> Warmup:
    compared, known, first = 0, 0, ""
    for row in rows:
        sids, alone = _at(bundle, term, row, row, row)
        for start, end in _longer(row, spec.window, len(bundle.panels.days)):
            others, values = _at(bundle, term, row, start, end)
            longer = values[np.searchsorted(others, sids)]  # the longer chunk knows stocks of other sessions too
            unequal = (longer.view(np.int64) != alone.view(np.int64)) & ~(np.isnan(longer) & np.isnan(alone))
            compared += len(alone)
            known += int((~np.isnan(alone)).sum())
            if unequal.any() and not first:
                at = int(unequal.argmax())
                code, day = bundle.panels.assets[int(sids[at])].ts_code, bundle.panels.days[row]
                first = f"{day} {code}: {alone[at]} from its window, {longer[at]} with more around it"
    return Warmup(spec.name, spec.window, term.window_length, compared, known, first)


def _longer(row: int, window: int, sessions: int) -> Iterator[tuple[int, int]]:
    """Yield a chunk that ends with a session, twice the window long and more, and one that goes on after it."""
    start = max(row - max(2 * window, CHUNK), 0)
    yield start, row
    yield start, min(row + CHUNK, sessions - 1)


def _at(bundle: Bundle, term: PanelFactor, row: int, first: int, last: int) -> tuple[npt.NDArray[Any], Floats]:
    """Return the assets of a chunk and the factor of one of its sessions, all computed at once."""
    sessions = bundle.panels.sessions
    result = PanelEngine(bundle).run_pipeline(Pipeline({"factor": term}), sessions[first], sessions[last])
    return result.sids, np.array(result.columns["factor"][row - result.first_row], dtype=np.float64)
