"""From a pipeline's table to orders, as SPEC 7 has it: what a strategy script calls on a rebalance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from zipline.api import order
from zipline.pipeline import Pipeline
from zipline.pipeline.factors import Factor
from zipline.pipeline.filters import Filter

from engine.pipeline.datasets import Daily
from engine.portfolio.select import select
from engine.portfolio.size import orders, target_shares


def ranking_pipeline(score: Factor, members: Filter) -> Pipeline:
    """Return the pipeline a rebalance needs: the score, and what names are dropped by."""
    columns = {"score": score, "at_limit": Daily.at_limit.latest, "turnover": Daily.turnover_rate.latest}
    return Pipeline(columns, screen=members)


def is_rebalance(context: Any) -> bool:
    """Count the session and say whether it is the first, or the n-th after the last rebalance (setting ``every``).

    With ``count = "day_of_month"`` the day decides, not the count.
    """
    settings = context.ashare.settings.selection
    context.sessions_seen = getattr(context, "sessions_seen", -1) + 1
    by_day = settings.count == "day_of_month"
    return bool((context.get_datetime().day if by_day else context.sessions_seen) % settings.every == 0)


def rebalance(context: Any, data: Any, table: pd.DataFrame) -> list[Any]:
    """Order the difference between what the table selects and what is held; the orders meet the next session.

    Parameters
    ----------
    context, data
        As zipline hands them to ``handle_data``.
    table : DataFrame
        Output of ``ranking_pipeline``: one row a member of the universe, indexed by asset.

    Returns
    -------
    list
        The chosen assets, best first.
    """
    settings = context.ashare.settings.selection
    first_codes = [asset.sid for asset in table.index]  # in this order; the symbol, today's code, may be of later
    score, turnover = (table[name].to_numpy(np.float64) for name in ("score", "turnover"))
    at_limit = table["at_limit"].to_numpy(np.bool_)
    chosen = [table.index[i] for i in select(first_codes, score, at_limit, turnover, settings)]
    prices = dict(zip(chosen, np.atleast_1d(data.current(chosen, "price")), strict=True)) if chosen else {}
    held = {asset: position.amount for asset, position in context.portfolio.positions.items()}
    targets = target_shares(chosen, prices, context.portfolio.portfolio_value, settings)
    with context.blotter.capped(settings.cap if settings.cap_at_fill else None):
        for asset, shares in orders(targets, held):
            order(asset, shares)
    return chosen
