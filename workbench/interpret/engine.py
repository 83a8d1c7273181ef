"""One forward pass for many altered picture sets, without work that they share.

Where the family is known well enough (Phi-4-reasoning-vision and the built-in model), pictures that
were not altered keep their features, and what stands before the first altered picture keeps its keys
and values.  Every other family runs its own forward on whole rows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import CapabilityError
from ..models.handle import VLM
from .prompts import Prompt
from .targets import Scored, Target
from .trimmed import can_trim, trimmed_logits

__all__ = ["Engine", "decoder_of"]

Pick = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
PREFIX = 32  # positions; a shorter common beginning is cheaper to run again than to copy


class Engine:
    """Scores of targets under altered pixels.

    Args:
        prompt: the encoded prompt.
    """

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.own = prompt.vlm.family.name == "phi4-rv" and prompt.pixels is not None
        self._features: list[torch.Tensor] = []
        self._prefix: tuple[int, Any] | None = None

    @property
    def model(self) -> Any:
        """The Transformers model; an error says so if it was unloaded."""
        return self.prompt.vlm.model

    def original(self, count: int) -> tuple[torch.Tensor | None, np.ndarray]:
        """The pixels as they are, for ``count`` rows, and which pictures were altered: none."""
        pixels = self.prompt.pixels
        rows = None if pixels is None else pixels.expand(count, *pixels.shape)
        return rows, np.zeros((count, len(self.prompt.answer.images)), dtype=bool)

    def states(self, scored: Scored) -> torch.Tensor:
        """What the decoder hands to the output head, ``[tokens, hidden]``, with the pictures as they are.

        Raises:
            CapabilityError: if the family's decoder is not where it should be.
        """
        found: list[torch.Tensor] = []
        decoder = decoder_of(self.prompt.vlm)
        handle = decoder.register_forward_hook(lambda *args: found.append(args[-1][0]))
        try:
            self.scores(Target("span", "", (scored,)), *self.original(1))
        finally:
            handle.remove()
        return found[-1][0]

    def scores(
        self, target: Target, pixels: torch.Tensor | None, altered: np.ndarray, *, logits: bool = False
    ) -> torch.Tensor:
        """Weighted log-probabilities ``[n]`` of a target.

        Args:
            target: what is scored.
            pixels: ``[n, *shape]``; None where the prompt has no picture.
            altered: bool ``[n, pictures]``, which pictures differ from the answer's.
            logits: sum the tokens' scores before the softmax instead.
        """
        pick = _raw if logits else _picked
        if self.own:
            assert pixels is not None, "this path is for prompts with pictures"
            features = self.features(pixels, altered)
            parts = [self._decoded(s, features, altered, pick) * s.weight for s in target.sequences]
        else:
            parts = [self._whole(s, pixels, len(altered), pick) * s.weight for s in target.sequences]
        return torch.stack(parts).sum(dim=0)

    # -- any family ------------------------------------------------------------------------------

    def _whole(self, scored: Scored, pixels: torch.Tensor | None, count: int, pick: Pick) -> torch.Tensor:
        ids = scored.ids[: scored.span.stop]
        inputs = self.prompt.rows(ids, count)
        if pixels is not None:
            inputs["pixel_values"] = pixels.flatten(0, 1).to(self.prompt.vlm.device, self.prompt.vlm.dtype)
        keep = len(ids) - scored.span.start + 1
        logits = self.model(**inputs, logits_to_keep=keep, use_cache=False).logits
        return pick(logits, ids[scored.span.start :])

    # -- Phi-4-reasoning-vision and the built-in model -------------------------------------------

    def features(self, pixels: torch.Tensor, altered: np.ndarray) -> list[torch.Tensor]:
        """Features of each picture, ``[n, patches, hidden]``; those that nobody altered are encoded once."""
        inputs, vlm = self.prompt.inputs, self.prompt.vlm
        mask = inputs["pixel_attention_mask"].to(vlm.device)
        shapes = inputs["spatial_shapes"].to(vlm.device)
        if not self._features and not altered.all():
            assert self.prompt.pixels is not None, "this path is for prompts with pictures"
            with torch.no_grad():
                self._features = list(self._encode(self.prompt.pixels, mask, shapes))
        rows, pictures = (torch.from_numpy(index) for index in np.nonzero(altered))
        fresh: Any = ()
        if len(rows):
            where = pictures.to(vlm.device)
            fresh = self._encode(pixels[rows, pictures], mask[where], shapes[where])
        at = {pair: number for number, pair in enumerate(zip(rows.tolist(), pictures.tolist(), strict=True))}
        return [
            torch.stack(
                [
                    fresh[at[row, picture]] if (row, picture) in at else self._features[picture]
                    for row in range(len(altered))
                ]
            )
            for picture in range(altered.shape[1])
        ]

    def _encode(self, pixels: torch.Tensor, mask: torch.Tensor, shapes: torch.Tensor) -> Any:
        pixels = pixels.to(self.prompt.vlm.device, self.prompt.vlm.dtype)
        return self.model.get_image_features(pixels, mask, shapes, return_dict=True).pooler_output

    def _decoded(
        self, scored: Scored, features: list[torch.Tensor], altered: np.ndarray, pick: Pick
    ) -> torch.Tensor:
        ids = scored.ids[: scored.span.stop]
        cut = self._common(altered)
        embeds = self.embedded(ids, features)[:, cut:]
        # No mask: rows are equally long, and attention that is just causal is the fastest.
        options: dict[str, Any] = {"use_cache": False}
        if cut:
            options = {"use_cache": True, "past_key_values": self._cache(cut, ids, features)}
        keep = len(ids) - scored.span.start + 1
        if not torch.is_grad_enabled() and keep < embeds.shape[1] and can_trim(self.model):
            logits = trimmed_logits(self.model, embeds, keep, options.get("past_key_values"))
        else:
            logits = self.model(inputs_embeds=embeds, logits_to_keep=keep, **options).logits
        return pick(logits, ids[scored.span.start :])

    def embedded(self, ids: Any, features: list[torch.Tensor]) -> torch.Tensor:
        """Embeddings ``[n, tokens, hidden]`` with the pictures' features in their places."""
        device = self.prompt.vlm.device
        words = self.model.get_input_embeddings()(torch.tensor([list(ids)], device=device))
        layout = self.prompt.answer.layout
        assert layout is not None, "checked with the prompt"
        parts, at = [], 0
        for grid, feature in zip(layout.images, features, strict=True):
            parts += [words[:, at : grid.start].expand(len(feature), -1, -1), feature.to(words.dtype)]
            at = grid.stop
        parts.append(words[:, at:].expand(len(features[0]), -1, -1))
        return torch.cat(parts, dim=1)

    def _common(self, altered: np.ndarray) -> int:
        """Length of the beginning that is the same in all rows and in the original."""
        layout = self.prompt.answer.layout
        assert layout is not None, "checked with the prompt"
        if torch.is_grad_enabled():
            return 0
        changed = np.flatnonzero(altered.any(axis=0))
        cut = layout.images[changed[0]].start if len(changed) else 0
        return cut if cut >= PREFIX else 0

    def _cache(self, cut: int, ids: Any, features: list[torch.Tensor]) -> Any:
        """Keys and values of the first ``cut`` positions, for each row; computed once per length."""
        if self._prefix is None or self._prefix[0] != cut:
            embeds = self.embedded(ids, [f[:1] for f in features])[:, :cut]
            out = self.model(inputs_embeds=embeds, logits_to_keep=1, use_cache=True)
            self._prefix = (cut, out.past_key_values)
        rows = copy.deepcopy(self._prefix[1])
        rows.batch_repeat_interleave(len(features[0]))
        return rows


def decoder_of(vlm: VLM) -> torch.nn.Module:
    """The decoder inside a model.

    Raises:
        CapabilityError: if it is not where the family's spec says.
    """
    try:
        return vlm.model.get_submodule(vlm.family.decoder)
    except AttributeError:
        raise CapabilityError(
            f"{vlm.name} without a module {vlm.family.decoder!r}",
            "a family whose decoder is known",
            'use a method that only needs the model\'s forward pass, such as "occlusion"',
        ) from None


def _picked(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Sum of the log-probabilities of ``ids`` under ``logits [n, len(ids) + 1, vocabulary]``."""
    return _raw(logits[:, -len(ids) - 1 :].float().log_softmax(dim=-1), ids)


def _raw(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Sum of the scores of ``ids``."""
    scores = logits[:, -len(ids) - 1 : -1].float()
    wanted = torch.tensor(list(ids), device=scores.device)
    return scores[:, torch.arange(len(ids), device=scores.device), wanted].sum(dim=-1)
