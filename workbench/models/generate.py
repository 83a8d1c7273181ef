"""The one engine that makes replies: Transformers' ``generate`` with our hand on every step.

`ReplyControl` stands at both ends of a step: before a token is chosen it reads ``p_think`` from the
raw scores, forces what a mode or a budget asks for, and samples from its own random generator; after
it, it notes the token, feeds the reader, and ends rows.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from .control import DEFAULT_MAX_TOKENS, Interrupted, OnPieces, ReplyControl, Row, Settings
from .families import Encoded

__all__ = ["DEFAULT_MAX_TOKENS", "ReplyControl", "Row", "Settings", "run_generation"]

# A checkpoint may ship sampling settings of its own.  Each is set to what leaves the scores alone, so
# that temperature 0 is plain greedy decoding and p_think comes from the model's own distribution.
NEUTRAL: dict[str, Any] = {
    "do_sample": False, "num_beams": 1, "num_return_sequences": 1, "use_cache": True, "temperature": 1.0,
    "top_k": 50, "top_p": 1.0, "min_p": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0,
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "length_penalty": 1.0, "return_dict_in_generate": False, "output_scores": False,
    "output_attentions": False, "output_hidden_states": False,
}  # fmt: skip


class _Choose(LogitsProcessor):
    def __init__(self, control: ReplyControl) -> None:
        self.control = control

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return self.control.choose(scores)


class _Note(StoppingCriteria):
    def __init__(self, control: ReplyControl) -> None:
        self.control = control

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        done = self.control.note(input_ids[:, -1].tolist())
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def run_generation(
    model: PreTrainedModel,
    encoded: Encoded,
    rows: Sequence[Row],
    settings: Settings,
    *,
    tokenizer: Any,
    device: torch.device,
    stop: threading.Event,
    on_pieces: OnPieces | None = None,
    around: Sequence[contextlib.AbstractContextManager[Any]] = (),
) -> None:
    """Write the rows' replies; returns when all are done or ``stop`` is set.

    Args:
        model: a Transformers model that generates.
        encoded: the prompts, left-padded.
        rows: one per prompt; they are filled in.
        settings: how to reply.
        tokenizer: for the ids that end and pad a reply.
        device: where the model takes its inputs.
        stop: set it, from any thread, to end within one layer's computation.
        on_pieces: called with a row's number and its new pieces, in this thread.
        around: context managers that are open while the model runs (to capture what happens inside).
    """
    eos = end_ids(model, tokenizer)
    control = ReplyControl(encoded, rows, settings, eos=eos, stop=stop, on_pieces=on_pieces)
    config = GenerationConfig(
        **NEUTRAL,
        max_new_tokens=max(row.max_tokens for row in rows),
        eos_token_id=sorted(eos),
        pad_token_id=pad_id(model, tokenizer, eos),
        disable_compile=bool(around),  # a compiled step would run past what looks inside
    )
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":  # the current device is a thread's own
            stack.enter_context(torch.cuda.device(device))
        for manager in (interruptible(model, stop), *around):
            stack.enter_context(manager)
        with contextlib.suppress(Interrupted):
            model.generate(
                **on_device(encoded.inputs, device, model.dtype),
                generation_config=config,
                logits_processor=LogitsProcessorList([_Choose(control)]),
                stopping_criteria=StoppingCriteriaList([_Note(control)]),
            )
    control.finish()


@contextlib.contextmanager
def interruptible(model: torch.nn.Module, stop: threading.Event) -> Iterator[None]:
    """Look at ``stop`` before every layer, so that a long prefill need not run to its end.

    Raises:
        Interrupted: inside the model's forward pass, in the thread that opened this context.
    """
    thread = threading.get_ident()

    def look(*_: Any) -> None:
        if stop.is_set() and threading.get_ident() == thread:
            raise Interrupted

    stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 1]
    handles = [layer.register_forward_pre_hook(look) for layers in stacks for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def on_device(
    inputs: dict[str, torch.Tensor], device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The model's inputs on its device; pixels in its precision."""
    return {
        name: tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
        for name, tensor in inputs.items()
    }


def end_ids(model: PreTrainedModel, tokenizer: Any) -> set[int]:
    """Ids that end a reply: those that the checkpoint names, and the tokenizer's."""
    named = model.generation_config.eos_token_id
    ids = set(named) if isinstance(named, (list, tuple)) else {named}
    return {int(i) for i in (*ids, tokenizer.eos_token_id) if i is not None}


def pad_id(model: PreTrainedModel, tokenizer: Any, eos: set[int]) -> int:
    """The id that fills a row that is done."""
    for found in (model.generation_config.pad_token_id, tokenizer.pad_token_id, *sorted(eos)):
        if found is not None:
            return int(found)
    return 0
