"""The format of the panels: what is in the folder, and how it is written.

::

    panels/
      manifest.json    format, data id and its lineage, first and last session, counts
      sessions.npy     datetime64[D], ascending, every session of the exchange between first and last
      assets.json      one entry an asset, in sid order
      <field>.npy      (sessions, assets), one of FIELDS
      report_<c>.npy   (states,): column c of what was known of the reports, one of REPORT_COLUMNS
      index_<code>_{open,close}.npy   (sessions,), float64, points, NaN where there is none
      corrected_limits.npy   (cells, 4): row, sid, up and down, in fen, as the exchange's table has them
      actions.npy      (actions,): corporate actions in order of their ex-session (``engine.panels.actions``)

Prices are integer fen, so that a comparison with a price limit is exact; ``fen / 100`` is the very double
the decimal text would give. 0 means "none". Arrays are row-major: one session lies together.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.files import copy_large, write_json
from engine.panels.actions import COLUMNS
from engine.types import Board

FORMAT = 3
"""Counts up when arrays change their form or the build their meaning: models and samples of old ones do not fit."""
SUBFOLDER = "panels"
ASSETS_FILE, ADJUSTMENTS_FILE = "assets-7.sqlite", "adjustments.sqlite"
"""Zipline's own databases beside the panels; the number is its ``ASSET_DB_VERSION``."""

TRADED, SUSPENDED, RISK_WARNED, LISTED = 1, 2, 4, 8
DELISTING_PERIOD, SHARE_REFORM, LIMIT_RECORDED = 16, 32, 64
"""Bits of the field ``status``. A delisting period is RISK_WARNED too; LIMIT_RECORDED marks bars whose limits
the exchange's own table gives, and ``corrected_limits`` where one of them was a fen off and the rule won."""


@dataclass(frozen=True)
class Field:
    """One panel; ``none`` stands where a session holds nothing of an asset."""

    name: str
    dtype: str
    meaning: str
    none: float = 0


FIELDS = {
    field.name: field
    for field in (
        Field("open", "<i4", "fen; 0 = no bar"),
        Field("high", "<i4", "fen; 0 = no bar"),
        Field("low", "<i4", "fen; 0 = no bar"),
        Field("close", "<i4", "fen; 0 = no bar"),
        Field("pre_close", "<i4", "fen, adjusted for the day's corporate action; 0 = none"),
        Field("up_limit", "<i4", "fen; 0 = no limit"),
        Field("down_limit", "<i4", "fen; 0 = no limit"),
        Field("last_close", "<i4", "fen; close of the last bar so far, 0 before the first"),
        Field("last_bar", "<i4", "row of the last bar so far, -1 before the first", -1),
        Field("volume", "<f8", "shares; 0 = no bar"),
        Field("amount", "<f8", "CNY; 0 = no bar"),
        Field("adj_factor", "<f8", "factor of the last bar so far, NaN before the first", np.nan),
        Field("turnover_rate", "<f8", "percent of the float; NaN = unknown", np.nan),
        Field("total_mv", "<f8", "total market cap, 10k CNY; NaN = unknown", np.nan),
        Field("status", "|u1", "bits TRADED to LIMIT_RECORDED"),
        Field("report", "<i4", "index of the state of the reports known after this close, -1 = none", -1),
    )
}

REPORT_COLUMNS = {
    "sid": "whose state it is",
    "known_at": "days since 1970-01-01 of the day after whose close it holds",
    "period_end": "days since 1970-01-01 of the end of the newest known period",
    "profit_ytd": "net profit attributable to the parent, CNY, year to date",
    "profit_ytd_prior": "the same, a year earlier",
    "profit_ttm": "the same, trailing twelve months",
    "equity": "equity attributable to the parent at the end of the period, CNY",
    "equity_prior": "the same, a year earlier",
    "revenue": "revenue, CNY, year to date",
    "oper_cost": "operating cost, CNY, year to date",
    "total_assets": "CNY",
    "total_liab": "CNY",
    "is_financial": "1 for banks, brokers and insurers, else 0",
}


@dataclass(frozen=True)
class Asset:
    """One stock through all its codes.

    Attributes
    ----------
    sid : int
        Its column, and zipline's identifier.
    codes : tuple of (str, date)
        Each code with the first day it was used; the last one is in use today.
    board : Board
        Where it is listed.
    list_date : date
        First day of listing.
    delist_date : date or None
        First day on which it is no longer listed.
    first_bar : int
        Row of its first bar, -1 if it has none.
    issue_price : int
        Price of its public offering in fen, 0 = unknown.
    delisting : tuple of str
        What the user's table says of its delisting (kind, into, ratio, cash); empty = nothing.
    """

    sid: int
    codes: tuple[tuple[str, dt.date], ...]
    board: Board
    list_date: dt.date
    delist_date: dt.date | None
    first_bar: int
    issue_price: int = 0
    delisting: tuple[str, ...] = ()

    @property
    def first_code(self) -> str:
        """The code it was listed under, which never changes."""
        return self.codes[0][0]

    @property
    def ts_code(self) -> str:
        """The code in use today."""
        return self.codes[-1][0]

    def code_on(self, day: dt.date) -> str:
        """Return the code in use on a day."""
        used = [code for code, since in self.codes if since <= day]
        return used[-1] if used else self.first_code

    def known_on(self, day: dt.date) -> Asset:
        """Return what was known of it on a day: later codes are not, nor that it will leave."""
        codes = tuple(entry for entry in self.codes if entry[1] <= day) or self.codes[:1]
        if self.delist_date is not None and self.delist_date > day:
            return replace(self, codes=codes, delist_date=None, delisting=())
        return self if codes == self.codes else replace(self, codes=codes)

    def to_json(self) -> dict[str, Any]:
        """Return what ``assets.json`` holds of it."""
        return {
            "codes": [[code, day.isoformat()] for code, day in self.codes],
            "board": str(self.board),
            "list_date": self.list_date.isoformat(),
            "delist_date": self.delist_date and self.delist_date.isoformat(),
            "first_bar": self.first_bar,
            "issue_price": self.issue_price,
            "delisting": list(self.delisting),
        }

    @classmethod
    def from_json(cls, sid: int, value: Mapping[str, Any]) -> Asset:
        """Read one entry of ``assets.json``."""
        gone = value["delist_date"]
        return cls(
            sid=sid,
            codes=tuple((code, dt.date.fromisoformat(day)) for code, day in value["codes"]),
            board=Board(value["board"]),
            list_date=dt.date.fromisoformat(value["list_date"]),
            delist_date=dt.date.fromisoformat(gone) if gone else None,
            first_bar=value["first_bar"],
            issue_price=value["issue_price"],
            delisting=tuple(value["delisting"]),
        )


def _mapped(path: Path) -> npt.NDArray[Any]:
    """Map a file; as a plain array, whose rows are not memory maps of their own, which take longer than they hold."""
    return np.asarray(np.load(path, mmap_mode="r"))


_ROWS_AT_ONCE = 64
"""Sessions placed in memory at a time: a few megabytes, which stay in the processor's cache."""


@dataclass(frozen=True)
class TakenOver:
    """An earlier panels folder that holds the first sessions already.

    Attributes
    ----------
    folder : Path
        It is only read.
    shape : (int, int)
        Its sessions and assets.
    sids : array of int
        Where each of its assets stands now, ascending.
    """

    folder: Path
    shape: tuple[int, int]
    sids: npt.NDArray[np.intp]

    def panel(self, name: str) -> npt.NDArray[Any]:
        """Return a panel of the folder, read-only."""
        return _mapped(self.folder / f"{name}.npy")

    def placed(self, name: str, rows: slice, assets: int) -> npt.NDArray[Any]:
        """Return rows of a panel with its assets where they stand now, new assets holding nothing."""
        held = self.panel(name)[rows]
        values = np.full((len(held), assets), FIELDS[name].none, dtype=held.dtype)
        for run in np.split(np.arange(len(self.sids)), np.flatnonzero(np.diff(self.sids) != 1) + 1):
            if len(run):  # neighbours that stay neighbours move together
                values[:, self.sids[run[0]] : self.sids[run[-1]] + 1] = held[:, run[0] : run[-1] + 1]
        return values


class PanelWriter:
    """Fills a panels folder; whoever calls it builds the folder beside its place and moves it there.

    Parameters
    ----------
    folder : Path
        An empty or absent folder.
    sessions : array of datetime64[D]
        Every session from first to last.
    assets : sequence of Asset
        In sid order, sids 0 to n-1.
    before : TakenOver, optional
        Where the first sessions of a panel are taken from when it is written without them.
    """

    def __init__(
        self,
        folder: Path,
        sessions: npt.NDArray[np.datetime64],
        assets: Sequence[Asset],
        before: TakenOver | None = None,
    ) -> None:
        assert [asset.sid for asset in assets] == list(range(len(assets)))
        self.folder = folder
        self.shape = len(sessions), len(assets)
        self._sessions, self._assets, self._before = sessions, assets, before
        self._written: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def field(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write one panel, whole or only the sessions after those taken over; shape and type are the format's."""
        values = np.ascontiguousarray(values, dtype=FIELDS[name].dtype)
        path = self.folder / f"{name}.npy"
        if values.shape == self.shape:
            np.save(path, values)
        else:
            assert self._before is not None
            assert (self._before.shape[0] + len(values), values.shape[1]) == self.shape, (name, values.shape)
            self._continue(path, self._before, name, values)
        self._written.add(name)

    def _continue(self, path: Path, before: TakenOver, name: str, values: npt.NDArray[Any]) -> None:
        """Write what ``np.save`` would of the sessions taken over and these."""
        if before.shape[1] == self.shape[1]:  # no asset moved: the bytes stay, but for the header in front
            copy_large(before.folder / path.name, path)
        else:
            path.touch()
        with path.open("r+b") as file:
            header = {"descr": values.dtype.str, "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(file, header)
            if before.shape[1] != self.shape[1]:
                for first in range(0, before.shape[0], _ROWS_AT_ONCE):
                    rows = slice(first, min(first + _ROWS_AT_ONCE, before.shape[0]))
                    file.write(before.placed(name, rows, self.shape[1]).data)
            file.seek(0, os.SEEK_END)
            file.write(values.data)

    def panel(self, name: str) -> npt.NDArray[Any]:
        """Return a panel that is written, read-only."""
        assert name in self._written
        return _mapped(self.folder / f"{name}.npy")

    def reports(self, columns: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Write the table of report states, one array a column."""
        assert set(columns) == set(REPORT_COLUMNS)
        for name, values in columns.items():
            np.save(self.folder / f"report_{name}.npy", values.astype("<f8"))

    def index(self, ts_code: str, price: str, values: npt.NDArray[np.float64]) -> None:
        """Write one price series of an index; ``price`` is ``open`` or ``close``."""
        assert values.shape == self.shape[:1]
        np.save(self.folder / f"index_{ts_code}_{price}.npy", values.astype("<f8"))

    def corrected_limits(self, cells: npt.NDArray[np.int64]) -> None:
        """Write the recorded limits that were corrected, one line (row, sid, up, down) each, after those taken over."""
        lines = cells.astype("<i4").reshape(-1, 4)
        if self._before is not None:
            held = np.array(self._before.panel("corrected_limits"))
            held[:, 1] = self._before.sids[held[:, 1]]
            lines = np.concatenate([held, lines + np.array([self._before.shape[0], 0, 0, 0], dtype="<i4")])
        np.save(self.folder / "corrected_limits.npy", lines)

    def actions(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write the corporate actions, one array a column of ``engine.panels.actions.COLUMNS``, by ex-session."""
        table = np.empty(len(columns["sid"]), dtype=COLUMNS)
        for name in COLUMNS.names or ():
            table[name] = columns[name]
        np.save(self.folder / "actions.npy", table)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write what makes the folder complete; the manifest comes last."""
        assert self._written == set(FIELDS), set(FIELDS) - self._written
        np.save(self.folder / "sessions.npy", self._sessions.astype("datetime64[D]"))
        write_json(self.folder / "assets.json", [asset.to_json() for asset in self._assets], indent=None)
        write_json(
            self.folder / "manifest.json",
            {
                **manifest,
                "format": FORMAT,
                "sessions": self.shape[0],
                "assets": self.shape[1],
                "first_session": str(self._sessions[0]),
                "last_session": str(self._sessions[-1]),
            },
        )
