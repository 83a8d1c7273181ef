"""The value of a short mathematical expression, in LaTeX or as typed; a small parser, nothing is executed"""

from __future__ import annotations

import math
import re

__all__ = ["tidied", "value_of"]

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
