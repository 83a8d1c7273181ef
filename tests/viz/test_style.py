"""The look of the figures: they show themselves, and their colours stay apart for every reader."""

from __future__ import annotations

import io
import itertools

import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb
from PIL import Image

from workbench.errors import InputError
from workbench.viz.style import DPI, MODES, SERIES, columns, panels, titled, token_text, wrapped


def lightness(colour: str) -> float:
    """CIE L* of a colour, 0 to 100: what is left of it in grey."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_the_modes_stay_apart_in_grey_and_by_shape() -> None:
    looks = list(MODES.values())
    assert len({look.marker for look in looks}) == len(looks)
    for one, other in itertools.combinations(looks, 2):
        assert abs(lightness(one.colour) - lightness(other.colour)) > 15


def test_every_series_has_its_own_colour_marker_and_line() -> None:
    for values in zip(*((s.colour, s.marker, str(s.line)) for s in SERIES), strict=True):
        assert len(set(values)) == len(SERIES)


def test_a_figure_shows_itself_and_is_not_left_open() -> None:
    drawn, _ = panels(1, 2, width=4, height=2)
    data, size = drawn._repr_png_()
    assert size == {"width": 4 * DPI, "height": 2 * DPI}
    assert Image.open(io.BytesIO(data)).size == (8 * DPI, 4 * DPI)
    assert not pyplot.get_fignums()


def test_a_title_fits_its_figure() -> None:
    drawn, _ = panels(1, 1, width=4, height=3)
    titled(drawn, "A finding that is far too long for one line of a small figure, so it is broken " * 2)
    drawn.draw_without_rendering()
    text = drawn._suptitle
    assert text.get_window_extent().x1 <= drawn.bbox.x1


def test_line_breaks_of_a_text_are_kept() -> None:
    assert wrapped("one two\nthree four five", 10) == "one two\nthree four\nfive"


def test_a_table_without_a_column_or_a_row_is_refused_with_the_call_that_makes_it() -> None:
    with pytest.raises(InputError, match=r"without 'n'.*make it with summarise"):
        columns([{"family": "chain"}], ("family", "n"), "summarise(scored)")
    with pytest.raises(InputError, match="without rows"):
        columns(pd.DataFrame(columns=["family"]), ("family",), "summarise(scored)")
    assert len(columns([{"family": "chain"}], ("family",), "summarise(scored)")) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<|dummy_84|>", "‹control›"),
        ("<unused12>", "‹control›"),
        ("</think>", "</think>"),
        (" Mail", "Mail"),
        ("\n", "↵"),
        (" ", "·"),
        ("incomprehensible", "incomprehe…"),
    ],
)
def test_tokens_are_shown_in_one_line_and_reserved_ones_have_no_name(text: str, shown: str) -> None:
    assert token_text(text, 11) == shown
