"""A vendor for tests: a small market behind the local Tushare, and a clock that only sleeping moves."""

from __future__ import annotations

import datetime as dt
import random
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


FREE = {name: replace(terms, calls_per_minute=None) for name, terms in TERMS.items()}
"""Terms without limits of their own: tests make more calls a minute than the vendor likes."""


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


BUSY = "20180425"
"""A session on which something of every kind happens in the market of ``a_quarter``."""


def a_quarter(folder: Path, last: str = "20180427") -> Path:
    """Write a market of 40 stocks from March to April 2018 as it was on a day; everything agrees with everything.

    Prices move by whole fen within the limits. On the busy session one stock goes ex, one becomes ST, one is listed,
    one is suspended, one resumes, and the reports of the first quarter come out.
    """
    days = days_between("20180301", "20180427")
    market = Market(days)
    rng = random.Random(18)
    for n in range(40):
        _stock_of_a_quarter(market, f"6000{n:02d}.SH", n, rng)
    market.stock("600999.SH", name="退市股份", delisted="20150601")
    market.index([5000.0 + n for n in range(len(days))]).index([4000.0 + n for n in range(len(days))], "000300.SH")
    sessions = set(days_between("20180101", "20191231"))
    for day in _calendar_days("20180101", "20191231"):
        market.add("trade_cal", exchange="SSE", cal_date=day, is_open=int(day in sessions))
    return _until(market, last).write(folder)


def _stock_of_a_quarter(market: Market, code: str, n: int, rng: random.Random) -> None:
    listed, warned = BUSY if n == 39 else "20000104", n == 7
    name = f"甲{n:02d}股" if n != 8 else "*ST甲08"
    market.stock(code, name=f"ST甲{n:02d}" if warned else name, listed=listed)
    market.tables["namechange"][-1] |= {"name": name, "ann_date": listed}
    if warned:
        market.add("namechange", ts_code=code, name=f"ST甲{n:02d}", start_date=BUSY, ann_date="20180424")
    if n == 5:
        plan = {"end_date": "20171231", "ann_date": "20180330", "imp_ann_date": "20180418", "div_proc": "实施"}
        plan |= {"stk_div": 0, "cash_div_tax": 0.5, "record_date": "20180424", "ex_date": BUSY, "pay_date": BUSY}
        market.add("dividend", ts_code=code, **plan)
    away = {3: ("20180312", "20180316"), 11: (BUSY, "20180426"), 12: ("20180423", "20180424")}.get(n, ("", ""))
    close, adj = 1000 + 50 * n, 1.0 + n / 8
    for day in market.days:
        if day < listed:
            continue
        if away[0] <= day <= away[1]:
            market.add("suspend_d", ts_code=code, trade_date=day, suspend_type="S")
            continue
        pre = close
        if n == 5 and day == BUSY:  # 0.50 a share goes
            pre, adj = close - 50, adj * close / (close - 50)
        close = pre + rng.randrange(-20, 21)
        limit = 0.05 if (warned and day >= BUSY) or n == 8 else 0.1
        bounds = {"up": f"{pre * (1 + limit) / 100 + 1e-9:.2f}", "down": f"{pre * (1 - limit) / 100 + 1e-9:.2f}"}
        more = {
            "turnover": rng.randrange(1, 500) / 100,
            "total_mv": close * 1000.0,
            "lots": rng.randrange(10**4, 10**6),
        }
        open_ = pre + rng.randrange(-10, 11)
        market.bar(code, day, close / 100, open_ / 100, pre / 100, adj=adj, **bounds, **more)
        if (warned and day >= BUSY) or n == 8:
            market.add("stock_st", ts_code=code, trade_date=day)
    for period, announced in REPORTED:
        report = {"ts_code": code, "end_date": period, "ann_date": announced, "f_ann_date": announced}
        report |= {"report_type": "1", "comp_type": "1", "update_flag": "0"}
        growth = 1e7 * (n + 1) * (1 + int(period[:4]) - 2010)
        market.add("income", **report, revenue=9 * growth, oper_cost=5 * growth, n_income_attr_p=growth / 7)
        equity = {"total_assets": 80 * growth, "total_liab": 30 * growth, "total_hldr_eqy_exc_min_int": 50 * growth}
        market.add("balancesheet", **report, **equity)


REPORTED = [
    (f"{year}{end}", f"{year + (end == '1231')}{month}{day:02d}")
    for year in range(2015, 2019)
    for end, month, day in (("0331", "04", 25), ("0630", "08", 28), ("0930", "10", 26), ("1231", "04", 18))
    if f"{year + (end == '1231')}{month}" <= "201804"
]
"""Periods with the day their reports came out."""


def _calendar_days(first: str, last: str) -> list[str]:
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    return [f"{start + dt.timedelta(n):%Y%m%d}" for n in range((end - start).days + 1)]


def _until(market: Market, last: str) -> Market:
    """Leave out what the vendor had not yet on a day."""
    of_day = {"daily": "trade_date", "income": "f_ann_date", "balancesheet": "f_ann_date", "namechange": "start_date"}
    for name in ("adj_factor", "daily_basic", "stk_limit", "suspend_d", "stock_st", "index_daily"):
        of_day[name] = "trade_date"
    of_day |= {"dividend": "imp_ann_date", "stock_basic": "list_date"}
    market.days = [day for day in market.days if day <= last]
    for name, column in of_day.items():
        market.tables[name] = [row for row in market.tables[name] if str(row[column]) <= last]
    listed = {row["ts_code"] for row in market.tables["stock_basic"]}
    for name in ("income", "balancesheet"):
        market.tables[name] = [row for row in market.tables[name] if row["ts_code"] in listed]
    for row in market.tables["stock_basic"]:
        if row["ts_code"] == "600007.SH" and last < BUSY:
            row["name"] = "甲07股"
    return market
