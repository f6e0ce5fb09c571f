"""From ``stock_basic`` and code changes to assets: one stock through all its codes, sids in order of its first one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.databases import database
from engine.calendar import sessions
from engine.errors import BadInput
from engine.market.boards import EXCHANGES, board_of, exchange_of, is_a_share
from engine.panels.store import Asset

FINANCIAL_INDUSTRIES = frozenset({"银行", "证券", "保险"})


@dataclass(frozen=True)
class Directory:
    """Who is who.

    Attributes
    ----------
    assets : tuple of Asset
        In sid order; ``first_bar`` is not filled in yet.
    sid_of : dict of str to int
        Every code, old ones too.
    financial : frozenset of int
        Sids of banks, brokers and insurers by today's industry.
    """

    assets: tuple[Asset, ...]
    sid_of: Mapping[str, int]
    financial: frozenset[int]


@dataclass(frozen=True)
class Tables:
    """What else is known of the stocks: tables of the lake, each of them possibly empty."""

    code_changes: pl.DataFrame
    new_share: pl.DataFrame
    delistings: pl.DataFrame


def as_known(stock_basic: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    """Return ``stock_basic`` without what it says of the days after one: who is delisted then is listed yet."""
    later = pl.col("delist_date") > day
    return stock_basic.with_columns(
        pl.when(later.fill_null(False)).then(None).otherwise("delist_date").alias("delist_date"),
        pl.when(later.fill_null(False)).then(pl.lit("L")).otherwise("list_status").alias("list_status"),
    )


def directory(stock_basic: pl.DataFrame, tables: Tables, first_days: Mapping[str, dt.date]) -> Directory:
    """Return the assets that have a bar.

    Parameters
    ----------
    stock_basic : DataFrame
        Of the lake.
    tables : Tables
        Code changes, issue prices, terms of delistings.
    first_days : mapping of str to date
        The first bar of each code; a code without one is left out.
    """
    rows = {row["ts_code"]: row for row in stock_basic.iter_rows(named=True) if is_a_share(row["ts_code"])}
    renamed = {old: (new, day) for old, new, day in tables.code_changes.select("old", "new", "date").iter_rows()}
    chains = _chains(rows, renamed, first_days)
    prices = {code: price for code, price in tables.new_share.select("ts_code", "price").iter_rows() if price}
    today = {code: chain[-1][0] for chain in chains for code, _ in chain}
    terms = {today.get(row["ts_code"]): _terms(row, today) for row in tables.delistings.iter_rows(named=True)}
    assets = tuple(
        replace(
            _asset(sid, chain, rows, first_days),
            issue_price=round(prices.get(chain[0][0], 0) * 100),
            delisting=terms.get(chain[-1][0], ()),
        )
        for sid, chain in enumerate(chains)
    )
    return Directory(
        assets=assets,
        sid_of={code: asset.sid for asset in assets for code, _ in asset.codes},
        financial=frozenset(asset.sid for asset in assets if rows[asset.ts_code]["industry"] in FINANCIAL_INDUSTRIES),
    )


def _terms(row: Mapping[str, Any], today: Mapping[str, str]) -> tuple[str, ...]:
    """Return kind, successor by its code of today, shares of it and cash a share, as text.

    Terms that name shares of a stock the lake does not have cannot be kept: such a holding goes by its last price.
    """
    into = today.get(row["into"] or "", "")
    amounts = [repr(float(row[name] or 0)) for name in ("ratio", "cash")]
    return row["kind"], into, *(amounts if into or not row["ratio"] else ("0.0", "0.0"))


Chain = list[tuple[str, dt.date | None]]


def _chains(
    rows: Mapping[str, Any], renamed: Mapping[str, tuple[str, dt.date]], first_days: Mapping[str, dt.date]
) -> list[Chain]:
    """Return each stock's codes with the day each began (None for the first), in order of their first.

    In order of the code in use, a later change would move a stock among the others, and with it ties and sums.
    """
    before = {new: (old, day) for old, (new, day) in renamed.items() if new in rows}
    chains = []
    for code in sorted(rows):
        if code in renamed and renamed[code][0] in rows:
            continue  # an old code: it belongs to the chain of its successor
        chain: Chain = [(code, None)]
        while chain[0][0] in before:
            old, day = before[chain[0][0]]
            if any(old == used for used, _ in chain):
                raise BadInput(f"code_changes goes in a circle at {old}", "a code follows itself", "Correct the table.")
            chain[:1] = [(old, None), (chain[0][0], day)]
        if any(used in first_days for used, _ in chain):
            chains.append(chain)
    return sorted(chains, key=lambda chain: chain[0][0])


def _asset(sid: int, chain: Chain, rows: Mapping[str, Any], first_days: Mapping[str, dt.date]) -> Asset:
    oldest, newest = chain[0][0], chain[-1][0]
    bars = [first_days[code] for code, _ in chain if code in first_days]
    listed = rows[oldest]["list_date"] if oldest in rows else None
    list_date = min(bars) if listed is None else listed
    codes = tuple((code, since or min(list_date, *bars)) for code, since in chain)
    return Asset(sid, codes, board_of(newest), list_date, rows[newest]["delist_date"], first_bar=-1)


def write_assets(path: Path, assets: tuple[Asset, ...]) -> None:
    """Write zipline's asset database.

    A listed stock ends with the calendar, for it may trade on; a delisted one on its last session of listing,
    and its position is closed on the session after. The name is the code: today's name would tell the future.
    """
    known = sessions()
    ends = [_last_session(asset, known) for asset in assets]
    mappings = [row for asset, end in zip(assets, ends, strict=True) for row in _mappings(asset, known[end])]
    with database(path, "assets") as tables:
        tables.execute("INSERT INTO version_info VALUES (1, 7)")
        tables.executemany("INSERT INTO exchanges VALUES (?, ?, 'CN')", [(name, name) for name in EXCHANGES.values()])
        tables.executemany(
            "INSERT INTO equities VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_equity(asset, end, known) for asset, end in zip(assets, ends, strict=True)],
        )
        tables.executemany("INSERT INTO asset_router VALUES (?, 'equity')", [(asset.sid,) for asset in assets])
        numbered = [(number, *row) for number, row in enumerate(mappings)]
        tables.executemany("INSERT INTO equity_symbol_mappings VALUES (?, ?, ?, ?, ?, ?, ?)", numbered)


Days = npt.NDArray[np.datetime64]


def _equity(asset: Asset, end: int, known: Days) -> tuple[Any, ...]:
    """Return one row: sid, name, first and last day, first trade, day of closing, exchange."""
    start = _nanoseconds(asset.codes[0][1])
    closed = _nanoseconds(known[min(end + 1, len(known) - 1)]) if asset.delist_date else _NEVER
    return (
        asset.sid,
        asset.ts_code,
        start,
        _nanoseconds(known[end]),
        start,
        closed,
        EXCHANGES[exchange_of(asset.ts_code)],
    )


def _last_session(asset: Asset, known: Days) -> int:
    if asset.delist_date is None:
        return len(known) - 1
    return max(int(np.searchsorted(known, np.datetime64(asset.delist_date))) - 1, 0)


def _mappings(asset: Asset, end: np.datetime64) -> list[tuple[Any, ...]]:
    """Return the symbols of one asset with the days each was in use."""
    starts = [np.datetime64(day) for _, day in asset.codes]
    ends = [start - np.timedelta64(1, "D") for start in starts[1:]] + [max(end, starts[-1])]
    return [
        (asset.sid, code, *code.split("."), _nanoseconds(start), _nanoseconds(until))
        for (code, _), start, until in zip(asset.codes, starts, ends, strict=True)
    ]


_NEVER = int(np.datetime64("NaT").astype(np.int64))


@cache
def _nanoseconds(day: dt.date | np.datetime64) -> int:
    """Return a day as nanoseconds since the epoch, as zipline stores it."""
    return int(np.array(day, dtype="datetime64[ns]").astype(np.int64))
