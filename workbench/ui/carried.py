"""What a view can choose from, and a saved page carries: layers, heads and words"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from ..attention.select import numbers
from ..errors import InputError
from .against import counterparts
from .maps import Maps, Setting

__all__ = ["Carried", "Numbers", "chosen", "everything", "read_numbers"]

Numbers = Sequence[int | None]
"""Layers or heads by their numbers, and None for their mean."""


@dataclass(frozen=True)
class Carried:
    """Layers and heads as a `Setting` counts them (None: the mean), words of this reply and of the other."""

    layers: tuple[int | None, ...]
    heads: tuple[int | None, ...]
    words: tuple[int, ...]
    others: tuple[int, ...] = ()

    @property
    def settings(self) -> list[Setting]:
        """All that can be set, with sinks and without."""
        return [Setting(*each) for each in product(self.layers, self.heads, (True, False))]

    @property
    def apart(self) -> tuple[list[int], list[int]]:
        """Layers and heads without their means."""
        return [n for n in self.layers if n is not None], [n for n in self.heads if n is not None]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def nearest(self, state: Mapping[str, Any], maps: Maps) -> dict[str, Any]:
        """The traits to begin with, as far as they are carried."""
        found = dict(state)
        for name, there in (("layer", self.layers), ("head", self.heads)):
            found[name] = state[name] if state[name] in there else there[0]
        for name, words in (("word", self.words), ("beside", self.words), ("opposite", self.others)):
            found[name] = state[name] if state[name] in words else None
        if state["sentence"] is not None and not set(maps.sentence(state["sentence"])) <= set(self.words):
            found["sentence"] = None
        if [state["word"], state["sentence"]] != [found["word"], found["sentence"]]:
            found["word"] = self.words[0]  # what was shown is not there
        return found


def everything(maps: Maps, against: Maps | None) -> Carried:
    """All layers, heads and words, as a kernel can form them."""
    others = () if against is None else tuple(range(len(against.words)))
    attention = maps.attention
    layers, heads = ((None, *range(count)) for count in (attention.n_layers, attention.n_heads))
    return Carried(layers, heads, tuple(range(len(maps.words))), others)


def chosen(
    maps: Maps,
    against: Maps | None,
    *,
    layers: Numbers | None,
    heads: Numbers | None,
    words: Sequence[int] | str | None,
    max_bytes: int,
) -> Carried:
    """What is asked for; of what is not, everything, or the mean alone where there is no room.

    Args:
        maps, against: of the two replies.
        layers: numbers of the decoder's layers; None for all and their mean.
        heads: likewise.
        words: numbers of words, "thought" or "answer"; None for all.
        max_bytes: most bytes of maps, before they are packed.

    Raises:
        InputError: for a layer, head or word that is not there, none at all, or more than there is room for.
    """
    every = everything(maps, against)
    named = every.words if words is None else _words(maps, words)
    others = every.others
    if against is not None and words is not None:
        pairs = counterparts(maps, against)
        others = tuple(sorted({pairs[word] for word in named}))
    some_layers = [every.layers, (None,)] if layers is None else [_layers(maps, layers)]
    some_heads = [every.heads, (None,)] if heads is None else [_heads(maps, heads)]
    cells = sum(len(grid) for grids in maps.grids for grid in grids)
    sizes = []
    for layer, head in ((0, 0), (0, -1), (-1, -1)):  # heads give way first
        found = Carried(some_layers[layer], some_heads[head], named, others)
        sizes.append(len(found.settings) * (len(named) + len(others)) * cells)
        if sizes[-1] <= max_bytes:
            return found
    raise InputError(
        f"max_bytes={max_bytes}",
        f"at least {min(sizes)}, the maps of {len(named) + len(others)} words",
        "allow more, or choose fewer layers, heads or words",
    )


def _words(maps: Maps, words: Sequence[int] | str) -> tuple[int, ...]:
    if isinstance(words, str):
        found = [number for number, word in enumerate(maps.words) if word.part == words]
        if not words or not found:
            there = sorted({word.part for word in maps.words} - {""})
            raise InputError(
                f"words={words!r}", f"numbers of words, or a part of this reply: {', '.join(there)}"
            )
        return tuple(found)
    return tuple(sorted({maps.word(word) for word in _some(words, "words")}))


def _layers(maps: Maps, layers: Numbers) -> tuple[int | None, ...]:
    mean, found = _split(layers, "layers")
    return (*mean, *sorted(set(maps.attention.places(found) if found else [])))


def _heads(maps: Maps, heads: Numbers) -> tuple[int | None, ...]:
    mean, found = _split(heads, "heads")
    return (*mean, *sorted(set(numbers(found, maps.attention.n_heads, "head") if found else [])))


def _split(given: Any, name: str) -> tuple[tuple[None, ...], list[int]]:
    """The mean, where it is given, and the numbers."""
    values = _some(given, name)
    found = [value for value in values if value is not None]
    return (None,) * (len(found) < len(values)), found


def _some(values: Any, name: str) -> list[Any]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InputError(f"{name}={values!r}", "a list of numbers")
    if not (found := list(values)):
        raise InputError(f"{name}=[]", "at least one", f"leave {name}= out for all")
    return found


def read_numbers(text: str, name: str) -> list[int | None] | None:
    """Numbers as they are written into a form: "all", or "0, 2-4, mean".

    Raises:
        InputError: for anything else.
    """
    found: list[int | None] = []
    for part in (part.strip().lower() for part in text.split(",") if part.strip()):
        if part == "all":
            return None
        if not (spelled := re.fullmatch(r"mean|(\d{1,4})(?:\s*-\s*(\d{1,4}))?", part)):
            raise InputError(f"{name}={part!r}", 'numbers and ranges such as "0, 2-4, mean", or "all"')
        first, last = spelled[1], spelled[2] or spelled[1]
        found += [None] if first is None else range(int(first), int(last) + 1)
    return found or None
