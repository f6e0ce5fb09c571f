"""Completion: the scripts are what each shell can read, and what is typed is completed by what is there."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.completion import COMPLETED, SHELLS, VARIABLE, Names, Scripts, _command
from engine.cli.main import ashare, main
from tests import accounts
from tests.vendor import TOKEN

PROGRAM = "from engine.cli.main import main; main()"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell(shell):
    done = CliRunner().invoke(ashare, ["completion", shell])
    assert done.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    if program := shutil.which(shell):
        assert subprocess.run([program, "-n"], input=done.stdout, text=True, check=False).returncode == 0


def test_another_shell_is_refused():
    assert CliRunner().invoke(ashare, ["completion", "tcsh"]).exit_code == 2


@pytest.fixture
def things(home):
    for path in ("runs/20180305-mine-1", "runs/20180306-mine-2", "models/2018-03-abcd"):
        (home / path).mkdir(parents=True)
        (home / path / "manifest.json").touch()
    (home / "runs" / ".half").mkdir()
    (home / "runs" / ".half" / "manifest.json").touch()
    for name in ("first", "second"):
        (home / "paper" / name).mkdir(parents=True)
        (home / "paper" / name / "journal.jsonl").touch()
    for path in ("one.py", "two.py", "notes.txt"):
        Path(path).touch()


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ashare ba", ["backtest"]),
        ("ashare backtest o", ["one.py"]),
        ("ashare backtest ", ["one.py", "two.py"]),
        ("ashare paper init new -f t", ["two.py"]),
        ("ashare paper run f", ["first"]),
        ("ashare paper status ", ["second", "first"]),
        ("ashare report ", ["20180306-mine-2", "20180305-mine-1"]),
        ("ashare compare 20180305-mine-1 20180306", ["20180306-mine-2"]),
        ("ashare why 600000.SH 2018-03-05 2018030", ["20180306-mine-2", "20180305-mine-1"]),
        ("ashare models show 2018", ["2018-03-abcd"]),
        ("ashare doctor --on", ["--online"]),
        ("ashare report ./x", ["./x"]),  # a path: the shell's own
    ],
)
def test_what_is_completed(line, expected, monkeypatch, capsys):
    words = line.split(" ")
    monkeypatch.setenv(VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    kept = {id(parameter): parameter.type for parameter in _parameters()}
    try:
        with pytest.raises(SystemExit) as end:
            main(["anything"])
    finally:
        for parameter in _parameters():
            parameter.type = kept[id(parameter)]
    assert end.value.code == 0
    assert [said.partition(",")[2] for said in capsys.readouterr().out.splitlines()] == expected


def _parameters():
    return [parameter for path in COMPLETED for parameter in _command(ashare, path.split()).params]


def test_every_place_that_is_completed_is_there():
    for path, completed in COMPLETED.items():
        command = _command(ashare, path.split())
        assert command is not None, path
        assert set(completed) <= {parameter.name for parameter in command.params}, path
        assert all(isinstance(kind, Names | Scripts) for kind in completed.values())


def test_nothing_heavy_is_imported_to_complete(home):
    code = "import sys; from engine.cli.main import main\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    environment = {VARIABLE: "bash_complete", "COMP_WORDS": "ashare backtest ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, "PYTHONPATH": ":".join(sys.path)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert {"zipline", "pandas", "torch", "polars"}.isdisjoint(done.stdout.split())


# --- listings as JSON, and the log ------------------------------------------------------------------------------


def run(*words: str) -> str:
    done = CliRunner().invoke(ashare, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_accounts_as_json(home):
    assert json.loads(run("paper", "list", "--json")) == []
    accounts.make()
    (found,) = json.loads(run("paper", "list", "--json"))
    assert (found["account"], found["net value"], found["halts"]) == (accounts.NAME, "100,000.00", [])


def test_receivers_as_json(home, monkeypatch):
    assert json.loads(run("messages", "list", "--json")) == []
    monkeypatch.setenv("ASHARE_MESSAGES", f"json://127.0.0.1/{TOKEN}")
    (found,) = json.loads(run("messages", "list", "--json"))
    assert set(found) == {"receiver", "hash"}
    assert TOKEN not in str(found)


def test_rules_as_json(home):
    said = json.loads(run("rules", "600000.SH", "2024-01-02", "--json"))
    assert (said["ts_code"], said["day"], said["board"]) == ("600000.SH", "2024-01-02", "sse_main")
    limit = next(rule for rule in said["rules"] if rule["rule"] == "price limit, percent")
    assert (limit["value"], limit["since"]) == ("10", "1996-12-16")
    assert {"phase": "opening_call", "start": "09:15", "end": "09:25"} in said["phases"]
    plain = run("rules", "600000.SH", "2024-01-02")
    assert all(rule["source"] in plain for rule in said["rules"] if rule["source"])


def test_a_log_holds_notes_and_the_end_but_no_library_that_knows_addresses(home, monkeypatch, capsys):
    def fail(*_: object) -> None:
        logging.getLogger("engine.somewhere").info("a note")
        logging.getLogger("urllib3.connectionpool").warning("to %s", TOKEN)
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("engine.cli.doctor.patient", fail)
    before = logging.getLogger().handlers[:]
    with pytest.raises(SystemExit):
        main(["--log", "log.txt", "doctor"])
    said = Path("log.txt").read_text("utf-8")
    assert "INFO engine.somewhere: a note" in said
    assert "ZeroDivisionError: by chance" in said
    assert TOKEN not in said
    assert "a note" not in capsys.readouterr().err
    assert logging.getLogger().handlers == before


def test_verbose_shows_the_notes(home, monkeypatch, capsys):
    monkeypatch.setattr("engine.cli.doctor.patient", lambda: logging.getLogger("engine.x").info("a note") or 1 / 0)
    with pytest.raises(SystemExit):
        main(["-v", "doctor"])
    assert "a note" in capsys.readouterr().err


def test_a_refusal_is_one_line_of_the_log(home):
    with pytest.raises(SystemExit) as end:
        main(["--log", "log.txt", "report"])
    assert end.value.code == 3
    (line,) = Path("log.txt").read_text("utf-8").splitlines()
    assert "ERROR ashare: there is no run to report" in line


def test_a_log_that_cannot_be_written_is_refused(home, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--log", "no/such/folder/log.txt", "doctor"])
    assert end.value.code == 2
    assert "no/such/folder/log.txt cannot be written" in capsys.readouterr().err
