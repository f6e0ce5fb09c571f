"""The daily cycle of an account: which sessions are due, whether they may be run, and what running one leaves behind.

The order of things makes it safe to die anywhere: the files of a session are written whole, then one line of the
journal makes it a fact, and only then does anything leave the house (tickets, messages), under names that can be given
twice.
"""

from __future__ import annotations

import copy
import datetime as dt
import io
import json
import math
import shutil
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from engine import calendar
from engine.errors import StaleData
from engine.execution.blotter import OrderRow
from engine.files import read_json, sha256_of, whole_folder
from engine.host.audit import to_fen
from engine.model.labels import lag
from engine.model.shelf import OUTPUTS, Scored
from engine.panels.bundle import Bundle
from engine.panels.reader import Panels
from engine.paper import by_hand
from engine.paper.account import DECISIONS, SCORES, STATE, Account
from engine.paper.due import due
from engine.paper.facts import event_to_json
from engine.paper.gates import Refusal, refusals
from engine.paper.journal import Entry
from engine.paper.step import Done, Past, run_session
from engine.portfolio.book import ExDividend
from engine.report.runs import decisions_frame
from engine.types import Side


def run(account: Account, bundle: Bundle, now: dt.datetime, until: dt.date | None = None) -> Iterator[Entry]:
    """Run what is due, session by session, and yield each one's entry once it is a fact.

    Parameters
    ----------
    account : Account
        Its lock is held by the caller.
    bundle : Bundle
        The newest data.
    now : datetime
        The present moment in Shanghai.
    until : date, optional
        The last session that is wanted.

    Raises
    ------
    StaleData
        The data of a session cannot carry a decision; the sessions before it stand.
    NoModel
        The strategy asks for a model that was never trained.
    ProofFailed
        The journal's book and zipline's ledger differ: the account is halted.
    """
    sessions = due(account, bundle.panels.days[-1].astype(dt.date), now, until)
    if sessions:
        account.state()  # a damaged account stays as it is
        note_repairs(account, bundle)
    for day in sessions:
        yield run_one(account, bundle, day)


def run_one(account: Account, bundle: Bundle, day: dt.date) -> Entry:
    """Run one session, and return its entry of the journal."""
    _require(refusals_of(account, bundle, day))
    traded = by_hand.imported(account, day) if account.by_hand else None
    done = run_session(bundle, _past(account, bundle.panels, day, traded), day)
    _require(_old_models(account, done))
    if traded is not None:
        by_hand.require_agreement_of(account, done, traded)
    facts = _facts(account, done)
    facts["files"] = _write_files(account, done)
    return account.note("session", facts)


def refusals_of(account: Account, bundle: Bundle, day: dt.date) -> Iterator[Refusal]:
    """Yield why a session may not be run."""
    settings = account.settings
    panels = Panels(bundle.panels.folder, until=day)
    yield from refusals(panels, day, settings.data.coverage, settings.labels.index)
    if day >= calendar.sessions()[-1].astype(dt.date):
        mend = "Run `ashare data sync`, which brings the next year once the exchanges have published it."
        yield Refusal(f"nobody knows the session after {day}", "the calendar ends with it", mend)


def _require(found: Iterator[Refusal]) -> None:
    for refusal in found:
        raise StaleData(refusal.what, refusal.why, refusal.mend)


def _old_models(account: Account, done: Done) -> Iterator[Refusal]:
    known = done.known_until
    if known is not None and (done.session - known).days > account.settings.paper.model_days:
        age = (
            f"it knows nothing after {known}, more than {account.settings.paper.model_days} days before {done.session}"
        )
        yield Refusal("the model is too old", age, f"Run `ashare train --start {done.session:%Y-%m}`.")


def _past(account: Account, panels: Panels, day: dt.date, traded: by_hand.Imported | None) -> Past:
    created = account.now.created
    return Past(
        script=account.script,
        file=account.file,
        first=dt.date.fromisoformat(account.now.sessions[0]["session"]) if account.now.sessions else day,
        capital=created["capital"] / 100,
        settings=account.settings,
        book=copy.deepcopy(account.now.book),  # the journal folds what this one is told, once it is a fact
        state=account.state(),
        scored=_matured(account, panels, day),
        halted=account.now.halted,
        fills=None if traded is None else traded.fills,
        closed=partial(_closed, account),
    )


def _closed(account: Account, order_id: str) -> Entry | None:
    """Return an order that has ended, as the session it ended in wrote it down."""
    for entry in reversed(account.now.sessions):
        if any(row["order_id"] == order_id for row in entry["settled"]):
            path = account.checked(account.session_folder(entry["session"]) / STATE, entry["files"][STATE])
            found: Entry = next(one for one in read_json(path)["closed"] if one["id"] == order_id)
            return found
    return None


def _matured(account: Account, panels: Panels, day: dt.date) -> dict[dt.date, Scored]:
    """Return what the models said in the session whose returns become known now; nothing else is asked for."""
    row = panels.last_row_to(day) - lag(account.settings.labels)
    decided = str(panels.days[row]) if row >= 0 else ""
    for entry in account.now.sessions:
        if entry["session"] == decided and SCORES in entry["files"]:
            path = account.checked(account.session_folder(decided) / SCORES, entry["files"][SCORES])
            frame = pl.read_parquet(path)
            sids = np.array([panels.sids[code] for code in frame["code"]], dtype=np.int64)
            return {dt.date.fromisoformat(decided): (sids, frame.select(OUTPUTS).to_numpy().astype(np.float32))}
    return {}


def _facts(account: Account, done: Done) -> Entry:
    """Return what the journal says of a session."""
    panels, names = done.panels, [asset.first_code for asset in done.panels.assets]
    traded = {names[panels.sids[row.ts_code]] for row in done.settled if row.session}
    _, cash, net_value = done.diary.closes[-1]
    held = {
        names[sid]: {"shares": shares, "sellable": sellable, "cost": float(cost)}
        for _, sid, shares, sellable, cost, _ in done.diary.holdings
    }
    return {
        "session": str(done.session),
        "data_id": panels.data_id,
        "settled": [_settled(row) for row in done.settled],
        "book": [event_to_json(event) for event in done.entered],
        "actions": [_action(names[sid], kind, shares, gain) for _, sid, kind, shares, gain in done.diary.actions],
        "cash": to_fen(cash),
        "net_value": to_fen(net_value),
        "positions": held,
        "marks": _marks(panels, sorted({*held, *traded})),
        "orders": [_ordered(panels, one) for one in done.orders if not one["cancelled"]],
        "events": [_event(event) for day, event in done.diary.events],
        "ic": [_coefficient(*one) for one in done.diary.coefficients],
        "halts": [{"what": one.what, "cause": one.cause, "why": one.why} for one in done.halts],
        "models": done.models,
        "recorded": done.state["recorded"],
    }


def _settled(row: OrderRow) -> Entry:
    price = None if row.price != row.price else row.price  # NaN where nothing was filled
    return {
        "order_id": row.order_id,
        "decided": str(row.decided),
        "session": row.session and str(row.session),
        "ts_code": row.ts_code,
        "side": str(row.side),
        "requested": row.requested,
        "filled": row.filled,
        "price": price,
        "commission": row.commission,
        "stamp_duty": row.stamp_duty,
        "transfer_fee": row.transfer_fee,
        "reason": str(row.reason),
    }


def _action(code: str, kind: str, shares: int, cash: float) -> Entry:
    """Return what a corporate action did to a holding, shares and fen, signed."""
    return {"code": code, "kind": kind, "shares": shares, "cash": to_fen(cash)}


def _coefficient(session: dt.date, decided: dt.date, name: str, value: float, n: int) -> Entry:
    return {"decided": str(decided), "name": name, "rank_ic": None if math.isnan(value) else float(value), "n": n}


def _ordered(panels: Panels, one: Entry) -> Entry:
    """Return an order for the next session as people read it."""
    day = panels.days[-1].astype(dt.date)
    asset = panels.assets[panels.sids[one["code"]]]
    side = Side.BUY if one["amount"] > 0 else Side.SELL
    return {
        "order_id": one["id"],
        "ts_code": asset.code_on(day),
        "side": str(side),
        "shares": abs(one["amount"]),
        "limit": one["limit"],
        "reference": int(panels.field("last_close")[-1, asset.sid]),
    }


def _event(event: Any) -> Entry:
    return {
        "rule": event.rule,
        "cause": event.cause,
        "value": float(event.value),
        "threshold": float(event.threshold),
        "effect": event.effect,
        "code": event.code,
    }


def _marks(panels: Panels, codes: list[str]) -> dict[str, list[int]]:
    """Return open and close, fen, of what was held or ordered: what a later repair is found by."""
    row = len(panels.days) - 1
    opens, closes = panels.field("open")[row], panels.field("close")[row]
    return {code: [int(opens[panels.sids[code]]), int(closes[panels.sids[code]])] for code in codes}


def _write_files(account: Account, done: Done) -> dict[str, str]:
    """Write the session's folder, whole, and return the hash of each file; what a dead process left is replaced."""
    folder = account.session_folder(done.session)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as beside:
        (beside / STATE).write_bytes(json.dumps(done.state).encode())  # in the order the script has its keys in
        if done.scored is not None:
            (beside / SCORES).write_bytes(_parquet(scores_frame(done.scored, done.panels)))
        if done.diary.decisions:
            (beside / DECISIONS).write_bytes(_parquet(decisions_frame(done.diary.decisions, done.panels)))
        return {path.name: sha256_of(path) for path in sorted(beside.iterdir())}


def _parquet(frame: pl.DataFrame) -> bytes:
    """Return a table as a file's content: what polars writes itself fails without saying why."""
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def scores_frame(scored: Scored, panels: Panels) -> pl.DataFrame:
    """Return what the models said of a session, a row a member, by first code."""
    sids, values = scored
    codes = [panels.assets[sid].first_code for sid in sids.tolist()]
    return pl.DataFrame({"code": codes, **{name: values[:, at] for at, name in enumerate(OUTPUTS)}})


def note_repairs(account: Account, bundle: Bundle) -> None:
    """Compare the prices and dividends of past sessions with the vendor's of today, and enter what differs.

    What was decided and filled stands: the journal wins.
    """
    panels = bundle.panels
    count = account.settings.paper.recheck
    told = {line for entry in account.journal.entries if entry["kind"] == "repaired" for line in entry["found"]}
    found = []
    entries = account.now.sessions
    for at in range(max(len(entries) - count, 0), len(entries)):
        held = entries[at - 1]["positions"] if at else {}
        found += [line for line in _differences(entries[at], held, panels) if line not in told]
    if found:
        account.note("repaired", {"found": found})


def _differences(entry: Entry, held: dict[str, Entry], panels: Panels) -> Iterator[str]:
    day = entry["session"]
    row = panels.first_row_from(day)
    if row == len(panels.days) or str(panels.days[row]) != day:
        return  # the bundle does not reach there: nothing is known of it
    for code, (opened, closed) in entry["marks"].items():
        sid = panels.sids.get(code)
        if sid is None:
            yield f"{day} {code}: the vendor no longer knows the stock"
            continue
        for name, before in (("open", opened), ("close", closed)):
            now = int(panels.field(name)[row, sid])
            if now != before:
                yield f"{day} {code}: {name} was {Decimal(before) / 100}, the vendor now says {Decimal(now) / 100}"
    codes = [asset.first_code for asset in panels.assets]
    went = (event for event in entry["book"] if event["kind"] == ExDividend.__name__)
    booked = _brought((event["stock"], event["cash"], event["shares"]) for event in went)
    actions = ((codes[action.sid], action.cash, action.shares) for action in panels.actions.on(row))
    told = _brought(action for action in actions if action[0] in held)
    for code in sorted({*booked, *told}):
        before, after = booked.get(code, (0, 0)), told.get(code, (0, 0))
        if before != after:
            yield f"{day} {code}: {_in_words(before)}, the vendor now says {_in_words(after)}"


Brought = tuple[Fraction | int, Fraction | int]
"""CNY and new shares that a share brings."""


def _brought(plans: Iterable[tuple[str, Any, Any]]) -> dict[str, Brought]:
    """Return what a share of each stock brings by all its plans."""
    found: dict[str, Brought] = {}
    for code, cash, shares in plans:
        before = found.get(code, (0, 0))
        found[code] = before[0] + Fraction(cash), before[1] + Fraction(shares)
    return found


def _in_words(brought: Brought) -> str:
    cash, shares = map(float, brought)
    return f"it went ex with {cash:g} CNY and {shares:g} new shares a share" if cash or shares else "it did not go ex"
