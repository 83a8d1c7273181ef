"""Prompts and pictures to model inputs for Phi-4-reasoning-vision.

It takes prompts that are already written with the chat template, as the published processor does:
control tokens and ``<image>`` in them have their meaning.  What a user typed is kept apart from them
by the one encoder of conversations, `FamilySpec.encode`, which stands before it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast, ProcessorMixin
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import cached_file

from ...errors import ContextLengthError, InputError, LoadError
from .configuration import Phi4RVConfig
from .image_processing import Phi4RVImageProcessor

__all__ = ["IMAGE_MARK", "PLACEHOLDER", "Phi4RVProcessor"]


IMAGE_MARK = "<image>"
"""Where a picture goes in a prompt. Not a token: prompts are split at it."""

PLACEHOLDER = "<|dummy_80|>"
"""The token that stands for one patch: reserved in the published vocabulary, and unused."""

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
_BUDGET = ("min_num_patches", "max_num_patches")
# What the Auto classes and pipelines pass on, and has no bearing here.
_IGNORED = (
    "trust_remote_code",
    "code_revision",
    "config",
    "backend",
    "use_fast",
    "_from_auto",
    "_from_pipeline",
)


class Phi4RVProcessor(ProcessorMixin):
    """Tokenizer, image processor and chat template in one.

    Args:
        image_processor: turns pictures into patches.
        tokenizer: the fast tokenizer, as it is in tokenizer.json.
        chat_template: Jinja template; by default the tokenizer's.
        image_token_id: id of the placeholder of a patch; by default that of ``<|dummy_80|>``.
        max_length: longest prompt in tokens, patches included.  A longer one is an error: the
            published processor cuts it off without a word.

    Raises:
        LoadError: if the placeholder is none of the tokenizer's added tokens, or there is no
            padding token.
    """

    def __init__(
        self,
        image_processor: Phi4RVImageProcessor,
        tokenizer: PreTrainedTokenizerFast,
        chat_template: str | None = None,
        *,
        image_token_id: int | None = None,
        max_length: int = 8192,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template or tokenizer.chat_template)
        if tokenizer.pad_token_id is None:
            raise LoadError("a tokenizer without a padding token", "one whose files name a pad_token")
        self.image_token = IMAGE_MARK
        self.max_length = max_length
        known = tokenizer.get_added_vocab()
        self.image_token_id = known.get(PLACEHOLDER) if image_token_id is None else image_token_id
        if self.image_token_id not in known.values():
            raise LoadError(
                f"image token id {self.image_token_id}, which is none of the tokenizer's added tokens",
                f"the id of a reserved token such as {PLACEHOLDER}",
                "pass image_token_id, and the same in the model's config",
            )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Phi4RVProcessor:
        """Load from a folder or Hub repository in the published layout.

        The tokenizer is always read as it is in tokenizer.json: by its ``tokenizer_class`` the
        library would rebuild it, and give wrong ids without a word.  Placeholder and length come
        from the model's config.json where it is there.

        Args:
            pretrained_model_name_or_path: folder or Hub id.
            **kwargs: ``revision``, ``token`` and the like; ``min_num_patches``,
                ``max_num_patches``.  What only concerns remote code is ignored.

        Raises:
            LoadError: if config.json and tokenizer disagree about the placeholder.
        """
        source = pretrained_model_name_or_path
        if unknown := sorted(set(kwargs) - {*_HUB_OPTIONS, *_BUDGET, *_IGNORED}):
            raise InputError(f"unknown arguments {', '.join(unknown)}", ", ".join((*_BUDGET, *_HUB_OPTIONS)))
        hub = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
        budget = {k: kwargs[k] for k in _BUDGET if kwargs.get(k) is not None}
        tokenizer = PreTrainedTokenizerFast.from_pretrained(source, padding_side="left", **hub)
        images = Phi4RVImageProcessor.from_pretrained(source, **hub, **budget)
        path = cached_file(source, "config.json", _raise_exceptions_for_missing_entries=False, **hub)
        if path is None:
            return cls(images, tokenizer)
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        config = Phi4RVConfig.from_dict(fields)
        by_name = tokenizer.get_added_vocab().get(PLACEHOLDER, config.image_token_id)
        if "image_token_id" not in fields and by_name != config.image_token_id:
            raise LoadError(
                f"{PLACEHOLDER} is id {by_name} in the tokenizer, but {config.image_token_id} by config.json",
                "the same id",
                f'write "image_token_id": {by_name} into config.json',
            )
        return cls(
            images,
            tokenizer,
            image_token_id=config.image_token_id,
            max_length=config.tokenizer_model_max_length,
        )

    def save_pretrained(self, save_directory: Any) -> list[str]:
        """Write preprocessor_config.json, the tokenizer's files and the template, in the published layout.

        Placeholder and length are the model's: they are in the config.json that it writes.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.chat_template = self.chat_template
        files = [*self.tokenizer.save_pretrained(folder), *self.image_processor.save_pretrained(folder)]
        return [str(file) for file in files]

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        *,
        padding: bool | str = True,
        padding_side: str = "left",
        max_length: int | None = None,
        min_num_patches: int | None = None,
        max_num_patches: int | None = None,
        add_special_tokens: bool = False,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Encode prompts that are written with the chat template already.

        Control tokens and ``<image>`` in ``text`` have their meaning; for text that a user typed
        see `FamilySpec.encode`.

        Args:
            images: per prompt a list of its pictures, ``[[...], ...]``; for one prompt also a
                picture or a flat list.  None, or an empty list, for a prompt without pictures.
            text: prompts, with ``<image>`` where each picture goes.
            padding: True or ``"longest"`` to pad to the longest prompt; False not to pad.
            padding_side: ``"left"`` (what generation needs) or ``"right"``.
            max_length: another limit than the model's for this call, in tokens.
            min_num_patches, max_num_patches: another image budget for this call.
            add_special_tokens: only False: the template writes every token.
            return_tensors: ``"pt"`` or ``"np"``; None for lists.

        Returns:
            ``input_ids`` and ``attention_mask`` ``[batch, tokens]`` with one placeholder per patch
            and, where there are pictures, ``pixel_values``, ``pixel_attention_mask`` and
            ``spatial_shapes`` of all of them, in order.

        Raises:
            InputError: if pictures and ``<image>`` marks differ in number, or the text holds the
                placeholder.
            ContextLengthError: if a prompt is longer than the limit.
        """
        if text is None:
            raise InputError(
                "no text", "a prompt, or a list of prompts", "processor(text=[...], images=[[...]])"
            )
        if add_special_tokens:
            raise InputError("add_special_tokens=True", "False: the chat template writes every token")
        prompts = [text] if isinstance(text, str) else list(text)
        rows = _rows_of_images(images, prompts)
        pictures = [picture for row in rows for picture in row]
        budget = {"min_num_patches": min_num_patches, "max_num_patches": max_num_patches}
        pixels = self.image_processor(pictures, **budget) if pictures else {}
        grids = iter(pixels["spatial_shapes"].tolist() if pictures else [])
        ids = [
            self.prompt_ids(prompt, [tuple(next(grids)) for _ in row], name=f"prompt {at}")
            for at, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        ]
        return self.pad(
            ids,
            pixels=pixels,
            padding=padding,
            padding_side=padding_side,
            max_length=max_length,
            return_tensors=return_tensors,
        )

    def prompt_ids(
        self, text: str, grids: Sequence[tuple[int, int]], *, name: str = "the prompt"
    ) -> list[int]:
        """Token ids of a prompt that is written with the chat template.

        It is split at ``<image>``, and each part is tokenized by itself, as the published processor does.

        Args:
            text: the prompt.
            grids: (rows, cols) of each of its pictures, in order.
            name: what the prompt is called in messages.

        Raises:
            InputError: if marks and grids differ in number, or the text holds the placeholder.
        """
        first, *parts = text.split(IMAGE_MARK)
        if len(parts) != len(grids):
            raise InputError(
                f"{name} has {len(parts)} {IMAGE_MARK} marks and {len(grids)} pictures",
                f"one {IMAGE_MARK} per picture",
                "pass images as one list per prompt",
            )
        placeholder = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
        if placeholder in text:
            raise InputError(
                f"{name} contains {placeholder}, which stands for image patches", "text without it"
            )
        ids = self._text_ids(first)
        for part, (rows, cols) in zip(parts, grids, strict=True):
            ids += [self.image_token_id] * (rows * cols) + self._text_ids(part)
        return ids

    def _text_ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def pad(
        self,
        ids: Sequence[Sequence[int]],
        *,
        pixels: Mapping[str, Any] | None = None,
        padding: bool | str = True,
        padding_side: str = "left",
        max_length: int | None = None,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Batch prompts of token ids (from `prompt_ids`) and the image processor's tensors.

        Raises:
            ContextLengthError: if a prompt is longer than the limit.
            InputError: for another way of padding.
        """
        if padding_side not in ("left", "right") or padding not in (True, False, "longest"):
            raise InputError(
                f"padding={padding!r}, padding_side={padding_side!r}",
                "True, False or 'longest'; 'left' or 'right'",
            )
        self._check_lengths(ids, self.max_length if max_length is None else max_length)
        longest = max(map(len, ids), default=0)
        rows, masks = [], []
        for row in ids:
            fill = longest - len(row) if padding else 0
            pads, zeros, ones = [self.tokenizer.pad_token_id] * fill, [0] * fill, [1] * len(row)
            rows.append([*pads, *row] if padding_side == "left" else [*row, *pads])
            masks.append([*zeros, *ones] if padding_side == "left" else [*ones, *zeros])
        data = {"input_ids": rows, "attention_mask": masks, **(pixels or {})}
        return BatchFeature(data=data, tensor_type=return_tensors)

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a conversation, or a batch of them, with the chat template.

        Args:
            conversation: messages with ``role`` and ``content``: text, in which ``<image>`` marks a
                picture, or a list of ``{"type": "image", "image": ...}`` and
                ``{"type": "text", "text": ...}``.
            chat_template: another Jinja template.
            add_generation_prompt: whether the assistant is to speak next.
            tokenize: give model inputs (all of them with ``return_dict``, else ``input_ids``)
                instead of text.
            processor_kwargs: arguments of `__call__`; they can also be given directly.
            tools: None or empty, as ``transformers serve`` passes it; the template has no place for tools.
            **kwargs: as ``processor_kwargs``.

        Raises:
            InputError: for tools, a system message (the template drops it), or a control token in a
                user's message: in a rendered prompt it could not be told from a real one.
        """
        if tools:
            raise InputError(f"{len(tools)} tools", "none: this model's chat template has no place for them")
        batched = bool(conversation) and not isinstance(conversation[0], Mapping)
        conversations = conversation if batched else [conversation]
        prompts, images = [], []
        for messages in conversations:
            flat = [self._flat_message(message) for message in messages]
            images.append([picture for _, pictures in flat for picture in pictures])
            messages = [message for message, _ in flat]
            prompts.append(
                self._render(messages, add_generation_prompt=add_generation_prompt, template=chat_template)
            )
        if not tokenize:
            return prompts if batched else prompts[0]
        kwargs.pop("load_audio_from_video", None)  # the server of Transformers passes it to every processor
        options = {"images": images, **(processor_kwargs or {}), **kwargs}
        encoded = self(text=prompts, **options)
        return encoded if return_dict else encoded["input_ids"]

    @property
    def model_input_names(self) -> list[str]:
        """What `__call__` gives."""
        return ["input_ids", "attention_mask", *self.image_processor.model_input_names]

    @property
    def control_tokens(self) -> dict[str, int]:
        """Tokens with a meaning beyond their text, and their ids."""
        return dict(self.tokenizer.get_added_vocab())

    def _check_lengths(self, ids: Sequence[Sequence[int]], limit: int) -> None:
        for i, row in enumerate(ids):
            if len(row) > limit:
                patches = sum(token == self.image_token_id for token in row)
                raise ContextLengthError(
                    f"prompt {i} has {len(row)} tokens, {patches} of them image patches",
                    f"at most {limit}",
                    "shorten the text, pass fewer pictures, or lower max_num_patches",
                )

    def _render(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        add_generation_prompt: bool,
        template: str | None = None,
    ) -> str:
        for message in messages:
            if message["role"] not in ("user", "assistant"):
                raise InputError(
                    f"a message of role {message['role']!r}: the model's template has a fixed system prompt "
                    "and drops every other one without a word",
                    "'user' and 'assistant' messages",
                    "put the instructions into the first user message",
                )
        return self.tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=template or self.chat_template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )

    def _flat_message(self, message: Mapping[str, Any]) -> tuple[dict[str, str], list[Any]]:
        """A message with text content, and the pictures that were in it."""
        role, content = message["role"], message["content"]
        if isinstance(content, str):
            self._refuse_control(role, content, self.control_tokens)
            return {"role": role, "content": content}, []
        texts, pictures = [], []
        for part in content:
            if part.get("type") == "image":
                texts.append(f"{IMAGE_MARK}\n")
                pictures += [_sent(part[key]) for key in ("image", "path", "url") if key in part][:1]
            elif part.get("type") == "text":
                self._refuse_control(role, part["text"], [*self.control_tokens, IMAGE_MARK])
                texts.append(part["text"])
            else:
                raise InputError(f"content of type {part.get('type')!r}", "'image' or 'text'")
        return {"role": role, "content": "".join(texts)}, pictures

    def _refuse_control(self, role: str, text: str, tokens: Sequence[str] | Mapping[str, int]) -> None:
        found = [token for token in tokens if token in text] if role == "user" else []
        if found:
            raise InputError(
                f"a user's message with {', '.join(found)} in it",
                "text without control tokens",
                "ask through workbench.load(...), which takes such text as plain characters",
            )


def _sent(picture: Any) -> Any:
    """A picture as a server gets it, ``data:image/png;base64,...``, as its bytes; any other as it is."""
    if not (isinstance(picture, str) and picture.startswith("data:image/")):
        return picture
    try:
        return base64.b64decode(picture.partition("base64,")[2], validate=True)
    except ValueError as error:
        raise InputError(f"a picture as a data URI: {error}", "data:image/...;base64,...") from None


def _rows_of_images(images: Any, prompts: Sequence[str]) -> list[list[Any]]:
    """One list of pictures per prompt."""
    items = list(images) if isinstance(images, (list, tuple)) else [images]
    if all(item is None or isinstance(item, (list, tuple)) for item in items):
        rows = [list(item or ()) for item in items]
        if not any(rows):
            return [[] for _ in prompts]
        if len(rows) != len(prompts):
            raise InputError(
                f"{len(rows)} lists of pictures for {len(prompts)} prompts", "one list per prompt"
            )
        return rows
    if len(prompts) == 1:
        return [items]
    counts = [prompt.count(IMAGE_MARK) for prompt in prompts]
    if sum(counts) != len(items):
        raise InputError(
            f"{len(items)} pictures for {len(prompts)} prompts with {counts} {IMAGE_MARK} marks",
            "one list of pictures per prompt",
        )
    left = iter(items)
    return [[next(left) for _ in range(count)] for count in counts]
