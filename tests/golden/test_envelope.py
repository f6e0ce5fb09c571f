"""Three readings of the same bars, on a market where each of them is worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.main import ashare
from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180309")
SCRIPT = """
from zipline.api import order

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    calm, opened_up = (context.asset_finder.lookup_symbol(code, None) for code in ("600000.SH", "600001.SH"))
    if context.session == 1:
        order(calm, 1000)
        order(opened_up, 1000)
"""


def market() -> Market:
    """One stock opens at 10.00, closes at 10.20 with an average of 10.10; one opens at limit-up and leaves it."""
    m = Market(DAYS).stock("600000.SH").stock("600001.SH").index([5000.0] * 5)
    for day in DAYS:
        m.bar("600000.SH", day, 10.2 if day == DAYS[1] else 10.0, open=10.0)
        m.bar("600001.SH", day, 10.5 if day == DAYS[1] else 10.0, open=11.0 if day == DAYS[1] else 10.0, pre_close=10.0)
    return m


def test_the_envelope_spans_the_readings(backtest, home, tmp_path):
    backtest(market(), SCRIPT)
    arguments = ["backtest", str(tmp_path / "script.py"), "-s", "2018-03-05", "-e", "2018-03-09", "--fills", "envelope"]
    done = CliRunner().invoke(ashare, [*arguments, "--capital", "1000000"])
    assert done.exit_code == 0, done.output
    runs = [path for path in (home / "runs").iterdir() if (path / "envelope.json").exists()]
    assert len(runs) == 3
    rows = {row["scenario"]: row for row in json.loads((runs[0] / "envelope.json").read_text())}
    assert list(rows) == ["pessimistic", "base", "optimistic"]
    # closes stay at 10.00; costs: commission 5.00 and transfer fee 0.2 per buy of 10,000 or so
    # pessimistic: 1,000 at the average 10.10, nothing of the stock that touched its limit
    assert rows["pessimistic"]["final_net_value"] == pytest.approx(1e6 - 100 - 5.2)
    # base: 1,000 at the open 10.00, nothing at limit-up
    assert rows["base"]["final_net_value"] == pytest.approx(1e6 - 5.2)
    # optimistic: the open 10.00, and 1,000 of the other at its average 10.75
    assert rows["optimistic"]["final_net_value"] == pytest.approx(1e6 - 5.2 - 750 - 5.22)
    assert rows["optimistic"]["fills"] == 2


def test_the_page_shows_it(backtest, home, tmp_path, monkeypatch):
    backtest(market(), SCRIPT)
    monkeypatch.setenv("ASHARE_REPORT__TEARSHEET", "true")
    arguments = ["backtest", str(tmp_path / "script.py"), "-s", "2018-03-05", "-e", "2018-03-09", "--fills", "envelope"]
    done = CliRunner().invoke(ashare, arguments)
    page = done.output.strip().splitlines()[-1]
    assert "What the fills leave open" in Path(page).read_text("utf-8")
