"""Where ingestions lie below zipline's root: known without importing zipline, which takes a second and a half."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from engine.panels.store import SUBFOLDER

DEFAULT = "ashare"


def bundle_root(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that zipline keeps the ingestions of a bundle in."""
    root = environ.get("ZIPLINE_ROOT")
    return (Path(root) if root is not None else Path("~/.zipline").expanduser()) / "data" / name


def folder_name(made: pd.Timestamp) -> str:
    """Return zipline's name for the folder of an ingestion made at a time (UTC, zone-naive)."""
    return made.isoformat().replace(":", ";")


def time_of(folder: Path) -> pd.Timestamp:
    """Return the time (UTC, zone-naive) in the name of an ingestion's folder."""
    return pd.Timestamp(folder.name.replace(";", ":"))


def ingestions(root: Path) -> list[tuple[pd.Timestamp, Path]]:
    """Return the complete ingestions in a bundle's folder with their times (UTC, zone-naive), oldest first."""
    folders = [path for path in root.glob("[!.]*") if (path / SUBFOLDER / "manifest.json").is_file()]
    return sorted((time_of(path), path) for path in folders)
