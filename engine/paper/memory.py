"""What a script remembers, as JSON and back: no pickle, nothing of unknown kind, nothing lost unseen.

Values JSON has no word for are objects with the key ``~`` that names their kind: single ones (``values``) and those
that hold others (below). Whatever is in neither table is refused by the name it goes by on ``context``: a restart would
lose it. So is what two places share: after a restart they would be two. Kept are values, types, order and time zones;
not kept are the layout of an array, whether it may be written to, the frequency of a ``DatetimeIndex``, ``attrs`` of a
frame, and the order in which a set is walked.
"""

from __future__ import annotations

import collections
import json
import math
import re
import reprlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from zipline.assets import Asset

from engine.errors import AshareError, Damaged, UsageError
from engine.monitor.blacklist import Blacklist
from engine.monitor.volatility import VolatilitySwitch
from engine.monitor.watch import ICWatch
from engine.paper import values as single
from engine.paper.values import Unkept, zone_named, zone_of
from engine.portfolio.risk import DrawdownSwitch, Stops

STATES: dict[str, Any] = {kind.__name__: kind for kind in (Blacklist, DrawdownSwitch, ICWatch, Stops, VolatilitySwitch)}
"""Frozen states of the engine that can be written down."""
FACTORIES: dict[str, Callable[[], Any]] = {kind.__name__: kind for kind in (list, dict, set, int, float, str)}
"""What a ``defaultdict`` may make."""
DEEP = 100
"""How many containers may stand in one another."""
MANY = 3_000_000
"""How many values there may be; tuples in tuples can say more than the machine holds."""
_COMPARED = 100
"""Up to how many columns a frame is asked which of them another has a part of; a wider one counts as a whole."""
_MARK = "~"
_ALONE = re.compile("[\ud800-\udfff]")
"""Halves of characters, which no file can hold."""

CodeOf = Callable[[Asset], str]
AssetOf = Callable[[str], Asset]
Json = dict[str, Any]


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

    def encode(self, values: dict[str, Any], where: str = "context.") -> Json:
        """Return named values as JSON.

        Parameters
        ----------
        values : dict
            By name.
        where : str
            What stands before the names in messages.

        Raises
        ------
        UsageError
            A value is of a kind that is not kept, or is shared by two places; it is named.
        """
        writer = _Writer(self._code_of)
        return {name: writer.value(value, _Path(None, "", name, where)) for name, value in values.items()}

    def decode(self, values: Json) -> dict[str, Any]:
        """Return named values again.

        Raises
        ------
        Damaged
            They are not what ``encode`` wrote.
        """
        reader = _Reader(self._asset_of)
        try:
            return {name: reader.value(value) for name, value in values.items()}
        except AshareError:
            raise
        except Exception as error:  # whatever the makers of some twenty kinds have to say of fields that make none
            why = f"{type(error).__name__}: {error}"[:300]
            raise Damaged("what the script remembered cannot be read back", why, "Restore it from a backup.") from None


class _Path:
    """Where a value stands; its name is put together only for a message."""

    def __init__(self, parent: _Path | None, form: str, key: Any, where: str = "") -> None:
        self._parent, self._form, self._key = parent, form, key
        self._where = where
        self.depth: int = parent.depth + 1 if parent is not None else 0

    def item(self, key: Any) -> _Path:
        return _Path(self, "[", key)

    def part(self, name: str) -> _Path:
        return _Path(self, ".", name)

    def __str__(self) -> str:
        if self._parent is None:
            return f"{self._where}{self._key}"
        before = str(self._parent)
        return f"{before}.{self._key}" if self._form == "." else f"{before}[{_shown(self._key)}]"

    def refused(self, why: str) -> UsageError:
        mend = (
            "Keep numbers, texts, dates, assets, lists, dicts, sets, arrays or frames, each in one place (a copy may"
            " stand in another), and make other objects where they are used."
        )
        return UsageError(f"{self} cannot be kept from session to session", f"it is {why}", mend)


def _shown(key: Any) -> str:
    try:
        return reprlib.repr(key)
    except Exception:  # a number of more digits than Python writes, or what a script's own class says of itself
        return f"a key of the kind {type(key).__name__}"


class _Writer:
    """Writes values down; it holds all it has met, so that no number of an object is given away twice meanwhile."""

    def __init__(self, code_of: CodeOf) -> None:
        self.code_of = code_of
        self._count = 0
        self._met: dict[int, tuple[_Path, Any]] = {}
        self._memory: dict[int, dict[int, tuple[_Path, list[np.ndarray[Any, Any]]]]] = {}

    def value(self, value: Any, path: _Path) -> Any:
        """Return a value as JSON."""
        self._count += 1
        if self._count > MANY:
            raise path.refused(f"too much: more than {MANY:,} values")
        plain = _PLAIN.get(type(value))
        if plain is not None and plain(value):
            return value
        try:
            found = single.write(value)
            return _marked(found[0], **found[1]) if found is not None else self._container(value, path)
        except Unkept as error:
            raise path.refused(str(error)) from None

    def _container(self, value: Any, path: _Path) -> Any:
        kind = Asset if isinstance(value, Asset) else type(value)
        holder = _BY_TYPE.get(kind)
        if holder is None:
            raise Unkept(f"of the kind {kind.__module__}.{kind.__qualname__}")
        if path.depth >= DEEP:
            raise Unkept(f"nested too deep: more than {DEEP} containers in one another")
        if holder.changeable:
            self._meet(value, path)
        return holder.write(self, value, path)

    def _meet(self, value: Any, path: _Path) -> None:
        before, _ = self._met.setdefault(id(value), (path, value))
        if before is not path:
            raise Unkept(f"the same object as {before}, and after a restart they would be two")

    def own(self, array: np.ndarray[Any, Any], holder: Any, path: _Path) -> None:
        """Require that no other object has part of the memory of an array."""
        root: Any = array
        while getattr(root, "base", None) is not None:
            root = root.base
        users = self._memory.setdefault(id(root), {})
        users.setdefault(id(holder), (path, []))[1].append(array)
        for user, (other, arrays) in users.items():
            if user != id(holder) and _overlap(array, arrays):
                raise Unkept(f"part of the same memory as {other}, and after a restart they would be two")

    def values(self, values: Any, path: _Path) -> list[Any]:
        """Return the members of a sequence."""
        return [self.value(one, path.item(at)) for at, one in enumerate(values)]

    def array(self, array: np.ndarray[Any, Any], path: _Path) -> Json:
        """Return an array; one of objects as those."""
        if array.dtype != object:
            return _marked("array", **single.pack(array))
        if array.ndim != 1:
            raise Unkept(f"an array of objects in {array.ndim} dimensions")
        return _marked("objects", values=self.values(array, path))

    def column(self, column: pd.Series[Any] | pd.Index[Any], path: _Path, holder: Any = None) -> Json:
        """Return the values of a series or an index; those with a time zone as moments of it."""
        try:
            return self._column(column, path, holder)
        except Unkept as error:
            raise path.refused(str(error)) from None

    def _column(self, column: pd.Series[Any] | pd.Index[Any], path: _Path, holder: Any) -> Json:
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            moments = pd.DatetimeIndex(column)
            array = moments.asi8.view(f"<M8[{moments.unit}]")
            return _marked("moments", zone=zone_of(column.dtype.tz), **single.pack(array))
        if not isinstance(column.dtype, np.dtype):
            raise Unkept(f"a column of the kind {column.dtype}")
        array = column.to_numpy()
        if holder is not None:
            self.own(array, holder, path)
        return self.array(array, path)


class _Reader:
    """Reads values back."""

    def __init__(self, asset_of: AssetOf) -> None:
        self.asset_of = asset_of

    def value(self, value: Any) -> Any:
        """Return a value again."""
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, dict):
            return value
        if _MARK not in value:
            return {key: self.value(one) for key, one in value.items()}
        fields = dict(value)
        name = fields.pop(_MARK)
        holder = _BY_NAME.get(name)
        return holder.read(self, **fields) if holder is not None else single.read(name, fields)

    def array(self, value: Any) -> Any:
        """Return what stands for the values of a series or an index again."""
        found = self.value(value)
        if not isinstance(found, np.ndarray | pd.DatetimeIndex) or found.ndim != 1:
            raise TypeError("no column")
        return found


class _Holder(NamedTuple):
    """How a kind of values that hold others is written and read.

    Attributes
    ----------
    changeable : bool
        Whether two copies of it are less than one: it can change.
    """

    write: Callable[[_Writer, Any, _Path], Any]
    read: Callable[..., Any]
    changeable: bool = True


def _marked(name: str, /, **fields: Any) -> Json:
    return {_MARK: name, **fields}


_shares: Callable[..., bool] = np.shares_memory


def _overlap(array: np.ndarray[Any, Any], others: list[np.ndarray[Any, Any]]) -> bool:
    try:
        return len(others) > _COMPARED or any(_shares(array, other, max_work=1000) for other in others)
    except np.exceptions.TooHardError:
        return True


def _write_list(writer: _Writer, value: Any, path: _Path) -> list[Any]:
    return writer.values(value, path)


def _write_tuple(writer: _Writer, value: Any, path: _Path) -> Json:
    return _marked("tuple", values=writer.values(value, path))


def _write_set(writer: _Writer, value: Any, path: _Path) -> Json:
    values = [writer.value(one, path.part("member")) for one in value]
    return _marked(type(value).__name__, values=sorted(values, key=json.dumps))


def _write_deque(writer: _Writer, value: Any, path: _Path) -> Json:
    return _marked("deque", values=writer.values(value, path), most=value.maxlen)


def _read_deque(reader: _Reader, values: Any, most: int | None) -> Any:
    found = collections.deque(reader.value(values), most)
    if len(found) != len(values):
        raise ValueError("more than it may hold")
    return found


def _pairs(writer: _Writer, value: Any, path: _Path) -> list[Any]:
    return [[writer.value(key, path.part("key")), writer.value(one, path.item(key))] for key, one in value.items()]


def _read_pairs(reader: _Reader, items: Any) -> dict[Any, Any]:
    found = {reader.value(key): reader.value(one) for key, one in items}
    if len(found) != len(items):
        raise ValueError("a key stands there twice")
    return found


def _write_dict(writer: _Writer, value: dict[Any, Any], path: _Path) -> Json:
    """Return a dict as an object where that loses nothing, even to somebody who sorts the keys."""
    keys = list(value)
    if all(type(key) is str and key != _MARK and not _ALONE.search(key) for key in keys) and keys == sorted(keys):
        return {key: writer.value(one, path.item(key)) for key, one in value.items()}
    return _write_mapping(writer, value, path)


def _write_mapping(writer: _Writer, value: Any, path: _Path) -> Json:
    return _marked(type(value).__name__, items=_pairs(writer, value, path))


def _write_defaultdict(writer: _Writer, value: Any, path: _Path) -> Json:
    makes = [name for name, maker in FACTORIES.items() if maker is value.default_factory]
    if value.default_factory is not None and not makes:
        raise Unkept("a defaultdict whose default is a function")
    return _marked("defaultdict", items=_pairs(writer, value, path), makes=makes[0] if makes else None)


def _read_defaultdict(reader: _Reader, items: Any, makes: str | None) -> Any:
    return collections.defaultdict(None if makes is None else FACTORIES[makes], _read_pairs(reader, items))


def _write_asset(writer: _Writer, value: Asset, _: _Path) -> Json:
    return _marked("asset", code=writer.code_of(value))


def _read_asset(reader: _Reader, code: Any) -> Asset:
    if type(code) is not str:
        raise TypeError("no code")
    return reader.asset_of(code)


def _write_state(writer: _Writer, value: Any, path: _Path) -> Json:
    plain = json.loads(json.dumps(value.to_json(), default=lambda one: one.item()))
    return _marked("state", kind=type(value).__name__, value=writer.value(plain, path))


def _read_state(reader: _Reader, kind: str, value: Any) -> Any:
    found = STATES[kind].from_json(reader.value(value))
    if TypeAdapter(STATES[kind]).validate_python(dict(vars(found))) != found:
        raise ValueError(f"no {kind}")
    return found


def _write_array(writer: _Writer, value: np.ndarray[Any, Any], path: _Path) -> Json:
    writer.own(value, value, path)
    return writer.array(value, path)


def _read_objects(reader: _Reader, values: Any) -> np.ndarray[Any, Any]:
    members = reader.value(values)
    found = np.empty(len(members), dtype=object)
    for at, member in enumerate(members):  # all at once, numpy would look into them
        found[at] = member
    return found


def _read_moments(_: _Reader, zone: str, **fields: Any) -> pd.DatetimeIndex:
    moments = pd.DatetimeIndex(single.unpack(**fields))
    return moments.tz_localize("UTC").tz_convert(zone_named(zone))


def _write_range(writer: _Writer, value: pd.RangeIndex, path: _Path) -> Json:
    name = writer.value(value.name, path.part("name"))
    return _marked("RangeIndex", ends=[value.start, value.stop, value.step], name=name)


def _read_range(reader: _Reader, ends: Any, name: Any) -> pd.RangeIndex:
    start, stop, step = ends
    if not -(2**63) <= min(ends) <= max(ends) < 2**63:
        raise ValueError("a range without end")
    return pd.RangeIndex(start, stop, step, name=reader.value(name))


def _write_index(writer: _Writer, value: pd.Index[Any], path: _Path) -> Json:
    return _marked("Index", values=writer.column(value, path), name=writer.value(value.name, path.part("name")))


def _read_index(reader: _Reader, values: Any, name: Any) -> pd.Index[Any]:
    found = reader.array(values)
    return pd.Index(found, dtype=found.dtype, name=reader.value(name))


def _write_series(writer: _Writer, value: pd.Series[Any], path: _Path) -> Json:
    return _marked(
        "Series",
        values=writer.column(value, path, value),
        index=writer.value(value.index, path.part("index")),
        name=writer.value(value.name, path.part("name")),
    )


def _read_series(reader: _Reader, values: Any, index: Any, name: Any) -> pd.Series[Any]:
    found = reader.array(values)
    return pd.Series(found, _index(reader, index), dtype=found.dtype, name=reader.value(name))


def _write_frame(writer: _Writer, value: pd.DataFrame, path: _Path) -> Json:
    columns = (value.iloc[:, at] for at in range(value.shape[1]))
    return _marked(
        "DataFrame",
        values=[writer.column(column, path.item(column.name), value) for column in columns],
        index=writer.value(value.index, path.part("index")),
        columns=writer.value(value.columns, path.part("columns")),
    )


def _read_frame(reader: _Reader, values: Any, index: Any, columns: Any) -> pd.DataFrame:
    rows, heads = _index(reader, index), _index(reader, columns)
    found = {at: pd.Series(array, dtype=array.dtype) for at, array in enumerate(map(reader.array, values))}
    if any(len(column) != len(rows) for column in found.values()):
        raise ValueError("columns of different lengths")
    frame = pd.DataFrame(found, index=pd.RangeIndex(len(rows)))
    frame.index, frame.columns = rows, heads
    return frame


def _index(reader: _Reader, value: Any) -> pd.Index[Any]:
    found = reader.value(value)
    if not isinstance(found, pd.Index):
        raise TypeError("no index")
    return found


_PLAIN: dict[type, Callable[[Any], bool]] = {
    type(None): lambda _: True,
    bool: lambda _: True,
    int: lambda value: -(2**63) <= value < 2**63,
    float: math.isfinite,
    str: lambda value: not _ALONE.search(value),
}
"""What JSON has words for, and when."""

_INDEX = _Holder(_write_index, _read_index, changeable=False)
_STATE = _Holder(_write_state, _read_state, changeable=False)
_BY_TYPE: dict[type, _Holder] = {
    list: _Holder(_write_list, lambda reader, values: reader.value(values)),
    tuple: _Holder(_write_tuple, lambda reader, values: tuple(reader.value(values)), changeable=False),
    set: _Holder(_write_set, lambda reader, values: set(reader.value(values))),
    frozenset: _Holder(_write_set, lambda reader, values: frozenset(reader.value(values)), changeable=False),
    collections.deque: _Holder(_write_deque, _read_deque),
    dict: _Holder(_write_dict, _read_pairs),
    collections.OrderedDict: _Holder(
        _write_mapping, lambda reader, items: collections.OrderedDict(_read_pairs(reader, items))
    ),
    collections.Counter: _Holder(_write_mapping, lambda reader, items: collections.Counter(_read_pairs(reader, items))),
    collections.defaultdict: _Holder(_write_defaultdict, _read_defaultdict),
    Asset: _Holder(_write_asset, _read_asset, changeable=False),
    np.ndarray: _Holder(_write_array, lambda _, **fields: single.read("array", fields)),
    pd.RangeIndex: _Holder(_write_range, _read_range, changeable=False),
    **dict.fromkeys((pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex), _INDEX),
    pd.Series: _Holder(_write_series, _read_series),
    pd.DataFrame: _Holder(_write_frame, _read_frame),
    **dict.fromkeys(STATES.values(), _STATE),
}
_BY_NAME: dict[str, _Holder] = {
    **{kind.__name__: holder for kind, holder in _BY_TYPE.items()},
    "asset": _BY_TYPE[Asset],
    "state": _STATE,
    "objects": _Holder(_write_array, _read_objects),
    "moments": _Holder(_write_array, _read_moments),
}
