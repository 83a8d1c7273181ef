"""Tiny random models of the real Transformers classes, saved as folders in the Hub's layout.

`build(name, folder)` writes config, weights, tokenizer, image processor and chat template of one
family; the templates are shortened, but keep the family's own control tokens and shape.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForImageTextToText, BatchFeature, PreTrainedTokenizerFast
from transformers.image_processing_backends import PilBackend
from transformers.image_transforms import resize

from workbench.models import VLM
from workbench.models.build import load_processor
from workbench.models.families import FamilySpec, family_of
from workbench.types import Mode, Turn

CORPUS = [
    "What is in this picture? Read the red value and answer in one word, please.",
    "12345 67890 + - = .",
] * 3
"""What the small vocabularies learn their few merges from."""

FAMILIES: dict[str, Callable[[Path], None]] = {}


def family(name: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register a builder."""

    def register(function: Callable[[Path], None]) -> Callable[[Path], None]:
        FAMILIES[name] = function
        return function

    return register


def build(name: str, folder: str | Path) -> Path:
    """Write the tiny checkpoint of a family and return its folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    {**FAMILIES, **WITHOUT_LAYOUT, **OTHERS}[name](folder)
    return folder


def tokenizer(special: list[str], plain: list[str] = (), **named: Any) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a few merges, the given control tokens and the names of some of them."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    backend.add_tokens([AddedToken(t, special=False, normalized=False) for t in plain])
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **named)


def write(
    folder: Path,
    model: torch.nn.Module,
    tok: Any,
    image_processor: Any,
    processor_class: str,
    template: str,
    **extra: Any,
) -> None:
    """Write all the files of a checkpoint."""
    _wake_zeros(model)
    model.generation_config.eos_token_id = tok.eos_token_id
    model.generation_config.pad_token_id = tok.pad_token_id
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    settings = json.loads(image_processor.to_json_string())
    settings["image_processor_type"] = type(image_processor).__name__.removesuffix("Pil")
    settings["processor_class"] = processor_class
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=1))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": processor_class, **extra}))
    (folder / "chat_template.jinja").write_text(template)


def _wake_zeros(model: torch.nn.Module) -> None:
    """Give every weight that starts at zero (or tiny) a value, so that each part matters to the output."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.3, generator=generator)


@dataclass(frozen=True)
class Case:
    """A family's tiny model, ready to be asked."""

    name: str
    spec: FamilySpec
    processor: Any
    model: Any

    @classmethod
    def open(cls, name: str, folder: Path) -> Case:
        processor = load_processor(folder)
        model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        return cls(name, family_of(model.config, str(folder), processor=processor), processor, model)

    def encode(self, *conversations: list[Turn], mode: Mode = Mode.AUTO) -> Any:
        return self.spec.encode(self.processor, conversations, mode=mode, config=self.model.config)

    def generate(self, inputs: dict[str, torch.Tensor], tokens: int = 3) -> list[list[int]]:
        out = self.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return out[:, inputs["input_ids"].shape[1] :].tolist()


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise, the same for the same seed."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
"""Settings that all the small decoders share."""

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
"""Settings that all the small vision towers share."""


def _token_ids(tok: PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {
        "pad_token_id": tok.pad_token_id,
        "eos_token_id": tok.eos_token_id,
        "bos_token_id": tok.bos_token_id,
    }


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nREPLY{% endif %}"
)
"""ChatML; IMAGE and REPLY are filled in by each family."""

QWEN_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip


def _qwen_tokenizer(*plain: str) -> PreTrainedTokenizerFast:
    return tokenizer(QWEN_TOKENS, list(plain), eos_token="<|im_end|>", pad_token="<|endoftext|>")


def _qwen_ids(tok: PreTrainedTokenizerFast) -> dict[str, int]:
    ids = tok.convert_tokens_to_ids(["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"])
    return dict(
        zip(["image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"], ids)
    )


QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


@family("qwen2.5-vl")
def _qwen2_5_vl(folder: Path) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tok = _qwen_tokenizer()
    config = Qwen2_5_VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tok),
            **_token_ids(tok),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1],
        },
        **_qwen_ids(tok),
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 64})
    template = CHATML.replace("IMAGE", QWEN_IMAGE).replace("REPLY", "")
    write(folder, Qwen2_5_VLForConditionalGeneration(config), tok, images, "Qwen2_5_VLProcessor", template)


def _qwen3_vl(folder: Path, reply: str) -> None:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tok = _qwen_tokenizer("<think>", "</think>")
    config = Qwen3VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tok),
            "head_dim": 8,
            **_token_ids(tok),
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 16, "num_position_embeddings": 256, "deepstack_visual_indexes": [0],
        },
        **_qwen_ids(tok),
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(
        patch_size=16, size={"shortest_edge": 32 * 32 * 4, "longest_edge": 32 * 32 * 64}
    )
    template = CHATML.replace("IMAGE", QWEN_IMAGE).replace("REPLY", reply)
    write(folder, Qwen3VLForConditionalGeneration(config), tok, images, "Qwen3VLProcessor", template)


@family("qwen3-vl")
def _qwen3_vl_instruct(folder: Path) -> None:
    _qwen3_vl(folder, "")


@family("qwen3-vl-thinking")
def _qwen3_vl_thinking(folder: Path) -> None:
    _qwen3_vl(folder, "<think>\n")


@family("qwen3.5")
def _qwen3_5(folder: Path, kinds: list[str] | None = None) -> None:
    """A hybrid decoder: three layers of linear attention, then one whose attention has rows; or ``kinds``."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tok = _qwen_tokenizer("<think>", "</think>")
    config = Qwen3_5Config(
        text_config={
            **TEXT,
            "vocab_size": len(tok),
            "num_hidden_layers": 4,
            "head_dim": 16,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "layer_types": kinds,
            **_token_ids(tok),
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [1, 1, 0], "mrope_interleaved": True,
                "rope_theta": 10000.0, "partial_rotary_factor": 0.25,
            },
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 16, "num_position_embeddings": 256,
        },
        **_qwen_ids(tok),
    )  # fmt: skip
    images = Qwen2VLImageProcessorPil(
        patch_size=16, size={"shortest_edge": 32 * 32 * 4, "longest_edge": 32 * 32 * 64}
    )
    reply = (
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
        "{% else %}<think>\n{% endif %}"
    )
    template = CHATML.replace("IMAGE", QWEN_IMAGE).replace("REPLY", reply)
    write(folder, Qwen3_5ForConditionalGeneration(config), tok, images, "Qwen3VLProcessor", template)


GLM_TOKENS = [
    "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|begin_of_image|>", "<|image|>",
    "<|end_of_image|>", "<|begin_of_video|>", "<|video|>", "<|end_of_video|>",
]  # fmt: skip
GLM_MESSAGE = (
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% endif %}"
)


def _glm(folder: Path, config_class: Any, model_class: Any, template: str, **text: Any) -> None:
    from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

    plain = ["<think>", "</think>", "<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>"]
    tok = tokenizer(GLM_TOKENS, plain, eos_token="<|user|>", pad_token="<|endoftext|>")
    ids = tok.convert_tokens_to_ids
    config = config_class(
        text_config={
            **TEXT,
            "vocab_size": len(tok),
            **_token_ids(tok),
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0,
                "partial_rotary_factor": 1.0,
            },
            **text,
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 14, "image_size": 112,
        },
        image_token_id=ids("<|image|>"),
        video_token_id=ids("<|video|>"),
        image_start_token_id=ids("<|begin_of_image|>"),
        image_end_token_id=ids("<|end_of_image|>"),
        video_start_token_id=ids("<|begin_of_video|>"),
        video_end_token_id=ids("<|end_of_video|>"),
    )  # fmt: skip
    images = Glm4vImageProcessorPil(size={"shortest_edge": 28 * 28 * 8, "longest_edge": 28 * 28 * 128})
    write(folder, model_class(config), tok, images, "Glm4vProcessor", template)


@family("glm-4v")
def _glm4v(folder: Path) -> None:
    """GLM-4.1V-Thinking: nothing in its template tells that it thinks, its vocabulary does."""
    from transformers import Glm4vConfig, Glm4vForConditionalGeneration

    template = (
        "{% for m in messages %}<|{{ m['role'] }}|>\n" + GLM_MESSAGE + "{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    _glm(folder, Glm4vConfig, Glm4vForConditionalGeneration, template)


@family("glm-4.5v")
def _glm4v_moe(folder: Path) -> None:
    """GLM-4.5V: experts, and a switch that writes into the question, too."""
    from transformers import Glm4vMoeConfig, Glm4vMoeForConditionalGeneration

    off = "enable_thinking is defined and not enable_thinking"
    template = (
        "{% for m in messages %}<|{{ m['role'] }}|>\n" + GLM_MESSAGE + "{% if m['role'] == 'user' and " + off
    ) + (
        " %}/nothink{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n"
        "{% if " + off + " %}<think></think>\n{% endif %}{% endif %}"
    )
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    _glm(folder, Glm4vMoeConfig, Glm4vMoeForConditionalGeneration, template, head_dim=8, **experts)


@family("gemma3")
def _gemma3(folder: Path) -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration
    from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

    special = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"]
    special += ["<end_of_image>", "<image_soft_token>"]
    tok = tokenizer(
        special,
        ["\n\n", "<table>"],  # Gemma's vocabulary carries white space and HTML as added tokens
        bos_token="<bos>",
        eos_token="<end_of_turn>",
        pad_token="<pad>",
        extra_special_tokens={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
    )
    config = Gemma3Config(
        text_config={**TEXT, "vocab_size": len(tok), "head_dim": 8, "sliding_window": 64, **_token_ids(tok)},
        vision_config={**VISION, "image_size": 64, "patch_size": 8},
        mm_tokens_per_image=16,
        image_token_index=tok.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=tok.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tok.convert_tokens_to_ids("<end_of_image>"),
    )
    template = (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{% set first = messages[0]['content'][0]['text'] + '\n\n' %}{% set turns = messages[1:] %}"
        "{% else %}{% set first = '' %}{% set turns = messages %}{% endif %}"
        "{% for m in turns %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{{ first if loop.first else '' }}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<start_of_image>{% else %}{{ c['text'] | trim }}{% endif %}{% endfor %}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    images = Gemma3ImageProcessorPil(size={"height": 64, "width": 64}, image_seq_length=16)
    model = Gemma3ForConditionalGeneration(config)
    write(folder, model, tok, images, "Gemma3Processor", template, image_seq_length=16)


@family("gemma4")
def _gemma4(folder: Path, **text: Any) -> None:
    """Layers of two widths, the last of which share the keys of others, and a picture's own shape."""
    from transformers import Gemma4Config, Gemma4ForConditionalGeneration
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    names = {
        "boi_token": "<|image>", "image_token": "<|image|>", "eoi_token": "<image|>",
        "boa_token": "<|audio>", "audio_token": "<|audio|>", "eoa_token": "<audio|>",
    }  # fmt: skip
    special = ["<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>"]
    tok = tokenizer(
        [*special, *names.values(), "<|video|>"],
        bos_token="<bos>",
        eos_token="<turn|>",
        pad_token="<pad>",
        extra_special_tokens=names,
    )
    ids = tok.convert_tokens_to_ids
    config = Gemma4Config(
        text_config={
            **TEXT, "vocab_size": len(tok), "num_hidden_layers": 4, "head_dim": 8, "global_head_dim": 16,
            "layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 64,
            "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": len(tok), **_token_ids(tok), **text,
        },
        vision_config={
            **VISION, "num_key_value_heads": 2, "head_dim": 16, "patch_size": 4, "pooling_kernel_size": 3,
        },
        image_token_id=ids("<|image|>"),
        boi_token_id=ids("<|image>"),
        eoi_token_id=ids("<image|>"),
        video_token_id=ids("<|video|>"),
        audio_token_id=ids("<|audio|>"),
        boa_token_id=ids("<|audio>"),
        eoa_token_index=ids("<audio|>"),
    )  # fmt: skip
    template = (
        "{{ bos_token }}{% set on = enable_thinking is defined and enable_thinking %}"
        "{% set given = messages[0]['role'] == 'system' %}"
        "{% if on or given %}<|turn>system\n{% if on %}<|think|>{% endif %}"
        "{% if given %}{{ messages[0]['content'][0]['text'] | trim }}{% endif %}<turn|>\n{% endif %}"
        "{% for m in messages %}{% if m['role'] != 'system' %}"
        "<|turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{% for c in m['content'] %}{% if c['type'] == 'image' %}\n\n<|image|>\n\n"
        "{% else %}{{ c['text'] | trim }}{% endif %}{% endfor %}<turn|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|turn>model\n"
        "{% if not on %}<|channel>thought\n<channel|>{% endif %}{% endif %}"
    )
    images = Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70, pooling_kernel_size=3)
    write(folder, Gemma4ForConditionalGeneration(config), tok, images, "Gemma4Processor", template)
    settings = {"feature_extractor_type": "Gemma4AudioFeatureExtractor"}
    kept = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({**kept, "feature_extractor": settings}))


IDEFICS_TOKENS = [
    "<|im_start|>", "<end_of_utterance>", "<pad>", "<fake_token_around_image>", "<image>", "<global-img>",
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
]  # fmt: skip
IDEFICS_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}:{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}<image>{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


@family("idefics3")
def _idefics3(folder: Path) -> None:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    _tiles(
        folder,
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        "Idefics3Processor",
    )


@family("smolvlm")
def _smolvlm(folder: Path) -> None:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    _tiles(
        folder, SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil, "SmolVLMProcessor"
    )


def _tiles(
    folder: Path, config_class: Any, model_class: Any, images_class: Any, processor_class: str
) -> None:
    tok = tokenizer(
        IDEFICS_TOKENS, eos_token="<end_of_utterance>", pad_token="<pad>", bos_token="<|im_start|>"
    )
    config = config_class(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tok), **_token_ids(tok)},
        vision_config={**VISION, "image_size": 32, "patch_size": 4},
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        pad_token_id=tok.pad_token_id,
        scale_factor=2,
    )
    images = images_class(size={"longest_edge": 96}, max_image_size={"longest_edge": 32})
    write(folder, model_class(config), tok, images, processor_class, IDEFICS_TEMPLATE, image_seq_len=16)


@family("llava-onevision")
def _llava_onevision(folder: Path) -> None:
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    tok = tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    pinpoints = [[32 * rows, 32 * cols] for rows in range(1, 5) for cols in range(1, 5)]
    config = LlavaOnevisionConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok), **_token_ids(tok)},
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8},
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        video_token_index=tok.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        vision_aspect_ratio="anyres_max_4",
    )
    images = LlavaOnevisionImageProcessorPil(size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints)
    write(
        folder,
        LlavaOnevisionForConditionalGeneration(config),
        tok,
        images,
        "LlavaOnevisionProcessor",
        CHATML.replace("IMAGE", "<image>").replace("REPLY", ""),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_4",
    )


@family("internvl")
def _internvl(folder: Path) -> None:
    from transformers import InternVLConfig, InternVLForConditionalGeneration
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    tok = tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )
    config = InternVLConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok), **_token_ids(tok)},
        vision_config={**VISION, "image_size": [32, 32], "patch_size": [4, 4]},
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
    )
    images = GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=6)
    write(
        folder,
        InternVLForConditionalGeneration(config),
        tok,
        images,
        "InternVLProcessor",
        CHATML.replace("IMAGE", "<IMG_CONTEXT>\n").replace("REPLY", ""),
        image_seq_length=16,
    )


def _llava(folder: Path, plain: list[str], template: str) -> None:
    from transformers import LlavaConfig, LlavaForConditionalGeneration
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    tok = tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"],
        plain,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    config = LlavaConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tok), **_token_ids(tok)},
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8},
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    images = LlavaImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=True
    )
    model = LlavaForConditionalGeneration(config)
    settings = {"patch_size": 8, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 0}
    write(folder, model, tok, images, "LlavaProcessor", template, **settings)


@family("general")
def _general(folder: Path) -> None:
    _llava(folder, [], CHATML.replace("IMAGE", "<image>\n").replace("REPLY", ""))


@family("general-switch")
def _general_switch(folder: Path) -> None:
    reply = (
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    )
    template = CHATML.replace("IMAGE", "<image>\n").replace("REPLY", reply)
    _llava(folder, ["<think>", "</think>"], template)


@family("general-string")
def _general_string(folder: Path) -> None:
    """A template that adds strings, as older ones do."""
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    _llava(folder, [], template)


def _aya_vision(folder: Path) -> None:
    """Tiles of one picture in several pieces, whose places nothing tells."""
    from transformers import AyaVisionConfig, AyaVisionForConditionalGeneration
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    special = ["<pad>", "<eos>", "<image>", "<start>", "<end>", "<patch>", "<line>", "TILE", "TILE_GLOBAL"]
    tok = tokenizer(special, eos_token="<eos>", pad_token="<pad>")
    config = AyaVisionConfig(
        text_config={
            **TEXT, "model_type": "cohere2", "vocab_size": len(tok), "sliding_window": 64, **_token_ids(tok),
        },
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 4},
        image_token_index=tok.convert_tokens_to_ids("<patch>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        downsample_factor=2,
    )  # fmt: skip
    images = GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=6)
    settings = {"patch_size": 4, "img_size": 32, "downsample_factor": 2, "image_token": "<image>"} | {
        "start_of_img_token": "<start>", "end_of_img_token": "<end>", "img_patch_token": "<patch>",
        "img_line_break_token": "<line>", "tile_token": "TILE", "tile_global_token": "TILE_GLOBAL",
    }  # fmt: skip
    template = CHATML.replace("IMAGE", "<image>").replace("REPLY", "").replace("<|im_start|>", "# ")
    template = template.replace("<|im_end|>", "<eos>")
    write(
        folder,
        AyaVisionForConditionalGeneration(config),
        tok,
        images,
        "AyaVisionProcessor",
        template,
        **settings,
    )


def _llava_next(folder: Path) -> None:
    """An overview, tiles, and a token at the end of each row of tiles, in one piece."""
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration
    from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
    tok = tokenizer(special, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    config = LlavaNextConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok), **_token_ids(tok)},
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8},
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
    )
    template = CHATML.replace("IMAGE", "<image>\n").replace("REPLY", "")
    settings = {"patch_size": 8, "vision_feature_select_strategy": "full", "image_token": "<image>"}
    model = LlavaNextForConditionalGeneration(config)
    write(folder, model, tok, images, "LlavaNextProcessor", template, **settings)


def _mistral3(folder: Path) -> None:
    """Pixtral's tower: patches merged two by two, rows that end with a token."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration
    from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

    special = ["<pad>", "</s>", "<s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"]
    tok = tokenizer(special, eos_token="</s>", pad_token="<pad>", bos_token="<s>")
    config = Mistral3Config(
        text_config={
            **TEXT, "model_type": "mistral", "vocab_size": len(tok), "head_dim": 8, **_token_ids(tok),
        },
        vision_config={
            **VISION, "model_type": "pixtral", "image_size": 112, "patch_size": 14, "head_dim": 16,
        },
        image_token_index=tok.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )  # fmt: skip
    images = PixtralImageProcessorPil(
        patch_size={"height": 28, "width": 28}, size={"longest_edge": 112}, do_center_crop=False
    )
    template = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
        "{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %}</s>{% else %}[INST]"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{{ '[IMG]' if c['type'] == 'image' else c['text'] }}{% endfor %}{% endif %}[/INST]{% endif %}"
        "{% endfor %}"
    )
    settings = {"patch_size": 14, "spatial_merge_size": 2, "image_token": "[IMG]"}
    settings |= {"image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
    model = Mistral3ForConditionalGeneration(config)
    write(folder, model, tok, images, "PixtralProcessor", template, **settings)


def _ovis2(folder: Path) -> None:
    """Tiles with tokens of their own between them, and an overview before them."""
    from transformers import Ovis2Config, Ovis2ForConditionalGeneration
    from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil

    marks = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<IMG_ATOM>", *marks]
    tok = tokenizer(special, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = tok.convert_tokens_to_ids
    config = Ovis2Config(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok), **_token_ids(tok)},
        vision_config={
            **VISION, "image_size": 32, "patch_size": 4, "hidden_stride": 2, "vocab_size": 64,
            "num_visual_indicator_tokens": 5,
        },
        image_token_id=ids("<IMG_ATOM>"),
        visual_indicator_token_ids=ids(marks),
        vocab_size=len(tok),
        hidden_size=TEXT["hidden_size"],
    )  # fmt: skip
    images = Ovis2ImageProcessorPil(size={"height": 32, "width": 32}, max_patches=4)
    template = CHATML.replace("IMAGE", "<image>\n").replace("REPLY", "")
    write(
        folder,
        Ovis2ForConditionalGeneration(config),
        tok,
        images,
        "Ovis2Processor",
        template,
        image_seq_length=16,
    )


def _paligemma(folder: Path) -> None:
    """A prompt that looks both ways, and a processor that takes no text without a picture."""
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    special = ["<pad>", "<eos>", "<bos>", "<image>"]
    tok = tokenizer(special, eos_token="<eos>", pad_token="<pad>", bos_token="<bos>")
    config = PaliGemmaConfig(
        text_config={
            **TEXT, "model_type": "gemma", "vocab_size": len(tok) + 1200, "head_dim": 8, **_token_ids(tok),
        },
        vision_config={
            **VISION, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 8,
            "projection_dim": 32,
        },
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        projection_dim=32,
    )  # fmt: skip
    images = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    images.image_seq_length = 16
    template = "{% for m in messages %}{% for p in m['content'] %}"
    template += "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}{% endfor %}"
    write(folder, PaliGemmaForConditionalGeneration(config), tok, images, "PaliGemmaProcessor", template)
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("{", '{"image_seq_length": 16,', 1))


def _llama4(folder: Path) -> None:
    """Experts, attention in chunks, and tiles of one picture that stand in several pieces."""
    from transformers import Llama4Config, Llama4ForConditionalGeneration

    special = ["<|begin_of_text|>", "<|eot|>", "<|pad|>", "<|header_start|>", "<|header_end|>", "<|image|>"]
    special += ["<|image_start|>", "<|image_end|>", "<|patch|>"]
    special += ["<|tile_x_separator|>", "<|tile_y_separator|>"]
    tok = tokenizer(special, bos_token="<|begin_of_text|>", eos_token="<|eot|>", pad_token="<|pad|>")
    config = Llama4Config(
        text_config={
            **TEXT, "vocab_size": len(tok), "num_hidden_layers": 4, "head_dim": 8, **_token_ids(tok),
            "attention_chunk_size": 32, "intermediate_size_mlp": 48, "num_local_experts": 2,
        },
        vision_config={
            **VISION, "intermediate_size": 128, "image_size": 32, "patch_size": 4, "projector_input_dim": 32,
            "projector_output_dim": 32, "vision_output_dim": 32,
        },
        image_token_index=tok.convert_tokens_to_ids("<|patch|>"),
        boi_token_index=tok.convert_tokens_to_ids("<|image_start|>"),
        eoi_token_index=tok.convert_tokens_to_ids("<|image_end|>"),
    )  # fmt: skip
    template = (
        "{{ bos_token }}{% for m in messages %}<|header_start|>{{ m['role'] }}<|header_end|>\n\n"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
        "{{ '<|image|>' if c['type'] == 'image' else c['text'] }}{% endfor %}{% endif %}<|eot|>{% endfor %}"
        "{% if add_generation_prompt %}<|header_start|>assistant<|header_end|>\n\n{% endif %}"
    )
    images = Llama4Tiles(size={"height": 32, "width": 32}, max_patches=4)
    model = Llama4ForConditionalGeneration(config)
    write(folder, model, tok, images, "Llama4Processor", template, patch_size=4)
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("Llama4Tiles", "Llama4ImageProcessor"))


class Llama4Tiles(PilBackend):
    """As Llama 4's image processor, which is there for torchvision alone; every tile is filled."""

    do_resize = do_rescale = do_normalize = do_convert_rgb = True
    resample = Image.Resampling.BILINEAR
    image_mean = image_std = [0.5, 0.5, 0.5]
    size = {"height": 32, "width": 32}
    max_patches = 4

    def _preprocess(self, images: list[np.ndarray], *, return_tensors: str | None, **_: Any) -> BatchFeature:
        edge, tiles, shapes = self.size["height"], [], []
        canvases = [(r, c) for r in (1, 2, 3, 4) for c in (1, 2, 3, 4) if r * c <= self.max_patches]
        for image in images:
            height, width = image.shape[-2:]
            rows, cols = min(canvases, key=lambda one: abs(one[0] * width - one[1] * height))
            shown = resize(image, (rows * edge, cols * edge)).reshape(3, rows, edge, cols, edge)
            tiles += [shown[:, row, :, col] for row in range(rows) for col in range(cols)]
            tiles += [resize(image, (edge, edge))] if rows * cols > 1 else []
            shapes.append([rows, cols])
        pixels = (np.stack(tiles).astype(np.float32) / 255 - 0.5) / 0.5
        return BatchFeature({"pixel_values": pixels, "aspect_ratios": shapes}, tensor_type=return_tensors)


def open_llama4(folder: Path) -> VLM:
    """Llama 4 with the image processor above, where there is no torchvision."""
    from transformers import Llama4Processor

    processor = Llama4Processor(
        image_processor=Llama4Tiles(),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder),
        patch_size=4,
        chat_template=(folder / "chat_template.jinja").read_text(),
    )
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return VLM(model=model, processor=processor, family=family_of(model.config), source=str(folder))


WITHOUT_LAYOUT = {"aya-vision": _aya_vision, "llama4": _llama4}
"""Models of no known family, whose pictures have no grid here."""

OTHERS = {"llava-next": _llava_next, "mistral3": _mistral3, "ovis2": _ovis2, "paligemma": _paligemma}
"""Models of no known family, whose pictures have a grid that is seen or guessed."""
