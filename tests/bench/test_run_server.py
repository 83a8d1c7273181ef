"""A run against a server: several requests at once, repeated when it is busy, resumable when it is down."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bench_fakes import yes_no

import workbench
from workbench import bench
from workbench.errors import ServerError
from workbench.journal import Journal
from workbench.models import server_protocol


class Server:
    """Answers in the chat-completions protocol as ``reply(question)`` says: text, a status, or all of it."""

    def __init__(self, reply):
        self.asked, self.now, self.most = [], 0, 0
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send(200, {"data": [{"id": "tiny"}]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = body["messages"][-1]["content"]
                question = content if isinstance(content, str) else content[-1]["text"]
                with lock:
                    outer.asked.append(question)
                    outer.now += 1
                    outer.most = max(outer.most, outer.now)
                said = reply(question)
                with lock:
                    outer.now -= 1
                message = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
                usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}
                whole = said if isinstance(said, dict) else message | usage
                self.send(said if isinstance(said, int) else 200, whole)

            def send(self, status, what):
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(json.dumps(what).encode())
                except OSError:  # the client gave up
                    pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(server_protocol, "BACKOFF", 0.001)
    servers = []

    def start(reply=lambda question: "yes"):
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def test_several_requests_are_under_way_at_once_and_each_item_is_asked_once(serve, tmp_path) -> None:
    gate = threading.Barrier(4, timeout=20)

    def together(question):
        gate.wait()  # passes only if four requests are here at the same time
        return "yes"

    server = serve(together)
    vlm = workbench.load(server.url)
    results = bench.run(vlm, yes_no(12), modes=["auto"], folder=tmp_path, workers=4, progress=False)
    assert server.most == 4
    assert set(Counter(server.asked).values()) == {1}
    assert len(results) == 12
    assert results.frame()["value"].sum() == 6
    assert results.frame()["details"].iloc[0]["at_once"] == 4


def test_a_busy_server_is_asked_again_and_nothing_is_lost(serve, tmp_path) -> None:
    tried = Counter()

    def busy(question):
        tried[question] += 1
        return 503 if tried[question] < 3 else "yes"

    server = serve(busy)
    results = bench.run(
        workbench.load(server.url), yes_no(6), modes=["auto"], folder=tmp_path, progress=False
    )
    assert results.warnings == ()
    assert set(tried.values()) == {3}
    assert len(Journal(tmp_path / "journal.jsonl").entries) == 6


def test_a_server_that_goes_down_ends_the_run_which_goes_on_later(serve, tmp_path) -> None:
    up = [True]
    server = serve(lambda question: "yes" if up[0] or question < "Is 5" else 500)
    up[0] = False
    vlm = workbench.load(server.url)
    with pytest.raises(ServerError, match="in a row failed"):
        bench.run(vlm, yes_no(60), modes=["auto"], folder=tmp_path, workers=2, progress=False)
    kept = bench.open_run(tmp_path).frame()
    assert kept["response"].notna().sum() >= 1
    up[0] = True
    asked_before = len(server.asked)
    results = bench.run(vlm, yes_no(60), modes=["auto"], folder=tmp_path, workers=2, progress=False)
    assert len(server.asked) - asked_before == 60 - kept["response"].notna().sum()
    assert results.frame()["response"].tolist() == ["yes"] * 60
    assert results.warnings == ()


def test_tokens_that_a_server_does_not_tell_are_unknown_in_the_table(serve, tmp_path) -> None:
    server = serve(lambda question: {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]})
    results = bench.run(
        workbench.load(server.url), yes_no(4), modes=["auto"], folder=tmp_path, progress=False
    )
    for table in (results.frame(), bench.open_run(tmp_path).frame()):
        assert table[["tokens", "prompt_tokens", "thought_tokens", "answer_tokens"]].isna().all(axis=None)
        assert table["value"].notna().all()


@pytest.mark.filterwarnings("ignore:tiny. the server's content filter")
def test_withheld_replies_are_counted(serve, tmp_path) -> None:
    def reply(question):
        end = "content_filter" if question[3] in "135" else "stop"
        return {"choices": [{"message": {"content": "yes"}, "finish_reason": end}]}

    results = bench.run(
        workbench.load(serve(reply).url), yes_no(8), ["auto"], folder=tmp_path, progress=False
    )
    assert "withheld: 3 of 8 replies (content_filter)" in results.warnings


def test_malformed_replies_are_failed_rows_and_end_no_run(serve, tmp_path) -> None:
    wrong = iter([{"finish_reason": []}, {"logprobs": "x"}, {"message": 5}])

    def reply(question):
        choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
        return {"choices": [choice | (next(wrong) if question[3] in "135" else {})]}

    results = bench.run(
        workbench.load(serve(reply).url), yes_no(8), modes=["auto"], folder=tmp_path, progress=False
    )
    assert results.frame()["response"].isna().sum() == 3
    assert any("failed: 3 of 8" in warning for warning in results.warnings)


def test_one_request_that_is_refused_is_one_failed_row(serve, tmp_path) -> None:
    server = serve(lambda question: 400 if question.startswith("Is 3") else "no")
    results = bench.run(
        workbench.load(server.url), yes_no(8), modes=["auto"], folder=tmp_path, progress=False
    )
    assert results.frame().set_index("item")["response"].isna().sum() == 1
    assert any("failed: 1 of 8" in warning for warning in results.warnings)


def test_ctrl_c_stops_the_requests_and_keeps_the_replies(serve, tmp_path) -> None:
    release = threading.Event()

    def slow(question):
        if question > "Is 3":
            release.wait(20)
        return "yes"

    server = serve(slow)
    vlm = workbench.load(server.url)

    def interrupt():
        while len(Journal(tmp_path / "journal.jsonl").entries) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        bench.run(vlm, yes_no(9), modes=["auto"], folder=tmp_path, workers=3, progress=False)
    release.set()
    assert any("3 of 9 replies are kept" in note for note in stopped.value.__notes__)
    before = len(server.asked)
    results = bench.run(vlm, yes_no(9), modes=["auto"], folder=tmp_path, workers=3, progress=False)
    assert len(results) == 9
    assert len(server.asked) - before == 6
