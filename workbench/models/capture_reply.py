"""Capture of one batch of replies: opened while they are written, read into records afterwards"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import torch

from ..answer import Answer
from ..attention import Attention
from .capture import Capture
from .capture_record import attention_record, token_texts
from .capture_vision import tower_records
from .families import Encoded

if TYPE_CHECKING:
    from .handle import VLM

__all__ = ["ReplyCapture"]


class ReplyCapture:
    """A context manager around ``generate``, and the records of what it wrote.

    Args:
        vlm: the model.
        encoded: the prompts.
        capture: True, or "all" for the prompt's rows too.

    Raises:
        CapabilityError: if the model's decoder cannot be found.
    """

    def __init__(self, vlm: VLM, encoded: Encoded, capture: bool | str) -> None:
        self._tokenizer, self._name = vlm.tokenizer, vlm.name
        self._layouts, self._prompts = encoded.layouts, encoded.prompt_ids
        self._padded = int(encoded.inputs["input_ids"].shape[1])
        pictures = any(layout.images for layout in encoded.layouts)
        tower = _find(vlm.model, vlm.family.vision_tower) if pictures else None
        self._crops = [vlm.family.crops(vlm.processor, layout) for layout in encoded.layouts]
        self._order = None if tower is None else vlm.family.patch_order(tower, encoded.inputs)
        self._capture: Capture | None = Capture(
            vlm.model,
            decoder=vlm.family.decoder,
            tower=vlm.family.vision_tower if tower is not None else None,
            prompt_rows=capture == "all",
        )

    def __enter__(self) -> ReplyCapture:
        assert self._capture is not None
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._capture is not None
        self._capture.__exit__(kind, error, trace)

    def records(self, answers: list[Answer]) -> list[Attention | None]:
        """One record for each answer; None for one that holds no token.  What was kept is let go."""
        capture, self._capture = self._capture, None
        assert capture is not None
        if not any(answer.reply_ids for answer in answers):
            return [None] * len(answers)
        towers = tower_records(capture, self._crops, self._order, model=self._name)
        return [
            attention_record(
                capture,
                number,
                prompt=answer.prompt_tokens,
                padded=self._padded,
                reply=len(answer.reply_ids),
                layout=self._layouts[number],
                texts=token_texts(self._tokenizer, self._prompts[number], answer.reply_ids),
                spans={name: span for name, span in answer.spans.items() if len(span)},
                tower=towers[number],
                model=self._name,
            )
            if answer.reply_ids
            else None
            for number, answer in enumerate(answers)
        ]


def _find(model: torch.nn.Module, path: str) -> torch.nn.Module | None:
    """A vision tower by its path; None where this model keeps it elsewhere."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None
