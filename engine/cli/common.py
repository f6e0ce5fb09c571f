"""What several commands share: days as arguments, progress on standard error, tables on standard output."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from engine.words import Say


class Day(click.ParamType):
    """A day written YYYY-MM-DD or YYYYMMDD; commands get it as YYYY-MM-DD."""

    name = "day"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the day, or refuse it with the command's own usage."""
        try:
            return dt.date.fromisoformat(value).isoformat()
        except ValueError:
            self.fail(f"{value!r} is no day; write it YYYY-MM-DD.", param, ctx)


DAY = Day()
MOMENT = click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])


def shanghai(moment: dt.datetime | None) -> dt.datetime:
    """Return a moment that is pretended, in Shanghai, or the present one."""
    from engine import clock

    return clock.now() if moment is None else moment.replace(tzinfo=clock.SHANGHAI)


def sayer() -> Say:
    """Return what says the commands' sentences in the language of the settings, by default the terminal's."""
    from engine import settings
    from engine.words import language_of, say_in

    try:
        return say_in(settings.load().spoken)
    except SettingsError:  # whoever reports it must be able to speak
        return say_in(language_of())


def in_order(start: str, end: str) -> None:
    """Refuse a range that ends before it begins.

    Raises
    ------
    UsageError
        It does.
    """
    if start > end:
        raise UsageError(f"the range {start} to {end} is empty", "it ends before it begins", "Swap the two.")


def require_folder(out: Path) -> None:
    """Refuse a file in a folder that is not there, before any work is done for it.

    Raises
    ------
    UsageError
        It is not.
    """
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written", f"there is no folder {out.absolute().parent}", "Make it first.")


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar with the time left on standard error; yields what moves it by one."""
    with _progress() as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show such a bar for what says itself how much is done, and of how much."""
    with _progress() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # what is printed meanwhile goes above the bar; but where it goes to a file or a pipe, it must get there
    return Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())


def finite(value: Any) -> Any:
    """Return a nested value with None for each number that is none: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: finite(below) for key, below in value.items()}
    if isinstance(value, list):
        return [finite(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column to the left: drawn on a terminal that is wide enough, else in plain columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table, console = Table(box=None), Console(markup=False)
        for at, name in enumerate(head):
            table.add_column(name, justify="right" if at else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        if sum(widths) + 2 * len(widths) <= console.width:
            console.print(table)
            return
    for row in (head, *rows):
        cells = (cell.rjust(w) if at else cell.ljust(w) for at, (cell, w) in enumerate(zip(row, widths, strict=True)))
        click.echo("  ".join(cells).rstrip())
