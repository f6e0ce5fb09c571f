"""Every page: its links lead somewhere, its commands are commands of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT, commands_of, parses

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(text: str) -> set[str]:
    """Return the anchors GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", page.read_text("utf-8"))
    for target in (one or other for one, other in targets):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor:
            assert anchor in headings(there.read_text("utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_are_commands(page):
    for line in commands_of(page.read_text("utf-8")):
        parses(line)


def test_the_site_has_every_page():
    """``make docs`` builds it; a page that no tree names ends that with an error."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.DOTALL | re.MULTILINE)
    named_there = {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}
    there = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert named_there == there | {"adr/*"}
