"""Attributions of one answer with their checks by hand: a good map and its reverse, over 24 regions."""

from __future__ import annotations

from dataclasses import replace

import explorer_records
import numpy as np
from PIL import Image

from workbench.answer import Answer
from workbench.interpret.attribution import Attribution
from workbench.interpret.faithfulness import Faithfulness, examine
from workbench.interpret.targets import make_target

#: What each of the cells of both pictures is worth to the answer, in nats.
WORTH = np.random.default_rng(0).permutation(np.geomspace(4, 0.01, 24))
FULL = -0.5


def answer() -> Answer:
    """The explorer's answer, with a picture on which something is seen."""
    made = explorer_records.answer()
    pixels = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return replace(made, images=(Image.fromarray(pixels), made.images[1]))


def score(keep: np.ndarray, baseline: str) -> np.ndarray:
    """The answer's score with some regions kept, in nats; under each baseline another."""
    harm = {"mean": 1.0, "blur": 0.8, "white": 1.2}[baseline]
    return FULL - harm * (~keep @ WORTH)


def attribution(method: str = "occlusion", values: np.ndarray = WORTH, target: object = None) -> Attribution:
    """A map of the cells' values; ``values`` ``[24]``."""
    about = answer()
    parts = tuple(values.reshape(2, 3, 4))
    made = make_target(about, target)
    return Attribution(answer=about, method=method, target=made, maps=parts, score=FULL)


def check(made: Attribution, **changed: object) -> Faithfulness:
    """The check of such a map."""
    assert made.answer.layout is not None
    grids = made.answer.layout.images
    found = examine(score, made.maps, grids, regions="patches", n_random=19)
    settings = {"regions": "patches", "seed": 0}
    whole = Faithfulness(
        method=made.method, target=made.target.label, model="toy", regions=24, curves=found, full=FULL,
        no_image=-9.0, settings=settings,
    )  # fmt: skip
    return replace(whole, **changed)


def both() -> tuple[list[Attribution], list[Faithfulness]]:
    """A map that knows what matters, and its reverse in another unit."""
    maps = [attribution(), attribution("chefer", -WORTH / 100)]
    return maps, [check(one) for one in maps]
