"""How the models of a run did: against plain loops over the market's own prices, scipy, scikit-learn and alphalens."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss
from statsmodels.regression.linear_model import OLS

from engine import settings
from engine.cli.backtest import run as run_script
from engine.cli.main import main
from engine.model.shelf import SAMPLED, Model
from engine.panels.bundle import open_bundle
from engine.pipeline.export import Coverage, factor_frames
from engine.pipeline.factors import NAMES
from engine.report import model
from engine.report.model import brier, calibration, calibration_error, captions, class_shares, model_tables, step
from engine.report.opened import Run, open_run
from engine.report.runs import COEFFICIENTS, EVENTS
from engine.settings import Settings
from engine.words import say_in
from tests.conftest import ingest
from tests.markets import Market
from tests.unit.test_tearsheet import DAYS, a_run

FLAGSHIP = Path(__file__).parents[2] / "strategies" / "momentum_dnn.py"
SESSIONS, HORIZON, EVERY = 46, 2, 3
STOCKS = [f"6000{at:02d}.SH" for at in range(14)]
INDEX = 1000 * np.cumprod(1 + np.random.default_rng(3).normal(0, 0.01, SESSIONS)).round(4)
SUSPENDED, LIMIT_UP = (10, 3), (20, 5)
"""Session and stock: no bar; opens at its limit."""
GAP = 25
"""A session without a score."""


def prices() -> np.ndarray:
    """Return opens, which are the closes too, (sessions, stocks); NaN where there is no bar."""
    growth = np.random.default_rng(1).normal(0, 0.02, (SESSIONS, len(STOCKS))).clip(-0.06, 0.06)
    found = (20 * np.cumprod(1 + growth, axis=0)).round(2)
    found[SUSPENDED] = np.nan
    found[LIMIT_UP] = np.floor(found[LIMIT_UP[0] - 1, LIMIT_UP[1]] * 110 + 0.5) / 100
    return found


def followed(opens: np.ndarray, horizon: int) -> np.ndarray:
    """Return the excess return after each decision by the definition, one by one; NaN where there is none."""
    found = np.full(opens.shape, np.nan)
    for session in range(len(opens) - horizon - 1):
        for stock in range(opens.shape[1]):
            entry, leave = session + 1, session + 1 + horizon
            if (entry, stock) in (SUSPENDED, LIMIT_UP):
                continue
            sold = opens[leave, stock] if (leave, stock) != SUSPENDED else opens[leave - 1, stock]
            found[session, stock] = sold / opens[entry, stock] - INDEX[leave] / INDEX[entry]
    return found


def said() -> np.ndarray:
    """Return what was said, (sessions, stocks, 4): three probabilities and an excess; of the last stock nothing."""
    rng = np.random.default_rng(4)
    chances = rng.dirichlet((4, 2, 4), (SESSIONS, len(STOCKS)))
    told = np.concatenate([chances, rng.normal(0, 0.01, (SESSIONS, len(STOCKS), 1))], axis=2).astype(np.float32)
    told[:, :2] = told[:, :1]  # the first two are told the same: ties
    told[:, -1] = np.nan
    told[GAP] = np.nan
    return told


def scores() -> pl.DataFrame:
    told = said()
    rows = [
        (DAYS[at], code, *told[at, stock].tolist())
        for at in range(SESSIONS)
        for stock, code in enumerate(STOCKS)
        if not np.isnan(told[at, stock]).any()
    ]
    names = dict.fromkeys(("p_down", "p_flat", "p_up", "expected_excess"), pl.Float32)
    return pl.DataFrame(rows, schema={"session": pl.Date, "ts_code": pl.String, **names}, orient="row")


@pytest.fixture
def folder(home, tmp_path) -> Path:
    """The folder of a run over a market by hand, written by hand; the market is in the bundle."""
    market, opens = Market([f"{day:%Y%m%d}" for day in DAYS[:SESSIONS]]), prices()
    for stock, code in enumerate(STOCKS):
        market.stock(code).bars(code, [None if math.isnan(price) else price for price in opens[:, stock].tolist()])
    ingest(market.index(INDEX.tolist()), tmp_path / "market")
    had = Settings(home=home).model_dump(mode="json", exclude={"home"})
    had["labels"]["horizon"], had["selection"]["every"] = HORIZON, EVERY
    found = a_run(home / "runs" / "one", length=SESSIONS, settings=had)
    scores().write_parquet(found / "scores.parquet")
    return found


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    return model_tables(open_run(folder), open_bundle().panels)


def daily(score: np.ndarray, excess: np.ndarray) -> dict[int, float]:
    """Return scipy's rank correlation of each session with enough names."""
    found = {}
    for at, (one, other) in enumerate(zip(score, excess, strict=True)):
        known = np.isfinite(one) & np.isfinite(other)
        if known.sum() >= 5:
            found[at] = float(spearmanr(one[known], other[known]).statistic)
    return found


def figure(found: dict[str, pl.DataFrame], name: str) -> dict[str, float]:
    return found["model_figures"].row(by_predicate=pl.col("figure") == name, named=True)


RANKINGS = {
    "p_up": said()[..., 2],
    "p_up_minus_p_down": said()[..., 2].astype(float) - said()[..., 0],
    "expected_excess": said()[..., 3],
}


@pytest.mark.parametrize("name", RANKINGS)
def test_the_rank_ic_is_of_what_the_run_ranked_by(folder, name):
    run = open_run(folder)
    run.manifest["settings"]["selection"]["rank_by"] = name
    found = model_tables(run, open_bundle().panels)
    expected = daily(RANKINGS[name], followed(prices(), HORIZON))
    assert found["model_ic"]["session"].to_list() == [DAYS[at] for at in expected]
    np.testing.assert_allclose(found["model_ic"]["rank_ic"], list(expected.values()), atol=1e-12)
    names = dict(found["model_ic"].select("session", "names").iter_rows())
    assert names[DAYS[SUSPENDED[0] - 1]] == names[DAYS[LIMIT_UP[0] - 1]] == len(STOCKS) - 2
    assert DAYS[GAP] not in names

    months = pd.Series(expected.values(), index=pd.DatetimeIndex([DAYS[at] for at in expected]))
    by_month = months.groupby([months.index.year, months.index.month]).agg(["mean", "count"])
    own = found["model_ic_by_month"]
    assert list(zip(own["year"], own["month"], strict=True)) == list(by_month.index)
    np.testing.assert_allclose(own["rank_ic"], by_month["mean"], atol=1e-12)
    assert own["sessions"].to_list() == by_month["count"].to_list()

    fit = OLS(months.to_numpy(), np.ones(len(months))).fit(
        cov_type="HAC", cov_kwds={"maxlags": HORIZON - 1, "use_correction": True}, use_t=True
    )
    row = figure(found, "rank IC")
    np.testing.assert_allclose([row["low"], row["high"]], fit.conf_int(0.05)[0], atol=1e-12)
    assert row["measured"] == pytest.approx(months.mean(), abs=1e-12)
    assert row["count"] == len(months)
    above = figure(found, "sessions with a rank IC above 0")
    assert above["measured"] == pytest.approx((months > 0).mean())


def test_the_decay_is_of_every_nth_session_from_the_first(folder):
    found = tables(folder)["model_ic_decay"]
    assert found["horizon"].to_list() == [1, 2, 5, 10, 20, 40, 60]
    told, opens = RANKINGS["p_up"], prices()
    scored = [at for at in range(SESSIONS) if at != GAP][::EVERY]
    for horizon, mean, low, high, sessions, names in found.iter_rows():
        excess = followed(opens, horizon)
        every = [daily(told, excess).get(at, math.nan) for at in scored]
        known = [value for value in every if not math.isnan(value)]
        assert sessions == len(known)
        if not known:
            assert (mean, low, high, names) == (None,) * 4
            continue
        assert mean == pytest.approx(np.mean(known), abs=1e-12)
        lag = (horizon - 1) // EVERY
        if len(known) >= 2 * (lag + 1):
            kind = {"maxlags": lag, "use_correction": True}
            fit = OLS(known, np.ones(len(known))).fit(cov_type="HAC", cov_kwds=kind, use_t=True)
            np.testing.assert_allclose([low, high], fit.conf_int(0.05)[0], atol=1e-12)
        else:
            assert low is None


@pytest.mark.filterwarnings("ignore")
def test_alphalens_finds_the_same(folder, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alphalens import performance, utils
    found, excess = tables(folder), followed(prices(), HORIZON)
    rows = [
        (pd.Timestamp(DAYS[at]), code, excess[at, stock], RANKINGS["p_up"][at, stock])
        for at in range(SESSIONS)
        for stock, code in enumerate(STOCKS)
    ]
    whole = pd.DataFrame(rows, columns=["date", "asset", "1D", "factor"]).set_index(["date", "asset"]).dropna()
    coefficients = performance.factor_information_coefficient(whole)["1D"]
    np.testing.assert_allclose(found["model_ic"]["rank_ic"], coefficients, atol=1e-12)

    taken = [pd.Timestamp(DAYS[at]) for at in range(SESSIONS) if at != GAP][::EVERY]
    data = whole[whole.index.get_level_values("date").isin(taken)].copy()
    data["factor_quantile"] = utils.quantize_factor(data, 10)
    by_date = performance.mean_return_by_quantile(data, by_date=True, demeaned=False)[0]["1D"].unstack("date")
    own = found["model_quantiles"]
    assert own["quantile"].to_list() == by_date.index.to_list()
    np.testing.assert_allclose(own["mean_return"], by_date.mean(axis=1), atol=1e-12)
    spread = figure(found, "highest less lowest tenth")
    assert spread["measured"] == pytest.approx((by_date.loc[10] - by_date.loc[1]).mean(), abs=1e-12)


def test_probabilities_are_judged_as_scikit_learn_does(folder):
    found, excess, told = tables(folder), followed(prices(), HORIZON), said().astype(float)
    known = np.isfinite(excess) & np.isfinite(told[..., 0])
    chances, truth = told[known][:, :3], np.where(excess[known] > 0.02, 2, np.where(excess[known] < -0.02, 0, 1))
    chances /= chances.sum(axis=1, keepdims=True)  # scikit-learn asks for more than float32 has
    measured, predicted = calibration_curve(truth == 2, told[known][:, 2], n_bins=10, strategy="quantile")
    bins = found["model_calibration"]
    np.testing.assert_allclose(bins["predicted"], predicted, atol=1e-12)
    np.testing.assert_allclose(bins["measured"], measured, atol=1e-12)
    assert bins["count"].sum() == known.sum() == figure(found, "Brier score")["count"]

    score = figure(found, "Brier score")
    expected = brier_score_loss(truth, chances, labels=[0, 1, 2], scale_by_half=False)
    assert score["measured"] == pytest.approx(expected, abs=1e-6)
    rates = np.tile(np.bincount(truth, minlength=3) / len(truth), (len(truth), 1))
    climate = brier_score_loss(truth, rates, labels=[0, 1, 2], scale_by_half=False)
    assert score["base_rate"] == pytest.approx(climate, abs=1e-12)
    assert figure(found, "Brier skill")["measured"] == pytest.approx(1 - expected / climate, abs=1e-6)
    right = figure(found, "accuracy")
    assert right["measured"] == pytest.approx(accuracy_score(truth, chances.argmax(axis=1)))
    assert right["base_rate"] == rates[0].max()
    shares = found["model_classes"]
    assert shares["year"].to_list() == [2018] * 3
    np.testing.assert_allclose(shares["measured"], rates[0])
    np.testing.assert_allclose(shares["predicted"], np.bincount(chances.argmax(axis=1)) / len(truth))


def test_the_order_of_the_scores_and_strange_codes_make_no_difference(folder):
    before, table = tables(folder), scores()
    strange = table.head(1).with_columns(ts_code=pl.lit("999999.SH"), p_up=pl.lit(0.99, pl.Float32))
    pl.concat([table.reverse(), strange]).write_parquet(folder / "scores.parquet")
    after = tables(folder)
    assert before.keys() == after.keys()
    for name, one in before.items():
        assert_frame_equal(one, after[name], abs_tol=1e-12)


def test_a_run_without_scores_has_no_table(folder):
    (folder / "scores.parquet").unlink()
    assert tables(folder) == {}


def test_a_run_too_short_for_any_label_has_tables_without_a_figure(folder):
    scores().filter(pl.col("session") > DAYS[SESSIONS - 3]).write_parquet(folder / "scores.parquet")
    found = tables(folder)
    assert found["model_ic"].is_empty()
    assert found["model_calibration"].is_empty()
    assert found["model_classes"].is_empty()
    assert found["model_quantiles"]["mean_return"].null_count() == 10
    assert figure(found, "Brier score")["measured"] is None


def test_factors_are_set_beside_the_network_on_its_sessions(folder):
    """Of the noted ICs those decided on every third session count; the network's own are not taken from there."""
    noted = [
        (DAYS[at + 3], DAYS[at], name, value, 13)
        for at in range(SESSIONS - 3)
        for name, value in (("roe", 0.1 if at % EVERY == 0 else 0.9), ("boll_width", None), ("p_up", 0.5))
    ]
    pl.DataFrame(noted, schema=COEFFICIENTS, orient="row").write_parquet(folder / "ic.parquet")
    scores().filter(pl.col("session") < DAYS[GAP]).write_parquet(folder / "scores.parquet")
    found = tables(folder)
    own = {row["name"]: row for row in found["model_baselines"].iter_rows(named=True)}
    assert [(name, row["kind"]) for name, row in own.items()] == [
        ("network", "network"),
        ("roe", "factor"),
        ("boll_width", "factor"),
    ]
    assert own["roe"]["rank_ic"] == pytest.approx(0.1, abs=1e-15)
    assert own["roe"]["sessions"] == own["network"]["sessions"] == len(range(0, GAP, EVERY))
    assert own["network"]["rank_ic"] == pytest.approx(found["model_ic"]["rank_ic"][::EVERY].mean(), abs=1e-12)
    assert (own["boll_width"]["rank_ic"], own["boll_width"]["sessions"]) == (None, 0)


def test_events_are_counted_by_session(folder):
    rows = [
        (0, "watch", None, "mean rank IC below", "retrain"),
        (1, "blacklist", STOCKS[0], "not up, chosen on 2018-01-02", "barred until 2018-02-08"),
        (1, "blacklist", STOCKS[1], "not up, chosen on 2018-01-03", "barred until 2018-02-08"),
        (1, "drawdown", None, "switched on", "gross limit 0.4"),
        (1, "stop", STOCKS[2], "below cost 9", "sold until gone"),
        (2, "volatility", None, "switched off", "limit lifted"),
    ]
    every = [(DAYS[at], rule, code, cause, 0.0, 0.0, effect) for at, rule, code, cause, effect in rows]
    pl.DataFrame(every, schema=EVENTS, orient="row").write_parquet(folder / "events.parquet")
    assert tables(folder)["model_events"].rows() == [
        (DAYS[0], "watch", "asked to retrain", 1),
        (DAYS[1], "blacklist", "barred", 2),
        (DAYS[1], "drawdown", "switched on", 1),
        (DAYS[2], "volatility", "switched off", 1),
    ]


def test_attention_is_averaged_by_month(folder):
    """DAYS 0 to 20 are of January; boll_width has 0.2 and 0.4 in turn there, 0.5 in February."""
    rows = [(DAYS[0], "roe", 0.8), (DAYS[0], "boll_width", 0.2), (DAYS[1], "roe", 0.6), (DAYS[1], "boll_width", 0.4)]
    rows += [(DAYS[25], "roe", 0.5), (DAYS[25], "boll_width", 0.5)]
    schema = {"session": pl.Date, "feature": pl.String, "weight": pl.Float32}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(folder / "attention.parquet")
    found = tables(folder)["model_attention"]
    assert found.select("year", "month", "feature", "sessions").rows() == [
        (2018, 1, "roe", 2),
        (2018, 1, "boll_width", 2),
        (2018, 2, "roe", 1),
        (2018, 2, "boll_width", 1),
    ]
    np.testing.assert_allclose(found["weight"], [0.7, 0.3, 0.5, 0.5], atol=1e-7)


def test_calibration_by_hand():
    """Ten predictions in two bins, the median 0.5; the first bin promised 0.3 and kept 0.2, the second 0.8 and 0.8."""
    predicted = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    happened = np.array([0, 0, 0, 0, 1, 1, 0, 1, 1, 1], dtype=bool)
    found = calibration(predicted, happened, 2)
    assert found.columns == ["bin", "low", "high", "predicted", "measured", "count"]
    expected = [(1, 0.1, 0.55, 0.3, 0.2, 5), (2, 0.55, 1.0, 0.8, 0.8, 5)]
    for row, by_hand in zip(found.rows(), expected, strict=True):
        assert row == pytest.approx(by_hand)
    assert calibration_error(found) == pytest.approx(0.05)  # (5 * 0.1 + 5 * 0.0) / 10


def test_equal_predictions_stay_in_one_bin():
    found = calibration(np.array([0.4] * 9 + [0.6]), np.array([True] * 3 + [False] * 7), 10)
    assert found.select("predicted", "count").rows() == [(pytest.approx(0.4), 9), (0.6, 1)]
    assert calibration_error(found) == pytest.approx((9 * (0.4 - 1 / 3) + 0.6) / 10)
    nobody = calibration(np.array([]), np.array([], dtype=bool))
    assert nobody.is_empty()
    assert math.isnan(calibration_error(nobody))


@pytest.mark.parametrize(
    ("said", "truth", "expected"),
    [
        ([[0, 0, 1]], [2], 0.0),
        ([[1, 0, 0]], [2], 2.0),
        ([[1 / 3, 1 / 3, 1 / 3]], [1], 2 / 3),
        ([[0.5, 0.3, 0.2], [0, 0, 1]], [0, 1], (0.25 + 0.09 + 0.04 + 2) / 2),
        (np.empty((0, 3)), [], math.nan),
    ],
)
def test_the_brier_score_by_hand(said, truth, expected):
    found = brier(np.array(said, dtype=float), np.array(truth, dtype=np.int64))
    assert found == pytest.approx(expected, abs=1e-15, nan_ok=True)


def test_class_shares_by_hand():
    """Of 2017 two of up, both missed; none of 2018; of 2019 one of each and all called flat."""
    down, flat = [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]
    found = class_shares(
        np.array([2017, 2017, 2019, 2019, 2019]), np.array([down, flat, flat, flat, flat]), np.array([2, 2, 0, 1, 2])
    )
    third = pytest.approx(1 / 3)
    assert found.rows() == [
        (2017, "down", 0.5, 0.0, 2),
        (2017, "flat", 0.5, 0.0, 2),
        (2017, "up", 0.0, 1.0, 2),
        (2019, "down", 0.0, third, 3),
        (2019, "flat", 1.0, third, 3),
        (2019, "up", 0.0, third, 3),
    ]


@pytest.mark.parametrize(
    ("sessions", "every", "most", "expected"),
    [(974, 5, 250, 5), (1250, 5, 250, 5), (1251, 5, 250, 10), (1700, 5, 100, 20), (10, 5, 250, 5), (251, 1, 250, 2)],
)
def test_the_sessions_looked_at_are_bounded(folder, sessions, every, most, expected):
    run = open_run(folder)
    run.manifest["settings"]["selection"]["every"] = every
    long = Run(run.folder, run.manifest, pl.DataFrame({"at": range(sessions)}), *[run.orders] * 3)
    assert step(long, most) == expected


def test_every_table_has_a_sentence_that_can_be_said(folder):
    said = {name: say_in("en")(sentence, **values) for name, (sentence, values) in captions(open_run(folder)).items()}
    assert "every 3th session" in said["model_ic_decay"]
    assert "0.111" in said["model_attention"]
    assert set(tables(folder)) - {"model_ic"} <= set(said)


def test_the_report_of_models_needs_no_torch():
    code = "import engine.report.model, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def ashare(*words: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    assert not end.value.code


def test_a_run_of_the_flagship(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("ASHARE_REPORT__TEARSHEET", "false")
    monkeypatch.setenv("ASHARE_LABELS__HORIZON", "5")
    ashare("train", "--start", "2019-09", "--end", "2019-10", "--jobs", "1")
    ashare(
        "models", "evaluate", "--start", "2019-09", "--end", "2019-10", "--jobs", "1", "--out", f"{tmp_path}/e.parquet"
    )
    run = open_run(run_script(FLAGSHIP, "2019-09-02", "2019-10-31", capital=1e7))
    bundle, values = open_bundle(), settings.load()
    found = model_tables(run, bundle.panels, values)

    noted = run.more("ic").filter(pl.col("name") == "p_up").select(pl.col("decided").alias("session"), "rank_ic")
    both = noted.join(found["model_ic"], on="session")
    assert both.height == noted.height > 20
    np.testing.assert_allclose(both["rank_ic"], both["rank_ic_right"], atol=1e-12)
    assert found["model_ic"].height > noted.height  # some labels became known after the run

    evaluated = pl.read_parquet(tmp_path / "e.parquet").filter(pl.col("measure") == "p_up")
    sessions = run.perf["session"][::5].to_list()
    means = evaluated.filter(pl.col("session").is_in(sessions)).group_by("model").agg(pl.col("value").mean())
    expected = dict(means.iter_rows())
    own = {row["name"]: row for row in found["model_baselines"].iter_rows(named=True)}
    assert [own[name]["kind"] for name in expected if name != "network"] == ["trained", "trained"]
    for name, value in expected.items():
        assert own[name]["rank_ic"] == pytest.approx(value, abs=1e-6), name
        assert own[name]["sessions"] == own["network"]["sessions"]
    assert {row["kind"] for row in model_tables(run, bundle.panels)["model_baselines"].iter_rows(named=True)} == {
        "network",
        "factor",
    }

    attention = run.more("attention")
    assert attention.group_by("session").agg(pl.col("weight").sum())["weight"].to_numpy() == pytest.approx(1, abs=1e-5)
    day = sessions[1]
    row = bundle.panels.last_row_to(day)
    frame = pl.concat(factor_frames(bundle, values, row, row, Coverage())).select(f"z_{name}" for name in NAMES)
    features = frame.to_numpy().astype(np.float32)
    assert len(features) < 2 * SAMPLED  # so all of them are looked at
    served = next(one for one in run.manifest["models"] if one.startswith(f"{day:%Y-%m}"))
    entry = next(one for one in model_entries(values) if one.id == served)
    weights = Model(entry)._network.attention(_tensor(features)).detach().numpy().mean(axis=0)
    np.testing.assert_allclose(attention.filter(session=day)["weight"], weights, atol=1e-5)
    assert found["model_attention"]["feature"].to_list() == list(NAMES) * 2
    assert model.captions(run)["model_baselines"][1] == {"every": 5}


def model_entries(values: Settings):
    from engine.model.registry import entries

    return entries(values.models)


def _tensor(features: np.ndarray):
    import torch

    return torch.from_numpy(features)
