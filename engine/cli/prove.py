"""``ashare prove``: the product checks itself; ``ashare rules``: what holds for a stock on a day."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import DAY, progress_bar, require_folder
from engine.prove.kinds import Evidence, Kind

if TYPE_CHECKING:
    from engine.prove.lookahead import Cell, Perturb
    from engine.prove.parity import Compared
    from engine.prove.rules import ExRights, Proof
    from engine.prove.warmup import Warmup


@click.group()
def prove() -> None:
    """Check the product against what does not come from it."""


@prove.command("rules")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write every exception to this Parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def prove_rules(bundle: str, out: Path | None, as_json: bool) -> None:
    """Compute every recorded price limit from the rulebook and name what differs."""
    from engine.errors import ProofFailed
    from engine.panels.bundle import open_bundle
    from engine.prove.rules import Cause, compare, ex_rights, vectors

    if out is not None:
        require_folder(out)
    panels = open_bundle(bundle).panels
    proof, tried = compare(panels), list(vectors())
    if out is not None:
        proof.exceptions.write_parquet(out)
    wrong = [(what, source, ours) for what, source, ours in tried if source != ours]
    reference = ex_rights(panels)
    if as_json:
        click.echo(json.dumps(_rules_document(proof, reference, len(tried), wrong), ensure_ascii=False, default=str))
    else:
        for line in _rules_table(proof, reference, len(tried), wrong):
            click.echo(line)
    unexplained = proof.counts().get(Cause.UNEXPLAINED, 0)
    with _noted("rules", panels.data_id, f"{proof.compared:,} limits"):
        if wrong or unexplained:
            raise ProofFailed(
                "the rulebook does not agree with the exchange",
                f"{unexplained} limits differ without a cause, {len(wrong)} vectors are wrong",
                "Look at the lines above; --out writes all of them.",
            )


_Wrong = Sequence[tuple[str, Any, Any]]
"""Vectors that come out otherwise: what, by its source, by the rulebook."""


def _rules_document(proof: Proof, reference: ExRights, vectors: int, wrong: _Wrong) -> dict[str, Any]:
    return {
        "bars": proof.bars,
        "recorded": proof.recorded,
        "without_limit": proof.without_limit,
        "without_limit_by_rule": proof.without_limit_by_rule,
        "compared": proof.compared,
        "equal": proof.equal,
        "exceptions": {str(cause): count for cause, count in proof.counts().items()},
        "corrected": proof.corrected,
        "ex_rights": {"checked": reference.checked, "equal": reference.equal, "near": reference.near},
        "vectors": vectors,
        "wrong": [{"vector": what, "source": source, "rulebook": ours} for what, source, ours in wrong],
    }


def _rules_table(proof: Proof, reference: ExRights, vectors: int, wrong: _Wrong) -> Iterator[str]:
    """Yield what has no cause, then what was compared."""
    from engine.prove.rules import CAUSES, Cause

    for line in proof.exceptions.filter(cause=str(Cause.UNEXPLAINED)).iter_rows(named=True):
        limits = f"recorded {line['recorded_up']:.2f}, by rule {line['rule_up']:.2f}"
        yield f"{line['ts_code']} {line['session']}: {limits}"
    for what, source, ours in wrong:
        yield f"vector {what}: {source} by its source, {ours} by the rulebook"
    yield f"bars                        {proof.bars:>12,}"
    yield f"with the exchange's row     {proof.recorded:>12,}"
    yield f"  that gives no limit       {proof.without_limit:>12,}  the rule frees {proof.without_limit_by_rule:,}"
    yield f"compared                    {proof.compared:>12,}"
    for cause, count in proof.counts().items():
        yield f"  {cause:<26}{count:>12,}  {CAUSES[cause]}"
    yield f"corrected by one fen        {proof.corrected:>12,}  no trade confirms the record"
    near = f"equal {reference.equal:,}, a fen off {reference.near:,}"
    yield f"ex-rights prices            {reference.checked:>12,}  {near}"
    yield f"vectors                     {vectors:>12,}  wrong: {len(wrong)}"
    yield f"equal                       {proof.equal:>12,}  {proof.equal / max(proof.compared, 1):.4%}"


def _noted(kind: str, data_id: str, extent: str) -> AbstractContextManager[None]:
    """Keep the verdict for the reports of runs with this code and these data."""
    from engine import settings
    from engine.report.proofs import noted
    from engine.report.runs import code_id

    return noted(settings.load().home, kind, code_id(), data_id, extent)


class _Listed(click.ParamType):
    """Several values in one, with commas between them."""

    name = "list"

    def __init__(self, one: click.ParamType) -> None:
        self._one = one

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Return the values, each once."""
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(self._one.convert(part.strip(), param, ctx) for part in value.split(",")))


_KINDS = ",".join(Kind)


@prove.command("lookahead")
@click.option("--dates", type=_Listed(DAY), help="Sessions T, with commas between them; by default chosen.")
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, help="How many are chosen.")
@click.option(
    "--kinds",
    type=_Listed(click.Choice([kind.value for kind in Kind])),
    default=_KINDS,
    show_default=True,
    help="What is done to later rows.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A script that runs up to each T; by default the flagship and momentum.",
)
@click.option("--no-models", is_flag=True, help="Train none, and leave the flagship out.")
@click.option("--epochs", type=click.IntRange(min=1), default=2, show_default=True, help="Of each model trained.")
@click.option("--sessions", type=click.IntRange(min=1), help="Compare so many sessions up to T; by default all.")
@click.option("--stocks", type=click.IntRange(min=1), help="Look at so many stocks, drawn by chance; by default all.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all chance.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def prove_lookahead(
    dates: tuple[str, ...] | None,
    count: int,
    kinds: tuple[str, ...],
    strategies: tuple[Path, ...],
    no_models: bool,
    epochs: int,
    sessions: int | None,
    stocks: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Change whatever was known after T, and require all up to T to stay the same, bit for bit.

    Universe, factors, z-scores, labels in use, models, scores, orders, fills and net values. The changed lakes, bundles
    and models live in a temporary folder; yours are only read.
    """
    from engine.cli.backtest import run
    from engine.panels.bundle import open_bundle
    from engine.prove.exhibits import Look
    from engine.prove.lookahead import Lookahead

    started, changes = time.monotonic(), tuple(Kind(kind) for kind in kinds)
    look = Look(strategies or _strategies("momentum_dnn", "momentum"), not no_models, sessions)
    with Lookahead(perturb_command(stocks, seed), run, epochs) as proof:
        days = tuple(map(dt.date.fromisoformat, dates)) if dates else proof.days(count, seed)
        with progress_bar("futures", len(days) * (len(changes) + 1)) as advance:
            cells = list(proof.cells(days, changes, look, advance))
    seconds = time.monotonic() - started
    if as_json:
        click.echo(json.dumps({"cells": [_shown(cell) for cell in cells], "seconds": round(seconds, 1)}))
    else:
        for line in _table(cells, seconds):
            click.echo(line)
    with _noted("lookahead", open_bundle().panels.data_id, f"{len(days)} days, {len(changes)} kinds of change"):
        require_equal(cells, seed)


def _strategies(*names: str) -> tuple[Path, ...]:
    """Return scripts of the product, which run where none is named."""
    from importlib import resources

    return tuple(Path(str(resources.files("strategies") / f"{name}.py")) for name in names)


def perturb_command(stocks: int | None, seed: int) -> Perturb:
    """Return `ashare data perturb` as a function: the engine finds it by its name, as all that is of the bundles."""
    from engine.cli.main import ashare

    context = click.Context(ashare)
    group = ashare.get_command(context, "data")
    assert isinstance(group, click.Group), "the bundles are not installed"
    command = group.get_command(context, "perturb")
    assert command is not None

    def perturb(folder: Path, kind: Kind | None, after: dt.date | None) -> Mapping[str, int]:
        day = None if after is None else after.isoformat()
        with contextlib.redirect_stderr(io.StringIO()):  # it names what the table will
            counts: Mapping[str, int] = context.invoke(
                command, folder=folder, after=day, kind=kind, stocks=stocks, seed=seed
            )
        return counts

    return perturb


def _shown(cell: Cell) -> dict[str, Any]:
    found = [{"evidence": one.evidence, "difference": str(one)} for one in cell.differences]
    compared = {str(evidence): cell.compared.get(evidence, 0) for evidence in Evidence}
    return {
        "day": str(cell.day),
        "kind": cell.kind,
        "rows_changed": cell.changed,
        "compared": compared,
        "differences": found,
    }


def _table(cells: Sequence[Cell], seconds: float) -> Iterator[str]:
    """Yield a line for each day and kind, values compared by evidence, and what they come to."""
    yield f"{'T':<12}{'later rows':<10}{'changed':>12}" + "".join(f"{name:>12}" for name in Evidence) + "  verdict"
    for cell in cells:
        counts = "".join(f"{cell.compared.get(name, 0):>12,}" for name in Evidence)
        differing = ", ".join(dict.fromkeys(found.evidence for found in cell.differences))
        yield f"{cell.day!s:<12}{cell.kind:<10}{cell.changed:>12,}{counts}  {differing or 'equal'}"
    for evidence in (one for one in Evidence if not any(cell.compared.get(one) for cell in cells)):
        yield f"{evidence}: there was nothing to compare"
    days, kinds = ({getattr(cell, name) for cell in cells} for name in ("day", "kind"))
    values = sum(sum(cell.compared.values()) for cell in cells)
    yield f"{len(days)} days x {len(kinds)} kinds: {values:,} values compared in {seconds:.0f} s"


def require_equal(cells: Sequence[Cell], seed: int = 0) -> None:
    """Complain about the first difference.

    Raises
    ------
    ProofFailed
        There is one.
    NotEnoughHistory
        Not even a universe was compared: that proves nothing.
    """
    from engine.errors import NotEnoughHistory, ProofFailed

    for cell in (cell for cell in cells if cell.first is not None):
        assert cell.first is not None
        raise ProofFailed(
            f"what is known on {cell.day} depends on what came later ({cell.kind})",
            f"{cell.first.evidence}: {cell.first}",
            f"`ashare data perturb DIR --after {cell.day} --kind {cell.kind} --seed {seed}` makes the lake to look at.",
        )
    if not any(cell.compared.get(Evidence.UNIVERSE) for cell in cells):
        raise NotEnoughHistory("nothing was proved", "the universe is empty up to every day", "Choose later --dates.")


@prove.command("parity")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A script; by default those of the product, without the flagship where it has no models.",
)
@click.option("--sessions", type=click.IntRange(min=1), default=250, show_default=True, help="How many are run.")
@click.option("--start", type=DAY, help="First session.")
@click.option("--end", type=DAY, help="Last session; by default the newest.")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--capital", type=click.FloatRange(min=1), default=10_000_000.0, show_default=True, help="CNY.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def prove_parity(
    strategies: tuple[Path, ...],
    sessions: int,
    start: str | None,
    end: str | None,
    bundle: str,
    capital: float,
    as_json: bool,
) -> None:
    """Run strategies as a backtest, and on paper session by session: they must do the same, to the last bit.

    Orders, fills, fees, cash, positions, net values, corporate actions, decisions, events, scores. Runs and accounts
    live in a temporary folder.
    """
    from functools import partial

    from engine.cli.backtest import run
    from engine.errors import UsageError
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle
    from engine.prove.parity import Parity, chosen_sessions, scratch_home

    if start is not None and end is not None:
        raise UsageError("both ends are named", "--sessions says how many there are", "Leave --start or --end out.")
    install()
    ends = (None if day is None else dt.date.fromisoformat(day) for day in (start, end))
    days = chosen_sessions(open_bundle(bundle).panels, sessions, *ends)
    scripts = strategies or _strategies("equal_weight", "momentum", "momentum_dnn")
    began, proof = (
        time.monotonic(),
        Parity(days, capital, partial(run, bundle=bundle, capital=capital), partial(open_bundle, bundle)),
    )
    with scratch_home(), progress_bar("sessions on paper", len(days) * len(scripts)) as advance:
        found = [proof.compare(script.absolute(), advance, skip=not strategies) for script in scripts]
    seconds = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(_certificate(found, capital, seconds)))
    else:
        for line in _parity_table(found, seconds):
            click.echo(line)
    with _noted("parity", open_bundle(bundle).panels.data_id, f"{len(scripts)} strategies, {len(days)} sessions"):
        require_parity(found)


def _certificate(found: Sequence[Compared], capital: float, seconds: float) -> dict[str, Any]:
    """Return what was compared, and of what, as JSON."""
    from dataclasses import asdict

    from engine.report.runs import code_id

    return {
        "first": str(found[0].first),
        "last": str(found[0].last),
        "capital": capital,
        "data_id": next((one.data_id for one in found if one.data_id), None),
        "code_id": code_id(),
        "strategies": [
            {
                "strategy": one.strategy,
                "verdict": one.verdict,
                "sessions": one.sessions,
                "fills": one.fills,
                "fees": one.fees,
                "rows": dict(one.rows),
                "values": dict(one.values),
                "difference": one.difference and {key: str(value) for key, value in asdict(one.difference).items()},
                "skipped": one.skipped or None,
            }
            for one in found
        ],
        "seconds": round(seconds, 1),
    }


_COUNTED = ("actions", "orders", "positions", "decisions", "scores", "ic", "events")


def _parity_table(found: Sequence[Compared], seconds: float) -> Iterator[str]:
    """Yield a line for each strategy, what was compared of it, and what they come to."""
    from engine.report.runs import code_id

    width = max(len(one.strategy) for one in found) + 2
    heads = ("sessions", "fills", "fees", *_COUNTED, "values")
    yield f"{'strategy':<{width}}" + "".join(f"{name:>11}" for name in heads) + "  verdict"
    for one in found:
        rows = (one.sessions, one.fills, one.fees, *(one.rows[name] for name in _COUNTED), one.values.total())
        yield f"{one.strategy:<{width}}" + "".join(f"{count:>11,}" for count in rows) + f"  {one.verdict}"
    for one in found:
        if one.skipped:
            yield f"{one.strategy} was skipped: {one.skipped}"
    data = next((one.data_id for one in found if one.data_id), "-")
    values = sum(one.values.total() for one in found)
    yield f"{found[0].first} to {found[0].last}, data {data}, code {code_id()}: {values:,} values in {seconds:.0f} s"


def require_parity(found: Sequence[Compared]) -> None:
    """Complain about the first difference.

    Raises
    ------
    ProofFailed
        There is one.
    NotEnoughHistory
        Not one order was compared: that proves nothing.
    """
    from engine.errors import NotEnoughHistory, ProofFailed

    for one in found:
        if one.difference is not None:
            raise ProofFailed(
                f"{one.strategy} does not do on paper what its backtest does, first on {one.difference.session}",
                str(one.difference),
                "This is a defect of the engine, or the script uses what no session of an account has: report it.",
            )
    if not any(one.rows["orders"] for one in found):
        raise NotEnoughHistory("nothing was proved", "no order was placed", "Choose other sessions.")


@prove.command("warmup")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, help="How many sessions are chosen.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def prove_warmup(bundle: str, count: int, seed: int, as_json: bool) -> None:
    """Compute each factor from its declared window alone, and with more around it: the bits must be the same."""
    from dataclasses import asdict

    from engine import settings
    from engine.host.registration import install
    from engine.panels.bundle import open_bundle
    from engine.pipeline.factors import FACTORS
    from engine.prove.warmup import chosen_rows
    from engine.prove.warmup import prove as compared

    install()
    opened = open_bundle(bundle)
    rows = chosen_rows(opened, count, seed)
    with progress_bar("factors", len(FACTORS)) as advance:
        found = list(compared(opened, settings.load(), rows, advance=advance))
    if as_json:
        click.echo(
            json.dumps(
                {"sessions": [str(opened.panels.days[row]) for row in rows], "factors": list(map(asdict, found))}
            )
        )
    else:
        click.echo(f"{'factor':<16}{'window':>8}{'compared':>12}{'not null':>12}")
        for one in found:
            verdict = "equal" if one.holds else "differs"
            click.echo(f"{one.name:<16}{one.window:>8}{one.compared:>12,}{one.known:>12,}  {verdict}")
        values = sum(one.compared for one in found)
        click.echo(f"{len(found)} factors, {len(rows)} sessions: {values:,} values compared")
    require_warm(found)


def require_warm(found: Sequence[Warmup]) -> None:
    """Complain about a factor that needs more than it declares.

    Raises
    ------
    ProofFailed
        There is one.
    NotEnoughHistory
        No factor had a value.
    """
    from engine.errors import NotEnoughHistory, ProofFailed

    for one in (one for one in found if not one.holds):
        why = one.first or f"its term reads {one.read}"
        raise ProofFailed(
            f"{one.name} does not do with the {one.window} sessions it declares",
            why,
            "Declare the window it needs, or compute it from its window alone.",
        )
    if not any(one.known for one in found):
        raise NotEnoughHistory("nothing was proved", "no factor has a value", "Import more data.")


@click.command()
@click.argument("ts_code")
@click.argument("day", type=DAY)
@click.option("--st", is_flag=True, help="The stock is specially treated.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def rules(ts_code: str, day: str, st: bool, as_json: bool) -> None:
    """Show the rules that hold for a stock on a day, each with its source."""
    from engine.market.boards import board_of, exchange_of
    from engine.market.hours import phases
    from engine.types import Standing

    date, board, exchange = dt.date.fromisoformat(day), board_of(ts_code), exchange_of(ts_code)
    standing = Standing.RISK_WARNED if st else Standing.ORDINARY
    found = [_rule(what, name, scope, date) for what, name, scope in _looked_up(board, exchange, standing)]
    hours = [(phase.name, f"{phase.start:%H:%M}", f"{phase.end:%H:%M}") for phase in phases(board, date)]
    if as_json:
        about = {"ts_code": ts_code, "day": str(date), "board": str(board), "standing": str(standing)}
        phases_ = [dict(zip(("phase", "start", "end"), phase, strict=True)) for phase in hours]
        click.echo(json.dumps({**about, "rules": found, "phases": phases_}, ensure_ascii=False))
        return
    click.echo(f"{ts_code} on {date}: {board}, {standing.replace('_', ' ')}")
    for rule in found:
        since = f"since {rule['since']}  {rule['source']}" if rule["since"] else "no rule, or none known, on that day"
        click.echo(f"  {rule['rule']:<40}{rule['value'] or '-':>10}  {since}")
    for name, start, end in hours:
        click.echo(f"  {name.replace('_', ' '):<40}{start}-{end}")


def _rule(what: str, name: str, scope: str, day: dt.date) -> dict[str, str | None]:
    """Return a rule as it holds on a day; without value, date and source where none is known."""
    from engine.errors import OutsideData
    from engine.market.tables import table

    try:
        row = table(name).row(scope, day)
    except OutsideData:
        return {"rule": what, "value": None, "since": None, "source": None}
    return {"rule": what, "value": row.text, "since": str(row.effective_from), "source": row.source}


def _looked_up(board: str, exchange: str, standing: str) -> list[tuple[str, str, str]]:
    """Return what is shown of a stock: in words, the table, the row's scope."""
    return [
        ("price limit, percent", "price_limits", f"{board}.{standing}"),
        ("sessions without limit after listing", "free_sessions", f"{board}.listing"),
        ("first day, percent up from issue price", "first_day_band", f"{board}.up"),
        ("first day, percent down", "first_day_band", f"{board}.down"),
        ("limit in a delisting period, percent", "price_limits", f"{board}.delisting_period"),
        ("its sessions without limit", "free_sessions", f"{board}.delisting_period"),
        ("one-tick floor up to a close of, fen", "tick_floor", f"{exchange}.ordinary"),
        ("tick, CNY", "tick", exchange),
        *((f"{what} order, shares", "lots", f"{board}.{scope}") for what, scope in _ORDERS),
        ("sessions until shares may be sold", "settlement", "sessions_until_sellable"),
        ("stamp duty of a sale", "stamp_duty", "sell"),
        ("transfer fee, of turnover", "transfer_fee", f"{exchange}.turnover"),
        ("transfer fee, of par value", "transfer_fee", f"{exchange}.par"),
        ("handling fee", "handling_fee", exchange),
        ("regulatory fee", "regulatory_fee", exchange),
        ("highest commission", "commission", "ceiling"),
        ("dividend tax withheld", "dividend_tax", "withheld"),
        ("dividend tax up to a month", "dividend_tax", "up_to_a_month"),
        ("dividend tax up to a year", "dividend_tax", "up_to_a_year"),
        ("dividend tax beyond a year", "dividend_tax", "longer"),
    ]


_ORDERS = (("smallest", "minimum"), ("step of an", "step"), ("largest", "maximum"))
