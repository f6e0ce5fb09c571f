"""The rulebook's price limits for whole panels: what the build falls back on and the proof compares with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import BadInput, OutsideData
from engine.market.boards import exchange_of
from engine.market.limits import (
    NO_LIMIT,
    Session,
    free_sessions,
    limit_percent,
    limit_prices,
    listed_by_swap,
    session_limits,
)
from engine.market.limits import tick_floor as floor_of
from engine.panels.store import DELISTING_PERIOD, RISK_WARNED, SHARE_REFORM, Asset
from engine.types import Standing

Array = npt.NDArray[Any]

STANDINGS = (Standing.ORDINARY, Standing.RISK_WARNED, Standing.SHARE_REFORM, Standing.DELISTING_PERIOD)
NO_RULE = 0
"""What stands for "no rule is known" where a limit in percent is expected."""
LONGEST_FREE = 5
"""No board frees more sessions than these after a listing."""


@dataclass(frozen=True)
class RuleLimits:
    """Limits by rule of every bar.

    Attributes
    ----------
    up, down : arrays of int32, (sessions, assets)
        Fen; 0 = no limit, and where there is no bar.
    known : array of bool, (sessions, assets)
        Where a bar has a rule, and what the rule needs; a previous close or an issue price may be missing.
    unruled : array of bool, (sessions, assets)
        Where a bar is older than the rules of its board.
    """

    up: Array
    down: Array
    known: Array
    unruled: Array


def standing_codes(status: Array) -> Array:
    """Return the index in ``STANDINGS`` of each cell, from the bits of the field ``status``."""
    return _CODE_OF_STATUS[status]


def _code_of(status: int) -> int:
    for bit, standing in (
        (DELISTING_PERIOD, Standing.DELISTING_PERIOD),
        (RISK_WARNED, Standing.RISK_WARNED),
        (SHARE_REFORM, Standing.SHARE_REFORM),
    ):
        if status & bit:
            return STANDINGS.index(standing)
    return STANDINGS.index(Standing.ORDINARY)


_CODE_OF_STATUS = np.array([_code_of(status) for status in range(256)], dtype=np.int8)


def rule_limits(
    days: npt.NDArray[np.datetime64],
    assets: Sequence[Asset],
    traded: Array,
    pre_close: Array,
    status: Array,
    since: int = 0,
) -> RuleLimits:
    """Compute the limits of every bar from the rulebook alone.

    Parameters
    ----------
    days : array of datetime64[D], (sessions,)
    assets : sequence of Asset
        In sid order.
    traded : array of bool, (sessions, assets)
        Where there is a bar.
    pre_close : array of int, (sessions - since, assets)
        Fen, adjusted for the session's corporate action; 0 = none.
    status : array of uint8, (sessions, assets)
        The panel field.
    since : int
        The first session whose limits are asked for: ``pre_close`` and the result begin with it.
    """
    up, down = (np.zeros(pre_close.shape, dtype=np.int32) for _ in range(2))
    known, unruled = traded[since:] & (pre_close > 0), np.zeros(pre_close.shape, dtype=bool)
    standing = standing_codes(status)
    kinds = _Kinds.of(assets)
    for row, day in enumerate(days[since:].astype("datetime64[D]").tolist()):
        sids = np.flatnonzero(known[row])
        if len(sids):
            percent, floor = kinds.rules(day, sids, standing[since + row, sids])
            up[row, sids], down[row, sids] = limit_prices(pre_close[row, sids].astype(np.int64), percent, floor)
            unruled[row, sids] = percent == NO_RULE
    known &= ~unruled
    up[unruled], down[unruled] = NO_LIMIT, NO_LIMIT
    result = RuleLimits(up, down, known, unruled)
    for asset in assets:
        _listing(result, asset, days, traded, pre_close, since)
    _delisting_periods(result, days, assets, traded, pre_close, standing, since)
    return result


@dataclass(frozen=True)
class _Kinds:
    """Assets by board and exchange: what a rule for a bar depends on, beside its standing and its day."""

    examples: tuple[Asset, ...]
    of_sid: Array

    @classmethod
    def of(cls, assets: Sequence[Asset]) -> _Kinds:
        """Sort assets by kind."""
        kinds = {(asset.board, exchange_of(asset.ts_code)): asset for asset in reversed(assets)}
        number = {kind: at for at, kind in enumerate(kinds)}
        of_sid = [number[asset.board, exchange_of(asset.ts_code)] for asset in assets]
        return cls(tuple(kinds.values()), np.array(of_sid, dtype=np.int64))

    def rules(self, day: dt.date, sids: Array, standing: Array) -> tuple[Array, Array]:
        """Return percent and one-tick floor of one session's bars, a rule looked up once a kind and standing."""
        keys = self.of_sid[sids] * len(STANDINGS) + standing
        table = np.zeros((2, len(self.examples) * len(STANDINGS)), dtype=np.int64)
        for key in np.flatnonzero(np.bincount(keys)).tolist():
            kind, code = divmod(key, len(STANDINGS))
            table[:, key] = _rule(self.examples[kind], STANDINGS[code], day)
        return table[0, keys], table[1, keys]


def _rule(asset: Asset, standing: Standing, day: dt.date) -> tuple[int, int]:
    try:
        return limit_percent(asset.board, standing, day), floor_of(exchange_of(asset.ts_code), standing, day)
    except OutsideData:
        if standing is Standing.DELISTING_PERIOD:  # before there was such a period
            return _rule(asset, Standing.RISK_WARNED, day)
        return NO_RULE, 0


def _listing(result: RuleLimits, asset: Asset, days: Array, traded: Array, pre_close: Array, since: int) -> None:
    """Enter the first sessions of an asset that was listed inside the panels."""
    if np.datetime64(asset.list_date) < days[0] or not _had_rules(asset):
        return
    first = int(np.searchsorted(days, np.datetime64(asset.list_date)))
    rows = first + np.flatnonzero(traded[first:, asset.sid])[:LONGEST_FREE]
    for count, row in enumerate(rows.tolist(), 1):
        at = row - since, asset.sid
        if row < since:
            continue
        session = Session(
            board=asset.board,
            exchange=exchange_of(asset.ts_code),
            day=days[row].astype(dt.date),
            standing=Standing.ORDINARY,
            pre_close=int(pre_close[at]),
            listed=asset.list_date,
            since_listing=count,
            issue_price=asset.issue_price or int(pre_close[at]),
        )
        if count == 1 and asset.ts_code in listed_by_swap():
            _enter(result, at, (NO_LIMIT, NO_LIMIT))
        elif not result.unruled[at] and (count == 1 or _is_free(session)):
            _enter(result, at, _limits(session))


def _had_rules(asset: Asset) -> bool:
    """Say whether the board was open on the listing day; stocks that came to a new board were listed before."""
    try:
        free_sessions(asset.board, "listing", asset.list_date)
    except OutsideData:
        return False
    return True


def _is_free(session: Session) -> bool:
    assert session.listed is not None
    return session.since_listing <= free_sessions(session.board, "listing", session.listed)


def _delisting_periods(
    result: RuleLimits,
    days: Array,
    assets: Sequence[Asset],
    traded: Array,
    pre_close: Array,
    standing: Array,
    since: int,
) -> None:
    """Enter the sessions of delisting periods: their rule is that of the day the period began."""
    inside = traded & (standing == STANDINGS.index(Standing.DELISTING_PERIOD))
    for sid in np.flatnonzero(inside.any(axis=0)).tolist():
        rows = np.flatnonzero(inside[:, sid]).tolist()
        for count, row in enumerate(rows, 1):
            at = row - since, sid
            if row < since:
                continue
            session = Session(
                board=assets[sid].board,
                exchange=exchange_of(assets[sid].ts_code),
                day=days[row].astype(dt.date),
                standing=Standing.DELISTING_PERIOD,
                pre_close=int(pre_close[at]),
                entered=days[rows[0]].astype(dt.date),
                since_entry=count,
            )
            try:
                _enter(result, at, _limits(session))
            except OutsideData:
                continue  # before there was such a period: as any risk-warned stock


def _limits(session: Session) -> tuple[int, int] | None:
    try:
        limits = session_limits(session)
    except BadInput:
        return None
    return limits if session.pre_close or limits == (NO_LIMIT, NO_LIMIT) or session.issue_price else None


def _enter(result: RuleLimits, at: tuple[int, int], limits: tuple[int, int] | None) -> None:
    result.known[at] = limits is not None
    result.up[at], result.down[at] = limits or (NO_LIMIT, NO_LIMIT)
