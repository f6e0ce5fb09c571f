"""A disk that is full, breaks, or refuses a flush stops a run in one line; once it is well, the next one goes on.

What is left is believed only where it was written whole: the next run ends with the bytes of one that met no fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.test_paper_kill import made, require_whole, results  # noqa: F401  (made is a fixture)

FULL, BROKEN = "no space left on device. Free space there", "input/output error. Have the disk looked after"
SAYS = {"full": FULL, "broken": BROKEN, "flush": BROKEN}
EVERY = "full:0:1,broken:0:1,flush:0:1"


def require_told(point: dict) -> None:
    """Complain unless a fault was told in one line that names a path, the cause and what to do."""
    errors = [line for line in point["said"].splitlines() if "Error" in line]
    assert len(errors) == 1, point
    assert "Traceback" not in point["said"], point
    assert f"could not be written or read: {SAYS[point['kind']]}, then run the same command again." in errors[0]
    assert "/paper/mine" in errors[0] or "/paper/.lock" in errors[0], point
    assert point["code"] == 7, point


@pytest.mark.parametrize("kinds", [pytest.param(EVERY, marks=pytest.mark.slow), "full:1:60,broken:60:70,flush:4:45"])
def test_a_run_on_a_failing_disk(made: Path, kinds: str) -> None:  # noqa: F811
    clean, *points = results(kinds)
    require_whole(clean["files"])
    assert len(points) >= 4
    for point in points:
        require_told(point)
        assert (point["looked"], point["wrote"], point["untouched"]) == (0, [], True), point
        assert (point["again"], point["same"]) == (0, True), point


@pytest.mark.parametrize("kinds", [pytest.param(EVERY, marks=pytest.mark.slow), "full:1:4,broken:2:90,flush:1:90"])
def test_a_halt_on_a_failing_disk(made: Path, kinds: str) -> None:  # noqa: F811
    """Whoever is told that it failed gives it again, and the account is halted, perhaps by two lines."""
    _, *points = results(kinds, "paper", "halt", "mine")
    assert len(points) >= 3
    for point in points:
        require_told(point)
        assert point["again"] == 0
        assert point["lines"] in (["created", "halted"], ["created", "halted", "halted"]), point
