"""Run an answer through its model once more, its reply given, to read and change what happens inside.

The prompt is encoded again, with the same or other images, and checked against the answer.  Hooks on the
decoder read hidden states, replace some, or cut attention, and are gone afterwards.
"""

from __future__ import annotations

import contextlib
import inspect
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex
from weakref import WeakSet

import torch
from PIL import Image
from torch import nn

from ..answer import Answer
from ..errors import CapabilityError, InputError, OutOfMemoryError, WorkbenchError, warn
from ..models.device import is_out_of_memory, release_memory
from ..models.families import Encoded
from ..models.generate import on_device, reply_type
from ..models.vlm import VLM
from ..types import TokenLayout, Turn
from .targets import check_answer

__all__ = [
    "Decoder",
    "Prompt",
    "Replay",
    "ReplayWarning",
    "adding",
    "attending_layers",
    "check_vlm",
    "compare_written",
    "cutting",
    "encode_with",
    "forward",
    "head_numbers",
    "held",
    "layer_numbers",
    "patching",
    "reaching",
    "reading",
    "score",
    "turns_with",
    "written_as_text",
]


_TRIMMED = ("pixel_values", "pixel_attention_mask")


def check_vlm(vlm: object) -> VLM:
    """Refuse what cannot be looked into.

    Raises:
        CapabilityError: for a model behind a server.
    """
    if not isinstance(vlm, VLM):
        raise CapabilityError(
            f"{type(vlm).__name__} {getattr(vlm, 'name', '')!r}, which cannot be looked into",
            "a model that runs here (a server only sends text)",
            "load it with workbench.load(a folder or a Hub id)",
        )
    return vlm


@dataclass(frozen=True, eq=False)
class Prompt:
    """The model's inputs for one answer's prompt.

    Args:
        vlm: the model.
        answer: the answer.
        inputs: the model's inputs for a single row, on the CPU, without ``pixel_values``.
        pixels: ``pixel_values`` of the original pictures, on the CPU; None without pictures.
    """

    vlm: VLM
    answer: Answer
    inputs: dict[str, torch.Tensor]
    pixels: torch.Tensor | None

    @classmethod
    def of(cls, vlm: VLM, answer: Answer) -> Prompt:
        """Encode an answer's prompt again.

        Raises:
            CapabilityError: for a server's model or answer.
            InputError: for an empty answer, or an answer of another model.
        """
        check_vlm(vlm)
        check_answer(answer)
        if answer.model != vlm.name:
            raise InputError(
                f"an answer of {answer.model!r} with the model {vlm.name!r}",
                "the model that gave the answer",
                f"load {answer.source or answer.model!r}, or ask {vlm.name!r} itself",
            )
        encoded = encode_with(vlm, answer, [answer.images])
        if tuple(encoded.prompt_ids[0]) != answer.prompt_ids:
            raise InputError(
                f"an answer whose prompt this {vlm.name!r} writes in other tokens",
                "the same model with the same processor (image tokens, chat template)",
                "load the model as it was when it answered, or ask again",
            )
        inputs = _trimmed(vlm, encoded)
        return cls(vlm, answer, inputs, inputs.pop("pixel_values", None))

    def process(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """``pixel_values`` of other pictures of the same sizes, in the shape of ``pixels``."""
        return self.process_many([pictures])[0]

    def process_many(self, batch: Sequence[Sequence[Image.Image]]) -> torch.Tensor:
        """``[n, *pixels.shape]`` for ``n`` sets of pictures.

        Raises:
            InputError: if a set has another number of pictures, or one has another size.
        """
        assert self.pixels is not None, "a prompt without pictures"
        sizes = [image.size for image in self.answer.images]
        for number, pictures in enumerate(batch):
            if (found := [image.size for image in pictures]) != sizes:
                raise InputError(
                    f"set {number} of altered pictures has sizes {found}",
                    f"the sizes of the answer's pictures, {sizes}",
                    "alter the pictures without resizing or cropping them",
                )
        encoded = encode_with(self.vlm, self.answer, batch)
        values = _trimmed(self.vlm, encoded)["pixel_values"]
        return values.reshape(len(batch), *self.pixels.shape)

    def rows(self, ids: Sequence[int], count: int) -> dict[str, torch.Tensor]:
        """The inputs for ``count`` equal rows of prompt and reply, on the model's device, without pixels."""
        reply = len(ids) - self.answer.prompt_tokens
        out = {}
        for name, tensor in self.inputs.items():
            if name == "input_ids":
                tensor = torch.tensor([list(ids)])
            elif name == "attention_mask" or name.endswith("token_type_ids"):
                fill = 1 if name == "attention_mask" else reply_type(self.vlm.model, name, tensor)
                tensor = torch.cat([tensor, tensor.new_full((1, reply), fill)], dim=1)
            out[name] = tensor.repeat(count, *[1] * (tensor.dim() - 1))
        return on_device(out, self.vlm.device, self.vlm.dtype)

    def without_pictures(self) -> Prompt:
        """The same conversation with its pictures taken out."""
        turns = tuple(replace(turn, images=()) for turn in self.answer.history)
        bare = replace(self.answer, images=(), history=turns)
        encoded = encode_with(self.vlm, bare, [()])
        bare = replace(
            bare,
            token_ids=(*encoded.prompt_ids[0], *self.answer.reply_ids),
            prompt_tokens=len(encoded.prompt_ids[0]),
        )
        return Prompt(self.vlm, bare, dict(encoded.inputs), None)


def encode_with(vlm: VLM, answer: Answer, batch: Sequence[Sequence[Image.Image]]) -> Encoded:
    """An answer's conversation, encoded with other sets of pictures: a row for each set."""
    conversations = [turns_with(answer, list(pictures)) for pictures in batch]
    return vlm.encode(*conversations, mode=answer.mode)


def turns_with(answer: Answer, pictures: list[Image.Image]) -> list[Turn]:
    """The conversation up to the question, its pictures replaced in order."""
    turns = []
    for turn in answer.history:
        mine, pictures = pictures[: len(turn.images)], pictures[len(turn.images) :]
        turns.append(replace(turn, images=tuple(mine)))
    return [*turns, Turn("user", answer.question, tuple(pictures))]


def _trimmed(vlm: VLM, encoded: Encoded) -> dict[str, torch.Tensor]:
    """The inputs, without the columns of patches that are padding in every picture."""
    inputs = dict(encoded.inputs)
    if "spatial_shapes" in inputs:
        longest = int(inputs["spatial_shapes"].prod(dim=1).max())
        inputs |= {name: inputs[name][:, :longest] for name in _TRIMMED}
    return inputs


CHUNK = 256  # positions whose scores are turned into probabilities at a time


@dataclass(frozen=True)
class Replay:
    """What a model is given to run an answer again.

    Args:
        inputs: the model's inputs ``[1, tokens]`` on its device, prompt and reply.
        layout: where the pictures stand.
        prompt_tokens: tokens of the prompt.
        forced: tokens at the reply's start that the mode forced, or the caller gave as its thought.
    """

    inputs: dict[str, torch.Tensor]
    layout: TokenLayout
    prompt_tokens: int
    forced: int

    @classmethod
    def of(
        cls,
        vlm: VLM,
        answer: Answer,
        *,
        images: Sequence[Any] | None = None,
        reply: Sequence[int] | None = None,
    ) -> Replay:
        """Encode an answer's conversation again and put its reply behind it.

        Args:
            vlm: the model that gave the answer.
            answer: the answer.
            images: other pictures in place of ``answer.images``, all of them.
            reply: another reply's token ids.

        Raises:
            CapabilityError: for a server, or an answer of one.
            InputError: for an answer of another model, or one without a reply.
        """
        Prompt.of(vlm, answer)  # refuses what is not a pair
        encoded = encode_with(vlm, answer, [answer.images if images is None else images])
        ids = list(answer.reply_ids if reply is None else reply)
        begins = [encoded.forced, _given_ids(vlm, answer)]
        forced = max(len(begin) for begin in ([], *begins) if ids[: len(begin)] == begin)
        inputs = on_device(_with_reply(vlm, encoded.inputs, ids), vlm.device, vlm.dtype)
        length = len(encoded.prompt_ids[0])
        return cls(inputs, encoded.layouts[0] or TokenLayout(length), length, forced)

    @property
    def length(self) -> int:
        """Tokens of prompt and reply."""
        return self.inputs["input_ids"].shape[1]

    @property
    def written(self) -> range:
        """Positions of the tokens that the model chose itself, without what it was forced or given."""
        return range(self.prompt_tokens + self.forced, self.length)


def _given_ids(vlm: VLM, answer: Answer) -> list[int]:
    """What a reply was given to begin with: its thought, or the beginning of one."""
    thought, done = answer.settings.get("thought"), answer.settings.get("thought_done", True)
    return [] if thought is None else vlm.family.begun_ids(vlm.processor, thought, done=done)


def _with_reply(vlm: VLM, inputs: dict[str, torch.Tensor], reply: Sequence[int]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([list(reply)], dtype=inputs["input_ids"].dtype)
    out = {**inputs, "input_ids": torch.cat([inputs["input_ids"], ids], dim=1)}
    out["attention_mask"] = torch.ones_like(out["input_ids"])
    for name in inputs:
        if name.endswith("token_type_ids"):
            fill = reply_type(vlm.model, name, inputs[name])
            out[name] = torch.cat([inputs[name], torch.full_like(ids, fill)], dim=1)
    return out


@contextlib.contextmanager
def written_as_text(
    vlm: VLM, inputs: dict[str, Any], replies: int | Sequence[int]
) -> Iterator[dict[str, Any]]:
    """A model's inputs in which an image token that a reply holds is no place of a picture.

    A model may write such a token; it was embedded as any other when the reply went on.  Read as a whole
    with the pictures, it would be counted as one of their places.  So another token stands there, and within
    this context the embeddings are those of what was written, also where only the last tokens are read
    because a cache holds the others.

    Args:
        vlm: the model.
        inputs: with ``input_ids [rows, tokens]``.
        replies: how many tokens at the end of each row (or of every row) are the reply's.
    """
    ids = inputs["input_ids"]
    images = torch.tensor(sorted(vlm.family.image_ids(vlm.processor, vlm.model.config)), device=ids.device)
    counts = torch.as_tensor(replies, device=ids.device).reshape(-1, 1)
    written = torch.arange(ids.shape[1], device=ids.device) >= ids.shape[1] - counts
    marked = torch.isin(ids, images) & written
    if not marked.any():
        yield inputs
        return
    plain = ids[0][~torch.isin(ids[0], images)][0]

    def embed(module: nn.Module, args: tuple, out: torch.Tensor) -> torch.Tensor | None:
        if out.ndim != 3 or out.shape[0] != ids.shape[0] or out.shape[1] > ids.shape[1]:
            return None  # what else a model embeds
        last = slice(ids.shape[1] - out.shape[1], None)
        return torch.where(marked[:, last, None], module.forward(ids[:, last]), out)

    handle = vlm.model.get_input_embeddings().register_forward_hook(embed)
    try:
        yield {**inputs, "input_ids": ids.masked_fill(marked, plain)}
    finally:
        handle.remove()


class ReplayWarning(UserWarning):
    """A reply that was run again is not what the model wrote; figures of it are those of another run."""


NOISE = {torch.float32: 0.01, torch.float64: 0.001}  # nats between equals; 16-bit precision rounds more
COARSE = 0.5
_compared: WeakSet[Answer] = WeakSet()


def compare_written(vlm: VLM, answer: Answer, logits: torch.Tensor, start: int) -> None:
    """Compare a replay with what the model wrote, and warn where it departs; once for an answer.

    Each token of a greedy reply was the likeliest one where it was written, and so it is in a faithful
    replay.  Delimiters, given thoughts and sampled replies tell nothing, and are passed over.

    Args:
        vlm: the model.
        answer: the answer, with its own pictures and reply.
        logits: scores ``[tokens, vocabulary]`` from which the tokens from ``start`` on were chosen.
        start: position of the first of them.
    """
    if answer in _compared or answer.settings.get("temperature", 1) > 0:
        return
    first = answer.prompt_tokens + len(_given_ids(vlm, answer))
    at = [p for span in answer.spans.values() for p in span if first <= p and 0 <= p - start < len(logits)]
    if not at:
        return
    _compared.add(answer)
    scores = logits[[p - start for p in at]].float().log_softmax(dim=-1)
    own = scores[torch.arange(len(at)), [answer.token_ids[p] for p in at]]
    gaps = (scores.max(dim=-1).values - own).tolist()
    departed = [n for n, gap in enumerate(gaps) if gap > NOISE.get(vlm.dtype, COARSE)]
    if not departed:
        return
    n = departed[0]
    wrote, likelier = (vlm.tokenizer.decode([i]) for i in (answer.token_ids[at[n]], int(scores[n].argmax())))
    warn(
        f"{vlm.name}, run again with its reply given, departs from what it wrote at {len(departed)} of "
        f"{len(at)} tokens: first at token {at[n]}, where it wrote {wrote!r} and now {likelier!r} is "
        f"likelier by {gaps[n]:.2f} nats (at most {max(gaps):.2f}). Figures of this answer are those of "
        "another run: other weights or precision, or a family that reads a whole reply otherwise than step "
        "by step",
        ReplayWarning,
    )


@contextlib.contextmanager
def held(vlm: VLM, *, gradients: bool = False) -> Iterator[None]:
    """Hold the model, mostly without gradients; what an allocator says becomes an error that helps.

    Raises:
        OutOfMemoryError: if the device had no room; the model stays usable.
    """
    mode = torch.enable_grad() if gradients else torch.inference_mode()
    with vlm.turn(threading.Event()) as ours, mode:
        assert ours, "nothing stops the waiting"
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            given = f"{vlm.name} on {vlm.device}: no room to run the answer again"
        else:
            return
    release_memory()
    raise OutOfMemoryError(given, "room for one forward pass", "fewer positions, or a shorter answer")


def forward(vlm: VLM, replay: Replay, keep: int) -> torch.Tensor:
    """Scores of the last ``keep`` positions ``[keep, vocabulary]``; call it inside `held`."""
    options: dict[str, Any] = {"use_cache": False, "return_dict": True}
    if "logits_to_keep" in inspect.signature(vlm.model.forward).parameters:
        # As places and not as a number, with which Gemma 4's last layers read no other position.
        options["logits_to_keep"] = torch.arange(replay.length)[-keep:].to(replay.inputs["input_ids"].device)
    with written_as_text(vlm, replay.inputs, replay.length - replay.prompt_tokens) as inputs:
        return vlm.model(**inputs, **options).logits[0, -keep:]


def score(vlm: VLM, replay: Replay, *, of: Answer | None = None) -> tuple[torch.Tensor, list[int]]:
    """How likely what the model wrote is, and what is likeliest instead; call it inside `held`.

    Args:
        vlm: the model.
        replay: what is run.
        of: the answer, where nothing is changed: it is compared with what the model wrote.

    Returns:
        Log-probability of each token of ``replay.written`` in nats, float64 on the CPU, and the most
        likely token in the place of each.
    """
    first = replay.written.start
    logits = forward(vlm, replay, replay.length - first + 1)[:-1]
    if of is not None:
        compare_written(vlm, of, logits, first)
    ids = replay.inputs["input_ids"][0, first:].to(logits.device)
    parts = [
        torch.log_softmax(scores.float(), dim=-1).gather(-1, own[:, None])[:, 0]
        for scores, own in zip(logits.split(CHUNK), ids.split(CHUNK), strict=True)
    ]
    return torch.cat(parts).double().cpu(), logits.argmax(dim=-1).tolist()


#: What configurations call a layer of a hybrid decoder in which no position looks at another by softmax.
WITHOUT_ROWS = ("linear_attention", "mamba", "conv", "moe")
LAYERS = ("layers", "h", "blocks")
NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")


class Decoder:
    """A model's decoder, whatever its family calls the parts.

    Layer ``l`` of the stream is what enters block ``l``: 0 is the embeddings (pictures included), and
    ``depth`` what leaves the last block, before the final norm.  This is the numbering of Transformers'
    ``hidden_states``, but for the final norm.

    Args:
        vlm: a model that was loaded here.

    Attributes:
        attending: numbers of the blocks whose positions look at others: all, but for a hybrid decoder.

    Raises:
        CapabilityError: if the family's decoder has no blocks and final norm that are known here.
    """

    def __init__(self, vlm: VLM) -> None:
        body = _submodule(vlm.model, vlm.family.decoder)
        if body is not None and _first(body, LAYERS) is None:
            body = getattr(body, "model", None)
        layers = _first(body, LAYERS)
        norm = _first(body, NORMS)
        head = vlm.model.get_output_embeddings()
        if layers is None or norm is None or head is None:
            raise CapabilityError(
                f"the decoder of {vlm.name} at {vlm.family.decoder!r}, of an unknown make",
                f"blocks ({', '.join(LAYERS)}), a final norm ({', '.join(NORMS)}) and an output head",
                "say in the family's FamilySpec where its decoder is",
            )
        self.blocks: list[nn.Module] = list(layers)[: _depth(body)]
        self.norm, self.head = norm, head
        config = getattr(body, "config", None)
        self.kernel = str(getattr(config, "_attn_implementation", ""))
        self.n_heads = int(getattr(config, "num_attention_heads", 1))
        kinds = getattr(config, "layer_types", None) or [""] * self.depth
        self.attending = tuple(n for n in range(self.depth) if kinds[n] not in WITHOUT_ROWS)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def sites(self) -> list[nn.Module]:
        """Modules whose first argument is the stream at layers 0 to ``depth``."""
        return [*self.blocks, self.norm]

    def scores(self, states: torch.Tensor) -> torch.Tensor:
        """Final norm and output head: ``[positions, hidden]`` to ``[positions, vocabulary]``."""
        # forward, not the call: the norm may carry the very hook that asks
        normed = self.norm.forward(states)
        device = self.head.weight.device
        return self.head(normed if device.type == "meta" else normed.to(device))  # meta: offloaded


def head_numbers(heads: int | Sequence[int] | None, decoder: Decoder) -> tuple[int, ...] | None:
    """Heads to work on; None stays None, for all.

    Raises:
        InputError: for one that does not exist, or none at all.
    """
    if heads is None:
        return None
    chosen = [heads] if isinstance(heads, int) else list(heads)
    if not chosen or any(not 0 <= int(head) < decoder.n_heads for head in chosen):
        raise InputError(f"heads={heads!r}", f"heads 0 to {decoder.n_heads - 1}")
    return tuple(sorted({int(head) for head in chosen}))


def layer_numbers(layers: int | Sequence[int] | None, last: int) -> tuple[int, ...]:
    """Layers to work on; None for 0 to ``last``.

    Raises:
        InputError: for one that does not exist, or none at all.
    """
    chosen = range(last + 1) if layers is None else layers if isinstance(layers, Iterable) else [layers]
    numbers = [operator.index(layer) if isinstance(layer, SupportsIndex) else -1 for layer in chosen]
    if not numbers or not all(0 <= number <= last for number in numbers):
        raise InputError(f"layers={layers!r}", f"layers 0 to {last}")
    return tuple(sorted(set(numbers)))


def attending_layers(layers: int | Sequence[int] | None, decoder: Decoder) -> tuple[int, ...]:
    """Blocks in which attention can be cut; None for all.

    Raises:
        InputError: for one that does not exist or has no attention, or none at all.
    """
    if layers is None:
        return decoder.attending
    chosen = layer_numbers(layers, decoder.depth - 1)
    if missing := sorted({*chosen} - {*decoder.attending}):
        raise InputError(
            f"layers={layers!r}, where layer {missing[0]} has no attention",
            f"layers with attention: {', '.join(map(str, decoder.attending))}",
            "this decoder is a hybrid: its other layers (linear attention, state spaces) cannot be cut",
        )
    return chosen


@contextlib.contextmanager
def reading(decoder: Decoder, take: Callable[[int, torch.Tensor], None]) -> Iterator[None]:
    """Within this context ``take(layer, states [batch, tokens, hidden])`` sees the stream as it passes."""

    def hook(layer: int) -> Callable[..., None]:
        def look(_: nn.Module, args: tuple, kwargs: dict) -> None:
            take(layer, _stream(args, kwargs))

        return look

    with _hooked((site, hook(layer)) for layer, site in enumerate(decoder.sites)):
        yield


@contextlib.contextmanager
def reaching(decoder: Decoder, take: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Within this context ``take`` gets the decoder's inputs ``[batch, tokens, hidden]``, open to gradients.

    Nothing before them gets any: the vision tower has no part in a backward pass.
    """

    def open_up(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        leaf = _stream(args, kwargs).detach().requires_grad_()
        take(leaf)
        return _with_stream(args, kwargs, leaf)

    with _hooked([(decoder.blocks[0], open_up)]):
        yield


@contextlib.contextmanager
def patching(decoder: Decoder, layer: int, positions: Sequence[int], states: torch.Tensor) -> Iterator[None]:
    """Within this context the stream at ``layer`` holds ``states [positions, hidden]`` at ``positions``.

    Activation patching (Vig et al. 2020; Meng et al. 2022) on the residual stream.
    """

    def replace(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        stream = _stream(args, kwargs).clone()
        stream[:, list(positions)] = states.to(stream)
        return _with_stream(args, kwargs, stream)

    with _hooked([(decoder.sites[layer], replace)]):
        yield


@contextlib.contextmanager
def adding(decoder: Decoder, vectors: Mapping[int, torch.Tensor], *, everywhere: bool) -> Iterator[None]:
    """Within this context the stream gets ``vectors[layer] [hidden]`` added.

    Args:
        decoder: where.
        vectors: what is added, by layer 0 to ``depth``.
        everywhere: at every position; or else at the last one of each prompt that a reply is written to:
            there its first token is chosen.  Prompts are padded on the left, so it is last in every row.

    Raises:
        InputError: within, for a reply that is read again as a whole and not steered everywhere: where its
            prompt ends is not known here.
    """
    at = slice(None) if everywhere else slice(-1, None)

    def hook(vector: torch.Tensor) -> Callable[..., Any]:
        def add(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            stream = _stream(args, kwargs)
            if stream.shape[1] == 1 and not everywhere:
                return None
            stream = stream.clone()
            stream[:, at] += vector.to(stream)
            return _with_stream(args, kwargs, stream)

        return add

    def refuse(_: nn.Module, args: tuple, kwargs: dict) -> None:
        if _stream(args, kwargs).shape[1] > 1 and kwargs.get("past_key_values") is None:
            raise InputError(
                "a written reply that is read again, steered at the decision",
                "a question that is asked anew",
                "steer with place='all'",
            )

    first = [] if everywhere else [(decoder.blocks[0], refuse)]
    with _hooked([*first, *((decoder.sites[layer], hook(vector)) for layer, vector in vectors.items())]):
        yield


@contextlib.contextmanager
def cutting(
    decoder: Decoder,
    sources: Sequence[int],
    targets: Sequence[int],
    layers: Sequence[int],
    *,
    heads: Sequence[int] | None = None,
) -> Iterator[None]:
    """Within this context positions ``targets`` do not see positions ``sources`` in these blocks and heads.

    Attention knockout (Geva et al. 2023), through the mask that each block is given.  A position always
    sees itself.  It works on whole sequences and step by step with a cache, one conversation at a time.
    Without ``heads`` all of them are cut.

    Raises:
        CapabilityError: for a kernel that takes no mask of queries by keys.
    """
    if "flash" in decoder.kernel or "flex" in decoder.kernel:
        raise _no_mask(decoder.kernel)
    keys, queries = torch.tensor(sorted(sources)), torch.tensor(sorted(targets))
    blind = None
    if heads is not None:
        blind = torch.isin(torch.arange(decoder.n_heads), torch.tensor(list(heads)))

    def hook(layer: int) -> Callable[..., Any]:
        def cut(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            stream = _stream(args, kwargs)
            mask = _cut(
                kwargs.get("attention_mask"),
                stream,
                kwargs.get("past_key_values"),
                layer,
                queries,
                keys,
                blind,
            )
            return None if mask is None else (args, {**kwargs, "attention_mask": mask})

        return cut

    with _hooked((decoder.blocks[layer], hook(layer)) for layer in layers):
        yield


def _cut(
    mask: Any,
    stream: torch.Tensor,
    past: Any,
    layer: int,
    queries: torch.Tensor,
    keys: torch.Tensor,
    heads: torch.Tensor | None,
) -> torch.Tensor | None:
    """The mask ``[1, 1 or heads, query, key]`` without the cut edges; None where nothing changes."""
    if len(stream) != 1:
        raise InputError(
            f"a batch of {len(stream)} conversations with attention cut", "one at a time", "use ask"
        )
    seen = 0 if past is None else int(past.get_seq_length(layer))
    count = stream.shape[1]
    rows = queries[(queries >= seen) & (queries < seen + count)] - seen
    if not len(rows) or not len(keys):
        return None
    if mask is None:  # SDPA was told "causal" (or, for one token, "everything")
        at = torch.arange(seen + count)
        mask = (at[None, :] <= at[seen:, None])[None, None].to(stream.device)
    if not isinstance(mask, torch.Tensor) or mask.ndim != 4:
        raise _no_mask(f"mask of {type(mask).__name__}")
    first = max(0, seen + count - mask.shape[-1])  # a sliding window's cache has dropped the keys before
    columns = keys[(keys >= first) & (keys < first + mask.shape[-1])] - first
    gone = torch.zeros(mask.shape[-2:], dtype=torch.bool)
    gone[rows[:, None], columns[None, :]] = True
    own = torch.arange(count)
    gone[own, own + seen - first] = False
    if heads is not None:
        gone = gone & heads[:, None, None]
    return mask.masked_fill(
        gone.to(mask.device), False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    )


def _no_mask(kernel: str) -> CapabilityError:
    return CapabilityError(
        f"an attention kernel without a mask of queries by keys ({kernel})",
        "SDPA or eager attention",
        "workbench.load(..., attention='sdpa')",
    )


def _stream(args: tuple, kwargs: dict) -> torch.Tensor:
    """The hidden states ``[batch, tokens, hidden]`` that a block or the final norm is given."""
    return args[0] if args else kwargs["hidden_states"]


def _with_stream(args: tuple, kwargs: dict, stream: torch.Tensor) -> tuple[tuple, dict]:
    """The same arguments with other hidden states."""
    return ((stream, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": stream})


@contextlib.contextmanager
def _hooked(hooks: Any) -> Iterator[None]:
    handles: list[Any] = []
    try:
        for module, hook in hooks:
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def _first(module: object, names: Sequence[str]) -> Any:
    return next((found for name in names if (found := getattr(module, name, None)) is not None), None)


def _depth(body: object) -> int | None:
    return getattr(getattr(body, "config", None), "num_hidden_layers", None)
