"""Tickets by hand: the bytes of the files, by hand."""

from __future__ import annotations

import csv
import datetime as dt
import io

from engine.broker.exports import parse_fills
from engine.broker.matching import matched
from engine.broker.port import Ticket, client_id
from engine.broker.tickets import as_csv, as_page, write_tickets
from engine.types import Side

SESSION = dt.date(2018, 3, 5)
NAMES = {"600519.SH": "贵州茅台", "000001.SZ": "*ST 平安", "300001.SZ": "=1+1"}


def ticket(code: str, side: Side, shares: int, limit: float | None, reference: float) -> Ticket:
    return Ticket(client_id("me", SESSION, code, side), SESSION, code, side, shares, limit, reference)


TICKETS = [
    ticket("600519.SH", Side.BUY, 100, 740.5, 735.0),
    ticket("300001.SZ", Side.BUY, 1200, None, 20.0),
    ticket("000001.SZ", Side.SELL, 350, None, 12.34),
]


def test_the_csv_byte_by_byte():
    assert (
        as_csv(TICKETS, NAMES)
        == (
            "\ufeff证券代码,证券名称,买卖方向,委托价格,委托数量,备注\r\n"
            "000001,*ST 平安,卖出,,350,me-20180305-000001.SZ-S\r\n"
            "600519,贵州茅台,买入,740.50,100,me-20180305-600519.SH-B\r\n"
            "300001,,买入,,1200,me-20180305-300001.SZ-B\r\n"  # a name that a spreadsheet would compute is left out
        ).encode()
    )


def test_with_exchanges_and_for_old_clients():
    text = as_csv(TICKETS, NAMES, suffix=True, encoding="gbk").decode("gbk")
    assert [row[0] for row in csv.reader(io.StringIO(text))][1:] == ["000001.SZ", "600519.SH", "300001.SZ"]


def test_the_page():
    page = as_page(TICKETS, NAMES)
    assert "# Orders for 2018-03-05" in page
    assert "| 1 | 000001.SZ | *ST 平安 | sell 卖出 | 350 | market | 12.34 | 4,319.00 |" in page
    assert "| 2 | 600519.SH | 贵州茅台 | buy 买入 | 100 | 740.50 | 735.00 | 73,500.00 |" in page
    assert page.endswith("Sells 4,319.00 CNY, buys 97,500.00 CNY, without costs.\n")
    assert as_page([]) == "# No orders\n\nNothing to do.\n"


def test_files_are_named_by_the_session_and_the_same_each_time(tmp_path):
    paper = write_tickets(tmp_path / "tickets", TICKETS, NAMES)
    assert (paper.table.name, paper.page.name) == ("20180305.csv", "20180305.md")
    first = paper.table.read_bytes(), paper.page.read_bytes()
    write_tickets(tmp_path / "tickets", TICKETS, NAMES)
    assert (paper.table.read_bytes(), paper.page.read_bytes()) == first
    assert sorted(path.name for path in (tmp_path / "tickets").iterdir()) == ["20180305.csv", "20180305.md"]


def test_a_client_that_keeps_the_remark_gives_it_back():
    told = ["备注,证券代码,操作,成交数量,成交价格"]
    told += [f"{t.order_id},{t.code[:6]},{'买入' if t.side is Side.BUY else '卖出'},{t.shares},9.99" for t in TICKETS]
    rows = parse_fills("\n".join(told).encode(), "fills.csv", SESSION).rows
    assert [fill.order_id for fill in matched(TICKETS, rows)] == [t.order_id for t in TICKETS]
