"""What each endpoint of Tushare allows and how it is asked.

Sources: the vendor's pages and the trackers, as ``docs`` of the project quotes them (caps and ready times from the
endpoint pages, rights and rates from page doc_id=290). A cap marked "own" is stated nowhere we know; the client does
not rely on it, for it believes no reply of a round number of rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Asked = Literal["trade_date", "ts_code", "list_status", "period", "years", "whole"]
"""By which parameter the whole of an endpoint is asked in parts; ``years`` is by start_date and end_date."""


@dataclass(frozen=True)
class Terms:
    """The terms of one endpoint.

    Attributes
    ----------
    name : str
        The ``api_name``.
    cap : int
        Most rows of a reply; also the page we ask for.
    asked : str
        How the whole of it is asked in parts.
    points : int
        Points an account needs.
    ready : time or None
        When the day's rows are there, Shanghai; None where they come at no fixed hour.
    day : str or None
        The column that ``start_date`` and ``end_date`` bound.
    pages : bool
        Whether ``limit`` and ``offset`` are heeded.
    calls_per_minute : int or None
        A limit of its own, below the account's.
    table : str
        The endpoint of the lake that its rows belong to; by default the same name.
    needs : str or None
        A parameter without which it does not answer.
    """

    name: str
    cap: int
    asked: Asked
    points: int = 2000
    ready: dt.time | None = None
    day: str | None = "trade_date"
    pages: bool = True
    calls_per_minute: int | None = None
    table: str = ""
    needs: str | None = None

    @property
    def belongs_to(self) -> str:
        """The endpoint of the lake."""
        return self.table or self.name


_EVENING, _MORNING, _OPENING = dt.time(18), dt.time(9), dt.time(9, 20)
_STATEMENT_CAP = 6400

TERMS: Mapping[str, Terms] = {
    terms.name: terms
    for terms in (
        Terms("stock_basic", 6000, "list_status", day=None, calls_per_minute=50),
        Terms("trade_cal", 2000, "years", day="cal_date"),  # cap: own
        Terms("daily", 6000, "trade_date", points=120, ready=_EVENING),
        Terms("adj_factor", 6000, "trade_date", ready=_OPENING),  # cap: own
        Terms("daily_basic", 6000, "trade_date", ready=_EVENING),  # cap: own
        Terms("stk_limit", 5800, "trade_date", ready=_MORNING),
        Terms("suspend_d", 5000, "trade_date"),  # cap: own
        Terms("namechange", 10_000, "ts_code", day="ann_date"),  # a date filter drops rows without ann_date
        Terms("stock_st", 1000, "trade_date", points=3000, ready=_OPENING),
        Terms("dividend", 2000, "ts_code", day=None),  # cap: own
        Terms("income", 1000, "ts_code", day="ann_date", needs="ts_code"),  # cap: own
        Terms("balancesheet", 1000, "ts_code", day="ann_date", needs="ts_code"),  # cap: own
        Terms("income_vip", _STATEMENT_CAP, "period", points=5000, day="ann_date", table="income"),
        Terms("balancesheet_vip", _STATEMENT_CAP, "period", points=5000, day="ann_date", table="balancesheet"),
        Terms("index_daily", 8000, "ts_code", ready=_EVENING, needs="ts_code"),
        Terms("new_share", 2000, "years", points=120, day="ipo_date"),
        Terms("disclosure_date", 3000, "period", points=500, day=None),
    )
}
