"""Dividends, bonus shares, code changes and delistings, worked out by hand."""

from __future__ import annotations

import pytest

from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180309")

HOLD = """
from zipline.api import order

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    asset = context.asset_finder.retrieve_asset(0)
    if context.session == 1:
        order(asset, 1000)
    context.history = data.history(asset, "close", context.session, "1d").tolist()

def analyze(context, perf):
    import json, pathlib
    pathlib.Path("history.json").write_text(json.dumps(context.history))
"""
FEES = 5.0 + 0.2  # minimum commission, and 0.02 per mille of 10,000 CNY


def ten_for_ten_and_half_a_yuan() -> Market:
    """Ex on the third session: 0.5 CNY and one new share a share; 20.00 becomes (20 - 0.5) / 2 = 9.75."""
    m = Market(DAYS).stock("600000.SH").index([5000.0] * 5)
    for day, close, pre, adj in zip(
        DAYS,
        (20, 20, 9.75, 9.75, 9.75),
        (20, 20, 9.75, 9.75, 9.75),
        (1, 1, 20 / 9.75, 20 / 9.75, 20 / 9.75),
        strict=True,
    ):
        m.bar("600000.SH", day, close, pre_close=pre, adj=adj)
    m.add(
        "dividend", ts_code="600000.SH", end_date="20171231", ann_date="20180301", div_proc="实施", stk_div=1.0,
        cash_div_tax=0.5, record_date=DAYS[1], ex_date=DAYS[2], pay_date=DAYS[2],
    )  # fmt: skip
    return m


def test_bonus_shares_and_cash_leave_the_value_as_it_was(backtest, tmp_path):
    run = backtest(ten_for_ten_and_half_a_yuan(), HOLD)
    assert run.positions["shares"].to_list() == [1000, 2000, 2000, 2000]
    start = 1e6 - 20_000 - 5.0 - 0.4
    assert run.perf["cash"].to_list() == pytest.approx([1e6, start, start + 500, start + 500, start + 500])
    assert run.net_values == pytest.approx([1e6] + [1e6 - 5.4] * 4)


def test_adjusted_history_moves_as_the_factor(backtest, tmp_path):
    import json

    backtest(ten_for_ten_and_half_a_yuan(), HOLD)
    history = json.loads((tmp_path / "work" / "history.json").read_text())
    assert history == pytest.approx([9.75] * 5, abs=1e-9)


def test_a_pay_date_that_is_no_session_is_paid_on_the_next(backtest):
    market = ten_for_ten_and_half_a_yuan()
    market.tables["dividend"][0] |= {"ex_date": DAYS[1], "pay_date": "20180307", "stk_div": 0}
    for row in (1, 2, 3, 4):
        market.tables["adj_factor"][row] |= {"adj_factor": 20 / 19.5}
    for name in ("open", "high", "low", "close", "pre_close"):
        market.tables["daily"][1] |= {name: 19.5}
        for row in (2, 3, 4):
            market.tables["daily"][row] |= {name: 19.5}
    for row in (1, 2, 3, 4):
        market.tables["daily"][row] |= {"amount": 1e6 * 100 * 19.5 / 1000}
        market.tables["stk_limit"][row] |= {"up_limit": 21.45, "down_limit": 17.55}
    market.tables["dividend"][0] |= {"pay_date": "20180310"}  # a Saturday after the last session of the run
    assert backtest(market, HOLD).perf.height == 5


def test_a_plan_that_is_not_carried_out_does_nothing(backtest):
    market = ten_for_ten_and_half_a_yuan()
    market.tables["dividend"][0] |= {"div_proc": "预案"}
    run = backtest(market, HOLD)
    assert run.positions["shares"].to_list() == [1000] * 4


def test_the_same_plan_twice_is_one_plan(backtest):
    market = ten_for_ten_and_half_a_yuan()
    market.tables["dividend"].append(dict(market.tables["dividend"][0]))
    assert backtest(market, HOLD).positions["shares"].to_list() == [1000, 2000, 2000, 2000]


def test_ex_day_during_a_suspension(backtest):
    """The holding is doubled on the ex-date and its carried price halved with it: the value does not move."""
    market = Market(DAYS).stock("600000.SH").index([5000.0] * 5)
    for row, (close, adj) in {0: (20, 1), 1: (20, 1), 4: (10, 2)}.items():
        market.bar("600000.SH", DAYS[row], close, pre_close=close, adj=adj)
    for row in (2, 3):
        market.add("suspend_d", ts_code="600000.SH", trade_date=DAYS[row], suspend_type="S")
    market.add(
        "dividend",
        ts_code="600000.SH",
        end_date="20171231",
        ann_date="20180301",
        div_proc="实施",
        stk_div=1.0,
        ex_date=DAYS[2],
    )
    run = backtest(market, HOLD)
    assert run.positions["shares"].to_list() == [1000, 2000, 2000, 2000]
    assert run.net_values == pytest.approx([1e6] + [1e6 - 5.4] * 4)


def test_a_delisted_holding_is_written_down_and_reported(backtest):
    market = Market(DAYS).stock("600000.SH", delisted=DAYS[3]).index([5000.0] * 5)
    market.stock("600001.SH").bars("600001.SH", [10.0] * 5)
    for day in DAYS[:3]:
        market.bar("600000.SH", day, 10.0)
    run = backtest(market, HOLD)
    assert run.net_values == pytest.approx([1e6, 1e6 - FEES, 1e6 - FEES, 1e6 - FEES - 10_000, 1e6 - FEES - 10_000])
    import json

    written = json.loads((run.folder / "manifest.json").read_text())["written_down"]
    assert written == [["2018-03-08", "600000.SH", 1000, 10.0, "unknown"]]


def test_an_order_for_a_delisted_stock_is_refused(backtest):
    market = Market(DAYS).stock("600000.SH", delisted=DAYS[3]).index([5000.0] * 5)
    market.stock("600001.SH").bars("600001.SH", [10.0] * 5)
    for day in DAYS[:3]:
        market.bar("600000.SH", day, 10.0)
    run = backtest(market, HOLD.replace("context.session == 1", "context.session == 3"))
    assert run.orders["reason"].to_list() == ["not_listed"]


def test_a_code_change_is_one_stock(backtest, tmp_path):
    market = Market(DAYS).stock("000022.SZ", delisted=DAYS[2]).stock("001872.SZ", listed=DAYS[2]).index([5000.0] * 5)
    for day in DAYS[:2]:
        market.bar("000022.SZ", day, 10.0)
    for day in DAYS[2:]:
        market.bar("001872.SZ", day, 10.0)
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "code_changes.csv").write_text(f"old,new,date\n000022.SZ,001872.SZ,{DAYS[2]}\n")
    run = backtest(market, HOLD)
    assert run.positions["ts_code"].to_list() == ["000022.SZ", "001872.SZ", "001872.SZ", "001872.SZ"]
    assert run.positions["shares"].to_list() == [1000] * 4
    assert run.net_values == pytest.approx([1e6] + [1e6 - FEES] * 4)


SEES_THE_VOLUME = """
def initialize(context):
    pass

def handle_data(context, data):
    assert data.current(context.asset_finder.retrieve_asset(0), "volume") == 5_000_000_000
"""


def test_more_than_two_to_the_32_shares_survive(backtest):
    market = Market(DAYS).stock("600000.SH").bars("600000.SH", [10.0] * 5, lots=5e7).index([5000.0] * 5)
    assert backtest(market, SEES_THE_VOLUME).perf.height == 5


@pytest.mark.parametrize("given", [True, False])
def test_the_benchmark_is_csi_500_or_nothing_with_a_warning(backtest, given, caplog):
    market = Market(DAYS).stock("600000.SH").bars("600000.SH", [10.0] * 5)
    if given:
        market.index([5000.0, 5100.0, 5100.0, 4845.0, 4845.0])
    run = backtest(market, "def initialize(context): pass\ndef handle_data(context, data): pass\n")
    expected = [0.0, 0.02, 0.0, -0.05, 0.0] if given else [0.0] * 5
    assert run.perf["benchmark_return"].to_list() == pytest.approx(expected)
    assert ("the benchmark returns are zero" in caplog.text) is not given
