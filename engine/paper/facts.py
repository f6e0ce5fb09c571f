"""Events of the book as JSON and back: what the journal says of money and shares."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from engine.errors import Damaged
from engine.portfolio.book import Deposit, Event, ExDividend, Filled, Left, Opened, Subscribed
from engine.types import Side

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Deposit, ExDividend, Filled, Left, Opened, Subscribed)}
_FRACTION = re.compile(r"[0-9]{1,400}(/[0-9]{1,400})?")
"""Never an exponent: a few letters could ask for a number of a billion digits."""
_MEND = "Restore the account's folder from a backup."


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event of the book as JSON: days as YYYY-MM-DD, fractions as ``a/b`` or ``a``."""
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    return {"kind": type(event).__name__, **{name: _plain(value) for name, value in values.items()}}


def event_from_json(value: Any) -> Event:
    """Read an event back.

    Raises
    ------
    Damaged
        It is not what ``event_to_json`` wrote.
    """
    try:
        kind = _KINDS[value["kind"]]
        fields = {field.name: _READ[str(field.type)] for field in dataclasses.fields(kind)}
        if {*value} != {"kind", *fields}:
            raise ValueError(f"{value['kind']} has the fields {', '.join(fields)}")
        found: Event = kind(**{name: read(value[name]) for name, read in fields.items()})
        if event_to_json(found) != value:
            raise ValueError("it is written in another form")
        if isinstance(found, Filled | Subscribed) and min(found.shares, getattr(found, "fees", 0)) < 0:
            raise ValueError("less than nothing")
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:300]
        raise Damaged("an event of the account's book cannot be read", why, _MEND) from None
    return found


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, dt.date | Fraction | Side) else value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r:.50} is no whole number")
    return value


def _stock(value: Any) -> int | str:
    return value if type(value) is str else _whole(value)


def _fraction(value: Any) -> Fraction:
    if not _FRACTION.fullmatch(value):
        raise ValueError(f"{value[:50]!r} is no fraction")
    return Fraction(value)


_READ: dict[str, Callable[[Any], Any]] = {
    "int": _whole,
    "Stock": _stock,
    "Stock | None": lambda value: None if value is None else _stock(value),
    "dt.date": dt.date.fromisoformat,
    "Fraction": _fraction,
    "Side": Side,
}
"""By the type of the field."""
