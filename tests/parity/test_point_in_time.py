"""What a pipeline sees of the reports on a day is what had been announced by that day, and nothing later moves it."""

from __future__ import annotations

import calendar as months
import csv
import datetime as dt
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bundles.build import build
from bundles.importer import import_folder
from bundles.lake import Lake
from bundles.sync.run import Wish, sync
from engine import calendar, clock, settings
from engine.panels.bundle import open_bundle
from engine.panels.reader import Panels
from engine.panels.store import SUBFOLDER
from engine.pipeline.datasets import Reports
from engine.pipeline.loader import Window, load_column
from tests.conftest import FETCHED
from tests.markets import Market, days_between
from tests.vendor import FREE, TOKEN, Time, a_quarter, client_of

ITEMS = [column.name for column in Reports.columns]
FINANCIAL_INDUSTRIES = ("银行", "证券", "保险")
Row = dict[str, Any]


# the independent reading: SPEC 13.6 to 13.9 as loops over rows


def day_of(text: str | None) -> dt.date | None:
    return dt.date(int(text[:4]), int(text[4:6]), int(text[6:8])) if text else None


def six_months_later(day: dt.date) -> dt.date:
    year, month = (day.year, day.month + 6) if day.month <= 6 else (day.year + 1, day.month - 6)
    return dt.date(year, month, min(day.day, months.monthrange(year, month)[1]))


def announced_on(row: Row) -> dt.date:
    """Return when a report counts as known: announced after its period's end, else six months after it."""
    date = day_of(row["f_ann_date"]) or day_of(row["ann_date"])
    end = day_of(row["end_date"])
    assert end is not None
    return date if date is not None and date > end else six_months_later(end)


def versions_of(rows: list[Row]) -> list[Row]:
    """Return the consolidated reports in the order they count; of one day the original stands over a correction."""
    found = []
    for row in rows:
        if row["report_type"] != "1":
            continue
        twin = [other for other in rows if other["report_type"] == "1" and other["end_date"] == row["end_date"]]
        known = announced_on(row)
        original_that_day = any(other["update_flag"] == "0" and announced_on(other) == known for other in twin)
        if row["update_flag"] == "1" and original_that_day:
            known = max(known, FETCHED)
        found.append({**row, "known": known})
    return sorted(found, key=lambda row: (row["known"], row["update_flag"] == "0"))


def number(row: Row | None, name: str) -> float:
    text = None if row is None else row[name]
    return math.nan if text in (None, "") else float(text)


def as_seen(income: list[Row], balance: list[Row], industry: str | None, day: dt.date) -> dict[str, float]:
    """Return every item of the newest report known at the close of a day."""
    flows: dict[str, Row] = {row["end_date"]: row for row in income if row["known"] <= day}
    stocks: dict[str, Row] = {row["end_date"]: row for row in balance if row["known"] <= day}
    if not flows and not stocks:
        return dict.fromkeys(ITEMS, math.nan)
    end = max([*flows, *stocks])
    flow, stock = flows.get(end), stocks.get(end)
    before = f"{int(end[:4]) - 1}"
    prior = number(flows.get(before + end[4:]), "n_income_attr_p")
    year = number(flows.get(before + "1231"), "n_income_attr_p")
    profit = number(flow, "n_income_attr_p")
    kinds = [row for row in (stock, flow) if row is not None]
    latest = max(kinds, key=lambda row: row["known"])["comp_type"]
    financial = latest in ("2", "3", "4") if latest else industry in FINANCIAL_INDUSTRIES
    ended = day_of(end)
    assert ended is not None
    return {
        "report_age": float((day - ended).days),
        "profit_ytd": profit,
        "profit_ytd_prior": prior,
        "profit_ttm": profit if end.endswith("1231") else profit + year - prior,
        "equity": number(stock, "total_hldr_eqy_exc_min_int"),
        "equity_prior": number(stocks.get(before + end[4:]), "total_hldr_eqy_exc_min_int"),
        "revenue": number(flow, "revenue"),
        "oper_cost": number(flow, "oper_cost"),
        "total_assets": number(stock, "total_assets"),
        "total_liab": number(stock, "total_liab"),
        "is_financial": float(financial),
    }


def raw_rows(folder: Path, name: str, codes: set[str]) -> dict[str, list[Row]]:
    """Return the rows of a table as they were imported, as text, by stock."""
    found: dict[str, list[Row]] = {code: [] for code in codes}
    for path in sorted((folder / name).iterdir()):
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as handle:
                rows: list[Row] = [{key: value or None for key, value in row.items()} for row in csv.DictReader(handle)]
        else:
            rows = pl.read_parquet(path).rows(named=True)
        for row in rows:
            if row["ts_code"] in codes:
                found[row["ts_code"]].append({key: _text(value) for key, value in row.items()})
    return found


def _text(value: Any) -> Any:
    """Return dates and codes as the vendor writes them; numbers stay."""
    return f"{value:%Y%m%d}" if isinstance(value, dt.date) else value


# the pipeline's reading


def seen(panels: Panels, sid: int, row: int) -> dict[str, float]:
    """Return what the loader gives a pipeline for one stock and session."""
    window = Window(panels, row, row, np.array([sid]))
    return {column.name: float(load_column(window, column)[0, 0]) for column in Reports.columns}


def same(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=1e-12, abs_tol=1e-6)


def compare(panels: Panels, folder: Path, picks: list[tuple[int, int]]) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield every difference between the two readings."""
    codes = {panels.assets[sid].ts_code: sid for sid, _ in picks}
    income, balance = (raw_rows(folder, name, set(codes)) for name in ("income", "balancesheet"))
    industries = {code: rows[0].get("industry") for code, rows in raw_rows(folder, "stock_basic", set(codes)).items()}
    for sid, row in picks:
        code, day = panels.assets[sid].ts_code, panels.days[row].item()
        wanted = as_seen(versions_of(income[code]), versions_of(balance[code]), industries[code], day)
        got = seen(panels, sid, row)
        yield from (
            (code, str(day), name, got[name], wanted[name]) for name in ITEMS if not same(got[name], wanted[name])
        )


def choices(panels: Panels, stocks: int, sessions: int, seed: int) -> list[tuple[int, int]]:
    """Return stocks of one code and sessions at random, half of them around the days reports come out."""
    rng = random.Random(seed)
    single = [asset.sid for asset in panels.assets if len(asset.codes) == 1]
    busy = [
        row
        for row, day in enumerate(panels.days.tolist())
        if (day.month, day.day > 15) in ((4, True), (8, True), (10, True))
    ]
    picks = []
    for sid in rng.sample(single, min(stocks, len(single))):
        picks += [(sid, rng.choice(busy if busy and n % 2 else range(len(panels.days)))) for n in range(sessions)]
    return picks


@pytest.mark.real
def test_fifty_stocks_and_days_of_the_real_market(real_home: Path, real_market: Path) -> None:
    panels = open_bundle().panels
    picks = choices(panels, 50, 40, seed=4)
    assert len({sid for sid, _ in picks}) == 50
    differing = list(compare(panels, real_market, picks))
    assert not differing, f"{len(differing)} of {len(picks) * len(ITEMS)} values differ"
    known = sum(not math.isnan(seen(panels, sid, row)["profit_ttm"]) for sid, row in picks)
    assert known > len(picks) / 2


# the tiny market


CODE = "600000.SH"
DAYS = days_between("20180402", "20180510")


def report(end: str, announced: str | None, profit: float, flag: str = "0", **more: object) -> dict[str, object]:
    row: dict[str, object] = {"ts_code": CODE, "end_date": end, "ann_date": announced, "f_ann_date": announced}
    row |= {"report_type": "1", "comp_type": "1", "update_flag": flag}
    return row | {"revenue": 10 * profit, "oper_cost": 5 * profit, "n_income_attr_p": profit} | more


def tiny(*reports: dict[str, object]) -> Market:
    """Return a stock over a spring, with reports."""
    market = Market(DAYS)
    market.stock(CODE).bars(CODE, [10.0] * len(DAYS))
    for row in reports:
        market.add("income", **row)
    return market.index([5000.0] * len(DAYS))


HISTORY = [report("20161231", "20170410", 100.0), report("20170331", "20170427", 20.0)]
YEAR = report("20171231", "20180410", 120.0)
QUARTER = report("20180331", "20180424", 30.0)


def panels_of(lake: Lake, folder: Path, day: dt.date | None = None) -> Panels:
    folder.mkdir(parents=True)
    build(lake, folder, as_known_at=day)
    return Panels(folder / SUBFOLDER)


def course(panels: Panels, name: str = "profit_ttm") -> dict[str, float]:
    """Return an item by session."""
    sid = next(asset.sid for asset in panels.assets if asset.ts_code == CODE)
    return {f"{day:%Y%m%d}": seen(panels, sid, row)[name] for row, day in enumerate(panels.days.tolist())}


@pytest.fixture
def build_of(home: Path, tmp_path: Path) -> Callable[..., Panels]:
    """Return a function that imports reports into a lake of their own and builds a view of it."""

    def run(*reports: dict[str, object], day: dt.date | None = None, fetched: dt.date = FETCHED) -> Panels:
        place = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        lake = Lake(place / "lake")
        import_folder(tiny(*reports).write(place / "market"), lake, fetched, "six_months")
        return panels_of(lake, place / "bundle", day)

    return run


def expected(*steps: tuple[str, float]) -> dict[str, float]:
    """Return an item by session that changes on some days."""
    return {day: next(value for since, value in reversed(steps) if since <= day) for day in DAYS}


TTM = [("", 100.0), ("20180410", 120.0), ("20180424", 30.0 + 120.0 - 20.0)]


def test_a_report_is_seen_from_the_close_of_its_announcement(build_of):
    assert course(build_of(*HISTORY, YEAR, QUARTER))["20180409"] == pytest.approx(math.nan, nan_ok=True)
    assert_course(build_of(*HISTORY, YEAR, QUARTER), [("", math.nan), *TTM[1:]])


def assert_course(panels: Panels, steps: list[tuple[str, float]], name: str = "profit_ttm") -> None:
    found, wanted = course(panels, name), expected(*steps)
    assert len(found) >= 20  # a lake that was fetched earlier ends earlier
    differing = {day: (value, wanted[day]) for day, value in found.items() if not same(value, wanted[day])}
    assert not differing


def test_a_restatement_appears_on_its_own_date_and_moves_nothing_before_it(build_of):
    restated = report("20171231", "20180503", 90.0, flag="1")
    steps = [("", math.nan), *TTM[1:], ("20180503", 30.0 + 90.0 - 20.0)]
    assert_course(build_of(*HISTORY, YEAR, QUARTER, restated), steps)


def test_a_correction_of_the_same_date_counts_from_the_day_it_was_fetched(build_of):
    corrected = report("20180331", "20180424", 33.0, flag="1")
    assert_course(build_of(*HISTORY, YEAR, QUARTER, corrected), [("", math.nan), *TTM[1:]])
    late = [("", math.nan), *TTM[1:], ("20180503", 33.0 + 120.0 - 20.0)]
    assert_course(build_of(*HISTORY, YEAR, QUARTER, corrected, fetched=dt.date(2018, 5, 3)), late)


def test_an_announcement_on_a_day_without_session_is_seen_at_the_next_close(build_of):
    sunday = report("20180331", "20180422", 30.0)
    steps = [("", math.nan), ("20180410", 120.0), ("20180423", 130.0)]
    assert_course(build_of(*HISTORY, YEAR, sunday), steps)


@pytest.mark.parametrize("day", ["20180409", "20180410", "20180423", "20180424", "20180502", "20180503"])
def test_later_rows_change_nothing_earlier(home, tmp_path, build_of, day):
    restated = report("20171231", "20180503", 90.0, flag="1", revenue=1.0)
    everything = [*HISTORY, YEAR, QUARTER, restated]
    then = dt.datetime.strptime(day, "%Y%m%d").date()  # noqa: DTZ007
    view = build_of(*everything, day=then)
    known = build_of(*(row for row in everything if str(row["ann_date"]) <= day), day=then)
    whole = build_of(*everything)
    assert view.days[-1].item() == then
    for name in ITEMS:
        now, later, alone = (course(panels, name) for panels in (view, whole, known))
        assert all(same(now[past], later[past]) and same(now[past], alone[past]) for past in now), name


def test_the_tiny_market_agrees_with_the_independent_reading(home, tmp_path):
    rng = random.Random(5)
    for turn in range(6):
        rows = [chance_report(rng) for _ in range(30)]
        rows = list(
            {(row["end_date"], row["update_flag"], row["ann_date"], row["f_ann_date"]): row for row in rows}.values()
        )
        place = tmp_path / f"m{turn}"
        market = tiny(*rows)
        folder = market.write(place / "market")
        lake = Lake(place / "lake")
        import_folder(folder, lake, FETCHED, "six_months")
        panels = panels_of(lake, place / "bundle")
        assert not list(compare(panels, folder, [(0, row) for row in range(len(panels.days))]))


def chance_report(rng: random.Random) -> dict[str, object]:
    end = rng.choice(["20161231", "20170331", "20170630", "20170930", "20171231", "20180331"])
    announced = rng.choice([None, "20180101", *DAYS])
    row = report(end, announced, float(rng.randrange(-50, 200)), rng.choice("01"), report_type=rng.choice("1112"))
    row["f_ann_date"] = rng.choice([announced, None, *DAYS])
    row["comp_type"] = rng.choice(["1", "2", None])
    return row


# a sync


def synced(lake: Lake, market: Path, now: str) -> None:
    """Bring a lake up to date from a vendor who has a market, on a day."""
    from bundles.demo.server import LocalTushare

    values = settings.load()
    time = dt.datetime.strptime(now, "%Y%m%d").replace(hour=20, tzinfo=clock.SHANGHAI)
    with (
        LocalTushare(market, TOKEN, calls_per_minute=10**6, terms=FREE) as server,
        client_of(server, Time(), calls_per_minute=10**6, timeout=5.0) as client,
    ):
        sync(lake, client, values, time, Wish())


@pytest.fixture
def quarter_settings(home, monkeypatch):
    home.mkdir()
    text = "[tushare]\nstart = 2018-03-01\nanswers = 1\npoints = 5000\n[data]\ncoverage = 0.9\n"
    (home / "ashare.toml").write_text(text)
    yield
    calendar.refresh()


def test_a_report_the_vendor_gives_late_is_seen_from_the_day_it_came(quarter_settings, tmp_path):
    whole, lacking = a_quarter(tmp_path / "whole"), a_quarter(tmp_path / "lacking", "20180425")
    for name in ("income", "balancesheet"):
        path = lacking / name / f"{name}.csv"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{CODE},20180331")))
    lake = Lake(tmp_path / "lake")
    synced(lake, lacking, "20180425")
    before = course(panels_of(lake, tmp_path / "before"), "report_age")
    synced(lake, whole, "20180427")
    after = course(panels_of(lake, tmp_path / "after"), "report_age")
    old, new = dt.date(2017, 12, 31), dt.date(2018, 3, 31)
    ended = {day: period_of(day, age) for day, age in after.items()}
    assert (ended["20180425"], ended["20180426"], ended["20180427"]) == (old, old, new)
    assert all(after[day] == age for day, age in before.items() if not math.isnan(age))
    others = Lake(tmp_path / "others")
    synced(others, whole, "20180427")
    first = course(panels_of(others, tmp_path / "first"), "report_age")
    assert period_of("20180425", first["20180425"]) == new  # a first download believes the announcement


def period_of(day: str, age: float) -> dt.date | None:
    return None if math.isnan(age) else dt.datetime.strptime(day, "%Y%m%d").date() - dt.timedelta(age)  # noqa: DTZ007
