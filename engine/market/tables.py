"""Dated tables: the value in force on a day is the newest row of its scope that is not later than the day."""

from __future__ import annotations

import csv
import datetime as dt
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources

from engine.errors import OutsideData


@dataclass(frozen=True)
class Row:
    """One rule: from this day on, this value holds in this scope, says this source."""

    effective_from: dt.date
    scope: str
    text: str
    source: str

    @property
    def value(self) -> Decimal:
        """The text as a number."""
        return Decimal(self.text)


@dataclass(frozen=True, eq=False)
class DatedTable:
    """The rows of one rule.

    Attributes
    ----------
    name : str
        File name without its ending.
    rows : tuple of Row
        In the order of the file.
    """

    name: str
    rows: tuple[Row, ...]

    def value(self, scope: str, day: dt.date) -> Decimal:
        """Return the number in force (see ``row``)."""
        return self.row(scope, day).value

    def row(self, scope: str, day: dt.date) -> Row:
        """Return the row in force.

        Raises
        ------
        OutsideData
            The table has no row of this scope on or before ``day``: a rule is never guessed.
        """
        starts, rows = _series(self, scope)
        at = bisect_right(starts, day) - 1
        if at < 0:
            raise OutsideData(
                f"no {self.name.replace('_', ' ')} for {scope} on {day}",
                f"it is known from {starts[0]}" if starts else "there is no such scope",
                "Choose later dates" + (f", or set {self.setting} to one rate." if self.setting else "."),
            )
        return rows[at]

    @property
    def setting(self) -> str | None:
        """The setting that can stand in for the table."""
        return _SETTING.get(self.name)


_SETTING = {
    "stamp_duty": "execution.stamp_duty",
    "transfer_fee": "execution.transfer_fee",
    "handling_fee": "execution.exchange_fees = false",
}

TABLES = (
    "price_limits",
    "tick_floor",
    "free_sessions",
    "first_day_band",
    "tick",
    "lots",
    "settlement",
    "hours",
    "stamp_duty",
    "transfer_fee",
    "handling_fee",
    "regulatory_fee",
    "commission",
    "dividend_tax",
    "delisting",
)
"""Every dated table of the rulebook."""


@cache
def _series(table: DatedTable, scope: str) -> tuple[list[dt.date], list[Row]]:
    rows = sorted((row for row in table.rows if row.scope == scope), key=lambda row: row.effective_from)
    return [row.effective_from for row in rows], rows


@cache
def table(name: str) -> DatedTable:
    """Read one table of the package; it is read once."""
    rows = tuple(
        Row(dt.date.fromisoformat(line["effective_from"]), line["scope"], line["value"], line["source"])
        for line in read_csv(name)
    )
    return DatedTable(name, rows)


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the lines of one of the package's rule files."""
    text = (resources.files("engine.market") / "data" / f"{name}.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
