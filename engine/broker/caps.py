"""What may be sent at all: the user's consent and hard caps, checked before the first order of a session goes out.

Since 2020 programme trading must be reported, since 2023 before the first order; no exemption for small accounts is
known. The exchanges watch accounts from 300 orders and cancels a second or 20,000 a day, and four patterns whose
numbers are not public; the caps here stay far below, so that no fault of ours can come near.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem

from engine.broker.port import Broker, Report, Ticket
from engine.errors import SendingRefused
from engine.market.boards import is_a_share
from engine.settings import BrokerSettings
from engine.types import Side


def require_consent(broker: Broker, settings: BrokerSettings, session: dt.date) -> None:
    """Refuse to send live orders for an account whose programme-trading report the user has not confirmed.

    A broker that does not say whether it is live counts as live.

    Raises
    ------
    SendingRefused
        No day of confirmation, one after the session, or another account's.
    """
    if not getattr(broker, "live", True):
        return
    what = f"no order is sent to account {broker.account!r}"
    if settings.reported_on is None:
        raise SendingRefused(
            what,
            "programme trading must be reported before the first order, and broker.reported_on is not set",
            "Report it, then set broker.reported_on to the day the broker confirmed it, and broker.account.",
        )
    if settings.reported_on > session:
        raise SendingRefused(
            what,
            f"broker.reported_on = {settings.reported_on} lies after the session {session}",
            "Wait until the report is confirmed.",
        )
    if not settings.account or settings.account != broker.account:
        raise SendingRefused(
            what,
            f"the report was confirmed for broker.account = {settings.account!r}",
            "Send to that account, or report this one.",
        )


def require_within_caps(
    tickets: Sequence[Ticket], session: dt.date, net_value: float, settings: BrokerSettings
) -> None:
    """Refuse a session's tickets if one of them is impossible or a cap would be passed: all of them or none.

    Parameters
    ----------
    tickets : sequence of Ticket
        All of the session's, sent ones too.
    session : date
        When they may trade.
    net_value : float
        Of the account at the last close, CNY.
    settings : BrokerSettings
        The caps.

    Raises
    ------
    SendingRefused
        Naming the first that does not hold.
    """
    for ticket in tickets:
        if problem := _impossible(ticket, session):
            raise SendingRefused(f"order {ticket.order_id} is not sent", problem, "Decide the session again.")
    doubled = [order_id for order_id, count in Counter(ticket.order_id for ticket in tickets).items() if count > 1]
    if doubled:
        raise SendingRefused("no order is sent", f"two tickets have the id {doubled[0]}", "Decide the session again.")
    largest = settings.order_value * net_value
    for ticket in tickets:
        if not ticket.value <= largest:
            raise SendingRefused(
                "no order is sent",
                f"{ticket.order_id} is worth {ticket.value:,.2f} CNY, broker.order_value allows {largest:,.2f}",
                "Correct the strategy, or raise the cap.",
            )
    total = sum(ticket.value for ticket in tickets)
    if not total <= settings.day_value * net_value:
        raise SendingRefused(
            "no order is sent",
            f"the session's orders are worth {total:,.2f} CNY, broker.day_value allows "
            f"{settings.day_value * net_value:,.2f}",
            "Correct the strategy, or raise the cap.",
        )


def require_messages(messages: int, settings: BrokerSettings) -> None:
    """Refuse to pass the cap of orders and cancels of a session."""
    if messages > settings.messages_per_day:
        raise SendingRefused(
            "nothing more is sent in this session",
            f"it would make {messages} orders and cancels, broker.messages_per_day allows {settings.messages_per_day}",
            "Trade the rest by hand.",
        )


def _impossible(ticket: Ticket, session: dt.date) -> str:
    """Say what no order can be, empty if it can."""
    prices = [ticket.reference] if ticket.limit is None else [ticket.reference, ticket.limit]
    if ticket.session != session:
        return f"it is for {ticket.session}, not for {session}"
    if not is_a_share(ticket.code):
        return f"{ticket.code!r} is no A share"
    if ticket.shares <= 0:
        return f"{ticket.shares} shares cannot be traded"
    if not all(math.isfinite(price) and price > 0 for price in prices):
        return f"reference {ticket.reference} and limit {ticket.limit} must be prices"
    return ""


def crosses(ticket: Ticket, reports: Sequence[Report]) -> Report | None:
    """Return an order of the account that may trade against the ticket: same stock, other side, not over."""
    return next((o for o in reports if o.code == ticket.code and o.side is not ticket.side and not o.over), None)


def collared(ticket: Ticket, settings: BrokerSettings) -> Ticket:
    """Return the ticket with a limit near the last close if it has none: nothing is sent live without a worst price."""
    if ticket.limit is not None:
        return ticket
    sign, rounding = (1, ROUND_FLOOR) if ticket.side is Side.BUY else (-1, ROUND_CEILING)
    worst = Decimal(str(ticket.reference)) * (1 + sign * Decimal(str(settings.collar)))
    return replace(ticket, limit=float(worst.quantize(Decimal("0.01"), rounding)))


@dataclass
class Pace:
    """Spaces orders and cancels; the first burst after a start may be a second's worth.

    Attributes
    ----------
    per_second : int
        How many.
    clock, sleep : callable
        Seconds of a clock that never goes back, and a way to wait some.
    """

    per_second: int
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def __post_init__(self) -> None:
        self._bucket = InMemoryBucket([Rate(self.per_second, Duration.SECOND)])

    def wait(self) -> None:
        """Return when the next message may go out; it is counted."""
        while True:
            item = RateItem("message", int(self.clock() * 1000))
            self._bucket.leak(item.timestamp)
            if self._bucket.put(item):
                return
            waiting = self._bucket.waiting(item)
            assert isinstance(waiting, int)
            self.sleep(max(1, waiting) / 1000)
