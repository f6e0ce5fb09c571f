"""Three readings of the same bars side by side: how much of a result hangs on fills that daily bars cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from engine.files import read_json, write_json
from engine.report import statistics as stats

FILE = "envelope.json"
SCENARIOS = ("pessimistic", "base", "optimistic")


def write_envelope(folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Put the figures of the three runs into the folder of each, and return them, the pessimistic first.

    Parameters
    ----------
    folders : mapping of str to Path
        The run folder of each scenario.
    """
    rows = [_row(name, folders[name]) for name in SCENARIOS]
    for folder in folders.values():
        write_json(folder / FILE, rows)
    return rows


def read_envelope(folder: Path) -> list[dict[str, Any]]:
    """Return the figures beside a run, none where it ran alone."""
    path = folder / FILE
    rows: list[dict[str, Any]] = read_json(path) if path.exists() else []
    return rows


def _row(scenario: str, folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / "manifest.json")
    perf = pl.read_parquet(folder / "perf.parquet")
    own = stats.returns(perf["net_value"].to_numpy(), manifest["capital"], perf["flow"].to_numpy())
    year = stats.sessions_a_year(perf["session"][0], perf["session"][-1])
    figures = stats.figures(own, perf["benchmark_return"].to_numpy(), year)
    return {
        "scenario": scenario,
        "run": folder.name,
        "final_net_value": manifest["final_net_value"],
        "fills": manifest["fills"],
        "total_return": figures["total return"],
        "annual_return": figures["annual return"],
        "maximum_drawdown": figures["maximum drawdown"],
    }
