"""Words and numbers that no list holds: what is written has to be read letter by letter."""

from __future__ import annotations

import random
from zlib import crc32

from .canvas import Canvas, colour_of
from .sample import Drawing, Question
from .wordings import COLOURS

__all__ = ["is_unseen", "read_text"]

ONSETS = tuple("bcdfghjklmnprstvwz") + (
    "bl",
    "br",
    "ch",
    "cr",
    "dr",
    "fl",
    "gr",
    "pl",
    "sh",
    "st",
    "tr",
    "qu",
)
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "oo", "y")
CODAS = ("", "", "n", "r", "s", "l", "t", "m", "nd", "rk", "st", "x", "ck")

#: Light papers, on which every ink can be read.
PAPERS = ((255, 255, 255), (248, 246, 238), (236, 242, 248))


def is_unseen(text: str) -> bool:
    """Whether a text is one of the fifth that no training picture holds."""
    return crc32(text.lower().encode()) % 5 == 0


def read_text(rng: random.Random, difficulty: int, *, unseen: bool = False) -> Drawing:
    """Read one of some made-up words or numbers, told by its ink; all from the held-out fifth, or none."""
    count = difficulty
    canvas = Canvas(112, 24 * count + 24, rng.choice(PAPERS))
    colours = rng.sample([c for c in COLOURS if c != "yellow"], count)
    questions = []
    for i, colour in enumerate(colours):
        text = _text(rng, unseen)
        size, bold = rng.choice((10, 11, 12, 13)), rng.random() < 0.4
        at = (56 + rng.uniform(-8, 8), 24 + 24 * i + rng.uniform(-2, 2))
        shade = colour_of(colour, rng)
        box = canvas.text(at, text, size=size, bold=bold, colour=shade, named=colour)
        alone = count == 1 and rng.random() < 0.7
        questions.append(
            Question(
                "What is written here?" if alone else f"What is written in {colour}?",
                text,
                f"The {colour} text says {text}.",
                (box,),
                asks="reads" if alone else "ink",
                names={} if alone else {"colour": colour},
            )
        )
    return Drawing([canvas], questions)


def _text(rng: random.Random, unseen: bool) -> str:
    """A made-up word, in one of three cases, or a number."""
    while True:
        if rng.random() < 0.3:
            text = str(rng.randint(100, 999_999))
        else:
            sounds = (ONSETS, VOWELS, CODAS)
            word = "".join(rng.choice(part) for _ in range(rng.choice((1, 2, 2))) for part in sounds)
            text = rng.choice((word.capitalize(), word.capitalize(), word, word.upper()))
        if is_unseen(text) == unseen and 2 <= len(text) <= 9:
            return text
