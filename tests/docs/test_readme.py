"""The README is short, and each of its blocks runs as it stands, from top to bottom."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_it_is_short() -> None:
    assert README.count("\n") <= 150
    assert len(README.encode()) <= 10_000


def test_make_has_what_is_told() -> None:
    shell = "".join(text for language, text in BLOCKS if language == "sh")
    for target in re.findall(r"^make (\w+)", shell, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each Python block prints; all run in one namespace, in an empty folder."""
    folder, names, outputs = tmp_path_factory.mktemp("readme"), {"__name__": "__main__"}, []
    with contextlib.chdir(folder):
        for language, text in BLOCKS:
            if language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as output, warnings.catch_warnings():
                    warnings.simplefilter("error", DeprecationWarning)  # names as they are now
                    exec(compile(text, "README.md", "exec"), names)
                outputs.append(output.getvalue())
        names["sample"].images[0].save("screen.png")
        for language, text in BLOCKS:
            if language == "sh" and not text.startswith("make"):
                outputs.append(shell(text))
    assert (folder / "explorer.html").is_file()
    return outputs


def shell(text: str) -> str:
    """What a block of commands prints, with the package of this checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["bash", "-euc", text],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path, "PYTHONPATH": python},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_block_runs_and_prints_what_it_says(printed: list[str]) -> None:
    whole = "".join(printed)
    shown = [text for language, text in BLOCKS if not language]
    assert len(printed) >= 7
    assert shown
    assert all(printed)
    for text in shown:
        assert text in whole
    for comment in re.findall(r"print\(.*\)  # ([A-Z][^\n]*)", README):
        for part in comment.split(" ..."):
            assert part.strip() in whole


@pytest.mark.slow
def test_what_is_shown_is_right_and_explains_something(printed: list[str]) -> None:
    whole = "".join(printed)
    assert "Better than random" in whole
    assert "changes the answer" in whole
    assert "No map means anything" not in whole
    assert "cannot tell" not in whole.lower()
