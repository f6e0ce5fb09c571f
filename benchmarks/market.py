"""The synthetic market of the reference workload: seeded, the same data on every machine.

N stocks over the exchange's sessions 2017-01-03 to 2024-12-31: an index, betas and noise make returns within the
limits; turnover, shares, late listings and random suspensions follow. There are no corporate actions.

``python -m benchmarks.market N FOLDER`` writes it as a Tushare-shaped folder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.calendar import sessions

FIRST, LAST, SEED = "2017-01-03", "2024-12-31", 7

Floats = npt.NDArray[np.float64]


def codes(n: int) -> list[str]:
    """Return the codes of the market: half Shanghai, half Shenzhen."""
    half = n // 2
    return [f"{600000 + i:06d}.SH" if i < half else f"{i - half + 1:06d}.SZ" for i in range(n)]


def arrays(n: int, seed: int = SEED) -> tuple[npt.NDArray[np.datetime64], dict[str, Floats], npt.NDArray[np.bool_]]:
    """Draw the market.

    Parameters
    ----------
    n : int
        Stocks.
    seed : int
        Of the generator; the order of the draws is part of the workload.

    Returns
    -------
    (days, columns, present)
        Sessions; each column as (sessions, stocks); where there is a row, (stocks, sessions).
    """
    days = sessions()
    days = days[(days >= np.datetime64(FIRST)) & (days <= np.datetime64(LAST))]
    t, rng = len(days), np.random.default_rng(seed)
    index = rng.normal(0.0002, 0.012, t)
    beta, deviation = rng.uniform(0.6, 1.4, n), rng.uniform(0.015, 0.03, n)
    returns = np.clip(beta * index[:, None] + rng.normal(0, 1, (t, n)) * deviation, -0.0995, 0.0995)
    path = np.round(rng.uniform(4, 60, n) * np.exp(np.cumsum(np.log1p(returns), 0)), 2).clip(1, 3000)
    pre_close = np.vstack([path[:1], path[:-1]])
    up, down = np.round(pre_close * 1.1, 2), np.round(pre_close * 0.9, 2)
    close = np.clip(path, down, up)
    open_ = np.clip(np.round(pre_close * (1 + rng.normal(0, 0.005, (t, n))), 2), down, up)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    high = np.maximum(np.minimum(up, top * (1 + np.abs(rng.normal(0, 0.004, (t, n))))).round(2), top)
    low = np.minimum(np.maximum(down, bottom * (1 - np.abs(rng.normal(0, 0.004, (t, n))))).round(2), bottom)
    turnover = np.exp(rng.normal(0.3, 0.7, (t, n)))
    shares = np.exp(rng.normal(11.2, 0.6, n))  # 10k shares
    lots = np.round(shares * 1e4 * turnover / 100 / 100)
    first = rng.integers(0, int(t * 0.5), n) * (rng.random(n) < 0.4)
    listed = np.arange(t)[None, :] >= first[:, None]
    present = listed & ~(rng.random((n, t)) < 0.004)
    columns = {"open": open_, "high": high, "low": low, "close": close, "pre_close": pre_close, "vol": lots}
    columns |= {"turnover_rate": turnover, "up_limit": up, "down_limit": down, "total_mv": close * shares}
    return days, columns | {"amount": close * lots * 100 / 1000}, present


def rows(n: int, seed: int = SEED) -> pl.DataFrame:
    """Return one row a stock and traded session, sorted by the order of ``codes`` and by date."""
    days, columns, present = arrays(n, seed)
    keep = present.ravel()
    names = pl.Series("ts_code", np.repeat(np.arange(n), len(days))[keep]).cast(pl.UInt32)
    frame = pl.DataFrame({"date": np.tile(days, n)[keep], **{k: v.T.ravel()[keep] for k, v in columns.items()}})
    return frame.select(pl.Series("ts_code", codes(n))[names].alias("ts_code"), pl.all())


def write_folder(n: int, folder: Path) -> None:
    """Write the market as a Tushare-shaped folder.

    Every absent row after a stock's first is a suspension, the first bar is the listing, and every stock belongs
    to a main board: codes from 602000.SH on, a range no board uses, become 603000.SH and on, which keeps the order.
    """
    market = rows(n).with_columns(pl.col("ts_code").str.replace(r"^602(\d{3}\.SH)$", "603$1"))
    market = market.with_columns(pl.col("date").dt.strftime("%Y%m%d").alias("trade_date")).drop("date")
    listed = market.group_by("ts_code", maintain_order=True).agg(pl.col("trade_date").first().alias("list_date"))
    key = ["ts_code", "trade_date"]
    tables = {
        "stock_basic": listed.with_columns(
            name="ts_code", list_status=pl.lit("L"), **dict.fromkeys(("industry", "market", "delist_date"), _TEXT)
        ),
        "daily": market.select(*key, "open", "high", "low", "close", "pre_close", "vol", "amount"),
        "adj_factor": market.select(*key, adj_factor=pl.lit(1.0)),
        "daily_basic": market.select(*key, "turnover_rate", "total_mv"),
        "stk_limit": market.select(*key, "up_limit", "down_limit"),
        "suspend_d": _suspensions(market, listed),
        "trade_cal": _calendar(),
    }
    for name, frame in {**_EMPTY, **tables}.items():
        path = folder / name / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, compression_level=1)


_TEXT = pl.lit(None, dtype=pl.String)


def _suspensions(market: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Return each session after a stock's first bar on which it has no row."""
    calendar = market.select(pl.col("trade_date").unique().sort())
    everything = listed.join(calendar, how="cross").filter(pl.col("trade_date") > pl.col("list_date"))
    absent = everything.join(market.select("ts_code", "trade_date"), on=["ts_code", "trade_date"], how="anti")
    return absent.select("ts_code", "trade_date", suspend_timing=_TEXT, suspend_type=pl.lit("S"))


def _calendar() -> pl.DataFrame:
    days = [str(day).replace("-", "") for day in sessions()]
    return pl.DataFrame({"exchange": "SSE", "cal_date": days, "is_open": 1})


def _empty(text: str, numbers: str = "") -> pl.DataFrame:
    schema: Mapping[str, Any] = dict.fromkeys(text.split(), pl.String) | dict.fromkeys(numbers.split(), pl.Float64)
    return pl.DataFrame(schema=schema)


_REPORT = "ts_code end_date ann_date f_ann_date report_type comp_type update_flag"
_EMPTY = {
    "namechange": _empty("ts_code name start_date ann_date"),
    "dividend": _empty(
        "ts_code end_date ann_date div_proc record_date ex_date pay_date imp_ann_date", "stk_div cash_div_tax"
    ),
    "income": _empty(_REPORT, "revenue oper_cost n_income_attr_p"),
    "balancesheet": _empty(_REPORT, "total_assets total_liab total_hldr_eqy_exc_min_int"),
    "index_daily": _empty("ts_code trade_date", "open close"),
}


if __name__ == "__main__":
    write_folder(int(sys.argv[1]), Path(sys.argv[2]))
