"""Work spread over processes, a fresh interpreter each: what becomes of a piece does not depend on its company."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


def in_processes(
    work: Callable[..., Result],
    pieces: Mapping[Key, tuple[Any, ...]],
    jobs: int,
    initializer: Callable[[], None] | None = None,
) -> Iterator[tuple[Key, Result]]:
    """Yield what becomes of each piece as it is finished; when one fails, those not begun are left.

    Parameters
    ----------
    work : callable
        A function of a module.
    pieces : mapping of hashable to tuple
        The arguments of each.
    jobs : int
        Processes at once.
    initializer : callable, optional
        Called first in every process.
    """
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=initializer) as pool:
        tasks = {pool.submit(work, *arguments): key for key, arguments in pieces.items()}
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def cores() -> int:
    """Return the processors this process may use."""
    return len(os.sched_getaffinity(0))
