"""The tear-sheet: one HTML file from a run folder, readable offline, on paper and on a phone, in two languages."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from engine.files import write_bytes
from engine.panels.reader import Panels
from engine.report import sections
from engine.report.opened import open_run
from engine.report.review import judged, tables
from engine.words import Say, say_in

FILE = "tearsheet.html"


def render(folder: Path, language: str = "en", panels: Panels | None = None, runs: Path | None = None) -> Path:
    """Write the tear-sheet of a run folder and return its path.

    Parameters
    ----------
    folder : Path
        Of the run.
    language : str
        ``en`` or ``zh``.
    panels : Panels, optional
        Of the data the run had; with them come sizes, capacity and how good the scores were.
    runs : Path, optional
        The folder with the ledger of trials; by default the one the run is in.

    Raises
    ------
    DataNotFit
        The folder is no finished run.
    """
    run = open_run(folder)
    judgement = judged(run, runs)
    context = sections.page(run, judgement, tables(run, panels, runs, judgement), panels)
    page = _environment(say_in(language)).get_template("tearsheet.html").render(context, language=language)
    write_bytes(folder / FILE, page.encode())
    return folder / FILE


def _environment(say: Say) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("engine.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["_"] = say
    environment.filters |= FILTERS
    return environment


def _percent(value: float | None, places: int = 1) -> str:
    return _written(value, lambda known: f"{known * 100:.{places}f} %")


def _number(value: float | None, places: int = 2) -> str:
    return _written(value, lambda known: f"{known:.{places}f}")


def _whole(value: float | None) -> str:
    return _written(value, lambda known: f"{known:,.0f}")


def _written(value: float | None, form: Callable[[float], str]) -> str:
    """Return a number as it is read: a true minus sign, a dash where there is none, no minus before a zero."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = form(value)
    return text.lstrip("-") if not any(digit in text for digit in "123456789") else text.replace("-", "−")


def _shade(value: float | None) -> str:
    """Return the background of a return in the monthly table: red gains, green losses, as on Chinese screens."""
    if value is None:
        return ""
    strength = min(abs(value) / 0.12, 1.0) * 0.55
    red_green_blue = "179,38,30" if value > 0 else "46,125,80"
    return f"background:rgba({red_green_blue},{strength:.2f})"


FILTERS: dict[str, Callable[..., Any]] = {"pct": _percent, "num": _number, "whole": _whole, "shade": _shade}
