"""Paper trading is safe from crashes: wherever a run dies, the next one leaves the bytes of a run that did not.

``dying`` forks a child for every durable operation of a run over eight sessions with fills, refusals, a dividend, a
suspension and a halt. Before the next run somebody looks at the accounts, which must change nothing.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import accounts
from tests.accounts import A, B, content
from tests.conftest import ingest

ROOT = Path(__file__).parents[2]
RUN = ["paper", "run", "mine", "--no-sync", "--now", accounts.LAST]
slow = pytest.mark.slow


@pytest.fixture
def made(home: Path, tmp_path: Path) -> Path:
    """Return the folder of a new account over the small market; ``base`` keeps a copy of it."""
    home.mkdir()
    (home / "ashare.toml").write_text(accounts.TOML)
    ingest(accounts.two_weeks(), tmp_path / "market")
    folder = accounts.make()
    shutil.copytree(home / "paper", "base")
    return folder


def results(kinds: str, *words: str) -> list[dict[str, Any]]:
    """Return what ``dying`` printed: the run that nothing happened to first."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.faults.dying", kinds, *(words or RUN)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


FILLED = [
    ("20180305-600000.SH-B", 2000, "filled"),
    ("20180305-000001.SZ-B", 1000, "filled"),
    ("20180306-600004.SH-B", 0, "limit_up"),
    ("20180306-600000.SH-B", 100, "filled"),
    ("20180307-000001.SZ-S", 0, "suspended"),
    ("20180308-600000.SH-S", 500, "filled"),
    ("20180308-000001.SZ-B", 0, "suspended"),
    ("20180309-600000.SH-S", 0, "limit_down"),
    ("20180309-600004.SH-B", 100, "filled"),
    ("20180312-600000.SH-B", 0, "halted"),
    ("20180312-000001.SZ-S", 400, "filled"),
    ("20180313-000001.SZ-B", 0, "halted"),
    ("20180313-600004.SH-S", 100, "filled"),
]
"""How each order of the script must end, by the bars of the market: once each."""


A_LINE = 33
"""Operations from the start of a run that died before to its first line: the lock, what is cleared away, a session's
files, the line. Measured: runs that die at every 33rd end, at every 31st they do not."""


def require_whole(found: dict[str, str]) -> None:
    """Complain unless a journal says what the market and the script come to, worked out by hand."""
    lines = [json.loads(line) for line in found["mine/journal.jsonl"].splitlines()]
    sessions = [line for line in lines if line["kind"] == "session"]
    assert [line["session"] for line in sessions] == accounts.SESSIONS
    settled = [row for line in sessions for row in line["settled"]]
    assert [(row["order_id"], row["filled"], row["reason"]) for row in settled] == FILLED
    for before, after in pairwise(sessions):  # each order that waited met the next session
        met = [row["order_id"] for row in after["settled"] if row["session"]]
        assert [order["order_id"] for order in before["orders"]] == met
    held = {code: one["shares"] for code, one in sessions[-1]["positions"].items()}
    assert held == {A: 2000 + 100 - 500, B: 1000 - 400}
    assert len([name for name in found if name.endswith("scores.parquet")]) == 8
    assert len([name for name in found if name.endswith("decisions.parquet")]) == 3


@pytest.mark.parametrize(
    "kinds", [pytest.param("before:0:1,torn:0:1,after:0:1", marks=slow), "before:20:130,torn:2:25,after:90:130"]
)
def test_a_run_that_dies_at_any_durable_operation(made: Path, kinds: str) -> None:
    clean, *points = results(kinds)
    assert not clean["code"], clean["said"]
    require_whole(clean["files"])
    assert len(points) >= 4
    for point in points:
        assert point["code"] == 9, point
        assert (point["looked"], point["wrote"], point["untouched"]) == (0, [], True), point
        assert (point["again"], point["same"]) == (0, True), point


@pytest.mark.parametrize(
    "kinds", [pytest.param("before:0:6,torn:0:4,after:3:6", marks=slow), "before:60:900,torn:12:900,after:130:900"]
)
def test_letters_and_tickets_are_neither_lost_nor_doubled(
    made: Path, monkeypatch: pytest.MonkeyPatch, kinds: str
) -> None:
    """To a receiver that cannot be reached: each letter waits once, whenever the run died."""
    monkeypatch.setenv("ASHARE_MESSAGES", "json://127.0.0.1:9/nobody")
    clean, *points = results(kinds)
    assert not clean["code"], clean["said"]
    letters = [name for name in clean["files"] if name.startswith("mine/outbox/0")]
    assert len([name for name in letters if name.endswith("-summary.json")]) == 8
    assert len([name for name in letters if name.endswith("-orders.json")]) == 7  # none on the last evening
    assert len([name for name in clean["files"] if name.startswith("mine/tickets/")]) == 14
    assert len(points) >= 3
    for point in points:
        assert point["code"] == 9, point
        assert (point["again"], point["same"]) == (0, True), point


@pytest.mark.parametrize("kinds", [pytest.param("chain:24:9", marks=slow), "chain:40:1000"])
def test_runs_that_die_again_and_again(made: Path, kinds: str) -> None:
    """Each run dies after so many operations, the one after it too, until one ends.

    Where none gets as far as the next line of the journal none ends; then nothing is lost either, and the first run
    that is left alone does it all.
    """
    _, *points = results(kinds)
    assert points
    for point in points:
        assert set(point["codes"][:-1]) == {9}, point
        assert point["codes"][-1] == 0 or point["at"] < A_LINE, point
        assert (point["again"], point["same"]) == (0, True), point


@pytest.mark.parametrize("kills", [pytest.param(25, marks=slow), 2])
def test_real_kills_at_random_moments(made: Path, home: Path, kills: int) -> None:
    """``kill -9`` while a process works; what it left is taken on by the next, which is killed in turn."""
    code, said = finished(start())
    assert not code, said
    clean, drawn, counted = content(made), random.Random(7), 0
    shutil.rmtree(made)
    shutil.copytree("base/mine", made)
    while counted < kills:
        process = start()
        while not (made / ".lock").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(drawn.uniform(0, 1.0))
        process.kill()
        code, _ = finished(process)
        assert code in (-9, 0)
        counted += code == -9
        if code == 0:
            assert content(made) == clean
            shutil.rmtree(made)
            shutil.copytree("base/mine", made)
        elif (made / ".lock").exists():
            (made / ".lock").unlink()  # it tells when the next one has begun
    code, said = finished(start())
    assert not code, said
    assert content(made) == clean


def start() -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from engine.cli.main import main; main()", *RUN]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return how a process ended, and what it said."""
    said, _ = process.communicate()
    return process.returncode, said


@pytest.mark.parametrize("kinds", [pytest.param("before:0:1,torn:0:1,after:0:1", marks=slow), "before:2:5,torn:0:2"])
@pytest.mark.parametrize("action", ["init", "halt"])
def test_an_init_and_a_halt_that_die(made: Path, home: Path, action: str, kinds: str) -> None:
    """An account is there or not; a halt that was given twice is a halt."""
    if action == "init":
        shutil.rmtree("base")
        Path("base").mkdir()
        words = ["paper", "init", "mine", "-f", "script.py", "--capital", "100000", "--first", accounts.SESSIONS[0]]
    else:
        words = ["paper", "halt", "mine"]
    clean, *points = results(kinds, *words)
    assert not clean["code"], clean["said"]
    assert len(points) >= 3
    for point in points:
        assert (point["code"], point["looked"], point["wrote"]) == (9, 0, []), point
        if action == "init":
            assert point["again"] == (2 if point["there"] else 0), point
            assert point["same"], point
        else:
            assert point["again"] == 0, point
            assert point["lines"] in (["created", "halted"], ["created", "halted", "halted"]), point
