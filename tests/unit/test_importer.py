"""Imports that go well, imports that are refused in one line, and what is left behind by either."""

from __future__ import annotations

import datetime as dt
import shutil

import polars as pl
import pytest

from bundles.importer import import_folder
from bundles.lake import Lake
from engine.errors import BadInput, Damaged, Halted
from tests.markets import five_sessions

DAY = dt.date(2020, 1, 2)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def take(folder, lake, day=DAY):
    return import_folder(folder, lake, day, "six_months")


def test_everything_comes_in_with_the_day_it_was_known(tmp_path, lake):
    done = take(five_sessions().write(tmp_path / "market"), lake)
    version = lake.version()
    assert version.data_id == done.version.data_id
    daily = lake.frame(version, "daily")
    assert daily.height == 5
    assert daily["known_at"].to_list() == daily["trade_date"].to_list()
    lake.verify(version)


def test_parquet_and_csv_give_the_same_lake(tmp_path, lake):
    folder = five_sessions().write(tmp_path / "market")
    other = Lake(tmp_path / "other")
    first = take(folder, lake)
    for path in folder.glob("*/*.csv"):
        frame = pl.read_csv(path, infer_schema=False, null_values=[""])
        numbers = [
            name for name in ("open", "high", "low", "close", "vol", "amount", "adj_factor") if name in frame.columns
        ]
        frame.with_columns(pl.col(numbers).cast(pl.Float64)).write_parquet(path.with_suffix(".parquet"))
        path.unlink()
    assert take(folder, other).version.data_id == first.version.data_id


def test_the_same_folder_again_brings_nothing(tmp_path, lake):
    folder = five_sessions().write(tmp_path / "market")
    first = take(folder, lake)
    again = take(folder, lake, dt.date(2021, 1, 4))
    assert again.rows == {}
    assert again.version.number == first.version.number == lake.version().number


def test_a_changed_row_becomes_a_version_known_from_today(tmp_path, lake):
    market = five_sessions()
    take(market.write(tmp_path / "market"), lake)
    market.tables["daily"][2] |= {"close": 10.25, "high": 10.25}
    done = take(market.write(tmp_path / "market"), lake, dt.date(2021, 1, 4))
    assert (done.rows, done.changed["daily"]) == ({"daily": 1}, 1)
    version = lake.version()
    daily = lake.frame(version, "daily").sort("trade_date")
    assert daily["close"].to_list() == [10.0, 10.1, 10.25, 10.3, 10.4]
    assert daily["known_at"][2] == dt.date(2021, 1, 4)
    assert len(version.parts["daily"]) == 2  # the earlier version is still there
    assert len(version.lineage) == 2


def test_new_sessions_are_appended(tmp_path, lake):
    market = five_sessions()
    whole = Lake(tmp_path / "whole")
    take(market.write(tmp_path / "market"), whole)
    later = {
        name: rows[-1:]
        for name, rows in market.tables.items()
        if name in ("daily", "adj_factor", "daily_basic", "stk_limit")
    }
    for name in later:
        market.tables[name] = market.tables[name][:-1]
    take(market.write(tmp_path / "market"), lake)
    for name, rows in later.items():
        market.tables[name] = rows
    market.days = market.days[-1:]
    done = take(market.write(tmp_path / "market"), lake)
    assert done.rows == dict.fromkeys(later, 1)
    frames = [one.frame(one.version(), "daily").sort("trade_date") for one in (lake, whole)]
    assert frames[0].equals(frames[1])


def drop_folder(market, folder):
    shutil.rmtree(folder / "adj_factor")


def rename_column(market, folder):
    path = folder / "daily" / "daily.csv"
    path.write_text(path.read_text().replace("close", "schluss", 1))


def put(endpoint, row, **values):
    def change(market, folder):
        market.tables[endpoint][row] |= values
        market.write(folder)

    return change


def repeat(endpoint, **values):
    def change(market, folder):
        market.tables[endpoint].append(market.tables[endpoint][0] | values)
        market.write(folder)

    return change


def garbage(market, folder):
    (folder / "daily" / "daily.csv").unlink()
    (folder / "daily" / "daily.parquet").write_bytes(b"no parquet at all")


def put_report(**values):
    def change(market, folder):
        report(market, **values)
        market.write(folder)

    return change


def as_parquet(column, expression):
    def change(market, folder):
        path = folder / "daily" / "daily.csv"
        pl.read_csv(path).with_columns(expression.alias(column)).write_parquet(path.with_suffix(".parquet"))
        path.unlink()

    return change


def report(market, endpoint="income", **values):
    common = {"ts_code": "600000.SH", "end_date": "20170930", "ann_date": "20171030", "report_type": "1"}
    market.add(endpoint, **{**common, "update_flag": "0", "n_income_attr_p": 1.0, **values})
    return market


BROKEN = [
    ("a missing endpoint", drop_folder, "lacks the endpoint adj_factor"),
    ("a wrong column", rename_column, "no column 'close'"),
    ("a text for a number", put("daily", 1, close="abc"), "close = 'abc': a Float64 belongs there"),
    ("infinity for a number", put("daily", 1, amount="inf"), "amount = 'inf'"),
    (
        "a text for a date",
        put("daily", 1, trade_date="gestern"),
        "trade_date = 'gestern': a date YYYYMMDD belongs there",
    ),
    ("a day that is none", put("daily", 1, trade_date="20180230"), "trade_date = '20180230'"),
    ("a missing key", put("daily", 1, ts_code=""), "violated: ts_code = None"),
    ("a code that is none", put("daily", 1, ts_code="600000"), "ts_code = 600000"),
    ("a missing price", put("daily", 1, close=""), "close = None"),
    ("a negative price", put("daily", 1, close=-1), "close = -1.0"),
    ("half a fen", put("daily", 1, open=10.105, high=10.105, low=10.105, close=10.105), "prices in whole fen"),
    ("a low above the close", put("daily", 1, low=10.5, high=11), "low and high enclose open and close"),
    (
        "duplicate keys",
        repeat("daily", vol=5),
        "duplicate keys, first ts_code = 600000.SH, trade_date = 2018-03-05",
    ),
    ("the same row twice", repeat("daily"), "duplicate keys"),
    ("a Saturday", put("daily", 1, trade_date="20180310"), "had no session that day"),
    ("a day beyond the calendar", put("daily", 1, trade_date="20990105"), "had no session that day"),
    ("a factor of zero", put("adj_factor", 1, adj_factor=0), "adj_factor = 0.0"),
    ("no parquet", garbage, "cannot be read"),
    ("a date of seven digits", put("stock_basic", 0, list_date="2018115"), "list_date = '2018115'"),
    ("a flag in words", put_report(update_flag="yes"), "update_flag = yes"),
    ("a kind of report with a fraction", put_report(report_type="1.5"), "report_type = 1.5"),
    ("an index code with a slash", put("index_daily", 0, ts_code="../000905.SH"), "ts_code = ../000905.SH"),
    ("numbers in lists", as_parquet("close", pl.concat_list("close")), "column close is of type List"),
    ("numbers in structs", as_parquet("vol", pl.struct("vol")), "column vol is of type Struct"),
    ("numbers as categories", as_parquet("vol", pl.col("vol").cast(pl.String).cast(pl.Categorical)), "vol is of type"),
    ("text in lists", as_parquet("ts_code", pl.concat_list("ts_code")), "column ts_code is of type List"),
]


@pytest.mark.parametrize(("name", "change", "expected"), BROKEN, ids=[case[0] for case in BROKEN])
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(tmp_path, lake, name, change, expected):
    market = five_sessions()
    folder = market.write(tmp_path / "market")
    change(market, folder)
    with pytest.raises(BadInput) as error:
        take(folder, lake)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 3
    assert not lake.root.exists()


def test_a_refused_import_leaves_an_existing_lake_as_it_was(tmp_path, lake):
    market = five_sessions()
    folder = market.write(tmp_path / "market")
    take(folder, lake)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in lake.root.rglob("*") if path.name != ".lock")
    market.tables["stk_limit"][0] |= {"up_limit": "abc"}
    with pytest.raises(BadInput):
        take(market.write(folder), lake)
    after = sorted((str(path), path.stat().st_mtime_ns) for path in lake.root.rglob("*") if path.name != ".lock")
    assert [name for name, _ in before] == [name for name, _ in after]
    lake.verify(lake.version())


def test_no_folder(tmp_path, lake):
    with pytest.raises(BadInput, match="it is no folder"):
        take(tmp_path / "nowhere", lake)


def test_a_damaged_file_is_found(tmp_path, lake):
    take(five_sessions().write(tmp_path / "market"), lake)
    path = next((lake.root / "daily").glob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Damaged, match="differs from its hash"):
        lake.verify(lake.version())
    path.unlink()
    with pytest.raises(Damaged):
        lake.frame(lake.version(), "daily")


def test_one_writer(tmp_path, lake):
    folder = five_sessions().write(tmp_path / "market")
    with lake.append(), pytest.raises(Halted):
        take(folder, lake)


def test_the_user_s_own_table_may_lie_beside_the_endpoints(tmp_path, lake):
    folder = five_sessions().write(tmp_path / "market")
    (folder / "code_changes.csv").write_text("old,new,date\n600001.SH,600000.SH,20180307\n")
    assert take(folder, lake).rows["code_changes"] == 1


def test_an_announcement_on_no_day_counts_as_undated(tmp_path, lake):
    market = five_sessions()
    market.add(
        "income", ts_code="600000.SH", end_date="20170930", ann_date="20110229", report_type="1", n_income_attr_p=1.0
    )
    done = take(market.write(tmp_path / "market"), lake)
    assert done.undated["income"] == 1
    assert lake.frame(lake.version(), "income")["known_at"].to_list() == [dt.date(2018, 3, 30)]


def dividend(market, **values):
    common = {"ts_code": "600000.SH", "end_date": "20171231", "ann_date": "20180302", "div_proc": "实施"}
    market.add("dividend", **{**common, "stk_div": 0.0, "cash_div_tax": 0.5, "ex_date": "20180306", **values})
    return market


def plans(lake) -> list[tuple]:
    frame = lake.frame(lake.version(), "dividend").sort("ts_code", "plan")
    return frame.select("plan", "cash_div_tax", pl.col("known_at").cast(pl.String)).rows()


LATER = dt.date(2021, 1, 4)


def test_a_corrected_plan_takes_the_place_of_the_first(tmp_path, lake):
    take(dividend(five_sessions()).write(tmp_path / "market"), lake)
    corrected = dividend(five_sessions(), cash_div_tax=0.6, ex_date="20180307", ann_date="20180303")
    done = take(corrected.write(tmp_path / "market"), lake, LATER)
    assert done.changed["dividend"] == 1
    assert plans(lake) == [(0, 0.6, "2021-01-04")]


def test_two_plans_of_one_period_stay_two(tmp_path, lake):
    market = dividend(dividend(five_sessions(), ex_date="20180307", cash_div_tax=0.1))
    dividend(market)  # an exact repetition
    take(market.write(tmp_path / "market"), lake)
    assert plans(lake) == [(0, 0.5, "2018-03-02"), (1, 0.1, "2018-03-02")]
    assert take(market.write(tmp_path / "market"), lake, LATER).rows == {}
    second_only = dividend(five_sessions(), ex_date="20180307", cash_div_tax=0.1)
    assert take(second_only.write(tmp_path / "market"), lake, LATER).rows == {}
    market.tables["dividend"][0] |= {"cash_div_tax": 0.2}
    take(market.write(tmp_path / "market"), lake, LATER)
    assert plans(lake) == [(0, 0.5, "2018-03-02"), (1, 0.2, "2021-01-04")]


def test_a_plan_that_turns_up_moves_no_other(tmp_path, lake):
    take(dividend(five_sessions()).write(tmp_path / "market"), lake)
    both = dividend(dividend(five_sessions()), ex_date="20180305", cash_div_tax=0.1)
    assert take(both.write(tmp_path / "market"), lake, LATER).changed["dividend"] == 0
    assert [(plan, cash) for plan, cash, _ in plans(lake)] == [(0, 0.5), (1, 0.1)]


def test_a_second_plan_of_a_period_on_its_own_is_a_second_plan(tmp_path, lake):
    take(dividend(five_sessions()).write(tmp_path / "market"), lake)
    special = dividend(five_sessions(), ex_date="20180910", cash_div_tax=0.3, ann_date="20180901")
    assert take(special.write(tmp_path / "market"), lake, LATER).changed["dividend"] == 0
    assert [(plan, cash) for plan, cash, _ in plans(lake)] == [(0, 0.5), (1, 0.3)]


def versions(lake) -> list[tuple]:
    frame = lake.frame(lake.version(), "income").sort("known_at", "n_income_attr_p")
    return frame.select(pl.col("known_at").cast(pl.String), "n_income_attr_p").rows()


@pytest.mark.parametrize(
    "restated",
    [
        {"n_income_attr_p": 2.0},  # the same key
        {"n_income_attr_p": 2.0, "update_flag": "1"},  # a correction that came with a later import
        {"n_income_attr_p": 2.0, "update_flag": "1", "ann_date": "20171110"},  # one that says it was out long ago
        {"n_income_attr_p": 2.0, "ann_date": "20171010"},
        {"n_income_attr_p": 2.0, "f_ann_date": "20171031"},
    ],
)
def test_items_of_a_held_report_that_change_are_known_from_today(tmp_path, lake, restated):
    take(report(five_sessions()).write(tmp_path / "market"), lake)
    again = report(report(five_sessions()), **restated)
    if len(restated) == 1:
        del again.tables["income"][0]  # the vendor has overwritten it
    take(again.write(tmp_path / "market"), lake, LATER)
    assert versions(lake) == [("2017-10-30", 1.0), ("2021-01-04", 2.0)]
    assert take(again.write(tmp_path / "market"), lake, dt.date(2022, 1, 4)).rows == {}


def test_dates_of_a_held_report_that_change_are_known_from_today(tmp_path, lake):
    take(report(five_sessions()).write(tmp_path / "market"), lake)
    take(report(five_sessions(), ann_date="20171020").write(tmp_path / "market"), lake, LATER)
    assert versions(lake) == [("2017-10-30", 1.0), ("2021-01-04", 1.0)]


def test_a_new_period_counts_from_its_announcement(tmp_path, lake):
    take(report(five_sessions()).write(tmp_path / "market"), lake)
    both = report(report(five_sessions()), end_date="20171231", ann_date="20180301", n_income_attr_p=3.0)
    take(both.write(tmp_path / "market"), lake, LATER)
    assert versions(lake) == [("2017-10-30", 1.0), ("2018-03-01", 3.0)]


def split(folder, endpoint, first, second) -> None:
    """Put rows of a table into two files; the slices may overlap."""
    path = folder / endpoint / f"{endpoint}.csv"
    header, *lines = path.read_text().splitlines()
    for name, rows in (("a", lines[first]), ("b", lines[second])):
        path.with_name(f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    path.unlink()


def test_a_correction_sees_its_original_in_another_file(tmp_path, lake):
    market = report(report(five_sessions()), n_income_attr_p=2.0, update_flag="1")
    folder = market.write(tmp_path / "market")
    split(folder, "income", slice(0, 1), slice(1, 2))
    take(folder, lake)
    assert versions(lake) == [("2017-10-30", 1.0), ("2020-01-02", 2.0)]


@pytest.mark.parametrize("endpoint", ["daily", "suspend_d"])
def test_a_row_that_stands_in_two_files_is_one(tmp_path, lake, endpoint):
    market = five_sessions()
    for day in market.days:
        market.add("suspend_d", ts_code="600001.SH", trade_date=day, suspend_type="S")
    folder = market.write(tmp_path / "market")
    split(folder, endpoint, slice(0, 4), slice(2, 5))
    done = take(folder, lake)
    assert done.rows[endpoint] == lake.frame(lake.version(), endpoint).height == 5
    assert not any(part.restates for part in lake.version().parts[endpoint])
    assert take(folder, lake, LATER).rows == {}


def test_a_key_with_two_contents_in_two_files_is_refused(tmp_path, lake):
    folder = five_sessions().write(tmp_path / "market")
    split(folder, "daily", slice(0, 4), slice(3, 5))
    path = folder / "daily" / "b.csv"
    path.write_text(path.read_text().replace("10.3", "10.4"))
    with pytest.raises(BadInput, match=r"duplicate keys, first ts_code = 600000\.SH, trade_date = 2018-03-08"):
        take(folder, lake)


def test_files_of_one_name_do_not_collide(tmp_path, lake):
    folder = five_sessions().write(tmp_path / "market")
    split(folder, "daily", slice(0, 2), slice(2, 5))
    (folder / "daily" / "a.csv").rename(folder / "daily" / "x.csv")
    pl.read_csv(folder / "daily" / "b.csv").write_parquet(folder / "daily" / "x.parquet")
    (folder / "daily" / "b.csv").unlink()
    take(folder, lake)
    lake.verify(lake.version())
    assert lake.frame(lake.version(), "daily").height == 5


def test_two_suspensions_of_one_day_are_two_rows(tmp_path, lake):
    market = five_sessions()
    for timing in ("09:30-10:00", "13:00-14:00"):
        market.add("suspend_d", ts_code="600000.SH", trade_date="20180305", suspend_type="S", suspend_timing=timing)
    take(market.write(tmp_path / "market"), lake)
    assert lake.frame(lake.version(), "suspend_d").height == 2


def test_codes_that_are_no_a_share_are_left_out_and_counted(tmp_path, lake):
    market = five_sessions()
    market.stock("900901.SH")
    for code in ("900901.SH", "T00018.SH", "510050.SH"):
        market.bar(code, market.days[0], 1.234)  # a thousandth: no A share could
    done = take(market.write(tmp_path / "market"), lake)
    assert (done.left_out["daily"], done.left_out["stock_basic"]) == (3, 1)
    assert lake.frame(lake.version(), "daily")["ts_code"].unique().to_list() == ["600000.SH"]
    assert lake.frame(lake.version(), "index_daily").height == 5


def test_rows_left_out_are_said(tmp_path, home):
    from click.testing import CliRunner

    from bundles.cli import data

    market = five_sessions().bar("900901.SH", "20180305", 1.234)
    told = CliRunner().invoke(data, ["import", str(market.write(tmp_path / "market"))])
    assert told.exit_code == 0, told.output
    assert "5 rows  1 of no A share left out" in told.output


def test_numbers_as_pandas_leaves_them_are_read_as_the_vendor_s_text(tmp_path, lake):
    market = report(five_sessions(), comp_type="2", update_flag="1")
    report(market, end_date="20170630", ann_date="", comp_type="", update_flag="0")
    folder, plain = market.write(tmp_path / "market"), Lake(tmp_path / "plain")
    take(folder, plain)
    path = folder / "income" / "income.csv"
    names = ("end_date", "ann_date", "report_type", "comp_type", "update_flag")
    frame = pl.read_csv(path, infer_schema=False, null_values=[""])
    frame = frame.with_columns(pl.col(names).cast(pl.Float64), pl.col("n_income_attr_p").cast(pl.Float64))
    frame.write_csv(path)  # 20170930.0 and 1.0
    assert "20170930.0" in path.read_text()
    take(folder, lake)
    assert lake.version().data_id == plain.version().data_id
    frame.with_columns(pl.col(names).fill_null(float("nan"))).write_parquet(path.with_suffix(".parquet"))
    path.unlink()
    other = Lake(tmp_path / "other")
    take(folder, other)
    assert other.version().data_id == plain.version().data_id


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"number": 1}', b"\xff"])
def test_a_damaged_version_is_said_in_one_line(tmp_path, lake, content):
    take(five_sessions().write(tmp_path / "market"), lake)
    (lake.root / "versions" / "000001.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"000001\.json of the lake cannot be read"):
        lake.version()


def test_a_plan_that_fails_a_check_is_named(home, tmp_path):
    market = five_sessions()
    market.add("dividend", ts_code="600000.SH", end_date="20171231", div_proc="实施", stk_div=-1, cash_div_tax=0.1)
    with pytest.raises(BadInput, match=r"dividend.*600000\.SH.*stk_div = -1"):
        import_folder(market.write(tmp_path / "market"), Lake(tmp_path / "lake"), dt.date(2027, 1, 4), "six_months")


@pytest.mark.parametrize("days", [10**7, -(10**7)])
def test_a_day_python_cannot_count_is_named(home, tmp_path, days):
    folder = five_sessions().write(tmp_path / "market")
    path = folder / "trade_cal" / "trade_cal.csv"
    path.unlink()
    frame = pl.DataFrame({"exchange": ["SSE"], "cal_date": pl.Series([days]).cast(pl.Date), "is_open": [1]})
    frame.write_parquet(path.with_suffix(".parquet"))
    with pytest.raises(BadInput, match=r"cal_date = .*a date YYYYMMDD belongs there"):
        import_folder(folder, Lake(tmp_path / "lake"), dt.date(2027, 1, 4), "six_months")
