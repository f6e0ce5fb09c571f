"""What a user sees of a sync."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bundles.sync.take import Synced
from bundles.tushare.errors import VendorError


class Display:
    """A bar of the questions answered, with the time left; use it as a context manager."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Display:
        self._bar.start()
        self._task = self._bar.add_task("sync", total=None)
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, name: str, at: int, total: int) -> None:
        """Show how many questions are answered."""
        self._bar.update(self._task, description=name or "sync", completed=at, total=total)

    def waits(self, api_name: str, seconds: float, error: VendorError) -> None:
        """Show what is waited for."""
        self._bar.update(self._task, description=f"{api_name} waits {seconds:.0f} s: {type(error).__name__}"[:40])


def summary(done: Synced) -> Iterator[str]:
    """Yield what a sync did, a line each."""
    for name, rows in done.rows.items():
        notes = [
            f"{counts[name]:,} {text}"
            for counts, text in (
                (done.changed, "changed, known from today"),
                (done.late, "late, known from today"),
                (done.undated, "without a date"),
                (done.left_out, "of no A share left out"),
                (done.held_back, "held back (ashare data quarantine)"),
            )
            if counts.get(name)
        ]
        if rows or notes:
            yield f"{name:<14}{rows:>12,} rows  {', '.join(notes)}".rstrip()
    if not any(done.rows.values()):
        yield "nothing new"
    for check, count in done.found.group_by("check").len().sort("check").iter_rows() if done.found.height else ():
        yield f"{check:<24}{count:>6,} findings (ashare data verify)"
    assert done.version is not None
    yield f"{done.sessions:,} sessions, {done.calls:,} calls, data id {done.version.data_id}"
