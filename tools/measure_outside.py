"""Fit and measure the warning about pictures outside the drawn world: python tools/measure_outside.py

Fits a logistic regression on drawings of both worlds, worn ones among them, and on photographs and scans that
scikit-image, scikit-learn and matplotlib carry, whole and cropped.  What is measured was not fitted on: other
drawings, and each photograph by a fit without it.  Writes data/outside/outside.json.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression

from workbench import synth
from workbench.files import data_path, write_json
from workbench.models.outside import Boundary, features, is_large
from workbench.stats import wilson
from workbench.synth import World, collected
from workbench.synth.look import LARGEST

#: False alarms on worn drawings at which the threshold is set.
ALARMS = 0.04
WORLDS = {
    "world 1": World(1),
    "world 2": World(2),
    "world 2, worn": World(2, worn=True),
    "world 2, worn, held-out typefaces": World(2, worn=True, held_out=("fonts",)),
}
SKIMAGE = (
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "microaneurysms", "moon", "page", "retina", "rocket",
    "stereo_motorcycle", "text",
)  # fmt: skip
#: Pictures of data/samples that are among the others.
SAME = {
    "temple.jpg": "china", "flower.jpg": "flower", "astronaut.png": "astronaut", "coffee.png": "coffee",
    "scanned_page.png": "page", "handwriting.png": "text",
}  # fmt: skip


def drawings(n: int, seed: int) -> dict[str, list[np.ndarray]]:
    """Features of the first picture of ``n`` drawings of every family in each world."""
    return {
        name: [
            features(sample.images[0])
            for family in (*synth.FAMILIES, *synth.FREE, *synth.LARGE)
            for sample in synth.sample(family, n, seed=seed, world=world)
        ]
        for name, world in WORLDS.items()
    }


def photographs() -> dict[str, Image.Image]:
    """Photographs and scans by name."""
    found = {}
    for name in SKIMAGE:
        pixels = getattr(data, name)()
        found[name] = Image.fromarray(pixels[0] if isinstance(pixels, tuple) else pixels).convert("RGB")
    for name in ("china", "flower"):
        found[name] = Image.fromarray(load_sample_image(f"{name}.jpg"))
    samples = Path(matplotlib.get_data_path()) / "sample_data"
    found["grace_hopper"] = Image.open(samples / "grace_hopper.jpg").convert("RGB")
    return found


def versions(picture: Image.Image, rng: random.Random) -> Iterator[tuple[str, Image.Image]]:
    """A picture as small as a drawing, smaller, and parts of it."""
    for patches in (LARGEST, 100, 50):
        shrink = min(1.0, (patches * 256 / (picture.width * picture.height)) ** 0.5)
        size = (max(16, round(picture.width * shrink)), max(16, round(picture.height * shrink)))
        yield f"shrunk to {patches} patches", picture.resize(size, Image.Resampling.BILINEAR)
    for _ in range(6):
        width, height = (rng.randint(min(80, side), min(256, side)) for side in picture.size)
        x, y = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
        yield "parts of 80 to 256 pixels", picture.crop((x, y, x + width, y + height))


def fitted(inside: np.ndarray, beyond: np.ndarray, others: np.ndarray) -> Boundary:
    """The boundary between drawings and photographs, its threshold set on other drawings."""
    both = np.concatenate([inside, beyond])
    mean, scale = both.mean(0), both.std(0)
    model = LogisticRegression(class_weight="balanced", max_iter=4000)
    model.fit((both - mean) / scale, np.repeat([0, 1], [len(inside), len(beyond)]))
    weights = model.coef_[0]
    threshold = np.quantile((others - mean) / scale @ weights, 1 - ALARMS)
    numbers = (tuple(map(float, np.round(values, 6))) for values in (mean, scale, weights))
    return Boundary(*numbers, threshold=round(float(threshold), 6))


def share(hits: list[bool]) -> dict[str, float]:
    """A share with its 95% interval."""
    low, high = wilson(sum(hits), len(hits))
    return {
        "n": len(hits),
        "share": round(float(np.mean(hits)), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def main() -> None:
    """Fit, measure, write, print."""
    rng = random.Random(14)
    inside, others, fresh = (drawings(n, seed) for n, seed in ((12, 14_001), (20, 14_002), (20, 14_003)))
    learnt = np.concatenate([np.array(found) for found in inside.values()])
    worn = np.concatenate([np.array(found) for name, found in others.items() if "worn" in name])
    seen = [
        (name, kind, features(version))
        for name, picture in photographs().items()
        for kind, version in versions(picture, rng)
    ]

    def without(left_out: str) -> Boundary:
        return fitted(learnt, np.array([found for name, _, found in seen if name != left_out]), worn)

    made, by_name = without(""), {name: without(name) for name in photographs()}
    alarms = {name: [made.score(found) > 0 for found in each] for name, each in fresh.items()}
    missed: dict[str, list[bool]] = {}
    for name, kind, found in seen:
        missed.setdefault(kind, []).append(by_name[name].score(found) <= 0)
    samples: dict[str, list[bool]] = {}
    for (kind, name), picture in {(s.domain, s.family): s.images[0] for s in collected()}.items():
        large = is_large(picture, most_patches=LARGEST)
        score = by_name.get(SAME.get(name, ""), made).score(features(picture))
        samples.setdefault(kind, []).append(not large and score <= 0)
    figures = {
        "false alarms on drawings": alarms,
        "misses on photographs and scans": missed,
        "misses on data/samples, as they are": samples,
    }
    shares = {title: {name: share(hits) for name, hits in rows.items()} for title, rows in figures.items()}
    for title, rows in figures.items():
        shares[title]["all"] = share([hit for hits in rows.values() for hit in hits])
    write_json(data_path("outside") / "outside.json", {"boundary": vars(made), "figures": shares})
    for title, table in shares.items():
        print(title)
        for name, row in table.items():
            print(f"  {name:<36} {row['share']:.1%} of {row['n']} ({row['low']:.1%} to {row['high']:.1%})")


if __name__ == "__main__":
    main()
