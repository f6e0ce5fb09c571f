"""What a trade costs by law, by the exchange and by the depository, dated (DOMAIN 1.8)."""

from __future__ import annotations

import datetime as dt

from engine.market.tables import table
from engine.types import Side

PAR_VALUE = 1.0
"""CNY a share, as nearly every A share has it."""


def stamp_duty(side: Side, turnover: float, day: dt.date) -> float:
    """Return the stamp duty of a trade, CNY, not rounded."""
    return turnover * float(table("stamp_duty").value(side, day))


def transfer_fee(exchange: str, shares: int, turnover: float, day: dt.date) -> float:
    """Return the depository's transfer fee of a trade, CNY, not rounded: on turnover or, once, on par value."""
    rates = table("transfer_fee")
    on_par = shares * PAR_VALUE * float(rates.value(f"{exchange}.par", day))
    return on_par + turnover * float(rates.value(f"{exchange}.turnover", day))


def exchange_fees(exchange: str, turnover: float, day: dt.date) -> float:
    """Return handling and regulatory fee of a trade, CNY; a retail commission mostly holds them already."""
    rates = (table(name).value(exchange, day) for name in ("handling_fee", "regulatory_fee"))
    return turnover * float(sum(rates))
