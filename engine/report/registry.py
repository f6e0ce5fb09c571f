"""The ledger of trials: every run that was finished, so that a result is judged by how many were tried.

``runs/trials.jsonl`` gets a line a run, before the run's folder appears, and never loses one: whoever removes the
folder of a bad run does not remove the trial. Runs of ``ashare backtest``, ``zipline run``, the three of an envelope
and those of ``audit-design`` all count; they end in the same place.

What belongs together: runs whose script has the same file name, and runs of the same script under another name, and so
on from one to the next. A strategy is mostly edited under its name, and a copy is mostly run once before it is edited,
so neither an edit nor a new name begins a new count. Two strategies that share a name are counted together: too many
trials make a result look worse than it is, too few make it look better. Runs on other sessions do not count; runs that
overlap do, whatever data they were made on.

A run again of the same script, settings, models, data, sessions and capital counts once. Of the settings those do not
make another trial that no result depends on (``IDLE``). A run that never had a return has no Sharpe ratio to be chosen
for and is left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from filelock import FileLock

from engine.errors import Damaged
from engine.files import fsync_path, read_json
from engine.report import statistics as stats
from engine.report import trust

Floats = npt.NDArray[np.float64]

FILE, _LOCK = "trials.jsonl", ".trials.lock"
IDLE = {"home", "profile", "capital", "language", "tushare", "messages", "report", "paper", "broker"}
"""Sections of the settings no result of a run depends on."""
_IDLE_KEYS = {"execution": {"audit"}, "prediction": {"device"}}
_NO_SCRIPT = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Trial:
    """One finished run, as the ledger has it.

    Attributes
    ----------
    id : str
        Of the run; the name of its folder.
    made : str
        When.
    strategy, script : str
        Name of the file, hash of its text.
    settings, models : str
        Hashes of what the settings were and of which models were asked.
    data_id, code_id : str
        Of data and engine.
    start, end : str
        First and last session.
    capital : float
        CNY.
    n : int
        Sessions.
    sharpe, skew, kurtosis : float or None
        Of the daily returns, the Sharpe ratio of a session; None where they do not vary.
    """

    id: str
    made: str
    strategy: str
    script: str
    settings: str
    models: str
    data_id: str
    code_id: str
    start: str
    end: str
    capital: float
    n: int
    sharpe: float | None
    skew: float | None
    kurtosis: float | None

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same in a run made again."""
        return self.script, self.settings, self.models, self.data_id, self.start, self.end, self.capital


@dataclass(frozen=True)
class Trials:
    """The distinct trials a run is one of.

    Attributes
    ----------
    every : tuple of Trial
        All runs that belong together and overlap, those made again included; the oldest first.
    runs : Path
        Where their folders are, as far as they are still there.
    """

    every: tuple[Trial, ...]
    runs: Path

    @cached_property
    def distinct(self) -> tuple[Trial, ...]:
        """One of each: of those made again the newest whose folder is there, else the newest."""
        kept: dict[tuple[object, ...], Trial] = {}
        for one in self.every:
            before = kept.get(one.identity)
            if one.sharpe is not None and (before is None or self._there(one) or not self._there(before)):
                kept[one.identity] = one
        return tuple(kept.values())

    @property
    def count(self) -> int:
        """How many; what the deflated Sharpe ratio goes by."""
        return len(self.distinct)

    def variance(self, n: int) -> float:
        """Return the variance of their Sharpe ratios, each as if it were of so many sessions; 0 of less than two.

        By chance alone a Sharpe ratio scatters with one over the root of its sessions. That of a short trial is brought
        to the length of the result that is judged, so that a first try over a week does not set the measure.
        """
        values = [one.sharpe * math.sqrt(one.n / n) for one in self.distinct if one.sharpe is not None]
        return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0

    def panel(self, sessions: pl.Series) -> Floats:
        """Return the daily returns of the trials that have all of some sessions, (sessions, trials)."""
        columns = [own for own in (self._on(one, sessions) for one in self.distinct) if own is not None]
        whole = [own for own in columns if np.isfinite(own).all()]
        return np.column_stack(whole) if whole else np.empty((len(sessions), 0))

    def effective(self, sessions: pl.Series) -> float:
        """Return how many independent trials they resemble, by their mean correlation in some sessions.

        Trials whose folder is gone count as independent. It is told, and nothing is judged by it:
        ``trust.deflated_sharpe`` says why.
        """
        columns = [own for own in (self._on(one, sessions) for one in self.distinct) if own is not None]
        if not columns:
            return float(self.count)
        alike = trust.effective_trials(len(columns), trust.mean_correlation(np.column_stack(columns)))
        return alike + self.count - len(columns)

    def _there(self, one: Trial) -> bool:
        return (self.runs / one.id / "perf.parquet").exists()

    def _on(self, one: Trial, sessions: pl.Series) -> Floats | None:
        """Return a trial's returns in some sessions, NaN where it has none; None where its folder has none to read."""
        try:
            own = daily_returns(self.runs / one.id)
        except _UNREADABLE:
            return None
        joined = pl.DataFrame({"session": sessions}).join(own, on="session", how="left", maintain_order="left")
        return joined["daily"].to_numpy()


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError)


def daily_returns(folder: Path) -> pl.DataFrame:
    """Return session and daily return of a run folder."""
    return _daily(read_json(folder / "manifest.json"), pl.read_parquet(folder / "perf.parquet"))


def _daily(manifest: Mapping[str, Any], perf: pl.DataFrame) -> pl.DataFrame:
    own = stats.returns(perf["net_value"].to_numpy(), manifest["capital"], perf["flow"].to_numpy())
    return perf.select("session").with_columns(daily=pl.Series(own))


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a short hash of the settings a result depends on, as a manifest has them."""
    kept = {
        name: {key: at for key, at in value.items() if key not in _IDLE_KEYS.get(name, ())}
        if isinstance(value, Mapping)
        else value
        for name, value in settings.items()
        if name not in IDLE
    }
    return _hash(kept)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def trial_of(manifest: Mapping[str, Any], perf: pl.DataFrame) -> Trial:
    """Return what the ledger notes of a run."""
    found = trust.moments(_daily(manifest, perf)["daily"].to_numpy())
    figures = (value if math.isfinite(value) else None for value in (found.sharpe, found.skew, found.kurtosis))
    return Trial(
        str(manifest["id"]),
        str(manifest.get("made", "")),
        str(manifest["strategy"]),
        str(manifest.get("script_sha256", _NO_SCRIPT)),
        fingerprint(manifest["settings"]),
        _hash(sorted(manifest["models"])),
        str(manifest["data_id"]),
        str(manifest["code_id"]),
        str(manifest["start"]),
        str(manifest["end"]),
        float(manifest["capital"]),
        found.n,
        *figures,
    )


def note_trial(runs: Path, trial: Trial) -> None:
    """Add a line to the ledger, durably; runs that end at the same time wait for each other.

    The first line takes the folders that are there already with it. A line that was cut off, by a loss of power say, is
    taken away before: the run it was of never appeared.
    """
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / FILE
    with FileLock(runs / _LOCK):
        lines = [trial] if path.exists() else [*_in_folders(runs, {trial.id}), trial]
        with path.open("ab+") as handle:
            handle.seek(0)
            content = handle.read()
            end = content.rfind(b"\n") + 1
            if end < len(content):
                whole = _parsed(content[end:]) is not None
                handle.truncate(len(content) if whole else end)
                handle.write(b"\n" if whole else b"")
            handle.write(b"".join(json.dumps(asdict(one), ensure_ascii=False).encode() + b"\n" for one in lines))
            handle.flush()
            os.fsync(handle.fileno())
        fsync_path(runs)


def read_trials(runs: Path) -> list[Trial]:
    """Return the lines of the ledger, and what run folders there are that it does not know, the oldest first.

    Raises
    ------
    Damaged
        A line but the last one cannot be read: the count would be too low.
    """
    found: list[Trial] = []
    try:
        lines = (runs / FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        lines = []
    for number, line in enumerate(lines, 1):
        one = _parsed(line)
        if one is not None:
            found.append(one)
        elif line.strip() and number < len(lines):
            raise Damaged(
                f"{runs / FILE} cannot be read", f"line {number} is no trial", "Restore the file from a copy."
            )
    found += _in_folders(runs, {one.id for one in found})
    return sorted(found, key=lambda one: (one.made, one.id))


_NAMES = tuple(field.name for field in fields(Trial))


def _parsed(line: bytes) -> Trial | None:
    try:
        value = json.loads(line)
        return Trial(**{name: value[name] for name in _NAMES})
    except (ValueError, KeyError, TypeError):
        return None


def _in_folders(runs: Path, known: set[str]) -> Iterator[Trial]:
    """Yield the trials of folders that are not known: runs of earlier versions, or of another place."""
    for path in sorted(runs.glob("[!.]*/manifest.json")):
        if path.parent.name not in known:
            try:
                manifest = {**read_json(path), "id": path.parent.name}
                yield trial_of(manifest, pl.read_parquet(path.parent / "perf.parquet"))
            except _UNREADABLE:
                continue


def trials(runs: Path, of: Trial) -> Trials:
    """Return the trials a run is one of: of the same strategy, on sessions that overlap with its own.

    Parameters
    ----------
    runs : Path
        The folder of the run folders.
    of : Trial
        The run; it counts whether the ledger knows it or not.
    """
    known = read_trials(runs)
    everyone = known if any(one.id == of.id for one in known) else [*known, of]
    kin = _kin(everyone, of)
    return Trials(tuple(one for one in kin if one.start <= of.end and one.end >= of.start), runs)


def _kin(everyone: Iterable[Trial], of: Trial) -> list[Trial]:
    """Return those joined by name or script, from one to the next."""
    names, scripts, rest, kin = {of.strategy}, {of.script} - {_NO_SCRIPT}, list(everyone), list[Trial]()
    while True:
        joined = [one for one in rest if one.strategy in names or one.script in scripts]
        if not joined:
            return sorted(kin, key=lambda one: (one.made, one.id))
        kin += joined
        rest = [one for one in rest if one not in joined]
        names |= {one.strategy for one in joined}
        scripts |= {one.script for one in joined} - {_NO_SCRIPT}
