"""Files with a secret in them: read only where nobody but their owner may."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engine.errors import UsageError


def read_private(path: Path, secret: str, instead: str, error: type[UsageError], limit: int = 4096) -> str | None:
    """Return the content of a file that only its owner may read.

    Parameters
    ----------
    path : Path
        The file.
    secret : str
        What is in it, in words, as in "the token".
    instead : str
        What to do where the file cannot be used.
    error : type
        What is raised.
    limit : int
        Bytes that are read at most.

    Returns
    -------
    str or None
        None where there is no such file.

    Raises
    ------
    UsageError
        It cannot be read, is no file, or others may read it; as ``error``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not make us wait
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise error(f"{path} cannot be read", problem.strerror or "unknown", instead) from None
    try:
        _require_private(path, os.fstat(handle), secret, instead, error)
        return os.read(handle, limit).decode("utf-8", "replace").strip()
    finally:
        os.close(handle)


def _require_private(path: Path, state: os.stat_result, secret: str, instead: str, error: type[UsageError]) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise error(f"{path} cannot be read", "it is no file", instead)
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(state.st_mode)
        raise error(
            f"{path} is refused", f"its mode is {mode:04o}, so others may reach {secret}", f"Run `chmod 600 {path}`."
        )
