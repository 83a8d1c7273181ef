"""Models that can be asked: the verbs, written once, and the kind that is loaded here.

`Model` checks and documents; its kinds, `VLM` here and `ServerVLM` in `server`, say how a reply is made.
A `Chat` is a conversation with either, a `ModeComparison` one question in every thinking mode.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from transformers import PreTrainedModel

from ..answer import Answer
from ..errors import (
    CapabilityError,
    ContextLengthError,
    InputError,
    ModeError,
    OutOfMemoryError,
    UnknownNameError,
    WorkbenchError,
)
from ..html import framed
from ..html import table as html_table
from ..names import Named, refuse_argument, verb
from ..types import ImageLike, ImagesLike, Mode, Piece, Span, Turn
from .asking import (
    Ended,
    Request,
    Stream,
    Work,
    Worker,
    check_images,
    make_request,
    make_requests,
    same_turns,
)
from .build import reading
from .capture import ReplyCapture, check_capture
from .device import available_memory, release_memory
from .families import Encoded, FamilySpec
from .generate import DEFAULT_MAX_TOKENS, ReplyReader, Row, Settings, run_generation, typed_as_reply
from .memory_plan import kv_cache
from .modes import Modes
from .outside import warn_outside
from .sources import BUILT_IN
from .zoom import ask_zoomed

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase, ProcessorMixin

if TYPE_CHECKING:
    import pandas

__all__ = ["Chat", "Job", "Model", "ModeComparison", "VLM", "context_length", "no_room", "reply_room"]


class Model(Named, ABC):
    """Something that can be asked about pictures: a model that is loaded here, or one on a server.

    The base holds the verbs; a kind of model implements `_check`, `_begin` and `_ask_all`.

    Args:
        name: short name, for tables.
        source: where it comes from.
        family: how it takes pictures and modes.
    """

    name: str
    source: str
    family: FamilySpec

    @property
    def modes(self) -> Modes:
        """The thinking modes that this model has, and how each is reached."""
        return Modes(self.family.modes)

    # -- the verbs -------------------------------------------------------------------------------

    def __call__(self, *args: object, **options: object) -> NoReturn:
        """A model is no function here: ask it by name."""
        raise UnknownNameError(f"{self.name}(...)", "", "vlm.ask(images, question)")

    @verb()
    def ask(
        self,
        images: ImagesLike,
        question: str,
        *,
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        history: Sequence[Turn] = (),
        thought: str | None = None,
        thought_done: bool = True,
        capture: bool | str = False,
        zoom: bool | int = False,
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
            thought: what the model is given as its thought, without delimiters; the reply goes on from
                there, and begins with it.  Its tokens are not counted by ``max_tokens``.
            thought_done: True closes the given thought, so that the answer comes next; False lets the
                model go on with it.
            capture: True keeps what `Answer.attention` is computed from, for the reply's tokens and
                in the vision tower; "all" keeps the prompt's rows too.  The reply stays the same.
            zoom: True, or a number of crops: the model looks first, and is then asked with crops of where it
                looked beside the images (arXiv 2502.17422).  ``answer.settings["zoom"]`` has a row (image,
                x1, y1, x2, y2 in pixels) for each crop.

        Raises:
            InputError: for a picture, question or setting that cannot be used; `ModeError` for a
                mode that this model lacks, or a thought for one that cannot think; `ContextLengthError`
                if it does not fit.
            CapabilityError: if the model's attention cannot be captured (no server tells its own).
            OutOfMemoryError: if the device has no room; the model stays usable.
            ServerError: if a server fails; `Refused` if it does not take the request.
        """
        options: dict[str, Any] = {
            "mode": mode,
            "max_tokens": max_tokens,
            "thinking_budget": thinking_budget,
            "temperature": temperature,
            "seed": seed,
            "history": history,
            "thought": thought,
            "thought_done": thought_done,
            "capture": capture,
        }
        if zoom:
            look = Mode.NOTHINK if Mode.NOTHINK in self.modes else Mode.AUTO
            return ask_zoomed(self.ask, check_images(images), question, zoom=zoom, look=look, **options)
        with self.stream(images, question, **options) as stream:
            return stream.answer

    @verb()
    def stream(
        self,
        images: ImagesLike,
        question: str,
        *,
        mode: str | Mode = "auto",
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        history: Sequence[Turn] = (),
        thought: str | None = None,
        thought_done: bool = True,
        capture: bool | str = False,
    ) -> Stream:
        """Begin a reply and return at once; arguments and errors as for `ask`.

        Returns:
            A handle to loop over for pieces, to stop, to await, and to take the answer from.
        """
        check_capture(capture)
        settings = Settings(max_tokens, thinking_budget, temperature, seed, thought, thought_done)
        request = make_request(check_images(images), question, mode=mode, settings=settings, history=history)
        self._check(request, capture=capture)
        return Stream(lambda stop, take: self._begin(request, stop, take, capture=capture))

    @verb()
    def ask_many(
        self,
        images: ImageLike | Sequence[ImagesLike] | None,
        questions: str | Sequence[str],
        *,
        mode: str | Mode = "auto",
        batch_size: int = 8,
        max_tokens: int | None = None,
        thinking_budget: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        thoughts: str | Sequence[str] | None = None,
        thought_done: bool = True,
        progress: bool = True,
        capture: bool | str = False,
    ) -> list[Answer]:
        """Ask many questions, ``batch_size`` at a time; each reply is the one that `ask` would give.

        Ctrl-C returns what there is: replies that had not begun are interrupted and empty.  A batch
        that runs out of memory is halved, and so are those that follow.  An error that ends the run
        holds the answers made so far in ``.answers``; a server finishes the other questions first.

        Args:
            images: one entry per question (a picture, several, or None); or one picture, or None,
                for all of them.
            questions: one per entry of ``images``; or one for all of them.
            batch_size: questions at a time.
            seed: reply ``i`` is sampled with ``seed + i``, which its settings hold.
            thoughts: a thought for each question, as ``thought`` of `ask`; or one for all of them.  A
                single question is asked with each of several thoughts.
            progress: show a bar.
            mode, max_tokens, thinking_budget, temperature, thought_done, capture: as for `ask`.

        Returns:
            The answers in the order of the questions.

        Raises:
            InputError: naming the question; nothing is asked if a question cannot be used.
            OutOfMemoryError: if even a single question does not fit.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size={batch_size!r}", "a whole number, at least 1")
        check_capture(capture)
        if thoughts is None and not thought_done:
            raise InputError("thought_done=False without thoughts", "thoughts=[...], the beginning of each")
        settings = Settings(max_tokens, thinking_budget, temperature, seed, "", thought_done)
        requests: list[Request] = []
        made = make_requests(images, questions, mode=Mode.of(mode), settings=settings, thoughts=thoughts)
        try:
            for request in made:
                self._check(request, capture=capture)
                requests.append(request)
        except InputError as error:
            raise _about(error, len(requests)) from None
        return self._ask_all(requests, batch_size, capture=capture, progress=progress)

    def compare_modes(self, images: ImagesLike, question: str, **options: Any) -> ModeComparison:
        """Ask in every mode that the model has, one after the other.

        An interruption ends the comparison: modes not yet asked are then left out.

        Args:
            images, question: as for `ask`.
            options: what else `ask` takes, without ``mode``.

        Raises:
            ModeError: if the model has none of the modes; and as `ask`.
        """
        check_options("compare_modes", options, without="mode")
        answers: dict[str, Answer] = {}
        missing: dict[str, str] = {}
        for mode in Mode:
            try:
                answers[mode.value] = self.ask(images, question, mode=mode, **options)
            except ModeError as error:
                missing[mode.value] = error.given
                continue
            if answers[mode.value].stopped == "interrupted":
                break
        if not answers:
            raise ModeError("; ".join(missing.values()), "a model that has a mode")
        return ModeComparison(answers, missing)

    def chat(self, **options: Any) -> Chat:
        """Begin a conversation; options as for `ask`, for every turn that does not say otherwise."""
        check_options("chat", options, without="history")
        return Chat(self, **options)

    # -- what a kind of model says ---------------------------------------------------------------

    @property
    @abstractmethod
    def loaded(self) -> bool:
        """Whether it can be asked: it was not unloaded."""

    @abstractmethod
    def unload(self) -> None:
        """Free what it holds here."""

    @abstractmethod
    def _check(self, request: Request, *, capture: bool | str) -> None:
        """Refuse what this model cannot be asked, before anything is computed or sent."""

    @abstractmethod
    def _begin(
        self,
        request: Request,
        stop: threading.Event,
        take: Callable[[list[Piece]], None],
        *,
        capture: bool | str,
    ) -> Work:
        """Start to write a reply, whose pieces ``take`` gets; it ends soon when ``stop`` is set."""

    @abstractmethod
    def _ask_all(
        self, requests: Sequence[Request], batch_size: int, *, capture: bool | str, progress: bool
    ) -> list[Answer]:
        """Answer checked requests, in their order."""


def check_options(method: str, options: Mapping[str, Any], *, without: str) -> None:
    """Refuse options that `Model.ask` does not take, before anything is asked.

    Raises:
        ArgumentError: naming the word that was meant.
    """
    known = [name for name in inspect.signature(Model.ask).parameters if name not in (without, *_PLACES)]
    for name in options:
        if name not in known:
            refuse_argument(method, name, known)


_PLACES = ("self", "images", "question")


def _about(error: InputError, number: int) -> InputError:
    """The error, naming the question of a list that it is about."""
    error.add_note(f"This is about question {number} (counted from 0).")
    return error


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

    def __init__(self, vlm: Model, **options: Any) -> None:
        self._vlm, self._options = vlm, options
        self._answers: list[Answer] = []

    def ask(self, question: str, images: ImagesLike = None, **options: Any) -> Answer:
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


class VLM(Model):
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
        processor: ProcessorMixin,
        family: FamilySpec,
        source: str = "",
        name: str = "",
        reload: str = "workbench.load(...)",
    ) -> None:
        self._model: PreTrainedModel | None = model
        self._processor: Any = processor
        self.name, self.source = name or family.name, source
        self.family = family.for_processor(processor, self.name).for_model(model)
        self._reload = reload
        # not while a decision is steered
        self.shares_prompts = self.family.shares_prompts and _sees_all(model)
        self._warned_of: set[str] = set()  # kinds of pictures outside the built-in model's world
        self.load_options: dict[str, Any] = {}  # what `workbench.load` was given besides source and device
        self._lock, self._process = threading.Lock(), os.getpid()
        self._running: set[threading.Event] = set()
        self._encoding = threading.Lock()  # a fast tokenizer's padding is set and used in two steps

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
    def context_length(self) -> int | None:
        """Most tokens of prompt and reply together; None where the model does not say."""
        return context_length(self.model.config)

    # -- asking ----------------------------------------------------------------------------------

    def encode(
        self,
        *conversations: Sequence[Turn],
        mode: str | Mode = "auto",
        begun: Sequence[Sequence[int]] = (),
    ) -> Encoded:
        """Turn conversations into the model's inputs, as `ask` does.

        A conversation that goes on from an answer (``[*answer.turns, Turn("user", ...)]``) begins
        with the ids of that answer, as far as the family's template keeps earlier thoughts.

        Args:
            conversations: each ends with the question.
            mode: as for `ask`.
            begun: ids that each reply is given to begin with; they follow the prompt.

        Raises:
            InputError: for a conversation that this model cannot take; ModeError for a mode that it lacks.
        """
        with self._encoding:
            encoded = self.family.encode(
                self.processor, conversations, mode=Mode.of(mode), config=self.model.config, begun=begun
            )
        return typed_as_reply(self.model, encoded)

    def _check(self, request: Request, *, capture: bool | str) -> None:
        self.family.check_mode(request.mode, self.name)
        self.begun(request)
        if self.source in BUILT_IN:
            patches = self.model.config.max_num_patches
            warn_outside(request.images, most_patches=patches, told=self._warned_of)

    def begun(self, request: Request) -> list[int]:
        """The ids that a reply is given to begin with: those of its given thought, or none.

        Raises:
            InputError: for a thought that holds a control token.
        """
        settings = request.settings
        if settings.thought is None:
            return []
        with self._encoding:
            return self.family.begun_ids(self.processor, settings.thought, done=settings.thought_done)

    def _begin(
        self,
        request: Request,
        stop: threading.Event,
        take: Callable[[list[Piece]], None],
        *,
        capture: bool | str,
    ) -> Work:
        try:
            job = Job(self, [request], stop=stop, on_pieces=lambda _, pieces: take(pieces), capture=capture)
        except KeyboardInterrupt:  # while the question was being encoded
            return Ended([self._unasked(request)])
        return job.start()

    def _ask_all(
        self, requests: Sequence[Request], batch_size: int, *, capture: bool | str, progress: bool
    ) -> list[Answer]:
        from tqdm.auto import tqdm

        answers: list[Answer] = []
        interrupted = False
        with tqdm(total=len(requests), disable=not progress, unit="question") as bar:
            while len(answers) < len(requests) and not interrupted:
                batch = requests[len(answers) : len(answers) + batch_size]
                try:
                    made = Job(self, batch, capture=capture).start().result()
                except OutOfMemoryError as error:
                    if len(batch) == 1:
                        raise _keeping(error, answers) from None
                    batch_size = len(batch) // 2
                    continue
                except WorkbenchError as error:
                    number = len(answers) + self._culprit(batch)
                    note = f"This is about question {number} (counted from 0)."
                    raise _keeping(error, answers, note) from None
                except KeyboardInterrupt:  # while the batch was being encoded
                    made, interrupted = [], True
                answers += made
                interrupted = interrupted or any(answer.stopped == "interrupted" for answer in made)
                bar.update(len(made))
        return answers + [self._unasked(request) for request in requests[len(answers) :]]

    def _culprit(self, batch: Sequence[Request]) -> int:
        """Which request of a batch cannot be encoded."""
        for number, request in enumerate(batch):
            try:
                Job(self, [request])
            except WorkbenchError:
                return number
        return 0

    def _unasked(self, request: Request) -> Answer:
        """The record of a question that an interruption kept from being asked."""
        return Answer(
            text="",
            thought=None,
            mode=request.mode,
            p_think=None,
            prompt_tokens=0,
            image_tokens=0,
            thought_tokens=0,
            answer_tokens=0,
            seconds=0.0,
            seconds_to_first_token=None,
            stopped="interrupted",
            question=request.turns[-1].text,
            images=request.images,
            model=self.name,
            source=self.source,
            settings=request.settings.to_dict(),
        )

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
                if not ours and os.getpid() != self._process:  # the thread that held it is not in this one
                    raise CapabilityError(
                        f"{self.name} in a process that was forked while it wrote a reply",
                        "a model that is loaded in the process that asks it",
                        f"vlm = {self._reload}",
                    )
            yield ours
        finally:
            self._running.discard(stop)
            if ours:
                self._lock.release()

    def __reduce__(self) -> NoReturn:
        raise CapabilityError(
            f"a pickle or copy of {self.name}, whose weights are in this process",
            "a model that is loaded where it is used",
            f"there: vlm = {self._reload}",
        )

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


def _sees_all(model: PreTrainedModel) -> bool:
    """Whether every layer of the decoder looks at all that stands before: its cache can be gone on from."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    return set(kinds) <= {"full_attention"}


def _keeping(error: WorkbenchError, answers: list[Answer], note: str = "") -> WorkbenchError:
    """The error, carrying what was answered before it."""
    error.answers = list(answers)  # type: ignore[attr-defined]
    error.add_note(f"{note} {len(answers)} answers made before it are in the exception's .answers.".strip())
    return error


class Job:
    """One run of the model over a few requests of the same mode and settings.

    Encoding happens at once, in the caller's thread, so that wrong input is reported by the call
    that gave it; generation runs in a thread of its own.

    Args:
        vlm: the model.
        requests: what to ask; one batch.
        stop: set it to end the run soon with what there is.
        on_pieces: called in the generating thread with a request's number and its new pieces.
        around: context managers that are open while the model runs.
        capture: whether the answers get their attention, and of what; see `VLM.ask`.

    Raises:
        InputError: if a request does not suit the model; ContextLengthError if it does not fit.
    """

    def __init__(
        self,
        vlm: VLM,
        requests: Sequence[Request],
        *,
        stop: threading.Event | None = None,
        on_pieces: Callable[[int, list[Piece]], None] | None = None,
        around: Sequence[contextlib.AbstractContextManager[Any]] = (),
        capture: bool | str = False,
    ) -> None:
        self._started = time.perf_counter()
        self._vlm, self._requests = vlm, list(requests)
        self._tokenizer, self._config = vlm.tokenizer, vlm.model.config
        self._place = (vlm.device, vlm.dtype)
        self.stop = stop or threading.Event()
        self._on_pieces, self._around = on_pieces, around
        with reading(vlm.name, "asked"):
            self._encoded = self._encode(capture=capture)
        self._rows = [self._row(number) for number in range(len(self._requests))]
        self._capture: ReplyCapture | None = None
        if capture:
            self._capture = ReplyCapture(
                vlm.model,
                vlm.processor,
                family=vlm.family,
                encoded=self._encoded,
                capture=capture,
                name=vlm.name,
            )
        self._worker = Worker(self._run, stop=self.stop, no_room=self._no_room)

    def start(self) -> Job:
        """Begin to generate; returns at once."""
        self._worker.start()
        return self

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._worker.done

    @property
    def p_think(self) -> float | None:
        """That of the first request's reply, as soon as it is known."""
        return self._rows[0].p_think

    def result(self) -> list[Answer]:
        """Wait for the end; one answer per request, interrupted ones with what there is.

        Raises:
            OutOfMemoryError: if the device had no room.
        """
        return self._worker.result()

    def _encode(self, *, capture: bool | str) -> Encoded:
        vlm, mode = self._vlm, self._requests[0].mode
        vlm.family.check_mode(mode, vlm.name)
        given = self._requests[0].settings.thought is not None
        begun = [vlm.begun(request) if given else [] for request in self._requests]
        if vlm.shares_prompts and not capture and same_turns(self._requests):
            encoded = vlm.encode(self._requests[0].turns, mode=mode).repeated(begun)
        else:
            turns = (request.turns for request in self._requests)
            encoded = vlm.encode(*turns, mode=mode, begun=begun if given else ())
        if self._requests[0].settings.thinking_budget is not None and not encoded.think_close:
            raise InputError(
                f"thinking_budget with {vlm.name}, which writes no thoughts", "no thinking_budget"
            )
        return encoded

    def _row(self, number: int) -> Row:
        vlm, encoded, settings = self._vlm, self._encoded, self._requests[number].settings
        reader = ReplyReader(
            _shown_text(self._tokenizer, encoded.think_open, encoded.think_close),
            think_open=encoded.think_open,
            think_close=encoded.think_close,
            delimiters=vlm.family.thought,
        )
        most = reply_room(
            self._config,
            prompt=len(encoded.prompt_ids[number]),
            image_tokens=encoded.image_tokens[number],
            given=len(encoded.begun[number]) if encoded.begun else 0,
            max_tokens=settings.max_tokens,
        )
        random = torch.Generator().manual_seed(settings.seed) if settings.temperature > 0 else None
        return Row(reader, most, random)

    def _run(self) -> list[Answer]:
        vlm = self._vlm
        encoded, self._encoded = self._encoded, replace(self._encoded, inputs={})  # pixels are not kept
        with vlm.turn(self.stop) as ours:
            if ours:
                with reading(vlm.name, "asked"):
                    run_generation(
                        vlm.model,
                        encoded,
                        self._rows,
                        self._requests[0].settings,
                        tokenizer=self._tokenizer,
                        device=vlm.device,
                        stop=self.stop,
                        on_pieces=self._on_pieces,
                        around=[*self._around, *([self._capture] if self._capture else [])],
                    )
        answers = [self._answer(number) for number in range(len(self._rows))]
        if self._capture is None:
            return answers
        records = self._capture.records(answers)
        return [replace(answer, captured=record) for answer, record in zip(answers, records, strict=True)]

    def _answer(self, number: int) -> Answer:
        """Put one record together."""
        vlm, request, row = self._vlm, self._requests[number], self._rows[number]
        prompt, layout = self._encoded.prompt_ids[number], self._encoded.layouts[number]
        reply = vlm.family.split(row.ids, self._tokenizer, mode=request.mode)
        thought = reply.thought or None  # one that was shut before it said anything is none
        thought_span = reply.thought_span if thought else Span(0, 0)
        spans = {"thought": thought_span, "answer": reply.answer_span}
        return Answer(
            text=reply.answer,
            thought=thought,
            mode=request.mode,
            p_think=row.p_think,
            prompt_tokens=len(prompt),
            image_tokens=self._encoded.image_tokens[number],
            thought_tokens=len(thought_span),
            answer_tokens=len(reply.answer_span),
            seconds=(row.last_at or time.perf_counter()) - self._started,
            seconds_to_first_token=None if row.first_at is None else row.first_at - self._started,
            stopped=row.stopped,
            token_ids=(*prompt, *row.ids),
            spans={kind: Span(s.start + len(prompt), s.stop + len(prompt)) for kind, s in spans.items()},
            layout=layout,
            question=request.turns[-1].text,
            images=request.images,
            history=request.turns[:-1],
            model=vlm.name,
            source=vlm.source,
            settings={**request.settings.to_dict(), "max_tokens": row.max_tokens},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _no_room(self) -> OutOfMemoryError:
        device, dtype = self._place
        return no_room(
            self._config,
            [len(ids) for ids in self._encoded.prompt_ids],
            max(row.max_tokens for row in self._rows),
            device=device,
            dtype=dtype,
        )


def _shown_text(tokenizer: PreTrainedTokenizerBase, *delimiters: list[int]) -> Callable[[list[int]], str]:
    """Token ids to text without special tokens; but parts of a delimiter that is found by its text stay."""
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    hidden = special.union(tokenizer.all_special_ids).difference(*(ids for ids in delimiters if len(ids) > 1))
    return lambda ids: tokenizer.decode([i for i in ids if i not in hidden], skip_special_tokens=False)


def context_length(config: PretrainedConfig) -> int | None:
    """Positions that a model was built for, prompt and reply together; None where it does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def reply_room(
    config: PretrainedConfig, *, prompt: int, image_tokens: int, max_tokens: int | None, given: int = 0
) -> int:
    """Most tokens that the model may write behind this prompt.

    Args:
        config: the model's config.
        prompt: tokens of the prompt.
        image_tokens: how many of them stand for pictures.
        max_tokens: what was asked for; None for `DEFAULT_MAX_TOKENS` or what there is room for.
        given: tokens of the thought that the reply is given to begin with.

    Raises:
        ContextLengthError: if it does not fit.  Nothing is ever cut off.
    """
    what = f"a prompt of {prompt} tokens ({image_tokens} of them for pictures)"
    shorter = "use fewer or smaller pictures, a shorter question, or less history"
    if given:
        what, shorter = f"{what} and a given thought of {given}", f"give a shorter thought, or {shorter}"
    longest = getattr(config, "tokenizer_model_max_length", None)  # Phi-4-RV's own limit for prompts
    if longest is not None and prompt > longest:
        raise ContextLengthError(what, f"at most {longest} tokens in a prompt of this model", shorter)
    context = context_length(config)
    if context is None:
        return max_tokens or DEFAULT_MAX_TOKENS
    room = context - prompt - given
    if room < 1 or (max_tokens or 1) > room:
        asked = "" if max_tokens is None else f" and max_tokens={max_tokens}"
        fix = f"pass max_tokens={room}, or {shorter}" if room >= 1 else shorter
        raise ContextLengthError(what + asked, f"together at most {context} tokens for this model", fix)
    return max_tokens or min(DEFAULT_MAX_TOKENS, room)


def no_room(
    config: PretrainedConfig,
    prompts: Sequence[int],
    max_tokens: int,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> OutOfMemoryError:
    """The error for replies that ran out of memory, saying what would fit.

    Call it when the memory has been freed.

    Args:
        config: the model's config.
        prompts: tokens of each prompt of the batch.
        max_tokens: most tokens of a reply.
        device: where it ran.
        dtype: precision of the cache.
    """
    rows, prompt = len(prompts), max(prompts)
    config, width = config.get_text_config(), dtype.itemsize
    need, free = kv_cache(config, prompt + max_tokens, width=width) * rows, available_memory(device)
    batch = f", {rows} at a time" if rows > 1 else ""
    given = (
        f"no room on {device} for {prompt} prompt tokens and up to {max_tokens} of reply{batch}: "
        f"the cache alone grows to {_gigabytes(need)}, and {_gigabytes(free)} are free now (the failed run's "
        "memory was given back)"
    )
    per_token = max(1, kv_cache(config, 1000, width=width) // 1000)
    fits = max(0, free // 2 // per_token)  # half for activations, which come and go
    expected = f"about {fits:,} tokens of prompt and reply together, in one conversation, would fit"
    if rows > 1:
        fix = f"pass batch_size={rows // 2}"
    else:
        fix = (
            "use a smaller max_tokens or smaller pictures (image_tokens= of workbench.load), or load it "
            "smaller: workbench.memory_plan(...) shows quantize='int8', 'int4' and offload"
        )
    return OutOfMemoryError(given, expected, fix)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
