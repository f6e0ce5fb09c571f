"""Paper trading as a person types it: an account from its first day on, orders traded by hand, messages, refusals."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundles.demo.server import LocalTushare
from engine import clock
from engine.host.audit import Audit
from tests import accounts
from tests.accounts import SESSIONS, A, B, content, entries, folder, run, say, status, two_weeks
from tests.conftest import ingest
from tests.receivers import Robot
from tests.vendor import FREE, TOKEN, a_quarter

BUYS = """
from zipline.api import get_datetime, order, symbol


def initialize(context):
    pass


def handle_data(context, data):
    day = f"{get_datetime():%Y%m%d}"
    if day == "20180305":
        order(symbol("600000.SH"), 2000, limit_price=10.20)
        order(symbol("000001.SZ"), 1000)
    if day == "20180306":
        order(symbol("600000.SH"), -1000)
"""
"""Buys two stocks after the first session, and sells one of them after the second."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the small market in lake and bundle; tests change only what lies beside them."""
    root = tmp_path_factory.mktemp("market")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_HOME", str(root / "home"))
        patch.setenv("ZIPLINE_ROOT", str(root / "zipline"))
        patch.chdir(root)
        (root / "home").mkdir()
        ingest(two_weeks(), root / "folder")
    return root


@pytest.fixture
def home(home: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home of the test's own over the small market."""
    home.mkdir()
    (home / "lake").symlink_to(market / "home" / "lake")
    monkeypatch.setenv("ZIPLINE_ROOT", str(market / "zipline"))
    return home


def init(*more: str, script: str = BUYS) -> Path:
    """Make the account ``mine`` with 100,000 CNY from the first session on."""
    Path("script.py").write_text(script)
    said = say("paper", "init", "mine", "-f", "script.py", "--capital", "100000", "--first", SESSIONS[0], *more)
    assert said == accounts.Said(0, f"account {folder()}. Next: ashare paper run mine\n", "")
    return folder()


def evening(at: int, *more: str) -> accounts.Said:
    """Run the sessions up to one."""
    return run("--until", SESSIONS[at], *more)


# --- an account from its first day on -----------------------------------------------------------------------------


def test_what_a_person_sees_of_the_first_days(home: Path) -> None:
    """2,000 A at the open of 10.10 cost 20,200.00, 5.05 and 0.40; 1,000 B at 20.30 cost 20,300.00, 5.08 and 0.41."""
    init()
    assert say("paper", "list").out.splitlines()[1].split() == ["mine", "script.py", "-", "100,000.00", "-"]
    said = evening(0)
    assert said.out == (
        "2018-03-05  net value 100,000.00, cash 100,000.00, 0 of 0 orders filled, 2 for the next session\n"
    )
    said = evening(1)
    cash = f"{100_000 - 20_200 - 5.05 - 0.40 - 20_300 - 5.08 - 0.41:,.2f}"
    net_value = f"{100_000 - 5.05 - 0.40 - 5.08 - 0.41:,.2f}"
    assert said.out == (
        f"2018-03-06  net value {net_value}, cash {cash}, 2 of 2 orders filled, 1 for the next session\n"
    )
    assert say("paper", "status", "mine").out.splitlines() == [
        "account     mine",
        "strategy    script.py",
        "capital     100,000.00",
        "sessions    2",
        "last        2018-03-06",
        f"net value   {net_value}",
        f"cash        {cash}",
        "holding    shares",
        "000001.SZ   1,000",
        "600000.SH   2,000",
        "order after 2018-03-06  side  shares",
        "600000.SH               sell   1,000",
    ]
    nothing = "nothing is due: the last session was 2018-03-06, the next is due on 2018-03-07 at 18:00\n"
    assert evening(1).out == nothing


def test_halt_and_resume(home: Path) -> None:
    init()
    assert (
        say("paper", "halt", "mine", "--why", "on holiday").out
        == "mine is halted (buys). Next: ashare paper resume mine\n"
    )
    assert "0 for the next session" in evening(0).out
    assert "halted      buys: on holiday (user)" in say("paper", "status", "mine").out
    assert say("paper", "list").out.splitlines()[1].split()[-1] == "buys"
    assert say("paper", "resume", "mine").out == "mine: lifted buys (user)\n"
    assert say("paper", "resume", "mine").out == "mine is not halted\n"


def test_tickets_lie_where_the_command_says(home: Path) -> None:
    init("--fills", "tickets")
    assert say("paper", "tickets", "mine").out == "no order of mine waits\n"
    evening(0)
    table, page = say("paper", "tickets", "mine").out.split()
    rows = list(csv.reader(Path(table).read_text("utf-8-sig").splitlines()))
    assert rows == [
        ["证券代码", "证券名称", "买卖方向", "委托价格", "委托数量", "备注"],
        ["600000", "", "买入", "10.20", "2000", "mine-20180305-600000.SH-B"],
        ["000001", "", "买入", "", "1000", "mine-20180305-000001.SZ-B"],
    ]
    assert "# Orders for 2018-03-06" in Path(page).read_text()
    say("paper", "tickets", "mine", "--suffix")
    assert "600000.SH" in Path(table).read_text("utf-8-sig").splitlines()[1].split(",")


COMMANDS = ["run", "status", "tickets", "halt", "resume", "check", "serve", "fills"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_account_nobody_made(home: Path, command: str) -> None:
    said = say("paper", command, "nobody", *(["--none"] if command == "fills" else []))
    assert said.code == 2
    assert said.line.startswith("there is no paper account nobody: ")
    assert said.line.endswith("Make one with `ashare paper init NAME -f STRATEGY`.")
    assert not folder("nobody").exists()


def test_each_evening_begins_with_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the data of a day are due nobody asks for them, whatever the hour; the vendor has them at noon already."""

    def at(moment: str, *words: str) -> accounts.Said:
        now = dt.datetime.fromisoformat(moment).replace(tzinfo=clock.SHANGHAI)
        monkeypatch.setattr(clock, "now", lambda: now)
        return say(*words)

    for name in [name for name in os.environ if name.startswith("ASHARE_")]:
        monkeypatch.delenv(name)
    vendor = LocalTushare(a_quarter(tmp_path / "vendor", "20180424"), TOKEN, terms=FREE, calls_per_minute=100_000)
    own = {"HOME": str(tmp_path / "home"), "TUSHARE_TOKEN": TOKEN, "TUSHARE__BASE_URL": vendor.url}
    own |= {"TUSHARE__ANSWERS": "1", "TUSHARE__POINTS": "5000", "TUSHARE__CALLS_PER_MINUTE": "100000"}
    for name, value in own.items():
        monkeypatch.setenv(f"ASHARE_{name}", value)
    monkeypatch.setenv("ZIPLINE_ROOT", str(tmp_path / "zipline"))
    monkeypatch.chdir(tmp_path)
    Path("script.py").write_text("def initialize(context): pass\n")
    with vendor:
        assert at("2018-04-20T18:00", "data", "sync", "--from", "2018-03-01", "--build").code == 0
        at("2018-04-20T19:00", "paper", "init", "mine", "-f", "script.py", "--first", "2018-04-23")
        ran = []
        for moment in ("2018-04-23T17:59", "2018-04-23T18:00", "2018-04-24T09:00", "2018-04-24T18:00"):
            said = at(moment, "paper", "run", "mine")
            assert said.code == 0, said.err
            newest = max(str(asked.get("trade_date", "")) for _, asked in vendor.asked)
            ran.append((newest, said.out.splitlines()[-1].partition("  ")[0]))
    assert ran == [
        ("20180420", "nothing is due: the account begins on 2018-04-23"),
        ("20180423", "2018-04-23"),
        ("20180423", "nothing is due: the last session was 2018-04-23, the next is due on 2018-04-24 at 18:00"),
        ("20180424", "2018-04-24"),
    ]


# --- traded by hand -----------------------------------------------------------------------------------------------

HEAD = "成交日期,证券代码,买卖标志,成交数量,成交价格,成交金额,佣金,印花税,过户费,成交编号\r\n"
PARTS = [
    "20180306,600000,买入,500,10.01,5005.00,5.00,0,0.10,1",
    "20180306,600000,买入,700,10.03,7021.00,0.00,0,0.14,2",
    "20180306,1,买入,1000,20.29,20290.00,5.07,0,0.41,3",
]
"""1,200 of 2,000 A in two trades, all of B."""
CASH = 100_000 - 5005 - 7021 - 20_290 - 5 - 0.10 - 0.14 - 5.07 - 0.41


def export(*rows: str, head: str = HEAD, encoding: str = "gbk") -> str:
    """Write a broker's export of trades as its client does, and return its name."""
    Path("trades.csv").write_bytes((head + "".join(f"{row}\r\n" for row in rows)).encode(encoding))
    return "trades.csv"


def holdings(**held: int) -> str:
    rows = [f"{code[1:]},{shares}" for code, shares in held.items()]
    Path("holdings.csv").write_text("\n".join(["证券代码,股票余额", *rows]) + "\n")
    return "holdings.csv"


@pytest.fixture
def by_hand(home: Path) -> Path:
    """Return an account whose orders people carry out, after its first session: two buys wait."""
    account = init("--fills", "tickets")
    assert not evening(0).code
    return account


def fills(*words: str) -> accounts.Said:
    return say("paper", "fills", "mine", *words)


def test_two_days_by_hand(by_hand: Path) -> None:
    """Nothing is run before somebody says what was traded; then what was traded is in the books, to the fen."""
    said = evening(1)
    assert said.code == 3
    assert said.line == (
        "the fills of 2018-03-06 are not known: 2 orders were left for it, and this account's orders are carried out "
        "by people. Run `ashare paper fills mine FILE`, or with --none if nothing was traded."
    )
    said = fills(export(*PARTS), "--positions", holdings(_600000=1200, _000001=1000), "--cash", f"{CASH:.2f}")
    assert said == accounts.Said(0, "3 fills of 2018-03-06. Next: ashare paper run mine\n", "")
    said = evening(1)
    assert (said.code, f"cash {CASH:,.2f}, 2 of 2 orders filled" in said.out) == (0, True)
    rows = {row["ts_code"]: row for row in entries(by_hand, "session")[1]["settled"]}
    assert (rows[A]["filled"], rows[A]["reason"], rows[A]["commission"]) == (1200, "limit_price", 5.00)
    assert rows[A]["price"] == pytest.approx(12_026 / 1200, abs=1e-12)
    assert (rows[B]["filled"], rows[B]["reason"], rows[B]["price"]) == (1000, "filled", 20.29)
    assert status()["holdings"] == {A: 1200, B: 1000}
    assert fills("--none").out == "0 fills of 2018-03-07. Next: ashare paper run mine\n"
    assert evening(2).code == 0
    (row,) = entries(by_hand, "session")[2]["settled"]
    assert (row["side"], row["filled"], row["reason"]) == ("sell", 0, "cancelled")
    assert status()["holdings"] == {A: 1200, B: 1000}


def test_fees_the_broker_does_not_give_are_computed(by_hand: Path) -> None:
    """1,000 B at 20.29: 20,290.00, commission of 0.025 % 5.07, transfer fee of 0.002 % 0.41."""
    head = "证券代码,买卖标志,成交数量,成交价格,成交日期\r\n"
    fills(export("000001,买入,1000,20.29,2018-03-06", head=head, encoding="utf-8"))
    assert evening(1).code == 0
    assert status()["cash"] == f"{100_000 - 20_290 - 5.07 - 0.41:,.2f}"


WRONG = [
    ("nothing named", [], "", 2, "there is nothing to import"),
    ("a stock nobody ordered", ["20180306,600004,买入,100,5.50,550.00,5.00,0,0.01,9"], "t", 3, "line 2 of trades.csv"),
    (
        "the other side",
        ["20180306,000001,卖出,100,20.00,2000.00,5.00,2.00,0.04,9"],
        "t",
        3,
        "no order to sell 000001.SZ",
    ),
    ("no A share", ["20180306,510050,买入,100,2.90,290.00,5.00,0,0,9"], "t", 3, "'510050' is no A share"),
    ("a sum that is none", ["20180306,000001,买入,100,20.00,2100.00,5.00,0,0.04,9"], "t", 3, "do not make 2100.00"),
    ("more than was asked", ["20180306,000001,买入,1100,20.00,22000.00,5.50,0,0.44,9"], "t", 6, "1100 shares traded"),
    ("beyond the limit", ["20180306,600000,买入,100,10.21,1021.00,5.00,0,0.02,9"], "t", 6, "the limit is 10.2"),
]


@pytest.mark.parametrize("case", WRONG, ids=[row[0] for row in WRONG])
def test_an_import_that_is_refused_changes_nothing(by_hand: Path, case: tuple[str, list[str], str, int, str]) -> None:
    _, rows, file, code, words = case
    before = content(by_hand)
    said = fills(*([export(*PARTS[:1], *rows) if words[:4] != "line" else export(*rows)] if file else []))
    assert (said.code, words in said.line) == (code, True), said.err
    assert content(by_hand) == before


def test_a_file_and_none_contradict_each_other(by_hand: Path) -> None:
    assert fills(export(*PARTS), "--none").code == 2


def test_yesterday_s_trades_are_no_trades_of_today(by_hand: Path) -> None:
    """A file in which no row is of the session says nothing about it."""
    said = fills(export(PARTS[0].replace("20180306", "20180305")))
    assert said.code == 3
    assert "2018-03-06" in said.line
    assert "--none" in said.line


def test_cash_that_differs_stops_the_run_until_it_is_corrected(by_hand: Path) -> None:
    """A trade was left out of the first export. The second takes its place; only one of the two is ever booked."""
    fills(export(*PARTS[:2]), "--cash", f"{CASH:.2f}")
    before = content(by_hand)
    said = evening(1)
    assert said.code == 6
    assert f"cash: the broker holds {CASH:,.2f} CNY, the ledger {CASH + 20_290 + 5.07 + 0.41:,.2f}" in said.line
    assert content(by_hand) == before
    fills(export(*PARTS), "--cash", f"{CASH:.2f}")
    assert evening(1).code == 0
    assert status()["cash"] == f"{CASH:,.2f}"
    kinds = [entry["kind"] for entry in entries(by_hand)]
    assert kinds == ["created", "session", "fills", "fills", "session"]


def test_shares_that_differ_stop_the_run(by_hand: Path) -> None:
    fills(export(*PARTS), "--positions", holdings(_600000=1200, _000001=900, _600004=100))
    said = evening(1)
    assert said.code == 6
    assert "position 000001.SZ: the broker holds 900, the ledger 1000" in said.line
    assert "position 600004.SH: the broker holds 100, the ledger 0" in said.line


def test_who_has_nothing_to_import_is_told(home: Path) -> None:
    init("--fills", "tickets")
    said = fills("--none")
    assert (said.code, said.line.startswith("no order of mine waits: ")) == (2, True)


def test_fills_of_an_account_that_needs_none(home: Path) -> None:
    init()
    evening(0)
    said = fills("--none")
    assert (said.code, said.line.startswith("the account mine needs no fills: ")) == (2, True)


# --- messages -----------------------------------------------------------------------------------------------------


@pytest.fixture
def robot() -> Iterator[Robot]:
    with Robot() as robot:
        yield robot


def titles(robot: Robot) -> list[str]:
    return [letter["title"] for _, letter in robot.asked]


def test_each_letter_comes_once(home: Path, robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the command again, or a process that died before it sent, sends nothing twice."""
    monkeypatch.setenv("ASHARE_MESSAGES", f"json://{robot.address}/")
    monkeypatch.setenv("ASHARE_MESSAGES__LANGUAGE", "en")
    init()
    evening(0)
    assert sorted(titles(robot)) == [
        "[ashare mine] 2018-03-05 net value 100,000.00 CNY +0.00%",
        "[ashare mine] 2018-03-05 orders for 2018-03-06: 0 to sell, 2 to buy",
    ]
    evening(0)
    evening(1)
    evening(1)
    said = titles(robot)
    assert len(said) == len(set(said)) == 5
    assert [title for title in said if "2 fills" in title]
    assert not list((folder() / "outbox").glob("0*.json"))


def test_a_dead_receiver_costs_its_timeout_and_gets_its_letters_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHARE_MESSAGES__TIMEOUT", "0.5")
    init()
    with Robot(pause=60) as hangs, Robot() as works:
        monkeypatch.setenv("ASHARE_MESSAGES", f"json://{hangs.address}/ json://{works.address}/")
        started = time.monotonic()
        said = evening(0)
        assert time.monotonic() - started < 20
        assert said.code == 0
        assert "message not delivered: json" in said.err
        assert len(titles(works)) == 2
        assert hangs.address not in said.err
    assert len(list((folder() / "outbox").glob("0*.json"))) == 2
    later = clock.now() + dt.timedelta(hours=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    with Robot() as again:
        monkeypatch.setenv("ASHARE_MESSAGES", f"json://{again.address}/")
        assert not evening(0).code
        assert len(titles(again)) == 2


def test_a_refusal_is_told_once_a_day(home: Path, robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle ends on the 14th; on the 15th there is nothing, however often somebody asks."""
    monkeypatch.setenv("ASHARE_MESSAGES", f"json://{robot.address}/")
    monkeypatch.setenv("ASHARE_MESSAGES__KINDS", json.dumps(["refusal"]))
    init()
    assert run().code == 0
    for _ in range(3):
        assert run(now="2018-03-15T18:10").code == 3
    assert titles(robot) == ["[ashare mine] 2018-03-15 已停止，需要处理"]
    assert run(now="2018-03-16T18:10").code == 3
    assert titles(robot)[1:] == ["[ashare mine] 2018-03-16 已停止，需要处理"]


# --- what stops an account ----------------------------------------------------------------------------------------


def test_two_books_that_differ_stop_it_until_somebody_has_looked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second book is made to forget the fees of a fill."""
    account = init()
    evening(0)
    with monkeypatch.context() as patch:
        charge = Audit.charge
        patch.setattr(Audit, "charge", lambda self, told: charge(self, {**told, "cost": 0.0}))
        said = evening(1)
    assert said.code == 4
    assert "cash" in said.line
    assert [entry["kind"] for entry in entries(account)] == ["created", "session", "halted"]
    said = evening(1)
    assert said.code == 5
    assert said.line.startswith("the account mine is halted: ")
    assert said.line.endswith("Look into it, then `ashare paper resume mine`.")
    assert say("paper", "resume", "mine").out == "mine: lifted all (books)\n"
    assert evening(1).code == 0


CANNOT_GO_ON = [
    ("    context.made = object()\n", "context.made cannot be kept from session to session", "object"),
    ("    context.by = {'how': lambda: 1}\n", "context.by['how'] cannot be kept from session to session", "function"),
    ("    global SEEN\n    SEEN = 1\n", "the script changed its global SEEN", "context.SEEN"),
    ("    LIST.append(1)\n", "the script changed its global LIST", "context.LIST"),
]


@pytest.mark.parametrize(("does", "what", "words"), CANNOT_GO_ON)
def test_a_script_that_could_not_be_carried_on(home: Path, does: str, what: str, words: str) -> None:
    """It is refused on the first session, by name, and leaves nothing."""
    script = f"SEEN, LIST = 0, []\ndef initialize(context): pass\ndef handle_data(context, data):\n{does}"
    account = init(script=script)
    before = content(account)
    said = evening(0)
    assert said.code == 2
    assert said.line.startswith(what)
    assert words in said.line
    assert content(account) == before


@pytest.mark.parametrize("words", [["list"], ["status", "mine"], ["check", "mine"], ["resume", "mine"]])
def test_looking_at_an_account_is_quick(home: Path, words: list[str]) -> None:
    """zipline, which takes seconds to load, is left alone."""
    init()
    code = f"""
import sys
from engine.cli.main import main
try:
    main(['paper', *{words!r}])
finally:
    print('zipline' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_an_account_that_begins_later(home: Path) -> None:
    Path("script.py").write_text(BUYS)
    say("paper", "init", "mine", "-f", "script.py", "--first", "2018-03-15")
    assert run().out == "nothing is due: the account begins on 2018-03-15\n"
    assert "last        -\n" in say("paper", "status", "mine").out
    assert status()["last"] is None
