"""The site of the documentation: ``make docs`` builds it into build/docs."""

from importlib.metadata import version as installed

project = "zipline-ashare"
author = "the authors of zipline-ashare"
version = release = installed("zipline-ashare")
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["images"]
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing",  # links to folders of the repository, which a test checks
    "misc.highlighting_failure",  # a block of CSV is shown as it is
]
