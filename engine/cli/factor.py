"""``ashare factor``: export."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.common import DAY, in_order, progress_bar, require_folder
from engine.errors import OutsideData


@click.group()
def factor() -> None:
    """Factor values for research."""


@factor.command()
@click.option("--from", "start", required=True, type=DAY, help="First day, YYYY-MM-DD.")
@click.option("--to", "end", required=True, type=DAY, help="Last day, YYYY-MM-DD.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A Parquet file.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
def export(start: str, end: str, out: Path, bundle: str) -> None:
    """Write the nine factors and their z-scores, a row a session and universe member."""
    import pyarrow.parquet as pq

    from engine import settings
    from engine.files import replaced_file
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle
    from engine.pipeline.export import Coverage, factor_frames
    from engine.pipeline.factors import NAMES
    from engine.pipeline.research import CHUNK, rows_between

    in_order(start, end)
    require_folder(out)
    install()
    opened, values = open_bundle(bundle), settings.load()
    first, last = rows_between(opened, start, end)
    coverage, writer = Coverage(), None
    with replaced_file(out) as beside, progress_bar("factors", -(-(last - first + 1) // CHUNK)) as advance:
        for frame in factor_frames(opened, values, first, last, coverage):
            table = frame.to_arrow()
            writer = writer or pq.ParquetWriter(beside, table.schema, compression="zstd")
            writer.write_table(table)
            advance()
        assert writer is not None
        writer.close()
        if not any(coverage.members):
            raise OutsideData(
                f"the universe is empty from {start} to {end}",
                "no stock was listed, traded, old enough and of the wanted size",
                "Choose later dates, or widen the universe in the settings.",
            )
    for name in NAMES:
        share, at = coverage.lowest(name)
        day = opened.panels.days[first + at]
        click.echo(f"{name:<16}{coverage.share(name):>7.1%} of members have a value, fewest {share:.1%} on {day}")
    if missing := coverage.without_market_cap:
        rows = "1 row of a stock" if missing == 1 else f"{missing:,} rows of stocks"
        click.echo(f"left out: {rows} whose market cap is not known on the day (daily_basic has no total_mv)")
    click.echo(f"{sum(coverage.members):,} rows, {len(coverage.members):,} sessions: {out}")
