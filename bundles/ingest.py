"""The build, made atomic: ``zipline ingest -b ashare`` and ``ashare data build``.

A reader takes the old ingestion or the new one.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from bundles.build import Step, build
from bundles.lake import Lake
from engine import clock
from engine import settings as settings_module
from engine.errors import Halted, UsageError
from engine.files import fsync_path, whole_folder
from engine.panels.places import DEFAULT, bundle_root, folder_name, ingestions, time_of


def ingest(
    environ: Any,
    asset_db_writer: Any,
    minute_bar_writer: Any,
    daily_bar_writer: Any,
    adjustment_writer: Any,
    calendar: Any,
    start_session: Any,
    end_session: Any,
    cache: Any,
    show_progress: bool,
    output_dir: str,
) -> None:
    """Build the bundle zipline asked for; its writers are not used.

    zipline has made ``output_dir`` before it calls this; until the finished folder replaces it, it stays
    empty, and the reader takes no folder without a manifest. If the build fails it is removed.
    """
    publish(Path(output_dir), announcer() if show_progress else lambda step: None)


def ingest_now(step: Step, full: bool = False) -> Path:
    """Build the newest data as ``zipline ingest`` does, and return the ingestion's folder.

    Parameters
    ----------
    step : callable
        Told what is being done.
    full : bool
        Whether to take nothing over from an earlier ingestion.
    """
    place = bundle_root(DEFAULT, os.environ) / folder_name(_utc(clock.now()))
    publish(place, step, full=full)
    return place


def ingest_view(day: dt.date, step: Step) -> Path:
    """Build what was known at the close of a day, stamped with its end, and return the ingestion's folder.

    Whoever asks zipline for the bundle as of the next day gets it; the newest ingestion stays the one in use.
    One of that day that was there is replaced: the new one is stamped a microsecond later, then the old one goes.

    Raises
    ------
    UsageError
        The day has not ended: an ingestion stamped with its end would hide the newest one.
    """
    now = clock.now()
    if day >= now.date():
        raise UsageError(f"{day} has not ended", "what will be known of it is not known", "Leave --as-known-at out.")
    end = _utc(dt.datetime.combine(day, dt.time(23, 59, 59), now.tzinfo))
    root = bundle_root(DEFAULT, os.environ)
    last = end + pd.Timedelta(milliseconds=1)
    older = [(made, path) for made, path in ingestions(root) if end <= made < last]
    place = root / folder_name(older[-1][0] + pd.Timedelta(microseconds=1) if older else end)
    publish(place, step, as_known_at=day)
    for _, path in older:
        _remove(path)
    return place


def after(folder: Path) -> str:
    """Return a moment at which an ingestion of a view is the newest: the midnight after its day."""
    return (time_of(folder).floor("s") + pd.Timedelta(seconds=1)).isoformat()


def publish(place: Path, step: Step, as_known_at: dt.date | None = None, full: bool = False) -> None:
    """Build an ingestion beside its place and move it there in one step.

    Parameters
    ----------
    place : Path
        Where it shall stand: absent or empty.
    step : callable
        Told what is being done.
    as_known_at : date, optional
        The day whose knowledge is built.
    full : bool
        Whether to take nothing over from an earlier ingestion.

    Raises
    ------
    Halted
        Another process is building this bundle.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.parent / ".ingest.lock", timeout=0)
    try:
        with lock:
            _sweep(place)
            earlier = [] if full else [path for _, path in reversed(ingestions(place.parent))]
            with whole_folder(place) as beside:
                build(Lake(settings_module.load().lake), beside, step, as_known_at, earlier)
    except Timeout:
        _remove_if_empty(place)
        raise Halted("this bundle is being ingested", "another process holds its lock", "Wait until it ends.") from None
    except BaseException:
        _remove_if_empty(place)
        raise


def _utc(moment: dt.datetime) -> pd.Timestamp:
    """Return a moment as zipline names ingestions by it: UTC, zone-naive."""
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)


def announcer() -> Step:
    """Return what shows the steps of a build on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    return lambda step: console.print(f"[dim]{step}[/dim]")


def _remove(folder: Path) -> None:
    """Remove an ingestion: at once for a reader, whenever this process may die."""
    hidden = folder.with_name(f".{folder.name}.partial")
    folder.rename(hidden)
    fsync_path(folder.parent)
    shutil.rmtree(hidden)


def _sweep(place: Path) -> None:
    """Remove what ingestions that died left beside this one; zipline's own folders are left alone."""
    for path in place.parent.glob("[0-9]*"):
        if path != place and path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for path in place.parent.glob(".[0-9]*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def _remove_if_empty(place: Path) -> None:
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
