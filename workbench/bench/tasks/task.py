"""What a benchmark is made of: items with gold answers, a prompt around them, and a scorer.

Images of items are read when they are needed, told apart by their contents, and kept beside a run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError
from ...files import local_path, write_bytes
from ...images import open_image
from ...names import Named
from ...types import Box, ImageLike

__all__ = ["Item", "Task", "keep_picture", "picture_digest", "read_picture"]


# How a stored picture begins, and the ending that its file gets.
_SIGNATURES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif"), (b"RIFF", ".webp"))


def read_picture(picture: ImageLike) -> Any:
    """What `open_image` takes: one that is fetched when it is needed is fetched, others are themselves."""
    fetch = getattr(picture, "read", None)
    return fetch() if fetch is not None and not isinstance(picture, (io.IOBase, Image.Image)) else picture


def picture_digest(picture: Any) -> str:
    """Digest of a picture's contents: of a file's bytes, or of the pixels where there is no file.

    Raises:
        InputError: for a file that cannot be read.
    """
    data = read_picture(picture)
    if isinstance(data, (str, os.PathLike)):
        try:
            data = local_path(data).read_bytes()
        except OSError as error:
            raise InputError(
                f"picture {os.fspath(picture)!r} cannot be read: {error.strerror}", "a picture's file"
            ) from None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return hashlib.sha256(data).hexdigest()[:32]
    if isinstance(data, np.ndarray):
        head, data = f"{data.dtype}{data.shape}", np.ascontiguousarray(data).tobytes()
    else:
        image = data if isinstance(data, Image.Image) and data.mode == "RGB" else open_image(data)
        head, data = f"RGB{image.size}", image.tobytes()
    return hashlib.sha256(head.encode() + data).hexdigest()[:32]


def keep_picture(picture: ImageLike, digest: str, folder: Path) -> str:
    """A path under which a picture can be found again.

    A picture that is a file stays where it is; others are written into ``folder``, once, by their digest.

    Returns:
        The path: absolute for a file elsewhere, else the name in ``folder``.
    """
    data = read_picture(picture)
    if isinstance(data, (str, os.PathLike)):
        return str(local_path(data).resolve())
    if not isinstance(data, (bytes, bytearray, memoryview)):
        name = f"{digest}.png"
        if (folder / name).exists():
            return name
        buffer = io.BytesIO()
        open_image(data).save(buffer, "PNG", compress_level=1)
        data = buffer.getvalue()
    else:
        name = digest + next((end for head, end in _SIGNATURES if bytes(data[:4]).startswith(head)), ".img")
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, bytes(data))
    return name


@dataclass(frozen=True)
class Item(Named, picture="image"):
    """One question with its known answer.

    Args:
        id: its name, unique within its task.
        question: the text that is asked, options and answer instructions included.
        gold: the right answer, in the form that the task's scorer takes.
        images: its pictures: anything that `workbench.images.open_image` takes, or an object with
            ``read()`` that fetches one when it is needed, as bytes or an image.
        cluster: what several items share (a picture, a base problem); standard errors go by it.
        category: of the benchmark's own table.
        size: (width, height) of the first picture, in pixels; None where it is not known unopened.
        scoring: what the scorer takes besides (``options``, ``precision``, ``answer_type``, ``image_size``,
            ``gold_format``; ``rule`` and ``boxes`` for drawn questions).  Plain JSON values.
        boxes: where the evidence lies, (x1, y1, x2, y2) in pixels of picture number ``image``.
        image: number of the picture that the boxes refer to.
    """

    id: str
    question: str
    gold: Any
    images: tuple[Any, ...] = ()
    cluster: str = ""
    category: str = ""
    size: tuple[int, int] | None = None
    scoring: Mapping[str, Any] = field(default_factory=dict, hash=False)
    boxes: tuple[Box, ...] = ()
    image: int = 0

    def open(self) -> list[Image.Image]:
        """Its pictures, upright and RGB.

        Raises:
            InputError: naming the item, for a picture that cannot be read.
        """
        try:
            return [open_image(read_picture(picture)) for picture in self.images]
        except InputError as error:
            error.add_note(f"This is about item {self.id!r}.")
            raise

    def digests(self) -> tuple[str, ...]:
        """What stands for the pictures' contents, one per picture; read once."""
        known = self.__dict__.get("_digests")
        if known is None:
            known = tuple(picture_digest(picture) for picture in self.images)
            object.__setattr__(self, "_digests", known)
        return known


@dataclass(frozen=True)
class Task:
    """Items that are asked and scored together.

    Args:
        name: of the benchmark, as tables show it.
        items: the questions, in order.
        prompt: what stands around an item's question when it is asked; holds ``{question}``.
        scorer: name of the benchmark whose protocol scores a reply (see `workbench.bench.score`), or
            "drawn" for the scorer of `workbench.synth`.
        version: of the items; two runs are comparable where it is the same.  A digest of the items if empty.
        origin: where the items come from: a family and seed, a Hub repository, a folder.
        chance: share that guessing at random gets right; None where it is not known.

    Raises:
        InputError: for no items, an id given twice, a missing gold answer, or a prompt without a question.

    Example:
        >>> Task("mine", [Item("1", "What is red?", "apple", ("a.png",))], scorer="MMStar").name
        'mine'
    """

    name: str
    items: Sequence[Item]
    prompt: str = "{question}"
    scorer: str = "drawn"
    version: str = ""
    origin: str = ""
    chance: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        if not self.items:
            raise InputError(f"task {self.name!r} has no items", "at least one")
        if "{question}" not in self.prompt:
            raise InputError(f"prompt={self.prompt!r}", "a text that holds {question}")
        seen: set[str] = set()
        for item in self.items:
            if item.id in seen:
                raise InputError(f"task {self.name!r} has two items {item.id!r}", "each id once")
            seen.add(item.id)
            if item.gold is None or item.gold == "" or item.gold == []:
                raise InputError(
                    f"item {item.id!r} of {self.name!r} has no gold answer", "an answer for each item"
                )
        if not self.version:
            object.__setattr__(self, "version", _digest(self))

    def __len__(self) -> int:
        return len(self.items)

    def asked(self, item: Item) -> str:
        """The text that is asked for an item."""
        return self.prompt.replace("{question}", item.question)

    def head(self, n: int | None) -> Task:
        """The task with its first ``n`` items; the whole for None.

        Raises:
            InputError: if ``n`` is below 1.
        """
        if n is None or n >= len(self.items):
            return self
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise InputError(f"limit={n!r}", "a whole number, at least 1")
        return replace(self, items=self.items[:n])

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {len(self.items)} items, scorer: {self.scorer}, version: {self.version})"


def _digest(task: Task) -> str:
    """Twelve characters that stand for questions, gold answers and prompt."""
    seen = hashlib.sha256(json.dumps([task.prompt, task.scorer]).encode())
    for item in task.items:
        seen.update(json.dumps([item.id, item.question, item.gold], default=str).encode())
    return seen.hexdigest()[:12]
