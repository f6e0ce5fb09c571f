"""Two runs side by side: what was set differently, what came of it, and whether chance explains it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import DataNotFit
from engine.report import statistics as stats
from engine.report import trust
from engine.report.opened import Run

Floats = npt.NDArray[np.float64]

IDENTITY = ("strategy", "script_sha256", "data_id", "code_id", "models", "capital", "start", "end")
"""What a run was made of, beside its settings."""
EQUAL = 1e-12
"""Relative difference up to which two values count as equal."""


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by ``section.key``."""
    found: dict[str, Any] = {}
    for name, below in value.items():
        found |= flat(below, f"{prefix}{name}.") if isinstance(below, Mapping) else {f"{prefix}{name}": below}
    return found


@dataclass(frozen=True)
class Parted:
    """The first session in which two runs had earned differently.

    Attributes
    ----------
    session : date
        The session.
    one, other : float
        Growth since the first session both have, the start being 1.
    """

    session: dt.date
    one: float
    other: float


@dataclass(frozen=True)
class Comparison:
    """Two runs over the sessions both have.

    Attributes
    ----------
    one, other : Run
        The runs.
    """

    one: Run
    other: Run

    def settings(self) -> list[tuple[str, Any, Any]]:
        """Return the settings that differ: name, of the one, of the other; None where one has none."""
        return _differing(flat(self.one.manifest["settings"]), flat(self.other.manifest["settings"]))

    def identity(self) -> list[tuple[str, Any, Any]]:
        """Return what else they were made of differently: name, of the one, of the other."""
        mine, theirs = ({name: run.manifest.get(name) for name in IDENTITY} for run in (self.one, self.other))
        return _differing(mine, theirs)

    @cached_property
    def sessions(self) -> pl.Series:
        """The sessions both have."""
        return self._shared["session"]

    @cached_property
    def _shared(self) -> pl.DataFrame:
        mine, theirs = (
            run.perf.select("session", "benchmark_return").with_columns(daily=pl.Series(run.returns))
            for run in (self.one, self.other)
        )
        return mine.join(theirs, on="session", suffix="_other", maintain_order="left")

    @property
    def year(self) -> float:
        """Sessions a year."""
        return stats.sessions_a_year(self.sessions[0], self.sessions[-1])

    @property
    def _daily(self) -> tuple[Floats, Floats]:
        return self._shared["daily"].to_numpy(), self._shared["daily_other"].to_numpy()

    def figures(self) -> pl.DataFrame:
        """Return figures over the sessions both have: figure, one, other, difference (one less other)."""
        names = ("benchmark_return", "benchmark_return_other")
        found = [
            stats.figures(daily, self._shared[name].to_numpy(), self.year)
            for daily, name in zip(self._daily, names, strict=True)
        ]
        frame = pl.DataFrame({"figure": list(found[0]), **_columns(found)})
        return frame.with_columns(difference=pl.col("one") - pl.col("other"))

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return 95 % intervals of the differences by a paired block bootstrap (``trust.paired_intervals``)."""
        return trust.paired_intervals(*self._daily, self.year)

    def parted(self) -> Parted | None:
        """Return where the two part, None where they never do."""
        one, other = (np.cumprod(1.0 + daily) for daily in self._daily)
        apart = np.flatnonzero(np.abs(one - other) > EQUAL * np.maximum(np.abs(one), np.abs(other)))
        if not len(apart):
            return None
        return Parted(self.sessions[int(apart[0])], float(one[apart[0]]), float(other[apart[0]]))


def _columns(found: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: list(values.values()) for name, values in zip(("one", "other"), found, strict=True)}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = [*one, *(name for name in other if name not in one)]
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def compare(one: Run, other: Run) -> Comparison:
    """Return two runs side by side.

    Raises
    ------
    DataNotFit
        They share no session.
    """
    found = Comparison(one, other)
    if not len(found.sessions):
        periods = " and ".join(f"{run.manifest['start']} to {run.manifest['end']}" for run in (one, other))
        raise DataNotFit(
            f"{one.folder.name} and {other.folder.name} cannot be compared",
            f"they share no session ({periods})",
            "Name two runs of the same days.",
        )
    return found
