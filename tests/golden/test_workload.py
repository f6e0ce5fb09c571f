"""The reference workload through the stock command gives its published answer; no number of it is in the code."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest

from benchmarks.market import rows

# Two independent factor codes and three independent ledgers agree on these to the cent.
ANSWERS = {300: (4852, 9_652_219.98), 1500: (24_464, 6_524_926.47)}

CHECKSUMS = (478_735.01, 479_088.32, 485_490.21, 472_351.52, 479_073.57, 5_237_271_561.0)


@pytest.mark.parametrize("n", [300, pytest.param(1500, marks=pytest.mark.slow)])
def test_the_reference_workload_is_exact(n, tmp_path):
    command = [sys.executable, "-m", "benchmarks.workload", str(n)]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    (line,) = done.stdout.splitlines()
    measured = json.loads(line)
    assert set(measured) == {"n", "cpu_s", "wall_s", "rss_mb", "fills", "final_equity"}
    assert (measured["fills"], measured["final_equity"]) == ANSWERS[n]


def test_the_market_of_the_workload_is_the_same_everywhere():
    """Sums taken from the original generator's own output for N = 20."""
    market = rows(20)
    assert market.height == 36_416
    assert market["ts_code"][0] == "600000.SH"
    sums = market.select(pl.col("close", "open", "high", "low", "pre_close", "vol").sum()).row(0)
    assert sums == pytest.approx(CHECKSUMS, rel=1e-12)
