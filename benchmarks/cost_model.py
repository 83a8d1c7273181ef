"""The cost model against measurement: operations, cache, and milliseconds on sizes that were not fitted

python benchmarks/cost_model.py                      # the built-in model's shape and a mid-size one, on a CPU
python benchmarks/cost_model.py --clock wall --threads 2

Operations are counted by `torch.utils.flop_counter` on the real classes, at the published 15B shape without
memory (meta tensors); milliseconds are fitted on four sizes and tried on three others.  Random weights.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from result import keep
from torch.utils.flop_counter import FlopCounterMode

from workbench.ablate.cost import Shape, calibrate, cost
from workbench.ablate.resolution import FEEDINGS, feed
from workbench.files import data_path
from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration

MID: dict[str, Any] = {
    "text_config": {
        "vocab_size": 2000, "hidden_size": 384, "intermediate_size": 1152, "num_hidden_layers": 6,
        "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
    },
    "vision_config": {
        "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 7, "num_attention_heads": 4,
        "patch_size": 16, "num_patches": 256, "vision_use_head": False,
    },
    "image_token_id": 3,
}  # fmt: skip


def operations(text: int = 100) -> list[dict[str, Any]]:
    """Counted and predicted operations of each method for a 4K screen at 3600 tokens, published shape."""
    config = Phi4RVConfig.from_pretrained(data_path("phi4_rv_15b"), attn_implementation="eager")
    with torch.device("meta"):
        model = Phi4RVForConditionalGeneration(config).eval()
    rows = []
    for method in FEEDINGS:
        plan = feed((3840, 2160), 3600, method=method)
        predicted = cost(Shape.of(config), plan, text=text)
        views = [view.rows * view.cols for view in plan.views]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            hidden = torch.zeros(len(views), max(views), 768, device="meta")
            features = model.model.vision_tower.embeddings.patch_embedding(hidden)
            for layer in model.model.vision_tower.encoder.layers[:-1]:
                features = layer(features, None)
        tower = counter.get_total_flops()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            ids = torch.full((1, plan.tokens + text), 5, device="meta")
            out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        layers = out.past_key_values.layers
        held = sum(t.numel() * 2 for layer in layers for t in (layer.keys, layer.values))
        rows.append(
            {
                "method": method,
                "tokens": plan.tokens,
                "tower": {"counted": tower, "predicted": predicted.tower_flops},
                "decoder": {"counted": counter.get_total_flops(), "predicted": predicted.decoder_flops},
                "kv_bytes_16_bit": {"held": held, "predicted": predicted.kv_bytes},
            }
        )
    return rows


def milliseconds(name: str, config: Phi4RVConfig, clock: str, repeats: int) -> dict[str, Any]:
    """The fit on one shape, and its errors on sizes that were not fitted."""
    torch.manual_seed(0)
    timing = calibrate(Phi4RVForConditionalGeneration(config).eval(), clock=clock, n_repeats=repeats)
    rows = [
        {"what": what, "size": n, "measured_ms": round(seen, 3), "predicted_ms": round(told, 3)}
        for what, n, seen, told in timing.held_out
    ]
    errors = sorted(timing.errors)
    return {
        "shape": name,
        "clock": clock,
        "held_out": rows,
        "median_error": round(errors[len(errors) // 2], 4),
        "largest_error": round(errors[-1], 4),
        "within_10_percent": sum(error <= 0.1 for error in errors),
        "of": len(errors),
        "machine": timing.machine,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clock", choices=("processor", "wall"), default="processor")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("data/benchmarks/cost_model.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = os.getloadavg()[0]
    nano = Phi4RVConfig.from_pretrained(data_path("nano"))
    shapes = {"built-in": nano, "mid": Phi4RVConfig(**MID)}
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "threads": options.threads,
        "load_average": {"before": round(before, 1), "after": 0.0},
        "operations_4k_screen_3600_tokens_15b": operations(),
        "milliseconds": [milliseconds(n, c, options.clock, options.repeats) for n, c in shapes.items()],
    }
    record["load_average"]["after"] = round(os.getloadavg()[0], 1)
    keep(record, options.out)


if __name__ == "__main__":
    main()
