"""A map over the original image, and images as they were asked about: boxes, patches, evidence.

Maps are legible on any image and in grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, to_hex, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import ArrayLike
from PIL import Image

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..images import open_images
from ..interpret.attribution import Attribution
from ..names import verb
from ..synth import Sample
from ..types import Box, ImagesLike, PatchGrid, Region, Span
from .style import FAINT, INK, SERIES, Figure, panels, record, titled, wrapped
from .thinking import percent

__all__ = [
    "ATTENTION",
    "COLOURS",
    "DIVERGING",
    "FADE",
    "OPACITY",
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
            look = SERIES[kind % len(SERIES)]
            for place, box in enumerate(r.box for r in regions if r.image == number):
                panel.add_patch(_frame(box, look.colour, look.line, label=name if place == 0 else None))
        if panel.patches:
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


def _frame(box: Box, colour: str, line: object, *, label: str | None = None, fill: bool = False) -> Rectangle:
    x1, y1, x2, y2 = box
    face = (*_rgb(colour), 0.25) if fill else "none"
    return Rectangle(
        (x1, y1), x2 - x1, y2 - y1, edgecolor=colour, facecolor=face, linewidth=2, linestyle=line, label=label
    )


def _rgb(colour: str) -> tuple[float, float, float]:
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


FADE = 0.6
"""How much white is mixed into the picture below a map: its darkest pixel becomes a middle grey."""
OPACITY = 0.85
"""Opacity of the strongest patch; that of others goes with their value, so that the picture stays legible."""


def _palette(name: str, low: float, high: float, count: int) -> tuple[str, ...]:
    return tuple(to_hex(c) for c in matplotlib.colormaps[name](np.linspace(low, high, count)))


# Lightness falls all the way in the first and from the middle in the second, so both survive in grey.
COLOURS = _palette("magma_r", 0.12, 0.92, 17)
"""From nothing to the strongest: light to dark.  The widgets draw with the same colours."""
DIVERGING = _palette("PuOr", 0.04, 0.96, 17)
"""From the strongest against (orange) over nothing to the strongest for (purple)."""


ATTENTION = "share of the attention"


@verb("image")
def overlay(
    answer: Answer | Attribution,
    map: Attribution | Span | int | ArrayLike | None = None,
    *,
    image: int = 0,
    grid: PatchGrid | None = None,
    boxes: Mapping[str, Iterable[Region | Box]] | None = None,
    peak: float | None = None,
    label: str | None = None,
    title: str = "",
    height: float = 3.6,
) -> Figure:
    """A map of patches laid over the original picture, in the picture's own pixels.

    The picture is faded, so that dark and light ones show the same colours; more is darker, also
    in grey.  A line goes round the patches above half of the strongest (dashed: below minus half, in
    a signed map).  Patches that reach past the picture's edge, where a family pads it, are cut there.

    Args:
        answer: an answer with pictures and a layout; or an attribution, which knows its answer.
        map: what is laid over it: an `Attribution`; a token or `Span` of the reply for what it looked at;
            or a value for each patch, ``[rows, cols]``.  A map with negative values is drawn in two colours
            around zero.  None for what the answer's own tokens looked at.
        image: which picture of the conversation.
        grid: the patches that an array belongs to, where they are a crop's; else the picture's own.
        boxes: name -> regions or boxes (original pixels) to draw over it, for example the evidence.
        peak: the value of the darkest colour, the same for figures that are to be compared; None for the
            map's own largest.
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
    top = draw_map(axes, picture, values, grid, peak=peak)
    named = {name: [_region(box) for box in found] for name, found in (boxes or {}).items()}
    for kind, (name, regions) in enumerate(named.items()):
        look = SERIES[(3 + kind) % len(SERIES)]
        for place, box in enumerate(r.box for r in regions if r.image == grid.image):
            frame = _frame(box, look.colour, "-", label=name if place == 0 else None)
            frame.set_path_effects([withStroke(linewidth=4, foreground="white")])
            axes.add_patch(frame)
    if axes.patches:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.04), fontsize=8, frameon=False, ncols=3)
    colour_bar(bar, top, signed=bool((values < 0).any()), label=label)
    titled(drawn, title or _finding(values, label))
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
    if map is None or isinstance(map, (int, Span)):
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
    values = np.asarray(map, dtype=float)
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
    scale: bool = True, signed: bool | None = None,
) -> float:  # fmt: skip
    """Draw a picture and a map over it into axes that span the picture's pixels.

    Args:
        axes: where to draw.
        picture: the original.
        values: ``[rows, cols]``.
        grid: where the values lie.
        peak: the value of the darkest colour; None for the largest.
        scale: whether to draw a bar of known length, in pixels.
        signed: whether to use two colours around zero; None where there are negative values.

    Returns:
        The value of the darkest colour.
    """
    signed = bool((values < 0).any()) if signed is None else signed
    top = float(np.abs(values).max()) if peak is None else float(peak)
    smooth = "antialiased" if max(picture.size) > 400 else "nearest"
    pixels = np.asarray(picture.convert("RGB"), dtype=float) / 255
    extent = (0, picture.width, picture.height, 0)
    axes.imshow(pixels * (1 - FADE) + FADE, extent=extent, interpolation=smooth)
    x1, y1, x2, y2 = grid.region
    axes.imshow(coloured(values, top, signed=signed), extent=(x1, x2, y2, y1), interpolation="nearest")
    if top > 0:
        _outline(axes, values >= top / 2, grid, "-")
        if signed:
            _outline(axes, values <= -top / 2, grid, (0, (3, 1.5)))
    if scale:
        _scale_bar(axes, picture.size)
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")
    return top


def coloured(values: np.ndarray, top: float, *, signed: bool) -> np.ndarray:
    """Colours with opacity, ``[..., 4]`` from 0 to 1, of values between 0 (or ``-top``) and ``top``."""
    shares = np.clip(values / top, -1, 1) if top > 0 else np.zeros_like(values)
    stops = np.array([to_rgb(c) for c in (DIVERGING if signed else COLOURS)])
    places = (shares + 1) / 2 if signed else np.clip(shares, 0, 1)
    at = places * (len(stops) - 1)
    rgb = np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)
    return np.concatenate([rgb, OPACITY * np.abs(shares)[..., None]], axis=-1)


def sheet_colours() -> ListedColormap:
    """The colours from nothing to the strongest on white, for maps without a picture below."""
    return ListedColormap([*np.linspace((1, 1, 1), to_rgb(COLOURS[0]), 16), *_ramp(240)], name="workbench")


def _ramp(count: int) -> np.ndarray:
    stops = np.array([to_rgb(c) for c in COLOURS])
    at = np.linspace(0, len(stops) - 1, count)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)


def colour_bar(axes: Axes, top: float, *, signed: bool, label: str) -> None:
    """The colours as they lie over a faded picture, from 0 (or ``-top``) to ``top``."""
    low = -top if signed else 0.0
    ramp = np.linspace(low, top, 256)[:, None]
    paint = coloured(ramp, top, signed=signed)
    paper = 1 - FADE / 4  # a faded middle grey
    rgb = paint[..., :3] * paint[..., 3:] + paper * (1 - paint[..., 3:])
    span = (low, top) if top > 0 else (0.0, 1.0)
    axes.imshow(rgb, extent=(0, 1, *span), origin="lower", aspect="auto")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:.3g}"))
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.spines[:].set_color(FAINT)


def _outline(axes: Axes, inside: np.ndarray, grid: PatchGrid, line: object) -> None:
    """A line between patches inside and patches not, dark on white so that it shows on anything."""
    x1, y1, x2, y2 = grid.region
    xs, ys = np.linspace(x1, x2, grid.cols + 1), np.linspace(y1, y2, grid.rows + 1)
    framed = np.pad(inside, 1)
    down, across = framed[1:, 1:-1] != framed[:-1, 1:-1], framed[1:-1, 1:] != framed[1:-1, :-1]
    edges = [[(xs[c], ys[r]), (xs[c + 1], ys[r])] for r, c in zip(*np.nonzero(down), strict=True)]
    edges += [[(xs[c], ys[r]), (xs[c], ys[r + 1])] for r, c in zip(*np.nonzero(across), strict=True)]
    for width, colour, style in ((2.8, "white", "-"), (1.3, INK, line)):
        axes.add_collection(
            LineCollection(edges, colors=colour, linewidths=width, linestyles=[style], capstyle="projecting")
        )


def _scale_bar(axes: Axes, size: tuple[int, int]) -> None:
    """A bar of a round number of original pixels, in the lower left corner."""
    width, height = size
    target = width / 4
    power = 10 ** np.floor(np.log10(target))
    length = max(step * power for step in (1, 2, 5) if step * power <= target)
    x, y = 0.03 * width, 0.96 * height
    halo: list[AbstractPathEffect] = [withStroke(linewidth=4, foreground="white")]
    (bar,) = axes.plot([x, x + length], [y, y], color=INK, linewidth=2, solid_capstyle="butt")
    bar.set_path_effects(halo)
    axes.text(
        x, y - 0.015 * height, f"{length:g} pixels", fontsize=7, color=INK, va="bottom",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _finding(values: np.ndarray, label: str) -> str:
    """What a map says: where it is strongest, and, for shares, how much of the whole it holds."""
    row, col = (int(i) for i in np.unravel_index(np.argmax(np.abs(values)), values.shape))
    strongest = f"strongest in row {row}, column {col}"
    if not values.any():
        return f"Nothing on this picture ({label})"
    if label != ATTENTION:
        return f"{label[:1].upper()}{label[1:]}: {strongest} ({values[row, col]:+.3g})"
    return (
        f"{percent(float(values.sum()))} of the attention is on this picture, {strongest} "
        f"({100 * values[row, col]:.2g}%)"
    )
