"""The mixture explorer: a fitted response over a triangle of domains and a slider, with how sure it is"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets
import yaml  # type: ignore[import-untyped]
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from scipy.stats import norm

from ..ablate.mixture import beyond, groups, mixture_of
from ..ablate.recipe import DOMAINS, Recipe
from ..ablate.response import Optimum, Response
from ..errors import InputError
from ..html import frame, page, table
from ..html import text as html_text
from ..viz import style
from .widget import HasStatic, asset, in_words, write

__all__ = ["REASONING", "MixtureExplorer"]


REASONING = "reasoning"
"""The part that `workbench.ablate.with_reasoning` adds: the slider moves it, a recipe has it apart."""

STEPS = 40  # of the triangle, from side to side
AMOUNT = 0.05  # step of the share that the slider moves
FAR = 0.03  # share of the records from which on a mixture lies beyond all blends of the runs, above a step's
LEVEL = 0.95  # of all intervals
NEAREST = 5  # mixtures that were run, listed and numbered
COLOURS = "cividis"  # as in the figures; it reads the same for colour-blind readers


class MixtureExplorer(HasStatic, anywidget.AnyWidget):
    """A fitted response to touch: a triangle of three domains, and a slider for the share of one more.

    Drag the mark, or move it with the arrow keys: what is predicted there is told with the interval of the
    surface and the wider one of a new run, beside the mixtures that were really run nearest to it.  Colours
    are paler where the surface is less sure, and what no blend of the runs reaches is hatched.  Only to start
    a run needs a kernel once it is shown; the saved page does all else.

    Args:
        response: from ``workbench.ablate.fit_response(shares, metric)``.  Of two domains the slider is shown
            alone, with its curve.
        corners: the three domains of the triangle (left, right, top); None for those that vary most.
        slider: one more domain, moved by a slider; None for "reasoning" where the response has it beside
            three others, else for none.
        held: shares of all other domains in what the slider leaves; None for those of the best mixture, or
            of the runs' mean where the response has no goal.
        best: ``response.optimum()``; None for one without refits, where the response has a goal.
        recipe: what a run is like but for its mixture and its share of thoughts.
        run: called with a `Recipe` by "Run this point", in a thread of its own, such as
            ``lambda recipe: workbench.ablate.run(recipe, "runs")``.

    Attributes:
        response: the response.
        best: its optimum, or None.
        results: what ``run`` returned, one per finished run.

    Raises:
        InputError: for anything but a response; domains that it does not have or that are named twice; held
            shares that leave nothing; a surface that is no number somewhere; ``run`` for domains that no
            recipe has.

    Example:
        >>> MixtureExplorer(fit_response(shares, accuracy, goal="max"))  # doctest: +SKIP
    """

    _esm = asset("dom.js") + asset("sources.js") + asset("mixture.js")
    _css = asset("explorer.css") + asset("mixture.css")
    info = traitlets.Dict().tag(sync=True)
    point = traitlets.List(traitlets.Int()).tag(sync=True)  # steps towards each corner; they sum to STEPS
    step = traitlets.Int(0).tag(sync=True)  # of the slider
    doing = traitlets.Unicode("").tag(sync=True)  # the run that goes on, in words
    finished = traitlets.List(traitlets.Unicode()).tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        response: Response,
        *,
        corners: Sequence[str] | None = None,
        slider: str | None = None,
        held: Mapping[str, float] | None = None,
        best: Optimum | None = None,
        recipe: Recipe | None = None,
        run: Callable[[Recipe], object] | None = None,
    ) -> None:
        self.response = style.record(response, Response, "workbench.ablate.fit_response(shares, metric)")
        if best is None and response.goal is not None:
            best = response.optimum(n_resamples=0)
        self.best = None if best is None else style.record(best, Optimum, "response.optimum()")
        self.results: list[object] = []
        middle = (response.shares.mean() if best is None else best.shares)[list(response.domains)]
        self._cut = _cut(response, middle, corners=corners, slider=slider, held=held)
        self._recipe, self._run = recipe or Recipe(), run
        if run is not None:
            self._cut.check_recipe()
        self._checked = response.cross_validate()
        self._told = _predicted(response, self._cut, self._checked.rmse)
        self._runs = _mixtures_run(response)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="workbench-mixture")
        self._latest: Future[None] | None = None
        point, step = self._cut.nearest(middle.to_numpy())
        super().__init__(info=self._info(), point=point, step=step)
        self.on_msg(self._heard)

    # -- for Python ------------------------------------------------------------------------------

    @property
    def shares(self) -> pd.Series:
        """The mixture under the mark, a share a domain of the response."""
        return pd.Series(self._cut.mixture(self.point, self.step), list(self._cut.domains), name="share")

    @property
    def recipe(self) -> Recipe:
        """The recipe of a run of the mixture under the mark.

        Raises:
            InputError: if the response has domains that a recipe has not.
        """
        self._cut.check_recipe()
        told, changes = self._cut.told(self.point, self.step), dict[str, Any]()
        if REASONING in told:
            changes["reasoning"] = {"share": told.pop(REASONING), "domains": self._thinking}
        if self._cut.mixes:
            changes["mixture"] = mixture_of(told)
        return self._recipe.replace(**changes)

    @property
    def nearest(self) -> pd.DataFrame:
        """The mixtures that were run nearest to the mark, one per row.

        ``apart`` is the share of the records that differ; then the number of ``runs``, what they ``measured``
        in the mean, the ``low`` and ``high`` end of their range, and a share a domain.
        """
        domains = list(self._cut.domains)
        apart = np.abs(self._runs[domains].to_numpy() - self.shares.to_numpy()).sum(axis=1) / 2
        rows = self._runs.assign(apart=apart).sort_values("apart", kind="stable").head(NEAREST)
        return rows[["apart", "runs", "measured", "low", "high", *domains]]

    @property
    def reading(self) -> str:
        """What is predicted under the mark, in words."""
        value, half, run, out = self._told[self.step, self._cut.index(self.point)]
        told = self._cut.told(self.point, self.step)
        parts = ", ".join(f"{name} {_percent(share)}" for name, share in told.items())
        far = " No blend of the runs comes near it: a guess." if out > FAR else ""
        surface = f"{value - half:.4g} and {value + half:.4g}"
        return (
            f"{parts}: {self.response.metric.name} {value:.4g}. The surface lies between {surface}, a new "
            f"run between {value - run:.4g} and {value + run:.4g} ({LEVEL:.0%}).{far}"
        )

    def start(self) -> None:
        """Begin a run of the mixture under the mark; returns at once.

        Raises:
            InputError: if the explorer was made without ``run``.
        """
        if self._run is None:
            fix = 'MixtureExplorer(response, run=lambda recipe: ablate.run(recipe, "runs"))'
            raise InputError("an explorer without run=", "what starts a run", fix)
        self._latest = self._pool.submit(self._do, self.recipe)

    def wait(self) -> None:
        """Wait until what was begun is done."""
        if self._latest is not None:
            self._latest.result()

    def static(self) -> str:
        """The surface, what is predicted under the mark, the nearest runs, as HTML that needs no kernel."""
        rows = [
            (
                name,
                _percent(row.apart),
                int(row.runs),
                f"{row.measured:.4g}",
                f"{row.low:.4g} to {row.high:.4g}",
            )
            for name, row in self.nearest.iterrows()
        ]
        header = ("nearest mixtures that were run", "records that differ", "runs", "mean", "runs from")
        data, size = self._drawn()._repr_png_()
        picture = (
            f'<img alt="the surface" width="{size["width"]}" style="max-width:100%" '
            f'src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}">'
        )
        return frame(f"{picture}<p>{html_text(self.reading)}</p>{table(header, rows)}")

    def save_html(self, path: str | Path) -> Path:
        """Save it as one file that works offline, triangle, slider and all.

        Raises:
            DiskError: if it cannot be written there.
        """
        state = {"info": {**self.info, "run": False}, "point": self.point, "step": self.step}
        buffers = [base64.b64encode(one).decode("ascii") for one in self._buffers()]
        # "<" is written as an escape, so that no text can end the element that holds it
        data = json.dumps({"state": state, "buffers": buffers}).replace("<", "\\u003c")
        module = str(self._esm).replace("export default { render };", "").replace("export ", "")
        look = f"{self._css}\nbody {{ background: Canvas; color: CanvasText; color-scheme: light dark; }}"
        script = f"{{ {module}\nopen(document.getElementById('here'), {data}); }}"
        return write(path, page("The mixture explorer", '<div id="here"></div>', style=look, script=script))

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _thinking(self) -> list[str]:
        """The domains that carry thoughts."""
        return list(self._recipe.reasoning.domains or DOMAINS)

    def _info(self) -> dict[str, Any]:
        """What a view needs besides the numbers of the surface."""
        cut, within = self._cut, self._told[..., 3] <= FAR
        values = self._told[..., 0][within] if within.any() else self._told[..., 0]
        runs = [
            {"name": str(name), "runs": int(row.runs), "measured": [row.measured, row.low, row.high]}
            for name, row in self._runs.iterrows()
        ]
        return {
            "metric": str(self.response.metric.name), "goal": self.response.goal, "level": LEVEL, "far": FAR,
            "checked": str(self._checked),
            "domains": list(cut.domains), "corners": list(cut.corners), "slider": cut.slider,
            "amounts": cut.amounts.tolist(), "held": cut.held.tolist(), "floors": cut.floors.tolist(),
            "reasoning": cut.thinks, "steps": STEPS, "nearest": NEAREST, "runs": runs,
            "range": [float(values.min()), float(values.max())],
            "best": None if self.best is None else self.best.shares[list(cut.domains)].tolist(),
            "palette": [to_hex(colour) for colour in colormaps[COLOURS](np.linspace(0, 1, 17))],
            "recipe": self._written() if cut.has_recipe else None, "run": self._run is not None,
        }  # fmt: skip

    def _written(self) -> dict[str, Any]:
        """The recipe as YAML but for what the mark moves, and without what is as usual."""
        moved = {"mixture": self._cut.mixes, REASONING: self._cut.thinks}
        usual = Recipe().to_dict()
        rest = {
            name: value
            for name, value in self._recipe.to_dict().items()
            if value != usual[name] and not moved.get(name)
        }
        text = yaml.safe_dump(rest, sort_keys=False) if rest else ""
        return {"rest": text, "mixes": self._cut.mixes, "domains": self._thinking}

    def _buffers(self) -> list[bytes]:
        """The surface as `_predicted` gives it, and the shares of the mixtures that were run."""
        runs = self._runs[list(self._cut.domains)].to_numpy()
        return [numbers.astype("<f4").tobytes() for numbers in (self._told, runs)]

    def _do(self, recipe: Recipe) -> None:
        """Run one recipe; what goes wrong is told in words."""
        assert self._run is not None
        self.problem, self.doing = "", f"run {recipe.hash} has begun"
        try:
            done = self._run(recipe)
        except Exception as error:
            self.problem = in_words(error, f"run {recipe.hash}")
        else:
            self.results.append(done)
            self.finished = [*self.finished, str(done)]
        finally:
            self.doing = ""

    def _heard(self, _: object, content: object, buffers: object) -> None:
        """A view asks for the surface, or for a run."""
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind == "surface":
            self.send({"kind": "surface"}, buffers=self._buffers())
        elif kind == "run" and self._run is not None and not self.doing:
            self.start()

    @traitlets.validate("point")
    def _check_point(self, proposal: Any) -> list[int]:
        point = proposal["value"]
        if len(point) != len(self._cut.corners) or min(point) < 0 or sum(point) != STEPS:
            expected = f"{len(self._cut.corners)} whole numbers from 0 that sum to {STEPS}"
            raise InputError(f"point={point}", expected)
        return list(point)

    @traitlets.validate("step")
    def _check_step(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self._cut.amounts):
            raise InputError(
                f"step={proposal['value']}", f"a whole number from 0 to {len(self._cut.amounts) - 1}"
            )
        return int(proposal["value"])

    def _drawn(self) -> style.Figure:
        """The surface at the slider's amount, or the slider's curve where there is no triangle."""
        drawn, (axes,) = style.panels(1, 1, width=6.4, height=4.4)
        if len(self._cut.corners) == 3:
            _draw_triangle(axes, self._cut, self._told[self.step], self._runs, self.point)
        else:
            _draw_curve(axes, self._cut, self._told[:, 0], self._runs, self.step)
        style.titled(drawn, f"{self.response.metric.name}, predicted by {self.response.method}")
        return drawn

    def __repr__(self) -> str:
        return f"MixtureExplorer({self.response.metric.name} by {', '.join(self._cut.domains)})"


@dataclass(frozen=True)
class _Cut:
    """Which mixtures are shown: the triangle's corners, the slider's domain, and all others held.

    Args:
        domains: of the response.
        corners: columns of the triangle's domains, left, right and top; a single one where there is none.
        slider: column of the slider's domain, or None.
        amounts: shares that the slider offers, ``[steps]``.
        held: share of each held domain in what the slider leaves, 0 for the others, ``[domains]``.
        floors: least share of each corner in what the three hold together, ``[corners]``: mixtures that were
            run often lie close together, and the triangle shows where they are.
    """

    domains: tuple[str, ...]
    corners: tuple[int, ...]
    slider: int | None
    amounts: np.ndarray
    held: np.ndarray
    floors: np.ndarray

    @property
    def thinks(self) -> bool:
        """Whether the slider moves the share of thoughts."""
        return self.slider is not None and self.domains[self.slider] == REASONING

    @property
    def mixes(self) -> bool:
        """Whether all other domains are those of a recipe's mixture."""
        return set(self.domains) - {REASONING} <= set(DOMAINS)

    @property
    def has_recipe(self) -> bool:
        """Whether a recipe can be written for each mixture."""
        return (
            self.thinks
            and len(self.domains) == 2
            or self.mixes
            and self.thinks == (REASONING in self.domains)
        )

    def check_recipe(self) -> None:
        """Refuse what no recipe can be written for."""
        if not self.has_recipe:
            raise InputError(
                f"a recipe of the domains {', '.join(self.domains)}",
                f"some of {', '.join(DOMAINS)}, and {REASONING} on the slider",
                "leave run= out: shares are shown to copy",
            )

    def points(self) -> np.ndarray:
        """Steps towards each corner of all places of the triangle, ``[points, corners]``."""
        if len(self.corners) == 1:
            return np.array([[STEPS]])
        return np.array([(i, k, STEPS - i - k) for i in range(STEPS + 1) for k in range(STEPS + 1 - i)])

    def index(self, point: Sequence[int]) -> int:
        """Of a place in `points`."""
        if len(point) == 1:
            return 0
        left, right, _ = point
        return left * (STEPS + 1) - left * (left - 1) // 2 + right

    def composed(self, points: np.ndarray) -> np.ndarray:
        """Shares in what the slider leaves, ``[points, domains]``."""
        found = np.tile(self.held, (len(points), 1))
        inside = self.floors + (1 - self.floors.sum()) * points / STEPS
        found[:, list(self.corners)] = (1 - self.held.sum()) * inside
        return found

    def mixture(self, point: Sequence[int], step: int) -> np.ndarray:
        """Shares of all domains at one place, ``[domains]``."""
        amount = self.amounts[step]
        found = (1 - amount) * self.composed(np.array([point]))[0]
        if self.slider is not None:
            found[self.slider] = amount
        return found

    def told(self, point: Sequence[int], step: int) -> dict[str, float]:
        """The same for a reader, to whom the share of thoughts is no part of the mixture."""
        shares = self.composed(np.array([point]))[0] if self.thinks else self.mixture(point, step)
        if self.thinks:
            shares[self.slider] = self.amounts[step]
        return dict(zip(self.domains, map(float, shares), strict=True))

    def nearest(self, shares: np.ndarray) -> tuple[list[int], int]:
        """The place and the slider's step nearest to a mixture."""
        amount = 0.0 if self.slider is None else shares[self.slider]
        step = int(np.abs(self.amounts - amount).argmin())
        inside = shares[list(self.corners)]
        inside = inside / inside.sum() if inside.sum() > 0 else np.full(len(inside), 1 / len(inside))
        exact = STEPS * np.clip((inside - self.floors) / (1 - self.floors.sum()), 0, None)
        exact *= STEPS / exact.sum()
        point = np.floor(exact + 1e-9).astype(int)
        point[np.argsort(point - exact)[: STEPS - point.sum()]] += 1
        return point.tolist(), step


def _cut(
    response: Response,
    middle: pd.Series,
    *,
    corners: Sequence[str] | None,
    slider: str | None,
    held: Mapping[str, float] | None,
) -> _Cut:
    """The cut through a response that is shown; `middle` is the mixture that it goes through.

    Raises:
        InputError: for domains that are not there or named twice, and held shares that leave nothing.
    """
    domains = response.domains
    if slider is None and REASONING in domains and len(domains) != 3:
        slider = REASONING
    if slider is None and len(domains) == 2:
        slider = domains[0]
    free = [name for name in domains if name != slider]
    if corners is None:
        widest = response.shares[free].std().sort_values(ascending=False, kind="stable").index[:3]
        corners = [name for name in free if name in widest]
    named = [*corners, *([] if slider is None else [slider])]
    if unknown := [name for name in named if name not in domains]:
        raise InputError(f"the domain {unknown[0]!r}", f"some of {', '.join(domains)}")
    if (
        len(set(named)) < len(named)
        or len(corners) not in (1, 3)
        or (len(corners) == 1) != (len(domains) == 2)
    ):
        raise InputError(
            f"corners={list(corners)} and slider={slider!r} of {len(domains)} domains",
            "three corners, and another domain on the slider; of two domains the slider alone",
        )
    at = [domains.index(name) for name in corners]
    others = [name for name in domains if name not in named]
    most = 0.0 if slider is None else float(response.shares[slider].max())
    count = int(np.ceil(round(most / AMOUNT, 6))) + 1
    return _Cut(
        domains=domains,
        corners=tuple(at),
        slider=None if slider is None else domains.index(slider),
        amounts=(np.arange(count) * AMOUNT).round(9) if slider is not None else np.zeros(1),
        held=_held(response, middle, others, slider, held),
        floors=_floors(response.shares.to_numpy()[:, at]),
    )


def _held(
    response: Response,
    middle: pd.Series,
    others: Sequence[str],
    slider: str | None,
    held: Mapping[str, float] | None,
) -> np.ndarray:
    """Shares of the held domains in what the slider leaves, ``[domains]``."""
    if held is None:
        left = 1 - (0.0 if slider is None else middle[slider])
        rest = middle if left > AMOUNT else response.shares.mean()
        left = left if left > AMOUNT else 1 - rest[slider]
        held = {name: rest[name] / left for name in others}
    if set(held) != set(others):
        expected = f"a share of each of {', '.join(others)}" if others else "none: all domains move"
        raise InputError(f"held={dict(held)}", expected)
    shares = np.array([held.get(name, 0.0) for name in response.domains], dtype=float)
    if not (shares >= 0).all() or not shares.sum() < 1:
        raise InputError(f"held={dict(held)}", "shares from 0 that sum to less than one")
    return shares


def _floors(parts: np.ndarray) -> np.ndarray:
    """Shares below which no run holds a corner's domain, a little lower and rounded; 0 for one corner."""
    total = parts.sum(axis=1, keepdims=True)
    inside = parts[total[:, 0] > 0] / total[total[:, 0] > 0]
    if parts.shape[1] == 1 or not len(inside):
        return np.zeros(parts.shape[1])
    floors = np.maximum(0, np.floor((inside.min(axis=0) - AMOUNT / 2) / AMOUNT) * AMOUNT)
    return floors if 1 - floors.sum() >= 2 * AMOUNT else np.zeros(len(floors))


def _predicted(response: Response, cut: _Cut, missed: float) -> np.ndarray:
    """The surface over the cut.

    Args:
        missed: error of left-out runs, in the metric's unit.

    Returns:
        Value, half the interval of the surface, half that of a new run, and how far beyond the runs' blends,
        ``[slider, points, 4]``.

    Raises:
        InputError: if the surface is no number somewhere.
    """
    points = cut.points()
    mixtures = np.array([[cut.mixture(point, step) for point in points] for step in range(len(cut.amounts))])
    flat = mixtures.reshape(-1, len(cut.domains))
    frame = pd.DataFrame(flat, columns=list(cut.domains))
    z = float(norm.ppf(0.5 + LEVEL / 2))
    value, error = response.predict(frame).to_numpy(), response.error(frame).to_numpy()
    out = beyond(flat, response.shares.to_numpy())
    told = np.column_stack([value, z * error, z * np.hypot(error, missed), out])
    if not np.isfinite(told).all():
        at = flat[~np.isfinite(told).all(axis=1)][0]
        shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(cut.domains, at, strict=True))
        raise InputError(
            f"a surface that is no number at {shares}", "finite predictions", "fit another method"
        )
    return told.reshape(*mixtures.shape[:2], 4)


def _mixtures_run(response: Response) -> pd.DataFrame:
    """One row per different mixture: runs, their mean, the lowest and the highest, and a share a domain."""
    kind = groups(response.shares)
    measured = response.metric.groupby(kind).agg(runs="size", measured="mean", low="min", high="max")
    shares = response.shares.groupby(kind).first()
    names = [_names(response.shares.index[kind == number]) for number in measured.index]
    return pd.concat([measured, shares], axis=1).set_axis(names)


def _names(labels: pd.Index) -> str:
    """The labels of some runs, the first of them where they are many."""
    each = list(dict.fromkeys(map(str, labels)))
    more = f" and {len(each) - 2} more" if len(each) > 2 else ""
    return "; ".join(each[:2]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _flat(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts of a triangle ``[points, 3]`` in the plane: left, right, top."""
    return inside[:, 1] + inside[:, 2] / 2, inside[:, 2] * np.sqrt(3) / 2


def _draw_triangle(axes: Axes, cut: _Cut, told: np.ndarray, runs: pd.DataFrame, point: Sequence[int]) -> None:
    """The surface with the runs, the mark, and crosses on what is beyond the runs."""
    points = cut.points() / STEPS
    filled = axes.tricontourf(*_flat(points), told[:, 0], levels=12, cmap=COLOURS)
    axes.figure.colorbar(filled, ax=axes, shrink=0.8)
    out = points[told[:, 3] > FAR]
    axes.plot(*_flat(out), "x", color="white", markersize=2.5, markeredgewidth=0.6)
    axes.plot([], [], "x", color=style.FAINT, markersize=4, label="(white) beyond the runs")
    parts = runs[[cut.domains[at] for at in cut.corners]].to_numpy()
    parts = parts[parts.sum(axis=1) > 0]
    inside = (parts / parts.sum(axis=1, keepdims=True) - cut.floors) / (1 - cut.floors.sum())
    axes.plot(*_flat(inside), "o", color="white", markeredgecolor=style.INK, markersize=5, label="runs")
    axes.plot(*_flat(np.array([point]) / STEPS), "P", color="#BB5566", markeredgecolor="white", markersize=12)
    tops = cut.floors + (1 - cut.floors.sum())
    places = ((0.0, -0.05, "top"), (1.0, -0.05, "top"), (0.5, 0.89, "bottom"))
    for at, most, (x, y, side) in zip(cut.corners, tops, places, strict=True):
        axes.text(x, y, f"{cut.domains[at]} {most:.0%}", ha="center", va=side, fontsize=9, color=style.INK)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)


def _draw_curve(axes: Axes, cut: _Cut, told: np.ndarray, runs: pd.DataFrame, step: int) -> None:
    """The slider's curve with the surface's interval, the runs, and a line where the slider is."""
    assert cut.slider is not None
    name = cut.domains[cut.slider]
    axes.fill_between(
        cut.amounts, told[:, 0] - told[:, 1], told[:, 0] + told[:, 1], color="#004488", alpha=0.2
    )
    axes.plot(cut.amounts, told[:, 0], color="#004488")
    axes.plot(runs[name], runs["measured"], "o", color="#BB5566")
    axes.axvline(cut.amounts[step], color=style.INK, linewidth=0.8)
    axes.set_xlabel(f"share of {name}")
    style.plain(axes, grid="y")
