"""The fixed set of drawn questions that ships: the same 600 items for everybody"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...data import data_path
from ...errors import InputError
from .task import Item, Task

__all__ = ["SheetPicture", "suite"]

NAME = "suite"


@dataclass(frozen=True)
class SheetPicture:
    """One picture on a sheet of many; cut out when it is needed."""

    sheet: str
    box: tuple[int, int, int, int]

    def read(self) -> Image.Image:
        """The picture."""
        return _sheet(self.sheet).crop(self.box).convert("RGB")


@functools.lru_cache(maxsize=64)  # all of them: a run goes through families, and so through sheets, in turn
def _sheet(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def suite(*, folder: str | Path | None = None, n: int | None = None) -> Task:
    """The shipped suite: every family of `workbench.synth` at every difficulty, evenly.

    Made once by ``tools/make_suite.py`` and never changed under its version, so that numbers of different
    machines and months compare.

    Args:
        folder: another suite in the same layout; None for the shipped one.
        n: the first items; they take all families and difficulties in turn.

    Raises:
        InputError: if the folder holds no suite, or it is damaged.
    """
    place = data_path("suite") if folder is None else Path(folder).expanduser()
    try:
        lines = (place / "items.jsonl").read_text(encoding="utf-8").splitlines()
        header, *rows = (json.loads(line) for line in lines)
        items = [_item(row, place) for row in rows]
        task = Task(NAME, items, version=header["version"], origin=header["origin"])
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
        picture=row.get("picture", 0),
    )
    object.__setattr__(item, "_digests", tuple(row["digests"]))
    return item
