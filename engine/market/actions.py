"""Corporate actions: ex-rights price, fractions, dividend tax, what a delisted share is worth (DOMAIN 1.5, 1.10, 1.12).

Amounts a share are ``Decimal``: 100 shares at 0.0237 CNY are 2.37 CNY, and one tenth of a share is one tenth.
"""

from __future__ import annotations

import calendar
import datetime as dt
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from engine.market.tables import table

FEN = Decimal("0.01")


def reference_price(
    pre_close: Decimal, cash: Decimal, shares: Decimal, rights: Decimal = Decimal(0), rights_price: Decimal = Decimal(0)
) -> Decimal:
    """Return the ex-rights reference price, CNY, rounded half up to the fen.

    Parameters
    ----------
    pre_close : Decimal
        Close of the session before, CNY.
    cash : Decimal
        Dividend before tax, CNY a share.
    shares : Decimal
        Bonus and transfer shares a share.
    rights, rights_price : Decimal
        Shares offered a share, and their price in CNY.
    """
    return to_fen((pre_close - cash + rights * rights_price) / (1 + shares + rights))


def to_fen(amount: Decimal) -> Decimal:
    """Round an amount of CNY to the fen, half up."""
    return amount.quantize(FEN, ROUND_HALF_UP)


def whole_shares(held: int, ratio: Decimal) -> int:
    """Return the new shares of a holding; a fraction is lost (the depository hands them out by lot)."""
    return int((held * ratio).quantize(Decimal(1), ROUND_DOWN))


def withheld_at_payment(record: dt.date) -> Decimal:
    """Return the share of a dividend that is withheld as tax when it is paid."""
    return table("dividend_tax").value("withheld", record)


def due_at_sale(record: dt.date, bought: dt.date, sold: dt.date) -> Decimal:
    """Return the share of a dividend that is taxed when its shares are sold, beyond what was withheld.

    Parameters
    ----------
    record : date
        The dividend's record date, which decides the law.
    bought, sold : date
        A holding that ends on the same day of the next month, or year, still counts as one month, or year.
    """
    rates = table("dividend_tax")
    if sold <= _months_later(bought, 1):
        scope = "up_to_a_month"
    elif sold <= _months_later(bought, 12):
        scope = "up_to_a_year"
    else:
        scope = "longer"
    return max(rates.value(scope, record) - rates.value("withheld", record), Decimal(0))


def _months_later(day: dt.date, months: int) -> dt.date:
    year, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + year, month + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def recovery(kind: str, day: dt.date) -> Decimal:
    """Return which share of the last price a delisted holding is worth where the user's table gives no terms."""
    return table("delisting").value(kind, day)
