"""``ashare init`` at a real terminal: what is secret is not shown while it is typed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from engine import settings

TOKEN = "canary0123456789abcdef0123456789abcdef"
ADDRESS = f"json://user:{TOKEN}@127.0.0.1:9/"
COMMAND = [sys.executable, "-c", "from engine.cli.main import main; main()", "init"]


def at_a_terminal(*answers: tuple[str, str]) -> tuple[int, str]:
    """Run init at a terminal; each answer is the last words of a question, and what is typed then."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown, since, left, until = "", 0, list(answers), time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([ours], [], [], 1)[0]:
            continue
        try:
            shown += os.read(ours, 4096).decode()
        except OSError:  # the other end is closed
            break
        if left and shown[since:].rstrip().endswith(left[0][0]):
            time.sleep(0.2)  # until the letters are hidden
            os.write(ours, left.pop(0)[1].encode())
            since = len(shown)
    os.close(ours)
    if left:
        process.kill()
    code = process.wait(10)
    assert not left, shown
    return code, shown


def test_what_is_typed_is_taken_and_not_shown(home: Path) -> None:
    code, shown = at_a_terminal(
        ("later):", "no token\n"),
        ("later):", f"{TOKEN}\n"),
        ("]:", "300000\n"),
        ("no more):", "nonsense\n"),
        ("no more):", f"{ADDRESS}\n"),
        ("no more):", "\n"),
    )
    assert code == 0, shown
    assert TOKEN not in shown
    assert "That is no token" in shown
    assert (home / "token").read_text() == f"{TOKEN}\n"
    assert (home / "messages").read_text() == f"{ADDRESS}\n"
    assert settings.load().capital == 300_000


def test_breaking_off_writes_nothing(home: Path, tmp_path: Path) -> None:
    code, shown = at_a_terminal(("later):", f"{TOKEN}\n"), ("]:", "\x04"))
    assert code == 1
    assert "Aborted." in shown
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
