"""Where tensors are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.errors import UsageError


def device_of(named: str) -> torch.device:
    """Return the device a setting names: ``auto`` is a CUDA device where there is one, else the CPU.

    Raises
    ------
    UsageError
        It names CUDA, and there is no such device.
    """
    there = torch.cuda.is_available()
    if named == "cuda" and not there:
        raise UsageError("there is no CUDA device", "torch finds none", "Choose cpu or auto.")
    return torch.device("cuda" if there and named != "cpu" else "cpu")


def on_one_thread() -> None:
    """Let this process compute on one thread, so that sums are taken in one order."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread in the block."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    on_one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
