"""The frame of HTML outputs: text stays text, whatever a model writes."""

from __future__ import annotations

import ast
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from workbench import html

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "The price is $5 for a_1 and $7 for *b*.",
    r"$$\href{https://example.org}{LINK}$$",
    '" onmouseover="alert(1)',
]


class Reader(HTMLParser):
    """Collects the text and the tags of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(document: str) -> Reader:
    reader = Reader()
    reader.feed(document)
    return reader


@pytest.mark.parametrize("words", HOSTILE)
def test_text_stays_text(words: str) -> None:
    body = html.frame(
        html.text(words) + html.table([words], [[words]], caption=words) + html.details(words, "")
    )
    found = read(body)
    assert found.text.count(words) == 5
    assert {tag for tag, _ in found.tags} <= {
        "div", "bdi", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary",
    }  # fmt: skip
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)


@pytest.mark.parametrize("mark", ["\u202e", "\u2067", "\u200b", "\ufeff"])
def test_marks_that_cannot_be_seen_are_shown(mark: str) -> None:
    words = f"a{mark}b"
    found = read(html.text(words) + html.table([words], [[words]], caption=words) + html.details(words, ""))
    assert mark not in found.text
    assert found.text.count(f"a\\u{ord(mark):04x}b") == 5
    family = "\U0001f469\u200d\U0001f467 \u05e9\u05dc\u05d5\u05dd"  # joined signs and Hebrew stay as they are
    assert read(html.text(family)).text == family


def test_the_outermost_element_is_never_typeset() -> None:
    tag, attrs = read(html.frame("x")).tags[0]
    assert tag == "div"
    assert {"tex2jax_ignore", "mathjax_ignore"} <= set((attrs["class"] or "").split())


def test_a_page_fetches_nothing() -> None:
    found = read(html.page("<b>", "<p>x</p>", style="p{}", script="let a = 1"))
    policy = next(attrs for tag, attrs in found.tags if attrs.get("http-equiv"))
    assert "default-src 'none'" in (policy["content"] or "")
    assert ("b", {}) not in found.tags


def test_a_thumbnail_is_small_and_carries_its_data() -> None:
    tag, attrs = read(html.thumbnail(Image.new("P", (4000, 100)), side=64, alt='a "b"')).tags[0]
    assert tag == "img"
    assert attrs["alt"] == 'a "b"'
    assert (attrs["src"] or "").startswith("data:image/png;base64,")
    assert len(attrs["src"] or "") < 2000


def test_every_html_output_of_ours_wears_the_frame() -> None:
    package = Path(html.__file__).parent
    bare, seen = [], 0
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "_repr_html_":
                seen += 1
                if not any(isinstance(d, ast.Name) and d.id == "framed" for d in node.decorator_list):
                    bare.append(f"{path.relative_to(package)}:{node.lineno}")
    assert seen >= 10
    assert not bare, "decorate with workbench.html.framed"


def test_framed_wraps_what_a_method_returns() -> None:
    class Record:
        @html.framed
        def _repr_html_(self) -> str:
            """Its own words."""
            return "<p>x</p>"

    shown = Record()._repr_html_()
    assert shown.endswith("<p>x</p></div>")
    assert read(shown).tags[0][1]["class"] == html.CLASSES
    assert Record._repr_html_.__doc__ == "Its own words."
