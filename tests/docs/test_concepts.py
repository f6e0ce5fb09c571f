"""docs/concepts.md: its reasons, settings, defaults and files are the program's."""

from __future__ import annotations

import json
import re
from pathlib import Path

from engine import settings
from engine.types import Reason
from tests.accounts import say
from tests.docs.test_readme import ROOT

PAGE = (ROOT / "docs" / "concepts.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}


def test_its_reasons_are_reasons():
    named = set(re.findall(r"\| `(\w+)` \|$", SECTIONS["Fills"], re.MULTILINE))
    rest = {"filled", "not_listed", "stop_order", "cancelled", "halted", "run_ended"}
    assert named | rest == {str(reason) for reason in Reason}
    assert not named & rest


def test_its_settings_are_there():
    tree = settings.Settings().model_dump()
    for section, key in re.findall(r"`(data|execution|selection|universe)\.(\w+)`", PAGE):
        assert key in tree[section], key
    for key in re.findall(r"`(\w+)`", SECTIONS["Universe"].split("| setting `universe.` |")[1].split("\n\n")[0]):
        assert key in tree["universe"], key


def test_its_figures_are_the_defaults():
    values = settings.Settings()
    words = " ".join(PAGE.split())
    assert f"more than {values.execution.participation:.0%}".replace("%", " %") in words
    assert f"more than {values.selection.cap:.0%}".replace("%", " %") in words
    assert f"at least the {values.universe.minimum_sessions}st market session" in words
    low, high = (mv / 1e5 for mv in (values.universe.minimum_total_mv, values.universe.maximum_total_mv))
    assert f"from {low:.0f} to {high:.0f} billion CNY" in words
    assert f"Commission is a setting, {values.execution.commission_rate * 100:.3f} %" in words
    assert f"at least {values.execution.commission_minimum:.0f} CNY an order" in words
    assert values.execution.slippage == 0
    assert f"at the close of T+{values.labels.horizon + 1}" in words


def test_a_run_leaves_these_files(demo):
    """What scripts with models note beside them is in the table, and written by the flagship."""
    said = say("backtest", str(ROOT / "strategies" / "momentum.py"), "-s", "2019-12-02", "-e", "2019-12-31")
    assert said.code == 0, said.err
    folder = Path(said.out.strip()).parent
    told = set(re.findall(r"`([\w.]+\.(?:json|py|parquet|html))`", SECTIONS["What a run leaves"]))
    there = {path.name for path in folder.iterdir()}
    assert there <= told
    noted = {"scores.parquet", "attention.parquet", "decisions.parquet", "events.parquet", "ic.parquet"}
    assert told - there == noted
    source = (ROOT / "engine" / "report" / "runs.py").read_text("utf-8")
    assert all(name.removesuffix(".parquet") in source for name in noted)
    assert (folder.parent / "trials.jsonl").is_file()
    assert json.loads((folder / "manifest.json").read_text())["settings"]
