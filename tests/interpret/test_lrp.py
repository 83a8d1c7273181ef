"""AttnLRP and embedding x gradient: their rules by hand, what is handed on, and nothing left behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attribution_cases import ask, tiny_vlm
from torch import nn

import workbench
from workbench import interpret, synth
from workbench.answer import Answer
from workbench.errors import CapabilityError
from workbench.interpret.methods import embeddings
from workbench.interpret.methods.job import Job, frozen
from workbench.interpret.replay import Decoder
from workbench.interpret.scoring import Scorer
from workbench.interpret.scoring import log_odds as log_odds_of
from workbench.models.vlm import VLM


@pytest.fixture(scope="module")
def asked() -> tuple[VLM, Answer]:
    vlm = workbench.load()
    sample = synth.sample("read_sign", 1, seed=7)[0]
    return vlm, vlm.ask(sample.images, sample.question, mode="nothink", max_tokens=6)


def relevance(vlm: VLM, answer: Answer, method: str) -> np.ndarray:
    """Of every position of prompt and reply."""
    scorer = Scorer(vlm, answer, "answer")
    return embeddings.at_inputs(Job(method, scorer, None, "mean", 0, {}), scorer.target.sequences[0])


def inputs_of(vlm: VLM, answer: Answer) -> torch.Tensor:
    """The decoder's inputs ``[1, tokens, hidden]`` up to the answer's last token."""
    scorer, found = Scorer(vlm, answer, "answer"), []
    hook = (
        Decoder(vlm)
        .blocks[0]
        .register_forward_pre_hook(
            lambda _, args, kwargs: found.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    )
    assert np.isfinite(scorer.base)
    hook.remove()
    return found[0].detach().clone()


def log_odds(logits: torch.Tensor, answer: Answer) -> torch.Tensor:
    """Of the answer's tokens against all others, summed; ``logits [tokens, vocabulary]``."""
    total = logits.new_zeros(())
    for at in answer.spans["answer"]:
        row, own = logits[at - 1], answer.token_ids[at]
        total = total + row[own] - torch.cat([row[:own], row[own + 1 :]]).logsumexp(0)
    return total


def by_hand(vlm: VLM, answer: Answer) -> np.ndarray:
    """AttnLRP of the built-in model's decoder, written out with whole matrices and `detach`."""
    decoder, config = vlm.model.model.language_model, vlm.model.config.text_config
    leaf = inputs_of(vlm, answer).requires_grad_()
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    groups = config.num_key_value_heads

    def half(product: torch.Tensor) -> torch.Tensor:
        return product / 2 + product.detach() / 2

    def normed(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x * (norm.weight / (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt().detach())

    def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        size = cos.shape[-1]
        first, second = x[..., :size].chunk(2, -1)
        return torch.cat([x[..., :size] * cos + torch.cat([-second, first], -1) * sin, x[..., size:]], -1)

    x, count = leaf[0], leaf.shape[1]
    cos, sin = (part[0] for part in decoder.rotary_emb(leaf, position_ids=torch.arange(count)[None]))
    hidden = torch.ones(count, count, dtype=torch.bool).triu(1)
    for layer in decoder.layers:
        mixed = layer.self_attn.qkv_proj(normed(layer.input_layernorm, x))
        sizes = [heads * width, groups * width, groups * width]
        query, key, value = (p.view(count, -1, width).transpose(0, 1) for p in mixed.split(sizes, -1))
        query, key = turned(query, cos, sin), turned(key, cos, sin)
        key, value = (part.repeat_interleave(heads // groups, 0) for part in (key, value))
        scores = half(query @ key.transpose(-1, -2)) / width**0.5
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        x = x + layer.self_attn.o_proj(half(weights @ value).transpose(0, 1).flatten(1))
        gate, up = layer.mlp.gate_up_proj(normed(layer.post_attention_layernorm, x)).chunk(2, -1)
        x = x + layer.mlp.down_proj(half(up * (gate * torch.sigmoid(gate).detach())))
    logits = vlm.model.lm_head(normed(decoder.norm, x))
    (slope,) = torch.autograd.grad(log_odds(logits, answer), leaf)
    return (leaf * slope)[0].sum(-1).detach().numpy()


def test_attn_lrp_equals_its_rules_written_out(asked: tuple[VLM, Answer]) -> None:
    vlm, answer = asked
    with frozen(vlm.model):
        expected = by_hand(vlm, answer)
    found = relevance(vlm, answer, "attn_lrp")
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    shown = interpret.attribute(vlm, answer, target="answer", method="attn_lrp", progress=False)
    grid = answer.layout.images[0]
    np.testing.assert_allclose(shown.maps[0].ravel(), found[grid.start : grid.stop], atol=1e-5)
    np.testing.assert_allclose(shown.tokens, found[: answer.prompt_tokens], atol=1e-5)


@pytest.mark.parametrize("name", ["nano", "qwen2.5-vl", "gemma3"])
def test_relevance_is_handed_on_but_for_what_the_softmax_keeps(
    name: str, asked: tuple[VLM, Answer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What starts at the logits arrives at the inputs, less what each softmax gets and does not hand on."""
    vlm, answer = asked
    if name != "nano":
        vlm = tiny_vlm(name, tmp_path_factory)
        answer = ask(vlm)
        with torch.no_grad():  # a bias takes its own share
            for part in Decoder(vlm).blocks:
                for each in part.modules():
                    if isinstance(each, nn.Linear) and each.bias is not None:
                        each.bias.zero_()
    scorer = Scorer(vlm, answer, "answer")
    decoder, leaves, kept, ends = Decoder(vlm), [], [], []

    def visit(weights: torch.Tensor, slope: torch.Tensor) -> None:
        got = weights * slope
        into = weights * (slope - got.sum(-1, keepdim=True))  # the slope by the scores
        kept.append(float((got - into * weights.clamp(min=1e-30).log()).double().sum()))

    def end(_: nn.Module, __: object, out: torch.Tensor) -> None:
        out.retain_grad()
        ends.append(out)

    handle = decoder.head.register_forward_hook(end)
    rules = embeddings.lrp_rules(decoder, vlm, visit=visit)
    with frozen(vlm.model), scorer.holding(), embeddings.reaching(decoder, leaves.append), rules:
        logits = scorer.engine.scores(scorer.target, *scorer.engine.original(1), pick=log_odds_of)
        logits.sum().backward()
    handle.remove()
    start = float((ends[0] * ends[0].grad).detach().sum())
    arrived = float((leaves[0] * leaves[0].grad).detach().double().sum())
    assert abs(start) > 1e-2
    assert arrived + sum(kept) == pytest.approx(start, abs=2e-3 * max(1.0, abs(start), abs(arrived)))


@pytest.mark.parametrize("name", ["nano", "qwen2.5-vl"])
def test_embedding_times_gradient_is_the_slope_along_the_inputs(
    name: str, asked: tuple[VLM, Answer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each token made a little longer and shorter, without a gradient."""
    vlm, answer = asked
    if name != "nano":
        vlm = tiny_vlm(name, tmp_path_factory)
        answer = ask(vlm)
    found = relevance(vlm, answer, "embedding_x_gradient")
    decoder, scorer = Decoder(vlm), Scorer(vlm, answer, "answer")
    stretched: dict[str, Any] = {}

    def stretch(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        stream[:, stretched["at"]] *= stretched["by"]
        return ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})

    handle = decoder.blocks[0].register_forward_pre_hook(stretch, with_kwargs=True)
    places = [int(np.abs(found).argmax()), answer.layout.images[0].start + 3, 1]
    for at in places:
        sides = []
        for by in (0.99, 1.01):
            stretched |= {"at": at, "by": by}
            with torch.no_grad():
                sides.append(
                    float(scorer.engine.scores(scorer.target, *scorer.engine.original(1), pick=log_odds_of))
                )
        slope = (sides[1] - sides[0]) / 0.02
        assert found[at] == pytest.approx(slope, rel=0.05, abs=0.02 * np.abs(found).max())
    handle.remove()


def test_nothing_is_left_behind_after_an_error(asked: tuple[VLM, Answer], monkeypatch) -> None:
    vlm, answer = asked
    config = vlm.model.model.language_model.config
    before = config._attn_implementation
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        relevance(vlm, answer, "attn_lrp")
    assert config._attn_implementation == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in vlm.model.modules())
    assert not any(p.grad is not None for p in vlm.model.parameters())


def test_a_mixture_of_experts_is_refused(asked: tuple[VLM, Answer]) -> None:
    vlm, _ = asked
    decoder = Decoder(vlm)
    experts = nn.Module()
    experts.gate_up_proj, experts.down_proj = (nn.Parameter(torch.zeros(2, 2)) for _ in range(2))
    decoder.blocks = [experts]
    with pytest.raises(CapabilityError, match="mixture of experts"), embeddings.lrp_rules(decoder, vlm):
        pass
