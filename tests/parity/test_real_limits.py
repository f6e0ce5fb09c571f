"""The rulebook against the exchange's recorded limits, on the private real data where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.panels.bundle import open_bundle
from engine.prove.rules import Cause, Proof, compare


def test_a_sample_of_real_stock_days(real_home):
    _require(compare(open_bundle("ashare").panels), at_least=150_000)


@pytest.mark.slow
def test_every_real_stock_day(home, tmp_path):
    source = os.environ.get("ASHARE_REALDATA")
    if not source or not (Path(source) / "export.py").is_file():
        pytest.skip("ASHARE_REALDATA names no private data on this machine")
    from zipline.data import bundles

    import engine.extension  # noqa: F401
    from bundles.importer import import_folder
    from bundles.lake import Lake
    from engine import settings
    from tests.conftest import FETCHED

    folder = tmp_path / "market"
    subprocess.run([sys.executable, str(Path(source) / "export.py"), "--out", str(folder)], check=True)
    (folder / "code_changes.csv").write_bytes((Path(source) / "code_changes.csv").read_bytes())
    import_folder(folder, Lake(settings.load().lake), FETCHED, "six_months")
    bundles.ingest("ashare", os.environ, show_progress=False)
    _require(compare(open_bundle("ashare").panels), at_least=5_000_000)


def _require(proof: Proof, at_least: int) -> None:
    assert proof.compared >= at_least
    assert proof.equal / proof.compared > 0.99
    assert Cause.UNEXPLAINED not in proof.counts()
