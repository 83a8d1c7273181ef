"""The contract that every family keeps, on tiny random models of its real classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_families
import torch
from tiny_families import Case, picture
from transformers import AutoModelForImageTextToText, Cache

import workbench
from workbench import interpret
from workbench.attention.select import check_image
from workbench.errors import CapabilityError, InputError, LoadError, ModeError
from workbench.interpret.replay import Replay
from workbench.models.build import torchvision_works
from workbench.models.families import FAMILIES, GENERAL, family_named, family_of, register_family
from workbench.models.memory_plan import kv_cache
from workbench.types import Mode, TokenLayout, Turn

WIDE, TALL = picture(150, 60), picture(45, 100, 1)


def conversations() -> list[list[Turn]]:
    """One picture, none, and several in several turns."""
    return [
        [Turn("user", "What is red?", [WIDE])],
        [Turn("user", "Hello there, how much is 1 + 2?")],
        [Turn("user", "Compare.", [WIDE, TALL]), Turn("assistant", "Fine."), Turn("user", "Now?", [TALL])],
    ]


def test_family_is_the_one_it_says(case):
    served = {
        "qwen3-vl-thinking": "qwen3-vl",
        "idefics3": "smolvlm",
        "general-switch": "general",
        "general-string": "general",
        "glm-4.5v": "glm-4v",
    }
    assert case.spec.name == served.get(case.name, case.name)


def test_ids_are_the_processors_own_for_harmless_text(case):
    template = case.processor.tokenizer.chat_template or case.processor.chat_template
    question = "Is it red, or 3.5 times  larger?\n\nSay why."
    turns = [Turn("user", question, [WIDE])]
    text = case.processor.tokenizer.apply_chat_template(
        case.spec.messages(turns, case.processor),
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
    opened = {"qwen3-vl-thinking": "<think>\n", "qwen3.5": "<think>\n", "gemma4": "<|channel>"}
    if case.name in opened:  # what opens a reply is forced, and apart
        text, _, _ = text.partition(opened[case.name])
    more = {"add_special_tokens": False} if case.name.startswith("gemma") else {}
    theirs = case.processor(text=[text], images=[[WIDE]], return_tensors="pt", **more)
    assert case.encode(turns).prompt_ids == theirs["input_ids"].tolist()


def controls(case: Case) -> list[str]:
    """Control strings of a family: everything that its tokenizer or processor gives a meaning."""
    tokens = [token.content for token in case.processor.tokenizer.added_tokens_decoder.values()]
    known = ["\n\n", "<table>"]  # ordinary text that Gemma's vocabulary carries as added tokens
    known += ["<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>"]  # and what GLM writes in replies
    return [*(t for t in tokens if t not in known), "<image>", "<think>", "</think>"]


def test_control_tokens_in_a_text_stay_text(case):
    hostile = "a " + " b ".join(controls(case)) + " c"
    harmless = [Turn("user", "x", [WIDE]), Turn("assistant", "y"), Turn("user", "z", [TALL])]
    typed = [replace(turn, text=hostile) for turn in harmless]
    added = case.processor.tokenizer.get_added_vocab()
    special = {added[text] for text in controls(case) if text in added}
    before, after = case.encode(harmless), case.encode(typed)
    assert [i for i in before.prompt_ids[0] if i in special] == [
        i for i in after.prompt_ids[0] if i in special
    ]
    assert [(g.rows, g.cols) for g in before.layouts[0].grids] == [
        (g.rows, g.cols) for g in after.layouts[0].grids
    ]
    assert len(case.generate(after.inputs)[0]) >= 1
    # Nothing is lost either: each control string can be read in the prompt, three times.
    text = case.processor.tokenizer.decode(after.prompt_ids[0])
    assert text.count(hostile) == 3
    # And the tokenizer that everybody uses has learned nothing.
    assert case.encode(harmless).prompt_ids == before.prompt_ids
    assert len(case.processor.tokenizer) <= case.model.config.get_text_config().vocab_size


def test_control_tokens_in_a_batch_keep_the_other_rows(case):
    hostile = [Turn("user", f"{controls(case)[0]} and {controls(case)[-1]}", [TALL])]
    plain = conversations()[0]
    both = case.encode(plain, hostile)
    assert both.prompt_ids == [case.encode(plain).prompt_ids[0], case.encode(hostile).prompt_ids[0]]
    assert case.generate(both.inputs)[0] == case.generate(case.encode(plain).inputs)[0]


THINKS = {"phi4-rv", "qwen3-vl-thinking", "qwen3.5", "glm-4v", "glm-4.5v", "gemma4", "general-switch"}
SWITCHES = {"phi4-rv", "qwen3.5", "glm-4.5v", "gemma4", "general-switch"}
TOLD = {("gemma4", Mode.THINK): "<|think|>", ("glm-4.5v", Mode.NOTHINK): "/nothink"}  # in the question
DIRECT = {"qwen2.5-vl", "qwen3-vl", "gemma3", "idefics3", "smolvlm", "llava-onevision", "internvl"}


def test_modes_are_expressed_or_refused(case):
    turns = conversations()[0]
    auto = case.encode(turns)
    for mode, able in ((Mode.THINK, THINKS), (Mode.NOTHINK, DIRECT | SWITCHES)):
        if case.name not in able:
            with pytest.raises(ModeError, match=rf"mode='{mode}' with .*To do: "):
                case.encode(turns, mode=mode)
            continue
        asked = case.encode(turns, mode=mode)
        told = case.processor.tokenizer.decode(asked.prompt_ids[0])
        assert TOLD.get((case.name, mode), "") in told
        if (case.name, mode) not in TOLD:
            assert asked.prompt_ids == auto.prompt_ids  # so that p_think can be read in every mode
        assert len(case.generate(asked.inputs)[0]) >= 1


def test_forced_tokens(case):
    turns = conversations()[0]
    decode = case.processor.tokenizer.decode
    expected = {
        "phi4-rv": {Mode.AUTO: "", Mode.THINK: "<think>", Mode.NOTHINK: "<|dummy_84|>"},
        "qwen3-vl-thinking": {Mode.AUTO: "<think>\n", Mode.THINK: "<think>\n"},
        "qwen3.5": {Mode.AUTO: "<think>\n", Mode.THINK: "<think>\n", Mode.NOTHINK: "<think>\n\n</think>\n\n"},
        "glm-4v": {Mode.AUTO: "", Mode.THINK: "<think>"},
        "glm-4.5v": {Mode.AUTO: "", Mode.THINK: "<think>", Mode.NOTHINK: "<think></think>\n"},
        "gemma4": {
            Mode.AUTO: "<|channel>thought\n<channel|>",  # its template's default
            Mode.THINK: "",
            Mode.NOTHINK: "<|channel>thought\n<channel|>",
        },
        "general-switch": {Mode.AUTO: "", Mode.THINK: "<think>", Mode.NOTHINK: "<think>\n\n</think>\n\n"},
    }.get(case.name, {Mode.AUTO: ""})
    for mode, text in expected.items():
        assert decode(case.encode(turns, mode=mode).forced) == text


def test_refusal_names_the_other_checkpoint(case):
    if case.name == "qwen3-vl":
        with pytest.raises(ModeError, match="Thinking checkpoint.*Qwen3-VL-8B-Thinking"):
            case.spec.check_mode(Mode.THINK, "mine")
    if case.name == "qwen3-vl-thinking":
        with pytest.raises(ModeError, match="Instruct checkpoint.*Qwen3-VL-8B-Instruct"):
            case.spec.check_mode(Mode.NOTHINK, "mine")


def test_split_of_replies(case):
    tokenizer = case.processor.tokenizer
    plain = tokenizer.encode("the answer is red", add_special_tokens=False)
    end = [tokenizer.eos_token_id]
    reply = case.spec.split([*plain, *end], tokenizer)
    assert (reply.thought, reply.answer) == (None, "the answer is red")
    assert list(reply.answer_span) == list(range(len(plain)))
    if not case.spec.thought[0]:
        return
    encoded = case.encode(conversations()[0])
    thought = tokenizer.encode("first look", add_special_tokens=False)
    opening, closing = encoded.think_open, encoded.think_close
    reply = case.spec.split([*opening, *thought, *closing, *plain, *end], tokenizer)
    assert (reply.thought, reply.answer, reply.closed) == ("first look", "the answer is red", True)
    first = len(opening)
    assert list(reply.thought_span) == list(range(first, first + len(thought)))
    last = first + len(thought) + len(closing)
    assert list(reply.answer_span) == list(range(last, last + len(plain)))
    cut = case.spec.split([*opening, *thought], tokenizer)
    assert (cut.thought, cut.answer, cut.closed, len(cut.answer_span)) == ("first look", "", False, 0)


def test_system_message_is_shown_or_refused(case):
    turns = [Turn("system", "Be brief and kind."), Turn("user", "Hi.", [WIDE])]
    if case.name == "phi4-rv":
        with pytest.raises(InputError, match="system's turn that this model's chat template leaves out"):
            case.encode(turns)
    else:
        text = case.processor.tokenizer.decode(case.encode(turns).prompt_ids[0])
        assert "Be brief and kind." in text


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([], "ends with no turn"),
        ([Turn("user", "  ")], "an empty question"),
        ([Turn("user", "a"), Turn("assistant", "b")], "ends with a assistant's turn"),
        ([Turn("assistant", "b", [WIDE]), Turn("user", "a")], "pictures in a assistant's turn"),
    ],
)
def test_conversations_that_cannot_be_asked(case, turns, message):
    with pytest.raises(InputError, match=message):
        case.encode(turns)


def test_too_many_pictures(case):
    narrow = replace(case.spec, max_images=1)
    with pytest.raises(InputError, match="2 pictures.*at most 1"):
        narrow.encode(case.processor, [[Turn("user", "x", [WIDE, TALL])]], config=case.model.config)


def test_image_budget(case):
    big = [Turn("user", "x", [picture(400, 300)])]
    before = case.encode(big).layouts[0].image_tokens
    if case.name == "gemma4":
        with pytest.raises(CapabilityError, match="image budget.*at least 70 tokens.*70, 140, 280"):
            case.spec.with_image_tokens(case.processor, 40)
        more = case.spec.with_image_tokens(case.processor, 300)  # 280 of them
        layout = case.spec.encode(more, [big], config=case.model.config).layouts[0]
        assert 2 * before < layout.image_tokens <= 280
        assert case.encode(big).layouts[0].image_tokens == before
        return
    if case.name in ("gemma3", "llava-onevision", "general", "general-switch", "general-string"):
        with pytest.raises(CapabilityError, match="image budget"):
            case.spec.with_image_tokens(case.processor, 40)
        return
    fewer = case.spec.with_image_tokens(case.processor, 40)
    layout = case.spec.encode(fewer, [big], config=case.model.config).layouts[0]
    assert 0 < layout.image_tokens <= 40 < before
    assert case.encode(big).layouts[0].image_tokens == before  # the processor itself is as it was


def test_unknown_type_gets_the_general_family():
    assert family_of("some_new_model") is GENERAL
    assert GENERAL.note


def test_each_model_type_has_one_family():
    types = [model_type for spec in FAMILIES.values() for model_type in spec.model_types]
    assert len(types) == len(set(types))
    assert all(spec.name == name for name, spec in FAMILIES.items())


def test_a_registered_family_is_looked_up_and_cannot_take_what_others_serve():
    mine = replace(GENERAL, name="mine", model_types=("my_model",))
    assert register_family(mine) is mine
    assert family_of("my_model") is family_named("mine") is family_named("my_model") is mine
    assert register_family(replace(mine, note="again")).note == family_named("mine").note == "again"
    with pytest.raises(InputError, match=r"model_types=\['gemma3'\].*'gemma3' serves.*family='other'"):
        register_family(replace(mine, name="other", model_types=("gemma3", "another")))
    with pytest.raises(InputError, match="'gemma3', which belongs to the workbench"):
        register_family(replace(mine, name="gemma3", model_types=()))
    with pytest.raises(InputError, match="a family of type str"):
        register_family("mine")
    with pytest.raises(InputError, match="one of 'phi4-rv'.*'mine'"):
        family_named("yours")


def test_a_model_whose_layout_is_not_understood_is_asked_all_the_same(tmp_path):
    """Five pieces of image tokens for one picture: no maps, but answers."""
    folder = tiny_families.build("aya-vision", tmp_path)
    vlm = workbench.load(folder, device="cpu", progress=False)
    answer = vlm.ask(WIDE, "What?", max_tokens=2, capture=True)
    assert answer.layout is None
    assert answer.image_tokens == answer.prompt_ids.count(vlm.processor.image_token_id) > 16
    assert answer.attention.row(answer.prompt_tokens, 0, 0).sum() == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(InputError, match="an answer about a picture"):
        answer.attention.map(answer.prompt_tokens)
    assert answer.save(tmp_path / "saved")
    assert workbench.Answer.load(tmp_path / "saved").layout is None
    batch = vlm.ask_many([WIDE, None], "What?", max_tokens=2, progress=False)
    assert [one.token_ids for one in batch][0] == answer.token_ids
    assert batch[1].layout is not None


NOT_BUILT = {"mistral3": "PixtralProcessor requires the Torchvision", "llama4": "Llama4ImageProcessor"}
"""Processors of Transformers that are there for torchvision alone, and what is said without it."""


def opened(name: str, folder: Path) -> workbench.VLM:
    """A model of no family here, ready to be asked."""
    if name in NOT_BUILT and not torchvision_works():
        with pytest.raises(LoadError, match=NOT_BUILT[name] + ".*that matches torch"):
            workbench.load(folder, device="cpu", progress=False)
        if name == "llama4":
            return tiny_families.open_llama4(folder)
        pytest.skip("Pixtral's processor imports torchvision; without it the plan alone is compared")
    return workbench.load(folder, device="cpu", progress=False)


def check_rows(vlm: workbench.VLM, answer: workbench.Answer) -> None:
    """Captured rows are those of one eager pass over everything."""
    vlm.model.set_attn_implementation("eager")
    with torch.inference_mode():
        inputs = Replay.of(vlm, answer).inputs
        eager = vlm.model(**inputs, output_attentions=True, use_cache=False).attentions
    vlm.model.set_attn_implementation("sdpa")
    assert list(answer.attention.layers) == list(range(len(eager)))
    for token in answer.attention.tokens:
        rows = answer.attention.rows(token)[:, :, 0]
        whole = torch.stack([layer[0, :, token - 1] for layer in eager])
        assert np.abs(rows - whole[..., : rows.shape[-1]].numpy()).max() < 1e-4, token


def test_a_large_gemma4_sees_pictures_both_ways(tmp_path):
    """Keys that are values, experts, no shared layers, and image tokens that see each other."""
    more = {"use_bidirectional_attention": "vision", "attention_k_eq_v": True, "num_kv_shared_layers": 0}
    more |= {"num_global_key_value_heads": 1, "hidden_size_per_layer_input": 0, "enable_moe_block": True}
    more |= {"num_experts": 2, "top_k_experts": 1, "moe_intermediate_size": 16}
    tiny_families._gemma4(tmp_path, **more)
    vlm = workbench.load(tmp_path, device="cpu", progress=False)
    answer = vlm.ask([WIDE, TALL], "Compare.", mode="think", max_tokens=4, capture="all")
    check_rows(vlm, answer)
    first = answer.layout.images[0]
    ahead = answer.attention.rows(first.start + 1)[..., first.position(first.rows - 1, first.cols - 1)]
    assert ahead.any()
    alone = [vlm.ask(image, "Is it red?", mode="think", max_tokens=3) for image in (WIDE, TALL)]
    batch = vlm.ask_many([WIDE, TALL], "Is it red?", mode="think", max_tokens=3, progress=False)
    assert [one.token_ids for one in batch] == [one.token_ids for one in alone]


OUTSIDE = [*tiny_families.OTHERS, *tiny_families.WITHOUT_LAYOUT]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_model_of_no_family_here_is_asked_as_any_other(tmp_path, name):
    """Real classes, tiny and random: alone, in a batch, without pictures, with several, with history."""
    folder = tiny_families.build(name, tmp_path)
    vlm = opened(name, folder)
    assert vlm.family.name == "general"
    one = vlm.ask(WIDE, "Is it red?", max_tokens=3, capture=True)
    check_rows(vlm, one)
    two = vlm.ask([WIDE, TALL], "Compare.", max_tokens=3)
    assert two.image_tokens > one.image_tokens > 0
    alone, images, questions = [one, two], [WIDE, [WIDE, TALL]], ["Is it red?", "Compare."]
    if name == "paligemma":
        with pytest.raises(InputError, match="pass a picture where the model needs"):
            vlm.ask(None, "Hello?", max_tokens=3)
    else:
        alone, images = [*alone, vlm.ask(None, "Hello?", max_tokens=3)], [*images, None]
        assert alone[-1].image_tokens == 0
        questions = [*questions, "Hello?"]
    batch = vlm.ask_many(images, questions, max_tokens=3, progress=False)
    assert [answer.token_ids for answer in batch] == [answer.token_ids for answer in alone]
    if name != "paligemma":  # has no turns: its processor ends the whole text with one line break
        again = vlm.encode([*one.turns, Turn("user", "And?")]).prompt_ids[0]
        assert tuple(again[: one.prompt_tokens]) == one.prompt_ids, "what was asked stays as it was"
    assert one.image_tokens <= workbench.memory_plan(folder, device="cpu").image_tokens
    for layout in (one.layout, two.layout):
        assert layout is None or all(grid.guessed for grid in layout.images)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_model_of_no_family_has_the_modes_and_maps_that_it_shows(tmp_path, name):
    """No thinking in its template: one mode.  Pictures are altered anywhere, maps need a known grid."""
    vlm = opened(name, tiny_families.build(name, tmp_path))
    for mode in (Mode.THINK, Mode.NOTHINK):
        with pytest.raises(ModeError, match="nothing in this checkpoint's chat template.*To do: "):
            vlm.ask(WIDE, "Is it red?", mode=mode, max_tokens=3)
    answer = vlm.ask(WIDE, "Is it red?", max_tokens=3)
    if answer.layout is None:
        with pytest.raises(CapabilityError, match="stand on no grid that is known.*register_family"):
            interpret.attribute(vlm, answer, progress=False)
        answer = vlm.ask(picture(32, 32), "Is it red?", max_tokens=3)  # a single tile
    found = interpret.attribute(vlm, answer, method="occlusion", regions=(2, 2), progress=False)
    assert np.isfinite(found.values).all()
    assert found.values.any(), "a picture that is hidden in parts is another picture"
    if any(grid.guessed for grid in answer.layout.images):
        with pytest.raises(CapabilityError, match="only guessed"):
            interpret.attribute(vlm, answer, method="attention", progress=False)
    else:
        assert interpret.attribute(vlm, answer, method="attention", progress=False).maps[0].any()


def planned_bytes(cache: Cache) -> int:
    """What a cache holds; a layer with a window or chunks, once full, is one position short between steps."""
    total = 0
    for layer in cache.layers:
        if getattr(layer, "keys", None) is None:  # linear attention
            continue
        held = layer.keys.nbytes + layer.values.nbytes
        full = layer.is_sliding and layer.get_seq_length() >= layer.sliding_window
        total += held + (held // layer.keys.shape[2] if full else 0)
    return total


@pytest.mark.parametrize("name", [*tiny_families.FAMILIES, *OUTSIDE])
def test_the_plan_is_what_the_model_caches(tmp_path, name):
    folder = tiny_families.build(name, tmp_path)
    made = workbench.memory_plan(folder, device="cpu")
    assert not any("could not be estimated" in note for note in made.notes)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    text = model.config.get_text_config()
    for tokens in (20, 100):  # below and above every window
        ids = torch.ones(1, tokens, dtype=torch.long)
        with torch.inference_mode():
            cache = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True).past_key_values
        assert cache.get_seq_length() == tokens
        assert kv_cache(text, tokens, width=4) == planned_bytes(cache)


class Told:
    """As much of a processor as a layout needs."""

    def __init__(self, *, row_end=None, **images):
        self.image_token_id, self.tokenizer = 7, None
        self.image_processor = SimpleNamespace(**images)
        if row_end is not None:
            self.image_break_token_id = row_end


def grids(ids, sizes, processor):
    layout = GENERAL.layout(processor, ids, sizes, [{}] * len(sizes))
    return layout and [(g.rows, g.cols, g.start, g.row_stride, g.guessed) for g in layout.images]


I, BREAK, END = 7, 8, 9  # noqa: E741


@pytest.mark.parametrize(
    ("ids", "pictures", "expected"),
    [
        ([1, *([I] * 3 + [BREAK]) * 2, I, I, I, END, 2], 1, [(3, 3, 1, 4, False)]),
        ([1, I, I, I, END, 2], 1, [(1, 3, 1, 3, False)]),  # a single row
        (
            [1, I, I, BREAK, I, I, END, I, I, I, BREAK, I, I, I, END],
            2,
            [(2, 2, 1, 3, False), (2, 3, 7, 4, False)],
        ),
        ([1, I, I, BREAK, I, I, END, I, I, BREAK, I, I, END], 2, [(2, 2, 1, 3, False), (2, 2, 7, 3, False)]),
        ([1, I, I, BREAK, I, END], 1, None),  # rows of two lengths
    ],
)
def test_rows_that_end_with_a_token_are_rows(ids, pictures, expected):
    sizes = [(30, 20)] * pictures
    assert grids(ids, sizes, Told(row_end=BREAK)) == expected


@pytest.mark.parametrize(
    ("ids", "pictures", "processor", "expected"),
    [
        ([1, I, I, BREAK, I, I, END], 1, Told(), [(2, 2, 1, 3, False)]),  # one piece a row is seen as well
        ([1, *[I] * 16, 2], 1, Told(), [(4, 4, 1, 4, True)]),
        ([1, *[I] * 6, 2], 1, Told(), [(1, 6, 1, 6, True)]),
        ([1, *[I] * 6, 2], 1, Told(patch_size=8, size={"height": 16, "width": 24}), [(2, 3, 1, 3, False)]),
        ([1, *[I] * 5, 2], 1, Told(patch_size=8, size={"height": 16, "width": 24}), [(1, 5, 1, 5, True)]),
        ([1, *[I] * 8, 2], 2, Told(), [(2, 2, 1, 2, True), (2, 2, 5, 2, True)]),
        ([1, I, I, 3, 4, I, I, 3, 4, I, I], 2, Told(), None),
    ],
)
def test_a_guessed_grid_is_marked_as_guessed(ids, pictures, processor, expected):
    assert grids(ids, [(30, 20)] * pictures, processor) == expected


def test_no_map_is_drawn_on_a_guessed_grid():
    layout = GENERAL.layout(Told(), [1, *[I] * 16, 2], [(30, 20)], [{}])
    with pytest.raises(CapabilityError, match="only guessed.*register_family"):
        check_image(layout, 0)
    assert TokenLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


@pytest.mark.parametrize("name", ["qwen2.5-vl", "qwen3-vl"])
def test_a_picture_that_the_processor_refuses_is_told(tmp_path, name):
    vlm = workbench.load(tiny_families.build(name, tmp_path), device="cpu", progress=False)
    with pytest.raises(InputError, match=r"pictures of 1000x3 pixels.*processor of.*crop or enlarge"):
        vlm.ask(picture(1000, 3), "What?", max_tokens=2)


def test_a_strip_without_a_grid_is_asked_all_the_same(tmp_path):
    vlm = workbench.load(tiny_families.build("llava-onevision", tmp_path), device="cpu", progress=False)
    answer = vlm.ask(picture(2000, 20), "What?", max_tokens=2)
    assert answer.layout is None
    assert len(answer.reply_ids) == 2
