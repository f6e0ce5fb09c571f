"""Sentences in Chinese and English."""

from importlib.resources import files
from string import Formatter

import pytest
from babel.messages.pofile import read_po

from engine.words import LANGUAGES, language_of, say_in


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "zh"),
    ],
)
def test_the_language_is_what_the_terminal_asks_for(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


def test_a_sentence_is_translated_before_its_places_are_filled() -> None:
    assert say_in("zh")("Result") == "业绩"
    assert say_in("en")("{count:,} orders", count=1234) == "1,234 orders"
    assert say_in("zh")("no such {what}", what="sentence") == "no such sentence"


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(KeyError):
        say_in("fr")
    assert set(LANGUAGES) == {"en", "zh"}


def _sentences() -> list[tuple[str, str]]:
    with files("engine").joinpath("locale", "zh.po").open("rb") as stream:
        return [(str(one.id), str(one.string)) for one in read_po(stream, abort_invalid=True) if one.id]


def test_every_translation_fills_the_places_of_its_sentence() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    wrong = [english for english, chinese in _sentences() if not chinese or places(english) != places(chinese)]
    assert not wrong
