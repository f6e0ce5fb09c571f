"""Zipline's SQLite files, written without zipline: equal content gives equal bytes, in a tenth of the time.

The schemas beside this module are those of zipline's own writers; a test compares them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_SCHEMAS = Path(__file__).with_name("schema")


@contextmanager
def database(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """Make a database with the tables of a schema and fill it in one transaction.

    Parameters
    ----------
    path : Path
        A file that is there already is replaced.
    schema : str
        ``assets`` or ``adjustments``.

    Yields
    ------
    sqlite3.Connection
        What is written is committed when the block ends well.
    """
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        # nobody reads the file before its folder is moved to its place, and that is flushed to the disk as a whole
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(f"BEGIN;\n{(_SCHEMAS / f'{schema}.sql').read_text('utf-8')}")
        yield connection
        connection.commit()
