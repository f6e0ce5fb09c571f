"""zipline's data portal over panels: the same answers, without walking back day by day through a suspension."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from zipline.data.data_portal import DataPortal

from engine.calendar import NAME
from engine.errors import WrongCalendar
from engine.panels.bars import PanelBarReader


class AShareDataPortal(DataPortal):
    """A portal whose daily values come from ``PanelBarReader``.

    Raises
    ------
    WrongCalendar
        The run uses another exchange's calendar.
    """

    def __init__(self, asset_finder: Any, trading_calendar: Any, *args: Any, **kwargs: Any) -> None:
        if trading_calendar.name != NAME:
            raise WrongCalendar(
                f"calendar {trading_calendar.name} does not fit this bundle",
                f"its sessions are those of {NAME}",
                f"Add --trading-calendar {NAME}.",
            )
        self.bars: PanelBarReader = kwargs["equity_daily_reader"]
        super().__init__(asset_finder, trading_calendar, *args, **kwargs)
        self._moment: Any = None
        self._closes: list[Any] = []

    def get_scalar_asset_spot_value(self, asset: Any, field: str, dt: pd.Timestamp, data_frequency: str) -> Any:
        """Return a value of an asset, as zipline does; the close of a session with a bar is looked up at once.

        zipline asks for the price of each holding at each close by itself, which is most of what it asks for.
        """
        if field == "price" and data_frequency == "daily" and not self._augmented_sources_map:
            if dt is not self._moment:
                row = self.bars.panels.row(self.trading_calendar.minute_to_session(dt))
                self._moment, self._closes = dt, self.bars.row_values("close", row)
            close = self._closes[asset.sid]
            if close:
                return close / 100.0
        return super().get_scalar_asset_spot_value(asset, field, dt, data_frequency)

    def _get_daily_spot_value(self, asset: Any, column: str, dt: pd.Timestamp) -> Any:
        if column != "price":
            return super()._get_daily_spot_value(asset, column, dt)
        price = self.bars.get_value(asset.sid, dt, "close")
        if not np.isnan(price):
            return price
        traded = self.bars.get_last_traded_dt(asset, dt)
        if pd.isnull(traded):
            return np.nan
        price = self.bars.get_value(asset.sid, traded, "close")
        carried = self.get_adjusted_value(asset, "price", traded, dt, "daily", spot_value=price)
        return round(carried, 2)  # an ex-rights reference price has no fractions of a fen
