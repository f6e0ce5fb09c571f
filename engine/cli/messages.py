"""``ashare messages``: who is told what paper trading does, and whether they can be reached."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from engine.cli.common import show_table
from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.paper.channels import Receiver
    from engine.settings import Settings


@click.group()
def messages() -> None:
    """Whom paper trading tells what it does.

    Addresses come from the variable ASHARE_MESSAGES or from the file `messages` of ASHARE_HOME, which only its owner
    may read. They are secrets: only scheme and a short hash are shown.
    """


@messages.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_(as_json: bool) -> None:
    """List the receivers: scheme and hash."""
    _, found = _set_up()
    if as_json:
        click.echo(json.dumps([{"receiver": receiver.scheme, "hash": receiver.mark} for receiver in found]))
    elif found:
        show_table(("receiver", "hash"), [(receiver.scheme, receiver.mark) for receiver in found])
    else:
        click.echo("No receiver is set up; docs/messages.md says how.", err=True)


@messages.command()
@click.option("--account", default="test", show_default=True, help="Named in the title, as in [ashare ACCOUNT].")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def test(account: str, as_json: bool) -> None:
    """Send a message to every receiver and say what became of it; exit code 1 if one did not take it."""
    from engine import clock
    from engine.paper.letters import Message
    from engine.paper.sending import tell

    settings, found = _set_up()
    if not found:
        raise UsageError("no message can be sent", "no receiver is set up", "docs/messages.md says how.")
    now, chinese = clock.now(), settings.messages.language == "zh"
    title, body = ("测试消息", "收到即表示配置正确。") if chinese else ("a test", "If you read this, it works.")
    title, id_ = f"[ashare {account}] {now:%Y-%m-%d %H:%M} {title}", f"{account}-{now:%Y%m%d-%H%M%S}-test"
    problems = tell(found, Message(id_, now.date(), "test", title, body), settings.messages.timeout)
    rows = [(receiver.scheme, receiver.mark, problems[receiver.mark] or "sent") for receiver in found]
    if as_json:
        click.echo(json.dumps([dict(zip(("receiver", "hash", "result"), row, strict=True)) for row in rows]))
    else:
        show_table(("receiver", "hash", "result"), rows)
    if any(problems.values()):
        sys.exit(1)


def _set_up() -> tuple[Settings, list[Receiver]]:
    from engine import settings as settings_module
    from engine.paper.channels import receivers

    settings = settings_module.load()
    return settings, receivers(settings.home, settings.messages.language)
