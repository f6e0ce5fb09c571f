"""Where tensors are computed."""

from __future__ import annotations

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
