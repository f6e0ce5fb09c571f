"""Order by order what the market does, worked out by hand, through zipline's own command.

Each group is one market of 5 to 9 sessions and one run a setting; the second book checks every session of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Run
from tests.golden.cases import Case, Group, Runner, lines_of
from tests.markets import Market, days_between


def issued(price: float) -> tuple[str, dict[str, Any]]:
    return "new_share", {"ipo_date": "", "issue_date": "", "price": price}


NEW = issued(10.0)
"""An issue price of 10.00 CNY."""


def bought(shares: int, price: float) -> str:
    return f"buy {shares}: {shares} at {price:.8g}, filled"


def sold(shares: int, price: float) -> str:
    return f"sell {shares}: {shares} at {price:.8g}, filled"


# Monday 5 to Wednesday 14 March 2018; the exchange's own limits, 10 % of the close before
ORDINARY = Group("20180305", "20180314", recorded=True, cases=[
    Case("600001.SH", "buy", "10", {1: 1000}, [bought(1000, 10)]),
    Case("600002.SH", "buy cut to lots", "10", {1: 1050}, ["buy 1050: 1000 at 10, lot"]),
    Case("600003.SH", "buy of less than a lot", "10", {1: 99}, ["buy 99: 0, lot"]),
    Case("600004.SH", "sale the session after", "10", {1: 1000, 2: -1000}, [bought(1000, 10), sold(1000, 10)]),
    Case("600005.SH", "bought and sold in one session", "10", {1: [1000, -1000]},
         ["sell 1000: 0, not_sellable", bought(1000, 10)]),
    Case("600006.SH", "partly sellable", "10", {1: 500, 2: [500, -1000]},
         [bought(500, 10), "sell 1000: 500 at 10, not_sellable", bought(500, 10)]),
    Case("600007.SH", "short", "10", {1: -100}, ["sell 100: 0, not_sellable"]),
    Case("600008.SH", "more than is held", "10", {1: 300, 2: -500},
         [bought(300, 10), "sell 500: 300 at 10, not_sellable"]),
    # limits
    Case("600009.SH", "buy at limit-up, 11.00, and the session after, up to 12.10", "10 10 11 11", {2: 100, 3: 100},
         ["buy 100: 0, limit_up", bought(100, 11)]),
    Case("600010.SH", "buy one fen below limit-up", "10 10 10.99", {2: 100}, [bought(100, 10.99)]),
    Case("600011.SH", "sale at limit-up", "10 10 11", {1: 100, 2: -100}, [bought(100, 10), sold(100, 11)]),
    Case("600012.SH", "sale at limit-down, 9.00, and the session after, down to 8.10", "10 10 9 9",
         {1: 100, 2: -100, 3: -100}, [bought(100, 10), "sell 100: 0, limit_down", sold(100, 9)]),
    Case("600013.SH", "buy at limit-down", "10 10 9", {2: 100}, [bought(100, 9)]),
    Case("600014.SH", "sale one fen above limit-down", "10 10 9.01", {1: 100, 2: -100},
         [bought(100, 10), sold(100, 9.01)]),
    # what the exchange records
    Case("600053.SH", "a recorded mark of no limit", "10 10 20", {2: 100}, [bought(100, 20)],
         limits={3: (99999.99, 0)}),
    Case("600055.SH", "a recorded row without limits", "10 10 20", {2: 100}, [bought(100, 20)],
         limits={3: (None, None)}),
    Case("600056.SH", "a record two fen off the rule stands", "10 10 11", {2: 100}, [bought(100, 11)],
         limits={3: (11.02, 9.0)}),
    Case("600057.SH", "a record one fen off that no trade confirms does not", "10 10 10.99", {2: 100},
         [bought(100, 10.99)], limits={3: (10.99, 9.0)}),
    Case("600058.SH", "a record one fen off that a trade confirms does", "10 10 11.01", {2: 100},
         ["buy 100: 0, limit_up"], limits={3: (11.01, 9.0)}),
    # suspension, day orders
    Case("600015.SH", "suspended; the orders die with the session", "10 10 s 10.5", {1: 100, 2: [100, -100]},
         [bought(100, 10), "sell 100: 0, suspended", "buy 100: 0, suspended"]),
    Case("600016.SH", "asked again after a suspension", "10 10 s 10.5", {2: 100, 3: 100},
         ["buy 100: 0, suspended", bought(100, 10.5)]),
    # a tenth of the volume: 10,000 shares give 1,000, 2,500 give 250, 900 give 90
    Case("600017.SH", "two orders share the volume", "10", {1: [600, 600]},
         [bought(600, 10), "buy 600: 400 at 10, participation"], lots=100),
    Case("600018.SH", "a share of the volume in lots", "10", {1: 1000},
         ["buy 1000: 200 at 10, participation"], lots=25),
    Case("600019.SH", "a share of the volume below a lot", "10", {1: 1000}, ["buy 1000: 0, participation"], lots=9),
    Case("600020.SH", "a sale takes from the volume of a buy", "10", {1: 1000, 2: [800, -600]},
         [bought(1000, 10), sold(600, 10), "buy 800: 400 at 10, participation"], lots=100),
    Case("600021.SH", "more than an order may hold", "10", {1: 1_000_100},
         ["buy 1000100: 1000000 at 10, order_maximum"]),
    Case("600022.SH", "two orders of the largest size", "10", {1: [1_000_000, 1_000_000]},
         [bought(1_000_000, 10)] * 2),
    # limit orders: 10.04 and 8.29 are no whole number of fen in binary
    Case("600025.SH", "buy limit at the price", "10.04", {1: (100, "limit", 10.04)}, [bought(100, 10.04)]),
    Case("600026.SH", "buy limit under the price", "10.04", {1: (100, "limit", 10.03)}, ["buy 100: 0, limit_price"]),
    Case("600027.SH", "buy limit over the price fills at the price", "10.04", {1: (100, "limit", 10.05)},
         [bought(100, 10.04)]),
    Case("600028.SH", "sell limit at the price", "10.04", {1: 100, 2: (-100, "limit", 10.04)},
         [bought(100, 10.04), sold(100, 10.04)]),
    Case("600029.SH", "sell limit over the price", "10.04", {1: 100, 2: (-100, "limit", 10.05)},
         [bought(100, 10.04), "sell 100: 0, limit_price"]),
    Case("600030.SH", "sell limit under the price fills at the price", "10.04", {1: 100, 2: (-100, "limit", 10.03)},
         [bought(100, 10.04), sold(100, 10.04)]),
    Case("600031.SH", "limits of 8.29", "8.29", {1: (100, "limit", 8.29), 2: (-100, "limit", 8.29)},
         [bought(100, 8.29), sold(100, 8.29)]),
    Case("600032.SH", "limits of 1.15", "1.15", {1: (100, "limit", 1.15), 2: (-100, "limit", 1.15)},
         [bought(100, 1.15), sold(100, 1.15)]),
    Case("600033.SH", "limits of 4.35", "4.35", {1: (100, "limit", 4.35), 2: (-100, "limit", 4.35)},
         [bought(100, 4.35), sold(100, 4.35)]),
    # what no order may be
    Case("600034.SH", "stop order", "10", {1: (100, "stop", 9.0)}, ["buy 100: 0, stop_order"]),
    Case("600035.SH", "stop-limit order", "10", {1: (100, "stop_limit", 10.0)}, ["buy 100: 0, stop_order"]),
    Case("600036.SH", "stop loss", "10", {1: 100, 2: (-100, "stop", 9.0)},
         [bought(100, 10), "sell 100: 0, stop_order"]),
    Case("600037.SH", "cancelled", "10", {1: (1000, "cancel", 0)}, ["buy 1000: 0, cancelled"]),
    Case("600038.SH", "decided in the last session", "10", {8: 100}, ["buy 100: 0, run_ended"]),
    Case("600039.SH", "not listed yet", ". . . 10", {2: 100}, ["buy 100: 0, not_listed"], listed=4),
    Case("600048.SH", "not listed any more", "10 10 10 .", {1: 100, 3: -100},
         [bought(100, 10), "sell 100: 0, not_listed"], delisted=4),
    # 1,000 shares and 15 for 100 make 1,150: 11.50 becomes 10.00
    Case("600050.SH", "odd lots are sold whole", "11.5 11.5 10", {1: 1000, 3: -130, 4: -1000, 5: -50},
         [bought(1000, 11.5), "sell 130: 100 at 10, lot", sold(1000, 10), sold(50, 10)], pre={3: 10.0},
         factor={3: 1.15}, rows=(("dividend", {"div_proc": "实施", "stk_div": 0.15, "ex_date": 3, "record_date": 2}),)),
    Case("600051.SH", "an order that waits over an ex-date grows with it", "11.5 11.5 10", {1: 1000, 2: -1000},
         [bought(1000, 11.5), sold(1150, 10)], pre={3: 10.0}, factor={3: 1.15},
         rows=(("dividend", {"div_proc": "实施", "stk_div": 0.15, "ex_date": 3, "record_date": 2}),)),
])  # fmt: skip

FREE = Group("20180305", "20180309", recorded=True, variants={
    "maximum": "order_maximum = false",
    "volume": "participation = 0",
    "twentieth": "participation = 0.05",
}, cases=[
    Case("600001.SH", "the largest order is a setting", "10", {1: 1_000_100}, {
        "maximum": [bought(1_000_100, 10)],
        "volume": ["buy 1000100: 1000000 at 10, order_maximum"],
        "twentieth": ["buy 1000100: 1000000 at 10, order_maximum"],
    }),
    Case("600002.SH", "the share of the volume is a setting", "10", {1: 20_000}, {
        "maximum": ["buy 20000: 1000 at 10, participation"],
        "volume": [bought(20_000, 10)],
        "twentieth": ["buy 20000: 500 at 10, participation"],
    }, lots=100),
])  # fmt: skip


def bars(*lines: list[str]) -> dict[str, list[str]]:
    """Return the lines by the price that fills, and by the reading of the bar."""
    return dict(zip(("open", "vwap", "close", "optimistic", "pessimistic"), lines, strict=True))


UP, DOWN = ["buy 100: 0, limit_up"], [bought(100, 10), "sell 100: 0, limit_down"]

# limits of the third session: 11.00 and 9.00; its average is the middle of high and low
PRICES = Group("20180305", "20180309", recorded=True, variants={
    "open": "", "vwap": 'fill = "vwap"', "close": 'fill = "close"',
    "optimistic": 'scenario = "optimistic"', "pessimistic": 'scenario = "pessimistic"',
}, cases=[
    Case("600001.SH", "a calm bar", "10 10 10/10.4", {2: 100},
         bars(*([bought(100, price)] for price in (10, 10.2, 10.4, 10, 10.2)))),
    Case("600002.SH", "a calm bar, sold", "10 10 10/10.4", {1: 100, 2: -100},
         bars(*([bought(100, 10), sold(100, price)] for price in (10, 10.2, 10.4, 10.2, 10)))),
    Case("600003.SH", "limit-up all day", "10 10 11", {2: 100}, UP),
    Case("600004.SH", "limit-down all day", "10 10 9", {1: 100, 2: -100}, DOWN),
    Case("600005.SH", "limit-down all day, bought", "10 10 9", {2: 100}, [bought(100, 9)]),
    Case("600006.SH", "limit-up all day, sold", "10 10 11", {1: 100, 2: -100}, [bought(100, 10), sold(100, 11)]),
    Case("600007.SH", "opens at limit-up and falls", "10 10 11/10.5", {2: 100},
         bars(UP, [bought(100, 10.75)], [bought(100, 10.5)], [bought(100, 10.75)], UP)),
    Case("600008.SH", "closes at limit-up", "10 10 10.5/11", {2: 100},
         bars([bought(100, 10.5)], [bought(100, 10.75)], UP, [bought(100, 10.5)], UP)),
    Case("600009.SH", "leaves limit-up between", "10 10 11/11/10.8/11", {2: 100},
         bars(UP, [bought(100, 10.9)], UP, [bought(100, 10.9)], UP)),
    Case("600010.SH", "touches limit-up between", "10 10 10.5/11/10.5/10.6", {2: 100},
         bars(*([bought(100, price)] for price in (10.5, 10.75, 10.6, 10.5)), UP)),
    Case("600011.SH", "opens at limit-down and rises", "10 10 9/9.5", {1: 100, 2: -100},
         bars(DOWN, *([bought(100, 10), sold(100, price)] for price in (9.25, 9.5, 9.25)), DOWN)),
    Case("600012.SH", "closes at limit-down", "10 10 9.5/9", {1: 100, 2: -100},
         bars(*([bought(100, 10), sold(100, price)] for price in (9.5, 9.25)), DOWN,
              [bought(100, 10), sold(100, 9.5)], DOWN)),
    # a tenth of 10,000 shares, twice that, half of it
    Case("600013.SH", "how much of the volume", "10", {1: 3000},
         bars(*([f"buy 3000: {shares} at 10, participation"] for shares in (1000, 1000, 1000, 2000, 500))), lots=100),
])  # fmt: skip

# 0.1 % on top; 10.99 and 18.01 would become 11.00099 and 17.99199, beyond the limits
SLIPPAGE = Group("20180305", "20180309", recorded=True, variants={"": "slippage = 0.001"}, cases=[
    Case("600001.SH", "both sides", "10", {1: 1000, 2: -1000}, [bought(1000, 10.01), sold(1000, 9.99)]),
    Case("600002.SH", "not over limit-up", "10 10 10.99", {2: 100}, [bought(100, 11)]),
    Case("600003.SH", "not under limit-down", "20 20 18.01", {1: 100, 2: -100},
         [bought(100, 20.02), sold(100, 18)]),
    Case("600004.SH", "a limit at the price is missed", "10", {1: (100, "limit", 10.0)}, ["buy 100: 0, limit_price"]),
    Case("600005.SH", "a limit with room for it is met", "10", {1: (100, "limit", 10.01)}, [bought(100, 10.01)]),
    Case("600006.SH", "a sale's limit too", "10", {1: 200, 2: [(-100, "limit", 10.0), (-100, "limit", 9.99)]},
         [bought(200, 10.01), "sell 100: 0, limit_price", sold(100, 9.99)]),
])  # fmt: skip

# no recorded limits from here on: 19, 20, 21 August 2020 and, with the new rules, 24 to 28 and 31
CHINEXT = Group("20200819", "20200831", cases=[
    Case("300001.SZ", "10 % on the 21st, 20 % on the 24th", "10 10 11 12.1", {2: 100, 3: 100},
         ["buy 100: 0, limit_up", bought(100, 12.1)]),
    Case("300002.SZ", "20 % on the 24th", "10 10 10 12", {3: 100}, ["buy 100: 0, limit_up"]),
    Case("300003.SZ", "a fen less", "10 10 10 11.99", {3: 100}, [bought(100, 11.99)]),
    Case("300004.SZ", "ST: 5 % on the 21st, 20 % on the 24th", "10 10 10.5 11.55", {2: 100, 3: 100},
         ["buy 100: 0, limit_up", bought(100, 11.55)], name="ST某某"),
    Case("300005.SZ", "*ST: 20 % on the 24th", "10 10 10 12", {3: 100}, ["buy 100: 0, limit_up"], name="*ST某某"),
    Case("300006.SZ", "down 10 % on the 21st and the 24th", "10 10 9 8.1", {1: 200, 2: -100, 3: -100},
         [bought(200, 10), "sell 100: 0, limit_down", sold(100, 8.1)]),
    Case("300007.SZ", "down 20 % on the 24th", "10 10 10 8", {1: 100, 3: -100},
         [bought(100, 10), "sell 100: 0, limit_down"]),
    Case("300008.SZ", "the largest order, 1,000,000 and then 300,000", "10", {2: 400_000, 3: 400_000},
         [bought(400_000, 10), "buy 400000: 300000 at 10, order_maximum"]),
    Case("300009.SZ", "lots of 100", "10", {3: 199}, ["buy 199: 100 at 10, lot"]),
    # 10.55 x 1.44 = 15.192; the session after, the 24th, 15.19 x 1.2 = 18.228
    Case("301001.SZ", "listed on the 21st: 44 %, then 20 %", ". . 15.19 18.23", {2: 100, 3: 100},
         ["buy 100: 0, limit_up"] * 2, listed=3, rows=(issued(10.55),)),
    Case("301002.SZ", "listed on the 21st, a fen less", ". . 15.18 18.21", {2: 100, 3: 100},
         [bought(100, 15.18), bought(100, 18.21)], listed=3, rows=(issued(10.55),)),
    Case("301003.SZ", "listed on the 24th: free to the 28th, 20 % on the 31st", ". . . 50 20 60 25 70 84",
         {3: 100, 4: 100, 7: 100, 8: 100},
         [bought(100, 50), bought(100, 20), bought(100, 70), "buy 100: 0, limit_up"], listed=4, rows=(NEW,)),
    Case("301005.SZ", "a suspended session does not count", ". . . 50 s 20 60 25 70", {8: 100}, [bought(100, 70)],
         listed=4, rows=(NEW,)),
])  # fmt: skip

# the board opens on Monday 22 July 2019, the third session; its first five sessions are free, the 29th is not
STAR = Group("20190718", "20190729", cases=[
    Case("688001.SH", "199 are too few", ". . 10", {3: 199}, ["buy 199: 0, lot"], listed=3),
    Case("688002.SH", "200 are enough", ". . 10", {3: 200}, [bought(200, 10)], listed=3),
    Case("688003.SH", "then one by one", ". . 10", {3: 201}, [bought(201, 10)], listed=3),
    Case("688005.SH", "a sale of 301 leaves 199, which go at once", ". . 10", {3: 500, 4: -301, 5: -199},
         [bought(500, 10), sold(301, 10), sold(199, 10)], listed=3),
    Case("688006.SH", "a sale of 150 out of 500", ". . 10", {3: 500, 4: -150}, [bought(500, 10), "sell 150: 0, lot"],
         listed=3),
    Case("688007.SH", "the largest order", ". . 10", {3: 100_001}, ["buy 100001: 100000 at 10, order_maximum"],
         listed=3),
    Case("688008.SH", "a tenth of 2,015 shares", ". . 10", {3: 500}, ["buy 500: 201 at 10, participation"],
         listed=3, lots=20.15),
    Case("688009.SH", "free for five sessions, 20 % in the sixth", ". . 10 30 5 25 8 9.6",
         {2: 200, 3: 200, 6: 200, 7: 200},
         [bought(200, 10), bought(200, 30), bought(200, 8), "buy 200: 0, limit_up"], listed=3),
    Case("688010.SH", "a fen less in the sixth", ". . 10 30 5 25 8 9.59", {7: 200}, [bought(200, 9.59)], listed=3),
    Case("688011.SH", "down 20 % in the sixth", ". . 10 30 5 25 8 6.4", {3: 200, 7: -200},
         [bought(200, 30), "sell 200: 0, limit_down"], listed=3),
    Case("688012.SH", "*ST has 20 % too", ". . 10 30 5 25 8 8.4", {7: 200}, [bought(200, 8.4)], listed=3,
         names={8: "*ST某某"}),
    Case("689009.SH", "a depositary receipt", ". . 10 30", {3: 199, 4: 201}, ["buy 199: 0, lot", bought(201, 30)],
         listed=3),
])  # fmt: skip

STAR_CASH = Group("20190718", "20190729", capital=2100, cases=[
    # 209 x 10.00 + 5.00 + 0.04 = 2,095.04; 210 would cost 2,105.04
    Case("688001.SH", "cash cut to the share", ". . 10", {3: 500}, ["buy 500: 209 at 10, cash"], listed=3),
])  # fmt: skip

# 15 November 2021, the first session, to the 24th
BSE = Group("20211115", "20211124", cases=[
    Case("430047.BJ", "30 %: 1.25 x 1.3 = 1.625", "1.25 1.25 1.63", {2: 100}, ["buy 100: 0, limit_up"]),
    Case("830799.BJ", "a fen less", "1.25 1.25 1.62", {2: 100}, [bought(100, 1.62)]),
    Case("870001.BJ", "down 30 %: 0.875", "1.25 1.25 0.88", {1: 100, 2: -100},
         [bought(100, 1.25), "sell 100: 0, limit_down"]),
    Case("920002.BJ", "a fen more", "1.25 1.25 0.89", {1: 100, 2: -100}, [bought(100, 1.25), sold(100, 0.89)]),
    Case("920003.BJ", "99 are too few", "10", {1: 99}, ["buy 99: 0, lot"]),
    Case("920004.BJ", "101 may be bought, 101 of 150 sold, and the 49 left", "10", {1: 150, 2: -101, 3: -49},
         [bought(150, 10), sold(101, 10), sold(49, 10)]),
    Case("920005.BJ", "the largest order", "10", {1: 1_000_001}, ["buy 1000001: 1000000 at 10, order_maximum"]),
    Case("920006.BJ", "free on its first day only", ". . 30 39", {2: 100, 3: 100},
         [bought(100, 30), "buy 100: 0, limit_up"], listed=3, rows=(NEW,)),
    Case("920007.BJ", "ST has 30 % too", "10 10 12.99", {2: 100}, [bought(100, 12.99)], name="ST某某"),
])  # fmt: skip

# Friday 3 July 2026 is the fourth session, Monday 6 the fifth: 5.05 x 1.05 = 5.3025 and x 1.1 = 5.555
ST_2026 = Group("20260630", "20260709", cases=[
    Case("600001.SH", "ST up: 5 % and then 10 %", "5.05 5.05 5.05 5.3/5.05 5.3/5.05 5.56", {3: 100, 4: 100, 5: 100},
         ["buy 100: 0, limit_up", bought(100, 5.3), "buy 100: 0, limit_up"], name="ST某某"),
    Case("000001.SZ", "*ST down: 4.80 and then 4.55", "5.05 5.05 5.05 4.8/5.05 4.8/5.05 4.55",
         {1: 300, 3: -100, 4: -100, 5: -100},
         [bought(300, 5.05), "sell 100: 0, limit_down", sold(100, 4.8), "sell 100: 0, limit_down"], name="*ST某某"),
    Case("600002.SH", "an ordinary stock has 10 % before and after", "10 10 10 11/10 11", {3: 100, 4: 100},
         ["buy 100: 0, limit_up"] * 2),
    Case("300001.SZ", "a ChiNext ST has 20 % before and after", "10 10 10 11.99/10 12", {3: 100, 4: 100},
         [bought(100, 11.99), "buy 100: 0, limit_up"], name="ST某某"),
])  # fmt: skip

NAMES = Group("20180305", "20180314", cases=[
    Case("600001.SH", "ST: 5 %", "10 10 10.5", {2: 100}, ["buy 100: 0, limit_up"], name="ST某某"),
    Case("600002.SH", "*ST, a fen less", "10 10 10.49", {2: 100}, [bought(100, 10.49)], name="*ST某某"),
    Case("000001.SZ", "SST down 5 %", "10 10 9.5", {1: 100, 2: -100}, [bought(100, 10), "sell 100: 0, limit_down"],
         name="SST某某"),
    Case("600182.SH", "S: the share reform is outstanding, 5 %", "10 10 10.5", {2: 100}, ["buy 100: 0, limit_up"],
         name="S某某"),
    Case("600003.SH", "a name that begins with G: 10 %", "10 10 10.5 11.55", {2: 100, 3: 100},
         [bought(100, 10.5), "buy 100: 0, limit_up"], name="G某某"),
    Case("600004.SH", "a name that ends in ST", "10 10 10.5", {2: 100}, [bought(100, 10.5)], name="某某ST"),
    Case("600005.SH", "ST until the third session", "10 10 10.5/10 10.5", {2: 100, 3: 100},
         ["buy 100: 0, limit_up", bought(100, 10.5)], name="ST某某", names={4: "某某"}),
    Case("600006.SH", "ST from the third session", "10 10.5/10 10.5", {1: 100, 2: 100},
         [bought(100, 10.5), "buy 100: 0, limit_up"], names={3: "ST某某"}),
    Case("600007.SH", "on the exchange's list in the third session", "10 10 10.5/10 10.5", {2: 100, 3: 100},
         ["buy 100: 0, limit_up", bought(100, 10.5)], rows=(("stock_st", {"trade_date": 3}),)),
    # 0.95 x 1.1 = 1.045, 0.95 x 0.9 = 0.855: half up
    Case("600008.SH", "half a fen is rounded up: 1.05", "0.95 0.95 1.04/0.95 1.05", {2: 100, 3: 100},
         [bought(100, 1.04), "buy 100: 0, limit_up"]),
    Case("600009.SH", "half a fen is rounded up: 0.86", "0.95 0.95 0.87/0.95 0.86", {1: 200, 2: -100, 3: -100},
         [bought(200, 0.95), sold(100, 0.87), "sell 100: 0, limit_down"]),
    Case("000002.SZ", "Shenzhen moves a limit at 0.04 by a fen", "0.04 0.04 0.04 0.05", {2: 100, 3: 100},
         [bought(100, 0.04), "buy 100: 0, limit_up"]),
    Case("600010.SH", "Shanghai does not yet: 0.04 is limit-up", "0.04", {2: 100}, ["buy 100: 0, limit_up"]),
])  # fmt: skip

# listing days of 2018: 44 % over and 36 % under the issue price of 10.00, then 10 %
LISTING = Group("20180305", "20180309", cases=[
    Case("603001.SH", "44 % and then 10 %", ". . 14.4 15.84", {2: 100, 3: 100}, ["buy 100: 0, limit_up"] * 2,
         listed=3, rows=(NEW,)),
    Case("603002.SH", "a fen less", ". . 14.39 15.82", {2: 100, 3: 100}, [bought(100, 14.39), bought(100, 15.82)],
         listed=3, rows=(NEW,)),
    Case("002901.SZ", "without new_share the previous close given is the issue price", ". . 14.4", {2: 100},
         ["buy 100: 0, limit_up"], listed=3, pre={3: 10.0}),
    Case("300701.SZ", "ChiNext too", ". . 14.4", {2: 100}, ["buy 100: 0, limit_up"], listed=3, rows=(NEW,)),
    Case("600023.SH", "listed by a swap of shares: no limit", ". . 30", {2: 100}, [bought(100, 30)], listed=3,
         pre={3: 10.0}),
])  # fmt: skip

# Thursday 12 December 2013 is the third session, Friday 13 the fourth
LISTING_2013 = Group("20131210", "20131217", cases=[
    Case("600701.SH", "Shanghai on the 12th: no limit", ". . 30", {2: 100}, [bought(100, 30)], listed=3, rows=(NEW,)),
    Case("600702.SH", "Shanghai on the 13th: 44 %", ". . . 14.4", {3: 100}, ["buy 100: 0, limit_up"], listed=4,
         rows=(NEW,)),
    Case("002701.SZ", "Shenzhen on the 13th: no limit yet", ". . . 30", {3: 100}, [bought(100, 30)], listed=4,
         rows=(NEW,)),
])  # fmt: skip

# Friday 7 April 2023 is the second session, Monday 10 the third, Friday 14 the seventh
REGISTRATION = Group("20230406", "20230417", cases=[
    Case("603101.SH", "listed on the 7th: 44 %", ". 14.4", {1: 100}, ["buy 100: 0, limit_up"], listed=2, rows=(NEW,)),
    Case("603102.SH", "listed on the 10th: free to the 14th, 10 % on the 17th", ". . 30 10 40 12 50 55",
         {2: 100, 3: 100, 6: 100, 7: 100},
         [bought(100, 30), bought(100, 10), bought(100, 50), "buy 100: 0, limit_up"], listed=3, rows=(NEW,)),
    Case("001301.SZ", "Shenzhen: down 10 % on the 17th", ". . 30 10 40 12 50 45", {6: 100, 7: -100},
         [bought(100, 50), "sell 100: 0, limit_down"], listed=3, rows=(NEW,)),
    Case("600001.SH", "Shanghai's fen at 0.04 from the 10th", "0.04", {1: 100, 2: 100},
         ["buy 100: 0, limit_up", bought(100, 0.04)]),
    Case("000001.SZ", "Shenzhen's long before", "0.04", {1: 100}, [bought(100, 0.04)]),
])  # fmt: skip

# Wednesday 30 December 2020 is the third session, Thursday 31 the fourth, Monday 4 January the fifth
DELISTING = Group("20201228", "20210107", cases=[
    Case("600001.SH", "from the 31st: no limit, then 10 %", "1 1 1 2/1 1.1", {3: 100, 4: 100},
         [bought(100, 2), "buy 100: 0, limit_up"], names={4: "某某退"}),
    Case("600002.SH", "from the 30th: 10 % on its first day", "1 1 1.1", {2: 100}, ["buy 100: 0, limit_up"],
         names={3: "退市某某"}),
    Case("600003.SH", "a *ST stock has more than 5 % in it", "1 1 1.06", {2: 100}, [bought(100, 1.06)], name="*ST某某",
         names={3: "退市某某"}),
    Case("000001.SZ", "sold on a free day, then down 10 %", "1 1 1 0.3 0.27", {1: 200, 3: -100, 4: -100},
         [bought(200, 1), sold(100, 0.3), "sell 100: 0, limit_down"], names={4: "某某退"}),
    Case("300001.SZ", "ChiNext from the 31st: no limit, then 20 %", "1 1 1 3/1 1.2", {3: 100, 4: 100},
         [bought(100, 3), "buy 100: 0, limit_up"], names={4: "某某退"}),
    Case("688001.SH", "STAR from the 31st: no limit, then 20 %", "1 1 1 3/1 1.2", {3: 200, 4: 200},
         [bought(200, 3), "buy 200: 0, limit_up"], names={4: "某某退"}),
    Case("688002.SH", "STAR from the 30th: 20 % on its first day", "1 1 1.2", {2: 200}, ["buy 200: 0, limit_up"],
         names={3: "某某退"}),
])  # fmt: skip

# Friday 25 August 2023 is the fourth session, Monday 28 the fifth; commission, stamp duty, transfer fee
OWN_RATES = "stamp_duty = 0.002\ntransfer_fee = 0.0"
STAMP = Group("20230822", "20230829", fees=True, variants={
    "": "", "exchange": "exchange_fees = true", "rates": OWN_RATES,
    "account": "commission_rate = 0.001\ncommission_minimum = 0.0",
}, cases=[
    Case("600001.SH", "2,000 bought, 1,000 sold on the 25th and on the 28th", "10", {1: 2000, 3: -1000, 4: -1000}, {
        "": ["buy 2000: 2000 at 10, filled; 5 0 0.2", "sell 1000: 1000 at 10, filled; 5 10 0.1",
             "sell 1000: 1000 at 10, filled; 5 5 0.1"],
        # 0.0000487 and 0.00002 of 20,000 and 10,000: 1.374, 0.687; from the 28th 0.0000341 and 0.00002: 0.541
        "exchange": ["buy 2000: 2000 at 10, filled; 6.37 0 0.2", "sell 1000: 1000 at 10, filled; 5.69 10 0.1",
                     "sell 1000: 1000 at 10, filled; 5.54 5 0.1"],
        "rates": ["buy 2000: 2000 at 10, filled; 5 0 0", "sell 1000: 1000 at 10, filled; 5 20 0",
                  "sell 1000: 1000 at 10, filled; 5 20 0"],
        "account": ["buy 2000: 2000 at 10, filled; 20 0 0.2", "sell 1000: 1000 at 10, filled; 10 10 0.1",
                    "sell 1000: 1000 at 10, filled; 10 5 0.1"],
    }),
    Case("920001.BJ", "the same in Beijing", "10", {1: 2000, 3: -1000, 4: -1000}, {
        "": ["buy 2000: 2000 at 10, filled; 5 0 0.2", "sell 1000: 1000 at 10, filled; 5 10 0.1",
             "sell 1000: 1000 at 10, filled; 5 5 0.1"],
        # 0.00025 and 0.00002 of 20,000 and 10,000: 5.40, 2.70; from the 28th 0.000125 and 0.00002: 1.45
        "exchange": ["buy 2000: 2000 at 10, filled; 10.4 0 0.2", "sell 1000: 1000 at 10, filled; 7.7 10 0.1",
                     "sell 1000: 1000 at 10, filled; 6.45 5 0.1"],
        "rates": ["buy 2000: 2000 at 10, filled; 5 0 0", "sell 1000: 1000 at 10, filled; 5 20 0",
                  "sell 1000: 1000 at 10, filled; 5 20 0"],
        "account": ["buy 2000: 2000 at 10, filled; 20 0 0.2", "sell 1000: 1000 at 10, filled; 10 10 0.1",
                    "sell 1000: 1000 at 10, filled; 10 5 0.1"],
    }),
])  # fmt: skip

UNROUNDED = Group("20180305", "20180309", recorded=True, fees=True, variants={"": "round_fees = false"}, cases=[
    # 300 x 10.01 = 3,003.00: 3.003 of duty, 0.06006 of transfer fee
    Case("600001.SH", "fees as they come out", "10.01", {1: 300, 2: -300},
         ["buy 300: 300 at 10.01, filled; 5 0 0.06006", "sell 300: 300 at 10.01, filled; 5 3.003 0.06006"]),
])  # fmt: skip

# Friday 31 July 2015 is the third session, Monday 3 August the fourth
PAR = Group("20150729", "20150805", fees=True, variants={"": "", "exchange": "exchange_fees = true"}, cases=[
    Case("600001.SH", "Shanghai: 0.3 per mille of par, then 0.02 of turnover", "10", {2: 2000, 3: 2000}, {
        "": ["buy 2000: 2000 at 10, filled; 5 0 0.6", "buy 2000: 2000 at 10, filled; 5 0 0.4"],
        # 0.0000696 and 0.00002 of 20,000: 1.792; then 0.0000487 and 0.00002: 1.374
        "exchange": ["buy 2000: 2000 at 10, filled; 6.79 0 0.6", "buy 2000: 2000 at 10, filled; 6.37 0 0.4"],
    }),
    Case("600002.SH", "a dear share paid less on par", "50", {2: 100, 3: 100}, {
        "": ["buy 100: 100 at 50, filled; 5 0 0.03", "buy 100: 100 at 50, filled; 5 0 0.1"],
        # 0.448 and 0.3435
        "exchange": ["buy 100: 100 at 50, filled; 5.45 0 0.03", "buy 100: 100 at 50, filled; 5.34 0 0.1"],
    }),
    Case("000001.SZ", "Shenzhen: 0.0255 per mille of turnover, then 0.02", "10", {2: 2000, 3: 2000}, {
        "": ["buy 2000: 2000 at 10, filled; 5 0 0.51", "buy 2000: 2000 at 10, filled; 5 0 0.4"],
        "exchange": ["buy 2000: 2000 at 10, filled; 6.79 0 0.51", "buy 2000: 2000 at 10, filled; 6.37 0 0.4"],
    }),
])  # fmt: skip

# Thursday 28 April 2022 is the third session, Friday 29 the fourth
HALVED = ["buy 2000: 2000 at 10, filled; 5 0 0.4", "buy 2000: 2000 at 10, filled; 5 0 0.2"]
TRANSFER = Group("20220426", "20220505", fees=True, cases=[
    Case(code, "the transfer fee is halved", "10", {2: 2000, 3: 2000}, HALVED)
    for code in ("600001.SH", "000001.SZ", "430001.BJ")
])  # fmt: skip

COMMISSION = Group("20180305", "20180309", recorded=True, fees=True, cases=[
    Case("600001.SH", "0.025 % of 30,000, and duty of the sale", "10", {1: 3000, 2: -3000},
         ["buy 3000: 3000 at 10, filled; 7.5 0 0.6", "sell 3000: 3000 at 10, filled; 7.5 30 0.6"]),
    Case("600002.SH", "5 CNY at least, for each order", "10", {1: [100, 100]},
         ["buy 100: 100 at 10, filled; 5 0 0.02"] * 2),
    Case("600003.SH", "nothing for what was refused", "10", {1: 50}, ["buy 50: 0, lot; 0 0 0"]),
])  # fmt: skip


def own(buy: str, sale: str) -> list[str]:
    return [f"buy 1000: 1000 at {buy}", f"sell 1000: 1000 at {sale}"]


# a script's commission takes the place of ours, its slippage comes on top; duty and transfer fee stay
OWN = Group("20180305", "20180309", recorded=True, fees=True, variants={}, setups={
    "dollar": "set_commission(commission.PerDollar(cost=0.001))",
    "share": "set_commission(commission.PerShare(cost=0.02))",
    "trade": "set_commission(commission.PerTrade(cost=3))",
    "none": "set_commission(commission.NoCommission())",
    "points": "set_slippage(slippage.FixedBasisPointsSlippage(basis_points=10, volume_limit=1))",
    "spread": "set_slippage(slippage.FixedSlippage(spread=0.1))",
}, cases=[
    Case("600001.SH", "its own costs", "10", {1: 1000, 2: -1000}, {
        "dollar": own("10, filled; 10 0 0.2", "10, filled; 10 10 0.2"),
        "share": own("10, filled; 20 0 0.2", "10, filled; 20 10 0.2"),
        "trade": own("10, filled; 3 0 0.2", "10, filled; 3 10 0.2"),
        "none": own("10, filled; 0 0 0.2", "10, filled; 0 10 0.2"),
        "points": own("10.01, filled; 5 0 0.2", "9.99, filled; 5 9.99 0.2"),
        "spread": own("10.05, filled; 5 0 0.2", "9.95, filled; 5 9.95 0.2"),
    }),
])  # fmt: skip

# 100,000 CNY. Session 2: 50,013.50 and 40,010.80 leave 9,975.70; 1,000 more would cost 10,005.20, 900 cost 9,005.18;
# 970.52 buy no lot at 10.00, but one at 5.00 for 505.01: 465.51 are left. Session 3: the sale brings
# 50,000 - 12.50 - 50.00 - 1.00 = 49,936.50; of 50,402.01 go 40,010.80 and, for 1,000 of 2,000, 10,005.20: 386.01.
CASH = Group("20180305", "20180309", capital=100_000, recorded=True, variants={"": ""}, cases=[
    Case("600006.SH", "placed before the sale that pays for it", "10", {2: 4000}, [bought(4000, 10)]),
    Case("600001.SH", "the first in rank, sold again", "10", {1: 5000, 2: -5000}, [bought(5000, 10), sold(5000, 10)]),
    Case("600002.SH", "the second", "10", {1: 4000}, [bought(4000, 10)]),
    Case("600003.SH", "the third is cut", "10", {1: 1000}, ["buy 1000: 900 at 10, cash"]),
    Case("600004.SH", "nothing is left for the fourth", "10", {1: 100}, ["buy 100: 0, cash"]),
    Case("600005.SH", "but for a cheaper one", "5", {1: 100}, [bought(100, 5)]),
    Case("600007.SH", "the last of the next session is cut", "10", {2: 2000}, ["buy 2000: 1000 at 10, cash"]),
])  # fmt: skip

GROUPS = {
    name.lower(): value for name, value in list(globals().items()) if isinstance(value, Group)
}  # in the order they are written
TABLE = [
    pytest.param(name, variant, case, id=f"{name}{'-' * bool(variant)}{variant}: {case.code} {case.what}")
    for name, group in GROUPS.items()
    for variant in group.names()
    for case in group.cases
]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Return what runs a group once and remembers it."""
    return Runner(tmp_path_factory.mktemp("cases"), GROUPS)


@pytest.mark.parametrize(("name", "variant", "case"), TABLE)
def test_case(runner: Runner, name: str, variant: str, case: Case) -> None:
    group = GROUPS[name]
    assert lines_of(runner.run(name, variant), case.code, group.fees) == case.lines(variant)


@pytest.mark.parametrize("name", list(GROUPS))
def test_a_group_has_each_stock_once_and_leaves_no_order_out(runner: Runner, name: str) -> None:
    group = GROUPS[name]
    assert len({case.code for case in group.cases}) == len(group.cases)
    for variant in group.names():
        run = runner.run(name, variant)
        assert run.orders.height == sum(len(case.lines(variant)) for case in group.cases)
        assert (run.perf["cash"] >= 0).all()


def test_the_cash_of_the_cash_cases(runner: Runner) -> None:
    assert runner.run("cash", "").perf["cash"].to_list() == pytest.approx([100_000, 465.51, 386.01, 386.01, 386.01])


def test_every_reason_has_a_case() -> None:
    from engine.types import Reason

    said = {
        line.partition(";")[0].rpartition(", ")[2]
        for group in GROUPS.values()
        for variant in group.names()
        for case in group.cases
        for line in case.lines(variant)
    }
    elsewhere = {Reason.POSITION_CAP, Reason.HALTED}  # below, and in tests of paper trading: no backtest is halted
    assert said | elsewhere == set(Reason)


CAP = """
import pandas as pd
from engine.host.rebalance import rebalance
from zipline.api import order

CODES = ["600001.SH", "600002.SH", "600003.SH"]

def initialize(context):
    context.session = 0

def handle_data(context, data):
    context.session += 1
    assets = [context.asset_finder.lookup_symbol(code, None) for code in CODES]
    if context.session in (1, 3):
        scores = [0.3, 0.2, 0.1]
        rebalance(context, data, pd.DataFrame({"score": scores, "at_limit": False, "turnover": 5.0}, index=assets))
    if context.session == 2:
        order(assets[0], 1000)
"""


@pytest.mark.parametrize("capped", [True, False])
def test_a_rebalance_is_cut_at_the_cap_and_drift_forces_no_sale(backtest: Any, capped: bool) -> None:
    """2 % of 1,000,000 CNY is 20,000 CNY, 2,000 shares at 10.00 of each.

    The first opens at 10.50: 1,904 shares fit under the cap, 1,900 in lots. The second opens at 9.50, the third
    at 10.00: 2,000 each. The order of the second session is no rebalance and knows no cap. On the third session
    the first stands at 11.00 and holds 2,900 (3,000) shares, more than its target of 1,800: it is the target that
    sells, not the cap; the second stands at 9.00 with a target of 2,200 and fills up, its cap allowing 2,222.
    Fees left less than 1,000,000: of the third only 1,999 shares make 2 %, 1,900 in lots.
    """
    days = days_between("20180305", "20180309")
    market = Market(days).index([5000.0] * 5)
    opens = {"600001.SH": (10, 10.5, 11, 11, 11), "600002.SH": (10, 9.5, 9, 9, 9), "600003.SH": (10,) * 5}
    closes = {"600001.SH": (10, 11, 11, 11, 11), "600002.SH": (10, 9, 9, 9, 9), "600003.SH": (10,) * 5}
    for code, prices in opens.items():
        market.stock(code)
        for day, opened, closed in zip(days, prices, closes[code], strict=True):
            market.bar(code, day, closed, opened)
    toml = f"[selection]\nfraction = 1.0\ncap_at_fill = {str(capped).lower()}\n"
    run: Run = backtest(market, CAP, toml=toml)
    first = "buy 2000: 1900 at 10.5, position_cap" if capped else bought(2000, 10.5)
    left = 1100 if capped else 1200  # 2,900 or 3,000 less the target of 1,800
    assert lines_of(run, "600001.SH", False) == [first, bought(1000, 11), sold(left, 11)]
    assert lines_of(run, "600002.SH", False) == [bought(2000, 9.5), bought(200, 9)]
    assert lines_of(run, "600003.SH", False) == [bought(2000, 10), sold(100, 10)]


def test_what_drifts_over_the_cap_stays(backtest: Any) -> None:
    """2,000 shares at 10.00 become 21,800 CNY of 1,001,792.60, over the cap of 2 % = 20,035.85.

    The target, 1,838 shares, 1,800 in lots, is the rebalance's own wish: without one, nothing is sold.
    """
    days = days_between("20180305", "20180309")
    market = Market(days).index([5000.0] * 5)
    market.stock("600001.SH").bars("600001.SH", [10, 10, 10.9, 10.9, 10.9])
    market.stock("600002.SH").bars("600002.SH", [10] * 5)
    market.stock("600003.SH").bars("600003.SH", [10] * 5)
    script = CAP.replace("context.session in (1, 3)", "context.session == 1").replace("session == 2", "session == 9")
    run: Run = backtest(market, script, toml="[selection]\nfraction = 1.0\n")
    assert lines_of(run, "600001.SH", False) == [bought(2000, 10)]
    assert run.positions.filter(ts_code="600001.SH")["shares"].to_list() == [2000] * 4
