"""The shell commands: what they print where, and how they fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import workbench
from workbench import cli
from workbench.answer import Answer
from workbench.errors import InputError, WorkbenchError
from workbench.types import Mode, Piece

TINY = str(Path(__file__).parent / "data" / "phi4_rv_tiny" / "checkpoint")


class FakeStream:
    """A reply whose pieces are known."""

    def __init__(self, pieces: list[Piece], stopped: str) -> None:
        self.pieces = pieces
        said = {kind: "".join(p.text for p in pieces if p.kind == kind) for kind in ("thought", "answer")}
        self.answer = Answer(
            text=said["answer"],
            thought=said["thought"] or None,
            mode=Mode.THINK,
            p_think=0.25,
            prompt_tokens=9,
            image_tokens=4,
            thought_tokens=3,
            answer_tokens=2,
            seconds=1.5,
            seconds_to_first_token=0.5,
            stopped=stopped,
            question="why?",
            model="fake",
        )

    def __iter__(self) -> Iterator[Piece]:
        return iter(self.pieces)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The front door with a model that replies at once; holds what it was called with."""
    seen = SimpleNamespace(load=None, ask=None, stopped="end", error=None)
    seen.pieces = [Piece("one and ", "thought"), Piece("one", "thought"), Piece("2", "answer")]

    def stream(*args: Any, **options: Any) -> FakeStream:
        seen.ask = (args, options)
        return FakeStream(seen.pieces, seen.stopped)

    def load(source: str, **options: Any) -> SimpleNamespace:
        seen.load = (source, options)
        if seen.error:
            raise seen.error
        return SimpleNamespace(stream=stream)

    monkeypatch.setitem(vars(workbench), "load", load)
    return seen


def test_ask_prints_the_answer_alone_and_the_thought_beside_it(
    fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ask", "a.png", "b.png", "why?", "--mode", "think", "--thinking-budget", "5"]) == 0
    out, err = capsys.readouterr()
    assert out == "2\n"
    assert err.startswith("one and one\n")
    assert "3 thought + 2 answer tokens" in err
    assert "stopped: end" in err
    assert fake.load[0] == "nano"
    assert fake.ask[0] == (["a.png", "b.png"], "why?")
    assert fake.ask[1]["mode"] == "think"
    assert fake.ask[1]["thinking_budget"] == 5


def test_ask_without_a_picture_passes_none(fake: SimpleNamespace) -> None:
    assert cli.main(["ask", "why?", "--source", "somewhere", "--quantize", "int8"]) == 0
    assert fake.ask[0] == (None, "why?")
    assert fake.load[0] == "somewhere"
    assert fake.load[1]["quantize"] == "int8"


def test_json_holds_the_record(fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "a.png", "why?", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["text"], record["thought"], record["mode"]) == ("2", "one and one", "think")
    assert (record["p_think"], record["seconds"], record["stopped"]) == (0.25, 1.5, "end")


def test_save_writes_an_answer_that_loads(fake: SimpleNamespace, tmp_path: Path) -> None:
    assert cli.main(["ask", "a.png", "why?", "--save", str(tmp_path / "kept")]) == 0
    assert Answer.load(tmp_path / "kept").text == "2"


def test_a_thought_is_dimmed_on_a_terminal_only(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    cli.main(["ask", "why?"])
    assert "\x1b[2mone and \x1b[0m" in capsys.readouterr().err
    monkeypatch.setenv("NO_COLOR", "1")
    cli.main(["ask", "why?"])
    assert "\x1b" not in capsys.readouterr().err


def test_control_characters_of_a_model_do_not_reach_the_terminal(
    fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.pieces = [Piece("a\x1b]0;title\x07b\n\tc\x9b2J", "answer")]
    cli.main(["ask", "why?"])
    assert capsys.readouterr().out == "a]0;titleb\n\tc2J\n"


def test_an_interrupted_reply_is_shown_and_told_by_the_status(
    fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.stopped = "interrupted"
    assert cli.main(["ask", "why?"]) == 130
    assert capsys.readouterr().out == "2\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            InputError("x.png is no picture", "a picture"),
            2,
            "workbench ask: x.png is no picture. Expected: a picture.",
        ),
        (WorkbenchError("no"), 2, "workbench ask: no."),
        (KeyboardInterrupt(), 130, "workbench ask: interrupted"),
    ],
)
def test_an_error_is_one_line(
    fake: SimpleNamespace, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    fake.error = error
    assert cli.main(["ask", "x.png", "why?"]) == status
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{line}\n")


def test_an_unforeseen_error_is_not_hidden(fake: SimpleNamespace) -> None:
    fake.error = ZeroDivisionError("a bug of ours")
    with pytest.raises(ZeroDivisionError):
        cli.main(["ask", "why?"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ask"],
        ["paint"],
        ["ask", "why?", "--mode", "fast"],
        ["plan", "--no-such"],
        ["ask", "q", "--seed", "x"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: workbench" in capsys.readouterr().err


def test_plan_and_doctor_print_what_the_functions_return(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(vars(workbench), "plan", lambda source, **o: f"plan of {source} for {o['context']}")
    monkeypatch.setitem(vars(workbench), "doctor", lambda: "all is well")
    assert cli.main(["plan", "owner/name", "--context", "100"]) == 0
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out == "plan of owner/name for 100\nall is well\n"


def test_lab_becomes_jupyterlab_on_the_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Became(Exception):
        pass

    def execv(program: str, command: list[str]) -> None:
        raise Became(program, command)

    monkeypatch.setattr(os, "execv", execv)
    (tmp_path / "01_ask.ipynb").write_text("{}")
    with pytest.raises(Became) as became:
        cli.main(["lab", str(tmp_path), "--no-browser"])
    program, command = became.value.args
    assert program == command[0] == sys.executable
    assert command[1:3] == ["-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert "--LabApp.default_url=/lab/tree/01_ask.ipynb" in command
    assert command[-1] == "--no-browser"


def test_lab_refuses_what_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "no/such/folder"]) == 2
    assert "no/such/folder is no folder" in capsys.readouterr().err


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_real_model_replies_in_a_real_shell(tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (48, 32), "red").save(picture)
    done = run(
        "ask",
        str(picture),
        "What is it?",
        "--source",
        TINY,
        "--max-tokens",
        "8",
        "--mode",
        "nothink",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["mode"] == "nothink"
    assert record["image_tokens"] > 0
    assert 0 < record["answer_tokens"] <= 8


@pytest.mark.slow
def test_a_mistake_in_a_real_shell_is_one_line_without_a_traceback() -> None:
    done = run("ask", "no_such.png", "What is it?", "--source", TINY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("workbench ask: ")
    assert "no_such.png" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of a terminal")
def test_ctrl_c_ends_the_reply_and_keeps_what_there_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workbench.cli", "ask", "Tell me.", "--source", TINY, "--mode", "think"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        first = process.stderr.read(1)  # the thought has begun
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert "stopped: interrupted" in err.decode()
    assert b"Traceback" not in first + err + out


# -- bench -----------------------------------------------------------------------------------------


def test_bench_runs_rescores_compares_and_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    run = ["bench", "run", "synth:read_sign@1", "--limit", "3", "--max-tokens", "32"]
    assert cli.main([*run, "--modes", "nothink", "--folder", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert "synth:read_sign@1" in out
    assert str(tmp_path / "a") in out
    assert cli.main([*run, "--modes", "nothink", "--folder", str(tmp_path / "b"), "--blind", "grey"]) == 0
    assert cli.main(["bench", "rescore", str(tmp_path / "a"), "--rules", "lmms-eval"]) == 0
    assert "flips (0):" in capsys.readouterr().out
    assert cli.main(["bench", "rescore", str(tmp_path / "a"), "--save", str(tmp_path / "saved.jsonl")]) == 0
    assert cli.main(["bench", "compare", str(tmp_path / "a"), str(tmp_path / "saved.jsonl")]) == 0
    assert "p_holm" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert cli.main(["bench", "report", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(page)]) == 0
    assert "</html>" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "synth:nothing"], "FAMILY"),
        (["run", "MMStar", "AI2D", "--data", "x"], "one task a folder"),
        (["run", "suit"], "a name like suite"),
        (["run", "suite", "--modes", "fast"], "fast"),
        (["rescore", "missing"], "missing"),
        (["compare", "missing", "too"], "missing"),
        (["report", "missing"], "missing"),
    ],
)
def test_bench_says_what_cannot_be_used(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", *arguments]) == 2
    assert told in capsys.readouterr().err
