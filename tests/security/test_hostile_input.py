"""Whatever comes in over a border, only our errors come out, in bounded time and memory, and the lake stays."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from bundles.build import build
from bundles.demo.server import LocalTushare
from bundles.endpoints import ENDPOINTS
from bundles.importer import import_folder
from bundles.intake import Intake, Source, Taken
from bundles.lake import Lake
from bundles.sync.ask import in_order
from bundles.sync.inbox import Inbox
from bundles.sync.plan import Question, Span
from bundles.sync.run import _take_calendar
from bundles.tushare.client import Client
from engine import calendar, settings
from engine.errors import AshareError
from tests.markets import Market, days_between
from tests.security.mutations import VALUES, Raw, spoilt_bytes, spoilt_csv, spoilt_json
from tests.vendor import FREE, TOKEN, Time

TODAY = dt.date(2027, 1, 4)
SECONDS, MEBIBYTES = 5.0, 400
"""What one input may take, and by how much the process may grow over all of them."""
FEW, MANY = 350, 10_000


@dataclass
class Ground:
    """A small lake and what it was filled from; each input begins with both as they were."""

    root: Path
    market: Path
    lake: Lake
    state: dict[str, bytes] = field(default_factory=dict)
    accepted: int = 0

    @classmethod
    def make(cls, root: Path) -> Ground:
        market = a_market().write(root / "market")
        for name, text in TABLES.items():
            (market / name).mkdir()
            (market / name / f"{name}.csv").write_text(text)
        lake = Lake(root / "home" / "lake")
        import_folder(market, lake, TODAY, "six_months")
        with lake.append() as append:
            held = pl.DataFrame(dict.fromkeys([*ENDPOINTS["daily"].schema.columns(), "check", "detail"], "x"))
            append.hold_back(ENDPOINTS["daily"], held, TODAY)
            append.commit("", {}, {"daily": (dt.date(2018, 3, 5), dt.date(2018, 3, 9))})
        ground = cls(root, market, lake)
        ground.state = ground.content()
        return ground

    def content(self) -> dict[str, bytes]:
        """Return every file of the lake; its lock is none."""
        paths = (path for path in self.lake.root.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path.relative_to(self.lake.root)): path.read_bytes() for path in paths}

    def restore(self) -> None:
        """Put the lake back as it was."""
        shutil.rmtree(self.lake.root)
        for name, content in self.state.items():
            path = self.lake.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def fresh(self, name: str) -> Path:
        """Return an empty folder."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


TABLES = {
    "rights": "ts_code,ex_date,ratio,price,list_date\n600000.SH,20180307,0.3,5.0,20180308\n",
    "delistings": "ts_code,kind,into,ratio,cash\n600001.SH,absorption,600000.SH,0.5,1.0\n",
    "code_changes": "old,new,date\n600002.SH,600003.SH,20180307\n",
    "new_share": "ts_code,ipo_date,issue_date,price\n600001.SH,20180301,20180305,9.5\n",
}
"""The user's own tables, and the new issues."""


def a_market() -> Market:
    """Return five sessions with something in every table."""
    market = Market(days_between("20180305", "20180309"))
    market.stock("600000.SH").bars("600000.SH", [10.0, 10.1, 7.2, 7.3, 7.4])
    market.stock("600001.SH", delisted="20180309").bars("600001.SH", [10.0, None, 10.2, 10.3, 10.3])
    market.stock("600002.SH", delisted="20180307").stock("600003.SH", listed="20180307")
    market.bar("600002.SH", "20180305", 5.0).bar("600002.SH", "20180306", 5.1)
    for day in market.days[2:]:
        market.bar("600003.SH", day, 5.2)
    plan = {
        "end_date": "20171231",
        "ann_date": "20180301",
        "imp_ann_date": "20180302",
        "div_proc": "实施",
        "stk_div": 0,
    }
    plan |= {"cash_div_tax": 0.1, "record_date": "20180305", "ex_date": "20180306", "pay_date": "20180306"}
    market.add("dividend", ts_code="600000.SH", **plan)
    for period, announced in (("20170930", "20171030"), ("20171231", "20180306")):
        report = {"ts_code": "600000.SH", "end_date": period, "ann_date": announced, "f_ann_date": announced}
        report |= {"report_type": "1", "comp_type": "1", "update_flag": "0"}
        market.add("income", **report, revenue=9e9, oper_cost=5e9, n_income_attr_p=1e8)
        market.add("balancesheet", **report, total_assets=8e9, total_liab=3e9, total_hldr_eqy_exc_min_int=5e9)
    market.add("stock_st", ts_code="600001.SH", trade_date="20180309")
    for day in ("20180303", "20180305", "20270101", "20270104"):
        market.add("trade_cal", exchange="SSE", cal_date=day, is_open=int(day.endswith(("05", "04"))))
    return market.index([5000.0] * 5)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    root = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ASHARE_")]:
            patch.delenv(name)
        patch.setenv("ASHARE_HOME", str(root / "home"))
        patch.setenv("ASHARE_DATA__COVERAGE", "0")
        patch.chdir(root)
        (root / "home").mkdir()
        calendar.refresh()
        yield Ground.make(root)
    calendar.refresh()


class Replies(Client):
    """A client whose exchange is at hand."""

    replies: Callable[[], tuple[int, bytes]]

    def _exchange(self, api_name, params, fields):
        return self.replies()


@dataclass
class Vendor:
    """Right replies to questions about every table."""

    questions: list[Question]
    replies: list[bytes]
    client: Replies

    @classmethod
    def over(cls, folder: Path) -> Vendor:
        asked = [_question(name) for name in ENDPOINTS if name in FREE]
        with LocalTushare(folder, TOKEN, calls_per_minute=10**6) as server:
            bodies = [server.reply(_body(question)) for question in asked]
        time_ = Time()
        client = Replies(
            SecretStr(TOKEN),
            calls_per_minute=10**9,
            terms=FREE,
            clock=lambda: time_.now,
            sleep=lambda s: time_.sleep(s + 60),
        )
        return cls(asked, [reply[1] for reply in bodies if reply], client)


def _question(name: str) -> Question:
    params = {"daily": {"trade_date": "20180306"}, "stock_basic": {"list_status": "L"}}.get(name, {})
    if name in ("index_daily", "income", "balancesheet", "dividend"):
        params = {"ts_code": "000905.SH" if name == "index_daily" else "600000.SH"}
    return Question(name, name, tuple(params.items()), tuple(ENDPOINTS[name].schema.columns()))


def _body(question: Question) -> bytes:
    fields = ",".join(question.fields)
    return json.dumps(
        {"api_name": question.api, "token": TOKEN, "params": dict(question.params), "fields": fields}
    ).encode()


@pytest.fixture(scope="module")
def vendor(ground: Ground) -> Vendor:
    return Vendor.over(ground.market)


Feed = Callable[[random.Random], None]


def feed_all(count: int, name: str, feed: Feed) -> int:
    """Feed a border with spoiled inputs and return how many were refused."""
    refused, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(count):
        started, said = time.process_time(), ""
        try:
            feed(random.Random(f"{name} {seed}"))
        except AshareError as error:
            refused += 1
            said = str(error)
        except BaseException as error:  # polars' panics are no Exceptions
            raise AssertionError(f"{name} {seed}: {type(error).__name__}: {error}"[:2000]) from error
        assert "\n" not in said, f"{name} {seed}: {said}"
        assert time.process_time() - started < SECONDS, f"{name} {seed} takes long"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEBIBYTES, f"{name} grew by {grown:.0f} MiB"
    return refused


def reply_border(ground: Ground, vendor: Vendor) -> Feed:
    """Return what reads a spoiled reply as a sync does, up to the checks of a single table."""
    documents = [json.loads(reply) for reply in vendor.replies]
    inbox = Inbox(ground.lake.root, TODAY)

    def feed(rng: random.Random) -> None:
        at = rng.randrange(len(documents))
        question, document = vendor.questions[at], documents[at]
        body = spoilt_json(rng, document) if rng.random() < 0.8 else spoilt_bytes(rng, vendor.replies[at])
        status = rng.choice([200] * 30 + [302, 404, 429, 500])
        vendor.client.replies = lambda: (status, body)
        frame = vendor.client.fetch(question.api, dict(question.params), question.fields)
        frame = in_order(question.table, frame)
        inbox.put(question, frame)
        held: list[pl.DataFrame] = []
        aside = (lambda rows, check, detail: held.append(rows)) if rng.random() < 0.5 else None
        if question.table == "trade_cal":
            _take_calendar(inbox, [question], Span(dt.date(2018, 3, 5), dt.date(2018, 3, 9), None, TODAY))
        with ground.lake.append() as append:
            spec = ENDPOINTS[question.table]
            intake = Intake(
                spec, ground.lake.frame(append.base, spec.name), append, TODAY, "statutory", Taken(), None, aside
            )
            rows = intake.checked(Source("x", "Tushare", lambda: inbox.read([question])))
            assert set(rows.columns) == set(spec.schema.columns())
            if spec.plans:
                intake.take([Source("x", "Tushare", lambda: inbox.read([question]))])
        ground.accepted += 1

    return feed


def import_border(ground: Ground, _vendor: Vendor) -> Feed:
    """Return what imports a spoiled file beside a lake, and builds from it what was taken."""
    files = {name: (ground.market / name / f"{name}.csv").read_bytes() for name in ENDPOINTS}

    def feed(rng: random.Random) -> None:
        _import(ground, rng, rng.choice(list(files)), files)

    return feed


def tables_border(ground: Ground, _vendor: Vendor) -> Feed:
    """Return the same for the tables a user writes."""
    files = {name: text.encode() for name, text in TABLES.items()}

    def feed(rng: random.Random) -> None:
        _import(ground, rng, rng.choice(list(files)), files)

    return feed


def _import(ground: Ground, rng: random.Random, name: str, files: dict[str, bytes]) -> None:
    folder = ground.fresh("in")
    (folder / name).mkdir()
    path = folder / name / f"{name}.csv"
    if rng.random() < 0.35:
        path = path.with_suffix(".parquet")
        _spoilt_parquet(rng, files[name], path)
    else:
        path.write_bytes(spoilt_csv(rng, files[name]))
    if rng.random() < 0.04:
        _odd_file(rng, path)
    before = ground.lake.version()
    try:
        version = import_folder(folder, ground.lake, TODAY, "six_months").version
    except AshareError:
        assert ground.content() == ground.state
        raise
    if version.number == before.number:
        return
    ground.accepted += 1
    try:
        if rng.random() < 0.3:
            build(ground.lake, ground.fresh("bundle"))
    finally:
        ground.restore()
        (ground.root / "home" / "calendar.json").unlink(missing_ok=True)
        if calendar.beyond.cache_info().currsize and calendar.beyond() is not None:
            calendar.refresh()


TYPES = [pl.Int64, pl.Float32, pl.Boolean, pl.Binary, pl.Categorical, pl.Date, pl.Datetime("us"), pl.List(pl.String)]
TYPES += [pl.Time, pl.Duration("ns"), pl.Null, pl.Int8, pl.UInt64, pl.Decimal(20, 4), pl.Struct({"a": pl.Int64})]


def _spoilt_parquet(rng: random.Random, content: bytes, path: Path) -> None:
    """Write a table with columns of other types, other names, hostile values or broken bytes."""
    frame = pl.read_csv(content, infer_schema=rng.random() < 0.5, null_values=[""])
    for _ in range(rng.randint(0, 3)):
        if not frame.width:
            break
        column = rng.choice(frame.columns)
        kind = rng.randrange(5)
        if kind == 0:
            dtype = rng.choice(TYPES)
            values = [None] * frame.height
            try:
                frame = frame.with_columns(pl.Series(column, frame[column].to_list(), dtype=dtype, strict=False))
            except Exception:  # polars makes no such column: one of nulls does as well
                frame = frame.with_columns(pl.Series(column, values, dtype=dtype))
        elif kind == 1:
            name = rng.choice(["x", "", "__row__", "known_at", "held", "fresh", "plan"])
            frame = frame.with_columns(pl.col(column).alias(name)).drop(column if rng.random() < 0.3 else [])
        elif kind == 2:
            frame = frame.drop(column)
        elif kind == 3:
            frame = frame.clear() if rng.random() < 0.3 else pl.concat([frame, frame])
        else:
            values = [
                rng.choice([value for value in VALUES if isinstance(value, float | int)]) for _ in range(frame.height)
            ]
            frame = frame.with_columns(pl.Series(column, [float(value) for value in values]))
    frame.write_parquet(path)
    if rng.random() < 0.3:
        path.write_bytes(spoilt_bytes(rng, path.read_bytes()))


def _odd_file(rng: random.Random, path: Path) -> None:
    """Put something else where a file is: a folder, a link, nothing to read, a pipe."""
    path.unlink()
    kind = rng.randrange(5)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to("/nowhere")
    elif kind == 2:
        path.symlink_to(path.name)
    elif kind == 3:
        path.symlink_to("/dev/null")
    else:
        path.write_bytes(b"")


def lake_border(ground: Ground, _vendor: Vendor) -> Feed:
    """Return what reads a lake with a spoiled version file or a damaged part."""
    newest = max((ground.lake.root / "versions").iterdir())
    document = json.loads(newest.read_bytes())

    def feed(rng: random.Random) -> None:
        path = newest
        if rng.random() < 0.75:
            body = spoilt_json(rng, document) if rng.random() < 0.8 else spoilt_bytes(rng, newest.read_bytes())
        else:
            path = rng.choice(sorted(ground.lake.root.rglob("*.parquet")))
            body = spoilt_bytes(rng, path.read_bytes())
        before = path.read_bytes()
        try:
            path.write_bytes(body)
            _read_all(ground)
        finally:
            path.write_bytes(before)

    return feed


def _read_all(ground: Ground) -> None:
    """Read a lake in every way there is."""
    from bundles import checks
    from bundles.status import holdings

    lake = ground.lake
    version = lake.require()
    lake.view(), lake.view(dt.date(2018, 3, 7))
    for name in ENDPOINTS:
        lake.frame(version, name)
    list(holdings(lake, version, {}))
    checks.held_back(lake, version)
    lake.verify(version)
    ground.accepted += 1


def inbox_border(ground: Ground, vendor: Vendor) -> Feed:
    """Return what reads answers on their way that were damaged."""
    question = Question("daily", "daily", (("trade_date", "20180306"),), ("ts_code", "trade_date"), dt.date(2018, 3, 6))

    def feed(rng: random.Random) -> None:
        inbox = Inbox(ground.lake.root, TODAY)
        inbox.put(question, pl.DataFrame({"ts_code": ["600000.SH"] * 9, "trade_date": ["20180306"] * 9}))
        path = inbox.find(question)
        assert path is not None
        path.write_bytes(spoilt_bytes(rng, path.read_bytes()))
        for name in ("0", "99999999", "20261301", "٣"):
            if rng.random() < 0.2:
                (inbox.root / name).mkdir(exist_ok=True)
        try:
            inbox = Inbox(ground.lake.root, TODAY)
            if inbox.find(question) is not None:
                inbox.read([question])
            ground.accepted += 1
        finally:
            shutil.rmtree(inbox.root)

    return feed


TOML = """profile = "workload"
[data]
undated = "six_months"
coverage = 0.5
[tushare]
base_url = "http://127.0.0.1:80"
start = 2010-01-01
points = 2000
[selection]
cap = 0.02
[execution]
fill = "open"
audit = false
"""


def settings_border(ground: Ground, _vendor: Vendor) -> Feed:
    """Return what reads spoiled settings, from the file or the environment."""
    path = ground.root / "home" / "ashare.toml"

    def feed(rng: random.Random) -> None:
        lines = TOML.splitlines()
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(lines))
            key, _, value = lines[at].partition(" = ")
            hostile = rng.choice(VALUES)
            text = hostile.text if isinstance(hostile, Raw) else repr(hostile)
            lines[at] = rng.choice(
                [f"{key} = {text}", f"{text} = {value}", f"[{key}]", f"[[{key}]]", lines[at] + "\n" + lines[at]]
            )
        body = "\n".join(lines).encode("utf-8", "surrogatepass")
        with pytest.MonkeyPatch.context() as patch:
            path.write_bytes(spoilt_bytes(rng, body) if rng.random() < 0.3 else body)
            if rng.random() < 0.4:
                path.unlink()
                key = rng.choice(
                    ["DATA__COVERAGE", "TUSHARE", "EXECUTION__FILL", "PROFILE", "HOME", "X", "LABELS__UP__X", ""]
                )
                text = str(rng.choice([value for value in VALUES if not isinstance(value, Raw)])).replace("\x00", "?")
                text = text.encode("utf-8", "replace").decode()[:5000]
                if key == "HOME":
                    text = rng.choice(["/proc/1", "/dev/null", "\n", "~nobody", "/" + "a" * 300, text])
                patch.setenv(f"ASHARE_{key}", text)
            settings.load()
        ground.accepted += 1
        path.unlink(missing_ok=True)

    return feed


def calendar_border(ground: Ground, _vendor: Vendor) -> Feed:
    """Return what reads a spoiled ``calendar.json``."""
    path = ground.root / "home" / "calendar.json"
    first, last = calendar.library_end() + dt.timedelta(1), calendar.library_end() + dt.timedelta(9)
    document = {"first": str(first), "last": str(last), "sessions": [str(first + dt.timedelta(n)) for n in range(5)]}

    def feed(rng: random.Random) -> None:
        calendar.refresh()
        text = json.dumps(document).encode()
        path.write_bytes(spoilt_json(rng, document) if rng.random() < 0.7 else spoilt_bytes(rng, text))
        try:
            if calendar.beyond() is not None and rng.random() < 0.1:
                assert len(calendar.sessions()) > 8000
            ground.accepted += 1
        finally:
            path.unlink()
            calendar.refresh()

    return feed


BORDERS = {
    "reply": reply_border,
    "import": import_border,
    "tables": tables_border,
    "lake": lake_border,
    "inbox": inbox_border,
    "settings": settings_border,
    "calendar": calendar_border,
}


@pytest.mark.parametrize("name", BORDERS)
def test_only_our_errors_come_out(ground, vendor, name):
    cross(ground, vendor, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", BORDERS)
def test_only_our_errors_come_out_of_ten_thousand(ground, vendor, name):
    cross(ground, vendor, name, MANY)


def cross(ground: Ground, vendor: Vendor, name: str, count: int) -> None:
    """Feed a border; the inputs must be neither all refused nor all taken, or they test nothing."""
    ground.accepted = 0
    refused = feed_all(count, name, BORDERS[name](ground, vendor))
    assert refused > count / 10, f"{refused} of {count} refused"
    assert ground.accepted > count / 100, f"{ground.accepted} of {count} taken"
    shutil.rmtree(ground.lake.root / ".inbox", ignore_errors=True)
    assert ground.content() == ground.state
