"""``python -m benchmarks.bench_paper N``: what a session of paper trading costs, the data being there.

The market of the reference workload, its newest sessions one after the other in one process, each from an account that
is opened anew; one JSON line. The first session is told apart: it pays for imports and for opening the panels. CPU
seconds of this process are counted, for nothing is waited for.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path

import click

from benchmarks.workload import ROOT, SCRIPT, environment, prepare

CAPITAL = 10_000_000_00
"""Fen."""


@click.command()
@click.argument("n", type=click.IntRange(min=20))
@click.option("--sessions", type=click.IntRange(min=2), default=25, show_default=True)
@click.option("--strategy", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=SCRIPT)
def main(n: int, sessions: int, strategy: Path) -> None:
    """Run sessions over a market of N stocks."""
    home = (ROOT / str(n)).absolute()
    if not (home / "prepared").exists():
        prepare(n, home)
    os.environ.update({name: value for name, value in environment(home).items() if name != "ASHARE_PROFILE"})
    started = time.process_time()
    costs = session_costs(strategy.absolute(), sessions)
    first, later = costs[0], costs[1:]
    figures = {
        "n": n,
        "sessions": sessions,
        "first_cpu_s": round(first, 2),
        "median_cpu_s": round(statistics.median(later), 3),
        "largest_cpu_s": round(max(later), 3),
        "process_cpu_s": round(time.process_time() - started, 2),
    }
    click.echo(json.dumps(figures))


def session_costs(strategy: Path, count: int) -> list[float]:
    """Return the CPU seconds of each session, what leads up to the first one on its account."""
    began = time.process_time()
    from engine import clock, settings
    from engine.panels.bundle import open_bundle
    from engine.paper import cycle
    from engine.paper.account import Account, create
    from engine.prove.parity import chosen_sessions, scratch_home

    costs = []
    with scratch_home():
        values = settings.load()
        days = chosen_sessions(open_bundle().panels, count)
        folder = values.accounts / "bench"
        create(folder, strategy, CAPITAL, values, days[0], "simulated")
        for day in days:
            for _ in cycle.run(Account(folder), open_bundle(), clock.now(), day):
                costs.append(time.process_time() - began)
                began = time.process_time()
    return costs


if __name__ == "__main__":
    main()
