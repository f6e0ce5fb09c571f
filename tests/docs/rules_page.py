"""Writes docs/rules.md from the dated rows of the rulebook: ``python -m tests.docs.rules_page``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.market.tables import TABLES, read_csv, table

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
OUTSIDE = "; marina-rules "
"""What stands in a source before the name the same rule has in that package."""

SAID = {
    "price_limits": ("Price limits", "Percent of the previous close, by board and standing."),
    "tick_floor": (
        "One-tick floor",
        "Up to this previous close, in fen, a limit lies at least one tick away from it, however small the percentage "
        "is; 0 means rounding only.",
    ),
    "free_sessions": (
        "Sessions without a limit",
        "How many sessions after the listing, or from the first of the delisting period on, have no price limit.",
    ),
    "first_day_band": (
        "Listing day with a band",
        "Percent of the issue price, up and down, on a listing day without a free session.",
    ),
    "tick": ("Tick", "CNY, by exchange."),
    "lots": ("Lots", "Shares: the smallest buy, the step above it, the largest order."),
    "settlement": ("T+1", "Sessions from the purchase to the first in which the shares may be sold."),
    "hours": ("Hours", "Shanghai time. They are shown; no daily bar depends on them."),
    "stamp_duty": ("Stamp duty", "Share of turnover, by side."),
    "transfer_fee": ("Transfer fee", "Share of turnover, or of the par value of the shares, by exchange; both sides."),
    "handling_fee": (
        "Handling fee",
        "Share of turnover, by exchange. Charged beside the commission only with `execution.exchange_fees = true`.",
    ),
    "regulatory_fee": ("Regulatory fee", "Share of turnover, by exchange; likewise."),
    "commission": ("Commission", "The highest rate, and CNY an order by custom. What is charged is a setting."),
    "dividend_tax": (
        "Dividend tax",
        "Share of the dividend of an individual: withheld when it is paid, and due in "
        "all, by the time the shares were held.",
    ),
    "delisting": ("Delisting", "Share of the last price that is left of a holding, by the way the stock left."),
}
HEAD = """\
# Rules of the market, with dates and sources

This page is made from the rows in [engine/market/data](../engine/market/data); do not edit it. A row holds from its day
until the next row of its scope. A day before the first row of a scope is refused: a rule is never guessed.
`ashare rules CODE DAY` shows what holds for one stock on one day, for example `ashare rules 300750.SZ 2020-08-24`.

"Secondary", "package" and "own knowledge" in a source say that the exchange's own text was not seen. The last column
names the same rule in the package [marina-rules](https://pypi.org/project/marina-rules/), where it has it: a test holds
our row against it. A recorded limit of the exchange (`stk_limit`) wins over the computed one where the lake has it.
[reliability.md](reliability.md) says how the rows are tested.

"""


def page() -> str:
    """Return the page."""
    parts = [_dated(name) for name in TABLES]
    parts.append(_listed("Boards", "By the first digits of the code.", "boards", "prefix suffix scope source"))
    parts.append(
        _listed(
            "Special listings",
            "Listed without an issue price: no band on the first day.",
            "special_listings",
            "ts_code kind source",
        )
    )
    return HEAD + "\n".join(parts)


def _dated(name: str) -> str:
    title, said = SAID[name]
    rows = sorted(table(name).rows, key=lambda row: (row.scope, row.effective_from))
    lines = ((f"{row.effective_from}", f"`{row.scope}`", row.text, *_source(row.source)) for row in rows)
    return _section(title, said, ("effective from", "scope", "value", "source", "marina-rules"), lines)


def _source(text: str) -> tuple[str, str]:
    said, _, outside = text.partition(OUTSIDE)
    return said, outside


def _listed(title: str, said: str, name: str, columns: str) -> str:
    names = columns.split()
    return _section(title, said, names, ([row[column] for column in names] for row in read_csv(name)))


def _section(title: str, said: str, names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join([f"## {title}\n\n{said}\n", *_table(names, rows), ""])


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(names)
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |".replace("|  |", "| |")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
