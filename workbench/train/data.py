"""From drawings to training tensors.

One example is one conversation: the pictures, then several questions about them, each with its
reply.  So the encoder's work on a picture serves several answers.  A reply opens with the mode
token; that token is learned only where the mode is the one the model should choose by itself, so
that forced modes are trained without blurring the choice.

The built-in model's own small tokenizer: byte-level BPE over the words of the drawn world.

It has the same control tokens as Phi-4-reasoning-vision.  Up to three digits stand together, as in
GPT-4's tokenizer; a coordinate with four decimals may become one token; words keep their space.
Every name of the drawn world is one token, so that what a patch shows can be told in one.
Training is deterministic: the same corpus gives the same file.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .. import synth
from ..names import verb
from ..synth import WORLD_1, World
from ..synth.canvas import PATCH, Canvas
from ..synth.sample import Drawing, Question
from ..synth.wordings import ASPECTS, CHARACTERS, COLOURS, KINDS, NAMES, TEXTS

__all__ = [
    "Batch",
    "CHAT_TEMPLATE",
    "CONTROL",
    "Encoder",
    "Example",
    "Mix",
    "Seen",
    "THINKING",
    "batches",
    "batches_of",
    "bucketed",
    "build_tokenizer",
    "collate",
    "corpus",
    "examples",
    "one_thread",
    "patchify",
    "pool_of",
    "save_tokenizer",
    "tokenizer_config",
]


IGNORE = -100

#: Steps whose conversations are drawn together.
POOL = 3

#: Most conversations that are computed at once.
PART = 12

#: Image tokens of a picture that count towards a conversation's length; more take no question's place.
LARGE = 80


@dataclass(frozen=True)
class Mix:
    """What the training stream is made of.

    Args:
        weights: family -> relative share of pictures; a family that is missing has share 0.
        think_steps: probability that a several-step question is answered with its natural mode,
            a thought (else it is forced to be direct).
        think_look: probability that a perception question is forced to think.
        questions: most questions asked about one picture.
        budget: tokens at which a conversation is full, the first `LARGE` of each picture among them.
        again: probability that a conversation with room left goes on with another picture.
        difficulty: 1, 2, 3, or None for all.
        world: in which drawings are made.
        grid: share of drawings of the first world, on its grid, in place of ``world``'s.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(synth.FAMILIES, 1.0))
    think_steps: float = 0.75
    think_look: float = 0.1
    questions: int = 4
    budget: int = 150
    again: float = 1.0
    difficulty: int | None = None
    world: World = WORLD_1
    grid: float = 0.0


class Look(NamedTuple):
    """Where the decoder should look from one position: ``seen`` positions hold the evidence.

    Kind 0 is a reply's token that looks at the patches it tells of, kind 1 a patch of a second
    picture that looks at the patch in the same place of the first.
    """

    kind: int
    position: int
    seen: list[int]


class Seen(NamedTuple):
    """One picture as a model takes it in.

    ``views`` are what the tower reads, uint8 patches ``[patches, patch*patch*3]`` with their (rows, cols);
    ``content`` ``[tokens, aspects]`` is what can be told of each of the decoder's image tokens, and
    ``tokens`` gives the numbers of those that show a good part of a box.
    """

    views: list[tuple[np.ndarray, tuple[int, int]]]
    content: np.ndarray
    tokens: Callable[[tuple[float, float, float, float]], list[int]]


@dataclass
class Example:
    """One conversation, as ids; pixels as uint8 patches ``[patches, patch*patch*3]``, a view each.

    ``content`` and ``sizes`` (width, height) have one entry a picture, ``patches`` and ``shapes`` one a view.
    """

    ids: list[int]
    labels: list[int]
    weights: list[float]
    patches: list[np.ndarray]
    shapes: list[tuple[int, int]]
    content: list[np.ndarray]
    looks: list[Look]
    sizes: list[tuple[int, int]]


@dataclass
class Batch:
    """Padded tensors: text on the right ``[batch, tokens]``, patches to the longest view.

    ``content`` ``[pictures, tokens, aspects]`` is -100 where nothing is to be told, ``sizes``
    ``[pictures, 2]`` are (width, height) in pixels.  ``looks`` ``[looks, 3]`` are (kind, row, position), and
    ``seen`` ``[looks, tokens]`` marks where each of them should look.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    pixel_values: torch.Tensor
    pixel_attention_mask: torch.Tensor
    spatial_shapes: torch.Tensor
    content: torch.Tensor
    looks: torch.Tensor
    seen: torch.Tensor
    sizes: torch.Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def patchify(picture: np.ndarray, patch: int = PATCH) -> np.ndarray:
    """``[height, width, 3]`` to ``[rows*cols, patch*patch*3]``, the layout of SigLIP2 NaFlex."""
    rows, cols = picture.shape[0] // patch, picture.shape[1] // patch
    grid = picture[: rows * patch, : cols * patch].reshape(rows, patch, cols, patch, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * cols, patch * patch * 3)


class Encoder:
    """Writes drawings as conversations, with one tokenizer.

    Args:
        tokenizer: of the model.
        image_token: stands for a patch.
        spelling: whether the characters on each patch are told too; they stand after its aspects.
    """

    def __init__(self, tokenizer: Tokenizer, image_token: str, *, spelling: bool = False) -> None:
        self.tokenizer, self.spelling = tokenizer, spelling
        self.image_token = self._id(image_token)
        self.think, self.close = self._id("<think>"), self._id("</think>")
        self.direct, self.end, self.pad = (
            self._id("<|dummy_84|>"),
            self._id("<|im_end|>"),
            self._id("<|dummy_85|>"),
        )
        self.user = self._ids("<|im_start|>user<|im_sep|>")
        self.assistant = self._ids("<|im_end|><|im_start|>assistant<|im_sep|>")
        self.newline = self._ids("\n")

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        assert found is not None, f"{token} is no token"
        return found

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def name_tokens(self) -> torch.Tensor:
        """Token ids of `words.NAMES`, with which the auxiliary loss tells what a patch shows."""
        ids = [self._ids(f" {name}") for name in NAMES]
        assert all(len(i) == 1 for i in ids), [w for w, i in zip(NAMES, ids) if len(i) != 1]
        return torch.tensor(ids)[:, 0]

    def character_tokens(self) -> torch.Tensor | None:
        """Token ids of `words.CHARACTERS`, none of them being told by the name "nothing"; None without
        spelling."""
        if not self.spelling:
            return None
        return torch.tensor([self._ids(" nothing")[0], *(self._ids(c)[0] for c in CHARACTERS[1:])])

    def replies(self, ids: torch.Tensor) -> int:
        """How many replies stand in ``[batch, tokens]``: each begins its answer with one of two tokens."""
        return int(((ids == self.close) | (ids == self.direct)).sum())

    def start(self) -> Example:
        """An empty conversation."""
        return Example([], [], [], [], [], [], [], [])

    def see(self, canvas: Canvas) -> Seen:
        """A drawing's picture as it is: one view, one token a patch."""
        shape = canvas.height // PATCH, canvas.width // PATCH
        content = canvas.labels().reshape(-1, len(ASPECTS))
        if self.spelling:
            spelt = canvas.spelling()
            content = np.concatenate([content, spelt.reshape(-1, spelt.shape[-1])], 1)
        return Seen([(patchify(np.asarray(canvas.image())), shape)], content, canvas.patches)

    def add(self, example: Example, drawing: Drawing, *, family: str, rng: random.Random, mix: Mix) -> None:
        """Go on with a drawing's pictures, if it has any, and its questions, up to the mix's limits."""
        several = synth.family(family).several_steps
        shown, starts, seen = list(self.user), [], [self.see(canvas) for canvas in drawing.canvases]
        for canvas, one in zip(drawing.canvases, seen, strict=True):
            for patches, shape in one.views:
                example.patches.append(patches)
                example.shapes.append(shape)
            example.content.append(one.content)
            example.sizes.append((canvas.width, canvas.height))
            starts.append(len(example.ids) + len(shown))
            shown += [self.image_token] * len(one.content) + self.newline
        full = mix.budget + sum(max(0, len(one.content) - LARGE) for one in seen)
        if len(starts) == 2 and len(seen[0].content) == len(seen[1].content):
            places = range(len(seen[1].content))
            example.looks += [Look(1, starts[1] + i, [starts[0] + i]) for i in places]
        for number, question in enumerate(drawing.questions[: mix.questions]):
            if number and len(example.ids) >= full:
                break
            asked = (self.user if number else shown) + self._ids(question.text) + self.assistant
            thinks = rng.random() < (mix.think_steps if several else mix.think_look)
            reply = self._reply(question, thinks)
            if starts and not several:
                first = len(example.ids) + len(asked)
                where = [starts[question.image] + i for i in evidence(seen[question.image], question)]
                # The last token of the answer is told by the one before it; then comes the end.
                example.looks += [Look(0, at, where) for at in range(first, first + len(reply) - 2) if where]
            learned = list(reply)
            if thinks != several:
                learned[0] = IGNORE
            example.ids += asked + reply
            example.labels += [IGNORE] * len(asked) + learned
            example.weights += [0.0] * len(asked) + [len(reply) ** -0.5] * len(reply)

    def _reply(self, question: Question, thinks: bool) -> list[int]:
        answer = [*self._ids(f" {question.answer}"), self.end]
        if thinks:
            return [self.think, *self._ids(f" {question.trace} "), self.close, *answer]
        return [self.direct, *answer]


def evidence(seen: Seen, question: Question) -> list[int]:
    """Image tokens that tell a perception question's answer: those of the evidence that show a word of it, or
    else all of the evidence (a count needs all boxes; elsewhere the first box holds the answer)."""
    counts = question.asks == "count" or question.text.startswith("How many")
    boxes = question.boxes if counts else question.boxes[:1]
    tokens = sorted({token for box in boxes for token in seen.tokens(box)})
    words = {NAMES.index(word) for word in question.answer.split() if word in NAMES}
    return [token for token in tokens if words & set(seen.content[token, :3].tolist())] or tokens


def examples(encoder: Encoder, mix: Mix, seed: str) -> Iterator[Example]:
    """An endless stream of fresh conversations; the same seed gives the same stream."""
    rng = random.Random(f"examples/{seed}")
    families = [f for f in (*synth.FAMILIES, *synth.FREE) if mix.weights.get(f, 0) > 0]
    weights = [mix.weights[f] for f in families]
    number = 0
    while True:
        example = encoder.start()
        while not example.ids or (len(example.ids) < 0.6 * mix.budget and rng.random() < mix.again):
            family = rng.choices(families, weights)[0]
            on_grid = mix.grid > 0 and family in synth.FAMILIES and rng.random() < mix.grid
            drawing, _ = synth.draw(
                family,
                seed=f"train/{seed}/{number}",
                difficulty=mix.difficulty,
                world=WORLD_1 if on_grid else mix.world,
            )
            encoder.add(example, drawing, family=family, rng=rng, mix=mix)
            number += 1
        yield example


def batches(encoder: Encoder, mix: Mix, *, seed: str, size: int, pool: int = POOL) -> Iterator[list[Batch]]:
    """The batches of one optimiser step after another, as `bucketed` buckets them by length.

    Args:
        encoder: writes drawings as ids.
        mix: what is drawn.
        seed: the same seed gives the same stream.
        size: conversations in a step.
        pool: steps that are drawn together.
    """
    for number in count():
        yield from pool_of(encoder, mix, f"{seed}/{number}", size=size, pool=pool)


def pool_of(encoder: Encoder, mix: Mix, seed: str, *, size: int, pool: int = POOL) -> list[list[Batch]]:
    """The batches of the steps of one pool, which is drawn for itself: several can be drawn at once.

    Args:
        encoder: writes drawings as ids.
        mix: what is drawn.
        seed: the same seed gives the same pool.
        size: conversations in a step.
        pool: steps that are drawn together.
    """
    rng, stream = random.Random(f"batches/{seed}"), examples(encoder, mix, seed)
    return bucketed([next(stream) for _ in range(size * pool)], pool, rng, encoder.pad)


def batches_of(
    drawers: Executor, encoder: Encoder, mix: Mix, seed: str, *, size: int, steps: int, ahead: int
) -> Iterator[list[Batch]]:
    """The first steps of `batches`, drawn by processes.

    Args:
        drawers: the processes.
        encoder: writes drawings as ids.
        mix: what is drawn.
        seed: the same seed gives the same stream.
        size: conversations in a step.
        steps: how many are wanted at least.
        ahead: pools that are drawn before their turn.
    """
    pools = -(-steps // POOL)

    def drawing(number: int) -> Future[list[list[dict[str, np.ndarray]]]]:
        return drawers.submit(_packed_pool, encoder, mix, f"{seed}/{number}", size)

    coming = deque(drawing(number) for number in range(min(ahead, pools)))
    for number in range(pools):
        drawn = coming.popleft().result()
        if number + ahead < pools:
            coming.append(drawing(number + ahead))
        yield from ([_unpacked(batch) for batch in step] for step in drawn)


def _packed_pool(encoder: Encoder, mix: Mix, seed: str, size: int) -> list[list[dict[str, np.ndarray]]]:
    """A pool as arrays, its pixels as bytes: a quarter to send, and no shared memory, which can be scarce."""
    packed = []
    for step in pool_of(encoder, mix, seed, size=size):
        arrays = [{name: tensor.numpy() for name, tensor in vars(batch).items()} for batch in step]
        for one in arrays:
            one["pixel_values"] = np.rint((one["pixel_values"] + 1) * 127.5).astype(np.uint8)
        packed.append(arrays)
    return packed


def _unpacked(arrays: dict[str, np.ndarray]) -> Batch:
    """The batch that `_packed_pool` packed, to the bit."""
    pixels = arrays["pixel_values"] * np.float32(2 / 255) - 1
    pixels[arrays["pixel_attention_mask"] == 0] = 0  # padding is no black pixel
    return Batch(
        **{name: torch.from_numpy(array) for name, array in (arrays | {"pixel_values": pixels}).items()}
    )


def one_thread() -> None:
    """Start a process that draws: more threads of PyTorch's would only be in the others' way."""
    torch.set_num_threads(1)


def bucketed(drawn: list[Example], steps: int, rng: random.Random, pad: int) -> list[list[Batch]]:
    """Deal conversations to optimiser steps so that little is padded and every step has all lengths.

    Each step gets several batches of `PART` conversations at most, of like lengths; which ones, chance
    decides.  Whole steps of like lengths would hold few families each, and learn badly.

    Args:
        drawn: conversations, as many for each step.
        steps: how many steps they are for.
        rng: shuffles the buckets.
        pad: id of padding.
    """
    size = len(drawn) // steps
    parts = -(-size // PART)
    ordered = iter(sorted(drawn, key=lambda example: len(example.ids)))
    # Lane i has the i-th batch of every step; all batches of a lane are of one size.
    lanes: list[list[list[Example]]] = [[] for _ in range(parts)]
    for number in range(steps * parts):
        lane = number % parts
        lanes[lane].append(list(islice(ordered, size // parts + (lane < size % parts))))
    for one in lanes:
        rng.shuffle(one)
    return [[collate(group, pad) for group in step] for step in zip(*lanes, strict=True)]


def collate(group: list[Example], pad: int) -> Batch:
    """Pad examples to one batch; those without pictures give picture tensors of length 0."""
    longest = max(len(e.ids) for e in group)

    def text(name: str, fill: float, dtype: torch.dtype) -> torch.Tensor:
        rows = [getattr(e, name) for e in group]
        return torch.tensor([row + [fill] * (longest - len(row)) for row in rows], dtype=dtype)

    patches = [p for e in group for p in e.patches]
    shapes = [s for e in group for s in e.shapes]
    content = [c for e in group for c in e.content]
    most = max((len(p) for p in patches), default=0)
    pixels = np.zeros((len(patches), most, PATCH * PATCH * 3), dtype=np.float32)
    mask = np.zeros((len(patches), most), dtype=np.int64)
    for i, p in enumerate(patches):
        pixels[i, : len(p)] = p * np.float32(2 / 255) - 1
        mask[i, : len(p)] = 1
    told = max((len(c) for c in content), default=0)
    aspects = content[0].shape[1] if content else len(ASPECTS)
    labels = np.full((len(content), told, aspects), IGNORE, dtype=np.int64)
    for i, c in enumerate(content):
        labels[i, : len(c)] = c
    ids = text("ids", pad, torch.long)
    lengths = torch.tensor([len(e.ids) for e in group])
    looks = [(look, row) for row, e in enumerate(group) for look in e.looks]
    seen = torch.zeros(len(looks), longest, dtype=torch.bool)
    for i, (look, _) in enumerate(looks):
        seen[i, look.seen] = True
    return Batch(
        input_ids=ids,
        attention_mask=(torch.arange(longest) < lengths[:, None]).long(),
        labels=text("labels", IGNORE, torch.long),
        weights=text("weights", 0.0, torch.float32),
        pixel_values=torch.from_numpy(pixels),
        pixel_attention_mask=torch.from_numpy(mask),
        spatial_shapes=torch.tensor(shapes).reshape(-1, 2),
        content=torch.from_numpy(labels),
        looks=torch.tensor([(k.kind, row, k.position) for k, row in looks]).reshape(-1, 3),
        seen=seen,
        sizes=torch.tensor([size for e in group for size in e.sizes]).reshape(-1, 2),
    )


CONTROL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>",
    "<|dummy_80|>", "<|dummy_81|>", "<|dummy_82|>", "<|dummy_83|>", "<|dummy_84|>", "<|dummy_85|>",
)  # fmt: skip
THINKING = ("<think>", "</think>")

#: ChatML with the control tokens of Phi-4-reasoning-vision, without its long system prompt.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "<|im_start|>{{ message['role'] }}<|im_sep|>{{ message['content'] }}<|im_end|>"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
)

#: A coordinate, up to three digits, a word, a sign, or white space: each with the space before it.
PIECES = r"[ ]?\d\.\d{4}|[ ]?\d{1,3}|[ ]?[A-Za-z]+|[ ]?[^\sA-Za-z\d]|\s"

EVERYDAY = (
    "Hello! Who are you? I am a small model. What do you see in t"
    "his picture? I see a chart, a table, a\n"
    "screen, a sign. Please answer yes or no. Thank you. I do not"
    " know. How are the numbers and the words different?"
)


def corpus(pictures: int = 300, world: synth.World = synth.WORLD_1) -> Iterable[str]:
    """Questions, answers and traces of every family, in a fixed order; of the second world also in small
    letters."""
    yield EVERYDAY
    for name in (*TEXTS, *KINDS, *COLOURS):
        yield f" {name}" * 50
        if world.version == 2:
            yield f" {name.lower()}" * 50
    for family in synth.families_of(world):
        for i in range(pictures):
            drawing, _ = synth.draw(family, seed=f"tokenizer/{i}", world=world)
            for question in drawing.questions:
                if family not in (
                    "read_text",
                    "word_after",
                ):  # whose made-up words are to be written letter by letter
                    yield f"{question.text} {question.answer} {question.trace}"
                yield question.text


@verb(pictures="n_images")
def build_tokenizer(
    vocab_size: int = 1280, *, n_images: int = 300, world: synth.World = synth.WORLD_1
) -> Tokenizer:
    """Train the tokenizer on a world's words; the control tokens take the last ids."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = len(CONTROL) + len(THINKING)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - added,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(n_images, world), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in THINKING])
    return tokenizer


def tokenizer_config(context: int) -> dict:
    """The companions of tokenizer.json, in the official layout."""
    return {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|dummy_85|>",
        "unk_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def save_tokenizer(
    folder: Path, *, context: int, vocab_size: int = 1280, world: synth.World = synth.WORLD_1
) -> Tokenizer:
    """Train the tokenizer and write its four files into a folder."""
    tokenizer = build_tokenizer(vocab_size, world=world)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = tokenizer_config(context)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({n: settings[n] for n in names}, indent=2) + "\n"
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return tokenizer
