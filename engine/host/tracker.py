"""zipline's metrics tracker over our ledger, keeping what the run folder needs and winding delisted holdings up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
from zipline.assets import Asset
from zipline.finance.metrics.tracker import MetricsTracker

from engine.host.audit import Audit
from engine.host.ledger import AShareLedger
from engine.host.progress import tell
from engine.market.actions import recovery
from engine.panels.reader import Panels
from engine.report.runs import Diary
from engine.settings import ExecutionSettings

UNKNOWN = ("unknown", "", "0", "0")
"""Terms of a delisting the user's table says nothing of."""


class AShareMetricsTracker(MetricsTracker):
    """Keeps a diary of closes and holdings, and winds a delisted position up at what is recovered of it.

    Parameters
    ----------
    diary : Diary
        Where each session's close is noted.
    panels : Panels
        The bundle.
    settings : ExecutionSettings
        How actions are carried out.
    audit : Audit or None
        The second book, where one is kept.
    """

    def __init__(
        self, diary: Diary, panels: Panels, settings: ExecutionSettings, audit: Audit | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.diary, self._panels = diary, panels
        self._ledger = AShareLedger(
            self._sessions, kwargs["capital_base"], kwargs["data_frequency"], panels, settings, diary
        )
        self._audit = audit

    @property
    def ledger(self) -> AShareLedger:
        """The ledger, with its lots."""
        return self._ledger

    def handle_market_open(self, session_label: pd.Timestamp, data_portal: Any) -> None:
        """Carry out the session's corporate actions."""
        super().handle_market_open(session_label, data_portal)
        self._tell(lambda audit: audit.open(session_label))

    def process_transaction(self, transaction: Any) -> None:
        """Enter a fill."""
        super().process_transaction(transaction)
        self._tell(lambda audit: audit.fill(transaction))

    def process_commission(self, commission: dict[str, Any]) -> None:
        """Charge what a fill cost."""
        super().process_commission(commission)
        self._tell(lambda audit: audit.charge(commission))

    def capital_change(self, amount: float) -> None:
        """Take capital in or out."""
        super().capital_change(amount)
        self._tell(lambda audit: audit.capital(amount))

    def handle_market_close(self, moment: Any, data_portal: Any) -> dict[str, Any]:
        """Note the session, then make zipline's packet."""
        session = self._current_session
        packet: dict[str, Any] = super().handle_market_close(moment, data_portal)
        self.diary.close(
            session.date(), self.portfolio.cash, self.portfolio.portfolio_value, self._held(session.date())
        )
        self._tell(lambda audit: audit.close(session, self.portfolio, self._ledger.holdings))
        tell(len(self.diary.closes), len(self._sessions))
        return packet

    def process_close_position(self, asset: Asset, day: pd.Timestamp, data_portal: Any) -> None:
        """Wind a holding up on its first session after delisting (SPEC 9)."""
        position = self.positions.get(asset)
        if position is None:
            return
        held, last = int(position.amount), position.last_sale_price
        kind, successor, ratio, cash = self._panels.assets[asset.sid].delisting or UNKNOWN
        into = self._asset_of(successor)
        recovered = Decimal(cash)
        if kind != "absorption" or not (recovered or (into is not None and Decimal(ratio))):
            recovered, into = Decimal(repr(float(last))) * recovery(kind, day.date()), None
        self._ledger.leave(asset, day, recovered, into, Decimal(ratio))
        self.diary.write_down(day.date(), asset.sid, held, last, kind)
        self._tell(lambda audit: audit.leave(asset.sid, recovered, into and into.sid, Decimal(ratio)))

    def _held(self, day: dt.date) -> list[tuple[int, int, int, float, float]]:
        """Return (sid, shares, sellable that session, cost, price) of each position."""
        sellable = self._ledger.holdings.sellable
        return [
            (asset.sid, int(held.amount), sellable(asset.sid, day), held.cost_basis, held.last_sale_price)
            for asset, held in self.positions.items()
        ]

    def _asset_of(self, code: str) -> Asset | None:
        for asset in self._panels.assets if code else ():
            if asset.ts_code == code:
                return self._asset_finder.retrieve_asset(asset.sid)
        return None

    def _tell(self, what: Callable[[Audit], None]) -> None:
        if self._audit is not None:
            what(self._audit)
