"""A recipe: everything that determines a training run, checked, with a hash that names its folder"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import synth
from ..errors import InputError
from ..types import Mode
from .architecture import Architecture
from .fields import build, closest, plain, refuse_unknown
from .parts import DOMAINS, PARTS, Budget, Mixture, Optimiser, Reasoning, Stage
from .written import WRITTEN

__all__ = ["Recipe", "reasoning_rates"]

_STAGES = (Stage("encoder", 0.15), Stage("projector", 0.05), Stage("all", 0.7), Stage("long", 0.1))
_PARTS = {
    "mixture": Mixture,
    "reasoning": Reasoning,
    "architecture": Architecture,
    "budget": Budget,
    "optimiser": Optimiser,
}


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
            object.__setattr__(self, name, build(kind, _short(name, getattr(self, name)), name))
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
        if not isinstance(self.start, str) or not self.start:
            raise InputError(f"start={self.start!r}", "'fresh', 'nano', 'run:HASH', or a folder of weights")
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
                "a tower that has learned something before it rests",
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
        """A copy with some fields changed; a mapping changes only the fields of a part that it names."""
        refuse_unknown(changes, [f.name for f in dataclasses.fields(self)], "Recipe")
        for name, value in changes.items():
            if name in _PARTS and name not in ("mixture", "budget") and isinstance(value, Mapping):
                part = getattr(self, name)
                refuse_unknown(value, [f.name for f in dataclasses.fields(part)], name)
                changes[name] = dataclasses.replace(part, **value)
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
        target = Path(path)
        if target.suffix not in (".json", ".yaml", ".yml"):
            raise InputError(f"path={str(path)!r}", "a file ending in .yaml, .yml or .json")
        target.write_text(self.to_json() if target.suffix == ".json" else self.to_yaml(), encoding="utf-8")
        return target

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

    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        value = json.loads(text) if str(path).endswith(".json") else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}", "a recipe file") from None
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{str(path)!r} is damaged: {told}", "YAML, or JSON in a .json file") from None
    if not isinstance(value, dict):
        raise InputError(f"{str(path)!r} holds {type(value).__name__}", "a mapping of fields")
    return value


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


def _short(name: str, value: Any) -> Any:
    """A bare number where it says enough: reasoning=0.2, budget=10000."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and name in ("reasoning", "budget"):
        return {"share" if name == "reasoning" else "samples": value}
    return value


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
