"""Make a shipped suite anew: python tools/make_suite.py suite|suite2 [folder]

600 drawn questions, evenly over all families and difficulties, with a seed that neither training nor its
evaluation draws from. Pictures of one size share a sheet, a PNG with a palette where that is exact.
"suite" is drawn in the first world; "suite2" in the second, with the families that came with it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from PIL import Image

from workbench import synth
from workbench.bench.tasks.drawn import drawn_scoring
from workbench.bench.tasks.task import picture_digest

#: Training draws from texts "train/...", its evaluation from 1_000_003, and drawn tasks from 2_000_003.
SEED = 3_000_017
SUITES = {"suite": 1, "suite2": 2}  # the world of each
ITEMS = 600
ACROSS = 16  # pictures beside each other on a sheet
MOST = 128  # pictures on a sheet


def main(name: str, folder: Path) -> None:
    """Draw, lay out, write, and say how large it became."""
    drawn = samples(name)
    sizes: dict[tuple[int, int], list[Image.Image]] = defaultdict(list)
    places: dict[int, list[tuple[tuple[int, int], int]]] = {}
    for number, sample in enumerate(drawn):
        places[number] = []
        for image in sample.images:
            sizes[image.size].append(image)
            places[number].append((image.size, len(sizes[image.size]) - 1))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("sheet-*.png"):
        old.unlink()
    for size, images in sizes.items():
        for start in range(0, len(images), MOST):
            _sheet(images[start : start + MOST], size).save(
                folder / _name(size, start // MOST), optimize=True
            )
    rows = [row(number, sample, places[number]) for number, sample in enumerate(drawn)]
    version = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]
    header = {
        "format": "workbench.bench.suite",
        "version": version,
        "origin": f"workbench.synth, {'' if name == 'suite' else 'world 2, '}seed {SEED}",
    }
    lines = [json.dumps(line) for line in (header, *rows)]
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(rows)} items, version {version}, {total / 1e6:.2f} MB in {folder}")


def samples(name: str = "suite") -> list[Any]:
    """The items in an order that takes families and difficulties in turn, so that any head is balanced."""
    world = SUITES[name]
    groups = [(family, level) for level in synth.DIFFICULTIES for family in synth.families_of(world)]
    rounds = -(-ITEMS // len(groups))
    drawn = {
        group: synth.sample(group[0], rounds, seed=SEED, difficulty=group[1], world=world) for group in groups
    }
    return [drawn[group][turn] for turn in range(rounds) for group in groups][:ITEMS]


def row(number: int, sample: Any, places: list[tuple[tuple[int, int], int]]) -> dict[str, Any]:
    """A line of items.jsonl."""
    return {
        "id": f"{number:03d}-{sample.family}-{sample.difficulty}",
        "question": sample.question,
        "gold": sample.answer,
        "category": f"{sample.family}@{sample.difficulty}",
        "steps": sample.steps,
        "picture": sample.image,
        "pictures": [_place(size, index) for size, index in places],
        "digests": [picture_digest(image) for image in sample.images],
        "scoring": drawn_scoring(sample),
    }


def _name(size: tuple[int, int], number: int) -> str:
    return f"sheet-{size[0]}x{size[1]}-{number}.png"


def _place(size: tuple[int, int], index: int) -> tuple[str, tuple[int, int, int, int]]:
    sheet, on = divmod(index, MOST)
    y, x = divmod(on, ACROSS)
    width, height = size
    return _name(size, sheet), (x * width, y * height, (x + 1) * width, (y + 1) * height)


def _sheet(images: list[Image.Image], size: tuple[int, int]) -> Image.Image:
    width, height = size
    across = min(ACROSS, len(images))
    sheet = Image.new("RGB", (across * width, -(-len(images) // ACROSS) * height))
    for number, image in enumerate(images):
        y, x = divmod(number, ACROSS)
        sheet.paste(image, (x * width, y * height))
    colours = sheet.getcolors(256)
    return sheet if colours is None else sheet.quantize(len(colours), dither=Image.Dither.NONE)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "suite"
    here = Path(__file__).resolve().parent.parent / "data" / chosen
    main(chosen, Path(sys.argv[2]) if len(sys.argv) > 2 else here)
