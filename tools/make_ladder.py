"""Compute the figures of the ladder anew: python tools/make_ladder.py

Writes down, in data/ladder/ladder.json, what `memory_plan` says of the configs there and of data/phi4_rv_15b.
"""

from __future__ import annotations

from dataclasses import asdict

import workbench
from workbench.files import data_path, write_json
from workbench.models.ladder import Rung
from workbench.models.memory_plan import CUDA_RESERVE

#: Hub id -> folder of its config, and most tokens of a picture where it is to take fewer than it could.
MODELS: dict[str, tuple[str, int | None]] = {
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": ("ladder/SmolVLM2-256M-Video-Instruct", None),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": ("ladder/SmolVLM2-500M-Video-Instruct", None),
    "Qwen/Qwen3-VL-2B-Instruct": ("ladder/Qwen3-VL-2B-Instruct", 3600),
    "Qwen/Qwen3-VL-4B-Instruct": ("ladder/Qwen3-VL-4B-Instruct", 3600),
    "Qwen/Qwen3-VL-8B-Instruct": ("ladder/Qwen3-VL-8B-Instruct", 3600),
    "microsoft/Phi-4-reasoning-vision-15B": ("phi4_rv_15b", None),
}


def rungs(model: str) -> list[Rung]:
    """The ways to load one model, the most precise first."""
    folder, image_tokens = MODELS[model]
    plan = workbench.memory_plan(data_path(*folder.split("/")), device="cpu", image_tokens=image_tokens)
    return [
        Rung(
            model=model,
            parameters=plan.total_parameters,
            image_tokens=image_tokens,
            precision=row.precision,
            weights=row.weights,
            working=row.on_device - row.weights,
            reserve=CUDA_RESERVE,
        )
        for row in plan.rows
        if "offload" not in row.precision
    ]


def main() -> None:
    """Plan for every model and write the figures down."""
    found = [asdict(rung) for model in MODELS for rung in rungs(model)]
    write_json(data_path("ladder") / "ladder.json", {"rungs": found})
    print(workbench.models.ladder())


if __name__ == "__main__":
    main()
