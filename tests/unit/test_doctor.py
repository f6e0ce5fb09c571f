"""``ashare doctor``: each thing that can be out of order is put out of order, and is found with its remedy."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from bundles import doctor as outside
from bundles.demo.server import LocalTushare
from bundles.importer import import_folder
from bundles.lake import Lake
from bundles.tushare.caps import TERMS
from engine import calendar, clock, settings
from engine.cli import checkup
from engine.cli.doctor import patient
from engine.cli.findings import Finding, Level, Patient, look
from engine.cli.main import ashare
from engine.private import write_private
from tests import accounts
from tests.conftest import ingest
from tests.markets import Market, days_between
from tests.vendor import TOKEN, forty_stocks

NOW = dt.datetime(2018, 3, 9, 20, tzinfo=clock.SHANGHAI)
"""A Friday evening: its session is ready at the vendor's."""
OK, WARNING, PROBLEM = Level


@pytest.fixture(autouse=True)
def evening(home, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.delenv("TUSHARE_TOKEN", raising=False)
    yield
    calendar.refresh()


def found(check: str) -> list[Finding]:
    """Return what a check finds."""
    checks = {**checkup.CHECKS, **outside.CHECKS, **outside.ONLINE}
    return list(look(check, checks[check], patient()))


def only(check: str) -> Finding:
    (finding,) = found(check)
    return finding


def bad(check: str) -> list[Finding]:
    return [finding for finding in found(check) if finding.level is not OK]


def a_market(days: list[str] | None = None, **index: object) -> Market:
    market = Market(days or days_between("20180305", "20180309"))
    market.stock("600000.SH").bars("600000.SH", [10.0] * len(market.days))
    return market.index([5000.0] * len(market.days))


# --- packages ---------------------------------------------------------------------------------------------------


def test_what_is_installed_here_is_in_order():
    assert [finding.level for finding in found("versions")] == [OK]
    assert "zipline-reloaded 3.2.1" in only("versions").said
    assert only("empyrical").level is OK


@pytest.mark.parametrize(
    ("name", "version", "remedy"),
    [
        ("zipline-reloaded", "3.1.0", 'pip install "zipline-reloaded==3.2.1"'),
        ("pandas", "3.0.1", 'pip install "pandas<3,>=2.2"'),
        ("torch", None, 'pip install "torch==2.13.0"'),
        ("rich", None, 'pip install "rich>=13.9"'),
    ],
)
def test_a_package_of_another_version(monkeypatch, name, version, remedy):
    real = checkup._version
    monkeypatch.setattr(checkup, "_version", lambda asked: version if asked == name else real(asked))
    (finding,) = bad("versions")
    assert (finding.level, finding.remedy) == (PROBLEM, remedy)
    assert (version or "missing") in finding.said


def test_a_python_that_is_not_supported(monkeypatch):
    monkeypatch.setattr("sys.version_info", (3, 14, 0, "final", 0))
    (finding,) = bad("versions")
    assert (finding.level, "3.14.0" in finding.said) == (PROBLEM, True)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"empyrical": "0.5.5", "empyrical-reloaded": "0.7.1"}, "writes over"),
        ({"empyrical": "0.5.5"}, "writes over"),
        ({}, "is missing"),
    ],
)
def test_the_two_empyricals(monkeypatch, installed, expected):
    monkeypatch.setattr(checkup, "_version", installed.get)
    finding = only("empyrical")
    assert finding.level is PROBLEM
    assert expected in finding.said
    assert finding.remedy.startswith("pip uninstall -y empyrical empyrical-reloaded && pip install")


def test_an_empyrical_whose_files_another_one_has_written(monkeypatch, tmp_path):
    folder = tmp_path / "empyrical_reloaded-0.7.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: empyrical-reloaded\nVersion: 0.7.1\n")
    (folder / "RECORD").write_text("empyrical/stats.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n")
    (tmp_path / "empyrical").mkdir()
    (tmp_path / "empyrical" / "stats.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert only("empyrical").level is OK  # the hash of nothing
    (tmp_path / "empyrical" / "stats.py").write_text("# of 2020")
    assert "empyrical/stats.py" in only("empyrical").said
    assert only("empyrical").level is PROBLEM


# --- machine and settings ---------------------------------------------------------------------------------------


def test_settings(home):
    assert only("settings").level is OK
    home.mkdir()
    (home / "ashare.toml").write_text("[execution]\nfill = 'open'\n")
    assert (only("settings").level, str(home) in only("settings").said) == (OK, True)
    Path("ashare.toml").touch()
    assert (only("settings").level, "is not" in only("settings").said) == (WARNING, True)
    Path("ashare.toml").write_text("[execution]\nfil = 'open'\n")
    assert (only("settings").level, "execution.fil" in only("settings").said) == (PROBLEM, True)
    assert only("disk").level is not PROBLEM  # the others go on


def test_the_extension(home):
    assert (only("extension").level, only("extension").remedy) == (PROBLEM, "ashare init")
    CliRunner().invoke(ashare, ["init"])
    assert only("extension").level is OK


@pytest.mark.parametrize(("free", "level"), [(50e9, OK), (5e9, WARNING), (0.5e9, PROBLEM)])
def test_disk(monkeypatch, free, level):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1e12, 1e12 - free, free))
    assert only("disk").level is level


def test_a_clock_that_is_behind(home, monkeypatch):
    path = home / "runs" / "one" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, times=(NOW.timestamp() - 60,) * 2)
    assert only("clock").level is OK
    os.utime(path, times=(NOW.timestamp() + 3600,) * 2)
    assert (only("clock").level, str(path) in only("clock").said) == (PROBLEM, True)


@pytest.mark.parametrize(("zone", "told"), [("UTC", True), ("Asia/Shanghai", False)])
def test_the_machines_zone(monkeypatch, zone, told):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert ("CRON_TZ" in only("clock").said) is told
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("name", ["token", "messages"])
def test_a_secret_that_others_may_read(home, name):
    assert only("secrets").level is OK
    write_private(home / name, TOKEN)
    assert (only("secrets").level, name in only("secrets").said) == (OK, True)
    (home / name).chmod(0o604)
    assert (only("secrets").level, only("secrets").remedy) == (PROBLEM, f"chmod 600 {home / name}")


def test_receivers(home):
    assert "nobody" in only("messages").said
    write_private(home / "messages", f"json://127.0.0.1/{TOKEN}\n")
    assert (only("messages").level, "json " in only("messages").said) == (OK, True)
    write_private(home / "messages", f"nonsense {TOKEN}\n")
    assert only("messages").level is PROBLEM
    assert TOKEN not in repr(only("messages"))


@pytest.mark.skipif(not checkup.LOCK_TABLE.is_file(), reason="the system shows no table of locks")
def test_a_lock_that_is_held(home):
    (home / "lake").mkdir(parents=True)
    assert only("locks").level is OK
    with FileLock(home / "lake" / ".lock"):
        finding = only("locks")
        assert finding.level is WARNING
        assert f"process {os.getpid()} (" in finding.said
        assert str(os.getpid()) in finding.remedy
    assert only("locks").level is OK


def test_what_a_dead_process_left(home):
    path = home / "models" / ".2018-03.partial"
    path.mkdir(parents=True)
    os.utime(path, times=(NOW.timestamp() - 60,) * 2)
    assert only("locks").level is OK  # somebody may be at it
    os.utime(path, times=(NOW.timestamp() - 7200,) * 2)
    assert (only("locks").level, only("locks").remedy) == (WARNING, f"rm -r {path}")


# --- data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "level"), [(61, OK), (60, WARNING), (0, WARNING), (-1, PROBLEM)])
def test_the_end_of_the_calendar(monkeypatch, before, level):
    end = calendar.AShareCalendar.bound_max().date() - dt.timedelta(before)
    monkeypatch.setattr(clock, "now", lambda: dt.datetime.combine(end, dt.time(12), clock.SHANGHAI))
    assert only("calendar").level is level
    assert bool(only("calendar").remedy) is (level is not OK)


@pytest.mark.usefixtures("holes")
def test_the_bundle(home, tmp_path, monkeypatch):
    assert (only("bundle").level, "never built" in only("bundle").said) == (WARNING, True)
    ingest(a_market(), tmp_path / "market")
    finding = only("bundle")
    assert finding.level is OK
    assert "5 sessions to 2018-03-09, 0 behind" in finding.said
    for later, level in (("2018-03-12", OK), ("2018-03-13", WARNING)):  # one session behind, then two
        moment = dt.datetime.fromisoformat(f"{later}T19:00").replace(tzinfo=clock.SHANGHAI)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        assert only("bundle").level is level
    assert only("bundle").remedy == "ashare data sync --build"


def test_the_lake(home, tmp_path, monkeypatch):
    assert (only("lake").level, "is empty" in only("lake").said) == (WARNING, True)
    lake = Lake(settings.load().lake)
    import_folder(a_market().write(tmp_path / "market"), lake, NOW.date(), "six_months")
    assert not bad("lake")
    assert {"lake", "lake daily", "lake index_daily", "lake stock_basic"} <= {one.check for one in found("lake")}
    monkeypatch.setattr(clock, "now", lambda: NOW + dt.timedelta(7))
    late = {finding.check for finding in bad("lake")}
    assert {"lake daily", "lake index_daily"} <= late
    assert "lake stock_basic" not in late
    version = home / "lake" / "versions" / "000001.json"
    version.write_text("{", "utf-8")
    assert only("lake").level is PROBLEM


def test_a_table_nobody_has_asked_for_any_more(home, tmp_path):
    lake = Lake(settings.load().lake)
    import_folder(a_market().write(tmp_path / "one"), lake, NOW.date() - dt.timedelta(60), "six_months")
    more = a_market(days_between("20180305", "20180312"))
    import_folder(more.write(tmp_path / "two"), lake, NOW.date(), "six_months")
    assert {finding.check for finding in bad("lake")} >= {"lake stock_basic"}


@pytest.mark.usefixtures("holes")
def test_a_bundle_of_other_data_than_the_lake(home, tmp_path):
    ingest(a_market(), tmp_path / "market")
    assert found("lake")[0].level is OK
    more = a_market(days_between("20180305", "20180312")).write(tmp_path / "more")
    import_folder(more, Lake(settings.load().lake), NOW.date(), "six_months")
    assert (found("lake")[0].level, found("lake")[0].remedy) == (WARNING, "ashare data build")


def test_models(home):
    from engine.model.registry import SECTIONS

    assert checkup.MODEL_SECTIONS == SECTIONS
    assert (only("models").level, "ashare train" in only("models").remedy) == (WARNING, True)
    path = home / "models" / "2018-03-12345678" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"settings": "of another time", "known_until": "2018-02-28"}))
    assert (only("models").level, "none of 1" in only("models").said) == (WARNING, True)
    path.write_text(json.dumps({"settings": settings.load().fingerprint(*SECTIONS), "known_until": "2018-02-28"}))
    assert (only("models").level, "2018-02-28" in only("models").said) == (OK, True)
    path.write_text("[")
    assert found("models")[0].level is PROBLEM


def test_paper_accounts(home, monkeypatch):
    assert "no paper account" in only("paper").said
    folder = accounts.make(first="2018-03-12")
    assert only("paper").level is OK
    accounts.say("paper", "halt", accounts.NAME, "--why", "holiday")
    assert (only("paper").level, only("paper").remedy) == (WARNING, f"ashare paper resume {accounts.NAME}")
    accounts.say("paper", "resume", accounts.NAME)
    monkeypatch.setattr(clock, "now", lambda: NOW + dt.timedelta(4))
    assert (only("paper").level, only("paper").remedy) == (WARNING, f"ashare paper run {accounts.NAME}")
    (folder / "strategy.py").write_text("# another")
    assert only("paper").level is PROBLEM


# --- token and vendor -------------------------------------------------------------------------------------------


def test_the_token(home, monkeypatch):
    assert (only("token").level, only("token").remedy.startswith("ashare init")) == (WARNING, True)
    write_private(home / "token", TOKEN)
    assert (only("token").level, str(home / "token") in only("token").said) == (OK, True)
    (home / "token").chmod(0o644)
    assert (only("token").level, "chmod 600" in only("token").remedy) == (PROBLEM, True)
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", "no token!")
    assert only("token").level is PROBLEM
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
    assert (only("token").level, "ASHARE_TUSHARE_TOKEN" in only("token").said) == (OK, True)
    assert TOKEN not in repr(found("token"))


@pytest.fixture(scope="module")
def vendor_folder(tmp_path_factory):
    folder = forty_stocks(tmp_path_factory.mktemp("vendor") / "market")
    (folder / "disclosure_date").mkdir()
    (folder / "disclosure_date" / "2018.csv").write_text("ts_code,end_date\n600000.SH,20171231\n")
    return folder


@pytest.fixture
def vendor(vendor_folder, monkeypatch) -> Iterator[LocalTushare]:
    with LocalTushare(vendor_folder, TOKEN, points=2000) as server:
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", server.url)
        monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
        yield server


def test_what_the_token_may_ask(vendor, monkeypatch):
    answers = {finding.check: finding for finding in found("rights")}
    assert set(answers) == {f"rights {name}" for name in TERMS}
    assert {finding.level for finding in answers.values()} == {OK}
    assert "5,000 points" in answers["rights income_vip"].said  # which the settings know
    assert len(vendor.asked) == sum(terms.points <= 2000 for terms in TERMS.values())  # one call an endpoint
    monkeypatch.setenv("ASHARE_TUSHARE__POINTS", "5000")
    missing = {finding.check for finding in bad("rights")}
    assert missing == {"rights stock_st", "rights income_vip", "rights balancesheet_vip"}
    assert all("tushare.points" in finding.remedy for finding in bad("rights"))


def test_an_account_that_may_more_than_the_settings_say(vendor_folder, monkeypatch):
    with LocalTushare(vendor_folder, TOKEN, points=5000) as server:
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", server.url)
        monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
        more = bad("rights")
    assert {finding.check for finding in more} == {"rights stock_st", "rights income_vip", "rights balancesheet_vip"}
    assert {finding.level for finding in more} == {WARNING}
    assert all("tushare.points" in finding.remedy for finding in more)


@pytest.mark.parametrize(("minutes", "told"), [(0, False), (1, False), (10, True), (-10, True), (60 * 24 * 400, True)])
def test_a_clock_that_is_not_the_vendor_s(vendor, minutes, told):
    here = patient()  # whose clock stands still; the server's does not
    late = Patient(here.settings, dt.datetime.now(clock.SHANGHAI) + dt.timedelta(minutes=minutes), here.say)
    findings = list(outside.vendors_clock(late))
    assert [finding.level for finding in findings] == ([PROBLEM] if told else [])
    assert all(f"{abs(minutes):,} minutes off" in finding.said for finding in findings)
    assert not vendor.asked  # no token for that


def test_a_server_that_does_not_tell_the_time_is_not_waited_for(home, monkeypatch):
    import socket

    monkeypatch.setattr(outside, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (9, silent.getsockname()[1]):
            monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", f"http://127.0.0.1:{port}")
            before = time.monotonic()
            assert list(outside.vendors_clock(patient())) == []
            assert time.monotonic() - before < 3


def test_a_token_the_vendor_does_not_know(vendor, monkeypatch):
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN[::-1])
    assert only("rights").level is PROBLEM
    assert not vendor.asked


def test_a_vendor_who_asks_for_patience(vendor_folder, monkeypatch):
    with LocalTushare(vendor_folder, TOKEN, calls_per_minute=1) as server:
        monkeypatch.setenv("ASHARE_TUSHARE__POINTS", "5000")
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", server.url)
        monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
        assert not bad("rights")
        assert {finding.level for finding in found("rights")} == {WARNING}


def test_nobody_at_the_vendors(home, monkeypatch):
    assert found("rights") == []  # without a token nobody is asked
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
    monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", "http://127.0.0.1:9")
    assert (only("rights").level, "could not be reached" in only("rights").said) == (PROBLEM, True)


def test_a_vendor_who_keeps_silent_keeps_nobody(home, monkeypatch):
    import socket

    monkeypatch.setattr(outside, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        before = time.monotonic()
        assert only("rights").level is PROBLEM
        assert time.monotonic() - before < 3


# --- the command ------------------------------------------------------------------------------------------------


def run(*words: str, code: int) -> str:
    done = CliRunner().invoke(ashare, ["doctor", *words])
    assert done.exit_code == code, done.output
    assert TOKEN not in done.output
    return done.stdout


def test_the_exit_code_tells_a_problem(home, monkeypatch):
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
    said = run(code=3)
    assert "> ashare init" in said
    assert said.splitlines()[-1].startswith("1 problems, ")
    CliRunner().invoke(ashare, ["init"])
    assert run(code=0).splitlines()[-1].startswith("0 problems, ")


def test_in_chinese_the_columns_stand_under_each_other(home, monkeypatch):
    monkeypatch.setenv("ASHARE_LANGUAGE", "zh")
    lines = [line for line in run(code=3).splitlines() if line[:2] in ("正常", "警告", "问题")]
    assert {line[:2] for line in lines} == {"正常", "警告", "问题"}
    assert {line[2:6] for line in lines} == {" " * 4}
    assert not any(line[6].isspace() for line in lines)


def test_json(home):
    said = json.loads(run("--json", code=3))
    findings = {one["check"]: one for one in said["findings"]}
    assert set(findings) == {*checkup.CHECKS, *outside.CHECKS}
    assert findings["extension"] == findings["extension"] | {"level": "problem", "remedy": "ashare init"}
    assert sum(said["counts"].values()) == len(said["findings"])
    assert said["counts"]["problem"] == 1


def test_nobody_is_asked_unless_it_is_wished(vendor):
    run(code=3)
    assert not vendor.asked
    run("--online", code=3)  # the extension is not there yet
    assert vendor.asked


def test_nothing_is_written(home, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    run(code=3)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(home, monkeypatch):
    monkeypatch.setattr(checkup, "_version", lambda name: 1 / 0)
    said = json.loads(run("--json", code=3))
    failed = [one["check"] for one in said["findings"] if "ZeroDivisionError" in one["said"]]
    assert failed == ["versions", "empyrical"]
