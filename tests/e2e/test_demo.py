"""The demo from nothing to tear-sheet, as ``make demo`` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl


def test_the_demo(tmp_path):
    program = Path(sys.executable).with_name("ashare")
    done = subprocess.run(
        [str(program), "demo", "--folder", str(tmp_path / "demo")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sheet = Path(next(line for line in done.stdout.splitlines() if line.startswith("tear-sheet")).split()[-1])
    text = sheet.read_text("utf-8")
    assert "Synthetic demo market" in text
    manifest = json.loads((sheet.parent / "manifest.json").read_text())
    assert len(manifest["models"]) == 12
    assert manifest["data_label"].startswith("Synthetic")
    assert manifest["reasons"]["filled"] > 1000
    scores = pl.read_parquet(sheet.parent / "scores.parquet")
    assert scores["session"].n_unique() == manifest["sessions"] == 242
    daily = pl.read_parquet(tmp_path / "demo" / "market" / "daily" / "daily.parquet")
    assert daily["trade_date"].min() == "20170103"
    assert daily["trade_date"].max() == "20231229"
    assert 200 < daily["ts_code"].n_unique() <= 300
    assert "$ ashare data sync --from 2017-01-03 --to 2023-12-29" in done.stdout
    (version,) = (tmp_path / "demo" / "lake" / "versions").glob("*.json")
    lake = json.loads(version.read_text())
    assert lake["covered"]["daily"] == ["2017-01-03", "2023-12-29"]  # asked for, not imported
    assert lake["held_back"] == {}
    assert sum(part["rows"] for part in lake["parts"]["daily"]) == daily.height


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    program = Path(sys.executable).with_name("ashare")
    done = subprocess.run(
        [str(program), "demo", "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "keep me"
