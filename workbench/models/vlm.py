"""The handle: a loaded model with its processor, and the verbs to ask it.

A conversation with pictures, in several turns.

One question in every thinking mode, side by side.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import PreTrainedModel

from ..answer import Answer
from ..errors import ModeError, WorkbenchError
from ..html import framed
from ..html import table as html_table
from ..types import Mode, Piece, Turn
from .asking import Job, Stream, ask_many, check_images, context_length, make_request
from .device import release_memory
from .families import FamilySpec
from .generate import Settings

if TYPE_CHECKING:
    import pandas


__all__ = ["Asks", "Chat", "ModeComparison", "VLM", "compare_modes"]


class Asks(Protocol):
    """Whatever can be asked: a model here, or one on a server."""

    name: str

    @property
    def ask(self) -> Callable[..., Answer]: ...


class Chat:
    """A conversation that remembers its turns.

    Only complete exchanges are remembered.  A question that raises an error, or whose reply was
    interrupted or has no answer (cut off within its thought), leaves the conversation as it was:
    ask again, or ask something else.

    Args:
        vlm: the model.
        options: what `ask` takes (mode, max_tokens, ...), for every turn that does not say otherwise.

    Example:
        >>> chat = vlm.chat(mode="nothink")                     # doctest: +SKIP
        >>> chat.ask("What is the total?", images="bill.png")   # doctest: +SKIP
        >>> chat.ask("And without the tip?")                    # doctest: +SKIP
    """

    def __init__(self, vlm: Asks, **options: Any) -> None:
        self._vlm, self._options = vlm, options
        self._answers: list[Answer] = []

    def ask(self, question: str, images: Any = None, **options: Any) -> Answer:
        """Ask the next question; new pictures come with it, earlier ones are still seen.

        Raises:
            WorkbenchError: as ``vlm.ask``; the conversation is then unchanged.
        """
        answer = self._vlm.ask(images, question, history=self.turns, **{**self._options, **options})
        if answer.stopped != "interrupted" and answer.text:
            self._answers.append(answer)
        elif answer.stopped != "interrupted":
            warnings.warn(
                f"The reply has no answer (it {_ENDS[answer.stopped]}); the conversation goes on without it.",
                UserWarning,
                stacklevel=2,
            )
        return answer

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The conversation so far, as `ask` takes it for ``history``."""
        return self._answers[-1].turns if self._answers else ()

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The replies so far."""
        return tuple(self._answers)

    def undo(self) -> Answer | None:
        """Forget the last exchange; returns its answer, or None if there was none."""
        return self._answers.pop() if self._answers else None

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<Chat with {self._vlm.name}: {len(self)} exchanges>"

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._answers))

    @framed
    def _repr_html_(self) -> str:
        return "<hr>".join(answer.html(answer.question_images) for answer in self._answers)


_ENDS = {
    "end": "ended without one",
    "budget": "ended without one",
    "length": "was cut off by max_tokens within the thought",
    "content_filter": "was withheld by the server's content filter",
    "refusal": "was refused",
    "tool_calls": "called a tool instead",
}


COLUMNS = (
    *("mode", "text", "thought", "p_think", "prompt_tokens", "image_tokens", "thought_tokens"),
    *("answer_tokens", "seconds", "seconds_to_first_token", "stopped"),
)
HEADER = ("mode", "answer", "thought", "p_think", "thought tokens", "answer tokens", "seconds", "stopped")


@dataclass(frozen=True)
class ModeComparison:
    """The answers to one question by mode, as a table.

    Args:
        answers: mode name -> answer, for the modes that this model has.
        missing: mode name -> why the model lacks it.
    """

    answers: Mapping[str, Answer]
    missing: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, mode: str | Mode) -> Answer:
        return self.answers[Mode.of(mode).value]

    def frame(self) -> pandas.DataFrame:
        """One row per mode, numbers as numbers."""
        import pandas as pd

        rows = [{name: getattr(answer, name) for name in COLUMNS} for answer in self.answers.values()]
        return pd.DataFrame([{**row, "mode": str(row["mode"])} for row in rows], columns=list(COLUMNS))

    def _rows(self) -> list[list[str]]:
        rows = []
        for mode, a in self.answers.items():
            p_think = "" if a.p_think is None else f"{a.p_think:.3f}"
            tokens = ["" if n is None else str(n) for n in (a.thought_tokens, a.answer_tokens)]
            counts = [*tokens, f"{a.seconds:.2f}", a.stopped]
            rows.append([mode, a.text, a.thought or "", p_think, *counts])
        return rows + [[mode, f"(not available: {why})"] + [""] * 6 for mode, why in self.missing.items()]

    def __str__(self) -> str:
        lines = [HEADER, *self._rows()]
        return "\n".join(" | ".join(cell.replace("\n", " ") for cell in line) for line in lines)

    @framed
    def _repr_html_(self) -> str:
        return html_table(HEADER, self._rows())


def compare_modes(vlm: Asks, images: Any, question: str, **options: Any) -> ModeComparison:
    """Ask in every mode that the model has, one after the other.

    An interruption ends the comparison: modes not yet asked are then left out.

    Args:
        vlm: the model.
        images, question: as for ``vlm.ask``.
        options: what else ``vlm.ask`` takes, without ``mode``.

    Raises:
        ModeError: if the model has none of the modes; and as ``vlm.ask``.
    """
    answers: dict[str, Answer] = {}
    missing: dict[str, str] = {}
    for mode in Mode:
        try:
            answers[mode.value] = vlm.ask(images, question, mode=mode, **options)
        except ModeError as error:
            missing[mode.value] = error.given
            continue
        if answers[mode.value].stopped == "interrupted":
            break
    if not answers:
        raise ModeError("; ".join(missing.values()), "a model that has a mode")
    return ModeComparison(answers, missing)


class VLM:
    """A vision-language model that is ready to be asked.

    Made by `workbench.load`.  ``model`` and ``processor`` are the Transformers objects themselves.
    One reply is written at a time; a second question waits for the first.

    Args:
        model: the Transformers model.
        processor: its processor.
        family: how this family takes pictures and modes.
        source: where it was loaded from.
        name: short name, for tables.
        reload: the call that loads it again, for the message after `unload`.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        processor: Any,
        family: FamilySpec,
        source: str = "",
        name: str = "",
        reload: str = "workbench.load(...)",
    ) -> None:
        self._model: PreTrainedModel | None = model
        self._processor: Any = processor
        self.name, self.source = name or family.name, source
        self.family = family.for_processor(processor, self.name)
        self._reload = reload
        self.load_options: dict[str, Any] = {}  # what `workbench.load` was given besides source and device
        self._lock = threading.Lock()
        self._running: set[threading.Event] = set()
        self.encoding = threading.Lock()  # a fast tokenizer's padding is set and used in two steps

    # -- what it holds ---------------------------------------------------------------------------

    @property
    def model(self) -> PreTrainedModel:
        """The Transformers model.

        Raises:
            WorkbenchError: if it was unloaded.
        """
        if self._model is None:
            raise self._gone()
        return self._model

    @property
    def processor(self) -> Any:
        """The Transformers processor.

        Raises:
            WorkbenchError: if it was unloaded.
        """
        if self._processor is None:
            raise self._gone()
        return self._processor

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def loaded(self) -> bool:
        """Whether it still holds the model."""
        return self._model is not None

    @property
    def device(self) -> torch.device:
        """Where the model takes its inputs."""
        hook = getattr(self.model, "_hf_hook", None)  # parts that are offloaded have no device of their own
        device = getattr(hook, "execution_device", None)
        return torch.device(device) if device is not None else self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision that it computes in."""
        return self.model.dtype

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The thinking modes that this model has."""
        return tuple(mode for mode in Mode if self._has(mode))

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and reply together; None where the model does not say."""
        return context_length(self.model.config)

    # -- the verbs -------------------------------------------------------------------------------

    def ask(
        self,
        images: Any,
        question: str,
        *,
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        history: Sequence[Turn] = (),
        capture: bool | str = False,
    ) -> Answer:
        """Ask about one picture, several, or none.

        Ctrl-C stops the reply and returns what there is, with ``stopped == "interrupted"``.

        Args:
            images: a picture (path, PIL image, array, bytes), a sequence of them, or None.
            question: what to ask.  Control tokens in it are plain text.
            mode: "auto" (the model decides whether to think), "think" or "nothink".
            max_tokens: most tokens of the reply, thought included; None for 4096, or what the
                context leaves.
            thinking_budget: tokens after which the thought is closed and the answer forced.
            temperature: 0 for greedy decoding; above, tokens are sampled from the whole
                distribution.  Sampling settings that come with a checkpoint are not used.
            seed: for sampling; None draws one and notes it in ``answer.settings``.  Your own
                random state is neither used nor changed.
            history: earlier turns, for example ``answer.turns``.
            capture: True keeps what `Answer.attention` is computed from, for the reply's tokens and
                in the vision tower; "all" keeps the prompt's rows too.  The reply stays the same.

        Raises:
            InputError: for a picture, question or setting that cannot be used; `ModeError` for a
                mode that this model lacks; `ContextLengthError` if it does not fit.
            CapabilityError: if the model's attention cannot be captured.
            OutOfMemoryError: if the device has no room; the model stays usable.
        """
        with self.stream(
            images,
            question,
            mode=mode,
            max_tokens=max_tokens,
            thinking_budget=thinking_budget,
            temperature=temperature,
            seed=seed,
            history=history,
            capture=capture,
        ) as stream:
            return stream.answer

    def stream(
        self,
        images: Any,
        question: str,
        *,
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        history: Sequence[Turn] = (),
        capture: bool | str = False,
    ) -> Stream:
        """Begin a reply and return at once; arguments and errors as for `ask`.

        Returns:
            A handle to loop over for pieces, to stop, to await, and to take the answer from.
        """
        settings = Settings(max_tokens, thinking_budget, temperature, seed)
        pictures = check_images(images)
        request = make_request(pictures, question, mode=mode, settings=settings, history=history)

        def begin(stop: threading.Event, take: Callable[[list[Piece]], None]) -> Job:
            return Job(
                self, [request], stop=stop, on_pieces=lambda _, pieces: take(pieces), capture=capture
            ).start()

        return Stream(begin)

    def ask_many(
        self,
        images: Any,
        questions: str | Sequence[str],
        *,
        mode: str | Mode = "auto",
        batch_size: int = 8,
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        progress: bool = True,
        capture: bool | str = False,
    ) -> list[Answer]:
        """Ask many questions in batches; each reply is the one that `ask` would give.

        Ctrl-C returns what there is: replies that had not begun are interrupted and empty.  A
        batch that runs out of memory is halved, and so are those that follow.

        Args:
            images: one entry per question (a picture, several, or None); or one picture, or None,
                for all of them.
            questions: one per entry of ``images``; or one for all of them.
            batch_size: questions at a time.
            seed: reply ``i`` is sampled with ``seed + i``, which its settings hold.
            progress: show a bar.
            mode, max_tokens, thinking_budget, temperature, capture: as for `ask`.

        Returns:
            The answers in the order of the questions.

        Raises:
            InputError: naming the question; nothing is asked if a question cannot be used.
            OutOfMemoryError: if even a single question does not fit.
        """
        settings = Settings(max_tokens, thinking_budget, temperature, seed)
        return ask_many(
            self,
            images,
            questions,
            mode=mode,
            settings=settings,
            batch_size=batch_size,
            progress=progress,
            capture=capture,
        )

    def compare_modes(self, images: Any, question: str, **options: Any) -> ModeComparison:
        """Ask in every mode that the model has; options as for `ask`, without ``mode``."""
        return compare_modes(self, images, question, **options)

    def chat(self, **options: Any) -> Chat:
        """Begin a conversation; options as for `ask`, for every turn that does not say otherwise."""
        return Chat(self, **options)

    def unload(self) -> None:
        """Free the memory.  A reply that is being written is stopped first.

        Using the handle afterwards raises an error that says how to load the model again.
        """
        for stop in list(self._running):
            stop.set()
        with self._lock:
            self._model = self._processor = None
        release_memory()

    # -- inside ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def turn(self, stop: threading.Event) -> Iterator[bool]:
        """Wait for the model to be free, and hold it.

        Args:
            stop: ends the waiting, and is set by `unload` to end the work.

        Yields:
            True with the model held, or False if ``stop`` was set first.
        """
        self._running.add(stop)
        ours = False
        try:
            while not (ours or stop.is_set()):
                ours = self._lock.acquire(timeout=0.05)
            yield ours
        finally:
            self._running.discard(stop)
            if ours:
                self._lock.release()

    def _has(self, mode: Mode) -> bool:
        try:
            self.family.check_mode(mode, self.name)
        except ModeError:
            return False
        return True

    def _gone(self) -> WorkbenchError:
        return WorkbenchError(f"{self.name} was unloaded", "a model that is loaded", f"vlm = {self._reload}")

    def _facts(self) -> dict[str, str]:
        if not self.loaded:
            return {"name": self.name, "state": f"unloaded; load it again with {self._reload}"}
        return {
            "name": self.name,
            "family": self.family.name,
            "parameters": f"{self.model.num_parameters():,}",
            "precision": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "context": "unknown" if self.context_length is None else f"{self.context_length:,} tokens",
            "modes": ", ".join(mode.value for mode in self.modes),
        }

    def __repr__(self) -> str:
        name, *facts = self._facts().items()
        return f"VLM({name[1]!r}, " + ", ".join(f"{key}: {value}" for key, value in facts) + ")"

    @framed
    def _repr_html_(self) -> str:
        return html_table(("", "model"), list(self._facts().items()))
