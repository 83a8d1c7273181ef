"""The typefaces of the drawn world: open ones that ship with us, some held out for evaluation."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

from ..errors import InputError
from ..files import data_path

__all__ = ["FACES", "HELD_OUT_FACES", "font"]

#: Typefaces that training pictures are written in.
FACES = (
    "dejavu-sans", "liberation-sans", "lato", "liberation-serif", "roboto-slab", "liberation-mono",
    "comic-neue", "dkg",
)  # fmt: skip

#: Typefaces that no training picture holds.
HELD_OUT_FACES = ("open-sans", "caladea", "inconsolata")

#: Characters that some typefaces lack; a text with one of them is written in `FACES[0]`, which has them all.
LACKING = {
    "dkg": frozenset("−€’‘“”–—•…"),
    "inconsolata": frozenset("–—"),
}


@lru_cache(maxsize=512)
def font(face: str, size: float, text: str = "", *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A typeface at a size in pixels.

    Args:
        face: one of `FACES` or `HELD_OUT_FACES`.
        size: in pixels.
        text: what is to be written; another face is given where this one lacks a character of it.
        bold: the bold weight, where there is one.

    Raises:
        InputError: for an unknown typeface, or if its file is missing.
    """
    if face not in (*FACES, *HELD_OUT_FACES):
        raise InputError(f"face={face!r}", f"one of {', '.join((*FACES, *HELD_OUT_FACES))}")
    if LACKING.get(face, frozenset()) & set(text):
        face = FACES[0]
    return _loaded(face, size, bold)


@lru_cache(maxsize=512)
def _loaded(face: str, size: float, bold: bool) -> ImageFont.FreeTypeFont:
    files = {path.stem: path for path in data_path("fonts").iterdir()}
    weights = (f"{face}-bold", f"{face}-regular") if bold else (f"{face}-regular",)
    path = next((files[name] for name in weights if name in files), None)
    if path is None:
        raise InputError(
            f"the typeface {face} is missing from {data_path('fonts')}",
            f"{face}-regular.ttf or .otf there",
            "if the installation is damaged, reinstall it",
        )
    return ImageFont.truetype(str(path), size)
