"""The inbox gives answers back as they came, and says so where it cannot."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bundles.sync.inbox import Inbox
from bundles.sync.plan import Question
from engine.errors import Damaged

TODAY = dt.date(2018, 5, 2)
QUESTION = Question("daily", "daily", (("trade_date", "20180425"),), ("ts_code",), dt.date(2018, 4, 25))
ANSWER = pl.DataFrame(
    {
        "ts_code": ["600000.SH", None],
        "name": ["甲", ""],
        "close": [10.1, float("nan")],
        "n": [1, None],
        "no": [None, None],
    }
)


@pytest.fixture
def inbox(tmp_path):
    inbox = Inbox(tmp_path, TODAY)
    inbox.put(QUESTION, ANSWER)
    return inbox


def test_an_answer_comes_back_with_its_values_and_types(inbox):
    assert_frame_equal(inbox.read([QUESTION]), ANSWER, check_exact=True)


def test_an_answer_that_is_not_there(inbox):
    inbox.drop([QUESTION])
    with pytest.raises(KeyError):
        inbox.read([QUESTION])


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PAR1" + b[4:]])
def test_a_broken_file_is_named(inbox, spoil):
    path = inbox.find(QUESTION)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(Damaged, match="Remove it and run"):
        inbox.read([QUESTION])
