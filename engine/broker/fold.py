"""Many answers about the same things into one: doubled, late and reordered answers change nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from engine.broker.port import Fill, Report
from engine.errors import BrokerMismatch


def later(one: Report, other: Report) -> Report:
    """Return what two reports of the same order say together, whichever came first.

    A final state stays, the larger ``filled`` stays; else the second is believed.
    """
    stale = other.filled < one.filled if one.over == other.over else one.over
    kept = one if stale else other
    most = one if one.filled > other.filled else other
    return replace(kept, filled=most.filled, average_price=most.average_price)


def fold(reports: Mapping[str, Report], more: Iterable[Report]) -> dict[str, Report]:
    """Take reports in, by the broker's number."""
    result = dict(reports)
    for report in more:
        result[report.number] = later(result[report.number], report) if report.number in result else report
    return result


def by_client_id(reports: Iterable[Report]) -> dict[str, Report]:
    """Return our orders by their id.

    Raises
    ------
    BrokerMismatch
        Two orders at the broker have one id.
    """
    result: dict[str, Report] = {}
    for report in reports:
        if not report.order_id:
            continue
        before = result.setdefault(report.order_id, report)
        if before.number != report.number:
            raise BrokerMismatch(
                f"order {report.order_id} is doubled",
                f"the broker has it as {before.number} and as {report.number}",
                "Cancel one of them at the broker, then reconcile.",
            )
    return result


def union(fills: Iterable[Fill]) -> tuple[dict[str, Fill], list[Fill]]:
    """Return trades by their id, each once, and those that differ from an earlier one of their id."""
    result: dict[str, Fill] = {}
    conflicting = [fill for fill in fills if result.setdefault(fill.trade_id, fill) != fill]
    return result, conflicting
