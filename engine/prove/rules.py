"""``ashare prove rules``: the rulebook against the exchange, stock-day by stock-day, and against its vectors.

Each bar's limits are computed from the rules alone and compared with the exchange's recorded ones. What differs
is an exception, and gets a cause from what the data themselves show; one without a cause fails the proof.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.market.actions import reference_price
from engine.market.boards import board_of, exchange_of
from engine.market.limits import NO_LIMIT, Session, limit_percent, limit_prices, session_limits
from engine.market.tables import read_csv
from engine.panels.limits import rule_limits
from engine.panels.reader import Panels
from engine.panels.store import LIMIT_RECORDED, TRADED, Asset
from engine.types import Standing

Array = npt.NDArray[Any]

LONG_ABSENCE = 5
"""Sessions without a bar before one, from which a session counts as a resumption."""
DELISTING_PERIOD = 31
"""Bars before the end of a listing that may belong to a delisting period its name does not mark (30, and one)."""

ENOUGH_BARS = 100
"""Bars of one stock without a trade beyond the narrower band, from which the wider one counts as disproved."""
FEW_FEN = 3


class Cause(StrEnum):
    """Why a recorded limit is not the rule's; the list is closed."""

    ONE_FEN = "one_fen"
    FIRST_DAY = "first_day"
    NO_PREVIOUS_CLOSE = "no_previous_close"
    RESUMPTION = "resumption"
    CONVERSION = "conversion"
    DELISTING_UNMARKED = "delisting_unmarked"
    NAME_CONTRADICTED = "name_contradicted"
    RECORD_CONTRADICTED = "record_contradicted"
    OTHER_BAND = "other_band"
    OTHER_REFERENCE = "other_reference"
    TRADED_BEYOND = "traded_beyond"
    FEW_FEN = "few_fen"
    UNEXPLAINED = "unexplained"


CAUSES = {
    Cause.ONE_FEN: "the record is one fen off the rule",
    Cause.FIRST_DAY: "a session the rule frees, or whose issue price is not known",
    Cause.NO_PREVIOUS_CLOSE: "no previous close to start from",
    Cause.RESUMPTION: f"a session after {LONG_ABSENCE} or more without trade: the exchange set no limit, or its own",
    Cause.CONVERSION: "the factor changes and the previous close is not adjusted, or the other way round",
    Cause.DELISTING_UNMARKED: "the ordinary band in the last bars of a listing: a delisting period no name marks",
    Cause.NAME_CONTRADICTED: "the other band, and trades beyond the rule's: the name of the day is wrong",
    Cause.RECORD_CONTRADICTED: f"the other band, and in {ENOUGH_BARS} bars or more no trade beyond the rule's: "
    "the record is wrong",
    Cause.OTHER_BAND: "the other band, and no trade tells which is right",
    Cause.OTHER_REFERENCE: "the record is the rule's for another reference price than the previous close given",
    Cause.TRADED_BEYOND: "trades of the session beyond the rule's: the record was widened to hold them",
    Cause.FEW_FEN: f"the record is two or {FEW_FEN} fen off the rule: the vendor's arithmetic",
    Cause.UNEXPLAINED: "no cause found",
}


@dataclass(frozen=True)
class Proof:
    """What was compared and what differs.

    Attributes
    ----------
    bars : int
        Bars of the panels.
    recorded : int
        Bars with a row of the exchange.
    without_limit : int
        Of these, rows that give no limit.
    without_limit_by_rule : int
        Of these, sessions that the rule frees too.
    compared : int
        Bars compared: rows of the exchange with prices.
    exceptions : DataFrame
        A row a bar that differs: ts_code, session, cause, and both limits in CNY.
    corrected : int
        Cells where the panels hold the rule's price because the record is one fen off and no trade confirms it.
    """

    bars: int
    recorded: int
    without_limit: int
    without_limit_by_rule: int
    compared: int
    exceptions: pl.DataFrame
    corrected: int

    @property
    def equal(self) -> int:
        """Bars whose recorded limits are the rule's."""
        return self.compared - self.exceptions.height

    def counts(self) -> dict[Cause, int]:
        """Return the exceptions by cause, the most frequent first."""
        found = self.exceptions["cause"].value_counts(sort=True)
        return {Cause(cause): count for cause, count in found.iter_rows()}


def compare(panels: Panels) -> Proof:
    """Compute every bar's limits from the rulebook and compare them with the exchange's.

    Parameters
    ----------
    panels : Panels
        A bundle built from a lake with ``stk_limit``.
    """
    status, pre_close = panels.field("status"), panels.field("pre_close")
    traded = (status & TRADED) != 0
    up, down = _recorded(panels)
    there = traded & ((status & LIMIT_RECORDED) != 0)
    rule = rule_limits(panels.days, panels.assets, traded, pre_close, status)
    none = there & (up == NO_LIMIT)
    same = rule.known & (up == rule.up) & (down == rule.down)
    rows, sids = np.nonzero(there & ~none & ~same)
    facts = _Facts(panels, traded, up, down, rule.up, rule.down, rule.known)
    cells = sorted(zip(sids.tolist(), rows.tolist(), strict=True))
    frame = pl.DataFrame([_exception(facts, row, sid) for sid, row in cells], schema=_SCHEMA, orient="row")
    return Proof(
        bars=int(traded.sum()),
        recorded=int(there.sum()),
        without_limit=int(none.sum()),
        without_limit_by_rule=int((none & rule.known & (rule.up == NO_LIMIT)).sum()),
        compared=int((there & ~none).sum()),
        exceptions=frame,
        corrected=len(panels.corrected_limits),
    )


_SCHEMA = {
    "ts_code": pl.String,
    "session": pl.Date,
    "cause": pl.String,
    "recorded_up": pl.Float64,
    "recorded_down": pl.Float64,
    "rule_up": pl.Float64,
    "rule_down": pl.Float64,
}


def _recorded(panels: Panels) -> tuple[Array, Array]:
    """Return the limits as the exchange's table has them: those in force, less our corrections."""
    up, down = (np.array(panels.field(name)) for name in ("up_limit", "down_limit"))
    cells = panels.corrected_limits
    up[cells[:, 0], cells[:, 1]], down[cells[:, 0], cells[:, 1]] = cells[:, 2], cells[:, 3]
    return up, down


class _Facts:
    """What the data show about a stock around a session."""

    def __init__(
        self, panels: Panels, traded: Array, up: Array, down: Array, rule_up: Array, rule_down: Array, known: Array
    ) -> None:
        self.panels, self.traded, self.up, self.down = panels, traded, up, down
        self.rule_up, self.rule_down, self.known = rule_up, rule_down, known
        self.pre_close, self.factor = panels.field("pre_close"), panels.field("adj_factor")
        self.last_bar, self.close = panels.field("last_bar"), panels.field("last_close")
        self.high, self.low = panels.field("high"), panels.field("low")
        self.other = self._other_band()

    def asset(self, sid: int) -> Asset:
        return self.panels.assets[sid]

    def day(self, row: int) -> dt.date:
        day: dt.date = self.panels.days[row].astype(dt.date)
        return day

    def apart(self, row: int, sid: int) -> int:
        """Return by how many fen record and rule differ, the larger of both sides."""
        pairs = ((self.up, self.rule_up), (self.down, self.rule_down))
        return max(abs(int(record[row, sid]) - int(rule[row, sid])) for record, rule in pairs)

    def absence(self, row: int, sid: int) -> int:
        """Return the sessions without a bar before this one; a great number before the first."""
        before = int(self.last_bar[row - 1, sid]) if row else -1
        return row - before - 1 if before >= 0 else 10**6

    def moved(self, row: int, sid: int) -> bool:
        """Say whether factor and previous close disagree on whether a corporate action took place."""
        if not row:
            return False
        before, after = self.factor[row - 1, sid], self.factor[row, sid]
        expected = self.close[row - 1, sid] * before / after
        return bool(abs(self.pre_close[row, sid] - expected) > 1 + 0.005 * expected)

    def other_reference(self, row: int, sid: int) -> bool:
        """Say whether one other reference price gives both recorded limits in the rule's band."""
        percent = 100 * self.rule_up[row, sid] / self.pre_close[row, sid] - 100
        near = round(self.up[row, sid] / (1 + percent / 100))
        bases = np.arange(near - 2, near + 3, dtype=np.int64)
        up, down = limit_prices(bases, np.full(5, round(percent)), np.zeros(5, dtype=np.int64))
        return bool(((up == self.up[row, sid]) & (down == self.down[row, sid])).any())

    def traded_beyond(self, row: int, sid: int) -> bool:
        """Say whether a trade of the session proves the rule's limits, by the name of the day, wrong."""
        return bool(
            self.rule_up[row, sid] < self.high[row, sid] <= self.up[row, sid]
            or self.down[row, sid] <= self.low[row, sid] < self.rule_down[row, sid]
        )

    def bars_left(self, row: int, sid: int) -> int:
        """Return the bars from this one to the last, a great number for a stock that is still listed."""
        if self.asset(sid).delist_date is None and self.traded[-20:, sid].any():
            return 10**6
        return int(self.traded[row:, sid].sum())

    def beyond_rule(self, row: int, sid: int) -> int:
        """Return how many of the bars of this run of the other band traded beyond the rule's limits."""
        first, last = self.run(row, sid)
        inside = slice(first, last + 1)
        bars = self.other[inside, sid] & self.known[inside, sid]
        above = self.high[inside, sid] > self.rule_up[inside, sid]
        below = self.low[inside, sid] < self.rule_down[inside, sid]
        return int((bars & (above | below)).sum())

    def run(self, row: int, sid: int) -> tuple[int, int]:
        """Return first and last row of the run of the other band around a session, gaps without a bar included."""
        bars = np.flatnonzero(self.traded[:, sid])
        at = int(np.searchsorted(bars, row))
        first = last = at
        while first > 0 and self.other[bars[first - 1], sid]:
            first -= 1
        while last + 1 < len(bars) and self.other[bars[last + 1], sid]:
            last += 1
        return int(bars[first]), int(bars[last])

    def _other_band(self) -> Array:
        """Return where the record is what the rule gives for another standing of the stock."""
        other = np.zeros(self.up.shape, dtype=bool)
        differs = (
            self.known
            & (self.rule_up > 0)
            & ((self.up != self.rule_up) | (self.down != self.rule_down))
            & (self.up > 0)
        )
        for row, sid in zip(*(index.tolist() for index in np.nonzero(differs)), strict=True):
            other[row, sid] = self._is_other_band(row, sid)
        return other

    def _is_other_band(self, row: int, sid: int) -> bool:
        board, day = self.asset(sid).board, self.day(row)
        close = np.array([self.pre_close[row, sid]], dtype=np.int64)
        for standing in (Standing.ORDINARY, Standing.RISK_WARNED):
            percent = np.array([limit_percent(board, standing, day)])
            up, down = limit_prices(close, percent, np.array([0]))
            off = max(abs(int(up[0]) - int(self.up[row, sid])), abs(int(down[0]) - int(self.down[row, sid])))
            if off <= 1:
                return True
        return False


def _exception(facts: _Facts, row: int, sid: int) -> tuple[Any, ...]:
    prices = (array[row, sid] / 100 for array in (facts.up, facts.down, facts.rule_up, facts.rule_down))
    return facts.asset(sid).code_on(facts.day(row)), facts.day(row), str(_cause(facts, row, sid)), *prices


def _cause(facts: _Facts, row: int, sid: int) -> Cause:
    """Return why a cell differs: the first of the causes that the data show."""
    apart = facts.apart(row, sid)
    if facts.other[row, sid] and apart > 1 and facts.rule_up[row, sid] != NO_LIMIT:
        return _cause_of_band(facts, row, sid)
    tests: tuple[tuple[Cause, Callable[[], bool]], ...] = (
        (Cause.NO_PREVIOUS_CLOSE, lambda: not facts.pre_close[row, sid]),
        (Cause.FIRST_DAY, lambda: not facts.known[row, sid] or facts.rule_up[row, sid] == NO_LIMIT),
        (Cause.ONE_FEN, lambda: apart == 1),
        (Cause.RESUMPTION, lambda: facts.absence(row, sid) >= LONG_ABSENCE),
        (Cause.CONVERSION, lambda: facts.moved(row, sid)),
        (Cause.OTHER_REFERENCE, lambda: facts.other_reference(row, sid)),
        (Cause.TRADED_BEYOND, lambda: facts.traded_beyond(row, sid)),
        (Cause.FEW_FEN, lambda: apart <= FEW_FEN),
    )
    return next((cause for cause, holds in tests if holds()), Cause.UNEXPLAINED)


def _cause_of_band(facts: _Facts, row: int, sid: int) -> Cause:
    first, _ = facts.run(row, sid)
    if facts.bars_left(first, sid) <= DELISTING_PERIOD:
        return Cause.DELISTING_UNMARKED
    if facts.beyond_rule(row, sid):
        return Cause.NAME_CONTRADICTED
    return Cause.RECORD_CONTRADICTED if facts.other[:, sid].sum() >= ENOUGH_BARS else Cause.OTHER_BAND


@dataclass(frozen=True)
class ExRights:
    """How many ex-sessions were checked, and how near the computed reference price is to the previous close given."""

    checked: int
    equal: int
    near: int


def ex_rights(panels: Panels) -> ExRights:
    """Compute the reference price of every ex-session that follows a bar at once, and compare it.

    Companies with treasury shares pay by an amount of their own a share, which the plan does not show: this is
    a figure to look at, not a proof.
    """
    pre_close, close, last_bar = (panels.field(name) for name in ("pre_close", "last_close", "last_bar"))
    off = []
    for row in range(1, len(panels.days)):
        by_stock = defaultdict(list)
        for action in panels.actions.on(row):
            by_stock[action.sid].append(action)
        for sid, actions in by_stock.items():
            if last_bar[row, sid] == row and last_bar[row - 1, sid] == row - 1 and pre_close[row, sid]:
                price = reference_price(
                    Decimal(int(close[row - 1, sid])) / 100,
                    sum((action.cash for action in actions), Decimal(0)),
                    sum((action.shares for action in actions), Decimal(0)),
                    sum((action.rights for action in actions), Decimal(0)),
                    max(action.rights_price for action in actions),
                )
                off.append(abs(int(price * 100) - int(pre_close[row, sid])))
    return ExRights(len(off), off.count(0), off.count(1))


def vectors() -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    """Yield the oracle cases: what each is, what its source says, and what the rulebook says, in fen."""
    for line in read_csv("limit_vectors"):
        day, code = dt.date.fromisoformat(line["day"]), line["ts_code"]
        since, listed = int(line["since_listing"] or 0), line["listed"]
        entered, since_entry = line["entered"], int(line["since_entry"] or 0)
        session = Session(
            board=board_of(code),
            exchange=exchange_of(code),
            day=day,
            standing=Standing(line["standing"]),
            pre_close=int(line["pre_close"]),
            listed=dt.date.fromisoformat(listed) if listed else None,
            since_listing=since,
            issue_price=int(line["issue_price"] or 0),
            entered=dt.date.fromisoformat(entered) if entered else None,
            since_entry=since_entry,
        )
        what = f"{code} {day} {line['standing']} {int(line['pre_close']) / 100:.2f}"
        yield what, (int(line["up"]), int(line["down"])), session_limits(session)
