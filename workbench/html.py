"""The one frame for every HTML output: escaped, never typeset as mathematics, readable in light and dark.

JupyterLab typesets ``$...$`` in outputs and makes links of what stands in it; model output and a user's text
are text, never markup.  So every ``_repr_html_`` returns `frame(...)` around pieces made here, and every page
that opens without a network is made by `page`.
"""

from __future__ import annotations

import base64
import functools
import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple, TypeVar

from PIL import Image

__all__ = ["CLASSES", "Markup", "details", "frame", "framed", "page", "table", "text", "thumbnail"]

CLASSES = "workbench tex2jax_ignore mathjax_ignore"
"""Classes of the outermost element: MathJax 2 and 3 pass it over."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Content security policy of pages: nothing is fetched."""


R = TypeVar("R")


class Markup(NamedTuple):
    """A piece that is HTML already; anything else that goes into a table is escaped."""

    html: str


def frame(body: str, *, style: str = "") -> str:
    """The outermost element of an HTML output.

    Args:
        body: HTML.
        style: more CSS for the element.
    """
    return f'<div class="{CLASSES}"{f" style={escape(style)!r}" if style else ""}>{body}</div>'


def framed(method: Callable[[R], str]) -> Callable[[R], str]:
    """Put what a ``_repr_html_`` returns into the `frame`; each of ours wears it."""

    @functools.wraps(method)
    def inside(self: R) -> str:
        return frame(method(self))

    return inside


# What turns text round, and what has no width: a reader sees neither, so that words could hide in them.
_UNSEEN = re.compile(r"[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]")


def _escaped(value: object) -> str:
    """Escaped text; characters that cannot be seen stand as ``\\uXXXX``."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", escape(str(value)))


def text(value: object, *, preformatted: bool = False) -> str:
    """A value as escaped text, isolated so that right-to-left words in it turn nothing else round.

    Marks that turn text round and characters without width are shown as ``\\uXXXX``.

    Args:
        value: what is shown.
        preformatted: keep line breaks and runs of spaces.
    """
    if preformatted:
        return f'<bdi style="white-space:pre-wrap">{_escaped(value)}</bdi>'
    return f"<bdi>{_escaped(value)}</bdi>"


def table(header: Sequence[object], rows: Sequence[Sequence[object]], *, caption: str = "") -> str:
    """A table; cells are escaped unless they are `Markup`, numbers stand to the right."""
    head = "".join(f'<th style="text-align:left">{_inside(name)}</th>' for name in header)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    title = f"<caption>{_escaped(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _inside(value: object) -> str:
    return value.html if isinstance(value, Markup) else _escaped(value)


def _cell(value: object) -> str:
    if isinstance(value, Markup):
        return f'<td style="text-align:left">{value.html}</td>'
    words = str(value)
    numeric = words == "-" or words[:1].isdigit() or words[:2].lstrip("+-−")[:1].isdigit()
    side = "right" if numeric else "left"
    return (
        f'<td class={"n" if numeric else "t"} style="text-align:{side}">{text(words, preformatted=True)}</td>'
    )


def details(summary: str, body: str, *, opened: bool = False) -> str:
    """A part that is folded until it is clicked; ``body`` is HTML, ``summary`` is text."""
    return f"<details{' open' if opened else ''}><summary>{_escaped(summary)}</summary>{body}</details>"


def thumbnail(image: Image.Image, *, side: int = 320, alt: str = "") -> str:
    """A picture as an ``<img>`` that carries its own data.

    Args:
        image: the picture.
        side: its longer side is reduced to this many pixels; smaller pictures stay as they are.
        alt: what it shows, in words.
    """
    shown = image
    if max(image.size) > side:
        shown = image.copy()
        shown.thumbnail((side, side))
    buffer = io.BytesIO()
    (shown if shown.mode in ("RGB", "RGBA", "L") else shown.convert("RGB")).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole HTML page that may fetch nothing.

    Args:
        title: text.
        body: HTML.
        style: CSS.
        script: JavaScript of ours; never text of a model or a user.
    """
    code = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f'<body class="{CLASSES}">{body}{code}</body></html>'
    )
