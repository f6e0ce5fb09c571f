"""Reading panels: read-only views, nothing copied until it is asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine import calendar
from engine.errors import NoBundle, OutsideData
from engine.files import read_json
from engine.panels.actions import Calendar
from engine.panels.store import FIELDS, FORMAT, Asset

Floats = npt.NDArray[np.float64]


class Panels:
    """An opened panels folder.

    Parameters
    ----------
    folder : Path
        The folder with the manifest.
    until : date, optional
        The last session that is shown: later ones, and what became known in them, are as if they were not there.

    Raises
    ------
    NoBundle
        The folder is not there, not finished, or of another format.
    """

    def __init__(self, folder: Path, until: dt.date | None = None) -> None:
        self.folder, self._until = folder, until
        try:
            self.manifest: dict[str, Any] = read_json(folder / "manifest.json")
        except FileNotFoundError:
            raise NoBundle(f"{folder} holds no panels", "there is no manifest", _INGEST) from None
        if self.manifest["format"] != FORMAT:
            raise NoBundle(f"{folder} has format {self.manifest['format']}", f"this version reads {FORMAT}", _INGEST)
        days: npt.NDArray[np.datetime64] = np.load(folder / "sessions.npy")
        self.days = days if until is None else days[days <= np.datetime64(until)]
        self._open: dict[str, npt.NDArray[Any]] = {}

    @property
    def data_id(self) -> str:
        """The identity of the lake these panels were built from, and of the way they were built."""
        return str(self.manifest["data_id"])

    @cached_property
    def sessions(self) -> pd.DatetimeIndex:
        """The sessions, zone-naive midnight stamps, as zipline labels them."""
        return pd.DatetimeIndex(self.days.astype("datetime64[ns]"))

    @cached_property
    def assets(self) -> tuple[Asset, ...]:
        """The assets in sid order."""
        found = (Asset.from_json(sid, entry) for sid, entry in enumerate(read_json(self.folder / "assets.json")))
        until = self._until
        return tuple(found if until is None else (asset.known_on(until) for asset in found))

    @cached_property
    def sids(self) -> dict[str, int]:
        """The stock of each code it has, or had; where a code was used twice, of whoever had it first of all."""
        every = {code: asset.sid for asset in self.assets for code, _ in asset.codes}
        return every | {asset.first_code: asset.sid for asset in self.assets}

    @cached_property
    def actions(self) -> Calendar:
        """The corporate actions."""
        table = np.load(self.folder / "actions.npy")
        return Calendar(table[table["ex_row"] < len(self.days)])

    @cached_property
    def corrected_limits(self) -> npt.NDArray[np.int32]:
        """Recorded limits that were a fen off, (cells, 4): row, sid, up and down as the exchange's table has them."""
        corrected: npt.NDArray[np.int32] = np.load(self.folder / "corrected_limits.npy")
        return corrected

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {stamp: row for row, stamp in enumerate(self.sessions.asi8.tolist())}

    def row(self, session: pd.Timestamp) -> int:
        """Return the row of a session.

        Raises
        ------
        OutsideData
            The panels do not hold this day.
        """
        try:
            return self._row_of[session.value]
        except KeyError:
            raise self._outside(session) from None

    def first_row_from(self, day: dt.date | str) -> int:
        """Return the row of the first session on or after a day (the number of sessions if there is none)."""
        return int(np.searchsorted(self.days, np.datetime64(day, "D")))

    def last_row_to(self, day: dt.date | str) -> int:
        """Return the row of the last session on or before a day (-1 if there is none)."""
        return int(np.searchsorted(self.days, np.datetime64(day, "D"), side="right")) - 1

    def day_of(self, row: int) -> dt.date:
        """Return the day of a row; rows after the last session go on with the calendar's, the end of time beyond it."""
        if row < len(self.days):
            return _as_date(self.days[row])
        ahead = calendar.sessions()
        at = int(np.searchsorted(ahead, self.days[-1])) + 1 + row - len(self.days)
        return _as_date(ahead[at]) if at < len(ahead) else dt.date.max

    def field(self, name: str) -> npt.NDArray[Any]:
        """Return one panel, (sessions, assets), read-only, in the units of ``FIELDS``."""
        return self._array(name if name in FIELDS else _unknown(name))

    def report(self, column: str) -> Floats:
        """Return one column of the report states, (states,), read-only."""
        return self._array(f"report_{column}")

    def index(self, ts_code: str, price: str) -> Floats | None:
        """Return an index's ``open`` or ``close``, (sessions,), points; None if the lake has none."""
        name = f"index_{ts_code}_{price}"
        there = name in self._open or (self.folder / f"{name}.npy").exists()
        return self._array(name) if there else None

    def window(self, name: str, first: int, last: int, sids: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return rows ``first..last`` of a panel for some assets, a copy.

        Rows before the first session are filled with what the format has for "none": nothing was known then.
        """
        values = self.field(name)[max(first, 0) : last + 1]
        columns = np.asarray(sids, dtype=np.int64)
        whole = len(columns) == values.shape[1] and bool((columns == np.arange(len(columns))).all())
        picked = np.array(values) if whole else values[:, columns]
        if first >= 0:
            return picked
        padding = np.full((-first, len(columns)), FIELDS[name].none, dtype=picked.dtype)
        return np.concatenate([padding, picked])

    def _array(self, name: str) -> npt.NDArray[Any]:
        if name not in self._open:
            whole = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            self._open[name] = whole[: len(self.days)] if name in FIELDS or name.startswith("index_") else whole
        return self._open[name]

    def _outside(self, session: pd.Timestamp) -> OutsideData:
        return OutsideData(
            f"{session.date()} is not in the bundle",
            f"it holds the sessions {self.days[0]} to {self.days[-1]}",
            "Choose sessions inside it, or import later data and run `zipline ingest -b ashare`.",
        )


_INGEST = "Run `zipline ingest -b ashare`."


def _as_date(day: np.datetime64) -> dt.date:
    found: dt.date = day.astype(dt.date)
    return found


def _unknown(name: str) -> str:
    raise KeyError(f"no panel {name!r}; there are {', '.join(FIELDS)}")


def yuan(fen: npt.NDArray[np.integer[Any]]) -> Floats:
    """Turn prices in fen into CNY, NaN where there is none."""
    return np.where(fen > 0, fen, np.nan) / 100.0
