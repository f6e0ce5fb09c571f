"""Universe, factors and z-scores of the export against a plain computation from the files, to 1e-9."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

from engine.calendar import sessions
from engine.cli.main import ashare
from engine.pipeline.factors import NAMES
from tests.plain import Plain


def compare(plain: Plain, exported: pl.DataFrame, days: list[str], stocks_a_day: int | None, seed: int) -> int:
    """Compare whole cross-sections of some days, or some stocks of each; return how many values were compared."""
    compared = 0
    rng = np.random.default_rng(seed)
    for day in days:
        rows = exported.filter(trade_date=day).to_pandas().set_index("ts_code")
        members = plain.universe(day)
        assert sorted(rows.index) == members, day
        picked = (
            members
            if stocks_a_day is None
            else sorted(rng.choice(members, min(stocks_a_day, len(members)), replace=False))
        )
        expected = pd.DataFrame({code: plain.factors(code, day) for code in picked}).T
        for name in NAMES:
            np.testing.assert_allclose(
                rows.loc[picked, name].astype(float),
                expected[name].astype(float),
                rtol=1e-9,
                atol=1e-9,
                err_msg=f"{name} {day}",
            )
            compared += len(picked)
            if stocks_a_day is None:
                z = plain.z_scores(expected[name].astype(float))
                np.testing.assert_allclose(
                    rows.loc[picked, f"z_{name}"], z, rtol=1e-9, atol=1e-9, err_msg=f"z_{name} {day}"
                )
    return compared


def all_sessions(first: str, last: str) -> list[str]:
    return [text for day in sessions() if first <= (text := str(day).replace("-", "")) <= last]


def export(start: str, end: str, out) -> pl.DataFrame:
    result = CliRunner().invoke(
        ashare, ["factor", "export", "--from", start, "--to", end, "--out", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return pl.read_parquet(out)


def test_the_demo_market(demo, demo_home, tmp_path):
    exported = export("2018-06-01", "2019-12-31", tmp_path / "factors.parquet")
    plain = Plain(demo_home / "market", all_sessions("20170103", "20191231"))
    assert exported.columns == ["trade_date", "ts_code", *NAMES, *(f"z_{name}" for name in NAMES)]
    assert exported.select("trade_date", "ts_code").is_unique().all()
    days = ["20180601", "20181031", "20190430", "20190506", "20191231"]
    assert compare(plain, exported, days, None, 0) > 1500


@pytest.mark.real
def test_real_data(real_home, real_market, tmp_path):
    """Cross-sections and 200 random stock-days of the real sample."""
    exported = export("2011-06-01", "2019-06-28", tmp_path / "factors.parquet")
    plain = Plain(real_market, all_sessions("20100104", "20190628"))
    compare(plain, exported, ["20120831", "20150709", "20181228"], None, 1)
    days = sorted(np.random.default_rng(2).choice(exported["trade_date"].unique().sort().to_numpy(), 25, replace=False))
    assert compare(plain, exported, [str(day) for day in days], 10, 3) >= 200 * len(NAMES)
