"""What docs/tushare.md says: its commands parse, its figures are those of the plan, its tables those of the program."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from pathlib import Path

import pytest

from bundles import checks
from bundles.demo.faults import KINDS
from bundles.sync.plan import Account, Question, Span, Stocks, directory, disclosures, questions
from bundles.sync.run import _sessions
from bundles.tushare.caps import TERMS
from engine.settings import TushareSettings
from tests.docs.test_readme import ROOT, commands_of, parses

PAGE = (ROOT / "docs" / "tushare.md").read_text("utf-8")
FIRST, LAST = dt.date(2016, 1, 1), dt.date(2025, 12, 31)
STOCKS = Stocks(tuple(f"{600000 + n:06d}.SH" for n in range(5400)))
DEFAULTS = TushareSettings()


@pytest.mark.parametrize("line", commands_of(PAGE))
def test_every_ashare_command_parses(line):
    parses(line)


def test_the_page_has_commands():
    assert len(commands_of(PAGE)) >= 10


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


def test_points_are_those_of_the_terms():
    said = dict(re.findall(r"^\| `(\w+)` +\| +([0-9,]+) ", PAGE, re.MULTILINE))
    assert {name: int(points.replace(",", "")) for name, points in said.items()} == {
        name: terms.points for name, terms in TERMS.items()
    }


def asked(points: int, first: dt.date, held_until: dt.date | None, today: dt.date) -> list[Question]:
    span, account = Span(first, LAST, held_until, today), Account(points, DEFAULTS.late_days)
    rest = questions(span, _sessions(first, LAST), STOCKS, account)
    return [*directory(span), *disclosures(span, account), *rest]


def minutes(plan: list[Question], calls_per_minute: int) -> float:
    """Return how long the busiest endpoint takes at the pace of the client."""

    def pace(api: str) -> int:
        return int(min(calls_per_minute, TERMS[api].calls_per_minute or calls_per_minute) * DEFAULTS.quota_share)

    counts = Counter(question.api for question in plan)
    return max(DEFAULTS.answers * count / pace(api) for api, count in counts.items())


@pytest.mark.parametrize(("points", "calls_per_minute"), [(2000, 200), (5000, 200), (5000, 500)])
def test_figures_of_a_first_download(points, calls_per_minute):
    plan = asked(points, FIRST, None, dt.date(2026, 1, 5))
    calls = DEFAULTS.answers * len(plan)
    line = (
        f"| {points:,} | {calls_per_minute} | {len(plan):,} | {calls:,} | {minutes(plan, calls_per_minute):.0f} min |"
    )
    assert line in PAGE


@pytest.mark.parametrize("points", [2000, 5000])
def test_figures_of_an_evening(points):
    before = _sessions(FIRST, LAST)[-1 - DEFAULTS.reread - 1 :]
    plan = asked(points, before[0], before[-2], LAST)
    assert f"{DEFAULTS.answers * len(plan)} calls with {points:,} points" in " ".join(PAGE.split())


def test_every_fault_and_every_check_named_is_one_of_ours():
    section = PAGE.split("## What is done about each fault")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == sorted(KINDS)
    named = set(re.findall(r"check `(\w+)`", PAGE))
    assert named
    assert named <= {check.name for check in checks.CHECKS}


def test_its_settings_are_settings(home):
    from engine import settings

    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    home.mkdir()
    (home / "ashare.toml").write_text(toml)
    values = settings.load().tushare
    assert (values.points, values.calls_per_minute) == (5000, 500)


def test_readme_points_here():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "(docs/tushare.md)" in readme
    assert Path(ROOT / "docs" / "tushare.md").is_file()
