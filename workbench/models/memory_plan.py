"""`memory_plan`: what a model needs and what fits this device, before a byte of its weights is loaded.

Parameters are counted from a checkpoint's headers, or from its config alone; sizes are in bytes.  Weights
and cache are exact; activations are estimates of the peak (see `vision_activations` and
`prefill_activations`) and can be off by a factor of two.
"""

from __future__ import annotations

import html
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..errors import CapabilityError, InputError, LoadError, WorkbenchError
from ..html import framed
from ..names import verb
from .build import (
    issubclass_of_pretrained,
    model_class,
    model_config,
    preprocessor_dict,
    quantizer_for,
    reading,
)
from .device import SMALL, available_memory, pick_device, total_memory
from .memory import free_ram
from .sources import Source, folder_headers, hub_folder, hub_headers, parse_source

if TYPE_CHECKING:
    from transformers import PretrainedConfig

if TYPE_CHECKING:
    import pandas


__all__ = [
    "ImageBudget",
    "PARTS",
    "MemoryPlan",
    "PlanRow",
    "Weights",
    "config_shapes",
    "image_budget",
    "kv_cache",
    "part_of",
    "memory_plan",
    "prefill_activations",
    "quantizable",
    "read_weights",
    "vision_activations",
    "weight_bytes",
]


Estimate = TypeVar("Estimate")
PROMPT_TOKENS = 1000  # system prompt and question, besides the pictures
REPLY_TOKENS = 4096  # the reply length that Phi-4-reasoning-vision's authors report with
INT4_BITS = 4.5  # NF4 in blocks of 64 with a float32 scale; torchao's groups of 128 take 4.25
LEAST_AREA = 20_000  # pixels: a smaller "longest_edge" is an edge, a larger one an area
CUDA_RESERVE = 10**9  # bytes for the CUDA context, kernels' workspace and fragmentation


@dataclass(frozen=True)
class PlanRow:
    """One way to load a model; sizes in bytes.

    Args:
        precision: "float32", "bfloat16", "int8", "int4", or one with offload.
        weights: bytes of the weights (with offload: all of them, wherever they lie).
        on_device: bytes needed on the device: weights there, cache, activations, reserve.
        fits: whether that is free on the device now (and the rest elsewhere).
        call: the call that loads it so.
        note: why it does not fit, or what else it needs.
    """

    precision: str
    weights: int
    on_device: int
    fits: bool
    call: str
    note: str = ""


@dataclass(frozen=True)
class MemoryPlan:
    """What a model needs, and what fits one device; sizes in bytes.

    Args:
        source: the source as given.
        model_type: the config's ``model_type``.
        device: the device that the plan is for, with its ``free`` and ``total`` bytes.
        parameters: number of parameters by part.
        stored: precision of the weights on disk ("bfloat16"), and their bytes.
        kv_per_1000: bytes of the key-value cache for the first 1000 tokens of one sequence, 16-bit.
        context: tokens of one sequence that the plan makes room for, prompt and reply.
        kv_cache: bytes of the cache for ``batch`` sequences of ``context`` tokens, 16-bit.
        image_tokens: most decoder positions of one picture.
        vision_activations: estimated peak of the vision tower at that budget, 16-bit.
        batch: sequences at a time.
        rows: the ways to load it, the most precise first.
        notes: what the reader should know about the numbers.
    """

    source: str
    model_type: str
    device: str
    free: int
    total: int
    parameters: dict[str, int]
    stored: str
    stored_bytes: int
    kv_per_1000: int
    context: int
    kv_cache: int
    image_tokens: int
    vision_activations: int
    batch: int
    rows: tuple[PlanRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def total_parameters(self) -> int:
        """Parameters of all parts."""
        return sum(self.parameters.values())

    @property
    def best(self) -> PlanRow | None:
        """The most precise way that fits, or None."""
        return next((row for row in self.rows if row.fits), None)

    def row(self, precision: str) -> PlanRow:
        """The row of one precision.

        Raises:
            InputError: if the plan has no such row.
        """
        for row in self.rows:
            if row.precision == precision:
                return row
        raise InputError(f"precision {precision!r}", ", ".join(r.precision for r in self.rows))

    @property
    def advice(self) -> str:
        """Which call to make, in a sentence."""
        if self.best is None:
            return "Nothing fits: take a machine with more memory, a smaller model, or ask a server."
        return f"Call {self.best.call}"

    def frame(self) -> pandas.DataFrame:
        """The rows as a table, one line per way to load; sizes in GB (1e9 bytes)."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    "precision": row.precision,
                    "weights (GB)": round(row.weights / 1e9, 3),
                    "on device (GB)": round(row.on_device / 1e9, 3),
                    "fits": row.fits,
                    "call": row.call,
                    "note": row.note,
                }
                for row in self.rows
            ]
        )

    def _facts(self) -> list[tuple[str, str]]:
        parts = ", ".join(f"{part} {_count(n)}" for part, n in self.parameters.items() if n)
        return [
            ("parameters", f"{_count(self.total_parameters)} ({parts})"),
            ("on disk", f"{_size(self.stored_bytes)} in {self.stored}"),
            (
                "cache",
                f"{_size(self.kv_per_1000)} per 1000 tokens; {_size(self.kv_cache)} for {self._load()}",
            ),
            (
                "a picture",
                f"up to {self.image_tokens} tokens; about {_size(self.vision_activations)} while it is read",
            ),
            ("device", f"{self.device}, {_size(self.free)} free of {_size(self.total)}"),
        ]

    def _load(self) -> str:
        return f"{self.batch} x {self.context} tokens" if self.batch > 1 else f"{self.context} tokens"

    def __str__(self) -> str:
        lines = [f"{self.source} ({self.model_type})"]
        lines += [f"  {name:<11} {text}" for name, text in self._facts()]
        lines.append(f"  {'precision':<24} {'weights':>9} {'on device':>10}  fits  call")
        for row in self.rows:
            call = row.call + (f"   # {row.note}" if row.note else "")
            lines.append(
                f"  {row.precision:<24} {_size(row.weights):>9} {_size(row.on_device):>10}"
                f"  {'yes' if row.fits else 'no':<4}  {call}"
            )
        return "\n".join([*lines, *(f"  Note: {note}" for note in self.notes), f"  {self.advice}"])

    @framed
    def _repr_html_(self) -> str:
        def e(text: object) -> str:
            return html.escape(str(text))

        facts = "".join(
            f"<tr><th style='text-align:left'>{e(n)}</th><td>{e(t)}</td></tr>" for n, t in self._facts()
        )
        rows = "".join(
            f"<tr><td>{e(r.precision)}</td><td>{_size(r.weights)}</td><td>{_size(r.on_device)}</td>"
            f"<td>{'yes' if r.fits else 'no'}</td><td><code>{e(r.call)}</code></td><td>{e(r.note)}</td></tr>"
            for r in self.rows
        )
        head = "".join(f"<th>{h}</th>" for h in ("precision", "weights", "on device", "fits", "call", "note"))
        notes = "".join(f"<li>{e(note)}</li>" for note in self.notes)
        return (
            f"<div><b>{e(self.source)}</b> ({e(self.model_type)})<table>{facts}</table>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><ul>{notes}</ul>"
            f"<p>{e(self.advice)}</p></div>"
        )


@verb()
def memory_plan(
    source: str | PathLike[str] = "nano",
    *,
    device: str = "auto",
    context: int | None = None,
    image_tokens: int | None = None,
    batch: int = 1,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> MemoryPlan:
    """What a model needs and what fits this device; reads configs and headers, no weights.

    A folder that holds only a config is planned from the shapes that the config gives.

    Args:
        source: the built-in model, a folder or a Hub id.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        context: tokens of one sequence, prompt and reply; None: one picture at its budget, a
            prompt of 1000 tokens and a reply of 4096, as far as the model goes.
        image_tokens: most tokens of one picture; None: the model's own setting.
        batch: sequences at a time.
        revision: branch, tag or commit of a Hub repository.
        trust_remote_code: run the Python files of the repository to read its config.

    Raises:
        LoadError: if the source cannot be found or read; CheckpointError for broken weights.
        CapabilityError: for a server, whose memory cannot be seen from here.
        InputError: for a ``context``, ``image_tokens`` or ``batch`` below 1.

    Example:
        >>> memory_plan("microsoft/Phi-4-reasoning-vision-15B").advice  # doctest: +SKIP
    """
    for name, value in (("context", context), ("image_tokens", image_tokens), ("batch", batch)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value!r}", "a whole number of at least 1")
    parsed = parse_source(source)
    if parsed.kind == "server":
        raise CapabilityError(
            f"memory_plan({parsed.text!r}), a server",
            "a model that is loaded here",
            "ask the server: workbench.load(...)",
        )
    with reading(parsed.name, "planned"):
        return plan_of_source(
            parsed,
            device=device,
            context=context,
            image_tokens=image_tokens,
            batch=batch,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )


def plan_of_source(
    source: Source,
    *,
    device: object = "auto",
    context: int | None = None,
    image_tokens: int | None = None,
    batch: int = 1,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> MemoryPlan:
    """`memory_plan` of a source that was recognised already."""
    if source.kind == "hub":
        folder = hub_folder(source.repo, revision=revision, code=trust_remote_code, progress=False)
    else:
        folder = source.folder
    config = model_config(folder, trust_remote_code=trust_remote_code)
    weights = read_weights(source, folder, config, revision=revision)
    text, notes = config.get_text_config(), list(weights.notes)
    unknown = ImageBudget(image_tokens or PROMPT_TOKENS, image_tokens or PROMPT_TOKENS, False)

    def estimate(what: str, compute: Callable[[], Estimate], otherwise: Estimate) -> Estimate:
        """An estimate is advice: where a config is not understood, the plan says so and goes on."""
        try:
            return compute()
        except WorkbenchError:
            raise
        except Exception as error:  # whatever a config class of another make raises
            line = (str(error).strip().splitlines() or [""])[0][:120]
            note = f"{what} could not be estimated ({type(error).__name__}: {line})"
            if note not in notes:
                notes.append(note)
            return otherwise

    def cache(tokens: int, width: int) -> int:
        return estimate("the cache", lambda: kv_cache(text, tokens, width=width), 0)

    def seeing(width: int) -> int:
        def compute() -> int:
            return vision_activations(config, budget, width=width, batch=batch)

        return estimate("reading a picture", compute, 0)

    budget = estimate(
        "the tokens of a picture",
        lambda: image_budget(config, preprocessor_dict(folder), image_tokens),
        unknown,
    )
    longest = getattr(text, "max_position_embeddings", None) or 10**9
    if context is not None and context > longest:
        raise InputError(f"context={context}", f"at most {longest} tokens, which this model was built for")
    context = context or min(budget.tokens + PROMPT_TOKENS + REPLY_TOKENS, longest)
    target = pick_device(device)

    def need(width: int) -> int:
        prompt = min(context, budget.tokens + PROMPT_TOKENS)
        prefill = estimate(
            "reading the prompt", lambda: prefill_activations(text, prompt, width=width, batch=batch), 0
        )
        reserve = CUDA_RESERVE if target.type == "cuda" else 0
        return batch * cache(context, width) + max(seeing(width), prefill) + reserve

    made = MemoryPlan(
        source=source.text,
        model_type=config.model_type,
        device=str(target),
        free=available_memory(target),
        total=total_memory(target),
        parameters=weights.parameters,
        stored=weights.stored,
        stored_bytes=weights.stored_bytes,
        kv_per_1000=cache(1000, 2),
        context=context,
        kv_cache=batch * cache(context, 2),
        image_tokens=budget.tokens,
        vision_activations=seeing(2),
        batch=batch,
        rows=(),
    )
    return replace(made, rows=_rows(made, weights, need, target), notes=tuple(notes))


def _rows(made: MemoryPlan, weights: Weights, need: Any, target: Any) -> tuple[PlanRow, ...]:
    """Every way to load the model, the most precise first."""
    total, linear = made.total_parameters, weights.quantizable
    if weights.prequantized:
        return (_row(made, f"as stored ({weights.prequantized})", weights.stored_bytes, need(2), {}),)
    small = total < SMALL  # these compute in float32 unless told otherwise
    rows = []
    if small or weights.stored == "float32":
        rows.append(_row(made, "float32", 4 * total, need(4), {} if small else {"dtype": "float32"}))
    half = "float16" if weights.stored == "float16" and target.type != "cpu" else "bfloat16"
    rows.append(_row(made, half, 2 * total, need(2), {"dtype": half} if small else {}))
    width = 4 if small else 2
    for kind, bits in (("int8", 8), ("int4", INT4_BITS)):
        size = int(width * (total - linear) + linear * bits / 8)
        row = _row(made, kind, size, need(width), {"quantize": kind})
        if quantizer_for(kind, target) is None:
            needed = "torchao" if kind == "int8" else "bitsandbytes"
            row = replace(row, fits=False, note=f"needs {needed}: pip install {needed}")
        rows.append(row)
    if target.type != "mps":
        rows.append(_offload_row(made, half, 2 * total, need(2) + 2 * max(weights.largest, total // 50)))
    return tuple(rows)


def _offload_row(made: MemoryPlan, half: str, weights: int, working: int) -> PlanRow:
    """What the device has no room for stays in main memory (CUDA) or on disk (CPU).

    ``working`` holds room for one layer and the largest tensor beside cache and activations.
    """
    cuda = made.device.startswith("cuda")
    room = free_ram() if cuda else shutil.disk_usage(tempfile.gettempdir()).free
    here = min(made.free - working, weights)
    elsewhere = weights - max(0, here)
    note = (
        f"slow: {_size(elsewhere)} stay {'in memory' if cuda else 'on disk'}" if elsewhere else "not needed"
    )
    call = _call(made.source, made.device, {"offload": "cpu" if cuda else "disk"})
    return PlanRow(f"{half} + offload", weights, working, here > 0 and elsewhere <= room, call, note)


def _row(made: MemoryPlan, precision: str, weights: int, working: int, options: dict[str, str]) -> PlanRow:
    needed = weights + working
    short = needed - made.free
    note = f"{_size(short)} too much" if short > 0 else ""
    return PlanRow(precision, weights, needed, short <= 0, _call(made.source, made.device, options), note)


def _call(source: str, device: str, options: dict[str, str]) -> str:
    """The call that loads it so; the device is named where "auto" would take another."""
    if device != str(pick_device("auto")):
        options = {"device": device, **options}
    return "workbench.load(" + ", ".join([repr(source), *(f"{k}={v!r}" for k, v in options.items())]) + ")"


def _count(number: int) -> str:
    """A number of parameters, for reading: 14.7B, 86M, 12k."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def _size(size: int) -> str:
    """Bytes, for reading, in powers of 1000: 29.5 GB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if abs(size) >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


PARTS = ("decoder", "embeddings", "output head", "vision tower", "projector", "audio")
_PATTERNS = (  # the first that matches wins: a projector often lies inside the tower (Qwen's visual.merger)
    ("projector", r"projector|connector|merger|embed_vision|(^|\.)mlp1\.|image_newline|modality_projection"),
    ("vision tower", r"(^|\.)(vision\w*|visual\w*|image_encoder|vit|vpm)\."),
    ("audio", r"(^|\.)(audio\w*|embed_audio)\."),
    ("output head", r"(^|\.)lm_head\."),
    ("embeddings", r"(^|\.)(embed_tokens\w*|wte|word_embeddings|tok_embeddings)\."),
)


def part_of(tensor: str) -> str:
    """The part of the model that a tensor belongs to, by its name; one of `PARTS`."""
    return next((part for part, pattern in _PATTERNS if re.search(pattern, tensor)), "decoder")


def quantizable(tensor: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the weight of one of the decoder's linear layers.

    Experts are not: Transformers joins them into tensors that the quantizers leave alone.
    """
    linear = len(shape) == 2 and tensor.endswith("weight") and ".experts." not in tensor
    return linear and part_of(tensor) == "decoder"


def layer_configs(config: PretrainedConfig) -> list[PretrainedConfig]:
    """The config of each decoder layer: its own where layers differ (Gemma 4), else the text config."""
    own = getattr(config, "per_layer_config", None)
    return [config] * config.num_hidden_layers if own is None else list(own)


def kv_cache(config: PretrainedConfig, tokens: int, *, width: int) -> int:
    """Bytes of the key-value cache of one sequence of ``tokens`` tokens.

    Counts grouped key-value heads, layer by layer; layers with a sliding window or chunks hold no more
    than that, layers of linear attention nothing that grows, layers that share another's cache nothing.

    Args:
        config: the text config.
        tokens: length of the sequence, prompt and reply.
        width: bytes per number (2 for bfloat16).
    """
    layers = layer_configs(config)
    kinds = getattr(config, "layer_types", None) or [_kind(layer) for layer in layers]
    shared = getattr(config, "num_kv_shared_layers", None) or 0
    total = 0
    for kind, layer in zip(kinds[: len(layers) - shared], layers, strict=False):
        if any(word in kind for word in ("linear", "mamba", "conv", "moe", "mlp")):
            continue
        limit = "attention_chunk_size" if "chunked" in kind else "sliding_window" if "sliding" in kind else ""
        total += _cached_numbers(layer) * min(tokens, getattr(layer, limit, None) or tokens)
    return total * width


def _kind(layer: PretrainedConfig) -> str:
    """A layer's kind of attention, where the config has no list of them."""
    if getattr(layer, "sliding_window", None) and getattr(layer, "use_sliding_window", True):
        return "sliding_attention"
    return "chunked_attention" if getattr(layer, "attention_chunk_size", None) else "full_attention"


def _cached_numbers(layer: PretrainedConfig) -> int:
    """Numbers that a layer caches for one token."""
    heads = layer.num_attention_heads
    if getattr(layer, "kv_lora_rank", None):  # latent attention: Transformers caches the latent
        if type(layer).__module__.startswith("transformers."):
            return layer.kv_lora_rank + layer.qk_rope_head_dim
        return heads * (layer.qk_nope_head_dim + layer.qk_rope_head_dim + layer.v_head_dim)  # expanded
    head_dim = getattr(layer, "head_dim", None) or layer.hidden_size // heads
    return 2 * (getattr(layer, "num_key_value_heads", None) or heads) * head_dim


@dataclass(frozen=True)
class ImageBudget:
    """The most that one picture may cost.

    Args:
        tokens: decoder positions.
        patches: vision tower positions (more than tokens where patches are merged).
        adjustable: whether ``load(image_tokens=...)`` can change it.
    """

    tokens: int
    patches: int
    adjustable: bool


def image_budget(
    config: PretrainedConfig, preprocessor: Mapping[str, Any], image_tokens: int | None = None
) -> ImageBudget:
    """The image budget of a model, from its config and its preprocessor's settings.

    Three kinds of models: pictures of any size (one token per patch, or per merged square of
    patches), pictures cut into tiles of fixed size, and one fixed size.
    """
    vision = vision_config(config)
    side = _square(_get(vision, "image_size", "img_size"))
    merge = int(
        _get(vision, "spatial_merge_size")
        or _get(config, "spatial_merge_size")
        or preprocessor.get("merge_size")
        or 1
    )
    size = preprocessor.get("size") or {}
    longest = size.get("longest_edge") or 0
    # The same key is an area in Qwen's settings and an edge in those of others.
    most = preprocessor.get("max_pixels") or (longest if merge > 1 and longest >= LEAST_AREA else None)
    side = longest if 0 < longest < LEAST_AREA and merge > 1 else side
    patch = _square(preprocessor.get("patch_size")) or _square(_get(vision, "patch_size")) or 16
    naflex = preprocessor.get("max_num_patches") or _get(config, "max_num_patches")
    soft = preprocessor.get("max_soft_tokens")  # Gemma 4: any shape within this many tokens
    if soft:
        pooled = int(preprocessor.get("pooling_kernel_size") or _get(vision, "pooling_kernel_size") or 1)
        tokens = image_tokens or int(soft)
        return ImageBudget(tokens, tokens * pooled**2, True)
    if naflex or most:
        tokens = image_tokens or naflex or int(most or 0) // (patch * merge) ** 2
        return ImageBudget(tokens, tokens * merge**2, True)
    patches = ((side or 384) // patch) ** 2
    per_tile = _get(config, "mm_tokens_per_image", "image_seq_length")
    if not per_tile:
        stride = _get(vision, "hidden_stride")  # Ovis
        scale = int(_get(config, "scale_factor", "downsample_factor") or stride or merge)
        per_tile = patches // scale**2
    tiles = tile_count(config, preprocessor, side or 384)
    tokens = image_tokens or per_tile * tiles
    return ImageBudget(tokens, patches * tokens // per_tile, False)


def tile_count(config: PretrainedConfig, preprocessor: Mapping[str, Any], side: int) -> int:
    """Most tiles that one picture is cut into, the overview included; 1 where nothing is cut."""
    pinpoints = _get(config, "image_grid_pinpoints") or preprocessor.get("image_grid_pinpoints")
    if pinpoints:
        return 1 + max(math.ceil(h / side) * math.ceil(w / side) for h, w in pinpoints)
    if preprocessor.get("crop_to_patches") or preprocessor.get("max_patches"):
        return 1 + int(preprocessor.get("max_patches") or 12)
    if preprocessor.get("do_image_splitting"):
        longest = (preprocessor.get("size") or {}).get("longest_edge", side)
        tile = (preprocessor.get("max_image_size") or {}).get("longest_edge", side)
        return 1 + math.ceil(longest / tile) ** 2
    return 1


def vision_activations(config: PretrainedConfig, budget: ImageBudget, *, width: int, batch: int = 1) -> int:
    """Estimated peak bytes while the vision tower reads one picture at its budget.

    Per patch, in one layer at a time (inference, memory-efficient attention): the residual, its
    normalised copy, queries, keys, values and their mix (6 hidden widths), or residual and
    copy and the two ends of the nonlinearity (2 hidden + 2 inner widths), whichever is more;
    plus the pixels in float32.
    """
    vision = vision_config(config)
    hidden = _get(vision, "hidden_size", "embed_dim", "width") or 1152
    if _get(vision, "embed_dim") and _get(vision, "depth"):  # Qwen2-VL calls the output's width hidden_size
        hidden = _get(vision, "embed_dim")
    inner = _get(vision, "intermediate_size") or int(hidden * (_get(vision, "mlp_ratio") or 4))
    patch = _square(_get(vision, "patch_size")) or 16
    numbers = max(6 * hidden, 2 * hidden + 2 * inner) * width + 3 * patch**2 * 4
    return budget.patches * batch * numbers


def prefill_activations(config: PretrainedConfig, tokens: int, *, width: int, batch: int = 1) -> int:
    """Estimated peak bytes while the decoder reads ``tokens`` prompt tokens.

    Per token, in one layer at a time: residual and copy, queries, keys and values, keys and values
    repeated for every query head, and their mix; or residual and copy and four inner widths
    (gate, value, activated gate, product), whichever is more; plus the logits of the last position
    in float32.
    """

    def numbers(layer: PretrainedConfig) -> int:
        hidden, heads = layer.hidden_size, layer.num_attention_heads
        head_dim = getattr(layer, "head_dim", None) or hidden // heads
        kv = (getattr(layer, "num_key_value_heads", None) or heads) * head_dim
        inner = getattr(layer, "intermediate_size", None) or 4 * hidden
        return max(2 * hidden + 4 * heads * head_dim + 2 * kv, 2 * hidden + 4 * inner)

    widest = max(numbers(layer) for layer in layer_configs(config))
    return batch * (tokens * widest * width + 4 * config.vocab_size)


def vision_config(config: PretrainedConfig) -> Any:
    """The part of a config that describes the vision tower, or the config itself."""
    found = _get(config, "vision_config", "visual")
    return config if found is None else found


def _get(config: PretrainedConfig, *names: str) -> Any:
    """The first of these attributes (or keys) that is there and not None."""
    for name in names:
        value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
        if value is not None:
            return value
    return None


def _square(size: Any) -> int | None:
    """The longer edge of a size, which is a number, a pair, or a dictionary of height and width."""
    edges = list(size.values()) if isinstance(size, Mapping) else size
    edges = edges if isinstance(edges, (list, tuple)) else [edges]
    numbers = [int(edge) for edge in edges if isinstance(edge, (int, float)) and edge > 0]
    return max(numbers, default=None)


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers, each counted once; nothing for those that are offloaded.

    Transformers' ``get_memory_footprint`` counts torchao's quantized weights as wide as they compute;
    here their packed parts are counted, with their scales (bitsandbytes' too).
    """
    sizes: dict[int, int] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        for part in _parts(tensor):
            if part.device.type != "meta":
                storage = part.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def _parts(tensor: Any) -> Iterator[torch.Tensor]:
    """The plain tensors that a tensor holds: itself, or what a subclass packs."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor.detach()
        scales = getattr(getattr(tensor, "quant_state", None), "absmax", None)  # bitsandbytes
        if scales is not None:
            yield scales
        return
    for name in flatten()[0]:
        yield from _parts(getattr(tensor, name))


_DTYPE_NAMES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
}


@dataclass(frozen=True)
class Weights:
    """Sizes of a checkpoint's weights.

    Args:
        parameters: number of parameters by part.
        quantizable: how many of them a quantizer takes (the decoder's linear layers).
        stored: precision on disk, PyTorch's name; of most bytes where it is mixed.
        stored_bytes: bytes on disk.
        largest: parameters of the largest tensor.
        prequantized: method by which they are stored quantized, or "".
        notes: what the reader should know about the numbers.
    """

    parameters: dict[str, int]
    quantizable: int
    stored: str
    stored_bytes: int
    largest: int
    prequantized: str = ""
    notes: tuple[str, ...] = ()


def read_weights(source: Source, folder: Path, config: PretrainedConfig, *, revision: str | None) -> Weights:
    """Count a checkpoint's parameters from its headers, or from its config where it has no weights."""
    tensors = hub_headers(source.repo, revision=revision) if source.kind == "hub" else folder_headers(folder)
    notes: list[str] = []
    if tensors:
        shapes = {name: info.shape for name, info in tensors.items()}
        sizes: dict[str, int] = {}
        for info in tensors.values():
            sizes[info.dtype] = sizes.get(info.dtype, 0) + info.nbytes
        stored, stored_bytes = (
            _DTYPE_NAMES.get(top := max(sizes, key=lambda name: sizes[name]), top),
            sum(sizes.values()),
        )
    else:
        shapes = config_shapes(config, folder)
        stored = str(getattr(config, "dtype", None) or "bfloat16").removeprefix("torch.")
        stored_bytes = sum(math.prod(s) for s in shapes.values()) * (4 if stored == "float32" else 2)
        notes.append("no weights here: the sizes follow from the config alone")
    parameters = dict.fromkeys(PARTS, 0)
    for name, shape in shapes.items():
        parameters[part_of(name)] += math.prod(shape)
    method = (getattr(config, "quantization_config", None) or {}).get("quant_method", "")
    if method:
        notes.append(f"stored quantized ({method}): parameters count packed numbers")
    return Weights(
        parameters=parameters,
        quantizable=sum(math.prod(s) for name, s in shapes.items() if quantizable(name, s)),
        stored=stored,
        stored_bytes=stored_bytes,
        largest=max((math.prod(s) for s in shapes.values()), default=0),
        prequantized=str(method),
        notes=tuple(notes),
    )


def config_shapes(config: PretrainedConfig, folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all parameters that a config describes; the model is built without memory.

    Raises:
        CapabilityError: for a class outside Transformers, whose code would have to run.
        LoadError: for a config that no model can be built from.
    """
    cls = model_class(config, folder)
    if not issubclass_of_pretrained(cls):
        raise CapabilityError(f"{folder.name} has no weights here and its own code", "a folder with weights")
    try:
        with torch.device("meta"):
            model = cls(config)
    except Exception as error:  # whatever the parts of a model raise about numbers that do not fit
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise LoadError(
            f"config.json of {folder.name} describes no {config.model_type} model that can be built "
            f"({type(error).__name__}: {line})",
            "a config whose numbers fit one another",
        ) from error
    return {name: tuple(p.shape) for name, p in model.named_parameters()}
