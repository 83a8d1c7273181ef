"""Counterfactuals: alter a region of an image, ask again, and put both answers side by side"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .. import models
from ..answer import Answer
from ..errors import InputError
from ..files import local_path
from ..html import framed, thumbnail
from ..names import Named, later, verb
from ..records import check_fields
from ..types import Box, Region
from .attribution import Attribution
from .record_file import load_record, making, save_record
from .regions import Baseline, OwnBaseline, baseline_image, read_baseline
from .targets import whole_reply

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "INPAINT",
    "SETTINGS",
    "Counterfactual",
    "alter",
    "control_regions",
    "pixel_box",
    "counterfactual_html",
    "counterfactual",
    "read_region",
]


INPAINT = "inpaint"

#: Baselines as counterfactuals were made and saved before.
OLD_BASELINES = {"mask": "mean", "remove": INPAINT}


def read_region(region: Region | Box, images: Sequence[Image.Image]) -> Region:
    """A region, checked against the pictures.

    Raises:
        InputError: for what is no box, one of a picture that is not there, or one that covers no pixel.
    """
    try:
        found = region if isinstance(region, Region) else Region(tuple(float(v) for v in region))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"region={region!r}", "a Region, or (x1, y1, x2, y2) in pixels") from None
    if len(found.box) != 4:
        raise InputError(f"region={region!r}", "a Region, or (x1, y1, x2, y2) in pixels")
    if not images:
        raise InputError("an answer about no picture", "an answer to a question with a picture")
    if not 0 <= found.image < len(images):
        raise InputError(f"a region of picture {found.image}", f"pictures 0 to {len(images) - 1}")
    pixel_box(found.box, images[found.image])
    return found


def pixel_box(box: Box, image: Image.Image) -> tuple[int, int, int, int]:
    """The box in whole pixels, cut at the picture's edges.

    Raises:
        InputError: if nothing is left.
    """
    x1, y1 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x2, y2 = min(image.width, int(np.ceil(box[2]))), min(image.height, int(np.ceil(box[3])))
    if x1 >= x2 or y1 >= y2:
        raise InputError(
            f"the box {box}", f"one that covers pixels of a picture of {image.width} x {image.height}"
        )
    return x1, y1, x2, y2


def alter(image: Image.Image, box: Box, *, baseline: Baseline) -> Image.Image:
    """A copy of a picture with a box altered.

    Args:
        image: the picture.
        box: (x1, y1, x2, y2) in its pixels.
        baseline: as for `regions.baseline_image`, but "blur" is as wide as a quarter of the box's longer
            side; or "inpaint" (painted over from its edges inwards, as if it had not been there).

    Raises:
        InputError: for another ``baseline``, or a box outside the picture.
    """
    baseline = _read(baseline)
    x1, y1, x2, y2 = pixel_box(box, image)
    out = image.copy()
    if baseline == INPAINT:
        out.paste(_painted_over(np.asarray(image, dtype=float), (x1, y1, x2, y2)), (x1, y1))
    elif baseline == "blur":
        soft = image.filter(ImageFilter.GaussianBlur(max(2.0, max(x2 - x1, y2 - y1) / 4)))
        out.paste(soft.crop((x1, y1, x2, y2)), (x1, y1))
    else:
        out.paste(baseline_image(image, baseline).crop((x1, y1, x2, y2)), (x1, y1))
    return out


def _read(baseline: object) -> Baseline:
    """A baseline, also under its old name."""
    old = OLD_BASELINES.get(baseline, baseline) if isinstance(baseline, str) else baseline
    found = read_baseline(old, INPAINT)
    if isinstance(found, OwnBaseline):
        raise InputError(f"baseline={found}", "a baseline by its name or colour", "ask about your own image")
    return found


def _painted_over(pixels: np.ndarray, box: tuple[int, int, int, int]) -> Image.Image:
    """What the pixels around a box suggest for its inside: each side's colour, weighted by its nearness."""
    x1, y1, x2, y2 = box
    height, width = pixels.shape[:2]
    row, col = np.arange(y1, y2)[:, None, None], np.arange(x1, x2)[None, :, None]
    total, weights = np.zeros((y2 - y1, x2 - x1, 3)), np.zeros((y2 - y1, x2 - x1, 1))
    # The median of each side: text or a line that crosses the edge does not bleed inwards.
    sides = [
        (x1 > 0, pixels[y1:y2, x1 - 1], col - x1 + 1),
        (x2 < width, pixels[y1:y2, min(x2, width - 1)], x2 - col),
        (y1 > 0, pixels[y1 - 1, x1:x2], row - y1 + 1),
        (y2 < height, pixels[min(y2, height - 1), x1:x2], y2 - row),
    ]
    for there, edge, distance in sides:
        if there:
            total, weights = total + np.median(edge, axis=0) / distance, weights + 1.0 / distance
    if not weights.any():  # the box is the whole picture
        total, weights = np.broadcast_to(np.median(pixels, axis=(0, 1)), total.shape), np.ones_like(weights)
    return Image.fromarray((total / weights).round().clip(0, 255).astype(np.uint8))


def control_regions(region: Region, image: Image.Image, count: int, *, seed: int) -> list[Region]:
    """Places of the same size elsewhere in the same picture, as far from the region as the picture allows.

    They are drawn at random among those that overlap the region least; where the region leaves no room,
    fewer come back, or none.

    Args:
        region: the region.
        image: its picture.
        count: how many.
        seed: of the places.
    """
    x1, y1, x2, y2 = pixel_box(region.box, image)
    width, height = x2 - x1, y2 - y1
    rng = np.random.default_rng(seed)
    xs = rng.integers(0, image.width - width + 1, size=400)
    ys = rng.integers(0, image.height - height + 1, size=400)
    across = np.clip(np.minimum(xs + width, x2) - np.maximum(xs, x1), 0, None)
    down = np.clip(np.minimum(ys + height, y2) - np.maximum(ys, y1), 0, None)
    free = np.flatnonzero(across * down == 0)[:count]
    return [
        Region((float(x), float(y), float(x + width), float(y + height)), region.image)
        for x, y in zip(xs[free], ys[free], strict=True)
    ]


SIDE = 280  # pixels of the longer side, as shown


def counterfactual_html(found: Counterfactual) -> str:
    """Two columns: the picture with map and region above the first answer, the altered above the second."""
    number = found.region.image
    before = _framed(_mapped(found.before.images[number], found, number), found)
    after = _framed(found.after.images[number], found)
    above = f"map: {found.method}" if found.maps else "as it is"
    columns = (
        _column(above, before, found.before.html()),
        _column(DONE.get(found.baseline, "hidden"), after, found.after.html()),
    )
    return (
        f"<div><b>{escape(found.verdict)}</b></div>"
        f'<div style="display:flex;flex-wrap:wrap;gap:1.5em">{"".join(columns)}</div>'
    )


def _column(title: str, picture: Image.Image, answer: str) -> str:
    shown = thumbnail(picture, side=max(picture.size), alt=title)
    return (
        f'<div style="max-width:{SIDE + 60}px"><div style="opacity:.7">{escape(title)}</div>'
        f"{shown}{answer}</div>"
    )


def _mapped(image: Image.Image, found: Counterfactual, number: int) -> Image.Image:
    """The picture in grey with the map's positive part over it, in orange."""
    if not found.maps:
        return image
    layout = found.before.layout
    assert layout is not None, "an answer that was scored has a layout"
    positive = np.clip(found.maps[number], 0, None)
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


def _framed(image: Image.Image, found: Counterfactual) -> Image.Image:
    """Scaled to a legible size, the region outlined twice: seen on dark and on light."""
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    shown = image.resize(size, way)
    draw = ImageDraw.Draw(shown)
    x1, y1, x2, y2 = (round(v * scale) for v in found.region.box)
    draw.rectangle((x1 - 2, y1 - 2, x2 + 1, y2 + 1), outline=(255, 255, 255), width=4)
    draw.rectangle((x1 - 1, y1 - 1, x2, y2), outline=(0, 0, 0), width=2)
    return shown


FORMAT = "workbench.proof"  # the name of this record on disk

DONE: dict[Baseline, str] = {"mean": "masked", "blur": "blurred", INPAINT: "removed"}
DOING: dict[Baseline, str] = {"blur": "Blurring", INPAINT: "Removing"}


@dataclass(frozen=True, eq=False)
class Counterfactual(Named, how="baseline"):
    """The same question before and after a region was altered.

    Args:
        before: the answer to the pictures as they are.
        after: the answer to the altered pictures, which it holds.
        region: what was altered.
        baseline: what the region shows instead; see `alter`.
        loss: nats of log-probability that the first answer (thought included) loses by the alteration.
        controls: places of the same size elsewhere in the picture.
        control_losses: what the first answer loses when they are altered instead.
        maps: the map that the region came from, one ``[rows, cols]`` a picture; empty without one.
        method: that map's method.
    """

    before: Answer
    after: Answer
    region: Region
    baseline: Baseline
    loss: float
    controls: tuple[Region, ...] = ()
    control_losses: tuple[float, ...] = ()
    maps: tuple[np.ndarray, ...] = ()
    method: str = ""

    @property
    def changed(self) -> bool:
        """Whether the answer's text (without its thought) is another one."""
        return self.before.text.strip() != self.after.text.strip()

    @property
    def verdict(self) -> str:
        """One line: what the alteration did, and whether any other place would have done as much."""
        done = DOING.get(self.baseline, "Hiding")
        what = "changes the answer" if self.changed else "does not change the answer"
        text = f"{done} the region {what} ({_cost(self.loss)})"
        if not self.control_losses:
            return f"{text}; there was no room for a control of the same size."
        n, as_much = len(self.control_losses), sum(loss >= self.loss for loss in self.control_losses)
        mean = sum(self.control_losses) / n
        many = "none" if as_much == 0 else f"{as_much}"
        return f"{text}; of {n} other places of the same size {many} cost as much (mean {mean:+.2f} nats)."

    def plot(self) -> Figure:
        """Both pictures, both answers, and what the region and other places cost: `workbench.viz.found`."""
        return later("viz", "counterfactual")(self)

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``.

        Raises:
            InputError: if the folder holds something else.
        """
        facts = {
            "region": asdict(self.region),
            "baseline": self.baseline,
            "loss": self.loss,
            "controls": [asdict(one) for one in self.controls],
            "control_losses": list(self.control_losses),
            "method": self.method,
        }
        arrays = {f"map_{number}": part for number, part in enumerate(self.maps)}
        folder = save_record(path, FORMAT, answer=self.before, arrays=arrays, facts=facts)
        self.after.save(folder / "after")
        return folder

    @classmethod
    def load(cls, path: str | Path) -> Counterfactual:
        """Read what `save` wrote; needs neither torch nor the model.

        Raises:
            InputError: if it is not there, damaged or of another format.
        """
        before, arrays, facts = load_record(path, FORMAT)
        after = Answer.load(local_path(path) / "after")
        maps = tuple(arrays[f"map_{number}"] for number in range(len(arrays)))
        with making(path):
            how = facts.pop("how", None)  # as they were saved before
            made = cls(
                before=before,
                after=after,
                region=_region(facts.pop("region")),
                controls=tuple(_region(one) for one in facts.pop("controls")),
                control_losses=tuple(facts.pop("control_losses")),
                maps=maps,
                **({"baseline": OLD_BASELINES.get(how, how)} if how else {}),
                **facts,
            )
            for place in (made.region, *made.controls):
                read_region(place, before.images)
            _read(made.baseline)
        return check_fields(made, f"path={str(path)!r}")

    def __repr__(self) -> str:
        return f"Counterfactual({self.before.text!r} -> {self.after.text!r}: {self.verdict})"

    @framed
    def _repr_html_(self) -> str:
        return counterfactual_html(self)


@verb("region", how="baseline")
def counterfactual(
    vlm: models.VLM,
    answer: Answer,
    *,
    region: Region | Box,
    baseline: Baseline = "mean",
    attribution: Attribution | None = None,
    controls: int = 8,
    seed: int = 0,
) -> Counterfactual:
    """Alter a region of the picture and ask again with the same settings.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        region: what to alter: a `Region`, or a box in pixels of the first picture.
        baseline: what the region shows instead: "mean" (the image's mean colour), "blur", "white", "black",
            a grey level, a colour, or "inpaint" (painted over with its surroundings).
        attribution: the map that the region came from, to be shown beside both answers.
        controls: other places of the same size whose alteration is scored for comparison.
        seed: of these places.

    Raises:
        InputError: for a region outside the pictures, another ``baseline``, an empty answer, or one of
            another model.
        CapabilityError: for a model behind a server.
    """
    from .scoring import Scorer  # needs torch, and the record does not

    if isinstance(controls, bool) or not isinstance(controls, int) or controls < 0:
        raise InputError(f"controls={controls!r}", "a non-negative integer")
    if seed < 0:
        raise InputError(f"seed={seed!r}", "a non-negative integer")
    scorer = Scorer(vlm, answer, whole_reply(answer))
    place = read_region(region, answer.images)
    baseline = _read(baseline)
    changed = _altered(answer.images, place, baseline)
    others = control_regions(place, answer.images[place.image], controls, seed=seed)
    sets = [changed, *(_altered(answer.images, other, baseline) for other in others)]
    losses = (scorer.base - scorer(sets)).tolist()
    return Counterfactual(
        before=answer,
        after=_ask_again(vlm, answer, changed),
        region=place,
        baseline=baseline,
        loss=losses[0],
        controls=tuple(others),
        control_losses=tuple(losses[1:]),
        maps=() if attribution is None else tuple(attribution.maps),
        method="" if attribution is None else attribution.method,
    )


def _altered(images: Sequence[Image.Image], region: Region, baseline: Baseline) -> list[Image.Image]:
    return [
        alter(image, region.box, baseline=baseline) if n == region.image else image
        for n, image in enumerate(images)
    ]


def _ask_again(vlm: models.VLM, answer: Answer, images: Sequence[Image.Image]) -> Answer:
    """The same conversation and settings with other pictures."""
    history, at = [], 0
    for turn in answer.history:
        history.append(replace(turn, images=tuple(images[at : at + len(turn.images)])))
        at += len(turn.images)
    settings = {k: v for k, v in answer.settings.items() if k in SETTINGS}
    return vlm.ask(list(images[at:]) or None, answer.question, mode=answer.mode, history=history, **settings)


SETTINGS = ("max_tokens", "thinking_budget", "temperature", "seed", "thought", "thought_done")


def _region(data: Mapping[str, Any]) -> Region:
    return Region(tuple(float(v) for v in data["box"]), int(data["image"]))  # type: ignore[arg-type]


def _cost(loss: float) -> str:
    return f"it loses {loss:.2f} nats" if loss >= 0 else f"it gains {-loss:.2f} nats"
