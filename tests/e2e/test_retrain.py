"""A model for every event of the watch, on the demo market: trained for its session, served from the next one on."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine import settings
from engine.cli.backtest import run
from engine.cli.main import main
from engine.errors import LookAhead, NoModel
from engine.model.registry import Entry, entries
from engine.model.shelf import Model, Shelf
from engine.panels.bundle import open_bundle
from engine.pipeline.export import Coverage, factor_frames
from engine.pipeline.factors import NAMES

FLAGSHIP = Path(__file__).parents[2] / "strategies" / "momentum_dnn.py"
FIRST, LAST = "2019-09-02", "2019-11-08"
READING = "a model for each event of the watch"
WATCH = {
    "WATCH__IC_FLOOR": "1",  # no IC is above: an event whenever the cooldown is over
    "WATCH__SESSIONS": "3",
    "WATCH__COOLDOWN": "7",
    "LABELS__HORIZON": "5",
    "REPORT__TEARSHEET": "false",
}


@pytest.fixture
def noted(demo: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run that noted its events; there are models of its months."""
    for name, value in WATCH.items():
        monkeypatch.setenv(f"ASHARE_{name}", value)
    (demo_home / "cache").mkdir(exist_ok=True)
    (demo / "cache").symlink_to(demo_home / "cache")
    ashare("train", "--start", "2019-09", "--end", "2019-11", "--jobs", "1")
    return run(FLAGSHIP, FIRST, LAST, capital=1e7)


def ashare(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert (end.value.code or 0) == code


def events(folder: Path) -> list[dt.date]:
    return pl.read_parquet(folder / "events.parquet").filter(rule="watch")["session"].to_list()


def names() -> list[str]:
    return [one.name for one in entries(settings.load().models)]


def test_a_model_of_an_event_serves_from_the_next_session_until_the_next_one_knows_more(noted, monkeypatch, capsys):
    found = events(noted)
    assert len(found) > 5
    sessions = pl.read_parquet(noted / "perf.parquet")["session"].to_list()
    before = pl.read_parquet(noted / "scores.parquet")
    monkeypatch.setenv("ASHARE_WATCH__RETRAIN", "true")
    with pytest.raises(NoModel, match=f"none of {found[0]} .* `ashare train --as-of {found[0]}`.*--events RUN"):
        run(FLAGSHIP, FIRST, LAST, capital=1e7)
    ashare("train", "--events", noted.name, "--jobs", "1")
    folder = run(FLAGSHIP, FIRST, LAST, capital=1e7)
    assert events(folder) == found  # they hang on a factor, not on a model

    after, models = pl.read_parquet(folder / "scores.parquet"), list(entries(settings.load().models))
    assert after.select("session", "ts_code").equals(before.select("session", "ts_code"))
    served: dict[dt.date, Entry] = {}
    for session in sessions:  # the newest knowledge that is older than the decision, of months and of events so far
        usable = [one for one in models if one.manifest.known_until < session]
        served[session] = max(usable, key=lambda one: one.manifest.known_until)
        assert served[session].manifest.known_until in {
            *found,
            *(one.manifest.known_until for one in of_months(models)),
        }
    require_scores(after, served)
    changed = {day for day, following in pairwise(sessions) if served[day] != served[following]}
    ends = [day for day, following in pairwise(sessions) if day.month != following.month]
    assert changed == {*found, *ends} & set(sessions[:-1])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["models"]) == sorted({one.id for one in served.values()})
    first = found[0]
    same = pl.col("session") <= first
    assert after.filter(same).equals(before.filter(same))
    assert not after.filter(~same).equals(before.filter(~same))

    monkeypatch.delenv("ASHARE_WATCH__RETRAIN")
    capsys.readouterr()
    ashare("audit-design", "-s", FIRST, "-e", str(sessions[sessions.index(first) + 2]), "--json")
    audit = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
    assert audit[READING]["figures"]
    shutil.rmtree(next(one.folder for one in models if one.name == str(first)))
    ashare("audit-design", "-s", FIRST, "-e", str(sessions[sessions.index(first) + 2]), "--json")
    audit = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
    assert not audit[READING]["figures"]
    ashare("train", *audit[READING]["train"].split("ashare train")[1].split(), "--jobs", "1")
    assert str(first) in names()


def of_months(models: list[Entry]) -> list[Entry]:
    return [one for one in models if one.name == one.manifest.month]


def require_scores(scores: pl.DataFrame, served: dict[dt.date, Entry]) -> None:
    """Every score is what the model of its session says of the exported features."""
    bundle, values = open_bundle(), settings.load()
    for session, entry in served.items():
        row = bundle.panels.last_row_to(session)
        features = pl.concat(factor_frames(bundle, values, row, row, Coverage()))
        said = Model(entry).predict(features.select(f"z_{name}" for name in NAMES).to_numpy().astype(np.float32))
        own = scores.filter(session=session)
        assert own["ts_code"].to_list() == features["ts_code"].to_list()
        expected = own.select("p_down", "p_flat", "p_up", "expected_excess").to_numpy()
        np.testing.assert_allclose(expected, said, atol=1e-6, err_msg=f"{session} {entry.id}")


def test_trained_by_day(noted, capsys):
    """A day twice is a day once; the last session of October is the model of November, which is there."""
    capsys.readouterr()
    ashare("train", "--as-of", "2019-10-15", "--as-of", "20191015", "--as-of", "2019-10-31", "--jobs", "1")
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert (first[:11], "was there" in first) == ("2019-10-15-", False)
    assert (second[:8], "was there" in second) == ("2019-11-", True)
    assert names() == ["2019-09", "2019-10-15", "2019-10", "2019-11"]
    entry = next(one for one in entries(settings.load().models) if one.name == "2019-10-15")
    assert (entry.manifest.month, str(entry.manifest.known_until)) == ("2019-10", "2019-10-15")
    ashare("models", "promote", entry.id)
    ashare("models", "show", entry.id)
    assert "2019-10, after 2019-10-15, promoted" in capsys.readouterr().out
    ashare("models", "rollback", "2019-10-15")
    shelf = Shelf(settings.load(), open_bundle().panels)
    assert shelf.models_for(dt.date(2019, 10, 16))[0].manifest.name == "2019-10"  # no event asked for another


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--start", "2019-10"), "--start and --end come together"),
        ((), "no month and no day is named"),
        (("--events", "quiet"), "the run raised no retrain event"),
        (("--as-of", "2019-10-05"), "is no session of the bundle"),
        (("--as-of", "2017-06-01"), "learns from at least"),
    ],
)
def test_what_cannot_be_trained(demo, words, why, capsys):
    quiet = demo / "runs" / "quiet"
    quiet.mkdir(parents=True)
    (quiet / "manifest.json").write_text("{}")
    with pytest.raises(SystemExit) as end:
        main(["train", *words])
    assert end.value.code in (2, 3)
    assert why in " ".join(capsys.readouterr().err.split())


def test_which_model_serves_a_day(demo):
    shelf = Shelf(settings.load(), open_bundle().panels)
    shelf.retrain(dt.date(2019, 10, 15))
    shelf.retrain(dt.date(2019, 10, 31))
    named = {str(day): shelf.name_for(day) for day in map(dt.date.fromisoformat, DAYS)}
    assert list(named.values()) == ["2019-09", "2019-10", "2019-10", "2019-10-15", "2019-10-15", "2019-11", "2019-12"]
    shelf.retrain(dt.date(2019, 11, 5))
    shelf.retrain(dt.date(2019, 11, 8))
    assert [shelf.name_for(dt.date(2019, 11, day)) for day in (5, 6, 8, 11)] == [
        *("2019-11", "2019-11-05", "2019-11-05", "2019-11-08")
    ]


DAYS = ("2019-09-30", "2019-10-08", "2019-10-15", "2019-10-16", "2019-10-31", "2019-11-01", "2019-12-02")


def test_a_model_that_knows_the_day_of_the_decision_is_refused(noted, monkeypatch):
    ashare("train", "--as-of", "2019-10-15", "--jobs", "1")
    shelf = Shelf(settings.load(), open_bundle().panels)
    monkeypatch.setattr(Shelf, "name_for", lambda self, day: "2019-10-15")
    with pytest.raises(LookAhead, match="cannot serve 2019-10-15: it knows what was known on 2019-10-15"):
        shelf.models_for(dt.date(2019, 10, 15))
    assert shelf.models_for(dt.date(2019, 10, 16))[0].manifest.name == "2019-10-15"
