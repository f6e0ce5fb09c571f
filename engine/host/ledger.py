"""zipline's ledger with China's corporate actions: it carries out itself what zipline's tables cannot say.

zipline pays fractions of bonus shares in cash, never pays a dividend whose day is no session, knows neither
rights issues nor a tax on dividends. Here the actions of the panels are carried out to the share and the fen.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
from zipline.assets import Asset
from zipline.finance.ledger import Ledger
from zipline.finance.transaction import Transaction

from engine.execution.holdings import Holdings
from engine.market.actions import to_fen, whole_shares, withheld_at_payment
from engine.panels.actions import Action
from engine.panels.reader import Panels
from engine.report.runs import Diary
from engine.settings import ExecutionSettings


@dataclass(frozen=True)
class Payable:
    """A dividend that was earned and is not paid yet.

    Attributes
    ----------
    day : date
        The session whose open pays it.
    sid : int
        The stock.
    gross, withheld : Decimal
        CNY before tax, and the tax taken from it at once.
    """

    day: dt.date
    sid: int
    gross: Decimal
    withheld: Decimal


class AShareLedger(Ledger):
    """Keeps the lots beside zipline's positions and carries corporate actions out.

    Parameters
    ----------
    panels : Panels
        The bundle, with its actions.
    settings : ExecutionSettings
        Whether dividends are taxed and rights taken up.
    diary : Diary
        Where every action that touched a holding is noted.

    Attributes
    ----------
    holdings : Holdings
        The lots.
    owed : list of (int, Decimal)
        Tax no cash was there for: stock, CNY.
    """

    def __init__(
        self,
        sessions: pd.DatetimeIndex,
        capital: float,
        frequency: str,
        panels: Panels,
        settings: ExecutionSettings,
        diary: Diary,
    ) -> None:
        super().__init__(sessions, capital, frequency)
        self.holdings = Holdings()
        self._panels, self._settings, self._diary = panels, settings, diary
        self.owed: list[tuple[int, Decimal]] = []
        self._payable: dict[dt.date, list[Payable]] = defaultdict(list)

    def payable(self) -> Iterator[Payable]:
        """Yield what is earned and not paid, in the order it was earned on each day."""
        for day in sorted(self._payable):
            yield from self._payable[day]

    def owe(self, dividend: Payable) -> None:
        """Note a dividend to be paid."""
        self._payable[dividend.day].append(dividend)

    def process_dividends(self, next_session: pd.Timestamp, asset_finder: Any, adjustment_reader: Any) -> None:
        """Carry out the actions of a session before its open: dividends earned and paid, bonus shares, rights."""
        row = self._panels.row(next_session)
        held = {asset.sid: (asset, int(position.amount)) for asset, position in self.position_tracker.positions.items()}
        self._pay(next_session.date())
        for action in self._panels.actions.on(row):
            if action.sid in held:
                self._carry_out(action, *held[action.sid], next_session)
                self._pay(next_session.date())

    def process_splits(self, splits: Any) -> None:
        """Do nothing: the bonus shares came with the actions of the session."""

    def process_commission(self, commission: dict[str, Any]) -> None:
        """Charge fees and taxes of a fill; those of a sell do not make the rest of the holding dearer."""
        if commission["order"].amount > 0:
            super().process_commission(commission)
        else:
            self._cash_flow(-commission["cost"])
        if commission.get("tax"):
            session = commission["order"].dt.date()
            self._book(session, commission["asset"].sid, "dividend_tax", 0, -Decimal(repr(commission["tax"])))

    def leave(self, asset: Asset, day: pd.Timestamp, recovered: Decimal, into: Asset | None, shares: Decimal) -> None:
        """Turn a delisted holding into what is recovered of it.

        Parameters
        ----------
        asset : Asset
            Held, and no longer listed.
        day : Timestamp
            The session.
        recovered : Decimal
            Cash a share, CNY.
        into, shares : Asset or None, Decimal
            The absorbing stock, and its shares a share.
        """
        position = self.position_tracker.positions[asset]
        held, cost = int(position.amount), position.cost_basis * position.amount
        cash = to_fen(held * recovered)
        self.process_transaction(Transaction(asset, -held, day, float(cash) / held, None))
        self.holdings.clear(asset.sid)
        self._diary.note(day.date(), asset.sid, "delisted", -held, float(cash))
        got = whole_shares(held, shares) if into is not None else 0
        if into is not None and got:
            self._receive(into, got, cost, day)

    def _pay(self, day: dt.date) -> None:
        for due in sorted(due for due in self._payable if due <= day):
            for one in self._payable.pop(due):
                self._book(day, one.sid, "dividend", 0, one.gross)
                self.owed.append((one.sid, one.withheld))
        self._withhold(day)

    def _withhold(self, day: dt.date) -> None:
        """Take the tax that is owed as far as the cash goes; bonus shares alone bring none to pay theirs."""
        left = []
        for sid, owed in self.owed:
            cash = to_fen(Decimal(repr(float(self._portfolio.cash))))
            taken = min(owed, max(cash, Decimal(0)))
            self._book(day, sid, "tax_withheld", 0, -taken)
            if taken < owed:
                left.append((sid, owed - taken))
        self.owed = left

    def _receive(self, asset: Asset, shares: int, cost: float, day: pd.Timestamp) -> None:
        before = self.position_tracker.positions.get(asset)
        held, paid = (before.amount, before.amount * before.cost_basis) if before is not None else (0, 0.0)
        self.position_tracker.update_position(
            asset, amount=held + shares, cost_basis=(paid + cost) / (held + shares), last_sale_price=cost / shares
        )
        self.holdings.add(asset.sid, shares, day.date())
        self._diary.note(day.date(), asset.sid, "absorbed", shares, 0.0)
        self._dirty_portfolio = True

    def _carry_out(self, action: Action, asset: Asset, entitled: int, session: pd.Timestamp) -> None:
        """Carry one action out for the shares held before any of the session's actions."""
        day = session.date()
        if action.cash or action.taxed_shares:
            self._earn(action, entitled)
        new = whole_shares(entitled, action.shares)
        if new:
            position = self.position_tracker.positions[asset]
            before, after = int(position.amount), int(position.amount) + new
            self.position_tracker.update_position(asset, amount=after, cost_basis=position.cost_basis * before / after)
            # bonus shares may be sold on the ex-session already
            self.holdings.add(asset.sid, new, day, locked_until=day - dt.timedelta(days=1))
            self._diary.note(day, asset.sid, "bonus", new, 0.0)
            self._dirty_portfolio = True
        if action.rights and self._settings.rights == "subscribe":
            self._subscribe(action, asset, entitled, session)

    def _earn(self, action: Action, held: int) -> None:
        """Owe a dividend to the holder of the record date, and note what tax will fall due."""
        taxed = action.cash + action.taxed_shares
        rate = withheld_at_payment(action.record) if self._settings.dividend_tax else Decimal(0)
        day = self._panels.day_of(action.pay_row)
        self.owe(Payable(day, action.sid, to_fen(held * action.cash), to_fen(held * taxed * rate)))
        if self._settings.dividend_tax:
            self.holdings.entitle(action.sid, action.record, taxed)

    def _subscribe(self, action: Action, asset: Asset, held: int, session: pd.Timestamp) -> None:
        """Take rights up as far as the cash goes."""
        affordable = int(to_fen(Decimal(repr(float(self._portfolio.cash)))) / action.rights_price)
        shares = min(whole_shares(held, action.rights), max(affordable, 0))
        if shares:
            price = float(action.rights_price)
            self.process_transaction(Transaction(asset, shares, session, price, None))
            self.holdings.add(asset.sid, shares, session.date(), locked_until=self._locked_until(action.list_row))
        self._diary.note(session.date(), asset.sid, "rights", shares, -shares * float(action.rights_price))

    def _locked_until(self, row: int) -> dt.date:
        """Return the day before a session, and the end of time for one nobody knows the day of."""
        first = self._panels.day_of(row)
        return first if first == dt.date.max else first - dt.timedelta(days=1)

    def _book(self, day: dt.date, sid: int, kind: str, shares: int, cash: Decimal) -> None:
        if cash or shares:
            self._cash_flow(float(cash))
            self._diary.note(day, sid, kind, shares, float(cash))
