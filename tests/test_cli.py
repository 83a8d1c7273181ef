"""The shell commands: what they print where, and how they fail."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

import workbench
from workbench import cli, terminal
from workbench.answer import Answer
from workbench.errors import InputError, WorkbenchError
from workbench.types import Mode, Piece

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b2J\x7f\r\u202e"
OBEYED = set("\x1b\x07\x9b\x7f\r\u202e")
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


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a.png (4 x 3) and b.png (5 x 2), seen from where the test runs."""
    Image.new("RGB", (4, 3), "red").save(tmp_path / "a.png")
    Image.new("RGB", (5, 2), "blue").save(tmp_path / "b.png")
    monkeypatch.chdir(tmp_path)


def test_ask_prints_the_answer_alone_and_the_thought_beside_it(
    fake: SimpleNamespace, pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ask", "a.png", "b.png", "why?", "--mode", "think", "--thinking-budget", "5"]) == 0
    out, err = capsys.readouterr()
    assert out == "2\n"
    assert err.startswith("one and one\n")
    assert "3 thought + 2 answer tokens" in err
    assert "stopped: end" in err
    assert fake.load[0] == "nano"
    assert [image.size for image in fake.ask[0][0]] == [(4, 3), (5, 2)]
    assert fake.ask[0][1] == "why?"
    assert fake.ask[1]["mode"] == "think"
    assert fake.ask[1]["thinking_budget"] == 5


def test_look_writes_the_explorers_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = workbench.synth.sample("gui_links", 1, seed=7)[0]
    sample.images[0].save(tmp_path / "screen.png")
    page = tmp_path / "page.html"
    words = ["look", str(tmp_path / "screen.png"), sample.question, "--mode", "nothink", "--out", str(page)]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert out.strip()
    assert str(page) in err
    text = page.read_text(encoding="utf-8")
    assert "points best of" in text
    assert '<div id="explorer">Start at' in text
    assert cli.main(
        ["look", str(tmp_path / "screen.png"), sample.question, "--out", str(tmp_path / "no" / "x")]
    )
    assert "No such file or directory" in capsys.readouterr().err


def test_ask_without_a_picture_passes_none(fake: SimpleNamespace) -> None:
    assert cli.main(["ask", "why?", "--source", "somewhere", "--quantize", "int8"]) == 0
    assert fake.ask[0] == (None, "why?")
    assert fake.load[0] == "somewhere"
    assert fake.load[1]["quantize"] == "int8"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.png"], "no question: the last word is the picture 'a.png'"),
        (["a.png", "b.png"], "no question: the last word is the picture 'b.png'"),
        (["why?", "a.png"], "no question: the last word is the picture 'a.png'"),
        (["why?", "gone.JPEG"], "no question: the last word is the picture 'gone.JPEG'"),
        (["https://example.org/a.png"], "no question"),
        (["."], "no question: the last word is the picture '.'"),
        (["a.png", "What", "is", "it?"], "no file 'What'"),
        (["gone.png", "why?"], "'gone.png': No such file"),
        ([".", "why?"], "is a folder"),
        (["https://example.org/a.png", "why?"], "is a web address"),
    ],
)
def test_what_is_no_picture_and_no_question_is_told_before_a_model_is_loaded(
    words: list[str],
    told: str,
    fake: SimpleNamespace,
    pictures: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["ask", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("workbench ask: ")
    assert told in err
    assert fake.load is None


@pytest.mark.parametrize("question", ["What is in a.png", "a.png?", "3.5", "e.g.", "Is a/b.c a path?"])
def test_a_question_may_speak_of_a_file(question: str, fake: SimpleNamespace, pictures: None) -> None:
    assert cli.main(["ask", "a.png", question]) == 0
    assert fake.ask[0][1] == question


def test_json_holds_the_record(
    fake: SimpleNamespace, pictures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["ask", "a.png", "why?", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["text"], record["thought"], record["mode"]) == ("2", "one and one", "think")
    assert (record["p_think"], record["seconds"], record["stopped"]) == (0.25, 1.5, "end")


def test_json_keeps_control_characters_and_prints_none(
    fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.pieces = [Piece(HOSTILE + "\n\u4f60", "answer")]
    assert cli.main(["ask", "why?", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["text"] == HOSTILE + "\n\u4f60"
    assert not set(HOSTILE) & OBEYED & set(out)
    assert "\u4f60" in out  # what can be shown is shown


def test_save_writes_an_answer_that_loads(fake: SimpleNamespace, tmp_path: Path) -> None:
    assert cli.main(["ask", "why?", "--save", str(tmp_path / "kept")]) == 0
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


def test_control_characters_of_an_error_do_not_reach_the_terminal(
    fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.error = InputError(f"a server said {HOSTILE}")
    assert cli.main(["ask", "why?"]) == 2
    assert cli.main(["ask", "why?", f"--{HOSTILE}"]) == 2
    fake.error = RuntimeError(HOSTILE)
    assert cli.main(["ask", "why?"]) == 1
    out, err = capsys.readouterr()
    assert not OBEYED & set(out + err)
    assert "a server said " in err


def test_a_terminal_that_knows_few_characters_gets_the_others_spelled_out(
    fake: SimpleNamespace, tmp_path: Path
) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        terminal.write("caf\xe9 \udce9", file=file)
    assert (tmp_path / "out").read_text() == "caf\\xe9 \n"


def test_what_takes_long_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "PATIENCE", 0)
    with terminal.waiting("loading some model"):
        for timer in (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)):
            timer.join()
    monkeypatch.setattr(terminal, "PATIENCE", 600)
    with terminal.waiting("something quick"):
        pass
    assert capsys.readouterr() == ("", "loading some model ...\n")


def test_a_warning_is_one_line(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warns() -> str:
        warnings.warn(f"mind{HOSTILE}", UserWarning, stacklevel=1)
        return "all is well"

    monkeypatch.setitem(vars(workbench), "doctor", warns)
    assert cli.main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("all is well\n", f"workbench: warning: mind{terminal.clean(HOSTILE)}\n")


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
        (
            OSError(28, "No space left on device", "kept/answer.json"),
            2,
            "workbench ask: kept/answer.json: No space left on device. Expected: a file or folder "
            "that can be read and written.",
        ),
    ],
)
def test_an_error_is_one_line(
    fake: SimpleNamespace,
    pictures: None,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    fake.error = error
    assert cli.main(["ask", "a.png", "why?"]) == status
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{line}\n")


def test_an_unforeseen_error_is_not_hidden(fake: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    fake.error = ZeroDivisionError("a bug of ours")
    assert cli.main(["ask", "why?"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "ZeroDivisionError: a bug of ours" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Usage: workbench [OPTIONS] COMMAND"),
        (["bench"], "Usage: workbench bench [OPTIONS] COMMAND"),
        (["ask"], "workbench ask: missing argument 'QUESTION'. Expected: workbench ask [OPTIONS] [IMAGE]..."),
        (["paint"], "workbench: no such command 'paint'"),
        (["ask", "why?", "--mode", "fast"], "'fast' is not one of 'auto', 'think', 'nothink'"),
        (["memory-plan", "--no-such"], "workbench memory-plan: no such option: --no-such"),
        (["ask", "q", "--max-token", "3"], "--max-tokens"),
        (["ask", "q", "--seed", "x"], "invalid value for '--seed'"),
        (["bench", "compare", "one"], "missing argument 'SECOND'"),
        (
            ["ask", "q", "--save"],
            "workbench ask: option '--save' requires an argument. Expected: workbench ask",
        ),
        (["ask", "q", "--json=yes"], "workbench ask: "),
        (["doctor", "now"], "workbench doctor: "),
        (["ask", "q", "--save", ""], "workbench ask: --save is an empty word"),
        (["bench", "rescore", ""], "workbench bench rescore: RESULTS is an empty word"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "Traceback" not in err


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are not what their names say, seen from where the test runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "execv", None)  # nothing here gets as far as JupyterLab
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("empty").touch()
    Path("deep.json").write_text("[" * 5000)
    Path("zip.xlsx").write_bytes(b"PK\3\4 and no more")
    Path("table.parquet").write_bytes(b"PAR1 and no more")
    Path("nul.yaml").write_bytes(b"\0\1\2")
    Path("esc.yaml").write_text('recipe: {"\\e[2Jx": 1}\n')
    deep = Path("runs") / ("0" * 16)
    deep.mkdir(parents=True)
    (deep / "recipe.json").write_text("[" * 5000)
    (Path("runs") / f"x{HOSTILE}").mkdir()


NO_FILES = [
    "pipe",
    "folder",
    "empty",
    "/dev/zero",
    "gone",
    f"gone{HOSTILE}",
    "~nobody-of-that-name/x",
    "x" * 5000,
]


@pytest.mark.skipif(os.name == "nt", reason="pipes in a folder")
@pytest.mark.parametrize(
    "words",
    [
        *(["ask", name, "What is it?"] for name in [*NO_FILES[:4], "gone.png", f"gone{HOSTILE}.png"]),
        *(["ask", "why?", "--source", name] for name in ["pipe", "folder", "gone", "http://[::1", HOSTILE]),
        *(["memory-plan", name] for name in [*NO_FILES, "http://127.0.0.1:1/v1"]),
        *(["bench", "rescore", name] for name in [*NO_FILES, "deep.json", "zip.xlsx", "table.parquet"]),
        *(["bench", "compare", name, name] for name in ["pipe", "folder", "gone"]),
        *(["bench", "report", name, "empty"] for name in ["pipe", "folder", "gone"]),
        *(["ablate", name] for name in [*NO_FILES, "deep.json", "nul.yaml", "esc.yaml", "zip.xlsx"]),
        *(["runs", name] for name in [*NO_FILES[2:], "pipe"]),
        *(["runs", "--save", name] for name in ["runs.xlsx", "folder", "/proc/runs.csv", f"{HOSTILE}/x.csv"]),
        *(["lab", name] for name in [*NO_FILES[2:], "pipe"]),
        *([*verb, f"--{HOSTILE}"] for verb in (["ask", "why?"], ["runs"], ["bench", "run", "suite"])),
        [HOSTILE],
        ["bench", HOSTILE],
        ["bench", "run", HOSTILE],
    ],
    ids=lambda words: " ".join(repr(word)[1:30] for word in words),
)
def test_hostile_words_end_in_one_clear_line(
    words: list[str], hostile: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "Expected: " in err
    assert not OBEYED & set(out + err)


def commands() -> dict[str, terminal.Verb]:
    """Every command by the words that call it."""
    found = {}
    for name, command in get_command(cli.app).commands.items():
        for verb, inner in getattr(command, "commands", {"": command}).items():
            found[f"{name} {verb}".strip()] = inner
    return found


@pytest.mark.parametrize("name", [name for name, command in commands().items() if not command.hidden])
def test_a_help_text_has_an_example_that_parses(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*name.split(), "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.split("Example", 1)[1].splitlines()]
    examples = [line for line in lines if line.startswith("workbench ")]
    assert examples
    monkeypatch.setattr(terminal.Verb, "invoke", lambda self, ctx: called.append(ctx.command_path) or 0)
    for example in examples:
        called: list[str] = []
        assert cli.main(shlex.split(example)[1:]) == 0, capsys.readouterr().err
        assert called == [f"workbench {name}"]


@pytest.mark.parametrize(
    ("name", "functions", "own"),
    [
        ("ask", ["models.vlm.VLM.ask", "load"], {"json", "save"}),
        ("memory-plan", ["memory_plan"], set()),
        ("bench run", ["bench.run", "load"], {"data"}),
        ("bench rescore", ["bench.rescore"], {"save"}),
        ("bench compare", ["bench.compare"], set()),
        ("bench report", ["bench.report"], set()),
        ("ablate", ["ablate.sweep"], {"file"}),
        ("runs", ["ablate.runs"], {"save"}),
    ],
)
def test_options_are_called_as_in_python(name: str, functions: list[str], own: set[str]) -> None:
    known = set(own)
    importlib.import_module("workbench.models.vlm")
    for path in functions:
        function: Any = workbench
        for part in path.split("."):
            function = getattr(function, part)
        known |= set(inspect.signature(function).parameters)
    shown = {p.name for p in commands()[name].params if not getattr(p, "hidden", False)}
    assert shown - {"help"} <= known


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("suite --modes auto think", (["suite"], ["auto", "think"], [])),
        ("suite --modes auto --modes think", (["suite"], ["auto", "think"], [])),
        ("--modes think suite AI2D", (["suite", "AI2D"], ["think"], [])),
        ("suite --again 1 2 3 --limit 4 --modes=think auto", (["suite"], ["think", "auto"], ["1", "2", "3"])),
        ("suite --no-cache AI2D", (["suite", "AI2D"], ["auto", "think", "nothink"], [])),
        ("suite --again 1 -- AI2D", (["suite", "AI2D"], ["auto", "think", "nothink"], ["1"])),
    ],
)
def test_a_list_option_takes_several_words(
    words: str, read: tuple[list[str], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(terminal.Verb, "invoke", lambda self, ctx: seen.append(ctx.params) or 0)
    assert cli.main(["bench", "run", *words.split()]) == 0
    [given] = seen
    assert (given["tasks"], [str(mode) for mode in given["modes"]], given["again"] or []) == read


def test_plan_and_doctor_print_what_the_functions_return(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        vars(workbench), "memory_plan", lambda source, **o: f"plan of {source} for {o['context']}"
    )
    monkeypatch.setitem(vars(workbench), "doctor", lambda: "all is well")
    assert cli.main(["memory-plan", "owner/name", "--context", "100"]) == 0
    assert cli.main(["plan", "owner/name", "--context", "100"]) == 0  # its name until 0.2
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out == "plan of owner/name for 100\n" * 2 + "all is well\n"


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs `workbench lab`; the command that it would become."""

    class Became(Exception):
        pass

    def execv(program: str, command: list[str]) -> None:
        seen.append(command)
        raise WorkbenchError("became JupyterLab")

    seen: list[list[str]] = []
    monkeypatch.setattr(os, "execv", execv)

    def lab(*words: str) -> list[str]:
        assert cli.main(["lab", *words]) == 2
        command = seen.pop()
        assert command[:3] == [sys.executable, "-m", "jupyterlab"]
        return command[3:]

    return lab


def test_lab_becomes_jupyterlab_on_the_notebooks(tmp_path: Path, became: Callable[..., list[str]]) -> None:
    (tmp_path / "00_tour.ipynb").write_text("{}")
    command = became(str(tmp_path), "--no-browser")
    assert f"--ServerApp.root_dir={tmp_path}" in command
    assert "--LabApp.default_url=/lab/tree/00_tour.ipynb" in command
    assert command[-1] == "--no-browser"
    assert became("--port", "9999", "--no-browser")[-3:] == ["--port", "9999", "--no-browser"]


def test_lab_in_a_checkout_has_samples_and_notebooks_in_reach(became: Callable[..., list[str]]) -> None:
    root = Path(cli.__file__).parent.parent
    command = became()
    assert f"--ServerApp.root_dir={root}" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb" in command
    assert (root / "data" / "samples").is_dir()


def test_lab_of_a_wheel_copies_the_notebooks_and_keeps_what_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    became: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    brought, mine = tmp_path / "brought", tmp_path / "mine" / "workbench-notebooks"
    brought.mkdir()
    mine.mkdir(parents=True)
    (brought / "00_tour.ipynb").write_text("new")
    (brought / "02_thinking.ipynb").write_text("new")
    (mine / "02_thinking.ipynb").write_text("my own work")
    monkeypatch.setattr(cli, "BROUGHT", brought)
    monkeypatch.chdir(mine.parent)
    command = became()
    assert f"--ServerApp.root_dir={mine.parent}" in command
    assert "--LabApp.default_url=/lab/tree/workbench-notebooks/00_tour.ipynb" in command
    assert (mine / "00_tour.ipynb").read_text() == "new"
    assert (mine / "02_thinking.ipynb").read_text() == "my own work"
    assert (mine / "samples" / "coffee.png").is_file()
    err = capsys.readouterr().err
    assert f"the notebooks are in {mine}" in err
    assert "1 files were there already" in err


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
    quiet = "import sys; from workbench import cli, terminal; terminal.PATIENCE = 600; sys.exit(cli.main())"
    command = [sys.executable, "-c", quiet, "ask", "Tell me.", "--source", TINY, "--mode", "think"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        first = process.stderr.read(1)  # the thought has begun
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert "stopped: interrupted" in err.decode()
    assert b"Traceback" not in first + err + out


@pytest.mark.parametrize("module", ["interpret.leaderboard", "ablate.studies", "ablate.regmix"])
def test_front_ends_of_rooms_speak_like_the_shell(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"workbench.{module}").main
    assert main(["--help"]) == 0
    assert f"python -m workbench.{module} " in capsys.readouterr().out.partition("Example")[2]
    assert main([f"--{HOSTILE}"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"python -m workbench.{module}: no such option")
    assert not OBEYED & set(err)


# -- bench -----------------------------------------------------------------------------------------


def test_bench_runs_rescores_compares_and_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    run = ["bench", "run", "synth:read_sign@1", "--limit", "3", "--max-tokens", "32"]
    assert cli.main([*run, "--modes", "nothink", "--folder", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert "synth:read_sign@1" in out
    assert str(tmp_path / "a") in out
    assert cli.main([*run, "--modes", "nothink", "--folder", str(tmp_path / "b"), "--blind", "grey"]) == 0
    assert cli.main(["bench", "rescore", str(tmp_path / "a"), "--protocol", "lmms-eval"]) == 0
    assert "flips (0):" in capsys.readouterr().out
    assert cli.main(["bench", "rescore", str(tmp_path / "a"), "--save", str(tmp_path / "saved.jsonl")]) == 0
    assert cli.main(["bench", "compare", str(tmp_path / "a"), str(tmp_path / "saved.jsonl")]) == 0
    assert "p_holm" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert cli.main(["bench", "report", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(page)]) == 0
    assert "</html>" in page.read_text()


def test_bench_run_tests_the_thoughts_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    run = ["bench", "run", "synth:read_sign@1", "--limit", "2", "--modes", "think", "--max-tokens", "32"]
    tests = [
        "--thought-tests",
        "early_answering,filler_tokens",
        "image_swap",
        "--folder",
        str(tmp_path / "a"),
    ]
    assert cli.main([*run, *tests]) == 0
    out = capsys.readouterr().out
    about = workbench.bench.open_run(tmp_path / "a").about
    assert about["thought_tests"] == ["early_answering", "filler_tokens", "image_swap"]
    assert about["thoughts"]["verdict"] in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "suite", "--thought-tests", "early"], "early_answering"),
        (["run", "suite", "--thought-tests", "early_answering", "--blind", "grey"], "one of the two"),
        (["run", "synth:nothing"], "FAMILY"),
        (["run", "MMStar", "AI2D", "--data", "x"], "one task a folder"),
        (["run", "suit"], "a name like suite"),
        (["run", "suite", "--modes", "fast"], "fast"),
        (["rescore", "missing", "--rules", "lmms-eval"], "missing"),
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
