"""``python -m benchmarks.bench_ingest``: what a build of the bundle costs, and one more session from the vendor.

The lake holds 5,000 stocks over ten years, with listings along the way, suspensions, dividends with their changes of
the factor, names with ST, the exchange's limits and two reports a quarter. One more session, with a dividend, a name
and some reports, is then served by the local Tushare in a process of its own. ``full`` is ``ashare data build``,
``sync and build`` is ``ashare data sync --build``, each in a fresh process; ``cpu_s``, ``wall_s`` and ``rss_mb`` are
of the whole process, from start to exit.

Predicted from 3,665 stocks x 2,305 sessions of real data: 12 CPU s and 1.3 GB for a full build, and 5 CPU s for one
more session: 1.5 of imports, 1.5 of sync, 2 of build. What costs more than predicted is writing 1 GB of new pages.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from benchmarks.workload import ROOT, environment
from bundles.endpoints import ENDPOINTS
from bundles.lake import KNOWN_AT, Append, Lake
from engine.calendar import sessions
from engine.files import sha256_of

FIRST, LAST, SEED = "2015-01-05", "2024-12-31", 11
RANGES = (("600", "SH"), ("601", "SH"), ("603", "SH"), ("605", "SH"), ("000", "SZ"), ("001", "SZ"), ("002", "SZ"))


class Vendor:
    """Draws a market and hands out the rows of any of its sessions."""

    def __init__(self, n: int) -> None:
        self.rng = np.random.default_rng(SEED)
        every = sorted(f"{prefix}{at:03d}.{suffix}" for prefix, suffix in RANGES for at in range(1000))
        self.codes = np.array(every)[np.sort(self.rng.permutation(len(every))[:n])]
        known = sessions()
        until = int(np.searchsorted(known, np.datetime64(LAST), side="right"))
        self.days = known[int(np.searchsorted(known, np.datetime64(FIRST))) : until]
        self.after = known[until]
        self.listed = self.rng.integers(1, len(self.days) // 2, n) * (self.rng.random(n) < 0.4)
        self.ex_rows = self.rng.integers(0, len(self.days), (n, 8))
        self.close = self.rng.integers(400, 6000, n)
        self.factor = np.ones(n)
        self.shares = np.exp(self.rng.normal(11.2, 0.6, n))

    def session(self, row: int, day: np.datetime64) -> pl.DataFrame:
        """Return one session's bars, with every column of the daily tables."""
        n, rng = len(self.codes), self.rng
        goes_ex = (self.ex_rows == row).any(axis=1)
        self.factor[goes_ex] *= 1.02
        pre = np.where(goes_ex, np.rint(self.close / 1.02), self.close).astype(np.int64)
        up, down = (pre * 110 + 50) // 100, (pre * 90 + 50) // 100
        close = np.clip(np.rint(pre * np.exp(rng.normal(0, 0.02, n))), down, up).astype(np.int64).clip(100)
        opened = np.clip(np.rint(pre * np.exp(rng.normal(0, 0.005, n))), down, up).astype(np.int64).clip(100)
        there = (row >= self.listed) & (rng.random(n) > 0.004)
        self.close = np.where(there, close, pre)
        turnover = np.exp(rng.normal(0.3, 0.7, n))
        lots = np.rint(self.shares * turnover)
        return pl.DataFrame(
            {
                "ts_code": self.codes,
                "trade_date": np.full(n, day),
                "open": opened / 100,
                "high": np.maximum(opened, close) / 100,
                "low": np.minimum(opened, close) / 100,
                "close": close / 100,
                "pre_close": pre / 100,
                "vol": lots,
                "amount": lots * close / 1000,
                "adj_factor": self.factor.copy(),  # polars would share it
                "turnover_rate": turnover,
                "total_mv": self.shares * close / 100,
                "up_limit": up / 100,
                "down_limit": down / 100,
                "there": there,
            }
        )

    def stock_basic(self) -> pl.DataFrame:
        """Return who is listed."""
        listed = np.where(self.listed > 0, self.days[self.listed], np.datetime64("2010-01-04"))
        return _stocks(self.codes, listed)

    def dividends(self) -> pl.DataFrame:
        """Return a plan for every change of the factor."""
        stocks, at = np.repeat(np.arange(len(self.codes)), 8), self.ex_rows.ravel()
        ex_date = self.days[at]
        return pl.DataFrame(
            {
                "ts_code": self.codes[stocks],
                "end_date": ex_date - np.timedelta64(150, "D"),
                "ann_date": ex_date - np.timedelta64(20, "D"),
                "div_proc": "实施",
                "stk_div": 0.0,
                "cash_div_tax": np.round(self.rng.random(len(at)) * 0.3 + 0.01, 3),
                "ex_date": ex_date,
                "plan": np.arange(len(at)),
            }
        )

    def names(self) -> pl.DataFrame:
        """Return the first name of each stock, and of every tenth a year with ST."""
        some = self.codes[::10]
        begin = self.days[self.rng.integers(0, len(self.days) - 250, len(some))]
        return pl.concat(
            [
                pl.DataFrame({"ts_code": self.codes, "name": "某某", "start_date": dt.date(2010, 1, 4)}),
                pl.DataFrame({"ts_code": some, "name": "ST某", "start_date": begin}),
                pl.DataFrame({"ts_code": some, "name": "某某", "start_date": begin + np.timedelta64(365, "D")}),
            ]
        )

    def reports(self, items: tuple[str, ...]) -> pl.DataFrame:
        """Return a report a stock and quarter, announced within four months."""
        ends = np.array([f"{year}-{end}" for year in range(2014, 2025) for end in QUARTERS], dtype="datetime64[D]")[:-1]
        count = len(self.codes) * len(ends)
        end_date = np.tile(ends, len(self.codes))
        delay = np.random.default_rng(SEED).integers(20, 60, count)  # both statements come out the same day
        frame = pl.DataFrame(
            {
                "ts_code": np.repeat(self.codes, len(ends)),
                "end_date": end_date,
                "ann_date": end_date + delay.astype("timedelta64[D]"),
                "report_type": "1",
                "comp_type": "1",
                "update_flag": "0",
                **{item: np.round(np.exp(self.rng.normal(18, 1, count)), 2) for item in items},
            }
        )
        return frame.filter(pl.col("ann_date") <= self.days[-1])


QUARTERS = ("03-31", "06-30", "09-30", "12-31")
DAILY = ("daily", "adj_factor", "daily_basic", "stk_limit")
ASKED = ("suspend_d", "stock_st", "stock_basic", "namechange", "dividend", "index_daily", "trade_cal", "new_share")
ITEMS = {
    "income": ("revenue", "oper_cost", "n_income_attr_p"),
    "balancesheet": ("total_assets", "total_liab", "total_hldr_eqy_exc_min_int"),
}


def _stocks(codes: Any, listed: Any) -> pl.DataFrame:
    return pl.DataFrame({"ts_code": codes, "name": "某某", "list_status": "L", "list_date": listed})


def put(append: Append, endpoint: str, stem: str, rows: pl.DataFrame, day: dt.date) -> None:
    """Stage rows as an import would; columns they lack are null."""
    spec = ENDPOINTS[endpoint]
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in spec.types.items()
    ]
    known = spec.known(day, "six_months").alias(KNOWN_AT)
    append.add(spec, stem, rows.select(columns).with_columns(known), day)


def put_sessions(append: Append, stem: str, rows: pl.DataFrame, day: dt.date) -> None:
    """Stage bars, and who was suspended instead of having one."""
    there = rows.filter("there")
    for endpoint in DAILY:
        put(append, endpoint, stem, there, day)
    put(append, "suspend_d", stem, rows.filter(~pl.col("there")).with_columns(suspend_type=pl.lit("S")), day)


def prepare(n: int, home: Path) -> None:
    """Make the lake of ten years, and beside it what the next session brings."""
    shutil.rmtree(home, ignore_errors=True)
    vendor, fetched = Vendor(n), dt.date.fromisoformat(LAST)
    with Lake(home / "lake").append() as append:
        years = vendor.days.astype("datetime64[Y]")
        for year in np.unique(years):
            rows = [vendor.session(row, vendor.days[row]) for row in np.flatnonzero(years == year).tolist()]
            put_sessions(append, str(year), pl.concat(rows), fetched)
        put(append, "stock_basic", "all", vendor.stock_basic(), fetched)
        put(append, "dividend", "all", vendor.dividends(), fetched)
        put(append, "namechange", "all", vendor.names(), fetched)
        for endpoint, items in ITEMS.items():
            put(append, endpoint, "all", vendor.reports(items), fetched)
        index = {"trade_date": vendor.days, "open": 5000.0, "close": 5000.0}
        put(
            append,
            "index_daily",
            "all",
            pl.concat(pl.DataFrame({"ts_code": code, **index}) for code in INDEXES),
            fetched,
        )
        put(append, "trade_cal", "all", _trade_cal(), fetched)
        stretch = dt.date.fromisoformat(FIRST), fetched
        append.commit("synthetic", {}, dict.fromkeys([*DAILY, *ITEMS, *ASKED], stretch))
    vendor.session(len(vendor.days), vendor.after).write_parquet(home / "next.parquet")
    write_vendor(home)


def write_vendor(home: Path) -> None:
    """Write the folder the local Tushare serves: what a sync after the next session asks for."""
    rows = pl.read_parquet(home / "next.parquet")
    lake, day = Lake(home / "lake"), rows["trade_date"][0]
    version = lake.version()
    there = rows.filter("there")
    last = (dt.date.fromisoformat(LAST) - dt.timedelta(14), day)
    news = dict.fromkeys(DAILY, there) | {
        "suspend_d": rows.filter(~pl.col("there")).with_columns(suspend_type=pl.lit("S")),
        "namechange": rows.slice(7, 1).select("ts_code", name=pl.lit("*ST某"), start_date="trade_date"),
        "dividend": rows.slice(9, 1).select(
            "ts_code",
            end_date=pl.date(2024, 6, 30),
            ex_date="trade_date",
            imp_ann_date="trade_date",
            ann_date=pl.date(2024, 12, 2),
            div_proc=pl.lit("实施"),
            cash_div_tax=pl.lit(0.1),
        ),
        "index_daily": pl.DataFrame({"ts_code": INDEXES, "trade_date": [day] * 2, "open": 5000.0, "close": 5000.0}),
    }
    report = rows.head(20).select("ts_code", ann_date="trade_date", end_date=pl.date(2024, 12, 31))
    report = report.with_columns(report_type=pl.lit("1"), comp_type=pl.lit("1"), update_flag=pl.lit("0"))
    for name, items in ITEMS.items():
        news[name] = report.with_columns(pl.lit(1e8).alias(item) for item in items)
    for name in (*DAILY, "suspend_d", "stock_basic", "namechange", "dividend", *ITEMS, "index_daily"):
        held = lake.frame(version, name, between=last if name in (*DAILY, "suspend_d") else None)
        columns = list(ENDPOINTS[name].schema.columns())
        fresh = _as_endpoint(name, news[name]) if name in news else held.clear()
        _write(home, name, pl.concat([held.select(columns), fresh.select(columns)]))
    renamed = pl.when(pl.col("ts_code") == rows["ts_code"][7]).then(pl.lit("*ST某")).otherwise("name")
    _write(home, "stock_basic", lake.frame(version, "stock_basic").with_columns(renamed.alias("name")))
    _write(home, "trade_cal", _trade_cal())


def _trade_cal() -> pl.DataFrame:
    days = pl.date_range(dt.date(2010, 1, 1), dt.date(2026, 12, 31), eager=True)
    opened = days.is_in(pl.Series(sessions()).implode()).cast(int)
    return pl.DataFrame({"exchange": "SSE", "cal_date": days, "is_open": opened})


def _as_endpoint(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in the columns of an endpoint; columns they lack are null."""
    return rows.select(
        (pl.col(column) if column in rows.columns else pl.lit(None)).cast(dtype).alias(column)
        for column, dtype in ENDPOINTS[name].types.items()
    )


def _write(home: Path, name: str, rows: pl.DataFrame) -> None:
    folder = home / "vendor" / name
    folder.mkdir(parents=True, exist_ok=True)
    rows.drop(KNOWN_AT, strict=False).with_columns(pl.selectors.date().dt.strftime("%Y%m%d")).write_parquet(
        folder / f"{name}.parquet"
    )


INDEXES = ("000905.SH", "000300.SH")
ASHARE = (sys.executable, "-c", "from engine.cli.main import main; main()")
TOKEN = "benchmark"  # noqa: S105
AT_SEVEN = """
import datetime, sys
from engine import clock
day = datetime.date.fromisoformat(sys.argv.pop(1))
clock.now = lambda: datetime.datetime.combine(day, datetime.time(19), clock.SHANGHAI)
from engine.cli.main import main
main()
"""
"""The command on an evening of the past."""


@contextmanager
def served(home: Path) -> Iterator[dict[str, str]]:
    """Serve the vendor's folder from a process of its own; yield the environment of a client."""
    command = [*ASHARE, "demo-server", "--folder", str(home / "vendor")]
    more = ["--token", TOKEN, "--calls-per-minute", "100000"]
    server = subprocess.Popen([*command, *more], env=environment(home), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[3]
        yield environment(home) | {
            "ASHARE_TUSHARE__BASE_URL": url,
            "ASHARE_TUSHARE__POINTS": "5000",
            "ASHARE_TUSHARE__CALLS_PER_MINUTE": "100000",
            "ASHARE_TUSHARE_TOKEN": TOKEN,
        }
    finally:
        server.terminate()
        server.wait()


def sync(home: Path) -> tuple[dict[str, Any], Path]:
    """Sync the next session and build it, in one fresh process; return its figures and the folder."""
    day = str(pl.read_parquet(home / "next.parquet", columns=["trade_date"]).item(0, 0))
    with served(home) as client:
        found, said = figures([sys.executable, "-c", AT_SEVEN, day, "data", "sync", "--build"], client)
    return found, Path(said.split()[-1])


def build(home: Path, *options: str) -> tuple[dict[str, Any], Path]:
    """Build in a fresh process and return its figures and the folder."""
    found, said = figures([*ASHARE, "data", "build", *options], environment(home))
    return found, Path(said.split()[1])


def figures(command: list[str], environ: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Run a command and return what it cost and what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        failure = process.stderr.read() if process.stderr else ""
        raise click.ClickException(f"{' '.join(command[-3:])} failed:\n{failure}")
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_s": round(time.perf_counter() - started, 2),
        "rss_mb": round(usage.ru_maxrss / 1024),
    }, said


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file of an ingestion."""
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def measure(n: int, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Build everything, sync and build the next session, then build all again, which must give the same bytes."""
    if not (home / "vendor" / "trade_cal").exists():
        say(f"making a lake of {n:,} stocks")
        prepare(n, home)
    work = home / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(home, work)
    try:
        full, _ = build(work)
        (synced, mine), (again, whole) = sync(work), build(work, "--full")
        same = hashes(mine) == hashes(whole)
    finally:
        shutil.rmtree(work)
    return {"n": n, "full": full, "sync and build": synced, "full again": again, "same bytes": same}


@click.command()
@click.argument("n", type=click.IntRange(20, 6000), default=5000)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line instead of a table.")
def main(n: int, as_json: bool) -> None:
    """Measure a full build over N stocks, and one after one more session."""
    found = measure(n, (ROOT / f"ingest-{n}").absolute(), lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps(found))
    else:
        click.echo(f"{'':<14}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}")
        for name in ("full", "sync and build", "full again"):
            row = found[name]
            click.echo(f"{name:<14}{row['cpu_s']:>8.2f}{row['wall_s']:>8.2f}{row['rss_mb']:>9,}")
        click.echo(f"the bytes of the last two are {'the same' if found['same bytes'] else 'NOT the same'}")
    sys.exit(not found["same bytes"])


if __name__ == "__main__":
    main()
