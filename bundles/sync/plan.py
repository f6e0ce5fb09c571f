"""What a sync asks: a list of questions that follows from the calendar, the stocks and what the lake holds.

Market tables are asked by session, all stocks at once. A first download asks names, dividends and statements by stock
(statements by period where the account may). Later syncs ask for what was announced lately, and for stocks that are new
or whose name has changed. Everything here is pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from bundles.endpoints import ENDPOINTS
from bundles.tushare.caps import TERMS
from engine.market.boards import is_a_share

BY_SESSION = ("daily", "adj_factor", "daily_basic", "stk_limit", "suspend_d", "stock_st")
"""Tables that are asked a session at a time."""
ALWAYS_ROWS = frozenset({"daily", "adj_factor", "daily_basic", "stk_limit", "index_daily"})
"""Tables of which no answer can be empty."""
INDEXES = ("000905.SH", "000300.SH")
STOCK_ST_SINCE = dt.date(2016, 1, 1)
STATUSES = ("L", "D", "P")
STATEMENTS = ("income", "balancesheet")
PERIODS_BEFORE = 12
"""Quarters before the first session whose reports a factor may need: two years of them, and how late they may come."""
PERIODS_AGAIN = 6
"""Newest quarters whose statements every sync asks again."""
DISCLOSURE = ("ts_code", "end_date", "actual_date", "modify_date")
_CALENDAR_YEARS = 5
_SETTLED = 10
"""Calendar days after which a session's answer stands, also on another day."""


@dataclass(frozen=True)
class Question:
    """One question and where its answer belongs.

    Attributes
    ----------
    table : str
        The endpoint of the lake.
    api : str
        The vendor's ``api_name``.
    params : tuple of (str, str)
        Its parameters.
    fields : tuple of str
        The columns asked.
    session : date or None
        The session it is about.
    """

    table: str
    api: str
    params: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    session: dt.date | None = None

    @property
    def name(self) -> str:
        """A name that no other question of a plan has, fit for a file."""
        said = ",".join(f"{name}={value}" for name, value in self.params)
        return f"{self.api}/{said or 'all'}"

    @property
    def rows_expected(self) -> bool:
        """Whether an empty answer cannot be true."""
        return self.table in ALWAYS_ROWS or self.params == (("list_status", "L"),)

    def stands(self, asked: dt.date, today: dt.date) -> bool:
        """Say whether an answer of an earlier day may be used today: one about a session long past."""
        return asked == today or (self.session is not None and self.session <= asked - dt.timedelta(_SETTLED))


@dataclass(frozen=True)
class Span:
    """What a sync is about.

    Attributes
    ----------
    first, last : date
        Sessions from the one to the other are asked.
    held_until : date or None
        Until when the lake was synced before; None for a first download, or one that reaches further back.
    today : date
        The day of the sync.
    """

    first: dt.date
    last: dt.date
    held_until: dt.date | None
    today: dt.date


@dataclass(frozen=True)
class Account:
    """What the account may ask, and how far back a sync looks.

    Attributes
    ----------
    points : int
        Of the account.
    late_days : int
        Calendar days back that announcements are asked again for.
    """

    points: int = 2000
    late_days: int = 30

    def may(self, api: str) -> bool:
        """Say whether the points suffice for an endpoint."""
        return self.points >= TERMS[api].points


@dataclass(frozen=True)
class Stocks:
    """The stocks a sync knows of.

    Attributes
    ----------
    all : tuple of str
        Every code of ``stock_basic``.
    new : frozenset of str
        Those the lake does not hold.
    renamed : frozenset of str
        Those whose name is not the latest the lake has.
    """

    all: tuple[str, ...]
    new: frozenset[str] = field(default_factory=frozenset)
    renamed: frozenset[str] = field(default_factory=frozenset)


def directory(span: Span) -> Iterator[Question]:
    """Yield the questions everything else follows from: the calendar and the list of stocks."""
    for year in range(span.first.year, span.today.year + 1, _CALENDAR_YEARS):
        last = year + _CALENDAR_YEARS - 1
        # next year, which may not be published yet, is never asked for alone: that answer could be empty
        last = span.today.year + 1 if last >= span.today.year else last
        bounds = {"start_date": f"{year}0101", "end_date": f"{last}1231"}
        yield _question("trade_cal", "trade_cal", {"exchange": "SSE", **bounds})
    for status in STATUSES:
        yield _question("stock_basic", "stock_basic", {"list_status": status})


def disclosures(span: Span, account: Account) -> Iterator[Question]:
    """Yield the questions that say whose statements are new, where they cannot be asked for all stocks at once."""
    if span.held_until is not None and not account.may("income_vip"):
        for period in quarters(span.last, 3):
            yield Question("disclosure_date", "disclosure_date", (("end_date", _day(period)),), DISCLOSURE)


def questions(
    span: Span, sessions: Sequence[dt.date], stocks: Stocks, account: Account, disclosed: Iterable[str] = ()
) -> list[Question]:
    """Return all other questions, in the order they are asked.

    Parameters
    ----------
    span : Span
        What the sync is about.
    sessions : sequence of date
        The sessions from its first to its last day.
    stocks : Stocks
        Who there is.
    account : Account
        What may be asked.
    disclosed : iterable of str
        Stocks whose statements are asked by stock in a later sync.
    """
    asked = [
        *(question for session in sessions for question in _of_session(session, account)),
        *_indexes(span),
        *_names(span, stocks, account),
        *_dividends(span, sessions, stocks, account),
        *_statements(span, stocks, account, set(disclosed)),
        *_new_shares(span),
    ]
    return list({question.name: question for question in asked}.values())


def quarters(last: dt.date, count: int) -> list[dt.date]:
    """Return the last so many quarter ends on or before a day, oldest first."""
    ends = [
        dt.date(year, month, day)
        for year in range(last.year, last.year - count // 4 - 2, -1)
        for month, day in ((12, 31), (9, 30), (6, 30), (3, 31))
    ]
    return sorted([end for end in ends if end <= last][:count])


def _of_session(session: dt.date, account: Account) -> Iterator[Question]:
    for table in BY_SESSION:
        if account.may(table) and not (table == "stock_st" and session < STOCK_ST_SINCE):
            yield _question(table, table, {"trade_date": _day(session)}, session)


def _indexes(span: Span) -> Iterator[Question]:
    for code in INDEXES:
        yield _question("index_daily", "index_daily", {"ts_code": code, **_bounds(span.first, span.last)})


def _names(span: Span, stocks: Stocks, account: Account) -> Iterator[Question]:
    """Yield the questions for names: a filter by date drops rows without announcement, so changed ones go by stock."""
    if span.held_until is None:
        yield from (_question("namechange", "namechange", {"ts_code": code}) for code in stocks.all)
        return
    yield _question("namechange", "namechange", _bounds(_lately(span, account), span.today))
    yield from (
        _question("namechange", "namechange", {"ts_code": code}) for code in sorted(stocks.new | stocks.renamed)
    )


def _dividends(span: Span, sessions: Sequence[dt.date], stocks: Stocks, account: Account) -> Iterator[Question]:
    if span.held_until is None:
        yield from (_question("dividend", "dividend", {"ts_code": code}) for code in stocks.all)
        return
    first = _lately(span, account)
    for day in _days(first, span.today):
        yield _question("dividend", "dividend", {"imp_ann_date": _day(day)})
        yield _question("dividend", "dividend", {"ann_date": _day(day)})
    for day in sorted({day for day in _days(first, span.last) if day.weekday() < 5} | set(sessions)):
        yield _question("dividend", "dividend", {"ex_date": _day(day)})
    yield from (_question("dividend", "dividend", {"ts_code": code}) for code in sorted(stocks.new))


def _statements(span: Span, stocks: Stocks, account: Account, disclosed: set[str]) -> Iterator[Question]:
    """Yield the questions for statements: by period where the account may, but all of a new stock's; else by stock."""
    later, by_period = span.held_until is not None, account.may("income_vip")
    oldest = quarters(span.first, PERIODS_BEFORE)[0]
    wanted = [period for period in quarters(span.last, PERIODS_AGAIN if later else 400) if period >= oldest]
    codes = sorted((set() if by_period else disclosed) | stocks.new) if later else () if by_period else stocks.all
    for table in STATEMENTS:
        if by_period:
            yield from (_question(table, f"{table}_vip", {"period": _day(period)}) for period in wanted)
        bounds = _bounds(oldest, span.today)
        yield from (_question(table, table, {"ts_code": code, **bounds}) for code in codes)


def _new_shares(span: Span) -> Iterator[Question]:
    first = span.first.year - 1 if span.held_until is None else span.last.year - 1
    for year in range(first, span.today.year + 1):
        yield _question("new_share", "new_share", {"start_date": f"{year}0101", "end_date": f"{year}1231"})


def _question(table: str, api: str, params: dict[str, str], session: dt.date | None = None) -> Question:
    return Question(table, api, tuple(params.items()), tuple(ENDPOINTS[table].schema.columns()), session)


def _lately(span: Span, account: Account) -> dt.date:
    """Return from which day on announcements are asked for again."""
    assert span.held_until is not None
    return min(span.held_until, span.first, span.today - dt.timedelta(account.late_days))


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(n) for n in range((last - first).days + 1)]


def _bounds(first: dt.date, last: dt.date) -> dict[str, str]:
    return {"start_date": _day(first), "end_date": _day(last)}


def _day(day: dt.date) -> str:
    return f"{day:%Y%m%d}"


def stocks_of(stock_basic: pl.DataFrame, held: pl.DataFrame, names: pl.DataFrame) -> Stocks:
    """Return who there is, who is new, and whose name has changed.

    Parameters
    ----------
    stock_basic : DataFrame
        The vendor's, today.
    held : DataFrame
        The lake's.
    names : DataFrame
        The lake's ``namechange``.
    """
    latest = (
        names.filter(pl.col("start_date").is_not_null())
        .sort("start_date", maintain_order=True)
        .group_by("ts_code", maintain_order=True)
        .agg(latest=pl.col("name").last())
    )
    named = stock_basic.join(latest, on="ts_code", how="left")
    renamed = named.filter(pl.col("latest").is_not_null() & (pl.col("latest") != pl.col("name")))
    codes = {code for code in stock_basic["ts_code"] if is_a_share(code)}
    return Stocks(
        all=tuple(sorted(codes)),
        new=frozenset(codes - set(held["ts_code"])),
        renamed=frozenset(renamed["ts_code"]) & codes,
    )
