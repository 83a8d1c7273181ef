"""What a hostile or broken server sends: every case is a clear `ServerError`, none is raw, none hangs."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import random
import shutil
import ssl
import subprocess
import threading

import pytest
from servers import chunk, said

import workbench
from workbench.errors import InputError, LoadError, ServerError, WorkbenchError
from workbench.models import server_protocol
from workbench.models.server import ServerVLM
from workbench.models.server_protocol import Fields, Nonsense, ServedReply, read_json

NAN, INFINITY = float("nan"), float("inf")

# -- fields of the wrong kind ------------------------------------------------------------------------

WRONG = {
    "text": (5, 0, 1.5, True, False, [], ["a"], {}, {"a": 1}),
    "content": (5, 0, True, {}, {"a": 1}, ["a"], [[]], [5], [None]),
    "count": ("5", "", -1, 1.5, True, [], {}, NAN, INFINITY, -INFINITY, 10**30, 10**400),
    "number": ("-1", "", True, [], {}, NAN),
    "object": ("x", "", 5, 0, True, False, [], [1], [{}]),
    "objects": ("x", "", 5, True, {}, {"0": {}}, ["a"], [5], [[]], [None]),
}
FIELDS = {
    "choices": "objects",
    "choices.0.index": "count",
    "choices.0.finish_reason": "text",
    "choices.0.delta": "object",
    "choices.0.delta.content": "content",
    "choices.0.delta.refusal": "text",
    "choices.0.delta.reasoning_content": "text",
    "choices.0.delta.reasoning": "text",
    "choices.0.delta.reasoning_text": "text",
    "choices.0.delta.thinking": "text",
    "choices.0.delta.reasoning_details": "objects",
    "choices.0.delta.reasoning_details.0.text": "text",
    "choices.0.delta.reasoning_details.0.summary": "text",
    "choices.0.logprobs": "object",
    "choices.0.logprobs.content": "objects",
    "choices.0.logprobs.content.0.top_logprobs": "objects",
    "choices.0.logprobs.content.0.top_logprobs.0.token": "text",
    "choices.0.logprobs.content.0.top_logprobs.0.logprob": "number",
    "usage": "object",
    "usage.prompt_tokens": "count",
    "usage.completion_tokens": "count",
    "usage.prompt_tokens_details": "object",
    "usage.prompt_tokens_details.image_tokens": "count",
    "usage.completion_tokens_details": "object",
    "usage.completion_tokens_details.reasoning_tokens": "count",
}
VALID = {
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "delta": {"content": "red", "reasoning_details": [{"type": "reasoning.text"}]},
            "logprobs": {"content": [{"top_logprobs": [{"token": "red", "logprob": -0.1}]}]},
        }
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "prompt_tokens_details": {"image_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
CASES = [(path, value) for path, kind in FIELDS.items() for value in WRONG[kind]]
SOME = 9  # one case in so many also goes through a real connection


def with_value(path, value):
    event = copy.deepcopy(VALID)
    *way, last = path.split(".")
    holder = event
    for step in way:
        holder = holder[int(step)] if step.isdecimal() else holder.setdefault(step, {})
    holder[last] = value
    if path.endswith("details.0.summary"):
        holder["text"] = ""
    return event


def name_of(path):
    """choices.0.delta.content -> choices[0].delta.content"""
    return "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in path.split("."))[1:]


@pytest.mark.parametrize(("path", "value"), CASES, ids=lambda x: repr(x)[:30])
def test_a_field_of_the_wrong_kind_is_named(path, value):
    with pytest.raises(Nonsense) as caught:
        ServedReply(("<think>", "</think>")).take(with_value(path, value), "http://server/v1")
    assert name_of(path) in caught.value.given
    assert len(str(caught.value)) < 500


def test_the_valid_event_is_read():
    reply = ServedReply(("<think>", "</think>"))
    reply.take(copy.deepcopy(VALID), "http://server/v1")
    reply.end()
    assert (reply.text, reply.finish, reply.usage.prompt, reply.usage.made) == ("red", "end", 5, 2)


@pytest.mark.parametrize("path", list(FIELDS)[1:])
def test_a_null_is_as_absent(path):
    reply = ServedReply(("<think>", "</think>"))
    reply.take(with_value(path, None), "http://server/v1")
    reply.end()
    assert isinstance(reply.text, str)


def test_wrong_fields_end_no_run_with_a_raw_error(serve):
    event = []
    vlm = workbench.load(serve(lambda body: [event[0], chunk(finish="stop")]).url)
    for path, value in CASES[::SOME]:
        event[:] = [with_value(path, value)]
        with pytest.raises(ServerError):
            vlm.ask(None, "Which?")
    server_ids = (
        {"data": [{"id": 5}]},
        {"data": 5},
        {"data": ["a"]},
        {"data": {}},
        {},
        [],
        5,
        "x",
        None,
        [[]],
    )
    for listing in server_ids:
        data = json.dumps(listing).encode()
        with pytest.raises((ServerError, LoadError)):
            ServerVLM(serve(models=lambda path, data=data: (200, {}, data)).url)


def test_random_damage_to_a_reply_is_never_raw():
    """2,000 replies with a few values replaced by others, and 2,000 with bytes changed."""
    rng = random.Random(5)
    values = [
        None,
        0,
        -1,
        1e308,
        "",
        "x",
        "</think>",
        [],
        {},
        [[]],
        [{}],
        True,
        NAN,
        10**50,
        "\ud83d",
        "\x00",
    ]
    raised = read = 0

    def damage(value):
        if rng.random() < 0.08:
            return rng.choice(values)
        if isinstance(value, dict):
            return {name: damage(part) for name, part in value.items()}
        return [damage(part) for part in value] if isinstance(value, list) else value

    def one(data):
        nonlocal raised, read
        reply = ServedReply(("<think>", "</think>"))
        try:
            found = read_json(data)
        except InputError:
            raised += 1
            return
        try:
            reply.take(found, "http://server/v1")
            reply.end()
            (reply.text + (reply.thought or "")).encode()
            read += 1
        except ServerError:
            raised += 1

    for _ in range(2000):
        one(json.dumps(damage(VALID)).encode())
    whole = json.dumps(VALID).encode()
    for _ in range(2000):
        changed = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        one(bytes(changed))
    assert raised > 1000
    assert read > 500


# -- JSON ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\xfa", "no JSON"),
        (b'{"a": "\xc3"}', "no JSON"),
        (b'{"a": 1', "no JSON"),
        (b"{} {}", "no JSON"),
        (b"'a'", "no JSON"),
        (b"1" * 5000, "no JSON"),
        (b"\x00\x00\x00\x7b", "no JSON"),
        (b"<html></html>", "no JSON"),
        (b"[" * 65 + b"]" * 65, "too deeply"),
        (b"[" * 900 + b"]" * 900, "too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "too deeply"),
        (b"[" * 100_000, "too deeply|no JSON"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "too deeply"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "too deeply"),
        (b"[" + b"[]," * 2_100_000 + b"1]", "too large"),
        (b'"' + b"x" * (64 * 2**20) + b'"', "too large"),
    ],
    ids=range(17),
)
def test_json_of_a_stranger_has_limits(data, why):
    with pytest.raises(InputError, match=why):
        read_json(data)


def test_json_within_the_limits_is_read():
    assert read_json(b"[" * 64 + b"1" + b"]" * 64) is not None
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    fields = Fields({"n": 7.0, "none": None, "low": -(10**400)}, "url")
    assert (fields.count("n"), fields.count("none"), fields.number("low")) == (7, None, -1e300)


# -- bytes ---------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
WHOLE = json.dumps({"choices": [{"message": {"content": "red"}, "finish_reason": "stop"}]}).encode()
BROKEN = {
    "nothing": [],
    "garbage": [b"\x00\x01\x02\x03" * 100],
    "an SSH banner": [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)],
    "HTTP/0.9": [b"<html>hello</html>"],
    "an unknown version": [b"HTTP/9.9 200 OK\r\n\r\n"],
    "a status that is no number": [b"HTTP/1.1 abc OK\r\n\r\n"],
    "a status out of range": [b"HTTP/1.1 99999 OK\r\n\r\n"],
    "half a head": [b"HTTP/1.1 200 OK\r\nContent-Ty"],
    "a header without a colon": [b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n{}"],
    "a header of 300 kB": [OK + b"X: " + b"a" * 300_000 + b"\r\n\r\n" + WHOLE],
    "5,000 headers": [OK + b"X: y\r\n" * 50_000 + b"\r\n" + WHOLE],
    "a negative length": [OK + b"Content-Length: -5\r\n\r\n" + WHOLE],
    "a length that is no number": [OK + b"Content-Length: many\r\n\r\n" + WHOLE],
    "two lengths": [OK + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + WHOLE],
    "less than its length": [OK + b"Content-Length: 9999\r\n\r\n" + WHOLE],
    "a chunk of size -5": [STREAM + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n"],
    "a chunk of size zz": [STREAM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"],
    "an endless chunk size": [STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100_000],
    "half a chunk": [STREAM + b"Transfer-Encoding: chunked\r\n\r\nff\r\nhello"],
    "an unknown encoding": [OK + b"Transfer-Encoding: magic\r\n\r\n" + WHOLE],
    "gzip": [OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00" + bytes(50)],
    "a stream in gzip": [STREAM + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00" + bytes(50)],
    "brotli": [OK + b"Content-Encoding: br\r\n\r\nabc"],
    "an empty body": [OK + b"Content-Length: 0\r\n\r\n"],
    "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "not modified": [b"HTTP/1.1 304 Not Modified\r\n\r\n"],
    "a redirect to nowhere": [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"],
    "a redirect to markup": [
        b"HTTP/1.1 302 Found\r\nLocation: javascript:alert(1)\r\nContent-Length: 0\r\n\r\n"
    ],
    "a switch of protocols": [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"],
    "a proxy that wants a password": [b"HTTP/1.1 407 Proxy\r\nContent-Length: 0\r\n\r\n"],
    "half an event": [STREAM + b'\r\ndata: {"choices": [{"delta": {"content": "r'],
    "an event that is no JSON": [STREAM + b"\r\ndata: red\n\n"],
    "an event that is a list": [STREAM + b"\r\ndata: [1]\n\n"],
    "an event that is a number": [STREAM + b"\r\ndata: 5\n\n"],
    "an event of bytes": [STREAM + b"\r\ndata: \xff\xfe\n\n"],
    "a deep event": [STREAM + b"\r\ndata: " + b"[" * 50_000 + b"\n\n"],
    "no events": [STREAM + b"\r\n"],
    "only the end": [STREAM + b"\r\ndata: [DONE]\n\n"],
    "only comments": [STREAM + b"\r\n: hello\n\n: hello\n\n"],
    "an unknown charset": [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=idna\r\n\r\ndata: \xff\xff\n\n"
    ],
    "a header in Latin": [b"HTTP/1.1 200 OK\r\nContent-Type: \xe4\xf6\xfc\r\n\r\nhello"],
    "a teapot": [b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 3\r\n\r\ntea"],
    "an error in bytes": [b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x1b"],
    "a deep error": [b"HTTP/1.1 500 No\r\n\r\n" + b"[" * 50_000],
    "an error that is a number": [b"HTTP/1.1 500 No\r\n\r\n5"],
    "an error of lists": [b'HTTP/1.1 500 No\r\n\r\n{"error": [[[]]], "message": {"a": []}}'],
    "an endless redirect": [
        b"HTTP/1.1 302 Found\r\nLocation: " + b"a" * 90_000 + b"\r\nContent-Length: 0\r\n\r\n"
    ],
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_bytes_that_are_not_the_protocol(serve_raw, parts):
    server = serve_raw(lambda: parts)
    with pytest.raises(ServerError) as caught:
        ServerVLM(server.url, model="named", timeout=20.0)._served.endpoint.get("/models")
    assert len(str(caught.value)) < 1000
    vlm = lazy(server.url, timeout=20.0)
    with pytest.raises(ServerError) as caught:
        vlm.ask(None, "Which?", max_tokens=5)
    assert caught.value.given
    assert len(str(caught.value)) < 1000


def lazy(url, **options):
    """A model on a server that is not asked for its models."""
    vlm = ServerVLM.__new__(ServerVLM)
    endpoint = server_protocol.Endpoint(url, **options)
    from workbench.models.server import Served, served_family

    vlm.name, vlm.source, vlm.family = "named", url, served_family("named")
    vlm._served = Served(endpoint, "named", vlm.family)
    return vlm


@pytest.mark.parametrize(
    "parts",
    [
        [OK + b"\r\n" + WHOLE],
        [OK.replace(b"1.1", b"1.0") + b"\r\n" + WHOLE],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + b"\r\n" + WHOLE],
        [STREAM + b"\r\ndata: " + WHOLE],
        [STREAM + b"\r\ndata: " + WHOLE + b"\r\rdata: [DONE]\r\r"],
        [STREAM + b"\r\ndata: " + WHOLE + b"\r\n\r\ndata: [DONE]\r\n\r\n"],
        [STREAM + b"\r\nevent: x\nid: 5\nretry: 9\ndata: " + WHOLE[:11] + b"\ndata: " + WHOLE[11:] + b"\n\n"],
        [STREAM + b"\r\n: ping\n\ndata:" + WHOLE + b"\n\n: ping\n\n"],
        [
            STREAM + b"Transfer-Encoding: chunked\r\n\r\n",
            b"%x\r\ndata: " % (len(WHOLE) + 8),
            WHOLE,
            b"\n\n\r\n0\r\n\r\n",
        ],
        [STREAM + b"\r\n", *(bytes([byte]) for byte in b"data: " + WHOLE + b"\n\n")],
    ],
    ids=range(10),
)
def test_bytes_that_are_the_protocol_however_they_are_written(serve_raw, parts):
    assert lazy(serve_raw(lambda: parts).url).ask(None, "Which?").text == "red"


# -- replies without end ---------------------------------------------------------------------------------


def forever(first, again, *, pause=0.0):
    """Bytes that never end; with a pause they come slowly."""

    def reply():
        yield first
        tick = threading.Event()
        while True:
            if pause:
                tick.wait(pause)
            yield again

    return reply


def event(**delta):
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


TOO_MUCH = {
    "text": forever(STREAM + b"\r\n", event(content="red " * 50)),
    "a thought": forever(STREAM + b"\r\n", event(reasoning="red " * 50)),
    "data lines without a blank line": forever(STREAM + b"\r\n", b"data: " + b"x" * 1000 + b"\n"),
    "a line without an end": forever(STREAM + b"\r\n", b"x" * 1000),
    "comments": forever(STREAM + b"\r\n", b": ping\n\n" * 100),
    "empty events": forever(STREAM + b"\r\n", event() * 50),
    "roles": forever(STREAM + b"\r\n", event(role="assistant") * 50),
    "counts": forever(STREAM + b"\r\n", b'data: {"choices": [], "usage": {"prompt_tokens": 5}}\n\n' * 50),
    "other choices": forever(
        STREAM + b"\r\n", b'data: {"choices": [{"index": 1, "delta": {"content": "x"}}]}\n\n' * 50
    ),
    "JSON": forever(OK + b"\r\n[", b"1," * 5000),
    "headers": forever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
    "a head without an end": forever(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 10_000),
    "blank lines": forever(STREAM + b"\r\n", b"\n" * 10_000),
    "what begins a delimiter": forever(STREAM + b"\r\n", event(content="\n" * 200)),
    "chunks": forever(STREAM + b"Transfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b": " * 5000 + b"\r\n"),
}


@pytest.mark.parametrize("reply", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_reply_without_end_is_ended(serve_raw, reply):
    with pytest.raises(ServerError, match="more than|goes on after|broke off|hung up|silent"):
        lazy(serve_raw(reply).url, timeout=30.0).ask(None, "Which?", max_tokens=5)


SLOW = {
    "nothing": forever(b"", b"", pause=0.05),
    "a status line": forever(b"H", b"", pause=0.05),
    "progress of its own kind": forever(b"", b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.05),
    "headers": forever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause=0.05),
    "comments": forever(STREAM + b"\r\n", b": ping\n\n", pause=0.05),
    "bytes of an event": forever(STREAM + b"\r\ndata: ", b"x", pause=0.05),
    "bytes of JSON": forever(OK + b"\r\n", b" ", pause=0.05),
    "empty events": forever(STREAM + b"\r\n", event(content=""), pause=0.05),
    "roles": forever(STREAM + b"\r\n", event(role="assistant"), pause=0.05),
    "counts": forever(
        STREAM + b"\r\n", b'data: {"choices": [], "usage": {"prompt_tokens": 5}}\n\n', pause=0.05
    ),
    "unknown fields": forever(STREAM + b"\r\n", event(ping=True), pause=0.05),
    "pings": forever(STREAM + b"\r\n", b"event: ping\ndata:\n\n", pause=0.05),
    "chunks": forever(STREAM + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n:\r\n", pause=0.05),
    "an error": forever(b"HTTP/1.1 500 No\r\n\r\n", b"x", pause=0.05),
}


@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW)
def test_keep_alives_do_not_stand_for_progress(serve_raw, reply):
    with pytest.raises(ServerError, match=r"silent for 0\.4 s"):
        lazy(serve_raw(reply).url, timeout=0.4).ask(None, "Which?")


@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW)
def test_a_slow_reply_can_be_stopped(serve_raw, reply):
    server = serve_raw(reply)
    stream = lazy(server.url, timeout=60.0).stream(None, "Which?")
    while not server.requests:
        threading.Event().wait(0.01)
    stream.stop()
    assert stream.answer.stopped == "interrupted"


def test_slow_text_is_progress(serve):
    def slow(body):
        tick = threading.Event()
        for word in ("It ", "is ", "red", "."):
            tick.wait(0.3)
            yield chunk(word)
        yield from said()

    assert workbench.load(serve(slow).url, timeout=0.6).ask(None, "Which?").text == "It is red."


def test_a_whole_reply_is_kept_whatever_comes_after_it(serve_raw):
    done = (
        STREAM
        + b"\r\n"
        + event(content="red")
        + b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    )
    for reply in (
        lambda: [done],
        lambda: [done.replace(b"event-stream\r\n", b"event-stream\r\nContent-Length: 99999\r\n")],
        forever(done, b"", pause=0.05),
        forever(done, b": ping\n\n", pause=0.05),
        forever(done, done[len(STREAM) + 2 :], pause=0.05),
    ):
        answer = lazy(serve_raw(reply).url, timeout=0.3).ask(None, "Which?")
        assert (answer.text.replace("red", ""), answer.stopped, answer.answer_tokens) == ("", "end", None)
        assert answer.text


# -- replies that are cut ----------------------------------------------------------------------------------


def cutting(times, *, how):
    """A server whose first replies are cut in some way."""
    counter = itertools.count()

    def reply(body):
        if next(counter) < times:
            return [chunk("It is "), *how]
        return said("It is ", "red.")

    return reply


CUTS = {
    "no reason": [],
    "only the end": [b"data: [DONE]\n\n"],
    "an error": [{"error": {"message": "CUDA out of memory"}}],
    "an error with a choice": [{"error": {"message": "gone", "code": 502}, "choices": []}],
    "a word": [chunk(finish="error")],
    "another word": [chunk(finish="abort")],
    "half an event": [b'data: {"choices": [{"del'],
}


@pytest.mark.parametrize("how", CUTS.values(), ids=CUTS)
def test_a_reply_that_is_cut_is_asked_for_again_and_shown_once(serve, how):
    server = serve(cutting(3, how=how))
    stream = workbench.load(server.url).stream(None, "Which?")
    pieces = "".join(piece.text for piece in stream)
    assert (pieces, stream.answer.text, stream.answer.answer_tokens) == ("It is red.", "It is red.", 7)
    assert len(server.requests) == 4
    server.reply = cutting(99, how=how)
    with pytest.raises(ServerError, match="5 attempts"):
        workbench.load(server.url).ask(None, "Which?")


def test_what_may_be_a_delimiter_at_the_end_is_not_lost_by_a_cut(serve):
    counter = itertools.count()
    vlm = workbench.load(serve(lambda body: said("a <", "/thi") if next(counter) else [chunk("a <")]).url)
    stream = vlm.stream(None, "Which?")
    assert "".join(piece.text for piece in stream) == "a </thi"
    assert stream.answer.text == "a </thi"


def test_a_cut_after_the_budget_repeats_only_what_was_cut(serve):
    counter = itertools.count()

    def reply(body):
        if not body["messages"][-1]["content"].endswith("</think>"):
            return said("it goes on", finish="length", made=5)
        return [chunk("re")] if next(counter) < 2 else said("red", made=1)

    server = serve(reply, models=("phi-4-reasoning-vision",))
    answer = workbench.load(server.url).ask(None, "Which?", mode="think", thinking_budget=5, max_tokens=20)
    assert (answer.thought, answer.text, answer.stopped) == ("it goes on", "red", "budget")
    assert answer.reply_tokens == 6
    assert [body["max_tokens"] for body in server.requests] == [5, 15, 15, 15]


@pytest.mark.parametrize(
    ("error", "requests"),
    [
        ({"message": "no", "code": 400}, 1),
        ({"message": "no", "code": "422"}, 1),
        ({"message": "no", "type": "invalid_request_error"}, 1),
        ({"message": "no", "code": 401}, 1),
        ({"message": "no", "code": 404}, 1),
        ({"message": "no", "code": 500}, 5),
        ({"message": "no", "code": None}, 5),
        ("no", 5),
    ],
)
def test_an_error_within_a_reply_counts_as_its_status(serve, error, requests):
    server = serve(lambda body: [{"error": error}])
    with pytest.raises(ServerError, match="reports: no"):
        workbench.load(server.url).ask(None, "Which?")
    assert len(server.requests) == requests


# -- secrets and addresses -----------------------------------------------------------------------------------

KEY = 'sk-own"key\\1234567890'


@pytest.mark.parametrize(
    "reply",
    [
        (401, {}, json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()),
        (401, {}, f"Incorrect API key provided: {KEY}".encode()),
        (500, {}, json.dumps({"detail": {"key": KEY}}).encode()),
        (400, {}, json.dumps({KEY: KEY}).encode()),
        (302, {"Location": f"https://elsewhere/?key={KEY}"}, b""),
        (200, {}, f"not JSON {KEY}".encode()),
        (200, {}, json.dumps({"choices": KEY}).encode()),
        (200, {}, json.dumps({"choices": [{"finish_reason": [KEY]}]}).encode()),
        (200, {}, json.dumps({"choices": [{KEY: 1, "delta": {"content": [KEY]}}]}).encode()),
        [{"error": {"message": f"bad key {KEY}"}}],
        [chunk("red"), {"error": f"bad key {KEY}"}],
        [f"data: {KEY}\n\n".encode()],
        [chunk(finish="error", content=KEY)],
    ],
    ids=range(13),
)
def test_the_own_key_is_in_no_error(serve, reply):
    vlm = workbench.load(serve(lambda body: reply).url, api_key=KEY)
    with pytest.raises(ServerError) as caught:
        vlm.ask(None, "Which?")
    shown = str(caught.value) + repr(caught.value)
    for part in (KEY, json.dumps(KEY)[1:-1], "sk-own"):
        assert part not in shown
    assert caught.value.__cause__ is None or KEY not in str(caught.value.__cause__)


def test_the_own_key_is_in_no_answer_and_no_name(serve, tmp_path):
    server = serve(lambda body: said("your key is ", KEY[:5], KEY[5:], " bye"), models=(f"model {KEY}",))
    vlm = workbench.load(server.url, api_key=KEY)
    answer = vlm.ask(None, "Which?")
    assert answer.text == "your key is [api_key] bye"
    assert (
        "sk-own" not in repr(vlm) + repr(answer) + (answer.save(tmp_path / "a") / "answer.json").read_text()
    )


def test_a_short_key_is_no_secret(serve):
    answer = workbench.load(serve(lambda body: said("EMPTY handed")).url, api_key="EMPTY").ask(None, "Which?")
    assert answer.text == "EMPTY handed"


SECRETS = (
    "http://user:hunter22@{}/v1",
    "http://hunter22@{}/v1",
    "http://:hunter22@{}/v1",
    "http://{}/v1?api_key=hunter22",
    "http://{}/v1?hunter22",
    "http://{}/v1#hunter22",
    "http://user:hunter22@{}/v1?key=hunter22#hunter22",
    "https://user:hunter22@huggingface.co/owner/name",
    "http://user:hunter22@[::1/v1",
    "http://user:hunter22@{}:x/v1",
)
BAD = (
    "http://[::1", "http://exa mple/v1", "http://", "http:/a/v1", "http://:80/v1", "http://a:99999/v1", "http://a:0/v1",
    "http://a:b/v1", "http://a:-1/v1", "http://a..b/v1", "http://.a/v1", "http://-a/v1", "http://a\\b/v1", "http://%41/v1",
    "http://*/v1", "http://a,b/v1", "http://a\n/v1", "http://a\t/v1", "http://a\x01/v1", "http://a/\x7f",
    "http://" + "a" * 64 + "/v1", "http://" + "a." * 200 + "b/v1", "http://" + "a" * 100_000, "http://\ud800/v1",
    "http://[fe80::1%25eth0]/v1", "http://[:::::::::]/v1", "http://a:٣/v1", "ftp://a/v1", "ws://a/v1", "file:///etc/passwd",
    "://a", "http://<script>/v1", "http://a'b/v1", "http://a/ b",
)  # fmt: skip


@pytest.mark.parametrize("address", SECRETS)
def test_a_secret_in_an_address_is_refused_and_not_shown(address):
    address = address.format("127.0.0.1:9")
    for call in (workbench.load, ServerVLM, server_protocol.Endpoint):
        with pytest.raises((InputError, LoadError)) as caught:
            call(address)
        assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("address", BAD, ids=range(len(BAD)))
def test_a_bad_address_is_named(address):
    for call in (workbench.load, ServerVLM):
        with pytest.raises((InputError, LoadError)) as caught:
            call(address)
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "options", [{"model": 5}, {"model": ""}, {"api_key": 5}, {"timeout": "x"}, {"timeout": float("nan")}]
)
def test_bad_options(options):
    with pytest.raises(InputError):
        ServerVLM("http://127.0.0.1:9/v1", **options)


def test_the_systems_proxy_is_used_but_not_for_this_machine(serve, serve_raw, monkeypatch):
    asked = []
    proxy = serve_raw(lambda: asked.append(1) or [OK + b"\r\n" + b'{"data": [{"id": "far"}]}'])
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ServerVLM("http://model.invalid/v1").name == "far"
    assert asked
    assert ServerVLM(serve().url).name == "tiny"


@pytest.mark.parametrize(
    "proxy", ["socks5://u:hunter22@127.0.0.1:9", "http://u:hunter22@[::1", "nonsense://hunter22"]
)
def test_a_proxy_that_cannot_be_used(monkeypatch, proxy):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="proxy in the environment") as caught:
        ServerVLM("http://model.invalid/v1")
    assert "hunter22" not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for "localhost" that nobody trusts, and of its key."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("the openssl command makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "certificate.pem", folder / "key.pem"
    new = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([openssl, *new, *name, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


def test_only_a_trusted_certificate_for_the_same_name_is_accepted(serve, certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = serve()
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    by_number = server.url.replace("http:", "https:")
    by_name = by_number.replace("127.0.0.1", "localhost")
    for url in (by_name, by_number):
        with pytest.raises(ServerError, match="no valid TLS"):
            ServerVLM(url, model="tiny", api_key="secret-key")
    trusting = ssl.create_default_context(cafile=certificate[0])
    monkeypatch.setattr(server_protocol, "_tls", lambda: trusting)
    with pytest.raises(ServerError, match=r"no valid TLS.*127\.0\.0\.1"):
        ServerVLM(by_number, model="tiny", api_key="secret-key")
    assert server.keys == []
    assert ServerVLM(by_name, api_key="secret-key").ask(None, "Which?").text == "yes"


def test_a_plain_server_is_no_tls(serve_raw):
    context = server_protocol._tls()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    server = serve_raw(lambda: [b"HTTP/1.1 400 plain\r\n\r\n"], at_once=True)
    with pytest.raises(ServerError, match="no valid TLS"):
        ServerVLM(server.url.replace("http:", "https:"), model="named")


def test_a_handle_can_be_pickled(serve):
    vlm = workbench.load(serve().url)
    assert pickle.loads(pickle.dumps(vlm)).ask(None, "Which?").text == "yes"


def test_every_error_of_a_server_is_one_of_ours():
    for name in server_protocol.__all__:
        kind = getattr(server_protocol, name)
        if isinstance(kind, type) and issubclass(kind, Exception) and name != "Stopped":
            assert issubclass(kind, WorkbenchError)
