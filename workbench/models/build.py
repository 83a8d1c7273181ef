"""From a folder to the Transformers objects: config, model and processor, each with clear errors.

Transformers' video processors need torchvision.  A machine without it can still show images to a model
whose processor merely *has* a video part: that part is left out.

Weights in 8 or 4 bits are made while loading, by kept libraries (torchao, bitsandbytes), and only in the
linear layers of the decoder, where nearly all the weights are.  The vision tower, the projector and the
output head stay in full precision; they are small, and rounding them costs accuracy at fine print first.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig

from ..errors import (
    CapabilityError,
    CheckpointError,
    InputError,
    LoadError,
    WorkbenchError,
    matching_torchvision,
)
from .device import is_out_of_memory
from .sources import read_config, read_header

__all__ = [
    "QUANTIZATIONS",
    "build_model",
    "build_processor",
    "load_processor",
    "model_class",
    "model_config",
    "progress_bar",
    "quantization_config",
    "quantizer_for",
    "reading",
]


NATIVE = "phi4-siglip"  # model_type of Phi-4-reasoning-vision
MOST_LAYERS = 10_000
_BAR_DELAY = 1.0  # seconds before a bar shows; small models load faster than one can be read


def native() -> ModuleType:
    """The native classes of Phi-4-reasoning-vision; the Auto classes know them from then on."""
    from . import phi4_rv  # brings SigLIP's and Phi-3's classes, which no other model needs

    return phi4_rv


@contextmanager
def reading(name: str, doing: str) -> Iterator[None]:
    """Turn what the libraries raise over a broken checkpoint into an error that names it.

    Args:
        name: the checkpoint.
        doing: what could not be done with it, as a participle ("loaded").

    Raises:
        CheckpointError: from whatever the libraries raised, a lack of memory apart; what a hook of the user's
            raises keeps its type.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or not _of_a_library(error):
            raise
        raise CheckpointError(
            f"{name} could not be {doing} ({type(error).__name__}: {_line(error)})",
            "a checkpoint whose files are whole and belong together",
            "take the files as they were published; if they are, report this",
        ) from error


def _of_a_library(error: Exception) -> bool:
    """Whether an error was raised by the libraries or here, and not by code that a user hung into them."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] in _LIBRARIES


_LIBRARIES = (
    *("torch", "transformers", "tokenizers", "huggingface_hub", "safetensors", "accelerate", "peft"),
    *("workbench", "PIL", "numpy", "jinja2", "json", "copy", "dataclasses", "pathlib", "math"),
)


def model_config(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """A folder's config as its Transformers class.

    Raises:
        LoadError: if the folder has no readable config, or Transformers does not know its type.
    """
    raw = read_config(folder)
    _check_depth(raw, folder)
    try:
        if raw["model_type"] == NATIVE:
            config = native().Phi4RVConfig.from_pretrained(folder)
        else:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:
        if raw["model_type"] == NATIVE or raw["model_type"] in transformers.CONFIG_MAPPING:
            raise LoadError(
                f"config.json of {folder.name} describes no {raw['model_type']} model ({_line(error)})",
                "a config that Transformers can read",
            ) from error
        raise unknown_type(raw, folder) from error
    _steer_no_more(config)
    return config


def _check_depth(raw: object, folder: Path) -> None:
    """Refuse a config with more layers than any model has: each becomes an object before anything is checked.

    Raises:
        LoadError: naming the field.
    """
    for name, value in raw.items() if isinstance(raw, dict) else ():
        if (
            isinstance(value, (int, float))
            and value > MOST_LAYERS
            and name.endswith(("layers", "n_layer", "depth"))
        ):
            raise LoadError(
                f"config.json of {folder.name} with {name}={value!r}", f"at most {MOST_LAYERS:,} layers"
            )
        _check_depth(value, folder)


# What a published config says about how to load and run, which the caller says here; the kernels named
# there may even be fetched and run.
_STEERING = ("attn_implementation", "experts_implementation")
_RETURNS = {"return_dict": True, "output_attentions": False, "output_hidden_states": False}


def _steer_no_more(config: PreTrainedConfig) -> None:
    """Forget what a config and its parts say about how to load and run the model."""
    parts = {
        id(part): part for part in (config, *vars(config).values()) if isinstance(part, PreTrainedConfig)
    }
    for part in parts.values():
        for name in _STEERING:
            vars(part).pop(name, None)
            vars(part).pop(f"_{name}", None)
            if f"_{name}_internal" in vars(part):
                vars(part)[f"_{name}_internal"] = None
        for name, value in _RETURNS.items():
            if name in vars(part):
                setattr(part, name, value)


def unknown_type(raw: dict[str, Any], folder: Path) -> LoadError:
    """The error for a model type that this version of Transformers does not carry."""
    version = transformers.__version__
    given = f"{folder.name} has model_type {raw['model_type']!r}, unknown to transformers {version}"
    if raw.get("auto_map"):
        fix = (
            "read its Python files; if you trust them pass trust_remote_code=True, or ask it through a server"
        )
    else:
        fix = "pip install --upgrade transformers, or ask it through a server: workbench.load('http://...')"
    return LoadError(given, "a vision-language model that Transformers carries", fix)


def model_class(config: PreTrainedConfig, folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The class (or Auto class) that builds this model.

    Raises:
        LoadError: if it is no model that takes pictures and gives text.
    """
    if config.model_type == NATIVE:
        return native().Phi4RVForConditionalGeneration
    if type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    auto_map = getattr(config, "auto_map", None) or {}
    if trust_remote_code:
        for name in (
            "AutoModelForImageTextToText",
            "AutoModelForVision2Seq",
            "AutoModelForCausalLM",
            "AutoModel",
        ):
            if name in auto_map and hasattr(transformers, name):
                return getattr(transformers, name)
    raise LoadError(
        f"{folder.name} is a {config.model_type} model, which takes no pictures",
        "an image-text-to-text model",
        "load a vision-language model"
        + (", or pass trust_remote_code=True if you trust it" if auto_map else ""),
    )


def build_model(
    folder: Path,
    config: PreTrainedConfig,
    *,
    dtype: torch.dtype,
    attention: str,
    device_map: object,
    quantization: object = None,
    trust_remote_code: bool = False,
    **more: Any,
) -> torch.nn.Module:
    """Load the weights; every tensor of the model must come from the checkpoint.

    (The native class compares its headers with the architecture first, and takes no unknown tensor.)

    Raises:
        CheckpointError: if a tensor is missing, has another shape or could not be converted.
        CapabilityError: if the model cannot run with this attention.
    """
    cls = model_class(config, folder, trust_remote_code=trust_remote_code)
    _check_attention(cls, attention, config)
    # Only Auto classes take the flag; for a class of Transformers there is no remote code.
    remote = {"trust_remote_code": True} if trust_remote_code and not issubclass_of_pretrained(cls) else {}
    try:
        model, info = cls.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            device_map=device_map,
            quantization_config=quantization,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # not ignored: refused below, by name
            output_loading_info=True,
            **remote,
            **more,
        )
    except (ValueError, ImportError) as error:
        raise LoadError(
            f"{folder.name} could not be loaded with attention={attention!r} ({_line(error)})",
            "a model Transformers loads",
            "" if attention == "eager" else "if the reason is the attention, pass attention='eager'",
        ) from error
    except (RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"the weights of {folder.name} do not fit its config ({_line(error)})",
            "weights and config of one model",
        ) from error
    _refuse_holes(folder, info)
    return model.eval().requires_grad_(False)


_ATTENTION_FLAGS = {
    "sdpa": "_supports_sdpa",
    "flash_attention_2": "_supports_flash_attn",
    "flex_attention": "_supports_flex_attn",
}


def _check_attention(cls: Any, attention: str, config: PreTrainedConfig) -> None:
    """Refuse an attention that a model class of Transformers says it does not have.

    Raises:
        CapabilityError: naming one that it has.
    """
    flag = _ATTENTION_FLAGS.get(attention)
    if flag is not None and issubclass_of_pretrained(cls) and not getattr(cls, flag):
        raise CapabilityError(
            f"attention={attention!r} with {config.model_type}",
            "an implementation that this model has",
            "pass attention='eager'",
        )


ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a LoRA adapter and no model."""
    return (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()


def adapter_base(folder: Path) -> str:
    """The base model that an adapter names.

    Raises:
        LoadError: if its settings cannot be read or name none.
    """
    try:
        base = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base.strip():
        raise LoadError(
            f"{folder / ADAPTER} names no base model",
            "an adapter with base_model_name_or_path",
            "workbench.load(base, adapter=folder)",
        )
    return base


def attach_adapter(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """Put a LoRA adapter onto a model.

    Raises:
        CapabilityError: if PEFT is not installed.
        CheckpointError: for weights as pickle, or that do not fit the model.
    """
    if not _installed("peft"):
        raise CapabilityError(
            f"an adapter ({folder.name}) without peft", "peft installed", "pip install peft"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise CheckpointError(f"no {ADAPTER_WEIGHTS} in {folder}", "safetensors (no pickle is ever loaded)")
    before = {id(parameter) for parameter in model.parameters()}
    try:
        model.load_adapter(str(folder), use_safetensors=True)
    except Exception as error:  # PEFT, Transformers and PyTorch each have their own for a wrong shape or name
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"the adapter {folder.name} does not fit this model ({_line(error)})",
            "an adapter that was trained on this model",
        ) from error
    new = sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in before)
    stored = sum(info.numel for info in read_header(folder / ADAPTER_WEIGHTS).values())
    if new != stored:
        raise CheckpointError(
            f"the adapter {folder.name} holds {stored} numbers, and this model has room for {new}",
            "an adapter that was trained on this model",
        )
    return model.eval().requires_grad_(False)


def issubclass_of_pretrained(cls: object) -> bool:
    """Whether this is a model class (and not one of the Auto classes)."""
    return isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)


def build_processor(folder: Path, config: PreTrainedConfig, *, trust_remote_code: bool = False) -> Any:
    """The processor (tokenizer and image processor); pictures through PIL where there is no torchvision.

    Raises:
        LoadError: if the folder's processor files are missing or need a package that is not installed.
    """
    try:  # the flag is always given: left out, Transformers asks on standard input
        return load_processor(folder, trust_remote_code=trust_remote_code)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(
            f"the processor of {folder.name} could not be loaded ({type(error).__name__}: {_line(error)})",
            "tokenizer and preprocessor files beside config.json",
            "copy them from the original model's repository",
        ) from error


def load_processor(source: object, **kwargs: Any) -> Any:
    """The processor of a checkpoint, without its video part where that cannot be built here.

    Args:
        source: a folder in the Hub's layout, or a Hub id.
        kwargs: for ``AutoProcessor.from_pretrained`` (revision, token, trust_remote_code...).

    Raises:
        LoadError: if the checkpoint has no processor, or it needs something that is not installed.
    """
    from transformers import AutoProcessor

    native()
    if not torchvision_works():
        kwargs.setdefault("backend", "pil")
    try:
        processor = AutoProcessor.from_pretrained(source, **kwargs)
    except (ImportError, ValueError) as error:
        if torchvision_works():
            raise _unusable(source, error) from error
        return _without_video(source, error, kwargs)
    if not hasattr(processor, "tokenizer"):
        raise LoadError(
            f"{source}, whose processor is only a {type(processor).__name__}",
            "a model that takes pictures and text",
            "choose an image-text-to-text model",
        )
    return processor


@functools.cache
def torchvision_works() -> bool:
    """Whether torchvision is there and runs: one that was built for another PyTorch fails when imported."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def _unusable(source: object, error: Exception) -> LoadError:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    given = f"the processor of {source}, which cannot be built here: {line}"
    missing = isinstance(error, ImportError)
    wanted = "all packages that this processor uses"
    if not missing:  # Transformers says so, too, where it has no class for what is installed
        wanted = f"tokenizer and preprocessor files beside config.json, and {wanted}"
    fix = "install the package named above" if missing else ""
    if not torchvision_works():
        fix = "; ".join(filter(None, [fix, f"if it is torchvision, {matching_torchvision()}"]))
    return LoadError(given, wanted, fix)


def _without_video(source: object, error: Exception, kwargs: dict[str, Any]) -> Any:
    """Build the processor's own class, with one part fewer."""
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    hub = {key: value for key, value in kwargs.items() if key not in ("backend", "use_fast")}
    cls = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(source, **hub)), None)
    try:
        parts = () if cls is None else cls.get_attributes()
    except ImportError as missing:  # a class that stands for one whose packages are not there
        raise _unusable(source, missing) from missing
    if "video_processor" not in parts:
        raise _unusable(source, error) from error
    try:
        return _pictures_only(cls).from_pretrained(source, **kwargs)
    except (ImportError, ValueError) as other:
        raise _unusable(source, other) from other


def _pictures_only(cls: Any) -> Any:
    """A subclass of a processor class that has None for its video processor."""
    parts = cls.get_attributes()
    kept = [part for part in parts if part != "video_processor"]

    class Fewer(transformers.ProcessorMixin):  # stands between the class and the mixin that counts its parts
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            given = {**dict(zip(parts, args, strict=False)), **kwargs}
            given.pop("video_processor", None)
            super().__init__(**given)

    class PicturesOnly(cls, Fewer):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return kept

        @classmethod
        def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
            given = dict(zip(kept, args, strict=True))
            return super().from_args_and_dict([given.get(part) for part in parts], processor_dict, **kwargs)

    PicturesOnly.__name__ = PicturesOnly.__qualname__ = cls.__name__
    return PicturesOnly


@contextmanager
def progress_bar(name: str, shards: int, *, show: bool = True) -> Iterator[None]:
    """Name Transformers' own bar over the tensors of all shards after the model, or hide it."""
    from transformers.utils import logging

    def hook(factory: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if str(options.get("desc", "")).startswith("Loading"):
            files = "1 shard" if shards == 1 else f"{shards} shards"
            options = {**options, "desc": f"Loading {name} ({files})", "unit": "tensor", "delay": _BAR_DELAY}
        return factory(*args, **{**options, "disable": not show})

    previous = logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        logging.set_tqdm_hook(previous)


def preprocessor_dict(folder: Path) -> dict[str, Any]:
    """The image processor's settings as a plain dictionary; empty where the folder has none."""
    for name, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        if (folder / name).is_file():
            try:
                found = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise LoadError(
                    f"{folder / name} cannot be read as JSON ({error})", "a preprocessor's settings"
                ) from error
            return dict(found.get(key) or {}) if key else dict(found)
    return {}


def _refuse_holes(folder: Path, info: dict[str, Any]) -> None:
    """Transformers fills a missing tensor with random numbers and says so in a log; here it is an error."""
    missing = sorted(info.get("missing_keys", ()))
    mismatched = sorted(
        str(m[0] if isinstance(m, (tuple, list)) else m) for m in info.get("mismatched_keys", ())
    )
    broken = list(info.get("error_msgs") or ())
    problems = [f"missing: {_names(missing)}"] if missing else []
    problems += [f"of another shape: {_names(mismatched)}"] if mismatched else []
    problems += [f"not readable: {_names(broken)}"] if broken else []
    if problems:
        raise CheckpointError(
            f"the weights of {folder.name} do not fit its config; tensors " + "; ".join(problems),
            "every tensor of the architecture, in its shape",
            "download the folder again, and check that config and weights belong together",
        )


def _names(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _line(error: Exception, limit: int = 300) -> str:
    """The first line of an error with words in it, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if any(c.isalpha() for c in line)]
    return (lines or [type(error).__name__])[0][:limit]


QUANTIZATIONS = ("int8", "int4")
INT4_GROUP = 128  # weights that share a scale in torchao's int4
INT4_BLOCK = 64  # the same in bitsandbytes; its CPU kernel fails on rows that do not divide


def quantizer_for(kind: str, device: torch.device) -> str | None:
    """The installed library that quantizes to ``kind`` on a device: "torchao", "bitsandbytes" or None.

    int8 is torchao's weight-only int8, a scale per row, on every device.  int4 is bitsandbytes'
    NF4 on CUDA and on the CPU; without it, on CUDA, torchao's int4 in groups of 128.
    """
    if kind == "int8":
        return "torchao" if _installed("torchao") else None
    if device.type in ("cuda", "cpu") and _installed("bitsandbytes"):
        return "bitsandbytes"
    return "torchao" if device.type == "cuda" and _installed("torchao") else None


def quantization_config(
    kind: str | None,
    *,
    device: torch.device,
    dtype: torch.dtype,
    keep: Sequence[str] = (),
    widths: Sequence[int | None] = (),
) -> Any | None:
    """What `from_pretrained` takes as ``quantization_config``; None for ``kind=None``.

    Args:
        kind: None, "int8" or "int4".
        device: where the model will run.
        dtype: what it computes in.
        keep: names of modules that stay in ``dtype`` (the output head always does).
        widths: the decoder's hidden and intermediate sizes, to know whether the blocks fit them.

    Raises:
        InputError: if there is no such kind.
        CapabilityError: if no installed library can do it on this device.
    """
    if kind is None:
        return None
    if kind not in QUANTIZATIONS:
        raise InputError(f"quantize={kind!r}", "None, 'int8' or 'int4'")
    library = quantizer_for(kind, device)
    if library is None:
        raise _not_here(kind, device)
    if library == "bitsandbytes" and (odd := [w for w in widths if w and w % INT4_BLOCK]):
        raise CapabilityError(
            f"quantize='int4' of a model with layers {odd[0]} wide",
            f"layers whose width is a multiple of {INT4_BLOCK}, as bitsandbytes needs",
            "pass quantize='int8', or None",
        )
    keep = ["lm_head", *(name for name in keep if name)]
    if library == "bitsandbytes":
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=keep,
        )
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    if kind == "int8":
        return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=keep)
    if dtype != torch.bfloat16:
        raise CapabilityError(
            f"quantize='int4' with {dtype} through torchao", "torch.bfloat16", "pass dtype='bfloat16'"
        )
    # This packing needs no kernels beyond PyTorch's own.
    packed = Int4WeightOnlyConfig(group_size=INT4_GROUP, int4_packing_format="tile_packed_to_4d")
    return TorchAoConfig(packed, modules_to_not_convert=keep)


def _not_here(kind: str, device: torch.device) -> CapabilityError:
    works = [k for k in QUANTIZATIONS if quantizer_for(k, device)]
    instead = f"quantize={works[0]!r}" if works else "no quantization"
    if kind == "int4" and device.type not in ("cuda", "cpu"):
        return CapabilityError(
            f"quantize='int4' on {device}", "'int4' runs on CUDA and on the CPU", f"pass {instead} here"
        )
    needed = "torchao" if kind == "int8" else "bitsandbytes"
    return CapabilityError(
        f"quantize={kind!r} on {device} without {needed}",
        f"{needed} installed",
        f"pip install {needed}, or pass {instead}",
    )


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
