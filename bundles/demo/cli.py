"""``ashare demo``: the whole chain on the demo market, each step the command a user would type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from engine.errors import UsageError

MARKER = ".ashare-demo"
MONTHS = ("2023-01", "2023-12")
SESSIONS = ("2023-01-03", "2023-12-29")
SETTINGS = """\
# The demo market has 240 stocks, so a larger part of them is held than of a real market's thousands.
[selection]
fraction = 0.2
"""


@click.command()
@click.option("--noise", is_flag=True, help="The twin market without any alpha: nothing to be found.")
@click.option(
    "--folder", default=".demo", show_default=True, type=click.Path(path_type=Path), help="Where it all happens."
)
def demo(noise: bool, folder: Path) -> None:
    """Make a synthetic market and take it from data to tear-sheet: no token, no network, nothing of yours touched.

    The market is served on this machine as Tushare would serve it, and downloaded from there.
    """
    started = time.monotonic()
    home = _fresh(folder.absolute())
    truth = _market(home / "market", noise)
    strategy = str(resources.files("strategies") / "momentum_dnn.py")
    chain = Chain(home)
    chain.run("ashare", "init")
    _sync(chain, truth["first"], truth["last"])
    chain.run("zipline", "ingest", "-b", "ashare", "--no-show-progress")
    chain.run("ashare", "train", "--start", MONTHS[0], "--end", MONTHS[1])
    run = ("zipline", "run", "-f", strategy, "-b", "ashare", "--trading-calendar", "XSHG")
    chain.run(*run, "-s", SESSIONS[0], "-e", SESSIONS[1], "-o", os.devnull)
    _summary(home, truth, time.monotonic() - started, " ".join(chain.shown(run)))


def _fresh(folder: Path) -> Path:
    """Empty the demo's folder; a folder that is not the demo's is left alone."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
            raise UsageError(f"the demo cannot use {folder}", "it is not empty and no demo made it", _ANOTHER)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / MARKER).touch()
        (folder / "ashare.toml").write_text(SETTINGS, "utf-8")
    except OSError as error:
        raise UsageError(f"the demo cannot use {folder}", error.strerror or str(error), _ANOTHER) from None
    return folder


_ANOTHER = "Name another folder with --folder."


def _market(folder: Path, noise: bool) -> dict[str, Any]:
    from bundles.demo.market import Spec, write_market
    from engine import clock

    until = f"{clock.now().year + 1}-12-31"
    spec = Spec(alpha=0.0, calendar_until=until) if noise else Spec(calendar_until=until)
    kind = "nothing planted" if noise else f"a planted alpha of {spec.alpha:.2%} a session and standard deviation"
    click.secho(f"A synthetic market: {spec.stocks} stocks, {spec.first} to {spec.last}, {kind}.", bold=True)
    return write_market(spec, folder)


def _sync(chain: Chain, first: str, last: str) -> None:
    """Serve the market on loopback and let the real client download it."""
    from bundles.demo.server import LocalTushare

    with LocalTushare(chain.home / "market", _TOKEN, calls_per_minute=_UNHURRIED) as server:
        account = {
            "ASHARE_TUSHARE_TOKEN": _TOKEN,
            "ASHARE_TUSHARE__BASE_URL": server.url,
            "ASHARE_TUSHARE__POINTS": str(server.points),
            "ASHARE_TUSHARE__CALLS_PER_MINUTE": str(_UNHURRIED),
            "ASHARE_TUSHARE__CONNECTIONS": "3",
            # one answer a question is enough here: this server has no faults; the default of 2 is for a real vendor
            "ASHARE_TUSHARE__ANSWERS": "1",
            # thousands of small answers: threads that share one of them out cost more than they save
            "POLARS_MAX_THREADS": "1",
        }
        chain.run("ashare", "data", "sync", "--from", first, "--to", last, "--label", _label(), more=account)


_TOKEN = "demo-token"  # noqa: S105
_UNHURRIED = 1_000_000
"""Calls a minute, so many that nobody waits."""


def _label() -> str:
    from bundles.demo.market import LABEL

    return LABEL


class Chain:
    """Runs commands in the demo's own home and shows them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("ASHARE_")} | {
            "ASHARE_HOME": str(home),
            "ZIPLINE_ROOT": str(home / "zipline"),
            "PYTHONWARNINGS": "ignore",
        }

    def shown(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command as one would type it here."""
        here = f"{Path.cwd()}{os.sep}"
        return tuple(word.replace(here, "") for word in command)

    def run(self, *command: str, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """Run one command, with more in its environment if given, and stop the demo if it fails."""
        click.secho(
            "$ " + " ".join(word if " " not in word else f"'{word}'" for word in self.shown(command)), fg="cyan"
        )
        program = Path(sys.executable).with_name(command[0])
        started = time.monotonic()
        process = subprocess.Popen(
            [str(program), *command[1:]],
            env=self.environment | dict(more),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        said = [line.rstrip() for line in process.stdout]
        if process.wait():
            raise click.ClickException("\n".join(["the demo stopped:", *said[-15:]]))
        for line in said if command[0] == "ashare" else []:
            click.echo(f"  {line}")
        click.secho(f"  {time.monotonic() - started:.1f} s", dim=True)


def _summary(home: Path, truth: dict[str, Any], seconds: float, command: str) -> None:
    from engine.report.runs import runs_newest_first

    newest = runs_newest_first(home / "runs")[0]
    manifest = json.loads((newest / "manifest.json").read_text("utf-8"))
    click.echo()
    click.secho(
        f"Done in {seconds:.0f} s on a synthetic market; none of this says anything about a real one.", bold=True
    )
    click.echo(f"planted       rank IC of the signal {truth['rank_ic_of_the_signal']:+.3f} ({truth['signal']})")
    became = f"{manifest['capital']:,.0f} CNY became {manifest['final_net_value']:,.0f}"
    click.echo(f"result        {became} in {manifest['sessions']} sessions")
    reasons = ", ".join(f"{name} {count:,}" for name, count in manifest["reasons"].items() if count)
    click.echo(f"orders        {reasons}")
    click.echo(f"tear-sheet    {newest / 'tearsheet.html'}")
    click.echo(
        f"once more     ASHARE_HOME={home} ZIPLINE_ROOT={home / 'zipline'} {command} -s {SESSIONS[0]} -e {SESSIONS[1]}"
    )


@click.command(name="demo-server")
@click.option(
    "--folder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of Tushare-shaped files, one sub-folder an endpoint.",
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Default: any free one.")
@click.option("--token", default="demo-token", show_default=True, help="The token it accepts.")
@click.option("--points", default=5000, show_default=True, help="Points of the account.")
@click.option("--calls-per-minute", default=500, show_default=True, type=click.IntRange(1), help="For an endpoint.")
@click.option("--fault", "faults", multiple=True, help="kind[:seed[:at[:lasting|transient[:endpoint]]]]; repeatable.")
def demo_server(
    folder: Path, port: int, token: str, points: int, calls_per_minute: int, faults: tuple[str, ...]
) -> None:
    """Serve a folder on this machine as Tushare would, until Ctrl-C."""
    from bundles.demo.faults import Fault
    from bundles.demo.server import LocalTushare

    try:
        planted = [Fault.parse(text) for text in faults]
    except ValueError as error:
        raise UsageError("--fault cannot be read", str(error), "Write kind:seed:at:lasting:endpoint.") from None
    try:
        server = LocalTushare(folder, token, points, calls_per_minute, planted, port=port)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be used", error.strerror or str(error), "Name another with --port."
        ) from None
    click.echo(f"Tushare's protocol at {server.url} over {folder}; set ASHARE_TUSHARE__BASE_URL to it. Ctrl-C ends it.")
    try:
        server.serve()
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        server.close()
