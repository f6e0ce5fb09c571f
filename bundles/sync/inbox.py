"""Answers on their way into the lake, a file a question, so that a sync which stopped goes on where it was."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from bundles.sync.plan import Question
from engine.errors import Damaged
from engine.files import replaced_file

FOLDER = ".inbox"


class Inbox:
    """The answers there are, in folders named by the day they came.

    Parameters
    ----------
    lake : Path
        The folder of the lake.
    today : date
        The day new answers are filed under.
    """

    def __init__(self, lake: Path, today: dt.date) -> None:
        self.root = lake / FOLDER
        self.today = today
        self._days = sorted((day for path in self.root.glob("*") if (day := _day(path.name))), reverse=True)

    def find(self, question: Question) -> Path | None:
        """Return the file of an answer that may be used today."""
        for day in dict.fromkeys([self.today, *self._days]):
            path = self._path(question, day)
            if question.stands(day, self.today) and path.is_file():
                return path
        return None

    def put(self, question: Question, answer: pl.DataFrame) -> None:
        """File an answer durably."""
        with replaced_file(self._path(question, self.today)) as beside:
            answer.write_ipc_stream(beside, compression="zstd")  # of many small files it is the cheapest kind

    def read(self, questions: Iterable[Question]) -> pl.DataFrame:
        """Return the answers to some questions as one table.

        Raises
        ------
        KeyError
            One has no answer.
        Damaged
            One cannot be read.
        """
        frames = []
        for question in questions:
            path = self.find(question)
            if path is None:
                raise KeyError(question.name)
            frames.append(_read(path))
        full = [frame for frame in frames if frame.height]
        return pl.concat(full or frames[:1], how="vertical_relaxed")

    def drop(self, questions: Iterable[Question]) -> None:
        """Throw answers away, so that they are asked for again."""
        for question in questions:
            while (path := self.find(question)) is not None:
                path.unlink()

    def clear(self) -> None:
        """Remove the inbox when the lake has what was in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _path(self, question: Question, day: dt.date) -> Path:
        return self.root / f"{day:%Y%m%d}" / f"{question.name}.arrow"


def _day(name: str) -> dt.date | None:
    """Return the day a folder is named by; one of another name is not ours."""
    try:
        day = dt.date.fromisoformat(name)
    except ValueError:
        return None
    return day if name == f"{day:%Y%m%d}" else None


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ipc_stream(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:  # a damaged head panics
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(f"{path} cannot be read", problem, "Remove it and run `ashare data sync` again.") from None
