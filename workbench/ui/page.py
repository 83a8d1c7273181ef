"""The attention explorer as one file that works without a kernel and without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import local_path
from .maps import Maps, Setting, quantised

__all__ = ["page", "script", "settings_within", "style", "write"]

SCRIPTS = ("draw.js", "sources.js", "parts.js", "explorer.js")
MAX_BYTES = 64_000_000
START = """
const data = JSON.parse(document.getElementById("data").textContent);
open(document.getElementById("explorer"), data);
"""


def script() -> str:
    """The explorer's JavaScript, one module made of its files in order (it imports nothing)."""
    return "\n".join(_asset(name) for name in SCRIPTS)


def style() -> str:
    """The explorer's style sheet."""
    return _asset("explorer.css")


def _asset(name: str) -> str:
    return (files("workbench.ui") / "assets" / name).read_text(encoding="utf-8")


def settings_within(maps: Maps, max_bytes: int) -> tuple[list[Setting], bool, bool]:
    """The settings that a page can carry: all layers and heads, or all layers, or their mean alone.

    Args:
        maps: of the answer.
        max_bytes: most bytes of maps, before they are packed.

    Returns:
        The settings, and whether layers and heads can be chosen.

    Raises:
        InputError: if even the mean is too much.
    """
    layers = [None, *range(maps.attention.n_layers)]
    heads = [None, *range(maps.attention.n_heads)]
    one = len(maps.words) * sum(len(grid) for grids in maps.grids for grid in grids)
    for choice_of_layers, choice_of_heads in ((True, True), (True, False), (False, False)):
        found = [
            Setting(layer, head, sinks)
            for layer in (layers if choice_of_layers else [None])
            for head in (heads if choice_of_heads else [None])
            for sinks in (True, False)
        ]
        if len(found) * one <= max_bytes:
            return found, choice_of_layers, choice_of_heads
    raise InputError(
        f"max_bytes={max_bytes}", f"at least {2 * one}, the maps of {len(maps.words)} words", "allow more"
    )


def page(maps: Maps, *, state: dict[str, Any], max_bytes: int = MAX_BYTES) -> str:
    """The whole page as text.

    Everything is inside: pictures, maps as bytes, script and style.  Its security policy lets nothing
    be fetched and no script run but ours, known by its hash.

    Args:
        maps: of the answer.
        state: the traits to begin with.
        max_bytes: most bytes of maps, before they are packed; see `settings_within`.

    Raises:
        InputError: if even the mean over layers and heads is too much.
    """
    settings, layers, heads = settings_within(maps, max_bytes)
    if not layers:
        state = {**state, "layer": None}
    if not heads:
        state = {**state, "head": None}
    data = {
        "info": maps.info(layers=layers, heads=heads),
        "state": state,
        "pictures": [_base64(maps.picture(number)) for number in range(len(maps.grids))],
        "maps": dict(_packed(maps, settings)),
    }
    code, look = (
        script() + START,
        style() + "\nbody { background: Canvas; color: CanvasText; margin: 1em; }\n",
    )
    assert "</script" not in code.lower(), "the script would end early"
    policy = (
        f"default-src 'none'; img-src data: blob:; script-src '{_hash(code)}'; style-src '{_hash(look)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    # "<" is written as an escape, so that no text of the model can end the element that holds it
    text = json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    title = escape(f"Attention: {maps.answer.question or maps.answer.text}"[:120])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{look}</style>\n</head>\n<body>\n"
        '<div id="explorer"></div>\n'
        f'<script type="application/json" id="data">{text}</script>\n'
        f'<script type="module">{code}</script>\n</body>\n</html>\n'
    )


def _packed(maps: Maps, settings: list[Setting]) -> Iterator[tuple[str, dict[str, Any]]]:
    words = range(len(maps.words))
    for setting in settings:
        cells = maps.cells(words, setting)
        values, peaks = quantised(cells)
        yield (
            setting.key,
            {
                "peaks": [float(f"{peak:.6g}") for peak in peaks],
                "shares": [[float(f"{share:.6g}") for share in row] for row in maps.shares(cells)],
                "packed": _base64(zlib.compress(values.tobytes(), 9)),
            },
        )


def write(path: str | Path, text: str) -> Path:
    """Write a page beside its place and move it there.

    Raises:
        InputError: if it cannot be written there.
    """
    target = local_path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(text.encode("utf-8", "replace"))  # half a surrogate pair cannot be written
        os.replace(beside, target)
    except OSError as error:
        raise InputError(
            f"path={str(path)!r}: {error.strerror or error}", "a file in a folder that exists"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return target


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
