"""What else is known of an answer, patch by patch: attributions and logit lenses on the same picture"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..interpret.attribution import Attribution
from ..interpret.lens_record import LogitLens
from .maps import Maps

__all__ = ["Layer", "Overlay"]


@dataclass(frozen=True)
class Layer:
    """Values of all cells ``[cells]``, zero on crops; and of a logit lens the word that each cell says."""

    values: np.ndarray
    words: tuple[str, ...] = ()

    def packed(self) -> tuple[dict[str, Any], list[bytes]]:
        """Values as signed bytes of the largest, and numbers of words as four bytes each."""
        peak = float(np.abs(self.values).max(initial=0.0))
        values = np.rint(self.values * (127 / peak if peak else 0)).astype(np.int8)
        distinct = list(dict.fromkeys(self.words))
        place = {word: number for number, word in enumerate(distinct)}
        says = np.array([place[word] for word in self.words], dtype="<u4")
        return {"peak": peak, "words": distinct}, [values.tobytes(), says.tobytes()]


class Overlay:
    """An attribution or a logit lens of an answer, on the cells of its maps.

    Args:
        record: what was found of the answer.
        maps: of the same answer.

    Raises:
        InputError: for something else, a record of another answer, patches that were not read, or values that
            are not finite.
    """

    def __init__(self, record: Attribution | LogitLens, maps: Maps) -> None:
        if not isinstance(record, Attribution | LogitLens):
            raise InputError(
                f"overlays= with a {type(record).__name__}",
                "an Attribution or a LogitLens of the answer",
                "interpret.attribute(vlm, answer), interpret.logit_lens(vlm, answer)",
            )
        own, theirs = maps.answer, record.answer
        if (own.token_ids, own.question, own.layout) != (theirs.token_ids, theirs.question, theirs.layout):
            raise InputError(f"{record!r} of another answer", "a record of the answer that is explored")
        self.record, self._maps = record, maps
        self.at(None)  # what cannot be shown is refused now, not when it is chosen

    @property
    def name(self) -> str:
        """How it is called."""
        if isinstance(self.record, LogitLens):
            return "logit lens"
        return f"{self.record.method} of {self.record.target.label}"

    @property
    def unit(self) -> str:
        """What its values are."""
        if isinstance(self.record, LogitLens):
            return "probability of the word that a patch says"
        return self.record.unit

    @property
    def by_layer(self) -> bool:
        """Whether every layer of the decoder has a map of its own."""
        return isinstance(self.record, LogitLens)

    def at(self, layer: int | None) -> Layer:
        """Its map.

        Args:
            layer: of a logit lens, what leaves this layer, counted as a `Setting` counts; None for the last.
        """
        record, maps = self.record, self._maps
        if isinstance(record, LogitLens):
            number = record.layers if layer is None else maps.attention.layers[layer] + 1
            read = [record.says(number, image=image) for image in range(len(maps.grids))]
            parts = [one.probabilities for one in read]
            words = tuple(maps.from_overviews([one.words for one in read], blank=""))
        else:
            parts, words = list(record.maps), ()
        values = maps.from_overviews(parts)
        if not np.isfinite(values).all():
            raise InputError(f"{record!r} with values that are not finite", "finite values")
        return Layer(values, words)

    def info(self) -> dict[str, Any]:
        """What a view needs to know at the start."""
        signed = isinstance(self.record, Attribution) and any((part < 0).any() for part in self.record.maps)
        return {"name": self.name, "unit": self.unit, "byLayer": self.by_layer, "signed": bool(signed)}
