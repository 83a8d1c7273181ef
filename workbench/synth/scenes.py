"""Shapes and their colours, places and numbers; signs; arrows from letter to letter."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import numpy as np
from PIL import Image

from .canvas import RGB, Box, Canvas, colour_of
from .sample import Drawing, Question
from .wordings import COLOURS, LETTERS, SHAPES, SIGNS

__all__ = [
    "arrows",
    "digit_read",
    "draw_shape",
    "named",
    "plural",
    "read_sign",
    "shape_change",
    "shape_colour",
    "shape_count",
    "shape_relation",
]

CELL = 32
BACKGROUNDS = ((255, 255, 255), (242, 242, 238), (228, 236, 244), (250, 244, 230))
STEP = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
SIDES = {"left": "left", "right": "right", "above": "up", "below": "down"}

Boxes = dict[tuple[int, int], Box]
Letters = dict[tuple[int, int], str]  # (row, col) -> a letter, or a direction
Things = dict[tuple[int, int], tuple[str, str]]  # (row, col) -> (colour, shape)


def shape_colour(rng: random.Random, difficulty: int) -> Drawing:
    """Name the colour of a shape, or the shape of a colour; each occurs once."""
    count = {1: 3, 2: 4, 3: 6}[difficulty]
    shapes, colours = rng.sample(SHAPES, count), rng.sample(list(COLOURS), count)
    things = dict(zip(_places(rng, 3, 3, count), zip(colours, shapes, strict=True), strict=True))
    canvas, boxes = _scene(rng, 3, 3, things)
    questions = []
    for place, (colour, shape) in things.items():
        trace = f"The {shape} is {colour}."
        questions += named(colour, shape, trace, boxes[place])
    return Drawing([canvas], questions)


def named(colour: str, shape: str, trace: str, box: Box) -> list[Question]:
    """A thing asked for by its shape, and by its colour."""
    ask = f"What colour is the {shape}?"
    return [
        Question(ask, colour, trace, (box,), asks="colour", names={"shape": shape}),
        Question(f"Which shape is {colour}?", shape, trace, (box,), asks="shape", names={"colour": colour}),
    ]


def shape_count(rng: random.Random, difficulty: int, *, mended: bool = False) -> Drawing:
    """Count the shapes of one colour or of one kind; ``mended``: "There is 1 square." """
    count = {1: 3, 2: 5, 3: 7}[difficulty]
    shapes, colours = rng.sample(SHAPES, 3), rng.sample(list(COLOURS), 3)
    things = {p: (rng.choice(colours), rng.choice(shapes)) for p in _places(rng, 3, 3, count)}
    canvas, boxes = _scene(rng, 3, 3, things)
    questions = []
    for name, index in [(c, 0) for c in colours] + [(s, 1) for s in shapes]:
        found = [boxes[p] for p, thing in things.items() if thing[index] == name]
        what = f"{name} shapes" if index == 0 else plural(name)
        trace = f"There are {len(found)} {what}."
        if mended and len(found) == 1:
            trace = f"There is 1 {name} shape." if index == 0 else f"There is 1 {name}."
        ask = f"How many {what} are there?"
        where = tuple(found) or ((0, 0, 96, 96),)
        questions.append(
            Question(ask, str(len(found)), trace, where, "number", asks="count", names={"things": what})
        )
    return Drawing([canvas], questions)


def shape_relation(rng: random.Random, difficulty: int, *, mended: bool = False) -> Drawing:
    """Name the neighbour of a shape in a given direction; ``mended``: "directly left of", of which there is
    one."""
    count = {1: 4, 2: 6, 3: 8}[difficulty]
    colours = rng.sample(list(COLOURS), count)
    places = _places(rng, 3, 3, count)
    while not any(_neighbour(p, d) in places for p in places for d in STEP):
        places = _places(rng, 3, 3, count)
    things = {p: (c, rng.choice(SHAPES)) for p, c in zip(places, colours, strict=True)}
    canvas, boxes = _scene(rng, 3, 3, things)
    beside = "directly " if mended else ""
    words = {
        "up": "directly above",
        "down": "directly below",
        "left": f"{beside}left of",
        "right": f"{beside}right of",
    }
    questions = []
    for place, (colour, shape) in things.items():
        for direction, words_for in words.items():
            if (there := _neighbour(place, direction)) in things:
                answer = " ".join(things[there])
                ask = f"What is {words_for} the {colour} {shape}?"
                trace = f"The {answer} is {words_for} the {colour} {shape}."
                names = {"side": direction, "thing": f"{colour} {shape}"}
                where = (boxes[there], boxes[place])
                questions.append(Question(ask, answer, trace, where, asks="relation", names=names))
    return Drawing([canvas], questions)


def shape_change(rng: random.Random, difficulty: int) -> Drawing:
    """Two pictures of one scene; in the second, one shape has another colour."""
    rows, cols, count = {1: (2, 2, 3), 2: (2, 3, 4), 3: (3, 3, 6)}[difficulty]
    shapes, colours = rng.sample(SHAPES, count), rng.sample(list(COLOURS), count + 1)
    things = dict(zip(_places(rng, rows, cols, count), zip(colours, shapes, strict=False), strict=True))
    changed = rng.choice(list(things))
    after = {**things, changed: (colours[-1], things[changed][1])}
    state = rng.getstate()
    first, _ = _scene(rng, rows, cols, things)
    rng.setstate(state)  # the same places and shades in both pictures
    second, boxes = _scene(rng, rows, cols, after)
    answer = " ".join(after[changed])
    trace = f"The {things[changed][1]} was {things[changed][0]} and is now {colours[-1]}."
    ask = rng.choice(("What changed in the second picture?", "Which shape changed its colour, and to what?"))
    question = Question(ask, answer, trace, (boxes[changed],), image=1, asks="change")
    return Drawing([first, second], [question])


def read_sign(rng: random.Random, difficulty: int) -> Drawing:
    """Read the word on a sign, told by its colour."""
    count = difficulty + 1
    canvas = Canvas(96, (48, 80, 112)[difficulty - 1], rng.choice(BACKGROUNDS))
    questions = []
    pitch = canvas.height / count
    signs = zip(rng.sample(SIGNS, count), rng.sample(list(COLOURS), count), strict=True)
    for i, (word, colour) in enumerate(signs):
        width = 7 * len(word) + 16 + rng.randint(0, 8)
        x, y = rng.randint(2, 94 - width), 4 * round(pitch * (i + 0.5) / 4)
        box = (x, y - 10, x + width, y + 10)
        canvas.rectangle(box, colour_of(colour, rng), radius=rng.choice((0, 3, 6)))
        canvas.mark(box, "sign", colour=colour)
        ink = (30, 30, 30) if colour == "yellow" else (255, 255, 255)
        canvas.text((x + width / 2, y), word, size=10, colour=ink, bold=True, kind="sign", named=colour)
        ask = rng.choice((f"What does the {colour} sign say?", f"Read the {colour} sign."))
        trace, names = f"The {colour} sign says {word}.", {"colour": colour}
        questions.append(Question(ask, word, trace, (box,), asks="sign", names=names))
    return Drawing([canvas], questions)


def arrows(rng: random.Random, difficulty: int) -> Drawing:
    """Follow arrows from letter to letter over a board: one look-up a step."""
    rows, cols = {1: (3, 3), 2: (4, 3), 3: (4, 4)}[difficulty]
    letters = iter(rng.sample(LETTERS, rows * cols))
    board = {(r, c): next(letters) for r in range(rows) for c in range(cols)}
    pointing: dict[tuple[int, int], str] = {}
    for p in board:
        # Never back to a cell that points here: going back and forth could be guessed.
        ways = [
            d for d in STEP if (q := _neighbour(p, d)) in board and _neighbour(q, pointing.get(q, d)) != p
        ]
        pointing[p] = rng.choice(ways or [d for d in STEP if _neighbour(p, d) in board])
    canvas, boxes = _board(rng, rows, cols, board, pointing)
    questions = []
    for start in board:
        steps = {1: 3, 2: rng.randint(4, 5), 3: 6}[difficulty]
        at, trace, seen = start, [], []
        for _ in range(steps):
            to = _neighbour(at, pointing[at])
            trace.append(f"{board[at]} points {pointing[at]} to {board[to]}.")
            seen.append(boxes[at])
            at = to
        ask = rng.choice(
            (
                f"Start at {board[start]} and follow the arrows {steps} times. Where do you end?",
                f"Follow the arrows from {board[start]} {steps} times. Which letter is it?",
            )
        )
        names, cells = {"start": board[start], "steps": str(steps)}, tuple(dict.fromkeys(seen))
        questions.append(
            Question(ask, board[at], " ".join(trace), cells, steps=steps, asks="arrows", names=names)
        )
    return Drawing([canvas], questions)


def _board(
    rng: random.Random, rows: int, cols: int, board: Letters, pointing: Letters
) -> tuple[Canvas, Boxes]:
    """Letters in boxes, each with an arrow: (canvas, box of each cell)."""
    high = 24
    canvas = Canvas(cols * CELL, -(-rows * high // 16) * 16, rng.choice(BACKGROUNDS))
    ink = colour_of(rng.choice(("blue", "red", "purple", "green", "grey")), rng)
    boxes: Boxes = {}
    for (r, c), letter in board.items():
        x, y = c * CELL, r * high
        boxes[r, c] = (x + 1, y + 1, x + CELL - 1, y + high - 1)
        canvas.rectangle(boxes[r, c], (255, 255, 255), (190, 194, 200), radius=3)
        to = board[_neighbour((r, c), pointing[r, c])]
        canvas.text((x + 8, y + high / 2), letter, size=11, bold=True, key=to)
        _arrow(canvas, x + 23, y + high / 2, pointing[r, c], ink)
        canvas.mark((x + 16, y + high / 2 - 7, x + 30, y + high / 2 + 7), pointing[r, c], key=to)
    return canvas, boxes


def _arrow(canvas: Canvas, x: float, y: float, direction: str, ink: RGB) -> None:
    dy, dx = STEP[direction]
    tip, tail = (x + 6 * dx, y + 6 * dy), (x - 6 * dx, y - 6 * dy)
    canvas.line([tail, tip], ink, 2)
    wing = [(tip[0] - 5 * dx + 4 * s * dy, tip[1] - 5 * dy + 4 * s * dx) for s in (1, -1)]
    canvas.polygon([(tip[0] + dx, tip[1] + dy), *wing], ink)


def _neighbour(place: tuple[int, int], direction: str) -> tuple[int, int]:
    return place[0] + STEP[direction][0], place[1] + STEP[direction][1]


def _places(rng: random.Random, rows: int, cols: int, count: int) -> list[tuple[int, int]]:
    return sorted(rng.sample([(r, c) for r in range(rows) for c in range(cols)], count))


def plural(shape: str) -> str:
    """Several of a shape, in a word."""
    return shape + ("es" if shape == "cross" else "s")


def _scene(rng: random.Random, rows: int, cols: int, things: Things) -> tuple[Canvas, Boxes]:
    """Shapes on a loose grid: (canvas, box of each)."""
    canvas = Canvas(cols * CELL, rows * CELL, rng.choice(BACKGROUNDS))
    boxes = {}
    for (r, c), (colour, shape) in sorted(things.items()):
        radius = rng.uniform(9, 12)
        x, y = c * CELL + 16 + rng.uniform(-3, 3), r * CELL + 16 + rng.uniform(-3, 3)
        boxes[r, c] = (x - radius, y - radius, x + radius, y + radius)
        draw_shape(canvas, shape, x, y, radius, colour_of(colour, rng))
        beside = {side: things.get(_neighbour((r, c), way), ("nothing",))[0] for side, way in SIDES.items()}
        canvas.mark(boxes[r, c], shape, colour=colour, **beside)
    return canvas, boxes


def draw_shape(canvas: Canvas, shape: str, x: float, y: float, r: float, fill: RGB) -> None:
    """One of `words.SHAPES` around (x, y), ``r`` pixels to its rim."""
    if shape == "circle":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill)
    elif shape == "square":
        canvas.rectangle((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill)
    elif shape == "cross":
        canvas.rectangle((x - r, y - 0.32 * r, x + r, y + 0.32 * r), fill)
        canvas.rectangle((x - 0.32 * r, y - r, x + 0.32 * r, y + r), fill)
    else:
        corners = {"triangle": (3, (1.0,)), "diamond": (4, (1.0,)), "star": (10, (1.0, 0.42))}[shape]
        n, radii = corners
        points = []
        for i in range(n):
            angle, length = 2 * math.pi * i / n - math.pi / 2, r * radii[i % len(radii)]
            points.append((x + length * math.cos(angle), y + length * math.sin(angle)))
        canvas.polygon(points, fill)


def digit_read(rng: random.Random, difficulty: int) -> Drawing:
    """Read a number written by hand (scikit-learn's digits), told by its ink."""
    count, length = {1: (2, 1), 2: (3, 1), 3: (3, 2)}[difficulty]
    canvas = Canvas(48 + 24 * length, 34 * count + 6, rng.choice(BACKGROUNDS))
    colours = rng.sample([c for c in COLOURS if c != "yellow"], count)
    questions = []
    for i, colour in enumerate(colours):
        x, y, shade, number = (
            8 + rng.uniform(0, 30),
            5 + 34 * i + rng.uniform(0, 4),
            colour_of(colour, rng),
            "",
        )
        start = x
        for _ in range(length):
            digit, mask = _handwritten(rng)
            canvas.stencil((x, y, x + 24, y + 28), mask, shade)
            canvas.mark((x, y, x + 24, y + 28), "number", text=digit, colour=colour)
            number, x = number + digit, x + 21
        box = (start, y, x + 3, y + 28)
        questions.append(
            Question(
                f"What is the {colour} number?",
                str(int(number)),
                f"The {colour} number is {int(number)}.",
                (box,),
                "number",
                asks="number",
                names={"colour": colour},
            )
        )
    return Drawing([canvas], questions)


@lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits, uint8 ``[count, 8, 8]``, and what they are."""
    from sklearn.datasets import load_digits  # heavy

    found = load_digits()
    return (found.images * (255 / 16)).astype(np.uint8), found.target


def _handwritten(rng: random.Random) -> tuple[str, Image.Image]:
    pictures, targets = _digits()
    number = rng.randrange(len(pictures))
    return str(targets[number]), Image.fromarray(pictures[number])
