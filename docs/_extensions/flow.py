"""The directive ``flow``: a path through the code as a diagram and as a numbered list, from one text.

Each line is ``workbench.room.module.function | what it does``; a line that begins with spaces goes on with
the one before.  A column of the diagram is a room, a box a function, from top to bottom in order of call.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WIDTH, HEIGHT, BOX_WIDTH, BOX_HEIGHT, TOP = 178, 52, 166, 36, 34  # pixels
INNER = ("families", "importers", "scorers", "statistics")  # folders with a column of their own
COLOURS = ("#004488", "#bb5566", "#ddaa33", "#228833", "#66ccee", "#aa3377", "#888888")


@dataclass(frozen=True)
class Step:
    """One function on the way.

    Args:
        name: its dotted name, ``workbench.room.module.qualname``.
        text: what it does, as Markdown.
    """

    name: str
    text: str

    @property
    def room(self) -> str:
        parts = self.name.split(".")
        return "/".join(parts[1:3]) if parts[2] in INNER else parts[1]

    @property
    def module(self) -> str:
        """The longest importable beginning of the name."""
        parts = self.name.split(".")
        while ".".join(parts) not in sys.modules and not source(parts):
            parts = parts[:-1]
        return ".".join(parts)

    @property
    def function(self) -> str:
        return self.name.removeprefix(self.module + ".")

    @property
    def file(self) -> str:
        return source(self.module.split("."))


def source(parts: Sequence[str]) -> str:
    """The file of a module, from the package's folder on; empty where there is none."""
    root = Path(__file__).resolve().parent.parent.parent
    place = Path(*parts)
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if (root / file).is_file():
            return file.as_posix().removeprefix("workbench/")
    return ""


def read_steps(lines: Sequence[str]) -> list[Step]:
    """The steps of a directive's text."""
    joined: list[str] = []
    for line in lines:
        if line.startswith(" ") and joined:
            joined[-1] += " " + line.strip()
        elif line.strip():
            joined.append(line.strip())
    parts = [line.partition("|") for line in joined]
    return [Step(name.strip(), text.strip()) for name, _, text in parts]


def drawing(steps: Sequence[Step]) -> str:
    """The diagram as SVG; text takes the page's colour, so that it reads in light and dark."""
    rooms = list(dict.fromkeys(step.room for step in steps))
    width, height = WIDTH * len(rooms), TOP + HEIGHT * len(steps)
    parts = [f'<svg class="flow" viewBox="0 0 {width} {height}" role="img" style="max-width:{width}px">']
    parts.append(f"<title>{escape(' → '.join(step.function for step in steps))}</title>")
    for column, room in enumerate(rooms):
        colour, x = COLOURS[column % len(COLOURS)], column * WIDTH
        parts.append(
            f'<rect x="{x}" y="0" width="{WIDTH - 4}" height="{height}" fill="{colour}" opacity="0.07"/>'
        )
        parts.append(f'<text x="{x + WIDTH / 2 - 2}" y="20" class="room">{escape(room)}</text>')
    places = [(rooms.index(step.room) * WIDTH + 4, TOP + row * HEIGHT + 6) for row, step in enumerate(steps)]
    for (x, y), (next_x, next_y) in zip(places, places[1:], strict=False):
        middle = y + BOX_HEIGHT + (HEIGHT - BOX_HEIGHT) / 2
        start, end = x + BOX_WIDTH / 2, next_x + BOX_WIDTH / 2
        parts.append(f'<path d="M{start} {y + BOX_HEIGHT} V{middle} H{end} V{next_y - 3}" class="arrow"/>')
        parts.append(f'<path d="M{end - 4} {next_y - 6} L{end} {next_y} L{end + 4} {next_y - 6}Z"/>')
    for number, (step, (x, y)) in enumerate(zip(steps, places, strict=True), 1):
        colour = COLOURS[rooms.index(step.room) % len(COLOURS)]
        parts.append(
            f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="4" class="box" '
            f'stroke="{colour}"/>'
        )
        parts.append(
            f'<text x="{x + 8}" y="{y + 15}" class="name">{number}. {escape(_short(step.function))}</text>'
        )
        parts.append(f'<text x="{x + 8}" y="{y + 29}" class="file">{escape(_short(step.file, 28))}</text>')
    return "".join([*parts, "</svg>"])


def _short(text: str, most: int = 23) -> str:
    return text if len(text) <= most else "…" + text[-most + 1 :]


class Flow(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        steps = read_steps(list(self.content))
        listed = [
            f"{n}. **`{step.function}`** (`{step.file}`): {step.text}" for n, step in enumerate(steps, 1)
        ]
        picture = nodes.raw("", f'<div class="flow">{drawing(steps)}</div>', format="html")
        return [picture, *self.parse_text_to_nodes("\n".join(listed))]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("flow", Flow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
