"""The contract of a model family: what asking, looking inside and scoring rely on.

It runs on every family that was registered with an example (a small random model of its real class):
``register_family(spec, example=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.errors import InputError, ModeError
from workbench.models import VLM, FamilySpec, load
from workbench.models.families import EXAMPLES, FAMILIES
from workbench.models.generate import end_ids
from workbench.models.layout import image_positions
from workbench.types import Mode, Span, Turn


@dataclass(frozen=True)
class Case:
    """A family with a small model."""

    spec: FamilySpec
    model: Any
    processor: Any

    @property
    def vlm(self) -> VLM:
        """The model as a handle."""
        return VLM(model=self.model, processor=self.processor, family=self.spec, name=self.spec.name)

    def encode(self, *conversations: Sequence[Turn], mode: Mode = Mode.AUTO) -> Any:
        """The model's inputs for some conversations."""
        return self.spec.encode(self.processor, conversations, mode=mode, config=self.model.config)

    def reply(self, inputs: Mapping[str, Any], tokens: int = 3) -> list[list[int]]:
        """The first ids of each reply."""
        out = self.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return [self.until_end(row) for row in out[:, inputs["input_ids"].shape[1] :].tolist()]

    def until_end(self, ids: Sequence[int]) -> list[int]:
        """The ids before the first one that ends a reply; what fills a batch's row comes after it."""
        ends = end_ids(self.model, self.processor.tokenizer)
        return list(ids[: next((at for at, token in enumerate(ids) if token in ends), len(ids))])

    def modes(self) -> list[Mode]:
        """The modes that are not refused."""
        return [mode for mode in Mode if not getattr(self.spec.modes.get(mode), "refused", "no")]

    def ids(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return list(self.processor.tokenizer.encode(text, add_special_tokens=False))


def built_in() -> tuple[Any, Any]:
    """The built-in model, as the example of its family."""
    vlm = load("nano", device="cpu", progress=False)
    assert isinstance(vlm, VLM)
    return vlm.model, vlm.processor


def examples() -> dict[str, Any]:
    """Name -> example, of all families that have one."""
    FAMILIES.plugged()  # loads the plug-ins
    return {"phi4-rv": built_in, **EXAMPLES}


@pytest.fixture(scope="module", params=sorted(examples()))
def case(request: pytest.FixtureRequest) -> Case:
    """Every family with an example."""
    spec = FAMILIES[request.param]
    model, processor = examples()[request.param]()
    return Case(spec.for_processor(processor, spec.name), model.eval(), processor)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, the same for the same seed."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


WIDE, TALL = picture(150, 60), picture(45, 100, 1)


def conversations() -> list[list[Turn]]:
    """One picture, none, and several in several turns."""
    return [
        [Turn("user", "What is red?", [WIDE])],
        [Turn("user", "Hello there, how much is 1 + 2?")],
        [Turn("user", "Compare.", [WIDE, TALL]), Turn("assistant", "Fine."), Turn("user", "Now?", [TALL])],
    ]


# -- the spec --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FAMILIES))
def test_the_spec_says_what_it_must(name: str) -> None:
    spec = FAMILIES[name]
    assert spec.name == name
    assert Mode.AUTO in spec.modes, "every model can reply as it likes"
    assert not spec.modes[Mode.AUTO].refused
    assert bool(spec.thought[0]) == bool(spec.thought[1]), "a thought has two ends, or none"
    for mode, rule in spec.modes.items():
        assert isinstance(mode, Mode)
        assert not (rule.refused and (rule.forced or rule.template)), "a mode is reached or refused"


def test_paths_lead_to_the_parts(case: Case) -> None:
    spec, model = case.spec, case.model
    parts = [model.get_submodule(path) for path in (spec.decoder, spec.vision_tower, spec.projector)]
    seen: list[Any] = []
    hooks = [part.register_forward_hook(lambda module, *_: seen.append(module)) for part in parts]
    model(**case.encode(conversations()[0]).inputs)
    for hook in hooks:
        hook.remove()
    assert {id(module) for module in seen} == {id(module) for module in parts}
    assert model.get_input_embeddings() in list(parts[0].modules())


# -- encoding --------------------------------------------------------------------------------------


def test_the_layout_names_image_tokens_only(case: Case) -> None:
    encoded = case.encode(*conversations())
    for ids, layout, turns in zip(encoded.prompt_ids, encoded.layouts, conversations(), strict=True):
        sizes = [image.size for turn in turns for image in turn.images]
        assert layout.length == len(ids)
        assert [grid.size for grid in layout.images] == sizes
        assert [grid.image for grid in layout.images] == list(range(len(sizes)))
        named = [g.position(row, col) for g in layout.grids for row in range(g.rows) for col in range(g.cols)]
        held = image_positions(ids, case.spec.image_ids(case.processor, case.model.config))
        assert len(set(named)) == len(named) == layout.image_tokens
        assert set(named) <= set(held)


def test_padding_is_left_and_rows_are_the_single_prompts(case: Case) -> None:
    encoded = case.encode(*conversations())
    ids, mask = encoded.inputs["input_ids"], encoded.inputs["attention_mask"]
    for number, turns in enumerate(conversations()):
        row = encoded.prompt_ids[number]
        assert ids[number, ids.shape[1] - len(row) :].tolist() == row
        assert mask[number].tolist() == [0] * (ids.shape[1] - len(row)) + [1] * len(row)
        single = case.encode(turns)
        assert single.prompt_ids == [row]
        assert single.layouts == [encoded.layouts[number]]


def test_a_batch_replies_as_its_rows_do_alone(case: Case) -> None:
    batch = case.reply(case.encode(*conversations()).inputs)
    assert batch == [case.reply(case.encode(turns).inputs)[0] for turns in conversations()]


def test_pictures_matter(case: Case) -> None:
    def logits(image: Image.Image) -> torch.Tensor:
        return case.model(**case.encode([Turn("user", "What?", [image])]).inputs).logits[0, -1]

    assert not torch.allclose(logits(WIDE), logits(picture(150, 60, seed=5)), atol=1e-3)


def controls(case: Case) -> list[str]:
    """Control strings: the special tokens, and what the family or its processor gives a meaning."""
    tokenizer = case.processor.tokenizer
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return [*dict.fromkeys([*special, *case.spec.delimiters(), "<image>", "<think>", "</think>"])]


def test_control_tokens_in_a_text_stay_text(case: Case) -> None:
    hostile = "a " + " b ".join(controls(case)) + " c"
    harmless = [Turn("user", "x", [WIDE]), Turn("assistant", "y"), Turn("user", "z", [TALL])]
    typed = [replace(turn, text=hostile) for turn in harmless]
    added = case.processor.tokenizer.get_added_vocab()
    special = {added[text] for text in controls(case) if text in added}
    before, after = case.encode(harmless), case.encode(typed)
    kept = [[i for i in encoded.prompt_ids[0] if i in special] for encoded in (before, after)]
    assert kept[0] == kept[1]
    grids = [[(g.rows, g.cols) for g in encoded.layouts[0].grids] for encoded in (before, after)]
    assert grids[0] == grids[1]
    # Nothing is lost either: each control string can be read in the prompt, three times.
    assert case.processor.tokenizer.decode(after.prompt_ids[0]).count(hostile) == 3
    # And the tokenizer that everybody uses has learned nothing.
    assert case.encode(harmless).prompt_ids == before.prompt_ids


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [Turn("user", "  ")],
        [Turn("user", "a"), Turn("assistant", "b")],
        [Turn("assistant", "b", [WIDE]), Turn("user", "a")],
    ],
    ids=["nothing", "blank", "no question", "an assistant's picture"],
)
def test_what_cannot_be_asked_is_refused(case: Case, turns: list[Turn]) -> None:
    with pytest.raises(InputError):
        case.encode(turns)


def test_history_goes_on_from_what_was_written(case: Case) -> None:
    """An earlier reply stands in the prompt as the model writes it; a template may drop its thought."""
    question, tokenizer = Turn("user", "Is it red?", [WIDE]), case.processor.tokenizer
    thinks = {Mode.AUTO: None, Mode.THINK: True, Mode.NOTHINK: False}
    for mode in case.modes():
        thought = "A first look." if mode is Mode.THINK and case.spec.thought[0] else None
        reply = Turn("assistant", "It is red.", thought=thought, thinks=thinks[mode])
        prompt = case.encode([question], mode=mode).prompt_ids[0]
        longer = case.encode([question, reply, Turn("user", "And now?")], mode=mode).prompt_ids[0]
        assert longer[: len(prompt)] == prompt
        parts = case.spec.split(case.until_end(longer[len(prompt) :]), tokenizer, mode=mode)
        assert parts.answer.startswith("It is red.")
        assert parts.thought in (thought, None)


# -- modes and replies -----------------------------------------------------------------------------


def test_modes_are_reached_or_refused(case: Case) -> None:
    turns = conversations()[0]
    for mode in Mode:
        if mode not in case.modes():
            with pytest.raises(ModeError, match=rf"mode='{mode}' with .*To do: "):
                case.encode(turns, mode=mode)
            continue
        asked = case.encode(turns, mode=mode)
        if not case.spec.modes[mode].template:  # a template may tell the mode in its question
            assert asked.prompt_ids == case.encode(turns).prompt_ids
        assert case.reply(asked.inputs)[0]


def test_a_reply_is_taken_apart(case: Case) -> None:
    plain, end = case.ids("the answer is red"), [case.processor.tokenizer.eos_token_id]
    reply = case.spec.split([*plain, *end], case.processor.tokenizer)
    assert (reply.thought, reply.answer) == (None, "the answer is red")
    assert reply.answer_span == Span(0, len(plain))
    if not case.spec.thought[0]:
        return
    encoded, thought = case.encode(conversations()[0]), case.ids("first look")
    opening, closing = encoded.think_open, encoded.think_close
    reply = case.spec.split([*opening, *thought, *closing, *plain, *end], case.processor.tokenizer)
    assert (reply.thought, reply.answer, reply.closed) == ("first look", "the answer is red", True)
    cut = case.spec.split([*opening, *thought], case.processor.tokenizer)
    assert (cut.thought, cut.answer, cut.closed) == ("first look", "", False)


def test_asking_through_the_handle(case: Case) -> None:
    for mode in case.modes():
        answer = case.vlm.ask(WIDE, "Is it red?", mode=mode, max_tokens=6)
        assert answer.mode is mode
        assert answer.layout is not None
        assert answer.image_tokens == answer.layout.image_tokens > 0
        assert (answer.p_think is None) == (not case.spec.thought[0])
    entries, questions = [WIDE, None, [TALL, WIDE]], ["a", "b", "c"]
    single = [case.vlm.ask(i, q, max_tokens=3) for i, q in zip(entries, questions, strict=True)]
    batch = case.vlm.ask_many(entries, questions, max_tokens=3, progress=False)
    assert [answer.token_ids for answer in batch] == [answer.token_ids for answer in single]
    assert [len(answer.layout.images) for answer in batch if answer.layout] == [1, 0, 2]


def test_attention_can_be_captured(case: Case) -> None:
    answer = case.vlm.ask(WIDE, "Is it red?", max_tokens=3, capture=True)
    for layer in answer.attention.layers:
        row = answer.attention.row(answer.prompt_tokens, layer, 0)
        assert row.sum() == pytest.approx(1.0, abs=1e-3)
