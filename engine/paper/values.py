"""Single values JSON has no word for, as JSON and back to the last bit: the table of what may be written down.

Each kind has a function that returns a value's fields and one that takes them by name, so fields that are missing or
too many are errors of themselves. What was read is written again and must be what was there.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytz

Fields = dict[str, Any]

_DTYPE = re.compile(
    r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]U[1-9][0-9]{0,6}|[<>][mM]8(\[[0-9]{0,6}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
)
"""Numbers of fixed size, truth, texts, moments and spans; neither objects nor records, and no numbers with padding."""
_HIGHEST = 0x10FFFF
"""The last character there is."""


class Unkept(Exception):
    """A value that cannot be written down: why, as it follows "it is"."""


class Single(NamedTuple):
    """How one kind is written and read."""

    write: Callable[[Any], Fields]
    read: Callable[..., Any]


def write(value: Any) -> tuple[str, Fields] | None:
    """Return the name and the fields of a single value, None for any other.

    Raises
    ------
    Unkept
        It is one, but of a sort that cannot be told by its fields.
    """
    name = _NAMES.get(type(value), "scalar" if isinstance(value, np.generic) else None)
    return None if name is None else (name, SINGLES[name].write(value))


def read(name: str, fields: Fields) -> Any:
    """Return a value of the table again.

    Raises
    ------
    Exception
        Of many kinds: the fields are not what ``write`` returned.
    """
    single = SINGLES[name]
    value = single.read(**fields)
    if single.write(value) != fields:
        raise ValueError(f"this is not how a {name} is written")
    return value


def pack(array: np.ndarray[Any, Any]) -> Fields:
    """Return an array's kind, shape and bytes.

    Raises
    ------
    Unkept
        It holds objects, records, or numbers of a size that differs from machine to machine.
    """
    if not _DTYPE.fullmatch(array.dtype.str):
        raise Unkept(f"numpy's, of the kind {array.dtype}")
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def unpack(dtype: Any, shape: Any, data: Any) -> np.ndarray[Any, Any]:
    """Return an array again.

    Raises
    ------
    ValueError, TypeError
        Kind, shape and bytes do not fit each other.
    """
    if not _DTYPE.fullmatch(dtype):
        raise ValueError(f"no array of {dtype[:40]!r}")
    kind, content = np.dtype(dtype), base64.b64decode(data, validate=True)
    array = np.ndarray(tuple(shape), kind, content).copy()
    if array.nbytes != len(content):
        raise ValueError("more bytes than the shape says")
    if kind.kind == "b" and (array.view(np.uint8) > 1).any():
        raise ValueError("neither true nor false")
    if kind.kind == "U" and (np.frombuffer(content, f"{kind.str[0]}u4") > _HIGHEST).any():
        raise ValueError("no character")
    return array


def zone_of(zone: dt.tzinfo | None) -> str | None:
    """Return the name of a time zone; there are several sorts of objects for one zone.

    Raises
    ------
    Unkept
        It has none by which it could be found again.
    """
    if zone is None or zone is dt.UTC:
        return zone and "UTC"
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return f"zoneinfo {zone.key}"
    if isinstance(zone, pytz.BaseTzInfo) and zone.zone:
        return f"pytz {zone.zone}"
    if type(zone) is dt.timezone:
        seconds = zone.utcoffset(None).total_seconds()
        if zone.tzname(None) == _fixed(seconds).tzname(None):
            return f"fixed {seconds}"
    raise Unkept(f"in the time zone {zone!r}")


def zone_named(name: str | None) -> dt.tzinfo | None:
    """Return a time zone again."""
    if name is None or name == "UTC":
        return None if name is None else dt.UTC
    sort, _, key = name.partition(" ")
    return _ZONES[sort](key)


def _fixed(seconds: float) -> dt.timezone:
    return dt.timezone(dt.timedelta(seconds=seconds))


_ZONES: dict[str, Callable[[str], dt.tzinfo]] = {
    "zoneinfo": zoneinfo.ZoneInfo,
    "pytz": pytz.timezone,
    "fixed": lambda seconds: _fixed(float(seconds)),
}


def _stamp_fields(value: pd.Timestamp) -> Fields:
    """Return the moment in UTC, in the stamp's own unit."""
    zone = zone_of(value.tzinfo)
    return {"value": str(np.datetime_as_string(value.asm8)), "unit": value.unit, "zone": zone}


def _stamp(value: str, unit: Any, zone: str | None) -> pd.Timestamp:
    stamp = pd.Timestamp(np.datetime64(value, unit))
    return stamp if zone is None else stamp.tz_localize(dt.UTC).tz_convert(zone_named(zone))


def _datetime_fields(value: dt.datetime) -> Fields:
    if isinstance(value.tzinfo, pytz.BaseTzInfo):
        raise Unkept("a datetime in a zone of pytz, whose offset is part of the object")
    naive = value.replace(tzinfo=None)
    return {"value": naive.isoformat(), "zone": zone_of(value.tzinfo), "fold": value.fold}


def _datetime(value: str, zone: str | None, fold: int) -> dt.datetime:
    return dt.datetime.fromisoformat(value).replace(tzinfo=zone_named(zone), fold=fold)


def _time_fields(value: dt.time) -> Fields:
    if value.tzinfo is not None:
        raise Unkept("a time of day with a zone")
    return {"value": value.isoformat(), "fold": value.fold}


def _date(value: str) -> dt.date:
    return dt.date.fromisoformat(value)


def _float(value: str) -> float:
    found = float(value)
    if math.isfinite(found):
        raise ValueError("JSON has a word for it")
    return found


def _scalar(**fields: Any) -> Any:
    found = unpack(**fields)[()]
    if not isinstance(found, np.generic):
        raise ValueError("more than one number")
    return found


SINGLES: dict[str, Single] = {
    "int": Single(lambda value: {"value": hex(value)}, lambda value: int(value, 16)),
    "float": Single(lambda value: {"value": repr(value)}, _float),
    "str": Single(
        lambda value: {"data": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()},
        lambda data: base64.b64decode(data, validate=True).decode("utf-8", "surrogatepass"),
    ),
    "date": Single(lambda value: {"value": value.isoformat()}, _date),
    "datetime": Single(_datetime_fields, _datetime),
    "time": Single(_time_fields, lambda value, fold: dt.time.fromisoformat(value).replace(fold=fold)),
    "timedelta": Single(
        lambda value: {"value": [value.days, value.seconds, value.microseconds]}, lambda value: dt.timedelta(*value)
    ),
    "Decimal": Single(lambda value: {"value": str(value)}, Decimal),
    "Timestamp": Single(_stamp_fields, _stamp),
    "Timedelta": Single(
        lambda value: {"value": int(value.asm8.astype(np.int64)), "unit": value.unit},
        lambda value, unit: pd.Timedelta(np.timedelta64(value, unit)),
    ),
    "NaT": Single(lambda _: {}, lambda: pd.NaT),
    "NA": Single(lambda _: {}, lambda: pd.NA),
    "str_": Single(lambda value: SINGLES["str"].write(str(value)), lambda data: np.str_(SINGLES["str"].read(data))),
    "scalar": Single(lambda value: pack(np.asarray(value)), _scalar),
    "array": Single(pack, unpack),
}
_NAMES: dict[type, str] = {
    **{kind: kind.__name__ for kind in (int, float, str, dt.date, dt.datetime, dt.time, dt.timedelta, Decimal)},
    **{np.str_: "str_", pd.Timestamp: "Timestamp", pd.Timedelta: "Timedelta", type(pd.NaT): "NaT", type(pd.NA): "NA"},
}
