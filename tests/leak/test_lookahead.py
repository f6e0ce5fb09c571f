"""``ashare prove lookahead``: it holds for the product, and it catches ten ways to look ahead.

Each leak is planted by replacing one function of the product; the proof must fail, and name what the leak is in.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from zipline.pipeline import Pipeline

import bundles.build
import bundles.reports
import engine.model.months
import engine.model.samples
import engine.pipeline.export
from bundles.importer import import_folder
from bundles.lake import Lake
from engine import settings
from engine.cli.backtest import run
from engine.cli.main import main
from engine.cli.prove import perturb_command, require_equal
from engine.errors import LookAhead, ProofFailed
from engine.host.registration import install
from engine.panels.bundle import open_bundle
from engine.pipeline import kernels, loader
from engine.pipeline.factors import BollingerPosition, Standardised, raw_factors
from engine.pipeline.loader import Window
from engine.pipeline.research import PanelEngine
from engine.prove.exhibits import Exhibit, Look, differences, first_difference
from engine.prove.kinds import Evidence, Kind
from engine.prove.lookahead import Cell, Lookahead, chosen_days
from tests.markets import Market, days_between

STRATEGIES = Path(__file__).parents[2] / "strategies"
DAY = dt.date(2018, 10, 15)
"""A Monday in the season of reports: periods that have ended are announced after it."""
MONTH_END = dt.date(2019, 9, 30)
"""The model of October knows all that is known on it."""
QUICK = Look(models=False, sessions=40)


@pytest.fixture
def scratch(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where temporary folders are made; the home in force is one over the small demo market."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def cells(look: Look, *kinds: Kind, day: dt.date = DAY) -> list[Cell]:
    """Run the proof on one day, as the command does."""
    with Lookahead(perturb_command(None, 0), run, epochs=1) as proof:
        return list(proof.cells([day], kinds, look))


# the product


def test_the_product_does_not_look_ahead(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two days, one the last of its month, all kinds, all evidence; and the folders are gone."""
    with pytest.raises(SystemExit) as ended:
        main(["prove", "lookahead", "--dates", "2019-09-02,2019-09-30", "--json"])
    proof = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert [(cell["kind"], cell["differences"]) for cell in proof["cells"]] == [(str(kind), []) for kind in Kind] * 2
    for cell in proof["cells"]:
        assert cell["rows_changed"] > 3_000
        assert all(cell["compared"][evidence] > 0 for evidence in Evidence), cell
        assert cell["compared"]["z-scores"] > 9 * 10_000
        assert cell["compared"]["scores"] > 1_000
        assert cell["compared"]["orders"] > 200
    assert list(scratch.glob("ashare-prove-*")) == []


@pytest.mark.slow
def test_the_product_does_not_look_ahead_at_five_days(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prove", "lookahead"])
    *table, total = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert sum(line.endswith("  equal") for line in table) == 25
    assert total.startswith("5 days x 5 kinds: ")


@pytest.mark.slow
@pytest.mark.real
def test_the_product_does_not_look_ahead_on_real_data(
    real_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prove", "lookahead"])
    print(shown := capsys.readouterr().out)
    assert ended.value.code == 0
    assert shown.count("  equal\n") == 25


# ten leaks


def close_of_tomorrow(patch: pytest.MonkeyPatch) -> None:
    """A factor is computed from the next session's close."""
    patch.setitem(
        loader._COMPUTED, "adj_close", lambda w: _tomorrow(w, lambda w: w.price("last_close") * w.panel("adj_factor"))
    )


def _tomorrow(window: Window, read: Callable[[Window], Any]) -> Any:
    """Return the rows of a window a session later; the last session of the bundle twice."""
    end = len(window.panels.days) - 1
    ahead = read(Window(window.panels, window.first + 1, min(window.last + 1, end), window.sids))
    return ahead if window.last < end else np.concatenate([ahead, ahead[-1:]])


def report_by_period(patch: pytest.MonkeyPatch) -> None:
    """A report counts from the end of its period, not from its announcement."""
    announced = bundles.reports.announced
    early = pl.col("end_date").dt.offset_by("1d").alias("known_at")
    patch.setattr(bundles.reports, "announced", lambda table, items: announced(table.with_columns(early), items))


def name_of_today(patch: pytest.MonkeyPatch) -> None:
    """Special treatment goes by a stock's newest name, on all days."""
    add_named = bundles.build._add_named

    def newest(status: Any, market: Any) -> None:
        bits = np.zeros_like(status)
        add_named(bits, market)
        status |= bits[-1]

    patch.setattr(bundles.build, "_add_named", newest)


def scaler_of_all_days(patch: pytest.MonkeyPatch) -> None:
    """The z-scores use one mean and deviation, fitted on every session of the bundle."""

    class Fitted(Standardised):
        params = {"centre": 0.0, "width": 1.0}

        def _compute(self, windows: Any, dates: Any, assets: Any, mask: Any) -> Any:
            scores = (np.asarray(windows[0].data)[-len(dates) :] - self.params["centre"]) / self.params["width"]
            return np.where(mask, np.nan_to_num(scores), np.nan)

    def fitted(factors: Any, members: Any) -> dict[str, Any]:
        bundle, raw = open_bundle(), raw_factors(factors)
        sessions = bundle.panels.sessions
        every = PanelEngine(bundle).run_pipeline(Pipeline(raw, screen=members), sessions[250], sessions[-1])
        seen = {name: every.columns[name][every.screen] for name in raw}
        return {
            name: Fitted(inputs=(term,), mask=members, centre=np.nanmean(seen[name]), width=np.nanstd(seen[name]))
            for name, term in raw.items()
        }

    patch.setattr(engine.pipeline.export, "standardised_factors", fitted)


def overlapping_labels(patch: pytest.MonkeyPatch) -> None:
    """A label counts as known on the session after its decision, and the samples' own dates are not asked."""
    patch.setattr(engine.model.months, "lag", lambda labels: 1)
    patch.setattr(engine.model.samples, "_require_known", lambda *whatever: None)


def size_of_today(patch: pytest.MonkeyPatch) -> None:
    """The universe is those stocks that have the wanted size today, as a list of today's index members would."""
    load = loader.load_column

    def newest(window: Window, column: Any) -> Any:
        values = load(window, column)
        if column.name == "total_mv":
            values = np.tile(window.panels.field("total_mv")[-1, window.sids], (len(values), 1))
        return values

    patch.setattr(loader, "load_column", newest)


def forward_adjusted(patch: pytest.MonkeyPatch) -> None:
    """Prices are adjusted to the last factor there is: a return is the same but for its last bits."""

    def adjusted(window: Window) -> Any:
        factors = window.panel("adj_factor") / window.panels.field("adj_factor")[-1, window.sids]
        return window.price("last_close") * factors

    patch.setitem(loader._COMPUTED, "adj_close", adjusted)


def limit_of_tomorrow(patch: pytest.MonkeyPatch) -> None:
    """Names that will close at their limit on the next session are dropped."""
    patch.setitem(loader._COMPUTED, "at_limit", lambda w: _tomorrow(w, Window.at_limit))


def centred_window(patch: pytest.MonkeyPatch) -> None:
    """The band lies around the session, as far as the chunk of sessions goes, and not before it."""

    def panel(self: BollingerPosition, prices: Any) -> Any:
        ahead = np.concatenate([prices[10:], np.repeat(prices[-1:], 10, axis=0)])
        return kernels.bollinger(ahead, self.window_length, self.deviations)[1]

    patch.setattr(BollingerPosition, "panel", panel)


def restated_for_all_days(patch: pytest.MonkeyPatch) -> None:
    """A report has the values of its newest version from the beginning."""
    announced = bundles.reports.announced

    def newest(table: pl.DataFrame, items: tuple[str, ...]) -> pl.DataFrame:
        found = announced(table, items)
        last = [pl.col(name).sort_by("known_at").last().over("sid", "end_date") for name in items]
        return found.with_columns(last)

    patch.setattr(bundles.reports, "announced", newest)


MOMENTUM = Look((STRATEGIES / "momentum.py",), models=False, sessions=40)
MODELS = Look(models=True, sessions=40)
LEAKS = [
    (close_of_tomorrow, Kind.DROPPED, QUICK, DAY, Evidence.FACTORS),
    (report_by_period, Kind.SCALED, QUICK, DAY, Evidence.FACTORS),
    (name_of_today, Kind.SCALED, QUICK, DAY, Evidence.UNIVERSE),
    (scaler_of_all_days, Kind.SCALED, QUICK, DAY, Evidence.ZSCORES),
    (overlapping_labels, Kind.SWAPPED, MODELS, MONTH_END, Evidence.MODELS),
    (size_of_today, Kind.NULLED, QUICK, DAY, Evidence.UNIVERSE),
    (forward_adjusted, Kind.RESTATED, QUICK, DAY, Evidence.FACTORS),
    (limit_of_tomorrow, Kind.SCALED, MOMENTUM, DAY, Evidence.ORDERS),
    (centred_window, Kind.SWAPPED, QUICK, DAY, Evidence.FACTORS),
    (restated_for_all_days, Kind.RESTATED, QUICK, DAY, Evidence.FACTORS),
]


@pytest.mark.usefixtures("scratch")
def test_a_label_that_overlaps_cannot_even_be_given_to_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.model.months, "lag", lambda labels: 1)
    with pytest.raises(LookAhead, match="the training samples cannot be used"):
        cells(MODELS, Kind.SWAPPED, day=MONTH_END)


@pytest.mark.parametrize(("plant", "kind", "look", "day", "evidence"), LEAKS, ids=[leak[0].__name__ for leak in LEAKS])
@pytest.mark.usefixtures("scratch")
def test_a_leak_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None],
    kind: Kind,
    look: Look,
    day: dt.date,
    evidence: Evidence,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    (cell,) = cells(look, kind, day=day)
    assert cell.first is not None
    assert cell.first.evidence == evidence, cell.differences
    with pytest.raises(ProofFailed, match=f"{day} depends on what came later .{kind}.: {evidence}: "):
        require_equal([cell])


def test_without_the_leaks_the_proof_of_that_day_holds(scratch: Path) -> None:
    """So it is the leak that each of them finds; the other day is among those above."""
    assert [cell.differences for cell in cells(MOMENTUM, *Kind)] == [()] * 5
    assert list(scratch.glob("ashare-prove-*")) == []


# the command


def test_a_failed_proof_exits_with_4_and_leaves_nothing(
    scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    centred_window(monkeypatch)
    before = dict(os.environ)
    line = f"prove lookahead --dates {DAY} --kinds dropped --no-models --strategy {STRATEGIES / 'momentum.py'}"
    with pytest.raises(SystemExit) as ended:
        main([*line.split(), "--sessions", "30", "--stocks", "40"])
    said, complaint = capsys.readouterr()
    assert ended.value.code == 4
    assert said.splitlines()[1].endswith("  factors, z-scores")
    assert "models: there was nothing to compare" in said
    assert f"what is known on {DAY} depends on what came later (dropped): factors: factor, " in complaint
    assert " boll_position of 2018" in complaint
    assert dict(os.environ) == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--dates", "2018-10-14"], 3, "nothing can be proved of 2018-10-14: it is no session from 2017-01-03"),
        (["--dates", "2019-12-31"], 3, "nothing can be proved of 2019-12-31"),
        (["--count", "1000"], 3, "1000 days cannot be chosen"),
        (["--dates", "soon"], 2, "'soon'"),
        (["--kinds", "burnt"], 2, "'burnt' is not one of"),
        (["--dates", "2017-03-01", "--no-models", "--kinds", "dropped"], 3, "nothing was proved"),
    ],
)
def test_what_cannot_be_proved_is_refused_in_one_line(
    scratch: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prove", "lookahead", *arguments])
    complaint = capsys.readouterr().err
    assert ended.value.code == code
    assert said in complaint
    assert "Traceback" not in complaint
    assert list(scratch.glob("ashare-prove-*")) == []


def test_days_are_spread_and_every_second_ends_its_month(demo: Path) -> None:
    install()
    bundle, values = open_bundle(), settings.load()
    days = chosen_days(bundle, values, 4, 0)
    assert days == tuple(sorted(set(days)))
    assert days != chosen_days(bundle, values, 4, 1)
    known = [day.item() for day in bundle.panels.days]
    following = [known[known.index(day) + 1] for day in days]
    assert [day.month != after.month for day, after in zip(days, following, strict=True)][1::2] == [True, True]
    assert "2019-05-01" < str(days[0]) < str(days[-1]) < "2019-12-31"


# the comparison


def exhibit(values: list[Any], codes: str = "abc") -> Exhibit:
    rows = pl.DataFrame({"code": list(codes[: len(values)]), "value": values}, schema_overrides={"value": pl.Float64})
    return Exhibit(Evidence.FACTORS, "factor", ("code",), rows)


def test_equal_to_the_bit_is_equal() -> None:
    nan = float("nan")
    assert first_difference(exhibit([0.1, nan, None]), exhibit([0.1, nan, None])) is None
    assert exhibit([0.1, nan, None]).values == 3


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            exhibit([0.0, np.nextafter(2.0, 3.0), 4.0]),
            "factor value of b is 2.0, with another future 2.0000000000000004",
        ),
        (exhibit([-0.0, 2.0, 3.0]), "factor value of a is 0.0, with another future -0.0"),
        (exhibit([0.0, float("nan"), 3.0]), "factor value of b is 2.0, with another future nan"),
        (exhibit([0.0, 2.0]), "factor of row 3 is c, with another future not there"),
        (exhibit([0.0, 2.0, 3.0, 4.0], "abcd"), "factor of row 4 is not there, with another future d"),
        (exhibit([0.0, 9.0, 3.0], "acb"), "factor of row 2 is b, with another future c"),
    ],
)
def test_the_first_difference_is_named(other: Exhibit, said: str) -> None:
    truth = exhibit([0.0, 2.0, 3.0])
    assert str(first_difference(truth, other)) == said


def test_an_exhibit_that_one_side_lacks_differs() -> None:
    one = exhibit([1.0])
    assert [found.changed for found in differences([one], [])] == ["not there"]
    assert [found.changed for found in differences([], [one])] == ["there"]


# what the proof has found


def test_a_later_change_of_code_moves_no_stock(home: Path, tmp_path: Path) -> None:
    """Assets were numbered by the code of today: after a change of code the z-scores had other last bits before it."""
    days = days_between("20180102", "20180330")
    market = Market(days).index([5000.0] * len(days))
    prices = np.random.default_rng(5).uniform(5, 50, (len(days), 9)).round(2)
    for number in range(9):
        code, listed = f"60000{number}.SH", f"2000010{number + 1}"
        market.stock(code, listed=listed)
        for day, close in zip(days, prices[:, number], strict=True):
            renamed = number == 4 and day >= "20180315"
            market.bar("605000.SH" if renamed else code, day, float(close), total_mv=1_000_000.0)
    market.stock("605000.SH", listed="20180315")
    folder = market.write(tmp_path / "market")
    (folder / "code_changes").mkdir()
    (folder / "code_changes" / "x.csv").write_text("old,new,date\n600004.SH,605000.SH,20180315\n")
    home.mkdir()
    (home / "ashare.toml").write_text("universe.minimum_sessions = 1\ndata.coverage = 0\n")
    import_folder(folder, Lake(settings.load().lake), dt.date(2018, 5, 1), "six_months")
    look = Look((STRATEGIES / "equal_weight.py", STRATEGIES / "momentum.py"), models=False)
    found = cells(look, Kind.DROPPED, Kind.SCALED, day=dt.date(2018, 3, 9))
    assert [cell.differences for cell in found] == [(), ()]
    assert found[0].compared[Evidence.UNIVERSE] > 300
