"""What the registry says of a model, checked whenever it is read: nothing of it is executed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from engine.pipeline.factors import NAMES
from engine.settings import FactorSettings

ARCHITECTURE: dict[str, Any] = {
    "name": "attention-dnn-1",
    "features": len(NAMES),
    "attention": 32,
    "hidden": [64, 32],
    "classes": 3,
    "regression": 1,
}
"""The one architecture there is; weights of another are refused."""
_LONGEST = 1 << 20
"""Bytes; a manifest has some two thousand."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Stretch(_Strict):
    """Sessions, and the samples they gave."""

    first: Annotated[dt.date, Field(strict=False)]
    last: Annotated[dt.date, Field(strict=False)]
    samples: Count


class Validated(Stretch):
    """The sessions validated on, and how the model did."""

    loss: FiniteFloat
    accuracy: Annotated[float, Field(ge=0, le=1)]


class Moments(_Strict):
    """Mean and standard deviation of the training labels: the regression head speaks in these units."""

    mean: FiniteFloat
    sd: FiniteFloat


class Normaliser(_Strict):
    """How a raw factor became a feature."""

    kind: str
    winsorise: FiniteFloat
    null: int


class Manifest(_Strict):
    """The manifest of a model.

    Attributes
    ----------
    month : str
        The month it serves sessions of, YYYY-MM: all of them, or those after ``known_until``.
    made : datetime
        When it was trained, with its zone.
    known_until : date
        Every label it used was known after the close of this session.
    data_id : str
        Of the bundle.
    settings : str
        Hash of the settings it depends on.
    sha256 : str
        Of the weights.
    program : str
        Hash of the exported program.
    """

    month: Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]
    made: Annotated[dt.datetime, Field(strict=False)]
    architecture: dict[str, Any]
    features: list[str]
    normaliser: Normaliser
    excess: Moments
    known_until: Annotated[dt.date, Field(strict=False)]
    train: Stretch
    validation: Validated
    epochs: Count
    best_epoch: Count
    seed: int
    data_id: str
    settings: str
    sha256: Sha256
    program: Sha256

    @property
    def name(self) -> str:
        """The month it serves, or the day of the event it was trained for: then it knows a part of that month."""
        known = self.known_until.isoformat()
        return known if known.startswith(self.month) else self.month

    def speaks_our_language(self, settings: FactorSettings) -> bool:
        """Say whether it is the network we know, over the features and the normaliser in force."""
        return (
            self.architecture == ARCHITECTURE
            and self.features == list(NAMES)
            and self.normaliser == normaliser_of(settings)
        )


def normaliser_of(settings: FactorSettings) -> Normaliser:
    """Return the normaliser in force."""
    return Normaliser(kind="cross-sectional z-score", winsorise=settings.winsorise, null=0)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises
    ------
    ValueError
        It is none; the message says what is wrong.
    OSError
        It cannot be read.
    """
    with path.open("rb") as file:
        text = file.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST:,} bytes")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from None
