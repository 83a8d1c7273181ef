"""Attribution methods side by side with their verdicts, and insertion and deletion as a film"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from ..answer import Answer
from ..errors import InputError
from ..html import frame, table, thumbnail
from ..html import text as html_text
from ..interpret.attribution import Attribution
from ..interpret.curves import Curve
from ..interpret.faithfulness import MAP, RANDOM, Faithfulness, blocks, orders_of
from ..interpret.regions import baseline_image
from ..interpret.targets import Target
from ..synth.sample import Element
from ..types import PatchGrid
from ..viz.faithfulness import BASELINE_WORDS, curves, maps
from ..viz.spotlight import SPOTLIGHT, cell_names, is_dark
from ..viz.style import Figure, record
from .maps import png, screen_sized
from .widget import HasStatic, asset, page_alone, write

__all__ = ["KINDS", "AttributionExplorer"]


KINDS = ("deletion", "insertion")
"""What the film does with the regions that a map ranks first: take them away, or show them alone."""

CHECKS = "found=[one.check() for one in attributions]"
BLURRED = 160  # longer side, in pixels, of what hidden regions show: it is one colour or blurred
UNIT = 127  # what stands for the strongest value in signed bytes


class AttributionExplorer(HasStatic, anywidget.AnyWidget):
    """Maps of one answer side by side with their verdicts, and what their check did as a film.

    The film hides the regions that a map ranks first, one after another, or shows them alone.  The picture is
    what the model was given, and a mark on the curve is how probable its answer then was.  Nothing
    needs a kernel once it is shown, and the saved page does the same.

    Args:
        attributions: one, or several of different methods, of one answer and one target.
        found: their checks, in the same order, over the same regions and under the same baselines.
        elements: what is known to be on the first picture (`Sample.elements`), so that it can be named.

    Attributes:
        method: whose order the film follows; at first that of the map with the largest gap.
        kind: "deletion" or "insertion".
        baseline: what hidden regions show.
        count: how many regions are hidden (deletion) or shown (insertion).
        image: which picture is shown.
        strength: how much the maps change the picture, from 0 to 1.

    Raises:
        InputError: for other records, attributions of several answers, targets or models, a check that is
            another map's, has no curves or other regions, or an answer without its pictures.

    Example:
        >>> AttributionExplorer(maps, [one.check() for one in maps])  # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("draw.js") + asset("sources.js") + asset("attributions.js")
    _css = asset("explorer.css") + asset("attributions.css")
    info = traitlets.Dict().tag(sync=True)
    method = traitlets.Unicode().tag(sync=True)
    kind = traitlets.Enum(KINDS, KINDS[0]).tag(sync=True)
    baseline = traitlets.Unicode().tag(sync=True)
    count = traitlets.Int().tag(sync=True)
    image = traitlets.Int(0).tag(sync=True)
    strength = traitlets.Float(1.0, min=0.0, max=1.0).tag(sync=True)

    def __init__(
        self,
        attributions: Attribution | Sequence[Attribution],
        found: Faithfulness | Sequence[Faithfulness],
        *,
        elements: Sequence[Element] = (),
    ) -> None:
        several, checks = _records(attributions, found)
        self.attributions = {one.method: one for one in several}
        self.checks = {one.method: one for one in checks}
        self.answer = several[0].answer
        self._grids = _grids(self.answer)
        self._labels = _labels(checks, self._grids)
        self._pictures = [screen_sized(picture) for picture in self.answer.images]
        self._elements = tuple(elements)
        best = max(checks, key=lambda one: sum(map(one.gap, one.baselines)))
        self._places = {one.method: self._order(one) for one in several}
        super().__init__(
            info=self._told(),
            method=best.method,
            baseline=best.baselines[0],
            count=_counts(best)[1],
        )
        self.on_msg(self._heard)

    def altered(self, image: int | None = None) -> Image.Image:
        """The film's picture: what the model was given, made smaller where it is larger than a screen.

        Args:
            image: which picture; None for the one that is shown.

        Raises:
            InputError: if there is no such picture.
        """
        number = self._picture(self.image if image is None else image)
        places = self._places[self.method][number]
        hidden = places < self.count if self.kind == "deletion" else places >= self.count
        picture = self._pictures[number]
        scale = picture.width / self._grids[number].size[0]
        x1, y1, x2, y2 = (round(scale * at) for at in self._grids[number].region)
        cells = Image.fromarray((255 * hidden).astype(np.uint8))
        mask = Image.new("L", picture.size)
        mask.paste(cells.resize((max(1, x2 - x1), max(1, y2 - y1)), Image.Resampling.NEAREST), (x1, y1))
        return Image.composite(baseline_image(picture, self.baseline), picture, mask)

    def static(self) -> str:
        """All maps with their verdicts, the film's picture now and the curves, as HTML without a kernel."""
        checks = list(self.checks.values())
        several = list(self.attributions.values())
        shown = maps(several, found=checks, image=self.image)
        rows = [(one.method, one.verdict) for one in checks]
        target, headline = self.info["target"], self.info["headline"]
        line = f"{self.kind} by {self.method}, {self._hidden_words(self.baseline)}: {self._line()}"
        return frame(
            f"<p>{html_text(f'Evidence for {target}: {headline}')}</p>{_img(shown, 'the maps')}"
            f"{table(('method', 'verdict'), rows)}<p>{html_text(line[:1].upper() + line[1:])}</p>"
            f"{thumbnail(self.altered(), alt='the picture as the model was given it')}"
            f"{_img(curves(self.checks[self.method]), 'insertion and deletion')}"
        )

    def save_html(self, path: str | Path) -> Path:
        """Save it as one file that works offline, film and all.

        Raises:
            DiskError: if it cannot be written there.
        """
        names = ("info", "method", "kind", "baseline", "count", "image", "strength")
        pictures = [base64.b64encode(data).decode("ascii") for data in self._files()]
        data = {"state": {name: getattr(self, name) for name in names}, "pictures": pictures}
        title = "What does the answer depend on?"
        return write(path, page_alone(title, module=str(self._esm), style=str(self._css), data=data))

    def __repr__(self) -> str:
        return f"AttributionExplorer({', '.join(self.attributions)})"

    # -- inside ----------------------------------------------------------------------------------

    def _order(self, attribution: Attribution) -> list[np.ndarray]:
        """Of each picture's cells ``[rows, cols]``: at which place in the map's order their region is."""
        seed = self.checks[attribution.method].settings["seed"]
        order = orders_of({MAP: attribution.maps}, self._labels, seed=seed)[MAP]
        place = np.empty(len(order), dtype=int)
        place[order] = np.arange(len(order))
        return [place[labels] for labels in self._labels]

    def _told(self) -> dict[str, Any]:
        """What a view shows."""
        first, *_ = self.attributions.values()
        baselines = next(iter(self.checks.values())).baselines
        label = _target_words(self.answer, first.target)
        good = [name for name, one in self.checks.items() if one.finding.kind == "better than random"]
        named = f": {', '.join(good)}" if good else ""
        of = f"{len(good)} of {len(self.checks)} maps {'is' if len(good) == 1 else 'are'}"
        tops = _scales(list(self.attributions.values()))
        return {
            "question": self.answer.question,
            "answer": self.answer.text,
            "target": label,
            "tokens": len(first.span),
            "contrast": first.target.kind == "contrast",
            "headline": f"{of} better than random{named}.",
            "pictures": [self._told_picture(number) for number in range(len(self._pictures))],
            "baselines": {baseline: self._hidden_words(baseline) for baseline in baselines},
            "kinds": list(KINDS),
            "regions": next(iter(self.checks.values())).regions,
            "methods": {name: self._told_method(name, tops[name]) for name in self.attributions},
            "range": _range(list(self.checks.values())),
            "spotlight": asdict(SPOTLIGHT),
        }

    def _told_picture(self, number: int) -> dict[str, Any]:
        grid, start = self._grids[number], sum(map(len, self._grids[:number]))
        place = {"rows": grid.rows, "cols": grid.cols, "region": list(grid.region), "start": start}
        dark = is_dark(self._pictures[number])
        return {"width": grid.size[0], "height": grid.size[1], "dark": dark, "grid": place}

    def _told_method(self, name: str, top: float) -> dict[str, Any]:
        one, check = self.attributions[name], self.checks[name]
        values = np.concatenate([part.ravel() for part in one.maps])
        shares = np.rint(UNIT * values / top) if top else np.zeros(len(values))
        return {
            "finding": check.finding.kind,
            "verdict": check.verdict,
            "full": check.full,
            "values": base64.b64encode(shares.astype(np.int8).tobytes()).decode("ascii"),
            "scale": f"colours to ±{top:.3g}, {one.unit}",
            "strongest": [self._strongest(part, number) for number, part in enumerate(one.maps)],
            "places": [int(place) for part in self._places[name] for place in part.ravel()],
            "counts": _counts(check),
            "curves": {baseline: _told_curves(check.curves[baseline]) for baseline in check.baselines},
        }

    def _strongest(self, values: np.ndarray, image: int) -> str:
        """What lies under a map's strongest cell, and its value."""
        at = int(np.argmax(np.abs(values)))
        if not values.ravel()[at]:
            return "nothing on this picture"
        name = cell_names(self._grids[image], () if image else self._elements)[at]
        return f"strongest {name} ({values.ravel()[at]:+.3g})"

    def _line(self) -> str:
        """Where the film is, in words."""
        check = self.checks[self.method]
        curve: Curve = check.curves[self.baseline][MAP]
        score = np.interp(self.count / check.regions, curve.share, getattr(curve, self.kind))
        about = "" if self.count in _counts(check) else "about "
        done = "hidden" if self.kind == "deletion" else "shown alone"
        return f"{self.count} of {check.regions} regions {done}, log-probability {about}{score:.2f} nats"

    @staticmethod
    def _hidden_words(baseline: str) -> str:
        return BASELINE_WORDS.get(baseline, f"hidden: {baseline}")

    def _files(self) -> list[bytes]:
        """Each picture as PNG, followed by what its hidden regions show under each baseline."""
        files = []
        for picture in self._pictures:
            files.append(png(picture))
            for baseline in self.info["baselines"]:
                hidden = baseline_image(picture, baseline)
                hidden.thumbnail((BLURRED, BLURRED))
                files.append(png(hidden))
        return files

    def _heard(self, _: object, content: object, buffers: object) -> None:
        """A view asks for the pictures."""
        if isinstance(content, dict) and content.get("kind") == "pictures":
            self.send({"kind": "pictures"}, buffers=self._files())

    def _picture(self, image: int) -> int:
        if isinstance(image, bool) or not 0 <= image < len(self._pictures):
            raise InputError(f"image={image!r}", f"0 to {len(self._pictures) - 1}")
        return image

    @traitlets.validate("method", "baseline")
    def _check_name(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        known = self.attributions if name == "method" else self.info["baselines"]
        if value not in known:
            raise InputError(f"{name}={value!r}", f"one of {', '.join(map(repr, known))}")
        return str(value)

    @traitlets.validate("count")
    def _check_count(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] <= self.info["regions"]:
            raise InputError(f"count={proposal['value']}", f"0 to {self.info['regions']} regions")
        return int(proposal["value"])

    @traitlets.validate("image")
    def _check_image(self, proposal: Any) -> int:
        return self._picture(proposal["value"])


# -- the records that belong together ------------------------------------------------------------


def _records(
    attributions: Attribution | Sequence[Attribution], found: Faithfulness | Sequence[Faithfulness]
) -> tuple[list[Attribution], list[Faithfulness]]:
    """Maps of one answer and target, each with its own check.

    Raises:
        InputError: for anything else.
    """
    given = attributions if isinstance(attributions, Sequence) else [attributions]
    several = [record(one, Attribution, "workbench.interpret.attribute(vlm, answer)") for one in given]
    asked = found if isinstance(found, Sequence) else [found]
    checks = [record(one, Faithfulness, "attribution.check()") for one in asked]
    if not several or len(several) != len(checks):
        raise InputError(f"{len(several)} maps and {len(checks)} checks", "one check for each map", CHECKS)
    for one, check in zip(several, checks, strict=True):
        _check_same(one, several[0])
        _check_pair(one, check)
        if check.baselines != checks[0].baselines:
            under = f"checks under {checks[0].baselines} and under {check.baselines}"
            raise InputError(under, "the same baselines", CHECKS)
    if len({one.method for one in several}) < len(several):
        names = ", ".join(one.method for one in several)
        raise InputError(f"several maps of one method: {names}", "each method once")
    return several, checks


def _check_same(one: Attribution, first: Attribution) -> None:
    """Refuse an attribution of another answer or target than the first one's."""
    if (one.answer.token_ids, one.answer.layout) != (first.answer.token_ids, first.answer.layout):
        raise InputError("attributions of several answers", "attributions of one answer")
    if one.target.sequences != first.target.sequences:
        targets = f"evidence for {first.target.label} and for {one.target.label}"
        raise InputError(targets, "one target", "pass the same target= to attribute")


def _check_pair(attribution: Attribution, check: Faithfulness) -> None:
    """Refuse a check that is not this map's, or holds no curves.

    A check does not name its answer; but what the model gave the target is a number that hardly two share.
    """
    label = attribution.target.label
    if (check.method, check.target) != (attribution.method, label):
        raise InputError(
            f"the check of {check.method} for {check.target}, the map of {attribution.method} for {label}",
            "each map's own check, in the same order",
            CHECKS,
        )
    own = check.full if attribution.score is None else attribution.score
    if not math.isclose(check.full, own, rel_tol=0.02, abs_tol=0.1):
        scored = f"it was scored {check.full:.2f} nats, the map's {own:.2f}"
        raise InputError(f"a check of another answer: {scored}", "the map's own check", CHECKS)
    for named in check.curves.values():
        if MAP not in named or not any(name.startswith(RANDOM) for name in named):
            raise InputError(f"a check of {check.method} without its curves", "one of attribution.check()")
    if not check.curves or not {"regions", "seed"} <= set(check.settings):
        without = f"a check of {check.method} without curves or settings"
        raise InputError(without, "one of attribution.check()")


def _grids(answer: Answer) -> tuple[PatchGrid, ...]:
    """The grids of an answer's pictures.

    Raises:
        InputError: for an answer without pictures, or with others than it was about.
    """
    grids = () if answer.layout is None else answer.layout.images
    sizes = [f"{grid.size[0]}x{grid.size[1]}" for grid in grids]
    given = [f"{picture.width}x{picture.height}" for picture in answer.images]
    if not grids or sizes != given:
        raise InputError(
            f"an answer with pictures of {', '.join(given) or 'no'} pixels",
            f"those that it was about: {', '.join(sizes) or 'at least one'}",
        )
    return grids


def _labels(checks: Sequence[Faithfulness], grids: Sequence[PatchGrid]) -> list[np.ndarray]:
    """Each cell's region ``[rows, cols]``, as all the checks divided the pictures.

    Raises:
        InputError: for checks over different regions, or regions of other pictures.
    """
    asked = {one.settings["regions"] if isinstance(one.settings["regions"], str)
             else tuple(one.settings["regions"]) for one in checks}  # fmt: skip
    if len(asked) > 1:
        raise InputError(f"checks over the regions {asked}", "the same regions= for all")
    labels = blocks(grids, asked.pop())
    count = 1 + max(int(part.max()) for part in labels)
    for one in checks:
        if one.regions != count:
            raise InputError(f"a check over {one.regions} regions", f"{count}, as on these pictures", CHECKS)
    return labels


# -- what is told --------------------------------------------------------------------------------


def _target_words(answer: Answer, target: Target) -> str:
    """The target; a control token by what it does, as the explorer of attention names it."""
    at = target.span.start
    if target.kind != "token" or any(span.start <= at < span.stop for span in answer.spans.values()):
        return target.label
    thought, reply = (answer.spans.get(name) for name in ("thought", "answer"))
    if thought and at < thought.start:
        return f"{target.label} (think)"
    return f"{target.label} ({'end' if reply and at >= reply.stop else 'answer'})"


def _scales(several: Sequence[Attribution]) -> dict[str, float]:
    """The value that is shown strongest, by method: one for all maps of one unit over as many regions."""
    keys = {one.method: (one.unit, None if one.regions is None else len(one.regions)) for one in several}
    largest = {one.method: max(float(np.abs(part).max()) for part in one.maps) for one in several}
    return {name: max(largest[other] for other in keys if keys[other] == keys[name]) for name in keys}


def _counts(check: Faithfulness) -> list[int]:
    """At how many regions a check's curves were measured."""
    first: Curve = next(iter(check.curves.values()))[MAP]
    return [round(share * check.regions) for share in first.share]


def _told_curves(named: Mapping[str, Curve]) -> dict[str, dict[str, list[float]]]:
    """Of each kind: the map's curve, and the range of the random orders and their reverses, in nats."""
    found = {}
    for kind in KINDS:
        random = np.concatenate([c.both_ways(kind) for name, c in named.items() if name.startswith(RANDOM)])
        found[kind] = {
            "map": list(getattr(named[MAP], kind)),
            "low": random.min(axis=0).tolist(),
            "high": random.max(axis=0).tolist(),
        }
    return found


def _range(checks: Sequence[Faithfulness]) -> list[float]:
    """The least and the largest score of all curves that are drawn, in nats."""
    parts = [
        part
        for one in checks
        for named in one.curves.values()
        for kind in _told_curves(named).values()
        for part in kind.values()
    ]
    return [min(map(min, parts)), max(map(max, parts))]


def _img(drawn: Figure, alt: str) -> str:
    """A figure as an ``<img>`` that carries its own data."""
    data, size = drawn._repr_png_()
    code = base64.b64encode(data).decode("ascii")
    return (
        f'<img alt="{escape(alt)}" width="{size["width"]}" style="max-width:100%" '
        f'src="data:image/png;base64,{code}">'
    )
