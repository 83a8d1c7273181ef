"""Where the sentences of a text begin and end: lists, decimals, abbreviations, formulas, code, other scripts.

Rules, not a model, so that a cut of a thought is the same everywhere and can be read off the text.  A
sentence ends at an end mark that white space follows, at a wide end mark, or at a line break; never inside a
formula or a block of code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .types import Span

__all__ = ["sentence_ends", "sentence_spans"]

_CLOSERS = "\"'”’»›)\\]}*_」』）】》"
_ENDS = re.compile(
    rf"[。！？｡][{_CLOSERS}]*"  # no white space follows these
    rf"|[.!?…।॥؟۔։።]+[{_CLOSERS}]*(?=\s|$)"
    r"|\n"
)
_WHOLE = re.compile(  # what no mark inside can end
    r"```.*?(?:```|\Z)"
    r"|\$\$.+?\$\$"
    r"|\\\[.+?\\\]"
    r"|\\\(.+?\\\)"
    r"|(?<![\\$])\$(?=\S)[^$\n]*?(?<=\S)\$(?!\d)",  # "$5 and $3" is no formula
    re.DOTALL,
)
_NUMBERING = re.compile(r"\W*(?:\d{1,3}|[a-z]|[ivx]{1,4})\.")  # "3." or "b." alone numbers a list
_SHORT = re.compile(  # followed by what it belongs to, whatever its case
    r"\b(?:e\.g|i\.e|cf|vs|viz|al|approx|ca|resp|incl|Dr|Mr|Mrs|Ms|Prof|St|Fig|Figs|Eq|Eqs|Sec|Ch|No|Nos|Tab|Vol|pp"
    r"|z\.B|d\.h|u\.a|bzw|Nr|Abb)\.$"
)
_LATE = re.compile(  # may end a sentence: the next letter tells
    r"(?:\b(?:etc|Inc|Ltd|Co|Jr|\w\.\w)\.|\.\.|…|[.!?…][\"'”’»]+)$"
)


def sentence_spans(text: str) -> list[Span]:
    """The sentences of a text, without the white space around them.

    Args:
        text: any text, for example a thought.

    Returns:
        Spans of characters, in order: ``text[span.start : span.stop]``.

    Example:
        >>> text = "It is 3.5 m, e.g. a van. So: 2."
        >>> [text[span.start : span.stop] for span in sentence_spans(text)]
        ['It is 3.5 m, e.g. a van.', 'So: 2.']
    """
    found, start = [], 0
    for end in sentence_ends(text):
        part = text[start:end]
        left = len(part) - len(part.lstrip())
        found.append(Span(start + left, start + len(part.rstrip())))
        start = end
    return found


def sentence_ends(text: str) -> list[int]:
    """Where the sentences of a text end; white space at its end belongs to none."""
    ends, start = [], 0
    for end in (*_ends(text), len(text)):
        if text[start:end].strip():
            ends.append(end)
            start = end
    return ends


def _ends(text: str) -> Iterator[int]:
    """Where marks and line breaks end something, be it white space."""
    whole = [match.span() for match in _WHOLE.finditer(text)]
    start = 0
    for match in _ENDS.finditer(text):
        if any(first <= match.start() < last for first, last in whole):
            continue
        if match.group() == "\n" or not _goes_on(text[start : match.end()], text[match.end() :]):
            yield match.end()
            start = match.end()


def _goes_on(sentence: str, rest: str) -> bool:
    """Whether the mark that stands last is no end."""
    if _NUMBERING.fullmatch(sentence.strip()) or _SHORT.search(sentence):
        return bool(rest.strip()) and not rest.lstrip(" \t").startswith("\n")
    after = rest.lstrip()
    return bool(_LATE.search(sentence)) and after[:1].islower()
