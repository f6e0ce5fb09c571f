"""Why a run held a stock or did not: its rank, score and factors at a rebalance, and what became of its orders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from zipline.pipeline import Pipeline

from engine.errors import OutsideData, UsageError
from engine.files import read_json
from engine.panels.bundle import Bundle
from engine.panels.store import Asset
from engine.pipeline.datasets import Daily
from engine.pipeline.export import Coverage, factor_frames
from engine.pipeline.factors import NAMES
from engine.pipeline.research import PanelEngine
from engine.report.opened import open_run
from engine.settings import FactorSettings, Settings, UniverseSettings
from engine.types import Choice

MEANING = {
    Choice.CHOSEN: "inside the cut, and nothing against it",
    Choice.KEPT: "below the cut, but held and inside the part that keeps its place",
    Choice.BELOW_THE_CUT: "others rank higher",
    Choice.NO_SCORE: "the ranking has no value for it",
    Choice.NO_PLACE: "inside the cut, but a held name kept the place",
    Choice.STOPPED: "a stop was selling it",
    Choice.BLACKLISTED: "barred for having been wrong too often",
    Choice.AT_LIMIT: "closed at its price limit",
    Choice.TURNOVER_UNKNOWN: "its turnover of the day is not known",
    Choice.TURNOVER: "turned over too little that day",
    Choice.LESS_THAN_A_LOT: "its part of the net value does not buy a lot",
    Choice.TURNOVER_LIMIT: "the buys of the rebalance had reached their limit",
}
"""What each reason says, in words."""


@dataclass(frozen=True)
class Story:
    """A run, a stock and a day.

    Attributes
    ----------
    folder : Path
        Of the run.
    bundle : Bundle
        The data in force; factors are computed from it where they are those of the run.
    asset : Asset
        The stock.
    day : date
        Inside the run.
    """

    folder: Path
    bundle: Bundle
    asset: Asset
    day: dt.date

    def lines(self, settings: Settings) -> Iterator[str]:
        """Yield the story, line by line."""
        manifest = read_json(self.folder / "manifest.json")
        yield f"run {manifest['id']}, {self.asset.code_on(self.day)}"
        decided = self._rebalance()
        if decided is None:
            yield "the run noted no rebalance up to this day"
            since, until = self.day, self.day
        else:
            since, until = decided
            yield from self._decision(since)
            yield from self._factors(since, manifest, settings)
        yield from self._orders(since, until)
        yield from self._events(since, until)
        yield from self._held()

    def _table(self, name: str) -> pl.DataFrame | None:
        path = self.folder / f"{name}.parquet"
        return pl.read_parquet(path) if path.exists() else None

    def _own(self, table: pl.DataFrame) -> pl.DataFrame:
        return table.filter(pl.col("ts_code").is_in([code for code, _ in self.asset.codes]))

    def _rebalance(self) -> tuple[dt.date, dt.date] | None:
        """Return the last rebalance up to the day, and the last day before the next one."""
        table = self._table("decisions")
        if table is None:
            return None
        sessions = table["session"].unique().sort().to_list()
        before = [session for session in sessions if session <= self.day]
        after = [session for session in sessions if session > self.day]
        return (before[-1], after[0] - dt.timedelta(days=1) if after else dt.date.max) if before else None

    def _decision(self, session: dt.date) -> Iterator[str]:
        table = self._table("decisions")
        assert table is not None
        there = table.filter(session=session)
        own = self._own(there)
        if own.is_empty():
            yield f"{session}: no member of the universe ({self._outside(session)})"
            return
        row = own.row(0, named=True)
        said = f"rank {row['rank']} of {there.height}, score {row['score']:.6g}" if row["rank"] else "no score"
        yield f"{session}: {said}: {row['reason']} ({MEANING[Choice(row['reason'])]})"

    def _outside(self, session: dt.date) -> str:
        """Return what the universe goes by, as it was for the stock at a close."""
        names = ("listed", "traded", "risk_warned", "age", "total_mv")
        columns = {name: getattr(Daily, name).latest for name in names}
        row = self.bundle.panels.last_row_to(session)
        at = self.bundle.panels.sessions[row]
        result = PanelEngine(self.bundle).run_pipeline(Pipeline(columns), at, at)
        if self.asset.sid not in result.sids.tolist():
            return "not listed"
        column = result.sids.tolist().index(self.asset.sid)
        return ", ".join(f"{name} {result.columns[name][0, column]}" for name in names)

    def _factors(self, session: dt.date, manifest: dict[str, Any], settings: Settings) -> Iterator[str]:
        panels = self.bundle.panels
        if manifest["data_id"] not in panels.manifest["lineage"]:
            yield "factors: the bundle holds other data than the run had"
            return
        written = manifest["settings"]
        own = {"universe": UniverseSettings(**written["universe"]), "factors": FactorSettings(**written["factors"])}
        row = panels.last_row_to(session)
        frames = factor_frames(self.bundle, settings.model_copy(update=own), row, row, Coverage())
        for values in self._own(pl.concat(frames)).iter_rows(named=True):
            for name in NAMES:
                raw = "null" if values[name] is None else f"{values[name]:.6g}"
                yield f"  {name:<16}{raw:>14}  z {values[f'z_{name}']:+.3f}"
        scores = self._table("scores")
        for said in () if scores is None else self._own(scores.filter(session=session)).iter_rows(named=True):
            outputs = (name for name in said if name not in ("session", "ts_code"))
            yield "  " + ", ".join(f"{name} {said[name]:.4f}" for name in outputs)

    def _orders(self, since: dt.date, until: dt.date) -> Iterator[str]:
        table = self._table("orders")
        assert table is not None
        found = self._own(table.filter(pl.col("decided").is_between(since, until))).sort("decided", "order_id")
        if found.is_empty():
            yield "no order until the next rebalance"
        for row in found.iter_rows(named=True):
            got = f"{row['filled']} at {row['price']:.4g}" if row["filled"] else "nothing"
            met = row["session"] or "no session"
            yield f"order of {row['decided']}: {row['side']} {row['requested']}; {met}: {got}, {row['reason']}"

    def _events(self, since: dt.date, until: dt.date) -> Iterator[str]:
        table = self._table("events")
        if table is not None:
            for row in self._own(table.filter(pl.col("session").is_between(since, until))).iter_rows(named=True):
                against = f"{row['value']:.4g} against {row['threshold']:.4g}"
                yield f"event of {row['session']}: {row['rule']}, {row['cause']} ({against}): {row['effect']}"

    def _held(self) -> Iterator[str]:
        table = self._table("positions")
        assert table is not None
        own = self._own(table.filter(session=self.day))
        if own.is_empty():
            yield f"not held at the close of {self.day}"
        for row in own.iter_rows(named=True):
            held = f"{row['shares']} shares, {row['sellable']} sellable that session"
            yield f"held at the close of {self.day}: {held}, cost {row['cost']:.4g}, price {row['price']:.4g}"


def story(folder: Path, bundle: Bundle, ts_code: str, day: dt.date) -> Story:
    """Return what a run has to say about a stock on a day.

    Raises
    ------
    UsageError
        No stock of the bundle ever had the code.
    OutsideData
        The day lies outside the run.
    DataNotFit
        The folder is no finished run.
    """
    manifest = open_run(folder).manifest
    asset = next((one for one in bundle.panels.assets if any(code == ts_code for code, _ in one.codes)), None)
    if asset is None:
        raise UsageError(f"{ts_code!r} is unknown", "no stock of the bundle ever had this code", "Write 600000.SH.")
    if not manifest["start"] <= day.isoformat() <= manifest["end"]:
        held = f"run {manifest['id']} goes from {manifest['start']} to {manifest['end']}"
        raise OutsideData(f"nothing is known of {day}", held, "Choose a day inside it, or name another run.")
    return Story(folder, bundle, asset, day)
