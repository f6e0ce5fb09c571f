"""A build that takes sessions over from an earlier ingestion writes the bytes of a full build, whatever came."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.build import build
from bundles.importer import import_folder
from bundles.lake import Lake
from engine.panels.store import FIELDS
from tests.markets import Market, days_between, five_sessions

DAYS = days_between("20180305", "20180430")
HELD = 7
"""Sessions of the first import."""


@pytest.fixture(scope="module", autouse=True)
def thin():
    """Let bars lack the exchange's limits: the rulebook gives them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_DATA__COVERAGE", "0")
        yield


class History:
    """A market that goes on: each change is what one more import brings.

    Stocks begin with a delisting period, a listing a few sessions old, and bars without an exchange's limits,
    whose limits depend on sessions before those that are new.
    """

    def __init__(self) -> None:
        self.market = Market([])
        self.listed: dict[str, float] = {}
        for code, listed in (("000010.SZ", "20000104"), ("600000.SH", "20000104"), ("300750.SZ", DAYS[4])):
            self.list(code, listed)
        self.market.stock("600800.SH").add(
            "namechange", ts_code="600800.SH", name="某退", start_date=DAYS[2], ann_date=DAYS[2]
        )
        self.listed["600800.SH"] = 4.0
        self.factor = dict.fromkeys(("000010.SZ", "600000.SH"), 1.0)
        for _ in range(HELD):
            self.session()
        self.report()

    def list(self, code: str, listed: str) -> None:
        self.market.stock(code, listed=listed)
        self.listed[code] = 10.0

    @property
    def next(self) -> str:
        return DAYS[len(self.market.days)]

    @property
    def today(self) -> dt.date:
        return dt.date.fromisoformat(self.market.days[-1])

    def session(self, without: str = "", recorded: bool = False) -> None:
        """Add a session; 600000.SH and the newest stocks have the exchange's limits, the others none."""
        day = self.next
        self.market.days.append(day)
        for count, (code, close) in enumerate(self.listed.items()):
            if code == without or (code == "300750.SZ" and day < DAYS[4]):
                continue
            price = round(close + 0.01 * (len(self.market.days) % 3), 2)
            limits = {} if code == "600000.SH" or recorded else {"up": None, "down": None}
            self.market.bar(code, day, price, adj=self.factor.get(code, 1.0), lots=1000.0 + count, **limits)
            if limits:
                self.market.tables["stk_limit"].pop()
            self.listed[code] = price
        self.market.add("index_daily", ts_code="000905.SH", trade_date=day, open=5000, close=5000 + len(day))

    def factor_change(self) -> None:
        self.market.add(
            "dividend",
            ts_code="600000.SH",
            end_date="20171231",
            ann_date=self.next,
            imp_ann_date=self.next,
            div_proc="实施",
            stk_div=0.0,
            cash_div_tax=0.5,
            ex_date=self.next,
        )
        self.factor["600000.SH"] *= 1.05
        self.session()

    def unexplained(self) -> None:
        self.factor["000010.SZ"] *= 1.1
        self.session()

    def newcomer(self) -> None:
        code = f"3000{len(self.market.days):02d}.SZ"
        self.list(code, self.next)
        self.session()

    def first_codes(self) -> None:
        self.list(f"0000{len(self.market.days) % 10:02d}.SZ" if "000001.SZ" in self.listed else "000001.SZ", self.next)
        self.session()

    def delisting(self) -> None:
        row = next(row for row in self.market.tables["stock_basic"] if row["ts_code"] == "600800.SH")
        row |= {"list_status": "D", "delist_date": self.next}
        self.listed.pop("600800.SH", None)
        self.session()

    def suspension(self) -> None:
        self.market.add("suspend_d", ts_code="600000.SH", trade_date=self.next, suspend_type="S")
        self.session(without="600000.SH")

    def named(self) -> None:
        self.market.add("namechange", ts_code="000010.SZ", name="*ST某", start_date=self.next, ann_date=self.next)
        self.session()

    def report(self, profit: float = 1.0, **more: object) -> None:
        common = {"ts_code": "600000.SH", "end_date": "20171231", "ann_date": self.market.days[-1], "report_type": "1"}
        self.market.add("income", **{**common, "update_flag": "0", "n_income_attr_p": profit, **more})

    def new_report(self) -> None:
        self.report(2.0, end_date="20180331", ts_code="000010.SZ")

    def report_of_a_session(self) -> None:
        self.session()
        self.report(3.0, end_date="20180331")

    def restated_report(self) -> None:
        self.report(5.0, update_flag="1")

    def no_stock_basic(self) -> None:
        """Bring bars of a stock that stock_basic does not know."""
        self.session()
        self.market.bar("600900.SH", self.market.days[-1], 3.0)

    def late_stock_basic(self) -> None:
        """Bring a stock whose bars are there already."""
        self.no_stock_basic()
        self.changes()
        self.market.stock("600900.SH", listed=self.market.days[-1])
        self.session()

    def changes(self) -> None:
        """Import in the middle of a change; the test sets it."""

    def late_name(self) -> None:
        self.market.add("namechange", ts_code="000010.SZ", name="ST某", start_date=DAYS[3], ann_date=DAYS[3])
        self.session()

    def late_suspension(self) -> None:
        self.market.add("suspend_d", ts_code="300750.SZ", trade_date=DAYS[2], suspend_type="S")

    def late_limits(self) -> None:
        self.market.add("stk_limit", ts_code="000010.SZ", trade_date=DAYS[3], up_limit=11.0, down_limit=9.0)

    def late_bar(self) -> None:
        self.market.bar("300750.SZ", DAYS[3], 10.0)
        self.session()

    def restated_bar(self) -> None:
        row = next(row for row in self.market.tables["daily"] if row["trade_date"] == DAYS[2])
        row |= {"close": round(float(str(row["close"])) + 0.01, 2), "high": 99.0}

    def issue_price(self) -> None:
        """Change what the limits of an old listing day depend on."""
        row = next(row for row in self.market.tables["stock_basic"] if row["ts_code"] == "300750.SZ")
        row["list_date"] = DAYS[3]

    def side_tables_first(self) -> None:
        """Bring factors, caps and limits of a session before its bars."""
        held = len(self.market.tables["daily"])
        self.session(recorded=True)
        bars = self.market.tables["daily"][held:]
        del self.market.tables["daily"][held:]
        self.changes()
        self.market.tables["daily"] += bars

    def nothing(self) -> None:
        """Bring nothing."""


TAKEN_OVER: list[Callable[[History], None]] = [
    History.session,
    History.factor_change,
    History.unexplained,
    History.newcomer,
    History.first_codes,
    History.delisting,
    History.suspension,
    History.named,
    History.new_report,
    History.report_of_a_session,
    History.restated_report,
    History.no_stock_basic,
    History.late_suspension,
    History.nothing,
]
BUILT_ANEW: list[Callable[[History], None]] = [
    History.late_stock_basic,
    History.late_name,
    History.late_limits,
    History.late_bar,
    History.restated_bar,
    History.issue_price,
    History.side_tables_first,
]


class Builds:
    """A lake with its builds, each made from the one before and in full."""

    def __init__(self, folder: Path, history: History) -> None:
        self.folder, self.history, self.lake = folder, history, Lake(folder / "lake")
        self.count, self.last = 0, []
        history.changes = self.take
        self.take()

    def take(self) -> bool:
        """Import what is new, build it both ways, compare, and say whether sessions were taken over."""
        import_folder(self.history.market.write(self.folder / "market"), self.lake, self.history.today, "six_months")
        self.count += 1
        ours, full = (self.folder / f"{kind}-{self.count}" for kind in ("ours", "full"))
        said: list[str] = []
        build(self.lake, ours, said.append, earlier=self.last)
        build(self.lake, full)
        assert contents(ours) == contents(full)
        self.last = [ours]
        return "bars" not in said


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("change", [*TAKEN_OVER, *BUILT_ANEW], ids=lambda change: change.__name__)
def test_one_change(tmp_path, change):
    history = History()
    builds = Builds(tmp_path, history)
    before = contents(builds.last[0])
    change(history)
    assert builds.take() == (change in TAKEN_OVER)
    if change is not History.nothing:
        assert contents(builds.last[0]) != before


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([*TAKEN_OVER, *TAKEN_OVER, *BUILT_ANEW]), min_size=2, max_size=5, unique=True))
def test_any_changes_one_after_the_other(changes):
    with tempfile.TemporaryDirectory() as folder:
        history = History()
        builds = Builds(Path(folder), history)
        for change in changes:
            change(history)
            builds.take()


def test_several_imports_between_two_builds(tmp_path):
    history = History()
    builds = Builds(tmp_path, history)
    for change in (History.newcomer, History.session):
        change(history)
        folder = history.market.write(tmp_path / "market")
        import_folder(folder, builds.lake, history.today, "six_months")
    row = history.market.tables["daily"][-1]  # of a session that no build has seen yet
    row |= {"close": round(float(str(row["close"])) - 0.01, 2), "low": 0.01}
    assert builds.take()


def test_rows_that_were_not_known_yet_keep_a_build_from_being_taken_over(tmp_path):
    history = History()
    lake = Lake(tmp_path / "lake")
    known = dt.date.fromisoformat(DAYS[4])
    import_folder(history.market.write(tmp_path / "market"), lake, known, "six_months")
    build(lake, tmp_path / "a")
    history.session()
    import_folder(history.market.write(tmp_path / "market"), lake, history.today, "six_months")
    said: list[str] = []
    build(lake, tmp_path / "b", said.append, earlier=[tmp_path / "a"])
    build(lake, tmp_path / "c")
    assert "bars" in said
    assert contents(tmp_path / "b") == contents(tmp_path / "c")


def test_an_old_view_takes_nothing_over_from_what_was_built_later(tmp_path):
    lake, calm = Lake(tmp_path / "lake"), five_sessions()
    import_folder(calm.write(tmp_path / "market"), lake, dt.date(2020, 1, 2), "six_months")
    build(lake, tmp_path / "newest")
    day = dt.date(2018, 3, 7)
    build(lake, tmp_path / "a", as_known_at=day, earlier=[tmp_path / "newest"])
    build(lake, tmp_path / "b", as_known_at=day)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("damage", ["cut", "missing", "no manifest", "other code"])
def test_an_ingestion_that_is_not_whole_is_not_taken_over(tmp_path, damage):
    history = History()
    builds = Builds(tmp_path, history)
    panels = builds.last[0] / "panels"
    if damage == "cut":
        path = panels / "close.npy"
        path.write_bytes(path.read_bytes()[:-4])
    elif damage == "missing":
        (panels / "close.npy").unlink()
    elif damage == "no manifest":
        (panels / "manifest.json").unlink()
    else:
        path = panels / "manifest.json"
        path.write_text(path.read_text().replace('"code_id": "', '"code_id": "0'))
    history.session()
    assert not builds.take()


def test_every_field_of_the_sessions_held_is_compared(tmp_path):
    """A field the build forgot to continue would end early: every one has every session."""
    history = History()
    builds = Builds(tmp_path, history)
    history.newcomer()
    assert builds.take()
    shapes = {np.load(builds.last[0] / "panels" / f"{name}.npy").shape for name in FIELDS}
    assert shapes == {(HELD + 1, 5)}
