"""Models other than the built-in one: of any `Architecture`, or with pictures fed by another method.

`workbench.load` opens models of the built-in model's own classes.  A variant may hold the same tensors and
mean something else by them, so its ``config.json`` has a model type of its own; `load_variant` opens it.  S2
adds no weights to the tower: features of the scales are joined by channel, so that only the projector grows
wider (Shi et al. 2024, arXiv 2403.13043).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..errors import CheckpointError, InputError
from ..files import data_path, new_folder
from ..images import open_image
from ..models.build import progress_bar
from ..models.families.phi4_rv import SPEC, Phi4RV
from ..models.layout import Block, place
from ..models.load import load
from ..models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration
from ..models.phi4_rv.image_processing import Phi4RVImageProcessor
from ..models.phi4_rv.modeling import Phi4RVOutput
from ..models.phi4_rv.processing import Phi4RVProcessor
from ..models.vlm import VLM
from ..synth.canvas import PATCH, Canvas
from ..synth.wordings import ASPECTS
from ..train.data import Encoder, Seen, patchify
from ..train.losses import Forward
from ..train.nano import IMAGE_TOKEN, build_nano, nano_config
from ..types import Box, TokenLayout
from .recipe import Architecture, Recipe, part_of
from .resolution import MERGE, SCALES, Feed, View, method_name
from .store import held

if TYPE_CHECKING:
    from transformers import ProcessorMixin

__all__ = [
    "FedEncoder",
    "FedModel",
    "Projector",
    "ResolutionEncoder",
    "Variant",
    "VariantForward",
    "base_folder",
    "build_model",
    "encoder_of",
    "image_mask",
    "joined",
    "load_variant",
    "open_model",
    "patchified",
    "pixel_batch",
    "projector_width",
    "save_model",
    "save_variant",
    "token_layout",
    "variant_of",
    "view_pixels",
]


def view_pixels(picture: Image.Image, view: View, patch: int) -> Image.Image:
    """A view of an RGB picture, resized once from the original (bilinear, by Pillow)."""
    size = (view.cols * patch, view.rows * patch)
    width, height = picture.size
    x1, y1, x2, y2 = view.region
    box = (max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2))
    return picture.resize(size, resample=Image.Resampling.BILINEAR, box=box)


def patchified(pixels: Image.Image, patch: int) -> np.ndarray:
    """Patches float32 ``[rows * cols, patch**2 * 3]`` in -1..1, channels last within a patch."""
    values = np.asarray(pixels, dtype=np.float32) / 127.5 - 1
    rows, cols = values.shape[0] // patch, values.shape[1] // patch
    return values.reshape(rows, patch, cols, patch, 3).transpose(0, 2, 1, 3, 4).reshape(rows * cols, -1)


def pixel_batch(images: Sequence[Any], feeds: Sequence[Feed]) -> dict[str, Any]:
    """Tensors of all views of all pictures, as the tower takes them.

    Args:
        images: anything that `workbench.images.open_image` takes.
        feeds: a plan for each of them.

    Returns:
        ``pixel_values`` float32 ``[views, patches, patch**2 * 3]``, zero padded; ``pixel_attention_mask``
        ``[views, patches]``; ``spatial_shapes`` ``[views, 2]`` as (rows, cols).

    Raises:
        InputError: for a picture that cannot be opened.
    """
    longest = max(view.rows * view.cols for plan in feeds for view in plan.views)
    count, patch = sum(len(plan.views) for plan in feeds), feeds[0].patch
    values = np.zeros((count, longest, 3 * patch**2), dtype=np.float32)
    mask = np.zeros((count, longest), dtype=np.int64)
    shapes = np.zeros((count, 2), dtype=np.int64)
    at = 0
    for given, plan in zip(images, feeds, strict=True):
        picture = open_image(given)
        assert picture.size == plan.size, f"a picture of {picture.size} pixels, planned for {plan.size}"
        for view in plan.views:
            filled = view.rows * view.cols
            values[at, :filled] = patchified(view_pixels(picture, view, patch), patch)
            mask[at, :filled] = 1
            shapes[at] = view.rows, view.cols
            at += 1
    arrays = {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shapes}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def projector_width(method: str, hidden: int) -> int:
    """Width of what the projector reads, for a tower of width ``hidden``."""
    wide = {"dynamic_s2": len(SCALES) * MERGE**2, "multi_crop_s2": len(SCALES)}
    return hidden * wide.get(method_name(method), 1)


def token_layout(ids: Sequence[int], image_id: int, feeds: Sequence[Feed]) -> TokenLayout:
    """Where each part of each picture stands in a prompt with ``feed.tokens`` placeholders a picture."""
    return place(ids, {image_id}, sizes=[plan.size for plan in feeds], blocks=[plan.blocks for plan in feeds])


class ResolutionEncoder(nn.Module):
    """A method's way from the views' pixels to the decoder's tokens.

    Args:
        method: one of `resolution.FEEDINGS`.
        tower: maps pixel_values, pixel_attention_mask and spatial_shapes to an output with
            ``last_hidden_state`` ``[views, patches, hidden]``; shared, not copied.
        hidden: the tower's width.
        width: the decoder's.
    """

    def __init__(self, method: str, tower: nn.Module, *, hidden: int, width: int) -> None:
        super().__init__()
        self.method = method_name(method)
        self.tower = tower
        self.linear_1 = nn.Linear(projector_width(method, hidden), width)
        self.act = nn.GELU(approximate="none")
        self.linear_2 = nn.Linear(width, width)

    def forward(self, feeds: Sequence[Feed], **pixels: torch.Tensor) -> list[torch.Tensor]:
        """Image tokens of each picture, ``[tokens, decoder width]``, in the order of its blocks.

        Args:
            feeds: the plans; all of this encoder's method.
            **pixels: from `pixel_batch` of the same plans.

        Raises:
            InputError: for a plan of another method.
        """
        for plan in feeds:
            if plan.method != self.method:
                raise InputError(
                    f"a picture planned for {plan.method}", f"{self.method}, this encoder's method"
                )
        features = joined(feeds, self.tower(**pixels).last_hidden_state)
        projected = self.linear_2(self.act(self.linear_1(features)))
        return list(projected.split([plan.tokens for plan in feeds]))


def joined(feeds: Sequence[Feed], hidden: torch.Tensor) -> torch.Tensor:
    """What the projector reads, ``[tokens, projector's input]``, picture after picture.

    Args:
        feeds: the plans.
        hidden: the tower's features of all their views ``[views, patches, hidden]``.
    """
    pictures, at = [], 0
    for plan in feeds:
        maps = [
            hidden[at + i, : v.rows * v.cols].unflatten(0, (v.rows, v.cols)) for i, v in enumerate(plan.views)
        ]
        at += len(plan.views)
        pictures.append(_join(plan, maps))
    return torch.cat(pictures)


def _join(plan: Feed, maps: list[torch.Tensor]) -> torch.Tensor:
    """Features of all blocks of a picture ``[tokens, projector's input]``."""
    if plan.method == "dynamic_s2":
        rows, cols = plan.blocks[0].rows * MERGE, plan.blocks[0].cols * MERGE
        features = _scales(plan.views, maps, (rows, cols))
        merged = features.reshape(rows // MERGE, MERGE, cols // MERGE, MERGE, -1).transpose(1, 2)
        return merged.reshape(plan.tokens, -1)
    if plan.method == "multi_crop_s2":
        blocks = []
        for group in range(len(plan.blocks)):
            mine = [i for i, view in enumerate(plan.views) if view.group == group]
            size = (plan.tile, plan.tile)
            blocks.append(_scales([plan.views[i] for i in mine], [maps[i] for i in mine], size).flatten(0, 1))
        return torch.cat(blocks)
    return torch.cat([one.flatten(0, 1) for one in maps])


def _scales(views: Sequence[View], maps: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Each scale's views together, on one grid and joined by channel ``[rows, cols, channels]``."""
    scales = []
    for scale in range(max(view.scale for view in views) + 1):
        lines: dict[int, list[torch.Tensor]] = {}
        for view, features in zip(views, maps, strict=True):
            if view.scale == scale:
                lines.setdefault(view.place[0], []).append(features)
        board = torch.cat([torch.cat(line, dim=1) for line in lines.values()]).permute(2, 0, 1)
        scales.append(_resized(board, size).permute(1, 2, 0))
    return torch.cat(scales, dim=-1)


def _resized(board: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A map ``[channels, rows, cols]`` on another grid: averaged where it shrinks, else bilinear."""
    if board.shape[1:] == size:
        return board
    shrinks = board.shape[1] >= size[0] and board.shape[2] >= size[1]
    how: dict[str, Any] = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    return F.interpolate(board[None], size=size, **how)[0]


class FedModel(nn.Module):
    """A model whose pictures are fed by one of the methods: its own tower and decoder, a projector that fits.

    For dynamic resolution the projector begins as the model's own, so that nothing changes; the other methods
    begin with a fresh one.

    Example:
        >>> fed = FedModel(model, "multi_crop")
        >>> plans = [feed(picture.size, 100, method="multi_crop")]
        >>> fed(input_ids=ids, images=[picture], feeds=plans, labels=labels).loss
    """

    def __init__(self, model: Phi4RVForConditionalGeneration, method: str) -> None:
        super().__init__()
        self.model = model
        config = model.config
        hidden, width = config.vision_config.hidden_size, config.text_config.hidden_size
        own = model.model.multi_modal_projector
        self.encoder = ResolutionEncoder(method, model.model.vision_tower, hidden=hidden, width=width)
        self.encoder.to(own.linear_1.weight.device, own.linear_1.weight.dtype)
        with torch.no_grad():
            self.encoder.linear_2.load_state_dict(own.linear_2.state_dict())
            if self.encoder.linear_1.weight.shape == own.linear_1.weight.shape:
                self.encoder.linear_1.load_state_dict(own.linear_1.state_dict())

    def embed(
        self, input_ids: torch.Tensor, feeds: Sequence[Feed], *, pixels: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """Embeddings ``[batch, tokens, hidden]`` of prompts with their pictures in place.

        Raises:
            InputError: if placeholders and image tokens differ in number.
        """
        embedded = self.model.get_input_embeddings()(input_ids)
        features = torch.cat(self.encoder(feeds, **pixels)).to(embedded.dtype)
        places = self.model.model.get_placeholder_mask(input_ids, embedded, len(features))
        return embedded.masked_scatter(places.unsqueeze(-1), features)

    def forward(
        self,
        input_ids: torch.Tensor,
        feeds: Sequence[Feed],
        *,
        images: Sequence[Any] = (),
        pixels: dict[str, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> Phi4RVOutput:
        """Predict the next tokens.

        Args:
            input_ids: ``[batch, tokens]`` with ``feed.tokens`` placeholders a picture.
            feeds: plans of the pictures of all rows, in order.
            images: the images; or, made before, ``pixels`` from `pixel_batch`.
            **kwargs: of the model, such as ``labels`` and ``attention_mask``.
        """
        if pixels is None:
            device = input_ids.device
            pixels = {name: t.to(device) for name, t in pixel_batch(images, feeds).items()}
        embedded = self.embed(input_ids, feeds, pixels=pixels)
        return self.model(input_ids=input_ids, inputs_embeds=embedded, **kwargs)


MODEL_TYPE = "phi4-siglip-variant"
WEIGHTS = "model.safetensors"
TIED = "lm_head.weight"


class Projector(nn.Module):
    """Linear layers with exact GELU between them; with two, the built-in model's projector.

    Args:
        read: width of the features that it reads.
        width: the decoder's.
        depth: linear layers.
    """

    def __init__(self, read: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for i in range(1, depth + 1):
            setattr(self, f"linear_{i}", nn.Linear(read if i == 1 else width, width))
        self.act = nn.GELU(approximate="none")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map ``[..., read]`` to ``[..., width]``."""
        for i in range(1, self.depth + 1):
            features = getattr(self, f"linear_{i}")(features if i == 1 else self.act(features))
        return features


def image_mask(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    image_token: int | None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Who sees whom ``[batch, 1, tokens, tokens]``: causal, but the patches of one picture see each other.

    Zero where a position (row) sees another, and the lowest number where it does not: added to scores, as
    all kernels take it.  Padding is seen by itself alone, so that no row is empty.

    Args:
        input_ids: ``[batch, tokens]``; pictures are runs of image tokens, with other tokens between them.
        attention_mask: ``[batch, tokens]``, 0 for padding.
        image_token: id of an image token.
        dtype: of the scores.
    """
    image = input_ids == image_token
    begins = image & ~nn.functional.pad(image, (1, -1))
    picture = begins.long().cumsum(-1) * image  # 0 for what is no picture
    together = (picture[:, :, None] == picture[:, None]) & image[:, :, None]
    length = input_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=input_ids.device)
    seen = ((causal | together) & attention_mask.bool()[:, None]) | itself
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[:, None]


class Variant(Phi4RVForConditionalGeneration):
    """A small model of any `Architecture`.

    Pictures come as all views of all of them (`resolution.pixel_batch`) with ``picture_sizes``
    ``[pictures, 2]``, (width, height) in pixels, from which each one's plan follows.
    """

    def __init__(self, config: Phi4RVConfig, architecture: Architecture) -> None:
        super().__init__(config)
        self.architecture = architecture
        read = projector_width(architecture.feeding, config.vision_config.hidden_size)
        width = config.text_config.hidden_size
        self.model.multi_modal_projector = Projector(read, width, architecture.projector_depth)
        for module in self.model.multi_modal_projector.children():
            self._init_weights(module)

    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        pixel_attention_mask: torch.Tensor,
        spatial_shapes: torch.Tensor,
        picture_sizes: torch.Tensor,
    ) -> BaseModelOutputWithPooling:
        """Features of pictures, as the decoder sees them: ``pooler_output`` has ``[tokens, hidden]`` each."""
        plans = [self.architecture.plan((int(w), int(h))) for w, h in picture_sizes.tolist()]
        seen = self.model.vision_tower(
            pixel_values, pixel_attention_mask=pixel_attention_mask, spatial_shapes=spatial_shapes
        ).last_hidden_state
        projected = self.model.multi_modal_projector(joined(plans, seen))
        return BaseModelOutputWithPooling(
            last_hidden_state=seen, pooler_output=torch.split(projected, [plan.tokens for plan in plans])
        )

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_attention_mask: torch.Tensor | None = None,
        spatial_shapes: torch.Tensor | None = None,
        picture_sizes: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Predict the next tokens; arguments as for the built-in model's class, and ``picture_sizes``."""
        if pixel_values is None:
            return super().forward(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        embeds = self.get_input_embeddings()(input_ids)
        found = self.get_image_features(pixel_values, pixel_attention_mask, spatial_shapes, picture_sizes)
        features = torch.cat(found.pooler_output).to(embeds.dtype)
        places = self.model.get_placeholder_mask(input_ids, embeds, len(features))
        embeds = embeds.masked_scatter(places[..., None], features)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if kwargs.get("position_ids") is None:
            kwargs["position_ids"] = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        if self.architecture.image_attention == "bidirectional":
            attention_mask = image_mask(input_ids, attention_mask, self.config.image_token_id, embeds.dtype)
        return super().forward(inputs_embeds=embeds, attention_mask=attention_mask, **kwargs)

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **kwargs: Any) -> dict[str, Any]:
        """One step's inputs: pictures go in once, with their sizes, and then live in the cache."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
        if inputs.get("pixel_values") is None:
            inputs.pop("picture_sizes", None)
        return inputs


class VariantForward(Forward):
    """A training pass of a `Variant`: pictures fed as its architecture says, patches that see each other."""

    def see(self) -> torch.Tensor:
        """Run tower and projector over all views of the batch's pictures."""
        batch = self.batch
        out = self.model.get_image_features(
            batch.pixel_values, batch.pixel_attention_mask, batch.spatial_shapes, picture_sizes=batch.sizes
        )
        return torch.cat(out.pooler_output)

    def decode(self, embeds: torch.Tensor) -> torch.Tensor:
        """Run the decoder; with a bidirectional mask where the architecture says so."""
        if self.model.architecture.image_attention == "causal":
            return super().decode(embeds)
        batch = self.batch
        mask = image_mask(batch.input_ids, batch.attention_mask, self.image_token, embeds.dtype)
        hidden: torch.Tensor = self.model.model.language_model(
            inputs_embeds=embeds, attention_mask=mask, use_cache=False
        )[0]
        return hidden


@dataclass(frozen=True)
class _Family(Phi4RV):
    """The built-in model's family, with pictures fed as an architecture says."""

    architecture: Architecture = Architecture()

    def process(
        self, processor: ProcessorMixin, texts: list[str], pictures: list[list[Image.Image]]
    ) -> Mapping[str, torch.Tensor]:
        plans = [[self.architecture.plan(picture.size) for picture in row] for row in pictures]
        ids = [
            processor.prompt_ids(text, [(plan.tokens, 1) for plan in row])
            for text, row in zip(texts, plans, strict=True)
        ]
        flat = [picture for row in pictures for picture in row]
        pixels: dict[str, Any] = {}
        if flat:
            pixels = pixel_batch(flat, [plan for row in plans for plan in row])
            pixels["picture_sizes"] = torch.tensor([picture.size for picture in flat])
        batch: Mapping[str, torch.Tensor] = processor.pad(ids, pixels=pixels)
        return batch

    def blocks(
        self, processor: ProcessorMixin, size: tuple[int, int], info: Mapping[str, Any], alone: bool
    ) -> list[Block]:
        return list(self.architecture.plan(size).blocks)


def variant_of(config: Phi4RVConfig, architecture: Architecture, *, seed: int) -> Variant:
    """A fresh, seeded model."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Variant(config, architecture)


def save_variant(model: Variant, folder: Path) -> None:
    """Write config and weights into a folder that holds tokenizer and template."""
    fields = model.config.to_dict() | {"model_type": MODEL_TYPE, "architecture": asdict(model.architecture)}
    (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if k != TIED}, folder / WEIGHTS)


def load_variant(folder: Path, *, device: str = "cpu") -> VLM:
    """Open what `save_variant` wrote, ready to be asked.

    Raises:
        CheckpointError: if config and weights do not belong together, or it is no variant.
    """
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if fields.pop("model_type") != MODEL_TYPE:
        raise CheckpointError(f"{folder} without a variant of the small model", "workbench.load(folder)")
    architecture = Architecture(**fields.pop("architecture"))
    model = Variant(Phi4RVConfig.from_dict(fields), architecture)
    found = load_file(folder / WEIGHTS)
    try:
        model.load_state_dict({**found, TIED: found["model.language_model.embed_tokens.weight"]})
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"{folder}: {error}", "the weights of the architecture in its config") from None
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    images = Phi4RVImageProcessor.from_pretrained(folder)
    processor = Phi4RVProcessor(
        images,
        tokenizer,
        image_token_id=model.config.image_token_id,
        max_length=model.config.tokenizer_model_max_length,
    )
    own = {name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__}
    own |= {"name": "phi4-rv-variant", "model_types": (MODEL_TYPE,), "architecture": architecture}
    return VLM(
        model=model.eval().to(device),
        processor=processor,
        family=_Family(**own),
        source=str(folder),
        name=folder.parent.name,
        reload=f"workbench.ablate.Run.load({str(folder.parent)!r}).model()",
    )


#: What every model of a store has beside its weights and config.
SHARED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "preprocessor_config.json",
)  # fmt: skip


def base_folder(root: Path) -> Path:
    """The store's folder with tokenizer and image settings, those of the built-in model."""
    base = root / ".base"
    if not base.exists():
        with held(root / ".base-lock", wait=600):
            if not base.exists():
                with new_folder(base) as new:
                    for name in SHARED:
                        shutil.copyfile(data_path("nano", name), new / name)
    return base


def build_model(
    recipe: Recipe, tokenizer: Tokenizer, *, start: Path | None = None
) -> Phi4RVForConditionalGeneration:
    """The seeded model of a recipe, with the weights that it begins with.

    A trained model may have more layers than the recipe: its lower ones are taken, so ``vision_layer``
    below the trained tower's reads an earlier layer of that tower.

    Args:
        recipe: what to build; of ``start_parts`` it takes the weights.
        tokenizer: of the store.
        start: folder of the weights, from `start_weights`.

    Raises:
        CheckpointError: if the trained weights do not fit.
    """
    shape = recipe.architecture
    sizes = {"width": shape.width, "depth": shape.depth, "tower": shape.vision_layer}
    if shape.standard:
        model = build_nano(tokenizer, seed=recipe.seed, **sizes)
    else:
        model = variant_of(nano_config(tokenizer, **sizes), shape, seed=recipe.seed)
    if start is None:
        return model
    if Tokenizer.from_file(str(start / "tokenizer.json")).to_str() != tokenizer.to_str():
        raise CheckpointError(
            f"{str(start)!r} has another tokenizer than the drawn world's words give now",
            "a model that was trained on the same words",
            "start='fresh', or train that model anew",
        )
    trained = _widened(trained_state(start), model)
    wanted = {k: v for k, v in model.state_dict().items() if part_of(k) in recipe.start_parts}
    wrong = [k for k, v in wanted.items() if k not in trained or trained[k].shape != v.shape]
    if wrong:
        raise CheckpointError(
            f"{str(start)!r} does not fit: {len(wrong)} tensors differ or are missing ({wrong[0]})",
            f"width {shape.width}, at least {shape.depth} decoder and {shape.vision_layer} encoder layers",
            "give architecture the trained model's width, and no more layers than it has; or leave the part "
            "that differs out of start_parts",
        )
    model.load_state_dict({k: trained[k] for k in wanted}, strict=False)
    return model


def _widened(
    trained: dict[str, torch.Tensor], model: Phi4RVForConditionalGeneration
) -> dict[str, torch.Tensor]:
    """A trained projector for S2: its first layer reads the mean of the joined features."""
    name = "model.multi_modal_projector.linear_1.weight"
    wide, own = model.state_dict()[name].shape[1], trained[name].shape[1]
    if wide > own and wide % own == 0:
        trained = {**trained, name: trained[name].repeat(1, wide // own) * (own / wide)}
    return trained


def trained_state(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a trained model, of the built-in model's classes or a variant."""
    return open_model(folder).model.state_dict()


def open_model(folder: Path, *, device: str = "cpu") -> Any:
    """A finished model of any architecture, ready to be asked."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") == MODEL_TYPE:
        return load_variant(folder, device=device)
    return load(str(folder), device=device, dtype="float32", progress=False)


def save_model(model: Phi4RVForConditionalGeneration, architecture: Architecture, folder: Path) -> None:
    """Write a model into a folder that holds tokenizer and template."""
    if architecture.standard:
        with progress_bar(folder.name, 1, show=False):
            model.save_pretrained(folder)
    else:
        assert isinstance(model, Variant), type(model)
        save_variant(model, folder)


def encoder_of(architecture: Architecture, tokenizer: Tokenizer) -> Encoder:
    """What writes drawings as conversations for an architecture."""
    if architecture.standard:
        return Encoder(tokenizer, IMAGE_TOKEN)
    return FedEncoder(tokenizer, architecture)


class FedEncoder(Encoder):
    """Writes drawings as conversations whose pictures are fed as an architecture says.

    A picture that is fed as one view of its own size is the drawing itself, bit for bit.
    """

    def __init__(self, tokenizer: Tokenizer, architecture: Architecture) -> None:
        super().__init__(tokenizer, IMAGE_TOKEN)
        self._architecture = architecture

    def see(self, canvas: Canvas) -> Seen:
        """A drawing's picture, cut into its views; what stands under a token's cell is told of the token."""
        plan = self._architecture.plan((canvas.width, canvas.height))
        picture = canvas.image()
        views = [
            (patchify(np.asarray(view_pixels(picture, view, PATCH))), (view.rows, view.cols))
            for view in plan.views
        ]
        boards = [on_block(canvas, block) for block in plan.blocks]
        content = np.concatenate([board.labels().reshape(-1, len(ASPECTS)) for board in boards])

        def tokens(box: Box) -> list[int]:
            found, at = [], 0
            for board, block in zip(boards, plan.blocks, strict=True):
                found += [at + cell for cell in board.patches(moved(box, block))]
                at += len(block)
            return found

        return Seen(views, content, tokens)


def moved(box: Box, block: Block) -> Box:
    """A box of the picture in the pixels of a block, a token of which is a patch wide and high."""
    x1, y1, x2, y2 = block.region
    across, down = PATCH * block.cols / (x2 - x1), PATCH * block.rows / (y2 - y1)
    return (box[0] - x1) * across, (box[1] - y1) * down, (box[2] - x1) * across, (box[3] - y1) * down


def on_block(canvas: Canvas, block: Block) -> Canvas:
    """The marks of a drawing as they lie on a block's cells; nothing is drawn."""
    board = Canvas(block.cols * PATCH, block.rows * PATCH)
    for mark in canvas.marks:
        board.mark(moved(mark.box, block), **dict(mark.facts))
    return board
