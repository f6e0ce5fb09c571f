"""Labels as columns of a table, each with the day it was known and, where there is none, the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.model.labels import Unlabelled, classes, labels, lag
from engine.panels.reader import Panels
from engine.settings import LabelSettings

CLASS_NAMES = ("down", "flat", "up")
"""In the order of the classes."""
REASON_NAMES: Mapping[int, str] = {int(reason): reason.name.lower() for reason in Unlabelled}


class LabelColumns:
    """The labels of decisions. They look ahead: for research and training, never for a decision.

    Parameters
    ----------
    panels : Panels
        The data.
    settings : LabelSettings
        Horizon and bounds of the classes.

    Raises
    ------
    DataNotFit
        The index has no open on a session that is needed.
    """

    def __init__(self, panels: Panels, settings: LabelSettings) -> None:
        self._panels, self._settings = panels, settings
        self._found = labels(panels, settings)
        self._lost = set(self._found.total_losses)
        self._counts: Counter[str | None] = Counter()
        self._codes: set[str] = set()

    def __call__(self, rows: npt.NDArray[np.intp], sids: npt.NDArray[np.int64]) -> list[pl.Series]:
        """Return the labels of some decisions, and count them.

        Parameters
        ----------
        rows, sids : array, (n,)
            Session and asset of each decision.

        Returns
        -------
        list of Series, (n,)
            ``excess`` (null = no label), ``label_class`` (down, flat, up), ``no_label`` (why there is none: suspended,
            limit_up, not_listed, incomplete), ``total_loss`` (the label ends in a delisting) and ``label_known``
            (YYYYMMDD: the session T+1+horizon, after whose close the label is known).
        """
        complete = rows < len(self._found.excess)
        at = rows[complete], sids[complete]
        excess, reasons = np.full(len(rows), np.nan), np.full(len(rows), Unlabelled.INCOMPLETE, dtype=np.int8)
        excess[complete], reasons[complete] = self._found.excess[at], self._found.reasons[at]
        labelled = reasons == 0
        known = np.full(len(rows), np.datetime64("NaT"), dtype="datetime64[D]")
        known[labelled] = self._panels.days[rows[labelled] + lag(self._settings)]
        named = np.array(CLASS_NAMES, dtype=object)[classes(excess, self._settings)]
        named[~labelled] = None
        lost = [pair in self._lost for pair in zip(rows.tolist(), sids.tolist(), strict=True)]
        why = [REASON_NAMES.get(reason) for reason in reasons.tolist()]
        self._counts.update(why)
        self._codes.update(self._panels.assets[sid].ts_code for sid in sids[lost].tolist())
        return [
            pl.Series("excess", excess).fill_nan(None),
            pl.Series("label_class", named, pl.String),
            pl.Series("no_label", why, pl.String),
            pl.Series("total_loss", lost, pl.Boolean),
            pl.Series("label_known", known).dt.strftime("%Y%m%d"),
        ]

    def told(self) -> str:
        """Return one line about the labels given so far: how many, why there is none, total losses with their codes."""
        without = [f"{self._counts[name]:,} {name}" for name in REASON_NAMES.values() if self._counts[name]]
        said = f"{self._counts[None]:,} labels; none: {', '.join(without) or 'nowhere'}"
        stocks = "1 stock is" if len(self._codes) == 1 else f"{len(self._codes)} stocks are"
        return said + (f"; {stocks} delisted inside a label: {', '.join(sorted(self._codes))}" if self._codes else "")
