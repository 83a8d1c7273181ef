"""From turns to the text that a family's chat template makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import InputError
from ...types import Turn
from .controls import chat_template_of

__all__ = [
    "check_turns",
    "list_messages",
    "render",
    "render_plain",
    "split_generation_prompt",
    "string_messages",
    "takes_parts",
]


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
    processor: Any, messages: Sequence[Mapping[str, Any]], *, generation: bool = True, **variables: Any
) -> str:
    """The prompt that the checkpoint's own chat template makes of some messages.

    Raises:
        InputError: if the template refuses the conversation (its own words are in the message).
    """
    from jinja2.exceptions import TemplateError

    try:
        return processor.tokenizer.apply_chat_template(
            list(messages),
            chat_template=chat_template_of(processor),
            tokenize=False,
            add_generation_prompt=generation,
            **variables,
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise InputError(
            f"a conversation with the turns {roles}, which the model's chat template refuses: {error}",
            "turns that this model was built for",
        ) from error


def takes_parts(processor: Any) -> bool:
    """Whether a chat template takes content as a list of parts; else it wants a string."""
    try:
        text = render(processor, list_messages([Turn("user", "probe")]))
    except (InputError, TypeError):  # a template that adds strings fails on a list
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
