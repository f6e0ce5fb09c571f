"""zipline's algorithm under A-share timing: our blotter, our datasets, and a morning that knows no close."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
import pandas as pd
from exchange_calendars.utils.pandas_utils import days_at_time
from zipline._protocol import handle_non_market_minutes
from zipline.algorithm import TradingAlgorithm
from zipline.finance.blotter import SimulationBlotter
from zipline.gens.sim_engine import MinuteSimulationClock
from zipline.sources.benchmark_source import BenchmarkSource
from zipline.utils.cache import ExpiringCache

from engine import settings as settings_module
from engine.errors import EndOfDayDataRefused, OutsideData
from engine.execution.blotter import AShareBlotter
from engine.execution.holdings import Holdings
from engine.host.audit import Audit
from engine.host.portal import AShareDataPortal
from engine.host.signals import Signals
from engine.host.suspensions import Suspended
from engine.host.tracker import AShareMetricsTracker
from engine.model.shelf import Shelf
from engine.panels.reader import Panels
from engine.pipeline.datasets import END_OF_DAY
from engine.pipeline.loader import loaders
from engine.report.runs import Diary, RunRecord, write_run
from engine.settings import ExecutionSettings, Settings

MORNING = dt.time(8, 45)


@dataclass(frozen=True)
class AShareContext:
    """What a script finds on ``context.ashare``.

    Attributes
    ----------
    settings : Settings
        As they are in force for the run.
    models : Shelf
        The models the run may consult.
    sids : mapping of str to int
        The stock of each first code.
    signals : Signals
        How well factors and scores ordered the returns that are known by now.
    """

    settings: Settings
    models: Shelf
    sids: Mapping[str, int]
    signals: Signals


class AShareAlgorithm(TradingAlgorithm):
    """Runs a zipline script over an A-share bundle; made by ``registration`` in place of the stock class.

    A decision for T is made in ``handle_data`` at T's close, from what was known then; its orders execute on
    the next session. ``before_trading_start`` runs before T's open and sees T-1.

    Raises
    ------
    OutsideData
        The run reaches beyond the sessions of the bundle.
    """

    def __init__(
        self,
        sim_params: Any,
        data_portal: AShareDataPortal,
        blotter: Any = None,
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        settings, panels = settings or settings_module.load(), data_portal.bars.panels
        shelf = Shelf(settings, panels)
        self.ashare = self._ashare = AShareContext(settings, shelf, _sids(panels), Signals(panels, settings, shelf))
        self._panels: Panels = panels
        self._diary = Diary()
        self._strategy = kwargs.get("algo_filename") or "functions"
        _require_inside(panels, sim_params.start_session, sim_params.end_session)
        if blotter is None or type(blotter) is SimulationBlotter:
            blotter = AShareBlotter(data_portal.bars, settings.execution)
        super().__init__(sim_params=sim_params, data_portal=data_portal, blotter=blotter, **kwargs)
        self.restrictions |= Suspended(panels)
        if isinstance(self.blotter, AShareBlotter):
            self.blotter.attach(_LedgerAccount(self))

    def init_engine(self, get_loader: Any) -> None:
        """Serve our datasets beside whatever zipline serves."""
        ours = loaders(self._panels)
        super().init_engine(lambda column: ours.get(column) or get_loader(column))

    def pipeline_output(self, name: str) -> pd.DataFrame:
        """Return a pipeline's output for the session, unless it would show the close before the open."""
        if self._in_before_trading_start:
            attached = self._pipelines.get(name)
            if attached is not None and uses_end_of_day_data(attached.pipe):
                raise EndOfDayDataRefused(
                    f"pipeline {name!r} was asked for in before_trading_start",
                    "its datasets hold the session's close, which is not known before the open",
                    "Ask for it in handle_data or a scheduled function; the order still executes at the next open.",
                )
        return super().pipeline_output(name)

    def _retrain(self) -> None:
        """Let models trained for an event of this session serve from the next one on.

        Pipelines are computed many sessions at once: what they hold of later ones is of the models before.
        """
        self._ashare.models.retrain(self.get_datetime().date())
        self._pipeline_cache = ExpiringCache()

    def before_trading_start(self, data: Any) -> None:
        """Run the script's morning; its prices are those of the session before."""
        with handle_non_market_minutes(data):
            super().before_trading_start(data)

    def analyze(self, perf: pd.DataFrame) -> None:
        """Write the run folder and say where it is, then let the script analyse: its error must not lose the run."""
        folder = write_run(self._record())
        perf.attrs["run"] = str(folder)
        click.echo(f"run: {folder}", err=True)
        super().analyze(perf)

    def calculate_capital_changes(self, when: pd.Timestamp, *args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
        """Make zipline's capital changes, noting them: money put in is no return."""
        for packet in super().calculate_capital_changes(when, *args, **kwargs):
            self._diary.flow(when.date(), packet["capital_change"]["delta"])
            yield packet

    def _record(self) -> RunRecord:
        rows = [*self.blotter.rows, *self.blotter.unsettled()] if isinstance(self.blotter, AShareBlotter) else []
        return RunRecord(
            strategy=self._strategy,
            script=self.algoscript or "",
            capital=self.sim_params.capital_base,
            settings=self._ashare.settings,
            panels=self._panels,
            diary=self._diary,
            orders=rows,
            benchmark=self._benchmark.tolist(),
            models=self._ashare.models.used,
            scores=self._ashare.models.scored,
            attention=self._ashare.models.attention(),
        )

    def _create_benchmark_source(self) -> BenchmarkSource:
        source = super()._create_benchmark_source()
        sessions = self.sim_params.sessions
        self._benchmark = source.daily_returns(sessions[0], sessions[-1]).to_numpy()
        return source

    def _create_clock(self) -> MinuteSimulationClock:
        """Return zipline's daily clock with its morning at Shanghai's, not New York's."""
        sessions = self._played()
        closes = self.trading_calendar.schedule.loc[sessions, "close"]
        mornings = days_at_time(sessions, MORNING, self.trading_calendar.tz, day_offset=0)
        return MinuteSimulationClock(sessions, closes, closes, mornings, minute_emission=False)

    def _played(self) -> pd.DatetimeIndex:
        """Return the sessions that are simulated."""
        return self.sim_params.sessions

    def _create_metrics_tracker(self) -> AShareMetricsTracker:
        parameters, settings = self.sim_params, self._ashare.settings.execution
        return AShareMetricsTracker(
            self._diary,
            self._panels,
            settings,
            self._create_audit(settings),
            trading_calendar=self.trading_calendar,
            first_session=parameters.start_session,
            last_session=parameters.end_session,
            capital_base=parameters.capital_base,
            emission_rate=parameters.emission_rate,
            data_frequency=parameters.data_frequency,
            asset_finder=self.asset_finder,
            metrics=self._metrics_set,
        )

    def _create_audit(self, settings: ExecutionSettings) -> Audit | None:
        return Audit.of_run(self._panels, settings, self.sim_params.capital_base) if settings.audit else None


class _LedgerAccount:
    """The ledger as the blotter sees it at the open: nothing of the session's trading is in it yet."""

    def __init__(self, algorithm: AShareAlgorithm) -> None:
        self._algorithm = algorithm

    def cash(self) -> float:
        """Return the cash, CNY."""
        return float(self._algorithm.metrics_tracker.portfolio.cash)

    def net_value(self) -> float:
        """Return the net value at the last close, CNY; before the first one, the capital."""
        closes = self._algorithm._diary.closes
        return closes[-1][2] if closes else float(self._algorithm.sim_params.capital_base)

    @property
    def holdings(self) -> Holdings:
        """The lots."""
        return self._algorithm.metrics_tracker.ledger.holdings


def _sids(panels: Panels) -> dict[str, int]:
    return {asset.first_code: asset.sid for asset in panels.assets}


def uses_end_of_day_data(pipeline: Any) -> bool:
    """Say whether any term of a pipeline reads a dataset that holds the session's close."""
    waiting = [*pipeline.columns.values(), *([pipeline.screen] if pipeline.screen is not None else [])]
    seen = set()
    while waiting:
        term = waiting.pop()
        if getattr(term, "dataset", None) in END_OF_DAY:
            return True
        if term not in seen:
            seen.add(term)
            waiting.extend(term.dependencies)
    return False


def _require_inside(panels: Panels, start: pd.Timestamp, end: pd.Timestamp) -> None:
    first, last = panels.sessions[0], panels.sessions[-1]
    if start < first or end > last:
        raise OutsideData(
            f"a run from {start.date()} to {end.date()} leaves the bundle",
            f"it holds the sessions {first.date()} to {last.date()}",
            "Choose -s and -e inside it, or import later data and run `zipline ingest` again.",
        )
