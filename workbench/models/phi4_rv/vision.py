"""The SigLIP2 NaFlex tower, as far as Phi-4-reasoning-vision runs it, and the projector behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.siglip2.configuration_siglip2 import Siglip2VisionConfig
from transformers.models.siglip2.modeling_siglip2 import (
    Siglip2Encoder,
    Siglip2MultiheadAttentionPoolingHead,
    Siglip2PreTrainedModel,
    Siglip2VisionEmbeddings,
)
from transformers.utils.output_capturing import capture_outputs

from .configuration import Phi4RVConfig

__all__ = ["Phi4RVProjector", "Phi4RVVisionTower"]


class Phi4RVVisionEmbeddings(Siglip2VisionEmbeddings):
    """Patch and position embeddings; the positions of equal grids are resized once per batch."""

    def forward(self, pixel_values: torch.Tensor, spatial_shapes: torch.Tensor) -> torch.Tensor:
        """Embed patches ``[images, patches, channels * patch**2]``; grids ``[images, 2]`` as (rows, cols)."""
        patches = self.patch_embedding(pixel_values.to(self.patch_embedding.weight.dtype))
        side = self.position_embedding_size
        # Called, not read from its weight: an offloaded weight is fetched by the call.
        grid = self.position_embedding(torch.arange(side**2, device=patches.device)).reshape(side, side, -1)
        shapes, index = torch.unique(spatial_shapes, dim=0, return_inverse=True)
        positions = self.resize_positional_embeddings(grid, shapes, max_length=pixel_values.shape[1])
        return patches + positions[index.to(positions.device)]


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
