"""Keep what attention rows are computed from, while a model runs under its own fast kernel

`AttentionInterface` hands each layer's queries and keys out after rotary embedding.  While a
`Capture` is open, a function of ours stands before the model's own: it keeps references (queries of
the chosen rows, the cache's keys) and calls the kernel unchanged, so that nothing is computed twice
and no row is formed.  Rows are computed later, from the record.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel

from ..errors import CapabilityError, InputError
from .capture_layers import DecoderLayer, StepMasks, TowerLayer

__all__ = ["CAPTURE", "Capture", "check_capture"]

CAPTURE = (False, True, "all")
_NUMBER = itertools.count()
_REFUSED = ("softcap", "s_aux", "position_bias")  # what changes a row beyond scale and mask


def check_capture(capture: bool | str) -> bool | str:
    """Refuse what is no way to capture.

    Raises:
        InputError: naming the ways that there are.
    """
    if not (isinstance(capture, bool) or capture == "all"):
        raise InputError(
            f"capture={capture!r}",
            'True (rows of the reply and of the vision tower), "all" (the prompt\'s rows too), or False',
        )
    return capture


class Capture:
    """Keeps queries and keys of every attention layer while it is open.

    Everything that is changed for it (the configs' attention implementation, two registrations)
    is as before when it closes, after an error or an interruption too.  It holds one sequence: one
    ``generate``, or forward passes that continue one cache.

    Args:
        model: a Transformers model whose attention goes through `AttentionInterface`.
        decoder: dotted path of the decoder in it.
        tower: dotted path of the vision tower; None to leave it out.
        prompt_rows: keep the queries of all positions, not only those that produce reply tokens.

    Example::

        with Capture(model, decoder="model.language_model") as capture:
            model.generate(**inputs, max_new_tokens=20)
    """

    def __init__(
        self, model: PreTrainedModel, *, decoder: str, tower: str | None = None, prompt_rows: bool = False
    ) -> None:
        self.model, self.prompt_rows = model, prompt_rows
        self.decoder: dict[int, DecoderLayer] = {}
        self.tower: dict[int, TowerLayer] = {}
        self._thread = 0
        self._masks = StepMasks()
        self._in_decoder = _modules(model, decoder)
        self._in_tower = _modules(model, tower) if tower else set()
        self._swapped: list[tuple[PreTrainedConfig, str | None]] = []
        self._names: list[str] = []

    def __enter__(self) -> Capture:
        self._thread = threading.get_ident()
        try:
            self._swap()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for config, own in self._swapped:
            config._attn_implementation_internal = own
        for name in self._names:
            AttentionInterface._global_mapping.pop(name, None)
            AttentionMaskInterface._global_mapping.pop(name, None)
        self._swapped, self._names = [], []
        self._masks = StepMasks()

    def _swap(self) -> None:
        """Let every config name our function, which stands before the kernel that it named."""
        number, names = next(_NUMBER), dict[str, str]()
        for config in _configs(self.model):
            own = config._attn_implementation
            kernel = own or "eager"
            if kernel not in names:
                names[kernel] = self._register(f"workbench_capture_{number}_{kernel}", kernel)
            self._swapped.append((config, own))
            config._attn_implementation_internal = names[kernel]

    def _register(self, name: str, kernel: str) -> str:
        if kernel == "flex_attention":
            raise CapabilityError(
                "capture under flex_attention", "sdpa, eager or flash attention", 'load with attention="sdpa"'
            )
        AttentionInterface.register(name, partial(self._attend, kernel))
        self._names.append(name)
        if kernel in AttentionMaskInterface._global_mapping:  # else the mask is silently left out
            AttentionMaskInterface.register(name, AttentionMaskInterface._global_mapping[kernel])
        return name

    def _attend(
        self,
        kernel: str,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Keep, then call the model's own kernel with everything as it came."""
        if threading.get_ident() == self._thread:
            self._keep(module, query, key, attention_mask, kwargs)
        return _kernel(kernel, module)(module, query, key, value, attention_mask, **kwargs)

    def _keep(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        kwargs: dict[str, Any],
    ) -> None:
        for name in _REFUSED:
            if kwargs.get(name) is not None:
                raise CapabilityError(f"capture of attention with {name}", "plain softmax attention")
        scale = kwargs.get("scaling")
        scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
        if id(module) in self._in_decoder:
            layer = self.decoder.get(id(module))
            if layer is None:
                layer = DecoderLayer(scale, kwargs.get("sliding_window"), self.prompt_rows)
                self.decoder[id(module)] = layer
            layer.take(query.detach(), key.detach(), mask, self._masks)
        elif id(module) in self._in_tower:
            if id(module) not in self.tower:
                self.tower[id(module)] = TowerLayer(scale)
            self.tower[id(module)].take(query.detach(), key.detach(), mask, kwargs.get("cu_seq_lens_q"))


def _modules(model: torch.nn.Module, path: str) -> set[int]:
    try:
        return {id(module) for module in model.get_submodule(path).modules()}
    except AttributeError:
        raise CapabilityError(
            f"{type(model).__name__} has no {path}", "a model whose decoder and vision tower are known"
        ) from None


def _configs(model: torch.nn.Module) -> list[PreTrainedConfig]:
    """The configs that attention modules read their implementation from, each once."""
    found = {
        id(c): c for m in model.modules() if isinstance(c := getattr(m, "config", None), PreTrainedConfig)
    }
    return list(found.values())


def _kernel(name: str, module: torch.nn.Module) -> Callable[..., Any]:
    """The attention function that a module would call by itself."""
    if name in AttentionInterface._global_mapping:
        return AttentionInterface._global_mapping[name]
    own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if own is None:
        raise CapabilityError(
            f"{type(module).__name__} under {name} attention",
            "a model that runs under sdpa",
            'attention="sdpa"',
        )
    return own
