"""Real data, synced from the local Tushare by a process that is killed again and again, or imported: one bundle."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from bundles.demo.server import LocalTushare
from bundles.sync.plan import INDEXES
from tests.vendor import FREE, TOKEN

ASHARE = (sys.executable, "-c", "from engine.cli.main import main; main()")
TABLES = ("stock_basic", "trade_cal", "daily", "adj_factor", "daily_basic", "stk_limit", "suspend_d", "namechange")
TABLES += ("dividend", "income", "balancesheet", "index_daily")
OLDEST = {"2014-01-01": "20110331", "2018-07-02": "20150930"}
"""First day of a sync, and the oldest period whose statements it asks for."""


@pytest.mark.parametrize(
    ("stocks", "first", "kills"),
    [("120", "2018-07-02", 3), pytest.param(None, "2014-01-01", 10, marks=pytest.mark.slow)],
)
def test_a_sync_that_is_killed_ends_in_the_panels_of_an_import(tmp_path, stocks, first, kills):
    market = _market(tmp_path / "market", first, stocks)
    homes = [tmp_path / name for name in ("imported", "synced")]
    _run(homes[0], "data", "import", str(market))
    with LocalTushare(market, TOKEN, calls_per_minute=10**6, terms=FREE) as server:
        vendor = {"BASE_URL": server.url, "POINTS": "5000", "CALLS_PER_MINUTE": "1000000"}
        variables = {f"ASHARE_TUSHARE__{name}": value for name, value in vendor.items()}
        variables["ASHARE_TUSHARE_TOKEN"] = TOKEN
        command = ("data", "sync", "--from", first, "--to", "2019-06-28")
        assert _killed(homes[1], command, variables, kills) == kills
        asked = len(server.asked)
        _run(homes[1], *command, **variables)
        assert len(server.asked) > asked
        assert len({(api, str(params)) for api, params in server.asked}) > 0.4 * len(server.asked)  # two answers each
    for home in homes:
        _run(home, "data", "build")
    imported, synced = (_files(home) for home in homes)
    assert {name for name in imported | synced if imported.get(name) != synced.get(name)} == {"panels/manifest.json"}


def _market(folder: Path, first: str, stocks: str | None) -> Path:
    source = os.environ.get("ASHARE_REALDATA")
    if not source or not (Path(source) / "export.py").is_file():
        pytest.skip("ASHARE_REALDATA names no private data on this machine")
    command = [sys.executable, str(Path(source) / "export.py"), "--out", str(folder), "--start", first.replace("-", "")]
    subprocess.run([*command, *(["--stocks", stocks] if stocks else [])], check=True, capture_output=True)
    for path in (path for name in ("income", "balancesheet") for path in (folder / name).iterdir()):
        pl.read_parquet(path).filter(pl.col("end_date") >= OLDEST[first]).write_parquet(path)
    for path in (folder / "index_daily").iterdir():
        pl.read_parquet(path).filter(pl.col("ts_code").is_in(INDEXES)).write_parquet(path)
    for path in folder.iterdir():
        if path.name not in TABLES:  # what a sync does not ask for
            subprocess.run(["rm", "-r", str(path)], check=True)
    return folder


def _environment(home: Path, variables: dict[str, str]) -> dict[str, str]:
    mine = {"ASHARE_HOME": str(home), "ZIPLINE_ROOT": str(home / "zipline"), "ASHARE_DATA__UNDATED": "statutory"}
    return {**os.environ, **mine, **variables}


def _run(home: Path, *words: str, **variables: str) -> None:
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [*ASHARE, *words], env=_environment(home, variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _killed(home: Path, words: tuple[str, ...], variables: dict[str, str], times: int) -> int:
    """Start a command and kill it once it has filed more answers, again and again; return how often it was killed."""
    home.mkdir(exist_ok=True)
    rng, killed = random.Random(7), 0
    for _ in range(times):
        more = _answers(home) + rng.randrange(20, 120)
        process = subprocess.Popen(
            [*ASHARE, *words], env=_environment(home, variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and _answers(home) < more:
            pass
        process.kill()
        killed += process.wait() < 0
    return killed


def _answers(home: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(home / "lake" / ".inbox"))


def _files(home: Path) -> dict[str, bytes]:
    ingestion = max((home / "zipline" / "data" / "ashare").glob("[0-9]*"))
    return {str(path.relative_to(ingestion)): path.read_bytes() for path in ingestion.rglob("*") if path.is_file()}
