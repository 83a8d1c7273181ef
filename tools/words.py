#!/usr/bin/env python3
"""One word, one meaning: what the public signatures of the package say, and where they break the word table.

    python tools/words.py

Public is what a face names in ``__all__``: functions, and of classes the constructor, the public methods and
the properties.  Faces are the front door, the rooms, and modules that a face names.  What is looked for:

- argument names that the table of words replaces (`fill` is `baseline`, `draws` is `n_resamples`, ...);
- an argument that means one thing everywhere, but has another default somewhere;
- more than two positional arguments, except in records and in errors, whose three parts are one sentence;
- a public name without a docstring whose first line is a sentence.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import workbench
from workbench import errors

ROOMS = ("models", "interpret", "synth", "train", "ablate", "bench", "viz", "ui")

INSTEAD = {
    "picture": "image",
    "pictures": "images",
    "fill": "baseline",
    "fills": "baselines",
    "masking": "baseline",
    "how": "baseline",
    "draws": "n_resamples",
    "resamples": "n_resamples",
    "repeats": "n_repeats",
    "random": "n_random",
    "randomise": "n_shuffles",
    "shuffles": "n_shuffles",
    "here": "engine",
    "rules": "protocol",
    "report": "progress",
    "quiet": "progress",
    "guide": "attention_supervision",
    "told": "auxiliary_labels",
    "chapter": "checkpoint_interval",
    "rests": "frozen",
}
"""Argument name -> the word of the table."""

EVALUATION_SEED = 1_000_003  # apart from every seed that training draws with

DEFAULTS: dict[str, tuple[Any, ...]] = {
    "sinks": (True,),
    "progress": (True,),
    "mode": ("auto", None),  # None where a log says it
    "max_tokens": (None,),
    "temperature": (0.0,),
    "thinking_budget": (None,),
    "seed": (0, None, EVALUATION_SEED),  # None where only a sampled reply needs one: it is drawn and noted
    "level": (0.95,),
    "n_random": (19,),
    "n_shuffles": (1,),
    "protocol": ("workbench", None),  # None: as it was scored
    "engine": ("local",),
    "baseline": ("mean",),
}
"""Argument name -> the defaults that it may have; it may also be required."""


HOOKS = ("workbench.models.families.base.FamilySpec.", "workbench.synth.canvas.Canvas")
"""What keeps to another's order: a family's own methods, which the workbench calls; a canvas, which draws as
Pillow's `ImageDraw` does.  Torch calls each ``forward`` likewise."""


@dataclass(frozen=True)
class Finding:
    """One public name that breaks a rule, and what to do."""

    name: str
    rule: str
    said: str

    def __str__(self) -> str:
        return f"{self.name}: {self.said} [{self.rule}]"


def faces() -> Iterator[ModuleType]:
    """The front door, the rooms, and the modules that a face names in ``__all__``."""
    waiting, seen = [workbench, *(_room(name) for name in ROOMS)], set()
    while waiting:
        face = waiting.pop(0)
        if face.__name__ not in seen:
            seen.add(face.__name__)
            yield face
            named = [getattr(face, name) for name in getattr(face, "__all__", [])]
            waiting += [each for each in named if isinstance(each, ModuleType)]


def _room(name: str) -> ModuleType:
    return __import__(f"workbench.{name}", fromlist=[name])


def public() -> dict[str, Any]:
    """Public functions, classes, methods and properties by their dotted name; each once."""
    found: dict[str, Any] = {}
    for face in faces():
        for name in getattr(face, "__all__", []):
            each = getattr(face, name)
            if inspect.isclass(each):
                found |= {f"{_home(each)}{tail}": member for tail, member in _members(each)}
            elif inspect.isfunction(each):
                found[_home(each)] = each
    return found


def _home(each: Any) -> str:
    return f"{each.__module__}.{each.__qualname__}"


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """A class, its constructor, its own public methods and properties."""
    yield "", kind
    for name, member in vars(kind).items():
        plain = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)):
            yield f".{name}", plain


def arguments(each: Any) -> list[inspect.Parameter]:
    """The arguments of a function or constructor, without self."""
    if isinstance(each, property) or (inspect.isclass(each) and not _constructed(each)):
        return []
    return [p for p in inspect.signature(each).parameters.values() if p.name not in ("self", "cls")]


def _constructed(kind: type) -> bool:
    """Whether a class has a constructor of ours: not an exception's, an enum's or a library's."""
    owner = next(k for k in kind.__mro__ if "__init__" in vars(k) or "__new__" in vars(k))
    return owner.__module__.startswith("workbench")


def findings() -> list[Finding]:
    """All breaks of the rules in the public signatures."""
    return [finding for name, each in sorted(public().items()) for finding in judge(name, each)]


def judge(name: str, each: Any) -> Iterator[Finding]:
    given = arguments(each)
    hook = name.startswith(HOOKS) or name.endswith(".forward")
    for argument in given if not hook else ():
        yield from judge_argument(name, argument)
    record = dataclasses.is_dataclass(each) or (
        inspect.isclass(each) and issubclass(each, errors.WorkbenchError)
    )
    places = [p.name for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) > 2 and not (hook or record):
        yield Finding(name, "positional", f"{', '.join(places[2:])}: keyword-only after two arguments")
    first = (inspect.getdoc(each) or "").partition("\n\n")[0]
    if not first.rstrip("`:").endswith((".", "?")) or first.startswith(f"{getattr(each, '__name__', '')}("):
        yield Finding(name, "docstring", f"a first sentence is missing: {first[:60]!r}")


def judge_argument(name: str, argument: inspect.Parameter) -> Iterator[Finding]:
    if argument.name in INSTEAD:
        yield Finding(name, "word", f"{argument.name}: say {INSTEAD[argument.name]}")
    if argument.default is not argument.empty and argument.name in DEFAULTS:
        allowed = DEFAULTS[argument.name]
        if argument.default not in allowed:
            yield Finding(name, "default", f"{argument.name}={argument.default!r}, elsewhere {allowed[0]!r}")


def main() -> None:
    """Print what was found."""
    found = findings()
    print(*found, sep="\n")
    print(f"{len(found)} findings in {len(public())} public names")


if __name__ == "__main__":
    main()
