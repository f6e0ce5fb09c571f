"""What a run's models said, beside the returns that followed: flat columns, cut into sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from engine.model.labels import labels, lag
from engine.model.shelf import OUTPUTS
from engine.panels.reader import Panels
from engine.settings import LabelSettings

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scored:
    """Every scored member of every session, ordered by session.

    Attributes
    ----------
    rows : array of int64, (sessions,)
        The sessions, as rows of the panels, ascending.
    counts : array of int64, (sessions,)
        Members of each; ``n`` together.
    sids : array of int32, (n,)
        The stocks.
    said : array of float32, (n, 4)
        P(down), P(flat), P(up) and the expected excess return, known after the close of the session.
    """

    rows: Rows
    counts: Rows
    sids: npt.NDArray[np.int32]
    said: npt.NDArray[np.float32]

    def ranked_by(self, name: str) -> Floats:
        """Return the score of a ranking (setting ``selection.rank_by``), (n,)."""
        p_down, _, p_up, expected = self.said.T
        if name == "p_up_minus_p_down":
            return p_up.astype(np.float64) - p_down
        return {"p_up": p_up, "expected_excess": expected}[name].astype(np.float64)

    def every(self, step: int) -> tuple[Scored, npt.NDArray[np.bool_]]:
        """Return every ``step``-th session from the first one on, and which of the members, (n,), are theirs."""
        taken = np.arange(len(self.rows)) % step == 0
        members = np.repeat(taken, self.counts)
        return Scored(self.rows[taken], self.counts[taken], self.sids[members], self.said[members]), members

    def panel(self, values: Floats) -> Floats:
        """Return a column as a panel, (sessions, most members), NaN where a session has fewer.

        What stands in one place of two sessions are not the same stocks: for what looks at one session at a time.
        """
        place = np.arange(self.counts.max(initial=0)) < self.counts[:, None]
        whole = np.full(place.shape, np.nan)
        whole[place] = values
        return whole

    def following(self, panels: Panels, settings: LabelSettings) -> Floats:
        """Return the excess return that followed each decision, (n,): the model's own label.

        NaN where entry was impossible, and where the window is not over in the panels.

        Raises
        ------
        DataNotFit
            The index has no open on a session that is needed.
        """
        excess = np.full(len(self.sids), np.nan)
        ends = np.cumsum(self.counts)
        for first, last in _blocks(self.rows[self.rows + lag(settings) < len(panels.days)]):
            members = slice(ends[first] - self.counts[first], ends[last])
            found = labels(panels, settings, int(self.rows[first]), last - first + 1).excess
            at = np.repeat(np.arange(len(found)), self.counts[first : last + 1])
            excess[members] = found[at, self.sids[members]]
        return excess


BLOCK = 16
"""Sessions whose labels are made at once: what fits a processor's cache takes a third of the time of all at once."""


def _blocks(rows: Rows) -> Iterator[tuple[int, int]]:
    """Yield first and last position of stretches of rows that follow each other, none longer than ``BLOCK``."""
    first = 0
    for at in range(1, len(rows) + 1):
        if at == len(rows) or rows[at] != rows[at - 1] + 1 or at - first == BLOCK:
            yield first, at - 1
            first = at


def scored_of(scores: pl.DataFrame, panels: Panels) -> Scored:
    """Arrange the scores of a run by the panels.

    Parameters
    ----------
    scores : DataFrame
        ``scores.parquet``: session, ts_code of that day, and the outputs of the model.
    panels : Panels
        Of the run's data, or of later ones; a code they do not know is left out.

    Raises
    ------
    OutsideData
        The panels lack a session.
    """
    ordered = scores if scores["session"].is_sorted() else scores.sort("session", maintain_order=True)
    sids = _sids(ordered["ts_code"], panels)
    if sids.null_count():
        ordered, sids = ordered.filter(sids.is_not_null()), sids.drop_nulls()
    runs = ordered["session"].rle().struct.unnest()
    rows = [panels.row(pd.Timestamp(day)) for day in runs["value"]]
    said = ordered.select(OUTPUTS).to_numpy().astype(np.float32, copy=False)
    return Scored(np.array(rows, dtype=np.int64), runs["len"].to_numpy().astype(np.int64), sids.to_numpy(), said)


def _sids(codes: pl.Series, panels: Panels) -> pl.Series:
    known = pl.Series(list(panels.sids)), pl.Series(list(panels.sids.values()), dtype=pl.Int32)
    return codes.replace_strict(*known, default=None, return_dtype=pl.Int32)
