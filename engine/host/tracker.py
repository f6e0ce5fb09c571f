"""zipline's metrics tracker, keeping what the run folder needs and writing delisted holdings down."""

from __future__ import annotations

from typing import Any

from zipline.finance.metrics.tracker import MetricsTracker
from zipline.finance.transaction import Transaction

from engine.report.runs import Diary


class AShareMetricsTracker(MetricsTracker):
    """Keeps a diary of closes and holdings, and closes a delisted position at what is recovered of it: nothing.

    Parameters
    ----------
    diary : Diary
        Where each session's close is noted.
    """

    def __init__(self, diary: Diary, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.diary = diary

    def handle_market_close(self, dt: Any, data_portal: Any) -> dict[str, Any]:
        """Note the session, then make zipline's packet."""
        session = self._current_session
        packet: dict[str, Any] = super().handle_market_close(dt, data_portal)
        self.diary.close(session.date(), self.portfolio.cash, self.portfolio.portfolio_value, self.positions)
        return packet

    def process_close_position(self, asset: Any, dt: Any, data_portal: Any) -> None:
        """Write a holding down to zero on its first session after delisting (SPEC 9)."""
        position = self.positions.get(asset)
        if position is None:
            return
        self.diary.write_down(dt.date(), asset.sid, position.amount, position.last_sale_price)
        self._ledger.process_transaction(Transaction(asset, -position.amount, dt, 0.0, None))
