"""The flagship: nine factors, an attention network trained month by month, every fifth session the top 5 %.

Needs a model for every month it runs (`ashare train --start 2018-01 --end 2018-12`), then

zipline run -f strategies/momentum_dnn.py -b ashare --trading-calendar XSHG -s 2018-01-02 -e 2018-12-28
"""

from zipline.api import attach_pipeline, pipeline_output

from engine.host.rebalance import is_rebalance, ranking_pipeline, rebalance
from engine.model.scores import ranking, scores
from engine.pipeline.universe import universe


def initialize(context):
    members = universe(context.ashare.settings.universe)
    scored = scores(context.ashare.settings, members, context.ashare.models)
    score = ranking(scored, context.ashare.settings.selection)
    attach_pipeline(ranking_pipeline(score, members), "ranking", eager=False)


def handle_data(context, data):
    table = pipeline_output("ranking")  # predictions are made every session, trades every fifth
    if is_rebalance(context):
        rebalance(context, data, table)
