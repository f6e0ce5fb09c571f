"""A Chromium without a window, spoken to over two pipes: what a page asks for, complains of and measures."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any


@dataclass
class Seen:
    """What a page did while it was open."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Chrome:
    """One tab. Commands and events are JSON with a zero byte after each (Chrome DevTools Protocol)."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        self._ids, self._rest, self._session = count(1), b"", ""
        self._waiting: list[dict[str, Any]] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._send(f"{domain}.enable")

    def open(self, page: Path, width: int, height: int, media: str = "screen") -> Seen:
        """Open a page at a size, on the screen or on paper (``print``), and return what it did until it was loaded."""
        self._send("Emulation.setEmulatedMedia", media=media)
        phone = width < 600
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._waiting.clear()
        self._send("Page.navigate", url=page.absolute().as_uri())
        seen = Seen()
        while True:
            event = self._waiting.pop(0) if self._waiting else self._read()
            _note(event, seen)
            if event.get("method") == "Page.loadEventFired":
                break
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))")
        for event in self._waiting:
            _note(event, seen)
        return seen

    def value(self, expression: str) -> Any:
        """Return what an expression is in the page."""
        answer = self._send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._waiting.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._events, 1 << 16)
            assert piece, "the browser is gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


def _note(event: dict[str, Any], seen: Seen) -> None:
    method, said = event.get("method"), event.get("params", {})
    if method == "Network.requestWillBeSent":
        seen.requests.append(said["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        seen.complaints.append(said["exceptionDetails"]["text"])
    elif method == "Log.entryAdded":
        seen.complaints.append(said["entry"]["text"])
    elif method == "Runtime.consoleAPICalled":
        seen.complaints.append(str(said["args"]))


def _pipe() -> tuple[int, int]:
    """Return both ends of a pipe, with numbers that do not collide with those the browser wants."""
    ends = os.pipe()
    above = fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 10), fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 10)
    for end in ends:
        os.close(end)
    return above


_LAUNCH = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def chrome(path: str, home: Path) -> Iterator[Chrome]:
    """Start a browser and end it; it reads commands from its descriptor 3 and writes to 4."""
    (theirs_in, ours_out), (ours_in, theirs_out) = _pipe(), _pipe()
    flags = ["--headless=new", "--disable-gpu", "--no-sandbox", "--no-first-run", "--disable-background-networking"]
    command = [path, *flags, "--remote-debugging-pipe", f"--user-data-dir={home}"]
    wrapped = [sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out), *command]
    process = subprocess.Popen(
        wrapped, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for end in (theirs_in, theirs_out):
        os.close(end)
    try:
        yield Chrome(ours_out, ours_in)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        for end in (ours_out, ours_in):
            os.close(end)
