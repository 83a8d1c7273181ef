"""Figures of responses: what they draw is what the tables and fits say, and titles are computed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.ablate import regmix
from workbench.ablate.mixture import dirichlet_design, published_response
from workbench.ablate.response import Agreement, Response, agreement, fit_response
from workbench.errors import InputError
from workbench.viz import ablate as figures

TOP = np.array([0.2, 0.5, 0.3])


@pytest.fixture(scope="module")
def runs() -> tuple[pd.DataFrame, pd.Series]:
    shares = dirichlet_design(16)
    height = 80 - 60 * ((shares.to_numpy() - TOP) ** 2).sum(axis=1)
    return shares, pd.Series(height, shares.index, name="accuracy (%)")


@pytest.fixture(scope="module")
def fitted(runs) -> Response:
    return fit_response(*runs, method="quadratic", goal="max")


@pytest.fixture(scope="module")
def compared(runs) -> Agreement:
    return agreement(*runs, methods=["ridge", "log-ridge", "quadratic"], goal="max", folds=3)


def title(drawn) -> str:
    return drawn._suptitle.get_text().replace("\n", " ")


def test_the_published_table_counts_pairs_beyond_their_error() -> None:
    _, scores = published_response()
    drawn = figures.published_mixtures(scores)
    assert len(drawn.axes) == 3
    screens = scores[scores["benchmark"] == "ScreenSpot_v2"].reset_index()
    apart = sum(
        abs(screens["score"][a] - screens["score"][b])
        > 1.96 * np.hypot(screens["error"][a], screens["error"][b])
        for a in range(6)
        for b in range(a)
    )
    assert f"ScreenSpot_v2 {apart} of 15" in title(drawn)
    assert "1000k / 150k / 450k" in drawn.axes[0].get_yticklabels()[0].get_text()


def test_learning_curves_draw_the_recorded_numbers() -> None:
    rows = pd.DataFrame(regmix.recorded()["curve"])
    drawn = figures.learning_curve(rows)
    assert len(drawn.axes[0].containers) == rows["method"].nunique()
    last = rows[rows["runs"] == rows["runs"].max()].set_index("method")["spearman"]
    assert f"{last.idxmax()} ranks best ({last.max():.3f})" in title(drawn)
    raw = pd.DataFrame({"method": "ridge", "runs": [8, 8, 16, 16], "spearman": [0.1, 0.3, 0.5, 0.7]})
    heights = figures.learning_curve(raw).axes[0].containers[0].lines[0].get_ydata()
    assert list(heights) == pytest.approx([0.2, 0.6])


def test_slices_follow_the_fit_and_keep_the_other_proportions(fitted: Response) -> None:
    drawn = figures.slices(fitted, domains=["maths"])
    axes = drawn.axes[0]
    line = next(one for one in axes.lines if one.get_label() == "quadratic")
    share, told = line.get_xdata()[20] / 100, line.get_ydata()[20]
    mean = fitted.shares.mean().drop("maths")
    row = {**dict(mean / mean.sum() * (1 - share)), "maths": share}
    assert fitted.predict(pd.DataFrame([row])).iloc[0] == pytest.approx(told)
    assert "maths" in title(drawn)
    with pytest.raises(InputError, match="'math'"):
        figures.slices(fitted, domains=["math"])


def test_slices_of_several_fits_have_a_line_each(compared: Agreement) -> None:
    drawn = figures.slices(compared.fits, domains=["maths", "general"])
    assert {text.get_text() for text in drawn.legends[0].get_texts()} == set(compared.fits)


def test_the_triangle_shows_runs_optimum_and_next_run(fitted: Response) -> None:
    best, point = fitted.optimum(n_resamples=8), fitted.next_point()
    drawn = figures.triangle(fitted, best=best, point=point)
    shown = {line.get_label(): len(line.get_xdata()) for line in drawn.axes[0].lines}
    assert (shown["runs"], shown["optimum of refits"], shown["next run"]) == (16, 8, 1)
    assert f"{best.shares.idxmax()} {best.shares.max():.0%}" in title(drawn)
    four = dirichlet_design(12, list("abcd"))
    with pytest.raises(InputError, match="4 domains"):
        figures.triangle(fit_response(four, four["a"].rename("accuracy"), method="ridge"))


def test_agreement_shows_each_method_s_best_mixture(compared: Agreement) -> None:
    drawn = figures.agreement(compared, most=2)
    assert {one.get_label() for one in drawn.axes[0].lines} == set(compared.fits)
    pairs = compared.ranks.to_numpy()[np.triu_indices(3, k=1)]
    assert f"{pairs.min():.2f} to {pairs.max():.2f}" in title(drawn)


@pytest.mark.parametrize("draw", [figures.published_mixtures, figures.learning_curve])
def test_tables_without_the_columns_are_refused(draw) -> None:
    with pytest.raises(InputError, match=r"workbench\.ablate\."):
        draw(pd.DataFrame({"method": ["ridge"]}))


def test_anything_but_an_agreement_is_refused() -> None:
    with pytest.raises(InputError, match="an Agreement"):
        figures.agreement({"ridge": 1})
