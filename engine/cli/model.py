"""``ashare train`` and ``ashare models``."""

from __future__ import annotations

import datetime as dt
import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.common import DAY

if TYPE_CHECKING:
    from engine.model.registry import Entry
    from engine.model.samples import Samples
    from engine.panels.bundle import Bundle
    from engine.settings import Settings


@click.command()
@click.option("--start", help="First month, YYYY-MM.")
@click.option("--end", help="Last month, YYYY-MM.")
@click.option("--as-of", "days", type=DAY, multiple=True, help="A session: what was known at its close. Repeatable.")
@click.option(
    "--events", "run", type=click.Path(path_type=Path), help="A run: as of each session its watch asked for a model."
)
@click.option("--seeds", type=click.IntRange(1, 100), help="Networks a month; by default the setting prediction.seeds.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes a CUDA device where there is one.",
)
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Models trained at once on a CPU; by default one a core.")
def train(
    start: str | None,
    end: str | None,
    days: tuple[str, ...],
    run: Path | None,
    seeds: int | None,
    device: str,
    bundle: str,
    jobs: int | None,
) -> None:
    """Train a model for every month of a range, or for the days a watch asked for one.

    Models that are there already are skipped.
    """
    from engine import settings
    from engine.cli.common import progress_bar
    from engine.host.registration import install
    from engine.model.device import device_of
    from engine.model.labels import labels
    from engine.model.months import Wanted, train_models, wanted_models
    from engine.model.processes import cores
    from engine.panels.bundle import open_bundle

    install()
    values, where = settings.load(), device_of(device)
    wanted = _names(start, end, days, run, values.runs)
    opened, served = open_bundle(bundle), values.prediction.seeds
    if seeds is not None:
        values = values.model_copy(update={"prediction": values.prediction.model_copy(update={"seeds": seeds})})
    folder, samples = _samples(opened, values)
    sought = wanted_models(wanted, opened, samples, values)
    losses = labels(opened.panels, values.labels).total_losses
    codes = sorted({opened.panels.assets[sid].ts_code for _, sid in losses})
    click.echo(f"{len(samples.rows):,} samples; {len(codes)} stocks are delisted inside a label: {', '.join(codes)}")
    with progress_bar("models", len(sought)) as advance:
        lines = InOrder([one.name for one in sought], click.echo)

        def done(one: Wanted, entry: Entry, fresh: bool) -> None:
            advance()
            lines.say(one.name, describe(entry) + ("" if fresh else "  (was there)"))

        train_models(sought, opened, folder, values, jobs or cores(), where, done)
    if values.prediction.seeds != served:
        click.echo(
            f"A run asks {served} network{'s' if served > 1 else ''} a month: set prediction.seeds ="
            f" {values.prediction.seeds} in ashare.toml to use these."
        )


def _samples(bundle: Bundle, settings: Settings) -> tuple[Path, Samples]:
    """Return the samples of a bundle and their folder; they are made where they are not there, with a bar."""
    from engine.cli.common import progress_bar
    from engine.model.samples import Samples, build_samples, chunks_of

    with progress_bar("samples", chunks_of(bundle)) as advance:
        folder = build_samples(bundle, settings, advance)
    return folder, Samples.open(folder)


def _names(start: str | None, end: str | None, days: Sequence[str], run: Path | None, runs: Path) -> list[str]:
    """Return the models that are asked for, months first, each once.

    Raises
    ------
    UsageError
        There is none.
    """
    from engine.cli.backtest import run_folder
    from engine.errors import UsageError
    from engine.model.windows import months, name_as_of
    from engine.report.runs import retrain_events

    if (start is None) != (end is None):
        raise UsageError("the range has one end", "--start and --end come together", "Give both.")
    asked = [dt.date.fromisoformat(day) for day in days]
    if run is not None:
        asked += retrain_events(run_folder(run, runs))
    of_months = list(months(start, end)) if start is not None and end is not None else []
    named = list(dict.fromkeys([*of_months, *map(name_as_of, asked)]))
    if not named:
        why = "the run raised no retrain event" if run is not None else "no month and no day is named"
        raise UsageError("there is nothing to train", why, "Give --start and --end, --as-of DAY or --events RUN.")
    return named


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


def describe(entry: Entry) -> str:
    """Return one line about a model."""
    made, validation, training = entry.manifest, entry.manifest.validation, entry.manifest.train
    return (
        f"{entry.id}  seed {made.seed}  knows until {made.known_until}  trained {training.first} to {training.last}"
        f" ({training.samples:,})  validation loss {validation.loss:.4f}, accuracy {validation.accuracy:.1%}"
        f"  epoch {made.best_epoch} of {made.epochs}"
    )


@click.group()
def models() -> None:
    """Show the model registry, and say which model a month uses."""


@models.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(as_json: bool) -> None:
    """List the models, oldest month first."""
    from engine import settings
    from engine.model.registry import entries, promoted_models

    root = settings.load().models
    found, promoted = list(entries(root)), set(promoted_models(root).values())
    if as_json:
        click.echo(json.dumps([_as_json(entry, entry.id in promoted) for entry in found], indent=1))
        return
    for entry in found:
        click.echo(describe(entry) + ("  promoted" if entry.id in promoted else ""))
    click.echo(f"{len(found)} models in {root}")


def _as_json(entry: Entry, promoted: bool) -> dict[str, object]:
    return {"id": entry.id, "promoted": promoted, **entry.manifest.model_dump(mode="json")}


@models.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def show(model: str, as_json: bool) -> None:
    """Show one model: what it learnt from, how it did, whether its files are whole."""
    from engine import settings
    from engine.model import registry
    from engine.model.shelf import load_network

    root = settings.load().models
    entry = registry.entry(root, model)
    load_network(entry)  # a damaged one is refused, by name
    promoted = entry.id in registry.promoted_models(root).values()
    if as_json:
        click.echo(json.dumps(_as_json(entry, promoted), indent=1))
        return
    made = entry.manifest
    serves = made.month if made.name == made.month else f"{made.month}, after {made.name}"
    lines = {
        "serves": serves + (", promoted" if promoted else ""),
        "made": made.made,
        "knows until": made.known_until,
        "trained": f"{made.train.first} to {made.train.last}, {made.train.samples:,} samples",
        "validated": f"{made.validation.first} to {made.validation.last}, {made.validation.samples:,} samples",
        "loss, accuracy": f"{made.validation.loss:.4f}, {made.validation.accuracy:.1%}",
        "epochs": f"{made.epochs}, the best was {made.best_epoch}",
        "seed": made.seed,
        "features": ", ".join(made.features),
        "excess return": f"mean {made.excess.mean:+.4f}, standard deviation {made.excess.sd:.4f}",
        "data": made.data_id,
        "settings": made.settings,
        "weights": f"{made.sha256} (whole)",
    }
    for name, value in lines.items():
        click.echo(f"{name:<16}{value}")


@models.command()
@click.argument("model")
def promote(model: str) -> None:
    """Let the month of a model use it instead of the newest."""
    from engine import settings
    from engine.model import registry
    from engine.model.shelf import load_network

    root = settings.load().models
    entry = registry.entry(root, model)
    load_network(entry)
    registry.promote(root, entry)
    click.echo(f"{entry.name} uses {entry.id} where it fits the data and the settings")


@models.command()
@click.argument("month")
@click.option("--seed", type=int, help="Of the model; by default the setting model.seed.")
def rollback(month: str, seed: int | None) -> None:
    """Take the last promotion of a month (YYYY-MM), or of the day of an event, back."""
    from engine import settings
    from engine.model import registry
    from engine.model.windows import name_of

    values, named = settings.load(), name_of(month)
    before = registry.rollback(values.models, named, values.model.seed if seed is None else seed)
    click.echo(f"{named} uses {before or 'its newest model'} again")


@models.command()
@click.argument("model")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Where to write it.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["torch-export", "torchscript"]),
    default="torch-export",
    show_default=True,
    help="TorchScript is deprecated upstream; choose it where nothing else is understood.",
)
def export(model: str, out: Path, kind: str) -> None:
    """Write a model as a program: z-scores (n, 9) in, class probabilities (n, 3) and expected excess (n,) out."""
    from engine import settings
    from engine.cli.common import require_folder
    from engine.files import write_bytes
    from engine.model import registry
    from engine.model.serving import exported, scripted
    from engine.model.shelf import load_network

    require_folder(out)
    entry = registry.entry(settings.load().models, model)
    write = exported if kind == "torch-export" else scripted
    write_bytes(out, write(load_network(entry), entry.manifest.excess.mean, entry.manifest.excess.sd))
    click.echo(f"{entry.id} as {kind}: {out}")


@models.command()
@click.option("--start", required=True, help="First month, YYYY-MM.")
@click.option("--end", required=True, help="Last month, YYYY-MM.")
@click.option("--baselines/--no-baselines", default=True, show_default=True, help="Fit plain classifiers to beat.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Baselines fitted at once; by default one a core.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write every session's value: a Parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def evaluate(
    start: str, end: str, baselines: bool, bundle: str, jobs: int | None, out: Path | None, as_json: bool
) -> None:
    """Show how the models did on the months they served, beside plain baselines trained on the same windows."""
    from engine import settings
    from engine.cli.common import progress_bar, require_folder, show_table
    from engine.cli.evaluation import as_document, frame, tables, verdicts
    from engine.host.registration import install
    from engine.model import evaluate as judging
    from engine.model.baselines import BASELINES
    from engine.model.labels import lag
    from engine.model.processes import cores
    from engine.model.windows import months
    from engine.panels.bundle import open_bundle

    if out is not None:
        require_folder(out)
    install()
    values, wanted, opened = settings.load(), list(months(start, end)), open_bundle(bundle)
    folder, samples = _samples(opened, values)
    served = judging.served_months(wanted, opened, samples, values)
    said = {judging.NETWORK: judging.network_answers(served, opened.panels, samples, values)}
    if baselines:
        with progress_bar("baselines", len(served) * len(BASELINES)) as advance:
            said |= judging.baseline_answers(served, folder, values, jobs or cores(), advance)
    series = judging.judged(samples, served, said, values)
    days, overlap = opened.panels.days, lag(values.labels)
    if out is not None:
        from engine.files import replaced_file

        with replaced_file(out) as beside:
            frame(series, days).write_parquet(beside)
    if as_json:
        click.echo(json.dumps(as_document(series, days, overlap), indent=1))
        return
    for title, head, rows in tables(series, days, overlap):
        click.echo(title)
        show_table(head, rows)
        click.echo()
    for line in verdicts(series, overlap):
        click.echo(line)
