"""How ``ashare models evaluate`` shows what it found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.cli.common import finite
from engine.model.evaluate import NETWORK, RANKINGS, Series, difference
from engine.model.ic import Mean

Shown = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, head and rows."""
Days = npt.NDArray[np.datetime64]
WHOLE = "all"


def _years(one: Series, days: Days) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each year with which sessions are its own, and at last all of them."""
    years = days[one.rows].astype("datetime64[Y]")
    for year in np.unique(years):
        yield str(year), years == year
    yield WHOLE, np.ones(len(years), dtype=bool)


def tables(series: Sequence[Series], days: Days, overlap: int) -> Iterator[Shown]:
    """Yield a table a measure: a row a year and one of all sessions, a column a model, means with 95 % intervals."""
    for measure in (*RANKINGS, "accuracy"):
        those = [one for one in series if one.measure == measure]
        what = "accuracy" if measure == "accuracy" else f"rank IC, ranked by {measure}"
        title = f"Out of sample, {what}: mean ± half of its 95 % interval, * where that excludes 0"
        rows = [
            (year, f"{int(at.sum()):,}", *(_shown(one.mean(overlap, at), measure == "accuracy") for one in those))
            for year, at in _years(those[0], days)
        ]
        yield title, ("year", "sessions", *(one.model for one in those)), rows


def _shown(mean: Mean, share: bool) -> str:
    half = mean.high - mean.mean
    if not np.isfinite(half):
        return f"{mean.mean:.1%}" if share else f"{mean.mean:+.4f}"
    if share:
        return f"{mean.mean:.1%} ± {half:.1%}"
    return f"{mean.mean:+.4f} ± {half:.4f}{' *' if mean.excludes_zero else '  '}"


def verdicts(series: Sequence[Series], overlap: int) -> Iterator[str]:
    """Yield a line for each baseline and measure: whether the network beats it, by the paired sessions."""
    network = {one.measure: one for one in series if one.model == NETWORK}
    for one in series:
        if one.model != NETWORK:
            found = difference(network[one.measure], one).mean(overlap)
            what = "accuracy" if one.measure == "accuracy" else f"rank IC of {one.measure}"
            if not np.isfinite(found.standard_error):
                yield f"{found.n} sessions are too few to compare the network with {one.model} in {what}."
                continue
            says = "beats" if found.low > 0 else "is beaten by" if found.high < 0 else "does not differ from"
            yield (
                f"The network {says} {one.model} in {what}: {found.mean:+.4f}"
                f" [{found.low:+.4f}, {found.high:+.4f}] a session, paired."
            )
    best = max((network[name] for name in RANKINGS), key=lambda one: one.mean(overlap).mean)
    yield f"Of its rankings {best.measure} has the highest rank IC; selection.rank_by stays what it is set to."


def frame(series: Sequence[Series], days: Days) -> pl.DataFrame:
    """Return every value: model, measure, session, value."""
    return pl.concat(
        pl.DataFrame({"session": days[one.rows], "value": one.values}).select(
            pl.lit(one.model).alias("model"), pl.lit(one.measure).alias("measure"), "session", "value"
        )
        for one in series
    )


def as_document(series: Sequence[Series], days: Days, overlap: int) -> list[dict[str, Any]]:
    """Return the tables for machines; what is not defined is null."""
    return [
        {"model": one.model, "measure": one.measure, "period": period, **finite(one.mean(overlap, at).as_dict())}
        for one in series
        for period, at in _years(one, days)
    ]
