"""A recipe that runs in seconds, and a store whose tokenizer is there already."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from workbench.ablate import Recipe
from workbench.train import nano, tokenizer

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


def make_base(folder: Path) -> Path:
    """Tokenizer and image settings from few pictures: the real ones take a minute."""
    whole = tokenizer.build_tokenizer
    tokenizer.build_tokenizer = functools.partial(whole, pictures=20)
    try:
        nano.start_folder(folder)
    finally:
        tokenizer.build_tokenizer = whole
    return folder


def new_store(folder: Path, base: Path) -> Path:
    """An empty store with the tokenizer in it."""
    shutil.copytree(base, folder / ".base")
    return folder
