"""A hostile or truncated model is refused by name, and nothing in it runs; no code of ours reads code from data."""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import json
import pickle
import random
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from engine.errors import AshareError, Damaged
from engine.model import registry
from engine.model.months import train_models, wanted_models
from engine.model.samples import Samples
from engine.model.shelf import Shelf, load_network
from tests.security.mutations import spoilt_bytes, spoilt_json

DAY = dt.date(2019, 12, 3)
FEW, MANY = 350, 10_000


@pytest.fixture(scope="module")
def trained(demo_samples, tmp_path_factory):
    """Return settings, panels and the registry's entry of one trained month; tests work on copies of it."""
    bundle, values, folder = demo_samples
    values = values.model_copy(update={"home": tmp_path_factory.mktemp("registry")})
    wanted = wanted_models(["2019-12"], bundle, Samples.open(folder), values)
    train_models(wanted, bundle, folder, values, 1, torch.device("cpu"))
    (entry,) = registry.entries(values.models)
    return values, bundle.panels, entry


@pytest.fixture
def copied(trained, tmp_path):
    """Return the same in a registry of the test's own."""
    values, panels, entry = trained
    shutil.copytree(values.models, tmp_path / "models")
    values = values.model_copy(update={"home": tmp_path})
    return values, panels, registry.entry(values.models, entry.id)


def resealed(entry: registry.Entry, weights: bytes) -> None:
    """Put weights into a model with a manifest that vouches for them: an attacker can write both."""
    (entry.folder / registry.WEIGHTS).write_bytes(weights)
    path = entry.folder / registry.MANIFEST
    manifest = json.loads(path.read_bytes()) | {"sha256": hashlib.sha256(weights).hexdigest()}
    path.write_text(json.dumps(manifest))


def consulted(values, panels) -> np.ndarray:
    """Consult the registry in every way there is."""
    for entry in registry.entries(values.models):
        registry.entry(values.models, entry.id)
    registry.promoted_models(values.models)
    return Shelf(values, panels).predict(DAY, np.zeros((3, 9), dtype=np.float32))


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_whatever_is_written_into_the_registry_only_our_errors_come_out(copied, count):
    values, panels, entry = copied
    weights, manifest = entry.folder / registry.WEIGHTS, entry.folder / registry.MANIFEST
    promotions = values.models / registry.PROMOTIONS
    registry.promote(values.models, entry)
    sound = {path: path.read_bytes() for path in (weights, manifest, promotions)}
    rng, refused = random.Random(5), 0
    for _ in range(count):
        kind = rng.randrange(5)
        if kind == 0:
            weights.write_bytes(spoilt_bytes(rng, sound[weights]))
        elif kind == 1:
            resealed(entry, spoilt_bytes(rng, sound[weights]))
        elif kind == 2:
            resealed(entry, spoilt_header(rng, sound[weights]))
        else:
            path = rng.choice([manifest, promotions])
            path.write_bytes(spoilt_json(rng, json.loads(sound[path])))
        try:
            scores = consulted(values, panels)
            assert np.isfinite(scores).all()
        except AshareError:
            refused += 1
        for path, content in sound.items():
            path.write_bytes(content)
    assert refused > count / 2
    consulted(values, panels)


def spoilt_header(rng: random.Random, content: bytes) -> bytes:
    """Return weights whose header, which says what the bytes are, is another."""
    (length,) = struct.unpack("<Q", content[:8])
    header = spoilt_json(rng, json.loads(content[8 : 8 + length]))
    said = rng.choice([len(header), len(header), 0, 2**63, len(content) * 2])
    return struct.pack("<Q", said) + header + content[8 + length :]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(copied, value):
    values, panels, entry = copied
    state = load_file(entry.folder / registry.WEIGHTS)
    state["classify.bias"][1] = value
    resealed(entry, save(state))
    with pytest.raises(Damaged, match="not finite"):
        consulted(values, panels)


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("classify.bias", lambda value: value.double() * 1e300, "not those of this network"),
        ("hidden.1.running_var", lambda value: -value, "variance"),
    ],
)
def test_weights_that_would_give_no_scores_are_refused(copied, name, change, why):
    values, panels, entry = copied
    state = load_file(entry.folder / registry.WEIGHTS)
    state[name] = change(state[name])
    resealed(entry, save(state))
    with pytest.raises(Damaged, match=why):
        consulted(values, panels)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, -1])
def test_truncated_weights_are_refused(copied, size):
    values, panels, entry = copied
    resealed(entry, (entry.folder / registry.WEIGHTS).read_bytes()[:size])
    with pytest.raises(Damaged, match=f"model {entry.id} cannot be used"):
        consulted(values, panels)


class Bomb:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_nothing_in_a_model_file_runs(copied, tmp_path):
    """Pickles, alone and as ``torch.save`` wraps them, in the place of weights and program."""
    values, panels, entry = copied
    mark = tmp_path / "mark"
    torch.save({"x": Bomb(mark)}, tmp_path / "archive.pt")
    for hostile in (pickle.dumps(Bomb(mark)), (tmp_path / "archive.pt").read_bytes()):
        resealed(entry, hostile)
        with pytest.raises(Damaged):
            consulted(values, panels)
        with pytest.raises(Damaged):
            load_network(registry.entry(values.models, entry.id))
        (entry.folder / registry.PROGRAM).write_bytes(hostile)  # no command of ours opens it
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()


def test_the_program_holds_no_pickle_of_ours(trained):
    """Graph and weights are JSON and raw numbers; what remains is the sample input that torch adds itself."""
    _, _, entry = trained
    with zipfile.ZipFile(entry.folder / registry.PROGRAM) as archive:
        names = [name for name in archive.namelist() if name.endswith((".pt", ".pkl"))]
    assert [Path(name).parent.name for name in names] == ["sample_inputs"]


FORBIDDEN = {
    *("eval", "exec", "compile", "pickle.load", "pickle.loads", "torch.load", "torch.jit.load", "torch.export.load"),
    *("joblib.load", "dill.load", "dill.loads", "marshal.load", "marshal.loads", "shelve.open", "pd.read_pickle"),
    *("pandas.read_pickle", "yaml.load", "os.system", "torch.package.PackageImporter"),
}


def test_no_code_is_read_from_data():
    """R16: no call that could turn data into code stands anywhere in the product."""
    found, seen = [], 0
    for root in ("engine", "bundles", "strategies", "benchmarks"):
        for path in (Path(__file__).parents[2] / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    seen += 1
                    if ast.unparse(node.func) in FORBIDDEN:
                        found.append(f"{path}:{node.lineno} {ast.unparse(node.func)}")
                    found += [
                        f"{path}:{node.lineno} {word.arg}"
                        for word in node.keywords
                        if word.arg in ("allow_pickle", "shell") and not _is_false(word.value)
                    ]
    assert seen > 3000
    assert not found


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
