"""A year of journal is read back in two seconds, and an account can go on for years in one process without growing."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine.calendar import sessions
from engine.paper.account import Account, create, folder_of
from engine.paper.facts import event_to_json
from engine.paper.journal import Journal
from engine.portfolio.book import Event, ExDividend, Filled, Opened
from engine.settings import load
from engine.types import Side
from tests import accounts
from tests.conftest import ingest
from tests.markets import Market, days_between

STOCKS, TRADED, SESSIONS = 100, 20, 250
SECONDS = 2.0


def a_year(journal: Journal, days: list[dt.date]) -> int:
    """Write sessions of an account that holds a hundred names and turns twenty over each day; return its shares."""
    codes = [f"{600000 + at}.SH" for at in range(STOCKS)]
    held: dict[str, int] = {}
    for at, day in enumerate(days):
        book: list[Event] = [Opened(day)]
        names = codes if not at else [codes[(at * TRADED + k) % STOCKS] for k in range(TRADED)]
        for number, code in enumerate(names):
            sells, shares = bool(at) and number % 2 == 0, 300 if at else 50_000
            side = Side.SELL if sells else Side.BUY
            book.append(Filled(code, side, shares, shares * 1001, 551))
            held[code] = held.get(code, 0) + (-shares if sells else shares)
        if at % 2:
            tenth = Fraction(1, 10)
            book.append(ExDividend(names[0], day - dt.timedelta(1), day, tenth, tenth, Fraction(0)))
        settled = [
            {
                "order_id": f"{day:%Y%m%d}-{code}-B",
                "decided": str(day),
                "session": str(day),
                "ts_code": code,
                "side": "buy",
                "requested": 300,
                "filled": 300,
                "price": 10.01,
                "commission": 5.0,
                "stamp_duty": 0.0,
                "transfer_fee": 0.06,
                "reason": "filled",
            }
            for code in names
        ]
        orders = [
            {"order_id": row["order_id"], "ts_code": row["ts_code"], "side": "buy", "shares": 300, "limit": None}
            for row in settled
        ]
        facts: dict[str, Any] = {
            "session": str(day),
            "data_id": "0123456789abcdef-3",
            "settled": settled,
            "book": [event_to_json(event) for event in book],
            "cash": 10**9,
            "net_value": 2 * 10**9,
            "positions": dict(held),
            "marks": {code: [1001, 1003] for code in held},
            "orders": orders,
            "events": [],
            "halts": [],
            "models": ["2018-03-0123456789"],
            "recorded": {"worth": 1.0},
            "files": dict.fromkeys(("state.json", "scores.parquet", "decisions.parquet"), "0" * 64),
        }
        journal.append("session", facts)
    return sum(held.values())


def test_a_year_of_journal_is_folded_in_two_seconds(home: Path) -> None:
    script = Path("script.py")
    script.write_text(accounts.SCRIPT)
    folder = folder_of(load().accounts, "year")
    create(folder, script, 10**10, load(), None, "simulated")
    journal = Journal(folder)
    days = [day.item() for day in sessions() if str(day) >= "2018-01-02"][:SESSIONS]
    shares = a_year(journal, days)
    size = (folder / "journal.jsonl").stat().st_size
    assert size / SESSIONS > 10_000  # as large as a line of such an account is
    for reading in (True, False):
        started = time.process_time()
        account = Account(folder, reading)
        assert time.process_time() - started < SECONDS
    assert len(account.now.sessions) == SESSIONS
    assert sum(account.now.book.positions().values()) == shares


GROWTH = """
import datetime as dt
import gc
import json
import sys
from pathlib import Path

import psutil

from engine.clock import SHANGHAI
from engine.host.registration import install
from engine.panels.bundle import open_bundle
from engine.paper import cycle
from engine.paper.account import Account

install()
account, bundle = Account(Path(sys.argv[1])), open_bundle()
process, told = psutil.Process(), []
now = dt.datetime(2021, 1, 1, 18, tzinfo=SHANGHAI)
for count, entry in enumerate(cycle.run(account, bundle, now, dt.date.fromisoformat(sys.argv[2])), start=1):
    if count % 50 == 0:
        gc.collect()
        told.append((count, process.memory_info().rss, process.num_fds()))
print(json.dumps(told))
"""


@pytest.mark.slow
def test_memory_stays_flat_over_years(home: Path, tmp_path: Path) -> None:
    """500 sessions in one process; the first 100 fill what is kept on purpose."""
    home.mkdir()
    days = days_between("20180305", "20200430")
    assert len(days) > 500
    market = Market(days)
    for at, code in enumerate((accounts.A, accounts.B, accounts.C)):
        market.stock(code).bars(code, [10 + at + (k * (at + 3)) % 17 / 100 for k in range(len(days))])
    ingest(market.index([5000.0 + k for k in range(len(days))]), tmp_path / "market")
    folder = accounts.make(GOES_ON)
    command = [sys.executable, "-c", GROWTH, str(folder), f"{days[499][:4]}-{days[499][4:6]}-{days[499][6:]}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    told = json.loads(done.stdout)
    print(told)
    assert told[-1][0] == 500
    warm, last = told[1], told[-1]
    assert last[1] < 1.05 * warm[1], told
    assert last[2] == warm[2], told


GOES_ON = """
from zipline.api import attach_pipeline, get_datetime, order, pipeline_output, symbol
from zipline.pipeline import Pipeline

from engine.pipeline.datasets import Daily


def initialize(context):
    context.sessions = 0
    attach_pipeline(Pipeline({"turnover": Daily.turnover_rate.latest}), "table")


def handle_data(context, data):
    context.sessions += 1
    pipeline_output("table")
    data.history([symbol("600000.SH")], "close", min(context.sessions, 20), "1d")
    side = 1 if context.sessions % 2 else -1
    for code in ("600000.SH", "000001.SZ"):
        order(symbol(code), 100 * side)
"""
"""Trades each session, and asks zipline for everything it keeps in memory."""
