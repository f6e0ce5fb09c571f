"""``ashare backtest`` and ``ashare report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("strategy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-s", "--start", required=True, help="First session, YYYY-MM-DD.")
@click.option("-e", "--end", required=True, help="Last session, YYYY-MM-DD.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option(
    "--capital", type=click.FloatRange(min=0, min_open=True), default=10_000_000.0, show_default=True, help="CNY."
)
@click.option("-v", "--verbose", is_flag=True, help="Show zipline's own log.")
def backtest(strategy: Path, start: str, end: str, bundle: str, capital: float, verbose: bool) -> None:
    """Run a strategy file as `zipline run` would, with the defaults filled in."""
    folder = run(strategy, start, end, bundle, capital, verbose)
    click.echo(folder)


def run(
    strategy: Path, start: str, end: str, bundle: str = "ashare", capital: float = 1e7, verbose: bool = False
) -> Path:
    """Run a strategy through zipline's own command and return the run folder."""
    import logging

    import pandas as pd
    from zipline.__main__ import main as zipline

    import engine.extension  # noqa: F401  (puts our parts in place, extension.py or not)

    arguments: list[Any] = ["run", "-f", str(strategy), "-b", bundle, "--trading-calendar", "XSHG"]
    arguments += ["-s", start, "-e", end, "--capital-base", str(capital), "-o", os.devnull]
    arguments += ["--bundle-timestamp", str(pd.Timestamp.now("UTC"))]
    if not verbose:
        logging.disable(logging.INFO)
    try:
        perf = zipline.main(arguments, prog_name="zipline", standalone_mode=False)
    finally:
        logging.disable(logging.NOTSET)
    return Path(perf.attrs["run"])


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def report(folder: Path | None) -> None:
    """Render the tear-sheet of a run again; by default of the newest one."""
    from engine import settings
    from engine.errors import DataNotFit
    from engine.report.runs import runs_newest_first
    from engine.report.tearsheet import render

    runs = settings.load().runs
    if folder is None:
        newest = next(iter(runs_newest_first(runs)), None)
        if newest is None:
            raise DataNotFit(
                "there is no run to report", f"{runs} is empty", "Run `ashare backtest STRATEGY -s ... -e ...`."
            )
        folder = newest
    click.echo(render(folder if folder.exists() else runs / folder.name))
