"""Accounts the kit can play with: the simulated one, one behind a bad wire, and QMT over a fake of its library."""

from __future__ import annotations

import datetime as dt
import itertools
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.broker.adversary import Adversary
from engine.broker.kit import CASH, HELD, SHARES
from engine.broker.port import Broker, Holding, NoReply, Report, Ticket
from engine.broker.qmt import Qmt
from engine.broker.simulated import Simulated
from engine.clock import SHANGHAI
from engine.types import Side

SESSION = dt.date(2018, 3, 5)


class SimulatedBench:
    """The simulated broker under test."""

    session = SESSION

    def __init__(self) -> None:
        self.words = ""
        self.inner = Simulated(lambda ticket: (), {HELD: SHARES}, CASH, refuse=self._refuse)
        self.silent = self.lose = False
        self.tickets: list[Ticket] = []
        self.hand = itertools.count()

    def _refuse(self, ticket: Ticket) -> str:
        self.tickets.append(ticket)
        words, self.words = self.words, ""
        return words

    def broker(self) -> Broker:
        return _Wire(self)

    def number(self, order_id: str) -> str:
        (found,) = [report.number for report in self.inner.orders(SESSION) if report.order_id == order_id]
        return found

    def trade(self, order_id: str, shares: int, price: float) -> None:
        self.inner.trade(self.number(order_id), shares, price)

    def refuse_next(self, words: str) -> None:
        self.words = words

    def lose_next_reply(self) -> None:
        self.lose = True

    def silence(self, silent: bool) -> None:
        self.silent = silent

    def by_hand(self, code: str, side: Side, shares: int, limit: float) -> None:
        self.inner.place(Ticket("", SESSION, code, side, shares, limit, limit))

    def received(self) -> list[tuple[str, Side, int, float | None]]:
        return [(ticket.code, ticket.side, ticket.shares, ticket.limit) for ticket in self.tickets]


class _Wire:
    """Between an adapter and its account: loses a reply, or everything."""

    live, resend_safe, account = False, True, "bench"

    def __init__(self, bench: SimulatedBench) -> None:
        self.bench = bench

    def _inner(self) -> Simulated:
        if self.bench.silent:
            raise NoReply
        return self.bench.inner

    def place(self, ticket: Ticket) -> Report:
        report = self._inner().place(ticket)
        if self.bench.lose:
            self.bench.lose = False
            raise NoReply
        return report

    def cancel(self, order_id: str) -> bool:
        return self._inner().cancel(order_id)

    def orders(self, session):
        return self._inner().orders(session)

    def fills(self, session):
        return self._inner().fills(session)

    def positions(self) -> dict[str, Holding]:
        return self._inner().positions()

    def cash(self) -> int:
        return self._inner().cash()


class AdversaryBench(SimulatedBench):
    """The same with faults by a seed between."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seeds = itertools.count(seed * 1000)

    def broker(self) -> Broker:
        adversary = Adversary(self.inner, next(self.seeds))
        adversary.inner = _Wire(self)  # type: ignore[assignment] - the bench's own faults below the seeded ones
        adversary.inner.step = lambda: False  # type: ignore[method-assign]
        return adversary


class FakeXtquant:
    """What xtquant does, as far as its documentation says, in memory."""

    def __init__(self) -> None:
        self.cash, self.volume, self.sellable = CASH / 100, {HELD: SHARES}, {HELD: SHARES}
        self.orders: list[SimpleNamespace] = []
        self.trades: list[SimpleNamespace] = []
        self.silent = self.lose = self.minus_one = self.none_for_empty = False
        self.words = ""
        self.connections: list[tuple[str, int]] = []

    def modules(self) -> dict[str, types.ModuleType]:
        """Return the library as modules."""
        fake = self

        class Trader:
            def __init__(self, path, session_id):
                fake.connections.append((path, session_id))
                self.callback = None

            def register_callback(self, callback):
                self.callback = callback

            def start(self):
                pass

            def stop(self):
                pass

            def connect(self):
                return -1 if fake.silent else 0

            def subscribe(self, account):
                assert account.account_id == "8881234567"
                return 0

            def order_stock(self, account, code, kind, shares, price_type, price, strategy, remark):
                return fake.order_stock(code, kind, shares, price_type, price, remark)

            def cancel_order_stock(self, account, number):
                return fake.cancel(number)

            def query_stock_orders(self, account, cancelable_only=False):
                return fake.answer(fake.orders)

            def query_stock_trades(self, account):
                return fake.answer(fake.trades)

            def query_stock_positions(self, account):
                return fake.answer(
                    [
                        SimpleNamespace(stock_code=code, volume=shares, can_use_volume=fake.sellable.get(code, 0))
                        for code, shares in fake.volume.items()
                    ]
                )

            def query_stock_asset(self, account):
                frozen = sum(o.price * (o.order_volume - o.traded_volume) for o in fake.open() if o.order_type == 23)
                if fake.silent:
                    return None
                return SimpleNamespace(cash=fake.cash - frozen, frozen_cash=frozen)

        package, traders, kinds = (types.ModuleType(f"xtquant{rest}") for rest in ("", ".xttrader", ".xttype"))
        traders.XtQuantTrader, traders.XtQuantTraderCallback = Trader, type("XtQuantTraderCallback", (), {})
        kinds.StockAccount = lambda account_id: SimpleNamespace(account_id=account_id)
        return {"xtquant": package, "xtquant.xttrader": traders, "xtquant.xttype": kinds}

    def answer(self, found):
        if self.silent or (self.none_for_empty and not found):
            return None
        return [SimpleNamespace(**vars(entry)) for entry in found]

    def open(self):
        return [order for order in self.orders if order.order_status in (50, 55)]

    def order_stock(self, code, kind, shares, price_type, price, remark):
        if self.silent:
            return -1
        assert len(remark) <= 24
        assert price_type == 11
        words, self.words = self.words, ""
        self.orders.append(
            SimpleNamespace(
                order_id=50_000 + len(self.orders),
                order_time=_moment(),
                stock_code=code,
                order_type=kind,
                order_volume=shares,
                price=price,
                order_status=57 if words else 50,
                status_msg=words,
                traded_volume=0,
                traded_price=0.0,
                order_remark=remark,
            )
        )
        if self.lose:
            self.lose = False
            raise TimeoutError
        if self.minus_one:
            self.minus_one = False
            return -1
        return self.orders[-1].order_id

    def cancel(self, number):
        for order in self.open():
            if order.order_id == number:
                order.order_status = 53 if order.traded_volume else 54
                return 0
        return -1

    def trade(self, number: int, shares: int, price: float) -> None:
        (order,) = [order for order in self.open() if order.order_id == number]
        value = order.traded_volume * order.traded_price + shares * price
        order.traded_volume += shares
        order.traded_price = value / order.traded_volume
        order.order_status = 56 if order.traded_volume == order.order_volume else 55
        sign = 1 if order.order_type == 23 else -1
        self.cash -= sign * shares * price
        self.volume[order.stock_code] = self.volume.get(order.stock_code, 0) + sign * shares
        if sign < 0:
            self.sellable[order.stock_code] -= shares
        self.trades.append(
            SimpleNamespace(
                traded_id=str(100 + len(self.trades)),
                traded_time=_moment(),
                order_id=number,
                stock_code=order.stock_code,
                order_type=order.order_type,
                traded_volume=shares,
                traded_price=price,
                order_remark=order.order_remark,
            )
        )


def _moment() -> int:
    return int(dt.datetime(SESSION.year, SESSION.month, SESSION.day, 9, 31, tzinfo=SHANGHAI).timestamp())


class QmtBench:
    """The QMT adapter over the fake library."""

    session = SESSION

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.fake, self.folder, self.now = FakeXtquant(), folder, 0.0
        for name, module in self.fake.modules().items():
            patch.setitem(sys.modules, name, module)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def broker(self) -> Qmt:
        return Qmt(Path("userdata_mini"), "8881234567", self.folder, 700, lambda: self.now, self._sleep)

    def trade(self, order_id: str, shares: int, price: float) -> None:
        (number,) = [int(r.number) for r in self.broker().orders(SESSION) if r.order_id == order_id]
        self.fake.trade(number, shares, price)

    def refuse_next(self, words: str) -> None:
        self.fake.words = words

    def lose_next_reply(self) -> None:
        self.fake.lose = True

    def silence(self, silent: bool) -> None:
        self.fake.silent = silent

    def by_hand(self, code: str, side: Side, shares: int, limit: float) -> None:
        self.fake.order_stock(code, 23 if side is Side.BUY else 24, shares, 11, limit, "mine")

    def received(self) -> list[tuple[str, Side, int, float | None]]:
        sides = {23: Side.BUY, 24: Side.SELL}
        return [(o.stock_code, sides[o.order_type], o.order_volume, o.price) for o in self.fake.orders]
