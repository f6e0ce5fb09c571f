"""Halts, the daily loss limit, missed sessions and repairs of an account, each worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import accounts
from tests.accounts import DAYS, SCRIPT, SESSIONS, A, B, content, entries, run, say, status, two_weeks
from tests.conftest import ingest
from tests.markets import Market, days_between


@pytest.fixture
def account(home: Path, tmp_path: Path) -> Path:
    """Return a new account over the small market."""
    home.mkdir()
    ingest(two_weeks(), tmp_path / "market")
    return accounts.make()


def settled(folder: Path) -> list[tuple[str, int, str]]:
    """Return id, fill and reason of every order of an account, in order."""
    rows = [row for entry in entries(folder, "session") for row in entry["settled"]]
    return [(row["order_id"], row["filled"], row["reason"]) for row in rows]


def halt(*more: str) -> None:
    said = say("paper", "halt", "mine", *more)
    assert not said.code, said.err


BEFORE = [("20180305-600000.SH-B", 2000, "filled"), ("20180305-000001.SZ-B", 1000, "filled")]
"""The orders that wait when the account is halted after the first close: they are settled."""


def test_halted_buys(account: Path) -> None:
    """What waits settles; then each buy of the script is refused as it is placed, and the sells go on."""
    run("--until", SESSIONS[0])
    halt("--why", "holiday")
    assert run().code == 0
    assert settled(account) == [
        *BEFORE,
        ("20180306-600004.SH-B", 0, "halted"),
        ("20180306-600000.SH-B", 0, "halted"),
        ("20180307-000001.SZ-S", 0, "suspended"),
        ("20180308-000001.SZ-B", 0, "halted"),  # placed at the close, after what settled that morning
        ("20180308-600000.SH-S", 500, "filled"),
        ("20180309-600004.SH-B", 0, "halted"),
        ("20180309-600000.SH-S", 0, "limit_down"),
        ("20180312-600000.SH-B", 0, "halted"),
        ("20180312-000001.SZ-S", 400, "filled"),
        ("20180313-000001.SZ-B", 0, "halted"),
        ("20180313-600004.SH-S", 0, "not_sellable"),  # its buy was refused
    ]
    assert status()["halts"] == [{"what": "buys", "cause": "user", "why": "holiday"}]
    assert "halted      buys: holiday (user)" in say("paper", "status", "mine").out
    assert "buys" in say("paper", "list").out


def test_everything_halted(account: Path) -> None:
    """Orders that wait were given before: they settle, buys and sells. After that none is taken."""
    run("--until", SESSIONS[3])  # the sale of A and a buy of B wait
    halt("--all")
    assert run().code == 0
    told = settled(account)
    assert [row for row in told if row[2] == "halted"] == [
        ("20180309-600000.SH-S", 0, "halted"),
        ("20180309-600004.SH-B", 0, "halted"),
        ("20180312-600000.SH-B", 0, "halted"),
        ("20180312-000001.SZ-S", 0, "halted"),
        ("20180313-600004.SH-S", 0, "halted"),
        ("20180313-000001.SZ-B", 0, "halted"),
    ]
    assert [row for row in told if row[0].startswith("20180308")] == [
        ("20180308-600000.SH-S", 500, "filled"),
        ("20180308-000001.SZ-B", 0, "suspended"),
    ]
    assert status()["holdings"] == {A: 2000 + 100 - 500, B: 1000}


def test_a_halt_is_lifted(account: Path) -> None:
    """Buys of Tuesday to Thursday are refused, those from Friday on are not."""
    run("--until", SESSIONS[0])
    halt()
    run("--until", SESSIONS[3])
    said = say("paper", "resume", "mine")
    assert said.out == "mine: lifted buys (user)\n"
    assert say("paper", "resume", "mine").out == "mine is not halted\n"
    assert status()["halts"] == []
    assert run().code == 0
    halted = [row[0] for row in settled(account) if row[2] == "halted"]
    assert halted == ["20180306-600004.SH-B", "20180306-600000.SH-B", "20180308-000001.SZ-B"]
    assert ("20180309-600004.SH-B", 100, "filled") in settled(account)


def test_two_halts_are_lifted_together(account: Path) -> None:
    halt()
    halt("--all", "--why", "storm")
    assert [one["what"] for one in status()["halts"]] == ["buys", "all"]
    assert say("paper", "resume", "mine").out == "mine: lifted buys (user), all (user)\n"


LOSING = """
from zipline.api import get_datetime, order, symbol


def initialize(context):
    pass


def handle_data(context, data):
    day = f"{get_datetime():%Y%m%d}"
    if day == "20180305":
        order(symbol("600000.SH"), 1000)
    if day >= "20180307":
        order(symbol("600000.SH"), 100)
        order(symbol("600000.SH"), -100)
"""
CAPITAL = "100005.20"
"""1,000 shares at 10.00 cost 5.00 commission and 0.20 transfer fee: the account is worth 100,000.00 after its buy."""
LIMIT = "[paper]\ndaily_loss = 0.005\n"
"""500.00 of it: 9.50 a share is the limit."""


def losing(home: Path, tmp_path: Path, closes: list[float]) -> Path:
    """Return an account that buys at 10.00 on the second session, with a limit of half a per cent a session."""
    home.mkdir()
    (home / "ashare.toml").write_text(LIMIT)
    market = Market(DAYS[: len(closes)])
    market.stock(A).bars(A, closes).index([5000.0] * len(closes))
    ingest(market, tmp_path / "market")
    Path("script.py").write_text(LOSING)
    words = ("paper", "init", "mine", "-f", "script.py", "--capital", CAPITAL, "--first", SESSIONS[0])
    assert not say(*words).code
    return accounts.folder()


@pytest.mark.parametrize(("close", "halted"), [(9.51, False), (9.50, False), (9.49, True)])
def test_the_daily_loss_limit(home: Path, tmp_path: Path, close: float, halted: bool) -> None:
    """A loss of exactly the limit does not stop the buys; one of a fen a share more does, at that very close."""
    folder = losing(home, tmp_path, [9.98, 10.0, close, 9.60])
    assert run(now=f"{SESSIONS[3]}T18:00").code == 0
    third, fourth = entries(folder, "session")[2:]
    assert third["net_value"] == 10_000_000 - round((10 - close) * 100_000)
    assert bool(third["halts"]) == bool(third["events"]) == halted
    assert [row["reason"] for row in third["settled"]] == ["halted"] * halted
    assert [order["side"] for order in third["orders"]] == ["buy"] * (not halted) + ["sell"]
    assert [row["reason"] for row in fourth["settled"]].count("halted") == halted  # it lasts
    if halted:
        (event,) = third["events"]
        assert (event["rule"], event["value"], event["threshold"]) == ("daily_loss", -0.0051, -0.005)
        assert event["effect"] == "no buys until somebody resumes"
        why = "the session lost 0.51%, more than 0.50%"
        assert status()["halts"] == [{"what": "buys", "cause": "daily_loss", "why": why}]


def test_the_loss_is_of_one_session(home: Path, tmp_path: Path) -> None:
    """Two losses of 0.4 % are none of 0.5 %; a rise before does not count either."""
    folder = losing(home, tmp_path, [9.98, 10.0, 9.6, 9.2, 9.9, 9.42])
    assert run(now=f"{SESSIONS[5]}T18:00").code == 0
    assert not any(entry["halts"] for entry in entries(folder, "session"))


def test_a_daily_loss_lasts_over_restarts_until_it_is_lifted(home: Path, tmp_path: Path) -> None:
    folder = losing(home, tmp_path, [9.98, 10.0, 9.4, 9.5, 9.6, 9.7])
    for session in SESSIONS[:5]:
        assert run("--until", session, now=f"{SESSIONS[5]}T18:00").code == 0
    assert [len(entry["halts"]) for entry in entries(folder, "session")] == [0, 0, 1, 0, 0]
    halted = [order_id for order_id, _, reason in settled(folder) if reason == "halted"]
    assert halted == ["20180307-600000.SH-B", "20180308-600000.SH-B", "20180309-600000.SH-B"]
    assert say("paper", "resume", "mine").out == "mine: lifted buys (daily_loss)\n"
    assert run(now=f"{SESSIONS[5]}T18:00").code == 0
    assert [order["side"] for order in entries(folder)[-1]["orders"]] == ["buy", "sell"]


def test_going_ex_is_no_loss(home: Path, tmp_path: Path) -> None:
    """On the 8th A falls from 10.20 to 10.00 and earns 0.30, paid on the 9th: 2,100 shares gain 210.00.

    2,100 times 0.20 would be 0.42 % of the account. On the 12th A falls by its limit: 1,600 times 1.01, less 1,000
    times the 0.40 that B rises, are 1.2 %. On the 13th A gains 0.11 and B loses 0.30: 0.12 %.
    """
    home.mkdir()
    (home / "ashare.toml").write_text("[paper]\ndaily_loss = 0.004\n")
    ingest(two_weeks(), tmp_path / "market")
    folder = accounts.make()
    assert run().code == 0
    assert [entry["session"] for entry in entries(folder, "session") if entry["halts"]] == ["2018-03-12"]


def test_missed_sessions_are_caught_up_in_order(account: Path) -> None:
    """Eight evenings, or one: the journal and the files are the same."""
    for session in SESSIONS:
        assert run("--until", session).code == 0
    by_day = content(account)
    account.rename(account.with_name("by_day"))
    folder = accounts.make()
    said = run()
    assert [line[:10] for line in said.out.splitlines()] == SESSIONS
    assert content(folder) == by_day


def test_a_second_run_does_nothing(account: Path) -> None:
    run()
    before = content(account)
    nothing = f"nothing is due: the last session was {SESSIONS[-1]}, the next is due on 2018-03-15 at 18:00\n"
    assert run().out == nothing
    assert run("--until", SESSIONS[2]).out == nothing
    assert content(account) == before


def test_an_account_without_a_first_session_begins_with_the_newest(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    ingest(two_weeks(), tmp_path / "market")
    folder = accounts.make(first=None)
    assert run().code == 0
    assert [entry["session"] for entry in entries(folder, "session")] == SESSIONS[-1:]


def test_the_vendor_s_repairs_are_told_once(home: Path, tmp_path: Path) -> None:
    """A close, and a dividend that nobody knew; what was decided and booked stands."""
    home.mkdir()
    market = two_weeks()
    (plan,) = market.tables["dividend"]
    market.tables["dividend"].clear()
    ingest(market, tmp_path / "market")
    folder = accounts.make()
    run("--until", SESSIONS[5])
    before = entries(folder)
    row = next(row for row in market.tables["daily"] if (row["ts_code"], row["trade_date"]) == (A, DAYS[4]))
    row |= {"close": 10.12, "high": 10.12}
    market.tables["dividend"].append(plan)
    ingest(market, tmp_path / "again")
    said = [run("--until", session) for session in SESSIONS[6:]]
    assert [one.code for one in said] == [0, 0]
    assert [line.count("corrected since, what was booked stands: ") for line in (one.err for one in said)] == [2, 0]
    after = entries(folder)
    assert after[: len(before)] == before
    assert [entry["kind"] for entry in after[len(before) :]] == ["repaired", "session", "session"]
    assert after[len(before)]["found"] == [
        f"{SESSIONS[3]} {A}: it did not go ex, the vendor now says it went ex with 0.3 CNY and 0 new shares a share",
        f"{SESSIONS[4]} {A}: close was 10.1, the vendor now says 10.12",
    ]
    row |= {"close": 10.13, "high": 10.13}
    ingest(market, tmp_path / "again")
    assert run().code == 0
    assert entries(folder) == after  # nothing was due: the past is looked at when a session is run


@pytest.mark.parametrize(
    ("change", "now"),
    [
        ({"cash_div_tax": 0.35}, "it went ex with 0.35 CNY and 0 new shares a share"),
        ({"stk_div": 0.1}, "it went ex with 0.3 CNY and 0.1 new shares a share"),
        ({"ex_date": "20180309"}, "it did not go ex"),
    ],
)
def test_a_dividend_that_was_booked_is_repaired(home: Path, tmp_path: Path, change: dict[str, Any], now: str) -> None:
    home.mkdir()
    market = two_weeks()
    ingest(market, tmp_path / "market")
    folder = accounts.make()
    run("--until", SESSIONS[5])
    market.tables["dividend"][0] |= change
    ingest(market, tmp_path / "again")
    assert run().code == 0
    (repaired,) = entries(folder, "repaired")
    was = "it went ex with 0.3 CNY and 0 new shares a share"
    assert repaired["found"][0] == f"{SESSIONS[3]} {A}: {was}, the vendor now says {now}"
    assert len(repaired["found"]) == (2 if "ex_date" in change else 1)


def test_a_bundle_that_does_not_reach_the_past(home: Path, tmp_path: Path) -> None:
    """Of sessions that it does not hold nothing is known, so nothing is told; the next is refused in one line."""
    home.mkdir()
    ingest(two_weeks(), tmp_path / "market")
    folder = accounts.make()
    run("--until", SESSIONS[5])
    (tmp_path / "zipline").rename(tmp_path / "gone")
    (home / "lake").rename(home / "gone")
    short = Market(days_between("20180305", "20180307"))
    short.stock(A).bars(A, [10.0, 10.1, 10.2]).index([5000.0] * 3)
    ingest(short, tmp_path / "short")
    said = run()
    assert (said.code, said.line.startswith(f"there are no data of {SESSIONS[6]}")) == (3, True)
    (repaired,) = entries(folder, "repaired")
    assert repaired["found"] == [f"{day} {B}: the vendor no longer knows the stock" for day in SESSIONS[1:3]] + [
        f"{SESSIONS[2]} 600004.SH: the vendor no longer knows the stock"
    ]


@pytest.mark.parametrize("becomes", [None, "raise SystemExit(1)\n"])
def test_the_script_s_copy_is_what_counts(account: Path, becomes: str | None) -> None:
    run("--until", SESSIONS[2])
    if becomes is None:
        Path("script.py").unlink()
    else:
        Path("script.py").write_text(becomes)
    assert run().code == 0
    assert (account / "strategy.py").read_text() == SCRIPT
    assert len(settled(account)) == 13
