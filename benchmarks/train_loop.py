"""Training throughput of our loop: plain or fused attention, drawing, padding, and nanoVLM's loop beside it

python benchmarks/train_loop.py --nanovlm path/to/nanoVLM --out data/benchmarks/train_loop.json

nanoVLM (github.com/huggingface/nanoVLM) is imported from a checkout; none of its code is here.  Both models
have the same sizes and get the same tensors: conversations about pictures of 96 x 96 pixels (36 patches), in
the same batches.  nanoVLM's step is what its train.py does: forward and backward of each batch under bfloat16
autocast (here where the hardware is fast at it), clipping, one step of AdamW.  Ours does more in a step: the
auxiliary losses, and Muon.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from result import keep

from workbench.train.attention import PRODUCTS
from workbench.train.card import hardware
from workbench.train.data import Batch, Mix, batches, build_tokenizer
from workbench.train.loop import TrainConfig, Trainer, phased_trainer
from workbench.train.nano import build_nano, nano_encoder

#: Families whose pictures have 96 x 96 pixels: nanoVLM takes squares of one size.
FAMILIES = ("shape_colour", "shape_count", "shape_relation")
SIDE, PATCH, WIDTH, LAYERS, HEADS = 96, 16, 160, 4, 4

Step = list[Batch]


def nanovlm(
    checkout: Path, vocabulary: int, image_token: int, bf16: bool
) -> tuple[Any, Callable[[Step], None]]:
    """nanoVLM's model at our sizes, and its optimiser step."""
    # Its data pipeline needs torchvision; the model only asks it for a tokenizer, for the image token's id.
    stub = ModuleType("data.processors")
    stub.get_tokenizer = lambda *_, **__: SimpleNamespace(image_token_id=image_token)  # type: ignore[attr-defined]
    sys.modules["data.processors"] = stub
    sys.path.insert(0, str(checkout))
    from models.config import VLMConfig  # type: ignore[import-not-found]
    from models.vision_language_model import VisionLanguageModel  # type: ignore[import-not-found]

    config = VLMConfig(
        vit_hidden_dim=WIDTH, vit_inter_dim=3 * WIDTH, vit_patch_size=PATCH, vit_img_size=SIDE,
        vit_n_heads=HEADS, vit_n_blocks=LAYERS, lm_hidden_dim=WIDTH, lm_inter_dim=3 * WIDTH,
        lm_n_heads=HEADS, lm_n_kv_heads=HEADS // 2, lm_n_blocks=LAYERS, extra_token_amount=0,
        lm_base_vocab_size=vocabulary, lm_vocab_size=vocabulary,
        mp_pixel_shuffle_factor=1, mp_image_token_length=(SIDE // PATCH) ** 2,
    )  # fmt: skip
    model = VisionLanguageModel(config, load_backbone=False).train()
    groups = [
        {"params": list(part.parameters()), "lr": 1e-4}
        for part in (model.MP, model.vision_encoder, model.decoder)
    ]
    optimiser = torch.optim.AdamW(groups)
    parameters = [p for group in groups for p in group["params"]]

    def update(step: Step) -> None:
        for batch in step:
            targets = torch.cat([batch.labels[:, 1:], torch.full_like(batch.labels[:, :1], -100)], dim=1)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                _, loss = model(batch.input_ids, [pixels(batch)], targets=targets)
            (loss / len(step)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return model, update


def with_attention(trainer: Trainer) -> list[Callable[[Step], None]]:
    """The trainer's update with plain attention products, its choice on a CPU, and with the fused kernel."""

    def updater(kernel: str) -> Callable[[Step], None]:
        def update(step: Step) -> None:
            trainer.model.set_attn_implementation(kernel)
            trainer.update(step)

        return update

    return [updater(PRODUCTS), updater("sdpa")]


def pixels(batch: Batch) -> torch.Tensor:
    """Patches put together as pictures ``[pictures, 3, SIDE, SIDE]``."""
    across = SIDE // PATCH
    grid = batch.pixel_values.view(-1, across, across, PATCH, PATCH, 3)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(-1, 3, SIDE, SIDE).contiguous()


def main() -> None:
    """Alternate rounds of both loops; medians, and what drawing and padding cost us."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nanovlm", type=Path, help="a checkout of github.com/huggingface/nanoVLM")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--steps", type=int, default=4, help="in a round")
    parser.add_argument("--note", default="", help="the machine's state, for whoever reads the file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    encoder = nano_encoder(tokenizer)
    mix = Mix(weights=dict.fromkeys(FAMILIES, 1.0), again=0.0, questions=6, budget=300)

    def drawn(seed: str) -> list[Step]:
        return list(islice(batches(encoder, mix, seed=seed, size=options.batch, pool=4), options.steps))

    steps = drawn("benchmark")
    loops: dict[str, Callable[[Step], Any]] = {}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = build_nano(tokenizer)
        trainer = phased_trainer(model, encoder, config=TrainConfig(encoder_steps=0), folder=Path(folder))
        trainer.model.train()
        loops["ours"], loops["ours, fused attention"] = with_attention(trainer)
        sizes["ours"] = sum(p.numel() for p in model.parameters())
        if options.nanovlm:
            other, update = nanovlm(
                options.nanovlm, tokenizer.get_vocab_size(), encoder.image_token, trainer.bf16
            )
            loops["nanovlm"], sizes["nanovlm"] = update, sum(p.numel() for p in other.parameters())
        rounds: dict[str, list[float]] = {name: [] for name in loops}
        drawing: list[float] = []
        for number in range(options.rounds + 1):
            begun = time.perf_counter()
            drawn(f"drawing/{number}")
            if number:  # the first round warms up
                drawing.append(time.perf_counter() - begun)
            for name, update in loops.items():
                begun = time.perf_counter()
                for step in steps:
                    update(step)
                if number:
                    rounds[name].append(time.perf_counter() - begun)
    samples = options.batch * options.steps
    every = [batch for step in steps for batch in step]
    questions = sum(encoder.replies(batch.input_ids) for batch in every)
    median = {name: statistics.median(values) for name, values in rounds.items()}
    draw = statistics.median(drawing)
    result = {
        "conversations_per_second": {k: round(samples / v, 1) for k, v in median.items()},
        "questions_per_second": {k: round(questions / v, 1) for k, v in median.items()},
        "rounds_seconds": {k: [round(v, 3) for v in values] for k, values in rounds.items()},
        "drawing_share_of_a_step": round(draw / (draw + median["ours"]), 4),
        "padded_share_of_tokens": round(
            1
            - sum(int(b.attention_mask.sum()) for b in every) / sum(b.attention_mask.numel() for b in every),
            4,
        ),
        "parameters": sizes,
        "bf16": trainer.bf16,
        "load_average": round(os.getloadavg()[0], 1),
        "settings": {k: v for k, v in vars(options).items() if k not in ("out", "note", "nanovlm")},
        "note": options.note,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
    }
    for name in [other for other in loops if other != "ours"]:
        ratios = [b / a for a, b in zip(rounds["ours"], rounds[name], strict=True)]
        told = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        result[f"ours over {name}"] = {k: round(v, 3) for k, v in told.items()}
    keep(result, options.out)


if __name__ == "__main__":
    main()
