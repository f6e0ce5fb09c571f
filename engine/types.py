"""The frozen words of the engine; one idea has one name everywhere."""

from __future__ import annotations

from enum import StrEnum


class Board(StrEnum):
    """A market segment with its own rules. Values are the scopes used in the rule tables."""

    SSE_MAIN = "sse_main"
    SZSE_MAIN = "szse_main"
    CHINEXT = "chinext"
    STAR = "star"
    BSE = "bse"


class Standing(StrEnum):
    """What a stock's name of the day says of it. Values are the scopes used in the rule tables."""

    ORDINARY = "ordinary"
    RISK_WARNED = "risk_warned"
    SHARE_REFORM = "share_reform"
    DELISTING_PERIOD = "delisting_period"


class Side(StrEnum):
    """The side of an order."""

    BUY = "buy"
    SELL = "sell"


class Reason(StrEnum):
    """Why an order ended as it did; the list is closed.

    ``FILLED`` is the only value of an order that got all it asked for.
    """

    FILLED = "filled"
    SUSPENDED = "suspended"
    NOT_LISTED = "not_listed"
    LIMIT_UP = "limit_up"
    LIMIT_DOWN = "limit_down"
    LIMIT_PRICE = "limit_price"
    LOT = "lot"
    ORDER_MAXIMUM = "order_maximum"
    POSITION_CAP = "position_cap"
    CASH = "cash"
    NOT_SELLABLE = "not_sellable"
    PARTICIPATION = "participation"
    STOP_ORDER = "stop_order"
    CANCELLED = "cancelled"
    RUN_ENDED = "run_ended"
