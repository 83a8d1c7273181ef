"""Hooks on the decoder that are gone afterwards: read hidden states, replace some, cut attention"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import CapabilityError, InputError

if TYPE_CHECKING:
    from ..models.handle import VLM

__all__ = ["Decoder", "cutting", "layer_numbers", "patching", "reading"]

LAYERS = ("layers", "h", "blocks")
NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")


class Decoder:
    """A model's decoder, whatever its family calls the parts.

    Layer ``l`` of the stream is what enters block ``l``: 0 is the embeddings (pictures included), and
    ``depth`` what leaves the last block, before the final norm.  This is the numbering of Transformers'
    ``hidden_states``, but for the final norm.

    Args:
        vlm: a model that was loaded here.

    Raises:
        CapabilityError: if the family's decoder has no blocks and final norm that are known here.
    """

    def __init__(self, vlm: VLM) -> None:
        body = _submodule(vlm.model, vlm.family.decoder)
        if body is not None and _first(body, LAYERS) is None:
            body = getattr(body, "model", None)
        layers = _first(body, LAYERS)
        norm = _first(body, NORMS)
        head = vlm.model.get_output_embeddings()
        if layers is None or norm is None or head is None:
            raise CapabilityError(
                f"the decoder of {vlm.name} at {vlm.family.decoder!r}, of an unknown make",
                f"blocks ({', '.join(LAYERS)}), a final norm ({', '.join(NORMS)}) and an output head",
                "say in the family's FamilySpec where its decoder is",
            )
        self.blocks: list[nn.Module] = list(layers)[: _depth(body)]
        self.norm, self.head = norm, head
        self.kernel = str(getattr(getattr(body, "config", None), "_attn_implementation", ""))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def sites(self) -> list[nn.Module]:
        """Modules whose first argument is the stream at layers 0 to ``depth``."""
        return [*self.blocks, self.norm]

    def scores(self, states: torch.Tensor) -> torch.Tensor:
        """Final norm and output head: ``[positions, hidden]`` to ``[positions, vocabulary]``."""
        # forward, not the call: the norm may carry the very hook that asks
        normed = self.norm.forward(states)
        device = self.head.weight.device
        return self.head(normed if device.type == "meta" else normed.to(device))  # meta: offloaded


def layer_numbers(layers: int | Sequence[int] | None, last: int) -> tuple[int, ...]:
    """Layers to work on; None for 0 to ``last``.

    Raises:
        InputError: for one that does not exist, or none at all.
    """
    chosen = range(last + 1) if layers is None else [layers] if isinstance(layers, int) else list(layers)
    if not chosen or any(not 0 <= int(layer) <= last for layer in chosen):
        raise InputError(f"layers={layers!r}", f"layers 0 to {last}")
    return tuple(sorted({int(layer) for layer in chosen}))


@contextlib.contextmanager
def reading(decoder: Decoder, take: Callable[[int, torch.Tensor], None]) -> Iterator[None]:
    """Within this context ``take(layer, states [batch, tokens, hidden])`` sees the stream as it passes."""

    def hook(layer: int) -> Callable[..., None]:
        def look(_: nn.Module, args: tuple, kwargs: dict) -> None:
            take(layer, args[0] if args else kwargs["hidden_states"])

        return look

    with _hooked((site, hook(layer)) for layer, site in enumerate(decoder.sites)):
        yield


@contextlib.contextmanager
def patching(decoder: Decoder, layer: int, positions: Sequence[int], states: torch.Tensor) -> Iterator[None]:
    """Within this context the stream at ``layer`` holds ``states [positions, hidden]`` at ``positions``.

    Activation patching (Vig et al. 2020; Meng et al. 2022) on the residual stream.
    """

    def replace(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        stream[:, list(positions)] = states.to(stream)
        return ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})

    with _hooked([(decoder.sites[layer], replace)]):
        yield


@contextlib.contextmanager
def cutting(
    decoder: Decoder, sources: Sequence[int], targets: Sequence[int], layers: Sequence[int]
) -> Iterator[None]:
    """Within this context positions ``targets`` do not see positions ``sources`` in these blocks.

    Attention knockout (Geva et al. 2023), through the mask that each block is given.  A position always
    sees itself.  It works on whole sequences and step by step with a cache, one conversation at a time.

    Raises:
        CapabilityError: for a kernel that takes no mask of queries by keys.
    """
    if "flash" in decoder.kernel or "flex" in decoder.kernel:
        raise _no_mask(decoder.kernel)
    keys, queries = torch.tensor(sorted(sources)), torch.tensor(sorted(targets))

    def hook(layer: int) -> Callable[..., Any]:
        def cut(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            stream = args[0] if args else kwargs["hidden_states"]
            mask = _cut(
                kwargs.get("attention_mask"), stream, kwargs.get("past_key_values"), layer, queries, keys
            )
            return None if mask is None else (args, {**kwargs, "attention_mask": mask})

        return cut

    with _hooked((decoder.blocks[layer], hook(layer)) for layer in layers):
        yield


def _cut(
    mask: Any, stream: torch.Tensor, past: Any, layer: int, queries: torch.Tensor, keys: torch.Tensor
) -> torch.Tensor | None:
    """The mask ``[1, 1, query, key]`` without the cut edges; None where nothing changes."""
    if len(stream) != 1:
        raise InputError(
            f"a batch of {len(stream)} conversations with attention cut", "one at a time", "use ask"
        )
    seen = 0 if past is None else int(past.get_seq_length(layer))
    count = stream.shape[1]
    rows = queries[(queries >= seen) & (queries < seen + count)] - seen
    if not len(rows) or not len(keys):
        return None
    if mask is None:  # SDPA was told "causal" (or, for one token, "everything")
        at = torch.arange(seen + count)
        mask = (at[None, :] <= at[seen:, None])[None, None].to(stream.device)
    if not isinstance(mask, torch.Tensor) or mask.ndim != 4:
        raise _no_mask(f"mask of {type(mask).__name__}")
    first = max(0, seen + count - mask.shape[-1])  # a sliding window's cache has dropped the keys before
    columns = keys[(keys >= first) & (keys < first + mask.shape[-1])] - first
    gone = torch.zeros(mask.shape[-2:], dtype=torch.bool)
    gone[rows[:, None], columns[None, :]] = True
    own = torch.arange(count)
    gone[own, own + seen - first] = False
    return mask.masked_fill(
        gone.to(mask.device), False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    )


def _no_mask(kernel: str) -> CapabilityError:
    return CapabilityError(
        f"an attention kernel without a mask of queries by keys ({kernel})",
        "SDPA or eager attention",
        "workbench.load(..., attention='sdpa')",
    )


@contextlib.contextmanager
def _hooked(hooks: Any) -> Iterator[None]:
    handles: list[Any] = []
    try:
        for module, hook in hooks:
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def _first(module: Any, names: Sequence[str]) -> Any:
    return next((found for name in names if (found := getattr(module, name, None)) is not None), None)


def _depth(body: Any) -> int | None:
    return getattr(getattr(body, "config", None), "num_hidden_layers", None)
