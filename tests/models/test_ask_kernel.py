"""Stopping in a real notebook kernel: the interrupt button, and another cell."""

from __future__ import annotations

import time

import pytest

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

SETUP = f"""
import sys; sys.path.insert(0, {str(__file__).rpartition("/")[0]!r})
from scripted import PICTURE, replies, thinker, tiny
vlm = tiny()
endless = thinker([100] * 3, [101], ends=False)
def says(prompt, done):
    if len(done) == 2:
        print("begun", flush=True)
    return endless(prompt, done)
writes = replies(vlm, says); writes.__enter__()
"""


@pytest.fixture(scope="module")
def kernel():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", startup_timeout=120)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code: str, *, interrupt=None) -> str:
    """Output of a cell; ``interrupt`` is called as soon as it prints."""
    message = client.execute(code)
    text = ""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        reply = client.get_iopub_msg(timeout=120)
        if reply["parent_header"].get("msg_id") != message:
            continue
        kind, content = reply["msg_type"], reply["content"]
        if kind == "stream":
            text += content["text"]
            if interrupt is not None:
                interrupt()
                interrupt = None
        elif kind == "error":
            raise AssertionError(f"{content['ename']}: {content['evalue']}")
        elif kind == "status" and content["execution_state"] == "idle":
            return text
    raise AssertionError("the cell did not end")


@pytest.mark.slow
def test_stopping_in_a_notebook(kernel):
    manager, client = kernel
    run(client, SETUP)
    out = run(
        client,
        "a = vlm.ask(PICTURE, 'Why?', max_tokens=20_000); print(a.stopped, len(a.reply_ids) > 1)",
        interrupt=manager.interrupt_kernel,
    )
    assert "interrupted True" in out

    run(client, "stream = vlm.stream(PICTURE, 'Why?', max_tokens=20_000)")
    assert "False" in run(client, "print(stream.done)"), "the cell before has ended, the reply goes on"
    run(client, "import time\nwhile not stream.text: time.sleep(0.05)")
    out = run(client, "stream.stop(); print(stream.answer.stopped, len(stream.answer.reply_ids) > 0)")
    assert "interrupted True" in out

    run(
        client,
        "from workbench.ui.live import live\nshown = live(vlm, PICTURE, 'Why?', max_tokens=20_000)\nshown",
    )
    run(client, "while not shown.stream.text: time.sleep(0.05)")
    out = run(client, "shown.children[0].click(); print(shown.answer.stopped)")
    assert "interrupted" in out

    run(client, "writes.__exit__(None, None, None)")
    assert "length" in run(client, "print(vlm.ask(PICTURE, 'What?', max_tokens=3).stopped)")
