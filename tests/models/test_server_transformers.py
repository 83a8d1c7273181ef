"""The real server of Transformers on a tiny model; skipped where its packages are not installed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest
from PIL import Image
from tiny_families import build

import workbench
from workbench.errors import ServerError

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("openai")

pytestmark = pytest.mark.slow

WAIT = 90  # seconds until the server must be up


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(address, name) of a tiny Gemma 3 behind ``transformers serve``."""
    folder = build("gemma3", tmp_path_factory.mktemp("gemma"))
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", code, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [*command, "--device", "cpu"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + WAIT
        while time.monotonic() < end and server.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        else:
            pytest.skip(f"the server was not up within {WAIT} s")
        yield f"http://127.0.0.1:{port}", str(folder)
    finally:
        server.terminate()
        server.wait(20)


def test_it_can_be_asked(served):
    vlm = workbench.load(served[0], model=served[1])
    first = vlm.ask(Image.new("RGB", (40, 40), "red"), "What is in this picture?", max_tokens=6)
    assert first.prompt_tokens > 20
    assert first.answer_tokens == 6
    assert first.stopped == "length"
    several = vlm.ask_many(None, ["One?", "Two?"], max_tokens=3, progress=False)
    assert [answer.answer_tokens for answer in several] == [3, 3]


def test_a_mode_that_it_cannot_be_asked_for_is_an_error(served):
    vlm = workbench.load(served[0], model=served[1], family="phi4-rv")
    with pytest.raises(ServerError, match="asked for a mode"):
        vlm.ask(None, "Which?", mode="think", max_tokens=3)
