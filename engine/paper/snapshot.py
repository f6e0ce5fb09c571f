"""Everything zipline knows of an account after a session, as JSON, and back into a new algorithm of the next session.

A session of paper trading is a simulation of one day that begins with what the session before left. Amounts are the
ledger's own doubles, to the last bit; stocks go by their first code, since their numbers change with new listings.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
from zipline.assets import Asset, AssetFinder
from zipline.finance.order import ORDER_STATUS
from zipline.finance.order import Order as ZiplineOrder

from engine.errors import Damaged
from engine.execution.blotter import Waiting
from engine.execution.holdings import Holdings, Lot
from engine.host.ledger import AShareLedger, Payable
from engine.panels.reader import Panels
from engine.types import Reason

FORMAT = 1
_AMOUNTS = ("cash", "starting_cash", "portfolio_value", "positions_value", "positions_exposure", "pnl", "returns")
"""Of zipline's portfolio; ``cash_flow`` too."""

Json = dict[str, Any]


class Names:
    """The stocks of a bundle by their first code.

    Parameters
    ----------
    panels : Panels
        The bundle.
    finder : AssetFinder
        Zipline's assets of it.
    """

    def __init__(self, panels: Panels, finder: AssetFinder) -> None:
        self._codes = [asset.first_code for asset in panels.assets]
        self._sids = {code: sid for sid, code in enumerate(self._codes)}
        self._finder = finder

    def code(self, stock: Any) -> str:
        """Return the first code of an asset or its number."""
        return self._codes[int(stock)]

    def sid(self, code: str) -> int:
        """Return the number of a stock.

        Raises
        ------
        Damaged
            The bundle has no such stock.
        """
        try:
            return self._sids[code]
        except KeyError:
            raise Damaged(
                f"the account holds or remembers {code}",
                "the bundle has no such stock",
                "Build it from the whole lake.",
            ) from None

    def asset(self, code: str) -> Asset:
        """Return the asset of a first code."""
        return self._finder.retrieve_asset(self.sid(code))


def ledger_to_json(ledger: AShareLedger, names: Names) -> Json:
    """Write a ledger down: portfolio, positions, lots, what is owed and what will be paid."""
    portfolio = ledger.portfolio
    positions = [
        [names.code(asset.sid), int(held.amount), *_prices(held)]
        for asset, held in ledger.position_tracker.positions.items()
    ]
    return {
        "portfolio": {name: float(getattr(portfolio, name)) for name in (*_AMOUNTS, "cash_flow")},
        "start": portfolio.start_date.isoformat(),
        "positions": positions,
        "lots": {names.code(sid): [_lot_to_json(lot) for lot in lots] for sid, lots in ledger.holdings.lots()},
        "owed": [[names.code(sid), str(amount)] for sid, amount in ledger.owed],
        "payable": [[str(one.day), names.code(one.sid), str(one.gross), str(one.withheld)] for one in ledger.payable()],
    }


def restore_ledger(ledger: AShareLedger, value: Json, names: Names) -> None:
    """Make a new ledger what one was that was written down."""
    tracker = ledger.position_tracker
    for code, amount, cost, price, day in value["positions"]:
        tracker.update_position(names.asset(code), amount, price, _instant(day), cost)
    lots = {names.sid(code): [_lot(one) for one in held] for code, held in value["lots"].items()}
    ledger.holdings = Holdings(lots)
    ledger.owed = [(names.sid(code), Decimal(amount)) for code, amount in value["owed"]]
    for day, code, gross, withheld in value["payable"]:
        ledger.owe(Payable(dt.date.fromisoformat(day), names.sid(code), Decimal(gross), Decimal(withheld)))
    view = ledger._portfolio
    for name, amount in value["portfolio"].items():
        setattr(view, name, amount)
    view.start_date = pd.Timestamp(value["start"])
    view.positions = tracker.get_positions()
    ledger._dirty_portfolio = False  # nothing has happened since: another sum could differ in its last bit


def _prices(held: Any) -> tuple[float, float, str | None]:
    sold = held.last_sale_date
    return float(held.cost_basis), float(held.last_sale_price), None if sold is None else pd.Timestamp(sold).isoformat()


def _instant(day: str | None) -> pd.Timestamp | None:
    return None if day is None else pd.Timestamp(day)


def _lot_to_json(lot: Lot) -> list[Any]:
    taxable = [[str(record), str(amount)] for record, amount in lot.taxable]
    return [str(lot.acquired), str(lot.locked_until), lot.shares, taxable]


def _lot(value: list[Any]) -> Lot:
    acquired, locked, shares, taxable = value
    day = dt.date.fromisoformat
    return Lot(day(acquired), day(locked), shares, [(day(record), Decimal(amount)) for record, amount in taxable])


def closed_to_json(order: ZiplineOrder, names: Names) -> Json:
    """Write down an order that has ended: a script may ask for it at any time."""
    return {
        "id": order.id,
        "code": names.code(order.asset.sid),
        "amount": int(order.amount),
        "filled": int(order.filled),
        "commission": float(order.commission) if order.commission else 0,
        "stop": _price(order.stop),
        "limit": _price(order.limit),
        "created": order.created.isoformat(),
        "dt": order.dt.isoformat(),
        "status": order._status.name,
        "reason": order.reason,
    }


def closed_from_json(value: Json, names: Names) -> ZiplineOrder:
    """Read an order that has ended back."""
    order = ZiplineOrder(
        _moment(value["created"]),
        names.asset(value["code"]),
        value["amount"],
        stop=value["stop"],
        limit=value["limit"],
        filled=value["filled"],
        commission=value["commission"],
        id=value["id"],
    )
    order.dt, order.status = _moment(value["dt"]), ORDER_STATUS[value["status"]]
    order.reason = value["reason"] and Reason(value["reason"])
    return order


def _price(value: float | None) -> float | None:
    return None if value is None else float(value)


def _moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text).tz_convert(dt.UTC)


def orders_to_json(orders: list[Waiting], names: Names) -> list[Json]:
    """Write down the orders that wait for the next session."""
    return [
        {
            "id": one.order_id,
            "code": names.code(one.asset.sid),
            "amount": one.amount,
            "limit": _price(one.limit),
            "capped": one.capped,
            "cap": one.cap,
            "created": one.created.isoformat(),
            "changed": one.changed.isoformat(),
            "cancelled": one.cancelled,
        }
        for one in orders
    ]


def orders_from_json(values: list[Json], names: Names) -> list[Waiting]:
    """Read the waiting orders back."""
    return [
        Waiting(
            one["id"],
            names.asset(one["code"]),
            one["amount"],
            one["limit"],
            one["capped"],
            _moment(one["created"]),
            _moment(one["changed"]),
            one["cancelled"],
            one["cap"],
        )
        for one in values
    ]
