"""The terminal: errors in one form, text that is shown and never obeyed, a line while one waits, the time
left.

`workbench` and the front ends ``python -m workbench.ROOM.MODULE`` are typer apps whose commands are `Verb`
and which `run` runs; everything that they write goes through `write`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

import typer
from typer.core import TyperCommand
from typer.main import get_command

from .errors import InputError, WorkbenchError

__all__ = [
    "BUG",
    "FAILED",
    "INTERRUPTED",
    "Verb",
    "clean",
    "example",
    "run",
    "run_one",
    "time_words",
    "waiting",
    "write",
    "write_json",
]


BUG, FAILED, INTERRUPTED = 1, 2, 130
PATIENCE = 0.8  # seconds that a command may be silent

# All control characters but newline and tab: what ANSI sequences begin with, in 7 and in 8 bits.  Marks that
# turn the direction of what follows.  Halves of a character, which no terminal takes.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: object) -> str:
    """Text without the characters that a terminal would obey instead of show.

    Example:
        >>> clean("red\\x1b[2J\\x9b2J")
        'red[2J2J'
    """
    return _OBEYED.sub("", str(text))


def write(text: object, *, file: TextIO | None = None, end: str = "\n", dim: bool = False) -> None:
    """Print cleaned text at once.

    Args:
        text: what to print.
        file: where; None for standard output.
        end: what follows the text.
        dim: print it dimmed where that is a terminal and NO_COLOR is not set.
    """
    stream = file or sys.stdout
    encoding = stream.encoding or "utf-8"
    shown = clean(text).encode(encoding, "backslashreplace").decode(encoding)
    if dim and stream.isatty() and "NO_COLOR" not in os.environ:
        shown = f"\x1b[2m{shown}\x1b[0m"
    print(shown, end=end, file=stream, flush=True)


def write_json(record: Mapping[str, object]) -> None:
    """Print a record as JSON; what a terminal would obey is written as ``\\uXXXX``, so nothing is lost."""
    text = json.dumps(record, ensure_ascii=False, indent=2)
    write(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


@contextlib.contextmanager
def waiting(told: str) -> Iterator[None]:
    """Say on standard error what goes on, should it take longer than a moment.

    Args:
        told: what is done, as "loading nano".
    """
    timer = threading.Timer(PATIENCE, lambda: write(f"{told} ...", file=sys.stderr, dim=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # a line that is being written does not fall into the next one


class Verb(TyperCommand):
    """One command: errors that a user can act on are one line, and a list option takes several words."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """``--modes think nothink`` is read as ``--modes think --modes nothink``."""
        try:
            return super().parse_args(ctx, self._spread(args))
        except typer.TyperException as error:
            vars(error)["ctx"] = vars(error).get("ctx") or ctx  # which command it was, for the message
            raise

    def _spread(self, words: Sequence[str]) -> list[str]:
        """Repeat a list option before each of its words; before the arguments a list is one word long."""
        options = [p for p in self.params if p.param_type_name == "option"]
        lists = {name for p in options if p.multiple for name in p.opts}
        valued = {name for p in options if not getattr(p, "is_flag", False) for name in p.opts}
        argued = all(p in options for p in self.params)
        spread: list[str] = []
        current, open_value = "", False
        for place, word in enumerate(words):
            if word == "--":
                return [*spread, *words[place:]]
            if word.startswith("-") and not open_value:
                name = word.partition("=")[0]
                current = name if name in lists else ""
                open_value = word in valued
            elif open_value:
                open_value = False
            elif current and argued:
                spread.append(current)
            else:
                current, argued = "", True
            spread.append(word)
        return spread

    def _refuse_empty(self, ctx: typer.Context) -> None:
        """An empty word is mostly a variable of the shell that is not set; as a path it means this folder."""
        for param in self.params:
            if ctx.params.get(param.name) == "" and param.metavar != "TEXT":
                name = param.opts[0] if param.param_type_name == "option" else param.metavar
                raise InputError(
                    f"{name} is an empty word", "text", "see which of the shell's variables is unset"
                )

    def invoke(self, ctx: typer.Context) -> int:  # type: ignore[override]  # a part of what typer allows
        """Run the command; its exit status."""
        try:
            self._refuse_empty(ctx)
            return int(super().invoke(ctx) or 0)
        except WorkbenchError as error:
            write(f"{ctx.command_path}: {error}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt as stopped:
            notes = " ".join(["interrupted", *getattr(stopped, "__notes__", ())])
            write(f"{ctx.command_path}: {notes}", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:  # the reader went away (`workbench doctor | head`); nobody is left to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except OSError as error:  # a full disk, a folder that may not be written
            given = f"{error.filename or 'a file'}: {error.strerror or error}"
            told = InputError(given, "a file or folder that can be read and written")
            write(f"{ctx.command_path}: {told}", file=sys.stderr)
            return FAILED


def example(*lines: str) -> str:
    """The end of a help text: commands to copy, each on a line of its own."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


def run_one(
    verb: Callable[..., int | None], arguments: Sequence[str] | None, *, name: str, examples: Sequence[str]
) -> int:
    """Run a program of one command; as `run`.

    Args:
        verb: the command: a function as typer takes it.
        arguments: words after the program's name; None for those of this process.
        name: what the program is called.
        examples: ends of command lines, for the help text.
    """
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(cls=Verb, epilog=example(*(f"{name} {end}" for end in examples)))(verb)
    return run(app, arguments, name=name)


def run(app: typer.Typer, arguments: Sequence[str] | None = None, *, name: str) -> int:
    """Run an app of `Verb` commands.

    Args:
        app: the app.
        arguments: words after the program's name; None for those of this process.
        name: what the program is called.

    Returns:
        The exit status: 0; 2 for a mistake that can be acted on; 130 after Ctrl-C; 1 for a mistake of ours,
        whose traceback is printed.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _warned(name)
        warnings.simplefilter("default", UserWarning)
        try:
            return int(get_command(app).main(arguments, prog_name=name, standalone_mode=False) or 0)
        except typer.TyperException as error:
            write(_misused(error), file=sys.stderr)
            return FAILED
        except Exception:
            write(traceback.format_exc(), file=sys.stderr)
            return BUG


def _misused(error: typer.TyperException) -> str:
    """What is wrong with a command line, in the form of all errors."""
    ctx = getattr(error, "ctx", None)
    told = error.format_message().replace("Value error, ", "")
    if ctx is None or told == ctx.get_help():  # no command was named: the help says which there are
        return told
    usage = " ".join(ctx.get_usage().removeprefix("Usage: ").split())
    wrong = InputError(told[:1].lower() + told[1:].rstrip("?"), usage, f"{ctx.command_path} --help")
    return f"{ctx.command_path}: {wrong}"


def _warned(name: str) -> Callable[..., None]:
    """A writer of warnings in the form of errors."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        write(f"{name}: warning: {message}", file=sys.stderr)

    return show


def time_words(seconds: float) -> str:
    """Seconds as a reader takes them: about 5 min, for instance."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
