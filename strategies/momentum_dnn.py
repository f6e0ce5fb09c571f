"""The flagship: nine factors, an attention network trained month by month, every fifth session the top 5 %.

Needs a model for every month it runs (`ashare train --start 2018-01 --end 2018-12`), then

zipline run -f strategies/momentum_dnn.py -b ashare --trading-calendar XSHG -s 2018-01-02 -e 2018-12-28

Everything is decided after the close, from what was known then, and meets the market in the next session. What
the script remembers are five frozen states; every number is a setting of `selection`, `risk`, `blacklist`, `watch`.
"""

from zipline.api import attach_pipeline, pipeline_output

from engine.host.desk import (
    account_of,
    closes_of,
    matured,
    matured_ic,
    note_events,
    place,
    rebalanced,
    retrained,
    today,
    unfilled,
    volatility_index,
    went_ex,
)
from engine.host.rebalance import is_rebalance, ranking_pipeline
from engine.model.labels import lag
from engine.model.scores import ranking, scores
from engine.monitor.blacklist import Blacklist
from engine.monitor.volatility import VolatilitySwitch
from engine.monitor.watch import ICWatch
from engine.pipeline.universe import universe
from engine.portfolio.risk import DrawdownSwitch, Stops, gross_limit
from engine.portfolio.size import asked_again, orders, scaled


def initialize(context):
    settings = context.ashare.settings
    members = universe(settings.universe)
    scored = scores(settings, members, context.ashare.models)
    score = ranking(scored, settings.selection)
    attach_pipeline(ranking_pipeline(score, members), "ranking", eager=False)
    context.drawdown, context.volatility = DrawdownSwitch(), VolatilitySwitch()
    context.stops, context.blacklist, context.watch = Stops(), Blacklist(), ICWatch()
    context.limit = settings.selection.gross


def handle_data(context, data):
    table = pipeline_output("ranking")  # predictions are made every session, trades every fifth
    account = account_of(context, data)
    limit_before = context.limit
    check(context, account)
    if is_rebalance(context):
        wanted = rebalance(context, data, account, table)
    elif context.limit < min(limit_before, account.gross):  # the limit fell under what is held
        left = scaled(account.shares, account.gross, context.limit)
        wanted = orders(left, account.shares, account.sellable)
    else:
        wanted = again(context, data, account)
    place(context, [*sold_by_stops(context, account), *not_stopped(context, wanted)])


def check(context, account):
    """Take in the close: the switches, the stops, who was wrong too often, and whether the signal is worn out."""
    settings = context.ashare.settings
    context.drawdown, drawdown = context.drawdown.step(account.net_value, settings.risk)
    context.volatility, volatility = context.volatility.step(volatility_index(context), settings.risk)
    context.stops, stops = context.stops.step(account.holdings, went_ex(context), settings.risk)
    outcomes = matured(context, [session for session, _ in context.blacklist.waiting])
    context.blacklist, barred = context.blacklist.step(today(context), outcomes, settings.blacklist)
    stride = lag(settings.labels)
    context.watch, retrain = context.watch.step(matured_ic(context, "momentum_1m"), settings.watch, stride)
    note_events(context, [*drawdown, *volatility, *stops, *barred, *retrain])
    retrained(context, retrain)
    context.limit = gross_limit(context.drawdown.on, context.volatility.on, settings.selection, settings.risk)


def rebalance(context, data, account, table):
    """Hold the chosen in equal parts under the limit in force; sell whoever is not among them."""
    stopped, barred = context.stops.triggered, context.blacklist.barred
    targets = rebalanced(context, data, table, account, context.limit, stopped, barred)
    context.blacklist = context.blacklist.chose(today(context), targets)
    return orders(targets, account.shares, account.sellable)


def again(context, data, account):
    """Ask again for what the market refused: sells as far as held, buys as far as allowed and under the limit."""
    left = [(code, shares) for code, shares in unfilled(context) if shares < 0 or code not in context.blacklist.barred]
    room = (context.limit - account.gross) * account.net_value
    return asked_again(left, account.sellable, closes_of(context, data, [code for code, _ in left]), room)


def sold_by_stops(context, account):
    """Sell what a stop has triggered, every session until it is gone."""
    return [(code, -account.sellable[code]) for code in sorted(context.stops.triggered) if account.sellable[code]]


def not_stopped(context, wanted):
    return [(code, shares) for code, shares in wanted if code not in context.stops.triggered]
