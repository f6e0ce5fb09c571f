"""Corporate actions of the bundle: what happens to a holding, and on which session."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

ZERO = Decimal(0)


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
        Row of the session that pays the cash, at or beyond the number of sessions if that is later.
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

    def to_json(self) -> dict[str, Any]:
        """Return what ``actions.json`` holds of it."""
        return {name: _text(value) for name, value in self.__dict__.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Action:
        """Read one entry of ``actions.json``."""
        fields: dict[str, Any] = {name: Decimal(value[name]) for name in _AMOUNTS}
        fields |= {name: int(value[name]) for name in ("sid", "ex_row", "pay_row", "list_row")}
        return cls(record=dt.date.fromisoformat(value["record"]), **fields)


_AMOUNTS = ("cash", "shares", "taxed_shares", "rights", "rights_price")


def _text(value: Any) -> Any:
    return value if isinstance(value, int) else str(value)


class Calendar:
    """The actions by the row of their ex-session.

    Parameters
    ----------
    actions : iterable of Action
    """

    def __init__(self, actions: Iterable[Action]) -> None:
        self._all = tuple(actions)

    def on(self, row: int) -> list[Action]:
        """Return the actions that go ex in a session."""
        return self._by_row.get(row, [])

    def shares_of(self, sid: int, row: int) -> Decimal:
        """Return the new shares a share of one stock in one session."""
        return sum((action.shares for action in self.on(row) if action.sid == sid), ZERO)

    @cached_property
    def _by_row(self) -> dict[int, list[Action]]:
        found = defaultdict(list)
        for action in self._all:
            found[action.ex_row].append(action)
        return dict(found)
