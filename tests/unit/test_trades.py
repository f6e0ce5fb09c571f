"""Where a result came from: costs, profit by stock, attribution, round trips, capacity; answers by hand."""

from __future__ import annotations

import datetime as dt
import math

import empyrical
import numpy as np
import polars as pl
import pytest

from engine.panels.bundle import open_bundle
from engine.report import costs, trades
from engine.report import statistics as stats
from engine.report.opened import Run, open_run
from engine.report.runs import ACTIONS, ORDERS, PERF, POSITIONS
from tests.markets import days_between, five_sessions

DAYS = [dt.date(2018, 3, day) for day in (5, 6, 7, 8, 9)]
A, B = "600000.SH", "300001.SZ"


def perf(values: list[float], cash: list[float] | None = None, flows: list[float] | None = None) -> pl.DataFrame:
    n = len(values)
    cash = cash or [0.0] * n
    gross = [(value - at) / value for value, at in zip(values, cash, strict=True)]
    columns = (DAYS[:n], values, cash, gross, [0.0] * n, flows or [0.0] * n)
    return pl.DataFrame(dict(zip(PERF, columns, strict=True)), schema=PERF)


def order(at: int, code: str, side: str, filled: int, price: float, commission=5.0, stamp=0.0, transfer=0.0):
    fees = {"commission": commission, "stamp_duty": stamp, "transfer_fee": transfer}
    times = {"order_id": f"{at}{code}", "decided": DAYS[at], "session": DAYS[at]}
    return {**times, "ts_code": code, "side": side, "requested": filled, "filled": filled, "price": price, **fees}


def orders(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([{**row, "reason": "filled"} for row in rows], schema=ORDERS)


def actions(*rows: tuple[int, str, str, int, float]) -> pl.DataFrame:
    return pl.DataFrame([(DAYS[at], *rest) for at, *rest in rows], schema=ACTIONS, orient="row")


def positions(*rows: tuple[int, str, int, float]) -> pl.DataFrame:
    held = [(DAYS[at], code, shares, shares, price, price) for at, code, shares, price in rows]
    return pl.DataFrame(held, schema=POSITIONS, orient="row")


def test_costs_by_day_by_hand():
    """Slippage 1 %: bought at 10.10 the open was 10.00, sold at 9.90 it was 10.00 too."""
    placed = orders(order(0, A, "buy", 1000, 10.10), order(2, A, "sell", 1000, 9.90, 5.0, 9.9, 0.1))
    taxed = actions((2, A, "dividend_tax", 0, -20.0), (1, A, "tax_withheld", 0, -3.0), (1, A, "dividend", 0, 100.0))
    found = costs.daily_costs(perf([1e5] * 3), placed, taxed, 0.01)
    assert found["session"].to_list() == DAYS[:3]
    assert found["commission"].to_list() == [5.0, 0.0, 5.0]
    assert found["slippage"].to_list() == pytest.approx([100.0, 0.0, 100.0])
    assert found["dividend_tax"].to_list() == [0.0, 3.0, 20.0]
    assert found["all"].to_list() == pytest.approx([105.0, 3.0, 135.0])


def test_an_order_that_traded_nothing_costs_nothing():
    nothing = orders(order(0, A, "buy", 0, math.nan, 0.0))
    assert costs.daily_costs(perf([1e5]), nothing, actions(), 0.01)["all"].to_list() == [0.0]
    assert costs.turnover(perf([1e5]), nothing, 243) == {"one-sided": 0.0, "buys": 0.0, "sells": 0.0}


def test_gross_is_net_with_the_costs_added_back():
    """100,000 to 99,900 with 200 of costs: +0.1 % gross; then 50,000 put in and 149,900 to 150,799.4: +0.6 %."""
    run = perf([99_900.0, 150_799.4], flows=[0.0, 50_000.0])
    paid = costs.daily_costs(run, orders(order(0, A, "buy", 100, 10.0, 200.0)), actions(), 0.0)
    np.testing.assert_allclose(costs.gross_returns(run, paid, 1e5), [0.001, 0.006], atol=1e-15)
    table = costs.gross_and_net(run, paid, 1e5, 243.0)
    total = table.row(by_predicate=pl.col("figure") == "total return", named=True)
    assert total["gross"] == pytest.approx(1.001 * 1.006 - 1)
    assert total["net"] == pytest.approx(0.999 * 1.006 - 1)
    assert total["cost"] == pytest.approx(0.002 * 1.006)
    doubled = costs.costs_times(run, paid, 1e5, 243.0, 2.0)
    assert doubled == pytest.approx((0.997 * 1.006) ** (243 / 2) - 1)
    once = costs.costs_times(run, paid, 1e5, 243.0, 1.0)
    assert once == pytest.approx(empyrical.annual_return(np.array([-0.001, 0.006]), annualization=243))


def test_the_table_of_costs_is_of_the_mean_net_value_a_year():
    """Two sessions are 2/243 of a year; 300 of a mean of 150,000 are 0.2 %: 24.3 % a year."""
    run = perf([1e5, 2e5])
    paid = costs.daily_costs(run, orders(order(0, A, "buy", 100, 10.0, 300.0)), actions(), 0.0)
    rows = {row["cost"]: row for row in costs.cost_table(run, paid, 243.0).iter_rows(named=True)}
    assert rows["commission"]["cny"] == rows["all"]["cny"] == 300.0
    assert rows["all"]["a_year"] == pytest.approx(0.243)


def test_turnover_and_exposure_by_hand():
    """10,000 bought and 5,000 sold of 100,000 in 2 of 243 sessions: 9.1125 times a year, one-sided."""
    placed = orders(order(0, A, "buy", 1000, 10.0), order(1, A, "sell", 500, 10.0))
    found = costs.turnover(perf([1e5, 1e5]), placed, 243.0)
    assert found["buys"] == pytest.approx(0.1 * 243 / 2)
    assert found["one-sided"] == pytest.approx(0.075 * 243 / 2)
    held = costs.exposure(perf([1e5, 1e5], cash=[1e5, 4e4]))
    assert held.rows() == [("held", 0.3, 0.0, 0.6), ("cash", pytest.approx(0.7), 0.4, 1.0)]


SCRIPT = """
from zipline.api import order, symbol

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    wanted = {1: [(0, 2000), (1, 3000)], 3: [(0, -2000)], 4: [(1, -1500)], 6: [(0, 500)]}
    for number, shares in wanted.get(context.session, []):
        order(symbol(["600000.SH", "300001.SZ"][number]), shares)
"""


@pytest.fixture
def run(backtest) -> Run:
    """Eight sessions, two stocks, a dividend with bonus shares, slippage."""
    from tests.markets import Market

    market = Market(days_between("20180305", "20180314"))
    market.stock(A).bars(A, [10.0, 10.1, 10.3, 10.2, 10.4, 10.5, 10.1, 10.6], total_mv=400_000.0)
    market.stock(B)
    closes = [20.0, 20.5, 20.2, 10.3, 10.4, 10.9, 10.8, 11.0]
    for day, close in zip(market.days, closes, strict=True):
        late = day >= "20180308"
        pre = 10.05 if day == "20180308" else None
        market.bar(B, day, close, lots=1000.0, adj=2.01 if late else 1.0, pre_close=pre, total_mv=6_000_000.0)
    market.add(
        "dividend", ts_code=B, end_date="20171231", ann_date="20180301", div_proc="实施", stk_div=1.0, cash_div_tax=0.1,
        record_date="20180307", ex_date="20180308", pay_date="20180308", imp_ann_date="20180301",
    )  # fmt: skip
    market.index([5000.0] * 8)
    return open_run(backtest(market, SCRIPT, toml="[execution]\nslippage = 0.002\n").folder)


def profits_of(run: Run) -> pl.DataFrame:
    return trades.daily_profit(run.perf, run.orders, run.positions, run.actions, run.renamed)


def test_profits_of_the_stocks_are_the_change_of_the_net_value(run):
    assert {"dividend", "bonus"} <= set(run.actions["kind"])
    profits = profits_of(run)
    by_day = run.perf.select("session").join(
        profits.group_by("session").agg(pl.col("profit").sum()), on="session", how="left", maintain_order="left"
    )
    values = np.array([run.manifest["capital"], *run.perf["net_value"]])
    np.testing.assert_allclose(by_day["profit"].fill_null(0.0), np.diff(values), atol=1e-6)
    assert set(profits["ts_code"]) == {A, B}


def test_attribution_adds_up(run):
    profits, capital = profits_of(run), run.manifest["capital"]
    by_board = trades.attribution(profits, trades.board_labels(profits["ts_code"].to_list()), run.perf, capital)
    assert set(by_board["label"]) == {"sse_main", "chinext"}
    assert by_board["profit"].sum() == pytest.approx(run.perf["net_value"][-1] - capital)
    assert by_board["contribution"].sum() == pytest.approx(run.returns.sum())
    assert by_board["share"].sum() == pytest.approx(1.0)
    assert by_board["stocks"].to_list() == [1, 1]
    some = pl.DataFrame({"ts_code": [A], "label": ["banks"]})
    assert set(trades.attribution(profits, some, run.perf, capital)["label"]) == {"banks", "unknown"}
    assert trades.concentration(profits)["ts_code"].len() == 2


def test_sizes_are_those_of_the_close_before(run):
    held = trades.market(open_bundle().panels, profits_of(run))
    assert held.filter(ts_code=A)["total_mv"].unique().to_list() == [400_000.0]
    assert held.filter(ts_code=B)["volume"].unique().to_list() == [100_000.0]
    labels = trades.size_labels(held)
    assert set(labels["label"]) == {"under 5 billion CNY", "50 billion CNY and more"}
    frame = trades.attribution(profits_of(run), labels, run.perf, run.manifest["capital"])
    assert set(frame["label"]) == set(labels["label"])
    first = pl.DataFrame({"session": [open_bundle().panels.days[0].item()], "ts_code": [A]})
    assert math.isnan(trades.market(open_bundle().panels, first)["total_mv"][0])
    nobody = pl.DataFrame({"session": [dt.date(1999, 1, 4)], "ts_code": ["600999.SH"]})
    assert trades.market(open_bundle().panels, nobody).is_empty()


def test_round_trips_say_how_long_and_how_much(run):
    trips = stats.round_trips(run.orders, run.positions, run.actions, run.renamed)
    (row,) = trades.trips_frame(trips, run.perf).rows(named=True)
    assert (row["ts_code"], row["board"], row["sessions"]) == (A, "sse_main", 2)
    bought = run.orders.filter((pl.col("ts_code") == A) & (pl.col("side") == "buy")).row(0, named=True)
    assert row["invested"] == pytest.approx(2000 * bought["price"] + bought["commission"] + bought["transfer_fee"])
    assert row["return"] == pytest.approx(row["profit"] / row["invested"])
    sized = trades.trips_with_size(
        trades.trips_frame(trips, run.perf), trades.market(open_bundle().panels, profits_of(run))
    )
    assert sized["size"].to_list() == ["under 5 billion CNY"]


def test_the_summary_of_round_trips_by_hand():
    made = [(A, 0, 2, 300.0), (A, 2, 3, -100.0), (B, 0, 4, 100.0), (B, 4, 4, 0.0)]
    trips = [stats.RoundTrip(code, DAYS[a], DAYS[b], profit, 1000.0) for code, a, b, profit in made]
    frame = trades.trips_frame(trips, perf([1e5] * 5))
    (row,) = trades.trip_summary(frame).rows(named=True)
    assert (row["trips"], row["win_rate"], row["best"], row["worst"]) == (4, 0.5, 300.0, -100.0)
    assert (row["mean_sessions"], row["median_sessions"], row["mean_profit"]) == (1.75, 1.5, 75.0)
    assert row["profit_factor"] == 4.0
    by_board = {row["label"]: row for row in trades.trip_summary(frame, "board").rows(named=True)}
    assert by_board["sse_main"]["profit"] == 200.0
    assert by_board["chinext"]["profit_factor"] is None
    assert trades.trip_summary(trades.trips_frame([], perf([1e5]))).is_empty()


def test_capacity_by_hand():
    """1,000 of 10,000 shares bought at 10, closes 10, 11, 12: at ten times the money a fifth of the buy is cut off.

    Participation 8 %: 800 shares; at 1 the buy of 1,000 is cut too, as the run itself was not (it had no limit).
    """
    run, placed = perf([1e5, 1.01e5, 1.02e5]), orders(order(0, A, "buy", 1000, 10.0, 0.0))
    held = positions((0, A, 1000, 10.0), (1, A, 1000, 11.0), (2, A, 1000, 12.0))
    profits = trades.daily_profit(run, placed, held, actions(), {})
    assert profits["profit"].to_list() == [0.0, 1000.0, 1000.0]
    volume = pl.DataFrame({"session": [DAYS[0]], "ts_code": [A], "total_mv": [1.0], "volume": [10_000.0]})
    found = trades.capacity(run, placed, held, profits, volume, 1e5, 3.0, 0.1, {}, (1, 2, 10))
    assert found["capital"].to_list() == [1e5, 2e5, 1e6]
    assert found["bought"].to_list() == pytest.approx([1.0, 0.5, 0.1])
    expected = [1.02 - 1, (1 + 500 / 1e5) * (1 + 500 / 1.01e5) - 1, (1 + 100 / 1e5) * (1 + 100 / 1.01e5) - 1]
    assert found["annual_return"].to_list() == pytest.approx(expected)


def test_a_second_buy_joins_what_is_left_of_the_first():
    """Of 1,000 a half was bought, then all of another 1,000: three quarters; sold and bought anew: that buy alone."""
    placed = orders(
        order(0, A, "buy", 1000, 10.0, 0.0),
        order(1, A, "buy", 1000, 10.0, 0.0),
        order(2, A, "sell", 2000, 10.0, 0.0),
        order(3, A, "buy", 1000, 10.0, 0.0),
    )
    held = positions((0, A, 1000, 10.0), (1, A, 2000, 11.0), (3, A, 1000, 10.0), (4, A, 1000, 12.0))
    run = perf([1e5] * 5)
    profits = trades.daily_profit(run, placed, held, actions(), {})
    volumes = pl.DataFrame(
        {"session": [DAYS[0], DAYS[1], DAYS[3]], "ts_code": [A] * 3, "total_mv": [1.0] * 3, "volume": [5e3, 1e4, 1e3]}
    )
    found = trades.capacity(run, placed, held, profits, volumes, 1e5, 5.0, 0.1, {}, (1,))
    daily = np.array([0, 2000 * 0.75, -2000 * 0.75, 0, 2000 * 0.1]) / 1e5  # 11 back to 10 on the day of the sale
    assert found["annual_return"][0] == pytest.approx(np.prod(1 + daily) - 1)
    assert found["bought"][0] == pytest.approx((0.5 + 1 + 0.1) / 3)


def test_capacity_is_the_run_itself_at_its_own_capital(run):
    profits = profits_of(run)
    held = trades.market(open_bundle().panels, profits)
    found = trades.capacity(
        run.perf, run.orders, run.positions, profits, held, run.manifest["capital"], run.year, 0.1, run.renamed
    )
    assert found["annual_return"][0] == pytest.approx(empyrical.annual_return(run.returns, annualization=run.year))
    assert found["bought"].to_list() == sorted(found["bought"], reverse=True)
    assert found["bought"][0] == 1.0 > found["bought"][-1]


def test_a_run_without_any_trade_has_all_tables(backtest):
    run = open_run(backtest(five_sessions(), "def initialize(context): pass\n").folder)
    capital, profits = run.manifest["capital"], profits_of(run)
    paid = costs.daily_costs(run.perf, run.orders, run.actions, 0.0)
    assert paid["all"].sum() == 0
    assert trades.attribution(profits, trades.board_labels([]), run.perf, capital).is_empty()
    assert trades.concentration(profits).is_empty()
    empty = trades.market(open_bundle().panels, profits)
    found = trades.capacity(run.perf, run.orders, run.positions, profits, empty, capital, 243.0, 0.1, {})
    assert found["bought"].to_list() == [1.0] * len(trades.MULTIPLES)
    assert found["annual_return"].to_list() == [0.0] * len(trades.MULTIPLES)
