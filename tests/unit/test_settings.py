"""Settings: where they come from, who wins, and what is refused."""

from __future__ import annotations

import pytest

from engine import settings
from engine.errors import SettingsError


def test_defaults_are_those_of_the_specification(home):
    values = settings.load()
    assert values.home == home
    assert (values.selection.every, values.selection.cap, values.selection.gross) == (5, 0.02, 0.8)
    assert (values.universe.minimum_total_mv, values.universe.maximum_total_mv) == (300_000, 5_000_000)
    assert (values.execution.commission_rate, values.execution.commission_minimum) == (0.00025, 5.0)
    risk, watch = values.risk, values.watch
    assert (risk.stop, risk.stop_on, risk.drawdown_on, risk.drawdown_off) == (0.10, "cost", 0.08, 0.04)
    assert (risk.drawdown_gross, risk.volatility_above, risk.volatility_gross) == (0.40, 25.0, 0.50)
    assert (watch.ic_floor, watch.sessions, watch.cooldown, watch.method) == (0.05, 20, 20, "threshold")
    assert (values.blacklist.wrong, values.blacklist.days) == (3, 30)
    assert (values.selection.keep_fraction, values.selection.maximum_turnover) == (0.0, 0.0)


def test_the_nearer_source_wins(home, monkeypatch, tmp_path):
    home.mkdir()
    (home / "ashare.toml").write_text('profile = "workload"\n[execution]\nparticipation = 0.05\n')
    values = settings.load()
    assert values.execution.stamp_duty == 0.001  # the profile
    assert values.execution.participation == 0.05  # the file over the profile
    monkeypatch.setenv("ASHARE_EXECUTION__PARTICIPATION", "0.2")
    assert settings.load().execution.participation == 0.2  # the environment over the file
    (tmp_path / "work" / "ashare.toml").write_text("[execution]\nfill = 'close'\n")
    values = settings.load()
    assert (values.execution.fill, values.profile) == ("close", None)  # the working folder instead of the home


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[execution]\nfil = 'open'", "execution.fil"),
        ("[execution]\nfill = 'yesterday'", "execution.fill = 'yesterday'"),
        ("[execution]\nparticipation = 2", "execution.participation = 2"),
        ("[selection]\ncap = 0", "selection.cap = 0"),
        ("[risk]\nstop = 1", "risk.stop = 1"),
        ("[risk]\ndrawdown_on = 0.02", "would flap"),
        ("[watch]\nfalse_alarms = 0", "watch.false_alarms = 0"),
        ("nonsense = 1", "nonsense"),
        ("[labels]\nindex = '../000905.SH'", "labels.index = '../000905.SH'"),
        ("profile = 'fast'", "profile 'fast' is unknown"),
        ("a = = b", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(home, toml, expected):
    home.mkdir()
    (home / "ashare.toml").write_text(toml)
    with pytest.raises(SettingsError) as error:
        settings.load()
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_fingerprint_follows_its_sections_only(home, monkeypatch):
    before = settings.load()
    monkeypatch.setenv("ASHARE_EXECUTION__PARTICIPATION", "0.2")
    after = settings.load()
    assert before.fingerprint("model") == after.fingerprint("model")
    assert before.fingerprint("execution") != after.fingerprint("execution")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ASHARE_EXECUTION", "foo", 'error parsing value for field "execution"'),
        ("ASHARE_EXECUTION", "[1]", "execution = [1]"),
        ("ASHARE_EXECUTION__FIL", "open", "execution.fil"),
        ("ASHARE_EXECUTION_FILL", "open", "The nearest is ASHARE_EXECUTION__FILL"),
        ("ASHARE_SELECTOIN__CAP", "0.1", "The nearest is ASHARE_SELECTION__CAP"),
        ("ASHARE_HOM", "/tmp", "The nearest is ASHARE_HOME"),
        ("ASHARE_HOME__X", "/tmp", "The nearest is ASHARE_HOME"),
        ("ASHARE_HOME", "/dev/null/home", "ASHARE_HOME /dev/null/home cannot be made: /dev/null is no folder"),
        ("ASHARE_HOME", "/dev/null", "ASHARE_HOME /dev/null cannot be used"),
        ("ASHARE_HOME", "~nobody-has-this-name/x", "ASHARE_HOME ~nobody-has-this-name/x cannot be used"),
    ],
)
def test_a_wrong_variable_is_refused_in_one_line(home, monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        settings.load()
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_variables_that_are_no_settings_are_left_alone(home, monkeypatch):
    monkeypatch.setenv("ASHARE_REALDATA", "/data")
    monkeypatch.setenv("ASHARE_EXECUTION", '{"fill": "vwap"}')
    monkeypatch.setenv("ashare_selection__cap", "0.1")
    values = settings.load()
    assert (values.execution.fill, values.selection.cap) == ("vwap", 0.1)
