"""The scorer of altered pictures: equal to plain forward passes, checked against its answer, frugal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribution_cases import MODELS, ask, tiny_vlm

import workbench
from workbench import synth
from workbench.errors import CapabilityError, InputError, OutOfMemoryError
from workbench.interpret.regions import BASELINES, baseline_image, make_regions
from workbench.interpret.scoring import Scorer, can_trim, trimmed_logits
from workbench.interpret.targets import Contrast
from workbench.models.server import ServerVLM
from workbench.types import Span


@pytest.fixture(scope="module")
def asked():
    vlm = workbench.load()
    sample = synth.sample("read_sign", 1, seed=7)[0]
    return vlm, sample, vlm.ask(sample.images, sample.question, mode="nothink")


def plain(vlm, answer, pixels, span) -> float:
    """The score by one unbatched forward pass of the public model."""
    scorer = Scorer(vlm, answer)
    inputs = scorer.prompt.rows(answer.token_ids, 1)
    with torch.no_grad():
        logits = vlm.model(**inputs, pixel_values=pixels).logits[0].double().log_softmax(-1)
    return sum(float(logits[at - 1, answer.token_ids[at]]) for at in span)


@pytest.mark.parametrize("name", MODELS)
def test_scores_equal_plain_forward_passes_in_every_family(name, tmp_path_factory) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    answer = ask(vlm)
    span = Span(answer.prompt_tokens, len(answer.token_ids))
    scorer = Scorer(vlm, answer, span, batch_size=3)
    hidden = np.random.default_rng(0).random((5, scorer.patches)) < 0.4
    scores = scorer.masked(hidden, baseline="white")
    pixels, _ = scorer.alterer(make_regions(answer), "white")(hidden)
    assert scores.shape == (5,)
    np.testing.assert_allclose(scorer.base, plain(vlm, answer, scorer.prompt.pixels, span), atol=1e-3)
    for score, one in zip(scores, pixels, strict=True):
        np.testing.assert_allclose(score, plain(vlm, answer, one, span), atol=1e-3)
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("baseline", BASELINES)
def test_hiding_every_patch_is_the_filled_picture(asked, baseline) -> None:
    vlm, sample, answer = asked
    scorer = Scorer(vlm, answer)
    everything = scorer.masked(np.ones((1, scorer.patches), dtype=bool), baseline=baseline)
    pictures = scorer([[baseline_image(image, baseline) for image in answer.images]])
    np.testing.assert_allclose(everything, pictures, atol=1e-5)
    np.testing.assert_allclose(
        scorer.masked(np.zeros((2, scorer.patches), dtype=bool), baseline=baseline), scorer.base
    )


def test_other_pictures_are_read_as_the_model_reads_them(asked) -> None:
    vlm, sample, answer = asked
    mirrored = [image.transpose(0) for image in answer.images]
    scores = Scorer(vlm, answer)([answer.images, mirrored])
    again = vlm.ask(mirrored, answer.question, mode="nothink", max_tokens=4)
    assert scores[0] > scores[1]
    assert again.token_ids != answer.token_ids


def test_a_contrast_is_the_difference_of_two_scores(asked) -> None:
    vlm, sample, answer = asked
    own = Scorer(vlm, answer).base
    other = Scorer(vlm, answer, Contrast(" CAFE"))
    ids = vlm.tokenizer.encode(" CAFE", add_special_tokens=False)
    start = answer.spans["answer"].start
    forged = workbench.Answer(**{**answer.__dict__, "token_ids": (*answer.token_ids[:start], *ids)})
    theirs = Scorer(vlm, forged, Span(start, start + len(ids))).base
    np.testing.assert_allclose(other.base, own - theirs, atol=1e-5)


def test_a_long_common_beginning_and_unaltered_pictures_change_nothing(asked) -> None:
    vlm, sample, answer = asked
    first = synth.sample("read_sign", 1, seed=8)[0]
    history = vlm.ask(first.images, first.question, mode="nothink").turns
    later = vlm.ask(sample.images, sample.question, mode="nothink", history=history)
    scorer = Scorer(vlm, later)
    hidden = np.zeros((3, scorer.patches), dtype=bool)
    hidden[np.arange(3), scorer.patches - 1 - np.arange(3)] = True  # of the second picture
    reused = scorer.masked(hidden)
    assert scorer.engine._prefix is not None, "the first picture's keys were not reused"
    pixels, altered = scorer.alterer(make_regions(later), "mean")(hidden)
    assert altered.tolist() == [[False, True]] * 3
    for score, one in zip(reused, pixels, strict=True):
        np.testing.assert_allclose(score, plain(vlm, later, one, later.spans["answer"]), atol=1e-4)


def test_running_out_of_memory_halves_the_batch_and_goes_on(asked, monkeypatch) -> None:
    vlm, sample, answer = asked
    hidden = np.eye(Scorer(vlm, answer).patches, dtype=bool)[:11]
    expected = Scorer(vlm, answer).masked(hidden)
    monkeypatch.setattr("workbench.interpret.scoring.known_states", lambda *_: {})
    scorer = Scorer(vlm, answer, batch_size=8)
    sizes: list[int] = []
    whole, _ = scorer.engine.scores, scorer.base

    def tight(target, pixels, altered):
        sizes.append(len(altered))
        if len(altered) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(target, pixels, altered)

    monkeypatch.setattr(scorer.engine, "scores", tight)
    np.testing.assert_allclose(scorer.masked(hidden), expected, atol=1e-5)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1]


def test_no_room_for_even_one_picture_is_a_clear_error(asked, monkeypatch) -> None:
    vlm, sample, answer = asked
    scorer = Scorer(vlm, answer)

    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(scorer.engine, "scores", full)
    with pytest.raises(OutOfMemoryError, match="lower precision"):
        _ = scorer.base


def test_without_pictures_is_the_same_reply_after_a_prompt_of_text(asked) -> None:
    vlm, sample, answer = asked
    scorer = Scorer(vlm, answer)
    bare = vlm.ask(None, answer.question, mode="nothink", max_tokens=1)
    forged = workbench.Answer(
        **{
            **bare.__dict__,
            "token_ids": (*bare.prompt_ids, *answer.reply_ids),
            "prompt_tokens": bare.prompt_tokens,
        }
    )
    shift = bare.prompt_tokens - answer.prompt_tokens
    span = Span(answer.spans["answer"].start + shift, answer.spans["answer"].stop + shift)
    np.testing.assert_allclose(scorer.without_pictures(), Scorer(vlm, forged, span).base, atol=1e-5)
    assert scorer.without_pictures() < scorer.base


def test_an_answer_of_another_model_is_refused(asked, tmp_path_factory) -> None:
    vlm, sample, answer = asked
    other = tiny_vlm("phi4-rv", tmp_path_factory)
    with pytest.raises(InputError, match="an answer of 'nano' with the model"):
        Scorer(other, answer)
    renamed = workbench.Answer(**{**answer.__dict__, "model": other.name})
    with pytest.raises(InputError, match="other tokens"):
        Scorer(other, renamed)


def test_a_server_is_refused(asked) -> None:
    vlm, sample, answer = asked
    server = ServerVLM.__new__(ServerVLM)
    server.name = "far-away"
    with pytest.raises(CapabilityError, match="server"):
        Scorer(server, answer)
    told = workbench.Answer(**{**answer.__dict__, "token_ids": (), "layout": None, "prompt_tokens": 0})
    with pytest.raises(CapabilityError, match="server"):
        Scorer(vlm, told)


def test_an_empty_answer_is_refused(asked) -> None:
    vlm, sample, answer = asked
    silent = workbench.Answer(
        **{**answer.__dict__, "text": "", "token_ids": answer.prompt_ids, "answer_tokens": 0, "spans": {}}
    )
    with pytest.raises(InputError, match="empty answer"):
        Scorer(vlm, silent)


def test_masks_and_pictures_that_do_not_fit_are_refused(asked) -> None:
    vlm, sample, answer = asked
    scorer = Scorer(vlm, answer)
    with pytest.raises(InputError, match="True where hidden"):
        scorer.masked(np.ones((1, 3), dtype=bool))
    with pytest.raises(InputError, match="one of 'mean'"):
        scorer.masked(np.ones((1, scorer.patches), dtype=bool), baseline="pink")
    with pytest.raises(InputError, match="without resizing"):
        scorer([[answer.images[0].resize((50, 50))]])
    with pytest.raises(InputError, match="batch_size"):
        Scorer(vlm, answer, batch_size=0)


def test_an_answer_without_a_picture_can_be_scored_but_not_masked(asked) -> None:
    vlm, sample, answer = asked
    bare = vlm.ask(None, "What is one plus one?", mode="nothink", max_tokens=4)
    scorer = Scorer(vlm, bare, "reply")
    assert scorer.base < 0
    with pytest.raises(InputError, match="no picture"):
        scorer.masked(np.ones((1, 1), dtype=bool))


@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_last_layer_at_scored_positions_alone_gives_the_same_logits(asked, before, attention) -> None:
    model = asked[0].model
    embeds = torch.randn(
        3, 21, model.config.text_config.hidden_size, generator=torch.Generator().manual_seed(0)
    )
    own = model.config._attn_implementation
    model.set_attn_implementation(attention)
    try:
        with torch.no_grad():
            whole = model(inputs_embeds=embeds, logits_to_keep=4).logits
            cache = None
            if before:
                cache = model(inputs_embeds=embeds[:, :before], use_cache=True).past_key_values
            assert can_trim(model)
            trimmed = trimmed_logits(model, embeds[:, before:], 4, cache)
    finally:
        model.set_attn_implementation(own)
    torch.testing.assert_close(trimmed, whole, atol=1e-5, rtol=1e-5)


def test_who_watches_the_last_layer_sees_all_of_it(asked) -> None:
    vlm, _, answer = asked
    seen: list[int] = []
    last = vlm.model.model.language_model.layers[-1]
    handle = last.register_forward_hook(lambda *args: seen.append(args[-1].shape[1]))
    try:
        assert not can_trim(vlm.model)
        watched = Scorer(vlm, answer).base
    finally:
        handle.remove()
    assert seen == [answer.spans["answer"].stop]
    np.testing.assert_allclose(watched, Scorer(vlm, answer).base, atol=1e-5)


def test_two_pictures_altered_by_turns_are_scored_as_the_model_reads_them(asked) -> None:
    """Rows that alter the first, the second, both or neither picture, against whole forwards by hand."""
    vlm = asked[0]
    pair = synth.sample("shape_change", 1, seed=2)[0]
    answer = vlm.ask(pair.images, pair.question, mode="nothink", max_tokens=8)
    scorer = Scorer(vlm, answer, "reply")
    first = len(answer.layout.images[0])
    patches = np.zeros((5, scorer.patches), dtype=bool)
    patches[0, :5], patches[1, first : first + 7], patches[2, [0, first + 3]] = True, True, True
    patches[4] = True
    scores = scorer.masked(patches, baseline="white")
    white, span = scorer.filled("white"), scorer.target.span
    grid = [(picture, cell) for picture, part in enumerate(answer.layout.images) for cell in range(len(part))]
    for row, score in zip(patches, scores, strict=True):
        pixels = scorer.prompt.pixels.clone()
        for place in np.flatnonzero(row):
            picture, cell = grid[place]
            pixels[picture, cell] = white[picture, cell]
        np.testing.assert_allclose(score, plain(vlm, answer, pixels, span), atol=1e-3)
    assert np.ptp(scores) > 1
    assert scores[3] == pytest.approx(scorer.base, abs=1e-4)


def test_a_state_is_read_once_for_all_scorers_of_an_answer_and_anew_for_other_weights(asked) -> None:
    vlm, sample, _ = asked
    answer = vlm.ask(sample.images, sample.question, mode="nothink")
    first, second = Scorer(vlm, answer), Scorer(vlm, answer)
    hidden = np.eye(first.patches, dtype=bool)[:6]
    expected = first.masked(hidden)
    assert first.forwards == 7  # and the images as they are
    np.testing.assert_array_equal(second.masked(hidden[::-1]), expected[::-1])
    assert second.forwards == 1
    regions = make_regions(answer, [(0, 0, 16, 16)])
    assert second.masked(np.array([[True]]), regions=regions).shape == (1,)
    assert second.masked(hidden, baseline="white").tolist() != expected.tolist()
    assert second.forwards == 8
    assert Scorer(vlm, answer, "reply").masked(hidden).tolist() != expected.tolist()
    weight = vlm.model.get_output_embeddings().weight
    kept = weight.detach().clone()
    try:
        weight.data.mul_(0.5)
        other = Scorer(vlm, answer)
        assert np.abs(other.masked(hidden) - expected).max() > 1e-3
        assert other.forwards == 7
    finally:
        weight.data.copy_(kept)
    again = Scorer(vlm, answer)
    np.testing.assert_array_equal(again.masked(hidden), expected)
    assert again.forwards == 1


def test_an_own_image_is_what_hidden_regions_show(asked, tmp_path) -> None:
    vlm, sample, answer = asked
    own = sample.images[0].transpose(0)
    scorer = Scorer(vlm, answer)
    everything = np.ones((1, scorer.patches), dtype=bool)
    for given in (own, np.asarray(own)):
        np.testing.assert_allclose(scorer.masked(everything, baseline=given), scorer([[own]]), atol=1e-4)
    found = workbench.interpret.attribute(
        vlm, answer, method="occlusion", regions=(2, 2), baseline=np.asarray(own), progress=False
    )
    again = workbench.interpret.Attribution.load(found.save(tmp_path / "own"))
    assert again.settings["baseline"].startswith("an image of ")
    with pytest.raises(InputError, match="an image of 9 x 8 pixels"):
        Scorer(vlm, answer).masked(everything, baseline=np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(InputError, match="by its name or colour"):
        workbench.interpret.counterfactual(vlm, answer, (0, 0, 20, 20), baseline=own)
