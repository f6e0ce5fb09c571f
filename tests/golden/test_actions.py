"""Dividends, taxes, bonus shares, rights, code changes and delistings, worked out by hand.

Every case runs with the second book (``execution.audit``), which stops a run it disagrees with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import Run
from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180309")
WEEKS = days_between("20180305", "20180314")
"""Monday to the Wednesday after."""

SCRIPT = """
from zipline.api import get_datetime, order

TRADES = {trades}

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    asset = context.asset_finder.retrieve_asset(0)
    for shares in TRADES.get(f"{{get_datetime():%Y%m%d}}", []):
        order(asset, shares)
"""
HISTORY = """
    import json, pathlib
    history = data.history(asset, "close", context.session, "1d").tolist()
    pathlib.Path("history.json").write_text(json.dumps(history))
"""
FEES = 5.0 + 0.2  # minimum commission, and 0.02 per mille of 10,000 CNY


def script(**trades: int) -> str:
    """Return a script that orders shares of the first stock; ``d20180305=1000`` is decided on that day."""
    return SCRIPT.format(trades={day[1:]: [shares] for day, shares in trades.items()})


HOLD = script(d20180305=1000)
Play = Callable[..., Run]


@pytest.fixture
def play(backtest: Callable[..., Run]) -> Play:
    """Return ``backtest`` with the second book, and further lines for the section ``execution``."""

    def run(market: Market, text: str, execution: str = "", **more: Any) -> Run:
        return backtest(market, text, toml=f"[execution]\naudit = true\n{execution}\n", **more)

    return run


def actions(run: Run) -> list[tuple[str, str, int, float]]:
    """Return day, kind, shares and cash of what happened to the holdings."""
    frame = pl.read_parquet(run.folder / "actions.parquet")
    return [
        (f"{day:%Y%m%d}", kind, shares, round(cash, 2))
        for day, kind, shares, cash in frame.select("session", "kind", "shares", "cash").iter_rows()
    ]


def written_down(run: Run) -> list[list[Any]]:
    found: list[list[Any]] = json.loads((run.folder / "manifest.json").read_text("utf-8"))["written_down"]
    return found


def user_table(folder: Path, name: str, *lines: str) -> None:
    """Write one of the user's own tables beside the endpoints."""
    (folder / "market").mkdir(exist_ok=True)
    (folder / "market" / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")


def flat(days: list[str], price: float, ex: str = "", after: float = 0.0, code: str = "600000.SH") -> Market:
    """Return one stock at one price and, from its ex-date, at another; its factor makes up for the difference."""
    market = Market(days).stock(code).index([5000.0] * len(days))
    for day in days:
        gone = bool(ex) and day >= ex
        market.bar(
            code,
            day,
            after if gone else price,
            pre_close=after if gone else price,
            adj=price / after if gone else 1.0,
        )
    return market


def plan(market: Market, ex: str, record: str, code: str = "600000.SH", **terms: Any) -> Market:
    """Add a carried-out dividend plan of 0.5 CNY, paid on its ex-date, unless the terms say otherwise."""
    row = {"end_date": "20171231", "ann_date": "20180301", "div_proc": "实施", "cash_div_tax": 0.5, "pay_date": ex}
    return market.add("dividend", **{**row, "ts_code": code, "ex_date": ex, "record_date": record, **terms})


def half_a_yuan(days: list[str] = WEEKS, **terms: Any) -> Market:
    """Ex on Wednesday 7 March 2018: 0.5 CNY a share, 20.00 becomes 19.50."""
    return plan(flat(days, 20.0, "20180307", 19.5), "20180307", "20180306", **terms)


def ten_for_ten_and_half_a_yuan() -> Market:
    """Ex on the third session: 0.5 CNY and one new share a share; 20.00 becomes (20 - 0.5) / 2 = 9.75."""
    return plan(flat(DAYS, 20.0, DAYS[2], 9.75), DAYS[2], DAYS[1], stk_div=1.0)


START = 1e6 - 20_000 - 5.0 - 0.4
"""Cash after 1,000 shares at 20.00."""


# cash and bonus shares


def test_bonus_shares_and_cash_leave_the_value_as_it_was(play: Play) -> None:
    run = play(ten_for_ten_and_half_a_yuan(), HOLD)
    assert run.positions["shares"].to_list() == [1000, 2000, 2000, 2000]
    assert run.perf["cash"].to_list() == pytest.approx([1e6, START, START + 500, START + 500, START + 500])
    assert run.net_values == pytest.approx([1e6] + [1e6 - 5.4] * 4)


def test_adjusted_history_moves_as_the_factor(play: Play, tmp_path: Path) -> None:
    play(ten_for_ten_and_half_a_yuan(), HOLD + HISTORY)
    history = json.loads((tmp_path / "work" / "history.json").read_text())
    assert history == pytest.approx([9.75] * 5, abs=1e-9)


@pytest.mark.parametrize(
    ("pay", "arrives"),
    [
        ("20180307", 2),  # the ex-date
        ("20180309", 4),  # two sessions later
        ("20180310", 5),  # a Saturday: on Monday the 12th
        ("20180306", 2),  # a date before the ex-date counts as the ex-date
        ("", 2),  # none
    ],
)
def test_the_cash_comes_on_the_pay_date_or_the_session_after(play: Play, pay: str, arrives: int) -> None:
    run = play(half_a_yuan(pay_date=pay), HOLD)
    expected = [1e6] + [START + 500 * (session >= arrives) for session in range(1, len(WEEKS))]
    assert run.perf["cash"].to_list() == pytest.approx(expected)
    assert actions(run) == [(WEEKS[arrives], "dividend", 0, 500.0)]


def test_a_pay_date_after_the_last_session_pays_nothing_yet(play: Play) -> None:
    run = play(half_a_yuan(pay_date="20180315"), HOLD)
    assert run.perf["cash"].to_list()[-1] == pytest.approx(START)


def test_who_sells_on_the_ex_date_has_the_dividend_and_who_buys_on_it_has_not(play: Play) -> None:
    sold = play(half_a_yuan(), script(d20180305=1000, d20180306=-1000), "dividend_tax = false")
    assert sold.orders["session"].to_list()[-1].strftime("%Y%m%d") == "20180307"
    assert actions(sold) == [("20180307", "dividend", 0, 500.0)]
    bought = play(half_a_yuan(), script(d20180306=1000))
    assert actions(bought) == []


def test_who_sold_before_the_pay_date_is_paid(play: Play) -> None:
    run = play(half_a_yuan(pay_date="20180313"), script(d20180305=1000, d20180307=-1000), "dividend_tax = false")
    # 19,500 - 5.00 - 19.50 - 0.39 on the 8th, 500 on the 13th
    after = START + 19_500 - 24.89
    assert run.perf["cash"].to_list() == pytest.approx(
        [1e6, START, START, after, after, after, after + 500, after + 500]
    )


def test_an_ex_date_that_is_no_session_counts_as_the_next_one(play: Play) -> None:
    market = plan(flat(WEEKS, 20.0, "20180312", 19.5), "20180310", "20180309")  # Saturday the 10th
    assert actions(play(market, HOLD)) == [("20180312", "dividend", 0, 500.0)]


def test_a_plan_that_is_not_carried_out_does_nothing(play: Play) -> None:
    market = ten_for_ten_and_half_a_yuan()
    market.tables["dividend"][0] |= {"div_proc": "预案"}
    run = play(market, HOLD)
    assert run.positions["shares"].to_list() == [1000] * 4


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"end_date": "20161231"},
        {"ann_date": "20180215"},
        {"end_date": "", "ann_date": ""},
    ],
)
def test_the_same_plan_twice_is_one_plan(play: Play, other: dict[str, str]) -> None:
    market = ten_for_ten_and_half_a_yuan()
    market.tables["dividend"].append({**market.tables["dividend"][0], **other})
    run = play(market, HOLD)
    assert run.positions["shares"].to_list() == [1000, 2000, 2000, 2000]
    assert actions(run) == [(DAYS[2], "bonus", 1000, 0.0), (DAYS[2], "dividend", 0, 500.0)]


def test_two_plans_of_one_ex_date_are_two(play: Play) -> None:
    """0.3 and 0.2 CNY: 20.00 becomes 19.50."""
    market = half_a_yuan(cash_div_tax=0.3)
    plan(market, "20180307", "20180306", cash_div_tax=0.2)
    assert sorted(actions(play(market, HOLD))) == [
        ("20180307", "dividend", 0, 200.0),
        ("20180307", "dividend", 0, 300.0),
    ]


@pytest.mark.parametrize("ex", ["20180302", "20180319"])
def test_an_ex_date_outside_the_sessions_does_nothing(play: Play, ex: str) -> None:
    market = plan(flat(WEEKS, 20.0), ex, "20180301", stk_div=1.0, pay_date="20180308")
    run = play(market, HOLD)
    assert actions(run) == []
    assert run.positions["shares"].to_list() == [1000] * 7
    assert run.net_values == pytest.approx([1e6] + [1e6 - 5.4] * 7)


def test_ex_day_during_a_suspension(play: Play) -> None:
    """The holding is doubled on the ex-date and its carried price halved with it: the value does not move."""
    market = Market(DAYS).stock("600000.SH").index([5000.0] * 5)
    for row, (close, adj) in {0: (20, 1), 1: (20, 1), 4: (10, 2)}.items():
        market.bar("600000.SH", DAYS[row], close, pre_close=close, adj=adj)
    for row in (2, 3):
        market.add("suspend_d", ts_code="600000.SH", trade_date=DAYS[row], suspend_type="S")
    plan(market, DAYS[2], DAYS[1], cash_div_tax="", stk_div=1.0)
    run = play(market, HOLD)
    assert run.positions["shares"].to_list() == [1000, 2000, 2000, 2000]
    assert run.net_values == pytest.approx([1e6] + [1e6 - 5.4] * 4)


def test_15_for_100_on_1000_shares_is_150(play: Play) -> None:
    """0.15 in binary is less than 0.15; 11.50 becomes 10.00."""
    market = plan(flat(DAYS, 11.5, DAYS[2], 10.0), DAYS[2], DAYS[1], cash_div_tax="", stk_div=0.15)
    assert play(market, HOLD).positions["shares"].to_list() == [1000, 1150, 1150, 1150]


def test_a_fraction_of_a_share_is_lost(play: Play) -> None:
    """3 for 10 on 1,001 shares are 300.3: 300; 13.00 becomes 10.00, and 1,001 x 13 = 13,013 becomes 13,010."""
    days = days_between("20190805", "20190809")
    market = flat(days, 13.0, days[2], 10.0, "688001.SH")
    plan(market, days[2], days[1], "688001.SH", cash_div_tax="", stk_div=0.3)
    run = play(market, script(d20190805=1001))
    assert run.positions["shares"].to_list() == [1001, 1301, 1301, 1301]
    cash = 1e6 - 13_013 - 5 - 0.26
    assert run.perf["cash"].to_list() == pytest.approx([1e6] + [cash] * 4)
    assert run.net_values[-1] == pytest.approx(cash + 13_010)


# dividend tax

YEAR = days_between("20180309", "20190314")


def taxed(day: str, kind: str, cash: float) -> tuple[str, str, int, float]:
    return day, kind, 0, cash


@pytest.mark.parametrize(
    ("decided", "tax"),
    [
        ("20180315", 100.0),  # sold on the 16th, four days after the purchase: 20 % of 500
        ("20180411", 100.0),  # on 12 April, one month to the day: still 20 %
        ("20180412", 50.0),  # the day after: 10 %
        ("20190311", 50.0),  # on 12 March 2019, one year to the day: still 10 %
        ("20190312", 0.0),  # the day after: none
    ],
)
def test_the_tax_ladder(play: Play, decided: str, tax: float) -> None:
    """Bought on Monday 12 March 2018, ex on Wednesday the 14th."""
    market = plan(flat(YEAR, 20.0, "20180314", 19.5), "20180314", "20180313")
    end = YEAR[YEAR.index(decided) + 1]
    run = play(market, script(d20180309=1000, **{f"d{decided}": -1000}), start=YEAR[0], end=end)
    paid = [taxed("20180314", "dividend", 500.0)]
    assert actions(run) == paid + [taxed(end, "dividend_tax", -tax)] * bool(tax)
    # 19,500 less 5.00, 19.50 of duty and 0.39
    assert run.perf["cash"].to_list()[-1] == pytest.approx(START + 500 + 19_500 - 24.89 - tax)


@pytest.mark.parametrize(
    ("decided", "tax"),
    [
        ("20140410", 75.0),  # sold on Friday 11 April, within a month: 20 %, of which 5 are paid
        ("20140411", 25.0),  # on Monday the 14th: 10 %, of which 5 are paid
        ("20150311", 25.0),  # on Thursday 12 March 2015, one year to the day
        ("20150312", 0.0),  # the day after: 5 %, which are paid
    ],
)
def test_the_ladder_of_2013_withholds_5_percent(play: Play, decided: str, tax: float) -> None:
    """Bought on Wednesday 12 March 2014, ex on Friday the 14th."""
    days = days_between("20140311", "20150316")
    market = plan(flat(days, 20.0, "20140314", 19.5), "20140314", "20140313")
    end = days[days.index(decided) + 1]
    run = play(market, script(d20140311=1000, **{f"d{decided}": -1000}), start=days[0], end=end)
    paid = [taxed("20140314", "dividend", 500.0), taxed("20140314", "tax_withheld", -25.0)]
    assert actions(run) == paid + [taxed(end, "dividend_tax", -tax)] * bool(tax)


@pytest.mark.parametrize(
    ("record", "ex", "withheld", "at_sale"),
    [
        ("20121228", "20121231", 50.0, 0.0),  # 10 % for everybody
        ("20130104", "20130107", 25.0, 75.0),
        ("20150907", "20150908", 25.0, 75.0),
        ("20150909", "20150910", 0.0, 100.0),
    ],
)
def test_the_record_date_decides_the_law(play: Play, record: str, ex: str, withheld: float, at_sale: float) -> None:
    """Bought two sessions before the record date, sold within the month."""
    first, last = ("20121224", "20130115") if record < "2015" else ("20150901", "20150917")
    days = days_between(first, last)
    at = days.index(record)
    market = plan(flat(days, 20.0, ex, 19.5), ex, record)
    run = play(market, script(**{f"d{days[at - 2]}": 1000, f"d{days[at + 3]}": -1000}))
    assert [row[1:] for row in actions(run)] == [
        ("dividend", 0, 500.0),
        *[("tax_withheld", 0, -withheld)] * bool(withheld),
        *[("dividend_tax", 0, -at_sale)] * bool(at_sale),
    ]


def test_shares_leave_first_in_first_out(play: Play) -> None:
    """1,000 bought on 12 March and 1,000 on 2 April 2018, ex on 10 April, 1,000 more on the 11th.

    16 April: of 1,500, the 1,000 of the first lot are older than a month, 10 % of 500.00, the 500 of the second
    are not, 20 % of 250.00. 4 May: 500 of the second, older than a month since the 3rd, 10 % of 250.00, and 500 of
    the third, which had no dividend.
    """
    days = days_between("20180309", "20180507")
    market = plan(flat(days, 20.0, "20180410", 19.5), "20180410", "20180409")
    trades = {"d20180309": 1000, "d20180330": 1000, "d20180410": 1000, "d20180413": -1500, "d20180503": -1000}
    run = play(market, script(**trades))
    assert actions(run) == [
        taxed("20180410", "dividend", 1000.0),
        taxed("20180416", "dividend_tax", -100.0),
        taxed("20180504", "dividend_tax", -25.0),
    ]


@pytest.mark.parametrize(
    ("year", "bonus", "withheld", "at_sale"),
    [
        (2018, 0.4, 0.0, 80.0),  # 20 % of 400 shares at par
        (2018, 0.0, 0.0, 0.0),  # all of them from reserves: no tax
        (2018, 1.0, 0.0, 200.0),
        (2014, 0.4, 20.0, 60.0),  # 5 % at once, though no cash is paid, and 15 % at the sale
    ],
)
def test_bonus_shares_are_taxed_at_par(
    play: Play, tmp_path: Path, year: int, bonus: float, withheld: float, at_sale: float
) -> None:
    """Ten for ten, some of them bonus shares; ex on the third session, sold on the fifth."""
    days = DAYS if year == 2018 else days_between("20140310", "20140314")
    folder = tmp_path / "market" / "dividend"
    folder.mkdir(parents=True)
    columns = "ts_code,end_date,ann_date,div_proc,stk_div,stk_bo_rate,cash_div_tax,record_date,ex_date,pay_date"
    row = f"600000.SH,20131231,20140301,实施,1.0,{bonus},,{days[1]},{days[2]},"
    (folder / "bonus.csv").write_text(f"{columns},imp_ann_date\n{row},\n", "utf-8")
    run = play(flat(days, 20.0, days[2], 10.0), script(**{f"d{days[0]}": 1000, f"d{days[3]}": -2000}))
    expected = [(days[2], "bonus", 1000, 0.0)]
    expected += [taxed(days[2], "tax_withheld", -withheld)] * bool(withheld)
    expected += [taxed(days[4], "dividend_tax", -at_sale)] * bool(at_sale)
    assert actions(run) == expected
    assert run.positions.filter(pl.col("session") == run.perf["session"][4]).height == 0


def test_without_the_tax_nothing_is_taken(play: Play) -> None:
    days = days_between("20140310", "20140314")
    market = plan(flat(days, 20.0, days[2], 19.5), days[2], days[1])
    run = play(market, script(d20140310=1000, d20140313=-1000), "dividend_tax = false")
    assert actions(run) == [taxed(days[2], "dividend", 500.0)]


# rights issues: 3 for 10 at 5.00, ex on Wednesday the 7th; 10.00 becomes (10 + 1.5) / 1.3 = 8.846, that is 8.85


def rights_issue(folder: Path, list_date: str = "20180312") -> Market:
    user_table(folder, "rights", "ts_code,ex_date,ratio,price,list_date", f"600000.SH,20180307,0.3,5.0,{list_date}")
    return flat(WEEKS, 10.0, "20180307", 8.85)


def test_rights_are_taken_up_and_locked_until_they_are_listed(play: Play, tmp_path: Path) -> None:
    run = play(rights_issue(tmp_path), HOLD)
    assert actions(run) == [("20180307", "rights", 300, -1500.0)]
    assert run.positions["shares"].to_list() == [1000] + [1300] * 6
    assert run.positions["sellable"].to_list() == [0, 1000, 1000, 1000, 1300, 1300, 1300]  # 300 more on the 12th
    cash = 1e6 - 10_000 - FEES
    assert run.perf["cash"].to_list() == pytest.approx([1e6, cash] + [cash - 1500] * 6)
    # 1,300 x 8.85 = 11,505: 5.00 more than 10,000 and 1,500, for the price is rounded
    assert run.net_values == pytest.approx([1e6, 1e6 - FEES] + [1e6 - FEES + 5] * 6)


def test_rights_may_be_sold_when_they_are_listed(play: Play, tmp_path: Path) -> None:
    run = play(rights_issue(tmp_path), script(d20180305=1000, d20180308=-1300, d20180309=-300))
    assert run.orders.select("requested", "filled", "reason").rows() == [
        (1000, 1000, "filled"),
        (1300, 1000, "not_sellable"),  # on Friday the 9th
        (300, 300, "filled"),  # on Monday the 12th
    ]


@pytest.mark.parametrize(
    ("capital", "shares", "left"),
    [
        (11_505.20, 300, 0.0),  # 1,500.00 are there to the fen
        (11_505.19, 299, 4.99),
        (11_000.0, 198, 4.80),  # 994.80 pay for 198
        (10_006.0, 0, 0.80),
    ],
)
def test_rights_are_taken_up_as_far_as_the_cash_goes(
    play: Play, tmp_path: Path, capital: float, shares: int, left: float
) -> None:
    run = play(rights_issue(tmp_path), HOLD, capital=capital)
    assert actions(run) == [("20180307", "rights", shares, -5.0 * shares)]
    assert run.positions["shares"].to_list() == [1000] + [1000 + shares] * 6
    assert run.perf["cash"].to_list()[-1] == pytest.approx(left, abs=1e-9)


def test_rights_may_lapse(play: Play, tmp_path: Path) -> None:
    run = play(rights_issue(tmp_path), HOLD, 'rights = "lapse"')
    assert actions(run) == []
    assert run.net_values == pytest.approx([1e6, 1e6 - FEES] + [1e6 - FEES - 1150] * 6)


def test_rights_nobody_tells_of_are_counted_and_not_taken_up(play: Play) -> None:
    from engine.panels.bundle import open_bundle

    run = play(flat(WEEKS, 10.0, "20180307", 8.85), HOLD)
    assert actions(run) == []
    assert open_bundle("ashare").panels.manifest["counts"]["suspected_rights_issues"] == 1


def test_history_across_a_rights_issue(play: Play, tmp_path: Path) -> None:
    play(rights_issue(tmp_path), HOLD + HISTORY)
    history = json.loads((tmp_path / "work" / "history.json").read_text())
    assert history == pytest.approx([8.85] * 8, abs=1e-9)


# leaving the market


def left_market() -> Market:
    """One stock that leaves on the fourth session after a last price of 10.00, and one that stays at 8.00."""
    market = Market(DAYS).stock("600000.SH", delisted=DAYS[3]).index([5000.0] * 5)
    market.stock("600001.SH").bars("600001.SH", [8.0] * 5)
    for day in DAYS[:3]:
        market.bar("600000.SH", day, 10.0)
    return market


TERMS = [
    # kind, into, ratio, cash: cash and shares of the other for 1,000 shares
    ("", "", "", "", 0.0, 0),
    ("one_yuan", "", "", "", 0.0, 0),
    ("market_cap", "", "", "", 0.0, 0),
    ("delisting_period", "", "", "", 0.0, 0),
    ("absorption", "600001.SH", "1.1", "", 0.0, 1100),
    ("absorption", "600001.SH", "0.3333", "0.125", 125.0, 333),
    ("absorption", "", "", "9.87", 9870.0, 0),
    ("absorption", "", "", "", 10_000.0, 0),  # no terms: the last price
    ("absorption", "601857.SH", "2", "", 10_000.0, 0),  # into a stock the lake does not know: the last price
]


@pytest.mark.parametrize(("kind", "into", "ratio", "paid", "cash", "shares"), TERMS)
def test_what_a_delisting_leaves(
    play: Play, tmp_path: Path, kind: str, into: str, ratio: str, paid: str, cash: float, shares: int
) -> None:
    if kind:
        user_table(tmp_path, "delistings", "ts_code,kind,into,ratio,cash", f"600000.SH,{kind},{into},{ratio},{paid}")
    run = play(left_market(), HOLD)
    before = 1e6 - 10_000 - FEES
    assert run.perf["cash"].to_list() == pytest.approx([1e6, before, before, before + cash, before + cash])
    value = before + cash + shares * 8.0
    assert run.net_values == pytest.approx([1e6, 1e6 - FEES, 1e6 - FEES, value, value])
    held = run.positions.select("ts_code", "shares").rows()
    assert held == [("600000.SH", 1000)] * 2 + [("600001.SH", shares)] * 2 * bool(shares)
    assert written_down(run) == [["2018-03-08", "600000.SH", 1000, 10.0, kind or "unknown"]]


def test_an_absorption_into_a_stock_that_is_held_adds_to_it(play: Play, tmp_path: Path) -> None:
    user_table(tmp_path, "delistings", "ts_code,kind,into,ratio,cash", "600000.SH,absorption,600001.SH,0.5,")
    text = HOLD.replace("asset = ", "if context.session == 2:\n        order(sid(1), 400)\n    asset = ", 1)
    run = play(left_market(), text.replace("get_datetime, order", "get_datetime, order, sid"))
    last = run.positions.filter(pl.col("session") == run.perf["session"][4])
    assert last.select("ts_code", "shares", "sellable").rows() == [("600001.SH", 900, 900)]


def test_shares_of_an_absorption_may_be_sold_the_session_after(play: Play, tmp_path: Path) -> None:
    user_table(tmp_path, "delistings", "ts_code,kind,into,ratio,cash", "600000.SH,absorption,600001.SH,1,")
    text = HOLD.replace("asset = ", "if context.session == 4:\n        order(sid(1), -1000)\n    asset = ", 1)
    run = play(left_market(), text.replace("get_datetime, order", "get_datetime, order, sid"))
    assert run.orders.select("ts_code", "filled", "reason").rows()[-1] == ("600001.SH", 1000, "filled")


def test_an_order_for_a_delisted_stock_is_refused(play: Play) -> None:
    run = play(left_market(), script(d20180307=1000))
    assert run.orders["reason"].to_list() == ["not_listed"]


def test_a_dividend_that_is_due_is_paid_after_the_stock_left(play: Play) -> None:
    market = plan(left_market(), DAYS[2], DAYS[1], pay_date=DAYS[4])
    for row in market.tables["daily"]:
        if row["ts_code"] == "600000.SH" and row["trade_date"] == DAYS[2]:
            row |= {"pre_close": 9.5}
    run = play(market, HOLD)
    before = 1e6 - 10_000 - FEES
    assert run.perf["cash"].to_list() == pytest.approx([1e6, before, before, before, before + 500])


def test_a_code_change_is_one_stock(play: Play, tmp_path: Path) -> None:
    market = Market(DAYS).stock("000022.SZ", delisted=DAYS[2]).stock("001872.SZ", listed=DAYS[2]).index([5000.0] * 5)
    for day in DAYS[:2]:
        market.bar("000022.SZ", day, 10.0)
    for day in DAYS[2:]:
        market.bar("001872.SZ", day, 10.0)
    user_table(tmp_path, "code_changes", "old,new,date", f"000022.SZ,001872.SZ,{DAYS[2]}")
    run = play(market, script(d20180305=1000, d20180308=-1000) + HISTORY)
    assert run.positions["ts_code"].to_list() == ["000022.SZ", "001872.SZ", "001872.SZ"]
    assert run.positions["shares"].to_list() == [1000] * 3
    assert run.orders["ts_code"].to_list() == ["000022.SZ", "001872.SZ"]
    sale = 10_000 - 5.0 - 10.0 - 0.2
    assert run.net_values == pytest.approx([1e6] + [1e6 - FEES] * 3 + [1e6 - 10_000 - FEES + sale])
    assert json.loads((tmp_path / "work" / "history.json").read_text()) == [10.0] * 5
    assert written_down(run) == []


def test_a_long_suspension_is_valued_at_the_last_price(play: Play) -> None:
    """Forty sessions without a bar, and 5.00 after them."""
    days = days_between("20180305", "20180508")
    market = Market(days).stock("600000.SH").index([5000.0] * len(days))
    market.stock("600001.SH").bars("600001.SH", [8.0] * len(days))
    closes = [10.0, 10.0, 10.5] + [None] * (len(days) - 4) + [5.0]
    market.bars("600000.SH", closes)
    run = play(market, HOLD)
    assert run.positions["price"].to_list() == [10.0] + [10.5] * (len(days) - 3) + [5.0]
    start = 1e6 - FEES
    assert run.net_values == pytest.approx([1e6, start] + [start + 500] * (len(days) - 3) + [start - 5000])


# what has little to do with actions

SEES_THE_VOLUME = """
def initialize(context):
    pass

def handle_data(context, data):
    assert data.current(context.asset_finder.retrieve_asset(0), "volume") == 5_000_000_000
"""


def test_more_than_two_to_the_32_shares_survive(backtest: Callable[..., Run]) -> None:
    market = Market(DAYS).stock("600000.SH").bars("600000.SH", [10.0] * 5, lots=5e7).index([5000.0] * 5)
    assert backtest(market, SEES_THE_VOLUME).perf.height == 5


@pytest.mark.parametrize("given", [True, False])
def test_the_benchmark_is_csi_500_or_nothing_with_a_warning(
    backtest: Callable[..., Run], given: bool, caplog: pytest.LogCaptureFixture
) -> None:
    market = Market(DAYS).stock("600000.SH").bars("600000.SH", [10.0] * 5)
    if given:
        market.index([5000.0, 5100.0, 5100.0, 4845.0, 4845.0])
    run = backtest(market, "def initialize(context): pass\ndef handle_data(context, data): pass\n")
    expected = [0.0, 0.02, 0.0, -0.05, 0.0] if given else [0.0] * 5
    assert run.perf["benchmark_return"].to_list() == pytest.approx(expected)
    assert ("the benchmark returns are zero" in caplog.text) is not given


def test_two_bonus_plans_of_one_session_move_a_waiting_order_once(play: Play) -> None:
    """0.4 and 0.6 new shares a share: an order of 1,000 becomes one of 2,000."""
    market = flat(DAYS, 20.0, DAYS[2], 10.0)
    plan(market, DAYS[2], DAYS[1], cash_div_tax="", stk_div=0.4)
    plan(market, DAYS[2], DAYS[1], cash_div_tax="", stk_div=0.6, end_date="20161231")
    run = play(market, script(**{f"d{DAYS[1]}": 1000}))
    assert run.orders.select("requested", "filled", "reason").rows() == [(2000, 2000, "filled")]


def test_tax_on_bonus_shares_waits_for_cash(play: Play, tmp_path: Path) -> None:
    """1,000 bonus shares at par, 5 % withheld: 50.00 are owed, 0.70 are there; the sale pays the rest."""
    days = days_between("20140303", "20140307")
    folder = tmp_path / "market" / "dividend"
    folder.mkdir(parents=True)
    columns = "ts_code,end_date,ann_date,div_proc,stk_div,stk_bo_rate,cash_div_tax,record_date,ex_date,pay_date"
    row = f"600000.SH,20131231,20140301,实施,1.0,1.0,,{days[1]},{days[2]},"
    (folder / "bonus.csv").write_text(f"{columns},imp_ann_date\n{row},\n", "utf-8")
    run = play(flat(days, 20.0, days[2], 10.0), script(**{f"d{days[0]}": 1000, f"d{days[2]}": -1000}), capital=20_006.0)
    assert run.perf["cash"].min() >= 0
    withheld = [cash for _, kind, _, cash in actions(run) if kind == "tax_withheld"]
    assert len(withheld) == 2
    assert sum(withheld) == pytest.approx(-50.0)


def test_a_successor_named_by_its_earlier_code(play: Play, tmp_path: Path) -> None:
    user_table(tmp_path, "code_changes", "old,new,date", f"600001.SH,600005.SH,{DAYS[1]}")
    user_table(tmp_path, "delistings", "ts_code,kind,into,ratio,cash", "600000.SH,absorption,600001.SH,2,")
    market = left_market().stock("600005.SH")
    for table in ("daily", "adj_factor", "daily_basic", "stk_limit"):
        for row in market.tables[table]:
            if row["ts_code"] == "600001.SH" and row["trade_date"] >= DAYS[1]:
                row["ts_code"] = "600005.SH"
    assert ("20180308", "absorbed", 2000, 0.0) in actions(play(market, HOLD))


def test_terms_in_shares_of_a_stock_nobody_has_fall_back_to_the_last_price(play: Play, tmp_path: Path) -> None:
    user_table(tmp_path, "delistings", "ts_code,kind,into,ratio,cash", "600000.SH,absorption,601857.SH,2,0.125")
    assert ("20180308", "delisted", -1000, 10_000.0) in actions(play(left_market(), HOLD))


CANCELS_LAST = """
from zipline.api import cancel_order, order

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    if context.session == 5:
        cancel_order(order(context.asset_finder.retrieve_asset(0), 100))
"""


def test_an_order_cancelled_at_the_last_close_was_cancelled(play: Play) -> None:
    assert play(flat(DAYS, 20.0), CANCELS_LAST).orders["reason"].to_list() == ["cancelled"]
