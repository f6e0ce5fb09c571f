"""From the lake to a bundle: panels, assets and adjustments.

1. The sessions are those of the exchange from the first to the last bar; the assets are the stocks with a bar.
2. Each daily table is scattered into arrays (session, asset), in the units of ``engine.panels.store``.
3. Last bar, last close and factor are carried through sessions without a bar.
4. Limits are the exchange's own rows; a bar without one gets the limit of the rulebook.
5. Names of the day and known reports become events, and events become panels.
6. Bonus shares, dividends and the changes of the factor become zipline's adjustments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.adjustments import Adjustments, adjustments, plans_of, write_adjustments
from bundles.assets import write_assets
from bundles.checks import require_covered_lake
from bundles.earlier import CODES_FILE, DAILY, Changed, Earlier, code_id
from bundles.lake import KNOWN_AT, Lake, Version
from bundles.limits import Recorded, in_force
from bundles.market import Market
from bundles.reports import States, states
from engine import settings
from engine.errors import DataNotFit
from engine.files import write_json
from engine.market.limits import standing_of, without_sentinels
from engine.panels.limits import rule_limits, standing_codes
from engine.panels.store import (
    ADJUSTMENTS_FILE,
    ASSETS_FILE,
    DELISTING_PERIOD,
    FORMAT,
    LIMIT_RECORDED,
    LISTED,
    RISK_WARNED,
    SHARE_REFORM,
    SUBFOLDER,
    SUSPENDED,
    TRADED,
    PanelWriter,
)
from engine.types import Standing

Array = npt.NDArray[Any]
Step = Callable[[str], None]


def build(
    lake: Lake,
    folder: Path,
    step: Step = lambda text: None,
    as_known_at: date | None = None,
    earlier: Sequence[Path] = (),
) -> None:
    """Build a bundle from a view of a lake into an empty folder; the bytes are a function of the view alone.

    Parameters
    ----------
    lake : Lake
        The source.
    folder : Path
        Where panels, assets and adjustments are written.
    step : callable
        Told what is being done.
    as_known_at : date, optional
        The day whose knowledge is built; by default the day the newest rows came in.
    earlier : sequence of Path
        Ingestions of which sessions may be taken over, the newest first; that changes the time, never the bytes.

    Raises
    ------
    DataNotFit
        The lake is empty, damaged, lacks too much of a day, or its tables contradict each other.
    """
    view = lake.view(as_known_at)
    step("hashes of the lake")
    lake.verify(view)
    coverage = settings.load().data.coverage
    found = Earlier.find(earlier, lake, view)
    if found is not None:
        try:
            lacking = require_covered_lake(lake, view, coverage, found.panels.days[-1].item())
            _Build(lake, view, found, folder, step, lacking).run()
            return
        except Changed as change:
            step(f"{change} has changed in sessions built before: a full build")
    step("coverage of the sessions")
    lacking = require_covered_lake(lake, view, coverage)
    _Build(lake, view, None, folder, step, lacking).run()


@dataclass(frozen=True)
class _Build:
    """One build, of all sessions or of those an earlier ingestion lacks."""

    lake: Lake
    view: Version
    earlier: Earlier | None
    folder: Path
    step: Step
    lacking: int
    """Rows missing or held back in the sessions that are built."""

    def run(self) -> None:
        """Write the bundle."""
        self.step("bars" if self.earlier is None else f"bars after {self.earlier.panels.days[-1]}")
        market = Market.read(self.lake, self.view, self.earlier)
        bars = _Bars.read(market)
        market = market.with_first_bars(bars.last_bar)
        status = _status(market, bars)
        writer = PanelWriter(self.folder / SUBFOLDER, market.days, market.assets, market.before)
        self.step("factors and market cap")
        factor = _adj_factor(market, bars)
        _write_bars(writer, market, bars, factor)
        self.step("names, suspensions and limits")
        counts = self._with_held(
            {
                **_write_limits(writer, market, bars, factor, status),
                "bars": int(bars.traded.sum()),
                "rows_missing": self.lacking,
            }
        )
        del bars, factor, status  # the rest reads what is written
        self.step("reports")
        counts["report_states"] = _write_reports(writer, market)
        _write_indexes(writer, market)
        self.step("assets and adjustments")
        plans = plans_of(market.frame("dividend"), market.frame("rights"), market.days)
        found = adjustments(plans, writer.panel("adj_factor"), writer.panel("last_bar"))
        counts |= {
            **_counts(plans, found),
            "rows_known_later": self._count(market.source, pl.col(KNOWN_AT) > pl.lit(self.view.as_known_at)),
            "rows_beyond": self._count(market.source, pl.col("trade_date") > pl.lit(market.days[-1].item())),
            "undated_reports": self.view.notes.get("undated", {}),
        }
        write_assets(self.folder / ASSETS_FILE, market.assets)
        write_adjustments(self.folder / ADJUSTMENTS_FILE, found, market.days)
        write_json(self.folder / CODES_FILE, market.codes.to_json(), indent=None)
        _write_suspected(self.folder / SUSPECTED, market, found.unexplained)
        _announce(counts, self.step)
        writer.actions({name: values.to_numpy() for name, values in plans.to_dict().items()})
        writer.finish(self._manifest(counts))

    def _with_held(self, counts: dict[str, int]) -> dict[str, Any]:
        """Add what was counted of the sessions taken over; what was not counted then stays unknown."""
        if self.earlier is None:
            return counts
        held = self.earlier.panels.manifest["counts"]
        return {name: count + held[name] for name, count in counts.items() if name in held}

    def _count(self, source: Version, which: pl.Expr) -> int:
        """Count rows of the daily tables that are in the lake and not in the panels.

        Those that are not known on the view's day, or lie after the last session: factors and limits can be there
        before the bars are.
        """
        paths = [self.lake.root / part.path for name in DAILY for part in source.parts.get(name, ())]
        found = pl.collect_all([pl.scan_parquet(path).select(which.sum()) for path in paths])
        return sum(int(frame.item()) for frame in found)

    def _manifest(self, counts: dict[str, Any]) -> dict[str, Any]:
        """Return what the panels say of themselves.

        A view older than the lake descends from no version: models trained on those knew later rows.
        """
        lineage = self.view.lineage if self.view.data_id == self.view.lineage[-1] else (self.view.data_id,)
        return {
            "data_id": f"{self.view.data_id}-{FORMAT}",
            "lineage": [f"{data_id}-{FORMAT}" for data_id in lineage],
            "label": self.view.label,
            "code_id": code_id(),
            "counts": counts,
        }


def _counts(plans: pl.DataFrame, found: Adjustments) -> dict[str, int]:
    return {
        "splits": found.splits.height,
        "cash_dividends": int((plans["cash"] > 0).sum()),
        "rights_issues": int((plans["rights"] > 0).sum()),
        "suspected_rights_issues": found.unexplained.height,
        "plans_without_effect": found.without_effect,
    }


def _write_suspected(path: Path, market: Market, unexplained: pl.DataFrame) -> None:
    """Write the changes of the factor that nothing explains, a line each: what ``rights.csv`` may lack."""
    rows = [
        (market.assets[sid].ts_code, str(market.days[row]), ratio)
        for sid, row, ratio in unexplained.sort("row", "sid").iter_rows()
    ]
    schema = {"ts_code": pl.String, "session": pl.String, "price_ratio": pl.Float64}
    pl.DataFrame(rows, schema=schema, orient="row").write_csv(path)


def _announce(counts: dict[str, Any], step: Step) -> None:
    """Say what the user may want to mend."""
    said = (
        ("suspected_rights_issues", f"changes of the factor that nothing explains, not taken up: see {SUSPECTED}"),
        ("limits_unknown", "bars without any price limit: no row of the exchange, and no price to start from"),
        ("plans_without_effect", "dividend plans whose bar shows no change of the factor"),
    )
    for name, text in said:
        if counts[name]:
            step(f"{counts[name]:,} {text}")


SUSPECTED = "suspected_rights.csv"


def _fen(prices: pl.Series) -> npt.NDArray[np.int32]:
    """Return prices as whole fen; a missing one is 0."""
    fen = _fen64(prices)
    if len(fen) and fen.max() > np.iinfo(np.int32).max:
        raise DataNotFit(
            f"{prices.name} holds a price of {fen.max() / 100:,.2f}", "no share costs that much", "Correct the row."
        )
    return fen.astype(np.int32)


def _fen64(prices: pl.Series) -> npt.NDArray[np.int64]:
    """Return prices in fen, 0 for a missing one; a vendor's mark of "no limit" may be any large number."""
    return np.rint(np.minimum(prices.fill_null(0).to_numpy(), 1e15) * 100).astype(np.int64)


def _filled(values: pl.Series) -> npt.NDArray[np.float64]:
    """Return numbers with NaN for a missing one."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


@dataclass
class _Bars:
    """The daily table as arrays, of the sessions that are not taken over."""

    prices: dict[str, npt.NDArray[np.int32]]
    volume: npt.NDArray[np.float64]
    amount: npt.NDArray[np.float64]
    traded: npt.NDArray[np.bool_]
    last_bar: npt.NDArray[np.int32]

    @classmethod
    def read(cls, market: Market) -> _Bars:
        """Scatter the daily table; a row without volume is no bar."""
        names = ("open", "high", "low", "close", "pre_close")
        prices = {name: np.zeros(market.shape, dtype=np.int32) for name in names}
        volume, amount = np.zeros(market.shape), np.zeros(market.shape)
        for (rows, sids), frame in market.new_cells("daily", [*names, "vol", "amount"]):
            bar = frame["vol"].to_numpy() > 0
            at = rows[bar], sids[bar]
            for name in names:
                prices[name][at] = _fen(frame[name])[bar]
            volume[at] = np.rint(frame["vol"].to_numpy()[bar] * 100)
            amount[at] = frame["amount"].to_numpy()[bar] * 1000
        traded = volume > 0
        numbers = np.arange(market.since, market.whole[0], dtype=np.int32)[:, None]
        last_bar = _carried(np.broadcast_to(numbers, market.shape), traded, market.last_row("last_bar"))
        return cls(prices, volume, amount, traded, last_bar)


def _carried(values: Array, traded: npt.NDArray[np.bool_], before: Array) -> Array:
    """Return the value of the last bar in every cell; ``before`` is that of the session before the first."""
    carried, last = np.empty(values.shape, dtype=values.dtype), before.astype(values.dtype)
    for row in range(len(values)):
        np.copyto(last, values[row], where=traded[row])
        carried[row] = last
    return carried


def _adj_factor(market: Market, bars: _Bars) -> npt.NDArray[np.float64]:
    """Return the carried factor; every bar must have one."""
    factor = np.full(market.shape, np.nan)
    for at, frame in market.new_cells("adj_factor", ["adj_factor"]):
        factor[at] = _filled(frame["adj_factor"])
    lacking = np.argwhere(bars.traded & np.isnan(factor))
    if len(lacking):
        row, sid = lacking[0]
        raise DataNotFit(
            f"{len(lacking)} bars have no adj_factor",
            f"the first is {market.assets[sid].ts_code} on {market.days[market.since + row]}",
            "Import the missing rows of adj_factor.",
        )
    return _carried(factor, bars.traded, market.last_row("adj_factor"))


def _write_bars(writer: PanelWriter, market: Market, bars: _Bars, factor: npt.NDArray[np.float64]) -> None:
    for name, values in bars.prices.items():
        writer.field(name, values)
    writer.field("volume", bars.volume)
    writer.field("amount", bars.amount)
    writer.field("adj_factor", factor)
    writer.field("last_bar", bars.last_bar)
    writer.field("last_close", _carried(bars.prices["close"], bars.traded, market.last_row("last_close")))
    basic = {name: np.full(market.shape, np.nan) for name in ("turnover_rate", "total_mv")}
    for at, frame in market.new_cells("daily_basic", list(basic)):
        for name, values in basic.items():
            values[at] = _filled(frame[name])
    for name, values in basic.items():
        writer.field(name, values)


def _status(market: Market, bars: _Bars) -> npt.NDArray[np.uint8]:
    """Return the status bits of every cell, of sessions taken over too: a late name or suspension changes them.

    Raises
    ------
    Changed
        A stock stood otherwise in a session taken over, and with it the rule of its limits.
    """
    status = np.zeros(market.whole, dtype=np.uint8)
    status[market.since :] = np.where(bars.traded, np.uint8(TRADED), np.uint8(0))
    for rows, sids, frame in market.cells("suspend_d", ["suspend_type", "suspend_timing"]):
        whole_day = ((frame["suspend_type"] == "S") & frame["suspend_timing"].is_null()).to_numpy()
        status[rows[whole_day], sids[whole_day]] |= SUSPENDED
    for row, listed in enumerate(_listed(market)):
        status[row] |= listed
    _add_named(status, market)
    if market.before is not None:
        held = market.before.placed("status", slice(0, market.since), market.whole[1])
        if (standing_codes(held) != standing_codes(status[: market.since])).any():
            raise Changed("the name of a stock")
        status[: market.since] |= held & np.uint8(TRADED | LIMIT_RECORDED)
    return status


def _listed(market: Market) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the bit LISTED of every asset, session by session."""
    begin = np.array([min(asset.list_date, asset.codes[0][1]) for asset in market.assets], dtype="datetime64[D]")
    gone = np.array([asset.delist_date for asset in market.assets], dtype="datetime64[D]")  # None becomes NaT
    for day in market.days:
        yield np.where((begin <= day) & ~(gone <= day), np.uint8(LISTED), np.uint8(0))


_BITS = {
    Standing.ORDINARY: 0,
    Standing.RISK_WARNED: RISK_WARNED,
    Standing.SHARE_REFORM: SHARE_REFORM,
    Standing.DELISTING_PERIOD: DELISTING_PERIOD | RISK_WARNED,
}


def _add_named(status: npt.NDArray[np.uint8], market: Market) -> None:
    """Add what the name of the day, or the exchange's own list, says of each cell (SPEC 13.5, 13.16)."""
    names = market.frame("namechange").filter(pl.col("start_date").is_not_null() & pl.col("name").is_not_null())
    names = names.sort("sid", "start_date", maintain_order=True)
    names = names.with_columns(row=pl.Series(market.first_rows_from(names["start_date"].to_numpy())))
    names = names.with_columns(until=pl.col("row").shift(-1, fill_value=len(status)).over("sid"))
    for sid, row, until, name in names.select("sid", "row", "until", "name").iter_rows():
        if bits := _BITS[standing_of(name)]:  # most names say nothing
            status[row:until, sid] |= bits
    for rows, sids, _ in market.cells("stock_st", []):
        status[rows, sids] |= RISK_WARNED


def _write_limits(
    writer: PanelWriter, market: Market, bars: _Bars, factor: npt.NDArray[np.float64], status: npt.NDArray[np.uint8]
) -> dict[str, int]:
    """Write the price limits and the status with where they come from; return what is to be counted."""
    recorded = _recorded(market, bars)
    pre_close = bars.prices["pre_close"]
    reference = np.where(bars.traded & (pre_close == 0), _carried_reference(market, bars, factor), pre_close)
    traded = (status & TRADED) != 0
    rule = rule_limits(market.days, market.assets, traded, reference, status, market.since)
    _require_rules(market, bars.traded & ~recorded.there & rule.unruled)
    limits = in_force(recorded, rule, bars.traded, bars.prices["high"], bars.prices["low"])
    status[market.since :][recorded.there] |= LIMIT_RECORDED
    writer.field("up_limit", limits.up)
    writer.field("down_limit", limits.down)
    writer.field("status", status)
    writer.corrected_limits(limits.corrected)
    return {
        "limits_by_rule": limits.by_rule,
        "limits_unknown": limits.unknown,
        "limits_corrected": len(limits.corrected),
    }


def _recorded(market: Market, bars: _Bars) -> Recorded:
    """Return the exchange's own limits."""
    up, down = (np.zeros(market.shape, dtype=np.int32) for _ in range(2))
    there = np.zeros(market.shape, dtype=bool)
    for at, frame in market.new_cells("stk_limit", ["up_limit", "down_limit"]):
        given_up, given_down = (_fen64(frame[name]) for name in ("up_limit", "down_limit"))
        pre_close = bars.prices["pre_close"][at].astype(np.int64)
        up[at], down[at] = without_sentinels(given_up, given_down, pre_close)
        there[at] = True
    return Recorded(up, down, there)


def _carried_reference(market: Market, bars: _Bars, factor: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Return the last close before each session, moved by the factor: what stands in for a missing previous close."""
    reference = np.zeros(market.shape, dtype=np.int32)
    close, before = market.last_row("last_close"), market.last_row("adj_factor")
    for row in range(len(reference)):
        with np.errstate(invalid="ignore"):
            reference[row] = np.nan_to_num(np.rint(close * before / factor[row]))
        close, before = np.where(bars.traded[row], bars.prices["close"][row], close), factor[row]
    return reference


def _require_rules(market: Market, without: npt.NDArray[np.bool_]) -> None:
    """Complain about bars with neither a row of the exchange nor a rule: a limit is never guessed."""
    if without.any():
        row, sid = np.argwhere(without)[0]
        first = f"{market.assets[sid].ts_code} on {market.days[market.since + row]}"
        raise DataNotFit(
            f"{int(without.sum())} bars have no price limits, first {first}",
            "stk_limit has no row for them, and they are older than the rules of their board",
            "Import stk_limit for them, or leave these bars out.",
        )


def _write_reports(writer: PanelWriter, market: Market) -> int:
    """Write the states of the reports and which of them holds in each cell."""
    known = states(market.frame("income"), market.frame("balancesheet"), market.who.financial)
    rows = market.first_rows_from(known.known_at)
    since = market.since if _continued(market, known, rows) else 0
    pointer = np.full((market.whole[0] - since, market.whole[1]), -1, dtype=np.int32)
    if since:
        pointer[:1] = market.last_row("report")
    new = np.flatnonzero((rows >= since) & (rows < market.whole[0]))
    np.maximum.at(pointer, (rows[new] - since, known.sids[new]), new.astype(np.int32))
    np.maximum.accumulate(pointer, axis=0, out=pointer)
    writer.field("report", pointer)
    writer.reports(known.columns)
    return len(known.sids)


def _continued(market: Market, known: States, rows: Array) -> bool:
    """Say whether the states of the sessions taken over have the numbers they had, and all others come after them."""
    if market.before is None:
        return False
    sids, days = (market.before.panel(f"report_{name}") for name in ("sid", "known_at"))
    held = slice(len(sids))
    return (
        np.array_equal(known.columns["sid"][held], market.before.sids[sids.astype(np.intp)])
        and np.array_equal(known.columns["known_at"][held], days)
        and bool((rows[held.stop :] >= market.since).all())
    )


def _write_indexes(writer: PanelWriter, market: Market) -> None:
    frame = market.lake.frame(market.source, "index_daily")
    rows = market.rows_of(frame["trade_date"])
    for (code,), group in frame.with_columns(row=pl.Series(rows)).filter(pl.col("row") >= 0).group_by("ts_code"):
        for price in ("open", "close"):
            values = np.full(market.whole[0], np.nan)
            values[group["row"].to_numpy()] = _filled(group[price])
            writer.index(str(code), price, values)
