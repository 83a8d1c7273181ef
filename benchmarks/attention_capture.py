"""Capture of attention against plain SDPA and eager ``output_attentions=True``: seconds and memory

python benchmarks/attention_capture.py --threads 2                  # a mid-size model, on a CPU
python benchmarks/attention_capture.py --shapes 15b --rounds 5      # random weights at full size, on a GPU

The model is Phi-4-reasoning-vision's own classes with random weights; pictures are noise.  All kinds
run in turn in each round, so that a ratio is taken within a round; its median is reported, with the
smallest and the largest.  ``cpu_over_plain`` is the same ratio of processor time, which a busy machine
disturbs less (it says nothing about a GPU).  Extra memory is the peak over that of plain SDPA; on a CPU
that of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from result import keep

from workbench.models.capture import Capture, attention_record
from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration
from workbench.train.card import hardware
from workbench.types import PatchGrid, TokenLayout

GRIDS = {256: (16, 16), 1024: (32, 32), 2048: (32, 64), 3600: (60, 60)}
BEFORE, AFTER = 20, 20  # text tokens around the picture
MID: dict[str, Any] = {
    "text_config": {
        "vocab_size": 2000, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4,
        "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 8192,
        "original_max_position_embeddings": 8192, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
    },
    "vision_config": {
        "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4,
        "patch_size": 16, "num_patches": 256, "vision_use_head": False,
    },
    "image_token_id": 3,
}  # fmt: skip
PATHS = {"decoder": "model.language_model", "tower": "model.vision_tower"}


def build(shapes: str, device: str, dtype: torch.dtype) -> Phi4RVForConditionalGeneration:
    """A model with seeded random weights, made where it runs."""
    config = Phi4RVConfig(**MID) if shapes == "mid" else Phi4RVConfig()
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Phi4RVForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.generation_config.eos_token_id = None
    return model.eval()


def picture_inputs(model: Phi4RVForConditionalGeneration, tokens: int) -> dict[str, torch.Tensor]:
    """A prompt with one picture of noise of so many tokens."""
    rows, cols = GRIDS[tokens]
    place = {"device": model.device}
    text = torch.full((1, BEFORE), 10, **place)
    image = torch.full((1, tokens), model.config.image_token_id, **place)
    ids = torch.cat([text, image, torch.full((1, AFTER), 11, **place)], dim=1)
    patch = model.config.vision_config.patch_size
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(1, tokens, 3 * patch * patch, dtype=model.dtype, **place),
        "pixel_attention_mask": torch.ones(1, tokens, dtype=torch.long, **place),
        "spatial_shapes": torch.tensor([[rows, cols]], **place),
    }


def forward(model: Phi4RVForConditionalGeneration, inputs: dict[str, torch.Tensor], kind: str) -> Any:
    """One pass over the prompt; returns what holds the attention, so that its memory counts."""
    with torch.no_grad():
        if kind == "eager":
            return model(**inputs, use_cache=True, logits_to_keep=1, output_attentions=True)
        if kind == "plain":
            return model(**inputs, use_cache=True, logits_to_keep=1)
        with Capture(model, **PATHS, prompt_rows=kind == "capture all rows") as capture:
            return capture, model(**inputs, use_cache=True, logits_to_keep=1)


def generation(
    model: Phi4RVForConditionalGeneration, inputs: dict[str, torch.Tensor], kind: str, n: int
) -> Any:
    """A reply of ``n`` tokens; with capture also the record that is made of it."""
    options = {"max_new_tokens": n, "min_new_tokens": n, "do_sample": False}
    with torch.no_grad():
        if kind == "plain":
            return model.generate(**inputs, **options)
        with Capture(model, **PATHS) as capture:
            model.generate(**inputs, **options)
    rows, cols = inputs["spatial_shapes"][0].tolist()
    prompt = inputs["input_ids"].shape[1]
    grid = PatchGrid(0, rows, cols, BEFORE, (cols, rows), (0.0, 0.0, float(cols), float(rows)), cols)
    layout = TokenLayout(prompt, (grid,))
    texts = [""] * (prompt + n)
    return attention_record(capture, 0, prompt=prompt, padded=prompt, reply=n, layout=layout, texts=texts)


class Peak:
    """Peak memory of the process (Linux) or of the GPU, in bytes above what was in use before."""

    def __init__(self, device: str) -> None:
        self.cuda, self.bytes = device.startswith("cuda"), 0

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Measure what runs inside; ``bytes`` holds it afterwards."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            yield
            torch.cuda.synchronize()
            self.bytes = torch.cuda.max_memory_allocated() - before
            return
        _settle()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _status("VmRSS")
        yield
        self.bytes = _status("VmHWM") - before


def _settle() -> None:
    """Let glibc give freed memory back at once, so that the process's size is what is in use."""
    libc = ctypes.CDLL(None)
    libc.mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD: larger blocks are mapped and unmapped one by one
    libc.malloc_trim(0)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} in /proc/self/status")


def compare(
    model: Phi4RVForConditionalGeneration,
    run: Callable[[str], Any],
    kinds: list[str],
    rounds: int,
    device: str,
) -> dict[str, Any]:
    """Seconds and extra memory of each kind, and the ratio of seconds to plain within each round."""
    peak = Peak(device)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    worked: dict[str, list[float]] = {kind: [] for kind in kinds}
    memory: dict[str, list[int]] = {kind: [] for kind in kinds}
    failed: dict[str, str] = {}
    for number in range(rounds + 1):  # the first round warms up and does not count
        for kind in kinds:
            if kind in failed:
                continue
            model.set_attn_implementation("eager" if kind == "eager" else "sdpa")
            try:
                with peak.watch():
                    begun, busy = time.perf_counter(), time.process_time()
                    kept = run(kind)
                    if device.startswith("cuda"):
                        torch.cuda.synchronize()
                    took, work = time.perf_counter() - begun, time.process_time() - busy
            except torch.OutOfMemoryError as error:
                failed[kind] = str(error).partition("\n")[0]
                continue
            del kept
            if number:
                seconds[kind].append(took)
                worked[kind].append(work)
                memory[kind].append(peak.bytes)
    result: dict[str, Any] = {}
    for kind in kinds:
        if kind in failed:
            result[kind] = {"out_of_memory": failed[kind]}
            continue
        result[kind] = {
            "seconds": round(statistics.median(seconds[kind]), 4),
            "over_plain": _ratios(seconds[kind], seconds["plain"]),
            "cpu_over_plain": _ratios(worked[kind], worked["plain"]),
            "peak_bytes": int(statistics.median(memory[kind])),
            "extra_bytes": int(statistics.median(memory[kind]) - statistics.median(memory["plain"])),
        }
    return result


def _ratios(kind: list[float], plain: list[float]) -> list[float]:
    """Median, smallest and largest ratio within a round."""
    ratios = [a / b for a, b in zip(kind, plain, strict=True)]
    return [round(f(ratios), 3) for f in (statistics.median, min, max)]


def eager_bytes(model: Phi4RVForConditionalGeneration, tokens: int) -> int:
    """Bytes of layers x heads x tokens x tokens, which ``output_attentions=True`` returns."""
    text, length = model.config.text_config, tokens + BEFORE + AFTER
    return text.num_hidden_layers * text.num_attention_heads * length**2 * model.dtype.itemsize


def main() -> None:
    """Measure, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", choices=["mid", "15b"], default="mid")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default=None)
    parser.add_argument("--tokens", type=int, nargs="+", choices=sorted(GRIDS), default=sorted(GRIDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reply", type=int, default=64, help="tokens of the generated reply")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype or ("float32" if options.device == "cpu" else "bfloat16"))
    model = build(options.shapes, options.device, dtype)
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "note": options.note,
        "shapes": options.shapes,
        "parameters": model.num_parameters(),
        "dtype": str(dtype).removeprefix("torch."),
        "rounds": options.rounds,
        "forward": {},
        "generation": {},
    }
    kinds = ["plain", "capture", "capture all rows", "eager"]
    for tokens in options.tokens:
        inputs = picture_inputs(model, tokens)
        found = compare(
            model, lambda k, i=inputs: forward(model, i, k), kinds, options.rounds, options.device
        )
        found["eager"]["attentions_bytes"] = eager_bytes(model, tokens)
        result["forward"][tokens] = found
        print(tokens, json.dumps(found))
    for tokens in options.tokens[-1:]:
        inputs = picture_inputs(model, tokens)
        found = compare(
            model,
            lambda k, i=inputs: generation(model, i, k, options.reply),
            ["plain", "capture"],
            options.rounds,
            options.device,
        )
        result["generation"][tokens] = {"reply": options.reply, **found}
        print("generation", tokens, json.dumps(found))
    keep(result, options.out)


if __name__ == "__main__":
    main()
