"""A small market for paper accounts, a script that trades on it, and the commands as a person gives them."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import settings
from engine.cli.main import main
from engine.paper.account import folder_of
from engine.paper.journal import FILE
from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180314")
"""Monday to the Wednesday after: eight sessions."""
SESSIONS = [f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in DAYS]
LAST = "2018-03-14T18:00"
"""When the vendor's data of the last session are ready."""
A, B, C = "600000.SH", "000001.SZ", "600004.SH"
NAME = "mine"

SCRIPT = """
import datetime

import numpy as np
import pandas as pd
from zipline.api import get_datetime, order, record, symbol

from engine.report.runs import Decided

PLAN = {
    "20180305": [("600000.SH", 2000), ("000001.SZ", 1000)],
    "20180306": [("600004.SH", 300), ("600000.SH", 100)],
    "20180307": [("000001.SZ", -1000)],
    "20180308": [("600000.SH", -500), ("000001.SZ", 200)],
    "20180309": [("600000.SH", -300), ("600004.SH", 100)],
    "20180312": [("600000.SH", 100), ("000001.SZ", -400)],
    "20180313": [("600004.SH", -100), ("000001.SZ", 100)],
}


def initialize(context):
    context.sessions = 0
    context.bought = set()
    context.last = None
    context.prices = pd.Series(dtype=float)


def handle_data(context, data):
    day = f"{get_datetime():%Y%m%d}"
    context.sessions += 1
    context.last = datetime.date.fromisoformat(day)
    for code, shares in PLAN.get(day, []):
        asset = symbol(code)
        order(asset, shares)
        context.bought.add(code)
        context.prices[day] = data.current(asset, "price")
    record(sessions=context.sessions, worth=context.portfolio.portfolio_value)
    who = np.arange(2)
    context.ashare.models.scored[context.last] = who, np.full((2, 4), 0.25, dtype=np.float32)
    if context.sessions % 3 == 1:
        context._diary.decisions.append(Decided(context.last, who, who + 1, who / 2, np.array(["chosen"] * 2, object)))
"""
"""Buys, sells, remembers something of each kind, and leaves every file that a session can leave."""
TOML = """
[paper]
daily_loss = 0.01
[labels]
horizon = 2
"""
"""Stops the buys on the 12th; what was scored is read again three sessions later."""


def two_weeks() -> Market:
    """Return eight sessions of three stocks.

    A pays 0.30 CNY a share: record day Wednesday the 7th, ex on the 8th, paid on the 9th; it falls by its limit on
    Monday the 12th. B is suspended on the 8th and 9th. C opens at its upper limit on the 7th.
    """
    market = Market(DAYS)
    market.stock(A).bars(A, [10.0, 10.1, 10.2, 10.0, 10.1, 9.09, 9.2, 9.3])
    market.stock(B).bars(B, [20.0, 20.3, 20.1, None, None, 20.5, 20.2, 20.4])
    market.stock(C)
    opens, closes = (5, 5, 5.5, 5.4, 5.3, 5.2, 5.3, 5.4), (5, 5, 5.5, 5.3, 5.2, 5.3, 5.4, 5.5)
    for day, opened, close in zip(DAYS, opens, closes, strict=True):
        market.bar(C, day, close, opened)
    dividend(market, 0.3)
    return market.index([5000.0 + 10 * at for at in range(8)])


def dividend(market: Market, cash: float) -> Market:
    """Let A pay a dividend."""
    for row in market.tables["daily"]:
        if (row["ts_code"], row["trade_date"]) == (A, "20180308"):
            row["pre_close"] = round(10.2 - cash, 2)
    days = {"record_date": "20180307", "ex_date": "20180308", "pay_date": "20180309", "imp_ann_date": "20180302"}
    plan = {"end_date": "20171231", "ann_date": "20180301", "div_proc": "实施", "stk_div": 0, "cash_div_tax": cash}
    return market.add("dividend", ts_code=A, **plan, **days)


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a failure."""
        found = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(found) == 1, self.err
        assert "Traceback" not in self.err
        return found[0].removeprefix("Error: ")


def say(*words: str) -> Said:
    """Run ``ashare`` in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([*words])
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def run(*more: str, name: str = NAME, now: str = LAST) -> Said:
    """Give ``ashare paper run``."""
    return say("paper", "run", name, "--no-sync", "--now", now, *more)


def status(name: str = NAME) -> dict[str, Any]:
    """Return what ``ashare paper status --json`` says."""
    said = say("paper", "status", name, "--json")
    assert not said.code, said.err
    return dict(json.loads(said.out))


def make(script: str = SCRIPT, name: str = NAME, first: str | None = SESSIONS[0]) -> Path:
    """Make an account and return its folder."""
    path = Path("script.py")
    path.write_text(script, "utf-8")
    said = say("paper", "init", name, "-f", str(path), "--capital", "100000", *(["--first", first] if first else []))
    assert not said.code, said.err
    return folder(name)


def folder(name: str = NAME) -> Path:
    """Return the folder of an account."""
    return folder_of(settings.load().accounts, name)


def content(account: Path) -> dict[str, bytes]:
    """Return every file of an account but its lock, with what is in it."""
    return {
        str(path.relative_to(account)): path.read_bytes()
        for path in sorted(account.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def entries(account: Path, kind: str = "") -> list[dict[str, Any]]:
    """Return the lines of a journal, perhaps of one kind only."""
    found = [json.loads(line) for line in (account / FILE).read_bytes().splitlines()]
    return [entry for entry in found if entry["kind"] == (kind or entry["kind"])]
