"""Labels worked out by hand on a market of seven sessions and a horizon of two (SPEC 5, 13.11, 13.12)."""

from __future__ import annotations

import os

import numpy as np
import pytest

from engine.errors import DataNotFit
from engine.model.factor_ic import forward_returns
from engine.model.label_columns import LabelColumns
from engine.model.labels import DOWN, FLAT, UP, Unlabelled, classes, labels
from engine.panels.bundle import open_bundle
from engine.settings import LabelSettings
from tests.conftest import ingest
from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180313")
S = LabelSettings(horizon=2)


def market() -> Market:
    m = Market(DAYS)
    m.stock("600000.SH").bars("600000.SH", [10.0, 10.0, 10.5, 11.0, 11.0, 11.0, 11.0])  # opens at its close
    m.stock("600001.SH").bars("600001.SH", [10.0, None, 10.0, 10.0, None, 10.0, 10.0])  # suspended on 2 and 5
    m.stock("600002.SH").bars("600002.SH", [10.0, 10.0, 11.0, 11.0, 11.0, 11.0, 11.0])  # opens limit-up on 3
    m.stock("600003.SH", delisted=DAYS[4])
    for day in DAYS[:4]:
        m.bar("600003.SH", day, 10.0)
    m.stock("600004.SH")
    for day, close, adj in zip(DAYS, (20, 20, 20, 10, 10, 10, 10), (1, 1, 1, 2, 2, 2, 2), strict=True):
        m.bar("600004.SH", day, close, pre_close=close, adj=adj)  # ten for ten on 4: nothing gained
    return m.index([1000.0, 1000.0, 1000.0, 1010.0, 1010.0, 1010.0, 1010.0])


@pytest.fixture
def found(home, tmp_path):
    ingest(market(), tmp_path / "market")
    return labels(open_bundle("ashare", None, os.environ).panels, S)


def test_excess_returns(found):
    """A decision on session t buys at the open of t+1 and sells at that of t+3; four sessions have a label."""
    nan = np.nan
    own = np.array(
        [
            # 600000     600001   600002     600003        600004
            [11 / 10 - 1, nan, 11 / 10 - 1, 0.0, 0.0],
            [11 / 10.5 - 1, 0.0, nan, -1.0, 0.0],
            [0.0, 0.0, 0.0, -1.0, 0.0],
            [0.0, nan, 0.0, nan, 0.0],
        ]
    )
    expected = own - np.array([0.01, 0.01, 0.0, 0.0])[:, None]
    np.testing.assert_allclose(found.excess, expected, atol=1e-12)


def test_a_delisting_inside_the_window_counts_with_its_loss(found):
    assert found.total_losses == [(1, 3), (2, 3)]


def test_why_there_is_no_label(found):
    suspended, limit_up, not_listed = Unlabelled.SUSPENDED, Unlabelled.LIMIT_UP, Unlabelled.NOT_LISTED
    assert found.reasons.tolist() == [
        [0, suspended, 0, 0, 0],
        [0, 0, limit_up, 0, 0],
        [0, 0, 0, 0, 0],
        [0, suspended, 0, not_listed, 0],  # 600003 left on the session a buyer would have bought on
    ]
    np.testing.assert_array_equal(found.reasons == 0, ~np.isnan(found.excess))


def test_labels_as_columns(found):
    columns = LabelColumns(open_bundle().panels, S)
    rows, sids = np.array([0, 0, 1, 1, 1, 3, 4, 6]), np.array([0, 1, 2, 3, 1, 3, 0, 4])
    table = {column.name: column.to_list() for column in columns(rows, sids)}
    assert table == {
        "excess": [pytest.approx(0.09), None, None, pytest.approx(-1.01), pytest.approx(-0.01), None, None, None],
        "label_class": ["up", None, None, "down", "flat", None, None, None],
        "no_label": [None, "suspended", "limit_up", None, None, "not_listed", "incomplete", "incomplete"],
        "total_loss": [False, False, False, True, False, False, False, False],
        "label_known": ["20180308", None, None, "20180309", "20180309", None, None, None],
    }
    assert columns.told() == (
        "3 labels; none: 1 suspended, 1 limit_up, 1 not_listed, 2 incomplete; "
        "1 stock is delisted inside a label: 600003.SH"
    )


def test_forward_returns_over_other_horizons(found):
    """Over one session: bought at the open of t+1, sold at that of t+2; rows 2 to 6, of which 5 and 6 are not over."""
    nan = np.nan
    own = np.array(
        [
            # 600000  600001 600002 600003 600004
            [0.0, 0.0, 0.0, -1.0, 0.0],
            [0.0, nan, 0.0, nan, 0.0],
            [0.0, 0.0, 0.0, nan, 0.0],
            [nan] * 5,
            [nan] * 5,
        ]
    )
    returns = forward_returns(open_bundle().panels, S, [1, 2, 9], 2, 6)
    np.testing.assert_allclose(returns[1], own, atol=1e-12)  # the index stands still from the fourth session on
    np.testing.assert_array_equal(returns[2][:2], found.excess[2:])
    assert np.isnan(returns[2][2:]).all()
    assert np.isnan(returns[9]).all()


def test_a_suspended_exit_is_at_the_last_close(home, tmp_path):
    m = Market(DAYS[:4]).stock("600000.SH").stock("600001.SH").bars("600001.SH", [10.0] * 4)
    for day, open_, close in zip(DAYS, (10.0, 10.0, 10.0), (10.0, 10.0, 10.8), strict=False):
        m.bar("600000.SH", day, close, open=open_)
    ingest(m.index([1000.0] * 4), tmp_path / "market")
    found = labels(open_bundle().panels, LabelSettings(horizon=1))
    np.testing.assert_allclose(found.excess, [[0.0, 0.0], [0.08, 0.0]], atol=1e-12)


def test_classes():
    assert classes(np.array([-0.021, -0.02, 0.0, 0.02, 0.021]), LabelSettings()).tolist() == [
        DOWN,
        FLAT,
        FLAT,
        FLAT,
        UP,
    ]


@pytest.mark.usefixtures("holes")
@pytest.mark.parametrize("change", ["none", "gap"])
def test_a_missing_index_session_is_an_error(home, tmp_path, change):
    m = market()
    m.tables["index_daily"] = [] if change == "none" else m.tables["index_daily"][:2] + m.tables["index_daily"][3:]
    ingest(m, tmp_path / "market")
    with pytest.raises(DataNotFit, match=r"000905\.SH"):
        labels(open_bundle().panels, S)
