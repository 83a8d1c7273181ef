"""Contamination: which pictures of a benchmark, or near copies, stand in a training set (perceptual hash)"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from .. import synth
from ..errors import InputError
from ..files import local_path
from ..images import open_image
from ..names import verb
from ..types import ImageLike
from .results import Results
from .tasks.task import Task

__all__ = ["PictureHash", "contamination", "folder_pictures", "image_hash", "synth_images"]

#: Ending of files that are looked at in a folder.
ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}

#: Bits of 256 that may differ between copies; re-encoded and resized copies differ in up to about 20.
CLOSE = 24


@dataclass(frozen=True)
class PictureHash:
    """What stands for a picture: its exact pixels, and 256 bits that resizing hardly changes."""

    pixels: str
    bits: np.ndarray  # [32] bytes

    def distance(self, other: PictureHash) -> int:
        """Bits that differ, 0 to 256."""
        return int(np.unpackbits(self.bits ^ other.bits).sum())


@verb(picture="image")
def image_hash(image: ImageLike) -> PictureHash:
    """Hash of an image, by differences between neighbours (dHash, Krawetz 2013) at 16 by 16.

    Half of the bits compare neighbours across and half down, on the grey picture scaled to 16 by 16; of a
    picture without contrast no bit says anything, so only its exact pixels count.
    """
    opened = open_image(image)
    exact = hashlib.sha256(f"{opened.size}".encode() + opened.tobytes()).hexdigest()[:32]
    grey = opened.convert("L")
    across = np.asarray(grey.resize((17, 8), Image.Resampling.BOX), dtype=np.int16)
    down = np.asarray(grey.resize((8, 17), Image.Resampling.BOX), dtype=np.int16)
    bits = np.concatenate([(np.diff(across, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
    return PictureHash(exact, np.packbits(bits))


def folder_pictures(folder: str | Path) -> Iterator[tuple[str, Any]]:
    """Names and paths of the pictures in a folder and below.

    Raises:
        InputError: if there is no such folder, or no picture in it.
    """
    root = local_path(folder)
    found = [p for p in sorted(root.rglob("*")) if p.suffix.lower() in ENDINGS] if root.is_dir() else []
    if not found:
        raise InputError(f"folder={str(folder)!r} holds no pictures", "a folder with pictures")
    yield from ((str(path.relative_to(root)), path) for path in found)


def synth_images(
    families: Iterable[str] = tuple(synth.FAMILIES), *, seed: str | int, n: int = 100
) -> Iterator[tuple[str, Any]]:
    """The first ``n`` drawings of each family from a seed, as a training stream draws them.

    Args:
        families: names from `synth.FAMILIES`.
        seed: as training's, for example "train/0"; drawing ``i`` has the seed ``f"{seed}/{i}"``.
        n: drawings a family.
    """
    for family in families:
        for i in range(n):
            drawing, _ = synth.draw(family, seed=f"{seed}/{i}")
            for number, canvas in enumerate(drawing.canvases):
                yield f"{family} {seed}/{i} picture {number}", canvas.image()


def contamination(
    items: Task | Results | Sequence[Any],
    against: str | Path | Iterable[tuple[str, Any]],
    *,
    close: int = CLOSE,
) -> pd.DataFrame:
    """Which pictures of a benchmark stand in a training set, exactly or nearly.

    Args:
        items: a task, results, or pictures.
        against: a folder of pictures, or pairs of a name and a picture (`synth_images` gives them); gone
            through once, so that a large set need not fit into memory.
        close: most of 256 bits that may differ.  What is close is a suspicion to look at: drawings of one
            kind resemble each other.

    Returns:
        One row per picture that has a match, the closest first: ``item``, ``picture``, ``match`` (name of the
        closest one), ``distance`` in bits, ``exact`` (the same pixels).  ``attrs`` holds how many pictures
        were ``looked_at`` and how many they were ``compared_with``.

    Raises:
        InputError: for a picture that cannot be read, or no pictures.
    """
    own = [(item, number, image_hash(p)) for item, number, p in _pictures(items)]
    if not own:
        raise InputError("no pictures to look for", "a task or results with pictures")
    mine = np.stack([found.bits for _, _, found in own])
    exact = {found.pixels for _, _, found in own}
    nearest: list[tuple[bool, int, str] | None] = [None] * len(own)  # (not the same, distance, name)
    compared = 0
    for name, picture in folder_pictures(against) if isinstance(against, (str, Path)) else against:
        other = image_hash(picture)
        compared += 1
        distances = np.unpackbits(mine ^ other.bits, axis=1).sum(axis=1)
        alike = (distances <= close) & bool(other.bits.any())  # a picture without contrast resembles none
        for index in np.flatnonzero(alike | (other.pixels in exact)):
            same = own[index][2].pixels == other.pixels
            match = (not same, int(distances[index]), name)
            best = nearest[index]
            if (same or alike[index]) and (best is None or match[:2] < best[:2]):
                nearest[index] = match
    if not compared:
        raise InputError("against= holds no pictures", "at least one")
    rows = [
        {"item": item, "picture": number, "match": found[2], "distance": found[1], "exact": not found[0]}
        for (item, number, _), found in zip(own, nearest, strict=True)
        if found is not None
    ]
    table = pd.DataFrame(rows, columns=["item", "picture", "match", "distance", "exact"])
    table = table.sort_values(["exact", "distance"], ascending=[False, True], kind="stable")
    table = table.reset_index(drop=True)
    table.attrs |= {"looked_at": len(own), "compared_with": compared}
    return table


def _pictures(items: Task | Results | Sequence[Any]) -> Iterator[tuple[str, int, Any]]:
    if isinstance(items, Task):
        for item in items.items:
            yield from ((item.id, number, picture) for number, picture in enumerate(item.open()))
    elif isinstance(items, Results):
        for row in items.table.drop_duplicates(["benchmark", "item"]).to_dict("records"):
            yield from ((row["item"], number, picture) for number, picture in enumerate(items.images(row)))
    else:
        yield from ((str(number), 0, picture) for number, picture in enumerate(items))
