"""Proof by changing the picture: alter a region, ask again, and put both answers side by side"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..answer import Answer
from ..errors import InputError
from ..types import Box, Region, Span
from .alter import alter, control_regions, read_region
from .proof_html import proof_html
from .record_file import load_record, save_record

if TYPE_CHECKING:
    from PIL import Image

    from ..models.handle import VLM

__all__ = ["Proof", "prove", "whole_reply"]

FORMAT = "workbench.proof"


@dataclass(frozen=True, eq=False)
class Proof:
    """The same question before and after a region was altered.

    Args:
        before: the answer to the pictures as they are.
        after: the answer to the altered pictures, which it holds.
        region: what was altered.
        how: ``"mask"``, ``"blur"`` or ``"remove"``.
        loss: nats of log-probability that the first answer (thought included) loses by the alteration.
        controls: places of the same size elsewhere in the picture.
        control_losses: what the first answer loses when they are altered instead.
        maps: the map that the region came from, one ``[rows, cols]`` a picture; empty without one.
        method: that map's method.
    """

    before: Answer
    after: Answer
    region: Region
    how: str
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
        done = {"mask": "Masking", "blur": "Blurring", "remove": "Removing"}[self.how]
        what = "changes the answer" if self.changed else "does not change the answer"
        text = f"{done} the region {what} ({_cost(self.loss)})"
        if not self.control_losses:
            return f"{text}; there was no room for a control of the same size."
        n, as_much = len(self.control_losses), sum(loss >= self.loss for loss in self.control_losses)
        mean = sum(self.control_losses) / n
        many = "none" if as_much == 0 else f"{as_much}"
        return f"{text}; of {n} other places of the same size {many} cost as much (mean {mean:+.2f} nats)."

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``.

        Raises:
            InputError: if the folder holds something else.
        """
        facts = {
            "region": asdict(self.region),
            "how": self.how,
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
    def load(cls, path: str | Path) -> Proof:
        """Read what `save` wrote; needs neither torch nor the model.

        Raises:
            InputError: if it is not there, damaged or of another format.
        """
        before, arrays, facts = load_record(path, FORMAT)
        after = Answer.load(Path(path).expanduser() / "after")
        maps = tuple(arrays[f"map_{number}"] for number in range(len(arrays)))
        try:
            return cls(
                before=before,
                after=after,
                region=_region(facts.pop("region")),
                controls=tuple(_region(one) for one in facts.pop("controls")),
                control_losses=tuple(facts.pop("control_losses")),
                maps=maps,
                **facts,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"path={str(path)!r} is damaged: {type(error).__name__}: {error}", "a saved proof"
            ) from None

    def __repr__(self) -> str:
        return f"Proof({self.before.text!r} -> {self.after.text!r}: {self.verdict})"

    def _repr_html_(self) -> str:
        return proof_html(self)


def prove(
    vlm: VLM,
    answer: Answer,
    region: Region | Box,
    *,
    how: str = "mask",
    attribution: Any = None,
    controls: int = 8,
    seed: int = 0,
) -> Proof:
    """Alter a region of the picture and ask again with the same settings.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        region: what to alter: a `Region`, or a box in pixels of the first picture.
        how: ``"mask"`` (the picture's mean colour), ``"blur"`` or ``"remove"`` (painted over with its
            surroundings).
        attribution: the map that the region came from, to be shown beside both answers.
        controls: other places of the same size whose alteration is scored for comparison.
        seed: of these places.

    Raises:
        InputError: for a region outside the pictures, another ``how``, an empty answer, or one of
            another model.
        CapabilityError: for a model behind a server.
    """
    from .forward import Scorer

    if isinstance(controls, bool) or not isinstance(controls, int) or controls < 0:
        raise InputError(f"controls={controls!r}", "a whole number from 0")
    scorer = Scorer(vlm, answer, whole_reply(answer))
    place = read_region(region, answer.images)
    changed = _altered(answer.images, place, how)
    others = control_regions(place, answer.images[place.image], controls, seed=seed)
    sets = [changed, *(_altered(answer.images, other, how) for other in others)]
    losses = (scorer.base - scorer(sets)).tolist()
    return Proof(
        before=answer,
        after=_ask_again(vlm, answer, changed),
        region=place,
        how=how,
        loss=losses[0],
        controls=tuple(others),
        control_losses=tuple(losses[1:]),
        maps=() if attribution is None else tuple(attribution.maps),
        method="" if attribution is None else attribution.method,
    )


def _altered(images: Sequence[Image.Image], region: Region, how: str) -> list[Image.Image]:
    return [alter(image, region.box, how) if n == region.image else image for n, image in enumerate(images)]


def _ask_again(vlm: VLM, answer: Answer, images: Sequence[Image.Image]) -> Answer:
    """The same conversation and settings with other pictures."""
    history, at = [], 0
    for turn in answer.history:
        history.append(replace(turn, images=tuple(images[at : at + len(turn.images)])))
        at += len(turn.images)
    settings = {k: v for k, v in answer.settings.items() if k in SETTINGS}
    return vlm.ask(list(images[at:]) or None, answer.question, mode=answer.mode, history=history, **settings)


SETTINGS = ("max_tokens", "thinking_budget", "temperature", "seed")


def whole_reply(answer: Answer) -> Span | None:
    """Thought and answer together, without what the mode forced before them; None for an empty reply."""
    spans = [span for span in answer.spans.values() if len(span)]
    return Span(min(s.start for s in spans), max(s.stop for s in spans)) if spans else None


def _region(data: Mapping[str, Any]) -> Region:
    return Region(tuple(float(v) for v in data["box"]), int(data["image"]))  # type: ignore[arg-type]


def _cost(loss: float) -> str:
    return f"it loses {loss:.2f} nats" if loss >= 0 else f"it gains {-loss:.2f} nats"
