"""A reply that begins with a given thought, closed or not: alone, in batches and on a server."""

from __future__ import annotations

import pytest
from scripted import CLOSE, END, PICTURE, THINK, ids, replies, thinker, tiny
from servers import said

import workbench
from workbench.answer import Answer
from workbench.errors import ContextLengthError, InputError, ModeError, ServerError
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM


@pytest.fixture(scope="module")
def vlm():
    return tiny()


@pytest.fixture(scope="module")
def nano():
    return workbench.load()


@pytest.fixture(scope="module")
def sample():
    return workbench.synth.sample("gui_links", 1, seed=7)[0]


@pytest.fixture(scope="module")
def own(nano, sample):
    """A question that was thought about, with attention."""
    return nano.ask(sample.images, sample.question, mode="think", capture=True)


def test_its_own_thought_gives_the_same_reply_token_by_token(nano, sample, own):
    given = nano.ask(sample.images, sample.question, thought=own.thought)
    assert given.token_ids == own.token_ids
    assert (given.text, given.thought, given.spans, given.mode) == (
        own.text,
        own.thought,
        own.spans,
        own.mode,
    )
    assert given.settings["thought"] == own.thought
    assert given.settings["thought_done"] is True
    assert given.p_think is None
    assert "thought" not in own.settings
    sentence = own.sentences[0]
    begun = nano.ask(sample.images, sample.question, thought=own.thought[: sentence.stop], thought_done=False)
    assert begun.token_ids == own.token_ids, "it goes on as it did"
    assert nano.ask(sample.images, sample.question, **begun.settings).token_ids == own.token_ids


def test_attention_of_a_given_thought_is_that_of_a_written_one(nano, sample, own):
    thoughts = [own.thought, own.thought[: own.sentences[0].stop]]
    closed = nano.ask(sample.images, sample.question, capture=True, thought=thoughts[0])
    _, begun = nano.ask_many(
        [sample.images], sample.question, thoughts=thoughts, thought_done=False, capture=True, progress=False
    )
    for given in (closed, begun):
        assert given.token_ids == own.token_ids
        for token in (own.spans["thought"].start, own.spans["answer"].start):
            assert given.attention.mean(token) == pytest.approx(own.attention.mean(token), abs=1e-4)


def test_the_reply_goes_on_behind_the_given_thought(vlm):
    with replies(vlm, lambda prompt, done: [100, 101, END][len(done)]):
        closed = vlm.ask(PICTURE, "Which?", thought="one two")
        empty = vlm.ask(PICTURE, "Which?", thought="")
    assert closed.reply_ids[0] == THINK
    assert closed.reply_ids[-4:] == (CLOSE, 100, 101, END)
    assert (closed.thought, closed.answer_tokens, closed.stopped) == ("one two", 2, "end")
    assert (empty.thought, empty.reply_ids[-3:]) == (None, (100, 101, END))
    with replies(vlm, lambda prompt, done: [100, CLOSE, 101, END][len(done)]):
        stream = vlm.stream(PICTURE, "Which?", thought="one two", thought_done=False)
        shown = "".join(piece.text for piece in stream if piece.kind == "thought")
    assert stream.answer.thought == shown
    assert shown.startswith("one two")
    assert shown != "one two"


def test_a_closed_thought_opens_no_second_one_and_length_counts_what_is_written(vlm):
    with replies(vlm, lambda prompt, done: THINK):
        answer = vlm.ask(PICTURE, "Which?", thought="one two three", max_tokens=3)
    assert THINK not in answer.reply_ids[1:]
    assert (answer.answer_tokens, answer.stopped, answer.settings["max_tokens"]) == (3, "length", 3)
    budget = len(ids(vlm, " one two"))
    with replies(vlm, thinker([100] * 9, [101])):
        cut = vlm.ask(PICTURE, "Which?", thought="one two", thought_done=False, thinking_budget=budget + 2)
    assert cut.thought_tokens == budget + 2
    assert cut.stopped == "budget"


def test_many_thoughts_give_the_replies_of_single_ones(nano, sample, own):
    thoughts = [own.thought[: s.stop] for s in own.sentences] + ["", "The sign says STOP."]
    together = nano.ask_many(
        [sample.images], sample.question, thoughts=thoughts, batch_size=3, progress=False
    )
    alone = [nano.ask(sample.images, sample.question, thought=thought) for thought in thoughts]
    assert [a.reply_ids for a in together] == [a.reply_ids for a in alone]
    assert [a.settings["thought"] for a in together] == thoughts
    for questions in ([sample.question] * 2, sample.question):
        two = nano.ask_many([sample.images] * 2, questions, thoughts=thoughts[:2], progress=False)
        assert [a.reply_ids for a in two] == [a.reply_ids for a in alone[:2]]


def test_a_given_thought_is_saved_with_the_answer(nano, sample, tmp_path):
    answer = nano.ask(sample.images, sample.question, thought="News links to Mail.")
    assert Answer.load(answer.save(tmp_path / "answer")) == answer
    assert [answer.thought[s.start : s.stop] for s in answer.sentences] == ["News links to Mail."]
    assert nano.ask(sample.images, sample.question, mode="nothink").sentences == ()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"thought": "a </think> b"}, InputError, "control token '</think>'"),
        ({"thought": "<|im_end|>"}, InputError, "control token"),
        ({"thought": "<image>"}, InputError, "control token"),
        ({"thought": "a", "mode": "nothink"}, ModeError, "a thought with mode='nothink'"),
        ({"thought": 3}, InputError, "a thought of type int"),
        ({"thought": "\ud800"}, InputError, "half a character"),
        ({"thought_done": False}, InputError, "thought_done=False without a thought"),
        ({"thought": "a", "thought_done": None}, InputError, "thought_done=None"),
        ({"thought": "red " * 2000}, ContextLengthError, "a given thought of .*a shorter thought"),
    ],
)
def test_what_cannot_be_given_is_refused_in_words(nano, sample, options, error, words):
    with pytest.raises(error, match=words):
        nano.ask(sample.images, sample.question, **options)


def test_bad_thoughts_among_many_are_found_before_anything_is_asked(nano, sample):
    ran = []
    handle = nano.model.register_forward_pre_hook(lambda *_: ran.append(1) and None)
    with pytest.raises(InputError, match="control token") as caught:
        nano.ask_many(sample.images, "Which?", thoughts=["a", "<think>"], progress=False)
    assert "question 1" in caught.value.__notes__[0]
    with pytest.raises(InputError, match="3 thoughts for 2 questions"):
        nano.ask_many(None, ["a?", "b?"], thoughts=["a", "b", "c"], progress=False)
    with pytest.raises(InputError, match="a text for each question"):
        nano.ask_many(None, ["a?", "b?"], thoughts=["a", None], progress=False)
    with pytest.raises(InputError, match="thought_done=False without thoughts"):
        nano.ask_many(None, ["a?", "b?"], thought_done=False, progress=False)
    handle.remove()
    assert ran == []


def test_every_family_thinks_what_it_is_given_or_says_that_it_cannot(case):
    vlm = VLM(model=case.model, processor=case.processor, family=case.spec, name=case.name)
    if "think" not in [str(mode) for mode in vlm.modes]:
        with pytest.raises(ModeError):
            vlm.ask(PICTURE, "Which?", thought="red")
        return
    answer = vlm.ask(PICTURE, "Which?", thought="red value", max_tokens=3)
    assert answer.thought == "red value"
    begun = vlm.ask(PICTURE, "Which?", thought="red", thought_done=False, max_tokens=3)
    assert begun.thought.startswith("red")
    assert begun.answer_tokens + begun.thought_tokens > 0
    many = vlm.ask_many([PICTURE], "Which?", thoughts=["red", "red value"], max_tokens=3, progress=False)
    assert many[1].reply_ids == answer.reply_ids


def test_a_server_goes_on_from_the_thought(serve):
    server = serve(lambda body: said(" LEFT"))
    vlm = ServerVLM(server.url, family="phi4-rv")
    pieces = list(vlm.stream(None, "Which?", thought="The sign says LEFT."))
    answer = vlm.ask(None, "Which?", thought="The sign says LEFT.")
    assert server.requests[-1]["messages"][-1] == {
        "role": "assistant",
        "content": "<think> The sign says LEFT. </think>",
    }
    assert server.requests[-1]["continue_final_message"] is True
    assert (answer.thought, answer.text, str(answer.mode)) == ("The sign says LEFT.", "LEFT", "think")
    assert answer.settings["thought"] == "The sign says LEFT."
    assert [piece.kind for piece in pieces][0] == "thought"
    on = serve(lambda body: said(" says LEFT. </think> LEFT"))
    begun = ServerVLM(on.url, family="phi4-rv").ask(None, "Which?", thought="The sign", thought_done=False)
    assert on.requests[-1]["messages"][-1]["content"] == "<think> The sign"
    assert (begun.thought, begun.text) == ("The sign says LEFT.", "LEFT")


def test_a_server_that_cannot_is_refused_in_words(serve):
    server = serve()
    with pytest.raises(ModeError, match="nothing tells how"):
        ServerVLM(server.url).ask(None, "Which?", thought="red")
    with pytest.raises(InputError, match="control token '</think>'"):
        ServerVLM(server.url, family="phi4-rv").ask(None, "Which?", thought="red</think>")
    assert server.requests == []
    refusing = serve(
        lambda body: (400, {}, b'{"error": {"message": "Unrecognized argument: continue_final_message"}}')
    )
    with pytest.raises(ServerError, match="to go on from a thought"):
        ServerVLM(refusing.url, family="phi4-rv").ask(None, "Which?", thought="red")


def test_a_prompt_that_several_replies_share_is_read_once(nano, sample, own):
    read = []
    handle = nano.model.model.vision_tower.register_forward_hook(lambda *args: read.append(1) and None)
    try:
        answers = nano.ask_many(
            [sample.images], sample.question, thoughts=["", own.thought, "So what? " * 9], progress=False
        )
    finally:
        handle.remove()
    assert len(read) == 1
    for answer in answers:
        again = nano.ask(sample.images, sample.question, **answer.settings)
        assert again.token_ids == answer.token_ids
        assert again.layout == answer.layout
