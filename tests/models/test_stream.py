"""Streaming and stopping: the reader, the handle, interruption at any moment, memory."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import signal
import threading
import weakref

import pytest
import torch
from scripted import CLOSE, END, PICTURE, THINK, ids, replies, thinker, tiny

from workbench.errors import CapabilityError, InputError, OutOfMemoryError, WorkbenchError
from workbench.models.device import is_out_of_memory
from workbench.models.generate import IncrementalText, ReplyReader
from workbench.models.load import load
from workbench.types import Piece


@pytest.fixture(scope="module")
def vlm():
    return tiny()


@pytest.fixture(scope="module")
def words(vlm):
    return ids(vlm, " first red then blue"), ids(vlm, " purple and café 漢字 😀")


# -- the reader, without a model -------------------------------------------------------------------


def bytes_of(ids_: list[int]) -> str:
    return bytes(ids_).decode("utf-8", errors="replace")


@pytest.mark.parametrize("text", ["plain", "café 漢字 😀 end", "😀" * 40, "a\u0301 e\u200d👩\u200d💻"])
def test_text_is_never_half_a_character(text):
    reader = IncrementalText(bytes_of)
    pieces = [reader.push(b) for b in text.encode()]
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) + reader.flush() == text


@pytest.mark.parametrize("seed", range(20))
def test_broken_bytes_come_out_as_in_one_go(seed):
    rng = random.Random(seed)
    raw = [rng.choice([0x41, 0x20, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xC3, 0xFF]) for _ in range(200)]
    reader = IncrementalText(bytes_of)
    assert "".join(reader.push(b) for b in raw) + reader.flush() == bytes_of(raw)


def read(tokens, *, decode=None, **kwargs):
    """Pieces of the same kind joined, in order, and the reader."""
    reader = ReplyReader(decode or bytes_of, **kwargs)
    pieces = [p for t in tokens for p in reader.push(t)] + reader.finish()
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].kind == piece.kind:
            joined[-1] = Piece(joined[-1].text + piece.text, piece.kind)
        else:
            joined.append(piece)
    return joined, reader


ONE = {"think_open": [1], "think_close": [2], "delimiters": ("<think>", "</think>")}
TEXT = {"think_open": [60, 116, 62], "think_close": [60, 47, 116, 62], "delimiters": ("<t>", "</t>")}


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        (ONE, [1, *b" why not\n", 2, *b"\n\nyes "]),
        (ONE, [*b" \n", 1, *b"why not", 2, *b"yes"]),
        (TEXT, list(b"<t> why not\n</t>\n\nyes ")),
        (TEXT, list(b"\n<t>why not</t>yes")),
    ],
)
def test_thought_and_answer_are_told_apart_at_the_border(options, tokens):
    pieces, reader = read(tokens, **options)
    assert pieces == [Piece("why not", "thought"), Piece("yes", "answer")]
    assert reader.state == "answer"


@pytest.mark.parametrize(
    ("options", "tokens", "expected"),
    [
        (ONE, list(b"yes"), [Piece("yes", "answer")]),
        (ONE, [*b"a ", 1, *b"b"], [Piece("a \x01b", "answer")]),
        (ONE, [*b"why", 2, *b" yes"], [Piece("whyyes", "answer")]),
        (ONE, [1, *b"a", 2, *b"b", 2], [Piece("a", "thought"), Piece("b\x02", "answer")]),
        (ONE, [1, *b"why"], [Piece("why", "thought")]),
        (ONE, [1, 2, *b"yes"], [Piece("yes", "answer")]),
        (ONE, [], []),
        (ONE, list(b"  "), []),
        (TEXT, list(b"<tx"), [Piece("<tx", "answer")]),
        (TEXT, list(b"<t"), [Piece("<t", "answer")]),
        (TEXT, list(b"<t>a </x> b"), [Piece("a </x> b", "thought")]),
        (TEXT, list(b"<t>a </"), [Piece("a </", "thought")]),
        ({}, list(b"yes <t>"), [Piece("yes <t>", "answer")]),
        ({**ONE, "opened": True}, [*b"why", 2, *b"yes"], [Piece("why", "thought"), Piece("yes", "answer")]),
    ],
)
def test_replies_without_a_whole_thought(options, tokens, expected):
    assert read(tokens, **options)[0] == expected


def test_a_close_merged_with_its_neighbours_is_found_by_its_text():
    vocabulary = ["<t>", "why ", "not</", "t>\nyes", " sir"]
    pieces, reader = read(range(5), decode=lambda ids_: "".join(vocabulary[i] for i in ids_), **TEXT)
    assert pieces == [Piece("why not", "thought"), Piece("yes sir", "answer")]


# -- the handle ------------------------------------------------------------------------------------


def test_pieces_joined_are_the_answer(vlm, words):
    with replies(vlm, thinker(*words)):
        stream = vlm.stream(PICTURE, "Why?", max_tokens=80)
        pieces = list(stream)
    answer = stream.answer
    kinds = [piece.kind for piece in pieces]
    assert kinds == sorted(kinds, reverse=True), "thought first, then answer"
    assert len(pieces) > 3
    assert stream.thought == answer.thought == "first red then blue"
    assert stream.text == answer.text == "purple and café 漢字 😀"
    assert "".join(p.text for p in pieces) == answer.thought + answer.text
    assert not any("\ufffd" in p.text for p in pieces)
    assert list(stream) == pieces, "a second loop sees the same"
    assert stream.done
    assert "done" in repr(stream)


def test_how_likely_a_thought_was_is_known_with_the_first_piece(vlm, words):
    with replies(vlm, thinker(*words)):
        stream = vlm.stream(PICTURE, "What is it?")
        for _ in stream:
            early = stream.p_think
            break
    assert early is not None
    assert early == stream.p_think == stream.answer.p_think


@pytest.mark.parametrize("seed", range(3))
def test_random_replies_stream_as_they_are_recorded(vlm, seed):
    for mode in ("auto", "think", "nothink"):
        stream = vlm.stream(PICTURE, "What?", mode=mode, temperature=1.0, seed=seed, max_tokens=40)
        answer = stream.answer
        if CLOSE in answer.reply_ids and answer.reply_ids[0] != THINK:  # a close that nothing opened
            assert stream.text == answer.thought + answer.text
        else:
            assert stream.text == answer.text
            assert stream.thought == (answer.thought or "")


@pytest.mark.parametrize(("at", "kind"), [(1, "thought"), (3, "thought"), (9, "answer")])
def test_stopping_keeps_what_there_is(vlm, words, at, kind):
    thought, answer = ids(vlm, "red blue"), words[1]
    script = thinker(thought, answer, ends=False)
    begun = threading.Event()

    def slow(prompt, done):
        if len(done) == at + 2:
            begun.wait(10)
            stream.stop()
        return script(prompt, done)

    with replies(vlm, slow):
        stream = vlm.stream(PICTURE, "Why?", max_tokens=500)
        begun.set()
        a = stream.answer
    assert a.stopped == "interrupted"
    assert at <= len(a.reply_ids) <= at + 3
    assert (a.text == "") is (kind == "thought")
    assert a.text == stream.text
    assert a.thought == stream.thought
    assert vlm.ask(PICTURE, "What?", max_tokens=2).stopped == "length", "the model is usable"


def test_stopping_within_the_prefill(vlm):
    """No token has come: the layers that follow do not run."""
    layers = vlm.model.get_submodule(vlm.family.decoder).layers
    ran = []
    ready = threading.Event()

    def stops(*_):
        ran.append(0)
        streams[0].stop()

    handles = [layers[0].register_forward_hook(stops)]
    handles.append(layers[1].register_forward_hook(lambda *_: ran.append(1)))

    def waits(*_):  # until the handle that the hook above needs is there
        ready.wait(10)

    handles.append(vlm.model.register_forward_pre_hook(waits))
    streams = [vlm.stream(PICTURE, "What?", max_tokens=5)]
    ready.set()
    a = streams[0].answer
    for handle in handles:
        handle.remove()
    assert ran == [0]
    assert (a.stopped, a.reply_ids, a.text, a.thought) == ("interrupted", (), "", None)
    assert (a.p_think, a.seconds_to_first_token) == (None, None)
    assert a.prompt_tokens > 36
    assert "interrupted" in a._repr_html_()
    assert not any(m._forward_pre_hooks for m in vlm.model.modules()), "no hook is left behind"


def test_waiting_for_a_busy_model_can_be_stopped(vlm, words):
    with replies(vlm, thinker(*words, ends=False)):
        first = vlm.stream(PICTURE, "Why?", max_tokens=20_000)
        second = vlm.stream(PICTURE, "Me too?", max_tokens=5)
        second.stop()
        assert second.answer.reply_ids == ()
        assert not first.done
        first.stop()
        assert first.answer.stopped == "interrupted"


def test_a_second_question_waits_for_the_first(vlm, words):
    with replies(vlm, thinker(*words)):
        first, second = (vlm.stream(PICTURE, q, max_tokens=80) for q in ("One?", "Two?"))
        assert first.answer.text == second.answer.text
        assert second.answer.stopped == "end"


def test_ctrl_c_in_ask_returns_what_there_is(vlm, words):
    script = thinker(*words, ends=False)

    def interrupts(prompt, done):
        if len(done) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return script(prompt, done)

    with replies(vlm, interrupts):
        a = vlm.ask(PICTURE, "Why?", max_tokens=20_000)
    assert a.stopped == "interrupted"
    assert len(a.reply_ids) >= 4
    assert vlm.ask(PICTURE, "What?", max_tokens=2).stopped == "length"


def test_leaving_the_loop_stops_the_reply(vlm, words):
    with replies(vlm, thinker(*words, ends=False)):
        stream = vlm.stream(PICTURE, "Why?", max_tokens=20_000)
        for _ in stream:
            break
        gc.collect()
        assert stream.answer.stopped == "interrupted"
        with vlm.stream(PICTURE, "Why?", max_tokens=20_000) as other:
            next(iter(other))
        assert other.answer.stopped == "interrupted"


def test_a_dropped_handle_stops_the_reply(vlm, words):
    with replies(vlm, thinker(*words, ends=False)):
        stream = vlm.stream(PICTURE, "Why?", max_tokens=20_000)
        stop = stream._stop
        next(iter(stream))
        del stream
        gc.collect()
        assert stop.is_set()
        assert vlm.ask(PICTURE, "Next?", max_tokens=3).stopped == "length", (
            "it does not wait for 20,000 tokens"
        )


def test_ctrl_c_while_it_begins_leaves_no_thread(vlm, words, monkeypatch):
    from workbench.models.vlm import Job

    begun = []

    def interrupted(job):
        begun.append(start(job))
        raise KeyboardInterrupt

    start = Job.start
    monkeypatch.setattr(Job, "start", interrupted)
    with replies(vlm, thinker(*words, ends=False)):
        with pytest.raises(KeyboardInterrupt):
            vlm.ask(PICTURE, "Why?", max_tokens=20_000)
        assert begun[0].result()[0].stopped == "interrupted"


def test_awaiting_lets_other_tasks_work(vlm, words):
    async def both():
        seen = []

        async def ticks():
            while not stream.done:
                seen.append(1)
                await asyncio.sleep(0)

        stream = vlm.stream(PICTURE, "Why?", max_tokens=80)
        answer, _ = await asyncio.gather(stream, ticks())
        return answer, seen

    with replies(vlm, thinker(*words)):
        answer, seen = asyncio.run(both())
    assert answer.text == "purple and café 漢字 😀"
    assert seen


def test_cancelling_the_wait_stops_the_reply(vlm, words):
    async def cancelled():
        stream = vlm.stream(PICTURE, "Why?", max_tokens=20_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.ensure_future(_await(stream)), 0.2)
        return stream

    async def _await(stream):
        return await stream

    with replies(vlm, thinker(*words, ends=False)):
        assert asyncio.run(cancelled()).answer.stopped == "interrupted"


def test_errors_come_at_once_or_keep_their_type(vlm):
    with pytest.raises(InputError, match="empty question"):
        vlm.stream(PICTURE, "")

    def breaks(*_):
        raise ZeroDivisionError("inside the model")

    handle = vlm.model.register_forward_pre_hook(breaks)
    stream = vlm.stream(PICTURE, "What?", max_tokens=5)
    assert list(stream) == []
    with pytest.raises(ZeroDivisionError, match="inside the model"):
        _ = stream.answer
    handle.remove()


def test_unloading_stops_a_reply():
    vlm = tiny(attention="eager")
    with replies(vlm, thinker([40], [41], ends=False)):
        stream = vlm.stream(None, "Go", max_tokens=20_000)
        next(iter(stream))
        vlm.unload()
    assert stream.answer.stopped == "interrupted"
    with pytest.raises(WorkbenchError, match="unloaded"):
        vlm.stream(None, "Go")


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        MemoryError(),
    ],
)
def test_what_counts_as_out_of_memory(error):
    assert is_out_of_memory(error)


def test_out_of_memory_frees_and_says_what_would_fit(vlm):
    held = []

    def full(module, args, kwargs):
        tensor = torch.zeros(1000)
        held.append(weakref.ref(tensor))
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    handle = vlm.model.register_forward_pre_hook(full, with_kwargs=True)
    with pytest.raises(OutOfMemoryError, match=r"cpu for \d+ prompt tokens.*would fit.*max_tokens") as caught:
        vlm.ask(PICTURE, "What?", max_tokens=5)
    handle.remove()
    assert held[0]() is None, "the failed run's tensors are gone"
    assert caught.value.__context__ is None
    assert vlm.ask(PICTURE, "What?", max_tokens=2).stopped == "length"


def test_other_errors_are_not_taken_for_memory():
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_delimiters_and_end_never_show(vlm, words):
    with replies(vlm, thinker(*words)):
        text = "".join(p.text for p in vlm.stream(PICTURE, "Why?", max_tokens=80))
    for token in (THINK, CLOSE, END):
        assert vlm.tokenizer.decode([token]) not in text


# -- delimiters that another family writes ---------------------------------------------------------


@pytest.mark.parametrize("name", ["general-switch", "qwen3-vl-thinking"])
def test_families_that_force_more_than_one_token(name, tmp_path):
    """A thought that the template opens, or shuts empty, is told apart like one that the model opened."""
    from tiny_families import build

    vlm = load(build(name, tmp_path), device="cpu", progress=False)
    thought, answer = ids(vlm, "redblue"), ids(vlm, "purple")
    opened, closed = (vlm.tokenizer.convert_tokens_to_ids(mark) for mark in vlm.family.thought)
    end = vlm.tokenizer.eos_token_id

    def script(prompt, done):
        if closed not in done:
            inside = [i for i in done if i != opened and vlm.tokenizer.decode([i]).strip()]
            return opened if opened not in done else [*thought, closed][len(inside)]
        after = [i for i in done[done.index(closed) + 1 :] if vlm.tokenizer.decode([i]).strip()]
        return [*answer, end][len(after)]

    for mode in vlm.modes:
        with replies(vlm, script):
            stream = vlm.stream(PICTURE, "Why?", mode=mode, max_tokens=40)
            a = stream.answer
        assert (a.text, a.stopped) == ("purple", "end")
        assert (stream.text, stream.thought) == ("purple", a.thought or "")
        assert a.thought == (None if mode.value == "nothink" else "redblue")
        assert a.thought_tokens == len(a.spans["thought"])
        assert (a.thought_tokens == 0) is (a.thought is None)
        assert 0 < a.p_think <= 1


def test_a_delimiter_of_several_tokens_one_of_them_special():
    """As in <|channel>thought: the special token is kept in the text that the reader looks at."""
    from workbench.models.vlm import _shown_text

    class Tokenizer:
        words = {1: "<|channel>", 2: "thought", 3: "<channel|>", 4: "hm", 5: "yes", 9: "<end>"}  # noqa: RUF012
        all_special_ids = [9]  # noqa: RUF012
        added_tokens_decoder = {i: type("T", (), {"special": True}) for i in (1, 3, 9)}  # noqa: RUF012

        def decode(self, ids_, skip_special_tokens):
            return "".join(self.words[i] for i in ids_)

    decode = _shown_text(Tokenizer(), [1, 2], [3])
    options = {"think_open": [1, 2], "think_close": [3], "delimiters": ("<|channel>thought", "<channel|>")}
    pieces, _ = read([1, 2, 4, 3, 5, 9], decode=decode, **options)
    assert pieces == [Piece("hm", "thought"), Piece("yes", "answer")]


def test_ctrl_c_while_a_question_is_encoded_gives_an_interrupted_answer(vlm, monkeypatch):
    def interrupted(*turns, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(vlm, "encode", interrupted)
    answer = vlm.ask(PICTURE, "Why?")
    assert (answer.stopped, answer.text, answer.question) == ("interrupted", "", "Why?")


def test_a_handle_is_not_pickled_but_told_how_to_load_it_there(vlm):
    with pytest.raises(CapabilityError, match=r"there: vlm = workbench\.load\("):
        pickle.dumps(vlm)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_a_reply_is_written_is_told(vlm):
    with vlm.turn(threading.Event()) as ours:
        assert ours
        process = os.fork()
        if not process:  # no pytest in here, and no way back into it
            try:
                with vlm.turn(threading.Event()):
                    os._exit(1)
            except CapabilityError:
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
