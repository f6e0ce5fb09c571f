"""Factors without a model: the strongest year, the last month left out, every fifth session.

zipline run -f strategies/momentum.py -b ashare --trading-calendar XSHG -s 2018-01-02 -e 2018-12-28
"""

from zipline.api import attach_pipeline, pipeline_output

from engine.host.rebalance import is_rebalance, ranking_pipeline, rebalance
from engine.pipeline.factors import standardised_factors
from engine.pipeline.universe import universe


def initialize(context):
    members = universe(context.ashare.settings.universe)
    factors = standardised_factors(context.ashare.settings.factors, members)
    score = factors["momentum_12m"] - factors["momentum_1m"]
    attach_pipeline(ranking_pipeline(score, members), "ranking", eager=False)


def handle_data(context, data):
    if is_rebalance(context):
        rebalance(context, data, pipeline_output("ranking"))
