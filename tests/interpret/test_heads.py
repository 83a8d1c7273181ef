"""Single heads: cut, replaced and weighed as arithmetic on Transformers' own states says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from attribution_cases import ask, tiny_vlm

import workbench
from workbench import interpret
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.interpret.effects import DecisionAttribution, HeadEffects, Knockout
from workbench.interpret.replay import Decoder, Replay, held
from workbench.interpret.targets import positions
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> workbench.synth.Sample:
    return workbench.synth.sample("gui_links", 1, seed=7, difficulty=1)[0]


@pytest.fixture(scope="module")
def answer(nano: VLM, sample: workbench.synth.Sample) -> Answer:
    return nano.ask(sample.images, sample.question)


@pytest.fixture
def clean(nano: VLM) -> Iterator[None]:
    weights = [p.requires_grad for p in nano.model.parameters()]
    yield
    assert not any(m._forward_pre_hooks for m in nano.model.modules())
    assert [p.requires_grad for p in nano.model.parameters()] == weights


def ahead(vlm: VLM, answer: Answer) -> float:
    """How far the reply's tokens are ahead of what was likeliest beside them, as log-odds, summed."""
    replay = Replay.of(vlm, answer)
    with held(vlm):
        logits = vlm.model(**replay.inputs, use_cache=False).logits[0].double()
    first, ids = replay.written.start, replay.inputs["input_ids"][0]
    rows = torch.log_softmax(logits[first - 1 : -1], dim=-1)
    at, own = torch.arange(len(rows)), ids[first:]
    if answer not in RIVALS:
        others = rows.clone()
        others[at, own] = -torch.inf
        RIVALS[answer] = others.argmax(dim=-1)
    return float((rows[at, own] - rows[at, RIVALS[answer]]).sum())


RIVALS: dict[Answer, torch.Tensor] = {}


@contextlib.contextmanager
def scaled(vlm: VLM, layer: int, head: int, by: float) -> Iterator[None]:
    """A head's columns of the output projection, multiplied."""
    weight = Decoder(vlm).blocks[layer].self_attn.o_proj.weight
    width = weight.shape[1] // Decoder(vlm).n_heads
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[:, head * width : (head + 1) * width] *= by
        yield
    finally:
        with torch.no_grad():
            weight.copy_(kept)


@pytest.mark.parametrize("name", ["nano", "qwen2.5-vl"])
def test_a_head_without_output_is_one_without_its_columns(
    name: str, nano: VLM, answer: Answer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    asked = answer if name == "nano" else ask(vlm)
    found = interpret.head_effects(vlm, asked, baseline=0, n_exact=None, progress=False)
    assert np.isfinite(found.exact).all()
    assert found.score == pytest.approx(ahead(vlm, asked), abs=2e-3)
    for layer, head in ((0, 0), (1, found.exact.shape[1] - 1)):
        with scaled(vlm, layer, head, 0):
            assert found.exact[layer, head] == pytest.approx(found.score - ahead(vlm, asked), abs=5e-3)


@pytest.mark.parametrize("name", ["nano", "gemma3"])
def test_the_estimate_is_the_slope_of_the_exact_fall(
    name: str, nano: VLM, answer: Answer, tmp_path_factory: pytest.TempPathFactory, clean: None
) -> None:
    """A head's output made a little smaller and larger: by its columns, without a gradient."""
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    asked = answer if name == "nano" else ask(vlm)
    found = interpret.head_effects(vlm, asked, baseline=0, n_exact=0, progress=False)
    assert np.isnan(found.exact).all()
    assert np.isnan(found.agreement)
    assert found.score == pytest.approx(ahead(vlm, asked), abs=2e-3)
    for layer, head in ((0, 1), (1, 0)):
        sides = []
        for by in (0.98, 1.02):
            with scaled(vlm, layer, head, by):
                sides.append(ahead(vlm, asked))
        slope = (sides[1] - sides[0]) / 0.04
        assert found.estimated[layer, head] == pytest.approx(slope, rel=0.05, abs=5e-3)


def test_estimate_and_exact_agree_and_the_record_says_so(nano: VLM, answer: Answer, tmp_path) -> None:
    found = interpret.head_effects(nano, answer, baseline="mean", n_exact=None, progress=False)
    pairs = np.stack([found.estimated.ravel(), found.exact.ravel()])
    assert found.agreement == pytest.approx(np.corrcoef(pairs)[0, 1])
    some = interpret.head_effects(nano, answer, baseline="mean", n_exact=5, progress=False)
    assert np.isfinite(some.exact).sum() == 5
    done = np.isfinite(some.exact)
    np.testing.assert_allclose(some.exact[done], found.exact[done], atol=1e-4)
    again = HeadEffects.load(found.save(tmp_path / "effects"))
    assert again.frame().equals(found.frame())
    assert repr(again) == repr(found)
    assert "estimated fall" in found._repr_html_()
    assert len(found.plot().axes) == 3


def test_the_same_picture_put_in_costs_nothing_and_another_one_does(
    nano: VLM, answer: Answer, sample
) -> None:
    own = interpret.head_effects(nano, answer, other=sample.images[0], n_exact=None, progress=False)
    assert np.abs(own.exact).max() == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(own.estimated, 0, atol=1e-5)
    turned = interpret.head_effects(nano, answer, other=sample.images[0].rotate(180), progress=False)
    assert np.abs(turned.exact).max() > 1e-3
    with pytest.raises(InputError, match="resize it"):
        interpret.head_effects(nano, answer, other=sample.images[0].resize((40, 40)), progress=False)


def test_replacing_after_the_decision_leaves_the_decision(nano: VLM, answer: Answer) -> None:
    late = interpret.head_effects(
        nano, answer, target="decision", place=[answer.prompt_tokens], progress=False
    )
    np.testing.assert_allclose(late.exact, 0, atol=1e-5)
    np.testing.assert_allclose(late.estimated, 0, atol=1e-5)
    before = interpret.head_effects(nano, answer, target="decision", progress=False)
    assert np.abs(before.exact).max() > 0.1
    decision = interpret.logit_lens(nano, answer).decision.iloc[-1]
    assert before.score == pytest.approx(decision["log_odds"], abs=1e-3)


@pytest.mark.parametrize("name", ["nano", "qwen3-vl", "gemma3"])
def test_the_parts_of_the_decision_sum_to_the_models_own_scores(
    name: str, nano: VLM, answer: Answer, tmp_path_factory: pytest.TempPathFactory, monkeypatch
) -> None:
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    asked = answer if name == "nano" else ask(vlm)
    if name != "nano":  # any two tokens: the family writes no thoughts
        monkeypatch.setattr("workbench.interpret.heads.decision_tokens", lambda *_: (7, 11))
    found = interpret.decision_attribution(vlm, asked)
    with held(vlm):
        scores = vlm.model(**Replay.of(vlm, asked).inputs, use_cache=False).logits[0, asked.prompt_tokens - 1]
    think, direct = (7, 11) if name != "nano" else workbench.interpret.heads._tokens(vlm, scores)
    true = float(scores[think] - scores[direct])
    assert found.log_odds == pytest.approx(true, abs=1e-3)
    parts = found.heads.sum() + found.mlp.sum() + found.embedding + found.bias
    assert parts == pytest.approx(true, abs=2e-3)
    assert found.error < 2e-3
    assert np.abs(found.heads).max() > 1e-3


def test_a_decision_is_taken_apart_in_bfloat16(sample) -> None:
    vlm = workbench.load(dtype="bfloat16")
    asked = vlm.ask(sample.images, sample.question, max_tokens=2)
    found = interpret.decision_attribution(vlm, asked)
    assert found.error < 0.02 * np.nansum(np.abs(found.heads))


def test_a_heads_share_is_its_columns_times_its_values(nano: VLM, answer: Answer) -> None:
    found = interpret.decision_attribution(nano, answer)
    assert found.bias == pytest.approx(0, abs=1e-3)
    replay = Replay.of(nano, answer, reply=answer.reply_ids[:1])
    layer, head, values = 2, 1, []
    out = nano.model.model.language_model.layers[layer].self_attn.o_proj
    handle = out.register_forward_pre_hook(lambda _, args: values.append(args[0][0, -2]))
    with held(nano):
        hidden = nano.model.model(**replay.inputs, use_cache=False).last_hidden_state[0, -2]
        scores = nano.model.lm_head(hidden)
    handle.remove()
    norm, states = nano.model.model.language_model.norm, []
    handle = norm.register_forward_pre_hook(lambda _, args: states.append(args[0][0, -2]))
    with held(nano):
        nano.model.model(**replay.inputs, use_cache=False)
    handle.remove()
    think, direct = workbench.interpret.heads._tokens(nano, scores)
    weights = nano.model.lm_head.weight.detach()
    rms = (states[0].pow(2).mean() + norm.variance_epsilon).sqrt()
    onto = (weights[think] - weights[direct]) * norm.weight.detach() / rms
    part = slice(head * 40, (head + 1) * 40)
    share = onto @ (out.weight.detach()[:, part] @ values[0][part])
    assert found.heads[layer, head] == pytest.approx(float(share), abs=1e-3)


def test_a_decision_is_saved_and_shown(nano: VLM, answer: Answer, tmp_path) -> None:
    found = interpret.decision_attribution(nano, answer)
    again = DecisionAttribution.load(found.save(tmp_path / "decision"))
    assert again.frame().equals(found.frame())
    assert repr(again) == repr(found)
    assert "think" in found._repr_html_()
    record = tmp_path / "decision" / "record.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"bias"', '"lean"'), encoding="utf-8")
    with pytest.raises(InputError, match="has no field 'lean'"):
        DecisionAttribution.load(tmp_path / "decision")
    assert "nats" in found.plot().get_suptitle()


@pytest.mark.parametrize("name", ["nano", "qwen2.5-vl"])
def test_a_cut_in_all_heads_is_the_cut_and_in_one_head_its_own(
    name: str, nano: VLM, answer: Answer, tmp_path_factory: pytest.TempPathFactory, tmp_path
) -> None:
    vlm = nano if name == "nano" else tiny_vlm(name, tmp_path_factory)
    asked = answer if name == "nano" else ask(vlm)
    heads = Decoder(vlm).n_heads
    places = {"sources": "images", "targets": "reply", "layers": 1}
    whole = interpret.knockout(vlm, asked, **places)
    every = interpret.knockout(vlm, asked, **places, heads=range(heads))
    np.testing.assert_allclose(every.after, whole.after, atol=1e-5)
    drops = [interpret.knockout(vlm, asked, **places, heads=head).drop for head in range(heads)]
    assert len({round(drop, 6) for drop in drops}) == heads
    one = interpret.knockout(vlm, asked, **places, heads=[0])
    assert one.heads == (0,)
    assert Knockout.load(one.save(tmp_path / "one")).heads == (0,)
    assert "1 layers x 1 heads" in repr(one)
    replay, sources, targets = Replay.of(vlm, asked), positions(asked, "images"), positions(asked, "reply")
    before = vlm.model.config._attn_implementation
    vlm.model.set_attn_implementation("eager")
    try:
        with held(vlm), interpret.attention_cut(vlm, sources, targets=targets, layers=1, heads=0):
            weights = vlm.model(**replay.inputs, output_attentions=True, use_cache=False).attentions[1][0]
    finally:
        vlm.model.set_attn_implementation(before)
    looks = weights[:, list(targets)][:, :, list(sources)]
    assert looks[0].max() == 0
    assert looks[1:].amax(dim=(1, 2)).min() > 0


def test_questions_are_asked_without_some_heads(nano: VLM, answer: Answer, sample, clean: None) -> None:
    with interpret.ablate_heads(nano, [(3, 0), (1, 2)], baseline=0):
        maimed = nano.ask(sample.images, sample.question, max_tokens=20)
        again = interpret.knockout(nano, maimed, sources=[], targets=[])
    assert len(again.broken) == 0
    found = interpret.head_effects(nano, answer, baseline="mean", n_exact=None, progress=False)
    assert found.score == pytest.approx(ahead(nano, answer), abs=2e-3)  # notes the rivals, too
    with interpret.ablate_heads(nano, [(2, 1)], reference=[answer]):
        left = ahead(nano, answer)
    assert found.score - left == pytest.approx(found.exact[2, 1], abs=5e-3)
    with pytest.raises(KeyboardInterrupt), interpret.ablate_heads(nano, [(0, 0)], baseline=0):
        raise KeyboardInterrupt


def test_wrong_heads_targets_and_baselines_are_named(nano: VLM, answer: Answer, clean: None) -> None:
    direct = nano.ask(answer.images, answer.question, mode="nothink", max_tokens=4)
    for wrong, message in (
        (lambda: interpret.knockout(nano, answer, sources=[1], targets=[2], heads=4), "heads=4"),
        (lambda: interpret.attention_cut(nano, [1], targets=[2], heads=[]).__enter__(), r"heads=\[\]"),
        (lambda: interpret.ablate_heads(nano, [(9, 0)], baseline=0).__enter__(), "head 0 of block 9"),
        (lambda: interpret.ablate_heads(nano, [(0, 0)]).__enter__(), "without an answer"),
        (lambda: interpret.head_effects(nano, answer, baseline="blur"), "baseline='blur'"),
        (lambda: interpret.head_effects(nano, answer, n_exact=-1), "n_exact=-1"),
        (lambda: interpret.head_effects(nano, answer, seed=-1), "seed=-1"),
        (lambda: interpret.head_effects(nano, answer, target="words"), "target='words'"),
        (lambda: interpret.head_effects(nano, direct, target="thought"), "has none"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        interpret.decision_attribution(ServerVLM.__new__(ServerVLM), answer)


def test_a_model_without_thoughts_has_no_decision(tmp_path_factory: pytest.TempPathFactory) -> None:
    vlm = tiny_vlm("gemma3", tmp_path_factory)
    with pytest.raises(CapabilityError, match="writes no thoughts"):
        interpret.head_effects(vlm, ask(vlm), target="decision")
