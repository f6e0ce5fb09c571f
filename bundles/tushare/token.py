"""The token: from the environment or a file only its owner may read, and shown to nobody."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from bundles.tushare.errors import NoToken

VARIABLES = ("ASHARE_TUSHARE_TOKEN", "TUSHARE_TOKEN")
"""Where the token is looked for, the first that is set wins; then the file ``token`` of the home."""
FILE = "token"
HIDDEN = "**********"
_TOKEN = re.compile(r"[0-9A-Za-z._~+/=-]{4,256}")


def read_token(home: Path, environ: Mapping[str, str] = os.environ) -> SecretStr:
    """Return the token.

    Parameters
    ----------
    home : Path
        ``ASHARE_HOME``; its file ``token`` is read if no variable is set.
    environ : mapping
        The environment.

    Raises
    ------
    NoToken
        There is none, it cannot be one, or others may read its file.
    """
    for name in VARIABLES:
        if value := environ.get(name, "").strip():
            return _checked(value, f"the variable {name}")
    return _checked(_read_private(home / FILE), f"the file {home / FILE}")


def scrub(text: str, token: SecretStr) -> str:
    """Return a text in one line of printable characters, the token blotted out."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.replace(token.get_secret_value(), HIDDEN).split())


def _checked(value: str, where: str) -> SecretStr:
    if not _TOKEN.fullmatch(value):
        raise NoToken(
            f"{where} holds no token",
            "a token is 4 to 256 letters, digits and signs of ._~+/=-",
            "Copy it again from your page at tushare.pro.",
        )
    return SecretStr(value)


def _read_private(path: Path) -> str:
    """Return the content of a file that only its owner may read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NoToken(
            "Tushare cannot be asked",
            f"no token: {' and '.join(VARIABLES)} are unset and {path} is not there",
            f"Set {VARIABLES[0]}, or put the token into {path} and run `chmod 600 {path}`.",
        ) from None
    except OSError as error:
        raise NoToken(f"{path} cannot be read", error.strerror or "unknown", f"Set {VARIABLES[0]} instead.") from None
    try:
        _require_private(path, os.fstat(handle))
        return os.read(handle, 4096).decode("utf-8", "replace").strip()
    finally:
        os.close(handle)


def _require_private(path: Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise NoToken(f"{path} cannot be read", "it is no file", f"Set {VARIABLES[0]} instead.")
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(state.st_mode)
        raise NoToken(
            f"{path} is refused", f"its mode is {mode:04o}, so others may reach the token", f"Run `chmod 600 {path}`."
        )
