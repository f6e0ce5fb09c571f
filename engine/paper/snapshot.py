"""Everything zipline knows of an account after a session, as JSON, and back into a new algorithm of the next session.

A session of paper trading is a simulation of one day that begins with what the session before left. Amounts are the
ledger's own doubles, to the last bit; stocks go by their first code, since their numbers change with new listings.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6}(\d{3})?)?([+-]\d\d:\d\d)?", re.ASCII)
_MOST = 10**15
"""More shares than there are."""
_DIGITS = 30
"""Of an amount before and after the point."""

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

    def fetch(self, codes: Iterable[str]) -> None:
        """Read many assets at once: one after the other, each takes queries of its own."""
        self._finder.retrieve_all([self.sid(code) for code in codes])


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
    """Make a new ledger what one was that was written down.

    Raises
    ------
    Damaged
        It is not what ``ledger_to_json`` wrote, or holds a stock the bundle has not; the ledger is as it was.
    """
    with _checked("the ledger"):
        view = {name: _number(value["portfolio"][name]) for name in (*_AMOUNTS, "cash_flow")}
        start = _moment(value["start"])
        names.fetch(one[0] for one in _list(value["positions"]))
        positions = [_position(one, names) for one in _list(value["positions"])]
        lots = {names.sid(code): [_lot(one) for one in _list(held)] for code, held in value["lots"].items()}
        owed = [(names.sid(_text(code)), _amount(amount)) for code, amount in _list(value["owed"])]
        payable = [_payable(one, names) for one in _list(value["payable"])]
    tracker = ledger.position_tracker
    for asset, amount, cost, price, sold in positions:
        tracker.update_position(asset, amount, price, sold, cost)
    ledger.holdings, ledger.owed = Holdings(lots), owed
    for one in payable:
        ledger.owe(one)
    portfolio = ledger._portfolio
    for name, number in view.items():
        setattr(portfolio, name, number)
    portfolio.start_date = start
    portfolio.positions = tracker.get_positions()
    ledger._dirty_portfolio = False  # nothing has happened since: another sum could differ in its last bit


@contextmanager
def _checked(what: str) -> Iterator[None]:
    """Tell whatever is wrong with values that were read as damage of their place."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"[:300]
        raise Damaged(f"{what} of the session before cannot be read back", why, "Restore it from a backup.") from None


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError("no list")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) > _MOST:
        raise TypeError("no number of shares")
    return value


def _number(value: Any) -> float:
    if type(value) is not float:
        raise TypeError("no amount")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError("neither true nor false")
    return value


def _amount(value: Any) -> Decimal:
    """Return an exact amount; one with many zeros would take the machine's memory to calculate with."""
    found = Decimal(_text(value))
    if not found.is_finite() or abs(found.adjusted()) > _DIGITS or str(found) != value:
        raise ValueError(f"{value[:40]!r} is no amount")
    return found


def _day(value: Any) -> dt.date:
    found = dt.date.fromisoformat(_text(value))
    if str(found) != value:
        raise ValueError(f"{value[:40]!r} is no day")
    return found


def _moment(value: Any) -> pd.Timestamp:
    if not _MOMENT.fullmatch(_text(value)):  # pandas reads "now" too, and guesses
        raise ValueError(f"{value[:40]!r} is no moment")
    return pd.Timestamp(value).as_unit("ns")


def _position(value: Any, names: Names) -> tuple[Asset, int, float, float, pd.Timestamp | None]:
    code, amount, cost, price, sold = _list(value)
    asset = names.asset(_text(code))
    return asset, _whole(amount), _number(cost), _number(price), None if sold is None else _moment(sold)


def _payable(value: Any, names: Names) -> Payable:
    day, code, gross, withheld = _list(value)
    return Payable(_day(day), names.sid(_text(code)), _amount(gross), _amount(withheld))


def _prices(held: Any) -> tuple[float, float, str | None]:
    sold = held.last_sale_date
    return float(held.cost_basis), float(held.last_sale_price), None if sold is None else pd.Timestamp(sold).isoformat()


def _lot_to_json(lot: Lot) -> list[Any]:
    taxable = [[str(record), str(amount)] for record, amount in lot.taxable]
    return [str(lot.acquired), str(lot.locked_until), lot.shares, taxable]


def _lot(value: Any) -> Lot:
    acquired, locked, shares, taxable = _list(value)
    dividends = [(_day(record), _amount(amount)) for record, amount in _list(taxable)]
    return Lot(_day(acquired), _day(locked), _whole(shares), dividends)


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


def closed_from_json(value: Any, names: Names) -> ZiplineOrder:
    """Read an order that has ended back.

    Raises
    ------
    Damaged
        It is not what ``closed_to_json`` wrote.
    """
    with _checked("an order"):
        order = ZiplineOrder(
            _utc(value["created"]),
            names.asset(_text(value["code"])),
            _whole(value["amount"]),
            stop=_optional(value["stop"]),
            limit=_optional(value["limit"]),
            filled=_whole(value["filled"]),
            commission=value["commission"] and _number(value["commission"]),
            id=_text(value["id"]),
        )
        order.dt, order.status = _utc(value["dt"]), ORDER_STATUS[_text(value["status"])]
        order.reason = value["reason"] and Reason(value["reason"])
    return order


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)


def _price(value: float | None) -> float | None:
    return None if value is None else float(value)


def _utc(value: Any) -> pd.Timestamp:
    return _moment(value).tz_convert(dt.UTC)


def orders_to_json(orders: list[Waiting], names: Names) -> list[Json]:
    """Write down the orders that wait for the next session."""
    return [
        {
            "id": one.order_id,
            "code": names.code(one.asset.sid),
            "amount": int(one.amount),
            "limit": _price(one.limit),
            "capped": bool(one.capped),
            "cap": _price(one.cap),
            "created": one.created.isoformat(),
            "changed": one.changed.isoformat(),
            "cancelled": bool(one.cancelled),
        }
        for one in orders
    ]


def orders_from_json(values: list[Json], names: Names) -> list[Waiting]:
    """Read the waiting orders back.

    Raises
    ------
    Damaged
        They are not what ``orders_to_json`` wrote.
    """
    with _checked("the orders"):
        names.fetch(one["code"] for one in _list(values))
        orders = [_waiting(one, names) for one in _list(values)]
        if len({one.order_id for one in orders}) != len(orders):
            raise ValueError("two orders of one name")
    return orders


def _waiting(value: Any, names: Names) -> Waiting:
    return Waiting(
        order_id=_text(value["id"]),
        asset=names.asset(_text(value["code"])),
        amount=_whole(value["amount"]),
        limit=_optional(value["limit"]),
        capped=_flag(value["capped"]),
        created=_utc(value["created"]),
        changed=_utc(value["changed"]),
        cancelled=_flag(value["cancelled"]),
        cap=_optional(value["cap"]),
    )
