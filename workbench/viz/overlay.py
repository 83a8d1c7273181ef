"""A map on the original image, and images as they were asked about: boxes, patches, evidence.

What a map points at stays legible (`workbench.viz.spotlight`).  A map's outline follows the patches; evidence
and other boxes have corners only, so that neither is taken for the other.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from PIL import Image

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..images import open_images
from ..interpret.attribution import Attribution
from ..names import verb
from ..synth import Sample
from ..synth.sample import Element
from ..types import Box, ImagesLike, PatchGrid, Region, Span
from .spotlight import COLOURS, SPOTLIGHT, cell_names, is_dark, lit, most_on, shade
from .style import FAINT, INK, SERIES, Figure, Look, panels, record, titled, wrapped
from .thinking import percent

__all__ = [
    "ATTENTION",
    "draw_map",
    "grid_of",
    "overlay",
    "show",
    "show_answer",
    "show_patches",
    "show_sample",
]


ASKED = "vlm.ask(images, question)"
MOST = 200  # cells up to which every patch gets its token's number


def show(
    images: ImagesLike,
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
            frames(panel, [r.box for r in regions if r.image == number], FRAMES[kind % len(FRAMES)], name)
        if panel.lines:
            panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), fontsize=8, frameon=False, ncols=3)
    if title:
        titled(drawn, title)
    return drawn


def show_sample(sample: Sample, *, height: float = 2.8) -> Figure:
    """A drawn question: its pictures, where the evidence lies, and the known answer.

    Raises:
        InputError: for something else.
    """
    sample = record(sample, Sample, "workbench.synth.sample(family, 1, seed=0)[0]")
    evidence = [Region(box, sample.image) for box in sample.boxes]
    titles = [f"picture {i + 1}" for i in range(len(sample.images))] if len(sample.images) > 1 else ()
    text = f"{sample.question}\nKnown answer: {sample.answer}"
    return show(sample.images, boxes={"evidence": evidence}, titles=titles, title=text, height=height)


def show_answer(answer: Answer, *, height: float = 2.8) -> Figure:
    """The pictures of a question, what was asked, and what the model answered.

    Raises:
        InputError: for something else, or an answer about no picture.
    """
    answer = record(answer, Answer, ASKED)
    if not answer.question_images:
        raise InputError("an answer about no picture", "an answer to a question with a picture")
    text = f"{answer.question}\n{answer.model or 'Model'} ({answer.mode}): {answer.text.strip()}"
    return show(answer.question_images, title=text, height=height)


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
    answer = record(answer, Answer, ASKED)
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
        axes.add_patch(_marked(box, SERIES[2].colour))
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


FRAMES = (SERIES[3], SERIES[2], SERIES[0])  # of named boxes, evidence first; no map has these colours


def frames(axes: Axes, boxes: Iterable[Box], look: Look = FRAMES[0], name: str | None = None) -> None:
    """The corners of boxes: they hide no letter, and are no map's outline; ``name`` is for the legend."""
    for place, box in enumerate(boxes):
        corners = Line2D(*_corners(box), color=look.colour, linewidth=2.2, solid_capstyle="butt")
        corners.set_label(name if name and place == 0 else "_")
        corners.set_path_effects([withStroke(linewidth=4.2, foreground="white")])
        axes.add_line(corners)


def _corners(box: Box) -> tuple[list[float], list[float]]:
    """The way round a box's four corners, with gaps between them."""
    x1, y1, x2, y2 = box
    wide, tall = x2 - x1, y2 - y1
    across, along = min(0.3 * wide, tall), min(0.3 * tall, wide)
    xs: list[float] = []
    ys: list[float] = []
    for x, inward in ((x1, across), (x2, -across)):
        for y, down in ((y1, along), (y2, -along)):
            xs += [x + inward, x, x, float("nan")]
            ys += [y, y, y + down, float("nan")]
    return xs, ys


def _marked(box: Box, colour: str) -> Rectangle:
    x1, y1, x2, y2 = box
    return Rectangle(
        (x1, y1), x2 - x1, y2 - y1, edgecolor=colour, facecolor=(*to_rgb(colour), 0.25), linewidth=2
    )


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


ATTENTION = "share of the attention"
MAPS = "an attribution, a token or Span of the reply, 'answer', 'thought', or an array [rows, cols]"


@verb("image")
def overlay(
    answer: Answer | Attribution,
    map: Attribution | Span | int | str | ArrayLike | None = None,
    *,
    image: int = 0,
    grid: PatchGrid | None = None,
    boxes: Mapping[str, Iterable[Region | Box]] | None = None,
    elements: Sequence[Element] = (),
    peak: float | None = None,
    strength: float = 1.0,
    label: str | None = None,
    title: str = "",
    height: float = 3.6,
) -> Figure:
    """A map of patches on the original picture, in the picture's own pixels.

    What is looked at keeps its colours, with a light tint; the rest fades to grey.  A line goes round the
    patches above half of the strongest (dashed: below minus half, in a signed map).  Patches that reach
    past the picture's edge, where a family pads it, are cut there.  The title names what lies under the
    strongest patch.

    Args:
        answer: an answer with pictures and a layout; or an attribution, which knows its answer.
        map: what is laid over it: an `Attribution`; a token or `Span` of the reply, "answer" or
            "thought", for what it looked at; or a value for each patch, ``[rows, cols]``.  A map with
            negative values is drawn in two colours around zero.
            None for what the answer's own tokens looked at.
        image: which picture of the conversation.
        grid: the patches that an array belongs to, where they are a crop's; else the picture's own.
        boxes: name -> regions or boxes (original pixels) to draw over it, for example the evidence.
        elements: what is known to be on the picture (``sample.elements``), so that the title can name it.
        peak: the value that is shown strongest, the same for figures that are to be compared; None for the
            map's own largest.
        strength: how much the map changes the picture, from 0 (not at all) to 1.
        label: what the values are, for the colour bar; None for what the record says, "value" for an array.
        title: a line above; "" for what the map says.
        height: of the picture, in inches.

    Raises:
        CapabilityError: for an answer without a layout (a server gives none).
        InputError: for something else, a picture that is not there, a token without attention, or a map that
            does not fit the grid.

    Example::

        viz.overlay(attribution)  # the same as attribution.plot()
        viz.overlay(answer, -2)  # where the last word but one looked
    """
    answer, given, means = _laid(answer, map, image)
    grid, label = grid_of(answer, image, grid), means if label is None else label
    values = checked_map(given, grid)
    picture = answer.images[grid.image]
    wide = height * min(2.2, max(0.7, picture.width / picture.height))
    drawn, (axes, bar) = panels(
        1, 2, width=max(wide + 1.0, 4.2), height=height + 0.7, width_ratios=[wide, 0.13]
    )
    top = draw_map(axes, picture, values, grid, peak=peak, strength=strength)
    named = {name: [_region(box) for box in found] for name, found in (boxes or {}).items()}
    for kind, (name, regions) in enumerate(named.items()):
        own = [r.box for r in regions if r.image == grid.image]
        frames(axes, own, FRAMES[kind % len(FRAMES)], name)
    if handles := [line for line in axes.lines if not str(line.get_label()).startswith("_")]:
        axes.legend(
            handles=handles, loc="upper right", bbox_to_anchor=(1, -0.01), fontsize=8, frameon=False, ncols=3
        )
    colour_bar(bar, top, signed=bool((values < 0).any()), label=label, dark=is_dark(picture))
    titled(drawn, title or _finding(values, label, cell_names(grid, elements)))
    return drawn


def _laid(shown: Answer | Attribution, map: object, image: int) -> tuple[Answer, Any, str]:  # Any: any array
    """The answer, the map on one of its pictures, and what its values are."""
    if isinstance(shown, Attribution):
        if map is not None:
            raise InputError("an attribution and another map", "an attribution alone, or an answer and a map")
        shown, map = shown.answer, shown
    answer = record(shown, Answer, f"{ASKED}, or pass an attribution alone")
    if isinstance(map, Attribution):
        if (map.answer.token_ids, map.answer.layout) != (answer.token_ids, answer.layout):
            raise InputError("an attribution of another answer", "one of this answer", "pass it alone")
        return answer, map.map(image), map.unit
    if map is None or isinstance(map, (int, Span, str)):
        tokens = answer.spans["answer"] if map is None else map
        return answer, answer.attention.map(tokens, image), ATTENTION
    return answer, map, "value"


def grid_of(answer: Answer, image: int, grid: PatchGrid | None = None) -> PatchGrid:
    """The patches of picture ``image``, or ``grid`` itself where one is given and belongs to the answer.

    Raises:
        CapabilityError: for an answer without a layout.
        InputError: for a picture or a grid that the answer does not have.
    """
    if answer.layout is None:
        raise CapabilityError("an answer without a layout", "one of a model that was loaded here")
    if grid is not None:
        if grid not in answer.layout.grids:
            raise InputError("a grid of another answer", "one of answer.layout.grids")
        return grid
    count = min(len(answer.layout.images), len(answer.images))
    if not 0 <= image < count:
        has = f"0 to {count - 1}" if count else "an answer about a picture"
        raise InputError(f"image={image!r}", has)
    return answer.layout.images[image]


def checked_map(map: object, grid: PatchGrid) -> np.ndarray:
    """A map as floats ``[rows, cols]``.

    Raises:
        InputError: if it has another shape than the grid, or values that are not finite.
    """
    try:
        values = np.asarray(map, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"map={reprlib.repr(map)}", MAPS) from None
    if values.shape != (grid.rows, grid.cols):
        raise InputError(
            f"a map of shape {values.shape}",
            f"({grid.rows}, {grid.cols}), the patches of picture {grid.image}",
            "take it from the same answer, with the same image=",
        )
    if not np.isfinite(values).all():
        raise InputError("a map with values that are not finite", "finite values")
    return values


def draw_map(
    axes: Axes, picture: Image.Image, values: np.ndarray, grid: PatchGrid, *, peak: float | None = None,
    strength: float = 1.0, scale: bool = True, signed: bool | None = None,
) -> float:  # fmt: skip
    """Draw a picture in the light of a map into axes that span the picture's pixels.

    Args:
        axes: where to draw.
        picture: the original.
        values: ``[rows, cols]``.
        grid: where the values lie.
        peak: the value that is shown strongest; None for the largest.
        strength: how much the map changes the picture, from 0 to 1.
        scale: whether to draw a bar of known length below it, in pixels.
        signed: whether to outline what is below minus half too; None where there are negative values.

    Returns:
        The value that is shown strongest.
    """
    signed = bool((values < 0).any()) if signed is None else signed
    top = float(np.abs(values).max()) if peak is None else float(peak)
    shares = np.clip(values / top, -1, 1) if top > 0 else np.zeros_like(values)
    sharp = _sharp(picture)
    pixels = np.asarray(sharp, dtype=float) / 255
    spread = _spread(shares, grid, picture.size, pixels.shape[:2])
    seen = lit(pixels, spread, dark=is_dark(picture), strength=strength)
    extent = (0, picture.width, picture.height, 0)
    axes.imshow(np.clip(seen, 0, 1), extent=extent, interpolation="antialiased")
    if top > 0:
        _outline(axes, shares >= 0.5, grid, SPOTLIGHT.lines[0], "-")
        if signed:
            _outline(axes, shares <= -0.5, grid, SPOTLIGHT.lines[1], (0, (3, 1.5)))
    if scale:
        _scale_bar(axes, picture.size)
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
    return top


SHARP, MOST_PIXELS = 800, 1600  # longer sides: small pictures get sharp edges, large ones are made smaller


def _sharp(picture: Image.Image) -> Image.Image:
    """The picture at a size at which its own pixels, and the edges of cells between them, show."""
    longer = max(picture.size)
    picture = picture.convert("RGB")
    if longer > MOST_PIXELS:
        picture = picture.copy()
        picture.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
    times = -(-SHARP // longer) if longer <= SHARP // 2 else 1
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def _spread(values: np.ndarray, grid: PatchGrid, size: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Each pixel's value ``[height, width]``: that of the cell under its centre, or 0 outside the grid."""
    x1, y1, x2, y2 = grid.region
    cols = np.floor(((np.arange(shape[1]) + 0.5) * size[0] / shape[1] - x1) / (x2 - x1) * grid.cols)
    rows = np.floor(((np.arange(shape[0]) + 0.5) * size[1] / shape[0] - y1) / (y2 - y1) * grid.rows)
    inside = ((rows >= 0) & (rows < grid.rows))[:, None] & ((cols >= 0) & (cols < grid.cols))
    found = values[np.clip(rows, 0, grid.rows - 1).astype(int)][
        :, np.clip(cols, 0, grid.cols - 1).astype(int)
    ]
    return np.where(inside, found, 0.0)


def sheet_colours() -> LinearSegmentedColormap:
    """The colours from nothing to the strongest on white, for maps without a picture below."""
    return LinearSegmentedColormap.from_list("workbench", ["white", *COLOURS])


def colour_bar(axes: Axes, top: float, *, signed: bool, label: str, dark: bool | None = None) -> None:
    """The scale from 0 (or ``-top``) to ``top``, a line where the outline is drawn.

    Args:
        axes: where to draw.
        top: the value that is shown strongest.
        signed: whether it goes below zero.
        label: what the values are.
        dark: of a picture's map, whether the picture is a dark one; None for colours without a picture.
    """
    low = -top if signed else 0.0
    ramp = np.linspace(low, top, 256)[:, None]
    if dark is None:
        paint = shade(ramp, top, signed=signed)
        rgb = paint[..., :3] * paint[..., 3:] + 1 - paint[..., 3:]
    else:
        shares = ramp / top if top > 0 else ramp
        rgb = lit(np.full((256, 1, 3), 0.12 if dark else 1.0), shares, dark=dark)
    span = (low, top) if top > 0 else (0.0, 1.0)
    axes.imshow(rgb, extent=(0, 1, *span), origin="lower", aspect="auto")
    if dark is not None and top > 0:
        axes.axhline(top / 2, color=SPOTLIGHT.lines[0], linewidth=1.6)
        if signed:
            axes.axhline(-top / 2, color=SPOTLIGHT.lines[1], linewidth=1.6, linestyle=(0, (3, 1.5)))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:.3g}"))
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.spines[:].set_color(FAINT)


def _outline(axes: Axes, inside: np.ndarray, grid: PatchGrid, colour: str, line: object) -> None:
    """A line between patches inside and patches not, on white so that it shows on anything."""
    x1, y1, x2, y2 = grid.region
    xs, ys = np.linspace(x1, x2, grid.cols + 1), np.linspace(y1, y2, grid.rows + 1)
    framed = np.pad(inside, 1)
    down, across = framed[1:, 1:-1] != framed[:-1, 1:-1], framed[1:-1, 1:] != framed[1:-1, :-1]
    edges = [[(xs[c], ys[r]), (xs[c + 1], ys[r])] for r, c in zip(*np.nonzero(down), strict=True)]
    edges += [[(xs[c], ys[r]), (xs[c], ys[r + 1])] for r, c in zip(*np.nonzero(across), strict=True)]
    for width, ink, style in ((3.4, "white", "-"), (1.7, colour, line)):
        axes.add_collection(
            LineCollection(edges, colors=ink, linewidths=width, linestyles=[style], capstyle="projecting")
        )


def _scale_bar(axes: Axes, size: tuple[int, int]) -> None:
    """A bar of a round number of original pixels, below the picture on the left."""
    width, height = size
    target = width / 4
    power = 10 ** np.floor(np.log10(target))
    length = max(step * power for step in (1, 2, 5) if step * power <= target)
    y = 1.04 * height
    (bar,) = axes.plot([0, length], [y, y], color=FAINT, linewidth=2, solid_capstyle="butt", clip_on=False)
    bar.set_label("_")
    axes.text(length + 0.015 * width, y, f"{length:g} pixels", fontsize=7, color=FAINT, va="center")


def _finding(values: np.ndarray, label: str, names: Sequence[str]) -> str:
    """What a map says: what it is strongest on, and, for shares, how much of the whole lies there."""
    if not values.any():
        return f"Nothing on this picture ({label})"
    name, there = most_on(values, names)
    if label != ATTENTION:
        strongest = values.ravel()[np.argmax(np.abs(values))]
        return f"{label[:1].upper()}{label[1:]}: strongest {name} ({strongest:+.3g} in one patch)"
    whole = float(values.sum())
    return f"{percent(whole)} of the attention is on this picture, {percent(there / whole)} of it {name}"
