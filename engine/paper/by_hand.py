"""Orders that people carry out: what they say was traded becomes a fact of the journal, and is held against the ledger.

Nothing is decided on a session whose orders nobody has accounted for, and nothing while the three accounts (what was
intended, what the broker says, what the ledger holds) differ.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from engine import calendar
from engine.broker import reconcile
from engine.broker.exports import Row, parse_fills, parse_positions
from engine.broker.matching import matched
from engine.broker.port import Fill, Ticket
from engine.errors import BadInput, StaleData, UsageError
from engine.host.audit import to_fen
from engine.paper.account import Account
from engine.paper.journal import Entry
from engine.types import Side

if TYPE_CHECKING:
    from engine.paper.step import Done


@dataclass(frozen=True)
class Imported:
    """What was said of a session's orders.

    Attributes
    ----------
    tickets : list of Ticket
        What was intended, under our own ids.
    fills : list of Fill
        What was traded, under our own ids.
    positions : mapping of str to int, or None
        What the broker holds after it, by code; None where nobody said.
    cash : int or None
        Fen; None where nobody said.
    """

    tickets: list[Ticket]
    fills: list[Fill]
    positions: Mapping[str, int] | None = None
    cash: int | None = None


def tickets_of(account: Account, entry: Entry) -> list[Ticket]:
    """Return the orders a session left for the next, under the ids a broker sees: the account's name and ours."""
    session = calendar.next_session(dt.date.fromisoformat(entry["session"]))
    assert session is not None, "a session is not run before the calendar knows the next"
    return [
        Ticket(
            f"{account.name}-{one['order_id']}",
            session,
            one["ts_code"],
            Side(one["side"]),
            one["shares"],
            one["limit"],
            one["reference"] / 100,
        )
        for one in entry["orders"]
    ]


def waiting(account: Account) -> list[Ticket]:
    """Return the tickets nobody has accounted for yet, or may correct.

    Raises
    ------
    UsageError
        The account's orders are not carried out by people, or none waits.
    """
    if not account.by_hand:
        raise UsageError(
            f"the account {account.name} needs no fills",
            "its orders meet the bars of the session",
            "Make another with `ashare paper init NAME -f STRATEGY --fills tickets`.",
        )
    tickets = tickets_of(account, account.now.sessions[-1]) if account.now.sessions else []
    if not tickets:
        raise UsageError(f"no order of {account.name} waits", "the last session left none", "Run the next session.")
    return tickets


def take(account: Account, export: bytes, name: str, positions: bytes | None, cash: int | None) -> Entry:
    """Enter what a broker's export says of the orders that wait; a later one replaces it until the session is run.

    Parameters
    ----------
    account : Account
        Its lock is held by the caller.
    export : bytes
        The trades (成交); empty: nothing was traded.
    name : str
        What errors call the file.
    positions : bytes, optional
        The broker's holdings after the session.
    cash : int, optional
        The broker's cash after it, fen.

    Raises
    ------
    BadInput
        A row is no trade, or fits no order, or all of them are of other days.
    BrokerMismatch
        More was traded than asked for, or otherwise than asked.
    """
    tickets = waiting(account)
    session = tickets[0].session
    fills = matched(tickets, _rows(export, name, session), name) if export else []
    evidence = reconcile.Evidence(session, tickets, fills, reconcile.Account({}, None))
    reconcile.require_agreement(reconcile.differences(evidence))
    held = None if positions is None else {c: one.shares for c, one in parse_positions(positions, "positions").items()}
    rows = [{**asdict(fill), "session": str(fill.session), "side": str(fill.side)} for fill in fills]
    return account.note("fills", {"session": str(session), "fills": rows, "positions": held, "cash": cash})


def _rows(export: bytes, name: str, session: dt.date) -> Sequence[Row]:
    """Return the trades of a session; a file that is only about other days is the wrong file, not an empty one."""
    parsed = parse_fills(export, name, session)
    if parsed.other_sessions and not parsed.rows:
        raise BadInput(
            f"{name} is refused",
            f"none of its {parsed.other_sessions} trades is of {session}",
            f"Export the trades of {session}; if there were none, say --none.",
        )
    return parsed.rows


def imported(account: Account, day: dt.date) -> Imported:
    """Return what was said of the orders that wait for a session.

    Raises
    ------
    StaleData
        Orders wait for it, and nobody has said what became of them.
    """
    tickets = tickets_of(account, account.now.sessions[-1]) if account.now.sessions else []
    if not tickets:
        return Imported([], [])
    entry = account.now.fills.get(str(day))
    if entry is None:
        raise StaleData(
            f"the fills of {day} are not known",
            f"{len(tickets)} orders were left for it, and this account's orders are carried out by people",
            f"Run `ashare paper fills {account.name} FILE`, or with --none if nothing was traded.",
        )
    ours = f"{account.name}-"
    fills = [_fill(one) for one in entry["fills"]]
    return Imported(
        [replace(ticket, order_id=ticket.order_id.removeprefix(ours)) for ticket in tickets],
        [replace(fill, order_id=fill.order_id.removeprefix(ours)) for fill in fills],
        entry["positions"],
        entry["cash"],
    )


def _fill(one: dict[str, Any]) -> Fill:
    return Fill(**{**one, "session": dt.date.fromisoformat(one["session"]), "side": Side(one["side"])})


def require_agreement_of(account: Account, done: Done, traded: Imported) -> None:
    """Hold what is in the ledger after a session against what the broker says, where somebody said it.

    Raises
    ------
    BrokerMismatch
        They differ: the session does not become a fact.
    """
    if traded.positions is None and traded.cash is None:
        return
    _, cash, _ = done.diary.closes[-1]
    assets = done.panels.assets
    held = {assets[sid].code_on(done.session): shares for _, sid, shares, *_ in _holdings(done)}
    ledger = reconcile.Account(held, to_fen(cash))
    broker = reconcile.Account(held if traded.positions is None else traded.positions, traded.cash)
    tolerance = to_fen(account.settings.broker.cash_tolerance)
    evidence = reconcile.Evidence(done.session, traded.tickets, traded.fills, ledger, broker, tolerance=tolerance)
    reconcile.require_agreement(reconcile.differences(evidence))


def _holdings(done: Done) -> list[tuple[Any, ...]]:
    return [row for row in done.diary.holdings if row[0] == done.session]
