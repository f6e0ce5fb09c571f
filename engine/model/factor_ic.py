"""The registered factors against the excess returns that followed, over the members of each session (SPEC 13.14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from zipline.pipeline import Pipeline

from engine.model.ic import Evaluation, Floats, evaluate
from engine.model.labels import labels
from engine.panels.bundle import Bundle
from engine.panels.reader import Panels
from engine.pipeline.factors import FACTORS, FactorSpec
from engine.pipeline.research import CHUNK, PanelEngine
from engine.pipeline.universe import empty_universe, universe
from engine.settings import LabelSettings, Settings


@dataclass(frozen=True)
class FactorIC:
    """A factor and how it did.

    Attributes
    ----------
    spec : FactorSpec
        Its entry in the registry.
    coverage : float
        Share of members with a raw value, over all sessions.
    found : Evaluation
        Over labelled members with a raw value.
    """

    spec: FactorSpec
    coverage: float
    found: Evaluation

    def summary(self) -> dict[str, Any]:
        """Return what the registry says of it, its coverage and the summary of its evaluation."""
        spec = self.spec
        told = {"factor": spec.name, "window": spec.window, "unit": spec.unit, "source": spec.source}
        return {**told, "coverage": self.coverage, **self.found.summary()}


def forward_returns(
    panels: Panels, settings: LabelSettings, horizons: Sequence[int], first: int, last: int
) -> dict[int, Floats]:
    """Return the excess returns of the labels over several horizons.

    Parameters
    ----------
    panels : Panels
        The data.
    settings : LabelSettings
        Everything about a label but its horizon.
    horizons : sequence of int
        Sessions from entry to exit.
    first, last : int
        Rows of the panels.

    Returns
    -------
    dict of int to array, (last - first + 1, assets)
        By horizon; NaN without a label, so also where the window is not over.

    Raises
    ------
    DataNotFit
        The index has no open on a session that is needed.
    """
    returns = {}
    for horizon in horizons:
        found = labels(panels, settings.model_copy(update={"horizon": horizon})).excess[first : last + 1]
        returns[horizon] = np.full((last - first + 1, len(panels.assets)), np.nan)
        returns[horizon][: len(found)] = found
    return returns


def factor_ics(
    bundle: Bundle,
    settings: Settings,
    returns: Mapping[int, Floats],
    first: int,
    last: int,
    count: int,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[FactorIC]:
    """Evaluate the registered factors one after the other: the panel of one is held at a time.

    Parameters
    ----------
    bundle : Bundle
        The data.
    settings : Settings
        Universe, factors, and the horizon of the quantiles (that of the labels).
    returns : mapping of int to array
        From ``forward_returns``, over the same rows, that horizon among them.
    first, last : int
        Rows of the panels.
    count : int
        Quantiles.
    progress : callable
        Called once a chunk of sessions and factor.

    Raises
    ------
    OutsideData
        The universe is empty on all sessions.
    """
    for spec in FACTORS:
        values, members = _members_values(bundle, settings, spec, first, last, progress)
        if not members:
            raise empty_universe(str(bundle.panels.days[first]), str(bundle.panels.days[last]))
        coverage = int((~np.isnan(values)).sum()) / members
        yield FactorIC(spec, coverage, evaluate(values, returns, settings.labels.horizon, count))


def _members_values(
    bundle: Bundle, settings: Settings, spec: FactorSpec, first: int, last: int, progress: Callable[[], None]
) -> tuple[Floats, int]:
    """Return a factor's raw values, NaN for whoever is no member, and the number of members over all sessions."""
    pipeline = Pipeline({spec.name: spec.build(settings.factors)}, screen=universe(settings.universe))
    values = np.full((last - first + 1, len(bundle.panels.assets)), np.nan)
    members = 0
    for result in PanelEngine(bundle).chunks(pipeline, first, last):
        at = result.first_row - first
        rows = values[at : at + len(result.screen)]
        rows[:, result.sids] = np.where(result.screen, result.columns[spec.name], np.nan)
        members += int(result.screen.sum())
        progress()
    return values, members


def chunks_between(first: int, last: int) -> int:
    """Return how often ``factor_ics`` reports progress."""
    return len(FACTORS) * -(-(last - first + 1) // CHUNK)


def daily_frame(panels: Panels, first: int, factor: FactorIC) -> pl.DataFrame:
    """Return the daily series of a factor: session, factor, horizon, n, ic, rank_ic (null = none on that session)."""
    days = panels.days[first:]
    frames = [
        pl.DataFrame(
            {
                "session": days[: len(found.n)],
                "factor": [factor.spec.name] * len(found.n),
                "horizon": np.full(len(found.n), horizon),
                "n": found.n,
                "ic": found.ic,
                "rank_ic": found.rank_ic,
            }
        )
        for horizon, found in factor.found.coefficients.items()
    ]
    return pl.concat(frames).with_columns(pl.col(pl.Float64).fill_nan(None))
