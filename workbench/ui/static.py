"""The static form of widgets: for documents, exported pages and places without a kernel."""

from __future__ import annotations

import os

__all__ = ["STATIC_VARIABLE", "static_only"]

STATIC_VARIABLE = "WORKBENCH_STATIC"
"""Set this environment variable to 1, and every widget shows its static form."""


def static_only() -> bool:
    """Whether widgets are to show their static form; read anew each time."""
    return os.environ.get(STATIC_VARIABLE, "").lower() not in ("", "0", "false", "no")
