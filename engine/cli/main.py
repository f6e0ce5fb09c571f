"""``ashare``: commands are named here and loaded when they are called, so that help is there at once."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.files import disk_failed

if TYPE_CHECKING:
    from engine.words import Say

COMMANDS = {
    "init": "engine.cli.setup:init",
    "doctor": "engine.cli.doctor:doctor",
    "factor": "engine.cli.factor:factor",
    "train": "engine.cli.model:train",
    "models": "engine.cli.model:models",
    "backtest": "engine.cli.backtest:backtest",
    "report": "engine.cli.review:report",
    "compare": "engine.cli.review:compare",
    "reproduce": "engine.cli.review:reproduce",
    "audit-design": "engine.cli.design:audit_design",
    "why": "engine.cli.backtest:why",
    "paper": "engine.cli.paper:paper",
    "prove": "engine.cli.prove:prove",
    "rules": "engine.cli.prove:rules",
    "messages": "engine.cli.messages:messages",
    "completion": "engine.cli.completion:completion",
}
"""Commands of the engine; ``data`` and ``demo`` come from the bundles by entry point."""

GROUP = "ashare.commands"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*COMMANDS, *(entry.name for entry in entry_points(group=GROUP))])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name in COMMANDS:
            module, _, attribute = COMMANDS[name].partition(":")
            return getattr(import_module(module), attribute)
        for entry in entry_points(group=GROUP, name=name):
            return entry.load()
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with what each is for, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _PURPOSE.get(name, "")) for name in self.list_commands(ctx)])


_PURPOSE = {
    "init": "set everything up: token, capital, messages, settings, a first strategy",
    "doctor": "whether everything is in order, and what to do where it is not",
    "data": "import market data into the lake and look at it",
    "factor": "factor values for research",
    "train": "train a model for every month of a range",
    "models": "the model registry",
    "backtest": "run a strategy with the defaults filled in",
    "report": "render a run's tear-sheet again, or take its tables elsewhere",
    "compare": "two runs side by side",
    "reproduce": "run a run again and require equal figures",
    "audit-design": "how much hangs on each reading the design leaves open",
    "why": "why a run held a stock or did not",
    "paper": "trade on paper, one session at a time",
    "prove": "the product checks itself",
    "rules": "the rules of a stock on a day, with their sources",
    "messages": "whom paper trading tells what it does",
    "completion": "the script that completes commands in bash, zsh or fish",
    "demo": "the whole chain on a synthetic market",
    "demo-server": "a local Tushare for tests and trials",
}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("-v", "--verbose", is_flag=True, help="Show what engine and zipline note while they work.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Add it to this file, with the times.")
@click.version_option(package_name="zipline-ashare", prog_name="ashare")
@click.pass_context
def ashare(ctx: click.Context, debug: bool, verbose: bool, log: Path | None) -> None:
    """Trade mainland-China shares with zipline: data, factors, models, backtests."""
    ctx.obj = {"debug": debug}
    if verbose or log is not None:
        from engine.cli.logs import noting

        ctx.with_resource(noting(verbose, log))
    ctx.default_map = _defaults(ctx.invoked_subcommand, bool(verbose or log))


def _defaults(command: str | None, noted: bool) -> dict[str, Any]:
    """Return what options fall back on: the starting capital of the settings, and zipline's log where it is wanted."""
    if command not in ("backtest", "audit-design", "paper"):
        return {}
    from engine import settings
    from engine.errors import SettingsError

    try:
        capital = settings.load().capital
    except SettingsError:  # the command itself says so; its help needs no settings
        capital = None
    own = {} if capital is None else {"capital": capital}
    return {"backtest": {**own, "verbose": noted}, "audit-design": own, "paper": {"init": own}}


def main(arguments: list[str] | None = None) -> None:
    """Run the command; any failure is one line and an exit code, a traceback only with ``--debug``."""
    given = sys.argv[1:] if arguments is None else arguments
    if "_ASHARE_COMPLETE" in os.environ:
        from engine.cli.completion import prepare, words_typed

        prepare(ashare, words_typed())
    try:
        result: Any = ashare.main(given, prog_name="ashare", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(_say()("Aborted."))
    except click.ClickException as error:
        if "--debug" in given:
            raise
        _complain(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if "--debug" in given:
            raise
        if isinstance(error, OSError) and (known := disk_failed(error)):
            _complain(known)
            sys.exit(known.exit_code)
        _unforeseen(error)
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


def _complain(error: click.ClickException) -> None:
    """Say what failed; what click itself refuses, it shows with the command's usage."""
    if isinstance(error, click.UsageError):
        error.show()
    else:
        click.echo(_say()("Error: {said}", said=error.format_message()), err=True)


def _unforeseen(error: Exception) -> None:
    sentence = "Error: unexpected {kind}: {said}. Run `ashare --debug ...` for the place."
    click.echo(_say()(sentence, kind=type(error).__name__, said=error), err=True)


def _say() -> Say:
    """Return what speaks the language in force; English where that cannot be found out."""
    from engine.cli.common import sayer
    from engine.words import say_in

    try:
        return sayer()
    except Exception:  # a failure must be told, whatever else fails
        return say_in("en")
