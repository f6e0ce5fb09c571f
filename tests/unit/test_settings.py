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
        ("nonsense = 1", "nonsense"),
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
