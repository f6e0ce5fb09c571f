"""A paper account: its folder, its lock, and what the fold of its journal says.

::

    $ASHARE_HOME/paper/NAME/
      strategy.py         the script as it was when the account was made
      journal.jsonl       every fact, in order; head.json its last line (``journal``)
      sessions/<day>/     state.json: what the next session begins with; scores.parquet, decisions.parquet
      tickets/            the orders of each session, for people and for broker's clients
      outbox/             messages that wait, and those that were sent
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from engine import settings as settings_module
from engine.errors import Damaged, Halted, NoAccount, ProofFailed, SettingsError, UsageError
from engine.files import read_json, sha256_of, whole_folder, write_bytes
from engine.paper.facts import event_from_json
from engine.paper.halts import Halt
from engine.paper.journal import FILE, Entry, Journal
from engine.portfolio.book import Book, BookError, Deposit
from engine.settings import Settings
from engine.types import Side

SCRIPT, STATE, SESSIONS, LOCK = "strategy.py", "state.json", "sessions", ".lock"
SCORES, DECISIONS = "scores.parquet", "decisions.parquet"
TICKETS_FOLDER = "tickets"
SECTIONS = (
    *("data", "universe", "factors", "labels", "model", "prediction", "selection"),
    *("risk", "blacklist", "watch", "execution", "paper"),
)
"""Settings an account keeps as they were when it was made."""
SIMULATED, TICKETS = "simulated", "tickets"
"""How orders are carried out: by the bars of the session, or by people."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass
class Folded:
    """What the journal says, folded.

    Attributes
    ----------
    created : dict
        The first entry.
    sessions : list of dict
        An entry a session, oldest first.
    book : Book
        Cash, shares and what is due, in whole fen.
    halts : list of Halt
        In force.
    fills : dict of str to dict
        What was imported of sessions that have not run yet, the newest import of each.
    """

    created: Entry
    book: Book
    sessions: list[Entry] = field(default_factory=list)
    halts: list[Halt] = field(default_factory=list)
    fills: dict[str, Entry] = field(default_factory=dict)

    @property
    def last(self) -> dt.date | None:
        """The last session that was run."""
        return dt.date.fromisoformat(self.sessions[-1]["session"]) if self.sessions else None

    @property
    def halted(self) -> frozenset[Side]:
        """Sides of which no order is taken."""
        return frozenset().union(*(halt.sides for halt in self.halts))


def fold(entries: list[Entry], where: Path) -> Folded:
    """Return what the entries of a journal come to.

    Raises
    ------
    Damaged
        They cannot be a history: the journal is of another version, or not ours.
    """
    try:
        created, *rest = entries
        if created["kind"] != "created":
            raise ValueError("it does not begin with the account")
        tax = bool(created["settings"]["execution"]["dividend_tax"])
        folded = Folded(created, Book(tax).fold([Deposit(created["capital"])]))
        for entry in rest:
            _take(folded, entry)
    except (ValueError, KeyError, TypeError, BookError) as error:
        raise Damaged(f"the journal {where} tells no history", f"{type(error).__name__}: {error}", _RESTORE) from None
    return folded


_RESTORE = "Restore the account's folder from a backup."


def _take(folded: Folded, entry: Entry) -> None:
    match entry["kind"]:
        case "session":
            folded.book.fold(event_from_json(event) for event in entry["book"])
            folded.sessions.append(entry)
            folded.fills.pop(entry["session"], None)
            folded.halts += [Halt(one["what"], one["cause"], one["why"]) for one in entry["halts"]]
        case "halted":
            folded.halts.append(Halt(entry["what"], entry["cause"], entry["why"]))
        case "resumed":
            folded.halts.clear()
        case "fills":
            folded.fills[entry["session"]] = entry
        case "repaired":
            pass
        case kind:
            raise ValueError(f"a line of the kind {kind!r}")


class Account:
    """An opened account.

    Parameters
    ----------
    folder : Path
        Its folder; it is made by ``create``.
    reading : bool
        Only look, without the lock: a run may be going on. Nothing is written, and nothing can be noted.

    Raises
    ------
    NoAccount
        There is none of this name.
    Damaged
        The journal or the script is not what was written.
    """

    def __init__(self, folder: Path, reading: bool = False) -> None:
        self.folder = folder
        if not (folder / FILE).is_file():
            raise _no_account(folder)
        self.journal = Journal(folder, reading)
        if not self.journal.entries:
            raise Damaged(f"the journal {folder / FILE} tells no history", "it is empty", _RESTORE)
        self.now = fold(self.journal.entries, folder / FILE)
        self.script = self._script()

    @property
    def name(self) -> str:
        """The name."""
        return str(self.now.created["name"])

    @property
    def by_hand(self) -> bool:
        """Whether people carry the orders out, and tell what became of them."""
        return bool(self.now.created["fills"] == TICKETS)

    @cached_property
    def settings(self) -> Settings:
        """The settings the account was made with, over those in force for what is not the account's."""
        return _restored(settings_module.load(), self.now.created["settings"], self.folder / FILE)

    @property
    def file(self) -> str:
        """The path of the script, for messages and tracebacks."""
        return str(self.folder / SCRIPT)

    def note(self, kind: str, facts: Entry) -> Entry:
        """Enter a fact: in the journal first, then in what is known."""
        entry = self.journal.append(kind, facts)
        _take(self.now, entry)
        return entry

    def session_folder(self, day: dt.date | str) -> Path:
        """Return the folder of a session."""
        return self.folder / SESSIONS / str(day)

    def state(self) -> dict[str, Any] | None:
        """Return what the last session wrote down, None before the first.

        Raises
        ------
        Damaged
            It is gone, or not what was written.
        """
        if not self.now.sessions:
            return None
        entry = self.now.sessions[-1]
        path = self.session_folder(entry["session"]) / STATE
        return dict(read_json(self.checked(path, entry["files"][STATE])))

    def checked(self, path: Path, digest: str) -> Path:
        """Return a path whose content agrees with the journal's hash.

        Raises
        ------
        Damaged
            It does not.
        """
        try:
            good = sha256_of(path) == digest
        except OSError as error:
            raise Damaged(f"{path} cannot be read", error.strerror or "unknown", _RESTORE) from None
        if not good:
            raise Damaged(f"{path} cannot be used", "it differs from the hash in the journal", _RESTORE)
        return path

    def _script(self) -> str:
        path = self.checked(self.folder / SCRIPT, self.now.created["script_sha256"])
        return path.read_text("utf-8")


def create(folder: Path, script: Path, capital: int, settings: Settings, first: dt.date | None, fills: str) -> Account:
    """Make an account; its folder appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Where it shall be (``folder_of``).
    script : Path
        The strategy; a copy of it is kept.
    capital : int
        Fen.
    settings : Settings
        Those the account keeps.
    first : date or None
        Its first session; None: the newest one at the first run.
    fills : str
        ``simulated``, or ``tickets`` for orders that people carry out.

    Raises
    ------
    UsageError
        The name is taken, or the settings do not count in whole fen.
    """
    name = folder.name
    if not (settings.execution.round_fees and settings.execution.cash_check):
        raise UsageError(
            "an account counts in whole fen of cash that is there",
            "execution.round_fees or cash_check is off",
            "Switch both on.",
        )
    text = script.read_bytes()
    kept = settings.model_dump(mode="json", include=set(SECTIONS))
    facts = {
        "name": name,
        "strategy": script.name,
        "script_sha256": hashlib.sha256(text).hexdigest(),
        "capital": capital,
        "first": first and str(first),
        "fills": fills,
        "settings": kept,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _held(folder.parent / LOCK, "accounts are being made"):
        if folder.exists():
            raise UsageError(f"the account {name} is there already", str(folder), "Choose another name.")
        with whole_folder(folder) as beside:
            write_bytes(beside / SCRIPT, text)
            Journal(beside).append("created", facts)
    return Account(folder)


def folder_of(accounts: Path, name: str) -> Path:
    """Return the folder of an account.

    Raises
    ------
    UsageError
        No account can be called this.
    """
    if not _NAME.fullmatch(name):
        why = "a name has up to 32 letters, digits, dots and dashes, a letter or digit first"
        raise UsageError(f"an account cannot be called {name!r}", why, "Choose another.")
    return accounts / name


def accounts_in(accounts: Path) -> list[Path]:
    """Return the folders of all accounts, by name; those that are being made are none yet."""
    return sorted(path.parent for path in accounts.glob(f"*/{FILE}") if _NAME.fullmatch(path.parent.name))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the account's lock, and sweep what a dead process was writing.

    Raises
    ------
    NoAccount
        There is none of this name.
    Halted
        Another process has it.
    """
    if not (folder / FILE).is_file():
        raise _no_account(folder)
    with _held(folder / LOCK, f"the account {folder.name} is in use"):
        for path in (*folder.glob(".*.partial"), *(folder / TICKETS_FOLDER).glob(".*.partial")):
            path.unlink()  # of a process that died
        yield


@contextmanager
def _held(path: Path, what: str) -> Iterator[None]:
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Halted(what, "another process holds its lock", "Wait until it ends.") from None
    try:
        yield
    finally:
        lock.release()


def _no_account(folder: Path) -> NoAccount:
    return NoAccount(
        f"there is no paper account {folder.name}",
        f"{folder} holds no journal",
        "Make one with `ashare paper init NAME -f STRATEGY`.",
    )


BOOKS = "books"
"""The cause of a halt: the journal's book and zipline's ledger differ."""


def halt_for_books(account: Account, error: ProofFailed) -> None:
    """Stop an account whose two books differ: nothing runs until somebody has looked."""
    if not any(halt.cause == BOOKS for halt in account.now.halts):
        account.note("halted", {"what": "all", "cause": BOOKS, "why": f"{error.what}: {error.why}"})


def require_agreeing_books(account: Account) -> None:
    """Refuse to run an account whose books differed.

    Raises
    ------
    Halted
        They did, and nobody has resumed it since.
    """
    for halt in account.now.halts:
        if halt.cause == BOOKS:
            raise Halted(
                f"the account {account.name} is halted",
                halt.why,
                f"Look into it, then `ashare paper resume {account.name}`.",
            )


def _restored(base: Settings, kept: dict[str, Any], where: Path) -> Settings:
    """Return settings with the account's own sections in them."""
    found: dict[str, BaseModel] = {}
    for section, values in kept.items():
        try:
            found[section] = type(getattr(base, section)).model_validate(values)
        except (ValidationError, AttributeError) as error:
            first = str(error).splitlines()[0]
            mend = "Use the version of the engine that made the account."
            raise SettingsError(f"the settings in {where} cannot be used", f"{section}: {first}", mend) from None
    return base.model_copy(update=found)


def changed(account: Account) -> list[str]:
    """Return the settings in force now that differ from those the account keeps: they have no effect on it."""
    now = settings_module.load().model_dump(mode="json", include=set(SECTIONS))
    kept = account.settings.model_dump(mode="json", include=set(SECTIONS))
    return [
        f"{section}.{key}"
        for section, values in now.items()
        for key, value in values.items()
        if kept[section][key] != value
    ]
