"""Keeping pictures and rows together during generation."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationMixin

from ...errors import InputError

__all__ = ["Phi4RVGenerationMixin", "images_of_rows"]

IMAGE_INPUTS = ("pixel_values", "pixel_attention_mask", "spatial_shapes")


class Phi4RVGenerationMixin(GenerationMixin):
    """Generation in which the first dimension of the picture tensors counts pictures, not rows."""

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **kwargs: Any) -> dict[str, Any]:
        """One step's inputs: a picture goes in with its placeholders, and then lives in the cache."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        if inputs.get("pixel_values") is None:
            return inputs
        if not kwargs.get("is_first_iteration", False) and kwargs.get("use_cache", True):
            return {name: value for name, value in inputs.items() if name not in IMAGE_INPUTS}
        if (step_ids := inputs.get("input_ids")) is not None and step_ids.shape[1] < input_ids.shape[1]:
            # A prompt that continues a cache: the pictures of its cached part are not read again.
            rows = images_of_rows(input_ids, inputs["spatial_shapes"], self.config.image_token_id)
            sizes = inputs["spatial_shapes"].prod(dim=1).tolist()
            places = (step_ids == self.config.image_token_id).sum(dim=1).tolist()
            keep = [i for row, left in zip(rows, places, strict=True) for i in _last_of(row, sizes, left)]
            for name in IMAGE_INPUTS:
                inputs[name] = inputs[name][keep] if keep else None
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Repeat rows (for beams, or several replies), each with all its pictures."""
        pictures = {name: kwargs.pop(name) for name in IMAGE_INPUTS if kwargs.get(name) is not None}
        expanded, kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        if pictures and expand_size > 1:
            rows = images_of_rows(input_ids, pictures["spatial_shapes"], self.config.image_token_id)
            index = [i for row in rows for _ in range(expand_size) for i in row]
            pictures = {name: tensor[index] for name, tensor in pictures.items()}
        return expanded, {**kwargs, **pictures}


def images_of_rows(
    input_ids: torch.Tensor, spatial_shapes: torch.Tensor, image_token_id: int | None
) -> list[list[int]]:
    """Which pictures belong to which row of a batch, by the number of placeholders.

    Raises:
        InputError: if a row's placeholders are not those of whole pictures.
    """
    places = (input_ids == image_token_id).sum(dim=1).tolist()
    sizes = spatial_shapes.prod(dim=1).tolist()
    rows: list[list[int]] = []
    at = 0
    for left in places:
        rows.append([])
        while left > 0 and at < len(sizes):
            rows[-1].append(at)
            left -= sizes[at]
            at += 1
        if left:
            break
    if len(rows) < len(places) or left or at < len(sizes):
        raise InputError(
            f"rows with {places} image placeholders for pictures of {sizes} patches",
            "each row with the placeholders of its own pictures",
            "let the processor build input_ids and pixel_values together",
        )
    return rows


def _last_of(row: list[int], sizes: list[int], patches: int) -> list[int]:
    """The last pictures of a row that have so many patches together."""
    kept: list[int] = []
    while patches > 0 and len(kept) < len(row):
        kept.insert(0, row[-1 - len(kept)])
        patches -= sizes[kept[0]]
    if patches:
        raise InputError(
            "a cache that ends inside a picture",
            "a cache that holds whole pictures",
            "start without the cache",
        )
    return kept
