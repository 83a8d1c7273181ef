"""What one attention layer shows while a model runs: queries, keys and masks, kept without copying much"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..errors import CapabilityError

__all__ = ["DecoderLayer", "Step", "StepMasks", "TowerLayer"]

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
    sliding window forgets, so its keys are kept as they come.

    Args:
        scale: factor of the scores.
        window: the layer's sliding window; None where it sees everything.
        prompt_rows: whether the prompt's queries are kept.
    """

    scale: float
    window: int | None
    prompt_rows: bool
    past: int = 0
    queries: list[torch.Tensor] = field(default_factory=list)
    pieces: list[torch.Tensor] = field(default_factory=list)
    keys: torch.Tensor | None = None
    steps: list[Step] = field(default_factory=list)
    _single: int = 0

    def take(
        self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, masks: StepMasks
    ) -> None:
        """Keep one call: ``[batch, heads, tokens, width]`` and ``[batch, key heads, keys, width]``."""
        new, there, end = query.shape[2], key.shape[2], self.past + query.shape[2]
        kept = new if self.prompt_rows or self.past else 1
        self._add(query if kept == new else query[:, :, -kept:].clone())
        if self.window is not None:
            start = self.past if there >= end else there - new
            self.pieces.append(key[:, :, start : start + new].clone())
        elif there < end:
            raise CapabilityError(
                f"a cache of {there} positions after {end} tokens",
                "one sequence with a cache that keeps every position",
                "open one capture for each sequence",
            )
        else:
            self.keys = key
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
