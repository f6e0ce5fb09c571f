"""One session of an account: settle what waits for it at its real bars, let the script decide, write everything down.

Each session is a simulation of one day with zipline's own loop and a new algorithm, which takes over what the one of
the session before left (``snapshot``, ``memory``). So a restart is no special case: it is what happens every day. The
panels end with the session; what is known of later ones cannot be read.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from zipline.assets import Asset
from zipline.data.data_portal import DataPortal
from zipline.errors import SymbolNotFound
from zipline.finance.trading import SimulationParameters
from zipline.pipeline.data import EquityPricing
from zipline.pipeline.loaders import USEquityPricingLoader

from engine import calendar
from engine.broker.port import Fill
from engine.errors import UsageError
from engine.execution.blotter import AShareBlotter, OrderRow
from engine.execution.outcomes import outcomes
from engine.host.algorithm import AShareAlgorithm
from engine.host.audit import Audit
from engine.host.ledger import AShareLedger
from engine.host.portal import AShareDataPortal
from engine.model.shelf import Scored
from engine.panels.bars import NoMinuteBars, PanelBarReader
from engine.panels.bundle import Bundle
from engine.panels.reader import Panels
from engine.paper.halts import Halt
from engine.paper.memory import Memory
from engine.paper.snapshot import (
    FORMAT,
    Names,
    closed_from_json,
    closed_to_json,
    ledger_to_json,
    orders_from_json,
    orders_to_json,
    restore_ledger,
)
from engine.portfolio.book import Book
from engine.portfolio.book import Event as BookEvent
from engine.report.runs import Diary
from engine.settings import ExecutionSettings, Settings
from engine.types import Event, Side

Json = dict[str, Any]

_MOVING = frozenset({"datetime", "initialized"})
"""What zipline changes itself."""
_LATER = frozenset({"datetime", "metrics_tracker", "trading_client", "_benchmark", "risk_report", "_last_sync_time"})
"""What zipline puts on an algorithm after it was made; the rest that appears there is the script's."""


@dataclass(frozen=True)
class Past:
    """What an account brings into a session.

    Attributes
    ----------
    script, file : str
        The strategy's text, and the name it is known by.
    first : date
        The account's first session.
    capital : float
        At the start, CNY.
    settings : Settings
        As they were when the account was made.
    book : Book
        The fold of the journal; it is taken on.
    state : dict or None
        What the session before wrote down; None on the first.
    scored : mapping of date to Scored
        What models said in the session whose returns become known in this one.
    halted : frozenset of Side
        Sides of which no order is taken.
    fills : sequence of Fill or None
        What somebody traded for the orders that wait; None where the session's bars decide.
    closed : callable
        Returns an order that ended before by its id, as it was written down; None where there never was one.
    """

    script: str
    file: str
    first: dt.date
    capital: float
    settings: Settings
    book: Book
    state: Json | None = None
    scored: Mapping[dt.date, Scored] = field(default_factory=dict)
    halted: frozenset[Side] = frozenset()
    fills: Sequence[Fill] | None = None
    closed: Callable[[str], Json | None] = lambda order_id: None


@dataclass(frozen=True)
class Done:
    """What a session came to.

    Attributes
    ----------
    session : date
        The session.
    settled : list of OrderRow
        How each order that met it ended, and orders that were refused when they were placed.
    entered : list of BookEvent
        What the book took in.
    state : dict
        What the next session begins with.
    diary : Diary
        Close, holdings, corporate actions, decisions, events, ICs.
    scored : Scored or None
        What the models said of the session.
    models : list of str
        Their ids.
    known_until : date or None
        The last day the oldest of them knows anything of.
    halts : list of Halt
        What stopped the account at this close.
    orders : list of dict
        What waits for the next session.
    panels : Panels
        The bundle as far as it was known.
    """

    session: dt.date
    settled: list[OrderRow]
    entered: list[BookEvent]
    state: Json
    diary: Diary
    scored: Scored | None
    models: list[str]
    known_until: dt.date | None
    halts: list[Halt]
    orders: list[Json]
    panels: Panels = field(repr=False)


class PaperAlgorithm(AShareAlgorithm):
    """The algorithm of one session, begun where the one of the session before ended.

    A script sees what it would see in a backtest from the account's first session that ends with this one. Its
    ``initialize`` runs every session as if it were the first: in that session, with the capital and nothing held.
    """

    def __init__(self, past: Past, names: Names, **kwargs: Any) -> None:
        self._past, self._names = past, names
        self._memory = Memory(lambda asset: names.code(asset.sid), names.asset)
        self._globals: Json = {}
        self._given: Json = {}
        self._halts: list[Halt] = []
        self._kept_book: Audit | None = None
        self._chance = _chance(self._memory)
        self._worth_before = past.capital
        super().__init__(settings=past.settings, script=past.script, algo_filename=past.file, **kwargs)
        assert isinstance(self.blotter, AShareBlotter)
        self.blotter.halted = past.halted
        if past.fills is not None:
            fills = list(past.fills)
            self.blotter.traded = lambda orders, bar_of, terms: outcomes(orders, fills, bar_of, terms)
        self._ashare.models.scored.update(past.scored)
        if past.state is not None:
            self._ashare.models.retrained += map(dt.date.fromisoformat, past.state["retrained"])

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Run the script's ``initialize``, which makes functions and pipelines anew; put back what it remembered."""
        self._own = frozenset({"_own", *vars(self), *_LATER})
        super().initialize(*args, **kwargs)
        self._globals = self._remembered_globals()
        self._given = self._attributes()
        state = self._past.state
        if state is None:
            return
        restore_ledger(self.metrics_tracker.ledger, state["ledger"], self._names)
        self.blotter.restore(orders_from_json(state["orders"], self._names))
        for name in [name for name in vars(self) if name not in self._own]:
            delattr(self, name)
        for name, value in self._memory.decode(state["context"]).items():
            setattr(self, name, value)
        self._recorded_vars.update(self._memory.decode(state["recorded"]))
        before = dt.date.fromisoformat(state["session"])
        self._diary.closes.append((before, state["ledger"]["portfolio"]["cash"], state["net_value"]))
        self._worth_before = state["net_value"] + _coming(self.metrics_tracker.ledger)
        if state["chance"] is not None:
            drawn = self._memory.decode(state["chance"])
            np.random.set_state(drawn["numpy"])
            random.setstate(drawn["python"])

    def symbol(self, symbol_str: str, country_code: str | None = None) -> Asset:
        """Look a stock up by its code of the day; one it has given up since goes by what the first session knew.

        A script that was right when the account was made must not fail on the day a code changes.
        """
        try:
            return super().symbol(symbol_str, country_code=country_code)
        except SymbolNotFound:
            if self._symbol_lookup_date is not None:
                raise
            return self.asset_finder.lookup_symbol(symbol_str, self.sim_params.start_session, country_code=country_code)

    def get_order(self, order_id: str) -> Any:
        """Return an order of any session, None where there never was one of this id."""
        found = super().get_order(order_id)
        if found is None and (closed := self._past.closed(order_id)) is not None:
            found = closed_from_json(closed, self._names).to_api_obj()
        return found

    def add_event(self, rule: Any, callback: Any) -> None:
        """Schedule a function; only ``initialize`` may, for it runs again in every session."""
        self._require_initialize("schedule_function")
        super().add_event(rule, callback)

    def set_symbol_lookup_date(self, dt: Any) -> None:
        """Say as of when codes are looked up; only ``initialize`` may, for it runs again in every session."""
        self._require_initialize("set_symbol_lookup_date")
        super().set_symbol_lookup_date(dt)

    def outcome(self) -> Done:
        """Return what the session came to; to be called after its close.

        Raises
        ------
        UsageError
            The script keeps something on ``context``, or in a global, that the next session could not have.
        """
        kept = {name: value for name, value in vars(self).items() if name not in self._own}
        shelf, closed = self._ashare.models, self._diary.closes[-1]
        orders = orders_to_json(self.blotter.waiting(), self._names)
        tracker = self.metrics_tracker
        state = {
            "format": FORMAT,
            "session": str(closed[0]),
            "net_value": closed[2],
            "context": self._memory.encode(kept),
            "recorded": self._memory.encode(self._recorded_vars),
            "ledger": ledger_to_json(tracker.ledger, self._names),
            "orders": orders,
            "closed": [closed_to_json(order, self._names) for order in self.blotter.closed()],
            "chance": self._drawn(),
            "retrained": [str(day) for day in shelf.retrained if f"{day:%Y-%m}" == f"{closed[0]:%Y-%m}"],
        }
        self._require_globals_unchanged()
        self._require_attributes_unchanged()
        assert self._kept_book is not None
        return Done(
            session=closed[0],
            settled=list(self.blotter.rows),
            entered=list(self._kept_book.taken),
            state=state,
            diary=self._diary,
            scored=shelf.scored.get(closed[0]),
            models=list(shelf.used),
            known_until=shelf.known_until,
            halts=self._halts,
            orders=orders,
            panels=self._panels,
        )

    def handle_data(self, data: Any) -> None:
        """Stop the buys after a loss that is too large, then let the script decide."""
        self._check_loss(data)
        super().handle_data(data)

    def _check_loss(self, data: Any) -> None:
        limit = self._past.settings.paper.daily_loss
        if not limit:
            return
        change = round((self._net_value(data) + _coming(self.metrics_tracker.ledger)) / self._worth_before - 1, 12)
        if change < -limit:
            why = f"the session lost {-change:.2%}, more than {limit:.2%}"
            self._halts.append(Halt("buys", "daily_loss", why))
            self.blotter.halted |= self._halts[-1].sides
            event = Event("daily_loss", why, change, -limit, "no buys until somebody resumes")
            self._diary.events.append((self.get_datetime().date(), event))

    def _net_value(self, data: Any) -> float:
        """Return cash and holdings at the close; the portfolio is not asked, which would move its sums by a bit."""
        ledger = self.metrics_tracker.ledger
        worth = float(ledger._portfolio.cash)
        for asset, held in ledger.position_tracker.positions.items():
            price = float(data.current(asset, "price"))
            worth += held.amount * (held.last_sale_price if math.isnan(price) else price)
        return worth

    def _create_audit(self, settings: ExecutionSettings) -> Audit:
        self._kept_book = Audit(self._panels, settings, self._past.book)
        return self._kept_book

    def _played(self) -> pd.DatetimeIndex:
        return self.sim_params.sessions[-1:]

    def _drawn(self) -> Json | None:
        """Return where the global sources of chance stand, None where the account's script never drew from one."""
        before = self._past.state
        now = _chance(self._memory)
        return now if now != self._chance or (before is not None and before["chance"] is not None) else None

    def _attributes(self) -> Json:
        """Return what zipline and the engine keep on the algorithm under names a script could take for its own."""
        return {name: value for name, value in vars(self).items() if name in self._own and name[0] != "_"}

    def _require_attributes_unchanged(self) -> None:
        now = self._attributes()
        for name, value in self._given.items():
            if now[name] is not value and name not in _MOVING:
                raise UsageError(
                    f"context.{name} cannot be kept from session to session",
                    "zipline itself has something of this name there",
                    "Choose another name for it.",
                )

    def _require_initialize(self, what: str) -> None:
        if self.initialized:
            raise UsageError(
                f"{what} was called outside initialize",
                "the next session of the account would know nothing of it",
                "Call it in initialize, and let the function decide on what context says.",
            )

    def _remembered_globals(self) -> Json:
        """Return the script's global values that could be written down, written down."""
        found = {}
        for name, value in self.namespace.items():
            if not name.startswith("__") and not callable(value):
                try:
                    found[name] = self._memory.encode({name: value})[name]
                except UsageError:
                    continue
        return found

    def _require_globals_unchanged(self) -> None:
        now = self._remembered_globals()
        for name in sorted({*now, *self._globals}):
            if now.get(name) != self._globals.get(name):
                raise UsageError(
                    f"the script changed its global {name}",
                    "only what it keeps on context is there in the next session",
                    f"Keep it as context.{name}.",
                )


def _chance(memory: Memory) -> Json:
    """Return where the global sources of chance stand."""
    return memory.encode({"numpy": np.random.get_state(), "python": random.getstate()})


def _coming(ledger: AShareLedger) -> float:
    """Return the dividends that are earned and not in the net value yet, after tax: going ex is no loss."""
    return float(sum(one.gross - one.withheld for one in ledger.payable()))


def run_session(bundle: Bundle, past: Past, day: dt.date) -> Done:
    """Run one session of an account.

    Parameters
    ----------
    bundle : Bundle
        It must hold the day; nothing after it is read.
    past : Past
        What the account brings.
    day : date
        The session.

    Raises
    ------
    UsageError
        The script keeps what cannot be kept.
    ProofFailed
        The book of the journal and zipline's ledger differ.
    """
    panels = Panels(bundle.panels.folder, until=day)
    names = Names(panels, bundle.asset_finder)
    session = pd.Timestamp(day)
    first = max(pd.Timestamp(past.first), panels.sessions[0])
    algorithm = PaperAlgorithm(
        past,
        names,
        sim_params=SimulationParameters(first, session, calendar.calendar(), past.capital, data_frequency="daily"),
        data_portal=_portal(bundle, panels),
        get_pipeline_loader=_loaders(bundle, panels),
        metrics_set={_Morning()},
        benchmark_returns=pd.Series(0.0, index=pd.DatetimeIndex([session])),
        trading_calendar=calendar.calendar(),
    )
    stream = algorithm.get_generator()
    try:
        next(packet for packet in stream if "daily_perf" in packet)
        return algorithm.outcome()
    finally:
        stream.close()


class _Morning:
    """Asks for the portfolio after the open's corporate actions, as zipline's own metrics do in a backtest.

    Its returns are a product over the moments it was asked for: one more or less moves their last bit.
    """

    def start_of_session(self, ledger: Any, session: pd.Timestamp, data_portal: DataPortal) -> None:
        """Bring the portfolio up to date."""
        ledger.update_portfolio()


def _portal(bundle: Bundle, panels: Panels) -> DataPortal:
    bars, minutes = PanelBarReader(panels), NoMinuteBars(panels)
    return AShareDataPortal(
        bundle.asset_finder,
        trading_calendar=calendar.calendar(),
        first_trading_day=minutes.first_trading_day,
        equity_minute_reader=minutes,
        equity_daily_reader=bars,
        adjustment_reader=bundle.adjustments,
        future_minute_reader=minutes,
        future_daily_reader=bars,
    )


def _loaders(bundle: Bundle, panels: Panels) -> Callable[[Any], Any]:
    pricing = USEquityPricingLoader.without_fx(PanelBarReader(panels), bundle.adjustments)

    def choose(column: Any) -> Any:
        if column.unspecialize() in EquityPricing.columns:
            return pricing
        raise ValueError(f"no loader for the column {column}")

    return choose
