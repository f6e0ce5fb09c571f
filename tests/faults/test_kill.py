"""A process that dies at any durable operation leaves the old state or the new one, never a mixture.

The parent forks a child before anything heavy is imported; the child counts its fsync, rename, replace and mkdir
calls and leaves at once, without clean-up, when the chosen one is reached.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bundles.demo.server import LocalTushare
from bundles.lake import Lake
from bundles.sync.run import sync
from engine.clock import SHANGHAI
from engine.panels.reader import Panels
from engine.settings import Settings, TushareSettings
from tests.markets import Market, five_sessions
from tests.vendor import BUSY, FREE, TOKEN, a_quarter, client_of

DRIVER = """
import json, os, sys, traceback

def child(action, at):
    calls = 0
    def counted(function):
        def wrapper(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == at:
                os._exit(9)
            return function(*args, **kwargs)
        return wrapper
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    sys.argv = ["ashare"]
    if now := os.environ.pop("NOW", ""):
        import datetime
        from engine import clock
        clock.now = lambda: datetime.datetime.fromisoformat(now).replace(tzinfo=clock.SHANGHAI)
    if action == "ingest":
        import engine.extension
        from zipline.data import bundles
        bundles.ingest("ashare", os.environ, show_progress=False)
    else:
        from engine.cli.main import ashare
        ashare.main(["data", *action.split()], standalone_mode=False)
    sys.stdout.flush()
    os._exit(0)

action, start, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
check = sys.argv[4]
at = start
while True:
    pid = os.fork()
    if pid == 0:
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1); os.dup2(said, 2)
        try:
            child(action, at)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps({"at": at, "status": status}), flush=True)
    if status != 9:
        break
    os.system(check)
    at += step
"""

STATE = """
import json, os
import pandas as pd
from bundles.lake import Lake
from engine import settings
from engine.errors import AshareError
from engine.panels.bundle import open_bundle
lake = Lake(settings.load().lake)
version = lake.version()
lake.verify(version)
rows = sum(part.rows for parts in version.parts.values() for part in parts)
def seen(timestamp=None):
    try:
        bundle = open_bundle(timestamp=timestamp)
        fields = [int(bundle.panels.field(name).sum()) for name in ("close", "up_limit", "last_bar", "status")]
        assets = [asset.symbol for asset in bundle.asset_finder.retrieve_all(bundle.asset_finder.sids)]
        return [bundle.panels.data_id, fields, len(bundle.panels.days), assets]
    except AshareError as error:
        return [type(error).__name__]
print("STATE " + json.dumps([version.number, rows, seen(), seen(pd.Timestamp("2018-03-08"))]), flush=True)
"""


def states(folder: Path, action: str, start: int, step: int, **variables: str) -> list[list]:
    """Kill the action at every ``step``-th durable operation and return what a reader saw after each death."""
    homes = {"ASHARE_HOME": str(folder / "home"), "ZIPLINE_ROOT": str(folder / "zipline")}
    environment = {**os.environ, **homes, **variables}
    (folder / "state.py").write_text(STATE)
    check = f"{sys.executable} {folder / 'state.py'}"
    command = [sys.executable, "-c", DRIVER, action, str(start), str(step), check]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert json.loads([line for line in lines if line.startswith("{")][-1])["status"] == 0, (
        done.stdout + (folder / "said.txt").read_text()
    )
    after = subprocess.run(check.split(), cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return [
        json.loads(line.removeprefix("STATE "))
        for line in [*lines, *after.stdout.splitlines()]
        if line.startswith("STATE ")
    ]


STEPS = [pytest.param(1, marks=pytest.mark.slow), 19]
"""Every durable operation, or a sample: after each death a process of its own looks, which takes seconds."""


@pytest.mark.parametrize("step", STEPS)
def test_an_import_that_dies(tmp_path, step):
    five_sessions().write(tmp_path / "market")
    seen = states(tmp_path, "import market", 1, step)
    assert len(seen) > 3
    number, rows, *_ = seen[-1]
    assert number == 1
    assert rows > 20
    for one in seen[:-1]:
        assert one[:2] in ([0, 0], [number, rows]), one


def restated(market: Market) -> None:
    market.tables["daily"][4] |= {"close": 10.45, "high": 10.45}


def one_more_session(market: Market) -> None:
    market.stock("000001.SZ", listed="20180312").bar("000001.SZ", "20180312", 5.0)
    market.bar("600000.SH", "20180312", 10.5)
    market.add("index_daily", ts_code="000905.SH", trade_date="20180312", open=5000, close=5000)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("action", "change"), [("ingest", restated), ("build", one_more_session)])
def test_an_ingest_that_dies(tmp_path, action, change, step):
    """A full build, and one that takes sessions over from the ingestion before."""
    market = five_sessions()
    market.write(tmp_path / "market")
    states(tmp_path, "import market", 1000, 1)
    states(tmp_path, "ingest", 1000, 1)
    change(market)
    market.write(tmp_path / "market")
    (_, _, old, _) = states(tmp_path, "import market", 1000, 1)[-1]
    seen = states(tmp_path, action, 1, step)
    assert len(seen) > 3
    (_, _, new, _) = seen[-1]
    assert new[0] != old[0]
    assert new[1] != old[1]
    for _, _, bundle, _ in seen[:-1]:
        assert bundle in (old, new)
    left = list((tmp_path / "zipline" / "data" / "ashare").iterdir())
    assert not [path.name for path in left if path.name.endswith(".partial")]
    # the dead ones were swept, but for those that died when their folder was whole already
    whole = [path for path in left if path.name[0].isdigit()]
    assert len(whole) >= 2
    for folder in whole:
        assert Panels(folder / "panels").data_id in (old[0], new[0])


@pytest.mark.parametrize("step", STEPS)
def test_an_old_view_that_dies(tmp_path, step):
    market = five_sessions()
    market.write(tmp_path / "market")
    build_view = "build --as-known-at 2018-03-07"
    states(tmp_path, "import market", 1000, 1)
    states(tmp_path, "ingest", 1000, 1)
    (_, _, newest, old) = states(tmp_path, build_view, 1000, 1)[-1]
    market.bar("000001.SZ", "20180306", 5.0).stock("000001.SZ")  # new to the lake, and known for long
    market.write(tmp_path / "market")
    states(tmp_path, "import market", 1000, 1)
    seen = states(tmp_path, build_view, 1, step)
    assert len(seen) > 3
    (_, _, _, new) = seen[-1]
    assert (old[2], new[2], new[3]) == (3, 3, ["000001.SZ", "600000.SH"])
    for _, _, bundle, view in seen:
        assert bundle == newest
        assert view in (old, new)
    left = [path.name for path in (tmp_path / "zipline" / "data" / "ashare").iterdir() if path.name != ".ingest.lock"]
    assert len(left) == 2, left  # the newest, and one view of the day


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 67])
def test_a_sync_that_dies_goes_on_where_it_was(tmp_path, step):
    """The lake is the old one or the new one; the one that ends well is that of a sync nobody killed."""
    held, clean = Lake(tmp_path / "home" / "lake"), Lake(tmp_path / "clean")
    values = TushareSettings(points=5000, start=dt.date(2018, 4, 2), reread=0, late_days=0, connections=1, answers=1)
    settings, evening = Settings(home=tmp_path, tushare=values), dt.time(19)
    with LocalTushare(a_quarter(tmp_path / "before", "20180424"), TOKEN, calls_per_minute=10**6, terms=FREE) as server:
        sync(held, client_of(server), settings, dt.datetime.combine(dt.date(2018, 4, 24), evening, SHANGHAI))
    shutil.copytree(held.root, clean.root)
    old = held.version()
    with LocalTushare(a_quarter(tmp_path / "after", BUSY), TOKEN, calls_per_minute=10**6, terms=FREE) as server:
        new = sync(
            clean, client_of(server), settings, dt.datetime.combine(dt.date.fromisoformat(BUSY), evening, SHANGHAI)
        )
        server.asked.clear()
        variables = {f"ASHARE_TUSHARE__{name}".upper(): str(value) for name, value in values.model_dump().items()}
        variables |= {"ASHARE_TUSHARE__BASE_URL": server.url, "ASHARE_TUSHARE_TOKEN": TOKEN, "NOW": "2018-04-25T19:00"}
        seen = states(tmp_path, "sync", 1, step, **variables)
        asked = Counter((api, str(sorted(params.items()))) for api, params in server.asked)
    assert len(seen) > 3
    rows = [sum(part.rows for parts in version.parts.values() for part in parts) for version in (old, new.version)]
    for number, count, *_ in seen:
        assert (number, count) in ((old.number, rows[0]), (old.number + 1, rows[1]))
    assert held.version().data_id == clean.version().data_id == new.version.data_id
    assert sum(asked.values()) < 2 * len(asked)  # what was answered once was not asked again
    assert not (held.root / ".inbox").exists()
