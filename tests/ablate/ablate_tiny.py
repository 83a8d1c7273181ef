"""A recipe that runs in seconds."""

from __future__ import annotations

from workbench.ablate import Recipe

TINY = Recipe(
    mixture={"general": 12, "maths": {"records": 6, "repeat": 2}},
    families=("read_sign", "chain"),
    architecture={"width": 32, "depth": 1, "vision_layer": 1},
    stages=[
        {"kind": "encoder", "share": 0.3},
        {"kind": "projector", "share": 0.2},
        {"kind": "all", "share": 0.5},
    ],
    budget=24,
    optimiser={"batch": 2},
    evaluation=1,
)
