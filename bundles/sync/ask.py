"""Asking: many questions at once, each until its answers agree."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from bundles.endpoints import ENDPOINTS
from bundles.sync.inbox import Inbox
from bundles.sync.plan import Question
from bundles.tushare.client import Client
from bundles.tushare.errors import Inconsistent

_MORE = 4
"""Answers beyond those needed before a vendor who says something else each time is given up."""

Progress = Callable[[str, int, int], None]
"""Told what is asked, how many questions are answered, and how many there are."""


@dataclass
class Asker:
    """Puts questions to the vendor and files the answers.

    Attributes
    ----------
    client : Client
        Who asks.
    inbox : Inbox
        Where answers go.
    answers : int
        Answers in a row that must be equal.
    connections : int
        Questions under way at once.
    progress : callable
        Told how it goes.
    """

    client: Client
    inbox: Inbox
    answers: int
    connections: int
    progress: Progress

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask what the inbox does not hold yet.

        Raises
        ------
        VendorError
            The first that came up; what was answered by then stays in the inbox.
        """
        open_questions = deque(_in_turn(question for question in questions if self.inbox.find(question) is None))
        done = len(questions) - len(open_questions)
        running: dict[Future[None], Question] = {}
        self.progress("", done, len(questions))
        with ThreadPoolExecutor(self.connections) as pool:
            try:
                while open_questions or running:
                    while open_questions and len(running) < self.connections:
                        question = open_questions.popleft()
                        running[pool.submit(self._answer, question)] = question
                    for finished in wait(running, return_when=FIRST_COMPLETED).done:
                        question = running.pop(finished)
                        finished.result()
                        done += 1
                        self.progress(question.table, done, len(questions))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, question: Question) -> None:
        self.inbox.put(question, agreed(self.client, question, self.answers))


def agreed(client: Client, question: Question, answers: int) -> pl.DataFrame:
    """Return the answer to a question once so many in a row were equal.

    Raises
    ------
    VendorError
        The vendor gives none, or another one each time.
    """
    last, equal = None, 0
    for _ in range(answers + _MORE):
        frame = client.fetch(question.api, dict(question.params), question.fields, rows_expected=question.rows_expected)
        frame = in_order(question.table, frame)
        equal = equal + 1 if last is not None and frame.equals(last) else 1
        if equal >= answers:
            return frame
        last = frame
    raise Inconsistent(
        f"{question.name} cannot be believed",
        f"of {answers + _MORE} answers no {answers} in a row were equal",
        "Run it again later.",
        question.api,
    )


def in_order(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows in an order that follows from what they say: by code, then dates, then the rest."""
    columns = ENDPOINTS[table].schema.columns() if table in ENDPOINTS else {}
    dates = [name for name, column in columns.items() if isinstance(column, dy.Date)]
    order = dict.fromkeys([*(name for name in ("ts_code",) if name in frame.columns), *dates, *frame.columns])
    return frame.sort([name for name in order if name in frame.columns])


def _in_turn(questions: Iterable[Question]) -> Iterator[Question]:
    """Yield questions so that endpoints take turns: each has a quota of its own."""
    queues: dict[str, deque[Question]] = defaultdict(deque)
    for question in questions:
        queues[question.api].append(question)
    while queues:
        for api in list(queues):
            yield queues[api].popleft()
            if not queues[api]:
                del queues[api]
