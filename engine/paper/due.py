"""Which sessions an account has to run, and which it should have run."""

from __future__ import annotations

import datetime as dt

import numpy as np

from engine import calendar
from engine.errors import StaleData
from engine.paper.account import Account

CLOSE = dt.time(15, 0)


def last_session(before: dt.datetime, at: dt.time) -> dt.date:
    """Return the last session of which a time of day has passed."""
    day = before.date() if before.time().replace(tzinfo=None) >= at else before.date() - dt.timedelta(days=1)
    known = calendar.sessions()
    row = int(np.searchsorted(known, np.datetime64(day), side="right")) - 1
    found: dt.date = known[max(row, 0)].astype(dt.date)  # a clock that lost its time says 1970
    return found


def missed(account: Account, now: dt.datetime) -> list[dt.date]:
    """Return the sessions that should have been run by now: ``paper.grace`` minutes after ``paper.ready``.

    Parameters
    ----------
    account : Account
        The account; one that was never run and names no first session has missed the last one.
    now : datetime
        The present moment in Shanghai.

    Raises
    ------
    StaleData
        The calendar has ended: nobody knows.
    """
    settings = account.settings.paper
    known = calendar.sessions()
    if now.date() > calendar.AShareCalendar.bound_max().date():
        mend = "Run `ashare data sync`, which brings the next year once the exchanges have published it."
        raise StaleData(f"nobody knows the sessions before {now:%Y-%m-%d}", f"the calendar ends {known[-1]}", mend)
    expected = last_session(now - dt.timedelta(minutes=settings.grace), settings.ready)
    if account.now.last is not None:
        start = account.now.last + dt.timedelta(days=1)
    else:
        named = account.now.created["first"]
        start = dt.date.fromisoformat(named) if named else expected
    found = known[(known >= np.datetime64(start)) & (known <= np.datetime64(expected))]
    return [day.astype(dt.date) for day in found]


def due(account: Account, held: dt.date, now: dt.datetime, until: dt.date | None = None) -> list[dt.date]:
    """Return the sessions that are to be run, in order.

    Parameters
    ----------
    account : Account
        The account.
    held : date
        The last session of the bundle.
    now : datetime
        The present moment in Shanghai.
    until : date, optional
        The last session that is wanted.

    Raises
    ------
    StaleData
        The clock and the data contradict each other.
    """
    closed, expected = last_session(now, CLOSE), last_session(now, account.settings.paper.ready)
    for what, day in (("the bundle", held), ("the account", account.now.last or dt.date.min)):
        if day > closed:
            raise StaleData(
                f"the clock says {now:%Y-%m-%d %H:%M}",
                f"{what} has {day} already, which has not closed",
                "Set the clock right.",
            )
    last = account.now.last
    if last is None:
        named = account.now.created["first"]
        start = dt.date.fromisoformat(named) if named else min(held, expected)
    else:
        start = last + dt.timedelta(days=1)
    end = min(max(expected, held), until or dt.date.max)
    known = calendar.sessions()
    wanted = known[(known >= np.datetime64(start)) & (known <= np.datetime64(end))]
    return [day.astype(dt.date) for day in wanted]
