"""Teacher-forced scoring: how probable an answer is when its images are altered.

`Scorer` is the one place where altered images meet the model; occlusion, Shapley values, greedy search and
checks all ask it.  Where a family is known well enough, images that were not altered are encoded once, and
the last layer runs only where a token is scored: no later position looks at it.  Where each number of a
model's image tensor comes from is measured, not assumed: images that hold sine waves go through the model's
own processor, and their phases tell the place.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from transformers.masking_utils import create_causal_mask
from transformers.models.phi3.modeling_phi3 import Phi3DecoderLayer, apply_rotary_pos_emb

from ..answer import Answer
from ..errors import CapabilityError, InputError, OutOfMemoryError
from ..models.device import is_out_of_memory, release_memory
from ..models.vlm import VLM
from ..types import Span
from .regions import Baseline, Regions, baseline_image, make_regions, read_baseline
from .replay import Prompt, compare_written, written_as_text
from .targets import Scored, Target, make_target

__all__ = [
    "Engine",
    "PixelMap",
    "Scorer",
    "can_trim",
    "decoder_of",
    "log_odds",
    "logits_of",
    "trimmed_logits",
]


Pair = tuple[torch.Tensor, torch.Tensor]


def can_trim(model: Any) -> bool:
    """Whether nobody else watches or moves the decoder's parts: no hook, no offload, no sliding window."""
    decoder = model.model.language_model
    last = decoder.layers[-1]
    return (
        isinstance(last, Phi3DecoderLayer)
        and decoder.config.sliding_window is None
        and decoder.config._attn_implementation in ("sdpa", "eager")
        and getattr(model, "hf_device_map", None) is None
        and not any(m._forward_hooks or m._forward_pre_hooks for m in (decoder, *last.modules()))
    )


def trimmed_logits(model: Any, embeds: torch.Tensor, keep: int, cache: Any = None) -> torch.Tensor:
    """What the model's own forward gives for ``logits_to_keep=keep``: ``[n, keep, vocabulary]``.

    Args:
        model: a `Phi4RVForConditionalGeneration` for which `can_trim` holds.
        embeds: ``[n, tokens, hidden]``, rows without padding.
        keep: how many last positions are read, at most ``tokens``.
        cache: keys and values of what stands before, ``n`` rows; None where nothing does.
    """
    decoder = model.model.language_model
    before = 0 if cache is None else cache.get_seq_length()
    at = torch.arange(before, before + embeds.shape[1], device=embeds.device)[None]
    turned = decoder.rotary_emb(embeds, position_ids=at)
    mask = create_causal_mask(
        config=decoder.config,
        inputs_embeds=embeds,
        attention_mask=None,
        past_key_values=cache,
        position_ids=at,
    )
    hidden = embeds
    for layer in decoder.layers[:-1]:
        hidden = layer(hidden, attention_mask=mask, position_embeddings=turned, past_key_values=cache)
    last, cut = decoder.layers[-1], embeds.shape[1] - keep
    earlier = _Earlier(_keys_values(last, hidden[:, :cut], (turned[0][:, :cut], turned[1][:, :cut])), cache)
    kept = last(
        hidden[:, cut:],
        attention_mask=_ends(keep, before + embeds.shape[1], hidden),
        position_embeddings=(turned[0][:, cut:], turned[1][:, cut:]),
        past_key_values=earlier,
    )
    return model.lm_head(decoder.norm(kept))


class _Earlier:
    """Stands where the last layer expects its cache: hands out what the earlier positions left."""

    def __init__(self, pair: Pair, cache: Any) -> None:
        self.pair, self.cache = pair, cache

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> Pair:
        """Keys and values of all positions, ``[n, key heads, positions, width]``."""
        keys, values = (torch.cat(both, dim=2) for both in zip(self.pair, (keys, values), strict=True))
        return (keys, values) if self.cache is None else self.cache.update(keys, values, layer)


def _keys_values(layer: Any, hidden: torch.Tensor, turned: Pair) -> Pair:
    """A layer's keys, turned by their positions, and values, ``[n, key heads, tokens, width]``."""
    attention = layer.self_attn
    heads, width = attention.num_key_value_heads, attention.head_dim
    both = attention.qkv_proj(layer.input_layernorm(hidden))[..., -2 * heads * width :]
    keys, values = both.unflatten(-1, (2, heads, width)).permute(2, 0, 3, 1, 4)
    return apply_rotary_pos_emb(keys, keys, *turned)[1], values


def _ends(keep: int, total: int, like: torch.Tensor) -> torch.Tensor:
    """What the last ``keep`` of ``total`` positions may not see, to be added to the scores."""
    shut = torch.full((keep, total), torch.finfo(like.dtype).min, dtype=like.dtype, device=like.device)
    return shut.triu(total - keep + 1)[None, None]


Pick = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
PREFIX = 32  # positions; a shorter common beginning is cheaper to run again than to copy


class Engine:
    """Scores of targets under altered pixels.

    Args:
        prompt: the encoded prompt.
    """

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.own = prompt.vlm.family.name == "phi4-rv" and prompt.pixels is not None
        self._features: list[torch.Tensor] = []
        self._prefix: tuple[int, Any] | None = None
        self.pick: Pick = _picked

    @property
    def model(self) -> Any:
        """The Transformers model; an error says so if it was unloaded."""
        return self.prompt.vlm.model

    def original(self, count: int) -> tuple[torch.Tensor | None, np.ndarray]:
        """The pixels as they are, for ``count`` rows, and which pictures were altered: none."""
        pixels = self.prompt.pixels
        rows = None if pixels is None else pixels.expand(count, *pixels.shape)
        return rows, np.zeros((count, len(self.prompt.answer.images)), dtype=bool)

    def states(self, scored: Scored) -> torch.Tensor:
        """What the decoder hands to the output head, ``[tokens, hidden]``, with the pictures as they are.

        Raises:
            CapabilityError: if the family's decoder is not where it should be.
        """
        found: list[torch.Tensor] = []
        decoder = decoder_of(self.prompt.vlm)
        handle = decoder.register_forward_hook(lambda *args: found.append(args[-1][0]))
        try:
            self.scores(Target("span", "", (scored,)), *self.original(1))
        finally:
            handle.remove()
        return found[-1][0]

    def scores(
        self,
        target: Target,
        pixels: torch.Tensor | None,
        altered: np.ndarray,
        *,
        pick: Pick | None = None,
    ) -> torch.Tensor:
        """Weighted log-probabilities ``[n]`` of a target.

        Args:
            target: what is scored.
            pixels: ``[n, *shape]``; None where the prompt has no picture.
            altered: bool ``[n, pictures]``, which pictures differ from the answer's.
            pick: what is read off the scores instead of ``pick``: `logits_of` or `log_odds` of the tokens.
        """
        pick = pick or self.pick
        if self.own:
            assert pixels is not None, "this path is for prompts with pictures"
            features = self.features(pixels, altered)
            parts = [self._decoded(s, features, altered, pick) * s.weight for s in target.sequences]
        else:
            parts = [self._whole(s, pixels, len(altered), pick) * s.weight for s in target.sequences]
        return torch.stack(parts).sum(dim=0)

    # -- any family ------------------------------------------------------------------------------

    def _whole(self, scored: Scored, pixels: torch.Tensor | None, count: int, pick: Pick) -> torch.Tensor:
        ids = scored.ids[: scored.span.stop]
        inputs = self.prompt.rows(ids, count)
        if pixels is not None:
            inputs["pixel_values"] = pixels.flatten(0, 1).to(self.prompt.vlm.device, self.prompt.vlm.dtype)
        keep = len(ids) - scored.span.start + 1
        with written_as_text(self.prompt.vlm, inputs, len(ids) - self.prompt.answer.prompt_tokens) as read:
            logits = self.model(**read, logits_to_keep=keep, use_cache=False).logits
        return pick(logits, ids[scored.span.start :])

    # -- Phi-4-reasoning-vision and the built-in model -------------------------------------------

    def features(self, pixels: torch.Tensor, altered: np.ndarray) -> list[torch.Tensor]:
        """Features of each picture, ``[n, patches, hidden]``; those that nobody altered are encoded once."""
        inputs, vlm = self.prompt.inputs, self.prompt.vlm
        mask = inputs["pixel_attention_mask"].to(vlm.device)
        shapes = inputs["spatial_shapes"].to(vlm.device)
        if not self._features and not altered.all():
            assert self.prompt.pixels is not None, "this path is for prompts with pictures"
            with torch.no_grad():
                self._features = list(self._encode(self.prompt.pixels, mask, shapes))
        rows, pictures = (torch.from_numpy(index) for index in np.nonzero(altered))
        fresh: Any = ()
        if len(rows):
            where = pictures.to(vlm.device)
            fresh = self._encode(pixels[rows, pictures], mask[where], shapes[where])
        at = {pair: number for number, pair in enumerate(zip(rows.tolist(), pictures.tolist(), strict=True))}
        return [
            torch.stack(
                [
                    fresh[at[row, picture]] if (row, picture) in at else self._features[picture]
                    for row in range(len(altered))
                ]
            )
            for picture in range(altered.shape[1])
        ]

    def _encode(self, pixels: torch.Tensor, mask: torch.Tensor, shapes: torch.Tensor) -> Any:
        pixels = pixels.to(self.prompt.vlm.device, self.prompt.vlm.dtype)
        return self.model.get_image_features(pixels, mask, shapes, return_dict=True).pooler_output

    def _decoded(
        self, scored: Scored, features: list[torch.Tensor], altered: np.ndarray, pick: Pick
    ) -> torch.Tensor:
        ids = scored.ids[: scored.span.stop]
        cut = self._common(altered)
        embeds = self.embedded(ids, features)[:, cut:]
        # No mask: rows are equally long, and attention that is just causal is the fastest.
        options: dict[str, Any] = {"use_cache": False}
        if cut:
            options = {"use_cache": True, "past_key_values": self._cache(cut, ids, features)}
        keep = len(ids) - scored.span.start + 1
        if not torch.is_grad_enabled() and keep < embeds.shape[1] and can_trim(self.model):
            logits = trimmed_logits(self.model, embeds, keep, options.get("past_key_values"))
        else:
            logits = self.model(inputs_embeds=embeds, logits_to_keep=keep, **options).logits
        return pick(logits, ids[scored.span.start :])

    def embedded(self, ids: Any, features: list[torch.Tensor]) -> torch.Tensor:
        """Embeddings ``[n, tokens, hidden]`` with the pictures' features in their places."""
        device = self.prompt.vlm.device
        words = self.model.get_input_embeddings()(torch.tensor([list(ids)], device=device))
        layout = self.prompt.answer.layout
        assert layout is not None, "checked with the prompt"
        parts, at = [], 0
        for grid, feature in zip(layout.images, features, strict=True):
            parts += [words[:, at : grid.start].expand(len(feature), -1, -1), feature.to(words.dtype)]
            at = grid.stop
        parts.append(words[:, at:].expand(len(features[0]), -1, -1))
        return torch.cat(parts, dim=1)

    def _common(self, altered: np.ndarray) -> int:
        """Length of the beginning that is the same in all rows and in the original."""
        layout = self.prompt.answer.layout
        assert layout is not None, "checked with the prompt"
        if torch.is_grad_enabled():
            return 0
        changed = np.flatnonzero(altered.any(axis=0))
        cut = layout.images[changed[0]].start if len(changed) else 0
        return cut if cut >= PREFIX else 0

    def _cache(self, cut: int, ids: object, features: list[torch.Tensor]) -> Any:
        """Keys and values of the first ``cut`` positions, for each row; computed once per length."""
        if self._prefix is None or self._prefix[0] != cut:
            embeds = self.embedded(ids, [f[:1] for f in features])[:, :cut]
            out = self.model(inputs_embeds=embeds, logits_to_keep=1, use_cache=True)
            self._prefix = (cut, out.past_key_values)
        rows = copy.deepcopy(self._prefix[1])
        rows.batch_repeat_interleave(len(features[0]))
        return rows


def decoder_of(vlm: VLM) -> torch.nn.Module:
    """The decoder inside a model.

    Raises:
        CapabilityError: if it is not where the family's spec says.
    """
    try:
        return vlm.model.get_submodule(vlm.family.decoder)
    except AttributeError:
        raise CapabilityError(
            f"{vlm.name} without a module {vlm.family.decoder!r}",
            "a family whose decoder is known",
            'use a method that only needs the model\'s forward pass, such as "occlusion"',
        ) from None


def _picked(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Sum of the log-probabilities of ``ids`` under ``logits [n, len(ids) + 1, vocabulary]``."""
    return logits_of(logits[:, -len(ids) - 1 :].float().log_softmax(dim=-1), ids)


def log_odds(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Sum of the log-odds of ``ids`` against all other tokens; unlike log-probabilities never flat."""
    scores = logits[:, -len(ids) - 1 : -1].float()
    own = torch.tensor(list(ids), device=scores.device)[None, :, None].expand(len(scores), -1, 1)
    others = scores.scatter(-1, own, -torch.inf).logsumexp(dim=-1)
    return (scores.gather(-1, own)[..., 0] - others).sum(dim=-1)


def logits_of(logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """Sum of the scores of ``ids``."""
    scores = logits[:, -len(ids) - 1 : -1].float()
    wanted = torch.tensor(list(ids), device=scores.device)
    return scores[:, torch.arange(len(ids), device=scores.device), wanted].sum(dim=-1)


_WAVES = (2.0, 1 / 8)  # periods, in sides of the picture; the second refines the first


@dataclass(frozen=True, eq=False)
class PixelMap:
    """The place of each element of ``pixel_values``, which has any shape.

    Args:
        image: number of the picture; -1 for padding.
        x, y: place in that picture, in original pixels.
    """

    image: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def measure(
        cls, process: Callable[[Sequence[Image.Image]], torch.Tensor], sizes: Sequence[tuple[int, int]]
    ) -> PixelMap:
        """Measure it.

        Args:
            process: pictures of the given sizes to the model's ``pixel_values``.
            sizes: (width, height) of each picture.
        """

        def read(pictures: Sequence[Image.Image]) -> np.ndarray:
            return process(pictures).float().numpy()

        black = read([Image.new("RGB", size) for size in sizes])
        white = read([Image.new("RGB", size, (255, 255, 255)) for size in sizes])
        span = white - black
        scale = np.where(span == 0, 1, span)
        x, y = (_places(lambda p: (read(p) - black) / scale, sizes, axis) for axis in (0, 1))
        owner = np.full(black.shape, -1, dtype=np.int16)
        for number in range(len(sizes)):
            lit = [Image.new("RGB", s, (255, 255, 255) if i == number else 0) for i, s in enumerate(sizes)]
            owner[np.abs(read(lit) - black) > np.abs(span) / 2] = number
        width, height = (np.array([size[axis] for size in sizes] + [1])[owner] for axis in (0, 1))
        return cls(owner, (x * width).astype(np.float32), (y * height).astype(np.float32))

    def atoms(self, regions: Regions) -> np.ndarray:
        """The atom of each element; -1 outside every region."""
        found = np.full(self.image.shape, -1, dtype=np.int64)
        for number in range(len(regions.labels)):
            ours = self.image == number
            found[ours] = regions.atoms_at(number, self.x[ours], self.y[ours])
        return found


def _places(
    read: Callable[[Sequence[Image.Image]], np.ndarray], sizes: Sequence[tuple[int, int]], axis: int
) -> np.ndarray:
    """Place of each element along one axis, as a share of its picture's side.

    A resizing filter weakens a wave but hardly moves its phase.
    """
    place = np.zeros(0)
    for wave in _WAVES:
        # Half a period over the side for the first wave: its phase is the place itself, unambiguously.
        cosine, sine = (
            2 * read([_wave(size, axis, wave, shift) for size in sizes]) - 1 for shift in (0.0, np.pi / 2)
        )
        phase = np.arctan2(sine, cosine) / (2 * np.pi)
        if wave == _WAVES[0]:
            place = np.where(phase < -0.25, phase + 1, phase) * wave
        else:
            turns = place / wave - phase
            place = (phase + np.round(turns)) * wave
    return np.clip(place, 0.0, np.nextafter(1.0, 0.0, dtype=np.float64))


def _wave(size: tuple[int, int], axis: int, period: float, shift: float) -> Image.Image:
    """A grey picture ``(1 + cos(2 pi place / period - shift)) / 2`` along one axis."""
    places = (np.arange(size[axis]) + 0.5) / size[axis]
    values = np.round((1 + np.cos(2 * np.pi * places / period - shift)) / 2 * 255).astype(np.uint8)
    row = values[None, :] if axis == 0 else values[:, None]
    return Image.fromarray(np.broadcast_to(row, (size[1], size[0])).copy()).convert("RGB")


STORES = 8  # targets and weights whose states are kept for an answer
Stores = OrderedDict[tuple[Target, str], dict[bytes, float]]
_stores: WeakKeyDictionary[Answer, Stores] = WeakKeyDictionary()


def known_states(answer: Answer, target: Target, base: float) -> dict[bytes, float]:
    """Scores of an answer's altered images that were read before, by whichever method or check.

    They are kept as long as the answer is.  The score with the images as they are tells one model's weights
    from another's, and from the same weights when they were shuffled or trained further.
    """
    stores, name = _stores.setdefault(answer, OrderedDict()), (target, f"{base:.6g}")
    states = stores.setdefault(name, {})
    stores.move_to_end(name)
    while len(stores) > STORES:
        stores.popitem(last=False)
    return states


Alter = Callable[[np.ndarray], tuple[torch.Tensor, np.ndarray]]


class Scorer:
    """The log-probability of a target, in nats, for batches of altered pictures.

    Example::

        scorer = Scorer(vlm, answer)
        scorer.base  # with the pictures as they are
        scorer([[picture_a], [picture_b]])  # with other pictures of the same size
        hidden = np.eye(scorer.patches, dtype=bool)  # each patch by itself
        scorer.masked(hidden, baseline="mean")

    A batch that does not fit into memory is halved, and so are those that follow.  What was masked once is
    not read again, by this scorer or another of the same answer and target: see `known_states`.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        target: what is scored; see `targets.make_target`.
        batch_size: altered pictures at a time.

    Raises:
        CapabilityError: for a model behind a server, or an answer of one.
        InputError: for an empty answer, an answer of another model, or a target out of range.
    """

    def __init__(self, vlm: VLM, answer: Answer, target: object = None, *, batch_size: int = 16) -> None:
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
        self._baselines: dict[Baseline, torch.Tensor] = {}
        self._patches: Regions | None = None
        self._alter: tuple[Regions, Baseline, Alter, bytes] | None = None

    # -- what is asked ---------------------------------------------------------------------------

    @property
    def base(self) -> float:
        """The score with the pictures as they are."""
        if self._base is None:
            self.engine.pick = self._compared
            try:
                self._base = float(self._batched(1, lambda at: self.engine.original(1))[0])
            finally:
                self.engine.pick = _picked
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
        self, regions_masks: np.ndarray, *, regions: Regions | None = None, baseline: Baseline = "mean"
    ) -> np.ndarray:
        """Scores ``[n]`` with regions hidden.

        Args:
            regions_masks: bool ``[n, regions]``, True where a region is hidden.
            regions: what the columns mean; None for the patches, as `patches` counts them.
            baseline: what hidden regions show; see `regions.baseline_image`.

        Raises:
            InputError: for masks of another shape, or an unknown baseline.
            OutOfMemoryError: if not even one row fits.
        """
        self._need_pictures()
        baseline = read_baseline(baseline)
        if regions is None:
            self._patches = regions = self._patches or make_regions(self.answer)
        masks = np.asarray(regions_masks)
        if masks.ndim != 2 or masks.shape[1] != len(regions) or masks.dtype != bool:
            raise InputError(
                f"masks of {masks.dtype} and shape {masks.shape}",
                f"bool [n, {len(regions)}], True where hidden",
            )
        if self._alter is None or self._alter[0] is not regions or self._alter[1] != baseline:
            alter, name = self.alterer(regions, baseline), self._name(regions, baseline)
            self._alter = (regions, baseline, alter, name)
        alter, name = self._alter[2:]
        keys = [name + np.packbits(row).tobytes() for row in regions.hidden_atoms(masks)]
        states = known_states(self.answer, self.target, self.base)
        fresh = {key: number for number, key in enumerate(keys) if key not in states}
        rows = masks[list(fresh.values())]
        states.update(zip(fresh, self._batched(len(rows), lambda at: alter(rows[at])).tolist(), strict=True))
        return np.array([states[key] for key in keys])

    def without_pictures(self) -> float:
        """The score of the same reply when the conversation has no picture at all."""
        prompt = self.prompt.without_pictures()
        engine, target = Engine(prompt), _moved(self.target, self.answer, prompt.answer)
        return float(self._batched(1, lambda at: engine.original(1), engine=engine, target=target)[0])

    # -- for methods -----------------------------------------------------------------------------

    def alterer(self, regions: Regions, baseline: Baseline) -> Alter:
        """A function from masks bool ``[n, regions]`` to (pixels ``[n, *shape]``, which pictures changed
        bool ``[n, pictures]``)."""
        atoms = torch.from_numpy(self.pixel_map.atoms(regions))  # -1, outside, reads the last column
        original, filled = self.prompt.pixels, self.filled(baseline)
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

    def filled(self, baseline: Baseline) -> torch.Tensor:
        """``pixel_values`` of pictures that are hidden altogether."""
        self._need_pictures()
        baseline = read_baseline(baseline)
        if baseline not in self._baselines:
            self._baselines[baseline] = self.prompt.process(
                [baseline_image(i, baseline) for i in self.answer.images]
            )
        return self._baselines[baseline]

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

    def _name(self, regions: Regions, baseline: Baseline) -> bytes:
        """What tells the masks of one division of the images, under one baseline, from those of another."""
        atoms = np.ascontiguousarray(self.pixel_map.atoms(regions))
        shown = self.filled(baseline).float().numpy().tobytes()
        return hashlib.blake2b(atoms.tobytes() + shown, digest_size=16).digest()

    def _need_pictures(self) -> None:
        if self.prompt.pixels is None:
            raise InputError("an answer about no picture", "an answer to a question with a picture")

    def _compared(self, logits: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """`_picked`, and a look whether the answer's own tokens are those that were written."""
        for scored in self.target.sequences:
            start = scored.span.start
            if self.answer.token_ids[start : start + len(ids)] == tuple(ids):
                compare_written(self.vlm, self.answer, logits[0, -len(ids) - 1 : -1], start)
                break
        return _picked(logits, ids)

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
