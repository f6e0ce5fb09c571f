"""The tear-sheet: one HTML file from a run folder, readable offline, on paper and on a phone."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import empyrical
import jinja2
import numpy as np
import polars as pl

from engine import calendar
from engine.files import write_bytes
from engine.report import statistics as stats
from engine.report.envelope import read_envelope
from engine.report.opened import open_run
from engine.types import Reason, Side

FILE = "tearsheet.html"
FLAGSHIP = "momentum_dnn.py"
"""The strategy the design's figures speak of (SPEC 12); a copy of it is known by the models it used."""
SHORT = 60
"""Sessions under which nothing is annualised: a few weeks blown up to a year say nothing of a year."""
_ANNUALISED = {"annual return", "annual volatility", "Sharpe ratio", "Sortino ratio"}
_PERCENT = {
    "annual return",
    "annual volatility",
    "maximum drawdown",
    "win rate",
    "total return",
    "share of winning sessions",
}


def render(folder: Path) -> Path:
    """Write the tear-sheet of a run folder and return its path.

    Raises
    ------
    DataNotFit
        The folder is no finished run.
    """
    page = _environment().get_template("tearsheet.html").render(_context(folder))
    write_bytes(folder / FILE, page.encode())
    return folder / FILE


def no_order(manifest: dict[str, Any], orders: pl.DataFrame, data_start: dt.date | None = None) -> str | None:
    """Return what to tell about a run that placed no order, None if it placed one.

    Parameters
    ----------
    manifest : dict
        Of the run.
    orders : DataFrame
        Of the run.
    data_start : date, optional
        First session of the data; by default ``data_start`` of the manifest, if it has one.
    """
    if orders.height:
        return None
    least = int(manifest["settings"]["universe"]["minimum_sessions"])
    rule = f"a stock joins the universe {least - 1} sessions after its first bar (setting universe.minimum_sessions)"
    begins = data_start.isoformat() if data_start else manifest.get("data_start")
    if begins is None:
        return f"No order was placed. If the run begins soon after the data do: {rule}."
    days = calendar.sessions()
    joins = int(np.searchsorted(days, np.datetime64(begins, "D"))) + least - 1
    if joins >= len(days) or days[joins] <= np.datetime64(manifest["start"], "D"):
        return "No order was placed. The strategy asked for none: is its selection empty, does its script order?"
    return (
        f"No order was placed. The likely cause: the data begin {begins}, and {rule}, so none is a member before"
        f" {days[joins]}. Run later sessions, or import earlier data."
    )


def _context(folder: Path) -> dict[str, Any]:
    from engine.report import plots

    run = open_run(folder)
    manifest, perf, orders, positions, actions = run.manifest, run.perf, run.orders, run.positions, run.actions
    sessions, own, year = perf["session"], run.returns, run.year
    index = perf["benchmark_return"].to_numpy()
    trips = stats.round_trips(orders, positions, actions, manifest["renamed"])
    names = perf.join(positions.group_by("session").agg(pl.len().alias("names")), on="session", how="left")
    index_name = manifest["settings"]["labels"]["index"]
    days = [dt.datetime.combine(day, dt.time()) for day in sessions]
    return {
        "manifest": manifest,
        "rows": _figures(own, index, year, stats.win_rate(trips)),
        "warning": no_order(manifest, orders),
        "short": SHORT if perf.height < SHORT else None,
        "flagship": manifest["strategy"] == FLAGSHIP or bool(manifest["models"]),
        "envelope": read_envelope(folder),
        "expected_period": stats.EXPECTED_PERIOD,
        "year": year,
        "resamples": stats.RESAMPLES,
        "block": stats.BLOCK,
        "monthly": stats.monthly(sessions, own),
        "yearly_index": {y: row[0] for y, row in stats.monthly(sessions, index).items()},
        "reasons": _outcomes(orders),
        "costs": _costs(orders, actions, perf, year),
        "trips": len(trips),
        "equity": plots.equity(days, np.cumprod(1 + own), np.cumprod(1 + index), index_name),
        "drawdown": plots.drawdowns(days, stats.drawdown(own), stats.drawdown(index), index_name),
        "exposure": plots.exposure(days, perf["gross"].to_numpy(), names["names"].fill_null(0).to_numpy()),
        "settings": _flat(manifest["settings"]),
    }


def _figures(own: Any, index: Any, year: float, win_rate: float) -> list[dict[str, Any]]:
    """Return a row a figure: measured, its interval, the benchmark's, the design's expectation."""
    measured, benchmark = stats.figures(own, index, year), stats.figures(index, index, year)
    measured["win rate"] = win_rate
    resampled = {
        "annual return": partial(empyrical.annual_return, annualization=year),
        "annual volatility": partial(empyrical.annual_volatility, annualization=year),
        "Sharpe ratio": partial(empyrical.sharpe_ratio, annualization=year),
        "maximum drawdown": empyrical.max_drawdown,
    }
    if len(own) < SHORT:
        measured |= dict.fromkeys(_ANNUALISED, math.nan)
        benchmark |= dict.fromkeys(_ANNUALISED, math.nan)
        resampled = {name: statistic for name, statistic in resampled.items() if name not in _ANNUALISED}
    order = [*stats.EXPECTED, *(name for name in measured if name not in stats.EXPECTED)]
    return [
        {
            "name": name,
            "percent": name in _PERCENT,
            "measured": measured[name],
            "interval": stats.interval(own, resampled[name]) if name in resampled else None,
            "benchmark": benchmark.get(name) if name != "beta" else None,
            "expected": stats.EXPECTED.get(name),
        }
        for name in order
    ]


@dataclass(frozen=True)
class Outcomes:
    """How much the orders of one reason traded of what they asked for; counts.

    Attributes
    ----------
    reason : str
        Why they ended as they did.
    nothing, partly, all : int
        Orders that traded no share, some, all they asked for.
    buys, sells : int
        The same orders by side.
    """

    reason: str
    nothing: int
    partly: int
    all: int
    buys: int
    sells: int


def _outcomes(orders: pl.DataFrame) -> list[Outcomes]:
    """Return a row a reason, in the order of the list, reasons without an order left out."""
    filled, requested = pl.col("filled"), pl.col("requested")
    counts = orders.group_by("reason").agg(
        (filled <= 0).sum().alias("nothing"),
        ((filled > 0) & (filled < requested)).sum().alias("partly"),
        ((filled > 0) & (filled >= requested)).sum().alias("all"),
        (pl.col("side") == str(Side.BUY)).sum().alias("buys"),
        (pl.col("side") == str(Side.SELL)).sum().alias("sells"),
    )
    found = {row["reason"]: Outcomes(**row) for row in counts.iter_rows(named=True)}
    return [found[reason] for reason in Reason if reason in found]


def _costs(orders: pl.DataFrame, actions: pl.DataFrame, perf: pl.DataFrame, year: float) -> dict[str, float]:
    """Return what the market took, and what the companies gave, CNY unless the name says otherwise."""
    years = perf.height / year if perf.height >= SHORT else math.nan
    mean_value = float(perf["net_value"].mean() or 0.0)  # type: ignore[arg-type]
    traded = stats.traded_value(orders)
    fees = {name.replace("_", " "): float(orders[name].sum()) for name in ("commission", "stamp_duty", "transfer_fee")}
    cash = dict(actions.group_by("kind").agg(pl.col("cash").sum()).iter_rows())
    tax = -(cash.get("dividend_tax", 0.0) + cash.get("tax_withheld", 0.0))
    return fees | {
        "dividend tax": tax,
        "dividends before tax": cash.get("dividend", 0.0),
        "all fees, share of the mean net value a year": sum(fees.values()) / mean_value / years,
        "traded value a year / mean net value": traded / mean_value / years,
    }


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("engine.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"pct": _percent, "num": _number, "cny": lambda value: f"{value:,.0f}", "shade": _shade}
    return environment


def _percent(value: float | None, places: int = 1) -> str:
    return "–" if value is None or math.isnan(value) else f"{value * 100:.{places}f} %".replace("-", "−")


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _shade(value: float | None) -> str:
    """Return the background of a return in the monthly table: red gains, green losses, as on Chinese screens."""
    if value is None:
        return ""
    strength = min(abs(value) / 0.12, 1.0) * 0.55
    red_green_blue = "179,38,30" if value > 0 else "46,125,80"
    return f"background:rgba({red_green_blue},{strength:.2f})"
