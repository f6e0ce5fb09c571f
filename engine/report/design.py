"""The readings the strategy's design leaves open, each switched alone, and how much it moves a run (SPEC 7, 8, 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.files import read_json
from engine.report.statistics import figures, returns, sessions_a_year
from engine.settings import Settings

FIGURES = ("total return", "Sharpe ratio", "maximum drawdown")
"""What a reading is measured by."""


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


@dataclass(frozen=True)
class Moved:
    """What a reading did to a run.

    Attributes
    ----------
    what : str
        The reading.
    figures : mapping of str to float
        By the names of ``FIGURES``; empty where it was not run.
    fills : int
        Orders that traded something.
    train : str
        The command that trains the models it needs; empty where it was run.
    """

    what: str
    figures: Mapping[str, float]
    fills: int = 0
    train: str = ""

    def against(self, base: Moved) -> dict[str, float]:
        """Return how far each figure lies from the base's."""
        return {name: value - base.figures[name] for name, value in self.figures.items()}


def moved(what: str, folder: Path) -> Moved:
    """Return the figures of a run."""
    manifest, perf = read_json(folder / "manifest.json"), pl.read_parquet(folder / "perf.parquet")
    daily = returns(perf["net_value"].to_numpy(), manifest["capital"], perf["flow"].to_numpy())
    found = figures(daily, perf["benchmark_return"].to_numpy(), sessions_a_year(manifest["start"], manifest["end"]))
    return Moved(what, {name: found[name] for name in FIGURES}, manifest["fills"])


def table(base: Moved, others: Sequence[Moved]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of an audit: the base as it is, the others as differences from it."""
    head = ["reading", *(word for name in FIGURES for word in (name, "moved")), "fills"]
    return head, [_row(base, None), *(_row(one, base) for one in others if one.figures)]


def _row(one: Moved, base: Moved | None) -> list[str]:
    cells = [one.what]
    for name in FIGURES:
        form = "{:.2f}" if name == "Sharpe ratio" else "{:.2%}"
        apart = "" if base is None else form.replace(":", ":+").format(one.against(base)[name])
        cells += [form.format(one.figures[name]), apart]
    return [*cells, f"{one.fills:,}"]
