"""All tests of thoughts of 8 sentences against asking each changed prompt anew, on the same model.

python benchmarks/thought_tests.py --out data/benchmarks/thought_tests.json

Both write the same replies: once as `thought_faithfulness` asks for them (replies to one prompt together, and
prompt and image read once), and once one after the other, each with its prompt and image read anew.  Only the
first computes how probable the unchanged answer is behind each thought: its time is told with and without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from datetime import UTC, datetime
from math import nan
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from result import keep

import workbench
from workbench import interpret, synth
from workbench.answer import Answer
from workbench.interpret import thought_tests
from workbench.models.vlm import VLM
from workbench.train.card import hardware

SENTENCES = 8


class Recorder:
    """A model that notes what it is asked, to be asked again one by one."""

    def __init__(self, vlm: VLM) -> None:
        self.vlm, self.asked = vlm, []  # type: ignore[var-annotated]
        self._ask_many = vlm.ask_many

    def __enter__(self) -> Recorder:
        self.vlm.ask_many = self._noting  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        self.vlm.ask_many = self._ask_many  # type: ignore[method-assign]

    def _noting(self, images: Any, question: str, **options: Any) -> list[Answer]:
        thoughts = options["thoughts"] or [None] * len(images)
        shown = images if len(images) == len(thoughts) else images * len(thoughts)
        settings = {"mode": "think", "max_tokens": options["max_tokens"]}
        for image, thought in zip(shown, thoughts, strict=True):
            given = {} if thought is None else {"thought": thought, "thought_done": options["thought_done"]}
            self.asked.append((image, question, settings | given))
        return self._ask_many(images, question, **options)


def answers_of(vlm: VLM) -> list[Answer]:
    """Two answers whose thoughts have 8 sentences: their own first one again and again, and their last."""
    answers = []
    for sample in synth.sample("chain", 2, seed=5):
        asked = vlm.ask(sample.images, sample.question, mode="think")
        first, last = (asked.thought[s.start : s.stop] for s in (asked.sentences[0], asked.sentences[-1]))  # type: ignore[index]
        thought = " ".join([first] * (SENTENCES - 1) + [last])
        answers.append(vlm.ask(sample.images, sample.question, thought=thought))
    return answers


def timed(work: Any) -> tuple[float, float]:
    """Wall-clock seconds, and this process's CPU seconds."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


def spread(values: list[float]) -> list[float]:
    """The median, the least and the most."""
    return [round(f(values), 3) for f in (statistics.median, min, max)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = workbench.load(args.model, progress=False)
    answers = answers_of(vlm)
    assert [len(answer.sentences) for answer in answers] == [SENTENCES] * 2, answers
    with Recorder(vlm) as recorder:
        found = interpret.thought_faithfulness(vlm, answers, progress=False)
    asked = recorder.asked
    ours, answers_only, anew = [], [], []
    for _ in range(args.rounds):
        ours.append(timed(lambda: interpret.thought_faithfulness(vlm, answers, progress=False)))
        with mock.patch.object(thought_tests, "probabilities", lambda vlm, some, *_, **__: [nan] * len(some)):
            answers_only.append(timed(lambda: interpret.thought_faithfulness(vlm, answers, progress=False)))
        anew.append(timed(lambda: [vlm.ask(image, question, **more) for image, question, more in asked]))
    wall, cpu = ([a[i] / b[i] for a, b in zip(ours, anew, strict=True)] for i in (0, 1))
    alone = [a[0] / b[0] for a, b in zip(answers_only, anew, strict=True)]
    result = {
        "model": vlm.name,
        "sentences": [len(answer.sentences) for answer in answers],
        "replies": len(asked),
        "trials": len(found.trials),
        "seconds": [round(one, 3) for one, _ in ours],
        "seconds_anew": [round(one, 3) for one, _ in anew],
        "over_anew": spread(wall),
        "over_anew_without_probabilities": spread(alone),
        "cpu_over_anew": spread(cpu),
        "aim": 0.5,
        "threads": args.threads,
        "hardware": hardware(),
        "load": os.getloadavg()[0],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    keep(result, args.out)


if __name__ == "__main__":
    main()
