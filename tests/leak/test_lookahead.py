"""Whatever happens after a day changes nothing that was decided up to it.

The market after a day is dropped or falsified, the lake is built anew, and everything up to the day must be the
same bit for bit: universe, factors, z-scores, and the orders of a run. (The full sweep of perturbations comes
with ``ashare prove lookahead``.)
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from zipline.data import bundles

import engine.extension  # noqa: F401
from bundles.importer import import_folder
from bundles.lake import Lake
from engine import settings
from engine.cli.backtest import run as run_script
from engine.panels.bundle import open_bundle
from engine.pipeline.export import Coverage, factor_frames
from engine.pipeline.research import rows_between

UNTIL = "20190628"
STRATEGIES = Path(__file__).parents[2] / "strategies"
SEED = np.random.default_rng(11)


def known_after(name: str, frame: pl.DataFrame) -> pl.Series:
    """Say which rows of a table were not known on the day, straight from their own dates."""
    by = {
        "stock_basic": "list_date",
        "namechange": "start_date",
        "dividend": "ann_date",
        "income": "ann_date",
        "balancesheet": "ann_date",
        "trade_cal": "cal_date",
    }
    return frame[by.get(name, "trade_date")] > UNTIL


def dropped(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    frame = frame.filter(~known_after(name, frame))
    if name == "stock_basic":  # a later delisting is not known either
        frame = frame.with_columns(delist_date=pl.when(pl.col("delist_date") <= UNTIL).then("delist_date"))
    return frame


def falsified(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Multiply every number that came later by a random factor, in whole fen where it is a price."""
    late = known_after(name, frame)
    if name in ("stock_basic", "namechange", "trade_cal", "suspend_d"):
        return frame
    together = {
        "daily": ("open", "high", "low", "close", "pre_close", "amount"),
        "stk_limit": ("up_limit", "down_limit"),
    }
    shared = pl.Series(SEED.uniform(0.5, 2.0, frame.height).round(2))
    changed = {}
    for column, dtype in frame.schema.items():
        if dtype == pl.Float64:
            factor = shared if column in together.get(name, ()) else pl.Series(SEED.uniform(0.5, 2.0, frame.height))
            values = frame[column] * factor
            values = values.round(2) if name in together and column != "amount" else values
            changed[column] = pl.select(pl.when(late).then(values).otherwise(frame[column])).to_series()
    return frame.with_columns(**changed)


def rebuild(source: Path, home: Path, change: Callable[[str, pl.DataFrame], pl.DataFrame], monkeypatch) -> None:
    """Make a home whose lake holds the changed market, and ingest it."""
    for path in sorted(source.glob("*/*.parquet")):
        to = home / "market" / path.parent.name / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        change(path.parent.name, pl.read_parquet(path)).write_parquet(to)
    (home / "ashare.toml").write_text("report.tearsheet = false\n[selection]\nfraction = 0.2\n")
    monkeypatch.setenv("ASHARE_HOME", str(home))
    monkeypatch.setenv("ZIPLINE_ROOT", str(home / "zipline"))
    import_folder(home / "market", Lake(settings.load().lake), dt.date(2020, 1, 2), "six_months")
    bundles.ingest("ashare", os.environ, show_progress=False)


def everything() -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Return the factor export and the orders of two strategies up to the day."""
    bundle, values = open_bundle(), settings.load()
    first, last = rows_between(bundle, "2018-01-02", "2019-06-28")
    factors = pl.concat(factor_frames(bundle, values, first, last, Coverage()))
    orders = {}
    for name in ("momentum.py", "equal_weight.py"):
        folder = run_script(STRATEGIES / name, "2018-06-01", "2019-06-28")
        orders[name] = pl.read_parquet(folder / "orders.parquet")
    return factors, orders


@pytest.fixture(scope="module")
def truth(demo_home, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        rebuild(demo_home / "market", tmp_path_factory.mktemp("truth"), lambda name, frame: frame, patch)
        return everything()


@pytest.mark.parametrize("change", [dropped, falsified])
def test_what_comes_later_changes_nothing_before(demo_home, truth, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    rebuild(demo_home / "market", tmp_path / "home", change, monkeypatch)
    factors, orders = everything()
    assert factors.height > 10_000
    assert factors.equals(truth[0])
    for name, frame in truth[1].items():
        assert frame.height > 100
        assert orders[name].equals(frame), name


def test_the_check_has_teeth(demo_home, truth, tmp_path, monkeypatch):
    """A report that counts from the end of its period instead of its announcement is caught."""
    monkeypatch.chdir(tmp_path)

    def leak(name: str, frame: pl.DataFrame) -> pl.DataFrame:
        if name not in ("income", "balancesheet"):
            return frame
        early = (pl.col("end_date").str.strptime(pl.Date, "%Y%m%d") + pl.duration(days=1)).dt.strftime("%Y%m%d")
        return frame.with_columns(ann_date=early, f_ann_date=early)

    rebuild(demo_home / "market", tmp_path / "home", leak, monkeypatch)
    assert not everything()[0].equals(truth[0])
