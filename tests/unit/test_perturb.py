"""``bundles.perturb``: the past of a copy is the lake's, its future is not, and both pass the lake's own checks."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from bundles.endpoints import ENDPOINTS
from bundles.importer import import_folder
from bundles.lake import KNOWN_AT, Lake
from bundles.perturb import Change, copy_lake
from engine import settings
from engine.cli.main import main
from engine.errors import UsageError
from engine.prove.kinds import Kind
from tests.markets import Market, days_between

PRICED = ("daily", "adj_factor", "daily_basic", "stk_limit", "index_daily")
"""Tables in which a restated row takes the place of the one before."""
DAYS = days_between("20180102", "20180131")
AFTER = dt.date(2018, 1, 15)
UNDATED = ("trade_cal", "stock_basic", "code_changes", "delistings")
"""Tables that are not cut by ``known_at`` alone."""


@pytest.fixture
def lake(demo: Path) -> Lake:
    return Lake(settings.load().lake)


def copied(lake: Lake, folder: Path, change: Change | None, stocks: int | None = None) -> tuple[Lake, dict[str, int]]:
    target = Lake(folder / "copy")
    return target, copy_lake(lake, target, change, stocks)


def rows(lake: Lake, name: str) -> pl.DataFrame:
    return lake.frame(lake.view(), name)


@pytest.mark.parametrize("kind", Kind)
def test_only_the_future_is_another(lake: Lake, tmp_path: Path, kind: Kind) -> None:
    day = dt.date(2018, 10, 15)
    copy, counts = copied(lake, tmp_path, Change(kind, day))
    later, early = pl.col(KNOWN_AT) > day, pl.col(KNOWN_AT) <= day
    for name in (name for name in lake.view().parts if name not in UNDATED):
        before, after = rows(lake, name), rows(copy, name)
        assert after.filter(early).equals(before.filter(early)), name
        kept = before.filter(later).join(after, on=before.columns, how="semi", nulls_equal=True).height
        changed = before.filter(later).height - kept
        if kind != Kind.RESTATED or name in PRICED:
            assert counts.get(name, 0) == changed, name
    assert counts["daily"] > 0.9 * rows(lake, "daily").filter(later).height
    assert counts["income"] > 100
    assert rows(copy, "trade_cal").equals(rows(lake, "trade_cal"))
    assert (rows(copy, "daily").filter(later).height == 0) == (kind == Kind.DROPPED)


@pytest.mark.parametrize("kind", Kind)
def test_what_is_made_passes_the_checks_of_the_lake(lake: Lake, tmp_path: Path, kind: Kind) -> None:
    copy, _ = copied(lake, tmp_path, Change(kind, dt.date(2018, 10, 15)))
    for name in copy.view().parts:
        endpoint, found = ENDPOINTS[name], rows(copy, name)
        _, failure = endpoint.schema.filter(found.drop(KNOWN_AT))
        assert not failure.counts(), name
        key = [*endpoint.key, KNOWN_AT] if endpoint.keeps_versions else list(endpoint.key)
        assert not found.select(key).is_duplicated().any(), name
    copy.verify(copy.view())


def test_a_report_is_restated_after_the_day_only(lake: Lake, tmp_path: Path) -> None:
    """Under a date of its own, or under the original's, known when it came in."""
    day = dt.date(2018, 10, 15)
    copy, counts = copied(lake, tmp_path, Change(Kind.RESTATED, day))
    before = rows(lake, "income")
    new = rows(copy, "income").join(before, on=before.columns, how="anti", nulls_equal=True)
    assert before.filter(pl.col(KNOWN_AT) <= day).height >= new.height == counts["income"] > 300
    assert set(new[KNOWN_AT]) == {dt.date(2018, 10, 16), lake.view().fetched_at}
    dated = new["f_ann_date"] == dt.date(2018, 10, 16)
    assert 0.3 < dated.mean() < 0.7


def test_a_copy_without_a_change_is_the_lake(lake: Lake, tmp_path: Path) -> None:
    copy, counts = copied(lake, tmp_path, None)
    assert not any(counts.values())
    for name in lake.view().parts:
        assert rows(copy, name).equals(rows(lake, name)), name
    assert copy.view().as_known_at == lake.view().as_known_at


def test_the_same_seed_makes_the_same_future(lake: Lake, tmp_path: Path) -> None:
    ids = []
    for number, seed in enumerate((0, 0, 1)):
        copy, _ = copied(lake, tmp_path / str(number), Change(Kind.SCALED, AFTER, seed))
        ids.append(copy.view().data_id)
    assert ids[0] == ids[1] != ids[2]


def test_some_stocks_are_drawn(lake: Lake, tmp_path: Path) -> None:
    copy, _ = copied(lake, tmp_path, Change(Kind.SWAPPED, AFTER), stocks=7)
    assert rows(copy, "stock_basic").height == rows(copy, "daily")["ts_code"].n_unique() == 7
    assert rows(copy, "index_daily").height == rows(lake, "index_daily").height


# facts of later in rows of before


def small(home: Path, tmp_path: Path) -> Lake:
    """Return a lake with a stock that stays, one that leaves later, one that has left, and one that comes later."""
    market = Market(DAYS).index([5000.0] * len(DAYS))
    for code, listed, gone in (
        ("600001.SH", "20000104", ""),
        ("600002.SH", "20000104", "20180125"),
        ("600003.SH", "20000104", "20180110"),
        ("600004.SH", "20180117", ""),
    ):
        market.stock(code, name=f"名{code[5]}", listed=listed, delisted=gone)
        for day in DAYS:
            if listed <= day and (not gone or day < gone):
                market.bar(code, day, 10.0)
    lake = Lake(settings.load().lake)
    import_folder(market.write(tmp_path / "market"), lake, dt.date(2018, 3, 1), "six_months")
    return lake


def facts(lake: Lake) -> dict[str, tuple[str | None, str, dt.date | None]]:
    known = rows(lake, "stock_basic").select("ts_code", "name", "list_status", "delist_date")
    return {code[5]: (name, status, gone) for code, name, status, gone in known.iter_rows()}


@pytest.mark.parametrize("kind", [Kind.DROPPED, Kind.NULLED])
def test_what_is_not_known_yet_is_blank(home: Path, tmp_path: Path, kind: Kind) -> None:
    copy, _ = copied(small(home, tmp_path), tmp_path, Change(kind, AFTER))
    listed = (None, "L", None)
    there = {"1": listed, "2": listed, "3": (None, "D", dt.date(2018, 1, 10))}
    assert facts(copy) == (there if kind == Kind.DROPPED else there | {"4": listed})


def test_facts_of_today_go_to_another_stock(home: Path, tmp_path: Path) -> None:
    copy, _ = copied(small(home, tmp_path), tmp_path, Change(Kind.SWAPPED, AFTER))
    found = facts(copy)
    assert found["3"][2] == dt.date(2018, 1, 10)  # of before the day: it stays
    later = [code for code, (_, _, gone) in found.items() if gone == dt.date(2018, 1, 25)]
    assert later in (["1"], ["3"], [])  # whose ring it is in depends on chance, but never its own
    assert {name for name, _, _ in found.values()} == {"名1", "名2", "名3", "名4"}
    assert all(found[code][0] != f"名{code}" for code in "123")


@pytest.mark.parametrize("seed", range(4))
def test_an_invented_delisting_comes_after_the_day(home: Path, tmp_path: Path, seed: int) -> None:
    copy, _ = copied(small(home, tmp_path), tmp_path, Change(Kind.SCALED, AFTER, seed))
    found = facts(copy)
    assert found["3"] == ("*ST名3", "D", dt.date(2018, 1, 10))
    assert all(gone is None or gone > AFTER for code, (_, _, gone) in found.items() if code != "3")
    assert found["2"][2] != dt.date(2018, 1, 25)


def test_a_later_change_of_code_is_undone_where_rows_are_dropped(home: Path, tmp_path: Path) -> None:
    """The vendor's list has the new code only; before the change nobody knew it."""
    market = Market(DAYS).index([5000.0] * len(DAYS)).stock("600002.SH")
    for day in DAYS:
        market.bar("600001.SH" if day < "20180122" else "600002.SH", day, 10.0)
    folder = market.write(tmp_path / "market")
    (folder / "code_changes").mkdir()
    (folder / "code_changes" / "x.csv").write_text("old,new,date\n600001.SH,600002.SH,20180122\n")
    lake = Lake(settings.load().lake)
    import_folder(folder, lake, dt.date(2018, 3, 1), "six_months")
    copy, counts = copied(lake, tmp_path, Change(Kind.DROPPED, AFTER))
    assert rows(copy, "stock_basic")["ts_code"].to_list() == ["600001.SH"]
    assert counts["code_changes"] == 1
    other, _ = copied(lake, tmp_path / "other", Change(Kind.SCALED, AFTER))
    assert rows(other, "stock_basic")["ts_code"].to_list() == ["600002.SH"]
    assert rows(other, "code_changes").height == 1


# refusals


@pytest.mark.usefixtures("demo")
def test_a_day_with_nothing_after_it_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no bar after 2019-12-31"):
        copied(lake, tmp_path, Change(Kind.DROPPED, dt.date(2019, 12, 31)))


def test_a_folder_with_something_in_it_is_refused(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        copied(lake, tmp_path, None)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["mine"]


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--after", "2018-10-15"], 2), (["--kind", "scaled"], 2), (["--kind", "burnt"], 2), ([], 0)],
)
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "perturb", str(tmp_path / "copy"), *arguments])
    assert ended.value.code == code
    assert (tmp_path / "copy").exists() == (code == 0)
    assert "Traceback" not in capsys.readouterr().err
