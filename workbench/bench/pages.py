"""The frame of pages that open without a network: one style, one small script, nothing fetched"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["page", "table_html"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

STYLE = """
:root{color-scheme:light}
body{font:15px/1.45 system-ui,sans-serif;color:#222;background:#fff}
body{max-width:72rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #ddd}
h3{font-size:.95rem;margin:0 0 .5rem;font-weight:600;color:#555}h4{font-size:.85rem;margin:0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th{text-align:left;font-weight:600;border-bottom:2px solid #555;padding:.25rem .9rem .25rem 0}
th{vertical-align:bottom}
td{border-bottom:1px solid #e5e5e5;padding:.25rem .9rem .25rem 0}td.n{text-align:right}
.scroll{overflow-x:auto}.note{color:#555;font-size:.9rem;max-width:60rem}
.warnings{border-left:4px solid #DDAA33;padding:.3rem .8rem;background:#fdf8ec}
.tools{position:sticky;top:0;background:#fff;padding:.5rem 0;border-bottom:1px solid #ddd;z-index:1}
.tools label{margin-right:1rem}.case{border:1px solid #ddd;border-radius:6px;padding:.8rem;margin:.8rem 0}
.row{display:flex;gap:1.2rem;flex-wrap:wrap}.words{flex:1 1 24rem;min-width:18rem}
.pictures svg{display:block;max-width:100%;height:auto;margin-bottom:.5rem;border:1px solid #eee}
svg.small image{image-rendering:pixelated}.question{white-space:pre-wrap;margin:0 0 .3rem}
.replies{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.6rem}
.reply{border-left:4px solid #bbb;padding:.1rem .6rem;background:#f7f7f7;overflow-wrap:anywhere}
.reply.right{border-color:#009988}.reply.wrong{border-color:#BB5566}
.said{white-space:pre-wrap;margin:.2rem 0;max-height:14rem;overflow:auto}
.facts{color:#666;font-size:.8rem;margin:0}
.thought{white-space:pre-wrap;color:#555;font-size:.85rem;max-height:14rem;overflow:auto}
.missing{color:#BB5566;font-size:.85rem;max-width:18rem}
@media print{.tools{display:none}.case{break-inside:avoid}}
"""

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


def page(title: str, body: str) -> str:
    """A whole HTML page around ``body``, which is HTML already; it may fetch nothing."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}"
        f"<script>{SCRIPT}</script></body></html>"
    )


def table_html(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; cells are escaped, numbers stand to the right. A cell that is a tuple is HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return f"<td>{value[0]}</td>"
    text = str(value)
    numeric = text == "-" or text[:1].isdigit() or text[:2].lstrip("+-−")[:1].isdigit()
    return f"<td{' class=n' if numeric else ''}>{escape(text)}</td>"
