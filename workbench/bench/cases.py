"""Items with the replies of all modes side by side, and as HTML: what a failure browser and a report show.

Everything that a model or a log said is escaped.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import InputError
from ..files import local_path, write_bytes, writing
from ..html import page
from ..models.coordinates import parse_box, parse_point
from ..types import Box
from .results import Results

__all__ = [
    "CASE_STYLE",
    "SCRIPT",
    "STYLE",
    "Case",
    "PATTERNS",
    "Reply",
    "SORTS",
    "case_html",
    "cases",
    "export_failures",
    "write_cases",
]

CASE_STYLE = """
.case{--ink:var(--jp-ui-font-color1,var(--vscode-editor-foreground,CanvasText))}
.case{--paper:var(--jp-layout-color1,var(--vscode-editor-background,Canvas))}
.case{--faint:color-mix(in srgb,var(--ink) 68%,var(--paper))}
.case{--line:color-mix(in srgb,var(--ink) 20%,var(--paper))}
.case{color:var(--ink);border:1px solid var(--line);border-radius:6px;padding:.8rem;margin:.8rem 0}
.case{line-height:1.45}
.case h3{font-size:.95rem;margin:0 0 .5rem;font-weight:600;color:var(--faint);overflow-wrap:anywhere}
.case h4{font-size:.85rem;margin:0}
.case .mark{color:color-mix(in srgb,var(--mark) 75%,var(--ink))}
.case .row{display:flex;gap:1.2rem;flex-wrap:wrap}.case .words{flex:1 1 24rem;min-width:min(18rem,100%)}
.case .pictures{max-width:100%}
.case .pictures svg{display:block;max-width:100%;height:auto;margin-bottom:.5rem;border:1px solid var(--line)}
.case svg.small image{image-rendering:pixelated}
.case .question{white-space:pre-wrap;overflow-wrap:anywhere;max-height:14rem;overflow:auto;margin:0 0 .3rem}
.case .gold{overflow-wrap:anywhere;max-height:7rem;overflow:auto;margin:.5rem 0}
.case .replies{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(11rem,100%),1fr));gap:.6rem}
.case .reply{border-left:4px solid var(--line);padding:.1rem .6rem;overflow-wrap:anywhere;min-width:0}
.case .reply{background:color-mix(in srgb,var(--ink) 5%,var(--paper))}
.case .reply.right{border-color:#009988}.case .reply.wrong{border-color:#BB5566}
.case .said{white-space:pre-wrap;margin:.2rem 0;max-height:14rem;overflow:auto}
.case .facts{color:var(--faint);font-size:.8rem;margin:0}
.case .thought{white-space:pre-wrap;color:var(--faint);font-size:.85rem;max-height:14rem;overflow:auto}
.case .missing{color:color-mix(in srgb,#BB5566 80%,var(--ink));font-size:.85rem;max-width:18rem}
"""

STYLE = (
    """
:root{color-scheme:light}
body{font:15px/1.45 system-ui,sans-serif;color:#222;background:#fff}
body{max-width:72rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #ddd}
h3{font-size:.95rem;margin:0 0 .5rem;font-weight:600;color:#555}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th{text-align:left;font-weight:600;border-bottom:2px solid #555;padding:.25rem .9rem .25rem 0}
th{vertical-align:bottom}
td{border-bottom:1px solid #e5e5e5;padding:.25rem .9rem .25rem 0}td.right{text-align:right}
.scroll{overflow-x:auto}.note{color:#555;font-size:.9rem;max-width:60rem}
.warnings{border-left:4px solid #DDAA33;padding:.3rem .8rem;background:#fdf8ec}
.tools{position:sticky;top:0;background:#fff;padding:.5rem 0;border-bottom:1px solid #ddd;z-index:1}
.tools label{margin-right:1rem}
@media print{.tools{display:none}.case{break-inside:avoid}}
"""
    + CASE_STYLE
)

SCRIPT = """
"use strict";
for (const tools of document.querySelectorAll("[data-browser]")) {
  const cases = [...tools.nextElementSibling.children], first = [...cases], size = 20;
  let at = 0;
  const value = (name) => tools.querySelector(`[data-by=${name}]`).value;
  const draw = () => {
    const sort = value("sort"), place = (c) => (sort ? Number(c.dataset[sort]) : 0);
    cases.sort((a, b) => place(a) - place(b) || first.indexOf(a) - first.indexOf(b));
    tools.nextElementSibling.append(...cases);
    const text = value("text").toLowerCase(), mark = value("pattern").replaceAll(" ", "-");
    const kept = cases.filter((c) =>
      (!value("benchmark") || c.dataset.benchmark === value("benchmark")) &&
      (!mark || c.dataset.pattern.split(" ").includes(mark)) &&
      (!text || c.textContent.toLowerCase().includes(text)));
    at = Math.max(0, Math.min(at, Math.ceil(kept.length / size) - 1));
    const shown = new Set(kept.slice(at * size, (at + 1) * size));
    for (const c of cases) c.hidden = !shown.has(c);
    const from = kept.length ? at * size + 1 : 0;
    const told = `${from} to ${at * size + shown.size} of ${kept.length}`;
    tools.querySelector("[data-place]").textContent = told;
  };
  tools.addEventListener("input", () => { at = 0; draw(); });
  tools.addEventListener("submit", (event) => event.preventDefault());
  for (const button of tools.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => { at += Number(button.dataset.step); draw(); });
  draw();
}
"""


ORDER = ("nothink", "auto", "think")

PATTERNS = ("any wrong", "all wrong", "think only", "direct only", "modes differ", "all right", "not scored")
"""What the replies to one item have in common; "think only": thinking is right and direct is not."""

SORTS = ("order", "tokens", "p_think", "spread", "size")
"""As in the table; most output tokens first; most undecided about thinking first; largest difference between
modes first; smallest target box first."""


@dataclass(frozen=True)
class Reply:
    """One mode's reply to an item."""

    mode: str
    text: str | None
    thought: str | None
    value: float
    parsed: str | None
    why: str
    tokens: float
    seconds: float
    p_think: float

    @property
    def right(self) -> bool:
        """Whether it scores above one half."""
        return self.value > 0.5


@dataclass(frozen=True)
class Case:
    """One item and its replies; ``boxes`` are gold boxes in pixels of picture number ``picture``."""

    run: str
    benchmark: str
    item: str
    control: str
    category: str
    question: str
    gold: str | None
    images: tuple[str, ...]
    replies: Mapping[str, Reply]
    boxes: tuple[Box, ...] = ()
    picture: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    def has(self, pattern: str) -> bool:
        """Whether the replies follow one of `PATTERNS`."""
        right = {mode: reply.right for mode, reply in self.replies.items() if not math.isnan(reply.value)}
        if pattern == "not scored":
            return len(right) < len(self.replies)
        if not right:
            return False
        think, direct = right.get("think"), right.get("nothink")
        return {
            "any wrong": not all(right.values()),
            "all wrong": not any(right.values()),
            "think only": think is True and direct is False,
            "direct only": direct is True and think is False,
            "modes differ": len(set(right.values())) > 1,
            "all right": all(right.values()),
        }[pattern]

    def key(self, sort: str) -> float:
        """What it is sorted by, smallest first."""
        replies = list(self.replies.values())
        known = [r.p_think for r in replies if not math.isnan(r.p_think)]
        if sort == "tokens":
            return -max((r.tokens for r in replies if not math.isnan(r.tokens)), default=0.0)
        if sort == "p_think":
            return abs(known[0] - 0.5) if known else 1.0
        if sort == "spread":
            values = [r.value for r in replies if not math.isnan(r.value)]
            return min(values, default=0.0) - max(values, default=0.0)
        areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in self.boxes]
        return min(areas, default=math.inf)

    def holds(self, text: str) -> bool:
        """Whether a text stands in its question, gold answer or replies, upper and lower case alike."""
        wanted = text.casefold()
        said = [part for r in self.replies.values() for part in (r.text, r.thought)]
        return any(wanted in part.casefold() for part in (self.item, self.question, self.gold, *said) if part)


def cases(
    results: Results,
    *,
    pattern: str | None = None,
    benchmark: str | Sequence[str] | None = None,
    category: str | Sequence[str] | None = None,
    text: str = "",
    sort: str = "order",
    limit: int | None = None,
) -> list[Case]:
    """Items with their replies in all modes, filtered and sorted.

    Args:
        results: of a run or an imported log.
        pattern: one of `PATTERNS`; None for all items.
        benchmark, category: one or several; None for all.
        text: only items that hold it, in the question, the gold answer or a reply.
        sort: one of `SORTS`.
        limit: only the first ones.

    Raises:
        InputError: for a pattern or sort that does not exist, or no item that is left by ``benchmark``
            and ``category``.
    """
    if pattern is not None and pattern not in PATTERNS:
        raise InputError(f"pattern={pattern!r}", f"one of {', '.join(map(repr, PATTERNS))}")
    if sort not in SORTS:
        raise InputError(f"sort={sort!r}", f"one of {', '.join(map(repr, SORTS))}")
    wanted = {n: v for n, v in (("benchmark", benchmark), ("category", category)) if v is not None}
    kept = results.where(**wanted) if wanted else results
    if wanted and not len(kept):
        there = {name: sorted(results.table[name].unique())[:8] for name in wanted}
        raise InputError(f"no item with {wanted}", f"for example {there}")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in kept.rows():
        name = (row["run"], row["benchmark"], row["version"], row["item"], row["control"], row["epoch"])
        groups.setdefault(name, []).append(row)
    found = [_case(rows) for rows in groups.values()]
    found = [case for case in found if pattern is None or case.has(pattern)]
    found = [case for case in found if not text or case.holds(text)]
    if sort != "order":
        found.sort(key=lambda case: case.key(sort))
    return found if limit is None else found[:limit]


def _case(rows: Sequence[Mapping[str, Any]]) -> Case:
    first, details = rows[0], rows[0]["details"]
    by_mode = {row["mode"]: _reply(row) for row in rows}
    boxes = details.get("boxes") or ()
    return Case(
        run=first["run"],
        benchmark=first["benchmark"],
        item=first["item"],
        control=first["control"],
        category=first["category"],
        question=first["question"],
        gold=first["gold"],
        images=tuple(first["images"]),
        replies={mode: by_mode[mode] for mode in ORDER if mode in by_mode},
        boxes=tuple(tuple(float(v) for v in box) for box in boxes),  # type: ignore[misc]
        picture=int(details.get("picture", 0)),
        details=details,
    )


def _reply(row: Mapping[str, Any]) -> Reply:
    names = ("mode", "thought", "value", "parsed", "why", "tokens", "seconds", "p_think")
    return Reply(text=row["response"], **{name: row[name] for name in names})


LARGEST = 900  # pixels of the longer side of a picture in a page; what the boxes refer to is kept
MODES = {"nothink": "direct", "auto": "auto", "think": "thinking"}
SHOWN = ("any wrong", "all wrong", "think only", "direct only", "modes differ", "all right")
MARKS = {"nothink": "#DDAA33", "auto": "#BB5566", "think": "#004488"}


def export_failures(
    results: Results,
    path: str | Path,
    *,
    pattern: str | None = "any wrong",
    limit: int | None = 200,
    title: str = "Failures",
    **chosen: object,
) -> Path:
    """Write items with their pictures and replies into one HTML file that opens without a network.

    The page filters, sorts and pages by itself; nothing in it is fetched.

    Args:
        results: of a run or an imported log.
        path: of the file; replaced if it is there.
        pattern: which items (see `workbench.bench.cases.PATTERNS`); None for all.
        limit: most items; the page says how many there are.
        title: of the page.
        **chosen: ``benchmark``, ``category``, ``text`` and ``sort`` as for `workbench.bench.cases.cases`.

    Returns:
        The path.

    Raises:
        InputError: for a pattern, sort or filter that does not exist.
    """
    found = cases(results, pattern=pattern, **chosen)  # type: ignore[arg-type]
    return write_cases(results, found, path, limit=limit, title=title, which=pattern or "")


def write_cases(
    results: Results,
    found: Sequence[Case],
    path: str | Path,
    *,
    limit: int | None,
    title: str,
    which: str = "",
) -> Path:
    """Write items into one HTML file, as `export_failures` does.

    Args:
        results: that they are of.
        found: the items, in the order of the page.
        path: of the file; replaced if it is there.
        limit: most items; the page says how many there are.
        title: of the page.
        which: what chose the items, in words.

    Returns:
        The path.

    Raises:
        DiskError: if it cannot be written.
    """
    shown = found if limit is None else found[:limit]
    told = f"{len(shown)} of {len(found)} items" if len(shown) < len(found) else f"{len(found)} items"
    told += f" ({which})" if which else ""
    target = local_path(path)
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    body = f"<h1>{escape(title)}</h1><p>{escape(told)}</p>{browser_html(results, shown)}"
    write_bytes(target, page(title, body, style=STYLE, script=SCRIPT).encode("utf-8", "replace"))
    return target


def browser_html(results: Results, shown: Sequence[Case]) -> str:
    """Filter, order, pages and items; the script of `workbench.bench.pages` brings them to life."""
    names = sorted({case.benchmark for case in shown})
    return (
        '<form class="tools" data-browser>'
        f"<label>benchmark {_select('benchmark', names)}</label> "
        f"<label>replies {_select('pattern', SHOWN)}</label> "
        f"<label>sort by {_select('sort', SORTS[1:], 'order')}</label> "
        '<label>text <input type="search" data-by="text"></label> '
        '<button type="button" data-step="-1">previous</button> <span data-place></span> '
        '<button type="button" data-step="1">next</button></form>'
        f"<div data-cases>{''.join(case_html(results, case) for case in shown)}</div>"
    )


def _select(name: str, values: Sequence[str], first: str = "all") -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<select data-by="{name}"><option value="">{first}</option>{options}</select>'


def case_html(results: Results, case: Case) -> str:
    """One item: pictures with boxes, question, gold answer, and the replies side by side."""
    marks = " ".join(name.replace(" ", "-") for name in SHOWN if case.has(name))
    keys = " ".join(f'data-{name}="{min(case.key(name), 1e12):.9g}"' for name in SORTS[1:])
    head = " · ".join(part for part in (case.benchmark, case.item, case.category, case.control) if part)
    pictures = "".join(_picture(results, case, number) for number in range(len(case.images)))
    replies = "".join(_reply_html(reply) for reply in case.replies.values())
    return (
        f'<article class="case" data-benchmark="{escape(case.benchmark, quote=True)}" '
        f'data-pattern="{marks}" {keys}>'
        f"<h3>{escape(head)}</h3><div class=row><div class=pictures>{pictures}</div><div class=words>"
        f"<p class=question>{escape(case.question)}</p>"
        f"<p class=gold>gold: <b>{escape(str(case.gold))}</b></p>"
        f"<div class=replies>{replies}</div></div></div></article>"
    )


def _reply_html(reply: Reply) -> str:
    verdict = "not scored" if math.isnan(reply.value) else ("right" if reply.right else "wrong")
    if 0 < reply.value < 1:
        verdict = f"{reply.value:.2f}"
    facts = [verdict]
    if not math.isnan(reply.tokens):
        facts.append(f"{reply.tokens:.0f} token{'s' * (round(reply.tokens) != 1)}")
    if not math.isnan(reply.seconds):
        facts.append(f"{reply.seconds:.2f} s")
    if not math.isnan(reply.p_think):
        facts.append(f"p_think {reply.p_think:.2f}")
    thought = ""
    if reply.thought:
        inside = f"<div class=thought>{escape(reply.thought)}</div>"
        thought = f"<details><summary>thought</summary>{inside}</details>"
    said = "(no reply)" if reply.text is None else reply.text or "(an empty reply)"
    mark = f'<span class=mark style="--mark:{MARKS[reply.mode]}">&#9632;</span>'
    told = f'<p class=facts title="{escape(reply.why, quote=True)}">{escape(", ".join(facts))}</p>'
    return (
        f'<div class="reply {verdict.replace(" ", "-")}"><h4>{mark} {MODES[reply.mode]}</h4>'
        f"{thought}<p class=said>{escape(said)}</p>{told}</div>"
    )


def _picture(results: Results, case: Case, number: int) -> str:
    """A picture as a data URI, gold boxes drawn solid and the places that replies name dashed."""
    try:
        image = results.images({"images": (case.images[number],)})[0]
    except InputError as error:
        return f"<p class=missing>picture cannot be shown: {escape(str(error))}</p>"
    width, height = image.size
    drawn = ""
    if number == case.picture:
        thin = max(width, height) / 200
        drawn = "".join(_box(box, "#009988", thin, "") for box in case.boxes)
        for mode, reply in case.replies.items():
            if (place := named_place(case, reply, image.size)) is not None:
                drawn += _box(place, MARKS[mode], thin, MODES[mode])
    scale = max(1, 288 // max(width, height))
    kind, across = "small" if scale > 1 else "large", min(width * scale, 640)
    shown = f'<image href="{_data_uri(image)}" width="{width}" height="{height}"/>'
    frame = f'class="{kind}" viewBox="0 0 {width} {height}" width="{across}" role="img"'
    return f"<svg {frame}>{shown}{drawn}</svg>"


def named_place(case: Case, reply: Reply, size: tuple[int, int]) -> Box | None:
    """The box, or the point as a box without size, that a reply names; None where the item asks for none."""
    asks = case.details.get("rule") == "point" or "gold_format" in case.details
    text = reply.text or ""
    if not asks or not re.search(r"\d", text):
        return None
    box = parse_box(text, "none", size=size)
    if box is not None:
        return box
    point = parse_point(text, "none", size=size)
    return None if point is None else (*point, *point)


def _box(box: Box, colour: str, thin: float, label: str) -> str:
    x1, y1, x2, y2 = box
    title = f"<title>{escape(label or 'gold')}</title>"
    style = f'fill="none" stroke="{colour}" stroke-width="{thin:.2f}"'
    if (x1, y1) == (x2, y2):
        return f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="{3 * thin:.1f}" {style}>{title}</circle>'
    dashes = f' stroke-dasharray="{4 * thin:.1f} {3 * thin:.1f}"' if label else ""
    corner = (
        f'x="{min(x1, x2):.1f}" y="{min(y1, y2):.1f}" width="{abs(x2 - x1):.1f}" height="{abs(y2 - y1):.1f}"'
    )
    return f"<rect {corner} {style}{dashes}>{title}</rect>"


def _data_uri(image: Image.Image) -> str:
    shown = image
    if max(image.size) > LARGEST:
        shown = image.copy()
        shown.thumbnail((LARGEST, LARGEST))
    png, jpeg = io.BytesIO(), io.BytesIO()
    shown.save(png, "PNG", optimize=True)
    if png.tell() < 40_000:  # drawings stay sharp
        return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    shown.save(jpeg, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
