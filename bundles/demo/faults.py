"""What a vendor gets wrong, to be asked for by kind and seed.

A fault begins at one call and touches that call only (transient) or all from there on (lasting). The first group hurts
the exchange and shows in a single reply; the second leaves a good-looking table with wrong content, which only a
comparison with other tables, other days or the calendar can show.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = list[Any]

IN_THE_EXCHANGE = (
    "timeout",
    "http_5xx",
    "rate_limit",
    "missing_right",
    "broken_json",
    "truncation",
    "empty_day",
    "duplicates",
    "page_overlap",
    "shuffled_columns",
    "nulls",
)
IN_THE_CONTENT = (
    "missing_stocks",
    "unit_flip",
    "stale_day",
    "restatement",
    "late_adj_factor",
    "code_change",
    "wrong_ann_date",
)
KINDS = IN_THE_EXCHANGE + IN_THE_CONTENT

RATE_MESSAGES = (
    "抱歉，您每分钟最多访问该接口500次，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。",
    "抱歉，您访问接口({api})频率超限(400次/分钟)，具体频次详情：https://tushare.pro/document/1?doc_id=108。",
)
RIGHT_MESSAGES = (
    "抱歉，您没有接口访问权限，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。",
    "抱歉，您没有接口({api})访问权限",
)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    seed : int
        Chooses rows, columns and wordings.
    at : int
        Number of the answered call it begins at, from 0; calls of other endpoints count only without ``api``.
    lasting : bool
        Whether it stays.
    api : str
        The endpoint it touches; by default all.
    """

    kind: str
    seed: int = 0
    at: int = 0
    lasting: bool = False
    api: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no kind of fault; there are {', '.join(KINDS)}")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``kind[:seed[:at[:lasting|transient[:api]]]]``."""
        kind, seed, at, lasting, api = (*text.split(":"), *("", "0", "0", "transient", "")[text.count(":") + 1 :])
        if lasting not in ("lasting", "transient"):
            raise ValueError(f"{lasting!r} is neither 'lasting' nor 'transient'")
        return cls(kind, int(seed), int(at), lasting == "lasting", api)

    def chance(self) -> random.Random:
        """Return the source of this fault's choices, the same at each call."""
        return random.Random(f"{self.kind} {self.seed}")  # noqa: S311


@dataclass
class Answer:
    """An answer on its way out: a table that faults may change.

    Attributes
    ----------
    api : str
        The endpoint asked.
    fields : list of str
        Names of the columns.
    rows : list of list
        The values.
    has_more : bool
        Whether rows are left.
    key : tuple of str
        What makes a row.
    needed : tuple of str
        Columns that are never null.
    previous : callable
        Returns the rows of the session before the one asked, if a session was asked.
    newest : str
        The vendor's newest session: its rows were never given before.
    newcomers : frozenset of str
        Stocks listed on that session: their rows were never given before either, however old.
    """

    api: str
    fields: list[str]
    rows: list[Row]
    has_more: bool
    key: tuple[str, ...]
    needed: tuple[str, ...]
    previous: Callable[[], list[Row]]
    newest: str = ""
    newcomers: frozenset[str] = frozenset()

    def column(self, name: str) -> int | None:
        """Return the place of a column, if it was asked."""
        return self.fields.index(name) if name in self.fields else None


CUT = 100
"""Rows a truncating server leaves, with nothing said."""


def spoil(fault: Fault, answer: Answer) -> None:
    """Change an answer's table as a fault wants; one that finds nothing to change leaves it."""
    if answer.rows and fault.kind in _SPOILERS:
        _SPOILERS[fault.kind](fault.chance(), answer)


def _truncation(_: random.Random, answer: Answer) -> None:
    answer.rows, answer.has_more = answer.rows[:CUT], False


def _empty_day(_: random.Random, answer: Answer) -> None:
    answer.rows, answer.has_more = [], False


def _duplicates(chance: random.Random, answer: Answer) -> None:
    for row in _some(chance, answer.rows):
        answer.rows.insert(chance.randrange(len(answer.rows) + 1), list(row))


def _shuffled_columns(chance: random.Random, answer: Answer) -> None:
    order = list(range(len(answer.fields)))
    chance.shuffle(order)
    answer.fields = [answer.fields[i] for i in order]
    answer.rows = [[row[i] for i in order] for row in answer.rows]


def _nulls(chance: random.Random, answer: Answer) -> None:
    """Take the values of some rows: with an even chance the key's, else that of another needed column."""
    keys = [name for name in answer.key if name in answer.needed and name in answer.fields]
    others = [name for name in answer.needed if name in answer.fields and name not in keys]
    names = keys if chance.random() < 0.5 or not others else [chance.choice(others)]
    for row in _some(chance, answer.rows):
        for name in names:
            row[answer.fields.index(name)] = None


def _missing_stocks(chance: random.Random, answer: Answer) -> None:
    gone = {id(row) for row in _some(chance, answer.rows)}
    answer.rows = [row for row in answer.rows if id(row) not in gone]


_UNITS = {"vol": 100, "amount": 1000, "total_mv": 10_000, "circ_mv": 10_000}


def _unit_flip(chance: random.Random, answer: Answer) -> None:
    """Give one column in another unit: shares for lots, CNY for thousands of it."""
    names = [name for name in _UNITS if name in answer.fields]
    if names:
        name = chance.choice(names)
        _scale(answer.rows, answer.fields.index(name), _UNITS[name])


def _stale_day(_: random.Random, answer: Answer) -> None:
    """Give the rows of the session before under the date that was asked."""
    at, rows = answer.column("trade_date"), answer.previous()
    if at is not None and rows:
        day = answer.rows[0][at]
        answer.rows = [[*row[:at], day, *row[at + 1 :]] for row in rows]


def _restatement(chance: random.Random, answer: Answer) -> None:
    """Give other figures for some rows that were given before; their dates stay as they were."""
    old = [
        row
        for row in answer.rows
        if not any((_is_day(cell) and cell >= answer.newest) or cell in answer.newcomers for cell in row)
    ]
    if not old:
        return
    rows = _some(chance, old)
    names = [i for i, cell in enumerate(rows[0]) if isinstance(cell, float)]
    if names:
        _scale(rows, chance.choice(names), 1 + chance.choice((-0.05, 0.02, 0.1)))


def _is_day(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) == 8 and cell.isdigit()


def _late_adj_factor(chance: random.Random, answer: Answer) -> None:
    """Leave out the factors of some stocks, or repeat those of the session before."""
    factor, code = answer.column("adj_factor"), answer.column("ts_code")
    if factor is None or code is None:
        return
    if chance.random() < 0.5:
        _missing_stocks(chance, answer)
        return
    before = {row[code]: row[factor] for row in answer.previous()}
    for row in answer.rows:
        row[factor] = before.get(row[code], row[factor])


def _code_change(chance: random.Random, answer: Answer) -> None:
    """Give one stock under a code that was not there before."""
    at = answer.column("ts_code")
    if at is None:
        return
    old = chance.choice(answer.rows)[at]
    new = f"{'60399' if old.endswith('SH') else '00399'}{chance.randrange(10)}{old[6:]}"
    for row in answer.rows:
        row[at] = new if row[at] == old else row[at]


def _wrong_ann_date(chance: random.Random, answer: Answer) -> None:
    """Announce some reports on or before the day their period ends."""
    end = answer.column("end_date")
    places = [at for name in ("ann_date", "f_ann_date") if (at := answer.column(name)) is not None]
    if end is None:
        return
    for row in _some(chance, answer.rows):
        for at in places:
            row[at] = row[end]


def _some(chance: random.Random, rows: list[Row]) -> list[Row]:
    """Return a few rows, at least one."""
    return chance.sample(rows, max(1, min(len(rows) // 10, 20)))


def _scale(rows: list[Row], at: int, factor: float) -> None:
    for row in rows:
        row[at] = None if row[at] is None else row[at] * factor


_SPOILERS: dict[str, Callable[[random.Random, Answer], None]] = {
    "truncation": _truncation,
    "empty_day": _empty_day,
    "duplicates": _duplicates,
    "shuffled_columns": _shuffled_columns,
    "nulls": _nulls,
    "missing_stocks": _missing_stocks,
    "unit_flip": _unit_flip,
    "stale_day": _stale_day,
    "restatement": _restatement,
    "late_adj_factor": _late_adj_factor,
    "code_change": _code_change,
    "wrong_ann_date": _wrong_ann_date,
}


def break_json(fault: Fault, body: bytes) -> bytes:
    """Return a body cut short, or an error page, or one that is no table."""
    chance = fault.chance()
    return chance.choice(
        (
            body[: chance.randrange(1, len(body))],
            b"<html><body>502 Bad Gateway</body></html>",
            b"",
            body.replace(b'"fields": [', b'"fields": [[', 1),
            b'{"code": 0, "msg": "", "data": null}',
            b"[" * 100_000,
        )
    )
