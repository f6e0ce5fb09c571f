"""The registry: one folder a model, weights as safetensors, everything else as JSON; nothing in it is executed.

::

    models/2015-07-1a2b3c4d/
      manifest.json          architecture, features, normaliser, windows, seed, data id, scores, sha256 of the weights
      weights.safetensors
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import clock
from engine.errors import Damaged, NoModel
from engine.files import read_json, sha256_of, whole_folder, write_json
from engine.model.windows import Window
from engine.panels.reader import Panels
from engine.pipeline.factors import NAMES
from engine.settings import Settings

WEIGHTS, MANIFEST = "weights.safetensors", "manifest.json"
SECTIONS = ("universe", "factors", "labels", "model")
"""The settings a model depends on."""

_KINDS: dict[str, type] = {
    **dict.fromkeys(("month", "made", "known_until", "data_id", "settings", "sha256"), str),
    **dict.fromkeys(("seed", "epochs", "best_epoch"), int),
    **dict.fromkeys(("excess", "train", "validation"), dict),
    "features": list,
}
_NUMBERS = {
    "excess": ("mean", "sd"),
    "train": ("first", "last", "samples"),
    "validation": ("first", "last", "samples", "loss", "accuracy"),
}
"""What a manifest must hold to be used."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A model in the registry, not loaded."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def month(self) -> str:
        """The month it serves, YYYY-MM."""
        return str(self.manifest["month"])


def entries(root: Path) -> Iterator[Entry]:
    """Yield the models of a registry in order of their names; one that cannot be read is named in a warning."""
    for path in sorted(root.glob(f"[!.]*/{MANIFEST}")):
        entry = _entry(path.parent)
        if entry is not None:
            yield entry


def _entry(folder: Path) -> Entry | None:
    """Return the model in a folder; None, with a warning, if its manifest is damaged."""
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
        lacking = [name for name, kind in _KINDS.items() if not isinstance(manifest[name], kind)]
        lacking += [f"{name}.{key}" for name, keys in _NUMBERS.items() for key in keys if key not in manifest[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        lacking = [f"{type(error).__name__}: {error}"]
    if lacking:
        _log.warning("model %s is left out: %s is damaged (%s)", folder.name, path, ", ".join(lacking))
        return None
    return Entry(folder, manifest)


def find(root: Path, month: str, data_ids: set[str], settings: Settings, seed: int) -> Entry | None:
    """Return the newest model of a month for these data and settings, None if there is none."""
    fitting = [entry for entry in entries(root) if entry.month == month and _fits(entry, data_ids, settings, seed)]
    return max(fitting, key=lambda entry: str(entry.manifest["made"]), default=None)


def _fits(entry: Entry, data_ids: set[str], settings: Settings, seed: int) -> bool:
    made_with = entry.manifest
    return (
        made_with["data_id"] in data_ids
        and made_with["settings"] == settings.fingerprint(*SECTIONS)
        and made_with["features"] == list(NAMES)
        and made_with["seed"] == seed
    )


def save(root: Path, trained: Any, window: Window, panels: Panels, settings: Settings, seed: int) -> Entry:
    """Write a trained model as a folder of its own.

    Parameters
    ----------
    root : Path
        The registry.
    trained : engine.model.train.Trained
        The network and its scores.
    window : Window
        What it learnt from.
    panels : Panels
        Which data.
    settings : Settings
        Under which it was trained.
    seed : int
        With which seed.
    """
    from safetensors.torch import save as to_bytes

    from engine.model.network import ARCHITECTURE

    weights = to_bytes(trained.network.state_dict(), metadata={"architecture": ARCHITECTURE["name"]})
    digest = hashlib.sha256(weights).hexdigest()
    under = settings.fingerprint(*SECTIONS)  # other settings may give the same weights, and yet not the same model
    identity = hashlib.sha256(f"{digest}{panels.data_id}{window.month}{seed}{under}".encode()).hexdigest()[:8]
    folder = root / f"{window.month}-{identity}"
    manifest = {
        "month": window.month,
        "made": clock.now().isoformat(timespec="seconds"),
        "architecture": ARCHITECTURE,
        "features": list(NAMES),
        "normaliser": {"kind": "cross-sectional z-score", "winsorise": settings.factors.winsorise, "null": 0},
        "excess": {"mean": trained.excess_mean, "sd": trained.excess_sd},
        "known_until": str(panels.days[window.known_until]),
        "train": _dates(panels, window.train.first, window.train.last) | {"samples": trained.samples[0]},
        "validation": _dates(panels, window.validation.first, window.validation.last)
        | {"samples": trained.samples[1], "loss": trained.validation_loss, "accuracy": trained.validation_accuracy},
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "seed": seed,
        "data_id": panels.data_id,
        "settings": under,
        "sha256": digest,
    }
    root.mkdir(parents=True, exist_ok=True)
    there = _entry(folder) if (folder / MANIFEST).exists() else None
    if there is not None:
        return there
    shutil.rmtree(folder, ignore_errors=True)  # one that is damaged
    with whole_folder(folder) as beside:
        (beside / WEIGHTS).write_bytes(weights)
        write_json(beside / MANIFEST, manifest)
    return Entry(folder, manifest)


def _dates(panels: Panels, first: int, last: int) -> dict[str, Any]:
    return {"first": str(panels.days[first]), "last": str(panels.days[last])}


class Model:
    """A loaded model: from z-scores to probabilities and expected excess return."""

    def __init__(self, entry: Entry) -> None:
        from safetensors.torch import load_file

        from engine.model.network import AttentionNetwork

        path = entry.folder / WEIGHTS
        if not path.is_file() or sha256_of(path) != entry.manifest["sha256"]:
            raise Damaged(
                f"model {entry.id} cannot be used",
                "its weights differ from their hash",
                f"Remove {entry.folder} and train it again.",
            )
        self.id = entry.id
        self._network = AttentionNetwork()
        self._network.load_state_dict(load_file(path))
        self._network.eval()
        self._mean, self._sd = entry.manifest["excess"]["mean"], entry.manifest["excess"]["sd"]

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return P(down), P(flat), P(up) and the expected excess return, (n, 4), of features (n, 9)."""
        import torch

        from engine.model.network import probabilities

        chances, excess = probabilities(self._network, torch.from_numpy(np.ascontiguousarray(features)))
        columns = [chances.numpy().astype(np.float64), (excess.numpy() * self._sd + self._mean)[:, None]]
        return np.concatenate(columns, axis=1, dtype=np.float64)


Scored = tuple[dt.date, npt.NDArray[np.int64], npt.NDArray[np.float32]]


class Shelf:
    """The models a run may consult: those trained on its data, or on an earlier state of the same lake.

    Attributes
    ----------
    used : list of str
        Ids of the models consulted so far, in order.
    scored : list of (date, array of int64, array of float32)
        What they said: session, sids, and (n, 4) down, flat, up, expected excess.
    """

    def __init__(self, settings: Settings, panels: Panels) -> None:
        self._settings, self._data_ids = settings, set(panels.manifest["lineage"])
        self._loaded: dict[str, Model] = {}
        self.used: list[str] = []
        self.scored: list[Scored] = []

    def model_for(self, day: dt.date) -> Model:
        """Return the model of a day's month.

        Raises
        ------
        NoModel
            There is none for these data and settings.
        """
        month = f"{day:%Y-%m}"
        if month not in self._loaded:
            found = find(self._settings.models, month, self._data_ids, self._settings, self._settings.model.seed)
            if found is None:
                raise NoModel(
                    f"no model for {day}",
                    f"the registry {self._settings.models} has none of {month} for this data and these settings",
                    f"Run `ashare train --start {month} --end {month}`.",
                )
            assert found.manifest["known_until"] < day.isoformat(), "a model may only know what was before its month"
            self._loaded[month] = Model(found)
            self.used.append(found.id)
        return self._loaded[month]
