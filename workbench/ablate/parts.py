"""The parts of a recipe: domains and their mixture, reasoning, stages, budget, optimiser"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, fields
from typing import Any

from ..errors import InputError
from .fields import build, closest

__all__ = [
    "DOMAINS",
    "PARTS",
    "STAGES",
    "Budget",
    "Domain",
    "Mixture",
    "Optimiser",
    "Reasoning",
    "Stage",
    "part_of",
]

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
    """Make some fields of a frozen record floats: 3 and 3.0 are one recipe, and YAML reads 2e-3 as text."""
    for name in names:
        value = getattr(record, name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        object.__setattr__(record, name, value)


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
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return build(Domain, value, where)
        return Domain(records=value) if isinstance(value, int) else Domain(share=value)
    except InputError as error:
        if error.given.startswith(where):
            raise
        raise InputError(f"{where}: {error.given}", error.expected, error.fix) from None


@dataclass(frozen=True)
class Mixture:
    """The three domains; each a `Domain`, its fields, a whole number (records) or a fraction (share).

    Shares of all domains sum to one; counts and shares do not mix.  A domain that is left out has none.
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
        if any(d.share is not None for d in made.values()):
            for name, value in given.items():
                if isinstance(value, int) and not isinstance(value, bool) and value in (0, 1):
                    made[name] = Domain(share=float(value))
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


@dataclass(frozen=True)
class Budget:
    """How long to train: in samples (records seen), or in floating-point operations of training."""

    samples: int | None = None
    flops: float | None = None

    def __post_init__(self) -> None:
        as_floats(self, "flops")
        if (self.samples is None) == (self.flops is None):
            raise InputError(f"budget with samples={self.samples}, flops={self.flops}", "one of the two")
        if self.samples is not None:
            number(self.samples, "budget.samples", 1, math.inf, whole=True)
        else:
            number(self.flops, "budget.flops", 1, math.inf)


@dataclass(frozen=True)
class Optimiser:
    """Muon and AdamW with one schedule; see `workbench.train.loop.TrainConfig`.

    Args:
        lr: peak learning rate.
        batch: conversations in a step.
        warmup, decay: shares of all steps, at the beginning and at the end.
        weight_decay, clip: as usual.
        auxiliary: weight of telling what each patch shows.
        guide: weight of guided looking.
    """

    lr: float = 2e-3
    batch: int = 24
    warmup: float = 0.02
    decay: float = 0.3
    weight_decay: float = 0.02
    clip: float = 1.0
    auxiliary: float = 0.3
    guide: float = 0.3

    def __post_init__(self) -> None:
        as_floats(self, *(f.name for f in fields(self) if f.name != "batch"))
        number(self.batch, "optimiser.batch", 1, 65536, whole=True)
        limits = {"lr": (1e-9, 10), "warmup": (0, 1), "decay": (0, 1), "clip": (1e-6, math.inf)}
        for field in fields(self):
            if field.name != "batch":
                low, high = limits.get(field.name, (0, math.inf))
                number(getattr(self, field.name), f"optimiser.{field.name}", low, high)


def part_of(name: str) -> str:
    """The part of the model that a parameter belongs to: encoder, projector or decoder."""
    if "vision_tower" in name:
        return "encoder"
    return "projector" if "multi_modal_projector" in name else "decoder"
