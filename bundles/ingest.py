"""``zipline ingest -b ashare``: the build, made atomic. A reader takes the old ingestion or the new one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bundles.build import Step, build
from bundles.lake import Lake
from engine import settings as settings_module
from engine.errors import Halted
from engine.files import whole_folder


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
    place = Path(output_dir)
    lock = FileLock(place.parent / ".ingest.lock", timeout=0)
    try:
        with lock:
            _sweep(place)
            with whole_folder(place) as beside:
                build(Lake(settings_module.load().lake), beside, _announcer(show_progress))
    except Timeout:
        _remove_if_empty(place)
        raise Halted("this bundle is being ingested", "another process holds its lock", "Wait until it ends.") from None
    except BaseException:
        _remove_if_empty(place)
        raise


def _announcer(show_progress: bool) -> Step:
    if not show_progress:
        return lambda step: None
    from rich.console import Console

    console = Console(stderr=True)
    return lambda step: console.print(f"[dim]{step}[/dim]")


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
