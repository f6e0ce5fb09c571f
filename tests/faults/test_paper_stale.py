"""Stale or thin data are refused: no order, no byte written, exit 3, one line; mended, the same run goes on."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundles.importer import import_folder
from bundles.lake import Lake
from engine import calendar, settings
from engine.host.registration import install
from tests import accounts
from tests.accounts import DAYS, SESSIONS, A, Said, content, entries, two_weeks
from tests.conftest import FETCHED

TODAY, BEFORE = DAYS[-1], DAYS[-2]
HELD = f"{SESSIONS[-2]}T18:00"
Rows = list[dict[str, str]]
Change = Callable[[Rows], Rows]


def edited(folder: Path, table: str, change: Change) -> None:
    """Change a table of a market that was written."""
    path = folder / table / f"{table}.csv"
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        names, rows = list(reader.fieldnames or ()), change(list(reader))
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, names)
        writer.writeheader()
        writer.writerows(rows)


def without(day: str, code: str = "") -> Change:
    """Return what drops the rows of a day, perhaps of one stock only."""
    return lambda rows: [row for row in rows if row["trade_date"] != day or row["ts_code"] != (code or row["ts_code"])]


def until(last: str) -> Change:
    """Return what drops the rows after a day."""
    return lambda rows: [row for row in rows if row["trade_date"] <= last]


def repeated(rows: Rows) -> Rows:
    """Return rows with yesterday's in the place of today's."""
    kept = [row for row in rows if row["trade_date"] != TODAY]
    return kept + [{**row, "trade_date": TODAY} for row in rows if row["trade_date"] == BEFORE]


BY_DAY = ("daily", "adj_factor", "daily_basic", "stk_limit", "suspend_d", "index_daily")


def bring(folder: Path, changes: dict[str, Change], last: str = TODAY, ingested: bool = True) -> None:
    """Import the market, changed, and build the bundle, holes or not."""
    from zipline.data import bundles

    two_weeks().write(folder)
    for table in BY_DAY:
        edited(folder, table, until(last))
        if table in changes:
            edited(folder, table, changes[table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_DATA__COVERAGE", "0")
        import_folder(folder, Lake(settings.load().lake), FETCHED, "six_months")
        if ingested:
            install()
            bundles.ingest("ashare", os.environ, show_progress=False)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose account has run all sessions but the last, which the bundle does not have."""
    root = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_HOME", str(root / "home"))
        patch.setenv("ZIPLINE_ROOT", str(root / "home" / "zipline"))
        patch.chdir(root)
        (root / "home").mkdir()
        bring(root / "market", {}, BEFORE)
        accounts.make()
        said = accounts.run(now=HELD)
        assert not said.code, said.err
    return root / "home"


@pytest.fixture
def account(held: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the account in a home of the test's own."""
    shutil.copytree(held, home)
    monkeypatch.setenv("ZIPLINE_ROOT", str(home / "zipline"))
    folder = accounts.folder()
    assert entries(folder)[-1]["session"] == SESSIONS[-2]
    return folder


def require_refused(folder: Path, before: dict[str, bytes], said: Said, *words: str) -> None:
    """Complain unless a run ended with exit 3 and one line, and left every byte of the account as it was."""
    assert said.code == 3, said
    for word in words:
        assert word in said.line, said.line
    assert not said.out
    assert content(folder) == before


def require_run(folder: Path) -> None:
    """Complain unless the same command runs the last session now, once."""
    said = accounts.run()
    assert not said.code, said.err
    last = entries(folder)[-1]
    assert last["session"] == SESSIONS[-1]
    settled = [(row["order_id"], row["filled"]) for row in last["settled"]]
    assert settled == [("20180313-600004.SH-S", 100), ("20180313-000001.SZ-B", 100)]
    assert accounts.run().out.startswith("nothing is due")


SYNC = "Run `ashare data sync --build` again later"
SPOILT = {
    "the bundle ends before the session": (
        BEFORE,
        {},
        (f"there are no data of {SESSIONS[-1]}", f"the bundle ends with {SESSIONS[-2]}", SYNC),
    ),
    "no bars": (
        TODAY,
        {"daily": without(TODAY)},
        (f"there are no data of {SESSIONS[-1]}", f"the bundle ends with {SESSIONS[-2]}", SYNC),
    ),
    "a stock without its bar": (TODAY, {"daily": without(TODAY, A)}, ("daily of", "2 of 3 stocks have a bar", SYNC)),
    "no daily_basic": (TODAY, {"daily_basic": without(TODAY)}, ("daily_basic of", "0.0% of the stocks", SYNC)),
    "daily_basic of a stock missing": (TODAY, {"daily_basic": without(TODAY, A)}, ("daily_basic of", "66.7% of", SYNC)),
    "no stk_limit": (TODAY, {"stk_limit": without(TODAY)}, ("stk_limit of", "0.0% of", "100.0% had it before", SYNC)),
    "no index": (TODAY, {"index_daily": without(TODAY)}, ("the index 000905.SH has no row of", SYNC)),
    "yesterday's bars again": (TODAY, {"daily": repeated}, ("repeats the session before", "100% of the stocks", SYNC)),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_data(account: Path, tmp_path: Path, case: str) -> None:
    last, changes, words = SPOILT[case]
    bring(tmp_path / "market", changes, last)
    before = content(account)
    require_refused(account, before, accounts.run(), *words)
    require_refused(account, before, accounts.run(), *words)
    bring(tmp_path / "market", {})
    require_run(account)


ASKS = """
    import pathlib, types
    if pathlib.Path("old").exists():
        day = datetime.date.fromisoformat(pathlib.Path("old").read_text())
        manifest = types.SimpleNamespace(known_until=day)
        context.ashare.models._loaded["2018-03"] = [types.SimpleNamespace(manifest=manifest)]
    elif pathlib.Path("missing").exists():
        context.ashare.models.models_for(context.last)
"""
"""Lines of a script that asks for a model, or has an old one, if there is a file of this name."""


@pytest.fixture
def asking(held: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an account like the other one whose script asks for models, with the data of all sessions."""
    shutil.copytree(held, home)
    shutil.rmtree(home / "paper")
    monkeypatch.setenv("ZIPLINE_ROOT", str(home / "zipline"))
    monkeypatch.setenv("ASHARE_PAPER__TRAIN", "false")
    folder = accounts.make(accounts.SCRIPT + ASKS)
    assert not accounts.run(now=HELD).code
    bring(tmp_path / "market", {})
    return folder


def test_no_model(asking: Path) -> None:
    Path("missing").touch()
    words = ("no model for 2018-03-14", "has none of 2018-03", "Run `ashare train --start 2018-03 --end 2018-03`")
    require_refused(asking, content(asking), accounts.run(), *words)
    Path("missing").unlink()
    require_run(asking)


def test_a_model_that_is_too_old(asking: Path) -> None:
    """45 days before 14 March are 28 January: one of the 27th is older, one of the 28th is not."""
    Path("old").write_text("2018-01-27")
    words = ("the model is too old", "it knows nothing after 2018-01-27, more than 45 days", "Run `ashare train")
    require_refused(asking, content(asking), accounts.run(), *words)
    Path("old").write_text("2018-01-28")
    require_run(asking)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        ("2018-03-14T14:59", "2018-03-14 14:59"),  # the session has not closed
        ("2018-03-13T18:00", "2018-03-13 18:00"),
        ("1970-01-01T08:00", "1970-01-01 08:00"),  # a clock that lost its time
    ],
)
def test_a_clock_behind_the_data(account: Path, tmp_path: Path, now: str, says: str) -> None:
    bring(tmp_path / "market", {})
    words = (f"the clock says {says}", "the bundle has 2018-03-14 already", "Set the clock right")
    require_refused(account, content(account), accounts.run(now=now), *words)
    require_run(account)


def test_a_clock_behind_the_account(account: Path) -> None:
    words = ("the clock says 2018-03-12 18:00", "has 2018-03-13 already, which has not closed")
    require_refused(account, content(account), accounts.run(now="2018-03-12T18:00"), *words)


def test_the_calendar_ends(account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders of the last known session would wait for one that nobody knows."""
    bring(tmp_path / "market", {})
    known = calendar.sessions()
    with monkeypatch.context() as patch:
        patch.setattr(calendar, "sessions", lambda: known[known <= np.datetime64(SESSIONS[-1])])
        words = ("nobody knows the session after 2018-03-14", "the calendar ends with it", "`ashare data sync`")
        require_refused(account, content(account), accounts.run(), *words)
    require_run(account)


def test_a_missing_day_among_others(home: Path, tmp_path: Path) -> None:
    """Caught up in order: what is good before the hole is run, the hole is refused, what lies after it waits."""
    home.mkdir()
    bring(tmp_path / "market", {"daily": without(BEFORE)})
    folder = accounts.make()
    said = accounts.run()
    assert (said.code, len(said.out.splitlines())) == (3, 6)
    assert f"daily of {SESSIONS[-2]} is thin: 0 of 3" in said.line
    assert [entry["session"] for entry in entries(folder, "session")] == SESSIONS[:-2]
    require_refused(folder, content(folder), accounts.run(), f"daily of {SESSIONS[-2]} is thin")
    bring(tmp_path / "market", {})
    assert not accounts.run().code
    assert [entry["session"] for entry in entries(folder, "session")] == SESSIONS


def test_a_lake_newer_than_the_bundle(account: Path, tmp_path: Path) -> None:
    """What is not in the bundle is not there; nor does it stop what is."""
    bring(tmp_path / "market", {})
    bring(tmp_path / "market", {"daily": without(TODAY, A)}, ingested=False)
    require_run(account)


@pytest.mark.parametrize("tables", [("stk_limit",), ("daily_basic",), ("stk_limit", "daily_basic", "index_daily")])
def test_a_lake_that_never_had_a_table(home: Path, tmp_path: Path, tables: tuple[str, ...]) -> None:
    home.mkdir()
    bring(tmp_path / "market", {name: lambda rows: [] for name in tables})
    folder = accounts.make()
    said = accounts.run()
    assert not said.code, said.err
    assert [entry["session"] for entry in entries(folder, "session")] == SESSIONS
