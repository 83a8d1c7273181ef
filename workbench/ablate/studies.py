"""The recorded studies as recipes: mixtures, share of reasoning, pipelines, feeding, architecture

python -m workbench.ablate.studies mixture --folder runs/studies     # runs what is missing, records it
python -m workbench.ablate.studies --again HASH --folder runs/again  # one recorded run again, compared

Sizes are such that a run takes about half a minute of one core and its answers are neither all wrong nor all
right.  What a study shares (a model that sees and answers directly) is itself a run of a recipe, named in the
other recipes by its hash, and is made first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .fields import closest
from .mixture import named_mixtures
from .recipe import Recipe
from .resolution.feeding import METHODS

__all__ = ["STUDIES", "Planned", "Study", "main", "study"]

#: Families of small pictures, three of them with several steps; at difficulty 1.
FAMILIES = (
    "bar_value", "bar_walk", "chain", "geometry", "gui_state", "gui_links", "shape_colour", "read_sign",
)  # fmt: skip
SMALL = {"width": 64, "depth": 3, "vision_layer": 3}
EVEN = {"general": 1 / 3, "maths": 1 / 3, "computer_use": 1 / 3}


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Args:
        recipe: what to run.
        labels: what tells it from the study's other runs, by name.
    """

    recipe: Recipe
    labels: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A question with the runs that are to answer it.

    Args:
        name: of the study and its file.
        question: what is asked.
        runs: all runs, seeds among them.
        bases: runs that they begin with, to be made first, in order.
    """

    name: str
    question: str
    runs: tuple[Planned, ...]
    bases: tuple[Recipe, ...] = ()


def seer() -> Recipe:
    """A small model that sees, and answers directly: what most studies begin with."""
    half = {"share": 0.5}
    return Recipe.from_dict(
        {
            "mixture": EVEN, "reasoning": 0.0, "architecture": SMALL, "families": FAMILIES, "difficulty": 1,
            "stages": [{"kind": "encoder", **half}, {"kind": "all", **half}], "budget": 32_000,
            "optimiser": {"lr": 3e-3}, "modes": ["nothink"], "evaluation": 50,
        }
    )  # fmt: skip


def _after_seer(**changes: Any) -> Recipe:
    base = seer()
    changes = {"start": f"run:{base.hash}", "stages": [{"kind": "all", "share": 1.0}], **changes}
    return base.replace(evaluation=40, modes=["auto", "think", "nothink"], **changes)


def mixture_study(seeds: int = 5) -> Study:
    """The six mixtures of the published table, a thousandth of their records, each seen as often as there."""
    runs = []
    for name, mixture in named_mixtures(0.001).items():
        records = sum(
            d.records * d.repeat for d in (mixture.general, mixture.maths, mixture.computer_use) if d.records
        )
        for seed in range(seeds):
            recipe = _after_seer(mixture=mixture, reasoning=0.2, budget=round(records), seed=seed)
            runs.append(Planned(recipe, {"mixture": name, **mixture.shares()}))
    question = "Does more maths data, or more computer-use data, help which domain?"
    return Study("mixture", question, tuple(runs), (seer(),))


def reasoning_study(seeds: int = 3) -> Study:
    """The share of records with a thought, from none to all."""
    runs = [
        Planned(_after_seer(reasoning=share, budget=2400, seed=seed), {"reasoning": share})
        for share in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
        for seed in range(seeds)
    ]
    question = "How much of the data should carry a thought?"
    return Study("reasoning", question, tuple(runs), (seer(),))


#: Pipeline -> share of thoughts in the text stage, and in the first and second half of the multimodal one.
PIPELINES = {
    "direct LLM, then reasoning": (0.0, 1.0, 1.0),
    "direct LLM, direct, then reasoning": (0.0, 0.0, 1.0),
    "reasoning LLM, then reasoning": (1.0, 1.0, 1.0),
    "reasoning LLM, then a mix": (1.0, 0.2, 0.2),
}


def pipeline_study(seeds: int = 3) -> Study:
    """The report's four pipelines: a decoder from text alone, with traces or without them, then pictures."""
    runs = []
    for name, (text, first, second) in PIPELINES.items():
        stages = [
            {"kind": "text", "share": 0.5, "reasoning": text},
            {"kind": "projector", "share": 0.1, "reasoning": first},
            {"kind": "all", "share": 0.2, "reasoning": first},
            {"kind": "all", "share": 0.2, "reasoning": second},
        ]
        for seed in range(seeds):
            recipe = _after_seer(
                stages=stages, start_parts=["encoder"], reasoning=second, budget=6000, seed=seed
            )
            runs.append(Planned(recipe, {"pipeline": name}))
    question = "In which order should thinking and seeing be learned?"
    return Study("pipelines", question, tuple(runs), (seer(),))


def feeding_study(seeds: int = 3) -> Study:
    """Four ways of feeding at two budgets, finding a small icon on a screen of 256 patches."""
    runs = []
    for budget in (80, 160):
        for method in METHODS:
            tile = None if method == "dynamic_resolution" else 4
            shape = {**SMALL, "feeding": method, "token_budget": budget, "tile": tile}
            for seed in range(seeds):
                recipe = _after_seer(
                    mixture={"computer_use": 1.0}, families=["icon_find"], reasoning=0.0, architecture=shape,
                    start_parts=["encoder", "decoder"], budget=2400, seed=seed,
                ).replace(modes=["nothink"], evaluation=200)  # fmt: skip
                runs.append(Planned(recipe, {"method": method, "token_budget": budget}))
    question = "Which way of feeding a large picture finds a small target?"
    return Study("feeding", question, tuple(runs), (seer(),))


#: What differs from the study's common shape, by its name.
SHAPES: dict[str, dict[str, Any]] = {
    "as built": {},
    "one projector layer": {"projector_depth": 1},
    "three projector layers": {"projector_depth": 3},
    "patches see later ones": {"image_attention": "bidirectional"},
    "encoder at rest": {"freeze_encoder": True},
    "encoder layer 2": {"vision_layer": 2},
    "early fusion": {"fusion": "early", "vision_layer": 0},
}


def architecture_study(seeds: int = 3) -> Study:
    """Choices of the architecture one by one; the projector begins fresh in all, as must early fusion."""
    runs = []
    for name, shape in SHAPES.items():
        parts = ["decoder"] if shape.get("fusion") == "early" else ["encoder", "decoder"]
        for seed in range(seeds):
            recipe = _after_seer(
                architecture={**SMALL, **shape}, start_parts=parts, reasoning=0.2, budget=2400, seed=seed
            )
            runs.append(Planned(recipe, {"shape": name}))
    question = "Which choices of the architecture matter, all else equal?"
    return Study("architecture", question, tuple(runs), (seer(),))


#: Name -> study, in the order in which they are recorded.
STUDIES: dict[str, Callable[[], Study]] = {
    "mixture": mixture_study,
    "reasoning": reasoning_study,
    "pipelines": pipeline_study,
    "feeding": feeding_study,
    "architecture": architecture_study,
}


def study(name: str) -> Study:
    """A study by its name.

    Raises:
        InputError: if there is none of this name.
    """
    if name not in STUDIES:
        raise InputError(f"study={name!r}", f"one of {', '.join(STUDIES)}", closest(name, [*STUDIES]))
    return STUDIES[name]()


def main(arguments: list[str] | None = None) -> int:
    """Record studies, or run one recorded run again."""
    from .recording import again, record

    parser = argparse.ArgumentParser(prog="python -m workbench.ablate.studies", description=main.__doc__)
    parser.add_argument("studies", nargs="*", metavar="NAME", help=f"of {', '.join(STUDIES)}; none: all")
    parser.add_argument("--folder", default="runs/studies", help="of the runs themselves; resumable")
    parser.add_argument("--out", default="data/runs", help="where NAME.parquet goes, or is read from")
    parser.add_argument("--seeds", type=int, metavar="N", help="only runs of the first N seeds")
    parser.add_argument("--again", metavar="HASH", help="run this recorded run again and compare")
    parser.add_argument("--threads", type=int, default=1, help="of this process (1: the same on any machine)")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    if options.again:
        told = again(options.again, Path(options.out), Path(options.folder))
        print(told)
        return 0 if told.same else 1
    for name in options.studies or STUDIES:
        record(study(name), Path(options.out), Path(options.folder), seeds=options.seeds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
