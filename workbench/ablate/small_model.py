"""The model that a recipe trains: its tokenizer shared by a store, its weights fresh or from a trained one"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..data import data_path
from ..errors import CheckpointError, InputError
from ..models.phi4_rv import Phi4RVForConditionalGeneration
from ..train.nano import build_nano, start_folder
from .recipe import Recipe
from .store import held

__all__ = ["base_folder", "build_model", "file_digest", "start_weights"]


def base_folder(root: Path) -> Path:
    """The store's folder with tokenizer and image settings; made once, by whoever comes first."""
    base = root / ".base"
    if not (base / "preprocessor_config.json").exists():
        with held(root / ".base-lock", wait=600):
            if not (base / "preprocessor_config.json").exists():
                new = root / ".base-new"
                shutil.rmtree(new, ignore_errors=True)
                start_folder(new)
                shutil.rmtree(base, ignore_errors=True)
                new.replace(base)
    return base


def start_weights(recipe: Recipe) -> Path | None:
    """The folder whose weights a recipe begins with; None for fresh ones.

    Raises:
        InputError: if it holds no weights.
    """
    if recipe.start == "fresh":
        return None
    folder = data_path("nano") if recipe.start == "nano" else Path(recipe.start).expanduser()
    if not (folder / "model.safetensors").is_file():
        raise InputError(f"start={recipe.start!r}", "'fresh', 'nano', or a folder with model.safetensors")
    return folder


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> Phi4RVForConditionalGeneration:
    """The seeded model of a recipe, with the weights that it begins with.

    A trained model may have more layers than the recipe: its lower ones are taken, so ``vision_layer``
    below the trained tower's reads an earlier layer of that tower.

    Raises:
        CheckpointError: if the trained weights do not fit.
    """
    shape = recipe.architecture
    model = build_nano(
        tokenizer, seed=recipe.seed, width=shape.width, depth=shape.depth, tower=shape.vision_layer
    )
    folder = start_weights(recipe)
    if folder is None:
        return model
    if Tokenizer.from_file(str(folder / "tokenizer.json")).to_str() != tokenizer.to_str():
        raise CheckpointError(
            f"{str(folder)!r} has another tokenizer than the drawn world's words give now",
            "a model that was trained on the same words",
            "start='fresh', or train that model anew",
        )
    trained = Phi4RVForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).state_dict()
    own = model.state_dict()
    wrong = [k for k, v in own.items() if k not in trained or trained[k].shape != v.shape]
    if wrong:
        raise CheckpointError(
            f"{str(folder)!r} does not fit: {len(wrong)} tensors differ or are missing ({wrong[0]})",
            f"width {shape.width}, at least {shape.depth} decoder and {shape.vision_layer} encoder layers",
            "give architecture the trained model's width, and no more layers than it has",
        )
    model.load_state_dict({k: trained[k] for k in own})
    return model


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
