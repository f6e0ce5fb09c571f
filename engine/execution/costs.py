"""What a fill costs: commission by the account, the rest by law."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from engine.market import fees
from engine.settings import ExecutionSettings
from engine.types import Side


@dataclass(frozen=True)
class Fees:
    """The costs of one fill, CNY."""

    commission: float = 0.0
    stamp_duty: float = 0.0
    transfer_fee: float = 0.0

    @property
    def total(self) -> float:
        """Their sum."""
        return self.commission + self.stamp_duty + self.transfer_fee


def account_commission(turnover: float, settings: ExecutionSettings) -> float:
    """Return the commission of an order by the account's terms: a rate of turnover with a minimum, CNY."""
    return max(settings.commission_rate * turnover, settings.commission_minimum)


def fees_of(
    side: Side, shares: int, price: float, exchange: str, day: dt.date, commission: float, settings: ExecutionSettings
) -> Fees:
    """Return what a fill costs.

    Parameters
    ----------
    side : Side
        Buy or sell.
    shares : int
        How many, positive.
    price : float
        CNY a share.
    exchange : str
        ``SH``, ``SZ`` or ``BJ``.
    day : date
        The session of the fill.
    commission : float
        What the account charges, CNY.
    settings : ExecutionSettings
        Overrides of the dated tables, and whether each fee is rounded to the fen.
    """
    turnover = shares * price
    if settings.exchange_fees:
        commission += fees.exchange_fees(exchange, turnover, day)
    parts = (
        commission,
        _stamp_duty(side, turnover, day, settings),
        _transfer_fee(exchange, shares, turnover, day, settings),
    )
    return Fees(*(to_fen(part) for part in parts)) if settings.round_fees else Fees(*parts)


def to_fen(amount: float) -> float:
    """Round an amount of CNY to the fen, half up, whichever side of the half its float happens to lie."""
    return math.floor(amount * 100 + 0.5 + _HALF) / 100


_HALF = 2e-8
"""Fen. A rate of seven decimals times whole fen is a multiple of 1e-7 fen; floats miss it by far less than this."""


def _stamp_duty(side: Side, turnover: float, day: dt.date, settings: ExecutionSettings) -> float:
    if settings.stamp_duty is None:
        return fees.stamp_duty(side, turnover, day)
    return turnover * settings.stamp_duty if side is Side.SELL else 0.0


def _transfer_fee(exchange: str, shares: int, turnover: float, day: dt.date, settings: ExecutionSettings) -> float:
    if settings.transfer_fee is None:
        return fees.transfer_fee(exchange, shares, turnover, day)
    return turnover * settings.transfer_fee
