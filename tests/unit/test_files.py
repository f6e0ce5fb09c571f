"""Copies of large files, past the page cache or through it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import files


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 8 * 2**20, 8 * 2**20 + 4099])
@pytest.mark.parametrize("block", [4096, 1], ids=["direct", "refused"])
def test_a_large_copy_is_the_same_file(tmp_path: Path, monkeypatch, size: int, block: int) -> None:
    monkeypatch.setattr(files, "_BLOCK", block)  # a part of a block is nothing the disk takes
    content = os.urandom(size)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    target.write_bytes(b"something")
    files.copy_large(source, target)
    assert target.read_bytes() == content
