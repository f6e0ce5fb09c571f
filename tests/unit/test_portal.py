"""The price of a holding is zipline's own answer, however it is found."""

from __future__ import annotations

from tests.markets import Market, days_between

COMPARE = """
import math
from zipline.api import symbols
from zipline.data.data_portal import DataPortal

def initialize(context):
    context.assets = symbols('600001.SH', '600002.SH', '600003.SH', '600004.SH')
    context.seen = []

def handle_data(context, data):
    portal, now = context.data_portal, data.current_dt
    for asset in context.assets:
        for field in ('price', 'close', 'volume'):
            ours = portal.get_scalar_asset_spot_value(asset, field, now, 'daily')
            theirs = DataPortal.get_scalar_asset_spot_value(portal, asset, field, now, 'daily')
            assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), (asset, field, now, ours, theirs)
            context.seen.append((field, math.isnan(ours)))

def analyze(context, perf):
    assert context.seen.count(('price', True)) > 0
    assert context.seen.count(('price', False)) > 20
    assert context.seen.count(('close', True)) > context.seen.count(('price', True))
"""


def test_listed_late_suspended_delisted(backtest):
    days = days_between("20180301", "20180320")
    market = Market(days)
    through = [10.0 + at / 100 for at in range(len(days))]
    market.stock("600001.SH").bars("600001.SH", through)
    market.stock("600002.SH").bars("600002.SH", [None if 3 <= at < 8 else close for at, close in enumerate(through)])
    market.stock("600003.SH", listed=days[5])
    market.stock("600004.SH", delisted=days[9])
    for at, day in enumerate(days):
        if at >= 5:
            market.bar("600003.SH", day, through[at])
        if at < 9:
            market.bar("600004.SH", day, through[at])
    market.index([5000.0] * len(days))
    backtest(market, COMPARE)
