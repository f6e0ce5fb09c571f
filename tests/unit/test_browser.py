"""Printing a page: which browser is taken, and what is said where none prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import DataNotFit, UsageError
from engine.report import browser


def a_browser(folder: Path, name: str, does: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path


PRINTS = 'for one in "$@"; do case "$one" in --print-to-pdf=*) echo pdf > "${one#*=}";; esac; done'


def test_the_browser_that_is_named_comes_first(tmp_path):
    first = a_browser(tmp_path / "bin", "chromium", "true")
    mine = a_browser(tmp_path / "own", "mine", "true")
    assert browser.find_browser({"PATH": str(tmp_path / "bin")}) == str(first)
    assert browser.find_browser({"PATH": str(tmp_path / "bin"), "BROWSER_PATH": str(mine)}) == str(mine)
    assert browser.find_browser({"PATH": str(tmp_path / "bin"), "BROWSER_PATH": "/nowhere"}) is None


def test_without_a_browser_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    with pytest.raises(UsageError, match=r"there is no Chromium, Chrome or Edge. Install one"):
        browser.print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")


@pytest.mark.parametrize(("does", "said"), [("echo no display >&2; exit 1", "no display"), ("true", "no word")])
def test_a_browser_that_prints_nothing_leaves_nothing(tmp_path, monkeypatch, does, said):
    out = tmp_path / "page.pdf"
    out.write_text("the one before")
    monkeypatch.setenv("BROWSER_PATH", str(a_browser(tmp_path / "bin", "b", does)))
    with pytest.raises(DataNotFit, match=said):
        browser.print_pdf(tmp_path / "page.html", out)
    assert out.read_text() == "the one before"
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "page.pdf"}


def test_a_browser_that_never_ends_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "TIMEOUT", 0.2)
    monkeypatch.setenv("BROWSER_PATH", str(a_browser(tmp_path / "bin", "b", "exec sleep 5")))
    with pytest.raises(DataNotFit, match=r"more than 0\.2 seconds"):
        browser.print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")


def test_the_page_is_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(a_browser(tmp_path / "bin", "b", PRINTS)))
    browser.print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_text() == "pdf\n"
