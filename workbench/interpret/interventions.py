"""Change a model inside and watch the answer: attention knockout, and activation patching.

Knockout tells what a reply loses when chosen positions cannot see chosen positions; patching puts a
region's hidden states from another image in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from ..answer import Answer
from ..attention.select import as_region
from ..errors import InputError
from ..images import open_image
from ..models.vlm import VLM
from ..names import verb
from ..types import Box, Region
from .counterfactual import SETTINGS
from .effects import Knockout, Patching
from .logit_lens import token_texts
from .replay import (
    Decoder,
    Prompt,
    Replay,
    attending_layers,
    check_vlm,
    cutting,
    forward,
    head_numbers,
    held,
    layer_numbers,
    patching,
    reading,
    score,
    turns_with,
)
from .targets import Place, layout_of, positions, region_positions

__all__ = ["attention_cut", "knockout", "patch_region", "same_grid"]


@verb("sources", "targets")
def knockout(
    vlm: VLM,
    answer: Answer,
    *,
    sources: Place,
    targets: Place,
    layers: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
) -> Knockout:
    """Cut attention from positions to positions and score the reply again (Geva et al. 2023).

    The answer is run through the model twice with its reply given: as it was, and with the attention of
    ``targets`` (who looks) to ``sources`` (what is looked at) set to zero before the softmax, through the
    mask.  A position always sees itself.  Cutting stops the direct look in these blocks; what other
    positions saw and pass on still arrives.

    Args:
        vlm: the model that gave the answer.
        answer: its answer.
        sources, targets: places, see `workbench.interpret.targets`: positions, spans, regions of a
            picture, or names such as "images".  A token is written one position before its own: to blind
            the model while it writes a span, pass ``targets=writers(answer, span)``.
        layers: blocks 0 to the last; None for all that have attention.
        heads: heads that are cut in each of them; None for all.

    Raises:
        InputError: for a place, layer or head that is not there, an empty answer, or one of another model.
        CapabilityError: for a server, or a kernel without a mask (load with attention="sdpa").
        OutOfMemoryError: if the device has no room.
    """
    replay = Replay.of(vlm, answer)
    unseen, blind = positions(answer, sources), positions(answer, targets)
    decoder = Decoder(vlm)
    chosen, cut = attending_layers(layers, decoder), head_numbers(heads, decoder)
    with held(vlm):
        before, _ = score(vlm, replay, of=answer)
        with cutting(decoder, unseen, blind, chosen, heads=cut):
            after, best = score(vlm, replay)
    written = answer.token_ids[replay.written.start :]
    words = token_texts(vlm.tokenizer, sorted({*written, *best}))
    return Knockout(
        answer=answer,
        sources=unseen,
        targets=blind,
        layers=chosen,
        heads=cut,
        positions=torch.tensor(list(replay.written), dtype=torch.int64).numpy(),
        before=before.numpy(),
        after=after.numpy(),
        said=tuple(words[token] for token in best),
        words=tuple(words[token] for token in written),
        model=vlm.name,
    )


@contextlib.contextmanager
@verb("targets")
def attention_cut(
    vlm: VLM,
    sources: Sequence[int],
    *,
    targets: Sequence[int],
    layers: int | Sequence[int] | None = None,
    heads: int | Sequence[int] | None = None,
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
        layers: blocks 0 to the last; None for all that have attention.
        heads: heads that are cut in each of them; None for all.

    Raises:
        InputError: for a negative position, or a layer or head that does not exist.
        CapabilityError: for a model that cannot be looked into.
    """
    decoder = Decoder(check_vlm(vlm))
    chosen = attending_layers(layers, decoder)
    if any(at < 0 for at in (*sources, *targets)):
        raise InputError(
            "a negative position", "positions from 0: how long the sequence gets is not known yet"
        )
    with cutting(decoder, sources, targets, chosen, heads=head_numbers(heads, decoder)):
        yield


TARGETS = ("reply", "thought", "answer")


@verb("region", "other")
def patch_region(
    vlm: VLM,
    answer: Answer,
    *,
    region: Region | Box,
    other: Any,
    layers: int | Sequence[int] | None = None,
    target: str = "reply",
    other_answer: Answer | None = None,
) -> Patching:
    """Replace a region's hidden states by those of another picture, one layer at a time.

    Activation patching (Vig et al. 2020; Meng et al. 2022) on the residual stream: at layer ``l`` the
    image tokens of the region get what they hold when the model looks at ``other``; everything behind is
    computed anew.  ``moved`` is 0 where answer and other answer are as likely (as log-odds) as with the
    own picture, and 1 where they are as likely as with the other picture as a whole.

    Args:
        vlm: the model that gave the answer.
        answer: its answer.
        region: a `Region`, or a box (x1, y1, x2, y2) in pixels of the first picture.
        other: another picture that takes the same grid, in place of picture ``region.image``.
        layers: 0 (the embeddings, what the projector gives) to the number of blocks; None for all.
            The last one can move nothing: no block reads it.
        target: which tokens are scored: "reply" (all that the model wrote itself), "thought", or "answer"
            (given the thought: a model that copies its thought's last word moves little).
        other_answer: the answer to the other picture; None asks for it, with the settings of ``answer``.

    Raises:
        InputError: for a region, layer or target that is not there, a picture with another grid, one that
            gets the same answer, an empty answer, or one of another model.
        CapabilityError: for a server.
        OutOfMemoryError: if the device has no room.
    """
    Prompt.of(vlm, answer)  # refuses what is not a pair
    region = as_region(region, layout_of(answer))
    places = region_positions(answer, region)
    if target not in TARGETS:
        raise InputError(f"target={target!r}", f"one of {', '.join(map(repr, TARGETS))}")
    decoder = Decoder(vlm)
    chosen = layer_numbers(layers, decoder.depth)
    pictures = [*answer.images]
    pictures[region.image] = open_image(other)
    swapped = Replay.of(vlm, answer, images=pictures)
    same_grid(answer, swapped, region.image, pictures[region.image].size)
    there = other_answer or _ask(vlm, answer, pictures)
    if there.reply_ids == answer.reply_ids:
        raise InputError(
            f"another picture that gets the same reply ({answer.text[:40]!r})",
            "a picture with another answer, so that the answer can move",
        )
    runs = [
        _Run(vlm, answer, target, given, images) for given in (answer, there) for images in (None, pictures)
    ]
    own_own, own_other, other_own, other_other = (run.score() for run in runs)
    own_picture, other_picture = (own_own, other_own), (own_other, other_other)
    states = _states(vlm, decoder, runs[1].replay, places, chosen)
    rows = []
    for layer in chosen:
        with patching(decoder, layer, places, states[layer]):
            own, its = runs[0].score(), runs[2].score()
        start, full = own_picture[0] - own_picture[1], other_picture[0] - other_picture[1]
        moved = ((own - its) - start) / (full - start) if full != start else float("nan")
        rows.append((layer, own, its, moved))
    return Patching(
        answer=answer,
        other=there,
        region=region,
        positions=places,
        target=target,
        table=pd.DataFrame(rows, columns=["layer", "own", "other", "moved"]),
        own_picture=own_picture,
        other_picture=other_picture,
        model=vlm.name,
    )


class _Run:
    """One reply behind the prompt with one set of pictures, ready to be scored."""

    def __init__(
        self, vlm: VLM, answer: Answer, target: str, given: Answer, images: list[Any] | None
    ) -> None:
        self.vlm = vlm
        self.replay = Replay.of(vlm, answer, images=images, reply=given.reply_ids)
        start, stop = self.replay.written.start, self.replay.written.stop
        if target != "reply":
            start, stop = given.spans[target].start, given.spans[target].stop
            if start == stop:
                raise InputError(
                    f"target={target!r} with an answer that has none", "an answer with one, or 'reply'"
                )
            # a given thought is scored where it is asked for
            self.replay = replace(self.replay, forced=start - self.replay.prompt_tokens)
        self.part = slice(0, stop - start)

    def score(self) -> float:
        """Log-probability of the target, in nats."""
        with held(self.vlm):
            return float(score(self.vlm, self.replay)[0][self.part].sum())


def _ask(vlm: VLM, answer: Answer, pictures: list[Any]) -> Answer:
    """The same question about the other pictures, asked in the same way."""
    *history, question = turns_with(answer, pictures)
    settings = {name: value for name, value in answer.settings.items() if name in SETTINGS}
    return vlm.ask(
        list(question.images) or None, answer.question, mode=answer.mode, history=history, **settings
    )


def _states(
    vlm: VLM, decoder: Decoder, replay: Replay, places: Sequence[int], layers: Sequence[int]
) -> dict[int, torch.Tensor]:
    """Hidden states ``[places, hidden]`` of a run, by layer; only what is needed is kept."""
    kept: dict[int, torch.Tensor] = {}

    def take(layer: int, stream: torch.Tensor) -> None:
        if layer in layers:
            kept[layer] = stream[0, list(places)].clone()

    with held(vlm), reading(decoder, take):
        forward(vlm, replay, 1)
    return kept


def same_grid(answer: Answer, swapped: Replay, image: int, size: tuple[int, int]) -> None:
    """Refuse another picture whose tokens do not stand where the own picture's do."""

    def shape(layout: Any) -> list[tuple[int, ...]]:
        return [(g.image, g.start, g.rows, g.cols, g.row_stride) for g in layout.grids]

    own = answer.layout
    assert own is not None, "checked with the pair"
    if shape(own) != shape(swapped.layout):
        mine, its = own.images[image], swapped.layout.images[image]
        raise InputError(
            f"a picture of {size[0]} x {size[1]} pixels, which takes {its.rows} x {its.cols} tokens",
            f"{mine.rows} x {mine.cols} tokens, as the picture of {mine.size[0]} x {mine.size[1]} takes",
            f"resize it to {mine.size[0]} x {mine.size[1]} pixels",
        )
