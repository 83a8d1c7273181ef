"""The rows of a processor's batch, without their padding and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Row", "pad_left", "read_rows"]

_PER_TOKEN = ("token_type_ids", "mm_token_type_ids")
"""Tensors beside the ids that have one value per token; 0 is text in each of them."""


@dataclass
class Row:
    """One conversation of a batch: its ids, and the other values that go with each token."""

    ids: list[int]
    extras: dict[str, list[int]]


def read_rows(batch: Mapping[str, Any], expansions: Mapping[int, Sequence[int]]) -> list[Row]:
    """Rows without padding, with each id of ``expansions`` replaced by the ids that it stands for."""
    ids, mask = torch.as_tensor(batch["input_ids"]), torch.as_tensor(batch["attention_mask"])
    names = [name for name in _PER_TOKEN if name in batch]
    rows = []
    for number in range(len(ids)):
        keep = mask[number].bool()
        row = Row(
            ids[number][keep].tolist(), {n: torch.as_tensor(batch[n])[number][keep].tolist() for n in names}
        )
        rows.append(_expand(row, expansions) if expansions else row)
    return rows


def _expand(row: Row, expansions: Mapping[int, Sequence[int]]) -> Row:
    out = Row([], {name: [] for name in row.extras})
    for at, token in enumerate(row.ids):
        new = expansions.get(token, (token,))
        out.ids.extend(new)
        for name, values in row.extras.items():
            out.extras[name].extend([values[at]] * len(new))
    return out


def pad_left(batch: Mapping[str, Any], rows: Sequence[Row], pad_id: int) -> dict[str, torch.Tensor]:
    """The batch's tensors with its token rows rebuilt, padded on the left."""
    longest = max(len(row.ids) for row in rows)

    def padded(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[fill] * (longest - len(v)) + list(v) for v in values], dtype=torch.long)

    out = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
    out["input_ids"] = padded([row.ids for row in rows], pad_id)
    out["attention_mask"] = padded([[1] * len(row.ids) for row in rows], 0)
    for name in rows[0].extras:
        out[name] = padded([row.extras[name] for row in rows], 0)
    return out
