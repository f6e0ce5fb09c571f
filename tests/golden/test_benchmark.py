"""The benchmark of a run where the index has holes: none is passed over in silence (SPEC 13.11)."""

from __future__ import annotations

import pytest

from engine.errors import DataNotFit
from tests.markets import Market, days_between

pytestmark = pytest.mark.usefixtures("holes")

IDLE = "def initialize(context): pass\ndef handle_data(context, data): pass\n"
DAYS = days_between("20180305", "20180313")
LEVELS = [100.0, 110.0, 121.0, 133.1, 146.41, 161.051, 177.1561]


def market(*missing: int) -> Market:
    """Return seven sessions of an index that gains 10 % a session, without the rows of some of them."""
    made = Market(DAYS)
    made.stock("600000.SH").bars("600000.SH", [10.0] * len(DAYS)).index(LEVELS)
    made.tables["index_daily"] = [row for n, row in enumerate(made.tables["index_daily"]) if n not in missing]
    return made


@pytest.mark.parametrize(
    ("missing", "start", "named"),
    [((3,), 0, "2018-03-08"), ((3, 4), 0, "2018-03-08"), ((2,), 3, "2018-03-07"), ((4,), 4, "2018-03-09")],
    ids=["inside", "two", "the base of the first return", "the first session"],
)
def test_a_missing_session_is_named(backtest, missing, start, named):
    with pytest.raises(DataNotFit, match=rf"the index 000905\.SH has no close on {named}"):
        backtest(market(*missing), IDLE, start=DAYS[start])


def test_a_hole_outside_the_run_does_not_matter(backtest, caplog):
    run = backtest(market(1), IDLE, start=DAYS[3])
    assert run.perf["benchmark_return"].to_list() == pytest.approx([0.1] * 4)
    assert "benchmark returns are zero" not in caplog.text


@pytest.mark.parametrize(
    ("missing", "expected"),
    [((0, 1), [0, 0, 0, 0.1, 0.1, 0.1, 0.1]), ((5, 6), [0, 0.1, 0.1, 0.1, 0.1, 0, 0])],
    ids=["it begins later", "it ends earlier"],
)
def test_before_its_first_and_after_its_last_session_the_returns_are_zero_with_a_warning(
    backtest, caplog, missing, expected
):
    run = backtest(market(*missing), IDLE)
    assert run.perf["benchmark_return"].to_list() == pytest.approx(expected)
    assert "other benchmark returns are zero" in caplog.text
