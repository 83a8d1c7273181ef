"""Icons without text, each of which stands for a word."""

from __future__ import annotations

from collections.abc import Callable

from .canvas import RGB, Canvas

__all__ = ["ICONS", "draw_icon"]

Pen = tuple[Canvas, float, float, RGB, RGB]  # canvas, middle (x, y), ink, ground


def draw_icon(canvas: Canvas, name: str, x: float, y: float, ink: RGB, ground: RGB) -> None:
    """One of `ICONS` in a square of twelve pixels around (x, y)."""
    _DRAWN[name]((canvas, x, y, ink, ground))


def _home(pen: Pen) -> None:
    """A house with a door."""
    canvas, x, y, ink, ground = pen
    canvas.polygon([(x - 6.5, y), (x, y - 6), (x + 6.5, y)], ink)
    canvas.rectangle((x - 4.5, y, x + 4.5, y + 6), ink)
    canvas.rectangle((x - 1.2, y + 2, x + 1.2, y + 6), ground)


def _mail(pen: Pen) -> None:
    """A closed letter."""
    canvas, x, y, ink, ground = pen
    canvas.rectangle((x - 6.5, y - 4.5, x + 6.5, y + 4.5), ink)
    canvas.line([(x - 6, y - 4), (x, y + 1.5), (x + 6, y - 4)], ground, 1.2)


def _music(pen: Pen) -> None:
    """Two notes under a beam."""
    canvas, x, y, ink, _ = pen
    for left in (-4, 3.5):
        canvas.ellipse((x + left - 2.2, y + 2, x + left + 2.2, y + 6), ink)
        canvas.line([(x + left + 1.7, y + 4), (x + left + 1.7, y - 5)], ink, 1.4)
    canvas.line([(x - 2.6, y - 5), (x + 5.4, y - 5)], ink, 2.2)


def _camera(pen: Pen) -> None:
    """A box with a lens and a button."""
    canvas, x, y, ink, ground = pen
    canvas.rectangle((x - 6.5, y - 3.5, x + 6.5, y + 5), ink, radius=1.5)
    canvas.rectangle((x - 2.5, y - 5.5, x + 2.5, y - 3), ink)
    canvas.ellipse((x - 2.8, y - 2, x + 2.8, y + 3.6), ground)
    canvas.ellipse((x - 1.3, y - 0.5, x + 1.3, y + 2.1), ink)


def _alarm(pen: Pen) -> None:
    """A clock with two bells."""
    canvas, x, y, ink, ground = pen
    for side in (-4, 4):
        canvas.ellipse((x + side - 2, y - 6.5, x + side + 2, y - 2.5), ink)
    canvas.ellipse((x - 5.5, y - 5, x + 5.5, y + 6), ink)
    canvas.ellipse((x - 3.8, y - 3.3, x + 3.8, y + 4.3), ground)
    canvas.line([(x, y - 2.5), (x, y + 0.7), (x + 2.5, y + 0.7)], ink, 1.2)


def _next(pen: Pen) -> None:
    _arrow(pen, 1)


def _back(pen: Pen) -> None:
    _arrow(pen, -1)


def _arrow(pen: Pen, way: int) -> None:
    canvas, x, y, ink, _ = pen
    canvas.line([(x - 6 * way, y), (x + 3 * way, y)], ink, 2.4)
    canvas.polygon([(x + 6.5 * way, y), (x + 0.5 * way, y - 5.5), (x + 0.5 * way, y + 5.5)], ink)


def _close(pen: Pen) -> None:
    """A cross of two strokes."""
    canvas, x, y, ink, _ = pen
    canvas.line([(x - 4.5, y - 4.5), (x + 4.5, y + 4.5)], ink, 2.2)
    canvas.line([(x - 4.5, y + 4.5), (x + 4.5, y - 4.5)], ink, 2.2)


def _login(pen: Pen) -> None:
    """A padlock."""
    canvas, x, y, ink, ground = pen
    canvas.ellipse((x - 4, y - 6.5, x + 4, y + 2.5), ink)
    canvas.ellipse((x - 2.2, y - 4.7, x + 2.2, y + 1), ground)
    canvas.rectangle((x - 5.5, y - 1, x + 5.5, y + 6), ink, radius=1)


def _video(pen: Pen) -> None:
    """The sign for playing in a screen."""
    canvas, x, y, ink, ground = pen
    canvas.rectangle((x - 7, y - 5, x + 7, y + 5), ink, radius=2)
    canvas.polygon([(x - 2, y - 3.2), (x - 2, y + 3.2), (x + 3.6, y)], ground)


def _print(pen: Pen) -> None:
    """A printer with a sheet."""
    canvas, x, y, ink, ground = pen
    canvas.rectangle((x - 3.5, y - 6, x + 3.5, y - 3), ink)
    canvas.rectangle((x - 6.5, y - 2.2, x + 6.5, y + 3), ink)
    canvas.rectangle((x - 4, y + 0.8, x + 4, y + 6), ink)
    canvas.rectangle((x - 2.8, y + 1.8, x + 2.8, y + 5), ground)


_DRAWN: dict[str, Callable[[Pen], None]] = {
    "Home": _home,
    "Mail": _mail,
    "Music": _music,
    "Camera": _camera,
    "Alarm": _alarm,
    "Next": _next,
    "Back": _back,
    "Close": _close,
    "Login": _login,
    "Video": _video,
    "Print": _print,
}

#: Words that have an icon.
ICONS = tuple(_DRAWN)
