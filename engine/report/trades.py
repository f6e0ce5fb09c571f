"""Where a result came from: profit by stock and day, by board, size and industry; round trips; capacity.

Codes are today's throughout, so that a change of code parts nothing. Sizes are total market caps at the close before:
what was known when the session began. Industries are no part of a bundle; whoever has them passes them as labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise

import empyrical
import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import BadInput
from engine.market.boards import board_of
from engine.panels.reader import Panels
from engine.report.costs import FEES, before_trading
from engine.report.statistics import RoundTrip
from engine.types import Side

Floats = npt.NDArray[np.float64]

SIZES = (5.0, 10.0, 20.0, 50.0)
"""Bounds between the classes of size, in billions of CNY."""
UNKNOWN = "unknown"
MULTIPLES = (1, 2, 5, 10, 20, 50, 100)
"""Of the run's capital, at which its capacity is looked at."""
_KEY = ["session", "ts_code"]


def daily_profit(
    perf: pl.DataFrame, orders: pl.DataFrame, positions: pl.DataFrame, actions: pl.DataFrame, renamed: Mapping[str, str]
) -> pl.DataFrame:
    """Return what each stock earned in each session after its costs: session, ts_code, profit in CNY.

    Value at the close, less that at the close before, plus what sells, dividends and delistings brought, less what
    buys, rights, fees and taxes took. The sum of a session is the change of the net value without flows of capital.

    Parameters
    ----------
    perf, orders, positions, actions : DataFrame
        Of the run.
    renamed : mapping of str to str
        From an earlier code to today's.
    """
    sessions = perf["session"].to_list()
    after = pl.DataFrame({"session": sessions[:-1], "next": sessions[1:]}, schema={"session": pl.Date, "next": pl.Date})
    value = (pl.col("shares") * pl.col("price")).alias("profit")
    held = positions.select(*_KEY, value)
    gone = held.join(after, on="session").select(pl.col("next").alias("session"), "ts_code", -pl.col("profit"))
    sign = pl.when(pl.col("side") == str(Side.SELL)).then(1.0).otherwise(-1.0)
    traded = sign * pl.col("filled") * pl.col("price") - pl.sum_horizontal(*FEES)
    fills = orders.filter(pl.col("filled") > 0).select(*_KEY, traded.alias("profit"))
    paid = actions.select(*_KEY, pl.col("cash").alias("profit"))
    return (
        pl.concat([held, gone, fills, paid])
        .with_columns(pl.col("ts_code").replace(dict(renamed)))
        .group_by(_KEY)
        .agg(pl.col("profit").sum())
        .sort(_KEY)
    )


def attribution(profits: pl.DataFrame, labels: pl.DataFrame, perf: pl.DataFrame, capital: float) -> pl.DataFrame:
    """Return what each group of stocks contributed, the largest profit first.

    Columns: label, profit (CNY), contribution (sum of the daily profits over the net value each session began with; the
    contributions of all groups add up to the sum of the daily returns), share of the profit of all, stocks.

    Parameters
    ----------
    profits : DataFrame
        Of ``daily_profit``.
    labels : DataFrame
        ts_code and label, of a stock, or session, ts_code and label, of a stock in a session; what has none is
        ``unknown``.
    perf : DataFrame
        Of the run.
    capital : float
        At its start, CNY.
    """
    base = perf.select("session", before=pl.Series(before_trading(perf, capital)))
    on = [name for name in _KEY if name in labels.columns]
    found = (
        profits.join(base, on="session")
        .join(labels.select(*on, "label").unique(on), on=on, how="left")
        .group_by(pl.col("label").fill_null(UNKNOWN))
        .agg(
            pl.col("profit").sum(),
            (pl.col("profit") / pl.col("before")).sum().alias("contribution"),
            pl.col("ts_code").n_unique().alias("stocks"),
        )
    )
    whole = pl.col("profit").sum()
    share = pl.when(whole != 0).then(pl.col("profit") / whole)
    return found.with_columns(share.alias("share")).sort("profit", "label", descending=[True, False])


def board_labels(codes: Sequence[str]) -> pl.DataFrame:
    """Return ts_code and board of codes."""
    known = sorted(set(codes))
    return pl.DataFrame({"ts_code": known, "label": [_board(code) for code in known]}, schema=_LABELS)


_LABELS = {"ts_code": pl.String, "label": pl.String}


def _board(code: str) -> str:
    try:
        return str(board_of(code))
    except BadInput:
        return UNKNOWN


def size_labels(market: pl.DataFrame) -> pl.DataFrame:
    """Return session, ts_code and class of size, from what ``market`` returned."""
    names = size_names()
    billions = pl.col("total_mv") / 1e5
    label = pl.lit(names[-1])
    for bound, name in reversed(list(zip(SIZES, names, strict=False))):
        label = pl.when(billions < bound).then(pl.lit(name)).otherwise(label)
    return market.select(*_KEY, pl.when(pl.col("total_mv").is_not_nan()).then(label).alias("label"))


def size_names() -> list[str]:
    """Return the classes of size, the smallest first."""
    between = [f"{low:g} to {high:g} billion CNY" for low, high in pairwise(SIZES)]
    return [f"under {SIZES[0]:g} billion CNY", *between, f"{SIZES[-1]:g} billion CNY and more"]


def market(panels: Panels, keys: pl.DataFrame) -> pl.DataFrame:
    """Return what the panels hold of stocks in sessions: session, ts_code, total_mv, volume.

    ``total_mv`` is the market cap at the close before in 10k CNY, NaN where it is not known; ``volume`` is that of the
    session in shares. Stocks and sessions the panels do not hold are left out.

    Parameters
    ----------
    panels : Panels
        The bundle; of the run's own data, or of later ones.
    keys : DataFrame
        With session and ts_code, such as ``daily_profit`` returns.
    """
    wanted = keys.select(_KEY).unique().sort(_KEY)
    rows = {day: row for row, day in enumerate(panels.days.astype("datetime64[D]").tolist())}
    at = [(rows.get(day), panels.sids.get(code)) for day, code in wanted.iter_rows()]
    there = np.array([row is not None and sid is not None for row, sid in at], dtype=bool)
    row, sid = (
        np.array([pair[of] for pair, is_in in zip(at, there, strict=True) if is_in], dtype=int) for of in (0, 1)
    )
    size = np.where(row > 0, panels.field("total_mv")[np.maximum(row - 1, 0), sid], np.nan)
    volume = panels.field("volume")[row, sid].astype(float)
    return wanted.filter(pl.Series(there)).with_columns(total_mv=pl.Series(size), volume=pl.Series(volume))


def trips_frame(trips: Sequence[RoundTrip], perf: pl.DataFrame) -> pl.DataFrame:
    """Return a row a closed round trip: ts_code, board, opened, closed, sessions, invested, profit, return.

    ``sessions`` counts from the first buy to the end; ``return`` is the profit over all the cash that went in.
    """
    schema = {"ts_code": pl.String, "opened": pl.Date, "closed": pl.Date, "profit": pl.Float64, "invested": pl.Float64}
    frame = pl.DataFrame([asdict(trip) for trip in trips], schema=schema)
    at = perf.select("session", row=pl.int_range(pl.len(), dtype=pl.Int64))
    held = (
        frame.join(at.rename({"session": "opened", "row": "first"}), on="opened", how="left", maintain_order="left")
        .join(at.rename({"session": "closed", "row": "last"}), on="closed", how="left", maintain_order="left")
        .join(board_labels(frame["ts_code"].to_list()), on="ts_code", how="left", maintain_order="left")
    )
    made = pl.when(pl.col("invested") > 0).then(pl.col("profit") / pl.col("invested")).alias("return")
    count = (pl.col("last") - pl.col("first")).alias("sessions")
    return held.select("ts_code", pl.col("label").alias("board"), "opened", "closed", count, "invested", "profit", made)


def trip_summary(frame: pl.DataFrame, by: str | None = None) -> pl.DataFrame:
    """Return figures of round trips, of all or a row a value of a column.

    Columns: label, trips, win_rate, mean_sessions, median_sessions, mean_profit, best and worst (CNY), profit, and
    profit_factor: what the winners made over what the losers lost, null without a loser.

    Parameters
    ----------
    frame : DataFrame
        Of ``trips_frame``, with whatever column was joined to it.
    by : str, optional
        Name of the column.
    """
    profit, sessions = pl.col("profit"), pl.col("sessions")
    lost = -profit.filter(profit < 0).sum()
    return (
        frame.group_by((pl.lit("all") if by is None else pl.col(by).fill_null(UNKNOWN)).alias("label"))
        .agg(
            pl.len().alias("trips"),
            (profit > 0).mean().alias("win_rate"),
            sessions.mean().alias("mean_sessions"),
            sessions.median().alias("median_sessions"),
            profit.mean().alias("mean_profit"),
            profit.max().alias("best"),
            profit.min().alias("worst"),
            profit.sum().alias("profit"),
            pl.when(lost > 0).then(profit.filter(profit > 0).sum() / lost).alias("profit_factor"),
        )
        .filter(pl.col("trips") > 0)
        .sort("trips", "label", descending=[True, False])
    )


def trips_with_size(frame: pl.DataFrame, market: pl.DataFrame) -> pl.DataFrame:
    """Add the class of size a stock was in when its round trip was opened, as ``size``."""
    labels = size_labels(market).rename({"session": "opened", "label": "size"})
    return frame.join(labels, on=["opened", "ts_code"], how="left", maintain_order="left")


def capacity(
    perf: pl.DataFrame,
    orders: pl.DataFrame,
    positions: pl.DataFrame,
    profits: pl.DataFrame,
    market: pl.DataFrame,
    capital: float,
    year: float,
    participation: float,
    renamed: Mapping[str, str],
    multiples: Sequence[float] = MULTIPLES,
) -> pl.DataFrame:
    """Return what would be left of the result with more capital: capital, bought, annual_return, annual_volatility.

    Every buy is taken as many times as large and cut to the participation in its session's volume; what is not bought
    stays cash and earns nothing. Each holding then earns the share of its profit that was bought. Sells are taken as
    complete, prices as they were, fees in proportion: it is an upper bound, and exact at 1.

    Parameters
    ----------
    perf, orders, positions : DataFrame
        Of the run.
    profits, market : DataFrame
        Of ``daily_profit`` and ``market``, for the keys of the orders at least.
    capital, year : float
        At the start, CNY; sessions a year.
    participation : float
        Largest share of a session's volume one stock's buys may take.
    renamed : mapping of str to str
        From an earlier code to today's.
    multiples : sequence of float
        Of the capital.
    """
    times = np.array(multiples, dtype=float)
    today = pl.col("ts_code").replace(dict(renamed))
    shares = positions.select("session", today, pl.col("shares").alias("held"))
    buys = (
        orders.filter((pl.col("filled") > 0) & (pl.col("side") == str(Side.BUY)))
        .with_columns(today)
        .group_by(_KEY)
        .agg(pl.col("filled").sum(), (pl.col("filled") * pl.col("price")).sum().alias("value"))
        .join(shares, on=_KEY, how="left")
        .join(market.select(*_KEY, "volume"), on=_KEY, how="left")
        .sort("ts_code", "session")
    )
    most = buys["volume"].fill_null(np.inf).to_numpy() * participation
    filled = buys["filled"].to_numpy().astype(float)
    got = np.minimum(1.0, most[:, None] / (filled[:, None] * times))
    kept = _kept(buys["ts_code"].to_list(), filled, buys["held"].fill_null(0).to_numpy(), got)
    base = perf.select("session", before=pl.Series(before_trading(perf, capital)))
    joined = profits.join(base, on="session").sort("session", maintain_order=True)
    value = buys["value"].to_numpy()
    rows = []
    for column, multiple in enumerate(multiples):
        shared = buys.select(*_KEY, kept=pl.Series(kept[:, column])).sort("session", maintain_order=True)
        scaled = joined.join_asof(shared, on="session", by="ts_code", check_sortedness=False)
        earned = (pl.col("profit") * pl.col("kept").fill_null(1.0) / pl.col("before")).sum().alias("daily")
        daily = base.join(scaled.group_by("session").agg(earned), on="session", how="left", maintain_order="left")
        own = daily["daily"].fill_null(0.0).to_numpy()
        bought = float((got[:, column] * value).sum() / value.sum()) if len(value) else 1.0
        annual = float(empyrical.annual_return(own, annualization=year))
        rows.append((capital * multiple, bought, annual, float(empyrical.annual_volatility(own, annualization=year))))
    return pl.DataFrame(rows, schema=["capital", "bought", "annual_return", "annual_volatility"], orient="row")


def _kept(codes: Sequence[str], filled: Floats, held: Floats, got: Floats) -> Floats:
    """Return after each buy the share of the stock's holding that was bought, (buys, multiples)."""
    kept = np.empty_like(got)
    for at, code in enumerate(codes):
        earlier = max(held[at] - filled[at], 0.0)
        before = kept[at - 1] if at and codes[at - 1] == code and earlier else np.zeros(got.shape[1])
        kept[at] = (before * earlier + got[at] * filled[at]) / (earlier + filled[at])
    return kept


def concentration(profits: pl.DataFrame) -> pl.DataFrame:
    """Return what each stock earned and its share of the profit, the largest first: ts_code, profit, share."""
    found = profits.group_by("ts_code").agg(pl.col("profit").sum())
    whole = pl.col("profit").sum()
    share = pl.when(whole != 0).then(pl.col("profit") / whole).alias("share")
    return found.with_columns(share).sort("profit", "ts_code", descending=[True, False])
