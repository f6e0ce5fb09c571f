"""The token: from the environment or a file only its owner may read, and shown to nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from bundles.tushare.errors import NoToken
from engine.private import TOKEN_FILE, TOKEN_SHAPE, TOKEN_SIGNS, TOKEN_VARIABLES, read_private

VARIABLES = TOKEN_VARIABLES
"""Where the token is looked for, the first that is set wins; then the file ``token`` of the home."""
FILE = TOKEN_FILE
HIDDEN = "**********"


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
    if not TOKEN_SHAPE.fullmatch(value):
        raise NoToken(
            f"{where} holds no token",
            TOKEN_SIGNS,
            "Copy it again from your page at tushare.pro.",
        )
    return SecretStr(value)


def _read_private(path: Path) -> str:
    """Return the content of a file that only its owner may read."""
    content = read_private(path, "the token", f"Set {VARIABLES[0]} instead.", NoToken)
    if content is None:
        raise NoToken(
            "Tushare cannot be asked",
            f"no token: {' and '.join(VARIABLES)} are unset and {path} is not there",
            f"Set {VARIABLES[0]}, or put the token into {path} and run `chmod 600 {path}`.",
        )
    return content
