"""Checks across tables: what no single table's schema can see.

The same functions look at one new session before it enters the lake, and at the whole lake year by year. A finding
either holds its row back (the row cannot be true), or says that two tables disagree or that something is missing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, reduce
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from bundles.endpoints import ENDPOINTS, PERIOD, undated_deadline
from bundles.lake import Lake, Part, Version
from engine import calendar, clock
from engine.errors import DataNotFit
from engine.market.limits import standing_of, without_sentinels
from engine.types import Standing

Tables = Mapping[str, pl.DataFrame]

FINDINGS = {
    "endpoint": pl.String,
    "ts_code": pl.String,
    "trade_date": pl.Date,
    "check": pl.String,
    "detail": pl.String,
    "holds_back": pl.Boolean,
    "key": pl.String,
}
"""Columns of findings. A null ``ts_code`` is about the whole day, a null ``trade_date`` about a table without days;
``key`` is that of ``key_text``, null where the finding is about no single row."""

KEY = ["ts_code", "trade_date"]
MISSING = "missing"
BAR_TABLES = ("adj_factor", "daily_basic", "stk_limit")
"""The tables that have a row for each bar."""
COVERED = ("daily", *BAR_TABLES, "suspend_d", "index_daily")
"""The tables that say of which rows a day must consist, and have them."""
BY_SESSION = (*COVERED, "stock_st")
"""The tables that are read session by session."""
REPORTS = ("income", "balancesheet")
BENCHMARKS = ("000905.SH", "000300.SH")
LIMITS_BEGIN = dt.date(2007, 1, 4)
"""The vendor's price limits begin about here; bars before it have those of the rulebook."""
ST_LIST_BEGINS = dt.date(2016, 1, 1)
LOOK_BACK, LATELY = 400, 15
"""Days before the first session in which the bar before it is looked for, and those looked at first."""

STALE_SHARE, STALE_STOCKS = 0.9, 10
"""A day is stale if more than this share of its stocks repeat the session before; of fewer stocks nothing is said."""
PRICE_FEN, PRICE_SHARE = 0.015, 0.005
"""By how much a previous close may differ from the one computed: CNY, or a share of it if that is more."""
MEAN_FEN, MEAN_SHARE = 0.01, 0.01
"""By how much a day's mean price may leave the bar: CNY, and a share of the price."""
CAP_MEDIAN = (10**4.5, 10**7)
"""Between these lies the median market cap of a day, in 10k CNY."""
CAP_JUMP, CAP_FLIP = 5.0, 1000.0
"""Ratios of market caps of two bars: one worth a look, and one that is another unit."""
FIRST_STOCKS = 3
"""How many codes an error names."""

_BAR = ("open", "high", "low", "close", "vol", "amount")
_BASIC = ("turnover_rate", "total_mv")
_LIMITS = ("up_limit", "down_limit")
_BEFORE = {
    "stock": pl.String,
    "trade_date": pl.Date,
    **dict.fromkeys(("pre_close", *_BAR, "adj_factor", *_BASIC, *_LIMITS), pl.Float64),
}


@dataclass(frozen=True)
class Context:
    """What the checks know beside the rows they look at.

    Attributes
    ----------
    sessions : tuple of date
        Those asked about, ascending.
    today : date
        Nothing may be dated later.
    stock_basic, namechange, dividend, rights, code_changes : DataFrame
        Whole tables: the fresh rows, and of the lake those they do not replace.
    before : DataFrame
        The last bar of each stock before the sessions: ``stock`` (its code of today), ``trade_date`` and all that the
        daily tables say of it.
    held_codes : frozenset of str
        Codes that ``stock_basic`` of the lake names.
    indexes : dict of str to date
        The benchmarks that must have a row a session, and from when.
    synced : frozenset of str
        Endpoints whose rows a sync can ask for again.
    limits_begin : date or None
        From when each bar must have a row of ``stk_limit``; None where an import left it to the rulebook altogether.
    asked : frozenset of str
        Tables that hold a whole answer of the vendor for these sessions: an empty one says that there is nothing.
    """

    sessions: tuple[dt.date, ...]
    today: dt.date
    stock_basic: pl.DataFrame
    namechange: pl.DataFrame
    dividend: pl.DataFrame
    rights: pl.DataFrame
    code_changes: pl.DataFrame
    before: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_BEFORE))
    held_codes: frozenset[str] = frozenset()
    indexes: Mapping[str, dt.date] = field(default_factory=dict)
    synced: frozenset[str] = frozenset()
    limits_begin: dt.date | None = LIMITS_BEGIN
    asked: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        lake: Lake,
        version: Version,
        sessions: Sequence[dt.date],
        fresh: Tables | None = None,
        today: dt.date | None = None,
        before: pl.DataFrame | None = None,
        indexes: Sequence[str] | None = None,
    ) -> Context:
        """Read the context of some sessions from a lake.

        Parameters
        ----------
        lake, version : Lake, Version
            What is held; the empty version too.
        sessions : sequence of date
            Those asked about.
        fresh : mapping of str to DataFrame, optional
            Rows that are about to enter, by endpoint; they come before held ones.
        today : date, optional
            By default that of the clock.
        before : DataFrame, optional
            The last bars, where they are known already (``Scene.last_bars``).
        indexes : sequence of str, optional
            Benchmarks that must be there; by default those the lake or the fresh rows have.
        """
        given = fresh or {}
        sessions = tuple(sorted(sessions))
        whole = {
            name: _laid_over(given.get(name), lake.frame(version, name, list(ENDPOINTS[name].types)), name)
            for name in ("stock_basic", "namechange", "dividend", "rights", "code_changes")
        }
        if before is None and sessions:
            before = _bars_before(lake, version, sessions[0], whole["code_changes"], given.get("daily"))
        index = _laid_over(given.get("index_daily"), lake.frame(version, "index_daily", KEY), "index_daily")
        begins = dict(index.group_by("ts_code").agg(pl.col("trade_date").min()).iter_rows())
        wanted = [code for code in BENCHMARKS if code in begins] if indexes is None else indexes
        synced = frozenset(version.covered) | (frozenset(ENDPOINTS) if fresh is not None else frozenset())
        recorded = "stk_limit" in synced or any(part.rows for part in version.parts.get("stk_limit", ()))
        return cls(
            sessions=sessions,
            today=clock.now().date() if today is None else today,
            stock_basic=whole["stock_basic"],
            namechange=whole["namechange"],
            dividend=whole["dividend"],
            rights=whole["rights"],
            code_changes=whole["code_changes"],
            before=pl.DataFrame(schema=_BEFORE) if before is None else before,
            held_codes=frozenset(lake.frame(version, "stock_basic", ["ts_code"])["ts_code"]),
            indexes={code: begins.get(code, dt.date.min) for code in wanted},
            synced=synced,
            limits_begin=LIMITS_BEGIN if recorded else None,
        )

    @cached_property
    def successor(self) -> dict[str, str]:
        """The code of today of each code that was changed."""
        following = dict(self.code_changes.select("old", "new").iter_rows())
        return {old: _followed(old, following) for old in following}

    def stock(self, column: str = "ts_code") -> pl.Expr:
        """Return the code of today of a column of codes."""
        return pl.col(column).replace(self.successor)

    @cached_property
    def listings(self) -> pl.DataFrame:
        """From when (``first``) to before when (``last``, null = on) each code is listed.

        A changed code ends on the day of the change, and its successor begins there.
        """
        spans = self.stock_basic.filter(pl.col("list_status") != "P").select(
            "ts_code", first="list_date", last="delist_date"
        )
        changes = self.code_changes.select("old", "new", "date")
        heirs = changes.join(spans, left_on="new", right_on="ts_code").filter(
            ~pl.col("old").is_in(spans["ts_code"].implode())
        )
        spans = pl.concat([spans, heirs.select(pl.col("old").alias("ts_code"), "first", "last")])
        ended = spans.join(changes.select(ts_code="old", end="date"), on="ts_code", how="left")
        begun = ended.join(changes.select(ts_code="new", start="date"), on="ts_code", how="left")
        return begun.select(
            "ts_code", first=pl.max_horizontal("first", "start"), last=pl.min_horizontal("last", "end")
        ).filter(pl.col("first").is_not_null())


def _followed(code: str, following: Mapping[str, str]) -> str:
    """Return the last of a chain of codes; a circle ends where it began."""
    seen = {code}
    while (after := following.get(code)) is not None and after not in seen:
        seen.add(after)
        code = after
    return code


def _laid_over(fresh: pl.DataFrame | None, held: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return fresh rows, and the held ones whose key they do not have; plans without their ordinal have no key yet."""
    if fresh is None:
        return held
    rows = fresh.select(column for column in held.columns if column in fresh.columns)
    key = [column for column in ENDPOINTS[name].key if column in held.columns]
    if set(key) <= set(rows.columns):
        held = held.join(rows, on=key, how="anti", nulls_equal=True)
    return pl.concat([rows, held], how="diagonal")


# reading by session


def _span(lake: Lake, part: Part) -> tuple[dt.date, dt.date] | None:
    """Return the first and last session of a part; one whose version file does not say is read."""
    return part.span or (_read_span(lake.root / part.path, part.sha256) if part.rows else None)


@lru_cache(maxsize=4096)
def _read_span(path: Path, sha256: str) -> tuple[dt.date, dt.date] | None:
    days = pl.read_parquet(path, columns=["trade_date"])["trade_date"]
    first, last = days.min(), days.max()
    return (first, last) if isinstance(first, dt.date) and isinstance(last, dt.date) else None


def held_rows(
    lake: Lake, version: Version, endpoint: str, first: dt.date, last: dt.date, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Return the rows a lake holds of a table by session, of the sessions of a stretch."""
    return lake.frame(version, endpoint, columns or list(ENDPOINTS[endpoint].types), between=(first, last))


def held_reports(lake: Lake, version: Version, endpoint: str, of: pl.Series | None = None) -> pl.DataFrame:
    """Return the reports a lake holds, the newest version of each; by default of all stocks."""
    spec = ENDPOINTS[endpoint]
    rows = _of_stocks(lake.frame(version, endpoint, list(spec.types)), of)
    return rows.unique(spec.key, keep="last", maintain_order=True)


def _of_stocks(rows: pl.DataFrame, codes: pl.Series | None) -> pl.DataFrame:
    return rows if codes is None else rows.filter(pl.col("ts_code").is_in(codes.implode()))


def tables_of(
    lake: Lake,
    version: Version,
    sessions: Sequence[dt.date],
    fresh: Tables | None = None,
    reports_of: pl.Series | None = None,
) -> dict[str, pl.DataFrame]:
    """Return the tables to look at: the fresh rows, and of the same sessions the held ones they do not replace.

    A table that is neither held nor fresh is not among them, so nothing is said of it. Where reports are fresh, all
    reports are there, for income statement and balance sheet belong together; or all of the stocks ``reports_of``.
    Fresh rows of other tables come as they are.
    """
    given = fresh or {}
    tables = dict(given)
    if set(REPORTS) & set(given):
        for name in REPORTS:
            rows = None if name not in given else _of_stocks(given[name], reports_of)
            tables[name] = _laid_over(rows, held_reports(lake, version, name, reports_of), name)
    for name in BY_SESSION:
        if name in version.parts and sessions:
            held = held_rows(lake, version, name, min(sessions), max(sessions))
            tables[name] = _laid_over(given.get(name), held, name)
    return tables


def _bars_before(
    lake: Lake, version: Version, first: dt.date, code_changes: pl.DataFrame, fresh: pl.DataFrame | None
) -> pl.DataFrame:
    """Return the last bar of each stock before a session.

    Most stocks have one lately; only of those that have none, and have a fresh bar, it is looked for further back.
    """
    following = dict(code_changes.select("old", "new").iter_rows())
    successor = {old: _followed(old, following) for old in following}
    day_before, lately = first - dt.timedelta(1), first - dt.timedelta(days=LATELY)
    near = last_bars(_joined(_bar_tables(lake, version, lately, day_before), successor))
    if fresh is None:
        wanted = None
    else:
        stocks = set(fresh["ts_code"].replace(successor)) - set(near["stock"])
        wanted = [*stocks, *(old for old, new in successor.items() if new in stocks)]
        if not wanted:
            return near
    tables = _bar_tables(lake, version, first - dt.timedelta(days=LOOK_BACK), day_before)
    if wanted is not None:
        tables = {name: rows.filter(pl.col("ts_code").is_in(wanted)) for name, rows in tables.items()}
    far = last_bars(_joined(tables, successor))
    return pl.concat([near, far.join(near, on="stock", how="anti")])


def _bar_tables(lake: Lake, version: Version, first: dt.date, last: dt.date) -> dict[str, pl.DataFrame]:
    names = [name for name in ("daily", *BAR_TABLES) if name in version.parts]
    return {name: held_rows(lake, version, name, first, last) for name in names}


def _joined(tables: Tables, successor: Mapping[str, str]) -> pl.DataFrame:
    """Return the bars with all that the tables say of them, nulls where they say nothing."""
    daily = tables.get("daily", _empty("daily")).filter(pl.col("vol") > 0).unique(KEY, keep="last", maintain_order=True)
    bars = daily.select("ts_code", "trade_date", "pre_close", *_BAR)
    for name, columns in (("adj_factor", ("adj_factor",)), ("daily_basic", _BASIC), ("stk_limit", _LIMITS)):
        rows = tables.get(name, _empty(name)).select(*KEY, *columns).unique(KEY, keep="last", maintain_order=True)
        bars = bars.join(rows, on=KEY, how="left")
    return bars.with_columns(stock=pl.col("ts_code").replace(successor))


def last_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the last bar of each stock."""
    return bars.sort("trade_date").unique("stock", keep="last").select(list(_BEFORE))


def _empty(endpoint: str) -> pl.DataFrame:
    return pl.DataFrame(schema=ENDPOINTS[endpoint].types)


class Scene:
    """The rows looked at and their context, with what several checks need of them.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By endpoint, in the types of the lake. Of an absent table nothing is said; an empty one lacks all its rows.
    context : Context
    """

    def __init__(self, tables: Tables, context: Context) -> None:
        self.tables, self.context = tables, context

    def table(self, name: str) -> pl.DataFrame:
        """Return a table, empty where it is absent."""
        return self.tables.get(name, _empty(name))

    def of_sessions(self, name: str) -> pl.DataFrame:
        """Return the rows of a table that lie in the sessions asked about."""
        return self.table(name).filter(pl.col("trade_date").is_in(self.days.implode()))

    @cached_property
    def days(self) -> pl.Series:
        """The sessions asked about."""
        return pl.Series("trade_date", self.context.sessions, dtype=pl.Date)

    @cached_property
    def bars(self) -> pl.DataFrame:
        """The bars of the sessions with all that the tables say of them, and of the bar before (``_before``)."""
        now = _joined(self.tables, self.context.successor).filter(pl.col("trade_date").is_in(self.days.implode()))
        columns = [name for name in _BEFORE if name != "stock"]
        rows = pl.concat([self.context.before, now], how="diagonal").sort("stock", "trade_date")
        same = pl.col("stock") == pl.col("stock").shift(1)
        rows = rows.with_columns(pl.when(same).then(pl.col(name).shift(1)).alias(f"{name}_before") for name in columns)
        return rows.filter(pl.col("ts_code").is_not_null()).join(self._session_before, on="trade_date", how="left")

    def last_bars(self) -> pl.DataFrame:
        """Return the last bar of each stock up to the end of the sessions: what comes before the next ones."""
        return last_bars(pl.concat([self.context.before, self.bars.select(list(_BEFORE))]))

    @cached_property
    def _session_before(self) -> pl.DataFrame:
        known = pl.Series("trade_date", calendar.sessions())
        return pl.DataFrame({"trade_date": known, "session_before": known.shift(1)})

    @cached_property
    def suspended(self) -> pl.DataFrame:
        """Stocks and sessions of whole-day suspensions."""
        whole = (pl.col("suspend_type") == "S") & pl.col("suspend_timing").is_null()
        return self.table("suspend_d").filter(whole).select(KEY).unique()

    @cached_property
    def required(self) -> dict[str, pl.DataFrame]:
        """The rows that must be there, (ts_code, trade_date), by endpoint; a null day where the table has none."""
        bars = self.of_sessions("daily").filter(pl.col("vol") > 0).select(KEY)
        rows = {
            "daily": self._expected_bars,
            **dict.fromkeys(BAR_TABLES, bars),
            "stk_limit": bars.filter(pl.col("trade_date") >= (self.context.limits_begin or dt.date.max)),
            "index_daily": self._expected_indexes,
            "stock_basic": self._expected_stocks,
        }
        return {name: frame for name, frame in rows.items() if name in self.tables}

    @property
    def _expected_stocks(self) -> pl.DataFrame:
        """The stocks the lake knows already, but for changed codes; they have no day."""
        codes = sorted(self.context.held_codes - set(self.context.successor))
        return pl.DataFrame({"ts_code": codes}, schema={"ts_code": pl.String}).select("ts_code", NO_DAY)

    @cached_property
    def _expected_bars(self) -> pl.DataFrame:
        """Stocks listed in a session and not suspended for all of it."""
        listed = self.context.listings.join(self.days.to_frame(), how="cross").filter(
            (pl.col("first") <= pl.col("trade_date")) & (pl.col("trade_date") < pl.col("last")).fill_null(True)
        )
        return listed.select(KEY).join(self.suspended, on=KEY, how="anti")

    @cached_property
    def _expected_indexes(self) -> pl.DataFrame:
        begins = pl.DataFrame(
            list(self.context.indexes.items()), schema={"ts_code": pl.String, "first": pl.Date}, orient="row"
        )
        every = begins.join(self.days.to_frame(), how="cross")
        return every.filter(pl.col("first") <= pl.col("trade_date")).select(KEY)

    def name_of_the_day(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add to stocks and days the column ``name``: the namechange row that began last (SPEC 13.5)."""
        names = self.context.namechange.drop_nulls(["name", "start_date"])
        names = names.select("name", "start_date", stock=self.context.stock()).sort("start_date", maintain_order=True)
        joined = rows.with_columns(stock=self.context.stock()).sort("trade_date")
        return joined.join_asof(names, left_on="trade_date", right_on="start_date", by="stock", check_sortedness=False)


# the checks: each returns ts_code, trade_date, detail, and where it names them itself endpoint and key


def _missing(scene: Scene) -> pl.DataFrame:
    """Find rows that must be there and are not."""
    found = []
    for endpoint, rows in scene.required.items():
        dated = endpoint in BY_SESSION
        on = KEY if dated else ["ts_code"]
        lacking = rows.join(scene.table(endpoint).select(on), on=on, how="anti")
        found.append(
            lacking.with_columns(
                endpoint=pl.lit(endpoint), detail=pl.lit("no bar" if endpoint == "daily" else "no row")
            )
        )
    return _together(found)


def _unknown_codes(scene: Scene) -> pl.DataFrame:
    """Find codes of stocks that stock_basic does not name."""
    context = scene.context
    known = pl.concat([context.stock_basic["ts_code"], pl.Series("ts_code", list(context.successor), dtype=pl.String)])
    found = []
    for endpoint, rows in scene.tables.items():
        if ENDPOINTS[endpoint].stocks and endpoint != "stock_basic":
            days = "trade_date" if "trade_date" in rows.columns else pl.lit(None, dtype=pl.Date).alias("trade_date")
            strange = rows.filter(~pl.col("ts_code").is_in(known.implode())).select("ts_code", days).unique()
            found.append(
                strange.with_columns(endpoint=pl.lit(endpoint), detail=pl.lit("stock_basic does not know this code"))
            )
    return _together(found)


def _bar_while_suspended(scene: Scene) -> pl.DataFrame:
    """Find bars of stocks that suspend_d says were suspended all day; the bar wins."""
    both = scene.bars.join(scene.suspended, on=KEY, how="semi")
    return both.select(*KEY, detail=_text("vol {} although suspend_d has a whole-day suspension", "vol"))


def _bar_outside_listing(scene: Scene) -> pl.DataFrame:
    """Find bars before the listing or after its end."""
    bars = scene.bars.join(scene.context.listings, on="ts_code")
    day = pl.col("trade_date")
    outside = bars.filter((day < pl.col("first")) | (day >= pl.col("last")).fill_null(False))
    return outside.select(*KEY, detail=_text("listed from {} to {}", "first", "last"))


def _mean_price(scene: Scene) -> pl.DataFrame:
    """Find bars whose amount and volume give no price inside the bar: one of them is in another unit."""
    mean = pl.col("amount") * 10 / pl.col("vol")  # thousand CNY by lots of a hundred
    bars = scene.bars.with_columns(mean=mean)
    low, high = pl.col("low") * (1 - MEAN_SHARE) - MEAN_FEN, pl.col("high") * (1 + MEAN_SHARE) + MEAN_FEN
    off = bars.filter((pl.col("mean") < low) | (pl.col("mean") > high))
    return off.select(*KEY, detail=_text("amount by volume is {} outside {} to {}", "mean", "low", "high"))


def _market_cap_median(scene: Scene) -> pl.DataFrame:
    """Find days whose median market cap is in another unit."""
    rows = scene.of_sessions("daily_basic")
    days = rows.group_by("trade_date").agg(pl.col("total_mv").median().alias("median"))
    off = days.filter(~pl.col("median").is_between(*CAP_MEDIAN))
    return off.select(NO_CODE, "trade_date", detail=_text("median total_mv {} (10k CNY)", "median"))


def _cap_ratios(scene: Scene) -> pl.DataFrame:
    """Return the bars with the ratio of market caps, and the same without the price's move and without actions."""
    cap, price = (pl.col(name) / pl.col(f"{name}_before") for name in ("total_mv", "close"))
    adjusted = price * pl.col("adj_factor") / pl.col("adj_factor_before")
    bars = scene.bars.filter((pl.col("total_mv") > 0) & (pl.col("total_mv_before") > 0))
    return bars.with_columns(ratio=cap, apart=_fold(cap / adjusted))


def _market_cap_flip(scene: Scene) -> pl.DataFrame:
    """Find market caps that are another unit than those of the bar before."""
    off = _cap_ratios(scene).filter(pl.col("apart") >= CAP_FLIP)
    return off.select(*KEY, detail=_text("total_mv {} after {}", "total_mv", "total_mv_before"))


def _market_cap_jump(scene: Scene) -> pl.DataFrame:
    """Find market caps that moved fivefold where the adjusted price did not."""
    rows = _cap_ratios(scene)
    off = rows.filter((_fold(pl.col("ratio")) > CAP_JUMP) & (pl.col("apart") > CAP_JUMP) & (pl.col("apart") < CAP_FLIP))
    return off.select(
        *KEY,
        detail=_text("total_mv {} after {}, close {} after {}", "total_mv", "total_mv_before", "close", "close_before"),
    )


def _limited(scene: Scene) -> pl.DataFrame:
    """Return the bars that have price limits, in CNY: nulls and the vendor's sentinels are none."""
    bars = scene.bars.drop_nulls([*_LIMITS])
    fen = [(bars[name].fill_null(0) * 100).round().cast(pl.Int64).to_numpy() for name in (*_LIMITS, "pre_close")]
    up, down = without_sentinels(*fen)
    return bars.with_columns(up=pl.Series(up) / 100, down=pl.Series(down) / 100).filter(
        (pl.col("up") > 0) & (pl.col("down") > 0)
    )


def _beyond_limits(scene: Scene) -> pl.DataFrame:
    """Find bars that traded beyond the limits of the day."""
    off = _limited(scene).filter((pl.col("high") > pl.col("up") + 0.001) | (pl.col("low") < pl.col("down") - 0.001))
    return off.select(*KEY, detail=_text("low {} high {} beyond {} to {}", "low", "high", "down", "up"))


def _centred(scene: Scene) -> pl.DataFrame:
    """Return the limited bars with ``off``: the middle of the limits is not the previous close.

    First bars have bands of their own.
    """
    rows = _limited(scene).filter(pl.col("close_before").is_not_null() & pl.col("pre_close").is_not_null())
    middle = (pl.col("up") + pl.col("down")) / 2
    return rows.with_columns(off=(middle - pl.col("pre_close")).abs() > 0.02 + PRICE_SHARE * pl.col("pre_close"))


def _limits_off_centre(scene: Scene) -> pl.DataFrame:
    """Find limits that do not lie around the previous close: many resumptions have none of the rulebook's."""
    off = _centred(scene).filter("off")
    return off.select(*KEY, detail=_text("limits {} to {} around pre_close {}", "down", "up", "pre_close"))


def _limits_of_another_day(scene: Scene) -> pl.DataFrame:
    """Find days most of whose limits do not lie around a previous close that is right itself."""
    rows = _with_reference(_centred(scene)).filter(_agrees().fill_null(True))
    days = rows.group_by("trade_date").agg(pl.col("off").sum(), stocks=pl.len())
    wrong = days.filter((pl.col("stocks") >= STALE_STOCKS) & (pl.col("off") * 2 > pl.col("stocks")))
    return wrong.select(NO_CODE, "trade_date", detail=_text("{} of {} are not around pre_close", "off", "stocks"))


def _with_reference(bars: pl.DataFrame) -> pl.DataFrame:
    """Add the previous close that the factors make of the close before, and how far off pre_close may be."""
    reference = pl.col("close_before") * pl.col("adj_factor_before") / pl.col("adj_factor")
    return bars.with_columns(reference=reference, tolerance=pl.max_horizontal(PRICE_FEN, PRICE_SHARE * reference))


def _reference(scene: Scene) -> pl.DataFrame:
    """Return the bars whose previous close can be computed."""
    return _with_reference(scene.bars.drop_nulls(["pre_close", "close_before", "adj_factor", "adj_factor_before"]))


def _agrees() -> pl.Expr:
    return (pl.col("pre_close") - pl.col("reference")).abs() <= pl.col("tolerance")


def _factor_moved() -> pl.Expr:
    return (pl.col("adj_factor") / pl.col("adj_factor_before") - 1).abs() > 1e-6


def _pre_close(scene: Scene) -> pl.DataFrame:
    """Find bars whose previous close is not the close before, moved by the factor."""
    off = _reference(scene).filter(~_agrees())
    return off.select(
        *KEY,
        detail=_text(
            "pre_close {}, but {} x {} / {} is {}",
            "pre_close", "close_before", "adj_factor_before", "adj_factor", "reference",
        ),
    )  # fmt: skip


def _explained(scene: Scene, rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``explained``: a dividend or a rights issue goes ex after the bar before, up to this one."""
    context = scene.context
    done = context.dividend.filter(pl.col("div_proc") == "实施")
    ex = pl.concat([frame.select("ts_code", "ex_date") for frame in (done, context.rights)]).drop_nulls()
    ex = ex.select("ex_date", stock=context.stock()).sort("ex_date")
    joined = rows.sort("trade_date").join_asof(
        ex, left_on="trade_date", right_on="ex_date", by="stock", check_sortedness=False
    )
    return joined.with_columns(explained=(pl.col("ex_date") > pl.col("trade_date_before")).fill_null(False))


def _suspected_rights(scene: Scene) -> pl.DataFrame:
    """Find changes of the factor that no dividend and no row of ``rights.csv`` explains."""
    moved = _explained(scene, _reference(scene).filter(_factor_moved())).filter(~pl.col("explained"))
    detail = _text("factor {} after {}, pre_close {}", "adj_factor", "adj_factor_before", "pre_close")
    return moved.select(*KEY, detail=detail)


def _late_factor(scene: Scene) -> pl.DataFrame:
    """Find factors that stand still although a dividend goes ex and the previous close has moved."""
    still = _reference(scene).filter(~_factor_moved() & ~_agrees())
    late = _explained(scene, still).filter("explained")
    return late.select(
        *KEY, detail=_text("factor {} as before, but pre_close {} after {}", "adj_factor", "pre_close", "close_before")
    )


_STALE = {"daily": _BAR, "daily_basic": _BASIC, "stk_limit": _LIMITS}


def _stale_day(scene: Scene) -> pl.DataFrame:
    """Find days that repeat the session before; limits do so rightly where the previous close does."""
    rows = scene.bars.filter(pl.col("trade_date_before") == pl.col("session_before"))
    found = []
    for endpoint, columns in _STALE.items():
        both = rows.drop_nulls([*columns, *(f"{name}_before" for name in columns)])
        if endpoint == "stk_limit":
            both = both.filter(pl.col("pre_close") != pl.col("pre_close_before"))
        same = pl.all_horizontal(pl.col(name) == pl.col(f"{name}_before") for name in columns)
        days = both.group_by("trade_date").agg(same=same.sum(), stocks=pl.len())
        stale = days.filter(
            (pl.col("stocks") >= STALE_STOCKS) & (pl.col("same") > STALE_SHARE * pl.col("stocks")),
        )
        detail = _text("{} of {} stocks repeat the session before", "same", "stocks")
        found.append(stale.select(NO_CODE, "trade_date", endpoint=pl.lit(endpoint), detail=detail))
    return pl.concat(found)


def _st_list(scene: Scene) -> pl.DataFrame:
    """Find stocks that are specially treated by the exchange's list or by their name, but not by both."""
    listed = scene.of_sessions("stock_st").filter(pl.col("trade_date") >= ST_LIST_BEGINS).select(KEY).unique()
    spoken = scene.days.to_frame() if "stock_st" in scene.context.asked else listed.select("trade_date").unique()
    bars = scene.bars.select(KEY).filter(pl.col("trade_date") >= ST_LIST_BEGINS)
    bars = bars.join(spoken, on="trade_date", how="semi")
    rows = pl.concat([bars, listed]).unique().join(listed.with_columns(listed=True), on=KEY, how="left")
    named = scene.name_of_the_day(rows)
    warned = [name for name in named["name"].drop_nulls().unique() if standing_of(name) is Standing.RISK_WARNED]
    leaving = [name for name in named["name"].drop_nulls().unique() if standing_of(name) is Standing.DELISTING_PERIOD]
    on_list, by_name = pl.col("listed").fill_null(False), pl.col("name").is_in(warned)
    apart = named.filter((on_list != by_name) & ~pl.col("name").is_in(leaving))
    words = pl.when(pl.col("listed")).then(pl.lit("listed")).otherwise(pl.lit("not listed"))
    return apart.select(*KEY, detail=pl.format("{} in stock_st, named {}", words, pl.col("name").fill_null("(none)")))


def _reports(scene: Scene) -> Iterator[tuple[str, pl.DataFrame]]:
    for endpoint in REPORTS:
        if endpoint in scene.tables:
            yield endpoint, scene.tables[endpoint].with_columns(announced=pl.coalesce("f_ann_date", "ann_date"))


def _report_findings(scene: Scene, wrong: Callable[[pl.DataFrame], pl.Expr], detail: pl.Expr) -> pl.DataFrame:
    found = [
        rows.filter(wrong(rows)).select(
            "ts_code", NO_DAY, endpoint=pl.lit(endpoint), detail=detail, key=key_text(endpoint)
        )
        for endpoint, rows in _reports(scene)
    ]
    return _together(found)


def _announced_early(scene: Scene) -> pl.DataFrame:
    """Find reports announced before their period ended; they count as undated (SPEC 13.9)."""
    return _report_findings(
        scene,
        lambda rows: pl.col("announced") <= pl.col("end_date"),
        _text("period {} announced {}", "end_date", "announced"),
    )


def _announced_late(scene: Scene) -> pl.DataFrame:
    """Find reports announced after today."""
    return _report_findings(
        scene,
        lambda rows: pl.col("announced") > scene.context.today,
        _text("period {} announced {}, after today", "end_date", "announced"),
    )


def _no_quarter(scene: Scene) -> pl.DataFrame:
    """Find reports of a period that ends no quarter."""
    end = pl.col("end_date")
    quarter = (end == end.dt.month_end()) & (end.dt.month() % 3 == 0)
    return _report_findings(scene, lambda rows: ~quarter, _text("period {} ends no quarter", "end_date"))


def _pairs(scene: Scene) -> pl.DataFrame:
    """Find reports whose income statement and balance sheet were not announced together."""
    if not set(REPORTS) <= set(scene.tables):
        return _nothing()
    sides = {
        name: rows.group_by(PERIOD).agg(pl.col("announced").drop_nulls().unique().sort())
        for name, rows in _reports(scene)
    }
    both = sides["income"].join(sides["balancesheet"], on=PERIOD, how="full", coalesce=True, suffix="_other")
    alone = pl.col("announced").is_null() | pl.col("announced_other").is_null()
    apart = both.filter(alone | (pl.col("announced") != pl.col("announced_other")))
    lacks = pl.when(pl.col("announced").is_null()).then(pl.lit("income")).otherwise(pl.lit("balancesheet"))
    detail = (
        pl.when(alone)
        .then(pl.format("period {} of type {} has no row in {}", "end_date", "report_type", lacks))
        .otherwise(pl.format("period {} announced on other days than its income statement", "end_date"))
    )
    return apart.select("ts_code", NO_DAY, endpoint=lacks, detail=detail)


def _missing_report(scene: Scene) -> pl.DataFrame:
    """Find quarters whose deadline has passed and of which a listed stock has no report."""
    found = []
    for endpoint, rows in _reports(scene):
        known = rows.select("end_date", stock=scene.context.stock()).unique()
        due = _due(scene.context, known["end_date"].min())
        lacking = due.join(known, on=["stock", "end_date"], how="anti")
        detail = _text("no report of {}", "end_date")
        found.append(lacking.select(NO_DAY, ts_code="stock", endpoint=pl.lit(endpoint), detail=detail))
    return _together(found)


def _due(context: Context, first: object) -> pl.DataFrame:
    """Return the stocks and quarters from a first one on whose reports were due by the last session asked about."""
    schema = {"stock": pl.String, "end_date": pl.Date}
    if not isinstance(first, dt.date) or not context.sessions or first > context.sessions[-1]:
        return pl.DataFrame(schema=schema)
    months = pl.date_range(first.replace(day=1), context.sessions[-1], "1mo", eager=True).dt.month_end()
    quarters = months.filter(months.dt.month() % 3 == 0).alias("end_date").to_frame()
    stocks = context.stock_basic.filter(~pl.col("ts_code").is_in(list(context.successor)))
    both = stocks.select("list_date", "delist_date", stock="ts_code").join(quarters, how="cross")
    both = both.with_columns(deadline=undated_deadline("statutory"))
    return both.filter(
        (pl.col("list_date") <= pl.col("end_date"))
        & (pl.col("deadline") < context.sessions[-1])
        & (pl.col("delist_date") > pl.col("deadline")).fill_null(True)
    ).select(list(schema))


_ITEMS = {"income": "revenue", "balancesheet": "total_assets"}


def _report_units(scene: Scene) -> pl.DataFrame:
    """Find reports 10^3, 10^4 or 10^8 times, or part of, the same quarter of the years before and after."""
    found = []
    for endpoint, rows in _reports(scene):
        item = _ITEMS[endpoint]
        quarter = ["ts_code", "report_type", pl.col("end_date").dt.month()]
        known = rows.filter(pl.col(item) > 0).sort("ts_code", "end_date")
        sides = [(pl.col(item) / pl.col(item).shift(by).over(quarter)).log10() for by in (1, -1)]
        size = pl.min_horizontal(*(side.abs() for side in sides))
        flipped = pl.any_horizontal((size - power).abs() < 0.3 for power in (3, 4, 8)) & (
            sides[0].sign() == sides[1].sign()
        )
        off = known.filter(flipped)
        detail = _text(f"period {{}}: {item} {{}}", "end_date", item)
        found.append(off.select("ts_code", NO_DAY, endpoint=pl.lit(endpoint), detail=detail, key=key_text(endpoint)))
    return _together(found)


def _future(scene: Scene) -> pl.DataFrame:
    """Find rows of sessions after today."""
    found = [
        scene.table(name)
        .filter(pl.col("trade_date") > scene.context.today)
        .select(*KEY, endpoint=pl.lit(name), detail=pl.lit("after today"), key=key_text(name))
        for name in BY_SESSION
    ]
    return pl.concat(found)


def _contradictions(scene: Scene) -> pl.DataFrame:
    """Find rows of one key with different content: none of them can be believed."""
    found = []
    for endpoint, rows in scene.tables.items():
        spec = ENDPOINTS[endpoint]
        if not set(spec.key) <= set(rows.columns):
            continue
        twice = rows.filter(rows.select(spec.key).is_duplicated()).unique(maintain_order=True)
        twice = twice.filter(twice.select(spec.key).is_duplicated())
        code = "ts_code" if "ts_code" in twice.columns else NO_CODE
        day = "trade_date" if "trade_date" in twice.columns else NO_DAY
        shown = twice.select(
            code, day, endpoint=pl.lit(endpoint), detail=pl.lit("rows of one key differ"), key=key_text(endpoint)
        )
        found.append(shown.unique())
    return _together(found)


def _other_name(scene: Scene) -> pl.DataFrame:
    """Find stocks whose last name by namechange is not that of stock_basic, or that have none."""
    if not {"namechange", "stock_basic"} & set(scene.tables):
        return _nothing()
    stocks = scene.context.stock_basic.filter(pl.col("list_status") == "L")
    rows = stocks.select("ts_code", "list_date", stated="name", trade_date=pl.lit(scene.context.today))
    named = scene.name_of_the_day(rows).filter(pl.col("name").ne_missing(pl.col("stated")))
    named = named.with_columns(pl.col("name").fill_null("(nothing)"), pl.col("stated").fill_null("(nothing)"))
    return named.select("ts_code", NO_DAY, detail=_text("named {}, by stock_basic {}", "name", "stated"))


def _plan_dates(scene: Scene) -> pl.DataFrame:
    """Find dividend plans whose days stand in an order that cannot be."""
    announced, carried = pl.col("ann_date"), pl.col("imp_ann_date")
    wrong = (announced <= pl.col("end_date")) | (carried < announced) | (carried <= pl.col("end_date"))
    rows = scene.table("dividend").filter(wrong | (pl.col("ex_date") < carried))
    detail = _text("of {}: announced {}, carried out {}, ex {}", "end_date", "ann_date", "imp_ann_date", "ex_date")
    return rows.select("ts_code", NO_DAY, detail=detail)


NO_CODE = pl.lit(None, dtype=pl.String).alias("ts_code")
NO_TEXT = pl.lit(None, dtype=pl.String)
NO_DAY = pl.lit(None, dtype=pl.Date).alias("trade_date")


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema={name: FINDINGS[name] for name in ("ts_code", "trade_date", "endpoint", "detail")})


def _together(found: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(found, how="diagonal") if found else _nothing()


def _fold(ratio: pl.Expr) -> pl.Expr:
    """Return a ratio or its inverse, whichever is above 1."""
    return pl.max_horizontal(ratio, 1 / ratio)


def _text(pattern: str, *columns: str) -> pl.Expr:
    """Return a text with the values of columns, numbers in four decimals at most."""
    shown = [pl.col(name).cast(pl.String).fill_null("-") for name in columns]
    short = [text.str.replace(r"(\.\d{4})\d+$", "$1").str.replace(r"(\.\d+?)0+$", "$1") for text in shown]
    return pl.format(pattern, *short)


def key_text(endpoint: str) -> pl.Expr:
    """Return the key of a row as text: the columns of its key, a blank between."""
    return pl.concat_str(
        *(pl.col(name).cast(pl.String).fill_null("-") for name in ENDPOINTS[endpoint].key), separator=" "
    ).alias("key")


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
        Short.
    endpoint : str
        Whose rows it speaks of; empty if it says so itself.
    holds_back : bool
        Whether what it finds cannot be true.
    find : callable
        From the scene to ``ts_code``, ``trade_date``, ``detail``, and if need be ``endpoint`` and ``key``.
    """

    name: str
    endpoint: str
    holds_back: bool
    find: Callable[[Scene], pl.DataFrame]


CHECKS = (
    Check(MISSING, "", False, _missing),
    Check("unknown_code", "", False, _unknown_codes),
    Check("bar_while_suspended", "daily", False, _bar_while_suspended),
    Check("bar_outside_listing", "daily", False, _bar_outside_listing),
    Check("mean_price", "daily", True, _mean_price),
    Check("market_cap_median", "daily_basic", True, _market_cap_median),
    Check("market_cap_flip", "daily_basic", True, _market_cap_flip),
    Check("market_cap_jump", "daily_basic", False, _market_cap_jump),
    Check("beyond_limits", "daily", False, _beyond_limits),
    Check("limits_off_centre", "stk_limit", False, _limits_off_centre),
    Check("limits_of_another_day", "stk_limit", True, _limits_of_another_day),
    Check("pre_close", "daily", False, _pre_close),
    Check("suspected_rights", "adj_factor", False, _suspected_rights),
    Check("late_factor", "adj_factor", True, _late_factor),
    Check("stale_day", "", True, _stale_day),
    Check("st_list", "stock_st", False, _st_list),
    Check("announced_early", "", False, _announced_early),
    Check("announced_late", "", False, _announced_late),
    Check("no_quarter", "", False, _no_quarter),
    Check("pairs", "", False, _pairs),
    Check("missing_report", "", False, _missing_report),
    Check("report_units", "", False, _report_units),
    Check("plan_dates", "dividend", False, _plan_dates),
    Check("future", "", True, _future),
    Check("contradiction", "", True, _contradictions),
    Check("other_name", "stock_basic", False, _other_name),
)


def findings(tables: Tables, context: Context, only: Sequence[str] | None = None) -> pl.DataFrame:
    """Return what the checks find.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Rows by endpoint, in the types of the lake. Of an absent table nothing is said; an empty one lacks all its
        rows. ``tables_of`` gives those a lake holds of the same sessions beside fresh ones.
    context : Context
        What is known around them.
    only : sequence of str, optional
        Names of checks; by default all.

    Returns
    -------
    DataFrame
        With the columns of ``FINDINGS``, ordered by check, endpoint, day and code. Where ``holds_back`` is set and
        ``ts_code`` is null the whole day of the endpoint is meant.
    """
    return _found(Scene(tables, context), only)


def _found(scene: Scene, only: Sequence[str] | None = None) -> pl.DataFrame:
    wanted = [check for check in CHECKS if only is None or check.name in only]
    return pl.concat([_completed(check, check.find(scene)) for check in wanted])


def _completed(check: Check, found: pl.DataFrame) -> pl.DataFrame:
    """Give what a check found all columns of findings."""
    if found.is_empty():
        return pl.DataFrame(schema=FINDINGS)
    if check.endpoint:
        found = found.with_columns(endpoint=pl.lit(check.endpoint))
    if "key" not in found.columns:
        row = pl.col("endpoint").is_in(["daily", *BAR_TABLES, "stock_st", "index_daily"])
        key = pl.concat_str("ts_code", pl.col("trade_date").cast(pl.String), separator=" ")
        found = found.with_columns(key=pl.when(row).then(key))
    complete = found.with_columns(check=pl.lit(check.name), holds_back=pl.lit(check.holds_back))
    return complete.select(pl.col(name).cast(dtype) for name, dtype in FINDINGS.items()).sort(
        "endpoint", "trade_date", "ts_code", maintain_order=True
    )


def apart(endpoint: str, rows: pl.DataFrame, found: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split rows of an endpoint into those that may enter the lake and those held back.

    Parameters
    ----------
    endpoint : str
        Its name.
    rows : DataFrame
        In the types of the lake.
    found : DataFrame
        What ``findings`` returned.

    Returns
    -------
    (kept, held) : DataFrame
        ``held`` has every column as text, and ``check`` and ``detail``: why, one after the other.
    """
    back = found.filter((pl.col("endpoint") == endpoint) & pl.col("holds_back"))
    if back.is_empty():
        return rows, rows.clear().cast(pl.String).with_columns(check=NO_TEXT, detail=NO_TEXT)
    by_day = back.filter(pl.col("key").is_null()).drop("key")
    marked = rows.with_columns(key_text(endpoint))
    reasons = back.drop_nulls("key").select("key", "check", "detail")
    if by_day.height and "trade_date" in rows.columns:
        days = by_day.select("trade_date", "check", "detail").join(marked.select("trade_date", "key"), on="trade_date")
        reasons = pl.concat([reasons, days.select("key", "check", "detail")])
    joined = reasons.group_by("key", maintain_order=True).agg(
        pl.col("check").unique(maintain_order=True).str.join(", "),
        pl.col("detail").unique(maintain_order=True).str.join("; "),
    )
    kept = marked.join(joined, on="key", how="anti", maintain_order="left").drop("key")
    held = marked.join(joined, on="key", maintain_order="left").drop("key")
    return kept, held.with_columns(pl.all().cast(pl.String))


# coverage


def shortfalls(tables: Tables, context: Context, found: pl.DataFrame) -> pl.DataFrame:
    """Return how many of the rows that must be there are missing or held back.

    Returns
    -------
    DataFrame
        ``endpoint``, ``trade_date`` (null where the table has no days), ``expected``, ``lacking``, ``codes`` (the
        first that lack): one row for each endpoint and day with something lacking.
    """
    return _shortfalls(Scene(tables, context), found)


def _shortfalls(scene: Scene, found: pl.DataFrame) -> pl.DataFrame:
    lost = found.filter((pl.col("check") == MISSING) | pl.col("holds_back")).select("endpoint", *KEY)
    schema = {"endpoint": pl.String, "trade_date": pl.Date, "expected": pl.UInt32, "lacking": pl.UInt32}
    frames = [pl.DataFrame(schema={**schema, "codes": pl.List(pl.String)})]
    for (endpoint,), mine in lost.group_by("endpoint", maintain_order=True):
        rows = scene.required.get(str(endpoint))
        if rows is not None:
            counted = _lacking(rows, mine).join(rows.group_by("trade_date").agg(expected=pl.len()), **_BY_DAY)
            frames.append(counted.select(pl.lit(endpoint).alias("endpoint"), *list(frames[0].columns[1:])))
    return pl.concat(frames).sort("endpoint", "trade_date")


_BY_DAY: dict[str, Any] = {"on": "trade_date", "nulls_equal": True}


def _lacking(rows: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """Count by day which of the required rows are lost; a lost row without a code is all of its day."""
    single = rows.join(lost.drop_nulls("ts_code"), on=KEY, how="semi", nulls_equal=True)
    whole = rows.join(lost.filter(pl.col("ts_code").is_null()), how="semi", **_BY_DAY)
    both = pl.concat([single, whole]).unique()
    return both.group_by("trade_date").agg(lacking=pl.len(), codes=pl.col("ts_code").sort().head(FIRST_STOCKS))


def under(short: pl.DataFrame, coverage: float) -> pl.DataFrame:
    """Return the rows of ``shortfalls`` of which less than a share ``coverage`` is there; 0 does not look."""
    return short.filter((pl.col("lacking") / pl.col("expected") > 1 - coverage + 1e-9) & (coverage > 0)).sort(
        "trade_date", "endpoint"
    )


def require_coverage(tables: Tables, context: Context, found: pl.DataFrame, coverage: float) -> None:
    """Refuse sessions of which too much is missing or held back.

    Parameters
    ----------
    tables, context, found
        What was looked at, and what ``findings`` found.
    coverage : float
        The share of the expected rows that must be there (setting ``data.coverage``); 0 does not look.

    Raises
    ------
    DataNotFit
        Less is there, of some endpoint on some day; the first is named.
    """
    if coverage:
        _refuse(under(shortfalls(tables, context, found), coverage), context, found)


def _refuse(short: pl.DataFrame, context: Context, found: pl.DataFrame) -> None:
    for row in short.head(1).iter_rows(named=True):
        endpoint, day = row["endpoint"], row["trade_date"]
        dates = f" --from {day} --to {day}" if day else ""
        again = f"Run `ashare data sync{dates}`."
        complete = (
            f"Complete {endpoint} in the folder you import, and import it again; data.coverage = 0 takes it as it is."
        )
        of_it = found.filter(pl.col("holds_back") & (pl.col("endpoint") == endpoint)).filter(
            pl.col("trade_date").eq_missing(pl.lit(day, pl.Date))
        )
        why = "".join(f" ({check})" for check in of_it["check"].mode().sort().head(1))
        first = ", ".join(row["codes"])
        raise DataNotFit(
            f"{endpoint} of {day} is incomplete" if day else f"{endpoint} is incomplete",
            f"{row['lacking']:,} of {row['expected']:,} rows are missing or held back{why}, first {first}",
            again if endpoint in context.synced else complete,
        )


# rows held back


def held_back(lake: Lake, version: Version) -> pl.DataFrame:
    """Return the rows that a lake holds back.

    Returns
    -------
    DataFrame
        ``endpoint``, the columns of all keys (null where an endpoint has none of that name), ``check``, ``detail`` and
        ``fetched_at``, all of them text; ``released``: the lake holds a row of that key by now.

    Raises
    ------
    Damaged
        A file cannot be read.
    """
    keys = dict.fromkeys(name for endpoint in version.held_back for name in ENDPOINTS[endpoint].key)
    columns = ["endpoint", *keys, *REASONS]
    empty = pl.DataFrame(schema={**dict.fromkeys(columns, pl.String), "released": pl.Boolean})
    found = [_held_of(lake, version, endpoint, parts) for endpoint, parts in sorted(version.held_back.items())]
    return pl.concat([empty, *found], how="diagonal")


REASONS = ("check", "detail", "fetched_at")


def _held_of(lake: Lake, version: Version, endpoint: str, parts: Sequence[Part]) -> pl.DataFrame:
    """Return the rows of one endpoint that are held back."""
    key = list(ENDPOINTS[endpoint].key)
    rows = pl.concat([_held_part(lake, part, key) for part in parts])
    now = lake.frame(version, endpoint, key).select(pl.all().cast(pl.String)).unique().with_columns(released=True)
    joined = rows.join(now, on=key, how="left", nulls_equal=True, maintain_order="left")
    return joined.select(pl.lit(endpoint).alias("endpoint"), *rows.columns, pl.col("released").fill_null(False))


def _held_part(lake: Lake, part: Part, key: Sequence[str]) -> pl.DataFrame:
    """Return a file of rows held back: key, reason and day; plans that failed a check alone have no number yet."""
    rows = lake.part(part)
    rows = rows.with_columns(pl.lit(None).alias(name) for name in (*key, "check", "detail") if name not in rows.columns)
    day = pl.lit(part.fetched_at.isoformat()).alias("fetched_at")
    return rows.select(pl.col(*key, "check", "detail").cast(pl.String), day)


# the whole lake


def years(lake: Lake, version: Version) -> list[tuple[dt.date, ...]]:
    """Return the sessions from the lake's first bar to its last, a tuple a year."""
    spans = [_span(lake, part) for part in version.parts.get("daily", ())]
    held = [span for span in spans if span is not None]
    if not held:
        return []
    first, last = min(span[0] for span in held), max(span[1] for span in held)
    if version.as_known_at is not None:
        last = min(last, version.as_known_at)
    inside: list[dt.date] = [day for day in calendar.sessions().tolist() if first <= day <= last]
    return [tuple(days) for _, days in groupby(inside, key=lambda day: day.year)]


def _undated(lake: Lake, version: Version, endpoint: str) -> pl.DataFrame:
    if endpoint in REPORTS:
        return held_reports(lake, version, endpoint)
    return lake.frame(version, endpoint, list(ENDPOINTS[endpoint].types))


def whole_lake(
    lake: Lake, version: Version, today: dt.date | None = None, advance: Callable[[], None] = lambda: None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (findings, shortfalls) of all that a lake holds, a year at a time; ``advance`` is called after it."""
    found, short, before = [], [], pl.DataFrame(schema=_BEFORE)
    undated = {name: _undated(lake, version, name) for name in version.parts if name not in BY_SESSION}
    all_years = years(lake, version)
    for sessions in all_years:
        tables = tables_of(lake, version, sessions)
        if sessions is all_years[-1]:
            tables |= undated
        scene = Scene(tables, Context.of(lake, version, sessions, today=today, before=before))
        found.append(_found(scene))
        short.append(_shortfalls(scene, found[-1]))
        before = scene.last_bars()
        advance()
    empty = pl.DataFrame(schema=FINDINGS)
    return pl.concat([empty, *found]), reduce(lambda a, b: pl.concat([a, b]), short) if short else pl.DataFrame()


def require_true(lake: Lake, version: Version, found: pl.DataFrame, stopped: pl.DataFrame) -> None:
    """Refuse a lake with a row that cannot be true, or a day under coverage.

    Parameters
    ----------
    lake, version : Lake, Version
        What was looked at.
    found, stopped : DataFrame
        What ``whole_lake`` found, and what of it ``under`` leaves.

    Raises
    ------
    DataNotFit
        There is such a row or day; the first is named.
    """
    _refuse(stopped, Context.of(lake, version, ()), found)
    for row in found.filter("holds_back").head(1).iter_rows(named=True):
        where = " ".join(str(row[name]) for name in ("ts_code", "trade_date") if row[name] is not None)
        count = int(found["holds_back"].sum())
        raise DataNotFit(
            f"{count:,} rows of the lake cannot be true, first {row['endpoint']} {where}",
            f"{row['check']}: {row['detail']}",
            "Correct them in the folder you import, or ask for the day again with `ashare data sync`.",
        )


def require_covered_lake(lake: Lake, version: Version, coverage: float, after: dt.date = dt.date.min) -> int:
    """Refuse a lake that has a day of which too much is missing; the keys of its tables are read, no more.

    Returns how many rows are missing or held back of those that must be there.

    Parameters
    ----------
    lake, version : Lake, Version
        What is looked at.
    coverage : float
        The share of a day's expected rows that must be there (setting ``data.coverage``); 0 refuses none.
    after : date, optional
        Only later sessions are looked at.

    Raises
    ------
    DataNotFit
        A day has less of some endpoint; the first is named.
    """
    lacking = 0
    for year in years(lake, version):
        sessions = tuple(day for day in year if day > after)
        if not sessions:
            continue
        tables = {name: _keys(lake, version, name, sessions) for name in COVERED if name in version.parts}
        context = Context.of(lake, version, sessions, before=pl.DataFrame(schema=_BEFORE))
        scene = Scene(tables, context)
        found = _found(scene, [MISSING])
        short = _shortfalls(scene, found)
        _refuse(under(short, coverage), context, found)
        lacking += int(short["lacking"].sum())
    return lacking


_KEYS = {"daily": ("vol",), "suspend_d": ("suspend_type", "suspend_timing")}


def _keys(lake: Lake, version: Version, endpoint: str, sessions: Sequence[dt.date]) -> pl.DataFrame:
    """Return what says of a table by session which rows are there."""
    columns = [*KEY, *_KEYS.get(endpoint, ())]
    return held_rows(lake, version, endpoint, sessions[0], sessions[-1], columns)
