"""Find the answer that a reply states, and read numbers and short expressions as people write them.

Everything runs in linear time; expressions, in LaTeX or as typed, are read by a small parser and never
executed.
"""

from __future__ import annotations

import math
import re

__all__ = [
    "NUMBER",
    "decimals",
    "last_number",
    "narrow",
    "number",
    "numbers_in",
    "opening",
    "plain",
    "said",
    "stated",
    "tidied",
    "value_of",
]


# 1,234,567.8 or 1234.5 or .5, with a sign and an exponent
NUMBER = r"[-+\N{MINUS SIGN}]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?"
_NUMBER = re.compile(rf"(?<![\w.]){NUMBER}")
_WHOLE = re.compile(NUMBER)
_DIGIT = re.compile(r"\d")
_BOXED = re.compile(r"\\boxed\s{0,5}\{")
_TAG = re.compile(r"<answer>\s*", re.IGNORECASE)
_GLM = re.compile(r"<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|$)", re.DOTALL)  # GLM-4.1V and later
# "answer is", "the correct option is:", "Answer:"; what follows is the answer
_CUES = ("answer", "option", "choice", "result", "value")
_CUE = re.compile(
    rf"\b(?:{'|'.join(_CUES)})(?:\s{{1,3}}(?:is|was|would be|should be|=)\b|\s{{0,3}}[:=])"
    r"(?:\s{0,3}[:=])?[ \t*]{0,8}"
)
_CURRENCY = "$\N{EURO SIGN}\N{POUND SIGN}\N{YEN SIGN}\N{INDIAN RUPEE SIGN}"


def stated(text: str) -> str | None:
    """The answer that a reply says is its answer: boxed (GLM's way, too), tagged or after "answer is".

    The last statement counts.  None where there is none.
    """
    if "<|begin_of_box|>" in text:
        text = _GLM.findall(text)[-1].strip()
        return stated(text) or text
    if "oxed" in text and (boxes := list(_BOXED.finditer(text))):
        return _inside_braces(text, boxes[-1].end())
    low = text.lower()
    if "<answer>" in low and (tags := list(_TAG.finditer(text))):
        return text[tags[-1].end() :].split("<", 1)[0].strip()
    low = low if len(low) == len(text) else text  # a few letters grow when they are made small
    if (end := _last_cue(low)) is not None:
        rest = text[end:].lstrip().split("\n", 1)[0]
        found = re.split(r"(?<=\w)[.;]\s|, (?:because|since|as|which|so)\b", rest, maxsplit=1)[0].strip()
        return found or None
    return None


# "In 2015, the value was 38." says 38; "It is Germany." says Germany.
_SAYS = re.compile(
    r"\b(?:is|was|are|were|equals|shows|reads|has|had)\s(?:(?:about|around|approximately|roughly|only|the|an?)\s)?"
)


def said(text: str) -> str | None:
    """What the only sentence of a reply says of its subject: the words after its last "is" or "was".

    None for a reply of several sentences, or without such a word.
    """
    line = text.strip()
    if "\n" in line or re.search(r"[.!?]\s", line) or not (found := list(_SAYS.finditer(line.lower()))):
        return None
    return line[found[-1].end() :].strip(" .!*`") or None


def opening(text: str) -> str:
    """What a reply begins with: its words up to the first comma, full stop, semicolon, dash or colon."""
    return re.split(r"[,.;:!]\s|\s[-\N{EN DASH}\N{EM DASH}]\s|[,.;:!]$", text.strip(), maxsplit=1)[0]


def narrow(text: str) -> str:
    """Text with full-width letters, digits and signs as ordinary ones; nothing else changes."""
    return text.translate(_FULL_WIDTH) if not text.isascii() else text


_FULL_WIDTH = {0x3000: 0x20, **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}}


def _last_cue(low: str) -> int | None:
    """Where the last cue ends; looks from the end, as most replies state their answer there."""
    places = {word: low.rfind(word) for word in _CUES}
    while (at := max(places.values())) >= 0:
        if match := _CUE.match(low, at):
            return match.end()
        word = next(name for name, place in places.items() if place == at)
        places[word] = low.rfind(word, 0, at)
    return None


def _inside_braces(text: str, start: int) -> str:
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at].strip()
    return text[start:].strip()


def plain(text: str) -> str:
    """Text for comparing words: lower case, single spaces, no quotes, emphasis, or full stop around it."""
    return " ".join(text.lower().split()).strip(
        " .!\"'`*\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
    )


def number(text: str) -> float | None:
    """A text that is one number: thousands separators, a currency sign, and ``%`` (a hundredth) are read.

    >>> number("977,633"), number("14%"), number("$ 1.2"), number("about 3")
    (977633.0, 0.14, 1.2, None)
    """
    text = text.strip().strip("*`").rstrip(".").strip().lstrip(_CURRENCY).strip()
    percent = text.endswith("%")
    digits = text.rstrip("%").strip().removesuffix("\\").strip()
    if not _WHOLE.fullmatch(digits):
        return None
    value = float(digits.replace(",", "").replace("\N{MINUS SIGN}", "-"))
    value = value / 100 if percent else value
    return value if math.isfinite(value) else None


def numbers_in(text: str) -> list[float]:
    """All finite numbers in a text, in order; ``%`` after one makes it a hundredth."""
    found, at = [], 0
    while digit := _DIGIT.search(text, at):  # quick, and most of a reply holds no number
        match = _NUMBER.search(text, max(at, digit.start() - 2))  # a sign and a point may stand before it
        if match is None:
            break
        at = match.end()
        value = float(match.group().replace(",", "").replace("\N{MINUS SIGN}", "-"))
        if text[at : at + 3].lstrip(" \\")[:1] == "%":
            value /= 100
        if math.isfinite(value):
            found.append(value)
    return found


def last_number(text: str) -> float | None:
    """The last number in a text."""
    found = numbers_in(text)
    return found[-1] if found else None


def decimals(text: str) -> int:
    """How many digits stand after a number's decimal point."""
    return len(text.strip().partition(".")[2])


_LONGEST = 200  # characters of an expression that is worth evaluating
_DEEPEST = 30
_FRACTION = re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)")
_REPLACED = (
    *(
        ("\\left", ""),
        ("\\right", ""),
        ("\\,", ""),
        ("\\!", ""),
        ("\\;", ""),
        ("\\ ", ""),
        ("\\dfrac", "\\frac"),
    ),
    *(("\\tfrac", "\\frac"), ("\\cdot", "*"), ("\\times", "*"), ("\\div", "/"), ("\\pi", "pi"), ("\\%", "%")),
    *(
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\circ", ""),
        ("\\degree", ""),
        ("\N{DEGREE SIGN}", ""),
        ("$", ""),
    ),
    *(("\N{MULTIPLICATION SIGN}", "*"), ("\N{DIVISION SIGN}", "/"), ("\N{MINUS SIGN}", "-")),
    *(("\N{GREEK SMALL LETTER PI}", "pi"), ("\N{SQUARE ROOT}", "sqrt"), ("\\sqrt", "sqrt"), ("**", "^")),
    *(("\\(", ""), ("\\)", ""), ("\\[", ""), ("\\]", "")),
)
_UNIT = re.compile(r"\\(?:text|mathrm|mbox)\s{0,3}\{([^{}]{0,40})\}")
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|(\\frac|sqrt|pi)|(.))")


def tidied(text: str) -> str:
    """An answer for comparing: without spaces, LaTeX dressing, dollar signs, or units in ``\\text``."""
    text = text.strip()[: 10 * _LONGEST]
    text = _UNIT.sub(lambda m: m.group(1) if len(m.group(1).strip()) == 1 else "", text)
    text = _FRACTION.sub(r"\\frac{\1}{\2}", text)
    for old, new in _REPLACED:
        text = text.replace(old, new)
    return re.sub(r"\s+", "", text).rstrip(".").lower()


def value_of(text: str) -> float | None:
    """The value of an expression of numbers, + - * / ^, brackets, fractions, square roots and pi.

    >>> value_of("\\\\frac{3}{4}"), value_of("2\\\\sqrt{2}"), value_of("x + 1")
    (0.75, 2.8284271247461903, None)
    """
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", tidied(text))
    percent = text.endswith("%")
    text = text.rstrip("%")
    if not text or len(text) > _LONGEST:
        return None
    try:
        parser = _Parser(text)
        value = parser.sum(0)
        if parser.peek() is not None:
            return None
    except (_NotAnExpression, ZeroDivisionError, OverflowError, ValueError):
        return None
    if isinstance(value, complex) or not math.isfinite(value):
        return None
    return value / 100 if percent else value


class _NotAnExpression(Exception):
    pass


class _Parser:
    """Recursive descent; each rule takes its depth, so that brackets cannot nest without end."""

    def __init__(self, text: str) -> None:
        self.tokens = [m.group(1) or m.group(2) or m.group(3) for m in _TOKEN.finditer(text)]
        self.at = 0

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise _NotAnExpression
        self.at += 1
        return token

    def sum(self, depth: int) -> float:
        if depth > _DEEPEST:
            raise _NotAnExpression
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            value = value + self.product(depth) if self.take() == "+" else value - self.product(depth)
        return value

    def product(self, depth: int) -> float:
        value = self.signed(depth)
        while (token := self.peek()) is not None:
            if token in "*/":
                self.take()
                value = value * self.signed(depth) if token == "*" else value / self.signed(depth)
            elif token in ("\\frac", "sqrt", "pi", "(", "{"):  # 2pi, 3sqrt(2): a product without a sign
                value *= self.power(depth)
            else:
                break
        return value

    def signed(self, depth: int) -> float:
        sign = 1.0
        while self.peek() in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
        return sign * self.power(depth)

    def power(self, depth: int) -> float:
        value = self.atom(depth)
        if self.peek() == "^":
            self.take()
            exponent = self.signed(depth + 1)
            if abs(exponent) > 100:
                raise _NotAnExpression
            value = float(value) ** exponent
        return value

    def atom(self, depth: int) -> float:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if token == "pi":
            return math.pi
        if token == "sqrt":
            root = 2.0
            if self.peek() == "[":
                self.take()
                root = self.sum(depth + 1)
                self.close("]")
            return float(self.atom(depth + 1)) ** (1 / root)
        if token == "\\frac":
            above = self.atom(depth + 1)
            return above / self.atom(depth + 1)
        if token in "({":
            value = self.sum(depth + 1)
            self.close(")" if token == "(" else "}")
            return value
        raise _NotAnExpression

    def close(self, bracket: str) -> None:
        if self.take() != bracket:
            raise _NotAnExpression
