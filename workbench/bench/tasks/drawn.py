"""Tasks from the drawn world: one a family and difficulty ("synth:gui_find@2"), and the suites that ship.

The suites are the same 600 items each for everybody.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ... import synth
from ...errors import InputError
from ...files import data_path, local_path
from ...synth import Sample
from .task import Item, Task

__all__ = [
    "BENCHMARK_SEED",
    "SUITES",
    "SheetPicture",
    "drawn_item",
    "drawn_names",
    "drawn_scoring",
    "drawn_task",
    "score_drawn",
    "suite",
]


#: Seed of benchmark items. Training draws from texts that begin with "train/", its evaluation from 1_000_003:
#: no picture of a benchmark was trained on, or looked at while training.
BENCHMARK_SEED = 2_000_003

#: Items of a drawn task, unless asked otherwise.
ITEMS = 100


def _families() -> list[str]:
    """Families that make a task: those of both worlds, and of plug-ins."""
    return [*synth.FAMILIES, *synth.FREE, *synth.DRAWN.plugged()]


def drawn_names() -> list[str]:
    """Names of the drawn tasks: each family, at each difficulty and mixed."""
    levels = ["", *(f"@{level}" for level in synth.DIFFICULTIES)]
    return [f"synth:{family}{level}" for family in _families() for level in levels]


def drawn_task(
    name: str, *, n: int = ITEMS, seed: int = BENCHMARK_SEED, world: synth.World | int | None = None
) -> Task:
    """A task of one family, at one difficulty or mixed.

    Args:
        name: "synth:FAMILY" or "synth:FAMILY@DIFFICULTY".
        n: how many items.
        seed: of the drawings; the same gives the same items.
        world: in which they are drawn; None for the second world of the families that came with it, and for
            the first one of the others.

    Raises:
        InputError: for a family, difficulty or world that does not exist.
    """
    family, _, level = name.removeprefix("synth:").partition("@")
    if family not in _families() or (level and level not in map(str, synth.DIFFICULTIES)):
        raise InputError(
            f"task {name!r}", f"synth:FAMILY or synth:FAMILY@1..3, FAMILY one of {', '.join(_families())}"
        )
    if world is None:
        world = 2 if family in synth.FREE else 1
    samples = synth.sample(family, n, seed=seed, difficulty=int(level) if level else None, world=world)
    items = [drawn_item(sample, f"{family}-{number:04d}") for number, sample in enumerate(samples)]
    drawn = f"seed {seed}" if world == 1 else f"world {world}, seed {seed}"
    return Task(f"synth:{family}{'@' + level if level else ''}", items, origin=f"workbench.synth, {drawn}")


def drawn_item(sample: Sample, name: str, *, images: Sequence[Any] = ()) -> Item:
    """The item of a drawn sample; ``images`` stand in for its own pictures where they are stored."""
    return Item(
        id=name,
        question=sample.question,
        gold=sample.answer,
        images=tuple(images or sample.images),
        cluster=name,
        category=f"{sample.family}@{sample.difficulty}",
        size=sample.images[0].size,
        scoring=drawn_scoring(sample),
        boxes=sample.boxes,
        image=sample.image,
    )


def drawn_scoring(sample: Sample) -> dict[str, Any]:
    """What `score_drawn` takes of a sample, as JSON has it; of a description also what is true."""
    scoring = {
        "rule": sample.rule,
        "boxes": [list(box) for box in sample.boxes],
        "image_size": list(sample.images[sample.image].size),
    }
    return scoring | ({"truths": list(sample.truths)} if sample.rule == "facts" else {})


class _Sized:
    """Stands in for a picture where only its size is needed."""

    def __init__(self, size: Sequence[int]) -> None:
        self.size = (int(size[0]), int(size[1]))


def score_drawn(
    text: str,
    gold: str,
    *,
    rule: str,
    boxes: Sequence[Sequence[float]] = (),
    image_size: Sequence[int] = (1, 1),
    truths: Sequence[str] = (),
    **_: Any,
) -> bool:
    """Whether a reply is right by the rule of a drawn question; the same as ``Sample.correct``.

    Raises:
        InputError: for a rule that does not exist, or the rule "point" without a box.
    """
    if rule not in ("words", "number", "point", "facts") or (rule == "point" and not boxes):
        raise InputError(
            f"rule={rule!r} with {len(boxes)} boxes", "'words', 'number', 'facts', or 'point' with a box"
        )
    sample = Sample(
        images=[_Sized(image_size)],  # type: ignore[list-item]
        question="",
        answer=str(gold),
        trace="",
        boxes=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes),
        family="",
        domain="",
        steps=1,
        difficulty=1,
        rule=rule,
        truths=tuple(truths),
    )
    return sample.correct(text)


#: Name of each shipped suite, which is that of its folder too: the first world's, and the second's with its
#: everyday families.
SUITES = ("suite", "suite2")


@dataclass(frozen=True)
class SheetPicture:
    """One picture on a sheet of many; cut out when it is needed."""

    sheet: str
    box: tuple[int, int, int, int]

    def read(self) -> Image.Image:
        """The picture."""
        return _sheet(self.sheet).crop(self.box).convert("RGB")


@functools.lru_cache(maxsize=256)  # all of them: a run goes through families, and so through sheets, in turn
def _sheet(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def suite(name: str = "suite", *, folder: str | Path | None = None, n: int | None = None) -> Task:
    """A shipped suite: every family of its world at every difficulty, evenly.

    Made once by ``tools/make_suite.py`` and never changed under its version, so that numbers of different
    machines and months compare.

    Args:
        name: of `SUITES`: "suite", drawn in the first world, or "suite2", drawn in the second.
        folder: another suite in the same layout; None for the shipped one.
        n: the first items; they take all families and difficulties in turn.

    Raises:
        InputError: if the folder holds no suite, or it is damaged.
    """
    place = data_path(name) if folder is None else local_path(folder)
    try:
        lines = (place / "items.jsonl").read_text(encoding="utf-8").splitlines()
        header, *rows = (json.loads(line) for line in lines)
        items = [_item(row, place) for row in rows]
        task = Task(name, items, version=header["version"], origin=header["origin"])
    except OSError as error:
        raise InputError(
            f"no suite in {str(place)!r}: {error.strerror}", "items.jsonl and its sheets"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the suite in {str(place)!r} is damaged: {error}", "items.jsonl and its sheets"
        ) from None
    return task.head(n)


def _item(row: dict[str, Any], place: Path) -> Item:
    pictures = tuple(SheetPicture(str(place / sheet), tuple(box)) for sheet, box in row["pictures"])
    x1, y1, x2, y2 = pictures[0].box
    item = Item(
        id=row["id"],
        question=row["question"],
        gold=row["gold"],
        images=pictures,
        cluster=row["id"],
        category=row["category"],
        size=(x2 - x1, y2 - y1),
        scoring=row["scoring"],
        boxes=tuple(tuple(box) for box in row["scoring"]["boxes"]),
        image=row.get("picture", 0),
    )
    object.__setattr__(item, "_digests", tuple(row["digests"]))
    return item
