"""The smallest strategy: the first thirty members of the universe in equal parts, once a month.

zipline run -f strategies/equal_weight.py -b ashare --trading-calendar XSHG -s 2018-01-02 -e 2018-12-28
"""

from zipline.api import attach_pipeline, date_rules, order_target_percent, pipeline_output, schedule_function
from zipline.pipeline import Pipeline

from engine.pipeline.universe import universe

NAMES, GROSS = 30, 0.95


def initialize(context):
    attach_pipeline(Pipeline(screen=universe(context.ashare.settings.universe)), "members")
    schedule_function(rebalance, date_rules.month_start())


def rebalance(context, data):
    members = list(pipeline_output("members").index[:NAMES])
    for asset in context.portfolio.positions:
        if asset not in members:
            order_target_percent(asset, 0.0)
    for asset in members:
        order_target_percent(asset, GROSS / NAMES)
