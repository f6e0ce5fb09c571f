"""What is kept of the product's checks of itself."""

from __future__ import annotations

import datetime as dt

import pytest

from engine import clock
from engine.errors import ProofFailed
from engine.report.proofs import noted, proofs_of


def make(home, kind="parity", code="c", data="d", fails=False, extent="3 strategies"):
    with noted(home, kind, code, data, extent):
        if fails:
            raise ProofFailed("it does not hold", "a reason", "Mend it.")


def test_a_check_is_known_for_its_own_code_and_data_only(tmp_path):
    make(tmp_path)
    assert proofs_of(tmp_path, "c", "d")["parity"].passed
    assert proofs_of(tmp_path, "c", "d")["parity"].extent == "3 strategies"
    assert proofs_of(tmp_path, "c", "other") == {}
    assert proofs_of(tmp_path, "other", "d") == {}


def test_a_failure_is_not_outlived_by_a_later_pass(tmp_path, monkeypatch):
    moments = iter([dt.datetime(2026, 1, 1, 10, 0, second, tzinfo=clock.SHANGHAI) for second in (0, 1)])
    monkeypatch.setattr(clock, "now", lambda: next(moments))
    with pytest.raises(ProofFailed):
        make(tmp_path, fails=True)
    make(tmp_path)
    assert not proofs_of(tmp_path, "c", "d")["parity"].passed


def test_a_check_that_was_broken_off_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), noted(tmp_path, "rules", "c", "d", ""):
        raise KeyboardInterrupt
    assert proofs_of(tmp_path, "c", "d") == {}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"kind": "rules"}'])
def test_what_is_no_proof_proves_nothing(tmp_path, content):
    (tmp_path / "proofs").mkdir()
    (tmp_path / "proofs" / "x.json").write_text(content)
    make(tmp_path, "rules")
    assert list(proofs_of(tmp_path, "c", "d")) == ["rules"]
