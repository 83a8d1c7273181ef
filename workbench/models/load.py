"""`load`: from a source to a model that can be asked."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CapabilityError, CheckpointError, InputError, LoadError, OutOfMemoryError
from ..files import local_path
from ..names import verb
from .build import (
    adapter_base,
    attach_adapter,
    build_model,
    build_processor,
    is_adapter,
    model_class,
    model_config,
    progress_bar,
    quantization_config,
    reading,
)
from .device import is_out_of_memory, pick_attention, pick_device, pick_dtype, release_memory
from .families import FamilySpec, family_named, family_of
from .families.prompt import chat_template_of
from .families.thinking import check_thought
from .memory import free_ram
from .memory_plan import MemoryPlan, PlanRow, plan_of_source
from .sources import Source, folder_headers, hub_folder, parse_source, shard_files
from .vlm import VLM, Model

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = ["load"]

OFFLOADS = (None, "cpu", "disk")
_handles: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()
_lock = threading.RLock()  # two cells that load the same model get one


@verb()
def load(
    source: str | PathLike[str] = "nano",
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    quantize: str | None = None,
    attention: str = "auto",
    family: str | None = None,
    adapter: str | PathLike[str] | None = None,
    thought: tuple[str, str] | None = None,
    template: Mapping[str, Any] | None = None,
    image_tokens: int | tuple[int, int] | None = None,
    offload: str | None = None,
    force: bool = False,
    trust_remote_code: bool = False,
    revision: str | None = None,
    model: str | None = None,
    api_key: str | None = None,
    timeout: float = 300.0,
    progress: bool = True,
) -> Model:
    """Make a model ready to be asked.

    The same arguments give the same handle as long as it is in use and not unloaded (a
    checkpoint that changed on disk is loaded anew).  Only safetensors are read.

    Args:
        source: "nano" or "nano-2" (built in), a folder in the Hub's layout, a Hub id "owner/name",
            or the address of an OpenAI-compatible server, which can be asked but not looked into.
        device: "auto" (CUDA, then MPS, then CPU), or a device's name.
        dtype: "auto" (float32 for small models, else as stored or bfloat16), or a precision.
        quantize: None, "int8" or "int4": the decoder's linear layers in fewer bits.
        attention: "auto" (SDPA), "sdpa", "eager", "flex_attention" or "flash_attention_2".
        family: name of a family, where the model's config does not tell.
        adapter: folder of a LoRA adapter for the model, as PEFT saves it.  A source that is such a
            folder is loaded onto the base model that it names.
        thought: the texts that open and close a thought, where the checkpoint does not show them.
        template: variables that the chat template gets in every mode (``vlm.modes`` says which switch
            it reads by itself).
        image_tokens: most decoder tokens of one picture, or (least, most).
        offload: None, or "cpu" or "disk" for what the device has no room for.  Slow.
        force: load even where `memory_plan` says that it does not fit.
        trust_remote_code: run Python files that come with the model.  Read them first.
        revision: branch, tag or commit of a Hub repository.
        model: name of the model on a server that has several.
        api_key: key for a server; none is ever taken from the environment.
        timeout: seconds that a server may stay silent.
        progress: show a bar over the shards.

    Raises:
        LoadError: if the source cannot be found, recognised or loaded; CheckpointError for
            missing, extra, wrongly shaped or corrupt weights, or weights only in pickle files.
        OutOfMemoryError: if the plan says that it does not fit; the message holds the plan.
        CapabilityError: for a quantization or attention that this device does not have.
        ServerError: if a server is down or does not speak the protocol.
    """
    parsed = parse_source(source)
    if parsed.kind == "server":
        from .server import ServerVLM  # brings an HTTP client, which a model that is loaded here never needs

        _refuse_for_server(
            dtype=dtype != "auto", quantize=quantize, attention=attention != "auto", offload=offload,
            device=str(device) != "auto", adapter=adapter, thought=thought, template=template,
            image_tokens=image_tokens, revision=revision,
        )  # fmt: skip
        return ServerVLM(parsed.url, model=model, api_key=api_key, timeout=timeout, family=family)
    _refuse_for_model(parsed, model=model, api_key=api_key, offload=offload)
    check_thought(thought, template)
    parsed, adapter = _with_adapter(parsed, adapter)
    target = pick_device(device)
    attention = pick_attention(attention, target)
    options = {
        "dtype": dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch."),
        "quantize": quantize,
        "attention": attention,
        "family": family,
        "adapter": adapter,
        "thought": None if thought is None else tuple(thought),
        "template": None if template is None else dict(template),
        "image_tokens": image_tokens,
        "offload": offload,
        "trust_remote_code": trust_remote_code,
        "revision": revision,
    }
    return _handle(parsed, target, options, force=force, progress=progress)


def _handle(
    source: Source, target: torch.device, options: dict[str, Any], *, force: bool, progress: bool
) -> VLM:
    """The handle for these options that is in use, or a new one."""
    with _lock:
        key = (*_identity(source), str(target), *map(repr, options.values()))
        key += _files(Path(options["adapter"])) if options["adapter"] else ()
        handle = _handles.get(key)
        if handle is None or not handle.loaded:
            with reading(source.name, "loaded"):
                handle = _load(source, target, options, force=force, progress=progress)
            _handles[key] = handle
        return handle


def _load(
    source: Source, target: torch.device, options: dict[str, Any], *, force: bool, progress: bool
) -> VLM:
    """Plan, refuse what does not fit, read the weights, and put the handle together."""
    trust, revision = options["trust_remote_code"], options["revision"]
    if source.kind == "hub":
        folder = hub_folder(source.repo, revision=revision, code=trust, progress=progress)
    elif revision is not None:
        raise InputError(f"revision={revision!r} with a folder", "revision= belongs to a Hub id")
    else:
        folder = source.folder
    config = model_config(folder, trust_remote_code=trust)
    model_class(config, folder, trust_remote_code=trust)  # a model without pictures is refused here
    least, most = _image_budget(options["image_tokens"])

    def planned() -> MemoryPlan:
        return plan_of_source(
            source, device=target, image_tokens=most, revision=revision, trust_remote_code=trust
        )

    made = planned()
    dtype = pick_dtype(
        options["dtype"],
        target,
        stored=getattr(torch, made.stored, torch.bfloat16),
        parameters=made.total_parameters,
    )
    spec = family_named(options["family"]) if options["family"] else family_of(config)
    quantization = _quantization(config, spec, options, target, dtype)
    if not force and too_large(made, dtype, options["quantize"], options["offload"]):
        release_memory()  # a handle that nobody holds any more may still wait for collection
        made = planned()
        if why := too_large(made, dtype, options["quantize"], options["offload"]):
            raise _too_big(made, why)
    if source.kind == "hub":
        folder = hub_folder(source.repo, revision=revision, weights=True, code=trust, progress=progress)
        folder_headers(folder)  # what was fetched is whole
    shards = shard_files(folder)
    if not shards:
        raise CheckpointError(f"no weights in {folder}", "model.safetensors, or shards with their index")
    processor = build_processor(folder, config, trust_remote_code=trust)
    spec = spec.for_processor(
        processor, source.name, thought=options["thought"], template=options["template"]
    )
    if spec.needs_template and chat_template_of(processor) is None:
        raise LoadError(
            f"{source.text!r} holds no chat template, without which {spec.name} answers differently",
            "chat_template.jinja, or a chat_template in tokenizer_config.json",
            "copy it from the original model's repository",
        )
    if most is not None:
        processor = spec.with_image_tokens(processor, most, least)
    placement, scratch = _placement(options["offload"], target, made)

    def build() -> Any:
        with progress_bar(source.name, len(shards), show=progress):
            model = build_model(
                folder,
                config,
                dtype=dtype,
                attention=options["attention"],
                quantization=quantization,
                trust_remote_code=trust,
                **placement,
            )
        return model if options["adapter"] is None else attach_adapter(model, Path(options["adapter"]))

    handle = VLM(
        model=_unless_out_of_memory(build, made),
        processor=processor,
        family=spec,
        source=source.text,
        name=source.name,
        reload=_call(source, target, options),
    )
    handle.load_options = dict(options)
    if scratch is not None:  # what is offloaded to disk is needed as long as the handle
        weakref.finalize(handle, scratch.cleanup)
    return handle


def _with_adapter(source: Source, adapter: str | PathLike[str] | None) -> tuple[Source, str | None]:
    """The base model and the adapter's folder; a source that is an adapter's folder names its base.

    Raises:
        InputError: for an adapter that is no adapter's folder.
    """
    if adapter is not None:
        folder = local_path(adapter, "adapter")
        if not is_adapter(folder):
            raise InputError(
                f"adapter={str(adapter)!r}", "a folder with adapter_config.json, as PEFT saves it"
            )
        return source, str(folder.resolve())
    if source.kind == "folder" and is_adapter(source.folder):
        return parse_source(adapter_base(source.folder)), str(source.folder)
    return source, None


def _image_budget(asked: object) -> tuple[int | None, int | None]:
    """(least, most) tokens of a picture, from a number, a pair or None."""
    pair = (None, asked) if not isinstance(asked, (tuple, list)) else tuple(asked)
    numbers = [n for n in pair if n is not None]
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in numbers)
    if len(pair) != 2 or not whole or (len(numbers) == 2 and numbers[0] > numbers[1]):
        raise InputError(f"image_tokens={asked!r}", "a whole number of at least 1, or (least, most)")
    return pair


def _quantization(
    config: PretrainedConfig,
    spec: FamilySpec,
    options: dict[str, Any],
    target: torch.device,
    dtype: torch.dtype,
) -> Any:
    """The quantizer's configuration; None where nothing is to be quantized."""
    if options["quantize"] and getattr(config, "quantization_config", None):
        raise InputError(
            f"quantize={options['quantize']!r} with a checkpoint that is stored quantized",
            "quantize=None",
            "leave it out, or load the original checkpoint",
        )
    if options["quantize"] and options["offload"]:
        raise CapabilityError(
            f"quantize={options['quantize']!r} with offload={options['offload']!r}",
            "one of the two",
            "quantize, or keep full precision and offload",
        )
    keep = (spec.vision_tower, spec.projector)
    text = config.get_text_config()
    widths = (text.hidden_size, getattr(text, "intermediate_size", None))
    return quantization_config(options["quantize"], device=target, dtype=dtype, keep=keep, widths=widths)


def _unless_out_of_memory(build: Callable[[], Any], made: MemoryPlan) -> Any:
    """The model, or an error that says what would fit, raised when the memory is free again."""
    try:
        return build()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release_memory()  # the exception and its frames, which held the tensors, are gone
    raise _too_big(made, f"{made.source!r} ran out of memory on {made.device} while it was loaded")


def too_large(made: MemoryPlan, dtype: torch.dtype, quantize: str | None, offload: str | None) -> str:
    """Why what was asked for has no room on the plan's device; "" if it has."""
    row = _asked_row(made, dtype, quantize, offload)
    # Large models have no row of their own for float32: everything is twice as wide.
    wide = dtype == torch.float32 and row.precision in ("bfloat16", "float16")
    need = row.on_device * (2 if wide else 1)
    if row.fits and need <= made.free:
        return ""
    precision = "float32" if wide else row.precision
    return f"{made.source!r} in {precision} needs {need / 1e9:.3g} GB on {made.device}"


def _asked_row(made: MemoryPlan, dtype: torch.dtype, quantize: str | None, offload: str | None) -> PlanRow:
    """The plan's row for what was asked for; the nearest where there is none."""
    wanted = [quantize or str(dtype).removeprefix("torch."), "bfloat16", "float16"]
    rows = {row.precision: row for row in made.rows}
    if offload:
        return made.rows[-1]
    return next((rows[name] for name in wanted if name in rows), made.rows[0])


def _too_big(made: MemoryPlan, given: str) -> OutOfMemoryError:
    return OutOfMemoryError(
        given,
        f"something that fits {made.free / 1e9:.3g} GB:\n{made}\n",
        f"{made.advice.rstrip('.')}; or pass force=True to try all the same",
    )


def _placement(
    offload: str | None, target: torch.device, made: MemoryPlan
) -> tuple[dict[str, Any], tempfile.TemporaryDirectory[str] | None]:
    """Where Transformers puts the modules, and the folder for what goes to disk."""
    if offload is None:
        return {"device_map": {"": str(target)}}, None
    if offload == "cpu" and target.type != "cuda":
        raise CapabilityError(f"offload='cpu' on {target}", "a CUDA device", "pass offload='disk', or none")
    index: Any = (target.index or 0) if target.type == "cuda" else target.type
    limits: dict[Any, int] = {index: _room(made)}
    if offload == "cpu":
        limits["cpu"] = int(0.9 * free_ram())
    scratch = tempfile.TemporaryDirectory(prefix="workbench-offload-")
    return {"device_map": "auto", "max_memory": limits, "offload_folder": scratch.name}, scratch


def _room(made: MemoryPlan) -> int:
    """Bytes of the device that offloading may fill with weights."""
    return max(0, made.free - made.rows[-1].on_device)


def _identity(source: Source) -> tuple[Any, ...]:
    """What makes a source the same: a Hub id, or a folder with unchanged files."""
    if source.kind == "hub":
        return ("hub", source.repo)
    return ("folder", str(source.folder), *_files(source.folder))


def _files(folder: Path) -> tuple[Any, ...]:
    """What changes when a checkpoint's files do."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".jinja"))
    return tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in files)


def _call(source: Source, target: torch.device, options: dict[str, Any]) -> str:
    """The call that gives this handle, for messages."""
    defaults = {"dtype": "auto", "attention": pick_attention("auto", target), "trust_remote_code": False}
    given = {k: v for k, v in options.items() if v != defaults.get(k)}
    return "workbench.load(" + ", ".join([repr(source.text), *(f"{k}={v!r}" for k, v in given.items())]) + ")"


def _refuse_for_model(source: Source, *, offload: str | None, **of_servers: str | None) -> None:
    """Options of a server make no sense for a model that is loaded here.

    Raises:
        InputError: naming the one that was given, or for another kind of offload.
    """
    for name, value in of_servers.items():
        if value is not None:
            fix = f"workbench.load({value!r})" if name == "model" else ""
            raise InputError(f"{name}= with {source.text!r}", f"{name}= belongs to a server's address", fix)
    if offload not in OFFLOADS:
        raise InputError(f"offload={offload!r}", "None, 'cpu' or 'disk'")


def _refuse_for_server(**given: Any) -> None:
    """Options of a local model make no sense for a server.

    Raises:
        CapabilityError: naming those that were given.
    """
    names = [name for name, value in given.items() if value]
    if names:
        raise CapabilityError(
            ", ".join(f"{name}=" for name in names) + " with a server",
            "options of the request only: model=, api_key=, timeout=, family=",
            "set these where the server is started",
        )
