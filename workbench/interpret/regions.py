"""Regions of pictures: what is hidden together, and how values of regions become maps.

All regions are defined on the original pictures, whatever a family does with them afterwards.
Overlapping boxes are cut into atoms, pieces that belong to the same boxes, so that any set of
regions can be hidden at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..images import open_image
from ..models.layout import whole
from ..types import Box, PatchGrid, Region

__all__ = [
    "BASELINES",
    "CHECKED",
    "Baseline",
    "OwnBaseline",
    "Regions",
    "baseline_image",
    "baseline_setting",
    "make_regions",
    "read_baseline",
]

BASELINES = ("mean", "blur", "white", "black")
"""What a hidden region shows: its picture's mean colour, the picture blurred, white or black."""

CHECKED = BASELINES[:3]
"""The baselines that a map is checked under, where no others are named."""


@dataclass(frozen=True)
class OwnBaseline:
    """An image of the user's that hidden regions show; equal to another where the pixels are.

    Args:
        size: (width, height).
        pixels: its RGB bytes, row by row.
    """

    size: tuple[int, int]
    pixels: bytes

    def __str__(self) -> str:
        digest = hashlib.blake2b(self.pixels, digest_size=6).hexdigest()
        return f"an image of {self.size[0]} x {self.size[1]} pixels ({digest})"


Baseline = str | float | tuple[float, float, float] | Image.Image | np.ndarray | OwnBaseline
"""One of `BASELINES`, a grey level from 0 to 255, a colour (red, green, blue), or an image of that size."""

ACCEPTED = (
    '"patches", "superpixels", a grid (rows, cols), a sequence of boxes or types.Region, '
    "a label image, or masks"
)


def read_baseline(baseline: object, *others: str) -> Baseline:
    """A baseline, checked: one of `BASELINES` (or of others), a grey level, or a colour.

    Raises:
        InputError: for anything else.
    """
    if isinstance(baseline, OwnBaseline):
        return baseline
    if isinstance(baseline, Image.Image) or (isinstance(baseline, np.ndarray) and baseline.ndim > 1):
        image = open_image(baseline, name="baseline")
        return OwnBaseline(image.size, image.tobytes())
    if isinstance(baseline, str) and baseline in (*BASELINES, *others):
        return baseline
    levels = np.asarray(baseline if isinstance(baseline, (int, float, list, tuple, np.ndarray)) else "")
    known = levels.dtype.kind in "iuf" and levels.shape in ((), (3,))
    if not known or not np.all((levels >= 0) & (levels <= 255)):
        names = ", ".join(map(repr, (*BASELINES, *others)))
        raise InputError(
            f"baseline={baseline!r}", f"one of {names}, a number from 0 to 255, three of them, or an image"
        )
    found: Baseline = levels.item() if levels.shape == () else tuple(levels.tolist())
    return found


def baseline_setting(baseline: Baseline) -> str | float | tuple[float, float, float]:
    """A baseline as a record's settings hold it: an image by its size and digest."""
    found = read_baseline(baseline)
    return str(found) if isinstance(found, OwnBaseline) else found  # type: ignore[return-value]


def baseline_image(image: Image.Image, baseline: Baseline) -> Image.Image:
    """An image of what its hidden regions show, of the same size.

    Args:
        image: the image.
        baseline: "mean" (its mean colour), "blur" (Gaussian, as wide as an eighth of its longer side),
            "white", "black", a grey level from 0 to 255, a colour (red, green, blue), or an image of the same
            size (a NumPy array or a PIL image), of which hidden regions show their part.

    Raises:
        InputError: for another baseline, or an image of another size.
    """
    baseline = read_baseline(baseline)
    if isinstance(baseline, OwnBaseline):
        if baseline.size != image.size:
            raise InputError(
                f"baseline={baseline}", "an image of {} x {} pixels".format(*image.size), "resize it to that"
            )
        return Image.frombytes("RGB", image.size, baseline.pixels)
    if baseline == "blur":
        return image.filter(ImageFilter.GaussianBlur(max(image.size) / 8))
    level: Any = {"white": 255, "black": 0}.get(baseline, baseline) if isinstance(baseline, str) else baseline
    if level == "mean":
        level = np.asarray(image, dtype=np.float64).mean(axis=(0, 1))
    return Image.new("RGB", image.size, tuple(int(v) for v in np.broadcast_to(level, 3).round()))


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions over all pictures of an answer, numbered through.

    Args:
        kind: ``"patches"``, ``"superpixels"``, ``"grid"``, ``"boxes"``, ``"labels"`` or ``"masks"``.
        labels: per picture, an atom's number for each cell ``[h, w]``; -1 where there is none.
        frames: per picture, the box in original pixels that its labels cover.
        members: bool ``[regions, atoms]``, which atoms a region is made of; None where each
            region is one atom.
    """

    kind: str
    labels: tuple[np.ndarray, ...]
    frames: tuple[Box, ...]
    members: np.ndarray | None = None

    def __len__(self) -> int:
        return self.atoms if self.members is None else len(self.members)

    @cached_property
    def atoms(self) -> int:
        """Number of atoms."""
        return 1 + max((int(labels.max()) for labels in self.labels if labels.size), default=-1)

    def hidden_atoms(self, hidden: np.ndarray) -> np.ndarray:
        """Bool ``[n, regions]`` to bool ``[n, atoms]``: an atom is hidden with any of its regions."""
        return (
            hidden if self.members is None else (hidden.astype(np.int32) @ self.members.astype(np.int32)) > 0
        )

    def atoms_at(self, image: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Atoms at points of picture ``image`` (original pixels); -1 outside every region."""
        x1, y1, x2, y2 = self.frames[image]
        h, w = self.labels[image].shape
        col = np.floor((x - x1) / (x2 - x1) * w).astype(np.int64)
        row = np.floor((y - y1) / (y2 - y1) * h).astype(np.int64)
        inside = (col >= 0) & (col < w) & (row >= 0) & (row < h)
        found = self.labels[image][row.clip(0, h - 1), col.clip(0, w - 1)]
        return np.where(inside, found, -1)

    def images(self) -> np.ndarray:
        """The picture of each atom ``[atoms]``."""
        owner = np.zeros(self.atoms, dtype=np.int64)
        for image, labels in enumerate(self.labels):
            owner[np.unique(labels[labels >= 0])] = image
        return owner

    def maps(self, values: np.ndarray, grids: Sequence[PatchGrid]) -> tuple[np.ndarray, ...]:
        """Values ``[regions]`` as one map ``[rows, cols]`` per picture.

        A cell shows the mean over its area; where regions overlap, the mean of those that lie
        there; where there is none, 0.
        """
        if self.members is None:
            per_atom = np.asarray(values, dtype=np.float64)
        else:
            share = self.members / np.maximum(self.members.sum(axis=0), 1)
            per_atom = np.asarray(values, dtype=np.float64) @ share
        padded = np.append(per_atom, 0.0)  # atom -1 reads the last value
        return tuple(
            padded[self._sample(number, grid)].mean(axis=(1, 3)) for number, grid in enumerate(grids)
        )

    def pool(self, maps: Sequence[np.ndarray], grids: Sequence[PatchGrid]) -> np.ndarray:
        """The mean ``[regions]`` of maps ``[rows, cols]`` over each region's area; 0 where it has none."""
        total, area = np.zeros(self.atoms + 1), np.zeros(self.atoms + 1)
        for number, (part, grid) in enumerate(zip(maps, grids, strict=True)):
            points = self._sample(number, grid)
            np.add.at(total, points, np.broadcast_to(part[:, None, :, None], points.shape))
            np.add.at(area, points, 1.0)
        total, area = total[:-1], area[:-1]
        if self.members is not None:
            total, area = self.members @ total, self.members @ area
        return total / np.maximum(area, 1.0)

    def sum_atoms(self, per_atom: np.ndarray) -> np.ndarray:
        """Sums ``[atoms]`` as sums ``[regions]``."""
        return per_atom if self.members is None else self.members @ per_atom

    def sizes(self, grids: Sequence[PatchGrid]) -> np.ndarray:
        """Area of each region ``[regions]``, in cells of the grids."""
        count = np.zeros(self.atoms + 1)
        for number, grid in enumerate(grids):
            points = self._sample(number, grid)
            np.add.at(count, points.ravel(), 1 / (points.shape[1] * points.shape[3]))
        return count[:-1] if self.members is None else self.members @ count[:-1]

    def _sample(self, image: int, grid: PatchGrid, points: int = 4) -> np.ndarray:
        """Atoms at ``points`` by ``points`` places of each cell, ``[rows, points, cols, points]``."""
        x1, y1, x2, y2 = grid.region
        x = x1 + (np.arange(grid.cols * points) + 0.5) / (grid.cols * points) * (x2 - x1)
        y = y1 + (np.arange(grid.rows * points) + 0.5) / (grid.rows * points) * (y2 - y1)
        found = self.atoms_at(image, *np.meshgrid(x, y))
        return found.reshape(grid.rows, points, grid.cols, points)


def make_regions(answer: Answer, regions: Any = "patches", *, superpixels: int = 64) -> Regions:
    """Read what a user calls regions.

    Args:
        answer: whose pictures are divided.
        regions: "patches" (the cells of ``answer.layout.images``), "superpixels" (SLIC, Achanta et
            al. 2012, from scikit-image), a grid (rows, cols) over each picture, boxes (`types.Region`, or
            (x1, y1, x2, y2) in pixels of the first picture), a label image (integers ``[height, width]``, or
            one for each picture; negative ones belong to no region), or masks (bool
            ``[regions, height, width]`` of the first picture, a sequence of such masks, or what Segment
            Anything's generator gives).  Masks may overlap.
        superpixels: about how many per picture.

    Raises:
        InputError: for anything else, an answer without pictures, or a box outside its picture.
        CapabilityError: for an answer of a model whose image tokens have no known place.
    """
    if isinstance(regions, Regions):
        return regions
    if not answer.images or (answer.layout is not None and not answer.layout.images):
        raise InputError("an answer about no picture", "an answer to a question with a picture")
    if answer.layout is None:
        raise CapabilityError(
            "a map of pictures whose tokens stand on no grid that is known here (a model of no known family)",
            "a family that says where its image tokens stand",
            "register one: workbench.models.register_family",
        )
    grids = answer.layout.images
    if isinstance(regions, str):
        if regions == "patches":
            return _grids("patches", [(g.rows, g.cols) for g in grids], [g.region for g in grids])
        if regions == "superpixels":
            return _superpixels(answer.images, superpixels)
        raise InputError(f"regions={regions!r}", ACCEPTED)
    if (labels := _as_labels(regions)) is not None:
        return _labelled(labels, answer.images)
    if (masks := _as_masks(regions)) is not None:
        return _masked(masks, answer.images)
    if _is_grid(regions):
        frames = [whole(g.size) for g in grids]
        for width, height in (g.size for g in grids):
            if regions[0] > height or regions[1] > width:
                raise InputError(
                    f"regions={tuple(regions)} for a picture of {width}x{height} pixels",
                    "a grid (rows, cols) with at least one pixel in each region",
                )
        return _grids("grid", [tuple(regions)] * len(grids), frames)
    return _boxes(_read_boxes(regions, answer.images), answer.images)


def _is_grid(regions: object) -> bool:
    if not isinstance(regions, (tuple, list)) or len(regions) != 2:
        return False
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in regions):
        return False
    if min(regions) < 1:
        raise InputError(f"regions={tuple(regions)}", "a grid of at least one row and one column")
    return True


def _grids(kind: str, shapes: Sequence[Any], frames: Sequence[Any]) -> Regions:
    labels, first = [], 0
    for rows, cols in shapes:
        labels.append(np.arange(first, first + rows * cols).reshape(rows, cols))
        first += rows * cols
    return Regions(kind, tuple(labels), tuple(frames))


def _superpixels(images: Sequence[Image.Image], wanted: int) -> Regions:
    from skimage.segmentation import slic

    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 2:
        raise InputError(f"superpixels={wanted!r}", "a whole number, at least 2")
    labels, first = [], 0
    for image in images:
        for compactness in (10.0, 40.0, 160.0, 640.0):  # on noise only compact ones hold together
            found = slic(np.asarray(image), n_segments=wanted, compactness=compactness, start_label=0)
            names, found = np.unique(found, return_inverse=True)  # numbered without gaps
            if len(names) >= wanted / 2:
                break
        labels.append(found.reshape(image.height, image.width) + first)
        first += int(found.max()) + 1
    return Regions("superpixels", tuple(labels), tuple(whole(i.size) for i in images))


def _read_boxes(regions: Any, images: Sequence[Image.Image]) -> list[Region]:
    if isinstance(regions, Region) or (
        isinstance(regions, (tuple, list)) and len(regions) == 4 and all(np.isscalar(v) for v in regions)
    ):
        regions = [regions]
    try:
        found = [r if isinstance(r, Region) else Region(_four(r)) for r in regions]
    except (TypeError, ValueError):
        raise InputError(f"regions={regions!r}"[:80], ACCEPTED) from None
    if not found:
        raise InputError("regions=[], no box", ACCEPTED)
    for region in found:
        if not 0 <= region.image < len(images):
            raise InputError(f"{region}", f"image in 0..{len(images) - 1}")
        width, height = images[region.image].size
        x1, y1, x2, y2 = region.box if len(region.box) == 4 else (0, 0, 0, 0)
        if not (x1 < x2 and y1 < y2 and x2 > 0 and y2 > 0 and x1 < width and y1 < height):
            raise InputError(
                f"{region}",
                f"(x1, y1, x2, y2) with x1 < x2 and y1 < y2 in a picture of {width}x{height} pixels",
            )
    return found


def _four(box: Any) -> Box:
    x1, y1, x2, y2 = map(float, box)
    return x1, y1, x2, y2


def _as_labels(regions: object) -> list[np.ndarray] | None:
    """Label images, one per picture, if that is what was given."""
    several = regions if isinstance(regions, (list, tuple)) else [regions]
    arrays = [np.asarray(one) for one in several if isinstance(one, (np.ndarray, Image.Image))]
    whole = bool(arrays) and len(arrays) == len(several)
    return arrays if whole and all(one.ndim == 2 and one.dtype.kind in "iu" for one in arrays) else None


def _labelled(labels: Sequence[np.ndarray], images: Sequence[Image.Image]) -> Regions:
    sizes = [(image.height, image.width) for image in images]
    if [one.shape for one in labels] != sizes:
        shapes = [one.shape for one in labels]
        raise InputError(f"label images of shapes {shapes}", f"{sizes}, one per picture")
    numbered, first = [], 0
    for one in labels:
        names = np.unique(one[one >= 0])
        places = np.where(one >= 0, np.searchsorted(names, one) + first, -1)
        numbered.append(places.astype(np.int64))
        first += len(names)
    if not first:
        raise InputError("label images without a label", "a non-negative integer for each region")
    return Regions("labels", tuple(numbered), tuple(whole(image.size) for image in images))


def _as_masks(regions: object) -> np.ndarray | None:
    """Masks ``[regions, height, width]`` of the first picture, if that is what was given."""
    if isinstance(regions, np.ndarray) and regions.dtype == bool:
        return regions if regions.ndim == 3 else regions[None]
    if not isinstance(regions, (list, tuple)) or not regions:
        return None
    several = [one.get("segmentation") if isinstance(one, dict) else one for one in regions]
    found = [one for one in several if isinstance(one, np.ndarray) and one.dtype == bool and one.ndim == 2]
    if len(found) < len(several):
        return None
    if len({one.shape for one in found}) > 1:
        raise InputError(f"masks of shapes {sorted({one.shape for one in found})}", "masks of one picture")
    return np.stack(found)


def _masked(masks: np.ndarray, images: Sequence[Image.Image]) -> Regions:
    height, width = images[0].height, images[0].width
    if masks.ndim != 3 or masks.shape[1:] != (height, width) or not masks.any(axis=(1, 2)).all():
        raise InputError(
            f"masks of shape {masks.shape}" + (", some of them empty" if masks.size else ""),
            f"bool [regions, {height}, {width}], each with a pixel of the first picture",
        )
    covered = [masks, *(np.zeros((len(masks), image.height, image.width), bool) for image in images[1:])]
    return _cut("masks", covered, images)


def _boxes(boxes: Sequence[Region], images: Sequence[Image.Image]) -> Regions:
    covered = []
    for number, image in enumerate(images):
        x, y = np.arange(image.width) + 0.5, np.arange(image.height) + 0.5
        inside = np.zeros((len(boxes), image.height, image.width), dtype=bool)
        for i, region in enumerate(boxes):
            if region.image == number:
                x1, y1, x2, y2 = region.box
                inside[i] = ((y >= y1) & (y < y2))[:, None] & ((x >= x1) & (x < x2))[None, :]
        covered.append(inside)
    found = _cut("boxes", covered, images)
    assert found.members is not None, "made by _cut"
    if not found.members.any(axis=1).all():
        at = int(np.flatnonzero(~found.members.any(axis=1))[0])
        raise InputError(f"{boxes[at]}, which holds no pixel's centre", "boxes of at least one pixel")
    return found


def _cut(kind: str, covered: Sequence[np.ndarray], images: Sequence[Image.Image]) -> Regions:
    """Regions that may overlap, cut into atoms.

    Args:
        kind: what they are.
        covered: per picture, bool ``[regions, height, width]``.
        images: the pictures.
    """
    labels: list[np.ndarray] = []
    columns: list[np.ndarray] = []  # one per atom: the regions that it lies in
    for inside, image in zip(covered, images, strict=True):
        signatures, index = np.unique(inside.reshape(len(inside), -1).T, axis=0, return_inverse=True)
        ids = np.full(len(signatures), -1)
        for at, signature in enumerate(signatures):
            if signature.any():
                ids[at] = len(columns)
                columns.append(signature)
        labels.append(ids[index.reshape(image.height, image.width)])
    members = np.array(columns, dtype=bool).T.reshape(len(covered[0]), len(columns))
    return Regions(kind, tuple(labels), tuple(whole(image.size) for image in images), members)
