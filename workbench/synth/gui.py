"""Screens in several themes: windows with buttons, settings pages, pages of links."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .canvas import RGB, Box, Canvas, colour_of
from .icons import ICONS, draw_icon
from .sample import Drawing, Question
from .wordings import BBOX, BUTTONS, OPTIONS, PAGES, POINT, TITLES, WISHES

__all__ = ["gui_chosen", "gui_find", "gui_links", "gui_state"]

#: Element boxes stand on a grid of this many pixels, so that their four decimals are exact.
GRID = 4


Slot = tuple[int, int, int, int]


@dataclass(frozen=True)
class Theme:
    """Colours of a desktop."""

    page: RGB
    bar: RGB
    ink: RGB
    button: RGB
    caption: RGB
    line: RGB
    radius: int


THEMES = (
    Theme((246, 246, 248), (225, 227, 232), (25, 25, 28), (255, 255, 255), (25, 25, 28), (170, 174, 182), 3),
    Theme((34, 36, 42), (52, 55, 63), (235, 236, 240), (66, 70, 80), (240, 240, 244), (105, 110, 122), 3),
    Theme((255, 255, 255), (38, 99, 190), (20, 24, 32), (38, 99, 190), (255, 255, 255), (38, 99, 190), 6),
    Theme((212, 208, 200), (10, 36, 106), (0, 0, 0), (212, 208, 200), (0, 0, 0), (90, 90, 90), 0),
    Theme((240, 246, 240), (60, 140, 96), (18, 34, 26), (60, 140, 96), (255, 255, 255), (60, 140, 96), 5),
)


def _window(rng: random.Random, width: int, height: int) -> tuple[Canvas, Theme]:
    """A window with a title bar and its three dots."""
    theme = rng.choice(THEMES)
    canvas = Canvas(width, height, theme.page)
    canvas.rectangle((0, 0, width, 12), theme.bar)
    side = rng.choice((6, width - 24))
    for i, colour in enumerate(("red", "yellow", "green")):
        x = side + 8 * i
        canvas.ellipse((x - 2, 4, x + 2, 8), colour_of(colour, rng))
        canvas.mark((x - 2, 4, x + 2, 8), "icon", colour=colour)
    return canvas, theme


def gui_find(rng: random.Random, difficulty: int) -> Drawing:
    """Find a button: the official grounding prompt, the box in relative coordinates."""
    width, height = rng.choice(((128, 96), (128, 128), (96, 128)))
    canvas, theme = _window(rng, width, height)
    count = {1: 3, 2: 4, 3: 6}[difficulty]
    slots = _slots(rng, width, height, count)
    questions = []
    for (x1, y1, x2, y2), name in zip(slots, rng.sample(BUTTONS, len(slots)), strict=True):
        box = (x1, y1, x2, y2)
        canvas.rectangle(box, theme.button, theme.line, radius=theme.radius)
        edges = {edge: str(v // GRID) for edge, v in zip(("x1", "y1", "x2", "y2"), box, strict=True)}
        canvas.mark(box, "button", key=name, **edges)
        canvas.text(
            ((x1 + x2) / 2, (y1 + y2) / 2), name, size=10, colour=theme.caption, kind="button", key=name
        )
        gold = "[" + ", ".join(f"{v:.4f}" for v in (x1 / width, y1 / height, x2 / width, y2 / height)) + "]"
        ask = (
            rng.choice((f"Locate the {name} button.", f"Find the {name} button.", f"Where is {name}?"))
            + " Output its bbox [x1, y1, x2, y2] from 0.0000 to 1.0000."
        )
        trace, names = f"The {name} button is at {gold}.", {"button": name}
        questions.append(Question(ask, gold, trace, (box,), "point", asks="find", names=names))
    _furniture(rng, canvas, theme, slots)
    return Drawing([canvas], questions)


def _slots(rng: random.Random, width: int, height: int, count: int) -> list[tuple[int, int, int, int]]:
    """Free places for buttons: cells of a coarse grid, each button somewhere inside its own."""
    cols = 3 if width == 128 else 2
    cell_w, cell_h = width // cols // GRID * GRID, 20
    rows = (height - 16) // cell_h
    cells = rng.sample([(r, c) for r in range(rows) for c in range(cols)], min(count, rows * cols))
    slots = []
    for r, c in cells:
        w, h = rng.choice((36, 40)), 16
        x = c * cell_w + GRID * rng.randint(0, max(0, (cell_w - w) // GRID))
        y = 16 + r * cell_h + GRID * rng.randint(0, (cell_h - h) // GRID)
        slots.append((x, y, x + w, y + h))
    return slots


def _furniture(
    rng: random.Random, canvas: Canvas, theme: Theme, taken: list[tuple[int, int, int, int]]
) -> None:
    """Things that are not buttons, where there is room: text fields and rules."""
    for _ in range(3):
        x, y = (
            GRID * rng.randint(0, (canvas.width - 44) // GRID),
            GRID * rng.randint(4, (canvas.height - 14) // GRID),
        )
        box = (x, y, x + 40, y + 10)
        if all(box[2] <= t[0] or t[2] <= box[0] or box[3] <= t[1] or t[3] <= box[1] for t in taken):
            canvas.rectangle(box, (255, 255, 255), theme.line)
            canvas.mark(box, "field")
            return


def gui_state(rng: random.Random, difficulty: int) -> Drawing:
    """Is a switch or a box of a settings page on or off?"""
    count = difficulty + 2
    pitch = 16 if count == 5 else rng.choice((16, 20, 24))
    canvas, theme = _window(rng, 112, -(-(18 + pitch * count) // 16) * 16)
    boxed = rng.random() < 0.4
    left, right = 8 + rng.randint(0, 6), 84 + rng.randint(0, 8)
    accent = colour_of(rng.choice(("green", "blue", "purple", "orange")), rng)
    questions = []
    for i, name in enumerate(rng.sample(OPTIONS, count)):
        y, on = 24 + pitch * i, rng.random() < 0.5
        label = canvas.text((left, y), name, size=10, colour=theme.ink, anchor="lm", key=name)
        (_checkbox if boxed else _switch)(canvas, right, y, on, accent, theme)
        box = canvas.mark((right - 10, y - 7, right + 10, y + 7), "on" if on else "off", key=name)
        ask = rng.choice((f"Is {name} on or off?", f"Is the {name} setting on or off?"))
        state = "on" if on else "off"
        trace, names = f"The {name} switch is {state}.", {"option": name}
        questions.append(Question(ask, state, trace, (box, label), asks="state", names=names))
    return Drawing([canvas], questions)


def _switch(canvas: Canvas, x: float, y: float, on: bool, accent: RGB, theme: Theme) -> None:
    canvas.rectangle((x - 9, y - 5, x + 9, y + 5), accent if on else (150, 152, 156), radius=5)
    knob = x + 4 if on else x - 4
    canvas.ellipse((knob - 4, y - 4, knob + 4, y + 4), (255, 255, 255))


def _checkbox(canvas: Canvas, x: float, y: float, on: bool, accent: RGB, theme: Theme) -> None:
    canvas.rectangle((x - 6, y - 6, x + 6, y + 6), accent if on else (255, 255, 255), theme.line, radius=2)
    if on:
        canvas.line([(x - 3, y), (x - 1, y + 3), (x + 4, y - 3)], (255, 255, 255), 1.5)


def gui_links(rng: random.Random, difficulty: int) -> Drawing:
    """Follow links from page to page: one look-up a step."""
    count = difficulty + 5
    canvas, theme = _window(rng, 112, -(-(24 + 16 * count) // 16) * 16)
    pages = rng.sample(PAGES, count)
    # One cycle through all pages: no short loop whose end could be guessed.
    tour = rng.sample(pages, count)
    target = dict(zip(tour, [*tour[1:], tour[0]], strict=True))
    left, right = 6 + rng.randint(0, 4), 64 + rng.randint(0, 4)
    blue = (60, 130, 246) if sum(theme.page) < 300 else (20, 70, 200)
    boxes = {}
    for i, page in enumerate(pages):
        y = 24 + 16 * i
        canvas.text((left, y), page, size=10, colour=theme.ink, anchor="lm", bold=True)
        x1, y1, x2, y2 = canvas.text(
            (right, y), target[page], size=10, colour=blue, anchor="lm", kind="link", key=page
        )
        canvas.line([(x1, y2 + 1), (x2, y2 + 1)], blue, 0.5)
        boxes[page] = (left, y1, x2, y2 + 2)
    questions = []
    for start in pages[:4]:
        # At least three steps short of the whole tour: going backwards is no shorter way.
        steps = {1: 3, 2: rng.randint(3, 4), 3: rng.randint(4, 5)}[difficulty]
        at, trace, seen = start, [], []
        for _ in range(steps):
            trace.append(f"{at} links to {target[at]}.")
            seen.append(boxes[at])
            at = target[at]
        ask = rng.choice(
            (
                f"Start at {start} and follow the link {steps} times. On which page do you end?",
                f"Follow the links from {start} {steps} times. Which page is it?",
            )
        )
        names, rows = {"start": start, "steps": str(steps)}, tuple(dict.fromkeys(seen))
        questions.append(Question(ask, at, " ".join(trace), rows, steps=steps, asks="links", names=names))
    return Drawing([canvas], questions)


def gui_chosen(rng: random.Random, difficulty: int) -> Drawing:
    """Which of several is chosen: a tab, an entry of a list or a menu, the main button of a dialog."""
    return rng.choice((_tabs, _list, _menu, _dialog))(rng, difficulty + 2)


def _chosen(what: str, name: str, box: Box) -> Question:
    return Question(
        f"Which {what} is chosen?",
        name,
        f"The chosen {what} is {name}.",
        (box,),
        asks="chosen",
        names={"what": what},
    )


def _tabs(rng: random.Random, count: int) -> Drawing:
    """Tabs of a window; the open one has the page's colour and a line of the accent."""
    names, width = rng.sample(PAGES, count), 46
    canvas, theme = _window(rng, width * count + 8, 80)
    accent, open_one, questions = (
        colour_of(rng.choice(("blue", "orange", "green")), rng),
        rng.randrange(count),
        [],
    )
    canvas.rectangle((0, 14, canvas.width, 34), theme.bar)
    light = (255, 255, 255) if sum(theme.bar) < 380 else (20, 20, 24)
    for i, name in enumerate(names):
        box = (4 + width * i, 16, 2 + width * (i + 1), 34)
        if i == open_one:
            canvas.rectangle(box, theme.page)
            canvas.rectangle((box[0], 16, box[2], 19), accent)
            questions.append(_chosen("tab", name, box))
        ink = theme.ink if i == open_one else light
        canvas.text((4 + width * (i + 0.5), 26), name, size=10, colour=ink, key=name)
    canvas.rectangle((10, 46, 70, 52), theme.line)
    canvas.rectangle((10, 58, 50, 64), theme.line)
    return Drawing([canvas], questions)


def _list(rng: random.Random, count: int) -> Drawing:
    """A list with one row filled."""
    canvas, theme = _window(rng, 96, 26 + 18 * count)
    accent, filled = colour_of(rng.choice(("blue", "purple", "green", "orange")), rng), rng.randrange(count)
    questions = []
    for i, name in enumerate(rng.sample(BUTTONS + OPTIONS, count)):
        box = (6, 18 + 18 * i, 90, 36 + 18 * i)
        if i == filled:
            canvas.rectangle(box, accent, radius=2)
            questions.append(_chosen("list entry", name, box))
        ink = (255, 255, 255) if i == filled else theme.ink
        canvas.text((12, 27 + 18 * i), name, size=10, colour=ink, anchor="lm", key=name)
    return Drawing([canvas], questions)


def _menu(rng: random.Random, count: int) -> Drawing:
    """An open menu with a tick before one entry."""
    canvas, theme = _window(rng, 112, 34 + 16 * count)
    canvas.rectangle((8, 16, 100, 24 + 16 * count), theme.button, theme.line, radius=2)
    ticked, questions = rng.randrange(count), []
    for i, name in enumerate(rng.sample(BUTTONS, count)):
        y = 28 + 16 * i
        canvas.text((28, y), name, size=10, colour=theme.caption, anchor="lm", key=name)
        if i == ticked:
            canvas.line([(14, y), (17, y + 4), (23, y - 4)], theme.caption, 1.5)
            questions.append(_chosen("menu entry", name, (10, y - 8, 98, y + 8)))
    return Drawing([canvas], questions)


def _dialog(rng: random.Random, count: int) -> Drawing:
    """A dialog whose buttons are outlined but for the main one, which is filled."""
    count = min(count, 3)
    canvas, theme = _window(rng, 48 * count + 24, 80)
    accent, main, questions = (
        colour_of(rng.choice(("blue", "green", "purple")), rng),
        rng.randrange(count),
        [],
    )
    canvas.text((12, 28), rng.choice(TITLES) + "?", size=11, colour=theme.ink, anchor="lm", bold=True)
    for i, name in enumerate(rng.sample(BUTTONS, count)):
        box = (12 + 48 * i, 50, 54 + 48 * i, 68)
        canvas.rectangle(
            box, accent if i == main else theme.page, None if i == main else theme.line, radius=3
        )
        ink = (255, 255, 255) if i == main else theme.ink
        canvas.mark(box, "button", key=name)
        canvas.text((33 + 48 * i, 59), name, size=10, colour=ink, kind="button", key=name)
        if i == main:
            questions.append(_chosen("button", name, box))
    return Drawing([canvas], questions)


def gui_task(rng: random.Random, difficulty: int) -> Drawing:
    """Which button or icon is needed for a wish: its box or a point on it; "none" where there is none."""
    width, height = rng.choice(((128, 96), (128, 128), (96, 128)))
    canvas, theme = _window(rng, width, height)
    slots = _slots(rng, width, height, {1: 3, 2: 4, 3: 6}[difficulty])
    icons = rng.sample(ICONS, rng.randint(0, len(slots)))
    buttons = rng.sample([name for name in BUTTONS if name not in icons], len(slots) - len(icons))
    questions = []
    for slot, name in zip(slots, rng.sample(icons + buttons, len(slots)), strict=True):
        what = "icon" if name in icons else "button"
        box = (_icon if name in icons else _button)(canvas, theme, slot, name)
        questions.append(_wished(rng, name, what, box, (width, height)))
    _furniture(rng, canvas, theme, slots)
    if rng.random() < 0.3:
        absent = rng.choice([name for name in WISHES if name not in icons + buttons])
        questions.append(_wished(rng, absent, "", (0, 0, width, height), (width, height)))
    return Drawing([canvas], questions)


def _button(canvas: Canvas, theme: Theme, slot: Slot, name: str) -> Box:
    """A button with its caption."""
    canvas.rectangle(slot, theme.button, theme.line, radius=theme.radius)
    middle = ((slot[0] + slot[2]) / 2, (slot[1] + slot[3]) / 2)
    canvas.mark(slot, "button", key=name, **_edges(slot))
    canvas.text(middle, name, size=10, colour=theme.caption, kind="button", key=name)
    return slot


def _icon(canvas: Canvas, theme: Theme, slot: Slot, name: str) -> Box:
    """A picture that stands for a word, at the left of its slot."""
    box = (slot[0], slot[1], slot[0] + 20, slot[3])
    canvas.rectangle(box, theme.button, theme.line, radius=theme.radius)
    draw_icon(canvas, name, box[0] + 10, (box[1] + box[3]) / 2, theme.caption, theme.button)
    return canvas.mark(box, "icon", text=name, key=name, **_edges(box))


def _edges(box: Slot) -> dict[str, str]:
    return {edge: str(v // GRID) for edge, v in zip(("x1", "y1", "x2", "y2"), box, strict=True)}


def _wished(rng: random.Random, name: str, what: str, box: Box, size: tuple[int, int]) -> Question:
    """What a wish takes: as a box, or as a point; of no kind where it is not there."""
    wish, point = rng.choice(WISHES[name]), rng.random() < 0.4
    x1, y1, x2, y2 = (v / length for v, length in zip(box, size * 2, strict=True))
    place = ((x1 + x2) / 2, (y1 + y2) / 2) if point else (x1, y1, x2, y2)
    gold = "[" + ", ".join(f"{v:.4f}" for v in place) + "]" if what else "none"
    trace = f"The {name} {what} is at {gold}." if what else f"There is no {name} button or icon."
    return Question(
        f"Where do I click to {wish}?{POINT if point else BBOX}",
        gold,
        trace,
        (box,),
        "point" if what else "words",
        asks="task_point" if point else "task",
        names={"wish": wish},
    )
