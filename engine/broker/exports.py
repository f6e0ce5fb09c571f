"""A broker's export of the day's trades or holdings, as its client writes it, read strictly: pure, from bytes.

Clients differ in encoding (GBK or UTF-8), in what parts the columns (comma or tab), in lines before the header, in
column names and in how they keep a spreadsheet from eating zeros (``="000001"``). All of that is known here; what is
not known is refused in one line, naming the column or the row. Nothing is guessed about money.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from engine.broker.port import Holding
from engine.errors import BadInput
from engine.market.boards import is_a_share
from engine.types import Side

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "code": ("证券代码", "股票代码", "代码", "合约代码", "ts_code", "code"),
    "side": ("买卖方向", "买卖标志", "操作", "买卖", "方向", "委托方向", "买卖类别", "业务名称", "交易类别", "side"),
    "shares": ("成交数量", "成交股数", "数量", "shares"),
    "price": ("成交价格", "成交均价", "成交价", "均价", "价格", "price"),
    "amount": ("成交金额", "成交额", "金额", "amount"),
    "net": ("发生金额", "清算金额", "收付金额", "资金发生额"),
    "commission": ("佣金", "手续费", "交易佣金", "净佣金", "commission"),
    "stamp_duty": ("印花税", "stamp_duty"),
    "transfer_fee": ("过户费", "transfer_fee"),
    "other": ("其他杂费", "其他费", "其他费用", "附加费"),
    "inner": ("经手费", "证管费", "规费", "交易规费"),
    "date": ("成交日期", "日期", "交易日期", "发生日期", "清算日期", "date"),
    "time": ("成交时间", "时间", "time"),
    "trade_id": ("成交编号", "成交序号", "成交号", "trade_id"),
    "number": ("委托编号", "合同编号", "委托序号", "委托合同号"),
    "remark": ("备注", "投资备注", "委托备注", "order_id"),
}
"""What a column is called by the clients we have seen; the first of a file's columns that is listed counts."""
HOLDING_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "code": SYNONYMS["code"],
    "shares": ("股票余额", "证券数量", "持仓数量", "当前持仓", "股份余额", "当前拥股", "持仓", "shares"),
    "sellable": ("可用余额", "可用数量", "可卖数量", "股份可用", "可用股份", "sellable"),
}
BUYS = frozenset({"买入", "证券买入", "普通买入", "买", "b", "buy"})
SELLS = frozenset({"卖出", "证券卖出", "普通卖出", "卖", "s", "sell"})
LARGEST = 16 * 2**20
"""Bytes of a file; a busy account's day is a thousandth of it."""
_ROWS, _BEFORE_HEADER = 100_000, 20
_WRAPPED = re.compile(r'^=?"(.*)"$')
_NUMBER = re.compile(r"^[+-]?(\d{1,3}(,\d{3})+|\d{1,12})?(\.\d{1,8})?$")
_UNIT = re.compile(r"[((][^()()]*[))]$")
_NONE = frozenset({"", "-", "--", "无"})


@dataclass(frozen=True)
class Row:
    """A trade as the export tells it.

    Attributes
    ----------
    line : int
        Of the file, from 1.
    session : date
        Of the trade.
    code, side, shares
        As traded.
    price : float
        CNY a share; amount over shares where the amount is given, for clients round their averages.
    commission, stamp_duty, transfer_fee : float or None
        CNY; all None where the export does not give them, or before the broker has charged them.
    trade_id : str
        The broker's with session, code and side; made of the row's content where the export has none.
    number, remark : str
        The broker's number of the order, and the remark it was placed with; empty where not given.
    """

    line: int
    session: dt.date
    code: str
    side: Side
    shares: int
    price: float
    commission: float | None
    stamp_duty: float | None
    transfer_fee: float | None
    trade_id: str
    number: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Export:
    """The trades of one session in a file.

    Attributes
    ----------
    rows : tuple of Row
        In the file's order.
    other_sessions : int
        Rows of other days, which were left out.
    """

    rows: tuple[Row, ...]
    other_sessions: int = 0


def parse_fills(content: bytes, name: str, session: dt.date) -> Export:
    """Read an export of trades (成交).

    Parameters
    ----------
    content : bytes
        The file.
    name : str
        What errors call it.
    session : date
        The session wanted; rows without a date are of this session.

    Raises
    ------
    BadInput
        The layout is unknown, or a row is no trade: with its line and column.
    """
    rows, others, seen = [], 0, Counter[str]()
    for line, cells in _table(content, name, SYNONYMS, ("code", "side", "shares", "price")):
        with _at(name, line):
            if "撤" in cells["side"]:  # a cancelled order's line among the trades is none
                continue
            day = _day(cells["date"]) if cells.get("date") else session
            if day != session:
                others += 1
                continue
            rows.append(_trade(line, cells, session, seen))
    return Export(tuple(rows), others)


def parse_positions(content: bytes, name: str) -> dict[str, Holding]:
    """Read an export of holdings (持仓); lines with no shares are left out.

    Raises
    ------
    BadInput
        The layout is unknown, a row no holding, or a code there twice.
    """
    result: dict[str, Holding] = {}
    for line, cells in _table(content, name, HOLDING_SYNONYMS, ("code", "shares")):
        with _at(name, line):
            shares = _whole(cells["shares"], "shares")
            sellable = _whole(cells["sellable"], "sellable") if cells.get("sellable") else shares
            if not shares:
                continue
            code = _code(cells["code"])
            if code in result:
                raise _NotSo(f"{code} is there twice")
            if not 0 <= sellable <= shares:
                raise _NotSo(f"{sellable} of {shares} shares cannot be sellable")
            result[code] = Holding(shares, sellable)
    return result


class _NotSo(ValueError):
    """Why a row is refused."""


@contextmanager
def _at(name: str, line: int) -> Iterator[None]:
    """Say which line a refusal is about."""
    try:
        yield
    except _NotSo as error:
        raise BadInput(f"line {line} of {name} is refused", str(error), "Correct it, or export again.") from None


def _table(
    content: bytes, name: str, synonyms: Mapping[str, tuple[str, ...]], required: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row below the header with its line, by our names of the columns."""
    lines = _lines(content, name)
    best: tuple[str, ...] = required
    places: dict[str, int] = {}
    head: list[str] = []
    for _, (_, named) in zip(range(_BEFORE_HEADER), lines, strict=False):
        head = [_UNIT.sub("", cell) for cell in named]
        places = _places(head, synonyms)
        missing = tuple(column for column in required if column not in places)
        if not missing:
            break
        best = min(best, missing, key=len)
    else:
        wanted = ", ".join(f"{column} ({' or '.join(synonyms[column][:3])})" for column in best)
        raise BadInput(f"{name} is refused", f"no header has {wanted}", "Export the table with its header, as CSV.")
    for line, cells in lines:
        if not any(cells):
            continue
        if len(cells) > len(head) and any(cells[len(head) :]):
            raise BadInput(f"line {line} of {name} is refused", "it has more cells than the header", "Export it again.")
        padded = cells + [""] * (len(head) - len(cells))
        yield line, {column: padded[place] for column, place in places.items()}


def _places(head: list[str], synonyms: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    found = {}
    for column, names in synonyms.items():
        place = next((head.index(name) for name in names if name in head), None)
        if place is not None:
            found[column] = place
    if "inner" in synonyms:  # several columns of one kind are named apart, to be added up
        apart = ((kind, name) for kind in ("other", "inner") for name in synonyms[kind] if name in head)
        found |= {f"{kind}:{name}": head.index(name) for kind, name in apart}
        if "净佣金" in head:
            found["net_commission"] = head.index("净佣金")
    return found


def _lines(content: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line, with what clients wrap them in taken off."""
    if len(content) > LARGEST:
        raise BadInput(f"{name} is refused", f"it has {len(content)} bytes", f"Export one day; {LARGEST} is the most.")
    text = _decoded(content, name)
    parting = "\t" if text.count("\t") > text.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=parting, strict=False)
    try:
        for line, cells in enumerate(reader, 1):
            if line > _ROWS:
                raise BadInput(f"{name} is refused", f"it has more than {_ROWS} lines", "Export one day.")
            yield line, [_bare(cell) for cell in cells]
    except csv.Error as error:
        raise BadInput(f"{name} is refused", f"it is no CSV ({error})", "Export it again.") from None


def _decoded(content: bytes, name: str) -> str:
    for encoding in ("utf-8-sig", "gbk"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise BadInput(f"{name} is refused", "it is neither UTF-8 nor GBK text", "Export it as CSV, not as a workbook.")


def _bare(cell: str) -> str:
    text = cell.strip().strip("\u3000\ufeff")
    wrapped = _WRAPPED.match(text)
    return (wrapped[1] if wrapped else text).lstrip("'").strip()


def _trade(line: int, cells: Mapping[str, str], session: dt.date, seen: Counter[str]) -> Row:
    side, code = _side(cells["side"]), _code(cells["code"])
    shares = _whole(cells["shares"], "shares")
    if side is Side.SELL:
        shares = abs(shares)  # some clients write sales below zero
    if shares <= 0:
        raise _NotSo(f"{cells['shares']!r} shares were not traded")
    price, amount = _price(cells, shares)
    commission, stamp_duty, transfer_fee = _fees(cells, side, amount)
    own = f"{session:%Y%m%d}-{code}-{side[0].upper()}-"
    trade_id = cells.get("trade_id", "").strip("0")
    if trade_id:
        trade_id = own + cells["trade_id"]
    else:  # the same trade twice in one file is two trades, the same file twice is one
        trade_id = f"{own}{cells.get('time', '')}-{shares}-{price!r}"
        seen[trade_id] += 1
        trade_id += f"-{seen[trade_id]}"
    number, remark = cells.get("number", ""), cells.get("remark", "")
    return Row(line, session, code, side, shares, price, commission, stamp_duty, transfer_fee, trade_id, number, remark)


def _side(text: str) -> Side:
    word = text.lower()
    if word in BUYS:
        return Side.BUY
    if word in SELLS:
        return Side.SELL
    raise _NotSo(f"{text!r} is neither 买入 nor 卖出; export the day's trades (成交), not the account's movements")


def _code(text: str) -> str:
    """Return a code with its exchange, from ``600519``, ``600519.SH``, ``SH600519``, or ``1`` without its zeros."""
    found = re.fullmatch(r"(?:(SH|SZ|BJ)[.]?)?([0-9]{1,6})(?:[.](SH|SZ|BJ))?", text.upper())
    if not found:
        raise _NotSo(f"{text!r} is no code of an A share")
    number, at = found[2].zfill(6), found[1] or found[3]
    for suffix in (at,) if at else ("SH", "SZ", "BJ"):
        if is_a_share(code := f"{number}.{suffix}"):
            return code
    raise _NotSo(f"{text!r} is no A share; the account must hold nothing but what we trade")


def _price(cells: Mapping[str, str], shares: int) -> tuple[float, Decimal]:
    """Return the price and what was paid; the amount decides where it is given, and must fit the price."""
    price = abs(_number(cells["price"], "price"))
    if not 0 < price < 100_000:
        raise _NotSo(f"{cells['price']!r} is no price")
    if cells.get("amount", "") in _NONE:
        return float(price), price * shares
    amount = abs(_number(cells["amount"], "amount"))
    digits = max(2, len(cells["price"].partition(".")[2]))
    room = Decimal(shares) / 2 / 10**digits + Decimal("0.01")  # half of the last digit shown
    if abs(amount - price * shares) > room:
        raise _NotSo(f"{shares} shares at {price} do not make {amount}")
    exact = price * shares == amount
    return float(price) if exact else float(amount) / shares, amount


def _fees(cells: Mapping[str, str], side: Side, amount: Decimal) -> tuple[float | None, float | None, float | None]:
    """Return commission, stamp duty and transfer fee; nothing where one is missing or nothing was charged yet.

    Handling and regulatory fees stand beside the commission in some exports and inside it in others. The amount that
    moved tells which; without it they are refused rather than counted twice or not at all.
    """
    kinds = ("commission", "stamp_duty", "transfer_fee")
    if side is Side.BUY and cells.get("stamp_duty", "") in _NONE:
        cells = {**cells, "stamp_duty": "0"}  # buyers pay none
    if any(cells.get(kind, "") in _NONE for kind in kinds):
        return None, None, None
    commission, stamp_duty, transfer_fee = (abs(_number(cells[kind], kind)) for kind in kinds)
    other, inner = _sum_of(cells, "other"), _sum_of(cells, "inner")
    if not any((commission, stamp_duty, transfer_fee, other, inner)):
        return None, None, None
    charged = commission + stamp_duty + transfer_fee
    if cells.get("net", "") not in _NONE:
        moved = abs(abs(_number(cells["net"], "net")) - amount)
        fitting = [
            more for more in (Decimal(0), other, other + inner) if abs(charged + more - moved) < Decimal("0.005")
        ]
        if not fitting:
            raise _NotSo(f"the fees make {charged + other + inner}, but {moved} was taken")
        commission += fitting[0]
    elif inner and "net_commission" not in cells:
        raise _NotSo("it does not say whether 佣金 holds 经手费 and 证管费; export 发生金额 too")
    else:
        commission += other + inner
    return float(commission), float(stamp_duty), float(transfer_fee)


def _sum_of(cells: Mapping[str, str], kind: str) -> Decimal:
    found = (text for column, text in cells.items() if column.startswith(f"{kind}:") and text not in _NONE)
    return sum((abs(_number(text, kind)) for text in found), Decimal(0))


def _number(text: str, column: str) -> Decimal:
    if text in ("+", "-", ".") or not text or not text.isascii() or not _NUMBER.match(text):
        raise _NotSo(f"{column} {text[:40]!r} is no number")
    return Decimal(text.replace(",", ""))


def _whole(text: str, column: str) -> int:
    value = _number(text, column)
    if value != value.to_integral_value():
        raise _NotSo(f"{column} {text!r} is no whole number")
    return int(value)


def _day(text: str) -> dt.date:
    found = re.match(r"^(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?:\s|$)", text)
    if not found or not text.isascii() or (not found[2] and len(found[3] + found[4]) != 4):
        raise _NotSo(f"{text[:40]!r} is no date")
    try:
        return dt.date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        raise _NotSo(f"{text[:40]!r} is no date") from None
