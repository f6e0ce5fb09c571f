"""What a build may take over from an earlier ingestion: the sessions it holds, if a full build would make them again.

An ingestion qualifies when it was built by the same code from an earlier version of the lake that the view descends
from, and every row of a daily table that came since lies after its last session. What is known of the assets, the
names and the suspensions is compared by the build itself, which raises ``Changed`` where old sessions would differ.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bundles
import engine
from bundles.lake import Lake, Version
from engine.errors import NoBundle
from engine.files import read_json
from engine.panels.reader import Panels
from engine.panels.store import FIELDS, FORMAT, SUBFOLDER, Asset, TakenOver

DAILY = ("daily", "adj_factor", "daily_basic", "stk_limit")
"""The tables whose rows stand in the panels as they are: the large ones, of which only what is new is read."""
CODES_FILE = "codes.json"


class Changed(Exception):
    """A full build would make other panels of the sessions an earlier ingestion holds."""


@dataclass(frozen=True)
class Codes:
    """What the daily tables hold of codes, for the next build.

    Attributes
    ----------
    first_bars : dict of str to date
        The first bar of each code that has one.
    strangers : frozenset of str
        Codes with rows that stand in no panel, for they are of no asset.
    """

    first_bars: dict[str, dt.date]
    strangers: frozenset[str]

    def to_json(self) -> dict[str, Any]:
        """Return what ``codes.json`` holds."""
        first = {code: day.isoformat() for code, day in self.first_bars.items()}
        return {"first_bars": first, "strangers": sorted(self.strangers)}

    @classmethod
    def read(cls, folder: Path) -> Codes:
        """Read them from an ingestion."""
        value = read_json(folder / CODES_FILE)
        first = {code: dt.date.fromisoformat(day) for code, day in value["first_bars"].items()}
        return cls(first, frozenset(value["strangers"]))


@dataclass(frozen=True)
class Earlier:
    """An ingestion that qualifies.

    Attributes
    ----------
    panels : Panels
        What it holds.
    codes : Codes
        What its build met.
    fresh : Version
        The view, of the daily tables only the parts that came since.
    """

    panels: Panels
    codes: Codes
    fresh: Version

    @classmethod
    def find(cls, folders: Iterable[Path], lake: Lake, view: Version) -> Earlier | None:
        """Return the first of some ingestions that was built from a version the view descends from, if it qualifies."""
        if view.data_id != view.lineage[-1]:
            return None  # the view is older than any version: whatever was built holds rows it must not
        for folder in folders:
            found = _opened(folder)
            if found is not None and found.data_id in (f"{data_id}-{FORMAT}" for data_id in view.lineage):
                return cls._qualified(found, folder, lake, view)
        return None

    @classmethod
    def _qualified(cls, panels: Panels, folder: Path, lake: Lake, view: Version) -> Earlier | None:
        manifest = panels.manifest
        base = next((one for one in lake.versions() if f"{one.data_id}-{FORMAT}" == panels.data_id), None)
        if base is None or manifest["code_id"] != code_id():
            return None
        if manifest["counts"]["rows_known_later"] or manifest["counts"]["rows_beyond"]:
            return None  # parts that count as read hold rows that no panel has
        held = {name: base.parts.get(name, ()) for name in DAILY}
        if any(view.parts.get(name, ())[: len(parts)] != parts for name, parts in held.items()):
            return None
        since = {name: view.parts.get(name, ())[len(parts) :] for name, parts in held.items()}
        fresh = replace(view, parts={**view.parts, **since})
        last = panels.days[-1]
        for name in DAILY:
            for frame in lake.frames(fresh, name, ["trade_date"]):
                if frame.height and frame["trade_date"].min() <= last.astype(dt.date):
                    return None
        return cls(panels, Codes.read(folder), fresh)

    def taken_over(self, days: npt.NDArray[np.datetime64], assets: tuple[Asset, ...]) -> TakenOver:
        """Return where the sessions and assets of the ingestion stand among new ones.

        Raises
        ------
        Changed
            A session or an asset is another than it was, or a new asset has rows in the sessions held.
        """
        held, new = self.panels.assets, {asset.ts_code: asset for asset in assets}
        kept = [new.pop(asset.ts_code, None) for asset in held]
        if not np.array_equal(self.panels.days, days[: len(self.panels.days)]):
            raise Changed("the calendar")
        if any(now is None or _before_delisting(now) != _before_delisting(was) for was, now in zip(held, kept)):  # noqa: B905
            raise Changed("a stock")
        if any(code in self.codes.strangers for asset in new.values() for code, _ in asset.codes):
            raise Changed("a stock that was not listed in stock_basic")
        sids = np.array([now.sid for now in kept if now is not None], dtype=np.intp)
        return TakenOver(self.panels.folder, (len(self.panels.days), len(held)), sids)


_LATER = ("sid", "first_bar", "delist_date", "delisting")
"""What of an asset no session before its delisting depends on."""
_before_delisting = attrgetter(*(field.name for field in fields(Asset) if field.name not in _LATER))


def _opened(folder: Path) -> Panels | None:
    """Return the panels of an ingestion if each has the size it must have."""
    try:
        panels = Panels(folder / SUBFOLDER)
        shape = panels.manifest["sessions"], panels.manifest["assets"]
        return panels if all(panels.field(name).shape == shape for name in FIELDS) else None
    except (NoBundle, OSError, ValueError, KeyError):
        return None


@cache
def code_id() -> str:
    """Return a hash of the source and the rule tables that make a bundle: changed code makes it anew."""
    roots = (Path(path) for package in (bundles, engine) for path in package.__path__)
    here, there = roots
    files = [
        *sorted(here.glob("*.py")),
        *sorted((here / "schema").glob("*.sql")),
        *sorted((there / "panels").glob("*.py")),
        *sorted((there / "market").glob("*.py")),
        *sorted((there / "market" / "data").glob("*.csv")),
    ]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
