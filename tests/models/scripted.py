"""A tiny model whose replies are written by the test, so that thoughts, budgets and ends really happen.

The random checkpoint computes as usual; a forward hook then raises the score of the token that the
script asks for.  A script is a function of what was generated so far, forced tokens included, so it
reacts to a closed thought as a trained model would.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from workbench.models.load import load
from workbench.models.vlm import VLM

CHECKPOINT = Path(__file__).parents[1] / "data" / "phi4_rv_tiny" / "checkpoint"
PICTURE = CHECKPOINT.parent / "goldens" / "b_square" / "image_0.png"
THINK, CLOSE, DIRECT, END, PAD = 506, 507, 504, 498, 505
Script = Callable[[list[int], list[int]], int]


def tiny(**options) -> VLM:
    """The tiny checkpoint on the CPU; other options give another handle, that a test may unload."""
    return load(CHECKPOINT, device="cpu", progress=False, **options)


def ids(vlm: VLM, text: str) -> list[int]:
    """Token ids of plain text."""
    return vlm.tokenizer.encode(text, add_special_tokens=False)


def thinker(
    thought: Sequence[int], answer: Sequence[int], *, opens: bool = True, ends: bool = True
) -> Script:
    """A model that thinks if it is let, and answers; with ``ends=False`` it never stops."""

    def script(prompt: list[int], done: list[int]) -> int:
        if not done:
            return THINK if opens else DIRECT
        if THINK in done and CLOSE not in done:
            at = len(done) - done.index(THINK) - 1
            return thought[at] if at < len(thought) else CLOSE
        begun = done[done.index(CLOSE) + 1 :] if CLOSE in done else done[1:]
        if len(begun) < len(answer):
            return answer[len(begun)]
        return END if ends else answer[len(begun) % len(answer)]

    return script


@contextlib.contextmanager
def replies(vlm: VLM, script: Script) -> Iterator[None]:
    """Within this context the model writes what the script says."""
    rows: list[tuple[list[int], list[int]]] = []

    def steer(module: torch.nn.Module, args: tuple, kwargs: dict, output):
        new = kwargs["input_ids"].tolist()
        if len(new[0]) > 1:
            rows[:] = [([i for i in row if i != PAD], []) for row in new]
        else:
            for (_, done), row in zip(rows, new, strict=True):
                done.append(row[0])
        for number, (prompt, done) in enumerate(rows):
            output.logits[number, -1, script(prompt, list(done))] += 1e4
        return output

    handle = vlm.model.register_forward_hook(steer, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
