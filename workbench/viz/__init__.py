"""Figures and small tables made from records; nothing here touches a model.

>>> from workbench import viz
>>> viz.show_sample(sample)           # a drawn picture with its question, answer and evidence
>>> viz.show_patches(answer)          # which patch of the picture is which token
>>> viz.accuracy(summarise(scored))   # by family and mode, with 95% intervals
>>> viz.overlay(answer, answer.attention.map(-2))   # what a token looked at, on the original pixels
>>> viz.maps([one, other])            # attributions of one answer, side by side
>>> viz.curves(attribution.check())   # insertion and deletion, the map beside random, centre and sinks

Every function returns a matplotlib `Figure` that shows itself in a notebook; keep it with
``figure.savefig("name.png")``.
"""

from __future__ import annotations

from .attention import difference, sheet, timeline
from .faithfulness import checks, curves, maps, proof
from .inside import knockout, knockout_matrix, paired, patching, thought
from .lens import decision, lens_sheet, lens_table
from .overlay import overlay
from .pictures import show, show_patches, show_sample
from .strip import token_strip
from .tables import confusion, costs, gains
from .thinking import accuracy, budget, choice, cost, steps

__all__ = [
    "accuracy",
    "budget",
    "checks",
    "choice",
    "confusion",
    "cost",
    "costs",
    "curves",
    "decision",
    "difference",
    "gains",
    "knockout",
    "knockout_matrix",
    "lens_sheet",
    "lens_table",
    "maps",
    "overlay",
    "paired",
    "patching",
    "proof",
    "sheet",
    "show",
    "show_patches",
    "show_sample",
    "steps",
    "thought",
    "timeline",
    "token_strip",
]
