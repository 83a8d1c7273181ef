"""The mixture explorer, from Python: predictions, nearest runs, recipe, page, and what it refuses."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.ablate import DOMAINS, Recipe, Response, dirichlet_design, fit_response, with_reasoning
from workbench.ablate.mixture import beyond
from workbench.errors import InputError
from workbench.ui import MixtureExplorer
from workbench.ui.mixture import STEPS
from workbench.ui.widget import STATIC_VARIABLE


def response_of(shares: pd.DataFrame, **more: object) -> Response:
    """A response with its best where the first two domains are even."""
    rng = np.random.default_rng(0)
    parts = shares.to_numpy()
    metric = pd.Series(
        0.4 + parts[:, 0] * parts[:, 1] + 0.002 * rng.standard_normal(len(parts)), shares.index
    )
    return fit_response(shares, metric.rename("accuracy"), **{"method": "quadratic", "goal": "max", **more})


@pytest.fixture(scope="module")
def three() -> MixtureExplorer:
    return MixtureExplorer(response_of(dirichlet_design(12, replicates=2, seed=1)))


@pytest.fixture(scope="module")
def thinking() -> MixtureExplorer:
    design = dirichlet_design(12, caps={"maths": 0.4}, seed=1)
    shares = with_reasoning(design, np.linspace(0, 0.6, len(design)))
    return MixtureExplorer(response_of(shares), recipe=Recipe(budget=2400, seed=3))


def test_it_begins_at_the_best_mixture_and_tells_the_surface_there(three: MixtureExplorer) -> None:
    assert three.best is not None
    assert np.abs(three.shares - three.best.shares).max() <= 1 / STEPS
    told = three.response.interval(three.shares.to_frame().T).iloc[0]
    assert f"accuracy {told.value:.4g}." in three.reading
    assert f"{told.low:.4g} and {told.high:.4g}" in three.reading
    assert f"{told.run_low:.4g} and {told.run_high:.4g}" in three.reading


def test_the_numbers_sent_are_the_predictions_at_every_place(thinking: MixtureExplorer) -> None:
    surface, runs = (np.frombuffer(part, "<f4") for part in thinking._buffers())
    amounts, cut = thinking.info["amounts"], thinking._cut
    points = cut.points()
    assert len(surface) == 4 * len(amounts) * len(points)
    assert [cut.index(point) for point in points] == list(range(len(points)))
    for step, place in ((0, 3), (5, 100), (len(amounts) - 1, len(points) - 1)):
        shares = pd.DataFrame([cut.mixture(points[place], step)], columns=list(cut.domains))
        assert shares.sum(axis=1).iloc[0] == pytest.approx(1)
        told = surface.reshape(len(amounts), -1, 4)[step, place]
        assert told[0] == pytest.approx(thinking.response.predict(shares).iloc[0], abs=1e-5)
        far = beyond(shares.to_numpy(), thinking.response.shares.to_numpy())[0]
        assert told[3] == pytest.approx(far, abs=1e-5)
    assert len(runs) == len(thinking.info["runs"]) * len(cut.domains)


def test_what_no_blend_of_the_runs_reaches_is_called_a_guess(thinking: MixtureExplorer) -> None:
    runs = thinking.response.shares.to_numpy()
    assert beyond(runs[:3], runs).max() < 1e-6
    assert beyond(runs[:5].mean(axis=0)[None], runs)[0] < 1e-6
    assert beyond(np.array([[0, 0, 0, 1.0]]), runs)[0] == pytest.approx(1 - runs[:, 3].max(), abs=0.02)
    thinking.point, thinking.step = thinking._cut.nearest(runs.mean(axis=0))
    assert "a guess" not in thinking.reading
    thinking.point = [0, STEPS, 0]
    assert "a guess" in thinking.reading


def test_the_nearest_runs_are_those_whose_records_differ_least(three: MixtureExplorer) -> None:
    found = three.nearest
    shares = three.response.shares.drop_duplicates()
    apart = np.sort(np.abs(shares - three.shares).sum(axis=1) / 2)
    assert list(found["apart"]) == pytest.approx(list(apart[: len(found)]))
    assert (found["runs"] == 2).all()
    assert ((found["low"] <= found["measured"]) & (found["measured"] <= found["high"])).all()


def test_the_slider_keeps_the_mixture_and_moves_the_share_of_thoughts(thinking: MixtureExplorer) -> None:
    before = thinking.recipe
    thinking.step = 2
    assert thinking.shares["reasoning"] == pytest.approx(0.1)
    assert thinking.recipe.reasoning.share == pytest.approx(0.1)
    assert thinking.recipe.mixture == before.mixture
    assert thinking.recipe.budget == before.budget
    assert thinking.recipe.seed == 3


def test_others_than_three_are_held_where_the_best_mixture_has_them() -> None:
    shares = dirichlet_design(16, ["a", "b", "c", "d", "e"], seed=2)
    shown = MixtureExplorer(response_of(shares), corners=["a", "b", "c"], slider="d")
    assert shown.best is not None
    rest = shown.best.shares / (1 - shown.best.shares["d"])
    assert shown.shares["e"] / (1 - shown.shares["d"]) == pytest.approx(rest["e"])
    given = MixtureExplorer(response_of(shares), corners=["a", "b", "c"], slider="d", held={"e": 0.25})
    assert given.shares["e"] == pytest.approx(0.25 * (1 - given.shares["d"]))
    assert given.shares.sum() == pytest.approx(1)
    assert given.info["recipe"] is None
    with pytest.raises(InputError, match="domains a, b, c, d, e"):
        _ = given.recipe


def test_two_domains_have_a_slider_alone() -> None:
    amounts = np.repeat([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 2)
    shown = MixtureExplorer(response_of(pd.DataFrame({"direct": 1 - amounts, "reasoning": amounts})))
    assert shown.info["corners"] == [0]
    assert shown.shares["reasoning"] == pytest.approx(0.5)
    assert shown.recipe.reasoning.share == pytest.approx(0.5)
    assert shown.recipe.mixture == Recipe().mixture
    assert "accuracy" in shown.static()


def test_a_run_goes_on_in_the_background_and_is_told(three: MixtureExplorer) -> None:
    free, begun, asked = threading.Event(), threading.Event(), []

    def run(recipe: Recipe) -> str:
        asked.append(recipe)
        begun.set()
        assert free.wait(20)
        if len(asked) > 1:
            raise ValueError("the disk is full")
        return "61% are right"

    shown = MixtureExplorer(three.response, run=run)
    shown._heard(shown, {"kind": "run"}, [])
    assert begun.wait(20)
    assert "has begun" in shown.doing
    free.set()
    shown.wait()
    assert asked == [shown.recipe]
    assert shown.results == shown.finished == ["61% are right"]
    assert (shown.doing, shown.problem) == ("", "")
    shown.start()
    shown.wait()
    assert "ValueError: the disk is full" in shown.problem
    with pytest.raises(InputError, match="without run="):
        three.start()


def test_the_static_form_and_the_page_carry_all(
    thinking: MixtureExplorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "data:image/png" in thinking.static()
    assert "<bdi>" in thinking.static()
    text = thinking.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    outside = text.replace('http-equiv="Content-Security-Policy"', "").replace(
        "http://www.w3.org/2000/svg", ""
    )
    assert "http" not in outside
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    assert set(thinking._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_names_of_runs_are_text(tmp_path: Path) -> None:
    shares = dirichlet_design(8, seed=1).set_axis([f"</script><b>{i}" for i in range(8)])
    shown = MixtureExplorer(response_of(shares, method="ridge"))
    assert "</script><b>" not in shown.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>" not in shown.static()


def test_mistakes_are_told(three: MixtureExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    response = three.response
    with pytest.raises(InputError, match="fit_response"):
        MixtureExplorer(response.shares)
    with pytest.raises(InputError, match="optimum"):
        MixtureExplorer(response, best=response.shares)
    with pytest.raises(InputError, match="the domain 'maths '"):
        MixtureExplorer(response, corners=["general", "maths ", "computer_use"])
    with pytest.raises(InputError, match="three corners"):
        MixtureExplorer(response, slider="maths")
    with pytest.raises(InputError, match="all domains move"):
        MixtureExplorer(response, held={"maths": 0.1})
    four = response_of(dirichlet_design(12, ["a", "b", "c", "d"], seed=2))
    for share in (1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="less than one"):
            MixtureExplorer(four, corners=["a", "b", "c"], held={"d": share})
    with pytest.raises(InputError, match="leave run= out"):
        MixtureExplorer(four, run=print)
    with pytest.raises(InputError, match="sum to 40"):
        three.point = [1, 2, 3]
    with pytest.raises(InputError, match="step=7"):
        three.step = 7
    surface = type(response.surface)
    monkeypatch.setattr(surface, "predict", lambda self, x: np.full(len(x), np.nan))
    with pytest.raises(InputError, match="no number"):
        MixtureExplorer(response, best=three.best)


def test_reasoning_becomes_a_part_of_the_shares() -> None:
    shares = with_reasoning(pd.DataFrame({name: [1 / 3, 1 / 3] for name in DOMAINS}), [0.0, 1.0])
    assert list(shares.columns) == [*DOMAINS, "reasoning"]
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert shares["reasoning"].tolist() == [0, 1]
    with pytest.raises(InputError, match="reasoning"):
        with_reasoning(shares[[*DOMAINS]].head(1), 1.2)
