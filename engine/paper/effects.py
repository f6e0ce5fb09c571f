"""What leaves the house when a session has become a fact: order tickets and letters, made from the journal alone.

Made again after a crash they are the same, under the same names: a ticket is written once more, a letter that was put
into the outbox before is left as it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from engine.broker.tickets import write_tickets
from engine.errors import AshareError
from engine.paper import letters
from engine.paper.account import DECISIONS, TICKETS_FOLDER, Account
from engine.paper.by_hand import tickets_of
from engine.paper.channels import post, put
from engine.paper.journal import Entry
from engine.paper.letters import Envelope, Message
from engine.paper.outbox import Outbox
from engine.settings import Settings
from engine.types import Choice, Event, Reason, Side

OUTBOX = "outbox"
_PICKED = (Choice.CHOSEN, Choice.KEPT)


def prepare(account: Account, entry: Entry, settings: Settings) -> None:
    """Write a session's tickets as CSV and as a page, and put its letters into the outbox; nothing is sent yet."""
    tickets = tickets_of(account, entry)
    if tickets:
        write_tickets(account.folder / TICKETS_FOLDER, tickets)
    put(Outbox(account.folder / OUTBOX), letters_of(account, entry, settings), settings)


def letters_of(account: Account, entry: Entry, settings: Settings) -> Iterator[Message]:
    """Yield the letters of a session: picks, orders, fills, what was not filled, events, and how the account stands."""
    envelope = _envelope(account, entry["session"], settings)
    picked = _picks(account.session_folder(entry["session"]) / DECISIONS)
    if picked:
        yield letters.picks(envelope, picked)
    tickets = tickets_of(account, entry)
    if tickets:
        ordered = [letters.Ordered(one.code, one.side, one.shares) for one in tickets]
        yield letters.orders(envelope, tickets[0].session, ordered)
    made = [_fill(one) for one in entry["settled"] if one["filled"]]
    if made:
        yield letters.fills(envelope, made)
    left = [_unfilled(one) for one in entry["settled"] if one["reason"] != Reason.FILLED]
    if left:
        yield letters.unfilled(envelope, left)
    happened = [Event(**one) for one in entry["events"]]
    if happened:
        yield letters.events(envelope, happened)
    yield letters.summary(envelope, _standing(account, entry))


def send(account: Account, settings: Settings, more: Sequence[Message] = ()) -> tuple[str, ...]:
    """Deliver what waits in the outbox, and these letters, and return what went wrong.

    Nothing a receiver does ends in an error here: trading goes on.
    """
    return post(Outbox(account.folder / OUTBOX), more, settings).problems


def refusal(account: Account, error: AshareError, settings: Settings, today: dt.date) -> Message:
    """Return the letter about a run that was refused; the same refusal of the same day is one letter."""
    return letters.refusal(_envelope(account, today.isoformat(), settings), error.what, error.why, error.mend)


def missed(account: Account, day: dt.date, settings: Settings) -> Message:
    """Return the letter about a session that did not run."""
    mend = f"ashare paper run {account.name}"
    return letters.missed(_envelope(account, day.isoformat(), settings), mend)


def _envelope(account: Account, day: str, settings: Settings) -> Envelope:
    return Envelope(account.name, dt.date.fromisoformat(day), settings.messages.language)


def _picks(path: Path) -> list[letters.Pick]:
    if not path.is_file():
        return []
    table = pl.read_parquet(path).filter(pl.col("reason").is_in([str(one) for one in _PICKED]))
    rows = table.select("rank", "ts_code", "score").iter_rows()
    return [letters.Pick(rank, code, score) for rank, code, score in rows]


def _fill(one: Entry) -> letters.Fill:
    fees = one["commission"] + one["stamp_duty"] + one["transfer_fee"]
    return letters.Fill(one["ts_code"], Side(one["side"]), one["filled"], one["price"], fees)


def _unfilled(one: Entry) -> letters.Unfilled:
    return letters.Unfilled(one["ts_code"], Side(one["side"]), one["requested"], one["filled"], Reason(one["reason"]))


def _standing(account: Account, entry: Entry) -> letters.Day:
    entries = account.now.sessions
    at = next(at for at, one in enumerate(entries) if one["seq"] == entry["seq"])
    capital = account.now.created["capital"]
    before = entries[at - 1]["net_value"] if at else capital
    now = entry["net_value"]
    return letters.Day(now / 100, entry["cash"] / 100, len(entry["positions"]), now / before - 1, now / capital - 1)
