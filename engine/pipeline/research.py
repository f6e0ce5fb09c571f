"""Pipelines outside a run: the same engine, loaders and terms, the result as panels instead of a narrow frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from zipline.pipeline import Pipeline
from zipline.pipeline.domain import CN_EQUITIES
from zipline.pipeline.engine import SimplePipelineEngine

from engine.errors import OutsideData
from engine.panels.bundle import Bundle
from engine.pipeline.loader import loaders

CHUNK = 126
"""Sessions computed at once, as zipline does in a run."""


@dataclass(frozen=True)
class Result:
    """A pipeline over some sessions.

    Attributes
    ----------
    first_row : int
        Row of the first session in the panels.
    sids : array of int64
        Column labels.
    columns : dict of str to array
        (sessions, sids) each.
    screen : array of bool, (sessions, sids)
        Who passed the screen.
    """

    first_row: int
    sids: npt.NDArray[np.int64]
    columns: Mapping[str, npt.NDArray[Any]]
    screen: npt.NDArray[np.bool_]


class PanelEngine(SimplePipelineEngine):
    """zipline's engine over a bundle, returning ``Result``.

    Parameters
    ----------
    bundle : Bundle
        The data; no other columns than ours are served.
    """

    __slots__ = ("_bundle",)

    def __init__(self, bundle: Bundle) -> None:
        served = loaders(bundle.panels)
        super().__init__(served.__getitem__, bundle.asset_finder, CN_EQUITIES)
        self._bundle = bundle

    def _to_narrow(self, terms: Any, data: Any, mask: Any, dates: pd.DatetimeIndex, assets: Any) -> Result:
        columns = {name: np.asarray(values) for name, values in data.items()}
        return Result(self._bundle.panels.row(dates[0]), np.asarray(assets, dtype=np.int64), columns, mask)

    def chunks(self, pipeline: Pipeline, first: int, last: int) -> Iterator[Result]:
        """Run a pipeline over rows ``first..last`` of the panels, a chunk of sessions at a time."""
        sessions = self._bundle.panels.sessions
        for start in range(first, last + 1, CHUNK):
            end = min(start + CHUNK - 1, last)
            yield self.run_pipeline(pipeline, sessions[start], sessions[end])


def rows_between(bundle: Bundle, start: str, end: str) -> tuple[int, int]:
    """Return the first and last row of a range of days.

    Raises
    ------
    OutsideData
        The range leaves the bundle, or holds no session.
    """
    panels = bundle.panels
    first, last = panels.first_row_from(start), panels.last_row_to(end)
    held = f"it holds the sessions {panels.days[0]} to {panels.days[-1]}"
    if np.datetime64(start) < panels.days[0] or np.datetime64(end) > panels.days[-1]:
        raise OutsideData(f"{start} to {end} leaves the bundle", held, "Choose dates inside it.")
    if first > last:
        raise OutsideData(f"there is no session from {start} to {end}", held, "Choose a longer range.")
    return first, last
