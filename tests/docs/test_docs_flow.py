"""The paths that docs/how describes are those that the code takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from walked import walked

import workbench
from workbench import ablate, bench, synth, viz

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "tests" / "data" / "bench" / "lmms_eval"

sys.path[:0] = [str(ROOT / "docs" / "_extensions")]


def a_question(folder: Path) -> None:
    sample = synth.sample("gui_links", 1, seed=7)[0]
    answer = workbench.load().ask(sample.images, sample.question, mode="think", capture=True)
    assert sample.correct(answer.text)
    viz.overlay(answer, answer.attention.map(answer.spans["answer"]))


def a_recipe(folder: Path) -> None:
    recipe = ablate.Recipe(
        mixture={"general": 8},
        families=("read_sign",),
        architecture={"width": 32, "depth": 1, "vision_layer": 1},
        budget=8,
        optimiser={"batch": 2},
        evaluation=1,
        modes=("nothink",),
    )
    ablate.run(recipe, folder, checkpoint=2)
    assert len(ablate.runs(folder)) > 0


def a_log(folder: Path) -> None:
    again = bench.rescore(bench.load_results(LOGS), "workbench")
    assert len(bench.scores(again)) > 0
    bench.report(again, folder / "report.html")


JOURNEYS: dict[str, Callable[[Path], None]] = {"question": a_question, "recipe": a_recipe, "log": a_log}


def steps(page: str) -> list[str]:
    """The names that a page's diagram shows, in order."""
    pytest.importorskip("sphinx", reason="the diagrams are a Sphinx directive")
    from flow import read_steps

    text = (ROOT / "docs" / "how" / f"{page}.md").read_text(encoding="utf-8")
    return [
        step.name for step in read_steps(text.partition("```{flow}\n")[2].partition("```")[0].splitlines())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", JOURNEYS)
def test_a_journey_calls_what_its_page_names_in_that_order(page: str, tmp_path: Path) -> None:
    named = steps(page)
    assert len(named) > 10
    with walked() as calls:
        JOURNEYS[page](tmp_path)
    assert not [name for name in named if name not in calls]
    order = [calls.index(name) for name in named]
    assert [named[n] for n in sorted(range(len(named)), key=order.__getitem__)] == named


def test_calls_are_noted_once_and_in_order() -> None:
    with walked() as calls:
        synth.sample("read_sign", 2, seed=0)
    first, second = "workbench.synth.families.sample", "workbench.synth.families.draw"
    assert calls.index(first) < calls.index(second)
    assert calls.count(second) == 1
