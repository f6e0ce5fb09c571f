"""A damaged account is named and left as it is; a dead-man's switch; names that lead elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import calendar
from tests import accounts
from tests.accounts import SESSIONS, content, entries, folder, run, say, two_weeks
from tests.conftest import ingest


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose account has run the first five sessions of eight."""
    root = tmp_path_factory.mktemp("half")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_HOME", str(root / "home"))
        patch.setenv("ZIPLINE_ROOT", str(root / "home" / "zipline"))
        patch.chdir(root)
        (root / "home").mkdir()
        (root / "home" / "ashare.toml").write_text(accounts.TOML)
        ingest(two_weeks(), root / "market")
        accounts.make()
        assert not run("--until", SESSIONS[4]).code
    return root / "home"


@pytest.fixture
def account(half: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that account in a home of the test's own."""
    shutil.copytree(half, home)
    monkeypatch.setenv("ZIPLINE_ROOT", str(home / "zipline"))
    return folder()


def flipped(path: Path, at: int = -10) -> None:
    """Flip a bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def without_last_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))


def without_third_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))


STATE = f"sessions/{SESSIONS[4]}/state.json"
SCORES = f"sessions/{SESSIONS[2]}/scores.parquet"
"""Their returns become known in the next session: the horizon is two, and one more."""
DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "state flipped": (STATE, flipped, "it differs from the hash in the journal"),
    "state gone": (STATE, Path.unlink, "cannot be read: No such file"),
    "state empty": (STATE, lambda path: path.write_bytes(b"") and None, "it differs from the hash"),
    "scores flipped": (SCORES, flipped, "it differs from the hash"),
    "strategy changed": ("strategy.py", flipped, "it differs from the hash"),
    "strategy gone": ("strategy.py", Path.unlink, "cannot be read: No such file"),
    "journal: a bit": ("journal.jsonl", lambda path: flipped(path, 100), "line 1 is not what was written"),
    "journal: its last line": ("journal.jsonl", without_last_line, "it ends with line 5, and 6 were written"),
    "journal: a line in the middle": ("journal.jsonl", without_third_line, "line 3 is not what was written"),
    "journal: empty": ("journal.jsonl", lambda path: path.write_bytes(b"") and None, "6 were written"),
    "head gone": ("head.json", Path.unlink, "head.json is missing"),
    "head flipped": ("head.json", flipped, "head.json"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_account_is_left_as_it_is(account: Path, case: str) -> None:
    name, damage, why = DAMAGE[case]
    damage(account / name)
    before = content(account)
    said = run()
    assert said.code == 3, said
    assert why in said.line
    assert "Restore the account's folder from a backup" in said.line
    assert not said.out
    assert content(account) == before
    looked = say("paper", "status", "mine")
    assert looked.code == (0 if name.startswith("sessions") else 3)
    assert content(account) == before


def test_damage_of_one_account_does_not_hide_the_others(account: Path) -> None:
    shutil.copytree(account, account.with_name("other"))
    flipped(account / "journal.jsonl")
    said = say("paper", "list")
    assert said.code == 3
    assert "/paper/mine/journal.jsonl" in said.line
    assert SESSIONS[4] in said.out


def test_what_a_dead_init_left_is_no_account(account: Path) -> None:
    shutil.copytree(account, account.with_name(".other.partial"))
    said = say("paper", "list")
    assert len(said.out.splitlines()) == 2


def test_what_a_dead_process_was_writing_is_swept(account: Path) -> None:
    (account / ".head.json.4711.partial").write_text("half")
    assert not run("--until", SESSIONS[5]).code
    assert not list(account.glob(".*.partial"))


@pytest.mark.parametrize("name", ["..", ".", "../paper/mine", "a/b", "", "-x", "x" * 33, "mine\n", ".other.partial"])
@pytest.mark.parametrize("words", ["run", "status", "halt", "resume", "check", "init -f script.py"])
def test_a_name_leads_nowhere_else(account: Path, name: str, words: str) -> None:
    Path("script.py").write_text(accounts.SCRIPT)
    before = content(account.parent.parent)
    said = say("paper", *words.split(), "--", name)
    assert said.code == 2
    assert "cannot be called" in said.line
    assert content(account.parent.parent) == before


def test_no_such_account(account: Path) -> None:
    for words in (("run", "--no-sync"), ("status",), ("halt",), ("resume",), ("check",)):
        said = say("paper", *words, "nobody")
        assert (said.code, said.line.startswith("there is no paper account nobody")) == (2, True)
    assert not folder("nobody").exists()


def test_an_account_is_made_once(account: Path) -> None:
    before = content(account)
    Path("script.py").write_text("other = 1")
    said = say("paper", "init", "mine", "-f", "script.py")
    assert (said.code, "is there already" in said.line) == (2, True)
    assert content(account) == before


def test_a_script_that_fails_is_named_and_nothing_is_written(account: Path, tmp_path: Path) -> None:
    made = accounts.make("def initialize(context): pass\ndef handle_data(context, data):\n    1 / 0\n", "fails")
    before = content(made)
    said = run(name="fails")
    assert said.code == 1
    assert said.line.startswith("strategy.py line 3, in handle_data: ZeroDivisionError: division by zero")
    assert content(made) == before


CHECKS = [
    ("the last one was run", "2018-03-12T20:59", []),
    ("one is late, to the minute", "2018-03-12T21:00", SESSIONS[5:6]),
    ("a week-end", "2018-03-10T23:00", []),
    ("two", "2018-03-14T12:00", SESSIONS[5:7]),
    ("three", "2018-03-14T21:00", SESSIONS[5:8]),
]
"""The account has run Friday the 9th; 21:00 is three hours after six."""


@pytest.mark.parametrize(("now", "missing"), [row[1:] for row in CHECKS], ids=[row[0] for row in CHECKS])
def test_the_dead_man_s_switch(account: Path, now: str, missing: list[str]) -> None:
    before = content(account)
    said = say("paper", "check", "mine", "--now", now)
    if missing:
        assert said.code == 3
        assert said.line.startswith(f"mine has not run {', '.join(missing)}: due at 18:00 and 180 minutes. Run `ashare")
    else:
        assert (said.code, said.out) == (0, "mine: no session is missing, the last was 2018-03-09\n")
    assert content(account) == before


def test_many_missing_sessions_are_counted(account: Path) -> None:
    said = say("paper", "check", "mine", "--now", "2018-04-02T23:00")
    assert said.line.startswith("mine has not run 16 from 2018-03-12 to 2018-04-02: due")


@pytest.mark.parametrize(
    ("first", "now", "code"), [(None, "2018-03-06T23:00", 3), ("2018-03-07", "2018-03-06T23:00", 0)]
)
def test_an_account_that_was_never_run(account: Path, first: str | None, now: str, code: int) -> None:
    """Without a first session the newest is due; before the first session nothing is."""
    accounts.make(name="new", first=first)
    said = say("paper", "check", "new", "--now", now)
    assert said.code == code
    assert "new has not run 2018-03-06:" in said.err or not code


def test_the_switch_is_not_silent_when_the_calendar_has_ended(account: Path) -> None:
    end = calendar.AShareCalendar.bound_max().date()
    said = say("paper", "check", "mine", "--now", f"{end.year + 1}-01-10T23:00")
    assert said.code == 3
    assert f"nobody knows the sessions before {end.year + 1}-01-10: the calendar ends" in said.line


def test_a_journal_of_another_version(account: Path) -> None:
    """Lines whose chain holds and that tell no history, as a later version may write them."""
    from engine.paper.journal import Journal

    Journal(account).append("novelty", {})
    before = content(account)
    said = run()
    assert (said.code, "tells no history: ValueError: a line of the kind 'novelty'" in said.line) == (3, True)
    assert content(account) == before


def test_settings_that_were_changed_since_have_no_effect(account: Path, home: Path) -> None:
    (home / "ashare.toml").write_text(accounts.TOML.replace("0.01", "0.9"))
    said = run()
    assert "setting paper.daily_loss was changed since; the account keeps its own" in said.err
    assert [entry["session"] for entry in entries(account, "session") if entry["halts"]] == ["2018-03-12"]
    assert (
        json.loads((account / "journal.jsonl").read_text().splitlines()[0])["settings"]["paper"]["daily_loss"] == 0.01
    )
    assert np.isclose(entries(account)[-1]["net_value"], 9_930_009)
