"""The quick start in both languages: the same commands, and they work; docs/commands.md names every command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine.cli.main import ashare
from tests.accounts import say
from tests.docs.test_readme import ROOT

PAGE = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a language, ``""`` for those without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [block for kind, block in found if kind == language]


def typed(page: str) -> list[str]:
    """Return the lines of the demo's market, moved to the last year of the small one the tests have."""
    lines = "".join(blocks(page, "console")).splitlines()
    moved = (("2023-12-29", "2019-12-31"), ("2023-12-01", "2019-12-02"), ("2023-01-03", "2019-01-02"))
    for before, after in moved:
        lines = [line.replace(before, after) for line in lines]
    assert "2023" not in "".join(lines)
    return [line.removeprefix("$ ") for line in lines]


def test_the_commands_work_one_after_the_other(demo, monkeypatch):
    said = []
    for line in typed(PAGE):
        program, *words = shlex.split(line)
        assert program == "ashare"
        found = say(*words)
        assert found.code == 0, (line, found.err)
        said.append(found.out)
    written, sheet, chinese, made, ran, status = said
    assert "my_strategy.py" in written
    assert Path(sheet.strip()).name == "tearsheet.html"
    assert "可信吗" in Path(sheet.strip()).read_text("utf-8")
    assert chinese.strip() == sheet.strip()
    assert "paper run first" in made
    assert len(ran.splitlines()) == 22  # sessions of December
    assert re.search(r" [1-9]\d* of \d+ orders filled", ran)
    assert "2019-12-31" in status


@pytest.mark.parametrize("name", ["README", "docs/quickstart"])
def test_both_languages_point_to_each_other_and_have_the_same_blocks(name):
    english, chinese = ((ROOT / f"{name}{ending}").read_text("utf-8") for ending in (".md", ".zh.md"))
    assert f"({Path(name).name}.zh.md)" in english
    assert f"({Path(name).name}.md)" in chinese
    for language in ("", "console", "toml", "python"):
        ours, theirs = (
            [re.sub(r"\s*#.*", "", line) for block in blocks(page, language) for line in block.splitlines()]
            for page in (english, chinese)
        )
        assert ours == theirs, language


def leaves(command: click.Command, name: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield name
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        below = command.get_command(context, word)
        if not below.hidden:
            yield from leaves(below, f"{name} {word}")


def test_every_command_is_named():
    shown = re.sub(r"`(ashare \w+) (\w+) MODEL`, `(\w+) ", r"`\1 \2 MODEL`, `\1 \3 ", COMMANDS)
    shown = shown.replace("models list`, `show", "models list`, `ashare models show")
    assert [name for name in leaves(ashare, "ashare") if f"`{name}" not in shown] == []
