"""A run made again from what its folder keeps, and the first figure that is not the same."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine import settings as settings_module
from engine.errors import DataNotFit, ProofFailed
from engine.report.compare import EQUAL, flat
from engine.report.opened import Run, open_run
from engine.report.registry import IDLE
from engine.report.runs import SCRIPT, code_id
from engine.settings import Settings, environment

Runner = Callable[[Path, str, str, float], Path]
"""From script, first and last session and capital to the folder of the run."""
ORDER = ("decisions", "scores", "events", "ic", "orders", "actions", "positions", "perf")
"""Tables in the order in which one thing leads to another: of differences of one session the first is named."""


@dataclass(frozen=True)
class Difference:
    """A value that is not the same in two runs.

    Attributes
    ----------
    table, column : str
        Where; the column is empty where a whole row is missing.
    session : date or None
        When; None where the table does not say.
    row : str
        Which row, in words.
    before, after : object
        What the run had, and what it has now.
    """

    table: str
    column: str
    session: dt.date | None
    row: str
    before: object
    after: object

    def __str__(self) -> str:
        """Say it in words."""
        where = f"{self.table}, {self.session}" + (f", {self.row}" if self.row else "")
        what = f", {self.column}" if self.column else ""
        return f"{where}{what}: was {self.before}, is {self.after}"


def first_difference(before: Run, after: Run, tolerance: float = EQUAL) -> Difference | None:
    """Return the earliest difference between the tables of two runs, None where there is none.

    Parameters
    ----------
    before, after : Run
        The run as it is kept, and as it was made again.
    tolerance : float
        Relative; up to it numbers are equal. NaN equals NaN.
    """
    old, new = before.tables(), after.tables()
    found = [
        one
        for name in ORDER
        if name in old or name in new
        for one in [_in_table(name, old.get(name), new.get(name), tolerance)]
        if one is not None
    ]
    return min(found, key=lambda one: one.session or dt.date.min, default=None)


def _in_table(name: str, old: pl.DataFrame | None, new: pl.DataFrame | None, tolerance: float) -> Difference | None:
    if old is None or new is None:
        return Difference(name, "", None, "the whole table", _there(old), _there(new))
    if old.schema != new.schema:
        return Difference(name, "", None, "columns", ", ".join(old.columns), ", ".join(new.columns))
    rows = min(old.height, new.height)
    unequal = {
        column: at
        for column in old.columns
        for at in [_first_unequal(old[column][:rows], new[column][:rows], tolerance)]
        if at is not None
    }
    if unequal:
        row = min(unequal.values())
        column = next(column for column, at in unequal.items() if at == row)
        return Difference(name, column, *_place(old.row(row, named=True)), old[column][row], new[column][row])
    if old.height == new.height:
        return None
    longer = old if old.height > rows else new
    counts = f"{old.height} rows", f"{new.height} rows"
    return Difference(name, "", *_place(longer.row(rows, named=True)), *counts)


def _there(table: pl.DataFrame | None) -> str:
    return "not there" if table is None else f"{table.height} rows"


def _first_unequal(old: pl.Series, new: pl.Series, tolerance: float) -> int | None:
    """Return the first row in which two columns of a type differ."""
    same = old.eq_missing(new)  # of floats too: NaN equals NaN, null null
    if old.dtype.is_float():
        near = (old - new).abs() <= tolerance * pl.DataFrame({"a": old.abs(), "b": new.abs()}).max_horizontal()
        same = same | near.fill_null(value=False)
    return (~same).arg_true().to_list()[0] if not same.all() else None


def _place(row: Mapping[str, Any]) -> tuple[dt.date | None, str]:
    words = [str(row[name]) for name in ("ts_code", "order_id", "rule", "name", "kind") if row.get(name) is not None]
    return row.get("session") or row.get("decided"), " ".join(words)


@dataclass(frozen=True)
class Reproduction:
    """A run that is to be made again.

    Attributes
    ----------
    run : Run
        As it is kept.
    bundle : str
        The bundle it is made again on, and the id of the data in it.
    data_id : str
        Of that bundle.
    """

    run: Run
    bundle: str
    data_id: str

    def notes(self) -> Iterator[str]:
        """Yield what is not as it was before anything is run: data, code, settings nobody knows any more."""
        manifest = self.run.manifest
        if manifest["data_id"] != self.data_id:
            yield f"other data: the run had {manifest['data_id']}, bundle {self.bundle} holds {self.data_id}"
        if manifest["code_id"] != code_id():
            yield f"other code: the run had {manifest['code_id']}, this is {code_id()}"
        for name in _unknown(manifest["settings"]):
            yield f"the setting {name} of the run is none any more"

    def again(self, runner: Runner) -> Path:
        """Make the run again under its own settings, and return the folder of the new one.

        Raises
        ------
        DataNotFit
            The folder keeps no script, or another one than was run; or a setting cannot be put back.
        """
        manifest, text = self.run.manifest, self.run.script()
        if text is None:
            why = f"it keeps no {SCRIPT}: it is of an earlier version, or had functions instead of a script"
            raise DataNotFit(f"{self.run.folder} cannot be run again", why, "Run the strategy anew.")
        if hashlib.sha256(text.encode()).hexdigest() != manifest.get("script_sha256"):
            why = f"its {SCRIPT} is not the one that was run"
            raise DataNotFit(f"{self.run.folder} cannot be run again", why, "Put the script back as it was.")
        with environment(_variables(manifest["settings"])), tempfile.TemporaryDirectory() as folder:
            _require_settings(manifest["settings"])
            script = Path(folder) / manifest["strategy"]
            script.write_bytes(text.encode())
            return runner(script, manifest["start"], manifest["end"], manifest["capital"])

    def check(self, runner: Runner, tolerance: float = EQUAL) -> str:
        """Make the run again and return what to say of it; the new folder goes where all is the same.

        Raises
        ------
        ProofFailed
            A figure differs; the new folder stays, to be looked at.
        DataNotFit
            It cannot be run again.
        """
        folder = self.again(runner)
        new = open_run(folder)
        found = first_difference(self.run, new, tolerance)
        if found is not None:
            changed = "; ".join(self.notes())
            raise ProofFailed(
                f"{self.run.folder.name} is not reproduced",
                f"{changed + '; ' if changed else ''}first difference in {found}",
                f"`ashare compare {self.run.folder.name} {folder.name}` shows the two.",
            )
        shutil.rmtree(folder)
        rows = sum(table.height for table in self.run.tables().values())
        return f"{self.run.folder.name} is reproduced: {rows:,} rows are equal to {tolerance:g}"


def _variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of the environment that put settings in force; those without a value have none."""
    unknown = set(_unknown(settings)) | {"profile"}
    return {
        f"ASHARE_{name.replace('.', '__').upper()}": _written(value)
        for name, value in flat(settings).items()
        if value is not None and name not in unknown and name.partition(".")[0] not in IDLE
    } | {"ASHARE_REPORT__TEARSHEET": "false"}


def _written(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | bool) else str(value)


def _unknown(settings: Mapping[str, Any]) -> list[str]:
    known = flat(Settings(home=Path()).model_dump(mode="json"))
    return [name for name in flat(settings) if name not in known]


def _require_settings(settings: Mapping[str, Any]) -> None:
    """Refuse where the settings in force are not the run's: a value it had none of cannot be taken away from here."""
    now, unknown = flat(settings_module.load().model_dump(mode="json")), _unknown(settings)
    for name, value in flat(settings).items():
        if name not in unknown and name.partition(".")[0] not in IDLE and now[name] != value:
            raise DataNotFit(
                "the run cannot be run again",
                f"the setting {name} is {now[name]}, and the run had {value}",
                "Take it out of ashare.toml and the environment.",
            )
