"""`plan`: what a model needs and what fits this device, before a byte of its weights is loaded."""

from __future__ import annotations

import html
import shutil
import tempfile
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..errors import CapabilityError, InputError
from .quiet import quiet_libraries
from .source import Source, parse_source

if TYPE_CHECKING:
    import pandas

    from .weights import Weights

__all__ = ["Plan", "PlanRow", "plan"]

PROMPT_TOKENS = 1000  # system prompt and question, besides the pictures
REPLY_TOKENS = 4096  # the reply length that Phi-4-reasoning-vision's authors report with
INT4_BITS = 4.5  # NF4 in blocks of 64 with a float32 scale; torchao's groups of 128 take 4.25
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
class Plan:
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


def plan(
    source: str | PathLike[str] = "nano",
    *,
    device: str = "auto",
    context: int | None = None,
    image_tokens: int | None = None,
    batch: int = 1,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Plan:
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
        >>> plan("microsoft/Phi-4-reasoning-vision-15B").advice  # doctest: +SKIP
    """
    for name, value in (("context", context), ("image_tokens", image_tokens), ("batch", batch)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"{name}={value!r}", "a whole number of at least 1")
    parsed = parse_source(source)
    if parsed.kind == "server":
        raise CapabilityError(
            f"plan({parsed.text!r}), a server",
            "a model that is loaded here",
            "ask the server: workbench.load(...)",
        )
    quiet_libraries()
    return plan_source(
        parsed,
        device=device,
        context=context,
        image_tokens=image_tokens,
        batch=batch,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )


def plan_source(
    source: Source,
    *,
    device: Any = "auto",
    context: int | None = None,
    image_tokens: int | None = None,
    batch: int = 1,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Plan:
    """`plan` of a source that was recognised already."""
    from .build import model_config, preprocessor_dict
    from .device import available_memory, pick_device, total_memory
    from .hub import hub_folder
    from .sizing import image_budget, kv_cache, prefill_activations, vision_activations
    from .weights import read_weights

    if source.kind == "hub":
        folder = hub_folder(source.repo, revision=revision, code=trust_remote_code, progress=False)
    else:
        folder = source.folder
    config = model_config(folder, trust_remote_code=trust_remote_code)
    weights = read_weights(source, folder, config, revision=revision)
    text = config.get_text_config()
    budget = image_budget(config, preprocessor_dict(folder), image_tokens)
    longest = getattr(text, "max_position_embeddings", None) or 10**9
    if context is not None and context > longest:
        raise InputError(f"context={context}", f"at most {longest} tokens, which this model was built for")
    context = context or min(budget.tokens + PROMPT_TOKENS + REPLY_TOKENS, longest)
    target = pick_device(device)

    def need(width: int) -> int:
        reading = vision_activations(config, budget, width=width, batch=batch)
        prompt = min(context, budget.tokens + PROMPT_TOKENS)
        prefill = prefill_activations(text, prompt, width=width, batch=batch)
        reserve = CUDA_RESERVE if target.type == "cuda" else 0
        return batch * kv_cache(text, context, width=width) + max(reading, prefill) + reserve

    made = Plan(
        source=source.text,
        model_type=config.model_type,
        device=str(target),
        free=available_memory(target),
        total=total_memory(target),
        parameters=weights.parameters,
        stored=weights.stored,
        stored_bytes=weights.stored_bytes,
        kv_per_1000=kv_cache(text, 1000, width=2),
        context=context,
        kv_cache=batch * kv_cache(text, context, width=2),
        image_tokens=budget.tokens,
        vision_activations=vision_activations(config, budget, width=2, batch=batch),
        batch=batch,
        rows=(),
        notes=weights.notes,
    )
    return replace(made, rows=_rows(made, weights, need, target))


def _rows(made: Plan, weights: Weights, need: Any, target: Any) -> tuple[PlanRow, ...]:
    """Every way to load the model, the most precise first."""
    from .device import SMALL
    from .quantize import quantizer_for

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


def _offload_row(made: Plan, half: str, weights: int, working: int) -> PlanRow:
    """What the device has no room for stays in main memory (CUDA) or on disk (CPU).

    ``working`` holds room for one layer and the largest tensor beside cache and activations.
    """
    from .memory import free_ram

    cuda = made.device.startswith("cuda")
    room = free_ram() if cuda else shutil.disk_usage(tempfile.gettempdir()).free
    here = min(made.free - working, weights)
    elsewhere = weights - max(0, here)
    note = (
        f"slow: {_size(elsewhere)} stay {'in memory' if cuda else 'on disk'}" if elsewhere else "not needed"
    )
    call = _call(made.source, made.device, {"offload": "cpu" if cuda else "disk"})
    return PlanRow(f"{half} + offload", weights, working, here > 0 and elsewhere <= room, call, note)


def _row(made: Plan, precision: str, weights: int, working: int, options: dict[str, str]) -> PlanRow:
    needed = weights + working
    short = needed - made.free
    note = f"{_size(short)} too much" if short > 0 else ""
    return PlanRow(precision, weights, needed, short <= 0, _call(made.source, made.device, options), note)


def _call(source: str, device: str, options: dict[str, str]) -> str:
    """The call that loads it so; the device is named where "auto" would take another."""
    from .device import pick_device

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
