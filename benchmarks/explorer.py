"""The attention explorer: how long a large record takes to open, and a page to draw and to answer a pointer

python benchmarks/explorer.py                                            # needs Chromium and Playwright
python benchmarks/explorer.py --out data/benchmarks/explorer.json

The record has 40 layers x 40 heads, 3600 patches and 1000 tokens of random queries and keys, as wide as
those of the 15B model; layers share their arrays, which changes memory and no arithmetic.  The page has the
same patches and tokens and the mean of a few heads.  Each time is the median of several, with the smallest
and the largest; ``cpu`` is the median of the processor time, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from result import keep

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from lab_server import chromium

from workbench.answer import Answer
from workbench.attention import Attention, LayerStore
from workbench.train.card import hardware
from workbench.types import PatchGrid, Span, TokenLayout
from workbench.ui import AttentionExplorer

SIDE, CELL, BEFORE, AFTER = 60, 14, 20, 20  # patches a side, pixels a patch, text tokens round the picture
HOVER = """async (words) => {
  const root = document.querySelector(".wbx-explorer");
  const times = [];
  for (const word of words) {
    const element = root.querySelectorAll(".wbx-word")[word];
    const begun = performance.now();
    element.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    while (root.dataset.word !== String(word) || root.dataset.busy) {
      await new Promise((done) => setTimeout(done, 0));
    }
    times.push(performance.now() - begun);
  }
  return times;
}"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def record(layers: int, heads: int, key_heads: int, tokens: int, width: int = 128) -> Answer:
    """An answer whose attention is random."""
    rng = np.random.default_rng(0)
    prompt = BEFORE + SIDE * SIDE + AFTER
    positions = prompt + tokens - 1
    store = LayerStore(
        queries=rng.standard_normal((heads, tokens, width)).astype(np.float16),
        keys=rng.standard_normal((key_heads, positions, width)).astype(np.float16),
        scale=width**-0.5,
    )
    size = (SIDE * CELL, SIDE * CELL)
    grid = PatchGrid(0, SIDE, SIDE, BEFORE, size, (0.0, 0.0, *map(float, size)), SIDE)
    spans = {"thought": Span(0, 0), "answer": Span(prompt, prompt + tokens)}
    texts = (*["text "] * BEFORE, *["<image>"] * SIDE * SIDE, *["text "] * AFTER, *[" word"] * tokens)
    attention = Attention(
        store=(store,) * layers, layout=TokenLayout(prompt, (grid,)), texts=texts,
        tokens=Span(prompt, prompt + tokens), spans=spans, model="random",
    )  # fmt: skip
    picture = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    return Answer(
        text="words", thought=None, mode="nothink", p_think=None, prompt_tokens=prompt,
        image_tokens=SIDE * SIDE,
        thought_tokens=0, answer_tokens=tokens, seconds=1.0, seconds_to_first_token=1.0, stopped="end",
        token_ids=tuple(range(prompt + tokens)), spans=spans, layout=attention.layout, question="Which?",
        images=(picture,), captured=attention,
    )  # fmt: skip


def timed(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Seconds of several calls."""
    found, used = [], []
    for _ in range(rounds):
        begun, worked = time.perf_counter(), time.process_time()
        call()
        found.append(time.perf_counter() - begun)
        used.append(time.process_time() - worked)
    return {**told(found), "cpu": round(statistics.median(used), 5)}


def told(times: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {
        "median": round(statistics.median(times), 5),
        "least": round(min(times), 5),
        "most": round(max(times), 5),
    }


def of_kernel(rounds: int) -> dict[str, Any]:
    """What the kernel does for a large record."""
    answer = record(40, 40, 10, 1000)
    explorer = AttentionExplorer(answer)
    word = iter(range(10, 900, 7))
    one = {"layer": 20, "head": 10, "sinks": True}
    asked = {
        "a_map_of_one_head_s": lambda: explorer._answered({"kind": "map", "word": next(word), **one}),
        "a_map_of_a_layer_s": lambda: explorer._answered(
            {"kind": "map", "word": next(word), **one, "head": None}
        ),
        "every_head_s": lambda: explorer._answered({"kind": "grid", "word": next(word), "image": 0, **one}),
    }
    _, buffers = explorer._answered({"kind": "map", "word": 3, **one})
    _, grid = explorer._answered({"kind": "grid", "word": 3, "image": 0, **one})
    return {
        "opens_s": timed(lambda: AttentionExplorer(answer), max(2, rounds // 3)),
        **{name: timed(call, rounds) for name, call in asked.items()},
        "bytes": {
            "info": len(json.dumps(explorer.info)),
            "a_map": sum(map(len, buffers)),
            "every_head": sum(map(len, grid)),
        },
    }


def of_browser(rounds: int) -> dict[str, Any]:
    """What a browser does with a page of the same patches and tokens."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        explorer = AttentionExplorer(record(1, 2, 2, 1000, width=16))
        mean_alone = 2 * len(explorer.words) * SIDE * SIDE  # with sinks and without
        page_file = explorer.save_html(Path(folder) / "page.html", max_bytes=mean_alone)
        paint, ready = [], []
        for _ in range(max(3, rounds // 3)):
            page = browser.new_page(viewport={"width": 1000, "height": 900})
            page.set_default_timeout(120_000)
            begun = time.perf_counter()
            page.goto(page_file.as_uri())
            page.wait_for_selector(".wbx-explorer[data-ready='1']:not([data-busy])")
            ready.append(time.perf_counter() - begun)
            paint.append(page.evaluate(PAINT) / 1000)
        hovered = [t / 1000 for t in page.evaluate(HOVER, list(range(10, 10 + 7 * 10 * rounds, 7))[:100])]
        return {
            "first_paint_s": told(paint),
            "ready_s": told(ready),
            "hover_s": told(hovered),
            "page_bytes": page_file.stat().st_size,
        }


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="repetitions (9)")
    parser.add_argument("--out", type=Path, help="a JSON file")
    wanted = parser.parse_args()
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "load_at_start": round(os.getloadavg()[0], 1),
        "record": {"layers": 40, "heads": 40, "key_heads": 10, "patches": SIDE * SIDE, "tokens": 1000},
        "kernel": of_kernel(wanted.rounds),
        "browser": of_browser(wanted.rounds),
    }
    keep(result, wanted.out)


if __name__ == "__main__":
    main()
