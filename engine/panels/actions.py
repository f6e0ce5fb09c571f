"""Corporate actions of the bundle: what happens to a holding, and on which session."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

ZERO = Decimal(0)

COLUMNS = np.dtype(
    [
        ("sid", "<i4"),
        ("ex_row", "<i4"),
        ("record", "<M8[D]"),
        ("pay_row", "<i4"),
        ("cash", "<f8"),
        ("shares", "<f8"),
        ("taxed_shares", "<f8"),
        ("rights", "<f8"),
        ("rights_price", "<f8"),
        ("list_row", "<i4"),
    ]
)
"""What ``actions.npy`` holds of each ``Action``, in order of its fields; amounts as doubles (``_exact``)."""


@dataclass(frozen=True)
class Action:
    """One carried-out dividend plan or rights issue of one stock; amounts a share.

    Attributes
    ----------
    sid, ex_row : int
        The stock, and the row of the session it goes ex; a day that is no session counts as the next one.
    record : date
        Last day of entitlement, which decides the tax law.
    pay_row : int
        Row of the session that pays the cash; after the last session rows go on with those of the calendar.
    cash : Decimal
        CNY before tax.
    shares : Decimal
        New shares, bonus and transfer together.
    taxed_shares : Decimal
        Bonus shares among them, taxed at their par value of 1 CNY.
    rights, rights_price : Decimal
        Shares offered, and their price in CNY.
    list_row : int
        Row of the session from which subscribed shares may be sold.
    """

    sid: int
    ex_row: int
    record: dt.date
    pay_row: int
    cash: Decimal = ZERO
    shares: Decimal = ZERO
    taxed_shares: Decimal = ZERO
    rights: Decimal = ZERO
    rights_price: Decimal = ZERO
    list_row: int = 0

    @classmethod
    def of(cls, line: tuple[Any, ...]) -> Action:
        """Return the action of one line of the table."""
        values: list[Any] = [_exact(value) if isinstance(value, float) else value for value in line]
        return cls(*values)


@cache
def _exact(amount: float) -> Decimal:
    """Return the decimal number that was meant: the shortest one that reads back as the double."""
    return Decimal(repr(amount))


class Calendar:
    """The actions by the row of their ex-session.

    Parameters
    ----------
    table : array of ``COLUMNS``
        In order of the ex-session.
    """

    def __init__(self, table: npt.NDArray[Any]) -> None:
        self._table = table
        self._ex_rows = np.ascontiguousarray(table["ex_row"])
        self._made: dict[int, list[Action]] = {}

    def on(self, row: int) -> list[Action]:
        """Return the actions that go ex in a session."""
        if row not in self._made:
            first, last = np.searchsorted(self._ex_rows, [row, row + 1])
            self._made[row] = [Action.of(line) for line in self._table[first:last].tolist()]
        return self._made[row]

    def shares_of(self, sid: int, row: int) -> Decimal:
        """Return the new shares a share of one stock in one session."""
        return sum((action.shares for action in self.on(row) if action.sid == sid), ZERO)
