"""Captured rows are those of eager attention, for every family, cache and batch; nothing is left behind."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny_families import Case, picture
from transformers import AttentionInterface, AttentionMaskInterface

from workbench.errors import CapabilityError, InputError
from workbench.models.capture import (
    Capture,
    DecoderLayer,
    StepMasks,
    attention_record,
    check_capture,
    token_texts,
    tower_records,
)
from workbench.types import Turn

LONG = "Read the red value and answer in one word, please. " * 5
REPLY = 6


def conversations(case: Case) -> list[list[Turn]]:
    """Two of different length, so that one is padded."""
    return [
        [Turn("user", "What is in this picture?", [picture(60, 44)])],
        [Turn("user", LONG, [picture(50, 70, seed=1)])],
    ]


def generate(case: Case, inputs: dict[str, torch.Tensor], **options) -> torch.Tensor:
    with torch.no_grad():
        return case.model.generate(
            **inputs,
            max_new_tokens=REPLY,
            min_new_tokens=REPLY,
            do_sample=False,
            disable_compile=True,
            return_dict_in_generate=True,
            output_logits=True,
            **options,
        )


@pytest.fixture
def eager(case, monkeypatch):
    """The weights that eager attention forms, by module, in the order of its calls."""
    weights: dict[int, list[torch.Tensor]] = {}
    files = {type(module).__module__ for module in case.model.modules()}
    for name in files:
        own = getattr(sys.modules[name], "eager_attention_forward", None)
        if own is None:
            continue

        def spy(module, *args, own=own, **kwargs):
            out = own(module, *args, **kwargs)
            weights.setdefault(id(module), []).append(out[1].detach())
            return out

        monkeypatch.setattr(sys.modules[name], "eager_attention_forward", spy)
    case.model.set_attn_implementation("eager")
    yield weights
    case.model.set_attn_implementation("sdpa")


def captured(case: Case, encoded, *, prompt_rows: bool = False, **options) -> tuple[Capture, torch.Tensor]:
    case.model.set_attn_implementation("sdpa")
    spec = case.spec
    with Capture(
        case.model, decoder=spec.decoder, tower=spec.vision_tower, prompt_rows=prompt_rows
    ) as capture:
        return capture, generate(case, encoded.inputs, **options)


def record(case: Case, capture: Capture, encoded, number: int, reply: int = REPLY):
    prompt = len(encoded.prompt_ids[number])
    return attention_record(
        capture,
        number,
        prompt=prompt,
        padded=encoded.inputs["input_ids"].shape[1],
        reply=reply,
        layout=encoded.layouts[number],
        texts=[""] * (prompt + reply),
    )


def eager_row(
    weights: list[torch.Tensor], read: list[int], number: int, at: int, pad: int, positions: int
) -> np.ndarray:
    """The eager row of the query at padded position ``at``, without the padding ``[heads, positions]``.

    Args:
        weights: of one layer, step by step, for the last positions that the step read.
        read: how many each step read.
    """
    end = 0
    for step, new in zip(weights, read, strict=True):
        end += new
        if at < end:
            row = step[number, :, at - end]
            offset = max(0, end - row.shape[-1])
            full = torch.zeros(row.shape[0], max(end, pad + positions))
            full[:, offset : offset + row.shape[-1]] = row[:, : full.shape[1] - offset]
            return full[:, pad : pad + positions].numpy()
    raise AssertionError(f"no row at {at}")


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_rows_are_those_of_eager_attention_in_a_padded_batch(case, eager, cache):
    encoded = case.encode(*conversations(case))
    padded = encoded.inputs["input_ids"].shape[1]
    theirs = generate(case, encoded.inputs)
    rows = {key: list(value) for key, value in eager.items()}
    for prompt_rows in (False, True):
        options = {} if cache == "dynamic" else {"cache_implementation": "static"}
        capture, ours = captured(case, encoded, prompt_rows=prompt_rows, **options)
        assert torch.equal(ours.sequences, theirs.sequences)
        assert set(capture.decoder) <= set(rows)
        for number in range(2):
            attention = record(case, capture, encoded, number)
            pad = padded - len(encoded.prompt_ids[number])
            assert attention.tokens.start == (1 if prompt_rows else len(encoded.prompt_ids[number]))
            got = attention.rows(attention.tokens)
            modules = {layer.number: module for module, layer in capture.decoder.items()}
            read = [step.shape[2] for step in rows[modules[min(modules)]]]
            if case.name == "gemma4":  # its last two layers are asked for a prompt's last position alone
                assert list(attention.layers) == ([0, 1] if prompt_rows else [0, 1, 2, 3])
            if case.name == "gemma3" and number == 1:
                assert attention.masks, "longer than the sliding window"
            assert np.allclose(got.sum(-1), 1, atol=1e-5)
            for i, layer in enumerate(attention.layers):
                for j, token in enumerate(attention.tokens):
                    own, at = rows[modules[layer]], token - 1 + pad
                    want = eager_row(own, read, number, at, pad, attention.positions)
                    # Gemma 4 multiplies its scores by nothing: they are larger, and so is what is rounded.
                    near = 3e-5 if case.name == "gemma4" else 1e-5
                    assert np.abs(got[i, :, j] - want).max() < near, (number, i, token)


def test_logits_are_not_touched_and_nothing_is_left_behind(case):
    encoded = case.encode(*conversations(case))
    case.model.set_attn_implementation("sdpa")
    before = (dict(AttentionInterface._global_mapping), dict(AttentionMaskInterface._global_mapping))
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in case.model.modules()]
    plain = generate(case, encoded.inputs)
    _, ours = captured(case, encoded)
    assert torch.equal(torch.stack(plain.logits), torch.stack(ours.logits))
    assert (AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping) == before
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in case.model.modules()] == hooks
    configs = [m.config for m in case.model.modules() if hasattr(m, "config")]
    assert {c._attn_implementation for c in configs} == {"sdpa"}


def test_an_error_or_an_interruption_leaves_nothing_behind(case):
    encoded = case.encode(conversations(case)[0])
    case.model.set_attn_implementation("sdpa")
    before = dict(AttentionInterface._global_mapping)
    last = list(case.model.get_submodule(case.spec.decoder).layers)[-1]
    for error in (RuntimeError("midway"), KeyboardInterrupt()):

        def fail(*_, error=error):
            raise error

        hook = last.register_forward_pre_hook(fail)
        with pytest.raises(type(error)):
            captured(case, encoded)
        hook.remove()
        assert AttentionInterface._global_mapping == before
        assert case.model.config._attn_implementation == "sdpa"
        assert case.model.config.get_text_config()._attn_implementation == "sdpa"


def test_the_towers_rows_are_those_of_eager_attention(case, eager):
    encoded = case.encode(*conversations(case))
    generate(case, encoded.inputs)
    rows = {key: list(value) for key, value in eager.items()}
    capture, _ = captured(case, encoded)
    tower = case.model.get_submodule(case.spec.vision_tower)
    order = case.spec.patch_order(tower, encoded.inputs)
    crops = [case.spec.crops(case.processor, layout) for layout in encoded.layouts]
    records = tower_records(capture, crops, order)
    assert all(records)
    for i, module in enumerate(capture.tower):
        blocks = []
        for call in rows[module]:
            for one in call:
                seen = one[0, 0] > 0  # padding gets exactly nothing
                blocks.append(one[:, seen][:, :, seen])
        full = torch.stack([torch.block_diag(*(b[h] for b in blocks)) for h in range(len(blocks[0]))])
        if order is not None:
            full = full[:, order][:, :, order]
        start = 0
        for attention in records:
            stop = start + attention.positions
            got = attention.rows(attention.tokens, layers=i)[0]
            assert np.abs(got - full[:, start:stop, start:stop].numpy()).max() < 1e-5
            start = stop
        assert start == full.shape[1]


def test_a_painted_patch_of_the_tower_is_the_one_that_its_grid_names(case):
    """At the first layer a patch's key depends on its own pixels alone."""
    noise = np.random.default_rng(0).integers(100, 150, (60, 150, 3), dtype=np.uint8)
    base = Image.fromarray(noise)

    def keys(image):
        encoded = case.encode([Turn("user", "x", [image])])
        capture, _ = captured(case, encoded)
        order = case.spec.patch_order(case.model.get_submodule(case.spec.vision_tower), encoded.inputs)
        (made,) = tower_records(capture, [case.spec.crops(case.processor, encoded.layouts[0])], order)
        return made, made.store[0].keys

    made, plain = keys(base)
    rng, tried = np.random.default_rng(1), 0
    for grid in made.layout.grids[:4]:
        for _ in range(4):
            cell = int(rng.integers(grid.rows)), int(rng.integers(grid.cols))
            x1, y1, x2, y2 = grid.box(*cell)
            if min(x1, y1) < 0 or x2 > 150 or y2 > 60:
                continue
            painted = base.copy()
            dx, dy = (x2 - x1) / 5, (y2 - y1) / 5
            inner = [round(x1 + dx), round(y1 + dy), round(x2 - dx) - 1, round(y2 - dy) - 1]
            if inner[0] > inner[2] or inner[1] > inner[3]:
                continue  # a patch of less than two pixels
            ImageDraw.Draw(painted).rectangle(inner, fill=(255, 0, 0))
            change = np.linalg.norm(keys(painted)[1] - plain, axis=(0, 2))
            own = np.array([grid.position(r, c) for r in range(grid.rows) for c in range(grid.cols)])
            assert grid.cell(int(own[change[own].argmax()])) == cell
            tried += 1
    assert tried >= 4


def test_a_reply_that_ended_early_has_the_rows_of_its_tokens(case):
    encoded = case.encode(*conversations(case))
    capture, _ = captured(case, encoded)
    whole, part = record(case, capture, encoded, 0), record(case, capture, encoded, 0, reply=2)
    assert len(part.tokens) == 2
    seen = whole.rows(part.tokens)[..., : part.positions]
    assert np.allclose(part.rows(part.tokens), seen, atol=1e-6)


def test_a_cache_that_forgets_is_refused():
    layer = DecoderLayer(1.0, None, prompt_rows=False)
    q, k = torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8)
    layer.take(q, k, None, StepMasks())
    with pytest.raises(CapabilityError, match="one sequence"):
        layer.take(q, k, None, StepMasks())


def test_a_bias_in_the_mask_is_refused():
    layer = DecoderLayer(1.0, None, prompt_rows=True)
    q, k = torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8)
    layer.take(q, k, torch.full((1, 1, 4, 4), -0.5), StepMasks())
    capture = type("Kept", (), {"decoder": {0: layer}, "prompt_rows": True})()
    with pytest.raises(CapabilityError, match="bias"):
        attention_record(capture, 0, prompt=4, padded=4, reply=1, layout=None, texts=[])


def test_bfloat16_is_kept_bit_by_bit():
    from workbench.attention.record import unpack
    from workbench.models.capture import to_numpy

    tensor = torch.randn(2, 3, 4).bfloat16()
    assert to_numpy(tensor).dtype == np.uint16
    assert np.array_equal(unpack(to_numpy(tensor)), tensor.float().numpy())


def test_texts_of_tokens_join_to_the_reply(case):
    tokenizer = case.processor.tokenizer
    reply = tokenizer.encode("Read the red välue 😀, please.", add_special_tokens=False)
    texts = token_texts(tokenizer, reply[:3], reply)
    assert len(texts) == 3 + len(reply)
    assert "".join(texts[3:]) == tokenizer.decode(reply)


def test_only_the_thread_that_opened_it_is_captured(case):
    encoded = case.encode(conversations(case)[0])
    case.model.set_attn_implementation("sdpa")
    with Capture(case.model, decoder=case.spec.decoder) as capture:
        other = threading.Thread(target=lambda: generate(case, encoded.inputs))
        other.start()
        other.join()
    assert not capture.decoder


@pytest.mark.parametrize("given", ["yes", 1, None, "ALL"])
def test_ways_to_capture_are_named(given):
    with pytest.raises(InputError, match="all"):
        check_capture(given)


def test_a_model_without_the_decoder_is_refused(case):
    with pytest.raises(CapabilityError, match="no nowhere"):
        Capture(case.model, decoder="nowhere")
