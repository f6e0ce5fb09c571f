"""What the lake holds, endpoint by endpoint."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from bundles.lake import KNOWN_AT, Lake, Version


def endpoint_summary(lake: Lake, version: Version) -> Iterator[tuple[str, int, dt.date | None, dt.date | None]]:
    """Yield each endpoint with its rows and the first and last day they were known."""
    for name in version.parts:
        frame = lake.frame(version, name, [KNOWN_AT])
        yield name, frame.height, frame[KNOWN_AT].min(), frame[KNOWN_AT].max()  # type: ignore[misc]
