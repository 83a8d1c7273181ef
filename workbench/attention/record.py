"""The record `Attention`: what each token of a reply looked at, at any layer and head"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CapabilityError, InputError
from ..types import Box, Region
from .rows import AttentionRows
from .select import Layers, Tokens, grid_positions, numbers, token_rows

if TYPE_CHECKING:
    import pandas

__all__ = ["REDUCE", "Attention"]

REDUCE = ("mean", "max", "none")


@dataclass(frozen=True, eq=False)
class Attention(AttentionRows):
    """Attention of one reply: exact rows, computed when asked for.

    A token is named by its position in ``Answer.token_ids``, as in ``answer.spans``; negative ones
    count from the end, and `reply` counts from the reply's start.  The row of a token is the one that
    *produced* it: what the model looked at when it chose this token (the query stands one position
    before it).  So every token of a reply has a row, and a word's row tells what the word came from.

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
        rows, chosen = token_rows(tokens, self.tokens, self.ahead), self._layers(layers)
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

    def over_time(
        self, image: int = 0, *, layers: Layers = None, heads: Layers = None, sinks: bool = True
    ) -> pandas.DataFrame:
        """For each token of the reply: how much it looked at a picture, how widely, and at sinks.

        Args:
            image: number of the picture; its crops count in.
            layers, heads: averaged over; None for all.
            sinks: whether sinks count in ``share`` and ``entropy``.

        Returns:
            One row a token: ``token`` (its position), ``text``, ``part`` ("thought", "answer" or ""),
            ``share`` (of the attention, on the picture), ``entropy`` (bits, of the averaged attention
            within the picture; 0 for one patch), ``entropy_share`` (of the most that the picture's patches
            allow), ``sink_share`` (of the attention, on sinks anywhere).

        Raises:
            InputError: for a picture, layer or head out of range.
        """
        from .tables import over_time

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
            One row a token, in their order: ``token``, ``text``, ``part``, ``share`` (of the attention,
            on the region), ``inside`` (of the attention on the picture, the part on the region), ``lift``
            (``inside`` over the region's part of the patches: 1 is what an even look gives).

        Raises:
            InputError: for a region that is not inside its picture; a layer or head out of range.
        """
        from .tables import reverse

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
            One row a head, best first: ``layer``, ``head``, ``score`` (attention on the region above what
            an even look at the picture would put there: a head that ignores the picture scores 0),
            ``on_region``, ``on_image``, ``inside`` (of the attention on the picture, the part on the
            region), ``hit`` (part of the tokens whose most seen patch lies in the region).

        Raises:
            InputError: for a region that is not inside its picture, or a token out of range.
        """
        from .tables import rank_heads

        return rank_heads(self, region, tokens, sinks=sinks)

    def sinks(self, *, factor: float = 10.0, share: float = 0.5) -> pandas.DataFrame:
        """Positions that draw attention whatever is asked: sinks.

        After Gu et al. 2025 (arXiv 2410.10781): a position's attention, averaged over the rows that
        can see it, is compared with an even look, head by head; a sink is above ``factor`` times that
        in at least ``share`` of all heads.  Only positions that half of the rows see are judged.

        Returns:
            One row a sink, strongest first: ``position``, ``text``, ``image``, ``row``, ``col`` (-1 where
            it is text), ``head_share`` (of all heads), ``attention`` (mean over rows and heads).

        Raises:
            InputError: for a factor or share out of range.
        """
        from .sinks import sink_table

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
        from .rollout import flow

        return flow(self, token, layers=layers, residual=residual, sinks=sinks)

    # -- on disk ---------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Save as one safetensors file, replacing one that is there.

        Raises:
            InputError: if it cannot be written there.
        """
        from .attention_file import save_attention

        return save_attention(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Attention:
        """Load what `save` wrote; needs no model and no torch.

        Raises:
            InputError: if it is not there, damaged, or of another format.
        """
        from .attention_file import load_attention

        return load_attention(path)

    def __repr__(self) -> str:
        what = "tokens" if self.ahead else "patches"
        tower = "" if self.tower is None else f", vision: {self.tower.n_layers} x {self.tower.n_heads}"
        return (
            f"Attention({self.n_layers} layers x {self.n_heads} heads, {len(self.tokens)} {what} over "
            f"{self.positions} positions{tower}, {self.nbytes / 2**20:.1f} MiB)"
        )
