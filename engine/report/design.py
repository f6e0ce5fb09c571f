"""The readings the strategy's design leaves open, each switched alone, and how much it moves a run (SPEC 7, 8, 13).

And its rules of risk: none of them, each alone, all together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from engine.files import read_json
from engine.report.statistics import figures, returns, sessions_a_year
from engine.settings import Settings

FIGURES = ("total return", "Sharpe ratio", "maximum drawdown")
"""What a reading is measured by."""
RULE_FIGURES = ("total return", "annual return", "Sharpe ratio", "maximum drawdown")
"""What the rules of risk are measured by."""
EVENTS = ("stop", "blacklist")
"""Rules that act on one stock: their events are counted."""
SWITCHES = ("drawdown", "volatility")
"""Rules that are on or off: the closes in which they were on are counted."""


@dataclass(frozen=True)
class Reading:
    """One way to read the design.

    Attributes
    ----------
    what : str
        In words.
    values : mapping of str to str
        Settings by ``section.key``, as they are written in the environment.
    models : bool
        Whether it needs models of its own.
    """

    what: str
    values: Mapping[str, str]
    models: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables that put it in force."""
        return {f"ASHARE_{key.replace('.', '__').upper()}": value for key, value in self.values.items()}

    def in_force(self, settings: Settings) -> bool:
        """Say whether the settings read the design this way already."""
        for key, value in self.values.items():
            section, name = key.split(".")
            now = getattr(getattr(settings, section), name)
            if (float(value) != now) if isinstance(now, int | float) and value[:1].isdigit() else (str(now) != value):
                return False
        return True


READINGS: tuple[Reading, ...] = (
    Reading("orders fill at the open", {"execution.fill": "open"}),
    Reading("orders fill at the day's average price", {"execution.fill": "vwap"}),
    Reading("orders fill at the close", {"execution.fill": "close"}),
    Reading("ranked by P(up)", {"selection.rank_by": "p_up"}),
    Reading("ranked by P(up) - P(down)", {"selection.rank_by": "p_up_minus_p_down"}),
    Reading("ranked by the expected excess return", {"selection.rank_by": "expected_excess"}),
    Reading("rebalances counted in sessions", {"selection.count": "sessions"}),
    Reading("rebalances on days of the month divisible by five", {"selection.count": "day_of_month"}),
    Reading("no least turnover", {"selection.minimum_turnover": "0"}),
    Reading("the cap binds at the decision only", {"selection.cap_at_fill": "False"}),
    Reading("stop on the average cost", {"risk.stop_on": "cost"}),
    Reading("stop on the highest close since", {"risk.stop_on": "peak"}),
    Reading("no stop", {"risk.stop": "0"}),
    Reading("no drawdown switch", {"risk.drawdown_on": "0", "risk.drawdown_off": "0"}),
    Reading("no volatility switch", {"risk.volatility_above": "0"}),
    Reading("no blacklist", {"blacklist.wrong": "0"}),
    Reading("a model for each event of the watch", {"watch.retrain": "True"}, models=True),
    Reading("no model but the month's", {"watch.retrain": "False"}),
    Reading("roe over twelve months", {"factors.roe": "ttm"}, models=True),
    Reading("roe of the year to date", {"factors.roe": "ytd"}, models=True),
)
"""Those in force already are left out of an audit: they are its base."""

RULES: Mapping[str, Mapping[str, str]] = {
    "stops": {"risk.stop": "0"},
    "drawdown switch": {"risk.drawdown_on": "0", "risk.drawdown_off": "0"},
    "volatility switch": {"risk.volatility_above": "0"},
    "blacklist": {"blacklist.wrong": "0"},
}
"""The rules of risk, and the settings that switch each off."""


def rules_alone(settings: Settings) -> list[Reading]:
    """Return the runs beside that with all rules in force: without any, and each alone.

    A rule the settings have switched off is not switched on, and one that is the only one is in force alone already.
    """
    on = [name for name, off in RULES.items() if not Reading(name, off).in_force(settings)]
    if not on:
        return []
    alone = on if len(on) > 1 else []
    return [
        Reading("no rule of risk", _off(on)),
        *(Reading(f"{name} alone", _off([other for other in on if other != name])) for name in alone),
    ]


def _off(rules: Sequence[str]) -> dict[str, str]:
    return {key: value for name in rules for key, value in RULES[name].items()}


@dataclass(frozen=True)
class Moved:
    """What a reading did to a run.

    Attributes
    ----------
    what : str
        The reading.
    figures : mapping of str to float
        By their names in ``engine.report.statistics``; empty where it was not run.
    fills : int
        Orders that traded something.
    events : mapping of str to int
        What the rules of risk and watch did, by rule.
    sessions_on : mapping of str to int
        In how many closes each switch was on.
    train : str
        The command that trains the models it needs; empty where it was run.
    """

    what: str
    figures: Mapping[str, float]
    fills: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    sessions_on: Mapping[str, int] = field(default_factory=dict)
    train: str = ""

    def against(self, base: Moved) -> dict[str, float]:
        """Return how far each figure lies from the base's."""
        return {name: value - base.figures[name] for name, value in self.figures.items()}


def moved(what: str, folder: Path) -> Moved:
    """Return the figures of a run."""
    manifest, perf = read_json(folder / "manifest.json"), pl.read_parquet(folder / "perf.parquet")
    daily = returns(perf["net_value"].to_numpy(), manifest["capital"], perf["flow"].to_numpy())
    found = figures(daily, perf["benchmark_return"].to_numpy(), sessions_a_year(manifest["start"], manifest["end"]))
    on = {rule: switch["sessions_on"] for rule, switch in manifest["switches"].items()}
    return Moved(what, found, manifest["fills"], manifest["events"], on)


def table(base: Moved, others: Sequence[Moved]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of an audit: the base as it is, the others as differences from it."""
    head = ["reading", *(word for name in FIGURES for word in (name, "moved")), "fills"]
    return head, [_row(base, None), *(_row(one, base) for one in others if one.figures)]


def rules_table(base: Moved, others: Sequence[Moved]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the rules of risk: none, each alone, and as the settings have them."""
    head = ["rules of risk", *RULE_FIGURES, "fills", *EVENTS, *(f"{rule} on" for rule in SWITCHES)]
    return head, [
        [
            one.what,
            *(_form(name).format(one.figures[name]) for name in RULE_FIGURES),
            f"{one.fills:,}",
            *(f"{one.events.get(rule, 0):,}" for rule in EVENTS),
            *(f"{one.sessions_on[rule]:,}" for rule in SWITCHES),
        ]
        for one in (*others, base)
    ]


def _form(name: str) -> str:
    return "{:.2f}" if name == "Sharpe ratio" else "{:.2%}"


def _row(one: Moved, base: Moved | None) -> list[str]:
    cells = [one.what]
    for name in FIGURES:
        form = _form(name)
        apart = "" if base is None else form.replace(":", ":+").format(one.against(base)[name])
        cells += [form.format(one.figures[name]), apart]
    return [*cells, f"{one.fills:,}"]
