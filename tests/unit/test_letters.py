"""Letters: what stands in them, in two languages, and how long they may be."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.paper import letters
from engine.paper.letters import Day, Envelope, Fill, Ordered, Pick, Unfilled
from engine.types import Event, LetterKind, Reason, Side

DAY = dt.date(2018, 3, 5)
ZH, EN = Envelope("mine", DAY), Envelope("mine", DAY, "en")


def test_picks():
    chosen = [Pick(1, "600000.SH", 0.61239, "浦发银行"), Pick(2, "000001.SZ")]
    letter = letters.picks(ZH, chosen)
    assert letter.id == "mine-20180305-picks"
    assert letter.kind == LetterKind.PICKS
    assert letter.session == DAY
    assert letter.title == "[ashare mine] 2018-03-05 选股 2 只"
    assert letter.body == "1. 600000.SH 浦发银行 0.6124\n2. 000001.SZ"
    assert letters.picks(EN, chosen).title == "[ashare mine] 2018-03-05 2 picks"
    assert letters.picks(EN, []).body == "nothing was chosen"


def test_orders_name_their_session_and_sells_come_first():
    given_ = [Ordered("600000.SH", Side.BUY, 12_300), Ordered("000004.SZ", Side.SELL, 100, "*ST国华")]
    letter = letters.orders(EN, dt.date(2018, 3, 6), given_)
    assert letter.title == "[ashare mine] 2018-03-05 orders for 2018-03-06: 1 to sell, 1 to buy"
    assert letter.body == "sell 000004.SZ *ST国华 100 shares\nbuy 600000.SH 12,300 shares"
    assert (
        letters.orders(ZH, dt.date(2018, 3, 6), given_).body
        == "卖出 000004.SZ *ST国华 100 股\n买入 600000.SH 12,300 股"
    )
    assert letters.orders(ZH, dt.date(2018, 3, 6), []).body == "无委托"


def test_fills_are_summed_up():
    made = [Fill("600000.SH", Side.BUY, 1000, 12.5, 5.25), Fill("000001.SZ", Side.SELL, 200, 10.1234, 7.02)]
    assert letters.fills(EN, made).body.splitlines() == [
        "bought for 12,500.00 CNY, sold for 2,024.68 CNY, fees 12.27 CNY",
        "buy 600000.SH 1,000 shares @ 12.50 fees 5.25",
        "sell 000001.SZ 200 shares @ 10.1234 fees 7.02",
    ]
    assert letters.fills(ZH, made).body.splitlines()[0] == "买入 12,500.00 元，卖出 2,024.68 元，费用 12.27 元"


def test_unfilled_orders_say_why():
    left = [Unfilled("600000.SH", Side.BUY, 1000, 300, Reason.LIMIT_UP, "浦发银行")]
    assert letters.unfilled(ZH, left).body == "买入 600000.SH 浦发银行 300/1,000 涨停"
    assert letters.unfilled(EN, left).body == "buy 600000.SH 浦发银行 300/1,000 at the upper limit"
    for why in Reason:
        assert letters.reason(why, "zh") != letters.reason(why, "en")


def test_events():
    happened = [
        Event("stop", "fell", -0.12, -0.1, "sold until gone", "600000.SH"),
        Event("volatility", "switched on", 31.25, 25.0, "gross limit 0.5"),
    ]
    assert letters.events(EN, happened).body.splitlines() == [
        "stop 600000.SH: fell -> sold until gone (-0.12 / -0.1)",
        "volatility: switched on -> gross limit 0.5 (31.25 / 25)",
    ]
    assert letters.events(ZH, happened).body.startswith("止损 600000.SH: ")


def test_summary():
    letter = letters.summary(EN, Day(1_012_345.678, 200_000.0, 17, 0.0123, 0.0456, -0.001))
    assert letter.title == "[ashare mine] 2018-03-05 net value 1,012,345.68 CNY +1.23%"
    assert letter.body.splitlines()[1:] == [
        "cash 200,000.00 CNY",
        "17 holdings",
        "return of the day +1.23%",
        "benchmark of the day -0.10%",
        "return since the start +4.56%",
    ]
    assert letters.summary(ZH, Day(1.0, 1.0, 0)).body == "净值 1.00 元\n现金 1.00 元\n持仓 0 只"


def test_refusals_of_a_day_have_ids_of_their_own():
    one = letters.refusal(ZH, "今日数据", "daily 只有 3000 行", "ashare data sync")
    assert one == letters.refusal(ZH, "今日数据", "daily 只有 3000 行", "ashare data sync")
    assert one.id != letters.refusal(ZH, "今日数据", "daily 只有 3001 行", "ashare data sync").id
    assert one.body == "事项：今日数据\n原因：daily 只有 3000 行\n处理：ashare data sync"
    missed = letters.missed(EN, "ashare paper run")
    assert missed.id == "mine-20180305-missed"
    assert missed.body == "There is no run of the session 2018-03-05.\nto mend: ashare paper run"


def test_a_line_of_a_letter_is_one_line():
    letter = letters.refusal(EN, "a\nb", "c\x00\u202ed", "e\r\nf")
    assert letter.body == "what: a b\nwhy: c d\nto mend: e f"


def test_a_long_letter_says_how_much_is_left_out():
    letter = letters.picks(EN, [Pick(n, f"{n:06d}.SH", 0.5, "浦发银行") for n in range(1, 5001)])
    *kept, last = letter.body.split("\n")
    assert len(letter.body.encode()) <= letters.LIMIT < len(letter.body.encode()) + 60
    assert last == f"… {5000 - len(kept)} more"
    assert letters.cut("一\n二\n三", 24, "zh") == "一\n二\n三"
    assert letters.cut("一二三\n四五六\n七八九", 28, "zh") == "一二三\n… 还有 2 条"
    assert letters.cut("浦发银行", 10, "zh") == "浦发…"


@given(st.lists(st.text("ab浦 ", max_size=9), max_size=9), st.integers(0, 99), st.sampled_from(["zh", "en"]))
def test_what_is_cut_has_room(lines, limit, language):
    text = "\n".join(lines)
    shorter = letters.cut(text, limit, language)
    assert len(shorter.encode()) <= limit
    if len(text.encode()) <= limit:
        assert shorter == text


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_title_begins_with_the_keyword(language):
    envelope = Envelope("mine", DAY, language)
    made = [
        letters.picks(envelope, []),
        letters.orders(envelope, DAY, []),
        letters.fills(envelope, []),
        letters.unfilled(envelope, []),
        letters.events(envelope, []),
        letters.summary(envelope, Day(1.0, 1.0, 0)),
        letters.refusal(envelope, "a", "b", "c"),
        letters.missed(envelope, "a"),
    ]
    assert {letter.kind for letter in made} == set(LetterKind)
    assert len({letter.id for letter in made}) == len(made)
    for letter in made:
        assert letter.title.startswith("[ashare mine] 2018-03-05 ")
        assert letter.body
