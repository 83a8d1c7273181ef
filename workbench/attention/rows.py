"""Exact rows of a record, and what is averaged over them: the lower half of `Attention`"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..errors import InputError
from ..types import PatchGrid, Span, TokenLayout
from .select import Layers, Tokens, grid_positions, numbers, picture_grids, token_rows
from .store import LayerStore

__all__ = ["AttentionRows"]

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

    def __post_init__(self) -> None:
        assert self.store, "a record of no layer"
        sizes = {(layer.queries.shape[1], layer.keys.shape[1]) for layer in self.store}
        assert sizes == {(len(self.tokens), self.positions)}, (sizes, self.tokens, self.positions)
        assert len({layer.heads for layer in self.store}) == 1, [layer.heads for layer in self.store]

    # -- its size --------------------------------------------------------------------------------

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.store)

    @property
    def n_heads(self) -> int:
        """Number of heads in a layer."""
        return self.store[0].heads

    @property
    def layers(self) -> range:
        """The layers' numbers."""
        return range(self.n_layers)

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

    def rows(self, tokens: Tokens, *, layers: Layers = None, heads: Layers = None) -> np.ndarray:
        """Exact rows of several tokens, layers and heads.

        Returns:
            float32 ``[layers, heads, tokens, positions]``.

        Raises:
            InputError: for a token, layer or head out of range.
        """
        rows = token_rows(tokens, self.tokens, self.ahead)
        return np.stack([self.layer_rows(layer, rows, heads) for layer in self._layers(layers)])

    def mean(
        self, tokens: Tokens, *, layers: Layers = None, heads: Layers = None, sinks: bool = True
    ) -> np.ndarray:
        """Rows averaged over layers and heads, float32 ``[tokens, positions]``.

        Raises:
            InputError: for a token, layer or head out of range.
        """
        rows = token_rows(tokens, self.tokens, self.ahead)
        chosen = self._layers(layers)
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
        """Where rows (counted from the first kept one) may look in a layer, bool ``[rows, positions]``."""
        at = np.asarray(rows, dtype=int) + self.tokens.start - self.ahead  # positions of the queries
        number = self.store[layer].mask
        if number is None:
            return np.arange(self.positions) <= at[:, None]
        mask = self.masks[number]
        return mask[np.asarray(rows, dtype=int)] if mask.ndim == 2 else mask == mask[at][:, None]

    @cached_property
    def sink_positions(self) -> tuple[int, ...]:
        """Positions of `sinks` at its defaults, which ``sinks=False`` leaves out."""
        from .sinks import find_sinks

        return tuple(int(p) for p in np.flatnonzero(find_sinks(self.received, self.visible)))

    @cached_property
    def received(self) -> np.ndarray:
        """Attention that positions draw: mean over the rows that see them, ``[layers, heads, positions]``."""
        from .sinks import received

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

    def _layers(self, layers: Layers) -> list[int]:
        return numbers(layers, self.n_layers, "layer")

    def layer_rows(self, layer: int, rows: Sequence[int], heads: Layers) -> np.ndarray:
        """``[heads, rows, positions]`` of one layer."""
        chosen = numbers(heads, self.n_heads, "head")
        return self.store[layer].rows(rows, chosen, self.allowed(layer, rows))

    def chunks(self, rows: Sequence[int]) -> Iterator[tuple[slice, list[int]]]:
        """Rows in pieces that fit in memory with all heads."""
        step = max(1, CHUNK // (self.n_heads * self.positions))
        for start in range(0, len(rows), step):
            part = list(rows[start : start + step])
            yield slice(start, start + len(part)), part
