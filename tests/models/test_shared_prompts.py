"""A prompt that several replies share is read once: they are what they would be if it were read for each."""

from __future__ import annotations

import pytest
import tiny_families
import torch

import workbench
from workbench.models.families import FAMILIES
from workbench.models.generate import model_inputs, prompt_cache, uncached
from workbench.models.vlm import VLM
from workbench.types import Mode, Turn

SHARE = (
    "glm-4v", "idefics3", "internvl", "llava-onevision", "qwen2.5-vl", "qwen3-vl", "qwen3-vl-thinking",
    "smolvlm",
)  # fmt: skip
WORDS = ("red", "Read the red value and answer in one word, please. 12345", "in this picture")


@pytest.fixture(scope="module", params=SHARE)
def vlm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VLM:
    folder = tiny_families.build(request.param, tmp_path_factory.mktemp(request.param))
    return workbench.load(str(folder), progress=False)


def test_the_families_that_share_are_those_that_are_tested_here() -> None:
    tested = {"smolvlm" if name == "idefics3" else name.removesuffix("-thinking") for name in SHARE}
    assert {name for name, spec in FAMILIES.items() if spec.shares_prompts} == tested | {"phi4-rv"}


@torch.no_grad()
def test_scores_behind_a_shared_prompt_are_those_of_a_fresh_run(vlm: VLM) -> None:
    assert vlm.shares_prompts
    turns = [Turn("user", "What is in this picture?", (tiny_families.picture(96, 64),))]
    begun = [vlm.tokenizer.encode(f"{words} value", add_special_tokens=False) for words in WORDS]
    fresh = []
    for ids in begun:
        alone = model_inputs(vlm.model, vlm.encode(turns, mode=Mode.AUTO, begun=[ids]), vlm.device)
        fresh.append(vlm.model(**alone).logits[0, -2:].log_softmax(dim=-1))
    prompt = vlm.encode(turns, mode=Mode.AUTO)
    cache = prompt_cache(vlm.model, prompt, vlm.device)
    length = cache.get_seq_length()
    for _ in range(2):  # the cache is copied, not used up
        inputs = model_inputs(vlm.model, prompt.repeated(begun), vlm.device, cache=cache)
        shared = vlm.model(**uncached(vlm.model, inputs)).logits[:, -2:].log_softmax(dim=-1)
        torch.testing.assert_close(shared, torch.stack(fresh), atol=1e-4, rtol=1e-4)
        assert cache.get_seq_length() == length


def test_replies_to_a_shared_prompt_are_those_of_one_at_a_time(vlm: VLM) -> None:
    image, question = tiny_families.picture(96, 64), "What is this?"
    if Mode.THINK in vlm.modes:
        options = {"mode": "think", "thoughts": ["red value", "", "Read the red value. It is 5."]}
        shared = vlm.ask_many([image], question, max_tokens=12, progress=False, **options)
    else:
        shared = vlm.ask_many([image] * 3, question, max_tokens=12, progress=False)
    vlm.shares_prompts = False
    try:
        if Mode.THINK in vlm.modes:
            alone = vlm.ask_many([image], question, max_tokens=12, progress=False, **options)
        else:
            alone = [vlm.ask(image, question, max_tokens=12)] * 3
    finally:
        vlm.shares_prompts = True
    assert [answer.token_ids for answer in shared] == [answer.token_ids for answer in alone]
    assert all(len(answer.reply_ids) > 1 for answer in shared)
