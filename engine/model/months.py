"""Every month of a range and every seed, several at once; finished ones are skipped, so a stopped run goes on.

On a CPU: one process a core, one thread a process, one network a process, so that the bits do not depend on how
many there are. On a CUDA device: one process, every network that is missing in one computation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.model import registry
from engine.model.labels import lag
from engine.model.processes import in_processes
from engine.model.samples import Samples, Split
from engine.model.windows import Window, window
from engine.panels.bundle import Bundle
from engine.settings import Settings

if TYPE_CHECKING:
    import torch

STACKED = 256
"""Networks trained at once on a CUDA device: of 5,000 stocks each takes some 90 MB beside the samples."""


@dataclass(frozen=True)
class Wanted:
    """One model to be trained."""

    window: Window
    seed: int

    @property
    def name(self) -> str:
        """Model and seed, for people."""
        return f"{self.window.name} seed {self.seed}"


def windows_of(names: Sequence[str], bundle: Bundle, samples: Samples, settings: Settings) -> list[Window]:
    """Return the window of each month, or day of an event.

    Raises
    ------
    NotEnoughHistory, OutsideData
        One cannot be trained on this bundle.
    """
    first, step = int(samples.rows[0]), lag(settings.labels)
    return [window(name, bundle.panels.days, first, step, settings.model) for name in names]


def wanted_models(names: Sequence[str], bundle: Bundle, samples: Samples, settings: Settings) -> list[Wanted]:
    """Return the models of some months, or days of events, ``prediction.seeds`` each.

    Raises
    ------
    NotEnoughHistory, OutsideData
        One cannot be trained on this bundle.
    """
    windows = windows_of(names, bundle, samples, settings)
    seeds = range(settings.model.seed, settings.model.seed + settings.prediction.seeds)
    return [Wanted(one, seed) for one in windows for seed in seeds]


def train_models(
    wanted: Sequence[Wanted],
    bundle: Bundle,
    folder: Path,
    settings: Settings,
    jobs: int,
    device: torch.device,
    done: Callable[[Wanted, registry.Entry, bool], None] = lambda one, entry, fresh: None,
) -> None:
    """Train what the registry lacks.

    Parameters
    ----------
    wanted : sequence of Wanted
        The models.
    bundle : Bundle
        The data.
    folder : Path
        Of the samples.
    settings : Settings
        Of the models.
    jobs : int
        Processes at once on a CPU; the result is the same for any number.
    device : torch.device
        Where.
    done : callable
        Told each finished model, and whether it was trained just now.
    """
    data_ids = set(bundle.panels.manifest["lineage"])
    missing = []
    for one in wanted:
        found = registry.find(settings.models, one.window.name, data_ids, settings, one.seed)
        if found is None:
            missing.append(one)
        else:
            done(one, found, False)
    together = _one_a_process if device.type == "cpu" else _in_stacks
    for one, entry in together(missing, bundle, folder, settings, jobs, device) if missing else ():
        done(one, entry, True)


Finished = Iterator[tuple[Wanted, registry.Entry]]


def _one_a_process(
    missing: Sequence[Wanted], bundle: Bundle, folder: Path, settings: Settings, jobs: int, device: torch.device
) -> Finished:
    if min(jobs, len(missing)) == 1:
        from engine.model.device import one_thread

        with one_thread():
            for one in missing:
                yield one, _train([one], bundle.folder, folder, settings, device)[0]
        return
    pieces = {one: ([one], bundle.folder, folder, settings, device) for one in missing}
    for one, (entry,) in in_processes(_train, pieces, min(jobs, len(missing)), _in_a_worker):
        yield one, entry


def _in_stacks(
    missing: Sequence[Wanted], bundle: Bundle, folder: Path, settings: Settings, jobs: int, device: torch.device
) -> Finished:
    for at in range(0, len(missing), STACKED):
        some = missing[at : at + STACKED]
        yield from zip(some, _train(some, bundle.folder, folder, settings, device), strict=True)


def _in_a_worker() -> None:
    from engine.model.device import on_one_thread

    on_one_thread()


def _train(
    some: Sequence[Wanted], bundle_folder: Path, folder: Path, settings: Settings, device: torch.device
) -> list[registry.Entry]:
    """Train some models at once and write them."""
    from engine.model.curves import write_curves
    from engine.model.train import train
    from engine.panels.reader import Panels
    from engine.panels.store import SUBFOLDER

    samples, panels = Samples.open(folder), Panels(bundle_folder / SUBFOLDER)
    splits = [Split(samples, one.window, settings.model.sample_every) for one in some]
    entries = []
    for one, trained in zip(some, train(splits, [one.seed for one in some], settings, device), strict=True):
        write_curves(settings.home / "curves" / f"{one.window.name}-seed-{one.seed}", trained)
        entries.append(registry.save(settings.models, trained, one.window, panels, settings, one.seed))
    return entries
