"""The model that a recipe trains: its tokenizer shared by a store, its weights fresh or from a trained one"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from ..data import data_path
from ..errors import CheckpointError, InputError
from ..models.load import load
from ..models.phi4_rv import Phi4RVForConditionalGeneration
from ..train.nano import build_nano, nano_config
from .architecture import Architecture
from .parts import part_of
from .recipe import Recipe
from .store import FILES, held
from .variant import MODEL_TYPE, Variant, load_variant, save_variant, variant_of

__all__ = ["base_folder", "build_model", "file_digest", "open_model", "save_model", "start_weights"]

#: What every model of a store has beside its weights and config.
SHARED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "preprocessor_config.json",
)  # fmt: skip


def base_folder(root: Path) -> Path:
    """The store's folder with tokenizer and image settings, those of the built-in model."""
    base = root / ".base"
    if not base.exists():
        with held(root / ".base-lock", wait=600):
            if not base.exists():
                new = root / ".base-new"
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir()
                for name in SHARED:
                    shutil.copyfile(data_path("nano", name), new / name)
                new.replace(base)
    return base


def start_weights(recipe: Recipe, root: Path) -> Path | None:
    """The folder whose weights a recipe begins with; None for fresh ones.

    Args:
        recipe: names them in ``start``.
        root: the store, for "run:HASH".

    Raises:
        InputError: if it holds no weights.
    """
    start = recipe.start
    if start == "fresh":
        return None
    if start.startswith("run:"):
        name = start.removeprefix("run:")
        folder = root / name / FILES["model"]
        if not (root / name / FILES["result"]).is_file() or not (folder / "model.safetensors").is_file():
            raise InputError(
                f"start={start!r}, which is no finished run of this store with its model",
                "a run that is finished and has kept its model",
                "run its recipe first, in the same folder",
            )
        return folder
    folder = data_path("nano") if start == "nano" else Path(start).expanduser()
    if not (folder / "model.safetensors").is_file():
        told = "'fresh', 'nano', 'run:HASH', or a folder with model.safetensors"
        raise InputError(f"start={start!r}", told)
    return folder


def build_model(
    recipe: Recipe, tokenizer: Tokenizer, start: Path | None = None
) -> Phi4RVForConditionalGeneration:
    """The seeded model of a recipe, with the weights that it begins with.

    A trained model may have more layers than the recipe: its lower ones are taken, so ``vision_layer``
    below the trained tower's reads an earlier layer of that tower.

    Args:
        recipe: what to build; of ``start_parts`` it takes the weights.
        tokenizer: of the store.
        start: folder of the weights, from `start_weights`.

    Raises:
        CheckpointError: if the trained weights do not fit.
    """
    shape = recipe.architecture
    sizes = {"width": shape.width, "depth": shape.depth, "tower": shape.vision_layer}
    if shape.standard:
        model = build_nano(tokenizer, seed=recipe.seed, **sizes)
    else:
        model = variant_of(nano_config(tokenizer, **sizes), shape, seed=recipe.seed)
    if start is None:
        return model
    if Tokenizer.from_file(str(start / "tokenizer.json")).to_str() != tokenizer.to_str():
        raise CheckpointError(
            f"{str(start)!r} has another tokenizer than the drawn world's words give now",
            "a model that was trained on the same words",
            "start='fresh', or train that model anew",
        )
    trained = _widened(trained_state(start), model)
    wanted = {k: v for k, v in model.state_dict().items() if part_of(k) in recipe.start_parts}
    wrong = [k for k, v in wanted.items() if k not in trained or trained[k].shape != v.shape]
    if wrong:
        raise CheckpointError(
            f"{str(start)!r} does not fit: {len(wrong)} tensors differ or are missing ({wrong[0]})",
            f"width {shape.width}, at least {shape.depth} decoder and {shape.vision_layer} encoder layers",
            "give architecture the trained model's width, and no more layers than it has; or leave the part "
            "that differs out of start_parts",
        )
    model.load_state_dict({k: trained[k] for k in wanted}, strict=False)
    return model


def _widened(
    trained: dict[str, torch.Tensor], model: Phi4RVForConditionalGeneration
) -> dict[str, torch.Tensor]:
    """A trained projector for S2: its first layer reads the mean of the joined features."""
    name = "model.multi_modal_projector.linear_1.weight"
    wide, own = model.state_dict()[name].shape[1], trained[name].shape[1]
    if wide > own and wide % own == 0:
        trained = {**trained, name: trained[name].repeat(1, wide // own) * (own / wide)}
    return trained


def trained_state(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a trained model, of the built-in model's classes or a variant."""
    return open_model(folder).model.state_dict()


def open_model(folder: Path, *, device: str = "cpu") -> Any:
    """A finished model of any architecture, ready to be asked."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") == MODEL_TYPE:
        return load_variant(folder, device=device)
    return load(str(folder), device=device, dtype="float32", progress=False)


def save_model(model: Phi4RVForConditionalGeneration, architecture: Architecture, folder: Path) -> None:
    """Write a model into a folder that holds tokenizer and template."""
    if architecture.standard:
        model.save_pretrained(folder)
    else:
        assert isinstance(model, Variant), type(model)
        save_variant(model, folder)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
