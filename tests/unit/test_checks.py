"""Each check against a clean market of twelve stocks and five sessions in which one thing is planted."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from bundles import checks
from bundles.checks import Context, findings
from bundles.cli import data
from bundles.endpoints import ENDPOINTS
from bundles.importer import import_folder
from bundles.lake import Lake, Part
from engine.calendar import sessions
from engine.errors import DataNotFit
from engine.files import read_json, sha256_of, write_json
from tests.conftest import ingest
from tests.markets import Market, days_between

Tables = dict[str, pl.DataFrame]

CODES = [f"{600000 + i}.SH" for i in range(12)]
DAYS = [day for day in sessions().tolist() if dt.date(2018, 3, 5) <= day <= dt.date(2018, 3, 9)]
BEFORE, DAY = DAYS[0], DAYS[2]
TODAY = dt.date(2018, 3, 12)
QUARTER, ANNOUNCED = dt.date(2017, 12, 31), dt.date(2018, 2, 28)


def frame(endpoint: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ENDPOINTS[endpoint].types)


def close_of(stock: int, row: int) -> float:
    return round(10 + stock + 0.1 * row, 2)


def bar(stock: int, row: int) -> dict[str, object]:
    close = close_of(stock, row)
    lots = 1000.0 + 10 * row
    return {
        "ts_code": CODES[stock],
        "trade_date": DAYS[row],
        "open": close,
        "high": round(close + 0.05, 2),
        "low": round(close - 0.05, 2),
        "close": close,
        "pre_close": close_of(stock, row - 1),
        "vol": lots,
        "amount": lots * close / 10,
    }


def limits(stock: int, row: int) -> dict[str, float]:
    reference = close_of(stock, row - 1)
    return {"up_limit": round(reference * 1.1, 2), "down_limit": round(reference * 0.9, 2)}


def report(code: str) -> dict[str, object]:
    dates = {"end_date": QUARTER, "ann_date": ANNOUNCED, "f_ann_date": ANNOUNCED}
    return {"ts_code": code, **dates, "report_type": "1", "comp_type": "1", "update_flag": "0"}


def clean() -> Tables:
    cells = [(stock, row) for stock in range(12) for row in range(5)]
    key = {cell: {"ts_code": CODES[cell[0]], "trade_date": DAYS[cell[1]]} for cell in cells}
    return {
        "stock_basic": frame(
            "stock_basic",
            [{"ts_code": c, "name": "某某", "list_status": "L", "list_date": dt.date(2001, 1, 2)} for c in CODES],
        ),
        "daily": frame("daily", [bar(*cell) for cell in cells]),
        "adj_factor": frame("adj_factor", [key[cell] | {"adj_factor": 2.0} for cell in cells]),
        "daily_basic": frame(
            "daily_basic",
            [key[s, r] | {"turnover_rate": 1 + 0.1 * r, "total_mv": 1e5 * close_of(s, r)} for s, r in cells],
        ),
        "stk_limit": frame("stk_limit", [key[cell] | limits(*cell) for cell in cells]),
        "suspend_d": frame("suspend_d", []),
        "namechange": frame(
            "namechange", [{"ts_code": c, "name": "某某", "start_date": dt.date(2001, 1, 2)} for c in CODES]
        ),
        "dividend": frame("dividend", []),
        "income": frame("income", [report(c) | {"revenue": 1e9} for c in CODES]),
        "balancesheet": frame("balancesheet", [report(c) | {"total_assets": 5e9} for c in CODES]),
        "index_daily": frame(
            "index_daily",
            [{"ts_code": "000905.SH", "trade_date": d, "open": 5000.0 + d.day, "close": 5000.0} for d in DAYS],
        ),
        "stock_st": frame("stock_st", []),
    }


NOTHING = {name: frame(name, []) for name in ("rights", "code_changes")}
Context_ = Callable[[Context], Context]


def look(tables: Tables, change: Context_ = lambda context: context) -> pl.DataFrame:
    """Look at all sessions but the first, which is what was there before."""
    given = {name: tables[name] for name in ("stock_basic", "namechange", "dividend")} | NOTHING
    context = Context(
        sessions=tuple(DAYS[1:]), today=TODAY, **given, held_codes=frozenset(CODES), indexes={"000905.SH": DAYS[0]}
    )
    context = change(context)
    parts = {
        name: [table.filter(pl.col("trade_date") == BEFORE), table.filter(pl.col("trade_date") != BEFORE)]
        for name, table in tables.items()
        if "trade_date" in table.columns
    }
    before = checks.last_bars(checks._joined({name: first for name, (first, _) in parts.items()}, {}))
    return findings(tables | {name: rest for name, (_, rest) in parts.items()}, replace(context, before=before))


def at(code: str = CODES[3], day: dt.date = DAY) -> pl.Expr:
    return (pl.col("ts_code") == code) & (pl.col("trade_date") == day)


def with_cell(tables: Tables, endpoint: str, **values: object) -> Tables:
    """Set columns of one stock in one session."""
    changed = [pl.when(at()).then(pl.lit(value)).otherwise(name).alias(name) for name, value in values.items()]
    return tables | {endpoint: tables[endpoint].with_columns(changed)}


def without(tables: Tables, endpoint: str, where: pl.Expr) -> Tables:
    return tables | {endpoint: tables[endpoint].filter(~where)}


def added(tables: Tables, endpoint: str, *rows: dict[str, object]) -> Tables:
    return tables | {endpoint: pl.concat([tables[endpoint], frame(endpoint, list(rows))])}


def said(found: pl.DataFrame) -> set[tuple[str, str, str | None, dt.date | None]]:
    return set(found.select("check", "endpoint", "ts_code", "trade_date").iter_rows())


def one(check: str, endpoint: str) -> set[tuple[str, str, str | None, dt.date | None]]:
    return {(check, endpoint, CODES[3], DAY)}


def test_a_clean_market_gives_no_finding() -> None:
    assert look(clean()).is_empty()


def test_findings_have_their_columns_also_where_there_are_none() -> None:
    assert look(clean()).schema == pl.Schema(checks.FINDINGS)


@pytest.mark.parametrize("endpoint", ["daily", "adj_factor", "daily_basic", "stk_limit"])
def test_a_missing_row(endpoint: str) -> None:
    found = look(without(clean(), endpoint, at()))
    assert ("missing", endpoint, CODES[3], DAY) in said(found)
    assert not found["holds_back"].any()
    assert found.filter(pl.col("check") == "missing").height == 1


def test_a_suspended_stock_needs_no_bar() -> None:
    tables = {name: table.filter(~at()) if "trade_date" in table.columns else table for name, table in clean().items()}
    whole = {"ts_code": CODES[3], "trade_date": DAY, "suspend_type": "S"}
    assert "missing" in set(look(tables)["check"])
    assert "missing" not in set(look(added(tables, "suspend_d", whole))["check"])
    halted = look(added(tables, "suspend_d", whole | {"suspend_timing": "09:30-10:00"}))
    assert "missing" in set(halted["check"]), "a halt of minutes explains no missing bar"


def test_a_stock_needs_no_bar_before_its_listing_nor_from_its_delisting() -> None:
    tables = clean()
    span = {"list_date": DAYS[2], "delist_date": DAYS[4]}
    changed = [
        pl.when(pl.col("ts_code") == CODES[3]).then(pl.lit(day)).otherwise(n).alias(n) for n, day in span.items()
    ]
    tables["stock_basic"] = tables["stock_basic"].with_columns(changed)
    found = look(without(tables, "daily", pl.col("ts_code") == CODES[3])).filter(pl.col("check") == "missing")
    assert found["trade_date"].to_list() == DAYS[2:4]


def test_a_changed_code_ends_where_its_successor_begins() -> None:
    tables, old, new = clean(), CODES[3], "601872.SH"
    renamed = pl.when((pl.col("ts_code") == old) & (pl.col("trade_date") >= DAY)).then(pl.lit(new)).otherwise("ts_code")
    for name in ("daily", "adj_factor", "daily_basic", "stk_limit"):
        tables[name] = tables[name].with_columns(ts_code=renamed)
    for name in ("stock_basic", "namechange", "income", "balancesheet"):
        tables[name] = tables[name].with_columns(pl.col("ts_code").replace({old: new}))
    changes = frame("code_changes", [{"old": old, "new": new, "date": DAY}])
    assert look(tables, lambda context: replace(context, code_changes=changes)).is_empty()
    unexplained = set(look(tables)["check"])
    assert unexplained == {"missing", "unknown_code"}


def test_a_missing_session_of_an_index() -> None:
    found = look(without(clean(), "index_daily", pl.col("trade_date") == DAY))
    assert said(found) == {("missing", "index_daily", "000905.SH", DAY)}


def test_a_stock_that_stock_basic_no_longer_names() -> None:
    found = look(clean(), lambda context: replace(context, held_codes=context.held_codes | {"600999.SH"}))
    assert said(found) == {("missing", "stock_basic", "600999.SH", None)}


def test_a_code_nobody_knows() -> None:
    tables = clean()
    tables["daily_basic"] = tables["daily_basic"].with_columns(
        ts_code=pl.when(at()).then(pl.lit("603990.SH")).otherwise("ts_code")
    )
    found = look(tables)
    assert said(found) == {
        ("unknown_code", "daily_basic", "603990.SH", DAY),
        ("missing", "daily_basic", CODES[3], DAY),
    }


def test_a_bar_of_a_suspended_stock() -> None:
    row = {"ts_code": CODES[3], "trade_date": DAY, "suspend_type": "S"}
    assert said(look(added(clean(), "suspend_d", row))) == one("bar_while_suspended", "daily")


def test_a_bar_before_the_listing() -> None:
    tables = clean()
    listed = pl.when(pl.col("ts_code") == CODES[3]).then(pl.lit(DAYS[2])).otherwise("list_date")
    tables["stock_basic"] = tables["stock_basic"].with_columns(list_date=listed)
    assert said(look(tables)) == {
        ("bar_outside_listing", "daily", CODES[3], DAYS[1]),
    }


@pytest.mark.parametrize("values", [{"vol": 102_000.0}, {"amount": 1_020.0 * 13.2 / 10 * 1000}])
def test_volume_or_amount_in_another_unit(values: dict[str, float]) -> None:
    found = look(with_cell(clean(), "daily", **values))
    assert said(found) == one("mean_price", "daily")
    assert found["holds_back"].all()


def test_a_mean_price_one_percent_outside_is_rounding() -> None:
    amount = 1020.0 * 13.25 * 1.009 / 10
    assert look(with_cell(clean(), "daily", amount=amount)).is_empty()


def test_a_day_of_market_caps_in_another_unit() -> None:
    tables = clean()
    flipped = pl.when(pl.col("trade_date") == DAY).then(pl.col("total_mv") * 10_000).otherwise("total_mv")
    tables["daily_basic"] = tables["daily_basic"].with_columns(total_mv=flipped)
    found = look(tables)
    assert ("market_cap_median", "daily_basic", None, DAY) in said(found)
    assert found["holds_back"].all()
    kept, held = checks.apart("daily_basic", tables["daily_basic"], found)
    assert DAY not in set(kept["trade_date"])
    assert str(DAY) in set(held["trade_date"])


def test_one_market_cap_in_another_unit_is_held_back_and_a_jump_is_not() -> None:
    found = look(with_cell(clean(), "daily_basic", total_mv=1e5 * 13.2 * 10_000))
    assert said(found) == {("market_cap_flip", "daily_basic", CODES[3], day) for day in (DAY, DAYS[3])}
    jump = look(with_cell(clean(), "daily_basic", total_mv=1e5 * 13.2 * 6))
    assert said(jump) == {("market_cap_jump", "daily_basic", CODES[3], day) for day in (DAY, DAYS[3])}
    assert not jump["holds_back"].any()


def test_a_bar_beyond_its_limits_and_a_session_without_limits() -> None:
    found = look(with_cell(clean(), "stk_limit", up_limit=13.21, down_limit=12.99))
    assert said(found) == one("beyond_limits", "daily")
    assert look(with_cell(clean(), "stk_limit", up_limit=99_999.99, down_limit=0.01)).is_empty()
    assert look(with_cell(clean(), "stk_limit", up_limit=None, down_limit=None)).is_empty()


def test_limits_that_do_not_lie_around_the_previous_close() -> None:
    found = look(with_cell(clean(), "stk_limit", up_limit=16.0, down_limit=12.0))
    assert said(found) == one("limits_off_centre", "stk_limit")
    assert not found["holds_back"].any()


def test_limits_of_another_day() -> None:
    tables = clean()
    moved = [pl.when(pl.col("trade_date") == DAY).then(pl.col(n) * 1.03).otherwise(n).alias(n) for n in checks._LIMITS]
    tables["stk_limit"] = tables["stk_limit"].with_columns(moved)
    found = look(tables).filter("holds_back")
    assert said(found) == {("limits_of_another_day", "stk_limit", None, DAY)}


def test_a_previous_close_that_is_not_the_close_before() -> None:
    tables = with_cell(clean(), "daily", pre_close=13.3)
    found = look(with_cell(tables, "stk_limit", up_limit=14.63, down_limit=11.97))
    assert said(found) == one("pre_close", "daily")


def dividend_of(code: str, ex: dt.date, cash: float) -> dict[str, object]:
    return {"ts_code": code, "end_date": QUARTER, "div_proc": "实施", "cash_div_tax": cash, "ex_date": ex, "plan": 0}


def going_ex(tables: Tables, factor: bool = True) -> Tables:
    """Let one stock go ex a tenth of its price."""
    bars = pl.col("ts_code") == CODES[3], pl.col("trade_date") >= DAY
    if factor:
        moved = pl.when(*bars).then(pl.col("adj_factor") / 0.9).otherwise("adj_factor")
        tables = tables | {"adj_factor": tables["adj_factor"].with_columns(moved.alias("adj_factor"))}
    scaled = [
        pl.when(*bars).then((pl.col(name) * 0.9).round(2)).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close", "pre_close")
    ]
    amount = pl.when(*bars).then(pl.col("amount") * 0.9).otherwise("amount").alias("amount")
    limits = [pl.when(*bars).then((pl.col(n) * 0.9).round(2)).otherwise(n).alias(n) for n in checks._LIMITS]
    return tables | {
        "daily": tables["daily"].with_columns(*scaled, amount),
        "stk_limit": tables["stk_limit"].with_columns(limits),
    }


def test_a_change_of_the_factor_with_and_without_a_dividend() -> None:
    tables = going_ex(clean())
    assert said(look(tables)) == one("suspected_rights", "adj_factor")
    assert look(added(tables, "dividend", dividend_of(CODES[3], DAY, 1.32))).is_empty()
    late = look(added(tables, "dividend", dividend_of(CODES[3], DAYS[3], 1.32)))
    assert said(late) == one("suspected_rights", "adj_factor"), "the plan of the day after explains nothing"
    rights = frame("rights", [{"ts_code": CODES[3], "ex_date": DAY, "ratio": 0.3, "price": 5.0}])
    assert look(tables, lambda context: replace(context, rights=rights)).is_empty()


def test_a_factor_that_is_late_on_an_ex_date_is_held_back() -> None:
    tables = added(going_ex(clean(), factor=False), "dividend", dividend_of(CODES[3], DAY, 1.32))
    found = look(tables)
    assert said(found) == one("pre_close", "daily") | one("late_factor", "adj_factor")
    assert found.filter("holds_back")["check"].to_list() == ["late_factor"]


@pytest.mark.parametrize("endpoint", ["daily", "daily_basic", "stk_limit"])
def test_a_stale_day_is_held_back_whole(endpoint: str) -> None:
    tables = clean()
    table = tables[endpoint]
    stale = table.filter(pl.col("trade_date") == DAYS[1]).with_columns(trade_date=pl.lit(DAY))
    tables[endpoint] = pl.concat([table.filter(pl.col("trade_date") != DAY), stale])
    found = look(tables).filter("holds_back")
    assert said(found) == {("stale_day", endpoint, None, DAY)}
    kept, held = checks.apart(endpoint, tables[endpoint], found)
    assert kept.height == table.height - 12
    assert held["check"].unique().to_list() == ["stale_day"]


def test_limits_repeat_where_the_previous_close_does() -> None:
    tables = clean()
    first = {name: pl.col(name).first().over("ts_code") for name in ("open", "high", "low", "close", "pre_close")}
    tables["daily"] = tables["daily"].with_columns(
        **first, amount=pl.col("vol") * pl.col("close").first().over("ts_code") / 10
    )
    tables["daily"] = tables["daily"].with_columns(pre_close="close")
    limits = [
        (pl.col("close") * share).round(2).alias(name) for name, share in zip(checks._LIMITS, (1.1, 0.9), strict=True)
    ]
    tables["stk_limit"] = tables["daily"].select("ts_code", "trade_date", *limits)
    assert look(tables).is_empty()


def test_a_few_stocks_that_stand_still_are_no_stale_day() -> None:
    tables = clean()
    table, some = tables["daily_basic"], pl.col("ts_code").is_in(CODES[:9])
    stale = table.filter(some, pl.col("trade_date") == DAYS[1]).with_columns(trade_date=pl.lit(DAY))
    tables["daily_basic"] = pl.concat([table.filter(~(some & (pl.col("trade_date") == DAY))), stale])
    assert look(tables).is_empty()


def test_the_list_of_st_stocks_against_the_name_of_the_day() -> None:
    tables = added(clean(), "stock_st", {"ts_code": CODES[3], "trade_date": DAY})
    assert said(look(tables)) == one("st_list", "stock_st")
    named = added(
        tables,
        "namechange",
        {"ts_code": CODES[3], "name": "ST某某", "start_date": DAYS[1]},
        {"ts_code": CODES[3], "name": "某某", "start_date": DAYS[3]},
    )
    assert look(named).is_empty(), "days without any list say nothing, nor do days after the name"
    other = added(named, "stock_st", {"ts_code": CODES[4], "trade_date": DAYS[1]})
    assert said(look(other)) == {("st_list", "stock_st", code, DAYS[1]) for code in CODES[3:5]}


def with_report(tables: Tables, **values: object) -> Tables:
    for name in ("income", "balancesheet"):
        changed = [
            pl.when(pl.col("ts_code") == CODES[3]).then(pl.lit(value)).otherwise(column).alias(column)
            for column, value in values.items()
        ]
        tables = tables | {name: tables[name].with_columns(changed)}
    return tables


def of_reports(check: str) -> set[tuple[str, str, str | None, dt.date | None]]:
    return {(check, name, CODES[3], None) for name in ("income", "balancesheet")}


@pytest.mark.parametrize(
    ("check", "values"),
    [
        ("announced_early", {"ann_date": QUARTER, "f_ann_date": QUARTER}),
        ("announced_late", {"ann_date": dt.date(2018, 3, 13), "f_ann_date": dt.date(2018, 3, 13)}),
        ("no_quarter", {"end_date": dt.date(2017, 11, 30)}),
    ],
)
def test_dates_of_reports(check: str, values: dict[str, dt.date]) -> None:
    found = look(with_report(clean(), **values))
    assert said(found) == of_reports(check)
    assert not found["holds_back"].any()


def test_statements_come_in_pairs() -> None:
    alone = look(without(clean(), "balancesheet", pl.col("ts_code") == CODES[3]))
    assert said(alone) == {("pairs", "balancesheet", CODES[3], None)}
    later = clean()["income"].with_columns(
        f_ann_date=pl.when(pl.col("ts_code") == CODES[3]).then(pl.lit(DAYS[1])).otherwise("f_ann_date")
    )
    assert set(look(clean() | {"income": later})["check"]) == {"pairs"}


def test_a_report_that_is_missing_after_its_deadline() -> None:
    tables = clean()
    for name in checks.REPORTS:
        older = tables[name].with_columns(end_date=pl.lit(dt.date(2017, 9, 30)))
        tables[name] = pl.concat([older, tables[name]])
    assert look(tables).is_empty(), "the deadline of the year has not passed"
    lacking = (pl.col("ts_code") == CODES[3]) & (pl.col("end_date") == dt.date(2017, 9, 30))
    for name in checks.REPORTS:
        tables = without(tables, name, lacking)
    assert said(look(tables)) == of_reports("missing_report")


def test_a_report_in_another_unit() -> None:
    tables = clean()
    years = [dt.date(year, 12, 31) for year in (2014, 2015, 2016)]
    tables["income"] = pl.concat([tables["income"].with_columns(end_date=pl.lit(end)) for end in [*years, QUARTER]])
    odd = (pl.col("ts_code") == CODES[3]) & (pl.col("end_date") == years[1])
    flipped = tables["income"].with_columns(revenue=pl.when(odd).then(pl.col("revenue") * 1e4).otherwise("revenue"))
    units = look(tables | {"income": flipped}).filter(pl.col("check") == "report_units")
    assert units.select("ts_code", "key").rows() == [(CODES[3], f"{CODES[3]} 2015-12-31 1 0 2018-02-28 2018-02-28")]


def test_a_row_after_today_is_held_back() -> None:
    row = bar(3, 4) | {"trade_date": dt.date(2018, 3, 13)}
    found = look(added(clean(), "daily", row))
    assert said(found) == {("future", "daily", CODES[3], dt.date(2018, 3, 13))}
    assert found["holds_back"].all()


def test_rows_of_one_key_that_differ_are_both_held_back() -> None:
    tables = added(clean(), "adj_factor", {"ts_code": CODES[3], "trade_date": DAY, "adj_factor": 2.001})
    found = look(tables).filter("holds_back")
    assert said(found) == one("contradiction", "adj_factor")
    kept, held = checks.apart("adj_factor", tables["adj_factor"], found)
    assert held["adj_factor"].to_list() == ["2.0", "2.001"]
    assert kept.filter(at()).is_empty()
    again = added(clean(), "adj_factor", {"ts_code": CODES[3], "trade_date": DAY, "adj_factor": 2.0})
    assert look(again).is_empty(), "a row said twice is one row"


def test_reports_of_one_key_that_differ_are_held_back_alone() -> None:
    tables = clean()
    other = tables["income"].filter(pl.col("ts_code") == CODES[3]).with_columns(revenue=pl.lit(2e9))
    tables["income"] = pl.concat([tables["income"], other])
    found = look(tables)
    assert said(found) == {("contradiction", "income", CODES[3], None)}
    kept, held = checks.apart("income", tables["income"], found)
    assert (kept.height, held.height) == (11, 2)


def test_the_last_name_is_that_of_stock_basic() -> None:
    row = {"ts_code": CODES[3], "name": "别名", "start_date": DAY}
    assert said(look(added(clean(), "namechange", row))) == {("other_name", "stock_basic", CODES[3], None)}
    planned = row | {"start_date": dt.date(2018, 3, 13)}
    assert look(added(clean(), "namechange", planned)).is_empty(), "it will have that name tomorrow"


def test_of_a_table_that_was_not_asked_nothing_is_said_and_an_empty_one_lacks_all() -> None:
    tables = clean()
    assert look({name: table for name, table in tables.items() if name != "daily_basic"}).is_empty()
    found = look(tables | {"daily_basic": frame("daily_basic", [])})
    assert found.height == 48
    assert set(found["check"]) == {"missing"}


def short(tables: Tables, coverage: float, synced: frozenset[str] = frozenset()) -> None:
    given = {name: tables[name] for name in ("stock_basic", "namechange", "dividend")} | NOTHING
    context = Context(tuple(DAYS), TODAY, **given, synced=synced)
    checks.require_coverage(tables, context, findings(tables, context), coverage)


def test_a_day_under_coverage_is_refused_with_what_is_missing_and_what_mends_it() -> None:
    tables = without(clean(), "adj_factor", pl.col("ts_code").is_in(CODES[3:8]) & (pl.col("trade_date") == DAY))
    short(tables, 7 / 12)
    short(tables, 0)
    with pytest.raises(DataNotFit) as refused:
        short(tables, 0.6)
    assert refused.value.exit_code == 3
    assert str(refused.value) == (
        "adj_factor of 2018-03-07 is incomplete: 5 of 12 rows are missing or held back, first 600003.SH, 600004.SH, "
        "600005.SH. Complete adj_factor in the folder you import, and import it again; data.coverage = 0 takes it "
        "as it is."
    )
    with pytest.raises(DataNotFit, match="Run `ashare data sync --from 2018-03-07 --to 2018-03-07`"):
        short(tables, 0.6, frozenset({"adj_factor"}))


def test_rows_held_back_count_as_missing() -> None:
    tables = with_cell(clean(), "daily", vol=1.02e5)
    short(tables, 0.9)
    with pytest.raises(DataNotFit, match=r"daily of 2018-03-07 is incomplete: 1 of 12 rows .* first 600003.SH"):
        short(tables, 0.95)


def test_a_whole_day_held_back_is_missing_whole() -> None:
    tables = clean()
    flipped = pl.when(pl.col("trade_date") == DAY).then(pl.col("total_mv") * 10_000).otherwise("total_mv")
    tables["daily_basic"] = tables["daily_basic"].with_columns(total_mv=flipped)
    with pytest.raises(DataNotFit) as refused:
        short(tables, 0.5)
    words = (
        "daily_basic of 2018-03-07 is incomplete: 12 of 12 rows are missing or held back (market_cap_flip), first 60"
    )
    assert str(refused.value).startswith(words)


def test_stocks_that_are_gone_stop_a_sync_without_naming_a_day() -> None:
    tables = without(clean(), "stock_basic", pl.col("ts_code").is_in(CODES[:3]))
    given = {"stock_basic": clean()["stock_basic"], **{n: tables[n] for n in ("namechange", "dividend")}} | NOTHING
    context = Context(tuple(DAYS), TODAY, **given, held_codes=frozenset(CODES), synced=frozenset({"stock_basic"}))
    with pytest.raises(DataNotFit, match=r"^stock_basic is incomplete: 3 of 12 rows .* Run `ashare data sync`\."):
        checks.require_coverage(tables, context, findings(tables, context), 0.995)


# through a lake


def lake_of(market: Market, tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "home" / "lake")
    import_folder(market.write(tmp_path / "market"), lake, dt.date(2027, 1, 4), "six_months")
    return lake


def two_years() -> Market:
    """Return one stock around the turn of a year, which a change of the factor marks."""
    market = Market(days_between("20171227", "20180105"))
    market.stock("600000.SH")
    for day, adj in zip(market.days, [1.0] * 3 + [1.25] * 4, strict=True):
        market.bar("600000.SH", day, 10.0 if adj == 1 else 8.0, pre_close=8.0 if day == "20180102" else None, adj=adj)
    return market.index([5000.0] * 7)


def test_the_whole_lake_is_seen_year_by_year_without_a_seam(tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    found, short = checks.whole_lake(lake, lake.version(), TODAY)
    assert found.select("check", "ts_code", "trade_date").rows() == [
        ("suspected_rights", "600000.SH", dt.date(2018, 1, 2))
    ]
    assert short.is_empty()
    assert [len(year) for year in checks.years(lake, lake.version())] == [3, 4]


def test_a_view_ends_with_its_day(tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    view = lake.view(dt.date(2018, 1, 3))
    assert checks.years(lake, view)[-1][-1] == dt.date(2018, 1, 3)
    checks.require_covered_lake(lake, view, 1.0)


def test_fresh_rows_come_before_held_ones(tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    day = dt.date(2018, 1, 3)
    row = {"ts_code": "600000.SH", "trade_date": day, "adj_factor": 1.25}
    fresh = {"adj_factor": frame("adj_factor", [row | {"adj_factor": 1.5}])}
    tables = checks.tables_of(lake, lake.version(), [day], fresh)
    assert tables["adj_factor"]["adj_factor"].to_list() == [1.5]
    assert tables["daily"]["trade_date"].to_list() == [day]
    found = findings(tables, Context.of(lake, lake.version(), [day], fresh, TODAY))
    assert set(found["check"]) == {"pre_close", "suspected_rights"}
    same = checks.tables_of(lake, lake.version(), [day], {"adj_factor": frame("adj_factor", [row])})
    assert findings(same, Context.of(lake, lake.version(), [day], fresh, TODAY)).is_empty()


def test_fresh_plans_have_no_ordinal_yet_and_explain_the_factor_all_the_same(tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    day = dt.date(2018, 1, 2)
    plans = frame("dividend", [dividend_of("600000.SH", day, 2.0)]).drop("plan")
    fresh = {"dividend": plans}
    found = findings(
        checks.tables_of(lake, lake.version(), [day], fresh), Context.of(lake, lake.version(), [day], fresh, TODAY)
    )
    assert found.is_empty()
    kept, held = checks.apart("dividend", plans, found)
    assert kept.equals(plans)
    assert held.columns == [*plans.columns, "check", "detail"]
    assert held.is_empty()


def test_the_first_sync_has_nothing_before_it(tmp_path: Path) -> None:
    tables, lake = clean(), Lake(tmp_path / "lake")
    context = Context.of(lake, lake.version(), DAYS, tables, TODAY, indexes=["000905.SH", "000300.SH"])
    found = findings(checks.tables_of(lake, lake.version(), DAYS, tables), context)
    assert said(found) == {("missing", "index_daily", "000300.SH", day) for day in DAYS}


def test_a_build_stops_on_a_day_under_coverage(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = two_years()
    market.tables["daily_basic"] = market.tables["daily_basic"][:-1]
    with pytest.raises(DataNotFit, match=r"daily_basic of 2018-01-05 is incomplete: 1 of 1 rows"):
        ingest(market, tmp_path / "market")
    assert not list((tmp_path / "zipline").glob("data/ashare/2*"))
    monkeypatch.setenv("ASHARE_DATA__COVERAGE", "0")
    ingest(market, tmp_path / "market")


def hold_back(lake: Lake, endpoint: str, rows: pl.DataFrame) -> None:
    """Write rows beside the data as a sync does, and name them in the newest version file."""
    path = lake.root / "held_back" / f"{endpoint}.parquet"
    path.parent.mkdir(exist_ok=True)
    rows.write_parquet(path)
    part = Part(f"held_back/{endpoint}.parquet", rows.height, sha256_of(path), dt.date(2027, 1, 4), False)
    newest = lake.root / "versions" / "000001.json"
    write_json(newest, read_json(newest) | {"held_back": {endpoint: [part.to_json()]}})


def held_bars() -> pl.DataFrame:
    rows = frame("daily", [bar(3, 2), bar(4, 3)]).with_columns(ts_code=pl.Series(["600000.SH", "600004.SH"]))
    day = pl.lit(dt.date(2018, 1, 3)).alias("trade_date")
    reasons = {"check": "mean_price", "detail": "why", "fetched_at": "2027-01-04"}
    return (
        rows.with_columns(day)
        .with_columns(pl.all().cast(pl.String))
        .with_columns(**{k: pl.lit(v) for k, v in reasons.items()})
    )


def test_rows_held_back_are_shown_with_what_came_since(tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    assert checks.held_back(lake, lake.version()).is_empty()
    hold_back(lake, "daily", held_bars())
    held = checks.held_back(lake, lake.version())
    assert held.select("endpoint", "ts_code", "trade_date", "check", "released").rows() == [
        ("daily", "600000.SH", "2018-01-03", "mean_price", True),
        ("daily", "600004.SH", "2018-01-03", "mean_price", False),
    ]


def test_rows_a_sync_held_back_are_shown_with_its_day(home: Path, tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    plan = pl.DataFrame(
        {"ts_code": ["600000.SH"], "end_date": ["x"], "div_proc": ["y"], "check": ["c"], "detail": ["d"]}
    )
    with lake.append() as append:
        append.hold_back(ENDPOINTS["daily"], held_bars().drop("fetched_at"), dt.date(2027, 1, 5))
        append.hold_back(ENDPOINTS["dividend"], plan, dt.date(2027, 1, 5))  # it has no number
        append.commit("", {})
    shown = CliRunner().invoke(data, ["quarantine"])
    assert shown.exit_code == 0, shown.output
    assert "c: d (of 2027-01-05)" in shown.output
    assert "3 rows held back, 1 of them received since" in shown.output


def test_the_commands_verify_and_quarantine(home: Path, tmp_path: Path) -> None:
    lake = lake_of(two_years(), tmp_path)
    hold_back(lake, "daily", held_bars())
    shown = CliRunner().invoke(data, ["verify"])
    assert shown.exit_code == 0, shown.output
    assert "suspected_rights" in shown.output
    assert "first 600000.SH 2018-01-02: factor 1.25 after 1.0, pre_close 8.0" in shown.output
    every = json.loads(CliRunner().invoke(data, ["verify", "--json"]).output)
    assert [found["check"] for found in every["findings"]] == ["suspected_rights"]
    assert "2 rows held back, 1 of them received since" in CliRunner().invoke(data, ["quarantine"]).output
    rows = json.loads(CliRunner().invoke(data, ["quarantine", "--json"]).output)
    assert [row["released"] for row in rows] == [True, False]


def test_verify_exits_with_3_on_a_row_that_cannot_be_true_and_on_a_thin_day(home: Path, tmp_path: Path) -> None:
    market = two_years()
    market.tables["daily"][4]["amount"] = 1.0
    lake_of(market, tmp_path)
    refused = CliRunner().invoke(data, ["verify"])
    assert refused.exit_code == 3
    assert "daily of 2018-01-03 is incomplete: 1 of 1 rows" in refused.output


def test_verify_names_a_row_that_cannot_be_true(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = two_years()
    market.tables["daily"][4]["amount"] = 1.0
    lake_of(market, tmp_path)
    monkeypatch.setenv("ASHARE_DATA__COVERAGE", "0")
    refused = CliRunner().invoke(data, ["verify"])
    assert refused.exit_code == 3
    assert "1 rows of the lake cannot be true, first daily 600000.SH 2018-01-03: mean_price" in refused.output
