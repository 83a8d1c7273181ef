"""Prompts and pictures to model inputs for Phi-4-reasoning-vision.

It takes prompts that are already written with the chat template, as the published processor does:
control tokens and ``<image>`` in them have their meaning.  What a user typed is kept apart from them
by the one encoder of conversations, `FamilySpec.encode`, which stands before it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers import PreTrainedTokenizerFast, ProcessorMixin
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import cached_file
from transformers.utils.chat_template_utils import render_jinja_template

from ...errors import ContextLengthError, InputError, LoadError
from .configuration import Phi4RVConfig
from .image_processing import SETTINGS, Phi4RVImageProcessor, check_settings

__all__ = ["IMAGE_MARK", "PLACEHOLDER", "Phi4RVProcessor"]


IMAGE_MARK = "<image>"
"""Where a picture goes in a prompt. Not a token: prompts are split at it."""

PLACEHOLDER = "<|dummy_80|>"
"""The token that stands for one patch: reserved in the published vocabulary, and unused."""

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
_COMPONENTS = ("tokenizer", "image_processor")
_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_WAYS_TO_PAD = (True, False, "longest", "max_length", "do_not_pad")
_PADDING = (
    "padding",
    "padding_side",
    "pad_to_multiple_of",
    "max_length",
    "return_attention_mask",
    "return_mm_token_type_ids",
    "return_tensors",
)
#: Groups in which Transformers' processors take their options.
_GROUPS = ("common_kwargs", "text_kwargs", "images_kwargs", "videos_kwargs", "audio_kwargs")
#: How a template shows that it wants contents in parts.
_READS_PARTS = re.compile(r"""\[['"]type['"]\]|\.type\b|content(['"]\])?\[0\]""")
_NOT_CUT = "False: a prompt that is cut may lose its pictures; a longer one than max_length is an error"
_NOT_GIVEN = "False: this model's prompts have nothing of the kind"
#: Options of Transformers' processors that must ask for nothing -> what is expected.
_NEUTRAL = {
    "truncation": _NOT_CUT,
    "add_special_tokens": "False: the chat template writes every token",
    "videos": "no videos: this model sees pictures",
    "audio": "no audio: this model sees pictures",
    "return_token_type_ids": _NOT_GIVEN,
    "return_special_tokens_mask": _NOT_GIVEN,
    "return_overflowing_tokens": _NOT_CUT,
    "return_offsets_mapping": _NOT_GIVEN,
    "return_length": _NOT_GIVEN,
    "return_text_replacement_offsets": _NOT_GIVEN,
    "load_audio_from_video": "no audio: this model sees pictures",
    "verbose": "False",
}
# What the Auto classes and pipelines pass on, and has no bearing here.
_IGNORED = (
    "trust_remote_code",
    "code_revision",
    "config",
    "backend",
    "use_fast",
    "dtype",
    "torch_dtype",
    "device",
    "device_map",
    "attn_implementation",
    "use_safetensors",
    "low_cpu_mem_usage",
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
            **kwargs: ``revision``, ``token`` and the like; other settings than the folder's for the
                image processor (``max_num_patches``, ...) and other special tokens (``pad_token``, ...); a
                ``tokenizer`` or ``image_processor`` in place of the folder's.  What only concerns a model
                or remote code is ignored.

        Raises:
            LoadError: if config.json and tokenizer disagree about the placeholder.
        """
        source = pretrained_model_name_or_path
        tokens = {name: value for name, value in kwargs.items() if name in _TOKENS and value is not None}
        taken = {*_HUB_OPTIONS, *SETTINGS, *_TOKENS, *_COMPONENTS, *_IGNORED}
        if unknown := sorted(name for name in kwargs if name not in taken and not name.startswith("_")):
            raise InputError(f"unknown arguments {', '.join(unknown)}", ", ".join((*SETTINGS, *_HUB_OPTIONS)))
        hub = {key: kwargs[key] for key in _HUB_OPTIONS if kwargs.get(key) is not None}
        settings = {name: kwargs[name] for name in SETTINGS if kwargs.get(name) is not None}
        tokenizer = kwargs.get("tokenizer") or PreTrainedTokenizerFast.from_pretrained(
            source, padding_side="left", **hub, **tokens
        )
        images = kwargs.get("image_processor") or Phi4RVImageProcessor.from_pretrained(
            source, **hub, **settings
        )
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

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write preprocessor_config.json, the tokenizer's files and the template, in the published layout.

        Placeholder and length are the model's: they are in the config.json that it writes.

        Args:
            save_directory: the folder.
            push_to_hub: only False: upload the folder with ``huggingface_hub``.
            **kwargs: what the Auto classes pass on; it has no bearing here.

        Raises:
            InputError: for ``push_to_hub=True``.
        """
        if push_to_hub:
            raise InputError(
                "push_to_hub=True", "False", "upload the folder: HfApi().upload_folder of huggingface_hub"
            )
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.chat_template = self.chat_template
        files = [*self.tokenizer.save_pretrained(folder), *self.image_processor.save_pretrained(folder)]
        return [str(file) for file in files]

    def __call__(
        self, *inputs: Any, images: Any = None, text: str | Sequence[str] | None = None, **options: Any
    ) -> BatchFeature:
        """Encode prompts that are written with the chat template already.

        Control tokens and ``<image>`` in ``text`` have their meaning; for text that a user typed
        see `FamilySpec.encode`.

        Args:
            *inputs: text and images by place, in either order: the published processor's is (text,
                images), that of Transformers (images, text).
            images: per prompt a list of its pictures, ``[[...], ...]``; for one prompt also a
                picture or a flat list.  None, or an empty list, for a prompt without pictures.
            text: prompts, with ``<image>`` where each picture goes; None for pictures alone.
            **options: those of `pad` (``return_tensors``, ``padding``, ``max_length``, ...) and those of
                `Phi4RVImageProcessor.preprocess` (``max_num_patches``, ...), also in the groups of
                Transformers' processors: ``text_kwargs``, ``images_kwargs``, ``common_kwargs``.  Its other
                options are taken as long as they ask for nothing, such as ``truncation=False``.

        Returns:
            ``input_ids`` and ``attention_mask`` ``[batch, tokens]`` with one placeholder per patch
            and, where there are pictures, ``pixel_values``, ``pixel_attention_mask`` and
            ``spatial_shapes`` of all of them, in order.

        Raises:
            InputError: if pictures and ``<image>`` marks differ in number, the text holds the
                placeholder, or an option asks for what this model does not have.
            ContextLengthError: if a prompt is longer than the limit: nothing is cut off.
        """
        images, text = _by_place(inputs, images, text)
        given = _flat_options(options)
        padding = {name: given.pop(name) for name in _PADDING if name in given}
        if text is None:
            if images is None:
                raise InputError(
                    "no text and no pictures",
                    "a prompt, or a list of prompts, with their pictures",
                    "processor(text=[...], images=[[...]])",
                )
            return self.image_processor(images, return_tensors=padding.get("return_tensors"), **given)
        check_settings(given)
        prompts = [text] if isinstance(text, str) else list(text)
        rows = _rows_of_images(images, prompts)
        pictures = [picture for row in rows for picture in row]
        pixels = self.image_processor(pictures, **given) if pictures else {}
        grids = iter(pixels["spatial_shapes"].tolist() if pictures else [])
        ids = [
            self.prompt_ids(prompt, [tuple(next(grids)) for _ in row], name=f"prompt {at}")
            for at, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        ]
        return self.pad(ids, pixels=pixels, **{"return_tensors": None, **padding})

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
        pad_to_multiple_of: int | None = None,
        max_length: int | None = None,
        return_attention_mask: bool = True,
        return_mm_token_type_ids: bool = False,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Batch prompts of token ids (from `prompt_ids`) and the image processor's tensors.

        Args:
            ids: of each prompt.
            pixels: what the image processor gave for their pictures.
            padding: True or ``"longest"`` to pad to the longest prompt, ``"max_length"`` to that; False or
                ``"do_not_pad"`` not to pad.
            padding_side: ``"left"`` (what generation needs) or ``"right"``.
            pad_to_multiple_of: pad on to a multiple of so many tokens.
            max_length: another limit than the model's for this call, in tokens.
            return_attention_mask: whether to give ``attention_mask``.
            return_mm_token_type_ids: whether to give ``mm_token_type_ids``: 1 at placeholders, else 0.
            return_tensors: ``"pt"`` or ``"np"``; None for lists.

        Raises:
            ContextLengthError: if a prompt is longer than the limit.
            InputError: for another way of padding.
        """
        if padding_side not in ("left", "right") or padding not in _WAYS_TO_PAD:
            raise InputError(
                f"padding={padding!r}, padding_side={padding_side!r}",
                f"one of {', '.join(map(repr, _WAYS_TO_PAD))}; 'left' or 'right'",
            )
        limit = self.max_length if max_length is None else max_length
        self._check_lengths(ids, limit)
        whole = limit if padding == "max_length" else max(map(len, ids), default=0)
        whole = -(-whole // (pad_to_multiple_of or 1)) * (pad_to_multiple_of or 1)
        fills = [whole - len(row) if padding not in (False, "do_not_pad") else 0 for row in ids]

        def batched(rows: Sequence[Sequence[int]], pad: int) -> list[list[int]]:
            pads = [[pad] * fill for fill in fills]
            left = padding_side == "left"
            return [[*p, *row] if left else [*row, *p] for p, row in zip(pads, rows, strict=True)]

        data: dict[str, Any] = {"input_ids": batched(ids, self.tokenizer.pad_token_id)}
        if return_attention_mask:
            data["attention_mask"] = batched([[1] * len(row) for row in ids], 0)
        if return_mm_token_type_ids:
            kinds = [[int(token == self.image_token_id) for token in row] for row in ids]
            data["mm_token_type_ids"] = batched(kinds, 0)
        return BatchFeature(data={**data, **(pixels or {})}, tensor_type=return_tensors)

    def apply_chat_template(
        self,
        conversation: Sequence[Any],
        chat_template: str | None = None,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = False,
        return_assistant_tokens_mask: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a conversation, or a batch of them, with the chat template.

        Args:
            conversation: messages with ``role`` and ``content``: text, in which ``<image>`` marks a
                picture, or a list of ``{"type": "image", "image": ...}`` (or "image_url", as servers take
                it) and ``{"type": "text", "text": ...}``.
            chat_template: another Jinja template; it gets contents as texts, or in parts where it reads
                ``type`` or the first one, with ``image_token`` to write where a picture goes.
            add_generation_prompt: whether the assistant is to speak next.
            continue_final_message: whether the last message goes on: its end is left open.
            tokenize: give model inputs (all of them with ``return_dict``, else ``input_ids``)
                instead of text.
            return_assistant_tokens_mask: also give ``assistant_masks``, 1 at the tokens that the template
                writes between ``{% generation %}`` and ``{% endgeneration %}``.
            processor_kwargs: options of `__call__`; they can also be given directly.
            tools: None or empty, as ``transformers serve`` passes it; the template has no place for tools.
            **kwargs: options of `__call__`, and variables of the template.

        Raises:
            InputError: for tools, a system message (the template drops it), a control token in a
                user's message (in a rendered prompt it could not be told from a real one), a last message
                both continued and answered, or a mask that the template cannot tell.
        """
        if tools:
            raise InputError(f"{len(tools)} tools", "none: this model's chat template has no place for them")
        template = chat_template or self.chat_template
        masked = return_assistant_tokens_mask
        if masked and not ("{% generation" in template or "{%- generation" in template):
            raise InputError(
                "return_assistant_tokens_mask=True with a template that marks no reply",
                "a template that writes replies between {% generation %} and {% endgeneration %}",
                "pass such a chat_template, or mask the loss by the prompt's length",
            )
        batched = bool(conversation) and not isinstance(conversation[0], Mapping)
        flat = [
            [self._flat_message(message) for message in messages]
            for messages in (conversation if batched else [conversation])
        ]
        ours = {*_PADDING, *_GROUPS, *_NEUTRAL, *SETTINGS}
        options = {name: value for name, value in kwargs.items() if name in ours}
        rendered, spans = self._render(
            [[message for message, _ in messages] for messages in flat],
            parts=bool(_READS_PARTS.search(template)),
            chat_template=template,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            return_assistant_tokens_mask=masked,
            **{name: value for name, value in kwargs.items() if name not in ours},
        )
        if not tokenize:
            return rendered if batched else rendered[0]
        images = [[picture for _, pictures in messages for picture in pictures] for messages in flat]
        options = {"images": images, **options, **(processor_kwargs or {})}
        encoded = self(text=rendered, **options)
        if masked:
            rows = [np.asarray(row).tolist() for row in encoded["input_ids"]]
            masks = [self._mask(*one) for one in zip(rendered, spans, rows, strict=True)]
            made = BatchFeature({"assistant_masks": masks}, tensor_type=options.get("return_tensors"))
            encoded.update(made)
        return encoded if return_dict else encoded["input_ids"]

    def _render(
        self,
        conversations: Sequence[Sequence[Mapping[str, str]]],
        *,
        parts: bool,
        add_generation_prompt: bool,
        continue_final_message: bool,
        **options: Any,
    ) -> tuple[list[str], list[list[tuple[int, int]]]]:
        """The prompts, and which characters of each the template marks as a reply."""
        for message in (message for messages in conversations for message in messages):
            if message["role"] not in ("user", "assistant"):
                raise InputError(
                    f"a message of role {message['role']!r}: the model's template has a fixed system prompt "
                    "and drops every other one without a word",
                    "'user' and 'assistant' messages",
                    "put the instructions into the first user message",
                )
        if add_generation_prompt and continue_final_message:
            raise InputError(
                "add_generation_prompt=True with continue_final_message=True",
                "one of the two: the next message begins, or the last one goes on",
            )
        return render_jinja_template(
            [
                [_in_parts(message) if parts else dict(message) for message in messages]
                for messages in conversations
            ],
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            **{**self.tokenizer.special_tokens_map, "image_token": IMAGE_MARK, **options},
        )

    def _mask(self, text: str, marked: Sequence[tuple[int, int]], row: Sequence[int]) -> list[int]:
        """1 at the tokens ``row`` of a prompt that hold marked characters; padding and placeholders are 0."""
        pads = next((n for n, token in enumerate(row) if token != self.tokenizer.pad_token_id), 0)
        flags, at = [0] * pads, 0
        for part in text.split(IMAGE_MARK):
            spans = self.tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
            for first, stop in spans["offset_mapping"] if part else ():
                flags.append(int(any(at + first < end and begin < at + stop for begin, end in marked)))
            at += len(part) + len(IMAGE_MARK)
            while len(flags) < len(row) and row[len(flags)] == self.image_token_id:
                flags.append(0)
        return flags + [0] * (len(row) - len(flags))

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

    def _flat_message(self, message: Mapping[str, Any]) -> tuple[dict[str, str], list[Any]]:
        """A message with text content, and the pictures that were in it."""
        role, content = message["role"], message["content"]
        if isinstance(content, str):
            self._refuse_control(role, content, self.control_tokens)
            return {"role": role, "content": content}, []
        texts, pictures = [], []
        for part in content:
            if part.get("type") in ("image", "image_url"):
                texts.append(f"{IMAGE_MARK}\n")
                sent = [part[key] for key in ("image", "image_url", "path", "url") if key in part][:1]
                pictures += [_sent(one["url"] if isinstance(one, Mapping) else one) for one in sent]
            elif part.get("type") == "text":
                self._refuse_control(role, part["text"], [*self.control_tokens, IMAGE_MARK])
                texts.append(part["text"])
            else:
                raise InputError(f"content of type {part.get('type')!r}", "'image', 'image_url' or 'text'")
        return {"role": role, "content": "".join(texts)}, pictures

    def _refuse_control(self, role: str, text: str, tokens: Sequence[str] | Mapping[str, int]) -> None:
        found = [token for token in tokens if token in text] if role == "user" else []
        if found:
            raise InputError(
                f"a user's message with {', '.join(found)} in it",
                "text without control tokens",
                "ask through workbench.load(...), which takes such text as plain characters",
            )


def _in_parts(message: Mapping[str, str]) -> dict[str, Any]:
    """A message whose text is given in parts: a picture for each mark, and the texts between them."""
    first, *rest = message["content"].split(f"{IMAGE_MARK}\n")
    parts: list[dict[str, str]] = [{"type": "text", "text": first}] if first else []
    for text in rest:
        parts += [{"type": "image"}, *([{"type": "text", "text": text}] if text else [])]
    return {**message, "content": parts}


def _by_place(
    inputs: Sequence[Any], images: Any, text: str | Sequence[str] | None
) -> tuple[Any, str | Sequence[str] | None]:
    """Images and text, those given by place told apart by what they are."""
    for given in inputs:
        prompts = [given] if isinstance(given, str) else given
        written = isinstance(prompts, (list, tuple)) and bool(prompts)
        if written and all(isinstance(one, str) and not _names_picture(one) for one in prompts):
            if text is not None:
                raise InputError("text given twice", "one text= and one images=")
            text = given
        elif given is not None:
            if images is not None:
                raise InputError("images given twice", "one text= and one images=")
            images = given
    return images, text


def _names_picture(text: str) -> bool:
    """Whether a text is a picture's path or address rather than a prompt."""
    return text.startswith(("data:image/", "http://", "https://")) or (
        "\n" not in text and Path(text).suffix.lower() in Image.registered_extensions()
    )


def _flat_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options out of their groups, without those that ask for nothing.

    Raises:
        InputError: for an option that is given twice, or asks for what this model does not have.
    """
    flat: dict[str, Any] = {name: value for name, value in options.items() if name not in _GROUPS}
    for group in _GROUPS:
        for name, value in (options.get(group) or {}).items():
            if name in flat and group != "common_kwargs":
                raise InputError(f"{name}={flat[name]!r} and {name}={value!r} in {group}", "one of them")
            flat.setdefault(name, value)
    for name in _NEUTRAL:
        value = flat.pop(name, None)
        if value not in (None, False, "do_not_truncate") and not (isinstance(value, list) and not value):
            raise InputError(f"{name}={value!r}", f"{_NEUTRAL[name]}")
    return {name: value for name, value in flat.items() if value is not None}


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
