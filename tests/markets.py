"""Small markets written by hand: Tushare-shaped CSV folders that a test can check with pencil and paper."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from engine.calendar import sessions

COLUMNS = {
    "stock_basic": "ts_code name industry market list_status list_date delist_date",
    "trade_cal": "exchange cal_date is_open",
    "daily": "ts_code trade_date open high low close pre_close vol amount",
    "adj_factor": "ts_code trade_date adj_factor",
    "daily_basic": "ts_code trade_date turnover_rate total_mv",
    "stk_limit": "ts_code trade_date up_limit down_limit",
    "suspend_d": "ts_code trade_date suspend_timing suspend_type",
    "namechange": "ts_code name start_date ann_date",
    "dividend": "ts_code end_date ann_date div_proc stk_div cash_div_tax record_date ex_date pay_date imp_ann_date",
    "income": "ts_code end_date ann_date f_ann_date report_type comp_type update_flag "
    "revenue oper_cost n_income_attr_p",
    "balancesheet": "ts_code end_date ann_date f_ann_date report_type comp_type update_flag "
    "total_assets total_liab total_hldr_eqy_exc_min_int",
    "index_daily": "ts_code trade_date open close",
    "stock_st": "ts_code trade_date",
}


def days_between(first: str, last: str) -> list[str]:
    """Return the sessions of a range as YYYYMMDD."""
    return [day for day in _sessions() if first <= day <= last]


@lru_cache(maxsize=1)
def _sessions() -> list[str]:
    return [str(day).replace("-", "") for day in sessions()]


@dataclass
class Market:
    """A market in the making; ``write`` turns it into a folder.

    A bar needs its close; open, limits and the rest follow from it unless they are given.
    """

    days: list[str]
    tables: dict[str, list[dict[str, object]]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    last: dict[str, float] = field(default_factory=dict)

    def stock(
        self, ts_code: str, name: str = "某某", listed: str = "20000104", delisted: str = "", **more: object
    ) -> Market:
        status = "D" if delisted else "L"
        self.add(
            "stock_basic",
            ts_code=ts_code,
            name=name,
            list_status=status,
            list_date=listed,
            delist_date=delisted,
            **more,
        )
        self.add("namechange", ts_code=ts_code, name=name, start_date=listed)
        return self

    def bar(
        self,
        ts_code: str,
        day: str,
        close: float,
        open: float | None = None,
        pre_close: float | None = None,
        lots: float = 1e6,
        adj: float = 1.0,
        up: float | str | None = "rule",
        down: float | str | None = "rule",
        turnover: float = 3.0,
        total_mv: float = 1_000_000.0,
    ) -> Market:
        open = close if open is None else open
        pre = pre_close if pre_close is not None else self.last.get(ts_code, open)
        self.last[ts_code] = close
        high, low = max(open, close), min(open, close)
        amount = lots * 100 * (high + low) / 2 / 1000
        key = {"ts_code": ts_code, "trade_date": day}
        self.add("daily", **key, open=open, high=high, low=low, close=close, pre_close=pre, vol=lots, amount=amount)
        self.add("adj_factor", **key, adj_factor=adj)
        self.add("daily_basic", **key, turnover_rate=turnover, total_mv=total_mv)
        up = f"{pre * 1.1 + 1e-9:.2f}" if up == "rule" else up
        down = f"{pre * 0.9 + 1e-9:.2f}" if down == "rule" else down
        self.add("stk_limit", **key, up_limit=up, down_limit=down)
        return self

    def bars(self, ts_code: str, closes: Iterable[float | None], **same: object) -> Market:
        """Add a bar a day; None is a suspended day."""
        for day, close in zip(self.days, closes, strict=True):
            if close is None:
                self.add("suspend_d", ts_code=ts_code, trade_date=day, suspend_type="S")
            else:
                self.bar(ts_code, day, close, **same)
        return self

    def index(self, closes: Iterable[float], ts_code: str = "000905.SH") -> Market:
        for day, close in zip(self.days, closes, strict=True):
            self.add("index_daily", ts_code=ts_code, trade_date=day, open=close, close=close)
        return self

    def add(self, endpoint: str, **row: object) -> Market:
        self.tables[endpoint].append(row)
        return self

    def holes(self) -> Iterator[tuple[object, str]]:
        """Yield the sessions a listed stock has neither a bar nor a suspension of."""
        told = {(row["ts_code"], row["trade_date"]) for name in ("daily", "suspend_d") for row in self.tables[name]}
        for stock in self.tables["stock_basic"]:
            code, first, last = stock["ts_code"], str(stock["list_date"]), str(stock["delist_date"] or "9999")
            yield from ((code, day) for day in self.days if first <= day < last and (code, day) not in told)

    def write(self, folder: Path) -> Path:
        """Write the tables; a listed stock without a bar was suspended."""
        silent = [{"ts_code": code, "trade_date": day, "suspend_type": "S"} for code, day in self.holes()]
        tables = self.tables | {"suspend_d": self.tables["suspend_d"] + silent}
        for name, columns in COLUMNS.items():
            path = folder / name / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, columns.split(), restval="")
                writer.writeheader()
                writer.writerows(
                    {key: "" if value is None else value for key, value in row.items()} for row in tables[name]
                )
        return folder


def five_sessions() -> Market:
    """Return a market of five sessions: one calm stock, and an index that stands still."""
    market = Market(days_between("20180305", "20180309"))
    market.stock("600000.SH").bars("600000.SH", [10.0, 10.1, 10.2, 10.3, 10.4])
    return market.index([5000.0] * 5)
