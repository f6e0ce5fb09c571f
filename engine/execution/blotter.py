"""zipline's blotter under A-share rules: day orders, filled or refused with a reason at the next session."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
from zipline.assets import Asset, Equity
from zipline.finance.blotter import SimulationBlotter
from zipline.finance.commission import NoCommission
from zipline.finance.order import Order as ZiplineOrder
from zipline.finance.slippage import LiquidityExceeded, NoSlippage
from zipline.finance.transaction import Transaction, create_transaction

from engine.execution.costs import Fees, account_commission
from engine.execution.fills import Bar, Order, Outcome, Position, Terms, settle
from engine.execution.holdings import Holdings
from engine.market.actions import whole_shares
from engine.panels.bars import PanelBarReader
from engine.panels.store import LISTED
from engine.panels.store import Asset as Listing
from engine.settings import ExecutionSettings
from engine.types import Reason, Side


class Account(Protocol):
    """What the blotter must know of the ledger at the open, and tell it of the lots."""

    def cash(self) -> float:
        """Return the cash, CNY."""
        ...

    def net_value(self) -> float:
        """Return the net value at the last close, CNY."""
        ...

    @property
    def holdings(self) -> Holdings:
        """The lots."""
        ...


@dataclass(frozen=True)
class OrderRow:
    """One order in one session: a row of ``orders.parquet``."""

    order_id: str
    decided: dt.date
    session: dt.date | None
    ts_code: str
    side: Side
    requested: int
    filled: int
    price: float
    commission: float
    stamp_duty: float
    transfer_fee: float
    reason: Reason


@dataclass(frozen=True)
class Waiting:
    """An order that no session has met yet.

    Attributes
    ----------
    amount : int
        Shares, a sale's negative.
    limit : float or None
        CNY.
    capped, cap : bool, float or None
        Whether the cap of one position binds it, and the cap in force when the last order was placed.
    created, changed : Timestamp
        When it was placed, and when anything last happened to it.
    cancelled : bool
        The script has cancelled it since: it will be on record as such.
    """

    order_id: str
    asset: Asset
    amount: int
    limit: float | None
    capped: bool
    created: pd.Timestamp
    changed: pd.Timestamp
    cancelled: bool = False
    cap: float | None = None


class AShareBlotter(SimulationBlotter):
    """Holds orders until the next bar, then lets ``fills.settle`` decide.

    An order of T's close meets T+1.

    Parameters
    ----------
    bars : PanelBarReader
        The market.
    settings : ExecutionSettings
        Fill price, costs, cuts.

    Attributes
    ----------
    rows : list of OrderRow
        How every order ended.
    halted : frozenset of Side
        Sides of which no order is taken.
    traded : callable or None
        How orders ended that somebody carried out; None where the bars decide.

    Notes
    -----
    A script's ``set_commission`` replaces the account's commission, its ``set_slippage`` adds on top of the
    fill price (by the ratio it makes of the session's close); duties and rules always apply.
    """

    def __init__(self, bars: PanelBarReader, settings: ExecutionSettings) -> None:
        super().__init__(equity_slippage=NoSlippage(), equity_commission=_AccountCommission())
        self.bars, self.settings = bars, settings
        self.rows: list[OrderRow] = []
        self.halted: frozenset[Side] = frozenset()
        self.traded: Callable[[list[Order], Callable[[int], Bar], Terms], Iterable[Outcome]] | None = None
        self._account: Account | None = None
        self._queue: list[str] = []
        self._placed: Counter[str] = Counter()
        self._cap: float | None = None
        self._capped: set[str] = set()

    def attach(self, account: Account) -> None:
        """Say whose cash and shares the orders trade."""
        self._account = account

    @contextmanager
    def capped(self, share: float | None) -> Iterator[None]:
        """Bind the buys placed inside: at their fill, no name may be worth more than this share of the net value."""
        self._cap = share
        first = len(self._queue)
        try:
            yield
        finally:
            self._capped.update(self._queue[first:])

    def order(self, asset: Asset, amount: int, style: Any, order_id: str | None = None) -> str | None:
        """Place a day order for the next session; its id is session, code and side, and a number from the second on.

        Stop orders are refused at once: no daily bar says whether a stop was met before or after. So are orders of a
        side that is halted.
        """
        placed = super().order(asset, amount, style, order_id or self._next_id(asset, amount))
        if placed is None:
            return None
        refused = Reason.STOP_ORDER if self.orders[placed].stop is not None else self._halted(amount)
        if refused is not None:
            self._record(Outcome(self._as_order(placed, self._session()), 0, math.nan, Fees(), refused), placed, None)
            self.reject(placed, refused)
        else:
            self._queue.append(placed)
        return placed

    def _next_id(self, asset: Asset, amount: int) -> str:
        session = self._session()
        side = "B" if amount > 0 else "S"
        base = f"{session:%Y%m%d}-{self._listing(asset).code_on(session)}-{side}"
        if not amount:
            return base  # zipline places none
        self._placed[base] += 1
        return base if self._placed[base] == 1 else f"{base}-{self._placed[base]}"

    def _halted(self, amount: int) -> Reason | None:
        return Reason.HALTED if (Side.BUY if amount > 0 else Side.SELL) in self.halted else None

    def get_transactions(self, bar_data: Any) -> tuple[list[Transaction], list[dict[str, Any]], list[Any]]:
        """Settle every order of the session before: each is filled or dies, with its reason on record."""
        queue, self._queue = self._queue, []
        if not queue:
            self._cap = None
            return [], [], []
        assert self._account is not None, "the blotter was never attached to an account"
        session = self._session()
        for order_id in queue:
            if not self.orders[order_id].open:
                self._record(
                    Outcome(self._as_order(order_id, session), 0, math.nan, Fees(), Reason.CANCELLED), order_id, session
                )
        live = [self._as_order(order_id, session) for order_id in queue if self.orders[order_id].open]
        holdings = self._account.holdings
        positions = {
            order.sid: Position(holdings.held(order.sid), holdings.sellable(order.sid, session)) for order in live
        }
        terms = self._terms(session, bar_data)
        transactions, commissions = [], []
        bar_of, cash = self._bar_of(session), self._account.cash()
        done = settle(live, bar_of, cash, positions, terms) if self.traded is None else self.traded(live, bar_of, terms)
        for outcome in done:
            self._record(outcome, outcome.order.order_id, session)
            if outcome.filled:
                transaction, commission = self._execute(outcome)
                transactions.append(transaction)
                commissions.append(commission)
        closed = [self.orders[order.order_id] for order in live if not self.orders[order.order_id].open]
        for order in live:
            self.cancel(order.order_id)
        self._cap, self._capped = None, set()
        return transactions, commissions, closed

    def process_splits(self, splits: list[tuple[Asset, float]]) -> None:
        """Adjust waiting orders for the bonus shares of the session, in whole shares."""
        session = self._session()
        row = self.bars.panels.row(pd.Timestamp(session))
        for asset in {asset for asset, _ in splits}:  # zipline names a stock once a plan
            shares = self.bars.panels.actions.shares_of(asset.sid, row)
            for order in self.open_orders.get(asset, ()):
                more = whole_shares(abs(order.amount), shares)
                order.amount += more if order.amount > 0 else -more
                if order.limit is not None:
                    order.limit = round(order.limit / (1 + float(shares)), 2)

    def waiting(self) -> list[Waiting]:
        """Return the orders that the next session will meet, in the order they were placed."""
        return [
            Waiting(
                one.id,
                one.asset,
                int(one.amount),
                one.limit,
                one.id in self._capped,
                one.created,
                one.dt,
                not one.open,
                self._cap,
            )
            for one in (self.orders[order_id] for order_id in self._queue)
        ]

    def restore(self, orders: Iterable[Waiting]) -> None:
        """Take over orders of the session before, as if they had been placed here."""
        for one in orders:
            placed = ZiplineOrder(one.created, one.asset, one.amount, limit=one.limit, id=one.order_id)
            self.orders[one.order_id] = placed
            self._queue.append(one.order_id)
            placed.dt = one.changed
            open_orders = self.open_orders[one.asset]  # of a cancelled order an empty list is left
            if one.cancelled:
                placed.cancel()
            else:
                open_orders.append(placed)
            self._cap = one.cap
            if one.capped:
                self._capped.add(one.order_id)

    def closed(self) -> list[ZiplineOrder]:
        """Return the orders that have ended, in the order they were placed."""
        waiting = set(self._queue)
        return [order for order_id, order in self.orders.items() if order_id not in waiting]

    def unsettled(self) -> Iterator[OrderRow]:
        """Yield a row for each order that no session was left for."""
        session = self._session()
        for order_id in self._queue:
            reason = Reason.RUN_ENDED if self.orders[order_id].open else Reason.CANCELLED
            outcome = Outcome(self._as_order(order_id, session), 0, math.nan, Fees(), reason)
            yield self._row(outcome, order_id, None)

    def _session(self) -> dt.date:
        return self.current_dt.date()

    def _listing(self, asset: Asset) -> Listing:
        return self.bars.panels.assets[asset.sid]

    def _as_order(self, order_id: str, session: dt.date) -> Order:
        placed = self.orders[order_id]
        listing = self._listing(placed.asset)
        return Order(
            order_id=order_id,
            sid=placed.asset.sid,
            ts_code=listing.code_on(session),
            board=listing.board,
            side=Side.BUY if placed.amount > 0 else Side.SELL,
            shares=abs(int(placed.amount)),
            limit=placed.limit,
            capped=order_id in self._capped,
        )

    def _bar_of(self, session: dt.date) -> Any:
        row = self.bars.panels.row(pd.Timestamp(session))
        names = ("open", "high", "low", "close", "up_limit", "down_limit", "volume", "amount")

        def bar(sid: int) -> Bar:
            values = {name: self.bars.row_values(name, row)[sid] for name in names}
            return Bar(**values, listed=bool(self.bars.row_values("status", row)[sid] & LISTED))

        return bar

    def _terms(self, session: dt.date, bar_data: Any) -> Terms:
        commission, slippage = self.commission_models[Equity], self.slippage_models[Equity]
        own_commission, own_slippage = not isinstance(commission, _AccountCommission), type(slippage) is not NoSlippage

        def charge(order: Order, shares: int, price: float) -> float:
            if not own_commission:
                return account_commission(shares * price, self.settings)
            signed = shares if order.side is Side.BUY else -shares
            placed = self.orders[order.order_id]
            fill = Transaction(placed.asset, signed, self.current_dt, price, order.order_id)
            return float(commission.calculate(placed, fill))

        def slip(order: Order, price: float) -> float:
            if not own_slippage:
                return price
            placed = self.orders[order.order_id]
            limit, placed.limit = placed.limit, None  # it is held against the slipped price, not the model's close
            try:
                slipped, _ = slippage.process_order(bar_data, placed)
            except LiquidityExceeded:
                return price
            finally:
                placed.limit = limit
            return price if slipped is None else price * slipped / bar_data.current(placed.asset, "close")

        assert self._account is not None
        holdings = self._account.holdings

        def tax(order: Order, shares: int) -> float:
            return float(holdings.tax_on_sale(order.sid, shares, session)) if self.settings.dividend_tax else 0.0

        def release(order: Order, shares: int) -> None:
            holdings.sell(order.sid, shares, session)

        largest = None if self._cap is None else self._cap * self._account.net_value()
        return Terms(session, self.settings, charge, slip, tax, release, largest)

    def _execute(self, outcome: Outcome) -> tuple[Transaction, dict[str, Any]]:
        order = self.orders[outcome.order.order_id]
        amount = outcome.filled if outcome.order.side is Side.BUY else -outcome.filled
        transaction = create_transaction(order, self.current_dt, outcome.price, amount)
        order.filled += amount
        order.commission += outcome.fees.total
        order.dt = self.current_dt
        if outcome.order.side is Side.BUY:
            assert self._account is not None
            self._account.holdings.add(order.asset.sid, outcome.filled, self._session())
        charge = {"asset": order.asset, "order": order, "cost": outcome.fees.total, "tax": outcome.tax}
        return transaction, charge

    def _record(self, outcome: Outcome, order_id: str, session: dt.date | None) -> None:
        self.rows.append(self._row(outcome, order_id, session))

    def _row(self, outcome: Outcome, order_id: str, session: dt.date | None) -> OrderRow:
        return OrderRow(
            order_id=order_id,
            decided=self.orders[order_id].created.date(),
            session=session,
            ts_code=outcome.order.ts_code,
            side=outcome.order.side,
            requested=outcome.order.shares,
            filled=outcome.filled,
            price=outcome.price,
            commission=outcome.fees.commission,
            stamp_duty=outcome.fees.stamp_duty,
            transfer_fee=outcome.fees.transfer_fee,
            reason=outcome.reason,
        )


class _AccountCommission(NoCommission):
    """Marks that the account's commission of the settings applies."""
