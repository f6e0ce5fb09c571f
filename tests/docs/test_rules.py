"""docs/rules.md says what the rows of the rulebook say, all of them, and nothing else."""

from __future__ import annotations

import csv
import re

from engine.market.tables import TABLES
from tests.docs.rules_page import PAGE, SAID, page
from tests.docs.test_readme import ROOT, commands_of, parses

DATA = ROOT / "engine" / "market" / "data"


def test_the_page_is_the_one_made_from_the_rows():
    assert PAGE.read_text("utf-8") == page(), "python -m tests.docs.rules_page writes it anew"


def test_every_dated_row_stands_in_it():
    """Read once more without the code that makes the page."""
    written = re.findall(
        r"^\| (\d{4}-\d\d-\d\d) \| `([\w.]+)` \| ([^|]+) \| (.+) \| (?:(\S+) )?\|$", page(), re.MULTILINE
    )
    shown = {(day, scope, value, source, outside) for day, scope, value, source, outside in written}
    rows = set()
    for name in TABLES:
        with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                source, _, outside = row["source"].partition("; marina-rules ")
                rows.add((row["effective_from"], row["scope"], row["value"], source, outside))
    assert shown == rows
    assert len(rows) > 150


def test_every_table_is_explained():
    assert set(SAID) == set(TABLES)
    assert {path.stem for path in DATA.glob("*.csv")} == {*TABLES, "boards", "special_listings", "limit_vectors"}


def test_its_commands_parse():
    for line in commands_of(page()):
        parses(line)
