"""Finding and opening an ingested bundle: the newest complete ingestion; a dead one is never picked up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import zipline.utils.paths as zipline_paths
from zipline.assets import ASSET_DB_VERSION, AssetFinder
from zipline.data.adjustments import SQLiteAdjustmentReader
from zipline.data.bundles.core import from_bundle_ingest_dirname

from engine.errors import NoBundle
from engine.panels.reader import Panels
from engine.panels.store import SUBFOLDER

DEFAULT = "ashare"
ASSETS_FILE = f"assets-{ASSET_DB_VERSION}.sqlite"
ADJUSTMENTS_FILE = "adjustments.sqlite"


@dataclass(frozen=True)
class Bundle:
    """One ingestion, open for reading.

    Attributes
    ----------
    name : str
        The name it was registered and ingested under.
    folder : Path
        The ingestion's folder below zipline's root.
    panels : Panels
        Its end-of-day arrays.
    """

    name: str
    folder: Path
    panels: Panels

    @cached_property
    def asset_finder(self) -> AssetFinder:
        """Zipline's look-up of assets."""
        return AssetFinder(str(self.folder / ASSETS_FILE))

    @cached_property
    def adjustments(self) -> SQLiteAdjustmentReader:
        """Zipline's reader of splits and dividends."""
        return SQLiteAdjustmentReader(str(self.folder / ADJUSTMENTS_FILE))


def ingestions(name: str, environ: Mapping[str, str] = os.environ) -> list[tuple[pd.Timestamp, Path]]:
    """Return the complete ingestions of a bundle with their times (UTC, zone-naive), oldest first."""
    root = Path(zipline_paths.data_path([name], environ=environ))
    folders = [path for path in root.glob("[!.]*") if (path / SUBFOLDER / "manifest.json").is_file()]
    return sorted((from_bundle_ingest_dirname(path.name), path) for path in folders)


def open_bundle(
    name: str = DEFAULT, timestamp: pd.Timestamp | None = None, environ: Mapping[str, str] = os.environ
) -> Bundle:
    """Open the newest ingestion that is not later than ``timestamp``.

    Raises
    ------
    NoBundle
        There is none.
    """
    if timestamp is not None and timestamp.tzinfo is not None:
        timestamp = timestamp.tz_convert("UTC").tz_localize(None)
    known = [path for made, path in ingestions(name, environ) if timestamp is None or made <= timestamp]
    if not known:
        raise NoBundle(
            f"no data for bundle {name!r}",
            "nothing was ingested",
            f"Run `zipline ingest -b {name}` (needs data in the lake).",
        )
    return Bundle(name, known[-1], Panels(known[-1] / SUBFOLDER))
