"""Order tickets for people: a CSV a broker's client can import, and a page to read.

Layouts differ from client to client; the columns here are the ones most clients know, in the order most of them
write, and a client that lets its user map columns takes them all. The same tickets give the same bytes.

An order at the market has an empty price. The day's limits follow from its previous close, which an exchange may still
correct after a corporate action, so that no price is made up here: whoever types it in lets it trade at the open.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.broker.port import Ticket, in_order
from engine.files import write_bytes
from engine.types import Side

COLUMNS = ("证券代码", "证券名称", "买卖方向", "委托价格", "委托数量", "备注")
"""Code, name, direction, price, quantity; and our ``order_id`` as a remark, which comes back with the fills where a
client keeps it."""
DIRECTIONS = {Side.BUY: "买入", Side.SELL: "卖出"}
Encoding = Literal["utf-8-sig", "gbk"]


@dataclass(frozen=True)
class Paper:
    """The two files of a session's tickets.

    Attributes
    ----------
    table : Path
        The CSV.
    page : Path
        The Markdown.
    """

    table: Path
    page: Path


def as_csv(
    tickets: Sequence[Ticket],
    names: Mapping[str, str] | None = None,
    suffix: bool = False,
    encoding: Encoding = "utf-8-sig",
) -> bytes:
    """Return the tickets as a CSV: sells first, one row an order, lines ended as Windows ends them.

    Parameters
    ----------
    tickets : sequence of Ticket
        Of one session.
    names : mapping of str to str, optional
        Names of the stocks by code.
    suffix : bool
        Write ``600519.SH`` instead of ``600519``. A spreadsheet takes the zeros off ``000001``, not off ``000001.SZ``.
    encoding : {"utf-8-sig", "gbk"}
        UTF-8 with its mark, by which spreadsheets know it; or GBK, for older clients.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for ticket in in_order(tickets):
        code = ticket.code if suffix else ticket.code.partition(".")[0]
        price = "" if ticket.limit is None else f"{ticket.limit:.2f}"
        name = _harmless((names or {}).get(ticket.code, ""))
        rows.writerow([code, name, DIRECTIONS[ticket.side], price, ticket.shares, _harmless(ticket.order_id)])
    return text.getvalue().encode(encoding, "replace")


def as_page(tickets: Sequence[Ticket], names: Mapping[str, str] | None = None) -> str:
    """Return the tickets as Markdown: what to do in which order, and what it comes to at the last closes."""
    if not tickets:
        return "# No orders\n\nNothing to do.\n"
    ordered = in_order(tickets)
    lines = [
        f"# Orders for {ordered[0].session}",
        "",
        "Sells first, then buys from the top. Without a price: at the market, to trade at the open.",
        "",
        "| | code | name | side | shares | worst price | last close | about, CNY |",
        "|---:|---|---|---|---:|---:|---:|---:|",
    ]
    for number, ticket in enumerate(ordered, 1):
        name = (names or {}).get(ticket.code, "").replace("|", " ").replace("\n", " ")
        price = "market" if ticket.limit is None else f"{ticket.limit:.2f}"
        side, about = f"{ticket.side} {DIRECTIONS[ticket.side]}", f"{ticket.shares * ticket.reference:,.2f}"
        cells = (number, ticket.code, name, side, ticket.shares, price, f"{ticket.reference:.2f}", about)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    totals = {side: sum(t.shares * t.reference for t in ordered if t.side is side) for side in (Side.SELL, Side.BUY)}
    lines += ["", f"Sells {totals[Side.SELL]:,.2f} CNY, buys {totals[Side.BUY]:,.2f} CNY, without costs."]
    return "\n".join(lines) + "\n"


def write_tickets(
    folder: Path,
    tickets: Sequence[Ticket],
    names: Mapping[str, str] | None = None,
    suffix: bool = False,
    encoding: Encoding = "utf-8-sig",
) -> Paper:
    """Write both files durably, named by the session: ``20180305.csv`` and ``20180305.md``.

    Parameters
    ----------
    folder : Path
        Where; made if needed.
    tickets, names, suffix, encoding
        See ``as_csv``; at least one ticket.
    """
    stem = f"{tickets[0].session:%Y%m%d}"
    paper = Paper(folder / f"{stem}.csv", folder / f"{stem}.md")
    write_bytes(paper.table, as_csv(tickets, names, suffix, encoding))
    write_bytes(paper.page, as_page(tickets, names).encode())
    return paper


def _harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, on one line."""
    return "" if text[:1] in ("=", "+", "-", "@") or not text.isprintable() else text
