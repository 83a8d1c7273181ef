"""Each method against what it should be, computed another way; captum's promises; Chefer by its formula."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import comb
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from attribution_cases import record
from transformers import AttentionInterface

import workbench
from workbench import synth
from workbench.errors import InputError, OutOfMemoryError
from workbench.interpret import attribute
from workbench.interpret.attribution import CompletenessWarning
from workbench.interpret.methods import activation, greedy, regional
from workbench.interpret.methods.job import Job, _cells
from workbench.interpret.regions import make_regions
from workbench.interpret.scoring import Scorer
from workbench.interpret.targets import Contrast, Scored
from workbench.types import PatchGrid, Span, TokenLayout

HALVES = [(0, 0, 48, 56), (48, 0, 96, 56), (0, 56, 96, 112)]

# few steps, so that tests are fast: their completeness gap is large
pytestmark = pytest.mark.filterwarnings("ignore::workbench.interpret.attribution.CompletenessWarning")


@pytest.fixture(scope="module")
def asked():
    vlm = workbench.load()
    sample = synth.sample("read_sign", 1, seed=7)[0]
    return vlm, vlm.ask(sample.images, sample.question, mode="nothink")


def quiet(asked, method, regions="patches", target=None, **options):
    vlm, answer = asked
    return attribute(vlm, answer, target=target, method=method, regions=regions, progress=False, **options)


def subset_scores(asked, baseline="mean") -> dict[frozenset, float]:
    """The score with only these of the three regions shown, for every subset."""
    vlm, answer = asked
    scorer = Scorer(vlm, answer)
    regions = make_regions(answer, HALVES)
    sets = [frozenset(s) for size in range(4) for s in combinations(range(3), size)]
    shown = np.array([[i in s for i in range(3)] for s in sets])
    return dict(zip(sets, scorer.masked(~shown, regions=regions, baseline=baseline), strict=True))


def exact_shapley(scores: dict[frozenset, float], count: int = 3) -> np.ndarray:
    values = np.zeros(count)
    for i in range(count):
        for s in scores:
            if i not in s:
                values[i] += (scores[s | {i}] - scores[s]) / (count * comb(count - 1, len(s)))
    return values


def test_occlusion_equals_hiding_each_patch_by_hand(asked) -> None:
    vlm, answer = asked
    found = quiet(asked, "occlusion", baseline="white", batch_size=7)
    grid, scorer = answer.layout.images[0], Scorer(vlm, answer)
    white = scorer.filled("white")
    for row, col in [(0, 0), (3, 2), (6, 1), (5, 5)]:
        pixels = scorer.prompt.pixels.clone()
        pixels[0, row * grid.cols + col] = white[0, row * grid.cols + col]
        with torch.no_grad():
            score = float(scorer.log_probs(pixels[None]))
        np.testing.assert_allclose(found.maps[0][row, col], scorer.base - score, atol=1e-5)
    assert found.forwards == 43


@pytest.mark.parametrize("method", ["shapley_sampling", "kernel_shap"])
def test_few_regions_get_the_shapley_values_themselves(asked, method) -> None:
    scores = subset_scores(asked, baseline="blur")
    found = quiet(asked, method, HALVES, baseline="blur")
    np.testing.assert_allclose(found.values, exact_shapley(scores), atol=1e-5)
    assert found.settings["exact"] is True
    assert not found.errors.any()


def test_exact_shapley_values_of_a_known_game() -> None:
    """Gloves: one left and two right ones; a pair is worth 1 (Shapley values 2/3, 1/6, 1/6)."""
    scores = np.array([float(s & 1 and s & 6 > 0) for s in range(8)])
    np.testing.assert_allclose(regional.exact_shapley(scores), [2 / 3, 1 / 6, 1 / 6])


@pytest.mark.parametrize(("method", "samples"), [("shapley_sampling", 40), ("kernel_shap", 400)])
def test_sampled_values_are_as_far_from_the_exact_ones_as_their_errors_say(asked, method, samples) -> None:
    exact = quiet(asked, "shapley_sampling", (2, 3), exact=True).values
    ratios = []
    for seed in range(6):
        found = quiet(asked, method, (2, 3), samples=samples, exact=False, seed=seed)
        np.testing.assert_allclose(found.values.sum(), exact.sum(), atol=1e-3)
        assert found.settings["samples"] == samples
        ratios += list((found.values - exact) / np.maximum(found.errors, 1e-6))
    assert 0.3 < np.sqrt(np.mean(np.square(ratios))) < 2.0


def test_more_samples_have_smaller_errors_and_one_pair_tells_none(asked) -> None:
    few, many = (quiet(asked, "shapley_sampling", (3, 4), samples=samples, seed=1) for samples in (4, 32))
    assert many.errors.mean() < few.errors.mean()
    assert np.isnan(quiet(asked, "shapley_sampling", (3, 4), samples=2).errors).all()
    shap = quiet(asked, "gradient_shap", (2, 2), samples=16)
    assert (shap.errors > 0).all()
    with pytest.raises(InputError, match="at most 18"):
        quiet(asked, "shapley_sampling", (5, 5), exact=True)


def test_a_large_completeness_gap_is_warned_about(asked) -> None:
    with pytest.warns(CompletenessWarning, match="values sum to .* take more steps or samples"):
        quiet(asked, "integrated_gradients", steps=2)


def test_the_gap_of_integrated_gradients_shrinks_with_steps(asked) -> None:
    few, many = (quiet(asked, "integrated_gradients", steps=steps) for steps in (4, 64))
    assert abs(many.delta) < abs(few.delta) / 10
    vlm, answer = asked
    scorer = Scorer(vlm, answer)
    hidden = scorer.masked(np.ones((1, scorer.patches), dtype=bool))[0]
    np.testing.assert_allclose(many.values.sum(), scorer.base - hidden + many.delta, atol=1e-3)
    assert many.backwards == 64


def test_input_times_gradient_is_the_slope_along_the_input(asked) -> None:
    """Along the input itself the sum of the map is the derivative of the score."""
    vlm, answer = asked
    target = Contrast(" CAFE")
    found = quiet(asked, "input_x_gradient", target=target)
    scorer = Scorer(vlm, answer, target)
    pixels, step = scorer.prompt.pixels[None], 1e-3
    with torch.no_grad():
        slope = (scorer.log_probs(pixels * (1 + step)) - scorer.log_probs(pixels * (1 - step))) / (2 * step)
    np.testing.assert_allclose(found.maps[0].sum(), float(slope), rtol=0.02, atol=1e-3)
    pictures = [p for grid in answer.layout.images for p in range(grid.start, grid.stop)]
    assert not found.tokens[pictures].any(), "a picture's token has no embedding of its own"
    assert np.abs(np.delete(found.tokens, pictures)).max() > 0


def test_gradient_shap_is_complete_on_average(asked) -> None:
    found = quiet(asked, "gradient_shap", samples=8, seed=3)
    again = quiet(asked, "gradient_shap", samples=8, seed=3)
    np.testing.assert_array_equal(found.maps[0], again.maps[0])
    assert np.isfinite(found.delta)
    assert not np.array_equal(found.maps[0], quiet(asked, "gradient_shap", samples=8, seed=4).maps[0])


def eager(asked) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Attentions ``[heads, query, key]`` of all layers by Transformers' eager path, and their gradients."""
    vlm, answer = asked
    scorer, decoder = Scorer(vlm, answer), vlm.model.model.language_model
    span = answer.spans["answer"]
    before = decoder.config._attn_implementation
    decoder.config._attn_implementation = "eager"
    try:
        inputs = scorer.prompt.rows(answer.token_ids[: span.stop], 1)
        pixels = scorer.prompt.pixels.clone().requires_grad_()
        out = vlm.model(**inputs, pixel_values=pixels, output_attentions=True)
        score = sum(out.logits[0, p - 1, answer.token_ids[p]] for p in span)
        grads = torch.autograd.grad(score, out.attentions)
    finally:
        decoder.config._attn_implementation = before
    return [a[0].detach().double() for a in out.attentions], [g[0].double() for g in grads]


def test_chefer_equals_its_formula_with_whole_matrices(asked) -> None:
    vlm, answer = asked
    attentions, gradients = eager(asked)
    relevance = torch.eye(attentions[0].shape[-1], dtype=torch.float64)
    for attention, gradient in zip(attentions, gradients, strict=True):
        relevance = relevance + (attention * gradient).clamp(min=0).mean(0) @ relevance
    row = relevance[answer.spans["answer"].start - 1]
    found = quiet(asked, "chefer")
    grid = answer.layout.images[0]
    np.testing.assert_allclose(
        found.maps[0], row[grid.start : grid.stop].reshape(grid.rows, grid.cols), atol=1e-5, rtol=1e-3
    )
    assert found.maps[0].max() > 0


def test_rollout_and_attention_equal_their_formulas(asked) -> None:
    vlm, answer = asked
    attentions, _ = eager(asked)
    at, cut = answer.spans["answer"].start - 1, answer.prompt_tokens
    product = torch.eye(attentions[0].shape[-1], dtype=torch.float64)
    for attention in attentions:
        product = (attention.mean(0) + torch.eye(len(product))) / 2 @ product
    np.testing.assert_allclose(quiet(asked, "rollout").tokens, product[at, :cut], atol=1e-5)
    mean = torch.stack(attentions).mean(dim=(0, 1))
    np.testing.assert_allclose(quiet(asked, "attention").tokens, mean[at, :cut], atol=1e-5)


def test_looking_at_attention_leaves_the_model_as_it_was(asked, monkeypatch) -> None:
    vlm, answer = asked
    config = vlm.model.model.language_model.config
    before, known = config._attn_implementation, set(AttentionInterface._global_mapping)
    learning = [p.requires_grad for p in vlm.model.parameters()]
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        quiet(asked, "chefer")
    assert config._attn_implementation == before
    assert set(AttentionInterface._global_mapping) == known
    assert [p.requires_grad for p in vlm.model.parameters()] == learning


def test_a_gradient_method_out_of_memory_goes_on_with_half_the_batch(asked, monkeypatch) -> None:
    expected = quiet(asked, "integrated_gradients", steps=4)
    plain, sizes = Scorer.log_probs, []

    def tight(self, pixels, altered=None):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, pixels, altered)

    monkeypatch.setattr(Scorer, "log_probs", tight)
    found = quiet(asked, "integrated_gradients", steps=4, batch_size=4)
    np.testing.assert_allclose(found.maps[0], expected.maps[0], atol=1e-4)
    assert max(sizes) == 4
    assert sizes[-1] <= 2
    monkeypatch.setattr(Scorer, "log_probs", lambda *a, **k: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(OutOfMemoryError, match="occlusion"):
        quiet(asked, "integrated_gradients", steps=4, batch_size=2)


def additive(weights: np.ndarray, needed: tuple[int, ...] = ()) -> SimpleNamespace:
    """A scorer whose log-probability is the sum of the shown regions' weights, or -9 without a needed one."""

    def masked(hidden: np.ndarray, **_: object) -> np.ndarray:
        scores = np.where(hidden, 0.0, weights).sum(axis=1) - weights.sum()
        return np.where(hidden[:, list(needed)].any(axis=1), -9.0, scores) if needed else scores

    return SimpleNamespace(masked=masked, target=SimpleNamespace(kind="answer", span=range(1)))


@pytest.mark.parametrize("width", [None, 2])
def test_greedy_search_ranks_an_additive_score_by_its_weights(width) -> None:
    weights = np.array([0.1, 3.0, 0.5, 1.0, 0.0])
    job = Job("greedy", additive(weights), make_regions(record((1, 5))), "mean", 0, {"width": width})
    values = greedy.run(job).values
    assert np.argsort(-values).tolist() == [1, 3, 2, 0, 4]
    assert (values > 0).all()


def test_greedy_search_finds_a_region_that_nothing_can_replace() -> None:
    scorer = additive(np.array([1.0, 1.0, 0.0, 1.0]), needed=(2,))
    job = Job("greedy", scorer, make_regions(record((1, 4))), "mean", 0, {"width": None})
    assert np.argmax(greedy.run(job).values) == 2


def test_what_the_context_explains_is_taken_off() -> None:
    context = np.array([[1.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0]])
    own = np.array([0.0, 0.0, 5.0, 0.0])
    weights = np.array([3.0, 1.0])
    explained = weights @ context
    np.testing.assert_allclose(
        activation.without_interference(own + explained, context, weights), own, atol=1e-9
    )
    np.testing.assert_array_equal(activation.without_interference(own, context, np.zeros(2)), own)


def test_the_rank_filter_keeps_even_maps_and_drops_a_lone_spike() -> None:
    even = np.full((4, 5), 2.0)
    np.testing.assert_allclose(activation.rank_gaussian_filter(even), even)
    spiked = even.copy()
    spiked[2, 2] = 3.0
    assert activation.rank_gaussian_filter(spiked)[2, 2] < 2.01
    assert activation.rank_gaussian_filter(np.array([[1.0, 4.0]])).shape == (1, 2)


def test_tam_reads_the_output_head_at_the_pictures_positions(asked) -> None:
    """Without context and filter it would be the logit lens: checked on the last layer's states."""
    vlm, answer = asked
    scorer = Scorer(vlm, answer)
    scored = scorer.target.sequences[0]
    with torch.no_grad():
        inputs = scorer.prompt.rows(answer.token_ids[: scored.span.stop], 1)
        logits = vlm.model(**inputs, pixel_values=scorer.prompt.pixels).logits[0]
    table, column = activation._scores(scorer, scored)
    token = answer.token_ids[scored.span.start]
    np.testing.assert_allclose(table[: scored.span.stop, column[token]], logits[:, token], atol=1e-3)
    assert quiet(asked, "tam", denoise=False).maps[0].min() >= 0


def test_tams_context_is_the_question_and_the_reply_so_far(asked) -> None:
    vlm, answer = asked
    places = activation.question_places(vlm.tokenizer, answer)
    said = vlm.tokenizer.decode([answer.token_ids[at] for at in places])
    assert answer.question in said
    assert len(said) <= len(answer.question) + 4, "no control token, nothing of the template"
    assert all(answer.layout.locate(at) is None for at in places)
    other = activation.question_places(vlm.tokenizer, replace(answer, question="nobody asked this"))
    assert set(places) < set(other), "all text, where the question is not found as it stands"


def test_a_repeated_word_of_the_context_counts_each_time() -> None:
    """Two words of the context, the second three times: its map is taken off with three times the weight."""
    ids, grid = (1, 2, 2, 2, 9, 9, 9, 3), PatchGrid(0, 1, 3, 4, (30, 10), (0.0, 0.0, 30.0, 10.0), 3)
    table = np.ones((8, 3))  # scores of the tokens 1, 2 and 3
    table[4:7] = [[4.0, 0.0, 5.0], [0.0, 4.0, 5.0], [0.0, 0.0, 5.0]]
    scored, layout = Scored(ids, Span(7, 8)), SimpleNamespace(grids=(grid,))
    scores = table, {1: 0, 2: 1, 3: 2}
    found = activation._token_map(scores, scored, 7, layout, [0, 1, 2, 3], filtered=False)[4:7]
    expected = activation.without_interference(
        np.full(3, 5.0), np.array([[4.0, 0, 0], [0, 4.0, 0]]), np.array([1.0, 3.0])
    )
    np.testing.assert_allclose(found, expected)


def test_tokens_of_crops_count_for_the_cell_that_they_show() -> None:
    whole = (0.0, 0.0, 40.0, 20.0)
    overview = PatchGrid(0, 1, 2, 0, (40, 20), whole, 2)
    crop = PatchGrid(0, 2, 2, 2, (40, 20), (20.0, 0.0, 40.0, 20.0), 2)
    (shown,) = _cells(np.array([1.0, 2.0, 10, 20, 30, 40]), TokenLayout(6, (overview,), (crop,)))
    np.testing.assert_array_equal(shown, [[1, 102]])
