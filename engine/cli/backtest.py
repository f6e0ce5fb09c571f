"""``ashare backtest`` and ``ashare why``."""

from __future__ import annotations

import datetime as dt
import json
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from engine.cli.common import DAY, in_order, progress_of
from engine.errors import NoBundle, ScriptFailed


@click.command()
@click.argument("strategy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-s", "--start", required=True, type=DAY, help="First session, YYYY-MM-DD.")
@click.option("-e", "--end", required=True, type=DAY, help="Last session, YYYY-MM-DD.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option(
    "--capital", type=click.FloatRange(min=0, min_open=True), default=10_000_000.0, show_default=True, help="CNY."
)
@click.option(
    "--fills",
    type=click.Choice(["settings", "envelope"]),
    default="settings",
    show_default=True,
    help="Fills as the settings have them, or an optimistic, a base and a pessimistic run side by side.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show zipline's own log.")
def backtest(strategy: Path, start: str, end: str, bundle: str, capital: float, fills: str, verbose: bool) -> None:
    """Run a strategy file as `zipline run` would, with the defaults filled in.

    Names the run folder on standard error and, last, the tear-sheet in it on standard output.
    """
    from engine.report.tearsheet import FILE

    in_order(start, end)
    with sessions_shown():
        if fills == "envelope":
            folder = _envelope(strategy, start, end, bundle, capital, verbose)
        else:
            folder = run(strategy, start, end, bundle, capital, verbose)
    _warn_if_idle(folder, bundle)
    click.echo(folder / FILE if (folder / FILE).exists() else folder)


@contextmanager
def sessions_shown() -> Iterator[None]:
    """Show how far a run is; a command with a bar of its own leaves this out, for two cannot be drawn at once."""
    from engine.host.progress import watched

    with progress_of("sessions") as told, watched(told):
        yield


def run(
    strategy: Path, start: str, end: str, bundle: str = "ashare", capital: float = 1e7, verbose: bool = False
) -> Path:
    """Run a strategy through zipline's own command and return the run folder.

    Raises
    ------
    NoBundle
        There is no such bundle of ours, or nothing was ingested into it.
    ScriptFailed
        The script raised; the exception is the cause.
    """
    import logging

    import pandas as pd
    from zipline.__main__ import main as zipline

    import engine.extension  # noqa: F401  (puts our parts in place, extension.py or not)

    _require_ours(bundle)
    arguments: list[Any] = ["run", "-f", str(strategy), "-b", bundle, "--trading-calendar", "XSHG"]
    arguments += ["-s", start, "-e", end, "--capital-base", str(capital), "-o", os.devnull]
    arguments += ["--bundle-timestamp", str(pd.Timestamp.now("UTC"))]
    if not verbose:
        logging.disable(logging.INFO)
    try:
        with failures_named(str(strategy)):
            perf = zipline.main(arguments, prog_name="zipline", standalone_mode=False)
    finally:
        logging.disable(logging.NOTSET)
    return Path(perf.attrs["run"])


def _envelope(strategy: Path, start: str, end: str, bundle: str, capital: float, verbose: bool) -> Path:
    """Run the three readings of the bars, say what they span, and return the folder of the base run."""
    from engine.report.envelope import SCENARIOS, write_envelope
    from engine.report.tearsheet import FILE, render

    folders = {}
    before = os.environ.get(_SCENARIO)
    try:
        for scenario in SCENARIOS:
            os.environ[_SCENARIO] = scenario
            folders[scenario] = run(strategy, start, end, bundle, capital, verbose)
    finally:
        os.environ.pop(_SCENARIO)
        if before is not None:
            os.environ[_SCENARIO] = before
    for row in write_envelope(folders):
        click.echo(
            f"{row['scenario']:<12} total return {row['total_return']:>8.2%}  maximum drawdown"
            f" {row['maximum_drawdown']:>8.2%}  final {row['final_net_value']:>16,.2f} CNY  {row['fills']:,} fills"
        )
    for folder in folders.values():
        if (folder / FILE).exists():
            render(folder)
    return folders["base"]


_SCENARIO = "ASHARE_EXECUTION__SCENARIO"


def _require_ours(bundle: str) -> None:
    """Refuse a bundle of zipline's own or of nobody: the rules of this market would not hold for it."""
    from engine.host.registration import GROUP

    ours = sorted(entry_points(group=GROUP).names)
    if bundle not in ours:
        raise NoBundle(f"{bundle!r} is no A-share bundle", f"there is {', '.join(ours)}", "Name it with -b.")


@contextmanager
def failures_named(script: str) -> Iterator[None]:
    """Make an exception that passed a script a failure of it, with its place; any other goes on as it is.

    Raises
    ------
    ScriptFailed
        The script raised; the exception is the cause.
    """
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:
        place = place_in_script(error, script)
        if place is None:
            raise
        raise ScriptFailed(place, *_said(error)) from error


def place_in_script(error: Exception, script: str) -> str | None:
    """Return the last place of a script that an exception passed, None if it passed none."""
    name = Path(script).name
    if isinstance(error, SyntaxError) and error.filename == script:
        return f"{name} line {error.lineno}"
    places = [
        f"{name} line {line}" + ("" if frame.f_code.co_name == "<module>" else f", in {frame.f_code.co_name}")
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == script
    ]
    return places[-1] if places else None


def _said(error: Exception) -> tuple[str, str]:
    """Return what an exception of a script says, and what to do about it."""
    from zipline.errors import SymbolNotFound

    if isinstance(error, SymbolNotFound):
        return f"the bundle has no symbol {error.kwargs['symbol']}", "A symbol is a code such as 600000.SH."
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said}".rstrip(": ."), "`ashare --debug ...` shows the traceback."


def _warn_if_idle(folder: Path, bundle: str) -> None:
    """Say on standard error that a run placed no order, and the likely cause."""
    import polars as pl

    from engine.files import read_json
    from engine.panels.bundle import open_bundle
    from engine.report.diagnosis import no_order

    data_start: dt.date = open_bundle(bundle).panels.days[0].item()
    warning = no_order(read_json(folder / "manifest.json"), pl.read_parquet(folder / "orders.parquet"), data_start)
    if warning:
        click.echo(f"Warning: {warning}", err=True)


@click.command()
@click.argument("ts_code")
@click.argument("day", type=DAY)
@click.argument("folder", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON: the lines.")
def why(ts_code: str, day: str, folder: Path | None, bundle: str, as_json: bool) -> None:
    """Say why a run held a stock or did not; by default the newest run.

    Shows the last rebalance up to DAY: rank, score, factors, the reason; then what became of the stock's orders.
    """
    from engine import settings
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle
    from engine.report.why import story

    values = settings.load()
    found = run_folder(folder, values.runs)
    install()
    lines = story(found, open_bundle(bundle), ts_code, dt.date.fromisoformat(day)).lines(values)
    if as_json:
        click.echo(json.dumps({"run": found.name, "ts_code": ts_code, "day": day, "lines": list(lines)}))
        return
    for line in lines:
        click.echo(line)


def run_folder(folder: Path | None, runs: Path) -> Path:
    """Return the folder of a run: the one named, by its path or its id, or the newest.

    Raises
    ------
    DataNotFit
        There is none.
    """
    from engine.errors import DataNotFit
    from engine.report.runs import runs_newest_first

    mend = "Run `ashare backtest STRATEGY -s ... -e ...`."
    if folder is None:
        newest = next(iter(runs_newest_first(runs)), None)
        if newest is None:
            raise DataNotFit("there is no run to report", f"{runs} is empty", mend)
        return newest
    found = folder if folder.exists() else runs / folder.name
    if not (found / "manifest.json").exists():
        raise DataNotFit(f"{found} is no finished run", "it has no manifest.json", mend)
    return found
