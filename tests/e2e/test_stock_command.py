"""The stock ``zipline`` command and ``ashare`` as a user types them, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.markets import five_sessions

BIN = Path(sys.executable).parent
SCRIPT = """
from zipline.api import order

def initialize(context):
    pass

def handle_data(context, data):
    order(context.asset_finder.retrieve_asset(0), 100)
"""


class Shell:
    """Runs commands in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ASHARE_")}
        self.environment = {**clean, "ASHARE_HOME": str(folder / "home"), "ZIPLINE_ROOT": str(folder / "zipline")}

    def __call__(self, command: str) -> subprocess.CompletedProcess[str]:
        program, *words = command.split()
        return subprocess.run(
            [str(BIN / program), *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Return a shell in whose home five sessions were imported and ingested."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    five_sessions().write(shell.folder / "market")
    (shell.folder / "script.py").write_text(SCRIPT)
    for command in ("ashare init", "ashare data import market", "zipline ingest -b ashare"):
        done = shell(command)
        assert done.returncode == 0, done.stderr
    return shell


RUN = "zipline run -f script.py -b ashare -o perf.pickle"


def test_a_run_through_the_stock_command(shell):
    done = shell(f"{RUN} --trading-calendar XSHG -s 2018-03-05 -e 2018-03-09")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stderr.rsplit("run: ", 1)[1].splitlines()[0])
    assert folder.parent == shell.folder / "home" / "runs"
    assert sorted(path.name for path in folder.iterdir()) == [
        "actions.parquet",
        "manifest.json",
        "orders.parquet",
        "perf.parquet",
        "positions.parquet",
        "script.py",
        "tearsheet.html",
    ]
    assert (shell.folder / "perf.pickle").exists()
    assert shell(f"ashare report {folder}").returncode == 0


def test_ashare_backtest_is_the_same_run(shell):
    import polars as pl

    stock = (
        shell(f"{RUN} --trading-calendar XSHG -s 2018-03-05 -e 2018-03-09").stderr.rsplit("run: ", 1)[1].splitlines()[0]
    )
    done = shell("ashare backtest script.py -s 2018-03-05 -e 2018-03-09")
    assert done.returncode == 0, done.stderr
    (page,) = done.stdout.splitlines()
    own = Path(page).parent
    for name in ("perf", "orders", "positions"):
        assert pl.read_parquet(own / f"{name}.parquet").equals(pl.read_parquet(Path(stock) / f"{name}.parquet"))


def test_the_stock_command_takes_an_old_view(shell):
    built = shell("ashare data build --as-known-at 2018-03-07")
    assert built.returncode == 0, built.stderr
    use = built.stdout.split("--bundle-timestamp ")[1].split()[0]
    days = "--trading-calendar XSHG -s 2018-03-05 -e 2018-03-09"
    old, newest = shell(f"{RUN} --bundle-timestamp {use} {days}"), shell(f"{RUN} {days}")
    assert "it holds the sessions 2018-03-05 to 2018-03-07" in old.stderr
    assert newest.returncode == 0, newest.stderr
    done = shell(f"{RUN} --bundle-timestamp 2018-03-08 {days.replace('03-09', '03-07')}")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stderr.rsplit("run: ", 1)[1].splitlines()[0])
    assert "-asof-20180307-" in (folder / "manifest.json").read_text()


MISTAKES = [
    ("ashare data build --as-known-at 2999-01-04", 2, "Leave --as-known-at out."),
    ("ashare data build --as-known-at 2018-03-02", 3, "no bar of an A share known by 2018-03-02"),
    # command, exit code, what the one line says
    (f"{RUN} -s 2018-03-05 -e 2018-03-09", 2, "Add --trading-calendar XSHG."),
    (f"{RUN} --trading-calendar XSHG -s 2018-03-05 -e 2019-03-09", 3, "it holds the sessions 2018-03-05 to 2018-03-09"),
    (f"{RUN} --trading-calendar XSHG -s 2035-03-05 -e 2035-03-09", 3, "outside the calendar"),
    (f"{RUN} --trading-calendar XSHG -s 1970-03-05 -e 2018-03-09", 3, "outside the calendar"),
    (f"{RUN} --trading-calendar XSHG -s 2018-03-10 -e 2018-03-11", 1, "no trading days"),
    (f"{RUN} --trading-calendar XSHG --data-frequency minute -s 2018-03-05 -e 2018-03-09", 2, "daily bars"),
    ("ashare data import nowhere", 3, "Give a folder with one sub-folder an endpoint."),
    ("ashare train --start 2018-04 --end 2018-04", 3, "there is nothing to learn from"),
    ("ashare train --start 2018-4 --end 2018-04", 2, "a month is written YYYY-MM"),
    ("ashare factor export --from 2017-01-01 --to 2018-03-09 --out f.parquet", 3, "leaves the bundle"),
    ("ashare factor export --from x --to 2018-03-09 --out f.parquet", 2, "write it YYYY-MM-DD"),
    ("ashare factor export --from 2018-03-05 --to 2018-03-09 --out f.parquet", 3, "the universe is empty"),
    (
        "ashare factor export --from 2018-03-05 --to 2018-03-09 --out f.parquet -b other",
        3,
        "no data for bundle 'other'",
    ),
    ("ashare factor ic --from 2017-01-01 --to 2018-03-09", 3, "leaves the bundle"),
    ("ashare factor ic --from 2018-03-09 --to 2018-03-05", 2, "Swap the two."),
    ("ashare factor ic --from 2018-03-05 --to 2018-03-09 --horizons 0", 2, "are no horizons; write sessions from 1"),
    ("ashare factor ic --from 2018-03-05 --to 2018-03-09 --horizons 1,x", 2, "'1,x' are no horizons"),
    ("ashare factor ic --from 2018-03-05 --to 2018-03-09 --quantiles 1", 2, "is not in the range 2<=x<=100"),
    ("ashare factor ic --from 2018-03-05 --to 2018-03-09 --horizons 4", 3, "there is no return after 2018-03-05 yet"),
    ("ashare factor ic --from 2018-03-08 --to 2018-03-09", 3, "there is no return after 2018-03-08 yet"),
    ("ashare factor ic --from 2018-03-05 --to 2018-03-09 --out f.parquet", 3, "the universe is empty"),
    ("ashare factor ic --from 2018-03-05 --to 2018-03-09 --out nowhere/f.parquet", 2, "there is no folder"),
    ("ashare report nowhere", 3, "is no finished run"),
    ("ashare backtest nowhere.py -s 2018-03-05 -e 2018-03-09", 2, "does not exist"),
]


@pytest.mark.parametrize(("command", "code", "says"), MISTAKES)
def test_mistakes_are_answered_in_one_line(shell, command, code, says):
    done = shell(command)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    assert says in line
    assert not (shell.folder / "f.parquet").exists()


def test_a_home_without_data(tmp_path):
    shell = Shell(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    assert shell("ashare init").returncode == 0
    for command, says in (
        ("zipline ingest -b ashare", "Run `ashare data import DIR`."),
        (f"{RUN} --trading-calendar XSHG -s 2018-03-05 -e 2018-03-09", "Run `zipline ingest -b ashare`"),
        ("ashare data status", "Run `ashare data import DIR`."),
        ("ashare data verify", "Run `ashare data import DIR`."),
        ("ashare report", "Run `ashare backtest"),
    ):
        done = shell(command)
        assert done.returncode == 3, done.stderr
        assert says in done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()
    assert [path.name for path in (tmp_path / "zipline" / "data" / "ashare").glob("[0-9]*")] == []


def test_an_impossible_environment_is_answered_in_one_line(shell, monkeypatch):
    for name, value in (("ASHARE_EXECUTION", "foo"), ("ASHARE_EXECUTOIN__FILL", "open")):
        with monkeypatch.context() as patch:
            patch.setitem(shell.environment, name, value)
            for command in (f"{RUN} --trading-calendar XSHG -s 2018-03-05 -e 2018-03-09", "ashare data status"):
                done = shell(command)
                assert done.returncode == 2, done.stderr
                assert "Traceback" not in done.stderr
                assert done.stderr.strip().splitlines()[-1].startswith("Error: ")


def test_init_keeps_what_the_user_wrote(tmp_path):
    shell = Shell(tmp_path)
    (tmp_path / "zipline").mkdir()
    (tmp_path / "zipline" / "extension.py").write_text("x = 1")
    for _ in range(2):
        assert shell("ashare init").returncode == 0
    assert (tmp_path / "zipline" / "extension.py").read_text() == "x = 1\nimport engine.extension\n"


def test_other_bundles_keep_zipline_s_own_parts(shell):
    """A bundle of another exchange in the same zipline root runs as if we were not there."""
    extension = shell.folder / "zipline" / "extension.py"
    ours = extension.read_text()
    (shell.folder / "csv" / "daily").mkdir(parents=True)
    lines = ["date,open,high,low,close,volume,dividend,split"]
    lines += [f"2018-03-{day:02d},10,10,10,10,1000,0,1" for day in range(5, 10)]
    (shell.folder / "csv" / "daily" / "ABC.csv").write_text("\n".join(lines))
    extension.write_text(
        ours
        + "from zipline.data.bundles import register\nfrom zipline.data.bundles.csvdir import csvdir_equities\n"
        + f"register('abc', csvdir_equities(['daily'], {str(shell.folder / 'csv')!r}), calendar_name='XNYS')\n"
    )
    try:
        assert shell("zipline ingest -b abc").returncode == 0
        done = shell("zipline run -f script.py -b abc --no-benchmark -s 2018-03-05 -e 2018-03-09 -o abc.pickle")
        assert done.returncode == 0, done.stderr
        assert "run: " not in done.stderr
    finally:
        extension.write_text(ours)


def test_help_names_every_command(shell):
    done = shell("ashare --help")
    assert done.returncode == 0
    for command in ("backtest", "data", "demo", "factor", "init", "models", "report", "train"):
        assert f"  {command} " in done.stdout
        assert shell(f"ashare {command} --help").returncode == 0


def test_without_a_bundle_named_ours_is_named(shell):
    done = shell("zipline run -f script.py --trading-calendar XSHG -s 2018-03-05 -e 2018-03-09 --no-benchmark")
    assert done.returncode == 3, done.stderr
    assert "Ours is ashare: add -b." in done.stderr
    assert "Traceback" not in done.stderr
