"""The panels as zipline wants to read them: one class for daily bars, one that says there are no minutes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from zipline.data.bar_reader import NoDataAfterDate, NoDataBeforeDate, NoDataOnDate
from zipline.data.session_bars import SessionBarReader

from engine.calendar import AShareCalendar, calendar
from engine.errors import UsageError
from engine.panels.reader import Panels, yuan


class PanelBarReader(SessionBarReader):
    """Raw daily bars: prices in CNY, volume in shares, NaN and 0 on a session without a bar."""

    def __init__(self, panels: Panels) -> None:
        self.panels = panels
        self._row_number = -1
        self._rows: dict[str, list[Any]] = {}

    @property
    def trading_calendar(self) -> AShareCalendar:
        """The exchange's calendar."""
        return calendar()

    @property
    def sessions(self) -> pd.DatetimeIndex:
        """The sessions held."""
        return self.panels.sessions

    @property
    def first_trading_day(self) -> pd.Timestamp:
        """The first session held."""
        return self.sessions[0]

    @property
    def last_available_dt(self) -> pd.Timestamp:
        """The last session held."""
        return self.sessions[-1]

    def currency_codes(self, sids: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        """Return CNY for every asset."""
        return np.full(len(sids), "CNY", dtype=object)

    def load_raw_arrays(
        self, columns: list[str], start_date: pd.Timestamp, end_date: pd.Timestamp, assets: Any
    ) -> list[npt.NDArray[Any]]:
        """Return one array (sessions, assets) a column; sessions before the first hold nothing."""
        known = calendar().sessions
        last = self.panels.row(end_date)
        first = last - int(known.get_loc(end_date) - known.get_loc(start_date))
        sids = np.fromiter((int(asset) for asset in assets), dtype=np.int64)
        return [self._column(name, first, last, sids) for name in columns]

    def _column(self, name: str, first: int, last: int, sids: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        values = self.panels.window(name, first, last, sids)
        return values.astype(np.int64) if name == "volume" else yuan(values)

    def get_value(self, sid: Any, dt: pd.Timestamp, field: str) -> float:
        """Return one value; NaN (volume: 0) on a session without a bar."""
        row = self._row(dt)
        value = self.row_values(field, row)[int(sid)]
        if field == "volume":
            return int(value)
        return value / 100.0 if value else np.nan

    def row_values(self, field: str, row: int) -> list[Any]:
        """Return one session of a panel as a plain list; the last session asked for is remembered."""
        if row != self._row_number:
            self._row_number, self._rows = row, {}
        if field not in self._rows:
            self._rows[field] = self.panels.field(field)[row].tolist()
        return self._rows[field]

    def get_last_traded_dt(self, asset: Any, day: pd.Timestamp) -> Any:
        """Return the session of the last bar on or before a day, NaT if there is none."""
        row = int(self.panels.field("last_bar")[self._row(day), int(asset)])
        return self.sessions[row] if row >= 0 else pd.NaT

    def _row(self, day: pd.Timestamp) -> int:
        try:
            return self.panels._row_of[day.value]
        except KeyError:
            if day < self.sessions[0]:
                raise NoDataBeforeDate() from None
            if day > self.sessions[-1]:
                raise NoDataAfterDate() from None
            raise NoDataOnDate() from None


class NoMinuteBars:
    """Stands where zipline wants a minute reader: the bundle holds daily bars only."""

    data_frequency = "minute"

    def __init__(self, panels: Panels) -> None:
        self._panels = panels

    @property
    def trading_calendar(self) -> AShareCalendar:
        """The exchange's calendar."""
        return calendar()

    @property
    def first_trading_day(self) -> pd.Timestamp:
        """The first session held."""
        return self._panels.sessions[0]

    @property
    def last_available_dt(self) -> pd.Timestamp:
        """The close of the last session held."""
        return calendar().session_close(self._panels.sessions[-1])

    def _refuse(self, *_: Any) -> Any:
        raise UsageError(
            "minute bars were asked for", "the bundle holds daily bars", "Run with --data-frequency daily."
        )

    get_value = get_last_traded_dt = load_raw_arrays = _refuse
