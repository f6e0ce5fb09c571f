"""The timing contract on five sessions (SPEC 1): what is seen when, and when an order meets the market."""

from __future__ import annotations

import json

import pytest

from engine.errors import EndOfDayDataRefused
from tests.markets import five_sessions

SEEN = """
from zipline.api import attach_pipeline, pipeline_output
from zipline.pipeline import Pipeline
from zipline.pipeline.data import EquityPricing
from engine.pipeline.datasets import Daily
import json, pathlib

def initialize(context):
    attach_pipeline(Pipeline({"ours": Daily.close.latest, "stock": EquityPricing.close.latest}), "p")
    context.seen = []

def before_trading_start(context, data):
    asset = context.asset_finder.retrieve_asset(0)
    context.morning = [data.current(asset, "close"), *data.history(asset, "close", 2, "1d")]

def handle_data(context, data):
    asset = context.asset_finder.retrieve_asset(0)
    row = pipeline_output("p").loc[asset]
    context.seen.append([*context.morning, data.current(asset, "close"), row["ours"], row["stock"]])

def analyze(context, perf):
    pathlib.Path("seen.json").write_text(json.dumps(context.seen))
"""


def test_what_is_seen_when(backtest, tmp_path):
    backtest(five_sessions(), SEEN, start="20180307")
    seen = json.loads((tmp_path / "work" / "seen.json").read_text())
    assert seen == [
        # morning close and history; evening close, our dataset, zipline's dataset
        [10.1, 10.0, 10.1, 10.2, 10.2, 10.1],
        [10.2, 10.1, 10.2, 10.3, 10.3, 10.2],
        [10.3, 10.2, 10.3, 10.4, 10.4, 10.3],
    ]


MORNING = """
from zipline.api import attach_pipeline, pipeline_output
from zipline.pipeline import Pipeline
from engine.pipeline.datasets import Daily

def initialize(context):
    attach_pipeline(Pipeline({"close": Daily.close.latest}, screen=Daily.traded.latest), "p", eager=True)

def before_trading_start(context, data):
    {morning}

def handle_data(context, data):
    assert len(pipeline_output("p")) == 1
"""


def test_the_close_is_refused_before_the_open(backtest):
    with pytest.raises(EndOfDayDataRefused, match="Ask for it in handle_data"):
        backtest(five_sessions(), MORNING.replace("{morning}", 'pipeline_output("p")'))


def test_an_eager_pipeline_is_computed_in_the_morning_but_shown_in_the_evening(backtest):
    assert backtest(five_sessions(), MORNING.replace("{morning}", "pass")).perf.height == 5


BUY_ON_THE_SECOND = """
from zipline.api import order

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    if context.session == 2:
        order(context.asset_finder.retrieve_asset(0), 1000)
"""


@pytest.mark.parametrize(("fill", "price"), [("open", 10.15), ("close", 10.2), ("vwap", 10.175)])
def test_an_order_of_one_close_fills_in_the_next_session(backtest, fill, price):
    market = five_sessions()
    market.tables["daily"][2] |= {"open": 10.15, "low": 10.15, "high": 10.2, "amount": 1e6 * 100 * 10.175 / 1000}
    run = backtest(market, BUY_ON_THE_SECOND, toml=f'execution.fill = "{fill}"')
    (order,) = run.orders.rows(named=True)
    assert (str(order["decided"]), str(order["session"]), order["reason"]) == ("2018-03-06", "2018-03-07", "filled")
    assert order["price"] == pytest.approx(price, abs=1e-12)
    cost = 1000 * price + 5.0 + round(1000 * price * 0.00002, 2)
    assert run.perf["cash"].to_list() == pytest.approx([1e6, 1e6, 1e6 - cost, 1e6 - cost, 1e6 - cost], abs=1e-6)
    assert run.net_values == pytest.approx([1e6, 1e6, *(1e6 - cost + 1000 * close for close in (10.2, 10.3, 10.4))])


def test_an_order_of_the_last_session_never_trades(backtest):
    run = backtest(five_sessions(), BUY_ON_THE_SECOND, end="20180306")
    (order,) = run.orders.rows(named=True)
    assert (order["reason"], order["filled"], order["session"]) == ("run_ended", 0, None)


def test_shares_bought_today_are_sellable_tomorrow(backtest):
    run = backtest(five_sessions(), BUY_ON_THE_SECOND)
    assert run.positions["shares"].to_list() == [1000, 1000, 1000]
    assert run.positions["sellable"].to_list() == [0, 1000, 1000]


def test_two_runs_leave_the_same_orders(backtest):
    first = backtest(five_sessions(), BUY_ON_THE_SECOND)
    second = backtest(None, BUY_ON_THE_SECOND, start="20180305", end="20180309")
    assert first.orders.equals(second.orders)
    assert first.perf.equals(second.perf)
