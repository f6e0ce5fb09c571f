"""A bundle is a function of the view of the lake: the same bytes whenever, and whatever came later."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bundles.build import build
from bundles.databases import database
from bundles.importer import import_folder
from bundles.ingest import after, ingest_now, ingest_view
from bundles.lake import Lake
from engine import clock
from engine.errors import UsageError
from engine.panels.bundle import open_bundle
from engine.panels.places import ingestions
from engine.panels.reader import Panels
from engine.panels.store import ADJUSTMENTS_FILE, ASSETS_FILE
from tests.markets import Market, days_between

FIRST, LATER = dt.date(2018, 3, 14), dt.date(2018, 3, 20)


def market(until: str = "20180314") -> Market:
    """Return two stocks, one of which is delisted on the 13th, with a dividend, a report and an ST name."""
    market = Market(days_between("20180305", until))
    n = len(market.days)
    market.stock("600000.SH").bars("600000.SH", [10.0, 10.1, None, 10.3, 10.4, 10.5, 10.6, 10.7, 10.8, 10.9, 11.0][:n])
    market.stock("000001.SZ", delisted="20180313").bars("000001.SZ", [5.0, 5.1, 5.2, 5.3, 5.2, 5.1] + [None] * (n - 6))
    for row in market.tables["adj_factor"]:
        if row["ts_code"] == "600000.SH" and str(row["trade_date"]) >= "20180308":
            row["adj_factor"] = 1.05
    market.add(
        "dividend",
        ts_code="600000.SH",
        end_date="20171231",
        ann_date="20180306",
        imp_ann_date="20180306",
        div_proc="实施",
        stk_div=0.0,
        cash_div_tax=0.5,
        ex_date="20180308",
    )
    for endpoint, item in (("income", "n_income_attr_p"), ("balancesheet", "total_assets")):
        market.add(
            endpoint,
            ts_code="600000.SH",
            end_date="20171231",
            ann_date="20180307",
            report_type="1",
            update_flag="0",
            **{item: 7.0},
        )
    market.add("namechange", ts_code="600000.SH", name="ST某", start_date="20180309")
    return market.index([5000.0] * n)


def changed() -> Market:
    """Return the same market on a later day: new sessions, a late row, and restated ones."""
    later = market("20180319")
    later.bar("000001.SZ", "20180313", 5.0)  # late: the day was there without it
    for row in later.tables["daily"]:
        if (row["ts_code"], row["trade_date"]) == ("600000.SH", "20180306"):
            row |= {"close": 10.2, "high": 10.2}
    later.tables["income"][0] |= {"n_income_attr_p": 8.0, "update_flag": "1", "ann_date": "20180316"}
    later.stock("600001.SH", listed="20180315").bar("600001.SH", "20180315", 3.0)
    return later


def take(market: Market, folder: Path, lake: Lake, day: dt.date) -> None:
    import_folder(market.write(folder / "market"), lake, day, "six_months")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def built(lake: Lake, folder: Path, as_known_at: dt.date | None = None) -> dict[str, bytes]:
    build(lake, folder, as_known_at=as_known_at)
    return content(folder)


def test_the_view_of_a_day_gives_the_bytes_that_were_built_on_it(tmp_path):
    lake = Lake(tmp_path / "lake")
    take(market(), tmp_path, lake, FIRST)
    on_the_day = built(lake, tmp_path / "a")
    take(changed(), tmp_path, lake, LATER)
    for day in (FIRST, LATER - dt.timedelta(days=1)):
        assert built(lake, tmp_path / str(day), day) == on_the_day
    newest = built(lake, tmp_path / "b")
    assert newest == built(lake, tmp_path / "c", LATER)
    assert newest["panels/close.npy"] != on_the_day["panels/close.npy"]
    lineages = [Panels(tmp_path / name / "panels").manifest["lineage"] for name in "ab"]
    assert lineages[0] == lineages[1][:1]
    assert len(lineages[1]) == 2


def known_by(market: Market, day: str) -> Market:
    """Return what of a market its rows say was known on a day."""
    by = {
        "stock_basic": "list_date",
        "namechange": "start_date",
        "dividend": "imp_ann_date",
        "income": "ann_date",
        "balancesheet": "ann_date",
    }
    for name, rows in market.tables.items():
        column = by.get(name, "trade_date")
        market.tables[name] = [row for row in rows if str(row.get(column, "")) <= day]
    for row in market.tables["stock_basic"]:
        if str(row["delist_date"]) > day:
            row |= {"delist_date": "", "list_status": "L"}
    return market


@pytest.mark.parametrize("day", ["20180305", "20180307", "20180308", "20180312", "20180313"])
def test_the_view_of_a_day_before_the_lake_is_a_lake_of_what_was_known_by_then(tmp_path, day):
    whole, partial = Lake(tmp_path / "whole"), Lake(tmp_path / "partial")
    take(market(), tmp_path, whole, LATER)
    take(known_by(market(), day), tmp_path, partial, LATER)
    old = built(whole, tmp_path / "a", dt.date.fromisoformat(day))
    expected = built(partial, tmp_path / "b")
    manifest = Panels(tmp_path / "a" / "panels").manifest
    assert manifest["last_session"].replace("-", "") == day
    assert manifest["data_id"].endswith(f"-asof-{day}-{manifest['format']}")
    assert manifest["lineage"] == [manifest["data_id"]]
    del old["panels/manifest.json"], expected["panels/manifest.json"]
    assert old == expected


def test_the_bytes_depend_on_no_hash_seed(tmp_path):
    lake = Lake(tmp_path / "lake")
    take(changed(), tmp_path, lake, LATER)
    script = "import sys; from pathlib import Path; from bundles.build import build; from bundles.lake import Lake\n"
    script += "build(Lake(Path(sys.argv[1])), Path(sys.argv[2]))"
    for seed, zone in (("1", "UTC"), ("2", "America/New_York")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", script, str(lake.root), str(tmp_path / seed)]
        subprocess.run(command, env=environment, check=True)
    assert content(tmp_path / "1") == content(tmp_path / "2")


def tables(path: Path) -> set[str]:
    """Return the schema of a database, without its layout."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {"".join(sql.split()) for (sql,) in rows}


def test_the_databases_have_zipline_s_own_schemas(tmp_path):
    from zipline.assets import ASSET_DB_VERSION, AssetDBWriter
    from zipline.data.adjustments import SQLiteAdjustmentWriter

    assert f"assets-{ASSET_DB_VERSION}.sqlite" == ASSETS_FILE
    with AssetDBWriter(str(tmp_path / "theirs")).engine.begin() as transaction:
        AssetDBWriter(str(tmp_path / "theirs")).init_db(transaction)
    row = pd.DataFrame({"sid": [0], "effective_date": pd.to_datetime(["2018-03-05"]), "ratio": [0.5]})
    with SQLiteAdjustmentWriter(str(tmp_path / "adjusted"), None) as writer:
        for name in ("splits", "dividends", "mergers"):
            writer.write_frame(name, row)
        writer.write()
    for schema, theirs in (("assets", "theirs"), ("adjustments", "adjusted")):
        with database(tmp_path / schema, schema):
            pass
        assert tables(tmp_path / schema) == tables(tmp_path / theirs)


@pytest.fixture
def lake(home: Path, tmp_path: Path) -> Lake:
    lake = Lake(home / "lake")
    take(market(), tmp_path, lake, FIRST)
    return lake


def quiet(step: str) -> None:
    """Say nothing."""


def test_an_old_view_stands_beside_the_newest_ingestion(lake, tmp_path):
    newest = ingest_now(quiet)
    day = dt.date(2018, 3, 8)
    for count in range(3):  # one that is there already is replaced
        place = ingest_view(day, quiet)
        assert place.name == f"2018-03-08T15;59;59{f'.{count:06}' if count else ''}"
        assert [path for _, path in ingestions(newest.parent)] == [place, newest]
        assert not list(newest.parent.glob(".*.partial"))
    assert open_bundle().folder == newest
    old = open_bundle(timestamp=pd.Timestamp(after(place), tz="UTC"))
    assert (old.folder, str(old.panels.days[-1])) == (place, "2018-03-08")
    assert open_bundle(timestamp=pd.Timestamp("2018-03-09")).folder == place


def test_a_day_that_has_not_ended_has_no_view(lake):
    with pytest.raises(UsageError, match="has not ended"):
        ingest_view(clock.now().date(), quiet)


def test_our_databases_are_what_zipline_reads(lake):
    ingest_now(quiet)
    bundle = open_bundle()
    assert (bundle.folder / ADJUSTMENTS_FILE).is_file()
    gone, there = bundle.asset_finder.retrieve_all([0, 1])
    assert (gone.symbol, str(gone.end_date.date()), str(gone.auto_close_date.date())) == (
        "000001.SZ",
        "2018-03-12",
        "2018-03-13",
    )
    assert (there.symbol, there.auto_close_date) == ("600000.SH", None)
    day = pd.Timestamp("2018-03-08")
    (ratio,) = bundle.adjustments.get_adjustments_for_sid("dividends", 1)
    assert ratio == [day, pytest.approx(1 / 1.05)]
