"""The reference workload as a zipline script: five factors in the pipeline, a rebalance every fifth session."""

import numpy as np
from zipline.api import attach_pipeline, order, pipeline_output
from zipline.pipeline import Pipeline

from engine.pipeline.datasets import Daily
from engine.pipeline.factors import BollingerPosition, BollingerWidth, Momentum, Standardised
from engine.portfolio.select import select
from engine.portfolio.size import orders, target_shares

WEIGHTS = (0.3, 0.2, 0.1, -0.2, 0.2)


def initialize(context):
    width = BollingerWidth()
    factors = (*(Momentum(window_length=k + 1) for k in (20, 60, 240)), width, BollingerPosition())
    members = Daily.traded.latest & (Daily.age.latest >= 241) & width.notnull()
    score = sum(weight * Standardised(inputs=(f,), mask=members, tail=0.0) for weight, f in zip(WEIGHTS, factors))
    columns = {"score": score, "turnover": Daily.turnover_rate.latest, "at_limit": Daily.at_limit.latest}
    attach_pipeline(Pipeline(columns, screen=members), "scores", eager=False)
    context.session = -1


def handle_data(context, data):
    context.session += 1
    if context.session % context.settings.selection.every:
        return
    table = pipeline_output("scores")
    codes = [asset.symbol for asset in table.index]
    columns = (table[name].to_numpy(kind) for name, kind in (("score", float), ("at_limit", bool), ("turnover", float)))
    chosen = [table.index[i] for i in select(codes, *columns, context.settings.selection)]
    prices = dict(zip(chosen, np.atleast_1d(data.current(chosen, "price")))) if chosen else {}
    held = {asset: position.amount for asset, position in context.portfolio.positions.items()}
    targets = target_shares(chosen, prices, context.portfolio.portfolio_value, context.settings.selection)
    for asset, shares in orders(targets, held):
        order(asset, shares)
