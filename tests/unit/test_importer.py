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
