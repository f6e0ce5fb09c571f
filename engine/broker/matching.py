"""Which order a trade made by hand belongs to: by its remark, else by session, stock and side. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.broker.exports import Row
from engine.broker.port import Fill, Ticket
from engine.errors import BadInput


def matched(tickets: Sequence[Ticket], rows: Iterable[Row], name: str = "the export") -> list[Fill]:
    """Return the fills the rows of an export are.

    Parameters
    ----------
    tickets : sequence of Ticket
        What was intended.
    rows : iterable of Row
        What was traded. A row told twice, the same, under one ``trade_id`` is one fill.
    name : str
        What errors call the export.

    Raises
    ------
    BadInput
        A row fits no ticket, or several, or a ticket of another stock or side; nothing is taken then.
    """
    return list(dict.fromkeys(_fill(row, _ticket(tickets, row, name)) for row in rows))


def _ticket(tickets: Sequence[Ticket], row: Row, name: str) -> Ticket:
    fitting = [t for t in tickets if (t.session, t.code, t.side) == (row.session, row.code, row.side)]
    named = [ticket for ticket in tickets if ticket.order_id and ticket.order_id == row.remark]
    if named and named[0] not in fitting:
        raise _refused(row, name, f"its remark names {row.remark}, which is another stock, side or session")
    found = named or fitting
    if not found:
        raise _refused(row, name, f"no order to {row.side} {row.code} was intended for {row.session}")
    if len(found) > 1:
        raise _refused(row, name, f"{len(found)} orders to {row.side} {row.code} were intended")
    return found[0]


def _refused(row: Row, name: str, why: str) -> BadInput:
    return BadInput(
        f"line {row.line} of {name} is refused",
        why,
        "Trade nothing else in the account; write the order's id into the column 备注 where it is unclear.",
    )


def _fill(row: Row, ticket: Ticket) -> Fill:
    return Fill(
        trade_id=row.trade_id,
        order_id=ticket.order_id,
        session=row.session,
        code=row.code,
        side=row.side,
        shares=row.shares,
        price=row.price,
        commission=row.commission,
        stamp_duty=row.stamp_duty,
        transfer_fee=row.transfer_fee,
    )
