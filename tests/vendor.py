"""A vendor for tests: a small market behind the local Tushare, and a clock that only sleeping moves."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from bundles.demo.server import LocalTushare
from bundles.tushare.caps import TERMS
from bundles.tushare.client import Client
from tests.markets import Market, days_between

TOKEN = "canary0123456789abcdef0123456789abcdef0123456789abcdef"
DAILY = ("ts_code", "trade_date", "open", "high", "low", "close", "pre_close", "vol", "amount")
SMALL = {**TERMS, "daily": replace(TERMS["daily"], cap=30), "stk_limit": replace(TERMS["stk_limit"], cap=30)}
"""Terms with small pages, so that a small market needs several."""


@dataclass
class Time:
    """A clock that stands still but for sleep; what was slept is kept."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds
            self.slept.append(seconds)


def forty_stocks(folder: Path) -> Path:
    """Write a market of 40 listed stocks and a delisted one over four sessions, with reports and a dividend."""
    market = Market(days_between("20180305", "20180308"))
    for n in range(40):
        code = f"6000{n:02d}.SH"
        market.stock(code)
        for day, close in zip(market.days, [10 + n / 100, 10.1, 10.2 + n / 100, 10.05], strict=True):
            market.bar(code, day, close, adj=(1.0 + n / 7) * (1.0 if day == "20180305" else 1.01))
        report = {"ts_code": code, "end_date": "20171231", "ann_date": "20180306", "f_ann_date": "20180306"}
        report |= {"report_type": "1", "comp_type": "1", "update_flag": "0"}
        market.add("income", **report, revenue=1e10 / 3 + n, oper_cost=5e9, n_income_attr_p=1e8 / 7)
    market.stock("600999.SH", delisted="20180101")
    market.add("dividend", ts_code="600000.SH", end_date="20171231", div_proc="实施", stk_div=0, cash_div_tax=0.1)
    return market.index([5000.0, 5001.5, 5002.25, 5003.125]).write(folder)


def client_of(server: LocalTushare, time: Time | None = None, **more: object) -> Client:
    """Return a client of a server, in a time of its own."""
    time = time or Time()
    settings = {"timeout": 0.5, "terms": server.terms, "clock": time.clock, "sleep": time.sleep}
    return Client(SecretStr(TOKEN), server.url, **{**settings, **more})
