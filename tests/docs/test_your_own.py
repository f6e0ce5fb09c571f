"""docs/your-own.md: each block of code runs as it stands; what it leads to is what the page says."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.accounts import say
from tests.docs.test_readme import ROOT, commands_of
from tests.markets import days_between

PAGE = (ROOT / "docs" / "your-own.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FACTOR, STRATEGY, NETWORK, MODEL, SCORES, DATA = BLOCKS
COMMANDS = commands_of(PAGE)


def given(start: str) -> list[str]:
    """Return the words of the page's one command that starts so, without ``ashare``."""
    (found,) = {line for line in COMMANDS if line.startswith(start)}
    return shlex.split(found)[1:]


def ran(*words: str) -> str:
    said = say(*words)
    assert said.code == 0, said.err
    return said.out


def held(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "positions.parquet")


def executed(script: str) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(script, "page", "exec"), names)
    return names


def test_a_factor(demo, capsys):
    names = executed(FACTOR)
    found = re.fullmatch(r"rank IC ([+-]\d\.\d{3}) over (\d+) sessions\n", capsys.readouterr().out)
    assert found is not None
    assert int(found[2]) == len(days_between("20180601", "20190628"))
    assert float(found[1]) == pytest.approx(np.nanmean(names["coefficients"]), abs=5e-4)


def test_the_factor_is_what_it_says(demo):
    names = executed(FACTOR)
    closes = np.array([10.0 * 1.01**day for day in range(21)])[:, None]
    out = np.empty(1)
    names["Illiquidity"].compute(None, None, None, out, closes, np.full((21, 1), 2e6))
    assert out[0] == pytest.approx(0.01 / 2)


def test_a_strategy(demo):
    Path("my_strategy.py").write_text(STRATEGY, "utf-8")
    command = given("ashare backtest my_strategy.py")
    (said,) = {line for line in ast.get_docstring(ast.parse(STRATEGY)).splitlines() if line.startswith("ashare")}
    assert shlex.split(said)[1:] == command
    folder = Path(ran(*command).strip()).parent
    assert held(folder)["session"].n_unique() > 100
    per_day = held(folder).group_by("session").len()["len"]
    assert 10 <= per_day.min()
    assert per_day.max() <= 25  # what could not be sold stays beside the twenty
    assert "600004.SH" in ran(*given("ashare why"))
    assert "mine" in ran(*given("ashare paper init"))


def test_the_two_strategies_with_the_factor_say_the_same_of_it():
    bodies = [
        next(
            ast.dump(ast.Module(part.body, []))
            for node in ast.parse(script).body
            if isinstance(node, ast.ClassDef)
            for part in node.body
            if isinstance(part, ast.FunctionDef)
        )
        for script in (FACTOR, STRATEGY)
    ]
    assert bodies[0] == bodies[1]


def test_the_network(demo, monkeypatch):
    """One of the months: the others are the same once more."""
    assert given("ashare train") == ["train", "--start", "2019-06", "--end", "2019-12"]
    monkeypatch.setenv("ASHARE_MODEL__SAMPLE_EVERY", "5")
    ran("train", "--start", "2019-06", "--end", "2019-06")
    Path("mine.py").write_text(NETWORK, "utf-8")
    folder = Path(ran("backtest", "mine.py", "-s", "2019-06-03", "-e", "2019-06-28").strip()).parent
    assert pl.read_parquet(folder / "scores.parquet")["session"].n_unique() == len(days_between("20190603", "20190628"))
    assert held(folder).height > 0
    later = say("backtest", "mine.py", "-s", "2019-06-03", "-e", "2019-07-31")
    assert later.code == 3
    assert "2019-07" in later.line


def test_scores_of_a_file(demo):
    ran(*given("ashare factor export --from"))
    executed(MODEL)
    scores = pl.read_parquet("my_scores.parquet")
    assert scores["trade_date"].n_unique() == len(days_between("20190101", "20190628"))
    Path("my_scores.py").write_text(SCORES, "utf-8")
    (said,) = {line for line in ast.get_docstring(ast.parse(SCORES)).splitlines() if line.startswith("ashare")}
    folder = Path(ran(*shlex.split(said)[1:]).strip()).parent
    first = scores.filter(pl.col("trade_date") == "20190102").sort("score", descending=True)
    best = set(first["ts_code"].head(int(first.height * 0.2)))  # the fixture's fraction
    orders = pl.read_parquet(folder / "orders.parquet")
    bought = set(orders.filter(pl.col("decided") == orders["decided"].min())["ts_code"])
    assert bought
    assert bought <= best


def test_data(home, monkeypatch):
    """Three stocks; one of them goes ex, and one has a limit that only the rulebook tells."""
    days = days_between("20180305", "20180309")
    rows = [
        (day, code, price, price, price, price, 1e6, 1e6 * price, factor, 5e9)
        for n, code in enumerate(("600000.SH", "000001.SZ", "300750.SZ"))
        for at, day in enumerate(days)
        for factor in [2.0 if n == 0 and at >= 2 else 1.0]
        for price in [(10.0 + n) / factor]
    ]
    columns = ("day", "code", "open", "high", "low", "close", "shares", "money", "factor", "cap")
    pl.DataFrame(rows, columns, orient="row").write_csv("bars.csv")
    pl.DataFrame({"day": days, "open": [5000.0] * 5, "close": [5000.0] * 5}).write_csv("index.csv")
    ran("init", "--yes")
    executed(DATA)
    daily = pl.read_csv("my_data/daily/daily.csv", schema_overrides={"trade_date": pl.String})
    ex = daily.filter((pl.col("ts_code") == "600000.SH") & (pl.col("trade_date") == days[2]))
    assert ex["pre_close"].item() == 5.0
    ran(*given("ashare data import my_data"))
    ran(*given("ashare data verify"))
    ran(*given("ashare data build"))
    from engine.panels.bundle import open_bundle

    panels = open_bundle().panels
    assert {asset.first_code for asset in panels.assets} == {"600000.SH", "000001.SZ", "300750.SZ"}
    sid = next(asset.sid for asset in panels.assets if asset.first_code == "000001.SZ")
    row = panels.row(panels.sessions[-1])
    assert panels.field("close")[row, sid] == 1100
    assert panels.field("up_limit")[row, sid] == 1210
