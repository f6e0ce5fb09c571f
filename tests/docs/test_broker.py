"""The page about brokers: its example runs, its settings are settings and their defaults, its counts are right."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import pytest

from engine.broker.kit import CLAUSES
from engine.broker.reconcile import Kind
from engine.errors import BrokerMismatch
from engine.settings import BrokerSettings
from tests.broker.test_kit import BREAKS

PAGE = (Path(__file__).parents[2] / "docs" / "broker.md").read_text("utf-8")
TRADES = (
    "成交日期,证券代码,操作,成交数量,成交价格,成交金额,成交编号,佣金,印花税,过户费\n"
    "20180305,600519,买入,100,735.00,73500.00,1,18.38,0.00,1.47\n"
)


@pytest.mark.parametrize("shares", [100, 200])
def test_a_day_by_hand(shares, home):
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    Path("成交.csv").write_text(TRADES, "gbk")
    Path("持仓.csv").write_text(f"证券代码,证券名称,股票余额,可用余额\n600519,贵州茅台,{shares},0\n", "gbk")
    if shares == 200:
        with pytest.raises(BrokerMismatch, match=r"position 600519\.SH: the broker holds 200, the ledger 100"):
            exec(script, {})
        return
    exec(script, {})
    assert {path.name for path in Path("tickets").iterdir()} == {"20180305.csv", "20180305.md"}


def test_its_settings_are_the_defaults():
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    told = tomllib.loads(toml)["broker"]
    settings = BrokerSettings(**told)
    assert settings.reported_on == dt.date(2026, 11, 20)
    assert settings == BrokerSettings(reported_on=settings.reported_on, account=settings.account)


def test_its_counts_and_names():
    assert f"{len(CLAUSES)} clauses" in PAGE
    assert f"has {len(BREAKS) + 2} broken adapters" in PAGE
    for kind in Kind:
        assert f"`{kind}`" in PAGE
