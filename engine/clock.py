"""The only reader of the wall clock; everything else is handed its time as an argument."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """Return the present moment in Shanghai, with its time zone."""
    return datetime.now(SHANGHAI)
