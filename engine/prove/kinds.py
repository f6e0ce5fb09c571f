"""What a proof of no look-ahead does to the future, and what it looks at afterwards."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What is done to the rows known after a day."""

    DROPPED = "dropped"
    SCALED = "scaled"
    NULLED = "nulled"
    SWAPPED = "swapped"
    RESTATED = "restated"


class Evidence(StrEnum):
    """What must not change by it, in the order one is made of the other."""

    UNIVERSE = "universe"
    FACTORS = "factors"
    ZSCORES = "z-scores"
    LABELS = "labels"
    MODELS = "models"
    SCORES = "scores"
    ORDERS = "orders"
    VALUE = "value"
