"""The ladder's figures are the plan's, and what it recommends fits."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import workbench
from workbench.files import data_path
from workbench.models.ladder import PLACES, TAKEN, Place, Rung, ladder

TOOL = Path(__file__).parents[2] / "tools" / "make_ladder.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_ladder", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_those_of_the_plan(tool) -> None:
    recorded = {}
    for rung in ladder().rungs:
        recorded.setdefault(rung.model, []).append(rung)
    assert list(recorded) == list(tool.MODELS)
    for model, rungs in recorded.items():
        assert rungs == tool.rungs(model)


def test_the_shapes_are_those_of_the_published_models() -> None:
    parameters = {rung.name: rung.parameters for rung in ladder().rungs}
    assert list(parameters.values()) == [
        256_484_928, 507_482_304, 2_127_532_032, 4_437_815_808, 8_767_123_696, 15_119_518_144,
    ]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_what_is_recommended_fits_and_nothing_larger_does(place: Place) -> None:
    best = ladder().best(place)
    assert len(best) == 2
    assert best[0].parameters > best[1].parameters
    for rung in best:
        assert rung.needed(place) <= (1 - TAKEN) * place.memory
        better = [r for r in ladder().rungs if r.model == rung.model and r.weights > rung.weights]
        assert not any(r.fits(place) for r in better), "a more precise way would fit"
    larger = [r for r in ladder().rungs if r.parameters > best[0].parameters]
    assert not any(r.fits(place) for r in larger)


def test_a_card_needs_its_reserve_and_a_cpu_stays_small() -> None:
    rung = Rung("a/b", 10**9, None, "bfloat16", 2 * 10**9, 10**9, 10**9)
    assert rung.needed(PLACES[1]) - rung.needed(PLACES[0]) == 10**9
    assert all(r.weights <= 2 * 10**9 for r in ladder().best(PLACES[0]))
    assert rung.call == 'workbench.load("a/b")'


def test_the_ladder_is_shown_by_doctor_and_readme() -> None:
    calls = [rung.call for place in PLACES for rung in ladder().best(place)]
    report, shown = str(workbench.doctor()), workbench.doctor()._repr_html_()
    assert all(call in report for call in calls)
    assert all(place.name in shown for place in PLACES)
    assert list(ladder().frame()["call"]) == calls
    readme = " ".join((data_path().parent / "README.md").read_text(encoding="utf-8").split())
    for place in PLACES:
        first = ladder().best(place, n=1)[0]
        name = first.name.removesuffix("-Instruct").removesuffix("-Video")
        assert name in readme
        said = re.search(
            rf"in {first.precision} on [^()]*\((?:takes )?{first.needed(place) / 1e9:.1f} GB\)", readme
        )
        assert said, (place.name, first.precision)
