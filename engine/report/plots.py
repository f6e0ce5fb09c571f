"""The plots of the tear-sheet, as SVG text that stands in the page."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.dates import DAILY, AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Floats = npt.NDArray[np.floating[Any]]

INK, MUTED, GRID = "#1d2b36", "#8895a0", "#e4e9ed"
OWN, INDEX, LOSS = "#b3261e", "#4a6fa5", "#c9574f"

_LEFT = 0.075
"""Of the width, on either side of the axes."""
_TICKS = 9
_DATES = ["%Y", "%b %Y", "%d %b", "%d %b", "%d %b", "%d %b"]
"""How a date is written beside dates that differ in year, month, day and less."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ashare",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.axisbelow": True,
}


def equity(sessions: Sequence[Any], own: Floats, benchmark: Floats, benchmark_name: str) -> str:
    """Plot growth of 1 of the strategy and of the benchmark."""

    def draw(axes: Any) -> None:
        axes.plot(sessions, own, color=OWN, lw=1.6, label="strategy", zorder=3)
        axes.plot(sessions, benchmark, color=INDEX, lw=1.2, label=benchmark_name)
        axes.axhline(1.0, color=MUTED, lw=0.8)
        axes.set_ylabel("growth of 1")
        _legend_above(axes.figure)

    return _svg(draw, sessions, 3.6)


def drawdowns(sessions: Sequence[Any], own: Floats, benchmark: Floats, benchmark_name: str) -> str:
    """Plot the drawdown of both."""

    def draw(axes: Any) -> None:
        axes.fill_between(sessions, own * 100, 0, color=LOSS, alpha=0.35, lw=0)
        axes.plot(sessions, own * 100, color=OWN, lw=1.0, label="strategy", zorder=3)
        axes.plot(sessions, benchmark * 100, color=INDEX, lw=0.9, label=benchmark_name)
        axes.set_ylabel("drawdown, %")
        _legend_above(axes.figure)

    return _svg(draw, sessions, 2.3)


def exposure(sessions: Sequence[Any], gross: Floats, names: Floats) -> str:
    """Plot the invested share and the number of names held."""

    def draw(axes: Any) -> None:
        axes.fill_between(sessions, gross * 100, 0, color=INDEX, alpha=0.25, lw=0, label="invested, %, left")
        axes.set_ylabel("invested, %")
        axes.set_ylim(0, max(105.0, float(np.nanmax(gross, initial=0)) * 105))
        right = axes.twinx()
        right.plot(sessions, names, color=INK, lw=0.9, label="names held, right")
        right.set_ylabel("names held")
        right.set_ylim(0, max(1.0, float(np.nanmax(names, initial=0)) * 1.1))
        right.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        right.grid(visible=False)
        _legend_above(axes.figure)

    return _svg(draw, sessions, 2.3)


def _legend_above(figure: Figure) -> None:
    """Name the lines over the axes, where they hide none of them."""
    figure.legend(frameon=False, loc="upper left", bbox_to_anchor=(_LEFT - 0.01, 1.0), ncols=4, borderaxespad=0.1)


def _svg(draw: Callable[[Any], None], sessions: Sequence[Any], height: float) -> str:
    """Draw a plot; its left and right edges and its dates are the same in every plot of a run."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, height))
        figure.subplots_adjust(_LEFT, 0.28 / height, 1 - _LEFT, 1 - 0.32 / height)
        axes = figure.subplots()
        draw(axes)
        _date_axis(axes, sessions)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _date_axis(axes: Any, sessions: Sequence[Any]) -> None:
    """Span the run's sessions, with at most ``_TICKS`` dates, written so short that they stay apart."""
    span = sessions[-1] - sessions[0]
    margin = max(span * 0.01, dt.timedelta(hours=12))
    axes.set_xlim(sessions[0] - margin, sessions[-1] + margin)
    locator = AutoDateLocator(minticks=3, maxticks=_TICKS, interval_multiples=True)
    locator.intervald[DAILY] = [1, 2, 3, 7, 14]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, show_offset=False, formats=_DATES, zero_formats=_DATES)
    )
