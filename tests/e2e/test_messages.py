"""What the commands say: mistakes in one line with what mends them, results where a user looks for them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.cli.backtest import ScriptFailed
from engine.cli.main import main
from engine.cli.model import InOrder
from tests.conftest import ingest
from tests.markets import Market, days_between, five_sessions

BUYER = """
from zipline.api import order

def initialize(context):
    pass

def handle_data(context, data):
    order(context.asset_finder.retrieve_asset(0), 100)
"""
IDLE = "def initialize(context): pass\ndef handle_data(context, data): pass\n"
RANGE = "-s 2018-03-05 -e 2018-03-09"


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: list[str]
    err: list[str]

    @property
    def error(self) -> str:
        """The one line of a refusal."""
        assert "Traceback" not in "".join(self.err)
        assert self.err[-1].startswith("Error: ")
        return self.err[-1]


Ashare = Callable[..., Said]


@pytest.fixture
def ashare(home: Path, capsys: pytest.CaptureFixture[str]) -> Ashare:
    """Return a function that runs a command line in an empty home."""

    def run(line: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(line.split())
        said = capsys.readouterr()
        return Said(int(end.value.code or 0), said.out.splitlines(), said.err.splitlines())

    return run


@pytest.fixture
def market(ashare: Ashare, tmp_path: Path) -> Ashare:
    """Return the same over five ingested sessions."""
    ingest(five_sessions(), tmp_path / "market")
    return ashare


def script(text: str) -> str:
    Path("mine.py").write_text(text)
    return "mine.py"


def test_a_bundle_that_is_none_of_ours_is_refused_with_those_there_are(ashare):
    said = ashare(f"backtest {script(BUYER)} {RANGE} -b quandl")
    assert said.code == 3
    assert said.error == "Error: 'quandl' is no A-share bundle: there is ashare. Name it with -b."


FAILURES = [
    ("def initialize(context):\n    1 / 0\n", "mine.py line 2, in initialize: ZeroDivisionError: division by zero."),
    (
        "def initialize(context): pass\ndef handle_data(context, data):\n    helper()\ndef helper():\n    [][1]\n",
        "mine.py line 5, in helper: IndexError: list index out of range.",
    ),
    (
        "from zipline.api import symbol\ndef initialize(context): pass\n\n"
        "def handle_data(context, data): symbol('600999.SH')\n",
        "mine.py line 4, in handle_data: the bundle has no symbol 600999.SH.",
    ),
    ("import nothing_of_this_name\n", "mine.py line 1: ModuleNotFoundError: No module named"),
    ("def initialize(context)\n", "mine.py line 1: SyntaxError: expected ':'."),
]


@pytest.mark.parametrize(("text", "says"), FAILURES)
def test_a_script_that_fails_is_named_with_its_line(market, text, says):
    said = market(f"backtest {script(text)} {RANGE}")
    assert said.code == 1
    assert said.error.startswith(f"Error: {says}")


def test_the_traceback_of_a_script_is_there_on_request(market):
    path = script("def initialize(context):\n    1 / 0\n")
    with pytest.raises(ScriptFailed, match=r"mine\.py line 2") as failure:
        main(["--debug", "backtest", path, *RANGE.split()])
    assert isinstance(failure.value.__cause__, ZeroDivisionError)


def test_a_backtest_names_its_folder_once_and_its_page_last(market):
    said = market(f"backtest {script(BUYER)} {RANGE}")
    assert said.code == 0
    (page,) = said.out
    assert Path(page).is_file()
    folder = Path(page).parent
    assert [line for line in said.err if str(folder) in line] == [f"run: {folder}"]
    assert not any("No order" in line for line in said.err)


def test_without_a_tear_sheet_a_backtest_names_its_folder(market, home):
    (home / "ashare.toml").write_text("report.tearsheet = false\n")
    (folder,) = market(f"backtest {script(BUYER)} {RANGE}").out
    assert json.loads((Path(folder) / "manifest.json").read_text())["sessions"] == 5


def test_a_run_that_placed_no_order_says_so_with_the_likely_cause(market):
    said = market(f"backtest {script(IDLE)} {RANGE}")
    assert said.code == 0
    (warning,) = [line for line in said.err if "No order was placed" in line]
    assert warning.startswith("Warning: ")
    assert "the data begin 2018-03-05" in warning
    assert "universe.minimum_sessions" in warning
    assert "No order was placed" in Path(said.out[-1]).read_text("utf-8")


@pytest.mark.parametrize(
    "line",
    [
        "backtest mine.py -s 2018-03-09 -e 2018-03-05",
        "factor export --from 2018-03-09 --to 2018-03-05 --out f.parquet",
        "train --start 2018-03 --end 2018-02",
    ],
)
def test_a_range_that_ends_before_it_begins(ashare, line):
    script(BUYER)
    said = ashare(line)
    assert said.code == 2
    assert "is empty: it ends before it begins. Swap the two." in said.error


@pytest.mark.parametrize(
    "line", ["backtest mine.py -s 5.3.2018 -e 2018-03-09", "factor export --from x --to 2018-03-09 --out f.parquet"]
)
def test_a_bad_date_is_answered_with_our_usage(ashare, line):
    script(BUYER)
    said = ashare(line)
    assert said.code == 2
    assert "is no day; write it YYYY-MM-DD." in said.error
    assert said.err[0].startswith(f"Usage: ashare {line.split()[0]}")


def test_an_export_into_a_folder_that_is_not_there(ashare):
    said = ashare("factor export --from 2018-03-05 --to 2018-03-09 --out nowhere/f.parquet")
    assert said.code == 2
    assert "nowhere/f.parquet cannot be written: there is no folder" in said.error
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(("known", "says"), [(True, 0), (False, 1)])
def test_stocks_without_a_market_cap_are_spoken_of_where_there_are_any(ashare, tmp_path, home, known, says):
    days = days_between("20180305", "20180316")
    market = Market(days)
    for code in ("600000.SH", "600001.SH"):
        market.stock(code).bars(code, [10.0] * len(days))
    if not known:
        market.tables["daily_basic"][-1]["total_mv"] = None
    home.mkdir()
    (home / "ashare.toml").write_text("universe.minimum_sessions = 1\n")
    ingest(market.index([5000.0] * len(days)), tmp_path / "market")
    said = ashare("factor export --from 2018-03-12 --to 2018-03-16 --out f.parquet")
    assert said.code == 0, said.err
    assert len([line for line in said.out if "market cap" in line]) == says
    assert says == 0 or any("left out: 1 row of a stock whose market cap is not known" in line for line in said.out)


def test_a_report_of_nothing(ashare):
    said = ashare("report nothing")
    assert said.code == 3
    assert "nothing is no finished run: it has no manifest.json." in said.error


@pytest.mark.parametrize("folder", ["/proc/x", "/dev/null"])
def test_a_demo_where_no_folder_can_be(ashare, folder):
    said = ashare(f"demo --folder {folder}")
    assert said.code == 2
    assert f"the demo cannot use {folder}" in said.error
    assert "--folder" in said.error


def test_lines_are_said_in_the_order_of_their_keys():
    said: list[str] = []
    lines = InOrder(["a", "b", "c", "d"], said.append)
    for key, so_far in (("b", ""), ("a", "ab"), ("d", "ab"), ("c", "abcd")):
        lines.say(key, key)
        assert "".join(said) == so_far


def test_make_says_that_installing_takes_minutes_before_it_does():
    root = Path(__file__).parents[2]
    planned = subprocess.run(["make", "-n", "-B", "demo"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert planned.index("several minutes") < planned.index("pip install")


def test_rules_before_a_table_begins_are_shown_as_unknown() -> None:
    from click.testing import CliRunner

    from engine.cli.main import ashare

    done = CliRunner().invoke(ashare, ["rules", "600519.SH", "2010-01-04"])
    assert done.exit_code == 0
    assert "no rule, or none known, on that day" in done.output
    assert "since 1996-12-16" in done.output
