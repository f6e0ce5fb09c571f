"""The rulebook's functions; its rows and vectors are in ``test_rule_rows``, orders under it in ``golden``."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from engine.errors import BadInput, OutsideData
from engine.market.boards import board_of, is_a_share
from engine.market.fees import stamp_duty, transfer_fee
from engine.market.limits import limit_percent, standing_of, without_sentinels
from engine.market.lots import sell_quantity
from engine.types import Board, Side, Standing


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def test_a_rule_is_never_guessed():
    with pytest.raises(OutsideData, match="known from 2019-07-22"):
        limit_percent(Board.STAR, Standing.ORDINARY, day("2019-07-19"))


def test_sentinels_are_no_prices():
    up, down, pre = np.array([9999999, 1100, 10000000]), np.array([1, 900, 0]), np.array([1000, 1000, 1000])
    assert [values.tolist() for values in without_sentinels(up, down, pre)] == [[0, 1100, 0], [0, 900, 0]]


@pytest.mark.parametrize(
    ("name", "standing"),
    [
        ("ST某某", Standing.RISK_WARNED),
        ("*ST某某", Standing.RISK_WARNED),
        ("S*ST某某", Standing.RISK_WARNED),
        ("SST某某", Standing.RISK_WARNED),
        ("GST某某", Standing.RISK_WARNED),
        ("退市某某", Standing.DELISTING_PERIOD),
        ("某某退", Standing.DELISTING_PERIOD),
        ("某某", Standing.ORDINARY),
        ("S某某", Standing.SHARE_REFORM),
        ("WEST某某", Standing.ORDINARY),
    ],
)
def test_the_standing_of_a_name(name, standing):
    assert standing_of(name) is standing


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


def test_a_date_before_the_table_names_the_setting_that_helps():
    with pytest.raises(OutsideData, match=r"execution\.transfer_fee"):
        transfer_fee("SH", 100, 1000.0, day("2011-01-04"))


ON = day("2024-05-06")


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
