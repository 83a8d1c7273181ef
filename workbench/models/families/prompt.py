"""From turns to the text that a family's chat template makes of them.

Keep what a person typed from becoming a control token.

A tokenizer turns ``<|im_end|>`` into one control token wherever it stands, also inside a question.
So every control string in a person's text is hidden behind a stand-in token while the template
is rendered and tokenized, and is replaced afterwards by the ids of the same characters as plain
text.  Text without any control string goes through untouched, with exactly the official ids.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken

from ...errors import InputError
from ...types import Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

__all__ = [
    "Shield",
    "chat_template_of",
    "check_template",
    "check_turns",
    "control_strings",
    "list_messages",
    "render",
    "render_plain",
    "split_generation_prompt",
    "string_messages",
    "takes_parts",
]


_MARK = "\ue0f7"
"""A private-use character that frames stand-ins; text that has it is hidden too."""

MOST_STEPS = 1_000_000
"""Lines of a chat template that one rendering may run through; a thousand turns take some ten thousand."""

MOST_LETTERS = 20_000_000
"""Letters of the longest prompt that a chat template may write."""

MOST_MEMORY = 1_000_000_000
"""Bytes by which the process may grow while a chat template is rendered."""

MOST_NUMBER = 1_000_000
"""Largest number that a chat template may name."""

MOST_FACTOR = 1_000
"""Largest number by which a chat template may multiply."""

_PROCESSOR_TOKENS = (
    "image_token", "video_token", "audio_token", "boi_token", "eoi_token", "fake_image_token",
    "global_image_token", "start_image_token", "end_image_token", "vision_start_token", "vision_end_token",
)  # fmt: skip

# Tokenizers that people gave us are never changed: stand-ins go into one copy of each.
_copies: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_stand_ins: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


def chat_template_of(processor: ProcessorMixin) -> str | None:
    """The chat template of a processor or of its tokenizer; the default one of several."""
    template = getattr(processor, "chat_template", None)
    template = template or getattr(processor.tokenizer, "chat_template", None)
    return template.get("default") if isinstance(template, dict) else template


def control_strings(processor: ProcessorMixin, extra: Iterable[str] = ()) -> list[str]:
    """Texts that would change a conversation's structure if they were taken as tokens.

    These are the special tokens, the added tokens that the chat template writes (white space aside,
    which some vocabularies carry as added tokens), the processor's placeholders and ``extra``.
    """
    tokenizer = processor.tokenizer
    template = chat_template_of(processor) or ""
    found = {*extra, *tokenizer.all_special_tokens}
    found.update(str(getattr(processor, name, None) or "") for name in _PROCESSOR_TOKENS)
    for token in tokenizer.added_tokens_decoder.values():
        # Letters alone ("user") are words of a template, whatever the vocabulary calls them.
        if token.special or (token.content in template and not token.content.isalnum()):
            found.add(token.content)
    return sorted((text for text in found if text.strip()), key=lambda text: (-len(text), text))


class Shield:
    """Hides the control strings of one batch of conversations, and tells their plain ids.

    Args:
        processor: the model's processor.
        controls: what `control_strings` gave.
    """

    def __init__(self, processor: ProcessorMixin, controls: Sequence[str]) -> None:
        self._processor = processor
        self._pattern = re.compile("|".join(map(re.escape, (*controls, _MARK))))
        added = processor.tokenizer.get_added_vocab()
        self._ids = {added[text] for text in controls if text in added}
        self._tokenizer = processor.tokenizer
        self.expansions: dict[int, list[int]] = {}

    def hide(self, text: str) -> str:
        """The text with each control string replaced by its stand-in."""
        return self._pattern.sub(self._stand_in, text)

    def _stand_in(self, match: re.Match[str]) -> str:
        control = match.group()
        if self._tokenizer is self._processor.tokenizer:
            self._tokenizer = _guarded_copy(self._tokenizer)
        known = _stand_ins[self._tokenizer]
        if control not in known:
            name = f"{_MARK}{len(known)}{_MARK}"
            self._tokenizer.add_tokens(
                [AddedToken(name, normalized=False, special=True)], special_tokens=True
            )
            known[control] = name
        name = known[control]
        self.expansions[self._tokenizer.convert_tokens_to_ids(name)] = self.plain_ids(control)
        return name

    def processor(self) -> Any:
        """The processor; where something was hidden, a copy that knows each stand-in as one token."""
        if self._tokenizer is self._processor.tokenizer:
            return self._processor
        shielded = copy.copy(self._processor)
        for name in list(vars(shielded)):
            # What a processor made of its tokenizer and kept would go on using the other one.
            if isinstance(getattr(type(shielded), name, None), functools.cached_property):
                delattr(shielded, name)
        shielded.tokenizer = self._tokenizer
        return shielded

    def plain_ids(self, text: str) -> list[int]:
        """A control string as ids of ordinary text.

        Raises:
            InputError: if the tokenizer has no other way to write it.
        """
        tokenizer = self._processor.tokenizer
        # Cut inside the string: no piece is the control token any more.  One cut is enough unless
        # the rest happens to be another control string.
        for pieces in ((text[0], text[1:]), tuple(text)):
            ids = [i for piece in pieces if piece for i in tokenizer.encode(piece, add_special_tokens=False)]
            if not self._ids.intersection(ids):
                return ids
        raise InputError(
            f"the text contains {text!r}, a control token of this model that it cannot read as plain text",
            "a question without control tokens",
            "remove it from the text",
        )

    def structure(self, prompt: str) -> list[int]:
        """The control tokens of a rendered prompt, in order."""
        ids = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return [i for i in ids if i in self._ids]


def _guarded_copy(tokenizer: PreTrainedTokenizerBase) -> Any:
    """A copy of the tokenizer that may learn stand-ins, made once."""
    if tokenizer not in _copies:
        guarded = copy.deepcopy(tokenizer)
        _copies[tokenizer], _stand_ins[guarded] = guarded, {}
    return _copies[tokenizer]


def check_turns(turns: Sequence[Turn], max_images: int | None, family: str) -> None:
    """Refuse a conversation that cannot be asked.

    Raises:
        InputError: if it does not end with a user's question, or has too many pictures.
    """
    if not turns or turns[-1].role != "user":
        last = f"a {turns[-1].role}'s turn" if turns else "no turn"
        raise InputError(f"a conversation that ends with {last}", "a user's turn at the end")
    for number, turn in enumerate(turns):
        if turn.role == "user" and not turn.text.strip():
            what = "an empty question" if turn is turns[-1] else f"an empty text in turn {number}"
            raise InputError(what, "some text to reply to", "ask something, for example 'What is this?'")
        if turn.images and turn.role != "user":
            raise InputError(f"pictures in a {turn.role}'s turn", "pictures in user turns only")
    images = sum(len(turn.images) for turn in turns)
    if max_images is not None and images > max_images:
        raise InputError(
            f"{images} pictures", f"at most {max_images} for {family}", "ask about fewer pictures"
        )


def list_messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Messages whose content is a list of parts, as most families' templates take them."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        parts: list[dict[str, Any]] = [{"type": "image"} for _ in turn.images]
        message: dict[str, Any] = {
            "role": turn.role,
            "content": [*parts, {"type": "text", "text": turn.text}],
        }
        if turn.thought is not None:
            message["reasoning_content"] = turn.thought  # templates of thinking models know this key
        messages.append(message)
    return messages


def string_messages(turns: Sequence[Turn], placeholder: str) -> list[dict[str, Any]]:
    """Messages whose content is a string, with a placeholder and a line break per picture."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        message: dict[str, Any] = {
            "role": turn.role,
            "content": f"{placeholder}\n" * len(turn.images) + turn.text,
        }
        if turn.thought is not None:
            message["reasoning_content"] = turn.thought
        messages.append(message)
    return messages


def render(
    processor: ProcessorMixin,
    messages: Sequence[Mapping[str, Any]],
    *,
    generation: bool = True,
    **variables: Any,
) -> str:
    """The prompt that the checkpoint's own chat template makes of some messages.

    Raises:
        InputError: if the template refuses the conversation (its own words are in the message).
    """
    template = chat_template_of(processor)
    check_template(template or "")
    try:
        with _bounded():
            text: str = processor.tokenizer.apply_chat_template(
                list(messages),
                chat_template=template,
                tokenize=False,
                add_generation_prompt=generation,
                **variables,
            )
        if len(text) > MOST_LETTERS:
            raise OverflowError(f"it writes {len(text):,} letters")
        return text
    except Exception as error:  # a template is a program of the checkpoint's: it may raise anything
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(
            f"a conversation with the turns {roles}, which the model's chat template refuses: {error}",
            "turns that this model was built for",
        ) from error


@functools.lru_cache(maxsize=64)
def check_template(source: str) -> None:
    """Refuse a chat template whose arithmetic alone could fill memory or last for ever.

    Raises:
        InputError: for a power, a number beyond `MOST_NUMBER`, or a product other than by a number up to
            `MOST_FACTOR`; what is no template is left to Jinja.
    """
    import jinja2
    from jinja2 import nodes

    plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", source)  # a tag of Transformers
    try:
        tree = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(plain)
    except (jinja2.TemplateError, RecursionError, UnicodeError):
        return
    constants = [node.value for node in tree.find_all(nodes.Const)]
    numbers = [value for value in constants if isinstance(value, (int, float))]
    numbers += [int(width) for text in constants for width in re.findall(r"[%:<>^](\d{7,})", str(text))]
    if next(tree.find_all(nodes.Pow), None) is not None or any(n > MOST_NUMBER for n in numbers):
        raise InputError(
            "a chat template that computes with huge numbers", f"numbers up to {MOST_NUMBER:,}, and no power"
        )
    if not all(map(_is_small, tree.find_all(nodes.Mul))):
        raise InputError(
            "a chat template that multiplies without bound", f"products by a number up to {MOST_FACTOR:,}"
        )


def _is_small(product: Any) -> bool:
    """Whether a product of Jinja's is of one factor by a small number that is written out."""
    factors = [getattr(side, "value", None) for side in (product.left, product.right)]
    nested = type(product) in (type(product.left), type(product.right))
    return not nested and any(isinstance(one, (int, float)) and one <= MOST_FACTOR for one in factors)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End a template that runs for ever, after `MOST_STEPS` of its lines, or that takes `MOST_MEMORY`, which
    thirty doublings do; only this thread's lines are watched."""
    left = MOST_STEPS

    def line(frame: FrameType, event: str, value: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError(f"it does not end within {MOST_STEPS:,} steps")
        if held() - at_first > MOST_MEMORY:
            raise MemoryError(f"it takes more than {MOST_MEMORY / 1e9:.0f} GB of memory")
        return line

    def call(frame: FrameType, event: str, value: object) -> Any:
        return line if frame.f_code.co_filename == "<template>" else None

    before = sys.gettrace()
    with _memory() as held:
        at_first = held()
        sys.settrace(call)
        try:
            yield
        finally:
            sys.settrace(before)


@contextlib.contextmanager
def _memory() -> Iterator[Callable[[], int]]:
    """Bytes that this process holds, or held at most, as often as it is asked; 0 where nothing tells it."""
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        yield _peak
        return
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        yield lambda: page * int(os.pread(file, 128, 0).split()[1])
    finally:
        os.close(file)


def _peak() -> int:
    """Bytes that this process held at most; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def takes_parts(processor: ProcessorMixin) -> bool:
    """Whether a chat template takes content as a list of parts; else it wants a string."""
    try:
        text = render(processor, list_messages([Turn("user", "probe")]))
    except InputError:  # a template that adds strings fails on a list
        return False
    return "probe" in text and "'type'" not in text


def render_plain(turns: Sequence[Turn], placeholder: str) -> str:
    """The prompt of a model that has no chat template: its picture placeholders, then the text.

    Raises:
        InputError: for more than one turn.
    """
    if len(turns) > 1:
        raise InputError(
            f"a conversation of {len(turns)} turns",
            "one question: this model has no chat template",
            "leave out history=",
        )
    return placeholder * len(turns[0].images) + turns[0].text


def split_generation_prompt(text: str, without: str, marks: Sequence[str]) -> tuple[str, str]:
    """Cut a prompt before the first mark that its generation prompt writes for the model.

    A template that opens the thought itself (or closes an empty one) writes the first tokens of
    the reply.  Moved to the reply, they leave a prompt after which one can still ask how probable
    a thought was.

    Args:
        text: the prompt with its generation prompt.
        without: the same without it.
        marks: the delimiters of a thought.

    Returns:
        The prompt up to the mark, and the rest.
    """
    if not text.startswith(without):
        return text, ""
    tail = text[len(without) :]
    cuts = [at for mark in marks if mark and (at := tail.find(mark)) >= 0]
    if not cuts:
        return text, ""
    cut = len(without) + min(cuts)
    return text[:cut], text[cut:]
