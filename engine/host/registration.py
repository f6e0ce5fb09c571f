"""Puts our parts where zipline looks its own up, by name, at run time. Other bundles keep the stock parts.

zipline has no plug-in points for the algorithm, the portal and the reader of a bundle, but looks each of them
up as a module global at every run; those names are rebound here and nowhere else (``docs/adr/0002``).
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
import pandas as pd
from zipline.algorithm import TradingAlgorithm
from zipline.data import bundles
from zipline.data.bundles import core
from zipline.data.bundles.core import UnknownBundle
from zipline.data.data_portal import DataPortal
from zipline.utils import run_algo

from engine import calendar
from engine import settings as settings_module
from engine.errors import DataNotFit, NoBundle
from engine.host.algorithm import AShareAlgorithm
from engine.host.portal import AShareDataPortal
from engine.panels.bars import NoMinuteBars, PanelBarReader
from engine.panels.bundle import open_bundle
from engine.panels.reader import Panels

GROUP = "ashare.bundles"
_stock_load = core.load
_stock_resolve = run_algo.BenchmarkSpec.resolve
_ours: set[str] = set()


def install() -> None:
    """Register the calendar, the bundles and our parts; a second call changes nothing."""
    calendar.register()
    bundles.load = core.load = load
    run_algo.TradingAlgorithm = algorithm
    run_algo.DataPortal = portal
    run_algo.BenchmarkSpec.resolve = resolve_benchmark
    for entry in entry_points(group=GROUP):
        _register(entry)


def _register(entry: EntryPoint) -> None:
    if entry.name in _ours:
        return

    def ingest(*arguments: Any) -> None:
        entry.load()(*arguments)

    bundles.register(entry.name, ingest, calendar_name=calendar.NAME, create_writers=False)
    _ours.add(entry.name)


def load(name: str, environ: Mapping[str, str] = os.environ, timestamp: pd.Timestamp | None = None) -> Any:
    """Open a bundle: ours from its panels, any other as zipline does."""
    if name not in _ours:
        try:
            return _stock_load(name, environ, timestamp)
        except (UnknownBundle, ValueError) as error:
            raise NoBundle(
                f"bundle {name!r} cannot be opened", str(error).splitlines()[0], f"Ours is {', '.join(_ours)}: add -b."
            ) from None
    bundle = open_bundle(name, timestamp, environ)
    bundle.asset_finder.panels = bundle.panels  # for resolve_benchmark, which is handed nothing else of ours
    return core.BundleData(
        asset_finder=bundle.asset_finder,
        equity_minute_bar_reader=NoMinuteBars(bundle.panels),
        equity_daily_bar_reader=PanelBarReader(bundle.panels),
        adjustment_reader=bundle.adjustments,
    )


def algorithm(*args: Any, data_portal: Any = None, **kwargs: Any) -> TradingAlgorithm:
    """Return our algorithm for our portal, the stock one for any other."""
    kind: Any = AShareAlgorithm if isinstance(data_portal, AShareDataPortal) else TradingAlgorithm
    return kind(*args, data_portal=data_portal, **kwargs)


def portal(*args: Any, **kwargs: Any) -> DataPortal:
    """Return our portal for our reader, the stock one for any other."""
    ours = isinstance(kwargs.get("equity_daily_reader"), PanelBarReader)
    return (AShareDataPortal if ours else DataPortal)(*args, **kwargs)


def resolve_benchmark(spec: Any, asset_finder: Any, start_date: Any, end_date: Any) -> Any:
    """Return the index of the settings where the command names no benchmark, else what zipline resolves."""
    named = (spec.benchmark_returns, spec.benchmark_file, spec.benchmark_sid, spec.benchmark_symbol)
    panels = getattr(asset_finder, "panels", None)
    if panels is None or spec.no_benchmark or any(value is not None for value in named):
        return _stock_resolve(spec, asset_finder, start_date, end_date)
    return None, _index_returns(panels, start_date.date(), end_date.date())


def _index_returns(panels: Panels, start: dt.date, end: dt.date) -> pd.Series:
    """Return the daily returns of the benchmark index; zeros, with a warning, where it has not begun or has ended.

    Raises
    ------
    DataNotFit
        A session the run needs is missing between others: its return, and the next one's, would be lost.
    """
    code = settings_module.load().labels.index
    closes = panels.index(code, "close")
    if closes is None or np.isnan(closes).all():
        run_algo.log.warning("the bundle has no index %s: the benchmark returns are zero", code)
        return pd.Series(0.0, index=panels.sessions)
    first, last = panels.first_row_from(start), panels.last_row_to(end)
    there = np.flatnonzero(~np.isnan(closes))
    inside = np.arange(max(first - 1, int(there[0])), min(last, int(there[-1])) + 1)  # the first return has a base
    missing = inside[np.isnan(closes[inside])]
    if len(missing):
        raise DataNotFit(
            f"the index {code} has no close on {panels.days[missing[0]]}",
            f"{len(missing)} sessions are missing inside the run, and the benchmark's return with them",
            "Import the missing rows of index_daily and run `zipline ingest -b ashare`, or name another benchmark.",
        )
    if first < there[0] or last > there[-1]:
        held = f"{panels.days[there[0]]} to {panels.days[there[-1]]}"
        run_algo.log.warning("the bundle has the index %s from %s: other benchmark returns are zero", code, held)
    return pd.Series(closes, index=panels.sessions).pct_change(fill_method=None).fillna(0.0)
