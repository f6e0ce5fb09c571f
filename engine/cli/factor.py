"""``ashare factor``: export and information coefficients."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import DAY, finite, in_order, progress_bar, require_folder, show_table
from engine.errors import OutsideData

if TYPE_CHECKING:
    import polars as pl

    from engine.panels.reader import Panels


@click.group()
def factor() -> None:
    """Factor values for research."""


@factor.command()
@click.option("--from", "start", required=True, type=DAY, help="First day, YYYY-MM-DD.")
@click.option("--to", "end", required=True, type=DAY, help="Last day, YYYY-MM-DD.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A Parquet file.")
@click.option("--labels", "with_labels", is_flag=True, help="Add the labels, and when each was known.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
def export(start: str, end: str, out: Path, with_labels: bool, bundle: str) -> None:
    """Write the nine factors and their z-scores, a row a session and universe member."""
    import pyarrow.parquet as pq

    from engine import settings
    from engine.files import replaced_file
    from engine.host.registration import install
    from engine.model.label_columns import LabelColumns
    from engine.panels.bundle import open_bundle
    from engine.pipeline.export import Coverage, factor_frames
    from engine.pipeline.factors import NAMES
    from engine.pipeline.research import CHUNK, rows_between
    from engine.pipeline.universe import empty_universe

    in_order(start, end)
    require_folder(out)
    install()
    opened, values = open_bundle(bundle), settings.load()
    first, last = rows_between(opened, start, end)
    labels = LabelColumns(opened.panels, values.labels) if with_labels else None
    coverage, writer = Coverage(), None
    with replaced_file(out) as beside, progress_bar("factors", -(-(last - first + 1) // CHUNK)) as advance:
        for frame in factor_frames(opened, values, first, last, coverage, labels or _no_further):
            table = frame.to_arrow()
            writer = writer or pq.ParquetWriter(beside, table.schema, compression="zstd")
            writer.write_table(table)
            advance()
        assert writer is not None
        writer.close()
        if not any(coverage.members):
            raise empty_universe(start, end)
    for name in NAMES:
        share, at = coverage.lowest(name)
        day = opened.panels.days[first + at]
        click.echo(f"{name:<16}{coverage.share(name):>7.1%} of members have a value, fewest {share:.1%} on {day}")
    if missing := coverage.without_market_cap:
        rows = "1 row of a stock" if missing == 1 else f"{missing:,} rows of stocks"
        click.echo(f"left out: {rows} whose market cap is not known on the day (daily_basic has no total_mv)")
    if labels is not None:
        click.echo(labels.told())
    click.echo(f"{sum(coverage.members):,} rows, {len(coverage.members):,} sessions: {out}")


def _no_further(rows: object, sids: object) -> Sequence[pl.Series]:
    return ()


class Horizons(click.ParamType):
    """Numbers of sessions written 1,5,20; commands get them ascending, each once."""

    name = "sessions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the horizons, or refuse them with the command's own usage."""
        words = str(value).split(",")
        if not all(word.strip().isascii() and word.strip().isdigit() and 0 < int(word) <= _LONGEST for word in words):
            self.fail(f"{value!r} are no horizons; write sessions from 1 to {_LONGEST}, as 1,5,10,20.", param, ctx)
        return tuple(sorted({int(word) for word in words}))


_LONGEST = 1000


@factor.command("ic")
@click.option("--from", "start", required=True, type=DAY, help="First day, YYYY-MM-DD.")
@click.option("--to", "end", required=True, type=DAY, help="Last day, YYYY-MM-DD.")
@click.option("--horizons", type=Horizons(), default="1,5,10,20", show_default=True, help="Sessions of the returns.")
@click.option("--quantiles", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the daily series to this Parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with every figure.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
def information_coefficients(
    start: str, end: str, horizons: tuple[int, ...], quantiles: int, out: Path | None, as_json: bool, bundle: str
) -> None:
    """Show how the factors ordered the excess returns that followed, over each session's universe.

    A return runs from the open after the decision, as that of a label (a suspended exit at the carried price, a
    delisting with its loss). Sessions too late for a horizon have no coefficient over it.
    """
    import polars as pl

    from engine import settings
    from engine.files import replaced_file
    from engine.host.registration import install
    from engine.model.factor_ic import chunks_between, daily_frame, factor_ics, forward_returns
    from engine.panels.bundle import open_bundle
    from engine.pipeline.research import rows_between

    in_order(start, end)
    if out is not None:
        require_folder(out)
    install()
    opened, values = open_bundle(bundle), settings.load()
    first, last = rows_between(opened, start, end)
    label_horizon = values.labels.horizon
    wanted = sorted({*horizons, label_horizon})
    _require_a_window(opened.panels, first, wanted[0])
    returns = forward_returns(opened.panels, values.labels, wanted, first, last)
    shown, daily = [], []
    with progress_bar("factors", chunks_between(first, last)) as advance:
        for found in factor_ics(opened, values, returns, first, last, quantiles, advance):
            shown.append(found.summary())
            daily.append(daily_frame(opened.panels, first, found))
    if out is not None:
        with replaced_file(out) as beside:
            pl.concat(daily).write_parquet(beside)
    if as_json:
        about = {"from": start, "to": end, "sessions": last - first + 1, "data_id": opened.panels.data_id}
        about |= {"label_horizon": label_horizon, "index": values.labels.index, "quantiles": quantiles}
        click.echo(json.dumps(finite({**about, "factors": shown})))
        return
    _show_factors(shown)
    _show_coefficients(shown, label_horizon)
    _show_quantiles(shown, label_horizon)
    click.echo(f"{last - first + 1:,} sessions from {start} to {end}, excess over {values.labels.index}")
    if out is not None:
        click.echo(f"{sum(frame.height for frame in daily):,} rows: {out}")


def _require_a_window(panels: Panels, first: int, shortest: int) -> None:
    """Refuse a range in which not a single return is over."""
    if first + shortest + 1 >= len(panels.days):
        raise OutsideData(
            f"there is no return after {panels.days[first]} yet",
            f"one over {shortest} sessions ends {shortest + 1} after the decision, and the bundle on {panels.days[-1]}",
            "Choose an earlier first day, or a shorter one of --horizons.",
        )


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _marked(mean: dict[str, Any], form: str) -> str:
    """Return a mean with a star where its interval excludes 0."""
    return _number(mean["mean"], form) + ("*" if mean["excludes_zero"] else " ")


def _show_factors(shown: list[dict[str, Any]]) -> None:
    rows = [
        (row["factor"], str(row["window"]), row["unit"], row["source"], _number(row["coverage"], ".1%"))
        for row in shown
    ]
    show_table(("factor", "window", "unit", "source", "covered"), rows)
    click.echo("covered: the share of members with a raw value; the others are left out of what follows\n")


def _show_coefficients(shown: list[dict[str, Any]], label_horizon: int) -> None:
    horizons = [found["horizon"] for found in shown[0]["coefficients"]]
    head = ["factor", "IC", "sd", "rank IC", "sd", "ICIR", "se", "t", "95 %", *(f"over {h} " for h in horizons)]
    rows = []
    for row in shown:
        by_horizon = {found["horizon"]: found for found in row["coefficients"]}
        plain, rank = by_horizon[label_horizon]["ic"], by_horizon[label_horizon]["rank_ic"]
        figures = [(plain["mean"], "+.3f"), (plain["sd"], ".3f"), (rank["mean"], "+.3f"), (rank["sd"], ".3f")]
        figures += [(rank["icir"], "+.2f"), (rank["standard_error"], ".3f"), (rank["t"], "+.1f")]
        interval = f"{_number(rank['low'], '+.3f')} {_number(rank['high'], '+.3f')}"
        decay = [_marked(by_horizon[horizon]["rank_ic"], "+.3f") for horizon in horizons]
        rows.append((row["factor"], *(_number(*figure) for figure in figures), interval, *decay))
    show_table(head, rows)
    click.echo(f"IC to 95 %: over {label_horizon} sessions, as the labels; ICIR: mean / sd of the daily rank IC")
    click.echo("se, t, 95 %: Newey-West with lag = horizon - 1; * = the 95 % interval of the rank IC excludes 0")
    counts = (f"{_span(shown, at)} over {horizon}" for at, horizon in enumerate(horizons))
    click.echo(f"sessions with a coefficient: {', '.join(counts)}\n")


def _span(shown: list[dict[str, Any]], at: int) -> str:
    """Return how many sessions entered a column, the fewest and the most of any factor."""
    counts = sorted({row["coefficients"][at]["rank_ic"]["n"] for row in shown})
    return " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))


def _show_quantiles(shown: list[dict[str, Any]], label_horizon: int) -> None:
    count = len(shown[0]["quantiles"]["returns"])
    lags = list(shown[0]["quantiles"]["rank_autocorrelation"])
    head = ["factor", *(f"Q{n}" for n in range(1, count + 1)), f"Q{count}-Q1 ", "sessions", "turnover Q1", f"Q{count}"]
    show_table([*head, *(f"rank ac {lag}" for lag in lags)], list(_quantile_rows(shown)))
    click.echo(
        f"Q1 to Q{count}: mean excess return over {label_horizon} sessions of the names by factor, Q1 the lowest"
    )
    click.echo("turnover: share of the names that were not in the quantile the session before")
    click.echo("rank ac: correlation of the factor's ranks with those so many sessions before\n")


def _quantile_rows(shown: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in shown:
        found = row["quantiles"]
        yield (
            row["factor"],
            *(_number(mean, "+.2%") for mean in found["returns"]),
            _marked(found["spread"], "+.2%"),
            f"{found['spread']['n']:,}",
            _number(found["turnover_bottom"], ".1%"),
            _number(found["turnover_top"], ".1%"),
            *(_number(value, "+.3f") for value in found["rank_autocorrelation"].values()),
        )
