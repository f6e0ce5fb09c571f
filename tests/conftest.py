"""A home of their own for tests, and a hand-made market turned into a bundle in it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import settings as hypothesis_settings

from bundles.importer import import_folder
from bundles.lake import Lake
from engine import settings
from tests.markets import Market

hypothesis_settings.register_profile("unhurried", deadline=None)  # how long an example takes is the machine's affair
hypothesis_settings.load_profile("unhurried")

if TYPE_CHECKING:
    from engine.panels.bundle import Bundle

os.environ["LC_ALL"] = "C.UTF-8"  # what commands say is compared in English, on whatever machine
FETCHED = dt.date(2027, 1, 4)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty ASHARE_HOME; ZIPLINE_ROOT and the working folder are empty too."""
    for name in [name for name in os.environ if name.startswith("ASHARE_") and name != "ASHARE_REALDATA"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ASHARE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZIPLINE_ROOT", str(tmp_path / "zipline"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path / "home"


@pytest.fixture
def holes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a bundle be built from a market with holes: the test is about what comes after."""
    monkeypatch.setenv("ASHARE_DATA__COVERAGE", "0")


def ingest(market: Market, folder: Path) -> None:
    """Import a market into the lake of the home in force and ingest it."""
    from zipline.data import bundles

    import engine.extension  # noqa: F401

    import_folder(market.write(folder), Lake(settings.load().lake), FETCHED, "six_months")
    bundles.ingest("ashare", os.environ, show_progress=False)


class Run:
    """A finished run: its folder and frames."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.perf, self.orders, self.positions = (
            pl.read_parquet(folder / f"{name}.parquet") for name in ("perf", "orders", "positions")
        )

    @property
    def net_values(self) -> list[float]:
        return self.perf["net_value"].to_list()


@pytest.fixture
def backtest(home: Path, tmp_path: Path) -> Callable[..., Run]:
    """Return a function that ingests a market and runs a script over it through zipline's own command."""

    def run(
        market: Market | None, script: str, start: str = "", end: str = "", capital: float = 1e6, toml: str = ""
    ) -> Run:
        from engine.cli.backtest import run as run_script

        home.mkdir(exist_ok=True)
        (home / "ashare.toml").write_text(f"report.tearsheet = false\n{toml}", "utf-8")
        if market is not None:
            ingest(market, tmp_path / "market")
            start, end = start or market.days[0], end or market.days[-1]
        path = tmp_path / "script.py"
        path.write_text(script, "utf-8")
        return Run(run_script(path, start, end, capital=capital))

    return run


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a small demo market in lake and bundle, made once; tests must not change it."""
    import subprocess
    import sys

    from bundles.demo.market import Spec, write_market

    home = tmp_path_factory.mktemp("demo")
    write_market(Spec(stocks=60, first="2017-01-03", last="2019-12-31"), home / "market")
    (home / "ashare.toml").write_text(DEMO_SETTINGS, "utf-8")
    environment = {**os.environ, "ASHARE_HOME": str(home), "ZIPLINE_ROOT": str(home / "zipline")}
    python = Path(sys.executable)
    for command in (
        [python.with_name("ashare"), "init"],
        [python.with_name("ashare"), "data", "import", home / "market", "--label", "synthetic"],
        [python.with_name("zipline"), "ingest", "-b", "ashare", "--no-show-progress"],
    ):
        subprocess.run([str(word) for word in command], env=environment, cwd=home, check=True, capture_output=True)
    return home


DEMO_SETTINGS = """
[model]
train_years = 1
minimum_years = 1
validation_months = 3
epochs = 2
[selection]
fraction = 0.2
"""


@pytest.fixture(scope="session")
def demo_samples(demo_home: Path) -> tuple[Bundle, settings.Settings, Path]:
    """Return bundle, settings and folder of samples of the small demo market; the samples are made once."""
    from engine.host.registration import install
    from engine.model.samples import build_samples
    from engine.panels.bundle import open_bundle

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASHARE_HOME", str(demo_home))
        patch.setenv("ZIPLINE_ROOT", str(demo_home / "zipline"))
        patch.chdir(demo_home)
        install()
        bundle, values = open_bundle(), settings.load()
        return bundle, values, build_samples(bundle, values)


@pytest.fixture
def demo(demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home of the test's own over the small demo market: its lake and bundle, no models, no runs."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("lake", "zipline", "ashare.toml"):
        (home / name).symlink_to(demo_home / name)
    monkeypatch.setenv("ASHARE_HOME", str(home))
    monkeypatch.setenv("ZIPLINE_ROOT", str(home / "zipline"))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture(scope="session")
def real_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Tushare-shaped folder of a sample of the private real data; skip where they are not."""
    import subprocess
    import sys

    source = os.environ.get("ASHARE_REALDATA")
    if not source or not (Path(source) / "export.py").is_file():
        pytest.skip("ASHARE_REALDATA names no private data on this machine")
    folder = tmp_path_factory.mktemp("real") / "market"
    command = [sys.executable, str(Path(source) / "export.py"), "--out", str(folder), "--stocks", "120"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def real_home(real_market: Path, home: Path, tmp_path: Path) -> Path:
    """Return a home with that sample in lake and bundle."""
    from zipline.data import bundles

    import engine.extension  # noqa: F401

    import_folder(real_market, Lake(settings.load().lake), FETCHED, "six_months")
    bundles.ingest("ashare", os.environ, show_progress=False)
    return home
