"""Serves the end-of-day datasets from panels, row T with T's close."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from zipline.lib.adjusted_array import AdjustedArray
from zipline.pipeline.data import BoundColumn
from zipline.pipeline.loaders.base import PipelineLoader

from engine.panels.reader import Floats, Panels, yuan
from engine.panels.store import LISTED, RISK_WARNED, SUSPENDED, TRADED
from engine.pipeline.datasets import END_OF_DAY, Reports

Array = npt.NDArray[Any]


class Window:
    """Rows ``first..last`` of the panels for some assets; each panel is read once."""

    def __init__(self, panels: Panels, first: int, last: int, sids: npt.NDArray[np.int64]) -> None:
        self.panels, self.first, self.last, self.sids = panels, first, last, sids
        self._read: dict[str, Array] = {}

    def panel(self, name: str) -> Array:
        """Return the window of one panel."""
        if name not in self._read:
            self._read[name] = self.panels.window(name, self.first, self.last, self.sids)
        return self._read[name]

    def has(self, bit: int) -> Array:
        """Return where a bit of the status is set."""
        return (self.panel("status") & bit) != 0

    def price(self, name: str) -> Floats:
        """Return a price panel in CNY."""
        return yuan(self.panel(name))

    def at_limit(self) -> Array:
        """Return where the close stands at or beyond a limit."""
        close, up, down = (self.panel(name) for name in ("close", "up_limit", "down_limit"))
        return (close > 0) & (((up > 0) & (close >= up)) | ((down > 0) & (close <= down)))

    def age(self) -> Floats:
        """Return the number of market sessions since the first bar, that one counted."""
        first_bars = np.array([self.panels.assets[sid].first_bar for sid in self.sids.tolist()], dtype=np.float64)
        rows = np.arange(self.first, self.last + 1, dtype=np.float64)[:, None]
        ages = rows - np.where(first_bars < 0, np.inf, first_bars) + 1
        return np.where(ages >= 1, ages, np.nan)

    def report(self, column: str) -> Floats:
        """Return one item of the newest known report."""
        states = self.panel("report")
        values = self.panels.report(column)
        if not len(values):
            return np.full(states.shape, np.nan)
        return np.where(states >= 0, values[np.maximum(states, 0)], np.nan)

    def report_age(self) -> Floats:
        """Return the calendar days since the end of the newest known period."""
        today = calendar_days(self.panels, self.first, self.last).astype(np.float64)
        return today[:, None] - self.report("period_end")


def calendar_days(panels: Panels, first: int, last: int) -> npt.NDArray[np.int64]:
    """Return rows as days since 1970-01-01; rows before the first session count from the calendar."""
    known = panels.days[max(first, 0) : last + 1].astype("datetime64[D]").astype(np.int64)
    return np.concatenate([np.zeros(max(-first, 0), dtype=np.int64), known])


_COMPUTED: dict[str, Callable[[Window], Array]] = {
    "adj_open": lambda w: w.price("open") * w.panel("adj_factor"),
    "adj_close": lambda w: w.price("last_close") * w.panel("adj_factor"),
    "traded": lambda w: w.has(TRADED),
    "suspended": lambda w: w.has(SUSPENDED),
    "risk_warned": lambda w: w.has(RISK_WARNED),
    "listed": lambda w: w.has(LISTED),
    "at_limit": Window.at_limit,
    "age": Window.age,
    "report_age": Window.report_age,
}
_PLAIN = {"volume", "amount", "adj_factor", "turnover_rate", "total_mv"}


def load_column(window: Window, column: BoundColumn) -> Array:
    """Return one dataset column over a window, (sessions, assets), in the unit its dataset states."""
    name = column.name
    if name in _COMPUTED:
        return _COMPUTED[name](window)
    if column.dataset is Reports:
        return window.report(name)
    return window.panel(name) if name in _PLAIN else window.price(name)


class EndOfDayLoader(PipelineLoader):
    """Serves ``Daily`` and ``Reports``; nothing is shifted, nothing is adjusted afterwards."""

    def __init__(self, panels: Panels) -> None:
        self.panels = panels

    @property
    def currency_aware(self) -> bool:
        """Prices are CNY only."""
        return False

    def load_adjusted_array(
        self,
        domain: Any,
        columns: Iterable[BoundColumn],
        dates: pd.DatetimeIndex,
        sids: npt.NDArray[np.int64],
        mask: Array,
    ) -> dict[BoundColumn, AdjustedArray]:
        """Return the columns over the dates, an array (dates, sids) each."""
        window = Window(self.panels, *self._rows(dates), np.asarray(sids, dtype=np.int64))
        return {
            column: AdjustedArray(
                load_column(window, column).astype(column.dtype, copy=False), {}, column.missing_value
            )
            for column in columns
        }

    def _rows(self, dates: pd.DatetimeIndex) -> tuple[int, int]:
        last = self.panels.row(dates[-1])
        return last - len(dates) + 1, last


def loaders(panels: Panels) -> dict[BoundColumn, EndOfDayLoader]:
    """Return the loader of every end-of-day column."""
    loader = EndOfDayLoader(panels)
    return {column: loader for dataset in END_OF_DAY for column in dataset.columns}
