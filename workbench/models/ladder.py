"""The ladder: which real model to load instead of the built-in one, on a CPU and on cards of three sizes.

The figures are `memory_plan`'s, computed by ``tools/make_ladder.py`` from the configs in ``data/ladder`` and
kept there, so that the ladder needs neither PyTorch nor a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..files import data_path, read_json
from ..html import framed
from ..html import table as html_table
from ..records import build

if TYPE_CHECKING:
    import pandas

__all__ = ["Ladder", "PLACES", "Place", "Rung", "ladder"]

#: Weights that a CPU can read for every token without trying anybody's patience, in bytes.
CPU_WEIGHTS = 2 * 10**9


@dataclass(frozen=True)
class Place:
    """Where a model is to run: its ``memory`` in bytes, and whether that is a card's."""

    name: str
    memory: int
    card: bool = True


#: Share of a memory that other programs have.
TAKEN = 0.05

#: The places of the ladder, the smallest first.
PLACES = (
    Place("a CPU", 8 * 10**9, card=False),
    Place("a card of 8 GB", 8 * 10**9),
    Place("a card of 24 GB", 24 * 10**9),
    Place("a card of 80 GB", 80 * 10**9),
)


@dataclass(frozen=True)
class Rung:
    """One way to load one model; sizes in bytes.

    Args:
        model: its Hub id.
        parameters: number of them.
        image_tokens: most tokens of one picture, where it is to take fewer than it could.
        precision: "float32", "bfloat16", "int8" or "int4".
        weights: bytes of the weights.
        working: bytes beside them: the cache for a picture, a prompt of 1000 tokens and a reply of 4096, and
            activations.
        reserve: bytes that a card needs for itself.
    """

    model: str
    parameters: int
    image_tokens: int | None
    precision: str
    weights: int
    working: int
    reserve: int

    @property
    def name(self) -> str:
        """The model's name without its owner."""
        return self.model.partition("/")[2]

    @property
    def call(self) -> str:
        """The call that loads it so."""
        options = f', quantize="{self.precision}"' if self.precision.startswith("int") else ""
        options += f", image_tokens={self.image_tokens}" if self.image_tokens else ""
        return f'workbench.load("{self.model}"{options})'

    def needed(self, place: Place) -> int:
        """Bytes that it takes there."""
        return self.weights + self.working + (self.reserve if place.card else 0)

    def fits(self, place: Place) -> bool:
        """Whether there is room for it; on a CPU also whether it is small, and as stored."""
        quick = place.card or (self.weights <= CPU_WEIGHTS and not self.precision.startswith("int"))
        return quick and self.needed(place) <= (1 - TAKEN) * place.memory


@dataclass(frozen=True)
class Ladder:
    """What to load where: every way to load each model, small models first, the most precise way first."""

    rungs: tuple[Rung, ...]

    def best(self, place: Place, *, n: int = 2) -> tuple[Rung, ...]:
        """The ``n`` largest models that fit a place, each in the most precise way that does."""
        found: dict[str, Rung] = {}
        for rung in self.rungs:
            if rung.fits(place):
                found.setdefault(rung.model, rung)
        return tuple(reversed([*found.values()][-n:]))

    def _rows(self) -> list[tuple[Place, Rung]]:
        return [(place, rung) for place in PLACES for rung in self.best(place)]

    def frame(self) -> pandas.DataFrame:
        """One row per place and model that fits it, the largest first; sizes in GB."""
        import pandas

        return pandas.DataFrame(
            {
                "place": place.name,
                "model": rung.model,
                "parameters (B)": rung.parameters / 1e9,
                "precision": rung.precision,
                "weights (GB)": rung.weights / 1e9,
                "needed (GB)": rung.needed(place) / 1e9,
                "call": rung.call,
            }
            for place, rung in self._rows()
        )

    def __str__(self) -> str:
        rows = [
            (place.name, f"{rung.needed(place) / 1e9:4.1f} GB", rung.precision, rung.call)
            for place, rung in self._rows()
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    @framed
    def _repr_html_(self) -> str:
        rows = [
            (place.name, rung.name, rung.precision, f"{rung.needed(place) / 1e9:.1f} GB", rung.call)
            for place, rung in self._rows()
        ]
        return html_table(("on", "model", "in", "takes", "call"), rows)


@cache
def ladder() -> Ladder:
    """What to load instead of the built-in model for pictures of your own, by where it is to run.

    Example:
        >>> print(ladder())  # doctest: +SKIP
    """
    recorded = read_json(data_path("ladder", "ladder.json"))
    return build(Ladder, {"rungs": recorded["rungs"]}, "data/ladder/ladder.json")
