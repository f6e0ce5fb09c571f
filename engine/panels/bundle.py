"""Finding and opening an ingested bundle: the newest complete ingestion; a dead one is never picked up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from zipline.assets import AssetFinder
from zipline.data.adjustments import SQLiteAdjustmentReader

from engine.errors import NoBundle
from engine.panels.places import DEFAULT, bundle_root, ingestions
from engine.panels.reader import Panels
from engine.panels.store import ADJUSTMENTS_FILE, ASSETS_FILE, SUBFOLDER

__all__ = ["DEFAULT", "Bundle", "open_bundle"]


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
    known = [path for made, path in ingestions(bundle_root(name, environ)) if timestamp is None or made <= timestamp]
    if not known:
        raise NoBundle(
            f"no data for bundle {name!r}",
            "nothing was ingested",
            f"Run `zipline ingest -b {name}` (needs data in the lake).",
        )
    return Bundle(name, known[-1], Panels(known[-1] / SUBFOLDER))
