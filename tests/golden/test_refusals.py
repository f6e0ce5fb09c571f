"""What zipline lets one do and the market does not, through zipline's own command."""

from __future__ import annotations

import pytest

from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180309")


def market() -> Market:
    """Five stocks: calm, up to the limit, down to the limit, suspended on the third day, thinly traded."""
    m = Market(DAYS)
    m.stock("600000.SH").bars("600000.SH", [10.0, 10.0, 10.0, 10.0, 10.0])
    m.stock("600001.SH").bars("600001.SH", [10.0, 10.0, 11.0, 12.1, 12.1])
    m.stock("600002.SH").bars("600002.SH", [10.0, 10.0, 9.0, 8.1, 8.1])
    m.stock("600003.SH").bars("600003.SH", [10.0, 10.0, None, 10.5, 10.5])
    m.stock("600004.SH").bars("600004.SH", [10.0] * 5, lots=20)
    return m.index([5000.0] * 5)


SCRIPT = """
from zipline.api import order, symbol, cancel_order, order_target_percent
from zipline.finance.execution import LimitOrder, StopOrder

PLAN = {plan}

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    for step in PLAN.get(context.session, []):
        code, shares, *more = step
        asset = context.asset_finder.lookup_symbol(code, None)
        placed = order(asset, shares, **(dict(style=more[0]) if more else {{}}))
"""


def script(plan: str) -> str:
    return SCRIPT.format(plan=plan)


CASES = [
    # plan by session, capital, (code, side, requested, filled, reason) of each order
    ("{1: [('600000.SH', 1000)]}", [("600000.SH", "buy", 1000, 1000, "filled")]),
    ("{1: [('600000.SH', 1050)]}", [("600000.SH", "buy", 1050, 1000, "lot")]),
    ("{1: [('600000.SH', -100)]}", [("600000.SH", "sell", 100, 0, "not_sellable")]),
    ("{2: [('600001.SH', 1000)]}", [("600001.SH", "buy", 1000, 0, "limit_up")]),
    ("{2: [('600003.SH', 1000)]}", [("600003.SH", "buy", 1000, 0, "suspended")]),
    ("{1: [('600004.SH', 1000)]}", [("600004.SH", "buy", 1000, 200, "participation")]),
    ("{1: [('600000.SH', 200000)]}", [("600000.SH", "buy", 200000, 99900, "cash")]),
    (
        "{1: [('600002.SH', 1000)], 2: [('600002.SH', -1000)], 4: [('600002.SH', -1000)]}",
        [
            ("600002.SH", "buy", 1000, 1000, "filled"),
            ("600002.SH", "sell", 1000, 0, "limit_down"),
            ("600002.SH", "sell", 1000, 1000, "filled"),
        ],
    ),
    (
        "{1: [('600000.SH', 500)], 2: [('600000.SH', 500), ('600000.SH', -1000)]}",
        [
            ("600000.SH", "buy", 500, 500, "filled"),
            ("600000.SH", "sell", 1000, 500, "not_sellable"),
            ("600000.SH", "buy", 500, 500, "filled"),
        ],
    ),
    ("{1: [('600000.SH', 100, LimitOrder(10.0))]}", [("600000.SH", "buy", 100, 100, "filled")]),
    ("{1: [('600000.SH', 100, LimitOrder(9.99))]}", [("600000.SH", "buy", 100, 0, "limit_price")]),
    ("{1: [('600000.SH', 100, StopOrder(9.0))]}", [("600000.SH", "buy", 100, 0, "stop_order")]),
    (
        "{1: [('600003.SH', 500)], 2: [('600003.SH', -500)], 3: [('600003.SH', -500)]}",
        [
            ("600003.SH", "buy", 500, 500, "filled"),
            ("600003.SH", "sell", 500, 0, "suspended"),
            ("600003.SH", "sell", 500, 500, "filled"),
        ],
    ),
]


@pytest.mark.parametrize(("plan", "expected"), CASES)
def test_orders_end_as_the_market_has_it(backtest, plan, expected):
    run = backtest(market(), script(plan))
    rows = run.orders.select("ts_code", "side", "requested", "filled", "reason").rows()
    assert rows == expected
    assert (run.perf["cash"] >= 0).all()


def test_a_day_order_dies_with_its_session(backtest):
    run = backtest(market(), script("{2: [('600003.SH', 1000)]}"))
    assert run.orders.height == 1
    assert run.positions.height == 0


def test_a_suspended_holding_is_valued_at_its_last_price(backtest):
    run = backtest(market(), script("{1: [('600003.SH', 1000)]}"))
    assert run.positions["price"].to_list() == [10.0, 10.0, 10.5, 10.5]


def test_a_cancelled_order_is_on_record(backtest):
    text = script("{1: [('600000.SH', 1000)]}").replace(
        "        placed = ", "        from zipline.api import cancel_order\n        placed = "
    )
    run = backtest(market(), text + "        cancel_order(placed)\n")
    assert run.orders.select("filled", "reason").rows() == [(0, "cancelled")]


OWN_COSTS = """
from zipline.api import order, set_commission, set_slippage
from zipline.finance import commission, slippage

def initialize(context):
    set_commission(commission.PerDollar(cost=0.001))
    set_slippage(slippage.FixedBasisPointsSlippage(basis_points=10, volume_limit=1))
    context.session = 0

def handle_data(context, data):
    context.session += 1
    asset = context.asset_finder.retrieve_asset(0)
    if context.session == 1:
        order(asset, 1000)
    if context.session == 3:
        order(asset, -1000)
"""


def test_a_script_s_own_commission_replaces_ours_and_its_slippage_comes_on_top(backtest):
    run = backtest(market(), OWN_COSTS)
    buy, sell = run.orders.rows(named=True)
    assert buy["price"] == pytest.approx(10.01)
    assert sell["price"] == pytest.approx(9.99)
    assert buy["commission"] == pytest.approx(10.01)
    assert sell["commission"] == pytest.approx(9.99)
    assert (buy["stamp_duty"], sell["stamp_duty"]) == (0.0, 9.99)
    assert run.net_values[-1] == pytest.approx(1e6 - 20 - 20 - 9.99 - 0.2 - 0.2)


def test_every_rejection_is_in_zipline_s_own_record_too(backtest):
    """The perf frame of zipline itself sees the refusal: nothing was filled."""
    run = backtest(market(), script("{1: [('600000.SH', 100, StopOrder(9.0))]}"))
    assert run.net_values == [1e6] * 5


ASKS = """
from zipline.api import record

def initialize(context):
    context.seen = []

def handle_data(context, data):
    calm, halted = (context.asset_finder.lookup_symbol(code, None) for code in ("600000.SH", "600003.SH"))
    context.seen.append((data.can_trade(calm), data.can_trade(halted), data.can_trade([calm, halted]).tolist()))
    if len(context.seen) == 5:
        assert context.seen == [
            (True, on, [True, on]) for on in (True, True, False, True, True)
        ], context.seen
"""


def test_a_suspended_stock_cannot_be_traded(backtest):
    assert backtest(market(), ASKS).perf.height == 5
