"""What real fills make of a session's orders: the counterpart of ``fills.settle`` where a broker traded, not a bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from engine.broker.fold import union
from engine.broker.port import Fill
from engine.errors import BrokerMismatch
from engine.execution.costs import Fees, fees_of
from engine.execution.fills import Bar, Order, Outcome, Terms, refusal
from engine.market.boards import exchange_of
from engine.types import Reason, Side


def outcomes(
    orders: Iterable[Order], fills: Iterable[Fill], bar_of: Callable[[int], Bar] | None, terms: Terms
) -> Iterator[Outcome]:
    """Return how orders ended that were traded elsewhere, in the order ``settle`` has: sells first, then buys.

    Price and fees are the broker's; where it does not give every fee of an order, they are computed as for a
    simulated fill. The reason of what did not fill is the market's where the session's bar has one (suspended, at the
    limit), ``limit_price`` for another order with a limit, else ``cancelled``: never placed, rejected, or lapsed.

    Parameters
    ----------
    orders : iterable of Order
        In the order they were placed.
    fills : iterable of Fill
        Of these orders, reconciled; the same trade twice counts once.
    bar_of : callable or None
        The session's bar of an asset, where it is known.
    terms : Terms
        The session, fees of the account, dividend tax; its lots are released as ``settle`` does.

    Raises
    ------
    BrokerMismatch
        A fill of an order that is not there, of another side or stock, or more than was asked for.
    """
    placed = {order.order_id: order for order in orders}
    unique, conflicting = union(fills)
    if conflicting:
        raise _mismatch(conflicting[0])
    of: dict[str, list[Fill]] = {order_id: [] for order_id in placed}
    for fill in unique.values():
        order = placed.get(fill.order_id)
        if order is None or (order.ts_code, order.side, terms.day) != (fill.code, fill.side, fill.session):
            raise _mismatch(fill)
        of[fill.order_id].append(fill)
        if sum(other.shares for other in of[fill.order_id]) > order.shares:
            raise _mismatch(fill)
    for order in sorted(placed.values(), key=lambda order: order.side is Side.BUY):
        yield _outcome(order, of[order.order_id], bar_of, terms)


def _outcome(order: Order, fills: list[Fill], bar_of: Callable[[int], Bar] | None, terms: Terms) -> Outcome:
    shares = sum(fill.shares for fill in fills)
    reason = Reason.FILLED if shares == order.shares else _why_not(order, bar_of, terms)
    if not shares:
        return Outcome(order, 0, math.nan, Fees(), reason)
    value = sum(fill.value for fill in fills)
    whole = value % shares == 0
    price = (value // shares) / 100 if whole else value / 100 / shares
    tax = 0.0
    if order.side is Side.SELL:
        tax = terms.tax(order, shares)
        terms.release(order, shares)
    return Outcome(order, shares, price, _fees(order, fills, shares, price, terms), reason, tax)


def _why_not(order: Order, bar_of: Callable[[int], Bar] | None, terms: Terms) -> Reason:
    if bar_of is not None and (refused := refusal(order.side, bar_of(order.sid), terms.settings)):
        return refused
    return Reason.CANCELLED if order.limit is None else Reason.LIMIT_PRICE


def _fees(order: Order, fills: list[Fill], shares: int, price: float, terms: Terms) -> Fees:
    if any(fill.fees is None for fill in fills):
        commission = terms.commission(order, shares, price)
        return fees_of(order.side, shares, price, exchange_of(order.ts_code), terms.day, commission, terms.settings)
    return Fees(
        _total(fill.commission for fill in fills),
        _total(fill.stamp_duty for fill in fills),
        _total(fill.transfer_fee for fill in fills),
    )


def _total(parts: Iterable[float | None]) -> float:
    return sum(round(part * 100) for part in parts if part is not None) / 100


def _mismatch(fill: Fill) -> BrokerMismatch:
    return BrokerMismatch(
        f"trade {fill.trade_id} cannot be booked",
        f"no order of {fill.session} leaves {fill.side} {fill.shares} {fill.code} open",
        "Reconcile first.",
    )
