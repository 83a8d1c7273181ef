"""The record `Attention`: what each token of a reply looked at, at any layer and head; numpy only.

A row of attention is ``softmax(scale * q . K)``: one query and the keys of all positions say it exactly.
So a record keeps the queries of the reply's tokens and the keys of all positions (`LayerStore`), and any
row is computed on demand.  From rows come maps over an image, sinks (positions that draw attention whatever
the row is about), rollout, and tables over time, words and heads.  On disk it is one safetensors file, its
layout and texts in the header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from ..errors import CapabilityError, InputError
from ..files import local_path, write_bytes, writing
from ..names import later, verb
from ..types import Box, PatchGrid, Region, Span, TokenLayout
from .select import Layers, Tokens, grid_positions, numbers, picture_grids, region_positions, token_rows

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


__all__ = [
    "Attention",
    "AttentionRows",
    "GENERIC",
    "LayerStore",
    "REDUCE",
    "find_sinks",
    "flow",
    "load_attention",
    "over_time",
    "rank_heads",
    "received",
    "reverse",
    "rolled",
    "save_attention",
    "sink_table",
    "tag_name",
    "unpack",
]


@dataclass(frozen=True, eq=False)
class LayerStore:
    """What one layer's attention rows are computed from.

    Args:
        queries: ``[heads, rows, width]`` after rotary embedding; float32, float16, or bfloat16 as
            its raw bits in uint16.
        keys: ``[key heads, positions, width]``, in the same precision; ``heads`` is a multiple of
            ``key heads`` (grouped attention): they are never repeated.
        scale: factor of the product, mostly ``width ** -0.5``.
        mask: number of the record's mask that this layer uses; None for plain causal order.
        number: which layer of the decoder this is; None where the record holds all, in their order.
    """

    queries: np.ndarray
    keys: np.ndarray
    scale: float
    mask: int | None = None
    number: int | None = None

    def __post_init__(self) -> None:
        q, k = self.queries.shape, self.keys.shape
        assert len(q) == len(k) == 3, (q, k)
        assert q[2] == k[2], (q, k)
        assert q[0] % k[0] == 0, (q, k)

    @property
    def heads(self) -> int:
        """Number of query heads."""
        return int(self.queries.shape[0])

    def rows(self, rows: Sequence[int], heads: Sequence[int], allowed: np.ndarray) -> np.ndarray:
        """Exact attention of chosen rows and heads.

        Args:
            rows: indices into the kept queries.
            heads: query heads.
            allowed: ``[rows, positions]``, True where a row may look.

        Returns:
            float32 ``[heads, rows, positions]``; each row sums to one, and is zero where it may not look.
        """
        group = self.heads // self.keys.shape[0]
        of_key: dict[int, list[int]] = {}
        for place, head in enumerate(heads):
            of_key.setdefault(head // group, []).append(place)
        out = np.empty((len(heads), len(rows), self.keys.shape[1]), dtype=np.float32)
        for key_head, places in of_key.items():
            keys = unpack(self.keys[key_head])
            mine = [heads[place] for place in places]
            queries = unpack(self.queries[np.ix_(mine, list(rows))]).reshape(-1, keys.shape[1])
            out[places] = ((queries @ keys.T) * np.float32(self.scale)).reshape(len(mine), len(rows), -1)
        out[:, ~allowed] = -np.inf
        out -= out.max(axis=-1, keepdims=True)
        np.exp(out, out=out)
        out /= out.sum(axis=-1, keepdims=True)
        return out


def unpack(array: np.ndarray) -> np.ndarray:
    """Kept numbers as float32; uint16 holds the bits of bfloat16, the upper half of a float32."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


CHUNK = 1 << 25  # numbers in one piece of work: 128 MiB of float32


@dataclass(frozen=True, eq=False)
class AttentionRows:
    """Rows of attention, computed when asked for; the fields are those of `Attention`."""

    store: tuple[LayerStore, ...]
    layout: TokenLayout
    texts: tuple[str, ...]
    tokens: Span
    masks: tuple[np.ndarray, ...] = ()
    ahead: int = 1
    spans: Mapping[str, Span] = field(default_factory=dict)
    model: str = ""
    depth: int = 0

    def __post_init__(self) -> None:
        assert self.store, "a record of no layer"
        sizes = {(layer.queries.shape[1], layer.keys.shape[1]) for layer in self.store}
        assert sizes == {(len(self.tokens), self.positions)}, (sizes, self.tokens, self.positions)
        assert len({layer.heads for layer in self.store}) == 1, [layer.heads for layer in self.store]

    # -- its size --------------------------------------------------------------------------------

    @property
    def n_layers(self) -> int:
        """Number of layers that have rows."""
        return len(self.store)

    @property
    def n_heads(self) -> int:
        """Number of heads in a layer."""
        return self.store[0].heads

    @property
    def layers(self) -> Sequence[int]:
        """The numbers of the layers that have rows: of a hybrid decoder, those without linear attention."""
        numbers = tuple(n if layer.number is None else layer.number for n, layer in enumerate(self.store))
        return range(self.n_layers) if numbers == tuple(range(self.n_layers)) else numbers

    @property
    def whole(self) -> bool:
        """Whether every layer of the decoder has rows; false of a hybrid decoder."""
        return isinstance(self.layers, range) and self.depth in (0, self.n_layers)

    @property
    def positions(self) -> int:
        """Number of positions that can be looked at, the length of a row."""
        return self.tokens.stop - self.ahead

    # -- rows ------------------------------------------------------------------------------------

    def reply(self, index: int) -> int:
        """Position of the reply's token number ``index``; negative ones count from its end.

        Raises:
            InputError: if the reply is shorter.
        """
        start = self.layout.length if self.ahead else self.tokens.start
        count = self.tokens.stop - start
        if not -count <= index < count:
            raise InputError(f"reply token {index}", f"a token from 0 to {count - 1}")
        return start + index % count

    def row(self, token: int, layer: int, head: int) -> np.ndarray:
        """What one head looked at when the model chose ``token``.

        Returns:
            float32 ``[positions]``, summing to one; zero where it may not look.

        Raises:
            InputError: for a token, layer or head out of range.
        """
        return self.rows(token, layers=[layer], heads=[head])[0, 0, 0]

    def rows_of(self, tokens: Tokens) -> list[int]:
        """Rows of tokens; a part of the reply may be given by its name."""
        if isinstance(tokens, str):
            if tokens not in self.spans:
                names = ", ".join(map(repr, self.spans)) or "none of them has one here"
                raise InputError(f"tokens={tokens!r}", f"a position, a Span, or a part by its name: {names}")
            tokens = self.spans[tokens]
        return token_rows(tokens, self.tokens, self.ahead)

    def rows(self, tokens: Tokens, *, layers: Layers = None, heads: Layers = None) -> np.ndarray:
        """Exact rows of several tokens, layers and heads.

        Returns:
            float32 ``[layers, heads, tokens, positions]``.

        Raises:
            InputError: for a token, layer or head out of range.
        """
        rows = self.rows_of(tokens)
        return np.stack([self.layer_rows(at, rows, heads) for at in self.places(layers)])

    def mean(
        self, tokens: Tokens, *, layers: Layers = None, heads: Layers = None, sinks: bool = True
    ) -> np.ndarray:
        """Rows averaged over layers and heads, float32 ``[tokens, positions]``.

        Raises:
            InputError: for a token, layer or head out of range.
        """
        rows = self.rows_of(tokens)
        chosen = self.places(layers)
        out = np.zeros((len(rows), self.positions), dtype=np.float32)
        for places, part in self.chunks(rows):
            for layer in chosen:
                out[places] += self.drop_sinks(self.layer_rows(layer, part, heads), sinks).mean(axis=0)
        return out / np.float32(len(chosen))

    def drop_sinks(self, rows: np.ndarray, sinks: bool = False) -> np.ndarray:
        """Rows ``[..., positions]`` without the sinks, each summing to one again; unchanged where ``sinks``.

        A row that looked at nothing but sinks becomes zero.
        """
        if sinks or not self.sink_positions:
            return rows
        kept = rows.copy()
        kept[..., list(self.sink_positions)] = 0
        total = kept.sum(axis=-1, keepdims=True)
        return np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)

    def allowed(self, layer: int, rows: Sequence[int]) -> np.ndarray:
        """Where rows (counted from the first kept one) may look in a layer, bool ``[rows, positions]``.

        The layer is counted as in `places`.
        """
        at = np.asarray(rows, dtype=int) + self.tokens.start - self.ahead  # positions of the queries
        number = self.store[layer].mask
        if number is None:
            return np.arange(self.positions) <= at[:, None]
        mask = self.masks[number]
        return mask[np.asarray(rows, dtype=int)] if mask.ndim == 2 else mask == mask[at][:, None]

    @cached_property
    def sink_positions(self) -> tuple[int, ...]:
        """Positions of `sinks` at its defaults, which ``sinks=False`` leaves out."""

        return tuple(int(p) for p in np.flatnonzero(find_sinks(self.received, self.visible)))

    @cached_property
    def received(self) -> np.ndarray:
        """Attention that positions draw: mean over the rows that see them, ``[layers, heads, positions]``."""

        return received(self)

    @cached_property
    def visible(self) -> np.ndarray:
        """Part of the kept rows that may look at a position, most of any layer ``[positions]``."""
        rows = range(len(self.tokens))
        seen = {layer.mask: number for number, layer in enumerate(self.store)}
        return np.max([self.allowed(n, rows).mean(axis=0) for n in seen.values()], axis=0)

    # -- pictures -------------------------------------------------------------------------------

    def grid(self, image: int = 0, tile: int | None = None) -> PatchGrid:
        """The grid that shows a picture as a whole, or one of its crops.

        Raises:
            InputError: if there is no such picture or crop.
        """
        whole, *crops = picture_grids(self.layout, image)
        if tile is None:
            return whole
        if not 0 <= tile < len(crops):
            what = f"a crop from 0 to {len(crops) - 1}" if crops else "no tile: this picture has no crops"
            raise InputError(f"tile={tile!r}", what)
        return crops[tile]

    def picture(self, image: int = 0) -> np.ndarray:
        """Positions of all tokens that show a picture, crops included ``[positions]``."""
        grids = picture_grids(self.layout, image)
        return np.sort(np.concatenate([grid_positions(grid).ravel() for grid in grids]))

    # -- inside ----------------------------------------------------------------------------------

    def part(self, token: int) -> str:
        """Which part of the reply a token belongs to: "thought", "answer" or ""."""
        return next((name for name, span in self.spans.items() if token in span), "")

    def places(self, layers: Layers = None) -> list[int]:
        """Where layers lie in `store`, which is not their number where a hybrid decoder's are not all there.

        Raises:
            InputError: for a layer that is not there.
        """
        if self.whole:
            return numbers(layers, self.n_layers, "layer")
        there = {number: place for place, number in enumerate(self.layers)}
        asked = (
            numbers(layers, max(self.depth, max(there) + 1), "layer") if layers is not None else list(there)
        )
        if missing := [number for number in asked if number not in there]:
            raise InputError(
                f"layer={missing[0]}",
                f"a layer with attention rows: {', '.join(map(str, there))}",
                "this decoder is a hybrid: its other layers (linear attention, state spaces) form no rows",
            )
        return [there[number] for number in asked]

    def layer_rows(self, layer: int, rows: Sequence[int], heads: Layers) -> np.ndarray:
        """``[heads, rows, positions]`` of one layer, counted as in `places`."""
        chosen = numbers(heads, self.n_heads, "head")
        return self.store[layer].rows(rows, chosen, self.allowed(layer, rows))

    def chunks(self, rows: Sequence[int]) -> Iterator[tuple[slice, list[int]]]:
        """Rows in pieces that fit in memory with all heads."""
        step = max(1, CHUNK // (self.n_heads * self.positions))
        for start in range(0, len(rows), step):
            part = list(rows[start : start + step])
            yield slice(start, start + len(part)), part


REDUCE = ("mean", "max", "none")

GENERIC = "Write a general description of the image."
"""A question that asks for nothing in particular, as in arXiv 2502.17422; for `Attention.relative`."""


@dataclass(frozen=True, eq=False)
class Attention(AttentionRows):
    """Attention of one reply: exact rows, computed when asked for.

    A token is named by its position in ``Answer.token_ids``, as in ``answer.spans``; negative ones
    count from the end, and `reply` counts from the reply's start.  The row of a token is the one that
    *produced* it: what the model looked at when it chose this token (the query stands one position
    before it).  So every token of a reply has a row, and a word's row tells what the word came from.

    Where tokens are taken, "answer" and "thought" stand for these parts of the reply.

    ``layers`` and ``heads`` are a number, several, or None for all.  ``sinks=False`` leaves the
    positions of `sinks` out and shares the rest out anew, so that a row sums to one again.

    Args:
        store: one `LayerStore` for each layer.
        layout: where the pictures stand.
        texts: text of each token of ``Answer.token_ids``; empty strings where it is not known.
        tokens: the tokens that have a row.
        masks: what `LayerStore.mask` numbers: bool ``[rows, positions]``, True where a row may look;
            or integers ``[positions]``, which look at each other where they are equal.
        ahead: 1 here; 0 in `vision`, where a token is a patch and its row is its own.
        tower: the vision tower's own attention, the same kind of record; None where it was not kept.
        spans: parts of the reply, as in ``Answer.spans``.
        model: name of the model.
        depth: layers of the decoder, those without rows too; 0 where it is not known.

    Example:
        >>> from workbench.attention import make_attention
        >>> attention = make_attention(layers=2, heads=3, grid=(2, 4), reply=5, seed=0)
        >>> attention.map(attention.reply(0)).shape
        (2, 4)
    """

    tower: Attention | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the record holds in memory, the vision tower's included."""
        arrays = [a for layer in self.store for a in (layer.queries, layer.keys)]
        return sum(a.nbytes for a in (*arrays, *self.masks)) + (self.tower.nbytes if self.tower else 0)

    @property
    def vision(self) -> Attention:
        """The vision tower's own attention: the same verbs, with patches of the tower as tokens.

        Its ``layout`` numbers the tower's patches; a patch looks both ways.

        Raises:
            CapabilityError: if it was not kept.
        """
        if self.tower is None:
            raise CapabilityError(
                "an answer without the vision tower's attention",
                "a question about a picture, and a tower whose attention Transformers hands out",
                "ask about a picture with capture=True",
            )
        return self.tower

    # -- verbs over a picture --------------------------------------------------------------------

    @verb()
    def map(
        self,
        tokens: Tokens,
        image: int = 0,
        *,
        layers: Layers = None,
        heads: Layers = None,
        reduce: str = "mean",
        sinks: bool = True,
        tile: int | None = None,
    ) -> np.ndarray:
        """How much one token, or several, looked at each patch of a picture.

        Args:
            tokens: a position in ``Answer.token_ids``, several, or a span.
            image: number of the picture.
            layers, heads: which; None for all.
            reduce: "mean" or "max" over tokens, layers and heads; "none" keeps them apart.
            sinks: whether to keep the positions of `sinks`.
            tile: number of one of the picture's crops; None for the grid that shows it as a whole.

        Returns:
            float32 ``[rows, cols]``; with ``reduce="none"`` ``[layers, heads, tokens, rows, cols]``.

        Raises:
            InputError: for a token, layer, head, picture or crop out of range.
        """
        grid = self.grid(image, tile)
        cells = grid_positions(grid)
        if reduce not in REDUCE:
            raise InputError(f"reduce={reduce!r}", f"one of {', '.join(map(repr, REDUCE))}")
        if reduce == "mean":
            return self.mean(tokens, layers=layers, heads=heads, sinks=sinks).mean(axis=0)[cells]
        rows, chosen = self.rows_of(tokens), self.places(layers)
        n_heads = len(numbers(heads, self.n_heads, "head"))
        if reduce == "none":
            shape = (len(chosen), n_heads, len(rows), grid.rows, grid.cols)
            apart = np.empty(shape, dtype=np.float32)
            for places, part in self.chunks(rows):
                for number, layer in enumerate(chosen):
                    found = self.drop_sinks(self.layer_rows(layer, part, heads), sinks)
                    apart[number][:, places] = found[..., cells]
            return apart
        most = np.zeros((grid.rows, grid.cols), dtype=np.float32)
        for _, part in self.chunks(rows):
            for layer in chosen:
                found = self.drop_sinks(self.layer_rows(layer, part, heads), sinks)
                np.maximum(most, found[..., cells].max(axis=(0, 1)), out=most)
        return most

    def relative(
        self,
        generic: Attention,
        tokens: Tokens | None = None,
        *,
        image: int = 0,
        layers: Layers = None,
        heads: Layers = None,
        sinks: bool = True,
        tile: int | None = None,
    ) -> np.ndarray:
        """Relative attention (Zhang et al. 2025, arXiv 2502.17422): a map over that of a generic question.

        What draws attention whatever is asked, sinks and salient things, is divided out, layer by layer: 1
        where the question makes no difference, more where it is asked about.

        Args:
            generic: of the answer to a question that asks for nothing in particular, such as `GENERIC`, about
                the same picture; its first token's map is the divisor.
            tokens: as for `map`; None for the answer's first token.
            image, layers, heads, sinks, tile: as for `map`; heads are averaged before, layers after.

        Returns:
            float32 ``[rows, cols]``; 0 where the generic question does not look at all.

        Raises:
            InputError: as `map`; for another grid or number of layers, as of another picture or model.
        """
        mine, its = self.grid(image, tile), generic.grid(image, tile)
        own, other = ((g.rows, g.cols, a.n_layers) for g, a in ((mine, self), (its, generic)))
        if own != other:
            raise InputError(
                f"a generic answer's map of {other[0]} x {other[1]} patches and {other[2]} layers",
                f"one of {own[0]} x {own[1]} and {own[2]}, of the same picture and model",
            )
        chosen: dict[str, Any] = {"heads": heads, "sinks": sinks, "tile": tile}
        given = self._first() if tokens is None else tokens
        maps = [
            ratio(
                self.map(given, image, layers=layer, **chosen),
                generic.map(generic._first(), image, layers=layer, **chosen),
            )
            for layer in (self.layers[at] for at in self.places(layers))
        ]
        return np.stack(maps).mean(axis=0)

    def carried(
        self,
        tokens: Tokens | None = None,
        *,
        image: int = 0,
        layers: Layers = None,
        heads: Layers = None,
        residual: float = 0.5,
        sinks: bool = True,
    ) -> np.ndarray:
        """A map carried on through the vision tower: which patches the looked-at tokens were made of.

        A token that the decoder looks at holds what its patch gathered from others.  So the map's weights are
        rolled out over the tower's layers (Abnar and Zuidema 2020, arXiv 2005.00928), as in `flow`.

        Args:
            tokens: as for `map`; None for the answer's first token.
            image, layers, heads: of the decoder, as for `map`.
            residual: weight of the tower's residual stream, from 0 to 1; 1 carries nothing.
            sinks: whether to keep the positions of `sinks`, in the decoder and in the tower.

        Returns:
            float32 ``[rows, cols]`` on the tower's grid; it sums to what the map sums to.

        Raises:
            InputError: as `map`; for a residual out of range.
            CapabilityError: without the tower's attention, or where its grid is no multiple of the decoder's.
        """
        found = self.map(
            self._first() if tokens is None else tokens, image, layers=layers, heads=heads, sinks=sinks
        )
        tower, grid = self.vision, self.vision.grid(image)
        rows, cols = grid.rows // len(found), grid.cols // found.shape[1]
        if (rows * len(found), cols * found.shape[1]) != (grid.rows, grid.cols) or not rows * cols:
            raise CapabilityError(
                f"a tower of {grid.rows} x {grid.cols} patches below {len(found)} x {found.shape[1]} tokens",
                "a whole number of patches a token",
            )
        weights = np.zeros(tower.positions, dtype=np.float32)
        weights[grid_positions(grid)] = np.kron(found, np.full((rows, cols), 1 / (rows * cols)))
        return rolled(tower, weights, layers=None, residual=residual, sinks=sinks)[grid_positions(grid)]

    def _first(self) -> int:
        """The answer's first token, or the reply's where it has no answer."""
        span = self.spans.get("answer")
        return span.start if span else self.reply(0)

    def over_time(
        self, image: int = 0, *, layers: Layers = None, heads: Layers = None, sinks: bool = True
    ) -> pandas.DataFrame:
        """For each token of the reply: how much it looked at a picture, how widely, and at sinks.

        Args:
            image: number of the picture; its crops count in.
            layers, heads: averaged over; None for all.
            sinks: whether sinks count in ``share`` and ``entropy``.

        Returns:
            One row per token: ``token`` (its position), ``text``, ``part`` ("thought", "answer" or ""),
            ``share`` (of the attention, on the picture), ``entropy`` (bits, of the averaged attention
            within the picture; 0 for one patch), ``entropy_share`` (of the most that the picture's patches
            allow), ``sink_share`` (of the attention, on sinks anywhere).

        Raises:
            InputError: for a picture, layer or head out of range.
        """

        return over_time(self, image, layers=layers, heads=heads, sinks=sinks)

    def reverse(
        self, region: Region | Box, *, layers: Layers = None, heads: Layers = None, sinks: bool = True
    ) -> pandas.DataFrame:
        """Which tokens looked at a part of a picture.

        Args:
            region: a `workbench.types.Region`, or a box in pixels of the first picture.
            layers, heads: averaged over; None for all.
            sinks: whether to keep the positions of `sinks`.

        Returns:
            One row per token, in their order: ``token``, ``text``, ``part``, ``share`` (of the attention,
            on the region), ``inside`` (of the attention on the picture, the part on the region), ``lift``
            (``inside`` over the region's part of the patches: 1 is what uniform attention gives).

        Raises:
            InputError: for a region that is not inside its picture; a layer or head out of range.
        """

        return reverse(self, region, layers=layers, heads=heads, sinks=sinks)

    def heads(
        self, region: Region | Box, tokens: Tokens | None = None, *, sinks: bool = True
    ) -> pandas.DataFrame:
        """All heads, ranked by how well they point at a part of a picture.

        Args:
            region: a `workbench.types.Region`, or a box in pixels of the first picture.
            tokens: whose rows count; None for all of the reply's.
            sinks: whether to keep the positions of `sinks`.

        Returns:
            One row per head, best first: ``layer``, ``head``, ``score`` (attention on the region above what
            uniform attention over the picture would put there: a head that ignores the picture scores 0),
            ``on_region``, ``on_image``, ``inside`` (of the attention on the picture, the part on the
            region), ``hit`` (part of the tokens whose most seen patch lies in the region).

        Raises:
            InputError: for a region that is not inside its picture, or a token out of range.
        """

        return rank_heads(self, region, tokens, sinks=sinks)

    def sinks(self, *, factor: float = 10.0, share: float = 0.5) -> pandas.DataFrame:
        """Positions that draw attention whatever is asked: sinks.

        After Gu et al. 2025 (arXiv 2410.10781): a position's attention, averaged over the rows that
        can see it, is compared with uniform attention, head by head; a sink is above ``factor`` times that
        in at least ``share`` of all heads.  Only positions that half of the rows see are judged.

        Returns:
            One row a sink, strongest first: ``position``, ``text``, ``image``, ``row``, ``col`` (-1 where
            it is text), ``head_share`` (of all heads), ``attention`` (mean over rows and heads).

        Raises:
            InputError: for a factor or share out of range.
        """

        return sink_table(self, factor=factor, share=share)

    def rollout(
        self, token: int, image: int = 0, *, layers: Layers = None, residual: float = 0.5, sinks: bool = True
    ) -> np.ndarray:
        """Attention rolled out over the layers, as a map; see `flow`.

        Returns:
            float32 ``[rows, cols]``.

        Raises:
            InputError: for a token, picture, layer or residual out of range.
        """
        cells = grid_positions(self.grid(image))
        return self.flow(token, layers=layers, residual=residual, sinks=sinks)[cells]

    def flow(
        self, token: int, *, layers: Layers = None, residual: float = 0.5, sinks: bool = True
    ) -> np.ndarray:
        """Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928) of one token, ``[positions]``.

        Attention of the heads' mean, with the residual stream counted as looking at oneself, multiplied
        over the layers.  Where the prompt's rows were not kept (``capture="all"`` keeps them) a prompt
        position passes on itself alone: the flow through the reply's own tokens is exact, mixing among
        the prompt's tokens is left out.

        Args:
            token: the token whose production is traced.
            layers: which; None for all.
            residual: weight of the residual stream, from 0 to 1.
            sinks: whether to keep the positions of `sinks` on the way.

        Raises:
            InputError: for a token, layer or residual out of range.
        """

        return flow(self, token, layers=layers, residual=residual, sinks=sinks)

    def plot(self, tokens: Tokens | None = None, **options: Any) -> Figure:
        """A small map for each layer and head; options as for `workbench.viz.sheet`.

        Args:
            tokens: a token of the reply, or a span; None for the answer without its thought.

        Raises:
            InputError: as `map`.
        """
        return later("viz", "sheet")(self, tokens, **options)

    # -- on disk ---------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Save as one safetensors file, replacing one that is there.

        Raises:
            DiskError: if it cannot be written there.
        """

        return save_attention(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Attention:
        """Load what `save` wrote; needs no model and no torch.

        Raises:
            InputError: if it is not there, damaged, or of another format.
        """

        return load_attention(path)

    def __repr__(self) -> str:
        what = "tokens" if self.ahead else "patches"
        tower = "" if self.tower is None else f", vision: {self.tower.n_layers} x {self.tower.n_heads}"
        return (
            f"Attention({self.n_layers} layers x {self.n_heads} heads, {len(self.tokens)} {what} over "
            f"{self.positions} positions{tower}, {self.nbytes / 2**20:.1f} MiB)"
        )


SEEN = 0.5  # part of the rows that must see a position before it is judged


def received(attention: AttentionRows) -> np.ndarray:
    """Attention that each position draws, mean over the rows that see it.

    Returns:
        float32 ``[layers, heads, positions]``.
    """
    rows = range(len(attention.tokens))
    total = np.zeros((attention.n_layers, attention.n_heads, attention.positions), dtype=np.float32)
    seen = np.zeros((attention.n_layers, 1, attention.positions), dtype=np.float32)
    for _, part in attention.chunks(rows):
        for layer in attention.places():
            total[layer] += attention.layer_rows(layer, part, None).sum(axis=1)
            seen[layer, 0] += attention.allowed(layer, part).sum(axis=0)
    return total / np.maximum(seen, 1)


def find_sinks(
    received: np.ndarray, visible: np.ndarray, *, factor: float = 10.0, share: float = 0.5
) -> np.ndarray:
    """Which positions are sinks, bool ``[positions]``; see `Attention.sinks`."""
    return (head_share(received, factor) >= share) & (visible >= SEEN)


def head_share(received: np.ndarray, factor: float) -> np.ndarray:
    """Share of heads in which a position draws over ``factor`` times uniform attention ``[positions]``."""
    return (received > factor / received.shape[-1]).mean(axis=(0, 1))


def sink_table(attention: AttentionRows, *, factor: float, share: float) -> pandas.DataFrame:
    """See `Attention.sinks`."""
    import pandas as pd

    if not factor > 0:
        raise InputError(f"factor={factor!r}", "a number above 0")
    if not 0 < share <= 1:
        raise InputError(f"share={share!r}", "a number above 0, at most 1")
    found = np.flatnonzero(find_sinks(attention.received, attention.visible, factor=factor, share=share))
    shares = head_share(attention.received, factor)
    means = attention.received.mean(axis=(0, 1))
    table = []
    for position in map(int, found):
        place = attention.layout.locate(position)
        image, row, col = (-1, -1, -1) if place is None else (place[0].image, place[1], place[2])
        where = {"position": position, "text": attention.texts[position], "image": image}
        numbers = {"head_share": float(shares[position]), "attention": float(means[position])}
        table.append({**where, "row": row, "col": col, **numbers})
    columns = ["position", "text", "image", "row", "col", "head_share", "attention"]
    frame = pd.DataFrame(table, columns=columns)
    return frame.sort_values("attention", ascending=False, kind="stable").reset_index(drop=True)


def flow(attention: Attention, token: int, *, layers: Layers, residual: float, sinks: bool) -> np.ndarray:
    """See `Attention.flow`."""
    (row,) = token_rows([token], attention.tokens, attention.ahead)
    weights = np.zeros(attention.positions, dtype=np.float32)
    weights[attention.tokens.start - attention.ahead + row] = 1
    return rolled(attention, weights, layers=layers, residual=residual, sinks=sinks)


def rolled(
    attention: Attention, weights: np.ndarray, *, layers: Layers, residual: float, sinks: bool
) -> np.ndarray:
    """Weights of positions, rolled out over the layers.

    Some rows of the product of all layers' matrices are a vector times one matrix after the other, from
    the last layer down: no matrix of positions x positions is ever kept.
    """
    if not 0 <= residual <= 1:
        raise InputError(f"residual={residual!r}", "a number from 0 to 1")
    first = attention.tokens.start - attention.ahead  # position of the first kept query
    if layers is None and not attention.whole:
        raise InputError(
            f"attention rolled out over layers {', '.join(map(str, attention.layers))} alone",
            "a decoder all of whose layers have attention rows",
            "this one is a hybrid: what its other layers move is in no row; name layers= to leave them out",
        )
    for layer in reversed(attention.places(layers)):
        active = [int(p) - first for p in np.flatnonzero(weights) if p >= first]
        passed = weights.copy()
        passed[[first + r for r in active]] *= residual  # positions without a row pass on themselves
        for _, part in attention.chunks(active):
            rows = attention.drop_sinks(attention.layer_rows(layer, part, None), sinks).mean(axis=0)
            passed += (1 - residual) * (weights[[first + r for r in part]] @ rows)
        weights = passed
    return weights


def over_time(
    attention: Attention, image: int, *, layers: Layers, heads: Layers, sinks: bool
) -> pandas.DataFrame:
    """See `Attention.over_time`."""
    import pandas as pd

    picture = attention.picture(image)
    tokens = reply_tokens(attention)
    raw = attention.mean(tokens, layers=layers, heads=heads)
    kept = raw if sinks else attention.mean(tokens, layers=layers, heads=heads, sinks=False)
    bits = entropy(kept[:, picture])
    most = np.log2(len(picture)) if len(picture) > 1 else 1.0
    return pd.DataFrame(
        {
            **_names(attention, tokens),
            "share": kept[:, picture].sum(axis=1),
            "entropy": bits,
            "entropy_share": bits / most,
            "sink_share": raw[:, list(attention.sink_positions)].sum(axis=1),
        }
    )


def reverse(
    attention: Attention, region: Region | Box, *, layers: Layers, heads: Layers, sinks: bool
) -> pandas.DataFrame:
    """See `Attention.reverse`."""
    import pandas as pd

    inside, found = region_positions(attention.layout, region)
    picture = attention.picture(found.image)
    tokens = reply_tokens(attention)
    rows = attention.mean(tokens, layers=layers, heads=heads, sinks=sinks)
    share, on_image = rows[:, inside].sum(axis=1), rows[:, picture].sum(axis=1)
    part = ratio(share, on_image)
    lift = part * (len(picture) / len(inside))
    return pd.DataFrame({**_names(attention, tokens), "share": share, "inside": part, "lift": lift})


def rank_heads(
    attention: Attention, region: Region | Box, tokens: Tokens | None, *, sinks: bool
) -> pandas.DataFrame:
    """See `Attention.heads`."""
    import pandas as pd

    inside, found = region_positions(attention.layout, region)
    picture = attention.picture(found.image)
    rows = attention.rows_of(reply_tokens(attention) if tokens is None else tokens)
    shape = (attention.n_layers, attention.n_heads)
    on_region, on_image, hit = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for _, part in attention.chunks(rows):
        for layer in attention.places():
            looks = attention.drop_sinks(attention.layer_rows(layer, part, None), sinks)
            on_region[layer] += looks[..., inside].sum(axis=(1, 2))
            on_image[layer] += looks[..., picture].sum(axis=(1, 2))
            hit[layer] += np.isin(picture[looks[..., picture].argmax(axis=-1)], inside).sum(axis=1)
    on_region, on_image, hit = (total / len(rows) for total in (on_region, on_image, hit))
    layers, heads = np.indices(shape)
    frame = pd.DataFrame(
        {
            "layer": np.asarray(attention.layers)[layers.ravel()],
            "head": heads.ravel(),
            "score": (on_region - on_image * (len(inside) / len(picture))).ravel(),
            "on_region": on_region.ravel(),
            "on_image": on_image.ravel(),
            "inside": ratio(on_region, on_image).ravel(),
            "hit": hit.ravel(),
        }
    )
    return frame.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)


def reply_tokens(attention: Attention) -> Span:
    """The tokens of the reply; in the vision tower all patches."""
    start = attention.layout.length if attention.ahead else attention.tokens.start
    return Span(max(start, attention.tokens.start), attention.tokens.stop)


def entropy(weights: np.ndarray) -> np.ndarray:
    """Entropy in bits of each row of ``[rows, cells]``, which need not sum to one."""
    p = ratio(weights, weights.sum(axis=-1, keepdims=True))
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, 0 where there is no whole."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _names(attention: Attention, tokens: Span) -> dict[str, Any]:
    texts = [attention.texts[token] for token in tokens]
    return {"token": list(tokens), "text": texts, "part": [attention.part(token) for token in tokens]}


FORMAT = "workbench.attention"
VERSION = 1


TAG = re.compile(r"<[|/]*([^<>|]+)\|?>")


def tag_name(text: str) -> str:
    """What a control token is called: its own word where it has one, else "control"; "" for other text."""
    found = TAG.fullmatch(text.strip())
    if not found:
        return ""
    name = found[1].strip("_/ ")
    return "control" if re.fullmatch(r"(dummy|reserved|unused|extra|special).*\d+", name) else name


def save_attention(attention: Attention, path: str | Path) -> Path:
    """Write a record; see `Attention.save`."""
    path = local_path(path)
    if path.is_dir():
        raise InputError(f"path={str(path)!r} is a folder", "the name of a file")
    tensors, about = _parts(attention, "")
    header = {"format": FORMAT, "version": str(VERSION), "about": json.dumps(about, ensure_ascii=False)}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(path, save_tensors(tensors, metadata=header))


def load_attention(path: str | Path) -> Attention:
    """Read a record back; see `Attention.load`."""
    path = local_path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder")
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if (header.get("format"), header.get("version")) != (FORMAT, str(VERSION)):
                raise InputError(f"path={str(path)!r} has another format", f"{FORMAT} version {VERSION}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return _whole(tensors, json.loads(header["about"]), "")
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a file that Attention.save wrote"
        ) from None
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise InputError(
            f"path={str(path)!r} is damaged: {type(error).__name__}: {error}",
            "a file that Attention.save wrote",
            "save the record again",
        ) from None


def _parts(attention: Attention, prefix: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors: dict[str, np.ndarray] = {}
    for number, layer in enumerate(attention.store):
        tensors[f"{prefix}queries.{number}"] = np.ascontiguousarray(layer.queries)
        tensors[f"{prefix}keys.{number}"] = np.ascontiguousarray(layer.keys)
    for number, mask in enumerate(attention.masks):
        tensors[f"{prefix}mask.{number}"] = np.ascontiguousarray(mask)
    about: dict[str, Any] = {
        "layers": [[layer.scale, layer.mask, layer.number] for layer in attention.store],
        "masks": len(attention.masks),
        "layout": attention.layout.to_dict(),
        "texts": list(attention.texts),
        "tokens": [attention.tokens.start, attention.tokens.stop],
        "ahead": attention.ahead,
        "spans": {name: [span.start, span.stop] for name, span in attention.spans.items()},
        "model": attention.model,
        "depth": attention.depth,
        "vision": None,
    }
    if attention.tower is not None:
        more, about["vision"] = _parts(attention.tower, f"{prefix}vision.")
        tensors |= more
    return tensors, about


def _whole(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any], prefix: str) -> Attention:

    store = tuple(
        LayerStore(tensors[f"{prefix}queries.{n}"], tensors[f"{prefix}keys.{n}"], float(scale), *rest)
        for n, (scale, *rest) in enumerate(about["layers"])
    )
    vision = about["vision"]
    return Attention(
        store=store,
        layout=TokenLayout.from_dict(about["layout"]),
        texts=tuple(about["texts"]),
        tokens=Span(*about["tokens"]),
        masks=tuple(tensors[f"{prefix}mask.{n}"] for n in range(about["masks"])),
        ahead=int(about["ahead"]),
        tower=None if vision is None else _whole(tensors, vision, f"{prefix}vision."),
        spans={name: Span(*span) for name, span in about["spans"].items()},
        model=str(about["model"]),
        depth=int(about.get("depth", 0)),  # not in records from before
    )
