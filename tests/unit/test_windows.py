"""Training windows: dates worked out by hand, and no window that could see its own future."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import sessions
from engine.errors import NotEnoughHistory, OutsideData, UsageError
from engine.model.windows import Interval, Window, first_trainable, months, name_as_of, name_of, window
from engine.settings import ModelSettings

ALL = sessions()
DAYS = ALL[(ALL >= np.datetime64("2010-01-04")) & (ALL <= np.datetime64("2019-06-28"))]
S = ModelSettings()
LAG = 21


def test_a_month_by_hand():
    """2018-01: D is 2017-12-29; the last label known then is that of 21 sessions before, 2017-11-30."""
    found = window("2018-01", DAYS, 240, LAG, S)
    assert str(DAYS[found.known_until]) == "2017-12-29"
    assert found.validation.last == found.known_until - 21
    assert str(DAYS[found.validation.last]) == "2017-11-30"
    assert str(DAYS[found.validation.first]) == "2017-05-31"
    assert found.train.last + 21 == found.validation.first - 1
    assert str(DAYS[found.train.last]) == "2017-04-26"
    assert str(DAYS[found.train.first]) == "2013-05-02"  # the first session after 2013-04-26 plus the May holiday


def test_where_the_data_begin_later_the_window_uses_what_there_is():
    found = window("2015-07", DAYS, 240, LAG, S)
    assert found.train.first == 240
    assert str(DAYS[240]) == "2010-12-30"


def test_less_than_three_years_is_refused_with_the_first_month_that_can_be_trained():
    with pytest.raises(NotEnoughHistory, match="at least 3 years") as refusal:
        window("2014-06", DAYS, 240, LAG, S)
    assert "allow the first decision on 2010-12-30" in refusal.value.why
    possible = first_trainable("2014-06", DAYS, 240, LAG, S)
    assert f"The first month they can train is {possible}: start there" in refusal.value.mend
    assert window(possible, DAYS, 240, LAG, S).train.first == 240
    months_before = [month for month in months("2014-06", possible) if month != possible]
    for month in months_before:
        with pytest.raises(NotEnoughHistory):
            window(month, DAYS, 240, LAG, S)


def test_the_data_a_refusal_asks_for_are_enough_and_no_more_than_a_month_too_many():
    with pytest.raises(NotEnoughHistory) as refusal:
        window("2014-06", DAYS, 240, LAG, S)
    begins = np.datetime64(refusal.value.mend.split("import data from ")[1][:7], "D")

    def days_from(first: np.datetime64) -> np.ndarray:
        return ALL[(ALL >= first) & (ALL <= np.datetime64("2019-06-28"))]

    assert window("2014-06", days_from(begins), 240, LAG, S).month == "2014-06"
    with pytest.raises(NotEnoughHistory):
        window("2014-06", days_from(begins + 31), 240, LAG, S)


def test_data_that_are_too_short_for_any_month():
    days = DAYS[:600]
    with pytest.raises(NotEnoughHistory, match="They can train no month: import data from"):
        window("2012-01", days, 240, LAG, S)
    with pytest.raises(NotEnoughHistory, match="They can train no month"):
        window("2010-03", days, 240, LAG, S)


@pytest.mark.parametrize("month", ["2009-12", "2010-01", "2019-08", "2030-01"])
def test_a_month_outside_the_data_is_refused(month):
    with pytest.raises((OutsideData, NotEnoughHistory)):
        window(month, DAYS, 240, LAG, S)


def test_the_month_after_the_last_session_can_be_trained():
    assert str(DAYS[window("2019-07", DAYS, 240, LAG, S).known_until]) == "2019-06-28"


@given(st.integers(2014, 2019), st.integers(1, 12), st.integers(1, 40))
def test_no_label_of_a_window_is_known_after_its_use(year, month, lag):
    try:
        found = window(f"{year}-{month:02d}", DAYS, 240, lag, S)
    except (OutsideData, NotEnoughHistory):
        return
    assert found.train.last + lag < found.validation.first
    assert found.validation.last + lag <= found.known_until
    assert DAYS[found.known_until] < np.datetime64(f"{year}-{month:02d}-01")


@pytest.mark.parametrize(
    ("train", "validation", "known_until"),
    [
        ((0, 100), (121, 150), 171),
        ((0, 100), (122, 151), 171),
        ((100, 50), (122, 150), 171),
        ((0, 100), (150, 122), 171),
    ],
)
def test_an_overlapping_window_cannot_be_made(train, validation, known_until):
    with pytest.raises(AssertionError):
        Window("2018-01", known_until, Interval(*train), Interval(*validation), LAG)


def test_months_of_a_range():
    assert list(months("2018-11", "2019-02")) == ["2018-11", "2018-12", "2019-01", "2019-02"]


@pytest.mark.parametrize(("start", "end"), [("2018-13", "2019-01"), ("2018", "2019"), ("2019-02", "2018-01")])
def test_months_badly_written(start, end):
    with pytest.raises(UsageError):
        list(months(start, end))


def test_the_months_of_2018_need_the_data_the_readme_says():
    def first_of_training(begins: str) -> int:
        days = ALL[(ALL >= np.datetime64(begins)) & (ALL <= np.datetime64("2018-12-28"))]
        return window("2018-01", days, 240, LAG, S).train.first

    assert first_of_training("2013-05-01") == 240
    assert first_of_training("2012-05-01") > 240  # all four years it wants
    with pytest.raises(NotEnoughHistory):
        first_of_training("2013-06-01")


def test_an_event_by_hand():
    """As of Thursday 2018-03-15: the last label known at its close is that of 21 sessions before, 2018-02-07.

    Back from 15 March: 14, 13, 12, 9, 8, 7, 6, 5, 2, 1 (10), 28 Feb, 27, 26, 23, 22 (15), closed for the Spring
    Festival from the 15th to the 21st, 14, 13, 12, 9, 8 (20), 7 (21).
    """
    found = window("2018-03-15", DAYS, 240, LAG, S)
    assert (found.name, found.month, str(DAYS[found.known_until])) == ("2018-03-15", "2018-03", "2018-03-15")
    assert str(DAYS[found.validation.last]) == "2018-02-07"
    assert str(DAYS[found.validation.first]) == "2017-08-08"
    assert found.train.last + 21 == found.validation.first - 1


def test_the_last_session_of_a_month_names_the_next_month_s_model():
    assert name_as_of(dt.date(2018, 3, 29)) == "2018-03-29"
    assert name_as_of(dt.date(2018, 3, 30)) == "2018-04"
    assert name_as_of(dt.date(2018, 12, 28)) == "2019-01"
    assert name_as_of(ALL[-1].item()) == str(ALL[-1])  # nobody knows what follows
    month, day = (window(name, DAYS, 240, LAG, S) for name in ("2018-04", "2018-03-30"))
    assert dataclasses.replace(day, name="2018-04") == month


@given(st.integers(1200, len(DAYS) - 1), st.integers(1, 40))
def test_no_label_of_an_event_s_window_is_known_after_it(row, lag):
    found = window(str(DAYS[row]), DAYS, 240, lag, S)
    assert found.train.last + lag < found.validation.first
    assert found.validation.last + lag == found.known_until == row


@pytest.mark.parametrize("day", ["2018-03-17", "2009-12-31", "2019-07-01"])
def test_a_day_that_is_no_session_of_the_data_is_refused(day):
    with pytest.raises(OutsideData, match=f"as of {day}"):
        window(day, DAYS, 240, LAG, S)


def test_an_event_with_too_little_before_it_is_refused():
    with pytest.raises(NotEnoughHistory, match=r"for 2014-06-18.*The first month they can train is"):
        window("2014-06-18", DAYS, 240, LAG, S)


@pytest.mark.parametrize("text", ["2018-03-32", "2018-3-5", "20180315", "2018-13", ""])
def test_a_model_s_name_badly_written(text):
    with pytest.raises(UsageError):
        name_of(text)


def test_a_model_s_name_is_a_month_or_a_day():
    assert [name_of(text) for text in ("2018-03", "2018-03-15")] == ["2018-03", "2018-03-15"]
