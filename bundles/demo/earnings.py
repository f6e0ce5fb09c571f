"""The demo companies' reports: year-to-date figures each quarter, announced weeks after its end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bundles.demo.companies import Company

Floats = npt.NDArray[np.float64]

_QUARTERS = ((3, 31), (6, 30), (9, 30), (12, 31))
_DELAY = {3: (12, 30), 6: (30, 61), 9: (12, 31), 12: (60, 119)}
"""Days from the end of a period to its announcement, by the month it ends in."""
_LATE_EVERY, _LATE = 60, (9, 15)
"""Of so many half-year reports one comes a fortnight after the deadline: then, or some days later."""
_RESTATED_EVERY, _RESTATED_AFTER = 83, dt.timedelta(25)
"""One report in so many is restated, every fourth of these on the day of the original, the others so much later."""


@dataclass(frozen=True)
class Statement:
    """One report of one company, CNY; flows are year to date. A restated one stands beside its original."""

    company: int
    end: dt.date
    announced: dt.date
    revenue: float
    cost: float
    profit: float
    assets: float
    liabilities: float
    equity: float
    roe: float
    restated: bool = False


def periods(first_year: int, last: dt.date) -> list[dt.date]:
    """Return the ends of the quarters from a year's first to the last before a day."""
    ends = [dt.date(year, *quarter) for year in range(first_year, last.year + 1) for quarter in _QUARTERS]
    return [end for end in ends if end < last]


def statements(who: Sequence[Company], first_year: int, last: dt.date, rng: np.random.Generator) -> list[Statement]:
    """Draw the reports of all companies.

    Quality wanders slowly from quarter to quarter; return on equity, margin and leverage follow it.
    """
    ends = periods(first_year, last)
    n = len(who)
    quality, equity = rng.normal(size=n), np.exp(rng.normal(np.log(4e9), 0.5, n))
    margin, leverage = rng.normal(0.28, 0.09, n), rng.uniform(0.15, 0.7, n)
    found: list[Statement] = []
    year_to_date = np.zeros((3, n))
    for end in ends:
        quality = 0.9 * quality + np.sqrt(1 - 0.9**2) * rng.normal(size=n)
        roe = 0.08 + 0.07 * quality + rng.normal(0, 0.01, n)
        profit = equity * roe / 4
        revenue = equity * rng.uniform(0.18, 0.26, n)
        cost = revenue * (1 - np.clip(margin + 0.05 * quality, 0.02, 0.9))
        year_to_date = np.array([revenue, cost, profit]) + (0 if end.month == 3 else year_to_date)
        equity = equity + profit * 0.6
        found += _announced(who, end, year_to_date, equity, equity * leverage / (1 - leverage), roe, rng)
    return [statement for statement in found if statement.announced <= last]


def _announced(
    who: Sequence[Company],
    end: dt.date,
    flows: Floats,
    equity: Floats,
    liabilities: Floats,
    roe: Floats,
    rng: np.random.Generator,
) -> list[Statement]:
    delays = rng.integers(*_DELAY[end.month], len(who))
    return [
        Statement(
            company=i,
            end=end,
            announced=_late(i, end) or end + dt.timedelta(int(delays[i])),
            revenue=float(flows[0, i]),
            cost=float(flows[1, i]),
            profit=float(flows[2, i]),
            assets=float(equity[i] + liabilities[i]),
            liabilities=float(liabilities[i]),
            equity=float(equity[i]),
            roe=float(roe[i]),
        )
        for i in range(len(who))
    ]


def _late(company: int, end: dt.date) -> dt.date | None:
    """Return when a report comes that misses its deadline; None for all others.

    Only half-year reports are late: the next report still comes after them.
    """
    if end.month == 6 and (company + 7 * end.year) % _LATE_EVERY == 0:
        return dt.date(end.year, *_LATE) + dt.timedelta(company % 10)
    return None


def restatements(reports: Sequence[Statement], last: dt.date) -> list[Statement]:
    """Return the later versions of some reports: a tenth of the profit was none, and equity lacks it too."""
    found = []
    for count, report in enumerate(reports[::_RESTATED_EVERY]):
        gone = abs(report.profit) / 10
        found.append(
            replace(
                report,
                announced=report.announced + (_RESTATED_AFTER if count % 4 else dt.timedelta(0)),
                profit=report.profit - gone,
                assets=report.assets - gone,
                equity=report.equity - gone,
                restated=True,
            )
        )
    return [report for report in found if report.announced <= last]


def known_roe(reports: Sequence[Statement], n: int, days: Any) -> Floats:
    """Return the newest announced return on equity of each company after each close, (sessions, n), NaN before."""
    known = np.full((len(days), n), np.nan)
    for report in sorted(reports, key=lambda report: (report.announced, report.end)):
        known[int(np.searchsorted(days, np.datetime64(report.announced))) :, report.company] = report.roe
    return known
