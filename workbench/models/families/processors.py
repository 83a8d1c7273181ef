"""Loading a model's processor, also where only its video part cannot run.

Transformers' video processors need torchvision.  A machine without it can still show pictures to a
model whose processor merely *has* a video part: that part is left out.

The rows of a processor's batch, without their padding and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import LoadError

__all__ = ["Row", "load_processor", "pad_left", "read_rows"]


def load_processor(source: Any, **kwargs: Any) -> Any:
    """The processor of a checkpoint, without its video part where that cannot be built here.

    Args:
        source: a folder in the Hub's layout, or a Hub id.
        kwargs: for ``AutoProcessor.from_pretrained`` (revision, token, trust_remote_code...).

    Raises:
        LoadError: if the checkpoint has no processor, or it needs something that is not installed.
    """
    from transformers import AutoProcessor
    from transformers.utils import is_torchvision_available

    from .. import phi4_rv  # noqa: F401  (registers the native classes)

    if not is_torchvision_available():
        kwargs.setdefault("backend", "pil")
    try:
        processor = AutoProcessor.from_pretrained(source, **kwargs)
    except (ImportError, ValueError) as error:
        if not any(word in str(error).lower() for word in ("torchvision", "video processor")):
            raise _unusable(source, error) from error
        return _without_video(source, error, kwargs)
    if not hasattr(processor, "tokenizer"):
        raise LoadError(
            f"{source}, whose processor is only a {type(processor).__name__}",
            "a model that takes pictures and text",
            "choose an image-text-to-text model",
        )
    return processor


def _unusable(source: Any, error: Exception) -> LoadError:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    given = f"the processor of {source}, which cannot be built here: {line}"
    if "torchvision" in str(error).lower():
        return LoadError(given, "torchvision, built for your PyTorch", "pip install torchvision")
    if isinstance(error, ImportError):
        return LoadError(given, "all packages that this processor uses", "install the package named above")
    return LoadError(given, "tokenizer and preprocessor files beside config.json")


def _without_video(source: Any, error: Exception, kwargs: dict[str, Any]) -> Any:
    """Build the processor's own class, with one part fewer."""
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    hub = {key: value for key, value in kwargs.items() if key not in ("backend", "use_fast")}
    cls = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(source, **hub)), None)
    if cls is None or "video_processor" not in cls.get_attributes():
        raise _unusable(source, error) from error
    try:
        return _pictures_only(cls).from_pretrained(source, **kwargs)
    except (ImportError, ValueError) as other:
        raise _unusable(source, other) from other


def _pictures_only(cls: Any) -> Any:
    """A subclass of a processor class that has None for its video processor."""
    parts = cls.get_attributes()
    kept = [part for part in parts if part != "video_processor"]

    class PicturesOnly(cls):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return kept

        @classmethod
        def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
            given = dict(zip(kept, args, strict=True))
            return super().from_args_and_dict([given.get(part) for part in parts], processor_dict, **kwargs)

    PicturesOnly.__name__ = PicturesOnly.__qualname__ = cls.__name__
    return PicturesOnly


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
