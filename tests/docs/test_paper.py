"""What docs/paper.md says: its commands parse, its transcript is what the demo market says, its tables are right."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from pathlib import Path

import pytest

from engine import settings
from tests.accounts import say
from tests.docs.test_readme import ROOT, commands_of, parses

PAGE = (ROOT / "docs" / "paper.md").read_text("utf-8")
TYPED = re.compile(r"^\$ (ashare .*?)(?: +# (\S+) (\d\d:\d\d))?$")


def transcript() -> list[tuple[str, str, str]]:
    """Return each command of the page with its moment and what the page says it answers."""
    found: list[tuple[str, str, str]] = []
    for line in "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)).splitlines():
        if typed := TYPED.match(line):
            found.append((typed[1], f"{typed[2]}T{typed[3]}" if typed[2] else "", ""))
        else:
            command, moment, answer = found.pop()
            found.append((command, moment, f"{answer}{line}\n"))
    return found


@pytest.mark.parametrize("line", [*commands_of(PAGE), *(command for command, _, _ in transcript())])
def test_every_ashare_command_parses(line: str) -> None:
    parses(line)


def test_the_transcript_is_what_the_demo_market_says(demo: Path) -> None:
    """A run stands for one of its evening: it goes no further than its day, and syncs nothing."""
    Path("strategies").symlink_to(ROOT / "strategies")
    (csv,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    Path("trades.csv").write_text(csv, encoding="gbk")
    commands = transcript()
    assert len(commands) > 15
    for command, moment, answer in commands:
        words = shlex.split(command)[1:]
        if words[1] == "run":  # the bundle ends with 2019, and knows of no evening before it
            later = max(moment, "2019-12-31T18:05")
            words += ["--no-sync", "--until", moment[:10], "--now", later]
        elif moment:
            words += ["--now", moment]
        said = say(*words)
        assert (said.out + said.err).replace(str(demo), "~/.ashare") == answer, command
        assert (said.code == 0) == ("Error: " not in answer), command


def test_its_settings_have_these_defaults() -> None:
    section = settings.PaperSettings().model_dump()
    told = dict(re.findall(r"`(\w+)` \(([\w:.]+)[):]", PAGE.split("| setting `paper.`")[1].split("\n\n")[0]))
    assert set(told) == set(section)
    assert {name: dt.time.fromisoformat(told[name]) if name == "ready" else told[name] for name in told} == {
        name: value if name == "ready" else str(value).lower().removesuffix(".0") for name, value in section.items()
    }


def test_its_exit_codes_are_the_program_s() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)}
    page = (ROOT / "engine" / "errors.py").read_text()
    assert told == {0, *(int(code) for code in re.findall(r"exit (\d)", page))}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
