"""Attention knock-out: equal to a mask written by hand, the same with a cache, and gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from attribution_cases import MODELS, ask, tiny_vlm

import workbench
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.interpret.effects import Knockout
from workbench.interpret.interventions import attention_cut, knockout
from workbench.interpret.replay import Decoder, Replay, cutting, held
from workbench.interpret.targets import positions, region_positions, writers
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM
from workbench.types import Region, Span


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> workbench.synth.Sample:
    return workbench.synth.sample("gui_links", 1, seed=7, difficulty=1)[0]


@pytest.fixture(scope="module")
def answer(nano: VLM, sample: workbench.synth.Sample) -> Answer:
    return nano.ask(sample.images, sample.question, mode="think")


@pytest.fixture
def clean(nano: VLM) -> Iterator[None]:
    yield
    assert not any(m._forward_pre_hooks for m in nano.model.modules())


def by_hand(vlm: VLM, answer: Answer, sources: list[int], targets: list[int]) -> np.ndarray:
    """Log-probability of the reply under an additive mask [1, 1, query, key] made here."""
    replay = Replay.of(vlm, answer)
    seen = np.tri(replay.length, dtype=bool)
    for query in targets:
        for key in sources:
            seen[query, key] &= query == key
    mask = torch.zeros(1, 1, replay.length, replay.length)
    mask[0, 0, ~torch.from_numpy(seen)] = torch.finfo(torch.float32).min
    with held(vlm):
        logits = vlm.model(**{**replay.inputs, "attention_mask": mask}, use_cache=False).logits[0]
        first = replay.written.start
        scores = torch.log_softmax(logits[first - 1 : -1], dim=-1)
    return scores.gather(-1, replay.inputs["input_ids"][0, first:, None])[:, 0].numpy()


@pytest.mark.parametrize("name", ["nano", "phi4-rv", "general", "internvl", "idefics3"])
def test_a_cut_equals_an_additive_mask_written_by_hand(
    name: str, nano: VLM, answer: Answer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    asked = answer if name == "nano" else ask(vlm)
    for sources, targets in (("images", "reply"), ("all", "all"), ([0, 1, 5], "text"), ("prompt", [-2])):
        cut = knockout(vlm, asked, sources=sources, targets=targets)
        hand = by_hand(vlm, asked, positions(asked, sources), positions(asked, targets))
        np.testing.assert_allclose(cut.after, hand, atol=2e-4)
        np.testing.assert_allclose(cut.before, by_hand(vlm, asked, [], []), atol=2e-4)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_cut_changes_nothing_and_everything_but_itself_does(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    asked = ask(vlm)
    for sources, targets in (([], "reply"), ("images", []), ([len(asked.token_ids) - 1], "prompt")):
        assert knockout(vlm, asked, sources=sources, targets=targets).drop == 0.0
    alone = knockout(vlm, asked, sources="all", targets="all")
    assert np.isfinite(alone.after).all()
    assert np.abs(alone.after - alone.before).max() > 1e-3
    assert not any(m._forward_pre_hooks for m in vlm.model.modules())


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl", "gemma3", "llava-onevision", "phi4-rv"])
def test_cut_edges_have_no_weight_in_these_layers_and_rows_sum_to_one(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    asked = ask(vlm)
    replay, decoder = Replay.of(vlm, asked), Decoder(vlm)
    sources, targets = positions(asked, "images"), positions(asked, [-1, -2])
    before = vlm.model.config._attn_implementation
    vlm.model.set_attn_implementation("eager")
    try:
        with held(vlm), cutting(decoder, sources, targets, [1]):
            weights = vlm.model(**replay.inputs, output_attentions=True, use_cache=False).attentions
    finally:
        vlm.model.set_attn_implementation(before)
    looks = [layer[0][:, list(targets)][:, :, list(sources)] for layer in weights]
    assert looks[1].max() == 0.0
    assert looks[0].max() > 0.0
    assert weights[1][0][:, :-2][..., list(sources)].max() > 0.0  # the others still look
    for layer in weights:
        torch.testing.assert_close(layer.sum(-1), torch.ones_like(layer.sum(-1)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["nano", "gemma3", "qwen2.5-vl", "internvl"])
def test_a_blind_reply_is_the_same_with_a_cache_and_as_a_whole(
    name: str, nano: VLM, sample, answer: Answer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    tokens = 40 if name == "gemma3" else 6  # past its sliding window of 64
    seen = answer if name == "nano" else ask(vlm, tokens=tokens)
    sources = positions(seen, "images")[:5]
    start = seen.prompt_tokens - 1
    with attention_cut(vlm, sources, targets=range(start, 9999)):
        if name == "nano":
            blind = vlm.ask(sample.images, sample.question, mode="think")
        else:
            blind = ask(vlm, tokens=tokens)
    cut = knockout(vlm, blind, sources=sources, targets=Span(start, len(blind.token_ids)))
    assert len(cut.broken) == 0  # what it wrote blindly is what it finds likeliest blindly
    assert name != "gemma3" or len(blind.token_ids) > 64
    if name == "nano":
        again = vlm.ask(sample.images, sample.question, mode="think")
    else:
        again = ask(vlm, tokens=tokens)
    assert again.token_ids == seen.token_ids


def test_a_static_cache_is_cut_like_a_growing_one(nano: VLM, answer: Answer, clean: None) -> None:
    inputs = Replay.of(nano, answer).inputs
    prompt = {name: tensor[:, : answer.prompt_tokens] for name, tensor in inputs.items() if tensor.ndim == 2}
    inputs = {**inputs, "input_ids": prompt["input_ids"], "attention_mask": prompt["attention_mask"]}
    replies = []
    for cache in ("dynamic", "static"):
        with held(nano), attention_cut(nano, positions(answer, "images")[20:40], targets=range(90, 999)):
            made = nano.model.generate(
                **inputs, max_new_tokens=12, do_sample=False, cache_implementation=cache, eos_token_id=None
            )
        replies.append(made.tolist())
    assert replies[0] == replies[1]


def test_blinding_a_step_to_its_row_costs_that_steps_word_and_no_other(nano: VLM, clean: None) -> None:
    own, others = [], []
    for sample in workbench.synth.sample("gui_links", 8, seed=21, difficulty=1):
        asked = nano.ask(sample.images, sample.question, mode="think")
        if not sample.correct(asked.text):
            continue
        for step, box in enumerate(sample.boxes):
            cut = knockout(nano, asked, sources=Region(box), targets=writers(asked, "thought")).frame()
            word = asked.spans["thought"].start + 5 * step + 3  # A links to B.
            own += list(cut[cut["position"] == word]["drop"])
            others += list(cut[cut["position"] != word]["drop"])
    assert np.mean(own) > 1.0
    assert np.mean(own) > 10 * np.mean(np.abs(others))


def test_an_error_inside_leaves_no_hook(nano: VLM, answer: Answer, clean: None, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something broke")

    with monkeypatch.context() as patch:
        patch.setattr(nano.model.lm_head, "forward", broken)
        with pytest.raises(RuntimeError, match="something broke"):
            knockout(nano, answer, sources="images", targets="reply")
    with pytest.raises(KeyboardInterrupt), attention_cut(nano, [4], targets=[80]):
        raise KeyboardInterrupt


def test_chosen_layers_alone_are_cut(nano: VLM, answer: Answer, clean: None) -> None:
    all_layers = knockout(nano, answer, sources="images", targets="all")
    assert all_layers.layers == (0, 1, 2, 3)
    assert knockout(nano, answer, sources="images", targets="all", layers=range(4)).drop == all_layers.drop
    drops = [knockout(nano, answer, sources="images", targets="all", layers=layer).drop for layer in range(4)]
    assert len(set(drops)) == 4


def test_places_by_name_span_region_and_number(answer: Answer, sample) -> None:
    box = sample.boxes[0]
    under = region_positions(answer, Region(box))
    grid = answer.layout.images[0]
    assert under == tuple(grid.position(*cell) for cell in grid.cells(box))
    assert positions(answer, [Region(box), -1, np.int64(3)]) == (3, *under, len(answer.token_ids) - 1)
    assert positions(answer, "prompt") == tuple(range(answer.prompt_tokens))
    assert set(positions(answer, "images")) | set(positions(answer, "text")) == set(
        positions(answer, "prompt")
    )
    span = answer.spans["answer"]
    assert positions(answer, "answer") == positions(answer, span) == tuple(span)
    assert writers(answer, span) == tuple(at - 1 for at in span)


def test_a_knock_out_is_saved_and_shown(nano: VLM, answer: Answer, tmp_path) -> None:
    cut = knockout(nano, answer, sources=Region((0, 30, 100, 50)), targets="reply")
    again = Knockout.load(cut.save(tmp_path / "cut"))
    assert again.frame().equals(cut.frame())
    assert (again.sources, again.targets, again.layers, repr(again)) == (
        cut.sources, cut.targets, cut.layers, repr(cut)
    )  # fmt: skip
    assert "&lt;/think&gt;" in cut._repr_html_()


def test_wrong_places_layers_and_models_are_named(nano: VLM, answer: Answer, clean: None) -> None:
    for wrong, message in (
        (lambda: knockout(nano, answer, sources=9999, targets="reply"), "position 9999"),
        (lambda: knockout(nano, answer, sources="images", targets=Span(0, 9999)), "span 0 to 9999"),
        (lambda: knockout(nano, answer, sources="picture", targets="reply"), "'picture'"),
        (lambda: knockout(nano, answer, sources=2.5, targets="reply"), "float"),
        (lambda: knockout(nano, answer, sources=Region((0, 0, 9000, 10)), targets="reply"), "9000"),
        (lambda: knockout(nano, answer, sources=Region((0, 0, 10, 10), 3), targets="reply"), "3"),
        (lambda: knockout(nano, answer, sources="images", targets="reply", layers=4), "layers=4"),
        (lambda: knockout(nano, answer, sources="images", targets="reply", layers=[]), r"layers=\[\]"),
        (lambda: writers(answer, "images"), "belongs to the prompt"),
        (lambda: writers(replace(answer, spans={**answer.spans, "thought": Span(0, 0)}), "thought"), "empty"),
        (lambda: attention_cut(nano, [-1], targets=[3]).__enter__(), "negative"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        knockout(ServerVLM.__new__(ServerVLM), answer, sources="images", targets="reply")
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        attention_cut(ServerVLM.__new__(ServerVLM), [1], targets=[2]).__enter__()


def test_a_batch_and_a_kernel_without_a_mask_are_refused(
    nano: VLM, sample, answer: Answer, clean: None
) -> None:
    with attention_cut(nano, [4], targets=range(999)), pytest.raises(InputError, match="one at a time"):
        nano.ask_many(sample.images[0], [sample.question] * 2, progress=False)
    decoder = Decoder(nano)
    block, decoder.kernel = decoder.blocks[0], "flash_attention_2"
    with pytest.raises(CapabilityError, match="flash_attention_2"), cutting(decoder, [4], [5], [0]):
        pass
    with attention_cut(nano, [4], targets=[5]), pytest.raises(CapabilityError, match="attention='sdpa'"):
        block(torch.zeros(1, 9, 160), attention_mask=torch.ones(1, 9))
