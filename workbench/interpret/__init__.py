"""What happened inside an answer: attention, attribution and whether it can be trusted, hidden states

>>> attribution = workbench.interpret.attribute(vlm, answer, method="occlusion")
>>> attribution.maps[0], attribution.check().verdict
>>> workbench.interpret.lens(vlm, answer).says(1)  # what each patch says at layer 1
>>> workbench.interpret.knock_out(vlm, answer, region, "thought")  # what a blind thought loses
>>> workbench.interpret.timeline(answer)  # at which sentence it looked where

Records load and show themselves without torch; the verbs import what they need when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attributing import attribute as attribute
    from .attribution import Attribution as Attribution
    from .effects import Knockout as Knockout
    from .effects import Patching as Patching
    from .faithfulness import check_many as check_many
    from .faithfulness_record import Faithfulness as Faithfulness
    from .faithfulness_summary import FaithfulnessSummary as FaithfulnessSummary
    from .knockout import attention_cut as attention_cut
    from .knockout import knock_out as knock_out
    from .league_table import read_league as read_league
    from .lens_record import Lens as Lens
    from .logit_lens import lens as lens
    from .methods import METHODS as METHODS
    from .paired import ModePair as ModePair
    from .paired import compare_thinking as compare_thinking
    from .patching import patch_region as patch_region
    from .places import positions as positions
    from .places import region_positions as region_positions
    from .places import writers as writers
    from .proving import Proof as Proof
    from .proving import prove as prove
    from .sentences import step_boxes as step_boxes
    from .targets import Contrast as Contrast
    from .thinking import timeline as timeline

_HOMES = {
    "Attribution": "attribution",
    "Contrast": "targets",
    "Faithfulness": "faithfulness_record",
    "FaithfulnessSummary": "faithfulness_summary",
    "Knockout": "effects",
    "Lens": "lens_record",
    "METHODS": "methods",
    "ModePair": "paired",
    "Patching": "effects",
    "Proof": "proving",
    "attention_cut": "knockout",
    "attribute": "attributing",
    "check_many": "faithfulness",
    "compare_thinking": "paired",
    "knock_out": "knockout",
    "lens": "logit_lens",
    "patch_region": "patching",
    "positions": "places",
    "prove": "proving",
    "read_league": "league_table",
    "region_positions": "places",
    "step_boxes": "sentences",
    "timeline": "thinking",
    "writers": "places",
}
"""Where each name of this room lives; imported when it is first used."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
