"""Opening a run folder: whole, or one error that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import DataNotFit
from engine.files import read_json
from engine.report import statistics as stats
from engine.report.runs import ACTIONS, ORDERS, PERF, POSITIONS, SCRIPT

Floats = npt.NDArray[np.float64]

TABLES: Mapping[str, Mapping[str, Any]] = {
    "perf": PERF,
    "orders": ORDERS,
    "positions": POSITIONS,
    "actions": ACTIONS,
}
"""What every run folder has, with its columns."""
MORE = ("decisions", "events", "ic", "scores", "attention")
"""What it has where the script noted it."""
_NAMED = (
    "id",
    "strategy",
    "start",
    "end",
    "sessions",
    "capital",
    "settings",
    "data_id",
    "code_id",
    "renamed",
    "models",
)
_PROBLEMS = (OSError, ValueError, pl.exceptions.PolarsError)


@dataclass(frozen=True)
class Run:
    """A run folder that was found whole.

    Attributes
    ----------
    folder : Path
        Where it is.
    manifest : dict
        What it was.
    perf, orders, positions, actions : DataFrame
        What it did (``engine.report.runs`` has their columns).
    """

    folder: Path
    manifest: dict[str, Any]
    perf: pl.DataFrame
    orders: pl.DataFrame
    positions: pl.DataFrame
    actions: pl.DataFrame

    @cached_property
    def returns(self) -> Floats:
        """Daily returns, net of all costs, (sessions,)."""
        flows = self.perf["flow"].to_numpy()
        return stats.returns(self.perf["net_value"].to_numpy(), self.manifest["capital"], flows)

    @cached_property
    def year(self) -> float:
        """Sessions a year, by the calendar."""
        return stats.sessions_a_year(self.perf["session"][0], self.perf["session"][-1])

    @property
    def renamed(self) -> dict[str, str]:
        """Today's code for each earlier one of what was ordered."""
        names: dict[str, str] = self.manifest["renamed"]
        return names

    def more(self, name: str) -> pl.DataFrame | None:
        """Return one of the tables not every run has, None where it has not.

        Raises
        ------
        DataNotFit
            It is there and cannot be read.
        """
        path = self.folder / f"{name}.parquet"
        try:
            return pl.read_parquet(path) if path.exists() else None
        except _PROBLEMS as error:
            raise _unfinished(self.folder, f"{path.name} cannot be read ({_first(error)})") from None

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return all tables by name, those that are not there left out."""
        found = {name: self.more(name) for name in MORE}
        there = {name: table for name, table in found.items() if table is not None}
        return {name: getattr(self, name) for name in TABLES} | there

    def script(self) -> str | None:
        """Return the text of the strategy, None where the run kept none."""
        path = self.folder / SCRIPT
        return path.read_text("utf-8") if path.exists() else None


def open_run(folder: Path) -> Run:
    """Read a run folder.

    Raises
    ------
    DataNotFit
        It is no finished run: absent, empty, half-written, damaged or of something else.
    """
    if not folder.is_dir():
        raise _unfinished(folder, "there is no such folder" if not folder.exists() else "it is no folder")
    manifest = _manifest(folder)
    frames = {name: _table(folder, name, schema) for name, schema in TABLES.items()}
    perf = frames["perf"]
    if not perf.height or perf.height != manifest["sessions"]:
        why = f"perf.parquet has {perf.height} sessions, manifest.json says {manifest['sessions']}"
        raise _unfinished(folder, why)
    return Run(folder, manifest, **frames)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_json(folder / "manifest.json")
    except FileNotFoundError:
        raise _unfinished(folder, "it has no manifest.json") from None
    except _PROBLEMS as error:
        raise _unfinished(folder, f"manifest.json cannot be read ({_first(error)})") from None
    if not isinstance(manifest, dict):
        raise _unfinished(folder, "manifest.json holds no object")
    missing = [name for name in _NAMED if name not in manifest]
    if missing:
        raise _unfinished(folder, f"manifest.json has no {missing[0]}")
    return manifest


def _table(folder: Path, name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise _unfinished(folder, f"it has no {path.name}") from None
    except _PROBLEMS as error:
        raise _unfinished(folder, f"{path.name} cannot be read ({_first(error)})") from None
    wrong = [column for column, kind in schema.items() if frame.schema.get(column) != kind]
    if wrong:
        raise _unfinished(folder, f"{path.name} has no column {wrong[0]} of the type it should have")
    return frame


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def _unfinished(folder: Path, why: str) -> DataNotFit:
    return DataNotFit(f"{folder} is no finished run", why, "Name a folder below runs, or run it again.")
