"""Durable writes: beside, fsync, rename; a reader sees the old state or the new one, never a mixture."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import DiskFailed

_FREE, _LOOK, _ALLOW = "Free space there", "Have the disk looked after", "Make it writable"
_MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FREE),
    **dict.fromkeys((errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE), _LOOK),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _ALLOW),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Close files, or raise `ulimit -n`"),
}


def disk_failed(error: OSError) -> DiskFailed | None:
    """Return what a refusal of the disk means in one line; None for any other error of the system."""
    mend = _MENDS.get(error.errno or 0)
    if mend is None:
        return None
    why = os.strerror(error.errno or 0).lower()
    return DiskFailed(
        f"{error.filename or 'a file'} could not be written or read", why, f"{mend}, then run the same command again."
    )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let a refusal of the disk inside the block say which path it is about."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def fsync_path(path: Path) -> None:
    """Flush a file's content or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with named(path):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is wholly there or not at all.

    Parameters
    ----------
    path : Path
        Where it shall stand; its folder is made if needed. An existing file is replaced at once.
    content : bytes
        What it shall hold.
    """
    with replaced_file(path) as beside:
        beside.write_bytes(content)


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Fill a file beside its place and move it there when the block ends well.

    Yields
    ------
    Path
        The hidden file to write. If the block raises, it is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with named(path):
            yield beside
            fsync_path(beside)
            os.replace(beside, path)
            fsync_path(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write a JSON document durably: sorted keys, so that equal values give equal bytes.

    Without ``indent`` a large document takes a tenth of the time: indenting is done in Python.
    """
    text = json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON document."""
    return json.loads(path.read_bytes())


_BLOCK = 4096
"""What places and lengths of direct writes must be multiples of."""
_AT_ONCE = 8 * 2**20


def copy_large(source: Path, target: Path) -> None:
    """Copy a large file straight to the disk, or through the page cache where the file system cannot.

    Memory for pages nobody may read soon costs several times the copy itself, most of all on virtual machines.
    """
    try:
        _copy_direct(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _copy_direct(source: Path, target: Path) -> None:
    """Copy a file past the page cache; ``OSError`` where that cannot be done."""
    direct = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_DIRECT", 0), 0o666)
    try:
        with source.open("rb", buffering=0) as file, mmap.mmap(-1, _AT_ONCE) as buffer, memoryview(buffer) as view:
            at = 0
            while size := file.readinto(view):
                padded = -(-size // _BLOCK) * _BLOCK  # the last block is cut below
                if os.pwrite(direct, view[:padded], at) != padded:
                    raise OSError(f"{target} was not written whole")
                at += size
        os.ftruncate(direct, at)
    finally:
        os.close(direct)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder`` to the disk, the folder itself last."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            fsync_path(Path(root) / name)
        fsync_path(Path(root))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Build a folder beside its place and move it there in one step when the block ends well.

    Parameters
    ----------
    path : Path
        Where the folder shall stand: absent, or empty (an empty folder is replaced).

    Yields
    ------
    Path
        The hidden folder to fill. If the block raises, it is removed and ``path`` stays as it was.
    """
    beside = path.with_name(f".{path.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        with named(path):
            yield beside
            sync_tree(beside)
            os.replace(beside, path)
            fsync_path(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
