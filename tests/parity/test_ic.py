"""`factor ic` and the labels of the export against alphalens and a plain computation from the files."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

from engine.cli.main import ashare
from engine.model.label_columns import CLASS_NAMES
from engine.pipeline.factors import FACTORS, NAMES
from tests.parity.test_factors import all_sessions
from tests.plain import Plain

RANGE = ["--from", "2018-09-03", "--to", "2019-12-31"]
LABELS = ["excess", "label_class", "no_label", "total_loss", "label_known"]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(ashare, ["factor", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def compare_labels(plain: Plain, exported: pl.DataFrame, days: list[str], horizon: int) -> int:
    compared = 0
    for day in days:
        for row in exported.filter(trade_date=day).iter_rows(named=True):
            excess, why = plain.label(row["ts_code"], day, horizon)
            assert row["no_label"] == why, row
            gone = plain.stocks.loc[row["ts_code"], "delist_date"]
            leave = plain.sessions[min(plain.sessions.index(day) + horizon + 1, len(plain.sessions) - 1)]
            assert row["total_loss"] == (why is None and not pd.isna(gone) and leave >= gone), row
            if why is None:
                assert row["excess"] == pytest.approx(excess, abs=1e-12), row
                assert row["label_class"] == CLASS_NAMES[1 + (excess > 0.02) - (excess < -0.02)]
                assert row["label_known"] == plain.sessions[plain.sessions.index(day) + horizon + 1]
                compared += 1
            else:
                assert row["excess"] is row["label_class"] is row["label_known"] is None
    return compared


def test_labels_of_the_demo_market(demo, demo_home, tmp_path):
    said = run("export", *RANGE, "--labels", "--out", tmp_path / "labelled.parquet").splitlines()
    run("export", *RANGE, "--out", tmp_path / "plain.parquet")
    exported, before = pl.read_parquet(tmp_path / "labelled.parquet"), pl.read_parquet(tmp_path / "plain.parquet")
    assert exported.columns == [*before.columns, *LABELS]
    assert exported.drop(LABELS).equals(before)
    plain = Plain(demo_home / "market", all_sessions("20170103", "20191231"))
    without = exported.filter(pl.col("no_label").is_in(["suspended", "limit_up", "not_listed"]))
    days = [*exported["trade_date"].unique().sort().gather_every(45), "20191231"]
    days += without["trade_date"].unique().sort().head(20).to_list()
    assert compare_labels(plain, exported, days, 20) > 900
    assert exported.filter(no_label="incomplete")["trade_date"].n_unique() == 21
    counts = {name: count for name, count in exported["no_label"].value_counts().iter_rows() if name}
    (line,) = [line for line in said if " labels; none: " in line]
    assert f"{exported['excess'].count():,} labels" in line
    assert all(f"{count:,} {name}" in line for name, count in counts.items())
    assert without.height > 0


@pytest.mark.real
def test_labels_of_real_data(real_home, real_market, tmp_path):
    run("export", "--from", "2011-06-01", "--to", "2019-06-28", "--labels", "--out", tmp_path / "f.parquet")
    exported = pl.read_parquet(tmp_path / "f.parquet")
    plain = Plain(real_market, all_sessions("20100104", "20190628"))
    lost = exported.filter("total_loss")["trade_date"].unique().sort()
    days = ["20120831", "20150612", "20150706", "20181228", "20190620", *lost.head(3)]
    assert compare_labels(plain, exported, days, 20) > 100
    assert len(lost) > 0
    assert set(exported["no_label"].drop_nulls()) >= {"suspended", "limit_up", "incomplete"}


@pytest.fixture(scope="module")
def alphalens():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alphalens import performance, utils
    return performance, utils


def factor_data(exported: pl.DataFrame, name: str, utils) -> pd.DataFrame:
    """Return a factor as alphalens takes it: labelled members with a raw value, their return, their quantile."""
    frame = exported.select(
        pl.col("trade_date").str.to_date("%Y%m%d").alias("date"),
        pl.col("ts_code").alias("asset"),
        pl.col("excess").alias("1D"),  # alphalens finds returns by such a name
        pl.col(name).alias("factor"),
    ).drop_nulls()
    data = frame.to_pandas().astype({"date": "datetime64[ns]"}).set_index(["date", "asset"])
    data["factor_quantile"] = utils.quantize_factor(data, 5)
    return data


@pytest.mark.parametrize("horizon", [20, 5])
@pytest.mark.filterwarnings("ignore")
def test_alphalens_finds_the_same(demo, tmp_path, monkeypatch, alphalens, horizon):
    monkeypatch.setenv("ASHARE_LABELS__HORIZON", str(horizon))
    performance, utils = alphalens
    run("export", *RANGE, "--labels", "--out", tmp_path / "f.parquet")
    told = json.loads(run("ic", *RANGE, "--horizons", "1,5,20", "--json", "--out", tmp_path / "ic.parquet"))
    exported, daily = pl.read_parquet(tmp_path / "f.parquet"), pl.read_parquet(tmp_path / "ic.parquet")
    assert [entry["factor"] for entry in told["factors"]] == list(NAMES)
    for name, entry in zip(NAMES, told["factors"], strict=True):
        data = factor_data(exported, name, utils)
        own = daily.filter(factor=name, horizon=horizon).drop_nulls().to_pandas().set_index("session")
        theirs = performance.factor_information_coefficient(data)["1D"]
        assert (own.index == theirs.index).all()
        np.testing.assert_allclose(own["rank_ic"], theirs, atol=1e-12)
        pearson = data.groupby("date")[["factor", "1D"]].apply(lambda day: day["factor"].corr(day["1D"]))
        np.testing.assert_allclose(own["ic"], pearson, atol=1e-12)
        assert (own["n"].to_numpy() == data.groupby("date").size().to_numpy()).all()
        assert entry["coverage"] == pytest.approx(exported[name].count() / exported.height, abs=1e-15)
        (at,) = [found for found in entry["coefficients"] if found["horizon"] == horizon]
        assert at["rank_ic"]["mean"] == pytest.approx(theirs.mean(), abs=1e-12)
        assert at["rank_ic"]["icir"] == pytest.approx(theirs.mean() / theirs.std(), abs=1e-12)
        assert at["ic"]["sd"] == pytest.approx(pearson.std(), abs=1e-12)

        found = entry["quantiles"]
        means = performance.mean_return_by_quantile(data, demeaned=False)[0]["1D"]
        np.testing.assert_allclose(found["returns"], means, atol=1e-12)
        assert found["spread"]["mean"] == pytest.approx(means[5] - means[1], abs=1e-12)
        for quantile, which in ((1, "turnover_bottom"), (5, "turnover_top")):
            shares = performance.quantile_turnover(data["factor_quantile"], quantile)
            assert found[which] == pytest.approx(shares.mean(), abs=1e-12)
        for lag, mean in found["rank_autocorrelation"].items():
            theirs = performance.factor_rank_autocorrelation(data, int(lag)).mean()
            assert mean == pytest.approx(theirs, abs=1e-12)


def test_the_tables_say_what_the_json_says(demo, tmp_path):
    """One row a factor and table, stars where the interval excludes 0, sessions and gaps told."""
    said, told = run("ic", *RANGE, "--out", tmp_path / "ic.parquet"), json.loads(run("ic", *RANGE, "--json"))
    lines = said.splitlines()
    assert max(map(len, lines)) <= 120
    daily = pl.read_parquet(tmp_path / "ic.parquet")
    assert daily.columns == ["session", "factor", "horizon", "n", "ic", "rank_ic"]
    assert daily.height == told["sessions"] * len(NAMES) * 4
    stars = 0
    for spec, entry in zip(FACTORS, told["factors"], strict=True):
        about, coefficients, quantiles = (line.split() for line in lines if line.split()[:1] == [spec.name])
        assert about[1:3] == [str(spec.window), spec.unit]
        assert about[-1] == f"{entry['coverage']:.1%}"
        expected = [found["rank_ic"] for found in entry["coefficients"]]
        assert coefficients[-4:] == [f"{rank['mean']:+.3f}" + "*" * rank["excludes_zero"] for rank in expected]
        stars += sum(rank["excludes_zero"] for rank in expected)
        assert all(rank["excludes_zero"] == (rank["low"] > 0 or rank["high"] < 0) for rank in expected)
        assert quantiles[1:6] == [f"{mean:+.2%}" for mean in entry["quantiles"]["returns"]]
    assert 0 < stars < 4 * len(NAMES)
    counts = [daily.filter(horizon=h).drop_nulls()["session"].n_unique() for h in (1, 5, 10, 20)]
    assert counts == [told["sessions"] - horizon - 1 for horizon in (1, 5, 10, 20)]
    line = ", ".join(f"{count} over {horizon}" for count, horizon in zip(counts, (1, 5, 10, 20), strict=True))
    assert f"sessions with a coefficient: {line}" in lines


def test_a_range_too_late_for_the_labels_shows_what_there_is(demo):
    """The last ten sessions have returns over one and five sessions, and none over the labels' horizon."""
    late = ["--from", "2019-12-18", "--to", "2019-12-31", "--horizons", "5,1"]
    told = json.loads(run("ic", *late, "--json"))
    for entry in told["factors"]:
        one, five, label = entry["coefficients"]
        assert [found["rank_ic"]["n"] for found in (one, five, label)] == [8, 4, 0]
        assert label["rank_ic"]["mean"] is label["ic"]["icir"] is entry["quantiles"]["returns"][0] is None
        assert one["rank_ic"]["low"] < one["rank_ic"]["mean"] < one["rank_ic"]["high"]
        assert five["rank_ic"]["low"] is None  # four sessions are less than two windows of five
    assert "nan" not in run("ic", *late)


def test_horizons_are_sorted_and_each_once(demo):
    told = json.loads(run("ic", *RANGE, "--horizons", "20, 5,5", "--quantiles", "3", "--json"))
    assert [found["horizon"] for found in told["factors"][0]["coefficients"]] == [5, 20]
    assert len(told["factors"][0]["quantiles"]["returns"]) == 3
