"""``ashare doctor``: what is not in order, and what to do about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import click

from engine.cli.findings import Finding, Level, Patient, look
from engine.errors import DataNotFit

if TYPE_CHECKING:
    from engine.words import Say

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command()
@click.option("--online", is_flag=True, help="Ask Tushare what the token may ask; a call an endpoint, 5 seconds each.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def doctor(ctx: click.Context, online: bool, as_json: bool) -> None:
    """Look whether everything is in order: versions, settings, secrets, clock, disk, data, models, accounts.

    Each finding is ok, a warning or a problem, with what to do about it. Exit code 3 if there is a problem. Nothing is
    changed, and nobody outside is asked without --online.
    """
    from engine.cli.common import sayer

    say, found = sayer(), list[Finding]()
    for finding in _findings(ctx, patient(), online):
        found.append(finding)
        if not as_json:
            _show(finding, say)
    counts = Counter(finding.level for finding in found)
    if as_json:
        document = {"findings": [finding.to_json() for finding in found], "counts": {at: counts[at] for at in Level}}
        click.echo(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        said = say("{problems} problems, {warnings} warnings", problems=counts[Level.PROBLEM],
                   warnings=counts[Level.WARNING])  # fmt: skip
        click.echo(f"\n{said}")
    ctx.exit(DataNotFit.exit_code if counts[Level.PROBLEM] else 0)


def patient() -> Patient:
    """Return what is looked at; the defaults stand in for settings that cannot be read."""
    from engine import clock, settings
    from engine.cli.common import sayer
    from engine.errors import SettingsError

    try:
        values = settings.load()
    except SettingsError:
        values = settings.Settings.model_construct(home=settings.home_folder())
    return Patient(values, clock.now(), sayer())


def _findings(ctx: click.Context, patient: Patient, online: bool) -> Iterator[Finding]:
    """Yield the engine's findings, then those of lake and vendor, which the engine knows by the command's name only."""
    from engine.cli.checkup import CHECKS

    for name, check in CHECKS.items():
        yield from look(name, check, patient)
    for entry in entry_points(group="ashare.commands", name="data"):
        yield from ctx.invoke(entry.load().commands["findings"], online=online)


def _show(finding: Finding, say: Say) -> None:
    from rich.cells import cell_len

    level = say(str(finding.level))
    mark = click.style(level + " " * (8 - cell_len(level)), fg=_COLOURS[finding.level])  # 警告 is four columns wide
    click.echo(f"{mark}{finding.check:<22}{finding.said}")
    if finding.remedy:
        click.echo(f"{'':<8}{'':<22}> {finding.remedy}")
