"""From the tower's features of all views to the decoder's image tokens, one encoder a method

S2 adds no weights to the tower: features of the scales are joined by channel, so that only the projector
grows wider (Shi et al. 2024, arXiv 2403.13043).

A planned picture as the tower's input: each view cut out, resized once, and split into patches
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from ...errors import InputError
from ...images import open_image
from ...models.layout import place
from ...models.phi4_rv import Phi4RVForConditionalGeneration
from ...models.phi4_rv.modeling import Phi4RVOutput
from ...types import TokenLayout
from .feeding import MERGE, SCALES, Feed, View, method_name

__all__ = [
    "FedModel",
    "ResolutionEncoder",
    "joined",
    "patchified",
    "pixel_batch",
    "projector_width",
    "token_layout",
    "view_pixels",
]


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


def projector_width(method: str, hidden: int) -> int:
    """Width of what the projector reads, for a tower of width ``hidden``."""
    wide = {"dynamic_s2": len(SCALES) * MERGE**2, "multi_crop_s2": len(SCALES)}
    return hidden * wide.get(method_name(method), 1)


def token_layout(ids: Sequence[int], image_id: int, feeds: Sequence[Feed]) -> TokenLayout:
    """Where each part of each picture stands in a prompt with ``feed.tokens`` placeholders a picture."""
    return place(ids, {image_id}, [plan.size for plan in feeds], [plan.blocks for plan in feeds])


class ResolutionEncoder(nn.Module):
    """A method's way from the views' pixels to the decoder's tokens.

    Args:
        method: one of `feeding.METHODS`.
        tower: maps pixel_values, pixel_attention_mask and spatial_shapes to an output with
            ``last_hidden_state`` ``[views, patches, hidden]``; shared, not copied.
        hidden: the tower's width.
        width: the decoder's.
    """

    def __init__(self, method: str, tower: nn.Module, *, hidden: int, width: int) -> None:
        super().__init__()
        self.method = method_name(method)
        self.tower = tower
        self.linear_1 = nn.Linear(projector_width(method, hidden), width)
        self.act = nn.GELU(approximate="none")
        self.linear_2 = nn.Linear(width, width)

    def forward(self, feeds: Sequence[Feed], **pixels: torch.Tensor) -> list[torch.Tensor]:
        """Image tokens of each picture, ``[tokens, decoder width]``, in the order of its blocks.

        Args:
            feeds: the plans; all of this encoder's method.
            **pixels: from `pixels.pixel_batch` of the same plans.

        Raises:
            InputError: for a plan of another method.
        """
        for plan in feeds:
            if plan.method != self.method:
                raise InputError(
                    f"a picture planned for {plan.method}", f"{self.method}, this encoder's method"
                )
        features = joined(feeds, self.tower(**pixels).last_hidden_state)
        projected = self.linear_2(self.act(self.linear_1(features)))
        return list(projected.split([plan.tokens for plan in feeds]))


def joined(feeds: Sequence[Feed], hidden: torch.Tensor) -> torch.Tensor:
    """What the projector reads, ``[tokens, projector's input]``, picture after picture.

    Args:
        feeds: the plans.
        hidden: the tower's features of all their views ``[views, patches, hidden]``.
    """
    pictures, at = [], 0
    for plan in feeds:
        maps = [
            hidden[at + i, : v.rows * v.cols].unflatten(0, (v.rows, v.cols)) for i, v in enumerate(plan.views)
        ]
        at += len(plan.views)
        pictures.append(_join(plan, maps))
    return torch.cat(pictures)


def _join(plan: Feed, maps: list[torch.Tensor]) -> torch.Tensor:
    """Features of all blocks of a picture ``[tokens, projector's input]``."""
    if plan.method == "dynamic_s2":
        rows, cols = plan.blocks[0].rows * MERGE, plan.blocks[0].cols * MERGE
        features = _scales(plan.views, maps, (rows, cols))
        merged = features.reshape(rows // MERGE, MERGE, cols // MERGE, MERGE, -1).transpose(1, 2)
        return merged.reshape(plan.tokens, -1)
    if plan.method == "multi_crop_s2":
        blocks = []
        for group in range(len(plan.blocks)):
            mine = [i for i, view in enumerate(plan.views) if view.group == group]
            size = (plan.tile, plan.tile)
            blocks.append(_scales([plan.views[i] for i in mine], [maps[i] for i in mine], size).flatten(0, 1))
        return torch.cat(blocks)
    return torch.cat([one.flatten(0, 1) for one in maps])


def _scales(views: Sequence[View], maps: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Each scale's views together, on one grid and joined by channel ``[rows, cols, channels]``."""
    scales = []
    for scale in range(max(view.scale for view in views) + 1):
        lines: dict[int, list[torch.Tensor]] = {}
        for view, features in zip(views, maps, strict=True):
            if view.scale == scale:
                lines.setdefault(view.place[0], []).append(features)
        board = torch.cat([torch.cat(line, dim=1) for line in lines.values()]).permute(2, 0, 1)
        scales.append(_resized(board, size).permute(1, 2, 0))
    return torch.cat(scales, dim=-1)


def _resized(board: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A map ``[channels, rows, cols]`` on another grid: averaged where it shrinks, else bilinear."""
    if board.shape[1:] == size:
        return board
    shrinks = board.shape[1] >= size[0] and board.shape[2] >= size[1]
    how: dict[str, Any] = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    return F.interpolate(board[None], size=size, **how)[0]


class FedModel(nn.Module):
    """A model whose pictures are fed by one of the methods: its own tower and decoder, a projector that fits.

    For dynamic resolution the projector begins as the model's own, so that nothing changes; the other methods
    begin with a fresh one.

    Example:
        >>> fed = FedModel(model, "multi_crop")
        >>> plans = [feed(picture.size, 100, method="multi_crop")]
        >>> fed(input_ids=ids, pictures=[picture], feeds=plans, labels=labels).loss
    """

    def __init__(self, model: Phi4RVForConditionalGeneration, method: str) -> None:
        super().__init__()
        self.model = model
        config = model.config
        hidden, width = config.vision_config.hidden_size, config.text_config.hidden_size
        own = model.model.multi_modal_projector
        self.encoder = ResolutionEncoder(method, model.model.vision_tower, hidden=hidden, width=width)
        self.encoder.to(own.linear_1.weight.device, own.linear_1.weight.dtype)
        with torch.no_grad():
            self.encoder.linear_2.load_state_dict(own.linear_2.state_dict())
            if self.encoder.linear_1.weight.shape == own.linear_1.weight.shape:
                self.encoder.linear_1.load_state_dict(own.linear_1.state_dict())

    def embed(
        self, input_ids: torch.Tensor, feeds: Sequence[Feed], pixels: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Embeddings ``[batch, tokens, hidden]`` of prompts with their pictures in place.

        Raises:
            InputError: if placeholders and image tokens differ in number.
        """
        embedded = self.model.get_input_embeddings()(input_ids)
        features = torch.cat(self.encoder(feeds, **pixels)).to(embedded.dtype)
        places = self.model.model.get_placeholder_mask(input_ids, embedded, len(features))
        return embedded.masked_scatter(places.unsqueeze(-1), features)

    def forward(
        self,
        input_ids: torch.Tensor,
        feeds: Sequence[Feed],
        pictures: Sequence[Any] = (),
        pixels: dict[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> Phi4RVOutput:
        """Predict the next tokens.

        Args:
            input_ids: ``[batch, tokens]`` with ``feed.tokens`` placeholders a picture.
            feeds: plans of the pictures of all rows, in order.
            pictures: the pictures; or, made before, ``pixels`` from `pixels.pixel_batch`.
            **kwargs: of the model, such as ``labels`` and ``attention_mask``.
        """
        if pixels is None:
            device = input_ids.device
            pixels = {name: t.to(device) for name, t in pixel_batch(pictures, feeds).items()}
        embedded = self.embed(input_ids, feeds, pixels)
        return self.model(input_ids=input_ids, inputs_embeds=embedded, **kwargs)
