"""Drawdown switch, gross limit and stops (SPEC 8): checked at every close, acting at the next session.

A threshold that is met exactly is not crossed: ratios are rounded to twelve places before they are compared, so that
9.00 after 10.00 is 10 % below it and not more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.portfolio.account import Holding
from engine.settings import RiskSettings, SelectionSettings
from engine.types import SWITCHED, Event


def change(now: float, before: float) -> float:
    """Return a relative change, rounded to twelve places."""
    return round(now / before - 1.0, 12)


@dataclass(frozen=True)
class DrawdownSwitch:
    """On from a deep drawdown until most of it is made up.

    Attributes
    ----------
    peak : float
        Running maximum of the net value, CNY; never reset.
    on : bool
        Whether the gross limit is lowered.
    """

    peak: float = 0.0
    on: bool = False

    def step(self, net_value: float, settings: RiskSettings) -> tuple[DrawdownSwitch, list[Event]]:
        """Take in the net value of a close, CNY: ON below -``drawdown_on``, OFF above -``drawdown_off``."""
        peak = max(self.peak, net_value)
        if not settings.drawdown_on:
            return DrawdownSwitch(peak), []
        drawdown = change(net_value, peak)
        if not self.on and drawdown < -settings.drawdown_on:
            effect = f"gross limit {settings.drawdown_gross:g}"
            event = Event("drawdown", SWITCHED[True], drawdown, -settings.drawdown_on, effect)
            return DrawdownSwitch(peak, True), [event]
        if self.on and drawdown > -settings.drawdown_off:
            event = Event("drawdown", SWITCHED[False], drawdown, -settings.drawdown_off, "limit lifted")
            return DrawdownSwitch(peak, False), [event]
        return DrawdownSwitch(peak, self.on), []

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DrawdownSwitch:
        """Read the state back."""
        return cls(**value)


def gross_limit(drawn_down: bool, volatile: bool, selection: SelectionSettings, risk: RiskSettings) -> float:
    """Return the largest gross exposure, a share of the net value, while the switches stand as they do."""
    limits = [selection.gross]
    limits += [risk.drawdown_gross] if drawn_down else []
    limits += [risk.volatility_gross] if volatile else []
    return min(limits)


class Ex(NamedTuple):
    """What went ex on a session, a share: cash before tax, new shares, rights and their price in CNY."""

    cash: float = 0.0
    shares: float = 0.0
    rights: float = 0.0
    rights_price: float = 0.0


class Watched(NamedTuple):
    """One holding as a stop sees it.

    Attributes
    ----------
    shares : int
        Held at the last close.
    dividends : float
        Earned since the purchase, CNY a share now held: what went ex is no loss.
    peak : float
        Highest close since the purchase, or its cost if that was more, CNY in today's shares.
    triggered : bool
        Sold until it is gone.
    """

    shares: int
    dividends: float
    peak: float
    triggered: bool = False

    def after(self, ex: Ex, holding: Holding) -> Watched:
        """Carry it over a session: what went ex at its open, then what was bought or sold, then its close."""
        entitled = self.shares * (1 + ex.shares)
        dividends = (self.dividends + ex.cash) / (1 + ex.shares) * min(1.0, entitled / holding.shares)
        peak = (self.peak - ex.cash + ex.rights * ex.rights_price) / (1 + ex.shares + ex.rights)
        return Watched(holding.shares, dividends, max(peak, holding.price), self.triggered)


@dataclass(frozen=True)
class Stops:
    """The stop of every holding.

    Attributes
    ----------
    watched : mapping of str to Watched
        By code.
    """

    watched: Mapping[str, Watched] = field(default_factory=dict)

    @property
    def triggered(self) -> frozenset[str]:
        """Who is to be sold until gone."""
        return frozenset(code for code, one in self.watched.items() if one.triggered)

    def step(
        self, held: Mapping[str, Holding], went_ex: Mapping[str, Ex], settings: RiskSettings
    ) -> tuple[Stops, list[Event]]:
        """Take in a close.

        Parameters
        ----------
        held : mapping of str to Holding
            Cost is the average a share, fees included, already spread over bonus shares, and free of dividends.
        went_ex : mapping of str to Ex
            What went ex at the session's open.
        settings : RiskSettings
            How deep, and measured from what.
        """
        if not settings.stop:
            return Stops(), []
        watched, events = {}, []
        for code, holding in held.items():
            one = self._carried(code, holding, went_ex.get(code, Ex()))
            start = one.peak if settings.stop_on == "peak" else holding.cost - one.dividends
            fall = change(holding.price, start) if start > 0 else 0.0  # dividends may have paid the whole of it
            if not one.triggered and fall < -settings.stop:
                one = one._replace(triggered=True)
                cause = f"below {settings.stop_on} {start:.4g}"
                events.append(Event("stop", cause, fall, -settings.stop, "sold until gone", code))
            watched[code] = one
        return Stops(watched), events

    def _carried(self, code: str, holding: Holding, ex: Ex) -> Watched:
        before = self.watched.get(code)
        if before is None:
            return Watched(holding.shares, 0.0, max(holding.price, holding.cost))
        return before.after(ex, holding)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"watched": {code: list(one) for code, one in self.watched.items()}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Stops:
        """Read the state back."""
        return cls({code: Watched(*one) for code, one in value["watched"].items()})
