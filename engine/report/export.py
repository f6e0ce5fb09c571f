"""Taking a run elsewhere: every table as CSV, Parquet or JSON, and what pyfolio and quantstats read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs

from engine.errors import UsageError
from engine.files import whole_folder
from engine.report.opened import Run
from engine.types import Side

FORMATS = ("csv", "parquet", "json")
UTC = "UTC"
"""pyfolio refuses stamps without a zone; a session is its day at midnight, as zipline has it."""


def export(run: Run, more: Mapping[str, pl.DataFrame], folder: Path, form: str) -> list[Path]:
    """Write a run's tables, those reckoned from it and three CSV files for pyfolio, and return their paths.

    Parameters
    ----------
    run : Run
        The run.
    more : mapping of str to DataFrame
        Of ``review.tables``.
    folder : Path
        Absent or empty; it appears whole or not at all.
    form : str
        One of ``FORMATS``. JSON is a list of objects, and null is whatever is no number.

    Raises
    ------
    UsageError
        The folder holds something, or is none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        why = "it holds files already" if folder.is_dir() else "it is no folder"
        raise UsageError(f"nothing is exported to {folder}", why, "Name a new folder.")
    with whole_folder(folder.absolute()) as beside:
        for name, table in {**run.tables(), **more}.items():
            write(table, beside / f"{name}.{form}", form)
        for name, frame in {
            "pyfolio_returns": pyfolio_returns(run).to_frame(),
            "pyfolio_positions": pyfolio_positions(run),
            "pyfolio_transactions": pyfolio_transactions(run),
        }.items():
            frame.to_csv(beside / f"{name}.csv")
    return sorted(folder.iterdir())


def write(table: pl.DataFrame, path: Path, form: str) -> None:
    """Write a table in one of ``FORMATS``."""
    if form == "csv":
        table.write_csv(path)
    elif form == "parquet":
        table.write_parquet(path)
    else:
        odd = ~cs.float().is_finite()
        table.with_columns(pl.when(odd).then(None).otherwise(cs.float()).name.keep()).write_json(path)


def pyfolio_returns(run: Run) -> pd.Series:
    """Return the daily returns with stamps in UTC, for pyfolio and quantstats."""
    return pd.Series(run.returns, index=_stamps(run.perf["session"]), name="returns")


def pyfolio_positions(run: Run) -> pd.DataFrame:
    """Return the value of each holding and of cash at each close, CNY; stocks in columns by their code of the day."""
    value = run.positions.select("session", "ts_code", (pl.col("shares") * pl.col("price")).alias("value"))
    wide = value.pivot("ts_code", index="session", values="value", aggregate_function="sum", sort_columns=True)
    whole = run.perf.select("session", "cash").join(wide, on="session", how="left", maintain_order="left")
    frame = whole.drop("session", "cash").fill_null(0.0).to_pandas()
    frame["cash"] = run.perf["cash"].to_numpy()
    return frame.set_index(_stamps(run.perf["session"]))


def pyfolio_transactions(run: Run) -> pd.DataFrame:
    """Return the fills: amount (shares, negative for sells), price, symbol, commission (all fees), CNY."""
    filled = run.orders.filter(pl.col("filled") > 0)
    sign = np.where(filled["side"].to_numpy() == str(Side.SELL), -1, 1)
    return pd.DataFrame(
        {
            "amount": filled["filled"].to_numpy() * sign,
            "price": filled["price"].to_numpy(),
            "symbol": filled["ts_code"].to_list(),
            "commission": filled.select(pl.sum_horizontal("commission", "stamp_duty", "transfer_fee")).to_series(),
        },
        index=_stamps(filled["session"]),
    )


def _stamps(sessions: pl.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(sessions.to_numpy().astype("datetime64[ns]"), name="date").tz_localize(UTC)
