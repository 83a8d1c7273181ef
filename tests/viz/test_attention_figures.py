"""Figures of attention: every value over its own pixels, dark is more, true titles."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from workbench import viz
from workbench.answer import Answer
from workbench.attention import make_attention
from workbench.errors import CapabilityError, InputError
from workbench.synth.sample import Element
from workbench.types import PatchGrid, Region, Span, TokenLayout
from workbench.viz.overlay import ATTENTION
from workbench.viz.spotlight import COLOURS, DIVERGING, cell_names, is_dark, lit, most_on, shade
from workbench.viz.style import Figure

WORDS = ("<think>", " red", " is", " $1$", "\n", "</think>", " blue", "<end>")


def answer(*pictures: Image.Image, region: tuple[float, ...] | None = None, cells=(3, 6)) -> Answer:
    """A reply of eight tokens about some pictures."""
    grids, start = [], 4
    for i, picture in enumerate(pictures):
        whole = region or (0.0, 0.0, *map(float, picture.size))
        grids.append(PatchGrid(i, *cells, start, picture.size, whole, cells[1]))
        start += cells[0] * cells[1] + 1
    return Answer(
        text="blue", thought="red is $1$", mode="think", p_think=0.9, prompt_tokens=start, image_tokens=18,
        thought_tokens=4, answer_tokens=1, seconds=0.1, seconds_to_first_token=0.1, stopped="end",
        token_ids=tuple(range(start + len(WORDS))),
        spans={"thought": Span(start + 1, start + 5), "answer": Span(start + 6, start + 7)},
        layout=TokenLayout(start, tuple(grids)), images=pictures,
    )  # fmt: skip


WIDE = Image.new("RGB", (96, 48), "white")


def one_patch(row: int, col: int, value: float = 0.4, cells: tuple[int, int] = (3, 6)) -> np.ndarray:
    values = np.zeros(cells)
    values[row, col] = value
    return values


def boxes_lit(drawn: Figure, panel: int = 0) -> tuple[float, ...]:
    """The box, in the picture's pixels, in which a white picture has a tint."""
    seen = np.asarray(drawn.axes[panel].images[0].get_array())
    rows, cols = np.nonzero(np.ptp(seen, axis=-1) > 0.02)
    y, x = (drawn.axes[panel].images[0].get_extent()[at] / seen.shape[axis] for axis, at in ((0, 2), (1, 1)))
    return tuple(
        float(round(n)) for n in (cols.min() * x, rows.min() * y, (cols.max() + 1) * x, (rows.max() + 1) * y)
    )


def title(drawn: Figure) -> str:
    return drawn._suptitle.get_text().replace("\n", " ")


def pixels(drawn: Figure, box: tuple[float, ...], panel: int = 0) -> np.ndarray:
    """What is drawn inside a box of the panel's own coordinates, as grey values 0 to 255."""
    drawn.canvas.draw()
    canvas = np.asarray(drawn.canvas.buffer_rgba())[..., :3].astype(float) @ [0.299, 0.587, 0.114]
    corners = drawn.axes[panel].transData.transform([(box[0], box[3]), (box[2], box[1])])
    (x1, y2), (x2, y1) = corners
    height = canvas.shape[0]
    return canvas[round(height - y1) : round(height - y2), round(x1) : round(x2)]


def lettered(ground: str, ink: str) -> Image.Image:
    """A picture with a bar of ink, as a letter has, in the middle of each patch."""
    picture = Image.new("RGB", (96, 48), ground)
    for row in range(3):
        for col in range(6):
            picture.paste(ink, (16 * col + 6, 16 * row + 2, 16 * col + 10, 16 * row + 14))
    return picture


def contrast(inside: np.ndarray) -> float:
    return float(np.ptp(np.quantile(inside, [0.05, 0.95])))


@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("black", "white"), ("#eeeeee", "#223399")])
def test_what_is_looked_at_stays_legible_and_the_rest_fades(ground: str, ink: str) -> None:
    picture = lettered(ground, ink)
    drawn = viz.overlay(answer(picture), one_patch(1, 4))
    before = contrast(np.asarray(picture.convert("L"))[17:31, 65:79])
    looked, elsewhere = (contrast(pixels(drawn, box)) for box in ((67, 19, 77, 29), (19, 19, 29, 29)))
    assert looked > 0.4 * before  # nothing is painted over it
    assert 0.4 * before < elsewhere < 0.65 * before  # faded, and still to be read
    assert contrast(pixels(viz.overlay(answer(picture), one_patch(1, 4), strength=0), (19, 19, 29, 29))) == (
        pytest.approx(before, abs=3)
    )


def test_colours_come_back_where_it_is_looked_at_and_only_there() -> None:
    red = np.full((2, 3), [0.8, 0.1, 0.1])
    for dark in (False, True):
        away, strong = lit(red, np.array([0.0, 1.0]), dark=dark)
        assert np.ptp(away) == pytest.approx(0, abs=1e-9)
        assert strong[0] - strong[2] > 0.5
    grey = np.full((3, 3), 0.5)
    for dark in (False, True):
        _, towards, against = lit(grey, np.array([0.0, 1.0, -1.0]), dark=dark)
        assert towards[0] > towards[2]
        assert against[2] > against[0]
    assert is_dark(Image.new("RGB", (9, 9), "#333333"))
    assert not is_dark(Image.new("RGB", (9, 9), "#cccccc"))


def test_a_cell_is_named_by_the_word_on_it_or_by_its_place() -> None:
    grid = answer(WIDE).layout.images[0]
    window = Element((0, 0, 96, 48), "window", "Mail")
    word, star = Element((66, 18, 90, 30), "link", "Shop"), Element((0, 33, 15, 47), "star")
    names = cell_names(grid, [window, word, star])
    assert names[6 + 4] == names[6 + 5] == "on “Shop”"
    assert names[12] == "on the star"
    assert names[3] == "on “Mail”"
    bare = cell_names(grid)
    assert (bare[0], bare[5], bare[8], bare[17]) == (
        "at the top left", "at the top right", "in the middle", "at the bottom right"
    )  # fmt: skip
    values = one_patch(1, 4, 0.3) + one_patch(1, 5, 0.1) + one_patch(0, 0, 0.2)
    assert most_on(values, names) == ("on “Shop”", pytest.approx(0.4))


def test_more_is_darker_in_grey_all_the_way() -> None:
    def grey(stops: tuple[str, ...]) -> np.ndarray:
        rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in stops])
        return rgb @ [0.299, 0.587, 0.114]

    assert (np.diff(grey(COLOURS)) < 0).all()
    from_zero = len(DIVERGING) // 2
    assert (np.diff(grey(DIVERGING)[from_zero:]) < 0).all()
    assert (np.diff(grey(DIVERGING)[: from_zero + 1]) > 0).all()
    drawn = shade(np.linspace(0, 1, 50), 1.0, signed=False)
    seen = (drawn[:, :3] @ [0.299, 0.587, 0.114]) * drawn[:, 3] + 1 - drawn[:, 3]
    assert (np.diff(seen) < 0).all()


def test_a_map_lies_on_the_pixels_of_its_grid_and_is_cut_at_the_edge_of_the_picture() -> None:
    padded = answer(WIDE, region=(0.0, 0.0, 96.0, 72.0))  # the family padded the picture below
    drawn = viz.overlay(padded, one_patch(1, 2))
    (picture,) = drawn.axes[0].images
    assert picture.get_extent() == [0, 96, 48, 0]
    assert drawn.axes[0].get_xlim() == (0, 96)
    assert drawn.axes[0].get_ylim() == (48, 0)
    assert boxes_lit(drawn) == (32, 24, 48, 48)  # row 1 now spans 24 to 48


def test_the_line_goes_round_what_is_above_half() -> None:
    values = one_patch(0, 0, 0.4) + one_patch(0, 1, 0.3) + one_patch(2, 5, 0.1)
    drawn = viz.overlay(answer(WIDE), values)
    lines = [c for c in drawn.axes[0].collections if isinstance(c, LineCollection)]
    ends = {tuple(map(float, point)) for segment in lines[-1].get_segments() for point in segment}
    assert ends == {(0, 0), (16, 0), (32, 0), (0, 16), (16, 16), (32, 16)}


def test_the_title_and_the_bar_say_how_much_and_where() -> None:
    drawn = viz.overlay(answer(WIDE), one_patch(1, 4, 0.25) + one_patch(0, 0, 0.05), label=ATTENTION)
    assert title(drawn) == "30% of the attention is on this picture, 83% of it on the right"
    named = viz.overlay(
        answer(WIDE),
        one_patch(1, 4, 0.25),
        label=ATTENTION,
        elements=[Element((64, 16, 80, 32), "link", "$5$")],
    )
    assert title(named) == "25% of the attention is on this picture, 100% of it on “$5$”"
    named.canvas.draw()
    assert named._suptitle.get_parse_math() is False
    assert drawn.axes[1].get_ylim() == pytest.approx((0, 0.25))
    assert drawn.axes[1].get_ylabel() == "share of the attention"
    fixed = viz.overlay(answer(WIDE), one_patch(1, 4, 0.25), peak=0.5, title="mine")
    assert fixed.axes[1].get_ylim() == pytest.approx((0, 0.5))
    assert title(fixed) == "mine"
    assert "Nothing" in title(viz.overlay(answer(WIDE), np.zeros((3, 6))))


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    drawn = viz.overlay(answer(WIDE), one_patch(1, 4))
    words = [t.get_text() for t in drawn.axes[0].texts]
    assert words == ["20 pixels"]
    x, y = drawn.axes[0].lines[0].get_data()
    assert x[1] - x[0] == 20
    assert min(y) > 48  # below the picture, not on it


def test_a_signed_map_has_two_colours_around_zero() -> None:
    drawn = viz.overlay(answer(WIDE), one_patch(1, 4, 2.0) + one_patch(0, 0, -1.5), label="change")
    assert drawn.axes[1].get_ylim() == pytest.approx((-2, 2))
    seen = np.asarray(drawn.axes[0].images[0].get_array())
    towards, against = (
        seen[at[0] * seen.shape[0] // 48, at[1] * seen.shape[1] // 96] for at in ((24, 72), (8, 8))
    )
    assert towards[0] > towards[2]  # for: orange
    assert against[2] > against[0]  # against: blue
    dashes = [c.get_linestyle()[0][1] for c in drawn.axes[0].collections if isinstance(c, LineCollection)]
    assert [pattern is not None for pattern in dashes] == [False, False, False, True]
    assert "Change: strongest on the right (+2 in one patch)" in title(drawn)


def test_boxes_and_further_pictures_are_drawn_where_they_belong() -> None:
    both = answer(WIDE, Image.new("RGB", (60, 60), "black"))
    drawn = viz.overlay(
        both, one_patch(0, 0), image=1, boxes={"evidence": [Region((1, 2, 3, 4)), Region((5, 6, 7, 9), 1)]}
    )
    assert drawn.axes[0].get_xlim() == (0, 60)
    (frame,) = [line for line in drawn.axes[0].lines if line.get_label() == "evidence"]
    x, y = frame.get_data()
    assert (np.nanmin(x), np.nanmin(y), np.nanmax(x), np.nanmax(y)) == (5, 6, 7, 9)
    assert np.isnan(x).any()  # corners, which no map's outline has
    (legend,) = drawn.axes[0].get_legend().get_texts()
    assert legend.get_text() == "evidence"


@pytest.mark.parametrize(
    ("values", "image", "says"),
    [
        (np.zeros((6, 3)), 0, r"shape \(6, 3\).*\(3, 6\)"),
        (np.full((3, 6), np.nan), 0, "not finite"),
        (np.zeros((3, 6)), 1, "image=1"),
        (np.zeros((3, 6)), -1, "image=-1"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(values: np.ndarray, image: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        viz.overlay(answer(WIDE), values, image=image)


def test_an_answer_without_a_layout_and_a_grid_of_another_answer_are_refused() -> None:
    with pytest.raises(CapabilityError, match="layout"):
        viz.overlay(replace(answer(WIDE), layout=None), np.zeros((3, 6)))
    with pytest.raises(InputError, match="another answer"):
        viz.overlay(answer(WIDE), np.zeros((3, 6)), grid=PatchGrid(0, 3, 6, 999, (96, 48), (0, 0, 96, 48), 6))


def test_a_crop_is_drawn_over_its_own_part_of_the_picture() -> None:
    base = answer(WIDE)
    crop = PatchGrid(0, 2, 2, 30, (96, 48), (48.0, 0.0, 96.0, 48.0), 2)
    cut = replace(base, layout=TokenLayout(60, base.layout.images, (crop,)))
    drawn = viz.overlay(cut, one_patch(0, 1, cells=(2, 2)), grid=crop)
    assert boxes_lit(drawn) == (72, 0, 96, 24)
    assert drawn.axes[0].get_xlim() == (0, 96)


def test_a_token_strip_shows_each_token_on_its_ground_and_reads_no_mathematics() -> None:
    values = [0.0, 0.1, 0.2, 0.9, None, 0.1, 0.3, 0.1]
    drawn = viz.token_strip(answer(WIDE), values, tokens=WORDS)
    grounds = drawn.axes[0].patches
    assert len(grounds) == len(WORDS)
    strengths = [p.get_facecolor()[3] for p in grounds]
    assert strengths[3] == max(strengths)
    assert strengths[4] == strengths[0] == 0
    letters = "".join(t.get_text() for t in drawn.axes[0].texts)
    assert "$1$" in letters
    assert "↵" in letters
    drawn.canvas.draw()
    assert "most at “$1$” (0.9)" in title(drawn)
    lines = {word: p.get_y() for word, p in zip(WORDS, grounds, strict=True)}
    assert lines[" blue"] > lines["</think>"] > lines[" red"]  # the answer begins on a line of its own


@pytest.mark.parametrize(
    ("values", "tokens", "says"),
    [([1.0], WORDS, "1 values"), ([1.0] * 8, WORDS[:3], "3 tokens"), ([-1.0] * 8, WORDS, "-1")],
)
def test_a_strip_with_other_values_than_tokens_is_refused(values, tokens, says: str) -> None:
    with pytest.raises(InputError, match=says):
        viz.token_strip(answer(WIDE), values, tokens=tokens)


def test_a_sheet_holds_every_head_at_its_place() -> None:
    attention = make_attention(layers=3, heads=4, grid=(3, 6), reply=4, seed=1)
    token = attention.reply(2)
    drawn = viz.sheet(attention, token)
    page = np.ma.filled(drawn.axes[0].images[0].get_array(), np.nan)
    assert page.shape == (3 * 3 + 2, 4 * 6 + 3)
    for layer in range(3):
        for head in range(4):
            shown = page[layer * 4 : layer * 4 + 3, head * 7 : head * 7 + 6]
            np.testing.assert_allclose(shown, attention.map(token, layers=[layer], heads=[head]), rtol=1e-5)
    shares = [[attention.map(token, layers=[i], heads=[j]).sum() for j in range(4)] for i in range(3)]
    layer, head = np.unravel_index(np.argmax(shares), (3, 4))
    assert f"Head {head} of layer {layer} looks at the picture most" in title(drawn)
    some = viz.sheet(attention, Span(token, token + 2), layers=[2], heads=[1, 3])
    assert [t.get_text() for t in some.axes[0].get_xticklabels()] == ["1", "3"]
    with pytest.raises(InputError, match="layer=7"):
        viz.sheet(attention, token, layers=[7])


def test_the_timeline_has_a_point_for_each_token_and_marks_the_thought() -> None:
    attention = make_attention(grid=(3, 6), reply=6, thought=4, seed=2)
    frame = attention.over_time()
    drawn = viz.timeline(frame)
    for panel, (name, scale) in zip(
        drawn.axes, (("share", 100), ("entropy", 1), ("sink_share", 100)), strict=True
    ):
        np.testing.assert_allclose(panel.lines[0].get_ydata(), scale * frame[name])
    assert [p.get_x() for p in drawn.axes[0].patches] == [-0.5]
    assert drawn.axes[0].patches[0].get_width() == 4
    found = [int(n) for n in re.findall(r"(\d+)%", title(drawn))]
    assert found == [round(100 * frame["share"][:4].mean()), round(100 * frame["share"][4:].mean())]
    assert [t.get_text() for t in drawn.axes[2].get_xticklabels()] == [t.strip() for t in frame["text"]]
    with pytest.raises(InputError, match="sink_share"):
        viz.timeline(frame.drop(columns="sink_share"))


def test_a_difference_is_the_first_minus_the_second_on_the_same_picture() -> None:
    a, b = one_patch(0, 0, 0.3), one_patch(1, 4, 0.3)
    drawn = viz.difference(a, b, answer=answer(WIDE), labels=("thinking", "direct"))
    seen = np.asarray(drawn.axes[3].images[0].get_array())
    first, second = (
        seen[at[0] * seen.shape[0] // 48, at[1] * seen.shape[1] // 96] for at in ((8, 8), (24, 72))
    )
    assert first[0] > first[2]
    assert second[2] > second[0]
    assert drawn.axes[3].get_xlim() == (0, 96)
    assert title(drawn) == (
        "Thinking is strongest at the top left, direct on the right: 100% of the map lies elsewhere"
    )
    assert "Both first and second are strongest at the top left: 0% of the map" in title(viz.difference(a, a))
    with pytest.raises(InputError, match="shapes"):
        viz.difference(a, b.T)
    with pytest.raises(InputError, match=r"\(3, 6\)"):
        viz.difference(a.T, b.T, answer=answer(WIDE))
