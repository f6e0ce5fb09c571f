"""``python -m benchmarks.workload N``: the reference workload through the stock ``zipline run``, one JSON line.

The market is made, imported and ingested first (kept in ``.bench``, timed apart); ``cpu_s``, ``wall_s`` and
``rss_mb`` are of one fresh ``zipline run`` process from start to exit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

ROOT = Path(".bench")
START, END, CAPITAL = "2018-01-02", "2024-12-31", "10000000"
SCRIPT = Path(__file__).with_name("strategy.py")
ZIPLINE = [sys.executable, "-m", "zipline"]


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a home of its own, with the workload's settings and one thread."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ASHARE_")}
    own = {"ASHARE_HOME": str(home), "ZIPLINE_ROOT": str(home / "zipline"), "ASHARE_PROFILE": "workload"}
    return inherited | own | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def prepare(n: int, home: Path) -> None:
    """Make the market, import and ingest it, each in a process of its own: this one must stay small.

    A process that is forked from a large one has that one's size on its account.
    """
    shutil.rmtree(home, ignore_errors=True)
    market = home / "market"
    ashare = [sys.executable, "-c", "from engine.cli.main import main; main()"]
    for command in (
        [sys.executable, "-m", "benchmarks.market", str(n), str(market)],
        [*ashare, "init"],
        [*ashare, "data", "import", str(market)],
        [*ZIPLINE, "ingest", "-b", "ashare", "--no-show-progress"],
    ):
        subprocess.run(command, env=environment(home), check=True, capture_output=True)
    shutil.rmtree(market)
    (home / "prepared").touch()


def measure(n: int, home: Path) -> dict[str, Any]:
    """Run the workload once in a fresh process and return its figures."""
    command = [*ZIPLINE, "run", "-f", str(SCRIPT), "-b", "ashare", "--trading-calendar", "XSHG"]
    command += ["-s", START, "-e", END, "--capital-base", CAPITAL, "-o", os.devnull]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise click.ClickException(f"zipline run failed:\n{said[-2000:]}")
    folder = Path(next(line for line in reversed(said.splitlines()) if line.startswith("run: ")).removeprefix("run: "))
    manifest = json.loads((folder / "manifest.json").read_text())
    return {
        "n": n,
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_s": round(wall, 2),
        "rss_mb": round(usage.ru_maxrss / 1024),
        "fills": manifest["fills"],
        "final_equity": round(manifest["final_net_value"], 2),
    }


@click.command()
@click.argument("n", type=click.IntRange(min=20))
@click.option("--fresh", is_flag=True, help="Make the market again.")
def main(n: int, fresh: bool) -> None:
    """Run the reference workload over N stocks and print one JSON line."""
    home = (ROOT / str(n)).absolute()
    if fresh or not (home / "prepared").exists():
        before = os.times()
        prepare(n, home)
        used = os.times()
        seconds = used.children_user + used.children_system - before.children_user - before.children_system
        click.echo(f"market, import and ingest: {seconds:.1f} CPU s", err=True)
    click.echo(json.dumps(measure(n, home)))


if __name__ == "__main__":
    main()
