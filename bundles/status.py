"""What the lake holds, endpoint by endpoint: from when to when, when it came, what is missing, what is held back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from bundles.checks import LIMITS_BEGIN, years
from bundles.endpoints import ENDPOINTS
from bundles.lake import KNOWN_AT, Lake, Part, Version

ALWAYS = ("daily", "adj_factor", "daily_basic", "stk_limit", "index_daily")
"""Tables by session that have a row for every session there is."""
DAY = "trade_date"


@dataclass(frozen=True)
class Held:
    """What the lake holds of one endpoint.

    Attributes
    ----------
    endpoint : str
        Its name.
    rows : int
        In all parts, older versions of a row among them.
    first, last : date or None
        First and last session; of a table without sessions the first and last day its rows were known.
    fetched : date or None
        When its newest part came in.
    asked_until : date or None
        Until which day a vendor was asked for all there is; None for an endpoint that was only imported.
    holes : tuple of date or None
        Sessions between the lake's first and last bar of which there is no row, of tables that must have some.
    held_back : int
        Rows that failed a check and have not come since.
    """

    endpoint: str
    rows: int
    first: dt.date | None
    last: dt.date | None
    fetched: dt.date | None
    asked_until: dt.date | None
    holes: tuple[dt.date, ...] | None
    held_back: int


def holdings(lake: Lake, version: Version, held_back: Mapping[str, int]) -> Iterator[Held]:
    """Yield what the lake holds, an endpoint each.

    Parameters
    ----------
    lake, version : Lake, Version
        What is looked at.
    held_back : mapping of str to int
        Rows held back, by endpoint.
    """
    sessions = [session for year in years(lake, version) for session in year]
    for name in dict.fromkeys([*version.parts, *held_back]):
        parts = version.parts.get(name, ())
        days = _days(lake, version, name)
        yield Held(
            endpoint=name,
            rows=sum(part.rows for part in parts),
            first=min(days, default=None),
            last=max(days, default=None),
            fetched=max((part.fetched_at for part in parts), default=None),
            asked_until=version.covered[name][1] if name in version.covered else None,
            holes=_holes(name, sessions, days) if name in ALWAYS else None,
            held_back=held_back.get(name, 0),
        )


def _holes(name: str, sessions: Sequence[dt.date], days: Container[dt.date]) -> tuple[dt.date, ...]:
    """Return the sessions without a row; the vendor's price limits begin later than its bars."""
    first = LIMITS_BEGIN if name == "stk_limit" else dt.date.min
    return tuple(session for session in sessions if session >= first and session not in days)


def waiting(held: pl.DataFrame) -> dict[str, int]:
    """Return how many rows are held back and have not come since (``bundles.checks.held_back``), by endpoint."""
    return dict(held.filter(~pl.col("released")).group_by("endpoint", maintain_order=True).len().iter_rows())


def _days(lake: Lake, version: Version, name: str) -> set[dt.date]:
    """Return the days of an endpoint's rows: where holes are looked for all, elsewhere at least the first and last."""
    parts = version.parts.get(name, ())
    column = DAY if DAY in ENDPOINTS[name].types else KNOWN_AT
    spans = [part.span for part in parts if part.rows]
    if name not in ALWAYS and column == DAY and None not in spans:
        return {day for span in spans if span for day in span}
    return {day for part in parts for day in _days_of(lake, part, column)}


def _days_of(lake: Lake, part: Part, column: str) -> list[dt.date]:
    """Return the days of one part, each once, from one column of its file."""
    return lake.column(part, column).unique().drop_nulls().to_list()


def shown(held: Held) -> dict[str, Any]:
    """Return what is known of an endpoint as JSON has it."""
    return asdict(held) | {"holes": None if held.holes is None else [str(day) for day in held.holes]}
