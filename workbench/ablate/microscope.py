"""The resolution microscope: one picture through every way to feed it, and what is left to see"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..images import open_image
from .legibility import readable_height
from .resolution.feeding import METHODS, Feed, feed, method_name

if TYPE_CHECKING:
    import pandas

__all__ = ["CRITERIA", "Microscope", "Reading", "microscope"]

CRITERIA = {
    "smallest_text": "least x-height at which an ideal reader that knows the font tells 95% of lower-case "
    "letters and digits right, after the resize, under noise of a tenth of black to white (measured); "
    "what reaches the tower: S2 averages features afterwards, see patches_per_token",
    "smallest_target": "least side of a square target such that two of them side by side never share a token",
}


@dataclass(frozen=True)
class Reading:
    """One method's view of the picture.

    Args:
        feed: the plan: crops, resized size, tokens.
        smallest_text: x-height in pixels of the original; see `CRITERIA`.
        smallest_target: side in pixels of the original; see `CRITERIA`.
    """

    feed: Feed
    smallest_text: float
    smallest_target: float

    @property
    def method(self) -> str:
        """The method's name."""
        return self.feed.method

    @property
    def label(self) -> str:
        """The method's label in the published table."""
        return METHODS[self.feed.method]

    @property
    def effective(self) -> float:
        """Pixels of the original that reach the tower, as a share; enlarging adds none."""
        across, down = (min(1.0, zoom) for zoom in self.feed.density)
        return across * down

    def to_dict(self) -> dict[str, Any]:
        """As plain values, a row of the table."""
        return {
            "method": self.method,
            "budget": self.feed.budget,
            "tokens": self.feed.tokens,
            "tower_patches": self.feed.patches,
            "crops": len(self.feed.crops),
            "resized": "x".join(map(str, self.feed.resized)),
            "effective": self.effective,
            "patches_per_token": self.feed.patches_per_token,
            "smallest_text": self.smallest_text,
            "smallest_target": self.smallest_target,
        }


@dataclass(frozen=True)
class Microscope:
    """What each method leaves of one picture.

    Args:
        size: (width, height) of the picture, in pixels.
        budget: most tokens, for every method.
        readings: one a method.
    """

    size: tuple[int, int]
    budget: int
    readings: tuple[Reading, ...]

    def __getitem__(self, method: str) -> Reading:
        """The reading of one method, by name or label.

        Raises:
            InputError: if there is no such method, or it was not looked at.
        """
        name = method_name(method)
        for reading in self.readings:
            if reading.method == name:
                return reading
        raise InputError(f"method {name!r}", f"one of {', '.join(r.method for r in self.readings)}")

    def frame(self) -> pandas.DataFrame:
        """A row a method; ``smallest_text`` and ``smallest_target`` in pixels of the original."""
        import pandas

        return pandas.DataFrame([reading.to_dict() for reading in self.readings])


def microscope(
    picture: Any, *, budget: int = 3600, methods: Sequence[str] = tuple(METHODS), tile: int | None = None
) -> Microscope:
    """One picture through several ways to feed it.

    Args:
        picture: anything that `workbench.images.open_image` takes.
        budget: most image tokens.
        methods: names from `resolution.METHODS`, or their labels in the published table.
        tile: side of the tower's square in patches; by default it follows from the budget.

    Raises:
        InputError: for an empty picture, no or an unknown method, or a budget below the least.

    Example:
        >>> microscope("screen.png", budget=2048).frame()
    """
    names = [method_name(m) for m in ((methods,) if isinstance(methods, str) else methods)]
    if not names:
        raise InputError("methods=()", f"some of {', '.join(METHODS)}")
    size = open_image(picture).size
    readings = []
    for name in dict.fromkeys(names):
        plan = feed(size, budget, method=name, tile=tile)
        text = readable_height(*(round(zoom, 4) for zoom in plan.density))
        readings.append(Reading(plan, text, max(max(plan.cell), 1.0)))
    return Microscope(size, budget, tuple(readings))
