"""Where holdings stand among all stocks, held against pandas' ranks of adjusted prices."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from engine.report.tilts import FACTORS, MONTH, QUARTER, tilts

DAYS = [day.date() for day in pd.bdate_range("2018-01-01", periods=100)]
CODES = [f"{600000 + at}.SH" for at in range(40)]


@pytest.fixture
def panels() -> Any:
    rng = np.random.default_rng(2)
    shape = len(DAYS), len(CODES)
    fields = {
        "last_close": (1000 * np.cumprod(1 + rng.normal(0, 0.02, shape), axis=0)).astype("i4"),
        "adj_factor": np.cumprod(np.where(rng.random(shape) < 0.02, 1.5, 1.0), axis=0),
        "volume": np.where(rng.random(shape) < 0.1, 0.0, 1e6),
        "total_mv": rng.lognormal(10, 1, shape),
        "turnover_rate": rng.random(shape),
    }
    fields["total_mv"][:, 3] = np.nan

    def window(name: str, first: int, last: int, sids: Any) -> Any:
        none = np.full((max(-first, 0), len(sids)), 0.0 if name == "last_close" else np.nan)
        return np.concatenate([none, fields[name][max(first, 0) : last + 1][:, sids]])

    days = np.array(DAYS, dtype="datetime64[D]")
    sids = {code: at for at, code in enumerate(CODES)}
    return SimpleNamespace(days=days, sids=sids, assets=CODES, field=fields.__getitem__, window=window)


def held(days: list[dt.date], codes: list[str], shares: list[int]) -> pl.DataFrame:
    rows = [(day, code, count, 10.0) for day in days for code, count in zip(codes, shares, strict=True)]
    return pl.DataFrame(rows, schema=["session", "ts_code", "shares", "price"], orient="row")


def by_pandas(panels: Any, row: int) -> dict[str, pd.Series]:
    prices = pd.DataFrame(panels.field("last_close") * panels.field("adj_factor"), columns=CODES)
    columns = {
        "size": pd.Series(panels.field("total_mv")[row], CODES),
        "momentum_1m": prices.iloc[row] / prices.iloc[row - MONTH] - 1,
        "momentum_3m": prices.iloc[row] / prices.iloc[row - QUARTER] - 1,
        "volatility_3m": prices.pct_change().iloc[row - QUARTER + 1 : row + 1].std(ddof=0),
        "turnover": pd.Series(panels.field("turnover_rate")[row], CODES),
    }
    traded = pd.Series(panels.field("volume")[row] > 0, CODES)
    ranked = {name: values[traded & values.notna()].rank() for name, values in columns.items()}
    return {name: (values - 0.5) / len(values) for name, values in ranked.items()}


def test_the_percentile_is_that_of_pandas_weighted_by_value(panels):
    days = [DAYS[80], DAYS[85]]
    found = tilts(panels, held(days, CODES[:5], [100, 200, 300, 400, 500]), {})
    (row,) = found.to_dicts()  # both sessions are of April: the later one counts
    assert row["session"] == DAYS[85]
    for name, percentiles in by_pandas(panels, 85).items():
        own = percentiles.reindex(CODES[:5])
        weights = pd.Series([1, 2, 3, 4, 5], CODES[:5])[own.notna()]
        assert row[name] == pytest.approx((own.dropna() * weights).sum() / weights.sum())


def test_what_holds_everything_stands_in_the_middle(panels):
    panels.field("volume")[:] = 1e6
    panels.field("total_mv")[:, 3] = 1.0
    found = tilts(panels, held([DAYS[90]], CODES, [100] * len(CODES)), {})
    assert found.select(FACTORS).row(0) == pytest.approx([0.5] * len(FACTORS))


def test_an_earlier_code_is_found_and_an_unknown_one_is_left_out(panels):
    one = tilts(panels, held([DAYS[90]], ["300001.SZ", "999999.SZ"], [100, 100]), {"300001.SZ": CODES[7]})
    other = tilts(panels, held([DAYS[90]], [CODES[7]], [100]), {})
    assert one.equals(other)


def test_what_is_not_known_yet_is_null(panels):
    found = tilts(panels, held([DAYS[30]], [CODES[0]], [100]), {})
    panels.field("volume")[30] = 1e6
    assert found["momentum_3m"].to_list() == [None]
    assert found["volatility_3m"].to_list() == [None]
