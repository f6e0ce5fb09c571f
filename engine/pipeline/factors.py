"""The nine factors of the strategy (SPEC 4) and their z-scores, as zipline custom factors.

Each is registered in ``FACTORS`` with its window, unit and source; whatever is registered joins the export,
the training features and the checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from zipline.pipeline import CustomFactor
from zipline.pipeline.filters import Filter

from engine.pipeline import kernels
from engine.pipeline.datasets import Daily, Reports
from engine.settings import FactorSettings

Floats = npt.NDArray[np.float64]


class PanelFactor(CustomFactor):
    """A factor computed for all sessions of a chunk at once instead of window by window.

    A subclass defines ``panel``, which gets each input as (sessions + window_length - 1, assets) and returns
    (sessions, assets). Its inputs must carry no adjustments; ours never do. All inputs are anchor-free or
    of one session, so its values may feed a further window.
    """

    window_safe = True

    def panel(self, *inputs: Floats) -> Floats:
        """Compute all sessions at once."""
        raise NotImplementedError

    def _compute(self, windows: Any, dates: Any, assets: Any, mask: npt.NDArray[np.bool_]) -> Floats:
        rows = len(dates) + self.window_length - 1
        with np.errstate(all="ignore"):
            values = self.panel(*(np.asarray(window.data)[-rows:] for window in windows))
        return np.where(mask, values, np.nan)

    def compute(self, today: Any, assets: Any, out: Floats, *inputs: Floats, **params: Any) -> None:
        """Compute one window, as zipline does for other factors; the tests compare both ways."""
        with np.errstate(all="ignore"):
            out[:] = self.panel(*inputs)[-1]


class Momentum(PanelFactor):
    """Adjusted close against the one ``window_length - 1`` market sessions ago."""

    inputs = (Daily.adj_close,)

    def panel(self, *inputs: Floats) -> Floats:
        """Compute all sessions at once."""
        return kernels.momentum(inputs[0], self.window_length - 1)


class BollingerWidth(PanelFactor):
    """``(upper - lower) / middle`` of the band of two population deviations around the mean."""

    inputs = (Daily.adj_close,)
    window_length = 20
    deviations = 2.0

    def panel(self, *inputs: Floats) -> Floats:
        """Compute all sessions at once."""
        return kernels.bollinger(inputs[0], self.window_length, self.deviations)[0]


class BollingerPosition(BollingerWidth):
    """``(close - lower) / (upper - lower)`` of the same band."""

    def panel(self, *inputs: Floats) -> Floats:
        """Compute all sessions at once."""
        return kernels.bollinger(inputs[0], self.window_length, self.deviations)[1]


class ReportFactor(PanelFactor):
    """A factor of the newest known report; a report older than ``maximum_age`` days counts as null."""

    window_length = 1
    params = {"maximum_age": FactorSettings().maximum_report_age}

    def ratio(self, *items: Floats) -> Floats:
        """Compute the factor from the report's items."""
        raise NotImplementedError

    def panel(self, *inputs: Floats) -> Floats:
        """Compute all sessions at once; the first input is the report's age."""
        age, *items = inputs
        return np.where(age <= self.params["maximum_age"], self.ratio(*items), np.nan)


class ReturnOnEquity(ReportFactor):
    """100 x trailing-twelve-month profit / mean of equity now and a year earlier; null unless both are positive."""

    inputs = (Reports.report_age, Reports.profit_ttm, Reports.equity, Reports.equity_prior)

    def ratio(self, *items: Floats) -> Floats:
        """Compute the factor from the report's items."""
        profit, equity, prior = items
        return np.where((equity > 0) & (prior > 0), 100.0 * profit / ((equity + prior) / 2.0), np.nan)


class ReturnOnEquityYearToDate(ReturnOnEquity):
    """The literal reading of the design: year-to-date profit in the numerator."""

    inputs = (Reports.report_age, Reports.profit_ytd, Reports.equity, Reports.equity_prior)


class NetProfitGrowth(ReportFactor):
    """Year-to-date profit against the same period a year earlier, percent; null unless that was positive."""

    inputs = (Reports.report_age, Reports.profit_ytd, Reports.profit_ytd_prior)

    def ratio(self, *items: Floats) -> Floats:
        """Compute the factor from the report's items."""
        profit, prior = items
        return np.where(prior > 0, 100.0 * (profit - prior) / prior, np.nan)


class GrossMargin(ReportFactor):
    """``(revenue - operating cost) / revenue``; null for banks, brokers, insurers and without revenue."""

    inputs = (Reports.report_age, Reports.revenue, Reports.oper_cost, Reports.is_financial)

    def ratio(self, *items: Floats) -> Floats:
        """Compute the factor from the report's items."""
        revenue, cost, is_financial = items
        return np.where((revenue > 0) & (is_financial == 0), (revenue - cost) / revenue, np.nan)


class DebtToAssets(ReportFactor):
    """Liabilities / assets."""

    inputs = (Reports.report_age, Reports.total_liab, Reports.total_assets)

    def ratio(self, *items: Floats) -> Floats:
        """Compute the factor from the report's items."""
        liabilities, assets = items
        return np.where(assets > 0, liabilities / assets, np.nan)


class Standardised(PanelFactor):
    """Winsorised cross-sectional z-score of a factor over ``mask``; a null becomes 0."""

    window_length = 1
    params = {"tail": FactorSettings().winsorise}

    def _compute(self, windows: Any, dates: Any, assets: Any, mask: npt.NDArray[np.bool_]) -> Floats:
        values = np.asarray(windows[0].data)[-len(dates) :]
        return kernels.standardise(values, mask, self.params["tail"])

    def compute(self, today: Any, assets: Any, out: Floats, *inputs: Floats, **params: Any) -> None:
        """Compute one session; zipline has already dropped whoever is not in the mask."""
        out[:] = kernels.standardise(inputs[0], np.ones(inputs[0].shape, dtype=bool), self.params["tail"])[-1]


@dataclass(frozen=True)
class FactorSpec:
    """One registered factor.

    Attributes
    ----------
    name : str
        Its column in exports and manifests.
    window : int
        Sessions it looks at, its own counted.
    unit : str
        Unit of the raw value.
    source : str
        Where the definition stands.
    build : callable
        Settings to pipeline term.
    """

    name: str
    window: int
    unit: str
    source: str
    build: Callable[[FactorSettings], PanelFactor]


def _report(kind: type[ReportFactor]) -> Callable[[FactorSettings], PanelFactor]:
    return lambda settings: kind(maximum_age=settings.maximum_report_age)


def _roe(settings: FactorSettings) -> PanelFactor:
    kind = ReturnOnEquity if settings.roe == "ttm" else ReturnOnEquityYearToDate
    return kind(maximum_age=settings.maximum_report_age)


FACTORS: tuple[FactorSpec, ...] = (
    FactorSpec("momentum_1m", 21, "ratio", "SPEC 4", lambda _: Momentum(window_length=21)),
    FactorSpec("momentum_3m", 61, "ratio", "SPEC 4", lambda _: Momentum(window_length=61)),
    FactorSpec("momentum_12m", 241, "ratio", "SPEC 4", lambda _: Momentum(window_length=241)),
    FactorSpec("boll_width", 20, "ratio", "SPEC 4, 13.2", lambda _: BollingerWidth()),
    FactorSpec("boll_position", 20, "ratio", "SPEC 4, 13.2", lambda _: BollingerPosition()),
    FactorSpec("roe", 1, "percent", "SPEC 4, 13.7", _roe),
    FactorSpec("netprofit_yoy", 1, "percent", "SPEC 4, 13.7", _report(NetProfitGrowth)),
    FactorSpec("gross_margin", 1, "ratio", "SPEC 4, 13.7", _report(GrossMargin)),
    FactorSpec("debt_to_assets", 1, "ratio", "SPEC 4, 13.7", _report(DebtToAssets)),
)
NAMES: tuple[str, ...] = tuple(spec.name for spec in FACTORS)


def raw_factors(settings: FactorSettings) -> dict[str, PanelFactor]:
    """Return the nine factors by name."""
    return {spec.name: spec.build(settings) for spec in FACTORS}


def standardised_factors(settings: FactorSettings, members: Filter) -> dict[str, PanelFactor]:
    """Return the z-scores of the nine factors over the members of each session, by factor name."""
    return {
        name: Standardised(inputs=(factor,), mask=members, tail=settings.winsorise)
        for name, factor in raw_factors(settings).items()
    }
