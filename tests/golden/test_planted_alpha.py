"""The network finds what was planted in the demo market, and nothing in its twin without it."""

from __future__ import annotations

import datetime as dt
import os

import pytest

from bundles.demo.market import Spec, planted_ic, write_market
from bundles.importer import import_folder
from bundles.lake import Lake
from engine import settings
from engine.host.registration import install
from engine.model.evaluate import NETWORK, judged, network_answers, served_months
from engine.model.ic import Mean
from engine.model.labels import lag
from engine.model.months import train_models, wanted_models
from engine.model.samples import Samples, build_samples
from engine.model.windows import months
from engine.panels.bundle import open_bundle

FIRST, LAST = "2021-11", "2023-12"
"""All the months that seven years can train."""


def out_of_sample(home, alpha: float) -> Mean:
    """Train every month on a market and return the mean rank IC of P_up on the sessions served."""
    import torch
    from zipline.data import bundles

    import engine.extension  # noqa: F401

    write_market(Spec(alpha=alpha), home / "market")
    values = settings.load()
    import_folder(home / "market", Lake(values.lake), dt.date(2024, 1, 2), "six_months")
    bundles.ingest("ashare", os.environ, show_progress=False)
    install()
    bundle, wanted = open_bundle(), list(months(FIRST, LAST))
    folder = build_samples(bundle, values)
    samples = Samples.open(folder)
    train_models(wanted_models(wanted, bundle, samples, values), bundle, folder, values, 2, torch.device("cpu"))
    served = served_months(wanted, bundle, samples, values)
    said = {NETWORK: network_answers(served, bundle.panels, samples, values)}
    (ranked,) = [one for one in judged(samples, served, said, values) if one.measure == "p_up"]
    return ranked.mean(lag(values.labels))


@pytest.mark.slow
def test_the_rank_ic_out_of_sample_lies_in_the_interval_of_what_was_planted(home):
    found = out_of_sample(home, Spec().alpha)
    planted = planted_ic(home / "market", f"{FIRST}-01", f"{LAST}-31")
    assert found.n == planted.n > 500
    assert planted.low > 0.03
    assert planted.low <= found.mean <= planted.high
    assert found.low > 0


@pytest.mark.slow
def test_nothing_is_found_where_nothing_was_planted(home):
    found = out_of_sample(home, 0.0)
    assert found.n > 500
    assert found.low < 0 < found.high
