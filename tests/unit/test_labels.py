"""Labels worked out by hand on a market of seven sessions and a horizon of two (SPEC 5, 13.11, 13.12)."""

from __future__ import annotations

import os

import numpy as np
import pytest

from engine.errors import DataNotFit
from engine.model.labels import DOWN, FLAT, UP, classes, labels
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
