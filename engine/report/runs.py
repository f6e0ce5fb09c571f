"""The run folder: what a run was, what it did, and its tear-sheet (layout in DESIGN, contracts).

A folder appears whole or not at all.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import clock
from engine.execution.blotter import OrderRow
from engine.files import whole_folder, write_bytes, write_json
from engine.model.shelf import Scored
from engine.panels.reader import Panels
from engine.pipeline.factors import NAMES
from engine.report.registry import note_trial, trial_of
from engine.settings import Settings
from engine.types import RETRAIN, SWITCHED, Choice, Event, Reason

_log = logging.getLogger(__name__)

SCRIPT = "script.py"
"""Of the run folder: the strategy's text, to run it again."""

PERF = {
    "session": pl.Date,
    "net_value": pl.Float64,
    "cash": pl.Float64,
    "gross": pl.Float64,
    "benchmark_return": pl.Float64,
    "flow": pl.Float64,
}
POSITIONS = {
    "session": pl.Date,
    "ts_code": pl.String,
    "shares": pl.Int64,
    "sellable": pl.Int64,
    "cost": pl.Float64,
    "price": pl.Float64,
}
ACTIONS = {"session": pl.Date, "ts_code": pl.String, "kind": pl.String, "shares": pl.Int64, "cash": pl.Float64}
SCORES = dict.fromkeys(("p_down", "p_flat", "p_up", "expected_excess"), pl.Float32)
ATTENTION = {"session": pl.Date, "feature": pl.String, "weight": pl.Float32}
DECISIONS = {
    "session": pl.Date,
    "ts_code": pl.String,
    "rank": pl.Int64,
    "score": pl.Float64,
    "reason": pl.String,
}
EVENTS = {
    "session": pl.Date,
    "rule": pl.String,
    "ts_code": pl.String,
    "cause": pl.String,
    "value": pl.Float64,
    "threshold": pl.Float64,
    "effect": pl.String,
}
COEFFICIENTS = {
    "session": pl.Date,
    "decided": pl.Date,
    "name": pl.String,
    "rank_ic": pl.Float64,
    "n": pl.Int64,
}
ORDERS = {
    "order_id": pl.String,
    "decided": pl.Date,
    "session": pl.Date,
    "ts_code": pl.String,
    "side": pl.String,
    "requested": pl.Int64,
    "filled": pl.Int64,
    "price": pl.Float64,
    "commission": pl.Float64,
    "stamp_duty": pl.Float64,
    "transfer_fee": pl.Float64,
    "reason": pl.String,
}


@dataclass(frozen=True)
class Decided:
    """A rebalance: every member of the universe with the one reason it is held or not.

    Attributes
    ----------
    session : date
        Of the decision.
    sids, ranks, scores, reasons : array, (members,)
        Rank 1 is the best; the score is NaN and the rank means nothing where there is no score.
    """

    session: dt.date
    sids: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    reasons: npt.NDArray[np.object_]


@dataclass
class Diary:
    """What is noted at each close.

    Attributes
    ----------
    closes : list of (session, cash, net value)
        CNY.
    holdings : list of (session, sid, shares, sellable, cost, price)
        One entry a session and position; cost is the average a share, fees included.
    written_down : list of (session, sid, shares, last price, kind)
        Delisted holdings.
    actions : list of (session, sid, kind, shares, cash)
        What corporate actions did to the holdings.
    flows : dict of session to float
        Capital put in (or taken out, negative) before the open, CNY.
    decisions : list of Decided
        What each rebalance decided about each member of the universe.
    events : list of (session, Event)
        What the rules of risk and watch did; the code of a stock is its first one.
    coefficients : list of (session, session of the decision, name, rank IC, names)
        How factors and P_up ordered the returns that became known in a session.
    """

    closes: list[tuple[dt.date, float, float]] = field(default_factory=list)
    holdings: list[tuple[dt.date, int, int, int, float, float]] = field(default_factory=list)
    written_down: list[tuple[dt.date, int, int, float, str]] = field(default_factory=list)
    actions: list[tuple[dt.date, int, str, int, float]] = field(default_factory=list)
    flows: dict[dt.date, float] = field(default_factory=dict)
    decisions: list[Decided] = field(default_factory=list)
    events: list[tuple[dt.date, Event]] = field(default_factory=list)
    coefficients: list[tuple[dt.date, dt.date, str, float, int]] = field(default_factory=list)

    def close(
        self, session: dt.date, cash: float, net_value: float, held: Sequence[tuple[int, int, int, float, float]]
    ) -> None:
        """Note one session's close; ``held`` has sid, shares, sellable, cost and price of each position."""
        self.closes.append((session, cash, net_value))
        self.holdings.extend((session, *position) for position in held)

    def note(self, session: dt.date, sid: int, kind: str, shares: int, cash: float) -> None:
        """Note what a corporate action did: shares and CNY, signed."""
        self.actions.append((session, sid, kind, shares, cash))

    def write_down(self, session: dt.date, sid: int, shares: int, price: float, kind: str) -> None:
        """Note a delisted holding that was wound up."""
        self.written_down.append((session, sid, shares, price, kind))

    def flow(self, session: dt.date, amount: float) -> None:
        """Note capital put in or taken out before a session's open."""
        self.flows[session] = self.flows.get(session, 0.0) + amount


@dataclass(frozen=True)
class RunRecord:
    """Everything a run folder is made of.

    Attributes
    ----------
    strategy : str
        Name of the script's file.
    script : str
        Its text, empty where the run had functions instead.
    capital : float
        Starting capital, CNY.
    settings : Settings
        As they were in force.
    panels : Panels
        The data it ran on.
    diary : Diary
        Its closes and holdings.
    orders : sequence of OrderRow
        Every order in every session.
    benchmark : sequence of float
        Daily returns of the benchmark, a value a session.
    models : sequence of str
        Ids of the models it consulted.
    scores : mapping of date to (array of sids, array (n, 4))
        What they said of each member in a session: down, flat, up, expected excess.
    attention : mapping of date to array, (9,)
        The mean weight they gave each feature in a session, by a sample of its stocks, in the order of ``NAMES``.
    """

    strategy: str
    script: str
    capital: float
    settings: Settings
    panels: Panels
    diary: Diary
    orders: Sequence[OrderRow]
    benchmark: Sequence[float]
    models: Sequence[str]
    scores: Mapping[dt.date, Scored] = field(default_factory=dict)
    attention: Mapping[dt.date, npt.NDArray[np.float32]] = field(default_factory=dict)


def write_run(record: RunRecord) -> Path:
    """Write the folder of a finished run and return its path.

    Parameters
    ----------
    record : RunRecord
        What the run was and did.
    """
    columns = {name: [getattr(row, name) for row in record.orders] for name in ORDERS}
    orders = pl.DataFrame(columns, schema=ORDERS)
    perf, positions = _perf(record), _positions(record)
    manifest = _manifest(record, orders, clock.now())
    folder = _reserve(record.settings.runs, manifest["id"])
    manifest["id"] = folder.name
    try:
        with whole_folder(folder) as beside:
            perf.write_parquet(beside / "perf.parquet")
            orders.write_parquet(beside / "orders.parquet")
            positions.write_parquet(beside / "positions.parquet")
            _actions(record).write_parquet(beside / "actions.parquet")
            if record.diary.decisions:
                decisions_frame(record.diary.decisions, record.panels).write_parquet(beside / "decisions.parquet")
            if record.diary.decisions or record.diary.events:
                _events(record).write_parquet(beside / "events.parquet")
            if record.diary.coefficients:
                rows = record.diary.coefficients
                frame = pl.DataFrame(rows, schema=COEFFICIENTS, orient="row")
                frame.with_columns(pl.col("rank_ic").fill_nan(None)).write_parquet(beside / "ic.parquet")
            if record.scores:
                _scores(record).write_parquet(beside / "scores.parquet")
            if record.attention:
                _attention(record).write_parquet(beside / "attention.parquet")
            if record.script:
                write_bytes(beside / SCRIPT, record.script.encode())
            write_json(beside / "manifest.json", manifest)
            # before the folder appears: no run is seen that was not counted
            note_trial(record.settings.runs, trial_of(manifest, perf))
            if record.settings.report.tearsheet:
                _render(beside, folder, record)
    except BaseException:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    return folder


def _render(beside: Path, folder: Path, record: RunRecord) -> None:
    """Render the tear-sheet; where that fails the run keeps its data, for they cannot be had again."""
    from engine.report.tearsheet import render  # heavy: plots and templates

    try:
        render(beside, record.settings.spoken, record.panels, record.settings.runs)
    except Exception as error:
        _log.warning(
            "the run has no tear-sheet (%s: %s); its data are whole. Run `ashare report %s` to try again.",
            type(error).__name__,
            error,
            folder,
        )


def _reserve(runs: Path, name: str) -> Path:
    """Make the empty folder of a run; runs of the same second and kind are counted up."""
    runs.mkdir(parents=True, exist_ok=True)
    for count in itertools.count(1):
        folder = runs / (name if count == 1 else f"{name}-{count}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def _perf(record: RunRecord) -> pl.DataFrame:
    flows = record.diary.flows
    rows = [
        (
            session,
            net_value,
            cash,
            (net_value - cash) / net_value if net_value else 0.0,
            benchmark,
            flows.get(session, 0.0),
        )
        for (session, cash, net_value), benchmark in zip(record.diary.closes, record.benchmark, strict=True)
    ]
    return pl.DataFrame(rows, schema=PERF, orient="row")


def _positions(record: RunRecord) -> pl.DataFrame:
    """Return the holdings, a row a session and position."""
    assets = record.panels.assets
    rows = [(session, assets[sid].code_on(session), *values) for session, sid, *values in record.diary.holdings]
    return pl.DataFrame(rows, schema=POSITIONS, orient="row")


def _actions(record: RunRecord) -> pl.DataFrame:
    """Return what corporate actions did, a row an entry."""
    assets = record.panels.assets
    rows = [(session, assets[sid].code_on(session), *values) for session, sid, *values in record.diary.actions]
    return pl.DataFrame(rows, schema=ACTIONS, orient="row")


def decisions_frame(decisions: Sequence[Decided], panels: Panels) -> pl.DataFrame:
    """Return what was decided, a row a rebalance and member, best first."""
    assets = panels.assets
    frames = [
        pl.DataFrame(
            {
                "ts_code": [assets[sid].code_on(one.session) for sid in one.sids.tolist()],
                "rank": one.ranks,
                "score": one.scores,
                "reason": one.reasons.astype(str),
            },
            schema={name: kind for name, kind in DECISIONS.items() if name != "session"},
        )
        .with_columns(pl.col("score").fill_nan(None))
        .with_columns(pl.when(pl.col("score").is_not_null()).then("rank").alias("rank"))
        .select(pl.lit(one.session).alias("session"), pl.all())
        .sort("rank", "ts_code", nulls_last=True)
        for one in decisions
    ]
    return pl.concat(frames)


def _events(record: RunRecord) -> pl.DataFrame:
    """Return what the rules did, in its order; the code of a stock is that of the day."""
    named = {asset.first_code: asset for asset in record.panels.assets} if record.diary.events else {}
    rows = [
        (
            session,
            event.rule,
            named[event.code].code_on(session) if event.code else None,
            event.cause,
            event.value,
            event.threshold,
            event.effect,
        )
        for session, event in record.diary.events
    ]
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


def switches(diary: Diary) -> dict[str, dict[str, int | bool]]:
    """Return for each switch how often it went on, in how many closes it was on, and whether it was at the end."""
    found: dict[str, dict[str, int | bool]] = {}
    for rule in ("drawdown", "volatility"):
        turned = {session: event.cause == SWITCHED[True] for session, event in diary.events if event.rule == rule}
        on, sessions = False, 0
        for session, _, _ in diary.closes:
            on = turned.get(session, on)
            sessions += on
        found[rule] = {"times_on": sum(turned.values()), "sessions_on": sessions, "on_at_the_end": on}
    return found


def _scores(record: RunRecord) -> pl.DataFrame:
    """Return what the models said, a row a session and member."""
    assets = record.panels.assets
    frames = [
        pl.DataFrame(values, schema=SCORES).select(
            pl.lit(session).alias("session"),
            pl.Series("ts_code", [assets[sid].code_on(session) for sid in sids]),
            pl.all(),
        )
        for session, (sids, values) in record.scores.items()
    ]
    return pl.concat(frames)


def _attention(record: RunRecord) -> pl.DataFrame:
    """Return what the models looked at, a row a session and feature; the weights of a session add up to 1."""
    sessions = np.array(list(record.attention), dtype="datetime64[D]")
    weights = np.stack(list(record.attention.values()))
    names = {"session": np.repeat(sessions, len(NAMES)), "feature": list(NAMES) * len(sessions)}
    return pl.DataFrame({**names, "weight": weights.ravel()}, schema=ATTENTION)


def _manifest(record: RunRecord, orders: pl.DataFrame, made: dt.datetime) -> dict[str, Any]:
    # no run depends on who is asked or told; its capital has a place of its own
    settings = record.settings.model_dump(mode="json", exclude={"home", "capital", "language", "tushare", "messages"})
    closes = record.diary.closes
    script_id = hashlib.sha256(record.script.encode()).hexdigest()
    identity = hashlib.sha256(f"{script_id}{settings}{record.panels.data_id}{closes[0][0]}{closes[-1][0]}".encode())
    reasons = Counter(orders["reason"].to_list())
    return {
        "id": f"{made:%Y%m%dT%H%M%S}-{Path(record.strategy).stem}-{identity.hexdigest()[:6]}",
        "made": made.isoformat(timespec="seconds"),
        "strategy": Path(record.strategy).name,
        "script_sha256": script_id,
        "code_id": code_id(),
        "data_id": record.panels.data_id,
        "data_start": str(record.panels.days[0]),
        "data_label": record.panels.manifest.get("label", ""),
        "start": closes[0][0].isoformat(),
        "end": closes[-1][0].isoformat(),
        "sessions": len(closes),
        "capital": record.capital,
        "final_net_value": closes[-1][2],
        "fills": int((orders["filled"] > 0).sum()),
        "reasons": {reason: reasons.get(reason, 0) for reason in Reason},
        "written_down": [
            [session.isoformat(), record.panels.assets[sid].ts_code, shares, price, kind]
            for session, sid, shares, price, kind in record.diary.written_down
        ],
        "renamed": _renamed(record, orders),
        "decisions": _counted(record.diary),
        "events": dict(Counter(event.rule for _, event in record.diary.events)),
        "switches": switches(record.diary),
        "models": list(record.models),
        "seed": record.settings.model.seed,
        "settings": settings,
    }


def _counted(diary: Diary) -> dict[str, int]:
    """Return how many decisions had each reason; none where the script noted no decision."""
    counts = Counter(reason for one in diary.decisions for reason in one.reasons)
    return {reason: counts.get(reason, 0) for reason in Choice} if diary.decisions else {}


def _renamed(record: RunRecord, orders: pl.DataFrame) -> dict[str, str]:
    """Return today's code for each older one of a stock that was ordered: it joins a round trip across the change."""
    traded = set(orders["ts_code"])
    return {
        old: asset.ts_code
        for asset in record.panels.assets
        if len(asset.codes) > 1 and any(code in traded for code, _ in asset.codes)
        for old, _ in asset.codes[:-1]
    }


@cache
def code_id() -> str:
    """Return a hash of the engine's own source: equal code, equal id."""
    root = Path(str(resources.files("engine")))
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in {".py", ".csv", ".toml", ".html", ".css"}:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def retrain_events(folder: Path) -> list[dt.date]:
    """Return the sessions in which a run's watch asked for another model, in their order."""
    path = folder / "events.parquet"
    days = pl.read_parquet(path).filter(effect=RETRAIN)["session"].to_list() if path.exists() else []
    return sorted(set(days))


def runs_newest_first(folder: Path) -> list[Path]:
    """Return the run folders of ``$ASHARE_HOME/runs``, the newest first."""
    found: Iterable[Path] = folder.glob("[!.]*/manifest.json")
    return sorted((path.parent for path in found), key=lambda path: path.name, reverse=True)
