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
