"""The words, colours and kinds that the drawn world is made of.

They are few on purpose: a model of two million parameters can learn them all, and a reader can
see at a glance what it was shown.
"""

from __future__ import annotations

__all__ = [
    "ASPECTS",
    "BUTTONS",
    "CATEGORIES",
    "CHARACTERS",
    "COLOURS",
    "KINDS",
    "LETTERS",
    "NAMES",
    "OPTIONS",
    "PAGES",
    "OPERATORS",
    "SHAPES",
    "SIGNS",
    "TEXTS",
    "TITLES",
    "TOLD_BY",
]

COLOURS = {
    "red": (214, 48, 49),
    "orange": (238, 130, 28),
    "yellow": (240, 205, 40),
    "green": (46, 158, 75),
    "blue": (45, 108, 200),
    "purple": (136, 72, 170),
    "pink": (240, 130, 180),
    "grey": (120, 124, 130),
}

SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")

LETTERS = tuple("ABCDEFGHJKLMNPRSTUVXYZ")

#: Category names of charts and tables, by theme; names of one theme go together.
CATEGORIES = {
    "months": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "days": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "drinks": ("Tea", "Milk", "Cola", "Juice", "Water", "Beer"),
    "fruit": ("Apple", "Pear", "Plum", "Kiwi", "Lime", "Fig"),
    "places": ("Rome", "Oslo", "Lima", "Cairo", "Paris", "Delhi"),
    "animals": ("Cat", "Dog", "Horse", "Goat", "Duck", "Fox"),
}

#: Buttons of the drawn screens.
BUTTONS = ("Save", "Open", "Send", "Print", "Close", "Copy", "Paste", "Undo", "Help", "Login", "Next", "Back")

#: Switches and boxes of the drawn settings pages.
OPTIONS = ("Wifi", "Sound", "Alarm", "Sync", "Video", "Mouse", "Camera", "Night")

#: Pages that link to one another.
PAGES = ("Home", "Files", "Mail", "News", "Shop", "Blog", "Music", "Photos")

SIGNS = (
    "EXIT", "STOP", "OPEN", "SALE", "TAXI", "BANK", "CAFE", "HOTEL", "PARK", "FIRE",
    "BUS", "TOUR", "LIFT", "CASH", "FOOD", "POOL", "ZOO", "GATE", "MUSIC", "BOOKS",
)  # fmt: skip

TITLES = ("Sales", "Visits", "Score", "Output", "Price", "Orders")

OPERATORS = ("+", "-", "×")

#: Kinds of things; class 0 is the empty background.
KINDS = (
    "nothing", "text", "bar", "point", "slice", "cell", "number", "operator", "side", "button", "on", "off",
    "field", "link", "icon", "sign", "up", "down", "left", "right", *SHAPES,
)  # fmt: skip

TEXTS = (
    *(str(n) for n in range(100)),
    *LETTERS,
    *(name for names in CATEGORIES.values() for name in names),
    *BUTTONS,
    *OPTIONS,
    *PAGES,
    *(s for s in SIGNS),
    *TITLES,
    *OPERATORS,
)

#: What a length belongs to in the drawn geometry.
MEASURES = ("width", "height", "radius", "rectangle")

#: Every name that can tell what a patch shows.
NAMES = tuple(dict.fromkeys((*TEXTS, *KINDS, *COLOURS, *MEASURES)))

#: What can be told of a patch, each by a name: the text on it, the kind of thing, its colour, the
#: label that it belongs to (a bar's category, a cell's row) and a second one (a cell's column), the
#: edges of an element in steps of four pixels, and the colours of a thing's neighbours.
ASPECTS = (
    "text", "kind", "colour", "key", "second", "x1", "y1", "x2", "y2", "left", "right", "above", "below",
)  # fmt: skip

#: The names that can tell an aspect, where not all can.
TOLD_BY = {"text": TEXTS, "kind": KINDS, "colour": tuple(COLOURS)}

#: Single characters that are told of a patch; 0 is none.
CHARACTERS = (
    "", *"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", *".,:;!?%$&/()+-=#@'",
)  # fmt: skip
