"""The gates of paper trading, on panels made by hand: what is refused, and what looks odd and is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.panels.store import FIELDS, LIMIT_RECORDED, LISTED, SUSPENDED, TRADED
from engine.paper.gates import refusals

STOCKS, SESSIONS = 1000, 8
DAYS = np.arange("2018-03-05", "2018-03-15", dtype="datetime64[D]")[[0, 1, 2, 3, 4, 7, 8, 9]]
TODAY = dt.date(2018, 3, 14)
INDEX = "000905.SH"


class Hand:
    """Panels of a thousand stocks that trade every day, each day at other prices."""

    def __init__(self) -> None:
        self.days = DAYS
        drawn = np.random.default_rng(7)
        self.fields: dict[str, npt.NDArray[Any]] = {
            name: drawn.integers(1000, 10_000, (SESSIONS, STOCKS)).astype(FIELDS[name].dtype)
            for name in ("close", "volume", "amount", "total_mv", "turnover_rate")
        }
        self.fields["status"] = np.full((SESSIONS, STOCKS), TRADED | LISTED | LIMIT_RECORDED, dtype=np.uint8)
        self.closes: npt.NDArray[np.float64] | None = np.linspace(5000, 5100, SESSIONS)

    def field(self, name: str) -> npt.NDArray[Any]:
        return self.fields[name]

    def index(self, code: str, price: str) -> npt.NDArray[np.float64] | None:
        assert (code, price) == (INDEX, "close")
        return self.closes

    def silent(self, count: int, rows: slice = slice(-1, None)) -> None:
        """Let the first stocks have no bar."""
        self.fields["status"][rows, :count] = LISTED

    def suspend(self, count: int, rows: slice = slice(-1, None)) -> None:
        """Suspend the first stocks."""
        self.fields["status"][rows, :count] = LISTED | SUSPENDED

    def repeat(self, count: int, *names: str) -> None:
        """Give the first stocks yesterday's values."""
        for name in names or ("close", "volume", "amount"):
            self.fields[name][-1, :count] = self.fields[name][-2, :count]

    def lose(self, name: str, count: int, rows: slice = slice(-1, None)) -> None:
        """Take what a side table says of the first stocks away."""
        if name == "stk_limit":
            self.fields["status"][rows, :count] &= ~np.uint8(LIMIT_RECORDED)
        else:
            self.fields[name][rows, :count] = np.nan

    def no_index(self, *rows: int) -> None:
        assert self.closes is not None
        self.closes[[*rows]] = np.nan

    def ends(self, sessions: int) -> None:
        self.days = self.days[:sessions]


def everything(hand: Hand) -> None:
    """Change nothing."""


SIDE = ("daily_basic", "the turnover of daily_basic", "stk_limit")
CASES: list[tuple[str, Callable[[Hand], None], list[str]]] = [
    ("a day like any", everything, []),
    ("the bundle ends a session before", lambda hand: hand.ends(7), ["there are no data of 2018-03-14"]),
    (
        "no bar at all",
        lambda hand: hand.silent(STOCKS),
        [f"{name} of 2018-03-14 is thin" for name in ("daily", *SIDE)],
    ),
    ("6 of 1,000 bars missing", lambda hand: hand.silent(6), ["daily of 2018-03-14 is thin"]),
    ("5 of 1,000 bars missing: 99.5 % are there", lambda hand: hand.silent(5), []),
    ("half the market suspended", lambda hand: hand.suspend(500), []),
    ("half the market back", lambda hand: hand.suspend(500, slice(0, -1)), []),
    ("all but three suspended", lambda hand: hand.suspend(997), []),
    ("yesterday again", lambda hand: hand.repeat(STOCKS), ["daily of 2018-03-14 repeats the session before"]),
    ("501 as yesterday", lambda hand: hand.repeat(501), ["daily of 2018-03-14 repeats the session before"]),
    ("500 as yesterday", lambda hand: hand.repeat(500), []),
    ("all closes as yesterday, other volumes", lambda hand: hand.repeat(STOCKS, "close"), []),
    (
        "half suspended, the others as yesterday",
        lambda hand: (hand.suspend(500), hand.repeat(STOCKS)),
        ["daily of 2018-03-14 repeats the session before"],
    ),
    ("suspended as yesterday", lambda hand: (hand.suspend(500, slice(-2, None)), hand.repeat(500)), []),
    ("no total_mv", lambda hand: hand.lose("total_mv", STOCKS), ["daily_basic of 2018-03-14 is thin"]),
    ("11 without total_mv", lambda hand: hand.lose("total_mv", 11), ["daily_basic of 2018-03-14 is thin"]),
    ("10 without total_mv: twice what coverage allows", lambda hand: hand.lose("total_mv", 10), []),
    ("never a total_mv", lambda hand: hand.lose("total_mv", STOCKS, slice(None)), []),
    ("half never had one", lambda hand: hand.lose("total_mv", 500, slice(None)), []),
    (
        "none for two sessions",
        lambda hand: hand.lose("total_mv", STOCKS, slice(-2, None)),
        ["daily_basic of 2018-03-14 is thin"],
    ),
    (
        "no turnover",
        lambda hand: hand.lose("turnover_rate", STOCKS),
        ["the turnover of daily_basic of 2018-03-14 is thin"],
    ),
    ("no limits", lambda hand: hand.lose("stk_limit", STOCKS), ["stk_limit of 2018-03-14 is thin"]),
    ("never any limits", lambda hand: hand.lose("stk_limit", STOCKS, slice(None)), []),
    ("limits begin today", lambda hand: hand.lose("stk_limit", STOCKS, slice(0, -1)), []),
    ("no index today", lambda hand: hand.no_index(-1), ["the index 000905.SH has no row of 2018-03-14"]),
    ("nor yesterday", lambda hand: hand.no_index(-1, -2), ["the index 000905.SH has no row of 2018-03-14"]),
    ("never an index", lambda hand: hand.no_index(*range(SESSIONS)), []),
    ("no index yesterday", lambda hand: hand.no_index(-2), []),
    ("an index the lake does not have", lambda hand: setattr(hand, "closes", None), []),
]


def found_in(hand: Hand, coverage: float = 0.995) -> list[str]:
    return [one.what for one in refusals(hand, TODAY, coverage, INDEX)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("change", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_refused(change: Callable[[Hand], object], expected: list[str]) -> None:
    hand = Hand()
    change(hand)
    assert found_in(hand) == expected


def test_coverage_is_of_those_that_should_trade() -> None:
    """3 of 500 is more than 0.5 %, though 3 of 1,000 is not."""
    hand = Hand()
    hand.silent(503)
    hand.suspend(500)
    (refused,) = refusals(hand, TODAY, 0.995, INDEX)  # type: ignore[arg-type]
    assert refused.what == "daily of 2018-03-14 is thin"
    assert refused.why == "497 of 500 stocks have a bar, 99.5% must"
    assert "ashare data sync --build" in refused.mend


def test_a_coverage_of_nothing_does_not_look() -> None:
    hand = Hand()
    hand.silent(999)
    hand.lose("total_mv", STOCKS)
    assert found_in(hand, coverage=0.0) == []


def test_the_first_session_of_a_bundle_has_nothing_before_it() -> None:
    hand = Hand()
    hand.ends(1)
    for name in hand.fields:
        hand.fields[name] = hand.fields[name][:1]
    hand.closes = np.array([np.nan])
    hand.lose("total_mv", STOCKS)
    assert [one.what for one in refusals(hand, dt.date(2018, 3, 5), 0.995, INDEX)] == []  # type: ignore[arg-type]
