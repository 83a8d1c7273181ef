"""Read and steer what decides inside: difference-of-means directions, pushes along them, and linear probes

The hidden state that chooses a reply's first token, and with it whether the model thinks, stands at the
prompt's last position: the decision.  Two sets of answers, however they were told apart (thought or direct,
right or wrong), are compared there, or along their thoughts.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from numbers import Real

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from ..answer import Answer
from ..errors import InputError
from ..models.vlm import VLM
from ..names import verb
from ..synth import Sample
from ..types import Mode
from .directions import Direction, Probe, Steering
from .replay import Decoder, Replay, adding, check_vlm, forward, held, layer_numbers, reading

__all__ = ["probe", "steer", "steering_sweep", "steering_vector"]

PLACES = ("decision", "all")
READ = ("decision", "thought")
TINY = 1e-5  # of the states' length; a shorter difference is rounding


@verb()
def steering_vector(
    vlm: VLM, *, positive: Sequence[Answer], negative: Sequence[Answer], progress: bool = True
) -> Direction:
    """The difference between two sets of answers in the hidden states where each reply was begun.

    Difference of means (Marks and Tegmark 2023, arXiv 2310.06824; Rimsky et al. 2023, arXiv 2312.06681) at
    the prompt's last position, layer by layer.

    Args:
        vlm: the model that gave the answers.
        positive: answers of one kind, for example those that began with a thought.
        negative: answers of the other kind.
        progress: show a bar.

    Raises:
        InputError: for a set of fewer than two questions, or an answer of another model.
        CapabilityError: for a server.
        OutOfMemoryError: if the device has no room.
    """
    answers, labels, questions = _two_sets(positive, negative, least=2)
    states = _states(vlm, answers, [0.0], "decision", progress)[:, 0]
    vectors = states[labels].mean(axis=0) - states[~labels].mean(axis=0)
    return Direction(
        vectors=vectors.astype(np.float32),
        separation=_separation(states, labels, questions),
        norms=np.linalg.norm(states, axis=-1).mean(axis=0),
        positive=int(labels.sum()),
        negative=int((~labels).sum()),
        model=vlm.name,
    )


@contextlib.contextmanager
@verb()
def steer(
    vlm: VLM,
    direction: Direction,
    *,
    strength: float = 1.0,
    layers: int | Sequence[int] | None = None,
    place: str = "decision",
) -> Iterator[None]:
    """Within this context the model's hidden states are pushed along a direction.

    It holds for all that is asked meanwhile, batches and captured attention included, and adds up where
    contexts are nested; everything is as before afterwards, also after an error.

    Example::

        with steer(vlm, thinking, strength=-1):
            direct = vlm.ask(sample.images, sample.question)

    Args:
        vlm: the model.
        direction: from `steering_vector` with the same model.
        strength: 1 adds the whole difference of the two sets' means, negative numbers push the other way.
        layers: 0 (the embeddings) to the number of blocks; None for the one that separates best.
        place: "decision" for the last position alone that is read before the reply, which chooses its first
            token (behind a given thought: the first that follows it); "all" for every position of prompt and
            reply, also of a reply that is read again (`attribute`, `knockout`).

    Raises:
        InputError: for a direction of a model of another size, an unknown place or layer, or no number.
        CapabilityError: for a server.
    """
    decoder = Decoder(check_vlm(vlm))
    chosen = layer_numbers(direction.best if layers is None else layers, decoder.depth)
    size = vlm.model.get_input_embeddings().weight.shape[-1]
    if direction.vectors.shape != (decoder.depth + 1, size):
        raise InputError(
            f"a direction of {direction.model!r} with shape {list(direction.vectors.shape)}",
            f"[{decoder.depth + 1}, {size}], as {vlm.name!r} has layers and hidden states",
            "make it with steering_vector and this model",
        )
    if place not in PLACES:
        raise InputError(f"place={place!r}", f"one of {', '.join(map(repr, PLACES))}")
    if isinstance(strength, bool) or not isinstance(strength, Real) or not math.isfinite(strength):
        raise InputError(f"strength={strength!r}", "a finite number")
    vectors = {layer: float(strength) * torch.from_numpy(direction.vectors[layer]) for layer in chosen}
    shares, everywhere = vlm.shares_prompts, place == "all"
    vlm.shares_prompts = shares and everywhere  # a shared prompt is read in two parts
    try:
        with adding(decoder, vectors, everywhere=everywhere):
            yield
    finally:
        vlm.shares_prompts = shares


@verb()
def steering_sweep(
    vlm: VLM,
    direction: Direction,
    *,
    samples: Sequence[Sample],
    strengths: Sequence[float] = (-1.0, -0.5, 0.0, 0.5, 1.0),
    layers: int | Sequence[int] | None = None,
    place: str = "decision",
    mode: str | Mode = "auto",
    batch_size: int = 8,
    max_tokens: int | None = None,
    progress: bool = True,
) -> Steering:
    """Ask the same questions at several strengths: how often and how long it thinks, what it gets right.

    Args:
        vlm: the model.
        direction: from `steering_vector`.
        samples: questions with known answers, such as `workbench.synth.sample` draws.
        strengths: as for `steer`; 0 is the model as it is.
        layers, place: as for `steer`.
        mode, batch_size, max_tokens: as for `VLM.ask_many`; give ``max_tokens`` where strong pushes may
            keep a reply from ending.
        progress: show a bar.

    Raises:
        InputError: for no sample or strength; and as `steer` and `VLM.ask_many`.
        CapabilityError: for a server.
    """
    strengths = np.asarray(strengths).ravel().tolist()
    if not samples or not strengths:
        raise InputError(f"{len(samples)} samples and {len(strengths)} strengths", "at least one of each")
    rows = []
    for strength in tqdm(sorted(set(strengths)), disable=not progress, unit="strength", leave=False):
        with steer(vlm, direction, strength=strength, layers=layers, place=place):
            answers = vlm.ask_many(
                [sample.images for sample in samples],
                [sample.question for sample in samples],
                mode=mode,
                batch_size=batch_size,
                max_tokens=max_tokens,
                progress=False,
            )
        for number, (sample, answer) in enumerate(zip(samples, answers, strict=True)):
            thinks, right = answer.thought is not None, sample.correct(answer.text)
            counts = (answer.p_think, thinks, answer.thought_tokens, right)
            rows.append((float(strength), number, sample.family, *counts))
    names = ["strength", "question", "family", "p_think", "thinks", "thought_tokens", "right"]
    chosen = layer_numbers(direction.best if layers is None else layers, len(direction.vectors) - 1)
    return Steering(pd.DataFrame(rows, columns=names), chosen, place, vlm.name)


@verb()
def probe(
    vlm: VLM,
    *,
    positive: Sequence[Answer],
    negative: Sequence[Answer],
    place: str = "decision",
    points: int = 5,
    n_folds: int = 5,
    n_random: int = 19,
    seed: int = 0,
    progress: bool = True,
) -> Probe:
    """Whether a linear probe of the hidden states tells two sets of answers apart, layer by layer.

    Ridge regression on standardised states (Alain and Bengio 2016, arXiv 1610.01644), tested on questions
    that it was not fitted on, beside the same on shuffled labels (Hewitt and Liang 2019, arXiv 1909.03368),
    where the answers to one question are moved together.  The larger set is thinned to the size of the
    smaller one, so that chance is a half.

    Args:
        vlm: the model that gave the answers.
        positive, negative: any two sets: thought and direct, right and wrong, looked and guessed.
        place: "decision", the prompt's last position, where answers to the same prompt are the same; or
            "thought", evenly spaced positions from the one that writes the thought's first token to its last.
        points: how many along the thought.
        n_folds: parts of the questions, each tested once.
        n_random: shuffled labels.
        seed: of thinning, folds and shuffling.
        progress: show a bar.

    Raises:
        InputError: for a set of answers to fewer than ``n_folds`` questions, an answer of another model, an
            unknown place, or an answer without a thought where it is read along the thought.
        CapabilityError: for a server.
        OutOfMemoryError: if the device has no room.
    """
    if place not in READ:
        raise InputError(f"place={place!r}", f"one of {', '.join(map(repr, READ))}")
    for name, count, few in (("points", points, 1), ("n_folds", n_folds, 2), ("n_random", n_random, 1)):
        if isinstance(count, bool) or not isinstance(count, int) or count < few:
            raise InputError(f"{name}={count!r}", f"a whole number, at least {few}")
    _two_sets(positive, negative, least=n_folds)
    rng = np.random.default_rng(seed)
    size = min(len(positive), len(negative))
    positive, negative = ([part[i] for i in _kept(len(part), size, rng)] for part in (positive, negative))
    thinned = f", thinned to the {size} answers of the smaller set"
    answers, labels, questions = _two_sets(positive, negative, least=n_folds, thinned=thinned)
    shares = [0.0] if place == "decision" else np.linspace(0, 1, points).tolist()
    states = _states(vlm, answers, shares, place, progress)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = list(splitter.split(labels, labels, questions))
    columns = np.stack([labels, *(_shuffled(labels, questions, rng) for _ in range(n_random))])
    hits = np.array(  # [points, layers + 1, 1 + n_random, answers]
        [[_held_out(layer, columns, folds) for layer in point] for point in states.transpose(1, 2, 0, 3)]
    )
    return Probe(
        hits=hits[:, :, 0],
        shuffled=hits[:, :, 1:].mean(axis=-1).transpose(2, 0, 1),
        labels=labels,
        questions=questions,
        points=tuple(shares),
        place=place,
        model=vlm.name,
    )


def _two_sets(
    positive: Sequence[Answer], negative: Sequence[Answer], *, least: int, thinned: str = ""
) -> tuple[list[Answer], np.ndarray, np.ndarray]:
    """The answers, which are positive bool ``[answers]``, and the number of each one's question."""
    for name, part in (("positive", positive), ("negative", negative)):
        count = len({_question(answer) for answer in part})
        if count < least:
            given = f"{name} answers to {count} questions{thinned}"
            raise InputError(given, f"answers to at least {least} questions")
    answers = [*positive, *negative]
    labels = np.arange(len(answers)) < len(positive)
    return answers, labels, pd.factorize(np.array([_question(answer) for answer in answers]))[0]


def _question(answer: Answer) -> str:
    """What tells one question, with its pictures and history, from another."""
    asked = hashlib.blake2b(answer.question.encode(), digest_size=16)
    for turn in answer.history:
        asked.update(turn.text.encode())
    for image in answer.images:
        asked.update(f"{image.size}".encode() + image.tobytes())
    return asked.hexdigest()


def _states(
    vlm: VLM, answers: Sequence[Answer], shares: Sequence[float], place: str, progress: bool
) -> np.ndarray:
    """Hidden states float64 ``[answers, points, layers + 1, hidden]``."""
    decoder = Decoder(check_vlm(vlm))
    found = []
    for answer in tqdm(answers, disable=not progress, unit="answer", leave=False):
        first, reply = answer.prompt_tokens - 1, answer.reply_ids[:1]
        at = [first]
        if place == "thought":
            if not (span := answer.spans["thought"]):
                raise InputError(
                    f"an answer without a thought ({answer.text[:40]!r})",
                    "answers that thought",
                    "probe the direct ones with place='decision'",
                )
            at = [span.start - 1 + round(share * len(span)) for share in shares]
            reply = answer.reply_ids
        found.append(_read(vlm, decoder, Replay.of(vlm, answer, reply=reply), at))
    return np.stack(found)


def _read(vlm: VLM, decoder: Decoder, replay: Replay, at: list[int]) -> np.ndarray:
    """Hidden states ``[positions, layers + 1, hidden]`` of one run."""
    layers: list[torch.Tensor] = []

    def take(_: int, stream: torch.Tensor) -> None:
        layers.append(stream[0, at].double().cpu())

    with held(vlm), reading(decoder, take):
        forward(vlm, replay, 1)
    return torch.stack(layers, dim=1).numpy()


def _separation(states: np.ndarray, labels: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """How far apart two sets lie along their direction ``[layers]``, each question left out in turn.

    Args:
        states: ``[answers, layers, hidden]``.
        labels: bool ``[answers]``.
        questions: ``[answers]``.
    """
    along = np.zeros(states.shape[:2])
    for question in np.unique(questions):
        out = questions == question
        up, down = (states[(labels == side) & ~out].mean(axis=0) for side in (True, False))
        length = np.linalg.norm(up - down, axis=-1, keepdims=True)
        there = length > TINY * np.linalg.norm(up, axis=-1, keepdims=True)
        axis = np.divide(up - down, length, out=np.zeros_like(up), where=there)
        along[out] = ((states[out] - (up + down) / 2) * axis).sum(axis=-1)
    up, down = along[labels], along[~labels]
    spread = np.sqrt((up.var(axis=0, ddof=1) + down.var(axis=0, ddof=1)) / 2)
    return np.divide(up.mean(axis=0) - down.mean(axis=0), spread, out=np.zeros_like(spread), where=spread > 0)


def _kept(count: int, size: int, rng: np.random.Generator) -> list[int]:
    """Which of a set are kept when it is thinned, in their order."""
    return sorted(rng.choice(count, size, replace=False).tolist())


def _shuffled(labels: np.ndarray, questions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The labels in another order, those of one question kept together."""
    order = np.argsort(questions, kind="stable")
    blocks = np.split(labels[order], np.flatnonzero(np.diff(questions[order])) + 1)
    out = np.empty_like(labels)
    out[order] = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    return out


def _held_out(
    features: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Whether probes put answers that they were not fitted on on their side, bool ``[columns, answers]``.

    Args:
        features: ``[answers, hidden]``.
        labels: bool ``[columns, answers]``, each column a probe of its own.
        folds: (fitted on, tested on).
    """
    hits = np.zeros(labels.shape, dtype=bool)
    for fitted, tested in folds:
        model = make_pipeline(StandardScaler(), Ridge(alpha=features.shape[1]))
        model.fit(features[fitted], labels[:, fitted].T.astype(float))
        hits[:, tested] = (model.predict(features[tested]).T > 0.5) == labels[:, tested]
    return hits
