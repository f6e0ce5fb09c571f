"""From a session's orders to their fills: pure, and the only place that decides what trades.

1. Sells first, then buys, each in the order they were placed (buys are placed in rank order).
2. An order meets the session's bar: none, or at a limit: refused. The price, slippage on top, is worse than
   the order's own limit: refused.
3. What is left of it is cut: by what is sellable or by cash, by the share of the day's volume, by the largest
   order the exchange takes, by the cap of one position, to whole lots.
4. A sale that would take cash below zero by its own fees and taxes is refused whole.
5. What remains fills at one price; the rest dies with the session, with the reason of the cut that bound.

T+1 holds by construction: ``sellable`` is what the lots of earlier sessions give.

Three readings of the bar bound what a daily bar cannot say (setting ``scenario``): the optimistic one trades at
the better of open and average, takes twice the share of volume, and gets its turn at a limit the session left;
the pessimistic one trades at the worse of them, takes half, and gets none at a limit the session touched.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from engine.execution.costs import Fees, account_commission, fees_of
from engine.market.boards import exchange_of
from engine.market.lots import buy_quantity, lot, maximum, sell_quantity
from engine.settings import ExecutionSettings
from engine.types import Board, Reason, Side


@dataclass(frozen=True)
class Order:
    """A wish to trade in one session.

    Attributes
    ----------
    order_id : str
        Unique and reproducible.
    sid : int
        The asset.
    ts_code : str
        Its code on the day.
    board : Board
        Where it is listed.
    side : Side
        Buy or sell.
    shares : int
        How many, positive.
    limit : float or None
        The worst acceptable price, CNY.
    capped : bool
        The cap of one position (``Terms.largest``) binds it.
    """

    order_id: str
    sid: int
    ts_code: str
    board: Board
    side: Side
    shares: int
    limit: float | None = None
    capped: bool = True


@dataclass(frozen=True)
class Bar:
    """What the market did with one asset in the session; prices in fen, 0 where there is none."""

    open: int
    high: int
    low: int
    close: int
    up_limit: int
    down_limit: int
    volume: float
    amount: float
    listed: bool


@dataclass(frozen=True)
class Outcome:
    """How an order ended.

    Attributes
    ----------
    order : Order
        The order.
    filled : int
        Shares traded.
    price : float
        CNY a share; NaN where nothing was filled.
    fees : Fees
        What it cost.
    reason : Reason
        ``FILLED``, or why it got nothing or less.
    tax : float
        Dividend tax that fell due with the shares sold, CNY.
    """

    order: Order
    filled: int
    price: float
    fees: Fees
    reason: Reason
    tax: float = 0.0


@dataclass(frozen=True)
class Terms:
    """What holds for every fill of a session.

    Attributes
    ----------
    day : date
        The session.
    settings : ExecutionSettings
        Fill price, participation, rounding, cash check.
    commission : callable
        From an order, shares and price in CNY to the commission, CNY.
    slipped : callable
        From an order and its price in CNY to the price with slippage on top.
    tax : callable
        From a sell and its shares to the dividend tax that would fall due, CNY.
    release : callable
        Takes the shares of a sell out of their lots.
    largest : float or None
        The most one position may be worth after a buy, at the fill price, CNY.
    """

    day: dt.date
    settings: ExecutionSettings
    commission: Callable[[Order, int, float], float]
    slipped: Callable[[Order, float], float] = lambda order, price: price
    tax: Callable[[Order, int], float] = lambda order, shares: 0.0
    release: Callable[[Order, int], None] = lambda order, shares: None
    largest: float | None = None

    @classmethod
    def of(cls, day: dt.date, settings: ExecutionSettings) -> Terms:
        """Return the terms of the settings alone."""
        return cls(day, settings, lambda order, shares, price: account_commission(shares * price, settings))


@dataclass
class _Book:
    """What is left while a session's orders are worked through."""

    cash: float
    sellable: dict[int, int]
    held: dict[int, int]
    taken: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Position:
    """Shares of one asset before the session: all of them, and those that may be sold in it."""

    held: int = 0
    sellable: int = 0


def settle(
    orders: Iterable[Order], bar_of: Callable[[int], Bar], cash: float, positions: Mapping[int, Position], terms: Terms
) -> Iterator[Outcome]:
    """Work through a session's orders.

    Parameters
    ----------
    orders : iterable of Order
        In the order they were placed.
    bar_of : callable
        The session's bar of an asset.
    cash : float
        CNY at the open.
    positions : mapping of int to Position
        Of the assets the orders name; none is none held.
    terms : Terms
        What holds for every fill.

    Yields
    ------
    Outcome
        One for each order: sells first, then buys.
    """
    book = _Book(
        cash,
        sellable={sid: position.sellable for sid, position in positions.items()},
        held={sid: position.held for sid, position in positions.items()},
    )
    for order in sorted(orders, key=lambda order: order.side is Side.BUY):
        outcome = _work(order, bar_of(order.sid), book, terms)
        _enter(outcome, book)
        yield outcome


def _work(order: Order, bar: Bar, book: _Book, terms: Terms) -> Outcome:
    refused = refusal(order.side, bar, terms.settings)
    if refused:
        return _nothing(order, refused)
    price = _within_limits(terms.slipped(order, fill_price(order.side, bar, terms.settings)), bar)
    if beyond_limit_price(order, price):
        return _nothing(order, Reason.LIMIT_PRICE)
    shares, reason = _cut(order, bar, price, book, terms)
    if not shares:
        return _nothing(order, reason)
    outcome = _outcome(order, shares, price, terms, reason)
    if order.side is Side.SELL:
        if terms.settings.cash_check and _cash_after(outcome, book.cash) < -_ROUNDING:
            return _nothing(order, Reason.CASH)
        terms.release(order, shares)
    return outcome


def _outcome(order: Order, shares: int, price: float, terms: Terms, reason: Reason = Reason.FILLED) -> Outcome:
    """Return the fill of so many shares, with what it costs."""
    if terms.settings.round_fees:
        price = _in_whole_fen(price, shares)
    tax = terms.tax(order, shares) if order.side is Side.SELL else 0.0
    return Outcome(order, shares, price, _fees(order, shares, price, terms), reason, tax)


def _cash_after(outcome: Outcome, cash: float) -> float:
    value = outcome.filled * outcome.price
    signed = value if outcome.order.side is Side.SELL else -value
    return cash + signed - outcome.fees.total - outcome.tax


def fill_price(side: Side, bar: Bar, settings: ExecutionSettings) -> float:
    """Return the price a session's orders trade at, CNY, slippage of the settings on top."""
    prices = {"open": bar.open / 100.0, "vwap": _average(bar), "close": bar.close / 100.0}
    price = prices[settings.fill]
    if settings.scenario != "base":
        dear, cheap = max(prices["open"], prices["vwap"]), min(prices["open"], prices["vwap"])
        price = cheap if (side is Side.BUY) == (settings.scenario == "optimistic") else dear
    return price * (1 + settings.slippage if side is Side.BUY else 1 - settings.slippage)


def _average(bar: Bar) -> float:
    """Return amount over volume, kept inside the bar: the vendor rounds the amount."""
    return min(max(bar.amount / bar.volume, bar.low / 100.0), bar.high / 100.0)


def refusal(side: Side, bar: Bar, settings: ExecutionSettings) -> Reason | None:
    """Return why the market lets nobody trade on this side in the session, None if it does."""
    if not bar.listed:
        return Reason.NOT_LISTED
    if not bar.volume:
        return Reason.SUSPENDED
    if side is Side.BUY and bar.up_limit and _at_limit(bar, bar.low, bar.high, bar.up_limit, 1, settings):
        return Reason.LIMIT_UP
    if side is Side.SELL and bar.down_limit and _at_limit(bar, bar.high, bar.low, bar.down_limit, -1, settings):
        return Reason.LIMIT_DOWN
    return None


def _at_limit(bar: Bar, best: int, worst: int, limit: int, sign: int, settings: ExecutionSettings) -> bool:
    """Say whether an order waits in vain at its limit.

    ``best`` is the session's price farthest from the limit, ``worst`` the nearest; ``sign`` turns limit-down
    into limit-up. A session that never left the limit trades with nobody, whatever price decides.
    """
    if sign * best >= sign * limit:
        return True
    if settings.scenario == "optimistic":
        return False
    if settings.scenario == "pessimistic":
        return sign * worst >= sign * limit
    decides = {"open": float(bar.open), "vwap": _average(bar) * 100, "close": float(bar.close)}[settings.fill]
    return sign * decides >= sign * limit - _ROUNDING


_ROUNDING = 1e-6
"""A price in fen divided by 100 and multiplied again may miss the whole number by less than this."""


def beyond_limit_price(order: Order, price: float) -> bool:
    """Say whether a price is worse than the worst the order accepts."""
    if order.limit is None:
        return False
    worse = price - order.limit if order.side is Side.BUY else order.limit - price
    return worse * 100 > _ROUNDING


def _in_whole_fen(price: float, shares: int) -> float:
    """Return the price whose trade is worth a whole number of fen: an average price is no whole fen itself."""
    if abs(price * 100 - round(price * 100)) < _ROUNDING:
        return round(price, 2)
    return round(price * shares, 2) / shares


def _within_limits(price: float, bar: Bar) -> float:
    """Keep a price with slippage inside the session's limits: nothing trades beyond them."""
    if bar.up_limit:
        price = min(price, bar.up_limit / 100.0)
    return max(price, bar.down_limit / 100.0)


def _cut(order: Order, bar: Bar, price: float, book: _Book, terms: Terms) -> tuple[int, Reason]:
    """Return the shares an order gets and the reason that goes with them."""
    shares, reason = min(_bounds(order, bar, price, book, terms), key=lambda bound: bound[0])
    permitted = _whole_lots(order, shares, book, terms)
    if permitted < shares and reason is Reason.FILLED:
        reason = Reason.LOT
    return permitted, reason


def _bounds(order: Order, bar: Bar, price: float, book: _Book, terms: Terms) -> Iterator[tuple[int, Reason]]:
    """Yield the wish and what each circumstance allows, with the reason it would give; the first smallest binds."""
    yield order.shares, Reason.FILLED
    if order.side is Side.SELL:
        yield book.sellable.get(order.sid, 0), Reason.NOT_SELLABLE
    if terms.settings.order_maximum:
        yield maximum(order.board, terms.day), Reason.ORDER_MAXIMUM
    if terms.settings.participation:
        room = math.floor(bar.volume * _participation(terms.settings) + _ROUNDING) - book.taken.get(order.sid, 0)
        yield max(room, 0), Reason.PARTICIPATION
    if order.side is Side.BUY and order.capped and terms.largest is not None:
        room = math.floor(terms.largest / price + _ROUNDING) - book.held.get(order.sid, 0)
        yield max(room, 0), Reason.POSITION_CAP
    if order.side is Side.BUY and terms.settings.cash_check:
        yield _affordable(order, price, book.cash, terms), Reason.CASH


def _participation(settings: ExecutionSettings) -> float:
    return settings.participation * {"optimistic": 2.0, "base": 1.0, "pessimistic": 0.5}[settings.scenario]


def _whole_lots(order: Order, shares: int, book: _Book, terms: Terms) -> int:
    if order.side is Side.BUY:
        return buy_quantity(order.board, shares, terms.day)
    return sell_quantity(order.board, shares, book.sellable.get(order.sid, 0), terms.day)


def _affordable(order: Order, price: float, cash: float, terms: Terms) -> int:
    """Return the largest permitted quantity whose cost, fees included, the cash covers; the wish if it covers that."""
    step = lot(order.board, terms.day)[1]
    wanted = buy_quantity(order.board, order.shares, terms.day)
    shares = buy_quantity(order.board, min(wanted, max(int(cash / price + _ROUNDING), 0)), terms.day)
    while shares > 0 and _cash_after(_outcome(order, shares, price, terms), cash) < -_ROUNDING:
        shares = buy_quantity(order.board, shares - step, terms.day)
    return order.shares if shares == wanted else shares


def _fees(order: Order, shares: int, price: float, terms: Terms) -> Fees:
    commission = terms.commission(order, shares, price)
    return fees_of(order.side, shares, price, exchange_of(order.ts_code), terms.day, commission, terms.settings)


def _nothing(order: Order, reason: Reason) -> Outcome:
    return Outcome(order, 0, math.nan, Fees(), reason)


def _enter(outcome: Outcome, book: _Book) -> None:
    """Take a fill into the session's book."""
    order, shares = outcome.order, outcome.filled
    if not shares:
        return
    book.taken[order.sid] = book.taken.get(order.sid, 0) + shares
    book.cash = _cash_after(outcome, book.cash)
    if order.side is Side.SELL:
        book.sellable[order.sid] -= shares
        book.held[order.sid] -= shares
    else:
        book.held[order.sid] = book.held.get(order.sid, 0) + shares
