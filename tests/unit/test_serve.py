"""When `ashare paper serve` runs: a table of moments, and days on end under a clock that sleeps, jumps and moves."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from engine.paper.serve import Attempt, next_attempt, serve
from engine.settings import PaperSettings

SHANGHAI = ZoneInfo("Asia/Shanghai")
SETTINGS = PaperSettings(ready=dt.time(17, 30), retry=10, grace=60)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


# 2018-03-05 is a Monday; the sessions around the Spring Festival of 2018 are 02-14 and 02-22
MOMENTS = [
    ("before the data are there", "2018-03-05T17:29", "2018-03-02", None, "2018-03-05T17:30"),
    ("when they are", "2018-03-05T17:30", "2018-03-02", None, "2018-03-05T17:30"),
    ("missed for days", "2018-03-07T09:00", "2018-03-02", None, "2018-03-07T09:00"),
    ("done: the next session", "2018-03-05T18:00", "2018-03-05", None, "2018-03-06T17:30"),
    ("done on Friday: Monday", "2018-03-02T18:00", "2018-03-02", None, "2018-03-05T17:30"),
    ("done before the holiday", "2018-02-14T18:00", "2018-02-14", None, "2018-02-22T17:30"),
    ("never run", "2018-03-05T10:00", None, None, "2018-03-05T10:00"),
    (
        "refused: once more later",
        "2018-03-05T17:35",
        "2018-03-02",
        ("2018-03-05T17:31", "2018-03-05"),
        "2018-03-05T17:41",
    ),
    ("refused yesterday", "2018-03-06T17:30", "2018-03-02", ("2018-03-06T17:29", "2018-03-05"), "2018-03-06T17:30"),
    ("clock set back", "2018-03-05T17:35", "2018-03-02", ("2018-03-05T19:00", "2018-03-05"), "2018-03-05T17:35"),
]


@pytest.mark.parametrize(
    ("now", "last", "tried", "expected"), [row[1:] for row in MOMENTS], ids=[row[0] for row in MOMENTS]
)
def test_the_next_attempt(now: str, last: str | None, tried: tuple[str, str] | None, expected: str) -> None:
    attempt = Attempt(at(tried[0]), day(tried[1]), 3) if tried else None
    assert next_attempt(at(now), last and day(last), attempt, SETTINGS) == at(expected)


class World:
    """A clock that only sleeping moves, and an account whose runs succeed or not."""

    def __init__(self, start: str, last: str, until: str) -> None:
        self.now, self.last, self.until = at(start), day(last), at(until)
        self.runs: list[tuple[str, int]] = []
        self.late: list[dt.date] = []
        self.codes: list[int] = []
        self.jumps: list[tuple[dt.datetime, dt.timedelta]] = []

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.now += dt.timedelta(seconds=seconds)
        while self.jumps and self.now >= self.jumps[0][0]:
            self.now += self.jumps.pop(0)[1]
        if self.now >= self.until:
            raise KeyboardInterrupt

    def run(self) -> int:
        code = self.codes.pop(0) if self.codes else 0
        self.runs.append((f"{self.now:%m-%d %H:%M}", code))
        if code == 0:
            from engine.paper.due import last_session

            self.last = last_session(self.now, SETTINGS.ready)
        self.now += dt.timedelta(seconds=30)
        return code

    def live(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            serve(SETTINGS, lambda: self.now, self.sleep, lambda: self.last, self.run, self.late.append)


def test_a_week_runs_once_a_session() -> None:
    world = World("2018-03-02T12:00", "2018-03-01", "2018-03-09T12:00")
    world.live()
    assert world.runs == [(f"03-{d:02} 17:30", 0) for d in (2, 5, 6, 7, 8)]


def test_refusals_are_tried_again_and_told_once() -> None:
    world = World("2018-03-05T12:00", "2018-03-02", "2018-03-05T22:00")
    world.codes = [3] * 9
    world.live()
    assert [code for _, code in world.runs] == [3] * 9 + [0]
    assert world.runs[0][0] == "03-05 17:30"
    assert world.runs[1][0] == "03-05 17:40"
    assert world.late == [day("2018-03-05")]


def test_a_machine_that_slept_runs_when_it_wakes() -> None:
    world = World("2018-03-05T12:00", "2018-03-02", "2018-03-07T12:00")
    world.jumps = [(at("2018-03-05T15:00"), dt.timedelta(hours=30))]
    world.live()
    assert world.runs == [("03-06 21:00", 0)]


def test_a_clock_set_back_does_not_run_a_session_twice() -> None:
    world = World("2018-03-05T12:00", "2018-03-02", "2018-03-06T12:00")
    world.jumps = [(at("2018-03-05T18:00"), -dt.timedelta(hours=3))]
    world.live()
    assert world.runs == [("03-05 17:30", 0)]


def test_the_zone_of_the_machine_does_not_matter() -> None:
    utc = dt.datetime(2018, 3, 5, 9, 30, tzinfo=dt.UTC).astimezone(SHANGHAI)
    assert next_attempt(utc, day("2018-03-02"), None, SETTINGS) == utc
