"""What was known of the reports and when: a company's announcements, worked out by hand."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from bundles.endpoints import ENDPOINTS
from bundles.reports import states

FETCHED = dt.date(2020, 1, 2)


def day(text: str) -> dt.date:
    return dt.datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007


def known(rows: list[dict], undated: str = "six_months") -> pl.DataFrame:
    """Return report rows as the importer leaves them: with ``known_at``."""
    common = {
        "ts_code": "600000.SH",
        "report_type": "1",
        "comp_type": None,
        "update_flag": "0",
        "ann_date": None,
        "f_ann_date": None,
    }
    items = dict.fromkeys(
        ("revenue", "oper_cost", "n_income_attr_p", "total_assets", "total_liab", "total_hldr_eqy_exc_min_int")
    )
    frame = pl.DataFrame([common | items | row for row in rows], infer_schema_length=None)
    frame = frame.with_columns(
        *(
            pl.col(name).cast(pl.String).str.strptime(pl.Date, "%Y%m%d")
            for name in ("end_date", "ann_date", "f_ann_date")
        ),
        *(pl.col(name).cast(pl.Float64) for name in items),
        pl.col("comp_type").cast(pl.String),
        sid=0,
    )
    return frame.with_columns(known_at=ENDPOINTS["income"].known(FETCHED, undated)).filter(
        pl.col("known_at").is_not_null()
    )


def history(income: list[dict], balance: list[dict] = (), financial: frozenset[int] = frozenset()) -> dict[str, dict]:
    """Return the states by the day they became known."""
    found = states(
        known(income),
        known(list(balance) or income[:0] or [{"end_date": "19000331", "ann_date": "19000401"}]),
        financial,
    )
    table = {name: values.tolist() for name, values in found.columns.items()}
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return {str(at): row for at, row in zip(found.known_at.tolist(), rows, strict=True) if at.year > 1900}


FLOWS = [
    {"end_date": "20160930", "ann_date": "20161028", "n_income_attr_p": 30.0},
    {"end_date": "20161231", "ann_date": "20170330", "n_income_attr_p": 50.0},
    {"end_date": "20170331", "ann_date": "20170428", "n_income_attr_p": 20.0},
    {"end_date": "20170930", "ann_date": "20171030", "n_income_attr_p": 48.0},
]


def test_trailing_year_is_this_year_plus_last_year_minus_the_same_part_of_it():
    found = history(FLOWS)
    assert math.isnan(found["2016-10-28"]["profit_ttm"])  # nothing of 2015 is known
    assert found["2017-03-30"]["profit_ttm"] == 50.0  # a full year is its own
    assert math.isnan(found["2017-04-28"]["profit_ttm"])  # the first quarter of 2016 is not known
    assert found["2017-10-30"]["profit_ttm"] == 48 + 50 - 30
    assert found["2017-10-30"]["profit_ytd_prior"] == 30.0


def test_all_items_come_from_the_newest_period_of_which_any_table_is_known():
    income = [*FLOWS[:2], {"end_date": "20170331", "ann_date": "20170429", "n_income_attr_p": 20.0, "revenue": 9.0}]
    balance = [
        {"end_date": "20161231", "ann_date": "20170330", "total_assets": 100.0, "total_liab": 40.0},
        {"end_date": "20170331", "ann_date": "20170427", "total_assets": 110.0, "total_liab": None},
    ]
    found = history(income, balance)
    assert found["2017-03-30"]["total_liab"] == 40.0
    assert found["2017-04-27"]["total_assets"] == 110.0
    assert math.isnan(found["2017-04-27"]["total_liab"])  # not the older 40
    assert math.isnan(found["2017-04-27"]["profit_ytd"])  # the statement of the period is not out yet
    assert found["2017-04-29"]["profit_ytd"] == 20.0


def test_an_older_report_that_comes_late_does_not_become_the_newest():
    late = [FLOWS[1], {"end_date": "20160930", "ann_date": "20170415", "n_income_attr_p": 30.0}]
    found = history(late)
    assert found["2017-04-15"]["period_end"] == (dt.date(2016, 12, 31) - dt.date(1970, 1, 1)).days


def test_the_first_announcement_decides_and_an_impossible_one_does_not():
    rows = [
        {"end_date": "20161231", "ann_date": "20170420", "f_ann_date": "20170330", "n_income_attr_p": 1.0},
        {"end_date": "20170331", "ann_date": "20170331", "n_income_attr_p": 2.0},  # not later than its period's end
    ]
    found = history(rows)
    assert list(found) == ["2017-03-30", "2017-09-30"]  # the second is known six months after its period


@pytest.mark.parametrize(
    ("undated", "end", "expected"),
    [
        ("six_months", "20161231", "2017-06-30"),
        ("six_months", "20170331", "2017-09-30"),
        ("statutory", "20161231", "2017-04-30"),
        ("statutory", "20170331", "2017-04-30"),
        ("statutory", "20170630", "2017-08-31"),
        ("statutory", "20170930", "2017-10-31"),
        ("statutory", "20170831", "2018-02-28"),
        ("drop", "20161231", None),
    ],
)
def test_a_report_without_a_date(undated, end, expected):
    frame = known([{"end_date": end}], undated)
    assert [str(at) for at in frame["known_at"].to_list()] == ([expected] if expected else [])


def test_a_correction_without_a_date_of_its_own_is_known_when_it_was_fetched():
    rows = [
        {"end_date": "20161231", "ann_date": "20170330", "n_income_attr_p": 50.0, "update_flag": "0"},
        {"end_date": "20161231", "ann_date": "20170330", "n_income_attr_p": 45.0, "update_flag": "1"},
    ]
    found = history(rows)
    assert found["2017-03-30"]["profit_ytd"] == 50.0
    assert found[str(FETCHED)]["profit_ytd"] == 45.0


def test_a_correction_with_a_date_of_its_own_is_known_then():
    rows = [
        {"end_date": "20161231", "ann_date": "20170330", "n_income_attr_p": 50.0, "update_flag": "0"},
        {"end_date": "20161231", "ann_date": "20170620", "n_income_attr_p": 45.0, "update_flag": "1"},
    ]
    assert {at: row["profit_ytd"] for at, row in history(rows).items()} == {"2017-03-30": 50.0, "2017-06-20": 45.0}


def test_a_report_of_which_only_the_corrected_row_exists_is_used():
    rows = [{"end_date": "20161231", "ann_date": "20170330", "n_income_attr_p": 45.0, "update_flag": "1"}]
    assert history(rows)["2017-03-30"]["profit_ytd"] == 45.0


def test_other_report_types_are_left_out():
    rows = [FLOWS[1], {**FLOWS[1], "report_type": "4", "n_income_attr_p": 999.0}]
    assert history(rows)["2017-03-30"]["profit_ytd"] == 50.0


def test_a_period_that_ends_no_quarter_is_no_obstacle():
    found = history([{"end_date": "20160229", "ann_date": "20160420", "n_income_attr_p": 5.0}])
    assert found["2016-04-20"]["profit_ytd"] == 5.0
    assert math.isnan(found["2016-04-20"]["profit_ytd_prior"])


@pytest.mark.parametrize(
    ("comp_type", "financial", "expected"),
    [("1", True, 0), ("2", False, 1), ("4", False, 1), (None, True, 1), (None, False, 0)],
)
def test_financial_companies_by_kind_of_report_else_by_industry(comp_type, financial, expected):
    rows = [{**FLOWS[1], "comp_type": comp_type}]
    sids = frozenset({0}) if financial else frozenset()
    assert history(rows, financial=sids)["2017-03-30"]["is_financial"] == expected
