"""All that can be said of a run beyond its own tables, as frames: for the tear-sheet, and to be taken elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.panels.reader import Panels
from engine.report import costs, trades, trust
from engine.report import statistics as stats
from engine.report.model import model_tables
from engine.report.opened import Run
from engine.report.registry import Trials, trial_of, trials
from engine.report.tilts import tilts

_SCENARIO = {"optimistic": 2.0, "base": 1.0, "pessimistic": 0.5}
NO_LIMIT = 0.10
"""Participation the capacity is looked at with where the run had no limit."""


@dataclass(frozen=True)
class Judgement:
    """What chance and the number of trials leave of a run.

    Attributes
    ----------
    verdict : Verdict
        The trust gate.
    trials : Trials
        The trials the run is one of.
    variance, effective : float
        Of the trials' Sharpe ratios; how many independent ones they resemble.
    moments : Moments
        Of the run's daily returns.
    probabilistic : float
        Probability that the Sharpe ratio is above 0, taken for the only trial.
    intervals : dict of str to (float, float)
        Of annual return, volatility, Sharpe ratio and maximum drawdown, 95 %.
    """

    verdict: trust.Verdict
    trials: Trials
    variance: float
    effective: float
    moments: trust.Moments
    probabilistic: float
    intervals: dict[str, tuple[float, float]]


def judged(run: Run, runs: Path | None = None) -> Judgement:
    """Judge a run by the ledger of trials.

    Parameters
    ----------
    run : Run
        The run.
    runs : Path, optional
        The folder with the ledger; by default the one the run is in.

    Raises
    ------
    Damaged
        The ledger cannot be read.
    """
    found = trials(run.folder.parent if runs is None else runs, trial_of(run.manifest, run.perf))
    own, sessions = trust.moments(run.returns), run.perf["session"]
    variance = found.variance(own.n)
    return Judgement(
        trust.verdict(run.returns, max(found.count, 1), variance, found.panel(sessions)),
        found,
        variance,
        found.effective(sessions),
        own,
        trust.probabilistic_sharpe(own.sharpe, 0.0, own.n, own.skew, own.kurtosis),
        trust.intervals(run.returns, run.year),
    )


def tables(
    run: Run, panels: Panels | None = None, runs: Path | None = None, judgement: Judgement | None = None
) -> dict[str, pl.DataFrame]:
    """Return everything that is reckoned from a run, by name.

    Parameters
    ----------
    run : Run
        The run.
    panels : Panels, optional
        Of the data the run had; with them come sizes and the capacity.
    runs : Path, optional
        The folder with the ledger of trials; by default the one the run is in.
    judgement : Judgement, optional
        Of the run, where it was judged already.
    """
    capital, perf = run.manifest["capital"], run.perf
    paid = costs.daily_costs(perf, run.orders, run.actions, run.manifest["settings"]["execution"]["slippage"])
    profits = trades.daily_profit(perf, run.orders, run.positions, run.actions, run.renamed)
    labels = trades.board_labels(profits["ts_code"].to_list())
    trips = trades.trips_frame(stats.round_trips(run.orders, run.positions, run.actions, run.renamed), perf)
    index = perf["benchmark_return"].to_numpy()
    verdict = judgement or judged(run, runs)
    found = {
        "returns": perf.select("session", "benchmark_return").with_columns(
            net=pl.Series(run.returns),
            gross=pl.Series(costs.gross_returns(perf, paid, capital)),
            drawdown=pl.Series(stats.drawdown(run.returns)),
        ),
        "figures": _figures(run, verdict),
        "months": _months(perf["session"], stats.monthly(perf["session"], run.returns)),
        "index_months": _months(perf["session"], stats.monthly(perf["session"], index)),
        "costs": costs.cost_table(perf, paid, run.year),
        "costs_by_session": paid,
        "gross_and_net": costs.gross_and_net(perf, paid, capital, run.year),
        "turnover": _pairs(costs.turnover(perf, run.orders, run.year), "side", "times_a_year"),
        "exposure": costs.exposure(perf),
        "profits": profits,
        "profit_by_stock": trades.concentration(profits),
        "profit_by_board": trades.attribution(profits, labels, perf, capital),
        "round_trips": trips,
        "round_trips_by_board": trades.trip_summary(trips, "board"),
        "trust": trust_frame(verdict),
        "trials": pl.DataFrame([vars(one) for one in verdict.trials.every], infer_schema_length=None),
    }
    if panels is None:
        return found
    return found | _of_market(run, panels, profits, trips) | model_tables(run, panels)


def _of_market(run: Run, panels: Panels, profits: pl.DataFrame, trips: pl.DataFrame) -> dict[str, pl.DataFrame]:
    held = trades.market(panels, profits)
    execution = run.manifest["settings"]["execution"]
    participation = execution["participation"] * _SCENARIO[execution["scenario"]] or NO_LIMIT
    capital = run.manifest["capital"]
    return {
        "profit_by_size": trades.attribution(profits, trades.size_labels(held), run.perf, capital),
        "round_trips_by_size": trades.trip_summary(trades.trips_with_size(trips, held), "size"),
        "capacity": trades.capacity(
            run.perf, run.orders, run.positions, profits, held, capital, run.year, participation, run.renamed
        ),
        "tilts": tilts(panels, run.positions, run.renamed),
    }


def _figures(run: Run, verdict: Judgement) -> pl.DataFrame:
    index = run.perf["benchmark_return"].to_numpy()
    own, of_index = (stats.figures(daily, index, run.year) for daily in (run.returns, index))
    rows = [
        (name, value, *verdict.intervals.get(name, (math.nan, math.nan)), of_index[name]) for name, value in own.items()
    ]
    return pl.DataFrame(rows, schema=["figure", "measured", "low", "high", "benchmark"], orient="row")


def trust_frame(verdict: Judgement) -> pl.DataFrame:
    """Return what a judgement found, a row a value: what, value, threshold, passed, says."""
    rows: list[tuple[object, ...]] = [
        (one.name, one.value, one.threshold, one.passed, one.says) for one in verdict.verdict.criteria
    ]
    more = {
        "distinct trials": (float(verdict.trials.count), "runs of this strategy on these sessions, made again or not"),
        "effective trials": (verdict.effective, "independent ones they resemble, by their mean correlation"),
        "variance of the trials' Sharpe ratios": (verdict.variance, "of a session, each on as many sessions as this"),
        "Sharpe ratio by chance": (verdict.verdict.chance, "of a session, of the best of so many trials without skill"),
        "Sharpe ratio of a session": (verdict.moments.sharpe, "mean over standard deviation of the daily returns"),
        "probabilistic Sharpe ratio": (verdict.probabilistic, "probability that it is above 0, were it the only trial"),
        "skewness": (verdict.moments.skew, "of the daily returns"),
        "kurtosis": (verdict.moments.kurtosis, "of the daily returns; 3 is that of a normal distribution"),
    }
    rows += [(name, value, None, None, says) for name, (value, says) in more.items()]
    schema = {"what": pl.String, "value": pl.Float64, "threshold": pl.Float64, "passed": pl.Boolean, "says": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _months(sessions: pl.Series, table: dict[int, dict[int, float]]) -> pl.DataFrame:
    rows = [(year, month, value) for year, row in table.items() for month, value in row.items()]
    schema = {"year": pl.Int32, "month": pl.Int32, "return": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("year", "month")


def _pairs(values: object, *names: str) -> pl.DataFrame:
    return pl.DataFrame(list(dict(values).items()), schema=list(names), orient="row")  # type: ignore[call-overload]
