"""What the product's checks of itself said, kept for the reports of runs with the same code and data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from engine import clock
from engine.errors import ProofFailed
from engine.files import read_json, write_json

KINDS = ("rules", "lookahead", "parity")
"""Of ``ashare prove``."""


@dataclass(frozen=True)
class Proof:
    """One check that was made.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    code_id, data_id : str
        Of the code and the bundle that were checked.
    passed : bool
        Whether it found nothing.
    extent : str
        How much was looked at.
    made : str
        When it ended.
    """

    kind: str
    code_id: str
    data_id: str
    passed: bool
    extent: str
    made: str


@contextmanager
def noted(home: Path, kind: str, code_id: str, data_id: str, extent: str) -> Iterator[None]:
    """Keep how the verdict of a check ended; one that was broken off leaves nothing."""
    made = clock.now().isoformat(timespec="seconds")
    try:
        yield
    except ProofFailed:
        _keep(home, Proof(kind, code_id, data_id, False, extent, made))
        raise
    _keep(home, Proof(kind, code_id, data_id, True, extent, made))


def _keep(home: Path, proof: Proof) -> None:
    folder = home / "proofs"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = proof.made[:19].replace("-", "").replace(":", "")
    write_json(folder / f"{stamp}-{proof.kind}.json", asdict(proof))


def proofs_of(home: Path, code_id: str, data_id: str) -> dict[str, Proof]:
    """Return by kind what was found of code and data: a failure if there was one, else the newest.

    Parameters
    ----------
    home : Path
        Where lake, models and runs live.
    code_id, data_id : str
        Of a run.
    """
    found: dict[str, Proof] = {}
    for path in sorted((home / "proofs").glob("*.json")):
        try:
            one = Proof(**read_json(path))
        except (OSError, ValueError, TypeError):
            continue  # not ours, or of a version to come: it proves nothing
        before = found.get(one.kind)
        if (one.code_id, one.data_id) == (code_id, data_id) and (before is None or before.passed):
            found[one.kind] = one
    return found
