"""What the tear-sheet says, and what it leaves out because it would mislead."""

from __future__ import annotations

import datetime as dt
import html
import itertools
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from engine.calendar import sessions
from engine.files import write_json
from engine.report import plots
from engine.report.runs import ACTIONS, ORDERS, PERF, POSITIONS
from engine.report.tearsheet import render
from engine.settings import Settings

ALL = sessions()
DAYS: list[dt.date] = ALL[(ALL >= np.datetime64("2018-01-02")) & (ALL <= np.datetime64("2018-12-28"))].tolist()


def an_order(reason: str, requested: int, filled: int, side: str = "buy") -> dict[str, Any]:
    fees = {"commission": 5.0, "stamp_duty": 0.0, "transfer_fee": 0.0}
    when = {"decided": DAYS[0], "session": DAYS[1], "ts_code": "600000.SH"}
    price = 10.0 if filled else float("nan")
    return {
        "order_id": "x",
        "side": side,
        "requested": requested,
        "filled": filled,
        "price": price,
        "reason": reason,
        **when,
        **fees,
    }


def a_run(folder: Path, length: int = 120, orders: list[dict[str, Any]] | None = None, **manifest: Any) -> Path:
    """Write a run folder by hand: random returns, one position, the orders given."""
    days, rng = DAYS[:length], np.random.default_rng(5)
    values = 1e6 * np.cumprod(1 + rng.normal(0.0005, 0.01, length))
    perf = {
        "session": days,
        "net_value": values,
        "cash": values * 0.2,
        "gross": np.full(length, 0.8),
        "benchmark_return": rng.normal(0, 0.01, length),
        "flow": np.zeros(length),
    }
    placed = [an_order("filled", 100, 100)] if orders is None else orders
    held = [(day, "600000.SH", 100, 100, 10.0, 10.0) for day in days[1:]]
    folder.mkdir(parents=True)
    pl.DataFrame(perf, schema=PERF).write_parquet(folder / "perf.parquet")
    pl.DataFrame(placed, schema=ORDERS).write_parquet(folder / "orders.parquet")
    pl.DataFrame(held, schema=POSITIONS, orient="row").write_parquet(folder / "positions.parquet")
    paid = [(days[-1], "600000.SH", "dividend", 0, 1234.0), (days[-1], "600000.SH", "dividend_tax", 0, -246.8)]
    pl.DataFrame(paid, schema=ACTIONS, orient="row").write_parquet(folder / "actions.parquet")
    common = {
        "id": folder.name,
        "made": "2026-01-05T10:00:00+08:00",
        "strategy": "mine.py",
        "code_id": "c",
        "data_id": "d",
        "data_label": "",
        "start": days[0].isoformat(),
        "end": days[-1].isoformat(),
        "sessions": length,
        "capital": 1e6,
        "final_net_value": float(values[-1]),
        "fills": sum(order["filled"] > 0 for order in placed),
        "reasons": {"filled": len(placed)},
        "written_down": [],
        "renamed": {},
        "models": [],
        "seed": 0,
        "settings": Settings(home=Path("home")).model_dump(mode="json", exclude={"home"}),
    }
    write_json(folder / "manifest.json", common | manifest)
    return folder


def page_of(folder: Path) -> str:
    return render(folder).read_text("utf-8")


def said(page: str) -> str:
    """Return the text of a page without its tags and plots."""
    without_plots = re.sub(r"<(svg|style).*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", without_plots).split()))


@pytest.mark.parametrize(("strategy", "shown"), [("momentum_dnn.py", True), ("mine.py", False)])
def test_the_design_s_figures_stand_on_the_flagship_s_page_only(tmp_path, strategy, shown):
    text = said(page_of(a_run(tmp_path / "run", strategy=strategy)))
    assert ("the design's figures for its own strategy, 2018 to 2024" in text) is shown
    assert ("28.5 %" in text) is shown
    assert "expected by the design" not in text


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    table = re.search(rf"{heading}</h[23]>.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.DOTALL)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row)] for row in rows]


def test_orders_are_counted_by_how_much_they_traded(tmp_path):
    orders = [
        an_order("filled", 100, 100),
        an_order("lot", 250, 200),
        an_order("lot", 1250, 1200, "sell"),
        an_order("lot", 50, 0),
        an_order("limit_up", 100, 0),
    ]
    page = page_of(a_run(tmp_path / "run", orders=orders))
    assert rows_of(page, "What became of the orders") == [
        ["filled", "", "", "1", "1", "0"],
        ["limit up", "1", "", "", "1", "0"],
        ["lot", "1", "2", "", "2", "1"],
    ]
    assert "usual and no failure" in said(page)


def dates_of(sessions: list[dt.datetime]) -> list[Any]:
    """Return the extents of the dates below a plot, left to right."""
    with plots.style():
        figure = Figure(figsize=(9.6, 2.3))
        axes = figure.subplots()
        plots._date_axis(axes, sessions)
        figure.canvas.draw()
        labels = [label for label in axes.get_xticklabels() if label.get_text()]
    return sorted((label.get_window_extent() for label in labels), key=lambda extent: extent.x0)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 20, 31, 45, 60, 80, 100, 130, 180, 242, 300, 500, 1700, 2500])
def test_dates_stand_apart_whatever_the_length_of_the_run(length):
    days = [dt.datetime.combine(day, dt.time()) for day in ALL[6500 : 6500 + length].tolist()]
    extents = dates_of(days)
    assert 1 <= len(extents) <= 9
    assert all(left.x1 + 8 < right.x0 for left, right in itertools.pairwise(extents))


def plots_of(page: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", page, re.DOTALL)


def test_no_plot_has_words_and_the_page_names_their_lines(tmp_path):
    page = page_of(a_run(tmp_path / "run", length=240))
    written = [text for plot in plots_of(page) for text in re.findall(r"<text[^>]*>(.*?)</text>", plot)]
    assert len(plots_of(page)) == 5
    assert all(re.fullmatch(r"[−\d.%-]+", text) for text in written)
    assert said(page).count("000905.SH") >= 3
    assert "strategy, growth of 1" in said(page)


def test_all_plots_over_time_have_the_same_edges_and_dates(tmp_path):
    drawn = plots_of(page_of(a_run(tmp_path / "run", length=240)))
    edges = {tuple(re.findall(r'id="patch_2">\s*<path d="M ([\d.]+) [\d.]+ *\nL ([\d.]+)', plot)) for plot in drawn}
    ticks = {tuple(re.findall(r"<text[^>]*>(20\d\d(?:-\d\d)?|\d\d-\d\d)</text>", plot)) for plot in drawn}
    assert all(len(edge) == 1 for edge in edges)
    assert len(edges) == len(ticks) == 1


def test_a_script_s_own_style_changes_no_plot(tmp_path):
    before = plots_of(page_of(a_run(tmp_path / "run")))
    with mpl.rc_context({"axes.grid": False, "font.size": 30, "figure.dpi": 300, "lines.linestyle": ":"}):
        assert plots_of(page_of(tmp_path / "run")) == before


@pytest.mark.parametrize(("length", "shown"), [(239, False), (240, True)])
def test_rolling_ratios_wait_for_two_windows(tmp_path, length, shown):
    assert ("Rolling Sharpe ratio" in said(page_of(a_run(tmp_path / "run", length=length)))) is shown


def test_whatever_is_wide_scrolls_by_itself(tmp_path):
    lost = [["2018-02-01", "600000.SH", 100, 1.5, "unknown"]]
    page = page_of(a_run(tmp_path / "run", length=240, written_down=lost))
    body = page[page.index("<body") :]
    inside = len(re.findall(r'<div class="wide">\s*<(?:table|svg)', body))
    assert body.count("<table") + body.count("<svg") == inside >= 15
    assert "minmax(0, 1fr)" in page


def results_of(page: str) -> dict[str, list[str]]:
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows_of(page, "Result")}


@pytest.mark.parametrize(("length", "shown"), [(1, False), (59, False), (60, True)])
def test_a_short_run_has_no_annualised_figures(tmp_path, length, shown):
    page = page_of(a_run(tmp_path / "run", length=length))
    found = results_of(page)
    for name in ("annual return", "annual volatility", "Sharpe ratio", "Sortino ratio"):
        measured, interval, benchmark = found[name]
        assert (measured != "–") is shown
        assert (benchmark != "–") is shown
        assert bool(interval) is (shown and name != "Sortino ratio")
    assert found["total return"][0] != "–"
    assert found["maximum drawdown"][0] != "–"
    assert ("Annualised figures are left out (–) under 60 sessions" in said(page)) is not shown


def test_the_win_rate_says_what_it_is_a_share_of(tmp_path):
    text = said(page_of(a_run(tmp_path / "run")))
    assert "Win rate: share of the 0 closed round trips that made a profit" in text


def test_dividends_and_their_tax_stand_beside_the_fees(tmp_path):
    page = page_of(a_run(tmp_path / "run"))
    assert ["dividend tax", "247"] in [row[:2] for row in rows_of(page, "What the market took")]
    assert "Dividends before tax: 1,234 CNY." in said(page)
