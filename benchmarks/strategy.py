"""The reference workload as a zipline script: five factors in the pipeline, a rebalance every fifth session."""

from zipline.api import attach_pipeline, pipeline_output

from engine.host.rebalance import is_rebalance, ranking_pipeline, rebalance
from engine.pipeline.datasets import Daily
from engine.pipeline.factors import BollingerPosition, BollingerWidth, Momentum, Standardised

WEIGHTS = (0.3, 0.2, 0.1, -0.2, 0.2)


def initialize(context):
    width = BollingerWidth()
    factors = (*(Momentum(window_length=k + 1) for k in (20, 60, 240)), width, BollingerPosition())
    members = Daily.traded.latest & (Daily.age.latest >= 241) & width.notnull()
    score = sum(
        weight * Standardised(inputs=(f,), mask=members, tail=0.0) for weight, f in zip(WEIGHTS, factors, strict=True)
    )
    attach_pipeline(ranking_pipeline(score, members), "scores", eager=False)


def handle_data(context, data):
    if is_rebalance(context):
        rebalance(context, data, pipeline_output("scores"))
