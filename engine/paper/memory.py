"""What a script remembers, as JSON and back: no pickle, nothing of unknown kind, nothing lost unseen.

Values JSON has no word for are objects with the key ``~`` that names their kind. Whatever is not listed here is refused by
the name it goes by on ``context``: a restart would lose it.
"""

from __future__ import annotations

import base64
import collections
import datetime as dt
import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from zipline.assets import Asset

from engine.errors import Damaged, UsageError
from engine.monitor.blacklist import Blacklist
from engine.monitor.volatility import VolatilitySwitch
from engine.monitor.watch import ICWatch
from engine.portfolio.risk import DrawdownSwitch, Stops

STATES: dict[str, Any] = {kind.__name__: kind for kind in (Blacklist, DrawdownSwitch, ICWatch, Stops, VolatilitySwitch)}
"""Frozen states of the engine that can be written down."""
FACTORIES: dict[str, Callable[[], Any]] = {kind.__name__: kind for kind in (list, dict, set, int, float, str)}
"""What a ``defaultdict`` may make."""
_NUMBERS = "biufMm"
_DEEP = 200
_MARK = "~"

CodeOf = Callable[[Asset], str]
AssetOf = Callable[[str], Asset]
Seen = dict[int, tuple[str, Any]]


class Memory:
    """Writes values down and reads them back.

    Parameters
    ----------
    code_of : callable
        From an asset to its first code, which never changes; its number may.
    asset_of : callable
        Back again.
    """

    def __init__(self, code_of: CodeOf, asset_of: AssetOf) -> None:
        self._code_of, self._asset_of = code_of, asset_of

    def encode(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return named values as JSON.

        Raises
        ------
        UsageError
            A value is of a kind that is not kept, or is shared by two places; it is named.
        """
        seen: Seen = {}
        return {name: self._encode(value, name, seen) for name, value in values.items()}

    def decode(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return named values again.

        Raises
        ------
        Damaged
            They are not what ``encode`` wrote.
        """
        try:
            return {name: self._decode(value) for name, value in values.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
            raise Damaged("what the script remembered cannot be read back", why, "Restore it from a backup.") from None

    def _encode(self, value: Any, name: str, seen: Seen) -> Any:
        kind = type(value)
        if value is None or kind in (bool, str, int):
            return value
        if kind is float:
            return value if math.isfinite(value) else {_MARK: "float", "value": repr(value)}
        if name.count(".") + name.count("[") > _DEEP:
            raise _refused(name, "nested too deep")
        if not _unchanging(value):
            if id(value) in seen:
                raise _refused(name, f"the same object as {seen[id(value)][0]}, and after a restart they would be two")
            seen[id(value)] = name, value  # held, or its number could be given to another
        found = self._container(value, kind, name, seen)
        found = found if found is not None else self._single(value, kind)
        found = found if found is not None else self._table(value, kind, name, seen)
        if found is None:
            raise _refused(name, f"of the kind {kind.__module__}.{kind.__qualname__}")
        return found

    def _container(self, value: Any, kind: type, name: str, seen: Seen) -> Any:
        def each(values: Any) -> list[Any]:
            return [self._encode(one, f"{name}[{at}]", seen) for at, one in enumerate(values)]

        if kind is list:
            return each(value)
        if kind in (set, frozenset):
            return {_MARK: kind.__name__, "values": sorted(each(value), key=lambda one: json.dumps(one))}
        if kind is tuple:
            return {_MARK: "tuple", "values": each(value)}
        if kind is collections.deque:
            return {_MARK: "deque", "values": each(value), "most": value.maxlen}
        if kind is dict and all(type(key) is str and key != _MARK for key in value):
            return {key: self._encode(one, f"{name}.{key}", seen) for key, one in value.items()}
        if kind in (dict, collections.OrderedDict, collections.Counter, collections.defaultdict):
            pairs = [
                [self._encode(key, f"{name} key", seen), self._encode(one, f"{name}[{key!r}]", seen)]
                for key, one in value.items()
            ]
            written = {_MARK: kind.__name__, "items": pairs}
            if kind is collections.defaultdict:
                maker = value.default_factory
                if maker is not None and FACTORIES.get(maker.__name__) is not maker:
                    raise _refused(name, "a defaultdict whose default is a function")
                written["makes"] = maker and maker.__name__
            return written
        return None

    def _single(self, value: Any, kind: type) -> Any:
        if kind is pd.Timestamp or value is pd.NaT:
            return {_MARK: "Timestamp", "value": None if value is pd.NaT else value.isoformat(), "zone": _zone(value)}
        if kind is pd.Timedelta:
            return {_MARK: "Timedelta", "value": value.value}
        if kind is dt.date:
            return {_MARK: "date", "value": value.isoformat()}
        if kind is dt.datetime and value.tzinfo in (None, dt.UTC):
            return {_MARK: "datetime", "value": value.isoformat()}
        if kind is dt.timedelta:
            return {_MARK: "timedelta", "value": [value.days, value.seconds, value.microseconds]}
        if kind is Decimal:
            return {_MARK: "Decimal", "value": str(value)}
        if kind is complex or kind is bytes:
            return None
        if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS + "U":
            return {_MARK: "scalar", **_packed(np.asarray(value))}
        if isinstance(value, Asset):
            return {_MARK: "asset", "code": self._code_of(value)}
        if STATES.get(kind.__name__) is kind:
            return {_MARK: "state", "kind": kind.__name__, "value": value.to_json()}
        return None

    def _table(self, value: Any, kind: type, name: str, seen: Seen) -> Any:
        if kind is np.ndarray:
            if value.dtype.kind in _NUMBERS + "U":
                return {_MARK: "array", **_packed(value)}
            if value.dtype == object and value.ndim == 1:
                return {_MARK: "objects", "values": self._encode(value.tolist(), name, seen)}
            return None
        if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
            return {_MARK: "Index", "values": self._column(value, name, seen), "name": value.name}
        if kind is pd.Series:
            parts = {
                "values": self._column(value, name, seen),
                "index": self._encode(value.index, f"{name}.index", seen),
            }
            return {_MARK: "Series", **parts, "name": self._encode(value.name, f"{name}.name", seen)}
        if kind is pd.DataFrame:
            columns = [self._column(value.iloc[:, at], f"{name}[{at}]", seen) for at in range(value.shape[1])]
            heads = self._encode(value.columns, f"{name}.columns", seen)
            return {_MARK: "DataFrame", "values": columns, "index": self._encode(value.index, f"{name}.index", seen),
                    "columns": heads}  # fmt: skip
        return None

    def _column(self, value: Any, name: str, seen: Seen) -> Any:
        """Return the values of a series or an index; those with a time zone as instants of it."""
        if isinstance(value.dtype, pd.DatetimeTZDtype):
            return {_MARK: "instants", "zone": str(value.dtype.tz), **_packed(pd.DatetimeIndex(value).asi8)}
        if isinstance(value.dtype, np.dtype):
            return self._encode(np.array(value.to_numpy()), name, seen)
        raise _refused(name, f"a column of the kind {value.dtype}")

    def _decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decode(one) for one in value]
        if not isinstance(value, dict):
            return value
        if _MARK not in value:
            return {key: self._decode(one) for key, one in value.items()}
        return self._decoded(value[_MARK], value)

    def _decoded(self, kind: str, value: dict[str, Any]) -> Any:
        simple = _SIMPLE.get(kind)
        if simple is not None:
            return simple(value)
        if kind in _SEQUENCES:
            return _SEQUENCES[kind]([self._decode(one) for one in value["values"]], value)
        if kind in ("dict", "OrderedDict", "Counter", "defaultdict"):
            pairs = [(self._decode(key), self._decode(one)) for key, one in value["items"]]
            return _mapping(kind, pairs, value.get("makes"))
        if kind == "asset":
            return self._asset_of(value["code"])
        if kind == "state":
            return STATES[value["kind"]].from_json(value["value"])
        if kind == "Index":
            return pd.Index(self._decode(value["values"]), name=value["name"])
        if kind == "Series":
            parts = (self._decode(value[part]) for part in ("values", "index", "name"))
            return pd.Series(*_series(*parts))
        if kind == "DataFrame":
            index, heads = self._decode(value["index"]), self._decode(value["columns"])
            frame = pd.DataFrame({at: self._decode(one) for at, one in enumerate(value["values"])}, index=index)
            frame.columns = heads
            return frame
        raise ValueError(f"no kind {kind!r}")


def _series(values: Any, index: Any, name: Any) -> tuple[Any, Any, None, Any]:
    return values, index, None, name


def _mapping(kind: str, pairs: list[tuple[Any, Any]], makes: str | None) -> Any:
    if kind == "defaultdict":
        return collections.defaultdict(FACTORIES[makes] if makes is not None else None, pairs)
    maker: Any = {"dict": dict, "OrderedDict": collections.OrderedDict}.get(kind)
    return collections.Counter(dict(pairs)) if maker is None else maker(pairs)


def _packed(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def _unpacked(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in _NUMBERS + "U":
        raise ValueError(f"an array of {dtype}")
    data = base64.b64decode(value["data"], validate=True)
    return np.frombuffer(data, dtype=dtype).reshape(value["shape"]).copy()


def _timestamp(value: dict[str, Any]) -> Any:
    if value["value"] is None:
        return pd.NaT
    stamp = pd.Timestamp(value["value"])
    return stamp if value["zone"] is None else stamp.tz_convert(_zone_of(value["zone"]))


def _zone_of(name: str) -> Any:
    return dt.UTC if name == "UTC" else name


def _zone(value: Any) -> str | None:
    return None if value is pd.NaT or value.tzinfo is None else str(value.tzinfo)


_SIMPLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "float": lambda value: float(value["value"]),
    "Timestamp": _timestamp,
    "Timedelta": lambda value: pd.Timedelta(value["value"]),
    "date": lambda value: dt.date.fromisoformat(value["value"]),
    "datetime": lambda value: dt.datetime.fromisoformat(value["value"]),
    "timedelta": lambda value: dt.timedelta(*value["value"]),
    "Decimal": lambda value: Decimal(value["value"]),
    "scalar": lambda value: _unpacked(value)[()],
    "array": _unpacked,
    "instants": lambda value: pd.DatetimeIndex(_unpacked(value), tz="UTC").tz_convert(_zone_of(value["zone"])),
}


def _objects(values: list[Any], _: dict[str, Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


_SEQUENCES: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {
    "tuple": lambda values, _: tuple(values),
    "set": lambda values, _: set(values),
    "frozenset": lambda values, _: frozenset(values),
    "deque": lambda values, value: collections.deque(values, value["most"]),
    "objects": _objects,
}


def _unchanging(value: Any) -> bool:
    """Say whether two copies of a value are as good as one: nobody can change it."""
    kinds = (tuple, frozenset, dt.date, dt.timedelta, Decimal, np.generic, pd.Timedelta, pd.Index, Asset)
    return isinstance(value, kinds) or value is pd.NaT or type(value).__name__ in STATES


def _refused(name: str, why: str) -> UsageError:
    return UsageError(
        f"context.{name} cannot be kept from session to session",
        f"it is {why}",
        "Keep numbers, texts, dates, assets, lists, dicts, sets, arrays or frames on context, each in one place, and make "
        "other objects where they are used.",
    )
