"""What a picture costs: tokens, floating-point operations, bytes of cache, and milliseconds on one machine

Operations are counted as `torch.utils.flop_counter` counts them: two for each multiply-add of matrix products
and attention, attention as the full square (kernels that skip the masked half do less).  Norms, rotations and
activations are left out; they are below 1% at the shapes of real models.

Milliseconds from operations: rates fitted to measurements on one machine, with the error on other sizes
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..names import verb
from ..provenance import hardware
from .resolution import FEEDINGS, MERGE, SCALES, Feed

if TYPE_CHECKING:
    import pandas


__all__ = ["Cost", "Shape", "Timing", "calibrate", "cost", "cost_table"]


@dataclass(frozen=True)
class Shape:
    """What of a model determines its cost; `Shape.of` reads it from a config.

    Args:
        vision_hidden, vision_inner, vision_layers: the tower, layers as far as they run.
        patch: side of a patch, in pixels.
        hidden, inner, layers, heads, kv_heads, vocabulary: the decoder.
    """

    vision_hidden: int
    vision_inner: int
    vision_layers: int
    patch: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int

    @classmethod
    def of(cls, source: object) -> Shape:
        """The shape of a model of Phi-4-reasoning-vision's classes.

        Args:
            source: a `Phi4RVConfig`, a model with one, or a folder with the published config.json.

        Raises:
            InputError: for anything else.
        """
        config = getattr(source, "config", source)
        if isinstance(source, (str, Path)):
            from ..models.phi4_rv import Phi4RVConfig  # torch: costs of a shape are reckoned without it

            config = Phi4RVConfig.from_pretrained(source)
        if not (hasattr(config, "text_config") and hasattr(config, "vision_config")):
            raise InputError(f"a {type(source).__name__}", "a Phi4RVConfig, its model, or a folder with one")
        text, vision = config.text_config, config.vision_config
        return cls(
            vision_hidden=vision.hidden_size,
            vision_inner=vision.intermediate_size,
            vision_layers=vision.num_hidden_layers - 1,  # the last never runs
            patch=vision.patch_size,
            hidden=text.hidden_size,
            inner=text.intermediate_size,
            layers=text.num_hidden_layers,
            heads=text.num_attention_heads,
            kv_heads=text.num_key_value_heads,
            vocabulary=text.vocab_size,
        )

    def tower(self, views: Iterable[int]) -> tuple[int, int]:
        """Operations of the tower for views of so many patches: (linear layers, attention)."""
        width, counts = self.vision_hidden, list(views)
        layer = 8 * width**2 + 4 * width * self.vision_inner
        linear = sum(counts) * (2 * 3 * self.patch**2 * width + self.vision_layers * layer)
        return linear, sum(self.vision_layers * 4 * n**2 * width for n in counts)

    def projector(self, tokens: int, method: str = "dynamic_resolution") -> int:
        """Operations of the projector, whose input is wider with S2."""
        wide = {"dynamic_s2": len(SCALES) * MERGE**2, "multi_crop_s2": len(SCALES)}.get(method, 1)
        return 2 * tokens * (wide * self.vision_hidden * self.hidden + self.hidden**2)

    def decoder(self, tokens: int, *, past: int = 0, logits: int = 1) -> tuple[int, int]:
        """Operations of the decoder for ``tokens`` new tokens after ``past``: (linear layers, attention)."""
        width = self.hidden
        keys = width // self.heads * self.kv_heads
        layer = 2 * width * (2 * width + 2 * keys) + 6 * width * self.inner
        linear = tokens * self.layers * layer + 2 * logits * width * self.vocabulary
        return linear, self.layers * 4 * tokens * (past + tokens) * width

    def kv_bytes(self, tokens: int, *, width: int = 2) -> int:
        """Bytes of the key-value cache of one sequence; ``width`` bytes a number."""
        return 2 * self.layers * (self.hidden // self.heads) * self.kv_heads * tokens * width


@dataclass(frozen=True)
class Cost:
    """What one prompt with a picture costs.

    Args:
        method: how the picture is fed.
        tokens: image tokens.
        prompt: all tokens of the prompt.
        reply: tokens of the reply.
        tower_flops, projector_flops, decoder_flops: operations to read the prompt.
        reply_flops: operations to write the reply.
        kv_bytes: bytes of the cache of prompt and reply.
        first_ms: milliseconds to the first token, on the machine of the timing; None without one.
        reply_ms: milliseconds for the rest of the reply; None likewise.
    """

    method: str
    tokens: int
    prompt: int
    reply: int
    tower_flops: int
    projector_flops: int
    decoder_flops: int
    reply_flops: int
    kv_bytes: int
    first_ms: float | None = None
    reply_ms: float | None = None

    @property
    def label(self) -> str:
        """The method's label in the published table."""
        return FEEDINGS[self.method]

    @property
    def prompt_flops(self) -> int:
        """Operations to read the prompt."""
        return self.tower_flops + self.projector_flops + self.decoder_flops

    def to_dict(self) -> dict[str, Any]:
        """As plain values, with the label and the sum of operations."""
        return {"label": self.label, **asdict(self), "prompt_flops": self.prompt_flops}


def cost(
    shape: object,
    feed: Feed,
    *,
    text: int = 100,
    reply: int = 0,
    width: int = 2,
    timing: Timing | None = None,
) -> Cost:
    """The cost of one prompt with one picture.

    Args:
        shape: a `Shape`, or what `Shape.of` takes.
        feed: how the picture is fed, from `resolution.feed`.
        text: tokens of the prompt besides the picture.
        reply: tokens written.
        width: bytes a number of the cache (2 for bfloat16).
        timing: from `timing.calibrate`, for milliseconds.

    Raises:
        InputError: for a negative number of tokens, or no model's shape.

    Example:
        >>> cost("data/phi4_rv_15b", feed((3840, 2160), 3600, method="dynamic_resolution")).kv_bytes
    """
    if text < 0 or reply < 0:
        raise InputError(f"text={text}, reply={reply}", "numbers of tokens, from 0")
    found = shape if isinstance(shape, Shape) else Shape.of(shape)
    prompt = text + feed.tokens
    # The first token of the reply comes from reading the prompt; the last is never read.
    steps = [sum(found.decoder(1, past=prompt + i)) for i in range(max(0, reply - 1))]
    views = [view.rows * view.cols for view in feed.views]
    steps_read = max(0, reply - 1)
    return Cost(
        method=feed.method,
        tokens=feed.tokens,
        prompt=prompt,
        reply=reply,
        tower_flops=sum(found.tower(views)),
        projector_flops=found.projector(feed.tokens, feed.method),
        decoder_flops=sum(found.decoder(prompt)),
        reply_flops=sum(steps),
        kv_bytes=found.kv_bytes(prompt + steps_read, width=width),
        first_ms=None
        if timing is None
        else timing.first_ms(found, views, method=feed.method, tokens=feed.tokens, prompt=prompt),
        reply_ms=None if timing is None else timing.reply_ms(found, prompt, steps=steps_read),
    )


def cost_table(shape: object, feeds: Iterable[Feed], **options: Any) -> pandas.DataFrame:
    """One row per plan with the fields of `Cost`, ``label`` and ``prompt_flops``; options as of `cost`."""
    import pandas

    found = shape if isinstance(shape, Shape) else Shape.of(shape)
    return pandas.DataFrame([cost(found, plan, **options).to_dict() for plan in feeds])


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

    def first_ms(self, shape: Shape, views: Sequence[int], *, method: str, tokens: int, prompt: int) -> float:
        """Milliseconds to read a prompt: views of so many patches, image tokens, all tokens."""
        linear, attention = shape.decoder(prompt)
        tower = _dot(self.seconds[:3], (1, *shape.tower(views)))
        projector = self.seconds[4] * shape.projector(tokens, method)
        return 1000 * (tower + projector + _dot(self.seconds[3:], (1, linear, attention)))

    def reply_ms(self, shape: Shape, prompt: int, *, steps: int) -> float:
        """Milliseconds for so many steps after the prompt; for the shape that was calibrated only."""
        fixed, per_token = self.step_seconds
        return 1000 * sum(fixed + per_token * (prompt + i) for i in range(steps))


@verb(repeats="n_repeats")
def calibrate(
    model: object,
    *,
    sizes: Sequence[int] = (64, 256, 576, 1024),
    held_out: Sequence[int] = (144, 400, 784),
    n_repeats: int = 5,
    clock: str = "processor",
) -> Timing:
    """Fit the rates of a model on this machine, and try them on sizes that were not fitted.

    Args:
        model: a `Phi4RVForConditionalGeneration`, where and as it shall run.
        sizes, held_out: square numbers of patches; the decoder reads prompts of as many tokens.
        n_repeats: measurements a size; the least counts.
        clock: "wall" or "processor".

    Raises:
        InputError: for fewer than three sizes, sizes that are not square, no repeats or an unknown clock.
    """
    if len(set(sizes)) < 3 or any(round(n**0.5) ** 2 != n or n < 1 for n in (*sizes, *held_out)):
        raise InputError(f"sizes={tuple(sizes)}", "three square numbers or more, such as 64, 256, 576")
    if n_repeats < 1 or clock not in _CLOCKS:
        raise InputError(f"n_repeats={n_repeats}, clock={clock!r}", f"1 or more, and {' or '.join(_CLOCKS)}")
    shape = Shape.of(model)
    measured = _measure(model, (*sizes, *held_out), n_repeats, _CLOCKS[clock])
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
    model: object, sizes: Sequence[int], n_repeats: int, clock: Callable[[], float]
) -> dict[int, list[float]]:
    """Least seconds of tower, prompt and one step at each size; in rounds, so that all share the noise."""
    best = {n: [float("inf")] * 3 for n in sizes}
    for number in range(n_repeats + 1):
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
