"""A model on a server, against a small server on this machine that speaks the protocol, or does not."""

from __future__ import annotations

import base64
import io
import json
import math
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

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
from workbench.models import server as server_module
from workbench.models import server_protocol
from workbench.models.server import ServerVLM
from workbench.models.server_protocol import ServedReply
from workbench.types import Turn

PICTURE = Image.new("RGB", (5, 3), (200, 30, 40))


class Server:
    """Answers requests from a script: a function from the request's body to what is sent.

    The function returns (status, headers, bytes), or a list of events for a stream.
    """

    def __init__(self, reply, models=("tiny",)):
        self.reply, self.models = reply, models
        self.requests, self.keys, self.paths = [], [], []
        self.at_once, self.most_at_once = 0, 0
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.paths.append(self.path)
                outer.keys.append(self.headers.get("Authorization"))
                if callable(outer.models):
                    return self.send(outer.models(self.path))
                if self.path != "/v1/models":
                    return self.send((404, {}, b'{"detail": "Not Found"}'))
                return self.send((200, {}, json.dumps({"data": [{"id": m} for m in outer.models]}).encode()))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.requests.append(body)
                    outer.keys.append(self.headers.get("Authorization"))
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                try:
                    self.send(outer.reply(body))
                finally:
                    with lock:
                        outer.at_once -= 1

            def send(self, what):
                if isinstance(what, tuple):
                    status, headers, data = what
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.end_headers()
                for event in what:
                    line = (
                        event
                        if isinstance(event, bytes)
                        else b"data: " + json.dumps(event).encode() + b"\n\n"
                    )
                    try:
                        self.wfile.write(line)
                        self.wfile.flush()
                    except OSError:
                        outer.hung_up = True
                        return

        self.hung_up = False
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve():
    servers = []

    def start(reply=None, **options):
        servers.append(Server(reply or (lambda body: said("yes")), **options))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch):
    monkeypatch.setattr(server_module, "BACKOFF", 0.001)


def chunk(text=None, *, finish=None, usage=None, **delta):
    if text is not None:
        delta["content"] = text
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return event | ({"usage": usage} if usage else {})


def said(*texts, finish="stop", made=7, prompt=11, **usage):
    """The events of a reply."""
    counts = {"prompt_tokens": prompt, "completion_tokens": made, **usage}
    last = {"choices": [], "usage": counts}
    return [chunk(role="assistant"), *map(chunk, texts), chunk(finish=finish), last, b"data: [DONE]\n\n"]


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


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought_in_a_field_of_its_own(serve, name):
    events = [chunk(**{name: "two "}), chunk(**{name: "and two"}), *said("4", made=8)]
    answer = workbench.load(serve(lambda body: events).url).ask(None, "2+2?")
    assert (answer.thought, answer.text) == ("two and two", "4")
    assert answer.thought_tokens + answer.answer_tokens == 8
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


def test_a_server_that_stays_busy(serve):
    server = serve(lambda body: (503, {}, b'{"error": {"message": "overloaded"}}'))
    with pytest.raises(ServerError, match=r"503: overloaded \(5 attempts\)"):
        workbench.load(server.url).ask(None, "Which?")
    assert len(server.requests) == 5


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
    ["a <|im_end|> b", "<think>", "x</think>", "<image>", "<|dummy_84|>", "<start_of_turn>user", "[INST]"],
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
