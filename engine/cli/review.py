"""``ashare report``, ``ashare compare`` and ``ashare reproduce``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import finite, show_table
from engine.words import LANGUAGES

if TYPE_CHECKING:
    from engine.panels.reader import Panels
    from engine.report.compare import Comparison
    from engine.report.opened import Run

RUN = click.Path(path_type=Path)


@click.command()
@click.argument("folder", metavar="[RUN]", required=False, type=RUN)
@click.option("--lang", type=click.Choice(LANGUAGES), help="Of the page; by default the setting language.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option("--pdf", is_flag=True, help="Print the page into a PDF beside it; needs Chromium, Chrome or Edge.")
@click.option("--export", "out", type=click.Path(path_type=Path), help="Write all tables into this new folder instead.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "json"]),
    default="csv",
    show_default=True,
    help="Of the tables; the files for pyfolio and quantstats are CSV.",
)
@click.option("-b", "--bundle", default="ashare", show_default=True, help="Of the data, for sizes and volumes.")
def report(
    folder: Path | None, lang: str | None, show: bool, pdf: bool, out: Path | None, form: str, bundle: str
) -> None:
    """Render the tear-sheet of a run again, or export its tables; by default of the newest run."""
    from engine import settings
    from engine.cli.backtest import run_folder

    values = settings.load()
    found = run_folder(folder, values.runs)
    if out is not None:
        _export(found, out, form, bundle)
        return
    page = _rendered(found, lang or values.spoken, bundle)
    click.echo(page)
    if pdf:
        from engine.report.browser import print_pdf

        print_pdf(page, page.with_suffix(".pdf"))
        click.echo(page.with_suffix(".pdf"))
    if show:
        click.launch(page.absolute().as_uri())


def _rendered(folder: Path, language: str, bundle: str) -> Path:
    from engine.report.opened import open_run
    from engine.report.tearsheet import render

    return render(folder, language, _panels(open_run(folder), bundle, "sizes, capacity, how good the scores were"))


def _panels(run: Run, bundle: str, without: str) -> Panels | None:
    """Return the data a run had; None, with a warning of what is left out, where the bundle holds others."""
    from engine.errors import NoBundle
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle

    install()
    try:
        panels = open_bundle(bundle).panels
    except NoBundle:
        panels = None
    if panels is None or run.manifest["data_id"] not in panels.manifest["lineage"]:
        click.echo(f"Warning: the data of the run are not there, and so are left out: {without}.", err=True)
        return None
    return panels


def _export(folder: Path, out: Path, form: str, bundle: str) -> None:
    """Write the tables of a run; those that need its data are left out where the bundle holds others."""
    from engine.cli.common import require_folder
    from engine.report.export import export
    from engine.report.opened import open_run
    from engine.report.review import tables

    run = open_run(folder)
    require_folder(out)
    for path in export(run, tables(run, _panels(run, bundle, "sizes, capacity, how good the scores were")), out, form):
        click.echo(path)


@click.command()
@click.argument("one", metavar="A", type=RUN)
@click.argument("other", metavar="B", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(one: Path, other: Path, as_json: bool) -> None:
    """Put two runs side by side: settings that differ, data and code, figures, and whether chance explains them.

    Figures are over the sessions both runs have; differences are A less B, with 95 % intervals by a paired bootstrap.
    """
    from engine import settings
    from engine.cli.backtest import run_folder
    from engine.report.compare import compare as put_together
    from engine.report.opened import open_run

    runs = settings.load().runs
    found = put_together(open_run(run_folder(one, runs)), open_run(run_folder(other, runs)))
    if as_json:
        click.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
        return
    _show(found)


def _document(found: Comparison) -> dict[str, Any]:
    parted = found.parted()
    document: dict[str, Any] = finite(
        {
            "runs": [found.one.folder.name, found.other.folder.name],
            "first": str(found.sessions[0]),
            "last": str(found.sessions[-1]),
            "sessions": len(found.sessions),
            "identity": [list(row) for row in found.identity()],
            "settings": [list(row) for row in found.settings()],
            "figures": found.figures().to_dicts(),
            "intervals": {name: list(pair) for name, pair in found.intervals().items()},
            "parted": parted and {"session": str(parted.session), "one": parted.one, "other": parted.other},
        }
    )
    return document


def _show(found: Comparison) -> None:
    names = found.one.folder.name, found.other.folder.name
    for which, name in zip("AB", names, strict=True):
        click.echo(f"{which}  {name}")
    differ = [*found.identity(), *found.settings()]
    click.echo()
    if differ:
        show_table(("differs", "A", "B"), [(name, _said(one), _said(other)) for name, one, other in differ])
    else:
        click.echo("Script, settings, models, data, code, sessions and capital are the same.")
    intervals = found.intervals()
    rows = []
    for name, one, other, apart in found.figures().iter_rows():
        form = "{:.2f}" if name.endswith("ratio") or name == "beta" else "{:.2%}"
        low, high = intervals.get(name, (None, None))
        between = "" if low is None or high is None else f"{form.format(low)} to {form.format(high)}"
        rows.append((name, form.format(one), form.format(other), form.format(apart), between))
    click.echo(f"\n{len(found.sessions)} sessions, {found.sessions[0]} to {found.sessions[-1]}")
    show_table(("", "A", "B", "A less B", "95 % interval"), rows)
    low, high = intervals["mean difference"]
    click.echo(f"\nThe mean daily difference is worth {low:.2%} to {high:.2%} a year; {_chance(low, high)}.")
    parted = found.parted()
    if parted is None:
        click.echo("Their net values never part.")
    else:
        click.echo(f"Their net values part on {parted.session}: {parted.one:.8f} and {parted.other:.8f} of the start.")


def _said(value: object) -> str:
    text = f"{len(value)} models" if isinstance(value, list) else "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _chance(low: float, high: float) -> str:
    return "0 lies inside: chance explains it" if low <= 0 <= high else "0 lies outside"


@click.command()
@click.argument("folder", metavar="RUN", required=False, type=RUN)
@click.option("-b", "--bundle", default="ashare", show_default=True)
def reproduce(folder: Path | None, bundle: str) -> None:
    """Run a finished run again, from the script and the settings its folder keeps; by default the newest one.

    All tables must be equal to 1e-12, on the CPU. Other data or code are named first. The first figure that differs
    ends it with exit code 4.
    """
    from engine import settings
    from engine.cli.backtest import run, run_folder, sessions_shown
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle
    from engine.report.opened import open_run
    from engine.report.reproduce import Reproduction

    found = open_run(run_folder(folder, settings.load().runs))
    install()
    again = Reproduction(found, bundle, open_bundle(bundle).panels.data_id)
    for note in again.notes():
        click.echo(f"Warning: {note}", err=True)
    with sessions_shown():
        said = again.check(lambda script, start, end, capital: run(script, start, end, bundle, capital))
    click.echo(said)
