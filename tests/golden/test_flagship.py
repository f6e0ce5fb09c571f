"""The flagship's rules, worked out by hand on tiny markets, through zipline's own command (SPEC 7 and 8).

The script is the one that ships; only the model is exchanged: the score of a stock is its turnover, which the
market gives. There are no fees, so that every figure is a round one. Session 1 decides, session 2 fills.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.cli.main import main
from engine.errors import BadInput
from engine.pipeline.datasets import Daily
from engine.pipeline.factors import NAMES
from engine.report.design import rules_alone
from engine.settings import BlacklistSettings, RiskSettings, Settings
from engine.types import Choice
from tests.conftest import Run
from tests.golden.cases import lines_of
from tests.markets import Market, days_between

SCRIPT = (Path(__file__).parents[2] / "strategies" / "momentum_dnn.py").read_text("utf-8")
STATES = ("drawdown", "volatility", "stops", "blacklist", "watch")
RESTARTED = f"""
import json
decide = handle_data
def handle_data(context, data):
    for name in {STATES}:
        state = getattr(context, name)
        setattr(context, name, type(state).from_json(json.loads(json.dumps(state.to_json()))))
    decide(context, data)
"""
"""Every session begins with nothing but what was written down after the one before."""
DAYS = days_between("20180305", "20180321")
"""Thirteen sessions: Monday to Wednesday of the week after next; rebalances in the first, sixth and eleventh."""
A, B, C = "600001.SH", "600002.SH", "600003.SH"
FREE = """
[execution]
commission_rate = 0.0
commission_minimum = 0.0
transfer_fee = 0.0
stamp_duty = 0.0
[universe]
minimum_sessions = 1
"""


@pytest.fixture
def flagship(backtest: Any, monkeypatch: Any) -> Any:
    """Return a function that runs the flagship over a market, restarted after every session or not."""
    monkeypatch.setattr("engine.model.scores.scores", lambda settings, members, shelf: None)
    monkeypatch.setattr("engine.model.scores.ranking", lambda scored, settings: Daily.turnover_rate.latest)

    def run(market: Market, toml: str, restarts: bool = False) -> Run:
        done: Run = backtest(market, SCRIPT + RESTARTED * restarts, toml=FREE + toml)
        require_one_reason_each(done, market)
        return done

    return run


def require_one_reason_each(run: Run, market: Market) -> None:
    """Every stock that traded at a rebalance has one reason, and only chosen ones may be bought."""
    decided = pl.read_parquet(run.folder / "decisions.parquet")
    for session, one in decided.group_by("session"):
        traded = [row["ts_code"] for row in market.tables["daily"] if row["trade_date"] == f"{session[0]:%Y%m%d}"]
        assert sorted(one["ts_code"]) == sorted(traded)
        assert set(one["reason"]) <= set(Choice)
        bought = run.orders.filter(pl.col("decided") == session[0], side="buy")["ts_code"]
        assert set(bought) <= set(one.filter(pl.col("reason").is_in(["chosen", "kept"]))["ts_code"])
    counted = json.loads((run.folder / "manifest.json").read_text())["decisions"]
    assert sum(counted.values()) == decided.height


def market_of(bars: dict[str, str], **turnover: list[float]) -> Market:
    """Return a market: a word a session, ``10`` or ``open/close`` or ``s`` for suspended, the last one repeated."""
    market = Market(DAYS).index([5000.0] * len(DAYS))
    for code, words in bars.items():
        market.stock(code)
        each, wanted = words.split(), turnover.get(f"t{code[:6]}", [3.0])
        for n, day in enumerate(DAYS):
            word = each[min(n, len(each) - 1)]
            if word == "s":
                market.add("suspend_d", ts_code=code, trade_date=day, suspend_type="S")
            else:
                first, _, last = word.partition("/")
                opened, closed = float(first), float(last or first)
                market.bar(code, day, closed, opened, turnover=wanted[min(n, len(wanted) - 1)])
    return market


def number(day: Any) -> int:
    """Return the number of a session; the last one's orders meet none: 0."""
    return 0 if day is None else DAYS.index(f"{day:%Y%m%d}") + 1


def lines(run: Run, code: str) -> list[str]:
    """Return the orders of a stock, each with the number of its session."""
    numbers = [number(day) for day in run.orders.filter(ts_code=code)["session"]]
    return [f"{n} {line}" for n, line in zip(numbers, lines_of(run, code, False), strict=True)]


def events(run: Run) -> list[str]:
    """Return the events, each with the number of its session."""
    found = pl.read_parquet(run.folder / "events.parquet").iter_rows(named=True)
    return [f"{number(one['session'])} {one['rule']} {one['value']:.5g} {one['effect']}" for one in found]


def reasons(run: Run, code: str) -> list[str]:
    """Return what was decided about a stock, rebalance by rebalance."""
    return pl.read_parquet(run.folder / "decisions.parquet").filter(ts_code=code).sort("session")["reason"].to_list()


TWO = """
[selection]
fraction = 1.0
cap = 0.5
[risk]
stop = 0
"""


@pytest.mark.parametrize("restarts", [False, True])
def test_the_drawdown_switch_scales_at_once_and_gives_back_at_the_next_rebalance(flagship, restarts):
    """Two names, 40 % each of 1,000,000 at 10.00: 40,000 shares each.

    Session 3 at 9.00: net value 920,000, -8 % exactly, nothing. Session 4 at 8.99: 919,200, the switch is on; gross
    719,200 / 919,200, so of 40,000 shares 40,000 * 0.4 / 0.782419 = 20,449 stay, 20,400 in lots. Session 6 closes at
    9.99: 960,000, -4 % exactly, still on; the rebalance wants 0.2 * 960,000 / 9.99 = 19,219, 19,200 in lots. Session 7
    at 10.00: 960,384, off; nothing is bought before the rebalance of session 11: 0.4 * 960,384 / 10 = 38,415.
    """
    bars = "10 10 9 8.99 8.99/9.5 9.5/9.99 9.99/10 10"
    run = flagship(market_of({A: bars, B: bars}), TWO, restarts)
    expected = [
        "2 buy 40000: 40000 at 10, filled",
        "5 sell 19600: 19600 at 8.99, filled",
        "7 sell 1200: 1200 at 9.99, filled",
        "12 buy 19200: 19200 at 10, filled",
    ]
    assert lines(run, A) == lines(run, B) == expected
    assert events(run) == ["4 drawdown -0.0808 gross limit 0.4", "7 drawdown -0.039616 limit lifted"]
    switches = json.loads((run.folder / "manifest.json").read_text())["switches"]
    assert switches["drawdown"] == {"times_on": 1, "sessions_on": 3, "on_at_the_end": False}
    assert switches["volatility"] == {"times_on": 0, "sessions_on": 0, "on_at_the_end": False}


def test_a_switch_that_is_off_does_nothing(flagship):
    bars = "10 10 9 8.99"
    run = flagship(market_of({A: bars, B: bars}), TWO + "drawdown_on = 0\ndrawdown_off = 0\n")
    assert events(run) == []
    # the rebalance of session 6 fills up: 0.4 * 919,200 / 8.99 = 40,898
    assert lines(run, A) == ["2 buy 40000: 40000 at 10, filled", "7 buy 800: 800 at 8.99, filled"]


@pytest.mark.parametrize("restarts", [False, True])
def test_the_volatility_switch_follows_the_users_index(flagship, tmp_path, restarts):
    """25 exactly is not above 25. On in session 4: 0.5 / 0.8 of 40,000 shares are 25,000. Off in session 7."""
    index = [20, 20, 25, 25.01, 30, 30, 25]
    rows = [f"{day},{value}" for day, value in zip(DAYS, index, strict=False)]
    path = tmp_path / "index.csv"
    path.write_text("trade_date,value\n" + "\n".join(rows), "utf-8")
    run = flagship(market_of({A: "10", B: "10"}), TWO + f"volatility_file = '{path}'\n", restarts)
    assert lines(run, A) == [
        "2 buy 40000: 40000 at 10, filled",
        "5 sell 15000: 15000 at 10, filled",
        "12 buy 15000: 15000 at 10, filled",
    ]
    assert events(run) == ["4 volatility 25.01 gross limit 0.5", "7 volatility 25 limit lifted"]


def test_the_volatility_of_the_index_itself(flagship):
    """Over two returns it is their difference / sqrt(2) * sqrt(252), in percent, with ln 1.01 = 0.00995033.

    Session 3: 2 * 0.00995033, 22.338. Session 4: 0.00995033 + ln 1.02 = 0.02975296, 33.398, on; session 5: 2 * ln 1.02,
    44.457, still on; session 6: ln 1.02 alone, 22.228, off.
    """
    market = market_of({A: "10", B: "10"})
    for row, close in zip(market.tables["index_daily"], [5000, 5050, 5000, 5100, 5000, 5000], strict=False):
        row["close"] = close
    run = flagship(market, TWO + "volatility_sessions = 2\n")
    assert events(run) == ["4 volatility 33.398 gross limit 0.5", "6 volatility 22.228 limit lifted"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("day,value\n", ""), ("trade_date,value\n20180305,x\n", "x"), ("trade_date,value\n20180305,-1\n", "")],
)
def test_a_volatility_file_that_says_nothing_is_refused(flagship, tmp_path, text, why):
    path = tmp_path / f"index{len(text)}{why}.csv"
    path.write_text(text, "utf-8")
    if text == "day,value\n":
        path.unlink()
    with pytest.raises(BadInput, match="volatility index"):
        flagship(market_of({A: "10"}), TWO + f"volatility_file = '{path}'\n")


MANY = """
[selection]
fraction = 1.0
cap = 0.1
[risk]
drawdown_on = 0
drawdown_off = 0
"""


@pytest.mark.parametrize("restarts", [False, True])
def test_a_stop_sells_until_gone(flagship, restarts):
    """10,000 shares at 10.00. Session 3 at 9.00 is 10 % below and no more; session 4 at 8.99 triggers the stop.

    Sessions 5 and 6 lie at limit-down (8.09, 7.28), session 7 is suspended; session 8 opens at 8.00. On session 6 the
    stock is dropped by the rebalance, on session 11 it may be bought again.
    """
    bars = {A: "10 10 9 8.99 8.09 7.28 s 8 8", B: "10", C: "10"}
    run = flagship(market_of(bars), MANY, restarts)
    assert lines(run, A)[:5] == [
        "2 buy 10000: 10000 at 10, filled",
        "5 sell 10000: 0, limit_down",
        "6 sell 10000: 0, limit_down",
        "7 sell 10000: 0, suspended",
        "8 sell 10000: 10000 at 8, filled",
    ]
    assert reasons(run, A) == ["chosen", "stopped", "chosen"]
    assert events(run) == ["4 stop -0.101 sold until gone"]


@pytest.mark.parametrize(("close", "sold"), [("8.1", False), ("8.09", True)])
def test_a_dividend_is_no_loss_to_a_stop(flagship, close, sold):
    """A dividend of 1.00 on 10.00: the stop stands 10 % below 9.00."""
    market = market_of({A: f"10 10 9 9 {close}", B: "10"})
    market.add(
        "dividend", ts_code=A, end_date="20171231", ann_date=DAYS[0], div_proc="实施", stk_div=0, cash_div_tax=1.0,
        record_date=DAYS[1], ex_date=DAYS[2], pay_date=DAYS[2], imp_ann_date=DAYS[0],
    )  # fmt: skip
    for row in market.tables["daily"]:
        if row["ts_code"] == A and row["trade_date"] == DAYS[2]:
            row["pre_close"] = 9.0
    for row in market.tables["adj_factor"]:
        if row["ts_code"] == A and row["trade_date"] >= DAYS[2]:
            row["adj_factor"] = 10 / 9
    market.tables["stk_limit"].clear()
    assert bool(events(flagship(market, MANY))) == sold


def test_what_the_market_refused_is_asked_again_while_it_is_wanted(flagship):
    """A is at limit-up in session 2; at 11.00 the cap leaves 0.1 * 1,000,000 / 11 = 9,090 shares, 9,000 in lots.

    B is suspended in sessions 2 and 3. C turns over too little in session 6 and is sold, which waits for session 8.
    """
    bars = {A: "10 11 11", B: "10 s s 10", C: "10 10 10 10 10 10 s 10"}
    run = flagship(market_of(bars, t600003=[3.0] * 5 + [0.99]), MANY)
    assert lines(run, A)[:2] == ["2 buy 10000: 0, limit_up", "3 buy 10000: 9000 at 11, position_cap"]
    assert lines(run, B) == [
        "2 buy 10000: 0, suspended",
        "3 buy 10000: 0, suspended",
        "4 buy 10000: 10000 at 10, filled",
    ]
    assert lines(run, C) == [
        "2 buy 10000: 10000 at 10, filled",
        "7 sell 10000: 0, suspended",
        "8 sell 10000: 10000 at 10, filled",
    ]
    assert reasons(run, C) == ["chosen", "turnover", "turnover"]


def test_a_purchase_that_is_no_longer_wanted_is_not_asked_again(flagship):
    """B is suspended from session 2 to 6: it is no member at the rebalance of session 6, and nobody asks again."""
    run = flagship(market_of({A: "10", B: "10 s s s s s 10"}), MANY)
    assert [line[0] for line in lines(run, B)] == [*"23456", "1"]  # the last one in session 12


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("days", "chosen_again"), [(6, 9), (7, 11)])
def test_wrong_twice_running_is_barred_for_calendar_days(flagship, restarts, days, chosen_again):
    """Every second session, labels over one session: what session 1 chose is known after session 3, and it was flat.

    A is wrong in sessions 3 and 5 (Friday, 9 March): barred for 6 days it may be bought on Thursday the 15th, session
    9; for 7 days in session 11. B rises by 3 % a session and is always right.
    """
    rising = " ".join(f"{10 * 1.03**n:.2f}" for n in range(len(DAYS)))
    toml = f"every = 2\n[labels]\nhorizon = 1\n[blacklist]\nwrong = 2\ndays = {days}\n"
    settings = MANY.replace("cap = 0.1\n", f"cap = 0.1\n{toml}")
    run = flagship(market_of({A: "10", B: rising}), settings, restarts)
    barred = range(5, chosen_again, 2)
    expected = ["blacklisted" if n in barred else "chosen" for n in range(1, chosen_again + 2, 2)]
    assert reasons(run, A)[: len(expected)] == expected
    assert set(reasons(run, B)) == {"chosen"}
    assert lines(run, A)[:2] == ["2 buy 10000: 10000 at 10, filled", "6 sell 10000: 10000 at 10, filled"]
    assert events(run)[0] == f"5 blacklist 2 barred until 2018-03-{9 + days:02d}"


def test_each_reason_of_a_rebalance(flagship):
    """Ten stocks, the best four looked at; the score is the turnover."""
    codes = [f"60000{n}.SH" for n in range(10)]
    bars = dict.fromkeys(codes, "10")
    bars[codes[0]] = "11000"  # 10 % of 1,000,000 buys no lot
    bars[codes[1]] = "10 10 10 10 10 11"  # at its limit in session 6
    turnover = {f"t60000{n}": [10.0 - n] for n in range(10)}
    toml = MANY.replace("fraction = 1.0", "fraction = 0.4\nmaximum_turnover = 0.2")
    market = market_of(bars, **turnover)
    run = flagship(market, toml)
    assert [reasons(run, code)[0] for code in codes] == ["less_than_a_lot", *["chosen"] * 2, "turnover_limit"] + [
        "below_the_cut"
    ] * 6
    assert [reasons(run, code)[1] for code in codes[:4]] == ["less_than_a_lot", "at_limit", "chosen", "chosen"]
    decided = pl.read_parquet(run.folder / "decisions.parquet").filter(session=pl.col("session").min())
    assert decided["rank"].to_list() == list(range(1, 11))
    assert decided["score"].to_list() == [10.0 - n for n in range(10)]


@pytest.mark.parametrize("restarts", [False, True])
def test_the_watch_raises_a_retrain_event(flagship, restarts):
    """Six stocks grow by 0.2 % to 1.2 % a session up to session 24, and fall at that pace afterwards.

    momentum_1m needs 21 sessions, a return over one session is known two sessions after its decision. Session 23
    knows decision 21, IC +1; 24 knows 22, +1; 25 knows 23, -1: the mean of two is 0. With a cooldown of 3 sessions
    it fires again in sessions 28 and 31, at -1.
    """
    days = days_between("20180305", "20180420")[:32]
    market = Market(days).index([5000.0] * len(days))
    for k in range(1, 7):
        price, code = 100.0, f"60000{k}.SH"
        market.stock(code)
        for n, day in enumerate(days, 1):
            price *= 1 + 0.002 * k * (0 if n == 1 else 1 if n <= 24 else -1)
            market.bar(code, day, round(price, 2))
    toml = MANY + "[labels]\nhorizon = 1\n[blacklist]\nwrong = 0\n[watch]\nsessions = 2\ncooldown = 3\n"
    run = flagship(market, toml.replace("[risk]\n", "[risk]\nstop = 0\n"), restarts)
    found = pl.read_parquet(run.folder / "events.parquet")
    assert [days.index(f"{day:%Y%m%d}") + 1 for day in found["session"]] == [25, 28, 31]
    assert found["value"].to_list() == pytest.approx([0.0, -1.0, -1.0])
    assert set(found["rule"]) == {"watch"}
    daily = pl.read_parquet(run.folder / "ic.parquet").filter(name="momentum_1m").drop_nulls()
    assert daily["rank_ic"].to_list() == pytest.approx([1.0, 1.0, *[-1.0] * 8])
    assert [days.index(f"{day:%Y%m%d}") + 1 for day in daily["decided"]] == list(range(21, 31))
    assert set(daily["n"]) == {6}


def test_rebalances_may_be_counted_by_the_day_of_the_month(flagship):
    """From 5 to 21 March 2018 five divides the days of three sessions, the 5th, 15th and 20th; the 10th is none."""
    run = flagship(market_of({A: "10", B: "10"}), TWO.replace("cap = 0.5", 'cap = 0.5\ncount = "day_of_month"'))
    decided = pl.read_parquet(run.folder / "decisions.parquet")["session"].unique().sort()
    assert [day.day for day in decided] == [5, 15, 20]


def test_the_design_is_audited(flagship, capsys):
    """Without a model every ranking is the same; vwap and close fill at another price, so the table must differ.

    A trades at 10 but opens at 9.50 in session 2: at the close it costs 10 instead of 9.50 CNY, 0.02 of the net value.
    """
    market = market_of({A: "10 9.5/10 10", B: "10"})
    flagship(market, TWO)
    path = Path("flagship.py")
    path.write_text(SCRIPT, "utf-8")
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["audit-design", "-s", DAYS[0], "-e", DAYS[-1], "-f", str(path), "--capital", "1000000", "--json"])
    assert not end.value.code
    found = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
    base = found["as the settings have it"]["figures"]["total return"]
    assert base == pytest.approx(0.02)
    assert found["orders fill at the close"]["figures"]["total return"] == pytest.approx(0.0)
    assert found["orders fill at the day's average price"]["figures"]["total return"] == pytest.approx(0.01, abs=1e-3)
    assert "orders fill at the open" not in found  # it is the base
    assert "no stop" not in found  # the settings have none
    assert set(found) >= {"no blacklist", "no volatility switch", "no drawdown switch", "roe of the year to date"}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_rules_of_risk_are_shown_alone(flagship, capsys, as_json):
    """Both names fall to 8.99 in session 4 and are back at 10.00 in session 7, as with the drawdown switch above.

    Without a rule 40,000 shares of each are held to the end: return 0, drawdown 80,800 of 1,000,000. The switch is on
    in the closes of sessions 4, 5 and 6, and sells at 8.99 what it buys back at 10.00. The index stands still, and no
    outcome matures: the other two rules do nothing. The settings have no stop.
    """
    bars = "10 10 9 8.99 8.99/9.5 9.5/9.99 9.99/10 10"
    flagship(market_of({A: bars, B: bars}), TWO)
    path = Path("flagship.py")
    path.write_text(SCRIPT, "utf-8")
    capsys.readouterr()
    words = ["-s", DAYS[0], "-e", DAYS[-1], "-f", str(path), "--capital", "1000000"]
    with pytest.raises(SystemExit) as end:
        main(["audit-design", *words, *["--json"] * as_json])
    assert not end.value.code
    said = capsys.readouterr().out
    if not as_json:
        lines = [re.split(r" {2,}", line) for line in said.split("\n\n")[1].splitlines()]
        assert lines[0][-2:] == ["drawdown on", "volatility on"]
        assert [line[0] for line in lines[1:]] == [*ALONE, "as the settings have it"]
        assert lines[1][1:] == ["0.00%", "0.00%", lines[1][3], "-8.08%", "2", "0", "0", "0", "0"]
        assert lines[2][-2:] == lines[5][-2:] == ["3", "0"]
        return
    found = {one["what"]: one for one in json.loads(said)}
    base = found["as the settings have it"]
    none, *alone = (found[name] for name in ALONE)
    assert none["figures"]["total return"] == pytest.approx(0)
    assert none["figures"]["maximum drawdown"] == pytest.approx(-0.0808)
    assert base["figures"]["total return"] < -0.01
    assert [one["sessions_on"]["drawdown"] for one in (none, *alone)] == [0, 3, 0, 0]
    assert [one["figures"] == base["figures"] for one in alone] == [True, False, False]
    assert [one["figures"] == none["figures"] for one in alone] == [False, True, True]
    assert "stops alone" not in found


ALONE = ("no rule of risk", "drawdown switch alone", "volatility switch alone", "blacklist alone")


def test_a_rule_that_is_the_only_one_is_shown_once():
    off = {"volatility_above": 0, "drawdown_on": 0, "drawdown_off": 0}
    values = Settings(risk=RiskSettings(**off), blacklist=BlacklistSettings(wrong=0))
    assert [one.what for one in rules_alone(values)] == ["no rule of risk"]
    assert rules_alone(values.model_copy(update={"risk": RiskSettings(stop=0, **off)})) == []


def said_why(capsys: Any, line: str) -> list[str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(line.split())
    said = capsys.readouterr()
    return (said.out + said.err).splitlines() if not end.value.code else [said.err.strip()]


def test_why(flagship, capsys):
    """The market of the orders asked again, with a fourth stock that is listed and suspended throughout."""
    bars = {A: "10 11 11", B: "10 s s 10", C: "10 10 10 10 10 10 s 10"}
    run = flagship(market_of(bars, t600003=[3.0] * 5 + [0.99]), MANY)
    name = run.folder.name
    told = said_why(capsys, f"why {C} 2018-03-14")
    assert told[:2] == [
        f"run {name}, {C}",
        "2018-03-12: rank 3 of 3, score 0.99: turnover (turned over too little that day)",
    ]
    assert [line.split()[0] for line in told[2:11]] == list(NAMES)
    assert told[-3:] == [
        "order of 2018-03-12: sell 10000; 2018-03-13: nothing, suspended",
        "order of 2018-03-13: sell 10000; 2018-03-14: 10000 at 10, filled",
        "not held at the close of 2018-03-14",
    ]
    assert said_why(capsys, f"why {A} 2018-03-05 {name}")[-3:-1] == [
        "order of 2018-03-05: buy 10000; 2018-03-06: nothing, limit_up",
        "order of 2018-03-06: buy 10000; 2018-03-07: 9000 at 11, position_cap",
    ]
    assert "nothing is known of 2018-04-02" in said_why(capsys, f"why {A} 2018-04-02")[0]
    assert "'1.SH' is unknown" in said_why(capsys, "why 1.SH 2018-03-05")[0]
    assert "is no finished run" in said_why(capsys, f"why {A} 2018-03-05 none")[0]


def test_why_says_what_kept_a_stock_out_of_the_universe_and_what_a_stop_did(flagship, capsys):
    flagship(market_of({A: "10 10 9 8.99 8.09 s", B: "10"}), MANY)
    told = said_why(capsys, f"why {A} 2018-03-12")
    assert told[1] == (
        "2018-03-12: no member of the universe (listed True, traded False, risk_warned False, age 6.0, total_mv nan)"
    )
    assert said_why(capsys, f"why {A} 2018-03-05")[-2] == (
        "event of 2018-03-08: stop, below cost 10 (-0.101 against -0.1): sold until gone"
    )


def test_a_held_name_keeps_its_place(flagship):
    """Half of four have a place. In session 6 B falls from second to third: it keeps its place, and C has none."""
    d = "600004.SH"
    turnover = {"t600001": [9.0], "t600002": [8.0] * 5 + [6.0], "t600003": [7.0], "t600004": [5.0]}
    toml = MANY.replace("fraction = 1.0", "fraction = 0.5\nkeep_fraction = 0.75")
    run = flagship(market_of(dict.fromkeys((A, B, C, d), "10"), **turnover), toml)
    assert [reasons(run, code)[1] for code in (A, B, C, d)] == ["chosen", "kept", "no_place", "below_the_cut"]
    assert len(lines(run, B)) == 1
