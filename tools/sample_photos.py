"""Photographs and scanned text for data/samples, copied unchanged from packages that ship them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import skimage
import sklearn

__all__ = ["copy_photos"]

SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
SKIMAGE = Path(skimage.__file__).parent / "data"

#: source, new name, kind, origin, licence, questions as (question, answer, rule)
PHOTOS = (
    (
        SKLEARN / "china.jpg",
        "temple.jpg",
        "photograph",
        "scikit-learn, datasets/images/china.jpg: by Daniel Büchele (Flickr: danielbuechele/6061409035)",
        "CC BY 2.0",
        (
            ("Is this picture taken indoors or outdoors?", "outdoors", "words"),
            ("What colour is the sky?", "blue", "words"),
        ),
    ),
    (
        SKLEARN / "flower.jpg",
        "flower.jpg",
        "photograph",
        "scikit-learn, datasets/images/flower.jpg: by vultilion (Flickr: vultilion/6056698931)",
        "CC BY 2.0",
        (
            ("How many flowers are in focus?", "1", "number"),
            ("What colour is the flower?", "orange", "words"),
        ),
    ),
    (
        SKIMAGE / "astronaut.png",
        "astronaut.png",
        "photograph",
        "scikit-image, data/astronaut.png: Eileen Collins, NASA Great Images database",
        "public domain",
        (
            ("What colour is the suit?", "orange", "words"),
            ("How many people are in the picture?", "1", "number"),
        ),
    ),
    (
        SKIMAGE / "coffee.png",
        "coffee.png",
        "photograph",
        "scikit-image, data/coffee.png: a photograph by Rachel Michetti, courtesy of Pikolo Espresso Bar",
        "CC0",
        (("What is in the cup?", "coffee", "words"), ("How many spoons are there?", "1", "number")),
    ),
    (
        SKIMAGE / "page.png",
        "scanned_page.png",
        "scan",
        "scikit-image, data/page.png: a scanned page of its own tutorial",
        "BSD-3-Clause (scikit-image; its documentation names no other)",
        (
            ("What is the heading?", "Region-based segmentation", "words"),
            ("Of which values is the histogram?", "grey values", "words"),
        ),
    ),
    (
        SKIMAGE / "text.png",
        "handwriting.png",
        "scan",
        "scikit-image, data/text.png: photographed handwriting, Wikipedia's File:Corner.png",
        "public domain",
        (("Is the text printed or handwritten?", "handwritten", "words"),),
    ),
)


def copy_photos(folder: Path) -> list[dict[str, Any]]:
    """Copy all photographs into a folder; returns one entry of samples.json for each."""
    entries = []
    for source, name, kind, origin, licence, questions in PHOTOS:
        shutil.copyfile(source, folder / name)
        entries.append(
            {
                "file": name,
                "kind": kind,
                "origin": origin,
                "licence": licence,
                "questions": [{"question": q, "answer": a, "rule": rule} for q, a, rule in questions],
            }
        )
    return entries
