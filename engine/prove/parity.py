"""``ashare prove parity``: an account on paper does what the backtest of the same sessions does (R7).

A strategy is run as a backtest, and session by session on paper, each session from an account that is opened anew. What
both wrote down is compared session by session: the tables of the run folder with the account's journal and files.

Exact, number for number and double for double, bit for bit: orders (id, day decided, session, code, side, requested,
filled, price, commission, stamp duty, transfer fee, reason), cash and net value, positions (shares, sellable, cost,
price), what models say, rank ICs, decisions, events, and the shares of corporate actions. To the fen: the cash of a
corporate action, and cash and net value once more as the journal has them, which counts in whole fen.

Two things are the account's alone and left out: its halt after a loss (setting ``paper.daily_loss``), which the proof
switches off, and what it refuses to decide on, which ends the proof with that refusal.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from engine import calendar, clock
from engine import settings as settings_module
from engine.errors import NoModel, NotEnoughHistory
from engine.files import read_json
from engine.host.audit import to_fen
from engine.model.shelf import OUTPUTS
from engine.panels.bundle import Bundle, open_bundle
from engine.panels.reader import Panels
from engine.paper import cycle
from engine.paper.account import DECISIONS as DECISIONS_FILE
from engine.paper.account import SCORES as SCORES_FILE
from engine.paper.account import STATE, Account, create
from engine.paper.journal import Entry
from engine.prove.exhibits import RunScript, first_unequal
from engine.report.runs import COEFFICIENTS, DECISIONS, EVENTS, ORDERS, SCORES
from engine.types import Reason, Side

Tables = Mapping[str, pl.DataFrame]
"""What one side says of one session: a table a name, its rows in the order they were written in."""

KEYS = {
    "actions": ("ts_code", "kind"),
    "orders": ("order_id",),
    "scores": ("ts_code",),
    "ic": ("decided", "name"),
    "events": ("rule", "ts_code"),
    "decisions": ("ts_code",),
    "placed": ("order_id",),
    "waiting": ("order_id",),
    "positions": ("ts_code",),
    "value": ("session",),
}
"""The tables, in the order in which one session makes them, and what names a row of each.

``placed`` holds the orders decided at the close, ``waiting`` those of the last session, which meet none.
"""
FEES = ("commission", "stamp_duty", "transfer_fee")
_ACTIONS = {"ts_code": pl.String, "kind": pl.String, "shares": pl.Int64, "fen": pl.Int64}
_PLACED = {"order_id": pl.String, "side": pl.String}
_WAITING = {**_PLACED, "requested": pl.Int64, "reason": pl.String}
_POSITIONS = {"ts_code": pl.String, "shares": pl.Int64, "sellable": pl.Int64, "cost": pl.Float64, "price": pl.Float64}
_VALUE = {
    "session": pl.Date,
    "cash": pl.Float64,
    "net_value": pl.Float64,
    "cash_fen": pl.Int64,
    "net_value_fen": pl.Int64,
}
_LEFT = (Reason.RUN_ENDED, Reason.CANCELLED)
"""How orders end that no session was left for."""


@dataclass(frozen=True)
class Difference:
    """The first value in which the two sides are not the same.

    Attributes
    ----------
    session : date
        The first session that differs.
    table, key, column : str
        Where in it.
    backtest, paper : str
        What each side has there.
    """

    session: dt.date
    table: str
    key: str
    column: str
    backtest: str
    paper: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.column} is {self.backtest} in the backtest, {self.paper} on paper"


@dataclass
class Compared:
    """What was compared of one strategy.

    Attributes
    ----------
    strategy : str
        Name of the script's file.
    first, last : date
        The sessions.
    sessions : int
        How many of them were compared.
    rows, values : Counter of str
        Rows and values compared, by table.
    fills : int
        Orders of which something was filled.
    data_id : str
        The data.
    difference : Difference or None
        The first one; nothing after its session was looked at.
    skipped : str
        Why nothing was compared, empty where something was.
    """

    strategy: str
    first: dt.date
    last: dt.date
    sessions: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    fills: int = 0
    data_id: str = ""
    difference: Difference | None = None
    skipped: str = ""

    @property
    def fees(self) -> int:
        """How many fees were compared."""
        return self.rows["orders"] * len(FEES)

    @property
    def verdict(self) -> str:
        """In a word."""
        return "skipped" if self.skipped else "equal" if self.difference is None else "differs"

    def count(self, tables: Tables) -> None:
        """Count a session that was compared."""
        self.sessions += 1
        for name, rows in tables.items():
            self.rows[name] += rows.height
            self.values[name] += rows.height * rows.width
        self.fills += int((tables["orders"]["filled"] > 0).sum())


# what is compared


def first_difference(session: dt.date, backtest: Tables, paper: Tables) -> Difference | None:
    """Return the first value of a session that differs: in order of tables, then of rows, then of columns."""
    found = (_first_in(session, name, keys, backtest[name], paper[name]) for name, keys in KEYS.items())
    return next((one for one in found if one is not None), None)


def _first_in(
    session: dt.date, name: str, keys: Sequence[str], backtest: pl.DataFrame, paper: pl.DataFrame
) -> Difference | None:
    both = min(backtest.height, paper.height)
    at = [(first_unequal(backtest[column][:both], paper[column][:both]), column) for column in backtest.columns]
    row, column = min((one for one in at if one[0] >= 0), key=lambda one: one[0], default=(both, keys[0]))
    if row == both and backtest.height == paper.height:
        return None
    if column in keys:  # one side has a row the other lacks there
        shown = [_key(side, keys, row) for side in (backtest, paper)]
        return Difference(session, name, f"row {row + 1}", " ".join(keys), *shown)
    values = [str(side[column][row]) for side in (backtest, paper)]
    return Difference(session, name, _key(backtest, keys, row), column, *values)


def _key(rows: pl.DataFrame, keys: Sequence[str], at: int) -> str:
    return " ".join(map(str, rows.select(keys).row(at))) if at < rows.height else "not there"


class Run:
    """A finished backtest, session by session.

    Parameters
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._orders = self._read("orders", ORDERS)
        self._value = self._read("perf", {}).select("session", "cash", "net_value")
        self._positions = self._read("positions", {})
        self._actions = self._read("actions", {})
        self._decisions = self._read("decisions", DECISIONS)
        self._events = self._read("events", EVENTS)
        self._ic = self._read("ic", COEFFICIENTS)
        self._scores = self._read("scores", {"session": pl.Date, "ts_code": pl.String, **SCORES})

    def tables(self, session: dt.date, last: bool = False) -> Tables:
        """Return what the backtest says of a session; of the last one, also the orders it left waiting."""
        refused = pl.col("session").is_null() & ~pl.col("reason").is_in(_LEFT)
        rows = self._orders.filter((pl.col("session") == session) | (refused & (pl.col("decided") == session)))
        decided = self._orders.filter(decided=session).select(*_PLACED).sort("order_id")
        left = self._orders.filter(pl.col("session").is_null() & pl.col("reason").is_in(_LEFT))
        value = self._value.filter(session=session)
        return {
            "actions": _of(self._actions, session).select("ts_code", "kind", "shares", fen=_fen("cash")),
            "orders": rows,
            "scores": _of(self._scores, session),
            "ic": _of(self._ic, session),
            "events": _of(self._events, session),
            "decisions": _of(self._decisions, session),
            "placed": decided,
            "waiting": left.select(*_WAITING) if last else left.select(*_WAITING).clear(),
            "positions": _of(self._positions, session).select(*_POSITIONS).sort("ts_code"),
            "value": value.with_columns(cash_fen=_fen("cash"), net_value_fen=_fen("net_value")),
        }

    def _read(self, name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
        path = self._folder / f"{name}.parquet"
        return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=schema)


def _of(rows: pl.DataFrame, session: dt.date) -> pl.DataFrame:
    return rows.filter(session=session).drop("session")


def _fen(column: str) -> pl.Expr:
    return pl.col(column).map_elements(to_fen, return_dtype=pl.Int64)


def paper_tables(account: Account, panels: Panels, entry: Entry, last: bool = False) -> Tables:
    """Return what an account wrote of a session, from its journal and its files.

    Parameters
    ----------
    account : Account
        The account.
    panels : Panels
        The data, for the codes of the day.
    entry : dict
        The journal's line of the session.
    last : bool
        Whether what waits for the next session is wanted too.
    """
    session = dt.date.fromisoformat(entry["session"])
    folder = account.session_folder(session)
    state = read_json(account.checked(folder / STATE, entry["files"][STATE]))

    def code(first_code: str) -> str:
        return panels.assets[panels.sids[first_code]].code_on(session)

    settled = [{**one, "decided": _day(one["decided"]), "session": _day(one["session"])} for one in entry["settled"]]
    waiting = [_waiting(one) for one in state["orders"]]
    placed = [one for one in entry["settled"] if one["session"] is None] + waiting
    held, prices = entry["positions"], {first: price for first, _, _, price, _ in state["ledger"]["positions"]}
    positions = [{"ts_code": code(first), **values, "price": prices[first]} for first, values in held.items()]
    events = [{**one, "ts_code": code(one["code"]) if one["code"] else None} for one in entry["events"]]
    actions = [{**one, "ts_code": code(one["code"]), "fen": one["cash"]} for one in entry["actions"]]
    values = {
        "session": session,
        "cash": state["ledger"]["portfolio"]["cash"],
        "net_value": state["net_value"],
        "cash_fen": entry["cash"],
        "net_value_fen": entry["net_value"],
    }
    return {
        "actions": _frame(actions, _ACTIONS),
        "orders": _frame(settled, ORDERS).with_columns(pl.col("price").fill_null(float("nan"))),
        "scores": _scores(account, entry, folder, code),
        "ic": _frame([{**one, "decided": _day(one["decided"])} for one in entry["ic"]], _without_session(COEFFICIENTS)),
        "events": _frame(events, _without_session(EVENTS)),
        "decisions": _decisions(account, entry, folder),
        "placed": _frame(placed, _PLACED).sort("order_id"),
        "waiting": _frame(waiting if last else [], _WAITING),
        "positions": _frame(positions, _POSITIONS).sort("ts_code"),
        "value": _frame([values], _VALUE),
    }


def _waiting(order: Entry) -> Entry:
    return {
        "order_id": order["id"],
        "side": Side.BUY if order["amount"] > 0 else Side.SELL,
        "requested": abs(order["amount"]),
        "reason": Reason.CANCELLED if order["cancelled"] else Reason.RUN_ENDED,
    }


def _scores(account: Account, entry: Entry, folder: Path, code: Callable[[str], str]) -> pl.DataFrame:
    if SCORES_FILE not in entry["files"]:
        return pl.DataFrame(schema={"ts_code": pl.String, **SCORES})
    rows = pl.read_parquet(account.checked(folder / SCORES_FILE, entry["files"][SCORES_FILE]))
    codes = pl.Series("ts_code", [code(first) for first in rows["code"]], dtype=pl.String)
    return rows.select(OUTPUTS).insert_column(0, codes)


def _decisions(account: Account, entry: Entry, folder: Path) -> pl.DataFrame:
    if DECISIONS_FILE not in entry["files"]:
        return pl.DataFrame(schema=_without_session(DECISIONS))
    rows = pl.read_parquet(account.checked(folder / DECISIONS_FILE, entry["files"][DECISIONS_FILE]))
    return _of(rows, dt.date.fromisoformat(entry["session"]))


def _frame(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([[row[name] for name in schema] for row in rows], schema=schema, orient="row")


def _without_session(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kind for name, kind in schema.items() if name != "session"}


def _day(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


# running both sides


def chosen_sessions(
    panels: Panels, count: int, start: dt.date | None = None, end: dt.date | None = None
) -> list[dt.date]:
    """Return so many sessions of a bundle from one day on, or up to one; by default the newest.

    Raises
    ------
    NotEnoughHistory
        The bundle has fewer.
    """
    row = panels.first_row_from(start) if start is not None else panels.last_row_to(end or dt.date.max) + 1 - count
    found = [day.item() for day in panels.days[max(row, 0) : max(row, 0) + count]]
    if row < 0 or len(found) < count:
        there = len(panels.days) - row if start is not None else row + count
        raise NotEnoughHistory(
            f"{count} sessions cannot be compared",
            f"the bundle has {there} {'from' if start is not None else 'up to'} {start or end or panels.days[-1]}",
            "Choose fewer --sessions, or another day.",
        )
    return found


@contextlib.contextmanager
def scratch_home() -> Iterator[Path]:
    """Put a temporary home in force that has all of the user's but runs and accounts, which it begins without."""
    home = settings_module.home_folder()
    with tempfile.TemporaryDirectory(prefix="ashare-prove-") as name:
        folder = Path(name)
        for path in sorted(home.iterdir()) if home.is_dir() else ():
            if path.name not in ("runs", "paper"):
                (folder / path.name).symlink_to(path)
        variables = {"ASHARE_HOME": name, "ASHARE_REPORT__TEARSHEET": "false", "ASHARE_PAPER__DAILY_LOSS": "0"}
        with settings_module.environment(variables):
            yield folder


class Parity:
    """The proof at work on one range of sessions; to be used inside ``scratch_home``.

    Parameters
    ----------
    sessions : sequence of date
        Consecutive sessions.
    capital : float
        CNY.
    run : callable
        Runs a backtest.
    bundle : callable
        Opens the data, once a session: in a session of paper trading, those there are.
    """

    def __init__(
        self, sessions: Sequence[dt.date], capital: float, run: RunScript, bundle: Callable[[], Bundle] = open_bundle
    ) -> None:
        self._sessions, self._capital, self._run, self._bundle = sessions, capital, run, bundle

    def compare(self, strategy: Path, advance: Callable[[], None] = lambda: None, skip: bool = False) -> Compared:
        """Run one strategy both ways and compare, up to the first difference.

        Parameters
        ----------
        strategy : Path
            The script.
        advance : callable
            Called after each session on paper.
        skip : bool
            Leave a strategy out whose models are missing, and say so.

        Raises
        ------
        NoModel
            A model is missing.
        """
        compared = Compared(strategy.name, self._sessions[0], self._sessions[-1])
        try:
            folder = self.backtest(strategy)
        except NoModel as error:
            if not skip:
                raise
            compared.skipped = str(error)
            return compared
        run = Run(folder)
        compared.data_id = read_json(folder / "manifest.json")["data_id"]
        for account, panels, entry in self.on_paper(strategy):
            day = dt.date.fromisoformat(entry["session"])
            last = day == self._sessions[-1]
            backtest = run.tables(day, last)
            compared.difference = first_difference(day, backtest, paper_tables(account, panels, entry, last))
            compared.count(backtest)
            advance()
            if compared.difference is not None:
                break
        return compared

    def backtest(self, strategy: Path) -> Path:
        """Run it as a backtest and return the run folder."""
        with contextlib.redirect_stderr(io.StringIO()):  # it names a folder that is about to go
            return self._run(strategy, str(self._sessions[0]), str(self._sessions[-1]))

    def on_paper(self, strategy: Path) -> Iterator[tuple[Account, Panels, Entry]]:
        """Run it on paper, and yield each session's entry of the journal.

        Every session begins with nothing but the files of the one before, as it does in a new process.
        """
        values = settings_module.load()
        folder = values.accounts / str(sum(1 for _ in values.accounts.glob("*")) + 1)  # scripts may share a name
        create(folder, strategy, to_fen(self._capital), values, self._sessions[0], "simulated")
        calendar.sessions()
        account = Account(folder)
        for day in self._sessions:
            bundle = self._bundle()
            for _ in cycle.run(account, bundle, clock.now(), day):
                account = Account(folder)  # what is compared is what can be read back
                yield account, bundle.panels, account.now.sessions[-1]
