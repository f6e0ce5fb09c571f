"""What says sentences in another language and refuses those that have no translation."""

from __future__ import annotations

import re
from importlib.resources import files

from babel.messages.pofile import read_po

from engine.words import Say, say_in

NAMES = r"[0-9]{6}\.[A-Z]{2}|[\d-]+|synthetic"
"""What is the same in every language: codes, months, and the label a user gave the data."""


def catalogue() -> set[str]:
    """Return the sentences that have one."""
    with files("engine").joinpath("locale", "zh.po").open("rb") as stream:
        return {str(one.id) for one in read_po(stream) if one.id and one.string}


def strict(language: str) -> Say:
    """Return a sayer that refuses what is in no catalogue."""
    known, say = catalogue(), say_in(language)

    def refuse(sentence: str, /, **values: object) -> str:
        assert sentence in known or re.fullmatch(NAMES, sentence), sentence
        return say(sentence, **values)

    return refuse
