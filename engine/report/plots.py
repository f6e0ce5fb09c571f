"""The plots of the tear-sheet, as SVG text that stands in the page.

There are no words in them, only numbers and dates: the page names their lines, in its language and its fonts.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.dates import DAILY, AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

Floats = npt.NDArray[np.floating[Any]]
Span = tuple[Any, Any]
"""First and last session."""

INK, MUTED, GRID = "#1d2b36", "#8895a0", "#e4e9ed"
OWN, INDEX, LOSS, SPAN = "#b3261e", "#4a6fa5", "#c9574f", "#f2c14e"

_LEFT = 0.075
"""Of the width, on either side of the axes."""
_TICKS = 9
_DATES = ["%Y", "%Y-%m", "%m-%d", "%m-%d", "%m-%d", "%m-%d"]
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


def equity(
    sessions: Sequence[Any], own: Floats, benchmark: Floats, spans: Sequence[Span] = (), marks: Sequence[Any] = ()
) -> str:
    """Plot growth of 1 of the strategy and of the benchmark, spans behind them and marks at the foot."""

    def draw(axes: Any) -> None:
        for first, last in spans:
            axes.axvspan(first, last, color=SPAN, alpha=0.22, lw=0)
        axes.plot(sessions, own, color=OWN, lw=1.6, zorder=3)
        axes.plot(sessions, benchmark, color=INDEX, lw=1.2)
        axes.axhline(1.0, color=MUTED, lw=0.8)
        if marks:
            low = axes.get_ylim()[0]
            axes.plot(marks, [low] * len(marks), "^", color=INK, ms=5, clip_on=False, zorder=4)
            axes.set_ylim(bottom=low)

    return _dated(draw, sessions, 3.6)


def drawdowns(sessions: Sequence[Any], own: Floats, benchmark: Floats) -> str:
    """Plot the drawdown of both, in percent."""

    def draw(axes: Any) -> None:
        axes.fill_between(sessions, own * 100, 0, color=LOSS, alpha=0.35, lw=0)
        axes.plot(sessions, own * 100, color=OWN, lw=1.0, zorder=3)
        axes.plot(sessions, benchmark * 100, color=INDEX, lw=0.9)
        _percents(axes.yaxis)

    return _dated(draw, sessions, 2.1)


def exposure(sessions: Sequence[Any], gross: Floats, names: Floats) -> str:
    """Plot the invested share (left) and the number of names held (right)."""

    def draw(axes: Any) -> None:
        axes.fill_between(sessions, gross * 100, 0, color=INDEX, alpha=0.25, lw=0)
        axes.set_ylim(0, max(105.0, float(np.nanmax(gross, initial=0)) * 105))
        _percents(axes.yaxis)
        right = axes.twinx()
        right.plot(sessions, names, color=INK, lw=0.9)
        right.set_ylim(0, max(1.0, float(np.nanmax(names, initial=0)) * 1.1))
        right.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        right.grid(visible=False)

    return _dated(draw, sessions, 2.1)


def rolling(sessions: Sequence[Any], values: Floats, colour: str = OWN, level: float = 0.0) -> str:
    """Plot a ratio that rolls, with a level to hold it against."""

    def draw(axes: Any) -> None:
        axes.axhline(level, color=MUTED, lw=0.8)
        axes.plot(sessions, values, color=colour, lw=1.1)

    return _dated(draw, sessions, 1.9)


def bars(sessions: Sequence[Any], values: Floats, width: float = 24.0) -> str:
    """Plot values of months, gains in one colour and losses in another; the width is in days."""

    def draw(axes: Any) -> None:
        axes.axhline(0.0, color=MUTED, lw=0.8)
        axes.bar(sessions, values, width=width, color=np.where(values >= 0, OWN, INDEX))

    return _dated(draw, sessions, 2.1)


def lines(x: Sequence[float], own: Floats, low: Floats | None = None, high: Floats | None = None) -> str:
    """Plot points and the line through them over places that are evenly spaced and named by their numbers."""

    def draw(axes: Any) -> None:
        at = np.arange(len(x))
        axes.axhline(0.0, color=MUTED, lw=0.8)
        if low is not None and high is not None:
            axes.vlines(at, low, high, color=OWN, alpha=0.45, lw=2.0)
        axes.plot(at, own, "o-", color=OWN, lw=1.2, ms=4)
        axes.set_xticks(at, [f"{value:g}" for value in x])

    return _small(draw)


def against(predicted: Floats, measured: Floats) -> str:
    """Plot measured shares over predicted ones, with the line on which they are equal; both in percent."""

    def draw(axes: Any) -> None:
        both = np.concatenate([predicted, measured]) * 100
        low, high = float(np.nanmin(both)) - 2, float(np.nanmax(both)) + 2
        axes.plot([low, high], [low, high], color=MUTED, lw=0.8)
        axes.plot(predicted * 100, measured * 100, "o-", color=OWN, lw=1.2, ms=4)
        _percents(axes.yaxis)
        _percents(axes.xaxis)

    return _small(draw)


def _percents(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))


def _dated(draw: Callable[[Any], None], sessions: Sequence[Any], height: float) -> str:
    """Draw a plot over time; its left and right edges and its dates are the same in every plot of a run."""

    def with_dates(axes: Any) -> None:
        draw(axes)
        _date_axis(axes, sessions)

    return _svg(with_dates, 9.6, height, _LEFT)


def _small(draw: Callable[[Any], None]) -> str:
    return _svg(draw, 4.8, 2.4, 0.11)


def style() -> AbstractContextManager[None]:
    """Return the context plots are drawn in: the same whatever a script or a library set before."""
    context: AbstractContextManager[None] = mpl.style.context(["default", _STYLE])
    return context


def _svg(draw: Callable[[Any], None], width: float, height: float, left: float) -> str:
    with style():
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(left, 0.28 / height, 1 - _LEFT, 1 - 0.12 / height)
        draw(figure.subplots())
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
