"""The calendar beyond the library: pretend that the library ends on 2018-06-29, and trade_cal goes on."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from exchange_calendars import get_calendar
from exchange_calendars.exchange_calendar_xshg import XSHGExchangeCalendar

from bundles.calendars import require_agreement, take_in
from bundles.importer import import_folder
from bundles.lake import Lake
from engine import calendar, clock, settings
from engine.errors import BadInput, Damaged, DataNotFit
from tests.conftest import ingest
from tests.markets import Market

END = dt.date(2018, 6, 29)
ONE_DAY = dt.timedelta(days=1)
REAL = frozenset(calendar.sessions().tolist())


def trade_cal(first: str, last: str, **changed: int) -> pl.DataFrame:
    """Return the exchange's true calendar, but for days given as d20180702=0."""
    days = pd.date_range(first, last).date
    rows = [("SSE", day, changed.get(f"d{day:%Y%m%d}", int(day in REAL))) for day in days]
    return pl.DataFrame(rows, schema=["exchange", "cal_date", "is_open"], orient="row")


@pytest.fixture
def short_library(home: Path) -> Iterator[Path]:
    """Return a home in which the library ends with June 2018."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(XSHGExchangeCalendar, "bound_max", classmethod(lambda cls: pd.Timestamp(END)))
        calendar.refresh()
        yield home
    calendar.refresh()


def days_of(first: str, last: str) -> list[dt.date]:
    return [day for day in calendar.sessions().tolist() if first <= str(day) <= last]


def true_days(first: str, last: str) -> list[dt.date]:
    return sorted(day for day in REAL if first <= str(day) <= last)


def test_the_pretended_library_ends(short_library: Path) -> None:
    assert calendar.next_session(END) is None
    assert calendar.calendar().last_session == pd.Timestamp(END)
    assert calendar.calendar().bound_max() == pd.Timestamp(END)


def test_the_calendar_goes_on_with_trade_cal(short_library: Path) -> None:
    take_in(trade_cal("2018-06-01", "2018-12-31"))
    assert days_of("2018-06-01", "2019") == true_days("2018-06-01", "2018-12-31")
    assert calendar.calendar().bound_max() == pd.Timestamp("2018-12-31")
    for name in ("XSHG", "SSE"):
        assert get_calendar(name).last_session == pd.Timestamp("2018-12-28")
    assert get_calendar("XSHG", end="2018-10-09").sessions[-2:].strftime("%m%d").tolist() == ["1008", "1009"]


def test_a_day_the_library_would_open_is_closed_and_what_is_known_survives_the_process(short_library: Path) -> None:
    take_in(trade_cal("2018-06-01", "2018-07-31", d20180702=0))
    calendar.refresh()
    assert days_of("2018-06-29", "2018-07-04") == [END, dt.date(2018, 7, 3), dt.date(2018, 7, 4)]
    assert calendar.next_session(END) == dt.date(2018, 7, 3)


def test_two_answers_are_joined_and_the_newer_one_stands(short_library: Path) -> None:
    take_in(trade_cal("2018-06-01", "2018-07-31", d20180702=0))
    take_in(trade_cal("2018-07-02", "2018-07-02"))
    take_in(trade_cal("2018-08-01", "2018-08-31"))
    assert days_of("2018-06-29", "2019") == true_days("2018-06-29", "2018-08-31")


def test_it_goes_on_only_as_far_as_every_day_is_known(short_library: Path) -> None:
    known = trade_cal("2018-06-30", "2018-12-31")
    take_in(known.filter(pl.col("cal_date") != dt.date(2018, 9, 4)))
    assert calendar.calendar().bound_max() == pd.Timestamp("2018-09-03")
    take_in(trade_cal("2018-09-01", "2018-09-30"))
    assert calendar.calendar().bound_max() == pd.Timestamp("2018-09-30")


def test_nothing_is_written_where_nothing_is_new(short_library: Path) -> None:
    take_in(trade_cal("2018-06-01", "2018-06-29"))
    take_in(trade_cal("2018-07-05", "2018-07-31"))
    assert not (short_library / "calendar.json").exists()
    assert calendar.calendar().bound_max() == pd.Timestamp(END)


def test_an_upgraded_library_speaks_for_itself(short_library: Path) -> None:
    take_in(trade_cal("2018-06-01", "2018-07-31", d20180702=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(XSHGExchangeCalendar, "bound_max", classmethod(lambda cls: pd.Timestamp("2018-12-31")))
        calendar.refresh()
        assert days_of("2018-06-29", "2018-07-31") == true_days("2018-06-29", "2018-07-31")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(XSHGExchangeCalendar, "bound_max", classmethod(lambda cls: pd.Timestamp("2018-06-27")))
        calendar.refresh()
        assert calendar.calendar().bound_max() == pd.Timestamp("2018-06-27"), "the 28th and 29th are not known"


@pytest.mark.parametrize("content", ["{", "[]", '{"first": "2018-06-30", "last": "x", "sessions": []}'])
def test_a_damaged_file_is_named(short_library: Path, content: str) -> None:
    short_library.mkdir()
    (short_library / "calendar.json").write_text(content)
    calendar.refresh()
    with pytest.raises(Damaged, match=r"calendar\.json cannot be read: .* Remove it and run `ashare data sync`"):
        calendar.calendar()


@pytest.mark.parametrize("day", ["20180305", "20180404", "20180405"])
def test_a_day_on_which_trade_cal_and_the_library_differ_is_named(day: str) -> None:
    right = trade_cal("2018-03-01", "2018-04-30")
    require_agreement(right)
    date = dt.datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007
    said = "closed" if date in REAL else "open"
    wrong = trade_cal("2018-03-01", "2018-04-30", **{f"d{day}": int(date not in REAL), "d20180427": 0})
    with pytest.raises(DataNotFit, match=rf"disagree on {date}: SSE is {said} by trade_cal") as refused:
        require_agreement(wrong)
    assert refused.value.exit_code == 3


def test_beyond_the_library_exchanges_agree_and_rest_on_weekends(short_library: Path) -> None:
    later = trade_cal("2018-07-01", "2018-07-31")
    other = trade_cal("2018-07-01", "2018-07-31", d20180704=0).with_columns(exchange=pl.lit("SZSE"))
    with pytest.raises(DataNotFit, match="trade_cal and another exchange disagree on 2018-07-04"):
        take_in(pl.concat([later, other]))
    with pytest.raises(DataNotFit, match="disagree on 2018-07-07"):
        take_in(trade_cal("2018-07-01", "2018-07-31", d20180707=1))
    assert not (short_library / "calendar.json").exists()


def beyond_market(last: str = "2018-12-31") -> Market:
    """Return a stock over the pretended end of the library, with its trade_cal."""
    days = [f"{day:%Y%m%d}" for day in true_days("2018-06-25", "2018-07-06")]
    market = Market(days)
    market.stock("600000.SH").bars("600000.SH", [round(10 + 0.1 * n, 2) for n in range(len(days))])
    market.index([5000.0] * len(days))
    for _, day, is_open in trade_cal("2018-06-01", last).iter_rows():
        market.add("trade_cal", exchange="SSE", cal_date=f"{day:%Y%m%d}", is_open=is_open)
    return market


SCRIPT = """
from zipline.api import order, symbol

def initialize(context):
    context.sessions = []

def handle_data(context, data):
    context.sessions.append(data.current_session)
    if len(context.sessions) == 6:
        order(symbol("600000.SH"), 100)
"""


def test_an_import_an_ingest_and_the_stock_command_go_on_beyond_the_library(
    short_library: Path, tmp_path: Path
) -> None:
    from zipline.__main__ import main

    ingest(beyond_market(), tmp_path / "market")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [
        "-b",
        "ashare",
        "--bundle-timestamp",
        "2100-01-01",
        "--trading-calendar",
        "XSHG",
        "-s",
        "2018-06-25",
        "-e",
        "2018-07-06",
    ]
    done = CliRunner().invoke(main, ["run", "-f", str(script), *words, "-o", str(tmp_path / "perf.pickle")])
    assert done.exit_code == 0, done.output
    (folder,) = (path for path in settings.load().runs.iterdir() if path.is_dir())
    perf = pl.read_parquet(folder / "perf.parquet")
    assert perf["session"].cast(pl.String).str.head(10).to_list() == [
        str(day) for day in true_days("2018-06-25", "2018-07-06")
    ]
    orders = pl.read_parquet(folder / "orders.parquet")
    assert [(str(day)[:10], filled) for day, filled in orders.select("session", "filled").iter_rows()] == [
        ("2018-07-03", 100)
    ]


def test_a_listed_stock_ends_with_the_longer_calendar(short_library: Path, tmp_path: Path) -> None:
    from engine.panels.bundle import open_bundle

    ingest(beyond_market(), tmp_path / "market")
    assert open_bundle().asset_finder.retrieve_asset(0).end_date == pd.Timestamp("2018-12-28")


def test_bars_beyond_both_calendars_are_refused(short_library: Path, tmp_path: Path) -> None:
    market = beyond_market(last="2018-07-04").write(tmp_path / "market")
    with pytest.raises(BadInput, match="holds trade_date 2018-07-05"):
        import_folder(market, Lake(settings.load().lake), dt.date(2027, 1, 4), "six_months")


@pytest.mark.parametrize(("days", "warns"), [(61, False), (60, True), (0, True), (-5, True)])
def test_a_command_says_once_that_the_calendar_ends_soon(
    short_library: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, days: int, warns: bool
) -> None:
    now = dt.datetime.combine(END - days * ONE_DAY, dt.time(16), clock.SHANGHAI)
    monkeypatch.setattr(clock, "now", lambda: now)
    calendar._warn_near_the_end.cache_clear()
    with caplog.at_level(logging.WARNING, logger="engine.calendar"):
        calendar.calendar()
        calendar.refresh()
        calendar.calendar()
    said = [record.getMessage() for record in caplog.records if record.name == "engine.calendar"]
    assert len(said) == warns
    if warns:
        assert said[0].startswith("The calendar ends on 2018-06-29. For a later year run `ashare data sync`")
        assert "upgrade exchange-calendars" in said[0]


def test_sessions_are_days_without_a_time(short_library: Path) -> None:
    take_in(trade_cal("2018-06-01", "2018-07-31"))
    known = calendar.sessions()
    assert known.dtype == np.dtype("datetime64[D]")
    assert (np.diff(known).astype(int) > 0).all()
    assert (known == calendar.calendar().sessions.to_numpy()).all()
