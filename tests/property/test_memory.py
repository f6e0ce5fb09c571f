"""What a script remembers comes back as it was, to the type and the bit, or is refused by its name."""

from __future__ import annotations

import ast
import collections
import copy
import datetime as dt
import enum
import functools
import itertools
import json
import math
import os
import random
import struct
import subprocess
import sys
import zoneinfo
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import pytz
import torch
from dateutil.tz import tzoffset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zipline.assets import Equity, ExchangeInfo
from zipline.pipeline import Pipeline
from zipline.protocol import Portfolio, Position, Positions

from engine.errors import AshareError, Damaged, UsageError
from engine.monitor.blacklist import Blacklist
from engine.monitor.volatility import VolatilitySwitch
from engine.monitor.watch import ICWatch
from engine.paper.memory import DEEP, Memory
from engine.portfolio.risk import DrawdownSwitch, Stops, Watched
from engine.types import Side
from tests.security.mutations import spoilt_json

EXCHANGE = ExchangeInfo("XSHG", "XSHG", "CN")
ASSETS = {code: Equity(sid, EXCHANGE, symbol=code) for sid, code in enumerate(["600000.SH", "000001.SZ", "300750.SZ"])}


def asset_of(code: str) -> Equity:
    if code not in ASSETS:
        raise Damaged(f"the account remembers {code}", "the bundle has no such stock", "Build it from the whole lake.")
    return ASSETS[code]


MEMORY = Memory(lambda asset: asset.symbol, asset_of)


def through(value: object) -> object:
    """Return a value written to bytes and read back; what was read back is written as the same bytes."""
    body = json.dumps(MEMORY.encode({"x": value}), allow_nan=False).encode()
    again = MEMORY.decode(json.loads(body))
    assert json.dumps(MEMORY.encode(again), allow_nan=False).encode() == body
    by_key = json.loads(json.dumps(json.loads(body), sort_keys=True, ensure_ascii=False).encode())
    require_same(MEMORY.decode(by_key)["x"], again["x"])
    return again["x"]


def require_same(one: object, other: object) -> None:  # noqa: PLR0912
    """Require two values to be equal in kind, order and every bit."""
    assert type(one) is type(other), (one, other)
    match one:
        case float():
            assert struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
        case dict():
            assert getattr(one, "default_factory", None) is getattr(other, "default_factory", None)
            require_same(list(one), list(other))
            require_same(list(one.values()), list(other.values()))
        case list() | tuple() | collections.deque():
            assert len(one) == len(other)
            assert getattr(one, "maxlen", None) == getattr(other, "maxlen", None)
            for a, b in zip(one, other, strict=True):
                require_same(a, b)
        case set() | frozenset():
            forms = [sorted(repr((type(member), member)) for member in members) for members in (one, other)]
            assert forms[0] == forms[1]
        case np.ndarray() if one.dtype == object:
            assert one.shape == other.shape
            require_same(one.tolist(), other.tolist())
        case np.str_():
            assert str(one) == str(other)
        case np.ndarray() | np.generic():
            one, other = np.asarray(one), np.asarray(other)
            assert (one.dtype.str, one.shape, one.tobytes()) == (other.dtype.str, other.shape, other.tobytes())
        case pd.Series():
            pd.testing.assert_series_equal(one, other, check_freq=False)
            require_same([one.name, *indices(one.index)], [other.name, *indices(other.index)])
            require_same(list(one), list(other))
        case pd.DataFrame():
            pd.testing.assert_frame_equal(one, other, check_freq=False)
            heads = [[*indices(frame.index), *indices(frame.columns)] for frame in (one, other)]
            require_same(*heads)
            assert list(one.dtypes) == list(other.dtypes)
            for at in range(one.shape[1]):
                require_same(list(one.iloc[:, at]), list(other.iloc[:, at]))
        case pd.Index():
            require_same(indices(one), indices(other))
        case pd.Timestamp():
            assert one.isoformat() == other.isoformat()
            assert (one.unit, str(one.tz), type(one.tz), one.fold) == (
                other.unit,
                str(other.tz),
                type(other.tz),
                one.fold,
            )
        case dt.datetime():
            assert (one.isoformat(), one.tzinfo, one.fold) == (other.isoformat(), other.tzinfo, other.fold)
        case Decimal():
            assert one.as_tuple() == other.as_tuple()
        case _:
            assert one is other or one == other


def indices(index: pd.Index) -> list[object]:
    return [index.dtype, index.name, list(index), type(index).__name__]


TEXTS = st.one_of(
    st.text(max_size=6), st.text(st.characters(), max_size=6), st.sampled_from(["\ud83d\ude00", "~", "\0"])
)
ZONES = st.sampled_from(
    [
        None,
        dt.UTC,
        zoneinfo.ZoneInfo("Asia/Shanghai"),
        zoneinfo.ZoneInfo("UTC"),
        dt.timezone(dt.timedelta(hours=8)),
        dt.timezone(-dt.timedelta(hours=3, microseconds=1)),
    ]
)
STAMP_ZONES = st.one_of(ZONES, st.sampled_from([pytz.timezone("Asia/Shanghai"), pytz.UTC, pytz.timezone("US/Eastern")]))
UNITS = st.sampled_from(["s", "ms", "us", "ns"])
MOMENTS = st.integers(0, 2**31).flatmap(lambda n: UNITS.map(lambda unit: np.datetime64(n, "s").astype(f"M8[{unit}]")))


@st.composite
def stamps(draw: st.DrawFn) -> pd.Timestamp:
    stamp, zone = pd.Timestamp(draw(MOMENTS)), draw(STAMP_ZONES)
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(zone)


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.unicode_string_dtypes(endianness="?", max_len=5),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAYS = st.builds(
    lambda array, turned: array.T[::turned] if array.ndim else array,
    DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    st.sampled_from([1, 2, -1]),
)
HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXTS,
    st.dates(),
    st.datetimes(timezones=ZONES),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    stamps(),
    st.builds(lambda n, unit: pd.Timedelta(np.timedelta64(n, unit)), st.integers(-(10**9), 10**9), UNITS),
    st.sampled_from([pd.NaT, pd.NA, -0.0, math.nan, math.inf, 10**4000, -(2**63), 2**63, *ASSETS.values()]),
    TEXTS.map(np.str_),
    DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, ())).map(lambda array: array[()]),
)
KEYS = st.recursive(
    HASHABLE.filter(lambda key: not (isinstance(key, Decimal) and key.is_snan())),  # which has no hash
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)
SOME_STATES = st.sampled_from(
    [
        DrawdownSwitch(123.25, True),
        DrawdownSwitch(),
        VolatilitySwitch(True),
        ICWatch((0.1, -0.2), 3, 5, 1, 2),
        Stops({"600000.SH": Watched(100, 0.5, 12.0, True), "000001.SZ": Watched(200, 0.0, 3.0)}),
        Blacklist(((dt.date(2018, 3, 5), ("600000.SH",)),), {"600000.SH": 1}, {"000001.SZ": dt.date(2018, 4, 1)}),
    ]
)


@st.composite
def indexes(draw: st.DrawFn, size: int) -> pd.Index:
    name = draw(st.one_of(st.none(), TEXTS, st.dates(), st.tuples(TEXTS, st.integers(0, 9))))
    kind = draw(st.sampled_from(["range", "text", "mixed", "number", "moment", "zoned", "span"]))
    if kind == "range":
        return pd.RangeIndex(3, 3 + 2 * size, 2, name=name)
    if kind == "mixed":
        members = np.empty(size, dtype=object)
        for at in range(size):
            members[at] = draw(st.one_of(st.integers(0, 9), st.dates(), stamps(), st.just(ASSETS["600000.SH"])))
        return pd.Index(members, dtype=object, name=name)
    if kind == "text":
        return pd.Index(draw(st.lists(TEXTS, min_size=size, max_size=size)), dtype=object, name=name)
    if kind == "number":
        return pd.Index(draw(hnp.arrays(draw(st.sampled_from(["i8", "f8", "f4", "u2", "?"])), size)), name=name)
    whole = np.array(draw(st.lists(st.integers(0, 2**31), min_size=size, max_size=size)), dtype="i8")
    if kind == "span":
        return pd.Index(whole.astype("m8[s]"), name=name)
    index = pd.DatetimeIndex(whole.astype("M8[s]").astype(f"M8[{draw(UNITS)}]"), name=name)
    return index if kind == "moment" else index.tz_localize("UTC").tz_convert(draw(STAMP_ZONES.filter(bool)))


@st.composite
def columns(draw: st.DrawFn, index: pd.Index) -> pd.Series:
    size = len(index)
    values = draw(
        st.one_of(
            hnp.arrays(st.sampled_from(["?", "i4", "f8", "f4", "M8[ns]", "M8[s]", "m8[ms]"]), size),
            indexes(size).filter(lambda one: isinstance(one, pd.DatetimeIndex)),
            st.lists(
                st.one_of(st.none(), TEXTS, st.dates(), stamps(), st.integers(), st.lists(st.integers(), max_size=2)),
                min_size=size,
                max_size=size,
            ).map(objects),
        )
    )
    return pd.Series(values, index=index, dtype=values.dtype, name=draw(st.one_of(st.none(), TEXTS, st.integers(0, 5))))


def objects(values: list[object]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        found[at] = value
    return found


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    index = draw(indexes(draw(st.integers(0, 3))))
    heads = draw(indexes(draw(st.integers(0, 3))))
    plain = pd.RangeIndex(len(index))
    series = {at: draw(columns(plain)) for at in range(len(heads))}
    frame = pd.DataFrame(series, index=plain)
    frame.index, frame.columns = index, heads
    return frame


TABLES = st.one_of(
    indexes(3), indexes(2).flatmap(columns), frames(), ARRAYS, st.lists(HASHABLE, max_size=3).map(objects)
)
VALUES = st.recursive(
    st.one_of(HASHABLE, TABLES, SOME_STATES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXTS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(KEYS, inner, max_size=3).map(collections.Counter),
        st.dictionaries(KEYS, inner, max_size=3).map(lambda one: collections.defaultdict(list, one)),
        st.sets(KEYS, max_size=3),
        st.sets(KEYS, max_size=3).map(frozenset),
        st.lists(inner, max_size=3).map(lambda one: collections.deque(one, 5)),
    ),
    max_leaves=12,
)
SLOWLY = settings(max_examples=2500, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(VALUES)
def test_a_value_comes_back_as_it_was(value):
    require_same(through(copy.deepcopy(value)), value)


@pytest.mark.slow
@SLOWLY
@given(VALUES)
def test_many_values_come_back_as_they_were(value):
    require_same(through(copy.deepcopy(value)), value)


FORTRAN = np.asfortranarray(np.arange(12.0).reshape(3, 4))
DAYS = pd.date_range("2018-03-05", periods=3)
TWICE = pd.DataFrame([[1, "a"], [2, None]], columns=["x", "x"], index=pd.Index(["b", "b"], name="who"))
CASES = [
    *(-0.0, math.nan, -math.inf, 5e-324, 10**30, -(10**5000), True, 1, 1.0, "", "a\0b", "\ud800", "\ud83d\ude00"),
    *(
        [],
        {},
        (),
        set(),
        frozenset(),
        {"b": 1, "a": 2},
        {"~": 1},
        {"~": "date", "value": "x"},
        {"\ud800": 1},
        {1: "a", "1": 2},
    ),
    *({True: 1}, {1.0: 1}, {(1, (2, "x")): [1]}, collections.deque([1, 2], 2), collections.deque()),
    *(collections.Counter("abca"), collections.OrderedDict(b=1, a=2), collections.defaultdict(None, {1: 2})),
    *(collections.defaultdict(set, {"a": {1}}), {dt.date(2018, 3, 5), "x", 3, None, (1, 2)}),
    *(dt.date.min, dt.datetime.fromisoformat("9999-12-31T23:59:59.999999"), dt.time(9, 30), dt.timedelta.min),
    dt.datetime(2018, 11, 4, 1, 30, fold=1, tzinfo=dt.UTC).replace(tzinfo=None),
    dt.datetime(2018, 11, 4, 1, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("America/New_York")),
    *(Decimal("-0.00"), Decimal("1E+5"), Decimal("NaN"), Decimal("-Infinity")),
    *(
        pd.NaT,
        pd.NA,
        pd.Timestamp.min,
        pd.Timestamp.max,
        pd.Timestamp("2018-03-05 10:00:00.000000001", tz="Asia/Shanghai"),
    ),
    *(
        pd.Timestamp("2018-03-05").as_unit("s"),
        pd.Timestamp("2018-11-04 05:30Z").tz_convert("US/Eastern"),
        pd.Timedelta.min,
    ),
    *(pd.Timedelta("1D").as_unit("s"), np.datetime64("NaT"), np.datetime64("NaT", "ns"), np.datetime64("2018", "Y")),
    *(np.datetime64("2018-03", "M"), np.timedelta64(3, "D"), np.timedelta64(3), np.bool_(True), np.float32(0.1)),
    *(np.float64(math.nan), np.int8(-1), np.uint64(2**64 - 1), np.str_(""), np.str_("a\0")),
    *(
        np.array(3.0),
        np.array("股"),
        np.zeros((0, 3)),
        np.zeros((2, 0), "M8[D]"),
        np.array([True, False]),
        np.array(["ab", ""]),
    ),
    *(FORTRAN, FORTRAN[::2, 1::2], FORTRAN[:, ::-1], np.arange(3, dtype=">i4"), np.broadcast_to(np.float64(1), (2, 2))),
    *(np.array([math.nan, -0.0, math.inf]), np.array([None, "a", dt.date(2018, 3, 5), [1]], dtype=object)),
    *(np.array([[1], [2, 3]], dtype=object), np.array([], dtype=object), np.array([np.nan], dtype="f2")),
    *(pd.DataFrame(), pd.DataFrame(index=["a"]), pd.DataFrame(columns=["a"]), pd.DataFrame({"a": []}), TWICE, TWICE.T),
    *(pd.DataFrame({"d": DAYS, "z": DAYS.tz_localize("UTC"), "o": [None, "x", dt.date(2018, 3, 5)]}, index=DAYS),),
    pd.DataFrame({"t": np.array([pd.Timestamp("2018"), None], dtype=object)}),
    *(pd.Series([], dtype=object), pd.Series([1, 2], index=DAYS[:2], name=("a", 1)), pd.Series(["a", None])),
    *(pd.Series([pd.Timestamp("2018")], dtype=object), pd.Series(DAYS.tz_localize("Asia/Shanghai").as_unit("s"))),
    *(
        pd.Series([True, None], dtype=object),
        pd.Series([1, 2], dtype=object),
        pd.Series(pd.to_timedelta([1, None], unit="s")),
    ),
    *(
        pd.Index([1, "a"], name="n"),
        pd.Index([1, 2], dtype=object),
        pd.Index([1, 2], dtype="i4"),
        pd.RangeIndex(5, 0, -2),
    ),
    *(
        DAYS,
        DAYS.tz_localize("US/Eastern"),
        pd.to_timedelta([1, 2], unit="s"),
        pd.Index([True, False]),
        pd.Index([], name="e"),
    ),
    *(pd.Index([dt.date(2018, 3, 5)]), pd.Index([pd.Timestamp("2018")], dtype=object), pd.Index(list(ASSETS.values()))),
    *(DrawdownSwitch(math.inf), DrawdownSwitch(1.5, True)),
    *ASSETS.values(),
]


@pytest.mark.parametrize("value", CASES, ids=lambda value: type(value).__name__)
def test_the_corners(value):
    require_same(through(value), value)


def test_a_frequency_is_lost():
    assert DAYS.freq is not None
    assert through(DAYS).freq is None


def test_an_array_read_back_may_be_written_to():
    fixed = np.arange(3)
    fixed.setflags(write=False)
    through(fixed)[0] = 1


class Own:
    """A script's own class."""


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mapping(dict):
    pass


class Sequence(list):
    pass


class Code(enum.IntEnum):
    ONE = 1


Pair = collections.namedtuple("Pair", "a b")


def kinds() -> list[tuple[object, str]]:
    return [
        (lambda: 1, "builtins.function"),
        (through, "builtins.function"),
        (len, "builtins.builtin_function_or_method"),
        (functools.partial(len), "functools.partial"),
        (Own, "builtins.type"),
        (Own(), "Own"),
        ((n for n in [1]), "builtins.generator"),
        (iter([1]), "builtins.list_iterator"),
        (itertools.count(), "itertools.count"),
        (sys.stderr.buffer, ""),
        (math, "builtins.module"),
        (torch.zeros(2), "torch.Tensor"),
        (Pipeline(), "zipline.pipeline.pipeline.Pipeline"),
        (Positions(), "zipline.protocol.Positions"),
        (Portfolio(pd.Timestamp("2018"), 1.0), "zipline.protocol.Portfolio"),
        (Position(type("Inner", (), dict.fromkeys(["asset", "amount", "cost_basis"]))()), "zipline.protocol.Position"),
        (Text("a"), "Text"),
        (Number(1), "Number"),
        (Mapping(), "Mapping"),
        (Sequence(), "Sequence"),
        (Code.ONE, "Code"),
        (Side.BUY, "engine.types.Side"),
        (Pair(1, 2), "Pair"),
        (b"a", "builtins.bytes"),
        (1j, "builtins.complex"),
        (Fraction(1, 2), "fractions.Fraction"),
        (np.complex128(1), "numpy's, of the kind complex128"),
        (np.array([1j]), "numpy's, of the kind complex128"),
        (np.array([b"a"]), "numpy's, of the kind |S1"),
        (np.longdouble(1), "numpy's, of the kind float128"),
        (np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]), "numpy's, of the kind"),
        (np.array([[None]], dtype=object), "an array of objects in 2 dimensions"),
        (np.ma.array([1]), "numpy.ma.MaskedArray"),
        (pd.Series(["a"], dtype="category"), "a column of the kind category"),
        (pd.Series([1], dtype="Int64"), "a column of the kind Int64"),
        (pd.Series(["a"], dtype="string"), "a column of the kind string"),
        (pd.CategoricalIndex(["a"]), "CategoricalIndex"),
        (pd.MultiIndex.from_tuples([(1, 2)]), "MultiIndex"),
        (pd.period_range("2018", periods=2), "PeriodIndex"),
        (pd.Period("2018"), "Period"),
        (pd.Timestamp("2018-01-01").tz_localize(tzoffset(None, 3600)), "in the time zone"),
        (pd.Timestamp("2018-01-01", tz=dt.timezone(dt.timedelta(hours=8), "here")), "in the time zone"),
        (
            pytz.timezone("Asia/Shanghai").localize(dt.datetime.fromisoformat("2018-03-05")),
            "a datetime in a zone of pytz",
        ),
        (dt.time(9, tzinfo=dt.UTC), "a time of day with a zone"),
        (collections.defaultdict(lambda: 1), "a defaultdict whose default is a function"),
        (collections.defaultdict(functools.partial(list)), "a defaultdict whose default is a function"),
        (collections.ChainMap(), "collections.ChainMap"),
        (range(3), "builtins.range"),
        ({}.keys(), "builtins.dict_keys"),
        (random.Random(0), "random.Random"),
        (np.random.default_rng(0), "numpy.random._generator.Generator"),
    ]


@pytest.mark.parametrize(("value", "why"), kinds(), ids=lambda one: one[:40] if isinstance(one, str) else "")
def test_what_cannot_be_kept_is_refused_by_its_name(value, why):
    for kept, name in [(value, "x"), ([1, value], "x[1]"), ({"b": {"a": value}}, "x['b']['a']")]:
        with pytest.raises(UsageError) as caught:
            MEMORY.encode({"good": 1, "x": kept})
        message = str(caught.value)
        assert message.startswith(f"context.{name} cannot be kept from session to session: it is "), message
        assert why in message
        assert "\n" not in message
        assert caught.value.exit_code == 2


def test_an_open_file_is_refused(tmp_path):
    with (tmp_path / "a").open("w") as file, pytest.raises(UsageError, match=r"_io.TextIOWrapper"):
        MEMORY.encode({"log": file})


def test_names_of_places():
    for value, name in [
        (np.array([1, len], dtype=object), "context.x[1]"),
        (pd.DataFrame({"a": [1], "b": [len]}), "context.x['b'][0]"),
        (pd.DataFrame({"a": [1], "c": pd.Categorical(["u"])}), "context.x['c']"),
        (pd.Series([1], index=pd.MultiIndex.from_tuples([(1, 2)])), "context.x.index"),
        ({(1, Text("a")): 1}, "context.x.key[1]"),
        ({1, Code.ONE, Text("b")}, "context.x.member"),
    ]:
        with pytest.raises(UsageError) as caught:
            MEMORY.encode({"x": value})
        assert str(caught.value).startswith(f"{name} cannot"), str(caught.value)
    with pytest.raises(UsageError, match=r"^context\.x\[a key of the kind int\] cannot"):
        MEMORY.encode({"x": {10**5000: len}})
    with pytest.raises(UsageError, match=r"^the global x\[0\] cannot"):
        MEMORY.encode({"x": [len]}, "the global ")


SHARED = [
    (lambda: [1], lambda one: [one, one]),
    (dict, lambda one: {"a": one, "b": (one,)}),
    (lambda: np.zeros(2), lambda one: [one, one]),
    (lambda: pd.Series([1]), lambda one: [one, one]),
    (lambda: pd.DataFrame({"a": [1]}), lambda one: [one, one]),
    (lambda: np.zeros(4), lambda one: [one, one[1:]]),
    (lambda: np.zeros(4), lambda one: [one[::2], one[2:]]),
    (lambda: np.zeros(4), lambda one: [one, one.reshape(2, 2)]),
    (lambda: np.zeros((2, 2)), lambda one: [one, pd.DataFrame(one)]),
    (lambda: pd.DataFrame({"a": [1.0], "b": [2.0]}), lambda one: [one, one["a"]]),
    (lambda: [1], lambda one: [one, pd.Series([one], dtype=object)]),
    (collections.deque, lambda one: [one, {"deep": {"er": (1, [one])}}]),
    (list, lambda one: one.append(({"a": one},)) or one),
    (dict, lambda one: one.update(me=one) or one),
]


@pytest.mark.parametrize(("make", "share"), SHARED)
def test_what_two_places_share_is_refused_by_both_names(make, share):
    with pytest.raises(UsageError, match=r"context\.x.* cannot be kept.* as context\.x.*they would be two"):
        MEMORY.encode({"x": share(make())})


def test_sharing_between_names_is_told():
    one = [1]
    with pytest.raises(
        UsageError, match=r"^context\.b\['c'\] cannot be kept .*: it is the same object as context\.a, "
    ):
        MEMORY.encode({"a": one, "b": {"c": one}})


APART = [
    (lambda: np.zeros((2, 3)), list),
    (lambda: np.zeros((3, 2)), lambda one: [one[:, 0], one[:, 1]]),
    (lambda: (1, 2), lambda one: [one, one]),
    (lambda: ((1, 2), frozenset([3])), lambda one: [one, {"a": one}]),
    (lambda: pd.Index([1, 2]), lambda one: [one, one]),
    (lambda: pd.Index([1, 2]), lambda one: [pd.Series([1, 2], one), pd.Series([1, 2], one)]),
    (lambda: pd.DataFrame({"a": [1.0]}), lambda one: [one, one.copy()]),
    (lambda: pd.DataFrame(np.zeros((4, 30))), lambda one: [one.iloc[:2], one.iloc[2:]]),
    (lambda: 300, lambda one: [pd.DataFrame(np.zeros((2, one))), pd.DataFrame(np.zeros((2, one)))]),
    (ICWatch, lambda one: [one, one]),
    (lambda: dt.date(2018, 3, 5), lambda one: [one, one]),
    (lambda: pd.NaT, lambda one: [one, one]),
    (lambda: "a" * 100, lambda one: [one, one]),
    (lambda: range(5000), lambda one: [[] for _ in one]),
    (lambda: range(5000), lambda one: {n: (n, [n]) for n in one}),
    (lambda: range(2000), lambda one: pd.Series([[n] for n in one])),
    (lambda: range(2000), lambda one: [np.arange(n, n + 3) for n in one]),
]


@pytest.mark.parametrize(("make", "part"), APART)
def test_what_is_not_shared_is_not_refused(make, part):
    for _ in range(3):
        require_same(through(part(make())), part(make()))


def test_deep_and_endless_values_are_refused():
    deep: object = 1
    for _ in range(DEEP):
        deep = [deep]
    through(deep)
    for wrap in (lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}, lambda inner: {2: inner}):
        value: object = 1
        for _ in range(20_000):
            value = wrap(value)
        with pytest.raises(UsageError, match="nested too deep"):
            MEMORY.encode({"x": value})
        while isinstance(
            value, list | tuple | dict
        ):  # taken apart by hand: the interpreter would go down 20,000 levels
            value = next(iter(value.values() if isinstance(value, dict) else value))


@pytest.mark.slow
def test_tuples_that_say_more_than_a_machine_holds_are_refused():
    many: object = (1, 2)
    for _ in range(60):
        many = (many, many)
    with pytest.raises(UsageError, match="too much: more than"):
        MEMORY.encode({"x": many})


def test_what_is_written_does_not_depend_on_the_hash_seed(tmp_path):
    script = (
        "import json, datetime as dt\nfrom engine.paper.memory import Memory\n"
        "value = {'a', 'b', 'c', ('x', 1), dt.date(2018, 3, 5), frozenset({'d', 'e', 'f'}), 1, 2.5, None}\n"
        "print(json.dumps(Memory(str, str).encode({'x': value, 'y': {'k': value | {'z'}}})))"
    )
    said = set()
    for seed in ("0", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        said.add(done.stdout)
    assert len(said) == 1


def marked(kind: str, /, **fields: object) -> dict[str, object]:
    return {"~": kind, **fields}


ONES = marked("array", dtype="<f8", shape=[1], data="AAAAAAAAAAA=")
HOSTILE = [
    marked("function", value="os.system"),
    {"~": None},
    {"~": ["array"]},
    {"~": "array"},
    {**ONES, "more": 1},
    {**ONES, "dtype": "|O"},
    {**ONES, "dtype": "O"},
    {**ONES, "dtype": "|V8"},
    {**ONES, "dtype": "f8,f8"},
    {**ONES, "dtype": "float64"},
    {**ONES, "dtype": "<f16"},
    {**ONES, "dtype": "<c8"},
    {**ONES, "dtype": "|S8"},
    {**ONES, "dtype": "<M8[now]"},
    {**ONES, "dtype": "<M8[ns/5]"},
    {**ONES, "dtype": "(1,)<f8"},
    {**ONES, "dtype": [["a", "<f8"]]},
    {**ONES, "dtype": None},
    {**ONES, "dtype": "<U0"},
    {**ONES, "dtype": "|b1", "shape": [8], "data": "AgAAAAAAAAA="},
    {**ONES, "dtype": "<U2", "data": "////fwAAAAA="},
    {**ONES, "dtype": ">U2", "data": "fwAAAAAAAAA="},
    {**ONES, "shape": [2]},
    {**ONES, "shape": [0]},
    {**ONES, "shape": [-1]},
    {**ONES, "shape": [True]},
    {**ONES, "shape": [1.0]},
    {**ONES, "shape": "1"},
    {**ONES, "shape": None},
    {**ONES, "shape": [10**30]},
    {**ONES, "shape": [1] * 100},
    {**ONES, "data": "AAAA AAAAAAA="},
    {**ONES, "data": "AAAAAAAAAAB="},
    {**ONES, "data": "AAAAAAAAAAAAAAAA"},
    {**ONES, "data": None},
    {**ONES, "~": "scalar", "shape": [1]},
    marked("int", value="0x_1"),
    marked("int", value="12"),
    marked("int", value=12),
    marked("float", value="1_0"),
    marked("float", value=[]),
    marked("str", data="/w=="),
    marked("date", value="20180305"),
    marked("date", value="2018-W10-1"),
    marked("datetime", value="2018-03-05T00:00:00", zone="zoneinfo ../../../etc/passwd", fold=0),
    marked("datetime", value="2018-03-05T00:00:00", zone="zoneinfo Asia", fold=0),
    marked("datetime", value="2018-03-05T00:00:00", zone="zoneinfo /etc/passwd", fold=0),
    marked("datetime", value="2018-03-05T00:00:00", zone="tzlocal", fold=0),
    marked("datetime", value="2018-03-05T00:00:00", zone="fixed 1e300", fold=0),
    marked("datetime", value="2018-03-05T00:00:00", zone=None, fold=2),
    marked("Timestamp", value="now", unit="s", zone=None),
    marked("Timestamp", value="today", unit="D", zone=None),
    marked("Timestamp", value="2018-03-05", unit="D", zone=None),
    marked("Timestamp", value="2018-03-05T00:00:00", unit="s", zone="pytz ../../etc"),
    marked("Timestamp", value="2018-03-05T00:00:00", unit="s", zone="pytz NoWhere"),
    marked("Timestamp", value="2018-03-05T00:00:00", unit=None, zone=None),
    marked("Timedelta", value=10**30, unit="s"),
    marked("Timedelta", value=-(2**63), unit="s"),
    marked("Timedelta", value=1, unit="Y"),
    marked("timedelta", value=[10**12, 0, 0]),
    marked("Decimal", value="1e99999999999999999999"),
    marked("Decimal", value="x"),
    marked("Decimal", value=0.1),
    marked("set", values=[[1]]),
    marked("set", values=3),
    marked("deque", values=[1, 2], most=1),
    marked("deque", values=[1], most=-1),
    marked("deque", values=[1], most=10**30),
    marked("dict", items=[[1, 2, 3]]),
    marked("dict", items=[[[], 1]]),
    marked("dict", items=[[1, 2], [1, 3]]),
    marked("defaultdict", items=[], makes="eval"),
    marked("defaultdict", items=[], makes=[]),
    marked("asset", code="999999.SH"),
    marked("asset", code=["600000.SH"]),
    marked("state", kind="Memory", value={}),
    marked("state", kind="DrawdownSwitch", value={"peak": "a", "on": True}),
    marked("state", kind="DrawdownSwitch", value={"peak": 1.0, "on": "yes"}),
    marked("state", kind="DrawdownSwitch", value={"peak": 1.0, "off": 1}),
    marked("state", kind="Stops", value={"watched": {"a": [1, 2, 3, 4, 5]}}),
    marked("state", kind="Stops", value={"watched": {"a": [1, "b", 3]}}),
    marked("state", kind="ICWatch", value={"recent": "abc", "quiet": 0, "seen": 0, "below": 0, "not_below": 0}),
    marked("state", kind="Blacklist", value={"waiting": [], "wrong": {"a": "b"}, "barred": {}}),
    marked("Series", values=[1], index=marked("RangeIndex", ends=[0, 1, 1], name=None), name=None),
    marked("Series", values=ONES, index=[0], name=None),
    marked("Series", values=ONES, index=marked("RangeIndex", ends=[0, 2, 1], name=None), name=None),
    marked("Series", values=ONES, index=marked("RangeIndex", ends=[0, 1, 1], name=None), name=[]),
    marked("RangeIndex", ends=[0, 1, 0], name=None),
    marked("RangeIndex", ends=[0, "1", 1], name=None),
    marked("RangeIndex", ends=[0, 10**30, 1], name=None),
    marked("Index", values="abc", name=None),
    marked("moments", dtype="<f8", shape=[1], data="AAAAAAAAAAA=", zone=3),
    marked(
        "DataFrame",
        values=[ONES],
        index=marked("RangeIndex", ends=[0, 2, 1], name=None),
        columns=marked("RangeIndex", ends=[0, 1, 1], name=None),
    ),
    marked(
        "DataFrame",
        values=[ONES],
        index=marked("RangeIndex", ends=[0, 1, 1], name=None),
        columns=marked("RangeIndex", ends=[0, 2, 1], name=None),
    ),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:70])
def test_what_was_never_written_is_not_read(value):
    for place in (value, [value], {"a": value}):
        with pytest.raises(Damaged):
            MEMORY.decode({"x": place})


def test_brackets_without_end_are_damage():
    value: list[object] = []
    for _ in range(20_000):
        value = [value]
    with pytest.raises(Damaged):
        MEMORY.decode({"x": value})
    while value:
        value = value[0]


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_spoilt_memories_bring_only_our_errors(count):
    good = MEMORY.encode({f"x{at}": value for at, value in enumerate(copy.deepcopy(CASES))})
    names, taken = sorted(good), 0
    for seed in range(count):
        rng = random.Random(seed)
        few = {name: good[name] for name in rng.sample(names, 3)}
        try:
            value = json.loads(spoilt_json(rng, few))
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict):
            continue
        try:
            MEMORY.encode(MEMORY.decode(value))
            taken += 1
        except AshareError:
            continue
    assert count / 10 < taken < count * 9 / 10


def test_no_code_is_made_from_what_is_read():
    """The two modules import nothing that could run what it reads, and call nothing by a name they were given."""
    import engine.paper.memory
    import engine.paper.values

    for module in (engine.paper.memory, engine.paper.values):
        with open(module.__file__, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & {"eval", "exec", "compile", "__import__", "globals", "pickle", "marshal", "importlib"}
