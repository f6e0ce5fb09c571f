"""How holdings differed from the market: where they stood among all stocks by size, momentum, risk and turnover."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata

from engine.panels.reader import Panels

Floats = npt.NDArray[np.float64]

MONTH, QUARTER = 20, 60
"""Sessions that momentum and volatility look back."""
FACTORS = ("size", "momentum_1m", "momentum_3m", "volatility_3m", "turnover")


def tilts(panels: Panels, positions: pl.DataFrame, renamed: Mapping[str, str]) -> pl.DataFrame:
    """Return the mean percentile of the holdings, a row a month's last session: session, ``FACTORS``.

    0.5 is the middle of all stocks that traded in the session, weighted by the value held. Everything is known at its
    close. A session without holdings has no row.

    Parameters
    ----------
    panels : Panels
        Of the data the run had.
    positions : DataFrame
        Of the run.
    renamed : mapping of str to str
        From an earlier code to today's.
    """
    month = pl.col("session").dt.truncate("1mo")
    last = positions.filter(pl.col("session") == pl.col("session").max().over(month))
    today = last.with_columns(pl.col("ts_code").replace(dict(renamed)), value=pl.col("shares") * pl.col("price"))
    rows = {day: row for row, day in enumerate(panels.days.astype("datetime64[D]").tolist())}
    found = [
        (day, *_held(panels, rows[day], frame.select("ts_code", "value").iter_rows()))
        for (day,), frame in today.group_by("session", maintain_order=True)
        if isinstance(day, dt.date) and day in rows
    ]
    schema = {"session": pl.Date, **dict.fromkeys(FACTORS, pl.Float64)}
    return pl.DataFrame(found, schema=schema, orient="row").sort("session").fill_nan(None)


def _held(panels: Panels, row: int, held: Iterator[tuple[str, float]]) -> list[float]:
    """Return the mean percentile of holdings in each factor, NaN where none of them has it."""
    known = [(panels.sids[code], value) for code, value in held if code in panels.sids]
    sids, values = np.array([sid for sid, _ in known], dtype=int), np.array([value for _, value in known])
    means = []
    for percentiles in _percentiles(panels, row):
        there = np.isfinite(percentiles[sids])
        whole = float(values[there].sum())
        means.append(float((percentiles[sids] * values)[there].sum() / whole) if whole else np.nan)
    return means


def _percentiles(panels: Panels, row: int) -> Iterator[Floats]:
    """Yield the percentiles of all stocks that traded in a session, (assets,), factor by factor."""
    prices = panels.window("last_close", row - QUARTER, row, np.arange(len(panels.assets)))
    factors = panels.window("adj_factor", row - QUARTER, row, np.arange(len(panels.assets)))
    adjusted = np.where(prices > 0, prices * factors, np.nan)
    traded = panels.field("volume")[row] > 0
    with np.errstate(all="ignore"):
        daily = adjusted[1:] / adjusted[:-1] - 1.0
        own = (
            panels.field("total_mv")[row],
            adjusted[-1] / adjusted[-1 - MONTH] - 1.0,
            adjusted[-1] / adjusted[0] - 1.0,
            np.where(np.isfinite(daily).all(axis=0), daily.std(axis=0), np.nan),
            panels.field("turnover_rate")[row],
        )
    for values in own:
        yield _ranked(np.where(traded, values, np.nan))


def _ranked(values: Floats) -> Floats:
    """Return the share of the known values below each one, half of the equal ones counted."""
    known = np.isfinite(values)
    shares = np.full(len(values), np.nan)
    if known.any():
        shares[known] = (rankdata(values[known]) - 0.5) / known.sum()
    return shares
