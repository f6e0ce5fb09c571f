"""Every month of a range, several at once: one process a core, one thread a process, finished months skipped."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from engine.model import registry
from engine.model.labels import lag
from engine.model.samples import Samples
from engine.model.windows import Window, window
from engine.panels.bundle import Bundle
from engine.settings import Settings


def windows(months: Sequence[str], bundle: Bundle, samples: Samples, settings: Settings) -> list[Window]:
    """Return the windows of the months.

    Raises
    ------
    NotEnoughHistory, OutsideData
        A month cannot be trained on this bundle.
    """
    first, step = int(samples.rows[0]), lag(settings.labels)
    return [window(month, bundle.panels.days, first, step, settings.model) for month in months]


def train_months(
    wanted: Sequence[Window],
    bundle: Bundle,
    folder: Path,
    settings: Settings,
    jobs: int,
    done: Callable[[registry.Entry, bool], None] = lambda entry, fresh: None,
) -> None:
    """Train what the registry lacks.

    Parameters
    ----------
    wanted : sequence of Window
        The months.
    bundle : Bundle
        The data.
    folder : Path
        Of the samples.
    settings : Settings
        Of the models.
    jobs : int
        Processes at once; the result is the same for any number.
    done : callable
        Told each finished model, and whether it was trained just now.
    """
    data_ids, seed = set(bundle.panels.manifest["lineage"]), settings.model.seed
    missing = []
    for one in wanted:
        found = registry.find(settings.models, one.month, data_ids, settings, seed)
        if found is None:
            missing.append(one)
        else:
            done(found, False)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(missing)), context, initializer=_single_thread) as pool:
        tasks = [pool.submit(_train_one, one, bundle.name, bundle.folder, folder, settings) for one in missing]
        try:
            for task in as_completed(tasks):
                done(task.result(), True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def _train_one(one: Window, name: str, bundle_folder: Path, folder: Path, settings: Settings) -> registry.Entry:
    from engine.model.train import train
    from engine.panels.reader import Panels
    from engine.panels.store import SUBFOLDER

    seed = settings.model.seed
    trained = train(Samples.open(folder), one, settings, seed)
    return registry.save(settings.models, trained, one, Panels(bundle_folder / SUBFOLDER), settings, seed)


def cores() -> int:
    """Return the processors this process may use."""
    return len(os.sched_getaffinity(0))
