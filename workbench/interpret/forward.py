"""Teacher-forced scoring: how probable an answer is when its pictures are altered.

`Scorer` is the one place where altered pictures meet the model; occlusion, Shapley values, greedy
search and faithfulness curves all ask it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..answer import Answer
from ..errors import InputError, OutOfMemoryError
from ..models.device import release_memory
from ..models.handle import VLM
from ..models.worker import is_out_of_memory
from ..types import Span
from .engine import Engine
from .pixels import PixelMap, fill_picture
from .prompts import Prompt
from .regions import Regions, make_regions
from .targets import Scored, Target, make_target

__all__ = ["Scorer"]

Alter = Callable[[np.ndarray], tuple[torch.Tensor, np.ndarray]]


class Scorer:
    """The log-probability of a target, in nats, for batches of altered pictures.

    Example::

        scorer = Scorer(vlm, answer)
        scorer.base  # with the pictures as they are
        scorer([[picture_a], [picture_b]])  # with other pictures of the same size
        hidden = np.eye(scorer.patches, dtype=bool)  # each patch by itself
        scorer.masked(hidden, fill="mean")

    A batch that does not fit into memory is halved, and so are those that follow.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        target: what is scored; see `targets.make_target`.
        batch_size: altered pictures at a time.

    Raises:
        CapabilityError: for a model behind a server, or an answer of one.
        InputError: for an empty answer, an answer of another model, or a target out of range.
    """

    def __init__(self, vlm: VLM, answer: Answer, target: Any = None, *, batch_size: int = 16) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size={batch_size!r}", "a whole number, at least 1")
        self.prompt = Prompt.of(vlm, answer)
        self.vlm, self.answer, self.batch_size = vlm, answer, batch_size
        self.target: Target = make_target(answer, target, tokenizer=vlm.tokenizer)
        self.forwards = 0  # altered picture sets that the model has read
        self.on_batch: Callable[[int], None] = lambda done: None  # a progress bar's hand
        self.engine = Engine(self.prompt)
        self._base: float | None = None
        self._map: PixelMap | None = None
        self._fills: dict[str, torch.Tensor] = {}
        self._patches: Regions | None = None
        self._alter: tuple[Regions, str, Alter] | None = None

    # -- what is asked ---------------------------------------------------------------------------

    @property
    def base(self) -> float:
        """The score with the pictures as they are."""
        if self._base is None:
            self._base = float(self._batched(1, lambda at: self.engine.original(1))[0])
        return self._base

    @property
    def known_base(self) -> float:
        """The same, without counting its forward pass."""
        before, tell, self.on_batch = self.forwards, self.on_batch, lambda done: None
        base = self.base
        self.forwards, self.on_batch = before, tell
        return base

    @property
    def patches(self) -> int:
        """Cells of all ``answer.layout.images``, in the order of the pictures, row by row."""
        assert self.answer.layout is not None, "checked with the prompt"
        return sum(len(grid) for grid in self.answer.layout.images)

    def __call__(self, pictures_batch: Sequence[Sequence[Image.Image]]) -> np.ndarray:
        """Scores ``[n]`` of ``n`` sets of pictures, each as many and of the same sizes as the answer's.

        Raises:
            InputError: if a set does not match the answer's pictures.
            OutOfMemoryError: if not even one set fits.
        """
        sets = [list(pictures) for pictures in pictures_batch]
        self._need_pictures()

        def part(at: slice) -> Any:
            altered = [[a is not b for a, b in zip(s, self.answer.images, strict=False)] for s in sets[at]]
            return self.prompt.process_many(sets[at]), np.array(altered)

        return self._batched(len(sets), part)

    def masked(
        self, regions_masks: np.ndarray, *, regions: Regions | None = None, fill: str = "mean"
    ) -> np.ndarray:
        """Scores ``[n]`` with regions hidden.

        Args:
            regions_masks: bool ``[n, regions]``, True where a region is hidden.
            regions: what the columns mean; None for the patches, as `patches` counts them.
            fill: what hidden regions show: "mean" (their picture's mean colour), "blur" or "white".

        Raises:
            InputError: for masks of another shape, or an unknown fill.
            OutOfMemoryError: if not even one row fits.
        """
        self._need_pictures()
        if regions is None:
            self._patches = regions = self._patches or make_regions(self.answer)
        masks = np.asarray(regions_masks)
        if masks.ndim != 2 or masks.shape[1] != len(regions) or masks.dtype != bool:
            raise InputError(
                f"masks of {masks.dtype} and shape {masks.shape}",
                f"bool [n, {len(regions)}], True where hidden",
            )
        if self._alter is None or self._alter[0] is not regions or self._alter[1] != fill:
            self._alter = (regions, fill, self.alterer(regions, fill))
        alter = self._alter[2]
        return self._batched(len(masks), lambda at: alter(masks[at]))

    def without_pictures(self) -> float:
        """The score of the same reply when the conversation has no picture at all."""
        prompt = self.prompt.without_pictures()
        engine, target = Engine(prompt), _moved(self.target, self.answer, prompt.answer)
        return float(self._batched(1, lambda at: engine.original(1), engine=engine, target=target)[0])

    # -- for methods -----------------------------------------------------------------------------

    def alterer(self, regions: Regions, fill: str) -> Alter:
        """A function from masks bool ``[n, regions]`` to (pixels ``[n, *shape]``, which pictures changed
        bool ``[n, pictures]``)."""
        atoms = torch.from_numpy(self.pixel_map.atoms(regions))  # -1, outside, reads the last column
        original, filled = self.prompt.pixels, self.filled(fill)
        owner = regions.images()[:, None] == np.arange(len(self.answer.images))[None, :]

        def alter(masks: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
            hidden = regions.hidden_atoms(masks)
            columns = torch.from_numpy(np.pad(hidden, ((0, 0), (0, 1))))
            pixels = torch.where(columns[:, atoms], filled, original)
            return pixels, (hidden.astype(np.int64) @ owner.astype(np.int64)) > 0

        return alter

    @property
    def pixel_map(self) -> PixelMap:
        """Where each element of ``pixel_values`` lies in the original pictures."""
        self._need_pictures()
        if self._map is None:
            self._map = PixelMap.measure(self.prompt.process, [i.size for i in self.answer.images])
        return self._map

    def filled(self, fill: str) -> torch.Tensor:
        """``pixel_values`` of pictures that are hidden altogether."""
        self._need_pictures()
        if fill not in self._fills:
            self._fills[fill] = self.prompt.process([fill_picture(i, fill) for i in self.answer.images])
        return self._fills[fill]

    def log_probs(self, pixels: torch.Tensor, altered: np.ndarray | None = None) -> torch.Tensor:
        """The target's score ``[n]`` for ``pixel_values`` ``[n, *shape]``, with gradients where they are on.

        One call of the model and no protection against a lack of memory: for methods that need more
        than numbers.
        """
        count = len(pixels)
        self.forwards += count
        self.on_batch(count)
        with self.holding():
            return self.engine.scores(
                self.target,
                pixels,
                np.ones((count, len(self.answer.images)), dtype=bool) if altered is None else altered,
            )

    def holding(self) -> Any:
        """Hold the model, so that no reply is written meanwhile."""
        return self.vlm.turn(threading.Event())

    # -- inside ----------------------------------------------------------------------------------

    def _need_pictures(self) -> None:
        if self.prompt.pixels is None:
            raise InputError("an answer about no picture", "an answer to a question with a picture")

    @torch.no_grad()
    def _batched(
        self,
        count: int,
        part: Callable[[slice], Any],
        *,
        engine: Engine | None = None,
        target: Target | None = None,
    ) -> np.ndarray:
        engine, target = engine or self.engine, target or self.target
        scores: list[np.ndarray] = []
        done = 0
        while done < count:
            size = min(self.batch_size, count - done)
            found = self._try(part, slice(done, done + size), engine, target)
            if found is None:
                if size == 1:
                    raise OutOfMemoryError(
                        f"not even one altered picture fits on {self.vlm.device}",
                        "room for one forward pass of the answer's prompt",
                        "load the model in lower precision, or with fewer image tokens",
                    )
                self.batch_size = size // 2
                continue
            scores.append(found)
            done += size
            self.on_batch(size)
        return np.concatenate(scores) if scores else np.zeros(0)

    def _try(
        self, part: Callable[[slice], Any], at: slice, engine: Engine, target: Target
    ) -> np.ndarray | None:
        """Scores of some rows, or None where memory ran out; then what it held is free again."""
        try:
            pixels, altered = part(at)
            with self.holding():
                scores = engine.scores(target, pixels, altered)
            self.forwards += at.stop - at.start
            return scores.double().cpu().numpy()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        release_memory()
        return None


def _moved(target: Target, answer: Answer, bare: Answer) -> Target:
    """The target of an answer on a prompt of another length, before the same reply."""
    cut, shift = answer.prompt_tokens, bare.prompt_tokens - answer.prompt_tokens
    sequences = tuple(
        Scored((*bare.prompt_ids, *s.ids[cut:]), Span(s.span.start + shift, s.span.stop + shift), s.weight)
        for s in target.sequences
    )
    return Target(target.kind, target.label, sequences)
