"""Every kind of fault of a vendor, met by the client over HTTP.

A fault that passes leaves no trace in the frame; one that stays ends in a named error, or is harmless. What shows only
beside other tables, other days or the calendar is listed, and is the business of the checks on what was synced.
"""

from __future__ import annotations

import polars as pl
import pytest

from bundles.demo.faults import IN_THE_CONTENT, IN_THE_EXCHANGE, KINDS, Fault
from bundles.demo.server import LocalTushare
from bundles.tushare.errors import Inconsistent, Malformed, MissingRight, NoRows, RateLimited, Transient, VendorError
from tests.vendor import DAILY, SMALL, TOKEN, Time, client_of, forty_stocks

NOT_THE_CLIENTS = {
    "missing_stocks": "the table is whole in itself; listed stocks minus suspended ones say how many there must be",
    "unit_flip": "amount over volume must lie between low and high",
    "stale_day": "every value repeats the session before",
    "restatement": "the lake, or a second reading, holds other values",
    "late_adj_factor": "a factor is missing or old where pre_close says there was an ex-day",
    "code_change": "the code is in no list of stocks",
    "wrong_ann_date": "an announcement before the end of its period",
}
"""Faults only a cross-check can see, with what sees them."""

ENDS = {
    "timeout": Transient,
    "http_5xx": Transient,
    "rate_limit": RateLimited,
    "missing_right": MissingRight,
    "broken_json": Malformed,
    "empty_day": NoRows,
    "duplicates": Inconsistent,
    "page_overlap": Inconsistent,
}
"""How a fault that stays ends; the others the client undoes: it pages on after a cut, and puts columns by name."""
UNDONE = ("truncation", "shuffled_columns")
KEYLESS = [seed for seed in range(40) if Fault("nulls", seed).chance().random() < 0.5]
"""Seeds that take the key of a row; a value that is missing is seen by the checks of the columns."""

SEEDS = range(5)
QUESTIONS = [
    ("daily", {"trade_date": "20180307"}, DAILY),
    ("stk_limit", {"start_date": "20180305", "end_date": "20180308"}, ("ts_code", "trade_date", "up_limit")),
]


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    folder = forty_stocks(tmp_path_factory.mktemp("vendor") / "market")
    with LocalTushare(folder, TOKEN, calls_per_minute=10**6, terms=SMALL, hang=0.5) as server:
        yield server


def answers(server: LocalTushare, time: Time) -> list[pl.DataFrame]:
    client = client_of(server, time, timeout=0.2)
    return [client.fetch(name, params, fields, rows_expected=True) for name, params, fields in QUESTIONS]


@pytest.fixture(scope="module")
def clean(vendor):
    vendor.plant()
    frames = answers(vendor, Time())
    assert [frame.height for frame in frames] == [40, 160]
    return frames


def seeds_of(kind: str) -> list[int]:
    return KEYLESS[: len(SEEDS)] if kind == "nulls" else list(SEEDS)


CASES = [(kind, seed) for kind in IN_THE_EXCHANGE for seed in seeds_of(kind)]


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_a_fault_that_passes_changes_nothing(vendor, clean, kind, seed):
    for at in (0, 1 + seed):
        vendor.plant(Fault(kind, seed, at))
        time = Time()
        got = answers(vendor, time)
        assert all(one.equals(other) for one, other in zip(got, clean, strict=True))
        assert sum(time.slept) < 130


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_a_fault_that_stays_is_named_or_undone(vendor, clean, kind, seed):
    vendor.plant(Fault(kind, seed, at=seed % 2, lasting=True))
    if kind in UNDONE:
        assert all(one.equals(other) for one, other in zip(answers(vendor, Time()), clean, strict=True))
        return
    with pytest.raises(ENDS.get(kind, Inconsistent)) as error:
        answers(vendor, Time())
    assert isinstance(error.value, VendorError)
    assert error.value.exit_code == 3
    assert error.value.endpoint in ("daily", "stk_limit")
    assert len(vendor.asked) < 10_000


def test_several_faults_at_once(vendor, clean):
    kinds = [kind for kind in IN_THE_EXCHANGE if ENDS.get(kind) not in (NoRows, Inconsistent)]
    vendor.plant(*(Fault(kind, KEYLESS[0], at) for at, kind in enumerate(kinds)))
    got = answers(vendor, Time())
    assert all(one.equals(other) for one, other in zip(got, clean, strict=True))


def test_the_list_is_whole():
    assert set(NOT_THE_CLIENTS) == set(IN_THE_CONTENT)
    assert {*ENDS, *UNDONE, "nulls", *NOT_THE_CLIENTS} == set(KINDS)
