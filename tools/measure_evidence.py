"""Measure `interpret.sentence_evidence`: python tools/measure_evidence.py [questions a family]

Every sentence of a thought is tested at three places: where the model points, where its step's evidence is,
and where another step's is.  A test that means something says "evidence" of the second, not of the third.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import workbench
from workbench import interpret, synth
from workbench.answer import Answer
from workbench.interpret import SeenSentence
from workbench.synth import Sample
from workbench.types import Box

FAMILIES = ("gui_links", "bar_walk", "bar_value", "read_sign", "chain")


def places(sample: Sample, count: int) -> dict[str, list[Box | None] | None]:
    """The places to test, for each sentence of the thought."""
    steps = [boxes[0] for boxes in interpret.step_boxes(sample)]
    own: list[Box | None] = [*steps, *[None] * count][:count]
    found: dict[str, list[Box | None] | None] = {"where the model points": None, "the step's evidence": own}
    if len(set(steps)) > 1:  # the next step's, and of the last the first's
        after = [*steps[1:], steps[0]]
        found["another step's evidence"] = [*after, *[None] * count][:count]
    return found


def tested(vlm: workbench.VLM, sample: Sample, answer: Answer) -> list[tuple[str, SeenSentence]]:
    """Each sentence that a step of the drawing stands behind, at each place."""
    options = {"sample": sample, "progress": False, "sentences": range(len(answer.sentences))}
    return [
        (name, one)
        for name, boxes in places(sample, len(answer.sentences)).items()
        for one in interpret.sentence_evidence(vlm, answer, boxes=boxes, **options).sentences  # type: ignore[arg-type]
        if one.truth
    ]


def main(words: Sequence[str]) -> None:
    vlm = workbench.load(progress=False)
    every: dict[str, list[SeenSentence]] = {}
    for family in FAMILIES:
        for sample in synth.sample(family, int(words[0]) if words else 8, seed=1_000_016):
            answer = vlm.ask(sample.images, sample.question, mode="think", max_tokens=128)
            if answer.thought and sample.correct(answer.text):
                for name, one in tested(vlm, sample, answer):
                    every.setdefault(name, []).append(one)
    for name, found in every.items():
        says = Counter(one.says for one in found)
        ahead = sum(one.ahead for one in found) / len(found)
        covered = sum(one.covered for one in found) / len(found)
        print(
            f"{name}: {dict(says)} of {len(found)} sentences; {ahead:.2f} nats more than elsewhere; "
            f"{100 * covered:.0f}% of the step's evidence is hidden"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
