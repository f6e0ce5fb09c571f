"""``ashare -v`` and ``ashare --log FILE``: what engine and zipline note while they work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from engine.errors import UsageError

_SILENT = ("urllib3", "requests", "apprise", "httpx", "matplotlib", "filelock", "alembic")
"""Libraries whose notes stay out: some of them name the addresses they write to, and those are secrets."""
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def noting(verbose: bool, path: Path | None) -> Iterator[None]:
    """Send what is noted in the block to standard error, to a file, or both; the file has what ended it, too.

    Parameters
    ----------
    verbose : bool
        Show all of it on standard error; otherwise warnings only, as without any of this.
    path : Path or None
        The file; it is added to.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    handlers = [_shown(logging.INFO if verbose else logging.WARNING), *([] if path is None else [_file(path)])]
    root, before = logging.getLogger(), logging.getLogger().level
    for handler in handlers:
        handler.addFilter(_ours)
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        for handler in handlers[1:]:  # on standard error it is shown anyway
            handler.handle(_end(error))
        raise
    finally:
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


def _shown(level: int) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def _file(path: Path) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"{path} cannot be written", why, "Name another file with --log.") from None
    handler.setFormatter(logging.Formatter(_FORMAT))
    return handler


def _end(error: Exception) -> logging.LogRecord:
    """Return the note of an error that ends the command: one line of ours, the whole traceback of any other."""
    level, said, trace = logging.ERROR, "unexpected", None
    if isinstance(error, click.exceptions.Exit):
        level, said = logging.INFO, f"exit code {error.exit_code}"
    elif isinstance(error, click.ClickException):
        said = error.format_message()
    else:
        trace = (type(error), error, error.__traceback__)
    return logging.LogRecord("ashare", level, __file__, 0, said, None, trace)


def _ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] not in _SILENT
