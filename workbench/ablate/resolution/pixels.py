"""A planned picture as the tower's input: each view cut out, resized once, and split into patches"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...images import open_image
from .feeding import Feed, View

__all__ = ["patchified", "pixel_batch", "view_pixels"]


def view_pixels(picture: Image.Image, view: View, patch: int) -> Image.Image:
    """A view of an RGB picture, resized once from the original (bilinear, by Pillow)."""
    size = (view.cols * patch, view.rows * patch)
    width, height = picture.size
    x1, y1, x2, y2 = view.region
    box = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
    return picture.resize(size, resample=Image.Resampling.BILINEAR, box=box)


def patchified(pixels: Image.Image, patch: int) -> np.ndarray:
    """Patches float32 ``[rows * cols, patch**2 * 3]`` in -1..1, channels last within a patch."""
    values = np.asarray(pixels, dtype=np.float32) / 127.5 - 1
    rows, cols = values.shape[0] // patch, values.shape[1] // patch
    return values.reshape(rows, patch, cols, patch, 3).transpose(0, 2, 1, 3, 4).reshape(rows * cols, -1)


def pixel_batch(pictures: Sequence[Any], feeds: Sequence[Feed]) -> dict[str, Any]:
    """Tensors of all views of all pictures, as the tower takes them.

    Args:
        pictures: anything that `workbench.images.open_image` takes.
        feeds: a plan for each of them.

    Returns:
        ``pixel_values`` float32 ``[views, patches, patch**2 * 3]``, zero padded; ``pixel_attention_mask``
        ``[views, patches]``; ``spatial_shapes`` ``[views, 2]`` as (rows, cols).

    Raises:
        InputError: for a picture that cannot be opened.
    """
    import torch

    longest = max(view.rows * view.cols for plan in feeds for view in plan.views)
    count, patch = sum(len(plan.views) for plan in feeds), feeds[0].patch
    values = np.zeros((count, longest, 3 * patch**2), dtype=np.float32)
    mask = np.zeros((count, longest), dtype=np.int64)
    shapes = np.zeros((count, 2), dtype=np.int64)
    at = 0
    for given, plan in zip(pictures, feeds, strict=True):
        picture = open_image(given)
        assert picture.size == plan.size, f"a picture of {picture.size} pixels, planned for {plan.size}"
        for view in plan.views:
            filled = view.rows * view.cols
            values[at, :filled] = patchified(view_pixels(picture, view, patch), patch)
            mask[at, :filled] = 1
            shapes[at] = view.rows, view.cols
            at += 1
    arrays = {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shapes}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
