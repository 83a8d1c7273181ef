"""`attribute`: one verb and one result for every method of attribution"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..answer import Answer
from ..errors import InputError
from ..models.handle import VLM
from ..types import PatchGrid, TokenLayout
from .attribution import Attribution
from .forward import Scorer
from .methods import METHODS, TABLE
from .methods.job import Job, Outcome
from .pixels import FILLS
from .regions import Regions, make_regions

__all__ = ["attribute"]


def attribute(
    vlm: VLM,
    answer: Answer,
    target: Any = None,
    method: str = "occlusion",
    regions: Any = "patches",
    *,
    fill: str = "mean",
    superpixels: int = 64,
    batch_size: int = 16,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Attribution:
    """Which parts of the pictures speak for an answer.

    No method is right everywhere: ask the result's ``check()`` whether its map can be trusted.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        target: None for the answer without its thought; "answer", "thought" or "reply"; a `types.Span` or a
            position in ``answer.token_ids``; another answer to the same prompt for the contrast of the two
            (or `targets.Contrast` with a text).
        method: one of `METHODS`.
        regions: "patches", "superpixels", a grid (rows, cols), or boxes (`types.Region`, or (x1, y1, x2, y2)
            in pixels of the first picture).  Region methods hide them; the others are summed over them.
        fill: what hidden regions show, and where integrated gradients starts: "mean", "blur" or "white".
        superpixels: about how many per picture.
        batch_size: picture sets at a time; halved where memory runs out.
        seed: of everything random; your own random state is neither used nor changed.
        progress: show a bar.
        **options: the method's settings: ``steps`` (integrated gradients), ``samples`` (gradient SHAP,
            Shapley sampling: permutations, KernelSHAP: sets), ``width`` (greedy; None for all candidates),
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
    settings = _checked(method, fill, seed, options)
    scorer = Scorer(vlm, answer, target, batch_size=batch_size)
    divided = make_regions(answer, regions, superpixels=superpixels)
    run = import_module(f"{__package__}.methods.{TABLE[method].module}").run
    score = scorer.known_base
    started = time.perf_counter()

    with tqdm(disable=not progress, unit="picture", desc=method, leave=False) as bar:
        scorer.on_batch = bar.update

        def expect(count: int) -> None:
            bar.total = count
            bar.refresh()

        found: Outcome = run(Job(method, scorer, divided, fill, seed, settings, expect))
    maps, values, tokens = _placed(found, scorer, divided)
    seconds = time.perf_counter() - started
    return Attribution(
        answer=answer,
        method=method,
        target=scorer.target,
        maps=maps,
        tokens=tokens,
        delta=found.delta,
        values=values,
        regions=divided,
        score=score,
        seconds=seconds,
        forwards=scorer.forwards,
        backwards=found.backwards,
        settings={**settings, **found.settings, "fill": fill, "batch_size": batch_size, "seed": seed},
        vlm=vlm,
    )


def _checked(method: Any, fill: Any, seed: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The method's settings, defaults filled in.

    Raises:
        InputError: for an unknown method, fill or setting.
    """
    if not isinstance(method, str) or method not in TABLE:
        raise InputError(f"method={method!r}", f"one of {', '.join(map(repr, METHODS))}")
    if fill not in FILLS:
        raise InputError(f"fill={fill!r}", f"one of {', '.join(map(repr, FILLS))}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed={seed!r}", "a whole number from 0")
    known = TABLE[method].options
    if unknown := sorted(set(options) - set(known)):
        raise InputError(
            f"{', '.join(unknown)} for method={method!r}",
            f"its settings: {', '.join(known) or 'it has none'}",
        )
    return {**known, **options}


def _placed(
    found: Outcome, scorer: Scorer, regions: Regions
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray | None]:
    """Maps, values of regions and values of tokens, from whatever a method found."""
    layout = scorer.answer.layout
    assert layout is not None, "checked with the prompt"
    grids, tokens = layout.images, found.tokens
    if found.positions is not None:
        tokens = found.positions
        maps = _cells(found.positions, layout)
        if regions.kind == "patches":
            values = np.concatenate([part.ravel() for part in maps])
        else:
            values = regions.pool(maps, grids)
            maps = regions.maps(values, grids)
        return maps, values, tokens
    if found.elements is not None:
        atoms = scorer.pixel_map.atoms(regions).ravel()
        per_atom = np.bincount(atoms[atoms >= 0], found.elements.ravel()[atoms >= 0], minlength=regions.atoms)
        values = regions.sum_atoms(per_atom)
    else:
        assert found.values is not None, "a method gives values, elements or positions"
        values = found.values
    return regions.maps(values, grids), values, tokens


def _cells(positions: np.ndarray, layout: TokenLayout) -> tuple[np.ndarray, ...]:
    """Values of prompt positions as maps; a crop's tokens count for the overview's cell at their centre."""
    maps = [np.zeros((grid.rows, grid.cols)) for grid in layout.images]
    grids: Sequence[PatchGrid] = layout.grids
    for grid in grids:
        shown = layout.images[grid.image]
        for row in range(grid.rows):
            for col in range(grid.cols):
                x1, y1, x2, y2 = grid.box(row, col)
                if (cell := shown.at((x1 + x2) / 2, (y1 + y2) / 2)) is not None:
                    maps[grid.image][cell] += positions[grid.position(row, col)]
    return tuple(maps)
