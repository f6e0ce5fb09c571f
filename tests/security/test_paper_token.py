"""The token is found nowhere in what paper trading says and keeps, whatever happens to it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from zipline.data import bundles

from bundles.importer import import_folder
from bundles.lake import Lake
from engine import clock, settings
from engine.host.registration import install
from tests import accounts
from tests.security.test_token import (  # noqa: F401  (fixtures)
    ECHOES,
    NOW,
    SCRIPT,
    Echo,
    Say,
    found_in,
    require_unseen,
    say,
    set_up,
)
from tests.vendor import TOKEN, a_quarter

FAILS = SCRIPT + "\n    raise RuntimeError(context)\n"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose account has run some sessions, with the token in the environment and in its file."""
    root = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_HOME", str(root / "home"))
        patch.setenv("ZIPLINE_ROOT", str(root / "home" / "zipline"))
        patch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
        patch.setattr(clock, "now", lambda: NOW)
        patch.chdir(root)
        import_folder(a_quarter(root / "market"), Lake(settings.load().lake), NOW.date(), "six_months")
        install()
        bundles.ingest("ashare", os.environ, show_progress=False)
        Path("mine.py").write_text(SCRIPT)
        for line in ("init mine -f mine.py --first 2018-04-24", "run mine --no-sync --until 2018-04-25"):
            told = accounts.say("paper", *line.split())
            assert not told.code, told
    return root / "home"


@pytest.fixture
def account(ready: Path, set_up: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """Return that account in a home of the test's own, whose vendor cannot be reached."""
    shutil.copytree(ready, home)
    monkeypatch.setenv("ZIPLINE_ROOT", str(home / "zipline"))
    monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", "http://127.0.0.1:9")
    Path("fails.py").write_text(FAILS)
    return home / "paper" / "mine"


def broken_disk(monkeypatch: pytest.MonkeyPatch, account: Path) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)


FAULTS: dict[str, tuple[str, int, Callable[[pytest.MonkeyPatch, Path], object]]] = {
    "no network": ("paper run mine", 3, lambda patch, path: None),
    "no such account": ("paper run nobody --no-sync", 2, lambda patch, path: None),
    "no such bundle": ("paper run mine --no-sync -b other", 3, lambda patch, path: None),
    "a clock behind": ("paper run mine --no-sync --now 2018-04-20T18:00", 3, lambda patch, path: None),
    "data too old": ("paper run mine --no-sync --now 2018-05-02T20:00", 3, lambda patch, path: None),
    "a full disk": ("paper run mine --no-sync", 7, broken_disk),
    "a full disk at a halt": ("paper halt mine", 7, broken_disk),
    "a cut journal": ("paper run mine --no-sync", 3, lambda patch, path: (path / "journal.jsonl").write_bytes(b"{}\n")),
    "a damaged head": ("paper status mine", 3, lambda patch, path: (path / "head.json").write_bytes(b"{")),
    "a changed script": ("paper check mine", 3, lambda patch, path: (path / "strategy.py").write_text("x = 1")),
    "no state": (
        "paper run mine --no-sync",
        3,
        lambda patch, path: (path / "sessions" / "2018-04-25" / "state.json").unlink(),
    ),
    "a wrong setting": ("paper run mine --no-sync", 2, lambda patch, path: patch.setenv("ASHARE_PAPER__GRACE", TOKEN)),
    "a token among the settings": (
        "paper run mine --no-sync",
        2,
        lambda patch, path: (path.parents[1] / "ashare.toml").write_text(f"[paper]\ntoken = '{TOKEN}'"),
    ),
    "late": ("paper check mine --now 2018-05-02T23:00", 3, lambda patch, path: None),
}


@pytest.mark.parametrize("debug", ["", "--debug "])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_shows_no_token(
    say: Say,  # noqa: F811
    account: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    debug: str,
) -> None:
    line, expected, spoil = FAULTS[fault]
    with monkeypatch.context() as patch:
        spoil(patch, account)
        code, said = say(debug + line)
    assert code == (99 if debug else expected), said
    assert not found_in(said), said
    if fault != "a token among the settings":
        require_unseen(said, tmp_path)


def test_a_script_that_fails_shows_no_token(say: Say, account: Path, tmp_path: Path) -> None:  # noqa: F811
    assert not say("paper init fails -f fails.py --first 2018-04-24")[0]
    for debug, expected in (("", 1), ("--debug ", 99)):
        code, said = say(f"{debug}paper run fails --no-sync")
        assert code == expected
        require_unseen(said, tmp_path)


@pytest.mark.parametrize("name", ["bad token", "server error", "a cell", "redirect"])
def test_a_vendor_that_repeats_the_token(
    say: Say,  # noqa: F811
    account: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    with Echo(*ECHOES[name]) as echo:
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", echo.url)
        code, said = say("paper run mine")
        assert echo.got_token
    assert code == 3, said
    require_unseen(said, tmp_path)


def test_a_held_lock_shows_no_token(say: Say, account: Path, tmp_path: Path) -> None:  # noqa: F811
    with FileLock(account / ".lock"):
        for line in ("paper run mine", "paper halt mine", "paper resume mine"):
            code, said = say(line)
            assert code == 5
            require_unseen(said, tmp_path)


def test_serve_shows_no_token(account: Path, tmp_path: Path) -> None:
    """As a process, which is told to end: it runs at once, since the account is years behind, and is refused."""
    command = [sys.executable, "-c", "from engine.cli.main import main; main()", "paper", "serve", "mine"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while b"Error" not in (tmp_path / "said").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    told = (tmp_path / "said").read_text()
    assert "serving mine" in told
    assert "Error" in told
    require_unseen(told, tmp_path)
