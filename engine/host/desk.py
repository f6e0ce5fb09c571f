"""What a script with rules of risk asks the host for: the account at the close, what became known, and its own notes.

Stocks go by their first code here: it never changes, ties break by it, and it can be written down. Whatever is
returned was known after the close of the session at hand.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from zipline.api import order
from zipline.assets import Asset

from engine import calendar
from engine.errors import BadInput
from engine.model.labels import UP, classes, labels, lag
from engine.monitor.volatility import realised_volatility
from engine.portfolio.account import Account, Holding
from engine.portfolio.risk import Ex
from engine.portfolio.select import Selection, decide
from engine.portfolio.size import target_shares, turned_over
from engine.report.runs import Decided
from engine.types import RETRAIN, Choice, Event, Reason, Side

RETRIED = frozenset(
    {
        *(Reason.SUSPENDED, Reason.LIMIT_UP, Reason.LIMIT_DOWN, Reason.NOT_SELLABLE),
        *(Reason.PARTICIPATION, Reason.ORDER_MAXIMUM, Reason.CASH),
    }
)
"""What may be over by the next session; a lot, a cap or a delisting is not."""


def today(context: Any) -> dt.date:
    """Return the session at hand."""
    day: dt.date = context.get_datetime().date()
    return day


def code_of(context: Any, asset: Asset) -> str:
    """Return the first code of an asset."""
    code: str = context._panels.assets[asset.sid].first_code
    return code


def account_of(context: Any, data: Any) -> Account:
    """Return what is held at the close."""
    positions = context.portfolio.positions
    ahead = calendar.next_session(today(context)) or today(context) + dt.timedelta(days=1)
    sellable = context.metrics_tracker.ledger.holdings.sellable
    held = {
        code_of(context, asset): Holding(
            int(position.amount),
            sellable(asset.sid, ahead),
            float(position.cost_basis),
            _price(data, asset, position),
        )
        for asset, position in positions.items()
    }
    return Account(float(context.portfolio.portfolio_value), held)


def _price(data: Any, asset: Asset, position: Any) -> float:
    """Return the close, or for a stock that has none any more, the price the ledger values it at."""
    price = float(data.current(asset, "price"))
    return float(position.last_sale_price) if math.isnan(price) else price


def went_ex(context: Any) -> dict[str, Ex]:
    """Return what went ex at the open, a share, by code; several actions of one stock are added up."""
    found: dict[str, Ex] = {}
    for action in context._panels.actions.on(_row(context)):
        code = context._panels.assets[action.sid].first_code
        before = found.get(code, Ex())
        rights, price = float(action.rights), float(action.rights_price)
        found[code] = Ex(
            before.cash + float(action.cash),
            before.shares + float(action.shares),
            before.rights + rights,
            price if rights else before.rights_price,
        )
    return found


def volatility_index(context: Any) -> float:
    """Return the volatility index of the close, percent: the user's column, or CSI 500's own; NaN where unknown."""
    settings, row = context.ashare.settings, _row(context)
    if settings.risk.volatility_file is not None:
        return outside_index(settings.risk.volatility_file.expanduser()).get(today(context), math.nan)
    closes = context._panels.index(settings.labels.index, "close")
    needed = settings.risk.volatility_sessions
    return math.nan if closes is None else realised_volatility(closes[max(row - needed, 0) : row + 1], needed)


def outside_index(path: Path) -> dict[dt.date, float]:
    """Read a volatility index: a CSV with the columns ``trade_date`` and ``value`` (percent).

    Raises
    ------
    BadInput
        The file is not there or not of this kind.
    """
    try:
        return _outside_index(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise BadInput(f"the volatility index {path} cannot be read", error.strerror or "no file", _MEND) from None


_MEND = "Write the columns trade_date (YYYYMMDD) and value (percent), or leave risk.volatility_file out."


@lru_cache(maxsize=4)
def _outside_index(path: Path, changed: int) -> dict[dt.date, float]:
    """Read the file again only when it has changed."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
        found = {dt.date.fromisoformat(row["trade_date"]): float(row["value"]) for row in rows}
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        why = str(error) or type(error).__name__
        raise BadInput(f"the volatility index {path} cannot be read", why, _MEND) from None
    wrong = [day for day, value in found.items() if not 0 <= value < math.inf]
    if wrong:
        raise BadInput(f"the volatility index {path} cannot be used", f"{wrong[0]} has no percentage", _MEND)
    return found


def matured(context: Any, waiting: Iterable[dt.date]) -> dict[dt.date, dict[str, bool]]:
    """Return for each session whose labels are known by now: every labelled stock, and whether it went up."""
    settings, panels, row = context.ashare.settings.labels, context._panels, _row(context)
    found = {}
    for session in waiting:
        decided = panels.row(pd.Timestamp(session))
        if decided + lag(settings) <= row:
            excess = labels(panels, settings, decided, 1).excess[0]
            up = classes(excess, settings) == UP
            labelled = np.flatnonzero(np.isfinite(excess)).tolist()
            found[session] = {panels.assets[sid].first_code: bool(up[sid]) for sid in labelled}
    return found


def matured_ic(context: Any, name: str) -> float:
    """Return the rank IC of a factor, or of ``p_up``, that became known at this close; NaN where there is none.

    Those of all factors and of P_up are noted for the run.
    """
    row = _row(context)
    decided, found = context.ashare.signals.matured(row)
    for one, (value, n) in found.items():
        day = context._panels.days[decided].item()
        context._diary.coefficients.append((today(context), day, one, value, n))
    return float(found[name][0]) if name in found else math.nan


def rebalanced(
    context: Any,
    data: Any,
    table: pd.DataFrame,
    account: Account,
    limit: float,
    stopped: Iterable[str] = (),
    barred: Iterable[str] = (),
) -> dict[str, int]:
    """Decide about every member, note why, and return the shares to hold, best first.

    Parameters
    ----------
    context, data
        As zipline hands them to ``handle_data``.
    table : DataFrame
        Output of ``ranking_pipeline``.
    account : Account
        At the close.
    limit : float
        Gross limit in force.
    stopped, barred : iterable of str
        Who must not be bought: sold by a stop, or on the blacklist.
    """
    settings = context.ashare.settings.selection
    codes = np.array([code_of(context, asset) for asset in table.index], dtype=str)
    score, turnover = (table[name].to_numpy(np.float64) for name in ("score", "turnover"))
    flags = (np.isin(codes, np.array(list(who), dtype=str)) for who in (account.holdings, stopped, barred))
    decided = decide(codes.tolist(), score, table["at_limit"].to_numpy(np.bool_), turnover, settings, *flags)
    chosen = codes[decided.chosen].tolist()
    assets = list(table.index[decided.chosen])
    prices = {code: float(data.current(asset, "price")) for code, asset in zip(chosen, assets, strict=True)}
    wanted = target_shares(chosen, prices, account.net_value, settings, limit=limit)
    targets = wanted
    if settings.maximum_turnover:
        targets = turned_over(wanted, account.shares, prices, settings.maximum_turnover * account.net_value)
    _note(context, table, decided, _empty(codes.tolist(), wanted, targets), score)
    return {code: shares for code, shares in targets.items() if shares}


def _empty(codes: Sequence[str], wanted: Mapping[str, int], targets: Mapping[str, int]) -> dict[int, Choice]:
    """Return the positions of those chosen for whom nothing is left to hold, and why."""
    at = {code: position for position, code in enumerate(codes)}
    return {
        at[code]: Choice.TURNOVER_LIMIT if wanted[code] else Choice.LESS_THAN_A_LOT
        for code, shares in targets.items()
        if not shares
    }


def _note(
    context: Any, table: pd.DataFrame, decided: Selection, changed: Mapping[int, Choice], score: np.ndarray[Any, Any]
) -> None:
    reasons = decided.reasons.copy()
    for position, reason in changed.items():
        reasons[position] = reason
    sids = np.array([asset.sid for asset in table.index], dtype=np.int64)
    context._diary.decisions.append(Decided(today(context), sids, decided.ranks, score, reasons))


def unfilled(context: Any) -> list[tuple[str, int]]:
    """Return what yesterday's orders did not get for a reason that may be over tomorrow, in their order, signed."""
    found, session = [], today(context)
    for row in reversed(context.blotter.rows):
        if row.session != session:
            break
        if row.reason in RETRIED:
            left = row.requested - row.filled
            code = code_of(context, context.blotter.orders[row.order_id].asset)
            found.append((code, left if row.side is Side.BUY else -left))
    return found[::-1]


def closes_of(context: Any, data: Any, codes: Iterable[str]) -> dict[str, float]:
    """Return the last close of some stocks, CNY."""
    assets = assets_of(context, codes)
    return {code: float(data.current(asset, "price")) for code, asset in assets.items()}


def assets_of(context: Any, codes: Iterable[str]) -> dict[str, Asset]:
    """Return the assets of some first codes."""
    named = context.ashare.sids
    return {code: context.asset_finder.retrieve_asset(named[code]) for code in codes}


def place(context: Any, wanted: Sequence[tuple[str, int]]) -> None:
    """Order signed shares, in their order; buys are bound by the cap at their fill."""
    settings = context.ashare.settings.selection
    assets = assets_of(context, [code for code, _ in wanted])
    with context.blotter.capped(settings.cap if settings.cap_at_fill else None):
        for code, shares in wanted:
            order(assets[code], shares)


def note_events(context: Any, events: Iterable[Event]) -> None:
    """Write events of this close to the run."""
    session = today(context)
    context._diary.events.extend((session, event) for event in events)


def retrained(context: Any, events: Iterable[Event]) -> None:
    """Where the watch asks for it and ``watch.retrain`` allows it, let models of today serve from the next session."""
    if context.ashare.settings.watch.retrain and any(event.effect == RETRAIN for event in events):
        context._retrain()


def _row(context: Any) -> int:
    row: int = context._panels.row(pd.Timestamp(today(context)))
    return row
