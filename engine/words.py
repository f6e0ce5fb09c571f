"""What people read, in their language: English sentences are the keys, ``engine/locale/zh.po`` holds the Chinese ones.

A sentence may have named places, ``"{count:,} orders"``; they are filled after it was translated, so a translation
orders and formats them as its language does. Log lines, tables of files and exceptions' classes stay English.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Protocol

LANGUAGES = ("en", "zh")


class Say(Protocol):
    """Returns a sentence in a language, its places filled."""

    def __call__(self, sentence: str, /, **values: object) -> str:
        """Return the sentence; one that has no translation is returned in English."""


def language_of(environment: Mapping[str, str] = os.environ) -> str:
    """Return the language a terminal asks for: ``zh`` or ``en``, by LC_ALL, LC_MESSAGES and LANG, in this order."""
    named = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "zh" if named.lower().startswith("zh") else "en"


def say_in(language: str) -> Say:
    """Return what says sentences in a language.

    Raises
    ------
    KeyError
        There is no such language.
    """
    known = _CATALOGUES[language]()

    def say(sentence: str, /, **values: object) -> str:
        found = known.get(sentence) or sentence
        return found.format(**values) if values else found

    return say


@cache
def _catalogue() -> dict[str, str]:
    from babel.messages.pofile import read_po

    with files("engine").joinpath("locale", "zh.po").open("rb") as stream:
        return {str(one.id): str(one.string) for one in read_po(stream, locale="zh") if one.id and one.string}


_CATALOGUES: Mapping[str, Callable[[], dict[str, str]]] = {"en": dict, "zh": _catalogue}
