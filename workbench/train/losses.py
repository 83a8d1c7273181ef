"""The terms of the training loss: replies, auxiliary labels of image tokens, attention supervision.

Each term takes a `Forward` and gives its loss with what it tells of it, as metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb

from ..synth.canvas import PLACES
from ..synth.wordings import ASPECTS, NAMES, TOLD_BY
from .data import Batch, Encoder

__all__ = [
    "SUPERVISED",
    "AttentionSupervision",
    "AuxiliaryHeads",
    "Forward",
    "Term",
    "reply_loss",
    "token_losses",
]

IGNORE = -100

#: A term's loss, and its metrics by name.
Told = tuple[torch.Tensor, dict[str, float]]


class Forward:
    """One pass of a model over a batch; each part runs when a term first asks for it, and once.

    Args:
        model: a Phi4RVForConditionalGeneration.
        batch: padded conversations.
        image_token: id of the token that stands for a piece of a picture.
    """

    def __init__(self, model: Any, batch: Batch, *, image_token: int) -> None:
        self.model, self.batch, self.image_token = model, batch, image_token

    @cached_property
    def features(self) -> torch.Tensor:
        """Projected features of all image tokens, ``[image tokens, width]``."""
        if not len(self.batch.sizes):
            return self.model.get_input_embeddings().weight[:0]
        return self.see()

    @cached_property
    def hidden(self) -> torch.Tensor:
        """The decoder's last hidden states ``[batch, tokens, width]``."""
        embeds = self.model.get_input_embeddings()(self.batch.input_ids)
        where = (self.batch.input_ids == self.image_token)[..., None].expand_as(embeds)
        return self.decode(embeds.masked_scatter(where, self.features.to(embeds.dtype)))

    def see(self) -> torch.Tensor:
        """Run tower and projector over the batch's pictures, of which there are some."""
        batch = self.batch
        out = self.model.get_image_features(
            batch.pixel_values, batch.pixel_attention_mask, batch.spatial_shapes
        )
        return torch.cat(out.pooler_output)

    def decode(self, embeds: torch.Tensor) -> torch.Tensor:
        """Run the decoder over embeddings ``[batch, tokens, width]``.

        Padding is on the right, where a causal decoder's real positions never look: no mask is needed.
        """
        hidden: torch.Tensor = self.model.model.language_model(inputs_embeds=embeds, use_cache=False)[0]
        return hidden


@dataclass(frozen=True)
class Term:
    """One term of the training loss.

    Args:
        loss: from a `Forward` to the loss and its metrics.
        weight: of it in the sum.
    """

    loss: Callable[[Forward], Told]
    weight: float = 1.0


def token_losses(seen: Forward) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy of each reply token ``[tokens]`` in nats, whether it is most likely ``[tokens]``, and
    where they stand ``[batch, tokens - 1]``."""
    labels = seen.batch.labels[:, 1:]
    keep = labels != IGNORE
    logits = seen.model.lm_head(seen.hidden[:, :-1][keep]).float()
    losses = F.cross_entropy(logits, labels[keep], reduction="none")
    return losses, logits.argmax(-1) == labels[keep], keep


def reply_loss(seen: Forward) -> Told:
    """Cross-entropy of the replies, a weighted mean over their tokens: the term "reply", and "right", the
    share of tokens that are most likely."""
    losses, hits, keep = token_losses(seen)
    weights = seen.batch.weights[:, 1:][keep]
    reply = (losses * weights).sum() / weights.sum()
    right = hits.float().mean().item()
    return reply, {"reply": round(reply.item(), 4), "right": round(right, 4)}


class AuxiliaryHeads(nn.Module):
    """Tells what each patch shows with the decoder's own word embeddings.

    For every aspect of `synth.words.ASPECTS` a patch's projected feature is compared with the embeddings of
    the names that can tell it: as it is for its text, kind and colour, and after a linear map of the
    aspect's own for the rest.  As the classes *are* token embeddings, the decoder can match words of the
    question with patches for all words at once; with classes of their own, it had to learn each word's
    match by itself.

    Where characters are told too, each place on a patch has a map of its own to their tokens.

    Args:
        width: of the features.
        names: token ids of the names.
        characters: token ids of the characters; None where none are told.
        by_label: whether every label counts alike, and the loss is their sum for each patch.  Otherwise every
            aspect counts alike, and the few labels of a rare one can drown the others.
    """

    def __init__(
        self,
        width: int,
        names: torch.Tensor,
        characters: torch.Tensor | None = None,
        *,
        by_label: bool = False,
    ) -> None:
        super().__init__()
        self.by_label = by_label
        self.register_buffer("names", names, persistent=False)
        other = [[name not in TOLD_BY.get(aspect, NAMES) for name in NAMES] for aspect in ASPECTS]
        self.register_buffer("other", torch.tensor(other), persistent=False)
        mapped = [aspect for aspect in ASPECTS if aspect not in TOLD_BY]
        self.maps = nn.ModuleDict({aspect: nn.Linear(width, width, bias=False) for aspect in mapped})
        for linear in self.maps.values():
            nn.init.zeros_(linear.weight)  # a new aspect begins by asking nothing of the encoder
        self.scale = nn.Parameter(torch.full((len(ASPECTS),), 3.0))
        self.register_buffer("characters", characters, persistent=False)
        if characters is not None:
            self.places = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(PLACES))
            for linear in self.places:
                nn.init.zeros_(linear.weight)

    @classmethod
    def of(cls, model: nn.Module, encoder: Encoder, *, seed: int, by_label: bool = False) -> AuxiliaryHeads:
        """Fresh heads for a model, on its device."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            width = model.config.text_config.hidden_size
            heads = cls(width, encoder.name_tokens(), encoder.character_tokens(), by_label=by_label)
        return heads.to(model.device)

    def loss(self, seen: Forward) -> Told:
        """Cross-entropy of what each image token shows: the term "aux", and the accuracy of each aspect."""
        content = seen.batch.content
        told = content[(content != IGNORE).any(-1)]  # of every image token at least its kind
        loss, right = self(seen.features, told, seen.model.get_input_embeddings().weight)
        return loss, {"aux": round(loss.item(), 4), **{f"aux_{k}": round(v, 4) for k, v in right.items()}}

    def forward(
        self, features: torch.Tensor, content: torch.Tensor, embeddings: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Sum of the aspects' cross-entropies, and each one's accuracy.

        Args:
            features: ``[patches, width]``.
            content: indices into the names ``[patches, aspects]``, -100 where nothing is to be told.
            embeddings: the decoder's token embeddings ``[vocabulary, width]``.
        """
        total, right = features.new_zeros(()), {}
        classes = embeddings[self.names]
        for i, aspect in enumerate(ASPECTS):
            keep = content[:, i] != IGNORE
            if not keep.any():
                continue
            seen = self.maps[aspect](features[keep]) if aspect in self.maps else features[keep]
            logits = (F.linear(seen, classes).float() * self.scale[i]).masked_fill(self.other[i], -torch.inf)
            total = total + self._share(keep) * F.cross_entropy(logits, content[keep, i])
            right[aspect] = (logits.argmax(-1) == content[keep, i]).float().mean().item()
        if self.characters is not None:
            total = total + self._spelt(features, content[:, len(ASPECTS) :], embeddings, right)
        return total, right

    def _share(self, keep: torch.Tensor) -> torch.Tensor | float:
        """What the mean over some patches counts in the sum."""
        return keep.float().mean() if self.by_label else 1.0

    def _spelt(
        self, features: torch.Tensor, spelt: torch.Tensor, embeddings: torch.Tensor, right: dict[str, float]
    ) -> torch.Tensor:
        """Sum of the places' cross-entropies; ``right`` gets each one's accuracy."""
        total, classes = features.new_zeros(()), embeddings[self.characters]
        for place, linear in enumerate(self.places):
            keep = spelt[:, place] != IGNORE
            if keep.any():
                logits = F.linear(linear(features[keep]), classes).float() * 3.0
                total = total + self._share(keep) * F.cross_entropy(logits, spelt[keep, place])
                right[f"letter_{place + 1}"] = (logits.argmax(-1) == spelt[keep, place]).float().mean().item()
        return total


#: Kind of look -> (decoder layer, head): where the answer stands, and the same place of the first picture.
SUPERVISED = {0: (2, 0), 1: (1, 3)}


class AttentionSupervision:
    """Teaches chosen heads of a decoder where to look; it listens to their layers while the decoder runs.

    The drawn world knows which patches tell an answer.  One head is taught to put its attention there from
    the tokens of a reply, and one to compare a second picture with the first, place by place.  Without this
    loss small decoders take most of their training to find out where to look (LOG.md); whoever reads the
    built-in model's attention should know that these heads were taught.

    Args:
        decoder: a Phi-3 decoder; layers that it lacks are not supervised.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self._inputs: dict[int, tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]] = {}
        self._layers = decoder.layers
        for layer in {layer for layer, _ in SUPERVISED.values() if layer < len(decoder.layers)}:
            decoder.layers[layer].self_attn.register_forward_pre_hook(self._listener(layer), with_kwargs=True)

    def _listener(self, layer: int) -> Callable[..., None]:
        def listen(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if module.training and torch.is_grad_enabled():
                hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
                self._inputs[layer] = (hidden, kwargs["position_embeddings"])

        return listen

    def loss(self, seen: Forward) -> Told:
        """Mean of -log(attention on the evidence) over the looks of a forward pass, by kind, and that
        attention's mean.

        Attention is taken to be causal: where patches see later ones, a second picture's patch that looks at
        the first picture leaves out of its sum the later patches of its own.
        """
        batch, _ = seen.batch, seen.hidden  # the decoder must have run
        total, shares = batch.weights.new_zeros(()), {}
        for kind, (layer, head) in SUPERVISED.items():
            chosen = batch.looks[:, 0] == kind
            if layer in self._inputs and chosen.any():
                log = self._log_attention(layer, head, batch.looks[chosen, 1:], batch.seen[chosen])
                total = total - log.mean()
                shares[f"look_{kind}"] = round(log.exp().mean().item(), 4)
        self._inputs.clear()
        return total, shares

    def _log_attention(self, layer: int, head: int, places: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Log of one head's attention ``[looks]`` from places (row, position) on what is to be seen."""
        hidden, (cos, sin) = self._inputs[layer]
        attention = self._layers[layer].self_attn
        config, size = attention.config, attention.head_dim
        groups = config.num_attention_heads // config.num_key_value_heads
        weight = attention.qkv_proj.weight
        first = config.num_attention_heads * size + head // groups * size
        query = nn.functional.linear(hidden, weight[head * size : (head + 1) * size])[:, None]
        key = nn.functional.linear(hidden, weight[first : first + size])[:, None]
        query, key = apply_rotary_pos_emb(query, key, cos, sin)
        row, position = places[:, 0], places[:, 1]
        scores = (query[:, 0] @ key[:, 0].mT)[row, position].float() * size**-0.5
        later = torch.arange(scores.shape[1], device=scores.device) > position[:, None]
        scores = scores.masked_fill(later, -torch.inf)
        return scores.masked_fill(~seen, -torch.inf).logsumexp(-1) - scores.logsumexp(-1)
