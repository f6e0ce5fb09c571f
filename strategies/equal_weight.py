"""The smallest strategy: the first thirty members of the universe, in equal parts, once a month."""

from zipline.api import attach_pipeline, date_rules, order_target_percent, pipeline_output, schedule_function
from zipline.pipeline import Pipeline

from engine.pipeline.universe import universe

NAMES = 30


def initialize(context):
    attach_pipeline(Pipeline(screen=universe(context.settings.universe)), "members")
    schedule_function(rebalance, date_rules.month_start())


def rebalance(context, data):
    members = list(pipeline_output("members").index[:NAMES])
    for asset in context.portfolio.positions:
        if asset not in members:
            order_target_percent(asset, 0.0)
    for asset in members:
        order_target_percent(asset, 0.95 / NAMES)
