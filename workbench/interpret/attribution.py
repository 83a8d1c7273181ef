"""Attribute an answer to regions of its images: `attribute`, one verb and one record for every method.

`Attribution` holds one signed map per image and what it cost; it loads, shows and draws itself without
torch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from .. import interpret, models
from ..answer import Answer
from ..errors import InputError, warn
from ..html import framed
from ..names import Named, later, refuse_argument, verb
from ..records import check_fields
from ..types import Box, Region, Span
from .faithfulness import Faithfulness
from .methods import TABLE
from .record_file import load_record, making, save_record
from .regions import Baseline, Regions, baseline_setting, make_regions, read_baseline
from .targets import Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Attribution", "CompletenessWarning", "attribute"]


FORMAT = "workbench.attribution"
GAP = 0.1  # of the whole effect; a larger completeness gap is warned about


class CompletenessWarning(UserWarning):
    """The values of a path method do not sum to what they should."""


@dataclass(frozen=True, eq=False)
class Attribution(Named, prove="counterfactual"):
    """How much each part of the images, and each token of the prompt, is evidence for a target.

    Args:
        answer: the answer that is explained.
        method: name of the method, one of ``workbench.interpret.METHODS``.
        target: what was scored.
        maps: per picture, ``[rows, cols]`` on the grid of ``answer.layout.images``; positive is
            evidence for the target.  The unit is the method's own (nats for occlusion and Shapley values).
        tokens: one value per prompt token ``[prompt_tokens]``; None where the method gives none.
        delta: for path methods, the sum of all attributions minus what they should sum to, in nats.
        values: one value per region ``[regions]``; None for methods without regions.
        errors: standard error of each value, in its unit; 0 where values are exact, NaN where one sample
            tells none, None for methods that do not sample.
        regions: what was hidden together; None for methods without regions.
        score: log-probability of the target with the pictures as they are, in nats; None where it
            was not computed.
        seconds: wall-clock time.
        forwards: how many picture sets the model has read (a batch of 16 counts 16).
        backwards: how many of them with gradients.
        settings: the method's settings, seed included.
        vlm: the model, for `check`; not saved.
    """

    answer: Answer
    method: str
    target: Target
    maps: tuple[np.ndarray, ...]
    tokens: np.ndarray | None = None
    delta: float | None = None
    values: np.ndarray | None = None
    errors: np.ndarray | None = None
    regions: Regions | None = None
    score: float | None = None
    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    vlm: models.VLM | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        layout = self.answer.layout
        shapes = [] if layout is None else [(grid.rows, grid.cols) for grid in layout.images]
        if [part.shape for part in self.maps] != shapes:
            raise InputError(
                f"maps of shapes {[part.shape for part in self.maps]}", f"{shapes}, one per picture"
            )
        if self.tokens is not None and self.tokens.shape != (self.answer.prompt_tokens,):
            raise InputError(f"tokens of shape {self.tokens.shape}", f"[{self.answer.prompt_tokens}]")

    def map(self, image: int = 0) -> np.ndarray:
        """The map ``[rows, cols]`` of one picture.

        Raises:
            InputError: if there is no such picture.
        """
        if not 0 <= image < len(self.maps):
            raise InputError(f"image={image}", f"0..{len(self.maps) - 1}")
        return self.maps[image]

    def top(self, count: int = 5) -> list[tuple[Region, float]]:
        """The ``count`` cells with the most evidence for the target, as (region in original pixels,
        value)."""
        layout = self.answer.layout
        assert layout is not None, "a map has a grid"
        cells = [
            (float(part[row, col]), grid.image, grid.box(row, col))
            for grid, part in zip(layout.images, self.maps, strict=True)
            for row in range(grid.rows)
            for col in range(grid.cols)
        ]
        cells.sort(key=lambda cell: -cell[0])
        return [(Region(box, image), value) for value, image, box in cells[:count]]

    def plot(self, **options: Any) -> Figure:
        """The map over its picture; options as for `workbench.viz.overlay`."""
        return later("viz", "overlay")(self, **options)

    def check(self, vlm: models.VLM | None = None, **options: Any) -> Faithfulness:
        """Whether the map can be trusted; options as for `workbench.interpret.checking.check_one`.

        Args:
            vlm: the model that gave the answer; needed only after `load`.

        Raises:
            InputError: without a model.
        """
        return later("interpret.checking", "check_one")(self, vlm=self.model_for(vlm), **options)

    def counterfactual(
        self, region: Region | Box, *, vlm: models.VLM | None = None, **options: Any
    ) -> interpret.Counterfactual:
        """Alter a region, ask again, and show both answers beside this map; options as for
        `workbench.interpret.counterfactual`.

        Raises:
            InputError: without a model, or for a region outside the pictures.
        """
        return later("interpret", "counterfactual")(
            self.model_for(vlm), self.answer, region=region, attribution=self, **options
        )

    def again(self, vlm: models.VLM | None = None) -> Attribution:
        """The same method with the same settings once more, for example after the weights have changed.

        Raises:
            InputError: without a model.
        """

        model = self.model_for(vlm)
        return attribute(
            model,
            self.answer,
            target=self.target,
            method=self.method,
            regions=self.regions,
            progress=False,
            **self.settings,
        )

    def model_for(self, vlm: models.VLM | None = None) -> models.VLM:
        """The model that is given, or the one that made this.

        Raises:
            InputError: if there is neither: an attribution from disk has forgotten its model.
        """
        model = self.vlm if vlm is None else vlm
        if model is None:
            raise InputError(
                "an attribution that was loaded from disk, without its model",
                "the model that gave the answer",
                f"vlm = workbench.load({self.answer.source!r}), then pass vlm=vlm",
            )
        return model

    def save(self, path: str | Path) -> Path:
        """Save into the folder ``path``, with the answer; see `load`.

        Raises:
            InputError: if the folder holds something else.
        """
        arrays = {f"map_{i}": part for i, part in enumerate(self.maps)}
        more = {name: getattr(self, name) for name in ("tokens", "values", "errors")}
        arrays |= {name: part for name, part in more.items() if part is not None}
        facts: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        facts |= {"target": self.target.to_dict(), "settings": dict(self.settings), "regions": None}
        if self.regions is not None:
            frames = [list(frame) for frame in self.regions.frames]
            facts["regions"] = {"kind": self.regions.kind, "frames": frames}
            arrays |= {f"labels_{i}": part for i, part in enumerate(self.regions.labels)}
            if self.regions.members is not None:
                arrays["members"] = self.regions.members
        return save_record(path, FORMAT, answer=self.answer, arrays=arrays, facts=facts)

    @classmethod
    def load(cls, path: str | Path) -> Attribution:
        """Read what `save` wrote; needs neither torch nor the model.

        Raises:
            InputError: if it is not there, damaged or of another format.
        """
        answer, arrays, facts = load_record(path, FORMAT)
        with making(path):
            settings = facts.pop("settings")
            if "fill" in settings:  # as attributions were saved before
                settings["baseline"] = settings.pop("fill")
            made = cls(
                answer=answer,
                target=Target.from_dict(facts.pop("target")),
                maps=_numbered(arrays, "map"),
                tokens=arrays.get("tokens"),
                values=arrays.get("values"),
                errors=arrays.get("errors"),
                regions=_read_regions(facts.pop("regions"), arrays),
                settings=settings,
                **facts,
            )
        return check_fields(made, f"path={str(path)!r}")

    def __repr__(self) -> str:
        return f"Attribution({self.method!r} of {self.target.label!r}: {self._facts()})"

    def _facts(self) -> str:
        shapes = ", ".join(f"{rows} x {cols}" for rows, cols in (part.shape for part in self.maps))
        facts = [f"{len(self.maps)} map{'s' if len(self.maps) != 1 else ''} of {shapes}"]
        if self.score is not None:
            facts.append(f"log-probability {self.score:.3f}")
        if self.delta is not None:
            facts.append(f"completeness gap {self.delta:+.2g}")
        if self.errors is not None and np.isfinite(self.errors).all() and self.errors.any():
            facts.append(f"standard errors up to {self.errors.max():.2g}")
        facts.append(f"{self.forwards} forwards, {self.backwards} backwards, {self.seconds:.2f} s")
        return ", ".join(facts)

    @framed
    def _repr_html_(self) -> str:
        title = f"<b>{escape(self.method)}</b> of {escape(self.target.label)}"
        facts = escape(self._facts())
        note = f"{facts}. Red: evidence for it, blue: against; <code>.check()</code> tells whether"
        return (
            f"<div>{title}</div>{''.join(map(_drawn, self.maps))}"
            f'<div style="opacity:.6;font-size:.85em">{note} the map can be trusted.</div>'
        )

    @property
    def unit(self) -> str:
        """What the map's values are, for the label of a figure."""
        return TABLE[self.method].unit if self.method in TABLE else "value"

    @property
    def span(self) -> Span:
        """Positions of the scored tokens in ``answer.token_ids``."""
        return self.target.span


_PLAIN = ("method", "delta", "score", "seconds", "forwards", "backwards")


def _numbered(arrays: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, ...]:
    count = sum(key.startswith(f"{name}_") for key in arrays)
    return tuple(arrays[f"{name}_{i}"] for i in range(count))


def _read_regions(facts: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray]) -> Regions | None:
    if facts is None:
        return None
    frames: Sequence[Any] = [tuple(map(float, frame)) for frame in facts["frames"]]
    return Regions(facts["kind"], _numbered(arrays, "labels"), tuple(frames), arrays.get("members"))


def _drawn(part: np.ndarray, width: int = 240) -> str:
    """A map as one SVG rectangle per cell; numbers only, nothing to escape."""
    rows, cols = part.shape
    top = float(np.abs(part).max()) or 1.0
    cells = []
    for (row, col), value in np.ndenumerate(part / top):
        if abs(value) >= 0.01:
            colour = "#b2182b" if value > 0 else "#2166ac"
            cells.append(
                f'<rect x="{col}" y="{row}" width="1.02" height="1.02" fill="{colour}" '
                f'fill-opacity="{abs(value):.2f}"/>'
            )
    height = max(1, round(width * rows / cols))
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {cols} {rows}" preserveAspectRatio="none" '
        f'role="img" style="border:1px solid;margin:.3em .5em .3em 0">{"".join(cells)}</svg>'
    )


@verb("target", "method", "regions", fill="baseline")
def attribute(
    vlm: models.VLM,
    answer: Answer,
    *,
    target: object = None,
    method: str = "occlusion",
    regions: object = "patches",
    baseline: Baseline = "mean",
    superpixels: int = 64,
    batch_size: int = 16,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Attribution:
    """Attribute an answer to regions of its images.

    No method is right everywhere: ask the result's ``check()`` whether its map can be trusted.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        target: None for thought and answer; "answer" (given its thought), "thought" or "reply" (with what
            the mode forced); a `types.Span` or a position in ``answer.token_ids``; another answer to the
            same prompt for the contrast of the two (or `targets.Contrast` with a text).
        method: one of `methods.TABLE`: ``workbench.interpret.METHODS``, and those of plug-ins.
        regions: "patches", "superpixels", a grid (rows, cols), boxes (`types.Region`, or (x1, y1, x2, y2) in
            pixels of the first picture), a label image or masks, see `regions.make_regions`.  Region methods
            hide them; the others are summed over them.
        baseline: what hidden regions show, and where integrated gradients starts: "mean", "blur", "white",
            "black", a grey level from 0 to 255, a colour (red, green, blue), or an image of the same size.
        superpixels: about how many per picture.
        batch_size: picture sets at a time; halved where memory runs out.
        seed: of everything random; your own random state is neither used nor changed.
        progress: show a bar.
        **options: the method's settings: ``steps`` (integrated gradients), ``samples`` (gradient SHAP,
            Shapley sampling: permutations, KernelSHAP: sets), ``exact`` (the two: every set of regions; None
            for at most nine regions), ``width`` (greedy; None for all candidates),
            ``denoise`` (tam).

    Raises:
        InputError: for an empty answer, an answer of another model or about no picture, a target out of
            range, or an unknown method, region or setting.
        CapabilityError: for a model behind a server, or a method that this model's make does not allow.
        OutOfMemoryError: if not even one altered picture fits.

    Example::

        attribution = attribute(vlm, answer, method="shapley_sampling", regions=(6, 6))
        attribution.maps[0]  # [rows, cols]
        print(attribution.check().verdict)
    """
    # these two need torch, and the record does not
    from .methods.job import Job, placed
    from .scoring import Scorer

    baseline = read_baseline(baseline)
    settings = _checked(method, seed, options)
    scorer = Scorer(vlm, answer, target, batch_size=batch_size)
    divided = make_regions(answer, regions, superpixels=superpixels)
    run = TABLE.find(method).function()
    score = scorer.known_base
    started = time.perf_counter()
    with tqdm(disable=not progress, unit="picture", desc=method, leave=False) as bar:
        scorer.on_batch = bar.update

        def expect(count: int) -> None:
            bar.total = count
            bar.refresh()

        found = run(Job(method, scorer, divided, baseline, seed, settings, expect))
    maps, values, errors, tokens = placed(found, scorer, divided)
    _tell_gap(method, found.delta, values)
    asked = {"baseline": baseline_setting(baseline), "batch_size": batch_size, "seed": seed}
    return Attribution(
        answer=answer,
        method=method,
        target=scorer.target,
        maps=maps,
        tokens=tokens,
        delta=found.delta,
        values=values,
        errors=errors,
        regions=divided,
        score=score,
        seconds=time.perf_counter() - started,
        forwards=scorer.forwards,
        backwards=found.backwards,
        settings={**settings, **found.settings, **asked},
        vlm=vlm,
    )


def _tell_gap(method: str, delta: float | None, values: np.ndarray) -> None:
    """Warn where a path method's values are far from what they should sum to."""
    if delta is None:
        return
    whole = float(values.sum()) - delta
    if abs(delta) > GAP * abs(whole):
        warn(
            f"{method}: the values sum to {values.sum():.2f} nats, not to {whole:.2f} (completeness gap "
            f"{delta:+.2f}); take more steps or samples",
            CompletenessWarning,
        )


_WORDS = ("target", "method", "regions", "baseline", "superpixels", "batch_size", "seed", "progress")


def _checked(method: object, seed: object, options: dict[str, Any]) -> dict[str, Any]:
    """The method's settings, defaults filled in.

    Raises:
        InputError: for an unknown method or setting.
    """
    if not isinstance(method, str):
        raise InputError(f"method={method!r}", f"one of {', '.join(map(repr, TABLE))}")
    known = TABLE.find(method).options
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed={seed!r}", "a non-negative integer")
    for name in options:
        if name not in known:
            refuse_argument("attribute", name, (*known, *_WORDS), given=f"method={method!r}, {name}=...")
    return {**known, **options}
