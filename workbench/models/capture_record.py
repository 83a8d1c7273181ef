"""From what a capture kept to the records of its replies: padding cut off, plainly causal masks left out"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..attention import Attention, LayerStore
from ..errors import CapabilityError
from ..types import Span, TokenLayout
from .capture import Capture
from .capture_layers import DecoderLayer

__all__ = ["attention_record", "to_numpy", "token_texts"]


def attention_record(
    capture: Capture,
    number: int,
    *,
    prompt: int,
    padded: int,
    reply: int,
    layout: TokenLayout,
    texts: Sequence[str],
    spans: Mapping[str, Span] | None = None,
    tower: Attention | None = None,
    model: str = "",
) -> Attention:
    """The record of one row of a captured batch.

    Args:
        capture: what was kept.
        number: the row.
        prompt, padded: tokens of its prompt, alone and with the batch's padding on the left.
        reply: tokens of its reply; the last one was chosen, and never read.
        layout: where the row's pictures stand.
        texts: text of each token of prompt and reply.
        spans: parts of the reply.
        tower: the vision tower's record for its pictures.
        model: name of the model.

    Raises:
        CapabilityError: if no attention came by, or of a kind that is not understood.
    """
    layers = list(capture.decoder.values())
    if not layers:
        raise CapabilityError(
            "a model whose attention does not go through Transformers' AttentionInterface",
            "one of the families of workbench, or a model that runs under sdpa",
        )
    pad, positions = padded - prompt, prompt + reply - 1
    tokens = Span(1 if capture.prompt_rows else prompt, prompt + reply)
    first = tokens.start - 1 + pad  # position of the first row's query
    masks: list[np.ndarray] = []
    known: dict[tuple[Any, ...], int | None] = {}
    store = []
    for layer in layers:
        key = (layer.window, *(id(step.mask) for step in layer.steps))
        if key not in known:
            mask = _visible(layer, number, first, len(tokens), pad + positions)[:, pad:]
            plain = np.array_equal(mask, np.tri(len(tokens), positions, tokens.start - 1, dtype=bool))
            known[key] = None if plain else len(masks)
            masks += [] if plain else [mask]
        skip = first - layer.steps[0].first
        queries = layer.all_queries()[number, :, skip : skip + len(tokens)]
        keys = layer.all_keys()[number, :, pad : pad + positions]
        store.append(LayerStore(to_numpy(queries), to_numpy(keys), layer.scale, known[key]))
    return Attention(
        store=tuple(store),
        layout=layout,
        texts=tuple(texts),
        tokens=tokens,
        masks=tuple(masks),
        tower=tower,
        spans=dict(spans or {}),
        model=model,
    )


def _visible(layer: DecoderLayer, number: int, first: int, count: int, positions: int) -> np.ndarray:
    """Where a row's queries might look, batch padding included, bool ``[count, positions]``."""
    out = np.zeros((count, positions), dtype=bool)
    at = np.arange(positions)
    for step in layer.steps:
        rows = np.arange(step.first, step.first + step.kept)
        inside = (rows >= first) & (rows < first + count)
        if not inside.any():
            continue
        seen = (at <= rows[:, None]) & (at >= step.offset)
        if layer.window is not None:
            seen &= at > rows[:, None] - layer.window
        if step.mask is not None:
            own = _as_bool(step.mask[min(number, len(step.mask) - 1)])
            stop = min(positions, step.offset + own.shape[-1])
            told = np.zeros((step.kept, positions), dtype=bool)
            told[:, step.offset : stop] = own[..., : stop - step.offset]
            seen = seen & told if own.ndim == 1 else told
        out[rows[inside] - first] = seen[inside]
    return out


def _as_bool(mask: torch.Tensor) -> np.ndarray:
    """A mask of one row of a batch: ``[keys]``, or ``[queries, keys]`` out of ``[1, queries, keys]``."""
    if mask.ndim == 3 and len(mask) != 1:
        raise CapabilityError("a mask that differs between heads", "one mask for all heads of a layer")
    mask = mask[0] if mask.ndim == 3 else mask
    if mask.dtype != torch.bool and mask.ndim == 2:
        shut = mask <= torch.finfo(mask.dtype).min / 2
        if bool(((mask != 0) & ~shut).any()):
            raise CapabilityError("a mask that adds a bias to the scores", "a mask that says yes or no")
        mask = ~shut
    return mask.bool().cpu().numpy()


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A copy in main memory, in its own precision; bfloat16 as its raw bits in uint16."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16).copy()
    if tensor.dtype not in (torch.float16, torch.float32):
        tensor = tensor.float()
    return np.array(tensor.numpy(), copy=True)


def token_texts(tokenizer: Any, prompt: Sequence[int], reply: Sequence[int]) -> list[str]:
    """Text of each token alone; in the reply with the spaces that decoding all of it would give.

    A character that several tokens spell is given to the last of them.
    """
    once = {token: tokenizer.decode([token]) for token in set(prompt)}
    texts = [once[token] for token in prompt]
    done = 0  # reply tokens before it are settled
    for stop in range(1, len(reply) + 1):
        before = tokenizer.decode(list(reply[max(0, done - 1) : done])) if done else ""
        text = tokenizer.decode(list(reply[max(0, done - 1) : stop]))
        if text.endswith("\ufffd") and stop < len(reply):
            texts.append("")
            continue
        texts.append(text[len(before) :] if text.startswith(before) else tokenizer.decode([reply[stop - 1]]))
        done = stop
    return texts
