"""An answer run through its model once more, its reply given, to read and change what happens inside"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..answer import Answer
from ..errors import OutOfMemoryError, WorkbenchError
from ..models.device import release_memory
from ..models.generate import on_device
from ..models.worker import is_out_of_memory
from ..types import TokenLayout
from .prompts import Prompt, encode_with

if TYPE_CHECKING:
    from ..models.handle import VLM

__all__ = ["Replay", "forward", "held", "score"]

CHUNK = 256  # positions whose scores are turned into probabilities at a time


@dataclass(frozen=True)
class Replay:
    """What a model is given to run an answer again.

    Args:
        inputs: the model's inputs ``[1, tokens]`` on its device, prompt and reply.
        layout: where the pictures stand.
        prompt_tokens: tokens of the prompt.
        forced: tokens of the reply that the mode forced, at its start.
    """

    inputs: dict[str, torch.Tensor]
    layout: TokenLayout
    prompt_tokens: int
    forced: int

    @classmethod
    def of(
        cls,
        vlm: VLM,
        answer: Answer,
        *,
        images: Sequence[Any] | None = None,
        reply: Sequence[int] | None = None,
    ) -> Replay:
        """Encode an answer's conversation again and put its reply behind it.

        Args:
            vlm: the model that gave the answer.
            answer: the answer.
            images: other pictures in place of ``answer.images``, all of them.
            reply: another reply's token ids.

        Raises:
            CapabilityError: for a server, or an answer of one.
            InputError: for an answer of another model, or one without a reply.
        """
        Prompt.of(vlm, answer)  # refuses what is not a pair
        encoded = encode_with(vlm, answer, [answer.images if images is None else images])
        ids = list(answer.reply_ids if reply is None else reply)
        forced = len(encoded.forced) if ids[: len(encoded.forced)] == encoded.forced else 0
        inputs = on_device(_with_reply(encoded.inputs, ids), vlm.device, vlm.dtype)
        return cls(inputs, encoded.layouts[0], len(encoded.prompt_ids[0]), forced)

    @property
    def length(self) -> int:
        """Tokens of prompt and reply."""
        return self.inputs["input_ids"].shape[1]

    @property
    def written(self) -> range:
        """Positions of the tokens that the model chose itself: the reply without what the mode forced."""
        return range(self.prompt_tokens + self.forced, self.length)


def _with_reply(inputs: dict[str, torch.Tensor], reply: Sequence[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([list(reply)], dtype=inputs["input_ids"].dtype)
    out = {**inputs, "input_ids": torch.cat([inputs["input_ids"], ids], dim=1)}
    out["attention_mask"] = torch.ones_like(out["input_ids"])
    for name in inputs:
        if name.endswith("token_type_ids"):  # 0 for text in each of them
            out[name] = torch.cat([inputs[name], torch.zeros_like(ids)], dim=1)
    return out


@contextlib.contextmanager
def held(vlm: VLM) -> Iterator[None]:
    """Hold the model without gradients; what an allocator says becomes an error that helps.

    Raises:
        OutOfMemoryError: if the device had no room; the model stays usable.
    """
    with vlm.turn(threading.Event()) as ours, torch.inference_mode():
        assert ours, "nothing stops the waiting"
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            given = f"{vlm.name} on {vlm.device}: no room to run the answer again"
        else:
            return
    release_memory()
    raise OutOfMemoryError(given, "room for one forward pass", "fewer positions, or a shorter answer")


def forward(vlm: VLM, inputs: dict[str, torch.Tensor], keep: int) -> torch.Tensor:
    """Scores of the last ``keep`` positions ``[keep, vocabulary]``; call it inside `held`."""
    options: dict[str, Any] = {"use_cache": False, "return_dict": True}
    if "logits_to_keep" in inspect.signature(vlm.model.forward).parameters:
        options["logits_to_keep"] = keep
    return vlm.model(**inputs, **options).logits[0, -keep:]


def score(vlm: VLM, replay: Replay) -> tuple[torch.Tensor, list[int]]:
    """How likely what the model wrote is, and what is likeliest instead; call it inside `held`.

    Returns:
        Log-probability of each token of ``replay.written`` in nats, float64 on the CPU, and the most
        likely token in the place of each.
    """
    first = replay.written.start
    logits = forward(vlm, replay.inputs, replay.length - first + 1)[:-1]
    ids = replay.inputs["input_ids"][0, first:].to(logits.device)
    parts = [
        torch.log_softmax(scores.float(), dim=-1).gather(-1, own[:, None])[:, 0]
        for scores, own in zip(logits.split(CHUNK), ids.split(CHUNK), strict=True)
    ]
    return torch.cat(parts).double().cpu(), logits.argmax(dim=-1).tolist()
