"""A plug-in for vlm-workbench that adds one of each kind; each kind has a module."""

from __future__ import annotations

__all__ = ["register"]


def register() -> None:
    """Add what this package brings; the workbench calls it when a table is first read."""
    from . import benchmark, drawing, family, method

    family.register()
    drawing.register()
    method.register()
    benchmark.register()
