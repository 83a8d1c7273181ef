"""Configuration of Phi-4-reasoning-vision: the flat published config.json, split into its parts.

The published file keeps the decoder's fields at the top level, beside those of the projector and
the image budget, and gives five keys of the vision tower.  In Python the two parts are ordinary
configs of Transformers (``text_config`` a `Phi3Config`, ``vision_config`` a `Siglip2VisionConfig`);
on disk the published layout is kept.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.phi3.configuration_phi3 import Phi3Config
from transformers.models.siglip2.configuration_siglip2 import Siglip2VisionConfig

__all__ = ["OFFICIAL_ARCHITECTURE", "Phi4RVConfig"]

OFFICIAL_ARCHITECTURE = "Phi4ForCausalLMV"
"""Name of the model class in the published files; other servers look it up."""

# The published decoder.  Token ids belong to its vocabulary, and are defaults only beside it.
_TEXT = {
    "vocab_size": 100352,
    "hidden_size": 5120,
    "intermediate_size": 17920,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 10,
    "max_position_embeddings": 32768,
    "original_max_position_embeddings": 32768,
    "rope_theta": 500000,
    "partial_rotary_factor": 1.0,
}
_TEXT_IDS = {"bos_token_id": 100257, "eos_token_id": 100265, "pad_token_id": 100349}
# SigLIP2 so400m NaFlex; Siglip2VisionConfig's own defaults are the base size.
_VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
}
_GENERIC = {f.name: f.default for f in dataclasses.fields(PreTrainedConfig)}
_ROPE_KEYS = ("rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor")
_TEXT_KEYS = {f.name for f in dataclasses.fields(Phi3Config)} - set(_GENERIC)
_VISION_KEYS = {f.name: f.default for f in dataclasses.fields(Siglip2VisionConfig) if f.name not in _GENERIC}
_VISION_KEYS["vision_use_head"] = True  # early 5.x has no such field, but keeps what it is given
# Fields of every config of Transformers that say nothing about this model.
_NOISE = ("id2label", "label2id", "output_attentions", "_name_or_path")
# <|dummy_85|> pads and <|dummy_80|> stands for a patch; the published files do not name the latter.
_PAD_TO_IMAGE_TOKEN = -5


class Phi4RVConfig(PreTrainedConfig):
    """Configuration of `Phi4RVForConditionalGeneration`.

    Takes the flat published fields (``hidden_size=...``, ``rope_theta=...``), or ``text_config``
    and ``vision_config``; what is not given is that of the published 15B model.

    Args:
        text_config: decoder, a `Phi3Config` or its fields.
        vision_config: vision tower, a `Siglip2VisionConfig` or its fields.
        image_token_id: id that stands for one image patch in ``input_ids``.  By default five below
            ``pad_token_id``: in the published vocabulary ``<|dummy_80|>`` and ``<|dummy_85|>``.
        min_num_patches, max_num_patches: image budget, in patches (= image tokens).
        tokenizer_model_max_length: longest prompt in tokens, patches included.
        tie_word_embeddings: whether the output head shares the embedding's weights.

    Example: a small model of the same architecture, for training::

        config = Phi4RVConfig(
            text_config=dict(
                vocab_size=512, hidden_size=128, intermediate_size=384, num_hidden_layers=4,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
                bos_token_id=0, eos_token_id=1, pad_token_id=2,
            ),
            vision_config=dict(
                hidden_size=128, intermediate_size=384, num_hidden_layers=5, num_attention_heads=4,
                patch_size=16, num_patches=64, vision_use_head=False,
            ),
            image_token_id=3, min_num_patches=1, max_num_patches=64, tie_word_embeddings=True,
        )
        model = Phi4RVForConditionalGeneration(config)

    The tower's last layer, its final norm and its pooling head are part of the published files but
    never run: a small model gives the tower one layer more than it uses, and can leave out the
    head with ``vision_use_head=False``.  ``num_patches`` is the tower's grid of learned positions,
    a square number; it is resized to each picture's grid.
    """

    model_type = "phi4-siglip"
    keys_to_ignore_at_inference = ["past_key_values"]
    sub_configs = {"text_config": Phi3Config, "vision_config": Siglip2VisionConfig}

    text_config: Any = None
    vision_config: Any = None
    image_token_id: int | None = None
    min_num_patches: int = 256
    max_num_patches: int = 3600
    tokenizer_model_max_length: int = 8192
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Split the flat fields into the two parts; keep fields of neither as attributes."""
        flat = {key: kwargs.pop(key) for key in (*_TEXT_KEYS, *_ROPE_KEYS) if key in kwargs}
        self.text_config = _text_config(self.text_config, flat, tie=self.tie_word_embeddings)
        self.tie_word_embeddings = self.text_config.tie_word_embeddings
        self.vision_config = _vision_config(self.vision_config)
        if self.image_token_id is None:
            self.image_token_id = _default_image_token(self.text_config.pad_token_id)
        super().__post_init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The flat published layout; what the published file leaves to defaults is left out."""
        own = {
            key: value
            for key, value in super().to_dict().items()
            if key not in self.sub_configs and not (key in _GENERIC and value == _GENERIC[key])
        }
        for noise in _NOISE:
            own.pop(noise, None)
        if own["image_token_id"] == _default_image_token(self.text_config.pad_token_id):
            own.pop("image_token_id")
        text = self.text_config.to_dict()
        rope = dict(text.pop("rope_parameters"))
        flat = {key: text[key] for key in sorted(_TEXT_KEYS) if key in text}
        flat["rope_theta"] = rope.pop("rope_theta")
        flat["partial_rotary_factor"] = rope.pop("partial_rotary_factor", 1.0)
        flat["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
        vision = self.vision_config.to_dict()
        kept = {
            key: vision[key]
            for key, default in _VISION_KEYS.items()
            if key in _VISION or vision.get(key, default) != default
        }
        kept["model_type"] = Siglip2VisionConfig.model_type
        return {**own, **flat, "architectures": [OFFICIAL_ARCHITECTURE], "vision_config": kept}

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Write config.json, without ``auto_map``: it names Python files, which are not written beside it."""
        named = self.__dict__.pop("auto_map", None)
        try:
            super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        finally:
            if named is not None:
                self.auto_map = named

    def to_diff_dict(self) -> dict[str, Any]:
        """What is written to config.json: all of `to_dict`."""
        return self.to_dict()


def _text_config(given: dict | PreTrainedConfig | None, flat: dict[str, Any], *, tie: bool) -> Phi3Config:
    if isinstance(given, PreTrainedConfig):
        fields = {**given.to_dict(), **flat}
    else:
        fields = {**(given or {}), **flat}
        own_heads = "num_attention_heads" in fields
        published_vocabulary = fields.get("vocab_size", _TEXT["vocab_size"]) == _TEXT["vocab_size"]
        ids = _TEXT_IDS if published_vocabulary else dict.fromkeys(_TEXT_IDS)
        fields = {**_TEXT, **ids, **({"num_key_value_heads": None} if own_heads else {}), **fields}
    fields["tie_word_embeddings"] = bool(tie or fields.get("tie_word_embeddings"))
    for name in ("model_type", "transformers_version"):
        fields.pop(name, None)
    return Phi3Config(**fields)


def _vision_config(given: dict | PreTrainedConfig | None) -> Siglip2VisionConfig:
    if isinstance(given, PreTrainedConfig):
        return given
    fields = {**_VISION, **(given or {})}
    return Siglip2VisionConfig(**{name: value for name, value in fields.items() if name != "model_type"})


def _default_image_token(pad_token_id: int | None) -> int | None:
    """The id five below the padding token, or None where there is no such id."""
    if pad_token_id is None or pad_token_id + _PAD_TO_IMAGE_TOKEN < 0:
        return None
    return pad_token_id + _PAD_TO_IMAGE_TOKEN
