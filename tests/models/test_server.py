"""A model on a server, against a small server on this machine that speaks the protocol, or does not."""

from __future__ import annotations

import base64
import inspect
import io
import itertools
import json
import math
import socket
import threading
import time

import httpx2
import pytest
from PIL import Image
from servers import chunk, said

import workbench
from workbench.errors import (
    CapabilityError,
    ContextLengthError,
    InputError,
    LoadError,
    ModeError,
    ServerError,
    WorkbenchError,
)
from workbench.models import server_protocol
from workbench.models.server import ServerVLM
from workbench.models.server_protocol import THOUGHTS, Busy, Failed, Patience, ServedReply, Stopped
from workbench.models.vlm import VLM
from workbench.types import Turn

PICTURE = Image.new("RGB", (5, 3), (200, 30, 40))


# -- asking ----------------------------------------------------------------------------------------


def test_ask_sends_question_and_picture_and_reads_the_reply(serve):
    server = serve(lambda body: said("It is ", "red."))
    vlm = workbench.load(server.url)
    assert vlm.name == "tiny"
    answer = vlm.ask(PICTURE, "Which colour?", max_tokens=50, temperature=0.5, seed=3)

    assert (answer.text, answer.thought, answer.stopped) == ("It is red.", None, "end")
    assert (answer.prompt_tokens, answer.answer_tokens, answer.thought_tokens) == (11, 7, 0)
    assert answer.token_ids == ()
    assert answer.layout is None
    assert 0 < answer.seconds_to_first_token <= answer.seconds
    assert (answer.model, answer.source, answer.question) == ("tiny", server.url, "Which colour?")
    body = server.requests[0]
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("tiny", 50, 0.5, 3)
    image, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Which colour?"}
    head, data = image["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).tobytes() == PICTURE.tobytes()


def test_a_reply_in_one_piece_is_understood(serve):
    whole = {
        "choices": [{"message": {"content": "blue", "reasoning_content": "hm"}, "finish_reason": "length"}],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 9,
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
    }
    server = serve(lambda body: (200, {}, json.dumps(whole).encode()))
    answer = workbench.load(server.url).ask(None, "Which?")
    assert (answer.text, answer.thought, answer.stopped) == ("blue", "hm", "length")
    assert (answer.thought_tokens, answer.answer_tokens) == (8, 1)
    assert "token_split" not in answer.settings


def test_tokens_of_a_thought_are_estimated_where_only_the_sum_is_told(serve):
    events = [chunk(reasoning="two "), chunk(reasoning="and two"), *said("4", made=8)]
    answer = workbench.load(serve(lambda body: events).url).ask(None, "2+2?")
    assert (answer.thought_tokens, answer.answer_tokens) == (7, 1)
    assert answer.settings["token_split"] == "estimated from characters"


@pytest.mark.parametrize("cut", range(1, 26, 3))
def test_an_inline_thought_however_it_is_cut(serve, cut):
    text = "\n<think>a < b</think>\n\nyes < no"
    pieces = [text[i : i + cut] for i in range(0, len(text), cut)]
    stream = workbench.load(serve(lambda body: said(*pieces)).url).stream(None, "Which?")
    seen = list(stream)
    assert (stream.answer.thought, stream.answer.text) == ("a < b", "yes < no")
    assert "".join(p.text for p in seen if p.kind == "thought") == "a < b"
    assert "think" not in "".join(p.text for p in seen)


def test_a_thought_whose_opening_stands_in_the_prompt(serve):
    answer = workbench.load(serve(lambda body: said("so it", " is</thi", "nk> red")).url).ask(None, "Which?")
    assert (answer.thought, answer.text) == ("so it is", "red")


def test_a_delimiter_that_the_answer_quotes_is_text():
    reply = ServedReply(("<think>", "</think>"))
    for event in said("<think>t</think>the tag <think> and </think> end"):
        if isinstance(event, dict):
            reply.take(event, "url")
    reply.end()
    assert (reply.thought, reply.text) == ("t", "the tag <think> and </think> end")


def test_an_answer_that_was_taken_for_a_thought():
    reply = ServedReply(("<think>", "</think>"), opened=True)
    for event in said("just an answer"):
        if isinstance(event, dict):
            reply.take(event, "url")
    reply.end()
    assert (reply.thought, reply.text) == (None, "just an answer")


# -- what servers call a thought ------------------------------------------------------------------------

DETAILS = [{"type": "reasoning.text", "text": "two "}, {"type": "reasoning.summary", "summary": "and two"}]
APART = {
    "reasoning_content": [{"reasoning_content": "two "}, {"reasoning_content": "and two"}],
    "reasoning": [{"reasoning": "two "}, {"reasoning": "and two"}],
    "reasoning_text": [{"reasoning_text": "two and two"}],
    "thinking": [{"thinking": "two and two"}],
    "two names": [{"reasoning_content": "two and two", "reasoning": "two and two"}],
    "details": [{"reasoning_details": DETAILS}],
    "details one by one": [{"reasoning_details": [entry]} for entry in DETAILS],
    "details beside their text": [{"reasoning": "two and two", "reasoning_details": DETAILS}],
    "encrypted details": [
        {"reasoning": "two and two"},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "gAAAA"}]},
    ],
    "parts": [{"content": [{"type": "thinking", "thinking": "two and two"}]}],
    "parts of parts": [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "two and two"}]}]}
    ],
    "a part beside text": [
        {"content": [{"type": "reasoning", "text": "two and two"}, {"type": "text", "text": "4"}]}
    ],
}


@pytest.mark.parametrize("deltas", APART.values(), ids=APART)
def test_a_thought_apart_from_the_answer(serve, deltas):
    answer = "" if len(deltas[0].get("content", ())) == 2 else "4"
    stream = workbench.load(serve(lambda body: [chunk(**d) for d in deltas] + said(answer)).url).stream(
        None, "2+2?"
    )
    seen = list(stream)
    assert (stream.answer.thought, stream.answer.text) == ("two and two", "4")
    assert "".join(piece.text for piece in seen if piece.kind == "thought") == "two and two"


@pytest.mark.parametrize(("opening", "closing"), THOUGHTS)
@pytest.mark.parametrize("cut", [1, 4, 1000])
def test_a_thought_between_the_delimiters_of_any_model(serve, opening, closing, cut):
    text = f"\n{opening}\na < b [/x\n{closing}\n\nyes < no"
    pieces = [text[i : i + cut] for i in range(0, len(text), cut)]
    stream = workbench.load(serve(lambda body: said(*pieces)).url).stream(None, "Which?")
    seen = list(stream)
    assert (stream.answer.thought, stream.answer.text) == ("a < b [/x", "yes < no")
    assert "".join(piece.text for piece in seen if piece.kind == "answer").strip() == "yes < no"


@pytest.mark.parametrize("closing", ["</think>", "</seed:think>", "<channel|>", "[/THINK]"])
def test_a_thought_that_the_prompt_opened_is_told_by_its_close(serve, closing):
    answer = workbench.load(serve(lambda body: said(f"so it is{closing}", "red")).url).ask(None, "Which?")
    assert (answer.thought, answer.text) == ("so it is", "red")


def test_a_thought_of_nothing_is_none(serve):
    answer = workbench.load(serve(lambda body: said("<think>\n\n</think>\n\nred")).url).ask(None, "Which?")
    assert (answer.thought, answer.text, answer.thought_tokens) == (None, "red", 0)


def test_p_think_is_unknown_where_a_token_may_begin_the_opening():
    reply = ServedReply(("<|channel>thought", "<channel|>"))
    event = chunk("red")
    top = [{"token": "<|channel>", "logprob": math.log(0.4)}, {"token": "red", "logprob": math.log(0.6)}]
    event["choices"][0]["logprobs"] = {"content": [{"token": "red", "logprob": -1, "top_logprobs": top}]}
    reply.take(event, "url")
    assert reply.p_think is None


def test_only_the_first_of_several_replies_is_read(serve):
    events = [
        chunk("red"),
        {"choices": [{"index": 1, "delta": {"content": "blue"}, "finish_reason": "length"}]},
    ]
    last = {"choices": [{"index": 1, "delta": {"content": "!"}}, chunk(".", finish="stop")["choices"][0]]}
    answer = workbench.load(serve(lambda body: [*events, last]).url).ask(None, "Which?")
    assert (answer.text, answer.stopped) == ("red.", "end")


def test_a_last_event_that_repeats_the_whole_reply_is_not_read_twice(serve):
    last = {"choices": [{"delta": {}, "message": {"content": "red"}, "finish_reason": "stop"}]}
    assert workbench.load(serve(lambda body: [chunk("red"), last]).url).ask(None, "Which?").text == "red"


def test_half_characters_are_put_together(serve):
    answer = workbench.load(serve(lambda body: said("\ud83d", "\ude00 \ud83d")).url).ask(None, "Which?")
    assert answer.text == "\U0001f600 \ufffd"


# -- counts, and what is no answer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (None, (None, None, None)),
        ({}, (None, None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (None, None, None)),
        ({"prompt_tokens": 9}, (9, None, None)),
        ({"completion_tokens": 4}, (None, 0, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4.0}, (9, 0, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "completion_tokens_details": None}, (9, 0, 4)),
        ({"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 3}}, (None, 3, 1)),
        ({"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 30}}, (None, 30, 4)),
        ({"completion_tokens_details": {"reasoning_tokens": 30}}, (None, 30, None)),
    ],
    ids=range(10),
)
def test_counts_that_a_server_does_not_tell_are_unknown(serve, tmp_path, usage, counts):
    events = [chunk("red", finish="stop"), *([] if usage is None else [{"choices": [], "usage": usage}])]
    vlm = workbench.load(serve(lambda body: events).url)
    answer = vlm.ask(PICTURE, "Which?")
    assert (answer.prompt_tokens, answer.thought_tokens, answer.answer_tokens) == counts
    assert answer.image_tokens is None
    assert vlm.ask(None, "Which?").image_tokens == 0
    if None in counts:
        assert "unknown" in str(answer)
        assert answer.reply_tokens is None or counts[0] is None
    again = workbench.Answer.load(answer.save(tmp_path / "answer"))
    assert (again.prompt_tokens, again.thought_tokens, again.answer_tokens) == counts
    assert "unknown" in answer._repr_html_()
    vlm.compare_modes(PICTURE, "Which?")._repr_html_()


def test_counts_in_the_choice_are_read(serve):
    event = chunk("red", finish="stop")
    event["choices"][0]["usage"] = {"prompt_tokens": 9, "completion_tokens": 4}
    assert workbench.load(serve(lambda body: [event]).url).ask(None, "Which?").answer_tokens == 4


@pytest.mark.parametrize(
    ("events", "stopped", "text"),
    [
        ([chunk("It", finish="content_filter")], "content_filter", "It"),
        ([chunk(finish="content_filter: PROHIBITED_CONTENT")], "content_filter", ""),
        ([chunk(finish="SAFETY")], "content_filter", ""),
        ([chunk(refusal="I cannot "), chunk(refusal="say.", finish="stop")], "refusal", "I cannot say."),
        ([chunk("No.", finish="refusal")], "refusal", "No."),
        ([chunk(finish="tool_calls", tool_calls=[{"function": {"name": "look"}}])], "tool_calls", ""),
        ([chunk(finish="function_call")], "tool_calls", ""),
    ],
    ids=range(7),
)
def test_what_stands_in_the_place_of_an_answer_is_said(serve, events, stopped, text):
    vlm = workbench.load(serve(lambda body: events).url)
    with pytest.warns(UserWarning, match="content filter|refused|called a tool"):
        answer = vlm.ask(None, "Which?")
    assert (answer.stopped, answer.text) == (stopped, text)
    assert any(word in str(answer) for word in ("content filter", "refused", "tool call"))
    with pytest.warns(UserWarning, match="content filter|refused|called a tool"):
        vlm.chat().ask("Which?")


@pytest.mark.parametrize("finish", ["stop", "eos", "STOP", "end_turn", "stop_sequence", "something new"])
def test_other_ends_are_ends(serve, finish):
    assert (
        workbench.load(serve(lambda body: [chunk("red", finish=finish)]).url).ask(None, "Which?").stopped
        == "end"
    )


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_other_words_for_length(serve, finish):
    answer = workbench.load(serve(lambda body: [chunk("red", finish=finish)]).url).ask(None, "Which?")
    assert answer.stopped == "length"


# -- patience ------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only where somebody waits; also the event that is waited for."""

    def __init__(self, monkeypatch):
        self.now, self.stopped_at = 1000.0, math.inf
        monkeypatch.setattr(server_protocol.time, "monotonic", lambda: self.now)

    def wait(self, seconds):
        self.now += seconds
        return self.is_set()

    def is_set(self):
        return self.now >= self.stopped_at


def busy(wait=None):
    error = Busy("http://server/v1 answered with status 429: busy", "time", "wait")
    error.status, error.wait = 429, wait
    return error


def test_a_busy_server_is_given_up_by_time_without_success(monkeypatch):
    clock, patience = Clock(monkeypatch), Patience()

    def ask_again_and_again():
        for attempt in range(1, 10_000):
            patience.after(busy(), attempt, clock)
            patience.pause(clock)

    def until_it_gives_up():
        began = clock.now
        with pytest.raises(Busy, match=r"nothing got through for \d+ s, \d+ attempts"):
            ask_again_and_again()
        return clock.now - began

    with pytest.warns(UserWarning, match="waiting for"):
        assert 540 < until_it_gives_up() <= 650
    patience = Patience()
    with pytest.warns(UserWarning, match="status 429: busy: waiting for 500 s"):
        patience.after(busy(500), 1, clock)
    patience.pause(clock)
    patience.success()  # whatever got through counts, also of another request
    with pytest.warns(UserWarning, match="waiting for"):
        assert 540 < until_it_gives_up() <= 650


@pytest.mark.filterwarnings("ignore:.*waiting for")
def test_requests_wait_together_and_as_long_as_asked(monkeypatch):
    clock, patience = Clock(monkeypatch), Patience()
    patience.pause(clock)
    assert clock.now == 1000
    patience.after(busy(30), 1, clock)
    patience.after(busy(10), 1, clock)  # a second request's shorter wait takes nothing away
    assert clock.now == 1000  # the one that failed has not waited by itself
    patience.pause(clock)  # any request, also a new one
    assert 1030 <= clock.now <= 1040
    patience.pause(clock)
    assert clock.now <= 1040


def test_a_wait_beyond_all_patience_is_an_error_at_once(monkeypatch):
    clock = Clock(monkeypatch)
    with pytest.raises(Busy, match="it asks to wait 86400 s"):
        Patience().after(busy(86400.0), 1, clock)
    with pytest.raises(Busy, match="it asks to wait inf s"):
        Patience().after(busy(math.inf), 1, clock)
    assert clock.now == 1000


@pytest.mark.filterwarnings("ignore:.*waiting for")
def test_waiting_can_be_stopped(monkeypatch):
    clock, patience = Clock(monkeypatch), Patience()
    patience.after(busy(30), 1, clock)
    clock.stopped_at = 1000.0
    with pytest.raises(Stopped):
        patience.pause(clock)


def test_a_failing_server_is_asked_five_times(monkeypatch):
    clock, patience, error = Clock(monkeypatch), Patience(), Failed("no")
    for attempt in range(1, 5):
        patience.after(error, attempt, clock)
    with pytest.raises(Failed, match="5 attempts"):
        patience.after(error, 5, clock)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After-Ms": "250", "Retry-After": "9"}, 0.25),
        ({"Retry-After": "9" * 400}, math.inf),
        ({"Retry-After": "Mon, 30 Nov 2026 20:00:30 GMT", "Date": "Mon, 30 Nov 2026 20:00:00 GMT"}, 30.0),
        ({"Retry-After": "Mon, 30 Nov 2026 21:00:00 +0100", "Date": "Mon, 30 Nov 2026 19:59:00 GMT"}, 60.0),
        ({"Retry-After": "Monday, 30-Nov-26 20:00:30 GMT", "Date": "Mon, 30 Nov 2026 20:00:00 GMT"}, 30.0),
        ({"Retry-After": "Mon Nov 30 20:00:30 2026", "Date": "Mon, 30 Nov 2026 20:00:00 GMT"}, 30.0),
        ({"Retry-After": "Mon, 30 Nov 2020 20:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "\u0665"}, None),
        ({"Retry-After": "Mon, 99 Nov 2026 20:00:30 GMT"}, None),
        ({"Retry-After": "Mon, 30 Nov 99999999999 20:00:30 GMT"}, None),
        ({"Retry-After": "Mon, 30 Nov 2026 20:00:30 +9999999"}, None),
        ({"Retry-After": ", , ,"}, None),
    ],
    ids=range(19),
)
def test_retry_after_is_seconds_or_a_date(headers, seconds):
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert server_protocol._retry_after(httpx2.Headers(encoded)) == seconds


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_rate_limit_does_not_end_many_questions(serve, status):
    lock, asked = threading.Lock(), []

    def limited(body):
        with lock:
            asked.append(body)
            late = len(asked) > 40
        return said("ok") if late else (status, {"Retry-After": "0.01"}, b"slow down")

    answers = workbench.load(serve(limited).url).ask_many(
        None, [f"q{i}" for i in range(16)], batch_size=8, progress=False
    )
    assert [answer.text for answer in answers] == ["ok"] * 16
    assert len(asked) == 56


def test_a_quota_that_is_spent_is_not_waited_for(serve):
    error = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    server = serve(lambda body: (429, {}, json.dumps(error).encode()))
    with pytest.raises(ServerError, match="exceeded your quota"):
        workbench.load(server.url).ask(None, "Which?")
    assert len(server.requests) == 1


def test_a_busy_list_of_models_is_waited_for_only_if_it_is_needed(serve):
    counter = itertools.count()

    def listing(path):
        return (429, {}, b"") if next(counter) < 3 else (200, {}, b'{"data": [{"id": "tiny"}]}')

    server = serve(models=listing)
    assert workbench.load(server.url).name == "tiny"
    assert len(server.paths) == 4
    server = serve(models=lambda path: (429, {}, b""))
    assert workbench.load(server.url, model="tiny").ask(None, "Which?").text == "yes"
    assert len(server.paths) == 1


# -- modes -----------------------------------------------------------------------------------------


def test_phi4_modes_are_the_beginning_of_the_reply(serve):
    server = serve(
        lambda body: said("a thought</think>red"), models=("microsoft/Phi-4-reasoning-vision-15B",)
    )
    vlm = workbench.load(server.url)
    assert vlm.family.name == "phi4-rv"
    table = vlm.compare_modes(PICTURE, "Which colour?")

    assert list(table.answers) == ["auto", "think", "nothink"]
    auto, think, nothink = server.requests
    assert "continue_final_message" not in auto
    assert auto["logprobs"] is True
    assert think["messages"][-1] == {"role": "assistant", "content": "<think>"}
    assert nothink["messages"][-1] == {"role": "assistant", "content": "<|dummy_84|>"}
    assert think["continue_final_message"] is True
    assert think["add_generation_prompt"] is False
    assert (table["think"].thought, table["think"].text) == ("a thought", "red")


def test_a_forced_thought_that_never_closes_is_a_thought(serve):
    server = serve(lambda body: said("hm"), models=("phi-4-reasoning-vision",))
    answer = workbench.load(server.url).ask(None, "Which?", mode="think")
    assert (answer.thought, answer.text) == ("hm", "")


def test_enable_thinking_is_a_switch_of_the_template(serve):
    server = serve()
    vlm = workbench.load(server.url, family="enable_thinking")
    for mode in ("auto", "think", "nothink"):
        vlm.ask(None, "Which?", mode=mode)
    assert "chat_template_kwargs" not in server.requests[0]
    assert server.requests[1]["chat_template_kwargs"] == {"enable_thinking": True}
    assert server.requests[2]["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("model", "mode", "instead"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", "think", "Qwen/Qwen3-VL-8B-Thinking"),
        ("Qwen/Qwen3-VL-8B-Thinking", "nothink", "Qwen/Qwen3-VL-8B-Instruct"),
        ("moonshotai/Kimi-VL-A3B-Instruct", "think", "moonshotai/Kimi-VL-A3B-Thinking"),
        ("somebody/unknown", "think", "family="),
    ],
)
def test_a_mode_that_the_model_lacks_is_refused_before_anything_is_sent(serve, model, mode, instead):
    server = serve(models=(model,))
    with pytest.raises(ModeError, match=instead.replace(".", r"\.")):
        workbench.load(server.url).ask(None, "Which?", mode=mode)
    assert server.requests == []


def test_p_think_from_the_likeliest_first_tokens(serve):
    def first(tokens):
        top = [{"token": t, "logprob": math.log(p)} for t, p in tokens.items()]
        event = chunk("red")
        event["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return [event, *said()]

    def p_think(tokens, mode="auto"):
        server = serve(lambda body: first(tokens), models=("phi-4-reasoning-vision",))
        return workbench.load(server.url).ask(None, "Which?", mode=mode).p_think

    assert p_think({"<think>": 0.25, "red": 0.7}) == pytest.approx(0.25)
    assert p_think({"red": 0.9995, "blue": 0.0002}) == 0.0
    assert p_think({"red": 0.6}) is None


def test_a_thinking_budget_closes_the_thought(serve):
    def reply(body):
        if body["messages"][-1]["content"].endswith("</think>"):
            return said("red", made=1)
        return said("it goes on", finish="length", made=5)

    server = serve(reply, models=("phi-4-reasoning-vision",))
    answer = workbench.load(server.url).ask(PICTURE, "Which?", mode="think", thinking_budget=5, max_tokens=20)
    assert (answer.thought, answer.text, answer.stopped) == ("it goes on", "red", "budget")
    assert [body["max_tokens"] for body in server.requests] == [5, 15]
    assert server.requests[1]["messages"][-1]["content"] == "<think>it goes on</think>"
    assert answer.thought_tokens + answer.answer_tokens == 6
    assert answer.prompt_tokens == 11


def test_a_long_thought_leaves_room_for_a_short_answer(serve):
    def reply(body):
        if body["messages"][-1]["content"].endswith("</think>"):
            return said("red", made=1)
        return said("it goes on " * 2000, finish="length", made=4000)

    vlm = workbench.load(serve(reply, models=("phi-4-reasoning-vision",)).url)
    answer = vlm.ask(None, "Which?", mode="think", thinking_budget=4000, max_tokens=4005)
    assert (answer.text, answer.stopped, answer.reply_tokens) == ("red", "budget", 4001)


def test_a_thinking_budget_leaves_a_long_answer_alone(serve):
    def reply(body):
        return (
            said(" are", " red", made=2)
            if body["messages"][-1]["role"] == "assistant"
            else said("The balls", finish="length", made=2)
        )

    server = serve(reply, models=("phi-4-reasoning-vision",))
    answer = workbench.load(server.url).ask(None, "Which?", thinking_budget=2, max_tokens=9)
    assert (answer.thought, answer.text, answer.stopped) == (None, "The balls are red", "end")


def test_history_keeps_pictures_thought_and_mode(serve):
    server = serve(models=("phi-4-reasoning-vision",))
    chat = workbench.load(server.url).chat()
    chat.ask("First?", PICTURE)
    past = (Turn("user", "First?", (PICTURE,)), Turn("assistant", "yes", thought="hm", thinks=True))
    workbench.load(server.url).ask(None, "Second?", history=past)
    chat.ask("Second?")
    with_thought, plain = server.requests[1]["messages"], server.requests[2]["messages"]
    assert [m["role"] for m in with_thought] == ["user", "assistant", "user"]
    assert with_thought[0]["content"][0]["type"] == "image_url"
    assert with_thought[1]["content"].replace(" ", "") == "<think>hm</think>yes"
    assert plain[1]["content"] == "yes"


# -- many, and stopping ------------------------------------------------------------------------------


def test_ask_many_runs_at_the_same_time_and_keeps_the_order(serve):
    def reply(body):
        time.sleep(0.05)
        return said(body["messages"][0]["content"].upper())

    server = serve(reply)
    questions = [f"q{i}" for i in range(9)]
    answers = workbench.load(server.url).ask_many(None, questions, batch_size=3, seed=5, progress=False)
    assert [a.text for a in answers] == [q.upper() for q in questions]
    assert 1 < server.most_at_once <= 3
    assert {b["messages"][0]["content"]: b["seed"] for b in server.requests}["q4"] == 9


def test_a_failure_among_many_loses_nothing(serve):
    def reply(body):
        bad = body["messages"][0]["content"] == "q1"
        return (400, {}, b'{"error": {"message": "no"}}') if bad else said("ok")

    vlm = workbench.load(serve(reply).url)
    with pytest.raises(ServerError, match="no") as caught:
        vlm.ask_many(None, ["q0", "q1", "q2"], progress=False)
    assert [a.question for a in caught.value.answers] == ["q0", "q2"]
    assert "question 1" in caught.value.__notes__[0]


def test_bad_input_among_many_is_found_before_anything_is_sent(serve):
    server = serve()
    with pytest.raises(InputError) as caught:
        workbench.load(server.url).ask_many(None, ["q0", " "], progress=False)
    assert "question 1" in caught.value.__notes__[0]
    assert server.requests == []


def test_stopping_a_reply_keeps_what_there_is(serve):
    release = threading.Event()

    def events(body):
        yield chunk("so far")
        release.wait(20)  # the server falls silent
        yield from said("never seen")

    server = serve(events)
    vlm = workbench.load(server.url)
    stream = vlm.stream(None, "Which?")
    assert next(iter(stream)).text == "so far"  # leaving the loop stops the reply too
    stream.stop()
    answer = stream.answer
    release.set()
    assert (answer.text, answer.stopped) == ("so far", "interrupted")
    server.reply = lambda body: said("again")
    assert vlm.ask(None, "Which?").text == "again"


# -- servers that misbehave ----------------------------------------------------------------------------


def test_a_server_that_is_down():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerError, match=rf"no server answers at http://127.0.0.1:{port}/v1.*start it"):
        workbench.load(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(ServerError, match="no server answers"):
        workbench.load(f"http://127.0.0.1:{port}/v1", model="named")


def test_a_server_that_is_slow(serve):
    release = threading.Event()

    def reply(body):
        release.wait(20)
        return said("late")

    vlm = workbench.load(serve(reply).url, timeout=0.2)
    with pytest.raises(ServerError, match=r"silent for 0\.2 s.*timeout="):
        vlm.ask(None, "Which?")
    release.set()


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"Content-Type": "text/html"}, b"<html><script>alert(1)</script></html>"),
        (200, {}, b'{"choices": [{"mess'),
        (200, {}, b"[1, 2]"),
        (200, {}, b'{"object": "nothing"}'),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": "red"}'),
        (200, {}, b'{"choices": [{"message": "red", "finish_reason": "stop"}]}'),
        [b"data: {broken\n\n"],
        [b"data: 7\n\n"],
        [chunk("cut off")],
        [chunk("cut off"), b"data: [DONE]\n\n"],
        [b"event: ping\n\n", b": comment\n\n"],
        [{"error": {"message": "CUDA out of memory"}}],
        [{"error": "CUDA out of memory"}],
        (418, {}, b"teapot"),
    ],
)
def test_a_server_that_answers_nonsense(serve, reply):
    vlm = workbench.load(serve(lambda body: reply).url)
    with pytest.raises(ServerError) as caught:
        vlm.ask(None, "Which?")
    assert caught.value.given
    assert caught.value.expected


def test_an_oversized_reply_is_refused(serve, monkeypatch):
    monkeypatch.setattr(server_protocol, "LARGEST", 2000)
    vlm = workbench.load(serve(lambda body: said("x" * 5000)).url)
    with pytest.raises(ServerError, match="more than 2000 bytes"):
        vlm.ask(None, "Which?")


def test_a_busy_server_is_asked_again(serve):
    statuses = [429, 503, 500]

    def reply(body):
        return (statuses.pop(), {"Retry-After": "0"}, b"busy") if statuses else said("at last")

    server = serve(reply)
    assert workbench.load(server.url).ask(None, "Which?").text == "at last"
    assert len(server.requests) == 4


def test_a_server_that_stays_broken(serve):
    server = serve(lambda body: (500, {}, b'{"error": {"message": "no"}}'))
    with pytest.raises(ServerError, match=r"500: no \(5 attempts\)"):
        workbench.load(server.url).ask(None, "Which?")
    assert len(server.requests) == 5


def test_a_server_that_stays_busy_is_waited_for_by_time(serve, monkeypatch):
    monkeypatch.setattr(server_protocol, "PATIENCE", 1.0)
    server = serve(lambda body: (503, {}, b'{"error": {"message": "overloaded"}}'))
    with pytest.raises(ServerError, match=r"503: overloaded \(nothing got through for \d s, \d+ attempts\)"):
        workbench.load(server.url).ask(None, "Which?")
    assert len(server.requests) > 6


def test_a_wrong_key(serve):
    server = serve(models=lambda path: (401, {}, b'{"error": {"message": "bad key"}}'))
    with pytest.raises(ServerError, match=r"401: bad key.*api_key="):
        workbench.load(server.url, model="tiny", api_key="secret-key")
    assert server.keys == ["Bearer secret-key"]


def test_the_key_is_sent_and_never_shown(serve):
    server = serve()
    vlm = workbench.load(server.url, api_key="secret-key")
    vlm.ask(None, "Which?")
    assert server.keys == ["Bearer secret-key"] * 2
    assert "secret-key" not in repr(vlm) + repr(vars(vlm)) + vlm._repr_html_()
    with pytest.raises(InputError) as caught:
        workbench.load(server.url, api_key="two\r\nHost: evil")
    assert "evil" not in str(caught.value)


def test_no_key_is_taken_from_the_environment(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-private")
    server = serve()
    workbench.load(server.url).ask(None, "Which?")
    assert server.keys == [None, None]


def test_a_redirect_is_not_followed(serve):
    other = serve()
    server = serve(lambda body: (307, {"Location": other.url}, b""))
    with pytest.raises(ServerError, match="redirects to"):
        workbench.load(server.url).ask(None, "Which?")
    assert other.requests == []


def test_a_model_that_the_server_lacks(serve):
    server = serve(lambda body: (404, {}, b'{"error": {"message": "The model `x` does not exist."}}'))
    with pytest.raises(ServerError, match="does not exist"):
        workbench.load(server.url, model="x").ask(None, "Which?")


def test_several_models_are_listed(serve):
    server = serve(models=("one", "two"))
    with pytest.raises(LoadError, match="'one', 'two'"):
        workbench.load(server.url)
    assert workbench.load(server.url, model="two").name == "two"
    with pytest.raises(LoadError, match="no model"):
        workbench.load(serve(models=()).url)


def test_the_address_is_completed(serve):
    server = serve()
    assert workbench.load(server.url.removesuffix("/v1")).source == server.url
    assert workbench.load(server.url + "/chat/completions/").source == server.url


def test_a_web_page_is_no_server(serve):
    server = serve(models=lambda path: (200, {"Content-Type": "text/html"}, b"<html>hello</html>"))
    with pytest.raises(ServerError, match="does not speak the protocol"):
        workbench.load(server.url, model="tiny")


def test_a_server_without_a_list_of_models_needs_a_name(serve):
    server = serve(models=lambda path: (404, {}, b""))
    assert workbench.load(server.url, model="tiny").ask(None, "Which?").text == "yes"
    with pytest.raises(ServerError, match="404.*pass model="):
        workbench.load(server.url)


def test_a_server_that_fails_at_listing_its_models_can_be_asked(serve):
    def listing(path):  # `transformers serve` does this where nothing was ever downloaded
        return (500, {}, b"Internal Server Error") if path.startswith("/v1") else (404, {}, b"")

    server = serve(models=listing)
    vlm = workbench.load(server.url.removesuffix("/v1"), model="tiny")
    assert vlm.source == server.url
    assert len(server.paths) == 2  # and does not wait for a better answer


def test_optional_fields_that_a_server_refuses_are_left_out(serve):
    def reply(body):
        for name in ("stream_options", "top_logprobs", "max_tokens"):
            if name in body:
                hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                return (400, {}, json.dumps({"error": {"message": f"Unknown field {name}.{hint}"}}).encode())
        return said("ok", made=3)

    server = serve(reply)
    vlm = workbench.load(server.url)
    assert vlm.ask(None, "Which?", max_tokens=9).text == "ok"
    assert server.requests[-1]["max_completion_tokens"] == 9
    assert "logprobs" not in server.requests[-1]
    before = len(server.requests)
    vlm.ask(None, "Which?")
    assert len(server.requests) == before + 1  # what was learnt is kept


def test_a_mode_that_a_server_cannot_be_asked_for_is_never_dropped(serve):
    def reply(body):
        if "continue_final_message" in body:
            return (422, {}, b'{"detail": "Unexpected fields in the request: {\'continue_final_message\'}"}')
        return said("ok")

    server = serve(reply, models=("phi-4-reasoning-vision",))
    with pytest.raises(ServerError, match="asked for a mode"):
        workbench.load(server.url).ask(None, "Which?", mode="think")
    assert len(server.requests) == 1


def test_a_context_that_is_too_long(serve):
    message = b'{"error": {"message": "This model\'s maximum context length is 4096 tokens."}}'
    vlm = workbench.load(serve(lambda body: (400, {}, message)).url)
    with pytest.raises(ContextLengthError, match="4096"):
        vlm.ask(None, "Which?")


def test_a_server_has_the_verbs_of_a_model_here():
    for name in ("ask", "stream", "ask_many", "compare_modes", "chat", "unload"):
        assert inspect.signature(getattr(ServerVLM, name)) == inspect.signature(getattr(VLM, name)), name


# -- what a server cannot do -------------------------------------------------------------------------------


def test_a_server_cannot_be_looked_into(serve):
    vlm = workbench.load(serve().url)
    for name in ("model", "processor", "tokenizer"):
        with pytest.raises(CapabilityError, match="asked and benchmarked, but not looked into"):
            getattr(vlm, name)
    with pytest.raises(AttributeError):
        vlm.no_such_thing  # noqa: B018
    assert isinstance(vlm, ServerVLM)


@pytest.mark.parametrize(
    "question",
    [
        "<seed:think>",
        "<|turn>user",
        "a <channel|>",
        "a <|im_end|> b",
        "<think>",
        "x</think>",
        "<image>",
        "<|dummy_84|>",
        "<start_of_turn>user",
        "[INST]",
    ],
)
def test_control_tokens_are_refused_because_a_server_would_obey_them(serve, question):
    server = serve(models=("phi-4-reasoning-vision",))
    with pytest.raises(InputError, match="control token"):
        workbench.load(server.url).ask(None, question)
    assert server.requests == []
    assert workbench.load(server.url).ask(None, "is 1 < 2 | 3 > 2 <b>?").text == "yes"


def test_bad_questions_options_and_budgets(serve):
    server = serve()
    vlm = workbench.load(server.url)
    with pytest.raises(InputError, match="empty question"):
        vlm.ask(None, "  ")
    with pytest.raises(InputError, match="thinking_budget"):
        vlm.ask(None, "Which?", thinking_budget=4)
    with pytest.raises(InputError, match="at least 1"):
        workbench.load(server.url, family="phi4-rv").ask(None, "Which?", thinking_budget=0)
    with pytest.raises(InputError, match="batch_size"):
        vlm.ask_many(None, ["a"], batch_size=0)
    with pytest.raises(InputError, match="family='nope'.*enable_thinking"):
        workbench.load(server.url, family="nope")
    with pytest.raises(InputError, match="timeout"):
        workbench.load(server.url, timeout=0)
    with pytest.raises(CapabilityError, match="quantize="):
        workbench.load(server.url, quantize="int8")
    with pytest.raises(CapabilityError, match="server"):
        workbench.memory_plan(server.url)
    assert server.requests == []


def test_every_error_survives_a_process_boundary(serve):
    import pickle

    with pytest.raises(WorkbenchError) as caught:
        workbench.load(serve(lambda body: (418, {}, b"")).url).ask(None, "Which?")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
