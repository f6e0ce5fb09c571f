"""The frozen words of the engine; one idea has one name everywhere."""

from __future__ import annotations

from dataclasses import dataclass
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
    HALTED = "halted"
    """The account takes no order of this side until somebody resumes it."""
    RUN_ENDED = "run_ended"


class Choice(StrEnum):
    """Why a member of the universe is held after a rebalance, or is not; each has exactly one."""

    CHOSEN = "chosen"
    KEPT = "kept"
    """Held, outside the cut, and inside the part that keeps its place (setting ``keep_fraction``)."""
    BELOW_THE_CUT = "below_the_cut"
    NO_SCORE = "no_score"
    NO_PLACE = "no_place"
    """Inside the cut, but a held name kept the place."""
    STOPPED = "stopped"
    BLACKLISTED = "blacklisted"
    AT_LIMIT = "at_limit"
    TURNOVER_UNKNOWN = "turnover_unknown"
    TURNOVER = "turnover"
    LESS_THAN_A_LOT = "less_than_a_lot"
    """Chosen, but its part of the net value does not buy a lot."""
    TURNOVER_LIMIT = "turnover_limit"
    """Chosen, but the buys of the rebalance reached their limit before it."""


class LetterKind(StrEnum):
    """What a message of paper trading is about."""

    PICKS = "picks"
    ORDERS = "orders"
    FILLS = "fills"
    UNFILLED = "unfilled"
    EVENTS = "events"
    SUMMARY = "summary"
    REFUSAL = "refusal"
    MISSED = "missed"
    """A session did not run."""


@dataclass(frozen=True)
class Event:
    """A rule of risk or watch that did something at a close.

    Attributes
    ----------
    rule : str
        drawdown, volatility, stop, blacklist, watch, gross.
    cause, effect : str
        What happened, and what follows from it.
    value, threshold : float
        What was measured, and what it was held against.
    code : str
        The stock, empty where it is about the account.
    """

    rule: str
    cause: str
    value: float
    threshold: float
    effect: str
    code: str = ""


SWITCHED = ("switched off", "switched on")
"""The causes of a switch's events."""

RETRAIN = "retrain"
"""The effect of an event of the watch."""
