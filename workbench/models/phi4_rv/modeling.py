"""Phi-4-reasoning-vision in the idiom of Transformers 5: SigLIP2 NaFlex tower, MLP, Phi-3 decoder.

One decoder token per image patch, no merging: token ``i`` of an image shows row ``i // cols`` and column
``i % cols`` of its grid ``spatial_shapes = (rows, cols)``.

One table of tensor names, the published checkpoint's and the module tree's, serves loading, saving (both
through Transformers' weight conversions) and the check of a checkpoint by its headers, before a byte of
weights is read: a tower left at random by a wrong name gives a model that runs and sees nothing, so every
tensor must be there, in its shape, and no other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    Cache,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedConfig,
    PreTrainedModel,
    SuppressTokensLogitsProcessor,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming
from transformers.generation.candidate_generator import CandidateGenerator, PromptLookupCandidateGenerator
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)
from transformers.models.phi3.modeling_phi3 import Phi3Model
from transformers.models.siglip2.configuration_siglip2 import Siglip2VisionConfig
from transformers.models.siglip2.modeling_siglip2 import (
    Siglip2Encoder,
    Siglip2MultiheadAttentionPoolingHead,
    Siglip2PreTrainedModel,
    Siglip2VisionEmbeddings,
)
from transformers.utils import cached_file
from transformers.utils.generic import can_return_tuple
from transformers.utils.import_utils import torch_compilable_check
from transformers.utils.output_capturing import capture_outputs

from ...errors import CheckpointError, InputError, LoadError
from ..sources import INDEX, SINGLE, TensorInfo, folder_headers, read_config, read_header, shard_files
from .configuration import Phi4RVConfig

__all__ = [
    "CheckpointReport",
    "Phi4RVForConditionalGeneration",
    "Phi4RVGenerationMixin",
    "Phi4RVModel",
    "Phi4RVOutput",
    "Phi4RVPreTrainedModel",
    "Phi4RVProjector",
    "Phi4RVVisionTower",
    "expected_tensors",
    "fetch_checkpoint",
    "images_of_rows",
    "native_name",
    "round_rotary",
    "official_name",
    "verify_checkpoint",
    "weight_renamings",
]


class Phi4RVVisionEmbeddings(Siglip2VisionEmbeddings):
    """Patch and position embeddings; the positions of equal grids are resized once per batch."""

    def forward(self, pixel_values: torch.Tensor, spatial_shapes: torch.Tensor) -> torch.Tensor:
        """Embed patches ``[images, patches, channels * patch**2]``; grids ``[images, 2]`` as (rows, cols)."""
        patches = self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype))
        side = self.position_embedding_size
        # Called, not read from its weight: an offloaded weight is fetched by the call.
        grid = self.position_embedding(torch.arange(side**2, device=patches.device)).reshape(side, side, -1)
        if torch.compiler.is_compiling():
            return patches + resized_positions(grid, spatial_shapes.to(grid.device), pixel_values.shape[1])
        shapes, index = torch.unique(spatial_shapes, dim=0, return_inverse=True)
        positions = self.resize_positional_embeddings(grid, shapes, max_length=pixel_values.shape[1])
        return patches + positions[index.to(positions.device)]


def resized_positions(grid: torch.Tensor, shapes: torch.Tensor, patches: int) -> torch.Tensor:
    """Position embeddings resized to each picture's grid, without reading a size from the data.

    The same as ``F.interpolate`` (bilinear, antialiased), whose weights are written out here: a patch's
    row and column each have a triangle of weights over the rows and columns of the learned grid.

    Args:
        grid: ``[side, side, hidden]``.
        shapes: ``[images, 2]``, rows and columns.
        patches: the longest picture's number of patches.

    Returns:
        ``[images, patches, hidden]``, zeros behind a picture's last patch.
    """
    rows, cols = shapes[:, :1], shapes[:, 1:]
    at = torch.arange(patches, device=grid.device)
    down, across = _triangles(at // cols, rows, len(grid)), _triangles(at % cols, cols, len(grid))
    return torch.einsum("nps,npt,sth->nph", down, across, grid.float()).to(grid.dtype)


def _triangles(places: torch.Tensor, sizes: torch.Tensor, side: int) -> torch.Tensor:
    """Weights ``[images, patches, side]`` of places ``[images, patches]`` on lines of ``[images, 1]``.

    None are given to a place behind the end of its line.
    """
    scale = side / sizes
    centres = (places + 0.5) * scale
    distance = torch.arange(side, device=places.device) + 0.5 - centres[..., None]
    weights = (1 - distance.abs() / scale.clamp(min=1)[..., None]).clamp(min=0)
    weights = weights * (places < sizes)[..., None]
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)


class Phi4RVVisionTower(Siglip2PreTrainedModel):
    """The SigLIP2 tower up to its last layer's *input*, which is what the projector reads.

    The last layer, the final norm and the pooling head are kept as modules, because the published
    checkpoint holds them, and are never run.
    """

    config: Siglip2VisionConfig
    base_model_prefix = "vision_tower"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _input_embed_layer = "patch_embedding"
    # The library's tower lacks these only because of its pooling head.
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: Siglip2VisionConfig) -> None:
        super().__init__(config)
        self.embeddings = Phi4RVVisionEmbeddings(config)
        self.encoder = Siglip2Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if getattr(config, "vision_use_head", True):
            self.head = Siglip2MultiheadAttentionPoolingHead(config)
        self.post_init()

    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        pixel_values: torch.Tensor,
        pixel_attention_mask: torch.Tensor,
        spatial_shapes: torch.Tensor,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode patches.

        Args:
            pixel_values: ``[images, patches, channels * patch**2]``, padded with zeros.
            pixel_attention_mask: ``[images, patches]``, 1 for patches and 0 for padding.
            spatial_shapes: ``[images, 2]``, rows and columns.

        Returns:
            ``last_hidden_state`` ``[images, patches, hidden]``, the input of the tower's last layer.
        """
        hidden = self.embeddings(pixel_values, spatial_shapes)
        mask = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden, attention_mask=pixel_attention_mask
        )
        for layer in self.encoder.layers[:-1]:
            hidden = layer(hidden, mask, **kwargs)
        return BaseModelOutput(last_hidden_state=hidden)


class Phi4RVProjector(nn.Module):
    """Two linear layers with the *exact* GELU between them (the tanh form moves the logits by 1e-3)."""

    def __init__(self, config: Phi4RVConfig) -> None:
        super().__init__()
        size = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.vision_config.hidden_size, size)
        self.act = nn.GELU(approximate="none")
        self.linear_2 = nn.Linear(size, size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map vision features ``[..., vision hidden]`` to ``[..., decoder hidden]``."""
        return self.linear_2(self.act(self.linear_1(features)))


IMAGE_INPUTS = ("pixel_values", "pixel_attention_mask", "spatial_shapes")


class Phi4RVGenerationMixin(GenerationMixin):
    """Generation in which the first dimension of the picture tensors counts pictures, not rows."""

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, *, inputs_embeds: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """One step's inputs: a picture goes in with its placeholders, and then lives in the cache.

        ``inputs_embeds`` stands in the signature because ``generate`` looks for its name there.
        """
        inputs = super().prepare_inputs_for_generation(input_ids, inputs_embeds=inputs_embeds, **kwargs)
        if inputs.get("pixel_values") is None:
            return inputs
        if not kwargs.get("is_first_iteration", False) and kwargs.get("use_cache", True):
            return {name: value for name, value in inputs.items() if name not in IMAGE_INPUTS}
        if (step_ids := inputs.get("input_ids")) is not None and step_ids.shape[1] < input_ids.shape[1]:
            # A prompt that continues a cache: the pictures of its cached part are not read again.
            rows = images_of_rows(input_ids, inputs["spatial_shapes"], self.config.image_token_id)
            sizes = inputs["spatial_shapes"].prod(dim=1).tolist()
            places = (step_ids == self.config.image_token_id).sum(dim=1).tolist()
            keep = [i for row, left in zip(rows, places, strict=True) for i in _last_of(row, sizes, left)]
            for name in IMAGE_INPUTS:
                inputs[name] = inputs[name][keep] if keep else None
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Repeat rows (for beams, or several replies), each with all its pictures."""
        pictures = {name: kwargs.pop(name) for name in IMAGE_INPUTS if kwargs.get(name) is not None}
        expanded, kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        if pictures and expand_size > 1:
            rows = images_of_rows(input_ids, pictures["spatial_shapes"], self.config.image_token_id)
            index = [i for row in rows for _ in range(expand_size) for i in row]
            pictures = {name: tensor[index] for name, tensor in pictures.items()}
        return expanded, {**kwargs, **pictures}

    def _get_candidate_generator(self, *args: Any, **kwargs: Any) -> CandidateGenerator:
        """What is looked up in the prompt is text: a copied placeholder would be a patch of no picture."""
        found = super()._get_candidate_generator(*args, **kwargs)
        if isinstance(found, PromptLookupCandidateGenerator) and self.config.image_token_id is not None:
            refused = SuppressTokensLogitsProcessor([self.config.image_token_id])
            found.logits_processor = LogitsProcessorList([*(found.logits_processor or ()), refused])
        return found


def images_of_rows(
    input_ids: torch.Tensor, spatial_shapes: torch.Tensor, image_token_id: int | None
) -> list[list[int]]:
    """Which pictures belong to which row of a batch, by the number of placeholders.

    Raises:
        InputError: if a row's placeholders are not those of whole pictures.
    """
    places = (input_ids == image_token_id).sum(dim=1).tolist()
    sizes = spatial_shapes.prod(dim=1).tolist()
    rows: list[list[int]] = []
    at = 0
    for left in places:
        rows.append([])
        while left > 0 and at < len(sizes):
            rows[-1].append(at)
            left -= sizes[at]
            at += 1
        if left:
            break
    if len(rows) < len(places) or left or at < len(sizes):
        raise InputError(
            f"rows with {places} image placeholders for pictures of {sizes} patches",
            "each row with the placeholders of its own pictures",
            "let the processor build input_ids and pixel_values together",
        )
    return rows


def _last_of(row: list[int], sizes: list[int], patches: int) -> list[int]:
    """The last pictures of a row that have so many patches together."""
    kept: list[int] = []
    while patches > 0 and len(kept) < len(row):
        kept.insert(0, row[-1 - len(kept)])
        patches -= sizes[kept[0]]
    if patches:
        raise InputError(
            "a cache that ends inside a picture",
            "a cache that holds whole pictures",
            "start without the cache",
        )
    return kept


# published prefix -> prefix in the native module tree; no prefix is the start of another
_PREFIXES = {
    "model.vision_tower.vision_tower.vision_model.": "model.vision_tower.",
    "model.mm_projector.0.": "model.multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "model.multi_modal_projector.linear_2.",
    "model.embed_tokens.": "model.language_model.embed_tokens.",
    "model.layers.": "model.language_model.layers.",
    "model.norm.": "model.language_model.norm.",
}


def native_name(name: str) -> str:
    """Name in the native module tree of a published (or already native) tensor name."""
    for official, native in _PREFIXES.items():
        if name.startswith(official):
            return native + name.removeprefix(official)
    return name


def official_name(name: str) -> str:
    """Published name of a tensor of the native module tree."""
    for official, native in _PREFIXES.items():
        if name.startswith(native):
            return official + name.removeprefix(native)
    return name


def weight_renamings() -> list[WeightRenaming]:
    """The same table for Transformers, which applies it on loading and undoes it on saving."""
    return [
        WeightRenaming("^" + official.replace(".", r"\."), "^" + native.replace(".", r"\."))
        for official, native in _PREFIXES.items()
    ]


@dataclass
class Phi4RVModelOutput(BaseModelOutputWithPast):
    """Output of `Phi4RVModel`; ``image_hidden_states`` ``[patches, hidden]``, all pictures' features."""

    image_hidden_states: torch.Tensor | None = None


@dataclass
class Phi4RVOutput(CausalLMOutputWithPast):
    """Output of the model; ``image_hidden_states`` ``[patches, hidden]``, all pictures' features.

    A compiled or exported model leaves them out.
    """

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
        mask = self._places(input_ids, inputs_embeds)
        if (places := int(mask.sum())) != patches:
            raise InputError(
                f"{places} image placeholders (id {self.config.image_token_id}) in input_ids for {patches} "
                "image patches",
                "one placeholder per patch, in the order of the pictures",
                "let the processor build input_ids and pixel_values together",
            )
        return mask

    def _places(self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """Positions ``[batch, tokens]`` that hold the placeholder."""
        token = self.config.image_token_id
        if token is None:
            raise InputError(
                "pictures for a model without an image token",
                "a config with image_token_id",
                "set config.image_token_id to the id of a reserved token",
            )
        if input_ids is not None:
            return input_ids == token
        embedded = self.get_input_embeddings()(torch.tensor(token, device=inputs_embeds.device))
        return (inputs_embeds == embedded.to(inputs_embeds.dtype)).all(-1)

    def _with_pictures(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor,
        pixel_values: torch.Tensor,
        pixel_attention_mask: torch.Tensor,
        spatial_shapes: torch.Tensor,
    ) -> torch.Tensor:
        """Embeddings with the pictures' features in their places, for ``torch.compile`` and ``torch.export``.

        No number of patches is read from the data, so that one graph serves pictures of any shape; padding
        is encoded with them, and the checks are part of the graph.
        """
        seen = pixel_attention_mask.bool()
        areas = spatial_shapes.prod(dim=1).to(seen.device)
        torch_compilable_check(seen.sum(dim=1) == areas, "masks and grids disagree")
        vision = self.vision_tower(
            pixel_values, pixel_attention_mask=pixel_attention_mask, spatial_shapes=spatial_shapes
        )
        features = self.multi_modal_projector(vision.last_hidden_state).flatten(0, 1)
        places = self._places(input_ids, inputs_embeds)
        torch_compilable_check(places.sum() == seen.sum(), "placeholders and patches differ in number")
        patches_first = torch.argsort((~seen).flatten().int(), stable=True)
        number = (places.flatten().cumsum(dim=0) - 1).clamp(min=0, max=len(patches_first) - 1)
        taken = features[patches_first[number]].view_as(inputs_embeds).to(inputs_embeds.dtype)
        return torch.where(places.unsqueeze(-1), taken, inputs_embeds)

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
        if pixel_values is not None and torch.compiler.is_compiling():
            inputs_embeds = self._with_pictures(
                input_ids, inputs_embeds, pixel_values, pixel_attention_mask, spatial_shapes
            )
        elif pixel_values is not None:
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
    _tp_plan = {"lm_head": "colwise_gather_output"}

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


_DTYPES = ("F64", "F32", "F16", "BF16")
_HUB_OPTIONS = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "subfolder",
    "token",
)


@dataclass(frozen=True)
class CheckpointReport:
    """What a checked checkpoint holds: its files, number of tensors and parameters, bytes, dtypes."""

    files: tuple[str, ...]
    tensors: int
    parameters: int
    nbytes: int
    dtypes: tuple[str, ...]


def expected_tensors(config: Phi4RVConfig) -> dict[str, tuple[int, ...]]:
    """Published name -> shape of every tensor that a checkpoint of this config must hold."""
    with torch.device("meta"):
        model = Phi4RVForConditionalGeneration(config)
    shapes = {official_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        shapes.pop("lm_head.weight")
    return shapes


def verify_checkpoint(folder: str | Path, *, config: Any = None) -> CheckpointReport:
    """Compare a folder's safetensors headers with the architecture that its config.json describes.

    Reads headers only (kilobytes), so it takes no longer for 30 GB than for the built-in model.

    Args:
        folder: a folder in the published layout: config.json, and model.safetensors or shards
            with their index.
        config: the config to compare with instead of the folder's.

    Raises:
        LoadError: if there is no readable config.json, or it is of another model type.
        CheckpointError: if weights are missing or only there as pickle, a file is truncated, or a
            tensor is missing, unknown, there twice, of another shape or of no floating type.
            The message names the tensor and the file.
    """
    folder = Path(folder)
    fields = read_config(folder)
    if not isinstance(config, PreTrainedConfig):
        if fields["model_type"] != Phi4RVConfig.model_type:
            raise LoadError(
                f"{folder} holds a model of type {fields['model_type']!r}",
                repr(Phi4RVConfig.model_type),
                "load it with workbench.load, which knows the other families",
            )
        config = Phi4RVConfig.from_pretrained(folder)
    found = _tensors(folder)
    if "quantization_config" not in fields:  # packed weights have other names and shapes
        _compare(folder, found, expected_tensors(config))
    return CheckpointReport(
        files=tuple(dict.fromkeys(info.file for info in found.values())),
        tensors=len(found),
        parameters=sum(info.numel for info in found.values()),
        nbytes=sum(info.nbytes for info in found.values()),
        dtypes=tuple(sorted({info.dtype for info in found.values()})),
    )


def _tensors(folder: Path) -> dict[str, TensorInfo]:
    """All tensors by native name."""
    files = shard_files(folder)
    if not files:
        raise CheckpointError(
            f"no weights in {folder}",
            f"{SINGLE}, or the shards that {INDEX} names",
            "download the folder again",
        )
    folder_headers(folder)  # holds the index to what its shards contain
    found: dict[str, TensorInfo] = {}
    for path in files:
        for name, info in read_header(path).items():
            if (other := found.get(native_name(name))) is not None:
                raise CheckpointError(
                    f"tensor {name} is in {other.file} and in {info.file}", "each tensor once"
                )
            found[native_name(name)] = info
    return found


def _compare(folder: Path, found: dict[str, TensorInfo], expected: dict[str, tuple[int, ...]]) -> None:
    files = sorted({info.file for info in found.values()})
    where = f"{folder}/{files[0]}" if len(files) == 1 else f"the {len(files)} shards in {folder}"
    shapes = {native_name(name): (name, shape) for name, shape in expected.items()}
    fix = "download the checkpoint again, or correct its config.json"
    if missing := [name for key, (name, _) in shapes.items() if key not in found]:
        raise CheckpointError(f"{_some(missing)} missing from {where}", f"{len(expected)} tensors", fix)
    for key, info in found.items():
        name = official_name(key)
        at = f"tensor {name} in {folder / info.file}"
        if key not in shapes:
            raise CheckpointError(
                f"unknown {at}", f"only the {len(expected)} tensors of the architecture", fix
            )
        if info.shape != shapes[key][1]:
            raise CheckpointError(f"{at} has shape {list(info.shape)}", f"{list(shapes[key][1])}", fix)
        if info.dtype not in _DTYPES:
            raise CheckpointError(f"{at} is of type {info.dtype}", f"one of {', '.join(_DTYPES)}", fix)


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(names[:limit])}{more}"


def fetch_checkpoint(source: Any, options: dict[str, Any]) -> Path:
    """The local folder of a source: itself, or where the Hub's files are kept after downloading.

    Args:
        source: folder or Hub id.
        options: arguments of ``from_pretrained``; those about the Hub are used.

    Raises:
        LoadError: if there is no such folder or repository, or no config.json in it.
    """
    subfolder = options.get("subfolder") or ""
    if Path(str(source)).is_dir():
        return Path(str(source)) / subfolder
    hub = {key: options[key] for key in _HUB_OPTIONS if options.get(key) is not None}

    def fetch(name: str) -> Path | None:
        try:
            path = cached_file(source, name, _raise_exceptions_for_missing_entries=False, **hub)
        except OSError as error:
            raise LoadError(
                f"{source} cannot be read: {str(error).strip().splitlines()[0]}",
                "a folder that exists, or a Hub id 'owner/name' that can be reached",
                "check the spelling and the connection",
            ) from error
        return None if path is None else Path(path)

    config = fetch("config.json")
    if config is None:
        raise LoadError(f"{source} holds no config.json", "a model in the layout of Transformers")
    index = fetch(INDEX)
    for name in [SINGLE] if index is None else _shard_names(index):
        fetch(name)
    return config.parent


def _shard_names(index: Path) -> list[str]:
    """Shards to download; `verify_checkpoint` looks at the index itself."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted(name for name in names if isinstance(name, str) and Path(name).name == name)


def round_rotary(model: nn.Module) -> nn.Module:
    """Round the decoder's rotary frequencies to the weights' precision, as the published code does.

    The published code ends its loading with ``model.to(dtype)``, which rounds ``inv_freq`` too; the port and
    vLLM keep it in float32, which is more exact at far positions and not the same in bfloat16.  This is for
    those who replicate published replies to the bit; float32 models stay as they are.

    Args:
        model: a `Phi4RVForConditionalGeneration` or `Phi4RVModel`, changed in place.

    Returns:
        The model.

    Example:
        >>> round_rotary(vlm.model)  # doctest: +SKIP
    """
    dtype = next(model.parameters()).dtype
    for module in model.modules():
        for name in ("inv_freq", "original_inv_freq"):
            buffer = getattr(module, name, None)
            if isinstance(buffer, torch.Tensor):
                buffer.copy_(buffer.to(dtype))
    return model
