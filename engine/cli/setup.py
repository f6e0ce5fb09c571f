"""``ashare init``: one line in zipline's ``extension.py``."""

from __future__ import annotations

from pathlib import Path

import click

LINE = "import engine.extension"


@click.command()
def init() -> None:
    """Make the stock zipline command load the engine.

    Writes one line into extension.py in zipline's root ($ZIPLINE_ROOT, by default ~/.zipline); what stands there stays.
    """
    path = extension_file()
    changed = add_line(path)
    click.echo(f"{path}: {'added' if changed else 'has'} the line {LINE!r}")


def extension_file() -> Path:
    """Return zipline's extension file."""
    import zipline.utils.paths as zipline_paths

    return Path(zipline_paths.default_extension())


def add_line(path: Path) -> bool:
    """Add our line to an extension file unless it is there; say whether it was added."""
    from engine.files import write_bytes

    text = path.read_text("utf-8") if path.exists() else ""
    if LINE in text.splitlines():
        return False
    write_bytes(path, (text + ("" if not text or text.endswith("\n") else "\n") + LINE + "\n").encode())
    return True
