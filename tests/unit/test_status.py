"""``ashare data status`` over a lake with a hole, a row held back and one that came since."""

from __future__ import annotations

import datetime as dt
import json
import sys

import polars as pl
import pytest
from click.testing import CliRunner

from bundles.cli import _show, data
from bundles.endpoints import ENDPOINTS
from bundles.importer import import_folder
from bundles.lake import Lake
from bundles.status import holdings
from engine import settings
from tests.conftest import FETCHED
from tests.markets import Market, days_between

LATER = dt.date(2027, 1, 5)
HOLE = dt.date(2018, 3, 7)


@pytest.fixture
def lake(home, tmp_path):
    """Return a lake of five sessions whose adj_factor lacks one, asked of a vendor until the third."""
    market = Market(days_between("20180305", "20180309"))
    market.stock("600000.SH").bars("600000.SH", [10.0, 10.1, 10.2, 10.3, 10.4]).index([5000.0] * 5)
    factors = market.tables["adj_factor"]
    factors[:] = [row for row in factors if row["trade_date"] != f"{HOLE:%Y%m%d}"]
    lake = Lake(settings.load().lake)
    import_folder(market.write(tmp_path / "market"), lake, FETCHED, "statutory")
    with lake.append() as append:
        rows = pl.DataFrame(
            {"ts_code": ["600000.SH"] * 2, "trade_date": ["2018-03-07", "2018-03-08"], "check": "c", "detail": "d"}
        )
        append.hold_back(ENDPOINTS["adj_factor"], rows.with_columns(fetched_at=pl.lit("2027-01-05")), LATER)
        append.commit("", {}, {"adj_factor": (dt.date(2018, 3, 5), dt.date(2018, 3, 7))})
    return lake


def run(*words: str) -> str:
    done = CliRunner().invoke(data, ["status", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_days_rows_holes_and_rows_held_back(lake):
    said = json.loads(run("--json"))
    assert said["version"] == 2
    found = {entry["endpoint"]: entry for entry in said["endpoints"]}
    assert found["adj_factor"] == {
        "endpoint": "adj_factor",
        "rows": 4,
        "first": "2018-03-05",
        "last": "2018-03-09",
        "fetched": "2027-01-04",
        "asked_until": "2018-03-07",
        "holes": ["2018-03-07"],
        "held_back": 1,  # of the other the lake has a row
    }
    assert (found["daily"]["rows"], found["daily"]["holes"], found["daily"]["asked_until"]) == (5, [], None)
    assert (found["index_daily"]["holes"], found["suspend_d"]["holes"]) == ([], None)
    assert (found["stock_basic"]["rows"], found["stock_basic"]["first"]) == (1, "2000-01-04")
    assert found["income"] == found["income"] | {"rows": 0, "first": None, "last": None, "held_back": 0}


def test_plain_columns_for_programs(lake):
    lines = run().splitlines()
    assert " ".join(lines[0].split()) == "endpoint rows first last came asked until holes held back"
    line = next(line for line in lines if line.startswith("adj_factor "))
    assert line.split() == ["adj_factor", "4", "2018-03-05", "2018-03-09", "2027-01-04", "2018-03-07", "1", "1"]
    assert "adj_factor has no rows of 2018-03-07" in lines
    assert len({len(line) for line in lines[:6]}) == 1  # columns stand under their heads


def test_a_drawn_table_on_a_terminal(lake, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    _show(list(holdings(lake, lake.version(), {"adj_factor": 1})))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["adj_factor", "4", "2018-03-05", "2018-03-09", "2027-01-04", "2018-03-07", "1", "1"] in lines


def test_only_one_column_of_the_bars_is_read(lake, monkeypatch):
    read: list[tuple[str, tuple[str, ...]]] = []
    real = pl.read_parquet

    def noting(path, columns=None, **more):
        read.append((str(path), tuple(columns or ("*",))))
        return real(path, columns=columns, **more)

    monkeypatch.setattr(pl, "read_parquet", noting)
    list(holdings(lake, lake.version(), {}))
    assert read
    assert {columns for _, columns in read} <= {("trade_date",), ("known_at",)}


def test_limits_before_the_vendor_has_any_are_no_hole(home, tmp_path):
    market = Market(days_between("20061228", "20070105"))
    market.stock("600000.SH").bars("600000.SH", [10.0] * len(market.days)).index([1000.0] * len(market.days))
    market.tables["stk_limit"].clear()
    lake = Lake(settings.load().lake)
    import_folder(market.write(tmp_path / "market"), lake, FETCHED, "statutory")
    (held,) = (held for held in holdings(lake, lake.version(), {}) if held.endpoint == "stk_limit")
    assert list(map(str, held.holes)) == ["2007-01-04", "2007-01-05"]
