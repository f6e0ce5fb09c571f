"""Which limits the bundle holds: the exchange's, the rule's where it has none, and neither where there is none."""

from __future__ import annotations

import os

import pytest

from engine.errors import Damaged, DataNotFit
from engine.panels.bundle import open_bundle
from tests.conftest import ingest
from tests.markets import Market, days_between

DAYS = days_between("20180305", "20180309")


def limits(market: Market, tmp_path) -> list[tuple[int, int]]:
    ingest(market, tmp_path / "market")
    panels = open_bundle("ashare").panels
    up, down = (panels.field(name)[:, 0].tolist() for name in ("up_limit", "down_limit"))
    return list(zip(up, down, strict=True))


def one(ts_code: str, name: str = "某某", listed: str = "20000104") -> Market:
    market = Market(DAYS).stock(ts_code, name, listed).index([5000.0] * 5)
    return market.bars(ts_code, [10.0] * 5)


def test_the_exchange_s_row_wins(home, tmp_path):
    market = one("600000.SH")
    market.tables["stk_limit"][1] |= {"up_limit": 12, "down_limit": 8}
    assert limits(market, tmp_path) == [(1100, 900), (1200, 800), *[(1100, 900)] * 3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("某某", (1100, 900)), ("*ST某某", (1050, 950)), ("S某某", (1050, 950)), ("某某退", (1100, 900))],
)
def test_the_rule_where_the_exchange_has_no_row(home, tmp_path, name, expected):
    market = one("600000.SH", name)
    market.tables["stk_limit"].clear()
    assert limits(market, tmp_path) == [expected] * 5


def test_one_wrong_fen_is_corrected_unless_a_trade_confirms_it(home, tmp_path):
    market = one("600000.SH")
    market.tables["stk_limit"][1] |= {"up_limit": 10.99}
    market.tables["stk_limit"][2] |= {"up_limit": 11.01}
    market.tables["daily"][2] |= {"high": 11.01}
    assert limits(market, tmp_path)[1:3] == [(1100, 900), (1101, 900)]
    assert open_bundle("ashare").panels.corrected_limits.tolist() == [[1, 0, 1099, 900]]


def test_bars_older_than_their_rules_need_the_exchange_s_rows(home, tmp_path):
    assert limits(one("430047.BJ"), tmp_path) == [(1100, 900)] * 5


@pytest.mark.usefixtures("holes")
def test_bars_older_than_their_rules_are_refused_without_them(home, tmp_path):
    market = one("430047.BJ")
    market.tables["stk_limit"].pop()
    with pytest.raises(DataNotFit, match=r"1 bars have no price limits, first 430047\.BJ on 2018-03-09"):
        ingest(market, tmp_path / "market")


def test_a_first_day_by_its_issue_price(home, tmp_path):
    market = one("603000.SH", listed="20180305")
    market.tables["stk_limit"].clear()
    assert limits(market, tmp_path) == [(1440, 640), *[(1100, 900)] * 4]


def test_a_mark_for_no_limit_may_be_any_large_number(home, tmp_path):
    market = one("600000.SH")
    market.tables["stk_limit"][1] |= {"up_limit": 99999999.99, "down_limit": 0}
    assert limits(market, tmp_path)[1] == (0, 0)


@pytest.mark.usefixtures("holes")
def test_a_missing_previous_close_is_the_last_close_moved_by_the_factor(home, tmp_path):
    """10.00 doubled into two shares: the reference of the third session is 5.00."""
    market = Market(DAYS).stock("600000.SH").index([5000.0] * 5)
    for row, day in enumerate(DAYS):
        market.bar("600000.SH", day, 10.0 if row < 2 else 5.0, adj=1.0 if row < 2 else 2.0)
    market.tables["daily"][2] |= {"pre_close": ""}
    market.tables["stk_limit"].pop(2)
    assert limits(market, tmp_path)[2] == (550, 450)


def test_a_stock_that_came_to_a_new_board_had_no_listing_day_there(home, tmp_path):
    days = days_between("20211110", "20211118")
    market = Market(days).stock("430047.BJ", listed="20211111").index([5000.0] * len(days))
    for day in days[3:]:
        market.bar("430047.BJ", day, 10.0)
    market.tables["stk_limit"].clear()
    assert limits(market, tmp_path)[0] == (1300, 700)


def test_what_nothing_explains_is_listed_by_stock_and_day(home, tmp_path):
    market = one("600000.SH")
    market.tables["adj_factor"][3] |= {"adj_factor": 1.25}
    market.tables["adj_factor"][4] |= {"adj_factor": 1.25}
    limits(market, tmp_path)
    (suspected,) = (tmp_path / "zipline" / "data" / "ashare").glob("*/suspected_rights.csv")
    assert suspected.read_text().splitlines() == ["ts_code,session,price_ratio", "600000.SH,2018-03-08,0.8"]


def test_a_flipped_byte_in_the_lake_stops_the_ingest(home, tmp_path):
    limits(one("600000.SH"), tmp_path)
    part = next((home / "lake").glob("daily/*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.chmod(0o644)
    part.write_bytes(bytes(content))
    from zipline.data import bundles

    with pytest.raises(Damaged):
        bundles.ingest("ashare", os.environ, show_progress=False)
