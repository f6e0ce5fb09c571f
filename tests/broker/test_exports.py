"""Exports of brokers' clients: what is read, what is refused and in which words, and anything at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.broker.exports import LARGEST, SYNONYMS, Row, parse_fills, parse_positions
from engine.broker.matching import matched
from engine.broker.port import Holding, Ticket, client_id
from engine.errors import AshareError, BadInput
from engine.types import Side

SESSION = dt.date(2018, 3, 5)


def parsed(text: str, encoding: str = "utf-8") -> tuple[Row, ...]:
    return parse_fills(text.encode(encoding), "fills.csv", SESSION).rows


FULL = (
    "成交日期,成交时间,证券代码,证券名称,操作,成交数量,成交均价,成交金额,合同编号,成交编号,手续费,印花税,过户费,发生金额\n"
    "20180305,09:30:01,600519,贵州茅台,证券买入,100,735.000,73500.00,C1,T1,18.38,0.00,1.47,-73519.85\n"
    "20180305,09:30:02,000001,平安银行,证券卖出,-300,12.34,3702.00,C2,T2,5.00,3.70,0.07,3693.23\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_a_full_export(encoding):
    assert parsed(FULL, encoding) == (
        Row(2, SESSION, "600519.SH", Side.BUY, 100, 735.0, 18.38, 0.0, 1.47, "20180305-600519.SH-B-T1", "C1"),
        Row(3, SESSION, "000001.SZ", Side.SELL, 300, 12.34, 5.0, 3.7, 0.07, "20180305-000001.SZ-S-T2", "C2"),
    )


def test_tabs_wrapped_cells_titles_and_empty_lines():
    text = (
        "当日成交\n\n"
        "成交时间\t证券代码\t证券名称\t操作\t成交数量\t成交均价\t成交编号\n"
        '093001\t="000001"\t="平安银行"\t买入\t1,200\t12.34\t="0007"\n'
        '093002\t="000001"\t平安银行\t买入撤单\t0\t0\t\n'
        "\n"
    )
    (row,) = parsed(text, "gbk")
    assert (row.code, row.shares, row.price, row.trade_id) == ("000001.SZ", 1200, 12.34, "20180305-000001.SZ-B-0007")
    assert (row.commission, row.stamp_duty, row.transfer_fee) == (None, None, None)


def test_every_synonym_of_a_column_is_read():
    needed = {"code": "600519", "side": "买入", "shares": "100", "price": "10.00"}
    for column, names in SYNONYMS.items():
        for name in names:
            head = {**{SYNONYMS[other][0]: value for other, value in needed.items() if other != column}}
            value = {**needed, "date": "20180305", "amount": "1000"}.get(column, "")
            head = {name: value, **head}
            (row,) = parsed(",".join(head) + "\n" + ",".join(head.values()))
            assert (row.code, row.side, row.shares, row.price) == ("600519.SH", Side.BUY, 100, 10.0), name


def test_units_in_the_header_do_not_hide_it():
    assert parsed("证券代码,买卖方向,成交数量(股),成交价格(元)\n600519,买入,100,10")[0].shares == 100


CODES = [
    ("600519", "600519.SH"),
    ("600519.SH", "600519.SH"),
    ("SH600519", "600519.SH"),
    ("sz.000001", "000001.SZ"),
    ("1", "000001.SZ"),
    ("2594", "002594.SZ"),
    ("920001", "920001.BJ"),
    ("688001", "688001.SH"),
]


@pytest.mark.parametrize(("told", "code"), CODES)
def test_codes(told, code):
    assert parsed(f"代码,方向,数量,价格\n{told},买入,200,10")[0].code == code


@pytest.mark.parametrize("day", ["20180305", "2018-03-05", "2018/3/5", "2018.03.05", "2018-03-05 09:30:00"])
def test_days(day):
    assert len(parsed(f"日期,代码,方向,数量,价格\n{day},600519,买入,200,10")) == 1


def test_other_days_are_left_out_and_counted():
    text = "日期,代码,方向,数量,价格\n20180305,600519,买入,200,10\n20180306,600519,买入,200,10\n"
    export = parse_fills(text.encode(), "fills.csv", SESSION)
    assert (len(export.rows), export.other_sessions) == (1, 1)


def test_the_amount_decides_where_the_average_is_rounded():
    (row,) = parsed("代码,方向,数量,价格,成交金额\n600519,买入,300,10.01,3002.00")
    assert round(row.price * 300, 6) == 3002.0


FEES = [  # header and cells after code, side, shares, price, amount; commission, stamp duty, transfer fee
    ("佣金,印花税,过户费", "5,1,0.02", (5.0, 1.0, 0.02)),
    ("佣金,印花税,过户费", "0.00,0.00,0.00", (None, None, None)),
    ("佣金,印花税,过户费", "5,,0.02", (None, None, None)),
    ("佣金,印花税,过户费", "--,--,--", (None, None, None)),
    ("佣金,印花税", "5,1", (None, None, None)),
    ("净佣金,经手费,证管费,印花税,过户费", "4.9,0.05,0.05,1,0.02", (5.0, 1.0, 0.02)),
    ("佣金,经手费,证管费,印花税,过户费,发生金额", "5,0.05,0.05,1,0.02,993.98", (5.0, 1.0, 0.02)),
    ("佣金,经手费,证管费,印花税,过户费,发生金额", "4.9,0.05,0.05,1,0.02,993.98", (5.0, 1.0, 0.02)),
    ("佣金,其他费,印花税,过户费", "4,1,1,0.02", (5.0, 1.0, 0.02)),
    ("手续费,其他杂费,印花税,过户费,发生金额", "4,1,1,0.02,993.98", (5.0, 1.0, 0.02)),
]


@pytest.mark.parametrize(("head", "cells", "fees"), FEES)
def test_fees(head, cells, fees):
    (row,) = parsed(f"代码,方向,数量,价格,成交金额,{head}\n600519,卖出,100,10,1000,{cells}")
    assert (row.commission, row.stamp_duty, row.transfer_fee) == pytest.approx(fees, nan_ok=True)


def test_a_buyer_pays_no_stamp_duty_and_the_export_may_say_nothing():
    (row,) = parsed("代码,方向,数量,价格,佣金,印花税,过户费\n600519,买入,100,10,5,,0.02")
    assert (row.commission, row.stamp_duty, row.transfer_fee) == (5.0, 0.0, 0.02)


def test_trades_without_a_number_get_one_of_their_own_content():
    text = "时间,代码,方向,数量,价格\n093000,600519,买入,100,10\n093000,600519,买入,100,10\n093001,600519,买入,100,10\n"
    ids = [row.trade_id for row in parsed(text)]
    assert len(set(ids)) == 3
    assert [row.trade_id for row in parsed("\n".join(text.splitlines()[:3]))] == ids[:2]  # the same file, earlier


HEAD = "日期,代码,方向,数量,价格,成交金额,佣金,经手费,印花税,过户费,发生金额\n"
REFUSED = [
    ("no header", "a,b,c\n1,2,3\n", "no header has code .证券代码 or 股票代码 or 代码."),
    ("no price", "代码,方向,数量\n600519,买入,100\n", "no header has price"),
    ("nothing", "", "no header has"),
    ("a fund", HEAD + "20180305,510300,买入,100,10,,,,,,", "line 2 of fills.csv is refused: '510300' is no A share"),
    ("no code", HEAD + "20180305,六零,买入,100,10,,,,,,", "no code"),
    ("a bonus", HEAD + "20180305,600519,红股入账,100,10,,,,,,", "neither 买入 nor 卖出"),
    ("no side", HEAD + "20180305,600519,,100,10,,,,,,", "neither"),
    ("half a share", HEAD + "20180305,600519,买入,0.5,10,,,,,,", "no whole number"),
    ("no shares", HEAD + "20180305,600519,买入,0,10,,,,,,", "were not traded"),
    ("bought below zero", HEAD + "20180305,600519,买入,-100,10,,,,,,", "were not traded"),
    ("not a number", HEAD + "20180305,600519,买入,nan,10,,,,,,", "shares 'nan' is no number"),
    ("exponent", HEAD + "20180305,600519,买入,1e2,10,,,,,,", "no number"),
    ("other digits", HEAD + "20180305,600519,买入,१००,10,,,,,,", "no number"),
    ("no price in it", HEAD + "20180305,600519,买入,100,0,,,,,,", "no price"),
    ("amount", HEAD + "20180305,600519,买入,100,10,1005,,,,,", "do not make 1005"),
    ("no day", HEAD + "20180230,600519,买入,100,10,,,,,,", "no date"),
    ("half a day", HEAD + "201835,600519,买入,100,10,,,,,,", "no date"),
    ("fees", HEAD + "20180305,600519,卖出,100,10,1000,5,0.05,1,0.02,990", "the fees make 6.07, but 10 was taken"),
    ("inner fees", HEAD + "20180305,600519,卖出,100,10,1000,5,0.05,1,0.02,", "whether 佣金 holds"),
    ("too many cells", HEAD + "20180305,600519,买入,100,10,,,,,,,9", "more cells than the header"),
]


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused_and_why(text, said):
    with pytest.raises(BadInput, match=said) as error:
        parsed(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x00\x00\x00", "neither UTF-8 nor GBK"),
        ("代码,方向".encode("utf-16"), "neither UTF-8 nor GBK"),
        (b"\xff\xff\xff", "neither UTF-8 nor GBK"),
        (b"x" * (LARGEST + 1), "bytes"),
        (b'"' + b"x" * 200_000, "no CSV"),
    ],
)
def test_what_is_no_text(content, said):
    with pytest.raises(BadInput, match=said):
        parse_fills(content, "fills.csv", SESSION)


def test_holdings():
    text = "证券代码,证券名称,股票余额,可用余额\n000001,平安银行,300,100\n600519,贵州茅台,0,0\n"
    assert parse_positions(text.encode("gbk"), "held.csv") == {"000001.SZ": Holding(300, 100)}
    for row, said in (("000001,,300,400", "400 of 300"), ("000001,,300,1\n000001,,300,1", "twice"), ("x,,1,1", "code")):
        with pytest.raises(BadInput, match=said):
            parse_positions(f"证券代码,证券名称,股票余额,可用余额\n{row}\n".encode(), "held.csv")


def ticket(code: str = "600519.SH", side: Side = Side.BUY, tag: str = "", session: dt.date = SESSION) -> Ticket:
    return Ticket(client_id("me", session, code, side) + tag, session, code, side, 1000, None, 10.0)


def row(**more) -> Row:
    values = {"line": 2, "session": SESSION, "code": "600519.SH", "side": Side.BUY, "shares": 100, "price": 10.0}
    values |= {"commission": None, "stamp_duty": None, "transfer_fee": None, "trade_id": "t1"}
    return Row(**{**values, **more})


def test_trades_find_their_orders():
    sell = ticket(side=Side.SELL)
    fills = matched([ticket(), sell], [row(), row(trade_id="t2", side=Side.SELL), row(trade_id="t3", line=9), row()])
    assert [(fill.trade_id, fill.order_id) for fill in fills] == [
        ("t1", ticket().order_id),
        ("t2", sell.order_id),
        ("t3", ticket().order_id),
    ]


def test_of_two_orders_the_remark_decides():
    tickets = [ticket(tag="1"), ticket(tag="2")]
    (fill,) = matched(tickets, [row(remark=tickets[1].order_id)])
    assert fill.order_id == tickets[1].order_id


@pytest.mark.parametrize(
    ("tickets", "told", "said"),
    [
        ([], row(), "no order to buy 600519.SH was intended for 2018-03-05"),
        ([ticket(side=Side.SELL)], row(), "no order to buy"),
        ([ticket(session=dt.date(2018, 3, 6))], row(), "no order to buy"),
        ([ticket(tag="1"), ticket(tag="2")], row(), "2 orders to buy"),
        ([ticket(), ticket("000001.SZ")], row(remark=ticket("000001.SZ").order_id), "another stock"),
    ],
)
def test_a_trade_of_no_order_or_of_two_is_refused(tickets, told, said):
    with pytest.raises(BadInput, match=f"line 2 of fills.csv is refused: .*{said}"):
        matched(tickets, [told], "fills.csv")


ODD = (
    r"""600519 000001.SZ 买入 卖出 撤单 100 -100 10.00 1000 -- nan 1e9 ="1" ' 20180305 =cmd|x １００ 0 -0 + " ∞ ٣ T1"""
)
CELLS = st.sampled_from([*ODD.split(), "", ".", "\u3000", "9" * 40])
TRADES = st.builds(
    lambda code, side, rest: [code, side, "100", "10.00", *rest],
    st.sampled_from(["600519", "1", "SZ000001"]),
    st.sampled_from(["买入", "卖出", "证券买入"]),
    st.lists(st.sampled_from(["", "--", "0", "5.00", "1000", "20180305"]), max_size=10),
)
HEADS = st.lists(st.sampled_from([name for names in SYNONYMS.values() for name in names]), max_size=14)
TABLES = st.builds(
    lambda head, rows, parting: "\n".join(parting.join(cells) for cells in [head, *rows]),
    st.one_of(HEADS, HEADS.map(lambda more: ["证券代码", "操作", "成交数量", "成交价格", *more])),
    st.lists(st.one_of(st.lists(st.one_of(CELLS, st.text(max_size=8)), max_size=16), TRADES), max_size=6),
    st.sampled_from([",", "\t", "|"]),
)
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda text, encoding: text.encode(encoding, "replace"), TABLES, st.sampled_from(["utf-8", "gbk", "utf-16"])
    ),
)


def refusal(reader: Callable[[], object]) -> AshareError | None:
    try:
        reader()
    except AshareError as error:
        return error
    return None


def only_our_errors(content: bytes) -> int:
    """Return how many trades were read."""
    readers = [lambda: parse_fills(content, "x.csv", SESSION), lambda: parse_positions(content, "x.csv")]
    found = [refusal(reader) for reader in readers]
    for error in found:
        assert error is None or ("\n" not in str(error) and len(str(error)) < 1000)
    rows = () if found[0] else parse_fills(content, "x.csv", SESSION).rows
    for trade in rows:
        assert trade.session == SESSION
        assert trade.shares > 0
        assert 0 < trade.price < 100_001
    return len(rows)


@pytest.mark.parametrize("examples", [600, pytest.param(20_000, marks=pytest.mark.slow)])
def test_anything_at_all_gives_only_our_errors(examples):
    read = []

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(CONTENTS)
    def hold(content):
        read.append(only_our_errors(content))

    hold()
    assert len(read) >= examples
    assert sum(map(bool, read)) > examples / 300  # some of it is fit to be read: about one in a hundred
