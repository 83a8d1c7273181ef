"""What a model can do in the drawn world: accuracy, tokens and seconds by family and mode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .. import synth
from ..answer import Answer
from ..stats import wilson
from ..synth import WORLD_1, Sample, World
from ..types import Mode

__all__ = ["Scored", "evaluate", "summarise"]

#: Fresh pictures: seeds from here on are never used in training.
EVALUATION_SEED = 1_000_003

#: More than any trace needs; a model that rambles is stopped here.
LONGEST_REPLY = 128


@dataclass(frozen=True)
class Scored:
    """One question, its reply and whether it was right."""

    sample: Sample
    answer: Answer

    @property
    def right(self) -> bool:
        """By the family's rule, on the answer without its thought."""
        return self.sample.correct(self.answer.text)

    @property
    def trace_right(self) -> bool | None:
        """Whether the thought is the exact trace; None where there is no thought."""
        return None if self.answer.thought is None else self.answer.thought.strip() == self.sample.trace

    @property
    def thought_true(self) -> bool | None:
        """Whether every sentence of the thought is true of the drawing; None where there is no thought."""
        return None if self.answer.thought is None else self.sample.true(self.answer.thought)


def evaluate(
    vlm: Any,
    families: Iterable[str] = tuple(synth.FAMILIES),
    *,
    n: int = 100,
    seed: int = EVALUATION_SEED,
    modes: Sequence[Mode | str] = tuple(Mode),
    difficulty: int | None = None,
    world: World | int = WORLD_1,
    batch_size: int = 32,
    progress: bool = True,
    **ask: Any,
) -> list[Scored]:
    """Ask ``n`` fresh questions of each family in each mode.

    Args:
        vlm: a loaded model, or a server.
        families: names from `synth.FAMILIES`.
        n: questions per family; the same ones in every mode.
        seed: of the questions.
        modes: the modes to ask in.
        difficulty: 1, 2, 3, or None for a mix.
        world: in which the questions are drawn.
        batch_size: questions in one batch.
        progress: show a bar.
        **ask: more arguments of ``vlm.ask_many``, for example ``thinking_budget``; ``max_tokens`` is
            128 unless it is given.
    """
    ask.setdefault("max_tokens", LONGEST_REPLY)
    scored = []
    for family in families:
        samples = synth.sample(family, n, seed=seed, difficulty=difficulty, world=world)
        for mode in modes:
            answers = vlm.ask_many(
                [s.images for s in samples],
                [s.question for s in samples],
                mode=mode,
                batch_size=batch_size,
                progress=progress,
                **ask,
            )
            scored += [Scored(s, a) for s, a in zip(samples, answers, strict=True)]
    return scored


def _share(bits: pd.Series) -> float:
    """Mean of bits, where there are any."""
    return bits.dropna().astype(float).mean()


def summarise(scored: Sequence[Scored], by: Sequence[str] = ("family", "mode")) -> pd.DataFrame:
    """One row per group: n, accuracy with its 95% interval, thoughts, p_think, tokens and seconds.

    Of the thoughts, ``trace`` is the share that are the exact trace, ``true`` that of which every sentence is
    true of the drawing, and ``true_if_right`` the latter among right answers.

    Args:
        scored: from `evaluate`.
        by: any of family, domain, several_steps, difficulty, steps, mode.
    """
    rows = pd.DataFrame(
        {
            "family": s.sample.family,
            "domain": s.sample.domain,
            "several_steps": synth.family(s.sample.family).several_steps,
            "difficulty": s.sample.difficulty,
            "steps": s.sample.steps,
            "mode": str(s.answer.mode),
            "right": s.right,
            "thinks": s.answer.thought is not None,
            "trace": s.trace_right,
            "true": s.thought_true,
            "true_if_right": s.thought_true if s.right else None,
            "p_think": s.answer.p_think,
            "tokens": s.answer.reply_tokens,
            "seconds": s.answer.seconds,
        }
        for s in scored
    )
    groups = rows.groupby(list(by), sort=False)
    table = groups.agg(
        n=("right", "size"),
        right=("right", "sum"),
        accuracy=("right", "mean"),
        thinks=("thinks", "mean"),
        trace=("trace", _share),
        true=("true", _share),
        true_if_right=("true_if_right", _share),
        p_think=("p_think", "mean"),
        tokens=("tokens", "mean"),
        seconds=("seconds", "mean"),
    ).reset_index()
    bounds = [wilson(int(k), int(m)) for k, m in zip(table["right"], table["n"], strict=True)]
    table.insert(table.columns.get_loc("accuracy") + 1, "low", [low for low, _ in bounds])
    table.insert(table.columns.get_loc("low") + 1, "high", [high for _, high in bounds])
    return table
