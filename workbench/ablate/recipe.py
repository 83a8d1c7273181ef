"""A recipe: everything that determines a training run, checked, with a hash that names its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import synth
from ..errors import InputError
from ..files import local_path, read_bytes, write_text
from ..models.sources import BUILT_IN
from ..names import Named
from ..records import closest, refuse_unknown
from ..records import plain as plain_values
from ..types import Mode
from .resolution import Feed, default_tile, feed, least_tokens, method_name

__all__ = [
    "Architecture",
    "Budget",
    "DOMAINS",
    "Domain",
    "FUSIONS",
    "IMAGE_ATTENTION",
    "Mixture",
    "Optimiser",
    "PARTS",
    "Reasoning",
    "Recipe",
    "STAGES",
    "STANDARD_TOKENS",
    "Stage",
    "WRITTEN",
    "part_of",
    "reasoning_rates",
]


T = TypeVar("T")

#: The domains of the published data mixture, as `synth.FAMILIES` names them.
DOMAINS = ("general", "maths", "computer_use")

#: The parts of the model that a stage trains and a start gives weights to.
PARTS = ("encoder", "projector", "decoder")

#: Kind of stage -> the parts of the model that learn in it.
STAGES = {
    "text": ("decoder",),
    "encoder": ("encoder",),
    "projector": ("projector",),
    "all": PARTS,
    "long": PARTS,
}

#: Families whose questions can be answered from a picture that is written out; where places matter, they
#: cannot.
WRITTEN = (
    "bar_value", "line_value", "pie_share", "bar_walk", "table_value", "geometry", "chain",
    "gui_state", "gui_links", "shape_colour", "shape_count", "read_sign",
)  # fmt: skip


def _fields_by_name(kind: type[T]) -> type[T]:
    """Let a record refuse an unknown or missing field by its name, and take numpy's numbers as Python's."""
    make, known = kind.__init__, [each.name for each in fields(kind)]  # type: ignore[arg-type]

    @functools.wraps(make)
    def checked(self: Any, *args: Any, **given: Any) -> None:
        given = {**dict(zip(known, args, strict=False)), **named_now(kind, given)}
        refuse_unknown(given, known, kind.__name__)
        for each in fields(kind):  # type: ignore[arg-type]
            if each.name not in given and each.default is dataclasses.MISSING:
                raise InputError(f"{kind.__name__} without {each.name}", f"all of {', '.join(known)}")
        make(self, **{name: _as_python(value) for name, value in given.items()})

    type.__setattr__(kind, "__init__", checked)
    return kind


def _as_python(value: Any) -> Any:
    """The value itself; of numpy's numbers and arrays, also inside mappings and lists, Python's."""
    if isinstance(value, Mapping):
        return {key: _as_python(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_python(item) for item in value)
    return plain_values(value) if isinstance(value, (np.generic, np.ndarray)) else value


def written(each: dataclasses.Field[Any]) -> str:
    """The key of a field in JSON and YAML: its name, or the one under which recipes were hashed before."""
    return str(each.metadata.get("written", each.name))


def named_now(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Fields under their names of now; those of a file may have the key that they are written with."""
    now = {written(each): each.name for each in fields(kind)}
    return {now.get(name, name): part for name, part in value.items()}


def plain(value: Any) -> Any:
    """Records as dicts with the keys that they are written with, tuples as lists: what JSON and YAML hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {written(each): plain(getattr(value, each.name)) for each in fields(value)}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def build(kind: type[T], value: Any, where: str) -> T:
    """A record of a kind from a mapping of its fields, or the record itself.

    Raises:
        InputError: for what is neither, and for unknown or missing fields.
    """
    if isinstance(value, kind):
        return value
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(value, Mapping):
        raise InputError(f"{where}={value!r}", f"a mapping with some of {', '.join(names)}")
    given = named_now(kind, value)
    refuse_unknown(given, names, where)
    return kind(**given)


def number(value: Any, name: str, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse what is no number from ``low`` to ``high``.

    Raises:
        InputError: with the field's name.
    """
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not (right and math.isfinite(value) and low <= value <= high):
        kind = "a whole number" if whole else "a number"
        limit = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        raise InputError(f"{name}={value!r}", f"{kind} {limit}")


def as_floats(record: Any, *names: str) -> None:
    """Make some fields of a frozen record floats: 3 and 3.0 are one recipe."""
    for name in names:
        value = as_number(getattr(record, name))
        if isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        object.__setattr__(record, name, value)


def as_whole(record: Any, *names: str) -> None:
    """Make some fields of a frozen record whole numbers, where they are: 1e4 and 10000 are one recipe."""
    for name in names:
        value = as_number(getattr(record, name))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        object.__setattr__(record, name, value)


def as_number(value: Any) -> Any:
    """A number that stands as text, which is how YAML reads 1e4; anything else as it is."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


@_fields_by_name
@dataclass(frozen=True)
class Domain:
    """What one domain gives to the mixture: a count of records, or a share of all that is drawn.

    Args:
        records: distinct records (a picture with its questions), seen again and again in shuffled passes.
        share: instead of ``records``: a share of what is drawn, every record fresh.
        repeat: how many times each record counts; the domain weighs ``records * repeat``.
        cap: most passes over the records in the whole run; a budget that needs more is refused.
    """

    records: int | None = None
    share: float | None = None
    repeat: float = 1.0
    cap: float | None = None

    def __post_init__(self) -> None:
        as_floats(self, "share", "repeat", "cap")
        as_whole(self, "records")
        if (self.records is None) == (self.share is None):
            raise InputError(f"records={self.records}, share={self.share} of one domain", "one of the two")
        if self.records is not None:
            number(self.records, "records", 0, math.inf, whole=True)
            number(self.repeat, "repeat", 1e-6, math.inf)
            if self.cap is not None:
                number(self.cap, "cap", 1e-6, math.inf)
        else:
            number(self.share, "share", 0, 1)
            if self.repeat != 1.0 or self.cap is not None:
                raise InputError(
                    f"share={self.share} with repeat={self.repeat}, cap={self.cap}",
                    "repeat and cap beside records: a share is drawn fresh, nothing is seen twice",
                    "give records= instead of share=",
                )


def _domain(value: Any, where: str) -> Domain:
    try:
        return build(Domain, spelled_out(("mixture", where), value), f"mixture.{where}")
    except InputError as error:
        raise InputError(f"mixture.{where}: {error.given}", error.expected, error.fix) from None


def spelled_out(path: Sequence[str], value: Any) -> Any:
    """A field as the mapping of its own fields that it is short for: reasoning=0.2, budget=1e4, general=4000.

    Args:
        path: names down to the field, ("mixture", "general") for instance.
        value: of it; returned as it is where it is short for nothing.
    """
    number = as_number(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return value
    if tuple(path) == ("reasoning",):
        return {"share": number}
    if tuple(path) == ("budget",):
        return {"samples": number}
    if len(path) == 2 and path[0] == "mixture":
        counted = isinstance(number, int) or (number > 1 and number.is_integer())
        return {"records" if counted else "share": number}
    return value


@_fields_by_name
@dataclass(frozen=True)
class Mixture:
    """The three domains; each a `Domain`, its fields, a whole number (records) or a fraction (share).

    Shares of all domains sum to one; counts and shares do not mix.  A domain that is left out has none.  Bare
    numbers of which one is 1 and the others are 0 are shares, and so is a bare 0 or 1 beside shares: for a
    single record say ``{"records": 1}``.
    """

    general: Domain = None  # type: ignore[assignment]
    maths: Domain = None  # type: ignore[assignment]
    computer_use: Domain = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in DOMAINS}
        if all(value is None for value in given.values()):
            given = dict.fromkeys(DOMAINS, Domain(share=1 / 3))
        made = {k: _domain(v, f"mixture.{k}") for k, v in given.items() if v is not None}
        # A bare 0 or 1 beside shares is a share: YAML and JSON do not keep 0.0 apart from 0 for everyone.
        bare = {name: v for name, v in given.items() if type(v) is int and v in (0, 1)}
        alone = len(bare) == len(made)
        if alone and sum(bare.values()) > 1:
            raise InputError(
                f"mixture of {', '.join(f'{name} {v}' for name, v in bare.items())}: shares that sum to "
                f"{sum(bare.values())}, or single records?",
                "fractions that sum to one, or counts of records",
                'say {"records": 1} if that is meant',
            )
        if (alone and sum(bare.values()) == 1) or any(d.share is not None for d in made.values()):
            made |= {name: Domain(share=float(value)) for name, value in bare.items()}
        shared = [name for name, domain in made.items() if domain.share is not None]
        if shared and len(shared) < len(made):
            raise InputError(
                f"mixture with shares ({', '.join(shared)}) beside counts", "shares everywhere, or counts"
            )
        for name in DOMAINS:
            empty = Domain(share=0.0) if shared else Domain(records=0)
            object.__setattr__(self, name, made.get(name, empty))
        total = sum(self._weights().values())
        if shared and abs(total - 1) > 1e-6:
            told = ", ".join(f"{n} {getattr(self, n).share:g}" for n in DOMAINS)
            raise InputError(f"mixture shares sum to {total:g} ({told})", "shares that sum to one")
        if total <= 0:
            raise InputError("mixture without any record", "at least one domain with records")

    def _weights(self) -> dict[str, float]:
        domains = {name: getattr(self, name) for name in DOMAINS}
        return {
            n: d.share if d.share is not None else float(d.records) * d.repeat for n, d in domains.items()
        }

    def shares(self) -> dict[str, float]:
        """Share of each domain in what is drawn; they sum to one."""
        weights = self._weights()
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}


@_fields_by_name
@dataclass(frozen=True)
class Reasoning:
    """How much of the data carries a thought.

    Args:
        share: of all records; 0 to 1.
        domains: which domains carry it.  Questions that take several steps think first, those of
            perception only when all of the former do.
    """

    share: float = 0.2
    domains: tuple[str, ...] = DOMAINS

    def __post_init__(self) -> None:
        as_floats(self, "share")
        number(self.share, "reasoning.share", 0, 1)
        if isinstance(self.domains, str):
            raise InputError(f"reasoning.domains={self.domains!r}", "a list of domains")
        for name in self.domains:
            if name not in DOMAINS:
                raise InputError(
                    f"reasoning.domains names {name!r}",
                    f"some of {', '.join(DOMAINS)}",
                    closest(name, [*DOMAINS]),
                )
        object.__setattr__(self, "domains", tuple(n for n in DOMAINS if n in self.domains))
        if self.share > 0 and not self.domains:
            raise InputError(f"reasoning.share={self.share} and no reasoning.domains", "a domain to carry it")


@_fields_by_name
@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Args:
        kind: "text" (the decoder alone, on questions whose pictures are written out: stands in for a
            language model's training), "encoder" (the tower alone, told what each patch shows: stands in
            for a pretrained tower), "projector" (the projector alone), "all" (all parts), or "long" (all
            parts, several pictures and more questions in a conversation).
        share: of the budget; the stages' shares sum to one.
        reasoning: share of this stage's records with a thought; None for the recipe's.
    """

    kind: str
    share: float
    reasoning: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in STAGES:
            raise InputError(
                f"stage kind {self.kind!r}", f"one of {', '.join(STAGES)}", closest(str(self.kind), [*STAGES])
            )
        as_floats(self, "share")
        number(self.share, f"share of stage {self.kind}", 0, 1)
        if self.reasoning is not None:
            as_floats(self, "reasoning")
            number(self.reasoning, f"reasoning of stage {self.kind}", 0, 1)
            if self.kind == "encoder":
                raise InputError(
                    f"reasoning={self.reasoning:g} of stage encoder", "none: nothing is replied in it"
                )


@_fields_by_name
@dataclass(frozen=True)
class Budget:
    """How long to train: in samples (records seen), or in floating-point operations of training."""

    samples: int | None = None
    flops: float | None = None

    def __post_init__(self) -> None:
        as_floats(self, "flops")
        if (self.samples is None) == (self.flops is None):
            raise InputError(f"budget with samples={self.samples}, flops={self.flops}", "one of the two")
        as_whole(self, "samples")
        if self.samples is not None:
            number(self.samples, "budget.samples", 1, math.inf, whole=True)
        else:
            number(self.flops, "budget.flops", 1, math.inf)


@_fields_by_name
@dataclass(frozen=True)
class Optimiser(Named, guide="attention_supervision"):
    """Muon and AdamW with one schedule; see `workbench.train.loop.TrainConfig`.

    Args:
        lr: peak learning rate.
        batch: conversations in a step.
        warmup, decay: shares of all steps, at the beginning and at the end.
        weight_decay, clip: as usual.
        auxiliary: weight of the auxiliary labels, which name what each patch shows.
        attention_supervision: weight of the attention supervision of two heads.
    """

    lr: float = 2e-3
    batch: int = 24
    warmup: float = 0.02
    decay: float = 0.3
    weight_decay: float = 0.02
    clip: float = 1.0
    auxiliary: float = 0.3
    attention_supervision: float = field(default=0.3, metadata={"written": "guide"})

    def __post_init__(self) -> None:
        as_floats(self, *(f.name for f in fields(self) if f.name != "batch"))
        as_whole(self, "batch")
        number(self.batch, "optimiser.batch", 1, 65536, whole=True)
        limits = {"lr": (1e-9, 10), "warmup": (0, 1), "decay": (0, 1), "clip": (1e-6, math.inf)}
        for each in fields(self):
            if each.name != "batch":
                low, high = limits.get(each.name, (0, math.inf))
                number(getattr(self, each.name), f"optimiser.{each.name}", low, high)


def part_of(name: str) -> str:
    """The part of the model that a parameter belongs to: encoder, projector or decoder."""
    if "vision_tower" in name:
        return "encoder"
    return "projector" if "multi_modal_projector" in name else "decoder"


#: Most image tokens of the built-in model, and fewest patches of a picture that keeps its own size.
STANDARD_TOKENS, FEWEST = 128, 16

FUSIONS = ("mid", "early")
IMAGE_ATTENTION = ("causal", "bidirectional")


@_fields_by_name
@dataclass(frozen=True)
class Architecture:
    """The small model's shape.  Only what acts stands here; a new choice is a new field.

    Args:
        width: hidden size of tower and decoder, a multiple of 8.
        depth: layers of the decoder.
        vision_layer: encoder layer whose output the projector reads; layers above it do not exist.
        freeze_encoder: the tower is frozen in the stages in which otherwise all parts learn.
        fusion: as the report uses the words (arXiv 2603.03975).  "mid": a tower of its own, whose features
            are projected into the decoder's embedding space.  "early": one transformer for patches and words,
            as in Fuyu and Chameleon (arXiv 2405.09818): patches are embedded, projected, and that is all;
            ``vision_layer`` is 0.
        projector_depth: linear layers of the projector, with GELU between them.
        image_attention: "causal" as for words, or "bidirectional": patches of one picture see each other in
            the decoder too (as in PaliGemma, arXiv 2407.07726, there with the question).
        feeding: how a large picture is cut and read; one of `resolution.FEEDINGS`.
        token_budget: most image tokens of a picture.
        tile: side of the square that the tower reads, in patches; None where the budget decides, and for
            dynamic resolution, which has no squares.

    Raises:
        InputError: for an impossible field, or two that contradict each other, each by its name.
    """

    width: int = 160
    depth: int = 4
    vision_layer: int = 4
    freeze_encoder: bool = False
    fusion: str = "mid"
    projector_depth: int = 2
    image_attention: str = "causal"
    feeding: str = "dynamic_resolution"
    token_budget: int = STANDARD_TOKENS
    tile: int | None = None

    def __post_init__(self) -> None:
        limits = {"width": (1, 4096), "depth": (1, 64), "vision_layer": (0, 64)}
        limits |= {"projector_depth": (1, 8), "token_budget": (1, 4096)}
        as_whole(self, *limits, "tile")
        for name, (low, high) in limits.items():
            number(getattr(self, name), f"architecture.{name}", low, high, whole=True)
        if self.width % 8:
            raise InputError(f"architecture.width={self.width}", "a multiple of 8: four heads of even size")
        if not isinstance(self.freeze_encoder, bool):
            raise InputError(f"architecture.freeze_encoder={self.freeze_encoder!r}", "true or false")
        for name, known in (("fusion", FUSIONS), ("image_attention", IMAGE_ATTENTION)):
            value = getattr(self, name)
            if value not in known:
                told = closest(str(value), [*known])
                raise InputError(f"architecture.{name}={value!r}", f"one of {', '.join(known)}", told)
        object.__setattr__(self, "feeding", method_name(self.feeding))
        self._agree()

    def _agree(self) -> None:
        """Refuse fields that contradict each other."""
        if self.fusion == "early" and self.vision_layer:
            raise InputError(
                f"architecture.fusion='early' with vision_layer={self.vision_layer}",
                "vision_layer=0: one transformer reads patches and words, no tower comes before it",
                "give depth the layers that the tower would have had",
            )
        if self.fusion == "mid" and not self.vision_layer:
            raise InputError(
                "architecture.vision_layer=0 with fusion='mid'", "at least 1 layer, or fusion='early'"
            )
        if self.fusion == "early" and self.freeze_encoder:
            raise InputError(
                "architecture.freeze_encoder with fusion='early'", "a tower that can be frozen, fusion='mid'"
            )
        if self.feeding == "dynamic_resolution":
            if self.tile is not None:
                raise InputError(
                    f"architecture.tile={self.tile} with feeding='dynamic_resolution'",
                    "no tile: it cuts no squares",
                )
            least = least_tokens(self.feeding, 0)
        else:
            tile = default_tile(self.token_budget) if self.tile is None else self.tile
            number(tile, "architecture.tile", 2, 64, whole=True)
            if tile % 2:
                raise InputError(f"architecture.tile={tile}", "an even number of patches")
            least = least_tokens(self.feeding, tile)
        if self.token_budget < least:
            raise InputError(
                f"architecture.token_budget={self.token_budget} with feeding={self.feeding!r}",
                f"at least {least} tokens",
                "raise token_budget" if self.tile is None else "raise token_budget, or give a smaller tile",
            )

    @property
    def standard(self) -> bool:
        """Whether the model is of the built-in model's own classes, which ``workbench.load`` opens."""
        return all(getattr(self, f.name) == f.default for f in fields(self) if f.name in _OWN_CLASSES)

    def plan(self, size: tuple[int, int]) -> Feed:
        """How a picture of some (width, height) is fed; small ones keep their size in dynamic resolution."""
        least = FEWEST if self.feeding == "dynamic_resolution" else None
        return feed(size, self.token_budget, method=self.feeding, tile=self.tile, least=least)


#: Fields whose default is what the built-in model's classes do.
_OWN_CLASSES = ("projector_depth", "image_attention", "feeding", "token_budget", "tile")


_STAGES = (Stage("encoder", 0.15), Stage("projector", 0.05), Stage("all", 0.7), Stage("long", 0.1))
_PARTS = {
    "mixture": Mixture,
    "reasoning": Reasoning,
    "architecture": Architecture,
    "budget": Budget,
    "optimiser": Optimiser,
}


def _check_start(start: str) -> None:
    """Refuse a start that can be none; a path is looked at when the run begins.

    Raises:
        InputError: for a name that is neither a known start nor a folder.
    """
    allowed = "'fresh', 'nano', 'run:HASH', or a folder of weights"
    if not isinstance(start, str) or not start or start in (".", ".."):
        raise InputError(f"start={start!r}", allowed)
    is_path = bool(set(start) & set("/\\.")) or local_path(start, "start").is_dir()
    if start in BUILT_IN and start != "nano":
        raise InputError(
            f"start={start!r}, a model of the second drawn world",
            f"{allowed}: recipes draw the first world, whose words are others",
        )
    if not (start in ("fresh", "nano") or start.startswith("run:") or is_path):
        raise InputError(f"start={start!r}", allowed, closest(start, ("fresh", "nano")))


@_fields_by_name
@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.  Parts may be given as mappings of their fields.

    Args:
        mixture: the three domains; see `Mixture`.
        reasoning: share of data with a thought, and the domains that carry it; a number is the share.
        architecture: the model's shape; see `Architecture`.
        stages: in order; their shares of the budget sum to one.
        budget: samples or FLOPs; a whole number is samples.
        optimiser: see `Optimiser`.
        start: "fresh", or what to begin with: "nano", "run:HASH" (a finished run of the same store), or a
            folder of trained weights.
        start_parts: the parts that begin with those weights; the others begin fresh.
        families: only these of `synth.FAMILIES` and `synth.LARGE`; none named means all of the former.
        difficulty: 1, 2, 3, or None for all, in training and evaluation.
        evaluation: questions per family and mode at the end.
        modes: those of auto, think and nothink that are asked in at the end.
        seed: of weights, data and order.

    Raises:
        InputError: for unknown, impossible or contradictory fields, each by its name.

    Example:
        >>> Recipe(mixture={"general": 4000, "maths": 2000, "computer_use": 4000}, reasoning=0.2, seed=1)
    """

    mixture: Mixture = Mixture()
    reasoning: Reasoning = Reasoning()
    architecture: Architecture = Architecture()
    stages: tuple[Stage, ...] = _STAGES
    budget: Budget = Budget(samples=10_000)
    optimiser: Optimiser = Optimiser()
    start: str = "fresh"
    start_parts: tuple[str, ...] = PARTS
    families: tuple[str, ...] = ()
    difficulty: int | None = None
    evaluation: int = 20
    modes: tuple[str, ...] = tuple(mode.value for mode in Mode)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            object.__setattr__(self, name, build(kind, spelled_out((name,), getattr(self, name)), name))
        as_whole(self, "evaluation", "seed", "difficulty")
        object.__setattr__(self, "stages", _stages(self.stages))
        known = [*synth.FAMILIES, *synth.LARGE]
        object.__setattr__(self, "families", _some("families", self.families, known))
        object.__setattr__(self, "start_parts", _some("start_parts", self.start_parts, PARTS))
        modes = _some("modes", self.modes, [mode.value for mode in Mode])
        object.__setattr__(self, "modes", modes)
        for name in ("start_parts", "modes"):
            if not getattr(self, name):
                raise InputError(f"{name}=[]", "at least one")
        for name, least in (("evaluation", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}={value!r}", f"a whole number of at least {least}")
        if self.difficulty not in (None, *synth.DIFFICULTIES):
            raise InputError(f"difficulty={self.difficulty!r}", f"one of {synth.DIFFICULTIES}, or none")
        _check_start(self.start)
        self._agree()

    def _agree(self) -> None:
        """Refuse fields that contradict each other."""
        shares = self.mixture.shares()
        drawn = self.domain_families()
        for name, share in shares.items():
            if share > 0 and not drawn[name]:
                raise InputError(
                    f"families={list(self.families)} with {share:.0%} of the mixture from {name}",
                    f"a family of {name}",
                    f"add one, or give {name} nothing",
                )
        reasoning_rates(self)
        for stage in self.stages:
            reasoning_rates(self, stage.reasoning)
        if self.budget.samples is not None:
            self.check_passes(self.budget.samples)
        kinds = [stage.kind for stage in self.stages if stage.share > 0]
        unseeing = self.start == "fresh" or "encoder" not in self.start_parts
        if self.architecture.freeze_encoder and unseeing and "encoder" not in kinds:
            raise InputError(
                f"architecture.freeze_encoder with a fresh encoder (start={self.start!r}, "
                f"start_parts={list(self.start_parts)}) and no stage 'encoder'",
                "a tower that has learned something before it is frozen",
                "add a stage of kind 'encoder', or start from trained weights",
            )
        if self.start == "fresh" and self.start_parts != PARTS:
            raise InputError(
                f"start_parts={list(self.start_parts)} with start='fresh'",
                "weights to begin with",
                "give start, or leave start_parts out",
            )
        if "text" in kinds:
            for name, share in shares.items():
                if share > 0 and not set(drawn[name]) & set(WRITTEN):
                    raise InputError(
                        f"a stage of kind 'text' with {share:.0%} of the mixture from {name}, "
                        f"whose families ({', '.join(drawn[name])}) cannot be written out",
                        f"in each domain a family of {', '.join(WRITTEN)}",
                    )

    def check_passes(self, samples: int) -> None:
        """Refuse a budget that sees the records of a domain more often than its cap.

        Raises:
            InputError: with the domain, its passes and the most samples that the cap allows.
        """
        for name, share in self.mixture.shares().items():
            domain = getattr(self.mixture, name)
            if domain.cap is not None and domain.records:
                passes = samples * share / domain.records
                if passes > domain.cap * (1 + 1e-9):
                    raise InputError(
                        f"budget of {samples} samples sees mixture.{name} {passes:.2f} times",
                        f"at most cap={domain.cap:g} passes over its {domain.records} records",
                        f"a budget of at most {int(domain.cap * domain.records / share)} samples, "
                        "more records, or a higher cap",
                    )

    def domain_families(self) -> dict[str, list[str]]:
        """Families that each domain draws from."""
        chosen = self.families or tuple(synth.FAMILIES)
        return {d: [f for f in chosen if synth.family(f).domain == d] for d in DOMAINS}

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of everything that determines the run; the name of its folder."""
        text = json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some fields changed; a mapping changes only the fields of a part that it names.

        A mixture's other domains stay as they are, so shares must be changed together; `Mixture` replaces it
        whole.  A budget is one field: samples or FLOPs.
        """
        refuse_unknown(changes, [f.name for f in dataclasses.fields(self)], "Recipe")
        for name, value in changes.items():
            if name in _PARTS and name != "budget" and isinstance(value, Mapping):
                part = getattr(self, name)
                value = named_now(type(part), value)
                refuse_unknown(value, [f.name for f in dataclasses.fields(part)], name)
                kept = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
                if name == "mixture":  # a domain without data is neither counted nor shared
                    kept = {domain: one for domain, one in kept.items() if one.records or one.share}
                changes[name] = type(part)(**{**kept, **value})
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON and YAML hold them."""
        made: dict[str, Any] = plain(self)
        return made

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Recipe:
        """A recipe from the fields that differ from the defaults.

        Raises:
            InputError: for unknown fields, with the closest name.
        """
        return build(cls, fields, "Recipe")

    def to_json(self) -> str:
        """JSON, indented."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_yaml(self) -> str:
        """YAML, in the order of the fields."""
        import yaml  # type: ignore[import-untyped]

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text

    def save(self, path: str | Path) -> Path:
        """Write a .yaml, .yml or .json file."""
        target = local_path(path)
        if target.suffix not in (".json", ".yaml", ".yml"):
            raise InputError(f"path={str(path)!r}", "a file ending in .yaml, .yml or .json")
        return write_text(target, self.to_json() if target.suffix == ".json" else self.to_yaml())

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a .yaml, .yml or .json file.

        Raises:
            InputError: if there is no such file, it is damaged, or names unknown fields.
        """
        return cls.from_dict(read_mapping(path))


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file.

    Raises:
        InputError: if it cannot be read, or holds no mapping.
    """
    import yaml

    data = read_bytes(path, "recipe", max_bytes=2**24)
    try:
        if str(path).endswith(".json"):
            value = json.loads(data, object_pairs_hook=_once)
        else:
            value = yaml.load(data.decode("utf-8"), Loader=_yaml_loader())
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{str(path)!r} is nested too deeply", "a mapping of fields") from None
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{str(path)!r} is damaged: {told}", "YAML, or JSON in a .json file") from None
    if not isinstance(value, dict):
        raise InputError(f"{str(path)!r} holds {type(value).__name__}", "a mapping of fields")
    return value


def _once(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """A mapping of some pairs.

    Raises:
        InputError: for a key that stands there twice: one of its values would be lost.
    """
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if key in made:
            raise InputError(f"{key!r} stands twice, with {made[key]!r} and {value!r}", "each field once")
        made[key] = value
    return made


def _yaml_loader() -> Any:
    """PyYAML's safe loader, made to refuse equal keys, of which it would silently take the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        def made(pairs: Any) -> list[Any]:
            return [tuple(loader.construct_object(one, deep=True) for one in pair) for pair in pairs]

        _once(made(pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"))
        loader.flatten_mapping(node)  # "<<: *base": what stands beside it counts, as YAML says
        return dict(made(node.value))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader


def reasoning_rates(recipe: Recipe, share: float | None = None) -> dict[tuple[str, bool], float]:
    """Probability that a record thinks, by (domain, whether its questions take several steps).

    Args:
        recipe: mixture, families, and the domains that carry reasoning.
        share: of all records; None for the recipe's.

    Raises:
        InputError: if the domains that carry reasoning have fewer records than its share asks for.
    """
    shares, drawn = recipe.mixture.shares(), recipe.domain_families()
    weight: dict[bool, float] = {True: 0.0, False: 0.0}
    for domain in recipe.reasoning.domains:
        for family in drawn[domain]:
            weight[synth.family(family).several_steps] += shares[domain] / len(drawn[domain])
    wanted = recipe.reasoning.share if share is None else share
    carried = sum(weight.values())
    if wanted > carried + 1e-9:
        raise InputError(
            f"reasoning.share={wanted:g}, carried by {', '.join(recipe.reasoning.domains) or 'no domain'}, "
            f"which give {carried:.2f} of the mixture",
            f"a share of at most {carried:.2f}",
            "lower reasoning.share, or name more reasoning.domains",
        )
    steps = min(1.0, wanted / weight[True]) if weight[True] else 0.0
    look = min(1.0, max(0.0, wanted - weight[True]) / weight[False]) if weight[False] else 0.0
    rate = {True: steps, False: look}
    carrying = recipe.reasoning.domains
    return {(d, several): rate[several] if d in carrying else 0.0 for d in DOMAINS for several in rate}


def _stages(value: Any) -> tuple[Stage, ...]:
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
        raise InputError(f"stages={value!r}", "a list of stages, each with kind and share")
    stages = tuple(build(Stage, stage, f"stages[{i}]") for i, stage in enumerate(value))
    total = sum(stage.share for stage in stages)
    if abs(total - 1) > 1e-6:
        raise InputError(f"stages with shares that sum to {total:g}", "shares that sum to one")
    return stages


def _some(name: str, value: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Some of the known names, each once and in their order."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise InputError(f"{name}={value!r}", f"a list of {name}")
    given = [str(one) for one in value]
    for one in given:
        if one not in known:
            raise InputError(f"{name} names {one!r}", f"some of {', '.join(known)}", closest(one, [*known]))
    return tuple(one for one in known if one in given)
