"""The run folder and its tear-sheet."""

from __future__ import annotations

import datetime as dt
import json
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from engine.errors import DataNotFit, ScriptFailed
from engine.report import statistics as stats
from engine.report.runs import ACTIONS, ORDERS, PERF, POSITIONS
from engine.report.tearsheet import render
from tests.markets import five_sessions

TRADER = """
from zipline.api import order

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    order(context.asset_finder.retrieve_asset(0), {1: 1000, 2: 250, 3: -1200}.get(context.session, 0))
"""


@pytest.fixture
def run(backtest):
    return backtest(five_sessions(), TRADER, toml="")


def test_the_folder_holds_what_the_contract_says(run):
    tables = ("perf.parquet", "orders.parquet", "positions.parquet", "actions.parquet")
    names = ("manifest.json", "script.py", *tables)
    assert (run.folder / "script.py").read_text("utf-8") == TRADER
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(names)
    for frame, schema in ((run.perf, PERF), (run.orders, ORDERS), (run.positions, POSITIONS)):
        assert dict(frame.schema) == schema
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert (manifest["start"], manifest["end"], manifest["sessions"]) == ("2018-03-05", "2018-03-09", 5)
    assert manifest["id"] == run.folder.name
    assert manifest["settings"]["execution"]["fill"] == "open"
    assert sum(manifest["reasons"].values()) == run.orders.height == 3
    assert run.perf["gross"].to_list() == pytest.approx(
        [(value - cash) / value for value, cash in zip(run.net_values, run.perf["cash"].to_list(), strict=True)]
    )


def test_net_value_is_cash_and_holdings(run):
    held = run.positions.group_by("session").agg((pl.col("shares") * pl.col("price")).sum().alias("value"))
    joined = run.perf.join(held, on="session", how="left").with_columns(pl.col("value").fill_null(0))
    np.testing.assert_allclose(joined["net_value"], joined["cash"] + joined["value"], atol=1e-6)


def runs(home) -> list:
    return sorted(path.name for path in (home / "runs").iterdir() if path.is_dir())


def test_a_script_that_fails_to_analyse_does_not_lose_the_run(backtest, home):
    with pytest.raises(ScriptFailed, match="ZeroDivisionError"):
        backtest(five_sessions(), TRADER + "\ndef analyze(context, perf):\n    1 / 0\n")
    (name,) = runs(home)
    assert pl.read_parquet(home / "runs" / name / "perf.parquet").height == 5


def test_analyze_finds_the_folder(backtest):
    script = TRADER + "\ndef analyze(context, perf):\n    open(perf.attrs['run'] + '/note', 'w').close()\n"
    assert (backtest(five_sessions(), script).folder / "note").exists()


def test_a_tear_sheet_that_cannot_be_rendered_leaves_the_data_and_a_warning(backtest, monkeypatch, caplog):
    monkeypatch.setattr("engine.report.sections.page", lambda *_: 1 / 0)
    monkeypatch.setenv("ASHARE_REPORT__TEARSHEET", "true")
    folder = backtest(five_sessions(), TRADER).folder
    tables = ["orders.parquet", "perf.parquet", "positions.parquet"]
    names = ["actions.parquet", "manifest.json", *tables, "script.py"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert f"Run `ashare report {folder}`" in caplog.text


def test_a_folder_that_cannot_be_written_leaves_nothing(backtest, home, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.report.runs.write_json", full)
    with pytest.raises(OSError, match="No space"):
        backtest(five_sessions(), TRADER)
    assert runs(home) == []


class Page(HTMLParser):
    """Collects tags and anything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if tag in {"script", "link", "img", "iframe"}:
            self.fetched.append(tag)
        self.fetched += [
            v for k, v in given.items() if k in {"src", "href", "xlink:href"} and v and not v.startswith("#")
        ]

    def handle_data(self, data):
        self.text.append(data)


def test_the_tear_sheet_stands_alone(run):
    text = render(run.folder).read_text("utf-8")
    page = Page()
    page.feed(text)
    assert page.tags.count("svg") == 3  # five sessions have no rolling ratios
    assert page.fetched == []
    said = " ".join(" ".join(page.text).split())
    for expected in (
        "1,000 resamples, blocks of",
        "annual return",
        "000905.SH",
        "filled",
        "lot",
        "stamp duty",
    ):
        assert expected in said
    assert len(text) < 3_000_000


@pytest.mark.parametrize("damage", ["manifest.json", "perf.parquet", "orders.parquet"])
def test_a_broken_folder_is_refused(run, damage):
    (run.folder / damage).write_bytes(b"nothing")
    with pytest.raises(DataNotFit, match="is no finished run"):
        render(run.folder)


def test_a_run_without_a_single_order_has_a_tear_sheet(backtest):
    run = backtest(five_sessions(), "def initialize(context): pass\ndef handle_data(context, data): pass\n")
    assert "no orders" in render(run.folder).read_text("utf-8")


def test_figures_against_their_definitions():
    rng = np.random.default_rng(3)
    daily, index = rng.normal(0.0004, 0.01, 500), rng.normal(0, 0.01, 500)
    found = stats.figures(daily, index, 243.0)
    growth = np.cumprod(1 + daily)
    assert found["annual return"] == pytest.approx(growth[-1] ** (243 / 500) - 1)
    assert found["annual volatility"] == pytest.approx(daily.std(ddof=1) * np.sqrt(243))
    assert found["Sharpe ratio"] == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(243))
    assert found["maximum drawdown"] == pytest.approx((growth / np.maximum.accumulate(np.r_[1, growth])[1:] - 1).min())
    assert found["beta"] == pytest.approx(np.cov(daily, index)[0, 1] / index.var(ddof=1))


def test_a_year_has_the_exchange_s_own_sessions():
    assert stats.sessions_a_year(dt.date(2018, 1, 2), dt.date(2018, 6, 1)) == 243
    assert stats.sessions_a_year(dt.date(2018, 1, 2), dt.date(2019, 6, 1)) == 243.5


def test_monthly_returns_compound_to_the_year():
    days = pl.Series([dt.date(2018, 1, 30), dt.date(2018, 1, 31), dt.date(2018, 2, 1), dt.date(2019, 1, 2)])
    table = stats.monthly(days, np.array([0.1, 0.1, -0.5, 0.2]))
    assert table[2018] == pytest.approx({0: 1.21 * 0.5 - 1, 1: 0.21, 2: -0.5})
    assert table[2019] == pytest.approx({0: 0.2, 1: 0.2})


def test_drawdown_counts_from_the_starting_capital():
    assert stats.drawdown(np.array([-0.1, 0.0, 0.2])) == pytest.approx([-0.1, -0.1, 0.0])


CAPITAL = """
import numpy as np
import pandas as pd
from zipline.api import order

def initialize(context):
    context.capital_changes = {
        pd.Timestamp("2018-03-07", tz="UTC"): {"type": "delta", "value": 250_000.0},
        pd.Timestamp("2018-03-09", tz="UTC"): {"type": "target", "value": 900_000.0},
    }

def handle_data(context, data):
    if not context.portfolio.positions:
        order(context.asset_finder.retrieve_asset(0), 50_000)

def analyze(context, perf):
    np.save(perf.attrs["run"] + "/zipline.npy", perf["returns"].to_numpy())
"""


def test_money_put_in_is_no_return(backtest):
    run = backtest(five_sessions(), CAPITAL)
    flows = run.perf["flow"].to_list()
    assert flows[:4] == [0, 0, 250_000, 0]
    assert flows[4] == pytest.approx(900_000 - run.net_values[3])
    own = stats.returns(run.perf["net_value"].to_numpy(), 1e6, run.perf["flow"].to_numpy())
    np.testing.assert_allclose(own, np.load(run.folder / "zipline.npy"), atol=1e-12)
    assert abs(own).max() < 0.02


def test_a_code_change_ends_no_round_trip(backtest, tmp_path):
    days = five_sessions().days
    market = five_sessions().stock("000022.SZ", delisted=days[2]).stock("001872.SZ", listed=days[2])
    for day, code in zip(days, ["000022.SZ"] * 2 + ["001872.SZ"] * 3, strict=True):
        market.bar(code, day, 10.0)
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "code_changes.csv").write_text(f"old,new,date\n000022.SZ,001872.SZ,{days[2]}\n")
    script = TRADER.replace("{1: 1000, 2: 250, 3: -1200}", "{1: 1000, 3: -1000}")
    run = backtest(market, script)
    assert run.orders["ts_code"].to_list() == ["000022.SZ", "001872.SZ"]
    renamed = json.loads((run.folder / "manifest.json").read_text())["renamed"]
    assert renamed == {"000022.SZ": "001872.SZ"}
    (trip,) = stats.round_trips(run.orders, run.positions, pl.read_parquet(run.folder / "actions.parquet"), renamed)
    fees = run.orders.select(pl.sum_horizontal("commission", "stamp_duty", "transfer_fee")).sum().item()
    assert (trip.ts_code, trip.profit) == ("001872.SZ", pytest.approx(-fees))


def order(session: int, code: str, side: str, filled: int, price: float) -> dict:
    day = dt.date(2018, 3, session)
    fees = {"commission": 5.0, "stamp_duty": 0.0, "transfer_fee": 0.0}
    return {
        "order_id": "x",
        "decided": day,
        "session": day,
        "ts_code": code,
        "side": side,
        "requested": filled,
        "filled": filled,
        "price": price,
        "reason": "filled",
        **fees,
    }


def test_round_trips_end_when_the_last_share_is_gone():
    orders = pl.DataFrame(
        [
            order(5, "A", "buy", 100, 10.0),
            order(6, "A", "buy", 100, 11.0),
            order(7, "A", "sell", 200, 12.0),  # +300 less 15 of fees
            order(8, "A", "buy", 100, 12.0),
            order(9, "A", "sell", 100, 12.05),  # +5 less 10 of fees
            order(5, "B", "buy", 100, 10.0),  # still there at the end
        ],
        schema=ORDERS,
    )
    held = [("A", 5), ("A", 6), ("A", 8), *(("B", day) for day in range(5, 10))]
    positions = pl.DataFrame(
        {"session": [dt.date(2018, 3, day) for _, day in held], "ts_code": [code for code, _ in held]}
    )
    trips = stats.round_trips(orders, positions, pl.DataFrame(schema=ACTIONS))
    assert [trip.profit for trip in trips] == pytest.approx([285.0, -5.0])
    assert stats.win_rate(trips) == 0.5


DAYS = [dt.date(2024, 1, day) for day in (2, 3, 4, 5, 8)]


def _trade(session: dt.date, code: str, side: str, shares: int, price: float) -> dict[str, object]:
    fees = dict.fromkeys(("commission", "stamp_duty", "transfer_fee"), 0.0)
    return {"session": session, "ts_code": code, "side": side, "filled": shares, "price": price, **fees}


def _holding(*held: tuple[dt.date, str]) -> pl.DataFrame:
    return pl.DataFrame(held, schema={"session": pl.Date, "ts_code": pl.String}, orient="row")


def test_rights_dividends_and_taxes_are_part_of_a_round_trip():
    """Bought for 10,000, 300 rights for 1,500, a dividend of 200 of which 20 are tax, sold for 11,050: -270."""
    orders = [_trade(DAYS[0], "600001.SH", "buy", 1000, 10.0), _trade(DAYS[4], "600001.SH", "sell", 1300, 8.5)]
    actions = [
        (DAYS[1], "600001.SH", "rights", 300, -1500.0),
        (DAYS[2], "600001.SH", "dividend", 0, 200.0),
        (DAYS[4], "600001.SH", "dividend_tax", 0, -20.0),
    ]
    (trip,) = stats.round_trips(
        pl.DataFrame(orders),
        _holding(*((day, "600001.SH") for day in DAYS[:4])),
        pl.DataFrame(actions, schema=ACTIONS, orient="row"),
    )
    assert (trip.opened, trip.closed, trip.profit) == (DAYS[0], DAYS[4], -270.0)


def test_an_absorbed_holding_goes_on_as_its_successor():
    orders = [_trade(DAYS[0], "600001.SH", "buy", 1000, 10.0), _trade(DAYS[4], "600002.SH", "sell", 1000, 9.5)]
    actions = [(DAYS[2], "600001.SH", "delisted", -1000, 0.0), (DAYS[2], "600002.SH", "absorbed", 1000, 0.0)]
    held = _holding(*((day, "600001.SH") for day in DAYS[:2]), *((day, "600002.SH") for day in DAYS[2:4]))
    (trip,) = stats.round_trips(pl.DataFrame(orders), held, pl.DataFrame(actions, schema=ACTIONS, orient="row"))
    assert (trip.ts_code, trip.opened, trip.profit) == ("600002.SH", DAYS[0], -500.0)


def test_a_dividend_paid_after_the_sale_belongs_to_the_trip():
    orders = [_trade(DAYS[0], "600001.SH", "buy", 100, 10.0), _trade(DAYS[1], "600001.SH", "sell", 100, 10.0)]
    actions = [(DAYS[3], "600001.SH", "dividend", 0, 50.0)]
    (trip,) = stats.round_trips(
        pl.DataFrame(orders), _holding((DAYS[0], "600001.SH")), pl.DataFrame(actions, schema=ACTIONS, orient="row")
    )
    assert (trip.closed, trip.profit) == (DAYS[1], 50.0)
