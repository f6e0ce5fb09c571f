"""The endpoints of the lake: their columns, keys, checks, and when each row was known.

Columns and units are Tushare's own (``vol`` in lots, ``amount`` in thousand CNY, ``total_mv`` in 10k CNY);
they are turned into shares and CNY when a bundle is built, nowhere else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import dataframely as dy
import polars as pl

CODE = r"^[0-9]{6}\.(SH|SZ|BJ)$"
DIGITS = r"^[0-9]+$"
"""Of a text column that holds the vendor's numbered kinds; programs that see numbers write them with a point."""
DEAREST = 1e7
"""CNY; no share costs that much."""
PLAN = "plan"
"""Which of several dividend plans of a period a row is; the importer numbers them (``bundles.plans``)."""
INDEX_CODE = r"^[0-9A-Za-z]+\.[A-Z]+$"
Undated = Literal["six_months", "statutory", "drop"]


def _code(primary_key: bool = True) -> dy.String:
    return dy.String(primary_key=primary_key, nullable=False, regex=CODE)


def _price(nullable: bool = False) -> dy.Float64:
    return dy.Float64(nullable=nullable, min=0)


def _on_grid(*names: str) -> pl.Expr:
    """Return where prices are whole fen; nulls and prices of sessions without trade pass."""
    return pl.all_horizontal(
        ((pl.col(name) * 100 - (pl.col(name) * 100).round()).abs() < 1e-4).fill_null(True) for name in names
    )


class StockBasic(dy.Schema):
    """Every stock, listed, delisted or suspended from listing."""

    ts_code = _code()
    name = dy.String(nullable=True)
    industry = dy.String(nullable=True)
    market = dy.String(nullable=True)
    list_status = dy.String(nullable=False, regex="^[LDP]$")
    list_date = dy.Date(nullable=True)
    delist_date = dy.Date(nullable=True)


class TradeCal(dy.Schema):
    """The exchange's own calendar."""

    exchange = dy.String(primary_key=True)
    cal_date = dy.Date(primary_key=True)
    is_open = dy.Int64(nullable=False, min=0, max=1)


class DailyBars(dy.Schema):
    """Raw bars; a session without a row or without volume is a session without trade."""

    ts_code = _code()
    trade_date = dy.Date(primary_key=True)
    open = _price(nullable=True)
    high = _price(nullable=True)
    low = _price(nullable=True)
    close = _price()
    pre_close = _price(nullable=True)
    vol = dy.Float64(nullable=False, min=0)
    amount = dy.Float64(nullable=False, min=0)

    @dy.rule()
    def prices_of_a_traded_session(cls) -> pl.Expr:
        """Say that a session with volume has all four prices."""
        return (pl.col("vol") == 0) | pl.all_horizontal(pl.col(n) > 0 for n in ("open", "high", "low", "close"))

    @dy.rule()
    def low_and_high_enclose_open_and_close(cls) -> pl.Expr:
        """Say that the bar is in order."""
        body = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
        return (pl.col("vol") == 0) | ((pl.col("low") <= body[0]) & (body[1] <= pl.col("high")))

    @dy.rule()
    def prices_in_whole_fen(cls) -> pl.Expr:
        """Say that prices lie on the grid of 0.01 CNY."""
        return _on_grid("open", "high", "low", "close")


class AdjFactor(dy.Schema):
    """Cumulative adjustment factors."""

    ts_code = _code()
    trade_date = dy.Date(primary_key=True)
    adj_factor = dy.Float64(nullable=False, min_exclusive=0)


class DailyBasic(dy.Schema):
    """Turnover and market cap of the day."""

    ts_code = _code()
    trade_date = dy.Date(primary_key=True)
    turnover_rate = dy.Float64(nullable=True, min=0)
    total_mv = dy.Float64(nullable=True, min=0)


class StkLimit(dy.Schema):
    """The exchange's own price limits; null or a sentinel means none."""

    ts_code = _code()
    trade_date = dy.Date(primary_key=True)
    up_limit = _price(nullable=True)
    down_limit = _price(nullable=True)

    @dy.rule()
    def limits_in_whole_fen(cls) -> pl.Expr:
        """Say that limits lie on the grid of 0.01 CNY."""
        return _on_grid("up_limit", "down_limit")


class SuspendD(dy.Schema):
    """Suspensions and resumptions; a null timing means the whole day."""

    ts_code = _code(primary_key=False)
    trade_date = dy.Date(nullable=False)
    suspend_timing = dy.String(nullable=True)
    suspend_type = dy.String(nullable=False)


class NameChange(dy.Schema):
    """Names with the day each began."""

    ts_code = _code(primary_key=False)
    name = dy.String(nullable=True)
    start_date = dy.Date(nullable=True)
    ann_date = dy.Date(nullable=True)


class StockSt(dy.Schema):
    """The exchange's list of specially treated stocks, by day."""

    ts_code = _code()
    trade_date = dy.Date(primary_key=True)


class Dividend(dy.Schema):
    """Dividend plans; only carried-out ones (实施) have effect. Amounts are a share."""

    ts_code = _code(primary_key=False)
    end_date = dy.Date(nullable=True)
    ann_date = dy.Date(nullable=True)
    div_proc = dy.String(nullable=True)
    stk_div = dy.Float64(nullable=True, min=0)
    stk_bo_rate = dy.Float64(nullable=True, min=0)
    cash_div_tax = dy.Float64(nullable=True, min=0)
    record_date = dy.Date(nullable=True)
    ex_date = dy.Date(nullable=True)
    pay_date = dy.Date(nullable=True)
    imp_ann_date = dy.Date(nullable=True)


class Report(dy.Schema):
    """What income statement and balance sheet share."""

    ts_code = _code(primary_key=False)
    end_date = dy.Date(nullable=False)
    ann_date = dy.Date(nullable=True)
    f_ann_date = dy.Date(nullable=True)
    report_type = dy.String(nullable=False, regex=DIGITS)
    comp_type = dy.String(nullable=True, regex=DIGITS)
    update_flag = dy.String(nullable=True, regex=DIGITS)


class Income(Report):
    """Income statements, CNY, year to date."""

    revenue = dy.Float64(nullable=True)
    oper_cost = dy.Float64(nullable=True)
    n_income_attr_p = dy.Float64(nullable=True)


class BalanceSheet(Report):
    """Balance sheets, CNY, at the end of the period."""

    total_assets = dy.Float64(nullable=True)
    total_liab = dy.Float64(nullable=True)
    total_hldr_eqy_exc_min_int = dy.Float64(nullable=True)


class IndexDaily(dy.Schema):
    """Bars of the benchmark indexes, points."""

    ts_code = dy.String(primary_key=True, regex=INDEX_CODE)
    trade_date = dy.Date(primary_key=True)
    open = dy.Float64(nullable=True, min_exclusive=0)
    close = dy.Float64(nullable=False, min_exclusive=0)


class NewShare(dy.Schema):
    """New issues."""

    ts_code = _code()
    ipo_date = dy.Date(nullable=True)
    issue_date = dy.Date(nullable=True)
    price = dy.Float64(nullable=True, min=0, max=DEAREST)


class Rights(dy.Schema):
    """The user's own table: rights issues, shares offered a share and their price; sellable from ``list_date``."""

    ts_code = _code()
    ex_date = dy.Date(primary_key=True)
    ratio = dy.Float64(nullable=False, min_exclusive=0)
    price = dy.Float64(nullable=False, min_exclusive=0)
    list_date = dy.Date(nullable=True)


class Delistings(dy.Schema):
    """The user's own table: how a stock left, and what its holders got: shares of ``into`` and cash, a share."""

    ts_code = _code()
    kind = dy.Enum(["one_yuan", "market_cap", "delisting_period", "absorption"], nullable=False)
    into = dy.String(nullable=True, regex=CODE)
    ratio = dy.Float64(nullable=True, min=0)
    cash = dy.Float64(nullable=True, min=0)


class CodeChanges(dy.Schema):
    """The user's own table: a stock goes on under a new code from a day."""

    old = _code()
    new = dy.String(nullable=False, regex=CODE)
    date = dy.Date(nullable=False)


Known = Callable[[dt.date, Undated], pl.Expr]
"""From the day of the download and the setting ``undated`` to the expression of ``known_at``."""


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the lake.

    Attributes
    ----------
    name : str
        Folder in an import and in the lake.
    schema : type of dataframely.Schema
        The columns kept, with their checks; columns beyond them are left out.
    key : tuple of str
        What makes a row; a second row of the same key is an error unless it is the same in every column.
    known : callable
        When a row became known: usable in decisions after the close of that day.
    required : bool
        An empty lake cannot do without it.
    session : str or None
        The column that must hold sessions of the exchange.
    keeps_versions : bool
        Every version of a key has its own place in time (reports); otherwise the last one stands.
    repeats : bool
        The vendor repeats rows; exact repetitions are dropped. All files of an import are read as one table.
    plans : bool
        Rows of a period are told apart by an ordinal of ours, the column ``plan``.
    stocks : bool
        ``ts_code`` names stocks; rows of codes that are no A share are left out.
    optional : tuple of str
        Columns a file may lack; they are null then.
    """

    name: str
    schema: type[dy.Schema]
    key: tuple[str, ...]
    known: Known
    required: bool = True
    session: str | None = None
    keeps_versions: bool = False
    repeats: bool = False
    plans: bool = False
    stocks: bool = True
    optional: tuple[str, ...] = ()

    @property
    def types(self) -> dict[str, Any]:
        """The columns of the lake with their types, ``known_at`` apart."""
        types = {name: column.dtype for name, column in self.schema.columns().items()}
        return types | {PLAN: pl.Int64()} if self.plans else types


def _at(*columns: str) -> Known:
    """Known on the first of these dates that is there, else on the day of the download."""
    return lambda fetched, undated: pl.coalesce(*(pl.col(name) for name in columns), pl.lit(fetched))


def _year_before(fetched: dt.date, undated: Undated) -> pl.Expr:
    """Known at the end of the year before, when the exchanges have published the next one."""
    return pl.date(pl.col("cal_date").dt.year() - 1, 12, 31)


def effective_announcement() -> pl.Expr:
    """Return a report's own announcement date; one that is not later than its period's end is impossible."""
    announced = pl.coalesce("f_ann_date", "ann_date")
    return pl.when(announced > pl.col("end_date")).then(announced)


def undated_deadline(undated: Undated) -> pl.Expr:
    """Return when a report without a date counts as known (SPEC 13.9); null drops it.

    No statute names a deadline for a period that ends no quarter, as a prospectus may have; it gets six months.
    """
    end = pl.col("end_date")
    six_months = end.dt.offset_by("6mo")
    if undated == "six_months":
        return six_months
    if undated == "statutory":
        year = end.dt.year() + (end.dt.month() == 12).cast(pl.Int32)
        month = end.dt.month().replace_strict({3: 4, 6: 8, 9: 10, 12: 4}, default=None, return_dtype=pl.Int8)
        return pl.coalesce(pl.date(year, month, 1).dt.month_end(), six_months)
    return pl.lit(None, dtype=pl.Date)


def _report_known(fetched: dt.date, undated: Undated) -> pl.Expr:
    """Known at the announcement; a correction that shares the original's date, when we fetched it (SPEC 1)."""
    announced = pl.coalesce(effective_announcement(), undated_deadline(undated))
    same = [*(pl.col(name) for name in PERIOD), announced]
    corrects = (pl.col("update_flag") == "1") & (pl.col("update_flag") == "0").any().over(same)
    return pl.when(corrects).then(pl.max_horizontal(announced, pl.lit(fetched))).otherwise(announced)


PLAN_GROUP = ("ts_code", "end_date", "div_proc")
"""What plans of one period share."""
PERIOD = ("ts_code", "end_date", "report_type")
"""What all versions of one report share."""

_DAY = ("ts_code", "trade_date")
_REPORT = (*PERIOD, "update_flag", "ann_date", "f_ann_date")

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (
        Endpoint("stock_basic", StockBasic, ("ts_code",), _at("list_date")),
        Endpoint("trade_cal", TradeCal, ("exchange", "cal_date"), _year_before, stocks=False),
        Endpoint("daily", DailyBars, _DAY, _at("trade_date"), session="trade_date"),
        Endpoint("adj_factor", AdjFactor, _DAY, _at("trade_date"), session="trade_date"),
        Endpoint("daily_basic", DailyBasic, _DAY, _at("trade_date"), session="trade_date"),
        Endpoint("stk_limit", StkLimit, _DAY, _at("trade_date"), session="trade_date"),
        Endpoint("suspend_d", SuspendD, (*_DAY, "suspend_type", "suspend_timing"), _at("trade_date"), repeats=True),
        Endpoint(
            "namechange", NameChange, ("ts_code", "name", "start_date", "ann_date"), _at("start_date"), repeats=True
        ),
        Endpoint(
            "dividend",
            Dividend,
            (*PLAN_GROUP, PLAN),
            _at("imp_ann_date", "ann_date", "ex_date"),
            repeats=True,
            plans=True,
            optional=("stk_bo_rate",),
        ),
        Endpoint("income", Income, _REPORT, _report_known, keeps_versions=True, repeats=True),
        Endpoint("balancesheet", BalanceSheet, _REPORT, _report_known, keeps_versions=True, repeats=True),
        Endpoint("index_daily", IndexDaily, _DAY, _at("trade_date"), session="trade_date", stocks=False),
        Endpoint("stock_st", StockSt, _DAY, _at("trade_date"), required=False, session="trade_date"),
        Endpoint("new_share", NewShare, ("ts_code",), _at("issue_date"), required=False),
        Endpoint("code_changes", CodeChanges, ("old",), _at("date"), required=False, stocks=False),
        Endpoint("rights", Rights, ("ts_code", "ex_date"), _at("ex_date"), required=False, optional=("list_date",)),
        Endpoint(
            "delistings",
            Delistings,
            ("ts_code",),
            _at(),
            required=False,
            optional=("into", "ratio", "cash"),
        ),
    )
}
