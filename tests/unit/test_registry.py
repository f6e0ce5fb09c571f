"""Which model a month uses: the newest, the promoted, an ensemble of seeds; and how they are shown and judged."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner

from engine import clock, settings
from engine.cli.evaluation import verdicts
from engine.cli.main import ashare
from engine.errors import Damaged, UsageError
from engine.host.registration import install
from engine.model import registry
from engine.model.evaluate import NETWORK, RANKINGS, Series, Served, judged
from engine.model.months import train_models, wanted_models
from engine.model.samples import Samples, build_samples
from engine.model.shelf import Shelf
from engine.model.windows import Interval, Window
from engine.panels.bundle import open_bundle
from engine.pipeline.factors import NAMES

DAY, CPU = dt.date(2019, 12, 3), torch.device("cpu")


@pytest.fixture
def train(demo, demo_home, monkeypatch):
    """Return what trains 2019-12 with some settings at some hour, and returns the models in the order of seeds."""
    install()
    (demo_home / "cache").mkdir(exist_ok=True)
    (demo / "cache").symlink_to(demo_home / "cache")  # the samples are the same for all
    bundle = open_bundle()

    def run(at: int = 9, seeds: int = 1, months: tuple[str, ...] = ("2019-12",), **model: object):
        monkeypatch.setattr(clock, "now", lambda: dt.datetime(2027, 1, 4, at, tzinfo=clock.SHANGHAI))
        values = settings.load()
        values = values.model_copy(
            update={
                "model": values.model.model_copy(update={"epochs": 1, **model}),
                "prediction": values.prediction.model_copy(update={"seeds": seeds}),
            }
        )
        folder = build_samples(bundle, values)
        wanted = wanted_models(months, bundle, Samples.open(folder), values)
        found = {}
        train_models(wanted, bundle, folder, values, 1, CPU, lambda one, entry, fresh: found.update({one: entry}))
        return values, [found[one] for one in wanted]

    return run


def ashare_says(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(ashare, ["models", *words])
    assert result.exit_code == code, result.output
    return result.output


def test_an_ensemble_averages_what_its_networks_say(demo, train):
    values, entries = train(seeds=3)
    assert [entry.manifest.seed for entry in entries] == [0, 1, 2]
    panels, x = open_bundle().panels, np.random.default_rng(0).normal(size=(7, 9)).astype(np.float32)
    shelf = Shelf(values, panels)
    said = shelf.predict(DAY, x)
    assert shelf.used == [entry.id for entry in entries]
    alone = []
    for seed in range(3):
        one = next(model for model in shelf.models_for(DAY) if model.manifest.seed == seed)
        alone.append(one.predict(x))
    np.testing.assert_array_equal(said, (alone[0] + alone[1] + alone[2]) / 3)
    assert not np.allclose(alone[0], alone[1])


def test_a_month_uses_the_promoted_model_and_after_a_rollback_the_one_before(demo, train):
    """Two models that fit, of different hours: the data grew between them, which the lineage allows."""
    values, (first,) = train(at=9)
    second = first.folder.with_name("2019-12-ffffffff")
    second.mkdir()
    for path in first.folder.iterdir():
        (second / path.name).write_bytes(path.read_bytes())
    later = json.loads((second / "manifest.json").read_text()) | {"made": "2027-01-04T10:00:00+08:00"}
    (second / "manifest.json").write_text(json.dumps(later))
    panels = open_bundle().panels

    def used() -> str:
        return Shelf(values, panels).models_for(DAY)[0].id

    assert used() == second.name
    assert "uses " + first.id in ashare_says("promote", first.id)
    assert used() == first.id
    assert [line.split()[0] for line in ashare_says("list").splitlines() if line.endswith("promoted")] == [first.id]
    ashare_says("promote", second.name)
    assert used() == second.name
    assert f"2019-12 uses {first.id} again" in ashare_says("rollback", "2019-12")
    assert used() == first.id
    assert "2019-12 uses its newest model again" in ashare_says("rollback", "2019-12")
    assert used() == second.name
    assert "nothing to roll back for 2019-12" in ashare_says("rollback", "2019-12", code=2)
    history = [(one.verb, one.model) for one in registry.promotions(values.models)]
    assert history == [
        ("promote", first.id),
        ("promote", second.name),
        ("rollback", second.name),
        ("rollback", first.id),
    ]


def test_a_promoted_model_that_does_not_fit_is_named_and_not_used(demo, train, caplog):
    _, (other,) = train(patience=2)
    values, (mine,) = train()
    registry.promote(values.models, other)
    assert Shelf(values, open_bundle().panels).models_for(DAY)[0].id == mine.id
    assert f"model {other.id} was promoted for 2019-12, and does not fit" in caplog.text


def test_a_damaged_history_stops_rather_than_uses_another_model(demo, train):
    values, (entry,) = train()
    (values.models / registry.PROMOTIONS).write_text('[{"verb": "promote"}]')
    with pytest.raises(Damaged, match=r"promotions\.json cannot be read"):
        registry.promote(values.models, entry)
    assert "promotions.json cannot be read" in ashare_says("list", code=3)


def test_show_tells_what_a_model_is_and_refuses_a_damaged_one(demo, train):
    values, (entry,) = train()
    said = ashare_says("show", entry.id)
    assert "knows until     2019-11-29" in said
    assert f"data            {open_bundle().panels.data_id}" in said
    document = json.loads(ashare_says("show", entry.id, "--json"))
    assert (document["id"], document["promoted"], document["features"]) == (entry.id, False, list(NAMES))
    assert [one["id"] for one in json.loads(ashare_says("list", "--json"))] == [entry.id]
    assert "there is no model '2019-13'" in ashare_says("show", "2019-13", code=2)
    (entry.folder / "weights.safetensors").write_bytes(b"x")
    assert "its weights differ from their hash" in ashare_says("show", entry.id, code=3)
    assert "its weights differ from their hash" in ashare_says("promote", entry.id, code=3)
    assert registry.promoted_models(values.models) == {}


@pytest.mark.parametrize("month", ["2019-13", "2019", "201912"])
def test_a_month_is_written_as_a_month(demo, train, month):
    train()
    assert "is no month" in ashare_says("rollback", month, code=2)


def test_export_writes_a_program_with_the_scores_of_the_model(demo, train, tmp_path):
    values, (entry,) = train()
    ashare_says("export", entry.id, "--out", str(tmp_path / "model.pt2"))
    program = torch.export.load(tmp_path / "model.pt2").module()
    kept = torch.export.load(entry.folder / "program.pt2").module()
    x = np.random.default_rng(1).normal(size=(11, 9)).astype(np.float32)
    expected = Shelf(values, open_bundle().panels).predict(DAY, x)
    for served in (program, kept):
        with torch.no_grad():
            chances, excess = served(torch.from_numpy(x))
        np.testing.assert_allclose(chances.numpy(), expected[:, :3], rtol=0, atol=1e-7)
        np.testing.assert_allclose(excess.numpy(), expected[:, 3], rtol=0, atol=1e-9)
    assert "there is no folder" in ashare_says("export", entry.id, "--out", str(tmp_path / "no" / "x.pt2"), code=2)


def test_training_leaves_its_curves(demo, train):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, (entry,) = train(epochs=3, patience=3)
    events = EventAccumulator(str(demo / "curves" / "2019-12-seed-0"))
    events.Reload()
    curve = [event.value for event in events.Scalars("loss/validation")]
    assert len(curve) == entry.manifest.epochs == 3
    assert min(curve) == pytest.approx(entry.manifest.validation.loss)
    assert sorted(events.Tags()["scalars"]) == ["accuracy/validation", "learning_rate", "loss/train", "loss/validation"]


def test_a_finished_seed_is_not_trained_again(demo, train):
    words = ["train", "--start", "2019-12", "--end", "2019-12", "--jobs", "1", "--seeds"]
    CliRunner().invoke(ashare, [*words, "1"])
    result = CliRunner().invoke(ashare, [*words, "2"])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("2019-12-")]
    assert [line.endswith("(was there)") for line in lines] == [True, False]
    assert "set prediction.seeds = 2 in ashare.toml" in result.output


def test_ranks_and_accuracy_by_hand():
    """Two sessions of six names: the first ranked rightly but for one exchange, the second wholly reversed."""
    rows = np.repeat([5, 6], 6).astype(np.int32)
    excess = np.array([-0.3, -0.2, -0.01, 0.01, 0.2, 0.3] * 2, dtype=np.float32)
    samples = Samples(rows, np.tile(np.arange(6), 2).astype(np.int32), np.zeros((12, 9), np.float32), excess, rows + 21)
    p_up = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.5, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    said = np.column_stack([0.5 - p_up / 2, 0.5 - p_up / 2, p_up])  # at 0.4 or more it says up, else down
    served = [Served(Window("2000-01", 4, Interval(0, 0), Interval(2, 3), 1), 5, 6, slice(0, 12))]
    series = {one.measure: one for one in judged(samples, served, {NETWORK: said}, settings.Settings())}
    assert list(series) == ["p_up", "p_up_minus_p_down", "accuracy"]
    np.testing.assert_array_equal(series["p_up"].rows, [5, 6])
    np.testing.assert_allclose(series["p_up"].values, [1 - 6 * 2 / (6 * 35), -1])
    np.testing.assert_allclose(series["accuracy"].values, [4 / 6, 0])


def test_evaluate_shows_network_and_baselines(demo, train, tmp_path):
    train(months=("2019-09", "2019-10"), epochs=2)
    words = ["evaluate", "--start", "2019-09", "--end", "2019-10", "--jobs", "1"]
    out = tmp_path / "series.parquet"
    said = ashare_says(*words, "--out", str(out))
    for name in ("network", "logistic", "boosting", "accuracy", "2019", "all"):
        assert name in said
    assert "38 sessions are too few to compare the network with logistic regression in accuracy" in said
    series = pl.read_parquet(out)
    assert series.group_by("model").len().height == 3
    document = json.loads(ashare_says(*words, "--json"))
    assert {one["model"] for one in document} == {"network", "logistic regression", "gradient boosting"}
    for one in document:
        if one["period"] == "all":
            values = series.filter(model=one["model"], measure=one["measure"])["value"]
            assert one["mean"] == pytest.approx(values.drop_nans().mean())
            assert one["n"] == len(values.drop_nans()) == 38
    assert "no model for 2019-11" in ashare_says("evaluate", "--start", "2019-11", "--end", "2019-11", code=3)


def test_there_is_nothing_to_roll_back_in_an_empty_registry(tmp_path):
    with pytest.raises(UsageError, match="nothing to roll back"):
        registry.rollback(tmp_path, "2019-12", 0)


@pytest.mark.parametrize(
    ("mine", "says"),
    [(0.9, "beats"), (-0.9, "is beaten by"), (0.0, "does not differ from"), (None, "9 sessions are too few")],
)
def test_the_verdict_is_that_of_the_paired_sessions(mine, says):
    n = 9 if mine is None else 120
    noise = np.random.default_rng(0).normal(scale=0.1, size=n)
    noise -= noise.mean()
    rows = np.arange(n)
    base = np.random.default_rng(1).normal(size=n)
    series = [Series(NETWORK, name, rows, base + (mine or 0) + noise) for name in RANKINGS]
    series.append(Series("trees", "p_up", rows, base))
    assert says in next(verdicts(series, 21))


def test_a_promotion_of_other_settings_does_not_end_one_that_fits(demo, train):
    values, (old,) = train()
    newer = old.folder.with_name("2019-12-ffffffff")
    newer.mkdir()
    for path in old.folder.iterdir():
        (newer / path.name).write_bytes(path.read_bytes())
    later = json.loads((newer / "manifest.json").read_text()) | {"made": "2027-01-04T10:00:00+08:00"}
    (newer / "manifest.json").write_text(json.dumps(later))
    _, (other,) = train(patience=2)
    for one in (old, other):
        registry.promote(values.models, one)
    assert Shelf(values, open_bundle().panels).models_for(DAY)[0].id == old.id
