"""Paint one patch: the token that changes most must be the one that the grid names.

Run for every family on its tiny random model, at the decoder's input.  With the vision tower's
attention switched off each token depends on its own patches alone, so that every cell must agree.
With it switched on random weights pass a change on to other tokens, now and then in full; the named
token still changes more than the others do on average.
"""

from __future__ import annotations

import itertools
import random
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny_families import Case, picture

from workbench.models.families import family_of
from workbench.models.families.internvl import best_tiling
from workbench.models.families.llava import fine_grid
from workbench.types import PatchGrid, Turn

SIZES = [(150, 60), (66, 108)]
_MIXING = re.compile(
    r"(self_attn|attn|attention)\.(out_proj|proj|projection_layer|o_proj\.linear)\.(weight|bias)$"
)


def decoder_input(case: Case, image: Image.Image) -> torch.Tensor:
    """What the decoder gets: one vector per position, ``[tokens, hidden]``."""
    caught: list[torch.Tensor] = []

    def catch(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append(kwargs["inputs_embeds"])

    hook = case.model.get_submodule(case.spec.decoder).register_forward_pre_hook(catch, with_kwargs=True)
    with torch.no_grad():
        case.model(**case.encode([Turn("user", "x", [image])]).inputs)
    hook.remove()
    return caught[0][0]


def changes(
    case: Case, base: Image.Image, plain: torch.Tensor, grid: PatchGrid, cell: tuple[int, int]
) -> torch.Tensor:
    """How much each position changes when one cell is painted in the original picture, ``[tokens]``.

    A margin of a fifth of the cell stays unpainted: resizing spreads colour by a pixel or two.
    """
    painted = base.copy()
    x1, y1, x2, y2 = grid.box(*cell)
    dx, dy = (x2 - x1) / 5, (y2 - y1) / 5
    inner = [round(x1 + dx), round(y1 + dy), round(x2 - dx) - 1, round(y2 - dy) - 1]
    ImageDraw.Draw(painted).rectangle(inner, fill=(255, 0, 0))
    return (decoder_input(case, painted) - plain).norm(dim=-1)


def misses(case: Case, size: tuple[int, int], most: int) -> tuple[list[str], int]:
    """Painted cells (up to ten per grid, ``most`` of many grids) where another token changed more."""
    noise = np.random.default_rng(0).integers(100, 150, (size[1], size[0], 3), dtype=np.uint8)
    base = Image.fromarray(noise)
    layout = case.encode([Turn("user", "x", [base])]).layouts[0]
    plain = decoder_input(case, base)
    wrong, tried = [], 0
    most = 10 if len(layout.grids) < 3 else most
    for grid in layout.grids:
        cells = list(itertools.product(range(grid.rows), range(grid.cols)))
        # A cell that shows padding only has nothing that could be painted.
        cells = [cell for cell in cells if visible(grid, cell)]
        for cell in random.Random(1).sample(cells, min(most, len(cells))):
            change = changes(case, base, plain, grid, cell)
            own = [grid.position(*other) for other in cells]
            found = grid.cell(own[int(change[own].argmax())])
            tried += 1
            if found != cell:
                wrong.append(
                    f"{size} grid {grid.rows}x{grid.cols} from {grid.start}: painted {cell}, {found} changed"
                )
    return wrong, tried


def visible(grid: PatchGrid, cell: tuple[int, int]) -> bool:
    """Whether most of a cell lies inside the picture."""
    x1, y1, x2, y2 = grid.box(*cell)
    width = min(x2, grid.size[0]) - max(x1, 0)
    height = min(y2, grid.size[1]) - max(y1, 0)
    return width > (x2 - x1) / 2 and height > (y2 - y1) / 2


def test_painted_cell_is_the_token_that_changes(case):
    tower = case.model.get_submodule(case.spec.vision_tower)
    kept = {name: p.detach().clone() for name, p in tower.named_parameters() if _MIXING.search(name)}
    assert kept, "no attention found in the vision tower"
    parameters = dict(tower.named_parameters())
    try:
        for name in kept:
            parameters[name].data.zero_()
        for size in SIZES:
            wrong, tried = misses(case, size, most=4)
            assert tried >= 6
            assert not wrong, wrong
    finally:
        for name, value in kept.items():
            parameters[name].data.copy_(value)


def test_painted_cell_stands_out_with_attention(case):
    base = picture(*SIZES[0])
    grid = case.encode([Turn("user", "x", [base])]).layouts[0].images[0]
    plain = decoder_input(case, base)
    cells = [c for c in itertools.product(range(grid.rows), range(grid.cols)) if visible(grid, c)]
    for cell in random.Random(2).sample(cells, 6):
        change = changes(case, base, plain, grid, cell)
        others = [grid.position(*other) for other in cells if other != cell]
        assert change[grid.position(*cell)] > change[others].mean(), cell


def test_layout_of_many_sizes(case):
    """Encoding checks by itself that grids and image tokens have the same number."""
    if case.name == "phi4-rv":
        sizes = [(1, 2), (16, 16), (15, 200), (333, 77)]  # its prompt is long; its sizes are tested with it
    else:
        rng = random.Random(3)
        sizes = [(rng.randint(20, 300), rng.randint(20, 300)) for _ in range(25)] + [
            (64, 64),
            (300, 20),
            (31, 280),
        ]
    for size in sizes:
        layout = case.encode([Turn("user", "x", [picture(*size)])]).layouts[0]
        for grid in layout.grids:
            assert grid.size == size
            x1, y1, x2, y2 = grid.region
            assert x1 < x2
            assert y1 < y2
            if case.name != "llava-onevision" and not case.name.startswith("general"):
                assert min(x1, y1) >= 0
                assert x2 <= size[0]
                assert y2 <= size[1]
        assert layout.images[0].image == 0


@pytest.mark.parametrize("seed", range(3))
def test_internvl_tiling_is_the_librarys(seed):
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    rng = random.Random(seed)
    for _ in range(200):
        size = (rng.randint(1, 3000), rng.randint(1, 3000))
        cols, rows = get_optimal_tiled_canvas((size[1], size[0]), (448, 448), 1, 12)
        assert best_tiling(size, (448, 448), 1, 12) == (rows, cols)


def test_llava_fine_grid_has_the_librarys_number_of_tokens():
    """At the real settings: tiles of 384 pixels and 27 tokens, any_max_9."""
    from transformers import LlavaOnevisionProcessor

    points = [[384 * rows, 384 * cols] for rows in range(1, 7) for cols in range(1, 7)]
    theirs = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    theirs.num_image_tokens, theirs.vision_aspect_ratio = 729, "anyres_max_9"
    theirs.image_processor = SimpleNamespace(image_grid_pinpoints=points)
    rng = random.Random(0)
    for _ in range(300):
        width, height = rng.randint(30, 4000), rng.randint(30, 4000)
        rows, cols, region = fine_grid((width, height), points, 384, 27, 9)
        assert 729 + rows * (cols + 1) == theirs._get_number_of_features(height, width, 384, 384)
        # The grid covers the picture up to about one token on each side.
        x, y = (region[2] - region[0]) / cols, (region[3] - region[1]) / rows
        assert max(abs(region[0]), abs(region[2] - width)) <= x
        assert max(abs(region[1]), abs(region[3] - height)) <= y


def test_kimi_grid_is_merged_two_by_two():
    spec = family_of("kimi_vl", "moonshotai/Kimi-VL-A3B-Instruct")
    block = spec.blocks(None, (200, 100), {"image_grid_hws": torch.tensor([6, 10])}, True)
    assert [(b.rows, b.cols, b.region) for b in block] == [(3, 5, (0.0, 0.0, 200.0, 100.0))]
