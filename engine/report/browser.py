"""A page as PDF, by the browser there is: it is the one program that lays a page out as its reader sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from engine.errors import DataNotFit, UsageError
from engine.files import replaced_file

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
TIMEOUT = 120
"""Seconds a page has to become a PDF."""


def find_browser(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of a Chromium, Chrome or Edge: that of ``BROWSER_PATH`` or the first one found, None without."""
    named = environment.get("BROWSER_PATH")
    if named:
        return shutil.which(named, path=environment.get("PATH"))
    found = (shutil.which(name, path=environment.get("PATH")) for name in NAMES)
    return next((path for path in found if path), None) or next((one for one in PLACES if Path(one).exists()), None)


def print_pdf(page: Path, out: Path) -> None:
    """Print a page into a PDF.

    Parameters
    ----------
    page, out : Path
        The HTML file; the PDF, replaced whole.

    Raises
    ------
    UsageError
        There is no browser.
    DataNotFit
        The browser printed nothing.
    """
    browser = find_browser()
    if browser is None:
        raise UsageError(
            "the page cannot be printed",
            "there is no Chromium, Chrome or Edge",
            f"Install one, set BROWSER_PATH, or open {page} and print it from there.",
        )
    with replaced_file(out) as beside:
        command = [browser, "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={beside}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # as root it does not start otherwise
        said = _run([*command, page.absolute().as_uri()])
        if not beside.exists() or not beside.stat().st_size:
            last = said.strip().splitlines()[-1:] or ["no word"]
            raise DataNotFit("the page was not printed", last[0], f"Open {page} and print it from there.")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  a browser that was found, our own page
            command, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took more than {TIMEOUT} seconds"
    return done.stderr
