"""One look for all figures: told apart by colour-blind readers, in grey, and by shape alone."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pandas as pd
from matplotlib import figure
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ..attention.record import tag_name
from ..errors import InputError

__all__ = [
    "DPI",
    "MODES",
    "SERIES",
    "Figure",
    "Look",
    "by_group",
    "columns",
    "named",
    "panels",
    "plain",
    "record",
    "titled",
    "token_text",
    "wrapped",
]

R = TypeVar("R")

DPI = 100  # pixels per inch on the page; files and screens of twice that stay sharp
INK, FAINT, GRID = "#222222", "#666666", "#dddddd"


@dataclass(frozen=True)
class Look:
    """How one series is drawn; the label is for the legend."""

    label: str
    colour: str
    marker: str
    line: str = "-"


# Paul Tol's high-contrast scheme: three colours that stay apart in grey (lightness 73, 49, 29).
MODES = {
    "nothink": Look("direct", "#DDAA33", "o"),
    "auto": Look("auto", "#BB5566", "s", "--"),
    "think": Look("thinking", "#004488", "^"),
}

# Series without an order of their own, such as families: colour, marker and line all differ.
SERIES = (
    Look("", "#004488", "o", "-"),
    Look("", "#DDAA33", "s", "--"),
    Look("", "#BB5566", "^", "-."),
    Look("", "#009988", "D", ":"),
    Look("", "#555555", "v", (0, (5, 1))),  # type: ignore[arg-type]
    Look("", "#88CCEE", "P", (0, (1, 1))),  # type: ignore[arg-type]
)


class Figure(figure.Figure):
    """A figure outside pyplot's list of open ones: nothing to close, and safe in any thread.

    It shows itself in a notebook whether or not pyplot was ever imported there.
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=2 * DPI)
        width, height = self.get_size_inches()
        return out.getvalue(), {"width": round(width * DPI), "height": round(height * DPI)}


def panels(
    rows: int, cols: int, *, width: float, height: float, **subplots: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of ``rows`` by ``cols`` axes, and these row by row; sizes in inches, of the whole."""
    drawn = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(rows, cols, squeeze=False, **subplots)
    return drawn, list(axes.flat)


def plain(axes: Axes, *, grid: Literal["x", "y"] = "x") -> None:
    """No frame but the two axes, and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis=grid, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def titled(drawn: Figure, text: str) -> None:
    """The finding, as the figure's title: left, above everything, broken to its width."""
    per_line = max(20, int(drawn.get_size_inches()[0] * 10))
    drawn.suptitle(
        wrapped(text, per_line),
        x=0.01,
        ha="left",
        fontsize=11,
        fontweight="bold",
        color=INK,
        parse_math=False,
    )


def wrapped(text: str, per_line: int) -> str:
    """Text in lines of at most ``per_line`` characters; its own line breaks are kept."""
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, per_line) or [""])


def named(text: str) -> str:
    """A token's text, or "‹control›" for a control token whose name says nothing ("<|dummy_84|>")."""
    return "‹control›" if tag_name(text) == "control" else text


def token_text(text: str, most: int) -> str:
    """A token as it is shown: `named`, in one line, cut after ``most`` characters."""
    text = named(text).replace("\n", "↵").strip() or "·"
    return text if len(text) <= most else text[: most - 1] + "…"


def record(given: object, kind: type[R], made_by: str) -> R:
    """What a figure was given, where it is the record that it draws.

    Args:
        given: what the caller passed.
        kind: class of the record.
        made_by: the call that makes one, for the message.

    Raises:
        InputError: naming what was given, what is drawn, and how it is made.
    """
    if isinstance(given, kind):
        return given
    raise InputError(
        f"a figure of {type(given).__name__}", f"a record of type {kind.__name__}", f"make it with {made_by}"
    )


def by_group(given: object, kind: type[R], made_by: str) -> dict[str, list[R]]:
    """One record, several, or several by group, as lists by group; "" names the only one.

    Raises:
        InputError: for none, an empty group, or what is no such record.
    """
    groups = given if isinstance(given, Mapping) else {"": given if isinstance(given, Sequence) else [given]}
    found = {name: [record(one, kind, made_by) for one in many] for name, many in groups.items()}
    if not found or not all(found.values()):
        given = "a group without a record" if found else "no record"
        raise InputError(given, f"at least one {kind.__name__} in each group", f"make it with {made_by}")
    return found


def columns(table: pd.DataFrame, needed: Sequence[str], made_by: str) -> pd.DataFrame:
    """A table (data frame, or list of dicts) that has rows and these columns.

    Raises:
        InputError: naming what is missing, and how such a table is made.
    """
    columns = f"a table with the columns {', '.join(needed)}"
    try:
        frame = pd.DataFrame(table)
    except (TypeError, ValueError):
        raise InputError(type(table).__name__, columns, f"make it with {made_by}") from None
    missing = [name for name in needed if name not in frame.columns]
    if missing or frame.empty:
        what = f"without {', '.join(map(repr, missing))}" if missing else "without rows"
        given = f"a table {what}" if isinstance(table, (pd.DataFrame, list)) else type(table).__name__
        raise InputError(given, columns, f"make it with {made_by}")
    return frame
