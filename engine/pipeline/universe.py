"""Who may be bought on a session, by what was known after its close (SPEC 3)."""

from __future__ import annotations

from zipline.pipeline.filters import Filter

from engine.pipeline.datasets import Daily
from engine.settings import UniverseSettings


def universe(settings: UniverseSettings) -> Filter:
    """Return the members: listed, traded, old enough, of the wanted size, not risk-warned.

    A stock without a known market cap is out: no comparison with a missing value is true.
    """
    market_cap = Daily.total_mv.latest
    return (
        Daily.listed.latest
        & Daily.traded.latest
        & ~Daily.risk_warned.latest
        & (Daily.age.latest >= settings.minimum_sessions)
        & (market_cap >= settings.minimum_total_mv)
        & (market_cap <= settings.maximum_total_mv)
    )
