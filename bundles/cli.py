"""``ashare data``: import, sync, build, status, verify, quarantine, perturb."""

from __future__ import annotations

import datetime as dt
import gc
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.common import DAY, MOMENT, progress_bar, shanghai, show_table
from engine.prove.kinds import Kind

if TYPE_CHECKING:
    import polars as pl

    from bundles.status import Held
    from engine.cli.findings import Finding


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
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with every hole.")
def status(as_json: bool) -> None:
    """Show what the lake holds: days, rows, when they came, holes, rows held back.

    A hole is a session between the lake's first bar and its last of which a table has no row.
    """
    from bundles import checks
    from bundles.lake import Lake
    from bundles.status import holdings, shown, waiting
    from engine import settings

    lake = Lake(settings.load().lake)
    version = lake.require()
    held = list(holdings(lake, version, waiting(checks.held_back(lake, version))))
    if as_json:
        said = {"lake": str(lake.root), "version": version.number, "data_id": version.data_id, "label": version.label}
        said["endpoints"] = [shown(entry) for entry in held]
        click.echo(json.dumps(said, ensure_ascii=False, default=str))
        return
    _show(held)
    for entry in (entry for entry in held if entry.holes):
        assert entry.holes
        days = ", ".join(map(str, entry.holes[:FIRST_HOLES])) + (" ..." if len(entry.holes) > FIRST_HOLES else "")
        click.echo(f"{entry.endpoint} has no rows of {days}")
    click.echo(f"lake {lake.root}, version {version.number}, data id {version.data_id}")


FIRST_HOLES = 5
"""How many holes of an endpoint are named."""
_HEAD = ("endpoint", "rows", "first", "last", "came", "asked until", "holes", "held back")


def _show(held: Sequence[Held]) -> None:
    rows = [
        (
            entry.endpoint,
            f"{entry.rows:,}",
            *(str(day or "-") for day in (entry.first, entry.last, entry.fetched, entry.asked_until)),
            "-" if entry.holes is None else f"{len(entry.holes):,}",
            f"{entry.held_back:,}",
        )
        for entry in held
    ]
    show_table(_HEAD, rows)


@data.command()
@click.option("--json", "as_json", is_flag=True, help="Print every finding.")
def verify(as_json: bool) -> None:
    """Compare every file of the lake with its hash, and its tables with each other.

    Exits with 3 if a row cannot be true, or a day lacks more than the setting data.coverage allows.
    """
    from bundles import checks
    from bundles.lake import Lake
    from engine import settings

    values = settings.load()
    lake = Lake(values.lake)
    version = lake.require()
    files = sum(len(parts) for parts in (*version.parts.values(), *version.held_back.values()))
    with progress_bar("files and years", files + len(checks.years(lake, version))) as advance:
        lake.verify(version, advance)
        found, short = checks.whole_lake(lake, version, advance=advance)
    stopped = checks.under(short, values.data.coverage)
    if as_json:
        shown = {"data_id": version.data_id, "findings": found.to_dicts(), "under_coverage": stopped.to_dicts()}
        click.echo(json.dumps(shown, ensure_ascii=False, default=str))
    else:
        for line in _table(found):
            click.echo(line)
        click.echo(f"{files} files agree with their hashes, {found.height:,} findings, data id {version.data_id}")
    checks.require_true(lake, version, found, stopped)


def _table(found: pl.DataFrame) -> Iterator[str]:
    """Yield a line for each check and endpoint: how many findings, and the first of them."""
    for (check, endpoint), group in found.group_by("check", "endpoint", maintain_order=True):
        first = group.row(0, named=True)
        where = " ".join(str(first[name]) for name in ("ts_code", "trade_date") if first[name] is not None)
        verdict = "not true" if first["holds_back"] else "look at"
        yield f"{check!s:<22}{endpoint!s:<14}{group.height:>9,}  {verdict:<9} first {where}: {first['detail']}"


@data.command()
@click.option("--json", "as_json", is_flag=True, help="Print every row with all its columns.")
def quarantine(as_json: bool) -> None:
    """Show the rows that were held back, and why; those the lake has received since are marked."""
    from bundles import checks
    from bundles.endpoints import ENDPOINTS
    from bundles.lake import Lake
    from engine import settings

    lake = Lake(settings.load().lake)
    held = checks.held_back(lake, lake.require())
    if as_json:
        click.echo(json.dumps(held.to_dicts(), ensure_ascii=False))
        return
    for row in held.iter_rows(named=True):
        key = " ".join(row[name] or "-" for name in ENDPOINTS[row["endpoint"]].key)
        since = ", received since" if row["released"] else ""
        click.echo(f"{row['endpoint']:<14}{key}  {row['check']}: {row['detail']} (of {row['fetched_at']}{since})")
    click.echo(f"{held.height:,} rows held back, {held['released'].sum():,} of them received since")


@data.command()
@click.option("--from", "first", type=DAY, help="First day asked for.")
@click.option("--to", "last", type=DAY, help="Last day asked for.")
@click.option("--label", default="", help="What the data are, if that must be said wherever they are shown.")
@click.option("--build", "and_build", is_flag=True, help="Build the bundle afterwards, in the same process.")
@click.option(
    "--now", type=MOMENT, help="Pretend it is this moment (YYYY-MM-DDTHH:MM, Shanghai): for trials on old data."
)
def sync(first: str | None, last: str | None, label: str, and_build: bool, now: dt.datetime | None) -> None:
    """Bring the lake up to date from Tushare.

    Without dates: what came since the last sync, and the sessions before it once more. A sync that was interrupted
    goes on where it stopped. The lake changes at the very end, or not at all.
    """
    from bundles.lake import Lake
    from bundles.sync.run import Wish
    from bundles.sync.run import sync as run
    from bundles.sync.show import Display, summary
    from bundles.tushare.client import Client
    from engine import settings

    gc.freeze()  # what was imported stays: the collector need not go through it with every reply
    values = settings.load()
    start, end = (dt.date.fromisoformat(day) if day else None for day in (first, last))
    wish = Wish(start, end, label)
    _warn_of_plain_http(values.tushare.base_url)
    with Display() as display, Client.from_settings(values, on_wait=display.waits) as client:
        done = run(Lake(values.lake), client, values, shanghai(now), wish, display.step)
    for line in summary(done):
        click.echo(line)
    if not and_build:
        click.echo(f"lake {values.lake}. Next: ashare data build")
        return
    from bundles.ingest import announcer, ingest_now

    click.echo(f"ingestion {ingest_now(announcer(), full=False)}")


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--after", type=DAY, help="Change what was known after this day; by default nothing is changed.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="How.")
@click.option("--stocks", type=click.IntRange(min=1), help="Copy only so many stocks, drawn by chance.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all chance.")
def perturb(folder: Path, after: str | None, kind: str | None, stocks: int | None, seed: int) -> dict[str, int]:
    """Copy the lake into FOLDER with another future: what `ashare prove lookahead` builds from, to look at by hand.

    Your lake is only read.
    """
    from bundles.lake import Lake
    from bundles.perturb import Change, copy_lake
    from engine import settings
    from engine.errors import UsageError

    change = None
    if after is not None and kind is not None:
        change = Change(Kind(kind), dt.date.fromisoformat(after), seed)
    elif after is not None or kind is not None:
        raise UsageError("half of a change is named", "it has a day and a kind", "Name --after and --kind, or neither.")
    counts = copy_lake(Lake(settings.load().lake), Lake(folder), change, stocks, seed)
    for name, count in counts.items():
        if count:
            click.echo(f"{name:<14}{count:>12,} rows changed", err=True)
    click.echo(f"lake {folder}", err=True)
    return counts


@data.command(hidden=True)
@click.option("--online", is_flag=True, help="Ask the vendor too.")
def findings(online: bool) -> list[Finding]:
    """Return what there is to say of lake, token and vendor; `ashare doctor` says it."""
    from bundles.doctor import CHECKS, ONLINE
    from engine.cli.doctor import patient
    from engine.cli.findings import look

    seen, checks = patient(), {**CHECKS, **(ONLINE if online else {})}
    return [finding for name, check in checks.items() for finding in look(name, check, seen)]


def _warn_of_plain_http(url: str) -> None:
    """Say that the token travels in the open, unless it stays on this machine."""
    from bundles.tushare.client import open_to_all

    if open_to_all(url):
        click.secho(
            f"tushare.base_url is {url}: over plain http everyone on the way can read the token. Use https.",
            fg="yellow",
            err=True,
        )
