"""Every row of the rulebook: on its date, the day before, against a list by hand, and against an outside copy."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from engine.calendar import sessions
from engine.errors import OutsideData
from engine.market.limits import limit_percent, limit_prices, tick_floor
from engine.market.tables import TABLES, Row, read_csv, table
from engine.prove.rules import vectors
from engine.types import Board, Standing


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


ROWS = [
    pytest.param(name, row, id=f"{name} {row.scope} {row.effective_from}")
    for name in TABLES
    for row in table(name).rows
]


def before(name: str, row: Row) -> Row | None:
    """Return the row of the same scope that was in force until this one, found without the table's own search."""
    earlier = [other for other in table(name).rows if other.scope == row.scope]
    return max(
        (other for other in earlier if other.effective_from < row.effective_from),
        key=lambda other: other.effective_from,
        default=None,
    )


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_row_has_a_source_and_holds_from_its_date_on(name: str, row: Row) -> None:
    rules = table(name)
    assert row.source.strip()
    assert [(other.scope, other.effective_from) for other in rules.rows].count((row.scope, row.effective_from)) == 1
    assert rules.row(row.scope, row.effective_from) == row
    eve = row.effective_from - dt.timedelta(days=1)
    last = before(name, row)
    if last is None:
        with pytest.raises(OutsideData, match=f"known from {row.effective_from}"):
            rules.row(row.scope, eve)
    else:
        assert rules.row(row.scope, eve) == last
    known = sessions()
    following = known[known.searchsorted(row.effective_from) :][:2].tolist()
    later = [
        other.effective_from
        for other in rules.rows
        if other.scope == row.scope and other.effective_from > row.effective_from
    ]
    assert all(
        rules.row(row.scope, session) == row for session in following if session < min(later, default=dt.date.max)
    )


def test_a_scope_nobody_knows_is_no_rule() -> None:
    with pytest.raises(OutsideData, match="there is no such scope"):
        table("price_limits").row("nasdaq.ordinary", day("2024-05-06"))


# the dated changes by hand, in the order of DOMAIN part 1: table, scope, date, value from it, value the day before
# (None: there was no rule)
CHANGES = [
    # 1.2
    ("price_limits", "sse_main.ordinary", "1996-12-16", 10, None),
    ("price_limits", "szse_main.ordinary", "1996-12-16", 10, None),
    ("price_limits", "sse_main.risk_warned", "1998-04-22", 5, 10),
    ("price_limits", "szse_main.risk_warned", "1998-04-22", 5, 10),
    ("price_limits", "sse_main.risk_warned", "2026-07-06", 10, 5),
    ("price_limits", "szse_main.risk_warned", "2026-07-06", 10, 5),
    ("price_limits", "chinext.ordinary", "2009-10-30", 10, None),
    ("price_limits", "chinext.risk_warned", "2009-10-30", 5, None),
    ("price_limits", "chinext.ordinary", "2020-08-24", 20, 10),
    ("price_limits", "chinext.risk_warned", "2020-08-24", 20, 5),
    ("price_limits", "star.ordinary", "2019-07-22", 20, None),
    ("price_limits", "star.risk_warned", "2019-07-22", 20, None),
    ("price_limits", "bse.ordinary", "2021-11-15", 30, None),
    ("price_limits", "bse.risk_warned", "2021-11-15", 30, None),
    ("price_limits", "szse_main.delisting_period", "2012-12-17", 10, None),
    ("price_limits", "sse_main.delisting_period", "2013-01-01", 10, None),
    ("price_limits", "star.delisting_period", "2019-07-22", 20, None),
    ("price_limits", "bse.delisting_period", "2021-11-15", 30, None),
    # 1.2: day 1 without a limit; 1.3: how many sessions have none
    ("free_sessions", "sse_main.delisting_period", "2020-12-31", 1, 0),
    ("free_sessions", "szse_main.delisting_period", "2020-12-31", 1, 0),
    ("free_sessions", "chinext.delisting_period", "2020-12-31", 1, 0),
    ("free_sessions", "star.delisting_period", "2020-12-31", 1, 0),
    ("free_sessions", "bse.delisting_period", "2021-11-15", 1, None),
    ("free_sessions", "sse_main.listing", "2013-12-13", 0, 1),
    ("free_sessions", "szse_main.listing", "2014-06-13", 0, 1),
    ("free_sessions", "chinext.listing", "2014-06-13", 0, 1),
    ("free_sessions", "sse_main.listing", "2023-04-10", 5, 0),
    ("free_sessions", "szse_main.listing", "2023-04-10", 5, 0),
    ("free_sessions", "chinext.listing", "2020-08-24", 5, 0),
    ("free_sessions", "star.listing", "2019-07-22", 5, None),
    ("free_sessions", "bse.listing", "2021-11-15", 1, None),
    ("first_day_band", "sse_main.up", "2013-12-13", 44, None),
    ("first_day_band", "sse_main.down", "2013-12-13", 36, None),
    ("first_day_band", "szse_main.up", "2014-06-13", 44, None),
    ("first_day_band", "szse_main.down", "2014-06-13", 36, None),
    ("first_day_band", "chinext.up", "2014-06-13", 44, None),
    ("first_day_band", "chinext.down", "2014-06-13", 36, None),
    # 1.4: any previous close, written as 10,000 CNY in fen
    ("tick_floor", "SZ.ordinary", "2011-02-28", 1_000_000, 0),
    ("tick_floor", "SH.ordinary", "2023-04-10", 1_000_000, 0),
    # 1.6
    ("lots", "sse_main.maximum", "1990-12-03", 1_000_000, None),
    ("lots", "szse_main.maximum", "1990-12-03", 1_000_000, None),
    ("lots", "chinext.maximum", "2020-08-24", 300_000, 1_000_000),
    ("lots", "star.maximum", "2019-07-22", 100_000, None),
    ("lots", "star.minimum", "2019-07-22", 200, None),
    ("lots", "star.step", "2019-07-22", 1, None),
    ("lots", "bse.maximum", "2021-11-15", 1_000_000, None),
    ("lots", "bse.minimum", "2021-11-15", 100, None),
    ("lots", "bse.step", "2021-11-15", 1, None),
    *(("lots", f"{board}.{scope}", "2010-01-04", 100, 100) for board in ("sse_main", "szse_main", "chinext")
      for scope in ("minimum", "step")),
    ("settlement", "sessions_until_sellable", "1995-01-01", 1, None),
    # 1.7
    ("hours", "sse_main.afternoon", "2018-08-20", "13:00-14:57", "13:00-15:00"),
    ("hours", "sse_main.closing_call", "2018-08-20", "14:57-15:00", "none"),
    ("hours", "szse_main.closing_call", "2006-07-01", "14:57-15:00", None),
    ("hours", "bse.closing_call", "2021-11-15", "14:57-15:00", None),
    ("hours", "star.after_hours", "2019-07-22", "15:05-15:30", None),
    ("hours", "chinext.after_hours", "2020-08-24", "15:05-15:30", "none"),
    ("hours", "sse_main.after_hours", "2026-07-06", "15:05-15:30", "none"),
    ("hours", "szse_main.after_hours", "2026-07-06", "15:05-15:30", "none"),
    # 1.8
    ("stamp_duty", "buy", "2007-05-30", "0.003", None),
    ("stamp_duty", "sell", "2007-05-30", "0.003", None),
    ("stamp_duty", "buy", "2008-04-24", "0.001", "0.003"),
    ("stamp_duty", "sell", "2008-04-24", "0.001", "0.003"),
    ("stamp_duty", "buy", "2008-09-19", "0", "0.001"),
    ("stamp_duty", "sell", "2008-09-19", "0.001", "0.001"),
    ("stamp_duty", "sell", "2023-08-28", "0.0005", "0.001"),
    ("transfer_fee", "SH.par", "2015-08-01", "0", "0.0003"),
    ("transfer_fee", "SH.turnover", "2015-08-01", "0.00002", "0"),
    ("transfer_fee", "SZ.turnover", "2015-08-01", "0.00002", "0.0000255"),
    *(("transfer_fee", f"{at}.turnover", "2022-04-29", "0.00001", "0.00002") for at in ("SH", "SZ", "BJ")),
    *(("handling_fee", at, date, value, last) for at in ("SH", "SZ") for date, value, last in (
        ("2015-08-01", "0.0000487", "0.0000696"), ("2023-08-28", "0.0000341", "0.0000487"))),
    ("handling_fee", "BJ", "2021-11-15", "0.0005", None),
    ("handling_fee", "BJ", "2022-12-01", "0.00025", "0.0005"),
    ("handling_fee", "BJ", "2023-08-28", "0.000125", "0.00025"),
    *(("regulatory_fee", at, "2024-01-02", "0.00002", "0.00002") for at in ("SH", "SZ", "BJ")),
    ("commission", "ceiling", "2002-05-01", "0.003", None),
    ("commission", "minimum", "2002-05-01", 5, None),
    # 1.10
    ("dividend_tax", "withheld", "2005-06-13", "0.1", None),
    ("dividend_tax", "up_to_a_month", "2005-06-13", "0.1", None),
    ("dividend_tax", "up_to_a_year", "2005-06-13", "0.1", None),
    ("dividend_tax", "longer", "2005-06-13", "0.1", None),
    ("dividend_tax", "withheld", "2013-01-01", "0.05", "0.1"),
    ("dividend_tax", "up_to_a_month", "2013-01-01", "0.2", "0.1"),
    ("dividend_tax", "up_to_a_year", "2013-01-01", "0.1", "0.1"),
    ("dividend_tax", "longer", "2013-01-01", "0.05", "0.1"),
    ("dividend_tax", "withheld", "2015-09-09", "0", "0.05"),
    ("dividend_tax", "up_to_a_month", "2015-09-09", "0.2", "0.2"),
    ("dividend_tax", "up_to_a_year", "2015-09-09", "0.1", "0.1"),
    ("dividend_tax", "longer", "2015-09-09", "0", "0.05"),
    # 1.12: what is recovered is the product's own policy (SPEC 9)
    *(("delisting", kind, "2024-01-02", value, value) for kind, value in (
        ("one_yuan", 0), ("market_cap", 0), ("delisting_period", 0), ("unknown", 0), ("absorption", 1))),
]  # fmt: skip


def of(row: Row) -> Any:
    """Return a row's value: a number, or the text of hours."""
    return row.text if "-" in row.text or row.text == "none" else row.value


def meant(value: Any) -> Any:
    from decimal import Decimal

    return value if isinstance(value, str) and ("-" in value or value == "none") else Decimal(str(value))


@pytest.mark.parametrize(("name", "scope", "date", "value", "last"), CHANGES)
def test_the_rulebook_says_what_the_domain_says(name: str, scope: str, date: str, value: Any, last: Any) -> None:
    rules, eve = table(name), day(date) - dt.timedelta(days=1)
    assert of(rules.row(scope, day(date))) == meant(value)
    if last is not None:
        assert of(rules.row(scope, eve)) == meant(last)
    else:
        with pytest.raises(OutsideData):
            rules.row(scope, eve)


@pytest.mark.parametrize(("what", "theirs", "ours"), [pytest.param(*case, id=case[0]) for case in vectors()])
def test_the_vectors(what: str, theirs: tuple[int, int], ours: tuple[int, int]) -> None:
    assert ours == theirs


def test_no_line_of_the_vectors_is_left_out() -> None:
    lines = read_csv("limit_vectors")
    assert len(list(vectors())) == len(lines) > 40
    assert all(line["source"] for line in lines)


# the outside copy: the package marina-rules, quoted rule by rule from the exchanges' own texts

MAIN = ("sse_main", "szse_main")
LIMIT_SCOPES = {
    "main_board": ("price_limits", MAIN, "ordinary"),
    "st_main": ("price_limits", MAIN, "risk_warned"),
    "chinext": ("price_limits", ("chinext",), "ordinary"),
    "st_chinext": ("price_limits", ("chinext",), "risk_warned"),
    "star": ("price_limits", ("star",), "ordinary"),
    "st_star": ("price_limits", ("star",), "risk_warned"),
    "bse": ("price_limits", ("bse",), "ordinary"),
    "st_bse": ("price_limits", ("bse",), "risk_warned"),
    "delisting": ("price_limits", MAIN, "delisting_period"),
    "delisting_chinext": ("price_limits", ("chinext",), "delisting_period"),
    "delisting_star": ("price_limits", ("star",), "delisting_period"),
    "delisting_bse": ("price_limits", ("bse",), "delisting_period"),
    "ipo_day1_main": ("free_sessions", MAIN, "listing"),
    "ipo_day1_bse": ("free_sessions", ("bse",), "listing"),
    "ipo_first5_main": ("free_sessions", MAIN, "listing"),
    "ipo_first5_chinext": ("free_sessions", ("chinext",), "listing"),
    "ipo_first5_star": ("free_sessions", ("star",), "listing"),
    "delisting_day1": ("free_sessions", MAIN, "delisting_period"),
    "delisting_day1_star": ("free_sessions", ("star",), "delisting_period"),
    "delisting_day1_bse": ("free_sessions", ("bse",), "delisting_period"),
}
"""Their scope: our table, our boards, the end of our scope. Funds, bonds and B shares are none of ours."""
OTHERS = ("b_share", "st_b_share", "etf", "convertible", "reits")
EXCHANGE = {"sse": ("sse_main", "SH"), "szse": ("szse_main", "SZ")}


def spans(record: Any) -> list[dt.date]:
    """Return days a record holds on: its first, the one after, one a year later, its last."""
    first = day(record.effective_from)
    last = day(record.effective_to) - dt.timedelta(days=1) if record.effective_to else day("2026-11-20")
    return [
        at for at in (first, first + dt.timedelta(days=1), first + dt.timedelta(days=365), last) if first <= at <= last
    ]


def boards_of(record: Any, boards: tuple[str, ...]) -> list[str]:
    """Return the boards a record is about: its name may hold the exchange."""
    named = [board for word, (board, _) in EXCHANGE.items() if f".{word}." in record.id]
    return [board for board in boards if not named or board in named]


def expected(record: Any, name: str, boards: list[str], end: str) -> list[tuple[str, str, int]]:
    """Return what a record of price limits says in our tables: (table, scope, value)."""
    first5 = record.scope.startswith("ipo_first5")
    if record.value == "unlimited":
        return [("free_sessions", f"{board}.{end}", 5 if first5 else 1) for board in boards]
    if isinstance(record.value, dict):
        bands = [("first_day_band", f"{board}.{side}", round(value * 100)) for board in boards
                 for side, value in record.value.items()]  # fmt: skip
        return bands + [("free_sessions", f"{board}.{end}", 0) for board in boards]
    percent = round(record.value * 100)
    if name == "free_sessions":  # the first session of a delisting period has its ordinary limit
        limits = [("price_limits", f"{board}.{end}", percent) for board in boards]
        return limits + [("free_sessions", f"{board}.{end}", 0) for board in boards]
    return [(name, f"{board}.{end}", percent) for board in boards]


@pytest.fixture(scope="module")
def marina() -> Any:
    return pytest.importorskip("marina_rules", reason="pip install -e '.[dev]' brings the outside copy of the rules")


def test_every_price_limit_of_the_outside_copy_is_ours(marina: Any) -> None:
    compared = 0
    for record in marina.records():
        if record.rule != "price_limit_pct" or record.scope.startswith(OTHERS):
            continue
        name, boards, end = LIMIT_SCOPES[record.scope]
        for at in spans(record):
            for where, scope, value in expected(record, name, boards_of(record, boards), end):
                assert table(where).value(scope, at) == value, (record.id, scope, at)
                compared += 1
    assert compared > 150


def test_every_fee_of_the_outside_copy_is_ours(marina: Any) -> None:
    ours = {
        "stamp_duty_sell": [("stamp_duty", "sell")],
        "transfer_fee_each_side": [("transfer_fee", "SH.turnover"), ("transfer_fee", "SZ.turnover")],
        "commission_cap": [("commission", "ceiling")],
        "commission_min_per_order_cny": [("commission", "minimum")],
    }
    records = [record for record in marina.records() if ".fee." in record.id]
    assert {record.rule for record in records} == set(ours)
    for record in records:
        for at in spans(record):
            assert all(float(table(name).value(scope, at)) == record.value for name, scope in ours[record.rule])


def test_ticks_and_their_floors_are_ours(marina: Any) -> None:
    """A floor for a previous close "less than 0.05" is our 4 fen, "0.05 or less" our 5, without bound 10,000 CNY."""
    floors = 0
    for record in marina.records():
        if record.rule == "tick_size" and record.scope == "stock":
            for at in spans(record):
                assert {float(table("tick").value(where, at)) for where in ("SH", "SZ")} == {record.value}
        if record.rule == "limit_price_min_tick":
            (where,) = [where for word, (_, where) in EXCHANGE.items() if f".{word}." in record.id]
            end = "delisting_period" if record.scope.startswith("delisting") else "ordinary"
            for at in spans(record):
                bound = 1_000_000 if record.value is True else 4 if "prev_close_lt" in record.value else 5
                assert table("tick_floor").value(f"{where}.{end}", at) == bound, (record.id, at)
                floors += 1
    assert floors > 10


def test_sessions_and_settlement_are_ours(marina: Any) -> None:
    def text(span: list[str] | None) -> str:
        return "-".join(span) if span else "none"

    schedules = [r for r in marina.records() if r.rule == "session_schedule" and r.scope == "stock"]
    assert len(schedules) == 3
    for record in schedules:
        (board,) = boards_of(record, MAIN)
        value = record.value
        theirs = [value["open_call"], *value["continuous"], value["close_call"]]
        for at in spans(record):
            phases = ("opening_call", "morning", "afternoon", "closing_call")
            assert [table("hours").row(f"{board}.{phase}", at).text for phase in phases] == [text(s) for s in theirs]
    (settled,) = [r for r in marina.records() if r.rule == "min_holding_days" and r.scope == "stock"]
    for at in spans(settled):
        assert table("settlement").value("sessions_until_sellable", at) == settled.value


GRID = [
    # their scope, their exchange, our board, our standing, days
    ("main_board", "XSHG", Board.SSE_MAIN, Standing.ORDINARY, ("2012-01-04", "2023-04-07", "2023-04-10", "2026-07-06")),
    ("main_board", "XSHE", Board.SZSE_MAIN, Standing.ORDINARY, ("2011-02-28", "2023-04-10")),
    ("st_main", "XSHG", Board.SSE_MAIN, Standing.RISK_WARNED, ("2012-01-04", "2023-04-10", "2026-07-03", "2026-07-06")),
    ("st_main", "XSHE", Board.SZSE_MAIN, Standing.RISK_WARNED, ("2012-01-04", "2026-07-03", "2026-07-06")),
    ("chinext", "XSHE", Board.CHINEXT, Standing.ORDINARY, ("2012-01-04", "2020-08-21", "2020-08-24")),
    ("st_chinext", "XSHE", Board.CHINEXT, Standing.RISK_WARNED, ("2020-08-21", "2020-08-24")),
    ("star", "XSHG", Board.STAR, Standing.ORDINARY, ("2019-07-22", "2023-04-10")),
    ("delisting", "XSHG", Board.SSE_MAIN, Standing.DELISTING_PERIOD, ("2014-04-21", "2021-01-04", "2023-04-10")),
    ("delisting", "XSHE", Board.SZSE_MAIN, Standing.DELISTING_PERIOD, ("2012-12-17", "2021-01-04")),
]
ON_GRID = [pytest.param(*place, on, id=f"{place[0]} {place[1]} {on}") for *place, days in GRID for on in days]


@pytest.mark.parametrize(("scope", "market", "board", "standing", "on"), ON_GRID)
def test_limits_of_3000_prices_are_those_of_the_outside_copy(
    marina: Any, scope: str, market: str, board: Board, standing: Standing, on: str
) -> None:
    """Every previous close from 0.01 to 30.00 CNY."""
    closes = np.arange(1, 3001)
    percent, floor = limit_percent(board, standing, day(on)), tick_floor(EXCHANGE_OF[market], standing, day(on))
    ours = limit_prices(closes, np.full(3000, percent), np.full(3000, floor))
    theirs = [marina.limit_price(close / 100, scope, on, market) for close in closes.tolist()]
    for side, prices in enumerate(ours):
        wrong = [
            (close, price, their[side])
            for close, price, their in zip(closes.tolist(), prices.tolist(), theirs, strict=True)
            if price != round(their[side] * 100)
        ]
        assert wrong == []


EXCHANGE_OF = {"XSHG": "SH", "XSHE": "SZ"}
