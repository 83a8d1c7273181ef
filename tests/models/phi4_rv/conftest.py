"""The tiny reference checkpoint, its expected outputs, and a small picture generator."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from workbench.models.phi4_rv import Phi4RVForConditionalGeneration, Phi4RVProcessor

REFERENCE = Path(__file__).parents[2] / "data" / "phi4_rv_tiny"
CHECKPOINT = REFERENCE / "checkpoint"
CASES = ("a_text", "b_square", "c_wide_downscale")
OFFICIAL_IMAGE_ID = -200


@dataclass(frozen=True)
class Golden:
    """One case: its prompt, pictures and expected tensors."""

    prompts: list[str]
    pictures: list[Image.Image]
    tensors: dict[str, torch.Tensor]

    def expanded(self, ids: list[int], placeholder: int) -> list[int]:
        """Official ids with one placeholder per patch instead of one -200 per picture."""
        patches = iter(self.tensors["spatial_shapes"].prod(1).tolist() if self.pictures else [])
        return [
            new for i in ids for new in ([placeholder] * next(patches) if i == OFFICIAL_IMAGE_ID else [i])
        ]


def read_golden(case: str) -> Golden:
    folder = REFERENCE / "goldens" / case
    facts = json.loads((folder / "golden.json").read_text())
    pictures = [Image.open(path) for path in sorted(folder.glob("image_*.png"))]
    return Golden(facts["prompts"], pictures, load_file(folder / "golden.safetensors"))


@pytest.fixture(scope="session")
def goldens() -> dict[str, Golden]:
    return {case: read_golden(case) for case in CASES}


@pytest.fixture(scope="session")
def model() -> Phi4RVForConditionalGeneration:
    """The reference model, float32. Tests that change it load their own."""
    return Phi4RVForConditionalGeneration.from_pretrained(CHECKPOINT).eval()


@pytest.fixture(scope="session")
def processor() -> Phi4RVProcessor:
    return Phi4RVProcessor.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="session")
def picture():
    """A seeded picture of a given (width, height)."""

    def make(width: int, height: int, seed: int = 0) -> Image.Image:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height))

    return make


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return CHECKPOINT


def chat(question: str, pictures: int = 0) -> str:
    """A short prompt in the model's format, without its long system prompt."""
    return (
        f"<|im_start|>user<|im_sep|>{'<image>' * pictures}{question}<|im_end|><|im_start|>assistant<|im_sep|>"
    )


@pytest.fixture(scope="session", name="chat")
def chat_fixture():
    return chat
