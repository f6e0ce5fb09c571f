"""Cases that a test can check with pencil and paper: one stock, its bars, its orders, and how each order ends.

The cases of a group share one market, so that one run of the stock command answers all of them. Sessions are
counted from 1; an order decided in session n meets the bar of session n + 1.
"""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import Run, ingest
from tests.markets import COLUMNS, Market, days_between

AUDIT = "true"
"""Whether the second book checks the runs."""
ANCHOR = "601988.SH"
"""A stock of no case that trades in every session, so that every session is one of the bundle."""


@dataclass(frozen=True)
class Case:
    """One stock and what becomes of its orders.

    ``bars`` has a word a session, the last one repeated: ``10`` (one price), ``10/11`` (open, close),
    ``11/11/10.8/11`` (open, high, low, close), ``s`` (suspended), ``.`` (nothing). ``plan`` gives, by the session of
    the decision, signed shares, or ``(shares, style, price)``, or a list of these. ``expected`` has a line an
    order, or such lines by the variant of the group's settings.
    """

    code: str
    what: str
    bars: str
    plan: dict[int, Any]
    expected: Any
    name: str = "某某"
    names: dict[int, str] = field(default_factory=dict)
    listed: int = 0
    delisted: int = 0
    pre: dict[int, float] = field(default_factory=dict)
    factor: dict[int, float] = field(default_factory=dict)
    limits: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    lots: float = 1e6
    rows: tuple[tuple[str, dict[str, Any]], ...] = ()

    def lines(self, variant: str) -> list[str]:
        return self.expected[variant] if isinstance(self.expected, dict) else self.expected


@dataclass(frozen=True)
class Group:
    """Cases of the same sessions. ``variants`` are lines of settings, or of ``initialize``, by their name."""

    first: str
    last: str
    cases: list[Case]
    capital: float = 1e9
    recorded: bool = False
    fees: bool = False
    variants: dict[str, str] = field(default_factory=lambda: {"": ""})
    setups: dict[str, str] = field(default_factory=dict)

    @property
    def days(self) -> list[str]:
        return days_between(self.first, self.last)

    def names(self) -> list[str]:
        return [*self.variants, *self.setups]

    def market(self) -> tuple[Market, dict[str, list[dict[str, Any]]]]:
        """Return the market, and the rows of further endpoints."""
        days, more = self.days, {}
        market = Market(days).index([5000.0] * len(days))
        market.stock(ANCHOR).bars(ANCHOR, [4.0] * len(days))
        for case in self.cases:
            _add(market, case)
            for endpoint, row in case.rows:
                dated = {k: days[v - 1] if k.endswith("_date") and isinstance(v, int) else v for k, v in row.items()}
                where = market.tables[endpoint] if endpoint in COLUMNS else more.setdefault(endpoint, [])
                where.append({"ts_code": case.code, **dated})
        if not self.recorded:
            market.tables["stk_limit"].clear()
        return market, more


def _add(market: Market, case: Case) -> None:
    days = market.days
    listed = days[case.listed - 1] if case.listed else "20000104"
    market.stock(case.code, case.name, listed, days[case.delisted - 1] if case.delisted else "")
    for session, name in case.names.items():
        market.add("namechange", ts_code=case.code, name=name, start_date=days[session - 1])
    words, factor = case.bars.split(), 1.0
    for session, day in enumerate(days, 1):
        word, factor = words[min(session, len(words)) - 1], case.factor.get(session, factor)
        if word == "s":
            market.add("suspend_d", ts_code=case.code, trade_date=day, suspend_type="S")
        elif word != ".":
            prices = [float(price) for price in word.split("/")]
            market.bar(case.code, day, prices[-1], prices[0], case.pre.get(session), case.lots, factor)
            if len(prices) == 4:
                _, high, low, _ = prices
                amount = case.lots * 100 * (high + low) / 2 / 1000
                market.tables["daily"][-1] |= {"high": high, "low": low, "amount": amount}
            if session in case.limits:
                up, down = case.limits[session]
                market.tables["stk_limit"][-1] |= {"up_limit": up, "down_limit": down}


SCRIPT = """
import json
from pathlib import Path

from zipline.api import cancel_order, order, set_commission, set_slippage
from zipline.finance import commission, slippage
from zipline.finance.execution import LimitOrder, StopLimitOrder, StopOrder

PLAN = json.loads(Path("plan.json").read_text())
STYLES = {{
    "limit": LimitOrder,
    "stop": StopOrder,
    "stop_limit": lambda price: StopLimitOrder(price, price),
}}

def initialize(context):
    context.session = 0
    {setup}

def handle_data(context, data):
    context.session += 1
    for code, shares, style, price in PLAN.get(str(context.session), []):
        asset = context.asset_finder.lookup_symbol(code, None)
        style_of = dict(style=STYLES[style](price)) if style in STYLES else {{}}
        placed = order(asset, shares, **style_of)
        if style == "cancel":
            cancel_order(placed)
"""


def plan_of(group: Group) -> dict[int, list[Any]]:
    """Return the orders of all cases by session, in the order of the cases."""
    plan: dict[int, list[Any]] = {}
    for case in group.cases:
        for session, wishes in case.plan.items():
            for wish in wishes if isinstance(wishes, list) else [wishes]:
                shares, style, price = wish if isinstance(wish, tuple) else (wish, "", 0.0)
                plan.setdefault(session, []).append((case.code, shares, style, price))
    return plan


class Runner:
    """Runs each group and variant once, through zipline's own command."""

    def __init__(self, folder: Path, groups: dict[str, Group]) -> None:
        self.folder, self.groups = folder, groups
        self._runs: dict[tuple[str, str], Run] = {}

    def run(self, name: str, variant: str) -> Run:
        if (name, variant) not in self._runs:
            self._runs[name, variant] = self._run(name, variant)
        return self._runs[name, variant]

    def _run(self, name: str, variant: str) -> Run:
        from engine.cli.backtest import run as run_script

        group, folder = self.groups[name], self.folder / name
        home, work = folder / "home", folder / "work"
        setup = group.setups.get(variant, "pass")
        own = group.variants.get(variant, "")
        audit = "false" if "round_fees = false" in own else AUDIT  # the second book counts in whole fen
        settings = f"report.tearsheet = false\n[execution]\naudit = {audit}\n{own}\n"
        with pytest.MonkeyPatch.context() as patch:
            for key in [key for key in os.environ if key.startswith("ASHARE_")]:
                patch.delenv(key)
            patch.setenv("ASHARE_HOME", str(home))
            patch.setenv("ZIPLINE_ROOT", str(folder / "zipline"))
            fresh = not folder.exists()
            for path in (home, work):
                path.mkdir(parents=True, exist_ok=True)
            patch.chdir(work)
            (home / "ashare.toml").write_text(settings, "utf-8")
            if fresh:
                self._ingest(group, folder / "market")
            (work / "plan.json").write_text(json.dumps(plan_of(group)), "utf-8")
            (work / "script.py").write_text(SCRIPT.format(setup=setup), "utf-8")
            days = group.days
            return Run(run_script(work / "script.py", days[0], days[-1], capital=group.capital))

    @staticmethod
    def _ingest(group: Group, folder: Path) -> None:
        market, more = group.market()
        folder.mkdir()
        for endpoint, rows in more.items():
            with (folder / f"{endpoint}.csv").open("w", newline="", encoding="utf-8") as handle:
                writer = csv.DictWriter(handle, list(dict.fromkeys(key for row in rows for key in row)), restval="")
                writer.writeheader()
                writer.writerows(rows)
        ingest(market, folder)


def lines_of(run: Run, code: str, fees: bool) -> list[str]:
    """Return the orders of one stock as the cases write them."""
    return [_line(row, fees) for row in run.orders.filter(pl.col("ts_code") == code).iter_rows(named=True)]


def _line(row: dict[str, Any], fees: bool) -> str:
    price = f" at {row['price']:.8g}" if row["filled"] else ""
    line = f"{row['side']} {row['requested']}: {row['filled']}{price}, {row['reason']}"
    if not fees:
        return line
    return line + "; " + " ".join(f"{row[name]:.8g}" for name in ("commission", "stamp_duty", "transfer_fee"))
