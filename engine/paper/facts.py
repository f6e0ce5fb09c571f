"""Events of the book as JSON and back: what the journal says of money and shares."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from engine.portfolio.book import Deposit, Event, ExDividend, Filled, Left, Opened, Subscribed
from engine.types import Side

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Deposit, ExDividend, Filled, Left, Opened, Subscribed)}
_WRITE: dict[type, Callable[[Any], Any]] = {dt.date: str, Fraction: str, Side: str}
_READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("day", "record", "pay", "locked_until"), dt.date.fromisoformat),
    "taxed": Fraction,
    "side": Side,
}


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event of the book as JSON: days as YYYY-MM-DD, fractions as ``a/b``."""
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    written = {name: _WRITE.get(type(value), lambda value: value)(value) for name, value in values.items()}
    return {"kind": type(event).__name__, **written}


def event_from_json(value: dict[str, Any]) -> Event:
    """Read an event back.

    Raises
    ------
    ValueError, KeyError, TypeError
        It is none.
    """
    kind = _KINDS[value["kind"]]
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    if {*value} != {"kind", *fields}:
        raise ValueError(f"{value['kind']} has the fields {', '.join(fields)}")
    found: Event = kind(**{name: _read(name, fields[name], value[name]) for name in fields})
    return found


def _read(name: str, kind: Any, value: Any) -> Any:
    if "Fraction" in str(kind):
        return Fraction(value)
    if name in _READ:
        return _READ[name](value)
    wanted = int if kind == "int" else (int, str, type(None)) if "None" in str(kind) else (int, str)
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise TypeError(f"{name} is {value!r}")
    return value
