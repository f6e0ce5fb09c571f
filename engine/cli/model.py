"""``ashare train`` and ``ashare models``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import click


@click.command()
@click.option("--start", required=True, help="First month, YYYY-MM.")
@click.option("--end", required=True, help="Last month, YYYY-MM.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Months trained at once; by default one a core.")
def train(start: str, end: str, bundle: str, jobs: int | None) -> None:
    """Train a model for every month of a range; months that are there already are skipped."""
    from engine import settings
    from engine.cli.common import progress_bar
    from engine.host.registration import install
    from engine.model.labels import labels
    from engine.model.months import cores, train_months, windows
    from engine.model.registry import Entry
    from engine.model.samples import Samples, build_samples, chunks_of
    from engine.model.windows import months
    from engine.panels.bundle import open_bundle

    install()
    values, wanted, opened = settings.load(), list(months(start, end)), open_bundle(bundle)
    with progress_bar("samples", chunks_of(opened)) as advance:
        folder = build_samples(opened, values, advance)
    samples = Samples.open(folder)
    sought = windows(wanted, opened, samples, values)
    losses = labels(opened.panels, values.labels).total_losses
    codes = sorted({opened.panels.assets[sid].ts_code for _, sid in losses})
    click.echo(f"{len(samples.rows):,} samples; {len(codes)} stocks are delisted inside a label: {', '.join(codes)}")
    with progress_bar("months", len(sought)) as advance:
        lines = InOrder(wanted, click.echo)

        def done(entry: Entry, fresh: bool) -> None:
            advance()
            lines.say(entry.month, describe(entry) + ("" if fresh else "  (was there)"))

        train_months(sought, opened, folder, values, jobs or cores(), done)


class InOrder:
    """Says a line a key in the order of the keys, each as soon as those before it were said.

    Parameters
    ----------
    keys : iterable of str
        Each has one line.
    echo : callable
        Says a line.
    """

    def __init__(self, keys: Iterable[str], echo: Callable[[str], None]) -> None:
        self._left, self._echo = deque(keys), echo
        self._lines: dict[str, str] = {}

    def say(self, key: str, line: str) -> None:
        """Take the line of a key."""
        self._lines[key] = line
        while self._left and self._left[0] in self._lines:
            self._echo(self._lines.pop(self._left.popleft()))


def describe(entry: object) -> str:
    """Return one line about a model."""
    from engine.model.registry import Entry

    assert isinstance(entry, Entry)
    made, validation, training = entry.manifest, entry.manifest["validation"], entry.manifest["train"]
    return (
        f"{entry.id}  knows until {made['known_until']}  trained {training['first']} to {training['last']}"
        f" ({training['samples']:,})  validation loss {validation['loss']:.4f}, accuracy {validation['accuracy']:.1%}"
        f"  epoch {made['best_epoch']} of {made['epochs']}"
    )


@click.group()
def models() -> None:
    """Show the model registry."""


@models.command(name="list")
def list_() -> None:
    """List the models, oldest month first."""
    from engine import settings
    from engine.model.registry import entries

    found = list(entries(settings.load().models))
    for entry in found:
        click.echo(describe(entry))
    click.echo(f"{len(found)} models in {settings.load().models}")
