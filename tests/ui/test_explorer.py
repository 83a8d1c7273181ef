"""The attention explorer from Python: words, maps as bytes, requests of a view, page, static form."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anywidget")

from explorer_records import (
    ANSWER,
    BEFORE,
    CLOSING,
    COLS,
    EVIL,
    HEADS,
    LAYERS,
    ROWS,
    TEXTS,
    TWO,
    answer,
    attribution,
    direct_answer,
    lens,
    pointing_answer,
    record,
)

from workbench.attention import make_attention
from workbench.errors import CapabilityError, DiskError, InputError
from workbench.interpret.thought_record import ThoughtFaithfulness, ThoughtTrial, TriedThought
from workbench.types import PatchGrid, Region, TokenLayout
from workbench.ui import AttentionExplorer
from workbench.ui.explorer import script
from workbench.ui.maps import Maps, Setting, prompt_words, quantised, split_words, thumbnails
from workbench.ui.widget import STATIC_VARIABLE


@pytest.fixture
def explorer() -> AttentionExplorer:
    return AttentionExplorer(answer(), word=None, layer=None, head=None)


def asked(explorer: AttentionExplorer, content: Any) -> tuple[dict[str, Any], list[bytes]]:
    """What the widget sends back to one message of a view."""
    told: list[Any] = []
    explorer.send = lambda reply, buffers: told.append((reply, buffers))
    explorer._reply(content)
    ((reply, buffers),) = told
    return reply, buffers


def page_data(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.S)
    return json.loads(found)


def test_tokens_that_continue_a_word_are_one_word() -> None:
    words = split_words(record())
    assert [word.text for word in words] == ["<think>", " reddish", *TEXTS[3:]]
    start = record().layout.length
    assert (words[1].span.start, words[1].span.stop) == (start + 1, start + 3)
    assert [word.part for word in words] == ["", *["thought"] * 3, "", "answer", "answer", ""]
    assert [word.text for word in split_words(record(), "token")] == list(TEXTS)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ((" 4", "2", "."), [" 42", "."]),
        (("ab", "-", "cd"), ["ab", "-", "cd"]),
        (("猫", "が", "いる"), ["猫", "が", "いる"]),  # no spaces to go by: each token stands for itself
        (("Mü", "ll", "er", "\n", "x"), ["Müller", "\n", "x"]),
    ],
)
def test_words_of_other_scripts_and_numbers(tokens: tuple[str, ...], words: list[str]) -> None:
    attention = make_attention(reply=len(tokens), words=tokens)
    assert [word.text for word in split_words(attention)] == words


def test_a_words_map_is_that_of_its_span(explorer: AttentionExplorer) -> None:
    attention = explorer.answer.attention
    for word in (1, 4):
        explorer.word = word
        span = explorer.words[word].span
        for image in (0, 1):
            np.testing.assert_allclose(explorer.map(image), attention.map(span, image), rtol=1e-5)
    explorer.layer, explorer.head, explorer.sinks = 2, 1, False
    expected = attention.map(explorer.words[4].span, 1, layers=[2], heads=[1], sinks=False)
    np.testing.assert_allclose(explorer.map(1), expected, rtol=1e-5)
    assert explorer.map(1).max() == pytest.approx((0.4 + 0.3 / 24) / 0.7, rel=1e-4)


def test_looks_of_single_tokens_are_those_of_reverse() -> None:
    explorer = AttentionExplorer(answer(), unit="token", layer=None, image=1, box=(0, 0, 20, 20))
    table = explorer.looks()
    expected = explorer.answer.attention.reverse(Region((0, 0, 20, 20), 1))
    for name in ("share", "inside", "lift"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-4)
    best = table["share"].max()
    assert table["marked"].tolist() == [
        s >= best / 2 and up > 1 for s, up in zip(table["share"], table["lift"])
    ]
    assert 0 < table["marked"].sum() < len(table)


def test_bytes_are_right_to_half_a_step() -> None:
    values = np.random.default_rng(0).gamma(0.3, size=(5, 40)).astype(np.float32)
    values[3] = 0
    data, peaks = quantised(values)
    assert data.dtype == np.uint8
    assert peaks[3] == 0
    assert not data[3].any()
    back = data * (peaks / 255)[:, None]
    assert (np.abs(back - values) <= peaks[:, None] / 510 + 1e-6).all()


def test_a_view_is_answered_with_bytes_of_what_it_asked(explorer: AttentionExplorer) -> None:
    setting = {"layer": 1, "head": None, "sinks": True}
    reply, (data, _) = asked(explorer, {"id": "v:1", "kind": "map", "word": 4, **setting})
    assert reply["id"] == "v:1"
    values = np.frombuffer(data, np.uint8).reshape(2, ROWS, COLS) * (reply["peak"] / 255)
    for image in (0, 1):
        expected = explorer.answer.attention.map(explorer.words[4].span, image, layers=[1])
        np.testing.assert_allclose(values[image], expected, atol=reply["peak"] / 500)
        assert reply["shares"][image] == pytest.approx(expected.sum(), rel=1e-4)
    reply, (share, lift) = asked(
        explorer, {"id": 2, "kind": "looks", "image": 0, "box": [0, 0, 40, 20], **setting}
    )
    table = Maps(explorer.answer, explorer.answer.attention).looks(Region((0, 0, 40, 20)), Setting(1))
    np.testing.assert_allclose(np.frombuffer(share, np.float32), table["share"])
    np.testing.assert_allclose(np.frombuffer(lift, np.float32), table["lift"])
    _, (png,) = asked(explorer, {"id": 3, "kind": "picture", "image": 1})
    assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"kind": "map", "word": 99, "layer": None, "head": None, "sinks": True}, "word=99"),
        ({"kind": "map", "word": 0, "layer": 99, "head": None, "sinks": True}, "layer=99"),
        ({"kind": "map", "word": 0, "layer": None, "head": -1, "sinks": True}, "head=-1"),
        ({"kind": "map", "word": "0; import os", "layer": None, "head": None, "sinks": True}, "word="),
        (
            {"kind": "looks", "image": 7, "box": [0, 0, 1, 1], "layer": None, "head": None, "sinks": True},
            "image=7",
        ),
        (
            {"kind": "looks", "image": 0, "box": [5, 0, 1, 1], "layer": None, "head": None, "sinks": True},
            "x1 < x2",
        ),
        ({"kind": "looks", "image": 0, "box": "no", "layer": None, "head": None, "sinks": True}, "box"),
        ({"kind": "picture", "image": True}, "image=True"),
        ({"kind": "everything", "layer": None, "head": None, "sinks": True}, "everything"),
        ({}, "KeyError"),
        ("no message", "TypeError"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_what_is_wrong(
    explorer: AttentionExplorer, content: Any, says: str
) -> None:
    reply, buffers = asked(explorer, content)
    assert says in reply["error"]
    assert not buffers


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("word", 8, r"word=8.*0 to 7"),
        ("word", -1, "word=-1"),
        ("layer", LAYERS, f"layer={LAYERS}"),
        ("layer", "last", "'last'"),
        ("head", HEADS, f"head={HEADS}"),
        ("image", 2, "image=2"),
        ("box", (0, 0, 999, 9), "inside picture 0"),
        ("box", (9, 9, 9, 9), "x1 < x2"),
        ("box", "everywhere", "pixels"),
        ("sheep", 1, "sheep="),
    ],
)
def test_a_trait_out_of_range_is_refused(name: str, wrong: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        AttentionExplorer(answer(), **{name: wrong})


def test_a_trait_keeps_its_value_when_a_wrong_one_is_set(explorer: AttentionExplorer) -> None:
    explorer.word = 3
    with pytest.raises(InputError, match="word=8"):
        explorer.word = 8
    assert explorer.word == 3
    explorer.word = np.int64(2)
    assert type(explorer.word) is int


def test_answers_that_cannot_be_explored_are_refused() -> None:
    with pytest.raises(InputError, match="capture=True"):
        AttentionExplorer(replace(answer(), captured=None))
    with pytest.raises(InputError, match="another answer"):
        AttentionExplorer(answer(), attention=make_attention())
    with pytest.raises(InputError, match="an answer of type NoneType"):
        AttentionExplorer(None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unit='letter'"):
        AttentionExplorer(answer(), unit="letter")
    bare = replace(record(), layout=TokenLayout(record().layout.length))
    with pytest.raises(CapabilityError, match="without a picture"):
        AttentionExplorer(replace(answer(), captured=bare, layout=bare.layout, images=()))
    explorer = AttentionExplorer(answer(), word=None)
    with pytest.raises(InputError, match="no word"):
        explorer.map()
    with pytest.raises(InputError, match="no box"):
        explorer.looks()


def test_the_page_carries_every_map_and_nothing_else_may_run_in_it(
    explorer: AttentionExplorer, tmp_path: Path
) -> None:
    path = explorer.save_html(tmp_path / "attention.html")
    assert path == tmp_path / "attention.html"
    assert [p.name for p in tmp_path.iterdir()] == ["attention.html"]
    text = path.read_text(encoding="utf-8")
    assert EVIL not in text
    assert CLOSING not in text
    assert text.count("</script>") == 2
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"https?://", text)
    data = page_data(text)
    assert [word["text"] for word in data["info"]["words"]][5] == TEXTS[ANSWER[0]] == EVIL
    assert len(data["maps"]) == (LAYERS + 1) * (HEADS + 1) * 2
    one = data["maps"]["1/0/1"]
    values = np.frombuffer(zlib.decompress(base64.b64decode(one["packed"])), np.uint8)
    values = values.reshape(len(explorer.words), 2, ROWS, COLS)
    expected = explorer.answer.attention.map(explorer.words[4].span, 0, layers=[1], heads=[0])
    np.testing.assert_allclose(values[4, 0] * one["peaks"][4] / 255, expected, atol=one["peaks"][4] / 500)


@pytest.mark.parametrize(
    ("settings", "choices"), [(24, (True, True)), (8, (True, False)), (2, (False, False))]
)
def test_a_page_carries_as_much_as_it_may(
    explorer: AttentionExplorer, tmp_path: Path, settings: int, choices: tuple[bool, bool]
) -> None:
    one = len(explorer.words) * 2 * ROWS * COLS
    data = page_data(explorer.save_html(tmp_path / "x.html", max_bytes=settings * one).read_text())
    assert len(data["maps"]) == settings
    assert tuple(len(data["info"]["choices"][name]) > 1 for name in ("layers", "heads")) == choices
    with pytest.raises(InputError, match=f"at least {2 * one}"):
        explorer.save_html(tmp_path / "x.html", max_bytes=2 * one - 1)


def test_a_page_that_cannot_be_written_is_an_error_and_leaves_nothing(
    explorer: AttentionExplorer, tmp_path: Path
) -> None:
    with pytest.raises(DiskError, match="can be written to"):
        explorer.save_html(tmp_path / "no" / "such" / "page.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(DiskError, match="taken"):
        explorer.save_html(tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_the_static_form_is_a_picture_and_escaped_words(
    explorer: AttentionExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer.word = 5
    text = explorer.static()
    assert EVIL not in text
    assert "&lt;img src=x" in text
    assert text.count("data:image/png;base64,") == 2
    assert "mean over layers, mean over heads" in text
    assert "widget-view" in str(explorer._repr_mimebundle_())
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/html"] == text


def test_maps_of_crops_come_with_their_own_grids() -> None:
    base = record()
    whole, crop = base.layout.images
    tile = PatchGrid(0, ROWS, COLS, crop.start, whole.size, (0.0, 0.0, 80.0, 30.0), COLS)
    layout = TokenLayout(base.layout.length, (whole,), (tile,))
    one = replace(answer(), captured=replace(base, layout=layout), layout=layout, images=answer().images[:1])
    explorer = AttentionExplorer(one, word=2, head=1, layer=0)
    (picture,) = explorer.info["pictures"]
    assert [grid["crop"] for grid in picture["grids"]] == [False, True]
    assert picture["grids"][1]["region"] == [0.0, 0.0, 80.0, 30.0]
    reply, (data, _) = asked(
        explorer, {"id": 1, "kind": "map", "word": 2, "layer": 0, "head": 1, "sinks": True}
    )
    values = np.frombuffer(data, np.uint8)
    assert (
        values.argmax() == picture["grids"][1]["start"] + 3
    )  # head 1 looks at the crop, word 2 at its cell 3
    assert reply["shares"] == pytest.approx([0.7], abs=1e-4)
    explorer.box = (0, 0, 80, 30)
    np.testing.assert_allclose(
        explorer.looks()["share"][2],
        one.attention.reverse((0, 0, 80, 30), layers=0, heads=1)["share"][3],
        rtol=1e-5,
    )


def test_the_script_is_one_module_that_imports_nothing() -> None:
    code = script()
    assert not re.findall(
        r"^\s*import\b|\bimport\(|\beval\(|innerHTML|insertAdjacentHTML|document\.write", code, re.M
    )
    assert code.count("export default") == 1


def test_it_opens_at_the_head_that_points_and_moves_and_says_so() -> None:
    explorer = AttentionExplorer(pointing_answer())
    assert (explorer.layer, explorer.head) == (1, 0)
    assert explorer.map().max() > 0.4
    table = explorer.heads()
    assert (table["layer"][0], table["head"][0]) == (1, 0)
    still = table[(table["layer"] == 0) & (table["head"] == 1)].iloc[0]
    assert still["sharpest"] > table["sharpest"][0]  # looks harder, but always at the same patch
    assert still["points"] == pytest.approx(0, abs=1e-6)
    assert explorer.info["opening"].startswith("Layer 1, head 0 points best of 4 heads")
    assert "Layer 1, head 0 points best of 4 heads" in explorer.static()
    chosen = AttentionExplorer(pointing_answer(), layer=0, word=None)
    assert (chosen.layer, chosen.head, chosen.word) == (0, None, None)


def test_control_tokens_have_names_and_their_own_text_is_kept() -> None:
    words = split_words(record())
    assert [word.name for word in words] == ["think", "", "", "", "answer", "", "", "end"]
    assert words[0].text == "<think>"
    assert [word.name for word in split_words(pointing_answer().attention)] == [""] * 4
    tagged = replace(record(), texts=("<|im_start|>", "<|dummy_80|>", *record().texts[2:]))
    assert [word.name for word in prompt_words(tagged)][:2] == ["im_start", "control"]
    assert all(word.part == "prompt" for word in prompt_words(tagged))


def test_what_a_word_looks_at_in_the_text_is_beside_what_it_looks_at_in_the_pictures() -> None:
    explorer = AttentionExplorer(answer(), word=None, layer=None, head=None)
    attention = explorer.answer.attention
    reply, (cells, texts) = asked(
        explorer, {"id": 1, "kind": "map", "word": 4, "layer": 1, "head": 0, "sinks": True}
    )
    slots = np.frombuffer(texts, np.uint8) * (reply["textPeak"] / 255)
    assert len(slots) == len(explorer.info["prompt"]) + len(explorer.words)
    row = attention.row(explorer.words[4].span.start, 1, 0)
    assert slots[0] == pytest.approx(row[0], abs=0.01) == pytest.approx(0.3, abs=0.01)  # the sink, a word
    on_cells = np.frombuffer(cells, np.uint8).sum() * reply["peak"] / 255
    assert on_cells + slots.sum() == pytest.approx(1, abs=0.05)


def test_the_heads_of_a_box_are_those_of_the_record() -> None:
    explorer = AttentionExplorer(pointing_answer(), box=(0, 0, 10, 10))
    reply, _ = asked(
        explorer,
        {"id": 1, "kind": "looks", "image": 0, "box": [0, 0, 10, 10], "layer": 1, "head": 0, "sinks": True},
    )
    expected = explorer.answer.attention.heads((0, 0, 10, 10)).iloc[0]
    first = reply["heads"][0]
    assert (first["layer"], first["head"]) == (expected["layer"], expected["head"]) == (1, 0)
    assert first["share"] == pytest.approx(expected["on_region"], rel=1e-4)
    assert len(reply["heads"]) == 1  # the others look there no more than anywhere


def test_thumbnails_are_small_and_keep_the_strongest_patch() -> None:
    maps = np.zeros((2, 3, 30, 50), np.float32)
    maps[1, 2, 29, 49] = 0.5
    maps[0, 0, 0, 0] = 0.125
    small = thumbnails(maps)
    assert small.shape[:2] == (2, 3)
    assert max(small.shape[2:]) <= 12
    assert small[1, 2, -1, -1] == 255
    assert small[0, 0, 0, 0] == 128  # a root scale: a quarter of the strongest is shown as a half
    assert np.count_nonzero(small) == 2
    explorer = AttentionExplorer(pointing_answer())
    for word in (None, 1):
        request = {"kind": "grid", "word": word, "image": 0, "layer": None, "head": None, "sinks": True}
        reply, (data,) = asked(explorer, {"id": 1, **request})
        assert reply["shape"] == [2, 2, 2, 3]
        assert len(data) == 24
    assert np.frombuffer(data, np.uint8).reshape(2, 2, 6)[1, 0].argmax() == 1


def test_sentences_are_those_of_the_thought_and_their_map_is_the_mean_of_their_words() -> None:
    explorer = AttentionExplorer(answer(TWO), layer=1, head=0)
    assert explorer.sentences == ("Red.", "Blue.")
    assert [one["words"] for one in explorer.info["sentences"]] == [[1, 2], [3, 4]]
    explorer.sentence = 1
    alone = [AttentionExplorer(answer(TWO), layer=1, head=0, word=word).map(0) for word in (3, 4)]
    np.testing.assert_allclose(explorer.map(0), (alone[0] + alone[1]) / 2, atol=1e-6)
    assert "“Blue.”" in explorer.static()
    explorer.word = 3
    assert explorer.sentence is None, "the last one that was chosen is shown"
    explorer.sentence = 0
    assert explorer.word is None
    with pytest.raises(InputError, match="sentence=2.*0 to 1"):
        explorer.sentence = 2
    with pytest.raises(InputError, match="word=99"):
        explorer.beside = 99


def test_a_sentence_tells_what_happens_without_it(tmp_path: Path) -> None:
    asked = answer(TWO)
    trial = {"test": "early_answering", "question": 1, "thought": "", "followed": "thought"}
    trials = (
        ThoughtTrial(**trial, sentence=0, change="", text=" green", same=False, probability=0.125),
        ThoughtTrial(**trial, sentence=1, change="", text=asked.text, same=True, probability=math.nan),
        ThoughtTrial(
            **trial | {"test": "adding_mistakes"}, sentence=1, change="Blue to Grey", text="grey", same=False,
            probability=math.nan,
        ),
    )  # fmt: skip
    other = TriedThought("Which?", "Green.", 1, "green", 0.5, None, (None,))
    own = TriedThought(asked.question, asked.thought, 2, asked.text, 0.5, True, (True, False))
    found = ThoughtFaithfulness("m", ("early_answering", "adding_mistakes"), (other, own), trials)
    told = [one["told"] for one in AttentionExplorer(asked, thoughts=found).info["sentences"]]
    assert told == [
        "true of the image; cut before it: “green” (p of the full thought's answer 0.12)",
        "not true of the image; cut before it: the same answer; with a mistake in it (Blue to Grey): “grey”",
    ]
    page = AttentionExplorer(asked, thoughts=found).save_html(tmp_path / "page.html").read_text()
    assert "Blue to Grey" in page
    with pytest.raises(InputError, match="this answer was not tested"):
        AttentionExplorer(asked, thoughts=found.select([0]))


def test_hiding_without_a_box_or_a_model_is_told() -> None:
    explorer = AttentionExplorer(answer())
    with pytest.raises(InputError, match="no box is drawn"):
        explorer.hide()
    reply, _ = asked(explorer, {"id": 1, "kind": "hide", "image": 0, "box": [0, 0, 10, 10]})
    assert reply["error"]
    assert explorer.again == ()
    reply, _ = asked(explorer, {"id": 1, "kind": "again", "number": 3})
    assert "IndexError" in reply["error"]


def test_the_other_modes_reply_is_shown_alone_and_as_a_difference(tmp_path: Path) -> None:
    explorer = AttentionExplorer(answer(), against=direct_answer(), layer=1, head=0, word=5)
    own = answer().attention.map(explorer.words[5].span, 0, layers=[1], heads=[0])
    prompt = direct_answer().layout.length
    other = direct_answer().attention.map(prompt + 1, 0, layers=[1], heads=[0])  # its only answer word
    assert np.abs(own - other).max() > 0.3
    for shows, expected in (("this", own), ("against", other), ("difference", own - other)):
        explorer.shows = shows
        np.testing.assert_allclose(explorer.map(0), expected, atol=1e-6)
    assert f"“{escape(EVIL)}” (think) minus “{escape(EVIL)}” (nothink)" in explorer.static()
    explorer.opposite = 2
    end = direct_answer().attention.map(prompt + 2, 0, layers=[1], heads=[0])
    np.testing.assert_allclose(explorer.map(0), own - end, atol=1e-6)
    info = explorer.info["against"]
    assert info["names"] == ["think", "nothink"]
    assert info["counterparts"] == [1] * len(explorer.words), "one answer word, whatever is compared with it"
    reply, (data, _) = asked(
        explorer,
        {"id": 1, "kind": "map", "word": 1, "layer": 1, "head": 0, "sinks": True, "against": True},
    )
    values = np.frombuffer(data, np.uint8).reshape(2, ROWS, COLS) * (reply["peak"] / 255)
    np.testing.assert_allclose(values[0], other, atol=reply["peak"] / 500)
    page = explorer.save_html(tmp_path / "page.html").read_text()
    assert EVIL not in page
    data = page_data(page)
    assert data["state"]["shows"] == "difference"
    assert data["against"].keys() == data["maps"].keys()


def test_it_opens_at_the_answer_where_another_reply_is_given() -> None:
    alone = AttentionExplorer(answer())
    compared = AttentionExplorer(answer(), against=direct_answer())
    assert (alone.layer, alone.head) == (compared.layer, compared.head)
    assert compared.words[compared.word].part == "answer"


def test_replies_that_cannot_be_compared_are_refused() -> None:
    other = direct_answer()
    for against, says in (
        (replace(other, question="Why?"), "a question of its own"),
        (replace(other, images=other.images[::-1]), "pictures of its own"),
        (replace(other, captured=None), "capture=True"),
        (pointing_answer(), "pictures and patches and layers of its own"),
        ("nothink", "an answer of type str"),
    ):
        with pytest.raises(InputError, match=says):
            AttentionExplorer(answer(), against=against)
    explorer = AttentionExplorer(answer())
    with pytest.raises(InputError, match="shows='difference'.*one of this"):
        explorer.shows = "difference"
    with pytest.raises(InputError, match="no second reply"):
        explorer.opposite = 0
    compared = AttentionExplorer(answer(), against=other)
    with pytest.raises(InputError, match="shows='both'"):
        compared.shows = "both"
    with pytest.raises(InputError, match="word=3"):
        compared.opposite = 3


def test_attribution_and_lens_are_layers_of_the_same_picture(tmp_path: Path) -> None:
    explorer = AttentionExplorer(answer(), overlays=[attribution(), lens()], word=None, layer=1, head=None)
    evidence, said = explorer.info["overlays"]
    assert evidence == {
        "name": f"occlusion of “{EVIL}”", "unit": "evidence (nats)", "byLayer": False, "signed": True,
    }  # fmt: skip
    assert (said["name"], said["byLayer"], said["signed"]) == ("logit lens", True, False)
    explorer.overlay = 0
    np.testing.assert_array_equal(explorer.map(0), attribution().map(0))
    assert "evidence (nats)" in explorer.static()
    assert EVIL not in explorer.static()
    explorer.overlay = 1
    np.testing.assert_allclose(explorer.map(1), 2 / LAYERS)  # what leaves layer 1 is the lens' layer 2
    explorer.layer = None
    np.testing.assert_allclose(explorer.map(1), 1)  # the last layer
    request = {"id": 1, "kind": "overlay", "overlay": 1, "layer": 1}
    reply, (values, says) = asked(explorer, request)
    assert np.frombuffer(values, np.int8).tolist() == [127] * 2 * ROWS * COLS
    words = [reply["words"][number] for number in np.frombuffer(says, "<u4")]
    assert words == lens().says(2).words.ravel().tolist() + lens().says(2, image=1).words.ravel().tolist()
    assert words[0] == EVIL
    reply, (values, says) = asked(explorer, {"id": 2, "kind": "overlay", "overlay": 0, "layer": None})
    grid = np.frombuffer(values, np.int8)[: ROWS * COLS].reshape(ROWS, COLS) * reply["peak"] / 127
    np.testing.assert_allclose(grid, attribution().map(0), atol=3 / 254)
    assert not says
    page = explorer.save_html(tmp_path / "page.html").read_text()
    assert EVIL not in page
    assert [list(one) for one in page_data(page)["overlays"]] == [["mean"], ["mean", "0", "1", "2"]]


def test_overlays_that_do_not_belong_are_refused() -> None:
    whole = lens()
    read = replace(whole, positions=whole.positions[BEFORE + 1 :], top_ids=whole.top_ids[:, BEFORE + 1 :])
    bad = attribution()
    bad.map(0)[0, 0] = np.nan
    for overlay, says in (
        (answer(), "overlays= with a Answer"),
        (replace(attribution(), answer=direct_answer()), "of another answer"),
        (read, "read more"),
        (bad, "not finite"),
    ):
        with pytest.raises(InputError, match=says):
            AttentionExplorer(answer(), overlays=[overlay])
    with pytest.raises(InputError, match="overlay=0.*there are no overlays"):
        AttentionExplorer(answer(), overlay=0)
    with pytest.raises(InputError, match="overlay=1.*0 to 0"):
        AttentionExplorer(answer(), overlays=[lens()], overlay=1)


def test_a_page_carries_the_layers_heads_and_words_that_are_chosen_and_is_smaller(tmp_path: Path) -> None:
    explorer = AttentionExplorer(
        answer(TWO),
        against=direct_answer(),
        overlays=[replace(lens(), answer=answer(TWO))],
        layer=1,
        head=0,
        word=1,
    )
    whole = explorer.save_html(tmp_path / "whole.html")
    small = explorer.save_html(tmp_path / "small.html", layers=[0, 2], heads=[1], words="answer")
    assert small.stat().st_size < whole.stat().st_size
    data = page_data(small.read_text())
    answers = [number for number, word in enumerate(explorer.words) if word.part == "answer"]
    assert data["info"]["choices"] == {"layers": [0, 2], "heads": [1], "words": answers, "others": [1]}
    assert sorted(data["maps"]) == sorted(data["against"]) == ["0/1/0", "0/1/1", "2/1/0", "2/1/1"]
    assert [list(one) for one in data["overlays"]] == [["0", "2"]]
    state = {name: data["state"][name] for name in ("layer", "head", "word")}
    assert state == {"layer": 0, "head": 1, "word": answers[0]}, "what was shown is not carried"
    one = data["maps"]["2/1/1"]
    values = np.frombuffer(zlib.decompress(base64.b64decode(one["packed"])), np.uint8)
    expected = explorer.answer.attention.map(explorer.words[answers[1]].span, 1, layers=[2], heads=[1])
    own = values.reshape(len(answers), 2, ROWS, COLS)[1, 1] * one["peaks"][1] / 255
    np.testing.assert_allclose(own, expected, atol=one["peaks"][1] / 500)
    assert len(data["info"]["words"]) == len(explorer.words), "the text stays whole"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"layers": [LAYERS]}, f"layer={LAYERS}.*0 to {LAYERS - 1}"),
        ({"heads": [HEADS]}, f"head={HEADS}"),
        ({"heads": []}, "heads=.*at least one"),
        ({"layers": 1}, "layers=1.*a list of numbers"),
        ({"words": [99]}, "word=99"),
        ({"words": "prompt"}, "words='prompt'.*answer, thought"),
        ({"words": []}, "words=.*at least one"),
        ({"layers": [0, 1], "max_bytes": 10}, "max_bytes=10.*choose fewer layers, heads or words"),
    ],
)
def test_a_choice_for_a_page_that_makes_no_sense_is_refused(
    explorer: AttentionExplorer, tmp_path: Path, choice: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        explorer.save_html(tmp_path / "x.html", **choice)
    assert not list(tmp_path.iterdir())


def test_a_view_gets_the_page_that_its_form_asks_for(explorer: AttentionExplorer) -> None:
    request = {"id": 1, "kind": "save", "layers": "mean, 0-1, 1", "heads": " ALL", "words": [2]}
    _, (page,) = asked(explorer, request)
    choices = page_data(page.decode())["info"]["choices"]
    assert choices == {"layers": [None, 0, 1], "heads": [None, 0, 1], "words": [2], "others": []}
    for layers, says in (("first", "layers='first'"), ("1-9", "layer=3"), ("-1", "layers='-1'")):
        reply, pages = asked(explorer, {**request, "layers": layers})
        assert says in reply["error"]
        assert not pages
