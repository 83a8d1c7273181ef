"""Tiny models of several families, as handles, for contract tests of attribution."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import workbench
from workbench.answer import Answer
from workbench.errors import LoadError
from workbench.models.vlm import VLM
from workbench.types import Mode, PatchGrid, Span, TokenLayout

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "models"))

import tiny_families  # noqa: E402  (it lies beside the models' tests)

MODELS = (
    *("phi4-rv", "qwen2.5-vl", "qwen3-vl", "gemma3", "gemma4", "glm-4.5v", "idefics3", "llava-onevision"),
    *("internvl", "general"),
)
_OPEN: dict[str, VLM] = {}


def tiny_vlm(name: str, tmp_path_factory: pytest.TempPathFactory) -> VLM:
    """A family's tiny random model; skips where its processor cannot run on this machine."""
    if name not in _OPEN:
        folder = TESTS / "data" / "phi4_rv_tiny" / "checkpoint"
        if name != "phi4-rv":
            folder = tiny_families.build(name, tmp_path_factory.mktemp("tiny") / name)
        try:
            _OPEN[name] = workbench.load(folder, device="cpu", progress=False)
        except LoadError as error:
            if "torchvision" not in str(error):
                raise
            pytest.skip(str(error))
    return _OPEN[name]


def ask(vlm: VLM, *, width: int = 90, height: int = 70, tokens: int = 3) -> Answer:
    """A short reply about noise, of which no token is forced."""
    picture = tiny_families.picture(width, height, seed=3)
    mode = Mode.THINK if vlm.family.name == "gemma4" else Mode.AUTO  # by default its template opens the reply
    return vlm.ask(picture, "What is in this picture?", mode=mode, max_tokens=tokens)


def record(
    *shapes: tuple[int, int], size: tuple[int, int] = (40, 30), reply: int = 3, seed: int = 0
) -> Answer:
    """An answer by hand: one word, pictures with grids of these shapes, a reply of some tokens."""
    grids, at = [], 1
    for number, (rows, cols) in enumerate(shapes):
        region = (0.0, 0.0, float(size[0]), float(size[1]))
        grids.append(PatchGrid(number, rows, cols, at, size, region, cols))
        at += rows * cols
    return Answer(
        text="red <b>",
        thought=None,
        mode=Mode.NOTHINK,
        p_think=None,
        prompt_tokens=at,
        image_tokens=at - 1,
        thought_tokens=0,
        answer_tokens=reply - 1,
        seconds=0.1,
        seconds_to_first_token=0.1,
        stopped="end",
        token_ids=tuple(range(100, 100 + at + reply)),
        spans={"thought": Span(at, at), "answer": Span(at, at + reply - 1)},
        layout=TokenLayout(at, tuple(grids)),
        question="What colour?",
        images=tuple(tiny_families.picture(*size, seed=seed + i) for i in range(len(shapes))),
        model="by-hand",
    )
