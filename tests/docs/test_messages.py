"""What docs/messages.md says: its commands parse, its addresses can be read, its settings are settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine import settings
from engine.paper.channels import _MEANT, receivers
from tests.docs.test_readme import ROOT, commands_of, parses

PAGE = (ROOT / "docs" / "messages.md").read_text("utf-8")


@pytest.mark.parametrize("line", commands_of(PAGE))
def test_every_ashare_command_parses(line):
    parses(line)


def test_its_addresses_can_be_read(tmp_path):
    (text,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    path = Path(tmp_path / "messages")
    path.touch(0o600)
    path.write_text(text)
    found = [receiver.scheme for receiver in receivers(tmp_path, environ={})]
    assert found == ["dingtalk"] * 3 + ["mailtos"] * 3 + ["feishu"] * 2 + ["wecombot"] * 2


def test_its_settings_are_settings(home):
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    home.mkdir()
    (home / "ashare.toml").write_text(toml)
    said = settings.load().messages
    rest = set(re.findall(r"\w+", re.findall("also (.*)", toml)[0]))
    assert said.timeout == settings.MessageSettings().timeout
    assert {*said.kinds, *rest} == set(settings.MessageSettings().kinds)
    assert len(said.kinds) + len(rest) == len(settings.MessageSettings().kinds)


def test_its_codes_are_known():
    assert {int(code) for code in re.findall(r"`code (\d+)`", PAGE)} <= set(_MEANT)
