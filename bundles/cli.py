"""``ashare data``: import, build, status, verify."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from engine.cli.common import DAY


@click.group()
def data() -> None:
    """Import market data into the lake and look at it."""


@data.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--label", default="", help="What the data are, if that must be said wherever they are shown.")
def import_(folder: Path, label: str) -> None:
    """Import a folder of Tushare-shaped Parquet or CSV files, one sub-folder an endpoint.

    All of it is taken or nothing. What the lake holds already is left out; a changed row becomes a new version.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from bundles.importer import import_folder
    from bundles.lake import Lake
    from engine import clock, settings

    values = settings.load()
    columns = TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("import", total=None)
        done = import_folder(
            folder,
            Lake(values.lake),
            clock.now().date(),
            values.data.undated,
            label,
            lambda name, at, total: bar.update(task, description=name or "done", completed=at, total=total),
        )
    for name in dict.fromkeys([*done.rows, *done.left_out]):
        notes = [f"{done.changed[name]:,} changed"] if done.changed.get(name) else []
        notes += [f"{done.undated[name]:,} without a date ({values.data.undated})"] if done.undated.get(name) else []
        notes += [f"{done.left_out[name]:,} of no A share left out"] if name in done.left_out else []
        click.echo(f"{name:<14}{done.rows.get(name, 0):>12,} rows  {', '.join(notes)}".rstrip())
    if not done.rows:
        click.echo("nothing new")
    if done.ignored:
        click.echo(f"not used: {', '.join(done.ignored)}")
    click.echo(f"lake {values.lake}, data id {done.version.data_id}. Next: zipline ingest -b ashare")


@data.command()
@click.option("--as-known-at", type=DAY, help="Build what was known at the close of this day, beside the newest data.")
@click.option("--full", is_flag=True, help="Compute every session anew; the result is the same.")
def build(as_known_at: str | None, full: bool) -> None:
    """Build the bundle from the lake, as `zipline ingest -b ashare` does."""
    from bundles.ingest import after, announcer, ingest_now, ingest_view

    if as_known_at is None:
        click.echo(f"ingestion {ingest_now(announcer(), full)}")
        return
    place = ingest_view(dt.date.fromisoformat(as_known_at), announcer())
    click.echo(f"ingestion {place}")
    click.echo(f"use it: zipline run -b ashare --trading-calendar XSHG --bundle-timestamp {after(place)} -f ...")


@data.command()
def status() -> None:
    """Show what the lake holds."""
    from bundles.importer import endpoint_summary
    from bundles.lake import Lake
    from engine import settings

    lake = Lake(settings.load().lake)
    version = lake.require()
    for name, rows, first, last in endpoint_summary(lake, version):
        click.echo(f"{name:<14}{rows:>12,} rows  known from {first} to {last}")
    click.echo(f"lake {lake.root}, version {version.number}, data id {version.data_id}")


@data.command()
def verify() -> None:
    """Compare every file of the lake with its hash."""
    from bundles.lake import Lake
    from engine import settings

    lake = Lake(settings.load().lake)
    version = lake.require()
    lake.verify(version)
    files = sum(len(parts) for parts in version.parts.values())
    click.echo(f"{files} files agree with their hashes, data id {version.data_id}")
