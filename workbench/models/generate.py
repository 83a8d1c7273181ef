"""The one engine that makes replies: Transformers' ``generate`` with our hand on every step.

`ReplyControl` stands at both ends of a step: before a token is chosen it reads ``p_think`` from the
raw scores, forces what a mode or a budget asks for, and samples from its own random generator; after
it, it notes the token, feeds the reader, and ends rows.

Reading a reply while it is being written: which token belongs to the thought, which to the answer.

One reader follows one reply.  It decodes piece by piece without ever showing half a character or a
delimiter, and counts the thought's tokens for the budget.

Per-step control of generation: thinking budget, forced tokens, sampling, stopping.

Everything is kept per row, so that a row of a batch gives the reply that it would give alone, and a
run that is interrupted has lost nothing.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    Cache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.utils import ModelOutput

from ..errors import InputError
from ..types import Piece
from .families import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "IncrementalText",
    "Interrupted",
    "OnPieces",
    "ReplyControl",
    "ReplyReader",
    "Row",
    "Settings",
    "run_generation",
]


BROKEN = "\N{REPLACEMENT CHARACTER}"


class IncrementalText:
    """Decode a growing list of token ids; each call gives the text that is now certain.

    A character may be spread over several tokens: the last replacement character is held back
    until its bytes are complete.  Only a window of recent tokens is decoded again.

    Args:
        decode: token ids to text.
    """

    WINDOW, KEPT = 32, 8  # 8 tokens are at least 8 bytes: more than the longest UTF-8 character

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._shown = 0  # characters of the window's text that were given out

    def push(self, token: int) -> str:
        """Text that this token completes."""
        self._ids.append(token)
        text = self._decode(self._ids)
        certain = text[:-1] if text.endswith(BROKEN) else text
        new = certain[self._shown :]
        self._shown = max(self._shown, len(certain))
        if len(self._ids) > self.WINDOW:
            self._ids = self._ids[-self.KEPT :]
            text = self._decode(self._ids)
            self._shown = len(text) - text.endswith(BROKEN)
        return new

    def flush(self) -> str:
        """What was held back, when no more tokens will come."""
        text = self._decode(self._ids)[self._shown :]
        self._ids, self._shown = [], 0
        return text


class ReplyReader:
    """Sort a reply's tokens into thought and answer as they come.

    A delimiter of one token is recognised by its id; one of several tokens by its text, since its
    characters may be merged with their neighbours'.  Text is given out without the white space at
    the ends of thought and answer, so the pieces of a kind, joined, are the record's text.  A close
    that nothing opened is left out; only the record, made at the end, can tell that what came before
    it was a thought.

    Args:
        decode: token ids to text, special tokens left out.
        think_open, think_close: ids of the delimiters; empty for a family without thoughts.
        delimiters: their texts.
        opened: the prompt itself already opened the thought.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        *,
        think_open: Sequence[int] = (),
        think_close: Sequence[int] = (),
        delimiters: tuple[str, str] = ("", ""),
        opened: bool = False,
    ) -> None:
        self._open, self._close = list(think_open), list(think_close)
        self._delimiters = delimiters
        self._text = IncrementalText(decode)
        self._held = ""
        self._started = False
        self._closed = False
        self.state = "thought" if opened else "start" if think_open else "answer"
        self.thought_tokens = 0

    def push(self, token: int) -> list[Piece]:
        """Take the next token of the reply.

        Returns:
            The pieces that are now certain; mostly one, or none.
        """
        if self.state == "start" and len(self._open) == 1 and token == self._open[0]:
            self._switch("thought")
            return []
        if not self._closed and len(self._close) == 1 and token == self._close[0]:
            pieces = self._take(self._text.flush(), last=True)
            self._closed = True
            self._switch("answer")
            return pieces
        self.thought_tokens += self.state == "thought"
        return self._take(self._text.push(token))

    def finish(self) -> list[Piece]:
        """What was held back, when the reply has ended."""
        return self._take(self._text.flush(), last=True)

    def _take(self, text: str, *, last: bool = False) -> list[Piece]:
        if self.state == "start":
            return self._at_start(text, last=last)
        if self.state == "thought" and len(self._close) > 1 and not self._closed:
            return self._until_close(text, last=last)
        return self._give(text, last=last)

    def _at_start(self, text: str, *, last: bool) -> list[Piece]:
        """Nothing but white space so far: a thought may still open."""
        self._held += text
        begun = self._held.lstrip()
        opener = self._delimiters[0] if len(self._open) > 1 else ""
        if opener and begun.startswith(opener):
            self._switch("thought", keep_text=True)
            return self._take(begun[len(opener) :], last=last)
        if begun and (last or not opener.startswith(begun)):
            self._switch("answer", keep_text=True)
            return self._take(begun, last=last)
        return []

    def _until_close(self, text: str, *, last: bool) -> list[Piece]:
        """Give the thought out, but hold back what may become its closing delimiter."""
        closer = self._delimiters[1]
        text, self._held = self._held + text, ""
        before, found, after = text.partition(closer)
        if found:
            pieces = self._give(before, last=True)
            self._closed = True
            self._switch("answer", keep_text=True)
            return pieces + self._take(after, last=last)
        sizes = range(min(len(closer) - 1, len(text)), 0, -1)
        keep = 0 if last else next((n for n in sizes if text.endswith(closer[:n])), 0)
        pieces = self._give(text[: len(text) - keep], last=last)
        self._held += text[len(text) - keep :]
        return pieces

    def _give(self, text: str, *, last: bool = False) -> list[Piece]:
        text, self._held = self._held + text, ""
        if not self._started:
            text = text.lstrip()
        shown = text.rstrip()
        if not last:
            self._held = text[len(shown) :]
        self._started = self._started or bool(shown)
        return [Piece(shown, self.state)] if shown else []

    def _switch(self, state: str, *, keep_text: bool = False) -> None:
        self.state, self._held, self._started = state, "", False
        if not keep_text:
            self._text.flush()


OnPieces = Callable[[int, list[Piece]], None]
DEFAULT_MAX_TOKENS = 4096
"""Length limit of a reply that asks for none, in tokens; the model's reported settings."""


class Interrupted(Exception):
    """Leaves ``generate`` at once; what was written is kept by the rows."""


@dataclass(frozen=True)
class Settings:
    """How a reply is made.

    Args:
        max_tokens: most tokens of a reply, thought and delimiters included; None for
            `DEFAULT_MAX_TOKENS`, or what the model's context leaves where that is less.
        thinking_budget: tokens after which a thought is closed; None for no limit.
        temperature: 0 is greedy; otherwise scores are divided by it and sampled, nothing cut away.
        seed: for sampling; each reply has its own random generator, seeded with it.
        thought: a thought that the reply begins with; None lets the model write its own.
        thought_done: whether the given thought is closed; else the model goes on with it.
    """

    max_tokens: int | None = None
    thinking_budget: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    thought: str | None = None
    thought_done: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _check_integer("max_tokens", self.max_tokens, least=1)
        if self.thinking_budget is not None:
            _check_integer("thinking_budget", self.thinking_budget, least=0)
        if self.seed is not None:
            _check_integer("seed", self.seed, least=0)
        if isinstance(self.temperature, bool) or not isinstance(self.temperature, (int, float)):
            raise InputError(f"temperature={self.temperature!r}", "a number from 0 (greedy) up")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature={self.temperature!r}", "a number from 0 (greedy) up")
        _check_thought(self.thought, self.thought_done)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, which `Model.ask` takes again; without a given thought it is not spoken of."""
        values = asdict(self)
        return values if self.thought is not None else {k: values[k] for k in values if "thought" not in k}


def _check_integer(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise InputError(f"{name}={value!r}", f"a whole number, at least {least}")


def _check_thought(thought: object, done: object) -> None:
    if not isinstance(done, bool):
        raise InputError(f"thought_done={done!r}", "True (it is closed) or False (the model goes on with it)")
    if thought is None and not done:
        raise InputError("thought_done=False without a thought", "thought='...', the beginning of one")
    if thought is not None and not isinstance(thought, str):
        raise InputError(f"a thought of type {type(thought).__name__}", "text, or None")


@dataclass
class Row:
    """One reply in the making.

    Args:
        reader: sorts the tokens into thought and answer.
        max_tokens: most tokens that the model writes of this reply.
        random: its generator, where it is sampled.
        given: tokens of its beginning that the model was given.
        ids: the reply so far, with delimiters and end token.
        stopped: why it ended; ``"interrupted"`` until it did.
        p_think: see `Answer`.
        first_at, last_at: `time.perf_counter` of the first and the last token.
    """

    reader: ReplyReader
    max_tokens: int
    random: torch.Generator | None = None
    given: int = 0
    ids: list[int] = field(default_factory=list)
    stopped: str = "interrupted"
    p_think: float | None = None
    first_at: float | None = None
    last_at: float | None = None
    closing: list[int] | None = None  # what is still to be forced of a close; None: not closed by us
    done: bool = False


class ReplyControl:
    """Choose, force, note and end, for every row of a batch.

    Args:
        encoded: the prompts.
        rows: one per prompt.
        settings: how to reply.
        eos: ids that end a reply.
        stop: when set, generation ends within a step.
        on_pieces: called with the row's number and its new pieces, in the generating thread.
    """

    def __init__(
        self,
        encoded: Encoded,
        rows: Sequence[Row],
        settings: Settings,
        *,
        eos: set[int],
        stop: threading.Event,
        on_pieces: OnPieces | None = None,
    ) -> None:
        self.encoded, self.rows, self.settings = encoded, rows, settings
        self.eos, self.stop, self.on_pieces = eos, stop, on_pieces

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores [batch, vocabulary] whose largest entry of a row is the token to take."""
        if self.stop.is_set():
            raise Interrupted
        if self.encoded.think_open and not any(row.ids for row in self.rows):
            opening = torch.softmax(scores.float(), dim=-1)[:, self.encoded.think_open[0]]
            for row, probability in zip(self.rows, opening.tolist(), strict=True):
                row.p_think = probability
        scores = scores.clone()
        for number, row in enumerate(self.rows):
            token = None if row.done else self._token(row, scores[number])
            if token is not None:
                scores[number] = -torch.inf
                scores[number, token] = 0.0
        return scores

    def note(self, tokens: Sequence[int]) -> list[bool]:
        """Take one new token per row; says which rows are done."""
        now = time.perf_counter()
        for number, row in enumerate(self.rows):
            if row.done:
                continue
            token = tokens[number]
            row.ids.append(token)
            row.first_at, row.last_at = row.first_at or now, now
            pieces = [] if token in self.eos else row.reader.push(token)
            if token in self.eos:
                row.stopped = "end" if row.closing is None else "budget"
            elif len(row.ids) - row.given >= row.max_tokens:
                row.stopped = "length"
            row.done = row.stopped != "interrupted"
            self._show(number, pieces + (row.reader.finish() if row.done else []))
        if self.stop.is_set():
            raise Interrupted
        return [row.done for row in self.rows]

    def begin(self) -> None:
        """Read and show what the replies were given to begin with."""
        for number, row in enumerate(self.rows):
            row.ids += self.encoded.begun[number] if self.encoded.begun else []
            row.given = len(row.ids)
            self._show(number, [piece for token in row.ids for piece in row.reader.push(token)])

    def finish(self) -> None:
        """Show what interrupted rows still held back."""
        for number, row in enumerate(self.rows):
            if not row.done:
                self._show(number, row.reader.finish())

    def _show(self, number: int, pieces: list[Piece]) -> None:
        if pieces and self.on_pieces is not None:
            self.on_pieces(number, pieces)

    def _token(self, row: Row, scores: torch.Tensor) -> int | None:
        """The token that is not simply the largest score; None where it is."""
        if not row.given and len(row.ids) < len(self.encoded.forced):
            return self.encoded.forced[len(row.ids)]
        if row.closing:
            return row.closing.pop(0)
        closed = row.closing is not None or (row.given and row.reader.state == "answer")
        if closed and len(self.encoded.think_open) == 1:
            scores[self.encoded.think_open[0]] = -torch.inf  # the answer was forced: no second thought
        token = self._sampled(row, scores) if self.settings.temperature > 0 else None
        if row.closing is None and self._over_budget(row):
            taken = int(scores.argmax()) if token is None else token
            if [taken] != self.encoded.think_close:  # else the model closes it by itself
                row.closing = list(self.encoded.think_close)
                return row.closing.pop(0)
        return token

    def _over_budget(self, row: Row) -> bool:
        budget = self.settings.thinking_budget
        return budget is not None and row.reader.state == "thought" and row.reader.thought_tokens >= budget

    def _sampled(self, row: Row, scores: torch.Tensor) -> int:
        """Draw on the CPU from the row's own generator: the caller's random state stays as it is."""
        scores = scores.double().cpu()
        scores = scores - scores.max()  # so that no temperature is too small to divide by
        chances = torch.softmax(scores / self.settings.temperature, dim=-1)
        return int(torch.multinomial(chances, 1, generator=row.random))


@contextlib.contextmanager
def own_settings(model: PreTrainedModel) -> Iterator[None]:
    """Set aside the checkpoint's generation settings, which ``generate`` takes where ours say nothing.

    Then temperature 0 is plain greedy decoding, and p_think comes from the model's own distribution.
    """
    shipped, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = shipped


class _Choose(LogitsProcessor):
    def __init__(self, control: ReplyControl) -> None:
        self.control = control

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return self.control.choose(scores)


class _Note(StoppingCriteria):
    def __init__(self, control: ReplyControl) -> None:
        self.control = control

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: Any) -> torch.Tensor:
        done = self.control.note(input_ids[:, -1].tolist())
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def run_generation(
    model: PreTrainedModel,
    encoded: Encoded,
    rows: Sequence[Row],
    settings: Settings,
    *,
    tokenizer: PreTrainedTokenizerBase,
    device: torch.device,
    stop: threading.Event,
    on_pieces: OnPieces | None = None,
    around: Sequence[contextlib.AbstractContextManager[Any]] = (),
) -> None:
    """Write the rows' replies; returns when all are done or ``stop`` is set.

    Args:
        model: a Transformers model that generates.
        encoded: the prompts, left-padded.
        rows: one per prompt; they are filled in.
        settings: how to reply.
        tokenizer: for the ids that end and pad a reply.
        device: where the model takes its inputs.
        stop: set it, from any thread, to end within one layer's computation.
        on_pieces: called with a row's number and its new pieces, in this thread.
        around: context managers that are open while the model runs (to capture what happens inside).
    """
    eos = end_ids(model, tokenizer)
    control = ReplyControl(encoded, rows, settings, eos=eos, stop=stop, on_pieces=on_pieces)
    control.begin()
    config = GenerationConfig(
        max_new_tokens=max(row.max_tokens for row in rows),
        eos_token_id=sorted(eos),
        pad_token_id=pad_id(model, tokenizer, eos),
        disable_compile=bool(around),  # a compiled step would run past what looks inside
    )
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":  # the current device is a thread's own
            stack.enter_context(torch.cuda.device(device))
        for manager in (own_settings(model), interruptible(model, stop), *around):
            stack.enter_context(manager)
        with contextlib.suppress(Interrupted):
            model.generate(
                **model_inputs(model, encoded, device),
                generation_config=config,
                logits_processor=LogitsProcessorList([_Choose(control)]),
                stopping_criteria=StoppingCriteriaList([_Note(control)]),
            )
    control.finish()


@contextlib.contextmanager
def interruptible(model: torch.nn.Module, stop: threading.Event) -> Iterator[None]:
    """Look at ``stop`` before every layer, so that a long prefill need not run to its end.

    Raises:
        Interrupted: inside the model's forward pass, in the thread that opened this context.
    """
    thread = threading.get_ident()

    def look(*_: Any) -> None:
        if stop.is_set() and threading.get_ident() == thread:
            raise Interrupted

    stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) > 1]
    handles = [layer.register_forward_pre_hook(look) for layers in stacks for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def reply_type(model: PreTrainedModel, name: str, types: torch.Tensor) -> int:
    """The type that generation gives to a token behind a prompt of these ``types [1, tokens]``.

    The model's own step says it: 0 in most families; PaliGemma's 0 is the prompt, which looks both ways.
    """
    known: dict[str, Any] = {name: types, "attention_mask": torch.ones_like(types)}
    return int(model._update_model_kwargs_for_generation(ModelOutput(), known)[name][0, -1])


def typed_as_reply(model: PreTrainedModel, encoded: Encoded) -> Encoded:
    """Inputs in which what a reply is given to begin with has the type of a reply, as if it were written."""
    for name, types in encoded.inputs.items():
        if name.endswith("token_type_ids"):
            for row, begun in zip(types, encoded.begun, strict=False):
                if begun:
                    row[-len(begun) :] = reply_type(model, name, row[None, : -len(begun)])
    return encoded


_PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@torch.no_grad()
def prompt_cache(model: PreTrainedModel, encoded: Encoded, device: torch.device) -> Cache:
    """Keys and values of one prompt but its last token, for replies that go on from there."""
    inputs = on_device(encoded.inputs, device, model.dtype)
    before = {name: inputs[name][:, :-1] for name in _PER_TOKEN if name in inputs}
    return model(**{**inputs, **before}, use_cache=True, logits_to_keep=1).past_key_values


def uncached(model: PreTrainedModel, inputs: dict[str, Any]) -> dict[str, Any]:
    """Of `model_inputs`, what a forward pass takes: tokens that are not cached, and their positions.

    Positions are the model's own, as ``generate`` makes them: behind an image they need not count tokens.
    """
    cache = inputs.get("past_key_values")
    if cache is None:
        return inputs
    past = cache.get_seq_length()
    places = model._prepare_position_ids_for_generation(inputs["input_ids"], dict(inputs))
    return inputs | {"input_ids": inputs["input_ids"][:, past:], "position_ids": places[..., past:]}


@torch.no_grad()
def model_inputs(
    model: PreTrainedModel, encoded: Encoded, device: torch.device, *, cache: Cache | None = None
) -> dict[str, Any]:
    """What the model takes; where several replies go on from one prompt, it is read here, and only once.

    Args:
        model: the model.
        encoded: what is asked.
        device: where the model is.
        cache: a shared prompt's `prompt_cache`, where it was read before; it stays as it is.

    Returns:
        The inputs on the device; of a shared prompt ``input_ids`` and ``attention_mask``
        ``[replies, tokens]`` with the padding between prompt and reply, and ``past_key_values`` that hold all
        of the prompt but its last token.
    """
    inputs = on_device(encoded.inputs, device, model.dtype)
    if not encoded.shared:
        return inputs
    count, ids = len(encoded.begun), inputs["input_ids"]
    before = {name: inputs[name][:, :-1] for name in ("input_ids", "attention_mask")}
    rows_cache = prompt_cache(model, encoded, device) if cache is None else copy.deepcopy(cache)
    rows_cache.batch_repeat_interleave(count)
    rows = [[int(ids[0, -1]), *begun] for begun in encoded.begun]
    longest = max(map(len, rows))
    behind = ids.new_tensor([[0] * (longest - len(row)) + row for row in rows])
    seen = ids.new_tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return {
        "input_ids": torch.cat([before["input_ids"].expand(count, -1), behind], dim=1),
        "attention_mask": torch.cat([before["attention_mask"].expand(count, -1), seen], dim=1),
        "past_key_values": rows_cache,
    }


def on_device(
    inputs: dict[str, torch.Tensor], device: torch.device, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The model's inputs on its device; pixels in its precision."""
    return {
        name: tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
        for name, tensor in inputs.items()
    }


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that end a reply: those that the checkpoint names, and the tokenizer's."""
    named = model.generation_config.eos_token_id
    ids = set(named) if isinstance(named, (list, tuple)) else {named}
    return {int(i) for i in (*ids, tokenizer.eos_token_id) if i is not None}


def pad_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, eos: set[int]) -> int:
    """The id that fills a row that is done."""
    for found in (model.generation_config.pad_token_id, tokenizer.pad_token_id, *sorted(eos)):
        if found is not None:
            return int(found)
    return 0
