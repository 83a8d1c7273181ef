"""A proof for a notebook: the picture with its map and region, the altered picture, both answers"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from .proving import Proof

__all__ = ["proof_html"]

SIDE = 280  # pixels of the longer side, as shown


def proof_html(proof: Proof) -> str:
    """Two columns: the picture with map and region above the first answer, the altered above the second."""
    number = proof.region.image
    before = _framed(_mapped(proof.before.images[number], proof, number), proof)
    after = _framed(proof.after.images[number], proof)
    above = f"map: {proof.method}" if proof.maps else "as it is"
    columns = (
        _column(above, before, proof.before.html()),
        _column(
            {"mask": "masked", "blur": "blurred", "remove": "removed"}[proof.how], after, proof.after.html()
        ),
    )
    return (
        f'<div class="workbench-proof"><div><b>{escape(proof.verdict)}</b></div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:1.5em">{"".join(columns)}</div></div>'
    )


def _column(title: str, picture: Image.Image, answer: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<div style="max-width:{SIDE + 60}px"><div style="opacity:.7">{escape(title)}</div>'
        f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">{answer}</div>'
    )


def _mapped(image: Image.Image, proof: Proof, number: int) -> Image.Image:
    """The picture in grey with the map's positive part over it, in orange."""
    if not proof.maps:
        return image
    layout = proof.before.layout
    assert layout is not None, "an answer that was scored has a layout"
    positive = np.clip(proof.maps[number], 0, None)
    share = positive / (positive.max() or 1.0)
    x1, y1, x2, y2 = layout.images[number].region
    cells = Image.fromarray((share * 255).round().astype(np.uint8))
    mask = Image.new("L", image.size)
    mask.paste(
        cells.resize((max(1, round(x2 - x1)), max(1, round(y2 - y1))), Image.Resampling.NEAREST),
        (round(x1), round(y1)),
    )
    grey = image.convert("L").convert("RGB")
    orange = Image.new("RGB", image.size, (213, 94, 0))
    return Image.composite(Image.blend(grey, orange, 0.75), grey, mask)


def _framed(image: Image.Image, proof: Proof) -> Image.Image:
    """Scaled to a legible size, the region outlined twice: seen on dark and on light."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    shown = image.resize(size, way)
    draw = ImageDraw.Draw(shown)
    x1, y1, x2, y2 = (round(v * scale) for v in proof.region.box)
    draw.rectangle((x1 - 2, y1 - 2, x2 + 1, y2 + 1), outline=(255, 255, 255), width=4)
    draw.rectangle((x1 - 1, y1 - 1, x2, y2), outline=(0, 0, 0), width=2)
    return shown
