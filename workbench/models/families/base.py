"""What the workbench must know about a family of models, and what encoding a prompt gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ...errors import CapabilityError, InputError, WorkbenchError
from ...images import open_images
from ...types import Box, Mode, PatchGrid, TokenLayout, Turn
from ..coordinates import parse_box, parse_point
from ..layout import Block, Crop, image_positions, place
from ..modes import AS_IS, ModeRule, Reply, check_mode, split_reply
from .prompt import (
    Shield,
    chat_template_of,
    check_turns,
    control_strings,
    list_messages,
    render,
    render_plain,
    split_generation_prompt,
)
from .thinking import Thinking, read_thinking

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

__all__ = ["Encoded", "FamilySpec"]


@dataclass
class Encoded:
    """Conversations, ready for ``model.generate``.

    Args:
        inputs: what the model takes, on the CPU: ``input_ids`` and ``attention_mask``
            ``[batch, tokens]``, padded on the left, and the family's picture tensors.
        layouts: one per conversation, None where it is not known how a picture's tokens stand;
            positions count without the padding.
        prompt_ids: the prompts' ids without the padding.
        forced: ids that open the reply in this mode; empty where the model starts by itself.
        think_open, think_close: ids of the thought's delimiters; empty where the family has none.
        image_tokens: how many positions of each prompt stand for pictures.
        begun: what each reply is given to begin with, as ids; ``inputs`` hold it behind the prompt, unless
            several replies go on from one prompt.
        shared: whether they do; see `repeated`.
    """

    inputs: dict[str, torch.Tensor]
    layouts: list[TokenLayout | None]
    prompt_ids: list[list[int]]
    forced: list[int] = field(default_factory=list)
    think_open: list[int] = field(default_factory=list)
    think_close: list[int] = field(default_factory=list)
    image_tokens: list[int] = field(default_factory=list)
    begun: list[list[int]] = field(default_factory=list)
    shared: bool = False

    def repeated(self, begun: Sequence[Sequence[int]]) -> Encoded:
        """Several replies to the one prompt that this is, each with what it begins with."""
        assert len(self.prompt_ids) == 1, "one prompt"
        count = len(begun)
        return replace(
            self,
            layouts=self.layouts * count,
            prompt_ids=self.prompt_ids * count,
            image_tokens=self.image_tokens * count,
            begun=[list(ids) for ids in begun],
            shared=True,
        )


@dataclass(frozen=True)
class FamilySpec:
    """One family of vision-language models.

    Args:
        name: as it is shown and looked up.
        model_types: values of ``config.model_type`` that it serves.
        modes: how each mode is expressed, or why it cannot be.
        thought: texts that open and close a thought; ("", "") for a family without.
        thought_spaces: white space behind the opening and before the close.
        coordinates: how the family writes places; a name from `workbench.models.coordinates`.
        decoder, vision_tower, projector: dotted paths inside the Transformers model.
        cell: pixels of the resized picture under one token's edge; 0 where that is not fixed.
        placeholder: the picture's mark in a prompt; empty for the processor's own.
        max_images: most pictures in one prompt; None where only the context length limits them.
        per_picture: tensors of the processor with one row per picture, from which the grid is read.
        note: what a user should know about how this family is served here.
        needs_template: whether its checkpoints come with a chat template, without which they answer worse.
        shares_prompts: whether text can go on from a prompt that is in the model's cache, pictures and all.
        settled: whether `for_processor` made it precise for one checkpoint.
    """

    name: str
    model_types: tuple[str, ...]
    modes: Mapping[Mode, ModeRule] = field(default_factory=lambda: {Mode.AUTO: AS_IS})
    thought: tuple[str, str] = ("", "")
    thought_spaces: tuple[str, str] = ("\n", "\n")
    coordinates: str = "none"
    decoder: str = "model.language_model"
    vision_tower: str = "model.vision_tower"
    projector: str = "model.multi_modal_projector"
    cell: int = 0
    placeholder: str = ""
    max_images: int | None = None
    per_picture: tuple[str, ...] = ()
    note: str = ""
    needs_template: bool = True
    shares_prompts: bool = False
    settled: bool = False

    # -- what a family may say differently -------------------------------------------------------

    def for_checkpoint(self, shown: Thinking | None, name: str) -> FamilySpec:
        """This spec, made precise by what one checkpoint shows about its thinking.

        A switch of its template, or a thought that its template opens, always counts; delimiters that
        are merely there count for a family that is not known to have them.

        Args:
            shown: what its template and vocabulary show; None where that is nothing.
            name: the checkpoint's name.
        """
        if shown is None or (self.thought[0] and shown.shown in ("named", "vocabulary")):
            return self
        return replace(self, modes={**self.modes, **shown.modes}, thought=shown.thought)

    def image_ids(self, processor: ProcessorMixin, config: PretrainedConfig = None) -> set[int]:
        """Ids of the tokens that stand for image features."""
        for holder in (config, processor, processor.tokenizer):
            for key in ("image_token_id", "image_token_index"):
                if isinstance(value := getattr(holder, key, None), int):
                    return {value}
        raise CapabilityError(
            f"a processor of type {type(processor).__name__} that names no image token",
            "image_token_id in the model's config",
            "pass config=model.config",
        )

    def messages(self, turns: Sequence[Turn], processor: ProcessorMixin = None) -> list[dict[str, Any]]:
        """Turns as the family's template (that of ``processor``, where families differ) takes them."""
        return list_messages(turns)

    def call_kwargs(self, text: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Settings for the processor; a template that writes the first token writes it alone."""
        bos = tokenizer.bos_token
        return {"add_special_tokens": False} if bos and text.startswith(bos) else {}

    def process(
        self, processor: ProcessorMixin, texts: list[str], pictures: list[list[Image.Image]]
    ) -> Mapping[str, torch.Tensor]:
        """Run the processor on rendered prompts and their pictures, padded on the left."""
        images = pictures if any(pictures) else None
        kwargs = self.call_kwargs(texts[0], processor.tokenizer)
        return processor(
            text=texts, images=images, padding=True, padding_side="left", return_tensors="pt", **kwargs
        )

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        """How one picture's tokens stand on grids.

        Args:
            processor: the model's processor.
            size: (width, height) of the original picture.
            info: this picture's row of each tensor named in ``per_picture``.
            alone: whether it is the only picture of its conversation.
        """
        raise CapabilityError(f"family {self.name!r}", "a family that says where its image tokens stand")

    def layout(
        self,
        processor: ProcessorMixin,
        ids: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        infos: Sequence[Mapping[str, Any]],
        config: PretrainedConfig = None,
    ) -> TokenLayout | None:
        """Where everything of one prompt stands; None where it cannot be known."""
        alone = len(sizes) == 1
        blocks = [self.blocks(processor, size, info, alone) for size, info in zip(sizes, infos, strict=True)]
        return place(ids, self.image_ids(processor, config) if sizes else (), sizes=sizes, blocks=blocks)

    def crops(self, processor: ProcessorMixin, layout: TokenLayout) -> list[Crop]:
        """What the vision tower takes in for one conversation, in its order."""
        return [
            Crop(g.image, g.rows, g.cols, g.size, g.region, overview=g in layout.images) for g in layout.grids
        ]

    def patch_order(self, tower: object, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """Where the tower keeps each patch, crop after crop and row after row; None: in that order.

        Args:
            tower: the vision tower.
            inputs: the model's inputs for a batch.

        Returns:
            For the n-th patch in reading order its index in the tower's sequence ``[patches]``.
        """
        return None

    def with_image_tokens(self, processor: ProcessorMixin, most: int, least: int | None = None) -> Any:
        """A copy of the processor with another budget of tokens per picture.

        Raises:
            CapabilityError: if the family's number of tokens per picture is fixed.
        """
        raise CapabilityError(
            f"an image budget of {most} tokens for {self.name}",
            "a family whose pictures take a variable number of tokens",
            "leave the budget out",
        )

    # -- the same for every family ---------------------------------------------------------------

    def for_processor(
        self,
        processor: ProcessorMixin,
        name: str = "",
        *,
        thought: tuple[str, str] | None = None,
        template: Mapping[str, Any] | None = None,
    ) -> FamilySpec:
        """This spec, made precise by what one checkpoint can do; once made so, it stays.

        Args:
            processor: its processor, whose chat template tells most; None where there is none (yet).
            name: the checkpoint's name.
            thought: the texts that open and close its thoughts, where the user knows them.
            template: variables that its chat template gets in every mode.
        """
        if self.settled:
            return self
        if processor is None:
            return self.for_checkpoint(None, name)
        shown = read_thinking(processor, thought=thought, template=template)
        spec = self.for_checkpoint(shown, name)
        if thought is not None:
            spec = replace(spec, thought=(thought[0], thought[1]))
        if template:  # also where the family itself says how its modes are reached
            modes = {m: replace(r, template={**template, **r.template}) for m, r in spec.modes.items()}
            spec = replace(spec, modes=modes)
        return replace(spec, settled=True)

    def for_model(self, model: PreTrainedModel) -> FamilySpec:
        """This spec with the places of a model's parts, where they are not the same for the whole family."""
        return self

    def check_mode(self, mode: Mode, source_name: str = "") -> ModeRule:
        """The rule for a mode.

        Raises:
            ModeError: if this model lacks the mode; the message names the checkpoint that has it.
        """
        return check_mode(self.modes, mode, source_name or self.name)

    def begun(self, thought: str, *, done: bool) -> str:
        """A reply that begins with a given thought, as this family writes it.

        Args:
            thought: its text.
            done: whether it is closed.
        """
        (opening, close), (behind, before) = self.thought, self.thought_spaces
        text = f"{opening}{behind}{thought.strip()}"
        if not done:
            return text
        return f"{text}{before}{close}" if thought.strip() else f"{opening}{before}{close}"

    def begun_ids(self, processor: ProcessorMixin, thought: str, *, done: bool) -> list[int]:
        """The token ids of `begun`.

        Raises:
            InputError: for a thought with a control token, which would end it or open another turn.
        """
        spec = self.for_processor(processor)
        held = next((c for c in control_strings(processor, spec.delimiters()) if c in thought), None)
        if held is not None:
            raise InputError(
                f"a thought that holds the control token {held!r}",
                "the thought's text alone: its delimiters are written for you",
                "take the token out of the thought",
            )
        return processor.tokenizer.encode(spec.begun(thought, done=done), add_special_tokens=False)

    def encode(
        self,
        processor: ProcessorMixin,
        conversations: Sequence[Sequence[Turn]],
        *,
        mode: Mode = Mode.AUTO,
        config: PretrainedConfig = None,
        begun: Sequence[Sequence[int]] = (),
    ) -> Encoded:
        """Turn conversations into model inputs with their layout.

        Control strings that somebody typed stay plain text; see `controls`.

        Args:
            processor: the model's processor.
            conversations: each ends with the user's turn that is to be replied to.
            mode: how to reply.
            config: the model's config; tells the image token where the processor does not.
            begun: what each reply begins with, as ids.

        Raises:
            InputError: for a conversation that this family cannot take.
            ModeError: if this model lacks the mode.
        """
        spec = self.for_processor(processor)
        rule = spec.check_mode(mode)
        for turns in conversations:
            check_turns(turns, spec.max_images, spec.name)
        pictures = [
            [image for turn in turns for image in open_images(turn.images)] for turns in conversations
        ]
        shield = Shield(processor, control_strings(processor, spec.delimiters()))
        prompts = [spec._prompt(processor, turns, rule, shield) for turns in conversations]
        batch = spec._processed(shield.processor(), [text for text, _ in prompts], pictures)
        rows = read_rows(batch, shield.expansions)
        tokenizer = processor.tokenizer
        layouts = spec._layouts(processor, rows, pictures, batch, config)
        behind = [row.with_ids(ids) for row, ids in zip(rows, begun, strict=True)] if begun else rows
        return Encoded(
            inputs=pad_left(batch, behind, _pad_id(tokenizer)),
            begun=[list(ids) for ids in begun],
            layouts=layouts,
            prompt_ids=[row.ids for row in rows],
            forced=tokenizer.encode(prompts[0][1], add_special_tokens=False),
            think_open=tokenizer.encode(spec.thought[0], add_special_tokens=False),
            think_close=tokenizer.encode(spec.thought[1], add_special_tokens=False),
            image_tokens=[
                spec._image_tokens(processor, row.ids, layout, config)
                for row, layout in zip(rows, layouts, strict=True)
            ],
        )

    def parse_box(self, text: str, grid: PatchGrid) -> Box | None:
        """The last box in a reply, in pixels of the original picture that ``grid`` shows."""
        return parse_box(text, self.coordinates, size=grid.size, resized=self.resized(grid))

    def parse_point(self, text: str, grid: PatchGrid) -> tuple[float, float] | None:
        """The last point in a reply, in pixels of the original picture that ``grid`` shows."""
        return parse_point(text, self.coordinates, size=grid.size, resized=self.resized(grid))

    def resized(self, grid: PatchGrid) -> tuple[int, int] | None:
        """(width, height) at which the model saw the picture; None where that is not one size."""
        return (grid.cols * self.cell, grid.rows * self.cell) if self.cell else None

    def delimiters(self) -> list[str]:
        """All texts that this family gives a meaning to, apart from its tokenizer's own."""
        forced = (rule.forced for rule in self.modes.values())
        return [text for text in (*self.thought, *forced, self.placeholder) if text]

    def _prompt(
        self, processor: ProcessorMixin, turns: Sequence[Turn], rule: ModeRule, shield: Shield
    ) -> tuple[str, str]:
        """The rendered prompt, and what opens the reply, both as text."""
        hidden = [
            _with_text(turn, shield.hide(turn.text), turn.thought and shield.hide(turn.thought))
            for turn in turns
        ]
        marked = [
            _with_text(turn, turn.text.strip() and f"text{n}q", turn.thought and f"thought{n}q")
            for n, turn in enumerate(turns)
        ]
        text, forced = self._render(processor, hidden, rule)
        plain, _ = self._render(processor, marked, rule)
        for number, turn in enumerate(turns):
            if turn.text.strip() and f"text{number}q" not in plain:
                raise InputError(
                    f"a {turn.role}'s turn that this model's chat template leaves out ({turn.text[:40]!r})",
                    f"turns that {self.name} can show to the model",
                    "put the instruction into the question"
                    if turn.role == "system"
                    else "leave the turn out",
                )
        if shield.structure(text) != shield.structure(plain):
            raise InputError(
                "a text that would change the conversation's structure (control tokens in disguise)",
                "plain text",
                "remove what looks like control tokens from the text",
            )
        return text, forced

    def _render(self, processor: ProcessorMixin, turns: Sequence[Turn], rule: ModeRule) -> tuple[str, str]:
        if chat_template_of(processor) is None:
            return render_plain(turns, self.placeholder or processor.image_token), rule.forced
        messages = self.messages(turns, processor)
        text = render(processor, messages, **rule.template)
        if not self.thought[0]:
            return text, rule.forced
        without = render(processor, messages, generation=False, **rule.template)
        text, opening = split_generation_prompt(text, without, self.thought)
        return text, opening or rule.forced

    def _processed(
        self, processor: ProcessorMixin, texts: list[str], pictures: list[list[Image.Image]]
    ) -> Mapping[str, torch.Tensor]:
        """What the processor makes of prompts and pictures.

        Raises:
            InputError: if it refuses them (a strip of 1000 x 3 pixels, a question without a picture, ...).
        """
        try:
            return self.process(processor, texts, pictures)
        except (WorkbenchError, MemoryError):
            raise
        except Exception as error:  # each processor has its own ways to say that it cannot
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            sizes = ", ".join(f"{i.width}x{i.height}" for row in pictures for i in row) or "none"
            raise InputError(
                f"pictures of {sizes} pixels, or a text, that the processor of {self.name} does not take "
                f"({type(error).__name__}: {(lines or ['no words'])[0][:200]})",
                "pictures of a usual shape, and a text for them",
                "crop or enlarge narrow pictures; pass a picture where the model needs one",
            ) from error

    def _layouts(
        self,
        processor: ProcessorMixin,
        rows: Sequence[Row],
        pictures: Sequence[Sequence[Image.Image]],
        batch: Mapping[str, Any],
        config: PretrainedConfig,
    ) -> list[TokenLayout | None]:
        layouts: list[TokenLayout | None] = []
        first = 0
        for row, images in zip(rows, pictures, strict=True):
            told = [key for key in self.per_picture if key in batch]
            infos = [{key: batch[key][first + i] for key in told} for i in range(len(images))]
            try:
                made = self.layout(processor, row.ids, [image.size for image in images], infos, config)
            except CapabilityError:  # the model can be asked all the same; maps say that they cannot be drawn
                made = None
            layouts.append(made)
            first += len(images)
        return layouts

    def _image_tokens(
        self, processor: ProcessorMixin, ids: Sequence[int], layout: TokenLayout | None, config: Any
    ) -> int:
        """Positions of a prompt that stand for pictures; all image tokens where the layout is not known."""
        if layout is not None:
            return layout.image_tokens
        try:
            return len(image_positions(ids, self.image_ids(processor, config)))
        except CapabilityError:
            return 0

    def split(
        self, reply_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, *, mode: Mode = Mode.AUTO
    ) -> Reply:
        """Take a reply (forced tokens included) apart into thought and answer."""
        markers = [
            rule.forced for rule in self.modes.values() if rule.forced and rule.forced != self.thought[0]
        ]
        return split_reply(reply_ids, tokenizer, thought=self.thought, markers=markers)


def _with_text(turn: Turn, text: str, thought: str | None) -> Turn:
    return replace(turn, text=text, thought=thought)


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    pad = tokenizer.pad_token_id
    return pad if pad is not None else (tokenizer.eos_token_id or 0)


_PER_TOKEN = ("token_type_ids", "mm_token_type_ids")
"""Tensors beside the ids that have one value per token; 0 is text in each of them."""


@dataclass
class Row:
    """One conversation of a batch: its ids, and the other values that go with each token."""

    ids: list[int]
    extras: dict[str, list[int]]

    def with_ids(self, ids: Sequence[int]) -> Row:
        """The row with text behind it."""
        more = {name: [*values, *[0] * len(ids)] for name, values in self.extras.items()}
        return Row([*self.ids, *ids], more)


def read_rows(batch: Mapping[str, Any], expansions: Mapping[int, Sequence[int]]) -> list[Row]:
    """Rows without padding, with each id of ``expansions`` replaced by the ids that it stands for."""
    ids, mask = torch.as_tensor(batch["input_ids"]), torch.as_tensor(batch["attention_mask"])
    names = [name for name in _PER_TOKEN if name in batch]
    rows = []
    for number in range(len(ids)):
        keep = mask[number].bool()
        row = Row(
            ids[number][keep].tolist(), {n: torch.as_tensor(batch[n])[number][keep].tolist() for n in names}
        )
        rows.append(_expand(row, expansions) if expansions else row)
    return rows


def _expand(row: Row, expansions: Mapping[int, Sequence[int]]) -> Row:
    out = Row([], {name: [] for name in row.extras})
    for at, token in enumerate(row.ids):
        new = expansions.get(token, (token,))
        out.ids.extend(new)
        for name, values in row.extras.items():
            out.extras[name].extend([values[at]] * len(new))
    return out


def pad_left(batch: Mapping[str, Any], rows: Sequence[Row], pad_id: int) -> dict[str, torch.Tensor]:
    """The batch's tensors with its token rows rebuilt, padded on the left."""
    longest = max(len(row.ids) for row in rows)

    def padded(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[fill] * (longest - len(v)) + list(v) for v in values], dtype=torch.long)

    out = {key: value for key, value in batch.items() if isinstance(value, torch.Tensor)}
    out.pop("labels", None)  # PaliGemma's processor gives them for training
    out["input_ids"] = padded([row.ids for row in rows], pad_id)
    out["attention_mask"] = padded([[1] * len(row.ids) for row in rows], 0)
    for name in rows[0].extras:
        out[name] = padded([row.extras[name] for row in rows], 0)
    return out
