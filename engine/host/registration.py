"""Puts our parts where zipline looks its own up, by name, at run time. Other bundles keep the stock parts.

zipline has no plug-in points for the algorithm, the portal and the reader of a bundle, but looks each of them
up as a module global at every run; those names are rebound here and nowhere else (``docs/adr/0002``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pandas as pd
from zipline.algorithm import TradingAlgorithm
from zipline.data import bundles
from zipline.data.bundles import core
from zipline.data.data_portal import DataPortal
from zipline.utils import run_algo

from engine import calendar
from engine import settings as settings_module
from engine.host.algorithm import AShareAlgorithm
from engine.host.portal import AShareDataPortal
from engine.panels.bars import NoMinuteBars, PanelBarReader
from engine.panels.bundle import open_bundle

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
        return _stock_load(name, environ, timestamp)
    bundle = open_bundle(name, timestamp, environ)
    bundle.asset_finder.index_returns = _index_returns(bundle.panels)
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
    returns = getattr(asset_finder, "index_returns", None)
    if returns is None or spec.no_benchmark or any(value is not None for value in named):
        return _stock_resolve(spec, asset_finder, start_date, end_date)
    return None, returns


def _index_returns(panels: Any) -> pd.Series:
    """Return the daily returns of the benchmark index; zeros, with a warning, where the lake has none."""
    code = settings_module.load().labels.index
    closes = panels.index(code, "close")
    if closes is None:
        run_algo.log.warning("the bundle has no index %s: the benchmark returns are zero", code)
        return pd.Series(0.0, index=panels.sessions)
    return pd.Series(closes, index=panels.sessions).pct_change(fill_method=None).fillna(0.0)
