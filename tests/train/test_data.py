"""Conversations for training: the pixels that the processor gives, and labels where they belong."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch

from workbench import synth
from workbench.synth.canvas import Canvas
from workbench.synth.wordings import NAMES
from workbench.train import data
from workbench.train.data import (
    CONTROL,
    THINKING,
    Encoder,
    Mix,
    batches,
    bucketed,
    build_tokenizer,
    examples,
    patchify,
)
from workbench.train.nano import nano_encoder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return nano_encoder(build_tokenizer(n_images=40))


def test_tokenizer_is_deterministic_and_whole(encoder: Encoder) -> None:
    again = build_tokenizer(n_images=40)
    assert again.to_str() == encoder.tokenizer.to_str()
    assert again.encode("What is 37?").tokens[-2:] == ["Ġ37", "?"]
    assert all(len(again.encode(f" {n}").ids) == 1 for n in range(100))
    for token in (*CONTROL, *THINKING):
        assert again.encode(f"a{token}b").ids.count(again.token_to_id(token)) == 1
    text = "Ünïcode → ✓ [0.1250, 0.5000] <b>"
    assert again.decode(again.encode(text).ids) == text


def test_patchify_is_the_image_processors_layout() -> None:
    from workbench.models.phi4_rv import Phi4RVImageProcessor

    sample = synth.sample("bar_value", 1, seed=0)[0]
    picture = sample.images[0]
    out = Phi4RVImageProcessor(min_num_patches=1, max_num_patches=128)(images=[picture], return_tensors="pt")
    mine = patchify(np.asarray(picture)) * np.float32(2 / 255) - 1
    assert out["spatial_shapes"].tolist() == [[picture.height // 16, picture.width // 16]]
    np.testing.assert_allclose(out["pixel_values"][0, : len(mine)].numpy(), mine, atol=1e-6)


@pytest.mark.parametrize("thinks", [True, False])
@pytest.mark.parametrize("family", ["gui_links", "shape_change"])
def test_only_replies_are_learned_and_only_natural_modes(encoder: Encoder, family: str, thinks: bool) -> None:
    drawing, _ = synth.draw(family, seed=7)
    mix = Mix(think_steps=float(thinks), think_look=float(thinks), questions=2)
    example = encoder.start()
    encoder.add(example, drawing, family=family, rng=random.Random(0), mix=mix)
    several = synth.FAMILIES[family].several_steps
    learned = [i for i, label in enumerate(example.labels) if label != -100]
    assert all(example.labels[i] == example.ids[i] for i in learned)
    opener = encoder.think if thinks else encoder.direct
    at = [i for i, token in enumerate(example.ids) if token == opener]
    assert len(at) == len(drawing.questions[:2])
    assert [i in learned for i in at] == [thinks == several] * len(at)
    assert [example.labels[i] for i in learned].count(encoder.end) == len(at)
    assert example.ids.count(encoder.image_token) == sum(len(p) for p in example.patches)
    text = encoder.tokenizer.decode([example.labels[i] for i in learned], skip_special_tokens=False)
    for question in drawing.questions[:2]:
        assert f" {question.answer}<|im_end|>" in text
        assert (question.trace in text) == thinks


def test_batches_are_seeded_and_padded(encoder: Encoder) -> None:
    mix = Mix(weights={"chain": 1, "shape_change": 1})
    (first,), (second,) = (next(batches(encoder, mix, seed="a", size=4)) for _ in range(2))
    (other,) = next(batches(encoder, mix, seed="b", size=4))
    assert torch.equal(first.input_ids, second.input_ids)
    assert torch.equal(first.pixel_values, second.pixel_values)
    assert first.input_ids.shape != other.input_ids.shape or not torch.equal(first.input_ids, other.input_ids)
    assert ((first.input_ids == encoder.pad) == (first.attention_mask == 0)).all()
    assert (first.input_ids == encoder.image_token).sum() == first.pixel_attention_mask.sum()
    assert (first.pixel_attention_mask.sum(1) == first.spatial_shapes.prod(1)).all()
    assert (first.content[first.pixel_attention_mask == 0] == -100).all()


def test_every_step_has_its_conversations_in_batches_of_like_lengths(encoder: Encoder) -> None:
    drawn = list(islice(examples(encoder, Mix(), "deal"), 3 * 21))
    dealing = [bucketed(drawn, 3, random.Random(seed), encoder.pad) for seed in (0, 0, 1)]
    for steps in dealing:
        assert [[len(batch.input_ids) for batch in step] for step in steps] == [[11, 10]] * 3
        rows = [
            row[mask.bool()].tolist()
            for step in steps
            for b in step
            for row, mask in zip(b.input_ids, b.attention_mask, strict=True)
        ]
        assert sorted(rows) == sorted(example.ids for example in drawn), "each conversation once"
        slots = sum(batch.attention_mask.numel() for step in steps for batch in step)
        assert slots - sum(map(len, rows)) < 0.1 * slots, "less than a tenth is padding"
    first, again, other = ([[tuple(b.input_ids.shape) for b in step] for step in one] for one in dealing)
    assert first == again
    assert first != other


def test_content_of_a_patch_stays_with_its_patch(encoder: Encoder) -> None:
    canvas = Canvas(32, 32)
    canvas.text((24, 8), "5", size=12, kind="number")
    drawing = synth.draw("chain", seed=0)[0]
    drawing.canvases = [canvas]
    example = encoder.start()
    encoder.add(example, drawing, family="chain", rng=random.Random(0), mix=Mix())
    dark = [p.min() < 128 for p in example.patches[0]]
    assert dark == [False, True, False, False]
    assert [c[0] != -100 for c in example.content[0]] == dark


def names_at(example, positions: list[int], aspect: int) -> list[str]:
    """What the patches at some positions of a conversation are told to show."""
    content = np.concatenate(example.content)
    return [NAMES[i] if (i := content[p][aspect]) >= 0 else "" for p in positions]


@pytest.mark.parametrize("family", ["shape_colour", "read_sign", "gui_state", "table_value"])
def test_a_reply_is_guided_to_patches_that_show_its_answer(encoder: Encoder, family: str) -> None:
    for seed in range(10):
        drawing, _ = synth.draw(family, seed=seed)
        example = encoder.start()
        encoder.add(
            example, drawing, family=family, rng=random.Random(0), mix=Mix(questions=1, think_look=0.0)
        )
        answer = drawing.questions[0].answer
        images = [i for i, token in enumerate(example.ids) if token == encoder.image_token]
        assert [look.kind for look in example.looks] == [0]
        look = example.looks[0]
        assert example.ids[look.position] == encoder.direct, "the answer's token is told by the one before it"
        seen = [images.index(position) for position in look.seen]
        shown = [set(names) for names in zip(*(names_at(example, seen, a) for a in range(3)), strict=True)]
        assert all(answer in names for names in shown), (answer, shown)


def test_a_second_picture_is_guided_to_the_same_place_of_the_first(encoder: Encoder) -> None:
    drawing, _ = synth.draw("shape_change", seed=1)
    example = encoder.start()
    encoder.add(example, drawing, family="shape_change", rng=random.Random(0), mix=Mix(think_look=0.0))
    pairs = [look for look in example.looks if look.kind == 1]
    images = [i for i, token in enumerate(example.ids) if token == encoder.image_token]
    half = len(images) // 2
    assert [(p.position, *p.seen) for p in pairs] == list(zip(images[half:], images[:half], strict=True))


def test_a_thought_of_several_steps_is_not_guided(encoder: Encoder) -> None:
    drawing, _ = synth.draw("gui_links", seed=1)
    example = encoder.start()
    encoder.add(example, drawing, family="gui_links", rng=random.Random(0), mix=Mix())
    assert not example.looks


def test_a_large_picture_takes_no_questions_place(encoder: Encoder) -> None:
    drawing, _ = synth.draw("icon_find", seed=1, difficulty=3)
    example = encoder.start()
    encoder.add(
        example,
        drawing,
        family="icon_find",
        rng=random.Random(0),
        mix=Mix(think_look=0.0, questions=6, budget=300),
    )
    assert example.ids.count(encoder.image_token) == 256
    assert example.ids.count(encoder.direct) == 5, "as many as beside a picture of 80 tokens"
    assert encoder.replies(torch.tensor([example.ids])) == 5
    short = encoder.start()
    encoder.add(
        short,
        drawing,
        family="icon_find",
        rng=random.Random(0),
        mix=Mix(think_look=0.0, questions=6, budget=100),
    )
    assert short.ids.count(encoder.direct) == 1, "full at the text's share all the same"


def test_a_pool_that_a_process_sends_is_what_it_drew(encoder: Encoder) -> None:
    drawn = data.pool_of(encoder, Mix(), "pack", size=5)
    sent = [[data._unpacked(one) for one in step] for step in data._packed_pool(encoder, Mix(), "pack", 5)]
    for step, other in zip(drawn, sent, strict=True):
        for batch, again in zip(step, other, strict=True):
            for name, tensor in vars(batch).items():
                assert torch.equal(tensor, getattr(again, name)), name
                assert tensor.dtype == getattr(again, name).dtype


def test_a_share_of_the_drawings_is_of_the_first_world(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds = []
    draw = data.synth.draw

    def drawn(family: str, *, world: data.World, **options: object) -> object:
        worlds.append(world.version)
        return draw(family, world=world, **options)

    monkeypatch.setattr(data.synth, "draw", drawn)
    mix = Mix(weights={"read_sign": 1.0}, world=data.World(2), grid=0.5, again=0.0)
    list(islice(examples(encoder, mix, "grid"), 40))
    assert 10 < worlds.count(1) < 30
    assert worlds.count(1) + worlds.count(2) == 40
