"""Which years of the calendar a sync asks for: all of them, and never next year alone, which may not be out yet."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from bundles.sync.plan import Span, directory


@pytest.mark.parametrize("first", range(2005, 2027))
def test_next_year_is_never_asked_alone(first):
    today = dt.date(2026, 11, 22)
    asked = [dict(question.params) for question in directory(Span(dt.date(first, 1, 4), today, None, today))]
    bounds = [(params["start_date"], params["end_date"]) for params in asked if "exchange" in params]
    assert bounds[0][0] == f"{first}0101"
    assert bounds[-1][1] == "20271231"
    assert all(int(begin[:4]) <= today.year for begin, _ in bounds)
    assert all(int(end[:4]) + 1 == int(begin[:4]) for (_, end), (begin, _) in itertools.pairwise(bounds))
