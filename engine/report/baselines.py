"""Trained baselines on the sessions of a run, where they are kept from before: nothing is trained for a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from engine.model.baselines import BASELINES, answers_file
from engine.model.evaluate import rankings
from engine.model.ic import rank_ic
from engine.model.labels import lag
from engine.model.registry import SECTIONS
from engine.model.samples import Samples, samples_folder
from engine.model.windows import Window, window
from engine.panels.bundle import Bundle
from engine.panels.reader import Panels
from engine.report.opened import Run
from engine.report.scored import Rows
from engine.settings import Settings

NETWORK = "network"


def baseline_answers(run: Run, panels: Panels, settings: Settings | None, rows: Rows) -> list[pl.DataFrame]:
    """Return the rank IC of each baseline whose answers are kept for all months of some sessions.

    Parameters
    ----------
    run : Run
        The run; its ranking is looked at.
    panels : Panels
        Of the run's own data, else nothing fits.
    settings : Settings or None
        In force: where things are kept. Nothing is found where universe, factors, labels or model are not the run's.
    rows : array of int64
        The sessions, as rows of the panels.

    Returns
    -------
    list of DataFrame
        name, kind, session, rank_ic, names; sessions without a label are left out.
    """
    ranking = str(run.manifest["settings"]["selection"].get("rank_by", "p_up"))
    if settings is None or ranking == "expected_excess" or not _same(run, settings):  # which baselines do not estimate
        return []
    folder = samples_folder(Bundle("", panels.folder.parent, panels), settings)
    if not folder.with_name(f"{folder.name}-baselines").exists() or not (folder / "manifest.json").exists():
        return []
    samples = Samples.open(folder)
    windows = _windows(rows, panels, samples, settings)
    return [frame for name in BASELINES for frame in _of(name, ranking, windows, folder, samples, panels, settings)]


def _same(run: Run, settings: Settings) -> bool:
    had = run.manifest["settings"]
    return all(had.get(name) == getattr(settings, name).model_dump(mode="json") for name in SECTIONS)


def _windows(rows: Rows, panels: Panels, samples: Samples, settings: Settings) -> dict[int, Window]:
    """Return the window of the month of each session."""
    months = {int(row): str(panels.days[row].astype("datetime64[M]")) for row in rows}
    first, step = int(samples.rows[0]), lag(settings.labels)
    made = {month: window(month, panels.days, first, step, settings.model) for month in dict.fromkeys(months.values())}
    return {row: made[month] for row, month in months.items()}


def _of(
    name: str,
    ranking: str,
    windows: dict[int, Window],
    folder: Path,
    samples: Samples,
    panels: Panels,
    settings: Settings,
) -> Iterator[pl.DataFrame]:
    """Yield the rank ICs of a baseline, if its answers for all these windows are there."""
    labelled = {
        row: made for row, made in windows.items() if samples.between(row, row) != samples.between(row, row - 1)
    }
    files = {made: answers_file(folder, settings, name, made) for made in dict.fromkeys(labelled.values())}
    if not files or not all(path.exists() for path in files.values()):
        return
    said = {made: np.load(path, mmap_mode="r") for made, path in files.items()}
    found = []
    for row, made in labelled.items():
        begin, part = samples.between(made.known_until + 1, made.known_until).start, samples.between(row, row)
        answer = np.array(said[made][part.start - begin : part.stop - begin], dtype=np.float64)
        (coefficient,), (names,) = rank_ic(
            rankings(answer)[ranking][None], np.array(samples.excess[part], dtype=np.float64)[None]
        )
        found.append((name, "trained", panels.days[row].item(), float(coefficient), int(names)))
    schema = {"name": pl.String, "kind": pl.String, "session": pl.Date, "rank_ic": pl.Float64, "names": pl.Int64}
    yield pl.DataFrame(found, schema=schema, orient="row")
