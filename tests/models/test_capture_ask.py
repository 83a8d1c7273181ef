"""Capture through the verbs: ask, stream, many; saved and loaded; refused where it cannot be."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scripted import PICTURE, ids, replies, thinker, tiny
from transformers import AttentionInterface

from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError
from workbench.models.server import ServerVLM
from workbench.types import Span

WIDE = Image.new("RGB", (160, 32), "green")


@pytest.fixture(scope="module")
def vlm():
    return tiny()


@pytest.fixture(scope="module")
def answer(vlm):
    return vlm.ask(PICTURE, "What is in this picture?", max_tokens=6, capture=True)


def test_the_answer_is_the_same_and_has_its_attention(vlm, answer):
    plain = vlm.ask(PICTURE, "What is in this picture?", max_tokens=6)
    assert answer.token_ids == plain.token_ids
    assert answer.p_think == plain.p_think
    attention = answer.attention
    assert attention.tokens == Span(answer.prompt_tokens, len(answer.token_ids))
    assert attention.layout == answer.layout
    assert (attention.n_layers, attention.n_heads) == (
        vlm.model.config.text_config.num_hidden_layers,
        vlm.model.config.text_config.num_attention_heads,
    )
    for token in attention.tokens:
        row = attention.row(token, 0, 1)
        assert row.sum() == pytest.approx(1, abs=1e-5)
        assert not row[token:].any(), "it does not see itself or what comes later"
    grid = answer.layout.images[0]
    assert attention.map(answer.spans["answer"]).shape == (grid.rows, grid.cols)
    assert len(attention.over_time()) == len(answer.reply_ids)


def test_rows_are_those_of_one_eager_pass_over_everything(vlm, answer):
    encoded = vlm.family.encode(
        vlm.processor,
        [answer.turns[:1]],
        mode=answer.mode,
        config=vlm.model.config,
    )
    inputs = dict(encoded.inputs)
    inputs["input_ids"] = torch.tensor([answer.token_ids[:-1]])
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    vlm.model.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = vlm.model(**inputs, output_attentions=True).attentions
    vlm.model.set_attn_implementation("sdpa")
    ours = answer.attention.rows(answer.attention.tokens)
    for layer, weights in enumerate(theirs):
        want = weights[0, :, answer.prompt_tokens - 1 :].numpy()
        assert np.abs(ours[layer] - want).max() < 1e-5


def test_the_towers_attention_goes_through_the_same_verbs(answer):
    vision = answer.attention.vision
    grid = answer.layout.images[0]
    patch = vision.layout.images[0].position(1, 2)
    row = vision.row(patch, 0, 0)
    assert row.shape == (grid.rows * grid.cols,)
    assert row.sum() == pytest.approx(1, abs=1e-5)
    assert vision.map(patch).shape == (grid.rows, grid.cols)
    assert vision.map(patch).sum() == pytest.approx(1, abs=1e-5)
    assert vision.rollout(patch).shape == (grid.rows, grid.cols)
    width, height = grid.size
    assert len(vision.heads((0, 0, width / 2, height / 2))) == vision.n_layers * vision.n_heads
    assert len(vision.reverse((0, 0, width / 2, height / 2))) == grid.rows * grid.cols
    with pytest.raises(InputError, match="token="):
        vision.row(grid.rows * grid.cols, 0, 0)
    with pytest.raises(CapabilityError):
        _ = vision.vision


def test_the_prompts_rows_are_kept_on_request(vlm):
    answer = vlm.ask(PICTURE, "What is in this picture?", max_tokens=3, capture="all")
    attention = answer.attention
    assert attention.tokens == Span(1, len(answer.token_ids))
    less = vlm.ask(PICTURE, "What is in this picture?", max_tokens=3, capture=True).attention
    assert np.allclose(attention.rows(less.tokens), less.rows(less.tokens), atol=1e-6)
    assert attention.reply(0) == less.reply(0) == answer.prompt_tokens
    assert len(attention.over_time()) == 3
    # With all rows the rollout mixes among the prompt's tokens too.
    n = attention.positions
    rows = attention.rows(attention.tokens).mean(axis=1)
    full = np.eye(n)
    for layer in rows:
        full = (0.5 * np.eye(n) + 0.5 * layer) @ full
    assert np.allclose(attention.flow(attention.reply(-1)), full[-1], atol=1e-5)
    assert not np.allclose(attention.flow(attention.reply(-1)), less.flow(less.reply(-1)), atol=1e-3)


def test_batches_give_the_rows_of_single_questions(vlm):
    images = [PICTURE, None, [PICTURE, WIDE]]
    questions = ["What?", "Who are you, in one word, please?", "Which?"]
    many = vlm.ask_many(images, questions, max_tokens=4, capture=True, progress=False)
    for image, question, together in zip(images, questions, many, strict=True):
        alone = vlm.ask(image, question, max_tokens=4, capture=True)
        ours, theirs = together.attention, alone.attention
        assert np.allclose(ours.rows(ours.tokens), theirs.rows(theirs.tokens), atol=1e-4)
        assert ours.texts == theirs.texts
        if image is None:
            with pytest.raises(CapabilityError):
                _ = ours.vision
            with pytest.raises(InputError, match="this one has none"):
                ours.over_time()
        else:
            tower = ours.vision.rows(ours.vision.tokens)
            assert np.allclose(tower, theirs.vision.rows(theirs.vision.tokens), atol=1e-4)
    pictures = many[2].attention.vision.layout.images
    assert [grid.image for grid in pictures] == [0, 1]
    patch = pictures[1].position(0, 0)
    assert many[2].attention.vision.map(patch, image=0).sum() == 0, "a picture does not see the other"


def test_thought_and_answer_are_named_in_the_tables(vlm):
    with replies(vlm, thinker(ids(vlm, "red and blue"), ids(vlm, "red"))):
        answer = vlm.ask(PICTURE, "Which colour?", mode="think", capture=True)
    frame = answer.attention.over_time()
    for name, span in answer.spans.items():
        assert list(frame["token"][frame["part"] == name]) == list(span)
    text = "".join(frame["text"][frame["part"] == "thought"])
    assert text.strip() == answer.thought


def test_streams_are_captured_and_an_interrupted_one_keeps_what_it_has(vlm):
    with replies(vlm, thinker(ids(vlm, "red"), ids(vlm, "one two three"), ends=False)):
        stream = vlm.stream(PICTURE, "Count.", max_tokens=500, capture=True)
        for number, _ in enumerate(stream):
            if number == 2:
                break
        answer = stream.answer
    assert answer.stopped == "interrupted"
    assert len(answer.attention.tokens) == len(answer.reply_ids) > 0
    rows = answer.attention.rows(answer.attention.tokens)
    assert np.allclose(rows.sum(axis=-1), 1, atol=1e-5)
    assert not any("capture" in name for name in AttentionInterface._global_mapping)


def test_an_error_while_it_captures_leaves_the_model_as_it_was(vlm):
    def fail(*_):
        raise ValueError("midway")

    hook = vlm.model.model.language_model.layers[-1].register_forward_hook(fail)
    with pytest.raises(ValueError, match="midway"):
        vlm.ask(PICTURE, "What?", max_tokens=2, capture=True)
    hook.remove()
    assert not any("capture" in name for name in AttentionInterface._global_mapping)
    assert vlm.model.config.text_config._attn_implementation == "sdpa"
    assert vlm.ask(PICTURE, "What?", max_tokens=2, capture=True).attention


def test_an_answer_is_saved_with_its_attention_and_loaded_without_torch(answer, tmp_path):
    answer.save(tmp_path / "a")
    again = Answer.load(tmp_path / "a")
    assert again == answer
    ours, theirs = again.attention, answer.attention
    assert np.array_equal(ours.rows(ours.tokens), theirs.rows(theirs.tokens))
    assert np.array_equal(ours.vision.map(3), theirs.vision.map(3))
    code = (
        "import sys; from workbench.answer import Answer; a = Answer.load(sys.argv[1]).attention;"
        "print(a.map(a.reply(0)).shape, a.over_time().shape, a.vision.map(0).shape);"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_saving_again_without_attention_removes_its_file(vlm, answer, tmp_path):
    answer.save(tmp_path)
    assert len(list(tmp_path.glob("attention-*.safetensors"))) == 1
    vlm.ask(PICTURE, "What?", max_tokens=2).save(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]
    with pytest.raises(InputError, match="capture=True"):
        _ = Answer.load(tmp_path).attention


def test_a_saved_answer_whose_attention_is_damaged_is_refused(answer, tmp_path):
    answer.save(tmp_path)
    (file,) = tmp_path.glob("attention-*.safetensors")
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        Answer.load(tmp_path)
    record = json.loads((tmp_path / "answer.json").read_text())
    (tmp_path / "answer.json").write_text(json.dumps({**record, "attention": "../away.safetensors"}))
    with pytest.raises(InputError, match="same folder"):
        Answer.load(tmp_path)


def test_an_answer_made_without_capture_says_what_to_do(vlm):
    answer = vlm.ask(PICTURE, "What?", max_tokens=2)
    with pytest.raises(InputError, match="capture=True"):
        _ = answer.attention


@pytest.mark.parametrize("given", ["some", 2, None])
def test_other_ways_to_capture_are_refused(vlm, given):
    with pytest.raises(InputError, match="capture="):
        vlm.ask(PICTURE, "What?", max_tokens=2, capture=given)
    with pytest.raises(InputError, match="capture="):
        vlm.ask_many([PICTURE], ["What?"], max_tokens=2, capture=given, progress=False)


def test_a_server_cannot_be_looked_into():
    served = ServerVLM.__new__(ServerVLM)
    served.name = "far away"
    for ask in (served.ask, served.stream, served.ask_many):
        with pytest.raises(CapabilityError, match="runs on a server"):
            ask(PICTURE, "What?", capture=True)


def test_an_eager_model_is_captured_too(vlm, answer):
    vlm.model.set_attn_implementation("eager")
    try:
        again = vlm.ask(PICTURE, "What is in this picture?", max_tokens=6, capture=True)
    finally:
        vlm.model.set_attn_implementation("sdpa")
    ours = again.attention.rows(again.attention.tokens)
    assert np.allclose(ours, answer.attention.rows(answer.attention.tokens), atol=1e-5)


def test_half_precision_keeps_half_the_bytes():
    half = tiny(dtype="bfloat16").ask(PICTURE, "What?", max_tokens=3, capture=True).attention
    assert half.store[0].queries.dtype == np.uint16
    assert np.allclose(half.rows(half.tokens).sum(axis=-1), 1, atol=1e-5)
