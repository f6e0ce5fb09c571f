"""What is sent to the people behind an account: plain facts in, short texts out.

The texts are plain lines, in Chinese or English. They are no Markdown: names such as ``*ST`` would lose their star.
What sums a letter up stands in its title and first line, so that a text that is cut still says it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.types import Event, LetterKind, Reason, Side

Language = Literal["zh", "en"]

LIMIT = 18_000
"""Bytes of a body: DingTalk and Feishu take about 20,000 with everything around it."""


@dataclass(frozen=True)
class Message:
    """Something to be told.

    Attributes
    ----------
    id : str
        The same for the same matter, whoever makes it again: ``ACCOUNT-YYYYMMDD-KIND``. Its letters, digits and the
        signs ``_.-`` make a file name.
    session : date
        The session it is about.
    kind : str
        A value of `LetterKind`, or ``test``.
    title : str
        One line.
    body : str
        Lines.
    """

    id: str
    session: dt.date
    kind: str
    title: str
    body: str


@dataclass(frozen=True)
class Pick:
    """A stock that was chosen."""

    rank: int
    code: str
    score: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Ordered:
    """An order for the next session."""

    code: str
    side: Side
    shares: int
    name: str = ""


@dataclass(frozen=True)
class Fill:
    """An order that was filled, or a part of it: CNY a share, and CNY of fees and taxes."""

    code: str
    side: Side
    shares: int
    price: float
    fees: float
    name: str = ""


@dataclass(frozen=True)
class Unfilled:
    """An order that did not get all it asked for, and why."""

    code: str
    side: Side
    asked: int
    filled: int
    reason: Reason
    name: str = ""


@dataclass(frozen=True)
class Day:
    """How an account stands after a session, CNY; returns are shares, None where there is none yet."""

    net_value: float
    cash: float
    holdings: int
    day_return: float | None = None
    total_return: float | None = None
    benchmark_return: float | None = None


@dataclass(frozen=True)
class Envelope:
    """What all letters of a session have in common."""

    account: str
    session: dt.date
    language: Language = "zh"

    def write(self, kind: LetterKind, title: str, lines: Iterable[str], about: str = "") -> Message:
        """Return the letter: titled ``[ashare ACCOUNT] DAY TITLE``, since a DingTalk robot may demand a keyword."""
        body = cut("\n".join(_one_line(line) for line in lines), LIMIT, self.language)
        mark = f"-{hashlib.sha256(about.encode()).hexdigest()[:8]}" if about else ""
        return Message(
            id=f"{self.account}-{self.session:%Y%m%d}-{kind}{mark}",
            session=self.session,
            kind=str(kind),
            title=_one_line(f"[ashare {self.account}] {self.session} {title}"),
            body=body,
        )

    def say(self, chinese: str, english: str) -> str:
        """Return the one of two texts that is in the letters' language."""
        return chinese if self.language == "zh" else english


def picks(envelope: Envelope, chosen: Sequence[Pick]) -> Message:
    """Return the letter about the stocks chosen at a close, best first."""
    title = envelope.say(f"选股 {len(chosen)} 只", f"{len(chosen)} picks")
    rows = [
        f"{pick.rank}. {_stock(pick.code, pick.name)}" + ("" if pick.score is None else f" {pick.score:.4f}")
        for pick in chosen
    ]
    return envelope.write(LetterKind.PICKS, title, rows or [envelope.say("今日无选股", "nothing was chosen")])


def orders(envelope: Envelope, on: dt.date, given: Sequence[Ordered]) -> Message:
    """Return the letter about the orders that a session's close gave for the session ``on``, sells first."""
    buys = sum(order.side is Side.BUY for order in given)
    sells = len(given) - buys
    title = envelope.say(f"{on} 委托：卖 {sells} 买 {buys}", f"orders for {on}: {sells} to sell, {buys} to buy")
    rows = [
        f"{_side(envelope, order.side)} {_stock(order.code, order.name)} {_shares(envelope, order.shares)}"
        for order in sorted(given, key=lambda order: order.side is Side.BUY)
    ]
    return envelope.write(LetterKind.ORDERS, title, rows or [envelope.say("无委托", "no orders")])


def fills(envelope: Envelope, made: Sequence[Fill]) -> Message:
    """Return the letter about the fills of a session, with prices and fees."""
    bought, sold = (
        sum(fill.shares * fill.price for fill in made if fill.side is side) for side in (Side.BUY, Side.SELL)
    )
    fees = sum(fill.fees for fill in made)
    title = envelope.say(f"成交 {len(made)} 笔", f"{len(made)} fills")
    head = envelope.say(
        f"买入 {bought:,.2f} 元，卖出 {sold:,.2f} 元，费用 {fees:,.2f} 元",
        f"bought for {bought:,.2f} CNY, sold for {sold:,.2f} CNY, fees {fees:,.2f} CNY",
    )
    rows = [
        f"{_side(envelope, fill.side)} {_stock(fill.code, fill.name)} {_shares(envelope, fill.shares)}"
        f" @ {_price(fill.price)} {envelope.say('费用', 'fees')} {fill.fees:,.2f}"
        for fill in made
    ]
    return envelope.write(LetterKind.FILLS, title, [head, *rows])


def unfilled(envelope: Envelope, left: Sequence[Unfilled]) -> Message:
    """Return the letter about the orders of a session that did not get all they asked for."""
    title = envelope.say(f"未全部成交 {len(left)} 笔", f"{len(left)} orders not filled in full")
    rows = [
        f"{_side(envelope, order.side)} {_stock(order.code, order.name)} {order.filled:,}/{order.asked:,}"
        f" {reason(order.reason, envelope.language)}"
        for order in left
    ]
    return envelope.write(LetterKind.UNFILLED, title, rows or [envelope.say("全部成交", "all were filled")])


def events(envelope: Envelope, happened: Sequence[Event]) -> Message:
    """Return the letter about stops, switches, blacklist and watch."""
    title = envelope.say(f"风控事件 {len(happened)} 件", f"{len(happened)} risk events")
    rows = [
        f"{_RULES.get(event.rule, event.rule) if envelope.language == 'zh' else event.rule}"
        f"{' ' + event.code if event.code else ''}: {event.cause} -> {event.effect}"
        f" ({event.value:.4g} / {event.threshold:.4g})"
        for event in happened
    ]
    return envelope.write(LetterKind.EVENTS, title, rows or [envelope.say("无", "none")])


def summary(envelope: Envelope, day: Day) -> Message:
    """Return the letter about net value, cash and return after a session."""
    moved = "" if day.day_return is None else f" {day.day_return:+.2%}"
    title = envelope.say(f"净值 {day.net_value:,.2f} 元{moved}", f"net value {day.net_value:,.2f} CNY{moved}")
    rows = [
        envelope.say(f"净值 {day.net_value:,.2f} 元", f"net value {day.net_value:,.2f} CNY"),
        envelope.say(f"现金 {day.cash:,.2f} 元", f"cash {day.cash:,.2f} CNY"),
        envelope.say(f"持仓 {day.holdings} 只", f"{day.holdings} holdings"),
    ]
    returns = {
        envelope.say("当日收益", "return of the day"): day.day_return,
        envelope.say("当日基准", "benchmark of the day"): day.benchmark_return,
        envelope.say("累计收益", "return since the start"): day.total_return,
    }
    rows += [f"{what} {value:+.2%}" for what, value in returns.items() if value is not None]
    return envelope.write(LetterKind.SUMMARY, title, rows)


def refusal(envelope: Envelope, what: str, why: str, mend: str) -> Message:
    """Return the letter about a session that was refused; each refusal of a session has an id of its own."""
    title = envelope.say("已停止，需要处理", "refused, needs your attention")
    rows = [
        envelope.say(f"事项：{what}", f"what: {what}"),
        envelope.say(f"原因：{why}", f"why: {why}"),
        envelope.say(f"处理：{mend}", f"to mend: {mend}"),
    ]
    return envelope.write(LetterKind.REFUSAL, title, rows, about=f"{what}\n{why}\n{mend}")


def missed(envelope: Envelope, mend: str) -> Message:
    """Return the letter about a session that did not run."""
    title = envelope.say("当日未运行", "did not run")
    rows = [
        envelope.say(
            f"{envelope.session} 的交易日没有运行记录。", f"There is no run of the session {envelope.session}."
        ),
        envelope.say(f"处理：{mend}", f"to mend: {mend}"),
    ]
    return envelope.write(LetterKind.MISSED, title, rows)


def reason(why: Reason, language: Language) -> str:
    """Return why an order ended, in words."""
    return _REASONS[why][language == "en"]


def cut(text: str, limit: int, language: Language) -> str:
    """Return a text of at most ``limit`` bytes: whole lines, and how many more there are."""
    if len(text.encode()) <= limit:
        return text
    lines = text.split("\n")
    room = limit - len(more(len(lines), language).encode())
    kept = 0
    while (room := room - len(lines[kept].encode()) - 1) >= 0:
        kept += 1
    if kept:
        return "\n".join([*lines[:kept], more(len(lines) - kept, language)])
    return text.encode()[: max(0, limit - 3)].decode("utf-8", "ignore") + ("…" if limit >= 3 else "")


def more(count: int, language: Language) -> str:
    """Return the line that says how many lines were left out."""
    return f"… 还有 {count} 条" if language == "zh" else f"… {count} more"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _stock(code: str, name: str) -> str:
    return f"{code} {name}" if name else code


def _side(envelope: Envelope, side: Side) -> str:
    return envelope.say("买入", "buy") if side is Side.BUY else envelope.say("卖出", "sell")


def _shares(envelope: Envelope, shares: int) -> str:
    return envelope.say(f"{shares:,} 股", f"{shares:,} shares")


def _price(price: float) -> str:
    """Return a price with two decimals, or with the four that a mean of the day may have."""
    exact = f"{price:.4f}"
    return exact[:-2] if exact.endswith("00") else exact


_REASONS: Mapping[Reason, tuple[str, str]] = {
    Reason.FILLED: ("全部成交", "filled"),
    Reason.SUSPENDED: ("停牌", "suspended"),
    Reason.NOT_LISTED: ("未上市或已退市", "not listed"),
    Reason.LIMIT_UP: ("涨停", "at the upper limit"),
    Reason.LIMIT_DOWN: ("跌停", "at the lower limit"),
    Reason.LIMIT_PRICE: ("未到限价", "beyond its limit price"),
    Reason.LOT: ("不足一手", "less than a lot"),
    Reason.ORDER_MAXIMUM: ("超过单笔上限", "over the largest order"),
    Reason.POSITION_CAP: ("超过单只上限", "over the cap of one stock"),
    Reason.CASH: ("资金不足", "not enough cash"),
    Reason.NOT_SELLABLE: ("T+1 或无可卖股份", "bought today, or nothing to sell"),
    Reason.PARTICIPATION: ("超过成交量占比", "over its share of the volume"),
    Reason.STOP_ORDER: ("不支持止损单", "stop orders are not taken"),
    Reason.CANCELLED: ("已撤单", "cancelled"),
    Reason.HALTED: ("账户已暂停", "the account is halted"),
    Reason.RUN_ENDED: ("运行结束", "the run ended"),
}
_RULES = {
    "drawdown": "回撤",
    "volatility": "波动率",
    "stop": "止损",
    "blacklist": "黑名单",
    "watch": "因子监控",
    "daily_loss": "单日亏损",
    "gross": "总仓位",
}
