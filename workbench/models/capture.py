"""Capture queries and keys during generation; attention is computed from them later, without the eager kernel

`AttentionInterface` hands each layer's queries and keys out after rotary embedding.  While a
`Capture` is open, a function of ours stands before the model's own: it keeps references (queries of
the chosen rows, the cache's keys) and calls the kernel unchanged, so that nothing is computed twice
and no row is formed.  Rows are computed later, from the record.

What one attention layer shows while a model runs: queries, keys and masks, kept without copying much

From what a capture kept to the records of its replies: padding cut off, plainly causal masks left out

The vision tower's own attention as records: patches in reading order, on the pictures they show

Capture of one batch of replies: opened while they are written, read into records afterwards
"""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel

from ..answer import Answer
from ..attention import Attention, LayerStore
from ..errors import CapabilityError, InputError
from ..types import PatchGrid, Span, TokenLayout
from .families import Encoded, FamilySpec
from .layout import Crop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

__all__ = [
    "CAPTURE",
    "Capture",
    "DecoderLayer",
    "ReplyCapture",
    "Step",
    "StepMasks",
    "TowerLayer",
    "attention_record",
    "check_capture",
    "to_numpy",
    "token_texts",
    "tower_records",
]


MERGE = 64  # single queries that are put into one tensor, so that there are not thousands of small ones


@dataclass(frozen=True)
class Step:
    """One call of a layer: where its kept queries stood and what they might see.

    Args:
        first: position of the first kept query, batch padding counted in.
        kept: number of kept queries.
        offset: position of the first key that was there.
        mask: rows of the mask for the kept queries, as the layer got them, ``[batch or 1, 1, kept, keys]``
            (bool, or added to the scores), or ``[batch, keys]`` (padding alone); None for causal order.
    """

    first: int
    kept: int
    offset: int
    mask: torch.Tensor | None


class StepMasks:
    """Cuts the kept rows out of a step's masks; layers that share a mask share the rows too."""

    def __init__(self) -> None:
        self._at = -1
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def rows(self, mask: torch.Tensor | None, kept: int, at: int) -> torch.Tensor | None:
        """The last ``kept`` rows; ``at`` tells one step from the next."""
        if mask is None:
            return None
        if at != self._at:
            self._at, self._seen = at, []
        for known, rows in self._seen:  # held, so that an address is not another mask's
            if known is mask:
                return rows
        rows = mask.clone() if mask.ndim == 2 else mask[:, :, -kept:].clone()
        self._seen.append((mask, rows))
        return rows


@dataclass
class DecoderLayer:
    """One layer of the decoder.

    A cache that keeps everything is only referred to: its last keys are all keys.  A layer with a
    sliding window or chunks forgets, so its keys are kept as they come.  A layer that shares the keys of
    another one may be asked for the last positions of a prompt alone (Gemma 4): it has no rows of the others.

    Args:
        scale: factor of the scores.
        window: the layer's sliding window; None where it sees everything.
        prompt_rows: whether the prompt's queries are kept.
        given: tokens of a reply that are read together with the prompt, at most.
        number: which layer of the decoder it is, as the layer itself says; None where it does not.
    """

    scale: float
    window: int | None
    prompt_rows: bool
    given: int = 0
    number: int | None = None
    past: int = 0
    queries: list[torch.Tensor] = field(default_factory=list)
    pieces: list[torch.Tensor] = field(default_factory=list)
    keys: torch.Tensor | None = None
    steps: list[Step] = field(default_factory=list)
    _single: int = 0

    def take(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        masks: StepMasks,
        *,
        end: int | None = None,
    ) -> None:
        """Keep one call: ``[batch, heads, tokens, width]`` and ``[batch, key heads, keys, width]``.

        Args:
            query, key, mask: what the layer got.
            masks: of this capture.
            end: how many tokens were read after it; None where all that are new have a query.
        """
        asked, there = query.shape[2], key.shape[2]
        end = self.past + asked if end is None else end
        new = end - self.past
        kept = asked if self.prompt_rows or self.past else min(asked, 1 + self.given)
        self._add(query if kept == asked else query[:, :, -kept:].clone())
        if self.window is None and there >= end:
            self.keys = key
        elif self.window is None and there == new:  # nothing came before
            raise CapabilityError(
                f"a cache of {there} positions after {end} tokens",
                "one sequence with a cache that keeps every position",
                "open one capture for each sequence",
            )
        else:
            if self.keys is not None:  # up to here it had kept everything
                self.pieces, self.keys = [self.keys[:, :, : self.past].clone()], None
            start = self.past if there >= end else there - new
            self.pieces.append(key[:, :, start : start + new].clone())
        rows = masks.rows(mask, kept, self.past)
        self.steps.append(Step(end - kept, kept, max(0, end - there), rows))
        self.past = end

    def all_keys(self) -> torch.Tensor:
        """Keys of every position, batch padding included ``[batch, key heads, positions, width]``."""
        if self.keys is not None:
            return self.keys[:, :, : self.past]
        return torch.cat(self.pieces, dim=2)

    def all_queries(self) -> torch.Tensor:
        """The kept queries ``[batch, heads, rows, width]``."""
        return torch.cat(self.queries, dim=2)

    def _add(self, query: torch.Tensor) -> None:
        self.queries.append(query)
        self._single = self._single + 1 if query.shape[2] == 1 else 0
        if self._single == MERGE:
            self.queries[-MERGE:] = [torch.cat(self.queries[-MERGE:], dim=2)]
            self._single = 0


@dataclass
class TowerLayer:
    """One layer of the vision tower: all queries and keys, in the tower's own order.

    Args:
        scale: factor of the scores.
        queries, keys: one ``[heads, patches, width]`` for each group of patches that see each other.
    """

    scale: float
    queries: list[torch.Tensor] = field(default_factory=list)
    keys: list[torch.Tensor] = field(default_factory=list)

    def take(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        bounds: torch.Tensor | None,
    ) -> None:
        """Keep one call: ``[groups, heads, patches, width]``, padding left out.

        Args:
            query, key: of the patches.
            mask: ``[groups, 1, patches or 1, patches]`` or ``[groups, patches]``; None where all are seen.
            bounds: where groups begin and end in one long sequence, for kernels that take it so.
        """
        if bounds is not None:
            lengths = (bounds[1:] - bounds[:-1]).tolist()
            self.queries += [part[0] for part in query.split(lengths, dim=2)]
            self.keys += [part[0] for part in key.split(lengths, dim=2)]
            return
        for group in range(query.shape[0]):
            q, k = query[group], key[group]
            if mask is not None:
                own = mask[min(group, len(mask) - 1)]
                row = own if own.ndim == 1 else own[0, 0]
                added = row.is_floating_point() and own.ndim > 1  # added to the scores: 0 is seen
                seen = row > -1.0 if added else row.bool()
                q, k = q[:, seen], k[:, seen]
            self.queries.append(q)
            self.keys.append(k)


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
        given: tokens of a reply that are read together with the prompt, at most.

    Example::

        with Capture(model, decoder="model.language_model") as capture:
            model.generate(**inputs, max_new_tokens=20)
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        decoder: str,
        tower: str | None = None,
        prompt_rows: bool = False,
        given: int = 0,
    ) -> None:
        self.model, self.prompt_rows, self.given = model, prompt_rows, given
        self.decoder: dict[int, DecoderLayer] = {}
        self.tower: dict[int, TowerLayer] = {}
        self._thread = 0
        self._masks = StepMasks()
        self._in_decoder = _modules(model, decoder)
        config = getattr(model.get_submodule(decoder), "config", None)
        self.depth = int(getattr(config, "num_hidden_layers", 0))  # layers of the decoder, if it says
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
                number = getattr(module, "layer_idx", None)
                layer = DecoderLayer(
                    scale, kwargs.get("sliding_window"), self.prompt_rows, self.given, number=number
                )
                self.decoder[id(module)] = layer
            leading = next(iter(self.decoder.values()))  # the first layer reads all that is new
            end = None if layer is leading else leading.past
            layer.take(query.detach(), key.detach(), mask, self._masks, end=end)
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


def attention_record(
    capture: Capture,
    number: int,
    *,
    prompt: int,
    padded: int,
    reply: int,
    layout: TokenLayout,
    texts: Sequence[str],
    spans: Mapping[str, Span] | None = None,
    tower: Attention | None = None,
    model: str = "",
) -> Attention:
    """The record of one row of a captured batch.

    Args:
        capture: what was kept.
        number: the row.
        prompt, padded: tokens of its prompt, alone and with the batch's padding on the left.
        reply: tokens of its reply; the last one was chosen, and never read.
        layout: where the row's pictures stand.
        texts: text of each token of prompt and reply.
        spans: parts of the reply.
        tower: the vision tower's record for its pictures.
        model: name of the model.

    Raises:
        CapabilityError: if no attention came by, or of a kind that is not understood.
    """
    if not capture.decoder:
        raise CapabilityError(
            "a model whose attention does not go through Transformers' AttentionInterface",
            "one of the families of workbench, or a model that runs under sdpa",
        )
    pad, positions = padded - prompt, prompt + reply - 1
    tokens = Span(1 if capture.prompt_rows else prompt, prompt + reply)
    first = tokens.start - 1 + pad  # position of the first row's query
    # A layer that was not asked for the prompt (or a given beginning) is left out where its rows are kept.
    layers = [layer for layer in capture.decoder.values() if layer.steps[0].first <= first]
    masks: list[np.ndarray] = []
    known: dict[tuple[Any, ...], int | None] = {}
    store = []
    for layer in layers:
        key = (layer.window, *(id(step.mask) for step in layer.steps))
        if key not in known:
            mask = _visible(layer, number, first, len(tokens), pad + positions)[:, pad:]
            plain = np.array_equal(mask, np.tri(len(tokens), positions, tokens.start - 1, dtype=bool))
            known[key] = None if plain else len(masks)
            masks += [] if plain else [mask]
        skip = first - layer.steps[0].first
        queries = layer.all_queries()[number, :, skip : skip + len(tokens)]
        keys = layer.all_keys()[number, :, pad : pad + positions]
        store.append(
            LayerStore(to_numpy(queries), to_numpy(keys), layer.scale, known[key], number=layer.number)
        )
    return Attention(
        store=tuple(store),
        layout=layout,
        texts=tuple(texts),
        tokens=tokens,
        masks=tuple(masks),
        tower=tower,
        spans=dict(spans or {}),
        model=model,
        depth=capture.depth,
    )


def _visible(layer: DecoderLayer, number: int, first: int, count: int, positions: int) -> np.ndarray:
    """Where a row's queries might look, batch padding included, bool ``[count, positions]``."""
    out = np.zeros((count, positions), dtype=bool)
    at = np.arange(positions)
    for step in layer.steps:
        rows = np.arange(step.first, step.first + step.kept)
        inside = (rows >= first) & (rows < first + count)
        if not inside.any():
            continue
        seen = (at <= rows[:, None]) & (at >= step.offset)
        if layer.window is not None:
            seen &= at > rows[:, None] - layer.window
        if step.mask is not None:
            own = _as_bool(step.mask[min(number, len(step.mask) - 1)])
            stop = min(positions, step.offset + own.shape[-1])
            told = np.zeros((step.kept, positions), dtype=bool)
            told[:, step.offset : stop] = own[..., : stop - step.offset]
            seen = seen & told if own.ndim == 1 else told
        out[rows[inside] - first] = seen[inside]
    return out


def _as_bool(mask: torch.Tensor) -> np.ndarray:
    """A mask of one row of a batch: ``[keys]``, or ``[queries, keys]`` out of ``[1, queries, keys]``."""
    if mask.ndim == 3 and len(mask) != 1:
        raise CapabilityError("a mask that differs between heads", "one mask for all heads of a layer")
    mask = mask[0] if mask.ndim == 3 else mask
    if mask.dtype != torch.bool and mask.ndim == 2:
        shut = mask <= torch.finfo(mask.dtype).min / 2
        if bool(((mask != 0) & ~shut).any()):
            raise CapabilityError("a mask that adds a bias to the scores", "a mask that says yes or no")
        mask = ~shut
    return mask.bool().cpu().numpy()


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A copy in main memory, in its own precision; bfloat16 as its raw bits in uint16."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16).copy()
    if tensor.dtype not in (torch.float16, torch.float32):
        tensor = tensor.float()
    return np.array(tensor.numpy(), copy=True)


def token_texts(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], reply: Sequence[int]) -> list[str]:
    """Text of each token alone; in the reply with the spaces that decoding all of it would give.

    A character that several tokens spell is given to the last of them.
    """
    once = {token: tokenizer.decode([token]) for token in set(prompt)}
    texts = [once[token] for token in prompt]
    done = 0  # reply tokens before it are settled
    for stop in range(1, len(reply) + 1):
        before = tokenizer.decode(list(reply[max(0, done - 1) : done])) if done else ""
        text = tokenizer.decode(list(reply[max(0, done - 1) : stop]))
        if text.endswith("\ufffd") and stop < len(reply):
            texts.append("")
            continue
        texts.append(text[len(before) :] if text.startswith(before) else tokenizer.decode([reply[stop - 1]]))
        done = stop
    return texts


@dataclass(frozen=True)
class _Placed:
    """A crop on the tower's positions: ``extra`` tokens that show no patch, then ``rows * cols`` patches."""

    crop: Crop
    start: int
    rows: int
    cols: int
    extra: int

    @property
    def stop(self) -> int:
        return self.start + self.extra + self.rows * self.cols


def tower_records(
    capture: Capture, crops: Sequence[Sequence[Crop]], order: torch.Tensor | None, *, model: str = ""
) -> list[Attention | None]:
    """The tower's records of a captured batch, one for each conversation.

    Args:
        capture: what was kept.
        crops: what the tower took in for each conversation, in its order.
        order: where the tower keeps the patches; see `FamilySpec.patch_order`.
        model: name of the model.

    Returns:
        None for a conversation without pictures, and for all where the tower's sequences are not
        those of the crops (a tower that this workbench does not know).
    """
    layers = list(capture.tower.values())
    flat = [crop for row in crops for crop in row]
    if not layers or not flat:
        return [None] * len(crops)
    flow = [_Sequence.of(layer, order) for layer in layers]
    placed = _place(flat, layers[0], order)
    if placed is None or any(len(s.groups) != placed[-1].stop for s in flow):
        return [None] * len(crops)
    records: list[Attention | None] = []
    at = 0
    for row in crops:
        mine = placed[at : at + len(row)]
        at += len(row)
        records.append(_record(mine, flow, model) if mine else None)
    return records


@dataclass(frozen=True)
class _Sequence:
    """One layer's queries and keys ``[heads, patches, width]`` in reading order, and who sees whom."""

    queries: torch.Tensor
    keys: torch.Tensor
    groups: np.ndarray
    scale: float

    @classmethod
    def of(cls, layer: TowerLayer, order: torch.Tensor | None) -> _Sequence:
        queries, keys = torch.cat(layer.queries, dim=1), torch.cat(layer.keys, dim=1)
        groups = np.repeat(np.arange(len(layer.keys)), [k.shape[1] for k in layer.keys])
        if order is not None and len(order) == queries.shape[1]:
            index = order.to(queries.device)
            queries, keys, groups = queries[:, index], keys[:, index], groups[order.numpy()]
        return cls(queries, keys, groups, layer.scale)


def _place(crops: Sequence[Crop], layer: TowerLayer, order: torch.Tensor | None) -> list[_Placed] | None:
    """Lay the crops onto the tower's patches; None where the numbers do not fit."""
    counts = [k.shape[1] for k in layer.keys]
    if order is not None:  # one long sequence: every crop has the same number of patches for a token
        tokens = sum(crop.rows * crop.cols for crop in crops)
        counts = [sum(counts) * crop.rows * crop.cols // tokens for crop in crops]
    if len(counts) != len(crops):
        return None
    placed, start = [], 0
    for crop, count in zip(crops, counts, strict=True):
        for extra in (0, 1):  # a class token stands before the patches
            factor = math.isqrt((count - extra) // (crop.rows * crop.cols))
            if factor and factor**2 * crop.rows * crop.cols == count - extra:
                placed.append(_Placed(crop, start, crop.rows * factor, crop.cols * factor, extra))
                break
        else:
            return None
        start += count
    return placed


def _record(placed: Sequence[_Placed], flow: Sequence[_Sequence], model: str) -> Attention:
    first, stop = placed[0].start, placed[-1].stop
    masks: list[np.ndarray] = []
    store = []
    for layer in flow:
        groups = layer.groups[first:stop]
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int32)
        number = next((i for i, known in enumerate(masks) if np.array_equal(known, groups)), len(masks))
        masks += [groups] if number == len(masks) else []
        queries, keys = to_numpy(layer.queries[:, first:stop]), to_numpy(layer.keys[:, first:stop])
        store.append(LayerStore(queries, keys, layer.scale, number))
    grids = [_grid(one, first) for one in placed]
    shown: dict[int, Any] = {}
    for one, grid in zip(placed, grids, strict=True):  # a picture shown by crops alone: its first crop
        if one.crop.overview or grid.image not in shown:
            shown[grid.image] = grid
    tiles = tuple(grid for grid in grids if grid is not shown[grid.image])
    length = stop - first
    return Attention(
        store=tuple(store),
        layout=TokenLayout(length, tuple(shown[image] for image in sorted(shown)), tiles),
        texts=("",) * length,
        tokens=Span(0, length),
        masks=tuple(masks),
        ahead=0,
        model=model,
    )


def _grid(one: _Placed, first: int) -> PatchGrid:
    return PatchGrid(
        image=one.crop.image,
        rows=one.rows,
        cols=one.cols,
        start=one.start + one.extra - first,
        size=one.crop.size,
        region=one.crop.region,
        row_stride=one.cols,
    )


class ReplyCapture:
    """A context manager around ``generate``, and the records of what it wrote.

    Args:
        model, processor: the Transformers objects.
        family: where the model keeps its parts.
        encoded: the prompts.
        capture: True, or "all" for the prompt's rows too.
        name: name of the model, for the records.

    Raises:
        CapabilityError: if the model's decoder cannot be found.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin,
        *,
        family: FamilySpec,
        encoded: Encoded,
        capture: bool | str,
        name: str = "",
    ) -> None:
        self._tokenizer, self._name = processor.tokenizer, name
        self._prompts = encoded.prompt_ids
        known = zip(encoded.layouts, encoded.prompt_ids, strict=True)
        # Where the pictures' tokens are not known, all positions count as text.
        self._layouts = [TokenLayout(len(ids)) if layout is None else layout for layout, ids in known]
        self._begun = [len(ids) for ids in encoded.begun] or [0] * len(encoded.prompt_ids)
        self._padded = int(encoded.inputs["input_ids"].shape[1])
        pictures = any(layout.images for layout in self._layouts)
        tower = _find(model, family.vision_tower) if pictures else None
        self._crops = [family.crops(processor, layout) for layout in self._layouts]
        self._order = None if tower is None else family.patch_order(tower, encoded.inputs)
        self._capture: Capture | None = Capture(
            model,
            decoder=family.decoder,
            tower=family.vision_tower if tower is not None else None,
            prompt_rows=capture == "all",
            given=max(self._begun),
        )

    def __enter__(self) -> ReplyCapture:
        assert self._capture is not None
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._capture is not None
        self._capture.__exit__(kind, error, trace)

    def records(self, answers: list[Answer]) -> list[Attention | None]:
        """One record for each answer; None for one that holds no token.  What was kept is let go."""
        capture, self._capture = self._capture, None
        assert capture is not None
        if not any(answer.reply_ids for answer in answers):
            return [None] * len(answers)
        towers = tower_records(capture, self._crops, self._order, model=self._name)
        return [
            attention_record(
                capture,
                number,
                prompt=answer.prompt_tokens,
                padded=self._padded - self._begun[number],
                reply=len(answer.reply_ids),
                layout=self._layouts[number],
                texts=token_texts(self._tokenizer, self._prompts[number], answer.reply_ids),
                spans={name: span for name, span in answer.spans.items() if len(span)},
                tower=towers[number],
                model=self._name,
            )
            if answer.reply_ids
            else None
            for number, answer in enumerate(answers)
        ]


def _find(model: torch.nn.Module, path: str) -> torch.nn.Module | None:
    """A vision tower by its path; None where this model keeps it elsewhere."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None
