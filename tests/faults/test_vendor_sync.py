"""Promise R3: 18 kinds of vendor fault against a whole sync.

A fault that passes ends in the lake of a clean sync. One that stays leaves the lake as it was and ends in a named error
with exit code 3. Where it does no harm the lake is that of a clean sync; where it changes what was given before, the
changes are new versions, known from today, and counted. Nothing else is accepted.
"""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from bundles.demo import faults
from bundles.demo.faults import KINDS, Fault
from bundles.demo.server import LocalTushare
from bundles.lake import KNOWN_AT, Lake, Version
from bundles.sync.run import sync
from bundles.sync.take import Synced
from engine.clock import SHANGHAI
from engine.errors import AshareError, DataNotFit
from engine.settings import Settings, TushareSettings
from tests.vendor import BUSY, FREE, SMALL, TOKEN, a_quarter, client_of

DAY_BEFORE = "20180424"
TERMS = FREE | {name: SMALL[name] for name in ("daily", "stk_limit")}
BY_SESSION = ("daily", "adj_factor", "daily_basic", "stk_limit", "suspend_d", "stock_st")
REPORTS = ("income_vip", "balancesheet_vip")
TOUCHES = {
    "unit_flip": ("daily", "daily_basic"),
    "stale_day": BY_SESSION,
    "late_adj_factor": ("adj_factor",),
    "wrong_ann_date": (*REPORTS, "dividend"),
    "page_overlap": ("daily", "stk_limit"),
    "restatement": ("daily", "adj_factor", "daily_basic", "stk_limit", "index_daily", *REPORTS, "dividend"),
}
"""Endpoints a kind of fault can touch; the others touch all. What is asked of a new stock was never given before."""
QUICK, ALL = 4, 200


@pytest.fixture(scope="module", autouse=True)
def cut_short():
    """Let a truncating server leave fewer rows than the small market has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "CUT", 15)
        yield


@dataclass
class Vendor:
    """A vendor one session ahead of a lake.

    Attributes
    ----------
    folder : Path
        Where lakes are made.
    held : Path
        The lake, synced until the day before.
    server : LocalTushare
        The vendor, with the busy session.
    settings : Settings
        Of the syncs.
    """

    folder: Path
    held: Path
    server: LocalTushare
    settings: Settings

    def sync(self, *planted: Fault) -> Outcome:
        """Sync a copy of the lake while faults are there."""
        lake = Lake(self.folder / "lake")
        shutil.rmtree(lake.root, ignore_errors=True)
        shutil.copytree(self.held, lake.root)
        before = lake.version()
        self.server.asked.clear()
        self.server.plant(*planted)
        try:
            done, error = sync(lake, client_of(self.server, timeout=0.2), self.settings, evening(BUSY)), None
        except AshareError as raised:
            done, error = None, raised
        return Outcome(lake, before, lake.version(), done, error)


@dataclass
class Outcome:
    """How a sync ended."""

    lake: Lake
    before: Version
    after: Version
    done: Synced | None
    error: AshareError | None

    def rows(self, name: str) -> pl.DataFrame:
        parts = self.after.parts.get(name, ())
        return pl.concat([pl.read_parquet(self.lake.root / part.path) for part in parts])


def evening(day: str) -> dt.datetime:
    return dt.datetime.combine(dt.date.fromisoformat(day), dt.time(19), SHANGHAI)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory) -> Iterator[Vendor]:
    folder = tmp_path_factory.mktemp("vendor")
    values = TushareSettings(points=5000, start=dt.date(2018, 3, 1), reread=1, late_days=2, connections=2)
    settings = Settings(home=folder, tushare=values)
    held = folder / "held"
    with LocalTushare(a_quarter(folder / "before", DAY_BEFORE), TOKEN, calls_per_minute=10**6, terms=TERMS) as server:
        sync(Lake(held), client_of(server), settings, evening(DAY_BEFORE))
    market = a_quarter(folder / "after", BUSY)
    with LocalTushare(market, TOKEN, calls_per_minute=10**6, terms=TERMS, hang=0.25) as server:
        yield Vendor(folder, held, server, settings)


@pytest.fixture(scope="module")
def clean(vendor) -> dict[str, pl.DataFrame | Counter | str]:
    """What a clean sync gives: the identity of the lake, its rows, the calls by endpoint."""
    outcome = vendor.sync()
    assert outcome.error is None
    assert outcome.after.data_id != outcome.before.data_id
    new = {name: count for name, count in outcome.done.rows.items() if count}
    assert new == {
        **dict.fromkeys(("daily", "adj_factor", "daily_basic", "stk_limit"), 39),
        **{"suspend_d": 1, "stock_st": 2, "stock_basic": 2, "namechange": 2, "index_daily": 2},
        **{"income": 51, "balancesheet": 51},
    }
    calls = Counter(api for api, _ in vendor.server.asked)
    rows = {name: outcome.rows(name) for name in outcome.after.parts}
    return {"data_id": outcome.after.data_id, "rows": rows, "calls": calls}


def seeds() -> list:
    quick = [(kind, range(QUICK)) for kind in KINDS]
    whole = [pytest.param(kind, range(QUICK, ALL), marks=pytest.mark.slow) for kind in KINDS]
    return [*quick, *whole]


def fault_of(kind: str, seed: int, lasting: bool, calls: Counter) -> Fault:
    """Return the fault of a seed: it hits some call of some endpoint, or all calls of it."""
    chance = random.Random(f"{kind} {seed} {lasting}")
    api = sorted(TOUCHES.get(kind, calls))[seed % len(TOUCHES.get(kind, calls))]
    return Fault(kind, seed, 0 if lasting else chance.randrange(calls[api]), lasting, api)


@pytest.mark.parametrize(("kind", "numbers"), seeds())
def test_a_fault_that_passes_leaves_no_trace(vendor, clean, kind, numbers):
    for seed in numbers:
        fault = fault_of(kind, seed, False, clean["calls"])
        outcome = vendor.sync(fault)
        assert outcome.error is None, (fault, outcome.error)
        assert outcome.after.data_id == clean["data_id"], fault


@pytest.mark.parametrize(("kind", "numbers"), seeds())
def test_a_fault_that_stays_is_refused(vendor, clean, kind, numbers):
    ends = Counter()
    for seed in numbers:
        fault = fault_of(kind, seed, True, clean["calls"])
        ends[end := end_of(vendor.sync(fault), clean, fault)] += 1
        assert end != "silent", fault
    if kind in ("timeout", "http_5xx", "rate_limit", "missing_right", "broken_json"):
        assert ends["refused"] == len(numbers)
    if len(numbers) > QUICK and kind not in UNDONE:
        assert ends["refused"] + ends["version"] > 0
    print(kind, dict(ends))


UNDONE = ("shuffled_columns", "page_overlap")
"""Faults the client undoes however long they stay."""


def end_of(outcome: Outcome, clean: dict, fault: Fault) -> str:
    """Say how a sync under a lasting fault ended."""
    if outcome.error is not None:
        assert isinstance(outcome.error, DataNotFit), (fault, outcome.error)
        assert outcome.error.exit_code == 3
        assert outcome.after == outcome.before, fault
        return "refused"
    if outcome.after.data_id == clean["data_id"]:
        return "harmless"
    if fault.kind == "restatement" and is_a_version(outcome, clean):
        return "version"
    return "silent"


def is_a_version(outcome: Outcome, clean: dict) -> bool:
    """Say whether the lake is the clean one and rows that change it, known from today and counted."""
    more = 0
    for name, rows in clean["rows"].items():
        mine = outcome.rows(name)
        kept = mine.join(rows, on=rows.columns, how="semi", nulls_equal=True)
        added = mine.join(rows, on=rows.columns, how="anti", nulls_equal=True)
        if kept.height != rows.height or not (added[KNOWN_AT] == dt.date.fromisoformat(BUSY)).all():
            return False
        more += added.height
    return 0 < more <= sum(outcome.done.changed.values())
