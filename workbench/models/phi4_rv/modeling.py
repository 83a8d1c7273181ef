"""Phi-4-reasoning-vision in the idiom of Transformers 5: SigLIP2 NaFlex tower, MLP, Phi-3 decoder.

One decoder token per image patch, no merging: token ``i`` of a picture shows row ``i // cols`` and
column ``i % cols`` of its grid ``spatial_shapes = (rows, cols)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import Cache, PreTrainedModel
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)
from transformers.models.phi3.modeling_phi3 import Phi3Model
from transformers.utils.generic import can_return_tuple

from ...errors import CheckpointError, InputError
from .configuration import Phi4RVConfig
from .generation import Phi4RVGenerationMixin
from .names import weight_renamings
from .vision import Phi4RVProjector, Phi4RVVisionTower

__all__ = ["Phi4RVForConditionalGeneration", "Phi4RVModel", "Phi4RVOutput", "Phi4RVPreTrainedModel"]


@dataclass
class Phi4RVModelOutput(BaseModelOutputWithPast):
    """Output of `Phi4RVModel`; ``image_hidden_states`` ``[patches, hidden]``, all pictures' features."""

    image_hidden_states: torch.Tensor | None = None


@dataclass
class Phi4RVOutput(CausalLMOutputWithPast):
    """Output of the model; ``image_hidden_states`` ``[patches, hidden]``, all pictures' features."""

    image_hidden_states: torch.Tensor | None = None


class Phi4RVPreTrainedModel(PreTrainedModel):
    """What the model and its headless body share with Transformers."""

    config: Phi4RVConfig
    config_class = Phi4RVConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["Phi3DecoderLayer", "Siglip2EncoderLayer", "Phi4RVVisionEmbeddings"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True


class Phi4RVModel(Phi4RVPreTrainedModel):
    """Vision tower, projector and decoder, without the output head."""

    def __init__(self, config: Phi4RVConfig) -> None:
        super().__init__(config)
        self.vision_tower = Phi4RVVisionTower(config.vision_config)
        self.multi_modal_projector = Phi4RVProjector(config)
        self.language_model = Phi3Model(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's token embeddings."""
        return self.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's token embeddings."""
        self.language_model.embed_tokens = value

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        pixel_attention_mask: torch.Tensor,
        spatial_shapes: torch.Tensor,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Features of pictures, as the decoder sees them.

        Args:
            pixel_values: ``[images, patches, channels * patch**2]``, padded with zeros.
            pixel_attention_mask: ``[images, patches]``, 1 for patches and 0 for padding.
            spatial_shapes: ``[images, 2]``, rows and columns.

        Returns:
            ``pooler_output``: per picture ``[rows * cols, decoder hidden]``;
            ``last_hidden_state``: the tower's features ``[images, patches, vision hidden]``.

        Raises:
            InputError: if mask and grids disagree.
        """
        if pixel_attention_mask is None or spatial_shapes is None:
            raise InputError(
                "pixel_values alone",
                "pixel_values, pixel_attention_mask and spatial_shapes",
                "pass the processor's output as it is",
            )
        counts = pixel_attention_mask.sum(dim=1)
        if not torch.equal(counts.to(spatial_shapes.device), spatial_shapes.prod(dim=1)):
            raise InputError(
                f"pictures of {spatial_shapes.prod(dim=1).tolist()} patches with masks for {counts.tolist()}",
                "pixel_attention_mask with rows * cols ones per picture",
                "pass the processor's output as it is",
            )
        sizes = counts.tolist()
        # Columns that are padding in every picture carry nothing and cost quadratically.
        longest = max(sizes)
        mask = pixel_attention_mask[:, :longest]
        vision = self.vision_tower(
            pixel_values[:, :longest], pixel_attention_mask=mask, spatial_shapes=spatial_shapes, **kwargs
        )
        features = vision.last_hidden_state[mask.bool().to(vision.last_hidden_state.device)]
        projected = self.multi_modal_projector(features)
        return BaseModelOutputWithPooling(
            last_hidden_state=vision.last_hidden_state,
            pooler_output=torch.split(projected, sizes),
            hidden_states=vision.hidden_states,
            attentions=vision.attentions,
        )

    def get_placeholder_mask(
        self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor, patches: int
    ) -> torch.Tensor:
        """Which positions ``[batch, tokens]`` stand for patches.

        Raises:
            InputError: if they are not as many as there are patches.
        """
        token = self.config.image_token_id
        if token is None:
            raise InputError(
                "pictures for a model without an image token",
                "a config with image_token_id",
                "set config.image_token_id to the id of a reserved token",
            )
        if input_ids is not None:
            mask = input_ids == token
        else:
            embedded = self.get_input_embeddings()(torch.tensor(token, device=inputs_embeds.device))
            mask = (inputs_embeds == embedded.to(inputs_embeds.dtype)).all(-1)
        if (places := int(mask.sum())) != patches:
            raise InputError(
                f"{places} image placeholders (id {token}) in input_ids for {patches} image patches",
                "one placeholder per patch, in the order of the pictures",
                "let the processor build input_ids and pixel_values together",
            )
        return mask

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_attention_mask: torch.Tensor | None = None,
        spatial_shapes: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Phi4RVModelOutput:
        """Run the decoder over text and picture tokens; arguments as in `Phi4RVForConditionalGeneration`."""
        if input_ids is None and inputs_embeds is None:
            raise InputError("neither input_ids nor inputs_embeds", "one of them")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        features = None
        if pixel_values is not None:
            found = self.get_image_features(
                pixel_values, pixel_attention_mask, spatial_shapes, return_dict=True
            )
            features = torch.cat(found.pooler_output).to(inputs_embeds.device, inputs_embeds.dtype)
            places = self.get_placeholder_mask(input_ids, inputs_embeds, len(features))
            inputs_embeds = inputs_embeds.masked_scatter(places.unsqueeze(-1), features)
        if position_ids is None:
            position_ids = _positions(attention_mask, inputs_embeds.shape[1])
        outputs = self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        return Phi4RVModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=features,
        )


def _positions(attention_mask: torch.Tensor | None, length: int) -> torch.Tensor | None:
    """Positions that do not count padding ``[batch, length]``, so that a padded row equals its single run."""
    if attention_mask is None or attention_mask.ndim != 2:
        return None
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]


class Phi4RVForConditionalGeneration(Phi4RVPreTrainedModel, Phi4RVGenerationMixin):
    """Phi-4-reasoning-vision: pictures and text in, text out.

    Example::

        model = Phi4RVForConditionalGeneration.from_pretrained(folder)
        inputs = processor(text=[prompt], images=[[picture]], return_tensors="pt")
        model.generate(**inputs, do_sample=False, max_new_tokens=64)
    """

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: Phi4RVConfig) -> None:
        super().__init__(config)
        self.model = Phi4RVModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's token embeddings."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's token embeddings."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The output head."""
        return self.lm_head

    def get_image_features(self, *args: Any, **kwargs: Any) -> BaseModelOutputWithPooling:
        """Features of pictures, as the decoder sees them; see `Phi4RVModel.get_image_features`."""
        return self.model.get_image_features(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_attention_mask: torch.Tensor | None = None,
        spatial_shapes: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> Phi4RVOutput:
        """Predict the next token at each position.

        Args:
            input_ids: ``[batch, tokens]`` with one placeholder (``config.image_token_id``) per patch.
            pixel_values: ``[images, patches, channels * patch**2]``; the pictures of all rows, in
                the order of their placeholders.
            pixel_attention_mask: ``[images, patches]``, 1 for patches and 0 for padding.
            spatial_shapes: ``[images, 2]``, rows and columns.
            attention_mask: ``[batch, tokens]``, 0 for padding.
            position_ids: ``[batch, tokens]``; by default they do not count padding.
            past_key_values: keys and values of earlier positions.
            inputs_embeds: ``[batch, tokens, hidden]`` instead of, or beside, ``input_ids`` (which
                then only say where the placeholders are).
            labels: ``[batch, tokens]``, -100 where nothing is to be learned; shifted here.
            use_cache: whether to return keys and values.
            logits_to_keep: how many last positions get logits (0: all), or which (a 1-D tensor).

        Returns:
            ``logits`` ``[batch, kept tokens, vocabulary]``, and ``loss`` where labels are given.

        Raises:
            InputError: if placeholders and patches differ in number.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            pixel_attention_mask=pixel_attention_mask,
            spatial_shapes=spatial_shapes,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep, :])
        loss = None
        if labels is not None:
            vocab_size = self.config.text_config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocab_size, **kwargs)
        return Phi4RVOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a folder or Hub repository in the published layout; arguments as in Transformers.

        Raises:
            CheckpointError: if a tensor is missing, unknown, of another shape or truncated.
        """
        from .checkpoint import fetch_checkpoint, verify_checkpoint

        if kwargs.get("state_dict") is None:
            folder = fetch_checkpoint(pretrained_model_name_or_path, kwargs)
            verify_checkpoint(folder, config=kwargs.get("config"))
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs.setdefault("use_safetensors", True)
        model, info = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        _refuse_partial(info, pretrained_model_name_or_path)
        return (model, info) if wants_info else model


def _refuse_partial(info: dict[str, Any], source: Any) -> None:
    """The headers agreed; this catches a library that nevertheless left a parameter at random."""
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if found := sorted(map(str, info.get(kind) or ())):
            raise CheckpointError(
                f"loading {source} left {kind.replace('_', ' ')}: {', '.join(found[:5])}",
                "every tensor of the architecture and no other",
                "report this with the versions of torch and transformers",
            )


register_checkpoint_conversion_mapping(Phi4RVConfig.model_type, weight_renamings(), overwrite=True)
