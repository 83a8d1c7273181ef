"""A reply that is run again is what the model wrote; where it is not, a warning says so with figures."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from attribution_cases import MODELS, ask, tiny_families, tiny_vlm

import workbench
from workbench.interpret import attribute, knockout, logit_lens
from workbench.interpret.replay import Replay, ReplayWarning, forward, held
from workbench.interpret.thought_tests import probabilities
from workbench.models.generate import on_device
from workbench.models.vlm import VLM


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def paligemma(tmp_path_factory: pytest.TempPathFactory) -> VLM:
    folder = tiny_families.build("paligemma", tmp_path_factory.mktemp("paligemma"))
    return workbench.load(folder, device="cpu", progress=False)


@pytest.mark.parametrize("name", [*MODELS, "paligemma"])
def test_a_greedy_reply_is_the_argmax_of_its_replay(name: str, request, tmp_path_factory) -> None:
    vlm = request.getfixturevalue(name) if name == "paligemma" else tiny_vlm(name, tmp_path_factory)
    answer = ask(vlm, tokens=6)
    replay = Replay.of(vlm, answer)
    with held(vlm):
        best = forward(vlm, replay, replay.length - replay.prompt_tokens + 1)[:-1].argmax(-1)
    assert tuple(best.tolist()) == answer.reply_ids
    with warnings.catch_warnings():
        warnings.simplefilter("error", ReplayWarning)
        knockout(vlm, answer, sources="images", targets="reply")


@pytest.mark.parametrize("name", ["general", "paligemma"])
def test_a_reply_goes_on_from_its_own_beginning_as_it_was_written(
    name: str, request, tmp_path_factory
) -> None:
    """PaliGemma's prompt looks both ways and its reply does not: what is given of a reply is no prompt."""
    vlm = request.getfixturevalue(name) if name == "paligemma" else tiny_vlm(name, tmp_path_factory)
    answer = ask(vlm, tokens=6)
    encoded = vlm.encode(answer.turns[:-1], mode=answer.mode, begun=[answer.reply_ids[:3]])
    replay = Replay.of(vlm, answer)
    for key in encoded.inputs.keys() & {"token_type_ids", "mm_token_type_ids"}:
        assert encoded.inputs[key].tolist() == replay.inputs[key][:, :-3].tolist()
    inputs = on_device(encoded.inputs, vlm.device, vlm.dtype)
    with torch.no_grad():
        found = vlm.model(**inputs, logits_to_keep=4).logits[0]
    with held(vlm):
        np.testing.assert_allclose(found, forward(vlm, replay, 7)[:4], atol=1e-4)


def test_other_weights_are_told_once_with_figures(tmp_path_factory) -> None:
    vlm = tiny_vlm("general", tmp_path_factory)
    answer = ask(vlm, tokens=5)
    head = vlm.model.get_output_embeddings().weight
    before = head.data.clone()
    head.data.neg_()
    try:
        with pytest.warns(ReplayWarning, match=r"at 5 of 5 tokens: first at token .* nats") as told:
            attribute(vlm, answer, method="occlusion", progress=False)
        assert [w.filename for w in told if w.category is ReplayWarning] == [__file__]
        sampled = replace(answer, settings={**answer.settings, "temperature": 1.0})
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReplayWarning)
            knockout(vlm, answer, sources="images", targets="reply")
            knockout(vlm, sampled, sources="images", targets="reply")
    finally:
        head.data.copy_(before)


class Forced:
    """Lets a reply be written token by token, whatever the model would choose."""

    def __init__(self, reply: tuple[int, ...], prompt: int) -> None:
        self.reply, self.prompt = reply, prompt

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self.reply[ids.shape[1] - self.prompt]] = 0
        return forced


@pytest.mark.parametrize("name", ["general", "qwen2.5-vl", "qwen3-vl", "gemma3", "phi4-rv"])
def test_an_image_token_that_a_reply_holds_is_text(name: str, tmp_path_factory) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    answer = ask(vlm, tokens=4)
    at = next(iter(answer.layout.images)).start
    ids = list(answer.token_ids)
    ids[answer.prompt_tokens + 1] = ids[at]  # the picture's own token
    answer = replace(answer, token_ids=tuple(ids), settings={**answer.settings, "temperature": 1.0})
    replay = Replay.of(vlm, answer)
    with held(vlm):
        ours = forward(vlm, replay, 4)
        steps = vlm.model.generate(
            **Replay.of(vlm, answer, reply=[]).inputs, max_new_tokens=4, do_sample=False, output_logits=True,
            return_dict_in_generate=True, logits_processor=[Forced(answer.reply_ids, answer.prompt_tokens)],
        ).logits  # fmt: skip
    np.testing.assert_allclose(ours[:3], torch.cat(steps)[1:], atol=2e-3)
    assert not vlm.model.get_input_embeddings()._forward_hooks
    logit_lens(vlm, answer, k=2)
    found = attribute(vlm, answer, method="occlusion", progress=False)
    assert found.maps[0].shape == (answer.layout.images[0].rows, answer.layout.images[0].cols)


def test_a_given_thought_is_not_the_models_own(nano: VLM) -> None:
    sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
    given = nano.ask(sample.images, sample.question, thought="Mail links to Shop.")
    replay = Replay.of(nano, given)
    assert replay.written.stop == len(given.token_ids)
    assert given.spans["thought"].stop <= replay.written.start <= given.spans["answer"].start
    own = nano.ask(sample.images, sample.question, mode="think")
    assert Replay.of(nano, own).written.start <= own.spans["thought"].start


@pytest.mark.parametrize("name", ["qwen3-vl-thinking", "glm-4v", "qwen3.5", "general-switch", "phi4-rv"])
@pytest.mark.parametrize("together", [True, False])
def test_an_answer_is_as_probable_behind_a_thought_that_holds_an_image_token(
    name: str, together: bool, tmp_path_factory
) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    image = tiny_families.picture(150, 100)
    answer = vlm.ask(image, "What is red?", thought="It is so. It is red.", max_tokens=3)
    at, inside = next(iter(answer.layout.images)).start, answer.spans["thought"].start + 1
    ids = list(answer.token_ids)
    ids[inside] = ids[at]  # as if the model had written the picture's own token
    marked = replace(answer, token_ids=tuple(ids))
    own = list(answer.token_ids[answer.spans["answer"].start : answer.spans["answer"].stop])
    found = probabilities(vlm, [marked, answer] if together else [marked], own)[0]
    reply = (*marked.token_ids[answer.prompt_tokens : answer.spans["answer"].start], *own)
    with held(vlm):
        steps = vlm.model.generate(
            **Replay.of(vlm, answer, reply=[]).inputs, max_new_tokens=len(reply), do_sample=False,
            output_logits=True, return_dict_in_generate=True, eos_token_id=-1,
            logits_processor=[Forced(reply, answer.prompt_tokens)],
        ).logits  # fmt: skip
    chain = torch.cat(steps)[-len(own) :].float().log_softmax(dim=-1)
    expected = chain[torch.arange(len(own)), own].sum().exp().item()
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-7)
