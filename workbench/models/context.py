"""What fits: a prompt into the model's context, a reply into the device's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import ContextLengthError, OutOfMemoryError
from .device import available_memory
from .generate import DEFAULT_MAX_TOKENS
from .sizing import kv_cache

__all__ = ["context_length", "no_room", "reply_room"]


def context_length(config: Any) -> int | None:
    """Positions that a model was built for, prompt and reply together; None where it does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def reply_room(config: Any, *, prompt: int, image_tokens: int, max_tokens: int | None) -> int:
    """Most tokens that a reply to this prompt may have.

    Args:
        config: the model's config.
        prompt: tokens of the prompt.
        image_tokens: how many of them stand for pictures.
        max_tokens: what was asked for; None for `DEFAULT_MAX_TOKENS` or what there is room for.

    Raises:
        ContextLengthError: if it does not fit.  Nothing is ever cut off.
    """
    what = f"a prompt of {prompt} tokens ({image_tokens} of them for pictures)"
    shorter = "use fewer or smaller pictures, a shorter question, or less history"
    longest = getattr(config, "tokenizer_model_max_length", None)  # Phi-4-RV's own limit for prompts
    if longest is not None and prompt > longest:
        raise ContextLengthError(what, f"at most {longest} tokens in a prompt of this model", shorter)
    context = context_length(config)
    if context is None:
        return max_tokens or DEFAULT_MAX_TOKENS
    room = context - prompt
    if room < 1 or (max_tokens or 1) > room:
        asked = "" if max_tokens is None else f" and max_tokens={max_tokens}"
        fix = f"pass max_tokens={room}, or {shorter}" if room >= 1 else shorter
        raise ContextLengthError(what + asked, f"together at most {context} tokens for this model", fix)
    return max_tokens or min(DEFAULT_MAX_TOKENS, room)


def no_room(
    config: Any, prompts: Sequence[int], max_tokens: int, *, device: torch.device, dtype: torch.dtype
) -> OutOfMemoryError:
    """The error for replies that ran out of memory, saying what would fit.

    Call it when the memory has been freed.

    Args:
        config: the model's config.
        prompts: tokens of each prompt of the batch.
        max_tokens: most tokens of a reply.
        device: where it ran.
        dtype: precision of the cache.
    """
    rows, prompt = len(prompts), max(prompts)
    config, width = config.get_text_config(), dtype.itemsize
    need, free = kv_cache(config, prompt + max_tokens, width=width) * rows, available_memory(device)
    batch = f", {rows} at a time" if rows > 1 else ""
    given = (
        f"no room on {device} for {prompt} prompt tokens and up to {max_tokens} of reply{batch}: "
        f"the cache alone grows to {_gigabytes(need)}, and {_gigabytes(free)} are free now (the failed run's "
        "memory was given back)"
    )
    per_token = max(1, kv_cache(config, 1000, width=width) // 1000)
    fits = max(0, free // 2 // per_token)  # half for activations, which come and go
    expected = f"about {fits:,} tokens of prompt and reply together, in one conversation, would fit"
    if rows > 1:
        fix = f"pass batch_size={rows // 2}"
    else:
        fix = (
            "use a smaller max_tokens or smaller pictures (image_tokens= of workbench.load), or load it "
            "smaller: workbench.plan(...) shows quantize='int8', 'int4' and offload"
        )
    return OutOfMemoryError(given, expected, fix)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
