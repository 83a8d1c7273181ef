"""Drawings as an architecture's model sees them: views for the tower, and what is told of each image token"""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from ..models.layout import Block
from ..synth.canvas import PATCH, Canvas
from ..synth.words import ASPECTS
from ..train.data import Encoder, Seen, patchify
from ..train.nano import IMAGE_TOKEN
from .architecture import Architecture
from .resolution.pixels import view_pixels

__all__ = ["FedEncoder", "encoder_of"]

Box = tuple[float, float, float, float]


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
