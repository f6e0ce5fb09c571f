"""What a check-up finds: a line each, how bad it is, and what to do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.errors import AshareError

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.words import Say


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of a check-up.

    Attributes
    ----------
    check : str
        What was looked at; programs go by it, so it is the same in every language.
    level : Level
        How bad it is.
    said : str
        What was found.
    remedy : str
        What to do: a command where one helps; empty where nothing is to be done.
    """

    check: str
    level: Level
    said: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {"check": self.check, "level": str(self.level), "said": self.said, "remedy": self.remedy}


@dataclass(frozen=True)
class Patient:
    """What a check-up looks at.

    Attributes
    ----------
    settings : Settings
        In force; the defaults where those cannot be read.
    now : datetime
        The present moment in Shanghai.
    say : Say
        Says sentences in the user's language.
    """

    settings: Settings
    now: dt.datetime
    say: Say


Check = Callable[[Patient], Iterator[Finding]]


def look(name: str, check: Check, patient: Patient) -> Iterator[Finding]:
    """Yield what a check finds; one that fails is a finding itself, and the others go on.

    Parameters
    ----------
    name : str
        What is looked at.
    check : Check
        Yields findings.
    patient : Patient
        What it looks at.
    """
    try:
        yield from check(patient)
    except AshareError as error:
        yield Finding(name, Level.PROBLEM, f"{error.what}: {error.why}", error.mend)
    except Exception as error:
        said = patient.say("could not be looked at: {error}", error=f"{type(error).__name__}: {error}")
        yield Finding(name, Level.PROBLEM, said, patient.say("Report it, with this line."))
