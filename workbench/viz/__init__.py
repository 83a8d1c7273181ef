"""Figures and small tables made from records; nothing here touches a model.

>>> from workbench import viz
>>> viz.show_sample(sample)           # a drawn picture with its question, answer and evidence
>>> viz.show_patches(answer)          # which patch of the picture is which token
>>> viz.accuracy(summarise(scored))   # by family and mode, with 95% intervals

Every function returns a matplotlib `Figure` that shows itself in a notebook; keep it with
``figure.savefig("name.png")``.
"""

from __future__ import annotations

from .pictures import show, show_patches, show_sample
from .tables import confusion, costs, gains
from .thinking import accuracy, budget, choice, cost, steps

__all__ = [
    "accuracy",
    "budget",
    "choice",
    "confusion",
    "cost",
    "costs",
    "gains",
    "show",
    "show_patches",
    "show_sample",
    "steps",
]
