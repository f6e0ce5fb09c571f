"""Selection and sizing on hands full of names (SPEC 7)."""

from __future__ import annotations

import numpy as np
import pytest

from engine.portfolio.select import places, ranked, select
from engine.portfolio.size import orders, target_shares, weight
from engine.settings import SelectionSettings

S = SelectionSettings()


@pytest.mark.parametrize(
    ("members", "names"), [(1, 1), (19, 1), (20, 1), (39, 1), (40, 2), (1999, 99), (2000, 100), (5000, 100)]
)
def test_places(members, names):
    assert places(members, S) == names


def test_ties_break_by_code_and_unknown_scores_come_last():
    assert ranked(["c", "b", "a", "d"], np.array([1.0, 2.0, 2.0, np.nan])).tolist() == [2, 1, 0, 3]


def test_dropped_names_are_not_replaced():
    codes = [f"{i:06d}" for i in range(100)]
    scores = -np.arange(100.0)
    at_limit, turnover = np.zeros(100, dtype=bool), np.full(100, 3.0)
    at_limit[0], turnover[1], turnover[2] = True, 0.99, np.nan
    assert select(codes, scores, at_limit, turnover, S).tolist() == [3, 4]
    turnover[3] = 1.0  # at the bound it stays
    assert select(codes, scores, at_limit, turnover, S).tolist() == [3, 4]


def test_an_empty_universe_gives_nothing():
    assert select([], np.array([]), np.array([], dtype=bool), np.array([]), S).tolist() == []


@pytest.mark.parametrize(("names", "expected"), [(0, 0.0), (1, 0.02), (40, 0.02), (41, 0.8 / 41), (100, 0.008)])
def test_weight(names, expected):
    assert weight(names, S) == pytest.approx(expected)


def test_targets_are_whole_lots_of_the_equal_weight():
    assert target_shares(["a", "b"], {"a": 10.0, "b": 33.33}, 1_000_000.0, S) == {"a": 2000, "b": 600}


def test_orders_sell_first_and_buy_in_rank_order():
    wanted = {"b": 300, "a": 500, "d": 100}
    held = {"a": 200, "c": 700, "d": 400, "b": 300}
    assert orders(wanted, held) == [("c", -700), ("d", -300), ("a", 300)]
