"""What the README says can be typed is there, and its strategy runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from engine.cli.main import ashare
from tests.markets import Market, days_between

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands_of(page: str) -> list[str]:
    """Return the commands of a page: those of its blocks, of cron lines too, and those in its text."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    lines = [line.split("#")[0] for language, block in blocks if not language for line in block.splitlines()]
    typed = [found[0].strip() for line in lines for found in re.findall(r"\b(ashare [a-z][^&|;]*)(&&|\||;|$)", line)]
    return typed + re.findall(r"`(ashare [a-z]+[^`]*)`", page)


def parses(line: str) -> None:
    """Complain about a command the program does not have, or an option it does not know; ``prove ...`` is a group."""
    words = shlex.split(line)[1:]
    command: click.Command = ashare
    while isinstance(command, click.Group) and words and words[0] != "...":
        context = click.Context(command)
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("line", commands_of(README))
def test_every_ashare_command_parses(line):
    parses(line)


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_its_strategy_runs(backtest):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    days = days_between("20170103", "20180131")
    market = Market(days)
    for n in range(30):
        code = f"6000{n:02d}.SH"
        market.stock(code).bars(code, [10 + 0.01 * ((n * day) % 17) for day in range(len(days))])
    market.index([5000.0] * len(days))
    run = backtest(market, script, start="20180115")
    assert run.orders["filled"].sum() > 0
    assert run.positions["ts_code"].n_unique() >= 20
    assert run.orders.group_by("decided", "ts_code").len()["len"].max() == 1


def test_its_settings_are_settings(home):
    from engine import settings

    (toml,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    home.mkdir()
    (home / "ashare.toml").write_text(toml)
    assert settings.load().execution.fill == "vwap"
