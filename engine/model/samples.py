"""Features and labels of all sessions, built once for a bundle and shared by all months, memory-mapped.

The features are the pipeline's own z-scores, computed by the same engine and terms as in a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from zipline.pipeline import Pipeline

from engine.errors import NotEnoughHistory
from engine.files import whole_folder, write_json
from engine.model.labels import labels
from engine.panels.bundle import Bundle
from engine.pipeline.factors import NAMES, standardised_factors
from engine.pipeline.research import CHUNK, PanelEngine
from engine.pipeline.universe import universe
from engine.settings import Settings


@dataclass(frozen=True)
class Samples:
    """One sample a session and labelled universe member, ordered by session.

    Attributes
    ----------
    rows : array of int32, (n,)
        Session of the decision, as a row of the panels.
    sids : array of int32, (n,)
        The asset.
    features : array of float32, (n, 9)
        In the order of ``NAMES``, known after the close of the session.
    excess : array of float32, (n,)
        The label; known ``lag`` sessions later.
    """

    rows: npt.NDArray[np.int32]
    sids: npt.NDArray[np.int32]
    features: npt.NDArray[np.float32]
    excess: npt.NDArray[np.float32]

    def between(self, first: int, last: int) -> slice:
        """Return where the samples of the sessions ``first..last`` stand."""
        start, end = np.searchsorted(self.rows, (first, last + 1))
        return slice(int(start), int(end))

    @classmethod
    def open(cls, folder: Path) -> Samples:
        """Open a finished folder, read-only."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.__annotations__))


def samples_folder(bundle: Bundle, settings: Settings) -> Path:
    """Return where the samples of this bundle, these settings and this code are kept."""
    key = f"{bundle.panels.data_id} {settings.fingerprint('universe', 'factors', 'labels')} {_code_id()}"
    return settings.home / "cache" / f"samples-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _code_id() -> str:
    """Return a hash of the source that makes the samples: changed code makes them anew."""
    root = Path(__file__).resolve().parents[1]
    files = [
        *sorted((root / "pipeline").glob("*.py")),
        *sorted((root / "panels").glob("*.py")),
        root / "model" / "labels.py",
    ]
    digest = hashlib.sha256()
    for path in [*files, Path(__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build_samples(bundle: Bundle, settings: Settings, progress: Callable[[], None] = lambda: None) -> Path:
    """Make the samples unless they are there, and return their folder.

    Parameters
    ----------
    bundle : Bundle
        The data.
    settings : Settings
        Universe, factors, labels.
    progress : callable
        Called once a chunk of sessions.

    Raises
    ------
    NotEnoughHistory
        There is not a single sample.
    """
    folder = samples_folder(bundle, settings)
    if (folder / "manifest.json").exists():
        return folder
    excess = labels(bundle.panels, settings.labels).excess
    members = universe(settings.universe)
    pipeline = Pipeline(standardised_factors(settings.factors, members), screen=members)
    parts: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]] = []
    for result in PanelEngine(bundle).chunks(pipeline, 0, len(excess) - 1):
        labelled = result.screen & ~np.isnan(
            excess[result.first_row : result.first_row + len(result.screen), result.sids]
        )
        at, column = np.nonzero(labelled)
        features = np.stack([result.columns[name][at, column] for name in NAMES], axis=1).astype(np.float32)
        parts.append(((at + result.first_row).astype(np.int32), result.sids[column].astype(np.int32), features))
        progress()
    if not any(len(part[0]) for part in parts):
        raise NotEnoughHistory(
            "there is nothing to learn from",
            "no session has a universe member with a label",
            "Import at least four years of data, or widen the universe in the settings.",
        )
    rows, sids, features = (np.concatenate(column) for column in zip(*parts, strict=True))
    samples = Samples(rows, sids, features, excess[rows, sids].astype(np.float32))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as beside:
        for name in Samples.__annotations__:
            np.save(beside / f"{name}.npy", getattr(samples, name))
        write_json(beside / "manifest.json", {"samples": len(rows), "data_id": bundle.panels.data_id})
    return folder


def chunks_of(bundle: Bundle) -> int:
    """Return how many chunks the samples of a bundle are made in."""
    return -(-len(bundle.panels.days) // CHUNK)
