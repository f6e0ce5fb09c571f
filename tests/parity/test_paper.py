"""``ashare prove parity``: an account on paper does what the backtest does (R7), and always the same (R8).

The market of the fast tests is made by hand: in its 26 sessions a stock is suspended, one lies at its limits, one pays
a dividend with bonus shares, one offers rights, one is absorbed, one changes its code, and one is listed whose code
comes before the others', so that all assets get other numbers.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from bundles.demo.market import Spec, write_market
from bundles.importer import import_folder
from bundles.lake import Lake
from engine import settings
from engine.cli.backtest import run as run_script
from engine.cli.main import main
from engine.errors import UsageError
from engine.host.registration import install
from engine.panels.bundle import Bundle, open_bundle
from engine.panels.reader import Panels
from engine.paper.memory import Memory
from engine.paper.snapshot import _prices, restore_ledger
from engine.portfolio.book import Book
from engine.prove.parity import KEYS, Parity, Run, Tables, first_difference, paper_tables, scratch_home
from tests.conftest import DEMO_SETTINGS
from tests.markets import Market, days_between

STRATEGIES = Path(__file__).parents[2] / "strategies"

DAYS = days_between("20180305", "20180411")
"""26 sessions: the month ends in session 20, and there are two holidays after session 23."""
A, B, C, D, E, F = (f"60000{n}.SH" for n in range(1, 7))
OLD, NEW, LISTED = "000022.SZ", "001872.SZ", "600000.SH"
CAPITAL = 300_000.0


def closes(code: str, at: int, price: float) -> float:
    """Return a close near the one before: the stocks move by up to 4 %, each in its own way."""
    return round(price * (1 + ((at * 7 + int(code[:6]) * 5) % 9 - 4) / 100), 2)


def busy_market() -> Market:
    """Return the market, with the user's own tables."""
    market = Market(DAYS).index([5000.0 + 7 * (n % 5) for n in range(len(DAYS))])
    market.stock(LISTED, listed=DAYS[10]).stock(F, delisted=DAYS[17])
    market.stock(OLD, delisted=DAYS[13]).stock(NEW, listed=DAYS[13])
    for code in (A, B, C, D, E):
        market.stock(code)
    for number, stock in enumerate((A, B, C, D, E, F, OLD, LISTED)):
        trade(market, stock, 8.0 + number)
    market.add(
        "dividend", ts_code=D, end_date="20171231", ann_date=DAYS[2], div_proc="实施", stk_div=0.3, cash_div_tax=0.5,
        record_date=DAYS[7], ex_date=DAYS[8], pay_date=DAYS[11], imp_ann_date=DAYS[2],
    )  # fmt: skip
    market.tables["rights"] = [{"ts_code": E, "ex_date": DAYS[9], "ratio": 0.3, "price": 5.0, "list_date": DAYS[14]}]
    market.tables["delistings"] = [{"ts_code": F, "kind": "absorption", "into": A, "ratio": 0.7, "cash": 0.11}]
    market.tables["code_changes"] = [{"old": OLD, "new": NEW, "date": DAYS[13]}]
    return market


SPECIAL = {
    (C, 3): 1.1, (C, 11): 0.9, (C, 12): 0.9,
    **dict.fromkeys([(B, 5), (B, 6), (B, 7)]),
    **dict.fromkeys((F, n) for n in range(17, len(DAYS))),
    **dict.fromkeys((LISTED, n) for n in range(10)),
}  # fmt: skip
"""Closes at a limit, and sessions without a bar."""


def trade(market: Market, stock: str, price: float) -> None:
    """Add the bars of a stock."""
    factor = 1.0
    for n, day in enumerate(DAYS):
        special = SPECIAL.get((stock, n), 1.0)
        if special is None:
            continue
        ex = {(D, 8): (price - 0.5) / 1.3, (E, 9): (price + 0.3 * 5.0) / 1.3}.get((stock, n), price)
        ex = round(ex, 2)
        factor *= price / ex
        price = round(ex * special + 1e-9, 2) if special != 1.0 else closes(stock, n, ex)
        opened = price if special != 1.0 else round((ex + price) / 2, 2)
        lots = 2000.0 + 31 * n + int(stock[:6]) % 7 * 11
        code = NEW if stock == OLD and n >= 13 else stock
        market.bar(code, day, price, opened, pre_close=ex, adj=factor, lots=lots, turnover=1.5 + n % 3)


USERS = {"rights": "ex_date", "delistings": None, "code_changes": "date"}
"""The user's own tables, and from when a row of them is there."""


def write(market: Market, folder: Path, until: str = DAYS[-1]) -> Path:
    """Write what is known of the market at the close of a day."""
    known = Market(market.days)
    for name, rows in market.tables.items():
        day = {"stock_basic": "list_date", "namechange": "start_date", "dividend": "ann_date", **USERS}
        by = day.get(name, "trade_date")
        known.tables[name] = [dict(row) for row in rows if by is None or str(row[by]) <= until]
    for row in known.tables["stock_basic"]:
        if str(row["delist_date"]) > until:
            row |= {"list_status": "L", "delist_date": ""}
    gone = {row["ts_code"] for row in known.tables["stock_basic"] if row["delist_date"]}
    known.tables["delistings"] = [row for row in known.tables["delistings"] if row["ts_code"] in gone]
    users = {name: known.tables.pop(name) for name in USERS}
    known.write(folder)
    for name, rows in users.items():
        if rows:
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def ingest_folder(folder: Path, day: str = DAYS[-1]) -> None:
    """Import a folder on a day and ingest the lake."""
    from zipline.data import bundles

    import engine.extension  # noqa: F401

    import_folder(folder, Lake(settings.load().lake), dt.date.fromisoformat(day), "six_months")
    bundles.ingest("ashare", os.environ, show_progress=False)


@pytest.fixture
def quiet(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home whose runs have no tear-sheet; on so few stocks one suspended stock is much."""
    home.mkdir()
    monkeypatch.setenv("ASHARE_REPORT__TEARSHEET", "false")
    monkeypatch.setenv("ASHARE_DATA__COVERAGE", "0.8")
    return home


@pytest.fixture
def busy(quiet: Path, tmp_path: Path) -> Path:
    """Return a home with the whole busy market."""
    ingest_folder(write(busy_market(), tmp_path / "market"))
    return quiet


def script(folder: Path, text: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def proof_of(days: list[str], bundle: Callable[[], Bundle] = open_bundle, capital: float = CAPITAL) -> Parity:
    """Return the proof over some days."""
    install()
    sessions = [dt.date.fromisoformat(day) for day in days]
    return Parity(sessions, capital, partial(run_script, capital=capital), bundle)


class Twins:
    """A script that ran both ways: what differs first, and what it wrote on ``context.log``."""

    def __init__(
        self,
        path: Path,
        days: list[str] = DAYS,
        bundle: Callable[[], Bundle] = open_bundle,
        capital: float = CAPITAL,
    ) -> None:
        proof, sessions = proof_of(days, bundle, capital), [dt.date.fromisoformat(day) for day in days]
        self.paper: list[tuple[dt.date, Tables]] = []
        self.entries: list[dict[str, Any]] = []
        with scratch_home():
            for account, panels, entry in proof.on_paper(path):
                day = sessions[len(self.paper)]
                self.paper.append((day, paper_tables(account, panels, entry, day == sessions[-1])))
                self.entries.append(entry)
                state = json.loads((account.session_folder(day) / "state.json").read_text("utf-8"))
                self.log_on_paper = state["context"].get("log", [])
            self.run = Run(proof.backtest(path))
            self.backtest = [(day, self.run.tables(day, day == sessions[-1])) for day in sessions]
        self.difference = next(
            (
                found
                for (day, ours), (_, theirs) in zip(self.backtest, self.paper, strict=True)
                if (found := first_difference(day, ours, theirs)) is not None
            ),
            None,
        )
        file = Path("log.json")
        self.log = json.loads(file.read_text("utf-8")) if file.exists() else []

    def require_equal(self, lines: int) -> None:
        """No table and no line of the log may differ; there are so many lines at least."""
        assert self.difference is None
        assert len(self.log) > lines
        pairs = enumerate(zip(self.log, self.log_on_paper, strict=True))
        for n, (here, there) in pairs:
            same = (at for at, (x, y) in enumerate(zip(here, there, strict=False)) if x != y)
            at = max(next(same, 0) - 60, 0)
            assert here == there, f"line {n}: {here[at : at + 120]} and {there[at : at + 120]}"

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table of the backtest."""
        return [row for _, tables in self.backtest for row in tables[table].iter_rows(named=True)]


KEEPS_ITS_LOG = """
def analyze(context, perf):
    import json, pathlib
    pathlib.Path("log.json").write_text(json.dumps(context.log))
"""
BUSY = (
    """
import collections

import numpy as np
import pandas as pd
from zipline.api import (
    cancel_order, date_rules, get_datetime, get_open_orders, get_order, order, order_percent, order_target,
    order_target_percent, order_value, record, schedule_function, set_commission, set_slippage,
)
from zipline.finance.commission import PerTrade
from zipline.finance.execution import LimitOrder
from zipline.finance.slippage import FixedBasisPointsSlippage

FIRST = {"001872.SZ": "000022.SZ"}

def name(asset):
    return FIRST.get(asset.symbol, asset.symbol)

def initialize(context):
    context.session, context.log, context.ids = 0, [], []
    context.weeks = collections.Counter()
    context.last = None
    context.frame = None
    context.bought = {}
    context.best = None
    set_commission(PerTrade(cost=6.66))
    set_slippage(FixedBasisPointsSlippage(basis_points=7.0, volume_limit=0.5))
    schedule_function(weekly, date_rules.week_start())
    schedule_function(monthly, date_rules.month_end())
    record(begun=True)

def stocks(context, data):
    every = context.asset_finder.retrieve_all(context.asset_finder.sids)
    return sorted((one for one in every if data.can_trade(one)), key=name)

def before_trading_start(context, data):
    context.log.append(f"morning {get_datetime()} {context.portfolio.cash!r} {context.portfolio.portfolio_value!r}")
    for asset, orders in sorted(get_open_orders().items(), key=lambda one: name(one[0])):
        context.log.append(f"waits {name(asset)} {[(one.id, one.amount, one.limit) for one in orders]}")
        if context.session % 7 == 3:
            cancel_order(orders[0])

def weekly(context, data):
    context.weeks[get_datetime().strftime("%V")] += 1
    for number, asset in enumerate(stocks(context, data)):
        if number % 2 == context.session % 2:
            order_target_percent(asset, 0.16)

def monthly(context, data):
    for asset in list(context.portfolio.positions):
        order_target(asset, 0)

def handle_data(context, data):
    context.session += 1
    there = stocks(context, data)
    past = data.history(there, ["close", "volume"], min(context.session, 5), "1d")
    means = past["close"].unstack().mean() if context.session > 5 else pd.Series(dtype=float)
    context.log.append(f"means {[round(float(value), 9) for value in means]}")
    row = {"close": [float(data.current(there[0], "close"))], "volume": [int(data.current(there[0], "volume"))]}
    row = pd.DataFrame(row, index=[get_datetime()])
    context.frame = row if context.frame is None else pd.concat([context.frame, row])
    if len(means):
        context.best = max(zip(means, map(name, means.index)))[1]
    for one in there:
        context.bought.setdefault(one, 0)
    first, second = there[context.session % len(there)], there[(context.session * 3 + 1) % len(there)]
    price = float(data.current(first, "close"))
    placed = [
        order(first, 300),
        order(first, 200, style=LimitOrder(round(price * 0.99, 2))),
        order_percent(second, 0.05),
        order_value(second, -2500.0),
        order(first, -100, limit_price=np.float32(price)),
        order_value(first, 1e7) if context.session % 9 == 0 else None,
        order(second, 100, stop_price=price) if context.session % 8 == 0 else None,
    ]
    if context.session % 4 == 0 and placed[0]:
        cancel_order(placed[0])
    context.ids += [one for one in placed if one]
    for order_id in context.ids[::17]:
        said = get_order(order_id)
        context.log.append(f"{said.id} {said.amount} {said.filled} {said.limit} {said.status} {said.created} {said.dt} "
                           f"{said.commission!r} {said.reason} {name(said.sid)}")
    for asset, held in context.portfolio.positions.items():
        context.bought[asset] = context.bought.get(asset, 0) + 1
        context.log.append(f"{name(asset)} {held.amount} {held.cost_basis!r} {held.last_sale_price!r}"
                           f" {held.last_sale_date}")
    record(leverage=context.account.leverage, names=len(context.portfolio.positions), best=context.best)
    context.log.append(str(sorted((key, value) for key, value in context.recorded_vars.items())))
    context.log.append(f"{context.portfolio.pnl!r} {context.portfolio.returns!r}")
    context.log.append(f"{float(context.frame['close'].sum())!r} {len(context.frame)} {context.frame.index[0]}")
    context.log.append(str(sorted((name(key), value) for key, value in context.bought.items())))
    context.log.append(str(sorted(context.weeks.items())))
"""
    + KEEPS_ITS_LOG
)


def test_the_same_where_the_data_came_day_by_day(quiet: Path, tmp_path: Path) -> None:
    """On paper the bundle is made anew after each session, from what was known by then; the backtest has it all."""
    market, grown = busy_market(), iter(DAYS)

    def grow() -> Bundle:
        day = next(grown)
        ingest_folder(write(market, tmp_path / day, day), day)
        return open_bundle()

    twins = Twins(script(tmp_path, BUSY), bundle=grow)
    twins.require_equal(lines=300)
    require_busy(twins)


def require_busy(twins: Twins) -> None:
    """Whatever the market has happened to the account."""
    reasons = {row["reason"] for row in twins.rows("orders")}
    assert reasons >= {"filled", "suspended", "limit_up", "limit_down", "cash", "not_sellable", "cancelled",
                       "limit_price", "stop_order", "lot"}  # fmt: skip
    kinds = {row["kind"] for row in twins.rows("actions")}
    assert kinds >= {"dividend", "bonus", "rights", "delisted", "absorbed"}
    assert {OLD, NEW, LISTED} <= {row["ts_code"] for row in twins.rows("positions")}
    assert twins.rows("waiting")


SEES = """
import random

import numpy as np
import pandas as pd
from zipline.api import (
    attach_pipeline, date_rules, get_datetime, get_environment, get_open_orders, order, order_target_percent,
    pipeline_output, record, schedule_function, set_asset_restrictions, set_long_only, set_max_order_count,
    set_benchmark, set_min_leverage, symbol,
)
from zipline.finance.asset_restrictions import StaticRestrictions
from zipline.pipeline import Pipeline
from zipline.pipeline.data import EquityPricing
from zipline.pipeline.factors import Returns, SimpleMovingAverage

def initialize(context):
    context.log, context.count = [], 0
    context.begun = f"{context.datetime} {context.portfolio!r}"
    context.stock = symbol("600004.SH")
    set_benchmark(symbol("600001.SH"))
    np.random.seed(5)
    random.seed(6)
    set_long_only(on_error="log")
    set_max_order_count(3, on_error="log")
    set_min_leverage(0.0, pd.Timedelta("3d"))
    set_asset_restrictions(StaticRestrictions([symbol("600005.SH")]), on_error="log")
    mean, last = SimpleMovingAverage(inputs=[EquityPricing.close], window_length=3), EquityPricing.close.latest
    attach_pipeline(Pipeline({"mean": mean, "last": last, "return": Returns(window_length=4)}), "prices")
    schedule_function(second_day, date_rules.week_start(days_offset=1))
    record(calls=0)

def look(context, data, when):
    kept, environment = context.portfolio, get_environment("*")
    environment.pop("end")
    context.log += [
        f"{when} {get_datetime()} {get_datetime('Asia/Shanghai')} {data.current_session} {environment}",
        f"{context.get_datetime()} {context.sim_params.start_session} {context.data_frequency} {context.begun}",
        repr(kept), repr(context.account), f"{kept.capital_used!r} {kept.start_date}",
        repr(kept.current_portfolio_weights),
        repr(list(kept.positions)), repr(list(kept.positions.values())), repr(context.recorded_vars),
        repr(sorted((asset.symbol, repr(orders)) for asset, orders in get_open_orders().items())),
        repr([vars(one) for orders in get_open_orders().values() for one in orders]),
        f"{sorted(name for name in vars(context) if not name.startswith('_'))}",
        f"{data.current(context.stock, ['price', 'close', 'volume'])!r}",
        f"{data.can_trade(context.stock)} {data.is_stale(context.stock)}",
        f"{context.stock!r} {context.stock.to_dict()} {context.asset_finder.sids} {symbol('600001.SH')!r}",
    ]

def before_trading_start(context, data):
    look(context, data, "morning")
    context.log.append(repr(pipeline_output("prices").to_dict()))

def second_day(context, data):
    context.log.append("second day of the week")
    order_target_percent(context.stock, 0.4)

def handle_data(context, data):
    context.count += 1
    look(context, data, "close")
    window = min(context.count, 6)
    context.log.append(repr(data.history(context.stock, ["open", "close", "price"], window, "1d").to_dict()))
    context.log.append(f"chance {np.random.normal()!r} {random.random()!r}")
    for asset in context.asset_finder.retrieve_all(context.asset_finder.sids)[:6]:
        order(asset, int(np.random.randint(-3, 4)) * 100)
    record(calls=context.count, stock=context.stock, chance=np.float64(np.random.rand()))
""" + KEEPS_ITS_LOG  # fmt: skip


def test_a_script_sees_the_same(busy: Path, tmp_path: Path) -> None:
    """Everything zipline shows a script, in the morning and at the close; only the end of the run cannot be known."""
    twins = Twins(script(tmp_path, SEES), DAYS[1:])
    twins.require_equal(lines=700)


# the comparison itself

DAY = dt.date(2018, 3, 5)


def one_session(**tables: list[tuple[str, int, float | None]]) -> Tables:
    """Return tables with a key, a whole number and a price; those that are not named are empty."""
    schema = {"order_id": pl.String, "filled": pl.Int64, "price": pl.Float64}
    return {
        name: pl.DataFrame(tables.get(name, []), schema={**dict.fromkeys(keys, pl.String), **schema}, orient="row")
        if name in ("orders", "placed")
        else pl.DataFrame(schema=dict.fromkeys(keys, pl.String))
        for name, keys in KEYS.items()
    }


@pytest.mark.parametrize(
    ("paper", "expected"),
    [
        ([("a", 1, math.nan), ("b", 2, 0.3)], None),  # no price is no price
        ([("a", 1, math.nan), ("b", 3, 0.4)], "b: filled is 2 in the backtest, 3 on paper"),
        ([("a", 1, math.nan), ("b", 2, 0.1 + 0.2)], "b: price is 0.3 in the backtest, 0.30000000000000004 on paper"),
        ([("a", 1, 5.0), ("b", 3, 0.3)], "a: price is nan in the backtest, 5.0 on paper"),
        ([("a", 1, math.nan)], "row 2: order_id is b in the backtest, not there on paper"),
        ([("a", 1, math.nan), ("c", 2, 0.3)], "row 2: order_id is b in the backtest, c on paper"),
        (
            [("a", 1, math.nan), ("b", 2, 0.3), ("c", 1, 1.0)],
            "row 3: order_id is not there in the backtest, c on paper",
        ),
    ],
)
def test_the_first_value_is_named(paper: list[tuple[str, int, float | None]], expected: str | None) -> None:
    rows = [("a", 1, math.nan), ("b", 2, 0.3)]
    found = first_difference(DAY, one_session(orders=rows), one_session(orders=paper, placed=rows[:0]))
    assert (found and str(found)) == (expected and f"orders {expected}")
    later = one_session(orders=rows, placed=[("x", 1, 1.0)])
    if expected is None:
        assert str(first_difference(DAY, later, one_session(orders=rows))).startswith("placed row 1")


# what no session after could have, or could not find again


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("schedule_function(lambda context, data: None)", "schedule_function"),
        ("set_symbol_lookup_date('2018-03-06')", "set_symbol_lookup_date"),
        ("context.logger = 'mine'", "context.logger"),
        ("context.sim_params = None", "context.sim_params"),
    ],
)
def test_what_would_be_lost_is_refused(busy: Path, tmp_path: Path, line: str, what: str) -> None:
    text = "from zipline.api import schedule_function, set_symbol_lookup_date\n"
    text += f"def initialize(context):\n    pass\ndef handle_data(context, data):\n    {line}\n"
    with pytest.raises(UsageError, match=what):
        list(proof_of(DAYS[:2]).on_paper(script(tmp_path, text)))


def test_a_code_that_is_given_up_is_still_found(busy: Path, tmp_path: Path) -> None:
    text = "from zipline.api import order, symbol\n"
    text += f"def initialize(context):\n    context.stock = symbol('{OLD}')\n"
    text += "def handle_data(context, data):\n    order(context.stock, 100)\n"
    entries = [entry for _, _, entry in proof_of(DAYS[11:16]).on_paper(script(tmp_path, text))]
    assert [one["ts_code"] for entry in entries for one in entry["orders"]] == [OLD, OLD, NEW, NEW, NEW]


# sabotage

SIMPLE = f"""
from zipline.api import order, symbol
from zipline.finance.execution import LimitOrder

def initialize(context):
    context.session = 0
    context.stocks = [symbol("{A}"), symbol("{D}")]

def handle_data(context, data):
    context.session += 1
    a, d = context.stocks
    if context.session in (1, 6):
        order(a, 1300)
        order(d, 700)
    if context.session == 3:
        order(a, 500, style=LimitOrder(round(data.current(a, "close") * 0.9, 2)))
    if context.session in (4, 16):
        order(a, -600)
"""
Spoil = Callable[[pytest.MonkeyPatch], None]


def replaced(place: str, value: Any) -> Spoil:
    """Return what puts another value in a place."""
    return lambda patch: patch.setattr(place, value)


def same_day(patch: pytest.MonkeyPatch) -> None:
    """Shares may be sold the day they were bought, as the ledger and the book see it."""
    patch.setattr("engine.execution.holdings.sessions_until_sellable", lambda day: 0)
    patch.setattr(Book, "sellable", lambda self, stock: self.positions().get(stock, 0))


def pay_day(patch: pytest.MonkeyPatch) -> None:
    day_of = Panels.day_of
    patch.setattr(Panels, "day_of", lambda panels, row: day_of(panels, row + 1))


def forgets_the_count(patch: pytest.MonkeyPatch) -> None:
    decode = Memory.decode
    patch.setattr(
        Memory, "decode", lambda self, values: {**decode(self, values), **{n: 0 for n in values if n == "session"}}
    )


def loses_a_bit(patch: pytest.MonkeyPatch) -> None:
    def one_bit_less(ledger: Any, value: Any, names: Any) -> None:
        restore_ledger(ledger, value, names)
        ledger._portfolio.cash = math.nextafter(ledger._portfolio.cash, 0.0)

    patch.setattr("engine.paper.step.restore_ledger", one_bit_less)


def rounds_the_cost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("engine.paper.snapshot._prices", lambda held: (round(_prices(held)[0], 2), *_prices(held)[1:]))


SABOTAGE: dict[str, tuple[Spoil, str]] = {
    "commission": (
        replaced("engine.execution.blotter.account_commission", lambda turnover, s: max(turnover * 0.00051, 5.0)),
        f"2018-03-06 orders 20180305-{A}-B commission",
    ),
    "stamp duty": (
        replaced("engine.market.fees.stamp_duty", lambda side, turnover, day: turnover * 0.0005 * (side == "sell")),
        f"2018-03-09 orders 20180308-{A}-S stamp_duty",
    ),
    "transfer fee": (
        replaced("engine.market.fees.transfer_fee", lambda exchange, shares, turnover, day: 0.0),
        f"2018-03-06 orders 20180305-{A}-B transfer_fee",
    ),
    "lot": (
        replaced("engine.execution.fills.buy_quantity", lambda board, shares, day: shares // 200 * 200),
        f"2018-03-06 orders 20180305-{A}-B filled",
    ),
    "fill price": (
        replaced("engine.execution.fills.fill_price", lambda side, bar, settings: bar.close / 100),
        f"2018-03-06 orders 20180305-{A}-B price",
    ),
    "T+1": (same_day, f"2018-03-06 positions {A} sellable"),
    "day of an order": (
        replaced("engine.paper.snapshot._moment", lambda text: pd.Timestamp(text) - pd.Timedelta("1d")),
        f"2018-03-06 orders 20180305-{A}-B decided",
    ),
    "limit of an order": (
        replaced("engine.paper.snapshot._price", lambda value: None),
        f"2018-03-08 orders 20180307-{A}-B filled",
    ),
    "pay day": (pay_day, "2018-03-20 actions row 1 ts_code kind"),
    "memory": (forgets_the_count, "2018-03-06 placed row 1 order_id"),
    "a bit of cash": (loses_a_bit, "2018-03-06 value 2018-03-06 cash"),
    "cost of a holding": (rounds_the_cost, f"2018-03-07 positions {A} cost"),
}  # fmt: skip
"""What is changed for the account alone, and the first value that differs then."""


class Sabotaged(Parity):
    """The proof with the account's side spoilt."""

    def __init__(self, proof: Parity, folder: Path, spoil: Spoil) -> None:
        self.__dict__ |= vars(proof)
        self._folder, self._spoil = folder, spoil

    def backtest(self, strategy: Path) -> Path:
        return self._folder

    def on_paper(self, strategy: Path) -> Iterator[Any]:
        with pytest.MonkeyPatch.context() as patch:
            self._spoil(patch)
            yield from super().on_paper(strategy)


def test_sabotage_is_found_and_named(busy: Path, tmp_path: Path) -> None:
    path, proof = script(tmp_path, SIMPLE), proof_of(DAYS)
    folder = proof.backtest(path)
    found = {}
    for name, (spoil, _) in SABOTAGE.items():
        first = Sabotaged(proof, folder, spoil).compare(path).difference
        assert first is not None, name
        assert first.backtest != first.paper
        found[name] = f"{first.session} {first.table} {first.key} {first.column}"
    assert found == {name: expected for name, (_, expected) in SABOTAGE.items()}
    assert Sabotaged(proof, folder, lambda patch: None).compare(path).verdict == "equal"


# the command


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["prove", "parity", *words])
    return int(ended.value.code or 0)


def test_the_certificate(busy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = script(tmp_path, SIMPLE)
    assert command("--strategy", str(path), "--sessions", "26", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["first"], said["last"]) == ("2018-03-05", "2018-04-11")
    assert said["data_id"] == open_bundle().panels.data_id
    (one,) = said["strategies"]
    assert (one["verdict"], one["sessions"], one["difference"], one["skipped"]) == ("equal", 26, None, None)
    assert one["fills"] == 6
    assert one["fees"] == 3 * one["rows"]["orders"] == 3 * 7
    assert one["rows"]["actions"] == 2  # bonus shares, and later the dividend
    assert not (busy / "runs").exists()
    assert not (busy / "paper").exists()
    assert command("--strategy", str(path), "--sessions", "5", "--start", DAYS[0]) == 0
    _, line, total = capsys.readouterr().out.splitlines()
    assert line.split()[0] == "script.py"
    assert line.endswith("  equal")
    assert total.startswith("2018-03-05 to 2018-03-09, data ")


def test_a_failed_proof_names_the_first_value(
    busy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE["day of an order"][0](monkeypatch)
    assert command("--strategy", str(script(tmp_path, SIMPLE)), "--sessions", "26") == 4
    said = capsys.readouterr()
    assert "differs" in said.out
    expected = (
        f"script.py does not do on paper what its backtest does, first on 2018-03-06: orders 20180305-{A}-B: decided"
    )
    assert f"{expected} is 2018-03-05 in the backtest, 2018-03-04 on paper" in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--sessions", "27"], 3, "the bundle has 26"),
        (["--sessions", "3", "--start", DAYS[-2]], 3, "the bundle has 2 from 2018-04-10"),
        (["--sessions", "3", "--end", DAYS[1]], 3, "the bundle has 2 up to 2018-03-06"),
        (["--start", DAYS[0], "--end", DAYS[1]], 2, "both ends are named"),
        (["--sessions", "2"], 3, "nothing was proved"),
    ],
)
def test_what_cannot_be_proved(
    busy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    idle = script(tmp_path, "def initialize(context):\n    pass\ndef handle_data(context, data):\n    pass\n")
    assert command("--strategy", str(idle), *words) == code
    assert said in capsys.readouterr().err


def test_a_strategy_without_models_is_left_out_or_refused(
    busy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flagship = STRATEGIES / "momentum_dnn.py"
    monkeypatch.setenv("ASHARE_UNIVERSE__MINIMUM_SESSIONS", "1")
    assert command("--sessions", "10", "--strategy", str(flagship)) == 3
    assert "no model for 2018-03-2" in capsys.readouterr().err
    assert command("--sessions", "10") == 0
    *lines, skipped, _ = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["equal", "equal", "skipped"]
    assert skipped.startswith("momentum_dnn.py was skipped: no model for 2018-03-2")


# the product on the demo market

TIGHT = {
    "SELECTION__CAP": "0.08",
    "RISK__STOP": "0.03",
    "RISK__DRAWDOWN_ON": "0.015",
    "RISK__DRAWDOWN_OFF": "0.005",
    "BLACKLIST__WRONG": "2",
    "REPORT__TEARSHEET": "false",
}
"""Thresholds that the small market crosses often."""


def train(first: str, last: str) -> None:
    """Train the models of some months."""
    with pytest.raises(SystemExit) as ended:
        main(["train", "--start", first, "--end", last, "--jobs", "1"])
    assert not ended.value.code


def proved(capsys: pytest.CaptureFixture[str], sessions: int, end: str, first_month: str) -> dict[str, Any]:
    """Train what the sessions need, run the command with what it has by default, and return its certificate."""
    train(first_month, end[:7])
    capsys.readouterr()
    assert command("--sessions", str(sessions), "--end", end, "--json") == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    print(json.dumps(said))
    assert [one["strategy"] for one in said["strategies"]] == ["equal_weight.py", "momentum.py", "momentum_dnn.py"]
    assert {(one["verdict"], one["sessions"]) for one in said["strategies"]} == {("equal", sessions)}
    assert all(one["fills"] > 20 for one in said["strategies"])
    flagship = said["strategies"][2]["rows"]
    assert all(flagship[table] for table in ("orders", "positions", "scores", "ic", "events", "decisions"))
    return said


def test_the_product_does_on_paper_what_its_backtests_do(
    demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in TIGHT.items():
        monkeypatch.setenv(f"ASHARE_{name}", value)
    said = proved(capsys, 60, "2019-08-26", "2019-06")
    assert all(one["rows"]["actions"] for one in said["strategies"])
    assert sum(sum(one["values"].values()) for one in said["strategies"]) > 30_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_year_on_the_demo_market(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    home.mkdir()
    (home / "ashare.toml").write_text(DEMO_SETTINGS, "utf-8")
    write_market(Spec(stocks=60, first="2016-01-04", last="2019-12-31", seed=seed), tmp_path / "market")
    ingest_folder(tmp_path / "market", "20200102")
    for name, value in {**TIGHT, "RISK__STOP": "0.08"}.items():
        monkeypatch.setenv(f"ASHARE_{name}", value)
    proved(capsys, 250, "2019-12-31", "2018-12")


def write_known(market: Path, folder: Path, until: str) -> Path:
    """Write what is known of a demo market at the close of a day."""
    days = {
        "income": "f_ann_date",
        "balancesheet": "f_ann_date",
        "namechange": "start_date",
        "stock_basic": "list_date",
    }
    days |= {"dividend": "imp_ann_date", "trade_cal": ""}
    for path in market.glob("*/*.parquet"):
        rows, by = pl.read_parquet(path), days.get(path.stem, "trade_date")
        if by:
            rows = rows.filter(pl.col(by).is_null() | (pl.col(by) <= until))
        if path.stem == "stock_basic":
            gone = pl.col("delist_date") <= until
            rows = rows.with_columns(
                pl.when(gone).then("list_status").otherwise(pl.lit("L")).alias("list_status"),
                pl.when(gone).then("delist_date").otherwise(None).alias("delist_date"),
            )
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        rows.write_parquet(folder / path.parent.name / path.name)
    return folder


@pytest.mark.slow
def test_the_flagship_where_the_data_came_day_by_day(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models, trained before their months began; reports of the third quarter are announced meanwhile."""
    home.mkdir()
    (home / "ashare.toml").write_text(DEMO_SETTINGS, "utf-8")
    for name, value in TIGHT.items():
        monkeypatch.setenv(f"ASHARE_{name}", value)
    market, days = tmp_path / "market", days_between("20191016", "20191113")
    write_market(Spec(stocks=60, first="2017-01-03", last="2019-12-31"), market)
    last = days_between("20190901", "20191015")[-1]
    ingest_folder(write_known(market, tmp_path / "before", last), last)
    train("2019-09", "2019-10")
    grown = iter(days)

    def grow() -> Bundle:
        day = next(grown)
        if day[:6] == "201911" and not trained:
            trained.append(day)
            train("2019-11", "2019-11")
        ingest_folder(write_known(market, tmp_path / day, day), day)
        return open_bundle()

    trained: list[str] = []
    twins = Twins(STRATEGIES / "momentum_dnn.py", days, grow, capital=1e7)
    assert twins.difference is None
    assert len({entry["data_id"] for entry in twins.entries}) == len(days)
    assert len({model for entry in twins.entries for model in entry["models"]}) == 2
    assert all(twins.rows(table) for table in ("orders", "positions", "scores", "ic", "events", "decisions"))


@pytest.mark.slow
@pytest.mark.real
def test_a_year_of_the_real_market(
    real_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHARE_MODEL__EPOCHS", "2")
    monkeypatch.setenv("ASHARE_MODEL__SAMPLE_EVERY", "5")
    proved(capsys, 250, "2018-12-28", "2017-12")


# the same journal, to the byte (R8)

COMBINATIONS = [
    ("0", "UTC", "1"),
    ("1", "America/New_York", "2"),
    *(
        (seed, zone, threads)
        for seed in "01"
        for zone in ("UTC", "America/New_York", "Asia/Shanghai")
        for threads in "12"
    ),
]
"""Hash seed, time zone, threads."""


def journal_of(demo: Path, folder: Path, script: str, days: Sequence[str], how: tuple[str, str, str]) -> bytes:
    """Return the journal of an account that ran, each stretch of sessions in processes of its own."""
    folder.mkdir()
    for path in demo.iterdir():
        if path.name not in ("runs", "paper"):
            (folder / path.name).symlink_to(path.resolve())
    seed, zone, threads = how
    variables = {"PYTHONHASHSEED": seed, "TZ": zone, "OMP_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads}
    environment = {**os.environ, "ASHARE_HOME": str(folder), "ZIPLINE_ROOT": str(folder / "zipline"), **variables}
    ashare = Path(sys.executable).with_name("ashare")
    for words in (
        ["init", "one", "-f", str(STRATEGIES / script), "--first", days[0], "--capital", "5000000"],
        *(["run", "one", "--no-sync", "--until", day] for day in days[1:]),
    ):
        line = [ashare, "paper", *words]
        done = subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return (folder / "paper" / "one" / "journal.jsonl").read_bytes()


def test_the_journal_is_the_same_to_the_byte(demo: Path, tmp_path: Path) -> None:
    """In one process, and in two with another hash seed, time zone and number of threads."""
    once = journal_of(demo, tmp_path / "once", "momentum.py", ["2019-09-02", "2019-09-10"], COMBINATIONS[0])
    days = ["2019-09-02", "2019-09-05", "2019-09-10"]
    twice = journal_of(demo, tmp_path / "twice", "momentum.py", days, COMBINATIONS[1])
    assert once == twice
    lines = [json.loads(line) for line in once.splitlines()]
    assert [line["kind"] for line in lines] == ["created", *["session"] * 7]
    assert sum(len(line["settled"]) for line in lines[1:]) > 10


@pytest.mark.slow
def test_the_flagships_journal_is_the_same_to_the_byte(demo: Path, tmp_path: Path) -> None:
    train("2019-09", "2019-09")
    days = ["2019-09-02", "2019-09-17"]
    found = [
        journal_of(demo, tmp_path / f"{number}", "momentum_dnn.py", days, how)
        for number, how in enumerate(COMBINATIONS[2:])
    ]
    assert len(found) == 12
    assert len(set(found)) == 1
