"""How the models of a run did on its own sessions, out of sample: ranking, probabilities, classes, what they look at.

Every figure is of the members that were scored and whose label (SPEC 5) is known in the panels by now. Labels of
neighbouring sessions overlap, so intervals of means are Newey-West's with a lag of at least the overlap (SPEC 13.14).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.model.ic import (
    Mean,
    average,
    deviation,
    ic,
    mean_with_interval,
    quantile_returns,
    quantiles,
    rank_ic,
    ranks,
)
from engine.model.label_columns import CLASS_NAMES
from engine.model.labels import UP, classes
from engine.panels.reader import Panels
from engine.pipeline.factors import NAMES
from engine.report.baselines import NETWORK, baseline_answers
from engine.report.opened import Run
from engine.report.scored import Floats, Scored, scored_of
from engine.settings import LabelSettings, Settings
from engine.types import SWITCHED

Chances = npt.NDArray[np.floating]

HORIZONS = (1, 2, 5, 10, 20, 40, 60)
"""Sessions of the forward returns the decay of the ranking is looked at over."""
SOME, FEW = 250, 100
"""Most sessions the dear tables look at, and the dearest: it bounds what the report of a long run costs."""
QUANTILES, BINS = 10, 10
"""Of the scores of a session; of P(up) over all sessions."""

CAPTIONS: Mapping[str, str] = {
    "model_figures": "How the models did on the sessions they served. Intervals are 95 %, with a lag of the overlap of"
    " the labels. The base rate is what the shares of the classes in these very labels would have given to who had"
    " known them, or the largest of them.",
    "model_ic_by_month": "Mean rank correlation of the ranking and the excess returns that followed, by month of the"
    " decision.",
    "model_ic_decay": "Mean rank correlation of the ranking and the excess returns from the next open, by the sessions"
    " held, over every {every:,}th session from the first.",
    "model_quantiles": "Mean excess return of the label by tenth of the ranking, 1 the lowest scores, a session"
    " counting once, over every {every:,}th session from the first.",
    "model_calibration": "P(up) as predicted and the share that went up, by tenth of P(up) over all sessions.",
    "model_classes": "Shares of the classes: the likeliest by the model, and what the labels were.",
    "model_attention": "Mean weight the network gives each feature, by month of the sessions it served and a sample of"
    " their stocks; equal weights would be {equal:.3f}.",
    "model_baselines": "The ranking beside plain ones, on the same sessions (every {every:,}th from the first) and"
    " members: raw factors, higher is better (the other way round the sign turns), and trained baselines where"
    " `ashare models evaluate` left their answers for these data and settings.",
    "model_events": "Requests to retrain, stocks barred, and switches, by session.",
}
"""What to say under each table; ``captions`` has what fills the places."""


def captions(run: Run) -> dict[str, tuple[str, dict[str, float]]]:
    """Return for each table the sentence under it and the values of its places, for ``engine.words``."""
    values: dict[str, dict[str, float]] = {
        "model_ic_decay": {"every": step(run, FEW)},
        "model_quantiles": {"every": step(run)},
        "model_baselines": {"every": step(run)},
        "model_attention": {"equal": 1 / len(NAMES)},
    }
    return {name: (sentence, values.get(name, {})) for name, sentence in CAPTIONS.items()}


def model_tables(run: Run, panels: Panels, settings: Settings | None = None) -> dict[str, pl.DataFrame]:
    """Return how the models of a run did, by name of the table; nothing where the run asked no model.

    ``model_ic_decay``, ``model_quantiles`` and ``model_baselines`` are of every n-th session from the first, n from
    ``step``: neighbours tell nearly the same, and all would cost five times as much. A run that noted no attention, no
    ICs of factors or no events lacks those tables.

    Parameters
    ----------
    run : Run
        The run.
    panels : Panels
        Of the run's data, or of later ones of the same lake.
    settings : Settings, optional
        In force, to find trained baselines that are kept in the home; only those made under the run's own are used.

    Raises
    ------
    DataNotFit
        A table of the run cannot be read, or the index lacks an open.
    OutsideData
        The panels lack a session of the run.
    """
    scores = run.more("scores")
    if scores is None or not scores.height:
        return {}
    seen = _seen(run, scores, panels)
    ranking, probabilities = _ranking(seen, panels), _probabilities(seen, panels)
    found = {
        "model_figures": pl.concat([ranking.pop("figures"), probabilities.pop("figures")]),
        **ranking,
        **probabilities,
        "model_baselines": _baselines(run, panels, settings, seen, ranking["model_ic"]),
        "model_attention": _attention(run),
        "model_events": _events(run),
    }
    return {name: table for name, table in found.items() if table is not None}


@dataclass(frozen=True)
class _Seen:
    """What a run's models said and what followed.

    ``score`` and ``excess`` are columns of ``scored``; ``some`` and ``few`` the sessions from one to the next of those
    the dear tables look at.
    """

    labelling: LabelSettings
    some: int
    few: int
    scored: Scored
    score: Floats
    excess: Floats


def _seen(run: Run, scores: pl.DataFrame, panels: Panels) -> _Seen:
    had, scored = run.manifest["settings"], scored_of(scores, panels)
    labelling, ranked_by = LabelSettings(**had["labels"]), str(had["selection"].get("rank_by", "p_up"))
    score, excess = scored.ranked_by(ranked_by), scored.following(panels, labelling)
    return _Seen(labelling, step(run), step(run, FEW), scored, score, excess)


def step(run: Run, most: int = SOME) -> int:
    """Return how many sessions lie from one to the next of those the dear tables look at.

    That is the run's ``selection.every``, so that they are its rebalances, or a multiple of it: at most ``most``.
    """
    every = int(run.manifest["settings"]["selection"]["every"])
    return every * max(-(-run.perf.height // (every * most)), 1)


def _ranking(seen: _Seen, panels: Panels) -> dict[str, pl.DataFrame]:
    """Return the tables of how the members were ordered, and the figures."""
    scored, overlap = seen.scored, seen.labelling.horizon - 1
    coefficients, names = rank_ic(scored.panel(seen.score), scored.panel(seen.excess))
    daily = pl.DataFrame({"session": panels.days[scored.rows], "rank_ic": coefficients, "names": names})
    daily = daily.filter(pl.col("rank_ic").is_finite())
    some, taken = scored.every(seen.some)
    by_quantile = quantiles_by_session(some.panel(seen.score[taken]), some.panel(seen.excess[taken]))
    few, taken = scored.every(seen.few)
    return {
        "figures": _ranking_figures(daily["rank_ic"].to_numpy(), by_quantile, overlap, seen.some),
        "model_ic": daily,
        "model_ic_by_month": _by_month(daily),
        "model_ic_decay": decay(few, seen.score[taken], seen.excess[taken], panels, seen.labelling, seen.few),
        "model_quantiles": _quantiles(by_quantile, overlap // seen.some),
    }


def _ranking_figures(coefficients: Floats, by_quantile: Floats, overlap: int, every: int) -> pl.DataFrame:
    mean, sd = mean_with_interval(coefficients, overlap), deviation(coefficients)
    spread = mean_with_interval(by_quantile[:, -1] - by_quantile[:, 0], overlap // every)
    rows = [
        ("rank IC", *_shown(mean), None, mean.n),
        ("rank IC over its standard deviation", mean.mean / sd if sd > 0 else math.nan, None, None, None, mean.n),
        ("sessions with a rank IC above 0", average((coefficients > 0).astype(np.float64)), None, None, 0.5, mean.n),
        ("highest less lowest tenth", *_shown(spread), None, spread.n),
    ]
    return _frame(rows, _FIGURES)


_FIGURES = ("figure", "measured", "low", "high", "base_rate", "count")


def _by_month(daily: pl.DataFrame) -> pl.DataFrame:
    """Return year, month, rank_ic (mean), sessions, names (mean)."""
    session = pl.col("session")
    return (
        daily.group_by(session.dt.year().alias("year"), session.dt.month().cast(pl.Int32).alias("month"))
        .agg(pl.col("rank_ic").mean(), pl.len().alias("sessions"), pl.col("names").mean())
        .sort("year", "month")
    )


def decay(
    scored: Scored, score: Floats, excess: Floats, panels: Panels, settings: LabelSettings, every: int
) -> pl.DataFrame:
    """Return the mean rank IC by horizon: horizon (sessions), rank_ic, low, high, sessions, names (mean).

    Entry is the label's: the open of the session after the decision. Whether it was possible does not hang on the
    horizon, so the names of a session are the same over all of them, and their scores are ranked once.

    Parameters
    ----------
    scored : Scored
        The sessions to look at.
    score : array, (n,)
        What they are ranked by.
    excess : array, (n,)
        The labels of the run.
    panels : Panels
        The data.
    settings : LabelSettings
        Those of the run; the horizon is exchanged.
    every : int
        Sessions from one of these sessions to the next.
    """
    over = {
        horizon: excess
        if horizon == settings.horizon
        else scored.following(panels, settings.model_copy(update={"horizon": horizon}))
        for horizon in HORIZONS
    }
    ranked, rows = ranks(scored.panel(np.where(np.isfinite(over[HORIZONS[0]]), score, np.nan))), []
    for horizon, following in over.items():
        coefficients, names = ic(ranked, ranks(scored.panel(following)))
        mean = mean_with_interval(coefficients, (horizon - 1) // every)  # how many of these sessions a label reaches
        rows.append((horizon, *_shown(mean), mean.n, average(names[np.isfinite(coefficients)].astype(np.float64))))
    return _frame(rows, ["horizon", "rank_ic", "low", "high", "sessions", "names"])


def quantiles_by_session(score: Floats, excess: Floats) -> Floats:
    """Return the mean return of each tenth of the labelled members of a session, (sessions, 10), NaN without any.

    Parameters
    ----------
    score, excess : array, (sessions, places)
        NaN is left out.
    """
    return quantile_returns(quantiles(np.where(np.isfinite(excess), score, np.nan), QUANTILES), excess, QUANTILES)


def _quantiles(by_session: Floats, overlap: int) -> pl.DataFrame:
    """Return quantile (1 the lowest scores), mean_return, low, high, sessions."""
    means = [mean_with_interval(column, overlap) for column in by_session.T]
    rows = [(at, *_shown(mean), mean.n) for at, mean in enumerate(means, start=1)]
    return _frame(rows, ["quantile", "mean_return", "low", "high", "sessions"])


def _probabilities(seen: _Seen, panels: Panels) -> dict[str, pl.DataFrame]:
    """Return the tables of the probabilities of the classes, and the figures."""
    known = np.isfinite(seen.excess)
    said, truth = seen.scored.said[known, :3], classes(seen.excess[known], seen.labelling)
    bins = calibration(said[:, UP].astype(np.float64), truth == UP)
    years = panels.days[seen.scored.rows].astype("datetime64[Y]").astype(np.int64) + 1970
    return {
        "figures": _class_figures(said, truth, bins),
        "model_calibration": bins,
        "model_classes": class_shares(np.repeat(years, seen.scored.counts)[known], said, truth),
    }


def _class_figures(said: Chances, truth: npt.NDArray[np.int64], bins: pl.DataFrame) -> pl.DataFrame:
    labelled = len(truth)
    shares = np.bincount(truth, minlength=len(CLASS_NAMES)) / (labelled or math.nan)
    score, climate = brier(said, truth), 1 - float(shares @ shares)  # the Brier score of the shares, for everybody
    right = average((said.argmax(axis=1) == truth).astype(np.float64))
    rows = [
        ("accuracy", right, None, None, float(shares.max()), labelled),
        ("Brier score", score, None, None, climate, labelled),
        ("Brier skill", 1 - score / climate if climate > 0 else math.nan, None, None, 0.0, labelled),
        ("calibration error of P(up)", calibration_error(bins), None, None, 0.0, labelled),
    ]
    return _frame(rows, _FIGURES)


def calibration(predicted: Floats, happened: npt.NDArray[np.bool_], bins: int = BINS) -> pl.DataFrame:
    """Return predicted probabilities beside what happened, in bins of equal count.

    Columns: bin, low and high (its bounds; what is equal to the upper one is inside), predicted (mean), measured (share
    that happened), count. Equal predictions stay together, so there may be fewer bins, and of unequal count.

    Parameters
    ----------
    predicted : array, (n,)
        Probabilities.
    happened : array of bool, (n,)
        Whether it did.
    bins : int
        How many.
    """
    if not len(predicted):
        return _frame([], ["bin", "low", "high", "predicted", "measured", "count"])
    edges = np.quantile(predicted, np.arange(bins + 1) / bins)
    at = np.zeros(len(predicted), dtype=np.int16)
    for edge in edges[1:-1]:  # a search for each prediction takes three times as long
        at += predicted > edge
    count = np.bincount(at, minlength=bins)
    there = np.flatnonzero(count)
    sums = (np.bincount(at, values, minlength=bins)[there] / count[there] for values in (predicted, happened))
    columns = (there + 1, edges[there], edges[there + 1], *sums, count[there])
    return pl.DataFrame(dict(zip(["bin", "low", "high", "predicted", "measured", "count"], columns, strict=True)))


def calibration_error(bins: pl.DataFrame) -> float:
    """Return the expected calibration error: mean distance of predicted and measured, by count; NaN without any."""
    predicted, measured, count = (bins[name].to_numpy() for name in ("predicted", "measured", "count"))
    return float(np.abs(predicted - measured) @ count / count.sum()) if bins.height else math.nan


def brier(said: Chances, truth: npt.NDArray[np.int64]) -> float:
    """Return the Brier score of the three classes: the mean squared distance, 0 at best and 2 at worst.

    Parameters
    ----------
    said : array, (n, 3)
        Probabilities.
    truth : array of int, (n,)
        The classes.
    """
    if not len(truth):
        return math.nan
    right = said[np.arange(len(truth)), truth].sum(dtype=np.float64)
    # the squares of all p, with (1 - p) squared instead of p squared for what came
    return float(np.einsum("ij,ij->", said, said, dtype=np.float64) - 2 * right) / len(truth) + 1


def class_shares(years: npt.NDArray[np.int64], said: Chances, truth: npt.NDArray[np.int64]) -> pl.DataFrame:
    """Return by year the share of each class: year, class, predicted (the likeliest), measured, count.

    Parameters
    ----------
    years : array of int, (n,)
        Of the decisions.
    said : array, (n, 3)
        Probabilities.
    truth : array of int, (n,)
        The classes of the labels.
    """
    if not len(years):
        return pl.DataFrame(schema=_CLASSES)
    kinds, first = len(CLASS_NAMES), int(years.min())
    shape = int(years.max()) - first + 1, kinds
    predicted, measured = (
        np.bincount((years - first) * kinds + kind, minlength=shape[0] * kinds).reshape(shape)
        for kind in (said.argmax(axis=1), truth)
    )
    count = measured.sum(axis=1)
    there = np.flatnonzero(count)
    return pl.DataFrame(
        {
            "year": np.repeat(there + first, kinds).astype(np.int32),
            "class": list(CLASS_NAMES) * len(there),
            "predicted": (predicted[there] / count[there, None]).ravel(),
            "measured": (measured[there] / count[there, None]).ravel(),
            "count": np.repeat(count[there], kinds),
        },
        schema=_CLASSES,
    )


_CLASSES = {
    "year": pl.Int32,
    "class": pl.String,
    "predicted": pl.Float64,
    "measured": pl.Float64,
    "count": pl.Int64,
}


def _baselines(
    run: Run, panels: Panels, settings: Settings | None, seen: _Seen, network: pl.DataFrame
) -> pl.DataFrame | None:
    """Return name, kind (network, trained, factor), rank_ic, low, high, sessions, names (mean), on the same sessions.

    A factor is looked at where it is known, so it may have fewer names. None where the run noted no factor.
    """
    noted = run.more("ic")
    if noted is None:
        return None
    rows = seen.scored.rows[:: seen.some]
    own = network.select(pl.lit(NETWORK).alias("name"), pl.lit(NETWORK).alias("kind"), "session", "rank_ic", "names")
    factors = noted.filter(pl.col("name") != "p_up").select(
        "name", pl.lit("factor").alias("kind"), pl.col("decided").alias("session"), "rank_ic", names="n"
    )
    shared = own.filter(pl.col("session").is_in(pl.Series(panels.days[rows]).implode()))["session"]
    series = pl.concat([own, *baseline_answers(run, panels, settings, rows), factors], how="vertical_relaxed")
    found = []
    for (name, kind), one in series.filter(pl.col("session").is_in(shared.implode())).group_by(
        "name", "kind", maintain_order=True
    ):
        coefficients = one.sort("session")["rank_ic"].fill_null(math.nan).to_numpy()
        mean = mean_with_interval(coefficients, (seen.labelling.horizon - 1) // seen.some)
        found.append((name, kind, *_shown(mean), mean.n, one["names"].mean()))
    return _frame(found, ("name", "kind", "rank_ic", "low", "high", "sessions", "names"))


def _attention(run: Run) -> pl.DataFrame | None:
    """Return year, month, feature, weight (mean over the sessions), sessions; None where the run noted none."""
    noted = run.more("attention")
    if noted is None:
        return None
    session = pl.col("session")
    return (
        noted.group_by(
            session.dt.year().alias("year"),
            session.dt.month().cast(pl.Int32).alias("month"),
            "feature",
            maintain_order=True,
        )
        .agg(pl.col("weight").cast(pl.Float64).mean(), pl.len().alias("sessions"))
        .sort("year", "month", maintain_order=True)
    )


_SHOWN_EVENTS = {"watch": "asked to retrain", "blacklist": "barred"}


def _events(run: Run) -> pl.DataFrame | None:
    """Return session, rule, what, count: of the watch, the blacklist and the switches; stops are trades."""
    noted = run.more("events")
    if noted is None:
        return None
    rule, cause = pl.col("rule"), pl.col("cause")
    switch = cause.is_in(list(SWITCHED))
    what = pl.when(switch).then(cause).otherwise(rule.replace_strict(_SHOWN_EVENTS, default=None))
    return (
        noted.filter(switch | rule.is_in(list(_SHOWN_EVENTS)))
        .group_by("session", "rule", what.alias("what"))
        .agg(pl.len().alias("count"))
        .sort("session", "rule", "what")
    )


def _shown(mean: Mean) -> tuple[float, float, float]:
    return mean.mean, mean.low, mean.high


_TEXT, _WHOLE = {"figure", "name", "kind"}, {"horizon", "quantile", "bin", "sessions", "count"}


def _frame(rows: Sequence[tuple[object, ...]], names: Sequence[str]) -> pl.DataFrame:
    """Return rows as a frame; what is not defined is null."""
    kinds = {name: pl.String if name in _TEXT else pl.Int64 if name in _WHOLE else pl.Float64 for name in names}
    return pl.DataFrame(rows, schema=kinds, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))
