"""The logit lens: hidden states of words and patches, read through the final norm and the output head"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ..answer import Answer
from ..errors import CapabilityError, InputError
from ..models.vlm import VLM
from ..names import verb
from ..types import Mode
from .lens_record import LogitLens
from .replay import Decoder, Replay, forward, held, reading
from .targets import Place, positions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["decision_tokens", "logit_lens", "token_texts"]

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}  # of the scores' size; 16-bit precision rounds more
COARSE = 5e-2


@verb()
def logit_lens(vlm: VLM, answer: Answer, *, k: int = 5, place: Place = "all", chunk: int = 256) -> LogitLens:
    """Read what every position says at every layer (logit lens; nostalgebraist 2020).

    The answer is run through the model once more, with its reply given.  As the stream of hidden states
    passes a layer, the final norm and the output head turn it into scores of ``chunk`` positions at a
    time, of which the best ``k`` are kept: memory does not grow with the vocabulary times the positions.

    ``lens.decision`` follows the choice to think at the first position of the reply, before any mode is
    forced: a row for each layer with ``think`` and ``other`` (the token that opens a thought; the token
    after which the model answers directly, or, where there is none, the best other one at the last layer),
    ``p_think``, ``p_other``, and ``log_odds``, the difference of their scores in nats.

    Args:
        vlm: the model that gave the answer.
        answer: any answer with a reply.
        k: how many tokens to keep of each position and layer.
        place: which positions to read; see `workbench.interpret.targets`.  The first position of the
            reply is always read.
        chunk: positions at a time; lower it where memory is short.

    Raises:
        CapabilityError: for a server, or a model whose scores are not its head over its final norm.
        InputError: for an answer of another model, an empty one, or a place or number that is out of range.
        OutOfMemoryError: if the device has no room.
    """
    replay = Replay.of(vlm, answer)
    vocabulary = vlm.model.get_output_embeddings().weight.shape[0]
    if isinstance(k, bool) or not 1 <= k <= vocabulary or chunk < 1:
        raise InputError(f"k={k}, chunk={chunk}", f"k from 1 to {vocabulary}, chunk of at least 1")
    first = answer.prompt_tokens - 1
    at = sorted({*positions(answer, place), first})
    decoder = Decoder(vlm)
    reader = _Reader(decoder, at, replay.inputs["input_ids"][0], k=k, chunk=chunk, first=first)
    with held(vlm), reading(decoder, reader.take):
        own = forward(vlm, replay, 1)[0].float().cpu()
    error = _check(vlm, reader.last, own)
    decision = _decision(vlm, reader)
    ids = {*answer.token_ids, *np.unique(reader.top_ids).tolist()}
    return LogitLens(
        answer=answer,
        positions=np.asarray(at),
        top_ids=reader.top_ids,
        top_probabilities=reader.top_probabilities,
        next_log_probabilities=reader.next_log_probabilities,
        next_ranks=reader.next_ranks,
        words=token_texts(vlm.tokenizer, sorted(ids)),
        decision=decision,
        error=error,
        model=vlm.name,
    )


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> dict[int, str]:
    """The text of each token; of one that is only part of a character, the tokenizer's own name for it."""
    known = len(tokenizer)
    texts = {}
    for token in ids:
        text = tokenizer.decode([token], skip_special_tokens=False) if token < known else f"<{token}>"
        texts[token] = tokenizer.convert_ids_to_tokens(token) if "\ufffd" in text else text
    return texts


class _Reader:
    """Takes the stream layer by layer and keeps the little that a `LogitLens` holds."""

    def __init__(
        self, decoder: Decoder, at: list[int], ids: torch.Tensor, *, k: int, chunk: int, first: int
    ) -> None:
        self.decoder, self.k, self.chunk = decoder, k, chunk
        self.at, self.first, self.end = torch.tensor(at), at.index(first), len(ids) - 1
        self.following = ids.cpu().roll(-1)[self.at]
        shape = (decoder.depth + 1, len(at))
        self.top_ids = np.zeros((*shape, k), dtype=np.int32)
        self.top_probabilities = np.zeros((*shape, k), dtype=np.float32)
        self.next_log_probabilities = np.full(shape, np.nan, dtype=np.float32)
        self.next_ranks = np.full(shape, -1, dtype=np.int32)
        self.choice: list[torch.Tensor] = []  # scores [vocabulary] of the reply's first position, by layer
        self.last = torch.empty(0)  # scores [vocabulary] of the sequence's end at the last layer

    def take(self, layer: int, stream: torch.Tensor) -> None:
        """Read one layer of the stream ``[1, tokens, hidden]``."""
        for start in range(0, len(self.at), self.chunk):
            part = slice(start, start + self.chunk)
            scores = self.decoder.scores(stream[0, self.at[part].to(stream.device)]).float()
            self._keep(layer, part, scores)
            if part.start <= self.first < part.start + self.chunk:
                self.choice.append(scores[self.first - part.start].cpu())
        if layer == self.decoder.depth:
            self.last = self.decoder.scores(stream[0, -1:])[0].float().cpu()

    def _keep(self, layer: int, part: slice, scores: torch.Tensor) -> None:
        total = scores.logsumexp(dim=-1, keepdim=True)
        best = scores.topk(self.k, dim=-1)
        self.top_ids[layer, part] = best.indices.cpu().numpy()
        self.top_probabilities[layer, part] = (best.values - total).exp().cpu().numpy()
        own = scores.gather(-1, self.following[part].to(scores.device)[:, None])
        there = (self.at[part] < self.end).numpy()
        self.next_log_probabilities[layer, part] = np.where(there, (own - total)[:, 0].cpu().numpy(), np.nan)
        self.next_ranks[layer, part] = np.where(there, (scores > own).sum(dim=-1).cpu().numpy(), -1)


def _check(vlm: VLM, mine: torch.Tensor, own: torch.Tensor) -> float:
    """How far the lens at the last layer is from the model's own scores; far means that it reads nonsense."""
    error = float((mine - own).abs().max())
    if error > TOLERANCE.get(vlm.dtype, COARSE) * max(1.0, float(own.abs().max())):
        raise CapabilityError(
            f"{vlm.name}, whose scores differ by {error:.2g} from its output head over its final norm",
            "a model whose scores are its output head over its final norm",
        )
    return error


def _decision(vlm: VLM, reader: _Reader) -> pd.DataFrame | None:
    scores = torch.stack(reader.choice)  # [layers + 1, vocabulary]
    chosen = decision_tokens(vlm, scores[-1])
    if chosen is None:
        return None
    think, direct = chosen
    chances = torch.softmax(scores, dim=-1)
    names = token_texts(vlm.tokenizer, [think, direct])
    return pd.DataFrame(
        {
            "layer": range(len(scores)),
            "think": names[think],
            "other": names[direct],
            "p_think": chances[:, think].double().numpy(),
            "p_other": chances[:, direct].double().numpy(),
            "log_odds": (scores[:, think] - scores[:, direct]).double().numpy(),
        }
    )


def decision_tokens(vlm: VLM, scores: torch.Tensor) -> tuple[int, int] | None:
    """The token that opens a thought and the one that it is chosen over; None for a family without thoughts.

    Args:
        vlm: the model.
        scores: ``[vocabulary]`` at the reply's first position; the best other token is taken from them where
            the family begins no direct answer with a token of its own.
    """
    think, direct = _openers(vlm)
    if think is None:
        return None
    if direct is None:
        direct = next(token for token in scores.topk(2).indices.tolist() if token != think)
    return think, direct


def _openers(vlm: VLM) -> tuple[int | None, int | None]:
    """First tokens of a thought and of a direct answer, where the family has one."""

    def first(text: str) -> int | None:
        ids = vlm.tokenizer.encode(text, add_special_tokens=False) if text else []
        return ids[0] if ids else None

    rule = vlm.family.modes.get(Mode.NOTHINK)
    think, direct = first(vlm.family.thought[0]), first(rule.forced if rule else "")
    return think, None if direct == think else direct
