"""Attention knock-out: what a reply loses when chosen positions cannot see chosen positions"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from ..answer import Answer
from ..errors import InputError
from .effects import Knockout
from .inside import Decoder, cutting, layer_numbers
from .logit_lens import token_texts
from .places import Place, positions
from .prompts import check_vlm
from .replay import Replay, held, score

if TYPE_CHECKING:
    from ..models.handle import VLM

__all__ = ["attention_cut", "knock_out"]


def knock_out(
    vlm: VLM,
    answer: Answer,
    sources: Place,
    targets: Place,
    *,
    layers: int | Sequence[int] | None = None,
) -> Knockout:
    """Cut attention from positions to positions and score the reply again (Geva et al. 2023).

    The answer is run through the model twice with its reply given: as it was, and with the attention of
    ``targets`` (who looks) to ``sources`` (what is looked at) set to zero before the softmax, through the
    mask.  A position always sees itself.  Cutting stops the direct look in these blocks; what other
    positions saw and pass on still arrives.

    Args:
        vlm: the model that gave the answer.
        answer: its answer.
        sources, targets: places, see `workbench.interpret.places`: positions, spans, regions of a
            picture, or names such as "images".  A token is written one position before its own: to blind
            the model while it writes a span, pass ``targets=writers(answer, span)``.
        layers: blocks 0 to the last; None for all.

    Raises:
        InputError: for a place or layer that is not there, an empty answer, or one of another model.
        CapabilityError: for a server, or a kernel without a mask (load with attention="sdpa").
        OutOfMemoryError: if the device has no room.
    """
    replay = Replay.of(vlm, answer)
    unseen, blind = positions(answer, sources), positions(answer, targets)
    decoder = Decoder(vlm)
    chosen = layer_numbers(layers, decoder.depth - 1)
    with held(vlm):
        before, _ = score(vlm, replay)
        with cutting(decoder, unseen, blind, chosen):
            after, best = score(vlm, replay)
    written = answer.token_ids[replay.written.start :]
    words = token_texts(vlm.tokenizer, sorted({*written, *best}))
    return Knockout(
        answer=answer,
        sources=unseen,
        targets=blind,
        layers=chosen,
        positions=torch.tensor(list(replay.written), dtype=torch.int64).numpy(),
        before=before.numpy(),
        after=after.numpy(),
        said=tuple(words[token] for token in best),
        words=tuple(words[token] for token in written),
        model=vlm.name,
    )


@contextlib.contextmanager
def attention_cut(
    vlm: VLM, sources: Sequence[int], targets: Sequence[int], *, layers: int | Sequence[int] | None = None
) -> Iterator[None]:
    """Within this context the model itself is blind: ask it, and see what it writes.

    It holds for one conversation at a time (`ask`, not `ask_many`); everything is as before afterwards,
    also after an error.

    Example::

        with attention_cut(vlm, region_positions(answer, region), range(answer.prompt_tokens, 4096)):
            blind = vlm.ask(sample.images, sample.question, mode="think")

    Args:
        vlm: the model.
        sources: positions of the sequence that are not seen.
        targets: positions that do not see them; those that are never reached do not matter.
        layers: blocks 0 to the last; None for all.

    Raises:
        InputError: for a negative position, or a layer that does not exist.
        CapabilityError: for a model that cannot be looked into.
    """
    decoder = Decoder(check_vlm(vlm))
    chosen = layer_numbers(layers, decoder.depth - 1)
    if any(at < 0 for at in (*sources, *targets)):
        raise InputError(
            "a negative position", "positions from 0: how long the sequence gets is not known yet"
        )
    with cutting(decoder, sources, targets, chosen):
        yield
