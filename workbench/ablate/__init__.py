"""Training questions as experiments: recipes, runs, sweeps, and a store of runs that pandas reads.

>>> from workbench import ablate
>>> recipe = ablate.Recipe(mixture={"general": 4000, "maths": 2000, "computer_use": 4000}, reasoning=0.2)
>>> one = ablate.run(recipe, "runs")                    # resumable; named by the recipe's hash
>>> made = ablate.sweep([recipe.replace(seed=s) for s in range(5)], "runs", workers=2)
>>> ablate.runs("runs")                                 # all runs as one table
>>> ablate.claims("mixture")                            # recorded runs beside the published claims

Names are imported when they are first used; recipes and recorded runs load without torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture import Architecture
    from .claims import claims
    from .cost import Cost, Shape, cost, cost_table
    from .microscope import Microscope, microscope
    from .mixture import (
        Noise,
        dirichlet_design,
        mixture_of,
        named_mixtures,
        published_response,
        repetition_caps,
        replicate_noise,
    )
    from .parts import DOMAINS, Budget, Domain, Mixture, Optimiser, Reasoning, Stage
    from .recipe import Recipe
    from .resolution import FedModel, Feed, feed
    from .response import METHODS, Response, fit_response
    from .response_agreement import Agreement, agreement
    from .response_check import CrossValidation, cross_validate, learning_curve
    from .response_search import NextPoint, Optimum
    from .run import Run, run
    from .store import runs
    from .sweep import Sweep, sweep
    from .sweep_file import read_sweep
    from .timing import Timing, calibrate

_HOME = {
    "Architecture": "architecture",
    "claims": "claims",
    **dict.fromkeys(("DOMAINS", "Budget", "Domain", "Mixture"), "parts"),
    **dict.fromkeys(("Optimiser", "Reasoning", "Stage"), "parts"),
    "Recipe": "recipe",
    **dict.fromkeys(("Noise", "dirichlet_design", "mixture_of", "named_mixtures"), "mixture"),
    **dict.fromkeys(("published_response", "repetition_caps", "replicate_noise"), "mixture"),
    **dict.fromkeys(("METHODS", "Response", "fit_response"), "response"),
    **dict.fromkeys(("Agreement", "agreement"), "response_agreement"),
    **dict.fromkeys(("CrossValidation", "cross_validate", "learning_curve"), "response_check"),
    **dict.fromkeys(("NextPoint", "Optimum"), "response_search"),
    **dict.fromkeys(("Run", "run"), "run"),
    "runs": "store",
    **dict.fromkeys(("Sweep", "sweep"), "sweep"),
    "read_sweep": "sweep_file",
    **dict.fromkeys(("FedModel", "Feed", "feed"), "resolution"),
    **dict.fromkeys(("Microscope", "microscope"), "microscope"),
    **dict.fromkeys(("Cost", "Shape", "cost", "cost_table"), "cost"),
    **dict.fromkeys(("Timing", "calibrate"), "timing"),
}

__all__ = [
    "Agreement",
    "Architecture",
    "Budget",
    "Cost",
    "CrossValidation",
    "DOMAINS",
    "Domain",
    "FedModel",
    "Feed",
    "METHODS",
    "Microscope",
    "Mixture",
    "NextPoint",
    "Noise",
    "Optimiser",
    "Optimum",
    "Reasoning",
    "Recipe",
    "Response",
    "Run",
    "Shape",
    "Stage",
    "Sweep",
    "Timing",
    "agreement",
    "calibrate",
    "claims",
    "cost",
    "cost_table",
    "cross_validate",
    "dirichlet_design",
    "feed",
    "fit_response",
    "learning_curve",
    "microscope",
    "mixture_of",
    "named_mixtures",
    "published_response",
    "read_sweep",
    "repetition_caps",
    "replicate_noise",
    "run",
    "runs",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Import a name of this room when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Room(ModuleType):
    """Keeps ``ablate.run`` the function: importing the module of that name would put itself in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room
