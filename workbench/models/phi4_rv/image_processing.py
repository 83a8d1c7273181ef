"""Pictures to patches for Phi-4-reasoning-vision: SigLIP2 NaFlex, with a budget that never upscales much.

The rule: the budget is the number of whole patches in the picture, held between ``min_num_patches``
and ``max_num_patches``; the picture is then always resized (bilinear, by Pillow) to the largest grid
of its proportions within the budget.  torchvision's resize differs by up to 0.008 and is not used.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

from ...errors import InputError
from ...images import open_image

__all__ = [
    "OFFICIAL_IMAGE_PROCESSOR",
    "OFFICIAL_PROCESSOR",
    "SETTINGS",
    "Phi4RVImageProcessor",
    "check_settings",
    "patch_grid",
]

OFFICIAL_IMAGE_PROCESSOR = "Siglip2ImageProcessorNoUpscale"
OFFICIAL_PROCESSOR = "Phi4VisionRProcessor"
#: What one call may set otherwise than the processor.
SETTINGS = (
    "min_num_patches",
    "max_num_patches",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "resample",
)
_FIXED = {"do_convert_rgb": True, "do_resize": True}


def patch_grid(
    height: int, width: int, *, patch_size: int = 16, min_num_patches: int = 256, max_num_patches: int = 3600
) -> tuple[int, int]:
    """Rows and columns of patches for a picture of ``height`` by ``width`` pixels.

    Raises:
        InputError: if a side is no positive number of pixels, or the budget is empty.
    """
    if height < 1 or width < 1:
        raise InputError(f"a picture of {width}x{height} pixels", "at least one pixel")
    if not 1 <= min_num_patches <= max_num_patches:
        raise InputError(
            f"min_num_patches={min_num_patches}, max_num_patches={max_num_patches}",
            "1 <= min_num_patches <= max_num_patches",
        )
    whole = max(1, (height // patch_size) * (width // patch_size))
    budget = min(max(whole, min_num_patches), max_num_patches)
    rows, cols = get_image_size_for_max_num_patches(height, width, patch_size, budget)
    return rows // patch_size, cols // patch_size


class Phi4RVImageProcessor(BaseImageProcessor):
    """Turns pictures into patches ``[images, max_num_patches, patch_size**2 * 3]``.

    Args:
        min_num_patches, max_num_patches: budget of patches (= image tokens) per picture.
        patch_size: side of a patch, in pixels.
        resample: Pillow's filter; 2 is bilinear.
        do_rescale, rescale_factor, do_normalize, image_mean, image_std: from 0..255 to the
            tower's range, -1..1.
        **kwargs: further fields of preprocessor_config.json; kept, and written back.
    """

    model_input_names = ["pixel_values", "pixel_attention_mask", "spatial_shapes"]

    def __init__(
        self,
        *,
        min_num_patches: int = 256,
        max_num_patches: int = 3600,
        patch_size: int = 16,
        resample: int = 2,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: Sequence[float] = (0.5, 0.5, 0.5),
        image_std: Sequence[float] = (0.5, 0.5, 0.5),
        **kwargs: Any,
    ) -> None:
        for name, value in _FIXED.items():
            if kwargs.pop(name, value) is not value:
                raise InputError(f"{name}={not value}", f"{name}={value}: the model knows no other pictures")
        kwargs.pop("image_processor_type", None)
        super().__init__(**kwargs)
        self.min_num_patches, self.max_num_patches = min_num_patches, max_num_patches
        self.patch_size, self.resample = patch_size, int(resample)
        self.do_rescale, self.rescale_factor = do_rescale, rescale_factor
        self.do_normalize = do_normalize
        self.image_mean, self.image_std = list(image_mean), list(image_std)

    def grid(
        self,
        height: int,
        width: int,
        *,
        min_num_patches: int | None = None,
        max_num_patches: int | None = None,
    ) -> tuple[int, int]:
        """Rows and columns of patches for a picture of ``height`` by ``width`` pixels.

        A maximum that is given alone lowers the minimum with it.
        """
        low, high = self._budget(min_num_patches, max_num_patches)
        return patch_grid(
            height, width, patch_size=self.patch_size, min_num_patches=low, max_num_patches=high
        )

    def preprocess(
        self,
        images: Any,
        *,
        min_num_patches: int | None = None,
        max_num_patches: int | None = None,
        return_tensors: str | None = None,
        **settings: Any,
    ) -> BatchFeature:
        """Turn one picture or a (nested) list of them into patches.

        Args:
            images: anything that `workbench.images.open_image` takes, or tensors and arrays
                ``[3, height, width]``.
            min_num_patches, max_num_patches: another budget for this call.
            return_tensors: ``"pt"`` or ``"np"``.
            **settings: other values than the processor's own for this call: ``do_rescale``,
                ``rescale_factor``, ``do_normalize``, ``image_mean``, ``image_std``, ``resample``.

        Returns:
            ``pixel_values`` float32 ``[images, max_num_patches, patch_size**2 * 3]``, zero padded;
            ``pixel_attention_mask`` ``[images, max_num_patches]``; ``spatial_shapes``
            ``[images, 2]`` as (rows, cols).

        Raises:
            InputError: if there is no picture, one that cannot be read, or a setting that does not exist.
        """
        if settings := check_settings(settings):
            other = copy.copy(self)
            other.__dict__.update(settings)
            return other.preprocess(
                images,
                min_num_patches=min_num_patches,
                max_num_patches=max_num_patches,
                return_tensors=return_tensors,
            )
        low, high = self._budget(min_num_patches, max_num_patches)
        pictures = [_rgb(image) for image in _flat(images)]
        if not pictures:
            raise InputError("no picture", "one picture or a list of them")
        values = np.zeros((len(pictures), high, 3 * self.patch_size**2), dtype=np.float32)
        mask = np.zeros((len(pictures), high), dtype=np.int64)
        shapes = np.zeros((len(pictures), 2), dtype=np.int64)
        for i, picture in enumerate(pictures):
            rows, cols = self.grid(picture.height, picture.width, min_num_patches=low, max_num_patches=high)
            values[i, : rows * cols] = self._patches(picture, rows, cols)
            mask[i, : rows * cols] = 1
            shapes[i] = rows, cols
        data = {"pixel_values": values, "pixel_attention_mask": mask, "spatial_shapes": shapes}
        return BatchFeature(data=data, tensor_type=return_tensors)

    def __call__(self, images: Any, **kwargs: Any) -> BatchFeature:
        """`preprocess`."""
        return self.preprocess(images, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The published layout of preprocessor_config.json, without ``auto_map``'s Python files."""
        fields = super().to_dict()
        fields.pop("auto_map", None)
        return {
            **fields,
            **_FIXED,
            "image_processor_type": OFFICIAL_IMAGE_PROCESSOR,
            "processor_class": OFFICIAL_PROCESSOR,
        }

    def _budget(self, low: int | None, high: int | None) -> tuple[int, int]:
        top = self.max_num_patches if high is None else high
        return (min(self.min_num_patches, top) if low is None else low), top

    def _patches(self, picture: Image.Image, rows: int, cols: int) -> np.ndarray:
        """Patches ``[rows * cols, patch_size**2 * 3]``, pixels of a patch row by row, channels last."""
        side = self.patch_size
        pixels = np.asarray(picture.resize((cols * side, rows * side), resample=self.resample))
        values = pixels.astype(np.float32)
        if self.do_rescale:
            values *= np.float32(self.rescale_factor)
        if self.do_normalize:
            mean, std = (np.array(v, dtype=np.float32) for v in (self.image_mean, self.image_std))
            values = (values - mean) / std
        return values.reshape(rows, side, cols, side, 3).transpose(0, 2, 1, 3, 4).reshape(rows * cols, -1)


def check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of one call that say something; those that Transformers passes empty say nothing.

    Raises:
        InputError: for one that does not exist, or that the model cannot do without.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    for name, value in _FIXED.items():
        if given.pop(name, value) is not value:
            raise InputError(f"{name}={not value}", f"{name}={value}: the model knows no other pictures")
    if unknown := sorted(set(given) - {*SETTINGS, "return_tensors"}):
        raise InputError(f"unknown arguments {', '.join(unknown)}", ", ".join((*SETTINGS, "return_tensors")))
    return given


def _flat(images: Any) -> list[Any]:
    if isinstance(images, (list, tuple)):
        return [one for image in images for one in _flat(image)]
    return [] if images is None else [images]


def _rgb(image: Any) -> Image.Image:
    """Upright RGB; a picture that is already that is taken as it is, a single pixel included."""
    if isinstance(image, Image.Image):
        if image.mode == "RGB" and image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
    elif hasattr(image, "detach"):  # a torch tensor
        image = image.detach().cpu().numpy()
    if isinstance(image, np.ndarray) and image.ndim == 3:
        channels_first = image.shape[0] in (1, 3, 4) and image.shape[2] not in (1, 3, 4)
        image = image.transpose(1, 2, 0) if channels_first else image
    return open_image(image)
