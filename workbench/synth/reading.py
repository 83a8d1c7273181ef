"""Texts to be read: words and numbers that no list holds, letter by letter, and pages full of words."""

from __future__ import annotations

import random
from zlib import crc32

from .canvas import Canvas, colour_of
from .sample import Drawing, Question
from .wordings import COLOURS, TEXTS

__all__ = ["is_unseen", "made_up", "read_text", "word_after"]

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


#: What most pages are written in.
INK = (30, 30, 30)


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


#: Words that a page holds beside made-up ones: not the single letters and signs, which look alike when worn.
WORDS = tuple(text for text in TEXTS if len(text) > 1)


def word_after(rng: random.Random, difficulty: int, *, unseen: bool = False) -> Drawing:
    """Name the word that follows another on its line of a page full of words, a third of them made up.

    Nearly every patch of such a page tells something, so it teaches an encoder to read several times as
    fast as a picture of the other families does.
    """
    lines, size = difficulty + 2, rng.choice((10, 11, 12, 13))
    canvas = Canvas(rng.choice((112, 128, 144)), round(lines * size * 1.35) + 8, rng.choice(PAPERS))
    shade = colour_of(rng.choice(("blue", "green", "purple", "grey")), rng) if rng.random() < 0.3 else INK
    questions, used = [], set[str]()
    for line in range(lines):
        left, before = 4 + rng.uniform(0, 12), ""
        while True:
            text = _text(rng, unseen) if rng.random() < 0.35 else rng.choice(WORDS)
            bold, room = rng.random() < 0.25, canvas.width - left - 2
            if text in used or canvas.length(text, size=size, bold=bold) > room:
                break
            used.add(text)
            middle = round((line + 0.5) * size * 1.35) + 4
            box = canvas.text((left, middle), text, size=size, bold=bold, colour=shade, anchor="lm")
            if before:
                told = f"After {before} comes {text}."
                question = f"Which word comes after {before}?"
                questions.append(Question(question, text, told, (box,), asks="after", names={"word": before}))
            left, before = box[2] + size * rng.uniform(0.4, 0.8), text
    return Drawing([canvas], questions) if questions else word_after(rng, difficulty, unseen=unseen)


def made_up(rng: random.Random) -> str:
    """A short made-up word that training may hold, in small letters."""
    while True:
        word = _word(rng)
        if not is_unseen(word) and 3 <= len(word) <= 6:
            return word


def _word(rng: random.Random) -> str:
    sounds = (ONSETS, VOWELS, CODAS)
    return "".join(rng.choice(part) for _ in range(rng.choice((1, 2, 2))) for part in sounds)


def _text(rng: random.Random, unseen: bool) -> str:
    """A made-up word, in one of three cases, or a number."""
    while True:
        if rng.random() < 0.3:
            text = str(rng.randint(100, 999_999))
        else:
            word = _word(rng)
            text = rng.choice((word.capitalize(), word.capitalize(), word, word.upper()))
        if is_unseen(text) == unseen and 2 <= len(text) <= 9:
            return text
