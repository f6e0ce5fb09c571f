"""``ashare prove``: the product checks itself; ``ashare rules``: what holds for a stock on a day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from engine.cli.common import DAY, require_folder


@click.group()
def prove() -> None:
    """Check the product against what does not come from it."""


@prove.command("rules")
@click.option("-b", "--bundle", default="ashare", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write every exception to this Parquet.")
def prove_rules(bundle: str, out: Path | None) -> None:
    """Compute every recorded price limit from the rulebook and name what differs."""
    from engine.errors import ProofFailed
    from engine.panels.bundle import open_bundle
    from engine.prove.rules import CAUSES, Cause, compare, ex_rights, vectors

    if out is not None:
        require_folder(out)
    panels = open_bundle(bundle).panels
    proof = compare(panels)
    if out is not None:
        proof.exceptions.write_parquet(out)
    for line in proof.exceptions.filter(cause=str(Cause.UNEXPLAINED)).iter_rows(named=True):
        click.echo(
            f"{line['ts_code']} {line['session']}: recorded {line['recorded_up']:.2f}, by rule {line['rule_up']:.2f}"
        )
    wrong = [(what, source, ours) for what, source, ours in vectors() if source != ours]
    for what, source, ours in wrong:
        click.echo(f"vector {what}: {source} by its source, {ours} by the rulebook")
    click.echo(f"bars                        {proof.bars:>12,}")
    click.echo(f"with the exchange's row     {proof.recorded:>12,}")
    click.echo(
        f"  that gives no limit       {proof.without_limit:>12,}  the rule frees {proof.without_limit_by_rule:,}"
    )
    click.echo(f"compared                    {proof.compared:>12,}")
    for cause, count in proof.counts().items():
        click.echo(f"  {cause:<26}{count:>12,}  {CAUSES[cause]}")
    click.echo(f"corrected by one fen        {proof.corrected:>12,}  no trade confirms the record")
    reference = ex_rights(panels)
    near = f"equal {reference.equal:,}, a fen off {reference.near:,}"
    click.echo(f"ex-rights prices            {reference.checked:>12,}  {near}")
    click.echo(f"vectors                     {sum(1 for _ in vectors()):>12,}  wrong: {len(wrong)}")
    click.echo(f"equal                       {proof.equal:>12,}  {proof.equal / max(proof.compared, 1):.4%}")
    unexplained = proof.counts().get(Cause.UNEXPLAINED, 0)
    if wrong or unexplained:
        raise ProofFailed(
            "the rulebook does not agree with the exchange",
            f"{unexplained} limits differ without a cause, {len(wrong)} vectors are wrong",
            "Look at the lines above; --out writes all of them.",
        )


@click.command()
@click.argument("ts_code")
@click.argument("day", type=DAY)
@click.option("--st", is_flag=True, help="The stock is specially treated.")
def rules(ts_code: str, day: str, st: bool) -> None:
    """Show the rules that hold for a stock on a day, each with its source."""
    from engine.errors import OutsideData
    from engine.market.boards import board_of, exchange_of
    from engine.market.hours import phases
    from engine.market.tables import table
    from engine.types import Standing

    date, board, exchange = dt.date.fromisoformat(day), board_of(ts_code), exchange_of(ts_code)
    standing = Standing.RISK_WARNED if st else Standing.ORDINARY
    click.echo(f"{ts_code} on {date}: {board}, {standing.replace('_', ' ')}")
    shown = [
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
    for what, name, scope in shown:
        try:
            row = table(name).row(scope, date)
        except OutsideData:
            click.echo(f"  {what:<40}{'-':>10}  no rule, or none known, on that day")
        else:
            click.echo(f"  {what:<40}{row.text:>10}  since {row.effective_from}  {row.source}")
    for phase in phases(board, date):
        click.echo(f"  {phase.name.replace('_', ' '):<40}{phase.start:%H:%M}-{phase.end:%H:%M}")


_ORDERS = (("smallest", "minimum"), ("step of an", "step"), ("largest", "maximum"))
