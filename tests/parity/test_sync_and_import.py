"""The demo market, downloaded through the real client or imported as files: one and the same bundle."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from bundles.build import build
from bundles.demo.market import Spec, write_market
from bundles.demo.server import LocalTushare
from bundles.importer import import_folder
from bundles.lake import Lake
from bundles.sync.run import Wish, sync
from bundles.sync.take import Synced
from engine.clock import SHANGHAI
from engine.panels.reader import Panels
from engine.settings import Settings
from tests.vendor import TOKEN, client_of

SPEC = Spec(stocks=80, first="2020-09-01", last="2021-07-30", calendar_until="2024-12-31")
NOW = dt.datetime(2023, 11, 22, 20, 0, tzinfo=SHANGHAI)


@dataclass
class Both:
    """The market's folder, what the sync did, and the two bundles."""

    market: Path
    synced: Synced
    downloaded: Path
    imported: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_HOME", str(folder / "home"))
        write_market(SPEC, folder / "market")
        lakes = Lake(folder / "downloaded" / "lake"), Lake(folder / "imported" / "lake")
        account = {"points": 5000, "answers": 1, "calls_per_minute": 10**6}
        settings = Settings(tushare=account)
        wish = Wish(*map(dt.date.fromisoformat, (SPEC.first, SPEC.last)))
        with LocalTushare(folder / "market", TOKEN, calls_per_minute=10**6) as server:
            synced = sync(lakes[0], client_of(server, calls_per_minute=10**6, timeout=30), settings, NOW, wish)
        import_folder(folder / "market", lakes[1], NOW.date(), "statutory")
        bundles = [lake.root.parent / "bundle" for lake in lakes]
        for lake, bundle in zip(lakes, bundles, strict=True):
            bundle.mkdir()
            build(lake, bundle, lambda *_: None, None, [])
        return Both(folder / "market", synced, *bundles)


def test_nothing_is_held_back_or_found(both):
    assert both.synced.held_back == {}
    assert both.synced.found.to_dicts() == []
    assert both.synced.rows["daily"] > 8000


def test_every_panel_is_the_same_bit_for_bit(both):
    names = sorted(path.name for path in (both.downloaded / "panels").iterdir())
    assert names == sorted(path.name for path in (both.imported / "panels").iterdir())
    assert "report_profit_ytd.npy" in names
    for name in names:
        one, other = (folder / "panels" / name for folder in (both.downloaded, both.imported))
        if name == "manifest.json":  # names the data, which lie in other parts
            continue
        assert one.read_bytes() == other.read_bytes(), name


@pytest.fixture(scope="module")
def shown(both):
    """Return a function: the profit of a period a stock's newest report shows on a session, None for another period."""
    panels = Panels(both.downloaded / "panels")
    sids = {asset.ts_code: sid for sid, asset in enumerate(panels.assets)}
    state, period, profit = panels.field("report"), panels.report("period_end"), panels.report("profit_ytd")

    def shown(report: dict[str, object], row: int) -> float | None:
        at = state[row, sids[report["ts_code"]]]
        end = dt.datetime.strptime(report["end_date"], "%Y%m%d").date()  # noqa: DTZ007
        known = at >= 0 and period[at] == (end - dt.date(1970, 1, 1)).days
        return float(profit[at]) if known else None

    return panels, shown


def reports(both: Both, **wanted: str) -> pl.DataFrame:
    """Return the income statements, the original beside each restated one."""
    rows = pl.read_parquet(both.market / "income" / "income.parquet").filter(**wanted)
    return rows.filter(pl.col("ann_date").is_between(pl.lit("20200910"), pl.lit("20210720")))


def test_restated_reports_count_from_their_own_day(both, shown):
    panels, value = shown
    originals = {(row["ts_code"], row["end_date"]): row for row in reports(both, update_flag="0").to_dicts()}
    later = same = 0
    for row in reports(both, update_flag="1").to_dicts():
        before = originals.get((row["ts_code"], row["end_date"]))
        if before is None or row["end_date"][4:] == "1231":  # the next first quarter may be out before
            continue
        at = panels.first_row_from(f"{row['ann_date'][:4]}-{row['ann_date'][4:6]}-{row['ann_date'][6:]}")
        assert value(before, at - 1) in (None, before["n_income_attr_p"])
        if row["ann_date"] == before["ann_date"]:  # the vendor does not say when: it counts from the download
            same += 1
            assert value(row, at) == before["n_income_attr_p"]
        else:
            later += 1
            assert value(row, at - 1) == before["n_income_attr_p"]
            assert value(row, at) == row["n_income_attr_p"] != before["n_income_attr_p"]
    assert later >= 1
    assert same >= 1


def test_late_reports_count_from_their_own_day(both, shown):
    panels, value = shown
    late = reports(both, end_date="20200630", update_flag="0").filter(pl.col("ann_date") > "20200831").to_dicts()
    assert late
    for row in late:
        at = panels.first_row_from(f"{row['ann_date'][:4]}-{row['ann_date'][4:6]}-{row['ann_date'][6:]}")
        assert value(row, at - 1) is None
        assert value(row, at) == row["n_income_attr_p"]
