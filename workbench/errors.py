"""Errors that a user can act on.

Every message has three parts: what was given, what is expected, and what to do.  A user's
mistake raises one of these; an internal invariant is an ``assert`` with its values.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

__all__ = [
    "ArgumentError",
    "BusyError",
    "CapabilityError",
    "CheckpointError",
    "ContextLengthError",
    "DiskError",
    "DivergenceError",
    "InputError",
    "LoadError",
    "ModeError",
    "OutOfMemoryError",
    "ServerError",
    "UnknownNameError",
    "WorkbenchError",
    "matching_torchvision",
    "warn",
]


class WorkbenchError(Exception):
    """Base of all errors that the workbench raises on purpose.

    Args:
        given: what was passed or found, as a clause ("mode='fast'").
        expected: what would have been accepted.
        fix: what to do about it; a command or a call where there is one.
    """

    def __init__(self, given: str, expected: str = "", fix: str = "") -> None:
        self.given, self.expected, self.fix = given, expected, fix
        parts = [given]
        if expected:
            parts.append(f"Expected: {expected}")
        if fix:
            parts.append(f"To do: {fix}")
        super().__init__(" ".join(map(_sentence, parts)))

    def __reduce__(
        self,
    ) -> tuple[
        type[WorkbenchError], tuple[str, str, str]
    ]:  # the parts, not the joined message, survive a process boundary
        return type(self), (self.given, self.expected, self.fix)


def _sentence(text: str) -> str:
    text = text.rstrip(".")
    return text if text.endswith("?") else f"{text}."


class InputError(WorkbenchError, ValueError):
    """A picture, question, option or record that cannot be used as it is."""


class ArgumentError(InputError, TypeError):
    """An argument that a function does not have."""


class UnknownNameError(WorkbenchError, AttributeError):
    """A name that a module or an object does not have."""


class ModeError(InputError):
    """A thinking mode that does not exist, or that this model does not have."""


class ContextLengthError(InputError):
    """Prompt and requested reply together exceed what the model was built for."""


class LoadError(WorkbenchError):
    """A model source that cannot be found, recognised or loaded."""


class CheckpointError(LoadError):
    """Weights on disk that do not match the architecture, or cannot be read."""


class DiskError(WorkbenchError, OSError):
    """A file or folder that cannot be written: a full disk, a missing permission."""


class BusyError(InputError):
    """A folder that another process is writing."""


class DivergenceError(WorkbenchError):
    """A training run whose loss is no number any more, or only grows."""


class CapabilityError(WorkbenchError):
    """Something that this kind of model cannot do (look inside a server, for one)."""


class OutOfMemoryError(WorkbenchError, MemoryError):
    """The device has no room; the message says what would fit."""


class ServerError(WorkbenchError, ConnectionError):
    """A model server that is down, too slow, or answers with nonsense."""


#: Modules between the user's line and a warning: our own, and what calls back into them.
_BETWEEN = ("workbench.", "torch.", "contextlib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called into the workbench, whichever function it called."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def matching_torchvision() -> str:
    """How to install the torchvision that fits the PyTorch that is here.

    Another build would bring another PyTorch, or make Transformers unimportable.
    """
    try:
        torch = f"torch {version('torch')}"
    except PackageNotFoundError:
        torch = "your torch"
    return (
        f"install the torchvision that matches {torch}, from the same package index as torch: "
        "pip install torchvision --no-deps --index-url ADDRESS_OF_THAT_INDEX"
    )
