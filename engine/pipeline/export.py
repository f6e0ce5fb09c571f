"""Factor values for research: a row a session and universe member."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl
from zipline.pipeline import Pipeline

from engine.panels.bundle import Bundle
from engine.pipeline.factors import NAMES, raw_factors, standardised_factors
from engine.pipeline.research import PanelEngine, Result
from engine.pipeline.universe import universe, without_market_cap
from engine.settings import Settings


@dataclass
class Coverage:
    """How many universe members had a value, session by session.

    Attributes
    ----------
    members : list of int
        Members of each session.
    known : dict of str to list of int
        Members with a raw value, by factor and session.
    without_market_cap : int
        Stocks that would have been members but for an unknown market cap, over all sessions.
    """

    members: list[int] = field(default_factory=list)
    known: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})
    without_market_cap: int = 0

    def count(self, result: Result) -> None:
        """Take in a chunk."""
        self.members += result.screen.sum(axis=1).tolist()
        for name in NAMES:
            self.known[name] += (~np.isnan(result.columns[name]) & result.screen).sum(axis=1).tolist()
        self.without_market_cap += int(result.columns[_UNSIZED].sum())

    def share(self, name: str) -> float:
        """Return the share of members with a value of a factor, over all sessions."""
        return sum(self.known[name]) / sum(self.members)

    def lowest(self, name: str) -> tuple[float, int]:
        """Return the lowest share of any session, and which session it was, counted from 0."""
        shares = [
            (known / members, at)
            for at, (known, members) in enumerate(zip(self.known[name], self.members, strict=True))
            if members
        ]
        return min(shares)


_UNSIZED = "without_market_cap"


def export_pipeline(settings: Settings) -> Pipeline:
    """Return the pipeline of the export: the raw factors and their z-scores, ``z_`` before the name."""
    members = universe(settings.universe)
    standardised = {f"z_{name}": term for name, term in standardised_factors(settings.factors, members).items()}
    columns = raw_factors(settings.factors) | standardised | {_UNSIZED: without_market_cap(settings.universe)}
    return Pipeline(columns, screen=members)


FurtherColumns = Callable[[npt.NDArray[np.intp], npt.NDArray[np.int64]], Sequence[pl.Series]]
"""From rows of the panels and sids, one of each for a row of the export, to columns of it."""


def factor_frames(
    bundle: Bundle,
    settings: Settings,
    first: int,
    last: int,
    coverage: Coverage,
    further: FurtherColumns = lambda rows, sids: (),
) -> Iterator[pl.DataFrame]:
    """Yield the export chunk by chunk: ``trade_date`` (YYYYMMDD), ``ts_code`` of the day, raw values, z-scores.

    Parameters
    ----------
    bundle : Bundle
        The data.
    settings : Settings
        Universe and factors.
    first, last : int
        Rows of the panels.
    coverage : Coverage
        Counts on the way.
    further : callable
        Gives the columns after these.
    """
    for result in PanelEngine(bundle).chunks(export_pipeline(settings), first, last):
        coverage.count(result)
        yield _frame(bundle, result, further)


def _frame(bundle: Bundle, result: Result, further: FurtherColumns) -> pl.DataFrame:
    panels = bundle.panels
    rows, columns = np.nonzero(result.screen)
    days = panels.days[result.first_row + rows]
    assets = [panels.assets[sid] for sid in result.sids[columns].tolist()]
    codes = [
        asset.ts_code if len(asset.codes) == 1 else asset.code_on(day)
        for asset, day in zip(assets, days.tolist(), strict=True)
    ]
    values = {name: result.columns[name][rows, columns] for name in (*NAMES, *(f"z_{name}" for name in NAMES))}
    named = pl.Series(codes, dtype=pl.String)  # of that type in a chunk without members too
    frame = pl.DataFrame({"trade_date": days, "ts_code": named, **values}).with_columns(
        pl.col("trade_date").dt.strftime("%Y%m%d"), pl.col(pl.Float64).fill_nan(None)
    )
    return frame.with_columns(*further(result.first_row + rows, result.sids[columns]))
