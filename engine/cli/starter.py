"""What ``ashare init`` writes for a user to go on from: a settings file of comments, and a short strategy."""

from __future__ import annotations

import ast
import datetime as dt
import json
import textwrap
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.settings import Settings

WIDTH = 110
_HEAD = """\
# The settings of zipline-ashare in this folder. A line with one # shows a default: take the # away and
# change the value. A variable such as ASHARE_EXECUTION__PARTICIPATION=0.05 wins over this file. Secrets have no
# place here: the token and the addresses of messages are files of their own in ASHARE_HOME.
"""
MY_STRATEGY = '''\
"""A strategy to start from: the twenty strongest stocks of the last three months, in equal parts, once a month.

ashare backtest my_strategy.py -s 2018-01-02 -e 2018-12-28
"""

from zipline.api import attach_pipeline, date_rules, order_target_percent, pipeline_output, schedule_function
from zipline.pipeline import Pipeline

from engine.pipeline.factors import Momentum
from engine.pipeline.universe import universe

NAMES, GROSS = 20, 0.95


def initialize(context):
    members = universe(context.ashare.settings.universe)  # listed, traded, not ST, 3 to 50 billion CNY
    best = Momentum(window_length=61).top(NAMES, mask=members)
    attach_pipeline(Pipeline(screen=best), "best")
    schedule_function(rebalance, date_rules.month_start())


def rebalance(context, data):  # at the close, from what is known then
    chosen = list(pipeline_output("best").index)
    for asset in dict.fromkeys([*context.portfolio.positions, *chosen]):
        order_target_percent(asset, GROSS / NAMES if asset in chosen else 0)  # trades at the next session's open
'''


def settings_text(capital: float) -> str:
    """Return an ``ashare.toml`` that shows every default as a comment and holds a starting capital.

    Parameters
    ----------
    capital : float
        CNY.
    """
    said = _explained()
    lines = [_HEAD, *_comment(said["Settings", "capital"]), f"capital = {_toml(capital)}"]
    lines += [*_comment(said["Settings", "language"]), '# language = "auto"']
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += ["", f"[{name}]", *_section(field.annotation, said)]
    return "\n".join(lines) + "\n"


def _section(kind: type[BaseModel], said: dict[tuple[str, str], str]) -> Iterator[str]:
    """Yield the settings of a section, each a comment with its default; one without says so."""
    for key, field in kind.model_fields.items():
        value = field.default
        yield from _comment(said.get((kind.__name__, key), ""))
        yield f"## {key} has no value by default" if value is None else f"# {key} = {_toml(value)}"


def _comment(text: str) -> Iterator[str]:
    """Yield an explanation as lines that no one takes for settings."""
    for line in textwrap.wrap(" ".join(text.replace("``", "").split()), WIDTH):
        yield f"## {line}"


def _toml(value: Any) -> str:
    """Return a default as TOML writes it."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, tuple):
        return json.dumps([str(one) for one in value])
    if isinstance(value, bool | str | Path):
        return json.dumps(value if isinstance(value, bool) else str(value))
    return f"{value:_.0f}" if float(value).is_integer() and abs(value) >= 1 else repr(value)


def _explained() -> dict[tuple[str, str], str]:
    """Return what the source says of each setting, by class and name: the text below its line."""
    tree = ast.parse((resources.files("engine") / "settings.py").read_text("utf-8"))
    found: dict[tuple[str, str], str] = {}
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for at, below in zip(kind.body, kind.body[1:], strict=False):
            if isinstance(at, ast.AnnAssign) and isinstance(at.target, ast.Name) and isinstance(below, ast.Expr):
                found[kind.name, at.target.id] = str(ast.literal_eval(below.value))
    return found
