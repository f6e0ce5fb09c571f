"""``engine.prove.rules`` on a market in which each stock is wrong in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.prove.rules import CAUSES, Cause, compare
from tests.conftest import ingest
from tests.markets import Market, days_between

DAYS = days_between("20180102", "20180620")
"""110 sessions and more: so many bars disprove a record."""
AT = DAYS[40]


def calm() -> Market:
    """Return a stock at 10.00 whose recorded limits are the rule's, 11.00 and 9.00."""
    return with_stock(Market(DAYS).index([5000.0] * len(DAYS)), "600000.SH")


def with_stock(market: Market, code: str, first: int = 0, last: int = len(DAYS), **more: Any) -> Market:
    """Add a stock at 10.00 in some of the sessions."""
    market.stock(code, **more)
    for day in DAYS[first:last]:
        market.bar(code, day, 10.0)
    return market


def record(market: Market, code: str, up: float | None, down: float | None, *days: str) -> None:
    """Change the exchange's rows of a stock."""
    for row in market.tables["stk_limit"]:
        if row["ts_code"] == code and row["trade_date"] in (days or (AT,)):
            row |= {"up_limit": up, "down_limit": down}


def bar(market: Market, code: str, day: str = AT, **values: Any) -> None:
    """Change one bar of a stock."""
    for row in market.tables["daily"]:
        if row["ts_code"] == code and row["trade_date"] == day:
            row.update(values)


def one_fen(market: Market, code: str) -> None:
    with_stock(market, code)
    record(market, code, 10.99, 9.0)


def few_fen(market: Market, code: str) -> None:
    with_stock(market, code)
    record(market, code, 11.02, 9.0)


def unmarked_delisting_period(market: Market, code: str) -> None:
    """A *ST stock, 5 %, with 10 % in the last 30 bars before it left, and no name that says so."""
    with_stock(market, code, last=80, name="*ST某某", delisted=DAYS[80])
    record(market, code, 10.5, 9.5, *DAYS[:50])


def wrong_name(market: Market, code: str) -> None:
    """ST by name, 10 % by the record for three sessions, and a trade at 10.80 in the second."""
    with_stock(market, code, name="ST某某")
    record(market, code, 10.5, 9.5, *DAYS[:40], *DAYS[43:])
    bar(market, code, DAYS[41], high=10.8)


def undecided_name(market: Market, code: str) -> None:
    with_stock(market, code, name="ST某某")
    record(market, code, 10.5, 9.5, *DAYS[:40], *DAYS[43:])


def wrong_record(market: Market, code: str) -> None:
    """ST by name, 10 % by the record in every session, and no trade beyond 5 %."""
    with_stock(market, code, name="ST某某")


def resumption(market: Market, code: str) -> None:
    """Five sessions without a bar, and a limit of the exchange's own in the next."""
    with_stock(market, code, last=40)
    for day in DAYS[45:]:
        market.bar(code, day, 10.0)
    record(market, code, 14.0, 5.0, DAYS[45])


def short_absence(market: Market, code: str) -> None:
    """Four sessions explain nothing."""
    with_stock(market, code, last=40)
    for day in DAYS[44:]:
        market.bar(code, day, 10.0)
    record(market, code, 14.0, 5.0, DAYS[44])


def listing_without_previous_close(market: Market, code: str) -> None:
    with_stock(market, code, first=40, listed=AT)
    bar(market, code, pre_close=None)
    record(market, code, 14.4, 6.4)


def conversion(market: Market, code: str) -> None:
    """The factor doubles, the record starts from 5.00, and the previous close given is still 10.00."""
    with_stock(market, code)
    for row in market.tables["adj_factor"]:
        if row["ts_code"] == code and row["trade_date"] >= AT:
            row["adj_factor"] = 2.0
    record(market, code, 5.5, 4.5)


def other_reference(market: Market, code: str) -> None:
    with_stock(market, code)
    record(market, code, 13.2, 10.8)  # 10 % around 12.00


def widened(market: Market, code: str) -> None:
    with_stock(market, code)
    bar(market, code, high=11.4)
    record(market, code, 11.5, 9.0)


def odd(market: Market, code: str) -> None:
    with_stock(market, code)
    record(market, code, 14.0, 5.0)


def limited_though_free(market: Market, code: str) -> None:
    """Listed by a swap of shares: no limit by the rule, and the record has one."""
    with_stock(market, code, first=40, listed=AT)
    record(market, code, 14.4, 6.4)


EXPLAINED = [
    (one_fen, Cause.ONE_FEN, 1),
    (few_fen, Cause.FEW_FEN, 1),
    (unmarked_delisting_period, Cause.DELISTING_UNMARKED, 30),
    (wrong_name, Cause.NAME_CONTRADICTED, 3),
    (undecided_name, Cause.OTHER_BAND, 3),
    (wrong_record, Cause.RECORD_CONTRADICTED, len(DAYS)),
    (resumption, Cause.RESUMPTION, 1),
    (short_absence, Cause.UNEXPLAINED, 1),
    (listing_without_previous_close, Cause.NO_PREVIOUS_CLOSE, 1),
    (conversion, Cause.CONVERSION, 1),
    (other_reference, Cause.OTHER_REFERENCE, 1),
    (widened, Cause.TRADED_BEYOND, 1),
    (odd, Cause.UNEXPLAINED, 1),
    (limited_though_free, Cause.FIRST_DAY, 1),
]


def proof_of(market: Market, folder: Path) -> Any:
    from engine.panels.bundle import open_bundle

    ingest(market, folder)
    return compare(open_bundle("ashare").panels)


def code_of(number: int) -> str:
    """Return the code of a stock of ``EXPLAINED``; only real codes are known to be listed by a swap."""
    return "600023.SH" if EXPLAINED[number][0] is limited_though_free else f"6001{number:02}.SH"


@pytest.mark.usefixtures("home")
def test_each_difference_has_its_cause(tmp_path: Path) -> None:
    market = calm()
    for number, (make, _, _) in enumerate(EXPLAINED):
        make(market, code_of(number))
    proof = proof_of(market, tmp_path / "market")
    found = dict(proof.exceptions.group_by("ts_code").agg(pl.col("cause").unique(), pl.len()).rows_by_key("ts_code"))
    expected = {code_of(n): [([str(cause)], count)] for n, (_, cause, count) in enumerate(EXPLAINED)}
    assert found == expected
    assert {cause for _, cause, _ in EXPLAINED} == set(Cause) == set(CAUSES)
    assert proof.counts()[Cause.UNEXPLAINED] == 2
    assert proof.bars == proof.recorded == proof.compared == len(market.tables["daily"])
    assert proof.equal == proof.bars - sum(count for _, _, count in EXPLAINED)


@pytest.mark.usefixtures("home")
def test_both_limits_of_an_exception_are_named(tmp_path: Path) -> None:
    market = calm()
    one_fen(market, "600100.SH")
    proof = proof_of(market, tmp_path / "market")
    (line,) = proof.exceptions.iter_rows(named=True)
    assert f"{line.pop('session'):%Y%m%d}" == AT
    assert line == {
        "ts_code": "600100.SH", "cause": "one_fen",
        "recorded_up": 10.99, "recorded_down": 9.0, "rule_up": 11.0, "rule_down": 9.0,
    }  # fmt: skip
    assert proof.corrected == 1  # no trade confirms it: orders meet 11.00


@pytest.mark.usefixtures("home")
def test_a_trade_confirms_a_record_that_is_one_fen_off(tmp_path: Path) -> None:
    market = calm()
    with_stock(market, "600100.SH")
    bar(market, "600100.SH", high=11.01)
    record(market, "600100.SH", 11.01, 9.0)
    proof = proof_of(market, tmp_path / "market")
    assert (proof.counts(), proof.corrected) == ({Cause.ONE_FEN: 1}, 0)


@pytest.mark.usefixtures("home")
def test_rows_without_a_limit_are_counted_and_not_compared(tmp_path: Path) -> None:
    """A listing day of 2018 with 44 % by rule, one of a swap of shares without any, and a calm session."""
    market = calm()
    with_stock(market, "603001.SH", first=40, listed=AT)
    with_stock(market, "601155.SH", first=40, listed=AT)
    for code in ("603001.SH", "601155.SH", "600000.SH"):
        record(market, code, None, None)
    proof = proof_of(market, tmp_path / "market")
    assert (proof.without_limit, proof.without_limit_by_rule) == (3, 1)
    assert proof.compared == proof.recorded - 3 == proof.equal


@pytest.mark.usefixtures("home")
@pytest.mark.usefixtures("holes")
def test_bars_without_a_row_of_the_exchange_are_not_compared(tmp_path: Path) -> None:
    market = calm()
    market.tables["stk_limit"] = [row for row in market.tables["stk_limit"] if row["trade_date"] > AT]
    proof = proof_of(market, tmp_path / "market")
    assert (proof.bars, proof.recorded, proof.equal) == (len(DAYS), len(DAYS) - 41, len(DAYS) - 41)


@pytest.mark.parametrize(("make", "code"), [(one_fen, 0), (odd, 4)])
@pytest.mark.usefixtures("home")
def test_a_difference_without_a_cause_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, code: int
) -> None:
    from engine.cli.main import main

    market = calm()
    make(market, "600100.SH")
    ingest(market, tmp_path / "market")
    with pytest.raises(SystemExit) as ended:
        main(["prove", "rules", "--out", "exceptions.parquet"])
    assert ended.value.code == code
    said, complaint = capsys.readouterr()
    assert pl.read_parquet("exceptions.parquet")["ts_code"].to_list() == ["600100.SH"]
    assert (f"600100.SH {market_day(AT)}: recorded 14.00, by rule 11.00" in said) is (make is odd)
    assert ("1 limits differ without a cause, 0 vectors are wrong" in complaint) is (make is odd)


def market_day(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def test_the_demo_market_keeps_to_the_rulebook(demo: Path) -> None:
    """Its limits were drawn session by session; names, listings and delistings reach the proof by another way."""
    from engine.panels.bundle import open_bundle

    proof = compare(open_bundle("ashare").panels)
    assert proof.equal == proof.compared > 20_000
    assert proof.without_limit == proof.without_limit_by_rule
