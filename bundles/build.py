"""From the lake to a bundle: panels, assets and adjustments.

1. The sessions are those of the exchange from the first to the last bar; the assets are the stocks with a bar.
2. Each daily table is scattered into arrays (session, asset), in the units of ``engine.panels.store``.
3. Last bar, last close and factor are carried through sessions without a bar.
4. Limits are the exchange's own rows; a bar without one gets the limit of the rulebook.
5. Names of the day and known reports become events, and events become panels.
6. Bonus shares, dividends and the changes of the factor become zipline's adjustments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.adjustments import adjustments, plans_of, write_adjustments
from bundles.assets import Directory, Tables, directory, write_assets
from bundles.checks import require_covered_lake
from bundles.lake import Lake, Version
from bundles.limits import Recorded, in_force
from bundles.reports import states
from engine import calendar, clock, settings
from engine.errors import DataNotFit
from engine.market.limits import standing_of, without_sentinels
from engine.panels.bundle import ADJUSTMENTS_FILE, ASSETS_FILE
from engine.panels.limits import rule_limits
from engine.panels.store import (
    DELISTING_PERIOD,
    FORMAT,
    LIMIT_RECORDED,
    LISTED,
    RISK_WARNED,
    SHARE_REFORM,
    SUBFOLDER,
    SUSPENDED,
    TRADED,
    Asset,
    PanelWriter,
)
from engine.types import Standing

Array = npt.NDArray[Any]
Step = Callable[[str], None]


def build(lake: Lake, folder: Path, step: Step = lambda text: None) -> None:
    """Build a bundle from the newest version of a lake into an empty folder.

    Parameters
    ----------
    lake : Lake
        The source.
    folder : Path
        Where panels, assets and adjustments are written.
    step : callable
        Told what is being done.

    Raises
    ------
    DataNotFit
        The lake is empty, damaged, lacks too much of a day, or its tables contradict each other.
    """
    version = lake.view()
    step("hashes of the lake")
    lake.verify(version)
    step("coverage of the sessions")
    require_covered_lake(lake, version, settings.load().data.coverage)
    step("bars")
    market = _Market.read(lake, version)
    counts: dict[str, Any] = {}
    bars = _Bars.read(market)
    market = market.with_first_bars(bars.last_bar)
    writer = PanelWriter(folder / SUBFOLDER, market.days, market.assets)
    step("factors and market cap")
    factor = _adj_factor(market, bars)
    _write_bars(writer, market, bars, factor)
    step("names, suspensions and limits")
    status = _status(market, bars)
    counts |= _write_limits(writer, market, bars, factor, status)
    step("reports")
    counts["report_states"] = _write_reports(writer, market)
    _write_indexes(writer, market)
    step("assets and adjustments")
    plans = plans_of(_with_sid(market, "dividend"), _with_sid(market, "rights"), market.days)
    found = adjustments(plans, factor, bars.last_bar)
    counts |= {
        "splits": len(found.splits),
        "cash_dividends": sum(plan.cash > 0 for plan in plans),
        "rights_issues": sum(plan.rights > 0 for plan in plans),
        "suspected_rights_issues": len(found.unexplained),
        "plans_without_effect": found.without_effect,
        "undated_reports": version.notes.get("undated", {}),
        "bars": int((bars.last_bar == np.arange(len(market.days))[:, None]).sum()),
    }
    write_assets(folder / ASSETS_FILE, market.assets)
    write_adjustments(folder / ADJUSTMENTS_FILE, found, market.days)
    _write_suspected(folder / SUSPECTED, market, found.unexplained)
    _announce(counts, step)
    writer.actions([action.to_json() for action in found.actions])
    writer.finish(
        {
            "data_id": f"{version.data_id}-{FORMAT}",
            "lineage": [f"{data_id}-{FORMAT}" for data_id in version.lineage],
            "label": version.label,
            "made": clock.now().isoformat(timespec="seconds"),
            "counts": counts,
        }
    )


def _write_suspected(path: Path, market: _Market, unexplained: list[tuple[int, int, float]]) -> None:
    """Write the changes of the factor that nothing explains, a line each: what ``rights.csv`` may lack."""
    rows = [
        (market.assets[sid].ts_code, str(market.days[row]), ratio)
        for sid, row, ratio in sorted(unexplained, key=lambda entry: (entry[1], entry[0]))
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


@dataclass(frozen=True)
class _Market:
    """The axes of the panels and the tables behind them."""

    lake: Lake
    version: Version
    days: npt.NDArray[np.datetime64]
    who: Directory
    assets: tuple[Asset, ...]
    row_of_day: npt.NDArray[np.int32] = field(repr=False)
    sid_frame: pl.DataFrame = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions, assets."""
        return len(self.days), len(self.assets)

    @classmethod
    def read(cls, lake: Lake, version: Version) -> _Market:
        """Find the sessions and the assets."""
        keys = [
            frame.lazy()
            .filter(pl.col("vol") > 0)
            .group_by("ts_code")
            .agg(first=pl.col("trade_date").min(), last=pl.col("trade_date").max())
            .collect()
            for frame in lake.frames(version, "daily", ["ts_code", "trade_date", "vol"])
        ]
        spans = pl.concat(keys).group_by("ts_code").agg(pl.col("first").min(), pl.col("last").max())
        who = directory(
            lake.frame(version, "stock_basic"),
            Tables(*(lake.frame(version, name) for name in ("code_changes", "new_share", "delistings"))),
            dict(spans.select("ts_code", "first").iter_rows()),
        )
        spans = spans.filter(pl.col("ts_code").is_in(list(who.sid_of)))
        if not who.assets:
            raise DataNotFit(
                "the lake has no bar of an A share", "stock_basic and daily do not meet", "Import both again."
            )
        known = calendar.sessions()
        first, last = spans["first"].sort().to_numpy()[0], spans["last"].sort().to_numpy()[-1]
        days = known[(known >= first) & (known <= last)]
        row_of_day = np.full(int((days[-1] - days[0]).astype(int)) + 1, -1, dtype=np.int32)
        row_of_day[(days - days[0]).astype(int)] = np.arange(len(days), dtype=np.int32)
        sids = pl.DataFrame(
            {"ts_code": list(who.sid_of), "sid": list(who.sid_of.values())},
            schema={"ts_code": pl.String, "sid": pl.Int32},
        )
        return cls(lake, version, days, who, who.assets, row_of_day, sids)

    def with_first_bars(self, last_bar: npt.NDArray[np.int32]) -> _Market:
        """Fill in where each asset's bars begin."""
        has = last_bar[-1] >= 0
        first = np.where(has, (last_bar < 0).sum(axis=0), -1)
        assets = tuple(replace(asset, first_bar=int(first[asset.sid])) for asset in self.assets)
        return _Market(self.lake, self.version, self.days, self.who, assets, self.row_of_day, self.sid_frame)

    def rows_of(self, days: pl.Series) -> Array:
        """Return the rows of session days; -1 outside the panels."""
        offset = days.cast(pl.Int32).to_numpy() - int(self.days[0].astype(int))
        inside = (offset >= 0) & (offset < len(self.row_of_day))
        return np.where(inside, self.row_of_day[np.where(inside, offset, 0)], -1)

    def first_rows_from(self, days: Array) -> Array:
        """Return the row of the first session on or after each day; days before the first give 0."""
        return np.searchsorted(self.days, days.astype("datetime64[D]"))

    def cells(self, endpoint: str, columns: Sequence[str]) -> Any:
        """Yield (rows, sids, frame) of a daily table, part by part, without what no panel can hold."""
        for frame in self.lake.frames(self.version, endpoint, ["ts_code", "trade_date", *columns]):
            joined = frame.join(self.sid_frame, on="ts_code", how="inner", maintain_order="left")
            rows = self.rows_of(joined["trade_date"])
            inside = rows >= 0
            yield rows[inside], joined["sid"].to_numpy()[inside], joined.filter(pl.Series(inside))


def _with_sid(market: _Market, endpoint: str) -> pl.DataFrame:
    frame = market.lake.frame(market.version, endpoint)
    return frame.join(market.sid_frame, on="ts_code", how="inner", maintain_order="left")


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
    return np.rint(prices.fill_null(0).to_numpy() * 100).astype(np.int64)


def _filled(values: pl.Series) -> npt.NDArray[np.float64]:
    """Return numbers with NaN for a missing one."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _last_at_or_before(rows: Array, sids: Array, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Return, for each cell, the index of the asset's last event so far, -1 before the first.

    Parameters
    ----------
    rows, sids : arrays of int
        Where the events are, ordered by time within an asset; rows at or beyond the end are left out.
    shape : (sessions, assets)
    """
    pointer = np.full(shape, -1, dtype=np.int32)
    inside = rows < shape[0]
    index = np.arange(len(rows), dtype=np.int32)[inside]
    np.maximum.at(pointer, (rows[inside], sids[inside]), index)
    np.maximum.accumulate(pointer, axis=0, out=pointer)
    return pointer


@dataclass
class _Bars:
    """The daily table as arrays."""

    prices: dict[str, npt.NDArray[np.int32]]
    volume: npt.NDArray[np.float64]
    amount: npt.NDArray[np.float64]
    last_bar: npt.NDArray[np.int32]

    @property
    def traded(self) -> npt.NDArray[np.bool_]:
        """Where there is a bar with volume."""
        return self.volume > 0

    @classmethod
    def read(cls, market: _Market) -> _Bars:
        """Scatter the daily table; a row without volume is no bar."""
        names = ("open", "high", "low", "close", "pre_close")
        prices = {name: np.zeros(market.shape, dtype=np.int32) for name in names}
        volume, amount = np.zeros(market.shape), np.zeros(market.shape)
        for rows, sids, frame in market.cells("daily", [*names, "vol", "amount"]):
            bar = frame["vol"].to_numpy() > 0
            at = rows[bar], sids[bar]
            for name in names:
                prices[name][at] = _fen(frame[name])[bar]
            volume[at] = np.rint(frame["vol"].to_numpy()[bar] * 100)
            amount[at] = frame["amount"].to_numpy()[bar] * 1000
        marks = np.where(volume > 0, np.arange(market.shape[0], dtype=np.int32)[:, None], np.int32(-1))
        return cls(prices, volume, amount, np.maximum.accumulate(marks, axis=0))


def _carried(values: Array, last_bar: npt.NDArray[np.int32], before: Any) -> Array:
    """Return the value of the last bar in every cell, ``before`` where there is none yet."""
    picked = np.take_along_axis(values, np.maximum(last_bar, 0), axis=0)
    picked[last_bar < 0] = before
    return picked


def _adj_factor(market: _Market, bars: _Bars) -> npt.NDArray[np.float64]:
    """Return the carried factor; every bar must have one."""
    factor = np.full(market.shape, np.nan)
    for rows, sids, frame in market.cells("adj_factor", ["adj_factor"]):
        factor[rows, sids] = _filled(frame["adj_factor"])
    lacking = np.argwhere(bars.traded & np.isnan(factor))
    if len(lacking):
        row, sid = lacking[0]
        raise DataNotFit(
            f"{len(lacking)} bars have no adj_factor",
            f"the first is {market.assets[sid].ts_code} on {market.days[row]}",
            "Import the missing rows of adj_factor.",
        )
    return _carried(factor, bars.last_bar, np.nan)


def _write_bars(writer: PanelWriter, market: _Market, bars: _Bars, factor: npt.NDArray[np.float64]) -> None:
    for name, values in bars.prices.items():
        writer.field(name, values)
    writer.field("volume", bars.volume)
    writer.field("amount", bars.amount)
    writer.field("adj_factor", factor)
    writer.field("last_bar", bars.last_bar)
    writer.field("last_close", _carried(bars.prices["close"], bars.last_bar, 0))
    basic = {name: np.full(market.shape, np.nan) for name in ("turnover_rate", "total_mv")}
    for rows, sids, frame in market.cells("daily_basic", list(basic)):
        for name, values in basic.items():
            values[rows, sids] = _filled(frame[name])
    for name, values in basic.items():
        writer.field(name, values)


def _status(market: _Market, bars: _Bars) -> npt.NDArray[np.uint8]:
    """Return the status bits of every cell."""
    status = np.where(bars.traded, np.uint8(TRADED), np.uint8(0))
    for rows, sids, frame in market.cells("suspend_d", ["suspend_type", "suspend_timing"]):
        whole_day = ((frame["suspend_type"] == "S") & frame["suspend_timing"].is_null()).to_numpy()
        status[rows[whole_day], sids[whole_day]] |= SUSPENDED
    for asset in market.assets:
        first = int(market.first_rows_from(np.array([min(asset.list_date, asset.codes[0][1])]))[0])
        gone = int(market.first_rows_from(np.array([asset.delist_date]))[0]) if asset.delist_date else market.shape[0]
        status[first:gone, asset.sid] |= LISTED
    return status | _named(market)


_BITS = {
    Standing.ORDINARY: 0,
    Standing.RISK_WARNED: RISK_WARNED,
    Standing.SHARE_REFORM: SHARE_REFORM,
    Standing.DELISTING_PERIOD: DELISTING_PERIOD | RISK_WARNED,
}


def _named(market: _Market) -> npt.NDArray[np.uint8]:
    """Return what the name of the day, or the exchange's own list, says of each cell (SPEC 13.5, 13.16)."""
    names = _with_sid(market, "namechange").filter(pl.col("start_date").is_not_null() & pl.col("name").is_not_null())
    names = names.sort("sid", "start_date", maintain_order=True)
    rows = market.first_rows_from(names["start_date"].to_numpy())
    pointer = _last_at_or_before(rows, names["sid"].to_numpy(), market.shape)
    bits = np.array([_BITS[standing_of(name)] for name in names["name"]] + [0], dtype=np.uint8)[pointer]
    for rows, sids, _ in market.cells("stock_st", []):
        bits[rows, sids] |= RISK_WARNED
    return bits


def _write_limits(
    writer: PanelWriter, market: _Market, bars: _Bars, factor: npt.NDArray[np.float64], status: npt.NDArray[np.uint8]
) -> dict[str, int]:
    """Write the price limits and the status with where they come from; return what is to be counted."""
    up, down = (np.zeros(market.shape, dtype=np.int64) for _ in range(2))
    there = np.zeros(market.shape, dtype=bool)
    pre_close = bars.prices["pre_close"]
    for rows, sids, frame in market.cells("stk_limit", ["up_limit", "down_limit"]):
        given_up, given_down = (_fen64(frame[name]) for name in ("up_limit", "down_limit"))
        up[rows, sids], down[rows, sids] = without_sentinels(given_up, given_down, pre_close[rows, sids])
        there[rows, sids] = True
    reference = np.where(bars.traded & (pre_close == 0), _carried_reference(bars, factor), pre_close)
    rule = rule_limits(market.days, market.assets, bars.traded, reference, status)
    _require_rules(market, bars.traded & ~there & rule.unruled)
    limits = in_force(Recorded(up, down, there), rule, bars.traded, bars.prices["high"], bars.prices["low"])
    writer.field("up_limit", limits.up.astype(np.int32))
    writer.field("down_limit", limits.down.astype(np.int32))
    writer.field("status", np.where(there, status | np.uint8(LIMIT_RECORDED), status))
    writer.corrected_limits(limits.corrected)
    return {
        "limits_by_rule": limits.by_rule,
        "limits_unknown": limits.unknown,
        "limits_corrected": len(limits.corrected),
    }


def _carried_reference(bars: _Bars, factor: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Return the last close before each session, moved by the factor: what stands in for a missing previous close."""
    reference = np.zeros(bars.volume.shape, dtype=np.int32)
    close = _carried(bars.prices["close"], bars.last_bar, 0)
    with np.errstate(invalid="ignore"):
        moved = np.rint(close[:-1] * factor[:-1] / factor[1:])
    reference[1:] = np.nan_to_num(moved).astype(np.int32)
    return reference


def _require_rules(market: _Market, without: npt.NDArray[np.bool_]) -> None:
    """Complain about bars with neither a row of the exchange nor a rule: a limit is never guessed."""
    if without.any():
        row, sid = np.argwhere(without)[0]
        raise DataNotFit(
            f"{int(without.sum())} bars have no price limits, first {market.assets[sid].ts_code} on {market.days[row]}",
            "stk_limit has no row for them, and they are older than the rules of their board",
            "Import stk_limit for them, or leave these bars out.",
        )


def _write_reports(writer: PanelWriter, market: _Market) -> int:
    """Write the states of the reports and which of them holds in each cell."""
    known = states(_with_sid(market, "income"), _with_sid(market, "balancesheet"), market.who.financial)
    writer.field("report", _last_at_or_before(market.first_rows_from(known.known_at), known.sids, market.shape))
    writer.reports(known.columns)
    return len(known.sids)


def _write_indexes(writer: PanelWriter, market: _Market) -> None:
    frame = market.lake.frame(market.version, "index_daily")
    rows = market.rows_of(frame["trade_date"])
    for (code,), group in frame.with_columns(row=pl.Series(rows)).filter(pl.col("row") >= 0).group_by("ts_code"):
        for price in ("open", "close"):
            values = np.full(market.shape[0], np.nan)
            values[group["row"].to_numpy()] = _filled(group[price])
            writer.index(str(code), price, values)
