"""Four ways to feed a large picture: which crops the tower sees, and which tokens the decoder gets

`feed` plans from the picture's size alone, without pixels and without torch.  The methods are those of the
published comparison (arXiv 2603.03975, Table 1):

- dynamic resolution: SigLIP2 NaFlex (arXiv 2502.14786), the whole picture as one grid of its own proportions;
- multi-crop: squares, overlapping where they must, their tokens one after another, an overview first where
  the picture is cut (as LLaVA-NeXT and InternVL do);
- Dynamic-S2 (NVILA, arXiv 2412.04468): the picture at scales 1 and 2, squared, and at one of about its own
  proportions; features brought to the last scale's grid, joined by channel, merged two by two;
- multi-crop with S2 (Scaling on Scales, arXiv 2403.13043): squares four times as wide, each at scales 1, 2
  and 4, pooled to the grid of scale 1 and joined by channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InputError
from ..models.layout import Block, whole
from ..records import closest
from ..types import Box

__all__ = ["FEEDINGS", "Feed", "View", "default_tile", "feed", "least_tokens", "method_name"]

PATCH = 16
LEAST = 16  # tokens of dynamic resolution, as in the built-in model
TILES = (24, 16, 12, 8, 6, 4, 2)  # sides of a tower's square, in patches; 24 is 384 pixels
SCALES = (1, 2, 4)  # of a square of multi-crop with S2
MERGE = 2  # patches to a token and side in Dynamic-S2


@dataclass(frozen=True)
class View:
    """One picture as the tower takes it in.

    Args:
        region: what it shows, in pixels of the original picture.
        rows, cols: patches.
        group: number of the block of tokens that it gives features to.
        scale: number of the S2 scale within the group, from 0.
        place: (row, col) among the views of its group and scale.
        overview: whether it shows the picture as a whole.
    """

    region: Box
    rows: int
    cols: int
    group: int = 0
    scale: int = 0
    place: tuple[int, int] = (0, 0)
    overview: bool = False


@dataclass(frozen=True)
class Feed:
    """How one picture is fed.

    Args:
        method: one of `FEEDINGS`.
        budget: most tokens that it may cost.
        size: (width, height) of the original picture, in pixels.
        patch: side of a patch, in pixels.
        tile: side of the tower's square, in patches; 0 where the method has none.
        resized: (width, height) of the whole picture at its finest scale, in pixels.
        views: what the tower reads, in order.
        blocks: what the decoder gets, in the order of the tokens.
    """

    method: str
    budget: int
    size: tuple[int, int]
    patch: int
    tile: int
    resized: tuple[int, int]
    views: tuple[View, ...]
    blocks: tuple[Block, ...]

    @property
    def tokens(self) -> int:
        """Positions of the decoder."""
        return sum(len(block) for block in self.blocks)

    @property
    def patches(self) -> int:
        """Positions of the tower, over all views."""
        return sum(view.rows * view.cols for view in self.views)

    @property
    def crops(self) -> tuple[Box, ...]:
        """Regions of the squares that the picture is cut into, row by row; the whole picture if it is not."""
        if self.method == "dynamic_s2":
            return tuple(view.region for view in self.views if view.scale == self.finest)
        return tuple(block.region for block in self.blocks if not block.overview) or (whole(self.size),)

    @property
    def finest(self) -> int:
        """Number of the finest S2 scale; 0 without S2."""
        return max(view.scale for view in self.views)

    @property
    def density(self) -> tuple[float, float]:
        """Pixels of the tower's input for a pixel of the original picture, (across, down), at the finest."""
        return self.resized[0] / self.size[0], self.resized[1] / self.size[1]

    @property
    def cell(self) -> tuple[float, float]:
        """Size of the finest token in pixels of the original image, (width, height)."""
        cells = [
            ((b.region[2] - b.region[0]) / b.cols, (b.region[3] - b.region[1]) / b.rows) for b in self.blocks
        ]
        return min(cells, key=lambda cell: cell[0] * cell[1])

    @property
    def patches_per_token(self) -> float:
        """Patches of the finest scale whose features end in one token: merged, or averaged with S2."""
        (across, down), (width, height) = self.density, self.cell
        return across * width * down * height / self.patch**2


def method_name(method: str) -> str:
    """A method's name from its name or its label in the published table ("Multi-crop with S2").

    Raises:
        InputError: if there is no such method.
    """
    for name, label in FEEDINGS.items():
        if method in (name, label):
            return name
    raise InputError(
        f"method={method!r}",
        f"one of {', '.join(FEEDINGS)}",
        closest(str(method), [*FEEDINGS, *FEEDINGS.values()]),
    )


def default_tile(budget: int) -> int:
    """Side of the tower's square in patches: 24 (384 pixels) where three fit, else what five fit of."""
    if budget >= 3 * TILES[0] ** 2:
        return TILES[0]
    return next((tile for tile in TILES if 5 * tile**2 <= budget), TILES[-1])


def least_tokens(method: str, tile: int) -> int:
    """The fewest tokens that a method can feed a picture with."""
    fewest = {"dynamic_resolution": LEAST, "dynamic_s2": (tile // MERGE) ** 2}
    return fewest.get(method_name(method), tile**2)


def feed(
    size: tuple[int, int],
    budget: int,
    *,
    method: str,
    tile: int | None = None,
    patch: int = PATCH,
    least: int | None = None,
) -> Feed:
    """Plan how a picture is fed.

    Args:
        size: (width, height) of the picture, in pixels.
        budget: most tokens that it may cost.
        method: one of `FEEDINGS`, or its label in the published table.
        tile: side of the tower's square in patches, an even number; `default_tile` by default.
        patch: side of a patch, in pixels.
        least: patches below which dynamic resolution enlarges a picture; 256, or the budget, by default.

    Raises:
        InputError: for an unknown method, a picture without pixels, an odd tile, or a budget below the least.

    Example:
        >>> feed((3840, 2160), 3600, method="dynamic_resolution").tokens
        3600
    """
    name = method_name(method)
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"a picture of {width}x{height} pixels", "at least one pixel")
    side = default_tile(budget) if tile is None else tile
    if side < MERGE or side % MERGE:
        raise InputError(f"tile={tile}", "an even number of patches")
    if budget < (least := least_tokens(name, side)):
        at = "" if name == "dynamic_resolution" else f" with squares of {side} by {side} patches"
        raise InputError(f"budget={budget}", f"at least {least} tokens for {FEEDINGS[name]}{at}")
    if name == "dynamic_resolution":
        made = _dynamic_resolution((width, height), budget, patch, min(least or 256, budget))
    else:
        made = _PLANS[name]((width, height), budget, side, patch)
    assert made.tokens <= budget, f"{made.tokens} tokens for a budget of {budget}"
    return made


def _dynamic_resolution(size: tuple[int, int], budget: int, patch: int, least: int) -> Feed:
    from ..models.phi4_rv.image_processing import patch_grid  # torch: the other methods do without

    rows, cols = patch_grid(size[1], size[0], patch_size=patch, min_num_patches=least, max_num_patches=budget)
    view = View(whole(size), rows, cols, overview=True)
    block = Block(rows, cols, whole(size))
    return Feed("dynamic_resolution", budget, size, patch, 0, (cols * patch, rows * patch), (view,), (block,))


def _multi_crop(size: tuple[int, int], budget: int, tile: int, patch: int) -> Feed:
    regions, resized = _squares(size, budget // tile**2 - 1, tile * patch)
    if len(regions) == 1:  # one square is its own overview
        regions = []
        resized = (tile * patch, tile * patch)
    views = [View(whole(size), tile, tile, overview=True)]
    views += [View(region, tile, tile, group=i + 1) for i, region in enumerate(regions)]
    blocks = [Block(tile, tile, view.region, overview=view.overview) for view in views]
    return Feed("multi_crop", budget, size, patch, tile, resized, tuple(views), tuple(blocks))


def _dynamic_s2(size: tuple[int, int], budget: int, tile: int, patch: int) -> Feed:
    rows, cols = _closest_grid(size, budget // (tile // MERGE) ** 2, tile * patch)
    views: list[View] = []
    for scale, (down, across) in enumerate(((1, 1), (2, 2), (rows, cols))):
        views += _chessboard(whole(size), down, across, tile, group=0, scale=scale)
    block = Block(rows * tile // MERGE, cols * tile // MERGE, whole(size))
    resized = (cols * tile * patch, rows * tile * patch)
    return Feed("dynamic_s2", budget, size, patch, tile, resized, tuple(views), (block,))


def _multi_crop_s2(size: tuple[int, int], budget: int, tile: int, patch: int) -> Feed:
    wide = SCALES[-1] * tile * patch
    regions, resized = _squares(size, budget // tile**2, wide)
    views: list[View] = []
    for group, region in enumerate(regions):
        for scale, parts in enumerate(SCALES):
            views += _chessboard(region, parts, parts, tile, group=group, scale=scale)
    alone = len(regions) == 1
    blocks = tuple(Block(tile, tile, region, overview=alone) for region in regions)
    return Feed("multi_crop_s2", budget, size, patch, tile, resized, tuple(views), blocks)


def _squares(size: tuple[int, int], most: int, side: int) -> tuple[list[Box], tuple[int, int]]:
    """At most so many squares over a picture that keeps its proportions and is never enlarged but to a side.

    Of all grids the one that keeps most pixels, then the one of fewest squares.
    """
    width, height = size
    best = (0.0, 0)
    grid = (1, 1)
    for down in range(1, max(most, 1) + 1):
        for across in range(1, max(most, 1) // down + 1):
            zoom = min(1.0, across * side / width, down * side / height)
            if (zoom, -down * across) > best:
                best, grid = (zoom, -down * across), (down, across)
    resized = tuple(
        max(side, min(n * side, round(best[0] * s))) for n, s in zip(grid[::-1], size, strict=True)
    )
    rows, cols = (_intervals(n, side, r, s) for n, r, s in zip(grid, resized[::-1], size[::-1], strict=True))
    return [(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in cols], (resized[0], resized[1])


def _intervals(count: int, side: int, resized: int, original: int) -> list[tuple[float, float]]:
    """Evenly spaced intervals of ``side`` resized pixels that cover a length, in original pixels."""
    step = (resized - side) / max(1, count - 1)
    zoom = original / resized
    return [(i * step * zoom, (i * step + side) * zoom) for i in range(count)]


def _closest_grid(size: tuple[int, int], most: int, side: int) -> tuple[int, int]:
    """(rows, cols) of squares whose proportions come closest; of equals the most that the picture fills.

    A grid of more than twice the picture's pixels would only enlarge it and is left out.
    """
    width, height = size
    grids = [(r, c) for r in range(1, most + 1) for c in range(1, most // r + 1)]
    filled = [(r, c) for r, c in grids if r * c * side**2 <= 2 * width * height]
    return min(
        filled or [(1, 1)],
        key=lambda g: (round(abs(math.log(g[1] * height / (g[0] * width))), 9), -g[0] * g[1]),
    )


def _chessboard(region: Box, down: int, across: int, tile: int, *, group: int, scale: int) -> list[View]:
    """A region cut into equal parts, row by row."""
    x1, y1, x2, y2 = region
    w, h = (x2 - x1) / across, (y2 - y1) / down
    return [
        View(
            (x1 + c * w, y1 + r * h, x1 + (c + 1) * w, y1 + (r + 1) * h),
            tile, tile, group, scale, (r, c), overview=down * across == 1 and group == 0,
        )
        for r in range(down)
        for c in range(across)
    ]  # fmt: skip


#: Name -> label in the published table.
FEEDINGS = {
    "dynamic_resolution": "Dynamic resolution",
    "multi_crop": "Multi-crop",
    "dynamic_s2": "Dynamic-S2",
    "multi_crop_s2": "Multi-crop with S2",
}
_PLANS: dict[str, Callable[[tuple[int, int], int, int, int], Feed]] = {
    "multi_crop": _multi_crop,
    "dynamic_s2": _dynamic_s2,
    "multi_crop_s2": _multi_crop_s2,
}
