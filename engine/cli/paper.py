"""``ashare paper``: an account that trades on paper, one session at a time."""

from __future__ import annotations

import datetime as dt
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import DAY, show_table

if TYPE_CHECKING:
    from engine.paper.account import Account

FEW = 5
"""Missing sessions that are named one by one."""
MOMENT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])


@click.group()
def paper() -> None:
    """Trade on paper: any strategy file, unchanged, one session a day."""


@paper.command()
@click.argument("name")
@click.option("-f", "--file", "script", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--capital", type=click.FloatRange(min=1), default=1_000_000.0, show_default=True, help="CNY, to the fen."
)
@click.option("--first", type=DAY, help="First session; by default the newest at the first run.")
def init(name: str, script: Path, capital: float, first: str | None) -> None:
    """Make the account NAME: it keeps a copy of the strategy, and the settings as they are now."""
    from engine import settings
    from engine.paper.account import create, folder_of

    values = settings.load()
    day = dt.date.fromisoformat(first) if first else None
    account = create(folder_of(values.accounts, name), script, round(capital * 100), values, day, "simulated")
    click.echo(f"account {account.folder}. Next: ashare paper run {name}")


@paper.command()
@click.argument("name")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Bring lake and bundle up to date first.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--until", type=DAY, help="Go no further than this session; later data are not looked at.")
@click.option(
    "--now", type=MOMENT, help="Pretend it is this moment (YYYY-MM-DDTHH:MM, Shanghai): for trials on old data."
)
@click.pass_context
def run(ctx: click.Context, name: str, sync: bool, bundle: str, until: str | None, now: dt.datetime | None) -> None:
    """Run what is due: settle each session's orders at its real prices, decide, and leave the orders for the next.

    To be run once a day after the vendor's data are there; missed sessions are caught up in order. A run that died
    is simply run again.
    """
    from engine.cli.backtest import script_failure
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle
    from engine.paper import cycle
    from engine.paper.account import Account, changed, locked

    moment, last = _moment(now), dt.date.fromisoformat(until) if until else None
    with locked(_folder(name)):
        account = Account(_folder(name))
        for key in changed(account):
            click.echo(f"setting {key} was changed since; the account keeps its own", err=True)
        if sync:
            _sync(ctx, moment)
        install()
        ran = 0
        try:
            for entry in cycle.run(account, open_bundle(bundle), moment, last):
                ran += 1
                click.echo(_line(entry))
        except click.ClickException:
            raise
        except Exception as error:
            failed = script_failure(error, account.file)
            if failed is None:
                raise
            raise failed from error
        if not ran:
            click.echo(f"nothing is due: the last session was {account.now.last}")


@paper.command()
@click.argument("name")
@click.option("-b", "--bundle", default="ashare", show_default=True)
def serve(name: str, bundle: str) -> None:
    """Run the account whenever a session's data are due, until it is stopped; each run is a process of its own.

    Survives sleep and changes of clock and time zone. A refused run is tried again after paper.retry minutes.
    """
    import sys
    import time

    from engine import clock
    from engine.paper import serve as service
    from engine.paper.account import Account

    account = Account(_folder(name), reading=True)
    command = [sys.executable, "-c", "from engine.cli.main import main; main()", "paper", "run", name, "-b", bundle]
    click.echo(f"serving {name}: each session at {account.settings.paper.ready:%H:%M}, Shanghai time", err=True)
    service.serve(
        account.settings.paper,
        clock.now,
        time.sleep,
        lambda: Account(_folder(name), reading=True).now.last,
        lambda: _run_process(command),
        lambda day: click.echo(f"session {day} has not run", err=True),
    )


def _run_process(command: list[str]) -> int:
    """Run a command; where this process is told to end, the child is, too: it can be killed at any moment."""
    import subprocess

    process = subprocess.Popen(command)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


@paper.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status(name: str, as_json: bool) -> None:
    """Show an account: cash, holdings, orders that wait, what it is halted by."""
    import json

    from engine.paper.account import Account

    account = Account(_folder(name), reading=True)
    found = _status(account)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for key in ("account", "strategy", "capital", "sessions", "last", "net value", "cash"):
        click.echo(f"{key:<12}{found[key]}")
    for halt in found["halts"]:
        click.echo(f"halted      {halt['what']}: {halt['why']} ({halt['cause']})")
    if found["holdings"]:
        show_table(("holding", "shares"), [(code, f"{shares:,}") for code, shares in found["holdings"].items()])
    if found["orders"]:
        rows = [(one["ts_code"], one["side"], f"{one['shares']:,}") for one in found["orders"]]
        show_table((f"order after {found['last']}", "side", "shares"), rows)


@paper.command(name="list")
def list_() -> None:
    """List the accounts; one that is damaged does not hide the others."""
    from engine import settings
    from engine.errors import AshareError
    from engine.paper.account import Account, accounts_in

    rows, damaged = [], list[AshareError]()
    for folder in accounts_in(settings.load().accounts):
        try:
            found = _status(Account(folder, reading=True))
        except AshareError as error:
            damaged.append(error)
            continue
        halted = ", ".join(halt["what"] for halt in found["halts"]) or "-"
        rows.append((found["account"], found["strategy"], str(found["last"]), found["net value"], halted))
    show_table(("account", "strategy", "last session", "net value", "halted"), rows)
    for other in damaged[:-1]:
        other.show()
    if damaged:
        raise damaged[-1]


@paper.command()
@click.argument("name")
@click.option("--now", type=MOMENT, help="Pretend it is this moment (YYYY-MM-DDTHH:MM, Shanghai).")
def check(name: str, now: dt.datetime | None) -> None:
    """Say whether the last session that is due was run, for cron: exit code 3 if not, paper.grace minutes after ready.

    It only reads, so that it can be run at any time, by another user or machine than the one that trades.
    """
    from engine.errors import StaleData
    from engine.paper.account import Account
    from engine.paper.cycle import missed

    account = Account(_folder(name), reading=True)
    found = missed(account, _moment(now))
    if not found:
        click.echo(f"{name}: no session is missing, the last was {account.now.last}")
        return
    # the message to whom it concerns (kind `missed`) is sent from here
    days = ", ".join(map(str, found)) if len(found) <= FEW else f"{len(found)} from {found[0]} to {found[-1]}"
    since = f"{account.settings.paper.ready:%H:%M} and {account.settings.paper.grace} minutes"
    raise StaleData(f"{name} has not run {days}", f"due at {since}", f"Run `ashare paper run {name}` and see why.")


@paper.command()
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Stop the sells too; by default only the buys.")
@click.option("--why", default="by hand", show_default=True, help="Noted in the journal.")
def halt(name: str, everything: bool, why: str) -> None:
    """Stop an account: no buys, or no orders at all, until it is resumed. What waits for the next session is kept."""
    from engine.paper.account import Account, locked

    with locked(_folder(name)):
        account = Account(_folder(name))
        what = "all" if everything else "buys"
        account.note("halted", {"what": what, "cause": "user", "why": why})
    click.echo(f"{name} is halted ({what}). Next: ashare paper resume {name}")


@paper.command()
@click.argument("name")
def resume(name: str) -> None:
    """Lift every halt of an account, a daily loss limit's too."""
    from engine.paper.account import Account, locked

    with locked(_folder(name)):
        account = Account(_folder(name))
        lifted = [f"{halt.what} ({halt.cause})" for halt in account.now.halts]
        if lifted:
            account.note("resumed", {})
    click.echo(f"{name}: lifted {', '.join(lifted)}" if lifted else f"{name} is not halted")


def _status(account: Account) -> dict[str, Any]:
    now, entries = account.now, account.now.sessions
    last = entries[-1] if entries else None
    return {
        "account": account.name,
        "strategy": now.created["strategy"],
        "capital": f"{now.created['capital'] / 100:,.2f}",
        "sessions": len(entries),
        "last": last and last["session"],
        "net value": f"{(last['net_value'] if last else now.created['capital']) / 100:,.2f}",
        "cash": f"{now.book.cash / 100:,.2f}",
        "halts": [{"what": halt.what, "cause": halt.cause, "why": halt.why} for halt in now.halts],
        "holdings": {str(code): shares for code, shares in sorted(now.book.positions().items())},
        "orders": last["orders"] if last else [],
    }


def _line(entry: dict[str, Any]) -> str:
    """Return what happened in a session, in one line."""
    filled = sum(1 for one in entry["settled"] if one["filled"])
    rules = [event["rule"] for event in entry["events"]]
    parts = [
        f"net value {entry['net_value'] / 100:,.2f}",
        f"cash {entry['cash'] / 100:,.2f}",
        f"{filled} of {len(entry['settled'])} orders filled",
        f"{len(entry['orders'])} for the next session",
        *([f"events: {', '.join(dict.fromkeys(rules))}"] if rules else []),
        *(f"halted: {halt['why']}" for halt in entry["halts"]),
    ]
    return f"{entry['session']}  {', '.join(parts)}"


def _folder(name: str) -> Path:
    from engine import settings
    from engine.paper.account import folder_of

    return folder_of(settings.load().accounts, name)


def _moment(now: dt.datetime | None) -> dt.datetime:
    from engine import clock

    return clock.now() if now is None else now.replace(tzinfo=clock.SHANGHAI)


def _sync(ctx: click.Context, moment: dt.datetime) -> None:
    """Run ``ashare data sync --build`` as the command does; the engine knows it by name only."""
    entry = next(iter(entry_points(group="ashare.commands", name="data")))
    group = entry.load()
    ctx.invoke(group.commands["sync"], last=moment.date().isoformat(), and_build=True, label="", first=None)
