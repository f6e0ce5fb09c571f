"""QMT through xtquant, behind the port; NEVER tried on a real desk.

It was held to the contract's kit over a fake of the library: not with a broker's client, not with a demo account, not
with a single share.

xtquant talks to a miniQMT client that runs and is logged in on the same Windows machine. Since 2026 brokers have been
withdrawing it from private accounts; ask yours. What was taken from the library's documentation:

* A remark of at most 24 letters comes back with orders and trades; it carries a hash of our id. Which id that is stands
  in a file of ours, written before the order is sent.
* ``order_stock`` gives a number above 0 or -1, ``cancel_order_stock`` 0 for accepted.
* A query gives None where it failed and, some versions, where there is nothing. Where the account itself is answered,
  it is nothing.
* A lost connection does not come back by itself; the next question makes a new one, at most every 3 seconds.

An id that is in the file was sent once and is never sent again, whatever the queries show.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import clock
from engine.broker.port import Fill, Holding, NoReply, Report, State, Ticket
from engine.errors import BadInput, UsageError
from engine.files import read_json, write_json
from engine.types import Side

_BUY, _SELL, _LIMIT = 23, 24, 11
_STATES = {
    48: State.WAITING,
    49: State.WAITING,
    50: State.LIVE,
    51: State.LIVE,
    52: State.LIVE,
    53: State.CANCELLED,
    54: State.CANCELLED,
    55: State.LIVE,
    56: State.FILLED,
    57: State.REJECTED,
}
_BETWEEN_CONNECTIONS = 3.0
_STRATEGY = "ashare"


def short_id(order_id: str) -> str:
    """Return the remark of an order: 21 letters and digits, the same for the same order."""
    return "z" + base64.b32encode(hashlib.sha256(order_id.encode()).digest()).decode()[:20].lower()


class Qmt:
    """An account at a broker's miniQMT client.

    Parameters
    ----------
    userdata : Path
        The client's folder ``userdata_mini``.
    account : str
        The account's number.
    memory : Path
        A folder of ours for what was sent; the same in every life.
    session_id : int
        Of the connection; no other process of the machine may use it, nor the hundred after it.
    monotonic, sleep : callable
        Seconds of a clock that never goes back, and a way to wait some.
    """

    live = True
    resend_safe = False

    def __init__(
        self,
        userdata: Path,
        account: str,
        memory: Path,
        session_id: int,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.account = account
        self._userdata, self._memory, self._session_id = userdata, memory, session_id
        self._monotonic, self._sleep = monotonic, sleep
        self._trader: Any = None
        self._stock_account: Any = None
        self._connections = 0
        self._last_connection = float("-inf")
        _library()  # whoever lacks it shall hear of it before an order is due

    def place(self, ticket: Ticket) -> Report:
        """Place a limit order; one without a limit is rejected, for the opening auction takes no market orders."""
        rejected = Report(
            ticket.order_id, "", ticket.session, ticket.code, ticket.side, ticket.shares, State.REJECTED, message=""
        )
        if ticket.limit is None:
            return _saying(rejected, "an order without a limit is not sent")
        remark, sent = short_id(ticket.order_id), self._sent(ticket.session)
        if remark in sent:
            return self._found(ticket)
        trader = self._connected()
        write_json(self._file(ticket.session), {**sent, remark: ticket.order_id})
        kind = _BUY if ticket.side is Side.BUY else _SELL
        order = (self._stock_account, ticket.code, kind, ticket.shares, _LIMIT, ticket.limit, _STRATEGY, remark)
        number = self._called(lambda: trader.order_stock(*order))
        if isinstance(number, int) and number > 0:
            return _saying(rejected, "", State.WAITING, str(number))
        try:  # it may be there all the same
            return self._found(ticket)
        except NoReply:
            return _saying(rejected, f"order_stock answered {number}")

    def cancel(self, order_id: str) -> bool:
        """Ask for an order of today to be cancelled."""
        remark = short_id(order_id)
        found = [o.order_id for o in self._query("query_stock_orders", False) if str(o.order_remark) == remark]
        if not found:
            return False
        trader = self._connected()
        return bool(self._called(lambda: trader.cancel_order_stock(self._stock_account, found[0])) == 0)

    def orders(self, session: dt.date) -> list[Report]:
        """Return the orders of a session; the client knows today's only."""
        sent = self._sent(session)
        found = self._query("query_stock_orders", False)
        return [self._report(order, session, sent) for order in found if _day_of(order.order_time) == session]

    def fills(self, session: dt.date) -> list[Fill]:
        """Return the trades of a session, without fees: the client does not tell them by kind."""
        sent = self._sent(session)
        remarks = {str(order.order_id): str(order.order_remark) for order in self._query("query_stock_orders", False)}
        found = self._query("query_stock_trades")
        return [self._fill(trade, session, sent, remarks) for trade in found if _day_of(trade.traded_time) == session]

    def positions(self) -> dict[str, Holding]:
        """Return what is held."""
        found = self._query("query_stock_positions")
        return {
            str(position.stock_code): Holding(int(position.volume), int(position.can_use_volume))
            for position in found
            if position.volume
        }

    def cash(self) -> int:
        """Return the cash, free and frozen, fen."""
        asset = self._asset()
        return round((float(asset.cash) + float(asset.frozen_cash)) * 100)

    def _report(self, order: Any, session: dt.date, sent: dict[str, str]) -> Report:
        return Report(
            order_id=sent.get(str(order.order_remark), ""),
            number=str(order.order_id),
            session=session,
            code=str(order.stock_code),
            side=_side(order.order_type),
            shares=int(order.order_volume),
            state=_STATES.get(int(order.order_status), State.UNKNOWN),
            filled=int(order.traded_volume),
            average_price=float(order.traded_price) if order.traded_volume else None,
            message=str(getattr(order, "status_msg", "") or ""),
        )

    def _fill(self, trade: Any, session: dt.date, sent: dict[str, str], remarks: dict[str, str]) -> Fill:
        side, code = _side(trade.order_type), str(trade.stock_code)
        remark = str(getattr(trade, "order_remark", "") or remarks.get(str(trade.order_id), ""))
        return Fill(
            trade_id=f"{session:%Y%m%d}-{code}-{side[0].upper()}-{trade.traded_id}",
            order_id=sent.get(remark, ""),
            session=session,
            code=code,
            side=side,
            shares=int(trade.traded_volume),
            price=float(trade.traded_price),
        )

    def _found(self, ticket: Ticket) -> Report:
        """Return what the client shows of an order that was sent before; ``NoReply`` if it shows nothing."""
        for report in self.orders(ticket.session):
            if report.order_id == ticket.order_id:
                return report
        raise NoReply

    def _file(self, session: dt.date) -> Path:
        return self._memory / f"{session:%Y%m%d}.json"

    def _sent(self, session: dt.date) -> dict[str, str]:
        """Return our ids by their remarks, of all orders of a session that ever were to be sent."""
        path = self._file(session)
        if not path.exists():
            return {}
        try:
            sent = read_json(path)
        except ValueError:
            sent = None
        if not isinstance(sent, dict) or any(short_id(str(name)) != remark for remark, name in sent.items()):
            raise BadInput(
                f"{path} is damaged",
                "it says which orders were sent, and without it one could be sent twice",
                "Trade the session by hand.",
            )
        return sent

    def _query(self, name: str, *more: Any) -> list[Any]:
        trader = self._connected()
        answer = self._called(lambda: getattr(trader, name)(self._stock_account, *more))
        if answer is None:
            self._asset()
            return []
        return list(answer)

    def _asset(self) -> Any:
        trader = self._connected()
        asset = self._called(lambda: trader.query_stock_asset(self._stock_account))
        if asset is None:
            self._drop()
            raise NoReply
        return asset

    def _called(self, question: Callable[[], Any]) -> Any:
        """Call the library; whatever it raises says nothing about what the broker did."""
        try:
            return question()
        except Exception as error:
            self._drop()
            raise NoReply from error

    def _drop(self) -> None:
        self._trader = None

    def _connected(self) -> Any:
        if self._trader is None:
            self._trader = self._connection()
        return self._trader

    def _connection(self) -> Any:
        """Make a new connection; a used one cannot be revived."""
        traders, types = _library()
        waited = self._monotonic() - self._last_connection
        if waited < _BETWEEN_CONNECTIONS:
            self._sleep(_BETWEEN_CONNECTIONS - waited)
        self._last_connection = self._monotonic()
        self._connections += 1

        def begin() -> Any:
            trader = traders.XtQuantTrader(str(self._userdata), self._session_id + self._connections % 100)
            told = {"on_disconnected": lambda *_: self._drop()}
            trader.register_callback(type("Told", (traders.XtQuantTraderCallback,), told)())
            trader.start()
            self._stock_account = types.StockAccount(self.account)
            if trader.connect() != 0 or trader.subscribe(self._stock_account) != 0:
                trader.stop()
                raise NoReply
            return trader

        return self._called(begin)


def _library() -> tuple[Any, Any]:
    """Import what is needed of xtquant, when it is needed."""
    try:
        return importlib.import_module("xtquant.xttrader"), importlib.import_module("xtquant.xttype")
    except ImportError as error:
        raise UsageError(
            "xtquant cannot be loaded",
            str(error),
            "It comes with your broker's miniQMT client, on Windows; or install the extra: pip install .[qmt]",
        ) from None


def _saying(report: Report, words: str, state: State = State.REJECTED, number: str = "") -> Report:
    return Report(
        report.order_id, number, report.session, report.code, report.side, report.shares, state, message=words
    )


def _side(order_type: Any) -> Side:
    return Side.SELL if order_type == _SELL else Side.BUY


def _day_of(seconds: Any) -> dt.date:
    """Return the day in Shanghai; what has no time is of today, for the client lists nothing else."""
    if not seconds:
        return clock.now().date()
    return dt.datetime.fromtimestamp(int(seconds), clock.SHANGHAI).date()
