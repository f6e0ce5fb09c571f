"""The registry: one folder a model, weights as safetensors, everything else as JSON; nothing in it is executed.

::

    models/
      promotions.json          which model a month was told to use, every promotion and rollback in order
      2015-07-1a2b3c4d/        of a month; 2015-07-15-1a2b3c4d of an event on that day
        manifest.json          architecture, features, normaliser, windows, seed, data id, scores, hashes
        weights.safetensors
        program.pt2            the network with its normaliser of the excess as ``torch.export`` writes it, to be
                               served elsewhere; the engine never reads it
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine import clock
from engine.errors import Damaged, UsageError
from engine.files import replaced_file, whole_folder, write_bytes
from engine.model.manifest import ARCHITECTURE, Manifest, Moments, Stretch, Validated, normaliser_of, read_manifest
from engine.model.windows import Interval, Window
from engine.panels.reader import Panels
from engine.pipeline.factors import NAMES
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.model.train import Trained

WEIGHTS, PROGRAM, MANIFEST, PROMOTIONS = "weights.safetensors", "program.pt2", "manifest.json", "promotions.json"
SECTIONS = ("universe", "factors", "labels", "model")
"""The settings a model depends on."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A model in the registry, not loaded."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def name(self) -> str:
        """The month it serves, YYYY-MM, or the day of the event it was trained for, YYYY-MM-DD."""
        return self.manifest.name


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
        return Entry(folder, read_manifest(path))
    except (OSError, ValueError) as error:
        _log.warning("model %s is left out: %s is damaged (%s)", folder.name, path, error)
        return None


def entry(root: Path, name: str) -> Entry:
    """Return a model by its id.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    found = next((one for one in entries(root) if one.id == name), None)
    if found is None:
        raise UsageError(f"there is no model {name!r}", f"{root} has none of this name", "See `ashare models list`.")
    return found


def find(root: Path, name: str, data_ids: set[str], settings: Settings, seed: int) -> Entry | None:
    """Return the model of a month or event and of a seed for these data and settings, None if there is none.

    It is the one last promoted, if that fits; else the newest that fits.
    """
    fitting = [one for one in entries(root) if one.name == name and _fits(one, data_ids, settings, seed)]
    for promoted in reversed(_standing(promotions(root)).get((name, seed), [])):
        chosen = next((one for one in fitting if one.id == promoted), None)
        if chosen is not None:
            return chosen
        _log.warning("model %s was promoted for %s, and does not fit these data and settings", promoted, name)
    return max(fitting, key=lambda one: one.manifest.made, default=None)


def _fits(one: Entry, data_ids: set[str], settings: Settings, seed: int) -> bool:
    made_with = one.manifest
    return (
        made_with.data_id in data_ids
        and made_with.settings == settings.fingerprint(*SECTIONS)
        and made_with.speaks_our_language(settings.factors)
        and made_with.seed == seed
    )


def save(root: Path, trained: Trained, window: Window, panels: Panels, settings: Settings, seed: int) -> Entry:
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

    from engine.model.serving import exported

    weights = to_bytes(trained.network.state_dict(), metadata={"architecture": ARCHITECTURE["name"]})
    digest = hashlib.sha256(weights).hexdigest()
    under = settings.fingerprint(*SECTIONS)  # other settings may give the same weights, and yet not the same model
    identity = hashlib.sha256(f"{digest}{panels.data_id}{window.name}{seed}{under}".encode()).hexdigest()[:8]
    folder = root / f"{window.name}-{identity}"
    root.mkdir(parents=True, exist_ok=True)
    program = exported(trained.network, trained.excess_mean, trained.excess_sd)
    manifest = Manifest(
        month=window.month,
        made=clock.now().replace(microsecond=0),
        architecture=ARCHITECTURE,
        features=list(NAMES),
        normaliser=normaliser_of(settings.factors),
        excess=Moments(mean=trained.excess_mean, sd=trained.excess_sd),
        known_until=_day(panels, window.known_until),
        train=_stretch(panels, window.train, trained.samples[0]),
        validation=Validated(
            **_stretch(panels, window.validation, trained.samples[1]).model_dump(),
            loss=trained.validation_loss,
            accuracy=trained.validation_accuracy,
        ),
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        seed=seed,
        data_id=panels.data_id,
        settings=under,
        sha256=digest,
        program=hashlib.sha256(program).hexdigest(),
    )
    with FileLock(root / ".lock"):  # another process may have trained the same
        there = _entry(folder) if (folder / MANIFEST).exists() else None
        if there is not None:
            return there
        shutil.rmtree(folder, ignore_errors=True)  # one that is damaged
        with whole_folder(folder) as beside:
            (beside / WEIGHTS).write_bytes(weights)
            (beside / PROGRAM).write_bytes(program)
            write_bytes(beside / MANIFEST, manifest.model_dump_json(indent=1).encode() + b"\n")
    return Entry(folder, manifest)


def _day(panels: Panels, row: int) -> dt.date:
    day: dt.date = panels.days[row].item()
    return day


def _stretch(panels: Panels, interval: Interval, samples: int) -> Stretch:
    return Stretch(first=_day(panels, interval.first), last=_day(panels, interval.last), samples=samples)


class Promotion(BaseModel):
    """One line of the history of promotions; a rollback takes the last promotion still in force back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verb: Literal["promote", "rollback"]
    month: Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])(-\d\d)?$")]
    seed: int
    model: str
    at: dt.datetime


_HISTORY = TypeAdapter(list[Promotion])


def promotions(root: Path) -> list[Promotion]:
    """Return every promotion and rollback, oldest first.

    Raises
    ------
    Damaged
        Their file is none of ours.
    """
    path = root / PROMOTIONS
    try:
        return _HISTORY.validate_json(path.read_bytes()) if path.exists() else []
    except (OSError, ValidationError) as error:
        why = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise Damaged(
            f"{path} cannot be read", why, "Restore it from a backup; without it every month uses its newest model."
        ) from None


def promoted_models(root: Path) -> dict[tuple[str, int], str]:
    """Return the model in force by promotion, by month and seed."""
    standing = _standing(promotions(root))
    return {key: models[-1] for key, models in standing.items() if models}


def _standing(history: Sequence[Promotion]) -> dict[tuple[str, int], list[str]]:
    """Return the promotions not taken back, oldest first, by month and seed."""
    standing: dict[tuple[str, int], list[str]] = {}
    for one in history:
        models = standing.setdefault((one.month, one.seed), [])
        if one.verb == "promote":
            models.append(one.model)
        elif models:
            models.pop()
    return standing


def promote(root: Path, one: Entry) -> None:
    """Let a month, or an event, use a model instead of its newest."""
    _append(root, "promote", one.name, one.manifest.seed, one.id)


def rollback(root: Path, month: str, seed: int) -> str | None:
    """Take the last promotion of a month back; return the model promoted before it, None for the newest.

    Raises
    ------
    UsageError
        None is in force.
    """
    models = _standing(promotions(root)).get((month, seed), [])
    if not models:
        raise UsageError(
            f"nothing to roll back for {month}",
            f"no model of seed {seed} was promoted, so the newest is used",
            "See `ashare models list`.",
        )
    _append(root, "rollback", month, seed, models[-1])
    return models[-2] if len(models) > 1 else None


def _append(root: Path, verb: Literal["promote", "rollback"], month: str, seed: int, model: str) -> None:
    """Add a line to the history."""
    with FileLock(root / ".lock"):
        line = Promotion(verb=verb, month=month, seed=seed, model=model, at=clock.now().replace(microsecond=0))
        history = [*promotions(root), line]
        with replaced_file(root / PROMOTIONS) as beside:
            beside.write_bytes(_HISTORY.dump_json(history, indent=1) + b"\n")
