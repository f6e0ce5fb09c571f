"""Training, registry and scores on the small demo market."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine import settings
from engine.errors import Damaged, NoModel
from engine.model import registry
from engine.model.labels import lag
from engine.model.months import train_models, wanted_models
from engine.model.network import AttentionNetwork
from engine.model.samples import Samples, Split
from engine.model.shelf import Shelf
from engine.model.train import Epoch, Trained
from engine.pipeline.factors import NAMES

CPU = torch.device("cpu")


def train(demo_samples, root, months, jobs=1, seed=0):
    bundle, values, folder = demo_samples
    model = values.model.model_copy(update={"seed": seed})
    values = values.model_copy(update={"home": root, "model": model})
    wanted = wanted_models(months, bundle, Samples.open(folder), values)
    done: list[tuple[registry.Entry, bool]] = []
    train_models(wanted, bundle, folder, values, jobs, CPU, lambda one, entry, fresh: done.append((entry, fresh)))
    return values, done


def test_the_network_has_the_shapes_of_the_design():
    network = AttentionNetwork().eval()
    logits, excess = network(torch.zeros(5, 9))
    assert (logits.shape, excess.shape) == ((5, 3), (5,))
    weights = network.attention(torch.randn(5, 9))
    torch.testing.assert_close(weights.sum(-1), torch.ones(5))
    assert sum(p.numel() for p in network.parameters()) == (9 * 32 + 32) + (32 * 9 + 9) + (9 * 64 + 64) + 128 + (
        64 * 32 + 32
    ) + 64 + (32 * 3 + 3) + (32 + 1)


def test_samples_are_the_pipeline_s_own_values(demo_samples):
    bundle, _, folder = demo_samples
    samples = Samples.open(folder)
    assert samples.features.shape == (len(samples.rows), len(NAMES))
    assert (np.diff(samples.rows) >= 0).all()
    assert np.isfinite(samples.features).all()
    assert np.isfinite(samples.excess).all()
    assert samples.rows.min() >= 240  # the 241st session of the oldest stocks
    assert samples.rows.max() < len(bundle.panels.days) - lag(settings.LabelSettings())
    first = samples.features[samples.between(samples.rows[0], samples.rows[0])]
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-6)


def test_the_same_bits_for_any_number_of_processes(demo_samples, tmp_path):
    months = ["2019-11", "2019-12"]
    hashes = []
    for jobs in (1, 2):
        values, done = train(demo_samples, tmp_path / str(jobs), months, jobs)
        assert all(fresh for _, fresh in done)
        hashes.append({entry.name: entry.manifest.sha256 for entry in registry.entries(values.models)})
    assert hashes[0] == hashes[1]


def test_a_finished_month_is_not_trained_again_and_another_seed_is(demo_samples, tmp_path):
    train(demo_samples, tmp_path, ["2019-12"])
    _, again = train(demo_samples, tmp_path, ["2019-12"])
    assert [fresh for _, fresh in again] == [False]
    _, other = train(demo_samples, tmp_path, ["2019-12"], seed=1)
    assert [fresh for _, fresh in other] == [True]


def test_the_manifest_says_what_the_model_may_know(demo_samples, tmp_path):
    _, ((entry, _),) = train(demo_samples, tmp_path, ["2019-12"])
    manifest = json.loads((entry.folder / "manifest.json").read_text())
    assert manifest["known_until"] == "2019-11-29"
    assert manifest["train"]["last"] < manifest["validation"]["first"] <= manifest["validation"]["last"] < "2019-11-01"
    assert manifest["features"] == list(NAMES)
    assert manifest["seed"] == 0
    assert manifest["data_id"] == demo_samples[0].panels.data_id
    assert sorted(path.name for path in entry.folder.iterdir()) == [
        "manifest.json",
        "program.pt2",
        "weights.safetensors",
    ]


def test_a_model_is_found_by_month_data_and_settings(demo_samples, tmp_path):
    values, ((entry, _),) = train(demo_samples, tmp_path, ["2019-12"])
    panels = demo_samples[0].panels
    shelf = Shelf(values, panels)
    scores = shelf.predict(dt.date(2019, 12, 3), np.zeros((3, 9), dtype=np.float32))
    assert shelf.used == [entry.id]
    assert scores.shape == (3, 4)
    np.testing.assert_allclose(scores[:, :3].sum(axis=1), 1, atol=1e-6)
    with pytest.raises(NoModel, match="ashare train --start 2019-11 --end 2019-11"):
        shelf.models_for(dt.date(2019, 11, 29))
    other = values.model_copy(update={"factors": values.factors.model_copy(update={"roe": "ytd"})})
    with pytest.raises(NoModel):
        Shelf(other, panels).models_for(dt.date(2019, 12, 3))


def test_weights_that_differ_from_their_hash_are_refused(demo_samples, tmp_path):
    values, ((entry, _),) = train(demo_samples, tmp_path, ["2019-12"])
    path = entry.folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Damaged, match="differ from their hash"):
        Shelf(values, demo_samples[0].panels).models_for(dt.date(2019, 12, 3))


def test_other_settings_that_give_the_same_weights_give_a_model_of_their_own(demo_samples, tmp_path):
    values, ((entry, _),) = train(demo_samples, tmp_path, ["2019-12"])
    bundle, _, folder = demo_samples
    same = values.model_copy(update={"model": values.model.model_copy(update={"minimum_years": 2})})
    weights = AttentionNetwork()
    weights.load_state_dict(load_file(entry.folder / "weights.safetensors"))
    (wanted,) = wanted_models(["2019-12"], bundle, Samples.open(folder), values)
    made = entry.manifest
    trained = Trained(weights, 0.0, 1.0, (1, 1), made.best_epoch, (Epoch(1.0, 1.0, 0.5, 0.001),) * made.epochs)
    saved = registry.save(values.models, trained, wanted.window, bundle.panels, same, 0)
    assert saved.manifest.sha256 == made.sha256
    shelves = [Shelf(one, bundle.panels) for one in (values, same)]
    assert [shelf.models_for(dt.date(2019, 12, 3))[0].id for shelf in shelves] == [entry.id, saved.id]


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"month": "2019-12"}', b"\xff"])
def test_a_damaged_manifest_is_named_and_left_out(demo_samples, tmp_path, caplog, content):
    values, ((entry, _),) = train(demo_samples, tmp_path, ["2019-12"])
    manifest = entry.folder / "manifest.json"
    before = manifest.read_bytes()
    broken = values.models / "2019-11-00000000"
    broken.mkdir()
    (broken / "manifest.json").write_bytes(content)
    assert [found.id for found in registry.entries(values.models)] == [entry.id]
    assert "model 2019-11-00000000 is left out" in caplog.text
    assert Shelf(values, demo_samples[0].panels).models_for(dt.date(2019, 12, 3))[0].id == entry.id
    if content == b"{":  # trained again, it takes the damaged one's place
        manifest.write_bytes(content)
        _, ((again, fresh),) = train(demo_samples, tmp_path, ["2019-12"])
        assert (fresh, again.folder) == (True, entry.folder)
        assert json.loads(manifest.read_bytes())["sha256"] == json.loads(before)["sha256"]


def test_training_learns_what_is_planted(demo_samples):
    """With a class that is a function of one feature, validation accuracy leaves chance far behind."""
    from engine.model.train import train as train_one
    from engine.model.windows import Interval, Window

    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(200), 50).astype(np.int32)
    features = rng.normal(size=(len(rows), 9)).astype(np.float32)
    excess = (0.05 * features[:, 3]).astype(np.float32)
    samples = Samples(rows, rows, features, excess, rows + np.int32(21))
    window = Window("2000-01", 199, Interval(0, 120), Interval(150, 178), 21)
    values = demo_samples[1]
    (trained,) = train_one(
        [Split(samples, window)],
        [0],
        values.model_copy(update={"model": values.model.model_copy(update={"epochs": 8, "batch": 256})}),
        CPU,
    )
    assert trained.validation_accuracy > 0.8
