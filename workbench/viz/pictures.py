"""Pictures as they were asked about: with boxes, and with the grid of patches that the model reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from ..errors import CapabilityError, InputError
from ..images import open_images
from ..types import Box, PatchGrid, Region
from .style import INK, SERIES, Figure, panels, titled, wrapped

if TYPE_CHECKING:
    from ..answer import Answer
    from ..synth import Sample

__all__ = ["show", "show_patches", "show_sample"]

MOST = 200  # cells up to which every patch gets its token's number


def show(
    images: Any,
    *,
    boxes: Mapping[str, Iterable[Region | Box]] | None = None,
    titles: Sequence[str] = (),
    title: str = "",
    height: float = 2.8,
) -> Figure:
    """Pictures side by side, with named boxes.

    Args:
        images: a picture or several, as ``vlm.ask`` takes them.
        boxes: name -> regions, or boxes (x1, y1, x2, y2) in pixels of the first picture.
        titles: a line above each picture.
        title: a line above them all.
        height: of a picture, in inches.

    Raises:
        InputError: for no picture, one that cannot be opened, or a box of a picture that is not there.
    """
    pictures = open_images(images)
    if not pictures:
        raise InputError("no picture", "at least one")
    named = {name: [_region(box) for box in found] for name, found in (boxes or {}).items()}
    for region in (r for regions in named.values() for r in regions):
        if not 0 <= region.image < len(pictures):
            raise InputError(f"a box of picture {region.image}", f"pictures 0 to {len(pictures) - 1}")
    wide = [height * min(2.2, max(0.6, p.width / p.height)) for p in pictures]
    width = max(sum(wide) + 0.3, 4.5)
    above = 0.24 * (len(wrapped(title, int(10 * width)).split("\n")) if title else 0) + 0.4 * bool(titles)
    below = 0.35 * bool(named)
    size = {"width": width, "height": height + 0.15 + above + below}
    drawn, axes = panels(1, len(pictures), width_ratios=wide, **size)
    for number, (panel, picture) in enumerate(zip(axes, pictures, strict=True)):
        _picture(panel, picture)
        if number < len(titles):
            panel.set_title(titles[number], fontsize=9, color=INK)
        for kind, (name, regions) in enumerate(named.items()):
            look = SERIES[kind % len(SERIES)]
            for place, box in enumerate(r.box for r in regions if r.image == number):
                panel.add_patch(_frame(box, look.colour, look.line, label=name if place == 0 else None))
        if panel.patches:
            panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), fontsize=8, frameon=False, ncols=3)
    if title:
        titled(drawn, title)
    return drawn


def show_sample(sample: Sample, *, height: float = 2.8) -> Figure:
    """A drawn question: its pictures, where the evidence lies, and the known answer."""
    evidence = [Region(box, sample.picture) for box in sample.boxes]
    titles = [f"picture {i + 1}" for i in range(len(sample.images))] if len(sample.images) > 1 else ()
    text = f"{sample.question}\nKnown answer: {sample.answer}"
    return show(sample.images, boxes={"evidence": evidence}, titles=titles, title=text, height=height)


def show_patches(
    answer: Answer,
    *,
    image: int = 0,
    cells: Iterable[tuple[int, int]] = (),
    height: float = 4.2,
) -> Figure:
    """The grid that the model reads, over the original picture: which patch is which token.

    Args:
        answer: an answer with a layout.
        image: which picture of the conversation.
        cells: (row, col) of patches to mark.
        height: of the picture, in inches.

    Raises:
        CapabilityError: if the answer has no layout (a server gives none).
        InputError: if there is no such picture or cell.
    """
    if answer.layout is None:
        raise CapabilityError("an answer without a layout", "one of a model that was loaded here")
    if not 0 <= image < min(len(answer.layout.images), len(answer.images)):
        raise InputError(f"image={image}", f"0 to {len(answer.layout.images) - 1}")
    grid, picture = answer.layout.images[image], answer.images[image]
    marked = list(cells)
    positions = [grid.position(*cell) for cell in marked]
    wide = height * min(2.2, max(0.8, picture.width / picture.height))
    drawn, (axes,) = panels(1, 1, width=wide + 0.4, height=height + 0.6)
    _picture(axes, picture)
    _cells(axes, grid, numbers=len(grid) <= MOST and not marked)
    for cell, position in zip(marked, positions, strict=True):
        box = grid.box(*cell)
        axes.add_patch(_frame(box, SERIES[2].colour, "-", fill=True))
        _number(axes, box, position)
    what = f"picture {image + 1}: " if len(answer.layout.images) > 1 else ""
    span = f"tokens {grid.start} to {grid.stop - 1} of {answer.layout.length}"
    titled(drawn, f"{what}{grid.rows} x {grid.cols} patches, {span} in the prompt".capitalize())
    return drawn


def _region(box: Region | Box) -> Region:
    return box if isinstance(box, Region) else Region(tuple(box))  # type: ignore[arg-type]


def _picture(axes: Axes, picture: Image.Image) -> None:
    """The picture in its own pixels; small ones with sharp edges, as the model gets them."""
    smooth = "antialiased" if max(picture.size) > 400 else "nearest"
    axes.imshow(picture, extent=(0, picture.width, picture.height, 0), interpolation=smooth)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")


def _frame(box: Box, colour: str, line: Any, *, label: str | None = None, fill: bool = False) -> Rectangle:
    x1, y1, x2, y2 = box
    face = (*_rgb(colour), 0.25) if fill else "none"
    return Rectangle(
        (x1, y1), x2 - x1, y2 - y1, edgecolor=colour, facecolor=face, linewidth=2, linestyle=line, label=label
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _cells(axes: Axes, grid: PatchGrid, *, numbers: bool) -> None:
    x1, y1, x2, y2 = grid.region
    for row in range(grid.rows + 1):
        y = y1 + (y2 - y1) * row / grid.rows
        axes.plot([x1, x2], [y, y], color="#004488", linewidth=0.7, alpha=0.7)
    for col in range(grid.cols + 1):
        x = x1 + (x2 - x1) * col / grid.cols
        axes.plot([x, x], [y1, y2], color="#004488", linewidth=0.7, alpha=0.7)
    if numbers:
        for row in range(grid.rows):
            for col in range(grid.cols):
                _number(axes, grid.box(row, col), grid.position(row, col))


def _number(axes: Axes, box: Box, position: int) -> None:
    """The token's number in the upper left corner of its patch, where it hides least."""
    frame = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    corner = (box[0] + 0.06 * (box[2] - box[0]), box[1] + 0.06 * (box[3] - box[1]))
    axes.text(*corner, str(position), fontsize=7, ha="left", va="top", color="#004488", bbox=frame)
