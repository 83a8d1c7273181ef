"""An answer's prompt, encoded again with the same or other pictures, and checked against the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..models.families import Encoded
from ..models.generate import on_device
from ..models.handle import VLM
from ..types import Turn
from .targets import check_answer

__all__ = ["Prompt", "check_vlm", "encode_with", "turns_with"]

_TRIMMED = ("pixel_values", "pixel_attention_mask")


def check_vlm(vlm: Any) -> VLM:
    """Refuse what cannot be looked into.

    Raises:
        CapabilityError: for a model behind a server.
    """
    if not isinstance(vlm, VLM):
        raise CapabilityError(
            f"{type(vlm).__name__} {getattr(vlm, 'name', '')!r}, which cannot be looked into",
            "a model that runs here (a server only sends text)",
            "load it with workbench.load(a folder or a Hub id)",
        )
    return vlm


@dataclass(frozen=True, eq=False)
class Prompt:
    """The model's inputs for one answer's prompt.

    Args:
        vlm: the model.
        answer: the answer.
        inputs: the model's inputs for a single row, on the CPU, without ``pixel_values``.
        pixels: ``pixel_values`` of the original pictures, on the CPU; None without pictures.
    """

    vlm: VLM
    answer: Answer
    inputs: dict[str, torch.Tensor]
    pixels: torch.Tensor | None

    @classmethod
    def of(cls, vlm: VLM, answer: Answer) -> Prompt:
        """Encode an answer's prompt again.

        Raises:
            CapabilityError: for a server's model or answer.
            InputError: for an empty answer, or an answer of another model.
        """
        check_vlm(vlm)
        check_answer(answer)
        if answer.model != vlm.name:
            raise InputError(
                f"an answer of {answer.model!r} with the model {vlm.name!r}",
                "the model that gave the answer",
                f"load {answer.source or answer.model!r}, or ask {vlm.name!r} itself",
            )
        encoded = encode_with(vlm, answer, [answer.images])
        if tuple(encoded.prompt_ids[0]) != answer.prompt_ids:
            raise InputError(
                f"an answer whose prompt this {vlm.name!r} writes in other tokens",
                "the same model with the same processor (image tokens, chat template)",
                "load the model as it was when it answered, or ask again",
            )
        inputs = _trimmed(vlm, encoded)
        return cls(vlm, answer, inputs, inputs.pop("pixel_values", None))

    def process(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """``pixel_values`` of other pictures of the same sizes, in the shape of ``pixels``."""
        return self.process_many([pictures])[0]

    def process_many(self, batch: Sequence[Sequence[Image.Image]]) -> torch.Tensor:
        """``[n, *pixels.shape]`` for ``n`` sets of pictures.

        Raises:
            InputError: if a set has another number of pictures, or one has another size.
        """
        assert self.pixels is not None, "a prompt without pictures"
        sizes = [image.size for image in self.answer.images]
        for number, pictures in enumerate(batch):
            if (found := [image.size for image in pictures]) != sizes:
                raise InputError(
                    f"set {number} of altered pictures has sizes {found}",
                    f"the sizes of the answer's pictures, {sizes}",
                    "alter the pictures without resizing or cropping them",
                )
        encoded = encode_with(self.vlm, self.answer, batch)
        values = _trimmed(self.vlm, encoded)["pixel_values"]
        return values.reshape(len(batch), *self.pixels.shape)

    def rows(self, ids: Sequence[int], count: int) -> dict[str, torch.Tensor]:
        """The inputs for ``count`` equal rows of prompt and reply, on the model's device, without pixels."""
        reply = len(ids) - self.answer.prompt_tokens
        out = {}
        for name, tensor in self.inputs.items():
            if name == "input_ids":
                tensor = torch.tensor([list(ids)])
            elif name == "attention_mask" or name.endswith("token_type_ids"):
                fill = 1 if name == "attention_mask" else 0
                tensor = torch.cat([tensor, tensor.new_full((1, reply), fill)], dim=1)
            out[name] = tensor.repeat(count, *[1] * (tensor.dim() - 1))
        return on_device(out, self.vlm.device, self.vlm.dtype)

    def without_pictures(self) -> Prompt:
        """The same conversation with its pictures taken out."""
        turns = tuple(replace(turn, images=()) for turn in self.answer.history)
        bare = replace(self.answer, images=(), history=turns)
        encoded = encode_with(self.vlm, bare, [()])
        bare = replace(
            bare,
            token_ids=(*encoded.prompt_ids[0], *self.answer.reply_ids),
            prompt_tokens=len(encoded.prompt_ids[0]),
        )
        return Prompt(self.vlm, bare, dict(encoded.inputs), None)


def encode_with(vlm: VLM, answer: Answer, batch: Sequence[Sequence[Image.Image]]) -> Encoded:
    """An answer's conversation, encoded with other sets of pictures: a row for each set."""
    conversations = [turns_with(answer, list(pictures)) for pictures in batch]
    with vlm.encoding:
        return vlm.family.encode(vlm.processor, conversations, mode=answer.mode, config=vlm.model.config)


def turns_with(answer: Answer, pictures: list[Image.Image]) -> list[Turn]:
    """The conversation up to the question, its pictures replaced in order."""
    turns = []
    for turn in answer.history:
        mine, pictures = pictures[: len(turn.images)], pictures[len(turn.images) :]
        turns.append(replace(turn, images=tuple(mine)))
    return [*turns, Turn("user", answer.question, tuple(pictures))]


def _trimmed(vlm: VLM, encoded: Encoded) -> dict[str, torch.Tensor]:
    """The inputs, without the columns of patches that are padding in every picture."""
    inputs = dict(encoded.inputs)
    if "spatial_shapes" in inputs:
        longest = int(inputs["spatial_shapes"].prod(dim=1).max())
        inputs |= {name: inputs[name][:, :longest] for name in _TRIMMED}
    return inputs
