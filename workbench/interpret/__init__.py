"""What happened inside an answer: attention, attribution and whether it can be trusted, hidden states

>>> attribution = workbench.interpret.attribute(vlm, answer, method="occlusion")
>>> attribution.maps[0], attribution.check().verdict

Records load and show themselves without torch; the verbs import what they need when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attributing import attribute as attribute
    from .attribution import Attribution as Attribution
    from .faithfulness import check_many as check_many
    from .faithfulness_record import Faithfulness as Faithfulness
    from .faithfulness_summary import FaithfulnessSummary as FaithfulnessSummary
    from .league_table import read_league as read_league
    from .methods import METHODS as METHODS
    from .proving import Proof as Proof
    from .proving import prove as prove
    from .targets import Contrast as Contrast

_HOMES = {
    "METHODS": "methods",
    "Attribution": "attribution",
    "Contrast": "targets",
    "Faithfulness": "faithfulness_record",
    "FaithfulnessSummary": "faithfulness_summary",
    "Proof": "proving",
    "attribute": "attributing",
    "check_many": "faithfulness",
    "prove": "proving",
    "read_league": "league_table",
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
