"""What is held, lot by lot: when each share was bought, from when it may be sold, and what tax hangs on it.

zipline knows one amount a stock. T+1 and the dividend tax need to know the lots; shares leave first in, first out.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.market.actions import due_at_sale, to_fen
from engine.market.lots import sessions_until_sellable


@dataclass
class Lot:
    """Shares acquired together.

    Attributes
    ----------
    acquired : date
        Session of the purchase, or ex-session of the action that brought them.
    locked_until : date
        They may be sold in sessions after this day.
    shares : int
        What is left of them.
    taxable : list of (date, Decimal)
        Record date and amount, CNY a share, of each dividend not yet fully taxed.
    """

    acquired: dt.date
    locked_until: dt.date
    shares: int
    taxable: list[tuple[dt.date, Decimal]] = field(default_factory=list)


class Holdings:
    """The lots of an account, by asset.

    Parameters
    ----------
    lots : mapping of int to list of Lot, optional
        What was held before, the oldest lot first.
    """

    def __init__(self, lots: Mapping[int, list[Lot]] | None = None) -> None:
        self._lots: dict[int, list[Lot]] = defaultdict(list, lots or {})

    def lots(self) -> Iterator[tuple[int, list[Lot]]]:
        """Yield each asset with its lots."""
        yield from self._lots.items()

    def add(self, sid: int, shares: int, acquired: dt.date, locked_until: dt.date | None = None) -> None:
        """Enter new shares; by default they are locked for the session they were acquired in (T+1)."""
        if locked_until is None:
            locked_until = acquired if sessions_until_sellable(acquired) else acquired - dt.timedelta(days=1)
        if shares:
            self._lots[sid].append(Lot(acquired, locked_until, shares))

    def held(self, sid: int) -> int:
        """Return the shares held."""
        return sum(lot.shares for lot in self._lots.get(sid, ()))

    def sellable(self, sid: int, session: dt.date) -> int:
        """Return the shares that may be sold in a session."""
        return sum(lot.shares for lot in self._lots.get(sid, ()) if lot.locked_until < session)

    def entitle(self, sid: int, record: dt.date, taxable: Decimal) -> None:
        """Note on each lot of the record date a dividend of so much a share, to be taxed when its shares are sold."""
        for lot in self._lots.get(sid, ()):
            if lot.acquired <= record:
                lot.taxable.append((record, taxable))

    def tax_on_sale(self, sid: int, shares: int, session: dt.date) -> Decimal:
        """Return the dividend tax a sale would bring, CNY in whole fen; nothing changes."""
        due = Decimal(0)
        for lot, taken in self._first_in(sid, shares, session):
            for record, amount in lot.taxable:
                due += taken * amount * due_at_sale(record, lot.acquired, session)
        return to_fen(due)

    def sell(self, sid: int, shares: int, session: dt.date) -> Decimal:
        """Take shares out and return the dividend tax that falls due, CNY in whole fen."""
        due = self.tax_on_sale(sid, shares, session)
        for lot, taken in list(self._first_in(sid, shares, session)):
            lot.shares -= taken
        self._keep(sid, [lot for lot in self._lots[sid] if lot.shares])
        return due

    def clear(self, sid: int) -> None:
        """Forget a stock that left the market."""
        self._keep(sid, [])

    def _first_in(self, sid: int, shares: int, session: dt.date) -> Iterator[tuple[Lot, int]]:
        """Yield the lots a sale takes, oldest first, with how many shares of each."""
        for lot in self._lots.get(sid, ()):
            taken = min(lot.shares, shares) if lot.locked_until < session else 0
            shares -= taken
            if taken:
                yield lot, taken

    def _keep(self, sid: int, lots: list[Lot]) -> None:
        if lots:
            self._lots[sid] = lots
        else:
            self._lots.pop(sid, None)
