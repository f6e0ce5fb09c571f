"""The rulebook against cases from outside the code (DOMAIN part 1, and its outside oracle's vectors)."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from engine.errors import BadInput, OutsideData
from engine.market.boards import board_of, is_a_share
from engine.market.fees import stamp_duty, transfer_fee
from engine.market.limits import Session, is_risk_warned, limit_percent, session_limits, without_sentinels
from engine.market.lots import buy_quantity, sell_quantity
from engine.market.tables import table
from engine.types import Board, Side, Standing


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


LIMITS = [
    # previous close in fen, code, specially treated, day, up, down
    (1235, "000001.SZ", False, "2024-05-06", 1359, 1112),
    (95, "600000.SH", False, "2024-05-06", 105, 86),
    (4, "600000.SH", False, "2022-05-06", 4, 4),
    (4, "000001.SZ", False, "2022-05-06", 5, 3),
    (505, "600000.SH", True, "2026-07-03", 530, 480),
    (505, "600000.SH", True, "2026-07-06", 556, 455),
    (1000, "300001.SZ", False, "2020-08-21", 1100, 900),
    (1000, "300001.SZ", False, "2020-08-24", 1200, 800),
    (1000, "300001.SZ", True, "2020-08-21", 1050, 950),
    (1000, "300001.SZ", True, "2020-08-24", 1200, 800),
    (1000, "688001.SH", True, "2024-11-01", 1200, 800),
    (125, "920001.BJ", False, "2024-05-06", 163, 88),
    (1, "600000.SH", False, "2023-04-07", 1, 1),
    (1, "600000.SH", False, "2023-04-10", 2, 0),
]


@pytest.mark.parametrize(("close", "code", "warned", "on", "up", "down"), LIMITS)
def test_limit_prices(close, code, warned, on, up, down):
    standing = Standing.RISK_WARNED if warned else Standing.ORDINARY
    assert session_limits(Session(board_of(code), code[-2:], day(on), standing, close)) == (up, down)


def test_a_rule_is_never_guessed():
    with pytest.raises(OutsideData, match="known from 2019-07-22"):
        limit_percent(Board.STAR, Standing.ORDINARY, day("2019-07-19"))


def test_sentinels_are_no_prices():
    up, down, pre = np.array([9999999, 1100, 10000000]), np.array([1, 900, 0]), np.array([1000, 1000, 1000])
    assert [values.tolist() for values in without_sentinels(up, down, pre)] == [[0, 1100, 0], [0, 900, 0]]


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("ST某某", True),
        ("*ST某某", True),
        ("S*ST某某", True),
        ("SST某某", True),
        ("GST某某", True),
        ("退市某某", True),
        ("某某退", True),
        ("某某", False),
        ("S某某", False),
        ("WEST某某", False),
    ],
)
def test_risk_warned_names(name, warned):
    assert is_risk_warned(name) is warned


@pytest.mark.parametrize(
    ("code", "board"),
    [
        ("600519.SH", Board.SSE_MAIN),
        ("605001.SH", Board.SSE_MAIN),
        ("688981.SH", Board.STAR),
        ("000001.SZ", Board.SZSE_MAIN),
        ("002415.SZ", Board.SZSE_MAIN),
        ("300750.SZ", Board.CHINEXT),
        ("920002.BJ", Board.BSE),
        ("430047.BJ", Board.BSE),
    ],
)
def test_boards(code, board):
    assert board_of(code) is board


@pytest.mark.parametrize(
    "code", ["900901.SH", "200002.SZ", "000001.SH", "510300.SH", "60000.SH", "600000", "ABCDEF.SH", ""]
)
def test_not_an_a_share(code):
    assert not is_a_share(code)
    with pytest.raises(BadInput):
        board_of(code)


@pytest.mark.parametrize(
    ("side", "on", "duty"),
    [
        (Side.BUY, "2008-04-23", 30.0),
        (Side.BUY, "2008-04-24", 10.0),
        (Side.BUY, "2008-09-18", 10.0),
        (Side.BUY, "2008-09-19", 0.0),
        (Side.SELL, "2008-09-19", 10.0),
        (Side.SELL, "2023-08-25", 10.0),
        (Side.SELL, "2023-08-28", 5.0),
        (Side.BUY, "2023-08-28", 0.0),
    ],
)
def test_stamp_duty_of_10_000_yuan(side, on, duty):
    assert stamp_duty(side, 10_000.0, day(on)) == pytest.approx(duty, abs=1e-9)


@pytest.mark.parametrize(
    ("exchange", "on", "fee"),
    [
        ("SH", "2015-07-31", 0.3),  # 1,000 shares of par value 1, 0.3 per mille
        ("SZ", "2015-07-31", 0.255),
        ("SH", "2015-08-03", 0.2),
        ("SZ", "2015-08-03", 0.2),
        ("SH", "2022-04-28", 0.2),
        ("SH", "2022-04-29", 0.1),
    ],
)
def test_transfer_fee_of_1_000_shares_at_10_yuan(exchange, on, fee):
    assert transfer_fee(exchange, 1000, 10_000.0, day(on)) == pytest.approx(fee, abs=1e-12)


def test_a_date_before_the_table_names_the_setting_that_helps():
    with pytest.raises(OutsideData, match=r"execution\.transfer_fee"):
        transfer_fee("SH", 100, 1000.0, day("2011-01-04"))


ON = day("2024-05-06")
LOTS = [
    # board, wanted, may be bought
    (Board.SSE_MAIN, 99, 0),
    (Board.SSE_MAIN, 100, 100),
    (Board.SSE_MAIN, 250, 200),
    (Board.CHINEXT, 199, 100),
    (Board.STAR, 199, 0),
    (Board.STAR, 201, 201),
    (Board.BSE, 99, 0),
    (Board.BSE, 101, 101),
]


@pytest.mark.parametrize(("board", "wanted", "bought"), LOTS)
def test_buy_quantities(board, wanted, bought):
    assert buy_quantity(board, wanted, ON) == bought


@pytest.mark.parametrize(
    ("board", "wanted", "held", "sold"),
    [
        (Board.SSE_MAIN, 150, 350, 100),
        (Board.SSE_MAIN, 350, 350, 350),
        (Board.SSE_MAIN, 999, 350, 350),
        (Board.SSE_MAIN, 50, 50, 50),
        (Board.SSE_MAIN, 50, 150, 0),
        (Board.STAR, 150, 150, 150),
        (Board.STAR, 150, 500, 0),
        (Board.STAR, 201, 500, 201),
    ],
)
def test_sell_quantities(board, wanted, held, sold):
    assert sell_quantity(board, wanted, held, ON) == sold


@pytest.mark.parametrize("name", ["price_limits", "tick_floor", "lots", "stamp_duty", "transfer_fee"])
def test_every_row_has_a_source_and_changes_on_its_date(name):
    rules = table(name)
    for row in rules.rows:
        assert row.source.strip()
        assert rules.value(row.scope, row.effective_from) == row.value
        earlier = [
            other for other in rules.rows if other.scope == row.scope and other.effective_from < row.effective_from
        ]
        before = row.effective_from - dt.timedelta(days=1)
        if earlier:
            assert rules.value(row.scope, before) == max(earlier, key=lambda other: other.effective_from).value
        else:
            with pytest.raises(OutsideData):
                rules.value(row.scope, before)
