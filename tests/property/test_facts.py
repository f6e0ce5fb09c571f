"""Events of the book written down and read back are the same events, and their book is the same book."""

from __future__ import annotations

import copy
import datetime as dt
import json
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import AshareError, Damaged
from engine.paper.facts import event_from_json, event_to_json
from engine.paper.journal import canonical
from engine.portfolio.book import Book, BookError, Deposit, Event, ExDividend, Filled, Left, Opened, Subscribed
from engine.types import Side
from tests.security.mutations import VALUES, spoilt_json

DAYS = st.dates(dt.date(2010, 1, 4), dt.date(2026, 12, 31))
STOCKS = st.sampled_from(["600000.SH", "000001.SZ", "300750.SZ", 7])
COUNTS = st.integers(0, 10**6)
FRACTIONS = st.fractions(0, 5, max_denominator=10**6)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Deposit, st.integers(-(10**9), 10**13)),
    st.builds(Opened, DAYS),
    st.builds(Filled, STOCKS, st.sampled_from(Side), COUNTS, COUNTS, st.integers(0, 9000)),
    st.builds(ExDividend, STOCKS, DAYS, st.one_of(DAYS, st.just(dt.date.max)), FRACTIONS, FRACTIONS, FRACTIONS),
    st.builds(Subscribed, STOCKS, COUNTS, COUNTS, DAYS),
    st.builds(Left, STOCKS, FRACTIONS, st.one_of(st.none(), STOCKS), FRACTIONS),
)


def reread(event: Event) -> Event:
    return event_from_json(json.loads(canonical(event_to_json(event))))


@given(EVENTS)
def test_an_event_read_back_is_the_same(event):
    again = reread(event)
    assert again == event
    assert [type(value) for value in vars(again).values()] == [type(value) for value in vars(event).values()]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Return a history a book accepts: sessions in order, with purchases, sales, dividends and rights between."""
    book, events = Book(), list[Event]()

    def take(event: Event) -> None:
        try:
            book.apply(event)
        except BookError:
            return
        events.append(event)

    day = dt.date(2012, 9, 3)
    take(Deposit(10**9))
    for _ in range(draw(st.integers(1, 12))):
        day += dt.timedelta(days=draw(st.sampled_from([1, 3, 31, 200])))
        take(Opened(day))
        for stock in sorted(book.positions(), key=str):
            terms = draw(st.tuples(FRACTIONS, FRACTIONS, st.integers(0, 40)))
            pay = day + dt.timedelta(days=terms[2])
            take(ExDividend(stock, day - dt.timedelta(days=1), pay, terms[0], terms[0] + terms[1], terms[1]))
        for event in draw(st.lists(EVENTS, max_size=4)):
            if not isinstance(event, Opened | ExDividend):
                take(event)
        for stock in sorted(book.positions(), key=str):
            part = book.sellable(stock) * draw(st.integers(0, 3)) // 3
            if part:
                take(Filled(stock, Side.SELL, part, part * 1234, 500))
    return events


@given(histories())
def test_the_book_of_what_was_read_back_is_the_book(events):
    assert state(Book().fold(map(reread, events))) == state(Book().fold(events))


def state(book: Book) -> dict[str, object]:
    return {**vars(book), "_entitled": book._entitled, "_purchases": book._purchases}


GOOD = event_to_json(
    ExDividend("600000.SH", dt.date(2018, 3, 5), dt.date(2018, 3, 8), Fraction(1, 3), Fraction(1), Fraction(0))
)
FILL = event_to_json(Filled("600000.SH", Side.BUY, 100, 1000_00, 5_00))


def test_the_form_on_disk():
    assert GOOD == {
        "kind": "ExDividend",
        "stock": "600000.SH",
        "record": "2018-03-05",
        "pay": "2018-03-08",
        "cash": "1/3",
        "taxed": "1",
        "shares": "0",
    }
    assert canonical(FILL) == (
        b'{"fees":500,"kind":"Filled","shares":100,"side":"buy","stock":"600000.SH","value":100000}'
    )


WRONG = [
    {**GOOD, "kind": "Event"},
    {**GOOD, "cash": "1/0"},
    {**GOOD, "cash": "1e999999999"},
    {**GOOD, "cash": "2/6"},
    {**GOOD, "cash": "-1"},
    {**GOOD, "cash": 0.1},
    {**GOOD, "cash": None},
    {**GOOD, "cash": "9" * 5000},
    {**GOOD, "record": "20180305"},
    {**GOOD, "record": "2018-W10-1"},
    {**GOOD, "stock": True},
    {**GOOD, "stock": None},
    {**GOOD, "more": 1},
    {key: value for key, value in GOOD.items() if key != "pay"},
    {**FILL, "side": "hold"},
    {**FILL, "shares": 100.0},
    {**FILL, "shares": True},
    {**FILL, "shares": -100},
    {**FILL, "fees": -1},
    {**FILL, "value": "100000"},
    *VALUES,
]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:60].encode("ascii", "replace").decode())
def test_what_is_no_event_is_refused(value):
    with pytest.raises(Damaged):
        event_from_json(value)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_spoilt_events_bring_only_our_errors(count):
    taken = 0
    for seed in range(count):
        rng = random.Random(seed)
        body = spoilt_json(rng, copy.deepcopy(rng.choice([GOOD, FILL])))
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            continue
        try:
            event_to_json(event_from_json(value))
            taken += 1
        except AshareError:
            continue
    assert 0 < taken < count / 3
