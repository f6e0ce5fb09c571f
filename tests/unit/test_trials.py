"""The ledger of trials: what counts as one, and that none is forgotten."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.cli.backtest import run as run_script
from engine.errors import Damaged
from engine.report import trust
from engine.report.registry import FILE, Trial, fingerprint, note_trial, read_trials, trial_of, trials
from tests.markets import five_sessions
from tests.unit.test_runs import TRADER
from tests.unit.test_tearsheet import DAYS, a_run


def a_trial(name: str = "r1", **more: object) -> Trial:
    same = {"made": "2026-01-05T10:00:00+08:00", "strategy": "mine.py", "script": "s1", "settings": "f", "models": "m"}
    period = {"data_id": "d", "code_id": "c", "start": "2018-01-02", "end": "2018-12-28", "capital": 1e6}
    return Trial(**{"id": name, **same, **period, "n": 243, "sharpe": 0.05, "skew": 0.0, "kurtosis": 3.0, **more})


def ledger(runs: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (runs / FILE).read_text("utf-8").splitlines()]


def test_every_run_is_noted_with_what_a_judgement_needs(backtest, home):
    run = backtest(five_sessions(), TRADER)
    (line,) = ledger(home / "runs")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    for key, value in {"id": run.folder.name, "strategy": "script.py", "start": "2018-03-05", "n": 5}.items():
        assert line[key] == value
    assert line["script"] == manifest["script_sha256"]
    values = np.array([1e6, *run.net_values])
    daily = values[1:] / values[:-1] - 1
    assert line["sharpe"] == pytest.approx(daily.mean() / daily.std(ddof=1))
    assert line["kurtosis"] == pytest.approx(trust.moments(daily).kurtosis)


def test_the_three_runs_of_an_envelope_are_three_trials(backtest, home, tmp_path):
    from engine.cli.backtest import _envelope

    run = backtest(five_sessions(), TRADER)
    _envelope(tmp_path / "script.py", "2018-03-05", "2018-03-09", "ashare", 1e6, False)
    (own,) = [one for one in read_trials(home / "runs") if one.id == run.folder.name]
    assert len(trials(home / "runs", own).every) == 4
    assert trials(home / "runs", own).count == 3  # the base reading is the first run again


def test_a_removed_folder_still_counts(backtest, home, tmp_path):
    first = backtest(five_sessions(), TRADER)
    second = backtest(None, TRADER.replace("1000", "2000"), "2018-03-05", "2018-03-09")
    shutil.rmtree(first.folder)
    found = trials(home / "runs", read_trials(home / "runs")[1])
    assert found.count == 2
    assert found.panel(second.perf["session"]).shape == (5, 1)
    assert found.effective(second.perf["session"]) == 2


def test_a_run_again_counts_once_and_a_change_counts(backtest, home, monkeypatch):
    run = backtest(five_sessions(), TRADER)
    script = home.parent / "script.py"
    again = run_script(script, "2018-03-05", "2018-03-09", capital=1e6)
    monkeypatch.setenv("ASHARE_REPORT__TEARSHEET", "false")
    run_script(script, "2018-03-05", "2018-03-09", capital=1e6)
    own = trial_of(json.loads((again / "manifest.json").read_text()), pl.read_parquet(again / "perf.parquet"))
    assert (len(trials(home / "runs", own).every), trials(home / "runs", own).count) == (3, 1)
    monkeypatch.setenv("ASHARE_EXECUTION__FILL", "close")
    run_script(script, "2018-03-05", "2018-03-09", capital=1e6)
    assert trials(home / "runs", own).count == 2
    assert run.folder.exists()


def write(runs: Path, *lines: Trial) -> Path:
    for one in lines:
        note_trial(runs, one)
    return runs


def test_what_belongs_together(tmp_path):
    own = a_trial()
    runs = write(
        tmp_path,
        own,
        a_trial("edited", script="s2"),
        a_trial("copied", strategy="copy.py", script="s2"),
        a_trial("copy_edited", strategy="copy.py", script="s3"),
        a_trial("other", strategy="other.py", script="s4"),
        a_trial("later", script="s5", start="2019-01-02", end="2019-12-31"),
        a_trial("overlaps", script="s6", start="2018-12-28", end="2019-12-31"),
        a_trial("flat", script="s7", sharpe=None, skew=None, kurtosis=None),
    )
    found = trials(runs, own)
    assert {one.id for one in found.every} == {"r1", "edited", "copied", "copy_edited", "overlaps", "flat"}
    assert found.count == 4  # the copy is the edited one again, and a run without a return is none to choose


def test_a_run_the_ledger_does_not_know_counts_too(tmp_path):
    assert trials(tmp_path, a_trial()).count == 1


def test_functions_without_a_script_are_not_one_strategy_by_that(tmp_path):
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    runs = write(tmp_path, a_trial(script=empty), a_trial("x", strategy="other.py", script=empty))
    assert trials(runs, a_trial(script=empty)).count == 1


def test_folders_of_before_the_ledger_are_taken_up(tmp_path):
    runs = tmp_path / "runs"
    old = a_run(runs / "old", strategy="mine.py", script_sha256="s0")
    (runs / "broken").mkdir()
    (runs / "broken" / "manifest.json").write_text("{")
    assert [one.id for one in read_trials(runs)] == ["old"]
    note_trial(runs, a_trial())
    shutil.rmtree(old)
    assert {line["id"] for line in ledger(runs)} == {"old", "r1"}


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_torn_last_line_is_passed_over_and_mended(tmp_path, cut):
    write(tmp_path, a_trial(), a_trial("r2", script="s2"))
    path = tmp_path / FILE
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0] + whole[1][:cut])
    left = ["r1", "r2"] if cut == -1 else ["r1"]  # all but the end of the line is a whole trial
    assert [one.id for one in read_trials(tmp_path)] == left
    note_trial(tmp_path, a_trial("r3", script="s3"))
    assert [line["id"] for line in ledger(tmp_path)] == [*left, "r3"]


def test_a_line_that_was_changed_is_an_error_and_no_lower_count(tmp_path):
    write(tmp_path, a_trial(), a_trial("r2"))
    path = tmp_path / FILE
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(Damaged, match="line 1 is no trial"):
        read_trials(tmp_path)
    note_trial(tmp_path, a_trial("r3"))  # a run that is finished is noted all the same


WORKER = """
import sys
from pathlib import Path
from engine.report.registry import Trial, note_trial
for number in range(30):
    same = dict.fromkeys("made strategy script settings models data_id code_id start end".split(), "")
    figures = dict(capital=1.0, n=5, sharpe=0, skew=0, kurtosis=3)
    note_trial(Path(sys.argv[1]), Trial(f"{sys.argv[2]}-{number}", **same, **figures))
"""


def test_runs_that_end_at_the_same_time_are_all_noted(tmp_path):
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), name]) for name in "ab"]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    assert len({line["id"] for line in ledger(tmp_path)}) == 60


def test_a_ledger_that_cannot_be_written_leaves_no_run_uncounted(backtest, home, monkeypatch):
    def full(runs, trial):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.report.runs.note_trial", full)
    with pytest.raises(OSError, match="No space"):
        backtest(five_sessions(), TRADER)
    assert list((home / "runs").iterdir()) == []


def test_the_variance_is_that_of_ratios_on_equal_terms(tmp_path):
    runs = write(tmp_path, a_trial(), a_trial("a", script="a", sharpe=0.09), a_trial("b", script="b", sharpe=0.01))
    assert trials(runs, a_trial()).variance(243) == pytest.approx(np.var([0.05, 0.09, 0.01], ddof=1))
    week = a_trial("week", script="c", n=5, sharpe=0.6)
    write(runs, week)
    expected = np.var([0.05, 0.09, 0.01, 0.6 * math.sqrt(5 / 243)], ddof=1)
    assert trials(runs, a_trial()).variance(243) == pytest.approx(expected)
    assert trials(tmp_path / "none", a_trial()).variance(243) == 0


def test_likeness_makes_the_effective_number(tmp_path):
    runs = tmp_path / "runs"
    for name, capital in (("a", 1e6), ("b", 1.0e6 + 1), ("c", 1.0e6 + 2)):
        a_run(runs / name, capital=capital)
    own = next(one for one in read_trials(runs) if one.id == "a")
    found, days = trials(runs, own), pl.Series(DAYS[:120])
    assert found.count == 3
    assert found.panel(days).shape == (120, 3)
    assert found.effective(days) == pytest.approx(1.0, abs=1e-4)
    note_trial(runs, replace(own, id="gone", script="x"))
    assert trials(runs, own).effective(days) == pytest.approx(2.0, abs=1e-4)


def test_the_fingerprint_is_of_what_a_result_depends_on():
    base = {"execution": {"fill": "open", "audit": False}, "paper": {"grace": 1}, "profile": None}
    idle = {"execution": {"fill": "open", "audit": True}, "paper": {"grace": 2}, "profile": "workload"}
    assert fingerprint(base) == fingerprint(idle)
    assert fingerprint(base) != fingerprint({"execution": {"fill": "close", "audit": False}})
