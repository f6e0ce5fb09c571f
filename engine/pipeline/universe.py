"""Who may be bought on a session, by what was known after its close (SPEC 3)."""

from __future__ import annotations

from zipline.pipeline.filters import Filter

from engine.errors import OutsideData
from engine.pipeline.datasets import Daily
from engine.settings import UniverseSettings


def universe(settings: UniverseSettings) -> Filter:
    """Return the members: listed, traded, old enough, of the wanted size, not risk-warned.

    A stock without a known market cap is out: no comparison with a missing value is true.
    """
    market_cap = Daily.total_mv.latest
    sized = (market_cap >= settings.minimum_total_mv) & (market_cap <= settings.maximum_total_mv)
    return _of_any_size(settings) & sized


def without_market_cap(settings: UniverseSettings) -> Filter:
    """Return who is out only because the market cap is not known."""
    return _of_any_size(settings) & Daily.total_mv.latest.isnull()


def _of_any_size(settings: UniverseSettings) -> Filter:
    old_enough = Daily.age.latest >= settings.minimum_sessions
    return Daily.listed.latest & Daily.traded.latest & ~Daily.risk_warned.latest & old_enough


def empty_universe(start: str, end: str) -> OutsideData:
    """Return the refusal of a range that has no member on any session."""
    return OutsideData(
        f"the universe is empty from {start} to {end}",
        "no stock was listed, traded, old enough and of the wanted size",
        "Choose later dates, or widen the universe in the settings.",
    )
