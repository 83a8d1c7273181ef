"""Questions about pictures that were not drawn here: screenshots, charts, photographs, scans."""

from __future__ import annotations

import json

from ..files import data_path
from ..images import open_image
from ..types import Box
from .sample import Sample

__all__ = ["collected"]


def collected(*kinds: str) -> list[Sample]:
    """The questions of ``data/samples``, each with its picture and its known answer.

    They are samples like drawn ones (``sample.correct(answer.text)`` judges a reply); ``family`` is
    the picture's file name, ``domain`` its kind, and ``trace`` is empty.

    Args:
        kinds: "screen", "chart", "photograph" or "scan"; none for all.
    """
    listed = json.loads(data_path("samples", "samples.json").read_text(encoding="utf-8"))
    samples = []
    for entry in listed:
        if kinds and entry["kind"] not in kinds:
            continue
        picture = open_image(data_path("samples", entry["file"]))
        for asked in entry["questions"]:
            boxes: tuple[Box, ...] = ()
            if "box" in asked:
                x1, y1, x2, y2 = (float(x) for x in asked["box"])
                boxes = ((x1, y1, x2, y2),)
            samples.append(
                Sample(
                    images=[picture],
                    question=asked["question"],
                    answer=asked["answer"],
                    trace="",
                    boxes=boxes,
                    family=entry["file"],
                    domain=entry["kind"],
                    steps=1,
                    difficulty=1,
                    rule=asked["rule"],
                )
            )
    return samples
