"""Zoom beside simply more tokens: small drawings on large pages, by size of the page and budget of tokens

python benchmarks/zoom.py --out data/benchmarks/zoom.json
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from result import keep

import workbench
from workbench import synth
from workbench.stats import mean_interval
from workbench.train.card import hardware

CELL = 16  # pixels of a patch; drawings stand on its multiples, as those that the model was trained on
FAMILIES = ("shape_colour", "read_sign")


def on_a_page(image: Image.Image, side: int, rng: random.Random) -> Image.Image:
    """A drawing in its own size anywhere on a page of its own ground."""
    page = Image.new("RGB", (side, side), image.getpixel((image.width - 1, image.height - 1)))
    page.paste(image, tuple(CELL * rng.randrange((side - length) // CELL + 1) for length in image.size))
    return page


def measure(model: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each page, budget and way: mean tokens, and accuracy with its 95% interval."""
    samples = [s for f in options.families for s in synth.sample(f, options.n, seed=options.seed)]
    for budget in options.budgets:
        vlm = workbench.load(model, image_tokens=budget, progress=False)
        for side in (side for side in options.sides if (side // CELL) ** 2 >= budget):
            pages = [on_a_page(s.images[0], side, random.Random(i)) for i, s in enumerate(samples)]
            for zoom in (0, 1, 2):
                rows = []
                for sample, page in zip(samples, pages, strict=True):
                    answer = vlm.ask(page, sample.question, mode="nothink", max_tokens=16, zoom=zoom)
                    rows.append((answer.image_tokens, sample.correct(answer.text)))
                table = pd.DataFrame(rows, columns=["tokens", "right"])
                found = mean_interval(table["right"])
                yield {
                    "side": side,
                    "budget": budget,
                    "zoom": zoom,
                    "n": len(table),
                    "image_tokens": round(float(table["tokens"].mean()), 1),
                    "accuracy": [round(100 * x, 1) for x in (found.value, found.low, found.high)],
                }


def main() -> None:
    """Measure, print, and write where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--n", type=int, default=16, help="questions a family")
    parser.add_argument("--seed", type=int, default=1_000_030)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--sides", type=int, nargs="+", default=[192, 256])
    parser.add_argument("--budgets", type=int, nargs="+", default=[36, 64, 100, 144, 256])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "rows": list(measure(options.model, options)),
        "model": options.model,
        "families": options.families,
        "seed": options.seed,
        "hardware": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    keep(result, options.out)


if __name__ == "__main__":
    main()
