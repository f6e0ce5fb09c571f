"""Files with a secret in them: written for their owner alone, and read only where nobody else may."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from engine.errors import UsageError
from engine.files import replaced_file

TOKEN_FILE = "token"  # noqa: S105
"""Of the home: the vendor's token, where no variable holds it."""
TOKEN_VARIABLES = ("ASHARE_TUSHARE_TOKEN", "TUSHARE_TOKEN")
"""Where the token is looked for before that; the first that is set wins."""
TOKEN_SHAPE = re.compile(r"[0-9A-Za-z._~+/=-]{4,256}")
TOKEN_SIGNS = "a token is 4 to 256 letters, digits and signs of ._~+/=-"  # noqa: S105
ADDRESSES_FILE = "messages"
"""Of the home: whom messages go to, an address a line, where no variable says it."""
ADDRESSES_VARIABLE = "ASHARE_MESSAGES"


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner may read: it is never there with other rights, and never half.

    Parameters
    ----------
    path : Path
        Where it shall stand; its folder is made if needed.
    content : str
        What it shall hold.
    """
    with replaced_file(path) as beside:
        beside.unlink(missing_ok=True)  # of a process that died and had our number
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode())


def is_private(path: Path) -> bool:
    """Say whether nobody but its owner may do anything with a file."""
    return not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


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
