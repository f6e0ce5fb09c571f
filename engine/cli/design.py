"""``ashare audit-design``: how much hangs on each reading the design leaves open."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.common import DAY, in_order, progress_bar, show_table

if TYPE_CHECKING:
    from engine.report.design import Reading
    from engine.settings import Settings


@click.command("audit-design")
@click.option("-s", "--start", required=True, type=DAY, help="First session, YYYY-MM-DD.")
@click.option("-e", "--end", required=True, type=DAY, help="Last session, YYYY-MM-DD.")
@click.option("-f", "--file", "strategy", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The strategy; by default the flagship.")  # fmt: skip
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--capital", type=click.FloatRange(min=0, min_open=True), default=10_000_000.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit_design(start: str, end: str, strategy: Path | None, bundle: str, capital: float, as_json: bool) -> None:
    """Run the same period with each ambiguous reading of the design switched, one at a time.

    One table says how much each moves return, Sharpe ratio and drawdown; another one what the rules of risk do: none of
    them, each alone, and all that the settings have. It is no search for the best one: defaults are settled beforehand.
    """
    from engine.cli.backtest import run
    from engine.errors import NoModel
    from engine.report.design import READINGS, Moved, moved, rules_alone, rules_table, table
    from engine.settings import environment, load

    in_order(start, end)
    values = load()
    script = strategy or Path(str(resources.files("strategies") / "momentum_dnn.py"))
    readings = [reading for reading in READINGS if not reading.in_force(values)]
    alone, found, rules = rules_alone(values), list[Moved](), list[Moved]()
    runs = 1 + len(readings) + len(alone)
    with environment({"ASHARE_REPORT__TEARSHEET": "false"}), progress_bar("readings", runs) as advance:
        folder = run(script, start, end, bundle, capital)
        base = moved("as the settings have it", folder)
        advance()
        for reading in readings:
            try:
                with environment(reading.environment):
                    found.append(moved(reading.what, run(script, start, end, bundle, capital)))
            except NoModel:
                if not reading.models:
                    raise
                found.append(Moved(reading.what, {}, train=_training(reading, start, end, values, folder)))
            advance()
        for reading in alone:
            with environment(reading.environment):
                rules.append(moved(reading.what, run(script, start, end, bundle, capital)))
            advance()
    if as_json:
        click.echo(json.dumps([one.__dict__ for one in (base, *found, *rules)], indent=2))
        return
    show_table(*table(base, found))
    if rules:
        click.echo()
        show_table(*rules_table(base, rules))
    for one in found:
        if one.train:
            click.echo(f"not run: {one.what}; it needs models of its own: {one.train}")


def _training(reading: Reading, start: str, end: str, values: Settings, base: Path) -> str:
    """Return the command that trains what a reading lacks."""
    assignments = " ".join(f"{name}={value}" for name, value in reading.environment.items())
    events = f" --events {base.name}" if values.watch.retrain or "watch.retrain" in reading.values else ""
    return f"{assignments} ashare train --start {start[:7]} --end {end[:7]}{events}"
