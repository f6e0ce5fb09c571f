"""``ashare paper``: an account that trades on paper, one session at a time."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import DAY, MOMENT, shanghai, show_table

if TYPE_CHECKING:
    from engine.paper.account import Account
    from engine.paper.letters import Message

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FEW = 5
"""Missing sessions, and repairs, that are named one by one."""


@click.group()
def paper() -> None:
    """Trade on paper: any strategy file, unchanged, one session a day."""


@paper.command()
@click.argument("name")
@click.option("-f", "--file", "script", required=True, type=_FILE)
@click.option(
    "--capital", type=click.FloatRange(min=1), default=1_000_000.0, show_default=True, help="CNY, to the fen."
)
@click.option("--first", type=DAY, help="First session; by default the newest at the first run.")
@click.option(
    "--fills",
    type=click.Choice(["simulated", "tickets"]),
    default="simulated",
    show_default=True,
    help="Orders meet the session's bars, or people carry them out and import what was traded.",
)
def init(name: str, script: Path, capital: float, first: str | None, fills: str) -> None:
    """Make the account NAME: it keeps a copy of the strategy, and the settings as they are now."""
    from engine import settings
    from engine.paper.account import create, folder_of

    values = settings.load()
    day = dt.date.fromisoformat(first) if first else None
    account = create(folder_of(values.accounts, name), script, round(capital * 100), values, day, fills)
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
    from engine.errors import AshareError, ProofFailed
    from engine.host.registration import install
    from engine.paper import effects
    from engine.paper.account import Account, changed, halt_for_books, locked, require_agreeing_books

    moment, last = shanghai(now), dt.date.fromisoformat(until) if until else None
    with locked(_folder(name)):
        account = Account(_folder(name))
        for key in changed(account):
            click.echo(f"setting {key} was changed since; the account keeps its own", err=True)
        for entry in account.now.sessions[-1:]:
            effects.prepare(account, entry, account.settings)  # the process that ran it may have died before
        ran, known = 0, len(account.journal.entries)
        try:
            require_agreeing_books(account)
            if sync:
                _sync(ctx, now)
            install()
            for entry in _sessions(ctx, account, bundle, moment, last):
                effects.prepare(account, entry, account.settings)
                for line in _repairs(account, known):
                    click.echo(line, err=True)
                ran, known = ran + 1, len(account.journal.entries)
                click.echo(_line(entry))
        except AshareError as error:
            if isinstance(error, ProofFailed):
                halt_for_books(account, error)
            _send(account, effects.refusal(account, error, account.settings, moment.date()))
            raise
        _send(account)
    if not ran:
        click.echo(_nothing(account))


def _repairs(account: Account, known: int) -> list[str]:
    """Return what the vendor has corrected since, by the lines of the journal after those that were known."""
    later = account.journal.entries[known:]
    found = [line for entry in later if entry["kind"] == "repaired" for line in entry["found"]]
    more = [f"and {len(found) - FEW} more, in the journal"] if len(found) > FEW else []
    return [f"corrected since, what was booked stands: {line}" for line in found[:FEW]] + more


def _nothing(account: Account) -> str:
    """Say that nothing is due, and what is next."""
    from engine import calendar

    last, ready = account.now.last, account.settings.paper.ready
    if last is None:
        return f"nothing is due: the account begins on {account.now.created['first']}"
    after = calendar.next_session(last)
    more = f", the next is due on {after} at {ready:%H:%M}" if after else ""
    return f"nothing is due: the last session was {last}{more}"


def _send(account: Account, *more: Message) -> None:
    """Deliver what waits in the outbox, and these letters, and say what went wrong."""
    from engine.paper import effects

    for problem in effects.send(account, account.settings, more):
        click.echo(f"message not delivered: {problem}", err=True)


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
        lambda day: _late(name, day),
    )


def _late(name: str, day: dt.date) -> None:
    """Say, and send, that a session has not run."""
    from engine.paper.account import Account

    click.echo(f"session {day} has not run", err=True)
    _send_missed(Account(_folder(name), reading=True), day)


def _send_missed(account: Account, day: dt.date) -> None:
    """Send the letter about a session that did not run; the outbox takes it once."""
    from engine.paper import effects

    _send(account, effects.missed(account, day, account.settings))


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
    from engine.paper.account import Account

    account = Account(_folder(name), reading=True)
    found = _status(account)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for key in ("account", "strategy", "capital", "sessions", "last", "net value", "cash"):
        click.echo(f"{key:<12}{'-' if found[key] is None else found[key]}")
    for halt in found["halts"]:
        click.echo(f"halted      {halt['what']}: {halt['why']} ({halt['cause']})")
    if found["holdings"]:
        show_table(("holding", "shares"), [(code, f"{shares:,}") for code, shares in found["holdings"].items()])
    if found["orders"]:
        rows = [(one["ts_code"], one["side"], f"{one['shares']:,}") for one in found["orders"]]
        show_table((f"order after {found['last']}", "side", "shares"), rows)


@paper.command()
@click.argument("name")
@click.option("--suffix", is_flag=True, help="Codes with their exchange, 600519.SH.")
def tickets(name: str, suffix: bool) -> None:
    """Write the orders that wait as a CSV for a broker's client and a page to read, and show where."""
    from engine.broker.tickets import write_tickets
    from engine.paper.account import TICKETS_FOLDER, Account, locked
    from engine.paper.by_hand import tickets_of

    with locked(_folder(name)):  # a run writes them too, and sweeps what was half-written
        account = Account(_folder(name), reading=True)
        waiting = tickets_of(account, account.now.sessions[-1]) if account.now.sessions else []
        if not waiting:
            click.echo(f"no order of {name} waits")
            return
        written = write_tickets(account.folder / TICKETS_FOLDER, waiting, suffix=suffix)
    click.echo(f"{written.table}\n{written.page}")


@paper.command()
@click.argument("name")
@click.argument("export", required=False, type=_FILE)
@click.option("--none", "nothing", is_flag=True, help="Nothing was traded.")
@click.option(
    "--positions", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The broker's holdings."
)
@click.option("--cash", type=float, help="The broker's cash after the session, CNY.")
def fills(name: str, export: Path | None, nothing: bool, positions: Path | None, cash: float | None) -> None:
    """Import what a broker's client says was traded (成交, a CSV) of the orders that wait.

    Holdings and cash, where they are given, are held against the ledger when the session is run.
    """
    from engine.errors import UsageError
    from engine.paper.account import Account, locked
    from engine.paper.by_hand import take

    if (export is None) != nothing:
        raise UsageError("there is nothing to import", "it takes a file, or --none", "Give one of them.")
    with locked(_folder(name)):
        account = Account(_folder(name))
        content = export.read_bytes() if export else b""
        held = positions.read_bytes() if positions else None
        entry = take(account, content, str(export), held, None if cash is None else round(cash * 100))
    click.echo(f"{len(entry['fills'])} fills of {entry['session']}. Next: ashare paper run {name}")


@paper.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_(as_json: bool) -> None:
    """List the accounts; one that is damaged does not hide the others."""
    from engine import settings
    from engine.errors import AshareError
    from engine.paper.account import Account, accounts_in

    rows, shown, damaged = [], [], list[AshareError]()
    for folder in accounts_in(settings.load().accounts):
        try:
            found = _status(Account(folder, reading=True))
        except AshareError as error:
            damaged.append(error)
            continue
        halted = ", ".join(halt["what"] for halt in found["halts"]) or "-"
        shown.append(found)
        rows.append((found["account"], found["strategy"], found["last"] or "-", found["net value"], halted))
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
    else:
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

    Also sends a message, once a session. Nothing but the outbox is written, so it can be run at any time.
    """
    from engine.errors import StaleData
    from engine.paper.account import Account
    from engine.paper.due import missed

    account = Account(_folder(name), reading=True)
    found = missed(account, shanghai(now))
    if not found:
        click.echo(f"{name}: no session is missing, the last was {account.now.last}")
        return
    _send_missed(account, found[-1])
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
        "last": last["session"] if last else None,
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


def _sessions(
    ctx: click.Context, account: Account, bundle: str, now: dt.datetime, until: dt.date | None
) -> Iterator[dict[str, Any]]:
    """Run what is due; a model that is missing is trained once, and the session tried again."""
    from engine.cli.backtest import failures_named
    from engine.errors import NoModel
    from engine.panels.bundle import open_bundle
    from engine.paper import cycle

    trained: set[str] = set()
    while True:
        try:
            with failures_named(account.file):
                yield from cycle.run(account, open_bundle(bundle), now, until)
            return
        except NoModel as error:
            if not account.settings.paper.train or not error.model or error.model in trained:
                raise
            trained.add(error.model)
            click.echo(f"{error.what}: training it", err=True)
            _train(ctx, error.model, bundle)


def _train(ctx: click.Context, name: str, bundle: str) -> None:
    """Run ``ashare train`` for a month, or for the day of an event."""
    from engine.cli.model import train

    month = len(name) == len("2018-03")
    wanted = {"start": name, "end": name, "days": ()} if month else {"start": None, "end": None, "days": (name,)}
    ctx.invoke(train, **wanted, run=None, bundle=bundle)


def _sync(ctx: click.Context, now: dt.datetime | None) -> None:
    """Run ``ashare data sync --build`` as the command does; the engine knows it by name only."""
    entry = next(iter(entry_points(group="ashare.commands", name="data")))
    group = entry.load()
    ctx.invoke(group.commands["sync"], first=None, last=None, label="", and_build=True, now=now)
