"""What stands in each section of the tear-sheet: plain values and plots, no words in any language."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from engine.panels.reader import Panels
from engine.report import costs, plots, trades
from engine.report import statistics as stats
from engine.report.diagnosis import SHORT, diagnose
from engine.report.envelope import read_envelope
from engine.report.falls import WINDOW, falls, rolling
from engine.report.model import captions
from engine.report.opened import Run
from engine.report.proofs import KINDS, proofs_of
from engine.report.review import Judgement
from engine.report.tilts import FACTORS
from engine.report.trust import RESAMPLES, suited_block
from engine.types import SWITCHED, Board, Reason, Side

Tables = Mapping[str, pl.DataFrame]
Context = dict[str, Any]

FLAGSHIP = "momentum_dnn.py"
"""The strategy the design's figures speak of (SPEC 12); a copy of it is known by the models it used."""
ANNUALISED = {"annual return", "annual volatility", "Sharpe ratio", "Sortino ratio"}
PERCENT = {
    "annual return",
    "annual volatility",
    "maximum drawdown",
    "win rate",
    "total return",
    "share of winning sessions",
}
ENDS = 5
"""Stocks and round trips shown at either end."""


def page(run: Run, judgement: Judgement, tables: Tables, panels: Panels | None = None) -> Context:
    """Return everything the template shows.

    Parameters
    ----------
    run : Run
        The run.
    judgement : Judgement
        Of it.
    tables : mapping of str to DataFrame
        Of ``engine.report.review.tables``.
    panels : Panels, optional
        Of the data the run had.
    """
    parts: tuple[Context, ...] = (
        _what(run),
        _result(run, tables),
        _time(run),
        _paid(run, tables),
        _traded(run, tables),
        _trust(run, judgement),
        {"quality": None if panels is None else quality(run, panels)},
        {"findings": diagnose(run, judgement, tables), "model": _model(run, tables)},
    )
    return {name: value for part in parts for name, value in part.items()}


def _what(run: Run) -> Context:
    manifest = run.manifest
    return {
        "manifest": {"decisions": {}, "events": {}, "switches": {}} | manifest,
        "short": SHORT if run.perf.height < SHORT else None,
        "flagship": manifest["strategy"] == FLAGSHIP or bool(manifest["models"]),
        "index": manifest["settings"]["labels"]["index"],
        "settings": _flat(manifest["settings"]),
    }


def _result(run: Run, tables: Tables) -> Context:
    """Return figures beside the benchmark's and the design's, the months, and what the fills leave open."""
    sessions, index = run.perf["session"], run.perf["benchmark_return"].to_numpy()
    rows = figure_rows(run, tables)
    return {
        "rows": rows,
        "figure": {row["name"]: row for row in rows},
        "expected_period": stats.EXPECTED_PERIOD,
        "year": run.year,
        "resamples": RESAMPLES,
        "block": suited_block(run.returns),
        "monthly": stats.monthly(sessions, run.returns),
        "yearly_index": {year: row[0] for year, row in stats.monthly(sessions, index).items()},
        "envelope": read_envelope(run.folder),
        "trips": tables["round_trips"].height,
    }


def figure_rows(run: Run, tables: Tables) -> list[dict[str, Any]]:
    """Return a row a figure: measured, its interval, the benchmark's, the design's expectation.

    What is annualised is NaN, and has no interval, in a run under ``SHORT`` sessions.
    """
    found = {row["figure"]: row for row in tables["figures"].to_dicts()}
    profit = tables["round_trips"]["profit"]
    won = float((profit > 0).mean()) if profit.len() else math.nan  # type: ignore[arg-type]
    found["win rate"] = {"measured": won, "low": math.nan, "high": math.nan, "benchmark": None}
    found["beta"]["benchmark"] = None
    if run.perf.height < SHORT:
        for name in ANNUALISED:
            found[name] |= dict.fromkeys(("measured", "low", "high", "benchmark"), math.nan)
    order = [*stats.EXPECTED, *(name for name in found if name not in stats.EXPECTED)]
    return [
        {
            "name": name,
            "percent": name in PERCENT,
            "measured": found[name]["measured"],
            "interval": _pair(found[name]["low"], found[name]["high"]),
            "benchmark": found[name]["benchmark"],
            "expected": stats.EXPECTED.get(name),
        }
        for name in order
    ]


def _pair(low: float, high: float) -> tuple[float, float] | None:
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def _time(run: Run) -> Context:
    """Return the plots over time, the deepest falls and the ratios that roll."""
    perf, own, index = run.perf, run.returns, run.perf["benchmark_return"].to_numpy()
    days = [dt.datetime.combine(day, dt.time()) for day in perf["session"]]
    names = perf.join(run.positions.group_by("session").agg(pl.len().alias("names")), on="session", how="left")
    sharpe, beta = rolling(own, index, run.year)
    long_enough = perf.height >= 2 * WINDOW
    spans, marks = _switched(run.more("events"), perf["session"])
    return {
        "equity": plots.equity(days, np.cumprod(1 + own), np.cumprod(1 + index), spans, marks),
        "spans": bool(spans),
        "marks": bool(marks),
        "drawdown": plots.drawdowns(days, stats.drawdown(own), stats.drawdown(index)),
        "exposure": plots.exposure(days, perf["gross"].to_numpy(), names["names"].fill_null(0).to_numpy()),
        "falls": falls(perf["session"].to_list(), own),
        "window": WINDOW,
        "rolling_sharpe": plots.rolling(days, sharpe) if long_enough else None,
        "rolling_beta": plots.rolling(days, beta, plots.INDEX, 1.0) if long_enough else None,
    }


def _switched(events: pl.DataFrame | None, sessions: pl.Series) -> tuple[list[plots.Span], list[dt.datetime]]:
    """Return the spans in which a switch of risk was on, and the sessions in which the watch fired."""
    if events is None:
        return [], []
    spans: list[plots.Span] = []
    switched = events.filter(pl.col("cause").is_in(SWITCHED)).sort("session", maintain_order=True)
    for _, rows in switched.group_by("rule", maintain_order=True):
        turned = list(rows.select("session", "cause").iter_rows())
        ends = [session for session, _ in turned[1:]] + [sessions[-1]]
        spans += [(on, end) for (on, cause), end in zip(turned, ends, strict=True) if cause == SWITCHED[True]]
    fired = events.filter(pl.col("rule") == "watch")["session"].unique().sort()
    return spans, [dt.datetime.combine(day, dt.time()) for day in fired]


def _paid(run: Run, tables: Tables) -> Context:
    """Return costs, gross and net, turnover, exposure and what more capital would leave."""
    cash = dict(run.actions.group_by("kind").agg(pl.col("cash").sum()).iter_rows())
    capacity = tables.get("capacity")
    short = run.perf.height < SHORT
    return {
        "costs": tables["costs"].to_dicts(),
        "gross_and_net": tables["gross_and_net"].filter(~pl.col("figure").is_in(ANNUALISED) | (not short)).to_dicts(),
        "doubled": math.nan if short else _doubled(run, tables),
        "dividends": cash.get("dividend", 0.0),
        "turnover": {} if short else dict(tables["turnover"].iter_rows()),
        "shares": {row["share"]: row for row in tables["exposure"].to_dicts()},
        "capacity": None if capacity is None or short else capacity.to_dicts(),
    }


def _doubled(run: Run, tables: Tables) -> float:
    return costs.costs_times(run.perf, tables["costs_by_session"], run.manifest["capital"], run.year, 2.0)


def _traded(run: Run, tables: Tables) -> Context:
    """Return orders by reason, round trips and where the profit came from."""
    trips, stocks = tables["round_trips"].sort("profit"), tables["profit_by_stock"]
    summary = trades.trip_summary(tables["round_trips"]).to_dicts()
    return {
        "reasons": outcomes(run.orders),
        "trip": summary[0] if summary else None,
        "best_trips": trips.reverse().head(ENDS).to_dicts(),
        "worst_trips": trips.head(ENDS).to_dicts(),
        "best_stocks": stocks.head(ENDS).to_dicts(),
        "worst_stocks": stocks.reverse().head(ENDS).to_dicts(),
        "groups": [
            (kind, _ordered(tables[f"profit_by_{kind}"], order), _by_label(tables[f"round_trips_by_{kind}"]))
            for kind, order in (("board", list(map(str, Board))), ("size", trades.size_names()))
            if f"profit_by_{kind}" in tables
        ],
        "tilts": _by_year(tables["tilts"]) if "tilts" in tables else None,
    }


def _by_year(tilted: pl.DataFrame) -> dict[str, dict[int, float | None]]:
    """Return by factor the mean percentile of each year."""
    years = tilted.group_by(pl.col("session").dt.year().alias("year")).agg(pl.col(*FACTORS).mean()).sort("year")
    return {name: dict(years.select("year", name).iter_rows()) for name in FACTORS}


def _ordered(profits: pl.DataFrame, order: list[str]) -> list[dict[str, Any]]:
    """Return the groups in an order of their own, what is not in it last."""
    rank = {label: at for at, label in enumerate(order)}
    return sorted(profits.to_dicts(), key=lambda row: rank.get(row["label"], len(rank)))


def _model(run: Run, tables: Tables) -> Context | None:
    """Return how the models ranked, what their probabilities were worth and what they look at; None without any."""
    if "model_figures" not in tables:
        return None
    months, decay = tables["model_ic_by_month"], tables["model_ic_decay"]
    calibrated, ranked = tables["model_calibration"], tables["model_quantiles"]
    middles = [
        dt.datetime.combine(dt.date(year, month, 15), dt.time())
        for year, month in months.select("year", "month").iter_rows()
    ]
    said = {name: {"sentence": sentence, "places": places} for name, (sentence, places) in captions(run).items()}
    return {
        "figures": tables["model_figures"].to_dicts(),
        "captions": said,
        "by_month": plots.bars(middles, months["rank_ic"].to_numpy()) if months.height > 1 else None,
        "decay": _line(decay, "horizon", "rank_ic"),
        "quantiles": _line(ranked, "quantile", "mean_return", 100.0),
        "calibration": plots.against(calibrated["predicted"].to_numpy(), calibrated["measured"].to_numpy()),
        "baselines": tables["model_baselines"].to_dicts() if "model_baselines" in tables else [],
        "classes": tables["model_classes"].to_dicts(),
        "attention": _attention(tables["model_attention"]) if "model_attention" in tables else None,
    }


def _line(frame: pl.DataFrame, x: str, y: str, times: float = 1.0) -> str:
    own, low, high = (frame[name].cast(pl.Float64).to_numpy() * times for name in (y, "low", "high"))
    return plots.lines(frame[x].to_list(), own, low, high)


def _attention(weights: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each feature's mean, least and largest weight of a month, the heaviest first."""
    weight = pl.col("weight")
    of_months = weights.group_by("feature").agg(
        weight.mean().alias("mean"), weight.min().alias("least"), weight.max().alias("most")
    )
    return of_months.sort("mean", "feature", descending=[True, False]).to_dicts()


def _by_label(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["label"]: row for row in frame.to_dicts()}


def outcomes(orders: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row a reason, in the order of the list: how many orders traded nothing, partly, all; buys, sells."""
    filled, requested = pl.col("filled"), pl.col("requested")
    counts = orders.group_by("reason").agg(
        (filled <= 0).sum().alias("nothing"),
        ((filled > 0) & (filled < requested)).sum().alias("partly"),
        ((filled > 0) & (filled >= requested)).sum().alias("all"),
        (pl.col("side") == str(Side.BUY)).sum().alias("buys"),
        (pl.col("side") == str(Side.SELL)).sum().alias("sells"),
    )
    found = {row["reason"]: row for row in counts.iter_rows(named=True)}
    return [found[reason] for reason in Reason if reason in found]


def quality(run: Run, panels: Panels) -> list[tuple[str, float | None]]:
    """Return what is known of how good and how whole the data are: what, how many (None = not counted)."""
    counts: dict[str, Any] = panels.manifest["counts"]
    first, last = run.perf["session"][0], run.perf["session"][-1]
    ended = [one for one in panels.assets if one.delist_date is not None and first < one.delist_date <= last]
    listed = [
        one for one in panels.assets if one.list_date <= last and (one.delist_date is None or one.delist_date > first)
    ]
    return [
        ("stocks listed at some time of the run", len(listed)),
        ("of them delisted while it lasted", len(ended)),
        ("rows missing or held back that must be there", counts.get("rows_missing")),
        ("price limits by rule, where the exchange's row is missing", counts["limits_by_rule"]),
        ("bars without any price limit", counts["limits_unknown"]),
        ("reports without a date, left out", sum(counts["undated_reports"].values())),
        ("changes of the adjustment factor that nothing explains", counts["suspected_rights_issues"]),
    ]


def _trust(run: Run, judgement: Judgement) -> Context:
    verdict = judgement.verdict
    proofs = proofs_of(judgement.trials.runs.parent, run.manifest["code_id"], run.manifest["data_id"])
    return {
        "proofs": [(kind, proofs.get(kind)) for kind in KINDS],
        "passed": verdict.passed,
        "criteria": {one.name: one for one in verdict.criteria},
        "judgement": judgement,
        "one_strategy": judgement.trials.every[:200],
    }


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows
