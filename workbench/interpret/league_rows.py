"""One question of the league: ask it, make every method's map, check them all on the same states"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .. import synth
from ..errors import CapabilityError, InputError
from ..types import Mode
from .attributing import attribute
from .baselines import blocks
from .curves import curves
from .examine import FILLS, orders_of
from .faithfulness import evidence_of, score_over, sink_maps
from .forward import Scorer
from .methods import METHODS
from .plausibility import plausibility
from .proving import whole_reply

if TYPE_CHECKING:
    from ..answer import Answer
    from ..models.handle import VLM
    from .attribution import Attribution

__all__ = ["OPTIONS", "SEED", "SINK", "LeagueSettings", "measure", "units"]

#: Fresh samples: training never uses seeds from 1,000,003 on, and the model's evaluation begins there.
SEED = 3_000_017

SINK = "sink"
"""The baseline that is no method: the patches with the largest hidden states."""

#: Settings with which every method fits into the league's time; what each costs is in the table.
OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 12},
    "gradient_shap": {"samples": 8},
    "shapley_sampling": {"samples": 2},
    "kernel_shap": {"samples": 50},
    "greedy": {"width": 2},
}


@dataclass(frozen=True)
class LeagueSettings:
    """What a league measures.

    Args:
        n: questions; each is asked in every mode.
        seed: of the questions, the random orders and the methods.
        methods: names from `METHODS`, and "sink".
        families: from `synth.FAMILIES`, taken in turn.
        modes: "nothink", "think".
        regions: (rows, cols) of equal regions a picture, for the methods and the curves.
        fills: maskings.
        steps: points of a curve.
        max_tokens: longest reply.
        options: settings of the methods.
    """

    n: int = 200
    seed: int = SEED
    methods: tuple[str, ...] = (*METHODS, SINK)
    families: tuple[str, ...] = tuple(synth.FAMILIES)
    modes: tuple[str, ...] = ("nothink", "think")
    regions: tuple[int, int] = (5, 5)
    fills: tuple[str, ...] = FILLS
    steps: int = 3
    max_tokens: int = 128
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: OPTIONS, hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise InputError(f"n={self.n!r}", "at least one question")
        known = {
            "methods": (*METHODS, SINK),
            "families": tuple(synth.FAMILIES),
            "modes": tuple(m.value for m in Mode),
        }
        for name, allowed in known.items():
            given = getattr(self, name)
            if not given or set(given) - set(allowed):
                raise InputError(f"{name}={given!r}", f"some of {', '.join(allowed)}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        import json

        return json.loads(json.dumps(asdict(self)))


def units(settings: LeagueSettings) -> list[tuple[int, str]]:
    """What is to be measured: (question number, mode)."""
    return [(number, mode) for number in range(settings.n) for mode in settings.modes]


def measure(vlm: VLM, settings: LeagueSettings, number: int, mode: str) -> list[dict[str, Any]]:
    """Rows of one question in one mode, one a method; a single row with a note for an empty reply."""
    family = settings.families[number % len(settings.families)]
    sample = synth.sample(family, 1, seed=settings.seed + number)[0]
    answer = vlm.ask(sample.images, sample.question, mode=mode, max_tokens=settings.max_tokens)
    about = {
        "question": number,
        "family": family,
        "several_steps": synth.FAMILIES[family].several_steps,
        "mode": mode,
        "right": sample.correct(answer.text),
        "reply_tokens": len(answer.reply_ids),
        "image_tokens": answer.image_tokens,
    }
    target = whole_reply(answer)
    if target is None:
        return [{**about, "method": "", "note": "empty reply"}]
    scorer = Scorer(vlm, answer, target)
    about |= {
        "full": scorer.base,
        "no_image": scorer.without_pictures(),
        "drop_answer": _given_thought(vlm, answer),
    }
    made, notes = _maps(vlm, answer, target, settings, seed=settings.seed + number)
    labels = blocks(answer.layout.images, settings.regions)  # type: ignore[union-attr]
    orders = orders_of({name: one.maps for name, one in made.items()}, labels, seed=number)
    found = curves(score_over(scorer, labels), orders, fills=settings.fills, steps=settings.steps)
    true = evidence_of(answer, sample)
    rows = [{**about, "method": name, "note": note} for name, note in notes.items()]
    for name, one in made.items():
        row: dict[str, Any] = {**about, "method": name, "note": ""}
        for fill in settings.fills:
            curve = found[fill][name]
            row |= {f"insertion_{fill}": curve.insertion_auc, f"deletion_{fill}": curve.deletion_auc}
            row |= {f"gap_{fill}": curve.gap, f"blank_{fill}": curve.insertion[0]}
        row |= asdict(plausibility(one.maps, answer.layout.images, true or []))  # type: ignore[union-attr]
        rows.append({**row, "seconds": one.seconds, "forwards": one.forwards, "backwards": one.backwards})
    return rows


@dataclass(frozen=True)
class _Made:
    maps: Sequence[Any]
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0


def _maps(
    vlm: VLM, answer: Answer, target: Any, settings: LeagueSettings, *, seed: int
) -> tuple[dict[str, Attribution | _Made], dict[str, str]]:
    """Each method's map, and what a method said that this model does not allow."""
    made: dict[str, Attribution | _Made] = {}
    notes: dict[str, str] = {}
    for name in settings.methods:
        try:
            if name == SINK:
                made[name] = _sink(vlm, answer)
            else:
                more = {**settings.options.get(name, {}), "seed": seed, "progress": False}
                made[name] = attribute(vlm, answer, target, name, settings.regions, **more)
        except CapabilityError as error:
            notes[name] = str(error)
    return made, notes


def _sink(vlm: VLM, answer: Answer) -> _Made:
    import time

    started = time.perf_counter()
    maps = sink_maps(vlm, answer)
    return _Made(maps, time.perf_counter() - started, 1)


def _given_thought(vlm: VLM, answer: Answer) -> float | None:
    """Nats that the answer alone loses without pictures, its thought given; None for an empty answer."""
    if not len(answer.spans["answer"]):
        return None
    scorer = Scorer(vlm, answer, "answer")
    return scorer.base - scorer.without_pictures()
