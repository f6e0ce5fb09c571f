"""When to run: a pure plan of the next attempt, and a loop that keeps to it through sleep, clock and zone changes.

The loop holds no state that matters. Each turn it reads the clock and the journal's last session anew, so a machine
that slept, a clock that was set and a second process do no harm. Every attempt is a process of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from engine import calendar
from engine.paper.due import last_session
from engine.settings import PaperSettings

LONGEST = 60.0
"""Seconds to sleep at most before the clock is read again: a machine that wakes up is at work within a minute."""


@dataclass(frozen=True)
class Attempt:
    """The last time a run was tried.

    Attributes
    ----------
    at : datetime
        When it ended.
    session : date
        The session that was due.
    code : int
        Its exit code.
    """

    at: dt.datetime
    session: dt.date
    code: int


def next_attempt(now: dt.datetime, last: dt.date | None, tried: Attempt | None, settings: PaperSettings) -> dt.datetime:
    """Return when to run next; not after ``now`` means at once.

    Parameters
    ----------
    now : datetime
        The present moment in Shanghai.
    last : date or None
        The last session that was run.
    tried : Attempt or None
        The last attempt. One that lies ahead of the clock, which was set back, does not count.
    settings : PaperSettings
        When data are ready, and how long to wait after a refusal.
    """
    expected = last_session(now, settings.ready)
    if last is not None and last >= expected:
        after = calendar.next_session(expected)
        if after is None:  # the calendar has ended since: look again later
            return now + dt.timedelta(minutes=settings.retry)
        return dt.datetime.combine(after, settings.ready, now.tzinfo)
    if tried is None or tried.at > now or tried.session != expected:
        return now
    return tried.at + dt.timedelta(minutes=settings.retry)


def serve(
    settings: PaperSettings,
    clock: Callable[[], dt.datetime],
    sleep: Callable[[float], None],
    last: Callable[[], dt.date | None],
    run: Callable[[], int],
    late: Callable[[dt.date], None],
) -> None:
    """Run what is due whenever it is due, for ever.

    Parameters
    ----------
    settings : PaperSettings
        Times.
    clock, sleep : callable
        The present moment in Shanghai; sleep so many seconds.
    last : callable
        The last session that was run, by the journal.
    run : callable
        Try once, in a process of its own; returns its exit code.
    late : callable
        Told, once a session, that it has not run ``settings.grace`` minutes after its data were due.
    """
    tried: Attempt | None = None
    told: dt.date | None = None
    while True:
        now, done = clock(), last()
        expected = last_session(now, settings.ready)
        overdue = dt.datetime.combine(expected, settings.ready, now.tzinfo) + dt.timedelta(minutes=settings.grace)
        if tried is not None and (done is None or done < expected) and now >= overdue and told != expected:
            late(expected)
            told = expected
        wait = (next_attempt(now, done, tried, settings) - now).total_seconds()
        if wait > 0:
            sleep(min(wait, LONGEST))
            continue
        code = run()
        tried = Attempt(clock(), expected, code)
