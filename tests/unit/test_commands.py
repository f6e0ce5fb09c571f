"""What all commands share: the line of an error, and bars that keep out of what is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundles import checks
from bundles.lake import Lake
from engine import settings
from engine.cli import main as program
from engine.host.progress import watched
from engine.words import say_in
from tests.accounts import say
from tests.conftest import ingest
from tests.markets import five_sessions

IDLE = "def initialize(context): pass\ndef handle_data(context, data): pass\n"


# --- the line of an error -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "toml", "expected"),
    [
        ("en", "", "Error: there is no run to report: "),
        ("zh", "", "错误：there is no run to report: "),
        ("zh", "a = = b", "Error: "),  # settings that cannot be read say nothing of the language: the terminal's
        ("auto", "", "Error: "),
    ],
)
def test_the_line_of_an_error_begins_in_the_language_of_the_settings(home, monkeypatch, language, toml, expected):
    monkeypatch.setenv("ASHARE_LANGUAGE", language)
    Path("ashare.toml").write_text(toml)
    said = say("report")
    assert said.code in (2, 3)
    assert said.err.startswith(expected)
    assert len(said.err.splitlines()) == 1


def test_what_nobody_foresaw_is_told_whatever_else_fails(home, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("engine.settings.load", fail)
    said = say("data", "status")
    assert said.code == 1
    assert said.err.startswith("Error: unexpected RuntimeError: unforeseen. Run `ashare --debug ...`")


def test_a_disk_that_is_full_is_told_in_chinese(home, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "no space", "somewhere")

    monkeypatch.setattr(program, "_say", lambda: say_in("zh"))
    monkeypatch.setattr("engine.settings.load", full)
    said = say("data", "status")
    assert said.code == 7
    assert said.err.startswith("错误：somewhere could not be written")


# --- bars ---------------------------------------------------------------------------------------------------------

BAR = """
from engine.cli.common import progress_bar, progress_of
with progress_bar("work", 2) as advance:
    print("a line", flush=True)
    advance()
with progress_of("work") as told:
    told(1, 2)
    print("another", flush=True)
"""


def test_what_is_printed_beside_a_bar_gets_where_it_was_sent(home):
    """Standard error is a terminal, standard output a pipe: as in `ashare train ... > lines`."""
    ours, terminal = os.openpty()
    done = subprocess.run([sys.executable, "-c", BAR], stdout=subprocess.PIPE, stderr=terminal, timeout=60, check=True)
    os.close(terminal)
    os.close(ours)
    assert done.stdout.decode().split("\n") == ["a line", "another", ""]


def test_a_run_tells_of_every_session(backtest):
    told: list[tuple[int, int]] = []
    with watched(lambda done, total: told.append((done, total))):
        backtest(five_sessions(), IDLE)
    assert told == [(n, 5) for n in range(1, 6)]
    backtest(None, IDLE, "20180305", "20180306")
    assert len(told) == 5  # nobody is told after the block


def test_files_and_years_of_a_lake_are_counted(home, tmp_path):
    ingest(five_sessions(), tmp_path / "market")
    lake = Lake(settings.load().lake)
    version, advanced = lake.version(), list[str]()
    lake.verify(version, lambda: advanced.append("file"))
    assert len(advanced) == sum(len(parts) for parts in version.parts.values()) > 5
    checks.whole_lake(lake, version, advance=lambda: advanced.append("year"))
    assert advanced.count("year") == len(checks.years(lake, version)) == 1
    said = say("data", "verify")
    assert f"{advanced.count('file')} files agree with their hashes" in said.out


# --- JSON ---------------------------------------------------------------------------------------------------------


def test_the_proof_of_the_rules_as_json(home, tmp_path):
    ingest(five_sessions(), tmp_path / "market")
    said = say("prove", "rules", "--json")
    assert said.code == 0, said.err
    shown = json.loads(said.out)
    assert (shown["bars"], shown["compared"], shown["equal"], shown["exceptions"]) == (5, 5, 5, {})
    assert (shown["wrong"], shown["vectors"] > 10) == ([], True)
    plain = {line[:28].strip(): line[28:].split() for line in say("prove", "rules").out.splitlines()}
    assert plain["bars"] == ["5"]
    assert plain["vectors"][0] == f"{shown['vectors']:,}"
