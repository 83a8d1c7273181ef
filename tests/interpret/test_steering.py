"""Directions, steering and probes: equal to arithmetic on Transformers' own states, and gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from attribution_cases import ask, tiny_families, tiny_vlm

import workbench
from workbench import interpret, synth
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.interpret import directions, steering
from workbench.interpret.replay import Replay, held
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM

THINKS, DIRECT = ("chain", "gui_links"), ("gui_find", "shape_colour")


def drawn(families: tuple[str, ...], n: int, seed: int) -> list[synth.Sample]:
    return [sample for family in families for sample in synth.sample(family, n, seed=seed)]


def asked(vlm: VLM, samples: list[synth.Sample], **options: object) -> list[Answer]:
    questions = [sample.question for sample in samples]
    return vlm.ask_many([sample.images for sample in samples], questions, progress=False, **options)


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def sets(nano: VLM) -> tuple[list[Answer], list[Answer]]:
    found = asked(nano, drawn(THINKS, 5, 3), max_tokens=48), asked(nano, drawn(DIRECT, 5, 3), max_tokens=48)
    assert all(answer.p_think > 0.5 for answer in found[0])
    assert all(answer.p_think < 0.5 for answer in found[1])
    return found


@pytest.fixture(scope="module")
def thinking(nano: VLM, sets) -> directions.Direction:
    return interpret.steering_vector(nano, positive=sets[0], negative=sets[1], progress=False)


@pytest.fixture
def clean(nano: VLM) -> Iterator[None]:
    yield
    assert not any(m._forward_pre_hooks for m in nano.model.modules())


def own_states(vlm: VLM, answer: Answer) -> np.ndarray:
    """Transformers' hidden states ``[layers, hidden]`` at the prompt's end; the last is normed there."""
    inputs = Replay.of(vlm, answer).inputs
    with held(vlm):
        found = vlm.model(**inputs, output_hidden_states=True, use_cache=False).hidden_states
    return torch.stack([layer[0, answer.prompt_tokens - 1] for layer in found]).double().cpu().numpy()


@pytest.mark.parametrize("name", ["nano", "qwen2.5-vl"])
def test_a_direction_is_the_difference_of_the_means_of_transformers_states(
    name: str, nano: VLM, sets, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm, (up, down) = nano, sets
    if name != "nano":
        vlm = tiny_vlm(name, tmp_path_factory)
        pictures = [tiny_families.picture(90, 70, seed=seed) for seed in range(5)]
        made = [vlm.ask(picture, "What is this?", max_tokens=2) for picture in pictures]
        up, down = made[:3], made[3:]
    found = interpret.steering_vector(vlm, positive=up, negative=down, progress=False)
    means = [np.mean([own_states(vlm, answer) for answer in part], axis=0) for part in (up, down)]
    np.testing.assert_allclose(found.vectors[:-1], (means[0] - means[1])[:-1], atol=1e-3)
    assert (found.positive, found.negative, found.model) == (len(up), len(down), vlm.name)


def test_the_sets_are_apart_where_the_question_has_been_read(thinking) -> None:
    assert thinking.separation[0] == 0  # the embedding of the same last token
    assert min(thinking.separation[1:]) > 3
    assert thinking.best in range(1, len(thinking.vectors) - 1)


def test_a_direction_fitted_to_noise_separates_nothing_that_it_did_not_see() -> None:
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(40, 1, 500)), np.arange(40) < 20
    seen = noise[labels].mean(axis=0) - noise[~labels].mean(axis=0)
    inside = (noise * seen).sum(axis=-1)[:, 0]
    assert (inside[labels].mean() - inside[~labels].mean()) / inside.std() > 1.5  # it separates its own
    assert abs(steering._separation(noise, labels, np.arange(40))[0]) < 1
    apart = noise + labels[:, None, None] * np.eye(500)[0] * 30
    assert steering._separation(apart, labels, np.arange(40))[0] > 5


@pytest.mark.parametrize("layer", [1, 3, 4])
def test_a_push_at_the_decision_moves_p_think_as_arithmetic_says(
    nano: VLM, sets, thinking, layer: int, clean: None
) -> None:
    """The stream is changed by hand, from layer to layer, without a hook."""
    answer, strength = sets[1][0], 0.7
    replay = Replay.of(nano, answer, reply=answer.reply_ids[:1])
    decoder = nano.model.model.language_model
    with held(nano):
        stream = (
            nano.model(**replay.inputs, output_hidden_states=True, use_cache=False)
            .hidden_states[layer if layer < 4 else 3][:, : answer.prompt_tokens]
            .clone()
        )
        turned = decoder.rotary_emb(stream, position_ids=torch.arange(stream.shape[1])[None])
        for block in range(layer if layer < 4 else 3, 5):
            if block == layer:
                stream[:, -1] += strength * torch.from_numpy(thinking.vectors[layer])
            if block < 4:
                stream = decoder.layers[block](stream, position_embeddings=turned)
        scores = nano.model.lm_head(decoder.norm(stream))[0, -1]
    think = nano.tokenizer.encode("<think>", add_special_tokens=False)[0]
    with interpret.steer(nano, thinking, strength=strength, layers=layer):
        pushed = nano.ask(answer.images, answer.question, max_tokens=1)
    assert pushed.p_think == pytest.approx(float(torch.softmax(scores, -1)[think]), abs=1e-4)
    assert abs(pushed.p_think - answer.p_think) > 1e-6


def test_a_push_makes_it_think_and_a_push_back_keeps_it_from_thinking(nano: VLM, sets, thinking) -> None:
    direct, thought = sets[1][0], sets[0][0]
    with interpret.steer(nano, thinking, strength=np.float32(1.5)):
        assert nano.ask(direct.images, direct.question, max_tokens=40).p_think > 0.9
    with interpret.steer(nano, thinking, strength=-1.5):
        assert nano.ask(thought.images, thought.question, max_tokens=40).thought is None
    assert nano.ask(direct.images, direct.question, max_tokens=48).token_ids == direct.token_ids


def test_pushes_add_up_and_opposite_ones_cancel(nano: VLM, sets, thinking, clean: None) -> None:
    answer = sets[0][1]
    with interpret.steer(nano, thinking, strength=-1), interpret.steer(nano, thinking, strength=1):
        same = nano.ask(answer.images, answer.question, max_tokens=48)
    assert same.token_ids == answer.token_ids
    with interpret.steer(nano, thinking, strength=-0.3), interpret.steer(nano, thinking, strength=-0.2):
        twice = nano.ask(answer.images, answer.question, max_tokens=48)
    with interpret.steer(nano, thinking, strength=-0.5):
        once = nano.ask(answer.images, answer.question, max_tokens=48)
    assert (twice.token_ids, twice.p_think) == (once.token_ids, pytest.approx(once.p_think, abs=1e-4))


@pytest.mark.parametrize("place", ["decision", "all"])
def test_a_batch_and_captured_attention_are_steered_like_one_question(
    nano: VLM, sets, thinking, place: str, clean: None
) -> None:
    samples = drawn(("gui_find", "chain"), 2, 9)
    with interpret.steer(nano, thinking, strength=0.4, layers=[1, 2], place=place):
        many = asked(nano, samples, max_tokens=24)
        for sample, answer in zip(samples, many, strict=True):
            one = nano.ask(sample.images, sample.question, max_tokens=24, capture=True)
            assert one.token_ids == answer.token_ids
            assert one.p_think == pytest.approx(answer.p_think, abs=1e-4)
            assert one.attention.rows(-1).sum(-1) == pytest.approx(1, abs=1e-4)
    plain = asked(nano, samples, max_tokens=24)
    assert [a.p_think for a in plain] != pytest.approx([a.p_think for a in many], abs=1e-6)


@pytest.mark.parametrize("name", ["nano", "qwen2.5-vl", "gemma3"])
def test_a_reply_written_under_a_push_everywhere_is_found_again_under_it(
    name: str, nano: VLM, thinking, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    size = vlm.model.get_input_embeddings().weight.shape[-1]
    depth = vlm.model.config.get_text_config().num_hidden_layers
    push = torch.randn(depth + 1, size, generator=torch.Generator().manual_seed(1)).numpy()
    direction = replace(thinking, vectors=push)
    with interpret.steer(vlm, direction, strength=2.0, layers=range(1, depth + 1), place="all"):
        pushed = ask(vlm, tokens=6)
        again = interpret.knockout(vlm, pushed, sources=[], targets=[])
    assert len(again.broken) == 0
    without = interpret.knockout(vlm, pushed, sources=[], targets=[])
    assert np.abs(without.before - again.before).max() > 1e-3


def test_a_written_reply_has_no_known_decision(nano: VLM, sets, thinking, clean: None) -> None:
    with interpret.steer(nano, thinking), pytest.raises(InputError, match="place='all'"):
        interpret.logit_lens(nano, sets[0][0])


def test_several_replies_to_one_prompt_are_steered_like_one(nano: VLM, thinking, clean: None) -> None:
    (sample,) = drawn(("gui_find",), 1, 9)
    with interpret.steer(nano, thinking, strength=0.4):
        one = nano.ask(sample.images, sample.question, max_tokens=8)
        many = nano.ask_many(sample.images[0], [sample.question] * 2, max_tokens=8, progress=False)
    assert [answer.p_think for answer in many] == pytest.approx([one.p_think] * 2, rel=1e-3)
    assert nano.shares_prompts


def test_an_error_inside_leaves_no_hook(nano: VLM, thinking, clean: None) -> None:
    with pytest.raises(KeyboardInterrupt), interpret.steer(nano, thinking):
        raise KeyboardInterrupt


def test_a_sweep_counts_what_single_questions_give(nano: VLM, thinking, tmp_path, clean: None) -> None:
    samples = drawn(("gui_find", "chain"), 2, 21)
    found = interpret.steering_sweep(
        nano, thinking, samples=samples, strengths=np.array([1.5, 0]), max_tokens=40, progress=False
    )
    plain = asked(nano, samples, max_tokens=40)
    row = found.frame().iloc[0]
    assert (row["strength"], row["n"], found.strengths) == (0.0, 4, (0.0, 1.5))
    assert row["thought_tokens"] == np.mean([answer.thought_tokens for answer in plain])
    assert row["right"] == np.mean([s.correct(a.text) for s, a in zip(samples, plain, strict=True)])
    assert row["p_think"] == pytest.approx(np.mean([answer.p_think for answer in plain]), abs=1e-6)
    again = interpret.Steering.load(found.save(tmp_path / "sweep"))
    assert again.frame().equals(found.frame())
    assert repr(again) == repr(found)
    assert "accuracy" in found._repr_html_()
    assert found.plot().axes[0].get_ylabel() == "thinks (%)"


def test_a_probe_tells_thinking_from_direct_and_no_line_is_in_halves_of_the_same(
    nano: VLM, sets, tmp_path, clean: None
) -> None:
    found = interpret.probe(nano, positive=sets[0], negative=sets[1], progress=False)
    assert found.accuracy.shape == (1, 5)
    assert found.accuracy[0, 1:].min() == 1.0
    assert found.p == 1 / 20
    assert found.accuracy[0, 0] <= 0.6  # the embedding of the last token knows nothing
    halves = interpret.probe(nano, positive=sets[0][::2], negative=sets[0][1::2], n_folds=3, progress=False)
    assert halves.p > 0.05
    again = interpret.Probe.load(found.save(tmp_path / "probe"))
    assert again.frame().equals(found.frame())
    assert repr(again) == repr(found)
    assert "100%" in found._repr_html_()
    assert "tells" in found.plot().get_suptitle()
    assert "cannot be said" in halves.plot().get_suptitle()


def test_a_probe_along_the_thought_reads_where_it_says(nano: VLM, sets, monkeypatch) -> None:
    asked_at = []
    plain = steering._read
    monkeypatch.setattr(steering, "_read", lambda *a: asked_at.append(a[3]) or plain(*a))
    found = interpret.probe(
        nano, positive=sets[0][:5], negative=sets[0][5:], place="thought", points=3, progress=False
    )
    span = sets[0][0].spans["thought"]
    assert asked_at[0] == [span.start - 1, span.start - 1 + round(len(span) / 2), span.stop - 1]
    assert found.points == (0.0, 0.5, 1.0)
    assert found.hits.shape == (3, 5, 10)
    assert found.plot().axes[0].get_xlabel() == "place in the thought"


def test_held_out_hits_equal_ridge_by_its_normal_equations() -> None:
    rng = np.random.default_rng(4)
    x, labels = rng.normal(size=(30, 6)) + 1, rng.random((2, 30)) < 0.5
    fitted, tested = np.arange(20), np.arange(20, 30)
    hits = steering._held_out(x, labels, [(fitted, tested)])
    mean, std = x[fitted].mean(axis=0), x[fitted].std(axis=0)
    a, b = (x[fitted] - mean) / std, (x[tested] - mean) / std
    for column, own in enumerate(labels):
        y = own[fitted].astype(float)
        weights = np.linalg.solve(a.T @ a + 6 * np.eye(6), a.T @ (y - y.mean()))
        np.testing.assert_array_equal(hits[column, tested], (b @ weights + y.mean() > 0.5) == own[tested])
    assert not hits[:, fitted].any()


def test_answers_to_one_question_stay_together(nano: VLM, sets) -> None:
    one, two = sets[0][0], sets[0][1]
    assert steering._question(one) == steering._question(replace(one, text="other"))
    assert steering._question(one) != steering._question(replace(one, images=two.images))
    questions = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    labels = questions >= 2
    rng = np.random.default_rng(0)
    for _ in range(10):
        moved = steering._shuffled(labels, questions, rng)
        assert moved.sum() == labels.sum()
        assert (moved[::2] == moved[1::2]).all()


def test_what_cannot_be_steered_or_probed_is_named(nano: VLM, sets, thinking, clean: None) -> None:
    short = replace(thinking, vectors=thinking.vectors[:-1], model="other")
    turned = {"positive": sets[1], "negative": sets[0], "progress": False}
    for wrong, message in (
        (lambda: interpret.steer(nano, short).__enter__(), "'other' with shape"),
        (lambda: interpret.steer(nano, thinking, layers=9).__enter__(), "layers=9"),
        (lambda: interpret.steer(nano, thinking, place="end").__enter__(), "place='end'"),
        (lambda: interpret.steer(nano, thinking, strength=float("nan")).__enter__(), "strength=nan"),
        (lambda: interpret.steering_vector(nano, positive=sets[0], negative=[]), "negative answers to 0"),
        (lambda: interpret.probe(nano, positive=sets[0][:3], negative=sets[1]), "positive answers to 3"),
        (lambda: interpret.probe(nano, positive=sets[0], negative=sets[1], place="end"), "place='end'"),
        (
            lambda: interpret.probe(nano, positive=sets[0][:5], negative=[sets[1][0]] * 95 + sets[1][:5]),
            "negative answers to . questions, thinned to the 5 answers of the smaller set",
        ),
        (lambda: interpret.probe(nano, positive=sets[0], negative=sets[1], points=0), "points=0"),
        (lambda: interpret.probe(nano, place="thought", **turned), "without a thought"),
        (lambda: interpret.steering_sweep(nano, thinking, samples=[]), "0 samples"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        interpret.steer(ServerVLM.__new__(ServerVLM), thinking).__enter__()


def test_a_direction_is_saved_and_shown(thinking, tmp_path) -> None:
    again = directions.Direction.load(thinking.save(tmp_path / "direction"))
    np.testing.assert_array_equal(again.vectors, thinking.vectors)
    assert again.frame().equals(thinking.frame())
    assert repr(again) == repr(thinking)
    assert "standard deviations apart" in again._repr_html_()


def test_a_damaged_direction_is_told(thinking, tmp_path) -> None:
    record = thinking.save(tmp_path / "direction") / "record.json"
    whole = record.read_text(encoding="utf-8")
    for found, instead, message in (
        ('"positive"', '"plus"', "has no field 'plus'"),
        (f'"positive": {thinking.positive}', '"positive": "many"', r"positive: Expected `int`, got `str`"),
        (f'"positive": {thinking.positive},', "", "damaged: TypeError.*positive"),
    ):
        assert found in whole
        record.write_text(whole.replace(found, instead), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            directions.Direction.load(tmp_path / "direction")
