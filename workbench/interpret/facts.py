"""The facts in a sentence: numbers, colours, shapes, directions, names; one of them replaced; all checked.

Rules over words, so that a changed thought can be read and said in words ("7 becomes 4").  What may stand in
a fact's place comes from the vocabulary of the picture: the texts that are true of it, or were said about it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..synth.sample import sentences
from ..synth.wordings import COLOURS, SHAPES

__all__ = ["Fact", "Vocabulary", "check_sentence", "form_of", "in_other_words", "says"]

_TOKEN = re.compile(r"-?\d+(?:\.\d+)?|[^\W\d_]+")
_FIXED = {
    "colour": (*COLOURS, "black", "white", "brown", "gray"),
    "shape": (*SHAPES, *(f"{shape}s" for shape in SHAPES), "crosses"),
    "direction": ("up", "down", "left", "right"),
    "side": ("above", "below"),
    "state": ("on", "off"),
    "answer": ("yes", "no"),
    "order": ("more", "less", "larger", "smaller", "higher", "lower", "taller", "shorter"),
}
_KIND = {word: kind for kind, words in _FIXED.items() for word in words}
_STATE_VERBS = {"is", "are", "switched", "turned", "now", "still"}  # "on" is a state behind these only
_NO_NAMES = {
    "a", "an", "the", "there", "this", "that", "these", "those", "it", "its", "i", "we", "he", "she",
    "they", "so", "then", "therefore", "thus", "hence", "now", "first", "second", "third", "next",
    "finally", "last", "and", "but", "or", "if", "as", "at", "in", "on", "of", "to", "from", "for",
    "with", "by", "what", "which", "who", "how", "where", "when", "why", "since", "because", "looking",
    "let", "wait", "hmm", "okay", "ok", "here", "is", "are", "no", "not", "yes", "each", "every", "all",
    "some",
}  # fmt: skip
_SYNONYMS = (
    ("links to", "leads to"),
    ("points", "goes"),
    ("there are", "one counts"),
    ("there is", "one finds"),
    ("is directly", "lies directly"),
    ("says", "reads"),
    ("reads", "says"),
    ("is now", "has become"),
    ("is at", "lies at"),
    ("is", "is in fact"),
    ("so", "hence"),
)


class Fact(NamedTuple):
    """A word or number that could be another: where it stands in its text, and its kind."""

    start: int
    stop: int
    word: str
    kind: str


@dataclass(frozen=True)
class Vocabulary:
    """What is named about a picture.

    Args:
        names: names of things, as they are written.
        numbers: numbers, as they are written.
        colours: colours.
    """

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """The vocabulary of some sentences about a picture."""
        names: dict[str, None] = {}
        numbers: dict[str, None] = {}
        colours: dict[str, None] = {}
        for text in texts:
            for match in _TOKEN.finditer(text):
                word = match.group()
                if word[-1].isdigit():
                    numbers[word] = None
                elif word.lower() in _FIXED["colour"]:
                    colours[word.lower()] = None
                elif word[0].isupper() and not _begins(text, match.start()):
                    names[word] = None
        return cls(tuple(names), tuple(numbers), tuple(colours))

    def facts(self, sentence: str) -> list[Fact]:
        """The facts of a sentence, in order."""
        return list(self._facts(sentence))

    def _facts(self, sentence: str) -> Iterator[Fact]:
        before = ""
        for match in _TOKEN.finditer(sentence):
            word, low = match.group(), match.group().lower()
            kind = "number" if word[-1].isdigit() else _KIND.get(low, "")
            if kind == "state" and before not in _STATE_VERBS:
                kind = ""
            if not kind and word[0].isupper() and self._names(word, low, _begins(sentence, match.start())):
                kind = "name"
            if kind:
                yield Fact(match.start(), match.end(), word, kind)
            before = low

    def _names(self, word: str, low: str, begins: bool) -> bool:
        """Whether a word in capitals is a name; at a sentence's beginning most are none."""
        if word in self.names:
            return low != "a" or not begins or any(len(name) == 1 and name != "A" for name in self.names)
        return low not in _NO_NAMES and not begins

    def other(self, fact: Fact, rng: random.Random) -> str | None:
        """Another of the kind, of the same form, from the picture's vocabulary where it has one."""
        word, low = fact.word, fact.word.lower()
        if fact.kind == "name":
            choices = [name for name in self.names if form_of(name) == form_of(word)]
        elif fact.kind == "number":
            choices = [n for n in self.numbers if n != word and _digits(n) == _digits(word)]
            choices = choices or _numbers_like(word)
        elif fact.kind == "colour":
            choices = [c for c in self.colours if c != low] or list(_FIXED["colour"])
        elif fact.kind == "shape":
            many = low.endswith("s") and low != "cross"
            choices = [s for s in _FIXED["shape"] if (s.endswith("s") and s != "cross") == many]
        elif fact.kind == "order":  # its opposite
            choices = [_FIXED["order"][_FIXED["order"].index(low) ^ 1]]
        else:
            choices = list(_FIXED[fact.kind])
        choices = sorted({choice for choice in choices if choice.lower() != low})
        return _cased(rng.choice(choices), word) if choices else None

    def mistake(
        self, sentence: str, question: str, rng: random.Random, *, then: str = ""
    ) -> tuple[str, str] | None:
        """The sentence with one fact replaced, and what became what; None where nothing can be.

        The fact is one that is used afterwards, and that the question does not give; the last of several.

        Args:
            sentence: one sentence of a thought.
            question: what was asked.
            rng: chooses what comes in the fact's place.
            then: what comes after it: the next sentence, or the answer.
        """
        given, used = set(_words(question)), set(_words(then))

        def rank(fact: Fact) -> tuple[bool, bool, int]:
            word = fact.word.lower()
            return word not in used, word in given, -fact.start

        for fact in sorted(self.facts(sentence), key=rank):
            if (other := self.other(fact, rng)) is not None:
                changed = sentence[: fact.start] + other + sentence[fact.stop :]
                return changed, f"{fact.word} becomes {other}"
        return None


def check_sentence(sentence: str, truths: Sequence[str]) -> bool | None:
    """Whether a sentence is true of a drawing; None where that cannot be checked.

    It is true if it is one of the truths, and false if it would be one but for its facts: the same words
    with another number, colour or name.

    Args:
        sentence: one sentence of a thought.
        truths: sentences that are true, such as ``sample.truths``.
    """
    said = " ".join(sentence.split())
    if said in truths:
        return True
    vocabulary = Vocabulary.of([*truths, said])
    return False if _pattern(said, vocabulary) in {_pattern(truth, vocabulary) for truth in truths} else None


def in_other_words(thought: str) -> str:
    """The thought with its verbs replaced by others that say the same; its facts stay."""
    said = []
    for sentence in sentences(thought):
        for old, new in _SYNONYMS:
            found = re.search(rf"\b{old}\b", sentence, re.IGNORECASE)
            if found:
                sentence = f"{sentence[: found.start()]}{_cased(new, found.group())}{sentence[found.end() :]}"
                break
        said.append(sentence)
    return " ".join(said)


def says(text: str, answer: str) -> bool:
    """Whether all words of an answer stand in a text, in any order."""
    wanted = set(_words(answer))
    return bool(wanted) and wanted <= set(_words(text))


def form_of(name: str) -> str:
    """What tells numbers, letters, words in capitals, and other names apart; "" of no text."""
    if name[-1:].isdigit():
        return "number"
    return "letter" if len(name) == 1 else "capitals" if name.isupper() else "name" if name else ""


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in _TOKEN.finditer(text)]


def _pattern(sentence: str, vocabulary: Vocabulary) -> str:
    """The sentence with each fact's kind in its place; names may stand at its beginning too."""
    parts, at = [], 0
    for match in _TOKEN.finditer(sentence):
        word, low = match.group(), match.group().lower()
        kind = "number" if word[-1].isdigit() else _KIND.get(low, "")
        if not kind and word[0].isupper() and (low not in _NO_NAMES or word in vocabulary.names):
            kind = "name"
        parts += [sentence[at : match.start()], f"<{kind}>" if kind else low]
        at = match.end()
    return "".join([*parts, sentence[at:]])


def _begins(text: str, at: int) -> bool:
    """Whether a sentence begins at a place."""
    before = text[:at].rstrip()
    return not before or before[-1] in ".!?:\n"


def _digits(number: str) -> tuple[int, int]:
    whole, _, rest = number.lstrip("-").partition(".")
    return len(whole), len(rest)


def _numbers_like(number: str) -> list[str]:
    """Numbers of the same form near by."""
    decimals = _digits(number)[1]
    step = 10.0**-decimals
    near = (float(number) + step * by for by in (-3, -2, -1, 1, 2, 3))
    return [f"{value:.{decimals}f}" for value in near if value >= 0]


def _cased(word: str, like: str) -> str:
    """The word in another's case, where that one begins a sentence or is all capitals."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word
