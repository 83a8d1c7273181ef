"""A model family: LLaVA 1.5, whose pictures are one square of tokens after a crop of their middle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from workbench.models import AS_IS, Block, FamilySpec, ModeRule, register_family
from workbench.types import Mode

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}</s>{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)


@dataclass(frozen=True)
class Llava(FamilySpec):
    """The shorter edge is resized to the tower's size, and the middle is cut out."""

    def blocks(
        self, processor: Any, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        edge = processor.image_processor.crop_size["height"]
        side = edge // processor.patch_size
        width, height = size
        shown = min(width, height)
        left, top = (width - shown) / 2, (height - shown) / 2
        return [Block(side, side, (left, top, left + shown, top + shown))]


SPEC = Llava(
    name="llava-1.5",
    model_types=("llava",),
    modes={
        Mode.AUTO: AS_IS,
        Mode.NOTHINK: AS_IS,
        Mode.THINK: ModeRule(refused="LLaVA 1.5 was not trained to think", instead="workbench.load('nano')"),
    },
    coordinates="relative",
)


def register() -> None:
    """Add the family, with the example that the contract tests ask."""
    register_family(SPEC, example=example)


def example() -> tuple[Any, Any]:
    """A small random model of the real class, and its processor."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # no merges: a token for every byte
    backend = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ("<pad>", "<s>", "</s>", "<image>")
    backend.add_special_tokens([AddedToken(text, special=True) for text in special])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")
    images = LlavaImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=True
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=TEMPLATE,
    )
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        text_config={"model_type": "llama", **small, "vocab_size": len(tokenizer)},
        vision_config={"model_type": "siglip_vision_model", **small, "image_size": 32, "patch_size": 8},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, processor
