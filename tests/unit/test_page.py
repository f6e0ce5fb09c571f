"""The tear-sheet as its reader has it: in both languages, in a browser, on a phone."""

from __future__ import annotations

import datetime as dt
import re
import time
from pathlib import Path
from string import Formatter

import numpy as np
import polars as pl
import pytest
from babel.messages.extract import extract_python
from jinja2.ext import babel_extract

import engine
from engine.files import read_json, write_json
from engine.report import runs
from engine.report.browser import find_browser
from engine.report.tearsheet import render
from engine.words import LANGUAGES
from tests.chrome import Chrome, chrome
from tests.sayer import catalogue, strict
from tests.unit.test_tearsheet import ALL, a_run, an_order, said

ENGINE = Path(str(engine.__file__)).parent
TEMPLATES = sorted((ENGINE / "report" / "templates").glob("*.html"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_sentence_of_a_template_has_a_translation(template):
    with template.open("rb") as stream:
        found = {message for _, _, message, _ in babel_extract(stream, ["_"], [], {}) if isinstance(message, str)}
    assert not found - catalogue()


def test_every_sentence_in_the_code_has_a_translation():
    found = set()
    for path in ENGINE.rglob("*.py"):
        with path.open("rb") as stream:
            for _, _, message, _ in extract_python(stream, {"say": None, "Finding": (2,), "note": None}, [], {}):
                found |= {message} if isinstance(message, str) else set()
    assert not found - catalogue()


ORDERS = [an_order(reason, 200, 100) for reason in ("filled", "lot", "limit_up", "participation")]


@pytest.mark.parametrize(
    "more", [{}, {"strategy": "momentum_dnn.py"}, {"written_down": [["2018-02-01", "600000.SH", 100, 1.5, "unknown"]]}]
)
@pytest.mark.parametrize("length", [5, 60, 240])
def test_whatever_a_page_says_has_a_translation(tmp_path, monkeypatch, length, more):
    monkeypatch.setattr("engine.report.tearsheet.say_in", strict)
    render(a_run(tmp_path / "run", length=length, orders=ORDERS, **more), "zh")


def test_a_page_is_in_one_language(tmp_path):
    folder = a_run(tmp_path / "run", orders=ORDERS)
    english, chinese = (said(render(folder, language).read_text("utf-8")) for language in LANGUAGES)
    assert "最大回撤" in chinese
    assert not re.search("[一-鿿]", english)
    left = chinese.split("本次回测的身份")[-2]
    names = r"(?:selection|execution|universe|risk)\.[a-z_]+|mine\.py|actions\.parquet|ashare (?:prove [a-z]+|why)"
    ours = rf"{names}|CNY|SH\b|\d+ strategies, \d+ sessions"
    assert not re.findall(r"[A-Za-z]{3,}", re.sub(ours, "", left))


def test_numbers_are_filled_into_both_languages_alike(tmp_path):
    folder = a_run(tmp_path / "run", orders=ORDERS)
    english, chinese = (render(folder, language).read_text("utf-8") for language in LANGUAGES)
    cells = [re.findall(r"<td>(?:<strong>)?([−\d.,]+ ?%?)(?:</strong>)?</td>", page) for page in (english, chinese)]
    assert cells[0] == cells[1]
    assert len(cells[0]) > 40
    assert not [name for _, name, _, _ in Formatter().parse(re.sub(r"(?s)<style.*?</style>", "", english)) if name]


def test_seven_years_of_a_hundred_positions_are_a_small_page_at_once(tmp_path):
    folder = a_run(tmp_path / "run")
    days = ALL[(ALL >= np.datetime64("2013-01-04")) & (ALL <= np.datetime64("2019-12-31"))].tolist()
    _lengthen(folder, days, 100)
    before = time.process_time()
    page = render(folder, "zh")
    assert time.process_time() - before < 5
    assert page.stat().st_size < 3_000_000
    assert "1,702" in said(page.read_text("utf-8"))


def _lengthen(folder: Path, days: list[dt.date], stocks: int) -> None:
    """Make a run one of many years: all positions every session, all of them bought and sold every fifth."""
    rng, codes = np.random.default_rng(3), [f"{600000 + at}.SH" for at in range(stocks)]
    values = 1e7 * np.cumprod(1 + rng.normal(0.0005, 0.01, len(days)))
    perf = pl.DataFrame(
        {"session": days, "net_value": values, "cash": values * 0.2, "gross": 0.8, "flow": 0.0}
    ).with_columns(benchmark_return=pl.Series(rng.normal(0, 0.01, len(days))))
    held = pl.DataFrame({"session": days}).join(pl.DataFrame({"ts_code": codes}), how="cross")
    held = held.with_columns(shares=100, sellable=100, cost=10.0, price=10.0)
    traded = held.filter(pl.col("session").is_in(days[::5])).select("session", "ts_code")
    orders = pl.concat(
        traded.with_columns(pl.lit(side).alias("side"), decided=pl.col("session"), requested=100, filled=100)
        for side in ("sell", "buy")
    ).with_columns(
        order_id=pl.lit("x"), price=10.0, commission=5.0, stamp_duty=1.0, transfer_fee=0.1, reason=pl.lit("filled")
    )
    schemas = {"perf": (perf, runs.PERF), "positions": (held, runs.POSITIONS), "orders": (orders, runs.ORDERS)}
    for name, (frame, schema) in schemas.items():
        shaped = frame.select(pl.col(column).cast(kind) for column, kind in schema.items())
        shaped.write_parquet(folder / f"{name}.parquet")
    manifest = read_json(folder / "manifest.json")
    span = {"start": str(days[0]), "end": str(days[-1]), "sessions": len(days), "capital": 1e7}
    write_json(folder / "manifest.json", manifest | span | {"fills": orders.height})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    path = find_browser()
    if path is None:
        pytest.skip("there is no Chromium, Chrome or Edge to open the page with")
    with chrome(path, tmp_path_factory.mktemp("chrome")) as opened:
        yield opened


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_offline_without_a_complaint(browser: Chrome, tmp_path, width, language):
    page = render(a_run(tmp_path / "run", length=240, orders=ORDERS), language)
    seen = browser.open(page, width, 900)
    assert seen.requests == [page.absolute().as_uri()]
    assert seen.complaints == []
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert browser.value("document.fonts.size") == 0
    title = "业绩" if language == "zh" else "Result"
    assert title in browser.value("[...document.querySelectorAll('h2')].map(one => one.textContent)")
    hidden = "[...document.querySelectorAll('svg')].filter(one => one.getBoundingClientRect().height < 40).length"
    assert browser.value("document.querySelectorAll('svg').length") >= 5
    assert browser.value(hidden) == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_cut_off_on_paper(browser: Chrome, tmp_path, language):
    """A4 with the browser's margins is 718 pixels wide."""
    browser.open(render(a_run(tmp_path / "run", length=240, orders=ORDERS), language), 718, 1000, "print")
    right = (
        "Math.max(...[...document.querySelectorAll('td, svg, .tile')].map(one => one.getBoundingClientRect().right))"
    )
    assert browser.value(right) <= 718


def test_a_browser_that_is_there_finds_what_is_wrong_with_a_page(browser: Chrome, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<img src="https://example.com/a.png"><div style="width:3000px">x</div><script>boom()</script>')
    seen = browser.open(page, 390, 900)
    assert "https://example.com/a.png" in seen.requests
    assert any("Uncaught" in one for one in seen.complaints)
    assert not browser.value("document.documentElement.scrollWidth <= innerWidth")
