"""Whatever the market says: no target over the cap or the gross limit, nobody bought who is filtered or barred."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.portfolio.select import decide, places
from engine.portfolio.size import asked_again, orders, scaled, target_shares, turned_over
from engine.settings import SelectionSettings
from engine.types import Choice

HELD = (Choice.CHOSEN, Choice.KEPT)


@st.composite
def days(draw):
    """Draw a universe with scores, filters and holdings, and settings."""
    n = draw(st.integers(1, 60))
    numbers = st.one_of(st.just(np.nan), st.floats(-3, 3), st.sampled_from([0.5, 1.0]))
    column = lambda values: np.array(draw(st.lists(values, min_size=n, max_size=n)))  # noqa: E731
    settings = SelectionSettings(
        fraction=draw(st.sampled_from([0.05, 0.3, 1.0])),
        maximum_names=draw(st.sampled_from([1, 5, 100])),
        keep_fraction=draw(st.sampled_from([0.0, 0.2, 0.7])),
    )
    flags = [column(st.booleans()) for _ in range(4)]
    return [f"{i:06d}" for i in range(n)], column(numbers), flags, column(numbers), settings


@given(days())
def test_every_member_has_one_reason_and_nobody_filtered_is_chosen(day):
    codes, scores, (at_limit, held, stopped, barred), turnover, settings = day
    decided = decide(codes, scores, at_limit, turnover, settings, held, stopped, barred)
    chosen = decided.chosen
    assert sum(Counter(decided.reasons).values()) == len(codes)
    assert all(isinstance(reason, Choice) for reason in decided.reasons)
    assert len(chosen) <= places(len(codes), settings)
    assert not (at_limit | stopped | barred | np.isnan(scores) | ~(turnover >= 1.0))[chosen].any()
    assert (np.diff(scores[chosen]) <= 0).all()
    assert sorted(decided.ranks) == list(range(1, len(codes) + 1))
    if not settings.keep_fraction:
        assert set(decided.reasons) <= set(Choice) - {Choice.KEPT, Choice.NO_PLACE}
    assert held[decided.reasons == Choice.KEPT].all()


AMOUNT = st.integers(0, 50_000)
PRICE = st.floats(0.5, 2000)


@given(
    st.lists(PRICE, max_size=60),
    st.floats(1e4, 1e9),
    st.sampled_from([0.1, 0.4, 0.5, 0.8]),
    st.sampled_from([0.02, 0.3]),
)
def test_targets_keep_to_the_cap_and_to_the_limit_in_force(prices, net_value, limit, cap):
    settings = SelectionSettings(cap=cap)
    named = dict(enumerate(prices))
    targets = target_shares(list(named), named, net_value, settings, limit=limit)
    values = [shares * named[name] for name, shares in targets.items()]
    assert all(value <= cap * net_value * (1 + 1e-12) for value in values)
    assert sum(values) <= limit * net_value * (1 + 1e-12)
    assert all(shares % 100 == 0 for shares in targets.values())


@given(st.lists(st.tuples(AMOUNT, PRICE), min_size=1, max_size=20), st.floats(0.01, 1.0))
def test_scaled_holdings_keep_to_the_limit(held, part):
    """The gross held is scaled to a part of it; what is left is worth no more."""
    value = sum(shares * price for shares, price in held)
    left = scaled({i: shares for i, (shares, _) in enumerate(held)}, 1.0, part)
    assert sum(left[i] * price for i, (_, price) in enumerate(held)) <= value * part * (1 + 1e-9)
    assert all(0 <= left[i] <= shares for i, (shares, _) in enumerate(held))


@given(st.dictionaries(st.integers(0, 9), AMOUNT), st.dictionaries(st.integers(0, 9), st.tuples(AMOUNT, st.booleans())))
def test_no_order_sells_what_cannot_be_sold_and_sells_come_first(targets, positions):
    held = {name: shares for name, (shares, _) in positions.items()}
    sellable = {name: shares if free else shares // 3 for name, (shares, free) in positions.items()}
    placed = orders(targets, held, sellable)
    assert all(shares >= -sellable.get(name, 0) for name, shares in placed)
    signs = [shares > 0 for _, shares in placed]
    assert signs == sorted(signs)
    for name, shares in orders(targets, held):
        assert held.get(name, 0) + shares == targets.get(name, 0)


@given(st.lists(st.tuples(st.integers(-50_000, 50_000), PRICE), max_size=20), st.floats(-1e6, 1e7))
def test_what_is_asked_again_fits_into_the_room(wishes, room):
    unfilled = [(i, shares) for i, (shares, _) in enumerate(wishes)]
    prices = {i: price for i, (_, price) in enumerate(wishes)}
    placed = asked_again(unfilled, dict.fromkeys(prices, 700), prices, room)
    assert sum(shares * prices[name] for name, shares in placed if shares > 0) <= max(room, 0) * (1 + 1e-12)
    assert all(shares >= -700 for _, shares in placed)
    assert all(abs(shares) <= abs(wishes[name][0]) and shares * wishes[name][0] > 0 for name, shares in placed)


@given(st.dictionaries(st.integers(0, 9), AMOUNT), st.dictionaries(st.integers(0, 9), AMOUNT), st.floats(0, 1e7))
def test_the_buys_keep_to_their_budget_and_the_sells_are_left_alone(targets, held, budget):
    prices = dict.fromkeys(range(10), 7.3)
    cut = turned_over(targets, held, prices, budget)
    assert sum(max(cut[name] - held.get(name, 0), 0) * 7.3 for name in cut) <= budget * (1 + 1e-12)
    for name, wanted in targets.items():
        assert cut[name] == wanted if wanted <= held.get(name, 0) else held.get(name, 0) <= cut[name] <= wanted
