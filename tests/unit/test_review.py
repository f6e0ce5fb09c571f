"""Two runs side by side, a run made again, its tables elsewhere, and folders that are no run."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import empyrical
import numpy as np
import pandas as pd
import polars as pl
import pytest

from engine.cli.backtest import run as run_script
from engine.cli.main import main
from engine.errors import DataNotFit
from engine.report import review, trust
from engine.report.compare import compare
from engine.report.opened import open_run
from engine.report.reproduce import Difference, first_difference
from tests.markets import five_sessions
from tests.unit.test_runs import TRADER
from tests.unit.test_tearsheet import DAYS, a_run

PERIOD = "2018-03-05", "2018-03-09"


def ashare(capsys, *words: object) -> tuple[int, str, str]:
    """Run the command and return exit code, standard output and standard error, in single lines."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    said = capsys.readouterr()
    return int(end.value.code or 0), " ".join(said.out.split()), " ".join(said.err.split())


@pytest.fixture
def pair(tmp_path, home) -> tuple[Path, Path]:
    """Two runs by hand with the same returns up to the fortieth session."""
    one, other = a_run(home / "runs" / "one"), a_run(home / "runs" / "other", data_id="e")
    perf = pl.read_parquet(other / "perf.parquet")
    later = pl.when(pl.int_range(pl.len()) >= 40).then(pl.col("net_value") * 1.01).otherwise(pl.col("net_value"))
    perf.with_columns(net_value=later).write_parquet(other / "perf.parquet")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["settings"]["execution"]["fill"] = "close"
    (other / "manifest.json").write_text(json.dumps(manifest))
    return one, other


def test_what_differs_and_where_they_part(pair):
    one, other = map(open_run, pair)
    found = compare(one, other)
    assert found.settings() == [("execution.fill", "open", "close")]
    assert found.identity() == [("data_id", "d", "e")]
    parted = found.parted()
    assert parted is not None
    assert parted.session == DAYS[40]
    assert parted.other == pytest.approx(parted.one * 1.01)
    frame = found.figures()
    row = frame.row(by_predicate=pl.col("figure") == "annual return", named=True)
    assert row["one"] == pytest.approx(empyrical.annual_return(one.returns, annualization=243))
    assert row["difference"] == pytest.approx(row["one"] - row["other"])
    assert found.intervals() == trust.paired_intervals(one.returns, other.returns, 243.0)


def test_a_run_does_not_part_from_itself(pair):
    found = compare(open_run(pair[0]), open_run(pair[0]))
    assert (found.settings(), found.identity(), found.parted()) == ([], [], None)
    assert set(found.figures()["difference"]) == {0.0}


def test_only_shared_sessions_are_compared(tmp_path):
    short = open_run(a_run(tmp_path / "short", length=70))
    found = compare(open_run(a_run(tmp_path / "long")), short)
    assert len(found.sessions) == 70
    assert found.parted() is None  # the same random returns
    assert ("end", str(DAYS[119]), str(DAYS[69])) in found.identity()


def test_runs_of_other_days_cannot_be_compared(tmp_path):
    one, other = (open_run(a_run(tmp_path / name)) for name in ("one", "other"))
    later = other.perf.with_columns(pl.col("session") + dt.timedelta(days=3650))
    with pytest.raises(DataNotFit, match="share no session"):
        compare(one, type(other)(other.folder, other.manifest, later, other.orders, other.positions, other.actions))


def test_the_command_compares(pair, capsys):
    code, out, _ = ashare(capsys, "compare", *pair)
    assert code == 0
    for words in (
        "execution.fill open close",
        "data_id d e",
        "120 sessions, 2018-01-02 to 2018-07-02",
        "The mean daily difference is worth",
        f"Their net values part on {DAYS[40]}",
    ):
        assert words in out, out
    code, out, _ = ashare(capsys, "compare", "one", "one")
    assert "are the same" in out
    assert "Their net values never part." in out


def test_the_command_compares_for_machines(pair, capsys):
    with pytest.raises(SystemExit):
        main(["compare", *map(str, pair), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["settings"] == [["execution.fill", "open", "close"]]
    assert document["parted"]["session"] == str(DAYS[40])
    assert document["sessions"] == 120


def test_a_run_is_reproduced_and_its_twin_removed(backtest, home, capsys):
    folder = backtest(five_sessions(), TRADER, toml="[execution]\nslippage = 0.001\n").folder
    (home / "ashare.toml").write_text("report.tearsheet = false\n")  # the settings come from the run, not from here
    code, out, err = ashare(capsys, "reproduce")
    assert (code, "is reproduced" in out, "Warning" in err) == (0, True, False), err
    assert [path.name for path in (home / "runs").iterdir() if path.is_dir()] == [folder.name]
    assert review.judged(open_run(folder)).trials.count == 1


def test_what_is_not_reproduced_is_named(backtest, home, capsys):
    folder = backtest(five_sessions(), TRADER).folder
    perf = pl.read_parquet(folder / "perf.parquet")
    perf = perf.with_columns(cash=pl.col("cash") + pl.when(pl.int_range(pl.len()) == 3).then(0.01).otherwise(0.0))
    perf.write_parquet(folder / "perf.parquet")
    code, _, err = ashare(capsys, "reproduce", folder)
    assert code == 4
    assert "first difference in perf, 2018-03-08, cash: was " in err
    (again,) = (one for one in (home / "runs").iterdir() if one.is_dir() and one != folder)
    assert f"`ashare compare {folder.name} {again.name}`" in err


def test_other_data_and_code_are_said_first(backtest, capsys):
    folder = backtest(five_sessions(), TRADER).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"data_id": "of_before", "code_id": "older"}
    manifest["settings"]["execution"]["bygone"] = 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    orders = pl.read_parquet(folder / "orders.parquet")
    orders.with_columns(filled=pl.col("filled") + 100).write_parquet(folder / "orders.parquet")
    code, _, err = ashare(capsys, "reproduce", folder)
    assert code == 4
    first, rest = err.split("Error: ")
    assert "other data: the run had of_before" in first
    assert "other code: the run had older" in first
    assert "the setting execution.bygone of the run is none any more" in first
    assert "other data" in rest
    assert "first difference in orders, 2018-03-06, 600000.SH" in rest
    assert "filled: was 1100, is 1000" in rest


def test_a_setting_that_cannot_be_taken_away_is_named(backtest, home, capsys):
    backtest(five_sessions(), TRADER)
    (home / "ashare.toml").write_text("report.tearsheet = false\n[execution]\nstamp_duty = 0.002\n")
    code, _, err = ashare(capsys, "reproduce")
    assert code == 3
    assert "the setting execution.stamp_duty is 0.002, and the run had None" in err


@pytest.mark.parametrize(("text", "why"), [(None, "keeps no script.py"), ("pass", "is not the one that was run")])
def test_a_run_without_its_script_is_not_run_again(backtest, capsys, text, why):
    folder = backtest(five_sessions(), TRADER).folder
    (folder / "script.py").unlink()
    if text is not None:
        (folder / "script.py").write_text(text)
    code, _, err = ashare(capsys, "reproduce")
    assert code == 3
    assert why in err


def test_the_first_difference_is_the_earliest_and_of_its_session_the_cause(tmp_path):
    before, after = (open_run(a_run(tmp_path / name)) for name in ("one", "other"))
    assert first_difference(before, after) is None
    closes = pl.when(pl.int_range(pl.len()) == 7).then(pl.col("price") + 1).otherwise(pl.col("price"))
    held = after.positions.with_columns(price=closes)
    perf = after.perf.with_columns(gross=pl.when(pl.col("session") == DAYS[8]).then(0.0).otherwise(pl.col("gross")))
    changed = type(after)(after.folder, after.manifest, perf, after.orders, held, after.actions)
    found = first_difference(before, changed)
    assert found == Difference("positions", "price", DAYS[8], "600000.SH", 10.0, 11.0)
    shorter = type(after)(after.folder, after.manifest, after.perf, after.orders, after.positions[:-2], after.actions)
    found = first_difference(before, shorter)
    assert found is not None
    assert (found.session, found.before, found.after) == (DAYS[118], "119 rows", "117 rows")


@pytest.mark.parametrize(("moved", "same"), [(1e-13, True), (1e-11, False)])
def test_equal_is_to_a_trillionth(tmp_path, moved, same):
    before, after = (open_run(a_run(tmp_path / name)) for name in ("one", "other"))
    perf = after.perf.with_columns(pl.col("net_value") * (1 + moved))
    changed = type(after)(after.folder, after.manifest, perf, after.orders, after.positions, after.actions)
    assert (first_difference(before, changed) is None) is same


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_every_table_goes_elsewhere(backtest, tmp_path, capsys, form):
    folder = backtest(five_sessions(), TRADER).folder
    out = tmp_path / "out"
    code, _, err = ashare(capsys, "report", folder, "--export", out, "--format", form)
    assert (code, err) == (0, "")
    names = {path.stem for path in out.glob(f"*.{form}")}
    for name in ("perf", "orders", "positions", "actions", "figures", "months", "costs", "gross_and_net", "turnover"):
        assert name in names
    assert {"round_trips", "profit_by_board", "profit_by_size", "capacity", "trust", "trials"} <= names
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet, "json": pl.read_json}[form]
    perf = read(out / f"perf.{form}")
    assert perf["net_value"].to_list() == open_run(folder).perf["net_value"].to_list()
    (trial,) = read(out / f"trials.{form}")["id"]
    assert trial == folder.name
    again, _, err = ashare(capsys, "report", folder, "--export", out)
    assert (again, "it holds files already" in err) == (2, True)


def test_json_has_no_nan(backtest, tmp_path, capsys):
    folder = backtest(five_sessions(), "def initialize(context): pass\n").folder
    ashare(capsys, "report", folder, "--export", tmp_path / "out", "--format", "json")
    rows = json.loads((tmp_path / "out" / "figures.json").read_text(), parse_constant=pytest.fail)
    assert {row["figure"]: row["measured"] for row in rows}["Sharpe ratio"] is None


def test_files_for_pyfolio_and_quantstats(backtest, tmp_path, capsys):
    run = open_run(backtest(five_sessions(), TRADER).folder)
    ashare(capsys, "report", run.folder, "--export", tmp_path / "out")
    own, held, traded = (
        pd.read_csv(tmp_path / "out" / f"pyfolio_{name}.csv", index_col=0, parse_dates=True)
        for name in ("returns", "positions", "transactions")
    )
    for frame in (own, held, traded):
        assert str(frame.index.tz) == "UTC"
    assert empyrical.cum_returns_final(own["returns"]) == pytest.approx(run.perf["net_value"][-1] / 1e6 - 1)
    np.testing.assert_allclose(held.sum(axis=1), run.perf["net_value"], rtol=1e-12)
    assert list(held.columns) == ["600000.SH", "cash"]
    filled = run.orders.filter(pl.col("filled") > 0)
    assert traded["amount"].to_list() == [
        shares if side == "buy" else -shares for shares, side in filled.select("filled", "side").iter_rows()
    ]
    assert traded.index[0] == pd.Timestamp("2018-03-06", tz="UTC")


def test_a_judgement_goes_by_the_ledger(backtest, home):
    folder = backtest(five_sessions(), TRADER).folder
    for shares in (2000, 3000):
        backtest(None, TRADER.replace("1000", str(shares)), *PERIOD)
    found = review.judged(open_run(folder))
    assert found.verdict.trials == found.trials.count == 3
    own = open_run(folder).returns
    sharpes = [one.sharpe for one in found.trials.distinct]
    assert found.variance == pytest.approx(np.var(sharpes, ddof=1))
    chance = trust.expected_maximum(3, found.variance)
    at = trust.moments(own)
    expected = trust.probabilistic_sharpe(at.sharpe, chance, 5, at.skew, at.kurtosis)
    assert found.verdict.criteria[0].value == pytest.approx(expected)
    frame = review.trust_frame(found)
    assert frame.filter(what="distinct trials")["value"].item() == 3


def test_runs_by_hand_are_judged_with_the_probability_of_overfitting(tmp_path):
    for number in range(12):
        folder = a_run(tmp_path / f"run{number}", length=200, capital=1e6 + number)
        perf = pl.read_parquet(folder / "perf.parquet")
        moves = np.random.default_rng(number).normal(0.0005, 0.01, 200)
        perf.with_columns(net_value=pl.Series(1e6 * np.cumprod(1 + moves))).write_parquet(folder / "perf.parquet")
    found = review.judged(open_run(tmp_path / "run3"))
    assert found.trials.count == 12
    assert 0 <= found.verdict.criteria[2].value <= 1
    assert found.verdict.criteria[2].passed is not None
    assert 10 < found.effective <= 12


def nothing(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


def without(name: str):
    return lambda folder: (folder / name).unlink()


def holding(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def without_column(name: str, column: str):
    def change(folder: Path) -> None:
        pl.read_parquet(folder / name).drop(column).write_parquet(folder / name)

    return change


def fewer_sessions(folder: Path) -> None:
    pl.read_parquet(folder / "perf.parquet")[:-1].write_parquet(folder / "perf.parquet")


def no_session(folder: Path) -> None:
    pl.read_parquet(folder / "perf.parquet").clear().write_parquet(folder / "perf.parquet")
    manifest = json.loads((folder / "manifest.json").read_text()) | {"sessions": 0}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def manifest_without(key: str):
    def change(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        del manifest[key]
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


def a_folder_for_a_table(folder: Path) -> None:
    (folder / "orders.parquet").unlink()
    (folder / "orders.parquet").mkdir()


BREAKAGES = {
    "absent": (nothing, "is no finished run"),
    "empty": (empty, "it has no manifest.json"),
    "a file": (a_file, "is no finished run"),
    "no manifest": (without("manifest.json"), "it has no manifest.json"),
    "empty manifest": (holding("manifest.json", b""), "manifest.json cannot be read"),
    "torn manifest": (cut("manifest.json"), "manifest.json cannot be read"),
    "manifest in bytes": (holding("manifest.json", b"\xff\xfe\x00"), "manifest.json cannot be read"),
    "manifest of a list": (holding("manifest.json", b"[]"), "manifest.json holds no object"),
    "manifest without settings": (manifest_without("settings"), "manifest.json has no settings"),
    "manifest without capital": (manifest_without("capital"), "manifest.json has no capital"),
    "no perf": (without("perf.parquet"), "it has no perf.parquet"),
    "no orders": (without("orders.parquet"), "it has no orders.parquet"),
    "no positions": (without("positions.parquet"), "it has no positions.parquet"),
    "no actions": (without("actions.parquet"), "it has no actions.parquet"),
    "empty perf": (holding("perf.parquet", b""), "perf.parquet cannot be read"),
    "torn perf": (cut("perf.parquet"), "perf.parquet cannot be read"),
    "torn orders": (cut("orders.parquet"), "orders.parquet cannot be read"),
    "a folder for a table": (a_folder_for_a_table, "orders.parquet cannot be read"),
    "a column short": (without_column("perf.parquet", "flow"), "perf.parquet has no column flow"),
    "a session short": (fewer_sessions, "perf.parquet has 119 sessions, manifest.json says 120"),
    "no session": (no_session, "perf.parquet has 0 sessions"),
}
COMMANDS = {
    "report": ("report", "RUN"),
    "export": ("report", "RUN", "--export", "out"),
    "compare": ("compare", "good", "RUN"),
    "reproduce": ("reproduce", "RUN"),
    "why": ("why", "600000.SH", "2018-02-01", "RUN"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_broken_folder_is_one_clear_error(home, capsys, monkeypatch, breakage, command):
    monkeypatch.setattr("engine.panels.bundle.open_bundle", lambda name: None)
    a_run(home / "runs" / "good")
    broken = a_run(home / "runs" / "broken")
    breaks, why = BREAKAGES[breakage]
    breaks(broken)
    code, out, err = ashare(capsys, *(broken if word == "RUN" else word for word in COMMANDS[command]))
    assert code == 3, err
    assert err.count("Error: ") == 1
    assert why in err
    assert "unexpected" not in err
    assert out == ""
    assert not Path("out").exists()


def test_an_optional_table_that_is_broken_is_an_error_too(home, capsys):
    folder = a_run(home / "runs" / "run")
    (folder / "decisions.parquet").write_bytes(b"nothing")
    code, _, err = ashare(capsys, "report", folder, "--export", "out")
    assert code == 3
    assert "decisions.parquet cannot be read" in err


def test_a_run_of_an_envelope_is_reproduced_with_its_reading(backtest, home, capsys):
    from engine.cli.backtest import _envelope

    folder = backtest(five_sessions(), TRADER).folder
    _envelope(home.parent / "script.py", *PERIOD, "ashare", 1e6, False)
    shutil.rmtree(folder)
    for path in sorted(one for one in (home / "runs").iterdir() if one.is_dir()):
        code, out, _ = ashare(capsys, "reproduce", path)
        assert (code, "is reproduced" in out) == (0, True)


def test_scripts_are_run_again_under_their_own_name(backtest, home, capsys):
    backtest(five_sessions(), TRADER)
    own = home.parent / "mine.py"
    own.write_text(TRADER)
    ashare(capsys, "reproduce", run_script(own, *PERIOD, capital=1e6))
    names = [json.loads(line)["strategy"] for line in (home / "runs" / "trials.jsonl").read_text().splitlines()]
    assert names == ["script.py", "mine.py", "mine.py"]
