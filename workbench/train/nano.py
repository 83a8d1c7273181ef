"""The built-in model: Phi-4-reasoning-vision's own classes, small, and the recipe that trains it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from ..errors import CheckpointError
from ..models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration
from ..synth import EVERYDAY, FAMILIES, FREE, WORLD_1, World
from ..synth.look import ANYWHERE
from .data import Encoder, Mix, build_tokenizer, save_tokenizer
from .loop import Phase, TrainConfig

__all__ = [
    "CONTEXT",
    "EDITIONS",
    "Edition",
    "MOST_PATCHES",
    "RECIPE",
    "build_nano",
    "nano_config",
    "grow",
    "nano_encoder",
    "start_folder",
    "warm_start",
]

CONTEXT = 1024
IMAGE_TOKEN = "<|dummy_80|>"
LEAST_PATCHES, MOST_PATCHES = 16, 128

#: Families whose pictures hold little to read for their size come more often.
WEIGHTS = dict.fromkeys(FAMILIES, 1.0) | {
    "pie_share": 1.5,
    "geometry": 1.5,
    "read_sign": 1.5,
    "arrows": 1.5,
    "gui_links": 1.5,
    "gui_find": 1.5,
    "chain": 1.5,
    "shape_change": 1.5,
    "shape_relation": 1.5,
}

#: With some hours of two cores not all families can be learned: these are given most of the time.
FOCUS = dict.fromkeys(FAMILIES, 0.25) | {
    "chain": 3.0,
    "gui_links": 2.0,
    "bar_walk": 2.0,
    "arrows": 1.0,
    "bar_value": 1.0,
    "geometry": 1.0,
    "pie_share": 1.0,
    "gui_state": 1.0,
    "gui_find": 1.5,
    "read_sign": 1.0,
    "shape_colour": 1.5,
}

#: With attention supervision (`losses.AttentionSupervision`) the perception families come quickly; several
#: steps were learned before.
LOOKS = dict.fromkeys(FAMILIES, 1.0) | {
    "chain": 0.5,
    "gui_links": 0.4,
    "bar_walk": 0.4,
    "arrows": 0.5,
    "read_sign": 0.5,
    "geometry": 0.5,
    "gui_state": 0.4,
    "table_value": 1.5,
    "gui_find": 1.2,
    "pie_share": 1.2,
    "shape_count": 1.2,
    "shape_change": 1.2,
}

#: In the end, what is not yet good or was half forgotten comes more often, and all else is kept alive.
LAST = dict.fromkeys(FAMILIES, 0.6) | {
    "chain": 1.2,
    "gui_find": 1.8,
    "pie_share": 1.8,
    "bar_value": 1.0,
    "line_value": 1.2,
    "table_value": 1.2,
    "shape_relation": 1.0,
    "read_sign": 0.8,
    "arrows": 0.3,
}

#: Counting in one step comes last of all, and with a share of its own: at 5% of the pictures it stood still.
COUNTS = dict.fromkeys(FAMILIES, 0.5) | {
    "shape_count": 4.0,
    "pie_share": 2.2,
    "shape_relation": 1.2,
    "chain": 1.2,
    "shape_change": 0.9,
    "geometry": 0.8,
    "table_value": 0.7,
    "arrows": 0.15,
}
END = COUNTS | {
    "shape_count": 3.0,
    "pie_share": 3.0,
    "chain": 1.8,
    "shape_relation": 1.0,
    "shape_change": 0.8,
    "table_value": 0.5,
    "arrows": 0.1,
}

#: Conversations that go on with other pictures fill batches well, which suits the encoder; the decoder
#: learns to look things up much sooner where there is one picture to look at.
RECIPE = TrainConfig(
    steps=9500,
    encoder_steps=1750,
    checkpoint_interval=250,
    phases=(
        Phase(0, 32, Mix(weights=WEIGHTS)),
        Phase(2500, 40, Mix(weights=WEIGHTS, again=0.05, questions=6, budget=140)),
        Phase(3250, 24, Mix(weights=FOCUS, again=0.05, questions=6, budget=140)),
        Phase(6000, 24, Mix(weights=LOOKS, again=0.05, questions=6, budget=140)),
        Phase(8000, 24, Mix(weights=LAST, again=0.05, questions=6, budget=140)),
        Phase(9750, 24, Mix(weights=COUNTS, think_look=0.15, again=0.05, questions=6, budget=140)),
        Phase(10750, 24, Mix(weights=END, think_look=0.15, again=0.05, questions=6, budget=140)),
    ),
)


#: What is to be read comes more often while the encoder alone learns; a page full of words teaches most.
READS = dict.fromkeys((*FAMILIES, *FREE), 0.7) | {
    "word_after": 8.0,
    "read_text": 1.5,
    "table_value": 1.5,
    "gui_links": 2.0,
    "arrows": 1.5,
    "bar_walk": 1.0,
    "shape_count": 0.2,
    "shape_colour": 0.2,
    "shape_relation": 0.5,
    "shape_change": 0.3,
}


#: All families of the second world; its decoder has lost what it knew of several steps and learns them again.
TASKS = dict.fromkeys(EVERYDAY, 0.7) | {"receipt_sum": 0.4, "homework": 0.4, "sequence": 0.5}
LOOKS_2 = (
    dict.fromkeys((*FAMILIES, *FREE), 1.0) | {"word_after": 1.5, "read_text": 1.5, "table_value": 1.5} | TASKS
)

#: After the first 28,000 steps it read well, and fell short where a thought needs several readings or a word
#: is spelt (LOG.md): these come more often in the last part.
WEAK = dict.fromkeys((*FAMILIES, *FREE, *EVERYDAY), 0.4) | {
    "read_text": 2.0,
    "word_after": 1.0,
    "table_value": 2.0,
    "series_value": 2.0,
    "line_value": 1.2,
    "bar_value": 1.0,
    "pie_share": 1.2,
    "shape_count": 1.0,
    "chain": 1.5,
    "bar_walk": 1.0,
    "gui_links": 1.0,
    "arrows": 1.0,
    "receipt_sum": 1.5,
    "homework": 1.5,
    "sequence": 1.5,
}


def worn(plain: float = 0.0, shift: float = ANYWHERE) -> World:
    """The second world as training sees it: some pictures turned, blurred, noisy, compressed or grey, and a
    share of ``plain`` ones, which stand off the grid by ``shift`` pixels at most."""
    return World(2, worn=True, plain=plain, shift=shift)


#: In the second world a text must be read wherever it stands: that takes the encoder most of its time.  It
#: begins with drawings that are only moved: thrown at all typefaces and sizes at once, the first edition's
#: encoder forgot in 50 steps what it could read, and named 19% of the texts after 600 (LOG.md).
RECIPE_2 = TrainConfig(
    steps=21_600,
    encoder_steps=12_000,
    decay=0.25,
    restart=(28_000, 8e-4),
    by_label=True,
    checkpoint_interval=200,
    lr=1.6e-3,
    warmup=200,
    phases=(
        Phase(0, 16, Mix(weights=READS, world=worn(1.0, shift=0.4))),
        Phase(400, 16, Mix(weights=READS, world=worn(1.0, shift=0.8))),
        Phase(800, 16, Mix(weights=READS, world=worn(1.0, shift=1.2))),
        Phase(1_200, 16, Mix(weights=READS, world=worn(1.0, shift=1.6))),
        Phase(1_600, 16, Mix(weights=READS, world=worn(1.0))),
        Phase(6_000, 16, Mix(weights=READS, world=worn(0.6))),
        Phase(12_000, 16, Mix(weights=LOOKS_2, again=0.05, questions=6, budget=170, world=worn(0.7))),
        Phase(
            18_000, 16, Mix(weights=LOOKS_2, again=0.05, questions=6, budget=170, world=worn(0.5), grid=0.15)
        ),
        Phase(
            23_000, 16, Mix(weights=LOOKS_2, again=0.05, questions=6, budget=170, world=worn(0.3), grid=0.15)
        ),
        Phase(28_000, 16, Mix(weights=WEAK, again=0.05, questions=6, budget=170, world=worn(0.3), grid=0.1)),
    ),
)


@dataclass(frozen=True)
class Edition:
    """One edition of the built-in model: the world that it sees, its shape, and the recipe that trains it.

    Args:
        world: which it is measured in; its recipe's phases say which it is trained in.
        recipe: the whole run.
        vocabulary: tokens.
        width: hidden size of tower and decoder.
        depth: decoder layers.
        tower: layers of the tower that run.
        places: learned positions of the tower, a square number.
        most_patches: of a picture; larger ones are scaled down.
    """

    world: World = WORLD_1
    recipe: TrainConfig = RECIPE
    vocabulary: int = 1280
    width: int = 160
    depth: int = 4
    tower: int = 4
    places: int = 64
    most_patches: int = MOST_PATCHES


#: Number of the drawn world -> the edition of the built-in model that sees it.
EDITIONS = {
    1: Edition(),
    2: Edition(World(2), RECIPE_2, vocabulary=2048, tower=6, places=256, most_patches=256),
}


def nano_config(
    tokenizer: Tokenizer,
    *,
    width: int = 160,
    depth: int = 4,
    tower: int = 4,
    places: int = 64,
    most_patches: int = MOST_PATCHES,
) -> Phi4RVConfig:
    """The built-in model's shape.

    Args:
        tokenizer: gives the vocabulary and the control tokens' ids.
        width: hidden size of tower and decoder.
        depth: decoder layers.
        tower: layers of the tower that run; one more is there and, as in the big model, unused.
        places: learned positions of the tower, a square number.
        most_patches: of a picture; larger ones are scaled down.
    """
    token = tokenizer.token_to_id
    heads = 4
    return Phi4RVConfig(
        text_config={
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": CONTEXT,
            "original_max_position_embeddings": CONTEXT,
            "rope_theta": 10000.0,
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|dummy_85|>"),
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": tower + 1,
            "num_attention_heads": heads,
            "patch_size": 16,
            "num_patches": places,
            "vision_use_head": False,
        },
        image_token_id=token(IMAGE_TOKEN),
        min_num_patches=LEAST_PATCHES,
        max_num_patches=most_patches,
        tokenizer_model_max_length=CONTEXT,
        tie_word_embeddings=True,
    )


def build_nano(tokenizer: Tokenizer, *, seed: int = 0, **shape: int) -> Phi4RVForConditionalGeneration:
    """A fresh, seeded model."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Phi4RVForConditionalGeneration(nano_config(tokenizer, **shape))


def nano_encoder(tokenizer: Tokenizer, edition: Edition = EDITIONS[1]) -> Encoder:
    """Writes drawings as the built-in model reads them; in the second world, letter by letter too."""
    return Encoder(tokenizer, IMAGE_TOKEN, spelling=edition.world.version == 2)


def warm_start(model: Phi4RVForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> None:
    """Give a fresh model the weights of a trained one of the same shape.

    Raises:
        CheckpointError: if the folder's model has another tokenizer or another shape.
    """
    trained = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if trained.to_str() != tokenizer.to_str():
        raise CheckpointError(
            f"{folder} has another tokenizer",
            "a model of the same words",
            "train from the start, without --init",
        )
    weights = Phi4RVForConditionalGeneration.from_pretrained(folder).state_dict()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder} holds a model of another shape ({error})", "the shape of nano_config"
        ) from None


def grow(model: Phi4RVForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> None:
    """Give a fresh model what a smaller one of another vocabulary has learned.

    A token that both know keeps its embedding, and a new one begins at the mean of its pieces'.  New layers
    of the tower stand between the old ones and begin by changing nothing; positions are interpolated.

    Raises:
        CheckpointError: if the folder's model has another width or depth, or a deeper tower.
    """
    known = Tokenizer.from_file(str(folder / "tokenizer.json"))
    old = Phi4RVForConditionalGeneration.from_pretrained(folder)
    ours, theirs = model.config.text_config, old.config.text_config
    sizes = ("hidden_size", "num_hidden_layers", "intermediate_size")
    if any(getattr(ours, size) != getattr(theirs, size) for size in sizes):
        raise CheckpointError(
            f"{folder} holds a model of {theirs.hidden_size} x {theirs.num_hidden_layers} (width x depth)",
            f"{ours.hidden_size} x {ours.num_hidden_layers}, the same width and depth",
            "train from the start, without --init",
        )
    weights, fresh = old.state_dict(), model.state_dict()
    for name in (n for n in fresh if n.endswith(("embed_tokens.weight", "lm_head.weight"))):
        weights[name] = _embeddings(weights[name], fresh[name], known, tokenizer)
    for name in (n for n in fresh if n.endswith("position_embedding.weight")):
        weights[name] = _positions(weights[name], len(fresh[name]))
    weights = _deeper(weights, old.config.vision_config.num_hidden_layers, model.config.vision_config)
    model.load_state_dict(fresh | weights)


def _embeddings(
    rows: torch.Tensor, fresh: torch.Tensor, known: Tokenizer, tokenizer: Tokenizer
) -> torch.Tensor:
    """Embeddings ``[vocabulary, width]`` for a tokenizer's tokens, from those of another."""
    made = fresh.clone()
    for token, number in tokenizer.get_vocab().items():
        same = known.token_to_id(token)
        text = tokenizer.decode([number], skip_special_tokens=False)
        ids = [same] if same is not None else known.encode(text, add_special_tokens=False).ids
        if ids:
            made[number] = rows[ids].mean(0)
    return made


def _positions(table: torch.Tensor, count: int) -> torch.Tensor:
    """A square table of positions ``[places, width]`` with more places, interpolated."""
    side, new = round(len(table) ** 0.5), round(count**0.5)
    grid = table.T.reshape(1, -1, side, side)
    grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bilinear", align_corners=False)
    return grid.reshape(table.shape[1], count).T.contiguous()


def _deeper(weights: dict[str, torch.Tensor], layers: int, vision: Any) -> dict[str, torch.Tensor]:
    """A tower's layers spread over more; between them stand copies whose output is zero."""
    running, wanted = layers - 1, vision.num_hidden_layers - 1
    if wanted < running:
        raise CheckpointError(f"a tower of {running} layers", f"at most {wanted}")
    new = [round((i + 1) * wanted / running) - 1 for i in range(running)]
    source = {place: i for i, place in enumerate(new)} | {wanted: running}
    made = {k: v for k, v in weights.items() if ".encoder.layers." not in k}
    for place in range(wanted + 1):
        old = source.get(place, max(i for i, p in enumerate([0, *new]) if p <= place) - 1)
        old = max(0, old)
        for name, tensor in weights.items():
            head, found, tail = name.partition(f".encoder.layers.{old}.")
            if found:
                silent = place not in source and ("out_proj" in tail or "fc2" in tail)
                made[f"{head}.encoder.layers.{place}.{tail}"] = (
                    torch.zeros_like(tensor) if silent else tensor.clone()
                )
    return made


def start_folder(folder: Path, edition: Edition = EDITIONS[1]) -> Tokenizer:
    """Write everything but the weights: tokenizer, template, image settings.

    Raises:
        CheckpointError: if the folder's tokenizer is another one: its weights would read nonsense.
    """
    file = folder / "tokenizer.json"
    before = file.read_text(encoding="utf-8") if file.exists() else None
    built = build_tokenizer(edition.vocabulary, world=edition.world)
    if before is not None and before != built.to_str(pretty=True):
        raise CheckpointError(
            f"{file} is not the tokenizer that the drawn world's words give now",
            "the words and pictures of when this run began",
            "use a new folder, or go back to that commit",
        )
    tokenizer = save_tokenizer(folder, context=CONTEXT, vocab_size=edition.vocabulary, world=edition.world)
    images = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "Siglip2ImageProcessorNoUpscale",
        "image_std": [0.5, 0.5, 0.5],
        "max_num_patches": edition.most_patches,
        "min_num_patches": LEAST_PATCHES,
        "patch_size": 16,
        "processor_class": "Phi4VisionRProcessor",
        "rescale_factor": 1 / 255,
        "resample": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(images, indent=2) + "\n")
    return tokenizer
