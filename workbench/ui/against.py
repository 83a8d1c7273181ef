"""Two replies to one question about the same pictures, such as think against nothink: what is compared"""

from __future__ import annotations

from ..answer import Answer
from ..errors import InputError
from .maps import Maps

__all__ = ["SHOWS", "counterparts", "name_of", "refuse_unlike"]


SHOWS = ("this", "against", "difference")
"""What can be shown of two replies: the map of this one, of the other, or the former minus the latter."""


def refuse_unlike(maps: Maps, other: Maps) -> None:
    """Refuse two replies whose maps cannot be compared patch by patch and head by head.

    Raises:
        InputError: if question, pictures, patches, layers or heads differ.
    """
    mine, theirs = _facts(maps), _facts(other)
    differ = [name for name, value in mine.items() if theirs[name] != value]
    if differ:
        raise InputError(
            f"against= a reply with {' and '.join(differ)} of its own",
            "a reply of the same model to the same question about the same pictures",
            'ask it in the other mode: vlm.ask(images, question, mode="nothink", capture=True)',
        )


def _facts(maps: Maps) -> dict[str, object]:
    answer, attention = maps.answer, maps.attention
    grids = [[(grid.rows, grid.cols, grid.region) for grid in grids] for grids in maps.grids]
    return {
        "a question": answer.question,
        "pictures": [(picture.size, picture.tobytes()) for picture in answer.images],
        "patches": grids,
        "layers": list(attention.layers),
        "heads": attention.n_heads,
    }


def counterparts(maps: Maps, other: Maps) -> list[int]:
    """Of each word of a reply, the word of the other that it is compared with unless another is chosen.

    A word of the answer meets the word at its place in the other's answer (the last one, where that is
    shorter); any other word meets the other's first answer word.
    """
    mine, theirs = (_answer_words(one) for one in (maps, other))
    place = {word: number for number, word in enumerate(mine)}
    return [theirs[min(place.get(word, 0), len(theirs) - 1)] for word in range(len(maps.words))]


def _answer_words(maps: Maps) -> list[int]:
    """The answer's words that can be read; the last word of a reply without an answer."""
    found = [n for n, word in enumerate(maps.words) if word.part == "answer" and word.text.strip()]
    return found or [len(maps.words) - 1]


def name_of(answer: Answer) -> str:
    """How a reply is called: its mode, or, where the model chose for itself, what it chose."""
    return answer.mode if answer.mode != "auto" else f"auto, {'thought' if answer.thought else 'direct'}"
