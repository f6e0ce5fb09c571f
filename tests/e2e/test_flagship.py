"""The flagship as it ships, with trained models on the demo market: what must hold whatever the market does."""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from engine.cli.backtest import run
from engine.cli.main import main
from engine.panels.bundle import open_bundle
from engine.panels.reader import yuan
from engine.report.tearsheet import render
from engine.types import Choice
from tests.plain import Plain
from tests.sayer import strict

FLAGSHIP = Path(__file__).parents[2] / "strategies" / "momentum_dnn.py"
CAP, GROSS = 0.08, 0.8
TIGHT = {
    "SELECTION__CAP": str(CAP),
    "RISK__STOP": "0.03",
    "RISK__DRAWDOWN_ON": "0.015",
    "RISK__DRAWDOWN_OFF": "0.005",
    "RISK__VOLATILITY_ABOVE": "0",
    "BLACKLIST__WRONG": "2",
    "REPORT__TEARSHEET": "false",
    "EXECUTION__AUDIT": "true",
}
"""Thresholds that the small market crosses often."""


@pytest.fixture
def folder(demo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with pytest.raises(SystemExit) as end:
        main(["train", "--start", "2019-09", "--end", "2019-11", "--jobs", "1"])
    assert not end.value.code
    for name, value in TIGHT.items():
        monkeypatch.setenv(f"ASHARE_{name}", value)
    return run(FLAGSHIP, "2019-09-02", "2019-11-29", capital=1e7)


def test_what_must_hold_of_every_run(folder: Path) -> None:
    names = ("decisions", "events", "orders", "positions", "perf", "scores", "ic")
    found = {name: pl.read_parquet(folder / f"{name}.parquet") for name in names}
    sessions = found["perf"]["session"].to_list()
    require_one_reason_a_member(found["decisions"], found["scores"], sessions)
    require_nobody_bought_who_was_dropped(found["decisions"], found["orders"])
    require_limits(found, limits_in_force(found["events"], sessions), sessions)
    require_stopped_until_gone(found["events"], found["orders"], found["positions"], sessions)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["switches"]["drawdown"]["times_on"] > 0
    assert {"stop", "drawdown", "blacklist", "watch"} <= set(manifest["events"])
    assert set(found["ic"]["name"]) >= {"momentum_1m", "debt_to_assets", "p_up"}
    require_a_page_in_chinese(folder)


def require_a_page_in_chinese(folder: Path) -> None:
    """Every sentence about models, rules and data has a translation, and every section is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.report.tearsheet.say_in", strict)
        page = render(folder, "zh", open_bundle().panels).read_text("utf-8")
    assert page.count("<svg") == 7  # growth, drawdown, exposure; IC by month, decay, tenths, calibration
    assert all(
        title in page for title in ("文字诊断", "费用与容量", "模型关注的特征", "持仓在全市场中的位置", "可信度")
    )


@pytest.mark.real
def test_every_real_member_has_one_reason(real_home: Path, real_market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sample of the real market: its universe comes from the files, by a plain second computation."""
    monkeypatch.setenv("ASHARE_MODEL__EPOCHS", "1")
    monkeypatch.setenv("ASHARE_REPORT__TEARSHEET", "false")
    with pytest.raises(SystemExit) as end:
        main(["train", "--start", "2018-01", "--end", "2018-03", "--jobs", "1"])
    assert not end.value.code
    folder = run(FLAGSHIP, "2018-01-02", "2018-03-30", capital=1e7)
    decisions = pl.read_parquet(folder / "decisions.parquet")
    sessions = pl.read_parquet(folder / "perf.parquet")["session"].to_list()
    plain = Plain(real_market, [f"{day:%Y%m%d}" for day in open_bundle().panels.days.tolist()])
    for session in sessions[::5]:
        decided = decisions.filter(session=session)
        assert sorted(decided["ts_code"]) == plain.universe(f"{session:%Y%m%d}")
        assert decided["reason"].is_in(list(Choice)).all()
    counted = json.loads((folder / "manifest.json").read_text())["decisions"]
    assert sum(counted.values()) == decisions.height > 500


def require_one_reason_a_member(decisions: pl.DataFrame, scores: pl.DataFrame, sessions: list[dt.date]) -> None:
    """Whom a model scored is the universe; a rebalance every fifth session from the first."""
    rebalances = sessions[::5]
    assert decisions["session"].unique().sort().to_list() == rebalances
    for session in rebalances:
        decided = decisions.filter(session=session)["ts_code"]
        assert sorted(decided) == sorted(scores.filter(session=session)["ts_code"])


def require_nobody_bought_who_was_dropped(decisions: pl.DataFrame, orders: pl.DataFrame) -> None:
    buys = orders.filter(side="buy")
    assert buys.height > 50
    for day, code in buys.select("decided", "ts_code").rows():
        last = decisions.filter(pl.col("session") <= day)["session"].max()
        (reason,) = decisions.filter(session=last, ts_code=code)["reason"]
        assert reason == "chosen", (day, code)


def limits_in_force(events: pl.DataFrame, sessions: list[dt.date]) -> dict[dt.date, float]:
    """Return the gross limit at each close."""
    turned = dict(events.filter(rule="drawdown").select("session", "cause").rows())
    limit, found = GROSS, {}
    for session in sessions:
        limit = {"switched on": 0.4, "switched off": GROSS}.get(turned.get(session, ""), limit)
        found[session] = limit
    return found


def require_limits(found: dict[str, pl.DataFrame], limits: dict[dt.date, float], sessions: list[dt.date]) -> None:
    """Targets at decision prices keep to the limit in force, fills to the cap at the last net value."""
    panels = open_bundle().panels
    sid = {asset.ts_code: asset.sid for asset in panels.assets}
    worth = dict(found["perf"].select("session", "net_value").rows())
    rebalances = set(found["decisions"]["session"])
    for day, following in pairwise(sessions):
        close = yuan(panels.field("last_close")[panels.last_row_to(day)])
        target = dict(found["positions"].filter(session=day).select("ts_code", "shares").rows())
        held = dict(target)
        orders = found["orders"].filter(decided=day)
        for code, side, requested in orders.select("ts_code", "side", "requested").rows():
            target[code] = target.get(code, 0) + (requested if side == "buy" else -requested)
        gross = sum(shares * close[sid[code]] for code, shares in target.items()) / worth[day]
        before = limits[sessions[max(sessions.index(day) - 1, 0)]]
        if day in rebalances or (orders["side"] == "buy").any() or limits[day] < before:
            assert gross <= limits[day] + 1e-9, day
        bought = found["orders"].filter(pl.col("filled") > 0, session=following, side="buy")
        for code, filled, price in bought.select("ts_code", "filled", "price").rows():
            assert (held.get(code, 0) + filled) * price <= CAP * worth[day] + 1e-6, (following, code)


def require_stopped_until_gone(
    events: pl.DataFrame, orders: pl.DataFrame, positions: pl.DataFrame, sessions: list[dt.date]
) -> None:
    """From the close a stop triggered to the one without the holding, everything that can be sold is asked to be."""
    stops = events.filter(rule="stop").select("session", "ts_code").rows()
    assert len(stops) > 5
    for triggered, code in stops:
        for day in sessions[sessions.index(triggered) : -1]:
            held = positions.filter(session=day, ts_code=code)["shares"].sum()
            if not held:
                break
            asked = orders.filter(decided=day, ts_code=code)
            assert asked["side"].to_list() == ["sell"], (day, code)
            assert asked["requested"].sum() == held
            assert asked["reason"][0] in ("filled", "suspended", "limit_down", "participation"), (day, code)
