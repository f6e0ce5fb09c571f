"""The plots of the tear-sheet, as SVG text that stands in the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating[Any]]

INK, MUTED, GRID = "#1d2b36", "#8895a0", "#e4e9ed"
OWN, INDEX, LOSS = "#b3261e", "#4a6fa5", "#c9574f"

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
        axes.plot(sessions, benchmark, color=INDEX, lw=1.2, label=benchmark_name)
        axes.plot(sessions, own, color=OWN, lw=1.6, label="strategy")
        axes.axhline(1.0, color=MUTED, lw=0.8)
        axes.set_ylabel("growth of 1")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=2)  # above the lines

    return _svg(draw, 3.4)


def drawdowns(sessions: Sequence[Any], own: Floats, benchmark: Floats) -> str:
    """Plot the drawdown of both."""

    def draw(axes: Any) -> None:
        axes.fill_between(sessions, own * 100, 0, color=LOSS, alpha=0.35, lw=0)
        axes.plot(sessions, own * 100, color=OWN, lw=1.0)
        axes.plot(sessions, benchmark * 100, color=INDEX, lw=0.9)
        axes.set_ylabel("drawdown, %")

    return _svg(draw, 2.0)


def exposure(sessions: Sequence[Any], gross: Floats, names: Floats) -> str:
    """Plot the invested share and the number of names held."""

    def draw(axes: Any) -> None:
        axes.fill_between(sessions, gross * 100, 0, color=INDEX, alpha=0.25, lw=0)
        axes.set_ylabel("invested, %")
        axes.set_ylim(0, max(105.0, float(np.nanmax(gross, initial=0)) * 105))
        right = axes.twinx()
        right.plot(sessions, names, color=INK, lw=0.9)
        right.set_ylabel("names held")
        right.set_ylim(0)
        right.grid(visible=False)

    return _svg(draw, 2.0)


def _svg(draw: Any, height: float) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, height), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.margins(x=0.01)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
