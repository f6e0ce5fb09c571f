"""Features and labels of all sessions, built once for a bundle and shared by all months, memory-mapped.

The features are the pipeline's own z-scores, computed by the same engine and terms as in a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from zipline.pipeline import Pipeline

from engine.errors import LookAhead, NotEnoughHistory
from engine.files import whole_folder, write_json
from engine.model.labels import labels, lag
from engine.model.windows import Window
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
        The label.
    known : array of int32, (n,)
        Session after whose close the label is known.
    """

    rows: npt.NDArray[np.int32]
    sids: npt.NDArray[np.int32]
    features: npt.NDArray[np.float32]
    excess: npt.NDArray[np.float32]
    known: npt.NDArray[np.int32]

    def between(self, first: int, last: int) -> slice:
        """Return where the samples of the sessions ``first..last`` stand."""
        start, end = np.searchsorted(self.rows, (first, last + 1))
        return slice(int(start), int(end))

    @classmethod
    def open(cls, folder: Path) -> Samples:
        """Open a finished folder, read-only."""
        names = (each.name for each in fields(cls))
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))


@dataclass(frozen=True)
class Split:
    """The samples of a window. It is what a trainer is given, so no other samples can reach it.

    Attributes
    ----------
    samples : Samples
        All of them.
    window : Window
        Which sessions are learnt from and validated on.
    every : int
        Sessions from one whose samples are learnt from to the next, counted back from the last; validation
        takes every session.
    training, validation : slice
        Where the samples of the two intervals stand.

    Raises
    ------
    LookAhead
        A label learnt from is known only after the first decision validated on, or a label validated on only
        after ``known_until``: by the samples' own dates, whatever the window says.
    NotEnoughHistory
        One of the two has no sample.
    """

    samples: Samples
    window: Window
    every: int = 1
    training: slice = field(init=False)
    validation: slice = field(init=False)

    def __post_init__(self) -> None:
        train, validate = self.window.train, self.window.validation
        object.__setattr__(self, "training", self.samples.between(train.first, train.last))
        object.__setattr__(self, "validation", self.samples.between(validate.first, validate.last))
        for name, part in (("learn from", self.training), ("validate on", self.validation)):
            if part.start == part.stop:
                raise NotEnoughHistory(
                    f"no model can be trained for {self.window.name}", f"there is no sample to {name}", _MORE
                )
        _require_known(self.samples, self.training, int(self.samples.rows[self.validation.start]) - 1, "training")
        _require_known(self.samples, self.validation, self.window.known_until, "validation")

    def picked(self) -> npt.NDArray[np.int64]:
        """Return the positions of the samples to learn from, ascending."""
        positions = np.arange(self.training.start, self.training.stop)
        back = self.window.train.last - np.asarray(self.samples.rows[self.training])
        return positions[back % self.every == 0]


def _require_known(samples: Samples, part: slice, row: int, what: str) -> None:
    """Refuse samples whose labels are known only after a session."""
    latest = int(np.asarray(samples.known[part]).max())
    if latest > row:
        raise LookAhead(
            f"the {what} samples cannot be used",
            f"a label is known after the close of session {latest}, and the one before what it would tell of is {row}",
            "This is an error of the program: report it.",
        )


_MORE = "Import more data, or widen the universe in the settings."


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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):  # whoever comes second finds them made
        if not (folder / "manifest.json").exists():
            _build(folder, bundle, settings, progress)
    return folder


def _build(folder: Path, bundle: Bundle, settings: Settings, progress: Callable[[], None]) -> None:
    """Make the samples."""
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
    known = rows + np.int32(lag(settings.labels))
    samples = Samples(rows, sids, features, excess[rows, sids].astype(np.float32), known)
    with whole_folder(folder) as beside:
        for each in fields(Samples):
            np.save(beside / f"{each.name}.npy", getattr(samples, each.name))
        write_json(beside / "manifest.json", {"samples": len(rows), "data_id": bundle.panels.data_id})


def chunks_of(bundle: Bundle) -> int:
    """Return how many chunks the samples of a bundle are made in."""
    return -(-len(bundle.panels.days) // CHUNK)
