"""The architecture of a recipe: what is built, how pictures are fed to it, and what cannot go together"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import InputError
from .fields import closest
from .parts import number
from .resolution.feeding import Feed, default_tile, feed, least_tokens, method_name

__all__ = ["FUSIONS", "IMAGE_ATTENTION", "STANDARD_TOKENS", "Architecture"]

#: Most image tokens of the built-in model, and fewest patches of a picture that keeps its own size.
STANDARD_TOKENS, FEWEST = 128, 16

FUSIONS = ("mid", "early")
IMAGE_ATTENTION = ("causal", "bidirectional")


@dataclass(frozen=True)
class Architecture:
    """The small model's shape.  Only what acts stands here; a new choice is a new field.

    Args:
        width: hidden size of tower and decoder, a multiple of 8.
        depth: layers of the decoder.
        vision_layer: encoder layer whose output the projector reads; layers above it do not exist.
        freeze_encoder: the tower rests in the stages in which otherwise all parts learn.
        fusion: as the report uses the words (arXiv 2603.03975).  "mid": a tower of its own, whose features
            are projected into the decoder's embedding space.  "early": one transformer for patches and words,
            as in Fuyu and Chameleon (arXiv 2405.09818): patches are embedded, projected, and that is all;
            ``vision_layer`` is 0.
        projector_depth: linear layers of the projector, with GELU between them.
        image_attention: "causal" as for words, or "bidirectional": patches of one picture see each other in
            the decoder too (as in PaliGemma, arXiv 2407.07726, there with the question).
        feeding: how a large picture is cut and read; one of `resolution.METHODS`.
        token_budget: most image tokens of a picture.
        tile: side of the square that the tower reads, in patches; None where the budget decides, and for
            dynamic resolution, which has no squares.

    Raises:
        InputError: for an impossible field, or two that contradict each other, each by its name.
    """

    width: int = 160
    depth: int = 4
    vision_layer: int = 4
    freeze_encoder: bool = False
    fusion: str = "mid"
    projector_depth: int = 2
    image_attention: str = "causal"
    feeding: str = "dynamic_resolution"
    token_budget: int = STANDARD_TOKENS
    tile: int | None = None

    def __post_init__(self) -> None:
        limits = {"width": (1, 4096), "depth": (1, 64), "vision_layer": (0, 64)}
        limits |= {"projector_depth": (1, 8), "token_budget": (1, 4096)}
        for name, (low, high) in limits.items():
            number(getattr(self, name), f"architecture.{name}", low, high, whole=True)
        if self.width % 8:
            raise InputError(f"architecture.width={self.width}", "a multiple of 8: four heads of even size")
        if not isinstance(self.freeze_encoder, bool):
            raise InputError(f"architecture.freeze_encoder={self.freeze_encoder!r}", "true or false")
        for name, known in (("fusion", FUSIONS), ("image_attention", IMAGE_ATTENTION)):
            value = getattr(self, name)
            if value not in known:
                told = closest(str(value), [*known])
                raise InputError(f"architecture.{name}={value!r}", f"one of {', '.join(known)}", told)
        object.__setattr__(self, "feeding", method_name(self.feeding))
        self._agree()

    def _agree(self) -> None:
        """Refuse fields that contradict each other."""
        if self.fusion == "early" and self.vision_layer:
            raise InputError(
                f"architecture.fusion='early' with vision_layer={self.vision_layer}",
                "vision_layer=0: one transformer reads patches and words, no tower comes before it",
                "give depth the layers that the tower would have had",
            )
        if self.fusion == "mid" and not self.vision_layer:
            raise InputError(
                "architecture.vision_layer=0 with fusion='mid'", "at least 1 layer, or fusion='early'"
            )
        if self.fusion == "early" and self.freeze_encoder:
            raise InputError(
                "architecture.freeze_encoder with fusion='early'", "a tower that can rest, fusion='mid'"
            )
        if self.feeding == "dynamic_resolution":
            if self.tile is not None:
                raise InputError(
                    f"architecture.tile={self.tile} with feeding='dynamic_resolution'",
                    "no tile: it cuts no squares",
                )
            least = least_tokens(self.feeding, 0)
        else:
            tile = default_tile(self.token_budget) if self.tile is None else self.tile
            number(tile, "architecture.tile", 2, 64, whole=True)
            if tile % 2:
                raise InputError(f"architecture.tile={tile}", "an even number of patches")
            least = least_tokens(self.feeding, tile)
        if self.token_budget < least:
            raise InputError(
                f"architecture.token_budget={self.token_budget} with feeding={self.feeding!r}",
                f"at least {least} tokens",
                "raise token_budget" if self.tile is None else "raise token_budget, or give a smaller tile",
            )

    @property
    def standard(self) -> bool:
        """Whether the model is of the built-in model's own classes, which ``workbench.load`` opens."""
        return all(getattr(self, f.name) == f.default for f in fields(self) if f.name in _OWN_CLASSES)

    def plan(self, size: tuple[int, int]) -> Feed:
        """How a picture of some (width, height) is fed; small ones keep their size in dynamic resolution."""
        least = FEWEST if self.feeding == "dynamic_resolution" else None
        return feed(size, self.token_budget, method=self.feeding, tile=self.tile, least=least)


#: Fields whose default is what the built-in model's classes do.
_OWN_CLASSES = ("projector_depth", "image_attention", "feeding", "token_budget", "tile")
