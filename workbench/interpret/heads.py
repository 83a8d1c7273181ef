"""Heads one by one: what each writes towards thinking, and what replacing its output costs

Every head of a block writes its part of the residual stream through the attention's output projection: so
its output is changed in front of that projection, and its part is what the projection makes of it alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..images import open_image
from ..models.vlm import VLM
from ..names import verb
from ..types import ImageLike
from .effects import DecisionAttribution, HeadEffects
from .interventions import TARGETS, same_grid
from .logit_lens import decision_tokens, token_texts
from .methods.job import frozen
from .replay import Decoder, Replay, check_vlm, forward, held, reading
from .targets import Place, positions

__all__ = ["ablate_heads", "decision_attribution", "head_effects"]

MIXERS = ("self_attn", "attention", "attn")
PROJECTIONS = ("o_proj", "out_proj", "dense", "c_proj")
NORMED = "pre_feedforward_layernorm"  # blocks that have it put a norm behind the attention too
ROUNDING = 1e-3  # of a block's step, in which its parts may differ from it

Outputs = Mapping[int, torch.Tensor]
Change = Callable[[int, torch.Tensor], torch.Tensor | None]


@contextlib.contextmanager
@verb()
def ablate_heads(
    vlm: VLM,
    heads: Sequence[tuple[int, int]],
    *,
    baseline: str | int = "mean",
    reference: Sequence[Answer] = (),
) -> Iterator[None]:
    """Within this context the model runs without the outputs of some heads.

    It holds for all that is asked meanwhile; everything is as before afterwards, also after an error.

    Args:
        vlm: the model.
        heads: pairs (block, head), each counted from 0.
        baseline: what each of them gives instead: 0, or "mean", its mean over all positions of
            ``reference``.
        reference: answers of this model, for the mean.

    Raises:
        InputError: for a head that does not exist, another baseline, or a mean of no answer.
        CapabilityError: for a server, or a decoder without known attention blocks.
    """
    decoder = Decoder(check_vlm(vlm))
    outs = _projections(decoder, vlm.name)
    for layer, head in heads:
        if layer not in outs or not 0 <= head < decoder.n_heads:
            known = f"blocks {min(outs)} to {max(outs)}, heads 0 to {decoder.n_heads - 1}"
            raise InputError(f"head {head} of block {layer}", known)
    if baseline == "mean" and not reference:
        raise InputError("baseline='mean' without an answer", "reference=[answers], or baseline=0")
    _check_baseline(baseline)
    instead = {} if baseline == 0 else _means(vlm, outs, [Replay.of(vlm, answer) for answer in reference])
    width = {layer: _width(out, decoder) for layer, out in outs.items()}

    def change(layer: int, given: torch.Tensor) -> torch.Tensor | None:
        mine = [head for at, head in heads if at == layer]
        if not mine:
            return None
        given = given.clone()
        for head in mine:
            part = slice(head * width[layer], (head + 1) * width[layer])
            given[..., part] = instead[layer][part].to(given) if layer in instead else 0
        return given

    with _projecting(outs, change):
        yield


@verb()
def head_effects(
    vlm: VLM,
    answer: Answer,
    *,
    target: str = "reply",
    baseline: str | int = "mean",
    other: ImageLike | None = None,
    reference: Sequence[Answer] = (),
    place: Place = "all",
    n_exact: int | None = 16,
    seed: int = 0,
    progress: bool = True,
) -> HeadEffects:
    """What replacing each head's output would cost, from one backward pass, and for some heads exactly.

    Attribution patching (Nanda 2023; Syed et al. 2023, arXiv 2310.10348): the score's gradient by every
    head's output times the change of that output, for all layers and heads at once.  ``agreement`` is its
    correlation with replacing heads for real, one forward pass each.

    Args:
        vlm: the model that gave the answer.
        answer: its answer.
        target: what is scored: how far the tokens of "reply" (all that the model wrote itself), "thought" or
            "answer" are ahead of the likeliest other ones, as log-odds; or "decision", log-odds of thinking.
        baseline: what takes a head's output's place: 0, or "mean", over all positions of ``reference``.
        other: a picture in place of the first one: then the outputs under it are put in instead.
        reference: answers of this model for the mean; empty for this answer alone.
        place: positions at which outputs are replaced, see `workbench.interpret.targets`.
        n_exact: how many heads are replaced for real, drawn at random; None for all.
        seed: of that draw.
        progress: show a bar.

    Raises:
        InputError: for a target, place or baseline that is not there, an ``other`` that takes another number
            of tokens, an empty answer, or one of another model.
        CapabilityError: for a server, a decoder without known attention blocks, or a decision of a model
            without thoughts.
        OutOfMemoryError: if the device has no room.
    """
    _check_baseline(baseline)
    for name, count in (("n_exact", n_exact), ("seed", seed)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise InputError(f"{name}={count!r}", "a whole number, at least 0")
    goal = _goal(vlm, answer, target)
    decoder = Decoder(vlm)
    outs = _projections(decoder, vlm.name)
    at = [where for where in positions(answer, place) if where < goal.replay.length]
    if other is None:
        shown = [Replay.of(vlm, one) for one in reference] or [goal.replay]
        instead = {} if baseline == 0 else _means(vlm, outs, shown)
    else:
        instead = {layer: part[at] for layer, part in _under(vlm, answer, outs, goal, other).items()}
    score, changes, slopes = _slopes(vlm, outs, goal, at, instead)
    shape = (decoder.depth, decoder.n_heads)
    estimated, exact = np.full(shape, np.nan), np.full(shape, np.nan)
    for layer, slope in slopes.items():
        parts = (changes[layer] * slope).reshape(len(at), decoder.n_heads, -1)
        estimated[layer] = -parts.sum(dim=(0, 2)).numpy()
    known = [(layer, head) for layer in outs for head in range(decoder.n_heads)]
    count = len(known) if n_exact is None else min(n_exact, len(known))
    drawn = sorted(np.random.default_rng(seed).choice(len(known), count, replace=False).tolist())
    for layer, head in tqdm([known[i] for i in drawn], disable=not progress, unit="head", leave=False):
        part = slice(head * _width(outs[layer], decoder), (head + 1) * _width(outs[layer], decoder))
        change = partial(_replaced, which=layer, at=at, part=part, instead=instead.get(layer))
        with held(vlm), _projecting(outs, change):
            exact[layer, head] = score - float(goal.score(vlm))
    said = "another picture" if other is not None else "0" if baseline == 0 else "the mean"
    return HeadEffects(answer, target, said, score, estimated, exact, vlm.name)


@verb()
def decision_attribution(vlm: VLM, answer: Answer) -> DecisionAttribution:
    """Direct logit attribution of the choice to think, by head and layer.

    The stream at the prompt's last position is the sum of what the embedding, each head and each MLP wrote
    there (Elhage et al. 2021).  With the final norm's scale held as it is, each part's share of the
    difference of two scores is exact, and the shares sum to it: of the token that opens a thought, and of
    the one that a direct answer begins with (as `logit_lens` chooses them).  What a part does through later
    blocks is in their shares.

    Args:
        vlm: the model that gave the answer.
        answer: any answer with a reply.

    Raises:
        CapabilityError: for a server, a model without thoughts, or blocks whose parts are not known here.
        InputError: for an empty answer, or one of another model.
        OutOfMemoryError: if the device has no room.
    """
    replay = Replay.of(vlm, answer, reply=answer.reply_ids[:1])
    decoder, where = Decoder(vlm), answer.prompt_tokens - 1
    outs, between = _projections(decoder, vlm.name), _between(decoder, vlm.name)
    stream: dict[int, torch.Tensor] = {}
    middle: dict[int, torch.Tensor] = {}
    given: dict[int, torch.Tensor] = {}

    def into(kept: dict[int, torch.Tensor]) -> Callable[[int, torch.Tensor], None]:
        return lambda layer, states: kept.update({layer: states[0, where]})

    with held(vlm):
        with (
            reading(decoder, into(stream)),
            _projecting(between, into(middle)),
            _projecting(outs, into(given)),
        ):
            scores = forward(vlm, replay, 2)[0].double()
        think, direct = _tokens(vlm, scores)
        onto, bias = _onto(decoder, stream[decoder.depth], think, direct)
        heads, mlp = np.full((decoder.depth, decoder.n_heads), np.nan), np.zeros(decoder.depth)
        for layer in range(decoder.depth):
            step = middle[layer].double() - stream[layer].double()
            mlp[layer] = float(onto @ (stream[layer + 1].double() - middle[layer].double()))
            bias += float(onto @ step)
            if layer in outs:
                written, whole = _written(outs[layer], given[layer], decoder.n_heads)
                slack = torch.finfo(stream[layer].dtype).eps * (middle[layer].double().abs() + whole.abs())
                scale = _scale(decoder.blocks[layer], step, whole, slack, vlm.name)
                heads[layer] = ((scale * written) @ onto).cpu().numpy()
                bias -= float(heads[layer].sum())
        embedding = float(onto @ stream[0].double())
    words = token_texts(vlm.tokenizer, [think, direct])
    log_odds, names = float(scores[think] - scores[direct]), (words[think], words[direct])
    return DecisionAttribution(answer, heads, mlp, embedding, bias, log_odds, *names, vlm.name)


def _onto(decoder: Decoder, final: torch.Tensor, think: int, direct: int) -> tuple[torch.Tensor, float]:
    """What of the stream becomes the difference of two scores: a vector ``[hidden]``, and what is added.

    The final norm is linear once its scale is held: the ratio of what leaves it and what enters it.
    """
    weights = decoder.head.weight[[think, direct]].double()
    contrast = weights[0] - weights[1]
    normed, shift = decoder.norm.forward(final).double(), torch.zeros_like(contrast)
    final = final.double()
    centred = isinstance(decoder.norm, nn.LayerNorm)
    if centred:
        final = final - final.mean()
        shift = shift if decoder.norm.bias is None else decoder.norm.bias.double()
    onto = contrast * torch.where(final == 0, 0.0, (normed - shift) / final)
    added = float(shift @ contrast)
    if getattr(decoder.head, "bias", None) is not None:
        added += float(decoder.head.bias[think] - decoder.head.bias[direct])
    return onto - onto.mean() if centred else onto, added


def _written(out: nn.Module, given: torch.Tensor, n_heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What an output projection makes of each head alone ``[heads, hidden]``, and of all ``[hidden]``."""
    alone = torch.eye(n_heads + 1, n_heads, dtype=given.dtype, device=given.device)  # the last row: none
    made = out((alone[:, :, None] * given.reshape(n_heads, -1)).flatten(1)).double()
    return made[:-1] - made[-1], out(given[None])[0].double()


def _scale(
    block: nn.Module, step: torch.Tensor, whole: torch.Tensor, slack: torch.Tensor, name: str
) -> torch.Tensor | float:
    """By what the attention's output is multiplied before it is added to the stream: a norm's, or 1.

    ``slack`` is what the model's own number format rounds away, more in bfloat16 than in float32.
    """
    if hasattr(block, NORMED):
        return torch.where(whole == 0, 0.0, step / whole)
    if ((step - whole).abs() > slack + ROUNDING * max(1.0, float(step.abs().max()))).any():
        raise _unknown(name, "attention whose output is added to the stream as it is")
    return 1.0


@dataclass(frozen=True)
class _Goal:
    """What is scored: how far tokens are ahead of their rivals, in nats, summed.

    The rivals stay what they are while parts are replaced.  A log-probability would not do: its slope is
    nothing where the model is certain, however much a head matters.

    Args:
        replay: what is run.
        start: position of the first scored token.
        ids: the scored tokens.
        rivals: the token that each is ahead of.
    """

    replay: Replay
    start: int
    ids: tuple[int, ...]
    rivals: tuple[int, ...] = ()

    def logits(self, vlm: VLM) -> torch.Tensor:
        """Scores ``[scored tokens, vocabulary]``; call it inside `held`."""
        kept = forward(vlm, self.replay, self.replay.length - self.start + 1)
        return kept[: len(self.ids)].float()

    def score(self, vlm: VLM) -> torch.Tensor:
        """The sum over the tokens; call it inside `held`."""
        logits, at = self.logits(vlm), torch.arange(len(self.ids))
        return (logits[at, list(self.ids)] - logits[at, list(self.rivals)]).sum()


def _goal(vlm: VLM, answer: Answer, target: str) -> _Goal:
    if target == "decision":
        replay = Replay.of(vlm, answer, reply=answer.reply_ids[:1])
        with held(vlm):
            think, direct = _tokens(vlm, forward(vlm, replay, 2)[0])
        return _Goal(replay, answer.prompt_tokens, (think,), (direct,))
    if target not in TARGETS:
        raise InputError(f"target={target!r}", f"one of {', '.join(map(repr, (*TARGETS, 'decision')))}")
    replay = Replay.of(vlm, answer)
    span = replay.written if target == "reply" else answer.spans[target]
    if not len(span):
        raise InputError(f"target={target!r} with an answer that has none", "an answer with one, or 'reply'")
    goal = _Goal(replay, span.start, answer.token_ids[span.start : span.stop])
    with held(vlm):
        best = goal.logits(vlm).topk(2).indices.tolist()
    rivals = tuple(a if a != own else b for (a, b), own in zip(best, goal.ids, strict=True))
    return replace(goal, rivals=rivals)


def _tokens(vlm: VLM, scores: torch.Tensor) -> tuple[int, int]:
    found = decision_tokens(vlm, scores)
    if found is None:
        raise CapabilityError(
            f"{vlm.name}, which writes no thoughts", "a model that chooses whether to think"
        )
    return found


def _slopes(
    vlm: VLM, outs: Mapping[int, nn.Module], goal: _Goal, at: list[int], instead: Outputs
) -> tuple[float, Outputs, Outputs]:
    """The score; how each layer's outputs would change and the score's slope by them ``[places, width]``."""
    own: dict[int, torch.Tensor] = {}
    leaves: dict[int, torch.Tensor] = {}

    def reach(layer: int, given: torch.Tensor) -> torch.Tensor:
        own[layer], leaves[layer] = given.detach(), torch.zeros_like(given, requires_grad=True)
        return given + leaves[layer]

    with held(vlm, gradients=True), frozen(vlm.model), _projecting(outs, reach):
        score = goal.score(vlm)
        slopes = torch.autograd.grad(score, list(leaves.values()))
    changes = {layer: instead.get(layer, 0.0) - part[0, at].double().cpu() for layer, part in own.items()}
    by_layer = {layer: slope[0, at].double().cpu() for layer, slope in zip(leaves, slopes, strict=True)}
    return float(score.detach()), changes, by_layer


def _replaced(
    layer: int,
    given: torch.Tensor,
    *,
    which: int,
    at: list[int],
    part: slice,
    instead: torch.Tensor | None,
) -> torch.Tensor | None:
    """The outputs of block ``which`` with one head's replaced at some positions; the others as they are."""
    if layer != which:
        return None
    given = given.clone()
    given[:, at, part] = 0 if instead is None else instead[..., part].to(given)
    return given


def _means(vlm: VLM, outs: Mapping[int, nn.Module], replays: Sequence[Replay]) -> Outputs:
    """Mean output of all heads of each layer ``[heads * width]``, over all positions of some answers."""
    total: dict[int, torch.Tensor] = {}

    def add(layer: int, given: torch.Tensor) -> None:
        total[layer] = total.get(layer, 0.0) + given[0].double().sum(dim=0).cpu()

    with held(vlm), _projecting(outs, add):
        for replay in replays:
            forward(vlm, replay, 1)
    count = sum(replay.length for replay in replays)
    return {layer: part / count for layer, part in total.items()}


def _under(vlm: VLM, answer: Answer, outs: Mapping[int, nn.Module], goal: _Goal, other: ImageLike) -> Outputs:
    """The outputs of each layer ``[tokens, heads * width]`` when the first picture is another one."""
    picture = open_image(other)
    reply = goal.replay.inputs["input_ids"][0, answer.prompt_tokens :].tolist()
    swapped = Replay.of(vlm, answer, images=[picture, *answer.images[1:]], reply=reply)
    same_grid(answer, swapped, 0, picture.size)
    kept: dict[int, torch.Tensor] = {}

    def keep(layer: int, given: torch.Tensor) -> None:
        kept[layer] = given[0].double().cpu()

    with held(vlm), _projecting(outs, keep):
        forward(vlm, swapped, 1)
    return kept


def _projections(decoder: Decoder, name: str) -> dict[int, nn.Module]:
    """The output projection of each block's attention; blocks without attention have none."""
    found: dict[int, nn.Module] = {}
    for layer, block in enumerate(decoder.blocks):
        mixer = next((part for word in MIXERS if (part := getattr(block, word, None)) is not None), None)
        out = next((part for word in PROJECTIONS if (part := getattr(mixer, word, None)) is not None), None)
        if out is not None and not hasattr(out, "in_features"):
            raise _unknown(name, f"a linear projection of attention, not {type(out).__name__}")
        if out is not None:
            found[layer] = out
    if not found:
        raise _unknown(name, f"attention ({', '.join(MIXERS)}) with a projection ({', '.join(PROJECTIONS)})")
    return found


def _between(decoder: Decoder, name: str) -> dict[int, nn.Module]:
    """The norm in front of each block's MLP: what it gets is the stream behind the attention."""
    words = (NORMED, "post_attention_layernorm")
    found = {
        layer: part
        for layer, block in enumerate(decoder.blocks)
        if (part := next((p for w in words if (p := getattr(block, w, None)) is not None), None)) is not None
    }
    if len(found) < decoder.depth:
        raise _unknown(name, f"a norm ({', '.join(words)}) between attention and MLP")
    return found


def _unknown(name: str, expected: str) -> CapabilityError:
    return CapabilityError(f"{name}, whose blocks are of an unknown make", f"blocks with {expected}")


def _width(out: nn.Module, decoder: Decoder) -> int:
    """Numbers of one head's output."""
    return int(out.in_features) // decoder.n_heads


def _check_baseline(baseline: object) -> None:
    if isinstance(baseline, bool) or baseline not in (0, "mean"):
        raise InputError(f"baseline={baseline!r}", "0 or 'mean'")


@contextlib.contextmanager
def _projecting(modules: Mapping[int, nn.Module], change: Change) -> Iterator[None]:
    """Within this context ``change(layer, first argument)`` sees what modules get, and may give another."""

    def hook(layer: int) -> Callable[..., tuple | None]:
        def look(_: nn.Module, args: tuple) -> tuple | None:
            found = change(layer, args[0])
            return None if found is None else (found, *args[1:])

        return look

    handles = []
    try:
        for layer, module in modules.items():
            handles.append(module.register_forward_pre_hook(hook(layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()
