"""A sync from beginning to end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bundles.calendars import take_in
from bundles.endpoints import ENDPOINTS
from bundles.lake import Lake, Version
from bundles.sync.ask import Asker, Progress
from bundles.sync.inbox import Inbox
from bundles.sync.plan import Account, Question, Span, directory, disclosures, questions, stocks_of
from bundles.sync.take import Synced, Taking
from bundles.tushare.client import Client
from engine import calendar
from engine.errors import DataNotFit, UsageError
from engine.settings import Settings


@dataclass(frozen=True)
class Wish:
    """What the user asked for.

    Attributes
    ----------
    first, last : date or None
        Sessions from the one to the other; None leaves it to the lake and the clock.
    label : str
        What the data are, where that must be said.
    """

    first: dt.date | None = None
    last: dt.date | None = None
    label: str = ""


def sync(
    lake: Lake,
    client: Client,
    settings: Settings,
    now: dt.datetime,
    wish: Wish = Wish(),
    progress: Progress = lambda *_: None,
) -> Synced:
    """Bring the lake up to date from the vendor: all of a stretch or nothing.

    Parameters
    ----------
    lake : Lake
        What is brought up to date.
    client : Client
        Who asks.
    settings : Settings
        Sections ``tushare`` and ``data``; when a day's rows are there (``paper.ready``).
    now : datetime
        The time, Shanghai.
    wish : Wish
        What the user asked for.
    progress : callable
        Told how it goes.

    Raises
    ------
    VendorError, DataNotFit
        The vendor gave no data that may be used. The lake is as it was; what was answered is kept for the next time.
    UsageError
        The days asked for cannot be had.
    Halted
        The lake is being written.
    """
    with lake.append() as append:
        span = span_of(append.base, settings, now, wish)
        account = Account(settings.tushare.points, settings.tushare.late_days)
        inbox = Inbox(lake.root, span.today)
        asker = Asker(client, inbox, settings.tushare.answers, settings.tushare.connections, progress)
        asked = list(directory(span))
        asker.ask(asked)
        try:
            _take_calendar(inbox, asked, span)
        except DataNotFit:
            inbox.drop(asked)  # what was refused is asked again next time
            raise
        sessions = _sessions(span.first, span.last)
        more = list(disclosures(span, account))
        asker.ask(more)
        stocks = stocks_of(
            inbox.read(question for question in asked if question.table == "stock_basic"),
            lake.frame(append.base, "stock_basic", ["ts_code"]),
            lake.frame(append.base, "namechange", ["ts_code", "name", "start_date"]),
        )
        disclosed = _disclosed(inbox, more, span, account)
        asked += questions(span, sessions, stocks, account, disclosed)
        asker.ask(asked)
        synced = Synced(sessions=len(sessions), calls=client.calls)
        taking = Taking(append, inbox, asked, sessions, span.today, settings.data.coverage, synced)
        try:
            taking.take()
        except DataNotFit:
            inbox.drop(question for question in [*asked, *more] if taking.is_suspect(question))
            raise
        covered = _covered(append.base, asked, span)
        notes = {**append.base.notes, "undated": _added(append.base.notes.get("undated", {}), synced.undated)}
        synced.version = append.commit(wish.label, notes, covered)
        inbox.clear()
    return synced


def span_of(base: Version, settings: Settings, now: dt.datetime, wish: Wish) -> Span:
    """Return what a sync is about.

    Raises
    ------
    UsageError
        The days asked for lie in the future, or one after the other is no stretch.
    """
    today, at = now.date(), settings.paper.ready
    ready = today if now.time() >= at else today - dt.timedelta(1)
    sessions = _sessions(dt.date(1990, 1, 1), ready)
    newest = sessions[-1]
    if wish.last is not None and wish.last > ready:
        raise UsageError(
            f"--to {wish.last} cannot be had yet",
            f"the newest session with all its data is {newest} (a day's are there at {at:%H:%M}, Shanghai)",
            "Leave --to away.",
        )
    covered = base.covered.get("daily")
    until = covered[1] if covered else _last_bar(base)
    last = wish.last or newest
    first = wish.first or _first_again(sessions, until, settings)
    if covered:  # what is covered has no holes
        first = min(first, covered[1] + dt.timedelta(1))
        last = max(last, covered[0] - dt.timedelta(1))
    if not _sessions(first, last):
        raise UsageError(f"there is no session from {first} to {last}", "nothing is asked for", "Give other days.")
    further_back = covered is None or first < covered[0]
    return Span(first, last, None if further_back else covered and covered[1], today)


def _first_again(sessions: Sequence[dt.date], until: dt.date | None, settings: Settings) -> dt.date:
    """Return the first of the sessions that are asked again, or where a first sync begins."""
    if until is None:
        return settings.tushare.start
    held = [day for day in sessions if day <= until]
    again = settings.tushare.reread
    return held[max(len(held) - again, 0)] if again and held else until + dt.timedelta(1)


def _last_bar(base: Version) -> dt.date | None:
    """Return the last session of a lake that was filled from files."""
    spans = [part.span for part in base.parts.get("daily", ()) if part.span]
    return max((span[1] for span in spans), default=None)


def _sessions(first: dt.date, last: dt.date) -> list[dt.date]:
    known = calendar.sessions()
    inside = (known >= np.datetime64(first)) & (known <= np.datetime64(last))
    return list(known[inside].tolist())


def _take_calendar(inbox: Inbox, asked: Sequence[Question], span: Span) -> None:
    """Refuse a vendor whose calendar is not the exchange's; carry ours on where the vendor's goes further.

    Raises
    ------
    DataNotFit
        It contradicts the library, or lacks a day of those asked for.
    """
    rows = inbox.read(question for question in asked if question.table == "trade_cal")
    days = rows.select(
        "exchange",
        pl.col("cal_date").cast(pl.String).str.strptime(pl.Date, "%Y%m%d", strict=False),
        pl.col("is_open").cast(pl.Int64, strict=False),
    ).drop_nulls()
    wanted = pl.date_range(span.first, span.last, eager=True)
    lacking = wanted.filter(~wanted.is_in(days["cal_date"].implode()))
    if lacking.len():
        raise DataNotFit(
            f"trade_cal lacks {lacking[0]}",
            f"{lacking.len():,} of {wanted.len():,} days are missing",
            "Run it again later.",
        )
    take_in(days)


def _disclosed(inbox: Inbox, asked: Sequence[Question], span: Span, account: Account) -> list[str]:
    """Return the stocks whose reports came out, or were changed, since a little before the last sync."""
    if not asked:
        return []
    since = f"{min(span.first, span.today - dt.timedelta(account.late_days)):%Y%m%d}"
    rows = inbox.read(asked)
    came = pl.max_horizontal(pl.col("actual_date").cast(pl.String), pl.col("modify_date").cast(pl.String))
    return sorted(set(rows.filter(came >= since)["ts_code"]))


def _covered(base: Version, asked: Sequence[Question], span: Span) -> Mapping[str, tuple[dt.date, dt.date]]:
    """Return what the vendor has been asked for by now, by endpoint."""
    covered = dict(base.covered)
    for name in dict.fromkeys(question.table for question in asked if question.table in ENDPOINTS):
        old = covered.get(name, (span.first, span.last))
        covered[name] = min(old[0], span.first), max(old[1], span.last)
    return covered


def _added(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {name: before.get(name, 0) + now.get(name, 0) for name in [*before, *(set(now) - set(before))]}
