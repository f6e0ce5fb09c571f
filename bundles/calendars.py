"""The vendor's calendar against the library's."""

from __future__ import annotations

import polars as pl


def require_agreement(trade_cal: pl.DataFrame) -> None:
    """Placeholder until the calendar branch is merged."""
