"""docs/reliability.md: every promise has its tests, they are there, and run when the table says."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_readme import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
PROMISED = [*(f"R{n}" for n in range(1, 14)), "R15", "R16", "R17", "R20"]
SECTIONS = {part.split()[0]: part for part in PAGE.split("\n## ")[1:] if re.match(r"R\d+ ", part)}
TABLE = dict(re.findall(r"^\| \[(R\d+)\]\(#\S+\) \| .+ \| (.+) \|$", PAGE, re.MULTILINE))


def test_every_promise_is_there():
    assert list(SECTIONS) == PROMISED
    assert list(TABLE) == PROMISED


@pytest.mark.parametrize("number", PROMISED)
def test_a_promise_has_tests_and_limits(number):
    section = SECTIONS[number]
    files = [ROOT / "docs" / target for target in re.findall(r"\]\((\.\./tests/[^)]+\.py)\)", section)]
    assert files
    assert "\n* Not covered: " in section
    assert "\n* Shown by " in section
    sources = [path.read_text("utf-8") for path in files]  # each exists
    for source in sources:
        assert re.search(r"^def test_", source, re.MULTILINE)
    marks = [
        kind for kind, mark in (("slow", "mark.slow"), ("private", "mark.real")) if any(mark in s for s in sources)
    ]
    if any("real_home" in source for source in sources) and "private" not in marks:
        marks.append("private")
    assert TABLE[number].split(", ") == ["fast", *marks]


def test_every_file_of_the_enumerations_is_linked():
    linked = set(re.findall(r"\.\./(tests/[^)]+\.py)", PAGE))
    kinds = ("faults", "leak", "security")
    there = {str(path.relative_to(ROOT)) for kind in kinds for path in (ROOT / "tests" / kind).glob("test_*.py")}
    assert there <= linked
