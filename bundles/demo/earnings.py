"""The demo companies' reports: year-to-date figures each quarter, announced weeks after its end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bundles.demo.companies import Company

Floats = npt.NDArray[np.float64]

_QUARTERS = ((3, 31), (6, 30), (9, 30), (12, 31))
_DELAY = {3: (12, 30), 6: (30, 61), 9: (12, 31), 12: (60, 119)}
"""Days from the end of a period to its announcement, by the month it ends in."""


@dataclass(frozen=True)
class Statement:
    """One report of one company, CNY; flows are year to date."""

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
            announced=end + dt.timedelta(int(delays[i])),
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


def known_roe(reports: Sequence[Statement], n: int, days: Any) -> Floats:
    """Return the newest announced return on equity of each company after each close, (sessions, n), NaN before."""
    known = np.full((len(days), n), np.nan)
    for report in sorted(reports, key=lambda report: (report.announced, report.end)):
        known[int(np.searchsorted(days, np.datetime64(report.announced))) :, report.company] = report.roe
    return known
