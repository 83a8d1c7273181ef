"""Milliseconds from operations: rates fitted to measurements on one machine, with the error on other sizes"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from .cost import Shape

__all__ = ["Timing", "calibrate"]

TERMS = ("tower_fixed", "tower_linear", "tower_attention", "fixed", "linear", "attention")
_CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True)
class Timing:
    """Seconds as a sum: fixed, by operation in linear layers, and in attention, of tower and of decoder.

    Args:
        seconds: for each of `TERMS`: seconds, or seconds per operation.
        step_seconds: for one step of the reply: fixed, and per token in the cache.
        clock: "wall", or "processor" (processor time, which other work on the machine disturbs less).
        held_out: relative errors on sizes that were not fitted, as (what, size, measured ms, predicted ms).
        machine: hardware and versions.
    """

    seconds: tuple[float, ...]
    step_seconds: tuple[float, float]
    clock: str
    held_out: tuple[tuple[str, int, float, float], ...]
    machine: dict[str, Any]

    @property
    def errors(self) -> list[float]:
        """Relative error on each held-out size."""
        return [abs(predicted / measured - 1) for _, _, measured, predicted in self.held_out]

    def first_ms(self, shape: Shape, views: Sequence[int], method: str, tokens: int, prompt: int) -> float:
        """Milliseconds to read a prompt: views of so many patches, image tokens, all tokens."""
        linear, attention = shape.decoder(prompt)
        tower = _dot(self.seconds[:3], (1, *shape.tower(views)))
        projector = self.seconds[4] * shape.projector(tokens, method)
        return 1000 * (tower + projector + _dot(self.seconds[3:], (1, linear, attention)))

    def reply_ms(self, shape: Shape, prompt: int, steps: int) -> float:
        """Milliseconds for so many steps after the prompt; for the shape that was calibrated only."""
        fixed, per_token = self.step_seconds
        return 1000 * sum(fixed + per_token * (prompt + i) for i in range(steps))


def calibrate(
    model: Any,
    *,
    sizes: Sequence[int] = (64, 256, 576, 1024),
    held_out: Sequence[int] = (144, 400, 784),
    repeats: int = 5,
    clock: str = "processor",
) -> Timing:
    """Fit the rates of a model on this machine, and try them on sizes that were not fitted.

    Args:
        model: a `Phi4RVForConditionalGeneration`, where and as it shall run.
        sizes, held_out: square numbers of patches; the decoder reads prompts of as many tokens.
        repeats: measurements a size; the least counts.
        clock: "wall" or "processor".

    Raises:
        InputError: for fewer than three sizes, sizes that are not square, no repeats or an unknown clock.
    """
    if len(set(sizes)) < 3 or any(round(n**0.5) ** 2 != n or n < 1 for n in (*sizes, *held_out)):
        raise InputError(f"sizes={tuple(sizes)}", "three square numbers or more, such as 64, 256, 576")
    if repeats < 1 or clock not in _CLOCKS:
        raise InputError(f"repeats={repeats}, clock={clock!r}", f"1 or more, and {' or '.join(_CLOCKS)}")
    from ..train.card import hardware
    from .cost import Shape

    shape = Shape.of(model)
    measured = _measure(model, (*sizes, *held_out), repeats, _CLOCKS[clock])
    tower = _fit([(1, *shape.tower([n])) for n in sizes], [measured[n][0] for n in sizes])
    decoder = _fit([(1, *shape.decoder(n)) for n in sizes], [measured[n][1] for n in sizes])
    step = _fit([(1, n) for n in sizes], [measured[n][2] for n in sizes])
    tried = []
    for n in held_out:
        found = (
            _dot(tower, (1, *shape.tower([n]))), _dot(decoder, (1, *shape.decoder(n))), _dot(step, (1, n))
        )  # fmt: skip
        for what, seen, predicted in zip(("tower", "prompt", "step"), measured[n], found, strict=True):
            tried.append((what, n, 1000 * seen, 1000 * predicted))
    return Timing((*tower, *decoder), (step[0], step[1]), clock, tuple(tried), hardware())


def _measure(
    model: Any, sizes: Sequence[int], repeats: int, clock: Callable[[], float]
) -> dict[int, list[float]]:
    """Least seconds of tower, prompt and one step at each size; in rounds, so that all share the noise."""
    best = {n: [float("inf")] * 3 for n in sizes}
    for number in range(repeats + 1):
        for n in sizes:
            seen = _round(model, n, clock)
            if number:  # the first warms up
                best[n] = [min(pair) for pair in zip(best[n], seen, strict=True)]
    return best


def _round(model: Any, n: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of tower, prompt and one step at ``n`` patches or tokens."""
    import torch

    config, device = model.config, model.device
    side, patch = round(n**0.5), config.vision_config.patch_size
    pixels = {
        "pixel_values": torch.zeros(1, n, 3 * patch**2, dtype=model.dtype, device=device),
        "pixel_attention_mask": torch.ones(1, n, dtype=torch.long, device=device),
        "spatial_shapes": torch.tensor([[side, side]], device=device),
    }
    ids = torch.full((1, n), config.text_config.vocab_size - 1, device=device)
    marks = []

    def mark() -> None:
        _wait(device)
        marks.append(clock())

    with torch.inference_mode():
        mark()
        model.model.vision_tower(**pixels)
        mark()
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        mark()
        model(input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
        mark()
    return [after - before for before, after in zip(marks, marks[1:], strict=False)]


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _fit(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Non-negative rates that bring the *relative* errors to their least squares."""
    from scipy.optimize import nnls

    terms, target = np.array(rows, dtype=float), np.array(seconds)
    scale = terms.max(0)
    found, _ = nnls(terms / scale / target[:, None], np.ones(len(target)))
    return [float(value) for value in found / scale]


def _dot(rates: Sequence[float], terms: Sequence[float]) -> float:
    return float(sum(rate * term for rate, term in zip(rates, terms, strict=True)))
